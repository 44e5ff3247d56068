//! Errors: their SQLSTATEs, messages, positions.

use crate::harness::Db;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_the_states_of_postgresql() {
    let db = Db::new();
    db.ok("create table t (a int, b text, d date, n numeric(4,2), s smallint); insert into t values (1, 'x', '2024-01-31', 1.5, 7)").await;
    for (sql, state) in [
        ("select nix from t", "42703"),
        ("select * from nix", "42P01"),
        ("select * from nix.t", "42P01"),
        ("selec 1", "42601"),
        ("select 'x", "42601"),
        ("select a, count(*) from t", "42803"),
        ("select a from t, t as u", "42702"),
        ("select 1/0", "22012"),
        ("select a / 0 from t", "22012"),
        ("select 1.0 / 0", "22012"),
        ("select a::float8 / 0 from t", "22012"),
        ("select 2147483647 + a from t", "22003"),
        ("select 2147483647 + 1", "22003"),
        ("select 9223372036854775807 * 2", "22003"),
        ("select 40000::smallint", "22003"),
        ("select 'abc'::int", "22P02"),
        ("select b::int from t", "22P02"),
        ("select 'abc'::date", "22007"),
        ("select '2024-02-30'::date", "22008"),
        ("select a = b from t", "42883"),
        ("select nosuchfunction(1)", "42883"),
        ("select true::date", "42846"),
        ("insert into t (a) values ('x')", "22P02"),
        ("insert into t (n) values (100)", "22003"),
        ("insert into t (s) values (40000)", "22003"),
        ("insert into t (a, a) values (1, 2)", "42701"),
        ("insert into t (nix) values (1)", "42703"),
        ("insert into t values (1, 'b', '2024-01-01', 1, 1, 1)", "42601"),
        ("insert into t (a) select b from t", "42804"),
        ("create table t (a int)", "42P07"),
        ("create table u (a int, a int)", "42701"),
        ("create table u (a nosuchtype)", "42704"),
        ("create table u (a int check (a > 0))", "0A000"),
        ("create table u (a int references t)", "0A000"),
        ("create table u (a serial)", "0A000"),
        ("drop table nix", "42P01"),
        ("drop view t", "42809"),
        ("drop schema nix", "3F000"),
        ("create table nix.t (a int)", "3F000"),
        ("select * from t tablesample system (10)", "0A000"),
        ("alter table t drop column b", "0A000"),
        ("create index on t (lower(b))", "0A000"),
        ("grant select on t to public", "0A000"),
        ("set nosuchsetting = 1", "42704"),
        ("show nosuchsetting", "42704"),
        ("select $1", "42P02"),
        ("copy t from '/nonexistent/file'", "58P01"),
        ("select * from t where a", "42804"),
        ("execute nix", "26000"),
    ] {
        assert_eq!(db.state(sql).await, state, "{sql}");
    }
    assert_eq!(db.ok("select count(*) from t").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_names_are_placed_and_guessed() {
    let db = Db::new();
    db.ok("create table customers (customer_name text)").await;
    let e = db.run("select custmer_name from customers").await.unwrap_err();
    assert_eq!(e.message(), "column \"custmer_name\" does not exist");
    assert_eq!(e.0.position, Some(8));
    assert!(e.0.hint.as_deref().unwrap_or_default().contains("customer_name"), "{:?}", e.0.hint);
    let e = db.run("select *\n  from custmers").await.unwrap_err();
    assert_eq!((e.message(), e.0.position), ("relation \"custmers\" does not exist", Some(17)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_null_names_the_row() {
    let db = Db::new();
    db.ok("create table t (a int not null, b text)").await;
    let e = db.run("insert into t values (1, 'x'), (null, 'y')").await.unwrap_err();
    assert_eq!(e.state().0, "23502");
    assert_eq!(e.message(), "null value in column \"a\" of relation \"t\" violates not-null constraint");
    assert_eq!(e.0.detail.as_deref(), Some("Failing row contains (null, y)."));
    assert_eq!(db.ok("select count(*) from t").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deep_statements_are_refused_and_long_ones_run() {
    let db = Db::new();
    let deep = format!("select {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(db.state(&deep).await, "54001");
    let subqueries = format!("select * from {}(select 1) a{}", "(select * from ".repeat(10_000), ") a".repeat(10_000));
    assert_eq!(db.state(&subqueries).await, "54001");
    let long = format!("select 1 where {}1 = 1", "1 = 2 or ".repeat(2_000));
    assert_eq!(db.ok(&long).await, "1");
    let sum = format!("select 1{}", " + 1".repeat(100));
    assert_eq!(db.ok(&sum).await, "101");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_guard_what_they_read() {
    let db = Db::new();
    db.ok("create table t (a int); create view v as select a from t; create view w as select * from v").await;
    let e = db.run("drop table t").await.unwrap_err();
    assert_eq!(e.state().0, "2BP01");
    assert_eq!(e.0.detail.as_deref(), Some("view v depends on table t\nview w depends on view v"));
    assert_eq!(db.state("create or replace view v as select a from w").await, "42P17");
    db.ok("drop table t cascade").await;
    assert_eq!(db.state("select * from w").await, "42P01");
}
