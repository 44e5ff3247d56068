//! Runs that are merged, and tables that are brought into order.

use crate::support::*;
use fastrand::Rng;
use lightning_storage::{Engine, Options, Snapshot, TableId};
use std::path::Path;
use std::sync::Arc;

/// How many blocks of `table` are in segments, and whether they overlap or have deleted rows.
fn order(snapshot: &Snapshot, table: TableId) -> (usize, bool, u64) {
    let statistics = snapshot.statistics(table).unwrap();
    (snapshot.table(table).unwrap().blocks, statistics.clustered, statistics.dead_rows)
}

/// Loads shuffled `ids` in blocks that overlap.
fn load(engine: &Arc<Engine>, table: TableId, ids: &[i64]) {
    let mut txn = engine.begin();
    let mut appender = txn.appender(table).unwrap();
    ids.chunks(50_000).for_each(|piece| appender.push(rows(piece.iter().copied())).unwrap());
    appender.finish(&mut txn).unwrap();
    txn.commit().unwrap();
}

fn shuffled(end: i64) -> Vec<i64> {
    let mut ids: Vec<i64> = (0..end).collect();
    Rng::with_seed(7).shuffle(&mut ids);
    ids
}

#[test]
fn vacuum_leaves_no_deleted_row_and_no_overlap() {
    let vfs = memory();
    // So little memory that rows are rewritten in pieces.
    let engine =
        Engine::open(vfs.clone(), Path::new(DIR), Options { memory_limit_bytes: 64 << 20, threads: 2 }).unwrap();
    let table = create(&engine, []);
    load(&engine, table, &shuffled(600_000));
    engine.checkpoint().unwrap();
    assert!(!order(&engine.snapshot(), table).1, "blocks overlap");
    let old = engine.snapshot();
    let some: Vec<i64> = (0..600_000).step_by(1_000).collect();
    let mut txn = engine.begin();
    delete(&mut txn, table, &some).unwrap();
    // Some of them are back.
    txn.append(table, rows(some.iter().copied().take(100))).unwrap();
    txn.commit().unwrap();
    let expected: Vec<i64> = (0..600_000).filter(|id| id % 1_000 != 0 || *id < 100_000).collect();
    engine.vacuum(table).unwrap();
    assert_eq!(ids(&engine.snapshot(), table), expected);
    assert_eq!(order(&engine.snapshot(), table), (5, true, 0));
    assert_eq!(ids(&old, table), (0..600_000).collect::<Vec<_>>());
    let changes = engine.snapshot().changes(table, &old).unwrap();
    assert_eq!((changes.deleted.num_rows(), changes.inserted.num_rows()), (500, 0));
    // There is nothing left to do.
    engine.vacuum(table).unwrap();
    drop(old);
    let engine = reopen(engine, &vfs);
    assert_eq!(ids(&engine.snapshot(), table), expected);
    assert_eq!(order(&engine.snapshot(), table), (5, true, 0));
    drop(engine);
    verify(&vfs);
}

#[test]
fn rows_deleted_while_a_table_is_rewritten_stay_deleted() {
    let vfs = memory();
    let engine =
        Engine::open(vfs.clone(), Path::new(DIR), Options { memory_limit_bytes: 64 << 20, threads: 2 }).unwrap();
    let table = create(&engine, []);
    load(&engine, table, &shuffled(300_000));
    let rounds = if std::env::var_os("LIGHTNING_LONG").is_some() { 40 } else { 6 };
    std::thread::scope(|scope| {
        let engine = &engine;
        let writer = scope.spawn(move || {
            for round in 0..rounds {
                let mut txn = engine.begin();
                let gone: Vec<i64> = (0..40).map(|n| n * 7_001 % 300_000 + round).collect();
                delete(&mut txn, table, &gone).unwrap();
                txn.append(table, rows([1_000_000 + round])).unwrap();
                txn.commit().unwrap();
            }
        });
        while !writer.is_finished() {
            engine.vacuum(table).unwrap();
        }
        engine.vacuum(table).unwrap();
    });
    let gone: std::collections::HashSet<i64> =
        (0..rounds).flat_map(|round| (0..40).map(move |n| n * 7_001 % 300_000 + round)).collect();
    let expected: Vec<i64> =
        (0..300_000).filter(|id| !gone.contains(id)).chain(1_000_000..1_000_000 + rounds).collect();
    assert_eq!(ids(&engine.snapshot(), table), expected);
    let engine = reopen(engine, &vfs);
    assert_eq!(ids(&engine.snapshot(), table), expected);
}

#[test]
fn runs_that_lie_too_deep_are_merged_by_themselves() {
    let engine = open(&memory());
    let table = create(&engine, []);
    let all = shuffled(122_880 * 10);
    // Ten runs over the same keys, of a block each.
    for ids in all.chunks(122_880) {
        load(&engine, table, ids);
        engine.checkpoint().unwrap();
    }
    let blocks = engine.snapshot().blocks(table).unwrap();
    let of_ids: Vec<(i64, i64)> = blocks
        .iter()
        .filter(|block| block.column == 0)
        .map(|block| {
            let value = |bound: &Option<arrow::array::ArrayRef>| {
                use arrow::array::AsArray;
                bound.as_ref().unwrap().as_primitive::<arrow::datatypes::Int64Type>().value(0)
            };
            (value(&block.min), value(&block.max))
        })
        .collect();
    let depth = |at: i64| of_ids.iter().filter(|(min, max)| *min <= at && at <= *max).count();
    let deepest = of_ids.iter().map(|(min, _)| depth(*min)).max().unwrap();
    assert!(deepest < 8, "{deepest} blocks over one key: {of_ids:?}");
    assert_eq!(ids(&engine.snapshot(), table).len(), all.len());
}
