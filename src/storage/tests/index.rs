//! Indexes stay in step with their table: in every snapshot each row has its entry, and no entry leads nowhere.

use crate::support::*;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use lightning_storage::{Engine, Error, ScanSpec, Snapshot, TableDefinition, TableId, Transaction};
use lightning_vfs::FaultyVfs;
use std::collections::BTreeMap;
use std::sync::Arc;

const GROUP: usize = 1;

fn definition_of(key: &[usize]) -> TableDefinition {
    let fields = vec![
        Field::new("id", DataType::Int64, false),
        Field::new("grp", DataType::Utf8, true),
        Field::new("v", DataType::Int64, false),
    ];
    TableDefinition::new(Arc::new(Schema::new(fields)), key.to_vec())
}

/// Rows by id: the group and a value.
type Rows = BTreeMap<i64, (Option<String>, i64)>;

fn batch(rows: &Rows) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.keys().copied())),
        Arc::new(StringArray::from_iter(rows.values().map(|row| row.0.clone()))),
        Arc::new(Int64Array::from_iter_values(rows.values().map(|row| row.1))),
    ];
    RecordBatch::try_new(definition_of(&[]).schema, columns).unwrap()
}

fn group(number: i64) -> Option<String> {
    (number % 7 > 0).then(|| format!("g{}", number % 7))
}

fn some_rows(ids: impl IntoIterator<Item = i64>) -> Rows {
    ids.into_iter().map(|id| (id, (group(id), id * 10))).collect()
}

/// Ids and places of all rows.
fn places(snapshot: &Snapshot, table: TableId) -> BTreeMap<i64, u64> {
    let spec = ScanSpec { projection: vec![0], places: true, ..ScanSpec::default() };
    let mut found = BTreeMap::new();
    for rows in snapshot.scan(table, spec).unwrap().reader() {
        let rows = rows.unwrap();
        let ids = rows.column(0).as_primitive::<Int64Type>().values().iter();
        let places = rows.column(1).as_primitive::<arrow::datatypes::UInt64Type>().values().iter();
        found.extend(ids.copied().zip(places.copied()));
    }
    found
}

fn delete_ids(txn: &mut Transaction, table: TableId, ids: &[i64]) {
    let snapshot = txn.snapshot();
    let all = places(&snapshot, table);
    let wanted = UInt64Array::from_iter_values(ids.iter().map(|id| all[id]));
    assert_eq!(txn.delete(&snapshot, table, &wanted).unwrap(), ids.len() as u64);
}

/// Checks that the index leads to just the rows expected, in its order, and answers how many there are.
fn check(snapshot: &Snapshot, table: TableId, index: TableId, expected: &Rows) {
    let of_all = |id: TableId| snapshot.table(id).unwrap().rows;
    assert_eq!((of_all(table), of_all(index)), (expected.len() as u64, expected.len() as u64));
    let columns = snapshot.table(index).unwrap().definition.schema.fields().len();
    let spec = ScanSpec { projection: (0..columns).collect(), ..ScanSpec::default() };
    let mut found = Rows::new();
    for entries in snapshot.scan(index, spec).unwrap().reader() {
        let entries = entries.unwrap();
        let places = snapshot.places_of(index, &entries).unwrap();
        let rows = snapshot.rows_at(table, &places, &[0, 1, 2]).unwrap();
        assert_eq!(rows.column(GROUP), entries.column(0));
        let (ids, groups) = (rows.column(0).as_primitive::<Int64Type>(), rows.column(1).as_string::<i32>());
        let values = rows.column(2).as_primitive::<Int64Type>();
        for row in 0..rows.num_rows() {
            let group = groups.is_valid(row).then(|| groups.value(row).to_owned());
            found.insert(ids.value(row), (group, values.value(row)));
        }
    }
    assert_eq!(&found, expected);
    let wanted: ArrayRef = Arc::new(StringArray::from(vec![Some("g3"), None, Some("nobody"), Some("g1")]));
    let (entries, numbers) = snapshot.entries_with(index, &[wanted]).unwrap();
    let groups = entries.column(0).as_string::<i32>();
    let with = |group: Option<&str>| expected.values().filter(|row| row.0.as_deref() == group).count();
    for (number, group) in [(0, Some("g3")), (1, None), (2, Some("nobody")), (3, Some("g1"))] {
        let of_number: Vec<usize> = (0..numbers.len()).filter(|&row| numbers[row] == number).collect();
        assert_eq!(of_number.len(), with(group), "{group:?}");
        assert!(of_number.iter().all(|&row| groups.is_valid(row).then(|| groups.value(row)) == group));
    }
}

fn create_indexed(engine: &Arc<Engine>, key: &[usize], rows: &Rows) -> (TableId, TableId) {
    let mut txn = engine.begin();
    let table = txn.create_table(definition_of(key)).unwrap();
    txn.append(table, batch(rows)).unwrap();
    txn.commit().unwrap();
    let mut txn = engine.begin();
    let index = txn.create_index(table, &[GROUP]).unwrap();
    txn.commit().unwrap();
    (table, index)
}

#[test]
fn every_way_to_write_keeps_an_index_in_step() {
    for key in [&[0][..], &[]] {
        let disk = FaultyVfs::new(5);
        let engine = open(&disk.shared());
        let mut rows = some_rows(0..3_000);
        let (table, index) = create_indexed(&engine, key, &rows);
        check(&engine.snapshot(), table, index, &rows);
        let (before, old) = (engine.snapshot(), rows.clone());
        // Small commits, a large one, a bulk load; rows deleted wherever they are.
        for round in 0..4 {
            let mut txn = engine.begin();
            let new = some_rows(10_000 + round * 100..10_000 + round * 100 + 20);
            txn.append(table, batch(&new)).unwrap();
            delete_ids(&mut txn, table, &[round * 3, round * 3 + 1]);
            // Own rows, too.
            delete_ids(&mut txn, table, &[10_000 + round * 100]);
            rows.extend(new);
            [round * 3, round * 3 + 1, 10_000 + round * 100].iter().for_each(|id| drop(rows.remove(id)));
            check(&txn.snapshot(), table, index, &rows);
            txn.commit().unwrap();
            check(&engine.snapshot(), table, index, &rows);
            if round == 1 {
                engine.checkpoint().unwrap();
            }
        }
        let mut txn = engine.begin();
        let new = some_rows(100_000..104_000);
        txn.append(table, batch(&new)).unwrap();
        txn.commit().unwrap();
        rows.extend(new);
        let mut txn = engine.begin();
        let mut appender = txn.appender(table).unwrap();
        for start in (200_000..460_000).step_by(20_000) {
            let new = some_rows(start..start + 20_000);
            appender.push(batch(&new)).unwrap();
            rows.extend(new);
        }
        appender.finish(&mut txn).unwrap();
        txn.commit().unwrap();
        check(&engine.snapshot(), table, index, &rows);
        check(&before, table, index, &old);
        // What was not flushed is replayed.
        let copy = open(&disk.crash_with(2).shared());
        check(&copy.snapshot(), table, index, &rows);
        drop(copy);
        engine.checkpoint().unwrap();
        let copy = open(&disk.crash_with(2).shared());
        check(&copy.snapshot(), table, index, &rows);
        check(&before, table, index, &old);
        let mut txn = engine.begin();
        txn.truncate(table).unwrap();
        txn.append(table, batch(&some_rows(0..10))).unwrap();
        txn.commit().unwrap();
        check(&engine.snapshot(), table, index, &some_rows(0..10));
        let mut txn = engine.begin();
        txn.drop_table(table).unwrap();
        txn.commit().unwrap();
        assert!(engine.snapshot().table(index).is_err());
    }
}

#[test]
fn replacing_rows_changes_the_entries_of_changed_columns_only() {
    let engine = open(&memory());
    let mut rows = some_rows(0..100);
    let (table, index) = create_indexed(&engine, &[0], &rows);
    engine.checkpoint().unwrap();
    let replace = |id: i64, row: (Option<String>, i64), changed: &[usize]| {
        let mut txn = engine.begin();
        let snapshot = txn.snapshot();
        let place = UInt64Array::from(vec![places(&snapshot, table)[&id]]);
        let new = Rows::from([(id, row)]);
        txn.replace(&snapshot, table, &place, batch(&new), changed).unwrap();
        txn.commit().unwrap();
        new
    };
    rows.extend(replace(5, (group(5), 777), &[2]));
    let info = engine.snapshot().table(index).unwrap();
    assert_eq!((info.rows, info.mem_rows), (100, 0), "the index was left alone");
    check(&engine.snapshot(), table, index, &rows);
    rows.extend(replace(5, (Some("other".into()), 778), &[1, 2]));
    rows.extend(replace(6, (None, 60), &[1]));
    check(&engine.snapshot(), table, index, &rows);
}

#[test]
fn savepoints_and_rollback_take_entries_along() {
    let engine = open(&memory());
    let rows = some_rows(0..50);
    let (table, index) = create_indexed(&engine, &[0], &rows);
    let mut txn = engine.begin();
    delete_ids(&mut txn, table, &[7]);
    let savepoint = txn.savepoint();
    delete_ids(&mut txn, table, &[8, 9]);
    txn.append(table, batch(&some_rows(60..70))).unwrap();
    txn.rollback_to(&savepoint).unwrap();
    let mut expected = rows.clone();
    expected.remove(&7);
    check(&txn.snapshot(), table, index, &expected);
    txn.rollback();
    check(&engine.snapshot(), table, index, &rows);
}

#[test]
fn who_began_to_write_before_there_was_an_index_is_refused() {
    let engine = open(&memory());
    let table = {
        let mut txn = engine.begin();
        let table = txn.create_table(definition_of(&[0])).unwrap();
        txn.commit().unwrap();
        table
    };
    let mut early = engine.begin();
    early.append(table, batch(&some_rows(0..5))).unwrap();
    let mut txn = engine.begin();
    let index = txn.create_index(table, &[GROUP]).unwrap();
    // In the transaction itself it is kept from the start.
    txn.append(table, batch(&some_rows(10..15))).unwrap();
    txn.commit().unwrap();
    assert!(matches!(early.commit(), Err(Error::TableChanged(changed)) if changed == table));
    check(&engine.snapshot(), table, index, &some_rows(10..15));
    let mut txn = engine.begin();
    assert!(txn.create_index(index, &[0]).is_err(), "an index of an index");
    assert!(txn.create_index(table, &[9]).is_err(), "a column that is not there");
    txn.drop_table(index).unwrap();
    txn.append(table, batch(&some_rows(20..22))).unwrap();
    txn.commit().unwrap();
    assert_eq!(engine.snapshot().table(table).unwrap().rows, 7);
    let mut txn = engine.begin();
    txn.append(table, batch(&some_rows(30..31))).unwrap();
    txn.commit().unwrap();
}
