//! Flushes: rows in memory become segments, the manifest says so, the log grows shorter.
//!
//! A flush of some tables goes like this:
//! 1. the line *seals* their rows in memory: later commits go elsewhere;
//! 2. the sealed rows are sorted, encoded and written to segments; files are synced, then the directory;
//! 3. one manifest edit makes the manifest say what each table looked like when it was sealed: segments added and removed,
//!    tables created and dropped, everything up to the LSN of the seal;
//! 4. the line puts the segments in the place of the sealed rows;
//! 5. when every record up to some LSN is reflected, the manifest gets that checkpoint and the log loses its oldest files.
//!
//! A crash between any two steps leaves files that nothing refers to, which recovery removes, or records that the
//! manifest reflects already, which replay skips table by table. If the table is truncated or dropped meanwhile, step 4
//! finds the sealed rows gone; the manifest then names segments that replay of the later record takes out again.
//!
//! Small segments of one table are merged when there are many of them, so that many small flushes do not leave many files, larger ones
//! when too many overlap ([`runs`]), and segments of which a quarter is deleted are written again without those rows.

use crate::context::Context;
use crate::deletes;
use crate::encoders::{Encoders, SegmentSink};
use crate::error::{Error, Result};
use crate::ids::{Lsn, SegmentId, TableId, Timestamp};
use crate::layout::Layout;
use crate::line::Line;
use crate::manifest::{Manifest, ManifestEdit, SegmentRecord};
use crate::partition::Partition;
use crate::rewrite::{Rewrite, Rewritten};
use crate::runs;
use crate::scan::BlockSource;
use crate::seal::{Sealed, Unflushed};
use crate::segment::BLOCK_ROWS_MAX;
use crate::stored::{Origin, StoredSegment};
use crate::table::Table;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many small segments of a table are merged.
const MERGE_SEGMENTS: usize = 8;

/// Merges of one table after one flush.
const MERGES_MAX: usize = 4;

/// A segment with at least one deleted row in so many is written again.
const DEAD_SHARE: u64 = 4;

/// This part of the bytes for rows in memory is what rewriting holds at a time.
const REWRITE_SHARE: usize = 4;

/// After a flush failed (a full disk, say) the next attempt is not made sooner than this.
const RETRY: Duration = Duration::from_secs(1);

/// The one that flushes. Owns the manifest.
#[derive(Debug)]
pub(crate) struct Flusher {
    failed_at: Option<Instant>,
    context: Arc<Context>,
    line: Arc<Line>,
    encoders: Arc<Encoders>,
    manifest: Manifest,
}

/// A table on its way to the manifest.
#[derive(Debug)]
struct Flushed {
    table: TableId,
    sealed: Sealed,
    rewritten: Rewritten,
}

impl Flusher {
    /// A flusher for what `line` does.
    pub(crate) fn new(context: Arc<Context>, line: Arc<Line>, encoders: Arc<Encoders>, manifest: Manifest) -> Flusher {
        Flusher { failed_at: None, context, line, encoders, manifest }
    }

    /// Flushes what is due: the fullest tables when memory runs short, everything when the log has grown long, tables
    /// whose delta tree has grown large, and tables whose files wait to be removed. Nothing for a while after that failed.
    pub(crate) fn flush_due(&mut self) -> Result<()> {
        if self.failed_at.is_some_and(|at| at.elapsed() < RETRY) {
            return Ok(());
        }
        let outcome = self.try_flush_due();
        self.failed_at = outcome.is_err().then(Instant::now);
        outcome
    }

    fn try_flush_due(&mut self) -> Result<()> {
        let (unflushed, log_bytes) = self.line.run(|line| (line.unflushed(), line.backlog.log_bytes))?;
        if log_bytes > self.context.log_bytes_max() {
            return self.flush_all(unflushed, log_bytes);
        }
        let due = self.due(unflushed);
        if due.is_empty() { Ok(()) } else { self.flush(&due) }
    }

    fn due(&self, mut unflushed: Vec<Unflushed>) -> Vec<TableId> {
        unflushed.sort_by_key(|u| std::cmp::Reverse(u.mem_bytes));
        let mut total: usize = unflushed.iter().map(|u| u.mem_bytes).sum();
        let max = self.context.mem_bytes_max();
        // Once it begins it goes well below the bound, or the next commit would call again.
        let goal = if total > max { max / 2 } else { max };
        let mut due = vec![];
        for table in unflushed {
            if total > goal || table.has_large_delta || table.has_removed {
                total -= table.mem_bytes;
                due.push(table.table);
            }
        }
        due
    }

    /// Flushes everything committed so far.
    pub(crate) fn checkpoint(&mut self) -> Result<()> {
        self.context.check_writable()?;
        let (unflushed, log_bytes) = self.line.run(|line| (line.unflushed(), line.backlog.log_bytes))?;
        self.flush_all(unflushed, log_bytes)
    }

    /// Flushes tables that have all records, `log_bytes` in size, that were not flushed.
    fn flush_all(&mut self, unflushed: Vec<Unflushed>, log_bytes: u64) -> Result<()> {
        let tables: Vec<TableId> = unflushed.iter().map(|u| u.table).collect();
        self.flush(&tables)?;
        self.line.run(move |line| line.backlog.log_bytes -= log_bytes)
    }

    fn flush(&mut self, tables: &[TableId]) -> Result<()> {
        if !tables.is_empty() {
            self.context.check_writable()?;
            let flushed = self.write(tables)?;
            self.record(flushed)?;
        }
        self.advance_checkpoint()?;
        for table in tables {
            // For speed and space only. If a segment cannot be read, whoever queries the table is told.
            let _ = self.compact(*table, DEAD_SHARE);
        }
        Ok(())
    }

    /// Seals the tables and writes their rows; undoes the seals if that fails.
    fn write(&self, tables: &[TableId]) -> Result<Vec<Flushed>> {
        let mut flushed = Vec::with_capacity(tables.len());
        for &table in tables {
            let sealed = self.line.run(move |line| line.seal(table))?;
            match self.write_rows(&sealed) {
                Ok(rewritten) => flushed.push(Flushed { table, sealed, rewritten }),
                Err(error) => {
                    self.unseal(flushed.iter().map(|f| f.table).chain([table]).collect())?;
                    return Err(error);
                }
            }
        }
        Ok(flushed)
    }

    fn unseal(&self, tables: Vec<TableId>) -> Result<()> {
        self.line.run(move |line| tables.into_iter().for_each(|table| line.unseal(table)))
    }

    fn write_rows(&self, sealed: &Sealed) -> Result<Rewritten> {
        let Some(layout) = &sealed.layout else { return Ok(Rewritten::nothing()) };
        let blocks = layout.sealed.blocks.iter().map(|block| BlockSource::mem(block).without(&layout.dead));
        let rewritten = self.rewrite(&layout.table, blocks.collect())?;
        let begin = sealed.since.map_or(Timestamp(sealed.lsn.0), |lsn| Timestamp(lsn.0));
        rewritten.segments.iter().for_each(|segment| segment.originate(Origin { begin, lsn: sealed.lsn }));
        Ok(rewritten)
    }

    /// Writes the live rows of `blocks` to new segments, in key order.
    fn rewrite(&self, table: &Arc<Table>, blocks: Vec<BlockSource>) -> Result<Rewritten> {
        let account = self.context.budget.register("flush");
        let sink = SegmentSink::unrefusable(&self.context, &self.encoders, table);
        Rewrite::new(blocks).run(table, self.piece_rows(table), &account, sink)
    }

    /// Rows of `table` that may be held at a time while it is rewritten: a block at least.
    fn piece_rows(&self, table: &Arc<Table>) -> usize {
        let row_bytes = || -> Option<u64> {
            let layout = self.line.published().tables.get(&table.id)?.clone();
            let summary = layout.stored.summary(layout.table.schema.fields().len()).ok()?;
            let bytes: u64 = summary.iter().map(|column| column.raw_bytes).sum();
            Some(bytes / layout.stored.rows.max(1))
        };
        let row_bytes = row_bytes().unwrap_or_default().max(1) as usize;
        (self.context.mem_bytes_max() / REWRITE_SHARE / row_bytes).max(BLOCK_ROWS_MAX)
    }

    /// Makes the manifest reflect `flushed`, and then the layouts.
    fn record(&mut self, flushed: Vec<Flushed>) -> Result<()> {
        let mut deletes = vec![];
        let written = flushed.iter().try_for_each(|f| self.write_deletes(f, &mut deletes));
        if let Err(error) = written.and_then(|()| self.sync(&deletes)) {
            self.discard(&deletes);
            self.unseal(flushed.iter().map(|f| f.table).collect())?;
            return Err(error);
        }
        let mut edits: Vec<ManifestEdit> = flushed.iter().flat_map(|f| self.edits(f)).collect();
        edits.extend(deletes.iter().map(NewDeletes::edit));
        let (table, segment) = self.context.next_ids();
        edits.push(ManifestEdit::NextIds { table, segment });
        let segments: Vec<_> = flushed.iter().flat_map(|f| f.rewritten.segments.clone()).collect();
        if let Err(error) = self.append(&edits, &segments) {
            if !self.manifest.is_closed() {
                self.discard(&deletes);
            }
            self.unseal(flushed.iter().map(|f| f.table).collect())?;
            return Err(error);
        }
        for new in deletes {
            new.segment.set_known_dead(new.rows);
            new.replaces.into_iter().for_each(|path| self.context.remove_later(path));
        }
        for Flushed { table, sealed, rewritten } in flushed {
            let unneeded = self.line.run(move |line| line.install(table, &sealed, rewritten))?;
            unneeded.iter().for_each(|segment| segment.release());
        }
        Ok(())
    }

    /// Appends edits that refer to the new `segments`.
    fn append(&mut self, edits: &[ManifestEdit], segments: &[Arc<StoredSegment>]) -> Result<()> {
        segments.iter().for_each(|segment| segment.keep());
        let outcome = self.manifest.append(edits);
        if let Err(error) = &outcome {
            if self.manifest.is_closed() {
                self.context.fail(error.to_string());
            } else {
                segments.iter().for_each(|segment| segment.release());
            }
        }
        outcome
    }

    /// The edits after which the manifest says what the table looked like when it was sealed.
    fn edits(&self, flushed: &Flushed) -> Vec<ManifestEdit> {
        let table = flushed.table;
        let known = self.manifest.state().tables.get(&table);
        let Some(layout) = &flushed.sealed.layout else {
            return known.map(|_| ManifestEdit::DropTable { table }).into_iter().collect();
        };
        let created_at = layout.table.created_at().unwrap_or_default();
        let mut edits = vec![];
        let known = match known {
            Some(same) if same.created_at == created_at => Some(same),
            other => {
                edits.extend(other.map(|_| ManifestEdit::DropTable { table }));
                let (definition, schema_version) = (layout.table.definition.clone(), layout.table.schema_version);
                edits.push(ManifestEdit::CreateTable { table, definition, schema_version, created_at });
                None
            }
        };
        let known = known.map_or(&[][..], |state| &state.segments);
        let wanted: Vec<&Arc<StoredSegment>> =
            layout.stored.segments.iter().chain(&flushed.rewritten.segments).collect();
        let gone = known.iter().filter(|k| !wanted.iter().any(|w| w.reference.id == k.id));
        edits.extend(gone.map(|k| ManifestEdit::RemoveSegment { table, segment: k.id }));
        let new = wanted.iter().filter(|w| !known.iter().any(|k| k.id == w.reference.id));
        edits.extend(new.map(|w| ManifestEdit::AddSegment { table, segment: segment_record(w) }));
        let next_row = layout.table.next_row();
        edits.push(ManifestEdit::FlushedLsn { table, lsn: flushed.sealed.lsn, next_row });
        edits
    }

    /// Tells the manifest how far the log is reflected, and cuts the log.
    fn advance_checkpoint(&mut self) -> Result<()> {
        let (lsn, durable_lsn) = self.line.run(|line| line.checkpoint())?;
        if lsn <= self.manifest.state().checkpoint_lsn {
            return Ok(());
        }
        self.append(&[ManifestEdit::Checkpoint { lsn, durable_lsn, timestamp: Timestamp(lsn.0) }], &[])?;
        self.line.run(move |line| line.truncate_log(lsn))?
    }

    /// Makes the names of new files of delete vectors durable.
    fn sync(&self, deletes: &[NewDeletes]) -> Result<()> {
        let dir = &self.context.places.deletes;
        if deletes.is_empty() {
            return Ok(());
        }
        self.context.vfs.sync_dir(dir).map_err(|e| Error::io(dir, "sync", e))
    }

    /// Removes files of delete vectors that the manifest will not name.
    fn discard(&self, deletes: &[NewDeletes]) {
        for new in deletes {
            // What stays is removed when the database is next opened, and nothing else takes its name: generations go on.
            let _ = self.context.vfs.remove(&new.path);
        }
    }

    /// Writes the delete vectors of segments with rows deleted that the manifest does not know of.
    fn write_deletes(&self, flushed: &Flushed, deletes: &mut Vec<NewDeletes>) -> Result<()> {
        let Some(layout) = &flushed.sealed.layout else { return Ok(()) };
        let known = self.manifest.state().tables.get(&flushed.table);
        for stored in &layout.stored.segments {
            let (id, rows) = (stored.reference.id, layout.dead.of_segment(stored.reference.id));
            if rows == stored.known_dead() {
                continue;
            }
            let record = known.and_then(|known| known.segments.iter().find(|segment| segment.id == id));
            let old = record.map_or(0, |record| record.delete_generation);
            let generation = old + 1;
            let path = deletes::write(&self.context, id, generation, &layout.dead)?;
            let replaces = (old > 0).then(|| self.context.places.deletes.join(deletes::file_name(id, old)));
            deletes.push(NewDeletes {
                table: flushed.table,
                segment: stored.clone(),
                generation,
                rows,
                path,
                replaces,
            });
        }
        Ok(())
    }

    /// Merges the small segments of a table into one when they have become many, and larger ones that overlap too deep; writes those again
    /// of which one row in `dead_share` is deleted.
    fn compact(&mut self, table: TableId, dead_share: u64) -> Result<()> {
        let version = self.line.published();
        let Some(layout) = version.tables.get(&table) else { return Ok(()) };
        for small in self.small_segments(table, layout)? {
            if small.len() >= MERGE_SEGMENTS {
                self.replace(table, layout, small)?;
            }
        }
        for _ in 0..MERGES_MAX {
            let version = self.line.published();
            let Some(layout) = version.tables.get(&table) else { return Ok(()) };
            let known = self.known_segments(table, layout);
            match runs::too_deep(&layout.table, &known)? {
                Some(deep) => self.replace(table, layout, deep)?,
                None => break,
            }
        }
        let known = self.manifest.state().tables.get(&table).map_or(vec![], |state| state.segments.clone());
        for record in known {
            // Looked up anew for each: the one before may have taken a while.
            let version = self.line.published();
            let Some(layout) = version.tables.get(&table) else { return Ok(()) };
            let stored = layout.stored.segments.iter().find(|stored| stored.reference.id == record.id);
            let dead = layout.dead.of_segment(record.id);
            if let Some(stored) = stored.filter(|_| dead > 0 && dead.saturating_mul(dead_share) >= record.rows) {
                self.replace(table, layout, vec![stored.clone()])?;
            }
        }
        Ok(())
    }

    /// Brings all rows of `table` into blocks that do not overlap and have no deleted row, but for those deleted meanwhile.
    pub(crate) fn vacuum(&mut self, table: TableId) -> Result<()> {
        self.context.check_writable()?;
        let unflushed = self.line.run(|line| line.unflushed())?;
        let of_table: Vec<TableId> = unflushed.iter().map(|u| u.table).filter(|known| *known == table).collect();
        let flushed = self.write(&of_table)?;
        self.record(flushed)?;
        self.advance_checkpoint()?;
        let version = self.line.published();
        let Some(layout) = version.tables.get(&table) else { return Ok(()) };
        for small in self.small_segments(table, layout)? {
            if small.len() > 1 {
                self.replace(table, layout, small)?;
            }
        }
        let version = self.line.published();
        let Some(layout) = version.tables.get(&table) else { return Ok(()) };
        for group in runs::overlapping(&layout.table, &self.known_segments(table, layout))? {
            let version = self.line.published();
            let Some(layout) = version.tables.get(&table) else { return Ok(()) };
            let is_there =
                |segment: &Arc<StoredSegment>| layout.stored.segments.iter().any(|s| Arc::ptr_eq(s, segment));
            let is_fine = group.segments.len() == 1 && group.depth <= 1;
            let has_dead = group.segments.iter().any(|segment| layout.dead.of_segment(segment.reference.id) > 0);
            if group.segments.iter().all(is_there) && (has_dead || !is_fine) {
                self.replace(table, layout, group.segments)?;
            }
        }
        Ok(())
    }

    /// The segments of a layout that the manifest knows.
    fn known_segments(&self, table: TableId, layout: &Layout) -> Vec<Arc<StoredSegment>> {
        let Some(state) = self.manifest.state().tables.get(&table) else { return vec![] };
        let is_known = |stored: &&Arc<StoredSegment>| state.segments.iter().any(|k| k.id == stored.reference.id);
        layout.stored.segments.iter().filter(is_known).cloned().collect()
    }

    /// Writes the live rows of `old`, segments of `layout`, again, together.
    fn replace(&mut self, table: TableId, layout: &Layout, old: Vec<Arc<StoredSegment>>) -> Result<()> {
        let mut blocks = vec![];
        for stored in &old {
            let of_segment = stored.segment.blocks()?.into_iter().map(BlockSource::column);
            blocks.extend(of_segment.map(|block| block.without(&layout.dead)));
        }
        let rewritten = self.rewrite(&layout.table, blocks)?;
        let origins = || old.iter().filter_map(|segment| segment.origin());
        let begin = origins().map(|origin| origin.begin).min().unwrap_or_default();
        let lsn = origins().map(|origin| origin.lsn).max().unwrap_or_default();
        rewritten.segments.iter().for_each(|segment| segment.originate(Origin { begin, lsn }));
        let known = self.manifest.state().tables.get(&table);
        let generations: Vec<(SegmentId, u64)> = known.map_or(vec![], |state| {
            let replaced = state.segments.iter().filter(|s| old.iter().any(|o| o.reference.id == s.id));
            replaced.map(|segment| (segment.id, segment.delete_generation)).collect()
        });
        let mut edits: Vec<_> =
            old.iter().map(|s| ManifestEdit::RemoveSegment { table, segment: s.reference.id }).collect();
        let new = rewritten.segments.iter();
        edits.extend(new.map(|s| ManifestEdit::AddSegment { table, segment: segment_record(s) }));
        self.append(&edits, &rewritten.segments)?;
        let gone = old.clone();
        self.line.run(move |line| line.replace(table, &gone, rewritten))?;
        old.iter().for_each(|segment| segment.release());
        for (segment, generation) in generations.into_iter().filter(|(_, generation)| *generation > 0) {
            self.context.remove_later(self.context.places.deletes.join(deletes::file_name(segment, generation)));
        }
        Ok(())
    }

    /// Segments of less than a block that the manifest knows, by partition, of each as many as fit into memory together.
    fn small_segments(&self, table: TableId, layout: &Layout) -> Result<Vec<Vec<Arc<StoredSegment>>>> {
        let bytes_max = self.context.mem_bytes_max() as u64;
        let mut small: BTreeMap<Partition, (u64, Vec<Arc<StoredSegment>>)> = BTreeMap::new();
        for stored in self.known_segments(table, layout) {
            if stored.reference.rows >= BLOCK_ROWS_MAX as u64 {
                continue;
            }
            let raw_bytes: u64 = stored.segment.summary()?.columns.iter().map(|column| column.raw_bytes).sum();
            let (bytes, segments) = small.entry(stored.partition(&layout.table)?).or_default();
            if *bytes + raw_bytes <= bytes_max {
                *bytes += raw_bytes;
                segments.push(stored);
            }
        }
        Ok(small.into_values().map(|(_, segments)| segments).collect())
    }
}

fn segment_record(stored: &StoredSegment) -> SegmentRecord {
    let origin = stored.origin().unwrap_or(Origin { begin: Timestamp(0), lsn: Lsn(0) });
    SegmentRecord {
        id: stored.reference.id,
        begin_ts: origin.begin,
        end_ts: None,
        lsn: origin.lsn,
        rows: stored.reference.rows,
        bytes: stored.reference.bytes,
        delete_generation: 0,
    }
}

/// A file of delete vectors that the manifest does not name yet. Unless it comes to that, the file goes.
#[derive(Debug)]
pub(crate) struct NewDeletes {
    table: TableId,
    segment: Arc<StoredSegment>,
    generation: u64,
    rows: u64,
    path: PathBuf,
    /// The file before it.
    replaces: Option<PathBuf>,
}

impl NewDeletes {
    fn edit(&self) -> ManifestEdit {
        let (table, segment) = (self.table, self.segment.reference.id);
        ManifestEdit::Deletes { table, segment, generation: self.generation }
    }
}
