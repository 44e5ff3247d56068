//! The engine against a plain model: random operations, checked every few.

use crate::support::*;
use arrow::array::{Array, AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::{Int64Type, UInt64Type};
use fastrand::Rng;
use lightning_storage::{Engine, Moves, ScanSpec, Snapshot, TableId, Transaction};
use lightning_vfs::Vfs;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

type Tables = BTreeMap<TableId, Vec<i64>>;

struct World {
    vfs: Arc<dyn Vfs>,
    engine: Arc<Engine>,
    committed: Tables,
    open: Option<(Transaction, Tables)>,
    snapshots: Vec<(Snapshot, Tables)>,
    next_id: i64,
    rng: Rng,
}

impl World {
    fn new(seed: u64) -> World {
        let vfs = memory();
        let engine = open(&vfs);
        let rng = Rng::with_seed(seed);
        World { vfs, engine, committed: Tables::new(), open: None, snapshots: vec![], next_id: 0, rng }
    }

    fn new_ids(&mut self, count: i64) -> Vec<i64> {
        let mut ids: Vec<i64> = (self.next_id..self.next_id + count).collect();
        self.next_id += count;
        if self.rng.bool() {
            self.rng.shuffle(&mut ids);
        }
        ids
    }

    fn step(&mut self) {
        match self.rng.u32(..100) {
            0..8 => self.change(|world, txn, tables| {
                let definition = if world.rng.bool() { definition() } else { keyless() };
                tables.insert(txn.create_table(definition).unwrap(), vec![]);
            }),
            8..11 => self.change_table(|_, txn, table, tables| {
                txn.drop_table(table).unwrap();
                tables.remove(&table);
            }),
            11..15 => self.change_table(|_, txn, table, tables| {
                txn.truncate(table).unwrap();
                tables.insert(table, vec![]);
            }),
            15..25 => self.change_table(|world, txn, table, tables| {
                let gone = world.some_of(&tables[&table]);
                assert_eq!(delete(txn, table, &gone).unwrap(), gone.len() as u64);
                tables.get_mut(&table).unwrap().retain(|id| !gone.contains(id));
                if world.rng.bool() {
                    // An update: the same key again.
                    txn.append(table, rows(gone.iter().copied())).unwrap();
                    tables.get_mut(&table).unwrap().extend(gone);
                }
            }),
            25..45 => self.change_table(|world, txn, table, tables| {
                let count = world.rng.i64(0..50);
                let ids = world.new_ids(count);
                txn.append(table, rows(ids.iter().copied())).unwrap();
                tables.get_mut(&table).unwrap().extend(ids);
            }),
            45..46 => self.change_table(|world, txn, table, tables| {
                let count = world.rng.i64(100_000..140_000);
                let ids = world.new_ids(count);
                let mut appender = txn.appender(table).unwrap();
                ids.chunks(50_000).for_each(|piece| appender.push(rows(piece.iter().copied())).unwrap());
                appender.finish(txn).unwrap();
                tables.get_mut(&table).unwrap().extend(ids);
            }),
            46..65 => {
                if let Some((txn, tables)) = self.open.take() {
                    txn.commit().unwrap();
                    self.committed = tables;
                }
            }
            65..70 => {
                if let Some((txn, _)) = self.open.take() {
                    txn.rollback();
                }
            }
            70..80 => self.snapshots.push((self.engine.snapshot(), self.committed.clone())),
            80..88 => {
                let keep = self.rng.usize(..3);
                self.snapshots.truncate(keep);
            }
            88..93 => self.engine.checkpoint().unwrap(),
            93..96 => {
                let known: Vec<TableId> = self.committed.keys().copied().collect();
                if let Some(table) = self.rng.choice(known) {
                    self.engine.vacuum(table).unwrap();
                }
            }
            _ => self.reopen(),
        }
    }

    /// Up to 40 of the ids, or nearly all of them.
    fn some_of(&mut self, ids: &[i64]) -> Vec<i64> {
        let mut some = ids.to_vec();
        self.rng.shuffle(&mut some);
        let most = if self.rng.u8(..5) == 0 && ids.len() < 5000 { ids.len() } else { 40 };
        some.truncate(self.rng.usize(..=most.min(ids.len())));
        some
    }

    fn change(&mut self, change: impl FnOnce(&mut World, &mut Transaction, &mut Tables)) {
        let (mut txn, mut tables) = self.open.take().unwrap_or_else(|| (self.engine.begin(), self.committed.clone()));
        change(self, &mut txn, &mut tables);
        self.open = Some((txn, tables));
    }

    fn change_table(&mut self, change: impl FnOnce(&mut World, &mut Transaction, TableId, &mut Tables)) {
        self.change(|world, txn, tables| {
            let known: Vec<TableId> = tables.keys().copied().collect();
            if let Some(table) = world.rng.choice(known) {
                change(world, txn, table, tables);
            }
        });
    }

    fn reopen(&mut self) {
        self.open = None;
        let old = std::mem::replace(&mut self.engine, open(&memory()));
        self.engine = reopen(old, &self.vfs);
    }

    fn check(&self) {
        check(&self.engine.snapshot(), &self.committed);
        if let Some((txn, tables)) = &self.open {
            check(&txn.snapshot(), tables);
            // What a transaction has written is different to it from what was there, and from what others see.
            for (snapshot, older) in self.snapshots.first().into_iter().chain(self.snapshots.last()) {
                check_changes(&txn.snapshot(), tables, snapshot, older);
            }
        }
        if let Some((snapshot, tables)) = self.snapshots.last() {
            check(snapshot, tables);
        }
        if let Some((snapshot, tables)) = self.snapshots.first() {
            check_changes(&self.engine.snapshot(), &self.committed, snapshot, tables);
        }
    }
}

/// Checks what has changed between two snapshots.
fn check_changes(now: &Snapshot, tables: &Tables, since: &Snapshot, older: &Tables) {
    for (table, ids) in tables {
        let before = older.get(table).map_or(&[][..], Vec::as_slice);
        let only = |ids: &[i64], others: &[i64]| {
            let others: HashSet<i64> = others.iter().copied().collect();
            ids.iter().copied().filter(|id| !others.contains(id)).collect::<BTreeSet<i64>>()
        };
        check_moves(now, since, *table, before.is_empty());
        let changes = now.changes(*table, since).unwrap();
        let ids_of = |batch: &RecordBatch| {
            let ids = batch.column(0).as_primitive::<Int64Type>().values().iter().copied();
            ids.collect::<Vec<i64>>()
        };
        let (deleted, inserted) = (ids_of(&changes.deleted), ids_of(&changes.inserted));
        // A row of a table without a key that was written again is another row.
        let again: HashSet<i64> = deleted.iter().copied().filter(|id| inserted.contains(id)).collect();
        let distinct = |ids: Vec<i64>| {
            let left: Vec<i64> = ids.into_iter().filter(|id| !again.contains(id)).collect();
            let set: BTreeSet<i64> = left.iter().copied().collect();
            assert_eq!(set.len(), left.len());
            set
        };
        assert_eq!(distinct(inserted.clone()), only(ids, before));
        assert_eq!(distinct(deleted), only(before, ids));
    }
}

/// What stayed where it was and what did not are all rows of both snapshots.
fn check_moves(now: &Snapshot, since: &Snapshot, table: TableId, is_new: bool) {
    let Some(moves) = now.moves(table, since, u64::MAX).unwrap() else {
        assert!(is_new);
        return;
    };
    assert!(!now.has_same_rows(table, since) || moves == Moves::default());
    let (places, old) = (by_place(now, table), by_place(since, table));
    let mut stayed = old.clone();
    moves.gone.iter().for_each(|place| assert!(stayed.remove(place).is_some()));
    let stays: Vec<u64> = places.keys().copied().filter(|place| moves.new.binary_search(place).is_err()).collect();
    assert_eq!(stays.len() + moves.new.len(), places.len());
    let there = now.places_in(table, since, &UInt64Array::from(stays.clone())).unwrap();
    assert_eq!(there.null_count(), 0);
    for (place, there) in stays.iter().zip(there.values()) {
        assert_eq!(stayed.remove(there), Some(places[place]));
    }
    assert!(stayed.is_empty());
    let few = moves.gone.len().max(moves.new.len()) as u64;
    assert!(few == 0 || now.moves(table, since, few - 1).unwrap().is_none());
}

/// The ids of a table by place.
fn by_place(snapshot: &Snapshot, table: TableId) -> BTreeMap<u64, i64> {
    let spec = ScanSpec { projection: vec![0], places: true, ..ScanSpec::default() };
    let mut found = BTreeMap::new();
    for batch in snapshot.scan(table, spec).unwrap().reader() {
        let batch = batch.unwrap();
        let places = batch.column(1).as_primitive::<UInt64Type>().values().iter().copied();
        found.extend(places.zip(batch.column(0).as_primitive::<Int64Type>().values().iter().copied()));
    }
    found
}

fn check(snapshot: &Snapshot, tables: &Tables) {
    for (table, expected) in tables {
        let mut expected = expected.clone();
        expected.sort_unstable();
        assert_eq!(ids(snapshot, *table), expected);
    }
}

#[test]
fn random_operations_agree_with_a_plain_model() {
    for seed in 0..rounds(6, 300) {
        let mut world = World::new(seed);
        for _ in 0..80 {
            world.step();
            if world.rng.u32(..4) == 0 {
                world.check();
            }
        }
        world.check();
        drop(world.open.take());
        let World { engine, vfs, snapshots, .. } = world;
        drop(snapshots);
        drop(engine);
        verify(&vfs);
    }
}
