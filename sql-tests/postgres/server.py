"""A PostgreSQL server of one's own: in a temporary directory, on a socket there and nowhere else, gone afterwards."""

import contextlib
import getpass
import glob
import pathlib
import shutil
import subprocess
import tempfile

import psycopg


def program(name):
    """One of the server's programs, which distributions keep away from PATH."""
    installed = glob.glob(f"/usr/lib/postgresql/*/bin/{name}")
    newest = max(installed, key=lambda path: int(pathlib.Path(path).parts[-3]), default=None)
    found = newest or shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not there: install PostgreSQL's server")
    return found


def run(*command):
    """As the user postgres when this is root, under whom the server does not start."""
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if getpass.getuser() == "root" else {}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **user)


@contextlib.contextmanager
def postgres():
    """A connection in autocommit to a server that ends with it."""
    place = pathlib.Path(tempfile.mkdtemp())
    data = str(place / "data")
    if getpass.getuser() == "root":
        shutil.chown(place, "postgres", "postgres")
    try:
        run(program("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--locale=C.UTF-8", "-E", "UTF8", "--no-sync")
        options = f"-p 5432 -k {place} -c listen_addresses= -c fsync=off -c autovacuum=off -c jit=off"
        run(program("pg_ctl"), "-D", data, "-w", "-l", str(place / "log"), "-o", options, "start")
        try:
            # The environment names the other server.
            with psycopg.connect(host=str(place), port=5432, user="postgres", dbname="postgres", autocommit=True) as connection:
                yield connection
        finally:
            run(program("pg_ctl"), "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(place, ignore_errors=True)
