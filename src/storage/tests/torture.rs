//! Random work on a disk that fails at random, and what must be true of it all the same.
//!
//! One client creates, fills, truncates and drops tables, flushes, closes and opens again, while operations of the disk
//! fail, the disk is full for a time, or the power goes. It keeps a ledger: what is committed for sure, and what the one
//! commit without a clear answer would make of that. Whenever the database is opened, it must show one or the other.

use crate::support::*;
use fastrand::Rng;
use lightning_storage::{Engine, Error, ErrorKind, Options, Result, Snapshot, TableId, Transaction};
use lightning_vfs::{Fault, FaultyVfs, OperationKind, Vfs};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Ids of the rows of every table.
type Contents = BTreeMap<TableId, Vec<i64>>;

/// So little memory that tables are flushed one by one while the run goes on.
fn small_options() -> Options {
    Options { memory_limit_bytes: 32 << 20, threads: 2 }
}

struct Client {
    disk: FaultyVfs,
    vfs: Arc<dyn Vfs>,
    engine: Option<Arc<Engine>>,
    rng: Rng,
    next_id: i64,
    /// Every table that ever was, to notice one that comes back.
    known: Vec<TableId>,
    committed: Contents,
    /// What the commit without an answer would lead to.
    possible: Option<Contents>,
    failures: usize,
}

impl Client {
    fn new(disk: FaultyVfs, seed: u64) -> Client {
        let vfs = disk.shared();
        Client {
            disk,
            vfs,
            engine: None,
            rng: Rng::with_seed(seed),
            next_id: 0,
            known: vec![],
            committed: Contents::new(),
            possible: None,
            failures: 0,
        }
    }

    /// The same knowledge, about another disk.
    fn about(&self, disk: FaultyVfs) -> Client {
        Client {
            known: self.known.clone(),
            committed: self.committed.clone(),
            possible: self.possible.clone(),
            next_id: self.next_id,
            ..Client::new(disk, 0)
        }
    }

    fn step(&mut self, place: &str) {
        let Some(engine) = self.engine.clone() else {
            match Engine::open(self.vfs.clone(), Path::new(DIR), small_options()) {
                Ok(engine) => self.opened(engine, place),
                Err(error) => self.failed(&error, place),
            }
            return;
        };
        match self.rng.u8(..12) {
            0 => self.engine = None,
            1 | 2 => {
                if let Err(error) = engine.checkpoint() {
                    self.failed(&error, place);
                }
            }
            _ => self.commit(&engine, place),
        }
    }

    fn commit(&mut self, engine: &Arc<Engine>, place: &str) {
        let mut txn = engine.begin();
        let mut after = self.committed.clone();
        let changed = (0..self.rng.usize(1..4)).try_for_each(|_| self.change(&mut txn, &mut after));
        match changed.and_then(|()| txn.commit().map(|_| ())) {
            Ok(()) => self.committed = after,
            Err(error) => {
                if error.kind() == ErrorKind::OutcomeUnknown || self.disk.halted() {
                    self.possible = Some(after);
                }
                self.failed(&error, place);
            }
        }
    }

    /// One change of a transaction, and of what it would lead to.
    fn change(&mut self, txn: &mut Transaction, after: &mut Contents) -> Result<()> {
        let tables: Vec<TableId> = after.keys().copied().collect();
        if tables.is_empty() || self.rng.u8(..10) == 0 {
            let table = txn.create_table(if self.rng.bool() { definition() } else { keyless() })?;
            self.known.push(table);
            after.insert(table, vec![]);
            return Ok(());
        }
        let table = tables[self.rng.usize(..tables.len())];
        match self.rng.u8(..24) {
            0 => {
                txn.drop_table(table)?;
                after.remove(&table);
            }
            1 => {
                txn.truncate(table)?;
                after.insert(table, vec![]);
            }
            2..7 => {
                let known = &after[&table];
                let most = self.rng.usize(..40).min(known.len());
                let gone: Vec<i64> = (0..most).map(|_| known[self.rng.usize(..known.len())]).collect();
                delete(txn, table, &gone)?;
                after.entry(table).or_default().retain(|id| !gone.contains(id));
            }
            kind => {
                let count = match kind {
                    7 => 125_000,
                    8..12 => self.rng.i64(2_000..9_000),
                    _ => self.rng.i64(1..30),
                };
                let ids = self.next_id..self.next_id + count;
                self.next_id = ids.end;
                txn.append(table, rows(ids.clone()))?;
                after.entry(table).or_default().extend(ids);
            }
        }
        Ok(())
    }

    /// An error is one that the disk accounts for. After some of them the database must be opened again.
    fn failed(&mut self, error: &Error, place: &str) {
        use ErrorKind::{DiskFull, Io, OutcomeUnknown, ReadOnly};
        let kind = error.kind();
        assert!(matches!(kind, DiskFull | Io | OutcomeUnknown | ReadOnly), "{place}: {error}");
        self.failures += 1;
        if matches!(kind, OutcomeUnknown | ReadOnly) {
            self.engine = None;
        }
    }

    fn opened(&mut self, engine: Arc<Engine>, place: &str) {
        let found = self.contents(&engine.snapshot());
        if self.possible.take().is_some_and(|possible| possible == found) {
            self.committed = found;
        } else {
            self.expect(&found, place);
        }
        self.engine = Some(engine);
    }

    fn contents(&self, snapshot: &Snapshot) -> Contents {
        let exists = |table: &&TableId| snapshot.table(**table).is_ok();
        self.known.iter().filter(exists).map(|table| (*table, ids(snapshot, *table))).collect()
    }

    fn expect(&self, found: &Contents, place: &str) {
        for (table, ids) in &self.committed {
            let Some(found) = found.get(table) else { panic!("{place}: table {table} is gone") };
            let missing = ids.iter().filter(|id| found.binary_search(id).is_err()).count();
            let extra = found.iter().filter(|id| ids.binary_search(id).is_err()).count();
            assert!(missing + extra == 0, "{place}: table {table} lacks {missing} rows and has {extra} it never had");
            assert_eq!(found.len(), ids.len(), "{place}: table {table} has rows twice");
        }
        assert_eq!(found.len(), self.committed.len(), "{place}: a table came back");
    }

    /// What the disk holds after a crash is right, can be worked with, and has no fault.
    fn crash_and_check(&mut self, seed: u64, place: &str) {
        let mut after = self.about(self.disk.crash_with(seed));
        after.step(place);
        let engine = after.engine.clone().unwrap_or_else(|| panic!("{place}: it does not open"));
        // It may get the id of a table whose creation never committed.
        let new = create(&engine, [1, 2, 3]);
        after.known.retain(|table| *table != new);
        engine.checkpoint().unwrap_or_else(|e| panic!("{place}: {e}"));
        after.expect(&after.contents(&engine.snapshot()), place);
        drop(engine);
        after.engine = None;
        verify(&after.vfs);
    }
}

#[test]
fn committed_work_survives_power_loss_at_random_moments() {
    for seed in 0..rounds(6, 300) {
        let disk = FaultyVfs::new(seed);
        let mut client = Client::new(disk.clone(), seed);
        disk.halt_at(Rng::with_seed(seed).u64(20..400));
        let mut steps = 0;
        while !disk.halted() && steps < 60 {
            client.step(&format!("seed {seed}, step {steps}"));
            steps += 1;
        }
        for outcome in 0..3 {
            client.crash_and_check(seed * 10 + outcome, &format!("seed {seed}, outcome {outcome}"));
        }
    }
}

#[test]
fn committed_work_survives_a_disk_that_fails_now_and_then() {
    use OperationKind::{Create, Remove, Rename, SetLen, Sync, SyncDir, Write};
    let mut failures = 0;
    for seed in 0..rounds(6, 300) {
        let disk = FaultyVfs::new(seed);
        let mut client = Client::new(disk.clone(), seed);
        let mut rng = Rng::with_seed(seed);
        for step in 0..50 {
            if rng.u8(..3) == 0 {
                let kinds = [Create, Remove, Rename, SetLen, Sync, SyncDir, Write];
                let fault = if rng.bool() { Fault::Io } else { Fault::NoSpace };
                disk.fail(kinds[rng.usize(..kinds.len())], rng.u64(1..4), fault);
            }
            client.step(&format!("seed {seed}, step {step}"));
        }
        disk.heal();
        failures += client.failures;
        client.crash_and_check(seed, &format!("seed {seed}"));
    }
    assert!(failures > 20, "only {failures} operations failed");
}

#[test]
fn committed_work_survives_a_disk_that_is_full_now_and_then() {
    let mut failures = 0;
    for seed in 0..rounds(5, 200) {
        let disk = FaultyVfs::new(seed);
        let mut client = Client::new(disk.clone(), seed);
        let mut rng = Rng::with_seed(seed);
        for step in 0..50 {
            match rng.u8(..8) {
                // Small commits fit into what the log has reserved, so it stays full for a while.
                0..3 => disk.set_capacity(Some(disk.used_bytes() + rng.u64(..200_000))),
                3 => disk.set_capacity(None),
                _ => {}
            }
            client.step(&format!("seed {seed}, step {step}"));
        }
        disk.set_capacity(None);
        failures += client.failures;
        client.crash_and_check(seed, &format!("seed {seed}"));
    }
    assert!(failures > 10, "only {failures} operations failed");
}
