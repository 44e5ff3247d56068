#!/usr/bin/env bash
# Small transactions beside PostgreSQL: pgbench's SELECT by key and TPC-B at scale 10 with 8 clients, the two servers in turn, both durable.
# Prints a table; each figure is the median of ROUNDS runs of SECONDS_EACH seconds.
#
#     pgbench.sh PATH_TO_LIGHTNING
#
# Takes initdb, pg_ctl and pgbench of the newest PostgreSQL under /usr/lib/postgresql. Run as root it runs PostgreSQL as user postgres.
set -euo pipefail
lightning=$(realpath "${1:?usage: pgbench.sh PATH_TO_LIGHTNING}")
rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-10}
clients=${CLIENTS:-8}
scale=10
shared=$(cd "$(dirname "$0")/../sql-tests" && pwd)
programs=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
work=$(mktemp -d)
server=""

as_postgres() {
    if [[ "$(id -u)" == 0 ]]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

cleanup() {
    if [[ -n "$server" ]]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    as_postgres "$programs/pg_ctl" -D "$work/postgresql" -m fast stop >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT

if [[ "$(id -u)" == 0 ]]; then chown postgres "$work"; fi
chmod 755 "$work"
"$lightning" serve "$work/lightning" --listen 127.0.0.1:0 >"$work/listening" 2>"$work/errors" &
server=$!
for _ in $(seq 100); do
    if [[ -s "$work/listening" ]]; then break; fi
    sleep 0.1
done
ours=$(sed -E 's/^listening on [^:]+:([0-9]+);.*/\1/' "$work/listening")
theirs=$((ours == 5498 ? 5497 : 5498))
as_postgres "$programs/initdb" -D "$work/postgresql" -A trust -U lightning >/dev/null
as_postgres "$programs/pg_ctl" -D "$work/postgresql" -w -l "$work/postgresql/log" \
    -o "-p $theirs -h 127.0.0.1 -k ''" start >/dev/null
PGHOST=127.0.0.1 PGPORT=$theirs PGUSER=lightning psql -X -q -d postgres -c 'create database lightning'
export PGHOST=127.0.0.1 PGUSER=lightning PGDATABASE=lightning

for port in "$ours" "$theirs"; do
    PGPORT=$port psql -X -q -v ON_ERROR_STOP=1 <<SQL
\\i $shared/tpcb_tables.sql
insert into pgbench_branches select g, 0, '' from generate_series(1, $scale) as g (g);
insert into pgbench_tellers select g, (g - 1) / 10 + 1, 0, '' from generate_series(1, 10 * $scale) as g (g);
insert into pgbench_accounts select g, (g - 1) / 100000 + 1, 0, '' from generate_series(1, 100000 * $scale) as g (g);
SQL
done
PGPORT=$theirs psql -X -q -c 'vacuum analyze' -c 'checkpoint'
PGPORT=$ours psql -X -q -c 'checkpoint'

cat >"$work/select.sql" <<SQL
\\set aid random(1, 100000 * $scale)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
SQL
cp "$shared/tpcb.sql" "$work/"

# run PORT SCRIPT PROTOCOL: transactions a second.
run() {
    PGPORT=$1 "$programs/pgbench" -n -c "$clients" -j 2 -T "$seconds" -f "$work/$2.sql" -M "$3" \
        -D branches=$scale -D tellers=$((10 * scale)) -D accounts=$((100000 * scale)) 2>"$work/errors" \
        | sed -nE 's/^tps = ([0-9]+).*without.*/\1/p'
}

median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }

echo "| transactions a second | Lightning | PostgreSQL | ratio |"
echo "|---|---|---|---|"
for script in select tpcb; do
    for protocol in simple prepared; do
        : >"$work/ours"
        : >"$work/theirs"
        for _ in $(seq "$rounds"); do
            run "$ours" "$script" "$protocol" >>"$work/ours"
            run "$theirs" "$script" "$protocol" >>"$work/theirs"
        done
        a=$(median <"$work/ours")
        b=$(median <"$work/theirs")
        echo "| $script, $protocol protocol | $a | $b | $(awk "BEGIN { printf \"%.2f\", $a / $b }") |"
    done
done
