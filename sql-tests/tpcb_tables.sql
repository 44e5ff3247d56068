-- pgbench's tables, for tpcb.sh and benches/pgbench.sh.
create table pgbench_branches (bid int primary key, bbalance int not null, filler char(88));
create table pgbench_tellers (tid int primary key, bid int not null, tbalance int not null, filler char(84));
create table pgbench_accounts (aid int primary key, bid int not null, abalance int not null, filler char(84));
create table pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
