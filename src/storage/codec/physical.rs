//! How a column type looks to the codecs: every Arrow type falls into one of a few physical classes.
//!
//! Integers, dates, times, timestamps and decimals of any precision are *ordered integers*: their order is the order
//! of an `i64` (or `i128` where a decimal needs it). `UInt64` is mapped to `i64` by flipping its top bit, which is the
//! same as adding 2^63 with wrap-around.

use crate::error::Result;
use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowNativeType, DataType};
use std::borrow::Cow;

/// Class of a data type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Physical {
    /// Ordered integers of this native form.
    Integer(Native),
    /// `f32`.
    Float32,
    /// `f64`.
    Float64,
    /// Bits.
    Boolean,
    /// Strings or byte strings, ordered by bytes; `true` when they must be UTF-8.
    Bytes(Text),
    /// Fixed-size byte strings, ordered by bytes.
    FixedBytes,
    /// Everything else: kept as Arrow buffers, not compared.
    Other,
}

/// Whether byte strings must be UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// UTF-8.
    Utf8,
    /// Any bytes.
    Binary,
}

/// Native integer behind an ordered-integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Native {
    /// `i8`
    I8,
    /// `i16`
    I16,
    /// `i32`
    I32,
    /// `i64`
    I64,
    /// `u8`
    U8,
    /// `u16`
    U16,
    /// `u32`
    U32,
    /// `u64`
    U64,
    /// `i128`
    I128,
}

impl Physical {
    /// Class of `data_type`.
    pub(crate) fn of(data_type: &DataType) -> Physical {
        use DataType::*;
        match data_type {
            Int8 => Physical::Integer(Native::I8),
            Int16 => Physical::Integer(Native::I16),
            Int32 | Date32 | Time32(_) | Decimal32(_, _) => Physical::Integer(Native::I32),
            Int64 | Date64 | Time64(_) | Timestamp(_, _) | Duration(_) | Decimal64(_, _) => {
                Physical::Integer(Native::I64)
            }
            UInt8 => Physical::Integer(Native::U8),
            UInt16 => Physical::Integer(Native::U16),
            UInt32 => Physical::Integer(Native::U32),
            UInt64 => Physical::Integer(Native::U64),
            Decimal128(_, _) => Physical::Integer(Native::I128),
            Float32 => Physical::Float32,
            Float64 => Physical::Float64,
            Boolean => Physical::Boolean,
            Utf8 | LargeUtf8 | Utf8View => Physical::Bytes(Text::Utf8),
            Binary | LargeBinary | BinaryView => Physical::Bytes(Text::Binary),
            FixedSizeBinary(_) => Physical::FixedBytes,
            _ => Physical::Other,
        }
    }
}

/// Added (with wrap-around) to a `u64`'s bits to make its order that of an `i64`, and once more to go back.
pub(crate) const UNSIGNED_SHIFT: i64 = i64::MIN;

/// Row `row` of an ordered-integer array as `i128`, in the order-preserving mapping. The row must not be NULL.
pub(crate) fn integer_at(values: &ArrayRef, native: Native, row: usize) -> i128 {
    let data = values.to_data();
    match native {
        Native::I8 => data.buffer::<i8>(0)[row].into(),
        Native::I16 => data.buffer::<i16>(0)[row].into(),
        Native::I32 => data.buffer::<i32>(0)[row].into(),
        Native::I64 => data.buffer::<i64>(0)[row].into(),
        Native::U8 => data.buffer::<u8>(0)[row].into(),
        Native::U16 => data.buffer::<u16>(0)[row].into(),
        Native::U32 => data.buffer::<u32>(0)[row].into(),
        Native::U64 => (data.buffer::<u64>(0)[row] as i64).wrapping_add(UNSIGNED_SHIFT).into(),
        Native::I128 => data.buffer::<i128>(0)[row],
    }
}

/// The values of an ordered-integer array in the order-preserving mapping.
pub(crate) enum Integers<'a> {
    /// All fit 64 bits.
    Narrow(Cow<'a, [i64]>),
    /// Decimals, some beyond 64 bits.
    Wide(Cow<'a, [i128]>),
}

/// Reads an ordered-integer array. Slots of NULLs get the value before them, so that they cost nothing to encode.
pub(crate) fn integers<'a>(data: &'a ArrayData, native: Native) -> Integers<'a> {
    let nulls = data.nulls().filter(|nulls| nulls.null_count() > 0);
    match native {
        Native::I8 => Integers::Narrow(widened(data.buffer::<i8>(0), nulls, |v| v.into())),
        Native::I16 => Integers::Narrow(widened(data.buffer::<i16>(0), nulls, |v| v.into())),
        Native::I32 => Integers::Narrow(widened(data.buffer::<i32>(0), nulls, |v| v.into())),
        Native::I64 => Integers::Narrow(filled(data.buffer::<i64>(0), nulls, data.len())),
        Native::U8 => Integers::Narrow(widened(data.buffer::<u8>(0), nulls, |v| v.into())),
        Native::U16 => Integers::Narrow(widened(data.buffer::<u16>(0), nulls, |v| v.into())),
        Native::U32 => Integers::Narrow(widened(data.buffer::<u32>(0), nulls, |v| v.into())),
        Native::U64 => {
            Integers::Narrow(widened(data.buffer::<u64>(0), nulls, |v| (v as i64).wrapping_add(UNSIGNED_SHIFT)))
        }
        Native::I128 => decimals(data, nulls),
    }
    .trimmed(data.len())
}

impl<'a> Integers<'a> {
    /// Buffers may be longer than the array.
    fn trimmed(self, rows: usize) -> Integers<'a> {
        fn cut<'a, T: Copy>(values: Cow<'a, [T]>, rows: usize) -> Cow<'a, [T]> {
            match values {
                Cow::Borrowed(slice) => Cow::Borrowed(&slice[..rows]),
                Cow::Owned(mut vec) => {
                    vec.truncate(rows);
                    Cow::Owned(vec)
                }
            }
        }
        match self {
            Integers::Narrow(values) => Integers::Narrow(cut(values, rows)),
            Integers::Wide(values) => Integers::Wide(cut(values, rows)),
        }
    }
}

fn widened<'a, T: ArrowNativeType>(
    values: &[T],
    nulls: Option<&NullBuffer>,
    widen: impl Fn(T) -> i64,
) -> Cow<'a, [i64]> {
    let mut out: Vec<i64> = values.iter().map(|&v| widen(v)).collect();
    if let Some(nulls) = nulls {
        out.truncate(nulls.len());
        fill_nulls(&mut out, nulls);
    }
    Cow::Owned(out)
}

fn filled<'a, T: Copy>(values: &'a [T], nulls: Option<&NullBuffer>, rows: usize) -> Cow<'a, [T]> {
    let values = &values[..rows];
    match nulls {
        None => Cow::Borrowed(values),
        Some(nulls) => {
            let mut out = values.to_vec();
            fill_nulls(&mut out, nulls);
            Cow::Owned(out)
        }
    }
}

/// Decimals narrow to 64 bits when all of them fit.
fn decimals<'a>(data: &'a ArrayData, nulls: Option<&NullBuffer>) -> Integers<'a> {
    let values = filled(data.buffer::<i128>(0), nulls, data.len());
    let misfit = values.iter().fold(0, |misfit, &v| misfit | (i128::from(v as i64) ^ v));
    if misfit == 0 {
        Integers::Narrow(Cow::Owned(values.iter().map(|&v| v as i64).collect()))
    } else {
        Integers::Wide(values)
    }
}

/// Gives every NULL slot the nearest valid value before it, leading ones the first valid value.
fn fill_nulls<T: Copy>(values: &mut [T], nulls: &NullBuffer) {
    let Some(mut last) = nulls.valid_indices().next().map(|first| values[first]) else { return };
    for (row, value) in values.iter_mut().enumerate() {
        if nulls.is_valid(row) {
            last = *value;
        } else {
            *value = last;
        }
    }
}

/// A copy of `values` without offsets or unused buffers, ready to be laid out in a page.
pub(crate) fn compacted(values: &ArrayRef, start: usize, len: usize) -> Result<ArrayData> {
    let data = values.to_data();
    let mut copy = arrow::array::MutableArrayData::new(vec![&data], false, len);
    copy.try_extend(0, start, start + len)?;
    Ok(copy.freeze())
}

/// An array of `rows` NULLs.
pub(crate) fn all_null(data_type: &DataType, rows: usize) -> ArrayRef {
    make_array(ArrayData::new_null(data_type, rows))
}
