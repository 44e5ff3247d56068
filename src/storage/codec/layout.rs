//! The bytes every page begins with, and how its pieces are laid out.
//!
//! ```text
//! offset  size  field
//!      0     4  rows
//!      4     4  NULLs among them
//!      8     1  encoding tag
//!      9     1  flags: 1 = a validity bitmap follows; the others belong to the encoding
//!     10     2  zero
//!     12     4  first field of the encoding
//!     16    48  further fields of the encoding, else zero
//!     64     …  validity bitmap when flagged: 1 bit a row, set when not NULL, padded with zeros to whole vectors (128 bytes each)
//!      …     …  pieces of the encoding, each starting at a multiple of 64
//! ```
//!
//! All numbers are little-endian. The segment's page CRC covers everything; what is checked here is structure.

use super::{Encoding, VECTOR_ROWS};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::ArrowNativeType;

/// Alignment of every piece.
pub(crate) const PIECE_ALIGNMENT: usize = 64;
/// Bytes of the page header.
pub(crate) const HEADER_BYTES: usize = 64;
/// Flag: a validity bitmap follows the header.
const HAS_VALIDITY: u8 = 1;

/// Bytes of the validity bitmap of `rows` rows.
pub(crate) fn validity_bytes(rows: usize) -> usize {
    rows.div_ceil(VECTOR_ROWS) * (VECTOR_ROWS / 8)
}

/// Writes a page piece by piece.
pub(crate) struct PageWriter {
    bytes: Vec<u8>,
}

impl PageWriter {
    /// Starts a page; `nulls` are those of exactly its rows.
    pub(crate) fn new(encoding: Encoding, rows: usize, nulls: Option<&NullBuffer>) -> PageWriter {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + validity_bytes(rows));
        bytes.extend_from_slice(&(rows as u32).to_le_bytes());
        bytes.extend_from_slice(&(nulls.map_or(0, NullBuffer::null_count) as u32).to_le_bytes());
        bytes.push(encoding as u8);
        bytes.push(if nulls.is_some() { HAS_VALIDITY } else { 0 });
        bytes.resize(HEADER_BYTES, 0);
        if let Some(nulls) = nulls {
            let bits = nulls.inner().sliced();
            let used = rows.div_ceil(8);
            bytes.extend_from_slice(&bits.as_slice()[..used]);
            if !rows.is_multiple_of(8) {
                bytes[HEADER_BYTES + used - 1] &= (1 << (rows % 8)) - 1;
            }
            bytes.resize(HEADER_BYTES + validity_bytes(rows), 0);
        }
        PageWriter { bytes }
    }

    /// Writes a 32-bit header field at `offset`.
    pub(crate) fn field(&mut self, offset: usize, value: u32) {
        self.bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Pads to the next piece and gives the bytes to append to.
    pub(crate) fn piece(&mut self) -> &mut Vec<u8> {
        align(&mut self.bytes);
        &mut self.bytes
    }

    /// The page.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Pads to a multiple of [`PIECE_ALIGNMENT`].
pub(crate) fn align(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(PIECE_ALIGNMENT), 0);
}

/// Reads a page piece by piece, in the order it was written; every read is checked against the end.
pub(crate) struct PageReader {
    bytes: Buffer,
    at: usize,
}

/// What the header says of any page.
pub(crate) struct Header {
    /// Validity, when there are NULLs.
    pub(crate) nulls: Option<NullBuffer>,
}

impl PageReader {
    /// Reads pieces of `bytes` from the start.
    pub(crate) fn new(bytes: Buffer) -> PageReader {
        PageReader { bytes, at: 0 }
    }

    /// Checks and passes the header and the validity bitmap.
    pub(crate) fn header(&mut self, encoding: Encoding, rows: usize) -> Result<Header, String> {
        if self.bytes.as_ptr().align_offset(PIECE_ALIGNMENT) != 0 {
            return Err("page is not aligned to 64 bytes".into());
        }
        let header = self.take(HEADER_BYTES)?;
        let (stored_rows, null_count) = (read_u32(&header, 0) as usize, read_u32(&header, 4) as usize);
        if stored_rows != rows {
            return Err(format!("page has {stored_rows} rows, {rows} expected"));
        }
        if header[8] != encoding as u8 {
            return Err(format!("page has encoding {}, {} expected", header[8], encoding as u8));
        }
        let flagged = header[9] & HAS_VALIDITY != 0;
        if flagged != (null_count > 0) || null_count > rows {
            return Err(format!("page with {rows} rows claims {null_count} NULLs"));
        }
        let nulls = if flagged { Some(self.validity(rows, null_count)?) } else { None };
        Ok(Header { nulls })
    }

    fn validity(&mut self, rows: usize, null_count: usize) -> Result<NullBuffer, String> {
        let bits = self.take(validity_bytes(rows))?;
        let nulls = NullBuffer::new(BooleanBuffer::new(bits, 0, rows));
        if nulls.null_count() != null_count {
            return Err(format!("validity bitmap has {} NULLs, the header says {null_count}", nulls.null_count()));
        }
        Ok(nulls)
    }

    /// A 32-bit header field.
    pub(crate) fn field(&self, offset: usize) -> u32 {
        read_u32(&self.bytes, offset)
    }

    /// The next piece: `len` bytes from the next multiple of 64.
    pub(crate) fn take(&mut self, len: usize) -> Result<Buffer, String> {
        let start = self.at.checked_next_multiple_of(PIECE_ALIGNMENT).ok_or("page offset overflows")?;
        let end = start.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end =
            end.ok_or_else(|| format!("page of {} bytes ends inside a piece of {len} at {start}", self.bytes.len()))?;
        self.at = end;
        Ok(self.bytes.slice_with_length(start, len))
    }

    /// Where the next piece is looked for.
    pub(crate) fn place(&self) -> usize {
        self.at
    }

    /// Goes back to a place.
    pub(crate) fn rewind(&mut self, place: usize) {
        self.at = place;
    }

    /// The next piece as `count` numbers.
    pub(crate) fn take_numbers<T: ArrowNativeType>(&mut self, count: usize) -> Result<ScalarBuffer<T>, String> {
        let len = count.checked_mul(size_of::<T>()).ok_or("page piece overflows")?;
        Ok(ScalarBuffer::new(self.take(len)?, 0, count))
    }
}

/// Little-endian `u32` at `offset`; the caller knows it is there.
pub(crate) fn read_u32(bytes: &[u8], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(word)
}

/// Little-endian `u64` at `offset`; the caller knows it is there.
pub(crate) fn read_u64(bytes: &[u8], offset: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(word)
}

/// A copy aligned for [`PageReader`].
pub(crate) fn aligned(bytes: &[u8]) -> Buffer {
    let mut copy = arrow::buffer::MutableBuffer::with_capacity(bytes.len());
    copy.extend_from_slice(bytes);
    copy.into()
}
