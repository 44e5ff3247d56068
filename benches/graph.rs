//! Graphs, embedded: building adjacency, algorithms, and the latencies of prepared queries, best of several runs.
//!
//! `graph EDGES.parquet VERTICES DIRECTORY` reads `(a, b)` into Arrow batches, loads them beside as many vertices into a new database and prints a
//! line of JSON for each figure. `graph.py` makes the file and asks networkit and igraph the same.

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use futures::TryStreamExt;
use lightning::{Database, Session, Value};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Runs each latency is the best of.
const RUNS: usize = 7;
/// Runs of queries that take less than some milliseconds.
const SHORT_RUNS: usize = 200;
/// Rows of a batch given to the appender.
const BATCH_ROWS: usize = 1 << 20;
/// Vertices of one statement of one-hop traversals.
const STARTS: usize = 1000;

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, edges, vertices, directory] = arguments.as_slice() else {
        return Err("usage: graph EDGES.parquet VERTICES DIRECTORY".into());
    };
    let (edges, vertices): (Vec<RecordBatch>, i64) = (read(edges)?, vertices.parse()?);
    let count: usize = edges.iter().map(RecordBatch::num_rows).sum();
    let database = Database::open(directory)?;
    let session = database.connect()?;
    session.execute("CREATE TABLE v (id bigint PRIMARY KEY); CREATE TABLE e (a bigint, b bigint)").await?;
    session.execute(&format!("INSERT INTO v SELECT i - 1 FROM generate_series(1, {vertices}) AS t(i)")).await?;
    let mut appender = database.appender("e")?;
    for batch in &edges {
        appender.push(batch.clone())?;
    }
    appender.finish()?;
    database.checkpoint()?;
    let create = "CREATE OR REPLACE PROPERTY GRAPH g VERTEX TABLES (v) \
                  EDGE TABLES (e KEY (a, b) SOURCE KEY (a) REFERENCES v (id) DESTINATION KEY (b) REFERENCES v (id))";
    session.execute(create).await?;

    // Whatever is first reads the tables.
    let first = "SELECT count(*) FROM graph_khop('g', 0, 0)";
    let mut build = f64::INFINITY;
    for run in 0..3 {
        if run > 0 {
            session.execute("DROP PROPERTY GRAPH g").await?;
            session.execute(create).await?;
        }
        build = build.min(once(&session, first).await?);
    }
    figure("build, ms", build);
    let bytes = number(&session, "SELECT bytes::float8 FROM lightning.graphs WHERE name = 'g'").await?;
    figure("memory, bytes an edge and direction", bytes / 2.0 / count as f64);

    let source = number(&session, "SELECT a::float8 FROM e GROUP BY a ORDER BY count(*) DESC, a LIMIT 1").await? as i64;
    let bfs = best(&session, &format!("SELECT count(*) FROM graph_bfs('g', {source})"), &[], RUNS).await?;
    figure("BFS, ms", bfs);
    figure("BFS, M edges/s", count as f64 / bfs / 1e3);
    for (name, sql) in [
        (
            "PageRank, ms",
            "SELECT sum(rank) FROM graph_pagerank('g', damping => 0.85, tolerance => 1e-6, max_iterations => 100)",
        ),
        ("WCC, ms", "SELECT count(DISTINCT component) FROM graph_wcc('g')"),
    ] {
        figure(name, best(&session, sql, &[], RUNS).await?);
    }
    // A vertex of about the mean degree, as most are not.
    let mean = "SELECT a::float8 FROM e GROUP BY a HAVING count(*) BETWEEN 9 AND 11 ORDER BY a LIMIT 1";
    let start = Value::from(number(&session, mean).await? as i64);
    for (name, sql) in [
        ("2-hop count, ms", "SELECT count(*) FROM graph_khop('g', $1::bigint, 2)"),
        ("3-hop distinct, ms", "SELECT count(*) FROM graph_khop('g', $1::bigint, 3)"),
        (
            "2-hop count by MATCH, ms",
            "SELECT count(*) FROM GRAPH_TABLE (g MATCH (x WHERE x.id = $1)-[k]->{2}(y) COLUMNS (y.id AS y))",
        ),
        ("shortest path between two, ms", "SELECT count(*) FROM graph_shortest_path('g', $1::bigint, target => 77777)"),
    ] {
        figure(name, best(&session, sql, std::slice::from_ref(&start), SHORT_RUNS).await?);
    }
    let starts: Vec<i64> = (0..STARTS as i64).map(|n| n * 1009 % vertices).collect();
    let list = Value::List(Value::new_list_nullable(
        &starts.iter().map(|start| Value::Int64(Some(*start))).collect::<Vec<_>>(),
        &DataType::Int64,
    ));
    let sql = "SELECT count(*) FROM graph_khop('g', $1::bigint[], 1)";
    let one_hop = best(&session, sql, &[list], SHORT_RUNS).await?;
    figure("one-hop traversals, M/s", STARTS as f64 / one_hop / 1e3);

    // One edge in a hundred is another one.
    let changed = count / 100;
    session.execute(&format!("DELETE FROM e WHERE b < {}", vertices as usize / 100)).await?;
    let mut appender = database.appender("e")?;
    for batch in &edges[..1] {
        appender.push(batch.slice(0, changed.min(batch.num_rows())))?;
    }
    appender.finish()?;
    let after = once(&session, first).await?;
    figure("next query after 1 % changed, ms", after);
    figure("the same, % of a build", 100.0 * after / build);
    Ok(())
}

fn figure(name: &str, value: f64) {
    println!("{{\"figure\": \"{name}\", \"value\": {value:.3}}}");
}

/// Reads a file of two columns of integers.
fn read(path: &str) -> Result<Vec<RecordBatch>, Error> {
    let file = std::fs::File::open(Path::new(path))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS).build()?;
    let fields = ["a", "b"].map(|name| Field::new(name, DataType::Int64, true));
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let mut batches = Vec::new();
    for batch in reader {
        let batch = batch?;
        let column =
            |column: usize| -> Arc<Int64Array> { Arc::new(batch.column(column).as_primitive::<Int64Type>().clone()) };
        batches.push(RecordBatch::try_new(schema.clone(), vec![column(0), column(1)])?);
    }
    Ok(batches)
}

/// The milliseconds of a query.
async fn once(session: &Session, sql: &str) -> Result<f64, Error> {
    let began = Instant::now();
    let rows: Vec<RecordBatch> = session.query(sql).await?.try_collect().await?;
    std::hint::black_box(rows.len());
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

/// The only number that a query gives.
async fn number(session: &Session, sql: &str) -> Result<f64, Error> {
    let rows: Vec<RecordBatch> = session.query(sql).await?.try_collect().await?;
    let rows = rows.iter().find(|batch| batch.num_rows() > 0).ok_or("a query without rows")?;
    Ok(rows.column(0).as_primitive::<Float64Type>().value(0))
}

/// The milliseconds of the fastest of several runs of a prepared query.
async fn best(session: &Session, sql: &str, parameters: &[Value], runs: usize) -> Result<f64, Error> {
    let prepared = session.prepare(sql).await?;
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let began = Instant::now();
        let rows: Vec<RecordBatch> = prepared.query(parameters).await?.try_collect().await?;
        std::hint::black_box(rows.len());
        best = best.min(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(best)
}
