//! Particular shapes: the ends of the tree, both siblings, and memory that comes back.

use super::super::node::Node;
use super::super::{KEY_BYTES_MAX, LEAF_KEYS, LEAF_KEYS_MIN, Writer};
use super::count;
use crate::epoch;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn numbers(numbers: impl Iterator<Item = u64>) -> Writer<u64> {
    Writer::from_sorted(numbers.map(|number| (key(number), number)))
}

/// Entries of the leaves under the root, which has one level below it.
fn leaves(writer: &Writer<u64>) -> Vec<usize> {
    let guard = epoch::pin();
    let Node::Inner(root) = writer.tree().root.load(&guard) else { return vec![writer.tree().len()] };
    let leaf_len = |child| match root.slot(child).load(&guard) {
        Node::Leaf(leaf) => leaf.len(),
        Node::Inner(_) => panic!("a tree of two levels"),
    };
    (0..root.len()).map(leaf_len).collect()
}

/// Removes keys of leaf `leaf` of four full ones until it is one too small.
fn shrink(writer: &mut Writer<u64>, leaf: usize, removed: std::ops::Range<usize>) {
    for number in removed {
        assert!(writer.remove(&key((leaf * LEAF_KEYS + number) as u64)));
        writer.verify().unwrap();
    }
}

#[test]
fn bulk_build_has_every_size_right() {
    for len in (0..400).chain([4_096, 4_097, 300_000]) {
        let writer = numbers(0..len);
        writer.verify().unwrap();
        let mut next = 0;
        writer.tree().range(Bound::Unbounded, Bound::Unbounded).for_each(|found, value| {
            assert_eq!((found, *value), (&key(next)[..], next));
            next += 1;
        });
        assert_eq!(next, len);
    }
}

#[test]
fn small_leaf_borrows_from_both_sides_and_at_both_ends() {
    const KEPT: usize = LEAF_KEYS_MIN - 1;
    const LEFT: usize = (LEAF_KEYS + KEPT) / 2;
    const RIGHT: usize = LEAF_KEYS + KEPT - LEFT;
    let full = LEAF_KEYS;
    let cases: [(usize, &[usize], [usize; 4]); 4] = [
        // The first has only a right sibling, the last only a left one.
        (0, &[], [LEFT, RIGHT, full, full]),
        (3, &[], [full, full, LEFT, RIGHT]),
        // In the middle the fuller one lends.
        (1, &[0], [full - 1, LEFT, RIGHT, full]),
        (2, &[3], [full, LEFT, RIGHT, full - 1]),
    ];
    for (leaf, weakened, expected) in cases {
        let mut writer = numbers(0..4 * LEAF_KEYS as u64);
        for weakened in weakened {
            shrink(&mut writer, *weakened, 0..1);
        }
        shrink(&mut writer, leaf, 0..LEAF_KEYS - KEPT);
        assert_eq!(leaves(&writer), expected, "leaf {leaf}");
    }
}

#[test]
fn small_leaf_merges_with_the_smaller_sibling() {
    for (leaf, small, first) in [(0, 1, 0), (1, 0, 0), (1, 2, 1), (2, 1, 1), (3, 2, 2)] {
        let mut writer = numbers(0..4 * LEAF_KEYS as u64);
        shrink(&mut writer, small, 0..LEAF_KEYS / 2);
        shrink(&mut writer, leaf, 0..LEAF_KEYS - LEAF_KEYS_MIN + 1);
        let mut expected = vec![LEAF_KEYS; 3];
        expected[first] = LEAF_KEYS / 2 + LEAF_KEYS_MIN - 1;
        assert_eq!(leaves(&writer), expected, "leaf {leaf}, small {small}");
    }
}

#[test]
fn keys_in_order_fill_their_leaves() {
    for ascending in [true, false] {
        let mut writer = Writer::new();
        let len = 50_000;
        for number in 0..len {
            let number = if ascending { number } else { len - number };
            writer.get_or_insert_with(&key(number), || number);
        }
        writer.verify().unwrap();
        let built = numbers(0..len).tree().memory_bytes();
        let grown = writer.tree().memory_bytes();
        assert!(grown < built + built / 4, "{grown} bytes, built at once {built}");
    }
}

#[test]
fn tree_shrinks_from_both_ends_to_nothing() {
    for backward in [false, true] {
        let len = count(20_000, 500_000) as u64;
        let mut writer = numbers(0..len);
        for number in 0..len {
            let number = if backward { len - 1 - number } else { number };
            assert!(writer.remove(&key(number)));
            if number.is_multiple_of(997) {
                writer.verify().unwrap();
            }
        }
        writer.verify().unwrap();
        assert_eq!(leaves(&writer), [0]);
        assert_eq!(writer.tree().memory_bytes(), Writer::<u64>::new().tree().memory_bytes());
    }
}

#[test]
fn longest_and_empty_keys_fit() {
    let mut writer = Writer::new();
    let mut long = vec![7; KEY_BYTES_MAX];
    for last in 0..200 {
        long[KEY_BYTES_MAX - 1] = last;
        writer.get_or_insert_with(&long, || u64::from(last));
    }
    writer.get_or_insert_with(b"", || 1000);
    writer.verify().unwrap();
    let guard = epoch::pin();
    assert_eq!(writer.tree().first(&guard), Some((&b""[..], &1000)));
    assert_eq!(writer.tree().last(&guard), Some((&long[..], &199)));
    assert_eq!(writer.tree().get(&long, &guard), Some(&199));
}

#[test]
#[should_panic(expected = "64 KiB")]
fn longer_key_is_refused() {
    Writer::new().get_or_insert_with(&vec![0; KEY_BYTES_MAX + 1], || 0);
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn every_value_is_dropped_once() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let mut writer = Writer::new();
    for number in 0..10_000 {
        writer.get_or_insert_with(&key(number), || Counted(dropped.clone()));
    }
    for number in 0..5_000 {
        assert!(writer.remove(&key(number * 2)));
    }
    // Other tests' guards may keep the epoch for a while.
    while dropped.load(Ordering::Relaxed) < 5_000 {
        epoch::pin().flush();
        std::thread::yield_now();
    }
    drop(writer);
    assert_eq!(dropped.load(Ordering::Relaxed), 10_000);
    assert_eq!(Arc::strong_count(&dropped), 1);
}
