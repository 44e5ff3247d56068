"""Questions to the server, and what the answers should be. A wrong one is printed with the statement that shows it."""

import base64
import contextlib
import pathlib
import time

import psycopg


class Asker:
    def __init__(self, server, guests, seed):
        self.server, self.guests, self.seed = server, pathlib.Path(guests), seed
        self.asked, self.failures = 0, 0
        self.connection = server.connect()

    def reconnect(self):
        self.connection.close()
        self.connection = self.server.connect()

    def module(self, name):
        """A module that was built, as CREATE FUNCTION takes it."""
        return base64.b64encode((self.guests / f"{name}.wasm").read_bytes()).decode()

    def run(self, sql, *parameters):
        return self.connection.execute(sql, parameters or None)

    def rows(self, sql, *parameters):
        return self.run(sql, *parameters).fetchall()

    def value(self, sql, *parameters):
        return self.rows(sql, *parameters)[0][0]

    def function(self, head, module, *, export=None, kind="FUNCTION", rest=""):
        """CREATE FUNCTION of what the head says: name, arguments, result."""
        export = f", '{export}'" if export else ""
        self.run(f"CREATE OR REPLACE {kind} {head} LANGUAGE wasm {rest.split('WITH')[0]} AS '{module}'{export} {with_clause(rest)}")

    def wrong(self, what, detail):
        self.failures += 1
        print(f"WRONG (seed {self.seed}): {shortened(what)}\n    {shortened(detail)}", flush=True)

    def equal(self, what, got, wanted):
        self.asked += 1
        if got != wanted:
            self.wrong(what, f"{got!r}\n    instead of {wanted!r}")

    def answers(self, sql, wanted, *parameters):
        """The rows of a query."""
        try:
            self.equal(sql, self.rows(sql, *parameters), wanted)
        except psycopg.Error as e:
            self.asked += 1
            self.wrong(sql, f"{e.sqlstate} {e}\n    instead of {wanted!r}")

    @contextlib.contextmanager
    def refused(self, what, *states, text=None):
        """The block ends with an error of one of these SQLSTATEs, whose message has the text."""
        self.asked += 1
        try:
            yield
        except psycopg.Error as e:
            message = e.diag.message_primary or str(e)
            if e.sqlstate not in states or (text and text not in message):
                self.wrong(what, f"{e.sqlstate} {message}\n    instead of {' or '.join(states)} {text or ''}")
        else:
            self.wrong(what, f"succeeds instead of {' or '.join(states)}")

    def refuses(self, sql, *states, text=None):
        with self.refused(sql, *states, text=text):
            self.run(sql)


def with_clause(rest):
    return "WITH" + rest.split("WITH", 1)[1] if "WITH" in rest else ""


def shortened(text):
    text = str(text)
    return text if len(text) < 1500 else f"{text[:700]} … {text[-700:]}"


@contextlib.contextmanager
def timed(what, took):
    began = time.monotonic()
    yield
    took.append((what, time.monotonic() - began))
