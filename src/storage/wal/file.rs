//! One file of frames: written by [`FrameWriter`], read by [`read_frames`].
//!
//! A writer appends *groups*: some frames in one write, beginning on a 4 KiB boundary. Where the file grows it writes
//! zeros ahead, so that most groups overwrite bytes the file already has: the sync then needs no change of the file's
//! length or extents (measured on ext4: a median of 165 µs for a 4 KiB group against 290 µs when it is appended).
//!
//! A reader follows the chain of frames as far as it holds. What comes after is either nothing (zeros, end of file)
//! or the remains of a write that a crash tore; or it is damage. The difference is *proof*: any intact frame later in
//! the file whose durable LSN reaches the place where the chain broke shows that what stood there had been synced.
//!
//! What must always hold: a write that failed leaves no trace ([`FrameWriter::append`] cuts it off and syncs before it
//! reports the failure), so an error other than an unknown outcome means the frames are not in the log.

use super::frame::{
    FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FRAME_MAGIC, FileHeader, FileKind, Frame, FrameHeader, FrameKind,
    GROUP_ALIGNMENT, GroupPlace, HEADER_COPY_OFFSET, HeaderFault, claimed_header_bytes, decode_header, decode_tables,
    encode_frame, salted_crc,
};
use crate::error::{Error, Result};
use crate::ids::{Lsn, TableId};
use lightning_vfs::{File, OpenMode, Vfs};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes read at a time.
const READ_BYTES: u64 = 1 << 20;
/// A group buffer above this is given back after use.
const BUFFER_KEPT_BYTES: usize = 4 << 20;

/// What went wrong in [`FrameWriter::append`].
#[derive(Debug)]
pub(crate) enum AppendFailure {
    /// Nothing was written; the writer goes on.
    Undone(io::Error),
    /// Frames may or may not be in the file; the writer must not be used again.
    Unknown(io::Error),
}

/// Appends groups of frames to a file.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    file: Arc<dyn File>,
    path: PathBuf,
    header: FileHeader,
    /// Where the next group goes.
    position: u64,
    /// Length of the file; from `position` on it is zeros.
    len: u64,
    previous_crc: u32,
    buffer: Vec<u8>,
}

impl FrameWriter {
    /// Makes the file and its header page, and syncs it; the caller syncs the directory.
    pub(crate) fn create(vfs: &dyn Vfs, path: PathBuf, header: FileHeader) -> Result<Self> {
        let file = vfs.open(&path, OpenMode::CreateNew).map_err(|e| Error::io(&path, "create", e))?;
        file.write_all_at(&header.encode(), 0).map_err(|e| Error::io(&path, "write", e))?;
        file.sync().map_err(|e| Error::io(&path, "sync", e))?;
        let position = GROUP_ALIGNMENT;
        let previous_crc = header.crc();
        Ok(FrameWriter { file, path, header, position, len: position, previous_crc, buffer: Vec::new() })
    }

    /// Goes on in a file that was read to its clean end and sealed.
    pub(crate) fn resume(file: &FrameFile, end: &FramesEnd) -> Self {
        let position = end.offset.next_multiple_of(GROUP_ALIGNMENT);
        FrameWriter {
            file: file.file.clone(),
            path: file.path.clone(),
            header: file.header,
            position,
            len: position.min(file.len),
            previous_crc: end.previous_crc,
            buffer: Vec::new(),
        }
    }

    /// The file's name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's header.
    pub(crate) fn header(&self) -> &FileHeader {
        &self.header
    }

    /// Where the next group goes.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Length of the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Writes `frames` as one group with one write, zeros behind it up to `ahead_to`; not synced.
    pub(crate) fn append(&mut self, frames: &[Frame<'_>], ahead_to: u64) -> std::result::Result<(), AppendFailure> {
        self.buffer.clear();
        let mut previous_crc = self.previous_crc;
        for (index, frame) in frames.iter().enumerate() {
            let place = if index + 1 == frames.len() { GroupPlace::Last } else { GroupPlace::Within };
            previous_crc = encode_frame(frame, place, self.header.salt, previous_crc, &mut self.buffer);
        }
        let end = (self.position + self.buffer.len() as u64).next_multiple_of(GROUP_ALIGNMENT);
        let filled_to = if end > self.len { end.max(ahead_to) } else { end };
        self.buffer.resize((filled_to - self.position) as usize, 0);
        if let Err(e) = self.file.write_all_at(&self.buffer, self.position) {
            return Err(self.undo(e));
        }
        self.position = end;
        self.len = self.len.max(filled_to);
        self.previous_crc = previous_crc;
        if self.buffer.capacity() > BUFFER_KEPT_BYTES {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// After a failed write: some of it may be in the file, and a later crash must not bring it back.
    fn undo(&mut self, failure: io::Error) -> AppendFailure {
        match self.file.set_len(self.position).and_then(|()| self.file.sync()) {
            Ok(()) => {
                self.len = self.position;
                AppendFailure::Undone(failure)
            }
            Err(_) => AppendFailure::Unknown(failure),
        }
    }

    /// Makes everything written durable. After a failure the writer must not be used again.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// An existing file of frames whose header was read.
#[derive(Debug)]
pub(crate) struct FrameFile {
    pub(crate) file: Arc<dyn File>,
    pub(crate) path: PathBuf,
    pub(crate) header: FileHeader,
    pub(crate) len: u64,
}

/// What opening a file of frames found.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A file with a header.
    Whole(FrameFile),
    /// A crash interrupted its creation: nothing was ever written behind the header page.
    Unfinished,
}

impl FrameFile {
    /// Opens `path` and reads its header, which must name `number`.
    pub(crate) fn open(vfs: &dyn Vfs, path: &Path, kind: FileKind, number: u64, mode: OpenMode) -> Result<Opened> {
        let file = vfs.open(path, mode).map_err(|e| Error::io(path, "open", e))?;
        let len = file.len().map_err(|e| Error::io(path, "read", e))?;
        let mut page = vec![0; len.min((HEADER_COPY_OFFSET + FILE_HEADER_BYTES) as u64) as usize];
        file.read_exact_at(&mut page, 0).map_err(|e| Error::io(path, "read", e))?;
        let header = match FileHeader::decode(kind, &page) {
            Ok(header) => header,
            // The header is synced before anything is written behind it.
            Err(HeaderFault::Damaged) if len <= GROUP_ALIGNMENT => return Ok(Opened::Unfinished),
            Err(HeaderFault::Damaged) => return Err(corrupt(path, 0, "both copies of the file header are damaged")),
            Err(HeaderFault::Foreign(detail)) => return Err(Error::NotADatabase { path: path.to_path_buf(), detail }),
        };
        if header.number != number {
            return Err(corrupt(path, 24, format!("the file header is that of file {}", header.number)));
        }
        Ok(Opened::Whole(FrameFile { file, path: path.to_path_buf(), header, len }))
    }

    /// Reads `len` bytes at `offset`, which must lie inside the file.
    fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, offset).map_err(|e| Error::io(&self.path, "read", e))?;
        Ok(bytes)
    }
}

pub(crate) fn corrupt(path: &Path, offset: u64, detail: impl Into<String>) -> Error {
    Error::Corrupt { path: path.to_path_buf(), offset, detail: detail.into() }
}

/// A frame as read: where it is, its header, the tables it touches and, unless skipped, its payload.
#[derive(Debug)]
pub(crate) struct ReadFrame<'a> {
    pub(crate) offset: u64,
    pub(crate) header: FrameHeader,
    pub(crate) tables: Vec<TableId>,
    pub(crate) payload: &'a [u8],
}

/// Where and why a chain of frames ended.
#[derive(Clone, Debug)]
pub(crate) struct FramesEnd {
    /// Just behind the last good frame, or the first place for one.
    pub(crate) offset: u64,
    /// LSN a next frame would have.
    pub(crate) next_lsn: Lsn,
    /// CRC a next frame would name.
    pub(crate) previous_crc: u32,
    /// Frames read.
    pub(crate) frames: u64,
    /// Kind of the last frame read.
    pub(crate) last_kind: Option<FrameKind>,
    /// The highest LSN that frames and header of this file prove durable.
    pub(crate) proven: Lsn,
    /// Offset of the first frame above `proven`; `offset` when there is none.
    pub(crate) unproven_from: u64,
    /// What follows.
    pub(crate) tail: Tail,
}

/// What follows the last good frame of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing but zeros.
    Clean,
    /// Remains of a write that nothing proves finished: where, and what is wrong there.
    Torn { offset: u64, detail: &'static str },
}

/// Reads the frames of `file` in order, handing `visit` those above `after`; payloads at or below are not read.
/// `Corrupt` when the chain breaks at a place that a later frame proves to have been synced.
pub(crate) fn read_frames(
    file: &FrameFile,
    after: Lsn,
    visit: &mut dyn FnMut(ReadFrame<'_>) -> Result<()>,
) -> Result<FramesEnd> {
    let mut window = Window { file, start: 0, bytes: Vec::new() };
    let mut end = FramesEnd {
        offset: GROUP_ALIGNMENT,
        next_lsn: file.header.first_lsn,
        previous_crc: file.header.crc(),
        frames: 0,
        last_kind: None,
        proven: Lsn(file.header.first_lsn.0.saturating_sub(1)),
        unproven_from: GROUP_ALIGNMENT,
        tail: Tail::Clean,
    };
    let mut synced_marks: Vec<(Lsn, u64)> = Vec::new();
    let mut next = GROUP_ALIGNMENT;
    let mut place = GroupPlace::Last;
    loop {
        let (header, tables) = match next_header(&mut window, next, &end)? {
            Next::Frame(header, tables) => (header, tables),
            Next::Nothing(detail) => {
                let unfinished = (place == GroupPlace::Within).then_some("its group is not complete");
                end.tail = judge_tail(file, next, end.next_lsn, detail.or(unfinished))?;
                break;
            }
        };
        if header.lsn > after {
            let at = next + header.header_bytes();
            let payload = window.bytes(at, u64::from(header.payload_len))?;
            if salted_crc(file.header.salt, payload) != header.payload_crc {
                end.tail = judge_tail(file, next, end.next_lsn, Some("the payload fails its checksum"))?;
                break;
            }
            visit(ReadFrame { offset: next, header, tables, payload })?;
        }
        synced_marks.push((header.lsn, next));
        if header.durable_lsn > end.proven {
            end.proven = header.durable_lsn;
            synced_marks.retain(|(lsn, _)| *lsn > header.durable_lsn);
        }
        end.offset = next + header.frame_bytes();
        end.next_lsn = Lsn(header.lsn.0 + 1);
        end.previous_crc = header.crc;
        end.frames += 1;
        end.last_kind = Some(header.kind);
        place = header.place;
        next = match place {
            GroupPlace::Within => end.offset,
            GroupPlace::Last => end.offset.next_multiple_of(GROUP_ALIGNMENT),
        };
    }
    end.unproven_from = synced_marks.first().map_or(end.offset, |(_, offset)| *offset);
    Ok(end)
}

enum Next {
    Frame(FrameHeader, Vec<TableId>),
    /// No frame continues the chain; why, unless there are just no bytes.
    Nothing(Option<&'static str>),
}

/// The frame header at `offset`, if it is whole and continues the chain.
fn next_header(window: &mut Window<'_>, offset: u64, chain: &FramesEnd) -> Result<Next> {
    let left = window.file.len.saturating_sub(offset);
    if left < FRAME_HEADER_BYTES as u64 {
        return Ok(Next::Nothing(None));
    }
    let fixed = window.bytes(offset, FRAME_HEADER_BYTES as u64)?;
    if fixed.iter().all(|b| *b == 0) {
        return Ok(Next::Nothing(None));
    }
    let Some(claimed) = claimed_header_bytes(fixed) else { return Ok(Next::Nothing(Some("no frame starts here"))) };
    if claimed > left {
        return Ok(Next::Nothing(Some("the frame header reaches past the end of the file")));
    }
    let salt = window.file.header.salt;
    let bytes = window.bytes(offset, claimed)?;
    let header = match decode_header(bytes, salt) {
        Ok(header) => header,
        Err(detail) => return Ok(Next::Nothing(Some(detail))),
    };
    if header.lsn != chain.next_lsn || header.previous_crc != chain.previous_crc {
        return Ok(Next::Nothing(Some("the frame does not continue the one before it")));
    }
    if header.frame_bytes() > left {
        return Ok(Next::Nothing(Some("the frame reaches past the end of the file")));
    }
    Ok(Next::Frame(header, decode_tables(bytes)))
}

/// The chain broke at `offset`, where frame `lsn` belongs: torn, or damaged after it had been synced?
fn judge_tail(file: &FrameFile, offset: u64, lsn: Lsn, detail: Option<&'static str>) -> Result<Tail> {
    let mut only_zeros = true;
    let mut from = offset;
    while from < file.len {
        let bytes = file.read(from, READ_BYTES.min(file.len - from))?;
        only_zeros &= bytes.iter().all(|b| *b == 0);
        // Frames start on multiples of 8 and the magic lies inside one such unit.
        let starts = bytes.chunks_exact(8).enumerate().filter(|(_, unit)| unit[4..8] == FRAME_MAGIC);
        for (index, _) in starts {
            let at = from + 8 * index as u64;
            if let Some(proof) = frame_anywhere(file, at)?.filter(|frame| frame.durable_lsn >= lsn) {
                let why = detail.unwrap_or("it was wiped");
                let detail = format!(
                    "frame {lsn} is damaged ({why}), and frame {} at byte {at} proves that it was durable",
                    proof.lsn
                );
                return Err(corrupt(&file.path, offset, detail));
            }
        }
        from += bytes.len() as u64;
    }
    match detail {
        None if only_zeros => Ok(Tail::Clean),
        detail => Ok(Tail::Torn { offset, detail: detail.unwrap_or("it was not written") }),
    }
}

/// The frame header at `offset` if it is intact, wherever it belongs in the chain.
fn frame_anywhere(file: &FrameFile, offset: u64) -> Result<Option<FrameHeader>> {
    let left = file.len - offset;
    if left < FRAME_HEADER_BYTES as u64 {
        return Ok(None);
    }
    let fixed = file.read(offset, FRAME_HEADER_BYTES as u64)?;
    match claimed_header_bytes(&fixed) {
        Some(claimed) if claimed <= left => Ok(decode_header(&file.read(offset, claimed)?, file.header.salt).ok()),
        _ => Ok(None),
    }
}

/// A piece of the file in memory, moving forward.
struct Window<'a> {
    file: &'a FrameFile,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// `len` bytes at `offset`, which lie inside the file.
    fn bytes(&mut self, offset: u64, len: u64) -> Result<&[u8]> {
        let held_to = self.start + self.bytes.len() as u64;
        if offset < self.start || offset + len > held_to {
            let wanted = len.max(READ_BYTES).min(self.file.len - offset).max(len);
            self.bytes = self.file.read(offset, wanted)?;
            self.start = offset;
        }
        let at = (offset - self.start) as usize;
        Ok(&self.bytes[at..at + len as usize])
    }
}

/// Makes what was read of `file` durable, and nothing else: frames that nothing proves synced are written again (an
/// earlier failed sync may have left them in the cache only), what follows the last frame is cut off, and the file is
/// synced. Repeating it after a crash does no harm: the bytes are the same.
pub(crate) fn seal(file: &FrameFile, end: &FramesEnd, proven: Lsn) -> Result<()> {
    let io = |operation| move |e| Error::io(&file.path, operation, e);
    if end.frames == 0 {
        file.file.write_all_at(&file.header.encode(), 0).map_err(io("write"))?;
    }
    if end.next_lsn.0 > proven.0 + 1 {
        let mut from = end.unproven_from;
        while from < end.offset {
            let bytes = file.read(from, READ_BYTES.min(end.offset - from))?;
            file.file.write_all_at(&bytes, from).map_err(io("write"))?;
            from += bytes.len() as u64;
        }
    }
    if file.len > end.offset {
        file.file.set_len(end.offset).map_err(io("truncate"))?;
    }
    file.file.sync().map_err(io("sync"))
}
