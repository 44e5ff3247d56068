//! PostgreSQL's binary forms of scalar values. Integers and floats are big-endian; times count from 2000-01-01.

use arrow::datatypes::IntervalMonthDayNano;
use bytes::{BufMut, BytesMut};

/// Days from 1970-01-01 to 2000-01-01.
pub const EPOCH_DAYS: i32 = 10_957;
/// Microseconds from 1970-01-01 to 2000-01-01.
pub const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Nanoseconds from 1970-01-01 to 2000-01-01.
pub const EPOCH_NANOS: i64 = EPOCH_MICROS * 1000;

/// A date.
pub fn put_date(out: &mut BytesMut, days: i32) {
    out.put_i32(if days == i32::MAX || days == i32::MIN { days } else { days.saturating_sub(EPOCH_DAYS) });
}

/// A timestamp, with or without time zone.
pub fn put_timestamp(out: &mut BytesMut, micros: i64) {
    out.put_i64(if micros == i64::MAX || micros == i64::MIN { micros } else { micros.saturating_sub(EPOCH_MICROS) });
}

/// Whether a time stamp in nanoseconds has a binary form: counted from 2000, the earliest are less than all integers, and the least
/// integer is minus infinity.
pub fn has_timestamp_ns(nanos: i64) -> bool {
    nanos.checked_sub(EPOCH_NANOS).is_some_and(|nanos| nanos != i64::MIN)
}

/// A time stamp in nanoseconds, with or without time zone, that [`has_timestamp_ns`].
pub fn put_timestamp_ns(out: &mut BytesMut, nanos: i64) {
    out.put_i64(nanos.saturating_sub(EPOCH_NANOS));
}

/// An interval.
pub fn put_interval(out: &mut BytesMut, value: IntervalMonthDayNano) {
    out.put_i64(value.nanoseconds / 1000);
    out.put_i32(value.days);
    out.put_i32(value.months);
}

/// A `numeric`: base-10,000 digits around the decimal point.
pub fn put_decimal(out: &mut BytesMut, value: i128, scale: i8) {
    let decimals = usize::from(scale.max(0) as u8);
    let mut digits = value.unsigned_abs().to_string().into_bytes();
    if scale < 0 {
        digits.resize(digits.len() + usize::from(scale.unsigned_abs()), b'0');
    }
    put_decimal_digits(out, value < 0, &digits, decimals);
}

/// A `numeric` from the ASCII digits of its magnitude, the last `decimals` of them behind the point.
pub fn put_decimal_digits(out: &mut BytesMut, negative: bool, digits: &[u8], decimals: usize) {
    // Pad on both sides so that groups of four line up with the decimal point.
    let whole = digits.len().saturating_sub(decimals);
    let mut padded = Vec::with_capacity(digits.len() + decimals + 8);
    padded.resize((4 - whole % 4) % 4, b'0');
    if digits.len() < decimals {
        padded.clear();
        padded.resize(decimals - digits.len(), b'0');
    }
    padded.extend_from_slice(digits);
    let whole_groups = whole.div_ceil(4);
    padded.resize(padded.len() + (4 - decimals % 4) % 4, b'0');
    let groups: Vec<i16> =
        padded.chunks(4).map(|group| group.iter().fold(0i16, |n, d| n * 10 + i16::from(d - b'0'))).collect();
    let first = groups.iter().position(|g| *g != 0).unwrap_or(groups.len());
    let last = groups.iter().rposition(|g| *g != 0).map_or(first, |i| i + 1);
    let weight = if first == groups.len() { 0 } else { whole_groups as i16 - first as i16 - 1 };
    out.put_i16((last - first) as i16);
    out.put_i16(weight);
    out.put_u16(if negative { 0x4000 } else { 0 });
    out.put_i16(decimals as i16);
    for group in &groups[first..last] {
        out.put_i16(*group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(value: i128, scale: i8) -> Vec<i16> {
        let mut out = BytesMut::new();
        put_decimal(&mut out, value, scale);
        out.chunks(2).map(|b| i16::from_be_bytes([b[0], b[1]])).collect()
    }

    #[test]
    fn numerics_are_grouped_around_the_point() {
        // Expected words are what numeric_send of PostgreSQL 15 gives: ndigits, weight, sign, dscale, digits.
        assert_eq!(words(0, 0), [0, 0, 0, 0]);
        assert_eq!(words(0, 2), [0, 0, 0, 2]);
        assert_eq!(words(12345, 2), [2, 0, 0, 2, 123, 4500]);
        assert_eq!(words(-5, 2), [1, -1, 0x4000, 2, 500]);
        assert_eq!(words(123_456_789, 0), [3, 2, 0, 0, 1, 2345, 6789]);
        assert_eq!(words(1, 9), [1, -3, 0, 9, 1000]);
        assert_eq!(words(10_000, 0), [1, 1, 0, 0, 1]);
    }
}
