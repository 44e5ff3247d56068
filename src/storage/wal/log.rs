//! The log while it is being written.

use super::directory::{DiscardedTail, Record, Strictness, Walk, WalkedFile, file_numbers, file_path, walk};
use super::file::{AppendFailure, FrameWriter, FramesEnd, Tail, seal};
use super::frame::{FileHeader, FileKind, Frame, FrameKind, GROUP_ALIGNMENT, PAYLOAD_BYTES_MAX};
use crate::error::{Error, Result};
use crate::ids::{Lsn, TableId};
use lightning_vfs::Vfs;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a log file that is full.
pub(crate) const FILE_BYTES: u64 = 64 << 20;
/// Zeros written ahead of small groups.
pub(crate) const AHEAD_BYTES: u64 = 1 << 20;

/// A record to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordRef<'a> {
    /// Tables it touches, ascending.
    pub(crate) tables: &'a [TableId],
    /// What to keep; at most [`PAYLOAD_BYTES_MAX`] bytes.
    pub(crate) payload: &'a [u8],
}

/// What recovery found.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecoveryReport {
    /// Newest frame of the log.
    pub(crate) last_lsn: Lsn,
    /// Remains of an unacknowledged write, cut off.
    pub(crate) discarded: Option<DiscardedTail>,
}

/// The log's state, for those who ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogStatus {
    /// Newest frame written.
    pub(crate) last_lsn: Lsn,
    /// Newest frame known to be on disk.
    pub(crate) durable_lsn: Lsn,
    /// Files.
    pub(crate) files: usize,
    /// Bytes of the files.
    pub(crate) bytes: u64,
    /// Syncs since the log was opened.
    pub(crate) syncs: u64,
    /// Commit records since the log was opened.
    pub(crate) records: u64,
}

/// Sizes, smaller in tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalOptions {
    pub(crate) file_bytes: u64,
    pub(crate) ahead_bytes: u64,
}

impl Default for WalOptions {
    fn default() -> Self {
        WalOptions { file_bytes: FILE_BYTES, ahead_bytes: AHEAD_BYTES }
    }
}

/// A file the log no longer writes to.
#[derive(Debug)]
struct FullFile {
    path: PathBuf,
    first_lsn: Lsn,
    bytes: u64,
}

/// The log of one database, owned by one thread.
#[derive(Debug)]
pub(crate) struct Wal {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    options: WalOptions,
    full: Vec<FullFile>,
    writer: FrameWriter,
    /// Highest file number ever seen.
    newest_number: u64,
    last_lsn: Lsn,
    durable_lsn: Lsn,
    /// Whether something was written after the last proof.
    unproven: bool,
    syncs: u64,
    records: u64,
    /// Why nothing is written any more.
    closed: Option<String>,
}

impl Wal {
    /// Opens the log in `dir`, making it if there is none, and hands `visit` every record above `after` in order.
    ///
    /// `after` is the checkpoint, `proven` the highest LSN the manifest knows to have been durable. When this returns,
    /// all that was visited is durable and the log takes records. `Corrupt` if a record that was durable does not
    /// verify; the log is then left as it is.
    pub(crate) fn recover(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        after: Lsn,
        proven: Lsn,
        visit: &mut dyn FnMut(Record) -> Result<()>,
    ) -> Result<(Wal, RecoveryReport)> {
        Wal::recover_with(vfs, dir, after, proven, WalOptions::default(), visit)
    }

    /// [`Wal::recover`] with other sizes.
    pub(crate) fn recover_with(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        after: Lsn,
        proven: Lsn,
        options: WalOptions,
        visit: &mut dyn FnMut(Record) -> Result<()>,
    ) -> Result<(Wal, RecoveryReport)> {
        vfs.create_dir_all(dir).map_err(|e| Error::io(dir, "create", e))?;
        let Walk { mut files, unfinished, next_lsn, discarded, .. } =
            walk(&*vfs, dir, after, proven, Strictness::Stop, visit)?;
        let report = RecoveryReport { last_lsn: Lsn(next_lsn.0 - 1), discarded };
        let newest_number = file_numbers(&*vfs, dir)?.last().copied().unwrap_or(0);
        let mut syncs = 0;
        let mut reusable = None;
        if let Some(WalkedFile { file, end: Some(end) }) = files.last() {
            seal(file, end, proven)?;
            syncs += 1;
            if is_unused(end) {
                reusable = files.pop();
            }
        }
        let (writer, newest_number) = match reusable {
            Some(WalkedFile { file, end: Some(end) }) => (FrameWriter::resume(&file, &end), newest_number),
            _ => {
                let number = newest_number + 1;
                (create_file(&*vfs, dir, number, next_lsn)?, number)
            }
        };
        vfs.sync_dir(dir).map_err(|e| Error::io(dir, "sync", e))?;
        for path in unfinished {
            vfs.remove(&path).map_err(|e| Error::io(&path, "remove", e))?;
        }
        let full = files.into_iter().map(full_file).collect();
        let last_lsn = report.last_lsn;
        let wal = Wal {
            vfs,
            dir: dir.to_path_buf(),
            options,
            full,
            writer,
            newest_number,
            last_lsn,
            durable_lsn: last_lsn,
            unproven: false,
            syncs,
            records: 0,
            closed: None,
        };
        Ok((wal, report))
    }

    /// LSN the next record will get.
    pub(crate) fn next_lsn(&self) -> Lsn {
        Lsn(self.last_lsn.0 + 1)
    }

    /// Newest record known to be on disk.
    pub(crate) fn durable_lsn(&self) -> Lsn {
        self.durable_lsn
    }

    /// Writes `records` as one group, with consecutive LSNs from the one returned on. Not durable before
    /// [`Wal::sync`].
    ///
    /// On an `Io` error (disk full among them) none of them is in the log nor ever will be, and the log goes on if it
    /// can. On `OutcomeUnknown` they may turn up after the next recovery, and the log is closed.
    pub(crate) fn append_group(&mut self, records: &[RecordRef<'_>]) -> Result<Lsn> {
        let first = self.next_lsn();
        if let Some(record) = records.iter().find(|record| record.payload.len() > PAYLOAD_BYTES_MAX) {
            let (has, max) = (record.payload.len(), PAYLOAD_BYTES_MAX);
            return Err(Error::Unsupported(format!("a log record has {has} bytes, more than {max}")));
        }
        if !records.is_empty() {
            self.append(FrameKind::Commit, records)?;
            self.records += records.len() as u64;
        }
        Ok(first)
    }

    /// Makes everything written durable; the newest durable record. After a failure, which is reported once as
    /// `OutcomeUnknown`, the log is closed.
    pub(crate) fn sync(&mut self) -> Result<Lsn> {
        self.check_open()?;
        if self.durable_lsn < self.last_lsn {
            match self.writer.sync() {
                Ok(()) => {
                    self.syncs += 1;
                    self.durable_lsn = self.last_lsn;
                }
                Err(e) => return Err(self.close_unknown("sync", e)),
            }
        }
        Ok(self.durable_lsn)
    }

    /// Proves that all records so far were durable, if nothing does yet: without it, damage to the last group cannot
    /// be told from a write that was never finished. Meant for idle moments and for closing.
    pub(crate) fn write_proof(&mut self) -> Result<()> {
        self.sync()?;
        if self.unproven {
            self.append(FrameKind::Proof, &[RecordRef { tables: &[], payload: &[] }])?;
            self.sync()?;
            self.unproven = false;
        }
        Ok(())
    }

    /// Deletes the files that hold only records below `lsn`; how many. The file being written stays.
    pub(crate) fn truncate_before(&mut self, lsn: Lsn) -> Result<usize> {
        self.check_open()?;
        let writing_from = self.writer.header().first_lsn;
        let next_firsts = self.full.iter().skip(1).map(|file| file.first_lsn).chain([writing_from]);
        let count = next_firsts.take_while(|next_first| *next_first <= lsn).count().min(self.full.len());
        for _ in 0..count {
            let path = &self.full[0].path;
            match self.vfs.remove(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(path, "remove", e)),
                _ => self.full.remove(0),
            };
        }
        if count > 0 {
            self.vfs.sync_dir(&self.dir).map_err(|e| Error::io(&self.dir, "sync", e))?;
        }
        Ok(count)
    }

    /// The log's state.
    pub(crate) fn status(&self) -> LogStatus {
        LogStatus {
            last_lsn: self.last_lsn,
            durable_lsn: self.durable_lsn,
            files: self.full.len() + 1,
            bytes: self.full.iter().map(|file| file.bytes).sum::<u64>() + self.writer.len(),
            syncs: self.syncs,
            records: self.records,
        }
    }

    fn check_open(&self) -> Result<()> {
        match &self.closed {
            None => Ok(()),
            Some(why) => Err(Error::ReadOnly(why.clone())),
        }
    }

    fn append(&mut self, kind: FrameKind, records: &[RecordRef<'_>]) -> Result<()> {
        self.check_open()?;
        let frames: Vec<Frame<'_>> = (self.last_lsn.0 + 1..)
            .zip(records)
            .map(|(lsn, record)| Frame {
                kind,
                lsn: Lsn(lsn),
                durable_lsn: self.durable_lsn,
                tables: record.tables,
                payload: record.payload,
            })
            .collect();
        let group_bytes: u64 = frames.iter().map(Frame::encoded_bytes).sum();
        let is_empty = self.writer.position() == GROUP_ALIGNMENT;
        if !is_empty && self.writer.position() + group_bytes > self.options.file_bytes {
            self.next_file()?;
        }
        let written = match self.writer.append(&frames, self.ahead_to()) {
            // Dropping a table, say, must not fail for want of zeros.
            Err(AppendFailure::Undone(e)) if e.kind() == io::ErrorKind::StorageFull => self.writer.append(&frames, 0),
            outcome => outcome,
        };
        match written {
            Ok(()) => {
                self.last_lsn = Lsn(self.last_lsn.0 + frames.len() as u64);
                self.unproven = true;
                Ok(())
            }
            Err(AppendFailure::Undone(e)) => {
                // Cutting the failed write off synced the file.
                self.durable_lsn = self.last_lsn;
                Err(Error::io(self.writer.path(), "write", e))
            }
            Err(AppendFailure::Unknown(e)) => Err(self.close_unknown("write to", e)),
        }
    }

    /// Where zeros are to reach when the file grows.
    fn ahead_to(&self) -> u64 {
        (self.writer.position() + 1).next_multiple_of(self.options.ahead_bytes.max(1)).min(self.options.file_bytes)
    }

    /// Syncs the current file and goes on in a new one.
    fn next_file(&mut self) -> Result<()> {
        self.sync()?;
        let number = self.newest_number + 1;
        // A number is used once, also when the file could not be made.
        self.newest_number = number;
        let writer = match create_file(&*self.vfs, &self.dir, number, self.next_lsn()) {
            Ok(writer) => writer,
            Err(e) => return Err(self.give_up_file(number, e)),
        };
        if let Err(e) = self.vfs.sync_dir(&self.dir) {
            let failure = Error::io(&self.dir, "sync", e);
            return Err(self.give_up_file(number, failure));
        }
        self.syncs += 1;
        let old = std::mem::replace(&mut self.writer, writer);
        self.full.push(FullFile {
            path: old.path().to_path_buf(),
            first_lsn: old.header().first_lsn,
            bytes: old.len(),
        });
        Ok(())
    }

    /// A new file could not be finished. It must not be found by recovery beside records that go to the old one, so
    /// if it cannot be removed for sure, the log is closed.
    fn give_up_file(&mut self, number: u64, failure: Error) -> Error {
        let path = file_path(&self.dir, number);
        let removed = match self.vfs.remove(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        };
        if removed.and_then(|()| self.vfs.sync_dir(&self.dir)).is_err() {
            self.closed = Some(format!("the log could not go on in a new file: {failure}"));
        }
        failure
    }

    fn close_unknown(&mut self, operation: &str, source: io::Error) -> Error {
        self.closed = Some(format!("could not {operation} the log: {source}"));
        Error::OutcomeUnknown { lsn: Lsn(self.durable_lsn.0 + 1), source: Arc::new(source) }
    }
}

/// Whether a file has no frames and nothing that could pass for one later.
fn is_unused(end: &FramesEnd) -> bool {
    end.frames == 0 && end.tail == Tail::Clean
}

fn create_file(vfs: &dyn Vfs, dir: &Path, number: u64, first_lsn: Lsn) -> Result<FrameWriter> {
    let header = FileHeader { kind: FileKind::Log, salt: fresh_salt(number), number, first_lsn };
    FrameWriter::create(vfs, file_path(dir, number), header)
}

fn full_file(walked: WalkedFile) -> FullFile {
    let bytes = walked.end.map_or(walked.file.len, |end| end.offset.min(walked.file.len));
    FullFile { path: walked.file.path, first_lsn: walked.file.header.first_lsn, bytes }
}

/// A salt no other file has: the system's randomness, the clock and the file's number.
pub(crate) fn fresh_salt(number: u64) -> u64 {
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u64(number);
    hasher.write_u32(std::process::id());
    if let Ok(now) = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        hasher.write_u128(now.as_nanos());
    }
    hasher.finish()
}
