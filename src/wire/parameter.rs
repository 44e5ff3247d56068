//! Values of `$n` parameters as Bind carries them, text or binary, into scalar values of the statement's types.
//!
//! Text is read by the same code as everywhere else in SQL, but for `numeric`, which keeps the scale it is written with.
//! Binary forms are read here, every length checked before it is believed.

use crate::encode::{EPOCH_DAYS, EPOCH_MICROS, Format};
use crate::frontend::utf8;
use crate::oid;
use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano};
use bytes::{Buf, Bytes};
use lightning_sql::text::{ColumnBuilder, InputOptions};
use lightning_sql::types::{PgType, arrow_field};
use lightning_sql::{Error, Result, ScalarValue, SqlState};
use std::sync::Arc;

const INVALID_TEXT: SqlState = SqlState("22P02");
const INVALID_BINARY: SqlState = SqlState("22P03");
const OUT_OF_RANGE: SqlState = SqlState("22003");
/// Largest precision of a 128-bit decimal.
const DECIMAL_DIGITS_MAX: usize = 38;
/// Deepest nesting of arrays PostgreSQL knows.
const DIMENSIONS_MAX: i32 = 6;

/// Decodes parameter `number` (from 1) of type `pg`; `zone` is that of time stamps which name none.
pub fn decode(number: usize, pg: PgType, format: Format, value: Option<Bytes>, zone: Tz) -> Result<ScalarValue> {
    let field = arrow_field("parameter", pg, true).ok_or_else(|| {
        Error::new(SqlState("0A000"), format!("parameter ${number} has a type that is not supported"))
    })?;
    let Some(value) = value else {
        return ScalarValue::try_from(field.data_type()).map_err(internal);
    };
    match format {
        Format::Text => from_text(pg, utf8(&value)?, zone),
        Format::Binary => from_binary(pg.oid, &field, value).map_err(|mut error| {
            if error.0.state == INVALID_BINARY {
                error.0.message = format!("incorrect binary data format in bind parameter {number}");
            }
            error
        }),
    }
}

fn from_text(pg: PgType, text: &str, zone: Tz) -> Result<ScalarValue> {
    if pg.oid == oid::NUMERIC && pg.modifier < 0 {
        return parse_decimal(text.trim_matches(|c: char| c.is_ascii_whitespace()));
    }
    let array = ColumnBuilder::one(pg, Some(text), InputOptions { zone })?;
    ScalarValue::try_from_array(&array, 0).map_err(internal)
}

/// A decimal with the scale its text has.
fn parse_decimal(text: &str) -> Result<ScalarValue> {
    let wrong = || invalid("numeric", text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| wrong())?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{decimals}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let scale = i32::try_from(decimals.len()).map_err(|_| wrong())?.checked_sub(exponent).ok_or_else(too_wide)?;
    decimal(negative, &digits, scale)
}

/// The decimal `digits × 10^-scale`, or 22003 when it has more than 38 digits.
fn decimal(negative: bool, digits: &str, scale: i32) -> Result<ScalarValue> {
    let mut digits = digits.trim_start_matches('0').to_owned();
    let mut scale = scale;
    if scale < 0 {
        if !digits.is_empty() {
            if scale < -(DECIMAL_DIGITS_MAX as i32) {
                return Err(too_wide());
            }
            digits.extend(std::iter::repeat_n('0', scale.unsigned_abs() as usize));
        }
        scale = 0;
    }
    // Trailing zeros behind the point are the only digits that may go without changing the value.
    while (digits.len() > DECIMAL_DIGITS_MAX || scale > DECIMAL_DIGITS_MAX as i32) && scale > 0 {
        if digits.pop().is_some_and(|digit| digit != '0') {
            return Err(too_wide());
        }
        scale -= 1;
    }
    if digits.len() > DECIMAL_DIGITS_MAX {
        return Err(too_wide());
    }
    let magnitude: i128 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| too_wide())? };
    let precision = digits.len().max(scale as usize).max(1) as u8;
    let value = if negative { -magnitude } else { magnitude };
    Ok(ScalarValue::Decimal128(Some(value), precision, scale as i8))
}

fn too_wide() -> Error {
    let mut error = Error::new(OUT_OF_RANGE, "numeric field overflow");
    error.0.detail = Some("A numeric value may have at most 38 significant digits.".to_owned());
    error
}

fn from_binary(oid: u32, field: &Field, value: Bytes) -> Result<ScalarValue> {
    let mut value = Binary { bytes: value };
    let scalar = match field.data_type() {
        DataType::Boolean => ScalarValue::Boolean(Some(value.fixed::<1>()?[0] != 0)),
        DataType::Int16 => ScalarValue::Int16(Some(i16::from_be_bytes(value.fixed()?))),
        DataType::Int32 => ScalarValue::Int32(Some(value.i32()?)),
        DataType::Int64 => ScalarValue::Int64(Some(value.i64()?)),
        DataType::UInt32 => ScalarValue::UInt32(Some(u32::from_be_bytes(value.fixed()?))),
        DataType::Float32 => ScalarValue::Float32(Some(f32::from_be_bytes(value.fixed()?))),
        DataType::Float64 => ScalarValue::Float64(Some(f64::from_be_bytes(value.fixed()?))),
        DataType::Decimal128(_, _) => value.numeric()?,
        DataType::Utf8View => {
            if oid == oid::JSONB {
                value.fixed::<1>()?;
            }
            ScalarValue::Utf8View(Some(utf8(&value.rest())?.to_owned()))
        }
        DataType::Utf8 => ScalarValue::Utf8(Some(utf8(&value.rest())?.to_owned())),
        DataType::BinaryView => ScalarValue::BinaryView(Some(value.rest().to_vec())),
        DataType::FixedSizeBinary(16) => ScalarValue::FixedSizeBinary(16, Some(value.fixed::<16>()?.to_vec())),
        DataType::Date32 => ScalarValue::Date32(Some(match value.i32()? {
            infinite @ (i32::MAX | i32::MIN) => infinite,
            days => days.checked_add(EPOCH_DAYS).ok_or_else(|| out_of_range("date"))?,
        })),
        DataType::Time64(_) => ScalarValue::Time64Microsecond(Some(value.i64()?)),
        DataType::Timestamp(_, zone) => {
            let micros = match value.i64()? {
                infinite @ (i64::MAX | i64::MIN) => infinite,
                micros => micros.checked_add(EPOCH_MICROS).ok_or_else(|| out_of_range("timestamp"))?,
            };
            ScalarValue::TimestampMicrosecond(Some(micros), zone.clone())
        }
        DataType::Interval(_) => {
            let micros = value.i64()?;
            let days = value.i32()?;
            let months = value.i32()?;
            let nanos = micros.checked_mul(1000).ok_or_else(|| out_of_range("interval"))?;
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanos)))
        }
        DataType::List(child) => value.array(child)?,
        _ => return Err(Error::new(SqlState("0A000"), "this parameter type has no binary input")),
    };
    if value.bytes.is_empty() { Ok(scalar) } else { Err(bad_binary()) }
}

/// A cursor over one binary value.
struct Binary {
    bytes: Bytes,
}

impl Binary {
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        if self.bytes.len() < N {
            return Err(bad_binary());
        }
        let mut fixed = [0; N];
        self.bytes.copy_to_slice(&mut fixed);
        Ok(fixed)
    }

    fn i32(&mut self) -> Result<i32> {
        self.fixed().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64> {
        self.fixed().map(i64::from_be_bytes)
    }

    fn i16(&mut self) -> Result<i16> {
        self.fixed().map(i16::from_be_bytes)
    }

    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes)
    }

    fn numeric(&mut self) -> Result<ScalarValue> {
        let groups = self.i16()?;
        let weight = i32::from(self.i16()?);
        let sign = self.i16()? as u16;
        let scale = i32::from(self.i16()?);
        if groups < 0 || usize::from(groups as u16) * 2 > self.bytes.len() {
            return Err(bad_binary());
        }
        let mut digits = String::new();
        for _ in 0..groups {
            let group = self.i16()?;
            if !(0..10_000).contains(&group) {
                return Err(bad_binary());
            }
            digits.push_str(&format!("{group:04}"));
        }
        let negative = match sign {
            0 => false,
            0x4000 => true,
            _ => return Err(Error::new(OUT_OF_RANGE, "numeric NaN and infinity are not supported")),
        };
        // The digits read so far end 4 * (groups - 1 - weight) places behind the point; the value's scale is `scale`.
        let places = 4 * (i32::from(groups) - 1 - weight);
        if places > scale {
            let cut = ((places - scale) as usize).min(digits.len());
            digits.truncate(digits.len() - cut);
            return decimal(negative, &digits, scale);
        }
        if scale - places <= DECIMAL_DIGITS_MAX as i32 && !digits.is_empty() {
            digits.extend(std::iter::repeat_n('0', (scale - places) as usize));
            return decimal(negative, &digits, scale);
        }
        decimal(negative, &digits, if digits.is_empty() { scale.clamp(0, DECIMAL_DIGITS_MAX as i32) } else { places })
    }

    fn array(&mut self, child: &Arc<Field>) -> Result<ScalarValue> {
        let dimensions = self.i32()?;
        let _has_nulls = self.i32()?;
        let element = self.i32()? as u32;
        if !(0..=DIMENSIONS_MAX).contains(&dimensions) {
            return Err(bad_binary());
        }
        let mut lengths = Vec::new();
        for _ in 0..dimensions {
            let length = usize::try_from(self.i32()?).map_err(|_| bad_binary())?;
            let _lower_bound = self.i32()?;
            lengths.push(length);
        }
        self.dimension(&lengths, element, child)
    }

    fn dimension(&mut self, lengths: &[usize], element: u32, child: &Arc<Field>) -> Result<ScalarValue> {
        let (length, inner_lengths) = match lengths {
            [] => (0, lengths),
            [length, rest @ ..] => (*length, rest),
        };
        // Every element needs four bytes at least, so a length beyond that is a lie.
        if length > self.bytes.len() / 4 {
            return Err(bad_binary());
        }
        let mut values = Vec::with_capacity(length);
        for _ in 0..length {
            values.push(match child.data_type() {
                DataType::List(inner) if !inner_lengths.is_empty() => self.dimension(inner_lengths, element, inner)?,
                _ if inner_lengths.is_empty() => self.element(element, child)?,
                _ => return Err(bad_binary()),
            });
        }
        Ok(ScalarValue::List(ScalarValue::new_list(&values, child.data_type(), true)))
    }

    fn element(&mut self, element: u32, child: &Arc<Field>) -> Result<ScalarValue> {
        let Ok(length) = usize::try_from(self.i32()?) else {
            return ScalarValue::try_from(child.data_type()).map_err(internal);
        };
        if length > self.bytes.len() {
            return Err(bad_binary());
        }
        from_binary(element, child, self.bytes.split_to(length))
    }
}

fn invalid(type_name: &str, text: &str) -> Error {
    Error::new(INVALID_TEXT, format!("invalid input syntax for type {type_name}: \"{text}\""))
}

fn bad_binary() -> Error {
    Error::new(INVALID_BINARY, "incorrect binary data format")
}

fn out_of_range(type_name: &str) -> Error {
    Error::new(SqlState("22008"), format!("{type_name} out of range"))
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::new(SqlState("XX000"), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal_of(scalar: ScalarValue) -> (i128, i8) {
        match scalar {
            ScalarValue::Decimal128(Some(value), _, scale) => (value, scale),
            other => panic!("not a decimal: {other:?}"),
        }
    }

    #[test]
    fn decimals_keep_the_scale_they_are_written_with() {
        assert_eq!(decimal_of(parse_decimal("-12.50").expect("number")), (-1250, 2));
        assert_eq!(decimal_of(parse_decimal("1e3").expect("number")), (1000, 0));
        assert_eq!(decimal_of(parse_decimal("1.5e-2").expect("number")), (15, 3));
        assert_eq!(decimal_of(parse_decimal(".0").expect("number")), (0, 1));
        assert!(parse_decimal("1e99").is_err());
        assert!(parse_decimal("abc").is_err());
    }

    #[test]
    fn binary_numerics_read_back() {
        for (value, scale) in [(0i128, 0i8), (12345, 2), (-5, 2), (123_456_789, 0), (1, 9), (10_000, 0), (15, 1)] {
            let mut out = bytes::BytesMut::new();
            crate::encode::put_decimal_binary(&mut out, value, scale);
            let mut binary = Binary { bytes: out.freeze() };
            assert_eq!(decimal_of(binary.numeric().expect("numeric")), (value, scale));
        }
    }
}
