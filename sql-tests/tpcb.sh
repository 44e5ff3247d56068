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
create table pgbench_branches (bid int primary key, bbalance int not null, filler char(88));
create table pgbench_tellers (tid int primary key, bid int not null, tbalance int not null, filler char(84));
create table pgbench_accounts (aid int primary key, bid int not null, abalance int not null, filler char(84));
create table pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
SQL
    seq "$branches" | sed 's/$/,0/' | query -c "copy pgbench_branches (bid, bbalance) from stdin with (format csv)"
    seq "$tellers" | awk '{ print $1 "," int(($1 - 1) / 10) + 1 ",0" }' \
        | query -c "copy pgbench_tellers (tid, bid, tbalance) from stdin with (format csv)"
    seq "$accounts" | awk '{ print $1 "," int(($1 - 1) / 1000) + 1 ",0" }' \
        | query -c "copy pgbench_accounts (aid, bid, abalance) from stdin with (format csv)"
}

# pgbench's own script; its built-in copy would make pgbench look into the system catalogs first.
cat >"$work/tpcb.sql" <<SQL
\\set aid random(1, $accounts)
\\set bid random(1, $branches)
\\set tid random(1, $tellers)
\\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
SQL

failed=0
for level in "read committed" "repeatable read" "serializable"; do
    create_tables
    PGOPTIONS="-c default_transaction_isolation=${level// /\\ }" "$pgbench" -n -M prepared -f "$work/tpcb.sql" \
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
