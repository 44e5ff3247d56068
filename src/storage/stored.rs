//! Segments as layouts list them: the file and what is known of it without opening it.
//!
//! A [`StoredSegment`] owns the life of its file. While nothing durable refers to it (it was just written, its
//! transaction has not committed) or once nothing durable refers to it any more (its table is gone, the manifest says so),
//! the file goes with the last reference. In between the file stays whatever happens to the references.

use crate::context::Context;
use crate::error::Result;
use crate::ids::{Lsn, SegmentId, Timestamp};
use crate::key::KeyEncoder;
use crate::lookup::Fences;
use crate::partition::{Partition, range_between};
use crate::segment::{BLOCK_ROWS_MAX, ColumnBlock, ColumnSummary, Segment, SegmentMeta, compare, segment_file_name};
use crate::table::Table;
use arrow::array::{Array, ArrayRef};
use std::cmp::Ordering as Order;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What names a segment in log records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentRef {
    pub(crate) id: SegmentId,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

/// Which commits the rows of a segment come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The oldest.
    pub(crate) begin: Timestamp,
    /// The newest.
    pub(crate) lsn: Lsn,
}

/// A segment and the life of its file.
#[derive(Debug)]
pub(crate) struct StoredSegment {
    pub(crate) reference: SegmentRef,
    pub(crate) segment: Arc<Segment>,
    context: Arc<Context>,
    /// Whether something durable refers to the file.
    referenced: AtomicBool,
    /// Known once committed.
    origin: OnceLock<Origin>,
    /// Deleted rows that the manifest knows of.
    known_dead: AtomicU64,
    /// Whether blocks had several rows with one key when they were written.
    has_equal_keys: AtomicBool,
    /// The values of the column that parts the table's rows, when every row has one.
    range: OnceLock<Option<RangeInclusive<i64>>>,
}

impl StoredSegment {
    /// A segment just written, which nothing durable refers to.
    pub(crate) fn written(context: &Arc<Context>, meta: SegmentMeta) -> Arc<StoredSegment> {
        let reference = SegmentRef { id: meta.id, bytes: meta.bytes, rows: meta.rows };
        StoredSegment::new(context, reference, false)
    }

    /// A segment that the manifest or the log refers to.
    pub(crate) fn known(context: &Arc<Context>, reference: SegmentRef, origin: Origin) -> Arc<StoredSegment> {
        let stored = StoredSegment::new(context, reference, true);
        stored.originate(origin);
        stored
    }

    fn new(context: &Arc<Context>, reference: SegmentRef, referenced: bool) -> Arc<StoredSegment> {
        let path = context.places.segments.join(segment_file_name(reference.id));
        let segment = Segment::open(context.vfs.clone(), context.frames.clone(), &path, reference.id);
        let referenced = AtomicBool::new(referenced);
        let (context, origin, known_dead, range) =
            (context.clone(), OnceLock::new(), AtomicU64::new(0), OnceLock::new());
        let has_equal_keys = AtomicBool::new(false);
        Arc::new(StoredSegment { reference, segment, context, referenced, origin, known_dead, has_equal_keys, range })
    }

    /// Notes which commits the rows come from. They never change.
    pub(crate) fn originate(&self, origin: Origin) {
        // Set twice only to the same: a commit has one place in the log.
        let _ = self.origin.set(origin);
    }

    /// Which commits the rows come from; `None` before they are committed.
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.origin.get().copied()
    }

    /// Notes that a block has several rows with one key.
    pub(crate) fn note_equal_keys(&self) {
        self.has_equal_keys.store(true, Ordering::Relaxed);
    }

    /// Whether a block had several rows with one key when it was written by this process.
    pub(crate) fn has_equal_keys(&self) -> bool {
        self.has_equal_keys.load(Ordering::Relaxed)
    }

    /// Deleted rows that the manifest knows of. They only grow in number, so equal numbers mean the same rows.
    pub(crate) fn known_dead(&self) -> u64 {
        self.known_dead.load(Ordering::Relaxed)
    }

    /// Notes that the manifest knows of so many.
    pub(crate) fn set_known_dead(&self, rows: u64) {
        self.known_dead.store(rows, Ordering::Relaxed);
    }

    /// The values of the column that parts the rows of `table`, when it has one and every row has a value. Reads the file the first time.
    pub(crate) fn range(&self, table: &Table) -> Result<Option<&RangeInclusive<i64>>> {
        if self.range.get().is_none() {
            let range = match &table.definition.partition {
                Some(by) => {
                    let summary = self.segment.summary()?;
                    let column = summary.columns.get(by.column).filter(|column| column.nulls == 0);
                    let bounds = column.and_then(|column| column.bounds.min.as_ref().zip(column.bounds.max.as_ref()));
                    bounds.map(|(min, max)| range_between(min, max)).transpose()?.flatten()
                }
                None => None,
            };
            // Set twice only to the same: a segment never changes.
            let _ = self.range.set(range);
        }
        Ok(self.range.get().and_then(Option::as_ref))
    }

    /// Whether all rows are known to have values of the column that parts them in `range`.
    pub(crate) fn is_within(&self, range: &RangeInclusive<i64>) -> bool {
        let known = self.range.get().and_then(Option::as_ref);
        known.is_some_and(|known| range.contains(known.start()) && range.contains(known.end()))
    }

    /// The partition of all its rows, if they are in one.
    pub(crate) fn partition(&self, table: &Table) -> Result<Partition> {
        let Some(by) = &table.definition.partition else { return Ok(None) };
        let data_type = table.schema.field(by.column).data_type();
        Ok(self.range(table)?.and_then(|range| by.of_range(range, data_type)))
    }

    /// Keeps the file: something durable is about to refer to it.
    pub(crate) fn keep(&self) {
        self.referenced.store(true, Ordering::Release);
    }

    /// Lets the file go with the last reference: nothing durable refers to it.
    pub(crate) fn release(&self) {
        self.referenced.store(false, Ordering::Release);
    }
}

impl Drop for StoredSegment {
    fn drop(&mut self) {
        if !self.referenced.load(Ordering::Acquire) {
            self.segment.forget();
            self.context.remove_later(self.segment.path().to_path_buf());
        }
    }
}

/// All segments of a layout, in arrival order. Shared by every layout that has just these.
#[derive(Debug, Default)]
pub(crate) struct SegmentList {
    pub(crate) segments: Vec<Arc<StoredSegment>>,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    blocks: OnceLock<Blocks>,
    summary: OnceLock<Arc<Vec<ColumnSummary>>>,
}

/// The blocks of a segment list.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// In key order when that makes them disjoint, else in arrival order.
    pub(crate) blocks: Vec<Arc<ColumnBlock>>,
    /// Whether keys ascend from block to block.
    pub(crate) clustered: bool,
    fences: OnceLock<Option<Fences>>,
}

impl Blocks {
    /// Their first and last keys, as `encoder` makes them; put together on first use. `None` when a block has none.
    pub(crate) fn fences(&self, encoder: &KeyEncoder) -> Result<Option<&Fences>> {
        if let Some(known) = self.fences.get() {
            return Ok(known.as_ref());
        }
        let fences = Fences::of(&self.blocks, encoder)?;
        Ok(self.fences.get_or_init(|| fences).as_ref())
    }
}

impl SegmentList {
    /// A list of `segments`.
    pub(crate) fn new(segments: Vec<Arc<StoredSegment>>) -> Arc<SegmentList> {
        let rows = segments.iter().map(|s| s.reference.rows).sum();
        let bytes = segments.iter().map(|s| s.reference.bytes).sum();
        Arc::new(SegmentList { segments, rows, bytes, ..SegmentList::default() })
    }

    /// Number of blocks; if a segment cannot be read, what it would be if all were full.
    pub(crate) fn block_count(&self, key: &[usize]) -> usize {
        let full = || self.segments.iter().map(|s| s.reference.rows.div_ceil(BLOCK_ROWS_MAX as u64) as usize).sum();
        self.blocks(key).map_or_else(|_| full(), |known| known.blocks.len())
    }

    /// The blocks; opens the segments on first use.
    pub(crate) fn blocks(&self, key: &[usize]) -> Result<&Blocks> {
        if let Some(known) = self.blocks.get() {
            return Ok(known);
        }
        let mut blocks = vec![];
        for stored in &self.segments {
            blocks.extend(stored.segment.blocks()?);
        }
        let clustered = !key.is_empty() && order_by_key(&mut blocks)?;
        Ok(self.blocks.get_or_init(|| Blocks { blocks, clustered, fences: OnceLock::new() }))
    }

    /// Statistics of all rows, per column; reads the segments' summaries on first use.
    pub(crate) fn summary(&self, columns: usize) -> Result<Arc<Vec<ColumnSummary>>> {
        if let Some(known) = self.summary.get() {
            return Ok(known.clone());
        }
        let mut total: Vec<ColumnSummary> = (0..columns).map(|_| ColumnSummary::empty()).collect();
        for stored in &self.segments {
            let summary = stored.segment.summary()?;
            total.iter_mut().zip(&summary.columns).for_each(|(total, column)| total.merge(column));
        }
        Ok(self.summary.get_or_init(|| Arc::new(total)).clone())
    }
}

/// Puts blocks in key order if that makes keys ascend from block to block, and answers whether that is so. Otherwise leaves them alone.
fn order_by_key(blocks: &mut Vec<Arc<ColumnBlock>>) -> Result<bool> {
    let mut fenced = Vec::with_capacity(blocks.len());
    for block in blocks.iter() {
        let (first, last) = block.fences()?;
        if first.is_empty() {
            return Ok(blocks.is_empty());
        }
        fenced.push((first.to_vec(), last.to_vec(), block.clone()));
    }
    fenced.sort_by(|a, b| compare_keys(&a.0, &b.0).then_with(|| compare_keys(&a.1, &b.1)));
    let disjoint = fenced.windows(2).all(|pair| compare_keys(&pair[0].1, &pair[1].0) != Order::Greater);
    if disjoint {
        *blocks = fenced.into_iter().map(|(_, _, block)| block).collect();
    }
    Ok(disjoint)
}

/// Order of two keys, NULLs last.
pub(crate) fn compare_keys(a: &[ArrayRef], b: &[ArrayRef]) -> Order {
    let columns = a.iter().zip(b).map(|(a, b)| match (a.is_null(0), b.is_null(0)) {
        (false, false) => compare(a, b).unwrap_or(Order::Equal),
        (a_null, b_null) => a_null.cmp(&b_null),
    });
    columns.fold(Order::Equal, Order::then)
}
