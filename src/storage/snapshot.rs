//! A stable view of the whole database.

use crate::error::{Error, Result};
use crate::ids::{SegmentId, TableId, Timestamp};
use crate::lookup::{locate, rows_at};
use crate::mem::MemBlock;
use crate::overlaps::{Overlap, overlaps};
use crate::predicate::Predicate;
use crate::reads::ReadLog;
use crate::scan::{Scan, ScanSpec};
use crate::segment::ColumnBlock;
use crate::statistics::TableStatistics;
use crate::stored::{SegmentRef, StoredSegment};
use crate::table::TableInfo;
use crate::version::Version;
use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// A stable view of the whole database. Cheap to clone; holds back reclamation while alive.
#[derive(Clone, Debug)]
pub struct Snapshot {
    version: Arc<Version>,
    /// Where reads are noted: of a serializable transaction.
    reads: Option<Arc<ReadLog>>,
    /// Times that the transaction it is of has touched.
    touched: Option<Arc<TouchedTimes>>,
    /// Whether it sees what no other transaction does.
    is_private: bool,
}

/// Ranges of times by table.
pub(crate) type TouchedTimes = BTreeMap<TableId, Vec<RangeInclusive<i64>>>;

impl Snapshot {
    /// A view of `version`.
    pub(crate) fn new(version: Arc<Version>) -> Snapshot {
        Snapshot { version, reads: None, touched: None, is_private: false }
    }

    /// The same view, of a transaction that has written.
    pub(crate) fn private(self, is_private: bool) -> Snapshot {
        Snapshot { is_private, ..self }
    }

    /// The same view, whose reads are noted.
    pub(crate) fn noting(self, reads: Arc<ReadLog>) -> Snapshot {
        Snapshot { reads: Some(reads), ..self }
    }

    /// The same view, of a transaction that has touched these times.
    pub(crate) fn touching(self, touched: TouchedTimes) -> Snapshot {
        Snapshot { touched: (!touched.is_empty()).then(|| Arc::new(touched)), ..self }
    }

    /// Times of a table that the transaction has touched that this is a snapshot of: values of the column that is the table's time.
    pub fn touched(&self, table: TableId) -> &[RangeInclusive<i64>] {
        self.touched.as_ref().and_then(|touched| touched.get(&table)).map_or(&[], Vec::as_slice)
    }

    /// Whether it sees rows that a transaction has written and not committed.
    pub fn is_private(&self) -> bool {
        self.is_private
    }

    /// The same view, to be kept beyond the transaction: what is read through it is not noted.
    pub fn detached(&self) -> Snapshot {
        Snapshot { reads: None, touched: None, ..self.clone() }
    }

    /// Whether what is read must be said with [`Snapshot::note_read`], and nothing may be concluded from exact counts and bounds.
    pub fn notes_reads(&self) -> bool {
        self.reads.is_some()
    }

    /// Says that the rows that satisfy all of `predicates` are read: in a serializable transaction they must be the same when it commits.
    pub fn note_read(&self, table: TableId, predicates: &[Predicate]) -> Result<()> {
        match &self.reads {
            Some(reads) => reads.note(&self.version.layout(table)?.table, predicates),
            None => Ok(()),
        }
    }

    /// Its place in commit order.
    pub fn timestamp(&self) -> Timestamp {
        self.version.timestamp
    }

    /// Definition and sizes; `UnknownTable` if it does not exist here.
    pub fn table(&self, table: TableId) -> Result<TableInfo> {
        Ok(self.version.layout(table)?.info())
    }

    /// What the optimizer may know.
    pub fn statistics(&self, table: TableId) -> Result<TableStatistics> {
        Ok(self.version.layout(table)?.statistics()?.as_ref().clone())
    }

    /// Every column of every block.
    pub fn blocks(&self, table: TableId) -> Result<Vec<BlockInfo>> {
        let layout = self.version.layout(table)?;
        let stored = layout.stored.blocks(&layout.table.key)?;
        let columns = layout.table.definition.schema.fields().len();
        let mut infos = vec![];
        for (number, block) in stored.blocks.iter().enumerate() {
            column_block_infos(number, block, columns, &mut infos)?;
        }
        for (number, block) in (stored.blocks.len()..).zip(layout.mem_blocks()) {
            mem_block_infos(number, block, columns, &mut infos)?;
        }
        Ok(infos)
    }

    /// The segments of a table, and which values of the column that parts its rows they have.
    pub fn segment_ranges(&self, table: TableId) -> Result<Vec<SegmentRange>> {
        let layout = self.version.layout(table)?;
        let of_segment = |stored: &Arc<StoredSegment>| -> Result<SegmentRange> {
            let SegmentRef { id, bytes, rows } = stored.reference;
            let dead_rows = layout.dead.of_segment(id);
            let partition = stored.partition(&layout.table)?;
            let range = stored.range(&layout.table)?.cloned();
            Ok(SegmentRange { segment: id, partition, range, rows: rows - dead_rows, dead_rows, bytes })
        };
        layout.stored.segments.iter().map(of_segment).collect()
    }

    /// Where rows of a table may have the same values in the columns `key`, which are its key: rows that satisfy none of these have keys of their own. `None` when that
    /// may be nearly anywhere.
    pub fn key_overlaps(&self, table: TableId, key: &[usize]) -> Result<Option<Vec<Overlap>>> {
        overlaps(self.version.layout(table)?, key)
    }

    /// Plans a scan: zone maps prune here and again while running.
    pub fn scan(&self, table: TableId, spec: ScanSpec) -> Result<Scan> {
        Scan::plan(Arc::new(self.version.layout(table)?.source(self.version.timestamp)?), spec)
    }

    /// Where the rows with these keys are: columns in key order, one row a key. A place is what a scan of this snapshot
    /// gives ([`ScanSpec::places`]). A table without a key has no such rows.
    pub fn locate(&self, table: TableId, keys: &[ArrayRef]) -> Result<Vec<Option<u64>>> {
        let layout = self.version.layout(table)?;
        if layout.table.has_row_numbers() {
            return Err(Error::Unsupported(format!("table {table} has no key to find rows by")));
        }
        locate(layout, keys)
    }

    /// Columns `projection` of the rows with these keys, which are as for [`Snapshot::locate`], and for each row the number of its key,
    /// ascending. The way for few rows: those of recent small commits are read without a look at any block.
    pub fn find(&self, table: TableId, keys: &[ArrayRef], projection: &[usize]) -> Result<(RecordBatch, Vec<u32>)> {
        let layout = self.version.layout(table)?;
        if let Some(rows) = layout.find_in_delta(keys, projection)? {
            let numbers = (0..rows.num_rows() as u32).collect();
            return Ok((rows, numbers));
        }
        let places = self.locate(table, keys)?;
        let (numbers, places): (Vec<u32>, Vec<u64>) =
            (0u32..).zip(places).filter_map(|(number, place)| Some((number, place?))).unzip();
        Ok((self.rows_at(table, &UInt64Array::from(places), projection)?, numbers))
    }

    /// Columns `projection` of the rows at `places` of this snapshot, in the order asked for.
    pub fn rows_at(&self, table: TableId, places: &UInt64Array, projection: &[usize]) -> Result<RecordBatch> {
        let layout = self.version.layout(table)?;
        rows_at(layout, places, projection)
    }

    /// The version seen.
    pub(crate) fn version(&self) -> &Arc<Version> {
        &self.version
    }
}

fn column_block_infos(number: usize, block: &ColumnBlock, columns: usize, infos: &mut Vec<BlockInfo>) -> Result<()> {
    let footer = block.footer()?;
    infos.extend(footer.columns.iter().take(columns).enumerate().map(|(column, chunk)| BlockInfo {
        block: number,
        segment: Some(block.segment().id()),
        column,
        rows: block.rows() as u64,
        encoding: chunk.encoding.name().to_string(),
        bytes: chunk.stored_bytes(),
        raw_bytes: chunk.raw_bytes,
        min: chunk.bounds.min.clone(),
        max: chunk.bounds.max.clone(),
    }));
    Ok(())
}

fn mem_block_infos(number: usize, block: &MemBlock, columns: usize, infos: &mut Vec<BlockInfo>) -> Result<()> {
    infos.extend(block.summary()?.iter().take(columns).enumerate().map(|(column, summary)| BlockInfo {
        block: number,
        segment: None,
        column,
        rows: block.rows() as u64,
        encoding: "in memory".to_string(),
        bytes: summary.raw_bytes,
        raw_bytes: summary.raw_bytes,
        min: summary.bounds.min.clone(),
        max: summary.bounds.max.clone(),
    }));
    Ok(())
}

/// What is known of a segment of a partitioned table.
#[derive(Clone, Debug)]
pub struct SegmentRange {
    /// Segment file.
    pub segment: SegmentId,
    /// The partition, if its rows are in one.
    pub partition: Option<i64>,
    /// Values of the column that parts the rows, if every row has one: microseconds, days or numbers.
    pub range: Option<RangeInclusive<i64>>,
    /// Rows alive.
    pub rows: u64,
    /// Rows deleted.
    pub dead_rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// One column of one block.
#[derive(Clone, Debug)]
pub struct BlockInfo {
    /// Number of the block within the table, in scan order.
    pub block: usize,
    /// Segment file; `None` for a mem block.
    pub segment: Option<SegmentId>,
    /// Table column.
    pub column: usize,
    /// Rows.
    pub rows: u64,
    /// Encoding's name.
    pub encoding: String,
    /// Encoded bytes.
    pub bytes: u64,
    /// Bytes of the same values as plain Arrow.
    pub raw_bytes: u64,
    /// Smallest value, length 1; `None` when all are NULL or the type has no order.
    pub min: Option<ArrayRef>,
    /// Largest value.
    pub max: Option<ArrayRef>,
}
