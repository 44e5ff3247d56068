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
