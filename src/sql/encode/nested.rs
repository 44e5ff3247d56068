//! Arrays and records: `{1,NULL,"a b"}` and `(1,,"a b")` as text, and their binary forms.

use super::Format;
use super::cell::{Cell, Shape};
use crate::error::{Error, Result, SqlState};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use bytes::{BufMut, BytesMut};

/// A value, its nulls known beside it.
struct Element {
    cell: Box<dyn Cell>,
    nulls: Option<NullBuffer>,
}

impl Element {
    fn bind(shape: &Shape, array: &ArrayRef) -> Result<Element> {
        Ok(Element { cell: shape.bind(array)?, nulls: array.logical_nulls() })
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Binary: length word and value, or -1.
    fn put_sized(&self, row: usize, out: &mut BytesMut) {
        if self.is_null(row) {
            return out.put_i32(-1);
        }
        let start = out.len();
        out.put_i32(0);
        self.cell.put(row, out);
        let len = (out.len() - start - 4) as i32;
        out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    }
}

/// A column of arrays.
pub struct ListCell {
    list: ListArray,
    element: Element,
    /// Whether elements are arrays themselves: written as further dimensions, never quoted.
    inner: Option<Box<ListCell>>,
    leaf_oid: u32,
    binary: bool,
}

impl ListCell {
    /// Makes a list column writable.
    pub fn bind(shape: &Shape, list: ListArray) -> Result<Box<dyn Cell>> {
        Ok(Box::new(Self::new(shape, list)?))
    }

    fn new(shape: &Shape, list: ListArray) -> Result<ListCell> {
        let child =
            shape.children().first().ok_or_else(|| Error::new(SqlState("XX000"), "array without element type"))?;
        let inner = match list.values().data_type() {
            DataType::List(_) => Some(Box::new(ListCell::new(child, list.values().as_list::<i32>().clone())?)),
            _ => None,
        };
        let leaf_oid = inner.as_ref().map_or(child.oid, |inner| inner.leaf_oid);
        let element = Element::bind(child, list.values())?;
        Ok(ListCell { list, element, inner, leaf_oid, binary: shape.format == Format::Binary })
    }

    fn range(&self, row: usize) -> std::ops::Range<usize> {
        let offsets = self.list.value_offsets();
        offsets[row] as usize..offsets[row + 1] as usize
    }

    fn put_text(&self, row: usize, out: &mut BytesMut) {
        out.put_u8(b'{');
        for (i, at) in self.range(row).enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            if self.element.is_null(at) {
                out.put_slice(b"NULL");
            } else if let Some(inner) = &self.inner {
                inner.put_text(at, out);
            } else {
                let start = out.len();
                self.element.cell.put(at, out);
                quote(out, start, array_needs_quotes, b'\\');
            }
        }
        out.put_u8(b'}');
    }

    /// Lengths of the dimensions, following first elements.
    fn dimensions(&self, row: usize, lengths: &mut Vec<i32>) {
        let range = self.range(row);
        lengths.push(range.len() as i32);
        if let (Some(inner), false) = (&self.inner, range.is_empty()) {
            inner.dimensions(range.start, lengths);
        }
    }

    /// Whether a leaf of the array is NULL.
    fn has_null(&self, row: usize) -> bool {
        let mut range = self.range(row);
        match &self.inner {
            Some(inner) => range.any(|at| inner.has_null(at)),
            None => self.element.nulls.is_some() && range.any(|at| self.element.is_null(at)),
        }
    }

    fn put_leaves(&self, row: usize, out: &mut BytesMut) {
        for at in self.range(row) {
            match &self.inner {
                Some(inner) => inner.put_leaves(at, out),
                None => self.element.put_sized(at, out),
            }
        }
    }

    fn put_binary(&self, row: usize, out: &mut BytesMut) {
        let mut lengths = Vec::new();
        self.dimensions(row, &mut lengths);
        if lengths.contains(&0) {
            lengths.clear();
        }
        out.put_i32(lengths.len() as i32);
        out.put_i32(i32::from(self.has_null(row)));
        out.put_u32(self.leaf_oid);
        for length in &lengths {
            out.put_i32(*length);
            out.put_i32(1);
        }
        if !lengths.is_empty() {
            self.put_leaves(row, out);
        }
    }
}

impl Cell for ListCell {
    fn put(&self, row: usize, out: &mut BytesMut) {
        if self.binary { self.put_binary(row, out) } else { self.put_text(row, out) }
    }
}

/// A column of records.
pub struct RecordCell {
    fields: Vec<(u32, Element)>,
    binary: bool,
}

impl RecordCell {
    /// Makes a struct column writable.
    pub fn bind(shape: &Shape, array: &StructArray) -> Result<Box<dyn Cell>> {
        let fields = shape
            .children()
            .iter()
            .zip(array.columns())
            .map(|(shape, column)| Ok((shape.oid, Element::bind(shape, column)?)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Box::new(RecordCell { fields, binary: shape.format == Format::Binary }))
    }
}

impl Cell for RecordCell {
    fn put(&self, row: usize, out: &mut BytesMut) {
        if self.binary {
            out.put_i32(self.fields.len() as i32);
            for (oid, element) in &self.fields {
                out.put_u32(*oid);
                element.put_sized(row, out);
            }
            return;
        }
        out.put_u8(b'(');
        for (i, (_, element)) in self.fields.iter().enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            if !element.is_null(row) {
                let start = out.len();
                element.cell.put(row, out);
                quote(out, start, record_needs_quotes, b'"');
            }
        }
        out.put_u8(b')');
    }
}

fn array_needs_quotes(value: &[u8]) -> bool {
    value.is_empty()
        || value.eq_ignore_ascii_case(b"null")
        || value.iter().any(|b| matches!(b, b'{' | b'}' | b',' | b'"' | b'\\') || is_space(*b))
}

fn record_needs_quotes(value: &[u8]) -> bool {
    value.is_empty() || value.iter().any(|b| matches!(b, b'(' | b')' | b',' | b'"' | b'\\') || is_space(*b))
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Puts the text from `start` on into double quotes if it needs them; `escape` goes before a double quote inside.
fn quote(out: &mut BytesMut, start: usize, needs_quotes: fn(&[u8]) -> bool, escape: u8) {
    if !needs_quotes(&out[start..]) {
        return;
    }
    let value = out.split_off(start);
    out.put_u8(b'"');
    for byte in &value {
        match byte {
            b'"' => out.put_u8(escape),
            b'\\' => out.put_u8(b'\\'),
            _ => {}
        }
        out.put_u8(*byte);
    }
    out.put_u8(b'"');
}
