//! Rows of a block in key order: ascending, NULLs last.

use crate::error::Result;
use crate::key::{EncodedKeys, KeyColumn, KeyEncoder};
use arrow::array::{ArrayRef, DynComparator, RecordBatch, RecordBatchOptions, UInt32Array, make_comparator};
use arrow::compute::{SortColumn, SortOptions, lexsort_to_indices, take, take_record_batch};
use arrow::datatypes::DataType;
use std::cmp::Ordering;

const KEY_ORDER: SortOptions = SortOptions { descending: false, nulls_first: false };

/// `batch` sorted by the `key` columns; the same batch when it is sorted already or its key has no order.
pub(crate) fn sort_by_key(batch: RecordBatch, key: &[usize]) -> Result<RecordBatch> {
    if let Some(keys) = encoded(&batch, key)? {
        let mut order: Vec<u32> = (0..keys.len() as u32).collect();
        order.sort_by(|&a, &b| keys.get(a as usize).cmp(keys.get(b as usize)));
        return Ok(take_record_batch(&batch, &UInt32Array::from(order))?);
    }
    let comparators: std::result::Result<Vec<DynComparator>, _> =
        key.iter().map(|&k| make_comparator(batch.column(k), batch.column(k), KEY_ORDER)).collect();
    let Ok(comparators) = comparators else { return Ok(batch) };
    if is_sorted(&comparators, batch.num_rows()) {
        return Ok(batch);
    }
    let columns: Vec<SortColumn> =
        key.iter().map(|&k| SortColumn { values: batch.column(k).clone(), options: Some(KEY_ORDER) }).collect();
    let order = lexsort_to_indices(&columns, None).unwrap_or_else(|_| sort_rows(&comparators, batch.num_rows()));
    let columns =
        batch.columns().iter().map(|column| take(column, &order, None)).collect::<std::result::Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

/// The keys as bytes, if their order is not Arrow's: months of intervals are compared as days, and there is one zero.
fn encoded(batch: &RecordBatch, key: &[usize]) -> Result<Option<EncodedKeys>> {
    let columns: Vec<ArrayRef> = key.iter().map(|&column| batch.column(column).clone()).collect();
    if !columns.iter().any(|column| has_own_order(column.data_type())) {
        return Ok(None);
    }
    let column = |column: &ArrayRef| KeyColumn { data_type: column.data_type().clone(), nullable: true };
    let encoder = KeyEncoder::new(&columns.iter().map(column).collect::<Vec<_>>());
    encoder.ok().map(|encoder| encoder.encode_prefix(&columns)).transpose()
}

/// Whether keys of this type are not in Arrow's order.
pub(crate) fn has_own_order(data_type: &DataType) -> bool {
    data_type.is_floating() || matches!(data_type, DataType::Interval(_))
}

/// The order of rows by comparators alone, for types that Arrow compares but does not sort.
fn sort_rows(comparators: &[DynComparator], rows: usize) -> UInt32Array {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    order.sort_by(|&a, &b| compare_rows(comparators, a as usize, b as usize));
    UInt32Array::from(order)
}

fn compare_rows(comparators: &[DynComparator], a: usize, b: usize) -> Ordering {
    comparators.iter().map(|compare| compare(a, b)).find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
}

fn is_sorted(comparators: &[DynComparator], rows: usize) -> bool {
    (1..rows).all(|row| compare_rows(comparators, row - 1, row) != Ordering::Greater)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int32Array};
    use arrow::datatypes::Int32Type;
    use std::sync::Arc;

    #[test]
    fn rows_are_ordered_by_every_key_column_with_nulls_last() {
        let a = Int32Array::from(vec![Some(2), None, Some(1), Some(2)]);
        let b = Int32Array::from(vec![9, 0, 5, 3]);
        let batch = RecordBatch::try_from_iter([("a", Arc::new(a) as _), ("b", Arc::new(b) as _)]).unwrap();
        let sorted = sort_by_key(batch, &[0, 1]).unwrap();
        assert_eq!(sorted.column(1).as_primitive::<Int32Type>().values(), &[5, 3, 9, 0]);
    }
}
