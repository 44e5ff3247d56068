//! Rows of small commits: in the delta tree of their table, and where they go from there.

use crate::support::*;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt64Type};
use fastrand::Rng;
use lightning_storage::{
    CompareOp, Engine, ErrorKind, Options, Predicate, Result, ScanSpec, Snapshot, TableDefinition, TableId, Transaction,
};
use lightning_vfs::{Fault, FaultyVfs, OperationKind, Vfs};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Values by key.
type Contents = BTreeMap<i64, i64>;

/// A table `id bigint primary key, value bigint, note text`.
fn create_values(engine: &Arc<Engine>) -> TableId {
    let fields = vec![
        Field::new("id", DataType::Int64, false),
        Field::new("value", DataType::Int64, true),
        Field::new("note", DataType::Utf8View, true),
    ];
    let mut txn = engine.begin();
    let table = txn.create_table(TableDefinition::new(Arc::new(Schema::new(fields)), vec![0])).unwrap();
    txn.commit().unwrap();
    table
}

fn put(txn: &mut Transaction, table: TableId, values: impl IntoIterator<Item = (i64, i64)>) -> Result<()> {
    let (ids, values): (Vec<i64>, Vec<i64>) = values.into_iter().unzip();
    let notes = values.iter().map(|value| (value % 3 > 0).then(|| format!("a note about the value {value}")));
    let schema = txn.snapshot().table(table)?.definition.schema;
    let notes: ArrayRef = Arc::new(StringViewArray::from_iter(notes));
    let columns = vec![Arc::new(Int64Array::from(ids)) as ArrayRef, Arc::new(Int64Array::from(values)), notes];
    txn.append(table, RecordBatch::try_new(schema, columns).unwrap())
}

fn keys(ids: &[i64]) -> [ArrayRef; 1] {
    [Arc::new(Int64Array::from(ids.to_vec()))]
}

/// How rows to delete are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Find {
    Key,
    Scan,
    /// A scan for each row that reads no others.
    Condition,
}

impl Find {
    fn any(rng: &mut Rng) -> Find {
        [Find::Key, Find::Scan, Find::Condition][rng.usize(..3)]
    }
}

fn places(snapshot: &Snapshot, table: TableId, ids: &[i64], predicates: Vec<Predicate>) -> Result<Vec<u64>> {
    let spec = ScanSpec { projection: vec![0], predicates, places: true, ..ScanSpec::default() };
    let mut places = vec![];
    for batch in snapshot.scan(table, spec)?.reader() {
        let batch = batch?;
        let of = batch.column(1).as_primitive::<UInt64Type>().values();
        let rows = batch.column(0).as_primitive::<Int64Type>().values().iter().zip(of);
        places.extend(rows.filter(|(id, _)| ids.contains(id)).map(|(_, place)| *place));
    }
    Ok(places)
}

/// Deletes the rows of `ids`, all of which are there.
fn take(txn: &mut Transaction, table: TableId, ids: &[i64], find: Find) -> Result<()> {
    let snapshot = txn.snapshot();
    let mut found: Vec<u64> = match find {
        Find::Key => snapshot.locate(table, &keys(ids))?.into_iter().flatten().collect(),
        Find::Scan => places(&snapshot, table, ids, vec![])?,
        Find::Condition => {
            let is = |id: &i64| Predicate::Compare { column: 0, op: CompareOp::Eq, value: keys(&[*id])[0].clone() };
            let found = ids.iter().map(|id| places(&snapshot, table, &[*id], vec![is(id)]));
            found.collect::<Result<Vec<_>>>()?.concat()
        }
    };
    // A row has one place, however it is found.
    let mut located: Vec<u64> = snapshot.locate(table, &keys(ids))?.into_iter().flatten().collect();
    found.sort_unstable();
    located.sort_unstable();
    assert_eq!(found, located);
    assert_eq!(txn.delete(&snapshot, table, &UInt64Array::from(found))?, ids.len() as u64);
    Ok(())
}

fn values_of(batch: &RecordBatch) -> Vec<(i64, i64)> {
    let (ids, values) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
    let notes = batch.column(2).as_string_view();
    for (value, note) in values.values().iter().zip(notes) {
        assert_eq!(note.map(str::to_owned), (value % 3 > 0).then(|| format!("a note about the value {value}")));
    }
    ids.values().iter().copied().zip(values.values().iter().copied()).collect()
}

fn contents(snapshot: &Snapshot, table: TableId) -> Contents {
    let scan = snapshot.scan(table, ScanSpec { projection: vec![0, 1, 2], ..ScanSpec::default() }).unwrap();
    let rows: Vec<(i64, i64)> = scan.reader().flat_map(|batch| values_of(&batch.unwrap())).collect();
    let contents: Contents = rows.iter().copied().collect();
    assert_eq!(contents.len(), rows.len(), "a key is there twice");
    assert_eq!(snapshot.table(table).unwrap().rows, rows.len() as u64);
    contents
}

/// Compares some keys, those that are there and others, without a scan.
fn check_points(snapshot: &Snapshot, table: TableId, expected: &Contents, rng: &mut Rng) {
    let ids: Vec<i64> = (0..rng.usize(1..6)).map(|_| rng.i64(-5..400)).collect();
    let (rows, numbers) = snapshot.find(table, &keys(&ids), &[0, 1, 2]).unwrap();
    let found = values_of(&rows).into_iter().zip(numbers).map(|((id, value), number)| (id, value, number));
    let wanted = ids.iter().zip(0u32..).filter_map(|(id, number)| Some((*id, *expected.get(id)?, number)));
    assert_eq!(found.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    let (low, high) = (ids[0], ids[0] + rng.i64(0..30));
    let predicates =
        vec![Predicate::Between { column: 0, low: keys(&[low])[0].clone(), high: keys(&[high])[0].clone() }];
    let spec = ScanSpec { projection: vec![0, 1, 2], predicates, ..ScanSpec::default() };
    let scan = snapshot.scan(table, spec).unwrap();
    let mut found: Vec<(i64, i64)> = scan.reader().flat_map(|batch| values_of(&batch.unwrap())).collect();
    found.sort_unstable();
    assert_eq!(found, expected.range(low..=high).map(|(id, value)| (*id, *value)).collect::<Vec<_>>());
    let statistics = snapshot.statistics(table).unwrap();
    assert_eq!(statistics.rows, expected.len() as u64);
    let bound = |bound: &Option<ArrayRef>| bound.as_ref().map(|b| b.as_primitive::<Int64Type>().value(0));
    let values = &statistics.columns[1];
    let (min, max) = (bound(&values.min), bound(&values.max));
    if values.min_max_exact {
        assert_eq!((min, max), (expected.values().min().copied(), expected.values().max().copied()));
    }
    assert!(expected.values().all(|value| min <= Some(*value) && max >= Some(*value)));
}

fn some_of(contents: &Contents, rng: &mut Rng, most: usize) -> Vec<i64> {
    let mut ids: Vec<i64> = contents.keys().copied().collect();
    rng.shuffle(&mut ids);
    ids.truncate(rng.usize(..=most));
    ids
}

/// One open transaction, and what the table is for it.
struct Open {
    txn: Transaction,
    contents: Contents,
    /// Keys it has written.
    changed: Vec<i64>,
    /// Commits before it.
    base: usize,
}

struct World {
    disk: FaultyVfs,
    vfs: Arc<dyn Vfs>,
    engine: Arc<Engine>,
    table: TableId,
    committed: Contents,
    /// The keys that each commit wrote.
    commits: Vec<Vec<i64>>,
    open: Vec<Open>,
    snapshots: Vec<(Snapshot, Contents)>,
    next_value: i64,
    refused: usize,
    failed: usize,
    /// Keys of commits that failed with the disk: whoever meets them later may be refused for nothing.
    failed_keys: Vec<i64>,
    rng: Rng,
}

impl World {
    fn new(seed: u64) -> World {
        let disk = FaultyVfs::new(seed);
        let vfs = disk.shared();
        let engine = open(&vfs);
        let table = create_values(&engine);
        let rng = Rng::with_seed(seed);
        World {
            disk,
            vfs,
            engine,
            table,
            committed: Contents::new(),
            commits: vec![],
            open: vec![],
            snapshots: vec![],
            next_value: 0,
            refused: 0,
            failed: 0,
            failed_keys: vec![],
            rng,
        }
    }

    fn step(&mut self) {
        match self.rng.u8(..100) {
            0..12 => {
                let (txn, contents, base) = (self.engine.begin(), self.committed.clone(), self.commits.len());
                self.open.push(Open { txn, contents, changed: vec![], base });
            }
            12..50 => self.statement(),
            50..75 => self.commit(),
            75..82 => self.snapshots.push((self.engine.snapshot(), self.committed.clone())),
            82..86 => {
                let keep = self.rng.usize(..4);
                self.rng.shuffle(&mut self.snapshots);
                self.snapshots.truncate(keep);
            }
            86..90 => self.engine.checkpoint().unwrap(),
            90..93 => self.fail_commit(),
            93 => self.reopen(),
            _ => self.check(),
        }
    }

    /// An insert, update or delete of one transaction; sometimes of so many rows that it makes no small commit.
    fn statement(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.open.len());
        let mut open = self.open.swap_remove(at);
        let (table, rng) = (self.table, &mut self.rng);
        let find = Find::any(rng);
        match rng.u8(..10) {
            0..3 => {
                let gone = some_of(&open.contents, rng, 4);
                take(&mut open.txn, table, &gone, find).unwrap();
                open.contents.retain(|id, _| !gone.contains(id));
                open.changed.extend(gone);
            }
            3..7 => {
                let most = if rng.u8(..8) == 0 { 3000 } else { 3 };
                let again = some_of(&open.contents, rng, most);
                take(&mut open.txn, table, &again, find).unwrap();
                let new: Vec<(i64, i64)> = again.iter().map(|id| (*id, self.next_value + id)).collect();
                put(&mut open.txn, table, new.iter().copied()).unwrap();
                open.contents.extend(new);
                open.changed.extend(again);
            }
            _ => {
                let range = match rng.u8(..12) {
                    0 => 1000..1000 + rng.i64(1000..4000),
                    _ => {
                        let first = rng.i64(0..400);
                        first..first + rng.i64(1..10)
                    }
                };
                let new: Vec<(i64, i64)> =
                    range.filter(|id| !open.contents.contains_key(id)).map(|id| (id, self.next_value + id)).collect();
                put(&mut open.txn, table, new.iter().copied()).unwrap();
                open.changed.extend(new.iter().map(|(id, _)| id));
                open.contents.extend(new);
            }
        }
        self.next_value += 10_000;
        self.open.push(open);
    }

    /// Commits one. When a key that it changed was written since its base, it must be refused if it was a row of its base. New keys that
    /// others had, too, are not for storage to find: such transactions are given up.
    fn commit(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.open.len());
        let Open { txn, contents, changed, base } = self.open.swap_remove(at);
        let written: Vec<i64> = self.commits[base..].iter().flatten().copied().collect();
        let contended: Vec<&i64> = changed.iter().filter(|id| written.contains(id)).collect();
        if contended.iter().any(|id| contents.contains_key(id)) {
            return;
        }
        match txn.commit() {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict);
                let met_failed = changed.iter().any(|id| self.failed_keys.contains(id));
                assert!(!contended.is_empty() || met_failed, "{error}");
                self.refused += 1;
            }
            Ok(_) => {
                // What it inserted and deleted itself is nothing to others.
                for id in changed.iter().filter(|id| !written.contains(id)) {
                    match contents.get(id) {
                        Some(value) => self.committed.insert(*id, *value),
                        None => self.committed.remove(id),
                    };
                }
                self.commits.push(changed);
            }
        }
    }

    /// A commit that finds the disk broken leaves nothing behind. If the log finds a way around, it is a commit like others.
    fn fail_commit(&mut self) {
        let mut txn = self.engine.begin();
        let again = some_of(&self.committed, &mut self.rng, 5);
        let find = Find::any(&mut self.rng);
        take(&mut txn, self.table, &again, find).unwrap();
        let new: Vec<(i64, i64)> = again.iter().map(|id| (*id, self.next_value + id)).collect();
        put(&mut txn, self.table, new.iter().copied()).unwrap();
        self.next_value += 10_000;
        let (first, fault) = (self.rng.i64(500..1000), if self.rng.bool() { Fault::Io } else { Fault::NoSpace });
        let more: Vec<(i64, i64)> =
            (first..first + 2).filter(|id| !self.committed.contains_key(id)).map(|id| (id, self.next_value)).collect();
        put(&mut txn, self.table, more.iter().copied()).unwrap();
        self.disk.fail(OperationKind::Write, 1, fault);
        let outcome = txn.commit();
        self.disk.heal();
        match outcome {
            Ok(_) => {
                self.committed.extend(new.iter().chain(&more).copied());
                self.commits.push(again.into_iter().chain(more.iter().map(|(id, _)| *id)).collect());
            }
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::DiskFull), "{error}");
                self.failed += 1;
                self.failed_keys.extend(again.into_iter().chain(more.iter().map(|(id, _)| *id)));
            }
        }
    }

    fn reopen(&mut self) {
        (self.open, self.snapshots) = (vec![], vec![]);
        let other = open(&memory());
        let old = std::mem::replace(&mut self.engine, other);
        self.engine = reopen(old, &self.vfs);
    }

    fn check(&mut self) {
        let (table, rng) = (self.table, &mut self.rng);
        let snapshot = self.engine.snapshot();
        check_points(&snapshot, table, &self.committed, rng);
        assert_eq!(contents(&snapshot, table), self.committed);
        for open in &self.open {
            check_points(&open.txn.snapshot(), table, &open.contents, rng);
            if rng.bool() {
                assert_eq!(contents(&open.txn.snapshot(), table), open.contents);
            }
        }
        for (snapshot, expected) in &self.snapshots {
            check_points(snapshot, table, expected, rng);
            if rng.bool() {
                assert_eq!(contents(snapshot, table), *expected);
            }
        }
    }
}

#[test]
fn small_and_large_commits_agree_with_a_plain_model() {
    let (mut refused, mut failed) = (0, 0);
    for seed in 0..rounds(12, 600) {
        let mut world = World::new(seed);
        for _ in 0..150 {
            world.step();
        }
        world.check();
        world.reopen();
        world.check();
        (refused, failed) = (refused + world.refused, failed + world.failed);
        let World { engine, vfs, .. } = world;
        drop(engine);
        verify(&vfs);
    }
    assert!(refused > 3 && failed > 3, "only {refused} transactions met another, and {failed} a broken disk");
}

#[test]
fn a_long_snapshot_keeps_its_answer_while_versions_nobody_sees_go() {
    let engine = open(&memory());
    let table = create_values(&engine);
    let mut txn = engine.begin();
    put(&mut txn, table, (0..10).map(|id| (id, id))).unwrap();
    txn.commit().unwrap();
    let update = |value: i64| {
        let mut txn = engine.begin();
        let id = value % 10;
        take(&mut txn, table, &[id], Find::Key).unwrap();
        put(&mut txn, table, [(id, value)]).unwrap();
        txn.commit().unwrap();
    };
    let mut kept: Vec<(Snapshot, Contents)> = vec![];
    let mut bytes = vec![];
    for round in 0..4 {
        kept.push((engine.snapshot(), contents(&engine.snapshot(), table)));
        (0..500).for_each(|value| update(1000 * (round + 1) + value));
        for (snapshot, expected) in &kept {
            assert_eq!(contents(snapshot, table), *expected);
            check_points(snapshot, table, expected, &mut Rng::with_seed(1));
        }
        bytes.push(engine.budget().used_bytes());
    }
    // Of 2,000 versions, some 200 kB, each snapshot keeps ten, and its decoded rows.
    assert!(bytes[3] < bytes[0] + 100_000, "{bytes:?}");
    assert_eq!(contents(&engine.snapshot(), table)[&9], 4499);
    drop(kept);
    update(5000);
    assert_eq!(contents(&engine.snapshot(), table)[&0], 5000);
}

#[test]
fn deleted_keys_leave_the_tree_and_their_memory_comes_back() {
    let engine = open(&memory());
    let table = create_values(&engine);
    let mut used = vec![];
    for round in 0..10 {
        for id in 0..200 {
            let mut txn = engine.begin();
            put(&mut txn, table, [(round * 1000 + id, id)]).unwrap();
            txn.commit().unwrap();
            let mut txn = engine.begin();
            take(&mut txn, table, &[round * 1000 + id], Find::Key).unwrap();
            txn.commit().unwrap();
        }
        used.push(engine.budget().used_bytes());
    }
    assert!(contents(&engine.snapshot(), table).is_empty());
    assert!(used[9] < used[0] + 10_000, "{used:?}");
}

#[test]
fn a_key_inserted_twice_stays_twice() {
    // Storage leaves it to others to see that keys are unique; what it was given it keeps.
    let engine = open(&memory());
    let table = create_values(&engine);
    for value in 0..2 {
        let mut txn = engine.begin();
        put(&mut txn, table, [(1, value), (2 + value, 9)]).unwrap();
        txn.commit().unwrap();
    }
    let mut txn = engine.begin();
    put(&mut txn, table, [(7, 1), (7, 2)]).unwrap();
    txn.commit().unwrap();
    let snapshot = engine.snapshot();
    let scan = snapshot.scan(table, ScanSpec { projection: vec![0, 1, 2], ..ScanSpec::default() }).unwrap();
    let mut rows: Vec<(i64, i64)> = scan.reader().flat_map(|batch| values_of(&batch.unwrap())).collect();
    rows.sort_unstable();
    assert_eq!(rows, [(1, 0), (1, 1), (2, 9), (3, 9), (7, 1), (7, 2)]);
}

#[test]
fn a_delta_tree_that_grows_large_is_flushed() {
    let engine = open(&memory());
    let table = create_values(&engine);
    let commits = 80;
    for commit in 0..commits {
        let mut txn = engine.begin();
        put(&mut txn, table, (0..1000).map(|row| (row * commits + commit, row))).unwrap();
        txn.commit().unwrap();
    }
    // The background has been told, and flushes when it comes to it.
    while engine.snapshot().table(table).unwrap().blocks == 0 {
        std::thread::yield_now();
    }
    assert_eq!(contents(&engine.snapshot(), table).len() as i64, commits * 1000);
}

/// Moves amounts between accounts: the sum is the same in every snapshot, however it is read.
#[test]
fn readers_see_whole_commits_while_rows_change_and_move() {
    const ACCOUNTS: i64 = 50;
    let options = Options { memory_limit_bytes: 64 << 20, threads: 2 };
    let engine = Engine::open(memory(), Path::new(DIR), options).unwrap();
    let table = create_values(&engine);
    let mut txn = engine.begin();
    put(&mut txn, table, (0..ACCOUNTS).map(|id| (id, 100))).unwrap();
    txn.commit().unwrap();
    let all: Vec<i64> = (0..ACCOUNTS).collect();
    let transfers = rounds(400, 20_000);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (engine, done, all) = (&engine, &done, &all);
            scope.spawn(move || {
                while !done.load(Ordering::Acquire) {
                    let snapshot = engine.snapshot();
                    let sum = |rows: Vec<(i64, i64)>| rows.iter().map(|(_, value)| value).sum::<i64>();
                    let total = match reader {
                        0 => contents(&snapshot, table).values().sum(),
                        1 => sum(values_of(&snapshot.find(table, &keys(all), &[0, 1, 2]).unwrap().0)),
                        _ => {
                            let places = snapshot.locate(table, &keys(all)).unwrap().into_iter().flatten();
                            let places = UInt64Array::from_iter_values(places);
                            sum(values_of(&snapshot.rows_at(table, &places, &[0, 1, 2]).unwrap()))
                        }
                    };
                    assert_eq!(total, 100 * ACCOUNTS);
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                engine.checkpoint().unwrap();
                std::thread::yield_now();
            }
        });
        let mut rng = Rng::with_seed(3);
        for _ in 0..transfers {
            let (from, amount) = (rng.i64(0..ACCOUNTS), rng.i64(0..10));
            let to = (from + rng.i64(1..ACCOUNTS)) % ACCOUNTS;
            let mut txn = engine.begin();
            let found = values_of(&txn.snapshot().find(table, &keys(&[from, to]), &[0, 1, 2]).unwrap().0);
            let (a, b) = (found[0].1, found[1].1);
            take(&mut txn, table, &[from, to], Find::any(&mut rng)).unwrap();
            put(&mut txn, table, [(from, a - amount), (to, b + amount)]).unwrap();
            txn.commit().unwrap();
        }
        done.store(true, Ordering::Release);
    });
}

/// Prints what small commits, points and scans cost:
/// `LIGHTNING_LONG=1 cargo test --release -p lightning-storage --test main delta::figures -- --nocapture`.
#[test]
fn figures_of_small_commits_points_and_scans() {
    let rows = rounds(500, 60_000) as i64;
    let options = Options { memory_limit_bytes: 1 << 30, threads: 2 };
    let engine = Engine::open(memory(), Path::new(DIR), options).unwrap();
    let table = create_values(&engine);
    let ns = |count: i64, run: &mut dyn FnMut()| {
        let start = std::time::Instant::now();
        run();
        start.elapsed().as_nanos() as f64 / count as f64
    };
    let mut order: Vec<i64> = (0..rows).collect();
    let mut rng = Rng::with_seed(1);
    rng.shuffle(&mut order);
    let insert = |ids: &[i64]| {
        for id in ids {
            let mut txn = engine.begin();
            put(&mut txn, table, [(*id, *id)]).unwrap();
            txn.commit().unwrap();
        }
    };
    let (one, many) = order.split_at(order.len() / 2);
    let inserts = ns(one.len() as i64, &mut || insert(one));
    let parallel = ns(many.len() as i64, &mut || {
        std::thread::scope(|scope| many.chunks(many.len() / 8 + 1).for_each(|ids| drop(scope.spawn(|| insert(ids)))));
    });
    let snapshot = engine.snapshot();
    let points = ns(rows, &mut || {
        for id in &order {
            assert_eq!(snapshot.find(table, &keys(&[*id]), &[0, 1]).unwrap().1.len(), 1);
        }
    });
    let batches = ns(rows, &mut || {
        for ids in order.chunks(64) {
            assert_eq!(snapshot.find(table, &keys(ids), &[0, 1]).unwrap().1.len(), ids.len());
        }
    });
    let scan = |snapshot: &Snapshot| {
        let spec = ScanSpec { projection: vec![0, 1, 2], ..ScanSpec::default() };
        let scan = snapshot.scan(table, spec).unwrap();
        assert_eq!(scan.reader().map(|batch| batch.unwrap().num_rows()).sum::<usize>(), rows as usize);
    };
    let first = ns(rows, &mut || scan(&snapshot));
    let again = ns(rows, &mut || scan(&snapshot));
    let updates = ns(rows / 4, &mut || {
        for id in &order[..order.len() / 4] {
            let mut txn = engine.begin();
            take(&mut txn, table, &[*id], Find::Key).unwrap();
            put(&mut txn, table, [(*id, id + 1)]).unwrap();
            txn.commit().unwrap();
        }
    });
    println!("{rows} rows of 8 + 8 + about 25 bytes, memory file system; ns each");
    println!("commit of one row: {inserts:.0}, by 8 threads {parallel:.0}; of one update: {updates:.0}");
    println!("find: one key {points:.0}, of 64 keys {batches:.0}; scan: first {first:.1}, again {again:.1} a row");
}
