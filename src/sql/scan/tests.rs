//! Queries over a real engine in memory: the scan must give what a plain evaluation over all rows gives.

use super::LightningTable;
use crate::optimizer;
use crate::optimizer::testing::rows;
use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::MemTable;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use lightning_storage::{Engine, Options, TableDefinition};
use lightning_vfs::MemoryVfs;
use std::path::Path;
use std::sync::Arc;

const ROWS: i32 = 200_000;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int32, false),
        Field::new("g", DataType::Int32, true),
        Field::new("d", DataType::Date32, false),
        Field::new("p", DataType::Decimal128(15, 2), true),
        Field::new("s", DataType::Utf8View, true),
    ]))
}

fn batches() -> Vec<RecordBatch> {
    (0..ROWS).step_by(8000).map(|start| batch(start, (start + 8000).min(ROWS))).collect()
}

fn batch(start: i32, end: i32) -> RecordBatch {
    let rows = || start..end;
    let names = ["apple", "apricot", "banana", "cherry", "date"];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(rows().map(|i| i * 3))),
        Arc::new(Int32Array::from_iter(rows().map(|i| (i % 11 != 0).then_some(i % 97)))),
        Arc::new(Date32Array::from_iter_values(rows().map(|i| 9000 + (i.wrapping_mul(7919)).rem_euclid(2500)))),
        Arc::new(
            Decimal128Array::from_iter(rows().map(|i| (i % 13 != 0).then_some(i128::from(i % 5000))))
                .with_precision_and_scale(15, 2)
                .unwrap(),
        ),
        Arc::new(StringViewArray::from_iter(rows().map(|i| (i % 17 != 0).then(|| names[i as usize % 5])))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// The same rows as `t` in our engine and as `m` in plain memory, planned by our rules and by DataFusion's.
fn contexts() -> (SessionContext, SessionContext) {
    let options = Options { memory_limit_bytes: 256 << 20, threads: 2 };
    let engine = Engine::open(Arc::new(MemoryVfs::new()), Path::new("/db"), options).unwrap();
    let mut transaction = engine.begin();
    let table = transaction.create_table(TableDefinition::new(schema(), vec![0])).unwrap();
    let mut appender = transaction.appender(table).unwrap();
    for batch in batches() {
        appender.push(batch).unwrap();
    }
    appender.finish(&mut transaction).unwrap();
    transaction.commit().unwrap();
    let builder = SessionStateBuilder::new().with_config(optimizer::session_config(2, 1 << 30)).with_default_features();
    let ours = SessionContext::new_with_state(optimizer::install(builder, &[]).build());
    ours.register_table("t", Arc::new(LightningTable::new(engine.snapshot(), table, "t", schema()))).unwrap();
    let config = optimizer::session_config(1, 1 << 30);
    let plain = SessionContext::new_with_config(config);
    plain.register_table("t", Arc::new(MemTable::try_new(schema(), vec![batches()]).unwrap())).unwrap();
    (ours, plain)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_condition_selects_the_right_rows() {
    let (ours, plain) = contexts();
    for condition in [
        "k < 1000",
        "k >= 599000 OR k = 3",
        "k IN (3, 6, 7, 9)",
        "g IS NULL AND k < 9000",
        "g IS NOT NULL AND g > 95",
        "d BETWEEN DATE '1995-01-01' AND DATE '1995-01-31' AND p < 24",
        "d >= DATE '1994-01-01' AND d < DATE '1995-01-01' AND p BETWEEN 0.05 AND 0.07",
        "s = 'apple' AND k < 3000",
        "s LIKE 'ap%' AND g = 4",
        "s NOT LIKE 'ap%' AND g = 4",
        "s LIKE '%err%' AND g = 4",
        "s IN ('banana', 'date') AND g = 5",
        "g < p AND g = 90",
        "extract(year FROM d) = 1996 AND g = 4",
        "k < 0",
        "g = 1 OR s = 'cherry' AND p > 49.5",
        "p > (SELECT avg(p) FROM t) AND k < 600",
        "NOT (g = 4 OR g = 5) AND k < 300",
        "g <> 4 AND k < 300",
        "coalesce(g, -1) = -1 AND k < 900",
    ] {
        let sql = format!("SELECT k, g, d, p, s FROM t WHERE {condition}");
        assert_eq!(rows(&ours, &sql).await, rows(&plain, &sql).await, "{condition}");
        let sql = format!("SELECT count(*), sum(p), min(s), max(d) FROM t WHERE {condition}");
        assert_eq!(rows(&ours, &sql).await, rows(&plain, &sql).await, "{condition}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_limits_and_aggregates_agree() {
    let (ours, plain) = contexts();
    for sql in [
        "SELECT count(*), min(k), max(k), max(d), count(g) FROM t",
        "SELECT a.k, b.g FROM t a JOIN t b ON a.k = b.k WHERE a.d < DATE '1994-10-01'",
        "SELECT count(*) FROM t a JOIN t b ON a.k = b.k AND a.g = b.g WHERE a.s = 'date' AND b.p > 1",
        "SELECT a.k FROM t a WHERE a.k IN (SELECT k / 2 FROM t WHERE g = 7)",
        "SELECT count(*) FROM t a WHERE NOT EXISTS (SELECT 1 FROM t b WHERE b.k = a.k + 3 AND b.g > 50)",
        "SELECT k, d FROM t ORDER BY d DESC, k LIMIT 20",
        "SELECT k FROM t ORDER BY k LIMIT 5 OFFSET 70000",
        "SELECT k, sum(p), count(*) FROM t WHERE k < 3000 GROUP BY k",
        "SELECT g, s, count(*), sum(p) FROM t GROUP BY g, s",
        "SELECT count(*) FROM (SELECT k FROM t LIMIT 1234)",
        "SELECT a.g, count(*) FROM t a LEFT JOIN t b ON a.k = b.k + 1 GROUP BY a.g",
        "SELECT g FROM t EXCEPT SELECT k FROM t",
        "SELECT x.k FROM t x, t y WHERE x.g = y.g AND y.k < 30 AND x.k < 300",
    ] {
        assert_eq!(rows(&ours, sql).await, rows(&plain, sql).await, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_conditions_reach_the_user() {
    let (ours, _) = contexts();
    let sql = "SELECT k FROM t WHERE 10 / (k - 3) > 1";
    let error = ours.sql(sql).await.unwrap().collect().await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("divide by zero"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_say_what_the_scan_does() {
    let (ours, _) = contexts();
    let plan = async |sql: &str| {
        let batches = ours.sql(sql).await.unwrap().collect().await.unwrap();
        pretty_format_batches(&batches).unwrap().to_string()
    };
    let text = plan("EXPLAIN ANALYZE SELECT count(*) FROM t WHERE k < 1000 AND s LIKE '%an%'").await;
    for word in ["encoded_filters=[k@0 < 1000]", "row_filters=[s@4 LIKE %an%]", "zones_pruned=", "values_decoded="] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(!text.contains("FilterExec"), "{text}");
    let text = plan("EXPLAIN SELECT count(*), max(k) FROM t").await;
    assert!(!text.contains("table=t"), "answered from statistics: {text}");
}
