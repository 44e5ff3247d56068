//! Chains against a list of all versions.

use super::{Chain, Timestamp, Writer};
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

#[test]
fn reader_gets_the_version_of_its_time() {
    let mut writer = Writer::new();
    writer.write(b"k", Timestamp(9), value("a"));
    writer.write(b"k", Timestamp(17), value("b"));
    writer.write(b"k", Timestamp(42), None);
    assert_eq!(read(&writer, b"k", 8), None);
    assert_eq!(read(&writer, b"k", 9), Some(value("a")));
    assert_eq!(read(&writer, b"k", 41), Some(value("b")));
    assert_eq!(read(&writer, b"k", 42), Some(None));
}

#[test]
fn pruning_takes_what_nobody_sees_from_the_middle() {
    let mut writer = Writer::new();
    for (timestamp, text) in [(9, "a"), (17, "b"), (30, "c"), (42, "d")] {
        writer.write(b"k", Timestamp(timestamp), value(text));
    }
    let live = [Timestamp(10), Timestamp(42)];
    assert_eq!(writer.prune(b"k", &live, Timestamp(42)), 2);
    assert_eq!(read(&writer, b"k", 10), Some(value("a")));
    assert_eq!(read(&writer, b"k", 42), Some(value("d")));
    assert_eq!(writer.prune(b"k", &live, Timestamp(42)), 0);
}

#[test]
fn pruning_keeps_what_coming_snapshots_see() {
    let mut writer = Writer::new();
    writer.write(b"k", Timestamp(9), value("a"));
    writer.write(b"k", Timestamp(17), value("b"));
    // 17 is not published: the next snapshot may be at 12.
    assert_eq!(writer.prune(b"k", &[], Timestamp(12)), 0);
    assert_eq!(read(&writer, b"k", 12), Some(value("a")));
    assert_eq!(writer.prune(b"k", &[], Timestamp(17)), 1);
}

#[test]
fn deleted_key_goes_when_all_know() {
    let mut writer = Writer::new();
    writer.write(b"k", Timestamp(9), value("a"));
    writer.write(b"k", Timestamp(17), None);
    assert_eq!(writer.prune(b"k", &[Timestamp(16)], Timestamp(20)), 0);
    assert_eq!(writer.prune(b"k", &[Timestamp(17)], Timestamp(20)), 2);
    assert_eq!(writer.tree().len(), 0);
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
                    writer.write(b"k", Timestamp(timestamp), text.as_deref().and_then(value));
                    all.push((timestamp, text));
                    published = timestamp;
                }
                2 => live.push(Timestamp(published)),
                _ => {
                    if !live.is_empty() && random.bool() {
                        live.remove(random.usize(..live.len()));
                    }
                    writer.prune(b"k", &live, Timestamp(published));
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
        writer.prune(b"k", &live, Timestamp(published));
        assert_eq!(writer.prune(b"k", &live, Timestamp(published)), 0);
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
        writer.write(&key.to_be_bytes(), Timestamp(1 + key), Some(1 + key));
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
            writer.write(&key.to_be_bytes(), Timestamp(timestamp), Some(timestamp));
            published.store(timestamp, Ordering::SeqCst);
            let mut live: Vec<Timestamp> = announced.iter().map(|at| Timestamp(at.load(Ordering::SeqCst))).collect();
            live.sort_unstable();
            // A reader between its two announcements may take any snapshot up to now: leave all.
            if live[0] != Timestamp(0) {
                writer.prune(&key.to_be_bytes(), &live, Timestamp(timestamp));
            }
        }
    });
    for key in 0..KEYS {
        writer.prune(&key.to_be_bytes(), &[], Timestamp(rounds));
        assert_eq!(writer.prune(&key.to_be_bytes(), &[], Timestamp(rounds)), 0);
    }
}
