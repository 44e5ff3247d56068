//! The delta tree of a table: rows of small commits by key, in memory, each with its versions.
//!
//! ```text
//! Layout at 41 ─► DeltaView at 41 ─┐
//! Layout at 42 ─► DeltaView at 42 ─┴─► Delta ─► tree: key ─► 42: row ─► 17: row
//! ```
//!
//! Mem blocks are immutable, so a commit of one row would cost a block, and merging blocks copies every row again and again. A
//! [`Delta`] is changed in place: consecutive layouts share it, and each reads it as of its own timestamp through a
//! [`DeltaView`]. The line is its only writer, and readers take no lock (`btree/`, `mvcc/`).
//!
//! For a scan the view is made into one batch, at most once and only when somebody scans: [`DeltaBlock`]. Points are looked up in
//! the tree, without that. The place of a row that was found before the view was decoded *names* it: it is the number of its key in a list
//! beside the view.
//!
//! What must always hold:
//! - a view is registered with its delta as long as it lives, and no version that a registered view sees is pruned;
//! - what the line has written but not published can be taken back, because no view sees it;
//! - a sealed delta is never written to again: its block may then be treated as any block in memory.

mod summary;
mod tree;
mod view;
mod block;

#[cfg(test)]
mod tests;

pub(crate) use block::{DeltaBlock, RowNames, is_named};
pub(crate) use tree::{Delta, DeltaRows};
pub(crate) use view::DeltaView;

use crate::ids::Timestamp;
use std::collections::BTreeSet;

/// A delta with more keys is sealed and flushed, so that a scan never has more than about so many rows to decode.
pub(crate) const DELTA_KEYS_MAX: usize = 1 << 16;
/// Commits with more rows of a table make a mem block.
pub(crate) const SMALL_ROWS_MAX: usize = 1024;
/// Keys looked at under one guard.
const STRETCH: usize = 1024;

/// A key as the tree has it.
pub(crate) type RowKey = Box<[u8]>;
/// A set of keys.
pub(crate) type RowKeys = BTreeSet<RowKey>;

/// When something is written, and what can be seen then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The commit's timestamp.
    pub(crate) at: Timestamp,
    /// That of the newest published version.
    pub(crate) published: Timestamp,
}
