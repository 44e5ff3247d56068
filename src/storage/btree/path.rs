//! The way down from the root: inner nodes, and the child taken in each.

use super::Value;
use super::inner::Inner;
use super::leaf::Leaf;
use super::node::Node;
use super::tree::Tree;
use crate::epoch::Guard;

/// Inner nodes from the root down, with the child that was taken.
pub(super) struct Path<'g, V>(Vec<(&'g Inner<V>, usize)>);

/// Which child to take.
pub(super) enum Toward<'k> {
    Key(&'k [u8]),
    First,
    Last,
}

impl<'g, V: Value> Path<'g, V> {
    pub(super) fn new() -> Self {
        Path(Vec::with_capacity(8))
    }

    /// Goes down from the root.
    pub(super) fn descend(&mut self, tree: &'g Tree<V>, toward: &Toward<'_>, guard: &'g Guard) -> &'g Leaf<V> {
        self.0.clear();
        self.descend_from(tree.root.load(guard), toward, guard)
    }

    fn descend_from(&mut self, mut node: Node<'g, V>, toward: &Toward<'_>, guard: &'g Guard) -> &'g Leaf<V> {
        loop {
            match node {
                Node::Inner(inner) => {
                    let child = match toward {
                        Toward::Key(key) => inner.child_of(key),
                        Toward::First => 0,
                        Toward::Last => inner.len() - 1,
                    };
                    self.0.push((inner, child));
                    node = inner.slot(child).load(guard);
                }
                Node::Leaf(leaf) => return leaf,
            }
        }
    }

    /// Goes to the next leaf; none, and nothing changes, behind the last.
    pub(super) fn next_leaf(&mut self, guard: &'g Guard) -> Option<&'g Leaf<V>> {
        let at = self.0.iter().rposition(|(inner, child)| child + 1 < inner.len())?;
        self.0.truncate(at + 1);
        let (inner, child) = &mut self.0[at];
        *child += 1;
        let node = inner.slot(*child).load(guard);
        if inner.level() == 1 && *child + 1 < inner.len() {
            inner.slot(*child + 1).pointer().prefetch_lines(PREFETCHED_LINES);
        }
        Some(self.descend_from(node, &Toward::First, guard))
    }

    /// Goes to the leaf before; none, and nothing changes, before the first.
    pub(super) fn previous_leaf(&mut self, guard: &'g Guard) -> Option<&'g Leaf<V>> {
        let at = self.0.iter().rposition(|(_, child)| *child > 0)?;
        self.0.truncate(at + 1);
        let (inner, child) = &mut self.0[at];
        *child -= 1;
        let node = inner.slot(*child).load(guard);
        if inner.level() == 1 && *child > 0 {
            inner.slot(*child - 1).pointer().prefetch_lines(PREFETCHED_LINES);
        }
        Some(self.descend_from(node, &Toward::Last, guard))
    }

    /// Whether it leads to the first leaf.
    pub(super) fn is_first(&self) -> bool {
        self.0.iter().all(|(_, child)| *child == 0)
    }

    /// Whether it leads to the last leaf.
    pub(super) fn is_last(&self) -> bool {
        self.0.iter().all(|(inner, child)| child + 1 == inner.len())
    }

    /// The inner nodes and children, root first.
    pub(super) fn steps(&self) -> &[(&'g Inner<V>, usize)] {
        &self.0
    }
}

/// Cache lines of the next leaf that a scan asks for ahead.
const PREFETCHED_LINES: usize = 20;
