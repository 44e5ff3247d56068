#!/usr/bin/env python3
"""Graphs beside networkit and igraph in one run: 2^20 vertices, 10 M edges, sources by a power law.

usage: graph.py DIRECTORY_OF_BINARIES [VERTICES EDGES]     (needs numpy, pyarrow, networkit and igraph from PyPI)

The binaries are those of `cargo build --release --workspace --bins`. Sources are `pareto(1.2) * 3000 mod V`, targets uniform. networkit has two
threads, igraph knows one; every figure is the best of several runs.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

import igraph
import networkit as nk
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

RUNS = 7


def edges(vertices, count):
    rng = np.random.default_rng(1)
    sources = (rng.pareto(1.2, count) * 3000).astype(np.int64) % vertices
    return sources, rng.integers(0, vertices, count)


def best(work, runs=RUNS):
    """Milliseconds of the fastest of some runs."""
    fastest = float("inf")
    for _ in range(runs):
        began = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - began)
    return fastest * 1e3


def in_networkit(vertices, sources, targets, start):
    nk.setNumberOfThreads(2)
    build = lambda: nk.GraphFromCoo((sources, targets), n=vertices, directed=True)
    figures = {"build, ms": best(build, 1)}
    graph = build()
    bfs = best(lambda: nk.distance.BFS(graph, start, False).run())
    figures |= {"BFS, ms": bfs, "BFS, M edges/s": len(sources) / bfs / 1e3}
    figures["PageRank, ms"] = best(lambda: nk.centrality.PageRank(graph, 0.85, 1e-6).run())
    figures["WCC, ms"] = best(lambda: nk.components.WeaklyConnectedComponents(graph).run())
    return figures


def in_igraph(vertices, sources, targets, start):
    build = lambda: igraph.Graph(n=vertices, edges=np.column_stack([sources, targets]), directed=True)
    figures = {"build, ms": best(build, 1)}
    graph = build()
    bfs = best(lambda: graph.distances(source=[start], mode="out"), 3)
    figures |= {"BFS, ms": bfs, "BFS, M edges/s": len(sources) / bfs / 1e3}
    figures["PageRank, ms"] = best(lambda: graph.pagerank(damping=0.85), 3)
    figures["WCC, ms"] = best(lambda: graph.connected_components(mode="weak"), 3)
    return figures


def ours(binaries, file, vertices, directory):
    command = [os.path.join(binaries, "graph"), file, str(vertices), os.path.join(directory, "db")]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(run.stderr)
    lines = map(json.loads, run.stdout.splitlines())
    return {line["figure"]: line["value"] for line in lines}


def show(mine, peers):
    print(f"{'figure':<48} {'Lightning':>10} " + " ".join(f"{name:>18}" for name in peers))
    for figure, value in mine.items():
        others = (peer.get(figure) for peer in peers.values())
        cells = " ".join(f"{other:>18.2f}" if other else " " * 18 for other in others)
        print(f"{figure:<48} {value:>10.2f} {cells}")


def main():
    binaries = sys.argv[1]
    vertices, count = (int(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) > 3 else (1 << 20, 10_000_000)
    sources, targets = edges(vertices, count)
    degrees = np.bincount(sources, minlength=vertices)
    start = int(degrees.argmax())
    with tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, "edges.parquet")
        pq.write_table(pa.table({"a": sources, "b": targets}), file)
        mine = ours(binaries, file, vertices, directory)
    peers = {f"networkit {nk.__version__}": in_networkit(vertices, sources, targets, start)}
    peers[f"igraph {igraph.__version__}"] = in_igraph(vertices, sources, targets, start)
    show(mine, peers)


if __name__ == "__main__":
    main()
