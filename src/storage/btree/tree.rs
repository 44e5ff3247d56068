//! The tree as its readers have it: a root and three counts.

#![expect(unsafe_code, reason = "pointers that are prefetched first; the last owner frees the nodes")]

use super::cursor::Cursor;
use super::leaf::Leaf;
use super::node::{Node, NodePtr, Slot};
use super::range::Range;
use super::search::prefetch;
use super::{DELTA_KEYS, LEAF_KEYS, Value};
use crate::epoch::Guard;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many descents `multi_get` interleaves: about as many cache misses as a core can have under way.
const DESCENTS: usize = 12;

/// Cache lines at the start of a leaf that a search may look at: asked for at once, they arrive together.
const LEAF_SEARCH_LINES: usize = 1 + (DELTA_KEYS + LEAF_KEYS) / 8;

/// An ordered map from byte strings to values, for any number of readers beside one [`super::Writer`].
///
/// References to keys and values live as long as the guard and the tree, whichever ends first.
pub(crate) struct Tree<V: Value> {
    pub(super) root: Slot<V>,
    /// Both are written by the writer alone, and a little behind or ahead of what a reader finds.
    pub(super) len: AtomicUsize,
    pub(super) bytes: AtomicUsize,
}

impl<V: Value> Tree<V> {
    /// A tree of `root`.
    pub(super) fn new(root: NodePtr<V>, len: usize, bytes: usize) -> Self {
        Tree { root: Slot::new(root), len: AtomicUsize::new(len), bytes: AtomicUsize::new(bytes) }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Bytes of the nodes and entries that are linked; not of what values own, nor of what waits for readers to leave.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The value of `key`.
    #[inline]
    pub(crate) fn get<'g>(&'g self, key: &[u8], guard: &'g Guard) -> Option<&'g V> {
        let leaf = self.leaf_of(key, guard);
        leaf.find(key).map(|entry| leaf.read(entry).1)
    }

    #[inline]
    fn leaf_of<'g>(&'g self, key: &[u8], guard: &'g Guard) -> &'g Leaf<V> {
        let mut node = self.root.load(guard);
        loop {
            match node {
                Node::Inner(inner) => node = inner.slot(inner.child_of(key)).load(guard),
                Node::Leaf(leaf) => return leaf,
            }
        }
    }

    /// Looks `keys` up, several at a time, so that their cache misses overlap, and gives each its value in order.
    pub(crate) fn multi_get<'g, K: AsRef<[u8]>>(
        &'g self,
        keys: &[K],
        _guard: &'g Guard,
        mut found: impl FnMut(usize, Option<&'g V>),
    ) {
        for (batch, keys) in keys.chunks(DESCENTS).enumerate() {
            // One root for all: every path down from it has the same length.
            let root = self.root.pointer();
            let mut nodes = [root; DESCENTS];
            let mut leaves: [Option<&'g Leaf<V>>; DESCENTS] = [None; DESCENTS];
            while leaves[0].is_none() {
                for (at, key) in keys.iter().enumerate() {
                    // SAFETY: the pointer was loaded from a slot under `_guard`, which lives during 'g.
                    match unsafe { nodes[at].get::<'g>() } {
                        Node::Inner(inner) => {
                            nodes[at] = inner.slot(inner.child_of(key.as_ref())).pointer();
                            nodes[at].prefetch_lines(LEAF_SEARCH_LINES);
                        }
                        Node::Leaf(leaf) => leaves[at] = Some(leaf),
                    }
                }
            }
            for (key, leaf) in keys.iter().zip(&leaves) {
                if let Some(entry) = leaf.and_then(|leaf| leaf.candidate(key.as_ref())) {
                    prefetch(entry.address());
                }
            }
            for (at, (key, leaf)) in keys.iter().zip(&leaves).enumerate() {
                let value = leaf.and_then(|leaf| leaf.find(key.as_ref()).map(|entry| leaf.read(entry).1));
                found(batch * DESCENTS + at, value);
            }
        }
    }

    /// The smallest key.
    pub(crate) fn first<'g>(&'g self, guard: &'g Guard) -> Option<(&'g [u8], &'g V)> {
        let mut cursor = self.cursor(guard);
        cursor.seek_first();
        cursor.next()
    }

    /// The largest key.
    pub(crate) fn last<'g>(&'g self, guard: &'g Guard) -> Option<(&'g [u8], &'g V)> {
        let mut cursor = self.cursor(guard);
        cursor.seek_last();
        cursor.prev()
    }

    /// A cursor, good for as long as the guard. It has no place, and finds nothing, before a seek.
    pub(crate) fn cursor<'g>(&'g self, guard: &'g Guard) -> Cursor<'g, V> {
        Cursor::new(self, guard)
    }

    /// The keys between two bounds, to be taken from both ends, a stretch under each guard.
    pub(crate) fn range(&self, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Range<'_, V> {
        Range::new(self, lower, upper)
    }
}

impl<V: Value> Drop for Tree<V> {
    fn drop(&mut self) {
        // SAFETY: the tree is owned here: no reader has a reference that comes from it (they all borrow it), and the
        // writer is gone, too. What it retired before is in no slot any more.
        unsafe { self.root.pointer().free_all() }
    }
}
