//! Result rows in messages: `RowDescription` and `DataRow`. How values are written is [`lightning_sql::encode`]'s matter.

pub use lightning_sql::encode::{BoundBatch, Format, RowEncoder, Zone};

use arrow::datatypes::Schema;
use bytes::{BufMut, BytesMut};
use pgwire::messages::data::{FieldDescription, RowDescription};

/// `RowDescription` of a result.
pub fn describe(schema: &Schema, formats: &[Format]) -> RowDescription {
    let fields = schema.fields().iter().enumerate().map(|(i, field)| {
        let pg = lightning_sql::types::pg_type(field);
        let format = formats.get(i).copied().unwrap_or(Format::Text);
        let name = crate::backend::clean(field.name());
        FieldDescription::new(name, 0, 0, pg.oid, pg.len, pg.modifier, i16::from(format == Format::Binary))
    });
    RowDescription::new(fields.collect())
}

/// Appends row `row` of `batch` as a `DataRow` message.
pub fn put_row(batch: &BoundBatch, row: usize, out: &mut BytesMut) {
    let start = out.len();
    out.put_u8(b'D');
    out.put_i32(0);
    batch.put_tuple(row, out);
    let len = (out.len() - start - 1) as i32;
    out[start + 1..start + 5].copy_from_slice(&len.to_be_bytes());
}
