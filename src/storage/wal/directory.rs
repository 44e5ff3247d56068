//! All files of a log, in order: their names, and one walk over their records that changes nothing.
//!
//! Recovery takes the walk strictly (the first damage ends it), inspection leniently (each damage is noted, and the
//! walk goes on with the next file).

use super::file::{FrameFile, FramesEnd, Opened, Tail, corrupt, read_frames};
use super::frame::{FileKind, FrameKind};
use crate::error::{Error, Result};
use crate::ids::{Lsn, TableId};
use lightning_vfs::{OpenMode, Vfs};
use std::path::{Path, PathBuf};

const EXTENSION: &str = "wal";

/// A record as found in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its place in the log.
    pub(crate) lsn: Lsn,
    /// Tables it touches.
    pub(crate) tables: Vec<TableId>,
    /// What the engine wrote.
    pub(crate) payload: Vec<u8>,
}

/// Remains of writes that were never acknowledged, found behind the last good record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DiscardedTail {
    /// The file.
    pub(crate) path: PathBuf,
    /// Where the remains begin.
    pub(crate) offset: u64,
    /// LSN the first of them would have had.
    pub(crate) lsn: Lsn,
    /// What is wrong with it.
    pub(crate) detail: &'static str,
}

/// The path of log file `number`.
pub(crate) fn file_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.{EXTENSION}"))
}

/// The numbers of the log files in `dir`, ascending; other files are nobody's business here.
pub(crate) fn file_numbers(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<u64>> {
    let paths = vfs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    let mut numbers: Vec<u64> = paths.iter().filter_map(|path| number_of(path)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn number_of(path: &Path) -> Option<u64> {
    let number = path.file_stem()?.to_str()?.parse().ok()?;
    (file_path(Path::new(""), number).as_os_str() == path.file_name()?).then_some(number)
}

/// What to do about damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// The first damage is the walk's error.
    Stop,
    /// Note it and go on with the next file.
    Note,
}

/// A file the walk went through.
#[derive(Debug)]
pub(crate) struct WalkedFile {
    pub(crate) file: FrameFile,
    /// `None` when its records were not wanted or damage ended it.
    pub(crate) end: Option<FramesEnd>,
}

/// The outcome of a walk.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Files with a header, in order.
    pub(crate) files: Vec<WalkedFile>,
    /// Files whose creation a crash interrupted.
    pub(crate) unfinished: Vec<PathBuf>,
    /// LSN the next record will have.
    pub(crate) next_lsn: Lsn,
    /// Records handed out.
    pub(crate) records: u64,
    /// Remains of an unacknowledged write.
    pub(crate) discarded: Option<DiscardedTail>,
    /// Damage noted.
    pub(crate) faults: Vec<Error>,
}

/// Walks the log in `dir`, handing `visit` the commit records above `after` in order. `proven` is an LSN known, from
/// elsewhere, to have been durable.
pub(crate) fn walk(
    vfs: &dyn Vfs,
    dir: &Path,
    after: Lsn,
    proven: Lsn,
    strictness: Strictness,
    visit: &mut dyn FnMut(Record) -> Result<()>,
) -> Result<Walk> {
    let mut walker = Walker {
        after,
        strictness,
        walk: Walk {
            files: Vec::new(),
            unfinished: Vec::new(),
            next_lsn: Lsn(1),
            records: 0,
            discarded: None,
            faults: Vec::new(),
        },
    };
    let mode = match strictness {
        Strictness::Stop => OpenMode::ReadWrite,
        Strictness::Note => OpenMode::Read,
    };
    let mut files = Vec::new();
    for number in file_numbers(vfs, dir)? {
        let path = file_path(dir, number);
        match FrameFile::open(vfs, &path, FileKind::Log, number, mode) {
            Ok(Opened::Whole(file)) => files.push(file),
            Ok(Opened::Unfinished) => walker.walk.unfinished.push(path),
            Err(e) => walker.fault(e)?,
        }
    }
    walker.check_start(dir, files.first(), proven)?;
    let mut files = files.into_iter().peekable();
    while let Some(file) = files.next() {
        let next_first = files.peek().map(|next| next.header.first_lsn);
        walker.file(file, next_first, visit)?;
    }
    walker.check_end(proven)?;
    Ok(walker.walk)
}

struct Walker {
    after: Lsn,
    strictness: Strictness,
    walk: Walk,
}

impl Walker {
    fn fault(&mut self, fault: Error) -> Result<()> {
        match self.strictness {
            Strictness::Stop => Err(fault),
            Strictness::Note => {
                self.walk.faults.push(fault);
                Ok(())
            }
        }
    }

    /// The first file must not begin above the first record wanted.
    fn check_start(&mut self, dir: &Path, first: Option<&FrameFile>, proven: Lsn) -> Result<()> {
        let wanted = Lsn(self.after.0 + 1);
        match first {
            Some(first) => {
                self.walk.next_lsn = first.header.first_lsn;
                if first.header.first_lsn > wanted {
                    let detail =
                        format!("the log begins at record {}, record {wanted} is missing", first.header.first_lsn);
                    self.fault(corrupt(&first.path, 0, detail))?;
                }
            }
            None if self.after.max(proven) > Lsn(0) => {
                let newest = self.after.max(proven);
                self.fault(corrupt(dir, 0, format!("the log is missing, its records up to {newest} were durable")))?;
            }
            None => {}
        }
        Ok(())
    }

    /// Reads one file; `next_first` is where the next one begins.
    fn file(
        &mut self,
        file: FrameFile,
        next_first: Option<Lsn>,
        visit: &mut dyn FnMut(Record) -> Result<()>,
    ) -> Result<()> {
        // The checkpoint may leave files behind that nobody needs, in any state.
        let wanted = Lsn(self.after.0 + 1);
        if self.strictness == Strictness::Stop && next_first.is_some_and(|next| next <= wanted) {
            self.walk.files.push(WalkedFile { file, end: None });
            return Ok(());
        }
        let records = &mut self.walk.records;
        let after = match self.strictness {
            Strictness::Stop => self.after,
            Strictness::Note => Lsn(0),
        };
        let outcome = read_frames(&file, after, &mut |frame| match frame.header.kind {
            FrameKind::Commit => {
                *records += 1;
                visit(Record { lsn: frame.header.lsn, tables: frame.tables, payload: frame.payload.to_vec() })
            }
            FrameKind::Proof => Ok(()),
            FrameKind::Edits => Err(corrupt(&file.path, frame.offset, "the log holds a frame of a manifest")),
        });
        let end = match outcome {
            Ok(end) => Some(end),
            Err(e) => {
                self.fault(e)?;
                None
            }
        };
        if let Some(end) = &end {
            self.walk.next_lsn = end.next_lsn;
            self.judge_end(&file, end, next_first)?;
        }
        if let Some(next_first) = next_first {
            self.walk.next_lsn = next_first;
        }
        self.walk.files.push(WalkedFile { file, end });
        Ok(())
    }

    /// A file that another one follows was synced to its end; the last one may have a torn tail.
    fn judge_end(&mut self, file: &FrameFile, end: &FramesEnd, next_first: Option<Lsn>) -> Result<()> {
        let tail = match &end.tail {
            Tail::Clean => None,
            Tail::Torn { offset, detail } => Some((*offset, *detail)),
        };
        match next_first {
            // The checkpoint deletes files in no order that survives a crash.
            Some(next_first) if tail.is_none() && end.next_lsn < next_first && next_first.0 <= self.after.0 + 1 => {
                Ok(())
            }
            Some(next_first) if end.next_lsn < next_first => {
                let lsn = end.next_lsn;
                let detail = match tail {
                    None => format!("frame {lsn} is missing, the next file begins at frame {next_first}"),
                    Some((_, why)) => {
                        format!("frame {lsn} is damaged ({why}), and the next file proves that it was durable")
                    }
                };
                self.fault(corrupt(&file.path, tail.map_or(end.offset, |(offset, _)| offset), detail))
            }
            Some(next_first) if end.next_lsn > next_first => {
                let detail = format!("the file goes on to record {} beyond the start of the next", end.next_lsn);
                self.fault(corrupt(&file.path, end.offset, detail))
            }
            Some(_) => Ok(()),
            None => {
                self.walk.discarded = tail.map(|(offset, detail)| DiscardedTail {
                    path: file.path.clone(),
                    offset,
                    lsn: end.next_lsn,
                    detail,
                });
                Ok(())
            }
        }
    }

    /// The log must reach what is known to have been durable.
    fn check_end(&mut self, proven: Lsn) -> Result<()> {
        let Some(last) = self.walk.files.last() else { return Ok(()) };
        let newest = proven.max(self.after);
        let Some(end) = &last.end else { return Ok(()) };
        if end.next_lsn > newest {
            return Ok(());
        }
        let (offset, why) = match &end.tail {
            Tail::Clean => (end.offset, "it was wiped"),
            Tail::Torn { offset, detail } => (*offset, *detail),
        };
        let detail = format!(
            "frame {} is damaged ({why}), and the manifest proves that the log was durable up to record {newest}",
            end.next_lsn
        );
        let path = last.file.path.clone();
        self.walk.discarded = None;
        self.fault(corrupt(&path, offset, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_log_files_count() {
        assert_eq!(number_of(Path::new("d/00000012.wal")), Some(12));
        assert_eq!(number_of(Path::new("d/123456789.wal")), Some(123_456_789));
        for other in ["d/12.wal", "d/00000012.wal.bak", "d/0000001x.wal", "d/+0000012.wal", "d/CURRENT"] {
            assert_eq!(number_of(Path::new(other)), None, "{other}");
        }
    }
}
