//! The manifest on disk: opened, appended to, begun anew when it has grown.

use super::current::{ReplaceFailure, manifest_number, manifest_path, read_current, remove_leftovers, replace_current};
use super::edit::{ManifestEdit, decode_edits, encode_edits};
use super::state::{FORMAT_VERSION, ManifestState};
use crate::error::{Error, Result};
use crate::ids::Lsn;
use crate::wal::{
    AppendFailure, FileHeader, FileKind, Frame, FrameFile, FrameKind, FrameWriter, FramesEnd, Opened, Tail, corrupt,
    fresh_salt, read_frames,
};
use lightning_vfs::{OpenMode, Vfs};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file smaller than this is never begun anew.
pub(crate) const COMPACT_BYTES_MIN: u64 = 1 << 20;
/// How many times the size of its state a file may grow to.
const COMPACT_FACTOR: u64 = 4;

/// The manifest of one database, owned by one thread.
#[derive(Debug)]
pub(crate) struct Manifest {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    state: ManifestState,
    writer: FrameWriter,
    /// Number of the newest frame, and of the newest that was synced.
    last: Lsn,
    durable: Lsn,
    newest_number: u64,
    /// Length of the file at which it is begun anew.
    compact_at_bytes: u64,
    compact_bytes_min: u64,
    /// Why nothing is appended any more.
    closed: Option<String>,
}

impl Manifest {
    /// Opens the manifest in `dir`, making an empty one if the directory holds none. `Corrupt`, with nothing changed,
    /// if what was durable does not verify; `NotADatabase` if it is of another version.
    pub(crate) fn open(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<Manifest> {
        Manifest::open_with(vfs, dir, COMPACT_BYTES_MIN)
    }

    /// [`Manifest::open`] with another size up to which a file is left alone.
    pub(crate) fn open_with(vfs: Arc<dyn Vfs>, dir: &Path, compact_bytes_min: u64) -> Result<Manifest> {
        vfs.create_dir_all(dir).map_err(|e| Error::io(dir, "create", e))?;
        let newest_number = newest_number(&*vfs, dir)?;
        let Some(number) = read_current(&*vfs, dir)? else {
            refuse_if_current_was_lost(&*vfs, dir)?;
            return Manifest::begin(vfs, dir, ManifestState::new(), newest_number + 1, compact_bytes_min);
        };
        let (file, state, end) = read_manifest(&*vfs, dir, number, OpenMode::ReadWrite)?;
        // Behind a torn tail, or edits that may be in the cache only, nothing is appended: a new file is begun.
        let proven = end.tail == Tail::Clean && end.last_kind == Some(FrameKind::Proof);
        let manifest = if proven {
            let last = Lsn(end.next_lsn.0 - 1);
            let writer = FrameWriter::resume(&file, &end);
            let state_bytes = encode_edits(&state.to_edits())?.len() as u64;
            Manifest {
                vfs,
                dir: dir.to_path_buf(),
                state,
                writer,
                last,
                durable: end.proven,
                newest_number,
                compact_at_bytes: compact_bytes_min.max(COMPACT_FACTOR * state_bytes),
                compact_bytes_min,
                closed: None,
            }
        } else {
            Manifest::begin(vfs, dir, state, newest_number + 1, compact_bytes_min)?
        };
        remove_leftovers(&*manifest.vfs, dir, manifest.writer.header().number)?;
        Ok(manifest)
    }

    /// What the manifest says.
    pub(crate) fn state(&self) -> &ManifestState {
        &self.state
    }

    /// Whether a failed sync ended it: nothing is appended any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Appends `edits`, all or none, and returns when they are durable.
    ///
    /// After an error none is in the manifest, which goes on (a full disk, say); but when the sync failed they may be
    /// found after a restart, and every later call gets `ReadOnly`.
    pub(crate) fn append(&mut self, edits: &[ManifestEdit]) -> Result<()> {
        if let Some(why) = &self.closed {
            return Err(Error::ReadOnly(why.clone()));
        }
        let mut state = self.state.clone();
        for edit in edits {
            state.apply(edit).map_err(|why| Error::Unsupported(format!("the manifest refuses an edit: {why}")))?;
        }
        self.write(FrameKind::Edits, &encode_edits(edits)?)?;
        if let Err(e) = self.writer.sync() {
            return Err(self.close("sync", e));
        }
        self.durable = self.last;
        self.state = state;
        self.write_proof();
        if self.writer.position() > self.compact_at_bytes {
            self.compact();
        }
        Ok(())
    }

    /// A frame behind the last edits that shows they were synced; it need not be durable itself, nor succeed.
    fn write_proof(&mut self) {
        let _ = self.write(FrameKind::Proof, &[]);
    }

    fn write(&mut self, kind: FrameKind, payload: &[u8]) -> Result<()> {
        let lsn = Lsn(self.last.0 + 1);
        let frame = Frame { kind, lsn, durable_lsn: self.durable, tables: &[], payload };
        match self.writer.append(&[frame], 0) {
            Ok(()) => {
                self.last = lsn;
                Ok(())
            }
            Err(AppendFailure::Undone(e)) => Err(Error::io(self.writer.path(), "write", e)),
            Err(AppendFailure::Unknown(e)) => Err(self.close("undo a write to", e)),
        }
    }

    fn close(&mut self, operation: &'static str, source: io::Error) -> Error {
        self.closed = Some(format!("could not {operation} the manifest: {source}"));
        Error::io(self.writer.path(), operation, source)
    }

    /// Begins a new file. If that fails the old one goes on, and grows as much again before the next attempt.
    fn compact(&mut self) {
        self.newest_number += 1;
        let begun = begin_file(&*self.vfs, &self.dir, &self.state, self.newest_number);
        match begun {
            Ok(writer) => {
                let old = std::mem::replace(&mut self.writer, writer);
                self.last = Lsn(1);
                self.durable = Lsn(1);
                self.compact_at_bytes = self.compact_bytes_min.max(COMPACT_FACTOR * self.writer.position());
                self.write_proof();
                // Left behind, it is removed at the next start.
                let _ = self.vfs.remove(old.path());
            }
            Err(ReplaceFailure::NotReplaced(_)) => {
                self.compact_at_bytes *= 2;
                let _ = self.vfs.remove(&manifest_path(&self.dir, self.newest_number));
            }
            Err(ReplaceFailure::Unknown(e)) => self.closed = Some(e.to_string()),
        }
    }

    /// A manifest whose first file, or next one after a crash, is made now.
    fn begin(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        state: ManifestState,
        number: u64,
        compact_bytes_min: u64,
    ) -> Result<Manifest> {
        let writer = begin_file(&*vfs, dir, &state, number).map_err(|failure| match failure {
            ReplaceFailure::NotReplaced(e) | ReplaceFailure::Unknown(e) => e,
        })?;
        let compact_at_bytes = compact_bytes_min.max(COMPACT_FACTOR * writer.position());
        let mut manifest = Manifest {
            vfs,
            dir: dir.to_path_buf(),
            state,
            writer,
            last: Lsn(1),
            durable: Lsn(1),
            newest_number: number,
            compact_at_bytes,
            compact_bytes_min,
            closed: None,
        };
        manifest.write_proof();
        Ok(manifest)
    }
}

/// Makes manifest `number` with `state` as its first frame, durable, and lets `CURRENT` name it.
fn begin_file(
    vfs: &dyn Vfs,
    dir: &Path,
    state: &ManifestState,
    number: u64,
) -> std::result::Result<FrameWriter, ReplaceFailure> {
    let writer = write_first_frame(vfs, dir, state, number).map_err(ReplaceFailure::NotReplaced)?;
    replace_current(vfs, dir, number)?;
    Ok(writer)
}

fn write_first_frame(vfs: &dyn Vfs, dir: &Path, state: &ManifestState, number: u64) -> Result<FrameWriter> {
    let header = FileHeader { kind: FileKind::Manifest, salt: fresh_salt(number), number, first_lsn: Lsn(1) };
    let path = manifest_path(dir, number);
    let mut writer = FrameWriter::create(vfs, path.clone(), header)?;
    let payload = encode_edits(&state.to_edits())?;
    let (kind, lsn, durable_lsn) = (FrameKind::Edits, Lsn(1), Lsn(0));
    let frame = Frame { kind, lsn, durable_lsn, tables: &[], payload: &payload };
    writer.append(&[frame], 0).map_err(|failure| match failure {
        AppendFailure::Undone(e) | AppendFailure::Unknown(e) => Error::io(&path, "write", e),
    })?;
    writer.sync().map_err(|e| Error::io(&path, "sync", e))?;
    vfs.sync_dir(dir).map_err(|e| Error::io(dir, "sync", e))?;
    Ok(writer)
}

fn manifest_numbers(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<u64>> {
    let paths = vfs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    let mut numbers: Vec<u64> = paths.iter().filter_map(|path| manifest_number(path)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn newest_number(vfs: &dyn Vfs, dir: &Path) -> Result<u64> {
    Ok(manifest_numbers(vfs, dir)?.last().copied().unwrap_or(0))
}

/// Without `CURRENT` a directory is new, or its creation was interrupted. If a manifest says more than that it is
/// empty, `CURRENT` was lost, and a new manifest would hide all the data.
fn refuse_if_current_was_lost(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    for number in manifest_numbers(vfs, dir)? {
        let path = manifest_path(dir, number);
        let interrupted = match FrameFile::open(vfs, &path, FileKind::Manifest, number, OpenMode::Read)? {
            Opened::Unfinished => true,
            Opened::Whole(file) => read_frames(&file, Lsn(0), &mut |_| Ok(()))?.frames <= 1,
        };
        if !interrupted {
            return Err(corrupt(&dir.join("CURRENT"), 0, format!("it is missing, and {} is in use", path.display())));
        }
    }
    Ok(())
}

/// Reads manifest `number`, which `CURRENT` names, and folds its edits.
fn read_manifest(
    vfs: &dyn Vfs,
    dir: &Path,
    number: u64,
    mode: OpenMode,
) -> Result<(FrameFile, ManifestState, FramesEnd)> {
    let path = manifest_path(dir, number);
    if !vfs.exists(&path).map_err(|e| Error::io(&path, "open", e))? {
        return Err(corrupt(&path, 0, "CURRENT names it, but it is missing"));
    }
    let Opened::Whole(file) = FrameFile::open(vfs, &path, FileKind::Manifest, number, mode)? else {
        return Err(corrupt(&path, 0, "CURRENT names it, but it has no header"));
    };
    let mut state = ManifestState::new();
    let end = read_frames(&file, Lsn(0), &mut |frame| {
        let fault = |why: String| corrupt(&path, frame.offset, format!("edits {}: {why}", frame.header.lsn));
        match frame.header.kind {
            FrameKind::Proof => Ok(()),
            FrameKind::Commit => Err(fault("a frame of the log".to_string())),
            FrameKind::Edits => {
                let edits = decode_edits(frame.payload).map_err(fault)?;
                edits.iter().try_for_each(|edit| state.apply(edit)).map_err(fault)
            }
        }
    })?;
    if end.frames == 0 {
        let why = match end.tail {
            Tail::Clean => "it was wiped",
            Tail::Torn { detail, .. } => detail,
        };
        return Err(corrupt(&path, end.offset, format!("the first frame is damaged ({why}), and it was durable")));
    }
    if state.format_version != FORMAT_VERSION {
        let found = state.format_version;
        let detail = format!("it has format version {found}, this program reads version {FORMAT_VERSION}");
        return Err(Error::NotADatabase { path: dir.to_path_buf(), detail });
    }
    Ok((file, state, end))
}

/// What [`inspect`] found.
#[derive(Clone, Debug)]
pub(crate) struct ManifestInspection {
    /// What the manifest says.
    pub(crate) state: ManifestState,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Worth saying, but no fault.
    pub(crate) notices: Vec<String>,
}

/// Reads the manifest in `dir` and changes nothing. `Corrupt` and `NotADatabase` as in [`Manifest::open`]; the latter
/// also when there is none.
pub(crate) fn inspect(vfs: &dyn Vfs, dir: &Path) -> Result<ManifestInspection> {
    let missing = || Error::NotADatabase { path: dir.to_path_buf(), detail: "it has no file CURRENT".to_string() };
    if !vfs.exists(dir).map_err(|e| Error::io(dir, "open", e))? {
        return Err(Error::NotADatabase { path: dir.to_path_buf(), detail: "it does not exist".to_string() });
    }
    let Some(number) = read_current(vfs, dir)? else {
        refuse_if_current_was_lost(vfs, dir)?;
        return Err(missing());
    };
    let (file, state, end) = read_manifest(vfs, dir, number, OpenMode::Read)?;
    let notices = match &end.tail {
        Tail::Clean => Vec::new(),
        Tail::Torn { offset, detail } => {
            vec![format!("{} has an unfinished write at byte {offset}: {detail}", file.path.display())]
        }
    };
    Ok(ManifestInspection { state, bytes: file.len, notices })
}
