//! The rows of one table at one moment: an immutable list of blocks.
//!
//! A layout never changes once published. A commit makes a new one that shares every block it does not touch, so
//! whoever holds the old one goes on reading exactly what was there. Rows move one way: a commit puts them into `mem`
//! (or, in bulk, into `stored`), a flush seals `mem` into `sealed`, encodes that, and puts the segments into `stored`.

use crate::error::Result;
use crate::ids::Timestamp;
use crate::mem::{MemBlock, MemList, Merging};
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
    statistics: OnceLock<Arc<TableStatistics>>,
}

impl Layout {
    /// A table without rows.
    pub(crate) fn empty(table: Arc<Table>) -> Arc<Layout> {
        Layout::new(table, SegmentList::new(vec![]), Arc::default(), MemList::default())
    }

    /// A table with all its rows in segments.
    pub(crate) fn stored(table: Arc<Table>, segments: Vec<Arc<StoredSegment>>) -> Arc<Layout> {
        Layout::new(table, SegmentList::new(segments), Arc::default(), MemList::default())
    }

    fn new(table: Arc<Table>, stored: Arc<SegmentList>, sealed: Arc<MemList>, mem: MemList) -> Arc<Layout> {
        Arc::new(Layout { table, stored, sealed, mem, statistics: OnceLock::new() })
    }

    /// Rows.
    pub(crate) fn rows(&self) -> u64 {
        self.stored.rows + self.mem_rows()
    }

    /// Rows in memory.
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
        let definition = &self.table.definition;
        let stored = self.stored.blocks(&definition.key)?;
        let columns = stored.blocks.iter().cloned().map(BlockSource::column);
        let mem = self.mem_blocks().map(|block| BlockSource::mem(block.batch.clone()));
        let clustered = stored.clustered && self.mem_rows() == 0;
        Ok(ScanSource {
            schema: definition.schema.clone(),
            blocks: columns.chain(mem).collect(),
            snapshot,
            clustered_by: definition.key.first().copied().filter(|_| clustered),
        })
    }

    /// This layout with more rows.
    pub(crate) fn append(
        &self,
        rows: &MemList,
        segments: &[Arc<StoredSegment>],
        merging: Merging,
    ) -> Result<Arc<Layout>> {
        let mem = match merging {
            Merging::BySize => {
                let mut mem = self.mem.clone();
                mem.extend(rows)?;
                mem
            }
            Merging::Not => MemList::unmerged(self.mem.blocks.iter().chain(&rows.blocks).cloned().collect()),
        };
        Ok(Layout::new(self.table.clone(), self.stored_with(segments), self.sealed.clone(), mem))
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
        Layout::new(self.table.clone(), self.stored.clone(), sealed, MemList::default())
    }

    /// This layout with `segments` in place of `sealed`; `None` if those rows are no longer there.
    pub(crate) fn install(&self, sealed: &Arc<MemList>, segments: &[Arc<StoredSegment>]) -> Option<Arc<Layout>> {
        if !Arc::ptr_eq(&self.sealed, sealed) {
            return None;
        }
        Some(Layout::new(self.table.clone(), self.stored_with(segments), Arc::default(), self.mem.clone()))
    }

    /// This layout with the segments `old` replaced by `new`, which hold the same rows; `None` if one of `old` is no
    /// longer there.
    pub(crate) fn replace(&self, old: &[Arc<StoredSegment>], new: &[Arc<StoredSegment>]) -> Option<Arc<Layout>> {
        let is_old = |segment: &Arc<StoredSegment>| old.iter().any(|o| Arc::ptr_eq(o, segment));
        let first = self.stored.segments.iter().position(is_old)?;
        if self.stored.segments.iter().filter(|s| is_old(s)).count() != old.len() {
            return None;
        }
        let (before, after) = self.stored.segments.split_at(first);
        let after = after.iter().filter(|s| !is_old(s));
        let stored = before.iter().chain(new).chain(after).cloned().collect();
        Some(Layout::new(self.table.clone(), SegmentList::new(stored), self.sealed.clone(), self.mem.clone()))
    }

    /// Definition and sizes.
    pub(crate) fn info(&self) -> TableInfo {
        TableInfo {
            definition: self.table.definition.clone(),
            rows: self.rows(),
            bytes: self.stored.bytes,
            blocks: self.stored.block_count(&self.table.definition.key),
            mem_rows: self.mem_rows(),
        }
    }

    /// What the optimizer may know; computed once per layout.
    pub(crate) fn statistics(&self) -> Result<Arc<TableStatistics>> {
        if let Some(known) = self.statistics.get() {
            return Ok(known.clone());
        }
        let computed = TableStatistics::of(&self.table.definition, &self.stored, self.mem_blocks())?;
        Ok(self.statistics.get_or_init(|| Arc::new(computed)).clone())
    }
}
