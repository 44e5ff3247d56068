//! Crashes: the power goes during every operation of a run, and during the recovery after that.
//!
//! What is looked for afterwards: every acknowledged commit is there, of the one under way all or nothing, and the
//! database goes on.

use crate::support::*;
use lightning_storage::{Engine, Error, TableId};
use lightning_vfs::{FaultyVfs, Vfs};
use std::path::Path;
use std::sync::Arc;

/// What a run was told before the power went.
#[derive(Clone, Debug, Default)]
struct Told {
    tables: Option<[TableId; 3]>,
    /// Rounds acknowledged; each commits as many rows to all tables.
    rounds: i64,
}

/// Rows a round adds to each table.
const ROUND_ROWS: i64 = 10;
const ROUNDS: i64 = 6;
/// The third table is truncated at the beginning of this round, and dropped in the other.
const TRUNCATE_ROUND: i64 = 3;
const DROP_ROUND: i64 = 5;

fn run(vfs: &Arc<dyn Vfs>) -> Told {
    let mut told = Told::default();
    // Failures are what this is about: the run ends with the first.
    let _ = try_run(vfs, &mut told);
    told
}

fn try_run(vfs: &Arc<dyn Vfs>, told: &mut Told) -> lightning_storage::Result<()> {
    let engine = Engine::open(vfs.clone(), Path::new(DIR), options())?;
    let mut txn = engine.begin();
    let mut create = || txn.create_table(definition());
    let tables = [create()?, create()?, create()?];
    txn.commit()?;
    told.tables = Some(tables);
    let [one, two, three] = tables;
    for round in 0..ROUNDS {
        let new = round * ROUND_ROWS..(round + 1) * ROUND_ROWS;
        let mut txn = engine.begin();
        txn.append(one, rows(new.clone()))?;
        let mut appender = txn.appender(two)?;
        appender.push(rows(new.clone()))?;
        appender.finish(&mut txn)?;
        match round {
            DROP_ROUND => txn.drop_table(three)?,
            _ => {
                if round == TRUNCATE_ROUND {
                    txn.truncate(three)?;
                }
                txn.append(three, rows(new))?;
            }
        }
        txn.commit()?;
        told.rounds = round + 1;
        if round % 2 == 1 {
            engine.checkpoint()?;
        }
    }
    Ok(())
}

/// Checks what a crash left, and that the database takes another commit.
fn check(vfs: &Arc<dyn Vfs>, told: &Told, place: &str) {
    let engine = Engine::open(vfs.clone(), Path::new(DIR), options()).unwrap_or_else(|e| panic!("{place}: {e}"));
    let Some([one, two, three]) = told.tables else { return };
    let snapshot = engine.snapshot();
    let found = ids(&snapshot, one);
    assert_eq!(found, ids(&snapshot, two), "{place}: half a commit");
    let rounds = found.len() as i64 / ROUND_ROWS;
    assert_eq!(found, (0..rounds * ROUND_ROWS).collect::<Vec<_>>(), "{place}");
    assert!(rounds == told.rounds || rounds == told.rounds + 1, "{place}: {rounds} of {} rounds", told.rounds);
    if rounds > DROP_ROUND {
        assert!(matches!(snapshot.table(three), Err(Error::UnknownTable(_))), "{place}");
    } else {
        let first = if rounds > TRUNCATE_ROUND { TRUNCATE_ROUND } else { 0 };
        assert_eq!(ids(&snapshot, three), (first * ROUND_ROWS..rounds * ROUND_ROWS).collect::<Vec<_>>(), "{place}");
    }
    append(&engine, one, [-1]);
    assert_eq!(ids(&engine.snapshot(), one).first(), Some(&-1));
    drop(snapshot);
    drop(engine);
    verify(vfs);
}

#[test]
fn acknowledged_commits_survive_a_crash_at_every_operation() {
    let whole = FaultyVfs::new(1);
    assert_eq!(run(&whole.shared()).rounds, ROUNDS);
    let operations = whole.operations();
    let step = if rounds(0, 1) == 1 { 1 } else { 3 };
    for halt in (1..=operations).step_by(step) {
        let disk = FaultyVfs::new(halt);
        disk.halt_at(halt);
        let told = run(&disk.shared());
        for seed in 0..rounds(2, 8) {
            let survivor = disk.crash_with(seed);
            check(&survivor.shared(), &told, &format!("crash at {halt} of {operations}, seed {seed}"));
        }
    }
}

#[test]
fn recovery_survives_a_crash_of_its_own() {
    let disk = FaultyVfs::new(7);
    let whole = FaultyVfs::new(7);
    run(&whole.shared());
    // Late, so that there is a manifest, a log and segments to recover from.
    disk.halt_at(whole.operations() * 3 / 4);
    let told = run(&disk.shared());
    let crashed = disk.crash();
    let recovered = crashed.crash_with(0);
    let before = recovered.operations();
    drop(open(&recovered.shared()));
    let operations = recovered.operations() - before;
    for halt in 1..=operations {
        let again = crashed.crash_with(0);
        again.halt_at(again.operations() + halt);
        drop(Engine::open(again.shared(), Path::new(DIR), options()));
        check(&again.crash().shared(), &told, &format!("crash at {halt} of {operations} of recovery"));
    }
}

#[test]
fn files_of_an_unfinished_load_are_gone_after_a_crash() {
    let disk = FaultyVfs::new(3);
    let vfs = disk.shared();
    let engine = open(&vfs);
    let table = create(&engine, 0..5);
    let mut txn = engine.begin();
    let mut appender = txn.appender(table).unwrap();
    appender.push(rows(0..130_000)).unwrap();
    appender.finish(&mut txn).unwrap();
    let after = disk.crash().shared();
    let recovered = open(&after);
    assert!(segment_files(&after).is_empty());
    assert_eq!(ids(&recovered.snapshot(), table), [0, 1, 2, 3, 4]);
}

#[test]
fn failed_sync_leaves_the_outcome_unknown_and_the_engine_read_only() {
    use lightning_storage::ErrorKind;
    use lightning_vfs::{Fault, OperationKind};
    let disk = FaultyVfs::new(5);
    let vfs = disk.shared();
    let engine = open(&vfs);
    let table = create(&engine, 0..5);
    disk.fail(OperationKind::Sync, 1, Fault::Io);
    let mut txn = engine.begin();
    txn.append(table, rows(5..6)).unwrap();
    assert_eq!(txn.commit().unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(ids(&engine.snapshot(), table), [0, 1, 2, 3, 4]);
    let mut txn = engine.begin();
    txn.append(table, rows(6..7)).unwrap();
    assert_eq!(txn.commit().unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(engine.checkpoint().unwrap_err().kind(), ErrorKind::ReadOnly);
    drop(engine);
    let found = ids(&open(&vfs).snapshot(), table);
    assert!(found == [0, 1, 2, 3, 4] || found == [0, 1, 2, 3, 4, 5], "{found:?}");
}
