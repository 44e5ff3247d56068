#!/usr/bin/env bash
# Runs the portable .slt files against a PostgreSQL server made for the purpose: what they expect is what PostgreSQL
# does. `against-postgres.sh --update` rewrites the expected results from its answers; further arguments choose files.
# `against-postgres.sh isolation [--update] [FILE.spec …]` does the same with the specs of several sessions, and
# `against-postgres.sh tpcb` runs TPC-B. Needs PostgreSQL's server programs (initdb, postgres).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)
export PATH="${bin:+$bin:}$PATH"
work=$(mktemp -d)
port=${PORT:-54399}

# initdb refuses to run as root.
as_server() {
    if [[ "$(id -u)" == 0 ]]; then su postgres -s /bin/bash -c "$1"; else bash -c "$1"; fi
}
cleanup() {
    as_server "'$(command -v pg_ctl)' -D '$work/data' -m immediate stop" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT
if [[ "$(id -u)" == 0 ]]; then chown postgres "$work"; fi
as_server "'$(command -v initdb)' -D '$work/data' -U lightning -A trust --locale=C.UTF-8 -E UTF8" >/dev/null
as_server "'$(command -v pg_ctl)' -D '$work/data' -w -l '$work/log' -o '-p $port -k $work -c listen_addresses=127.0.0.1 -c fsync=off' start" >/dev/null

case "${1:-}" in
isolation | tpcb)
    export PGHOST=127.0.0.1 PGPORT="$port" PGUSER=lightning PGDATABASE=postgres
    if [[ "$1" == tpcb ]]; then
        "$here/tpcb.sh"
    else
        python3 -m venv "$work/venv"
        "$work/venv/bin/pip" install --quiet --disable-pip-version-check 'psycopg[binary]'
        "$work/venv/bin/python" "$here/isolation/run.py" "${@:2}"
    fi
    exit
    ;;
esac

export SQL_TESTS_POSTGRES="host=127.0.0.1 port=$port user=lightning dbname=postgres"
if [[ "${1:-}" == "--update" ]]; then
    shift
    export SQL_TESTS_UPDATE=1
fi
cd "$here/.."
cargo test -p sql-tests --test main -- "$@"
