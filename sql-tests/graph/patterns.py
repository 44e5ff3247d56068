"""GRAPH_TABLE beside brute force: random patterns, all matches of which are enumerated here."""

from collections import Counter
from dataclasses import dataclass, field

import ways
from ask import Question, rows_only
from model import literal

ARROWS = {"out": ("-[", "]->"), "in": ("<-[", "]-"), "any": ("-[", "]-")}
MODES = ["TRAIL", "ACYCLIC", "SIMPLE"]


class Condition:
    """SQL over properties, and the same in Python: of NULL it is not true."""

    def __init__(self, sql, holds):
        self.sql, self.holds = sql, holds


def of_vertex(rng):
    n = rng.randrange(6)
    return rng.choice([
        Condition(f"{{0}}.x > {n}", lambda x: x is not None and x > n),
        Condition(f"{{0}}.x = {n} OR {{0}}.x IS NULL", lambda x: x is None or x == n),
        Condition(f"NOT {{0}}.x = {n}", lambda x: x is not None and x != n),
        Condition(f"{{0}}.x IN (1, {n})", lambda x: x in (1, n)),
        Condition("{0}.x IS NOT NULL", lambda x: x is not None),
    ])


def of_edge(rng):
    n = rng.randrange(4)
    return rng.choice([
        Condition(f"{{0}}.c = {n}", lambda e: e.c == n),
        Condition(f"{{0}}.c <> {n}", lambda e: e.c is not None and e.c != n),
        Condition("{0}.w < 2", lambda e: e.w < 2),
        Condition(f"{{0}}.c IS NULL OR {{0}}.w >= {n}", lambda e: e.c is None or e.w >= n),
    ])


def of_two(rng):
    return rng.choice([
        Condition("{0}.x < {1}.x", lambda a, b: None not in (a, b) and a < b),
        Condition("{0}.x = {1}.x OR {0}.x IS NULL", lambda a, b: a is None or a == b),
        Condition("{0}.x + 1 >= {1}.x", lambda a, b: None not in (a, b) and a + 1 >= b),
    ])


class Labels:
    """A label expression, and the tables it means."""

    def __init__(self, rng, tables):
        names = [table.name for table in tables]
        one = rng.choice(names) if names else "nothing"
        two = rng.choice(names) if names else "nothing"
        choices = [("", set(names))] * 4
        if names:
            choices += [(f" IS {one}", {one}), (f" IS {one}|{two}", {one, two}), (f" IS !{one}", set(names) - {one}), (" IS %", set(names))]
        self.sql, self.tables = rng.choice(choices)


@dataclass
class Node:
    name: str
    labels: Labels
    condition: Condition | None = None
    # Where it stands again it is but its name.
    is_again: bool = False
    # The vertex it is, if the condition says so.
    key: object = None

    def sql(self):
        if self.is_again:
            return f"({self.name})"
        where = f" WHERE {self.condition.sql.format(self.name)}" if self.condition else ""
        return f"({self.name}{self.labels.sql}{where})"


@dataclass
class Link:
    """An edge, or several when there is a quantifier."""

    name: str
    labels: Labels
    direction: str
    condition: Condition | None = None
    quantifier: str = ""
    least: int = 1
    most: int | None = 1
    # Of the vertices beside each edge: conditions of either, and of both.
    beside: tuple | None = None

    def sql(self):
        where = f" WHERE {self.condition.sql.format(self.name)}" if self.condition else ""
        left, right = ARROWS[self.direction]
        edge = f"{left}{self.name}{self.labels.sql}{where}{right}"
        if self.beside is None:
            return edge + self.quantifier
        before, after, both = self.beside
        of = lambda name, condition: f"({name}{f' WHERE {condition.sql.format(name)}' if condition else ''})"
        first, second = f"s{self.name}", f"t{self.name}"
        where = f" WHERE {both.sql.format(first, second)}" if both else ""
        return f"({of(first, before)}{edge}{of(second, after)}{where}){self.quantifier}"

    def fits(self, step, x):
        if step.table not in self.labels.tables or (self.condition and not self.condition.holds(step)):
            return False
        if self.beside is None:
            return True
        ends = (step.source, step.target) if self.direction == "out" else (step.target, step.source)
        before, after, both = self.beside
        return all([
            before is None or before.holds(x[ends[0]]),
            after is None or after.holds(x[ends[1]]),
            both is None or both.holds(x[ends[0]], x[ends[1]]),
        ])


@dataclass
class Path:
    name: str
    nodes: list
    links: list
    mode: str = ""
    selector: str = ""

    def sql(self):
        text = self.nodes[0].sql() + "".join(link.sql() + node.sql() for link, node in zip(self.links, self.nodes[1:]))
        is_groups = self.selector.endswith(("GROUP", "GROUPS"))
        selector, _, groups = self.selector.rpartition(" ") if is_groups else (self.selector, "", "")
        return " ".join(part for part in [f"{self.name} =" if self.name else "", selector, self.mode, groups, text] if part)


@dataclass
class Match:
    paths: list
    # Names of two vertices and what must hold of both.
    wheres: list = field(default_factory=list)

    def nodes(self):
        return {node.name: node for path in self.paths for node in path.nodes if not node.is_again}

    def links(self):
        return [link for path in self.paths for link in path.links]

    def fits(self, graph, node, vertex, x):
        table = vertex[0] if len(graph.vertices) > 1 else graph.vertices[0].name
        if table not in node.labels.tables:
            return False
        return vertex == node.key if node.key is not None else node.condition is None or node.condition.holds(x[vertex])

    def matches(self, graph):
        """All matches: (vertices by name, edges by name, and (vertices, edges) of each path)."""
        x, steps = graph.x(), list(graph.steps())
        found = [({}, {}, [])]
        for path in self.paths:
            found = [(*bound[:2], [*bound[2], ((), ())]) for bound in found]
            for place, node in enumerate(path.nodes):
                link = path.links[place - 1] if place else None
                near = ways.neighbours([s for s in steps if link.fits(s, x)], link.direction) if link else None
                found = [more for bound in found for more in self.taken(graph, bound, node, link, near, x, path.mode)]
                if len(found) > ways.MOST:
                    raise ways.TooMany
            if all(link.quantifier == "" for link in path.links):
                found = [bound for bound in found if is_of_mode(path.mode, *bound[2][-1])]
        return [bound for bound in found if all(c.holds(x[bound[0][a]], x[bound[0][b]]) for a, b, c in self.wheres)]

    def taken(self, graph, bound, node, link, near, x, mode):
        """A match with one more link and node."""
        vertices, edges, paths = bound
        if link is None:
            ends = [((v,), ()) for v in x]
        else:
            ends = ways.ways(near, paths[-1][0][-1], link.least, link.most, mode if link.quantifier else "")
        for way in ends:
            end = way[0][-1]
            if vertices.get(node.name, end) != end or not self.fits(graph, self.nodes()[node.name], end, x):
                continue
            through = (way[0] if link is None else paths[-1][0] + way[0][1:], paths[-1][1] + way[1])
            named = {**edges, link.name: way[1]} if link else edges
            yield {**vertices, node.name: end}, named, [*paths[:-1], through]


def is_of_mode(mode, vertices, edges):
    """Whether a path of edges alone is one of a mode."""
    if mode == "TRAIL":
        return len(set(edges)) == len(edges)
    inner = vertices[1:] if mode == "SIMPLE" and vertices[0] == vertices[-1] and len(vertices) > 1 else vertices
    return mode not in ("ACYCLIC", "SIMPLE") or len(set(inner)) == len(inner)


def key_of(vertex, graph):
    """A vertex as vertices(p) has it."""
    return vertex[1] if len(graph.vertices) > 1 else vertex


def plain(cell):
    """Keys of paths are compared as text: what type they have depends on the tables there are."""
    return tuple(map(str, cell)) if isinstance(cell, (list, tuple)) else cell


def node(rng, graph, name):
    return Node(name, Labels(rng, graph.vertices), of_vertex(rng) if rng.random() < 0.4 else None)


def quantified(rng, graph, link, is_bounded):
    """Makes an edge several."""
    bounded = [("{1}", 1, 1), ("{2}", 2, 2), ("{1,2}", 1, 2), ("{0,2}", 0, 2), ("{1,3}", 1, 3), ("{,2}", 0, 2), ("?", 0, 1), ("{3}", 3, 3)]
    unbounded = [("*", 0, None), ("+", 1, None), ("{2,}", 2, None), ("{0,}", 0, None)]
    link.quantifier, link.least, link.most = rng.choice(bounded if is_bounded else bounded[1:5] + unbounded * 2)
    if link.direction != "any" and rng.random() < 0.25:
        choose = lambda condition: condition(rng) if rng.random() < 0.5 else None
        link.beside = (choose(of_vertex), choose(of_vertex), choose(of_two))


def link(rng, graph, name):
    condition = of_edge(rng) if rng.random() < 0.4 else None
    return Link(name, Labels(rng, graph.edges), rng.choice(["out", "out", "in", "any"]), condition)


def joined(rng, graph):
    """Patterns of one to three edges, some of them repeated a few times: joins."""
    match, names = Match([]), []
    for number in range(rng.choice([1, 1, 1, 2])):
        path = Path("pq"[number] if rng.random() < 0.7 else "", [], [])
        for place in range(rng.choice([2, 2, 3, 4, 1]) if number == 0 else 2):
            if names and rng.random() < (0.2 if place or number == 0 else 0.9):
                path.nodes.append(Node(rng.choice(names), None, None, True))
            else:
                names.append(f"n{len(names)}")
                path.nodes.append(node(rng, graph, names[-1]))
            if place:
                path.links.append(link(rng, graph, f"k{number}{place}"))
        if rng.random() < 0.25:
            path.mode = rng.choice(MODES)
        elif path.links and rng.random() < 0.3:
            quantified(rng, graph, rng.choice(path.links), True)
        match.paths.append(path)
    if rng.random() < 0.5:
        match.wheres.append((rng.choice(names), rng.choice(names), of_two(rng)))
    return match


def columns_of(match, graph):
    """What is shown of each match: SQL, and a function of the graph and the match."""
    shown = [(f"{name}.x AS {name}_x", lambda g, m, name=name: g.x()[m[0][name]]) for name in match.nodes()]
    for edge in match.links():
        if edge.quantifier:
            shown.append((f"count({edge.name}) AS {edge.name}_n", lambda g, m, name=edge.name: len(m[1][name])))
        else:
            shown.append((f"{edge.name}.w AS {edge.name}_w", lambda g, m, name=edge.name: m[1][name][0].w))
    for number, path in enumerate(match.paths):
        if not path.name:
            continue
        shown.append((f"path_length({path.name}) AS {path.name}_n", lambda g, m, n=number: len(m[2][n][1])))
        quantifiers = [edge for edge in path.links if edge.quantifier]
        if not quantifiers or len(path.links) == 1:
            shown.append((f"vertices({path.name}) AS {path.name}_v", lambda g, m, n=number: [key_of(v, g) for v in m[2][n][0]]))
            if path.links:
                shown.append((f"edges({path.name}) AS {path.name}_e", lambda g, m, n=number: [e.key for e in m[2][n][1]]))
    return shown


def question_of(match, graph, judge_of):
    shown = columns_of(match, graph)
    where = " AND ".join(f"({c.sql.format(a, b)})" for a, b, c in match.wheres)
    text = ", ".join(path.sql() for path in match.paths)
    sql = f"SELECT * FROM GRAPH_TABLE ({graph.name} MATCH {text}{f' WHERE {where}' if where else ''} COLUMNS ({', '.join(sql for sql, _ in shown)}))"
    row = lambda graph, found: tuple(plain(value(graph, found)) for _, value in shown)
    return Question(sql, rows_only(lambda graph, rows: judge_of(graph, [tuple(map(plain, r)) for r in rows], row)))


def differ(found, expected):
    found, expected = Counter(found), Counter(expected)
    if found != expected:
        more, fewer = found - expected, expected - found
        return f"{more.total()} rows too many: {list(more.items())[:3]}; {fewer.total()} missing: {list(fewer.items())[:3]}"


def join(rng, graph):
    match = joined(rng, graph)
    match.matches(graph)
    return question_of(match, graph, lambda graph, rows, row: differ(rows, [row(graph, m) for m in match.matches(graph)]))


def search(rng, graph):
    """One quantified edge with modes and selectors."""
    mode = rng.choice(["", "WALK", *MODES])
    selector, count = rng.choice([("", 0), ("", 0), ("ANY", 1), ("ANY 2", 2), ("ANY SHORTEST", 1), ("ALL SHORTEST", 1), ("SHORTEST 1", 1), ("SHORTEST 3", 3), ("SHORTEST 2 GROUPS", 2), ("SHORTEST GROUP", 1)])
    is_walk = mode in ("", "WALK")
    is_one = selector in ("ANY", "ANY SHORTEST", "ALL SHORTEST", "SHORTEST 1", "SHORTEST GROUP")
    edge = link(rng, graph, "k")
    quantified(rng, graph, edge, is_walk and not is_one)
    first = node(rng, graph, "a")
    last = Node("a", None, None, True) if rng.random() < 0.1 else node(rng, graph, "b")
    if rng.random() < 0.4 and len(graph.vertices) == 1 and graph.vertices[0].columns == ["id"] and graph.vertices[0].rows:
        known = rng.choice([first, first, last]) if not last.is_again else first
        (key,) = rng.choice(list(graph.vertices[0].rows))
        known.condition = Condition(f"{{0}}.id = {literal(key)}", None)
        known.key = key
    match = Match([Path("p", [first, last], [edge], mode, selector)])
    if rng.random() < 0.2 and not last.is_again:
        match.wheres.append(("a", "b", of_two(rng)))

    def every(graph):
        """All ways there are, or all of the shortest when there are infinitely many."""
        x = graph.x()
        near = ways.neighbours([s for s in graph.steps() if edge.fits(s, x)], edge.direction)
        wanted = lambda node, vertex: node.is_again or match.fits(graph, node, vertex, x)
        found = []
        for start in x:
            if not wanted(first, start):
                continue
            if is_walk and edge.most is None:
                found += ways.shortest_walks(near, x, start, edge.least)
            else:
                found += ways.ways(near, start, edge.least, edge.most, mode)
        return [way for way in found if wanted(last, way[0][-1]) and (not last.is_again or way[0][0] == way[0][-1])]

    def judge(graph, rows, row):
        x, all_ways = graph.x(), every(graph)
        shown = lambda way: row(graph, ({"a": way[0][0], "b": way[0][-1]}, {"k": way[1]}, [way]))
        kept = [way for way in all_ways if all(c.holds(x[way[0][0]], x[way[0][-1]]) for *_, c in match.wheres)]
        if not selector:
            return differ(rows, map(shown, kept))
        if "GROUP" in selector or selector == "ALL SHORTEST":
            return differ(rows, map(shown, ways.shortest_groups(kept, count)))
        if Counter(rows) - Counter(map(shown, kept)):
            return f"no such ways: {list((Counter(rows) - Counter(map(shown, kept))).items())[:3]}"
        # So many between each two vertices, whichever; of the shortest, as short as can be.
        found, expected = Counter(), Counter()
        length, vertices = len(match.nodes()) + 1, len(match.nodes()) + 2
        ends = lambda shown: (shown[vertices][0], shown[vertices][-1], shown[length] if "SHORTEST" in selector else None)
        found.update(ends(r) for r in rows)
        for between in ways.groups(kept).values():
            expected.update(ends(shown(way)) for way in between[:count])
        if found != expected:
            return f"ends and lengths {list((found - expected).items())[:3]} instead of {list((expected - found).items())[:3]}"

    judge_of = judge
    every(graph)
    question = question_of(match, graph, judge_of)
    return question


def questions(rng, graph, joins, searches):
    found = []
    for kind, count in ((join, joins), (search, searches)):
        while count:
            try:
                found.append(kind(rng, graph))
            except ways.TooMany:
                pass
            count -= 1
    return found
