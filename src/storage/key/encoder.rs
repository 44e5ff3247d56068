//! The encoder of one table's or index's keys, and how arrays become bytes.
//!
//! A key whose columns are all NOT NULL and of fixed width has a fixed width itself: every column is written at its place in
//! every key, without offsets. Otherwise one pass over the columns adds up the lengths, which gives all offsets and the
//! check of the limit, and a second one writes column by column at a cursor per row.

use super::column::{ByteValues, Form, KeyColumn, with_numbers};
use super::decode;
use super::encoded::{Bounds, EncodedKeys};
use super::escape;
use super::number::KeyNumber;
use super::range::{KeyRange, Prefix};
use super::{KEY_BYTES_MAX, KEY_COLUMNS_MAX, NULL, PRESENT};
use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::ArrowPrimitiveType;
use std::ops::Bound;

/// Encodes and decodes the keys of one table or index.
#[derive(Clone, Debug)]
pub(crate) struct KeyEncoder {
    columns: Vec<KeyColumn>,
    forms: Vec<Form>,
}

impl KeyEncoder {
    /// An encoder for keys of these columns, 1 to [`KEY_COLUMNS_MAX`] of them. Fails for types that have no order as bytes.
    pub(crate) fn new(columns: &[KeyColumn]) -> Result<KeyEncoder> {
        if columns.is_empty() || columns.len() > KEY_COLUMNS_MAX {
            return Err(Error::Unsupported(format!(
                "a key has 1 to {KEY_COLUMNS_MAX} columns, and not {}",
                columns.len()
            )));
        }
        let forms = columns.iter().map(|column| Form::of(&column.data_type)).collect::<Result<_>>()?;
        Ok(KeyEncoder { columns: columns.to_vec(), forms })
    }

    /// The columns, in the order of the key.
    pub(crate) fn columns(&self) -> &[KeyColumn] {
        &self.columns
    }

    /// Encodes whole keys: one array per column, of the column's type and all of one length. Fails if a key is longer than
    /// [`KEY_BYTES_MAX`].
    pub(crate) fn encode(&self, columns: &[ArrayRef]) -> Result<EncodedKeys> {
        if columns.len() != self.columns.len() {
            return Err(Error::Unsupported(format!(
                "a key of {} columns was given {} of them",
                self.columns.len(),
                columns.len()
            )));
        }
        self.encode_up_to(columns, KEY_BYTES_MAX)
    }

    /// Fails if one of the keys would be longer than [`KEY_BYTES_MAX`].
    pub(crate) fn check_lengths(&self, columns: &[ArrayRef]) -> Result<()> {
        match self.fixed_width(columns.len()) {
            Some(width) if width <= KEY_BYTES_MAX => Ok(()),
            _ => self.encode(columns).map(|_| ()),
        }
    }

    /// Encodes the first columns of keys as they begin such keys, however long they are: what is sought may be longer than
    /// what can be stored.
    pub(crate) fn encode_prefix(&self, columns: &[ArrayRef]) -> Result<EncodedKeys> {
        self.encode_up_to(columns, usize::MAX)
    }

    /// The range of keys between bounds on their first columns, each bound one row of as many columns as it is about. An inclusive
    /// bound includes all keys that begin with it. NULLs are values here, above all others: a condition `b > 5` after `a = 1` is the
    /// range from excluded `(1, 5)` to excluded `(1, NULL)`.
    pub(crate) fn range(&self, lower: Bound<&[ArrayRef]>, upper: Bound<&[ArrayRef]>) -> Result<KeyRange> {
        let encode = |bound: Bound<&[ArrayRef]>| -> Result<Bound<(EncodedKeys, usize)>> {
            let (Bound::Included(columns) | Bound::Excluded(columns)) = bound else { return Ok(Bound::Unbounded) };
            let keys = self.encode_prefix(columns)?;
            if keys.len() != 1 {
                return Err(Error::Unsupported(format!("a bound of a key range has {} rows", keys.len())));
            }
            Ok(bound.map(|columns| (keys, columns.len())))
        };
        let (lower, upper) = (encode(lower)?, encode(upper)?);
        let prefix = |(keys, columns)| self.prefix(keys, columns);
        Ok(KeyRange::between(
            lower.as_ref().map(|(keys, columns)| prefix((keys, *columns))),
            upper.as_ref().map(|(keys, columns)| prefix((keys, *columns))),
        ))
    }

    /// The columns of encoded keys. Fails on bytes that [`KeyEncoder::encode`] does not make.
    pub(crate) fn decode<'a>(&self, keys: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        decode::decode(&self.columns, &self.forms, keys.into_iter().collect())
    }

    /// How many bytes of `key` its first `columns` take. For an index, whose keys end with those of the table, this is where the
    /// table's key begins.
    pub(crate) fn prefix_bytes(&self, key: &[u8], columns: usize) -> Result<usize> {
        decode::prefix_bytes(&self.columns, &self.forms, key, columns)
    }

    fn prefix<'a>(&self, keys: &'a EncodedKeys, columns: usize) -> Prefix<'a> {
        match columns == self.columns.len() {
            true => Prefix::Key(keys.get(0)),
            false => Prefix::Columns(keys.get(0)),
        }
    }

    fn encode_up_to(&self, arrays: &[ArrayRef], bytes_max: usize) -> Result<EncodedKeys> {
        let rows = self.check(arrays)?;
        match self.fixed_width(arrays.len()) {
            Some(width) if width > bytes_max => Err(Error::KeyTooLarge { bytes: width, limit_bytes: bytes_max }),
            Some(width) => Ok(self.encode_fixed(arrays, rows, width)),
            None => self.encode_variable(arrays, rows, bytes_max),
        }
    }

    /// Checks that `arrays` are the first columns, and answers their length.
    fn check(&self, arrays: &[ArrayRef]) -> Result<usize> {
        if arrays.is_empty() || arrays.len() > self.columns.len() {
            return Err(Error::Unsupported(format!(
                "{} columns cannot begin a key of {}",
                arrays.len(),
                self.columns.len()
            )));
        }
        let rows = arrays[0].len();
        for (i, (array, column)) in arrays.iter().zip(&self.columns).enumerate() {
            if *array.data_type() != column.data_type {
                return Err(Error::Unsupported(format!(
                    "key column {i} has type {} and was given {}",
                    column.data_type,
                    array.data_type()
                )));
            }
            if array.len() != rows {
                return Err(Error::Unsupported(format!("key column {i} has {} rows instead of {rows}", array.len())));
            }
            if !column.nullable && array.null_count() > 0 {
                return Err(Error::Unsupported(format!("key column {i} has NULLs and is declared to have none")));
            }
        }
        Ok(rows)
    }

    /// Bytes of the first `count` columns, if these are the same for all keys.
    fn fixed_width(&self, count: usize) -> Option<usize> {
        let columns = self.columns.iter().zip(&self.forms).take(count);
        columns.map(|(column, form)| if column.nullable { None } else { form.width() }).sum()
    }

    fn encode_fixed(&self, arrays: &[ArrayRef], rows: usize, width: usize) -> EncodedKeys {
        let mut bytes = vec![0; rows * width];
        let mut at = 0;
        for (array, form) in arrays.iter().zip(&self.forms) {
            write_fixed(array, &mut bytes, width, at);
            at += form.width().unwrap_or(0);
        }
        EncodedKeys { bytes, bounds: Bounds::Fixed(width) }
    }

    fn encode_variable(&self, arrays: &[ArrayRef], rows: usize, bytes_max: usize) -> Result<EncodedKeys> {
        let mut lengths = vec![0; rows];
        let mut plain = Vec::with_capacity(arrays.len());
        for (i, array) in arrays.iter().enumerate() {
            plain.push(self.add_lengths(i, array, &mut lengths));
        }
        if let Some(&bytes) = lengths.iter().find(|&&length| length > bytes_max) {
            return Err(Error::KeyTooLarge { bytes, limit_bytes: bytes_max });
        }
        // While columns are written, entry `i + 1` is where the next byte of row `i` goes; in the end that is the row's end.
        let mut offsets = vec![0; rows + 1];
        let mut total = 0;
        for (offset, length) in offsets[1..].iter_mut().zip(&lengths) {
            *offset = total;
            total += length;
        }
        let mut bytes = vec![0; total];
        for (i, array) in arrays.iter().enumerate() {
            let cursors = Cursors { ends: &mut offsets[1..], bytes: &mut bytes, nullable: self.columns[i].nullable };
            self.write_variable(i, array, plain[i], cursors);
        }
        debug_assert_eq!(offsets.last(), Some(&total), "the bytes written are the bytes counted");
        Ok(EncodedKeys { bytes, bounds: Bounds::Offsets(offsets) })
    }

    /// Whether the key's end is the end of this column's values.
    fn is_last(&self, column: usize) -> bool {
        column + 1 == self.columns.len()
    }

    /// Adds the bytes that each row takes in one column. Says whether all strings can be copied as they are.
    fn add_lengths(&self, column: usize, array: &ArrayRef, lengths: &mut [usize]) -> Spelling {
        let marker = usize::from(self.columns[column].nullable);
        let nulls = array.nulls();
        let mut escapes = 0;
        let mut add = |length_of: &mut dyn FnMut(usize) -> usize| {
            for (row, length) in lengths.iter_mut().enumerate() {
                *length += marker + if is_null(nulls, row) { 0 } else { length_of(row) };
            }
        };
        match self.forms[column] {
            Form::Fixed(width) => add(&mut |_| width),
            Form::Bytes => {
                let values = ByteValues::of(array);
                match self.is_last(column) {
                    true => add(&mut |row| values.value(row).len()),
                    false => add(&mut |row| {
                        let value = values.value(row);
                        let more = escape::escapes(value);
                        escapes += more;
                        value.len() + more + 1
                    }),
                }
            }
        }
        if escapes == 0 { Spelling::Plain } else { Spelling::Escaped }
    }

    fn write_variable(&self, column: usize, array: &ArrayRef, spelling: Spelling, cursors: Cursors<'_>) {
        let nulls = array.nulls();
        match (self.forms[column], spelling) {
            (Form::Fixed(_), _) => write_at_cursors(array, cursors),
            (Form::Bytes, _) if self.is_last(column) => {
                let values = ByteValues::of(array);
                cursors.write(nulls, |row, out| {
                    let value = values.value(row);
                    out[..value.len()].copy_from_slice(value);
                    value.len()
                });
            }
            (Form::Bytes, Spelling::Plain) => {
                let values = ByteValues::of(array);
                cursors.write(nulls, |row, out| escape::write_plain(values.value(row), out));
            }
            (Form::Bytes, Spelling::Escaped) => {
                let values = ByteValues::of(array);
                cursors.write(nulls, |row, out| escape::write(values.value(row), out));
            }
        }
    }
}

impl Form {
    fn width(self) -> Option<usize> {
        match self {
            Form::Fixed(width) => Some(width),
            Form::Bytes => None,
        }
    }
}

/// Whether some string of a column has bytes to escape.
#[derive(Clone, Copy)]
enum Spelling {
    Plain,
    Escaped,
}

/// Where the next byte of every row goes.
struct Cursors<'a> {
    ends: &'a mut [usize],
    bytes: &'a mut [u8],
    nullable: bool,
}

impl Cursors<'_> {
    /// Writes one column: the markers of NULLs here, the values by `write`, which is given the rest of the buffer and answers how
    /// many bytes it wrote.
    #[inline]
    fn write(self, nulls: Option<&NullBuffer>, mut write: impl FnMut(usize, &mut [u8]) -> usize) {
        for (row, end) in self.ends.iter_mut().enumerate() {
            if self.nullable {
                let null = is_null(nulls, row);
                self.bytes[*end] = if null { NULL } else { PRESENT };
                *end += 1;
                if null {
                    continue;
                }
            }
            *end += write(row, &mut self.bytes[*end..]);
        }
    }
}

#[inline]
fn is_null(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_some_and(|nulls| nulls.is_null(row))
}

/// Writes a column of fixed width and without NULLs `at` its place in keys of `key_width` bytes.
fn write_fixed(array: &ArrayRef, bytes: &mut [u8], key_width: usize, at: usize) {
    fn numbers<T: ArrowPrimitiveType<Native: KeyNumber>>(
        array: &PrimitiveArray<T>,
        bytes: &mut [u8],
        key_width: usize,
        at: usize,
    ) {
        let width = T::Native::WIDTH;
        if key_width == width {
            // The width is a constant here, so that the loop copies whole words.
            for (key, value) in bytes.chunks_exact_mut(width).zip(array.values()) {
                value.write(key);
            }
        } else {
            for (key, value) in bytes.chunks_exact_mut(key_width).zip(array.values()) {
                value.write(&mut key[at..at + width]);
            }
        }
    }
    let keys = bytes.chunks_exact_mut(key_width);
    with_numbers!(array.data_type(), T => numbers::<T>(array.as_primitive(), bytes, key_width, at), else {
        match array.data_type() {
            DataType::Boolean => {
                keys.zip(array.as_boolean().values()).for_each(|(key, value)| key[at] = u8::from(value));
            }
            _ => {
                let array = array.as_fixed_size_binary();
                for (row, key) in keys.enumerate() {
                    let value = array.value(row);
                    key[at..at + value.len()].copy_from_slice(value);
                }
            }
        }
    });
}

/// Writes a column of fixed width among others of which some have none.
fn write_at_cursors(array: &ArrayRef, cursors: Cursors<'_>) {
    fn numbers<T: ArrowPrimitiveType<Native: KeyNumber>>(array: &PrimitiveArray<T>, cursors: Cursors<'_>) {
        let values = array.values();
        cursors.write(array.nulls(), |row, out| {
            values[row].write(&mut out[..T::Native::WIDTH]);
            T::Native::WIDTH
        });
    }
    with_numbers!(array.data_type(), T => numbers::<T>(array.as_primitive(), cursors), else {
        match array.data_type() {
            DataType::Boolean => {
                let values = array.as_boolean();
                cursors.write(array.nulls(), |row, out| {
                    out[0] = u8::from(values.value(row));
                    1
                });
            }
            _ => {
                let values = array.as_fixed_size_binary();
                cursors.write(array.nulls(), |row, out| {
                    let value = values.value(row);
                    out[..value.len()].copy_from_slice(value);
                    value.len()
                });
            }
        }
    });
}
