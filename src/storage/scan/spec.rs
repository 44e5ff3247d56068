//! What a scan is asked for.

use crate::predicate::{DynamicFilter, Predicate, RowFilter};
use std::sync::Arc;

/// Rows per batch unless the spec says otherwise.
const BATCH_ROWS: usize = 8192;

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct ScanSpec {
    /// Table columns to return, in this order; may be empty (row counts only).
    pub projection: Vec<usize>,
    /// All must hold.
    pub predicates: Vec<Predicate>,
    /// All must hold, evaluated on decoded rows that passed the predicates.
    pub row_filters: Vec<Arc<dyn RowFilter>>,
    /// Conditions that may narrow the scan while it runs.
    pub dynamic: Vec<Arc<dyn DynamicFilter>>,
    /// Whether batches end with one more column, `place`: unsigned 64-bit integers, never NULL, that say where the rows are for
    /// the very snapshot that is scanned.
    pub places: bool,
    /// Rows per batch; 8,192 when 0.
    pub batch_rows: usize,
}

impl ScanSpec {
    /// Rows per batch to aim at.
    pub(super) fn batch_rows(&self) -> usize {
        if self.batch_rows == 0 { BATCH_ROWS } else { self.batch_rows }
    }
}
