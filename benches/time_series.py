#!/usr/bin/env python3
"""Time series beside DuckDB and ClickHouse in one run: 10 M points of 100 series, a second apart, and 1 M quotes.

usage: time_series.py DIRECTORY_OF_BINARIES [POINTS]     (needs numpy, pyarrow, duckdb and chdb from PyPI)

The binaries are those of `cargo build --release --workspace --bins`. The values are `50 + cumsum(N(0, 0.1))` over all points, rounded to two
decimals; series = i % 100, ts = i // 100 seconds. Every engine has two threads; every figure is the best of several runs.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time

import chdb.session
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

RUNS = 7
LOADS = 3
SERIES = 100
HOUR_BEGINS, HOUR_ENDS = "1970-01-01 10:00:00", "1970-01-01 11:00:00"


def points(count):
    rng = np.random.default_rng(1)
    row = np.arange(count)
    names = pa.array([f"s{i}" for i in range(SERIES)])
    series = pa.DictionaryArray.from_arrays(pa.array((row % SERIES).astype(np.int32)), names).cast(pa.string())
    ts = pa.array(row // SERIES * 1_000_000, pa.timestamp("us", "UTC"))
    values = np.round(50 + np.cumsum(rng.normal(0, 0.1, count)), 2)
    return pa.table({"ts": ts, "series": series, "value": values})


def quotes(count, seconds):
    rng = np.random.default_rng(2)
    names = np.array([f"s{i}" for i in range(SERIES)])
    micros = rng.integers(0, seconds * 1_000_000, count)
    table = {"ts": pa.array(micros, pa.timestamp("us", "UTC")), "series": names[rng.integers(0, SERIES, count)]}
    return pa.table({**table, "bid": np.round(rng.uniform(1, 100, count), 2)})


def best(runs, work, before=lambda: None):
    """Seconds of the fastest of some runs."""
    fastest = float("inf")
    for _ in range(runs):
        before()
        began = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - began)
    return fastest


def in_duckdb(table, prices, directory):
    path = os.path.join(directory, "peer.duckdb")
    db = duckdb.connect(path)
    db.execute("SET threads = 2; SET TimeZone = 'UTC'")
    db.register("incoming", table)
    db.register("incoming_quotes", prices)

    load = best(
        LOADS,
        lambda: db.execute("CREATE TABLE m AS SELECT * FROM incoming; CHECKPOINT"),
        lambda: db.execute("DROP TABLE IF EXISTS m; CHECKPOINT"),
    )
    figures = {"ingest, M points/s": table.num_rows / load / 1e6, "size, MB": os.path.getsize(path) / 1e6}
    db.execute("CREATE TABLE q AS SELECT * FROM incoming_quotes")
    queries = {
        "hourly buckets, ms": "SELECT time_bucket(INTERVAL '1 hour', ts), series, avg(value) FROM m GROUP BY 1, 2",
        "last value per series, ms": "SELECT series, arg_max(value, ts) FROM m GROUP BY series",
        "LATEST ON, ms": "SELECT DISTINCT ON (series) * FROM m ORDER BY series, ts DESC",
        "one series, one hour, ms": "SELECT ts, value FROM m WHERE series = 's42'"
        f" AND ts >= TIMESTAMPTZ '{HOUR_BEGINS}+00' AND ts < TIMESTAMPTZ '{HOUR_ENDS}+00'",
        "ASOF join, ms": "SELECT count(*), sum(bid) FROM m ASOF JOIN q ON m.series = q.series AND m.ts >= q.ts",
    }
    for name, sql in queries.items():
        figures[name] = best(RUNS, lambda sql=sql: db.sql(sql).to_arrow_table()) * 1e3
    day = "DELETE FROM m WHERE ts >= TIMESTAMPTZ '1970-01-01 00:00:00+00' AND ts < TIMESTAMPTZ '1970-01-02 00:00:00+00'"
    figures["dropping a day, ms"] = best(1, lambda: db.execute(day)) * 1e3
    db.close()
    return figures


def in_clickhouse(files, count, directory):
    db = chdb.session.Session(os.path.join(directory, "clickhouse"))
    run = lambda sql: db.query(sql + " SETTINGS max_threads = 2, max_insert_threads = 2", "ArrowStream")
    points_table = """CREATE TABLE m (ts DateTime64(6, 'UTC') CODEC(DoubleDelta, LZ4), series LowCardinality(String),
        value Float64 CODEC(Gorilla, LZ4)) ENGINE = MergeTree ORDER BY (series, ts) PARTITION BY toDate(ts)"""
    db.query("CREATE DATABASE d ENGINE = Atomic; USE d")

    def afresh():
        db.query("DROP TABLE IF EXISTS m SYNC")
        db.query(points_table)

    load = best(LOADS, lambda: run(f"INSERT INTO m SELECT * FROM file('{files[0]}', Parquet)"), afresh)
    figures = {"ingest, M points/s": count / load / 1e6}
    db.query("OPTIMIZE TABLE m FINAL")
    size = db.query("SELECT sum(bytes_on_disk) FROM system.parts WHERE table = 'm' AND active", "CSV")
    figures["size, MB"] = int(str(size)) / 1e6
    db.query("CREATE TABLE q (ts DateTime64(6, 'UTC'), series LowCardinality(String), bid Float64) ENGINE = MergeTree ORDER BY (series, ts)")
    db.query(f"INSERT INTO q SELECT * FROM file('{files[1]}', Parquet)")
    queries = {
        "hourly buckets, ms": "SELECT toStartOfHour(ts) AS h, series, avg(value) FROM m GROUP BY h, series",
        "last value per series, ms": "SELECT series, argMax(value, ts) FROM m GROUP BY series",
        "LATEST ON, ms": "SELECT * FROM m ORDER BY series, ts DESC LIMIT 1 BY series",
        "one series, one hour, ms": "SELECT ts, value FROM m WHERE series = 's42'"
        f" AND ts >= toDateTime64('{HOUR_BEGINS}', 6, 'UTC') AND ts < toDateTime64('{HOUR_ENDS}', 6, 'UTC')",
        "ASOF join, ms": "SELECT count(*), sum(bid) FROM m ASOF JOIN q ON m.series = q.series AND m.ts >= q.ts",
    }
    for name, sql in queries.items():
        figures[name] = best(RUNS, lambda sql=sql: run(sql)) * 1e3
    figures["dropping a day, ms"] = best(1, lambda: db.query("ALTER TABLE m DROP PARTITION '1970-01-01'")) * 1e3
    db.close()
    return figures


def embedded(binaries, files, directory):
    command = [os.path.join(binaries, "time_series"), *files, os.path.join(directory, "db")]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(run.stderr)
    lines = map(json.loads, run.stdout.splitlines())
    return {line["figure"]: line["value"] for line in lines}


def over_http(binaries, directory):
    command = [os.path.join(binaries, "lightning"), "serve", os.path.join(directory, "served")]
    command += ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in server.stdout:
            if address := re.search(r"HTTP on ([\d.:]+)", line):
                break
        run = subprocess.run([os.path.join(binaries, "line_protocol"), address[1]], capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(run.stderr)
        return {"line protocol, M points/s": float(re.search(r": (\d+) points/s", run.stdout)[1]) / 1e6}
    finally:
        server.terminate()
        server.wait()


def show(ours, peers):
    print(f"{'figure':<48} {'Lightning':>10} " + " ".join(f"{name:>18}" for name in peers))
    for figure, value in ours.items():
        others = (peer.get(figure) for peer in peers.values())
        cells = " ".join(f"{other:>18.2f}" if other else " " * 18 for other in others)
        print(f"{figure:<48} {value:>10.2f} {cells}")


def main():
    binaries = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
    with tempfile.TemporaryDirectory() as directory:
        table, prices = points(count), quotes(count // 10, count // SERIES)
        files = [os.path.join(directory, name) for name in ("points.parquet", "quotes.parquet")]
        pq.write_table(table, files[0])
        pq.write_table(prices, files[1])
        peers = {f"DuckDB {duckdb.__version__}": in_duckdb(table, prices, directory)}
        del table, prices
        peers[f"ClickHouse {chdb.__version__}"] = in_clickhouse(files, count, directory)
        show(embedded(binaries, files, directory) | over_http(binaries, directory), peers)


if __name__ == "__main__":
    main()
