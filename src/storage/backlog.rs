//! What the manifest does not reflect yet: where replay would have to begin, and which files wait to be let go.
//!
//! For each table the backlog knows the first record that no manifest edit reflects. A flush of the table *seals* that
//! mark: records after the seal count as new, and if the flush fails the mark comes back. The least of all marks, minus
//! one, is the checkpoint.
//!
//! Segments that a record took out of a table (truncated, dropped, cut) may still be named by the manifest, or by earlier records of the log.
//! They wait here until an edit as of that record or later says otherwise. Replay needs them until then, as often as it is run: which segments
//! a record takes out is read from the segments.

use crate::ids::{Lsn, TableId};
use crate::stored::StoredSegment;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The backlog of all tables.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    marks: BTreeMap<TableId, Mark>,
    removed: Vec<Removed>,
    /// Bytes of the records since the last flush of all tables: what the next start would have to replay, about.
    pub(crate) log_bytes: u64,
}

/// Since when a table differs from what the manifest says.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// First record that is not reflected, nor will be by the flush under way.
    since: Option<Lsn>,
    /// First record that the flush under way will reflect.
    sealed_since: Option<Lsn>,
}

impl Mark {
    fn first(&self) -> Option<Lsn> {
        self.sealed_since.or(self.since)
    }
}

/// Segments that the record at `lsn` took out of a table.
#[derive(Debug)]
pub(crate) struct Removed {
    pub(crate) table: TableId,
    pub(crate) lsn: Lsn,
    pub(crate) segments: Vec<Arc<StoredSegment>>,
}

impl Backlog {
    /// Notes that the record at `lsn` changed `table`.
    pub(crate) fn changed(&mut self, table: TableId, lsn: Lsn) {
        self.marks.entry(table).or_default().since.get_or_insert(lsn);
    }

    /// Keeps segments until the manifest no longer names them.
    pub(crate) fn keep(&mut self, removed: Removed) {
        if !removed.segments.is_empty() {
            self.removed.push(removed);
        }
    }

    /// All segments that wait to be let go.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Arc<StoredSegment>> {
        self.removed.iter().flat_map(|removed| &removed.segments)
    }

    /// Tables with changes that are not reflected.
    pub(crate) fn tables(&self) -> impl Iterator<Item = TableId> {
        self.marks.keys().copied()
    }

    /// Whether segments wait to be let go.
    pub(crate) fn has_removed(&self) -> bool {
        !self.removed.is_empty()
    }

    /// Whether segments of `table` do.
    pub(crate) fn has_removed_of(&self, table: TableId) -> bool {
        self.removed.iter().any(|removed| removed.table == table)
    }

    /// The newest LSN such that the manifest reflects every record up to it.
    pub(crate) fn checkpoint(&self, durable: Lsn) -> Lsn {
        let first = self.marks.values().filter_map(Mark::first).min();
        first.map_or(durable, |first| Lsn(first.0 - 1))
    }

    /// Begins a flush of `table`; the first record it will reflect.
    pub(crate) fn seal(&mut self, table: TableId) -> Option<Lsn> {
        let mark = self.marks.get_mut(&table)?;
        *mark = Mark { since: None, sealed_since: mark.first() };
        mark.sealed_since
    }

    /// Ends a flush that failed.
    pub(crate) fn unseal(&mut self, table: TableId) {
        if let Some(mark) = self.marks.get_mut(&table) {
            *mark = Mark { since: mark.first(), sealed_since: None };
        }
    }

    /// Ends a flush after which the manifest reflects `table` up to `lsn`. Answers the segments it no longer names.
    pub(crate) fn reflected(&mut self, table: TableId, lsn: Lsn) -> Vec<Arc<StoredSegment>> {
        if let Some(mark) = self.marks.get_mut(&table) {
            mark.sealed_since = None;
            if mark.since.is_none() {
                self.marks.remove(&table);
            }
        }
        let (unneeded, rest): (Vec<Removed>, _) = std::mem::take(&mut self.removed)
            .into_iter()
            .partition(|removed| removed.table == table && removed.lsn <= lsn);
        self.removed = rest;
        unneeded.into_iter().flat_map(|removed| removed.segments).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: TableId = TableId(7);
    const U: TableId = TableId(8);

    #[test]
    fn checkpoint_stays_below_the_oldest_change_until_it_is_reflected() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.checkpoint(Lsn(4)), Lsn(4));
        backlog.changed(T, Lsn(5));
        backlog.changed(U, Lsn(6));
        backlog.changed(T, Lsn(7));
        assert_eq!(backlog.checkpoint(Lsn(7)), Lsn(4));
        assert_eq!(backlog.seal(T), Some(Lsn(5)));
        backlog.changed(T, Lsn(8));
        // Until the flush has ended it may fail.
        assert_eq!(backlog.checkpoint(Lsn(8)), Lsn(4));
        backlog.reflected(T, Lsn(7));
        assert_eq!(backlog.checkpoint(Lsn(8)), Lsn(5));
        backlog.seal(U);
        backlog.reflected(U, Lsn(8));
        assert_eq!(backlog.checkpoint(Lsn(8)), Lsn(7));
    }

    #[test]
    fn failed_flush_brings_the_mark_back() {
        let mut backlog = Backlog::default();
        backlog.changed(T, Lsn(5));
        backlog.seal(T);
        backlog.changed(T, Lsn(9));
        backlog.unseal(T);
        assert_eq!(backlog.checkpoint(Lsn(9)), Lsn(4));
        assert_eq!(backlog.seal(T), Some(Lsn(5)));
        backlog.reflected(T, Lsn(9));
        assert_eq!(backlog.tables().count(), 0);
    }
}
