//! Time series, embedded: ingest, size, and the latencies of prepared queries, best of several runs.
//!
//! `time_series POINTS.parquet QUOTES.parquet DIRECTORY` reads `(ts timestamptz, series text, value double precision)` and
//! `(ts, series, bid)` into Arrow batches, loads the points into a new database and prints a line of JSON for each figure.
//! `time_series.py` makes the files and asks DuckDB and ClickHouse the same.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, TimeUnit, TimestampMicrosecondType};
use futures::TryStreamExt;
use lightning::{Database, Session, Value};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Runs each latency is the best of.
const RUNS: usize = 7;
/// Loads that ingest is the best of.
const LOADS: usize = 3;
/// Rows of an INSERT.
const INSERT_ROWS: usize = 1000;
/// Most INSERTs.
const INSERTS_MAX: usize = 1000;
/// Sessions that INSERT at the same time.
const SESSIONS: usize = 4;
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
    let mut ingest = f64::INFINITY;
    let mut drop = f64::INFINITY;
    for run in 1..=LOADS {
        session.execute(&table("m")).await?;
        let began = Instant::now();
        append(&database, "m", &points)?;
        ingest = ingest.min(began.elapsed().as_secs_f64());
        if run < LOADS {
            drop = drop.min(drop_first_day(&session).await?);
            session.execute("DROP TABLE m").await?;
        }
    }
    figure("ingest, M points/s", rows as f64 / ingest / 1e6);
    session.execute("CREATE TABLE q (ts timestamptz, series text, bid double precision)").await?;
    append(&database, "q", &quotes)?;
    database.checkpoint()?;
    let bytes = session.query("SELECT bytes::float8 FROM lightning.tables WHERE name = 'm'").await?;
    let bytes: Vec<RecordBatch> = bytes.try_collect().await?;
    let bytes = bytes[0].column(0).as_primitive::<Float64Type>().value(0);
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
    figure("dropping a day, ms", drop.min(drop_first_day(&session).await?));
    session.execute("DROP TABLE m").await?;

    session.execute(&table("m")).await?;
    let inserted = insert_in_batches(&database, &points).await?;
    figure("INSERT in batches of 1,000, k points/s", inserted / 1e3);
    Ok(())
}

/// The table of points, as one is made for metrics.
fn table(name: &str) -> String {
    format!(
        "CREATE TABLE {name} (ts timestamptz, series text, value double precision, PRIMARY KEY (series, ts)) \
         WITH (time_column = 'ts', partition_by = '1 day')"
    )
}

/// The milliseconds in which the points of the first day go.
async fn drop_first_day(session: &Session) -> Result<f64, Error> {
    let delete =
        session.prepare("DELETE FROM m WHERE ts >= '1970-01-01 00:00+00' AND ts < '1970-01-02 00:00+00'").await?;
    let began = Instant::now();
    let rows = delete.execute(&[]).await?;
    let elapsed = began.elapsed().as_secs_f64() * 1e3;
    if rows == 0 {
        return Err("there was nothing to drop".into());
    }
    Ok(elapsed)
}

/// Points a second by a prepared INSERT of a thousand rows, each a transaction of its own, in as many sessions as there are in [`SESSIONS`].
async fn insert_in_batches(database: &Database, points: &[RecordBatch]) -> Result<f64, Error> {
    let values: Vec<String> =
        (0..INSERT_ROWS).map(|row| format!("(${}, ${}, ${})", 3 * row + 1, 3 * row + 2, 3 * row + 3)).collect();
    let sql = format!("INSERT INTO m VALUES {}", values.join(", "));
    let batch = &points[0];
    let statements = (batch.num_rows() / INSERT_ROWS).min(INSERTS_MAX);
    let (times, series) =
        (batch.column(0).as_primitive::<TimestampMicrosecondType>(), batch.column(1).as_string_view());
    let values = batch.column(2).as_primitive::<Float64Type>();
    let parameters = |row: usize| -> [Value; 3] {
        [
            Value::TimestampMicrosecond(Some(times.value(row)), Some("UTC".into())),
            Value::from(series.value(row)),
            Value::from(values.value(row)),
        ]
    };
    let mut tasks = Vec::new();
    let began = Instant::now();
    for first in 0..SESSIONS {
        let rows = (first..statements).step_by(SESSIONS).map(|number| number * INSERT_ROWS..(number + 1) * INSERT_ROWS);
        let batches: Vec<Vec<Value>> = rows.map(|rows| rows.flat_map(parameters).collect()).collect();
        let (session, sql) = (database.connect()?, sql.clone());
        tasks.push(tokio::spawn(async move {
            let insert = session.prepare(&sql).await?;
            for parameters in &batches {
                insert.execute(parameters).await?;
            }
            Ok::<_, lightning::Error>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok((statements * INSERT_ROWS) as f64 / began.elapsed().as_secs_f64())
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

fn append(database: &Database, table: &str, batches: &[RecordBatch]) -> Result<(), Error> {
    let mut appender = database.appender(table)?;
    for batch in batches {
        appender.push(batch.clone())?;
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
