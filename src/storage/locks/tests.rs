//! The rules of conflicts, queues, circles and releases, and many threads at once.

use super::*;
use crate::ids::TableId;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const T: TableId = TableId(2000);
const A: LockOwner = LockOwner(1);
const B: LockOwner = LockOwner(2);
const C: LockOwner = LockOwner(3);
const D: LockOwner = LockOwner(4);

fn table(mode: TableMode) -> LockRequest<'static> {
    LockRequest::Table { table: T, mode }
}

fn key(key: &[u8], mode: KeyMode) -> LockRequest<'_> {
    LockRequest::Key { table: T, key, mode }
}

fn update(bytes: &[u8]) -> LockRequest<'_> {
    key(bytes, KeyMode::Update)
}

/// Locks in which four owners may lock keys.
fn locks() -> Arc<Locks> {
    let locks = Arc::new(Locks::new(LockOptions::default()));
    for owner in [A, B, C, D] {
        locks.try_lock(owner, table(TableMode::RowExclusive)).unwrap();
    }
    locks
}

fn enqueue(locks: &Arc<Locks>, owner: LockOwner, request: LockRequest<'_>) -> Ticket {
    let waker: Waker = Box::new(|| ());
    match locks.lock_or_enqueue(owner, request, waker).unwrap() {
        Enqueued::Waiting(ticket) => ticket,
        Enqueued::Granted(acquired) => panic!("somebody is in the way, but it was got: {acquired:?}"),
    }
}

fn is_granted(ticket: &Ticket) -> bool {
    ticket.outcome() == Some(Ok(Acquired::AfterWaiting))
}

#[test]
fn conflicts_are_those_of_postgresql() {
    use TableMode::*;
    let rows = ["...X", "..XX", ".XXX", "XXXX"];
    let modes = [KeyMode::KeyShare, KeyMode::Share, KeyMode::NoKeyUpdate, KeyMode::Update];
    for (a, row) in modes.iter().zip(rows) {
        for (b, cell) in modes.iter().zip(row.chars()) {
            let locks = locks();
            locks.try_lock(A, key(b"k", *a)).unwrap();
            assert_eq!(locks.try_lock(B, key(b"k", *b)).is_err(), cell == 'X', "{a:?} and {b:?}");
        }
    }
    let rows = [".......X", "......XX", "....XXXX", "...XXXXX", "..XX.XXX", "..XXXXXX", ".XXXXXXX", "XXXXXXXX"];
    let modes = [
        AccessShare,
        RowShare,
        RowExclusive,
        ShareUpdateExclusive,
        Share,
        ShareRowExclusive,
        Exclusive,
        AccessExclusive,
    ];
    for (a, row) in modes.iter().zip(rows) {
        for (b, cell) in modes.iter().zip(row.chars()) {
            let locks = Locks::new(LockOptions::default());
            locks.try_lock(A, table(*a)).unwrap();
            assert_eq!(locks.try_lock(B, table(*b)).is_err(), cell == 'X', "{a:?} and {b:?}");
        }
    }
}

#[test]
fn locks_are_got_again_and_released_together() {
    let locks = locks();
    assert_eq!(locks.try_lock(A, update(b"k")), Ok(Acquired::AtOnce));
    assert_eq!(locks.try_lock(A, key(b"k", KeyMode::Share)), Ok(Acquired::Already));
    assert_eq!(locks.lock(B, update(b"k"), Wait::NoWait, &|| false), Err(LockError::NotAvailable));
    assert_eq!(locks.probe(B, update(b"k")), Probe::Locked);
    assert_eq!(locks.probe(A, update(b"k")), Probe::Free);
    locks.release_all(A);
    assert_eq!(locks.probe(B, update(b"k")), Probe::Free);
    assert_eq!(locks.try_lock(A, update(b"k")), Err(LockError::TableNotLocked(T)));
    for owner in [B, C, D] {
        locks.release_all(owner);
    }
    let statistics: LockStatistics = locks.statistics();
    assert_eq!((statistics.held, statistics.bytes, locks.list().len()), (0, 0, 0));
}

#[test]
fn first_come_is_first_served() {
    let locks = locks();
    locks.try_lock(A, key(b"k", KeyMode::Share)).unwrap();
    let b = enqueue(&locks, B, update(b"k"));
    // Compatible with the holder, but not with who waits before.
    let c = enqueue(&locks, C, key(b"k", KeyMode::Share));
    let d = enqueue(&locks, D, key(b"k", KeyMode::Share));
    let is_waiting = |info: &&LockInfo| !info.granted && info.waiting_since.is_some();
    assert_eq!(locks.list().iter().filter(is_waiting).count(), 3);
    locks.release_all(A);
    assert!(is_granted(&b) && c.outcome().is_none() && d.outcome().is_none());
    locks.release_all(B);
    assert!(is_granted(&c) && is_granted(&d));
}

#[test]
fn who_holds_already_goes_first() {
    let locks = locks();
    locks.try_lock(A, key(b"k", KeyMode::Share)).unwrap();
    locks.try_lock(B, key(b"k", KeyMode::Share)).unwrap();
    let c = enqueue(&locks, C, update(b"k"));
    let a = enqueue(&locks, A, update(b"k"));
    locks.release_all(B);
    assert!(is_granted(&a) && c.outcome().is_none());
    // The second to ask for more would wait for the first for ever.
    let locks = self::locks();
    locks.try_lock(A, key(b"k", KeyMode::Share)).unwrap();
    locks.try_lock(B, key(b"k", KeyMode::Share)).unwrap();
    let a = enqueue(&locks, A, update(b"k"));
    assert!(matches!(locks.lock(B, update(b"k"), Wait::Forever, &|| false), Err(LockError::Deadlock(_))));
    locks.release_all(B);
    assert!(is_granted(&a));
}

#[test]
fn who_closes_a_circle_is_its_only_victim() {
    for owners in [vec![A, B], vec![A, B, C], vec![A, B, C, D]] {
        let locks = locks();
        for owner in &owners {
            locks.try_lock(*owner, update(&owner.0.to_be_bytes())).unwrap();
        }
        let mut tickets = Vec::new();
        for pair in owners.windows(2) {
            tickets.push(enqueue(&locks, pair[0], update(&pair[1].0.to_be_bytes())));
        }
        let last = *owners.last().unwrap();
        let Err(LockError::Deadlock(edges)) = locks.lock(last, update(&A.0.to_be_bytes()), Wait::Forever, &|| false)
        else {
            panic!("the circle is not seen")
        };
        assert_eq!(edges.len(), owners.len());
        let first: &WaitEdge = &edges[0];
        assert_eq!((first.owner, first.blocked_by, first.key.as_deref()), (last, A, Some(&A.0.to_be_bytes()[..])));
        assert!(edges.iter().zip(edges.iter().cycle().skip(1)).all(|(edge, next)| edge.blocked_by == next.owner));
        assert!(tickets.iter().all(|ticket| ticket.outcome().is_none()));
        locks.release_all(last);
        for (owner, ticket) in owners.iter().zip(&tickets).rev() {
            assert!(is_granted(ticket));
            locks.release_all(*owner);
        }
        assert_eq!((locks.statistics().deadlocks, locks.statistics().waiting), (1, 0));
    }
}

#[test]
fn waits_end_by_time_by_cancelling_and_by_giving_up() {
    let locks = locks();
    locks.try_lock(A, update(b"k")).unwrap();
    let until = Wait::Until(Duration::from_millis(1));
    assert_eq!(locks.lock(B, update(b"k"), until, &|| false), Err(LockError::Timeout));
    assert_eq!(locks.lock(B, update(b"k"), Wait::Forever, &|| true), Err(LockError::Cancelled));
    let b = enqueue(&locks, B, update(b"k"));
    assert!(matches!(locks.lock(B, update(b"k"), Wait::Forever, &|| false), Err(LockError::AlreadyWaiting)));
    assert!(locks.cancel(B) && !locks.cancel(B));
    assert_eq!(b.outcome(), Some(Err(LockError::Cancelled)));
    let b = enqueue(&locks, B, update(b"k"));
    assert_eq!(b.give_up(LockError::Timeout), Err(LockError::Timeout));
    drop(enqueue(&locks, B, update(b"k")));
    assert_eq!(locks.statistics().waiting, 0);
    // One that vanishes from the middle of the queue lets those behind it go on.
    locks.release_all(A);
    locks.try_lock(C, key(b"k", KeyMode::Share)).unwrap();
    let b = enqueue(&locks, B, update(b"k"));
    let d = enqueue(&locks, D, key(b"k", KeyMode::Share));
    locks.release_all(B);
    assert!(is_granted(&d) && b.outcome() == Some(Err(LockError::Cancelled)));
}

#[test]
fn rollback_to_a_mark_releases_what_came_after() {
    let locks = locks();
    locks.try_lock(A, key(b"a", KeyMode::Share)).unwrap();
    let mark: Mark = locks.mark(A);
    locks.try_lock(A, update(b"a")).unwrap();
    locks.try_lock(A, update(b"b")).unwrap();
    let b = enqueue(&locks, B, update(b"b"));
    locks.release_since(A, mark);
    assert!(is_granted(&b));
    assert!(locks.try_lock(C, key(b"a", KeyMode::Share)).is_ok());
    assert!(locks.try_lock(C, update(b"a")).is_err());
}

#[test]
fn many_keys_become_the_table_when_nobody_is_in_the_way() {
    let locks = Locks::new(LockOptions { keys_per_table_max: 10, bytes_max: 10_000 });
    locks.try_lock(A, table(TableMode::RowExclusive)).unwrap();
    locks.try_lock(B, table(TableMode::RowShare)).unwrap();
    locks.try_lock(A, update(&[0])).unwrap();
    let mark: Mark = locks.mark(A);
    for i in 1..=11 {
        locks.try_lock(A, update(&[i])).unwrap();
    }
    assert_eq!(locks.statistics().escalations, 0);
    locks.release_all(B);
    for i in 12..=40 {
        locks.try_lock(A, update(&[i])).unwrap();
    }
    assert_eq!((locks.statistics().escalations, locks.statistics().held), (1, 2));
    assert!(locks.try_lock(B, table(TableMode::RowShare)).is_err());
    // The key before the mark is still covered.
    locks.release_since(A, mark);
    assert!(locks.try_lock(B, table(TableMode::RowShare)).is_err());
    locks.release_all(A);
    assert_eq!(locks.statistics().bytes, 0);

    for owner in [A, B] {
        locks.try_lock(owner, table(TableMode::RowExclusive)).unwrap();
    }
    let refused = (0..200).find_map(|i| locks.try_lock(A, update(&[i])).err());
    assert_eq!(refused, Some(LockError::OutOfMemory { limit_bytes: 10_000 }));
}

/// Threads lock random keys in random modes; a plain table beside checks that conflicting ones never coexist.
#[test]
fn many_threads_never_conflict_and_never_hang() {
    let rounds = if std::env::var_os("LIGHTNING_LONG").is_some() { 100_000 } else { 2_000 };
    let locks = Arc::new(Locks::new(LockOptions::default()));
    let modes = [KeyMode::KeyShare, KeyMode::Share, KeyMode::NoKeyUpdate, KeyMode::Update];
    let holders: [Mutex<Vec<(LockOwner, KeyMode)>>; 5] = Default::default();
    let deadlocks = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (locks, holders, deadlocks) = (&locks, &holders, &deadlocks);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                for round in 0..rounds {
                    let owner = LockOwner(round * 8 + thread);
                    locks.lock(owner, table(TableMode::RowExclusive), Wait::Forever, &|| false).unwrap();
                    for _ in 0..random.usize(1..4) {
                        let (at, mode) = (random.usize(..5), modes[random.usize(..4)]);
                        match locks.lock(owner, key(&[at as u8], mode), Wait::Forever, &|| false) {
                            Ok(_) => {
                                let mut holders = holders[at].lock();
                                let conflicts = |(other, held): &(LockOwner, KeyMode)| {
                                    *other != owner && LockMode::Key(*held).conflicts_with(LockMode::Key(mode))
                                };
                                assert!(!holders.iter().any(conflicts));
                                holders.push((owner, mode));
                                drop(holders);
                                std::thread::yield_now();
                            }
                            Err(LockError::Deadlock(_)) => {
                                deadlocks.fetch_add(1, Ordering::Relaxed);
                                break;
                            }
                            Err(other) => panic!("{other}"),
                        }
                    }
                    holders.iter().for_each(|holders| holders.lock().retain(|(holder, _)| *holder != owner));
                    locks.release_all(owner);
                }
            });
        }
    });
    let statistics: LockStatistics = locks.statistics();
    assert_eq!((statistics.held, statistics.waiting, statistics.bytes), (0, 0, 0));
    assert_eq!(statistics.deadlocks, deadlocks.into_inner() as u64);
}
