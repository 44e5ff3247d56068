//! Rows of a block in key order: ascending, NULLs last.
//!
//! Keys of integers, times and strings of few kinds become [`ranks`], which [`counting`] sorts; all others are compared.

mod ranks;
mod counting;

use self::ranks::Ranks;
use crate::error::Result;
use crate::key::{EncodedKeys, KeyColumn, KeyEncoder};
use arrow::array::{ArrayRef, DynComparator, RecordBatch, RecordBatchOptions, UInt32Array, make_comparator};
use arrow::compute::{SortColumn, SortOptions, lexsort_to_indices, take, take_record_batch};
use arrow::datatypes::DataType;
use std::cmp::Ordering;

const KEY_ORDER: SortOptions = SortOptions { descending: false, nulls_first: false };

/// Rows in key order.
#[derive(Debug)]
pub(crate) struct Sorted {
    pub(crate) batch: RecordBatch,
    /// Whether no two of them have the same key.
    pub(crate) is_distinct: bool,
}

impl Sorted {
    /// `batch` sorted by the `key` columns; the same batch when it is sorted already or its key has no order.
    pub(crate) fn new(batch: RecordBatch, key: &[usize]) -> Result<Sorted> {
        if let Some(keys) = encoded(&batch, key)? {
            let of = |row: u32| keys.get(row as usize);
            let mut order: Vec<u32> = (0..keys.len() as u32).collect();
            order.sort_by(|&a, &b| of(a).cmp(of(b)));
            let is_distinct = order.windows(2).all(|pair| of(pair[0]) != of(pair[1]));
            return Ok(Sorted { batch: take_record_batch(&batch, &UInt32Array::from(order))?, is_distinct });
        }
        let comparators: std::result::Result<Vec<DynComparator>, _> =
            key.iter().map(|&k| make_comparator(batch.column(k), batch.column(k), KEY_ORDER)).collect();
        let Ok(comparators) = comparators else { return Ok(Sorted { batch, is_distinct: false }) };
        if let Some(is_distinct) = is_sorted(&comparators, batch.num_rows()) {
            return Ok(Sorted { batch, is_distinct });
        }
        let ranks: Option<Vec<Ranks>> = key.iter().map(|&column| Ranks::of(batch.column(column))).collect();
        let (order, is_distinct) = match ranks {
            Some(ranks) => {
                let order = counting::order(&ranks, batch.num_rows());
                let is_distinct = counting::is_distinct(&ranks, &order);
                (UInt32Array::from(order), is_distinct)
            }
            None => {
                let order = compared(&batch, key, &comparators);
                let differ = |pair: &[u32]| compare_rows(&comparators, pair[0] as usize, pair[1] as usize).is_ne();
                let is_distinct = order.values().windows(2).all(differ);
                (order, is_distinct)
            }
        };
        let columns =
            batch.columns().iter().map(|column| take(column, &order, None)).collect::<std::result::Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(Sorted { batch: RecordBatch::try_new_with_options(batch.schema(), columns, &options)?, is_distinct })
    }
}

/// The order of rows by comparing them.
fn compared(batch: &RecordBatch, key: &[usize], comparators: &[DynComparator]) -> UInt32Array {
    let column = |&k: &usize| SortColumn { values: batch.column(k).clone(), options: Some(KEY_ORDER) };
    let columns: Vec<SortColumn> = key.iter().map(column).collect();
    lexsort_to_indices(&columns, None).unwrap_or_else(|_| sort_rows(comparators, batch.num_rows()))
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

/// Whether the rows ascend strictly; `None` when they are not in order.
fn is_sorted(comparators: &[DynComparator], rows: usize) -> Option<bool> {
    (1..rows).try_fold(true, |is_distinct, row| match compare_rows(comparators, row - 1, row) {
        Ordering::Less => Some(is_distinct),
        Ordering::Equal => Some(false),
        Ordering::Greater => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, BooleanArray, Decimal128Array, Int32Array, Int64Array, StringViewArray, UInt64Array};
    use arrow::datatypes::{Int32Type, UInt64Type};
    use std::sync::Arc;

    /// Columns of one type each, with NULLs, some values often.
    fn column(random: &mut fastrand::Rng, kind: usize, rows: usize) -> ArrayRef {
        let mut number = |spread: i64| (random.u8(..12) > 0).then(|| random.i64(-spread..=spread));
        match kind {
            0 => Arc::new((0..rows).map(|_| number(5)).collect::<Int64Array>()),
            1 => Arc::new((0..rows).map(|_| number(i64::MAX)).collect::<Int64Array>()),
            2 => Arc::new((0..rows).map(|_| number(i64::MAX).map(|v| v as u64)).collect::<UInt64Array>()),
            3 => Arc::new((0..rows).map(|_| number(1_000).map(i128::from)).collect::<Decimal128Array>()),
            4 => Arc::new((0..rows).map(|_| number(20).map(|v| format!("series {v}"))).collect::<StringViewArray>()),
            5 => Arc::new((0..rows).map(|_| number(9).map(|v| v > 0)).collect::<BooleanArray>()),
            6 => Arc::new((0..rows).map(|_| number(i64::MAX).map(|v| v.to_string())).collect::<StringViewArray>()),
            _ => Arc::new((0..rows).map(|row| Some(row as i64 / 7)).collect::<Int64Array>()),
        }
    }

    #[test]
    fn counting_sorts_as_comparing_does() {
        let mut random = fastrand::Rng::with_seed(11);
        for rows in [0, 1, 2, 200, 5_000] {
            for _ in 0..60 {
                let kinds = [random.usize(..8), random.usize(..8), random.usize(..8)];
                let mut columns = kinds.map(|kind| column(&mut random, kind, rows)).to_vec();
                columns.push(Arc::new(UInt64Array::from_iter_values(0..rows as u64)));
                let names = ["a", "b", "c", "number"];
                let batch = RecordBatch::try_from_iter(names.into_iter().zip(columns)).unwrap();
                let key = [0, 1, 2];
                let comparators: Vec<DynComparator> = key
                    .iter()
                    .map(|&k| make_comparator(batch.column(k), batch.column(k), KEY_ORDER).unwrap())
                    .collect();
                let expected = sort_rows(&comparators, rows);
                let sorted = Sorted::new(batch, &key).unwrap();
                let is_distinct = expected
                    .values()
                    .windows(2)
                    .all(|pair| compare_rows(&comparators, pair[0] as usize, pair[1] as usize).is_lt());
                assert_eq!(sorted.is_distinct, is_distinct, "{kinds:?}");
                let numbers = sorted.batch.column(3).as_primitive::<UInt64Type>().values();
                let by_ranks = !kinds.contains(&6);
                for (place, number) in numbers.iter().enumerate() {
                    let (number, wanted) = (*number as usize, expected.value(place) as usize);
                    assert_eq!(compare_rows(&comparators, number, wanted), Ordering::Equal, "{kinds:?}");
                    assert!(!by_ranks || number == wanted, "rows of one key stay in their order: {kinds:?}");
                }
            }
        }
    }

    #[test]
    fn rows_are_ordered_by_every_key_column_with_nulls_last() {
        let a = Int32Array::from(vec![Some(2), None, Some(1), Some(2)]);
        let b = Int32Array::from(vec![9, 0, 5, 3]);
        let batch = RecordBatch::try_from_iter([("a", Arc::new(a) as _), ("b", Arc::new(b) as _)]).unwrap();
        let sorted = Sorted::new(batch, &[0, 1]).unwrap();
        assert!(sorted.is_distinct);
        assert_eq!(sorted.batch.column(1).as_primitive::<Int32Type>().values(), &[5, 3, 9, 0]);
    }
}
