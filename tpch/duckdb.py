"""Runs DuckDB for the comparison: one JSON command a line in, one JSON answer a line out."""

import json
import os
import sys
import time

import duckdb

# DuckDB shows progress bars on standard output: answers go to a copy of it, and it becomes standard error.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

connection = None


def text(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    return str(value)


def load(command):
    """CREATE TABLE AS from Parquet into a new file, until everything is in it and synced."""
    global connection
    if os.path.exists(command["file"]):
        os.remove(command["file"])
    start = time.perf_counter()
    connection = duckdb.connect(command["file"], config={"threads": command["threads"]})
    connection.execute("SET enable_progress_bar = false")
    for table in command["tables"]:
        source = os.path.join(command["parquet"], table, "*.parquet").replace("'", "''")
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM read_parquet('{source}')")
    connection.execute("CHECKPOINT")
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "bytes": os.path.getsize(command["file"]), "version": duckdb.__version__}


def query(command):
    """Time until the whole result is there in DuckDB's own form, before Python makes objects of it."""
    start = time.perf_counter()
    result = connection.execute(command["sql"])
    seconds = time.perf_counter() - start
    rows = result.fetchall()
    answer = {"seconds": seconds, "rows": len(rows)}
    if command.get("values"):
        answer["values"] = [[text(value) for value in row] for row in rows]
    return answer


for line in sys.stdin:
    command = json.loads(line)
    try:
        answer = {"load": load, "query": query}[command["do"]](command)
    except Exception as error:  # told to the other side, whatever it is
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=answers, flush=True)
