//! Where in a sorted block a key is, or would be.

use super::stored::partition_point;
use crate::codec::ColumnBuilder;
use crate::error::Result;
use crate::key::{EncodedKeys, KeyEncoder};
use crate::segment::{ChunkPlace, ColumnBlock, ZONE_ROWS};
use crate::table::Table;
use arrow::array::ArrayRef;
use std::ops::Range;
use std::sync::Arc;

/// So few rows of a block are decoded to find a key among them.
const DECODED_ROWS: usize = 128;

/// Columns `projection` of `rows` of a block of a segment of `table`, deleted ones included.
pub(crate) fn columns_of(
    table: &Table,
    block: &Arc<ColumnBlock>,
    projection: &[usize],
    rows: Range<usize>,
) -> Result<Vec<ArrayRef>> {
    let footer = block.footer()?;
    let column = |&column: &usize| -> Result<ArrayRef> {
        let mut values = ColumnBuilder::new(table.schema.field(column).data_type(), rows.len());
        block.chunk(&footer, ChunkPlace::Column(column))?.decode(rows.clone(), &mut values)?;
        values.finish()
    };
    projection.iter().map(column).collect()
}

/// Keys of `rows` of a block of a segment of `table`, whose keys have an order.
pub(super) fn keys_of(table: &Table, block: &Arc<ColumnBlock>, rows: Range<usize>) -> Result<EncodedKeys> {
    encoder_of(table).encode_prefix(&columns_of(table, block, &table.key, rows)?)
}

fn encoder_of(table: &Table) -> &KeyEncoder {
    table.encoder.as_ref().expect("keys are looked for in tables whose keys have an order")
}

/// The first row of a sorted block of `table` whose key is `key` or greater.
pub(crate) fn cut(table: &Table, block: &Arc<ColumnBlock>, key: &[u8]) -> Result<usize> {
    let mut rows = 0..block.rows();
    if let Some(heads) = block.zone_heads(encoder_of(table))? {
        // A key is at or above its zone's head, and its first column at or below the next zone's.
        let is_below = |zone: usize| heads.get(zone) < key;
        let from = partition_point(0..heads.len(), |zone| is_below(zone) && !key.starts_with(heads.get(zone)));
        let to = partition_point(0..heads.len(), is_below);
        let from = from.saturating_sub(1);
        rows = from * ZONE_ROWS..(to * ZONE_ROWS).min(block.rows());
    }
    while rows.len() > DECODED_ROWS {
        let middle = rows.start.midpoint(rows.end);
        if keys_of(table, block, middle..middle + 1)?.get(0) < key {
            rows.start = middle + 1;
        } else {
            rows.end = middle;
        }
    }
    let keys = keys_of(table, block, rows.clone())?;
    Ok(rows.start + (0..keys.len()).take_while(|&row| keys.get(row) < key).count())
}
