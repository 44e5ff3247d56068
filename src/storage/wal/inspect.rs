//! The log as `verify` reads it: every checksum, nothing changed.

use super::directory::{Record, Strictness, walk};
use crate::error::{Error, Result};
use crate::ids::Lsn;
use lightning_vfs::Vfs;
use std::path::Path;

/// What [`inspect`] found.
#[derive(Clone, Debug, Default)]
pub(crate) struct WalInspection {
    /// Files read.
    pub(crate) files: usize,
    /// Commit records that verified.
    pub(crate) records: u64,
    /// Bytes of the files.
    pub(crate) bytes: u64,
    /// Damage, with file and offset.
    pub(crate) faults: Vec<Error>,
    /// Worth saying, but no fault.
    pub(crate) notices: Vec<String>,
}

/// Checks every frame of the log in `dir` and hands `visit` every commit record, also those at or below the checkpoint;
/// what it fails with is noted as a fault. `after` is the checkpoint and `proven` the durable LSN of the manifest.
pub(crate) fn inspect(
    vfs: &dyn Vfs,
    dir: &Path,
    after: Lsn,
    proven: Lsn,
    visit: &mut dyn FnMut(Record) -> Result<()>,
) -> Result<WalInspection> {
    let mut walk = walk(vfs, dir, after, proven, Strictness::Note, visit)?;
    let mut notices: Vec<String> =
        walk.unfinished.iter().map(|path| format!("{} was never finished and holds nothing", path.display())).collect();
    notices.extend(walk.discarded.take().map(|tail| {
        format!(
            "{} has an unfinished write at byte {}: record {} and later were never acknowledged ({})",
            tail.path.display(),
            tail.offset,
            tail.lsn,
            tail.detail
        )
    }));
    Ok(WalInspection {
        files: walk.files.len() + walk.unfinished.len(),
        records: walk.records,
        bytes: walk.files.iter().map(|walked| walked.file.len).sum(),
        faults: walk.faults,
        notices,
    })
}
