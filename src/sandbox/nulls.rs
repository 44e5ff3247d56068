//! Rows with a NULL argument: kept away from guests that do not want them.

use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::buffer::NullBuffer;

/// Where all arguments have values; none when they have everywhere.
pub(crate) fn of_all(args: &[ArrayRef]) -> Option<NullBuffer> {
    args.iter()
        .fold(None, |nulls, arg| NullBuffer::union(nulls.as_ref(), arg.logical_nulls().as_ref()))
        .filter(|nulls| nulls.null_count() > 0)
}

/// The rows of `args` where `nulls` has values.
pub(crate) fn without(args: &[ArrayRef], nulls: &NullBuffer) -> Result<Vec<ArrayRef>> {
    let keep = BooleanArray::new(nulls.inner().clone(), None);
    args.iter().map(|arg| arrow::compute::filter(arg, &keep).map_err(Error::internal)).collect()
}

/// `array`, spread over the rows where `nulls` has values, NULL in the others.
pub(crate) fn spread(array: &ArrayRef, nulls: &NullBuffer) -> Result<ArrayRef> {
    let mut next = 0;
    let places: UInt32Array = nulls
        .iter()
        .map(|has_value| {
            has_value.then(|| {
                next += 1;
                next - 1
            })
        })
        .collect();
    arrow::compute::take(array, &places, None).map_err(Error::internal)
}
