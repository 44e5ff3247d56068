//! The rows of one table at one moment: an immutable list of blocks.
//!
//! A layout never changes once published. A commit makes a new one that shares every block it does not touch, so
//! whoever holds the old one goes on reading exactly what was there. Rows move one way: a commit puts them into `mem`
//! (or, in bulk, into `stored`), a flush seals `mem` into `sealed`, encodes that, and puts the segments into `stored`.
//! Which rows are deleted is said beside the blocks, in `dead`.

use crate::dead::{BlockId, DeadRows};
use crate::error::{Error, Result};
use crate::ids::Timestamp;
use crate::mem::{MemBlock, MemList, Merging};
use crate::rewrite::Rewritten;
use crate::scan::{BlockSource, ScanSource};
use crate::statistics::TableStatistics;
use crate::stored::{SegmentList, StoredSegment};
use crate::table::{Table, TableInfo};
use std::sync::{Arc, OnceLock};

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
        let stored = SegmentList::new(segments);
        let (sealed, mem, statistics) = (Arc::default(), MemList::default(), OnceLock::new());
        Arc::new(Layout { table, stored, sealed, mem, dead, damage, statistics })
    }

    /// This layout with other blocks.
    fn with(&self, stored: Arc<SegmentList>, sealed: Arc<MemList>, mem: MemList, dead: DeadRows) -> Arc<Layout> {
        let (table, damage) = (self.table.clone(), self.damage.clone());
        Arc::new(Layout { table, stored, sealed, mem, dead, damage, statistics: OnceLock::new() })
    }

    /// This layout when it turns out that it cannot be read.
    pub(crate) fn damaged(&self, error: Error) -> Arc<Layout> {
        let layout = self.with(self.stored.clone(), self.sealed.clone(), self.mem.clone(), self.dead.clone());
        let mut layout = Arc::into_inner(layout).expect("made just now");
        layout.damage = Some(error);
        Arc::new(layout)
    }

    /// Rows.
    pub(crate) fn rows(&self) -> u64 {
        self.stored.rows + self.mem_rows() - self.dead.rows()
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
        self.sealed.rows + self.mem.rows
    }

    /// Bytes of the rows in memory.
    pub(crate) fn mem_bytes(&self) -> usize {
        self.sealed.bytes + self.mem.bytes
    }

    /// All blocks in memory, oldest first.
    pub(crate) fn mem_blocks(&self) -> impl Iterator<Item = &Arc<MemBlock>> {
        self.sealed.blocks.iter().chain(&self.mem.blocks)
    }

    /// What a scan at `snapshot` reads: segments in block order, then memory.
    pub(crate) fn source(&self, snapshot: Timestamp) -> Result<ScanSource> {
        self.check()?;
        let stored = self.stored.blocks(&self.table.key)?;
        let columns = stored.blocks.iter().cloned().map(BlockSource::column);
        let mem = self.mem_blocks().map(|block| BlockSource::mem(block));
        let clustered = stored.clustered && self.mem_rows() == 0;
        Ok(ScanSource {
            schema: self.table.schema.clone(),
            blocks: columns.chain(mem).map(|block| block.without(&self.dead)).collect(),
            snapshot,
            clustered_by: self.table.definition.key.first().copied().filter(|_| clustered),
        })
    }

    /// Refuses to read what cannot be read right.
    fn check(&self) -> Result<()> {
        self.damage.clone().map_or(Ok(()), Err)
    }

    /// This layout with more rows and, of those it has then, more of them deleted.
    pub(crate) fn change(
        &self,
        rows: &MemList,
        segments: &[Arc<StoredSegment>],
        dead: &DeadRows,
        merging: Merging,
    ) -> Result<Arc<Layout>> {
        let mut all_dead = self.dead.clone();
        for (block, mask) in dead.blocks() {
            all_dead.extend(block, mask);
        }
        let mem = match merging {
            Merging::BySize => {
                let mut mem = self.mem.clone();
                mem.extend(rows, &mut all_dead)?;
                mem
            }
            Merging::Not => MemList::unmerged(self.mem.blocks.iter().chain(&rows.blocks).cloned().collect()),
        };
        Ok(self.with(self.stored_with(segments), self.sealed.clone(), mem, all_dead))
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
        let blocks: Vec<_> = self.mem_blocks().cloned().collect();
        let sealed = Arc::new(MemList::unmerged(blocks));
        self.with(self.stored.clone(), sealed, MemList::default(), self.dead.clone())
    }

    /// This layout with the rows of `sealed` where `rewritten` says; `None` if those rows are no longer there.
    pub(crate) fn install(&self, sealed: &Arc<MemList>, rewritten: &Rewritten) -> Option<Arc<Layout>> {
        if !Arc::ptr_eq(&self.sealed, sealed) {
            return None;
        }
        let dead = rewritten.carry_over(&self.dead);
        Some(self.with(self.stored_with(&rewritten.segments), Arc::default(), self.mem.clone(), dead))
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
        Some(self.with(SegmentList::new(stored), self.sealed.clone(), self.mem.clone(), dead))
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
