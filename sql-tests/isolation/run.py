"""Several sessions at once: sends the steps of *.spec files in their order and compares what each session is told, and when.

    run.py [--update] [FILE.spec …]        all files beside this one, if none is named; the server is found by PGHOST, PGPORT, …

What the files expect is what PostgreSQL 15 does: `--update` writes its answers into them. A superuser must run that.

    # A comment.
    setup                                  before every scenario, in a schema of its own; one statement a line
      create table t (id int primary key, n int)
      insert into t values (1, 100)

    scenario Whoever comes second waits and sees the new row
    a: begin                               a step: a session's name and what it sends
      BEGIN                                what it answers: rows, then the command's tag
    a: update t set n = n + 1 where id = 1
      UPDATE 1
    b: update t set n = n + 1 where id = 1 returning n
      waits                                no answer yet
    a: commit
      COMMIT
      b: 102                               the answer to a step that waited
      b: UPDATE 1
    b: update u set n = 1
      ERROR 42P01: relation "u" does not exist

`scenario [postgresql] …` and `scenario [lightning] …` run on that server alone: there, each is right in its own way, and a comment
says why. Besides SQL a step may be `\\close` (the client says good-bye), `\\vanish` (its socket breaks), or `\\cancel` (it asks that
its waiting step be given up). The next step of a closed session connects anew.

PostgreSQL knows who waits for a lock, so it is asked. Its deadlock detector is set to look long before a step counts as waiting: as
in Lightning, the one who closes a circle is the victim. Lightning is watched against the expectation: a step that should wait
must stay quiet for `QUIET_SECONDS`, any other has `PATIENCE_SECONDS` to answer.
"""

import asyncio
import os
import pathlib
import re
import socket
import sys
import time
from dataclasses import dataclass, field

import psycopg

QUIET_SECONDS = 0.3
PATIENCE_SECONDS = 20.0
SCHEMA = f"isolation_{os.getpid()}"
SCENARIO = re.compile(r"scenario (?:\[(?P<server>lightning|postgresql)\] )?(?P<title>.+)")
STEP = re.compile(r"(?P<session>\w+): (?P<sql>.+)")


@dataclass
class Step:
    """What one session sends, and the lines that the sessions are expected to answer."""

    line: int
    session: str
    sql: str
    expected: list[str] = field(default_factory=list)

    def lets_finish(self, session: str) -> bool:
        """Whether a session that has not answered when the step is sent should do so now."""
        if session == self.session and not self.sql.startswith("\\"):
            return "waits" not in self.expected
        return any(line.startswith(f"{session}: ") for line in self.expected)


@dataclass
class Scenario:
    title: str
    server: str | None
    steps: list[Step] = field(default_factory=list)


@dataclass
class Spec:
    path: pathlib.Path
    lines: list[str]
    setup: list[str] = field(default_factory=list)
    scenarios: list[Scenario] = field(default_factory=list)


def parse(path: pathlib.Path) -> Spec:
    spec = Spec(path, path.read_text().splitlines())
    indented: list[str] | None = None
    for number, line in enumerate(spec.lines):
        if not line or line.startswith("#"):
            continue
        if line.startswith("  ") and indented is not None:
            indented.append(line.strip())
        elif line == "setup":
            indented = spec.setup
        elif match := SCENARIO.fullmatch(line):
            spec.scenarios.append(Scenario(match["title"], match["server"]))
            indented = None
        elif (match := STEP.fullmatch(line)) and spec.scenarios:
            step = Step(number, match["session"], match["sql"])
            spec.scenarios[-1].steps.append(step)
            indented = step.expected
        else:
            raise SystemExit(f"{path}:{number + 1}: not understood: {line}")
    return spec


def write(spec: Spec, answers: dict[int, list[str]]) -> None:
    """The file again, with `answers` by the line of their step in place of what it expected."""
    lines: list[str] = []
    skip = False
    for number, line in enumerate(spec.lines):
        skip = skip and line.startswith("  ")
        if not skip:
            lines.append(line)
        if number in answers:
            lines.extend("  " + answer for answer in answers[number])
            skip = True
    spec.path.write_text("\n".join(lines) + "\n")


class Session:
    """A connection and the step it has not answered yet, if any."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self.connection = connection
        self.running: asyncio.Task[list[str]] | None = None

    @classmethod
    async def open(cls, options: str) -> "Session":
        connection = await psycopg.AsyncConnection.connect(options=options, autocommit=True, prepare_threshold=None)
        session = cls(connection)
        await connection.execute(f"set search_path = {SCHEMA}")
        return session

    def start(self, sql: str) -> None:
        self.running = asyncio.create_task(self.answer(sql))

    async def answer(self, sql: str) -> list[str]:
        cursor = self.connection.cursor()
        try:
            await cursor.execute(sql)
        except psycopg.Error as error:
            return [f"ERROR {error.diag.sqlstate}: {error.diag.message_primary or error}"]
        lines: list[str] = []
        while True:
            result = cursor.pgresult
            rows = []
            for row in range(result.ntuples):
                values = (result.get_value(row, column) for column in range(result.nfields))
                rows.append(" | ".join("null" if value is None else bytes(value).decode() for value in values))
            # RETURNING promises no order.
            lines += rows if cursor.statusmessage.startswith("SELECT") else sorted(rows)
            lines.append(cursor.statusmessage)
            if not cursor.nextset():
                return lines

    def answered(self) -> bool:
        return self.running is not None and self.running.done()

    def take_answer(self) -> list[str]:
        lines, self.running = self.running.result(), None
        return lines

    def break_socket(self) -> None:
        with socket.socket(fileno=os.dup(self.connection.fileno())) as broken:
            broken.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        if self.running is not None:
            await self.connection.cancel_safe()
            await self.running
        await self.connection.close()


async def all_answer(sessions: list[Session], seconds: float) -> bool:
    """Whether all answer within that time."""
    tasks = [session.running for session in sessions if session.running is not None]
    _, pending = await asyncio.wait(tasks, timeout=seconds) if tasks else ((), ())
    return not pending


class PostgreSQL:
    """Knows from the server's table of locks who waits."""

    name = "postgresql"
    # The detector looks once, this long after the wait began; a step waits if it does so still ten times as long after.
    options = "-c deadlock_timeout=10ms -c enable_seqscan=off"
    WAITS = "select from pg_locks where pid = %s and not granted and waitstart < clock_timestamp() - interval '100 ms'"
    LIVES = "select from pg_stat_activity where pid = %s"

    def __init__(self, control: psycopg.AsyncConnection) -> None:
        self.control = control

    async def settle(self, running: list[Session], finishing: list[Session] | None) -> None:
        """Returns when it is certain of every session that it has answered, or waits for a lock."""
        while quiet := [session for session in running if not session.answered()]:
            for session in quiet:
                await self.finish_or_wait(session)
            # An answer may have freed one that was still waiting when it was looked at.
            if not any(session.answered() for session in quiet):
                return

    async def finish_or_wait(self, session: Session) -> None:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < give_up and not await all_answer([session], 0.01):
            if (await self.control.execute(self.WAITS, [session.connection.info.backend_pid])).rowcount:
                return

    async def gone(self, pid: int) -> None:
        """Returns when the server has noticed that a client left."""
        while (await self.control.execute(self.LIVES, [pid])).rowcount:
            await asyncio.sleep(0.01)


class Lightning:
    """Is watched for as long as the expectation makes sensible."""

    name = "lightning"
    options = ""

    async def settle(self, running: list[Session], finishing: list[Session] | None) -> None:
        """Gives those that should answer their time, then sees whether the others stay quiet. When nothing is known a second must do."""
        if finishing is None:
            await all_answer(running, 1.0)
        elif await all_answer(finishing, PATIENCE_SECONDS):
            await all_answer(running, QUIET_SECONDS)

    async def gone(self, pid: int) -> None:
        """The steps that follow wait for what the client held."""


class Stage:
    """The sessions of one scenario."""

    def __init__(self, server: PostgreSQL | Lightning, update: bool) -> None:
        self.server = server
        self.update = update
        self.sessions: dict[str, Session] = {}
        self.waiting: list[str] = []

    async def play(self, step: Step) -> list[str]:
        """Sends the step. What its session answers, then what those answer that had waited."""
        before = self.waiting.copy()
        await self.send(step)
        finishing = [name for name in self.waiting if step.lets_finish(name)]
        await self.server.settle(self.named(self.waiting), None if self.update else self.named(finishing))
        lines: list[str] = []
        for name in sorted(self.waiting, key=before.__contains__):
            session = self.sessions[name]
            if session.answered():
                self.waiting.remove(name)
                lines.extend(f"{name}: {line}" if name in before else line for line in session.take_answer())
            elif name not in before:
                lines.append("waits")
        return lines

    async def send(self, step: Step) -> None:
        name = step.session
        if step.sql in ("\\close", "\\vanish"):
            session = self.sessions.pop(name)
            pid = session.connection.info.backend_pid
            if step.sql == "\\vanish":
                session.break_socket()
            await session.close()
            await self.server.gone(pid)
        elif step.sql == "\\cancel":
            await self.sessions[name].connection.cancel_safe()
        elif name in self.waiting:
            raise SystemExit(f"line {step.line + 1}: {name} has not answered its last step")
        else:
            if name not in self.sessions:
                self.sessions[name] = await Session.open(self.server.options)
            self.sessions[name].start(step.sql)
            self.waiting.append(name)

    def named(self, names: list[str]) -> list[Session]:
        return [self.sessions[name] for name in names]

    async def clear(self) -> None:
        for session in self.sessions.values():
            await session.close()


async def run_scenario(server: PostgreSQL | Lightning, control: psycopg.AsyncConnection, spec: Spec, scenario: Scenario,
                       answers: dict[int, list[str]] | None) -> bool:
    """Plays the steps up to the first that is answered otherwise than expected; with `answers`, all, and collects these."""
    await control.execute(f"drop schema if exists {SCHEMA} cascade")
    await control.execute(f"create schema {SCHEMA}")
    for statement in spec.setup:
        await control.execute(statement)
    stage = Stage(server, answers is not None)
    try:
        for step in scenario.steps:
            lines = await stage.play(step)
            if answers is not None:
                answers[step.line] = lines
            elif lines != step.expected:
                print(f"{spec.path.name}:{step.line + 1}: {scenario.title}\n{step.session}: {step.sql}")
                print("\n".join([*(f"- {line}" for line in step.expected), *(f"+ {line}" for line in lines)]), flush=True)
                return False
        if stage.waiting:
            print(f"{spec.path.name}: {scenario.title}: in the end {', '.join(stage.waiting)} still waits")
        return not stage.waiting
    finally:
        await stage.clear()


async def main(arguments: list[str]) -> int:
    update = "--update" in arguments
    named = [pathlib.Path(argument) for argument in arguments if argument != "--update"]
    paths = named or sorted(pathlib.Path(__file__).parent.glob("*.spec"))
    control = await psycopg.AsyncConnection.connect(autocommit=True, prepare_threshold=None)
    (version,) = await (await control.execute("select version()")).fetchone()
    server = Lightning() if "Lightning" in version else PostgreSQL(control)
    await control.execute(f"set search_path = {SCHEMA}")
    played = failed = 0
    for path in paths:
        spec = parse(path)
        answers: dict[int, list[str]] | None = {} if update else None
        for scenario in spec.scenarios:
            if scenario.server in (None, server.name):
                played += 1
                failed += not await run_scenario(server, control, spec, scenario, answers)
        if answers is not None:
            write(spec, answers)
    await control.execute(f"drop schema if exists {SCHEMA} cascade")
    await control.close()
    print(f"isolation: {played} scenarios in {len(paths)} files on {server.name}, {failed} failed")
    return int(failed > 0)


sys.exit(asyncio.run(main(sys.argv[1:])))
