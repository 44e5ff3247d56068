//! Deleted and updated rows: what each snapshot sees, and what is left after flushes, restarts and concurrent work.

use crate::support::*;
use arrow::array::{ArrayRef, AsArray, Int64Array, UInt64Array};
use arrow::datatypes::Int64Type;
use lightning_storage::{Engine, Error, ErrorKind, ScanSpec, TableId};
use lightning_vfs::{FaultyVfs, OpenMode};
use std::path::Path;
use std::sync::Arc;

fn commit_delete(engine: &Arc<Engine>, table: TableId, ids: &[i64]) {
    let mut txn = engine.begin();
    assert_eq!(delete(&mut txn, table, ids).unwrap(), ids.len() as u64);
    txn.commit().unwrap();
}

#[test]
fn snapshots_keep_rows_that_are_deleted_later_wherever_they_are() {
    for flush_first in [false, true] {
        let vfs = memory();
        let engine = open(&vfs);
        let table = create(&engine, 0..20_000);
        if flush_first {
            engine.checkpoint().unwrap();
        }
        let before = engine.snapshot();
        commit_delete(&engine, table, &[0, 5, 8191, 8192, 19_999]);
        let after = engine.snapshot();
        // Flushed, and written again without most of the rows, while both look.
        engine.checkpoint().unwrap();
        let most: Vec<i64> = (10_000..19_999).collect();
        commit_delete(&engine, table, &most);
        engine.checkpoint().unwrap();
        assert_eq!(ids(&before, table), (0..20_000).collect::<Vec<_>>());
        let expected = |end| (0..end).filter(|id| ![0, 5, 8191, 8192, 19_999].contains(id)).collect::<Vec<i64>>();
        assert_eq!(ids(&after, table), expected(20_000));
        drop((before, after));
        let engine = reopen(engine, &vfs);
        assert_eq!(ids(&engine.snapshot(), table), expected(10_000));
        drop(engine);
        verify(&vfs);
    }
}

#[test]
fn deletes_that_were_not_flushed_are_replayed_by_key() {
    let disk = FaultyVfs::new(1);
    let engine = open(&disk.shared());
    let (keyed, mut txn) = (create(&engine, 0..30_000), engine.begin());
    let keyless = txn.create_table(keyless()).unwrap();
    txn.append(keyless, rows((0..1000).rev())).unwrap();
    txn.append(keyless, rows(0..1000)).unwrap();
    txn.commit().unwrap();
    engine.checkpoint().unwrap();
    for table in [keyed, keyless] {
        let mut txn = engine.begin();
        delete(&mut txn, table, &[7, 999, 500]).unwrap();
        txn.append(table, rows([500])).unwrap();
        txn.commit().unwrap();
        commit_delete(&engine, table, &[500]);
    }
    for _ in 0..2 {
        let copy = open(&disk.crash_with(1).shared());
        let kept = |end| (0..end).filter(|id| ![7, 999, 500].contains(id)).collect::<Vec<i64>>();
        assert_eq!(ids(&copy.snapshot(), keyed), kept(30_000));
        let twice: Vec<i64> = kept(1000).into_iter().flat_map(|id| [id, id]).collect();
        assert_eq!(ids(&copy.snapshot(), keyless), twice);
        engine.checkpoint().unwrap();
    }
}

#[test]
fn rows_of_a_transaction_itself_can_be_deleted_again() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = create(&engine, 0..10);
    let mut txn = engine.begin();
    txn.append(table, rows(10..20)).unwrap();
    txn.append(table, rows(1000..200_000)).unwrap();
    assert_eq!(delete(&mut txn, table, &[3, 12, 1000, 150_000]).unwrap(), 4);
    assert_eq!(delete(&mut txn, table, &[3, 12]).unwrap(), 0);
    let savepoint = txn.savepoint();
    delete(&mut txn, table, &[4, 13, 1001]).unwrap();
    txn.append(table, rows([20])).unwrap();
    txn.rollback_to(&savepoint).unwrap();
    let gone = [3, 12, 1000, 150_000];
    let expected: Vec<i64> = (0..20).chain(1000..200_000).filter(|id| !gone.contains(id)).collect();
    assert_eq!(ids(&txn.snapshot(), table), expected);
    txn.commit().unwrap();
    assert_eq!(ids(&engine.snapshot(), table), expected);
    let engine = reopen(engine, &vfs);
    assert_eq!(ids(&engine.snapshot(), table), expected);
    engine.checkpoint().unwrap();
    let engine = reopen(engine, &vfs);
    assert_eq!(ids(&engine.snapshot(), table), expected);
}

#[test]
fn the_second_to_change_a_row_is_refused_and_told_which() {
    let engine = open(&memory());
    let table = create(&engine, 0..100);
    let (mut first, mut second, mut third) = (engine.begin(), engine.begin(), engine.begin());
    delete(&mut first, table, &[41, 42]).unwrap();
    delete(&mut second, table, &[42, 43]).unwrap();
    delete(&mut third, table, &[44]).unwrap();
    first.commit().unwrap();
    let error = second.commit().unwrap_err();
    assert!(matches!(&error, Error::Conflict { key, .. } if *key == ["42"]), "{error}");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    third.commit().unwrap();
    let mut late = engine.begin();
    delete(&mut late, table, &[50]).unwrap();
    commit_delete(&engine, table, &[50]);
    assert_eq!(late.refresh().unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn rows_are_found_again_after_blocks_have_moved() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = create(&engine, 0..5000);
    let mut txn = engine.begin();
    delete(&mut txn, table, &[1, 2, 4999]).unwrap();
    engine.checkpoint().unwrap();
    let most: Vec<i64> = (100..4900).collect();
    commit_delete(&engine, table, &most);
    engine.checkpoint().unwrap();
    txn.commit().unwrap();
    let expected: Vec<i64> = (0..100).chain(4900..5000).filter(|id| ![1, 2, 4999].contains(id)).collect();
    assert_eq!(ids(&engine.snapshot(), table), expected);
    let engine = reopen(engine, &vfs);
    assert_eq!(ids(&engine.snapshot(), table), expected);
}

#[test]
fn rows_are_located_by_key_and_read_by_place() {
    let engine = open(&memory());
    let table = create(&engine, (0..250_000).map(|id| id * 2));
    engine.checkpoint().unwrap();
    append(&engine, table, [1, 3, 499_999]);
    commit_delete(&engine, table, &[10, 3]);
    let snapshot = engine.snapshot();
    let wanted = [0, 3, 10, 5, 1, 499_998, 16_384, 499_999, 600_000, -4];
    for copies in [1, 3000] {
        // Few keys are searched for, many are looked up.
        let mut keys: Vec<i64> = wanted.to_vec();
        keys.extend((0..copies).map(|copy| 20 + copy * 4));
        // The same key twice.
        keys.extend([16_384, 20, 1]);
        let found = snapshot.locate(table, &[Arc::new(Int64Array::from(keys.clone())) as ArrayRef]).unwrap();
        let there = |id: i64| (id % 2 == 0 && (0..500_000).contains(&id) && id != 10) || id == 1 || id == 499_999;
        for (id, place) in keys.iter().zip(&found) {
            assert_eq!(place.is_some(), there(*id), "{id}");
        }
        let places = UInt64Array::from_iter_values(found.iter().flatten().copied());
        let rows = snapshot.rows_at(table, &places, &[0]).unwrap();
        let ids: Vec<i64> = keys.iter().copied().filter(|id| there(*id)).collect();
        assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &ids[..]);
    }
}

#[test]
fn space_of_deleted_rows_comes_back() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = create(&engine, []);
    bulk(&engine, table, 0..250_000);
    engine.checkpoint().unwrap();
    let bytes = |engine: &Arc<Engine>| engine.snapshot().table(table).unwrap().bytes;
    let before = bytes(&engine);
    let mut txn = engine.begin();
    let snapshot = txn.snapshot();
    let all = snapshot.locate(table, &[Arc::new(Int64Array::from_iter_values(0..200_000)) as ArrayRef]).unwrap();
    txn.delete(&snapshot, table, &UInt64Array::from_iter_values(all.into_iter().flatten())).unwrap();
    txn.commit().unwrap();
    engine.checkpoint().unwrap();
    assert!(bytes(&engine) * 3 < before, "{} of {before} bytes are left", bytes(&engine));
    assert_eq!(ids(&engine.snapshot(), table), (200_000..250_000).collect::<Vec<_>>());
}

#[test]
fn concurrent_updates_of_other_rows_all_count() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = create(&engine, 0..400);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let engine = &engine;
            scope.spawn(move || {
                for round in 0..25 {
                    let id = worker * 100 + round;
                    let mut txn = engine.begin();
                    assert_eq!(delete(&mut txn, table, &[id]).unwrap(), 1);
                    txn.append(table, rows([id + 1000])).unwrap();
                    txn.commit().unwrap();
                }
            });
        }
        for _ in 0..5 {
            engine.checkpoint().unwrap();
        }
    });
    let expected = |id: &i64| (id % 100) >= 25 && *id < 400 || (1000..1400).contains(id) && (id % 100) < 25;
    let expected: Vec<i64> = (0..1400).filter(expected).collect();
    assert_eq!(ids(&engine.snapshot(), table), expected);
    let engine = reopen(engine, &vfs);
    assert_eq!(ids(&engine.snapshot(), table), expected);
}

#[test]
fn damaged_delete_vectors_stop_the_readers_of_their_table_only() {
    let vfs = memory();
    let engine = open(&vfs);
    let (hurt, whole) = (create(&engine, 0..1000), create(&engine, 0..1000));
    engine.checkpoint().unwrap();
    commit_delete(&engine, hurt, &[1, 2, 3]);
    commit_delete(&engine, whole, &[1, 2, 3]);
    engine.checkpoint().unwrap();
    // A record that replay has to find the row of.
    commit_delete(&engine, hurt, &[4]);
    drop(engine);
    let dir = Path::new(DIR).join("deletes");
    let path = vfs.list(&dir).unwrap().into_iter().min().unwrap();
    let file = vfs.open(&path, OpenMode::ReadWrite).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 30).unwrap();
    file.write_all_at(&[byte[0] ^ 4], 30).unwrap();
    let faults = Engine::verify(vfs.clone(), Path::new(DIR)).unwrap().faults;
    assert!(matches!(&faults[..], [Error::Corrupt { path: named, .. }] if *named == path), "{faults:?}");
    for _ in 0..2 {
        let engine = open(&vfs);
        let error = engine.snapshot().scan(hurt, ScanSpec::default()).map(|_| ()).unwrap_err();
        assert!(matches!(&error, Error::Corrupt { path: named, .. } if *named == path), "{error}");
        assert_eq!(ids(&engine.snapshot(), whole).len(), 997);
        engine.checkpoint().unwrap();
    }
    file.write_all_at(&byte, 30).unwrap();
    assert_eq!(ids(&open(&vfs).snapshot(), hurt).len(), 996);
}
