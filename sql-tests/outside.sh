#!/usr/bin/env bash
# Starts the given `lightning` binary and lets psql, unmodified PostgreSQL drivers and InfluxDB clients, comparisons with DuckDB, with a PostgreSQL server
# and with libraries of graph algorithms, guests in WebAssembly, the specs of isolation/ and pgbench talk to it. Installs what is missing: PostgreSQL's programs and
# compilers from the system's packages, drivers and libraries from PyPI and npm into a directory of their own.
set -euo pipefail
binary=$(realpath "${1:?usage: outside.sh PATH_TO_LIGHTNING}")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server=""

cleanup() {
    if [[ -n "$server" ]]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap cleanup EXIT

as_root() {
    if [[ "$(id -u)" == 0 ]]; then "$@"; else sudo "$@"; fi
}

if ! command -v psql >/dev/null; then
    as_root apt-get update -qq
    as_root apt-get install -y -qq postgresql-client >/dev/null
fi

# The server prints its address as its first line, and that of HTTP as the second.
"$binary" serve "$work/data" --listen 127.0.0.1:0 --http 127.0.0.1:0 --memory-limit 500MB >"$work/listening" 2>"$work/errors" &
server=$!
for _ in $(seq 300); do
    if [[ "$(wc -l <"$work/listening")" -ge 2 ]]; then break; fi
    if ! kill -0 "$server" 2>/dev/null; then cat "$work/errors" >&2; exit 1; fi
    sleep 0.1
done
port=$(sed -nE 's/^listening on [^:]+:([0-9]+);.*/\1/p' "$work/listening")
export PGHOST=127.0.0.1 PGPORT="$port" PGUSER=lightning PGDATABASE=lightning PGCONNECT_TIMEOUT=10
export LIGHTNING_WORK="$work"
LIGHTNING_HTTP=$(sed -nE 's/^listening for HTTP on (.*)$/\1/p' "$work/listening")
export LIGHTNING_HTTP PYTHONDONTWRITEBYTECODE=1

failed=0
run() {
    printf -- '-- %s\n' "$1"
    shift
    if ! "$@"; then
        failed=1
        printf 'FAILED: %s\n' "$*" >&2
    fi
}

for script in "$here"/psql/*.sh; do
    run "psql: $(basename "$script" .sh)" bash "$script"
done

if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    as_root apt-get update -qq
    as_root apt-get install -y -qq python3-venv >/dev/null
fi
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'psycopg[binary]' asyncpg pg8000 duckdb pytz influxdb influxdb-client \
    networkit networkx igraph numpy scipy wasmtime
for script in "$here"/drivers/*.py; do
    run "python: $(basename "$script" .py)" "$work/venv/bin/python" "$script"
done
run "time series beside DuckDB" "$work/venv/bin/python" "$here/duckdb/time_series.py"
if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && ! command -v initdb >/dev/null; then
    as_root apt-get update -qq
    as_root apt-get install -y -qq postgresql >/dev/null
fi
run "time series beside PostgreSQL" "$work/venv/bin/python" "$here/postgres/time_series.py"
run "graphs beside networkit, igraph, networkx and PostgreSQL" "$work/venv/bin/python" "$here/graph/compare.py"
run "functions and triggers in WebAssembly" env PYTHON="$work/venv/bin/python" "$here/wasm/run.sh" "$binary"
run "several sessions at once" "$work/venv/bin/python" "$here/isolation/run.py"
run "TPC-B" "$here/tpcb.sh"

if ! command -v npm >/dev/null; then
    as_root apt-get update -qq
    as_root apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
fi
mkdir "$work/node"
(cd "$work/node" && npm install --silent --no-audit --no-fund --no-save pg @influxdata/influxdb-client >/dev/null)
for script in "$here"/drivers/*.js; do
    cp "$script" "$work/node/"
    run "node: $(basename "$script" .js)" node "$work/node/$(basename "$script")"
done

exit "$failed"
