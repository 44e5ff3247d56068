//! PostgreSQL's binary COPY format, in both directions.
//!
//! ```text
//! header   "PGCOPY\n\xff\r\n\0" | flags: u32 | length of the extension: u32 | extension, skipped
//! tuple    number of fields: i16 | for each field: length: i32, -1 for NULL | the value's binary form
//! trailer  -1: i16
//! ```
//!
//! Numbers are big-endian. Of the flags, bits 16 to 31 are critical and none of them is known; the others mean nothing. As in
//! PostgreSQL, data may end without the trailer, but only between two tuples, and nothing may follow it.
//!
//! Bytes arrive cut anywhere. A tuple is read once it is there whole, straight into the column builders.

use crate::copy_target::{Filling, RECORD_BYTES_MAX, Target};
use crate::error::{Error, Result};
use crate::sqlstate::BAD_COPY_FILE_FORMAT;
use arrow::array::RecordBatch;

/// What data begins with.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags and length of the extension.
const HEADER_BYTES: usize = SIGNATURE.len() + 8;
/// The flag for a column of OIDs, which PostgreSQL wrote before version 12.
const FLAG_OIDS: u32 = 1 << 16;

/// The header: no flags, no extension.
pub(crate) fn header() -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.resize(HEADER_BYTES, 0);
    header
}

/// The trailer.
pub(crate) fn trailer() -> [u8; 2] {
    (-1i16).to_be_bytes()
}

/// What comes next in the data.
#[derive(Debug)]
enum Next {
    Header,
    /// So many bytes of the header's extension.
    Extension(usize),
    Tuple,
    /// Nothing: the trailer was there.
    End,
}

/// Turns bytes into batches.
#[derive(Debug)]
pub(crate) struct TupleReader {
    filling: Filling,
    next: Next,
    /// Bytes of what has begun.
    pending: Vec<u8>,
}

impl TupleReader {
    pub(crate) fn new(target: Target) -> Result<TupleReader> {
        Ok(TupleReader { filling: Filling::new(target)?, next: Next::Header, pending: Vec::new() })
    }

    /// Takes more bytes; batches that became full go to `out`.
    pub(crate) fn push(&mut self, data: &[u8], out: &mut Vec<RecordBatch>) -> Result<()> {
        if self.pending.is_empty() {
            let used = self.consume(data, false, out)?;
            self.pending.extend_from_slice(&data[used..]);
        } else {
            self.pending.extend_from_slice(data);
            let mut pending = std::mem::take(&mut self.pending);
            let used = self.consume(&pending, false, out)?;
            pending.drain(..used);
            self.pending = pending;
        }
        if self.pending.len() > RECORD_BYTES_MAX {
            return Err(bad("a record is too long").with_context(self.filling.place()));
        }
        Ok(())
    }

    /// No more bytes.
    pub(crate) fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let used = self.consume(&pending, true, out)?;
        match self.next {
            Next::Header => return Err(unfinished_header(&pending[used..])),
            Next::Extension(_) => return Err(bad("invalid COPY file header (wrong length)")),
            Next::Tuple | Next::End => {}
        }
        self.filling.end_batch(out)
    }

    /// Reads what is there whole; how many bytes that was.
    fn consume(&mut self, data: &[u8], at_end: bool, out: &mut Vec<RecordBatch>) -> Result<usize> {
        let mut at = 0;
        while at < data.len() {
            let rest = &data[at..];
            match self.next {
                Next::Header => match header_extension(rest)? {
                    Some(extension) => {
                        self.next = Next::Extension(extension);
                        at += HEADER_BYTES;
                    }
                    None => break,
                },
                Next::Extension(bytes) => {
                    let skipped = bytes.min(rest.len());
                    self.next = if skipped == bytes { Next::Tuple } else { Next::Extension(bytes - skipped) };
                    at += skipped;
                }
                Next::Tuple if at_end || is_whole(rest) => at += self.tuple(rest, out)?,
                Next::Tuple => break,
                Next::End => {
                    return Err(bad("received copy data after EOF marker").with_context(self.filling.place()));
                }
            }
        }
        // An extension of no bytes is over although there is no data left.
        if matches!(self.next, Next::Extension(0)) {
            self.next = Next::Tuple;
        }
        Ok(at)
    }

    /// Reads the tuple, or the trailer, that `data` begins with; its length.
    fn tuple(&mut self, data: &[u8], out: &mut Vec<RecordBatch>) -> Result<usize> {
        self.filling.line += 1;
        let Some((count, mut rest)) = data.split_first_chunk() else {
            return Err(unexpected_end().with_context(self.filling.place()));
        };
        let count = i16::from_be_bytes(*count);
        if count == -1 {
            self.next = Next::End;
            return Ok(data.len() - rest.len());
        }
        let wanted = self.filling.builders.len();
        if usize::try_from(count) != Ok(wanted) {
            let message = format!("row field count is {count}, expected {wanted}");
            return Err(bad(message).with_context(self.filling.place()));
        }
        for index in 0..wanted {
            let builder = &mut self.filling.builders[index];
            let appended = match field(&mut rest) {
                Ok(Some(value)) => builder.append_binary(value),
                Ok(None) => {
                    builder.append_null();
                    Ok(())
                }
                Err(e) => Err(e),
            };
            // The value itself is not shown: it is not text.
            appended.map_err(|e| self.filling.located(e, index, None))?;
        }
        self.filling.end_row(out)?;
        Ok(data.len() - rest.len())
    }
}

/// Length of the extension after the header that `data` begins with; `None` when more bytes are needed.
fn header_extension(data: &[u8]) -> Result<Option<usize>> {
    if data.len() >= SIGNATURE.len() && !data.starts_with(SIGNATURE) {
        return Err(bad_signature());
    }
    let Some([flags, length]) = data.get(SIGNATURE.len()..HEADER_BYTES).map(|words| words.as_chunks::<4>().0) else {
        return Ok(None);
    };
    let flags = u32::from_be_bytes(*flags);
    if flags & FLAG_OIDS != 0 {
        return Err(bad("invalid COPY file header (WITH OIDS)"));
    }
    if flags >> 16 != 0 {
        return Err(bad("unrecognized critical flags in COPY file header"));
    }
    match usize::try_from(i32::from_be_bytes(*length)) {
        Ok(length) => Ok(Some(length)),
        Err(_) => Err(bad("invalid COPY file header (missing length)")),
    }
}

fn unfinished_header(data: &[u8]) -> Error {
    match data.len() {
        0..11 => bad_signature(),
        11..15 => bad("invalid COPY file header (missing flags)"),
        _ => bad("invalid COPY file header (missing length)"),
    }
}

/// Whether `data` begins with a whole tuple, or with one that is wrong before it ends.
fn is_whole(data: &[u8]) -> bool {
    let Some((count, mut rest)) = data.split_first_chunk() else { return false };
    for _ in 0..i16::from_be_bytes(*count).max(0) {
        let Some((length, after)) = rest.split_first_chunk() else { return false };
        let length = match i32::from_be_bytes(*length) {
            -1 => 0,
            length => match usize::try_from(length) {
                Ok(length) => length,
                Err(_) => return true,
            },
        };
        match after.get(length..) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

/// Takes one field off `data`; `None` for NULL.
fn field<'a>(data: &mut &'a [u8]) -> Result<Option<&'a [u8]>> {
    let (length, rest) = data.split_first_chunk().ok_or_else(unexpected_end)?;
    *data = rest;
    let length = match i32::from_be_bytes(*length) {
        -1 => return Ok(None),
        length => usize::try_from(length).map_err(|_| bad("invalid field size"))?,
    };
    let (value, rest) = rest.split_at_checked(length).ok_or_else(unexpected_end)?;
    *data = rest;
    Ok(Some(value))
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(BAD_COPY_FILE_FORMAT, message)
}

fn bad_signature() -> Error {
    bad("COPY file signature not recognized")
}

fn unexpected_end() -> Error {
    bad("unexpected EOF in COPY data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_whole_at_its_last_byte_only() {
        let tuple = [0, 3, 0, 0, 0, 2, 7, 7, 255, 255, 255, 255, 0, 0, 0, 0];
        for end in 0..tuple.len() {
            assert!(!is_whole(&tuple[..end]), "{end}");
        }
        assert!(is_whole(&tuple));
        assert!(is_whole(&[255, 255]), "the trailer");
        assert!(is_whole(&[0, 2, 255, 255, 255, 254]), "a length that can only be refused");
    }

    #[test]
    fn the_header_is_nineteen_bytes() {
        assert_eq!(header(), b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        assert_eq!(header_extension(&header()).unwrap(), Some(0));
        assert_eq!(header_extension(&header()[..18]).unwrap(), None);
        let mut flagged = header();
        flagged[14] = 5;
        assert_eq!(header_extension(&flagged).unwrap(), Some(0), "flags that are not critical");
        flagged[11] = 128;
        assert!(header_extension(&flagged).is_err());
    }
}
