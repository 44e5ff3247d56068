//! The manifest under crashes, faults and flipped bits, on the fault-injecting file system.
//!
//! States are compared by the bytes of the edits that build them.

use super::edit::{ManifestEdit, SegmentRecord, decode_edits, encode_edits};
use super::state::ManifestState;
use super::store::{Manifest, inspect};
use crate::error::{Error, ErrorKind};
use crate::ids::{Lsn, SegmentId, TableId, Timestamp};
use crate::table::TableDefinition;
use arrow::datatypes::{DataType, Field, Schema};
use fastrand::Rng;
use lightning_vfs::{Fault, FaultyVfs, OpenMode, OperationKind, RealVfs, Vfs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Small, so that new files are begun often.
const COMPACT_BYTES_MIN: u64 = 48 << 10;

fn dir() -> &'static Path {
    Path::new("db")
}

/// More rounds when asked for.
fn rounds(short: u64, long: u64) -> u64 {
    if std::env::var_os("LIGHTNING_LONG").is_some() { long } else { short }
}

fn open(vfs: &FaultyVfs) -> crate::error::Result<Manifest> {
    Manifest::open_with(vfs.shared(), dir(), COMPACT_BYTES_MIN)
}

fn definition() -> TableDefinition {
    let metadata = [("lightning.pg_type".to_string(), "20:-1".to_string())];
    let key = Field::new("k", DataType::Int64, false).with_metadata(metadata.into());
    let schema = Schema::new(vec![key, Field::new("v", DataType::Utf8View, true)]);
    TableDefinition::new(Arc::new(schema), vec![0])
}

fn bytes(state: &ManifestState) -> Vec<u8> {
    encode_edits(&state.to_edits()).unwrap()
}

fn segment(id: SegmentId, rng: &mut Rng) -> SegmentRecord {
    let begin = rng.u64(1..1000);
    SegmentRecord {
        id,
        begin_ts: Timestamp(begin),
        end_ts: rng.bool().then_some(Timestamp(begin + 1)),
        lsn: Lsn(rng.u64(1..1000)),
        rows: rng.u64(..),
        bytes: rng.u64(..),
        delete_generation: rng.u64(..3),
    }
}

/// Some edits that make sense in `state`.
fn random_edits(state: &ManifestState, rng: &mut Rng) -> Vec<ManifestEdit> {
    let mut state = state.clone();
    let mut edits = Vec::new();
    for _ in 0..rng.usize(1..6) {
        let edit = random_edit(&state, rng);
        state.apply(&edit).unwrap();
        edits.push(edit);
    }
    edits
}

fn random_edit(state: &ManifestState, rng: &mut Rng) -> ManifestEdit {
    let tables: Vec<TableId> = state.tables.keys().copied().collect();
    if tables.is_empty() || rng.u8(..10) == 0 {
        let (table, created_at) = (state.next_table_id, Timestamp(rng.u64(..1000)));
        return ManifestEdit::CreateTable { table, definition: definition(), schema_version: 1, created_at };
    }
    let table = tables[rng.usize(..tables.len())];
    let segments = &state.tables[&table].segments;
    match rng.u8(..20) {
        0 => ManifestEdit::DropTable { table },
        1 => ManifestEdit::Truncate { table, at: Timestamp(rng.u64(1..1000)) },
        2..4 => ManifestEdit::FlushedLsn { table, lsn: Lsn(rng.u64(..1000)), next_row: rng.i64(1..1000) },
        4..6 => {
            let lsn = rng.u64(..1000);
            ManifestEdit::Checkpoint {
                lsn: Lsn(lsn),
                durable_lsn: Lsn(lsn + rng.u64(..10)),
                timestamp: Timestamp(rng.u64(..1000)),
            }
        }
        6 => ManifestEdit::NextIds { table: state.next_table_id, segment: SegmentId(state.next_segment_id.0 + 2) },
        7..10 if !segments.is_empty() => {
            ManifestEdit::RemoveSegment { table, segment: segments[rng.usize(..segments.len())].id }
        }
        _ => ManifestEdit::AddSegment { table, segment: segment(state.next_segment_id, rng) },
    }
}

#[test]
fn edits_round_trip() {
    let mut rng = Rng::with_seed(1);
    let mut state = ManifestState::new();
    for _ in 0..200 {
        let edits = random_edits(&state, &mut rng);
        let encoded = encode_edits(&edits).unwrap();
        assert_eq!(encode_edits(&decode_edits(&encoded).unwrap()).unwrap(), encoded);
        for edit in &edits {
            state.apply(edit).unwrap();
        }
    }
    let mut rebuilt = ManifestState::new();
    for edit in decode_edits(&bytes(&state)).unwrap() {
        rebuilt.apply(&edit).unwrap();
    }
    assert_eq!(bytes(&rebuilt), bytes(&state));
    assert!(!state.tables.is_empty());
}

#[test]
fn edits_have_golden_bytes() {
    let edits = [
        ManifestEdit::DropTable { table: TableId(1025) },
        ManifestEdit::Truncate { table: TableId(1024), at: Timestamp(9) },
        ManifestEdit::AddSegment {
            table: TableId(1024),
            segment: SegmentRecord {
                id: SegmentId(7),
                begin_ts: Timestamp(8),
                end_ts: None,
                lsn: Lsn(3),
                rows: 122_880,
                bytes: 4096,
                delete_generation: 0,
            },
        },
    ];
    let hex: String = encode_edits(&edits).unwrap().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        hex,
        "03000000020104000000000000050004000000000000090000000000000003\
         00040000000000000700000000000000080000000000000000000000000000000300000000000000\
         00e001000000000000100000000000000000000000000000"
    );
}

#[test]
fn cut_and_unknown_edits_are_errors() {
    let state = ManifestState::new();
    let edits = encode_edits(&random_edits(&state, &mut Rng::with_seed(5))).unwrap();
    for len in 0..edits.len() {
        assert!(decode_edits(&edits[..len]).is_err(), "length {len}");
    }
    assert!(decode_edits(&[1, 0, 0, 0, 99]).unwrap_err().contains("unknown kind 99"));
    assert!(decode_edits(&[0, 0, 0, 0, 1]).is_err());
}

#[test]
fn edits_that_make_no_sense_are_refused_and_change_nothing() {
    let vfs = FaultyVfs::new(1);
    let mut manifest = open(&vfs).unwrap();
    let create = ManifestEdit::CreateTable {
        table: TableId(1024),
        definition: definition(),
        schema_version: 1,
        created_at: Timestamp(1),
    };
    manifest.append(std::slice::from_ref(&create)).unwrap();
    let before = bytes(manifest.state());
    let table = TableId(1024);
    for bad in [
        create,
        ManifestEdit::DropTable { table: TableId(1) },
        ManifestEdit::RemoveSegment { table, segment: SegmentId(1) },
        ManifestEdit::Checkpoint { lsn: Lsn(2), durable_lsn: Lsn(1), timestamp: Timestamp(1) },
    ] {
        let good = ManifestEdit::FlushedLsn { table, lsn: Lsn(5), next_row: 1 };
        assert_eq!(manifest.append(&[good, bad]).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(bytes(manifest.state()), before);
    }
    drop(manifest);
    assert_eq!(bytes(open(&vfs).unwrap().state()), before);
}

#[test]
fn truncation_ends_what_began_before_it() {
    let mut state = ManifestState::new();
    let table = TableId(1024);
    let (schema_version, created_at) = (1, Timestamp(1));
    state.apply(&ManifestEdit::CreateTable { table, definition: definition(), schema_version, created_at }).unwrap();
    for (id, begin) in [(1, 4), (2, 9)] {
        let record = SegmentRecord {
            begin_ts: Timestamp(begin),
            end_ts: None,
            ..segment(SegmentId(id), &mut Rng::with_seed(1))
        };
        state.apply(&ManifestEdit::AddSegment { table, segment: record }).unwrap();
    }
    // The truncating transaction's own rows begin at its timestamp and stay.
    for at in [9, 20] {
        state.apply(&ManifestEdit::Truncate { table, at: Timestamp(at) }).unwrap();
    }
    let ends: Vec<_> = state.tables[&table].segments.iter().map(|s| s.end_ts).collect();
    assert_eq!(ends, [Some(Timestamp(9)), Some(Timestamp(20))]);
}

/// A manifest driven through random edits, and the states it may be in.
struct Run {
    vfs: FaultyVfs,
    manifest: Option<Manifest>,
    /// The last state that is certain; `None` until the manifest was open once.
    certain: Option<ManifestState>,
    /// The state if the append whose outcome is unknown took effect.
    possible: Option<ManifestState>,
    rng: Rng,
}

impl Run {
    fn new(vfs: FaultyVfs, seed: u64) -> Self {
        Run { vfs, manifest: None, certain: None, possible: None, rng: Rng::with_seed(seed) }
    }

    fn step(&mut self) -> crate::error::Result<()> {
        if self.rng.u8(..12) == 0 {
            self.manifest = None;
        }
        let Some(manifest) = &mut self.manifest else {
            let manifest = open(&self.vfs)?;
            self.check(manifest.state(), "reopened");
            self.certain = Some(manifest.state().clone());
            self.possible = None;
            self.manifest = Some(manifest);
            return Ok(());
        };
        let edits = random_edits(manifest.state(), &mut self.rng);
        let mut next = manifest.state().clone();
        edits.iter().for_each(|edit| next.apply(edit).unwrap());
        match manifest.append(&edits) {
            Ok(()) => {
                assert_eq!(bytes(manifest.state()), bytes(&next));
                self.certain = Some(next);
                Ok(())
            }
            Err(e) => {
                let mut certain = false;
                if e.kind() != ErrorKind::ReadOnly {
                    // Refused for sure only if the manifest goes on.
                    certain = manifest.append(&[]).is_ok();
                    self.possible = (!certain).then_some(next);
                }
                if !certain {
                    self.manifest = None;
                }
                Err(e)
            }
        }
    }

    fn check(&self, found: &ManifestState, context: &str) {
        let certain = bytes(self.certain.as_ref().unwrap_or(&ManifestState::new()));
        let possible = self.possible.as_ref().map(bytes);
        let found = bytes(found);
        assert!(found == certain || Some(found) == possible, "{context}: a state that never was");
    }
}

/// After a crash the manifest opens in a state it was in, takes edits, and keeps them through another crash.
fn crash_and_check(run: &Run, seed: u64, context: &str) {
    let disk = run.vfs.crash_with(seed);
    let mut manifest = open(&disk).unwrap_or_else(|e| panic!("{context}: {e}"));
    run.check(manifest.state(), context);
    let edits = random_edits(manifest.state(), &mut Rng::with_seed(seed));
    manifest.append(&edits).unwrap();
    let after = open(&disk.crash()).unwrap_or_else(|e| panic!("{context}, second crash: {e}"));
    assert_eq!(bytes(after.state()), bytes(manifest.state()), "{context}");
    let names = disk.files();
    assert!(names.len() <= 3, "{context}: files pile up: {names:?}");
}

#[test]
fn every_append_survives_a_crash_at_every_operation() {
    for seed in 0..rounds(5, 60) {
        let mut whole = Run::new(FaultyVfs::new(seed), seed);
        (0..40).for_each(|_| whole.step().unwrap());
        for operation in 1..=whole.vfs.operations() {
            let vfs = FaultyVfs::new(seed);
            vfs.halt_at(operation);
            let mut run = Run::new(vfs.clone(), seed);
            while !vfs.halted() {
                if let Err(e) = run.step() {
                    assert!(vfs.halted(), "{e}");
                }
            }
            for outcome in 0..3 {
                let context = format!("seed {seed}, operation {operation}, outcome {outcome}");
                crash_and_check(&run, seed * 1000 + outcome, &context);
            }
        }
    }
}

#[test]
fn opening_survives_a_crash_at_every_operation_of_its_own() {
    for seed in 0..rounds(20, 400) {
        let vfs = FaultyVfs::new(seed);
        let mut run = Run::new(vfs.clone(), seed);
        (0..20).for_each(|_| run.step().unwrap());
        vfs.halt_at(vfs.operations() + 1 + seed % 5);
        while !vfs.halted() {
            let _ = run.step();
        }
        let broken = vfs.crash_with(seed);
        let counted = broken.crash_with(seed);
        open(&counted).unwrap();
        for operation in 1..=counted.operations() {
            let disk = broken.crash_with(seed);
            disk.halt_at(operation);
            let _ = open(&disk);
            crash_and_check(&Run { vfs: disk, ..forked(&run) }, seed, &format!("seed {seed}, operation {operation}"));
        }
    }
}

fn forked(run: &Run) -> Run {
    let (certain, possible) = (run.certain.clone(), run.possible.clone());
    Run { vfs: run.vfs.clone(), manifest: None, certain, possible, rng: run.rng.clone() }
}

#[test]
fn a_failing_disk_loses_nothing_appended_and_keeps_nothing_refused() {
    use OperationKind::{Create, Remove, Rename, SetLen, Sync, SyncDir, Write};
    let mut failures = 0;
    for seed in 0..rounds(6, 60) {
        for kind in [Create, Remove, Rename, SetLen, Sync, SyncDir, Write] {
            for nth in 1..rounds(14, 60) {
                let vfs = FaultyVfs::new(seed);
                for fault in [Fault::Io, Fault::NoSpace] {
                    vfs.fail(kind, nth * (1 + fault as u64), fault);
                }
                let mut run = Run::new(vfs, seed);
                for _ in 0..30 {
                    failures += usize::from(run.step().is_err());
                }
                crash_and_check(&run, seed + nth, &format!("seed {seed}, {kind:?} number {nth}"));
            }
        }
    }
    assert!(failures > 50, "only {failures} operations failed");
}

/// The manifest file that counts, there being no other.
fn manifest_file(vfs: &FaultyVfs) -> PathBuf {
    let mut files = vfs.files().into_iter().filter(|path| path.to_string_lossy().contains("manifest-"));
    let file = files.next().unwrap();
    assert_eq!(files.next(), None);
    file
}

/// A manifest with some history, all of it proven; its state.
fn proven_manifest(seed: u64) -> (FaultyVfs, ManifestState) {
    let vfs = FaultyVfs::new(seed);
    let mut run = Run::new(vfs.clone(), seed);
    (0..12).for_each(|_| run.step().unwrap());
    drop(run);
    // The proof of the last edit is written but not synced; opening syncs nothing when it is there.
    vfs.open(&manifest_file(&vfs), OpenMode::ReadWrite).unwrap().sync().unwrap();
    let state = inspect(&vfs, dir()).unwrap().state;
    (vfs, state)
}

#[test]
fn a_flipped_bit_is_noticed_or_harmless_wherever_it_is() {
    let (vfs, state) = proven_manifest(3);
    let mut rng = Rng::with_seed(3);
    let (mut noticed, mut harmless) = (0, 0);
    for path in vfs.files() {
        let len = vfs.bytes(&path).len() as u64;
        let mut offset = 0;
        while offset < len {
            let disk = vfs.crash_with(1);
            disk.flip_bit(&path, offset, rng.u32(..8));
            match open(&disk) {
                Ok(manifest) => {
                    assert_eq!(bytes(manifest.state()), bytes(&state), "{} at {offset}", path.display());
                    harmless += 1;
                }
                Err(Error::Corrupt { path: named, .. }) => {
                    assert_eq!(named, path, "at {offset}");
                    assert!(inspect(&disk, dir()).is_err());
                    noticed += 1;
                }
                Err(e) => panic!("{} at {offset}: {e}", path.display()),
            }
            offset += rng.u64(1..=rounds(20, 3));
        }
    }
    assert!(noticed > 30 && harmless > 10, "{noticed} noticed, {harmless} harmless");
}

#[test]
fn a_lost_current_is_damage_unless_the_database_was_never_finished() {
    let (vfs, _) = proven_manifest(4);
    vfs.remove(&dir().join("CURRENT")).unwrap();
    let error = open(&vfs).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { path, .. } if path.ends_with("CURRENT")), "{error}");
    assert_eq!(inspect(&FaultyVfs::new(1), dir()).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_missing_manifest_is_damage() {
    let (vfs, _) = proven_manifest(5);
    let path = manifest_file(&vfs);
    vfs.remove(&path).unwrap();
    let error = open(&vfs).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { path: named, .. } if *named == path), "{error}");
}

#[test]
fn another_format_version_is_refused_by_name() {
    let vfs = FaultyVfs::new(1);
    open(&vfs).unwrap().append(&[ManifestEdit::Format { version: 9 }]).unwrap();
    let error = open(&vfs).unwrap_err();
    assert!(matches!(error, Error::NotADatabase { .. }));
    assert!(error.to_string().contains("format version 9, this program reads version 2"), "{error}");
}

#[test]
fn a_grown_file_is_begun_anew_and_the_old_one_goes() {
    let vfs = FaultyVfs::new(1);
    let mut manifest = open(&vfs).unwrap();
    let first = manifest_file(&vfs);
    let mut steps = 0;
    while manifest_file(&vfs) == first {
        manifest.append(&[ManifestEdit::NextIds { table: TableId(5000), segment: SegmentId(steps) }]).unwrap();
        steps += 1;
        assert!(steps < 100);
    }
    assert_eq!(vfs.files(), [dir().join("CURRENT"), dir().join("manifest-000002")]);
    assert_eq!(manifest.state().next_segment_id, SegmentId(steps - 1));
    assert_eq!(bytes(open(&vfs.crash()).unwrap().state()), bytes(manifest.state()));
}

#[test]
fn short_reads_change_nothing_and_inspection_writes_nothing() {
    let (vfs, state) = proven_manifest(7);
    vfs.set_short_reads(true);
    let operations = vfs.operations();
    let found = inspect(&vfs, dir()).unwrap();
    assert_eq!((bytes(&found.state), vfs.operations()), (bytes(&state), operations));
    assert!(found.bytes > 8192 && found.notices.is_empty());
    assert_eq!(bytes(open(&vfs).unwrap().state()), bytes(&state));
}

#[test]
fn the_manifest_works_on_a_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut rng = Rng::with_seed(1);
    let mut expected = bytes(&ManifestState::new());
    for _ in 0..3 {
        let mut manifest = Manifest::open(RealVfs::shared(), directory.path()).unwrap();
        assert_eq!(bytes(manifest.state()), expected);
        for _ in 0..5 {
            let edits = random_edits(manifest.state(), &mut rng);
            manifest.append(&edits).unwrap();
        }
        expected = bytes(manifest.state());
    }
}
