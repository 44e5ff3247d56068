"""Shapes of graphs: how many vertices there are, and between which there are edges."""

import random


def power_law(rng: random.Random, n: int):
    """Who has many edges gets more."""
    ends = list(range(min(n, 3)))
    edges = []
    for vertex in range(n):
        for _ in range(rng.randint(0, 4)):
            other = rng.choice(ends) if rng.random() < 0.8 else rng.randrange(n)
            pair = (vertex, other)
            edges.append(pair if rng.random() < 0.5 else pair[::-1])
            ends += pair
    return n, edges


def grid(rng, n):
    side = max(2, int(n**0.5))
    at = lambda row, column: row * side + column
    right = [(at(r, c), at(r, c + 1)) for r in range(side) for c in range(side - 1)]
    down = [(at(r, c), at(r + 1, c)) for r in range(side - 1) for c in range(side)]
    return side * side, right + down


def star(rng, n):
    return n, [(0, i) if rng.random() < 0.6 else (i, 0) for i in range(1, n)]


def path(rng, n):
    return n, [(i, i + 1) for i in range(n - 1)]


def cycle(rng, n):
    return n, [(i, (i + 1) % n) for i in range(n)]


def complete(rng, n):
    n = min(n, 7)
    return n, [(a, b) for a in range(n) for b in range(n) if a != b and (a < b or rng.random() < 0.5)]


def disconnected(rng, n):
    """Groups that nothing joins, and vertices alone."""
    edges, start = [], 0
    while start < n:
        size = rng.randint(1, max(1, n // 4))
        inside = range(start, min(n, start + size))
        edges += [(rng.choice(inside), rng.choice(inside)) for _ in range(rng.randint(0, 2 * len(inside)))]
        start += size
    return n, edges


def acyclic(rng, n):
    order = list(range(n))
    rng.shuffle(order)
    pairs = [sorted(rng.sample(range(n), 2)) for _ in range(2 * n)] if n > 1 else []
    return n, [(order[a], order[b]) for a, b in pairs]


def multiple(rng, n):
    """Parallel edges and edges from a vertex to itself."""
    n = max(1, n // 2)
    edges = [(rng.randrange(n), rng.randrange(n)) for _ in range(2 * n)]
    return n, edges + rng.choices(edges, k=n) + [(v, v) for v in rng.choices(range(n), k=2)]


def scattered(rng, n):
    return n, [(rng.randrange(n), rng.randrange(n)) for _ in range(int(n * rng.uniform(0.5, 2.5)))] if n else []


def nothing(rng, n):
    return 0, []


def alone(rng, n):
    return 1, rng.choice([[], [(0, 0)]])


SHAPES = [power_law, grid, star, path, cycle, complete, disconnected, acyclic, multiple, scattered, nothing, alone]
