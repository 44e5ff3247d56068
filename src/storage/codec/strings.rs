//! Strings that are neither few nor worth a symbol table: their bytes in a [block](super::block), LZ4-compressed.
//!
//! The block holds where each string ends (u32 each), then from the next multiple of 64 the bytes of all.

use super::block::{read_block, write_block};
use super::layout::{Header, PageReader, PageWriter, align};
use super::physical::Text;
use super::{EncodedPage, Encoding, VECTOR_ROWS};
use arrow::array::{Array, ArrayRef, BinaryViewArray, StringViewArray, make_view};
use arrow::buffer::ScalarBuffer;
use std::sync::Arc;

/// Raw bytes of a page with more than one string, chosen so that it fits even when nothing compresses.
const PAGE_RAW_BYTES: usize = 60 * 1024;

/// Encodes byte strings.
pub(crate) fn encode(values: &BinaryViewArray) -> Vec<EncodedPage> {
    let mut pages = Vec::new();
    let mut start = 0;
    while start < values.len() {
        let end = page_end(values, start);
        pages.push(EncodedPage { rows: end - start, bytes: page(values, start, end) });
        start = end;
    }
    pages
}

/// One past the last row of the page that begins at `start`: whole vectors if at least one fits.
fn page_end(values: &BinaryViewArray, start: usize) -> usize {
    let mut bytes = 0;
    let mut end = start;
    while end < values.len() {
        bytes += 4 + if values.is_null(end) { 0 } else { values.value(end).len() };
        if bytes > PAGE_RAW_BYTES && end > start {
            let whole = (end - start) / VECTOR_ROWS * VECTOR_ROWS;
            return if whole > 0 { start + whole } else { end };
        }
        end += 1;
    }
    end
}

fn page(values: &BinaryViewArray, start: usize, end: usize) -> Vec<u8> {
    let mut raw = Vec::new();
    let mut last = 0u32;
    for row in start..end {
        last += if values.is_null(row) { 0 } else { values.value(row).len() as u32 };
        raw.extend_from_slice(&last.to_le_bytes());
    }
    align(&mut raw);
    for row in (start..end).filter(|&row| values.is_valid(row)) {
        raw.extend_from_slice(values.value(row));
    }
    let nulls = values.nulls().map(|nulls| nulls.slice(start, end - start));
    let mut page = PageWriter::new(Encoding::Lz4Strings, end - start, nulls.as_ref());
    write_block(&mut page, &raw);
    page.finish()
}

/// Opens a page as an array of views over the decompressed block.
pub(crate) fn open(reader: &mut PageReader, header: Header, rows: usize, text: Text) -> Result<ArrayRef, String> {
    let mut block = PageReader::new(read_block(reader)?);
    let ends = block.take_numbers::<u32>(rows)?;
    let bytes = block.take(ends.last().copied().unwrap_or(0) as usize)?;
    let mut views = Vec::with_capacity(rows);
    let mut start = 0u32;
    for (row, &end) in ends.iter().enumerate() {
        let value =
            bytes.get(start as usize..end as usize).ok_or_else(|| format!("string {row} ends before it begins"))?;
        views.push(make_view(value, 0, start));
        start = end;
    }
    let views = ScalarBuffer::from(views);
    Ok(match text {
        Text::Utf8 => {
            let array =
                StringViewArray::try_new(views, vec![bytes], header.nulls).map_err(|error| error.to_string())?;
            Arc::new(array)
        }
        Text::Binary => {
            let array =
                BinaryViewArray::try_new(views, vec![bytes], header.nulls).map_err(|error| error.to_string())?;
            Arc::new(array)
        }
    })
}
