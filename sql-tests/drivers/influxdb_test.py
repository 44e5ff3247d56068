"""InfluxDB's Python clients of both versions: points of every kind over HTTP, read back over the PostgreSQL protocol."""

import gzip
import os
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

import influxdb
import influxdb_client
import psycopg
from influxdb_client import Point, WriteOptions
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

ADDRESS = os.environ["LIGHTNING_HTTP"]
NOON = datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=timezone.utc)
AWKWARD = 'comma, space = "quoted" back\\slash ü 漢字'


def second_version(connection):
    """influxdb-client: points, dictionaries, lines; compressed."""
    with influxdb_client.InfluxDBClient(f"http://{ADDRESS}", token="any", org="any", enable_gzip=True) as client:
        assert client.ping() and client.health().status == "pass"
        write = client.write_api(write_options=SYNCHRONOUS)
        point = Point("py 2,kinds").tag("tag key,=", AWKWARD).tag("empty", "").field("f", 0.1).field("i", -(2**63)).field("b", True)
        point.field("text", AWKWARD + "\nline").field("none", None).field("whole", 5.0).time(NOON)
        write.write("lightning", record=point)
        row = connection.execute('SELECT "time", "tag key,=", f, i, b, text, whole FROM "py 2,kinds"').fetchone()
        assert row == (NOON, AWKWARD, 0.1, -(2**63), True, AWKWARD + "\nline", 5.0), row

        for precision, count in (("s", 60), ("ms", 60_000), ("us", 60_000_000), ("ns", 60_000_000_000)):
            write.write("lightning", record=f"py2_precision,p={precision} v=1 {count}", write_precision=precision)
        assert connection.execute('SELECT count(*), min("time") = max("time"), min(extract(epoch FROM "time")) FROM py2_precision').fetchone() == (4, True, 60)

        record = {"measurement": "py2_dict", "tags": {"k": "v"}, "fields": {"x": 1, "y": 2.5}, "time": "1969-12-31T23:59:58Z"}
        write.write("lightning", record=[record, {**record, "time": 5}], write_precision="s")
        assert connection.execute('SELECT k, x, y, extract(epoch FROM "time") FROM py2_dict ORDER BY "time"').fetchall() == [("v", 1, 2.5, -2), ("v", 1, 2.5, 5)]

        try:
            write.write("lightning", record=["py2_partial v=1 1", "py2_partial v=oops 2", "py2_partial v=3 3"])
            raise AssertionError("a wrong line was taken")
        except ApiException as e:
            assert e.status == 400 and "line 2, column 15" in e.message, e.message
        assert connection.execute("SELECT array_agg(v ORDER BY v) FROM py2_partial").fetchone() == ([1.0, 3.0],)
        try:
            write.write("nowhere", record="m v=1")
            raise AssertionError("an unknown bucket was written to")
        except ApiException as e:
            assert e.status == 404 and "nowhere" in e.message, e.message
        in_batches(client, connection)


def in_batches(client, connection):
    """The client's own thread collects points and sends them; the server takes several requests at a time."""
    failures = []
    options = WriteOptions(batch_size=700, flush_interval=100)
    with client.write_api(write_options=options, error_callback=lambda *given: failures.append(given)) as write:
        for i in range(10_000):
            point = Point("py2_batch").tag("host", f"h{i % 97}").field("v", i).time(NOON + timedelta(milliseconds=i))
            write.write("lightning", record=point)
    assert not failures, failures[0]
    row = connection.execute('SELECT count(*), count(DISTINCT host), sum(v), max("time") FROM py2_batch').fetchone()
    assert row == (10_000, 97, sum(range(10_000)), NOON + timedelta(milliseconds=9999)), row


def first_version(connection):
    """influxdb: /write with db and precision, JSON that the client makes lines of."""
    host, port = ADDRESS.rsplit(":", 1)
    client = influxdb.InfluxDBClient(host, int(port), database="lightning", gzip=True)
    assert client.ping()
    client.create_database("lightning")
    points = [
        {"measurement": "py1 kinds", "tags": {"t=": AWKWARD}, "time": NOON.isoformat(), "fields": {"f": 1.5, "i": 7, "b": False, "s": AWKWARD}},
        {"measurement": "py1 kinds", "tags": {}, "time": "1900-02-28T00:00:00Z", "fields": {"f": -0.0, "i": 2**62}},
    ]
    assert client.write_points(points)
    rows = connection.execute('SELECT "time", "t=", f, i, b, s FROM "py1 kinds" ORDER BY "time" DESC').fetchall()
    # This client doubles backslashes in tags, which InfluxDB stores as they come.
    assert rows[0] == (NOON, AWKWARD.replace("\\", "\\\\"), 1.5, 7, False, AWKWARD), rows
    assert rows[1] == (datetime(1900, 2, 28, tzinfo=timezone.utc), None, -0.0, 2**62, None, None), rows

    lines = [f"py1_lines,k=a v={i}i {i}" for i in range(5000)]
    assert client.write_points(lines, time_precision="s", protocol="line", batch_size=999)
    assert connection.execute("SELECT count(*), sum(v) FROM py1_lines").fetchone() == (5000, sum(range(5000)))
    try:
        client.write_points(["py1_lines v=1i 1", "py1_lines,k= v=2i 2"], protocol="line")
        raise AssertionError("a wrong line was taken")
    except influxdb.exceptions.InfluxDBClientError as e:
        assert e.code == 400 and "partial write: line 2" in e.content and "dropped=1" in e.content, e.content
    assert connection.execute("SELECT count(*) FROM py1_lines WHERE k IS NULL").fetchone() == (1,)
    client.close()


def upserts(connection):
    """Late and repeated points of a table with a key replace what they give a value for."""
    connection.execute("CREATE TABLE influx_key (host text, at timestamptz, a float8, b bigint, PRIMARY KEY (host, at))")
    with influxdb_client.InfluxDBClient(f"http://{ADDRESS}", token="any", org="any") as client:
        write = client.write_api(write_options=SYNCHRONOUS)
        for fields in ({"a": 1.0, "b": 1}, {"a": 2.0}, {"b": 3}):
            point = Point("influx_key").tag("host", "h").time(NOON)
            for name, value in fields.items():
                point.field(name, value)
            write.write("lightning", record=point)
    assert connection.execute("SELECT * FROM influx_key").fetchall() == [("h", NOON, 2.0, 3)]


def post(body, encoding=None, path="/write?db=lightning"):
    """The status and body of an answer to a request that no client would send."""
    headers = {"Content-Encoding": encoding} if encoding else {}
    request = urllib.request.Request(f"http://{ADDRESS}{path}", data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def bad_input(connection):
    """Times far outside the range, a compressed body without end, half of one: refused, and rows before are there."""
    assert post(b"influx_bad v=1 1")[0] == 204
    for line, message in (
        (b"influx_bad v=2 9223372036854775808", "out of range"),
        (b"influx_bad v=1e400 2", "out of range"),
        (b"influx_bad v=9223372036854775808i 2", "out of range"),
        (b"influx_bad " + b"x" * 70 + b"=1 2", "is longer than 63 bytes"),
        (b"influx_bad v=3,v=\"x\" 2", ""),
    ):
        status, answer = post(line)
        assert status == 400 and message in answer, (line, status, answer)
    status, answer = post(b"influx_bad v=2 9223372036854775807", path="/write?db=lightning&precision=s")
    assert status == 400 and "out of range" in answer, (status, answer)
    bomb = gzip.compress(b"\0" * (300 << 20))
    status, answer = post(bomb, "gzip")
    # Either is the answer: too large for any server, or for the memory this one has.
    assert status in (413, 503), (status, answer)
    status, answer = post(gzip.compress(b"influx_bad v=5 5")[:-6], "gzip")
    assert status == 400, (status, answer)
    assert connection.execute("SELECT v FROM influx_bad").fetchall() == [(1.0,)]


with psycopg.connect(autocommit=True) as connection:
    tables = ['"py 2,kinds"', "py2_precision", "py2_dict", "py2_partial", "py2_batch", '"py1 kinds"', "py1_lines", "influx_key", "influx_bad"]
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"DROP TABLE IF EXISTS {', '.join(tables)}")
    second_version(connection)
    first_version(connection)
    upserts(connection)
    bad_input(connection)
    connection.execute(f"DROP TABLE {', '.join(tables)}")
print("influxdb", influxdb.__version__, "and influxdb-client", influxdb_client.__version__, "ok")
