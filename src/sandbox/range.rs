//! Whether values are values of SQL: Arrow takes all bits as they are, SQL has no 25 o'clock.
//!
//! - dates and time stamps lie in the calendar that the engine computes with, from 4714-11-24 BC, where Julian days begin,
//!   to 262142-12-31; in nanoseconds they are all integers but the two ends, which mean infinity to clients;
//! - times of day go from midnight to midnight, both included;
//! - decimals have no more digits than their type;
//! - text has no zero byte.
//!
//! What a NULL hides does not count. So there are two looks: one at all values, without branches, and, if that finds
//! anything, one at those that are not NULL.

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, AsArray, GenericStringArray, OffsetSizeTrait, PrimitiveArray,
    downcast_temporal_array,
};
use arrow::compute::{filter, is_not_null, take};
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    TimeUnit, i256,
};
use std::ops::RangeInclusive;

/// The first day, from 1970-01-01.
pub(crate) const FIRST_DAY: i64 = -2_440_588;

/// The last day.
pub(crate) const LAST_DAY: i64 = 95_026_236;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// What is wrong with text that has a zero byte.
const ZERO_BYTE: &str = "text has a zero byte";

/// An error says which values of `array` are none.
pub(crate) fn check(array: &ArrayRef) -> Result<(), String> {
    match array.data_type() {
        DataType::Utf8 => check_text(array.as_string::<i32>()),
        DataType::LargeUtf8 => check_text(array.as_string::<i64>()),
        DataType::Utf8View => match array.as_string_view().iter().flatten().any(has_zero_byte) {
            true => Err(ZERO_BYTE.to_string()),
            false => Ok(()),
        },
        DataType::Decimal32(precision, _) => digits::<Decimal32Type>(array, *precision, 10),
        DataType::Decimal64(precision, _) => digits::<Decimal64Type>(array, *precision, 10),
        DataType::Decimal128(precision, _) => digits::<Decimal128Type>(array, *precision, 10),
        DataType::Decimal256(precision, _) => digits::<Decimal256Type>(array, *precision, i256::from_i128(10)),
        DataType::Dictionary(_, _) => check_dictionary(array),
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(_, _)
        | DataType::Map(_, _)
        | DataType::Struct(_) => check_children(array),
        data_type => match limits(data_type).and_then(|limits| temporal_outside(array, &limits)) {
            Some(value) => Err(out_of_range(data_type, value)),
            None => Ok(()),
        },
    }
}

/// An error says that a text has a zero byte.
pub(crate) fn check_text<O: OffsetSizeTrait>(texts: &GenericStringArray<O>) -> Result<(), String> {
    let offsets = texts.value_offsets();
    let (first, last) = (offsets[0].as_usize(), offsets[texts.len()].as_usize());
    let may_have = texts.value_data()[first..last].contains(&0);
    if may_have && texts.iter().flatten().any(has_zero_byte) { Err(ZERO_BYTE.to_string()) } else { Ok(()) }
}

/// Whether `text` has a zero byte.
pub(crate) fn has_zero_byte(text: &str) -> bool {
    text.as_bytes().contains(&0)
}

/// Whether `value` is a date, time or time stamp, if `data_type` is one of those.
pub(crate) fn is_temporal(data_type: &DataType, value: i64) -> bool {
    limits(data_type).is_none_or(|limits| limits.contains(&value))
}

/// The first and the last value of a date, time or time stamp.
fn limits(data_type: &DataType) -> Option<RangeInclusive<i64>> {
    let days = |per_day: i64| FIRST_DAY * per_day..=(LAST_DAY + 1) * per_day - 1;
    match data_type {
        DataType::Date32 => Some(days(1)),
        DataType::Date64 => Some(days(DAY * 1_000)),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Some(i64::MIN + 1..=i64::MAX - 1),
        DataType::Timestamp(unit, _) => Some(days(DAY * per_second(*unit))),
        DataType::Time32(unit) | DataType::Time64(unit) => Some(0..=DAY * per_second(*unit)),
        _ => None,
    }
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn out_of_range(data_type: &DataType, value: i64) -> String {
    let (unit, what) = match data_type {
        DataType::Date32 => ("days", "date"),
        DataType::Date64 => ("milliseconds", "date"),
        DataType::Timestamp(TimeUnit::Second, _) => ("seconds", "timestamp"),
        DataType::Timestamp(TimeUnit::Millisecond, _) => ("milliseconds", "timestamp"),
        DataType::Timestamp(TimeUnit::Microsecond, _) => ("microseconds", "timestamp"),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => ("nanoseconds", "timestamp"),
        _ => return format!("{value} is no time of day"),
    };
    format!("{value} {unit} from 1970-01-01 are out of range for a {what}")
}

/// A value outside `limits`.
fn temporal_outside(array: &ArrayRef, limits: &RangeInclusive<i64>) -> Option<i64> {
    downcast_temporal_array!(
        array => widened_outside(array, limits),
        _ => None
    )
}

fn widened_outside<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, limits: &RangeInclusive<i64>) -> Option<i64>
where
    T::Native: TryFrom<i64> + Into<i64>,
{
    let (first, last) = (T::Native::try_from(*limits.start()).ok()?, T::Native::try_from(*limits.end()).ok()?);
    outside(array, first, last).map(Into::into)
}

/// A value that is less than `first` or greater than `last`.
fn outside<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, first: T::Native, last: T::Native) -> Option<T::Native> {
    let is_inside = |value: &T::Native| (first <= *value) & (*value <= last);
    if array.values().iter().fold(true, |all, value| all & is_inside(value)) {
        return None;
    }
    array.iter().flatten().find(|value| !is_inside(value))
}

/// Decimals of at most `precision` digits.
fn digits<T: ArrowPrimitiveType>(array: &ArrayRef, precision: u8, ten: T::Native) -> Result<(), String> {
    // A power that is no number of this type is greater than all of them.
    let Ok(end) = ten.pow_checked(u32::from(precision)) else { return Ok(()) };
    let last = end.sub_wrapping(T::Native::ONE);
    match outside(array.as_primitive::<T>(), last.neg_wrapping(), last) {
        Some(_) => Err("a numeric value has too many digits".to_string()),
        None => Ok(()),
    }
}

/// A dictionary may have what no row has.
fn check_dictionary(array: &ArrayRef) -> Result<(), String> {
    let dictionary = array.as_any_dictionary();
    check(dictionary.values()).or_else(|_| {
        let values = take(dictionary.values(), dictionary.keys(), None);
        check(&values.map_err(|error| error.to_string())?)
    })
}

/// What is in the rows of lists and records; behind a NULL there may be anything.
fn check_children(array: &ArrayRef) -> Result<(), String> {
    let found = children(array).iter().try_for_each(check);
    if found.is_ok() || array.null_count() == 0 {
        return found;
    }
    let with_values = is_not_null(array).and_then(|has_value| filter(array, &has_value));
    children(&with_values.map_err(|error| error.to_string())?).iter().try_for_each(check)
}

/// The columns in a column, of its own rows alone.
fn children(array: &ArrayRef) -> Vec<ArrayRef> {
    fn in_offsets<O: ArrowNativeType>(values: &ArrayRef, offsets: &[O]) -> Vec<ArrayRef> {
        let first = offsets.first().map_or(0, |first| first.as_usize());
        let last = offsets.last().map_or(first, |last| last.as_usize());
        vec![values.slice(first, last - first)]
    }
    match array.data_type() {
        DataType::List(_) => in_offsets(array.as_list::<i32>().values(), array.as_list::<i32>().value_offsets()),
        DataType::LargeList(_) => in_offsets(array.as_list::<i64>().values(), array.as_list::<i64>().value_offsets()),
        DataType::FixedSizeList(_, _) => vec![array.as_fixed_size_list().values().clone()],
        DataType::Struct(_) => array.as_struct().columns().to_vec(),
        DataType::Map(_, _) => {
            let (map, offsets) = (array.as_map(), array.as_map().value_offsets());
            map.entries().columns().iter().flat_map(|column| in_offsets(column, offsets)).collect()
        }
        _ => Vec::new(),
    }
}
