//! Time series, embedded: ingest, size, and the latencies of prepared queries, best of several runs.
//!
//! `time_series POINTS.parquet QUOTES.parquet DIRECTORY` reads `(ts timestamptz, series text, value double precision)` and
//! `(ts, series, bid)` into Arrow batches, loads the points into a new database and prints a line of JSON for each figure.
//! `time_series.py` makes the files and asks DuckDB the same.

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use futures::TryStreamExt;
use lightning::{Database, Session};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Runs each latency is the best of.
const RUNS: usize = 7;
/// Rows of a batch given to the appender.
const BATCH_ROWS: usize = 1 << 20;

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, points, quotes, directory] = arguments.as_slice() else {
        return Err("usage: time_series POINTS.parquet QUOTES.parquet DIRECTORY".into());
    };
    let (points, quotes) = (read(points)?, read(quotes)?);
    let rows: usize = points.iter().map(RecordBatch::num_rows).sum();

    let database = Database::open(directory)?;
    let session = database.connect()?;
    session
        .execute("CREATE TABLE m (ts timestamptz, series text, value double precision, PRIMARY KEY (series, ts))")
        .await?;
    session.execute("CREATE TABLE q (ts timestamptz, series text, bid double precision)").await?;

    let began = Instant::now();
    append(&database, "m", points)?;
    figure("ingest, M points/s", rows as f64 / began.elapsed().as_secs_f64() / 1e6);
    append(&database, "q", quotes)?;
    database.checkpoint()?;
    let bytes = session.query("SELECT bytes::float8 FROM lightning.tables WHERE name = 'm'").await?;
    let bytes: Vec<RecordBatch> = bytes.try_collect().await?;
    let bytes = arrow::array::AsArray::as_primitive::<arrow::datatypes::Float64Type>(bytes[0].column(0)).value(0);
    figure("size, MB", bytes / 1e6);

    for (name, sql) in [
        ("hourly buckets, ms", "SELECT time_bucket('1 hour', ts), series, avg(value) FROM m GROUP BY 1, 2"),
        ("last value per series, ms", "SELECT series, last(value, ts) FROM m GROUP BY series"),
        ("LATEST ON, ms", "SELECT * FROM m LATEST ON ts PARTITION BY series"),
        (
            "one series, one hour, ms",
            "SELECT ts, value FROM m WHERE series = 's42' AND ts >= '1970-01-01 10:00+00' AND ts < '1970-01-01 11:00+00'",
        ),
        ("ASOF join, ms", "SELECT count(*), sum(bid) FROM m ASOF JOIN q ON m.series = q.series AND m.ts >= q.ts"),
        (
            "hourly buckets of one series, gaps filled, ms",
            "SELECT ts, avg(value) FROM m WHERE series = 's42' SAMPLE BY 1h FILL(LINEAR)",
        ),
    ] {
        figure(name, best(&session, sql).await?);
    }
    Ok(())
}

fn figure(name: &str, value: f64) {
    println!("{{\"figure\": \"{name}\", \"value\": {value:.3}}}");
}

/// Reads a file with the columns in the types of the tables.
fn read(path: &str) -> Result<Vec<RecordBatch>, Error> {
    let file = std::fs::File::open(Path::new(path))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS).build()?;
    let types = [DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), DataType::Utf8View, DataType::Float64];
    let mut batches = Vec::new();
    for batch in reader {
        let batch = batch?;
        let columns = batch.columns().iter().zip(&types).map(|(column, to)| cast(column, to));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let fields: Vec<Field> = batch
            .schema()
            .fields()
            .iter()
            .zip(&types)
            .map(|(field, to)| Field::new(field.name(), to.clone(), true))
            .collect();
        batches.push(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?);
    }
    Ok(batches)
}

fn append(database: &Database, table: &str, batches: Vec<RecordBatch>) -> Result<(), Error> {
    let mut appender = database.appender(table)?;
    for batch in batches {
        appender.push(batch)?;
    }
    appender.finish()?;
    Ok(())
}

/// The milliseconds of the fastest of several runs of a prepared query.
async fn best(session: &Session, sql: &str) -> Result<f64, Error> {
    let prepared = session.prepare(sql).await?;
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let began = Instant::now();
        let rows: Vec<RecordBatch> = prepared.query(&[]).await?.try_collect().await?;
        std::hint::black_box(rows.len());
        best = best.min(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(best)
}
