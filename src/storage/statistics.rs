//! What storage knows of a table without reading it: row counts, bounds, NULLs, clustering.

use crate::error::Result;
use crate::layout::Layout;
use crate::segment::ColumnSummary;
use arrow::array::ArrayRef;

/// What storage knows of a table without reading it.
#[derive(Clone, Debug)]
pub struct TableStatistics {
    /// Rows this snapshot sees, exactly.
    pub rows: u64,
    /// Whether a scan in block order yields ascending keys (sorted blocks that do not overlap, no mem rows).
    pub clustered: bool,
    /// Rows that are deleted but still counted in what is known of the columns: with any, numbers of NULLs are upper bounds, and
    /// minima and maxima merely bounds.
    pub dead_rows: u64,
    /// Per column.
    pub columns: Vec<ColumnStatistics>,
}

/// What storage knows of a column.
#[derive(Clone, Debug)]
pub struct ColumnStatistics {
    /// Exact number of NULLs, unless rows were deleted.
    pub nulls: u64,
    /// Exact minimum (length 1), or a bound when `min_max_exact` is false.
    pub min: Option<ArrayRef>,
    /// Exact maximum, likewise.
    pub max: Option<ArrayRef>,
    /// False for truncated strings, and when rows were deleted.
    pub min_max_exact: bool,
    /// Estimated distinct values.
    pub distinct: Option<u64>,
    /// Bytes of the column as plain Arrow.
    pub raw_bytes: u64,
}

impl TableStatistics {
    /// Statistics of the rows of `layout`.
    pub(crate) fn of(layout: &Layout) -> Result<TableStatistics> {
        let table = &layout.table;
        let mut columns = layout.stored.summary(table.schema.fields().len())?.as_ref().clone();
        let mut dead_rows = layout.dead_rows();
        for block in layout.mem_blocks() {
            let counted = block.as_delta().map(|delta| delta.counted()).transpose()?.flatten();
            let of_block = match &counted {
                Some(counted) => &counted.columns[..],
                None => block.summary()?,
            };
            columns.iter_mut().zip(of_block).for_each(|(total, column)| total.merge(column));
            // Versions that others may see, or nobody any more.
            dead_rows += counted.map_or(0, |counted| counted.rows.saturating_sub(block.rows() as u64));
        }
        let has_order = !table.definition.key.is_empty() && layout.mem_rows() == 0;
        let clustered = has_order && layout.stored.blocks(&table.key)?.clustered;
        columns.truncate(table.definition.schema.fields().len());
        let columns = columns.into_iter().map(|summary| known(summary, dead_rows == 0)).collect();
        Ok(TableStatistics { rows: layout.rows(), clustered, dead_rows, columns })
    }
}

fn known(summary: ColumnSummary, all_alive: bool) -> ColumnStatistics {
    ColumnStatistics {
        nulls: summary.nulls,
        min: summary.bounds.min,
        max: summary.bounds.max,
        min_max_exact: summary.bounds.exact && all_alive,
        distinct: summary.distinct.map(|sketch| sketch.estimate()),
        raw_bytes: summary.raw_bytes,
    }
}
