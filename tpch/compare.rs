//! `tpch compare`: Lightning and DuckDB on the same data, query by query in turn.
//!
//! Both get the machine to themselves while it is their turn, both use the same number of threads, and each query's best
//! time of all runs counts. Loading is compared too: ours from generated rows to the last synced commit, DuckDB's from
//! Parquet files of the same rows to the end of its checkpoint.

use crate::change::change;
use crate::data::{TABLES, Table};
use crate::duckdb::{DuckDb, DuckDbLoad, default_environment};
use crate::load::{is_loaded, load};
use crate::measure::{Measured, run_once, to_text};
use crate::run::{Directory, open, streams};
use crate::{CommonArguments, CompareArguments, Failure, answers, queries, report};
use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use lightning::Database;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// One query in both.
struct Pair {
    ours: Measured,
    theirs: Duration,
}

/// The command. `false` when an answer was wrong.
pub(crate) fn compare(arguments: &CompareArguments) -> Result<bool, Failure> {
    let common = &arguments.common;
    let environment = arguments.environment.clone().unwrap_or_else(default_environment);
    let mut duckdb = DuckDb::start(&arguments.python, &environment)?;
    let directory = Directory::new(common)?;
    let database = open(common, directory.path())?;
    let our_load = if is_loaded(&database)? { None } else { Some(load(&database, common.scale, streams(common))?) };
    database.checkpoint()?;
    let our_bytes = directory_bytes(directory.path())?;
    if common.changed {
        let (rows, time) = change(&database)?;
        println!("changed {rows} rows in {:.2} s", time.as_secs_f64());
    }
    let peer_directory = tempfile::Builder::new().prefix("lightning-tpch-duckdb-").tempdir()?;
    let their_load = load_duckdb(&database, &mut duckdb, common, peer_directory.path())?;
    println!(
        "Lightning {} and DuckDB {}, scale factor {}",
        env!("CARGO_PKG_VERSION"),
        their_load.version,
        common.scale
    );
    let pairs = run_in_turn(&database, &mut duckdb, common)?;
    print(&pairs);
    print_load(our_load.map(|load| load.time), our_bytes, &their_load);
    if let Some(path) = &common.json {
        let loads = json!({
            "lightning": { "seconds": our_load.map(|load| load.time.as_secs_f64()), "bytes": our_bytes },
            "duckdb": { "seconds": their_load.time.as_secs_f64(), "bytes": their_load.bytes, "version": their_load.version },
        });
        report::write_json(path, &to_json(common.scale, &pairs, loads))?;
    }
    Ok(pairs.iter().all(|pair| pair.ours.right != Some(false)))
}

/// Every query `runs` times in each, alternating.
fn run_in_turn(database: &Database, duckdb: &mut DuckDb, common: &CommonArguments) -> Result<Vec<Pair>, Failure> {
    let session = database.connect()?;
    let mut pairs = Vec::new();
    for query in queries::chosen(&common.queries) {
        let text = queries::text(query, common.scale);
        let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
        let mut outcome = (0, None);
        for run in 0..common.runs {
            let (our_time, batches) = run_once(&session, &text).map_err(|e| format!("query {query}: {e}"))?;
            let (their_time, their_rows) = duckdb.query(&text, run == 0)?;
            (ours, theirs) = (ours.min(our_time), theirs.min(their_time));
            if run == 0 {
                let our_rows = to_text(&batches)?;
                let agreed = answers::check(&their_rows, &our_rows, answers::EXACT);
                if let Err(difference) = &agreed {
                    eprintln!("query {query} differs from DuckDB: {difference}");
                }
                outcome = (our_rows.len(), Some(agreed.is_ok()));
            }
        }
        let (rows, right) = outcome;
        pairs.push(Pair { ours: Measured { query, time: ours, rows, right }, theirs });
    }
    Ok(pairs)
}

/// Writes Parquet files with the column types of our tables and lets DuckDB load them.
fn load_duckdb(
    database: &Database,
    duckdb: &mut DuckDb,
    common: &CommonArguments,
    directory: &Path,
) -> Result<DuckDbLoad, Failure> {
    let parquet = directory.join("parquet");
    for table in TABLES {
        write_parquet(database, table, common.scale, &parquet.join(table.name()))?;
    }
    let loaded = duckdb.load(&parquet, &directory.join("tpch.duckdb"), streams(common))?;
    std::fs::remove_dir_all(&parquet)?;
    Ok(loaded)
}

fn write_parquet(database: &Database, table: Table, scale: f64, directory: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(directory)?;
    let schema = database.appender(table.name())?.schema();
    let parts = table.parts(scale, 1);
    for part in 1..=parts {
        let file = std::fs::File::create(directory.join(format!("{part:05}.parquet")))?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?;
        for batch in table.generate(scale, part, parts) {
            writer.write(&cast_batch(&batch?, &schema)?)?;
        }
        writer.close()?;
    }
    Ok(())
}

fn cast_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Failure> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<Vec<_>, _>>()?)?)
}

fn print(pairs: &[Pair]) {
    let mut table = report::table(&["query", "Lightning ms", "DuckDB ms", "ratio", "answer"]);
    let mut add = |name: String, ours: Duration, theirs: Duration, answer: &str| {
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64().max(1e-9);
        let ms = |time| format!("{:.1}", report::ms(time));
        table.add_row([name, ms(ours), ms(theirs), format!("{ratio:.2}"), answer.to_string()]);
    };
    for pair in pairs {
        add(pair.ours.query.to_string(), pair.ours.time, pair.theirs, report::verdict(pair.ours.right));
    }
    let (ours, theirs) = totals(pairs);
    add("all".to_string(), ours, theirs, "");
    println!("{table}");
}

fn totals(pairs: &[Pair]) -> (Duration, Duration) {
    (pairs.iter().map(|pair| pair.ours.time).sum(), pairs.iter().map(|pair| pair.theirs).sum())
}

fn print_load(ours: Option<Duration>, our_bytes: u64, theirs: &DuckDbLoad) {
    let mut table = report::table(&["", "Lightning", "DuckDB"]);
    let seconds = |time: Duration| format!("{:.2}", time.as_secs_f64());
    table.add_row(["load s".to_string(), ours.map_or("kept".to_string(), seconds), seconds(theirs.time)]);
    let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    table.add_row(["on disk MB".to_string(), megabytes(our_bytes), megabytes(theirs.bytes)]);
    println!("{table}");
}

fn to_json(scale: f64, pairs: &[Pair], loads: Value) -> Value {
    let queries: Vec<Value> = pairs
        .iter()
        .map(|pair| {
            json!({
                "query": pair.ours.query,
                "ms": report::ms(pair.ours.time),
                "rows": pair.ours.rows,
                "right": pair.ours.right,
                "duckdb_ms": report::ms(pair.theirs),
            })
        })
        .collect();
    let (ours, theirs) = totals(pairs);
    json!({
        "scale": scale,
        "queries": queries,
        "total_ms": report::ms(ours),
        "duckdb_total_ms": report::ms(theirs),
        "load": loads,
    })
}

/// Bytes of all files below a directory.
fn directory_bytes(path: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { directory_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
