//! Opening a directory: what the manifest says, then the records of the log above it.
//!
//! The manifest gives every table and its segments as of the table's flushed LSN. The log is replayed from the checkpoint
//! on; a table skips the records at or below its own flushed LSN, so a table may be flushed ahead of the others.
//! Replaying the same records again leads to the same state, so a crash in here is like a crash before it. Nothing is
//! validated: only winners are in the log. Segment files are not opened, so the time does not depend on how much is stored.
//!
//! After replay, files in `segments/` that no table has are leftovers of writes that never committed, or of tables
//! that are gone, and are removed; but not those of which the manifest has yet to say so, for the next replay may read them ([`crate::backlog`]).
//! Ids are counted on above every file seen, so none is used twice.

use crate::backlog::Backlog;
use crate::context::Context;
use crate::dead::DeadRows;
use crate::deletes;
use crate::delta::Moment;
use crate::error::{Error, Result};
use crate::ids::{Lsn, SegmentId, TableId, Timestamp};
use crate::layout::{Layout, Purpose};
use crate::line::{LineStart, removed_segments};
use crate::manifest::{Manifest, ManifestState, TableState};
use crate::record;
use crate::stored::{Origin, SegmentRef, StoredSegment};
use crate::table::Table;
use crate::version::Version;
use crate::wal::{Record, RecoveryReport, Wal};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A database as found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) manifest: Manifest,
    pub(crate) line: LineStart,
    pub(crate) report: RecoveryReport,
}

/// Recovers the database of `context`, or makes a new one.
pub(crate) fn recover(context: &Arc<Context>) -> Result<Recovered> {
    let (vfs, places) = (&context.vfs, &context.places);
    let manifest = Manifest::open(vfs.clone(), &places.root)?;
    let state = manifest.state();
    context.reserve_ids(state.next_table_id, state.next_segment_id);
    let mut replay = Replay::new(context, state);
    let (after, proven) = (state.checkpoint_lsn, state.proven_lsn());
    let (wal, report) =
        Wal::recover(vfs.clone(), &places.wal, after, proven, &mut |record| replay.record(context, &record))?;
    let Replay { version, backlog, .. } = replay;
    remove_orphans(context, &version, &backlog)?;
    remove_old_deletes(context, manifest.state())?;
    Ok(Recovered { manifest, line: LineStart { wal, version, backlog }, report })
}

/// The state replay leads to.
pub(crate) struct Replay {
    flushed: BTreeMap<TableId, Lsn>,
    pub(crate) version: Version,
    pub(crate) backlog: Backlog,
    log_dir: PathBuf,
}

impl Replay {
    /// Begins with what the manifest says.
    pub(crate) fn new(context: &Arc<Context>, state: &ManifestState) -> Replay {
        let mut version = Version { timestamp: state.last_timestamp, ..Version::default() };
        for (&id, table) in &state.tables {
            version.tables.insert(id, known_layout(context, id, table));
        }
        version.list_indexes();
        let flushed = state.tables.iter().map(|(&id, table)| (id, table.flushed_lsn)).collect();
        Replay { flushed, version, backlog: Backlog::default(), log_dir: context.places.wal.clone() }
    }

    /// Applies one record.
    pub(crate) fn record(&mut self, context: &Arc<Context>, record: &Record) -> Result<()> {
        let lsn = record.lsn;
        let is_flushed = |table: TableId| self.flushed.get(&table).is_some_and(|flushed| lsn <= *flushed);
        let mut writes = record::decode(&record.payload, lsn, &self.version, context, &is_flushed)
            .map_err(|error| self.undecodable(lsn, &error))?;
        for (id, writes) in &writes.tables {
            self.backlog.changed(*id, lsn);
            if writes.created {
                writes.table.originate(Timestamp(lsn.0));
            }
            let newest_segment = writes.segments.iter().map(|segment| segment.reference.id.0).max().unwrap_or(0);
            context.reserve_ids(TableId(id.0 + 1), SegmentId(newest_segment + 1));
        }
        if !writes.is_empty() {
            self.backlog.log_bytes += record.payload.len() as u64;
        }
        writes.find_rows(&mut self.version);
        let removed = removed_segments(lsn, &writes, &self.version.tables);
        removed.into_iter().for_each(|removed| self.backlog.keep(removed));
        writes.prepare();
        let moment = Moment { at: Timestamp(lsn.0), published: self.version.timestamp };
        writes.apply(&mut self.version, Purpose::Commit(moment, &context.mem_account))?;
        self.version.timestamp = Timestamp(lsn.0);
        Ok(())
    }

    /// The checksum held, so this is a fault of whoever wrote it, but not one to crash for.
    fn undecodable(&self, lsn: Lsn, error: &Error) -> Error {
        match error {
            Error::Arrow(detail) => {
                Error::Corrupt { path: self.log_dir.clone(), offset: 0, detail: format!("record {lsn}: {detail}") }
            }
            other => other.clone(),
        }
    }
}

fn known_layout(context: &Arc<Context>, id: TableId, state: &TableState) -> Arc<Layout> {
    let table = Table::known(id, state.definition.clone(), state.schema_version, state.created_at);
    let live = state.segments.iter().filter(|segment| segment.end_ts.is_none());
    table.reserve_rows(state.next_row);
    let mut dead = Ok(DeadRows::default());
    let segments = live.map(|s| {
        let reference = SegmentRef { id: s.id, bytes: s.bytes, rows: s.rows };
        let stored = StoredSegment::known(context, reference, Origin { begin: s.begin_ts, lsn: s.lsn });
        if s.delete_generation > 0
            && let Ok(known) = &mut dead
        {
            match deletes::read(context, s.id, s.delete_generation, known) {
                Ok(rows) => stored.set_known_dead(rows),
                Err(error) => dead = Err(error),
            }
        }
        stored
    });
    let segments = segments.collect();
    Layout::stored(table, segments, dead)
}

/// Removes files of delete vectors that the manifest does not name.
fn remove_old_deletes(context: &Context, state: &ManifestState) -> Result<()> {
    let dir = &context.places.deletes;
    let segments = state.tables.values().flat_map(|table| &table.segments);
    let live: BTreeSet<_> = segments.map(|segment| (segment.id, segment.delete_generation)).collect();
    for path in context.vfs.list(dir).map_err(|e| Error::io(dir, "list", e))? {
        if deletes::parse_file_name(&path).is_some_and(|name| !live.contains(&name)) {
            context.vfs.remove(&path).map_err(|e| Error::io(&path, "remove", e))?;
        }
    }
    Ok(())
}

/// Removes segment files that no table has and the next replay does not need, and keeps ids above all of them.
fn remove_orphans(context: &Context, version: &Version, backlog: &Backlog) -> Result<()> {
    let dir = &context.places.segments;
    let kept = backlog.kept().map(|segment| segment.reference.id);
    let live: BTreeSet<SegmentId> =
        version.tables.values().flat_map(|layout| layout_segments(layout)).chain(kept).collect();
    let paths = context.vfs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    let orphans: Vec<_> =
        paths.into_iter().filter(|path| segment_id(path).is_some_and(|id| !live.contains(&id))).collect();
    for path in &orphans {
        let above = segment_id(path).map_or(0, |id| id.0 + 1);
        context.reserve_ids(TableId(0), SegmentId(above));
        context.vfs.remove(path).map_err(|e| Error::io(path, "remove", e))?;
    }
    if orphans.is_empty() { Ok(()) } else { context.sync_segments() }
}

/// Ids of the segments of a layout.
pub(crate) fn layout_segments(layout: &Layout) -> impl Iterator<Item = SegmentId> {
    layout.stored.segments.iter().map(|segment| segment.reference.id)
}

/// The segment whose file `path` is, if it is named like one.
pub(crate) fn segment_id(path: &Path) -> Option<SegmentId> {
    let number = path.file_name()?.to_str()?.strip_suffix(".seg")?;
    number.parse().ok().map(SegmentId)
}
