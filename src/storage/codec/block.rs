//! A run of raw bytes inside a page, LZ4-compressed when that saves something.
//!
//! ```text
//! page header fields   12  raw bytes u32   16  stored bytes u32   (equal: stored as they are, readable in place)
//! one piece            the stored bytes
//! ```

use super::layout::{PageReader, PageWriter};
use arrow::buffer::{Buffer, MutableBuffer};

/// Header field: raw bytes.
const RAW_BYTES_AT: usize = 12;
/// Header field: stored bytes.
const STORED_BYTES_AT: usize = 16;
/// LZ4 cannot expand a byte to more than this.
const EXPANSION_MAX: usize = 255;

/// Appends `raw` to `page`, compressed if that saves at least a sixteenth.
pub(crate) fn write_block(page: &mut PageWriter, raw: &[u8]) {
    let compressed = lz4_flex::block::compress(raw);
    let stored = if compressed.len() + raw.len() / 16 < raw.len() { compressed.as_slice() } else { raw };
    page.field(RAW_BYTES_AT, raw.len() as u32);
    page.field(STORED_BYTES_AT, stored.len() as u32);
    page.piece().extend_from_slice(stored);
}

/// Reads what [`write_block`] wrote.
pub(crate) fn read_block(reader: &mut PageReader) -> Result<Buffer, String> {
    let raw_bytes = reader.field(RAW_BYTES_AT) as usize;
    let stored = reader.take(reader.field(STORED_BYTES_AT) as usize)?;
    if stored.len() == raw_bytes {
        return Ok(stored);
    }
    if raw_bytes / EXPANSION_MAX > stored.len() {
        return Err(format!("compressed block of {} bytes cannot hold {raw_bytes}", stored.len()));
    }
    let mut raw = MutableBuffer::from_len_zeroed(raw_bytes);
    let written = lz4_flex::block::decompress_into(&stored, raw.as_slice_mut())
        .map_err(|error| format!("compressed block is damaged: {error}"))?;
    if written != raw_bytes {
        return Err(format!("compressed block has {written} bytes, {raw_bytes} expected"));
    }
    Ok(raw.into())
}
