"""Random rows of all types that functions take, with NULLs."""

import datetime
import decimal
import uuid

ROWS = 20_000
SIZES = [0, 1, 8_192, ROWS]

COLUMNS = {
    "a": "bigint", "b": "bigint", "c": "bigint", "i": "integer", "j": "integer", "s": "smallint", "r": "smallint",
    "x": "double precision", "low": "double precision", "high": "double precision", "f": "real", "p": "boolean", "q": "boolean",
    "d": "date", "ts": "timestamp", "tz": "timestamptz", "tm": "time", "n": "numeric", "t": "text", "u": "text", "w": "varchar",
    "y": "bytea", "z": "bytea", "g": "uuid", "v": "interval", "o": "json", "tsn": "timestamp_ns",
}  # fmt: skip

EPOCH = datetime.datetime(1970, 1, 1)


def text(rng):
    return "".join(rng.choice("abcxyzABZ 019.-é漢🙂\\'") for _ in range(rng.choice([0, 1, 3, rng.randint(0, 24)])))


def number(rng):
    return rng.choice([rng.uniform(-10, 10), float(rng.randint(-3, 3)), rng.uniform(-1e9, 1e9)])


def time_stamp(rng):
    return EPOCH + datetime.timedelta(microseconds=rng.randint(-(10**15), 2 * 10**15))


def value(rng, column):
    kind = COLUMNS[column]
    if column in "ab":
        return rng.choice([rng.randint(-9, 9), rng.randint(-(10**6), 10**6)])
    if column == "c":
        return rng.randint(-(10**15), 10**15)
    if column == "x":
        return rng.choice([number(rng), number(rng), number(rng), float("nan"), float("inf")])
    makers = {
        "integer": lambda: rng.choice([rng.randint(-9, 9), rng.randint(-30_000, 30_000)]),
        "smallint": lambda: rng.randint(-9_999, 9_999),
        "double precision": lambda: number(rng),
        "real": lambda: rng.randint(-(2**20), 2**20) / 64,
        "boolean": lambda: rng.random() < 0.5,
        "date": lambda: time_stamp(rng).date(),
        "timestamp": lambda: time_stamp(rng),
        "timestamptz": lambda: time_stamp(rng).replace(tzinfo=datetime.timezone.utc),
        "time": lambda: time_stamp(rng).time(),
        "numeric": lambda: decimal.Decimal(rng.randint(-(10 ** rng.randint(1, 24)), 10 ** rng.randint(1, 24))).scaleb(-10),
        "text": lambda: text(rng),
        "varchar": lambda: text(rng),
        "bytea": lambda: rng.randbytes(rng.randint(0, 9)),
        "uuid": lambda: uuid.UUID(int=rng.getrandbits(128)),
        "interval": lambda: f"{rng.randint(-20, 20)} months {rng.randint(-40, 40)} days {rng.randint(-(10**6), 10**6)} seconds",
        "json": lambda: rng.choice(['{"a": 1}', "[1, 2]", '"x"', "null"]),
        "timestamp_ns": lambda: f"{time_stamp(rng)}",
    }
    return makers[kind]()


def create(asker, rng):
    """Table `data`, and `data_full` in which nothing is NULL."""
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    for table, nulls in [("data", 0.15), ("data_full", 0)]:
        asker.run(f"CREATE TABLE {table} (id bigint PRIMARY KEY, {columns})")
        with asker.connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for row in range(ROWS if nulls else ROWS // 20):
                copy.write_row([row, *(None if rng.random() < nulls else value(rng, column) for column in COLUMNS)])
