//! What a transaction has written so far, table by table, and how that changes a version.
//!
//! The same [`WriteSet`] is laid over a snapshot to show a transaction its own writes, encoded into the log record, and
//! applied by the line: one definition of what a write means.
//!
//! A deleted row is known twice: by key, which is what the log says, and by its place in the blocks of the version the
//! transaction looked at. When blocks have moved since, or another transaction may have been first, the places are *doubtful*:
//! they are found again by key, and a row that is not there any more is a conflict. Rows of the delta tree have no place that
//! could move: they are known by key alone, and their newest version tells whether somebody was faster.

use crate::dead::{BlockId, DeadRows};
use crate::delta::{DeltaRows, RowKeys, SMALL_ROWS_MAX};
use crate::error::{Error, Result};
use crate::ids::{TableId, Timestamp};
use crate::layout::{Layout, LayoutChange, Purpose};
use crate::locks::{Acquired, KeyMode, LockOwner, LockRequest, Locks, TableMode};
use crate::lookup::locate;
use crate::mem::{MemBlock, MemList};
use crate::recent::RecentWrites;
use crate::scan::{BlockSource, place_parts};
use crate::stored::StoredSegment;
use crate::table::Table;
use crate::touched::Touched;
use crate::version::Version;
use arrow::util::display::array_value_to_string;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// How a transaction proves that the rows it deletes are the rows it read, though they are not where they were.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) recent: &'a RecentWrites,
    pub(crate) locks: &'a Locks,
    pub(crate) owner: LockOwner,
}

impl Claim<'_> {
    /// Whether nobody else can write to the table.
    fn has_table(&self, table: TableId) -> bool {
        let request = LockRequest::Table { table, mode: TableMode::Exclusive };
        matches!(self.locks.try_lock(self.owner, request), Ok(Acquired::Already))
    }

    /// Whether nobody else can have written the key since `since`.
    fn holds(&self, table: TableId, key: &[u8], since: Timestamp) -> bool {
        // Locked before it was found unchanged, it has stayed so, whatever the map has forgotten.
        let request = LockRequest::Key { table, key, mode: KeyMode::NoKeyUpdate };
        self.recent.newest(table, key) <= since
            || matches!(self.locks.try_lock(self.owner, request), Ok(Acquired::Already))
    }
}

/// The change a transaction makes to one table. Created comes first, then truncation, then cuts, then deleted rows, then new ones; a drop
/// excludes the rest.
#[derive(Clone, Debug)]
pub(crate) struct TableWrites {
    pub(crate) table: Arc<Table>,
    pub(crate) created: bool,
    pub(crate) dropped: bool,
    pub(crate) truncated: bool,
    /// Ranges of the column that parts the rows: segments with all rows in one go, wherever their rows are by then.
    pub(crate) cuts: Vec<RangeInclusive<i64>>,
    pub(crate) rows: MemList,
    pub(crate) segments: Vec<Arc<StoredSegment>>,
    /// Times of the rows added and of those deleted.
    pub(crate) touched: Touched,
    /// Keys of rows of others that were deleted, as blocks so that their memory counts.
    pub(crate) deleted: MemList,
    /// Rows deleted: those of others, where they were, and own ones.
    pub(crate) dead: DeadRows,
    /// Those of others in the delta tree.
    pub(crate) in_delta: DeltaDeletes,
    /// The rows deleted were there at this timestamp.
    pub(crate) read_at: Timestamp,
    /// The indexes of the table that these writes are in step with.
    pub(crate) indexes: Vec<TableId>,
    /// The rows as a delta tree takes them; made when the transaction commits.
    pub(crate) delta_rows: Option<Arc<DeltaRows>>,
}

/// Rows of a delta tree that are deleted.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeltaDeletes {
    /// The view of the tree that they were found in last.
    pub(crate) block: Option<BlockId>,
    pub(crate) keys: Arc<RowKeys>,
}

impl DeltaDeletes {
    /// Adds a row of the view `block`; false when it was there.
    pub(crate) fn insert(&mut self, block: BlockId, key: &[u8]) -> bool {
        self.block = Some(block);
        !self.keys.contains(key) && Arc::make_mut(&mut self.keys).insert(key.into())
    }
}

impl TableWrites {
    /// No change yet.
    pub(crate) fn new(table: Arc<Table>) -> TableWrites {
        TableWrites {
            table,
            created: false,
            dropped: false,
            truncated: false,
            cuts: vec![],
            rows: MemList::default(),
            segments: vec![],
            touched: Touched::default(),
            deleted: MemList::default(),
            dead: DeadRows::default(),
            in_delta: DeltaDeletes::default(),
            read_at: Timestamp::default(),
            indexes: vec![],
            delta_rows: None,
        }
    }

    /// `layout` with these rows and without those.
    fn change(&self, layout: &Layout, purpose: Purpose<'_>) -> Result<Arc<Layout>> {
        let change = LayoutChange {
            rows: &self.rows,
            delta_rows: self.delta_rows.as_ref(),
            segments: &self.segments,
            cuts: &self.cuts,
            dead: &self.dead,
            delta_deleted: &self.in_delta.keys,
        };
        layout.change(change, purpose)
    }

    /// Whether a block is one of this transaction's own.
    pub(crate) fn is_own(&self, block: BlockId) -> bool {
        match block {
            BlockId::Stored(segment, _) => self.segments.iter().any(|own| own.reference.id == segment),
            BlockId::Mem(_) => self.rows.blocks.iter().any(|own| own.id == block),
        }
    }

    /// Leaves out own rows in memory that were deleted again.
    fn settle(&mut self) -> Result<()> {
        let mut blocks = Vec::with_capacity(self.rows.blocks.len());
        for block in &self.rows.blocks {
            if self.dead.of(block.id).is_none() {
                blocks.push(block.clone());
                continue;
            }
            let live = block.live_rows(&self.dead)?;
            if live.num_rows() > 0 {
                blocks.push(block.with_rows(live)?);
            }
            self.dead.remove(block.id);
        }
        self.rows = MemList::unmerged(blocks);
        Ok(())
    }

    /// Whether the rows deleted are where these writes have them, and nobody else has deleted them.
    fn fits(&self, layout: &Layout) -> bool {
        let mut others = self.dead.blocks().filter(|(block, _)| !self.is_own(*block));
        let in_blocks = others.all(|(block, mask)| {
            let is_clear = |dead: &crate::dead::DeadMask| dead.is_disjoint(mask);
            layout.has_block(block) && layout.dead.of(block).is_none_or(|dead| is_clear(dead))
        });
        let is_unchanged = |key| layout.delta().is_some_and(|delta| delta.is_unchanged(key, self.read_at));
        in_blocks && self.in_delta.keys.iter().all(|key| is_unchanged(key))
    }

    /// Finds those of the rows deleted that are in `layout`.
    fn find_rows(&mut self, layout: &Layout) -> Result<()> {
        for keys in &self.deleted.blocks {
            for place in locate(layout, keys.batch().columns())?.into_iter().flatten() {
                let (block, row) = place_parts(place);
                let block = block_at(layout, block)?;
                match block.as_delta() {
                    Some(delta) if layout.delta_id() == Some(block.id) => {
                        self.in_delta.insert(block.id, &delta.key(row));
                    }
                    _ => {
                        self.dead.insert(block.id, block.number(row));
                    }
                }
            }
        }
        Ok(())
    }

    /// Finds the rows deleted again, in `layout`.
    fn relocate(&mut self, layout: &Layout, version: &Version, claim: Claim<'_>) -> Result<()> {
        if self.fits(layout) {
            // Only the view of the delta tree is another one.
            self.in_delta.block = layout.delta_id();
            return Ok(());
        }
        let others: Vec<BlockId> = self.dead.blocks().map(|(block, _)| block).filter(|b| !self.is_own(*b)).collect();
        others.into_iter().for_each(|block| drop(self.dead.remove(block)));
        self.in_delta = DeltaDeletes::default();
        for keys in &self.deleted.blocks {
            let columns = keys.batch().columns();
            let encoded = self.table.encoder.as_ref().map(|e| e.encode_prefix(columns)).transpose()?;
            let places = locate(layout, columns)?;
            for (row, place) in places.into_iter().enumerate() {
                let Some((block, place_row)) = place.map(place_parts) else {
                    return Err(self.conflict(keys, row, true));
                };
                let block = block_at(layout, block)?;
                let is_in_delta = layout.delta_id() == Some(block.id);
                // A row of the same key may be another one: deleted and inserted again. Not so in an index, where the key is all.
                let is_same = self.table.definition.index.is_some()
                    || match (&encoded, layout.delta()) {
                        (Some(encoded), Some(delta)) if is_in_delta => {
                            delta.is_unchanged(encoded.get(row), self.read_at)
                        }
                        (Some(encoded), _) => claim.holds(self.table.id, encoded.get(row), self.read_at),
                        (None, _) => claim.has_table(self.table.id),
                    };
                if !is_same {
                    return Err(self.conflict(keys, row, false));
                }
                match &encoded {
                    Some(encoded) if is_in_delta => {
                        self.in_delta.insert(block.id, encoded.get(row));
                    }
                    _ => {
                        self.dead.insert(block.id, block.number(place_row));
                    }
                }
            }
        }
        self.read_at = version.timestamp;
        Ok(())
    }

    /// Whether the places of the rows deleted are places of `layout`.
    fn is_placed(&self, layout: &Layout) -> bool {
        let in_delta = self.in_delta.keys.is_empty() || self.in_delta.block == layout.delta_id();
        in_delta && self.fits(layout)
    }

    /// Another transaction changed the row whose key is row `row` of `keys`.
    fn conflict(&self, keys: &MemBlock, row: usize, is_deleted: bool) -> Error {
        let key = if self.table.has_row_numbers() {
            vec![]
        } else {
            let values = keys.batch().columns().iter();
            values.map(|values| array_value_to_string(values, row).unwrap_or_default()).collect()
        };
        Error::Conflict { table: self.table.id, key, is_deleted }
    }

    /// Whether the table stays as it is.
    fn is_nothing(&self) -> bool {
        !self.created
            && !self.dropped
            && !self.truncated
            && self.cuts.is_empty()
            && self.rows.rows == 0
            && self.segments.is_empty()
            && self.deleted.rows == 0
    }
}

/// The block of a place that was found in `layout`.
fn block_at(layout: &Layout, number: usize) -> Result<BlockSource> {
    layout.block(number)?.ok_or_else(|| Error::Unsupported(format!("no block {number}")))
}

/// Everything a transaction has written.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteSet {
    pub(crate) tables: BTreeMap<TableId, TableWrites>,
}

impl WriteSet {
    /// True when nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Leaves out rows that were deleted again, and tables that were written to without any effect.
    pub(crate) fn settle(&mut self) -> Result<()> {
        self.tables.values_mut().try_for_each(TableWrites::settle)?;
        self.tables.retain(|_, writes| !writes.is_nothing());
        Ok(())
    }

    /// Whether the rows deleted are where these writes have them, and nobody else has deleted them.
    pub(crate) fn fits(&self, version: &Version) -> bool {
        let with_layouts = self.tables.iter().filter_map(|(id, writes)| Some((writes, version.tables.get(id)?)));
        with_layouts.into_iter().all(|(writes, layout)| writes.deleted.rows == 0 || writes.fits(layout))
    }

    /// Finds the rows deleted, in the version that the records before these writes lead to. A row that is not there was deleted by
    /// a later record, which the segments reflect already. A table that cannot be read is marked as damaged, and is not
    /// flushed, so that its records stay.
    pub(crate) fn find_rows(&mut self, version: &mut Version) {
        for (id, writes) in &mut self.tables {
            let with_places = version.tables.get(id).filter(|_| writes.deleted.rows > 0 || !writes.cuts.is_empty());
            let Some(layout) = with_places.filter(|layout| layout.damage.is_none()).cloned() else { continue };
            let ranges = || match writes.cuts.is_empty() {
                true => Ok(()),
                false => layout.stored.segments.iter().try_for_each(|segment| segment.range(&layout.table).map(drop)),
            };
            if let Err(error) = ranges().and_then(|()| writes.find_rows(&layout)) {
                version.tables.insert(*id, layout.damaged(error));
            }
        }
    }

    /// Finds the rows deleted again, in `version`; `Conflict` when another transaction deleted or changed one. Tables that
    /// vanished are passed over: the line refuses such a commit.
    pub(crate) fn relocate(&mut self, version: &Version, claim: Claim<'_>) -> Result<()> {
        for (id, writes) in &mut self.tables {
            if let Some(layout) = version.tables.get(id)
                && writes.deleted.rows > 0
                && !writes.is_placed(layout)
            {
                writes.relocate(layout, version, claim)?;
            }
        }
        Ok(())
    }

    /// The first table that another transaction changed so that these writes no longer fit.
    pub(crate) fn validate(&self, version: &Version) -> Result<()> {
        for (id, writes) in &self.tables {
            let now = version.tables.get(id);
            let fits = match now {
                None => writes.created,
                Some(layout) => {
                    let is_indexed_so = writes.dropped || writes.indexes == version.indexes_of(*id);
                    !writes.created && layout.table.schema_version == writes.table.schema_version && is_indexed_so
                }
            };
            if !fits {
                return Err(Error::TableChanged(*id));
            }
        }
        Ok(())
    }

    /// Brings small rows into the form that delta trees take, so that the line need not.
    pub(crate) fn prepare(&mut self) {
        for writes in self.tables.values_mut().filter(|writes| writes.rows.rows <= SMALL_ROWS_MAX as u64) {
            let batches = writes.rows.blocks.iter().map(|block| block.batch());
            writes.delta_rows = DeltaRows::new(&writes.table, batches).map(Arc::new);
        }
    }

    /// Changes `version`, all or nothing. Tables that vanished meanwhile are passed over: the line refuses such a
    /// commit.
    pub(crate) fn apply(&self, version: &mut Version, purpose: Purpose<'_>) -> Result<()> {
        let outcome = self.try_apply(version, purpose);
        if let (Err(_), Purpose::Commit(moment, _)) = (&outcome, purpose) {
            self.take_back(version, moment.at);
        }
        outcome
    }

    /// Takes back what commits from `from` on, these writes among them, have written to the delta trees of `version`.
    pub(crate) fn take_back(&self, version: &Version, from: Timestamp) {
        let layouts = self.tables.keys().filter_map(|id| version.tables.get(id));
        layouts.for_each(|layout| layout.take_back(from));
    }

    fn try_apply(&self, version: &mut Version, purpose: Purpose<'_>) -> Result<()> {
        let mut changed = Vec::with_capacity(self.tables.len());
        for (id, writes) in &self.tables {
            let layout = match version.tables.get(id) {
                _ if writes.dropped => None,
                None if !writes.created => continue,
                Some(layout) if !writes.truncated => Some(writes.change(layout, purpose)?),
                _ => Some(writes.change(&Layout::empty(writes.table.clone()), purpose)?),
            };
            changed.push((*id, layout));
        }
        let is_listed =
            |writes: &TableWrites| writes.dropped || writes.created && writes.table.definition.index.is_some();
        let lists_change = self.tables.values().any(is_listed);
        for (id, layout) in changed {
            match layout {
                Some(layout) => version.tables.insert(id, layout),
                None => version.tables.remove(&id),
            };
        }
        if lists_change {
            version.list_indexes();
        }
        Ok(())
    }

    /// Every segment written.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Arc<StoredSegment>> {
        self.tables.values().flat_map(|writes| &writes.segments)
    }
}
