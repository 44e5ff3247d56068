//! What a scan reads: the blocks of one table as one snapshot sees them.

use crate::dead::{BlockId, DeadMask, DeadRows};
use crate::ids::Timestamp;
use crate::mem::MemBlock;
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

/// One block.
#[derive(Clone, Debug)]
pub(crate) struct BlockSource {
    /// What names it beside its rows.
    pub(crate) id: BlockId,
    /// Its rows.
    pub(crate) rows: BlockRows,
    /// Rows that are deleted.
    pub(crate) dead: Option<Arc<DeadMask>>,
}

/// The form rows are in.
#[derive(Clone, Debug)]
pub(crate) enum BlockRows {
    /// Encoded, in a segment.
    Column(Arc<ColumnBlock>),
    /// Arrow, in memory.
    Mem(RecordBatch),
}

impl BlockSource {
    /// A block of a segment, no row deleted.
    pub(crate) fn column(block: Arc<ColumnBlock>) -> BlockSource {
        BlockSource { id: block.id(), rows: BlockRows::Column(block), dead: None }
    }

    /// A batch in memory, no row deleted.
    pub(crate) fn mem(block: &MemBlock) -> BlockSource {
        BlockSource { id: block.id, rows: BlockRows::Mem(block.batch.clone()), dead: None }
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
        }
    }
}
