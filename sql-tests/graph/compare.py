"""Graphs beside networkit, igraph, networkx, brute force and PostgreSQL: random graphs and questions about them.

Connects to the server that PGHOST and PGPORT name and starts a PostgreSQL server of its own. SEED chooses the graphs and SEEDS how many times; with
LIGHTNING_LONG=1 there are many more. TOPICS names what to compare, all by default. A wrong answer is printed as a script that shows it.
"""

import os
import pathlib
import random
import sys
import time

import psycopg

import functions
import graphalytics
import model
import patterns
import recursion
import shapes
import writes
from ask import Asker

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "postgres"))
from beside import Beside  # noqa: E402
from server import postgres  # noqa: E402

IS_LONG = os.environ.get("LIGHTNING_LONG") == "1"
SEED = int(os.environ.get("SEED", "1"))
SEEDS = int(os.environ.get("SEEDS", "25" if IS_LONG else "2"))
TOPICS = os.environ.get("TOPICS", "functions patterns writes recursion graphalytics").split()


def graphs(rng, name, sizes, both):
    """A graph of each shape, and some with two tables of vertices."""
    for shape in shapes.SHAPES:
        yield model.build(rng, name, shape, rng.choice(sizes))
    for _ in range(2):
        yield model.build_bipartite(rng, name, rng.randint(0, both))


def drop(asker, graph):
    for statement in graph.drop():
        asker.connection.execute(statement)


def compare_functions(asker, rng):
    for graph in graphs(rng, "graph_f", [2, 5, 9, 20], 9):
        asker.create(graph)
        kinds = [*functions.SEARCHES, *functions.WHOLE]
        asker.check(graph, functions.questions(rng, graph, kinds if IS_LONG else rng.sample(kinds, 9)))
        graph = functions.negative(graph, rng)
        asker.create(graph)
        asker.check(graph, [functions.negative_distances(rng, graph)])
        drop(asker, graph)


def compare_patterns(asker, rng):
    for graph in graphs(rng, "graph_m", [2, 4, 6, 7], 4):
        asker.create(graph)
        asker.check(graph, patterns.questions(rng, graph, *((10, 14) if IS_LONG else (2, 3))))
        drop(asker, graph)


def compare_writes(asker, rng, other):
    for _ in range(4 if IS_LONG else 2):
        writes.compare(asker, other, rng, 12 if IS_LONG else 3, False)
    writes.compare(asker, other, rng, 10 if IS_LONG else 3, True)


def main():
    began, asked, failures = time.monotonic(), 0, 0
    # Tables are made anew with keys of other types, which a prepared statement must not survive.
    connect = lambda: psycopg.connect(autocommit=True, prepare_threshold=None)
    with connect() as ours, connect() as other, postgres() as peer:
        for seed in range(SEED, SEED + SEEDS):
            # Each topic has its own chance, so that it is the same when another changes.
            asker, chance = Asker(ours, seed), lambda topic: random.Random(f"{topic} {seed}")
            beside = Beside(ours, peer, seed)
            if "functions" in TOPICS:
                compare_functions(asker, chance("functions"))
            if "patterns" in TOPICS:
                compare_patterns(asker, chance("patterns"))
            if "writes" in TOPICS:
                compare_writes(asker, chance("writes"), other)
            if "recursion" in TOPICS:
                recursion.compare(beside, chance("recursion"), 4 if IS_LONG else 2)
            if "graphalytics" in TOPICS and seed == SEED:
                graphalytics.compare(asker)
            asker.show_slow()
            asked, failures = asked + asker.asked + beside.compared, failures + len(asker.failures)
    if failures:
        raise SystemExit(f"{failures} of {asked} answers about graphs are wrong")
    print(f"{asked} answers about graphs agree, in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
