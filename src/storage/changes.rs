//! What is different between two snapshots.
//!
//! Layouts share every block that neither commits nor the background have touched, so only the others are read: of blocks that both have, the
//! rows deleted in between; of blocks that one has, all. A row that was only moved, by a flush or a merge, is among the rows of
//! both sides and cancels out.

use crate::dead::{BlockId, DeadMask};
use crate::delta::RowKeys;
use crate::error::Result;
use crate::ids::TableId;
use crate::layout::Layout;
use crate::lookup::rows_at;
use crate::mem;
use crate::scan::{BlockRows, BlockSource, Scan, ScanSource, ScanSpec, place};
use crate::snapshot::Snapshot;
use arrow::array::{RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::row::{RowConverter, SortField};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The difference between two snapshots of a table, with all its columns. An updated row is in both batches, a row that is
/// back as it was in none.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Rows that the older snapshot sees and the newer one does not.
    pub deleted: RecordBatch,
    /// Rows that the newer snapshot sees and the older one does not.
    pub inserted: RecordBatch,
}

/// Blocks of a layout with their numbers in scan order.
pub(crate) type Blocks = Vec<(usize, BlockSource)>;

impl Snapshot {
    /// What has changed in `table` since the older snapshot `since`, in which it may not have been there yet; `UnknownTable` if it is not here. Takes
    /// time and memory by what commits wrote in between, and by what the background has moved.
    pub fn changes(&self, table: TableId, since: &Snapshot) -> Result<Changes> {
        let new = self.version().layout(table)?;
        // A table that was dropped and one of its name are different tables.
        let old = since.version().layout(table).ok();
        let empty = RecordBatch::new_empty(new.table.schema.clone());
        let (deleted, inserted) = match old {
            None => (empty, read(new, all_blocks(new)?)?),
            Some(old) if Arc::ptr_eq(old, new) => (empty.clone(), empty),
            Some(old) => {
                let (old_blocks, new_blocks) = (all_blocks(old)?, all_blocks(new)?);
                let columns: Vec<usize> = (0..old.table.schema.fields().len()).collect();
                let dead = UInt64Array::from(newly_dead(&old_blocks, &new_blocks));
                let gone = [rows_at(old, &dead, &columns)?, read(old, only(&old_blocks, &new_blocks))?];
                cancel(&mem::concat(&gone)?, &read(new, only(&new_blocks, &old_blocks))?)?
            }
        };
        let visible: Vec<usize> = (0..new.table.definition.schema.fields().len()).collect();
        Ok(Changes { deleted: deleted.project(&visible)?, inserted: inserted.project(&visible)? })
    }
}

/// All blocks of a layout, with their numbers in scan order.
pub(crate) fn all_blocks(layout: &Layout) -> Result<Blocks> {
    let (_, blocks) = layout.block_counts()?;
    (0..blocks).filter_map(|number| Some(layout.block(number).transpose()?.map(|block| (number, block)))).collect()
}

/// The rows alive of some blocks.
fn read(layout: &Layout, blocks: Blocks) -> Result<RecordBatch> {
    let schema = layout.table.schema.clone();
    let spec = ScanSpec { projection: (0..schema.fields().len()).collect(), ..ScanSpec::default() };
    let blocks = blocks.into_iter().map(|(_, block)| block).collect();
    let snapshot = crate::ids::Timestamp(u64::MAX);
    let source = ScanSource { schema: schema.clone(), blocks, snapshot, clustered_by: None };
    let batches = Scan::plan(Arc::new(source), spec)?.reader().collect::<Result<Vec<_>>>()?;
    if batches.is_empty() { Ok(RecordBatch::new_empty(schema)) } else { mem::concat(&batches) }
}

/// What tells blocks apart: a transaction sees the view of a delta tree that others see without the rows that it has deleted, which is another block therefore.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BlockIdentity {
    id: BlockId,
    hidden: Option<Arc<RowKeys>>,
}

impl BlockIdentity {
    /// That of a block.
    pub(crate) fn of(block: &BlockSource) -> BlockIdentity {
        let hidden = match &block.rows {
            BlockRows::Delta(_, hidden) => hidden.clone().filter(|hidden| !hidden.is_empty()),
            BlockRows::Mem(_) | BlockRows::Column(_) => None,
        };
        BlockIdentity { id: block.id, hidden }
    }
}

/// The blocks that are not among `others`.
pub(crate) fn only(blocks: &Blocks, others: &Blocks) -> Blocks {
    let others: HashSet<BlockIdentity> = others.iter().map(|(_, block)| BlockIdentity::of(block)).collect();
    blocks.iter().filter(|(_, block)| !others.contains(&BlockIdentity::of(block))).cloned().collect()
}

/// Places of rows that are alive in `blocks` and deleted in the same block among `others`.
pub(crate) fn newly_dead(blocks: &Blocks, others: &Blocks) -> Vec<u64> {
    let there: HashMap<BlockIdentity, &BlockSource> =
        others.iter().map(|(_, block)| (BlockIdentity::of(block), block)).collect();
    let mut places = vec![];
    for (number, block) in blocks {
        let dead = there.get(&BlockIdentity::of(block)).and_then(|there| there.dead.as_ref());
        let is_alive = |row: &usize| block.dead.as_ref().is_none_or(|dead: &Arc<DeadMask>| !dead.contains(*row));
        let rows = dead.iter().flat_map(|dead| dead.iter()).filter(is_alive);
        places.extend(rows.map(|row| place(*number, row)));
    }
    places
}

/// Both batches without the rows that are in both.
fn cancel(deleted: &RecordBatch, inserted: &RecordBatch) -> Result<(RecordBatch, RecordBatch)> {
    let fields = deleted.schema().fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let (old, new) = (converter.convert_columns(deleted.columns())?, converter.convert_columns(inserted.columns())?);
    let mut unmatched: HashMap<&[u8], Vec<u32>> = HashMap::new();
    for (number, row) in (0..).zip(old.iter()) {
        unmatched.entry(row.data()).or_default().push(number);
    }
    let is_new = |row: &arrow::row::Row<'_>, unmatched: &mut HashMap<&[u8], Vec<u32>>| {
        unmatched.get_mut(row.data()).is_none_or(|rows| rows.pop().is_none())
    };
    let added: Vec<u32> =
        (0..).zip(new.iter()).filter(|(_, row)| is_new(row, &mut unmatched)).map(|(n, _)| n).collect();
    let mut gone: Vec<u32> = unmatched.into_values().flatten().collect();
    gone.sort_unstable();
    Ok((take_record_batch(deleted, &UInt32Array::from(gone))?, take_record_batch(inserted, &UInt32Array::from(added))?))
}
