#!/usr/bin/env python3
"""Time series beside DuckDB in one run: 10 M points of 100 series, a second apart, and 1 M quotes.

usage: time_series.py PATH_TO_time_series [POINTS]     (needs numpy, pyarrow and duckdb from PyPI)

The values are `50 + cumsum(N(0, 0.1))` over all points, rounded to two decimals; series = i % 100, ts = i // 100 seconds.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

RUNS = 7
SERIES = 100


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


def peer(table, prices, directory):
    path = os.path.join(directory, "peer.duckdb")
    db = duckdb.connect(path)
    db.execute("SET threads = 2; SET TimeZone = 'UTC'")
    db.register("incoming", table)
    db.register("incoming_quotes", prices)
    began = time.perf_counter()
    db.execute("CREATE TABLE m AS SELECT * FROM incoming; CHECKPOINT")
    figures = {"ingest, M points/s": table.num_rows / (time.perf_counter() - began) / 1e6}
    figures["size, MB"] = os.path.getsize(path) / 1e6
    db.execute("CREATE TABLE q AS SELECT * FROM incoming_quotes")
    queries = {
        "hourly buckets, ms": "SELECT time_bucket(INTERVAL '1 hour', ts), series, avg(value) FROM m GROUP BY 1, 2",
        "last value per series, ms": "SELECT series, arg_max(value, ts) FROM m GROUP BY series",
        "LATEST ON, ms": "SELECT DISTINCT ON (series) * FROM m ORDER BY series, ts DESC",
        "one series, one hour, ms": "SELECT ts, value FROM m WHERE series = 's42'"
        " AND ts >= TIMESTAMPTZ '1970-01-01 10:00:00+00' AND ts < TIMESTAMPTZ '1970-01-01 11:00:00+00'",
        "ASOF join, ms": "SELECT count(*), sum(bid) FROM m ASOF JOIN q ON m.series = q.series AND m.ts >= q.ts",
    }
    for name, sql in queries.items():
        best = float("inf")
        for _ in range(RUNS):
            began = time.perf_counter()
            db.execute(sql).arrow()
            best = min(best, (time.perf_counter() - began) * 1e3)
        figures[name] = best
    return figures


def main():
    binary = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
    with tempfile.TemporaryDirectory() as directory:
        table, prices = points(count), quotes(count // 10, count // SERIES)
        files = [os.path.join(directory, name) for name in ("points.parquet", "quotes.parquet")]
        pq.write_table(table, files[0])
        pq.write_table(prices, files[1])
        theirs = peer(table, prices, directory)
        run = subprocess.run([binary, *files, os.path.join(directory, "db")], capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(run.stderr)
        print(f"{'figure':<48} {'Lightning':>12} {'DuckDB ' + duckdb.__version__:>14}")
        for line in run.stdout.splitlines():
            figure = json.loads(line)
            other = theirs.get(figure["figure"])
            print(f"{figure['figure']:<48} {figure['value']:>12.2f} {other:>14.2f}" if other else f"{figure['figure']:<48} {figure['value']:>12.2f}")


if __name__ == "__main__":
    main()
