"""GRAPH_TABLE and graph_bfs beside recursive queries of PostgreSQL over the same tables."""

import model
import shapes


def edges(graph):
    """The edges whose vertices exist, of all tables."""
    vertices = graph.vertices[0].name
    of = (f"SELECT '{t.name}' || ' ' || id AS key, s1 AS s, d1 AS d, w, c FROM {t.name}" for t in graph.edges)
    return f"(SELECT * FROM ({' UNION ALL '.join(of)}) e WHERE s IN (SELECT id FROM {vertices}) AND d IN (SELECT id FROM {vertices}))"


def reach(beside, rng, graph):
    start = model.literal(rng.choice(list(graph.vertices[0].rows))[0])
    for most in (1, 2, 5, 40):
        for direction, near, far in (("out", "s", "d"), ("in", "d", "s")):
            beside.rows(
                f"SELECT * FROM graph_bfs('{graph.name}', {start}, max_depth => {most}, direction => '{direction}')",
                f"WITH RECURSIVE r AS (SELECT id, 0 AS depth FROM {graph.vertices[0].name} WHERE id = {start} UNION"
                f" SELECT e.{far}, depth + 1 FROM r JOIN {edges(graph)} e ON e.{near} = r.id WHERE depth < {most}) SELECT id, min(depth) FROM r GROUP BY id",
            )


def walks(beside, rng, graph):
    for arrow, near, far in (("-[k]->", "s", "d"), ("<-[k]-", "d", "s"), ("-[k WHERE k.w < 2]->", "s", "d")):
        only = " WHERE w < 2" if "WHERE" in arrow else ""
        edge = f"(SELECT * FROM {edges(graph)} e{only})"
        beside.rows(
            f"SELECT a, b, n, count(*) FROM GRAPH_TABLE ({graph.name} MATCH (a){arrow}{{1,3}}(b) COLUMNS (a.id AS a, b.id AS b, count(k) AS n)) GROUP BY a, b, n",
            f"WITH RECURSIVE r AS (SELECT {near} AS a, {far} AS b, 1 AS n FROM {edge} e UNION ALL"
            f" SELECT a, e.{far}, n + 1 FROM r JOIN {edge} e ON e.{near} = r.b WHERE n < 3) SELECT a, b, n, count(*) FROM r GROUP BY a, b, n",
        )


def trails(beside, rng, graph):
    """Lengths and ends of all trails of up to four edges, either way."""
    both = f"(SELECT key, s, d FROM {edges(graph)} x UNION ALL SELECT key, d, s FROM {edges(graph)} y WHERE s <> d)"
    for arrow, edge in (("-[k]->", edges(graph)), ("-[k]-", both)):
        beside.rows(
            f"SELECT a, b, n, count(*) FROM GRAPH_TABLE ({graph.name} MATCH p = TRAIL (a WHERE a.x > 2){arrow}{{1,4}}(b) COLUMNS (a.id AS a, b.id AS b, path_length(p) AS n)) GROUP BY a, b, n",
            f"WITH RECURSIVE r AS (SELECT s AS a, d AS b, ARRAY[key] AS keys FROM {edge} e JOIN {graph.vertices[0].name} v ON v.id = s WHERE v.x > 2 UNION ALL"
            f" SELECT a, e.d, keys || key FROM r JOIN {edge} e ON e.s = r.b WHERE cardinality(keys) < 4 AND key <> ALL (keys))"
            f" SELECT a, b, cardinality(keys), count(*) FROM r GROUP BY 1, 2, 3",
        )


def shortest(beside, rng, graph):
    beside.rows(
        f"SELECT * FROM GRAPH_TABLE ({graph.name} MATCH p = ANY SHORTEST (a)-[k]->*(b) COLUMNS (a.id AS a, b.id AS b, path_length(p) AS n))",
        f"WITH RECURSIVE r AS (SELECT id AS a, id AS b, 0 AS n FROM {graph.vertices[0].name} UNION"
        f" SELECT a, e.d, n + 1 FROM r JOIN {edges(graph)} e ON e.s = r.b WHERE n < 12) SELECT a, b, min(n) FROM r GROUP BY a, b",
    )


def joined(beside, rng, graph):
    edge, vertices = edges(graph), graph.vertices[0].name
    beside.rows(
        f"SELECT * FROM GRAPH_TABLE ({graph.name} MATCH (a)-[k]->(b)<-[j]-(c) WHERE a.x < c.x COLUMNS (a.id AS a, b.id AS b, c.id AS c, k.w AS kw, j.c AS jc))",
        f"SELECT a.id, b.id, c.id, k.w, j.c FROM {vertices} a, {vertices} b, {vertices} c, {edge} k, {edge} j"
        " WHERE k.s = a.id AND k.d = b.id AND j.s = c.id AND j.d = b.id AND a.x < c.x",
    )
    beside.rows(
        f"SELECT a, count(*) FROM GRAPH_TABLE ({graph.name} MATCH (a)-[]->(b)-[]->(c)-[]->(a) COLUMNS (a.id AS a)) GROUP BY a",
        f"SELECT k.s, count(*) FROM {edge} k, {edge} j, {edge} i WHERE k.d = j.s AND j.d = i.s AND i.d = k.s GROUP BY 1",
    )


def compare(beside, rng, graphs):
    for number in range(graphs):
        shape = rng.choice([shapes.power_law, shapes.scattered, shapes.multiple, shapes.cycle, shapes.grid])
        graph = model.build(rng, f"graph_r{number}", shape, 12, rng.choice(["dense", "sparse", "negative", "integer", "text"]))
        for statement in [*graph.drop()[1:], *graph.tables()]:
            beside.peer.execute(statement)
        for statement in graph.script():
            beside.ours.execute(statement)
        for topic in (reach, walks, trails, shortest, joined):
            topic(beside, rng, graph)
        for statement in graph.drop():
            beside.ours.execute(statement)
