//! Flushes, checkpoints, merging of small segments.

use crate::support::*;

#[test]
fn checkpoint_moves_rows_to_segments_and_cuts_the_log() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = create(&engine, (0..1000).rev());
    let before = engine.snapshot();
    append(&engine, table, 1000..1500);
    engine.checkpoint().unwrap();
    let info = engine.snapshot().table(table).unwrap();
    assert_eq!((info.rows, info.mem_rows, info.blocks), (1500, 0, 1));
    assert!(engine.snapshot().statistics(table).unwrap().clustered);
    assert_eq!(ids(&before, table), (0..1000).collect::<Vec<_>>());
    let status = engine.wal_status();
    assert_eq!(status.checkpoint_lsn, status.last_lsn);
    append(&engine, table, 1500..1501);
    drop(before);
    let engine = reopen(engine, &vfs);
    assert_eq!(ids(&engine.snapshot(), table), (0..1501).collect::<Vec<_>>());
}

#[test]
fn many_checkpoints_leave_few_segments() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = create(&engine, []);
    let flushes = rounds(40, 400) as i64;
    for i in 0..flushes {
        append(&engine, table, i * 10..(i + 1) * 10);
        engine.checkpoint().unwrap();
    }
    assert_eq!(ids(&engine.snapshot(), table), (0..flushes * 10).collect::<Vec<_>>());
    assert!(engine.snapshot().table(table).unwrap().blocks < 10);
    let engine = reopen(engine, &vfs);
    assert!(segment_files(&vfs).len() < 10);
    assert_eq!(ids(&engine.snapshot(), table), (0..flushes * 10).collect::<Vec<_>>());
}

#[test]
fn memory_is_flushed_in_the_background_when_it_fills() {
    let vfs = memory();
    let options = lightning_storage::Options { memory_limit_bytes: 8 << 20, threads: 1 };
    let engine = lightning_storage::Engine::open(vfs.clone(), std::path::Path::new(DIR), options).unwrap();
    let table = create(&engine, []);
    // About 40 MB pass through a budget of 8.
    for i in 0..80 {
        append(&engine, table, i * 10_000..(i + 1) * 10_000);
    }
    assert!(engine.snapshot().table(table).unwrap().blocks > 0);
    assert_eq!(ids(&engine.snapshot(), table), (0..800_000).collect::<Vec<_>>());
}

#[test]
fn table_ids_are_not_used_twice_across_restarts() {
    let vfs = memory();
    let engine = open(&vfs);
    let first = create(&engine, 0..1);
    let mut txn = engine.begin();
    txn.drop_table(first).unwrap();
    txn.commit().unwrap();
    engine.checkpoint().unwrap();
    let engine = reopen(engine, &vfs);
    assert!(create(&engine, 0..1) > first);
}
