//! Chains against a list of all versions.

use super::{Chain, Readers, Timestamp, Writer};
use crate::epoch;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

type Value = Arc<[u8]>;

fn value(text: &str) -> Option<Value> {
    Some(text.as_bytes().into())
}

/// What a reader at `timestamp` gets: nothing, a deletion, or the text.
fn read(writer: &Writer<Chain<Value>>, key: &[u8], timestamp: u64) -> Option<Option<Value>> {
    let guard = epoch::pin();
    let version = writer.tree().get(key, &guard)?.at(Timestamp(timestamp), &guard)?;
    assert!(version.timestamp() <= Timestamp(timestamp));
    Some(version.value().cloned())
}

/// Writes a version and keeps all others.
fn put<T: crate::btree::Value>(writer: &mut Writer<Chain<T>>, key: &[u8], timestamp: u64, value: Option<T>) {
    let readers = Readers { live: &[], published: Timestamp(0) };
    assert!(writer.write(key, Timestamp(timestamp), value, readers, |_| true, &mut |_| {}));
}

/// Prunes; how many versions went.
fn prune<T: crate::btree::Value>(
    writer: &mut Writer<Chain<T>>,
    key: &[u8],
    live: &[Timestamp],
    published: u64,
) -> usize {
    let mut removed = 0;
    writer.prune(key, Readers { live, published: Timestamp(published) }, &mut |_| removed += 1);
    removed
}

#[test]
fn reader_gets_the_version_of_its_time() {
    let mut writer = Writer::new();
    put(&mut writer, b"k", 9, value("a"));
    put(&mut writer, b"k", 17, value("b"));
    put(&mut writer, b"k", 42, None);
    assert_eq!(read(&writer, b"k", 8), None);
    assert_eq!(read(&writer, b"k", 9), Some(value("a")));
    assert_eq!(read(&writer, b"k", 41), Some(value("b")));
    assert_eq!(read(&writer, b"k", 42), Some(None));
}

#[test]
fn pruning_takes_what_nobody_sees_from_the_middle() {
    let mut writer = Writer::new();
    for (timestamp, text) in [(9, "a"), (17, "b"), (30, "c"), (42, "d")] {
        put(&mut writer, b"k", timestamp, value(text));
    }
    let live = [Timestamp(10), Timestamp(42)];
    assert_eq!(prune(&mut writer, b"k", &live, 42), 2);
    assert_eq!(read(&writer, b"k", 10), Some(value("a")));
    assert_eq!(read(&writer, b"k", 42), Some(value("d")));
    assert_eq!(prune(&mut writer, b"k", &live, 42), 0);
}

#[test]
fn pruning_keeps_what_coming_snapshots_see() {
    let mut writer = Writer::new();
    put(&mut writer, b"k", 9, value("a"));
    put(&mut writer, b"k", 17, value("b"));
    // 17 is not published: the next snapshot may be at 12.
    assert_eq!(prune(&mut writer, b"k", &[], 12), 0);
    assert_eq!(read(&writer, b"k", 12), Some(value("a")));
    assert_eq!(prune(&mut writer, b"k", &[], 17), 1);
}

#[test]
fn deleted_key_goes_when_all_know() {
    let mut writer = Writer::new();
    put(&mut writer, b"k", 9, value("a"));
    put(&mut writer, b"k", 17, None);
    assert_eq!(prune(&mut writer, b"k", &[Timestamp(16)], 20), 0);
    assert_eq!(prune(&mut writer, b"k", &[Timestamp(17)], 20), 2);
    assert_eq!(writer.tree().len(), 0);
}

#[test]
fn versions_taken_back_leave_what_was_there_before() {
    let mut writer = Writer::new();
    put(&mut writer, b"k", 9, value("a"));
    put(&mut writer, b"k", 17, value("b"));
    put(&mut writer, b"k", 18, None);
    put(&mut writer, b"new", 17, value("c"));
    let mut removed = 0;
    writer.take_back(b"k", Timestamp(17), &mut |_| removed += 1);
    writer.take_back(b"new", Timestamp(17), &mut |_| removed += 1);
    assert_eq!((removed, writer.tree().len()), (3, 1));
    assert_eq!(read(&writer, b"k", 40), Some(value("a")));
    let readers = Readers { live: &[], published: Timestamp(0) };
    assert!(!writer.write(b"k", Timestamp(17), None, readers, |newest| newest.is_none(), &mut |_| {}));
    put(&mut writer, b"k", 17, value("d"));
    assert_eq!(read(&writer, b"k", 17), Some(value("d")));
}

#[test]
fn random_pruning_changes_no_answer() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..500 {
        let mut writer = Writer::new();
        let (mut all, mut live, mut published) = (Vec::new(), Vec::new(), 0);
        for _ in 0..random.usize(..60) {
            match random.u8(..4) {
                0 | 1 => {
                    let timestamp = published + random.u64(1..4);
                    let text = (random.u8(..4) > 0).then(|| timestamp.to_string());
                    put(&mut writer, b"k", timestamp, text.as_deref().and_then(value));
                    all.push((timestamp, text));
                    published = timestamp;
                }
                2 => live.push(Timestamp(published)),
                _ => {
                    if !live.is_empty() && random.bool() {
                        live.remove(random.usize(..live.len()));
                    }
                    prune(&mut writer, b"k", &live, published);
                }
            }
            for snapshot in live.iter().map(|live| live.0).chain([published, published + 5]) {
                let expected = all.iter().rev().find(|(timestamp, _)| *timestamp <= snapshot);
                let expected = expected.and_then(|(_, text)| text.as_deref().and_then(value));
                // A deletion may have gone with its key.
                assert_eq!(read(&writer, b"k", snapshot).flatten(), expected, "at {snapshot}, {live:?}");
            }
        }
        // All that is left once nobody looks is the newest version.
        live.clear();
        prune(&mut writer, b"k", &live, published);
        assert_eq!(prune(&mut writer, b"k", &live, published), 0);
    }
}

/// A reader announces the published timestamp before it reads, as snapshots do; the writer never prunes what an announced
/// one sees. Every version's value is its own timestamp, and there is one for each.
#[test]
fn readers_keep_their_versions_while_the_writer_prunes() {
    const KEYS: u64 = 40;
    const READERS: usize = 3;
    let rounds = if std::env::var_os("LIGHTNING_LONG").is_some() { 2_000_000 } else { 40_000 };
    let mut writer = Writer::<Chain<u64>>::new();
    let tree = writer.tree().clone();
    for key in 0..KEYS {
        put(&mut writer, &key.to_be_bytes(), 1 + key, Some(1 + key));
    }
    let published = AtomicU64::new(KEYS);
    let announced: [AtomicU64; READERS] = std::array::from_fn(|_| AtomicU64::new(u64::MAX));
    std::thread::scope(|scope| {
        for (reader, announced) in announced.iter().enumerate() {
            let (tree, published) = (&tree, &published);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(reader as u64);
                while published.load(Ordering::SeqCst) < rounds {
                    // Announce zero, which keeps everything, then the snapshot itself.
                    announced.store(0, Ordering::SeqCst);
                    let snapshot = published.load(Ordering::SeqCst);
                    announced.store(snapshot, Ordering::SeqCst);
                    for _ in 0..20 {
                        let guard = epoch::pin();
                        let key = random.u64(..KEYS);
                        let chain = tree.get(&key.to_be_bytes(), &guard).expect("keys are never deleted");
                        let version = chain.at(Timestamp(snapshot), &guard).expect("its version is kept");
                        // Timestamp t writes key (t - 1) modulo KEYS.
                        let newest = snapshot - (snapshot + KEYS - 1 - key) % KEYS;
                        assert_eq!((version.timestamp().0, version.value()), (newest, Some(&newest)));
                    }
                    announced.store(u64::MAX, Ordering::SeqCst);
                }
            });
        }
        for timestamp in KEYS + 1..=rounds {
            let key = (timestamp - 1) % KEYS;
            put(&mut writer, &key.to_be_bytes(), timestamp, Some(timestamp));
            published.store(timestamp, Ordering::SeqCst);
            let mut live: Vec<Timestamp> = announced.iter().map(|at| Timestamp(at.load(Ordering::SeqCst))).collect();
            live.sort_unstable();
            // A reader between its two announcements may take any snapshot up to now: leave all.
            if live[0] != Timestamp(0) {
                prune(&mut writer, &key.to_be_bytes(), &live, timestamp);
            }
        }
    });
    for key in 0..KEYS {
        prune(&mut writer, &key.to_be_bytes(), &[], rounds);
        assert_eq!(prune(&mut writer, &key.to_be_bytes(), &[], rounds), 0);
    }
}
