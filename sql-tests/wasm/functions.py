"""Functions of modules beside the same in SQL, or in Python where SQL has no such thing."""

import struct

from data import COLUMNS, SIZES

# Head, module, export and options; a call; the same in SQL.
FUNCTIONS = [
    # ---- One call a row.
    ("s_muladd(a bigint, b bigint, c bigint) RETURNS bigint", "c_scalar", "muladd", "IMMUTABLE", "s_muladd(a, b, c)", "a * b + c"),
    ("s_hypotenuse(double precision, double precision) RETURNS double precision", "c_scalar", "hypotenuse", "IMMUTABLE STRICT",
     "s_hypotenuse(low, high)", "sqrt(low * low + high * high)"),
    ("s_clamp(double precision, double precision, double precision) RETURNS double precision", "c_scalar", "clamp", "",
     "s_clamp(x, low, high)", "CASE WHEN low IS NULL OR high IS NULL THEN NULL WHEN x < low THEN low WHEN x <= high THEN x WHEN x > high THEN high END"),
    ("half_real(real) RETURNS real", "c_scalar", None, "STABLE", "half_real(f)", "(f / 2)::real"),
    ("half_small(smallint) RETURNS smallint", "c_scalar", None, "", "half_small(s)", "s / 2::smallint"),
    ("differ(boolean, boolean) RETURNS boolean", "c_scalar", None, "", "differ(p, q)", "p <> q"),
    ("add_days(d date, days integer) RETURNS date", "c_scalar", None, "", "add_days(d, i)", "d + i"),
    ("s_add_seconds(timestamp, bigint) RETURNS timestamp", "c_scalar", "add_seconds", "", "s_add_seconds(ts, a)", "ts + a * interval '1 second'"),
    ("hour_of(timestamptz) RETURNS timestamptz", "c_scalar", None, "", "hour_of(tz)", "date_trunc('hour', tz)"),
    ("add_minutes(time, integer) RETURNS time", "c_scalar", None, "", "add_minutes(tm, i)", "tm + i * interval '1 minute'"),
    ("a_muladd(bigint, bigint, bigint) RETURNS bigint", "assemblyscript_scalar", "muladd", "", "a_muladd(a, b, c)", "a * b + c"),
    ("a_hypotenuse(double precision, double precision) RETURNS double precision", "assemblyscript_scalar", "hypotenuse", "",
     "a_hypotenuse(low, high)", "sqrt(low * low + high * high)"),
    ("is_leap_year(integer) RETURNS boolean", "assemblyscript_scalar", None, "", "is_leap_year(i)",
     "(i % 4 = 0 AND i % 100 <> 0) OR i % 400 = 0"),
    # ---- One call a batch.
    ("muladd(a bigint, b bigint, c bigint) RETURNS bigint", "c_numbers", None, "IMMUTABLE WITH (abi = 'batch')", "muladd(a, b, c)", "a * b + c"),
    ("muladd_strict(bigint, bigint, bigint) RETURNS bigint", "c_numbers", "muladd", "IMMUTABLE STRICT WITH (abi = 'batch', fuel = 100000000)",
     "muladd_strict(a, b, c)", "a * b + c"),
    ("clamp(double precision, double precision, double precision) RETURNS double precision", "c_numbers", None, "WITH (abi = 'batch')",
     "clamp(x, low, high)", "s_clamp(x, low, high)"),
    ("implies(boolean, boolean) RETURNS boolean", "c_numbers", None, "WITH (abi = 'batch')", "implies(p, q)", "NOT p OR q"),
    ("sum_small(smallint, smallint) RETURNS smallint", "c_numbers", None, "WITH (abi = 'batch')", "sum_small(s, r)", "s + r"),
    ("next_day(date) RETURNS date", "c_numbers", None, "STRICT WITH (abi = 'batch')", "next_day(d)", "d + 1"),
    ("add_seconds(timestamptz, bigint) RETURNS timestamptz", "c_numbers", None, "WITH (abi = 'batch')", "add_seconds(tz, a)",
     "tz + a * interval '1 second'"),
    ("half(numeric) RETURNS numeric", "c_numbers", None, "WITH (abi = 'batch')", "half(n)", "round(n / 2, 10)"),
    ("twice(interval) RETURNS interval", "c_numbers", None, "WITH (abi = 'batch')", "twice(v)::text", "(v * 2)::text"),
    ("with_version_4(uuid) RETURNS uuid", "c_numbers", None, "WITH (abi = 'batch')", "with_version_4(g)",
     "(substr(g::text, 1, 14) || '4' || substr(g::text, 16))::uuid"),
    ("reciprocal(double precision) RETURNS double precision", "c_numbers", None, "WITH (abi = 'batch')",
     "CASE WHEN low <> 0 THEN reciprocal(low) END", "CASE WHEN low <> 0 THEN 1 / low END"),
    ("zero() RETURNS bigint", "c_numbers", None, "WITH (abi = 'batch')", "zero()", "0"),
    ("upper_ascii(text) RETURNS text", "c_text", None, "IMMUTABLE WITH (abi = 'batch')", "upper_ascii(t)",
     "translate(t, 'abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ')"),
    ("joined(text, text) RETURNS text", "c_text", None, "WITH (abi = 'batch')", "joined(t, u)", "concat(t, u)"),
    ("joined_strict(text, text) RETURNS text", "c_text", "joined", "STRICT WITH (abi = 'batch')", "joined_strict(t, u)", "t || u"),
    ("characters(text) RETURNS integer", "c_text", None, "WITH (abi = 'batch')", "characters(t)", "char_length(t)"),
    ("distance(text, text) RETURNS integer", "c_text", "levenshtein", "STRICT WITH (abi = 'batch')", "distance(t, u)", "levenshtein(t, u)"),
    ("rot13(text) RETURNS text", "assemblyscript_text", None, "WITH (abi = 'batch')", "rot13(t)",
     "translate(t, 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ', 'nopqrstuvwxyzabcdefghijklmNOPQRSTUVWXYZABCDEFGHIJKLM')"),
    ("head(text, text) RETURNS text", "assemblyscript_text", None, "WITH (abi = 'batch')", "head(t, CASE WHEN p THEN '.' WHEN q THEN 'a' END)",
     "CASE WHEN p THEN split_part(t, '.', 1) WHEN q THEN split_part(t, 'a', 1) ELSE t END"),
    # ---- Streams of Arrow.
    ("total(bigint, bigint) RETURNS bigint", "component_statistics", None, "", "total(a, c)", "a + c"),
    ("total(double precision, double precision) RETURNS double precision", "component_statistics", None, "IMMUTABLE STRICT",
     "total(x, low)", "x + low"),
]  # fmt: skip


def create(asker):
    modules = {name: asker.module(name) for name in {function[1] for function in FUNCTIONS}}
    for head, module, export, options, _, _ in FUNCTIONS:
        asker.function(head, modules[module], export=export, rest=options)


def compare(asker, rng):
    """Each of them on all rows, on whole batches, on one row and on none; and where nothing is NULL."""
    for head, _, _, _, call, same in FUNCTIONS:
        for table, rows in [*(("data", size) for size in SIZES), ("data_full", SIZES[-1])]:
            source = f"FROM {table} WHERE id < {rows}"
            asker.asked += 1
            wrong = asker.value(f"SELECT count(*) FILTER (WHERE ({call}) IS DISTINCT FROM ({same})) {source}")
            if wrong:
                shown = f"SELECT id, {call}, {same} {source} AND ({call}) IS DISTINCT FROM ({same}) ORDER BY id LIMIT 3"
                asker.wrong(shown, f"{wrong} rows differ, as {asker.rows(shown)}")
    compare_every_type(asker)
    compare_with_python(asker, rng)
    compare_places(asker)
    compare_errors(asker)


def compare_every_type(asker):
    """A column of each type goes into a guest and comes back."""
    module = asker.module("c_numbers")
    for kind in dict.fromkeys(COLUMNS.values()):
        for strict in ["", "STRICT"]:
            asker.function(f"same(x {kind}) RETURNS {kind}", module, rest=f"{strict} WITH (abi = 'batch')")
            for column in (column for column, of in COLUMNS.items() if of == kind):
                shown = f"SELECT count(*) FILTER (WHERE same({column})::text IS DISTINCT FROM {column}::text) FROM data"
                asker.answers(shown, [(0,)])


def wrapped(value):
    return (value + 2**63) % 2**64 - 2**63


def compare_with_python(asker, rng):
    edges = [0, 1, -1, 2**63 - 1, -(2**63), 2**32, -(2**31)]
    triples = [tuple(rng.choice(edges) if rng.random() < 0.5 else rng.randint(-(2**63), 2**63 - 1) for _ in "abc") for _ in range(200)]
    asker.run("CREATE TABLE edges (id integer PRIMARY KEY, a bigint, b bigint, c bigint)")
    asker.run("INSERT INTO edges VALUES " + ", ".join(str((id, *map(str, triple))) for id, triple in enumerate(triples)))
    for name in ["muladd", "s_muladd", "a_muladd"]:
        got = asker.rows(f"SELECT {name}(a, b, c) FROM edges ORDER BY id")
        asker.equal(f"{name} around the ends of bigint", got, [(wrapped(a * b + c),) for a, b, c in triples])

    asker.function("xor(bytea, bytea) RETURNS bytea", asker.module("c_text"), rest="WITH (abi = 'batch')")
    for y, z, crossed in asker.rows("SELECT y, z, xor(y, z) FROM data WHERE id < 1000"):
        both = None if y is None or z is None else bytes(p ^ q for p, q in zip(y, z))
        asker.equal(f"xor({y!r}, {z!r})", crossed, both)

    # NaN has one form, wherever it comes from; sums and products of floats are those of everybody.
    asker.run(
        """CREATE OR REPLACE FUNCTION bits(double precision) RETURNS bigint LANGUAGE wasm AS
        '(module (func (export "bits") (param f64) (result i64) (i64.reinterpret_f64 (f64.add (local.get 0) (f64.const 0)))))'"""
    )
    for number in [1.5, -0.0, float("inf"), float("nan"), rng.uniform(-9, 9)]:
        wanted = struct.unpack("<q", struct.pack("<d", number + 0.0))[0]
        asker.equal(f"bits({number})", asker.value("SELECT bits(%s)", number), wanted)


def compare_places(asker):
    """Wherever an expression can stand."""
    pairs = [
        ("SELECT sum(muladd(a, b, c)) FROM data", "SELECT sum(a * b + c) FROM data"),
        ("SELECT count(*) FROM data WHERE muladd(a, b, c) > 0", "SELECT count(*) FROM data WHERE a * b + c > 0"),
        ("SELECT half_small(s), count(*) FROM data GROUP BY half_small(s) ORDER BY 1", "SELECT s / 2, count(*) FROM data GROUP BY 1 ORDER BY 1"),
        ("SELECT id FROM data ORDER BY upper_ascii(t), id LIMIT 20 OFFSET 9000", "SELECT id FROM data ORDER BY translate(t,"
         " 'abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'), id LIMIT 20 OFFSET 9000"),
        ("SELECT count(*) FROM data_full l JOIN data_full r ON half_small(l.s) = next_day(r.d) - r.d + l.s",
         "SELECT count(*) FROM data_full l JOIN data_full r ON l.s / 2 = 1 + l.s"),
        ("SELECT muladd(muladd(a, b, c), 2, s_muladd(a, 1, 1)) FROM data WHERE id < 9 ORDER BY id",
         "SELECT (a * b + c) * 2 + a + 1 FROM data WHERE id < 9 ORDER BY id"),
        ("SELECT max(muladd(a, b, c)) OVER (ORDER BY id ROWS 3 PRECEDING) FROM data WHERE id < 50 ORDER BY id",
         "SELECT max(a * b + c) OVER (ORDER BY id ROWS 3 PRECEDING) FROM data WHERE id < 50 ORDER BY id"),
        ("SELECT (SELECT max(muladd(d.a, 2, 1))) FROM data d WHERE id < 5 ORDER BY id", "SELECT a * 2 + 1 FROM data WHERE id < 5 ORDER BY id"),
        ("SELECT muladd(6, 7, 0), upper_ascii('x'), zero(), half(3)::text", "SELECT 42::bigint, 'X', 0::bigint, 1.5::numeric(38,10)::text"),
        ("SELECT CASE WHEN j <> 0 THEN quotient(i, j) END FROM data WHERE id < 3000 ORDER BY id",
         "SELECT CASE WHEN j <> 0 THEN i / j END FROM data WHERE id < 3000 ORDER BY id"),
        ("SELECT public.muladd(i, j, s) FROM data WHERE id < 9 ORDER BY id", "SELECT i::bigint * j + s FROM data WHERE id < 9 ORDER BY id"),
    ]  # fmt: skip
    asker.function("quotient(integer, integer) RETURNS integer", asker.module("c_scalar"))
    for ours, same in pairs:
        asker.equal(ours, asker.rows(ours), asker.rows(same))

    asker.run("CREATE TABLE written (id bigint PRIMARY KEY, v bigint)")
    asker.run("INSERT INTO written SELECT id, muladd(a, b, c) FROM data")
    asker.run("UPDATE written SET v = muladd(v, 2, 1) WHERE muladd(id, 1, 0) % 2 = 0")
    asker.run("DELETE FROM written WHERE muladd(id, 3, 0) % 7 = 0")
    asker.answers("SELECT count(*) FROM written", [(sum(1 for id in range(20_000) if id * 3 % 7),)])
    asker.answers(
        "SELECT count(*) FROM written w JOIN data d USING (id) WHERE w.v IS DISTINCT FROM"
        " CASE WHEN id % 2 = 0 THEN 2 * (a * b + c) + 1 ELSE a * b + c END", [(0,)]
    )  # fmt: skip
    asker.run("CREATE VIEW by_function AS SELECT id, muladd(a, b, c) AS v FROM data")
    asker.answers("SELECT count(*) FROM by_function f JOIN data d USING (id) WHERE f.v <> d.a * d.b + d.c", [(0,)])
    asker.refuses("DROP FUNCTION muladd", "2BP01")
    asker.run("DROP VIEW by_function; DROP TABLE written")
    for a in [5, None]:
        asker.answers("SELECT muladd(%s, 2, 1)", [(a and 11,)], a)


def compare_errors(asker):
    asker.refuses("SELECT quotient(1, 0)", "38000", text="divide by zero")
    asker.refuses("SELECT quotient(-2147483648, -1)", "38000", text="overflow")
    asker.refuses("SELECT reciprocal(low) FROM (VALUES (1.0::double precision), (0)) v (low)", "38000", text="zero has no reciprocal")
    asker.function("twice_small(smallint) RETURNS smallint", asker.module("c_scalar"))
    asker.answers("SELECT twice_small(16383::smallint)", [(32766,)])
    asker.refuses("SELECT twice_small(16384::smallint)", "39000")
    asker.refuses("SELECT muladd(1, 2)", "42883")
    asker.refuses("SELECT muladd('x'::text, 2, 3)", "42883")


def compare_many(asker):
    """Aggregates and functions that give rows."""
    module = asker.module("component_statistics")
    for name, export in [("product", "product"), ("geometric_mean", "geometric-mean")]:
        asker.function(f"{name}(x double precision) RETURNS double precision", module, export=export, kind="AGGREGATE")
    asker.run("CREATE TABLE sample (id bigint PRIMARY KEY, g integer, x double precision)")
    asker.run("INSERT INTO sample SELECT id, i % 50, CASE WHEN id % 11 > 0 THEN 0.5 + abs(j % 100) / 100.0 END FROM data WHERE i IS NOT NULL")
    asker.run("INSERT INTO sample VALUES (100001, 1000, NULL), (100002, 1001, 2), (100003, 1001, NULL)")
    close = "abs({} - {}) <= 1e-9 * abs({})"
    for grouping, source in [("GROUP BY g", "sample"), ("", "sample WHERE id < 3000"), ("", "sample WHERE id < 0"), ("", "sample WHERE g = 1000")]:
        asker.answers(
            f"SELECT count(*) FROM (SELECT product(x) AS p, exp(sum(ln(x))) AS q, geometric_mean(x) AS m, exp(avg(ln(x))) AS n FROM {source} {grouping}) s"
            f" WHERE NOT CASE WHEN n IS NULL THEN p IS NULL AND m IS NULL ELSE {close.format('p', 'q', 'q')} AND {close.format('m', 'n', 'n')} END",
            [(0,)],
        )
    asker.answers("SELECT product(x), geometric_mean(x), count(*) FROM sample WHERE g = 1001", [(2.0, 2.0, 2)])
    asker.answers("SELECT product(x) FILTER (WHERE x > 1) FROM sample WHERE g = 1001", [(2.0,)])
    asker.answers("SELECT product(x ORDER BY x), count(DISTINCT x) FROM sample WHERE g = 1001", [(2.0, 1)])
    asker.answers(
        "SELECT product(i::double precision) OVER (ORDER BY i) FROM generate_series(1, 6) s (i) ORDER BY i", [(f,) for f in [1.0, 2, 6, 24, 120, 720]]
    )
    asker.refuses("SELECT geometric_mean(x) FROM (VALUES (1.0::double precision), (-1)) v (x)", "38000", text="above zero")

    asker.function("series(n bigint) RETURNS TABLE (i bigint, square bigint)", module)
    for n in [0, 1, 8192, 20_000]:
        asker.answers(f"SELECT count(*), sum(i), sum(square) FROM series({n})", asker.rows(f"SELECT count(*), sum(i), sum(i * i) FROM generate_series(1, {n}::bigint) s (i)"))
    asker.answers("SELECT * FROM series(3) ORDER BY i DESC", [(3, 9), (2, 4), (1, 1)])
    asker.answers("SELECT s.square FROM series(5) AS s WHERE s.i IN (SELECT i FROM series(2)) ORDER BY 1", [(1,), (4,)])
    asker.answers("SELECT * FROM series(NULL)", [])
    for n in [4, None]:
        asker.answers("SELECT count(*) FROM series(%s)", [(n or 0,)], n)
    asker.refuses("SELECT count(*) FROM series(1000001)", "38000", text="at most")


def compare_statistics(asker):
    """lightning.functions and EXPLAIN ANALYZE tell what was done."""
    before = asker.rows("SELECT calls, rows FROM lightning.functions WHERE name = 'muladd_strict'")[0]
    nulls = asker.value("SELECT count(*) FROM data WHERE a IS NULL OR b IS NULL OR c IS NULL")
    asker.run("SELECT count(muladd_strict(a, b, c)) FROM data")
    calls, rows, total_ms, fuel, traps, peak = asker.rows(
        "SELECT calls, rows, total_ms, fuel, traps, memory_peak_bytes FROM lightning.functions WHERE name = 'muladd_strict'"
    )[0]
    asker.equal("lightning.functions.rows", rows - before[1] in (20_000, 20_000 - nulls), True)
    asker.equal("lightning.functions", (calls > before[0], total_ms > 0, fuel > 100_000, traps, peak >= 65_536), (True, True, True, 0, True))
    asker.equal("lightning.functions.traps", asker.value("SELECT traps > 0 FROM lightning.functions WHERE name = 'quotient'"), True)
    plan = "\n".join(line for line, in asker.rows("EXPLAIN ANALYZE SELECT count(muladd(a, b, c)) FROM data"))
    asker.equal("EXPLAIN ANALYZE", "functions=[muladd(bigint, bigint, bigint): time=" in plan and "rows=20000" in plan, True)
