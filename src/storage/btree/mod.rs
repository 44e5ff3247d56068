//! A B+Tree in memory whose readers take no lock: one writer, any number of readers in other threads.
//!
//! ```text
//! root ──► Inner   separators, immutable · slots, atomic
//!            │ slot
//!            ├──────────► Leaf   base, sorted, immutable │ delta, append-only, its length atomic
//!            └─► Leaf                │ entries
//!                                    ▼
//!                                  Entry   key, immutable · value, shared by all copies of the leaf
//! ```
//!
//! Reading bytes that another thread is writing is undefined in Rust even if the result is thrown away, which rules out the
//! usual optimistic reads. Here nothing that a reader can look at is ever overwritten but three kinds of atomic words: slots, the
//! length of a leaf's delta (with the places behind it, which are written once, before the length covers them), and what
//! a value does with itself. So a reader needs no version to check and nothing to retry.
//!
//! - An **insertion** appends to the delta of a leaf. Everything else (a full delta, splits, merges, borrowing, removal)
//!   builds new nodes and swings *one* slot, in the lowest ancestor that stays: `change.rs`.
//! - A **reader** pins the epoch and goes down. Nodes and entries that the writer has unlinked are freed when the readers that
//!   were there at that time are gone. Nodes have no links to siblings: a cursor goes on through its way down, and what it
//!   finds there is never older than its guard: `cursor.rs`.
//! - **Keys** are compared by heads, eight bytes after the prefix that a node's keys share: `search.rs`.
//!
//! What must always hold:
//! - a node is complete before a slot points to it, and is retired only after no slot of the newest tree does;
//! - a node's range of keys never changes; separators and bases never change;
//! - there is one writer: `Writer` is made with its tree, is not `Clone` and changes by `&mut`;
//! - leaves but the root have `LEAF_KEYS_MIN` entries or more, inner nodes but the root `INNER_CHILDREN_MIN` children.
//!
//! `docs/storage.md` has the argument and the measurements.

mod search;
mod entry;
mod leaf;
mod inner;
mod node;
mod tree;
mod path;
mod cursor;
mod range;
mod change;
mod writer;
mod bulk;
mod verify;

#[cfg(test)]
mod tests;

pub(crate) use cursor::Progress;
pub(crate) use tree::Tree;
pub(crate) use writer::Writer;

/// What a tree can hold: shared between threads, and dropped in any of them, at any later time.
pub(crate) trait Value: Send + Sync + 'static {}

impl<V: Send + Sync + 'static> Value for V {}

/// The longest key.
pub(crate) const KEY_BYTES_MAX: usize = 64 << 10;

#[cfg(not(all(test, any(loom, shuttle))))]
mod shape {
    /// Heads of a leaf's base in one group.
    pub(super) const LEAF_GROUP: usize = 8;
    /// Places of a leaf's delta.
    pub(super) const DELTA_KEYS: usize = 16;
    /// Heads of an inner node in one group.
    pub(super) const INNER_GROUP: usize = 8;
}

/// Small nodes, in which a model soon comes to splits and merges.
#[cfg(all(test, any(loom, shuttle)))]
mod shape {
    pub(super) const LEAF_GROUP: usize = 1;
    pub(super) const DELTA_KEYS: usize = 2;
    pub(super) const INNER_GROUP: usize = 1;
}

use shape::{DELTA_KEYS, INNER_GROUP, LEAF_GROUP};

/// Places of a leaf's base.
const LEAF_KEYS: usize = LEAF_GROUP * search::GROUPS;

/// Entries that every leaf has but the root.
const LEAF_KEYS_MIN: usize = LEAF_KEYS / 4;

/// Children of an inner node.
const INNER_CHILDREN: usize = INNER_GROUP * search::GROUPS;

/// Children that every inner node has but the root, which has two.
const INNER_CHILDREN_MIN: usize = INNER_CHILDREN / 4;

// A split leaf gives two whose bases fit, and a node's counts fit into a byte.
const _: () = assert!(DELTA_KEYS < LEAF_KEYS - LEAF_KEYS_MIN && LEAF_KEYS <= 255 && INNER_CHILDREN <= 255);
const _: () = assert!(LEAF_KEYS_MIN >= 2 && INNER_CHILDREN_MIN >= 2);
