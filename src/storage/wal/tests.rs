//! The log under crashes, faults and flipped bits, on the fault-injecting file system.
//!
//! A [`Run`] drives a log through a random script and keeps the ledger a client would keep: what was acknowledged, what
//! was written without an answer, what was refused. Each test hurts a run in its own way and compares recovery with
//! the ledger.

use super::directory::Record;
use super::inspect::{WalInspection, inspect};
use super::log::{RecordRef, RecoveryReport, Wal, WalOptions};
use crate::error::{Error, ErrorKind};
use crate::ids::{Lsn, TableId};
use fastrand::Rng;
use lightning_vfs::{Fault, FaultyVfs, MemoryVfs, OpenMode, OperationKind, RealVfs, Vfs};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SMALL: WalOptions = WalOptions { file_bytes: 48 << 10, ahead_bytes: 16 << 10 };

fn dir() -> &'static Path {
    Path::new("db/wal")
}

/// More rounds when asked for.
fn rounds(short: u64, long: u64) -> u64 {
    if std::env::var_os("LIGHTNING_LONG").is_some() { long } else { short }
}

fn recover(vfs: &FaultyVfs, after: Lsn, proven: Lsn) -> crate::Result<(Wal, RecoveryReport, Vec<Record>)> {
    let mut records = Vec::new();
    let (wal, report) = Wal::recover_with(vfs.shared(), dir(), after, proven, SMALL, &mut |record| {
        records.push(record);
        Ok(())
    })?;
    Ok((wal, report, records))
}

fn append(wal: &mut Wal, payloads: &[Vec<u8>]) -> crate::Result<Lsn> {
    let tables: Vec<Vec<TableId>> = payloads.iter().map(|p| tables_of(p)).collect();
    let records: Vec<RecordRef<'_>> =
        payloads.iter().zip(&tables).map(|(payload, tables)| RecordRef { tables, payload }).collect();
    wal.append_group(&records)
}

/// Tables that follow from the payload, so that records can be checked whole.
fn tables_of(payload: &[u8]) -> Vec<TableId> {
    (0..payload.len() as u64 % 4).map(|i| TableId(1024 + i)).collect()
}

fn inspected(vfs: &FaultyVfs, proven: Lsn) -> WalInspection {
    inspect(vfs, dir(), Lsn(0), proven, &mut |_| Ok(())).unwrap()
}

/// What a client knows.
#[derive(Clone, Debug, Default)]
struct Ledger {
    /// Records whose sync succeeded.
    acknowledged: BTreeMap<Lsn, Vec<u8>>,
    /// Records written but not synced yet, or whose sync failed: they may survive.
    pending: BTreeMap<Lsn, Vec<u8>>,
    checkpoint: Lsn,
    /// What a manifest would prove.
    proven: Lsn,
}

impl Ledger {
    /// Recovered records are right: everything acknowledged above the checkpoint, then perhaps some pending ones.
    fn check(&self, records: &[Record], context: &str) {
        let needed: Vec<_> = self.acknowledged.iter().filter(|(lsn, _)| **lsn > self.checkpoint).collect();
        let mut previous = self.checkpoint;
        for record in records {
            assert!(record.lsn > previous, "{context}: record {} after {previous}", record.lsn);
            previous = record.lsn;
            let known = self.acknowledged.get(&record.lsn).or_else(|| self.pending.get(&record.lsn));
            assert_eq!(known, Some(&record.payload), "{context}: record {} was never written", record.lsn);
            assert_eq!(record.tables, tables_of(&record.payload), "{context}");
        }
        for (lsn, _) in needed {
            assert!(records.iter().any(|r| r.lsn == *lsn), "{context}: acknowledged record {lsn} is lost");
        }
    }

    /// What recovery showed may be relied on from now on; what it did not show never happened.
    fn settle(&mut self, records: &[Record]) {
        self.acknowledged.extend(records.iter().map(|r| (r.lsn, r.payload.clone())));
        self.pending.clear();
    }
}

/// A log and its ledger. Errors that a crash or fault causes end or reopen it.
struct Run {
    vfs: FaultyVfs,
    wal: Option<Wal>,
    ledger: Ledger,
    rng: Rng,
}

impl Run {
    fn new(vfs: FaultyVfs, seed: u64) -> Self {
        Run { vfs, wal: None, ledger: Ledger::default(), rng: Rng::with_seed(seed) }
    }

    fn payloads(&mut self) -> Vec<Vec<u8>> {
        let count = self.rng.usize(1..5);
        (0..count)
            .map(|_| {
                let len = match self.rng.u8(..20) {
                    0 => self.rng.usize(20_000..70_000),
                    1..4 => self.rng.usize(2_000..9_000),
                    _ => self.rng.usize(..200),
                };
                (0..len).map(|_| self.rng.u8(..)).collect()
            })
            .collect()
    }

    fn step(&mut self) -> crate::Result<()> {
        let Some(wal) = &mut self.wal else { return self.open() };
        match self.rng.u8(..16) {
            0 => {
                self.wal = None;
                self.open()
            }
            1 | 2 => wal.write_proof().inspect_err(|_| self.lost_answer()),
            3 => {
                let durable = wal.durable_lsn();
                let checkpoint = Lsn(self.rng.u64(self.ledger.checkpoint.0..=durable.0));
                self.ledger.checkpoint = checkpoint;
                self.ledger.proven = durable;
                wal.truncate_before(Lsn(checkpoint.0 + 1)).map(|_| ())
            }
            _ => self.commit(),
        }
    }

    fn open(&mut self) -> crate::Result<()> {
        let (wal, _, records) = recover(&self.vfs, self.ledger.checkpoint, self.ledger.proven)?;
        self.ledger.check(&records, "reopened");
        self.ledger.settle(&records);
        self.wal = Some(wal);
        Ok(())
    }

    fn commit(&mut self) -> crate::Result<()> {
        let payloads = self.payloads();
        let wal = self.wal.as_mut().expect("it is open");
        let first = wal.next_lsn();
        let group: BTreeMap<Lsn, Vec<u8>> = (first.0..).map(Lsn).zip(payloads.clone()).collect();
        match append(wal, &payloads) {
            Ok(lsn) => assert_eq!(lsn, first),
            Err(e) => {
                if e.kind() == ErrorKind::OutcomeUnknown || self.vfs.halted() {
                    self.ledger.pending.extend(group);
                    self.lost_answer();
                }
                return Err(e);
            }
        }
        self.ledger.pending.extend(group);
        // Now and then two groups share a sync.
        if self.rng.u8(..8) == 0 {
            return Ok(());
        }
        let wal = self.wal.as_mut().expect("it is open");
        wal.sync().inspect_err(|_| self.lost_answer())?;
        self.ledger.acknowledged.append(&mut self.ledger.pending);
        Ok(())
    }

    /// The log cannot go on.
    fn lost_answer(&mut self) {
        if self.vfs.halted() {
            self.wal = None;
        }
    }

    /// Goes on until the power is lost or `steps` are done.
    fn until_halt(&mut self, steps: usize) {
        for _ in 0..steps {
            if let Err(e) = self.step() {
                assert!(self.vfs.halted(), "{e}");
                return;
            }
        }
    }
}

#[test]
fn every_acknowledged_record_survives_a_crash_at_every_operation() {
    for seed in 0..rounds(6, 60) {
        let mut whole = Run::new(FaultyVfs::new(seed), seed);
        whole.until_halt(40);
        for operation in 1..=whole.vfs.operations() {
            let vfs = FaultyVfs::new(seed);
            vfs.halt_at(operation);
            let mut run = Run::new(vfs, seed);
            run.until_halt(40);
            for outcome in 0..3 {
                let context = format!("seed {seed}, operation {operation}, outcome {outcome}");
                crash_and_check(&run, seed * 1000 + outcome, &context);
            }
        }
    }
}

/// After a crash recovery is right, repeatable, and what it showed survives further commits and another crash.
fn crash_and_check(run: &Run, seed: u64, context: &str) {
    let disk = run.vfs.crash_with(seed);
    let mut ledger = run.ledger.clone();
    let (mut wal, report, records) =
        recover(&disk, ledger.checkpoint, ledger.proven).unwrap_or_else(|e| panic!("{context}: {e}"));
    ledger.check(&records, context);
    assert!(records.last().is_none_or(|last| last.lsn <= report.last_lsn));
    ledger.settle(&records);
    let first = append(&mut wal, &[b"after the crash".to_vec()]).unwrap();
    wal.sync().unwrap();
    ledger.acknowledged.insert(first, b"after the crash".to_vec());
    let (_, report, again) = recover(&disk.crash(), ledger.checkpoint, ledger.proven)
        .unwrap_or_else(|e| panic!("{context}, second crash: {e}"));
    ledger.check(&again, context);
    assert_eq!(report.discarded, None, "{context}");
}

#[test]
fn recovery_survives_a_crash_at_every_operation_of_its_own() {
    for seed in 0..rounds(30, 600) {
        let vfs = FaultyVfs::new(seed);
        let mut run = Run::new(vfs.clone(), seed);
        run.until_halt(25);
        vfs.halt_at(vfs.operations() + 1 + seed % 7);
        run.until_halt(25);
        let broken = vfs.crash_with(seed);
        let counted = broken.crash_with(seed);
        recover(&counted, run.ledger.checkpoint, run.ledger.proven).unwrap();
        for operation in 1..=counted.operations() {
            let disk = broken.crash_with(seed);
            disk.halt_at(operation);
            recover(&disk, run.ledger.checkpoint, run.ledger.proven).map(|_| ()).unwrap_err();
            let context = format!("seed {seed}, operation {operation} of recovery");
            let after = disk.crash_with(seed + 1);
            let (_, _, records) =
                recover(&after, run.ledger.checkpoint, run.ledger.proven).unwrap_or_else(|e| panic!("{context}: {e}"));
            run.ledger.check(&records, &context);
        }
    }
}

#[test]
fn a_failing_disk_loses_nothing_acknowledged_and_keeps_nothing_refused() {
    use OperationKind::{Create, Remove, SetLen, Sync, SyncDir, Write};
    let mut failures = 0;
    for seed in 0..rounds(8, 80) {
        for kind in [Create, Remove, SetLen, Sync, SyncDir, Write] {
            for nth in 1..rounds(12, 40) {
                let vfs = FaultyVfs::new(seed);
                let mut run = Run::new(vfs.clone(), seed);
                for fault in [Fault::Io, Fault::NoSpace] {
                    vfs.fail(kind, nth * (1 + fault as u64), fault);
                }
                for _ in 0..40 {
                    if let Err(e) = run.step() {
                        failures += 1;
                        if matches!(e.kind(), ErrorKind::OutcomeUnknown | ErrorKind::ReadOnly) || run.wal.is_none() {
                            run.wal = None;
                        }
                    }
                }
                let context = format!("seed {seed}, {kind:?} number {nth}");
                crash_and_check(&run, seed + nth, &context);
            }
        }
    }
    assert!(failures > 100, "only {failures} operations failed");
}

#[test]
fn a_full_disk_refuses_records_and_nothing_else() {
    for seed in 0..rounds(20, 400) {
        let vfs = FaultyVfs::new(seed);
        let mut run = Run::new(vfs.clone(), seed);
        run.open().unwrap();
        vfs.set_capacity(Some(200 << 10));
        let mut refused = 0;
        for _ in 0..60 {
            if let Err(e) = run.commit() {
                assert_eq!(e.kind(), ErrorKind::DiskFull, "{e}");
                refused += 1;
            }
        }
        assert!(refused > 0);
        vfs.set_capacity(None);
        run.commit().unwrap();
        crash_and_check(&run, seed, &format!("seed {seed}"));
    }
}

#[test]
fn a_nearly_full_disk_takes_small_groups_without_zeros_ahead() {
    let vfs = FaultyVfs::new(1);
    let (mut wal, ..) = recover(&vfs, Lsn(0), Lsn(0)).unwrap();
    vfs.set_capacity(Some(vfs.used_bytes() + 4096));
    append(&mut wal, &[b"fits".to_vec()]).unwrap();
    wal.sync().unwrap();
    assert_eq!(append(&mut wal, &[b"does not".to_vec()]).unwrap_err().kind(), ErrorKind::DiskFull);
    // Recovery makes a file of its own, for which there is no room either.
    assert_eq!(recover(&vfs, Lsn(0), Lsn(0)).unwrap_err().kind(), ErrorKind::DiskFull);
    vfs.set_capacity(None);
    let (_, _, found) = recover(&vfs, Lsn(0), Lsn(0)).unwrap();
    assert_eq!(found.len(), 1);
}

#[test]
fn a_failed_sync_is_reported_once_and_closes_the_log() {
    let vfs = FaultyVfs::new(1);
    let (mut wal, ..) = recover(&vfs, Lsn(0), Lsn(0)).unwrap();
    append(&mut wal, &[b"one".to_vec()]).unwrap();
    wal.sync().unwrap();
    append(&mut wal, &[b"two".to_vec()]).unwrap();
    vfs.fail(OperationKind::Sync, 1, Fault::Io);
    assert!(matches!(wal.sync().unwrap_err(), Error::OutcomeUnknown { lsn: Lsn(2), .. }));
    assert_eq!(wal.sync().unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(append(&mut wal, &[b"three".to_vec()]).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(wal.write_proof().unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(wal.truncate_before(Lsn(9)).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!((wal.durable_lsn(), wal.status().durable_lsn), (Lsn(1), Lsn(1)));
}

/// Linux marks pages clean after a failed sync: a process that starts again reads records from the cache which the
/// disk does not have. Having shown them, recovery must make them durable, and syncing alone does not.
#[test]
fn records_only_in_the_cache_are_written_again_by_recovery() {
    for seed in 0..rounds(50, 1000) {
        let vfs = FaultyVfs::new(seed);
        let (mut wal, ..) = recover(&vfs, Lsn(0), Lsn(0)).unwrap();
        append(&mut wal, &[vec![1; 100]]).unwrap();
        wal.sync().unwrap();
        append(&mut wal, &[vec![2; 9000], vec![3; 5]]).unwrap();
        vfs.fail(OperationKind::Sync, 1, Fault::Io);
        wal.sync().unwrap_err();
        drop(wal);
        let (_, _, shown) = recover(&vfs, Lsn(0), Lsn(0)).unwrap();
        assert_eq!(shown.len(), 3);
        let (_, _, after) = recover(&vfs.crash(), Lsn(0), Lsn(0)).unwrap();
        assert_eq!(after, shown, "seed {seed}");
    }
}

/// A log of several files in which everything is proven; its records.
fn proven_log(seed: u64) -> (FaultyVfs, Vec<Record>) {
    let vfs = FaultyVfs::new(seed);
    let mut run = Run::new(vfs.clone(), seed);
    run.open().unwrap();
    while vfs.files().len() < 3 {
        run.commit().unwrap();
    }
    run.commit().unwrap();
    let mut wal = run.wal.take().unwrap();
    wal.write_proof().unwrap();
    drop(wal);
    let (_, _, records) = recover(&vfs.crash(), Lsn(0), Lsn(0)).unwrap();
    (vfs, records)
}

#[test]
fn a_flipped_bit_is_noticed_or_harmless_wherever_it_is() {
    let (vfs, records) = proven_log(3);
    let mut rng = Rng::with_seed(3);
    let (mut noticed, mut harmless) = (0, 0);
    for path in vfs.files() {
        let len = vfs.bytes(&path).len() as u64;
        let mut offset = 0;
        while offset < len {
            let disk = vfs.crash_with(1);
            disk.flip_bit(&path, offset, rng.u32(..8));
            match recover(&disk, Lsn(0), Lsn(0)) {
                Ok((_, _, found)) => {
                    assert_eq!(found, records, "{} at {offset}", path.display());
                    harmless += 1;
                }
                Err(Error::Corrupt { path: named, .. }) => {
                    assert_eq!(named, path, "at {offset}");
                    noticed += 1;
                }
                Err(e) => panic!("{} at {offset}: {e}", path.display()),
            }
            offset += rng.u64(1..=rounds(150, 3));
        }
    }
    assert!(noticed > 100 && harmless > 10, "{noticed} noticed, {harmless} harmless");
}

#[test]
fn lost_sectors_and_cut_files_are_noticed_when_the_manifest_proves_the_log() {
    let (vfs, records) = proven_log(4);
    let newest = records.last().unwrap().lsn;
    let mut rng = Rng::with_seed(4);
    for round in 0..rounds(300, 10_000) {
        let disk = vfs.crash_with(1);
        let files = disk.files();
        let path = &files[rng.usize(..files.len())];
        let file = disk.open(path, OpenMode::ReadWrite).unwrap();
        let at = rng.u64(..file.len().unwrap());
        if rng.bool() {
            file.set_len(at).unwrap();
        } else {
            let filler = if rng.bool() { 0 } else { rng.u8(..) };
            let len = rng.u64(1..4096).min(file.len().unwrap() - at);
            file.write_all_at(&vec![filler; len as usize], at).unwrap();
        }
        match recover(&disk, Lsn(0), newest) {
            Ok((_, _, found)) => assert_eq!(found, records, "round {round}"),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Corrupt, "round {round}: {e}"),
        }
    }
}

/// A disk may write a sector elsewhere: its checksums hold, its place does not.
#[test]
fn misdirected_writes_are_noticed_when_the_manifest_proves_the_log() {
    let (vfs, records) = proven_log(9);
    let newest = records.last().unwrap().lsn;
    let mut rng = Rng::with_seed(9);
    for round in 0..rounds(300, 5_000) {
        let disk = vfs.crash_with(1);
        let files = disk.files();
        let file = disk.open(&files[rng.usize(..files.len())], OpenMode::ReadWrite).unwrap();
        let blocks = file.len().unwrap() / 4096;
        let mut block = vec![0; 4096 * rng.usize(1..3)];
        let from = rng.u64(1..blocks) * 4096;
        let len = file.read_at(&mut block, from).unwrap();
        let to = rng.u64(1..blocks) * 4096;
        file.write_all_at(&block[..len], to).unwrap();
        match recover(&disk, Lsn(0), newest) {
            Ok((_, _, found)) => assert_eq!(found, records, "round {round}"),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Corrupt, "round {round}: {e}"),
        }
    }
}

#[test]
fn a_file_that_could_not_be_begun_is_not_found_beside_records_that_went_on_in_the_old_one() {
    use OperationKind::{Create, Sync, SyncDir, Write};
    for (kind, fault) in [(Create, Fault::NoSpace), (Write, Fault::NoSpace), (Sync, Fault::Io), (SyncDir, Fault::Io)] {
        for seed in 0..20 {
            let vfs = FaultyVfs::new(seed);
            let (mut wal, ..) = recover(&vfs, Lsn(0), Lsn(0)).unwrap();
            append(&mut wal, &[vec![1; 30_000]]).unwrap();
            wal.sync().unwrap();
            vfs.fail(kind, 1, fault);
            append(&mut wal, &[vec![2; 30_000]]).unwrap_err();
            append(&mut wal, &[vec![3; 10]]).unwrap();
            wal.sync().unwrap();
            let (_, _, found) = recover(&vfs.crash(), Lsn(0), Lsn(2)).unwrap();
            let firsts: Vec<u8> = found.iter().map(|record| record.payload[0]).collect();
            assert_eq!(firsts, [1, 3], "{kind:?}, seed {seed}");
        }
    }
}

#[test]
fn a_missing_file_is_damage() {
    let (vfs, records) = proven_log(5);
    let newest = records.last().unwrap().lsn;
    for path in vfs.files() {
        let disk = vfs.crash_with(1);
        disk.remove(&path).unwrap();
        assert_eq!(recover(&disk, Lsn(0), newest).unwrap_err().kind(), ErrorKind::Corrupt, "{}", path.display());
    }
    let disk = vfs.crash_with(1);
    vfs.files().iter().for_each(|path| disk.remove(path).unwrap());
    assert_eq!(recover(&disk, Lsn(0), newest).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn damage_leaves_the_log_as_it_is_and_inspection_names_all_of_it() {
    let (vfs, records) = proven_log(6);
    let clean = inspected(&vfs, Lsn(0));
    assert_eq!((clean.records, clean.files), (records.len() as u64, vfs.files().len()));
    assert!(clean.faults.is_empty() && clean.notices.is_empty());
    let files = vfs.files();
    for path in &files[..2] {
        vfs.flip_bit(path, 4096 + 10, 3);
    }
    let before: Vec<Vec<u8>> = files.iter().map(|path| vfs.bytes(path)).collect();
    let operations = vfs.operations();
    let found = inspected(&vfs, Lsn(0));
    let places: Vec<(PathBuf, u64)> = found
        .faults
        .iter()
        .map(|fault| match fault {
            Error::Corrupt { path, offset, .. } => (path.clone(), *offset),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(places, [(files[0].clone(), 4096), (files[1].clone(), 4096)]);
    assert_eq!(vfs.operations(), operations);
    assert_eq!(recover(&vfs, Lsn(0), Lsn(0)).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(files.iter().map(|path| vfs.bytes(path)).collect::<Vec<_>>(), before);
}

#[test]
fn a_torn_tail_is_reported_and_a_wiped_proven_one_is_damage() {
    let vfs = FaultyVfs::new(1);
    let (mut wal, ..) = recover(&vfs, Lsn(0), Lsn(0)).unwrap();
    append(&mut wal, &[b"one".to_vec()]).unwrap();
    wal.sync().unwrap();
    append(&mut wal, &[b"two".to_vec()]).unwrap();
    wal.sync().unwrap();
    drop(wal);
    vfs.flip_bit(&dir().join("00000001.wal"), 8192 + 20, 0);
    // Nothing proves the second record.
    let torn = vfs.crash_with(1);
    let inspection = inspected(&torn, Lsn(1));
    assert!(inspection.faults.is_empty() && inspection.notices.len() == 1);
    let (_, report, records) = recover(&torn, Lsn(0), Lsn(1)).unwrap();
    assert_eq!(records.len(), 1);
    let discarded = report.discarded.unwrap();
    assert_eq!((discarded.offset, discarded.lsn), (8192, Lsn(2)));
    // The manifest does.
    let error = recover(&vfs, Lsn(0), Lsn(2)).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { offset: 8192, .. }), "{error}");
}

#[test]
fn a_proof_turns_a_torn_tail_into_damage() {
    let vfs = FaultyVfs::new(1);
    let (mut wal, ..) = recover(&vfs, Lsn(0), Lsn(0)).unwrap();
    append(&mut wal, &[b"one".to_vec()]).unwrap();
    wal.sync().unwrap();
    wal.write_proof().unwrap();
    let syncs = wal.status().syncs;
    wal.write_proof().unwrap();
    assert_eq!(wal.status().syncs, syncs, "a second proof is not needed");
    vfs.flip_bit(&dir().join("00000001.wal"), 4096, 0);
    assert_eq!(recover(&vfs, Lsn(0), Lsn(0)).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn short_reads_change_nothing() {
    let (vfs, records) = proven_log(7);
    vfs.set_short_reads(true);
    let (_, _, found) = recover(&vfs, Lsn(0), Lsn(0)).unwrap();
    assert_eq!(found, records);
}

#[test]
fn truncation_deletes_only_files_below() {
    let (vfs, records) = proven_log(8);
    let (mut wal, ..) = recover(&vfs, Lsn(0), Lsn(0)).unwrap();
    assert_eq!(wal.truncate_before(Lsn(1)).unwrap(), 0);
    let newest = records.last().unwrap().lsn;
    assert!(wal.truncate_before(newest).unwrap() > 0);
    let (_, _, rest) = recover(&vfs.crash(), Lsn(newest.0 - 1), newest).unwrap();
    assert_eq!(rest, records[records.len() - 1..]);
    wal.truncate_before(Lsn(newest.0 + 100)).unwrap();
    assert_eq!((wal.status().files, vfs.files().len()), (1, 1));
}

#[test]
fn an_unused_log_does_not_grow_by_being_opened() {
    let vfs = FaultyVfs::new(1);
    for _ in 0..5 {
        recover(&vfs, Lsn(0), Lsn(0)).unwrap();
    }
    assert_eq!(vfs.files(), [dir().join("00000001.wal")]);
}

#[test]
fn a_small_group_costs_one_write_and_one_sync() {
    let vfs = FaultyVfs::new(1);
    let (mut wal, ..) = recover(&vfs, Lsn(0), Lsn(0)).unwrap();
    let before = (vfs.operations(), wal.status().syncs);
    append(&mut wal, &[b"a".to_vec(), b"b".to_vec()]).unwrap();
    wal.sync().unwrap();
    assert_eq!((vfs.operations(), wal.status().syncs), (before.0 + 2, before.1 + 1));
    let len = vfs.bytes(&dir().join("00000001.wal")).len();
    append(&mut wal, &[b"c".to_vec()]).unwrap();
    assert_eq!(vfs.bytes(&dir().join("00000001.wal")).len(), len, "it goes where zeros were written before");
}

#[test]
fn the_log_has_golden_bytes() {
    use super::{FileHeader, FileKind, Frame, FrameKind, FrameWriter};
    let vfs = MemoryVfs::new();
    let header = FileHeader { kind: FileKind::Log, salt: 42, number: 1, first_lsn: Lsn(1) };
    let path = Path::new("00000001.wal");
    let mut writer = FrameWriter::create(&vfs, path.to_path_buf(), header).unwrap();
    let frame = |lsn, durable_lsn, kind, payload| Frame {
        kind,
        lsn: Lsn(lsn),
        durable_lsn: Lsn(durable_lsn),
        tables: &[TableId(1024)],
        payload,
    };
    writer.append(&[frame(1, 0, FrameKind::Commit, b"first"), frame(2, 0, FrameKind::Commit, b"second")], 0).unwrap();
    writer.append(&[frame(3, 2, FrameKind::Proof, b"")], 16384).unwrap();
    let file = vfs.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!((bytes.len(), crc32fast::hash(&bytes)), (16384, 886982845));
}

#[test]
fn the_log_works_on_a_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("wal");
    let mut expected = Vec::new();
    for round in 0..3u8 {
        let mut found = Vec::new();
        let visit = &mut |record: Record| {
            found.push(record.payload);
            Ok(())
        };
        let (mut wal, _) = Wal::recover(RealVfs::shared(), &dir, Lsn(0), Lsn(0), visit).unwrap();
        assert_eq!(found, expected);
        for i in 0..5u8 {
            let payload = vec![round * 16 + i; 1000 * usize::from(i)];
            wal.append_group(&[RecordRef { tables: &[], payload: &payload }]).unwrap();
            wal.sync().unwrap();
            expected.push(payload);
        }
    }
}
