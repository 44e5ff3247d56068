"""Random writes to a table with partitions, a key and continuous aggregates; PostgreSQL has the table and computes the rest."""

from datetime import timedelta

import data

START = data.day("2024-02-26")
DAYS = 8
WRITES = 60
HOURLY = "time_bucket('1 hour', ts) AS bucket, s, avg(v) AS mean, count(*) AS rows, max(n) AS top, last(n, ts) AS newest"
HOURLY_PEER = "date_bin('1 hour', ts, '2000-01-03') AS bucket, s, avg(v), count(*), max(n), (array_agg(n ORDER BY ts DESC))[1]"
DAILY_PEER = "date_trunc('day', ts) AS day, count(*), max(n)"


def create(beside):
    table = "CREATE TABLE w (s text, ts timestamptz, v double precision, n int, PRIMARY KEY (s, ts))"
    for connection, options in ((beside.ours, " WITH (time_column = 'ts', partition_by = '1 day')"), (beside.peer, "")):
        connection.execute("DROP TABLE IF EXISTS w CASCADE")
        connection.execute(table + options)
    beside.ours.execute(f"CREATE MATERIALIZED VIEW hourly WITH (continuous) AS SELECT {HOURLY} FROM w GROUP BY bucket, s")
    beside.ours.execute(
        "CREATE MATERIALIZED VIEW daily WITH (continuous) AS SELECT time_bucket('1 day', bucket) AS day, sum(rows) AS rows, max(top) AS top FROM hourly GROUP BY day"
    )


def at(rng):
    """A time that is often one that was there before."""
    return START + timedelta(minutes=rng.randrange(DAYS * 24 * 6) * 10)


def row(rng):
    number = data.value(rng)
    number = "NULL" if number is None else f"'{number}'"
    whole = rng.choice(["NULL", str(rng.randrange(1000))])
    return f"('{rng.choice('abc')}', '{at(rng)}', {number}, {whole})"


def upsert(rng):
    """Refused when it updates a row twice."""
    rows = ", ".join(row(rng) for _ in range(rng.choice([1, 5, 40])))
    action = rng.choice(["DO NOTHING", "DO UPDATE SET v = excluded.v, n = excluded.n", "DO UPDATE SET n = coalesce(w.n, 0) + 1 WHERE w.v < excluded.v"])
    return f"INSERT INTO w VALUES {rows} ON CONFLICT (s, ts) {action}"


def insert(rng):
    """Refused when one of the rows is there."""
    return f"INSERT INTO w VALUES {row(rng)}, {row(rng)}"


def many(rng):
    begin = at(rng)
    return (
        f"INSERT INTO w SELECT s, timestamptz '{begin}' + i * interval '7 minutes', i * 1.5, i FROM generate_series(0, 300) g(i), (VALUES ('a'), ('d')) x(s)"
        " ON CONFLICT (s, ts) DO UPDATE SET v = excluded.v"
    )


def delete(rng):
    low = at(rng)
    high = low + timedelta(hours=rng.choice([1, 7, 24, 48]))
    if rng.random() < 0.4:
        low, high = (edge.replace(hour=0, minute=0) for edge in (low, high))
    also = rng.choice(["", "", " AND s = 'a'", " AND n > 500"])
    return rng.choice([f"DELETE FROM w WHERE ts >= '{low}' AND ts < '{high}'{also}", f"DELETE FROM w WHERE ts BETWEEN '{low}' AND '{high}'{also}"])


def update(rng):
    change = rng.choice(["v = v + 1", "n = NULL", "ts = ts + interval '3 minutes'", "s = 'e'"])
    return f"UPDATE w SET {change} WHERE s = '{rng.choice('abcd')}' AND ts >= '{at(rng)}' AND n % 3 = {rng.randrange(3)}"


def check(beside):
    beside.rows("SELECT * FROM w")
    beside.rows("SELECT * FROM hourly", f"SELECT {HOURLY_PEER} FROM w GROUP BY bucket, s")
    beside.rows("SELECT * FROM daily", f"SELECT {DAILY_PEER} FROM w GROUP BY day")
    beside.rows(
        "SELECT * FROM hourly WHERE s = 'a' AND bucket >= '2024-02-29' AND bucket < '2024-03-02'",
        f"SELECT {HOURLY_PEER} FROM w WHERE s = 'a' AND ts >= '2024-02-29' AND ts < '2024-03-02' GROUP BY bucket, s",
    )
    beside.rows("SELECT * FROM w LATEST ON ts PARTITION BY s", "SELECT DISTINCT ON (s) * FROM w ORDER BY s, ts DESC")


def compare(beside, rng):
    create(beside)
    kinds = [upsert, upsert, upsert, insert, many, delete, delete, update]
    for step in range(WRITES):
        together = rng.random() < 0.25
        if together:
            beside.both("BEGIN")
        answer = beside.both(rng.choice(kinds)(rng))
        if together:
            # A failed statement leaves nothing to read.
            if isinstance(answer, int) and isinstance(beside.both(many(rng)), int):
                check(beside)
            beside.both(rng.choice(["COMMIT", "ROLLBACK"]))
        if step % 6 == 0:
            check(beside)
        if rng.random() < 0.15:
            beside.ours.execute(f"REFRESH MATERIALIZED VIEW {rng.choice(['hourly', 'daily'])}")
    check(beside)
