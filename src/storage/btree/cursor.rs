//! A position in the tree under one guard.
//!
//! The cursor stands between two keys. It has the way down to its leaf and the leaf's entries as they were when it came
//! there; at the end of a leaf it goes on in the lowest inner node of its way that has another child. Those nodes may have
//! been replaced meanwhile. Then the cursor sees what they led to when they were replaced or later, each slot's range of
//! keys once and in order, hence: keys strictly ascend (or descend), and every key that was there before the guard and was
//! not removed meanwhile is met.

#![expect(unsafe_code, reason = "entries live as long as the guard")]

use super::Value;
use super::leaf::{Item, Items, Leaf};
use super::path::{Path, Toward};
use super::search::prefetch;
use super::tree::Tree;
use crate::epoch::Guard;
use std::ops::Bound;

/// A position between two keys.
pub(crate) struct Cursor<'g, V: Value> {
    tree: &'g Tree<V>,
    guard: &'g Guard,
    path: Path<'g, V>,
    items: Items<V>,
    /// How many of the leaf's items are before the position.
    at: usize,
}

impl<'g, V: Value> Cursor<'g, V> {
    /// A cursor that has no place yet: seek first.
    pub(super) fn new(tree: &'g Tree<V>, guard: &'g Guard) -> Self {
        Cursor { tree, guard, path: Path::new(), items: Items::new(), at: 0 }
    }

    /// To before the first key.
    pub(crate) fn seek_first(&mut self) {
        self.path.descend(self.tree, &Toward::First, self.guard).sort_into(&mut self.items);
        self.at = 0;
    }

    /// To behind the last key.
    pub(crate) fn seek_last(&mut self) {
        self.path.descend(self.tree, &Toward::Last, self.guard).sort_into(&mut self.items);
        self.at = self.items.items().len();
    }

    /// To before `key`, or where it would be.
    pub(crate) fn seek_before(&mut self, key: &[u8]) {
        self.path.descend(self.tree, &Toward::Key(key), self.guard).sort_into(&mut self.items);
        self.at = self.items.lower_bound(key);
    }

    /// To behind `key`, or where it would be.
    pub(crate) fn seek_behind(&mut self, key: &[u8]) {
        self.path.descend(self.tree, &Toward::Key(key), self.guard).sort_into(&mut self.items);
        self.at = self.items.upper_bound(key);
    }

    /// The key behind the position, which moves over it.
    pub(crate) fn next(&mut self) -> Option<(&'g [u8], &'g V)> {
        if !self.is_before_item() {
            return None;
        }
        self.at += 1;
        Some(self.read(self.items.items()[self.at - 1]))
    }

    /// The key before the position, which moves over it.
    pub(crate) fn prev(&mut self) -> Option<(&'g [u8], &'g V)> {
        if !self.is_behind_item() {
            return None;
        }
        self.at -= 1;
        Some(self.read(self.items.items()[self.at]))
    }

    /// Visits keys from the position to the end of a leaf: at most `limit`, and those within `upper` only.
    pub(super) fn visit_ahead(
        &mut self,
        upper: Bound<&[u8]>,
        limit: usize,
        visit: &mut impl FnMut(&[u8], &V),
    ) -> Visited<'g> {
        if !self.is_before_item() {
            return Visited::nothing();
        }
        let within = match upper {
            Bound::Included(key) => self.items.upper_bound(key),
            Bound::Excluded(key) => self.items.lower_bound(key),
            Bound::Unbounded => self.items.items().len(),
        };
        let start = self.at;
        self.at = within.clamp(start, start.saturating_add(limit));
        for item in &self.items.items()[start..self.at] {
            let (key, value) = self.read(*item);
            visit(key, value);
        }
        let last = self.items.items()[start..self.at].last().map(|item| self.read(*item).0);
        let progress = if within < self.items.items().len() { Progress::Done } else { Progress::More };
        self.visited(start, last, if self.at < within { Progress::More } else { progress })
    }

    /// Visits keys from the position down to the start of a leaf: at most `limit`, and those within `lower` only.
    pub(super) fn visit_behind(
        &mut self,
        lower: Bound<&[u8]>,
        limit: usize,
        visit: &mut impl FnMut(&[u8], &V),
    ) -> Visited<'g> {
        if !self.is_behind_item() {
            return Visited::nothing();
        }
        let below = match lower {
            Bound::Included(key) => self.items.lower_bound(key),
            Bound::Excluded(key) => self.items.upper_bound(key),
            Bound::Unbounded => 0,
        };
        let end = self.at;
        self.at = below.clamp(end.saturating_sub(limit), end);
        for item in self.items.items()[self.at..end].iter().rev() {
            let (key, value) = self.read(*item);
            visit(key, value);
        }
        let last = self.items.items()[self.at..end].first().map(|item| self.read(*item).0);
        let progress = if below > 0 { Progress::Done } else { Progress::More };
        self.visited(end, last, if self.at > below { Progress::More } else { progress })
    }

    fn visited(&self, start: usize, last: Option<&'g [u8]>, progress: Progress) -> Visited<'g> {
        Visited { count: self.at.abs_diff(start), last, progress }
    }

    /// Goes on to the next leaf at the end of one; false behind the last key.
    fn is_before_item(&mut self) -> bool {
        while self.at == self.items.items().len() {
            let Some(leaf) = self.path.next_leaf(self.guard) else { return false };
            self.enter(leaf);
            self.at = 0;
        }
        true
    }

    /// Goes back to the leaf before at the start of one; false before the first key.
    fn is_behind_item(&mut self) -> bool {
        while self.at == 0 {
            let Some(leaf) = self.path.previous_leaf(self.guard) else { return false };
            self.enter(leaf);
            self.at = self.items.items().len();
        }
        true
    }

    fn enter(&mut self, leaf: &'g Leaf<V>) {
        leaf.sort_into(&mut self.items);
        for item in self.items.items() {
            prefetch(item.entry.address());
        }
    }

    #[inline]
    fn read(&self, item: Item<V>) -> (&'g [u8], &'g V) {
        // SAFETY: the item is from a leaf that was found under the guard, which lives during 'g, as does the tree.
        unsafe { item.entry.get() }
    }
}

/// What was visited of one leaf.
pub(super) struct Visited<'g> {
    pub(super) count: usize,
    pub(super) last: Option<&'g [u8]>,
    pub(super) progress: Progress,
}

impl Visited<'_> {
    fn nothing() -> Self {
        Visited { count: 0, last: None, progress: Progress::Done }
    }
}

/// Whether a range has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There may be more keys.
    More,
    /// All keys were taken.
    Done,
}
