//! Writes values of one Arrow column in PostgreSQL's text form.

use super::calendar::MICROS_PER_DAY;
use super::nanos;
use crate::error::{Error, Result};
use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, ListArray, PrimitiveArray,
    StringViewArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampNanosecondType, UInt32Type, UInt64Type,
};
use chrono::{DateTime, Datelike, Offset, TimeZone};
use std::io::Write as _;
use std::sync::Arc;

/// A column whose values can be written as text.
#[derive(Debug)]
pub struct TextColumn {
    array: ArrayRef,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Bool(BooleanArray),
    Int16(PrimitiveArray<Int16Type>),
    Int32(PrimitiveArray<Int32Type>),
    Int64(PrimitiveArray<Int64Type>),
    UInt32(PrimitiveArray<UInt32Type>),
    UInt64(PrimitiveArray<UInt64Type>),
    Float32(PrimitiveArray<Float32Type>),
    Float64(PrimitiveArray<Float64Type>),
    Decimal(PrimitiveArray<Decimal128Type>, i8),
    BigDecimal(PrimitiveArray<Decimal256Type>),
    Text(StringViewArray),
    Bytes(BinaryViewArray),
    Uuid(FixedSizeBinaryArray),
    Date(PrimitiveArray<Date32Type>),
    Time(PrimitiveArray<Time64MicrosecondType>),
    Timestamp(PrimitiveArray<TimestampMicrosecondType>),
    Timestamptz(PrimitiveArray<TimestampMicrosecondType>, Tz),
    TimestampNs(PrimitiveArray<TimestampNanosecondType>),
    TimestamptzNs(PrimitiveArray<TimestampNanosecondType>, Tz),
    Interval(PrimitiveArray<IntervalMonthDayNanoType>),
    List(ListArray, Box<TextColumn>),
    Null,
}

impl TextColumn {
    /// Prepares `array`; time stamps with time zone are shown in `zone`.
    pub fn new(array: &ArrayRef, zone: Tz) -> Result<TextColumn> {
        let array = canonical(array)?;
        let form = match array.data_type() {
            DataType::Boolean => Form::Bool(array.as_boolean().clone()),
            DataType::Int16 => Form::Int16(array.as_primitive().clone()),
            DataType::Int32 => Form::Int32(array.as_primitive().clone()),
            DataType::Int64 => Form::Int64(array.as_primitive().clone()),
            DataType::UInt32 => Form::UInt32(array.as_primitive().clone()),
            DataType::UInt64 => Form::UInt64(array.as_primitive().clone()),
            DataType::Float32 => Form::Float32(array.as_primitive().clone()),
            DataType::Float64 => Form::Float64(array.as_primitive().clone()),
            DataType::Decimal128(_, scale) => Form::Decimal(array.as_primitive().clone(), *scale),
            DataType::Decimal256(..) => Form::BigDecimal(array.as_primitive().clone()),
            DataType::Utf8View => Form::Text(array.as_string_view().clone()),
            DataType::BinaryView => Form::Bytes(array.as_binary_view().clone()),
            DataType::FixedSizeBinary(16) => Form::Uuid(array.as_fixed_size_binary().clone()),
            DataType::Date32 => Form::Date(array.as_primitive().clone()),
            DataType::Time64(TimeUnit::Microsecond) => Form::Time(array.as_primitive().clone()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Form::Timestamp(array.as_primitive().clone()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                Form::Timestamptz(array.as_primitive().clone(), zone)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, None) => Form::TimestampNs(array.as_primitive().clone()),
            DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => {
                Form::TimestamptzNs(array.as_primitive().clone(), zone)
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => Form::Interval(array.as_primitive().clone()),
            DataType::List(_) => {
                let list = array.as_list::<i32>().clone();
                let values = TextColumn::new(list.values(), zone)?;
                Form::List(list, Box::new(values))
            }
            DataType::Null => Form::Null,
            other => return Err(Error::unsupported(format!("the text form of {other}"))),
        };
        Ok(TextColumn { array, form })
    }

    /// Whether the value at `row` is NULL.
    pub fn is_null(&self, row: usize) -> bool {
        matches!(self.form, Form::Null) || self.array.is_null(row)
    }

    /// Appends the value at `row`, which is not NULL.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        match &self.form {
            Form::Bool(a) => out.push(if a.value(row) { b't' } else { b'f' }),
            Form::Int16(a) => put(out, a.value(row)),
            Form::Int32(a) => put(out, a.value(row)),
            Form::Int64(a) => put(out, a.value(row)),
            Form::UInt32(a) => put(out, a.value(row)),
            Form::UInt64(a) => put(out, a.value(row)),
            Form::Float32(a) => float(out, f64::from(a.value(row)), &format!("{:e}", a.value(row)), 6),
            Form::Float64(a) => float(out, a.value(row), &format!("{:e}", a.value(row)), 15),
            Form::Decimal(a, scale) => decimal(out, a.value(row), *scale),
            Form::BigDecimal(a) => put(out, a.value_as_string(row)),
            Form::Text(a) => out.extend_from_slice(a.value(row).as_bytes()),
            Form::Bytes(a) => {
                out.extend_from_slice(b"\\x");
                a.value(row).iter().for_each(|byte| put(out, format_args!("{byte:02x}")));
            }
            Form::Uuid(a) => {
                let mut bytes = [0u8; 16];
                bytes.copy_from_slice(a.value(row));
                put(out, uuid::Uuid::from_bytes(bytes));
            }
            Form::Date(a) => date(out, i64::from(a.value(row))),
            Form::Time(a) => clock(out, a.value(row).unsigned_abs(), 0),
            Form::Timestamp(a) => timestamp(out, a.value(row), 0),
            Form::Timestamptz(a, zone) => timestamptz(out, a.value(row), 0, *zone),
            Form::TimestampNs(a) => {
                let (micros, rest) = nanos::split(a.value(row));
                timestamp(out, micros, rest);
            }
            Form::TimestamptzNs(a, zone) => {
                let (micros, rest) = nanos::split(a.value(row));
                timestamptz(out, micros, rest, *zone);
            }
            Form::Interval(a) => interval(out, a.value(row)),
            Form::List(a, values) => list(out, a, values, row),
            Form::Null => {}
        }
    }

    /// The value at `row` as a string; `None` for NULL.
    pub fn value(&self, row: usize) -> Option<String> {
        if self.is_null(row) {
            return None;
        }
        let mut out = Vec::new();
        self.write(row, &mut out);
        Some(String::from_utf8_lossy(&out).into_owned())
    }

    /// All values as an array of text.
    pub fn to_text(&self) -> StringViewArray {
        let mut builder = arrow::array::StringViewBuilder::with_capacity(self.array.len());
        let mut buffer = Vec::new();
        for row in 0..self.array.len() {
            if self.is_null(row) {
                builder.append_null();
                continue;
            }
            buffer.clear();
            self.write(row, &mut buffer);
            builder.append_value(String::from_utf8_lossy(&buffer));
        }
        builder.finish()
    }
}

/// Brings variants of a type to the one form written here.
fn canonical(array: &ArrayRef) -> Result<ArrayRef> {
    let target = match array.data_type() {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::Float16 => DataType::Float32,
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::FixedSizeBinary(n) if *n != 16 => DataType::BinaryView,
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Date64 => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Time32(_) | DataType::Time64(TimeUnit::Nanosecond) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        DataType::Interval(unit) if *unit != IntervalUnit::MonthDayNano => {
            DataType::Interval(IntervalUnit::MonthDayNano)
        }
        DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => DataType::List(Arc::clone(item)),
        _ => return Ok(Arc::clone(array)),
    };
    canonical(&cast(array, &target)?)
}

fn put(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}");
}

/// Rewrites Rust's `d.ddde±x` as PostgreSQL prints it: fixed notation for exponents in `-4..fixed_below`.
fn float(out: &mut Vec<u8>, value: f64, scientific: &str, fixed_below: i32) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = match mantissa.strip_prefix('-') {
        Some(rest) => {
            out.push(b'-');
            rest
        }
        None => mantissa,
    };
    let digits: Vec<u8> = mantissa.bytes().filter(|b| *b != b'.').collect();
    if !(-4..fixed_below).contains(&exponent) {
        out.extend_from_slice(mantissa.as_bytes());
        put(out, format_args!("e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs()));
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-exponent - 1) as usize));
        out.extend_from_slice(&digits);
    } else {
        let whole = exponent as usize + 1;
        let (head, tail) = digits.split_at(whole.min(digits.len()));
        out.extend_from_slice(head);
        out.extend(std::iter::repeat_n(b'0', whole - head.len()));
        if !tail.is_empty() {
            out.push(b'.');
            out.extend_from_slice(tail);
        }
    }
}

fn decimal(out: &mut Vec<u8>, value: i128, scale: i8) {
    if value < 0 {
        out.push(b'-');
    }
    let digits = value.unsigned_abs().to_string();
    if scale <= 0 {
        out.extend_from_slice(digits.as_bytes());
        if value != 0 {
            out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
        }
        return;
    }
    let scale = scale as usize;
    if digits.len() <= scale {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', scale - digits.len()));
        out.extend_from_slice(digits.as_bytes());
    } else {
        let (whole, decimals) = digits.split_at(digits.len() - scale);
        out.extend_from_slice(whole.as_bytes());
        out.push(b'.');
        out.extend_from_slice(decimals.as_bytes());
    }
}

/// Year, month and day, and whether the year is before Christ.
fn date(out: &mut Vec<u8>, days: i64) {
    let before_christ = calendar(out, days);
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

fn calendar(out: &mut Vec<u8>, days: i64) -> bool {
    let date = i32::try_from(days + 719_163).ok().and_then(chrono::NaiveDate::from_num_days_from_ce_opt);
    let Some(date) = date else {
        put(out, format_args!("{days} days"));
        return false;
    };
    let before_christ = date.year() <= 0;
    let year = if before_christ { 1 - date.year() } else { date.year() };
    put(out, format_args!("{year:04}-{:02}-{:02}", date.month(), date.day()));
    before_christ
}

/// `rest` are nanoseconds.
fn clock(out: &mut Vec<u8>, micros: u64, rest: i64) {
    let seconds = micros / 1_000_000;
    put(out, format_args!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    let mut fraction = micros % 1_000_000 * 1000 + rest.unsigned_abs();
    if fraction == 0 {
        return;
    }
    let mut width = 9;
    while fraction.is_multiple_of(10) {
        fraction /= 10;
        width -= 1;
    }
    put(out, format_args!(".{fraction:0width$}"));
}

fn timestamp(out: &mut Vec<u8>, micros: i64, rest: i64) {
    let before_christ = calendar(out, micros.div_euclid(MICROS_PER_DAY));
    out.push(b' ');
    clock(out, micros.rem_euclid(MICROS_PER_DAY).unsigned_abs(), rest);
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

fn timestamptz(out: &mut Vec<u8>, micros: i64, rest: i64, zone: Tz) {
    let offset = DateTime::from_timestamp_micros(micros)
        .map_or(0, |utc| zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc());
    let local = micros.saturating_add(i64::from(offset) * 1_000_000);
    let before_christ = calendar(out, local.div_euclid(MICROS_PER_DAY));
    out.push(b' ');
    clock(out, local.rem_euclid(MICROS_PER_DAY).unsigned_abs(), rest);
    let (sign, offset) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
    put(out, format_args!("{sign}{:02}", offset / 3600));
    if offset % 3600 != 0 {
        put(out, format_args!(":{:02}", offset / 60 % 60));
    }
    if offset % 60 != 0 {
        put(out, format_args!(":{:02}", offset % 60));
    }
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// The text of one interval.
pub(crate) fn interval_text(value: IntervalMonthDayNano) -> String {
    let mut out = Vec::new();
    interval(&mut out, value);
    String::from_utf8_lossy(&out).into_owned()
}

/// Style `postgres`: `1 year 2 mons 3 days 04:05:06.789`.
fn interval(out: &mut Vec<u8>, value: IntervalMonthDayNano) {
    let micros = value.nanoseconds / 1000;
    let mut parts = 0;
    let mut negative_before = false;
    for (count, unit) in [(value.months / 12, "year"), (value.months % 12, "mon"), (value.days, "day")] {
        if count == 0 {
            continue;
        }
        let space = if parts > 0 { " " } else { "" };
        // A positive part after a negative one carries its sign, so that it reads back right.
        let sign = if negative_before && count > 0 { "+" } else { "" };
        let plural = if count == 1 { "" } else { "s" };
        put(out, format_args!("{space}{sign}{count} {unit}{plural}"));
        negative_before = count < 0;
        parts += 1;
    }
    if micros == 0 && parts > 0 {
        return;
    }
    if parts > 0 {
        out.push(b' ');
    }
    if micros < 0 {
        out.push(b'-');
    } else if negative_before {
        out.push(b'+');
    }
    clock(out, micros.unsigned_abs(), 0);
}

fn list(out: &mut Vec<u8>, array: &ListArray, values: &TextColumn, row: usize) {
    let offsets = array.value_offsets();
    out.push(b'{');
    for (i, at) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        if values.is_null(at) {
            out.extend_from_slice(b"NULL");
            continue;
        }
        let start = out.len();
        values.write(at, out);
        let nested = matches!(values.form, Form::List(..));
        if !nested && needs_quotes(&out[start..]) {
            let element = out.split_off(start);
            out.push(b'"');
            for byte in element {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.push(b'"');
        }
    }
    out.push(b'}');
}

fn needs_quotes(element: &[u8]) -> bool {
    element.is_empty()
        || element.eq_ignore_ascii_case(b"null")
        || element.iter().any(|b| b.is_ascii_whitespace() || matches!(b, b'{' | b'}' | b',' | b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{ColumnBuilder, InputOptions, datetime};
    use crate::types;

    #[test]
    fn text_comes_back_as_it_went_in() {
        let zone = datetime::zone("Europe/Berlin").unwrap();
        let cases = [
            (types::BOOL, "t"),
            (types::INT8, "-9223372036854775808"),
            (types::FLOAT8, "1e+15"),
            (types::FLOAT8, "-0.0001"),
            (types::FLOAT8, "2.5"),
            (types::FLOAT8, "100"),
            (types::FLOAT4, "1e-05"),
            (types::PgType::numeric(10, 3), "-0.050"),
            (types::BYTEA, "\\xdead"),
            (types::DATE, "1999-12-31"),
            (types::DATE, "0044-03-15 BC"),
            (types::TIME, "23:59:59.5"),
            (types::TIMESTAMP, "1969-12-31 23:59:59.999999"),
            (types::TIMESTAMPTZ, "2024-07-01 12:00:00+02"),
            (types::TIMESTAMP_NS, "1969-12-31 23:59:59.999999999"),
            (types::TIMESTAMP_NS, "1677-09-21 00:12:43.145224193"),
            (types::TIMESTAMPTZ_NS, "2024-07-01 12:00:00.00000001+02"),
            (types::INTERVAL, "1 year 2 mons -3 days +04:05:06.7"),
            (types::UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (types::TEXT.array_of().unwrap(), r#"{a,"b c",NULL,"NULL","","x\"y"}"#),
        ];
        for (pg, text) in cases {
            let array = ColumnBuilder::one(pg, Some(text), InputOptions { zone }).unwrap();
            assert_eq!(TextColumn::new(&array, zone).unwrap().value(0).unwrap(), text);
        }
    }
}
