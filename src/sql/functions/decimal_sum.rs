//! Exact sums of 128-bit decimals: the state that `sum` of wide decimals and `avg` share.
//!
//! DataFusion's own sums wrap around silently. Here every addition is checked, and the first that does not fit makes the
//! aggregate fail with 22003.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, Decimal128Type, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::EmitTo;

/// The error of a sum that does not fit.
pub(super) fn overflow() -> DataFusionError {
    let error = crate::Error::new(crate::SqlState("22003"), "value overflows numeric format");
    DataFusionError::External(Box::new(error))
}

/// Sum and number of values of each group.
#[derive(Debug, Default)]
pub(super) struct GroupSums {
    sums: Vec<i128>,
    counts: Vec<i64>,
}

impl GroupSums {
    /// Adds `values` to their groups, leaving out NULLs and rows that `filter` does not take.
    pub(super) fn add(
        &mut self,
        values: &ArrayRef,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        let values = values.as_primitive::<Decimal128Type>();
        self.resize(group_count);
        let mask = taken(values.nulls(), filter);
        let mut overflowed = false;
        let mut add = |group: usize, value: i128| {
            let (sum, over) = self.sums[group].overflowing_add(value);
            self.sums[group] = sum;
            self.counts[group] += 1;
            overflowed |= over;
        };
        match mask {
            None => groups.iter().zip(values.values()).for_each(|(group, value)| add(*group, *value)),
            Some(mask) => mask.valid_indices().for_each(|row| add(groups[row], values.values()[row])),
        }
        if overflowed { Err(overflow()) } else { Ok(()) }
    }

    /// Adds partial sums with their counts.
    pub(super) fn merge(
        &mut self,
        sums: &ArrayRef,
        counts: Option<&ArrayRef>,
        groups: &[usize],
        group_count: usize,
    ) -> Result<()> {
        let sums = sums.as_primitive::<Decimal128Type>();
        let counts = counts.map(|counts| counts.as_primitive::<Int64Type>());
        self.resize(group_count);
        for (row, group) in groups.iter().enumerate() {
            if sums.is_null(row) {
                continue;
            }
            self.sums[*group] = self.sums[*group].checked_add(sums.value(row)).ok_or_else(overflow)?;
            self.counts[*group] += counts.map_or(1, |counts| counts.value(row));
        }
        Ok(())
    }

    /// Sums (NULL where nothing was added) and counts of the groups to emit.
    pub(super) fn take(&mut self, emit: EmitTo) -> (Vec<i128>, Vec<i64>) {
        (emit.take_needed(&mut self.sums), emit.take_needed(&mut self.counts))
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<i64>()
    }

    fn resize(&mut self, group_count: usize) {
        self.sums.resize(group_count, 0);
        self.counts.resize(group_count, 0);
    }
}

/// Rows that count; `None`: all.
fn taken(nulls: Option<&NullBuffer>, filter: Option<&BooleanArray>) -> Option<NullBuffer> {
    let filter = filter.map(|filter| {
        let chosen = match filter.nulls() {
            Some(nulls) => filter.values() & nulls.inner(),
            None => filter.values().clone(),
        };
        NullBuffer::new(chosen)
    });
    NullBuffer::union(nulls, filter.as_ref())
}

/// NULL for groups to which nothing was added.
pub(super) fn nulls_of(counts: &[i64]) -> Option<NullBuffer> {
    counts.contains(&0).then(|| NullBuffer::from_iter(counts.iter().map(|count| *count > 0)))
}

/// Sums as an array.
pub(super) fn sums_array(sums: Vec<i128>, counts: &[i64], precision: u8, scale: i8) -> Result<Decimal128Array> {
    let array = Decimal128Array::new(sums.into(), nulls_of(counts));
    Ok(array.with_precision_and_scale(precision, scale)?)
}

/// Counts as an array.
pub(super) fn counts_array(counts: Vec<i64>) -> Int64Array {
    Int64Array::new(counts.into(), None)
}

/// What partial aggregation would give for each input row by itself: the value (NULL where it does not count) and 1.
pub(super) fn row_states(values: &ArrayRef, filter: Option<&BooleanArray>) -> (Decimal128Array, Int64Array) {
    let values = values.as_primitive::<Decimal128Type>();
    let nulls = taken(values.nulls(), filter);
    let counts = match &nulls {
        None => vec![1; values.len()],
        Some(nulls) => nulls.iter().map(i64::from).collect(),
    };
    let sums = Decimal128Array::new(values.values().clone(), nulls).with_data_type(values.data_type().clone());
    (sums, Int64Array::new(counts.into(), None))
}

/// Largest precision of a 128-bit decimal.
pub(super) const PRECISION_MAX: u8 = DECIMAL128_MAX_PRECISION;
