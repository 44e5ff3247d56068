//! Where runs of rows that are alike begin.

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, BooleanArray, downcast_primitive_array};
use arrow::compute::kernels::cmp::distinct;
use arrow::datatypes::DataType;

/// Marks the rows that differ from the one before in one of the columns; the first row always does.
///
/// Rows that are alike may be marked, as strings that stand in two places or zeros of either sign: then a run falls in two.
pub(super) fn mark(columns: &[ArrayRef], rows: usize) -> Vec<bool> {
    let mut begins = vec![false; rows];
    if let Some(first) = begins.first_mut() {
        *first = true;
    }
    columns.iter().for_each(|column| mark_column(column, &mut begins));
    begins
}

fn mark_column(column: &ArrayRef, begins: &mut [bool]) {
    if column.null_count() > 0 || column.len() < 2 {
        return mark_any(column, begins);
    }
    let array = column.as_ref();
    downcast_primitive_array!(
        array => mark_changes(array.values(), |a, b| a.is_ne(b), begins),
        DataType::Utf8View => mark_changes(array.as_string_view().views(), |a, b| a != b, begins),
        DataType::BinaryView => mark_changes(array.as_binary_view().views(), |a, b| a != b, begins),
        _ => mark_any(column, begins),
    )
}

fn mark_changes<T: Copy>(values: &[T], differ: impl Fn(T, T) -> bool, begins: &mut [bool]) {
    for ((begin, &value), &before) in begins[1..].iter_mut().zip(&values[1..]).zip(values) {
        *begin |= differ(value, before);
    }
}

/// Of any type, with NULLs; every row begins a run where rows cannot be compared.
fn mark_any(column: &ArrayRef, begins: &mut [bool]) {
    let Some(pairs) = column.len().checked_sub(1).filter(|pairs| *pairs > 0) else { return };
    let differ = distinct(&column.slice(1, pairs), &column.slice(0, pairs));
    let differ = differ.unwrap_or_else(|_| BooleanArray::from(vec![true; pairs]));
    begins[1..].iter_mut().zip(differ.values()).for_each(|(begin, differs)| *begin |= differs);
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray, StringViewArray};
    use std::sync::Arc;

    fn marks(column: ArrayRef) -> String {
        let rows = column.len();
        mark(&[column], rows).into_iter().map(|begins| if begins { '|' } else { '.' }).collect()
    }

    #[test]
    fn runs_begin_where_values_change() {
        assert_eq!(marks(Arc::new(Int64Array::from(vec![1, 1, 2, 2, 1]))), "|.|.|");
        assert_eq!(marks(Arc::new(Int64Array::from(vec![None, None, Some(1), Some(1), None]))), "|.|.|");
        assert_eq!(marks(Arc::new(Float64Array::from(vec![f64::NAN, f64::NAN, 0.0, 0.0]))), "|.|.");
        assert_eq!(marks(Arc::new(StringViewArray::from(vec!["a", "a", "b", "b"]))), "|.|.");
        assert_eq!(marks(Arc::new(StringArray::from(vec!["a", "a", "b"]))), "|.|");
        assert_eq!(marks(Arc::new(BooleanArray::from(vec![Some(true), None, None]))), "||.");
        assert_eq!(marks(Arc::new(Int64Array::from(vec![7]))), "|");
        assert_eq!(marks(Arc::new(Int64Array::from(Vec::<i64>::new()))), "");
    }

    #[test]
    fn a_run_is_alike_in_every_column() {
        let columns: [ArrayRef; 2] =
            [Arc::new(Int64Array::from(vec![1, 1, 1, 2])), Arc::new(Int64Array::from(vec![5, 5, 6, 6]))];
        assert_eq!(mark(&columns, 4), [true, false, true, true]);
    }
}
