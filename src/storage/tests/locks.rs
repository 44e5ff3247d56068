//! Writers of the same row: who waits sees the winner's version, who does not wait loses.

use crate::support::*;
use arrow::array::{ArrayRef, AsArray, Int64Array, UInt64Array};
use arrow::datatypes::Int64Type;
use lightning_storage::{
    Engine, Error, ErrorKind, IfLocked, KeyMode, Snapshot, TableDefinition, TableId, TableMode, Transaction, Waker,
};
use std::sync::Arc;

/// A table of counters by key.
fn counters(engine: &Arc<Engine>, keys: i64) -> TableId {
    use arrow::datatypes::{DataType, Field, Schema};
    let fields = vec![Field::new("id", DataType::Int64, false), Field::new("n", DataType::Int64, false)];
    let definition = TableDefinition::new(Arc::new(Schema::new(fields)), vec![0]);
    let mut txn = engine.begin();
    let table = txn.create_table(definition).unwrap();
    (0..keys).for_each(|key| put(&mut txn, table, key, 0));
    txn.commit().unwrap();
    table
}

fn put(txn: &mut Transaction, table: TableId, key: i64, n: i64) {
    let schema = txn.snapshot().table(table).unwrap().definition.schema;
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![key])), Arc::new(Int64Array::from(vec![n]))];
    txn.append(table, arrow::array::RecordBatch::try_new(schema, columns).unwrap()).unwrap();
}

fn find(snapshot: &Snapshot, table: TableId, key: i64) -> (UInt64Array, i64) {
    let keys = [Arc::new(Int64Array::from(vec![key])) as ArrayRef];
    let place = snapshot.locate(table, &keys).unwrap()[0].unwrap();
    let places = UInt64Array::from(vec![place]);
    let row = snapshot.rows_at(table, &places, &[1]).unwrap();
    (places, row.column(0).as_primitive::<Int64Type>().value(0))
}

/// Adds one to a counter, as of the transaction's snapshot.
fn add(txn: &mut Transaction, table: TableId, key: i64) {
    let snapshot = txn.snapshot();
    let (places, n) = find(&snapshot, table, key);
    txn.delete(&snapshot, table, &places).unwrap();
    put(txn, table, key, n + 1);
}

fn nobody() -> Waker {
    Box::new(|| {})
}

/// As READ COMMITTED does: lock what was found, and look again until nobody was faster.
fn add_locked(txn: &mut Transaction, table: TableId, key: i64) -> Result<(), Error> {
    loop {
        txn.refresh()?;
        let snapshot = txn.snapshot();
        let (places, n) = find(&snapshot, table, key);
        let mut locking = txn.lock_rows(&snapshot, table, &places, KeyMode::NoKeyUpdate, IfLocked::Wait)?;
        locking.wait()?;
        if txn.changed(&snapshot, table, &places)?.is_empty() {
            txn.delete(&snapshot, table, &places)?;
            put(txn, table, key, n + 1);
            return Ok(());
        }
    }
}

#[test]
fn an_update_is_not_lost_when_another_has_put_the_key_back() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = counters(&engine, 3);
    for flush_between in [false, true] {
        let mut slow = engine.begin();
        add(&mut slow, table, 1);
        let mut fast = engine.begin();
        add(&mut fast, table, 1);
        fast.commit().unwrap();
        if flush_between {
            engine.checkpoint().unwrap();
        }
        let refused = slow.commit().unwrap_err();
        assert!(matches!(&refused, Error::Conflict { key, .. } if *key == ["1"]), "{refused}");
    }
    assert_eq!(find(&engine.snapshot(), table, 1).1, 2);
    // A row that was only moved is still the same.
    let mut slow = engine.begin();
    add(&mut slow, table, 2);
    engine.checkpoint().unwrap();
    slow.commit().unwrap();
    assert_eq!(find(&engine.snapshot(), table, 2).1, 1);
}

#[test]
fn counters_under_locks_count_everything() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = counters(&engine, 2);
    let (threads, each) = (4, rounds(50, 2000) as i64);
    std::thread::scope(|scope| {
        for worker in 0..threads {
            let engine = &engine;
            scope.spawn(move || {
                for round in 0..each {
                    let mut txn = engine.begin();
                    add_locked(&mut txn, table, (worker + round) % 2).unwrap();
                    txn.commit().unwrap();
                }
            });
        }
        for _ in 0..10 {
            engine.checkpoint().unwrap();
        }
    });
    let snapshot = engine.snapshot();
    assert_eq!(find(&snapshot, table, 0).1 + find(&snapshot, table, 1).1, threads * each);
    assert!(engine.locks().is_empty());
}

#[test]
fn a_locked_row_is_waited_for_skipped_or_refused() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = counters(&engine, 10);
    let mut first = engine.begin();
    let savepoint = first.savepoint();
    add_locked(&mut first, table, 4).unwrap();
    let second = engine.begin();
    let snapshot = second.snapshot();
    let places = UInt64Array::from_iter_values((3..6).map(|key| find(&snapshot, table, key).0.value(0)));
    let lock = |mode, if_locked| second.lock_rows(&snapshot, table, &places, mode, if_locked).unwrap();
    let mut skipping = lock(KeyMode::Update, IfLocked::Skip);
    assert!(skipping.advance(&mut nobody).unwrap());
    assert_eq!((skipping.skipped(), skipping.untried()), (vec![1], None));
    // Two are wanted: the third is needed for them, one alone is there at once.
    for (most, skipped, untried) in [(2, vec![1], None), (1, vec![], Some(1))] {
        let mut bounded = lock(KeyMode::Share, IfLocked::Skip).at_most(most);
        assert!(bounded.advance(&mut nobody).unwrap());
        assert_eq!((bounded.skipped(), bounded.untried()), (skipped, untried), "{most} wanted");
    }
    let refused = lock(KeyMode::Share, IfLocked::Fail).advance(&mut nobody).unwrap_err();
    assert!(matches!(refused, Error::Locked { table: of, is_row: true } if of == table), "{refused}");
    assert!(lock(KeyMode::KeyShare, IfLocked::Fail).advance(&mut nobody).unwrap());
    let mut waiting = lock(KeyMode::Update, IfLocked::Wait);
    assert!(!waiting.advance(&mut nobody).unwrap());
    assert!(engine.locks().iter().any(|lock| !lock.granted));
    first.rollback_to(&savepoint).unwrap();
    assert!(waiting.advance(&mut nobody).unwrap());
    assert_eq!(second.changed(&snapshot, table, &places).unwrap(), [0u32; 0]);
    // The first one waits now, until the second is gone.
    let (of_first, _) = find(&first.snapshot(), table, 4);
    let mut waiting =
        first.lock_rows(&first.snapshot(), table, &of_first, KeyMode::NoKeyUpdate, IfLocked::Wait).unwrap();
    assert!(!waiting.advance(&mut nobody).unwrap());
    drop(second);
    assert!(waiting.advance(&mut nobody).unwrap());
    let third = engine.begin();
    let mut exclusive = third.lock_table(table, TableMode::AccessExclusive);
    assert!(!exclusive.advance(&mut nobody).unwrap());
    assert_eq!(exclusive.time_out().unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn a_circle_has_one_victim() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = counters(&engine, 3);
    let txns: Vec<Transaction> = (0..3).map(|_| engine.begin()).collect();
    let snapshot = engine.snapshot();
    let lock = |txn: usize, key: i64| {
        let (places, _) = find(&snapshot, table, key);
        let mut locking = txns[txn].lock_rows(&snapshot, table, &places, KeyMode::Update, IfLocked::Wait).unwrap();
        locking.advance(&mut nobody).map(|is_held| (is_held, locking))
    };
    for number in 0..3 {
        assert!(lock(number, number as i64).unwrap().0);
    }
    let (held, _first) = lock(0, 1).unwrap();
    let (also_held, _second) = lock(1, 2).unwrap();
    assert!(!held && !also_held);
    let Err(Error::Deadlock(circle)) = lock(2, 0) else { panic!("no deadlock") };
    let next = |at: usize| circle[(at + 1) % circle.len()].transaction;
    assert_eq!(circle.len(), 3);
    assert!((0..3).all(|at| circle[at].blocked_by == next(at) && circle[at].is_row), "{circle:?}");
}

#[test]
fn rows_that_changed_since_a_snapshot_are_told_from_those_that_moved() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = counters(&engine, 1000);
    let snapshot = engine.snapshot();
    let places = UInt64Array::from_iter_values((0..1000).map(|key| find(&snapshot, table, key).0.value(0)));
    for key in [7, 8, 500] {
        let mut txn = engine.begin();
        add(&mut txn, table, key);
        txn.commit().unwrap();
    }
    let txn = engine.begin();
    assert_eq!(txn.changed(&snapshot, table, &places).unwrap(), [7, 8, 500]);
    engine.checkpoint().unwrap();
    assert_eq!(txn.changed(&snapshot, table, &places).unwrap(), [7, 8, 500]);
    let newer = engine.snapshot();
    let (place, _) = find(&newer, table, 7);
    assert!(txn.changed(&newer, table, &place).unwrap().is_empty());
}

#[test]
fn a_submitted_commit_calls_back_with_its_rows_visible_and_its_locks_free() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = counters(&engine, 4);
    let mut txn = engine.begin();
    add_locked(&mut txn, table, 2).unwrap();
    assert!(txn.is_small());
    let (tell, told) = std::sync::mpsc::channel();
    let mut submission = txn.submit(move || tell.send(()).unwrap()).unwrap();
    assert!(submission.is_sent());
    told.recv().unwrap();
    assert!(engine.locks().is_empty());
    let committed = submission.result().unwrap().unwrap();
    assert_eq!((engine.snapshot().timestamp(), find(&engine.snapshot(), table, 2).1), (committed, 1));
    drop(submission);
    // Nobody asks what became of it: it comes to pass all the same.
    let mut txn = engine.begin();
    add_locked(&mut txn, table, 3).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    drop(txn.submit(move || tell.send(()).unwrap()).unwrap());
    told.recv().unwrap();
    let engine = reopen(engine, &vfs);
    assert_eq!(find(&engine.snapshot(), table, 3).1, 1);
    // Much is not submitted.
    let mut txn = engine.begin();
    (0..100).for_each(|key| put(&mut txn, table, 100 + key, 0));
    assert!(!txn.is_small());
}
