"""Functions are part of the catalog: of transactions, of what survives the end of the power, of what is dropped."""

import threading

import psycopg

ONE = '(module (func (export "{}") (param i32) (result i32) (i32.add (local.get 0) (i32.const {}))))'


def create(asker, number, head="lasting(integer) RETURNS integer"):
    name = head.split("(")[0].split(".")[-1]
    asker.function(head, ONE.format(name, number))


def compare(asker):
    transactions(asker)
    dropping(asker)
    sessions(asker)
    restarts(asker)


def transactions(asker):
    asker.run("BEGIN")
    create(asker, 1)
    asker.answers("SELECT lasting(1)", [(2,)])
    asker.run("ROLLBACK")
    asker.refuses("SELECT lasting(1)", "42883")
    asker.answers("SELECT count(*) FROM lightning.functions WHERE name = 'lasting'", [(0,)])

    asker.run("BEGIN")
    create(asker, 1)
    asker.run("SAVEPOINT s")
    create(asker, 2)
    asker.answers("SELECT lasting(1)", [(3,)])
    asker.run("ROLLBACK TO s")
    asker.answers("SELECT lasting(1)", [(2,)])
    with asker.server.connect() as other:
        with asker.refused("another session does not see what is not committed", "42883"):
            other.execute("SELECT lasting(1)")
        asker.run("COMMIT")
        asker.equal("another session sees what is committed", other.execute("SELECT lasting(1)").fetchone(), (2,))
        # One that is replaced is another one in the next statement, also in one that was prepared.
        other.execute("PREPARE p AS SELECT lasting(1)")
        create(asker, 10)
        asker.equal("a prepared statement", other.execute("EXECUTE p").fetchone(), (11,))
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        asker.equal("a snapshot", other.execute("SELECT lasting(1)").fetchone(), (11,))
        other.execute("COMMIT")


def dropping(asker):
    again = ONE.format("lasting", 3)
    with asker.refused("CREATE without OR REPLACE", "42723"):
        asker.run(f"CREATE FUNCTION lasting(integer) RETURNS integer LANGUAGE wasm AS '{again}'")
    with asker.refused("another result", "42P13"):
        create(asker, 1, "lasting(integer) RETURNS boolean")
    asker.run("CREATE SCHEMA other")
    create(asker, 5, "other.lasting(integer) RETURNS integer")
    asker.answers("SELECT lasting(1), other.lasting(1)", [(11, 6)])
    asker.refuses("DROP SCHEMA other", "2BP01")
    asker.run("BEGIN; DROP SCHEMA other CASCADE")
    asker.refuses("SELECT other.lasting(1)", "42883", "3F000")
    asker.run("ROLLBACK")
    asker.answers("SELECT other.lasting(1)", [(6,)])
    asker.run("DROP SCHEMA other CASCADE")
    asker.refuses("DROP FUNCTION lasting(bigint)", "42883")
    asker.run("DROP FUNCTION IF EXISTS lasting(bigint)")
    asker.run("BEGIN; DROP FUNCTION lasting(integer)")
    asker.refuses("SELECT lasting(1)", "42883")
    asker.run("ROLLBACK")
    asker.answers("SELECT lasting(1)", [(11,)])


def sessions(asker):
    """While one session replaces a function, others call it: each statement has one function from its begin to its end."""
    create(asker, 0, "moving(integer) RETURNS integer")
    asker.run("CREATE TABLE thousand AS SELECT i::integer AS id FROM generate_series(1, 1000) s (i)")
    done, seen = threading.Event(), []

    def call():
        with asker.server.connect() as other:
            while not done.is_set():
                try:
                    seen.append(other.execute("SELECT min(moving(id) - id), max(moving(id) - id) FROM thousand").fetchone())
                except psycopg.Error as e:
                    seen.append((e.sqlstate, str(e)))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 30):
        create(asker, number, "moving(integer) RETURNS integer")
    done.set()
    for thread in threads:
        thread.join()
    asker.equal("a function that is replaced while it is called", [pair for pair in seen if pair[0] != pair[1] or not 0 <= pair[0] < 30], [])
    asker.run("DROP FUNCTION moving(integer); DROP TABLE thousand")


def restarts(asker):
    asker.run("CREATE TABLE fresh (id integer PRIMARY KEY, v integer)")
    asker.run("INSERT INTO fresh SELECT i, lasting(i) FROM generate_series(1, 1000) s (i)")
    asker.run("CREATE VIEW over_function AS SELECT id, lasting(id) AS v FROM fresh")
    asker.run("CREATE FUNCTION by_sql(n integer) RETURNS integer LANGUAGE sql AS 'SELECT lasting(n) + 1'")
    asker.function("lasting_text(text) RETURNS text", asker.module("c_text"), export="upper_ascii", rest="WITH (abi = 'batch')")
    asker.run("BEGIN")
    asker.run("DROP FUNCTION lasting_text(text)")
    for is_first in [True, False]:
        asker.connection.close()
        asker.server.kill() if is_first else asker.server.stop()
        asker.server.start()
        asker.reconnect()
        asker.answers("SELECT count(*) FILTER (WHERE f.v = lasting(id) AND o.v = f.v AND by_sql(id) = f.v + 1), count(*) FROM fresh f JOIN over_function o USING (id)", [(1000, 1000)])
        asker.answers("SELECT lasting_text('abc')", [("ABC",)])
        asker.answers("SELECT calls > 0 FROM lightning.functions WHERE name = 'lasting'", [(True,)])
    asker.run("DROP VIEW over_function; DROP FUNCTION by_sql(integer); DROP FUNCTION lasting(integer)")
    asker.refuses("SELECT lasting(1)", "42883")
