//! Times loading points of many series, for profiling: `cargo run --release -p lightning-storage --example
//! ingest_profile -- DIRECTORY [rows] [repeats] [threads]`.
//!
//! Rows are (time, series, value): 100 series in turn, a second apart, values a random walk of two decimals. The key is (series, time), so
//! every block is sorted before it is encoded.

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use lightning_storage::{Engine, Options, TableDefinition};
use lightning_vfs::RealVfs;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

const SERIES: usize = 100;
const BATCH_ROWS: usize = 1 << 20;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("series", DataType::Utf8View, false),
        Field::new("value", DataType::Float64, false),
    ]))
}

fn batch(random: &mut fastrand::Rng, start: usize, rows: usize, level: &mut f64) -> RecordBatch {
    let names: Vec<String> = (0..SERIES).map(|series| format!("s{series}")).collect();
    let numbers = start..start + rows;
    let times = numbers.clone().map(|row| (row / SERIES) as i64 * 1_000_000);
    let mut step = || {
        // Twelve uniform numbers make a nearly normal one.
        *level += ((0..12).map(|_| random.f64()).sum::<f64>() - 6.0) * 0.1;
        (*level * 100.0).round() / 100.0
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(StringViewArray::from_iter_values(numbers.map(|row| &names[row % SERIES]))),
        Arc::new(Float64Array::from_iter_values((0..rows).map(|_| step()))),
    ];
    RecordBatch::try_new(schema(), columns).expect("columns fit the schema")
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory =
        PathBuf::from(arguments.next().ok_or("usage: ingest_profile DIRECTORY [rows] [repeats] [threads]")?);
    let mut next = |default: usize| arguments.next().map_or(Ok(default), |argument| argument.parse());
    let (rows, repeats, threads) = (next(10_000_000)?, next(5)?, next(2)?);
    let options = Options { memory_limit_bytes: 8 << 30, threads };
    let engine = Engine::open(Arc::new(RealVfs), &directory, options)?;
    let mut random = fastrand::Rng::with_seed(1);
    let mut level = 50.0;
    let starts = (0..rows).step_by(BATCH_ROWS);
    let batches: Vec<RecordBatch> =
        starts.map(|start| batch(&mut random, start, BATCH_ROWS.min(rows - start), &mut level)).collect();
    for _ in 0..repeats {
        let mut transaction = engine.begin();
        let table = transaction.create_table(TableDefinition::new(schema(), vec![1, 0]))?;
        transaction.commit()?;
        let mut transaction = engine.begin();
        let mut appender = transaction.appender(table)?;
        let began = Instant::now();
        for batch in &batches {
            appender.push(batch.clone())?;
        }
        appender.finish(&mut transaction)?;
        transaction.commit()?;
        let seconds = began.elapsed().as_secs_f64();
        println!("{:.1} ms, {:.1} M points/s", seconds * 1e3, rows as f64 / seconds / 1e6);
        let mut transaction = engine.begin();
        transaction.drop_table(table)?;
        transaction.commit()?;
    }
    Ok(())
}
