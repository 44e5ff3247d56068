"""Moving windows, joins by time, last rows."""

FRAMES = [
    "RANGE BETWEEN interval '1 hour' PRECEDING AND CURRENT ROW",
    "RANGE BETWEEN interval '6 hours' PRECEDING AND interval '2 hours' FOLLOWING",
    "RANGE BETWEEN interval '2 days' PRECEDING AND interval '1 day' PRECEDING",
    "RANGE BETWEEN interval '1 hour' FOLLOWING AND interval '1 day' FOLLOWING",
    "RANGE BETWEEN UNBOUNDED PRECEDING AND interval '3 hours' PRECEDING",
    "RANGE BETWEEN interval '12 hours' PRECEDING AND UNBOUNDED FOLLOWING",
    "RANGE BETWEEN interval '1 month' PRECEDING AND CURRENT ROW",
    "RANGE BETWEEN interval '1 microsecond' PRECEDING AND interval '1 microsecond' FOLLOWING",
    "ROWS BETWEEN 5 PRECEDING AND 2 FOLLOWING",
    "ROWS BETWEEN 9 PRECEDING AND 4 PRECEDING",
    "GROUPS BETWEEN 3 PRECEDING AND 1 FOLLOWING",
]
AGGREGATES = [
    "avg(v)", "sum(v)", "count(v)", "min(v)", "max(v)", "count(*)", "sum(n)", "avg(n)", "min(n)", "max(n)", "sum(d)", "avg(d)",
    "min(ts)", "max(s)", "first_value(v)", "last_value(v)", "last_value(n)", "stddev_samp(n)",
]


def moving(beside):
    for frame in FRAMES:
        for partition in ("PARTITION BY s ", ""):
            window = f"FROM m WHERE ts IS NOT NULL WINDOW w AS ({partition}ORDER BY ts {frame})"
            shown = ", ".join(f"{aggregate} OVER w" for aggregate in AGGREGATES)
            beside.rows(f"SELECT id, {shown} {window}")
            beside.rows(
                f"SELECT id, first(v, ts) OVER w, last(v, ts) OVER w, last(s, ts) OVER w, first(n, ts) OVER w {window}",
                f"SELECT id, first_value(v) OVER w, last_value(v) OVER w, last_value(s) OVER w, first_value(n) OVER w {window}",
            )
    for frame in FRAMES[:2]:
        beside.rows(f"SELECT id, avg(v) OVER w, sum(n) OVER w, max(d) OVER w FROM m WINDOW w AS (PARTITION BY s ORDER BY ts DESC {frame})")
        beside.rows(f"SELECT id, sum(n) OVER w, count(*) OVER w FROM m WINDOW w AS (ORDER BY ts NULLS FIRST {frame})")


def window_joins(beside):
    ranges = [
        ("1 hour PRECEDING AND 1 hour FOLLOWING", "q.t BETWEEN m.ts - interval '1 hour' AND m.ts + interval '1 hour'"),
        ("1 day PRECEDING AND CURRENT ROW", "q.t BETWEEN m.ts - interval '1 day' AND m.ts"),
        ("6 hours PRECEDING AND 2 hours PRECEDING", "q.t BETWEEN m.ts - interval '6 hours' AND m.ts - interval '2 hours'"),
        ("30 minutes FOLLOWING AND 2 days FOLLOWING", "q.t BETWEEN m.ts + interval '30 minutes' AND m.ts + interval '2 days'"),
        ("UNBOUNDED PRECEDING AND CURRENT ROW", "q.t <= m.ts"),
        ("1 hour PRECEDING AND UNBOUNDED FOLLOWING", "q.t >= m.ts - interval '1 hour'"),
    ]
    shown = "count(q.bid), count(q.t), avg(q.bid), min(q.bid), max(q.bid), sum(q.id), max(q.t)"
    for between, condition in ranges:
        for key, on in ((" ON m.s = q.s", "m.s = q.s AND "), ("", "")):
            if not key and "UNBOUNDED" in between:
                continue
            beside.rows(
                f"SELECT m.id, m.ts, m.s, {shown}, last(q.bid, q.t), first(q.id, q.t) FROM m WINDOW JOIN q{key} RANGE BETWEEN {between}",
                f"SELECT m.id, m.ts, m.s, j.* FROM m LEFT JOIN LATERAL (SELECT {shown}, (array_agg(bid ORDER BY t DESC))[1],"
                f" (array_agg(q.id ORDER BY t))[1] FROM q WHERE {on}{condition}) j ON true",
            )


def asof_joins(beside):
    for op, order in ((">=", "DESC"), (">", "DESC"), ("<=", "ASC"), ("<", "ASC")):
        for within in ("20 minutes", "1 day"):
            near = f"abs(extract(epoch FROM m.ts - q.t)) <= extract(epoch FROM interval '{within}')"
            lateral = f"LATERAL (SELECT * FROM q WHERE q.s = m.s AND m.ts {op} q.t ORDER BY q.t {order} LIMIT 1) q"
            for kind in ("", "LEFT "):
                joined = f"{kind}JOIN {lateral} ON {near}"
                beside.rows(
                    f"SELECT m.id, q.id, bid FROM m ASOF {kind}JOIN q ON m.s = q.s AND m.ts {op} q.t TOLERANCE '{within}'",
                    f"SELECT m.id, q.id, bid FROM m {joined}",
                )


def latest(beside):
    for keys in ("s", "n", "s, n"):
        beside.rows(
            f"SELECT * FROM m LATEST ON ts PARTITION BY {keys}",
            f"SELECT DISTINCT ON ({keys}) * FROM m WHERE ts IS NOT NULL ORDER BY {keys}, ts DESC",
        )
    beside.rows(
        "SELECT s, v, ts FROM m WHERE v < 50 AND ts < '2000-01-01' LATEST ON ts PARTITION BY s",
        "SELECT DISTINCT ON (s) s, v, ts FROM m WHERE v < 50 AND ts < '2000-01-01' ORDER BY s, ts DESC",
    )
    beside.rows(
        "SELECT x.s, x.c FROM (SELECT s, ts::date AS day, count(*) AS c FROM m GROUP BY 1, 2) x LATEST ON day PARTITION BY s",
        "SELECT DISTINCT ON (s) s, c FROM (SELECT s, ts::date AS day, count(*) AS c FROM m GROUP BY 1, 2) x WHERE day IS NOT NULL ORDER BY s, day DESC",
    )


def compare(beside):
    moving(beside)
    window_joins(beside)
    asof_joins(beside)
    latest(beside)
