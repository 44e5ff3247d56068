//! One column of a key: its type, whether it may be NULL, and the form its values take.

use super::number::KeyNumber;
use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::array::{BinaryArray, BinaryViewArray, LargeBinaryArray, LargeStringArray, StringArray, StringViewArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType};

/// Calls a macro-like `$body` with `$T` standing for the Arrow type of the numbers that `$data_type` holds.
macro_rules! with_numbers {
    ($data_type:expr, $T:ident => $body:expr, else $other:expr) => {{
        use arrow::datatypes::*;
        macro_rules! as_type {
            ($type:ty) => {{
                type $T = $type;
                $body
            }};
        }
        match $data_type {
            DataType::Int8 => as_type!(Int8Type),
            DataType::Int16 => as_type!(Int16Type),
            DataType::Int32 => as_type!(Int32Type),
            DataType::Int64 => as_type!(Int64Type),
            DataType::UInt8 => as_type!(UInt8Type),
            DataType::UInt16 => as_type!(UInt16Type),
            DataType::UInt32 => as_type!(UInt32Type),
            DataType::UInt64 => as_type!(UInt64Type),
            DataType::Float32 => as_type!(Float32Type),
            DataType::Float64 => as_type!(Float64Type),
            DataType::Decimal128(_, _) => as_type!(Decimal128Type),
            DataType::Date32 => as_type!(Date32Type),
            DataType::Date64 => as_type!(Date64Type),
            DataType::Time32(TimeUnit::Second) => as_type!(Time32SecondType),
            DataType::Time32(TimeUnit::Millisecond) => as_type!(Time32MillisecondType),
            DataType::Time64(TimeUnit::Microsecond) => as_type!(Time64MicrosecondType),
            DataType::Time64(TimeUnit::Nanosecond) => as_type!(Time64NanosecondType),
            DataType::Timestamp(TimeUnit::Second, _) => as_type!(TimestampSecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => as_type!(TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => as_type!(TimestampMicrosecondType),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => as_type!(TimestampNanosecondType),
            DataType::Interval(IntervalUnit::YearMonth) => as_type!(IntervalYearMonthType),
            DataType::Interval(IntervalUnit::DayTime) => as_type!(IntervalDayTimeType),
            DataType::Interval(IntervalUnit::MonthDayNano) => as_type!(IntervalMonthDayNanoType),
            _ => $other,
        }
    }};
}
pub(super) use with_numbers;

/// A column of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    /// Type of the arrays that are encoded, and of those that decoding makes.
    pub data_type: DataType,
    /// Whether NULLs may occur. Costs a byte in every key.
    pub nullable: bool,
}

/// How the values of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Always this many bytes.
    Fixed(usize),
    /// Any number of bytes, ended by the end of the key in its last column, else by a terminator.
    Bytes,
}

impl Form {
    /// The form of a type, or an error if it cannot be in a key.
    pub(super) fn of(data_type: &DataType) -> Result<Form> {
        fn width<T: ArrowPrimitiveType<Native: KeyNumber>>() -> usize {
            T::Native::WIDTH
        }
        let width = with_numbers!(data_type, T => width::<T>(), else match data_type {
            DataType::Boolean => 1,
            DataType::FixedSizeBinary(width @ 1..) => *width as usize,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => return Ok(Form::Bytes),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => return Ok(Form::Bytes),
            other => return Err(Error::Unsupported(format!("columns of type {other} cannot be in a key"))),
        });
        Ok(Form::Fixed(width))
    }
}

/// An array of strings or bytes, whichever of Arrow's six layouts it has.
pub(crate) enum ByteValues<'a> {
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    BinaryView(&'a BinaryViewArray),
}

impl<'a> ByteValues<'a> {
    /// The values of `array`, which is of a type of [`Form::Bytes`].
    pub(crate) fn of(array: &'a ArrayRef) -> ByteValues<'a> {
        match array.data_type() {
            DataType::Utf8 => ByteValues::Utf8(array.as_string()),
            DataType::LargeUtf8 => ByteValues::LargeUtf8(array.as_string()),
            DataType::Utf8View => ByteValues::Utf8View(array.as_string_view()),
            DataType::Binary => ByteValues::Binary(array.as_binary()),
            DataType::LargeBinary => ByteValues::LargeBinary(array.as_binary()),
            _ => ByteValues::BinaryView(array.as_binary_view()),
        }
    }

    /// One value; any bytes for a NULL.
    #[inline]
    pub(crate) fn value(&self, row: usize) -> &'a [u8] {
        match self {
            ByteValues::Utf8(array) => array.value(row).as_bytes(),
            ByteValues::LargeUtf8(array) => array.value(row).as_bytes(),
            ByteValues::Utf8View(array) => array.value(row).as_bytes(),
            ByteValues::Binary(array) => array.value(row),
            ByteValues::LargeBinary(array) => array.value(row),
            ByteValues::BinaryView(array) => array.value(row),
        }
    }
}
