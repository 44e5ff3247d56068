//! Rows in memory: Arrow batches of commits that are neither small nor bulk, merged by size tiers as they are installed, and views
//! of delta trees.
//!
//! A [`MemList`] is immutable and shared by snapshots; adding rows makes a new list that shares all blocks but the few
//! merged ones. After every push each block has at least twice the rows of the next one, or both together are too large
//! to merge, so a list of n rows holds O(log n) small blocks and each row is copied O(log n) times in its life.

use crate::budget::Reservation;
use crate::dead::{BlockId, DeadRows};
use crate::delta::{DeltaBlock, DeltaView};
use crate::error::{Error, Result};
use crate::key::{EncodedKeys, KeyEncoder, KeyRange};
use crate::segment::{BLOCK_ROWS_MAX, ColumnSummary};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take};
use arrow::datatypes::DataType;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Numbers mem blocks, so that what is said of one is never taken for another.
static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);

/// Most bytes of a merged mem block; merging copies, and the line does it.
const MEM_BLOCK_BYTES: usize = 16 << 20;

/// Rows in memory, paid for from the budget as long as they live.
#[derive(Debug)]
pub(crate) struct MemBlock {
    pub(crate) id: BlockId,
    pub(crate) bytes: usize,
    rows: MemRows,
    summary: OnceLock<Vec<ColumnSummary>>,
    keys: OnceLock<SortedKeys>,
}

/// The keys of a block's rows, in key order.
#[derive(Debug)]
pub(crate) struct SortedKeys {
    keys: EncodedKeys,
    order: Vec<u32>,
    _paid: Reservation,
}

impl SortedKeys {
    /// The rows of `key`, deleted ones included.
    pub(crate) fn rows_of(&self, key: &[u8]) -> impl Iterator<Item = usize> {
        let first = self.order.partition_point(|&row| self.keys.get(row as usize) < key);
        let rows = self.order[first..].iter().map(|&row| row as usize);
        rows.take_while(move |&row| self.keys.get(row) == key)
    }

    /// Where in key order the keys of `range` are.
    pub(crate) fn range(&self, range: &KeyRange) -> Range<usize> {
        let cut = |key: &[u8]| self.order.partition_point(|&row| self.keys.get(row as usize) < key);
        let start = cut(&range.start);
        start..range.end.as_deref().map_or(self.order.len(), cut).max(start)
    }

    /// A key by its place in key order, and its row.
    pub(crate) fn at(&self, at: usize) -> (&[u8], usize) {
        let row = self.order[at] as usize;
        (self.keys.get(row), row)
    }
}

/// The form of rows in memory.
#[derive(Debug)]
enum MemRows {
    Batch {
        batch: RecordBatch,
        account: Arc<Reservation>,
    },
    /// A view of a delta tree, which pays for itself.
    Delta(DeltaBlock),
}

impl MemBlock {
    /// A block over `batch`, which is copied when it holds on to much larger buffers.
    pub(crate) fn new(batch: &RecordBatch, account: &Arc<Reservation>) -> Result<Arc<MemBlock>> {
        let batch = compact(batch)?;
        account.try_grow(batch.get_array_memory_size())?;
        Ok(MemBlock::paid(batch, account))
    }

    /// A block over rows that must not be lost for want of memory.
    pub(crate) fn unrefusable(batch: RecordBatch, account: &Arc<Reservation>) -> Result<Arc<MemBlock>> {
        let batch = compact(&batch)?;
        account.grow(batch.get_array_memory_size());
        Ok(MemBlock::paid(batch, account))
    }

    fn paid(batch: RecordBatch, account: &Arc<Reservation>) -> Arc<MemBlock> {
        let bytes = batch.get_array_memory_size();
        MemBlock::of(MemRows::Batch { batch, account: account.clone() }, bytes)
    }

    /// A block of the rows that a delta tree has for `view`.
    pub(crate) fn delta(view: DeltaView, rows: usize) -> Arc<MemBlock> {
        let block = DeltaBlock::new(view, rows);
        let bytes = block.delta().bytes();
        MemBlock::of(MemRows::Delta(block), bytes)
    }

    fn of(rows: MemRows, bytes: usize) -> Arc<MemBlock> {
        let id = BlockId::Mem(NEXT_BLOCK.fetch_add(1, Ordering::Relaxed));
        Arc::new(MemBlock { id, rows, bytes, summary: OnceLock::new(), keys: OnceLock::new() })
    }

    /// Rows.
    pub(crate) fn rows(&self) -> usize {
        match &self.rows {
            MemRows::Batch { batch, .. } => batch.num_rows(),
            MemRows::Delta(block) => block.rows(),
        }
    }

    /// The rows as a batch.
    pub(crate) fn batch(&self) -> &RecordBatch {
        match &self.rows {
            MemRows::Batch { batch, .. } => batch,
            MemRows::Delta(block) => block.batch(),
        }
    }

    /// The rows as a view of a delta tree, if that is what they are.
    pub(crate) fn as_delta(&self) -> Option<&DeltaBlock> {
        match &self.rows {
            MemRows::Batch { .. } => None,
            MemRows::Delta(block) => Some(block),
        }
    }

    /// Statistics per column, computed on first use.
    pub(crate) fn summary(&self) -> Result<&[ColumnSummary]> {
        if let Some(known) = self.summary.get() {
            return Ok(known);
        }
        let computed = self.batch().columns().iter().map(ColumnSummary::of).collect::<Result<_>>()?;
        Ok(self.summary.get_or_init(|| computed))
    }

    /// Its keys, sorted on first use: those of columns `key`, as `encoder` makes them.
    pub(crate) fn keys(&self, key: &[usize], encoder: &KeyEncoder) -> Result<&SortedKeys> {
        if let Some(known) = self.keys.get() {
            return Ok(known);
        }
        let columns: Vec<ArrayRef> = key.iter().map(|&column| self.batch().column(column).clone()).collect();
        let keys = encoder.encode_prefix(&columns)?;
        let mut order: Vec<u32> = (0..keys.len() as u32).collect();
        order.sort_by(|&a, &b| keys.get(a as usize).cmp(keys.get(b as usize)));
        let paid = self.account().budget().register("sorted keys");
        paid.grow(keys.total_bytes() + order.len() * size_of::<u32>());
        Ok(self.keys.get_or_init(|| SortedKeys { keys, order, _paid: paid }))
    }

    /// Another block of some of its rows.
    pub(crate) fn with_rows(&self, batch: RecordBatch) -> Result<Arc<MemBlock>> {
        MemBlock::unrefusable(batch, self.account())
    }

    fn account(&self) -> &Arc<Reservation> {
        match &self.rows {
            MemRows::Batch { account, .. } => account,
            MemRows::Delta(block) => block.delta().account(),
        }
    }

    /// The rows that are not deleted; the batch itself when all are there.
    pub(crate) fn live_rows(&self, dead: &DeadRows) -> Result<RecordBatch> {
        let Some(dead) = dead.of(self.id) else { return Ok(self.batch().clone()) };
        let alive: BooleanArray = (0..self.rows()).map(|row| Some(!dead.contains(row))).collect();
        Ok(filter_record_batch(self.batch(), &alive)?)
    }

    /// One block of the rows of both that are not deleted.
    fn merge(&self, next: &MemBlock, dead: &DeadRows) -> Result<Arc<MemBlock>> {
        let rows = concat(&[self.live_rows(dead)?, next.live_rows(dead)?])?;
        self.with_rows(rows)
    }
}

impl Drop for MemBlock {
    fn drop(&mut self) {
        if let MemRows::Batch { account, .. } = &self.rows {
            account.shrink(self.bytes);
        }
    }
}

/// The mem blocks of one table, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemList {
    pub(crate) blocks: Vec<Arc<MemBlock>>,
    pub(crate) rows: u64,
    pub(crate) bytes: usize,
}

impl MemList {
    /// A list of just these blocks.
    pub(crate) fn unmerged(blocks: Vec<Arc<MemBlock>>) -> MemList {
        let rows = blocks.iter().map(|b| b.rows() as u64).sum();
        let bytes = blocks.iter().map(|b| b.bytes).sum();
        MemList { blocks, rows, bytes }
    }

    /// Adds a block at the end as it is.
    pub(crate) fn add(&mut self, block: Arc<MemBlock>) {
        self.rows += block.rows() as u64;
        self.bytes += block.bytes;
        self.blocks.push(block);
    }

    /// Adds a block at the end, merging by size tiers. Rows of merged blocks that are `dead` are left out, and so are their marks.
    pub(crate) fn push(&mut self, block: Arc<MemBlock>, dead: &mut DeadRows) -> Result<()> {
        if block.rows() == 0 {
            return Ok(());
        }
        let mut last = block;
        while let Some(previous) = self.blocks.last() {
            let fits =
                previous.rows() + last.rows() <= BLOCK_ROWS_MAX && previous.bytes + last.bytes <= MEM_BLOCK_BYTES;
            if !fits || previous.rows() >= 2 * last.rows() {
                break;
            }
            let merged = previous.merge(&last, dead)?;
            dead.remove(previous.id);
            dead.remove(last.id);
            self.blocks.pop();
            last = merged;
        }
        self.blocks.push(last);
        *self = MemList::unmerged(std::mem::take(&mut self.blocks));
        Ok(())
    }

    /// Adds all blocks of `other`.
    pub(crate) fn extend(&mut self, other: &MemList, dead: &mut DeadRows) -> Result<()> {
        other.blocks.iter().try_for_each(|block| self.push(block.clone(), dead))
    }
}

/// One batch of all rows.
pub(crate) fn concat(batches: &[RecordBatch]) -> Result<RecordBatch> {
    let [first, rest @ ..] = batches else { return Err(Error::Unsupported("a block without rows".into())) };
    if rest.is_empty() {
        return Ok(first.clone());
    }
    if first.num_columns() == 0 {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        return Ok(RecordBatch::try_new_with_options(first.schema(), vec![], &options)?);
    }
    Ok(concat_batches(&first.schema(), batches)?)
}

/// Bytes of the rows of a batch themselves, whatever larger buffers they lie in.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(array_bytes).sum()
}

fn array_bytes(array: &ArrayRef) -> usize {
    match array.data_type() {
        DataType::Utf8View => array.len() * 16 + array.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => array.len() * 16 + array.as_binary_view().total_buffer_bytes_used(),
        _ => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
    }
}

/// A batch that does not keep alive much more memory than its rows need.
fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(compact_array).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

fn compact_array(array: &ArrayRef) -> Result<ArrayRef> {
    if array.get_array_memory_size() <= 2 * array_bytes(array) + 1024 {
        return Ok(array.clone());
    }
    Ok(match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        _ => {
            let all = UInt32Array::from_iter_values(0..array.len() as u32);
            take(array, &all, None)?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::MemoryBudget;
    use arrow::array::{Int64Array, StringViewArray};

    fn batch(rows: usize) -> RecordBatch {
        let ids = Int64Array::from_iter_values(0..rows as i64);
        RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef)]).unwrap()
    }

    #[test]
    fn a_list_of_many_small_pushes_stays_short_and_gives_its_memory_back() {
        let budget = MemoryBudget::new(64 << 20);
        let account = Arc::new(budget.register("test"));
        let mut list = MemList::default();
        for n in 1..=5000 {
            list.push(MemBlock::new(&batch(1), &account).unwrap(), &mut DeadRows::default()).unwrap();
            assert_eq!(list.rows, n);
            assert!(list.blocks.len() <= 14, "{} blocks of {n} rows", list.blocks.len());
        }
        assert_eq!(account.bytes(), list.bytes);
        drop(list);
        assert_eq!(account.bytes(), 0);
    }

    #[test]
    fn a_block_does_not_keep_a_large_batch_alive() {
        let budget = MemoryBudget::new(64 << 20);
        let account = Arc::new(budget.register("test"));
        let large = batch(100_000);
        assert!(MemBlock::new(&large.slice(500, 10), &account).unwrap().bytes < 10_000);
        let text =
            StringViewArray::from_iter_values((0..10_000).map(|i| format!("a text long enough for a buffer {i}")));
        let text = RecordBatch::try_from_iter([("t", Arc::new(text) as ArrayRef)]).unwrap();
        let block = MemBlock::new(&text.slice(100, 2), &account).unwrap();
        assert!(block.bytes < 20_000, "{} bytes", block.bytes);
        assert_eq!(*block.batch(), text.slice(100, 2));
    }

    #[test]
    fn memory_is_refused_beyond_the_budget() {
        let budget = MemoryBudget::new(100_000);
        let account = Arc::new(budget.register("test"));
        assert!(matches!(MemBlock::new(&batch(100_000), &account), Err(Error::OutOfMemory { .. })));
        assert_eq!(account.bytes(), 0);
    }
}
