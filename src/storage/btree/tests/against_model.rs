//! Random operations, done to a tree and to `std`'s `BTreeMap`: both must agree, always. `LIGHTNING_LONG=1` does ten
//! million of them.

use super::super::{Progress, Tree, Writer};
use super::count;
use crate::epoch;
use std::collections::BTreeMap;
use std::ops::Bound;

type Model = BTreeMap<Vec<u8>, u64>;

/// How keys are made.
#[derive(Clone, Copy, Debug)]
enum Keys {
    /// Eight bytes each.
    Numbers { bound: u64 },
    /// Few letters, zero to twelve of them, so that many keys begin alike, and many are the start of others.
    Words,
    /// A prefix longer than any head, shared by all or by some.
    LongPrefixes,
    /// Zero to 2,000 zeros and ones.
    Runs,
}

impl Keys {
    fn random(self, random: &mut fastrand::Rng) -> Vec<u8> {
        match self {
            Keys::Numbers { bound } => random.u64(..bound).to_be_bytes().to_vec(),
            Keys::Words => (0..random.usize(..=12)).map(|_| [0, b'a', b'b', 0xff][random.usize(..4)]).collect(),
            Keys::LongPrefixes => {
                let tenant = random.u8(..5);
                let mut key = format!("a tenant with a long name, number {tenant}/").into_bytes();
                key.truncate(if random.u8(..50) == 0 { random.usize(..=key.len()) } else { key.len() });
                key.extend_from_slice(&random.u32(..3000).to_be_bytes()[..random.usize(2..=4)]);
                key
            }
            Keys::Runs => {
                let mut key = vec![0; random.usize(..2000)];
                key.extend((0..random.usize(..4)).map(|_| random.u8(..2)));
                key
            }
        }
    }
}

#[test]
fn numbers_agree_with_model() {
    run(Keys::Numbers { bound: 30_000 }, count(60_000, 4_000_000), 1);
    run(Keys::Numbers { bound: u64::MAX }, count(20_000, 2_000_000), 2);
}

#[test]
fn words_agree_with_model() {
    run(Keys::Words, count(60_000, 2_000_000), 3);
}

#[test]
fn long_prefixes_agree_with_model() {
    run(Keys::LongPrefixes, count(50_000, 1_700_000), 4);
}

#[test]
fn long_keys_agree_with_model() {
    run(Keys::Runs, count(10_000, 300_000), 5);
}

/// Phases that grow, hold and shrink the tree, then takes everything out.
fn run(keys: Keys, operations: usize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut writer = Writer::<u64>::new();
    let mut model = Model::new();
    let empty_bytes = writer.tree().memory_bytes();
    let check_every = (operations / 40).max(5_000);
    for operation in 0..operations {
        let removals_of_ten = [1, 5, 8, 4][operation * 12 / operations % 4];
        let key = keys.random(&mut random);
        match random.u8(..10) {
            0 => agree_on(&key, &writer, &model),
            dice if dice <= removals_of_ten => {
                // Keys that are there, mostly: the next one from a random place.
                let key = if random.bool() {
                    model.range(key.clone()..).next().map_or(key, |(key, _)| key.clone())
                } else {
                    key
                };
                assert_eq!(writer.remove(&key), model.remove(&key).is_some(), "{keys:?}, removal {operation}");
            }
            _ => {
                let value = operation as u64;
                let expected = *model.entry(key.clone()).or_insert(value);
                assert_eq!(*writer.get_or_insert_with(&key, || value), expected, "{keys:?}, insertion {operation}");
            }
        }
        assert_eq!(writer.tree().len(), model.len());
        if operation.is_multiple_of(check_every) {
            writer.verify().unwrap_or_else(|error| panic!("{keys:?}, operation {operation}: {error}"));
            agree_on_ranges(keys, &mut random, writer.tree(), &model);
        }
    }
    writer.verify().unwrap();
    agree_on_ranges(keys, &mut random, writer.tree(), &model);
    let mut left: Vec<Vec<u8>> = model.into_keys().collect();
    random.shuffle(&mut left);
    for (at, key) in left.iter().enumerate() {
        assert!(writer.remove(key));
        if at.is_multiple_of(check_every) {
            writer.verify().unwrap();
        }
    }
    writer.verify().unwrap();
    assert_eq!((writer.tree().len(), writer.tree().memory_bytes()), (0, empty_bytes));
}

fn agree_on(key: &[u8], writer: &Writer<u64>, model: &Model) {
    let (tree, guard) = (writer.tree(), epoch::pin());
    assert_eq!(tree.get(key, &guard), model.get(key));
    assert_eq!(writer.get(key), model.get(key));
    let mut cursor = tree.cursor(&guard);
    cursor.seek_before(key);
    assert_eq!(cursor.prev().map(|(key, _)| key), model.range(..key.to_vec()).next_back().map(|(key, _)| &key[..]));
    cursor.seek_behind(key);
    let above = (Bound::Excluded(key.to_vec()), Bound::Unbounded);
    assert_eq!(cursor.next().map(|(key, _)| key), model.range(above).next().map(|(key, _)| &key[..]));
}

fn agree_on_ranges(keys: Keys, random: &mut fastrand::Rng, tree: &Tree<u64>, model: &Model) {
    {
        let guard = epoch::pin();
        assert_eq!(tree.first(&guard).map(|(key, _)| key), model.keys().next().map(|key| &key[..]));
        assert_eq!(tree.last(&guard).map(|(key, _)| key), model.keys().next_back().map(|key| &key[..]));
        let wanted: Vec<Vec<u8>> = (0..100).map(|_| keys.random(random)).collect();
        let mut met = 0;
        tree.multi_get(&wanted, &guard, |at, value| {
            assert_eq!(value, model.get(&wanted[at]));
            met += 1;
        });
        assert_eq!(met, wanted.len());
    }
    let mut all = Vec::new();
    tree.range(Bound::Unbounded, Bound::Unbounded).for_each(|key, value| all.push((key.to_vec(), *value)));
    assert!(all.iter().map(|(key, value)| (key, value)).eq(model.iter()));
    all.clear();
    tree.range(Bound::Unbounded, Bound::Unbounded).for_each_back(|key, value| all.push((key.to_vec(), *value)));
    assert!(all.iter().map(|(key, value)| (key, value)).eq(model.iter().rev()));
    for _ in 0..5 {
        let (lower, upper) = (bound(keys, random), bound(keys, random));
        let expected: Vec<(&Vec<u8>, &u64)> =
            if is_empty(&lower, &upper) { Vec::new() } else { model.range((lower.clone(), upper.clone())).collect() };
        let mut range = tree.range(lower.as_ref().map(Vec::as_slice), upper.as_ref().map(Vec::as_slice));
        // From both ends in turn: ascending ones go to the front, descending ones to the back.
        let (mut front, mut back) = (Vec::new(), Vec::new());
        loop {
            let limit = random.usize(..200);
            let progress = if random.bool() {
                range.next_stretch(limit, |key, value| front.push((key.to_vec(), *value)))
            } else {
                range.next_stretch_back(limit, |key, value| back.push((key.to_vec(), *value)))
            };
            if progress == Progress::Done {
                break;
            }
        }
        let met = front.iter().chain(back.iter().rev()).map(|(key, value)| (key, value));
        assert!(met.eq(expected), "{keys:?} from {lower:?} to {upper:?}");
    }
}

fn bound(keys: Keys, random: &mut fastrand::Rng) -> Bound<Vec<u8>> {
    match random.u8(..3) {
        0 => Bound::Included(keys.random(random)),
        1 => Bound::Excluded(keys.random(random)),
        _ => Bound::Unbounded,
    }
}

/// Ranges that `BTreeMap` panics on.
fn is_empty(lower: &Bound<Vec<u8>>, upper: &Bound<Vec<u8>>) -> bool {
    match (lower, upper) {
        (Bound::Excluded(lower), Bound::Excluded(upper)) => lower >= upper,
        (Bound::Included(lower) | Bound::Excluded(lower), Bound::Included(upper) | Bound::Excluded(upper)) => {
            lower > upper
        }
        _ => false,
    }
}
