//! The bulk way in: batches in arrival order become blocks of 122,880 rows, encoded in parallel while more arrive.
//!
//! Rows wait in `rest`, those of each partition by themselves, until a block is full. What never fills a block stays in memory and is committed through the log; once
//! there is a segment, the short tail goes there, too.

use crate::budget::Reservation;
use crate::context::Context;
use crate::encoders::{Encoders, SegmentSink};
use crate::error::Result;
use crate::mem::{MemBlock, batch_bytes};
use crate::partition::{PARTITION_ROWS_MIN, Partition};
use crate::segment::{BLOCK_ROWS_MAX, ZONE_ROWS};
use crate::stored::StoredSegment;
use crate::table::Table;
use arrow::array::RecordBatch;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows buffered beyond this go to a segment, however few they are.
pub(crate) const BUFFER_BYTES_MAX: usize = 16 << 20;

/// A block is cut before it has all its rows when they take more memory than this.
const BLOCK_BYTES_MAX: usize = 64 << 20;

/// Rows of all partitions together that wait for more, in bytes.
const REST_BYTES_MAX: usize = 256 << 20;

/// What became of the rows of a load.
#[derive(Debug)]
pub(crate) enum Bulk {
    /// Few rows, still in memory.
    Mem(Vec<Arc<MemBlock>>),
    /// Segments, durable and referred to by nobody.
    Segments(Vec<Arc<StoredSegment>>),
}

/// Rows of one partition that do not fill a block yet.
#[derive(Debug, Default)]
struct Rest {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

/// Cuts rows into blocks and sends them to the encoders.
#[derive(Debug)]
pub(crate) struct BulkLoad {
    context: Arc<Context>,
    encoders: Arc<Encoders>,
    pub(crate) table: Arc<Table>,
    rest: BTreeMap<Partition, Rest>,
    /// Memory of the rest.
    account: Reservation,
    sink: Option<SegmentSink>,
    pub(crate) rows: u64,
}

impl BulkLoad {
    /// A load of `table` without rows yet.
    pub(crate) fn new(context: &Arc<Context>, encoders: &Arc<Encoders>, table: &Arc<Table>) -> BulkLoad {
        BulkLoad {
            context: context.clone(),
            encoders: encoders.clone(),
            table: table.clone(),
            rest: BTreeMap::new(),
            account: context.budget.register("bulk loads"),
            sink: None,
            rows: 0,
        }
    }

    /// Adds rows, already fitted to the table's schema.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        for (partition, rows) in self.table.split(batch)? {
            self.push_rows(partition, &rows)?;
        }
        Ok(())
    }

    fn push_rows(&mut self, partition: Partition, batch: &RecordBatch) -> Result<()> {
        let mut at = 0;
        while at < batch.num_rows() {
            let waiting = self.rest.get(&partition).map_or(0, |rest| rest.rows);
            let rows = (batch.num_rows() - at).min(BLOCK_ROWS_MAX - waiting);
            let piece = batch.slice(at, rows);
            at += rows;
            let bytes = batch_bytes(&piece);
            self.reserve(bytes)?;
            let rest = self.rest.entry(partition).or_default();
            rest.batches.push(piece);
            rest.rows += rows;
            rest.bytes += bytes;
            if rest.rows == BLOCK_ROWS_MAX || rest.bytes >= BLOCK_BYTES_MAX {
                self.cut(partition)?;
            }
        }
        Ok(())
    }

    /// Makes room for more rows, if need be by cutting a block early, but not before it has a zone of rows: up to there
    /// they are let in beyond the budget, since tiny blocks would cost more than that.
    fn reserve(&mut self, bytes: usize) -> Result<()> {
        if self.account.bytes() + bytes > REST_BYTES_MAX {
            self.cut_early()?;
        }
        if self.account.try_grow(bytes).is_err() {
            self.cut_early()?;
            self.account.grow(bytes);
        }
        Ok(())
    }

    /// Cuts the largest rest, or, when all of them are small, all together.
    fn cut_early(&mut self) -> Result<()> {
        let Some((&largest, rest)) = self.rest.iter().max_by_key(|(_, rest)| rest.rows) else { return Ok(()) };
        match rest.rows >= ZONE_ROWS {
            true => self.cut(largest),
            false if self.rest.values().map(|rest| rest.rows).sum::<usize>() >= ZONE_ROWS => self.cut_together(),
            false => Ok(()),
        }
    }

    /// Sends what is waiting of a partition to the encoders, as one block.
    fn cut(&mut self, partition: Partition) -> Result<()> {
        let Some(rest) = self.rest.remove(&partition) else { return Ok(()) };
        self.send(rest, partition)
    }

    /// Sends all that is waiting to the encoders as rows of no one partition.
    fn cut_together(&mut self) -> Result<()> {
        let mut together = Rest::default();
        for rest in std::mem::take(&mut self.rest).into_values() {
            if together.rows + rest.rows > BLOCK_ROWS_MAX {
                self.send(std::mem::take(&mut together), None)?;
            }
            together.batches.extend(rest.batches);
            together.rows += rest.rows;
            together.bytes += rest.bytes;
        }
        if together.rows > 0 { self.send(together, None) } else { Ok(()) }
    }

    fn send(&mut self, rest: Rest, partition: Partition) -> Result<()> {
        let sink = self.sink.get_or_insert_with(|| SegmentSink::new(&self.context, &self.encoders, &self.table));
        // The sink accounts for the rows from here on.
        self.account.shrink(rest.bytes);
        sink.push(rest.batches, partition)
    }

    /// Everything pushed; few rows stay in memory.
    pub(crate) fn finish(self) -> Result<Bulk> {
        let rows: usize = self.rest.values().map(|rest| rest.rows).sum();
        if self.sink.is_none() && rows < BLOCK_ROWS_MAX && self.account.bytes() <= BUFFER_BYTES_MAX {
            let batches = self.rest.values().flat_map(|rest| &rest.batches);
            let blocks = batches.map(|batch| MemBlock::new(batch, &self.context.mem_account));
            return Ok(Bulk::Mem(blocks.collect::<Result<_>>()?));
        }
        self.finish_in_segments()
    }

    /// Everything pushed, in segments however few rows there are.
    pub(crate) fn finish_in_segments(mut self) -> Result<Bulk> {
        let large = self.rest.iter().filter(|(_, rest)| rest.rows >= PARTITION_ROWS_MIN || self.rest.len() == 1);
        for partition in large.map(|(partition, _)| *partition).collect::<Vec<_>>() {
            self.cut(partition)?;
        }
        self.cut_together()?;
        let segments = match self.sink.take() {
            Some(sink) => sink.finish()?.segments,
            None => vec![],
        };
        Ok(Bulk::Segments(segments))
    }
}
