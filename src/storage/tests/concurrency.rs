//! Readers, writers and flushes at once.

use crate::support::*;
use lightning_storage::{Engine, Error};
use lightning_vfs::{RealVfs, Vfs};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn readers_see_whole_commits_in_order_while_writers_and_flushes_run() {
    let engine = open(&memory());
    let (one, two) = (create(&engine, []), create(&engine, []));
    let commits = rounds(200, 5000) as i64;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for id in 0..commits {
                let mut txn = engine.begin();
                txn.append(one, rows([id])).unwrap();
                txn.append(two, rows([id])).unwrap();
                txn.commit().unwrap();
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                engine.checkpoint().unwrap();
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = 0;
                while !done.load(Ordering::Acquire) {
                    let snapshot = engine.snapshot();
                    let found = ids(&snapshot, one);
                    assert_eq!(found, ids(&snapshot, two));
                    assert_eq!(found, (0..found.len() as i64).collect::<Vec<_>>());
                    assert!(found.len() >= seen);
                    seen = found.len();
                }
            });
        }
    });
    assert_eq!(ids(&engine.snapshot(), two).len() as i64, commits);
}

#[test]
fn commits_that_wait_together_share_a_sync() {
    let directory = tempfile::tempdir().unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs);
    let engine = Engine::open(vfs, directory.path(), options()).unwrap();
    let table = create(&engine, []);
    let before = engine.wal_status();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let engine = &engine;
            scope.spawn(move || (0..50).for_each(|i| append(engine, table, [thread * 50 + i])));
        }
    });
    let after = engine.wal_status();
    assert_eq!(after.commits - before.commits, 400);
    assert!(after.syncs - before.syncs < 400, "{} syncs", after.syncs - before.syncs);
    assert_eq!(ids(&engine.snapshot(), table), (0..400).collect::<Vec<_>>());
}

#[test]
fn directory_is_open_once() {
    let vfs = memory();
    let engine = open(&vfs);
    assert!(matches!(Engine::open(vfs.clone(), Path::new(DIR), options()), Err(Error::InUse(_))));
    assert!(matches!(Engine::verify(vfs.clone(), Path::new(DIR)), Err(Error::InUse(_))));
    drop(engine);
    open(&vfs);
}

#[test]
fn directory_of_others_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("thesis.tex"), "").unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs);
    let refused = Engine::open(vfs, directory.path(), options());
    assert!(matches!(refused, Err(Error::NotADatabase { .. })), "{refused:?}");
}

#[test]
fn snapshot_outlives_its_engine() {
    let vfs = memory();
    let engine = open(&vfs);
    let table = create(&engine, 0..10);
    engine.checkpoint().unwrap();
    let snapshot = engine.snapshot();
    drop(engine);
    assert_eq!(ids(&snapshot, table), (0..10).collect::<Vec<_>>());
}
