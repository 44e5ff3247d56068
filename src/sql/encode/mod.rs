//! Rows as clients get them, in PostgreSQL's text and binary forms: Arrow batches in, bytes out.
//!
//! The wire protocol's results and COPY in format binary are written here. A [`RowEncoder`] is made once per result and knows
//! for each column how it is written ([`cell::Shape`]). A [`BoundBatch`] is one batch with its columns downcast; it owns them,
//! so a portal can stop in the middle of a batch and go on later. Bytes go straight into the caller's buffer.
//!
//! Text forms are PostgreSQL's with `DateStyle` ISO, `IntervalStyle` postgres, `bytea_output` hex and shortest floats. What is
//! binary here is read back by `ColumnBuilder::append_binary`.

pub mod oid;
mod binary;
mod text;
mod datetime;
mod cell;
mod nested;

#[cfg(test)]
pub(crate) use binary::put_decimal;
pub use binary::{EPOCH_DAYS, EPOCH_MICROS, EPOCH_NANOS};
pub use datetime::Zone;

use crate::error::{Error, Result, SqlState};
use arrow::array::{Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::SchemaRef;
use bytes::{BufMut, BytesMut};
use cell::{Cell, Shape};

/// How values travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As text.
    Text,
    /// In the type's binary form.
    Binary,
}

impl Format {
    /// The format a code in a message stands for.
    pub fn from_code(code: i16) -> Result<Format> {
        match code {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            _ => Err(Error::new(SqlState("22023"), format!("unsupported format code: {code}"))),
        }
    }

    /// The format of each of `count` columns or parameters: none given means text, one holds for all.
    pub fn expand(codes: &[i16], count: usize, what: &str) -> Result<Vec<Format>> {
        match codes {
            [] => Ok(vec![Format::Text; count]),
            [code] => Ok(vec![Format::from_code(*code)?; count]),
            codes if codes.len() == count => codes.iter().map(|code| Format::from_code(*code)).collect(),
            codes => Err(Error::new(
                SqlState("08P01"),
                format!("bind message has {} {what} formats but {count} are needed", codes.len()),
            )),
        }
    }
}

/// Writes the rows of one result.
#[derive(Debug)]
pub struct RowEncoder {
    columns: Vec<Shape>,
}

impl RowEncoder {
    /// An encoder for rows of `schema`, one format per column.
    pub fn new(schema: &SchemaRef, formats: &[Format], zone: Zone) -> RowEncoder {
        let columns = schema.fields().iter().zip(formats).map(|(field, format)| Shape::new(field, *format, zone));
        RowEncoder { columns: columns.collect() }
    }

    /// Prepares a batch for writing.
    pub fn bind(&self, batch: &RecordBatch) -> Result<BoundBatch> {
        if batch.num_columns() != self.columns.len() {
            return Err(Error::new(SqlState("XX000"), "a batch does not have the columns of its result"));
        }
        let columns = self
            .columns
            .iter()
            .zip(batch.columns())
            .map(|(shape, array)| Ok(BoundColumn { nulls: array.logical_nulls(), cell: shape.bind(array)? }))
            .collect::<Result<Vec<_>>>()?;
        Ok(BoundBatch { rows: batch.num_rows(), columns })
    }
}

struct BoundColumn {
    nulls: Option<NullBuffer>,
    cell: Box<dyn Cell>,
}

/// A batch ready to be written row by row.
pub struct BoundBatch {
    rows: usize,
    columns: Vec<BoundColumn>,
}

impl BoundBatch {
    /// Rows in it.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Appends one value without its length; false, and nothing, for NULL.
    pub fn put_value(&self, row: usize, column: usize, out: &mut BytesMut) -> bool {
        let column = &self.columns[column];
        let is_null = column.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        if !is_null {
            column.cell.put(row, out);
        }
        !is_null
    }

    /// Appends row `row`: the number of its values, then each with its length before it, -1 for NULL. So rows stand in
    /// `DataRow` messages and in COPY's binary format.
    pub fn put_tuple(&self, row: usize, out: &mut BytesMut) {
        out.put_u16(self.columns.len() as u16);
        for column in &self.columns {
            if column.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                out.put_i32(-1);
                continue;
            }
            let at = out.len();
            out.put_i32(0);
            column.cell.put(row, out);
            let len = (out.len() - at - 4) as i32;
            out[at..at + 4].copy_from_slice(&len.to_be_bytes());
        }
    }
}
