"""pg8000: pure Python, its own idea of the protocol, through the DB-API."""

import datetime
import decimal
import os

import pg8000.dbapi

connection = pg8000.dbapi.connect(
    host=os.environ["PGHOST"], port=int(os.environ["PGPORT"]), user=os.environ["PGUSER"], database=os.environ["PGDATABASE"]
)
cursor = connection.cursor()
cursor.execute("drop table if exists driver_pg8000")
cursor.execute("create table driver_pg8000 (i integer, n numeric(10,2), t text, d date, ts timestamp, ok boolean)")
row = [1, decimal.Decimal("1.50"), "it's", datetime.date(2024, 2, 29), datetime.datetime(2024, 1, 2, 3, 4, 5), True]
cursor.execute("insert into driver_pg8000 values (%s, %s, %s, %s, %s, %s)", row)
connection.commit()
cursor.execute("select * from driver_pg8000 where i = %s", (1,))
assert list(cursor.fetchone()) == row
assert [column[0] for column in cursor.description] == ["i", "n", "t", "d", "ts", "ok"]
cursor.executemany("insert into driver_pg8000 (i, t) values (%s, %s)", [(i, "x") for i in range(50)])
connection.rollback()
cursor.execute("select count(*) from driver_pg8000")
assert cursor.fetchone()[0] == 1
try:
    cursor.execute("select * from no_such_table")
    raise AssertionError("an unknown table was found")
except pg8000.dbapi.DatabaseError as e:
    assert e.args[0]["C"] == "42P01", e.args
connection.rollback()
cursor.execute("drop table driver_pg8000")
connection.commit()
connection.close()
print("pg8000", pg8000.__version__, "ok")
