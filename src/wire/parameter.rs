//! Values of `$n` parameters as Bind carries them, text or binary, into scalar values of the statement's types.
//!
//! Both are read by the same code as everywhere else in SQL, but for `numeric`, which keeps the scale it is written with.

use crate::encode::Format;
use crate::frontend::utf8;
use arrow::array::timezone::Tz;
use bytes::Bytes;
use lightning_sql::encode::oid;
use lightning_sql::text::{ColumnBuilder, InputOptions, binary_numeric_text};
use lightning_sql::types::{PgType, arrow_field};
use lightning_sql::{Error, Result, ScalarValue, SqlState};

const INVALID_TEXT: SqlState = SqlState("22P02");
const INVALID_BINARY: SqlState = SqlState("22P03");
const OUT_OF_RANGE: SqlState = SqlState("22003");
/// Largest precision of a 128-bit decimal.
const DECIMAL_DIGITS_MAX: usize = 38;

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
        Format::Binary => from_binary(pg, &value, zone).map_err(|mut error| {
            if error.0.state == INVALID_BINARY && error.0.message == "incorrect binary data format" {
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

fn from_binary(pg: PgType, value: &[u8], zone: Tz) -> Result<ScalarValue> {
    if pg.oid == oid::NUMERIC && pg.modifier < 0 {
        return parse_decimal(&binary_numeric_text(value)?);
    }
    let mut builder = ColumnBuilder::new(pg, 1, InputOptions { zone })?;
    builder.append_binary(value)?;
    ScalarValue::try_from_array(&builder.finish()?, 0).map_err(internal)
}

fn invalid(type_name: &str, text: &str) -> Error {
    Error::new(INVALID_TEXT, format!("invalid input syntax for type {type_name}: \"{text}\""))
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
    fn binary_numerics_keep_the_scale_they_come_with() {
        // 12.50 with two decimals, as numeric_send of PostgreSQL 15 writes it.
        let value = [0, 2, 0, 0, 0, 0, 0, 2, 0, 12, 0x13, 0x88];
        assert_eq!(decimal_of(from_binary(lightning_sql::types::NUMERIC, &value, zone()).expect("numeric")), (1250, 2));
    }

    #[test]
    fn binary_values_of_a_wrong_length_are_refused_by_number() {
        let decode = |value: &'static [u8]| {
            let pg = lightning_sql::types::INT4;
            decode(3, pg, Format::Binary, Some(Bytes::from_static(value)), zone()).expect_err("refused")
        };
        assert_eq!(decode(&[0; 5]).message(), "incorrect binary data format in bind parameter 3");
        assert_eq!(decode(&[0; 3]).message(), "insufficient data left in message");
    }

    fn zone() -> Tz {
        "UTC".parse().expect("a zone")
    }
}
