"""Time series functions and joins beside DuckDB's, over random rows with NULLs, NaN, leap days and times before 1970.

Connects to the server that PGHOST and PGPORT name. Each query runs in both; `translate` has what they write differently.
"""

import math
import os
import random
from datetime import datetime, timedelta, timezone

import duckdb
import psycopg

SEED = int(os.environ.get("SEED", "20240229"))
ROWS = 4000
QUOTES = 900
SERIES = ["a", "b", "c", "ü", None]
WIDTHS = ["7 minutes", "1 hour", "5 hours", "1 day", "10 days", "1 week", "1 month", "5 months", "1 year"]


def times(rng, count):
    """Distinct times between 1940 and 2030, most of them within a few days of a leap day."""
    leap = datetime(2024, 2, 29, tzinfo=timezone.utc)
    old = datetime(1940, 1, 1, tzinfo=timezone.utc)
    found = set()
    while len(found) < count:
        if rng.random() < 0.8:
            found.add(leap + timedelta(microseconds=rng.randrange(-200_000_000_000, 200_000_000_000)))
        else:
            found.add(old + timedelta(seconds=rng.randrange(90 * 365 * 86_400)))
    found = list(found)
    rng.shuffle(found)
    return found


def value(rng):
    kind = rng.random()
    if kind < 0.05:
        return None
    if kind < 0.07:
        return math.nan
    return round(rng.gauss(50, 10), 2)


def tables(rng):
    points = [(at, rng.choice(SERIES), value(rng)) for at in times(rng, ROWS)]
    quotes = [(at, rng.choice(SERIES), round(rng.uniform(1, 9), 3)) for at in times(rng, QUOTES)]
    for _ in range(40):
        points.append((None, rng.choice(SERIES), value(rng)))
        quotes.append((None, rng.choice(SERIES), 1.0))
    return {"m": points, "q": quotes}


def queries(rng):
    for width in WIDTHS:
        yield f"SELECT time_bucket(INTERVAL '{width}', ts) AS b, count(*), count(v) FROM m GROUP BY b"
    for width in ["1 hour", "3 days", "1 month"]:
        yield (
            f"SELECT time_bucket(INTERVAL '{width}', ts, TIMESTAMPTZ '2021-03-01 00:00:00+00') AS b, count(*)"
            " FROM m GROUP BY b"
        )
    for width, offset in [("1 hour", "10 minutes"), ("1 day", "-3 hours"), ("1 week", "2 days")]:
        yield (
            f"SELECT time_bucket(INTERVAL '{width}', ts, INTERVAL '{offset}') AS b, count(*) FROM m"
            " WHERE ts IS NOT NULL GROUP BY b"
        )
    for width in ["1 day", "1 week", "1 month"]:
        for zone in ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"]:
            yield f"SELECT time_bucket(INTERVAL '{width}', ts, '{zone}') AS b, count(*) FROM m WHERE ts >= TIMESTAMPTZ '1990-01-01 00:00:00+00' GROUP BY b"
    yield "SELECT s, arg_min(v, ts), arg_max(v, ts) FROM m GROUP BY s"
    yield "SELECT arg_max(s, ts), arg_min(ts, ts) FROM m"
    yield (
        "SELECT time_bucket(INTERVAL '6 hours', ts) AS b, s, arg_max(v, ts), min(v), max(v) FROM m"
        " WHERE ts >= TIMESTAMPTZ '2024-02-27 00:00:00+00' GROUP BY b, s"
    )
    for op in [">=", ">", "<=", "<"]:
        for kind in ["", "LEFT "]:
            yield f"SELECT m.ts, m.s, v, q.t, bid FROM m ASOF {kind}JOIN q ON m.s = q.s AND m.ts {op} q.t"
            yield f"SELECT m.ts, v, q.t, bid FROM m ASOF {kind}JOIN q ON m.ts {op} q.t"
    yield "SELECT ts, s, v, bid FROM m ASOF JOIN (SELECT t AS ts, s, bid FROM q) r USING (s, ts)"
    low = rng.uniform(2, 5)
    yield f"SELECT m.ts, bid FROM m ASOF JOIN (SELECT * FROM q WHERE bid > {low:.3f}) q ON m.s = q.s AND m.ts >= q.t WHERE v < 50"


def key(row):
    return [(cell is None, str(cell)) for cell in row]


def plain(cell):
    """NaN equal to itself, times in UTC, floats as text of enough digits."""
    if isinstance(cell, float):
        return "NaN" if math.isnan(cell) else f"{cell:.9g}"
    if isinstance(cell, datetime):
        if cell.tzinfo is None:
            cell = cell.replace(tzinfo=timezone.utc)
        return cell.astimezone(timezone.utc).isoformat()
    return cell


def rows_of(rows):
    return sorted(([plain(cell) for cell in row] for row in rows), key=key)


def main():
    rng = random.Random(SEED)
    data = tables(rng)
    ours = psycopg.connect(autocommit=True, options="-c timezone=UTC")
    peer = duckdb.connect()
    peer.execute("SET TimeZone = 'UTC'")
    for connection in (ours, peer):
        run = connection.execute
        run("DROP TABLE IF EXISTS m")
        run("DROP TABLE IF EXISTS q")
        run("CREATE TABLE m (ts timestamptz, s text, v double precision)")
        run("CREATE TABLE q (t timestamptz, s text, bid double precision)")
    for name, rows in data.items():
        with ours.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {name} VALUES (%s, %s, %s)", rows)
        peer.executemany(f"INSERT INTO {name} VALUES (?, ?, ?)", rows)
    count = 0
    for sql in queries(rng):
        expected = rows_of(peer.execute(sql).fetchall())
        found = rows_of(ours.execute(sql).fetchall())
        if found != expected:
            extra = [row for row in found if row not in expected][:3]
            missing = [row for row in expected if row not in found][:3]
            raise SystemExit(f"seed {SEED}: {sql}\n{len(found)} rows, DuckDB {len(expected)}\nours alone: {extra}\nDuckDB's alone: {missing}")
        count += 1
    print(f"{count} queries agree with DuckDB {duckdb.__version__}")


if __name__ == "__main__":
    main()
