"""Questions to the server, and what is to be said of the answers.

A question is SQL, and a judge: a function of the graph in Python and the answer, which returns what is wrong or nothing. As the judge knows what is
right for any graph, a question that is answered wrongly is asked again of ever smaller graphs; what is printed is a short script.
"""

import os
import time
from dataclasses import dataclass
from typing import Callable

import psycopg

# How long a graph is made smaller.
SMALLER_S = float(os.environ.get("SMALLER_S", "10"))
# Of how many wrong answers; the others are shown with the graph they were given for.
SMALLER_MAX = 6


@dataclass
class Refused:
    """The answer was an error."""

    state: str
    message: str


@dataclass
class Question:
    sql: str
    judge: Callable

    def wrong(self, graph, answer):
        return self.judge(graph, answer)


def rows_only(judge):
    """A judge of rows: an error is wrong."""

    def judged(graph, answer):
        return f"{answer.state}: {answer.message}" if isinstance(answer, Refused) else judge(graph, answer)

    return judged


def ask(connection, sql):
    """Rows, or the refusal, which does not end an open transaction."""
    is_open = connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    if is_open:
        connection.execute("SAVEPOINT asked")
    try:
        return connection.execute(sql).fetchall()
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise
        if is_open:
            connection.execute("ROLLBACK TO asked")
        return Refused(error.sqlstate, str(error).splitlines()[0])


class Asker:
    """Asks, counts, and reports what is wrong."""

    def __init__(self, connection, seed):
        self.connection, self.seed = connection, seed
        self.asked = 0
        self.failures = []
        self.slow = []

    def create(self, graph):
        for statement in graph.script():
            self.connection.execute(statement)

    def check(self, graph, questions, connection=None, history=None):
        """Asks all; `history` are the statements that made the graph what it is, if its script alone does not."""
        for question in questions:
            before = time.monotonic()
            answer = ask(connection or self.connection, question.sql)
            self.asked += 1
            self.slow.append((time.monotonic() - before, question.sql))
            wrong = question.wrong(graph, answer)
            if wrong is not None:
                self.report(graph, question, wrong, history)

    def report(self, graph, question, wrong, history):
        is_made_smaller = history is None and len(self.failures) < SMALLER_MAX
        smaller, is_alone = self.smaller(graph.copy(), question) if is_made_smaller else (graph, False)
        if is_alone:
            wrong = question.wrong(smaller, ask(self.connection, question.sql))
        if is_made_smaller:
            self.create(graph)
        script = smaller.script() if history is None else history
        text = ";\n".join([*script, question.sql]) + ";"
        self.failures.append(f"-- seed {self.seed}, {graph.shape}: {wrong}\n{text}\n")
        print(self.failures[-1], flush=True)

    def is_wrong(self, graph, question):
        try:
            self.create(graph)
            return question.wrong(graph, ask(self.connection, question.sql)) is not None
        except (psycopg.Error, KeyError, IndexError):
            return False

    def smaller(self, graph, question):
        """The graph with as few rows as still are answered wrongly, and whether it is at all when made anew."""
        end = time.monotonic() + SMALLER_S
        if not self.is_wrong(graph, question):
            return graph, False
        tables = [*graph.edges, *graph.vertices]
        for table in tables:
            part = max(1, len(table.rows) // 2)
            while part:
                keys = list(table.rows)
                for place in range(0, len(keys), part):
                    if time.monotonic() > end:
                        return graph, self.is_wrong(graph, question)
                    kept = dict(table.rows)
                    for key in keys[place : place + part]:
                        table.rows.pop(key, None)
                    if not self.is_wrong(graph, question):
                        table.rows = kept
                part //= 2
        return graph, self.is_wrong(graph, question)

    def show_slow(self):
        """With SLOW set, what took longest."""
        if os.environ.get("SLOW"):
            for seconds, sql in sorted(self.slow, reverse=True)[:15]:
                print(f"{seconds:.2f} s: {sql[:300]}")
