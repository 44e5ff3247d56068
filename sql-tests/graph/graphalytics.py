"""The results that LDBC Graphalytics expects of its validation graphs, from the directory that LIGHTNING_GRAPHALYTICS names."""

import math
import os
import pathlib

from model import inserts

INFINITE = {"9223372036854775807", "Infinity", "inf"}


def lists(text, is_directed):
    """Lines of a vertex and those its edges go to; an undirected edge is there twice."""
    vertices, edges = [], []
    for words in filter(None, (line.split() for line in text.splitlines())):
        vertex, *others = map(int, words)
        vertices.append(vertex)
        edges += [(vertex, other, 1.0) for other in others if is_directed or vertex < other]
    return vertices, edges


def tables(vertices, edges):
    """A list of vertices, and one of edges with weights."""
    rows = [line.split() for line in edges.splitlines() if line]
    return [int(word) for word in vertices.split()], [(int(s), int(d), float(w)) for s, d, w in rows]


def create(connection, vertices, edges):
    for statement in (
        "DROP PROPERTY GRAPH IF EXISTS ldbc",
        "DROP TABLE IF EXISTS ldbc_v",
        "DROP TABLE IF EXISTS ldbc_e",
        "CREATE TABLE ldbc_v (id bigint PRIMARY KEY)",
        "CREATE TABLE ldbc_e (id bigint PRIMARY KEY, s bigint, d bigint, w double precision)",
        *inserts("ldbc_v", [(v,) for v in vertices]),
        *inserts("ldbc_e", [(i, *edge) for i, edge in enumerate(edges)]),
        "CREATE PROPERTY GRAPH ldbc VERTEX TABLES (ldbc_v) EDGE TABLES (ldbc_e SOURCE KEY (s) REFERENCES ldbc_v (id) DESTINATION KEY (d) REFERENCES ldbc_v (id))",
    ):
        connection.execute(statement)


def check(asker, name, sql, expected):
    found = dict(asker.connection.execute(sql).fetchall())
    asker.asked += 1
    lines = [line.split() for line in expected.splitlines() if line]
    if len(found) > len(lines):
        asker.failures.append(f"Graphalytics {name}: {len(found)} vertices")
    for vertex, value in lines:
        value = math.inf if value in INFINITE else float(value)
        answer = found.get(int(vertex), math.inf)
        # As near as the benchmark asks.
        if not math.isclose(answer, value, rel_tol=1e-4):
            asker.failures.append(f"Graphalytics {name}: vertex {vertex} has {answer}, not {value}: {sql}")
            print(asker.failures[-1])
            return


# The calls, and the source and the number of iterations of the validation graphs and of the example, directed and undirected.
CALLS = {
    "bfs": ("graph_bfs('ldbc', {0}{any})", (1, 1), (1, 2)),
    "sssp": ("graph_shortest_path('ldbc', {0}, weight => 'w'{any})", (1, 1), (1, 2)),
    "pr": ("graph_pagerank('ldbc', tolerance => 0, max_iterations => {0}{any})", (14, 26), (2, 2)),
    "wcc": ("graph_wcc('ldbc')", (0, 0), (0, 0)),
    "cdlp": ("graph_cdlp('ldbc', iterations => {0}{any})", (5, 5), (2, 2)),
    "lcc": ("graph_lcc('ldbc'{any})", (0, 0), (0, 0)),
}


def compare(asker):
    place = os.environ.get("LIGHTNING_GRAPHALYTICS")
    if place is None:
        return
    text = lambda name: (pathlib.Path(place) / name).read_text()
    for name, (call, arguments, examples) in CALLS.items():
        for is_directed in (True, False):
            kind, long = ("dir", "directed") if is_directed else ("undir", "undirected")
            direction = "" if is_directed else ", direction => 'any'"
            graphs = {
                f"{name}/{kind}-output": (
                    lambda: tables(text(f"sssp/{kind}-input.v"), text(f"sssp/{kind}-input.e")) if name == "sssp" else lists(text(f"{name}/{kind}-input"), is_directed),
                    arguments,
                ),
                f"example/example-{long}-{name.upper()}": (lambda: tables(text(f"example/example-{long}.v"), text(f"example/example-{long}.e")), examples),
            }
            for expected, (read, given) in graphs.items():
                vertices, edges = read()
                create(asker.connection, sorted({*vertices, *(v for s, d, _ in edges for v in (s, d))}), edges)
                sql = f"SELECT * FROM {call.format(given[0 if is_directed else 1], any=direction)}"
                check(asker, expected, sql, text(expected))
