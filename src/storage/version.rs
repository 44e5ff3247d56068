//! The whole database at one moment: every table's layout under one commit timestamp.
//!
//! A version is immutable and published by swapping one pointer. A snapshot pins a version, which is why it never
//! changes under its reader, takes no lock and sees either all of a commit or nothing of it.

use crate::error::{Error, Result};
use crate::ids::{TableId, Timestamp};
use crate::layout::Layout;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Layouts by table.
pub(crate) type Tables = BTreeMap<TableId, Arc<Layout>>;

/// All tables at one timestamp.
#[derive(Clone, Debug, Default)]
pub(crate) struct Version {
    pub(crate) timestamp: Timestamp,
    pub(crate) tables: Tables,
    /// Indexes by the table they are of.
    pub(crate) indexes: Arc<BTreeMap<TableId, Vec<TableId>>>,
}

impl Version {
    /// The indexes of `table`, ascending.
    pub(crate) fn indexes_of(&self, table: TableId) -> &[TableId] {
        self.indexes.get(&table).map_or(&[], Vec::as_slice)
    }

    /// Lists the indexes anew: tables have come or gone.
    pub(crate) fn list_indexes(&mut self) {
        let mut indexes: BTreeMap<TableId, Vec<TableId>> = BTreeMap::new();
        for (id, layout) in &self.tables {
            if let Some(of) = &layout.table.definition.index {
                indexes.entry(of.table).or_default().push(*id);
            }
        }
        self.indexes = Arc::new(indexes);
    }

    /// The layout of `table`.
    pub(crate) fn layout(&self, table: TableId) -> Result<&Arc<Layout>> {
        self.tables.get(&table).ok_or(Error::UnknownTable(table))
    }
}
