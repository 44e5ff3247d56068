//! What the manifest says, and what each edit does to it.

use super::edit::{ManifestEdit, SegmentRecord};
use crate::ids::{Lsn, SegmentId, TableId, Timestamp};
use crate::table::TableDefinition;
use std::collections::BTreeMap;

/// The version of everything in a database directory; the only one this program reads.
pub(crate) const FORMAT_VERSION: u32 = 2;

/// The manifest's content.
#[derive(Clone, Debug)]
pub(crate) struct ManifestState {
    /// Version of the directory's formats.
    pub(crate) format_version: u32,
    /// Tables below this one existed.
    pub(crate) next_table_id: TableId,
    /// Segments below this one existed.
    pub(crate) next_segment_id: SegmentId,
    /// Every record at or below is in segments.
    pub(crate) checkpoint_lsn: Lsn,
    /// The log was durable at least up to here.
    pub(crate) durable_lsn: Lsn,
    /// Newest commit at or below the checkpoint.
    pub(crate) last_timestamp: Timestamp,
    /// Tables.
    pub(crate) tables: BTreeMap<TableId, TableState>,
}

/// A table in the manifest.
#[derive(Clone, Debug)]
pub(crate) struct TableState {
    /// What it is.
    pub(crate) definition: TableDefinition,
    /// The version records carry.
    pub(crate) schema_version: u32,
    /// Commit that made it.
    pub(crate) created_at: Timestamp,
    /// Its records at or below are in its segments.
    pub(crate) flushed_lsn: Lsn,
    /// Row numbers below this one were given out.
    pub(crate) next_row: i64,
    /// Its segments, in the order they were added.
    pub(crate) segments: Vec<SegmentRecord>,
}

impl ManifestState {
    /// An empty database.
    pub(crate) fn new() -> Self {
        ManifestState {
            format_version: FORMAT_VERSION,
            next_table_id: TableId::FIRST_USER,
            next_segment_id: SegmentId(1),
            checkpoint_lsn: Lsn(0),
            durable_lsn: Lsn(0),
            last_timestamp: Timestamp(0),
            tables: BTreeMap::new(),
        }
    }

    /// Carries out `edit`; why it makes no sense here otherwise.
    pub(crate) fn apply(&mut self, edit: &ManifestEdit) -> Result<(), String> {
        match edit {
            ManifestEdit::Format { version } => self.format_version = *version,
            ManifestEdit::CreateTable { table, definition, schema_version, created_at } => {
                let columns = definition.schema.fields().len();
                if let Some(column) = definition.key.iter().find(|column| **column >= columns) {
                    return Err(format!("table {table} has key column {column} but {columns} columns"));
                }
                let state = TableState {
                    definition: definition.clone(),
                    schema_version: *schema_version,
                    created_at: *created_at,
                    flushed_lsn: Lsn(0),
                    next_row: 1,
                    segments: Vec::new(),
                };
                if self.tables.insert(*table, state).is_some() {
                    return Err(format!("table {table} exists already"));
                }
                self.next_table_id = self.next_table_id.max(TableId(table.0.saturating_add(1)));
            }
            ManifestEdit::DropTable { table } => {
                self.tables.remove(table).ok_or_else(|| missing(*table))?;
            }
            ManifestEdit::AddSegment { table, segment } => {
                let segments = &mut self.table(*table)?.segments;
                if segments.iter().any(|s| s.id == segment.id) {
                    return Err(format!("table {table} has segment {} already", segment.id));
                }
                segments.push(*segment);
                self.next_segment_id = self.next_segment_id.max(SegmentId(segment.id.0.saturating_add(1)));
            }
            ManifestEdit::RemoveSegment { table, segment } => {
                let segments = &mut self.table(*table)?.segments;
                let index = segments.iter().position(|s| s.id == *segment);
                segments.remove(index.ok_or_else(|| format!("table {table} has no segment {segment}"))?);
            }
            ManifestEdit::Truncate { table, at } => {
                for segment in &mut self.table(*table)?.segments {
                    if segment.begin_ts < *at {
                        segment.end_ts.get_or_insert(*at);
                    }
                }
            }
            ManifestEdit::FlushedLsn { table, lsn, next_row } => {
                let table = self.table(*table)?;
                (table.flushed_lsn, table.next_row) = (*lsn, *next_row);
            }
            ManifestEdit::Deletes { table, segment, generation } => {
                let segments = &mut self.table(*table)?.segments;
                let found = segments.iter_mut().find(|s| s.id == *segment);
                found.ok_or_else(|| format!("table {table} has no segment {segment}"))?.delete_generation = *generation;
            }
            ManifestEdit::Checkpoint { lsn, durable_lsn, timestamp } => {
                if lsn > durable_lsn {
                    return Err(format!("checkpoint {lsn} is above the durable record {durable_lsn}"));
                }
                self.checkpoint_lsn = *lsn;
                self.durable_lsn = *durable_lsn;
                self.last_timestamp = *timestamp;
            }
            ManifestEdit::NextIds { table, segment } => {
                self.next_table_id = self.next_table_id.max(*table);
                self.next_segment_id = self.next_segment_id.max(*segment);
            }
        }
        Ok(())
    }

    /// The newest record the manifest proves to have been durable: a table is never flushed beyond that.
    pub(crate) fn proven_lsn(&self) -> Lsn {
        self.tables.values().map(|table| table.flushed_lsn).fold(self.durable_lsn, Lsn::max)
    }

    /// Edits that build this state from an empty one.
    pub(crate) fn to_edits(&self) -> Vec<ManifestEdit> {
        let mut edits = vec![
            ManifestEdit::Format { version: self.format_version },
            ManifestEdit::NextIds { table: self.next_table_id, segment: self.next_segment_id },
            ManifestEdit::Checkpoint {
                lsn: self.checkpoint_lsn,
                durable_lsn: self.durable_lsn,
                timestamp: self.last_timestamp,
            },
        ];
        for (&table, state) in &self.tables {
            edits.push(ManifestEdit::CreateTable {
                table,
                definition: state.definition.clone(),
                schema_version: state.schema_version,
                created_at: state.created_at,
            });
            edits.push(ManifestEdit::FlushedLsn { table, lsn: state.flushed_lsn, next_row: state.next_row });
            edits.extend(state.segments.iter().map(|&segment| ManifestEdit::AddSegment { table, segment }));
        }
        edits
    }

    fn table(&mut self, table: TableId) -> Result<&mut TableState, String> {
        self.tables.get_mut(&table).ok_or_else(|| missing(table))
    }
}

fn missing(table: TableId) -> String {
    format!("table {table} does not exist")
}
