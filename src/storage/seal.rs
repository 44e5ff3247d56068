//! What a flush does on the line: sealing rows, putting segments in their place, cutting the log.
//!
//! These are tasks between two groups of commits, so a version never changes under them.

use crate::backlog::Removed;
use crate::error::Result;
use crate::ids::{Lsn, TableId};
use crate::layout::Layout;
use crate::line::LineState;
use crate::rewrite::Rewritten;
use crate::stored::StoredSegment;
use std::sync::Arc;

/// A table the manifest does not reflect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unflushed {
    pub(crate) table: TableId,
    /// Bytes of its rows in memory.
    pub(crate) mem_bytes: usize,
    /// Whether its delta tree has grown large.
    pub(crate) has_large_delta: bool,
    /// Whether files wait for the manifest to say that they are not needed.
    pub(crate) has_removed: bool,
}

/// What the line hands to a flush of one table.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// First record that the manifest does not reflect.
    pub(crate) since: Option<Lsn>,
    /// All records up to here are in `layout`.
    pub(crate) lsn: Lsn,
    /// The table, its rows in memory sealed; `None` when it was dropped.
    pub(crate) layout: Option<Arc<Layout>>,
}

impl LineState {
    /// Tables the manifest does not reflect. A damaged table is not flushed: what its deleted rows are is not known.
    pub(crate) fn unflushed(&self) -> Vec<Unflushed> {
        let layout = |table: TableId| self.version.tables.get(&table);
        let unflushed = |table: TableId| Unflushed {
            table,
            mem_bytes: layout(table).map_or(0, |layout| layout.mem_bytes()),
            has_large_delta: layout(table).is_some_and(|layout| layout.has_large_delta()),
            has_removed: self.backlog.has_removed_of(table),
        };
        let is_damaged = |table: &TableId| self.version.tables.get(table).is_some_and(|layout| layout.damage.is_some());
        self.backlog.tables().filter(|table| !is_damaged(table)).map(unflushed).collect()
    }

    /// Seals a table's rows in memory for a flush.
    pub(crate) fn seal(&mut self, table: TableId) -> Sealed {
        let (lsn, since) = (self.wal.durable_lsn(), self.backlog.seal(table));
        let layout = self.version.tables.get(&table).map(|layout| layout.seal());
        if let Some(layout) = &layout {
            self.set_layout(table, layout.clone());
        }
        Sealed { since, lsn, layout }
    }

    /// Ends a flush whose manifest edit was not written.
    pub(crate) fn unseal(&mut self, table: TableId) {
        self.backlog.unseal(table);
    }

    /// Ends a flush whose manifest edit is durable: its segments take the place of the rows sealed, unless those are gone.
    /// Answers the segments that nothing durable refers to any more.
    pub(crate) fn install(&mut self, table: TableId, sealed: &Sealed, rewritten: Rewritten) -> Vec<Arc<StoredSegment>> {
        let now = self.version.tables.get(&table).zip(sealed.layout.as_ref());
        match now.and_then(|(now, sealed)| now.install(&sealed.sealed, &rewritten)) {
            Some(layout) => self.set_layout(table, layout),
            // Truncated or dropped meanwhile: the manifest names them until the next edit, which is due.
            None => self.keep(table, rewritten.segments),
        }
        let unneeded = self.backlog.reflected(table, sealed.lsn);
        self.report(0);
        unneeded
    }

    /// Puts `new` in the place of `old`, if they are all still there. If not, `table` was truncated or dropped, and the
    /// manifest names `new` until its next edit.
    pub(crate) fn replace(&mut self, table: TableId, old: &[Arc<StoredSegment>], new: Rewritten) {
        match self.version.tables.get(&table).and_then(|layout| layout.replace(old, &new)) {
            Some(layout) => self.set_layout(table, layout),
            None => self.keep(table, new.segments),
        }
    }

    fn keep(&mut self, table: TableId, segments: Vec<Arc<StoredSegment>>) {
        self.backlog.keep(Removed { table, lsn: self.wal.durable_lsn(), segments });
    }

    fn set_layout(&mut self, table: TableId, layout: Arc<Layout>) {
        let mut version = (*self.version).clone();
        version.tables.insert(table, layout);
        self.set_version(version);
    }

    /// Up to where the manifest reflects all records, and up to where they are on disk.
    pub(crate) fn checkpoint(&self) -> (Lsn, Lsn) {
        let durable = self.wal.durable_lsn();
        (self.backlog.checkpoint(durable), durable)
    }

    /// Deletes log files that replay no longer needs.
    pub(crate) fn truncate_log(&mut self, checkpoint: Lsn) -> Result<()> {
        self.wal.truncate_before(Lsn(checkpoint.0 + 1))?;
        self.report(0);
        Ok(())
    }
}
