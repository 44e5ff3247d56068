//! The one writer of a tree.
//!
//! A writer is made with its tree, cannot be copied and changes the tree by `&mut self`: there is never a second one.
//! Changes that fit go into a leaf's delta. Others build what they change anew and swing one slot: see `change.rs`.

#![expect(unsafe_code, reason = "the writer's own references need no guard")]

use super::change::{self, Change, Replacement};
use super::entry::EntryPtr;
use super::leaf::{Items, Leaf};
use super::node::{Node, NodePtr};
use super::path::{Path, Toward};
use super::tree::Tree;
use super::{KEY_BYTES_MAX, LEAF_KEYS, LEAF_KEYS_MIN, Value};
use crate::epoch::{self, Guard};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The right to change a tree.
pub(crate) struct Writer<V: Value> {
    tree: Arc<Tree<V>>,
}

impl<V: Value> Writer<V> {
    /// An empty tree.
    pub(crate) fn new() -> Self {
        let root = Leaf::new(0, &[]);
        Writer { tree: Arc::new(Tree::new(root.into(), 0, size_of::<Leaf<V>>())) }
    }

    /// The writer of a tree that was just built.
    pub(super) fn of(tree: Tree<V>) -> Self {
        Writer { tree: Arc::new(tree) }
    }

    /// The tree, for readers.
    pub(crate) fn tree(&self) -> &Arc<Tree<V>> {
        &self.tree
    }

    /// The value of `key`. The writer needs no guard: nothing changes while it looks.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        let guard = epoch::pin();
        let leaf = Path::new().descend(&self.tree, &Toward::Key(key), &guard);
        // SAFETY: the entry is linked, and only this writer, borrowed by the result, could remove it.
        leaf.find(key).map(|entry| unsafe { entry.get() }.1)
    }

    /// The value of `key`, which `make` gives if there is none.
    ///
    /// # Panics
    /// If the key is longer than [`KEY_BYTES_MAX`].
    pub(crate) fn get_or_insert_with(&mut self, key: &[u8], make: impl FnOnce() -> V) -> &V {
        assert!(key.len() <= KEY_BYTES_MAX, "a key has at most 64 KiB");
        let guard = epoch::pin();
        let mut path = Path::new();
        let leaf = path.descend(&self.tree, &Toward::Key(key), &guard);
        let entry = leaf.find(key).unwrap_or_else(|| {
            let entry = EntryPtr::new(key, make());
            if !leaf.try_append(entry) {
                self.rebuild_with(entry, &path, leaf, &guard);
            }
            // SAFETY: the entry was just linked.
            self.count(1, unsafe { entry.bytes() } as isize);
            entry
        });
        // SAFETY: the entry is linked, and only this writer, borrowed by the result, could remove it.
        unsafe { entry.get() }.1
    }

    /// Takes `key` out; false if it is not there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let guard = epoch::pin();
        let mut path = Path::new();
        let leaf = path.descend(&self.tree, &Toward::Key(key), &guard);
        let mut items = leaf.sorted();
        let Some(entry) = items.remove(key) else { return false };
        // SAFETY: the entry is still linked.
        let bytes = unsafe { entry.bytes() } as isize;
        self.rebuild_without(items, &path, &guard);
        // SAFETY: the leaf that had the entry is replaced by one without it.
        unsafe { entry.retire(&guard) }
        self.count(-1, -bytes);
        true
    }

    fn count(&self, keys: isize, bytes: isize) {
        let add = |count: &std::sync::atomic::AtomicUsize, change: isize| {
            count.store(count.load(Ordering::Relaxed).wrapping_add_signed(change), Ordering::Relaxed);
        };
        add(&self.tree.len, keys);
        add(&self.tree.bytes, bytes);
    }

    /// Replaces `leaf` by one or two that have `entry`, too.
    fn rebuild_with(&self, entry: EntryPtr<V>, path: &Path<'_, V>, leaf: &Leaf<V>, guard: &Guard) {
        let mut items = leaf.sorted();
        items.insert_entry(entry);
        let mut change = Change::new(&self.tree, guard);
        let key = leaf.read(entry).0;
        let (nodes, separator) = Self::into_leaves(items, &mut change, |items| Self::split_point(items, key, path));
        let at = path.steps().last().map_or(0, |(_, child)| *child);
        let pointer = Self::pointer_of(&self.tree, path);
        change.retire(pointer);
        change.install(path.steps(), Replacement { at, removed: 1, nodes, separator });
        self.count(0, change.finish());
    }

    /// One leaf of `items` or, of more than a base holds (what was in a delta goes into the base, too), two.
    fn into_leaves(
        items: Items<V>,
        change: &mut Change<'_, V>,
        split_point: impl FnOnce(&Items<V>) -> usize,
    ) -> (Vec<NodePtr<V>>, Option<Box<[u8]>>) {
        if items.items().len() <= LEAF_KEYS {
            return (vec![change.leaf(items.into_leaf())], None);
        }
        let left = split_point(&items);
        let (left, separator, right) = items.into_two(left);
        (vec![change.leaf(left), change.leaf(right)], Some(separator))
    }

    /// How many of `items` the left half of a split leaf gets, which has just got `key`: half of them, or, at the ends of
    /// the tree, where keys often come in order, nearly all or nearly none.
    fn split_point(items: &Items<V>, key: &[u8], path: &Path<'_, V>) -> usize {
        let len = items.items().len();
        let uneven = LEAF_KEYS.min(len - LEAF_KEYS_MIN);
        match items.lower_bound(key) {
            at if at + 1 == len && path.is_last() => uneven,
            0 if path.is_first() => len - uneven,
            _ => len / 2,
        }
    }

    /// Replaces the leaf at `path` by `items`, and if these are too few, unites or levels them with a sibling.
    fn rebuild_without(&self, items: Items<V>, path: &Path<'_, V>, guard: &Guard) {
        let mut change = Change::new(&self.tree, guard);
        change.retire(Self::pointer_of(&self.tree, path));
        let replacement = match path.steps().last() {
            Some((parent, at)) if items.items().len() < LEAF_KEYS_MIN => {
                let leaf_at = |child: usize| match parent.slot(child).load(guard) {
                    Node::Leaf(leaf) => leaf,
                    Node::Inner(_) => unreachable!("siblings have the same level"),
                };
                let sibling =
                    change::sibling(*at, parent.len(), items.items().len(), LEAF_KEYS, |child| leaf_at(child).len());
                change.retire(parent.slot(sibling).pointer());
                let other = leaf_at(sibling).sorted();
                let (mut left, right) = if sibling < *at { (other, items) } else { (items, other) };
                left.append(&right);
                let (nodes, separator) = Self::into_leaves(left, &mut change, |items| items.items().len() / 2);
                Replacement { at: sibling.min(*at), removed: 2, nodes, separator }
            }
            step => {
                let (nodes, separator) = Self::into_leaves(items, &mut change, |items| items.items().len() / 2);
                Replacement { at: step.map_or(0, |(_, child)| *child), removed: 1, nodes, separator }
            }
        };
        change.install(path.steps(), replacement);
        self.count(0, change.finish());
    }

    /// The node at the end of `path`.
    fn pointer_of(tree: &Tree<V>, path: &Path<'_, V>) -> NodePtr<V> {
        path.steps().last().map_or_else(|| tree.root.pointer(), |(inner, child)| inner.slot(*child).pointer())
    }
}
