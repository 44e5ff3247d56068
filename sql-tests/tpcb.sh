#!/usr/bin/env bash
# TPC-B by pgbench, 64 clients on few branches, at each isolation level; then all books must agree: accounts, tellers, branches and
# history have the same sum, and history has a row for every transaction that a client was told is committed.
# The server is found by PGHOST, PGPORT, PGUSER and PGDATABASE; it may be PostgreSQL. SECONDS_EACH and CLIENTS change the load.
set -euo pipefail
branches=16
tellers=$((branches * 10))
accounts=$((branches * 1000))
clients=${CLIENTS:-64}
seconds=${SECONDS_EACH:-8}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Debian keeps pgbench with the server; the program alone is enough.
pgbench=$(command -v pgbench || ls /usr/lib/postgresql/*/bin/pgbench 2>/dev/null | sort -V | tail -1 || true)
if [[ -z "$pgbench" ]]; then
    major=$(psql --version | sed -E 's/^psql \(PostgreSQL\) ([0-9]+).*/\1/')
    cd "$work"
    if ! apt-get download -qq "postgresql-$major" 2>/dev/null; then
        if [[ "$(id -u)" == 0 ]]; then apt-get update -qq; else sudo apt-get update -qq; fi
        apt-get download -qq "postgresql-$major"
    fi
    dpkg-deb -x postgresql-*.deb files
    cd - >/dev/null
    pgbench=$(ls "$work"/files/usr/lib/postgresql/*/bin/pgbench)
fi

query() {
    psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

create_tables() {
    query <<SQL
set client_min_messages = warning;
drop table if exists pgbench_branches, pgbench_tellers, pgbench_accounts, pgbench_history;
\\i $here/tpcb_tables.sql
SQL
    seq "$branches" | sed 's/$/,0/' | query -c "copy pgbench_branches (bid, bbalance) from stdin with (format csv)"
    seq "$tellers" | awk '{ print $1 "," int(($1 - 1) / 10) + 1 ",0" }' \
        | query -c "copy pgbench_tellers (tid, bid, tbalance) from stdin with (format csv)"
    seq "$accounts" | awk '{ print $1 "," int(($1 - 1) / 1000) + 1 ",0" }' \
        | query -c "copy pgbench_accounts (aid, bid, abalance) from stdin with (format csv)"
}

failed=0
for level in "read committed" "repeatable read" "serializable"; do
    create_tables
    PGOPTIONS="-c default_transaction_isolation=${level// /\\ }" "$pgbench" -n -M prepared -f "$here/tpcb.sql" \
        -D branches="$branches" -D tellers="$tellers" -D accounts="$accounts" \
        -c "$clients" -j 2 -T "$seconds" --max-tries=0 >"$work/report" 2>"$work/errors" || { cat "$work/report" "$work/errors" >&2; exit 1; }
    committed=$(sed -nE 's/^number of transactions actually processed: ([0-9]+).*/\1/p' "$work/report")
    retries=$(sed -nE 's/^total number of retries: ([0-9]+).*/\1/p' "$work/report")
    books=$(query -c "select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),
        (select sum(bbalance) from pgbench_branches), (select sum(delta) from pgbench_history), (select count(*) from pgbench_history)")
    IFS='|' read -r of_accounts of_tellers of_branches of_history rows <<<"$books"
    printf 'tpcb, %s: %s transactions in %s s, %s retries\n' "$level" "$committed" "$seconds" "${retries:-0}"
    if [[ "$of_accounts" != "$of_history" || "$of_tellers" != "$of_history" || "$of_branches" != "$of_history" ]]; then
        printf 'sums differ: accounts %s, tellers %s, branches %s, history %s\n' "$of_accounts" "$of_tellers" "$of_branches" "$of_history" >&2
        failed=1
    fi
    if [[ "$rows" != "$committed" || "$rows" == 0 ]]; then
        printf 'history has %s rows, clients were told of %s commits\n' "$rows" "$committed" >&2
        failed=1
    fi
done
query -c "drop table pgbench_branches, pgbench_tellers, pgbench_accounts, pgbench_history"
exit "$failed"
