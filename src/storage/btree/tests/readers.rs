//! Readers in other threads beside the writer.

use super::super::Writer;
use super::count;
use crate::epoch;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Keys of this many numbers stay for good, once inserted; the others come and go.
const STEP: u64 = 4;

fn key(number: u64) -> [u8; 8] {
    // Spread, and told apart in the last bytes, too.
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes()
}

/// What a value must be, so that a torn or a wrong one would show.
fn value(number: u64) -> [u64; 2] {
    [number, !number]
}

/// Ends the readers also when the writer panics.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The writer inserts all numbers, and removes those that are no multiples of `STEP` in waves. `kept` says which multiples
/// are there for good: readers must find them all, and whatever they find must be right and in order.
#[test]
fn readers_find_what_was_there_before_and_stays() {
    let numbers = count(20_000, 1_000_000) as u64;
    let mut writer = Writer::new();
    let (kept, is_done) = (AtomicU64::new(0), AtomicBool::new(false));
    let tree = writer.tree().clone();
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (tree, kept, is_done) = (&tree, &kept, &is_done);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(reader);
                while !is_done.load(Ordering::Relaxed) {
                    let kept = kept.load(Ordering::Acquire);
                    points(tree, kept, &mut random);
                    match reader {
                        0 => batches(tree, kept, &mut random),
                        1 => scan(tree, kept, false),
                        _ => scan(tree, kept, true),
                    }
                }
            });
        }
        let done = Done(&is_done);
        for number in 0..numbers {
            writer.get_or_insert_with(&key(number), || value(number));
            if number.is_multiple_of(STEP) {
                kept.store(number / STEP + 1, Ordering::Release);
            }
            // A wave of removals goes through what came a while ago, so that leaves empty and merge while readers are in them.
            let behind = number.saturating_sub(1_000 * (1 + number / 5_000 % 3));
            if !number.is_multiple_of(3) && !behind.is_multiple_of(STEP) {
                writer.remove(&key(behind));
            }
        }
        for number in (0..numbers).filter(|number| !number.is_multiple_of(STEP)) {
            writer.remove(&key(number));
        }
        drop(done);
    });
    writer.verify().unwrap();
    assert_eq!(tree.len() as u64, numbers.div_ceil(STEP));
}

fn points(tree: &super::super::Tree<[u64; 2]>, kept: u64, random: &mut fastrand::Rng) {
    for _ in 0..200 {
        let guard = epoch::pin();
        let number = random.u64(..kept.max(1) * STEP);
        match tree.get(&key(number), &guard) {
            Some(found) => assert_eq!(*found, value(number)),
            None => assert!(!number.is_multiple_of(STEP) || number / STEP >= kept, "{number} of {kept} was not found"),
        }
    }
}

fn batches(tree: &super::super::Tree<[u64; 2]>, kept: u64, random: &mut fastrand::Rng) {
    let numbers: Vec<u64> = (0..100).map(|_| random.u64(..kept.max(1)) * STEP).collect();
    let keys: Vec<[u8; 8]> = numbers.iter().map(|number| key(*number)).collect();
    let guard = epoch::pin();
    tree.multi_get(&keys, &guard, |at, found| {
        assert!(found == Some(&value(numbers[at])) || kept == 0, "{} was not found", numbers[at]);
    });
}

fn scan(tree: &super::super::Tree<[u64; 2]>, kept: u64, backward: bool) {
    let mut found = 0;
    let mut before: Option<Vec<u8>> = None;
    let visit = |met: &[u8], [number, complement]: &[u64; 2]| {
        assert_eq!((met, !number), (&key(*number)[..], *complement));
        if let Some(before) = &before {
            assert!(if backward { before[..] > *met } else { before[..] < *met }, "keys out of order");
        }
        before = Some(met.to_vec());
        found += u64::from(number.is_multiple_of(STEP) && number / STEP < kept);
    };
    let range = tree.range(Bound::Unbounded, Bound::Unbounded);
    if backward {
        range.for_each_back(visit);
    } else {
        range.for_each(visit);
    }
    assert_eq!(found, kept, "a scan missed keys that stay");
}
