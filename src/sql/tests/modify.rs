//! Statements that change rows: parameters, savepoints, large statements, what must be refused.

use crate::harness::{Db, text};
use lightning_sql::ScalarValue;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_take_the_types_of_their_columns() {
    let db = Db::new();
    db.ok("create table t (id bigint primary key, v varchar(3), n numeric(6,2))").await;
    db.ok("insert into t values (1, 'a', 1)").await;
    let update = db.session.prepare("update t set v = $1, n = $2 where id = $3 returning v, n", &[]).await.unwrap();
    let oids: Vec<u32> = update.parameters().iter().map(|p| p.oid).collect();
    assert_eq!(oids, [1043, 1700, 20]);
    assert_eq!(update.schema().unwrap().fields().len(), 2);
    let values = vec![
        ScalarValue::Utf8(Some("b".into())),
        ScalarValue::Decimal128(Some(250), 6, 2),
        ScalarValue::Int64(Some(1)),
    ];
    let outcome = db.session.run_prepared(&update, values).await.unwrap();
    assert_eq!(text(outcome).await.unwrap(), "b|2.50");
    let upsert = "insert into t values ($1, $2) on conflict (id) do update set v = $3 returning id";
    let upsert = db.session.prepare(upsert, &[]).await.unwrap();
    let oids: Vec<u32> = upsert.parameters().iter().map(|p| p.oid).collect();
    assert_eq!(oids, [20, 1043, 1043]);
    let delete = db.session.prepare("delete from t where id = $1", &[]).await.unwrap();
    assert!(delete.schema().is_none());
    let outcome = db.session.run_prepared(&delete, vec![ScalarValue::Int64(Some(1))]).await.unwrap();
    assert_eq!(text(outcome).await.unwrap(), "DELETE 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_savepoints_nest() {
    let db = Db::new();
    db.ok("create table t (a int primary key)").await;
    db.ok("begin").await;
    let many = if std::env::var_os("LIGHTNING_LONG").is_some() { 10_000 } else { 500 };
    for i in 0..many {
        db.ok("savepoint s").await;
        if i % 100 == 0 {
            db.ok(&format!("insert into t values ({i})")).await;
        }
    }
    for _ in 0..many / 2 {
        db.ok("release s").await;
    }
    db.ok("rollback to s").await;
    db.ok("commit").await;
    let kept = (0..many / 2 - 1).filter(|i| i % 100 == 0).count();
    assert_eq!(db.ok("select count(*) from t").await, kept.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_statement_is_undone_with_its_savepoint() {
    let db = Db::new();
    db.ok("create table t (a int primary key, b int)").await;
    db.ok("begin; insert into t values (1, 1); savepoint s").await;
    assert_eq!(db.state("update t set b = 1 / 0").await, "22012");
    assert_eq!(db.state("select 1").await, "25P02");
    db.ok("rollback to s").await;
    assert_eq!(db.ok("update t set b = 2 returning a, b").await, "1|2");
    assert_eq!(db.state("nonsense").await, "42601");
    db.ok("rollback to s; create table u (x int); rollback to s").await;
    assert_eq!(db.state("select * from u").await, "42P01");
    db.ok("rollback to s; set local timezone = 'Europe/Berlin'; rollback to s").await;
    assert_eq!(db.ok("show timezone").await, "UTC");
    db.ok("commit").await;
    assert_eq!(db.ok("select * from t").await, "1|1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_loads_are_checked_in_any_order() {
    let db = Db::new();
    db.ok("create table t (a bigint primary key)").await;
    assert_eq!(db.ok("insert into t select * from generate_series(1, 40000)").await, "INSERT 0 40000");
    assert_eq!(db.state("insert into t select a from generate_series(80000, 40000, -1) g (a)").await, "23505");
    let shuffled = "insert into t select (a * 7919) % 30011 + 50000 from generate_series(1, 30000) g (a)";
    assert_eq!(db.ok(shuffled).await, "INSERT 0 30000");
    let twice = "insert into t select 100000 + a % 20000 from generate_series(1, 40000) g (a)";
    assert_eq!(db.state(twice).await, "23505");
    assert_eq!(db.ok("select count(*) from t").await, "70000");
    assert_eq!(db.ok("update t set a = -a").await, "UPDATE 70000");
    assert_eq!(db.ok("select count(*), max(a) from t").await, "70000|-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_names_the_table_that_changes() {
    let db = Db::new();
    db.ok("create table t (a int primary key, b int)").await;
    assert!(db.ok("explain update t set b = 1 where a = 2").await.starts_with("Update on t\n"));
    assert!(db.ok("explain delete from t as x").await.starts_with("Delete on t x\n"));
    let merge = "explain merge into t using t as s on t.a = s.a when matched then delete";
    assert!(db.ok(merge).await.starts_with("Merge on t\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_cannot_be_are_refused_and_nothing_is_lost() {
    let db = Db::new();
    db.ok("create table t (k text primary key, u text unique, n int)").await;
    db.ok("insert into t values ('a', 'b', 1)").await;
    for sql in [
        "insert into t values (repeat('x', 1000000), 'c', 2)",
        "insert into t values ('c', repeat('x', 1000000), 2)",
        "insert into t select repeat('x', 1000000), 'c', 2",
        "update t set k = repeat('x', 1000000)",
        "update t set u = repeat('x', 1000000)",
        "insert into t values ('a', 'c', 2) on conflict (k) do update set u = repeat('x', 1000000)",
    ] {
        assert_eq!(db.state(sql).await, "54000", "{sql}");
    }
    let long = "x".repeat(1_000_000);
    assert_eq!(db.state(&format!("insert into t values ('{long}', 'c', 2)")).await, "54000");
    // What cannot be there is not found.
    assert_eq!(db.ok(&format!("select n from t where k = '{long}'")).await, "");
    assert_eq!(db.ok(&format!("select n from t where u = '{long}'")).await, "");
    assert_eq!(db.ok(&format!("update t set n = 5 where k = '{long}'")).await, "UPDATE 0");
    assert_eq!(db.state("insert into t values (null, 'c', 2)").await, "23502");
    assert_eq!(db.state("update t set k = null").await, "23502");
    assert_eq!(db.state("insert into t values ('c', 'c', 2), ('c', 'd', 3)").await, "23505");
    assert_eq!(db.state("insert into t values ('c', 'c', 2), ('d', 'c', 3)").await, "23505");
    assert_eq!(db.ok("select * from t").await, "a|b|1");
    // The key itself may change.
    assert_eq!(db.ok("update t set k = 'z' || k, u = null where k = 'a'").await, "UPDATE 1");
    assert_eq!(db.ok("select * from t where k = 'za'").await, "za|NULL|1");
    assert_eq!(db.ok("select count(*) from t where k = 'a'").await, "0");
    assert_eq!(db.ok("insert into t values ('a', 'b', 2)").await, "INSERT 0 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_that_follow_each_other_are_checked_against_what_is_there() {
    let db = Db::new();
    db.ok("create table t (a int, b int, u int unique, primary key (a, b))").await;
    let load =
        |from: i32, to: i32| format!("insert into t select g / 2, g % 2, g from generate_series({from}, {to}) g (g)");
    db.ok(&load(2, 40_001)).await;
    db.ok("checkpoint").await;
    // Behind, before, and between the rows that are there.
    db.ok(&load(40_002, 80_001)).await;
    db.ok(&load(-40_000, -2)).await;
    db.ok("delete from t where a between 5000 and 14999").await;
    db.ok(&load(10_000, 29_999)).await;
    assert_eq!(db.ok("select count(*), count(distinct u) from t").await, "119999|119999");
    // With one key that is there.
    for sql in [load(80_001, 120_000), load(-80_000, -40_000), load(29_999, 30_000)] {
        assert_eq!(db.state(&sql).await, "23505", "{sql}");
    }
    let other_key = "insert into t select 1000000 + g, 0, g from generate_series(80001, 120000) g (g)";
    assert_eq!(db.state(other_key).await, "23505");
    assert_eq!(db.ok("select count(*) from t").await, "119999");
}
