//! How fast it is, beside `std`'s `BTreeMap` in the same run. A table of nanoseconds, for `docs/storage.md`:
//! `LIGHTNING_LONG=1 cargo test --release -p lightning-storage --lib btree::tests::figures -- --nocapture`.

use super::super::{LEAF_KEYS, Writer};
use super::count;
use crate::epoch;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Bound;
use std::time::Instant;

/// Keys looked up with one guard, as a statement would.
const PER_GUARD: usize = 64;

#[test]
fn figures_of_random_numbers() {
    let sizes: &[usize] = if count(0, 1) == 0 { &[10_000] } else { &[100_000, 1_000_000, 10_000_000] };
    println!("leaves of {LEAF_KEYS}; ns per key, ours / BTreeMap");
    println!("{:>10} {:>15} {:>15} {:>15} {:>11} {:>10}", "keys", "insert", "get", "scan", "multi_get", "bytes/key");
    for size in sizes {
        one_size(*size);
    }
}

fn one_size(size: usize) {
    let mut random = fastrand::Rng::with_seed(7);
    let mut keys: Vec<[u8; 8]> = (0..size).map(|_| random.u64(..).to_be_bytes()).collect();
    let mut writer = Writer::<u64>::new();
    let insert = nanoseconds(size, || {
        for (at, key) in keys.iter().enumerate() {
            writer.get_or_insert_with(key, || at as u64);
        }
    });
    let mut model = BTreeMap::new();
    let insert_model = nanoseconds(size, || {
        for (at, key) in keys.iter().enumerate() {
            model.insert(*key, at as u64);
        }
    });
    let tree = writer.tree();
    random.shuffle(&mut keys);
    let gets = size.max(1_000_000) / size;
    let get = nanoseconds(size * gets, || {
        for _ in 0..gets {
            for keys in keys.chunks(PER_GUARD) {
                let guard = epoch::pin();
                for key in keys {
                    black_box(tree.get(key, &guard).copied());
                }
            }
        }
    });
    let get_model = nanoseconds(size * gets, || {
        for _ in 0..gets {
            for key in &keys {
                black_box(model.get(key).copied());
            }
        }
    });
    let multi_get = nanoseconds(size * gets, || {
        for _ in 0..gets {
            for keys in keys.chunks(PER_GUARD) {
                let guard = epoch::pin();
                tree.multi_get(keys, &guard, |_, value| {
                    black_box(value.copied());
                });
            }
        }
    });
    let (mut sum, mut sum_model) = (0_u64, 0_u64);
    let scan = nanoseconds(size * gets, || {
        for _ in 0..gets {
            let range = tree.range(Bound::Unbounded, Bound::Unbounded);
            range.for_each(|_, value| sum = sum.wrapping_add(*value));
        }
    });
    let scan_model = nanoseconds(size * gets, || {
        for _ in 0..gets {
            for value in model.values() {
                sum_model = sum_model.wrapping_add(*black_box(value));
            }
        }
    });
    assert_eq!((sum, tree.len()), (sum_model, model.len()));
    let bytes = tree.memory_bytes() as f64 / size as f64;
    println!(
        "{size:>10} {insert:>7.1} {insert_model:>7.1} {get:>7.1} {get_model:>7.1} {scan:>7.2} {scan_model:>7.2} \
         {multi_get:>11.1} {bytes:>10.1}"
    );
}

fn nanoseconds(count: usize, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_nanos() as f64 / count as f64
}
