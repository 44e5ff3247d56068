"""All ways between vertices by brute force: what a quantified edge stands for."""

from collections import defaultdict

# More ways than this are not worth comparing.
MOST = 1500


class TooMany(Exception):
    """There are more than MOST ways."""


def neighbours(steps, direction):
    """For each vertex the steps that may be taken: the edge, and where it leads. From a vertex to itself there is one whichever way."""
    found = defaultdict(list)
    for step in steps:
        if direction in ("out", "any"):
            found[step.source].append((step, step.target))
        if direction == "in" or (direction == "any" and step.source != step.target):
            found[step.target].append((step, step.source))
    return found


def goes_on(mode, vertices, edges, edge, vertex):
    """Whether a mode lets a way take a further step."""
    if mode == "TRAIL":
        return edge not in edges
    if mode == "ACYCLIC":
        return vertex not in vertices
    if mode == "SIMPLE":
        is_closed = len(vertices) > 1 and vertices[0] == vertices[-1]
        return not is_closed and vertex not in vertices[1:]
    return True


def ways(near, start, least, most, mode):
    """Ways from a vertex as (vertices, edges); walks need an upper bound."""
    found, todo = [], [((start,), ())]
    while todo:
        vertices, edges = todo.pop()
        if len(edges) >= least:
            found.append((vertices, edges))
        if len(found) + len(todo) > MOST:
            raise TooMany
        if most is not None and len(edges) >= most:
            continue
        for edge, vertex in near[vertices[-1]]:
            if goes_on(mode, vertices, edges, edge, vertex):
                todo.append(((*vertices, vertex), (*edges, edge)))
    return found


def shortest_walks(near, all_vertices, start, least):
    """The shortest walks of at least so many edges to every vertex: no longer than that and once through all vertices."""
    layers = [{start: [((start,), ())]}]
    found = {}
    for length in range(least + len(all_vertices) + 1):
        if length >= least:
            for vertex, walks in layers[-1].items():
                found.setdefault(vertex, walks)
        following = defaultdict(list)
        for vertex, walks in layers[-1].items():
            for edge, other in near[vertex]:
                # A way to where a shortest has been seen goes on no better.
                if length + 1 > least and other in found:
                    continue
                following[other] += [((*vertices, other), (*edges, edge)) for vertices, edges in walks]
                if len(following[other]) > MOST:
                    raise TooMany
        layers = [following]
    return [walk for walks in found.values() for walk in walks]


def groups(found):
    """Ways by their ends, shortest first."""
    by_ends = defaultdict(list)
    for way in sorted(found, key=lambda way: len(way[1])):
        by_ends[way[0][0], way[0][-1]].append(way)
    return by_ends


def shortest_groups(found, count):
    """All ways of the so many least lengths between each two vertices."""
    kept = []
    for between in groups(found).values():
        lengths = sorted({len(edges) for _, edges in between})[:count]
        kept += [way for way in between if len(way[1]) in lengths]
    return kept
