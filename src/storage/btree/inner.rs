//! Inner nodes: separators that never change, and a slot for each child.
//!
//! Child `i` holds the keys from separator `i - 1` up to, not including, separator `i`. As a node's separators never
//! change, a slot has the same range of keys as long as its node exists: a reader that goes on in an old node goes on in
//! the right place.

use super::node::{Header, NodePtr, Slot, TwoNodes};
use super::search::{self, GROUPS, Hints, NO_HEAD, compare_prefix, head, rank};
use super::{INNER_CHILDREN, INNER_GROUP, Value};
use std::cmp::Ordering;

/// Separators and children.
#[repr(C, align(64))]
pub(super) struct Inner<V> {
    header: Header,
    /// Separators: one less than children.
    count: u8,
    prefix_len: u32,
    hints: Hints,
    heads: [[u64; INNER_GROUP]; GROUPS],
    slots: [Slot<V>; INNER_CHILDREN],
    /// The head of the common prefix, and a mask of its length: what tells most keys without the prefix.
    prefix_head: u64,
    /// The separators, one behind the other, each with its prefix.
    bytes: Box<[u8]>,
    ends: [u32; INNER_CHILDREN],
}

/// Children and what separates them, on their way into nodes.
pub(super) struct Children<V> {
    pub(super) nodes: Vec<NodePtr<V>>,
    /// One less than nodes.
    pub(super) separators: Vec<Box<[u8]>>,
}

impl<V: Value> Inner<V> {
    /// A node at `level` of `children`.
    pub(super) fn new(level: u8, children: &[NodePtr<V>], separators: &[Box<[u8]>]) -> Box<Self> {
        assert!(level > 0 && children.len() <= INNER_CHILDREN && children.len() == separators.len() + 1);
        let prefix: &[u8] = match (separators.first(), separators.last()) {
            (Some(first), Some(last)) if separators.len() > 1 => &first[..search::common_prefix(first, last)],
            _ => &[],
        };
        let mut heads = [[NO_HEAD; INNER_GROUP]; GROUPS];
        let mut ends = [0; INNER_CHILDREN];
        let mut bytes = Vec::with_capacity(separators.iter().map(|separator| separator.len()).sum());
        for (at, separator) in separators.iter().enumerate() {
            heads.as_flattened_mut()[at] = head(separator, prefix.len());
            bytes.extend_from_slice(separator);
            ends[at] = u32::try_from(bytes.len()).expect("a node's separators are at most 64 times 64 KiB");
        }
        let mut children = children.iter();
        Box::new(Inner {
            header: Header::new(level),
            count: separators.len() as u8,
            prefix_len: prefix.len() as u32,
            hints: search::hints(&heads),
            heads,
            slots: std::array::from_fn(|_| children.next().map_or_else(Slot::unused, |child| Slot::new(*child))),
            prefix_head: head(prefix, 0),
            bytes: bytes.into(),
            ends,
        })
    }

    #[inline]
    pub(super) fn level(&self) -> u8 {
        self.header.level()
    }

    /// How many children there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        usize::from(self.count) + 1
    }

    #[inline]
    pub(super) fn slot(&self, child: usize) -> &Slot<V> {
        &self.slots[child]
    }

    pub(super) fn children(&self) -> impl Iterator<Item = NodePtr<V>> {
        self.slots[..self.len()].iter().map(Slot::pointer)
    }

    /// Separator `at`, which is between the children `at` and `at + 1`.
    pub(super) fn separator(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.bytes[start..self.ends[at] as usize]
    }

    /// The child that `key` belongs to.
    #[inline]
    pub(super) fn child_of(&self, key: &[u8]) -> usize {
        let prefix_len = self.prefix_len as usize;
        if prefix_len > 0 {
            match self.compare_prefix(key, prefix_len) {
                Ordering::Less => return 0,
                Ordering::Greater => return usize::from(self.count),
                Ordering::Equal => {}
            }
        }
        let head = head(key, prefix_len);
        let at = rank(&self.hints, &self.heads, head);
        // The last place never has a separator, and then the largest head means nothing.
        if at < usize::from(self.count) && self.heads.as_flattened()[at] == head {
            return self.child_among_equal_heads(at, head, key);
        }
        at
    }

    #[inline]
    fn compare_prefix(&self, key: &[u8], prefix_len: usize) -> Ordering {
        if prefix_len <= 8 && key.len() >= prefix_len {
            let unused_bits = 64 - 8 * prefix_len as u32;
            return (head(key, 0) >> unused_bits).cmp(&(self.prefix_head >> unused_bits));
        }
        compare_prefix(key, &self.bytes[..prefix_len])
    }

    fn child_among_equal_heads(&self, first: usize, head: u64, key: &[u8]) -> usize {
        let (mut low, mut high) = (first, usize::from(self.count));
        while low < high {
            let middle = low.midpoint(high);
            if self.heads.as_flattened()[middle] == head && self.separator(middle) <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// A copy of what the node has, to be changed into another.
    pub(super) fn to_children(&self) -> Children<V> {
        Children {
            nodes: self.children().collect(),
            separators: (0..usize::from(self.count)).map(|at| self.separator(at).into()).collect(),
        }
    }

    /// Bytes of the node and its separators.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }
}

impl<V: Value> Children<V> {
    /// Puts `nodes` in the place of `removed` children from `at` on, with `separator` between them if there are two.
    pub(super) fn replace(&mut self, at: usize, removed: usize, nodes: Vec<NodePtr<V>>, separator: Option<Box<[u8]>>) {
        self.nodes.splice(at..at + removed, nodes);
        self.separators.splice(at..at + removed - 1, separator);
    }

    /// Adds the children of the node to the right, from which `separator` keeps them.
    pub(super) fn append(&mut self, separator: Box<[u8]>, right: Children<V>) {
        self.nodes.extend(right.nodes);
        self.separators.push(separator);
        self.separators.extend(right.separators);
    }

    /// One node of all children.
    pub(super) fn into_one(self, level: u8) -> Box<Inner<V>> {
        Inner::new(level, &self.nodes, &self.separators)
    }

    /// Two nodes, `left` of the children in the first, and what separates them.
    pub(super) fn into_two(mut self, left: usize, level: u8) -> TwoNodes<Inner<V>> {
        let right = Inner::new(level, &self.nodes[left..], &self.separators[left..]);
        let first = Inner::new(level, &self.nodes[..left], &self.separators[..left - 1]);
        (first, std::mem::take(&mut self.separators[left - 1]), right)
    }
}
