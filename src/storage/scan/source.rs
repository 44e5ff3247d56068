//! What a scan reads: the blocks of one table as one snapshot sees them.

use crate::dead::{BlockId, DeadMask, DeadRows};
use crate::delta::{DeltaBlock, RowKeys, RowNames, is_named};
use crate::ids::Timestamp;
use crate::mem::MemBlock;
use crate::predicate::Predicate;
use crate::segment::ColumnBlock;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

/// Rows of a table, in block order.
#[derive(Debug)]
pub(crate) struct ScanSource {
    /// The table's columns.
    pub(crate) schema: SchemaRef,
    /// Its blocks.
    pub(crate) blocks: Vec<BlockSource>,
    /// Rows of blocks with begin timestamps of their own are visible up to this one.
    pub(crate) snapshot: Timestamp,
    /// First key column, when rows in block order ascend by it (NULLs last).
    pub(crate) clustered_by: Option<usize>,
}

impl ScanSource {
    /// The source with every block as scans under `predicates` want it.
    pub(super) fn decoded(self: &Arc<Self>, predicates: &[Predicate]) -> Arc<ScanSource> {
        if self.blocks.iter().all(|block| block.as_delta().is_none()) {
            return self.clone();
        }
        let blocks = self.blocks.iter().map(|block| block.decoded(predicates)).collect();
        let (schema, snapshot, clustered_by) = (self.schema.clone(), self.snapshot, self.clustered_by);
        Arc::new(ScanSource { schema, blocks, snapshot, clustered_by })
    }
}

/// One block.
#[derive(Clone, Debug)]
pub(crate) struct BlockSource {
    /// What names it beside its rows.
    pub(crate) id: BlockId,
    /// Its rows.
    pub(crate) rows: BlockRows,
    /// Rows that are deleted.
    pub(crate) dead: Option<Arc<DeadMask>>,
    /// What places call the rows, when that is not their numbers.
    pub(super) names: Option<RowNames>,
}

/// The form rows are in.
#[derive(Clone, Debug)]
pub(crate) enum BlockRows {
    /// Encoded, in a segment.
    Column(Arc<ColumnBlock>),
    /// Arrow, in memory.
    Mem(RecordBatch),
    /// A view of a delta tree, without the rows of some keys. Decoded before it is scanned.
    Delta(Arc<MemBlock>, Option<Arc<RowKeys>>),
}

impl BlockSource {
    /// A block of a segment, no row deleted.
    pub(crate) fn column(block: Arc<ColumnBlock>) -> BlockSource {
        BlockSource { id: block.id(), rows: BlockRows::Column(block), dead: None, names: None }
    }

    /// Rows, deleted ones included, of a block of a segment; nothing for others.
    pub(crate) fn rows_stored(&self) -> usize {
        if let BlockRows::Column(block) = &self.rows { block.rows() } else { 0 }
    }

    /// A block in memory, no row deleted.
    pub(crate) fn mem(block: &Arc<MemBlock>) -> BlockSource {
        let rows = match block.as_delta() {
            None => BlockRows::Mem(block.batch().clone()),
            Some(_) => BlockRows::Delta(block.clone(), None),
        };
        BlockSource { id: block.id, rows, dead: None, names: None }
    }

    /// A view of a delta tree without the rows of `hidden`.
    pub(crate) fn delta(block: &Arc<MemBlock>, hidden: &Arc<RowKeys>) -> BlockSource {
        let hidden = Some(hidden.clone()).filter(|hidden| !hidden.is_empty());
        BlockSource { id: block.id, rows: BlockRows::Delta(block.clone(), hidden), dead: None, names: None }
    }

    /// The block as scans under `predicates` want it: decoded, and rows that are hidden marked as deleted.
    fn decoded(&self, predicates: &[Predicate]) -> BlockSource {
        let BlockRows::Delta(block, hidden) = &self.rows else { return self.clone() };
        // Deleted rows are known by number, which only all rows together have.
        let part = block.as_delta().filter(|_| self.dead.is_none());
        if let Some((batch, names)) = part.and_then(|delta| delta.part(predicates, hidden.as_deref())) {
            return BlockSource { id: self.id, rows: BlockRows::Mem(batch), dead: None, names: Some(names) };
        }
        let mut dead = self.dead.clone();
        if let (Some(hidden), Some(delta)) = (hidden, block.as_delta()) {
            let mask = Arc::make_mut(dead.get_or_insert_default());
            for row in delta.numbers(hidden) {
                mask.insert(row);
            }
        }
        let names = block.as_delta().and_then(|delta| delta.row_names()).cloned();
        BlockSource { id: self.id, rows: BlockRows::Mem(block.batch().clone()), dead, names }
    }

    /// The view of a delta tree that it is, if it is one.
    pub(crate) fn as_delta(&self) -> Option<&DeltaBlock> {
        match &self.rows {
            BlockRows::Delta(block, _) => block.as_delta(),
            BlockRows::Column(_) | BlockRows::Mem(_) => None,
        }
    }

    /// Whether a place can be of `row`.
    pub(crate) fn has_row(&self, row: usize) -> bool {
        if is_named(row) { self.as_delta().is_some_and(|delta| delta.has_row(row)) } else { row < self.row_count() }
    }

    /// The number of a row that a place may name by its key.
    pub(crate) fn number(&self, row: usize) -> usize {
        self.as_delta().map_or(row, |delta| delta.number(row))
    }

    /// The block with the rows deleted that `dead` says.
    pub(crate) fn without(self, dead: &DeadRows) -> BlockSource {
        BlockSource { dead: dead.of(self.id).cloned(), ..self }
    }

    /// Rows, visible or not.
    pub(crate) fn row_count(&self) -> usize {
        match &self.rows {
            BlockRows::Column(block) => block.rows(),
            BlockRows::Mem(batch) => batch.num_rows(),
            BlockRows::Delta(block, _) => block.rows(),
        }
    }
}
