//! Conditions on plain Arrow arrays: what a mem block is filtered by, and pages that are arrays once opened.

use super::condition::{BytesTest, IntegerTest, NarrowRange};
use super::mask::{Mask, collect_words, low_bits};
use super::physical::{Native, Physical, UNSIGNED_SHIFT};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{ArrowNativeType, DataType, Float32Type, Float64Type};

/// Order of PostgreSQL for floats as an integer: NaNs are equal and above everything, -0 equals 0.
pub(crate) fn float_key(value: f64) -> i64 {
    if value.is_nan() {
        return i64::MAX;
    }
    let bits = (value + 0.0).to_bits() as i64;
    if value == 0.0 {
        0
    } else if bits < 0 {
        bits ^ i64::MAX
    } else {
        bits
    }
}

pub(crate) fn float_at(values: &ArrayRef, physical: Physical, row: usize) -> f64 {
    match physical {
        Physical::Float32 => values.as_primitive::<Float32Type>().value(row).into(),
        _ => values.as_primitive::<Float64Type>().value(row),
    }
}

/// Row `row` of any array of byte strings.
pub(crate) fn bytes_at(values: &ArrayRef, row: usize) -> &[u8] {
    match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().value(row).as_bytes(),
        DataType::LargeUtf8 => values.as_string::<i64>().value(row).as_bytes(),
        DataType::Utf8View => values.as_string_view().value(row).as_bytes(),
        DataType::Binary => values.as_binary::<i32>().value(row),
        DataType::LargeBinary => values.as_binary::<i64>().value(row),
        DataType::BinaryView => values.as_binary_view().value(row),
        _ => values.as_fixed_size_binary().value(row),
    }
}

/// Keeps the rows that pass, looking only at those alive.
pub(crate) fn filter_rows(rows: usize, mask: &mut Mask, at: usize, test: impl Fn(usize) -> bool) {
    for from in (0..rows).step_by(64) {
        let len = (rows - from).min(64);
        let mut alive = mask.window(at + from) & low_bits(len);
        let mut word = 0;
        while alive != 0 {
            let bit = alive.trailing_zeros() as usize;
            word |= u64::from(test(from + bit)) << bit;
            alive &= alive - 1;
        }
        mask.and_word(at + from, word, len);
    }
}

pub(crate) fn filter_bytes(test: &BytesTest, values: &ArrayRef, mask: &mut Mask, at: usize) {
    match values.data_type() {
        DataType::Utf8View => {
            let array = values.as_string_view();
            filter_rows(array.len(), mask, at, |row| test.passes(array.value(row).as_bytes()));
        }
        DataType::BinaryView => {
            let array = values.as_binary_view();
            filter_rows(array.len(), mask, at, |row| test.passes(array.value(row)));
        }
        _ => filter_rows(values.len(), mask, at, |row| test.passes(bytes_at(values, row))),
    }
}

pub(crate) fn filter_integers(test: &IntegerTest, values: &ArrayRef, native: Native, mask: &mut Mask, at: usize) {
    let data = values.to_data();
    let rows = data.len();
    match native {
        Native::I8 => filter_slice(test, &data.buffer::<i8>(0)[..rows], |v| v.into(), mask, at),
        Native::I16 => filter_slice(test, &data.buffer::<i16>(0)[..rows], |v| v.into(), mask, at),
        Native::I32 => filter_slice(test, &data.buffer::<i32>(0)[..rows], |v| v.into(), mask, at),
        Native::I64 => filter_slice(test, &data.buffer::<i64>(0)[..rows], |v| v, mask, at),
        Native::U8 => filter_slice(test, &data.buffer::<u8>(0)[..rows], |v| v.into(), mask, at),
        Native::U16 => filter_slice(test, &data.buffer::<u16>(0)[..rows], |v| v.into(), mask, at),
        Native::U32 => filter_slice(test, &data.buffer::<u32>(0)[..rows], |v| v.into(), mask, at),
        Native::U64 => {
            filter_slice(test, &data.buffer::<u64>(0)[..rows], |v| (v as i64).wrapping_add(UNSIGNED_SHIFT), mask, at);
        }
        Native::I128 => {
            let values = &data.buffer::<i128>(0)[..rows];
            filter_rows(rows, mask, at, |row| test.passes(values[row]));
        }
    }
}

fn filter_slice<T: ArrowNativeType>(
    test: &IntegerTest,
    values: &[T],
    widen: impl Fn(T) -> i64,
    mask: &mut Mask,
    at: usize,
) {
    match test.narrow_range() {
        Some(NarrowRange::Nothing) => mask.clear(at, values.len()),
        Some(NarrowRange::Between { low, span, negated }) => collect_words(
            values.len(),
            |row| (widen(values[row]).wrapping_sub(low) as u64 <= span) != negated,
            |from, word, len| mask.and_word(at + from, word, len),
        ),
        None => filter_rows(values.len(), mask, at, |row| test.passes_narrow(widen(values[row]))),
    }
}
