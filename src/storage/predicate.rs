//! Conditions a scan can evaluate itself, most of them without decoding.

use crate::error::Result;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use std::fmt;
use std::sync::Arc;

/// Comparison with a constant. SQL's three values: NULL never passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
}

/// One condition on one column of the table. Values are arrays of the column's own data type; floats
/// compare as PostgreSQL does (NaN equals NaN and is above everything, -0 equals 0), strings by bytes.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// `column op value`; `value` has length 1 and is not NULL.
    Compare {
        /// Table column.
        column: usize,
        /// Operator.
        op: CompareOp,
        /// Constant, length 1.
        value: ArrayRef,
    },
    /// `low <= column <= high`.
    Between {
        /// Table column.
        column: usize,
        /// Lower bound, inclusive, length 1.
        low: ArrayRef,
        /// Upper bound, inclusive, length 1.
        high: ArrayRef,
    },
    /// `column IN (values)`; no NULL among them.
    In {
        /// Table column.
        column: usize,
        /// The values.
        values: ArrayRef,
    },
    /// Membership of an integer-like column (integers, dates, timestamps, decimals stored as integers)
    /// in a dense set: bit `v - base` of `bits`. What a hash join's build side becomes.
    InBitmap {
        /// Table column.
        column: usize,
        /// Value of bit 0, in the column's physical integers.
        base: i64,
        /// The set, little-endian bits.
        bits: Arc<Vec<u64>>,
    },
    /// `column IS NULL`.
    IsNull {
        /// Table column.
        column: usize,
    },
    /// `column IS NOT NULL`.
    IsNotNull {
        /// Table column.
        column: usize,
    },
    /// `column LIKE 'prefix%'`, by bytes; `negated` for NOT LIKE.
    Prefix {
        /// Table column.
        column: usize,
        /// The prefix.
        prefix: Vec<u8>,
        /// NOT LIKE.
        negated: bool,
    },
}

impl Predicate {
    /// The table column it reads.
    pub fn column(&self) -> usize {
        match self {
            Predicate::Compare { column, .. }
            | Predicate::Between { column, .. }
            | Predicate::In { column, .. }
            | Predicate::InBitmap { column, .. }
            | Predicate::IsNull { column }
            | Predicate::IsNotNull { column }
            | Predicate::Prefix { column, .. } => *column,
        }
    }

    /// The same condition on another column.
    pub fn with_column(mut self, new: usize) -> Predicate {
        match &mut self {
            Predicate::Compare { column, .. }
            | Predicate::Between { column, .. }
            | Predicate::In { column, .. }
            | Predicate::InBitmap { column, .. }
            | Predicate::IsNull { column }
            | Predicate::IsNotNull { column }
            | Predicate::Prefix { column, .. } => *column = new,
        }
        self
    }
}

/// Any other condition: evaluated on decoded columns, after the predicates, only on rows still alive.
pub trait RowFilter: Send + Sync + fmt::Debug {
    /// Table columns it reads, ascending.
    fn columns(&self) -> &[usize];
    /// One value per row of `batch`, whose columns are [`RowFilter::columns`] in order. NULL means no.
    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray>;
}

/// Conditions that become known while the scan runs (a join's build side, a TopK's threshold).
/// They are only ever optional: the scan may ignore them.
pub trait DynamicFilter: Send + Sync + fmt::Debug {
    /// Changes whenever [`DynamicFilter::current`] would answer something new. Cheap; polled per morsel.
    fn generation(&self) -> u64;
    /// What is known now.
    fn current(&self) -> DynamicConditions;
}

/// What a [`DynamicFilter`] knows at one moment.
#[derive(Clone, Debug, Default)]
pub struct DynamicConditions {
    /// Conditions on encoded data; also used to prune by zone maps.
    pub predicates: Vec<Predicate>,
    /// Conditions on decoded rows.
    pub row_filters: Vec<Arc<dyn RowFilter>>,
}
