//! Bytes that are not what was written: named by file and offset, never a panic, never a wrong answer.

use crate::support::*;
use lightning_storage::{Engine, Error, ErrorKind, ScanSpec, TableId};
use lightning_vfs::FaultyVfs;
use std::path::{Path, PathBuf};

/// A database with two tables in segments and one in the log.
fn database(disk: &FaultyVfs) -> (TableId, TableId, TableId) {
    let vfs = disk.shared();
    let engine = open(&vfs);
    let (one, two) = (create(&engine, 0..3000), create(&engine, 0..3000));
    engine.checkpoint().unwrap();
    let three = create(&engine, 0..30);
    // Closing proves the log's last group.
    drop(engine);
    (one, two, three)
}

fn files_of(disk: &FaultyVfs, part: &str) -> Vec<PathBuf> {
    let is_part = |path: &PathBuf| path.to_string_lossy().contains(part) && !disk.bytes(path).is_empty();
    disk.files().into_iter().filter(is_part).collect()
}

/// Opens and reads everything; the answer is right or an error.
fn read_all(disk: &FaultyVfs, tables: &[(TableId, i64)]) -> Result<(), Error> {
    let engine = Engine::open(disk.shared(), Path::new(DIR), options())?;
    let snapshot = engine.snapshot();
    for (table, rows) in tables {
        let scan = snapshot.scan(*table, ScanSpec { projection: vec![0, 1], ..ScanSpec::default() })?;
        let mut found = 0;
        for batch in scan.reader() {
            found += batch?.num_rows() as i64;
        }
        assert_eq!(found, *rows);
        assert_eq!(ids(&snapshot, *table), (0..*rows).collect::<Vec<_>>());
    }
    Ok(())
}

#[test]
fn flipped_bits_are_found_by_verify_with_file_and_offset() {
    for part in ["segments/", "wal/", "manifest-", "CURRENT"] {
        for seed in 0..rounds(10, 400) {
            let disk = FaultyVfs::new(seed);
            let (one, two, three) = database(&disk);
            let files = files_of(&disk, part);
            let file = &files[seed as usize % files.len()];
            let before = disk.bytes(file);
            let offset = disk.flip_random_bit(file);
            let place = format!("{} at {offset} of {}, seed {seed}", file.display(), before.len());
            let report = Engine::verify(disk.shared(), Path::new(DIR));
            let read = read_all(&disk, &[(one, 3000), (two, 3000), (three, 30)]);
            match (&report, &read) {
                (Ok(report), Ok(())) => {
                    // Padding and zeros ahead of the log's end: nothing anybody reads.
                    let _ = report;
                }
                (Ok(report), Err(_)) => assert!(!report.faults.is_empty(), "{place}: read fails, verify is content"),
                (Err(error), _) => panic!("{place}: {error}"),
            }
            for fault in &report.unwrap().faults {
                assert!(matches!(fault, Error::Corrupt { .. }), "{place}: {fault}");
            }
        }
    }
}

#[test]
fn damaged_segment_leaves_other_tables_readable() {
    let disk = FaultyVfs::new(1);
    let (one, two, three) = database(&disk);
    let files = files_of(&disk, "segments/");
    // Every sector of the first segment.
    for offset in (0..disk.bytes(&files[0]).len() as u64).step_by(512) {
        disk.flip_bit(&files[0], offset, 0);
    }
    let engine = open(&disk.shared());
    let snapshot = engine.snapshot();
    let damaged = |table| {
        let scan = snapshot.scan(table, ScanSpec { projection: vec![0, 1], ..ScanSpec::default() })?;
        scan.reader().try_for_each(|batch| batch.map(|_| ()))
    };
    let outcomes = [damaged(one), damaged(two)];
    let failed: Vec<&Error> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(failed.len(), 1, "{outcomes:?}");
    assert_eq!(failed[0].kind(), ErrorKind::Corrupt);
    assert!(failed[0].to_string().contains(".seg"), "{}", failed[0]);
    assert_eq!(ids(&snapshot, three), (0..30).collect::<Vec<_>>());
}

#[test]
fn missing_segment_is_an_error_of_its_table_and_a_fault_for_verify() {
    let disk = FaultyVfs::new(1);
    let (one, _, three) = database(&disk);
    let vfs = disk.shared();
    let files = files_of(&disk, "segments/");
    files.iter().for_each(|file| vfs.remove(file).unwrap());
    let engine = open(&vfs);
    assert!(engine.snapshot().scan(one, ScanSpec::default()).is_err());
    assert_eq!(ids(&engine.snapshot(), three).len(), 30);
    drop(engine);
    assert_eq!(Engine::verify(vfs, Path::new(DIR)).unwrap().faults.len(), 2);
}

#[test]
fn truncated_files_are_faults() {
    for part in ["segments/", "manifest-", "CURRENT"] {
        let disk = FaultyVfs::new(2);
        database(&disk);
        let file = &files_of(&disk, part)[0];
        let len = disk.bytes(file).len() as u64;
        let vfs = disk.shared();
        vfs.open(file, lightning_vfs::OpenMode::ReadWrite).unwrap().set_len(len / 2).unwrap();
        let report = Engine::verify(vfs, Path::new(DIR)).unwrap();
        assert!(!report.faults.is_empty() || part == "manifest-", "{}", file.display());
    }
}

#[test]
fn verify_of_nothing_says_so() {
    assert!(matches!(Engine::verify(memory(), Path::new(DIR)), Err(Error::NotADatabase { .. })));
}
