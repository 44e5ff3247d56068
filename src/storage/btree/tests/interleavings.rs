//! What readers and the writer may see of each other: loom goes through all interleavings and all that the memory model
//! allows, for small cases; shuttle takes many random schedules of larger ones. Nodes are small in these builds, and memory
//! that would be freed is marked instead (`epoch.rs`), so that a reader that came too late would panic.

use super::super::{Tree, Writer};
use crate::epoch;
use std::ops::Bound;
use std::sync::Arc;

fn key(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn tree_of(numbers: impl Iterator<Item = u32>) -> Writer<u32> {
    Writer::from_sorted(numbers.map(|number| (key(number), number)))
}

/// All keys by one scan; panics if they are not in order or a value is not that of its key.
fn scan(tree: &Tree<u32>, is_backward: bool) -> Vec<u32> {
    let mut met = Vec::new();
    let visit = |found: &[u8], number: &u32| {
        assert_eq!(found, key(*number));
        met.push(*number);
    };
    let range = tree.range(Bound::Unbounded, Bound::Unbounded);
    if is_backward {
        range.for_each_back(visit);
        met.reverse();
    } else {
        range.for_each(visit);
    }
    assert!(met.is_sorted_by(|a, b| a < b), "out of order: {met:?}");
    met
}

fn holds(tree: &Tree<u32>, number: u32) -> bool {
    let guard = epoch::pin();
    let found = tree.get(&key(number), &guard);
    assert!(found.is_none_or(|found| *found == number));
    found.is_some()
}

#[cfg(loom)]
mod all {
    use super::*;

    /// As loom's default, with a bound on how often a thread is interrupted: the larger cases would take days.
    fn model(preemptions: usize, check: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.max_branches = 10_000;
        builder.check(check);
    }

    #[test]
    fn loom_appended_key_is_published_whole() {
        model(4, || {
            let mut writer = tree_of([10].into_iter());
            let tree = Arc::clone(writer.tree());
            let reader = loom::thread::spawn(move || {
                let later = holds(&tree, 30);
                let (earlier, all) = (holds(&tree, 20), scan(&tree, false));
                assert!(!later || earlier, "keys came in this order");
                assert!(!earlier || all.contains(&20));
                assert!(all.contains(&10));
            });
            writer.get_or_insert_with(&key(20), || 20);
            writer.get_or_insert_with(&key(30), || 30);
            reader.join().unwrap();
        });
    }

    #[test]
    fn loom_reader_finds_all_during_a_split() {
        model(3, || {
            let mut writer = tree_of((1..=8).map(|number| number * 10));
            for number in [15, 25] {
                writer.get_or_insert_with(&key(number), || number);
            }
            let tree = Arc::clone(writer.tree());
            let reader = loom::thread::spawn(move || {
                assert!(holds(&tree, 15) && holds(&tree, 80));
                let all = scan(&tree, false);
                assert_eq!(all.iter().filter(|number| **number != 35).count(), 10);
            });
            writer.get_or_insert_with(&key(35), || 35);
            reader.join().unwrap();
        });
    }

    #[test]
    fn loom_reader_finds_all_during_a_merge() {
        model(3, || {
            let mut writer = tree_of((1..=10).map(|number| number * 10));
            for number in [10, 20, 30] {
                writer.remove(&key(number));
            }
            let tree = Arc::clone(writer.tree());
            let reader = loom::thread::spawn(move || {
                let all = scan(&tree, true);
                assert_eq!(all.iter().filter(|number| **number > 40).count(), 6);
                assert!(holds(&tree, 50));
            });
            // The left leaf is too small now, and becomes one with the right one; the tree is a leaf again.
            writer.remove(&key(40));
            reader.join().unwrap();
        });
    }
}

#[cfg(all(shuttle, not(loom)))]
mod many {
    use super::*;

    const KEYS: u32 = 60;

    /// Multiples of three stay; others go and come again, which splits, merges and borrows all over the tree.
    fn change_under_readers() {
        use shuttle::rand::Rng;
        let mut writer = tree_of(0..KEYS);
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let tree = Arc::clone(writer.tree());
                shuttle::thread::spawn(move || {
                    for _ in 0..3 {
                        let all = scan(&tree, reader == 1);
                        assert_eq!(all.iter().filter(|number| number.is_multiple_of(3)).count(), KEYS as usize / 3);
                        let number = shuttle::rand::thread_rng().gen_range(0..KEYS);
                        assert!(holds(&tree, number) || !number.is_multiple_of(3));
                    }
                })
            })
            .collect();
        for number in (0..KEYS).filter(|number| !number.is_multiple_of(3)) {
            writer.remove(&key(number));
        }
        for number in (0..KEYS).rev().filter(|number| !number.is_multiple_of(3)) {
            writer.get_or_insert_with(&key(number), || number);
        }
        for reader in readers {
            reader.join().unwrap();
        }
        writer.verify().unwrap();
    }

    #[test]
    fn shuttle_readers_find_what_stays() {
        shuttle::check_random(change_under_readers, 2_000);
        shuttle::check_pct(change_under_readers, 1_000, 3);
    }
}
