"""Aggregates of points: first and last, counters, averages over time, percentiles, histograms; date_bin."""

HOUR = "bucket('6 hours', ts, 'UTC', TIMESTAMP '2000-01-03')"
NUMBERS = "FROM m WHERE v <> 'NaN' AND ts IS NOT NULL"
STEPS = """WITH steps AS (
    SELECT s, {bucket} AS b, ts, v, lag(v) OVER w AS before, extract(epoch FROM ts - lag(ts) OVER w)::float8 AS passed
    {numbers} WINDOW w AS (PARTITION BY s, {bucket} ORDER BY ts)
), points AS (
    SELECT s, b, count(*) AS points, extract(epoch FROM max(ts) - min(ts))::float8 AS seconds,
        (array_agg(v ORDER BY ts DESC))[1] AS last, (array_agg(v ORDER BY ts))[1] AS first,
        sum(CASE WHEN v < before THEN v ELSE v - before END) AS rise,
        sum((v + before) / 2 * passed) AS line, sum(before * passed) AS steps
    FROM steps GROUP BY s, b
)"""
MOVING = """SELECT m.id, j.* FROM m CROSS JOIN LATERAL (
    SELECT sum(CASE WHEN v < before THEN v ELSE v - before END),
        sum(CASE WHEN v < before THEN v ELSE v - before END) / extract(epoch FROM max(at) - min(at))::float8,
        CASE WHEN count(*) > 1 THEN (array_agg(v ORDER BY at DESC))[1] - (array_agg(v ORDER BY at))[1] END
    FROM (
        SELECT p.ts AS at, p.v, lag(p.v) OVER (ORDER BY p.ts) AS before FROM m p
        WHERE p.s IS NOT DISTINCT FROM m.s AND p.v <> 'NaN' AND p.ts BETWEEN m.ts - interval '5 hours' AND m.ts
    ) points
) j WHERE v <> 'NaN' AND ts IS NOT NULL"""


def counters(beside):
    for ours, bucket in (("time_bucket('6 hours', ts)", HOUR), ("1", "1")):
        beside.rows(
            f"SELECT s, {ours} AS b, delta(v, ts), increase(v, ts), rate(v, ts), time_weighted_average(v, ts), time_weighted_average(v, ts, 'locf')"
            f" {NUMBERS} GROUP BY s, b",
            STEPS.format(bucket=bucket, numbers=NUMBERS)
            + " SELECT s, b, CASE WHEN points > 1 THEN last - first END, rise, rise / seconds, coalesce(line / seconds, last), coalesce(steps / seconds, last) FROM points",
        )
    window = "OVER (PARTITION BY s ORDER BY ts RANGE BETWEEN interval '5 hours' PRECEDING AND CURRENT ROW)"
    beside.rows(f"SELECT id, increase(v, ts) {window}, rate(v, ts) {window}, delta(v, ts) {window} {NUMBERS}", MOVING)


def ends(beside):
    beside.rows(
        "SELECT s, first(v, ts), last(v, ts), first(n, ts), last(d, ts), last(ts, ts), arg_max(v, ts), arg_min(n, ts) FROM m WHERE id % 3 <> 0 GROUP BY s",
        """SELECT s, (array_agg(v ORDER BY ts))[1], (array_agg(v ORDER BY ts DESC))[1], (array_agg(n ORDER BY ts))[1], (array_agg(d ORDER BY ts DESC))[1], max(ts),
            (array_agg(v ORDER BY ts DESC) FILTER (WHERE v IS NOT NULL))[1], (array_agg(n ORDER BY ts) FILTER (WHERE n IS NOT NULL))[1]
            FROM m WHERE id % 3 <> 0 AND ts IS NOT NULL GROUP BY s""",
    )


def distributions(beside, rng):
    for share in (0, 1, 0.5, round(rng.random(), 3)):
        shown = ", ".join(f"percentile_{kind}({share}) WITHIN GROUP (ORDER BY {column})" for kind in ("cont", "disc") for column in ("v", "n"))
        beside.rows(f"SELECT s, {shown} FROM m GROUP BY s")
        beside.rows(f"SELECT percentile_disc({share}) WITHIN GROUP (ORDER BY ts), percentile_cont({share}) WITHIN GROUP (ORDER BY v DESC) FROM m")
    for low, high, count in ((0, 100, 10), (45.5, 51.25, 7), (-1000, 1000, 1)):
        beside.rows(
            f"SELECT s, histogram(v, {low}, {high}, {count}) FROM m WHERE v <> 'NaN' GROUP BY s",
            f"""SELECT s, array_agg(c ORDER BY b) FROM (
                SELECT s, b, count(*) FILTER (WHERE width_bucket(v, {low}, {high}, {count}) = b) AS c
                FROM m, generate_series(0, {count} + 1) b WHERE v <> 'NaN' GROUP BY s, b) x GROUP BY s""",
        )


def date_bins(beside, rng):
    for stride in ("1 microsecond", "7 minutes", "1 hour", "36 hours", "1 day", "10 days", "1 week 02:03:04.5"):
        origin = rng.choice(["2001-01-01", "1950-05-05 05:05:05.5", "2030-01-01", "1970-01-01"])
        beside.rows(
            f"SELECT date_bin('{stride}', ts, timestamptz '{origin}+00') AS b, date_bin('{stride}', ts AT TIME ZONE 'UTC', timestamp '{origin}') AS l, count(*) FROM m GROUP BY b, l"
        )
    for stride in ("0 seconds", "-1 hour", "1 month", "1 year 1 day"):
        beside.both(f"SELECT date_bin('{stride}', ts, timestamptz '2001-01-01') FROM m")
    for stride in ("NULL::interval", "'1 hour'"):
        beside.rows(f"SELECT date_bin({stride}, NULL::timestamptz, timestamptz '2001-01-01')")
    for zone in ("Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"):
        for unit in ("minute", "hour", "day", "week", "month", "quarter", "century"):
            beside.rows(f"SELECT id, date_trunc('{unit}', ts, '{zone}') FROM m")


def compare(beside, rng):
    counters(beside)
    ends(beside)
    distributions(beside, rng)
    date_bins(beside, rng)
