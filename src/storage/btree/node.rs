//! Slots and the nodes they point to.
//!
//! A **slot** is an atomic pointer to a node: one in every tree (the root) and one for each child of an inner node. It
//! always points to a complete node: a node is built privately, and the release store that puts it into a slot publishes
//! it with all it leads to. Readers load slots with acquire, under a guard.
//!
//! What makes following a slot right, whoever holds the inner node and however old that is: a node is retired only after
//! the slot it was in, in the newest tree, has been overwritten or has itself been unlinked, and retired nodes are never
//! changed again. So what can be reached through an old node was all linked when that node was unlinked, thus it was
//! retired later, thus the guard that found the old node keeps it.

#![expect(unsafe_code, reason = "nodes live as long as a guard can find them, which the compiler cannot see")]

use super::Value;
use super::inner::Inner;
use super::leaf::Leaf;
use super::search::prefetch;
use crate::epoch::{AtomicPtr, Canary, Guard, Ordering};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// Two nodes, and the key that separates them.
pub(super) type TwoNodes<N> = (Box<N>, Box<[u8]>, Box<N>);

/// What every node begins with.
pub(super) struct Header {
    canary: Canary,
    /// Inner nodes between this node and its leaves, itself counted: zero is a leaf.
    level: u8,
}

impl Header {
    pub(super) fn new(level: u8) -> Self {
        Header { canary: Canary::new(), level }
    }

    #[inline]
    pub(super) fn level(&self) -> u8 {
        self.level
    }
}

/// A node under a guard (or held by the one writer), told apart.
pub(super) enum Node<'g, V> {
    Inner(&'g Inner<V>),
    Leaf(&'g Leaf<V>),
}

/// A pointer to a node of either kind.
pub(super) struct NodePtr<V>(NonNull<Header>, PhantomData<*const V>);

impl<V> Clone for NodePtr<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for NodePtr<V> {}

impl<V: Value> From<Box<Leaf<V>>> for NodePtr<V> {
    fn from(leaf: Box<Leaf<V>>) -> Self {
        NodePtr(NonNull::from(Box::leak(leaf)).cast(), PhantomData)
    }
}

impl<V: Value> From<Box<Inner<V>>> for NodePtr<V> {
    fn from(inner: Box<Inner<V>>) -> Self {
        NodePtr(NonNull::from(Box::leak(inner)).cast(), PhantomData)
    }
}

impl<V: Value> NodePtr<V> {
    /// The node.
    ///
    /// # Safety
    /// The node is not freed during `'a`: it was loaded under a guard that outlives `'a`, or is linked in a tree whose
    /// writer does not change it before, or belongs to the caller.
    #[inline]
    pub(super) unsafe fn get<'a>(self) -> Node<'a, V> {
        // SAFETY: a node lives during 'a by the caller's promise. It is a `Leaf` or an `Inner`, both `repr(C)` with the
        // header first, and only leaves have level zero. All that changes in a node are atomics.
        unsafe {
            let header = self.0.as_ref();
            header.canary.check();
            if header.level == 0 { Node::Leaf(self.0.cast().as_ref()) } else { Node::Inner(self.0.cast().as_ref()) }
        }
    }

    /// Asks for the first cache lines of the node: its counts, and what is searched next.
    #[inline]
    pub(super) fn prefetch_lines(self, lines: usize) {
        for line in 0..lines {
            prefetch(self.0.as_ptr().cast::<u8>().wrapping_add(64 * line));
        }
    }

    /// Frees the node now; not what it points to.
    ///
    /// # Safety
    /// Nobody can reach it any more, and it is freed once.
    unsafe fn free(self) {
        #[cfg(all(test, any(loom, shuttle)))]
        // SAFETY: the node is there: a model never frees, it only marks.
        return unsafe { self.0.as_ref() }.canary.kill();
        #[cfg(not(all(test, any(loom, shuttle))))]
        // SAFETY: the node came from a box of the type that its level tells, see `get`, and nobody else has it.
        unsafe {
            if self.0.as_ref().level == 0 {
                drop(Box::from_raw(self.0.as_ptr().cast::<Leaf<V>>()));
            } else {
                drop(Box::from_raw(self.0.as_ptr().cast::<Inner<V>>()));
            }
        }
    }

    /// Frees the node when no reader can be in it.
    ///
    /// # Safety
    /// It was unlinked from the tree before, and is retired once.
    pub(super) unsafe fn retire(self, guard: &Guard) {
        // SAFETY: no guard born from now on finds the node; it has nothing that belongs to a thread.
        unsafe { guard.retire(move || self.free()) }
    }

    /// Frees the node, all below it, and the entries.
    ///
    /// # Safety
    /// Nobody else can reach the tree any more.
    pub(super) unsafe fn free_all(self) {
        // SAFETY: the caller's promise covers this node, its children and its entries; each is in the tree once.
        unsafe {
            match self.get() {
                Node::Inner(inner) => inner.children().for_each(|child| child.free_all()),
                Node::Leaf(leaf) => leaf.sorted().items().iter().for_each(|item| item.entry.free()),
            }
            self.free();
        }
    }
}

/// Where a node hangs.
pub(super) struct Slot<V>(AtomicPtr<Header>, PhantomData<*const V>);

// SAFETY: a slot is a pointer to nodes that are shared between threads; they contain values, and `Value` is Send + Sync.
unsafe impl<V: Value> Send for Slot<V> {}
// SAFETY: as above.
unsafe impl<V: Value> Sync for Slot<V> {}

impl<V: Value> Slot<V> {
    pub(super) fn new(node: NodePtr<V>) -> Self {
        Slot(AtomicPtr::new(node.0.as_ptr()), PhantomData)
    }

    /// A place in a node that has fewer children.
    pub(super) fn unused() -> Self {
        Slot(AtomicPtr::new(std::ptr::null_mut()), PhantomData)
    }

    /// The pointer, for prefetching and for moving it to another slot.
    #[inline]
    pub(super) fn pointer(&self) -> NodePtr<V> {
        let node = NonNull::new(self.0.load(Ordering::Acquire));
        NodePtr(node.expect("a slot below the count of children has a node"), PhantomData)
    }

    /// The node, for as long as the guard lives.
    #[inline]
    pub(super) fn load<'g>(&self, _guard: &'g Guard) -> Node<'g, V> {
        // SAFETY: the node was linked when `self`'s node was, or is now; see the module's head for why the guard, under
        // which `self` was found, keeps it.
        unsafe { self.pointer().get() }
    }

    /// Publishes `node` here. The writer only.
    pub(super) fn store(&self, node: NodePtr<V>) {
        self.0.store(node.0.as_ptr(), Ordering::Release);
    }
}
