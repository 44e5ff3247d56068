//! Framing of a segment file: header, records, trailer.
//!
//! ```text
//! header   0  magic "LNGTSEG\0"   8  version u32 = 1   12 zero u32   16 segment id u64   24 table id u64
//!         32  zeros              60  CRC-32 of bytes 0..60
//! record   0  payload (n bytes, at a multiple of 64)   n  n as u32
//!        n+4  CRC-32 of payload, n u32, segment id u64, offset u64
//! trailer  0  magic "LNGTSEGE"    8  version u32 = 1   12 blocks u32     16 segment id u64   24 table id u64
//!         32  footer offset u64  40  footer length u32 44 summary length u32  48 summary offset u64
//!         56  zero u32           60  CRC-32 of bytes 0..60
//! ```
//!
//! The trailer is the last 64 bytes of the file. Header and trailer CRCs need no binding to the place: both name
//! segment and table.

use crate::error::{Error, Result};
use crate::ids::{SegmentId, TableId};
use arrow::buffer::{Buffer, MutableBuffer};
use lightning_vfs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Alignment of records in the file and in memory.
pub(super) const ALIGNMENT: usize = 64;
/// Bytes of the header, and of the trailer.
pub(super) const EDGE_BYTES: usize = 64;
/// Bytes that follow a record's payload: length and CRC.
pub(super) const RECORD_TAIL: usize = 8;
/// Version of the format.
const VERSION: u32 = 1;
const HEADER_MAGIC: &[u8; 8] = b"LNGTSEG\0";
const TRAILER_MAGIC: &[u8; 8] = b"LNGTSEGE";

/// Where the metadata of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) segment: SegmentId,
    pub(super) table: TableId,
    pub(super) blocks: u32,
    pub(super) footer: RecordPlace,
    pub(super) summary: RecordPlace,
}

/// Place of a record's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordPlace {
    pub(super) offset: u64,
    pub(super) len: u32,
}

impl RecordPlace {
    /// Offset of the first byte after the record, padding included.
    pub(super) fn end(self) -> u64 {
        next_aligned(self.offset + u64::from(self.len) + RECORD_TAIL as u64)
    }
}

/// The next multiple of [`ALIGNMENT`] at or after `offset`.
pub(super) fn next_aligned(offset: u64) -> u64 {
    offset.next_multiple_of(ALIGNMENT as u64)
}

/// CRC of a record, bound to its file and place.
fn record_crc(payload: &[u8], segment: SegmentId, offset: u64) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(payload);
    crc.update(&(payload.len() as u32).to_le_bytes());
    crc.update(&segment.0.to_le_bytes());
    crc.update(&offset.to_le_bytes());
    crc.finalize()
}

/// Appends `payload` as a record that will stand at `offset`, a multiple of [`ALIGNMENT`], padded to the next multiple.
pub(super) fn write_record(out: &mut Vec<u8>, payload: &[u8], segment: SegmentId, offset: u64) -> RecordPlace {
    let len = u32::try_from(payload.len()).expect("records stay below 4 GiB");
    out.extend_from_slice(payload);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&record_crc(payload, segment, offset).to_le_bytes());
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    RecordPlace { offset, len }
}

/// The header's bytes.
pub(super) fn header(segment: SegmentId, table: TableId) -> [u8; EDGE_BYTES] {
    let mut bytes = [0; EDGE_BYTES];
    bytes[..8].copy_from_slice(HEADER_MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&segment.0.to_le_bytes());
    bytes[24..32].copy_from_slice(&table.0.to_le_bytes());
    seal(bytes)
}

impl Trailer {
    /// The trailer's bytes.
    pub(super) fn to_bytes(self) -> [u8; EDGE_BYTES] {
        let mut bytes = [0; EDGE_BYTES];
        bytes[..8].copy_from_slice(TRAILER_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.blocks.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.segment.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.table.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.footer.offset.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.footer.len.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.summary.len.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.summary.offset.to_le_bytes());
        seal(bytes)
    }

    fn from_bytes(bytes: &[u8; EDGE_BYTES]) -> std::result::Result<Trailer, String> {
        check_edge(bytes, TRAILER_MAGIC)?;
        Ok(Trailer {
            segment: SegmentId(u64_at(bytes, 16)),
            table: TableId(u64_at(bytes, 24)),
            blocks: u32_at(bytes, 12),
            footer: RecordPlace { offset: u64_at(bytes, 32), len: u32_at(bytes, 40) },
            summary: RecordPlace { offset: u64_at(bytes, 48), len: u32_at(bytes, 44) },
        })
    }
}

fn seal(mut bytes: [u8; EDGE_BYTES]) -> [u8; EDGE_BYTES] {
    let crc = crc32fast::hash(&bytes[..EDGE_BYTES - 4]);
    bytes[EDGE_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn check_edge(bytes: &[u8; EDGE_BYTES], magic: &[u8; 8]) -> std::result::Result<(), String> {
    if bytes[..8] != magic[..] {
        return Err("not the magic bytes of a segment".into());
    }
    if crc32fast::hash(&bytes[..EDGE_BYTES - 4]) != u32_at(bytes, EDGE_BYTES - 4) {
        return Err("checksum mismatch".into());
    }
    match u32_at(bytes, 8) {
        VERSION => Ok(()),
        other => Err(format!("segment format version {other} is not supported")),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// An open segment file: reads records and checks them.
#[derive(Debug)]
pub(super) struct SegmentFile {
    pub(super) path: PathBuf,
    pub(super) segment: SegmentId,
    file: Arc<dyn File>,
    len: u64,
}

impl SegmentFile {
    pub(super) fn new(path: &Path, segment: SegmentId, file: Arc<dyn File>) -> Result<SegmentFile> {
        let len = file.len().map_err(|e| Error::io(path, "read the length of", e))?;
        Ok(SegmentFile { path: path.to_path_buf(), segment, file, len })
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// A `Corrupt` error at `offset`.
    pub(super) fn corrupt(&self, offset: u64, detail: impl Into<String>) -> Error {
        Error::Corrupt { path: self.path.clone(), offset, detail: detail.into() }
    }

    /// Reads and checks the header.
    pub(super) fn check_header(&self, table: TableId) -> Result<()> {
        let bytes = self.read_edge(0)?;
        check_edge(&bytes, HEADER_MAGIC).map_err(|detail| self.corrupt(0, format!("header: {detail}")))?;
        if u64_at(&bytes, 16) != self.segment.0 || u64_at(&bytes, 24) != table.0 {
            return Err(self.corrupt(0, "the header names another segment or table"));
        }
        Ok(())
    }

    /// Reads and checks the trailer.
    pub(super) fn trailer(&self) -> Result<Trailer> {
        if self.len < 2 * EDGE_BYTES as u64 {
            return Err(self.corrupt(self.len, "the file is too short for a segment"));
        }
        let offset = self.len - EDGE_BYTES as u64;
        let bytes = self.read_edge(offset)?;
        let trailer =
            Trailer::from_bytes(&bytes).map_err(|detail| self.corrupt(offset, format!("trailer: {detail}")))?;
        if trailer.segment != self.segment {
            return Err(self.corrupt(offset, format!("the file is segment {}", trailer.segment)));
        }
        Ok(trailer)
    }

    fn read_edge(&self, offset: u64) -> Result<[u8; EDGE_BYTES]> {
        let mut bytes = [0; EDGE_BYTES];
        self.read(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Reads one record and checks it.
    pub(super) fn record(&self, place: RecordPlace) -> Result<Buffer> {
        self.check_place(place)?;
        let mut bytes = aligned_bytes(place.len as usize + RECORD_TAIL);
        self.read(bytes.as_mut(), place.offset)?;
        self.check_record(bytes.as_ref(), place)?;
        Ok(bytes.finish().slice_with_length(0, place.len as usize))
    }

    /// Reads records that stand behind one another with one read, and checks each.
    pub(super) fn records(&self, places: &[RecordPlace]) -> Result<Vec<Buffer>> {
        let (Some(first), Some(last)) = (places.first(), places.last()) else { return Ok(Vec::new()) };
        if places.len() == 1 {
            return Ok(vec![self.record(*first)?]);
        }
        for place in places {
            self.check_place(*place)?;
        }
        let end = last.offset + u64::from(last.len) + RECORD_TAIL as u64;
        let mut run = MutableBuffer::from_len_zeroed((end - first.offset) as usize);
        self.read(&mut run, first.offset)?;
        let mut buffers = Vec::with_capacity(places.len());
        for place in places {
            let start = (place.offset - first.offset) as usize;
            let bytes = &run[start..start + place.len as usize + RECORD_TAIL];
            self.check_record(bytes, *place)?;
            let mut own = aligned_bytes(place.len as usize);
            own.as_mut().copy_from_slice(&bytes[..place.len as usize]);
            buffers.push(own.finish());
        }
        Ok(buffers)
    }

    fn check_place(&self, place: RecordPlace) -> Result<()> {
        let end = place.offset.checked_add(u64::from(place.len) + RECORD_TAIL as u64);
        if !place.offset.is_multiple_of(ALIGNMENT as u64) || end.is_none_or(|end| end > self.len) {
            return Err(self.corrupt(place.offset, "a record that is not within the file"));
        }
        Ok(())
    }

    fn check_record(&self, bytes: &[u8], place: RecordPlace) -> Result<()> {
        let (payload, tail) = bytes.split_at(place.len as usize);
        if u32_at(tail, 0) != place.len || u32_at(tail, 4) != record_crc(payload, self.segment, place.offset) {
            return Err(self.corrupt(place.offset, "checksum mismatch"));
        }
        Ok(())
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(bytes, offset).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => self.corrupt(offset, "the file ends here"),
            _ => Error::io(&self.path, "read", e),
        })
    }
}

/// Memory whose start is a multiple of [`ALIGNMENT`], whatever the allocator's own alignment is.
#[derive(Debug)]
struct AlignedBytes {
    memory: MutableBuffer,
    start: usize,
    len: usize,
}

fn aligned_bytes(len: usize) -> AlignedBytes {
    let memory = MutableBuffer::from_len_zeroed(len);
    if memory.as_ptr().align_offset(ALIGNMENT) == 0 {
        return AlignedBytes { memory, start: 0, len };
    }
    let memory = MutableBuffer::from_len_zeroed(len + ALIGNMENT);
    let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    AlignedBytes { memory, start, len }
}

impl AlignedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }

    fn finish(self) -> Buffer {
        Buffer::from(self.memory).slice_with_length(self.start, self.len)
    }
}
