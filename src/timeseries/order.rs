//! Times of any type as 64-bit integers that compare as they do.

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::Result;

/// Whether values of a type have such integers.
pub(crate) fn is_comparable(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_floating()
        || matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Null)
}

/// Times as integers that compare as they do.
pub(crate) fn comparable(times: &ArrayRef) -> Result<Int64Array> {
    Ok(match times.data_type() {
        DataType::Date32 => {
            cast(&cast(times, &DataType::Int32)?, &DataType::Int64)?.as_primitive::<Int64Type>().clone()
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let floats = cast(times, &DataType::Float64)?;
            // The order of IEEE 754 totalOrder, in which NaN is greatest.
            let key = |float: f64| {
                let bits = (if float == 0.0 { 0.0 } else { float }).to_bits() as i64;
                bits ^ (((bits >> 63) as u64) >> 1) as i64
            };
            floats.as_primitive::<Float64Type>().unary(key)
        }
        _ => cast(times, &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
    })
}
