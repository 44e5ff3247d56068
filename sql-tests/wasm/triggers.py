"""Triggers beside the same done by hand: every statement is run on a table with triggers, and in other words on one without."""

import random

from evil import BAD_OUTPUT, STOPPED, TRAP, check_alive, prepare

# What the trigger `account` writes in lower case, leaves out, and lets pass.
ADDRESSES = ["Ann@Example.org", "bob@x", "CID@Y.ORG", "", None, "é@Z", "o'b@x"]


def compare(asker, rng):
    create(asker)
    rounds(asker, rng, 25)
    statement_forms(asker)
    refusals(asker)
    whole_batches(asker)
    slugs(asker)
    catalog(asker)
    evil(asker)


def create(asker):
    for name, module in [("account", "c_account"), ("journal", "c_account"), ("audit", "c_audit")]:
        asker.function(f"{name}() RETURNS trigger", asker.module(module))
    for table in ["account", "by_hand"]:
        asker.run(f"CREATE TABLE {table} (id bigint PRIMARY KEY, email text, amount bigint, changes integer)")
    for table in ["journal", "journal_by_hand"]:
        asker.run(f"CREATE TABLE {table} (id bigint, what text)")
    for table in ["audit", "audit_by_hand"]:
        asker.run(f"CREATE TABLE {table} (what text, rows bigint, change bigint)")
    asker.run("CREATE TRIGGER a BEFORE INSERT OR UPDATE ON account FOR EACH ROW EXECUTE FUNCTION account()")
    asker.run("CREATE TRIGGER b AFTER INSERT OR UPDATE OR DELETE ON account FOR EACH ROW EXECUTE FUNCTION journal('journal')")
    for event, tables in [
        ("INSERT", "NEW TABLE AS n"), ("UPDATE", "OLD TABLE AS o NEW TABLE AS n"), ("DELETE", "OLD TABLE AS o"),
    ]:  # fmt: skip
        asker.run(
            f"CREATE TRIGGER audit_{event.lower()} AFTER {event} ON account REFERENCING {tables}"
            " FOR EACH STATEMENT EXECUTE FUNCTION audit('amount', 'audit')"
        )


def literal(value):
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def lowered(email):
    """Letters of ASCII, as the guest does."""
    upper, lower = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
    return f"translate({email}, '{upper}', '{lower}')"


def insert(asker, rng):
    ids = [row[0] for row in asker.rows("SELECT id FROM by_hand")]
    free = [id for id in range(1, 400) if id not in ids]
    rows = [(id, rng.choice(ADDRESSES), rng.choice([None, rng.randint(-99, 99)])) for id in rng.sample(free, rng.randint(1, 8))]
    values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
    asker.run(f"INSERT INTO account (id, email, amount, changes) SELECT id, email, amount, 77 FROM (VALUES {values}, (NULL::bigint, NULL::text, NULL::bigint)) v (id, email, amount) WHERE id IS NOT NULL")
    kept = [row for row in rows if row[1] != ""]
    for row in kept:
        asker.run(f"INSERT INTO by_hand SELECT {literal(row[0])}, {lowered(literal(row[1]) + '::text')}, {literal(row[2])}, 0")
        asker.run("INSERT INTO journal_by_hand VALUES (%s, 'insert')", row[0])
    asker.run("INSERT INTO audit_by_hand VALUES ('insert', %s, %s)", len(kept), sum(row[2] or 0 for row in kept))


def update(asker, rng):
    divisor, rest, email, more = rng.randint(1, 5), rng.randint(0, 4), rng.choice(ADDRESSES), rng.randint(-9, 9)
    where = f"id % {divisor} = {rest % divisor}"
    new = rng.choice([literal(email) + "::text", "email"])
    asker.run(f"UPDATE account SET email = {new}, amount = amount + {more} WHERE {where}")
    where += f" AND coalesce({new}, 'x') <> ''"
    touched = asker.rows(f"SELECT id, amount FROM by_hand WHERE {where}")
    asker.run(f"UPDATE by_hand SET email = {lowered(new)}, amount = amount + {more}, changes = changes + 1 WHERE {where}")
    for id, _ in touched:
        asker.run("INSERT INTO journal_by_hand VALUES (%s, 'update')", id)
    asker.run("INSERT INTO audit_by_hand VALUES ('update', %s, %s)", len(touched), more * sum(1 for _, amount in touched if amount is not None))


def delete(asker, rng):
    where = f"id % 7 = {rng.randint(0, 6)}"
    asker.run(f"DELETE FROM account WHERE {where}")
    gone = asker.rows(f"SELECT id, amount FROM by_hand WHERE {where}")
    asker.run(f"DELETE FROM by_hand WHERE {where}")
    for id, _ in gone:
        asker.run("INSERT INTO journal_by_hand VALUES (%s, 'delete')", id)
    asker.run("INSERT INTO audit_by_hand VALUES ('delete', %s, %s)", len(gone), -sum(amount or 0 for _, amount in gone))


def same(asker, after):
    for table, other in [("account", "by_hand"), ("journal", "journal_by_hand"), ("audit", "audit_by_hand")]:
        ours, wanted = (sorted(asker.rows(f"SELECT * FROM {name}"), key=repr) for name in (table, other))
        asker.asked += 1
        if ours != wanted:
            missing, odd = [row for row in wanted if row not in ours], [row for row in ours if row not in wanted]
            asker.wrong(f"{table} after {after}", f"{len(ours)} rows, {odd[:5]} instead of {missing[:5]} of {len(wanted)}")


def rounds(asker, rng, count):
    for number in range(count):
        step = rng.choice([insert, insert, update, delete])
        seed = rng.getrandbits(32)
        # Some of them in a transaction, and sometimes for nothing.
        is_kept = rng.random() < 0.8
        asker.run("BEGIN")
        step(asker, random.Random(seed))
        same(asker, f"{step.__name__} {number}, inside of its transaction")
        asker.run("COMMIT" if is_kept else "ROLLBACK")
        same(asker, f"{step.__name__} {number}")


def statement_forms(asker):
    """Other statements that write: COPY, ON CONFLICT, MERGE, RETURNING."""
    for table in ["account", "journal", "audit"]:
        asker.run(f"DELETE FROM {table}")
    asker.run("DELETE FROM journal; DELETE FROM audit")
    with asker.connection.cursor() as cursor, cursor.copy("COPY account (id, email, amount) FROM STDIN") as copy:
        for row in [(1, "ONE@X", 10), (2, "", 20), (3, None, 30)]:
            copy.write_row(row)
    asker.answers("SELECT * FROM account ORDER BY id", [(1, "one@x", 10, 0), (3, None, 30, 0)])
    asker.answers("SELECT * FROM audit", [("insert", 2, 40)])
    asker.answers("INSERT INTO account VALUES (4, 'FOUR@X', 1), (5, '', 1) RETURNING id, email, changes", [(4, "four@x", 0)])
    asker.answers("UPDATE account SET email = 'F@X' WHERE id >= 3 RETURNING id, email, changes", [(3, "f@x", 1), (4, "f@x", 1)])
    asker.run("INSERT INTO account VALUES (1, 'UNO@X', 5), (6, 'SIX@X', 6) ON CONFLICT (id) DO UPDATE SET email = excluded.email, amount = excluded.amount")
    asker.answers("SELECT id, email, amount, changes FROM account WHERE id IN (1, 6) ORDER BY id", [(1, "uno@x", 5, 1), (6, "six@x", 6, 0)])
    asker.run("INSERT INTO account VALUES (1, 'NONE@X', 5) ON CONFLICT DO NOTHING")
    asker.answers("SELECT email FROM account WHERE id = 1", [("uno@x",)])
    asker.run(
        """MERGE INTO account a USING (VALUES (1, 'M@X'), (7, 'SEVEN@X')) v (id, email) ON a.id = v.id
        WHEN MATCHED THEN UPDATE SET email = v.email WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.email, 7)"""
    )
    asker.answers("SELECT id, email, changes FROM account WHERE id IN (1, 7) ORDER BY id", [(1, "m@x", 2), (7, "seven@x", 0)])
    asker.answers("SELECT id, what, count(*) FROM journal GROUP BY id, what ORDER BY id, what", [
        (1, "insert", 1), (1, "update", 2), (3, "insert", 1), (3, "update", 1), (4, "insert", 1), (4, "update", 1), (6, "insert", 1), (7, "insert", 1),
    ])  # fmt: skip


def refusals(asker):
    """An error of a trigger undoes the statement, and nothing else."""
    before = asker.rows("SELECT * FROM account ORDER BY id"), asker.rows("SELECT * FROM journal ORDER BY id, what")
    asker.refuses("INSERT INTO account VALUES (100, 'ok@x', 1), (101, 'wrong', 1)", TRAP, text='"wrong" is no address')
    asker.refuses("UPDATE account SET email = CASE WHEN id = 7 THEN 'nowhere' ELSE 'ok@x' END", TRAP, text='"nowhere" is no address')
    asker.refuses("INSERT INTO account VALUES (1, 'twice@x', 1)", "23505")
    asker.equal("nothing is changed", (asker.rows("SELECT * FROM account ORDER BY id"), asker.rows("SELECT * FROM journal ORDER BY id, what")), before)
    asker.run("BEGIN; INSERT INTO account VALUES (100, 'ok@x', 1); SAVEPOINT s")
    asker.refuses("INSERT INTO account VALUES (101, 'wrong', 1)", TRAP)
    asker.run("ROLLBACK TO s; COMMIT")
    asker.answers("SELECT count(*) FROM account WHERE id >= 100", [(1,)])
    asker.run("DROP TABLE journal")
    asker.refuses("INSERT INTO account VALUES (102, 'ok@x', 1)", "42P01")
    asker.run("CREATE TABLE journal (id bigint, what text)")
    asker.answers("SELECT count(*) FROM account WHERE id >= 100", [(1,)])


def whole_batches(asker):
    """Many rows at once."""
    asker.run("CREATE TABLE many (id bigint PRIMARY KEY, email text, amount bigint, changes integer)")
    asker.run("CREATE TRIGGER a BEFORE INSERT OR UPDATE ON many FOR EACH ROW EXECUTE FUNCTION account('email')")
    asker.run("CREATE TRIGGER s AFTER INSERT ON many REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION audit('amount', 'audit')")
    asker.run("DELETE FROM audit")
    for rows in [0, 1, 8192, 20_000]:
        asker.run("DELETE FROM many")
        asker.run(f"INSERT INTO many SELECT i, CASE WHEN i % 10 > 0 THEN 'A' || i || '@X' ELSE '' END, i, 5 FROM generate_series(1, {rows}) s (i)")
        asker.answers(
            "SELECT count(*), sum(amount), count(*) FILTER (WHERE email = 'a' || id || '@x' AND changes = 0) FROM many",
            asker.rows(f"SELECT count(*), sum(i), count(*) FROM generate_series(1, {rows}) s (i) WHERE i % 10 > 0"),
        )
    asker.answers("SELECT rows, change FROM audit ORDER BY rows", [(0, 0), (1, 1), (7373, 30_200_628), (18_000, 180_000_000)])


def slugs(asker):
    """A trigger in AssemblyScript."""
    asker.function("article() RETURNS trigger", asker.module("assemblyscript_article"))
    asker.run("CREATE TABLE article (id integer PRIMARY KEY, title text, slug text)")
    asker.run("CREATE TRIGGER slug BEFORE INSERT OR UPDATE OF title ON article FOR EACH ROW EXECUTE FUNCTION article()")
    asker.run("INSERT INTO article (id, title) SELECT id, 'Nr. ' || coalesce(t, 'none') FROM data_full WHERE id < 500")
    asker.run("INSERT INTO article (id, title) VALUES (1000, 'Hello, World!'), (1001, NULL), (1002, '')")
    asker.answers("SELECT id, slug FROM article WHERE id >= 1000 ORDER BY id", [(1000, "hello-world"), (1001, None)])
    slug = f"trim('-' FROM regexp_replace({lowered('title')}, '[^a-z0-9]+', '-', 'g'))"
    asker.answers(f"SELECT id, title, slug FROM article WHERE slug IS DISTINCT FROM {slug}", [])
    asker.run("UPDATE article SET title = 'Other' WHERE id = 1000")
    asker.run("UPDATE article SET slug = 'own' WHERE id = 1001")
    asker.answers("SELECT slug FROM article WHERE id >= 1000 ORDER BY id", [("other",), ("own",)])
    asker.refuses("INSERT INTO article (id, title) VALUES (2000, '漢字')", TRAP, text="no slug")


def catalog(asker):
    asker.refuses("DROP FUNCTION article()", "2BP01")
    asker.refuses("CREATE TRIGGER slug BEFORE INSERT ON article FOR EACH ROW EXECUTE FUNCTION article()", "42710")
    asker.refuses("CREATE TRIGGER other BEFORE INSERT ON article FOR EACH ROW EXECUTE FUNCTION nothing()", "42883")
    asker.refuses("SELECT article()", "0A000")
    asker.answers("SELECT tgname FROM pg_trigger WHERE tgrelid = 'article'::regclass", [("slug",)])
    asker.equal("lightning.triggers", asker.value("SELECT count(*) FROM lightning.triggers") >= 7, True)
    asker.run("DROP TRIGGER slug ON article")
    asker.run("INSERT INTO article VALUES (3000, 'Free', NULL)")
    asker.answers("SELECT slug FROM article WHERE id = 3000", [(None,)])
    asker.refuses("DROP TRIGGER slug ON article", "42704")
    asker.run("DROP TRIGGER IF EXISTS slug ON article")
    asker.run("DROP FUNCTION article()")


IMPORTS = """(import "lightning" "event" (func $event (result i32))) (import "lightning" "columns" (func $columns (result i32)))
    (import "lightning" "get_i64" (func $get_i64 (param i32 i32) (result i64))) (import "lightning" "set_i64" (func $set_i64 (param i32 i64)))
    (import "lightning" "get_text" (func $get_text (param i32 i32 i32 i32) (result i32)))
    (import "lightning" "set_text" (func $set_text (param i32 i32 i32))) (import "lightning" "set_null" (func $set_null (param i32)))
    (import "lightning" "column" (func $column (param i32 i32) (result i32))) (import "lightning" "raise" (func $raise (param i32 i32)))
    (import "lightning" "argument" (func $argument (param i32 i32 i32) (result i32))) (import "lightning" "execute" (func $execute (param i32 i32)))"""

KEEP = "(i32.const 0)"


def execute(sql):
    return f"(memory.init $sql (i32.const 0) (i32.const 0) (i32.const {len(sql)})) (call $execute (i32.const 0) (i32.const {len(sql)})) {KEEP}", sql


# Name, when, what the guest does, SQLSTATE, a part of the message.
EVIL = [
    ("endless", "BEFORE INSERT", "(loop (br 0)) i32.const 0", STOPPED, "time-out"),
    ("trap", "BEFORE INSERT", "unreachable", TRAP, "unreachable"),
    ("trap afterwards", "AFTER INSERT", "unreachable", TRAP, "unreachable"),
    ("another result", "BEFORE INSERT", "(i32.const 7)", TRAP, "7"),
    ("no such row", "BEFORE INSERT", f"(drop (call $get_i64 (i32.const 0) (i32.const 0))) {KEEP}", BAD_OUTPUT, "old row"),
    ("neither row", "BEFORE INSERT", f"(drop (call $get_i64 (i32.const 5) (i32.const 0))) {KEEP}", BAD_OUTPUT, ""),
    ("no such column", "BEFORE INSERT", f"(drop (call $get_i64 (i32.const 1) (i32.const -1))) {KEEP}", BAD_OUTPUT, "column"),
    ("column beyond the last", "BEFORE INSERT", f"(call $set_null (call $columns)) {KEEP}", BAD_OUTPUT, "column"),
    ("number of a text", "BEFORE INSERT", f"(drop (call $get_i64 (i32.const 1) (i32.const 1))) {KEEP}", BAD_OUTPUT, ""),
    ("number for a text", "BEFORE INSERT", f"(call $set_i64 (i32.const 1) (i64.const 1)) {KEEP}", BAD_OUTPUT, ""),
    ("NULL in a key", "BEFORE INSERT", f"(call $set_null (i32.const 0)) {KEEP}", "23502", ""),
    ("key of another row", "BEFORE INSERT", f"(call $set_i64 (i32.const 0) (i64.const 1)) {KEEP}", "23505", ""),
    ("change afterwards", "AFTER INSERT", f"(call $set_i64 (i32.const 0) (i64.const 5)) {KEEP}", BAD_OUTPUT, "before"),
    ("text beyond memory", "BEFORE INSERT", f"(call $set_text (i32.const 1) (i32.const 65530) (i32.const 100)) {KEEP}", BAD_OUTPUT, "beyond"),
    ("text into nowhere", "BEFORE INSERT", f"(drop (call $get_text (i32.const 1) (i32.const 1) (i32.const -1) (i32.const 100))) {KEEP}", BAD_OUTPUT, "beyond"),
    ("no UTF-8", "BEFORE INSERT", f"(i32.store (i32.const 0) (i32.const -1)) (call $set_text (i32.const 1) (i32.const 0) (i32.const 4)) {KEEP}", BAD_OUTPUT, "UTF-8"),
    ("error of nothing", "BEFORE INSERT", f"(call $raise (i32.const 0) (i32.const 0)) {KEEP}", TRAP, ""),
    ("error beyond memory", "BEFORE INSERT", f"(call $raise (i32.const -1) (i32.const 9)) {KEEP}", BAD_OUTPUT, "beyond"),
    ("statements without end", "AFTER INSERT", "(loop (call $execute (i32.const 0) (i32.const 0)) (br 0)) i32.const 0", BAD_OUTPUT, "statements"),
    ("no SQL", "AFTER INSERT", execute("SELEKT 1"), "42601", ""),
    ("no such table", "AFTER INSERT", execute("INSERT INTO nowhere VALUES (1)"), "42P01", ""),
    ("division in SQL", "AFTER INSERT", execute("INSERT INTO victim SELECT 1 / 0, NULL"), "22012", ""),
    ("itself for ever", "AFTER INSERT", execute("INSERT INTO victim SELECT max(id) + 1 FROM victim"), "54001", ""),
    ("end of the transaction", "AFTER INSERT", execute("COMMIT"), "0A000 2D000 25001 25000", ""),
    ("undo of the transaction", "AFTER INSERT", execute("ROLLBACK"), "0A000 2D000 25001 25000", ""),
    ("end of the table", "AFTER INSERT", execute("DROP TABLE victim"), "0A000 55006 2BP01 25001", ""),
]  # fmt: skip


def evil(asker):
    if not asker.rows("SELECT 1 FROM pg_proc WHERE proname = 'good'"):
        prepare(asker)
    for name, when, body, states, text in EVIL:
        body, sql = body if isinstance(body, tuple) else (body, "")
        asker.run("DROP TABLE IF EXISTS victim; DROP FUNCTION IF EXISTS evil()")
        asker.run("CREATE TABLE victim (id bigint PRIMARY KEY, t text)")
        asker.run("INSERT INTO victim VALUES (1, 'one'), (2, 'two')")
        module = f"""(module {IMPORTS} (memory (export "memory") 1) (data $sql "{sql}") (func (export "evil") (result i32) {body}))"""
        asker.function("evil() RETURNS trigger", module.replace("'", "''"), rest="WITH (timeout = '300ms')")
        asker.run(f"CREATE TRIGGER evil {when} ON victim FOR EACH ROW EXECUTE FUNCTION evil()")
        with asker.refused(f"trigger: {name}", *states.split(), text=text):
            asker.run("INSERT INTO victim VALUES (10, 'ten'), (11, 'eleven')")
        asker.answers("SELECT * FROM victim ORDER BY id", [(1, "one"), (2, "two")])
        asker.refuses("BEGIN; INSERT INTO victim VALUES (3, 'three')", *states.split())
        asker.run("ROLLBACK")
        asker.answers("SELECT * FROM victim ORDER BY id", [(1, "one"), (2, "two")])
        check_alive(asker)
    asker.run("DROP TABLE victim; DROP FUNCTION evil()")

