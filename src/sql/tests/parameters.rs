//! Prepared statements.

use crate::harness::{Db, text};
use datafusion::common::ScalarValue;
use lightning_sql::types;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameter_types_are_inferred_from_columns() {
    let db = Db::new();
    db.ok("create table t (a int, b text); insert into t values (1, 'x'), (2, 'y')").await;
    let prepared = db.session.prepare("select b from t where a = $1", &[]).await.unwrap();
    assert_eq!(prepared.parameters(), [types::INT4]);
    assert_eq!(prepared.schema().unwrap().field(0).name(), "b");
    for (value, expected) in [(1, "x"), (2, "y"), (3, "")] {
        let outcome = db.session.run_prepared(&prepared, vec![ScalarValue::Int32(Some(value))]).await.unwrap();
        assert_eq!(text(outcome).await.unwrap(), expected);
    }
    let insert = db.session.prepare("insert into t values ($1, $2)", &[]).await.unwrap();
    assert_eq!(insert.parameters(), [types::INT4, types::TEXT]);
    let values = vec![ScalarValue::Int32(Some(3)), ScalarValue::Utf8View(Some("z".into()))];
    assert_eq!(text(db.session.run_prepared(&insert, values).await.unwrap()).await.unwrap(), "INSERT 0 1");
    let outcome = db.session.run_prepared(&prepared, vec![ScalarValue::Int32(Some(3))]).await.unwrap();
    assert_eq!(text(outcome).await.unwrap(), "z");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declared_types_win() {
    let db = Db::new();
    let prepared = db.session.prepare("select $1 + 1, $2", &[Some(types::INT8), Some(types::DATE)]).await.unwrap();
    assert_eq!(prepared.parameters(), [types::INT8, types::DATE]);
    let schema = prepared.schema().unwrap();
    assert_eq!(types::pg_type(schema.field(0)), types::INT8);
    assert_eq!(types::pg_type(schema.field(1)), types::DATE);
    let values = vec![ScalarValue::Int64(Some(41)), ScalarValue::Date32(Some(0))];
    assert_eq!(text(db.session.run_prepared(&prepared, values).await.unwrap()).await.unwrap(), "42|1970-01-01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_level_statements_execute() {
    let db = Db::new();
    db.ok("create table t (a int); insert into t values (1), (2)").await;
    assert_eq!(db.ok("prepare p (int) as select a * 10 from t where a = $1").await, "PREPARE");
    assert_eq!(db.ok("execute p (2)").await, "20");
    assert_eq!(db.state("execute p").await, "42601");
    assert_eq!(db.ok("deallocate p").await, "DEALLOCATE");
}

/// What a prepared query, planned and about one row, and one that changes rows answer after `change`.
async fn answers_after(change: &str) -> [Result<String, String>; 4] {
    let db = Db::new();
    db.ok("create table t (a int primary key, b int); insert into t values (1, 10)").await;
    let statements = ["select * from t", "select b from t where a = 1", "update t set b = b where a = 1 returning b"];
    let mut prepared = Vec::new();
    for sql in statements {
        prepared.push(db.session.prepare(sql, &[]).await.unwrap());
    }
    db.ok("prepare p as select b from t").await;
    db.ok(change).await;
    let mut answers = Vec::new();
    for prepared in &prepared {
        answers.push(match db.session.run_prepared(prepared, Vec::new()).await {
            Ok(outcome) => text(outcome).await,
            Err(e) => Err(e),
        });
    }
    answers.push(db.run("execute p").await);
    let answers: Vec<_> =
        answers.into_iter().map(|answer| answer.map_err(|e| format!("{} {}", e.state().0, e.message()))).collect();
    answers.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_a_client_was_told_stay_or_the_statement_fails() {
    let refused = || Err("0A000 cached plan must not change result type".to_owned());
    let ok = |text: &str| Ok(text.to_owned());
    let other = "drop table t; create table t (a int primary key, b text); insert into t values (1, 'x')";
    assert_eq!(answers_after(other).await, [refused(), refused(), refused(), refused()]);
    let same = "drop table t; create table t (a int primary key, b int); insert into t values (1, 20)";
    assert_eq!(answers_after(same).await, [ok("1|20"), ok("20"), ok("20"), ok("20")]);
    let without_key = "drop table t; create table t (a int, b int); insert into t values (1, 30)";
    assert_eq!(answers_after(without_key).await, [ok("1|30"), ok("30"), ok("30"), ok("30")]);
    let wider = "alter table t add column c int";
    assert_eq!(answers_after(wider).await, [refused(), ok("10"), ok("10"), ok("10")]);
    let hidden = "create schema s; create table s.t (a int primary key, b text); set search_path = s, public";
    assert_eq!(answers_after(hidden).await, [refused(), refused(), refused(), refused()]);
    let gone = || Err("42P01 relation \"t\" does not exist".to_owned());
    assert_eq!(answers_after("drop table t").await, [gone(), gone(), gone(), gone()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_looked_at_within_a_transaction_too() {
    let db = Db::new();
    db.ok("create table t (a int primary key); insert into t values (1)").await;
    let query = db.session.prepare("select a from t where a > 0", &[]).await.unwrap();
    db.ok("begin; drop table t; create table t (a text)").await;
    let refused = db.session.run_prepared(&query, Vec::new()).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.state().0, "42883");
    db.ok("rollback").await;
    assert_eq!(text(db.session.run_prepared(&query, Vec::new()).await.unwrap()).await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_series_takes_parameters() {
    let db = Db::new();
    let count = db.session.prepare("select g from generate_series(1, $1) g where g > $2", &[]).await.unwrap();
    assert_eq!(count.parameters(), [types::INT4, types::INT4]);
    assert_eq!(types::pg_type(count.schema().unwrap().field(0)), types::INT4);
    for (end, expected) in [(3, "2\n3"), (4, "2\n3\n4"), (-4, "")] {
        let values = vec![ScalarValue::Int32(Some(end)), ScalarValue::Int32(Some(1))];
        let outcome = db.session.run_prepared(&count, values).await.unwrap();
        assert_eq!(text(outcome).await.unwrap(), expected);
    }
    let none = vec![ScalarValue::Int32(None), ScalarValue::Int32(Some(1))];
    assert_eq!(text(db.session.run_prepared(&count, none).await.unwrap()).await.unwrap(), "");
    let wide = db.session.prepare("select * from generate_series($1::bigint, $2, 2)", &[]).await.unwrap();
    assert_eq!(wide.parameters(), [types::INT8, types::INT8]);
    let values = vec![ScalarValue::Int64(Some(-1)), ScalarValue::Int64(Some(1))];
    assert_eq!(text(db.session.run_prepared(&wide, values).await.unwrap()).await.unwrap(), "-1\n1");
    let times = "select * from generate_series($1, timestamptz '2024-05-07 02:00+00', $2)";
    let times = db.session.prepare(times, &[]).await.unwrap();
    assert_eq!(times.parameters(), [types::TIMESTAMPTZ, types::INTERVAL]);
    db.ok("create table t (a int); prepare p as insert into t select g from generate_series(1, $1) g").await;
    assert_eq!(db.ok("execute p (3)").await, "INSERT 0 3");
    assert_eq!(db.ok("execute p (2)").await, "INSERT 0 2");
}
