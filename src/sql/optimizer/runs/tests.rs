//! Aggregations by runs give what DataFusion's do, on blocks that overlap, rows in memory and NULLs.

use crate::optimizer;
use crate::optimizer::testing::rows;
use crate::scan::LightningTable;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::MemTable;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use lightning_storage::{Engine, Options, TableDefinition};
use lightning_vfs::MemoryVfs;
use std::path::Path;
use std::sync::Arc;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("at", DataType::Int64, false),
        Field::new("series", DataType::Utf8View, false),
        Field::new("value", DataType::Float64, true),
        Field::new("note", DataType::Utf8View, true),
    ]))
}

/// Rows of seven series in turn.
fn batch(start: i64, end: i64) -> RecordBatch {
    let rows = || start..end;
    let names = ["a", "b", "c", "a series of a long name", "another series of a long name", "", "ü"];
    let value = |row: i64| match row % 23 {
        0 => None,
        _ => Some((row * 31 % 1000) as f64 / 4.0),
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows().map(|row| row / 7 - 3000))),
        Arc::new(StringViewArray::from_iter_values(rows().map(|row| names[row as usize % 7]))),
        Arc::new(Float64Array::from_iter(rows().map(value))),
        Arc::new(StringViewArray::from_iter(rows().map(|row| (row % 5 > 0).then(|| format!("note {}", row % 3))))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// The same rows in our engine, `stored` of them in segments, and in plain memory.
fn contexts(stored: i64, all: i64) -> (SessionContext, SessionContext) {
    let options = Options { memory_limit_bytes: 256 << 20, threads: 2 };
    let engine = Engine::open(Arc::new(MemoryVfs::new()), Path::new("/db"), options).unwrap();
    let mut transaction = engine.begin();
    let table = transaction.create_table(TableDefinition::new(schema(), vec![1, 0])).unwrap();
    transaction.commit().unwrap();
    for (start, end) in [(0, stored / 3), (stored / 3, stored), (stored, all)] {
        let mut transaction = engine.begin();
        let mut appender = transaction.appender(table).unwrap();
        appender.push(batch(start, end)).unwrap();
        appender.finish(&mut transaction).unwrap();
        transaction.commit().unwrap();
        if end <= stored {
            engine.checkpoint().unwrap();
        }
    }
    let builder = SessionStateBuilder::new().with_config(optimizer::session_config(2, 1 << 30)).with_default_features();
    let ours = SessionContext::new_with_state(optimizer::install(builder, &[]).build());
    ours.register_table("t", Arc::new(LightningTable::new(engine.snapshot(), table, "t", schema()))).unwrap();
    let plain = SessionContext::new_with_config(optimizer::session_config(1, 1 << 30));
    plain.register_table("t", Arc::new(MemTable::try_new(schema(), vec![vec![batch(0, all)]]).unwrap())).unwrap();
    (ours, plain)
}

async fn goes_by_runs(context: &SessionContext, sql: &str) -> bool {
    rows(context, &format!("EXPLAIN {sql}")).await.iter().any(|line| line.contains("RunAggregateExec"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_the_first_columns_of_the_key_go_by_runs() {
    for (stored, all) in [(60_000, 60_001), (60_000, 70_000), (9_000, 90_000)] {
        let (ours, plain) = contexts(stored, all);
        for sql in [
            "SELECT series, count(*), sum(value), min(value), max(note) FROM t GROUP BY series",
            "SELECT series, at / 500, avg(value), count(value) FROM t GROUP BY 1, 2",
            "SELECT at / 500 AS b, series, avg(value) FROM t GROUP BY series, b ORDER BY series, b",
            "SELECT series, at / 500, count(*) FILTER (WHERE value > 100) FROM t WHERE at > -100 GROUP BY 1, 2",
            "SELECT series, max(at) FROM t WHERE value < 20 GROUP BY series HAVING count(*) > 10",
            "SELECT count(*), max(n) FROM (SELECT series, at / 100, count(*) AS n FROM t GROUP BY 1, 2)",
            "SELECT series, at, value FROM t WHERE at < -2900 GROUP BY series, at, value",
            "SELECT series, count(*) FROM t WHERE at > 1000000 GROUP BY series",
        ] {
            assert_eq!(rows(&ours, sql).await, rows(&plain, sql).await, "{sql}");
        }
        for sql in [
            "SELECT series, sum(value) FROM t GROUP BY series",
            "SELECT series, at / 500, avg(value) FROM t GROUP BY 1, 2",
            "SELECT at / 500, series, avg(value) FROM t WHERE value > 2 GROUP BY 2, 1",
        ] {
            assert!(goes_by_runs(&ours, sql).await, "{sql}");
        }
        for sql in [
            "SELECT at / 500, sum(value) FROM t GROUP BY 1",
            "SELECT note, series, sum(value) FROM t GROUP BY 1, 2",
            "SELECT series || 'x', sum(value) FROM t GROUP BY 1",
            "SELECT series, count(DISTINCT value) FROM t GROUP BY series",
            "SELECT series, array_agg(value ORDER BY value) FROM t GROUP BY series",
            "SELECT sum(value) FROM t",
        ] {
            assert_eq!(rows(&ours, sql).await, rows(&plain, sql).await, "{sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_runs_are_left_to_the_hash_table() {
    let (ours, _) = contexts(60_000, 60_000);
    assert!(!goes_by_runs(&ours, "SELECT series, at, sum(value) FROM t GROUP BY series, at").await);
}
