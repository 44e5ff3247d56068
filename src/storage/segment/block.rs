//! Encoding a block: rows in, encoded chunks with their zone maps, fences and sketches out. Pure CPU, so that a load
//! runs it on as many threads as it has.

use super::bounds::{Bounds, ZoneMap};
use super::footer::TIMESTAMP_CHUNK;
use super::sketch::Sketch;
use super::values::has_order;
use super::{BLOCK_ROWS_MAX, ColumnSummary};
use crate::codec::{EncodedChunk, encode_chunk};
use crate::error::{Error, Result};
use crate::ids::Timestamp;
use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use std::sync::Arc;

/// A block ready to be written.
#[derive(Debug)]
pub(crate) struct EncodedBlock {
    pub(super) rows: usize,
    pub(super) columns: Vec<EncodedColumn>,
    pub(super) begin: Option<EncodedColumn>,
    /// Key of the first and of the last row; empty when the table has no key or its type no order.
    pub(super) first_key: Vec<ArrayRef>,
    pub(super) last_key: Vec<ArrayRef>,
}

/// A column of such a block.
#[derive(Debug)]
pub(super) struct EncodedColumn {
    pub(super) chunk: EncodedChunk,
    pub(super) zones: ZoneMap,
    pub(super) bounds: Bounds,
    pub(super) distinct: Option<Sketch>,
}

impl EncodedBlock {
    /// Rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes it will take in the file, about.
    pub(crate) fn bytes(&self) -> usize {
        let chunks = self.columns.iter().chain(&self.begin).map(|column| &column.chunk);
        chunks.flat_map(|c| c.shared.iter().map(Vec::len).chain(c.pages.iter().map(|p| p.bytes.len()))).sum()
    }
}

/// Encodes the rows of `batch`, 1 to [`BLOCK_ROWS_MAX`] of them, already in the order of the `key` columns. `begin`
/// gives the commit timestamps of consecutive runs of rows when readers may still have to tell them apart.
pub(crate) fn encode_block(
    key: &[usize],
    batch: &RecordBatch,
    begin: Option<&[(Timestamp, usize)]>,
) -> Result<EncodedBlock> {
    let rows = batch.num_rows();
    if rows == 0 || rows > BLOCK_ROWS_MAX {
        return Err(Error::Unsupported(format!("a block of {rows} rows; it takes 1 to {BLOCK_ROWS_MAX}")));
    }
    let columns = batch.columns().iter().map(encode_column).collect::<Result<Vec<_>>>()?;
    let begin = begin.map(|runs| encode_column(&begin_timestamps(runs, rows)?)).transpose()?;
    let fenced = key.iter().all(|column| has_order(batch.column(*column).data_type()));
    let fence = |row: usize| -> Vec<ArrayRef> {
        let key = key.iter().filter(|_| fenced);
        key.map(|column| own_value(batch.column(*column), row)).collect()
    };
    let (first_key, last_key) = (fence(0), fence(rows - 1));
    Ok(EncodedBlock { rows, columns, begin, first_key, last_key })
}

fn encode_column(values: &ArrayRef) -> Result<EncodedColumn> {
    let chunk = encode_chunk(values)?;
    let (zones, bounds) = ZoneMap::of(values)?;
    Ok(EncodedColumn { chunk, zones, bounds, distinct: Sketch::of(values) })
}

impl EncodedColumn {
    /// Its contribution to the segment's statistics, but for the stored bytes.
    pub(super) fn summary(&self) -> ColumnSummary {
        ColumnSummary {
            nulls: self.chunk.nulls as u64,
            raw_bytes: self.chunk.raw_bytes as u64,
            stored_bytes: 0,
            bounds: self.bounds.clone(),
            distinct: self.distinct.clone(),
        }
    }
}

fn begin_timestamps(runs: &[(Timestamp, usize)], rows: usize) -> Result<ArrayRef> {
    let timestamps: Vec<u64> = runs.iter().flat_map(|(begin, rows)| std::iter::repeat_n(begin.0, *rows)).collect();
    if timestamps.len() != rows {
        return Err(Error::Unsupported(format!("timestamps for {} rows of {rows}", timestamps.len())));
    }
    let timestamps: ArrayRef = Arc::new(UInt64Array::from(timestamps));
    debug_assert_eq!(*timestamps.data_type(), TIMESTAMP_CHUNK);
    Ok(timestamps)
}

/// One value in memory of its own, so that a fence does not keep a batch alive.
fn own_value(values: &ArrayRef, row: usize) -> ArrayRef {
    let single = values.slice(row, 1);
    let index = arrow::array::UInt32Array::from(vec![0]);
    let copy = arrow::compute::take(&single, &index, None).unwrap_or(single);
    match super::values::bytes_at(&copy, 0).filter(|_| copy.is_valid(0)) {
        Some(bytes) => super::values::bytes_array(copy.data_type(), &[Some(bytes)]).unwrap_or_else(|_| copy.clone()),
        None => copy,
    }
}
