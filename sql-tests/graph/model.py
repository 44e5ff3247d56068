"""A graph in Python and the same in SQL: tables of vertices and edges, and the statements that make them.

Vertices are known by what the functions show of them: their key, or the table and the key when there are several tables. A key of several columns,
and every key when tables have keys of different types, is shown as text.
"""

import random
import uuid
from dataclasses import dataclass, field, replace

# Types of the columns of keys of vertices.
KEYS = {
    "dense": ["bigint"],
    "sparse": ["bigint"],
    "negative": ["bigint"],
    "integer": ["integer"],
    "text": ["text"],
    "uuid": ["uuid"],
    "composite": ["bigint", "text"],
}


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def row(values):
    return "(" + ", ".join(map(literal, values)) + ")"


def keys(kind, n, rng, offset=0):
    """Different keys, each a tuple."""
    if kind == "dense":
        return [(i + 1 + offset,) for i in range(n)]
    if kind == "sparse":
        return [(i * 1_000_003 + rng.randrange(1_000_000) + offset * 10**12,) for i in range(n)]
    if kind == "negative":
        return [(key,) for key in rng.sample(range(-2 * n - offset, n + 1), n)]
    if kind == "integer":
        return [(key,) for key in rng.sample(range(offset * 3, offset * 3 + 3 * n + 1), n)]
    if kind == "text":
        return [(f"{rng.choice(['v', 'ü', 'Z', ''])}{i + offset}",) for i in range(n)]
    if kind == "uuid":
        return [(str(uuid.UUID(int=rng.getrandbits(128))),) for _ in range(n)]
    side = max(1, int(n**0.5))
    return [(i // side - 2, f"{'xy'[i % 2]}{i % side + offset}") for i in range(n)]


@dataclass
class Vertices:
    """A table of vertices: for each key, the property x."""

    name: str
    kind: str
    rows: dict = field(default_factory=dict)

    @property
    def types(self):
        return KEYS[self.kind]

    @property
    def columns(self):
        return ["id"] if len(self.types) == 1 else ["k1", "k2"]

    def create(self):
        columns = ", ".join(f"{name} {type}" for name, type in zip(self.columns, self.types))
        return f"CREATE TABLE {self.name} ({columns}, x int, PRIMARY KEY ({', '.join(self.columns)}))"


@dataclass
class Edge:
    source: tuple
    target: tuple
    w: float
    c: int | None


@dataclass
class Edges:
    """A table of edges by key, between two tables of vertices."""

    name: str
    source: Vertices
    target: Vertices
    text_keys: bool = False
    rows: dict = field(default_factory=dict)

    def ends(self):
        """The names of the columns of both ends."""
        return [[f"{end}{i}" for i in range(1, len(table.types) + 1)] for end, table in (("s", self.source), ("d", self.target))]

    def create(self):
        ends = zip([*self.ends()[0], *self.ends()[1]], [*self.source.types, *self.target.types])
        columns = ", ".join(f"{name} {type}" for name, type in ends)
        return f"CREATE TABLE {self.name} (id {'text' if self.text_keys else 'bigint'} PRIMARY KEY, {columns}, w double precision, c int)"

    def values(self, key):
        edge = self.rows[key]
        return (key, *edge.source, *edge.target, edge.w, edge.c)

    def element(self):
        source, target = (", ".join(end) for end in self.ends())
        return (
            f"{self.name} SOURCE KEY ({source}) REFERENCES {self.source.name} ({', '.join(self.source.columns)})"
            f" DESTINATION KEY ({target}) REFERENCES {self.target.name} ({', '.join(self.target.columns)})"
        )


@dataclass(frozen=True)
class Step:
    """An edge as algorithms see it: ends by name, the edge's table and key."""

    source: object
    target: object
    w: float
    c: int | None
    table: str
    key: object


@dataclass
class Graph:
    name: str
    vertices: list
    edges: list
    shape: str = ""

    def copy(self):
        tables = {table.name: replace(table, rows=dict(table.rows)) for table in self.vertices}
        edges = [replace(e, source=tables[e.source.name], target=tables[e.target.name], rows=dict(e.rows)) for e in self.edges]
        return Graph(self.name, list(tables.values()), edges, self.shape)

    # Names.

    @property
    def is_shown_as_text(self):
        types = {tuple(table.types) for table in self.vertices}
        return len(types) > 1 or len(next(iter(types))) > 1

    def shown(self, key):
        """A key as `id` and vertices(p) have it."""
        key = tuple(key)
        if len(key) > 1:
            return "(" + ",".join(map(str, key)) + ")"
        return str(key[0]) if self.is_shown_as_text else key[0]

    def vertex(self, table, key):
        return (table.name, self.shown(key)) if len(self.vertices) > 1 else self.shown(key)

    def named(self, row):
        """The vertex that the first columns of a row name, and the rest."""
        plain = [str(cell) if isinstance(cell, uuid.UUID) else cell for cell in row]
        return (tuple(plain[:2]), *plain[2:]) if len(self.vertices) > 1 else tuple(plain)

    def all(self):
        return [self.vertex(table, key) for table in self.vertices for key in table.rows]

    def x(self):
        """The property of each vertex."""
        return {self.vertex(table, key): x for table in self.vertices for key, x in table.rows.items()}

    def steps(self, only=None, label=None):
        """The edges whose vertices exist."""
        for table in self.edges:
            if label is not None and table.name != label:
                continue
            for key, edge in table.rows.items():
                if edge.source in table.source.rows and edge.target in table.target.rows and (only is None or only(edge)):
                    ends = self.vertex(table.source, edge.source), self.vertex(table.target, edge.target)
                    yield Step(*ends, edge.w, edge.c, table.name, key)

    def of_key(self, key):
        """The vertices that an argument means: those of all tables that have the key."""
        found = []
        for table in self.vertices:
            if len(key) != len(table.types):
                continue
            found += [self.vertex(table, other) for other in table.rows if [str(cell) for cell in other] == [str(cell) for cell in key]]
        return found

    # SQL.

    def create(self):
        vertices = ", ".join(table.name for table in self.vertices)
        edges = f" EDGE TABLES ({', '.join(table.element() for table in self.edges)})" if self.edges else ""
        return f"CREATE PROPERTY GRAPH {self.name} VERTEX TABLES ({vertices}){edges}"

    def drop(self):
        tables = [table.name for table in [*self.edges, *self.vertices]]
        return [f"DROP PROPERTY GRAPH IF EXISTS {self.name}"] + [f"DROP TABLE IF EXISTS {name}" for name in tables]

    def tables(self):
        """Statements that make the tables and fill them; in PostgreSQL, too."""
        statements = [table.create() for table in [*self.vertices, *self.edges]]
        for table in self.vertices:
            statements += inserts(table.name, [(*key, x) for key, x in table.rows.items()])
        for table in self.edges:
            statements += inserts(table.name, [table.values(key) for key in table.rows])
        return statements

    def script(self):
        return [*self.drop(), *self.tables(), self.create()]


def inserts(table, rows):
    return [f"INSERT INTO {table} VALUES " + ", ".join(map(row, rows[i : i + 2000])) for i in range(0, len(rows), 2000)]


def weight(rng):
    """Halves, so that sums are exact and often the same."""
    return rng.choice([1, 1, 2, 3, 4, 7]) / 2


def edge(rng, source, target):
    return Edge(source, target, weight(rng), rng.choice([0, 1, 2, 3, None]))


def fill(rng, tables, edges, pairs, kind_of):
    """Puts edges between numbered vertices into the tables that can have them."""
    for number, (source, target) in enumerate(pairs):
        (from_table, source), (to_table, target) = kind_of(source), kind_of(target)
        fit = [table for table in edges if table.source is from_table and table.target is to_table]
        if fit:
            table = rng.choice(fit)
            key = f"e{number}" if table.text_keys else number * 3 + 1
            table.rows[key] = edge(rng, source, target)


def missing(rng, edges):
    """Edges to and from vertices that do not exist."""
    for table in edges:
        for number in range(rng.choice([0, 0, 2])):
            known = [edge for edge in table.rows.values()]
            absent = {1: {"bigint": (10**15 + number,), "integer": (10**9,), "text": ("nobody",), "uuid": (str(uuid.UUID(int=number)),)}, 2: {"bigint": (10**15, "nobody")}}
            key = f"missing{number}" if table.text_keys else -1 - number
            gone = lambda vertices: absent[len(vertices.types)][vertices.types[0]]
            if known and rng.random() < 0.5:
                table.rows[key] = edge(rng, rng.choice(known).source, gone(table.target))
            else:
                table.rows[key] = edge(rng, gone(table.source), gone(table.target))


def build(rng, name, shape, n, kind=None):
    """A graph of one table of vertices and one to three of edges."""
    n, pairs = shape(rng, n)
    vertices = Vertices(f"{name}_v", kind or rng.choice(list(KEYS)))
    names = keys(vertices.kind, n, rng)
    order = list(range(n))
    if rng.random() < 0.5:
        rng.shuffle(order)
    vertices.rows = {names[i]: rng.choice([None, 0, 1, 2, 3, 4, 5]) for i in order}
    is_text = rng.random() < 0.2
    edges = [Edges(f"{name}_e{i}", vertices, vertices, is_text) for i in range(rng.choice([1, 1, 2, 3]))]
    fill(rng, [vertices], edges, pairs, lambda number: (vertices, names[number]))
    missing(rng, edges)
    return Graph(name, [vertices], edges, shape.__name__)


def build_bipartite(rng, name, n, kinds=None):
    """Two tables of vertices, with edges between them, and sometimes among those of one."""
    kinds = kinds or rng.choice([("dense", "dense"), ("dense", "sparse"), ("text", "dense"), ("composite", "integer"), ("text", "text"), ("negative", "composite")])
    a, b = Vertices(f"{name}_a", kinds[0]), Vertices(f"{name}_b", kinds[1])
    of = [keys(table.kind, n, rng, offset) for table, offset in ((a, 0), (b, rng.choice([0, n // 2, 3 * n])))]
    for table, names in zip((a, b), of):
        table.rows = {key: rng.choice([None, 0, 1, 2, 3, 4, 5]) for key in names}
    edges = [Edges(f"{name}_ab", a, b)]
    if rng.random() < 0.7:
        edges.append(Edges(f"{name}_ba", b, a, rng.random() < 0.2))
    if rng.random() < 0.5:
        edges.append(Edges(f"{name}_aa", a, a))
    pairs = [(rng.randrange(2 * n), rng.randrange(2 * n)) for _ in range(4 * n)] if n else []
    fill(rng, [a, b], edges, pairs, lambda number: (a, of[0][number]) if number < n else (b, of[1][number - n]))
    missing(rng, edges)
    return Graph(name, [a, b], edges, "bipartite")


def start(rng, graph, count=1, is_subquery=None):
    """An argument for some vertices, as SQL, and their keys."""
    table = rng.choice(graph.vertices)
    known = list(table.rows) or [tuple({"text": "nobody", "uuid": str(uuid.UUID(int=7))}.get(type, 7) for type in table.types)]
    chosen = rng.sample(known, min(count, len(known)))
    if is_subquery is None:
        is_subquery = rng.random() < 0.2
    types = {t.types[0] for t in graph.vertices}
    if len(table.types) > 1 or is_subquery or (graph.is_shown_as_text and len(types) > 1):
        columns = ", ".join(table.columns)
        wanted = " OR ".join("(" + " AND ".join(f"{c} = {literal(k)}" for c, k in zip(table.columns, key)) + ")" for key in chosen)
        found = [key for key in chosen if key in table.rows]
        return f"(SELECT {columns} FROM {table.name} WHERE {wanted})", found
    values = [literal(key[0]) + ("::uuid" if table.kind == "uuid" else "") for key in chosen]
    array = ", ".join(values)
    return (values[0] if len(values) == 1 and rng.random() < 0.7 else f"ARRAY[{array}]"), chosen
