"""Writers beside readers, and bulk writes: Lightning beside PostgreSQL and DuckDB, one after the other in one run.

    mvcc.py PATH_TO_LIGHTNING [--rows 6000000] [--seconds 10]

1. A scan of a table before and after one percent of its rows, at random places, was updated, with a snapshot from before held open; and after VACUUM.
2. A reader of single rows alone, and beside a writer at full speed: the 99th percentile of its answers.
3. INSERT … SELECT of all rows into a table with a primary key (DuckDB's program runs in this process).

Needs the Python packages psycopg and duckdb, and PostgreSQL's programs under /usr/lib/postgresql. Run as root it runs PostgreSQL as user postgres.
"""

import argparse
import multiprocessing
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

import duckdb
import psycopg

SCANS = 7
SCAN = "select count(*), sum(a), sum(b), min(c), max(d) from t"
COLUMNS = "id bigint primary key, a int, b bigint, c date, d double precision, e text"
ROWS = """select g as id, (g % 1000)::int as a, g * 7 as b, date '2020-01-01' + (g % 2000)::int as c,
                 (g / 3.0)::double precision as d, 'text of row ' || g as e from generate_series(1, {rows}) as g (g)"""


class Lightning:
    name = "Lightning"

    def __init__(self, program, directory):
        self.server = subprocess.Popen(
            [program, "serve", str(directory / "lightning"), "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
        )
        port = self.server.stdout.readline().split(";")[0].rsplit(":", 1)[1]
        self.address = f"host=127.0.0.1 port={port} user=lightning dbname=lightning"

    def stop(self):
        self.server.terminate()
        self.server.wait()


class PostgreSql:
    name = "PostgreSQL"

    def __init__(self, directory):
        self.programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))[-1]
        self.data = directory / "postgresql"
        port = 5496
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "lightning")
        options = f"-p {port} -h 127.0.0.1 -k '' -c shared_buffers=2GB -c max_wal_size=8GB"
        self.run("pg_ctl", "-D", self.data, "-w", "-l", self.data / "log", "-o", options, "start")
        self.address = f"host=127.0.0.1 port={port} user=lightning dbname=postgres"

    def run(self, program, *arguments):
        user = "postgres" if os.getuid() == 0 else None
        command = [str(self.programs / program), *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=user, cwd="/")

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "fast", "stop")


def connect(system):
    return psycopg.connect(system.address, autocommit=True)


def timed(connection, sql):
    start = time.perf_counter()
    answer = connection.execute(sql).fetchall()
    return time.perf_counter() - start, answer


def scans(connection):
    """Median time of the scan, and its answer."""
    runs = [timed(connection, SCAN) for _ in range(SCANS)]
    assert len({str(answer) for _, answer in runs}) == 1
    return statistics.median(seconds for seconds, _ in runs), runs[0][1]


def scans_after_updates(system, rows):
    with connect(system) as connection, psycopg.connect(system.address) as old:
        connection.execute(f"create table t ({COLUMNS})")
        connection.execute("insert into t " + ROWS.format(rows=rows))
        connection.execute("vacuum t")
        connection.execute("checkpoint")
        scans(connection)
        before, answer = scans(connection)
        old.execute("set transaction isolation level repeatable read")
        assert old.execute(SCAN).fetchall() == answer
        updated = connection.execute("update t set b = b + 1 where (id * 7919) % 1000003 % 100 = 7").rowcount
        after, answer_after = scans(connection)
        assert answer_after != answer and old.execute(SCAN).fetchall() == answer
        start = time.perf_counter()
        connection.execute("vacuum t")
        vacuum = time.perf_counter() - start
        vacuumed, answer_vacuumed = scans(connection)
        assert answer_vacuumed == answer_after
        assert old.execute(SCAN).fetchall() == answer
        old.rollback()
    return before, after, vacuum, vacuumed, updated


def latencies(system, rows, seconds):
    """Answers to one reader, in seconds."""
    found, number = [], 1
    with connect(system) as connection:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            number = number * 7919 % rows + 1
            took, answer = timed(connection, f"select a, e from t where id = {number}")
            assert len(answer) == 1
            found.append(took)
    return found


def percentile(values, share):
    return sorted(values)[int(len(values) * share)]


def write(address, rows, stop, written):
    """Updates a hundred rows at a time until told to stop."""
    number = 1
    with psycopg.connect(address, autocommit=True) as connection:
        while not stop.is_set():
            number = (number * 104729 + 11) % rows + 1
            connection.execute(f"update t set b = b + 1 where id between {number} and {number + 99}")
            written.value += 1


def reader_beside_writer(system, rows, seconds):
    alone = percentile(latencies(system, rows, seconds), 0.99)
    # A process of its own: two threads of Python wait for each other.
    stop, written = multiprocessing.Event(), multiprocessing.Value("q", 0)
    writer = multiprocessing.Process(target=write, args=(system.address, rows, stop, written))
    writer.start()
    time.sleep(1)
    before = written.value
    beside = percentile(latencies(system, rows, seconds), 0.99)
    updates = (written.value - before) / seconds
    stop.set()
    writer.join()
    return alone, beside, updates


def insert_select(execute, rows):
    execute(f"create table source as {ROWS.format(rows=rows)}")
    execute("checkpoint")
    execute(f"create table copy ({COLUMNS})")
    start = time.perf_counter()
    execute("insert into copy select * from source")
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lightning")
    parser.add_argument("--rows", type=int, default=6_000_000)
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    if os.getuid() == 0:
        shutil.chown(directory, "postgres")
    rows = arguments.rows
    try:
        print(f"| {rows:,} rows | Lightning | PostgreSQL | DuckDB |\n|---|---|---|---|")
        results = {}
        for start in (lambda: Lightning(arguments.lightning, directory), lambda: PostgreSql(directory)):
            system = start()
            try:
                scanned = scans_after_updates(system, rows)
                read = reader_beside_writer(system, rows, arguments.seconds)
                with connect(system) as connection:
                    connection.execute("drop table t")
                    inserted = insert_select(connection.execute, rows)
                results[system.name] = (scanned, read, inserted)
            finally:
                system.stop()
        file = str(directory / "duckdb")
        inserted = insert_select(duckdb.connect(file).execute, rows)
        (ours, ours_read, ours_inserted), (theirs, theirs_read, theirs_inserted) = results.values()

        def line(title, show, other=""):
            print(f"| {title} | {show(ours, ours_read)} | {show(theirs, theirs_read)} | {other} |", flush=True)

        line("scan before, ms", lambda s, _: f"{s[0] * 1e3:.1f}")
        line(f"after an update of {ours[4]:,} rows", lambda s, _: f"{s[1] * 1e3:.1f} ({s[1] / s[0]:.2f} x)")
        line("VACUUM, s", lambda s, _: f"{s[2]:.2f}")
        line("after VACUUM", lambda s, _: f"{s[3] * 1e3:.1f} ({s[3] / s[0]:.2f} x)")
        line("reader alone, 99th percentile, µs", lambda _, r: f"{r[0] * 1e6:.0f}")
        line("beside a writer", lambda _, r: f"{r[1] * 1e6:.0f} ({r[1] / r[0]:.2f} x)")
        line("its updates of 100 rows a second", lambda _, r: f"{r[2]:.0f}")
        print(f"| INSERT … SELECT, s | {ours_inserted:.2f} | {theirs_inserted:.2f} | {inserted:.2f} |")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
