//! A reader of a chain while the writer pushes and prunes: `--cfg loom` goes through all interleavings.

#![cfg(loom)]

use super::{Chain, Readers, Timestamp, Writer};
use crate::epoch;
use std::sync::Arc;

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
fn loom_reader_finds_its_version_while_others_go() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(4);
    builder.check(|| {
        let mut writer = Writer::<Chain<u64>>::new();
        for timestamp in [1, 2, 3] {
            put(&mut writer, b"k", timestamp, Some(timestamp));
        }
        let tree = Arc::clone(writer.tree());
        let reader = loom::thread::spawn(move || {
            let guard = epoch::pin();
            let chain = tree.get(b"k", &guard).unwrap();
            // The reader's snapshot is 1; versions 2 and 3 may go at any time.
            let version = chain.at(Timestamp(1), &guard).unwrap();
            assert_eq!((version.timestamp(), version.value()), (Timestamp(1), Some(&1)));
            let newest = chain.newest(&guard).unwrap();
            assert_eq!(newest.value(), Some(&newest.timestamp().0));
        });
        assert_eq!(prune(&mut writer, b"k", &[Timestamp(1)], 3), 1);
        put(&mut writer, b"k", 4, Some(4));
        assert_eq!(prune(&mut writer, b"k", &[Timestamp(1)], 4), 1);
        reader.join().unwrap();
    });
}
