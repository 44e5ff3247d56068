//! Building a tree from sorted keys, bottom up: no searching, full nodes.

use super::entry::EntryPtr;
use super::inner::Inner;
use super::leaf::{Items, Leaf};
use super::node::NodePtr;
use super::search::separator;
use super::tree::Tree;
use super::writer::Writer;
use super::{INNER_CHILDREN, KEY_BYTES_MAX, LEAF_KEYS, Value};

/// Keys of a leaf that is not the last: all of the base, as the delta still has room.
const FILL: usize = LEAF_KEYS;

/// The nodes of one level, and what separates each from the one before.
struct Level<V> {
    nodes: Vec<NodePtr<V>>,
    separators: Vec<Box<[u8]>>,
    bytes: usize,
}

impl<V: Value> Writer<V> {
    /// A tree of `sorted`.
    ///
    /// # Panics
    /// If the keys do not strictly ascend, or one is longer than [`KEY_BYTES_MAX`].
    pub(crate) fn from_sorted<K: AsRef<[u8]>>(sorted: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut level = Level { nodes: Vec::new(), separators: Vec::new(), bytes: 0 };
        let mut items = Items::new();
        let mut last: Option<Vec<u8>> = None;
        let mut before = Vec::new();
        let mut len = 0;
        for (key, value) in sorted {
            let key = key.as_ref();
            assert!(key.len() <= KEY_BYTES_MAX, "a key has at most 64 KiB");
            assert!(last.as_deref().is_none_or(|last| last < key), "the keys of a tree to build strictly ascend");
            last.get_or_insert_default().clear();
            last.get_or_insert_default().extend_from_slice(key);
            let entry = EntryPtr::new(key, value);
            len += 1;
            level.bytes += EntryPtr::<V>::bytes_of(key.len());
            items.push(entry);
            // A full leaf waits until there is another one behind it, so that the last is never too small.
            if items.items().len() == 2 * FILL {
                level.add_leaf(&items, 0, FILL, &mut before);
                items.remove_first(FILL);
            }
        }
        let rest = items.items().len();
        let split = if rest > FILL { rest / 2 } else { 0 };
        if split > 0 {
            level.add_leaf(&items, 0, split, &mut before);
        }
        level.add_leaf(&items, split, rest, &mut before);
        let mut height = 0;
        while level.nodes.len() > 1 {
            height += 1;
            level = level.above(height);
        }
        Writer::of(Tree::new(level.nodes[0], len, level.bytes))
    }
}

impl<V: Value> Level<V> {
    /// Adds a leaf of some items; `before` is the last key before it, and then its own.
    fn add_leaf(&mut self, items: &Items<V>, start: usize, end: usize, before: &mut Vec<u8>) {
        if !self.nodes.is_empty() {
            self.separators.push(separator(before, items.key(start)));
        }
        if end > start {
            before.clear();
            before.extend_from_slice(items.key(end - 1));
        }
        self.nodes.push(items.leaf_of(start, end).into());
        self.bytes += size_of::<Leaf<V>>();
    }

    /// The level above, its nodes equally full.
    fn above(mut self, height: u8) -> Level<V> {
        let parents = self.nodes.len().div_ceil(INNER_CHILDREN);
        let mut above = Level { nodes: Vec::with_capacity(parents), separators: Vec::new(), bytes: self.bytes };
        let mut start = 0;
        for parent in 1..=parents {
            let end = self.nodes.len() * parent / parents;
            let inner = Inner::new(height, &self.nodes[start..end], &self.separators[start..end - 1]);
            above.bytes += inner.bytes();
            above.nodes.push(inner.into());
            if end < self.nodes.len() {
                above.separators.push(std::mem::take(&mut self.separators[end - 1]));
            }
            start = end;
        }
        above
    }
}
