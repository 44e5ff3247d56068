#!/usr/bin/env bash
# A session in psql: tables, the backslash commands, COPY both ways, errors, cancel.
set -euo pipefail

expect() {
    local what="$1" expected="$2" actual="$3"
    if [[ "$actual" != "$expected" ]]; then
        printf '%s\nexpected:\n%s\nactual:\n%s\n' "$what" "$expected" "$actual" >&2
        exit 1
    fi
}
contains() {
    local what="$1" part="$2" text="$3"
    if [[ "$text" != *"$part"* ]]; then
        printf '%s\nexpected somewhere: %s\nactual:\n%s\n' "$what" "$part" "$text" >&2
        exit 1
    fi
}
q() { psql -X -q -A -t -v ON_ERROR_STOP=1 -c "$1"; }

q "drop table if exists city cascade"
q "create table city (id integer primary key, name varchar(40) not null, people bigint, area numeric(8,2))"
q "insert into city values (1, 'Oslo', 717710, 454.03), (2, 'Bergen', 291940, null)"
expect "rows" $'1|Oslo|717710|454.03\n2|Bergen|291940|' "$(q 'select * from city order by id')"

contains '\d' "city" "$(psql -X -c '\d')"
contains '\dt' "city" "$(psql -X -c '\dt')"
contains '\d city: type' "character varying(40)" "$(psql -X -c '\d city')"
contains '\d city: not null' "not null" "$(psql -X -c '\d city')"
contains '\d city: key' "city_pkey" "$(psql -X -c '\d city')"
contains '\l' "lightning" "$(psql -X -c '\l')"
contains '\dn' "public" "$(psql -X -c '\dn')"
contains '\dv' "cities" "$(q 'create view cities as select name from city'; psql -X -c '\dv')"
contains '\conninfo' "lightning" "$(psql -X -c '\conninfo')"
contains '\du' "lightning" "$(psql -X -c '\du')"
contains '\df' "" "$(psql -X -c '\df upper')"

printf '3,Trondheim,212660,342.3\n4,"Sta,vanger",,\n' | q "copy city from stdin (format csv)"
expect "copy in" "4" "$(q 'select count(*) from city')"
expect "copy out" $'3,Trondheim,212660,342.30\n4,"Sta,vanger",,' "$(q "copy (select * from city where id > 2 order by id) to stdout (format csv)")"
expect "copy text" $'1\tOslo\n2\tBergen' "$(q "copy (select id, name from city where id < 3 order by id) to stdout")"
printf '5\tBodø\t\\N\t\\N\n' > "$LIGHTNING_WORK/city.tsv"
psql -X -q -c "\\copy city from '$LIGHTNING_WORK/city.tsv'"
expect '\copy' "Bodø" "$(q 'select name from city where id = 5')"

bad=$(printf '6,Molde,1,1\n7,Hamar,many,1\n' | psql -X -q -c "copy city from stdin (format csv)" 2>&1 || true)
contains "malformed CSV" "invalid input syntax for type bigint" "$bad"
contains "malformed CSV: place" "line 2" "$bad"
expect "nothing of a failed copy stays" "0" "$(q 'select count(*) from city where id >= 6')"

error=$(psql -X -c 'select nme from city' 2>&1 || true)
contains "error" 'ERROR:  column "nme" does not exist' "$error"
contains "caret" "LINE 1: select nme from city" "$error"
contains "sqlstate" "42703" "$(psql -X -v VERBOSITY=verbose -c 'select nme from city' 2>&1 || true)"

expect "several statements" $'1\n2' "$(q 'select 1; select 2')"
expect "a failed block" "0" "$(psql -X -q -A -t -c 'begin; insert into city values (9, $$x$$, 1, 1); select 1/0; commit' >/dev/null 2>&1 || true; q 'select count(*) from city where id = 9')"
expect "variables" "Oslo" "$(printf '%s\n' "\\set wanted 1" "select name from city where id = :wanted;" | psql -X -q -A -t)"
expect "gexec" $'1\n2' "$(printf '%s\n' "select 'select ' || g from generate_series(1, 2) as g (g) \\gexec" | psql -X -q -A -t)"

# Ctrl-C in psql is a cancel request.
cancelled=$(timeout --signal=INT 2 psql -X -c 'select count(*) from generate_series(1, 1000000000000) a (a)' 2>&1 || true)
contains "cancel" "canceling statement due to user request" "$cancelled"
expect "after cancel" "1" "$(q 'select 1')"

unknown=$(psql -X -d nowhere -c 'select 1' 2>&1 || true)
contains "unknown database" 'database "nowhere" does not exist' "$unknown"
q "drop view cities"
q "drop table city"
