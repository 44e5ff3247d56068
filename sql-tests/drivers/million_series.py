"""A million series in one batch, by each way in: all of them come in or none, and what was there stays.

The server may say that it has not enough memory; it may not stop, nor keep a part.
"""

import os
import urllib.error
import urllib.request

import psycopg

SERIES = 1_000_000
LINES = "".join(f"many_http,host=h{i} v={i} {i}\n" for i in range(SERIES)).encode()


def inserted(connection):
    sql = f"INSERT INTO many SELECT 'h' || i, timestamptz '2024-02-29 00:00Z' + interval '1 second' * (i / 10), i FROM generate_series(1, {SERIES}) g(i)"
    return taken(lambda: connection.execute(sql))


def copied(connection):
    def copy():
        with connection.cursor() as cursor, cursor.copy("COPY many FROM STDIN") as copy:
            for first in range(0, SERIES, 10_000):
                copy.write("".join(f"c{i}\t2024-03-0{1 + i % 5} 00:00:00Z\t{i}\n" for i in range(first, first + 10_000)))

    return taken(copy)


def taken(statement):
    try:
        statement()
        return True
    except psycopg.Error as e:
        assert e.sqlstate in ("53200", "54000"), (e.sqlstate, e)
        return False


def posted():
    request = urllib.request.Request(f"http://{os.environ['LIGHTNING_HTTP']}/write?precision=s", data=LINES, method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 204, answer.status
            return True
    except urllib.error.HTTPError as e:
        text = e.read().decode()
        assert e.code in (413, 500, 503) and "53200" in text, (e.code, text)
        return False


with psycopg.connect(autocommit=True) as connection:
    connection.execute("DROP TABLE IF EXISTS many, many_http")
    connection.execute(
        "CREATE TABLE many (host text, ts timestamptz, v double precision, PRIMARY KEY (host, ts)) WITH (time_column = 'ts', partition_by = '1 day')"
    )
    connection.execute("INSERT INTO many VALUES ('first', '2024-02-29 00:00Z', 1)")
    expected = 1
    for way in (inserted, copied):
        expected += SERIES * way(connection)
        found = connection.execute("SELECT count(*), count(DISTINCT host) FROM many").fetchone()
        assert found == (expected, expected), (way.__name__, found, expected)
    assert connection.execute("SELECT v FROM many WHERE host = 'first'").fetchone() == (1.0,)
    if expected > SERIES:
        assert connection.execute("SELECT count(*), sum(v) FROM (SELECT * FROM many LATEST ON ts PARTITION BY host) x WHERE host LIKE 'h%'").fetchone() == (
            SERIES,
            SERIES * (SERIES + 1) / 2,
        )
    if posted():
        assert connection.execute("SELECT count(*), count(DISTINCT host), sum(v) FROM many_http").fetchone() == (SERIES, SERIES, SERIES * (SERIES - 1) / 2)
    connection.execute("DROP TABLE IF EXISTS many, many_http")
print("a million series ok")
