//! Checking a closed database: every checksum and structure of every file that counts, nothing changed.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::ids::SegmentId;
use crate::manifest;
use crate::recovery::{Replay, segment_id};
use crate::stored::StoredSegment;
use crate::wal::{self, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What [`Engine::verify`](crate::Engine::verify) found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Files read.
    pub files: usize,
    /// Pages whose CRC was checked.
    pub pages: usize,
    /// Log records checked.
    pub records: usize,
    /// Bytes read.
    pub bytes: u64,
    /// Every fault found, with file and offset.
    pub faults: Vec<Error>,
    /// Worth saying, but no fault (a torn tail that was never acknowledged).
    pub notices: Vec<String>,
}

/// Checks the database of `context`, which nobody has open. `NotADatabase` if there is none.
pub(crate) fn verify(context: &Arc<Context>) -> Result<VerifyReport> {
    let mut report = VerifyReport::default();
    let inspected = match manifest::inspect(&*context.vfs, &context.places.root) {
        Ok(inspected) => inspected,
        Err(fault @ (Error::Corrupt { .. } | Error::Io { .. })) => {
            report.faults.push(fault);
            return Ok(report);
        }
        Err(other) => return Err(other),
    };
    // The manifest and the file that names it.
    report.files += 2;
    report.bytes += inspected.bytes;
    report.notices.extend(inspected.notices);
    let state = inspected.state;
    let (checkpoint, proven) = (state.checkpoint_lsn, state.proven_lsn());
    let mut replay = Replay::new(context, &state);
    let mut visit = |record: Record| -> Result<()> {
        if record.lsn > checkpoint {
            replay.record(context, &record)?;
        }
        Ok(())
    };
    let log = wal::inspect(&*context.vfs, &context.places.wal, checkpoint, proven, &mut visit)?;
    let segments = named(&replay);
    report.faults.extend(replay.version.tables.values().filter_map(|layout| layout.damage.clone()));
    report.files += log.files;
    report.records += log.records as usize;
    report.bytes += log.bytes;
    report.faults.extend(log.faults);
    report.notices.extend(log.notices);
    verify_segments(&segments, &mut report);
    let kept = replay.backlog.kept().map(|segment| segment.reference.id);
    note_orphans(context, &segments.keys().copied().chain(kept).collect(), &mut report)?;
    Ok(report)
}

fn named(replay: &Replay) -> BTreeMap<SegmentId, Arc<StoredSegment>> {
    let layouts = replay.version.tables.values();
    layouts.flat_map(|layout| &layout.stored.segments).map(|s| (s.reference.id, s.clone())).collect()
}

fn verify_segments(segments: &BTreeMap<SegmentId, Arc<StoredSegment>>, report: &mut VerifyReport) {
    for stored in segments.values() {
        let check = stored.segment.verify();
        report.files += 1;
        report.pages += check.pages;
        report.bytes += check.bytes;
        report.faults.extend(check.faults);
    }
}

/// Files that the next start removes.
fn note_orphans(context: &Context, needed: &BTreeSet<SegmentId>, report: &mut VerifyReport) -> Result<()> {
    let dir = &context.places.segments;
    let paths = context.vfs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    let orphans = paths.iter().filter(|path| segment_id(path).is_none_or(|id| !needed.contains(&id)));
    report.notices.extend(orphans.map(|path| format!("{} belongs to no table", path.display())));
    Ok(())
}
