"""Random rows around the times that go wrong, and the ways they come in."""

import io
import math
from datetime import datetime, timedelta, timezone
from decimal import Decimal

SERIES = ["a", "b", "c", "ü", None]

# Beginnings and lengths in days of the times rows have: leap days, clocks put forward and back, times before 1970.
SPANS = {
    "leap": ("2024-02-27", 5),
    "century": ("1900-02-27", 4),
    "epoch": ("1969-12-29", 5),
    "forward": ("2024-03-29", 4),
    "back": ("2024-10-25", 4),
    "america": ("2024-11-01", 4),
    "lord_howe": ("2024-04-05", 4),
    "lord_howe_forward": ("2024-10-04", 4),
}
PER_SPAN = 130


def day(text):
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def bounds(name):
    """Where a span begins and ends, with a day without rows at either end."""
    begin, days = SPANS[name]
    return day(begin) - timedelta(days=1), day(begin) + timedelta(days=days + 1)


def value(rng):
    kind = rng.random()
    if kind < 0.08:
        return None
    if kind < 0.11:
        return math.nan
    return round(rng.gauss(50, 10), 2)


def times(rng):
    """Distinct times, half of them whole minutes; a third of each span has none."""
    found = set()
    for begin, days in SPANS.values():
        micros = days * 86_400_000_000
        hole = rng.uniform(0, 0.6)
        wanted = len(found) + PER_SPAN
        while len(found) < wanted:
            at = rng.random()
            if hole < at < hole + 0.33:
                continue
            step = rng.choice([1, 60_000_000])
            found.add(day(begin) + timedelta(microseconds=int(at * micros) // step * step))
    found = list(found)
    rng.shuffle(found)
    return found


def points(rng):
    """Rows of m: id, ts, s, v, n, d."""
    rows = []
    for at in times(rng) + [None] * 12:
        whole = None if rng.random() < 0.1 else rng.randrange(-1000, 1000)
        money = None if rng.random() < 0.1 else Decimal(rng.randrange(-100_000, 100_000)) / 100
        rows.append((len(rows), at, rng.choice(SERIES), value(rng), whole, money))
    return rows


def quotes(rng):
    """Rows of q: id, t, s, bid."""
    return [(i, at, rng.choice(SERIES), value(rng)) for i, at in enumerate(times(rng)[:700] + [None] * 12)]


def create(beside):
    for connection in (beside.ours, beside.peer):
        for table in ("m", "q"):
            connection.execute(f"DROP TABLE IF EXISTS {table} CASCADE")
        connection.execute("CREATE TABLE m (id int, ts timestamptz, s text, v double precision, n int, d numeric(10,2))")
        connection.execute("CREATE TABLE q (id int, t timestamptz, s text, bid double precision)")


def load(beside, rng):
    """The rows of m and q in both; of m in ours a fifth in each of the ways there are."""
    create(beside)
    rows, others = points(rng), quotes(rng)
    with beside.peer.cursor() as cursor:
        cursor.executemany("INSERT INTO m VALUES (%s, %s, %s, %s, %s, %s)", rows)
        cursor.executemany("INSERT INTO q VALUES (%s, %s, %s, %s)", others)
    for index, way in enumerate((copied_text, copied_csv, copied_binary, inserted_at_once, inserted_prepared)):
        way(beside.ours, rows[index::5])
    with beside.ours.cursor() as cursor, cursor.copy("COPY q FROM STDIN") as copy:
        for row in others:
            copy.write_row(row)
    beside.rows("SELECT * FROM m")
    beside.rows("SELECT * FROM q")


def copied_text(connection, rows):
    with connection.cursor() as cursor, cursor.copy("COPY m FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def copied_csv(connection, rows):
    text = io.StringIO()
    for row in rows:
        text.write(",".join("" if cell is None else f'"{cell}"' for cell in row) + "\n")
    with connection.cursor() as cursor, cursor.copy("COPY m FROM STDIN (FORMAT csv)") as copy:
        copy.write(text.getvalue())


def copied_binary(connection, rows):
    with connection.cursor() as cursor, cursor.copy("COPY m FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int4", "timestamptz", "text", "float8", "int4", "numeric"])
        for row in rows:
            copy.write_row(row)


def inserted_at_once(connection, rows):
    marks = ", ".join(["(%s, %s, %s, %s, %s, %s)"] * len(rows))
    connection.execute(f"INSERT INTO m VALUES {marks}", [cell for row in rows for cell in row])


def inserted_prepared(connection, rows):
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO m VALUES (%s, %s, %s, %s, %s, %s)", rows)
