"""Gap filling and SAMPLE BY beside joins of generated times with the buckets that have rows."""

from datetime import timedelta

import data

MONDAY = "TIMESTAMP '2000-01-03'"
FIRST = "TIMESTAMP '2000-01-01'"
EPOCH = "TIMESTAMP '1970-01-01'"
ZONES = {
    "leap": ["UTC", "Asia/Kolkata"],
    "century": ["UTC", "America/St_Johns"],
    "epoch": ["UTC", "Europe/London"],
    "forward": ["Europe/Berlin"],
    "back": ["Europe/Berlin", "UTC"],
    "america": ["America/New_York"],
    "lord_howe": ["Australia/Lord_Howe"],
    "lord_howe_forward": ["Australia/Lord_Howe"],
}


def literal(at):
    return f"TIMESTAMPTZ '{at.isoformat(sep=' ')}'"


def neighbour(alias, column, key, after, known):
    """The row of the same group before or after a gap, of those that have a value or of all."""
    sign, direction = (">", "ASC") if after else ("<", "DESC")
    conditions = [f"p.b {sign} g.b"]
    if key:
        conditions.append("p.k IS NOT DISTINCT FROM g.k")
    if known:
        conditions.append(f"p.{column} IS NOT NULL")
    where = " AND ".join(conditions)
    return f" LEFT JOIN LATERAL (SELECT p.b, p.{column} AS value FROM have p WHERE {where} ORDER BY p.b {direction} LIMIT 1) {alias} ON true"


def fill(index, kind, key):
    """What a column has in a row, and the joins that takes. `c{index}` is the column's value where there is a row."""
    column, alias = f"c{index}", f"x{index}"
    there = f"CASE WHEN h.there THEN h.{column} ELSE "
    before, after = f"{alias}_before", f"{alias}_after"
    passed = f"extract(epoch FROM g.b - {before}.b)"
    whole = f"extract(epoch FROM {after}.b - {before}.b)"
    line = neighbour(before, column, key, False, True) + neighbour(after, column, key, True, True)
    match kind:
        case "null":
            return f"h.{column}", ""
        case "prev":
            return f"{there}{before}.value END", neighbour(before, column, key, False, False)
        case "prev_known":
            return f"coalesce(h.{column}, {before}.value)", neighbour(before, column, key, False, True)
        case "line":
            return f"{there}{before}.value + ({after}.value - {before}.value) * ({passed} / {whole})::float8 END", line
        case "line_of_integers":
            return f"{there}{before}.value + round(({after}.value - {before}.value) * {passed} / {whole})::int END", line
        case constant:
            return f"{there}{constant} END", ""


def filled(columns, bucket, slots, where, key=None):
    """The query with a row for each slot of each group. `columns` are aggregates and fills."""
    aggregates = ", ".join(f"{aggregate} AS c{index}" for index, (aggregate, _) in enumerate(columns))
    chosen = f", {key} AS k" if key else ""
    have = f"SELECT {bucket} AS b{chosen}, {aggregates}, true AS there FROM m {where} GROUP BY b{', k' if key else ''}"
    if key:
        grid = "SELECT b, k FROM slots, (SELECT DISTINCT k FROM have) keys UNION SELECT b, k FROM have"
    else:
        grid = "SELECT b FROM slots UNION SELECT b FROM have"
    fills = [fill(index, kind, key) for index, (_, kind) in enumerate(columns)]
    shown = ", ".join(["g.b"] + (["g.k"] if key else []) + [value for value, _ in fills])
    on = "h.b IS NOT DISTINCT FROM g.b" + (" AND h.k IS NOT DISTINCT FROM g.k" if key else "")
    joins = "".join(join for _, join in fills)
    return f"WITH have AS ({have}), slots(b) AS ({slots}), grid AS ({grid}) SELECT {shown} FROM grid g LEFT JOIN have h ON {on}{joins}"


def gapfill(beside, rng):
    """time_bucket_gapfill with bounds from the arguments, from WHERE, of each span and zone."""
    columns = [
        ("avg(v)", "null"), ("count(*)", "null"), ("avg(v)", "prev"), ("max(n)", "prev_known"),
        ("avg(v)", "line"), ("max(n)", "line_of_integers"), ("sum(d)", "prev"),
    ]
    calls = "avg(v), count(*), locf(avg(v)), locf(max(n), true), interpolate(avg(v)), interpolate(max(n)), locf(sum(d))"
    for span, zones in ZONES.items():
        lower, upper = data.bounds(span)
        inside = f"WHERE ts >= {literal(lower)} AND ts < {literal(upper)}"
        for zone in zones:
            for width in rng.sample(["15 minutes", "1 hour", "90 minutes", "5 hours", "1 day", "2 days", "1 week", "1 month"], 3):
                origin = FIRST if "month" in width else MONDAY
                key = rng.choice([None, "s"])
                keys = ", s" if key else ""
                bucket = f"bucket('{width}', ts, '{zone}', {origin})"
                slots = f"SELECT buckets('{width}', {literal(lower)}, {literal(upper)}, '{zone}', {origin})"
                given = f", {literal(lower)}, {literal(upper)}" if rng.random() < 0.5 else ""
                beside.rows(
                    f"SELECT time_bucket_gapfill('{width}', ts, '{zone}'{given}) AS b{keys}, {calls} FROM m {inside} GROUP BY b{keys}",
                    filled(columns, bucket, slots, inside, key),
                )


def outside(beside):
    """Rows beyond the bounds stay, those without a time too."""
    lower, upper = data.bounds("leap")
    columns = [("count(*)", "null"), ("sum(n)", "prev")]
    slots = f"SELECT buckets('1 day', {literal(lower)}, {literal(upper)}, 'UTC', {MONDAY})"
    beside.rows(
        f"SELECT time_bucket_gapfill('1 day', ts, {literal(lower)}, {literal(upper)}) AS b, s, count(*), locf(sum(n)) FROM m WHERE ts >= '2024-01-01' GROUP BY b, s",
        filled(columns, f"bucket('1 day', ts, 'UTC', {MONDAY})", slots, "WHERE ts >= '2024-01-01'", "s"),
    )
    beside.rows(
        f"SELECT time_bucket_gapfill('1 day', ts, {literal(lower)}, {literal(upper)}) AS b, count(*) FROM m GROUP BY b",
        filled(columns[:1], f"bucket('1 day', ts, 'UTC', {MONDAY})", slots, ""),
    )


def sample_by(beside, rng):
    """SAMPLE BY with each fill and alignment; bounds of the data or of FROM and TO."""
    widths = {"20m": "20 minutes", "1h": "1 hour", "3h": "3 hours", "1d": "1 day", "1w": "7 days", "1M": "1 month"}
    fills = {"NULL": ("null", "null"), "PREV": ("prev", "prev"), "LINEAR": ("line", "line_of_integers"), "-1": ("-1", "-1")}
    for span, zones in ZONES.items():
        for name in rng.sample(sorted(fills), 3) + ["NONE"]:
            zone = rng.choice(zones)
            short = rng.choice(sorted(widths))
            width, (first, second) = widths[short], fills.get(name, ("null", "null"))
            lower, upper = data.bounds(span)
            inside = f"WHERE ts >= {literal(lower)} AND ts < {literal(upper)}"
            align, origin, shift = alignment(rng, short, zone)
            bounded = rng.random() < 0.5 and "FIRST" not in align
            between = ""
            if bounded:
                lower += timedelta(minutes=rng.choice([0, 0, 450]))
                between = f" FROM {literal(lower)} TO {literal(upper)}"
                inside = f"WHERE ts >= {literal(lower)} AND ts < {literal(upper)}"
                origin = f"({literal(lower)} AT TIME ZONE '{zone}' + {shift})"
            if "FIRST" in align:
                zone, origin = "UTC", f"((SELECT min(ts) FROM m {inside}) AT TIME ZONE 'UTC')"
            key = rng.choice([None, "s"])
            keys = ", s" if key else ""
            if bounded:
                ends = f"{literal(lower)}, {literal(upper)}"
            else:
                ends = f"(SELECT min(ts) FROM m {inside}), (SELECT max(ts) + interval '1 microsecond' FROM m {inside})"
            slots = f"SELECT buckets('{width}', {ends}, '{zone}', {origin})"
            if name == "NONE":
                slots = "SELECT NULL::timestamptz WHERE false"
            columns = [("avg(v)", first), ("max(n)", second), ("count(*)", "null" if first == "line" else second)]
            counted = "LINEAR, LINEAR, NULL" if name == "LINEAR" else name
            ours = f"SELECT ts{keys}, avg(v), max(n), count(*) FROM m {inside} SAMPLE BY {short}{between} FILL({counted}) {align}"
            beside.rows(ours, filled(columns, f"bucket('{width}', ts, '{zone}', {origin})", slots, inside, key))
            beside.ascending(ours)


def alignment(rng, short, zone):
    """The clause, the origin it means and how far it moves buckets."""
    origin = {"1w": MONDAY, "1M": FIRST}.get(short, EPOCH)
    clause = f"ALIGN TO CALENDAR TIME ZONE '{zone}'"
    kind = rng.random()
    if kind < 0.2:
        return "ALIGN TO FIRST OBSERVATION", origin, ""
    if kind < 0.5 and short != "1M":
        shift = rng.choice(["00:10", "-00:05", "02:00"])
        return f"{clause} WITH OFFSET '{shift}'", f"({origin} + interval '{shift}')", f"interval '{shift}'"
    return clause, origin, "interval '0'"


def other_times(beside):
    """Buckets of dates, of local time stamps and of integers; no rows at all."""
    for connection in (beside.ours, beside.peer):
        connection.execute("DROP TABLE IF EXISTS k")
        connection.execute("CREATE TABLE k AS SELECT id AS i, ((id * 7919) % 400 - 200)::bigint AS at, ts::date AS d, (ts AT TIME ZONE 'UTC') AS local, n FROM m WHERE id % 7 = 0")
    integers = "FROM generate_series(-220::bigint, 219, 20) g LEFT JOIN (SELECT (floor(at / 20.0) * 20)::bigint AS b, count(*) AS c, max(n) AS n FROM k GROUP BY 1) h ON h.b = g"
    beside.rows(
        "SELECT time_bucket_gapfill(20, at, -220, 220) AS b, count(*), max(n) FROM k GROUP BY b",
        f"SELECT g, c, n {integers}",
    )
    for column, cast in (("d", "date"), ("local", "timestamp")):
        series = f"generate_series(timestamp '2024-02-20', timestamp '2024-03-19', '1 day') g LEFT JOIN (SELECT date_trunc('day', {column}) AS b, count(*) AS c FROM k GROUP BY 1) h ON h.b = g"
        beside.rows(
            f"SELECT time_bucket_gapfill('1 day', {column}) AS b, count(*) FROM k WHERE {column} >= '2024-02-20' AND {column} < '2024-03-20' GROUP BY b",
            f"SELECT g::{cast}, c FROM {series}",
        )
    beside.rows(
        "SELECT time_bucket_gapfill('1 day', ts, '2024-02-20', '2024-02-25') AS b, count(*), locf(max(n)) FROM m WHERE false GROUP BY b",
        "SELECT g, NULL, NULL FROM generate_series(timestamptz '2024-02-20', timestamptz '2024-02-24', '1 day') g",
    )


def compare(beside, rng):
    gapfill(beside, rng)
    outside(beside)
    sample_by(beside, rng)
    other_times(beside)
