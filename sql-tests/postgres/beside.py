"""Two servers beside each other: the same rows in both, and a query for each that should return the same."""

import math
from datetime import date, datetime, timezone

import psycopg


def plain(cell):
    """A value as both drivers' connections give it: times in UTC, numbers as floats unless they are integers."""
    if isinstance(cell, datetime):
        return (cell if cell.tzinfo else cell.replace(tzinfo=timezone.utc)).astimezone(timezone.utc).isoformat()
    if isinstance(cell, (bool, int, str)) or cell is None:
        return cell
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, list):
        return [plain(item) for item in cell]
    return float(cell)


def order(row):
    """Rows in an order in which almost equal floats are neighbours: by all else first."""
    return [(cell is None, isinstance(cell, float), "" if isinstance(cell, float) else str(cell)) for cell in row] + [
        f"{cell:.6g}" for cell in row if isinstance(cell, float)
    ]


def same(left, right):
    """Whether two values are the same; sums of floats in another order may differ in the last digits."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, (int, float)) and isinstance(right, (int, float)) and not isinstance(left, bool):
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
    return left == right


class Beside:
    """The two connections. Every difference ends the program and names the queries."""

    def __init__(self, ours, peer, seed):
        self.ours, self.peer, self.seed = ours, peer, seed
        self.compared = 0

    def both(self, sql):
        """Runs a statement in both: the same answer, which is the count of rows, or the SQLSTATE of an error."""
        answers = [self.answer(connection, sql) for connection in (self.ours, self.peer)]
        if answers[0] != answers[1]:
            raise SystemExit(f"seed {self.seed}: {sql}\nours: {answers[0]}\nPostgreSQL: {answers[1]}")
        self.compared += 1
        return answers[0]

    @staticmethod
    def answer(connection, sql):
        try:
            return connection.execute(sql).rowcount
        except psycopg.Error as e:
            return e.sqlstate

    def rows(self, ours, peer=None, params=None):
        """The rows of a query of ours and of one that should return the same."""
        peer = peer or ours
        found, expected = [self.fetch(*query) for query in ((self.ours, ours, params), (self.peer, peer, params))]
        if len(found) != len(expected) or not all(map(same, found, expected)):
            pairs = [pair for pair in zip(found, expected) if not same(*pair)][:5]
            shown = "\n".join(f"  {left}\n  {right}" for left, right in pairs)
            raise SystemExit(
                f"seed {self.seed}\nours:       {ours}\nPostgreSQL: {peer}\n{params or ''}\n"
                f"{len(found)} rows of {len(expected)}; ours over PostgreSQL's:\n{shown}"
            )
        self.compared += 1

    def fetch(self, connection, sql, params):
        try:
            rows = connection.execute(sql, params).fetchall()
        except psycopg.Error as e:
            raise SystemExit(f"seed {self.seed}: {sql}\n{e.sqlstate}: {e}") from e
        return sorted(([plain(cell) for cell in row] for row in rows), key=order)

    def ascending(self, sql):
        """Rows of ours come in order of their first column."""
        times = [row[0] for row in self.ours.execute(sql).fetchall()]
        if times != sorted(times):
            raise SystemExit(f"seed {self.seed}: not in order of time: {sql}")
