//! The bulk way in: batches in arrival order become blocks of 122,880 rows, encoded in parallel while more arrive.
//!
//! Rows wait in `rest` until a block is full. What never fills a block stays in memory and is committed through the log; once
//! there is a segment, the short tail goes there, too.

use crate::budget::Reservation;
use crate::context::Context;
use crate::encoders::{Encoders, SegmentSink};
use crate::error::Result;
use crate::mem::{MemBlock, batch_bytes};
use crate::segment::{BLOCK_ROWS_MAX, ZONE_ROWS};
use crate::stored::StoredSegment;
use crate::table::Table;
use arrow::array::RecordBatch;
use std::sync::Arc;

/// Rows buffered beyond this go to a segment, however few they are.
pub(crate) const BUFFER_BYTES_MAX: usize = 16 << 20;

/// A block is cut before it has all its rows when they take more memory than this.
const BLOCK_BYTES_MAX: usize = 64 << 20;

/// What became of the rows of a load.
#[derive(Debug)]
pub(crate) enum Bulk {
    /// Few rows, still in memory.
    Mem(Vec<Arc<MemBlock>>),
    /// Segments, durable and referred to by nobody.
    Segments(Vec<Arc<StoredSegment>>),
}

/// Cuts rows into blocks and sends them to the encoders.
#[derive(Debug)]
pub(crate) struct BulkLoad {
    context: Arc<Context>,
    encoders: Arc<Encoders>,
    pub(crate) table: Arc<Table>,
    rest: Vec<RecordBatch>,
    rest_rows: usize,
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
            rest: vec![],
            rest_rows: 0,
            account: context.budget.register("bulk loads"),
            sink: None,
            rows: 0,
        }
    }

    /// Adds rows, already fitted to the table's schema.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        let mut at = 0;
        while at < batch.num_rows() {
            let rows = (batch.num_rows() - at).min(BLOCK_ROWS_MAX - self.rest_rows);
            let piece = batch.slice(at, rows);
            at += rows;
            self.reserve(batch_bytes(&piece))?;
            self.rest_rows += rows;
            self.rest.push(piece);
            if self.rest_rows == BLOCK_ROWS_MAX || self.account.bytes() >= BLOCK_BYTES_MAX {
                self.cut()?;
            }
        }
        Ok(())
    }

    /// Makes room for more rows, if need be by cutting a block early, but not before it has a zone of rows: up to there
    /// they are let in beyond the budget, since tiny blocks would cost more than that.
    fn reserve(&mut self, bytes: usize) -> Result<()> {
        match self.account.try_grow(bytes) {
            Ok(()) => return Ok(()),
            Err(_) if self.rest_rows >= ZONE_ROWS => self.cut()?,
            Err(_) => {}
        }
        self.account.grow(bytes);
        Ok(())
    }

    /// Sends what is waiting to the encoders, as one block.
    fn cut(&mut self) -> Result<()> {
        let sink = self.sink.get_or_insert_with(|| SegmentSink::new(&self.context, &self.encoders, &self.table));
        // The sink accounts for the rows from here on.
        self.account.shrink(self.account.bytes());
        self.rest_rows = 0;
        sink.push(std::mem::take(&mut self.rest))
    }

    /// Everything pushed; few rows stay in memory.
    pub(crate) fn finish(self) -> Result<Bulk> {
        if self.sink.is_none() && self.account.bytes() <= BUFFER_BYTES_MAX {
            let blocks = self.rest.iter().map(|batch| MemBlock::new(batch, &self.context.mem_account));
            return Ok(Bulk::Mem(blocks.collect::<Result<_>>()?));
        }
        self.finish_in_segments()
    }

    /// Everything pushed, in segments however few rows there are.
    pub(crate) fn finish_in_segments(mut self) -> Result<Bulk> {
        if self.rest_rows > 0 {
            self.cut()?;
        }
        Ok(Bulk::Segments(self.sink.take().map_or(Ok(vec![]), SegmentSink::finish)?))
    }
}
