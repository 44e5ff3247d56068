//! What transactions promise, on tables small enough to stay in memory.

use crate::support::*;
use arrow::array::{ArrayRef, Int64Array};
use lightning_storage::{Error, Predicate, ScanSpec, TableId};
use std::sync::Arc;

#[test]
fn committed_rows_are_seen_by_later_snapshots_only() {
    let engine = open(&memory());
    let table = create(&engine, 0..3);
    let before = engine.snapshot();
    append(&engine, table, 3..5);
    assert_eq!(ids(&before, table), [0, 1, 2]);
    assert_eq!(ids(&engine.snapshot(), table), [0, 1, 2, 3, 4]);
    assert!(before.timestamp() < engine.snapshot().timestamp());
}

#[test]
fn transaction_sees_its_own_writes_and_nobody_else_does() {
    let engine = open(&memory());
    let table = create(&engine, 0..3);
    let mut txn = engine.begin();
    txn.append(table, rows(10..12)).unwrap();
    let own = txn.create_table(definition()).unwrap();
    txn.append(own, rows(5..7)).unwrap();
    assert_eq!(ids(&txn.snapshot(), table), [0, 1, 2, 10, 11]);
    assert_eq!(ids(&txn.snapshot(), own), [5, 6]);
    assert_eq!(ids(&engine.snapshot(), table), [0, 1, 2]);
    assert!(matches!(engine.snapshot().table(own), Err(Error::UnknownTable(_))));
    txn.rollback();
    assert_eq!(ids(&engine.snapshot(), table), [0, 1, 2]);
}

#[test]
fn refresh_moves_the_base_and_keeps_own_writes() {
    let engine = open(&memory());
    let table = create(&engine, 0..1);
    let mut txn = engine.begin();
    txn.append(table, rows(10..11)).unwrap();
    append(&engine, table, 1..2);
    assert_eq!(ids(&txn.snapshot(), table), [0, 10]);
    txn.refresh().unwrap();
    assert_eq!(ids(&txn.snapshot(), table), [0, 1, 10]);
}

#[test]
fn truncate_takes_the_whole_table_and_rows_after_it_stay() {
    let engine = open(&memory());
    let table = create(&engine, 0..3);
    let mut txn = engine.begin();
    txn.append(table, rows(10..11)).unwrap();
    txn.truncate(table).unwrap();
    txn.append(table, rows(20..21)).unwrap();
    assert_eq!(ids(&txn.snapshot(), table), [20]);
    append(&engine, table, 3..4);
    txn.commit().unwrap();
    assert_eq!(ids(&engine.snapshot(), table), [20]);
}

#[test]
fn dropped_table_is_gone_and_writers_to_it_are_told() {
    let engine = open(&memory());
    let table = create(&engine, 0..3);
    let mut late = engine.begin();
    late.append(table, rows(10..11)).unwrap();
    let before = engine.snapshot();
    let mut txn = engine.begin();
    txn.drop_table(table).unwrap();
    assert!(matches!(txn.append(table, rows(0..1)), Err(Error::UnknownTable(_))));
    txn.commit().unwrap();
    assert!(matches!(engine.snapshot().table(table), Err(Error::UnknownTable(_))));
    assert_eq!(ids(&before, table), [0, 1, 2]);
    assert!(matches!(late.commit(), Err(Error::TableChanged(t)) if t == table));
}

#[test]
fn reserved_table_is_created_once() {
    let engine = open(&memory());
    let (mut one, mut two) = (engine.begin(), engine.begin());
    one.create_reserved_table(TableId(1), definition()).unwrap();
    two.create_reserved_table(TableId(1), definition()).unwrap();
    one.commit().unwrap();
    assert!(matches!(two.commit(), Err(Error::TableChanged(TableId(1)))));
    assert!(engine.begin().create_reserved_table(TableId(1), definition()).is_err());
}

#[test]
fn rows_of_other_types_are_refused() {
    let engine = open(&memory());
    let table = create(&engine, 0..1);
    let narrow = rows(0..2).project(&[0]).unwrap();
    assert!(matches!(engine.begin().append(table, narrow), Err(Error::SchemaMismatch { .. })));
    let swapped = rows(0..2).project(&[1, 0]).unwrap();
    assert!(matches!(engine.begin().append(table, swapped), Err(Error::SchemaMismatch { .. })));
}

#[test]
fn many_small_commits_leave_few_blocks() {
    let engine = open(&memory());
    let table = create(&engine, 0..1);
    for id in 1..300 {
        append(&engine, table, [id]);
    }
    let snapshot = engine.snapshot();
    assert_eq!(ids(&snapshot, table), (0..300).collect::<Vec<_>>());
    assert_eq!(snapshot.table(table).unwrap().mem_rows, 300);
}

#[test]
fn many_small_appends_in_one_transaction_stay_cheap_and_visible() {
    let engine = open(&memory());
    let table = create(&engine, 0..50_000);
    let mut txn = engine.begin();
    for id in 0..3000 {
        txn.refresh().unwrap();
        assert_eq!(txn.snapshot().table(table).unwrap().rows, 50_000 + id as u64);
        txn.append(table, rows([50_000 + id])).unwrap();
    }
    txn.commit().unwrap();
    assert_eq!(ids(&engine.snapshot(), table), (0..53_000).collect::<Vec<_>>());
}

/// Reads the rows with ids from `low` to `high`, and says so.
fn read(txn: &lightning_storage::Transaction, table: TableId, low: i64, high: i64) -> usize {
    let snapshot = txn.snapshot();
    let bound = |id: i64| Arc::new(Int64Array::from(vec![id])) as ArrayRef;
    let predicates = vec![Predicate::Between { column: 0, low: bound(low), high: bound(high) }];
    snapshot.note_read(table, &predicates).unwrap();
    let spec = ScanSpec { projection: vec![0], predicates, ..ScanSpec::default() };
    snapshot.scan(table, spec).unwrap().reader().map(|batch| batch.unwrap().num_rows()).sum()
}

#[test]
fn serializable_transactions_fail_when_what_they_read_was_changed() {
    let vfs = memory();
    let engine = open(&vfs);
    let (table, notes) = (create(&engine, 0..100), create(&engine, []));
    let write = |mut txn: lightning_storage::Transaction, id: i64| {
        txn.append(notes, rows([id])).unwrap();
        txn.commit()
    };
    // Write skew: each reads what the other writes.
    let (a, b) = (engine.begin_serializable().unwrap(), engine.begin_serializable().unwrap());
    assert_eq!((read(&a, notes, 0, 9), read(&b, notes, 0, 9)), (0, 0));
    write(a, 1).unwrap();
    let refused = write(b, 2).unwrap_err();
    assert!(matches!(refused, lightning_storage::Error::Serialization(of) if of == notes), "{refused}");
    // A phantom within the range, a deleted row within it, rows beside it.
    for (change, is_refused) in [(60, true), (35, true), (10, false), (61, false)] {
        let txn = engine.begin_serializable().unwrap();
        read(&txn, table, 30, 60);
        let mut other = engine.begin();
        delete(&mut other, table, &[change]).unwrap();
        other.append(table, rows([change])).unwrap();
        other.commit().unwrap();
        assert_eq!(write(txn, change).is_err(), is_refused, "{change}");
    }
    // A reader's snapshot is some state of the database; it has nothing to check. Who looked at nothing has not, either.
    let (reader, blind) = (engine.begin_serializable().unwrap(), engine.begin_serializable().unwrap());
    assert_eq!(read(&reader, table, 0, 99), 100);
    append(&engine, table, 1000..1001);
    reader.commit().unwrap();
    write(blind, 5000).unwrap();
    // Loads and truncation touch everything.
    for load in [true, false] {
        let txn = engine.begin_serializable().unwrap();
        read(&txn, table, 0, 3);
        if load {
            bulk(&engine, table, 200_000..400_000);
        } else {
            let mut other = engine.begin();
            other.truncate(table).unwrap();
            other.commit().unwrap();
        }
        assert!(write(txn, 6000).is_err());
    }
}
