//! One log, two engines: what stands in it is all that counts, whenever rows were flushed, whoever looked at them, and however often the power went.

use crate::support::*;
use arrow::array::{ArrayRef, AsArray, Int64Array, UInt64Array};
use arrow::datatypes::Int64Type;
use fastrand::Rng;
use lightning_storage::{CompareOp, Engine, Predicate, ScanSpec, Snapshot, TableDefinition, TableId, Transaction};
use lightning_vfs::FaultyVfs;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a commit does.
#[derive(Clone, Debug)]
enum Work {
    Insert(Vec<i64>),
    /// The same keys again, in the same commit.
    Update(Vec<i64>),
    Delete(Vec<i64>),
    Load(Vec<i64>),
    Truncate,
    /// Another table under the same name.
    Recreate,
    Index,
    DropIndex,
}

/// The name space of the test: table and index of each name.
type Names = BTreeMap<u8, (TableId, Option<TableId>)>;

fn apply(txn: &mut Transaction, names: &mut Names, name: u8, work: &Work) {
    let (table, index) = names[&name];
    match work {
        Work::Insert(ids) => txn.append(table, rows(ids.iter().copied())).unwrap(),
        Work::Update(ids) => {
            assert_eq!(delete(txn, table, ids).unwrap(), ids.len() as u64);
            txn.append(table, rows(ids.iter().rev().copied())).unwrap();
        }
        Work::Delete(ids) => assert_eq!(delete(txn, table, ids).unwrap(), ids.len() as u64),
        Work::Load(ids) => {
            let mut appender = txn.appender(table).unwrap();
            ids.chunks(40_000).for_each(|piece| appender.push(rows(piece.iter().copied())).unwrap());
            appender.finish(txn).unwrap();
        }
        Work::Truncate => txn.truncate(table).unwrap(),
        Work::Recreate => {
            txn.drop_table(table).unwrap();
            let new = txn.create_table(definition_of(name)).unwrap();
            names.insert(name, (new, None));
        }
        Work::Index => {
            let index = txn.create_index(table, &[1]).unwrap();
            names.insert(name, (table, Some(index)));
        }
        Work::DropIndex => {
            txn.drop_table(index.unwrap()).unwrap();
            names.insert(name, (table, None));
        }
    }
}

fn definition_of(name: u8) -> TableDefinition {
    if name.is_multiple_of(2) { definition() } else { keyless() }
}

/// One engine, and what happens to it alone.
struct Side {
    disk: FaultyVfs,
    engine: Arc<Engine>,
    names: Names,
    rng: Rng,
    /// Snapshots and the number of commits they see.
    snapshots: Vec<(usize, Snapshot, Names)>,
}

impl Side {
    fn new(seed: u64) -> Side {
        let disk = FaultyVfs::new(seed);
        let engine = open(&disk.shared());
        Side { disk, engine, names: Names::new(), rng: Rng::with_seed(seed), snapshots: vec![] }
    }

    fn commit(&mut self, name: u8, work: &Work) {
        let mut txn = self.engine.begin();
        apply(&mut txn, &mut self.names, name, work);
        txn.commit().unwrap();
    }

    /// Whatever may happen between two commits.
    fn drift(&mut self, commits: usize) {
        match self.rng.u32(0..20) {
            0 | 1 => self.engine.checkpoint().unwrap(),
            2 => {
                if let Some((table, index)) = self.rng.choice(self.names.values().copied().collect::<Vec<_>>()) {
                    self.engine.vacuum(table).unwrap();
                    index.iter().for_each(|index| self.engine.vacuum(*index).unwrap());
                }
            }
            3..6 => self.snapshots.push((commits, self.engine.snapshot(), self.names.clone())),
            6 => drop(self.snapshots.pop()),
            7 => {
                // The power goes: open snapshots with it, and what was not synced.
                self.snapshots.clear();
                self.disk = self.disk.crash_with(self.rng.u64(..));
                self.engine = open(&self.disk.shared());
            }
            _ => {}
        }
    }
}

/// What a snapshot answers about a table, in every way there is to ask.
fn answers(snapshot: &Snapshot, (table, index): (TableId, Option<TableId>), is_keyed: bool) -> Vec<i64> {
    let mut found = ids(snapshot, table);
    found.sort_unstable();
    assert_eq!(snapshot.table(table).unwrap().rows, found.len() as u64);
    if let Some(index) = index {
        let columns = snapshot.table(index).unwrap().definition.schema.fields().len();
        let mut through = vec![];
        let spec = ScanSpec { projection: (0..columns).collect(), ..ScanSpec::default() };
        for entries in snapshot.scan(index, spec).unwrap().reader() {
            let places = snapshot.places_of(index, &entries.unwrap()).unwrap();
            let rows = snapshot.rows_at(table, &places, &[0]).unwrap();
            through.extend_from_slice(rows.column(0).as_primitive::<Int64Type>().values());
        }
        through.sort_unstable();
        assert_eq!(through, found);
    }
    if is_keyed && let Some(&some) = found.get(found.len() / 2) {
        let value = |id: i64| Arc::new(Int64Array::from(vec![id])) as ArrayRef;
        let missing = (some..).find(|id| !found.contains(id)).unwrap();
        let places = snapshot.locate(table, &[Arc::new(Int64Array::from(vec![some, missing]))]).unwrap();
        assert_eq!(places.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
        let from = [Predicate::Compare { column: 0, op: CompareOp::GtEq, value: value(some) }];
        let first = snapshot.key_rows(table, &from).unwrap().unwrap().first(3, false).unwrap();
        let read = |places: &UInt64Array| {
            let rows = snapshot.rows_at(table, places, &[0]).unwrap();
            rows.column(0).as_primitive::<Int64Type>().values().to_vec()
        };
        let expected: Vec<i64> = found.iter().copied().filter(|id| *id >= some).take(3).collect();
        assert_eq!(read(&first), expected);
    }
    found
}

fn next_work(rng: &mut Rng, known: &BTreeSet<i64>, has_index: bool, next: &mut i64) -> Work {
    let some = |rng: &mut Rng| {
        let mut all: Vec<i64> = known.iter().copied().collect();
        rng.shuffle(&mut all);
        let most = if rng.u8(..6) == 0 { 3_000 } else { 30 };
        all.truncate(rng.usize(..=most));
        all
    };
    let mut new = |count: i64| {
        let ids = (*next..*next + count).collect::<Vec<_>>();
        *next += count;
        ids
    };
    match rng.u32(0..40) {
        0..14 => {
            let mut ids = new(rng.i64(1..40));
            rng.shuffle(&mut ids);
            Work::Insert(ids)
        }
        14..24 => Work::Update(some(rng)),
        24..34 => Work::Delete(some(rng)),
        34 => {
            let mut ids = new(rng.i64(2_000..60_000));
            rng.shuffle(&mut ids);
            Work::Load(ids)
        }
        35 => Work::Truncate,
        36 => Work::Recreate,
        _ if has_index => Work::DropIndex,
        _ => Work::Index,
    }
}

#[test]
fn two_engines_that_apply_one_log_answer_the_same() {
    let (seeds, commits) = if std::env::var_os("LIGHTNING_LONG").is_some() { (40, 400) } else { (2, 80) };
    for seed in 0..seeds {
        let mut rng = Rng::with_seed(seed);
        let mut sides = [Side::new(2 * seed + 100), Side::new(2 * seed + 101)];
        for side in &mut sides {
            let mut txn = side.engine.begin();
            for name in 0..3 {
                side.names.insert(name, (txn.create_table(definition_of(name)).unwrap(), None));
            }
            txn.commit().unwrap();
        }
        let mut known: BTreeMap<u8, BTreeSet<i64>> = (0..3).map(|name| (name, BTreeSet::new())).collect();
        let mut history = vec![known.clone()];
        let mut next = 0;
        for commit in 1..=commits {
            let name = rng.u8(0..3);
            let has_index = sides[0].names[&name].1.is_some();
            let work = next_work(&mut rng, &known[&name], has_index, &mut next);
            let ids = known.get_mut(&name).unwrap();
            match &work {
                Work::Insert(new) | Work::Load(new) => ids.extend(new),
                Work::Delete(gone) => gone.iter().for_each(|id| assert!(ids.remove(id))),
                Work::Truncate | Work::Recreate => ids.clear(),
                Work::Update(_) | Work::Index | Work::DropIndex => {}
            }
            history.push(known.clone());
            for side in &mut sides {
                side.commit(name, &work);
                side.drift(commit);
            }
            let check = |snapshot: &Snapshot, names: &Names, at: usize| {
                for (name, place) in names {
                    let found = answers(snapshot, *place, name % 2 == 0);
                    let expected: Vec<i64> = history[at][name].iter().copied().collect();
                    assert_eq!(found, expected, "seed {seed}, table {name} after commit {at} of {commit}");
                }
            };
            if commit % 8 == 0 || commit == commits {
                for side in &mut sides {
                    check(&side.engine.snapshot(), &side.names, commit);
                    for (at, snapshot, names) in &side.snapshots {
                        check(snapshot, names, *at);
                    }
                    // The log as it is on disk now, into an engine of its own.
                    let copy = open(&side.disk.crash_with(commit as u64).shared());
                    check(&copy.snapshot(), &side.names, commit);
                }
            }
        }
    }
}
