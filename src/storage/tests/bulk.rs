//! Bulk loads: straight to segments, in parallel, or not at all.

use crate::support::*;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use lightning_storage::{Error, ScanSpec};

const BLOCK: i64 = 122_880;

#[test]
fn bulk_rows_go_to_segments_and_survive_reopening() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = create(&engine, []);
    bulk(&engine, table, 0..2 * BLOCK + 5);
    let info = engine.snapshot().table(table).unwrap();
    assert_eq!((info.mem_rows, info.blocks), (0, 3));
    assert_eq!(ids(&engine.snapshot(), table), (0..2 * BLOCK + 5).collect::<Vec<_>>());
    let engine = reopen(engine, &vfs);
    assert_eq!(ids(&engine.snapshot(), table), (0..2 * BLOCK + 5).collect::<Vec<_>>());
    drop(engine);
    assert!(verify(&vfs).pages > 0);
}

#[test]
fn few_rows_of_an_appender_stay_in_memory() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = create(&engine, []);
    bulk(&engine, table, 0..1000);
    assert_eq!(engine.snapshot().table(table).unwrap().mem_rows, 1000);
    assert!(segment_files(&vfs).is_empty());
}

#[test]
fn ordered_load_is_clustered_and_a_scan_yields_the_order() {
    let engine = open(&memory());
    let table = create(&engine, []);
    // The second load comes before the first in key order.
    bulk(&engine, table, BLOCK..2 * BLOCK);
    bulk(&engine, table, 0..BLOCK);
    let snapshot = engine.snapshot();
    let statistics = snapshot.statistics(table).unwrap();
    assert!(statistics.clustered);
    assert_eq!(statistics.columns[0].min.as_ref().unwrap().as_primitive::<Int64Type>().value(0), 0);
    assert_eq!(statistics.columns[0].max.as_ref().unwrap().as_primitive::<Int64Type>().value(0), 2 * BLOCK - 1);
    assert_eq!(statistics.columns[1].nulls, (2 * BLOCK as u64).div_ceil(7));
    let scan = snapshot.scan(table, ScanSpec { projection: vec![0], ..ScanSpec::default() }).unwrap();
    let mut next = 0;
    for batch in scan.reader() {
        for id in batch.unwrap().column(0).as_primitive::<Int64Type>().values() {
            assert_eq!(*id, next);
            next += 1;
        }
    }
    assert_eq!(next, 2 * BLOCK);
    append(&engine, table, [-1]);
    assert!(!engine.snapshot().statistics(table).unwrap().clustered);
}

#[test]
fn rows_out_of_order_are_sorted_within_blocks_and_overlap_is_known() {
    let engine = open(&memory());
    let table = create(&engine, []);
    bulk(&engine, table, (0..2 * BLOCK).map(|i| (i * 7919) % (2 * BLOCK)));
    let snapshot = engine.snapshot();
    assert!(!snapshot.statistics(table).unwrap().clustered);
    assert_eq!(ids(&snapshot, table), (0..2 * BLOCK).collect::<Vec<_>>());
    let blocks = snapshot.blocks(table).unwrap();
    assert_eq!(blocks.len(), 4);
    assert!(blocks.iter().all(|block| block.segment.is_some() && block.rows == BLOCK as u64));
}

#[test]
fn rolled_back_load_leaves_no_file() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = create(&engine, []);
    let mut txn = engine.begin();
    let mut appender = txn.appender(table).unwrap();
    appender.push(rows(0..BLOCK + 1)).unwrap();
    appender.finish(&mut txn).unwrap();
    assert_eq!(ids(&txn.snapshot(), table).len() as i64, BLOCK + 1);
    assert_eq!(segment_files(&vfs).len(), 1);
    txn.rollback();
    let mut txn = engine.begin();
    let mut appender = txn.appender(table).unwrap();
    appender.push(rows(0..BLOCK + 1)).unwrap();
    drop(appender);
    txn.rollback();
    // Closing waits for the removals.
    drop(engine);
    assert!(segment_files(&vfs).is_empty());
}

#[test]
fn appender_of_another_transaction_is_refused() {
    let engine = open(&memory());
    let table = create(&engine, []);
    let (mut one, mut two) = (engine.begin(), engine.begin());
    let appender = one.appender(table).unwrap();
    assert!(matches!(appender.finish(&mut two), Err(Error::Unsupported(_))));
}

#[test]
fn many_buffered_rows_spill_to_segments_and_the_transaction_sees_them() {
    let engine = open(&memory());
    let table = create(&engine, []);
    let mut txn = engine.begin();
    for start in 0..13 {
        txn.append(table, rows(start * 10_000..(start + 1) * 10_000)).unwrap();
    }
    assert_eq!(ids(&txn.snapshot(), table), (0..130_000).collect::<Vec<_>>());
    assert!(txn.snapshot().table(table).unwrap().blocks > 0);
    txn.commit().unwrap();
    assert_eq!(ids(&engine.snapshot(), table), (0..130_000).collect::<Vec<_>>());
}

#[test]
fn dropped_and_truncated_tables_give_their_files_back() {
    let vfs = memory();
    let engine = open(&vfs);
    let (one, two) = (create(&engine, []), create(&engine, []));
    bulk(&engine, one, 0..BLOCK);
    bulk(&engine, two, 0..BLOCK);
    let before = engine.snapshot();
    let mut txn = engine.begin();
    txn.drop_table(one).unwrap();
    txn.truncate(two).unwrap();
    txn.commit().unwrap();
    engine.checkpoint().unwrap();
    // A snapshot still reads them.
    assert_eq!(ids(&before, one).len() as i64, BLOCK);
    drop(before);
    let engine = reopen(engine, &vfs);
    assert!(segment_files(&vfs).is_empty());
    assert!(ids(&engine.snapshot(), two).is_empty());
}

#[test]
fn loads_that_compete_for_little_memory_all_finish() {
    let options = lightning_storage::Options { memory_limit_bytes: 4 << 20, threads: 2 };
    let engine = lightning_storage::Engine::open(memory(), std::path::Path::new(DIR), options).unwrap();
    let table = create(&engine, []);
    let rows_each = 150_000;
    std::thread::scope(|scope| {
        for load in 0..3 {
            let engine = &engine;
            scope.spawn(move || bulk(engine, table, load * rows_each..(load + 1) * rows_each));
        }
    });
    assert_eq!(ids(&engine.snapshot(), table), (0..3 * rows_each).collect::<Vec<_>>());
}
