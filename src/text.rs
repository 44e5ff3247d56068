//! Values as text, the way the wire protocol writes them: one encoder for psql, the shell, CSV and tests.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, SchemaRef};
use bytes::BytesMut;
use lightning_sql::Result;
use lightning_wire::encode::{BoundBatch, Format, RowEncoder, Zone};

/// Writes the values of one result.
#[derive(Debug)]
pub struct TextEncoder(RowEncoder);

impl TextEncoder {
    /// An encoder for rows of `schema`; `timestamptz` values are shown in `time_zone`, a value of the setting.
    pub fn new(schema: &SchemaRef, time_zone: &str) -> Self {
        let formats = vec![Format::Text; schema.fields().len()];
        TextEncoder(RowEncoder::new(schema, &formats, Zone::parse(time_zone)))
    }

    /// Prepares a batch for reading.
    pub fn bind(&self, batch: &RecordBatch) -> Result<TextBatch> {
        Ok(TextBatch { columns: batch.num_columns(), batch: self.0.bind(batch)?, buffer: BytesMut::new() })
    }
}

/// A batch whose values can be read as text.
pub struct TextBatch {
    columns: usize,
    batch: BoundBatch,
    buffer: BytesMut,
}

impl TextBatch {
    /// Rows in it.
    pub fn rows(&self) -> usize {
        self.batch.rows()
    }

    /// A value; `None` for NULL. Valid until the next call.
    pub fn value(&mut self, row: usize, column: usize) -> Option<std::borrow::Cow<'_, str>> {
        self.buffer.clear();
        self.batch.put_value(row, column, &mut self.buffer).then(|| String::from_utf8_lossy(&self.buffer))
    }

    /// The values of a row.
    pub fn row(&mut self, row: usize) -> Vec<Option<String>> {
        (0..self.columns).map(|column| self.value(row, column).map(|text| text.into_owned())).collect()
    }
}

/// How a column's values look, for alignment and quoting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Digits: right-aligned, a number in JSON.
    Number,
    /// `t` or `f`.
    Boolean,
    /// JSON text.
    Json,
    /// Anything else.
    Text,
}

/// PostgreSQL's OIDs of `json` and `jsonb`.
const JSON_OIDS: [u32; 2] = [114, 3802];

/// The look of a column.
pub fn look(field: &Field) -> Look {
    match field.data_type() {
        DataType::Boolean => Look::Boolean,
        t if t.is_numeric() => Look::Number,
        _ if JSON_OIDS.contains(&lightning_sql::types::pg_type(field).oid) => Look::Json,
        _ => Look::Text,
    }
}

/// The OID of a column's PostgreSQL type.
pub fn type_oid(field: &Field) -> u32 {
    lightning_sql::types::pg_type(field).oid
}
