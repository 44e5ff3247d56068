//! Single values of columns, as triggers read and write them.
//!
//! Errors say what a column does not do, such as `takes no integer`: who has its name puts it before.

use crate::range;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, PrimitiveArray, StringArray,
    new_null_array,
};
use arrow::compute::CastOptions;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use std::sync::Arc;

/// A value that a trigger set.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    /// Of integers, booleans, dates and times as they are stored; of decimals without the point.
    Integer(i128),
    Float(f64),
    Bytes(Vec<u8>),
    /// A column of one row.
    One(ArrayRef),
}

/// Calls a generic function with the primitive type that stores integers of a data type.
macro_rules! with_integers {
    ($data_type:expr, $function:ident ( $($argument:expr),* ), $otherwise:expr) => {
        match $data_type {
            DataType::Int8 => $function::<Int8Type>($($argument),*),
            DataType::Int16 => $function::<Int16Type>($($argument),*),
            DataType::Int32 => $function::<Int32Type>($($argument),*),
            DataType::Int64 => $function::<Int64Type>($($argument),*),
            DataType::UInt8 => $function::<UInt8Type>($($argument),*),
            DataType::UInt16 => $function::<UInt16Type>($($argument),*),
            DataType::UInt32 => $function::<UInt32Type>($($argument),*),
            DataType::UInt64 => $function::<UInt64Type>($($argument),*),
            DataType::Date32 => $function::<Date32Type>($($argument),*),
            DataType::Date64 => $function::<Date64Type>($($argument),*),
            DataType::Time32(TimeUnit::Second) => $function::<Time32SecondType>($($argument),*),
            DataType::Time32(_) => $function::<Time32MillisecondType>($($argument),*),
            DataType::Time64(TimeUnit::Microsecond) => $function::<Time64MicrosecondType>($($argument),*),
            DataType::Time64(_) => $function::<Time64NanosecondType>($($argument),*),
            DataType::Timestamp(TimeUnit::Second, _) => $function::<TimestampSecondType>($($argument),*),
            DataType::Timestamp(TimeUnit::Millisecond, _) => $function::<TimestampMillisecondType>($($argument),*),
            DataType::Timestamp(TimeUnit::Microsecond, _) => $function::<TimestampMicrosecondType>($($argument),*),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => $function::<TimestampNanosecondType>($($argument),*),
            DataType::Decimal128(_, _) => $function::<Decimal128Type>($($argument),*),
            _ => $otherwise,
        }
    };
}

/// The value in row `row` as an integer, if its type is like one; 0 for NULL.
pub(crate) fn read_i64(array: &ArrayRef, row: usize) -> Result<i64, String> {
    if array.is_null(row) {
        return Ok(0);
    }
    let data_type = array.data_type();
    if let DataType::Boolean = data_type {
        return Ok(i64::from(array.as_boolean().value(row)));
    }
    let wrong = || "has no integers".to_string();
    if matches!(data_type, DataType::Decimal128(_, scale) if *scale != 0) {
        return Err(wrong());
    }
    let value = with_integers!(data_type, stored(array, row), return Err(wrong()));
    i64::try_from(value).map_err(|_| format!("has {value}, which is no 64-bit integer"))
}

/// The value in row `row` as a floating-point number, if it is a number; 0 for NULL.
pub(crate) fn read_f64(array: &ArrayRef, row: usize) -> Result<f64, String> {
    if array.is_null(row) {
        return Ok(0.0);
    }
    match array.data_type() {
        DataType::Float64 => Ok(array.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => Ok(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Decimal128(_, scale) => {
            Ok(array.as_primitive::<Decimal128Type>().value(row) as f64 / 10f64.powi(i32::from(*scale)))
        }
        _ => read_i64(array, row).map(|value| value as f64).map_err(|_| "has no numbers".to_string()),
    }
}

/// The bytes of a text or binary value; none for other types.
pub(crate) fn read_bytes(array: &ArrayRef, row: usize) -> Option<&[u8]> {
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value(row).as_bytes()),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().value(row).as_bytes()),
        DataType::Utf8View => Some(array.as_string_view().value(row).as_bytes()),
        DataType::Binary => Some(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(array.as_binary_view().value(row)),
        _ => None,
    }
}

/// `value` for a column of type `data_type`.
pub(crate) fn integer(data_type: &DataType, value: i64) -> Result<Value, String> {
    let wrong = || "takes no integer".to_string();
    let outside = || format!("cannot hold {value}");
    match data_type {
        DataType::Boolean if (0..=1).contains(&value) => Ok(Value::Integer(i128::from(value))),
        DataType::Boolean => Err(outside()),
        DataType::Decimal128(precision, scale) => {
            let factor = u32::try_from(*scale).ok().and_then(|scale| 10i128.checked_pow(scale)).ok_or_else(wrong)?;
            let value = i128::from(value).checked_mul(factor).ok_or_else(outside)?;
            let limit = 10u128.checked_pow(u32::from(*precision)).ok_or_else(wrong)?;
            if value.unsigned_abs() < limit { Ok(Value::Integer(value)) } else { Err(outside()) }
        }
        _ => {
            let is_fitting = with_integers!(data_type, fits(value), return Err(wrong()));
            if !is_fitting || !range::is_temporal(data_type, value) {
                return Err(outside());
            }
            Ok(Value::Integer(i128::from(value)))
        }
    }
}

/// `value` for a column of type `data_type`.
pub(crate) fn float(data_type: &DataType, value: f64) -> Result<Value, String> {
    match data_type {
        DataType::Float64 => Ok(Value::Float(value)),
        DataType::Float32 if value.is_finite() && (value as f32).is_infinite() => Err(format!("cannot hold {value}")),
        DataType::Float32 => Ok(Value::Float(value)),
        _ => Err("takes no floating-point number".to_string()),
    }
}

/// `bytes` for a column of type `data_type`: as they are for text and binary, else read as text.
pub(crate) fn bytes(data_type: &DataType, bytes: &[u8]) -> Result<Value, String> {
    if let DataType::Binary | DataType::LargeBinary | DataType::BinaryView = data_type {
        return Ok(Value::Bytes(bytes.to_vec()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "does not take invalid UTF-8".to_string())?;
    if range::has_zero_byte(text) {
        return Err("does not take text with a zero byte".to_string());
    }
    if let DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View = data_type {
        return Ok(Value::Bytes(bytes.to_vec()));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let array = arrow::compute::cast_with_options(&StringArray::from(vec![text]), data_type, &options);
    let wrong = || "does not take this text".to_string();
    let array = array.map_err(|_| wrong())?;
    range::check(&array).map_err(|_| wrong())?;
    Ok(Value::One(array))
}

/// A column of `values`.
pub(crate) fn column(data_type: &DataType, values: &[Value]) -> Result<ArrayRef, String> {
    if values.iter().any(|value| matches!(value, Value::One(_))) {
        let arrays = values
            .iter()
            .map(|value| match value {
                Value::One(array) => Ok(array.clone()),
                other => column(data_type, std::slice::from_ref(other)),
            })
            .collect::<Result<Vec<ArrayRef>, String>>()?;
        let arrays: Vec<&dyn Array> = arrays.iter().map(|array| &**array).collect();
        return arrow::compute::concat(&arrays).map_err(|error| error.to_string());
    }
    if values.iter().all(|value| matches!(value, Value::Null)) {
        return Ok(new_null_array(data_type, values.len()));
    }
    match data_type {
        DataType::Boolean => {
            let booleans = values.iter().map(|value| match value {
                Value::Integer(value) => Some(*value != 0),
                _ => None,
            });
            Ok(Arc::new(booleans.collect::<BooleanArray>()))
        }
        DataType::Float32 => {
            Ok(Arc::new(PrimitiveArray::<Float32Type>::from_iter(floats(values).map(|v| v.map(|v| v as f32)))))
        }
        DataType::Float64 => Ok(Arc::new(PrimitiveArray::<Float64Type>::from_iter(floats(values)))),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = blobs(values).map(|value| value.and_then(|value| std::str::from_utf8(value).ok()));
            let array: ArrayRef = Arc::new(texts.collect::<StringArray>());
            arrow::compute::cast(&array, data_type).map_err(|error| error.to_string())
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let array: ArrayRef = Arc::new(blobs(values).collect::<BinaryArray>());
            arrow::compute::cast(&array, data_type).map_err(|error| error.to_string())
        }
        other => with_integers!(other, primitive(other, values), Err("cannot be set".to_string())),
    }
}

fn floats(values: &[Value]) -> impl Iterator<Item = Option<f64>> {
    values.iter().map(|value| if let Value::Float(value) = value { Some(*value) } else { None })
}

fn blobs(values: &[Value]) -> impl Iterator<Item = Option<&[u8]>> {
    values.iter().map(|value| if let Value::Bytes(value) = value { Some(value.as_slice()) } else { None })
}

/// The stored integer.
fn stored<T: ArrowPrimitiveType>(array: &ArrayRef, row: usize) -> i128
where
    T::Native: Into<i128>,
{
    array.as_primitive::<T>().value(row).into()
}

/// Whether an integer can be stored.
fn fits<T: ArrowPrimitiveType>(value: i64) -> bool
where
    T::Native: TryFrom<i128>,
{
    T::Native::try_from(i128::from(value)).is_ok()
}

/// A column of stored integers.
fn primitive<T: ArrowPrimitiveType>(data_type: &DataType, values: &[Value]) -> Result<ArrayRef, String>
where
    T::Native: TryFrom<i128>,
{
    let values = values.iter().map(|value| match value {
        Value::Integer(value) => match T::Native::try_from(*value) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(format!("cannot hold {value}")),
        },
        _ => Ok(None),
    });
    let array = values.collect::<Result<PrimitiveArray<T>, String>>()?;
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}
