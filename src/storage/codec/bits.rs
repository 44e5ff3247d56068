//! Booleans: one bit each, in one piece readable in place.

use super::layout::{Header, PageReader, PageWriter};
use super::{EncodedPage, Encoding};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use std::sync::Arc;

/// Rows of a page: bits and validity together stay well below the limit.
const PAGE_ROWS: usize = 196_608;

/// Encodes an array of booleans; bits of NULLs are zero.
pub(crate) fn encode(values: &ArrayRef) -> Vec<EncodedPage> {
    let array = values.as_boolean();
    (0..values.len())
        .step_by(PAGE_ROWS)
        .map(|start| {
            let part = array.slice(start, PAGE_ROWS.min(values.len() - start));
            let bits = match part.nulls() {
                Some(nulls) => part.values() & nulls.inner(),
                None => part.values().clone(),
            };
            let mut page = PageWriter::new(Encoding::Bits, part.len(), part.nulls());
            let bytes = BooleanBuffer::collect_bool(part.len(), |row| bits.value(row)).into_inner();
            page.piece().extend_from_slice(&bytes.as_slice()[..part.len().div_ceil(8)]);
            EncodedPage { rows: part.len(), bytes: page.finish() }
        })
        .collect()
}

/// Opens a page of booleans.
pub(crate) fn open(reader: &mut PageReader, header: Header, rows: usize) -> Result<ArrayRef, String> {
    let bits = reader.take(rows.div_ceil(8))?;
    Ok(Arc::new(BooleanArray::new(BooleanBuffer::new(bits, 0, rows), header.nulls)))
}
