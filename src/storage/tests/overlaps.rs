//! Rows with one key are where overlaps of blocks say they may be, however the rows came in.

use crate::support::*;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use fastrand::Rng;
use lightning_storage::{ScanSpec, Snapshot, TableDefinition, TableId};
use std::collections::BTreeMap;
use std::sync::Arc;

fn schema() -> SchemaRef {
    let fields = [("time", DataType::Int64), ("series", DataType::Utf8View)];
    Arc::new(Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, false)).to_vec()))
}

/// The key: series, time.
const KEY: [usize; 2] = [1, 0];

fn points(rows: &[(String, i64)]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| &row.0))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// How often each key is among the rows of a scan.
fn counts(snapshot: &Snapshot, table: TableId, spec: ScanSpec) -> BTreeMap<(String, i64), usize> {
    let mut counts = BTreeMap::new();
    for batch in snapshot.scan(table, spec).unwrap().reader() {
        let batch = batch.unwrap();
        let (series, times) = (batch.column(0).as_string_view(), batch.column(1).as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            *counts.entry((series.value(row).to_owned(), times.value(row))).or_default() += 1;
        }
    }
    counts
}

#[test]
fn every_pair_of_equal_keys_is_in_an_overlap() {
    let mut random = Rng::with_seed(17);
    // Some names are longer than what bounds keep of them.
    let name =
        |number: i64| format!("{}{number}", ["s", "a series with a name beyond what is kept "][number as usize % 2]);
    for (round, series) in [5, 40, 1000, 3].into_iter().enumerate() {
        let engine = open(&memory());
        let mut transaction = engine.begin();
        let table = transaction.create_table(TableDefinition::new(schema(), KEY.to_vec())).unwrap();
        transaction.commit().unwrap();
        // What was committed has no key twice.
        for part in 0..2 {
            let rows: Vec<_> = (0..200).map(|row| (name(row % 7), 1_000_000 * part + row)).collect();
            let mut transaction = engine.begin();
            transaction.append(table, points(&rows)).unwrap();
            transaction.commit().unwrap();
            if part == 0 {
                engine.checkpoint().unwrap();
            }
        }
        let mut transaction = engine.begin();
        let mut appender = transaction.appender(table).unwrap();
        // Some rows come late or twice, some meet those that are there.
        let rows: Vec<_> = (0..260_000i64)
            .map(|row| {
                let late = if random.u32(..50_000) == 0 { random.i64(0..row + 1) } else { 0 };
                let twice = i64::from(round < 2 && random.u32(..80_000) == 0) * series;
                (name(row % series), (row - late - twice) / series + if round == 3 { -200 } else { 500 })
            })
            .collect();
        rows.chunks(50_000).for_each(|rows| appender.push(points(rows)).unwrap());
        appender.finish(&mut transaction).unwrap();
        let after = transaction.newest().unwrap();
        let projection = KEY.to_vec();
        let all = counts(&after, table, ScanSpec { projection: projection.clone(), ..ScanSpec::default() });
        let overlaps = after.key_overlaps(table, &KEY).unwrap().expect("blocks in order of time overlap little");
        let mut found = BTreeMap::new();
        let mut rows_read = 0;
        for predicates in overlaps {
            let spec = ScanSpec { projection: projection.clone(), predicates, ..ScanSpec::default() };
            let rows = counts(&after, table, spec);
            rows_read += rows.len();
            found.extend(rows.into_iter().filter(|(_, count)| *count > 1));
        }
        let twice: BTreeMap<_, _> = all.into_iter().filter(|(_, count)| *count > 1).collect();
        assert_eq!(found, twice, "round {round}");
        assert!(round == 2 || !twice.is_empty(), "round {round} tests something");
        assert!(round != 2 || rows_read < 20_000, "{rows_read} rows of distinct keys are read");
    }
}

#[test]
fn blocks_that_overlap_everywhere_say_nothing() {
    let engine = open(&memory());
    let mut transaction = engine.begin();
    let table = transaction.create_table(TableDefinition::new(schema(), KEY.to_vec())).unwrap();
    let mut appender = transaction.appender(table).unwrap();
    let mut random = Rng::with_seed(3);
    for _ in 0..40 {
        let rows: Vec<_> = (0..122_880).map(|_| (format!("s{}", random.u8(..9)), random.i64(..))).collect();
        appender.push(points(&rows)).unwrap();
    }
    appender.finish(&mut transaction).unwrap();
    assert!(transaction.newest().unwrap().key_overlaps(table, &KEY).unwrap().is_none());
}

#[test]
fn committed_rows_are_not_compared_with_each_other_again() {
    let engine = open(&memory());
    let mut transaction = engine.begin();
    let table = transaction.create_table(TableDefinition::new(schema(), KEY.to_vec())).unwrap();
    transaction.commit().unwrap();
    // Every block has every series, and moments of the block before.
    for part in 0..5 {
        let rows: Vec<_> = (0..200).map(|row| (format!("s{}", row % 7), 150 * part + row)).collect();
        let mut transaction = engine.begin();
        transaction.append(table, points(&rows)).unwrap();
        transaction.commit().unwrap();
        engine.checkpoint().unwrap();
    }
    let mut transaction = engine.begin();
    transaction.append(table, points(&[("s3".to_owned(), 10_000)])).unwrap();
    let overlaps = transaction.newest().unwrap().key_overlaps(table, &KEY).unwrap().unwrap();
    assert_eq!(overlaps.len(), 1, "the new rows with themselves: {overlaps:?}");
}
