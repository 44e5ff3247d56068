//! Reads text values of one PostgreSQL type into an Arrow array.

use super::{datetime, interval, json, number};
use crate::error::{Error, Result};
use crate::sqlstate::{INVALID_TEXT_REPRESENTATION, STRING_DATA_RIGHT_TRUNCATION, invalid_input};
use crate::types::{PgType, TIMESTAMP_NS, TIMESTAMPTZ_NS, list_item, metadata};
use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    FixedSizeBinaryBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder,
    IntervalMonthDayNanoBuilder, ListArray, NullBufferBuilder, StringViewBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder, TimestampNanosecondBuilder, UInt32Builder,
};
use arrow::buffer::OffsetBuffer;
use std::sync::Arc;

/// What reading text depends on besides the type.
#[derive(Clone, Copy, Debug)]
pub struct InputOptions {
    /// Zone of time stamps without one.
    pub zone: Tz,
}

/// Collects text values of one type.
#[derive(Debug)]
pub struct ColumnBuilder {
    pub(super) pg: PgType,
    options: InputOptions,
    pub(super) values: Values,
}

#[derive(Debug)]
pub(super) enum Values {
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Oid(UInt32Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Text(StringViewBuilder),
    Limited(StringViewBuilder, usize),
    Padded(StringViewBuilder, Option<usize>),
    Json(StringViewBuilder),
    Jsonb(StringViewBuilder),
    Bytes(BinaryViewBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Timestamptz(TimestampMicrosecondBuilder),
    TimestampNs(TimestampNanosecondBuilder),
    TimestamptzNs(TimestampNanosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    Uuid(FixedSizeBinaryBuilder),
    List(Box<ColumnBuilder>, Vec<i32>, NullBufferBuilder),
}

impl ColumnBuilder {
    /// A builder for `rows` values or so. `0A000` for types that have no text form here.
    pub fn new(pg: PgType, rows: usize, options: InputOptions) -> Result<ColumnBuilder> {
        let values = match pg.oid {
            16 => Values::Bool(BooleanBuilder::with_capacity(rows)),
            17 => Values::Bytes(BinaryViewBuilder::with_capacity(rows)),
            20 => Values::Int64(Int64Builder::with_capacity(rows)),
            21 => Values::Int16(Int16Builder::with_capacity(rows)),
            23 => Values::Int32(Int32Builder::with_capacity(rows)),
            24 | 26 | 28 | 2205 | 2206 | 4089 => Values::Oid(UInt32Builder::with_capacity(rows)),
            700 => Values::Float32(Float32Builder::with_capacity(rows)),
            701 => Values::Float64(Float64Builder::with_capacity(rows)),
            1700 => {
                let (precision, scale) = pg.precision_and_scale();
                let builder = Decimal128Builder::with_capacity(rows).with_precision_and_scale(precision, scale)?;
                Values::Decimal(builder, precision, scale)
            }
            114 => Values::Json(StringViewBuilder::with_capacity(rows)),
            3802 => Values::Jsonb(StringViewBuilder::with_capacity(rows)),
            1042 => Values::Padded(StringViewBuilder::with_capacity(rows), pg.character_length()),
            1043 if pg.character_length().is_some() => {
                Values::Limited(StringViewBuilder::with_capacity(rows), pg.character_length().unwrap_or(usize::MAX))
            }
            18 | 19 | 25 | 22 | 30 | 194 | 705 | 1043 => Values::Text(StringViewBuilder::with_capacity(rows)),
            1082 => Values::Date(Date32Builder::with_capacity(rows)),
            1083 => Values::Time(Time64MicrosecondBuilder::with_capacity(rows)),
            1114 => Values::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows)),
            1184 => Values::Timestamptz(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC")),
            oid if oid == TIMESTAMP_NS.oid => Values::TimestampNs(TimestampNanosecondBuilder::with_capacity(rows)),
            oid if oid == TIMESTAMPTZ_NS.oid => {
                Values::TimestamptzNs(TimestampNanosecondBuilder::with_capacity(rows).with_timezone("UTC"))
            }
            1186 => Values::Interval(IntervalMonthDayNanoBuilder::with_capacity(rows)),
            2950 => Values::Uuid(FixedSizeBinaryBuilder::with_capacity(rows, 16)),
            _ => match pg.element() {
                Some(element) => {
                    let child = ColumnBuilder::new(element, rows, options)?;
                    Values::List(Box::new(child), vec![0], NullBufferBuilder::new(rows))
                }
                None => return Err(Error::unsupported(format!("type {}", pg.sql_name()))),
            },
        };
        Ok(ColumnBuilder { pg, options, values })
    }

    /// One value of this type alone.
    pub fn one(pg: PgType, text: Option<&str>, options: InputOptions) -> Result<ArrayRef> {
        let mut builder = ColumnBuilder::new(pg, 1, options)?;
        match text {
            Some(text) => builder.append(text)?,
            None => builder.append_null(),
        }
        builder.finish()
    }

    /// Adds the value `text` stands for.
    pub fn append(&mut self, text: &str) -> Result<()> {
        match &mut self.values {
            Values::Bool(b) => b.append_value(number::boolean(text)?),
            Values::Int16(b) => {
                b.append_value(number::integer(text, i16::MIN.into(), i16::MAX.into(), "smallint")? as i16);
            }
            Values::Int32(b) => {
                b.append_value(number::integer(text, i32::MIN.into(), i32::MAX.into(), "integer")? as i32);
            }
            Values::Int64(b) => b.append_value(number::integer(text, i64::MIN, i64::MAX, "bigint")?),
            Values::Oid(b) => b.append_value(number::integer(text, 0, u32::MAX.into(), "oid")? as u32),
            Values::Float32(b) => b.append_value(number::float32(text)?),
            Values::Float64(b) => b.append_value(number::float64(text)?),
            Values::Decimal(b, precision, scale) => b.append_value(number::decimal(text, *precision, *scale)?),
            Values::Text(b) => b.append_value(checked_text(text)?),
            Values::Limited(b, limit) => b.append_value(limited(checked_text(text)?, *limit, "character varying")?),
            Values::Padded(b, limit) => {
                let text = checked_text(text)?;
                let text = limit.map_or(Ok(text), |limit| limited(text, limit, "character"))?;
                b.append_value(text.trim_end_matches(' '));
            }
            Values::Json(b) => {
                json::check(text)?;
                b.append_value(text);
            }
            Values::Jsonb(b) => b.append_value(json::canonical(text)?),
            Values::Bytes(b) => b.append_value(bytea(text)?),
            Values::Date(b) => b.append_value(datetime::date(text)?),
            Values::Time(b) => b.append_value(self.pg.rounded(datetime::time(text)?)),
            Values::Timestamp(b) => b.append_value(self.pg.rounded(datetime::timestamp(text)?)),
            Values::Timestamptz(b) => b.append_value(self.pg.rounded(datetime::timestamptz(text, self.options.zone)?)),
            Values::TimestampNs(b) => b.append_value(datetime::timestamp_ns(text)?),
            Values::TimestamptzNs(b) => b.append_value(datetime::timestamptz_ns(text, self.options.zone)?),
            Values::Interval(b) => b.append_value(interval::interval(text)?),
            Values::Uuid(b) => b.append_value(uuid(text).ok_or_else(|| invalid_input("uuid", text))?)?,
            Values::List(child, offsets, nulls) => {
                let length = array(text, child)?;
                let last = offsets.last().copied().unwrap_or(0);
                offsets.push(last + length);
                nulls.append_non_null();
            }
        }
        Ok(())
    }

    /// Adds NULL.
    pub fn append_null(&mut self) {
        match &mut self.values {
            Values::Bool(b) => b.append_null(),
            Values::Int16(b) => b.append_null(),
            Values::Int32(b) => b.append_null(),
            Values::Int64(b) => b.append_null(),
            Values::Oid(b) => b.append_null(),
            Values::Float32(b) => b.append_null(),
            Values::Float64(b) => b.append_null(),
            Values::Decimal(b, ..) => b.append_null(),
            Values::Text(b) | Values::Limited(b, _) | Values::Padded(b, _) | Values::Json(b) | Values::Jsonb(b) => {
                b.append_null();
            }
            Values::Bytes(b) => b.append_null(),
            Values::Date(b) => b.append_null(),
            Values::Time(b) => b.append_null(),
            Values::Timestamp(b) | Values::Timestamptz(b) => b.append_null(),
            Values::TimestampNs(b) | Values::TimestamptzNs(b) => b.append_null(),
            Values::Interval(b) => b.append_null(),
            Values::Uuid(b) => b.append_null(),
            Values::List(_, offsets, nulls) => {
                let last = offsets.last().copied().unwrap_or(0);
                offsets.push(last);
                nulls.append_null();
            }
        }
    }

    /// The array of all values added; the builder is empty again.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match &mut self.values {
            Values::Bool(b) => Arc::new(b.finish()),
            Values::Int16(b) => Arc::new(b.finish()),
            Values::Int32(b) => Arc::new(b.finish()),
            Values::Int64(b) => Arc::new(b.finish()),
            Values::Oid(b) => Arc::new(b.finish()),
            Values::Float32(b) => Arc::new(b.finish()),
            Values::Float64(b) => Arc::new(b.finish()),
            Values::Decimal(b, ..) => Arc::new(b.finish()),
            Values::Text(b) | Values::Limited(b, _) | Values::Padded(b, _) | Values::Json(b) | Values::Jsonb(b) => {
                Arc::new(b.finish())
            }
            Values::Bytes(b) => Arc::new(b.finish()),
            Values::Date(b) => Arc::new(b.finish()),
            Values::Time(b) => Arc::new(b.finish()),
            Values::Timestamp(b) | Values::Timestamptz(b) => Arc::new(b.finish()),
            Values::TimestampNs(b) | Values::TimestamptzNs(b) => Arc::new(b.finish()),
            Values::Interval(b) => Arc::new(b.finish()),
            Values::Uuid(b) => Arc::new(b.finish()),
            Values::List(child, offsets, nulls) => {
                let values = child.finish()?;
                let offsets = std::mem::replace(offsets, vec![0]);
                let nulls = nulls.finish();
                let item = list_item(values.data_type().clone());
                Arc::new(ListArray::try_new(item, OffsetBuffer::new(offsets.into()), values, nulls)?)
            }
        })
    }

    /// The type it reads.
    pub fn pg_type(&self) -> PgType {
        self.pg
    }

    /// Whether the array's field carries metadata.
    pub fn has_metadata(&self) -> bool {
        metadata(self.pg).is_some()
    }
}

/// Text may hold anything but the byte 0.
fn checked_text(text: &str) -> Result<&str> {
    if text.contains('\0') {
        return Err(Error::new(
            crate::sqlstate::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    Ok(text)
}

/// Checks the length in characters; spaces beyond it are dropped, as the standard asks.
pub(crate) fn limited<'a>(text: &'a str, limit: usize, type_name: &str) -> Result<&'a str> {
    if text.len() <= limit {
        return Ok(text);
    }
    match text.char_indices().nth(limit) {
        None => Ok(text),
        Some((end, _)) if text[end..].bytes().all(|b| b == b' ') => Ok(&text[..end]),
        Some(_) => {
            Err(Error::new(STRING_DATA_RIGHT_TRUNCATION, format!("value too long for type {type_name}({limit})")))
        }
    }
}

/// A `uuid`: 32 hexadecimal digits, a hyphen allowed after every fourth, perhaps in braces.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut value = [0u8; 16];
    let mut digits = 0;
    let mut bytes = inner.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let digit = (byte as char).to_digit(16)? as u8;
        let slot = value.get_mut(digits / 2)?;
        *slot = (*slot << 4) | digit;
        digits += 1;
        if digits % 4 == 0 && digits < 32 {
            bytes.next_if_eq(&b'-');
        }
    }
    (digits == 32).then_some(value)
}

/// A `bytea` in hex (`\xdead`) or escape (`abc\000`) format.
fn bytea(text: &str) -> Result<Vec<u8>> {
    let bad = || invalid_input("bytea", text);
    if let Some(hex) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        if !digits.len().is_multiple_of(2) {
            return Err(Error::new(
                crate::sqlstate::INVALID_PARAMETER_VALUE,
                "invalid hexadecimal data: odd number of digits",
            ));
        }
        return digits.chunks(2).map(|pair| Ok((hex_digit(pair[0])? << 4) | hex_digit(pair[1])?)).collect();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] != b'\\' {
            out.push(bytes[i]);
            i += 1;
        } else if bytes.get(i + 1) == Some(&b'\\') {
            out.push(b'\\');
            i += 2;
        } else {
            let digits = bytes.get(i + 1..i + 4).ok_or_else(bad)?;
            let octal = digits.iter().try_fold(0u32, |value, digit| {
                matches!(digit, b'0'..=b'7').then(|| value * 8 + u32::from(digit - b'0'))
            });
            out.push(octal.and_then(|v| u8::try_from(v).ok()).ok_or_else(bad)?);
            i += 4;
        }
    }
    Ok(out)
}

fn hex_digit(byte: u8) -> Result<u8> {
    (byte as char).to_digit(16).map(|d| d as u8).ok_or_else(|| {
        Error::new(crate::sqlstate::INVALID_PARAMETER_VALUE, format!("invalid hexadecimal digit: \"{}\"", byte as char))
    })
}

/// How deep the braces of an array's text are nested: 1 for `{1,2}`.
pub(crate) fn dimensions(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).take_while(|c| *c == '{').count()
}

/// Reads an array of several dimensions alone; its Arrow type has as many levels of lists.
pub(crate) fn nested_array(element: PgType, text: &str, options: InputOptions) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::new(element, 8, options)?;
    for _ in 0..dimensions(text) {
        let values = Values::List(Box::new(builder), vec![0], NullBufferBuilder::new(1));
        builder = ColumnBuilder { pg: element.array_of().unwrap_or(element), options, values };
    }
    builder.append(text)?;
    let array = builder.finish()?;
    match rectangular(&array) {
        true => Ok(array),
        false => Err(malformed(text, "Multidimensional arrays must have sub-arrays with matching dimensions.")),
    }
}

/// Whether the lists of each level have one length.
fn rectangular(array: &ArrayRef) -> bool {
    let Some(lists) = array.as_list_opt::<i32>() else { return true };
    let mut lengths = lists.offsets().lengths();
    let first = lengths.next();
    lengths.all(|length| Some(length) == first) && rectangular(lists.values())
}

fn malformed(text: &str, detail: &str) -> Error {
    Error::new(INVALID_TEXT_REPRESENTATION, format!("malformed array literal: \"{text}\"")).with_detail(detail)
}

/// Reads `{1,2,NULL,"a b"}` into `child`; the number of elements.
fn array(text: &str, child: &mut ColumnBuilder) -> Result<i32> {
    let malformed = |detail: &str| malformed(text, detail);
    let inner = text
        .trim()
        .strip_prefix('{')
        .ok_or_else(|| malformed("Array value must start with \"{\" or dimension information."))?;
    let inner = inner.strip_suffix('}').ok_or_else(|| malformed("Unexpected end of input."))?;
    let nested = matches!(child.values, Values::List(..));
    if inner.trim().is_empty() {
        return if nested { Err(malformed("Unexpected \"}\" character.")) } else { Ok(0) };
    }
    let mut length = 0;
    let mut chars = inner.chars().peekable();
    loop {
        let (element, quoted) = array_element(&mut chars).ok_or_else(|| malformed("Unexpected array element."))?;
        let sub_array = !quoted && element.starts_with('{');
        if sub_array != nested {
            return Err(match sub_array && length == 0 {
                true => Error::unsupported("a multidimensional array"),
                false => malformed("Unexpected array element."),
            });
        }
        if sub_array && element.trim_matches(['{', '}']).trim().is_empty() {
            return Err(malformed("Unexpected \"}\" character."));
        }
        if !quoted && element.is_empty() {
            return Err(malformed("Unexpected \",\" character."));
        }
        if !quoted && element.eq_ignore_ascii_case("null") {
            child.append_null();
        } else {
            child.append(&element)?;
        }
        length += 1;
        match chars.next() {
            None => return Ok(length),
            Some(',') => {}
            Some(_) => return Err(malformed("Unexpected array element.")),
        }
    }
}

/// One element up to the next comma, and whether it was quoted. A sub-array comes whole, with its braces.
fn array_element(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<(String, bool)> {
    while chars.next_if(|c| c.is_whitespace()).is_some() {}
    let mut element = String::new();
    if chars.peek() == Some(&'{') {
        sub_array(chars, &mut element)?;
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        return Some((element, false));
    }
    if chars.next_if_eq(&'"').is_some() {
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => element.push(chars.next()?),
                c => element.push(c),
            }
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        return Some((element, true));
    }
    while let Some(c) = chars.next_if(|c| *c != ',') {
        match c {
            '\\' => element.push(chars.next()?),
            '"' | '{' | '}' => return None,
            c => element.push(c),
        }
    }
    Some((element.trim_end().to_owned(), false))
}

/// Copies `{…}` with what is quoted in it.
fn sub_array(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) -> Option<()> {
    let (mut depth, mut quoted) = (0usize, false);
    loop {
        let c = chars.next()?;
        out.push(c);
        match c {
            '\\' => out.push(chars.next()?),
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some(());
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{BPCHAR, BYTEA, INT4, TEXT, VARCHAR};
    use arrow::datatypes::Int32Type;

    fn options() -> InputOptions {
        InputOptions { zone: datetime::zone("UTC").unwrap() }
    }

    #[test]
    fn arrays_of_text_unquote_their_elements() {
        let array =
            ColumnBuilder::one(TEXT.array_of().unwrap(), Some(r#"{a, "b \"c\"",NULL,"NULL"}"#), options()).unwrap();
        let list = array.as_list::<i32>().value(0);
        let values: Vec<Option<&str>> = list.as_string_view().iter().collect();
        assert_eq!(values, [Some("a"), Some("b \"c\""), None, Some("NULL")]);
        for bad in ["1", "{1", "{1,}", "{1 2}", "{\"}"] {
            let result = ColumnBuilder::one(INT4.array_of().unwrap(), Some(bad), options());
            assert_eq!(result.unwrap_err().state().0, "22P02", "{bad}");
        }
        let numbers = ColumnBuilder::one(INT4.array_of().unwrap(), Some("{1,2}"), options()).unwrap();
        assert_eq!(numbers.as_list::<i32>().value(0).as_primitive::<Int32Type>().values(), &[1, 2]);
    }

    #[test]
    fn arrays_of_arrays_are_rectangular() {
        let read = |text: &str| nested_array(INT4, text, options());
        let array = read("{{1,2},{3,NULL}}").unwrap();
        assert_eq!(array.as_list::<i32>().value(0).as_list::<i32>().values().len(), 4);
        for bad in ["{{1,2},{3}}", "{{1,2},3}", "{{}}", "{{1,2}"] {
            assert_eq!(read(bad).unwrap_err().state().0, "22P02", "{bad}");
        }
    }

    #[test]
    fn uuids_may_have_braces_and_hyphens_after_four_digits() {
        let plain = uuid("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        assert!(plain.is_some());
        for text in ["{a0eebc999c0b4ef8bb6d6bb9bd380a11}", "A0EE-BC99-9C0B-4EF8-BB6D-6BB9-BD38-0A11"] {
            assert_eq!(uuid(text), plain, "{text}");
        }
        for bad in ["", "{a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0e-ebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99"] {
            assert_eq!(uuid(bad), None, "{bad}");
        }
    }

    #[test]
    fn lengths_count_characters_and_spare_spaces() {
        let varchar = VARCHAR.with_modifier(4 + 3);
        assert!(ColumnBuilder::one(varchar, Some("äöü"), options()).is_ok());
        assert!(ColumnBuilder::one(varchar, Some("abc  "), options()).is_ok());
        assert_eq!(ColumnBuilder::one(varchar, Some("abcd"), options()).unwrap_err().state().0, "22001");
        let char = ColumnBuilder::one(BPCHAR.with_modifier(4 + 5), Some("ab   "), options()).unwrap();
        assert_eq!(char.as_string_view().value(0), "ab");
    }

    #[test]
    fn bytea_in_both_formats() {
        let hex = ColumnBuilder::one(BYTEA, Some("\\xDEad"), options()).unwrap();
        assert_eq!(hex.as_binary_view().value(0), [0xde, 0xad]);
        let escape = ColumnBuilder::one(BYTEA, Some("a\\000\\\\"), options()).unwrap();
        assert_eq!(escape.as_binary_view().value(0), b"a\0\\");
        assert!(ColumnBuilder::one(BYTEA, Some("\\xabc"), options()).is_err());
    }
}
