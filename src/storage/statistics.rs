//! What storage knows of a table without reading it: row counts, bounds, NULLs, clustering.

use crate::error::Result;
use crate::mem::MemBlock;
use crate::segment::ColumnSummary;
use crate::stored::SegmentList;
use crate::table::TableDefinition;
use arrow::array::ArrayRef;
use std::sync::Arc;

/// What storage knows of a table without reading it.
#[derive(Clone, Debug)]
pub struct TableStatistics {
    /// Rows this snapshot sees, exactly.
    pub rows: u64,
    /// Whether a scan in block order yields ascending keys (sorted blocks that do not overlap, no mem rows).
    pub clustered: bool,
    /// Per column.
    pub columns: Vec<ColumnStatistics>,
}

/// What storage knows of a column.
#[derive(Clone, Debug)]
pub struct ColumnStatistics {
    /// Exact number of NULLs.
    pub nulls: u64,
    /// Exact minimum (length 1), or a bound when `min_max_exact` is false.
    pub min: Option<ArrayRef>,
    /// Exact maximum, likewise.
    pub max: Option<ArrayRef>,
    /// False for truncated strings.
    pub min_max_exact: bool,
    /// Estimated distinct values.
    pub distinct: Option<u64>,
    /// Bytes of the column as plain Arrow.
    pub raw_bytes: u64,
}

impl TableStatistics {
    /// Statistics of the rows in `stored` and `mem`.
    pub(crate) fn of<'a>(
        definition: &TableDefinition,
        stored: &SegmentList,
        mem: impl Iterator<Item = &'a Arc<MemBlock>>,
    ) -> Result<TableStatistics> {
        let mut columns = stored.summary(definition.schema.fields().len())?.as_ref().clone();
        let mut mem_rows = 0;
        for block in mem {
            mem_rows += block.rows() as u64;
            columns.iter_mut().zip(block.summary()?).for_each(|(total, column)| total.merge(column));
        }
        let clustered = mem_rows == 0 && stored.blocks(&definition.key)?.clustered;
        let columns = columns.into_iter().map(known).collect();
        Ok(TableStatistics { rows: stored.rows + mem_rows, clustered, columns })
    }
}

fn known(summary: ColumnSummary) -> ColumnStatistics {
    ColumnStatistics {
        nulls: summary.nulls,
        min: summary.bounds.min,
        max: summary.bounds.max,
        min_max_exact: summary.bounds.exact,
        distinct: summary.distinct.map(|sketch| sketch.estimate()),
        raw_bytes: summary.raw_bytes,
    }
}
