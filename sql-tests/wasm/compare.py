"""Functions and triggers in WebAssembly beside the same in SQL, and guests that mean harm.

compare.py BINARY DIRECTORY starts a server of its own, with a fresh directory, and takes the guests that build.sh made from DIRECTORY. SEED chooses the rows
and what is broken; with LIGHTNING_LONG=1 there is more of it. TOPICS names what to compare, all by default.
"""

import os
import pathlib
import random
import sys
import tempfile
import time

import data
import evil
import functions
import lasting
import triggers
from ask import Asker
from server import Server

IS_LONG = os.environ.get("LIGHTNING_LONG") == "1"
SEED = int(os.environ.get("SEED", "1"))
TOPICS = os.environ.get("TOPICS", "functions many triggers evil lasting").split()


def main():
    binary, guests = sys.argv[1:]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        server = Server(binary, pathlib.Path(place) / "data")
        try:
            asker = Asker(server, guests, SEED)
            # Each topic has its own chance, so that it is the same when another changes.
            compare(asker, lambda topic: random.Random(f"{topic} {SEED}"))
            asker.connection.close()
        finally:
            server.stop()
            print("\n".join(server.complaints()[-50:]), end="", flush=True)
        asker.equal("what the server complains of", server.complaints(), [])
    if asker.failures:
        raise SystemExit(f"{asker.failures} of {asker.asked} answers about guests are wrong")
    print(f"{asker.asked} answers about guests agree, in {time.monotonic() - began:.0f} s")


def compare(asker, chance):
    if {"functions", "many", "triggers"} & set(TOPICS):
        data.create(asker, chance("data"))
    if "functions" in TOPICS:
        functions.create(asker)
        functions.compare(asker, chance("functions"))
        functions.compare_statistics(asker)
    if "many" in TOPICS:
        functions.create(asker)
        functions.compare_many(asker)
    if "triggers" in TOPICS:
        triggers.compare(asker, chance("triggers"))
    if "evil" in TOPICS:
        evil.compare(asker, chance("evil"), IS_LONG)
    if "lasting" in TOPICS:
        lasting.compare(asker)


if __name__ == "__main__":
    main()
