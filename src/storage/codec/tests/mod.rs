//! Laws of the codecs: what was encoded is read back by every way of reading, and encoded filters agree with a plain
//! evaluation row by row.

mod columns;
mod damage;
mod filters;
mod golden;
mod round_trip;

use super::layout::aligned;
use super::{EncodedChunk, Page, encode_chunk, open_shared};
use arrow::array::{Array, ArrayRef};

/// Encodes and opens all pages.
fn opened(values: &ArrayRef) -> (EncodedChunk, Vec<Page>) {
    let chunk = encode_chunk(values).unwrap();
    assert_eq!(chunk.nulls, values.null_count());
    let shared: Vec<_> = chunk.shared.iter().map(|page| aligned(page)).collect();
    let shared = open_shared(values.data_type(), chunk.encoding, &shared).unwrap();
    let pages = chunk.pages.iter().map(|page| {
        Page::open(values.data_type(), chunk.encoding, page.rows, aligned(&page.bytes), Some(&shared)).unwrap()
    });
    let pages = pages.collect();
    (chunk, pages)
}
