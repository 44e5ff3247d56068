"""Guests that mean harm, or are broken: a clear error, nothing written, and the server serves on."""

import base64
import random
import tempfile
import threading
import time

import psycopg

TRAP, BAD_OUTPUT, STOPPED, LIMIT, BAD_MODULE, OUT_OF_MEMORY = "38000", "39000", "57014", "53400", "42P13", "53200"
LOOP = "(loop (br 0))"
SCALAR = '(module {fields} (func (export "f") (param i32) (result i32) {body}))'

# Name, other fields of the module, what the function does, options, SQLSTATE, a part of the message.
ONE_CALL = [
    ("endless loop", "", f"{LOOP} i32.const 0", "timeout = '200ms'", STOPPED, "time-out"),
    ("endless start", f"(func $s {LOOP}) (start $s)", "i32.const 0", "timeout = '200ms'", STOPPED, "time-out"),
    ("endless calls", "(func $g (result i32) (call $h)) (func $h (result i32) (i32.const 1))",
     "(loop (drop (call $g)) (br 0)) i32.const 0", "timeout = '200ms'", STOPPED, "time-out"),
    ("fuel", "", f"{LOOP} i32.const 0", "fuel = 10000", LIMIT, "fuel"),
    ("memory bomb", "(memory 1)", "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable",
     "memory = '2MB', timeout = '20s'", TRAP, "unreachable"),
    ("memory at once", "(memory 1024)", "i32.const 0", "memory = '1MB'", LIMIT, "memory"),
    ("memory of the process", "(memory 60000)", "i32.const 0", "memory = '4GB'", OUT_OF_MEMORY, "memory"),
    ("table bomb", "(table 1 funcref)", "(loop (br_if 0 (i32.ne (table.grow (ref.null func) (i32.const 10000)) (i32.const -1)))) unreachable",
     "", TRAP, "unreachable"),
    ("recursion", '(func $r (param i32) (result i32) (i32.add (i32.const 1) (call $r (local.get 0))))', "(call $r (local.get 0))", "", TRAP, "stack"),
    ("unreachable", "", "unreachable", "", TRAP, "unreachable"),
    ("null call", "(table 1 funcref) (type $t (func (result i32)))", "(call_indirect (type $t) (i32.const 0))", "", TRAP, ""),
    ("wrong call", "(table 1 funcref) (type $t (func (result i64))) (func $g (result i32) (i32.const 1)) (elem (i32.const 0) $g)",
     "(i32.wrap_i64 (call_indirect (type $t) (i32.const 0)))", "", TRAP, ""),
    ("out of bounds", "(memory 1)", "(i32.load (i32.const 65533))", "", TRAP, "out of bounds"),
    ("out of bounds by far", "(memory 1)", "(i32.load offset=4294967295 (i32.const -1))", "", TRAP, "out of bounds"),
    ("fill", "(memory 1)", "(memory.fill (i32.const 0) (i32.const 1) (i32.const 65537)) i32.const 0", "", TRAP, "out of bounds"),
    ("conversion", "", "(i32.trunc_f64_s (f64.const nan))", "", TRAP, ""),
]  # fmt: skip

BATCH = """(module (memory (export "memory") 1) (data (i32.const 40) "bad \\ff\\00text")
    (global $next (mut i32) (i32.const 1024))
    (func (export "alloc") (param $bytes i32) (param i32) (result i32)
        (global.get $next) (global.set $next (i32.and (i32.add (i32.add (global.get $next) (local.get $bytes)) (i32.const 15)) (i32.const -8))))
    (func (export "f") (param $args i32) (param $rows i32) (param $out i32) (result i32)
        {stores}
        (i32.const {code})))"""


def result(data, data_bytes, offsets, validity, rows, code=0):
    """A guest that gives this descriptor, whatever it is asked."""
    fields = enumerate([data, data_bytes, offsets, validity, rows])
    stores = " ".join(f"(i32.store offset={4 * i} (local.get $out) {value if isinstance(value, str) else f'(i32.const {value})'})" for i, value in fields)
    return BATCH.format(stores=stores, code=code)


ROWS = "(local.get $rows)"

# Name, the type it gives, the module, SQLSTATE, a part of the message.
BATCHES = [
    ("data beyond memory", "bigint", result(65_530, 16, 0, 0, ROWS), BAD_OUTPUT, "beyond"),
    ("data below zero", "bigint", result(-8, 8, 0, 0, ROWS), BAD_OUTPUT, "beyond"),
    ("length below zero", "bigint", result(0, -1, 0, 0, ROWS), BAD_OUTPUT, "beyond"),
    ("too little data", "bigint", result(0, 4, 0, 0, ROWS), BAD_OUTPUT, "4 bytes"),
    ("more rows", "bigint", result(0, 800, 0, 0, 100), BAD_OUTPUT, "rows"),
    ("no rows", "bigint", result(0, 0, 0, 0, 0), BAD_OUTPUT, "rows"),
    ("rows below zero", "bigint", result(0, 8, 0, 0, -1), BAD_OUTPUT, "rows"),
    ("validity beyond memory", "bigint", result(0, 8, 0, -1, ROWS), BAD_OUTPUT, "beyond"),
    ("nothing done", "text", result(0, 0, 0, 0, ROWS), None, None),
    ("offsets beyond memory", "text", result(0, 8, -4, 0, ROWS), BAD_OUTPUT, "beyond"),
    ("offsets fall", "text", result(0, 8, 44, 0, ROWS), BAD_OUTPUT, "rise"),
    ("data for more rows", "bigint", result(0, 65_536, 0, 0, ROWS), None, None),
    ("offsets and data are one", "bytea", result(0, 65_536, 0, 0, ROWS), None, None),
    ("no UTF-8", "text", BATCH.format(stores="""(i32.store (local.get $out) (i32.const 40)) (i32.store offset=4 (local.get $out) (i32.const 10))
        (i32.store offset=8 (local.get $out) (i32.const 64)) (i32.store (i32.const 68) (i32.const 10))
        (i32.store offset=16 (local.get $out) (local.get $rows))""", code=0), BAD_OUTPUT, "UTF-8"),
    ("time of day", "time", BATCH.format(stores="""(i64.store (i32.const 0) (i64.const 86400000001))
        (i32.store offset=4 (local.get $out) (i32.const 8)) (i32.store offset=16 (local.get $out) (local.get $rows))""", code=0), BAD_OUTPUT, "time of day"),
    ("decimal", "numeric", BATCH.format(stores="""(i64.store (i32.const 8) (i64.const 0x7fffffffffffffff))
        (i32.store offset=4 (local.get $out) (i32.const 16)) (i32.store offset=16 (local.get $out) (local.get $rows))""", code=0), BAD_OUTPUT, "digits"),
    ("date", "date", BATCH.format(stores="""(i32.store (i32.const 0) (i32.const 2147483646))
        (i32.store offset=4 (local.get $out) (i32.const 4)) (i32.store offset=16 (local.get $out) (local.get $rows))""", code=0), BAD_OUTPUT, ""),
    ("time stamp", "timestamp", BATCH.format(stores="""(i64.store (i32.const 0) (i64.const 0x7ffffffffffffffe))
        (i32.store offset=4 (local.get $out) (i32.const 8)) (i32.store offset=16 (local.get $out) (local.get $rows))""", code=0), BAD_OUTPUT, ""),
    ("zero in a text", "text", BATCH.format(stores="""(i32.store (local.get $out) (i32.const 0)) (i32.store offset=4 (local.get $out) (i32.const 10))
        (i32.store offset=8 (local.get $out) (i32.const 64)) (i32.store (i32.const 68) (i32.const 3))
        (i32.store offset=16 (local.get $out) (local.get $rows))""", code=0), BAD_OUTPUT, ""),
    ("no JSON", "json", BATCH.format(stores="""(i32.store (local.get $out) (i32.const 40)) (i32.store offset=4 (local.get $out) (i32.const 10))
        (i32.store offset=8 (local.get $out) (i32.const 64)) (i32.store (i32.const 68) (i32.const 3))
        (i32.store offset=16 (local.get $out) (local.get $rows))""", code=0), BAD_OUTPUT, ""),
    ("descriptor over arguments", "bigint", BATCH.format(stores="(memory.fill (i32.const 0) (i32.const 255) (i32.const 65536))", code=0), BAD_OUTPUT, ""),
    ("unreadable error", "bigint", result(40, 10, 0, 0, 0, 1), TRAP, "bad"),
    ("error beyond memory", "bigint", result(65_530, 100, 0, 0, 0, 1), BAD_OUTPUT, "beyond"),
    ("error without text", "bigint", result(0, 0, 0, 0, 0, -7), TRAP, "-7"),
    ("long error", "bigint", result(0, 65_536, 0, 0, 0, 1), TRAP, ""),
]  # fmt: skip

COMPONENT = """(component
    (core module $m (memory (export "memory") 1) (global $n (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc})
        (func (export "one") (param i32 i32) (result i32) {body})
        (func (export "two") (param i32 i32 i32 i32) (result i32) {body}))
    (core instance $i (instantiate $m))
    (alias core export $i "memory" (core memory $memory))
    (alias core export $i "realloc" (core func $realloc))
    (func $one (param "a" (list u8)) (result (result (list u8) (error string)))
        (canon lift (core func $i "one") (memory $memory) (realloc (core func $realloc))))
    (func $two (param "a" (list u8)) (param "b" (list u8)) (result (result (list u8) (error string)))
        (canon lift (core func $i "two") (memory $memory) (realloc (core func $realloc))))
    (instance $many (export "accumulate" (func $two)) (export "merge" (func $two)) (export "finish" (func $one)))
    (export "one" (func $one)) (export "many" (instance $many)))"""
REALLOC = """(global.get $n)
    (global.set $n (i32.and (i32.add (global.get $n) (i32.add (local.get 3) (i32.const 7))) (i32.const -8)))"""


def answer(is_error, at, length):
    """A component's function that answers with these bytes, whatever it is asked."""
    return f"""(i32.store (i32.const 0) (i32.const {is_error})) (i32.store (i32.const 4) (i32.const {at}))
        (i32.store (i32.const 8) (i32.const {length})) (i32.const 0)"""


# Name, how it takes room for arguments, what it answers, SQLSTATE.
COMPONENTS = [
    ("endless", REALLOC, f"{LOOP} i32.const 0", STOPPED),
    ("trap", REALLOC, "unreachable", TRAP),
    ("memory bomb", REALLOC, "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable", LIMIT),
    ("error", REALLOC, answer(1, 1024, 0), TRAP),
    ("no stream", REALLOC, answer(0, 0, 100), BAD_OUTPUT),
    ("a stream's end", REALLOC, f"(i64.store (i32.const 100) (i64.const 0xffffffff)) {answer(0, 100, 8)}", BAD_OUTPUT),
    ("a huge message", REALLOC, f"(i64.store (i32.const 100) (i64.const 0x7ffffff0ffffffff)) {answer(0, 100, 4000)}", BAD_OUTPUT),
    ("beyond memory", REALLOC, answer(0, 65_530, 100), BAD_OUTPUT),
    ("length below zero", REALLOC, answer(0, 0, -1), BAD_OUTPUT),
    ("neither answer nor error", REALLOC, answer(7, 0, 0), BAD_OUTPUT),
    ("answer beyond memory", REALLOC, "(i32.const 65532)", BAD_OUTPUT),
    ("answer unaligned", REALLOC, "(i32.const 3)", BAD_OUTPUT),
    ("error that is not UTF-8", REALLOC, f"(i32.store (i32.const 100) (i32.const -1)) {answer(1, 100, 4)}", BAD_OUTPUT),
    ("realloc beyond memory", "(i32.const 65530)", answer(0, 0, 0), BAD_OUTPUT),
    ("realloc traps", "unreachable", answer(0, 0, 0), TRAP),
    ("endless realloc", f"{LOOP} (i32.const 8)", answer(0, 0, 0), STOPPED),
]  # fmt: skip

BATCH_HEAD = '(module (memory (export "memory") 1) (func (export "alloc") (param i32 i32) (result i32) {alloc}) {reset}'
BATCH_TAIL = '(func (export "f") (param i32 i32 i32) (result i32) (i32.const 0)))'
ALLOCS = [
    ("alloc gives nothing", "(i32.const 0)", "", LIMIT, "memory"),
    ("alloc beyond memory", "(i32.const 65536)", "", BAD_OUTPUT, "beyond"),
    ("alloc below zero", "(i32.const -8)", "", BAD_OUTPUT, ""),
    ("alloc unaligned", "(i32.const 12)", "", BAD_OUTPUT, "aligned"),
    ("alloc for ever", f"{LOOP} (i32.const 8)", "", STOPPED, "time-out"),
    ("alloc traps", "unreachable", "", TRAP, "unreachable"),
]

# What CREATE FUNCTION refuses: name, the text behind AS, options.
REFUSED = [
    ("no base64", "?", ""),
    ("nothing", "", ""),
    ("no module", base64.b64encode(b"hello, world").decode(), ""),
    ("text that does not end", "(module", ""),
    ("header alone", base64.b64encode(b"\0asm").decode(), ""),
    ("another version", base64.b64encode(b"\0asm\2\0\0\0").decode(), ""),
    ("no such export", "(module)", ""),
    ("export of another kind", '(module (memory (export "f") 1))', ""),
    ("another type", '(module (func (export "f") (param i64) (result i32) (i32.const 0)))', ""),
    ("no result", '(module (func (export "f") (param i32)))', ""),
    ("two results", '(module (func (export "f") (param i32) (result i32 i32) (i32.const 0) (i32.const 0)))', ""),
    ("wrong body", SCALAR.format(fields="", body="(i64.const 0)"), ""),
    ("import of a system", '(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))'
     ' (func (export "f") (param i32) (result i32) (i32.const 0)))', ""),
    ("import of triggers", '(module (import "lightning" "event" (func (result i32))) (func (export "f") (param i32) (result i32) (i32.const 0)))', ""),
    ("import of memory", '(module (import "env" "memory" (memory 1)) (func (export "f") (param i32) (result i32) (i32.const 0)))', ""),
    ("shared memory", SCALAR.format(fields="(memory 1 2 shared)", body="(i32.const 0)"), ""),
    ("memory of 64 bits", SCALAR.format(fields="(memory i64 1)", body="(i32.const 0)"), ""),
    ("two memories", SCALAR.format(fields="(memory 1) (memory 1)", body="(i32.const 0)"), ""),
    ("exceptions", SCALAR.format(fields="(tag $t)", body="(throw $t)"), ""),
    ("a batch without memory", '(module (func (export "f") (param i32 i32 i32) (result i32) (i32.const 0)))', "WITH (abi = 'batch')"),
    ("a module as a component", SCALAR.format(fields="", body="(i32.const 0)"), "WITH (abi = 'component')"),
]  # fmt: skip


def check_alive(asker):
    """The same session, a new one, and a guest in each."""
    asker.answers("SELECT good(20, 22)", [(42,)])
    with asker.server.connect() as other:
        asker.equal("a new session", other.execute("SELECT good(1, 2), count(*) FROM kept").fetchone(), (3, 100))


def prepare(asker):
    asker.run(
        """CREATE FUNCTION good(integer, integer) RETURNS integer LANGUAGE wasm IMMUTABLE AS
        '(module (func (export "good") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'"""
    )
    asker.run("CREATE TABLE kept (id integer PRIMARY KEY, v integer)")
    asker.run("INSERT INTO kept SELECT i, i FROM generate_series(1, 100) s (i)")


def create(asker, text, arguments="integer", returns="integer", rest=""):
    asker.run("DROP FUNCTION IF EXISTS f")
    asker.function(f"f({arguments}) RETURNS {returns}", text.replace("'", "''"), rest=f"VOLATILE {rest}")


def compare(asker, rng, is_long):
    if not asker.rows("SELECT 1 FROM pg_proc WHERE proname = 'good'"):
        prepare(asker)
    for part in [calls, batches, components, modules, stopping, half_way, state, large, memory_returns]:
        part(asker)
    mutations(asker, rng, 1000 if is_long else 60)


def calls(asker):
    for name, fields, body, options, code, text in ONE_CALL:
        create(asker, SCALAR.format(fields=fields, body=body), rest=f"WITH ({options})" if options else "")
        began = time.monotonic()
        with asker.refused(name, code, text=text):
            asker.run("SELECT f(id) FROM kept")
        asker.equal(f"{name}: in time", time.monotonic() - began < 10, True)
        check_alive(asker)


def batches(asker):
    for name, returns, module, code, text in BATCHES:
        create(asker, module, returns=returns, rest="WITH (abi = 'batch')")
        if code is None:
            asker.equal(name, len(asker.rows("SELECT f(id) FROM kept WHERE id <= 8")), 8)
        else:
            with asker.refused(name, code, text=text):
                asker.run("SELECT f(id) FROM kept WHERE id = 1")
        check_alive(asker)
    for name, alloc, reset, code, text in ALLOCS:
        create(asker, BATCH_HEAD.format(alloc=alloc, reset=reset) + BATCH_TAIL, rest="WITH (abi = 'batch', timeout = '200ms')")
        with asker.refused(name, code, text=text):
            asker.run("SELECT f(id) FROM kept")
        check_alive(asker)


def components(asker):
    for name, realloc, body, code in COMPONENTS:
        text = COMPONENT.format(realloc=realloc, body=body)
        limits = "WITH (timeout = '200ms', memory = '1MB')"
        for kind, head, export, call in [
            ("FUNCTION", "one(double precision) RETURNS double precision", "one", "SELECT one(id) FROM kept"),
            ("FUNCTION", "rows_of(double precision) RETURNS TABLE (x bigint)", "one", "SELECT * FROM rows_of(1)"),
            ("AGGREGATE", "many(double precision) RETURNS double precision", "many", "SELECT many(id) FROM kept"),
        ]:  # fmt: skip
            asker.function(head, text, export=export, kind=kind, rest=limits)
            # Of a state, which is any bytes, only finish makes a stream.
            with asker.refused(f"component: {name}, {head}", code):
                asker.run(call)
            check_alive(asker)


def modules(asker):
    for name, text, rest in REFUSED:
        with asker.refused(name, BAD_MODULE):
            create(asker, text, rest=rest)
        asker.answers("SELECT count(*) FROM pg_proc WHERE proname = 'f'", [(0,)])
    for options in ["memory = '5GB'", "memory = 'x'", "timeout = '0'", "fuel = 0", "abi = 'c'", "speed = 1"]:
        with asker.refused(options, "22023"):
            create(asker, SCALAR.format(fields="", body="(i32.const 0)"), rest=f"WITH ({options})")
    check_alive(asker)


def stopping(asker):
    """A function that may run for a minute is stopped by the statement's time-out, by a cancel, by its client's end."""
    create(asker, SCALAR.format(fields="", body=f"{LOOP} (i32.const 0)"), rest="WITH (timeout = '1min')")
    asker.run("SET statement_timeout = '300ms'")
    began = time.monotonic()
    asker.refuses("SELECT f(id) FROM kept", STOPPED)
    asker.run("RESET statement_timeout")
    asker.equal("statement_timeout stops a guest", time.monotonic() - began < 5, True)
    check_alive(asker)

    with asker.server.connect() as other:
        done = threading.Event()

        def cancel():
            # The statement may not have begun yet.
            while not done.wait(0.05):
                other.cancel()

        thread = threading.Thread(target=cancel)
        thread.start()
        began = time.monotonic()
        try:
            with asker.refused("a cancel stops a guest", STOPPED):
                other.execute("INSERT INTO kept SELECT 1000, f(id) FROM kept")
        finally:
            done.set()
            thread.join()
        asker.equal("a cancel stops a guest soon", time.monotonic() - began < 5, True)
    check_alive(asker)

    statement = "SELECT f(4711)"
    running = f"SELECT count(*) FROM lightning.queries WHERE query = '{statement}'"
    other = asker.server.connect()
    other.pgconn.send_query(statement.encode())
    while other.pgconn.flush():
        pass
    asker.equal("a guest that runs", waits_for(lambda: asker.value(running) == 1), True)
    other.close()
    asker.equal("the client's end stops a guest", waits_for(lambda: asker.value(running) == 0), True)
    check_alive(asker)


def waits_for(condition):
    """Whether it comes true within some seconds."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def half_way(asker):
    """A trap in the last row: of what the statement wrote before, nothing is there."""
    create(asker, SCALAR.format(fields="", body="(i32.div_s (i32.const 100) (i32.sub (local.get 0) (i32.const 50000)))"))
    asker.run("CREATE TABLE source AS SELECT i AS id FROM generate_series(1, 50000) s (i)")
    asker.run("CREATE TABLE target (id integer PRIMARY KEY, v integer)")
    asker.refuses("INSERT INTO target SELECT id, f(id) FROM source", TRAP, text="divide by zero")
    asker.answers("SELECT count(*) FROM target", [(0,)])
    asker.run("INSERT INTO target SELECT id, 0 FROM source")
    asker.refuses("UPDATE target SET v = f(id)", TRAP)
    asker.refuses("DELETE FROM target WHERE f(id) = 7 OR id > 0", TRAP)
    asker.answers("SELECT count(*), sum(v) FROM target", [(50_000, 0)])
    asker.run("BEGIN; INSERT INTO target VALUES (0, 1); SAVEPOINT s")
    asker.refuses("UPDATE target SET v = f(id)", TRAP)
    asker.run("ROLLBACK TO s; COMMIT")
    asker.answers("SELECT count(*), sum(v) FROM target", [(50_001, 1)])
    asker.refuses("CREATE TABLE made AS SELECT f(id) FROM source", TRAP)
    asker.refuses("SELECT * FROM made", "42P01")
    asker.run("DROP TABLE source; DROP TABLE target")
    check_alive(asker)


def state(asker):
    """A guest that counts its calls, whatever it says of itself, gives as many answers as there are rows and hurts nobody."""
    module = """(module (global $n (mut i32) (i32.const 0)) (func (export "f") (param i32) (result i32)
        (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"""
    for volatility in ["VOLATILE", "STABLE", "IMMUTABLE"]:
        asker.run("DROP FUNCTION IF EXISTS f")
        asker.function("f(integer) RETURNS integer", module, rest=volatility)
        asker.answers("SELECT count(*), count(v) FROM (SELECT f(id) AS v FROM kept ORDER BY f(id), id) s", [(100, 100)])
        asker.run("SELECT f(id), count(*) FROM kept GROUP BY f(id)")
        asker.run("SELECT count(*) FROM kept l JOIN kept r ON f(l.id) = f(r.id)")
        asker.run("SELECT row_number() OVER (PARTITION BY f(id) % 3 ORDER BY f(id)) FROM kept")
        # It does not remember another statement.
        asker.answers("SELECT f(1) FROM kept WHERE id = 1", [(1,)])
        asker.answers("SELECT f(id) FROM kept WHERE id = 1", [(1,)])
    check_alive(asker)


def mutations(asker, rng, each):
    """Modules with a few bytes changed, cut off or made longer: refused, or called to some end."""
    arguments = {
        "c_scalar": ("quotient(integer, integer) RETURNS integer", "(7, 2)", ""),
        "c_text": ("joined(text, text) RETURNS text", "('a', 'b')", "abi = 'batch', "),
        "assemblyscript_text": ("rot13(text) RETURNS text", "('abc')", "abi = 'batch', "),
        "component_statistics": ("total(bigint, bigint) RETURNS bigint", "(1, 2)", ""),
    }
    allowed = {TRAP, BAD_OUTPUT, STOPPED, LIMIT, BAD_MODULE, OUT_OF_MEMORY}
    for name, (head, call, abi) in arguments.items():
        whole = (asker.guests / f"{name}.wasm").read_bytes()
        for _ in range(each):
            seed = rng.getrandbits(32)
            module, one = bytearray(whole), random.Random(seed)
            for _ in range(one.choice([1, 1, 3, 20])):
                module[one.randrange(len(module))] = one.randrange(256)
            if one.random() < 0.2:
                del module[one.randrange(len(module)) :]
            asker.asked += 1
            try:
                asker.run("DROP SCHEMA IF EXISTS mutant CASCADE; CREATE SCHEMA mutant")
                asker.function(f"mutant.{head}", base64.b64encode(module).decode(), rest=f"VOLATILE WITH ({abi}timeout = '200ms')")
                asker.run(f"SELECT mutant.{head.split('(')[0]}{call}")
            except psycopg.OperationalError as e:
                if e.sqlstate is None:
                    raise SystemExit(f"{name} with the changes of {seed} ends the server: {e}") from e
                if e.sqlstate not in allowed:
                    asker.wrong(f"{name} with the changes of {seed}", f"{e.sqlstate} {e}")
            except psycopg.Error as e:
                if e.sqlstate not in allowed:
                    asker.wrong(f"{name} with the changes of {seed}", f"{e.sqlstate} {e}")
        asker.run("DROP SCHEMA IF EXISTS mutant CASCADE")
        check_alive(asker)


def large(asker):
    """A module of 100 MB is refused before it is compiled, and one of 17 MB, be it in the statement or in a file."""
    for megabytes, is_file in [(100, True), (17, True), (17, False)]:
        # A section without a meaning, of so many bytes.
        size = megabytes << 20
        length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21 & 0x7F])
        begin = b"\0asm\1\0\0\0\0" + length + b"\0"
        with tempfile.NamedTemporaryFile(suffix=".wasm") as file, asker.refused(f"a module of {megabytes} MB", "54000"):
            if is_file:
                file.write(begin)
                file.truncate(len(begin) + size - 1)
                file.flush()
            create(asker, f"file:{file.name}" if is_file else base64.b64encode(begin + bytes(size - 1)).decode())
        check_alive(asker)
    with asker.refused("a file that is not there", "58P01"):
        create(asker, "file:/nowhere/at/all.wasm")
    with asker.refused("a file that is no module", BAD_MODULE):
        create(asker, f"file:{__file__}")


def memory_returns(asker):
    """Guests that take all they may, again and again."""
    grow = "(drop (memory.grow (i32.const 960))) (memory.fill (i32.const 0) (i32.const 1) (i32.const 62914560))"
    create(asker, SCALAR.format(fields="(memory 1)", body=f"(if (i32.lt_u (memory.size) (i32.const 900)) (then {grow})) (i32.const 0)"))
    for _ in range(3):
        asker.run("SELECT sum(f(id)) FROM kept")
    before = asker.server.resident_bytes()
    for _ in range(15):
        asker.run("SELECT sum(f(id)) FROM kept")
    asker.equal("memory returns", asker.server.resident_bytes() - before < 200 << 20, True)
    check_alive(asker)
