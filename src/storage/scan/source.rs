//! What a scan reads: the blocks of one table as one snapshot sees them.

use crate::codec::Mask;
use crate::ids::Timestamp;
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
    /// Its rows.
    pub(crate) rows: BlockRows,
    /// Rows this snapshot sees, as far as the block itself does not say; all when `None`. What a delete vector becomes.
    pub(crate) visible: Option<Arc<Mask>>,
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
    /// A block of a segment, all of its rows visible.
    pub(crate) fn column(block: Arc<ColumnBlock>) -> BlockSource {
        BlockSource { rows: BlockRows::Column(block), visible: None }
    }

    /// A batch in memory, all of its rows visible.
    pub(crate) fn mem(batch: RecordBatch) -> BlockSource {
        BlockSource { rows: BlockRows::Mem(batch), visible: None }
    }

    /// Rows, visible or not.
    pub(crate) fn row_count(&self) -> usize {
        match &self.rows {
            BlockRows::Column(block) => block.rows(),
            BlockRows::Mem(batch) => batch.num_rows(),
        }
    }
}
