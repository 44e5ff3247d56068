//! The keys between two bounds, taken from either end, a stretch of keys under each guard.
//!
//! A guard keeps the memory of everybody, so a long scan must let go of it now and then. Between two stretches the range
//! remembers nothing but its bounds, which close in on the keys not yet seen, and finds its place again by key. Keys that come or go
//! between two stretches are seen or not seen accordingly; those that stay are seen once, in order.

use super::Value;
use super::cursor::{Progress, Visited};
use super::tree::Tree;
use crate::epoch;
use std::ops::Bound;

/// How many keys a range takes under one guard, unless told: some ten microseconds.
const STRETCH: usize = 4096;

/// Keys not yet taken.
pub(crate) struct Range<'t, V: Value> {
    tree: &'t Tree<V>,
    lower: Bound<Vec<u8>>,
    upper: Bound<Vec<u8>>,
}

impl<'t, V: Value> Range<'t, V> {
    pub(super) fn new(tree: &'t Tree<V>, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Self {
        Range { tree, lower: lower.map(<[u8]>::to_vec), upper: upper.map(<[u8]>::to_vec) }
    }

    /// Takes all keys, ascending.
    pub(crate) fn for_each(mut self, mut visit: impl FnMut(&[u8], &V)) {
        while self.next_stretch(STRETCH, &mut visit) == Progress::More {}
    }

    /// Takes all keys, descending.
    pub(crate) fn for_each_back(mut self, mut visit: impl FnMut(&[u8], &V)) {
        while self.next_stretch_back(STRETCH, &mut visit) == Progress::More {}
    }

    /// Takes about `limit` keys from the lower end, ascending, under a guard of its own.
    pub(crate) fn next_stretch(&mut self, limit: usize, mut visit: impl FnMut(&[u8], &V)) -> Progress {
        let guard = epoch::pin();
        let mut cursor = self.tree.cursor(&guard);
        match &self.lower {
            Bound::Included(key) => cursor.seek_before(key),
            Bound::Excluded(key) => cursor.seek_behind(key),
            Bound::Unbounded => cursor.seek_first(),
        }
        let upper = self.upper.as_ref().map(Vec::as_slice);
        let (last, progress) = take(limit, |limit| cursor.visit_ahead(upper, limit, &mut visit));
        if let Some(last) = last {
            self.lower = Bound::Excluded(last.to_vec());
        }
        progress
    }

    /// Takes about `limit` keys from the upper end, descending, under a guard of its own.
    pub(crate) fn next_stretch_back(&mut self, limit: usize, mut visit: impl FnMut(&[u8], &V)) -> Progress {
        let guard = epoch::pin();
        let mut cursor = self.tree.cursor(&guard);
        match &self.upper {
            Bound::Included(key) => cursor.seek_behind(key),
            Bound::Excluded(key) => cursor.seek_before(key),
            Bound::Unbounded => cursor.seek_last(),
        }
        let lower = self.lower.as_ref().map(Vec::as_slice);
        let (last, progress) = take(limit, |limit| cursor.visit_behind(lower, limit, &mut visit));
        if let Some(last) = last {
            self.upper = Bound::Excluded(last.to_vec());
        }
        progress
    }
}

/// Visits leaf after leaf until `limit` keys were taken or there are no more; with the last key taken.
fn take<'g>(limit: usize, mut visit_leaf: impl FnMut(usize) -> Visited<'g>) -> (Option<&'g [u8]>, Progress) {
    let (mut left, mut last) = (limit.max(1), None);
    while left > 0 {
        let leaf = visit_leaf(left);
        last = leaf.last.or(last);
        left -= leaf.count;
        if leaf.progress == Progress::Done {
            return (last, Progress::Done);
        }
    }
    (last, Progress::More)
}
