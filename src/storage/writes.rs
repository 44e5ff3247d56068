//! What a transaction has written so far, table by table, and how that changes a version.
//!
//! The same [`WriteSet`] is laid over a snapshot to show a transaction its own writes, encoded into the log record, and
//! applied by the line: one definition of what a write means.

use crate::error::{Error, Result};
use crate::ids::TableId;
use crate::layout::Layout;
use crate::mem::{MemList, Merging};
use crate::stored::StoredSegment;
use crate::table::Table;
use crate::version::Version;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The change a transaction makes to one table. Created comes first, then truncation, then rows; a drop excludes the rest.
#[derive(Clone, Debug)]
pub(crate) struct TableWrites {
    pub(crate) table: Arc<Table>,
    pub(crate) created: bool,
    pub(crate) dropped: bool,
    pub(crate) truncated: bool,
    pub(crate) rows: MemList,
    pub(crate) segments: Vec<Arc<StoredSegment>>,
}

impl TableWrites {
    /// No change yet.
    pub(crate) fn new(table: Arc<Table>) -> TableWrites {
        TableWrites {
            table,
            created: false,
            dropped: false,
            truncated: false,
            rows: MemList::default(),
            segments: vec![],
        }
    }

    /// Whether the table stays as it is.
    fn is_nothing(&self) -> bool {
        !self.created && !self.dropped && !self.truncated && self.rows.rows == 0 && self.segments.is_empty()
    }
}

/// Everything a transaction has written.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteSet {
    pub(crate) tables: BTreeMap<TableId, TableWrites>,
}

impl WriteSet {
    /// True when nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Leaves out tables that were written to without any effect.
    pub(crate) fn prune(&mut self) {
        self.tables.retain(|_, writes| !writes.is_nothing());
    }

    /// The first table that another transaction changed so that these writes no longer fit.
    pub(crate) fn validate(&self, version: &Version) -> Result<()> {
        for (id, writes) in &self.tables {
            let now = version.tables.get(id);
            let fits = match now {
                None => writes.created,
                Some(layout) => !writes.created && layout.table.schema_version == writes.table.schema_version,
            };
            if !fits {
                return Err(Error::TableChanged(*id));
            }
        }
        Ok(())
    }

    /// Changes `version`, all or nothing. Tables that vanished meanwhile are passed over: the line refuses such a
    /// commit.
    pub(crate) fn apply(&self, version: &mut Version, merging: Merging) -> Result<()> {
        let mut changed = Vec::with_capacity(self.tables.len());
        for (id, writes) in &self.tables {
            let layout = match version.tables.get(id) {
                _ if writes.dropped => None,
                None if !writes.created => continue,
                Some(layout) if !writes.truncated => Some(layout.append(&writes.rows, &writes.segments, merging)?),
                _ => Some(Layout::empty(writes.table.clone()).append(&writes.rows, &writes.segments, merging)?),
            };
            changed.push((*id, layout));
        }
        for (id, layout) in changed {
            match layout {
                Some(layout) => version.tables.insert(id, layout),
                None => version.tables.remove(&id),
            };
        }
        Ok(())
    }

    /// Every segment written.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Arc<StoredSegment>> {
        self.tables.values().flat_map(|writes| &writes.segments)
    }
}
