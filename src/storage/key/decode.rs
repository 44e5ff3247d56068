//! Keys back to columns. Nothing about the bytes is believed: they may come from a damaged page.

use super::column::{Form, KeyColumn, with_numbers};
use super::escape;
use super::number::KeyNumber;
use super::{NULL, PRESENT};
use crate::error::{Error, Result};
use arrow::array::{
    ArrayRef, BinaryBuilder, BinaryViewBuilder, BooleanBuilder, FixedSizeBinaryBuilder, LargeBinaryBuilder,
    LargeStringBuilder, PrimitiveBuilder, StringBuilder, StringViewBuilder,
};
use arrow::datatypes::{ArrowPrimitiveType, DataType};
use std::sync::Arc;

/// Decodes all columns, one after the other; `keys` hold what is left of each key.
pub(super) fn decode(columns: &[KeyColumn], forms: &[Form], mut keys: Vec<&[u8]>) -> Result<Vec<ArrayRef>> {
    let mut arrays = Vec::with_capacity(columns.len());
    for (i, column) in columns.iter().enumerate() {
        let last = i + 1 == columns.len();
        let array = match forms[i] {
            Form::Fixed(width) => fixed_values(column, width, &mut keys),
            Form::Bytes => byte_values(column, End::of(last), &mut keys),
        };
        arrays.push(array.map_err(|detail| Error::MalformedKey { column: i, detail })?);
    }
    match keys.iter().find(|rest| !rest.is_empty()) {
        None => Ok(arrays),
        Some(rest) => {
            let detail = format!("{} bytes after the last column", rest.len());
            Err(Error::MalformedKey { column: columns.len() - 1, detail })
        }
    }
}

/// Bytes of the first `count` columns of `key`.
pub(super) fn prefix_bytes(columns: &[KeyColumn], forms: &[Form], key: &[u8], count: usize) -> Result<usize> {
    let mut rest = key;
    for (i, column) in columns.iter().enumerate().take(count) {
        let skipped = match marker(&mut rest, column.nullable) {
            Err(detail) => Err(detail),
            Ok(Marker::Null) => Ok(()),
            Ok(Marker::Value) => match forms[i] {
                Form::Fixed(width) => take(&mut rest, width).map(|_| ()),
                Form::Bytes if i + 1 == columns.len() => {
                    rest = &[];
                    Ok(())
                }
                Form::Bytes => escape::skip(&mut rest).ok_or_else(|| UNTERMINATED.to_string()),
            },
        };
        skipped.map_err(|detail| Error::MalformedKey { column: i, detail })?;
    }
    Ok(key.len() - rest.len())
}

/// A value, or what is wrong with the bytes.
type Detailed<T> = std::result::Result<T, String>;

const UNTERMINATED: &str = "a string without its end";

/// What a column begins with.
enum Marker {
    Value,
    Null,
}

/// What ends a string.
#[derive(Clone, Copy)]
enum End {
    Terminator,
    Key,
}

impl End {
    fn of(last: bool) -> End {
        if last { End::Key } else { End::Terminator }
    }
}

#[inline]
fn take<'a>(key: &mut &'a [u8], count: usize) -> Detailed<&'a [u8]> {
    let (bytes, rest) = key.split_at_checked(count).ok_or_else(|| format!("{} bytes instead of {count}", key.len()))?;
    *key = rest;
    Ok(bytes)
}

#[inline]
fn marker(key: &mut &[u8], nullable: bool) -> Detailed<Marker> {
    if !nullable {
        return Ok(Marker::Value);
    }
    match take(key, 1)?[0] {
        PRESENT => Ok(Marker::Value),
        NULL => Ok(Marker::Null),
        other => Err(format!("{other:#04x} where a value or NULL begins")),
    }
}

/// Decodes a column of values of `width` bytes.
fn fixed_values(column: &KeyColumn, width: usize, keys: &mut [&[u8]]) -> Detailed<ArrayRef> {
    fn numbers<T: ArrowPrimitiveType<Native: KeyNumber>>(column: &KeyColumn, keys: &mut [&[u8]]) -> Detailed<ArrayRef> {
        let mut values = PrimitiveBuilder::<T>::with_capacity(keys.len()).with_data_type(column.data_type.clone());
        for key in keys {
            match marker(key, column.nullable)? {
                Marker::Null => values.append_null(),
                Marker::Value => {
                    let value = T::Native::read(take(key, T::Native::WIDTH)?);
                    values.append_value(value.ok_or_else(|| format!("no {} is written so", column.data_type))?);
                }
            }
        }
        Ok(Arc::new(values.finish()))
    }
    with_numbers!(&column.data_type, T => numbers::<T>(column, keys), else {
        match &column.data_type {
            DataType::Boolean => booleans(column, keys),
            _ => fixed_binary(column, width, keys),
        }
    })
}

fn booleans(column: &KeyColumn, keys: &mut [&[u8]]) -> Detailed<ArrayRef> {
    let mut values = BooleanBuilder::with_capacity(keys.len());
    for key in keys {
        match marker(key, column.nullable)? {
            Marker::Null => values.append_null(),
            Marker::Value => match take(key, 1)?[0] {
                byte @ 0..=1 => values.append_value(byte == 1),
                other => return Err(format!("{other:#04x} is no Boolean")),
            },
        }
    }
    Ok(Arc::new(values.finish()))
}

fn fixed_binary(column: &KeyColumn, width: usize, keys: &mut [&[u8]]) -> Detailed<ArrayRef> {
    let mut values = FixedSizeBinaryBuilder::with_capacity(keys.len(), width as i32);
    for key in keys {
        match marker(key, column.nullable)? {
            Marker::Null => values.append_null(),
            Marker::Value => values.append_value(take(key, width)?).map_err(|e| e.to_string())?,
        }
    }
    Ok(Arc::new(values.finish()))
}

/// Decodes a column of strings or bytes.
fn byte_values(column: &KeyColumn, end: End, keys: &mut [&[u8]]) -> Detailed<ArrayRef> {
    macro_rules! values {
        ($builder:ident, $convert:expr) => {{
            let mut values = $builder::new();
            let mut scratch = Vec::new();
            for key in keys {
                match marker(key, column.nullable)? {
                    Marker::Null => values.append_null(),
                    Marker::Value => values.append_value($convert(read(key, end, &mut scratch)?)?),
                }
            }
            Ok(Arc::new(values.finish()))
        }};
    }
    fn text(bytes: &[u8]) -> Detailed<&str> {
        std::str::from_utf8(bytes).map_err(|e| e.to_string())
    }
    fn binary(bytes: &[u8]) -> Detailed<&[u8]> {
        Ok(bytes)
    }
    match &column.data_type {
        DataType::Utf8 => values!(StringBuilder, text),
        DataType::LargeUtf8 => values!(LargeStringBuilder, text),
        DataType::Utf8View => values!(StringViewBuilder, text),
        DataType::Binary => values!(BinaryBuilder, binary),
        DataType::LargeBinary => values!(LargeBinaryBuilder, binary),
        _ => values!(BinaryViewBuilder, binary),
    }
}

#[inline]
fn read<'s, 'a: 's>(key: &mut &'a [u8], end: End, scratch: &'s mut Vec<u8>) -> Detailed<&'s [u8]> {
    match end {
        End::Key => Ok(std::mem::take(key)),
        End::Terminator => escape::read(key, scratch).ok_or_else(|| UNTERMINATED.to_string()),
    }
}
