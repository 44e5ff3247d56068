"""The table functions beside networkit, igraph and networkx; where none has the like, beside what is written here."""

import math
from collections import Counter, defaultdict

import igraph
import networkit
import networkx as nx

import model
from ask import Question, Refused, rows_only

DIRECTIONS = ["out", "in", "any"]


class Scope:
    """Which edges a call goes along, and which way: the arguments, and the edges as a list of steps."""

    def __init__(self, rng, graph, directions=DIRECTIONS, default="out", has_direction=True):
        self.direction = rng.choice(directions) if has_direction else default
        self.filter = rng.choice(["", "", "", "c = 1", "c <> 2", "c IS NULL OR w > 1", "w < 2"])
        self.label = rng.choice([None, None, *(table.name for table in graph.edges)])
        self.default = default

    def arguments(self):
        found = [] if self.direction == self.default else [f"direction => '{self.direction}'"]
        found += [f"edge_filter => '{self.filter}'"] if self.filter else []
        return "".join(f", {argument}" for argument in found + ([f"label => '{self.label}'"] if self.label else []))

    def plain(self, graph):
        """Edges as they are, those that are not meant left out."""
        only = {
            "": None,
            "c = 1": lambda e: e.c == 1,
            "c <> 2": lambda e: e.c is not None and e.c != 2,
            "c IS NULL OR w > 1": lambda e: e.c is None or e.w > 1,
            "w < 2": lambda e: e.w < 2,
        }[self.filter]
        return list(graph.steps(only, self.label))

    def steps(self, graph):
        """Edges (source, target, weight) in the direction they are gone along."""
        out = [(s.source, s.target, s.w) for s in self.plain(graph)]
        back = [(target, source, w) for source, target, w in out]
        return {"out": out, "in": back, "any": out + back}[self.direction]


def numbered(graph, steps):
    """Vertices as numbers, and the edges between these."""
    names = graph.all()
    number = {name: i for i, name in enumerate(names)}
    return names, number, [(number[s], number[t]) for s, t, _ in steps], [w for *_, w in steps]


def of_igraph(graph, steps):
    names, number, pairs, weights = numbered(graph, steps)
    return names, number, igraph.Graph(n=len(names), edges=pairs, directed=True, edge_attrs={"w": weights})


def of_networkit(graph, steps, is_weighted=False, is_directed=True):
    names, number, pairs, weights = numbered(graph, steps)
    found = networkit.Graph(len(names), weighted=is_weighted, directed=is_directed)
    for (source, target), w in zip(pairs, weights):
        found.addEdge(source, target, w)
    return names, number, found


def of_networkx(graph, steps, kind=nx.MultiDiGraph):
    found = kind()
    found.add_nodes_from(graph.all())
    found.add_edges_from((s, t, {"weight": w}) for s, t, w in steps)
    return found


def by_name(graph, rows):
    """Rows of a vertex and a value; what is wrong if a vertex is there twice."""
    named = [graph.named(row) for row in rows]
    return {row[0]: row[1] for row in named} if len({row[0] for row in named}) == len(named) else None


def compare(graph, rows, expected, tolerance=0.0):
    found = by_name(graph, rows)
    if found is None:
        return "a vertex is there twice"
    if found.keys() != expected.keys():
        return f"vertices too many: {sorted(found.keys() - expected.keys(), key=str)[:5]}, missing: {sorted(expected.keys() - found.keys(), key=str)[:5]}"
    for vertex, value in expected.items():
        if not math.isclose(found[vertex], value, rel_tol=max(tolerance, 1e-12), abs_tol=max(tolerance, 1e-12)):
            return f"vertex {vertex}: {found[vertex]}, not {value}"


def sources(graph, keys):
    return list(dict.fromkeys(vertex for key in keys for vertex in graph.of_key(key)))


def depths(graph, steps, starts, most=math.inf):
    """By igraph."""
    if not starts:
        return {}
    names, number, other = of_igraph(graph, steps)
    found = other.distances([number[start] for start in starts])
    least = [min(column) for column in zip(*found)]
    return {name: int(depth) for name, depth in zip(names, least) if depth <= most and depth < math.inf}


def bfs(rng, graph):
    scope = Scope(rng, graph)
    start, keys = model.start(rng, graph, rng.choice([1, 1, 2, 5]))
    most = rng.choice([math.inf, 0, 1, 2, 3, 4, 6])
    limit = "" if most == math.inf else f", max_depth => {most}"

    @rows_only
    def judge(graph, rows):
        return compare(graph, rows, depths(graph, scope.steps(graph), sources(graph, keys), most))

    return Question(f"SELECT * FROM graph_bfs('{graph.name}', {start}{limit}{scope.arguments()})", judge)


def khop(rng, graph):
    scope = Scope(rng, graph)
    start, keys = model.start(rng, graph, rng.choice([1, 2, 3]), is_subquery=rng.random() < 0.5)
    most = rng.choice([0, 1, 2, 3, 4])

    @rows_only
    def judge(graph, rows):
        return compare(graph, rows, depths(graph, scope.steps(graph), sources(graph, keys), most))

    return Question(f"SELECT * FROM graph_khop('{graph.name}', {start}, {most}{scope.arguments()})", judge)


def distances(rng, graph):
    scope = Scope(rng, graph)
    start, keys = model.start(rng, graph, rng.choice([1, 1, 2]))
    weight = rng.choice(["", ", weight => 'w'", ", weight => 'w'"])

    @rows_only
    def judge(graph, rows):
        starts, steps = sources(graph, keys), scope.steps(graph)
        if not weight:
            return compare(graph, rows, depths(graph, steps, starts))
        names, number, other = of_igraph(graph, steps)
        found = other.distances([number[start] for start in starts], weights="w") if starts and steps else [[0.0 if n in starts else math.inf for n in names]]
        least = {name: min(column) for name, column in zip(names, zip(*found)) if min(column) < math.inf}
        return compare(graph, rows, least if starts else {})

    return Question(f"SELECT * FROM graph_shortest_path('{graph.name}', {start}{weight}{scope.arguments()})", judge)


def negative_distances(rng, graph):
    """Weights below 0 are among them."""
    scope = Scope(rng, graph, ["out", "in"])
    scope.filter = "w < 2" if scope.filter == "w < 2" else ""
    start, keys = model.start(rng, graph)

    def judge(graph, answer):
        starts = sources(graph, keys)
        other = of_networkx(graph, scope.steps(graph))
        found = {}
        try:
            for start in starts:
                for vertex, distance in nx.single_source_bellman_ford_path_length(other, start).items():
                    found[vertex] = min(distance, found.get(vertex, math.inf))
        except nx.NetworkXUnbounded:
            return None if isinstance(answer, Refused) and answer.state == "22023" else f"{answer}, not 22023 for a cycle of negative weight"
        if isinstance(answer, Refused):
            return f"{answer.state}: {answer.message}"
        return compare(graph, answer, found)

    return Question(f"SELECT * FROM graph_shortest_path('{graph.name}', {start}, weight => 'w'{scope.arguments()})", judge)


def paths_of(graph, rows):
    """Rows of path_id, step and vertex as lists of vertices."""
    paths = defaultdict(dict)
    for path, step, *vertex in rows:
        if step in paths[path]:
            return None
        paths[path][step] = graph.named(vertex)[0]
    if any(sorted(steps) != list(range(len(steps))) for steps in paths.values()):
        return None
    return [tuple(steps[i] for i in range(len(steps))) for _, steps in sorted(paths.items())]


def parallel(steps, is_weighted):
    """The weights of the edges between two vertices."""
    found = defaultdict(list)
    for source, target, w in steps:
        found[source, target].append(w if is_weighted else 1)
    return found


def shortest_path(rng, graph):
    scope = Scope(rng, graph)
    start, start_keys = model.start(rng, graph, rng.choice([1, 1, 2]))
    target, target_keys = model.start(rng, graph, rng.choice([1, 3]))
    is_weighted = rng.random() < 0.6
    weight = ", weight => 'w'" if is_weighted else ""

    @rows_only
    def judge(graph, rows):
        paths, steps = paths_of(graph, rows), scope.steps(graph)
        if paths is None:
            return "steps are not numbered from 0"
        weights = parallel(steps, is_weighted)
        names, number, other = of_igraph(graph, steps)
        expected = {}
        for source in sources(graph, start_keys):
            found = other.distances(number[source], weights="w" if is_weighted and steps else None)[0]
            for end in sources(graph, target_keys):
                if found[number[end]] < math.inf:
                    expected[source, end] = found[number[end]]
        if Counter((path[0], path[-1]) for path in paths) != Counter(expected.keys()):
            return f"paths between {sorted((path[0], path[-1]) for path in paths)}, not {sorted(expected)}"
        for path in paths:
            pairs = list(zip(path, path[1:]))
            if any(pair not in weights for pair in pairs):
                return f"{path} goes where there is no edge"
            total = sum(min(weights[pair]) for pair in pairs)
            if total != expected[path[0], path[-1]]:
                return f"{path} weighs {total}, not {expected[path[0], path[-1]]}"

    return Question(f"SELECT * FROM graph_shortest_path('{graph.name}', {start}, target => {target}{weight}{scope.arguments()})", judge)


def halved(graph, steps, is_weighted):
    """Each edge as two over a vertex of its own: parallel ones are different paths."""
    found = nx.DiGraph()
    found.add_nodes_from(graph.all())
    for i, (source, target, w) in enumerate(steps):
        half = w / 2 if is_weighted else 0.5
        found.add_edge(source, ("edge", i), weight=half)
        found.add_edge(("edge", i), target, weight=half)
    return found


def all_shortest_paths(rng, graph):
    scope = Scope(rng, graph)
    start, start_keys = model.start(rng, graph)
    target, target_keys = model.start(rng, graph)
    is_weighted = rng.random() < 0.5
    weight = ", weight => 'w'" if is_weighted else ""

    @rows_only
    def judge(graph, rows):
        paths = paths_of(graph, rows)
        if paths is None:
            return "steps are not numbered from 0"
        other, expected = halved(graph, scope.steps(graph), is_weighted), []
        for source in sources(graph, start_keys):
            for end in sources(graph, target_keys):
                if nx.has_path(other, source, end):
                    expected += [tuple(path[::2]) for path in nx.all_shortest_paths(other, source, end, weight="weight")]
        if Counter(paths) != Counter(expected):
            return f"too many: {list((Counter(paths) - Counter(expected)).items())[:3]}, missing: {list((Counter(expected) - Counter(paths)).items())[:3]}"

    return Question(f"SELECT * FROM graph_all_shortest_paths('{graph.name}', {start}, {target}{weight}{scope.arguments()})", judge)


def k_shortest_paths(rng, graph):
    scope = Scope(rng, graph)
    start, start_keys = model.start(rng, graph)
    target, target_keys = model.start(rng, graph)
    count = rng.choice([1, 2, 5, 12])
    is_weighted = rng.random() < 0.6
    weight = ", weight => 'w'" if is_weighted else ""

    @rows_only
    def judge(graph, rows):
        paths, steps = paths_of(graph, rows), scope.steps(graph)
        if paths is None:
            return "steps are not numbered from 0"
        if any(len(set(path)) < len(path) for path in paths):
            return "a path goes through a vertex twice"
        weights, other, expected, place = parallel(steps, is_weighted), halved(graph, steps, is_weighted), [], 0
        for source in sources(graph, start_keys):
            for end in sources(graph, target_keys):
                if not nx.has_path(other, source, end):
                    continue
                for i, path in enumerate(nx.shortest_simple_paths(other, source, end, weight="weight")):
                    if i == count:
                        break
                    expected.append((source, end, nx.path_weight(other, path, "weight")))
        if [(path[0], path[-1]) for path in paths] != [(source, end) for source, end, _ in expected]:
            return f"{len(paths)} paths, not {len(expected)}"
        # Of parallel edges the path does not say which: of paths that say the same the lightest came first.
        seen = Counter()
        for path, (_, _, total) in zip(paths, expected):
            choices = [0]
            for pair in zip(path, path[1:]):
                if pair not in weights:
                    return f"{path} goes where there is no edge"
                choices = [before + w for before in choices for w in weights[pair]]
            if seen[path] >= len(choices):
                return f"{path} is there too often"
            if sorted(choices)[seen[path]] != total:
                return f"{path} weighs {sorted(choices)[seen[path]]}, not {total}"
            seen[path] += 1

    return Question(f"SELECT * FROM graph_k_shortest_paths('{graph.name}', {start}, {target}, {count}{weight}{scope.arguments()})", judge)


def pagerank(rng, graph):
    scope = Scope(rng, graph)
    damping = rng.choice([0.85, 0.5, 0.99])

    @rows_only
    def judge(graph, rows):
        steps = scope.steps(graph)
        if not graph.all():
            return compare(graph, rows, {})
        names, _, other = of_igraph(graph, steps)
        wrong = compare(graph, rows, dict(zip(names, other.pagerank(damping=damping))), 1e-6)
        if wrong or len(names) > 300:
            return wrong
        return compare(graph, rows, nx.pagerank(of_networkx(graph, steps), alpha=damping, tol=1e-10, max_iter=10_000, weight=None), 1e-6)

    return Question(f"SELECT * FROM graph_pagerank('{graph.name}', damping => {damping}, tolerance => 1e-10, max_iterations => 10000{scope.arguments()})", judge)


def partition(graph, rows, expected):
    """Whether two vertices have the same label when they are in the same set, and the label is one of theirs."""
    found = by_name(graph, rows)
    if found is None or found.keys() != set(graph.all()):
        return "not each vertex once"
    labels = [{found[vertex] for vertex in group} for group in expected]
    if any(len(label) > 1 for label in labels):
        return f"one component of {next(sorted(g, key=str) for g, label in zip(expected, labels) if len(label) > 1)[:8]} is several"
    if len({next(iter(label)) for label in labels}) != len(labels):
        return "several components are one"
    return strange(graph, rows)


def strange(graph, rows):
    """What is wrong with the names of groups: of one table they are that of a vertex in it."""
    if len(graph.vertices) > 1:
        return None
    groups = defaultdict(set)
    for vertex, label in map(graph.named, rows):
        groups[label].add(vertex)
    wrong = [label for label, group in groups.items() if label not in group]
    return f"{wrong[0]} is no vertex of the group it names" if wrong else None


def components(kind, rng, graph):
    scope = Scope(rng, graph, has_direction=False)

    @rows_only
    def judge(graph, rows):
        names, _, other = of_networkit(graph, scope.steps(graph))
        found = {"wcc": networkit.components.WeaklyConnectedComponents, "scc": networkit.components.StronglyConnectedComponents}[kind](other)
        found.run()
        return partition(graph, rows, [[names[i] for i in group] for group in found.getComponents() if group])

    return Question(f"SELECT * FROM graph_{kind}('{graph.name}'{scope.arguments()})", judge)


def wcc(rng, graph):
    return components("wcc", rng, graph)


def scc(rng, graph):
    return components("scc", rng, graph)


def simple(graph, scope):
    """Neighbours: no directions, loops, parallel edges."""
    found = of_networkx(graph, scope.steps(graph), nx.Graph)
    found.remove_edges_from(list(nx.selfloop_edges(found)))
    return found


def triangles(rng, graph):
    scope = Scope(rng, graph, has_direction=False)

    @rows_only
    def judge(graph, rows):
        return compare(graph, rows, nx.triangles(simple(graph, scope)))

    return Question(f"SELECT * FROM graph_triangles('{graph.name}'{scope.arguments()})", judge)


def lcc(rng, graph):
    scope = Scope(rng, graph)

    @rows_only
    def judge(graph, rows):
        near = simple(graph, scope)
        if scope.direction == "any":
            return compare(graph, rows, nx.clustering(near), 1e-9)
        directed, expected = {(s, t) for s, t, _ in scope.steps(graph)}, {}
        for vertex in near:
            neighbours = list(near[vertex])
            between = sum((a, b) in directed for a in neighbours for b in neighbours if a != b)
            expected[vertex] = between / (len(neighbours) * (len(neighbours) - 1)) if len(neighbours) > 1 else 0.0
        return compare(graph, rows, expected, 1e-9)

    return Question(f"SELECT * FROM graph_lcc('{graph.name}'{scope.arguments()})", judge)


def cdlp(rng, graph):
    scope = Scope(rng, graph)
    iterations = rng.choice([0, 1, 2, 3, 10])

    @rows_only
    def judge(graph, rows):
        steps, names = scope.steps(graph), graph.all()
        if len(graph.vertices) > 1 or (names and not isinstance(names[0], int)):
            # Which label is the smallest is not said.
            found = by_name(graph, rows)
            return None if found is not None and found.keys() == set(names) else "not each vertex once"
        near = defaultdict(list)
        for source, target, _ in steps:
            near[source].append(target)
            near[target].append(source)
        labels = {name: name for name in names}
        for _ in range(iterations):
            counts = {name: Counter(labels[other] for other in near[name]) for name in names}
            labels = {name: min(count, key=lambda label: (-count[label], label)) if count else labels[name] for name, count in counts.items()}
        return compare(graph, rows, labels)

    return Question(f"SELECT * FROM graph_cdlp('{graph.name}', iterations => {iterations}{scope.arguments()})", judge)


def louvain(rng, graph):
    scope = Scope(rng, graph, has_direction=False)
    resolution = rng.choice([1.0, 1.0, 0.5, 2.0])
    is_weighted = rng.random() < 0.5
    weight = ", weight => 'w'" if is_weighted else ""

    @rows_only
    def judge(graph, rows):
        found = by_name(graph, rows)
        if found is None or found.keys() != set(graph.all()):
            return "not each vertex once"
        other = nx.MultiGraph(of_networkx(graph, scope.steps(graph)))
        groups = defaultdict(set)
        for vertex, community in found.items():
            groups[community].add(vertex)
        apart = [group for group in groups.values() if not nx.is_connected(other.subgraph(group))]
        if strange(graph, rows):
            return strange(graph, rows)
        if apart and len(apart[0]) < 4:
            return f"nothing joins the community {apart[0]}"
        if other.number_of_edges() == 0:
            return None if len(groups) == len(found) else "communities without edges"
        of = lambda groups: nx.community.modularity(other, groups, weight="weight" if is_weighted else None, resolution=resolution)
        best = max(of(nx.community.louvain_communities(other, weight="weight" if is_weighted else None, resolution=resolution, seed=seed)) for seed in range(2))
        # A few vertices are soon stuck.
        if of(groups.values()) < best - (0.05 if len(found) > 30 else 0.2):
            return f"modularity {of(groups.values())}, networkx has {best}"

    return Question(f"SELECT * FROM graph_louvain('{graph.name}', resolution => {resolution}{weight}{scope.arguments()})", judge)


def degree(rng, graph):
    scope = Scope(rng, graph, default="any")

    @rows_only
    def judge(graph, rows):
        expected = Counter({name: 0 for name in graph.all()})
        expected.update(source for source, *_ in scope.steps(graph))
        return compare(graph, rows, expected)

    return Question(f"SELECT * FROM graph_degree('{graph.name}'{scope.arguments()})", judge)


def betweenness(rng, graph):
    scope = Scope(rng, graph)
    is_weighted = rng.random() < 0.5
    weight = ", weight => 'w'" if is_weighted else ""

    @rows_only
    def judge(graph, rows):
        names, _, other = of_networkit(graph, scope.steps(graph), is_weighted)
        if len(names) < 3:
            return compare(graph, rows, dict.fromkeys(names, 0.0))
        found = networkit.centrality.Betweenness(other, normalized=False)
        found.run()
        return compare(graph, rows, dict(zip(names, found.scores())), 1e-7)

    return Question(f"SELECT * FROM graph_betweenness('{graph.name}'{weight}{scope.arguments()})", judge)


def topological_sort(rng, graph):
    scope = Scope(rng, graph, has_direction=False)

    def judge(graph, answer):
        other = of_networkx(graph, scope.steps(graph))
        if not nx.is_directed_acyclic_graph(other):
            return None if isinstance(answer, Refused) and answer.state == "22023" else f"{answer}, not 22023 for a cycle"
        if isinstance(answer, Refused):
            return f"{answer.state}: {answer.message}"
        found = by_name(graph, answer)
        if found is None or found.keys() != set(other) or sorted(found.values()) != list(range(len(found))):
            return "not each vertex once, at a position of its own"
        if any(found[s] >= found[t] for s, t, _ in scope.steps(graph)):
            return "an edge goes back"

    return Question(f"SELECT * FROM graph_topological_sort('{graph.name}'{scope.arguments()})", judge)


def mst(rng, graph):
    scope = Scope(rng, graph, has_direction=False)
    is_weighted = rng.random() < 0.8

    @rows_only
    def judge(graph, rows):
        steps = scope.steps(graph)
        weights = parallel(steps, is_weighted)
        forest = nx.MultiGraph()
        forest.add_nodes_from(graph.all())
        width = 2 if len(graph.vertices) > 1 else 1
        for row in rows:
            source, target, w = graph.named(row[:width])[0], graph.named(row[width : 2 * width])[0], row[-1]
            if w not in weights.get((source, target), []):
                return f"no edge from {source} to {target} weighs {w}"
            forest.add_edge(source, target, weight=w)
        names, _, other = of_igraph(graph, steps)
        other.es["w"] = [w if is_weighted else 1 for *_, w in steps]
        expected = other.as_undirected(mode="each").spanning_tree(weights=other.es["w"])
        if len(rows) != expected.ecount():
            return f"{len(rows)} edges, not {expected.ecount()}"
        if forest.number_of_nodes() and forest.number_of_edges() + nx.number_connected_components(forest) != forest.number_of_nodes():
            return "there is a cycle"
        total = sum(row[-1] for row in rows)
        if total != sum(expected.es["w"]):
            return f"weighs {total}, not {sum(expected.es['w'])}"

    weight = ", weight => 'w'" if is_weighted else ""
    return Question(f"SELECT * FROM graph_mst('{graph.name}'{weight}{scope.arguments()})", judge)


SEARCHES = [bfs, khop, distances, shortest_path, all_shortest_paths, k_shortest_paths]
WHOLE = [pagerank, wcc, scc, triangles, lcc, cdlp, louvain, degree, betweenness, topological_sort, mst]


def questions(rng, graph, kinds=None):
    return [kind(rng, graph) for kind in kinds or [*SEARCHES, *WHOLE]]


def negative(graph, rng):
    """The graph with weights some of which are below 0."""
    changed = graph.copy()
    for table in changed.edges:
        for edge in table.rows.values():
            edge.w = rng.choice([-0.5, 0, 1, 2, 3]) if rng.random() < 0.4 else edge.w
    return changed
