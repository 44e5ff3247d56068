//! The bytes of a log file: its header and its frames. The manifest is written in the same frames.
//!
//! All numbers are little-endian. CRC is CRC-32 (IEEE, as in zip), started with the file's salt, so that bytes left
//! over from another file never pass for this one's.
//!
//! ```text
//! file     0  header page, 4096 bytes: the header at 0 and the same header again at 2048, zeros elsewhere
//!       4096  frames, in groups; each group starts on a multiple of 4096 and ends with a frame flagged so
//!             zeros up to the next group; zeros may follow the last one
//!
//! header   0  8  magic: "LTNGWAL\0" a log, "LTNGMAN\0" a manifest
//!          8  4  format version, 1
//!         12  4  zero
//!         16  8  salt, random
//!         24  8  number of the file, as in its name
//!         32  8  LSN of the first frame: everything before it was durable when this file was made
//!         40 20  zero
//!         60  4  CRC-32 of bytes 0..60, without salt
//!
//! frame    0  4  CRC of bytes 4..48 and the table ids
//!          4  4  magic "FRM1"
//!          8  8  LSN, one above the frame before it
//!         16  8  durable LSN: the highest known to be synced when this frame was built; below the frame's own
//!         24  4  length of the payload
//!         28  4  CRC of the payload
//!         32  4  CRC at 0 of the frame before; for the first frame, CRC at 60 of the file header
//!         36  2  kind: 1 commit, 2 proof, 3 manifest edits
//!         38  2  flags: bit 0, last frame of its group
//!         40  4  number of table ids
//!         44  4  zero
//!         48  .  ids of the tables touched, 8 bytes each, ascending
//!          .  .  payload, then zeros to a multiple of 8
//! ```

use crate::ids::{Lsn, TableId};

/// Where groups may start, and the length of the header page.
pub(crate) const GROUP_ALIGNMENT: u64 = 4096;
/// Length of a file header.
pub(crate) const FILE_HEADER_BYTES: usize = 64;
/// Where the second copy of the file header stands.
pub(crate) const HEADER_COPY_OFFSET: usize = 2048;
/// Length of a frame header without table ids.
pub(crate) const FRAME_HEADER_BYTES: usize = 48;
/// What a frame starts with, after its CRC.
pub(crate) const FRAME_MAGIC: [u8; 4] = *b"FRM1";
/// Longest payload of one frame.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1 << 30;
/// The format version written, and the only one read.
pub(crate) const FORMAT_VERSION: u32 = 1;

const FLAG_LAST_OF_GROUP: u16 = 1;

/// What a file of frames is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A segment of the log.
    Log,
    /// A manifest.
    Manifest,
}

impl FileKind {
    fn magic(self) -> [u8; 8] {
        match self {
            FileKind::Log => *b"LTNGWAL\0",
            FileKind::Manifest => *b"LTNGMAN\0",
        }
    }
}

/// The header of a file of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) kind: FileKind,
    pub(crate) salt: u64,
    pub(crate) number: u64,
    pub(crate) first_lsn: Lsn,
}

/// Why bytes are not a file header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// No copy passes its checksum.
    Damaged,
    /// A whole header of something else.
    Foreign(String),
}

impl FileHeader {
    /// The header page.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut header = [0; FILE_HEADER_BYTES];
        header[0..8].copy_from_slice(&self.kind.magic());
        header[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        header[16..24].copy_from_slice(&self.salt.to_le_bytes());
        header[24..32].copy_from_slice(&self.number.to_le_bytes());
        header[32..40].copy_from_slice(&self.first_lsn.0.to_le_bytes());
        let crc = crc32fast::hash(&header[..60]);
        header[60..64].copy_from_slice(&crc.to_le_bytes());
        let mut page = vec![0; GROUP_ALIGNMENT as usize];
        page[..FILE_HEADER_BYTES].copy_from_slice(&header);
        page[HEADER_COPY_OFFSET..HEADER_COPY_OFFSET + FILE_HEADER_BYTES].copy_from_slice(&header);
        page
    }

    /// Reads the header from what there is of the header page; either copy will do.
    pub(crate) fn decode(kind: FileKind, page: &[u8]) -> Result<FileHeader, HeaderFault> {
        let copies = [0, HEADER_COPY_OFFSET].map(|at| page.get(at..at + FILE_HEADER_BYTES));
        let intact = |copy: &&[u8]| crc32fast::hash(&copy[..60]) == u32_at(copy, 60);
        let Some(copy) = copies.into_iter().flatten().find(intact) else { return Err(HeaderFault::Damaged) };
        if copy[0..8] != kind.magic() {
            return Err(HeaderFault::Foreign("it is a file of another kind".to_string()));
        }
        let version = u32_at(copy, 8);
        if version != FORMAT_VERSION {
            let detail = format!("it has format version {version}, this program reads version {FORMAT_VERSION}");
            return Err(HeaderFault::Foreign(detail));
        }
        let (salt, number, first_lsn) = (u64_at(copy, 16), u64_at(copy, 24), Lsn(u64_at(copy, 32)));
        Ok(FileHeader { kind, salt, number, first_lsn })
    }

    /// What the first frame of the file names as the CRC before it.
    pub(crate) fn crc(&self) -> u32 {
        u32_at(&self.encode(), 60)
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// A transaction's record.
    Commit,
    /// Nothing but the proof that everything up to its durable LSN was synced.
    Proof,
    /// Edits of the manifest.
    Edits,
}

impl FrameKind {
    fn code(self) -> u16 {
        match self {
            FrameKind::Commit => 1,
            FrameKind::Proof => 2,
            FrameKind::Edits => 3,
        }
    }

    fn from_code(code: u16) -> Option<Self> {
        [FrameKind::Commit, FrameKind::Proof, FrameKind::Edits].into_iter().find(|kind| kind.code() == code)
    }
}

/// A frame to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: FrameKind,
    pub(crate) lsn: Lsn,
    pub(crate) durable_lsn: Lsn,
    pub(crate) tables: &'a [TableId],
    pub(crate) payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the frame, padding included.
    pub(crate) fn encoded_bytes(&self) -> u64 {
        frame_bytes(self.tables.len(), self.payload.len())
    }
}

/// Whether a frame ends its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupPlace {
    Within,
    Last,
}

/// The fixed part of a frame that passed its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) crc: u32,
    pub(crate) lsn: Lsn,
    pub(crate) durable_lsn: Lsn,
    pub(crate) payload_len: u32,
    pub(crate) payload_crc: u32,
    pub(crate) previous_crc: u32,
    pub(crate) kind: FrameKind,
    pub(crate) place: GroupPlace,
    pub(crate) table_count: u32,
}

impl FrameHeader {
    /// Bytes of header and table ids.
    pub(crate) fn header_bytes(&self) -> u64 {
        header_bytes(self.table_count as usize)
    }

    /// Offset, from the frame's start, of what follows it.
    pub(crate) fn frame_bytes(&self) -> u64 {
        frame_bytes(self.table_count as usize, self.payload_len as usize)
    }
}

fn header_bytes(tables: usize) -> u64 {
    (FRAME_HEADER_BYTES + 8 * tables) as u64
}

fn frame_bytes(tables: usize, payload: usize) -> u64 {
    header_bytes(tables) + (payload as u64).next_multiple_of(8)
}

/// Appends `frame` to `out`; its header CRC, which the next frame names.
pub(crate) fn encode_frame(
    frame: &Frame<'_>,
    place: GroupPlace,
    salt: u64,
    previous_crc: u32,
    out: &mut Vec<u8>,
) -> u32 {
    let start = out.len();
    let flags = if place == GroupPlace::Last { FLAG_LAST_OF_GROUP } else { 0 };
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&FRAME_MAGIC);
    out.extend_from_slice(&frame.lsn.0.to_le_bytes());
    out.extend_from_slice(&frame.durable_lsn.0.to_le_bytes());
    out.extend_from_slice(&(frame.payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&salted_crc(salt, frame.payload).to_le_bytes());
    out.extend_from_slice(&previous_crc.to_le_bytes());
    out.extend_from_slice(&frame.kind.code().to_le_bytes());
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&(frame.tables.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    for table in frame.tables {
        out.extend_from_slice(&table.0.to_le_bytes());
    }
    let crc = salted_crc(salt, &out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(frame.payload);
    out.resize(start + frame.encoded_bytes() as usize, 0);
    crc
}

/// How many bytes the header at the start of `bytes` claims, table ids included; `None` when no frame starts there.
/// Nothing is verified yet.
pub(crate) fn claimed_header_bytes(bytes: &[u8]) -> Option<u64> {
    let fixed = bytes.get(..FRAME_HEADER_BYTES)?;
    (fixed[4..8] == FRAME_MAGIC).then(|| header_bytes(u32_at(fixed, 40) as usize))
}

/// Verifies a frame header with its table ids, `bytes` being as long as it claims.
pub(crate) fn decode_header(bytes: &[u8], salt: u64) -> Result<FrameHeader, &'static str> {
    let claimed = claimed_header_bytes(bytes).ok_or("no frame starts here")?;
    if claimed != bytes.len() as u64 || salted_crc(salt, &bytes[4..]) != u32_at(bytes, 0) {
        return Err("the frame header fails its checksum");
    }
    let flags = u16_at(bytes, 38);
    if flags & !FLAG_LAST_OF_GROUP != 0 {
        return Err("the frame has flags unknown to this program");
    }
    let header = FrameHeader {
        crc: u32_at(bytes, 0),
        lsn: Lsn(u64_at(bytes, 8)),
        durable_lsn: Lsn(u64_at(bytes, 16)),
        payload_len: u32_at(bytes, 24),
        payload_crc: u32_at(bytes, 28),
        previous_crc: u32_at(bytes, 32),
        kind: FrameKind::from_code(u16_at(bytes, 36)).ok_or("the frame is of a kind unknown to this program")?,
        place: if flags == 0 { GroupPlace::Within } else { GroupPlace::Last },
        table_count: u32_at(bytes, 40),
    };
    if header.durable_lsn >= header.lsn || header.payload_len as usize > PAYLOAD_BYTES_MAX {
        return Err("the frame header contradicts itself");
    }
    Ok(header)
}

/// The table ids of a verified header.
pub(crate) fn decode_tables(bytes: &[u8]) -> Vec<TableId> {
    bytes[FRAME_HEADER_BYTES..].chunks_exact(8).map(|id| TableId(u64_at(id, 0))).collect()
}

/// CRC-32 of `bytes`, bound to the file by its salt.
pub(crate) fn salted_crc(salt: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u64 = 0x0123_4567_89ab_cdef;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn commit() -> Vec<u8> {
        let tables = [TableId(1024), TableId(1025)];
        let frame =
            Frame { kind: FrameKind::Commit, lsn: Lsn(7), durable_lsn: Lsn(6), tables: &tables, payload: b"hello" };
        let mut out = Vec::new();
        encode_frame(&frame, GroupPlace::Last, SALT, 0xdead_beef, &mut out);
        out
    }

    #[test]
    fn file_header_has_golden_bytes() {
        let header = FileHeader { kind: FileKind::Log, salt: SALT, number: 3, first_lsn: Lsn(42) };
        let page = header.encode();
        assert_eq!(
            hex(&page[..60]),
            "4c544e4757414c000100000000000000efcdab89674523010300000000000000\
             2a000000000000000000000000000000000000000000000000000000"
        );
        assert_eq!(page[60..64], crc32fast::hash(&page[..60]).to_le_bytes());
        assert_eq!(page[..64], page[2048..2112]);
        assert_eq!(page.len(), 4096);
        assert_eq!(FileHeader::decode(FileKind::Log, &page), Ok(header));
    }

    #[test]
    fn file_header_survives_the_loss_of_either_copy() {
        let header = FileHeader { kind: FileKind::Manifest, salt: 1, number: 2, first_lsn: Lsn(3) };
        for at in [5, 2048 + 5] {
            let mut page = header.encode();
            page[at] ^= 1;
            assert_eq!(FileHeader::decode(FileKind::Manifest, &page), Ok(header));
        }
        let mut page = header.encode();
        page[20] ^= 1;
        page[2048 + 20] ^= 1;
        assert_eq!(FileHeader::decode(FileKind::Manifest, &page), Err(HeaderFault::Damaged));
        assert_eq!(FileHeader::decode(FileKind::Manifest, &[]), Err(HeaderFault::Damaged));
        let whole = header.encode();
        assert!(matches!(FileHeader::decode(FileKind::Log, &whole), Err(HeaderFault::Foreign(_))));
    }

    #[test]
    fn frame_has_golden_bytes() {
        let bytes = commit();
        assert_eq!(
            hex(&bytes[4..]),
            "46524d3107000000000000000600000000000000050000001c2b9e1cefbeadde01000100\
             02000000000000000004000000000000010400000000000068656c6c6f000000"
        );
        assert_eq!(hex(&bytes[..4]), "be352510");
    }

    #[test]
    fn frame_round_trips() {
        let bytes = commit();
        let claimed = claimed_header_bytes(&bytes).unwrap() as usize;
        let header = decode_header(&bytes[..claimed], SALT).unwrap();
        assert_eq!((header.lsn, header.durable_lsn, header.kind), (Lsn(7), Lsn(6), FrameKind::Commit));
        assert_eq!((header.place, header.previous_crc), (GroupPlace::Last, 0xdead_beef));
        assert_eq!(decode_tables(&bytes[..claimed]), [TableId(1024), TableId(1025)]);
        assert_eq!(header.frame_bytes(), bytes.len() as u64);
        assert_eq!(header.payload_crc, salted_crc(SALT, b"hello"));
    }

    #[test]
    fn every_flipped_header_bit_and_every_other_salt_is_noticed() {
        let bytes = commit();
        let claimed = claimed_header_bytes(&bytes).unwrap() as usize;
        assert!(decode_header(&bytes[..claimed], SALT ^ 1).is_err());
        for bit in 0..claimed * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let len = claimed_header_bytes(&flipped).unwrap_or(48).min(flipped.len() as u64) as usize;
            assert!(decode_header(&flipped[..len], SALT).is_err(), "bit {bit}");
        }
    }
}
