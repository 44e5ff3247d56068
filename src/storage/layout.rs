//! The rows of one table at one moment: an immutable list of blocks.
//!
//! A layout never changes once published. A commit makes a new one that shares every block it does not touch, so
//! whoever holds the old one goes on reading exactly what was there. Rows move one way: a commit puts them into the delta tree (or,
//! when there are many, into `mem`, or, in bulk, into `stored`), a flush seals delta tree and `mem` into `sealed`, encodes that, and puts the
//! segments into `stored`. Which rows of blocks are deleted is said beside them, in `dead`; those of the delta tree are deleted in it.

use crate::budget::Reservation;
use crate::dead::{BlockId, DeadRows};
use crate::delta::{DELTA_KEYS_MAX, Delta, DeltaBlock, DeltaRows, Moment, RowKeys};
use crate::error::{Error, Result};
use crate::ids::Timestamp;
use crate::mem::{MemBlock, MemList};
use crate::rewrite::Rewritten;
use crate::scan::{BlockSource, ScanSource};
use crate::statistics::TableStatistics;
use crate::stored::{Blocks, SegmentList, StoredSegment};
use crate::table::{Table, TableInfo};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

/// What a commit, or a transaction so far, changes in a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayoutChange<'a> {
    pub(crate) rows: &'a MemList,
    /// The same rows as a delta tree takes them, if it does.
    pub(crate) delta_rows: Option<&'a Arc<DeltaRows>>,
    pub(crate) segments: &'a [Arc<StoredSegment>],
    /// Segments with all rows in one of these ranges go, before anything else.
    pub(crate) cuts: &'a [RangeInclusive<i64>],
    /// Rows of blocks that are deleted.
    pub(crate) dead: &'a DeadRows,
    /// Keys of rows of the delta tree that are deleted.
    pub(crate) delta_deleted: &'a Arc<RowKeys>,
}

/// What a change is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose<'a> {
    /// A commit: what stays, in the form that suits it best, paid from an account.
    Commit(Moment, &'a Arc<Reservation>),
    /// A transaction's view of its own writes, made anew with every statement.
    Overlay,
}

/// One table's rows.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) table: Arc<Table>,
    /// Rows in segments.
    pub(crate) stored: Arc<SegmentList>,
    /// Rows in memory that are being flushed.
    pub(crate) sealed: Arc<MemList>,
    /// Newer rows in memory.
    pub(crate) mem: MemList,
    /// Rows of small commits: a view of the delta tree.
    delta: Option<Arc<MemBlock>>,
    /// Keys of rows in the delta tree that the transaction deletes for which this layout was made.
    hidden: Arc<RowKeys>,
    /// Which of all these are deleted.
    pub(crate) dead: DeadRows,
    /// Why the deleted rows are not known; then nothing of the table can be read.
    pub(crate) damage: Option<Error>,
    statistics: OnceLock<Arc<TableStatistics>>,
}

impl Layout {
    /// A table without rows.
    pub(crate) fn empty(table: Arc<Table>) -> Arc<Layout> {
        Layout::stored(table, vec![], Ok(DeadRows::default()))
    }

    /// A table with all its rows in segments.
    pub(crate) fn stored(table: Arc<Table>, segments: Vec<Arc<StoredSegment>>, dead: Result<DeadRows>) -> Arc<Layout> {
        let (dead, damage) = match dead {
            Ok(dead) => (dead, None),
            Err(error) => (DeadRows::default(), Some(error)),
        };
        let (stored, hidden, statistics) = (SegmentList::new(segments), Arc::default(), OnceLock::new());
        let (sealed, mem, delta) = (Arc::default(), MemList::default(), None);
        Arc::new(Layout { table, stored, sealed, mem, delta, hidden, dead, damage, statistics })
    }

    /// This layout, to be changed.
    fn copy(&self) -> Layout {
        Layout {
            table: self.table.clone(),
            stored: self.stored.clone(),
            sealed: self.sealed.clone(),
            mem: self.mem.clone(),
            delta: self.delta.clone(),
            hidden: self.hidden.clone(),
            dead: self.dead.clone(),
            damage: self.damage.clone(),
            statistics: OnceLock::new(),
        }
    }

    /// This layout when it turns out that it cannot be read.
    pub(crate) fn damaged(&self, error: Error) -> Arc<Layout> {
        Arc::new(Layout { damage: Some(error), ..self.copy() })
    }

    /// Rows.
    pub(crate) fn rows(&self) -> u64 {
        self.stored.rows + self.mem_rows() - self.dead_rows()
    }

    /// Rows in blocks and in the view of the delta tree that are deleted.
    pub(crate) fn dead_rows(&self) -> u64 {
        self.dead.rows() + self.hidden.len() as u64
    }

    /// What names the view of the delta tree.
    pub(crate) fn delta_id(&self) -> Option<BlockId> {
        self.delta.as_ref().map(|block| block.id)
    }

    /// The view of the delta tree.
    pub(crate) fn delta_block(&self) -> Option<&DeltaBlock> {
        self.delta.as_ref().and_then(|block| block.as_delta())
    }

    /// The delta tree.
    pub(crate) fn delta(&self) -> Option<&Arc<Delta>> {
        self.delta_block().map(DeltaBlock::delta)
    }

    /// Whether the delta tree is to be flushed for its size alone.
    pub(crate) fn has_large_delta(&self) -> bool {
        self.delta().is_some_and(|delta| delta.keys() > DELTA_KEYS_MAX)
    }

    /// Whether a block is part of it.
    pub(crate) fn has_block(&self, id: BlockId) -> bool {
        match id {
            BlockId::Stored(segment, _) => self.stored.segments.iter().any(|stored| stored.reference.id == segment),
            BlockId::Mem(_) => self.mem_blocks().any(|block| block.id == id),
        }
    }

    /// Rows in memory, deleted ones included.
    pub(crate) fn mem_rows(&self) -> u64 {
        self.sealed.rows + self.mem.rows + self.delta.as_ref().map_or(0, |block| block.rows() as u64)
    }

    /// Bytes of the rows in memory.
    pub(crate) fn mem_bytes(&self) -> usize {
        self.sealed.bytes + self.mem.bytes + self.delta().map_or(0, |delta| delta.bytes())
    }

    /// All blocks in memory, oldest first.
    pub(crate) fn mem_blocks(&self) -> impl Iterator<Item = &Arc<MemBlock>> {
        self.sealed.blocks.iter().chain(&self.mem.blocks).chain(&self.delta)
    }

    /// What a scan at `snapshot` reads: segments in block order, then memory.
    pub(crate) fn source(&self, snapshot: Timestamp) -> Result<ScanSource> {
        let stored = self.stored_blocks()?;
        let clustered = stored.clustered && self.mem_rows() == 0;
        let in_order = |column: usize| !matches!(self.table.schema.field(column).data_type(), DataType::Interval(_));
        let (_, blocks) = self.block_counts()?;
        Ok(ScanSource {
            schema: self.table.schema.clone(),
            blocks: (0..blocks).filter_map(|number| self.block(number).transpose()).collect::<Result<_>>()?,
            snapshot,
            clustered_by: self.table.definition.key.first().copied().filter(|&first| clustered && in_order(first)),
        })
    }

    /// The blocks in segments, in block order.
    pub(crate) fn stored_blocks(&self) -> Result<&Blocks> {
        self.check()?;
        self.stored.blocks(&self.table.key)
    }

    /// How many blocks are in segments, and how many there are.
    pub(crate) fn block_counts(&self) -> Result<(usize, usize)> {
        let stored = self.stored_blocks()?.blocks.len();
        let in_memory = self.sealed.blocks.len() + self.mem.blocks.len() + usize::from(self.delta.is_some());
        Ok((stored, stored + in_memory))
    }

    /// A block by its number in scan order.
    pub(crate) fn block(&self, number: usize) -> Result<Option<BlockSource>> {
        if let Some(block) = self.stored_blocks()?.blocks.get(number) {
            return Ok(Some(BlockSource::column(block.clone()).without(&self.dead)));
        }
        Ok(self.mem_block(number)?.map(|block| match &self.delta {
            Some(delta) if Arc::ptr_eq(delta, block) => BlockSource::delta(block, &self.hidden),
            _ => BlockSource::mem(block).without(&self.dead),
        }))
    }

    /// A block in memory by its number in scan order.
    pub(crate) fn mem_block(&self, number: usize) -> Result<Option<&Arc<MemBlock>>> {
        let stored = self.stored_blocks()?.blocks.len();
        Ok(number.checked_sub(stored).and_then(|number| self.mem_blocks().nth(number)))
    }

    /// Columns `projection` of the rows with these keys, if they are all in the delta tree.
    pub(crate) fn find_in_delta(&self, keys: &[ArrayRef], projection: &[usize]) -> Result<Option<RecordBatch>> {
        self.check()?;
        let delta = self.delta_block().filter(|_| self.hidden.is_empty());
        let (Some(delta), Some(encoder)) = (delta, &self.table.encoder) else { return Ok(None) };
        // Keys that the table cannot have are somebody else's business.
        let Ok(encoded) = encoder.encode_prefix(keys) else { return Ok(None) };
        let (rows, found) = delta.rows_of(encoded.iter(), projection)?;
        Ok((found == encoded.len()).then_some(rows))
    }

    /// Refuses to read what cannot be read right.
    fn check(&self) -> Result<()> {
        self.damage.clone().map_or(Ok(()), Err)
    }

    /// This layout with a change. For a commit the delta tree is changed, too, also if this fails then:
    /// [`Layout::take_back`] makes up for it.
    pub(crate) fn change(&self, change: LayoutChange<'_>, purpose: Purpose<'_>) -> Result<Arc<Layout>> {
        let mut new = self.copy();
        change.cuts.iter().for_each(|range| new.cut(range));
        new.stored = new.stored_with(change.segments);
        for (block, mask) in change.dead.blocks() {
            // What was deleted one by one may have been cut as well.
            if change.cuts.is_empty() || new.has_block(block) || change.rows.blocks.iter().any(|own| own.id == block) {
                new.dead.extend(block, mask);
            }
        }
        match purpose {
            Purpose::Overlay => {
                new.mem = MemList::unmerged(self.mem.blocks.iter().chain(&change.rows.blocks).cloned().collect());
                new.hidden = change.delta_deleted.clone();
            }
            Purpose::Commit(moment, account) => {
                if !new.change_delta(change, moment, account) {
                    new.mem.extend(change.rows, &mut new.dead)?;
                }
            }
        }
        Ok(Arc::new(new))
    }

    /// Takes out the segments with all rows in `range`.
    fn cut(&mut self, range: &RangeInclusive<i64>) {
        let (gone, kept): (Vec<_>, Vec<_>) =
            self.stored.segments.iter().cloned().partition(|segment| segment.is_within(range));
        if gone.is_empty() {
            return;
        }
        gone.iter().for_each(|segment| self.dead.remove_segment(segment.reference.id));
        self.stored = SegmentList::new(kept);
    }

    /// Changes the delta tree; whether it took the new rows.
    fn change_delta(&mut self, change: LayoutChange<'_>, moment: Moment, account: &Arc<Reservation>) -> bool {
        let rows = change.delta_rows.filter(|_| self.delta().is_none_or(|delta| delta.has_room()));
        if rows.is_none() && change.delta_deleted.is_empty() {
            return false;
        }
        let delta = self.delta().cloned().unwrap_or_else(|| Delta::new(&self.table, account));
        let is_taken = delta.commit(moment, rows, change.delta_deleted);
        let added = if is_taken { rows.map_or(0, |rows| rows.rows()) } else { 0 };
        let before = self.delta.as_ref().map_or(0, |block| block.rows());
        let now = before + added - change.delta_deleted.len();
        self.delta = Some(MemBlock::delta(delta.view(moment.at), now));
        is_taken && rows.is_some()
    }

    /// Takes back what commits from `from` on, which are not published, have written to the delta tree.
    pub(crate) fn take_back(&self, from: Timestamp) {
        if let Some(delta) = self.delta() {
            delta.take_back(from);
        }
    }

    /// The segments and more; what is known of them stays known when there are no more.
    fn stored_with(&self, segments: &[Arc<StoredSegment>]) -> Arc<SegmentList> {
        if segments.is_empty() {
            return self.stored.clone();
        }
        SegmentList::new(self.stored.segments.iter().chain(segments).cloned().collect())
    }

    /// This layout with all rows in memory sealed: later commits leave them alone.
    pub(crate) fn seal(&self) -> Arc<Layout> {
        let blocks = self.mem_blocks().filter(|block| block.rows() > 0).cloned().collect();
        let sealed = Arc::new(MemList::unmerged(blocks));
        Arc::new(Layout { sealed, mem: MemList::default(), delta: None, ..self.copy() })
    }

    /// This layout with the rows of `sealed` where `rewritten` says; `None` if those rows are no longer there.
    pub(crate) fn install(&self, sealed: &Arc<MemList>, rewritten: &Rewritten) -> Option<Arc<Layout>> {
        if !Arc::ptr_eq(&self.sealed, sealed) {
            return None;
        }
        let dead = rewritten.carry_over(&self.dead);
        let stored = self.stored_with(&rewritten.segments);
        Some(Arc::new(Layout { stored, sealed: Arc::default(), dead, ..self.copy() }))
    }

    /// This layout with the rows of the segments `old` where `rewritten` says; `None` if one of `old` is no longer there.
    pub(crate) fn replace(&self, old: &[Arc<StoredSegment>], rewritten: &Rewritten) -> Option<Arc<Layout>> {
        let is_old = |segment: &Arc<StoredSegment>| old.iter().any(|o| Arc::ptr_eq(o, segment));
        let first = self.stored.segments.iter().position(is_old)?;
        if self.stored.segments.iter().filter(|s| is_old(s)).count() != old.len() {
            return None;
        }
        let (before, after) = self.stored.segments.split_at(first);
        let after = after.iter().filter(|s| !is_old(s));
        let stored = before.iter().chain(&rewritten.segments).chain(after).cloned().collect();
        let dead = rewritten.carry_over(&self.dead);
        Some(Arc::new(Layout { stored: SegmentList::new(stored), dead, ..self.copy() }))
    }

    /// Definition and sizes.
    pub(crate) fn info(&self) -> TableInfo {
        TableInfo {
            definition: self.table.definition.clone(),
            rows: self.rows(),
            bytes: self.stored.bytes,
            blocks: self.stored.block_count(&self.table.key),
            mem_rows: self.mem_rows(),
        }
    }

    /// What the optimizer may know; computed once per layout.
    pub(crate) fn statistics(&self) -> Result<Arc<TableStatistics>> {
        if let Some(known) = self.statistics.get() {
            return Ok(known.clone());
        }
        self.check()?;
        let computed = TableStatistics::of(self)?;
        Ok(self.statistics.get_or_init(|| Arc::new(computed)).clone())
    }
}
