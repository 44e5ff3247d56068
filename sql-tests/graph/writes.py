"""Graphs while their tables are written: random statements, some in a transaction that another session must not see, and the questions again."""

import uuid

import functions
import model
import patterns
import shapes
from model import literal


def new_key(rng, table):
    number = rng.randrange(-50, 2000)
    of = {"bigint": number, "integer": number, "text": f"n{number}", "uuid": str(uuid.UUID(int=rng.getrandbits(128)))}
    return tuple(of[type] for type in table.types)


def is_key(table, key):
    return " AND ".join(f"{column} = {literal(value)}" for column, value in zip(table.columns, key))


def some(rng, rows, most):
    return rng.sample(list(rows), min(len(rows), rng.randint(1, most)))


def insert_vertices(rng, graph, size):
    table = rng.choice(graph.vertices)
    keys = {new_key(rng, table) for _ in range(size)} - table.rows.keys()
    rows = {key: rng.choice([None, 0, 1, 2, 3]) for key in sorted(keys)}
    table.rows.update(rows)
    return model.inserts(table.name, [(*key, x) for key, x in rows.items()])


def delete_vertices(rng, graph, size):
    """Their edges stay, and are left out."""
    table = rng.choice(graph.vertices)
    if not table.rows:
        return []
    gone = some(rng, table.rows, max(1, size // 3))
    for key in gone:
        del table.rows[key]
    return [f"DELETE FROM {table.name} WHERE " + " OR ".join(f"({is_key(table, key)})" for key in gone)]


def update_vertices(rng, graph, size):
    table = rng.choice(graph.vertices)
    if not table.rows:
        return []
    if rng.random() < 0.5:
        x = rng.randrange(6)
        for key in table.rows:
            table.rows[key] = x if table.rows[key] == 1 else table.rows[key]
        return [f"UPDATE {table.name} SET x = {x} WHERE x = 1"]
    key, other = rng.choice(list(table.rows)), new_key(rng, table)
    if other in table.rows:
        return []
    table.rows[other] = table.rows.pop(key)
    changed = ", ".join(f"{column} = {literal(value)}" for column, value in zip(table.columns, other))
    return [f"UPDATE {table.name} SET {changed} WHERE {is_key(table, key)}"]


def end(rng, table):
    """A vertex, sometimes one that is not there."""
    return rng.choice(list(table.rows)) if table.rows and rng.random() < 0.9 else new_key(rng, table)


def insert_edges(rng, graph, size):
    table = rng.choice(graph.edges)
    first = max([int(str(key).strip("emising") or 0) for key in table.rows], default=0) + 1
    rows = {}
    for number in range(first, first + size):
        rows[f"e{number}" if table.text_keys else number] = model.edge(rng, end(rng, table.source), end(rng, table.target))
    table.rows.update(rows)
    return model.inserts(table.name, [table.values(key) for key in rows])


def delete_edges(rng, graph, size):
    table = rng.choice(graph.edges)
    if rng.random() < 0.3:
        c = rng.randrange(4)
        table.rows = {key: edge for key, edge in table.rows.items() if edge.c != c}
        return [f"DELETE FROM {table.name} WHERE c = {c}"]
    if not table.rows:
        return []
    gone = some(rng, table.rows, size)
    for key in gone:
        del table.rows[key]
    return [f"DELETE FROM {table.name} WHERE id IN ({', '.join(map(literal, gone))})"]


def update_edges(rng, graph, size):
    table = rng.choice(graph.edges)
    if not table.rows:
        return []
    chosen = some(rng, table.rows, size)
    where = f"WHERE id IN ({', '.join(map(literal, chosen))})"
    kind = rng.choice(["w", "c", "end"])
    if kind == "end":
        target = end(rng, table.target)
        for key in chosen:
            table.rows[key] = model.Edge(table.rows[key].source, target, table.rows[key].w, table.rows[key].c)
        changed = ", ".join(f"{column} = {literal(value)}" for column, value in zip(table.ends()[1], target))
        return [f"UPDATE {table.name} SET {changed} {where}"]
    for key in chosen:
        edge = table.rows[key]
        table.rows[key] = model.Edge(edge.source, edge.target, edge.w + 1 if kind == "w" else edge.w, edge.c if kind == "w" else 1)
    return [f"UPDATE {table.name} SET {'w = w + 1' if kind == 'w' else 'c = 1'} {where}"]


def copy_back(rng, graph, size):
    """Edges put in again from a query, with other keys."""
    table = rng.choice(graph.edges)
    if table.text_keys:
        return []
    by = 10**6 + rng.randrange(10**6) * 10**4
    for key, edge in list(table.rows.items()):
        if edge.c == 2 and key < 10**6 and len(table.rows) < 10**5:
            table.rows[key + by] = model.Edge(edge.source, edge.target, edge.w, 3)
    ends = ", ".join([*table.ends()[0], *table.ends()[1]])
    return [f"INSERT INTO {table.name} SELECT id + {by}, {ends}, w, 3 FROM {table.name} WHERE c = 2 AND id < 1000000"]


WRITES = [insert_vertices, insert_vertices, delete_vertices, update_vertices, insert_edges, insert_edges, insert_edges, delete_edges, update_edges, update_edges, copy_back]


def asked(rng, graph, is_large):
    """A few questions about the graph as it is now."""
    if is_large:
        kinds = [functions.bfs, functions.distances, functions.shortest_path, functions.wcc, functions.scc, functions.degree, functions.pagerank, functions.triangles, functions.mst]
        return functions.questions(rng, graph, rng.sample(kinds, 3) + [functions.bfs])
    kinds = rng.sample([*functions.SEARCHES, *functions.WHOLE], 2) + [functions.bfs, functions.degree]
    return functions.questions(rng, graph, kinds) + patterns.questions(rng, graph, 1, 1)


def merged(rng, graph):
    """Statements that move rows to segments, and merge these."""
    tables = [table.name for table in [*graph.vertices, *graph.edges]]
    return ["CHECKPOINT"] + ([f"VACUUM {name}" for name in tables] if rng.random() < 0.5 else [])


def compare(asker, other, rng, rounds, is_large):
    """Writes and asks, in turns; `other` is a second session."""
    name = "graph_big" if is_large else "graph_small"
    if is_large:
        graph = model.build(rng, name, rng.choice([shapes.power_law, shapes.scattered]), rng.choice([1500, 3000]), rng.choice(["dense", "sparse", "text", "composite"]))
    elif rng.random() < 0.3:
        graph = model.build_bipartite(rng, name, 5)
    else:
        graph = model.build(rng, name, rng.choice([shapes.scattered, shapes.multiple, shapes.power_law]), 7)
    size = 400 if is_large else 4
    asker.create(graph)
    history = graph.script()

    def run(statement):
        history.append(statement)
        asker.connection.execute(statement)

    def check(graph, connection=None):
        asker.check(graph, asked(rng, graph, is_large), connection, history)

    for _ in range(rounds):
        before, is_together = graph.copy(), rng.random() < 0.4
        if rng.random() < 0.3:
            for statement in merged(rng, graph):
                run(statement)
        if is_together:
            run("BEGIN")
        for _ in range(rng.randint(1, 4)):
            for statement in rng.choice(WRITES)(rng, graph, rng.randint(1, size)):
                run(statement)
        check(graph)
        if is_together:
            check(before, other)
            ending = rng.choice(["COMMIT", "ROLLBACK"])
            run(ending)
            graph = graph if ending == "COMMIT" else before
            check(graph)
        check(graph, other)
    for statement in graph.drop():
        asker.connection.execute(statement)
