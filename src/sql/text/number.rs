//! Numbers and booleans from text.

use crate::error::{Error, Result};
use crate::sqlstate::{FEATURE_NOT_SUPPORTED, NUMERIC_VALUE_OUT_OF_RANGE, invalid_input};

/// Whitespace as PostgreSQL's input functions skip it.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}'])
}

/// An integer between `min` and `max`; `type_name` is for messages.
pub fn integer(text: &str, min: i64, max: i64, type_name: &str) -> Result<i64> {
    let bad = || invalid_input(type_name, text);
    let trimmed = trim(text).as_bytes();
    let (negative, digits) = match trimmed.first() {
        Some(b'-') => (true, &trimmed[1..]),
        Some(b'+') => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    if digits.is_empty() {
        return Err(bad());
    }
    let mut value: i64 = 0;
    let mut overflow = false;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(bad());
        }
        // Counting downwards reaches the smallest value, which has no positive counterpart.
        match value.checked_mul(10).and_then(|v| v.checked_sub(i64::from(digit))) {
            Some(v) => value = v,
            None => overflow = true,
        }
    }
    let value = if negative { Some(value) } else { value.checked_neg() };
    match value {
        Some(value) if !overflow && (min..=max).contains(&value) => Ok(value),
        _ => Err(Error::new(
            NUMERIC_VALUE_OUT_OF_RANGE,
            format!("value \"{text}\" is out of range for type {type_name}"),
        )),
    }
}

/// A boolean: any unambiguous beginning of `true`, `false`, `yes`, `no`, `on`, `off`, or `1` or `0`.
pub fn boolean(text: &str) -> Result<bool> {
    let lower = trim(text).to_ascii_lowercase();
    match lower.as_str() {
        "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" | "on" | "1" => Ok(true),
        "f" | "fa" | "fal" | "fals" | "false" | "n" | "no" | "of" | "off" | "0" => Ok(false),
        _ => Err(invalid_input("boolean", text)),
    }
}

/// A `double precision`.
pub fn float64(text: &str) -> Result<f64> {
    const NAME: &str = "double precision";
    let trimmed = trim(text);
    if let Some(value) = special_float(trimmed) {
        return Ok(value);
    }
    check_float(trimmed, text, NAME)?;
    let value: f64 = trimmed.parse().map_err(|_| invalid_input(NAME, text))?;
    if value.is_infinite() || (value == 0.0 && has_nonzero_digit(trimmed)) {
        return Err(float_out_of_range(text, NAME));
    }
    Ok(value)
}

/// A `real`.
pub fn float32(text: &str) -> Result<f32> {
    const NAME: &str = "real";
    let trimmed = trim(text);
    if let Some(value) = special_float(trimmed) {
        return Ok(value as f32);
    }
    check_float(trimmed, text, NAME)?;
    let value: f32 = trimmed.parse().map_err(|_| invalid_input(NAME, text))?;
    if value.is_infinite() || (value == 0.0 && has_nonzero_digit(trimmed)) {
        return Err(float_out_of_range(text, NAME));
    }
    Ok(value)
}

fn special_float(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "infinity" | "inf" | "+infinity" | "+inf" => Some(f64::INFINITY),
        "-infinity" | "-inf" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// Rust reads more spellings (`inf`, `nan`) than belong here.
fn check_float(trimmed: &str, text: &str, name: &str) -> Result<()> {
    let number = trimmed.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if number && !trimmed.is_empty() { Ok(()) } else { Err(invalid_input(name, text)) }
}

fn has_nonzero_digit(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    mantissa.bytes().any(|b| (b'1'..=b'9').contains(&b))
}

fn float_out_of_range(text: &str, name: &str) -> Error {
    Error::new(NUMERIC_VALUE_OUT_OF_RANGE, format!("\"{text}\" is out of range for type {name}"))
}

/// A `numeric(precision, scale)` as its scaled integer, rounded half away from zero.
pub fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128> {
    let bad = || invalid_input("numeric", text);
    let trimmed = trim(text);
    let bytes = trimmed.as_bytes();
    let (negative, mut rest) = match bytes.first() {
        Some(b'-') => (true, &bytes[1..]),
        Some(b'+') => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    if rest.is_empty() {
        return Err(bad());
    }
    if special_float(trimmed).is_some() {
        return Err(Error::new(FEATURE_NOT_SUPPORTED, format!("numeric cannot hold \"{trimmed}\"")));
    }
    let mut exponent: i64 = 0;
    if let Some(at) = rest.iter().position(|b| matches!(b, b'e' | b'E')) {
        let digits = std::str::from_utf8(&rest[at + 1..]).map_err(|_| bad())?;
        exponent = digits.parse().map_err(|_| bad())?;
        rest = &rest[..at];
    }
    let mut digits = Digits::default();
    let mut point = false;
    let mut any = false;
    for byte in rest {
        match byte {
            b'0'..=b'9' => {
                any = true;
                digits.push(byte - b'0', point);
            }
            b'.' if !point => point = true,
            _ => return Err(bad()),
        }
    }
    if !any {
        return Err(bad());
    }
    let value = digits
        .scaled(exponent.saturating_add(i64::from(scale)))
        .filter(|v| fits(*v, precision))
        .ok_or_else(|| decimal_overflow(precision, scale))?;
    Ok(if negative { -value } else { value })
}

/// Whether a scaled integer has at most `precision` digits.
pub fn fits(value: i128, precision: u8) -> bool {
    value.unsigned_abs() < 10u128.pow(u32::from(precision.min(38)))
}

/// The error for a value with too many digits before the point.
pub fn decimal_overflow(precision: u8, scale: i8) -> Error {
    let error = Error::new(NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow");
    let whole = i32::from(precision) - i32::from(scale);
    let bound = if whole == 0 { "1".to_owned() } else { format!("10^{whole}") };
    error.with_detail(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than {bound}."
    ))
}

/// Rounds a scaled integer to fewer decimals, half away from zero, or adds zeros; `None` when it does not fit `i128`.
pub fn rescale(value: i128, from: i8, to: i8) -> Option<i128> {
    let shift = i32::from(to) - i32::from(from);
    if shift >= 0 {
        return value.checked_mul(10i128.checked_pow(shift as u32)?);
    }
    let Some(unit) = 10i128.checked_pow(shift.unsigned_abs()) else { return Some(0) };
    let (quotient, remainder) = (value / unit, value % unit);
    let away = remainder.unsigned_abs() >= (unit.unsigned_abs() - remainder.unsigned_abs());
    Some(if away && remainder != 0 { quotient + value.signum() } else { quotient })
}

/// Decimal digits read so far: those that fit, and how the rest matters.
#[derive(Default)]
struct Digits {
    value: u128,
    /// Digits of `value` after the point.
    decimals: i64,
    /// Digits before the point that did not fit.
    dropped: i64,
    /// The first digit that did not fit was 5 or more.
    round_up: bool,
    full: bool,
}

impl Digits {
    fn push(&mut self, digit: u8, after_point: bool) {
        if !self.full {
            if let Some(value) = self.value.checked_mul(10).and_then(|v| v.checked_add(u128::from(digit)))
                && value <= i128::MAX as u128
            {
                self.value = value;
                self.decimals += i64::from(after_point);
                return;
            }
            self.full = true;
            self.round_up = digit >= 5;
        }
        self.dropped += i64::from(!after_point);
    }

    /// The value times 10^`exponent`, rounded to a whole number.
    fn scaled(&self, exponent: i64) -> Option<i128> {
        let shift = exponent - self.decimals + self.dropped;
        let value = self.value as i128;
        if value == 0 {
            return Some(0);
        }
        if shift >= 0 {
            let value = if self.full && self.round_up { value.checked_add(1)? } else { value };
            return value.checked_mul(10i128.checked_pow(u32::try_from(shift).ok()?)?);
        }
        let Some(unit) = u32::try_from(-shift).ok().and_then(|s| 10i128.checked_pow(s)) else { return Some(0) };
        let half = unit / 2;
        Some(value / unit + i128::from(value % unit >= half))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_at_their_bounds() {
        assert_eq!(integer(" -32768 ", -32768, 32767, "smallint").unwrap(), -32768);
        assert_eq!(integer("32768", -32768, 32767, "smallint").unwrap_err().state(), NUMERIC_VALUE_OUT_OF_RANGE);
        assert_eq!(integer("-9223372036854775808", i64::MIN, i64::MAX, "bigint").unwrap(), i64::MIN);
        assert!(integer("9223372036854775808", i64::MIN, i64::MAX, "bigint").is_err());
        for bad in ["", "-", "1.5", "1 2", "x"] {
            assert_eq!(integer(bad, i64::MIN, i64::MAX, "bigint").unwrap_err().state().0, "22P02", "{bad}");
        }
    }

    #[test]
    fn decimals_round_half_away_from_zero() {
        assert_eq!(decimal("1.005", 10, 2).unwrap(), 101);
        assert_eq!(decimal("-1.005", 10, 2).unwrap(), -101);
        assert_eq!(decimal("1.00499999999999999999999999999999999999999999999", 10, 2).unwrap(), 100);
        assert_eq!(decimal("1e3", 10, 2).unwrap(), 100_000);
        assert_eq!(decimal(".5", 10, 0).unwrap(), 1);
        assert_eq!(decimal("12.", 10, 1).unwrap(), 120);
        assert_eq!(decimal("99.995", 4, 2).unwrap_err().state(), NUMERIC_VALUE_OUT_OF_RANGE);
        assert_eq!(decimal("1e-99999999", 4, 2).unwrap(), 0);
        assert!(decimal("1e99999999", 4, 2).is_err());
        assert_eq!(decimal("99999999999999999999999999999999999999", 38, 0).unwrap(), 10i128.pow(38) - 1);
    }

    #[test]
    fn rescaling_rounds_like_input() {
        assert_eq!(rescale(1005, 3, 2), Some(101));
        assert_eq!(rescale(-1005, 3, 2), Some(-101));
        assert_eq!(rescale(1004, 3, 2), Some(100));
        assert_eq!(rescale(5, 0, 2), Some(500));
    }
}
