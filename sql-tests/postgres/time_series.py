"""Time series beside PostgreSQL: random rows in both, and what Lightning has words for written in plain SQL there.

Connects to the server that PGHOST and PGPORT name and starts a PostgreSQL server of its own. SEED chooses the rows.
"""

import os
import pathlib
import random

import psycopg

import aggregates
import data
import gaps
import windows
import writes
from beside import Beside
from server import postgres

SEED = int(os.environ.get("SEED", "20240229"))
HERE = pathlib.Path(__file__).parent


def main():
    with psycopg.connect(autocommit=True) as ours, postgres() as peer:
        for connection in (ours, peer):
            connection.execute("SET TimeZone = 'UTC'")
        peer.execute((HERE / "buckets.sql").read_text())
        beside = Beside(ours, peer, SEED)
        data.load(beside, random.Random(SEED))
        # Each topic has its own chance, so that it is the same when another changes.
        gaps.compare(beside, random.Random(SEED + 1))
        windows.compare(beside)
        aggregates.compare(beside, random.Random(SEED + 2))
        writes.compare(beside, random.Random(SEED + 3))
        version = peer.execute("SHOW server_version").fetchone()[0].split()[0]
        print(f"{beside.compared} answers agree with PostgreSQL {version}")


if __name__ == "__main__":
    main()
