//! What the tests share: small tables, batches, and reading everything back.

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringViewArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use lightning_storage::{Engine, Options, Result, ScanSpec, Snapshot, TableDefinition, TableId, Transaction};
use lightning_vfs::{MemoryVfs, Vfs};
use std::path::Path;
use std::sync::Arc;

/// Where test databases live in their file system.
pub const DIR: &str = "/db";

/// Options for tests.
pub fn options() -> Options {
    Options { memory_limit_bytes: 256 << 20, threads: 2 }
}

/// A new file system in memory.
pub fn memory() -> Arc<dyn Vfs> {
    Arc::new(MemoryVfs::new())
}

/// Opens the database on `vfs`.
pub fn open(vfs: &Arc<dyn Vfs>) -> Arc<Engine> {
    Engine::open(vfs.clone(), Path::new(DIR), options()).expect("open")
}

/// `id bigint, label text`.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("label", DataType::Utf8View, true)]))
}

/// A table of [`schema`], clustered by `id`.
pub fn definition() -> TableDefinition {
    TableDefinition::new(schema(), vec![0])
}

/// A table of [`schema`] without a key.
pub fn keyless() -> TableDefinition {
    TableDefinition::new(schema(), vec![])
}

/// Deletes the rows of `ids` that are there; how many.
pub fn delete(txn: &mut Transaction, table: TableId, ids: &[i64]) -> Result<u64> {
    let snapshot = txn.snapshot();
    let scan = snapshot.scan(table, ScanSpec { projection: vec![0], places: true, ..ScanSpec::default() })?;
    let mut places = vec![];
    for batch in scan.reader() {
        let batch = batch?;
        let of = batch.column(1).as_primitive::<UInt64Type>().values();
        let found = batch.column(0).as_primitive::<Int64Type>().values().iter().zip(of);
        places.extend(found.filter(|(id, _)| ids.contains(id)).map(|(_, place)| *place));
    }
    txn.delete(&snapshot, table, &UInt64Array::from(places))
}

/// Rows for ids; the label follows from the id, and is NULL for every seventh.
pub fn rows(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    let ids: Vec<i64> = ids.into_iter().collect();
    let labels = StringViewArray::from_iter(ids.iter().map(|id| (id % 7 != 0).then(|| label(*id))));
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(ids)), Arc::new(labels)]).expect("batch")
}

/// The label of an id.
pub fn label(id: i64) -> String {
    format!("label number {id}")
}

/// All ids of a table in ascending order, each checked against its label.
pub fn ids(snapshot: &Snapshot, table: TableId) -> Vec<i64> {
    let scan = snapshot.scan(table, ScanSpec { projection: vec![0, 1], ..ScanSpec::default() }).expect("scan");
    let mut all = vec![];
    for batch in scan.reader() {
        let batch = batch.expect("batch");
        let labels = batch.column(1).as_string_view();
        for (row, id) in batch.column(0).as_primitive::<Int64Type>().values().iter().enumerate() {
            assert_eq!(labels.is_null(row), id % 7 == 0, "label of {id}");
            assert!(labels.is_null(row) || labels.value(row) == label(*id), "label of {id}");
            all.push(*id);
        }
    }
    all.sort_unstable();
    assert_eq!(snapshot.statistics(table).expect("statistics").rows, all.len() as u64);
    assert_eq!(snapshot.table(table).expect("table").rows, all.len() as u64);
    all
}

/// Commits one table with `ids` in it.
pub fn create(engine: &Arc<Engine>, ids: impl IntoIterator<Item = i64>) -> TableId {
    let mut txn = engine.begin();
    let table = txn.create_table(definition()).expect("create");
    txn.append(table, rows(ids)).expect("append");
    txn.commit().expect("commit");
    table
}

/// Commits more rows.
pub fn append(engine: &Arc<Engine>, table: TableId, ids: impl IntoIterator<Item = i64>) {
    let mut txn = engine.begin();
    txn.append(table, rows(ids)).expect("append");
    txn.commit().expect("commit");
}

/// Adds rows through an appender, in batches of 10,000.
pub fn bulk(engine: &Arc<Engine>, table: TableId, ids: impl IntoIterator<Item = i64>) {
    let mut txn = engine.begin();
    let mut appender = txn.appender(table).expect("appender");
    let ids: Vec<i64> = ids.into_iter().collect();
    for piece in ids.chunks(10_000) {
        appender.push(rows(piece.iter().copied())).expect("push");
    }
    assert_eq!(appender.finish(&mut txn).expect("finish"), ids.len() as u64);
    txn.commit().expect("commit");
}

/// Names of the files in `segments/`.
pub fn segment_files(vfs: &Arc<dyn Vfs>) -> Vec<String> {
    let paths = vfs.list(&Path::new(DIR).join("segments")).expect("list");
    paths.iter().map(|path| path.file_name().expect("name").to_string_lossy().into_owned()).collect()
}

/// How long a loop is: `short`, or `long` on demand.
pub fn rounds(short: u64, long: u64) -> u64 {
    if std::env::var_os("LIGHTNING_LONG").is_some() { long } else { short }
}

/// Closes the engine, of which this must be the last reference, and opens the database again.
pub fn reopen(engine: Arc<Engine>, vfs: &Arc<dyn Vfs>) -> Arc<Engine> {
    drop(Arc::into_inner(engine).expect("the last reference"));
    open(vfs)
}

/// Verifies the closed database and expects no fault.
pub fn verify(vfs: &Arc<dyn Vfs>) -> lightning_storage::VerifyReport {
    let report = Engine::verify(vfs.clone(), Path::new(DIR)).expect("verify");
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    report
}
