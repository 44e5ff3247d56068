"""asyncpg: everything prepared, everything binary, types looked up in pg_catalog."""

import asyncio
import datetime
import decimal
import os
import uuid

import asyncpg


async def main():
    connection = await asyncpg.connect(
        host=os.environ["PGHOST"], port=int(os.environ["PGPORT"]), user=os.environ["PGUSER"], database=os.environ["PGDATABASE"]
    )
    await connection.execute("drop table if exists driver_asyncpg")
    await connection.execute(
        "create table driver_asyncpg (i integer, b bigint, n numeric(12,3), f double precision, t text, d date,"
        " at time, ts timestamp, tz timestamptz, span interval, ok boolean, u uuid, raw bytea)"
    )
    row = (
        1, 2**40, decimal.Decimal("-0.005"), 1e-300, "naïve 漢字", datetime.date(1999, 12, 31), datetime.time(1, 2, 3, 4),
        datetime.datetime(2024, 1, 2, 3, 4, 5, 678), datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
        datetime.timedelta(days=1, seconds=90), False, uuid.UUID(int=7), b"bytes",
    )
    marks = ", ".join(f"${i + 1}" for i in range(len(row)))
    await connection.execute(f"insert into driver_asyncpg values ({marks})", *row)
    assert tuple(await connection.fetchrow("select * from driver_asyncpg where i = $1", 1)) == row

    async with connection.transaction():
        await connection.executemany("insert into driver_asyncpg (i, t) values ($1, $2)", [(i, str(i)) for i in range(100)])
        total = 0
        async for record in connection.cursor("select i from driver_asyncpg where t = $1 or i < $2", "5", 50, prefetch=7):
            total += 1
        assert total == 51, total

    try:
        async with connection.transaction():
            await connection.execute("insert into driver_asyncpg (i) values (1000)")
            raise RuntimeError("roll back")
    except RuntimeError:
        pass
    assert await connection.fetchval("select count(*) from driver_asyncpg where i = 1000") == 0

    statement = await connection.prepare("select i * 2 as doubled, t || $2 as joined from driver_asyncpg where i = $1")
    assert [a.name for a in statement.get_attributes()] == ["doubled", "joined"]
    assert tuple(await statement.fetchrow(21, "x")) == (42, "21x")

    try:
        await connection.fetch("select 1 / (i - i) from driver_asyncpg")
        raise AssertionError("divided by zero")
    except asyncpg.DivisionByZeroError:
        pass

    try:
        await connection.fetch("select count(*) from generate_series(1, 1000000000000) a (a)", timeout=1)
        raise AssertionError("an endless query ended")
    except asyncio.TimeoutError:
        pass
    assert await connection.fetchval("select 1") == 1

    many = await asyncio.gather(*(asyncpg.connect(
        host=os.environ["PGHOST"], port=int(os.environ["PGPORT"]), user=os.environ["PGUSER"], database=os.environ["PGDATABASE"]
    ) for _ in range(20)))
    assert await asyncio.gather(*(c.fetchval("select count(*) from driver_asyncpg") for c in many)) == [101] * 20
    await asyncio.gather(*(c.close() for c in many))
    await connection.execute("drop table driver_asyncpg")
    await connection.close()
    print("asyncpg", asyncpg.__version__, "ok")


asyncio.run(main())
