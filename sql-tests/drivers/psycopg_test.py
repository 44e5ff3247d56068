"""psycopg 3, the driver most Python programs use: text and binary, transactions, COPY, prepared statements."""

import datetime
import decimal

import uuid

import psycopg

with psycopg.connect("", autocommit=False) as connection:
    with connection.cursor() as cursor:
        cursor.execute("drop table if exists driver_psycopg")
        cursor.execute(
            "create table driver_psycopg (i integer, b bigint, n numeric(12,3), f double precision, t text, d date,"
            " ts timestamp, tz timestamptz, ok boolean, u uuid, raw bytea, tags text[])"
        )
        row = (
            1, 2**40, decimal.Decimal("12.345"), 0.1, "naïve 漢字", datetime.date(2024, 2, 29),
            datetime.datetime(2024, 1, 2, 3, 4, 5, 678000),
            datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), True,
            uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), b"\x00\xff", ["a", "b c", "d,e"],
        )
        marks = ", ".join(["%s"] * len(row))
        cursor.execute(f"insert into driver_psycopg values ({marks})", row)
        cursor.execute(f"insert into driver_psycopg values ({marks})", (None,) * len(row))
    connection.commit()

    for binary in (False, True):
        with connection.cursor(binary=binary) as cursor:
            cursor.execute("select * from driver_psycopg order by i nulls last")
            assert cursor.fetchone() == row, f"binary={binary}"
            assert cursor.fetchone() == (None,) * len(row)
            assert cursor.fetchone() is None
            cursor.execute("select count(*) from driver_psycopg where i = %s and t = %s", (1, "naïve 漢字"))
            assert cursor.fetchone() == (1,)

    # The driver prepares a statement it sees often.
    with connection.cursor() as cursor:
        for i in range(20):
            cursor.execute("select %s::int + 1", (i,), prepare=True)
            assert cursor.fetchone() == (i + 1,)
        cursor.executemany("insert into driver_psycopg (i, t) values (%s, %s)", [(i, str(i)) for i in range(100, 200)])
        assert cursor.rowcount == 100
    connection.rollback()

    with connection.cursor() as cursor:
        cursor.execute("select count(*) from driver_psycopg")
        assert cursor.fetchone() == (2,), "rolled back"
        with cursor.copy("copy driver_psycopg (i, t) from stdin") as copy:
            for i in range(1000):
                copy.write_row((i, f"row\t{i}\\"))
        cursor.execute("select count(*), max(t) from driver_psycopg where t like 'row%'")
        assert cursor.fetchone()[0] == 1000
        with cursor.copy("copy (select i, t from driver_psycopg where t like 'row%' order by i) to stdout") as copy:
            text = b"".join(bytes(data) for data in copy)
        assert text.splitlines()[7] == b"7\trow\\t7\\\\", text.splitlines()[7]
        cursor.execute("delete from driver_psycopg")
        types = ["int4", "int8", "numeric", "float8", "text", "date", "timestamp", "timestamptz", "bool", "uuid", "bytea", "text[]"]
        with cursor.copy("copy driver_psycopg from stdin (format binary)") as copy:
            copy.set_types(types)
            for i in range(1000):
                copy.write_row((i, *row[1:]))
            copy.write_row((1000, *[None] * (len(row) - 1)))
        with cursor.copy("copy (select * from driver_psycopg order by i) to stdout (format binary)") as copy:
            copy.set_types(types)
            copied = list(copy.rows())
        assert len(copied) == 1001 and copied[7] == (7, *row[1:]), copied[7]
        assert copied[1000] == (1000, *[None] * (len(row) - 1)), copied[1000]
    connection.commit()

    try:
        connection.execute("select nope from driver_psycopg")
        raise AssertionError("an unknown column was found")
    except psycopg.errors.UndefinedColumn as e:
        assert e.diag.statement_position is not None
    connection.rollback()

    with connection.cursor() as cursor:
        count = 0
        for (value,) in cursor.stream("select g from generate_series(1, 100000) as g (g)"):
            count += 1
        assert count == 100000
    connection.execute("drop table driver_psycopg")
    connection.commit()


print("psycopg", psycopg.__version__, "ok")
