//! PostgreSQL's text forms of scalar values, appended to a buffer.

use arrow::datatypes::IntervalMonthDayNano;
use bytes::{BufMut, BytesMut};
use std::fmt::Write;

/// A decimal integer.
pub fn put_int(out: &mut BytesMut, value: i64) {
    if value < 0 {
        out.put_u8(b'-');
    }
    put_uint(out, value.unsigned_abs());
}

/// A decimal integer.
pub fn put_uint(out: &mut BytesMut, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

/// Exactly `width` digits, with leading zeros (more digits when the value needs them).
pub fn put_padded(out: &mut BytesMut, value: u64, width: usize) {
    let mut bound = 10u64;
    for _ in 1..width {
        if value < bound {
            out.put_u8(b'0');
        }
        bound *= 10;
    }
    // The zeros were written for every power of ten the value lacks.
    put_uint(out, value);
}

/// `f` or `t`.
pub fn put_bool(out: &mut BytesMut, value: bool) {
    out.put_u8(if value { b't' } else { b'f' });
}

/// Shortest text that reads back as the same `double precision`.
pub fn put_f64(out: &mut BytesMut, value: f64) {
    if put_special(out, value) {
        return;
    }
    put_shortest(out, &format!("{value:e}"), 15);
}

/// Shortest text that reads back as the same `real`.
pub fn put_f32(out: &mut BytesMut, value: f32) {
    if put_special(out, f64::from(value)) {
        return;
    }
    put_shortest(out, &format!("{value:e}"), 6);
}

fn put_special(out: &mut BytesMut, value: f64) -> bool {
    let text: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value == f64::INFINITY {
        b"Infinity"
    } else if value == f64::NEG_INFINITY {
        b"-Infinity"
    } else {
        return false;
    };
    out.put_slice(text);
    true
}

/// Rewrites Rust's `d.ddde±x` as PostgreSQL prints it: fixed notation for exponents in `-4..fixed_below`.
fn put_shortest(out: &mut BytesMut, scientific: &str, fixed_below: i32) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    if negative {
        out.put_u8(b'-');
    }
    let digits: Vec<u8> = mantissa.bytes().filter(|b| *b != b'.').collect();
    if !(-4..fixed_below).contains(&exponent) {
        out.put_slice(mantissa.as_bytes());
        out.put_slice(if exponent < 0 { b"e-" } else { b"e+" });
        put_padded(out, u64::from(exponent.unsigned_abs()), 2);
    } else if exponent < 0 {
        out.put_slice(b"0.");
        out.put_bytes(b'0', (-exponent - 1) as usize);
        out.put_slice(&digits);
    } else {
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            out.put_slice(&digits);
            out.put_bytes(b'0', whole - digits.len());
        } else {
            out.put_slice(&digits[..whole]);
            out.put_u8(b'.');
            out.put_slice(&digits[whole..]);
        }
    }
}

/// A scaled integer as `numeric`, with all its decimals.
pub fn put_decimal(out: &mut BytesMut, value: i128, scale: i8) {
    if value < 0 {
        out.put_u8(b'-');
    }
    let magnitude = value.unsigned_abs();
    if scale <= 0 {
        put_u128(out, magnitude);
        if magnitude != 0 {
            out.put_bytes(b'0', usize::from(scale.unsigned_abs()));
        }
        return;
    }
    let scale = scale as usize;
    if let (Ok(small), true) = (u64::try_from(magnitude), scale < 20) {
        let unit = 10u64.pow(scale as u32);
        put_uint(out, small / unit);
        out.put_u8(b'.');
        put_padded(out, small % unit, scale);
        return;
    }
    let digits = magnitude.to_string();
    put_point(out, &digits, scale);
}

/// Digits of a non-negative integer with a decimal point before the last `scale` of them.
pub fn put_point(out: &mut BytesMut, digits: &str, scale: usize) {
    if digits.len() <= scale {
        out.put_slice(b"0.");
        out.put_bytes(b'0', scale - digits.len());
        out.put_slice(digits.as_bytes());
    } else {
        let (whole, decimals) = digits.split_at(digits.len() - scale);
        out.put_slice(whole.as_bytes());
        out.put_u8(b'.');
        out.put_slice(decimals.as_bytes());
    }
}

fn put_u128(out: &mut BytesMut, value: u128) {
    match u64::try_from(value) {
        Ok(small) => put_uint(out, small),
        Err(_) => out.put_slice(value.to_string().as_bytes()),
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// `bytea` as `\x` and hexadecimal digits.
pub fn put_bytea(out: &mut BytesMut, value: &[u8]) {
    out.put_slice(b"\\x");
    put_hex(out, value);
}

fn put_hex(out: &mut BytesMut, value: &[u8]) {
    out.reserve(value.len() * 2);
    for byte in value {
        out.put_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// A UUID in groups of 8-4-4-4-12 digits.
pub fn put_uuid(out: &mut BytesMut, value: &[u8]) {
    for (i, byte) in value.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.put_u8(b'-');
        }
        put_hex(out, &[*byte]);
    }
}

/// An interval in the style `postgres`: `1 year 2 mons 3 days 04:05:06.789`.
pub fn put_interval(out: &mut BytesMut, value: IntervalMonthDayNano) {
    let micros = value.nanoseconds / 1000;
    let start = out.len();
    let mut negative_before = false;
    let mut unit = |out: &mut BytesMut, count: i32, name: &str| {
        if count == 0 {
            return;
        }
        if out.len() > start {
            out.put_u8(b' ');
        }
        // A positive part after a negative one carries its sign, so that it reads back right.
        let sign = if negative_before && count > 0 { "+" } else { "" };
        negative_before = count < 0;
        let plural = if count == 1 { "" } else { "s" };
        // Writing to a BytesMut cannot fail.
        let _ = write!(out, "{sign}{count} {name}{plural}");
    };
    unit(out, value.months / 12, "year");
    unit(out, value.months % 12, "mon");
    unit(out, value.days, "day");
    if micros == 0 && out.len() > start {
        return;
    }
    if out.len() > start {
        out.put_u8(b' ');
    }
    if micros < 0 {
        out.put_u8(b'-');
    } else if negative_before {
        out.put_u8(b'+');
    }
    put_clock(out, micros.unsigned_abs());
}

/// `hh:mm:ss[.ffffff]` without trailing zeros; hours may exceed 24 (intervals).
pub fn put_clock(out: &mut BytesMut, micros: u64) {
    put_seconds(out, micros / 1_000_000);
    put_fraction(out, micros % 1_000_000, 6);
}

/// `hh:mm:ss[.fffffffff]` without trailing zeros, of microseconds and nanoseconds over.
pub fn put_clock_ns(out: &mut BytesMut, micros: u64, nanos: u64) {
    put_seconds(out, micros / 1_000_000);
    put_fraction(out, micros % 1_000_000 * 1000 + nanos, 9);
}

fn put_seconds(out: &mut BytesMut, seconds: u64) {
    put_padded(out, seconds / 3600, 2);
    out.put_u8(b':');
    put_padded(out, seconds / 60 % 60, 2);
    out.put_u8(b':');
    put_padded(out, seconds % 60, 2);
}

/// A part of a second in units of which it has `width` digits.
fn put_fraction(out: &mut BytesMut, units: u64, width: usize) {
    if units == 0 {
        return;
    }
    let (mut digits, mut width) = (units, width);
    while digits.is_multiple_of(10) {
        digits /= 10;
        width -= 1;
    }
    out.put_u8(b'.');
    put_padded(out, digits, width);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(put: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        put(&mut out);
        String::from_utf8(out.to_vec()).expect("text")
    }

    #[test]
    fn integers_and_padding() {
        assert_eq!(text(|o| put_int(o, i64::MIN)), "-9223372036854775808");
        assert_eq!(text(|o| put_padded(o, 7, 2)), "07");
        assert_eq!(text(|o| put_padded(o, 0, 6)), "000000");
        assert_eq!(text(|o| put_padded(o, 12345, 4)), "12345");
    }

    #[test]
    fn floats_print_as_postgresql_prints_them() {
        for (value, expected) in [
            (0.1, "0.1"),
            (1e15, "1e+15"),
            (1e14, "100000000000000"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-0.0, "-0"),
            (1e-300, "1e-300"),
            (2.5, "2.5"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(|o| put_f64(o, value)), expected);
        }
        for (value, expected) in [(1e6f32, "1e+06"), (100000f32, "100000"), (1234567f32, "1.234567e+06"), (0.3, "0.3")]
        {
            assert_eq!(text(|o| put_f32(o, value)), expected);
        }
    }

    #[test]
    fn decimals_keep_their_scale() {
        assert_eq!(text(|o| put_decimal(o, -5, 2)), "-0.05");
        assert_eq!(text(|o| put_decimal(o, 12345, 2)), "123.45");
        assert_eq!(text(|o| put_decimal(o, 12345, 0)), "12345");
        assert_eq!(text(|o| put_decimal(o, i128::MAX, 10)), "17014118346046923173168730371.5884105727");
        assert_eq!(text(|o| put_decimal(o, 1, 38)), "0.00000000000000000000000000000000000001");
        assert_eq!(text(|o| put_decimal(o, 12, -2)), "1200");
    }

    #[test]
    fn intervals_carry_signs() {
        let show = |m, d, n| text(|o| put_interval(o, IntervalMonthDayNano::new(m, d, n)));
        assert_eq!(show(14, 3, 4 * 3600 * 1_000_000_000), "1 year 2 mons 3 days 04:00:00");
        assert_eq!(show(0, 0, 0), "00:00:00");
        assert_eq!(show(-1, 1, 0), "-1 mons +1 day");
        assert_eq!(show(0, -1, 1_500_000_000), "-1 days +00:00:01.5");
        assert_eq!(show(0, 1, -1_000), "1 day -00:00:00.000001");
    }
}
