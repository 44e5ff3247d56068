//! A disk that fills up.

use crate::support::*;
use lightning_storage::ErrorKind;
use lightning_vfs::FaultyVfs;

#[test]
fn full_disk_fails_the_load_and_the_database_goes_on() {
    let disk = FaultyVfs::new(1);
    let vfs = disk.shared();
    let engine = open(&vfs);
    let table = create(&engine, 0..5);
    engine.checkpoint().unwrap();
    disk.set_capacity(Some(disk.used_bytes() + 100_000));
    let mut txn = engine.begin();
    let mut appender = txn.appender(table).unwrap();
    let mut outcome = Ok(());
    for start in 0..100 {
        outcome = outcome.and_then(|()| appender.push(rows(start * 10_000..(start + 1) * 10_000)));
    }
    let error = outcome.and_then(|()| appender.finish(&mut txn).map(|_| ())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    txn.rollback();
    assert_eq!(ids(&engine.snapshot(), table), [0, 1, 2, 3, 4]);
    disk.set_capacity(None);
    append(&engine, table, 5..6);
    let engine = reopen(engine, &vfs);
    assert_eq!(ids(&engine.snapshot(), table), [0, 1, 2, 3, 4, 5]);
    assert_eq!(segment_files(&vfs).len(), 1);
}

#[test]
fn full_disk_fails_the_commit_and_the_database_goes_on() {
    let disk = FaultyVfs::new(1);
    let vfs = disk.shared();
    let engine = open(&vfs);
    let table = create(&engine, 0..5);
    disk.set_capacity(Some(disk.used_bytes()));
    let mut failed = 0;
    for _ in 0..40 {
        let mut txn = engine.begin();
        txn.append(table, rows(5..3000)).unwrap();
        if let Err(error) = txn.commit() {
            assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
            failed += 1;
        }
    }
    assert!(failed > 0);
    assert!(engine.checkpoint().is_err());
    disk.set_capacity(None);
    let rows_before = engine.snapshot().table(table).unwrap().rows;
    append(&engine, table, [-1]);
    engine.checkpoint().unwrap();
    let engine = reopen(engine, &vfs);
    assert_eq!(engine.snapshot().table(table).unwrap().rows, rows_before + 1);
}
