//! Checking a whole tree: order, separators, heads, fill, depth, counts.

use super::inner::Inner;
use super::leaf::Leaf;
use super::node::Node;
use super::search::head;
use super::writer::Writer;
use super::{INNER_CHILDREN_MIN, LEAF_KEYS_MIN, Value};
use crate::epoch::{self, Guard};

/// What was found below a node.
#[derive(Default)]
struct Found {
    keys: usize,
    bytes: usize,
}

/// Where a node hangs: the keys it may have, and the level it must have.
#[derive(Clone, Copy)]
struct Place<'a> {
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    /// None for the root.
    level: Option<u8>,
}

impl<V: Value> Writer<V> {
    /// Checks everything that must hold; says what does not.
    pub(crate) fn verify(&self) -> Result<(), String> {
        let guard = epoch::pin();
        let tree = self.tree();
        let place = Place { lower: None, upper: None, level: None };
        let found = check(tree.root.load(&guard), place, &guard)?;
        expect(found.keys == tree.len(), || format!("{} keys, counted {}", found.keys, tree.len()))?;
        expect(found.bytes == tree.memory_bytes(), || format!("{} bytes, counted {}", found.bytes, tree.memory_bytes()))
    }
}

fn expect(right: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if right { Ok(()) } else { Err(complaint()) }
}

fn check<V: Value>(node: Node<'_, V>, place: Place<'_>, guard: &Guard) -> Result<Found, String> {
    let level = match &node {
        Node::Inner(inner) => inner.level(),
        Node::Leaf(_) => 0,
    };
    expect(place.level.is_none_or(|wanted| wanted == level), || format!("level {level}, wanted {:?}", place.level))?;
    match node {
        Node::Inner(inner) => check_inner(inner, place, guard),
        Node::Leaf(leaf) => check_leaf(leaf, place),
    }
}

fn check_inner<V: Value>(inner: &Inner<V>, place: Place<'_>, guard: &Guard) -> Result<Found, String> {
    let min = if place.level.is_none() { 2 } else { INNER_CHILDREN_MIN };
    expect(inner.len() >= min, || format!("an inner node of {} children", inner.len()))?;
    let mut found = Found { keys: 0, bytes: inner.bytes() };
    let mut lower = place.lower;
    for child in 0..inner.len() {
        let upper = if child + 1 < inner.len() { Some(inner.separator(child)) } else { place.upper };
        if let (Some(lower), Some(upper)) = (lower, upper) {
            expect(lower < upper, || format!("separator {upper:?} behind {lower:?}"))?;
        }
        for key in [lower, upper.filter(|_| child + 1 < inner.len())].into_iter().flatten() {
            let right = if lower == Some(key) { child } else { child + 1 };
            expect(inner.child_of(key) == right, || format!("{key:?} leads to child {}", inner.child_of(key)))?;
        }
        let below = Place { lower, upper, level: Some(inner.level() - 1) };
        let part = check(inner.slot(child).load(guard), below, guard)?;
        found.keys += part.keys;
        found.bytes += part.bytes;
        lower = upper;
    }
    Ok(found)
}

fn check_leaf<V: Value>(leaf: &Leaf<V>, place: Place<'_>) -> Result<Found, String> {
    let len = leaf.len();
    expect(place.level.is_none() || len >= LEAF_KEYS_MIN, || format!("a leaf of {len} keys"))?;
    let mut found = Found { keys: len, bytes: size_of::<Leaf<V>>() };
    let mut before: Option<&[u8]> = None;
    let sorted = leaf.sorted();
    expect(sorted.items().len() == len, || format!("{} of {len} entries", sorted.items().len()))?;
    for item in sorted.items() {
        let (key, _) = leaf.read(item.entry);
        expect(before.is_none_or(|before| before < key), || format!("key {key:?} behind {before:?}"))?;
        expect(place.lower.is_none_or(|lower| lower <= key), || format!("key {key:?} below {:?}", place.lower))?;
        expect(place.upper.is_none_or(|upper| key < upper), || format!("key {key:?} not below {:?}", place.upper))?;
        expect(item.head == head(key, leaf.prefix_len()), || format!("head of {key:?}"))?;
        expect(leaf.find(key).is_some(), || format!("{key:?} is not found"))?;
        let first = leaf.read(sorted.items()[0].entry).0;
        let prefix = first.get(..leaf.prefix_len());
        expect(prefix.is_some() && key.get(..leaf.prefix_len()) == prefix, || format!("{key:?} without the prefix"))?;
        found.bytes += super::entry::EntryPtr::<V>::bytes_of(key.len());
        before = Some(key);
    }
    Ok(found)
}
