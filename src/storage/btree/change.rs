//! Changing the tree's shape: build what is new, swing one slot, retire what is old.
//!
//! Every change of shape replaces one or two neighbouring nodes by one or two others:
//!
//! ```text
//! 1 → 1  a new leaf          the parent's slot is swung, and that is all
//! 1 → 2  a split             ┐
//! 2 → 1  a merge             │ the parent's separators change, so the parent is built anew
//! 2 → 2  borrowing           ┘ and takes the place of the old one in the same way, one level up
//! ```
//!
//! It ends at the lowest ancestor whose separators stay, or at the root. One release store into one slot publishes all new nodes
//! at once; a reader finds all of the change or nothing of it. Children that do not change are shared by the old
//! parent and the new: that is why a reader in the old one goes on undisturbed.

#![expect(unsafe_code, reason = "nodes that are not linked yet, and such as are no more")]

use super::inner::{Children, Inner};
use super::leaf::Leaf;
use super::node::{Node, NodePtr};
use super::tree::Tree;
use super::{INNER_CHILDREN, INNER_CHILDREN_MIN, Value};
use crate::epoch::Guard;

/// New nodes for the place of old neighbours.
pub(super) struct Replacement<V> {
    /// The first child that goes.
    pub(super) at: usize,
    /// How many go: one or two.
    pub(super) removed: usize,
    /// One or two that come.
    pub(super) nodes: Vec<NodePtr<V>>,
    /// What separates them, if there are two.
    pub(super) separator: Option<Box<[u8]>>,
}

/// One change of shape under way.
pub(super) struct Change<'g, V: Value> {
    tree: &'g Tree<V>,
    guard: &'g Guard,
    retired: Vec<NodePtr<V>>,
    bytes: isize,
}

impl<'g, V: Value> Change<'g, V> {
    pub(super) fn new(tree: &'g Tree<V>, guard: &'g Guard) -> Self {
        Change { tree, guard, retired: Vec::new(), bytes: 0 }
    }

    /// Counts a new leaf.
    pub(super) fn leaf(&mut self, leaf: Box<Leaf<V>>) -> NodePtr<V> {
        self.bytes += size_of::<Leaf<V>>() as isize;
        leaf.into()
    }

    fn inner(&mut self, inner: Box<Inner<V>>) -> NodePtr<V> {
        self.bytes += inner.bytes() as isize;
        inner.into()
    }

    /// Notes a node that the change unlinks.
    pub(super) fn retire(&mut self, node: NodePtr<V>) {
        self.retired.push(node);
    }

    /// Puts `replacement` into the place of children of the last of `steps`, or of the root if there are none.
    pub(super) fn install(&mut self, mut steps: &[(&'g Inner<V>, usize)], mut replacement: Replacement<V>) {
        while let Some(((parent, _), above)) = steps.split_last() {
            if let (1, [node]) = (replacement.removed, replacement.nodes.as_slice()) {
                return parent.slot(replacement.at).store(*node);
            }
            let mut children = parent.to_children();
            let Replacement { at, removed, nodes, separator } = replacement;
            children.replace(at, removed, nodes, separator);
            let is_last = at + removed == parent.len();
            let level = parent.level();
            replacement = match above.last() {
                None => {
                    self.retire(self.tree.root.pointer());
                    self.for_root(children, is_last, level)
                }
                Some((grandparent, at)) => {
                    self.retire(grandparent.slot(*at).pointer());
                    if children.nodes.len() < INNER_CHILDREN_MIN {
                        self.with_sibling(children, grandparent, *at, level)
                    } else {
                        let (nodes, separator) = self.split(children, is_last, level);
                        Replacement { at: *at, removed: 1, nodes, separator }
                    }
                }
            };
            steps = above;
        }
        self.install_root(replacement);
    }

    /// One node or, of too many children, two.
    fn split(&mut self, children: Children<V>, is_last: bool, level: u8) -> (Vec<NodePtr<V>>, Option<Box<[u8]>>) {
        let len = children.nodes.len();
        if len <= INNER_CHILDREN {
            return (vec![self.inner(children.into_one(level))], None);
        }
        // When keys come in ascending order, the last node of a level splits, and what stays behind never grows again.
        let left = if is_last { len - INNER_CHILDREN_MIN } else { len / 2 };
        let (left, separator, right) = children.into_two(left, level);
        (vec![self.inner(left), self.inner(right)], Some(separator))
    }

    /// The root's children as a root; a single child takes its place, and the tree is less deep.
    fn for_root(&mut self, children: Children<V>, is_last: bool, level: u8) -> Replacement<V> {
        let (nodes, separator) = match children.nodes.as_slice() {
            [only] => (vec![*only], None),
            _ => self.split(children, is_last, level),
        };
        Replacement { at: 0, removed: 1, nodes, separator }
    }

    /// Too few children, united or levelled with those of a sibling.
    fn with_sibling(
        &mut self,
        children: Children<V>,
        grandparent: &'g Inner<V>,
        at: usize,
        level: u8,
    ) -> Replacement<V> {
        let inner_at = |child: usize| match grandparent.slot(child).load(self.guard) {
            Node::Inner(inner) => inner,
            Node::Leaf(_) => unreachable!("siblings have the same level"),
        };
        let sibling =
            sibling(at, grandparent.len(), children.nodes.len(), INNER_CHILDREN, |child| inner_at(child).len());
        let other = inner_at(sibling).to_children();
        self.retire(grandparent.slot(sibling).pointer());
        let first = at.min(sibling);
        let (mut left, right) = if sibling < at { (other, children) } else { (children, other) };
        left.append(grandparent.separator(first).into(), right);
        let (nodes, separator) = self.split(left, false, level);
        Replacement { at: first, removed: 2, nodes, separator }
    }

    fn install_root(&mut self, replacement: Replacement<V>) {
        let root = match (replacement.nodes.as_slice(), replacement.separator) {
            ([only], _) => *only,
            (nodes, separator) => {
                // SAFETY: the node was just made and is the writer's.
                let level = match unsafe { nodes[0].get() } {
                    Node::Inner(inner) => inner.level(),
                    Node::Leaf(_) => 0,
                };
                self.inner(Inner::new(level + 1, nodes, separator.as_slice()))
            }
        };
        self.tree.root.store(root);
    }

    /// Gives the old nodes to the epoch. Returns by how many bytes the tree has grown.
    pub(super) fn finish(self) -> isize {
        let mut bytes = self.bytes;
        for node in self.retired {
            // SAFETY: the node is retired below, and not freed before the guard is gone.
            bytes -= match unsafe { node.get() } {
                Node::Inner(inner) => inner.bytes() as isize,
                Node::Leaf(_) => size_of::<Leaf<V>>() as isize,
            };
            // SAFETY: `install` has swung the slot above all of these nodes, and each was noted once.
            unsafe { node.retire(self.guard) }
        }
        bytes
    }
}

/// Which sibling of child `at` of `len` helps it, when it has `have`: the smaller one if both then fit into a node of
/// `most`, else the larger one.
pub(super) fn sibling(at: usize, len: usize, have: usize, most: usize, size_of: impl Fn(usize) -> usize) -> usize {
    let (left, right) = (at.checked_sub(1), Some(at + 1).filter(|right| *right < len));
    match (left, right) {
        (Some(left), Some(right)) => {
            let (smaller, larger) = if size_of(left) <= size_of(right) { (left, right) } else { (right, left) };
            if size_of(smaller) + have <= most { smaller } else { larger }
        }
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => unreachable!("inner nodes have two children or more"),
    }
}
