//! Partitioned tables: rows apart in files, whole segments that go at once, and that it makes no difference to what anybody sees.

use crate::support::*;
use arrow::array::{AsArray, UInt64Array};
use arrow::datatypes::{Int64Type, UInt64Type};
use fastrand::Rng;
use lightning_storage::{
    Engine, Locking, PartitionBy, PartitionWidth, ScanSpec, TableDefinition, TableId, TableMode, Transaction,
};
use lightning_vfs::FaultyVfs;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

const WIDTH: i64 = 100_000;

fn partitioned(key: Vec<usize>) -> TableDefinition {
    let by = PartitionBy { column: 0, width: PartitionWidth::Values(WIDTH) };
    TableDefinition { partition: Some(by), time: Some(0), ..TableDefinition::new(schema(), key) }
}

fn create_partitioned(engine: &Arc<Engine>, key: Vec<usize>) -> TableId {
    let mut txn = engine.begin();
    let table = txn.create_table(partitioned(key)).unwrap();
    txn.commit().unwrap();
    table
}

/// Deletes a range of ids, whole segments at once and the rest one by one; how many rows at once.
fn delete_range(txn: &mut Transaction, table: TableId, range: RangeInclusive<i64>) -> (u64, u64) {
    assert!(is_free(txn.lock_table_alone(table)));
    txn.refresh().unwrap();
    let cut = txn.cut(table, range.clone()).unwrap();
    let snapshot = txn.snapshot();
    let scan = snapshot.scan(table, ScanSpec { projection: vec![0], places: true, ..ScanSpec::default() }).unwrap();
    let mut places = vec![];
    for batch in scan.reader() {
        let batch = batch.unwrap();
        let of = batch.column(1).as_primitive::<UInt64Type>().values();
        let ids = batch.column(0).as_primitive::<Int64Type>().values();
        places.extend(ids.iter().zip(of).filter(|(id, _)| range.contains(id)).map(|(_, place)| *place));
    }
    let rest = txn.delete(&snapshot, table, &UInt64Array::from(places)).unwrap();
    (cut, rest)
}

/// Whether a lock is to be had at once.
fn is_free(mut locking: Locking) -> bool {
    locking.advance(&mut || Box::new(|| {})).unwrap()
}

/// First and last id of each segment.
fn ranges(engine: &Arc<Engine>, table: TableId) -> Vec<(i64, i64)> {
    let snapshot = engine.snapshot();
    let segments = snapshot.segment_ranges(table).unwrap();
    segments.into_iter().map(|segment| segment.range.map_or((0, -1), |range| (*range.start(), *range.end()))).collect()
}

#[test]
fn every_way_into_segments_keeps_partitions_apart() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = create_partitioned(&engine, vec![0]);
    let is_apart = |ranges: &[(i64, i64)]| ranges.iter().all(|(first, last)| first / WIDTH == last / WIDTH);
    // In bulk, out of order.
    bulk(&engine, table, (0..200_000).map(|id| id * 7919 % 200_000));
    let ranges_now = ranges(&engine, table);
    assert!(is_apart(&ranges_now) && ranges_now.len() == 2, "{ranges_now:?}");
    // By flushes and their merges.
    for start in 0..10 {
        append(&engine, table, (200_000..400_000).filter(|id| id % 10 == start));
        engine.checkpoint().unwrap();
    }
    let ranges_now = ranges(&engine, table);
    assert!(is_apart(&ranges_now) && ranges_now.len() < 24, "{ranges_now:?}");
    engine.vacuum(table).unwrap();
    assert_eq!(ranges(&engine, table).len(), 4);
    assert_eq!(ids(&engine.snapshot(), table), (0..400_000).collect::<Vec<_>>());
    // Few rows of many partitions do not make many files.
    append(&engine, table, (10..1000).map(|partition| partition * WIDTH));
    engine.checkpoint().unwrap();
    assert_eq!(ranges(&engine, table).len(), 5);
    let engine = reopen(engine, &vfs);
    assert_eq!(ranges(&engine, table).len(), 5);
    drop(engine);
    verify(&vfs);
}

#[test]
fn a_partition_goes_with_its_files_and_stays_for_older_snapshots() {
    let vfs = memory();
    let engine = open(&vfs);
    for key in [vec![0], vec![]] {
        let table = create_partitioned(&engine, key);
        bulk(&engine, table, 0..400_000);
        let before = engine.snapshot();
        let files = segment_files(&vfs).len();
        let mut txn = engine.begin();
        assert_eq!(delete_range(&mut txn, table, 100_000..=199_999), (100_000, 0));
        // The partition that is cut in two goes row by row where it must.
        let (cut, rest) = delete_range(&mut txn, table, 0..=100_010);
        assert_eq!((cut, rest), (100_000, 0));
        let savepoint = txn.savepoint();
        assert_eq!(delete_range(&mut txn, table, 200_000..=200_009), (0, 10));
        txn.rollback_to(&savepoint).unwrap();
        txn.append(table, rows(100_000..100_005)).unwrap();
        let expected: Vec<i64> = (100_000..100_005).chain(200_000..400_000).collect();
        assert_eq!(ids(&txn.snapshot(), table), expected);
        assert_eq!(ids(&engine.snapshot(), table).len(), 400_000);
        txn.commit().unwrap();
        assert_eq!(ids(&engine.snapshot(), table), expected);
        assert_eq!(ids(&before, table).len(), 400_000);
        engine.checkpoint().unwrap();
        assert_eq!(ids(&before, table).len(), 400_000);
        drop(before);
        engine.checkpoint().unwrap();
        // A thread of its own removes them.
        while segment_files(&vfs).len() >= files {
            std::thread::yield_now();
        }
        assert_eq!(ids(&engine.snapshot(), table), expected);
    }
}

#[test]
fn what_cannot_be_cut_is_left() {
    let engine = open(&memory());
    let plain = create(&engine, 0..200_000);
    let table = create_partitioned(&engine, vec![0]);
    bulk(&engine, table, 0..200_000);
    let mut stale = engine.begin();
    append(&engine, table, [300_000]);
    // Somebody else has written since.
    assert_eq!(stale.cut(table, 0..=i64::MAX).unwrap(), 0);
    let mut txn = engine.begin();
    assert_eq!(txn.cut(plain, 0..=i64::MAX).unwrap(), 0);
    assert_eq!(txn.cut(table, 10..=49_998).unwrap(), 0);
    assert!(!txn.is_dirty());
    assert_eq!(txn.cut(table, i64::MIN..=i64::MAX).unwrap(), 200_000);
    assert_eq!(ids(&txn.snapshot(), table), [300_000]);
    txn.rollback();
    assert_eq!(ids(&engine.snapshot(), table).len(), 200_001);
}

/// A random history of a partitioned table beside a set, with the disk lost at random moments.
#[test]
fn random_histories_survive_crashes() {
    for seed in 0..rounds(12, 300) {
        let mut rng = Rng::with_seed(seed);
        let disk = FaultyVfs::new(seed);
        let mut vfs = disk.shared();
        let mut engine = open(&vfs);
        let table = create_partitioned(&engine, vec![0]);
        let mut model: BTreeSet<i64> = BTreeSet::new();
        let mut disk = disk;
        for step in 0..rounds(25, 60) {
            let context = format!("seed {seed}, step {step}");
            let mut txn = engine.begin();
            let mut next = model.clone();
            for _ in 0..rng.u8(1..4) {
                match rng.u8(..10) {
                    0..3 => {
                        let (start, step) = (rng.i64(-300_000..300_000), rng.i64(1..40));
                        let new: Vec<i64> = (0..rng.i64(1..30_000)).map(|n| start + n * step).collect();
                        let new: Vec<i64> = new.into_iter().filter(|id| next.insert(*id)).collect();
                        txn.append(table, rows(new)).unwrap();
                    }
                    3..5 => {
                        let new: Vec<i64> = (0..50).map(|_| rng.i64(-400_000..400_000)).collect();
                        let new: Vec<i64> = new.into_iter().filter(|id| next.insert(*id)).collect();
                        txn.append(table, rows(new)).unwrap();
                    }
                    5..7 => {
                        let some: Vec<i64> = next.iter().copied().filter(|_| rng.u8(..50) == 0).take(200).collect();
                        delete(&mut txn, table, &some).unwrap();
                        next.retain(|id| !some.contains(id));
                    }
                    _ => {
                        let first = rng.i64(-400_000..400_000);
                        let range = if rng.bool() {
                            first.div_euclid(WIDTH) * WIDTH..=first.div_euclid(WIDTH) * WIDTH + WIDTH - 1
                        } else {
                            first..=first + rng.i64(..200_000)
                        };
                        if txn.is_dirty() {
                            continue;
                        }
                        let (cut, rest) = delete_range(&mut txn, table, range.clone());
                        let before = next.len();
                        next.retain(|id| !range.contains(id));
                        assert_eq!(cut + rest, (before - next.len()) as u64, "{context}");
                    }
                }
            }
            if rng.u8(..4) == 0 {
                engine.checkpoint().unwrap();
            }
            match rng.u8(..6) {
                0 => txn.rollback(),
                _ => {
                    txn.commit().unwrap();
                    model = next;
                }
            }
            match rng.u8(..12) {
                0..3 => engine.checkpoint().unwrap(),
                3 => engine.vacuum(table).unwrap(),
                4 => {
                    disk = disk.crash_with(rng.u64(..));
                    drop(engine);
                    vfs = disk.shared();
                    engine = open(&vfs);
                }
                _ => {}
            }
            assert!(ids(&engine.snapshot(), table).iter().eq(model.iter()), "{context}");
        }
        let copy = open(&disk.crash_with(seed).shared());
        assert!(ids(&copy.snapshot(), table).iter().eq(model.iter()), "seed {seed}");
        drop(copy);
        drop(engine);
        verify(&vfs);
    }
}

/// The file of a partition that is gone was removed by the first recovery although the manifest still named it; the second could not read it to
/// find out that it is gone, and took the table for damaged.
#[test]
fn what_was_cut_is_gone_after_any_number_of_recoveries() {
    let run = |disk: &FaultyVfs, halt: Option<u64>| {
        let engine = open(&disk.shared());
        let table = create_partitioned(&engine, vec![0]);
        append(&engine, table, (0..30_000).map(|n| n * 10));
        engine.checkpoint().unwrap();
        let before = disk.operations();
        if let Some(halt) = halt {
            disk.halt_at(before + halt);
        }
        let mut txn = engine.begin();
        assert_eq!(delete_range(&mut txn, table, 0..=199_999), (20_000, 0));
        let is_committed = txn.commit().is_ok();
        // The flush that follows by itself, or what the halted disk has left of it.
        let _ = engine.checkpoint();
        drop(engine);
        (table, is_committed, disk.operations() - before)
    };
    let (_, _, operations) = run(&FaultyVfs::new(0), None);
    for halt in 1..=operations {
        let mut disk = FaultyVfs::new(halt);
        let (table, is_committed, _) = run(&disk, Some(halt));
        let mut known = None;
        for recovery in 0..4 {
            disk = disk.crash_with(halt * 10 + recovery);
            let found = ids(&open(&disk.shared()).snapshot(), table);
            let context = format!("halted at {halt} of {operations}, recovery {recovery}");
            assert_eq!(found.last(), Some(&299_990), "{context}");
            assert!(found.len() == 10_000 || !is_committed && found.len() == 30_000, "{context}: {}", found.len());
            assert_eq!(*known.get_or_insert(found.len()), found.len(), "{context}");
        }
        verify(&disk.shared());
    }
}

#[test]
fn writers_wait_for_one_who_takes_partitions_out() {
    let engine = open(&memory());
    let table = create_partitioned(&engine, vec![0]);
    bulk(&engine, table, 0..100_000);
    let mut txn = engine.begin();
    delete_range(&mut txn, table, 0..=99_999);
    let other = engine.begin();
    assert!(!is_free(other.lock_table(table, TableMode::RowExclusive)));
    txn.commit().unwrap();
    assert!(is_free(other.lock_table(table, TableMode::RowExclusive)));
}

/// Whether all of `ids`, and not much else, is among the times touched.
fn has_touched(txn: &Transaction, table: TableId, ids: &[i64]) -> bool {
    let snapshot = txn.snapshot();
    let ranges = snapshot.touched(table);
    assert_eq!(txn.touched().get(&table).map_or(&[][..], Vec::as_slice), ranges);
    let spread: i64 = ranges.iter().map(|range| range.end().saturating_sub(*range.start())).sum();
    ids.iter().all(|id| ranges.iter().any(|range| range.contains(id))) && spread < 2048 * (ids.len() as i64).max(1)
}

#[test]
fn a_transaction_knows_the_times_it_has_touched() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = create_partitioned(&engine, vec![]);
    bulk(&engine, table, 0..300_000);
    let engine = reopen(engine, &vfs);
    let mut txn = engine.begin();
    assert!(txn.touched().is_empty());
    txn.append(table, rows([-500_000, 7])).unwrap();
    let savepoint = txn.savepoint();
    delete(&mut txn, table, &[250_000, 120_000]).unwrap();
    assert!(has_touched(&txn, table, &[-500_000, 7, 250_000, 120_000]));
    txn.rollback_to(&savepoint).unwrap();
    assert!(has_touched(&txn, table, &[-500_000, 7]) && !has_touched(&txn, table, &[250_000]));
    delete_range(&mut txn, table, 100_000..=199_999);
    assert!(txn.snapshot().touched(table).iter().any(|range| range.contains(&100_000) && range.contains(&199_999)));
    txn.rollback();
    let mut txn = engine.begin();
    txn.expire();
    delete_range(&mut txn, table, 50_000..=199_999);
    assert!(txn.is_dirty() && txn.touched().is_empty());
    txn.rollback();
    let mut txn = engine.begin();
    let mut appender = txn.appender(table).unwrap();
    appender.push(rows(400_000..600_000)).unwrap();
    appender.finish(&mut txn).unwrap();
    assert_eq!(txn.touched()[&table].iter().map(|range| range.end() - range.start()).sum::<i64>(), 199_999);
    txn.truncate(table).unwrap();
    assert_eq!(txn.touched()[&table], [i64::MIN..=i64::MAX]);
}
