//! Rows on their way from some blocks to new segments, and the marks of those deleted meanwhile.
//!
//! Rows are read as they are at one moment, sorted and written. While that goes on, commits may delete some of them where they
//! are still listed. The old place of each new row is remembered, so that such marks find their rows in the new blocks.
//!
//! Sorted blocks are cut along keys into pieces, so that runs of any size are merged in little memory. Rows of each partition go to blocks of their own,
//! those of partitions with few rows together to the last ones.

use crate::budget::Reservation;
use crate::dead::{BlockId, DeadMask, DeadRows};
use crate::encoders::{SegmentSink, Written};
use crate::error::Result;
use crate::lookup::{columns_of, cut};
use crate::partition::{PARTITION_ROWS_MIN, Partition};
use crate::scan::{BlockRows, BlockSource, Scan, ScanSource, ScanSpec, place, place_parts};
use crate::segment::BLOCK_ROWS_MAX;
use crate::sort::Sorted;
use crate::stored::StoredSegment;
use crate::table::Table;
use crate::{Timestamp, mem};
use arrow::array::{AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// The blocks to rewrite, as they are now.
#[derive(Debug)]
pub(crate) struct Rewrite {
    blocks: Vec<BlockSource>,
}

/// Segments with the rows of older blocks.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub(crate) segments: Vec<Arc<StoredSegment>>,
    /// The older blocks.
    old: Vec<BlockSource>,
    /// Where each row in new order was: a place in the older blocks.
    places: Vec<u64>,
    /// The first row of each new block in that order.
    new: Vec<(usize, BlockId)>,
}

/// Rows on their way into blocks, each with its place.
struct Blocks<'a> {
    table: &'a Table,
    sink: SegmentSink,
    /// Of each partition, in key order, what does not fill a block.
    rest: BTreeMap<Partition, RecordBatch>,
    places: Vec<u64>,
}

/// Rows of blocks that are read together: those of one range of keys, as a range of rows in each block.
type Piece = Vec<Range<usize>>;

impl Rewrite {
    /// A rewrite of `blocks`.
    pub(crate) fn new(blocks: Vec<BlockSource>) -> Rewrite {
        Rewrite { blocks }
    }

    /// Writes the rows alive to `sink` in key order, as full blocks but for the last one of each partition. Where blocks are sorted, about
    /// `piece_rows` rows are held at a time, paid from `account`.
    pub(crate) fn run(
        self,
        table: &Table,
        piece_rows: usize,
        account: &Reservation,
        sink: SegmentSink,
    ) -> Result<Rewritten> {
        let mut blocks = Blocks { table, sink, rest: BTreeMap::new(), places: vec![] };
        let pieces = self.pieces(table, piece_rows)?;
        let last = pieces.as_ref().map_or(0, |pieces| pieces.len().saturating_sub(1));
        for number in 0..=last {
            let batch = match &pieces {
                Some(pieces) => self.read_piece(table, &pieces[number])?,
                None => self.read_all(table)?,
            };
            let Some(batch) = batch else { continue };
            let bytes = mem::batch_bytes(&batch);
            account.grow(bytes);
            for (partition, rows) in table.split(batch)? {
                blocks.add(partition, Sorted::new(rows, &table.key)?.batch)?;
            }
            account.shrink(bytes);
        }
        let (places, written) = blocks.finish()?;
        Ok(Rewritten::new(self.blocks, places, written))
    }

    /// All rows alive and their places; `None` when there are none.
    fn read_all(&self, table: &Table) -> Result<Option<RecordBatch>> {
        let schema = table.schema.clone();
        let projection = (0..schema.fields().len()).collect();
        let source =
            ScanSource { schema, blocks: self.blocks.clone(), snapshot: Timestamp(u64::MAX), clustered_by: None };
        let spec = ScanSpec { projection, places: true, ..ScanSpec::default() };
        let batches: Vec<RecordBatch> = Scan::plan(Arc::new(source), spec)?.reader().collect::<Result<_>>()?;
        if batches.is_empty() { Ok(None) } else { mem::concat(&batches).map(Some) }
    }

    /// The same of the rows of a piece.
    fn read_piece(&self, table: &Table, piece: &Piece) -> Result<Option<RecordBatch>> {
        let columns: Vec<usize> = (0..table.schema.fields().len()).collect();
        let place_field = Arc::new(Field::new("place", DataType::UInt64, false));
        let fields: Vec<_> = table.schema.fields().iter().cloned().chain([place_field]).collect();
        let schema = Arc::new(Schema::new(fields));
        let mut batches = vec![];
        for (number, (block, rows)) in self.blocks.iter().zip(piece).enumerate() {
            let BlockRows::Column(stored) = &block.rows else { continue };
            if rows.is_empty() {
                continue;
            }
            let places = UInt64Array::from_iter_values(rows.clone().map(|row| place(number, row)));
            let mut read = columns_of(table, stored, &columns, rows.clone())?;
            read.push(Arc::new(places));
            let mut batch = RecordBatch::try_new(schema.clone(), read)?;
            if let Some(dead) = &block.dead {
                let alive: BooleanArray = rows.clone().map(|row| Some(!dead.contains(row))).collect();
                batch = filter_record_batch(&batch, &alive)?;
            }
            batches.push(batch);
        }
        if batches.iter().all(|batch| batch.num_rows() == 0) { Ok(None) } else { mem::concat(&batches).map(Some) }
    }

    /// Cuts the blocks along keys into pieces of about `piece_rows` rows; `None` when that takes no cutting, or cannot be done.
    fn pieces(&self, table: &Table, piece_rows: usize) -> Result<Option<Vec<Piece>>> {
        let rows: usize = self.blocks.iter().map(BlockSource::rows_stored).sum();
        let Some(encoder) = table.encoder.as_ref().filter(|_| rows > piece_rows) else { return Ok(None) };
        let mut stored = vec![];
        for block in &self.blocks {
            match &block.rows {
                BlockRows::Column(block) if !block.fences()?.0.is_empty() => stored.push(block.clone()),
                _ => return Ok(None),
            }
        }
        // Blocks have about as many rows each, so their first keys say how rows are spread.
        let mut keys: Vec<Box<[u8]>> = vec![];
        for block in &stored {
            keys.extend(encoder.encode_prefix(block.fences()?.0)?.iter().map(Box::from));
        }
        keys.sort_unstable();
        keys.dedup();
        let step = (keys.len() * piece_rows / rows).max(1);
        let cuts: Vec<Box<[u8]>> = keys.into_iter().step_by(step).skip(1).collect();
        let mut pieces: Vec<Piece> = vec![Piece::with_capacity(stored.len()); cuts.len() + 1];
        for block in &stored {
            let mut start = 0;
            for (piece, key) in pieces.iter_mut().zip(&cuts) {
                let end = cut(table, block, key)?;
                piece.push(start..end);
                start = end;
            }
            pieces[cuts.len()].push(start..block.rows());
        }
        Ok(Some(pieces))
    }
}

impl Blocks<'_> {
    /// Adds rows behind those of the same partition.
    fn add(&mut self, partition: Partition, mut rows: RecordBatch) -> Result<()> {
        if let Some(before) = self.rest.remove(&partition) {
            rows = mem::concat(&[before, rows])?;
        }
        let full = rows.num_rows() / BLOCK_ROWS_MAX;
        for block in 0..full {
            self.write(partition, rows.slice(block * BLOCK_ROWS_MAX, BLOCK_ROWS_MAX))?;
        }
        let left = rows.num_rows() - full * BLOCK_ROWS_MAX;
        if left > 0 {
            // A copy, that the rest does not keep all of the batch.
            self.rest.insert(partition, mem::concat(&[rows.slice(full * BLOCK_ROWS_MAX, left)])?);
        }
        Ok(())
    }

    fn write(&mut self, partition: Partition, mut rows: RecordBatch) -> Result<()> {
        let places = rows.remove_column(rows.num_columns() - 1);
        self.places.extend_from_slice(places.as_primitive::<UInt64Type>().values());
        self.sink.push(vec![RecordBatch::try_new(self.table.schema.clone(), rows.columns().to_vec())?], partition)
    }

    /// Writes what is left; the places of all rows, and where they went.
    fn finish(mut self) -> Result<(Vec<u64>, Written)> {
        let rest = std::mem::take(&mut self.rest);
        let is_alone = rest.len() == 1;
        let mut few = vec![];
        for (partition, rows) in rest {
            match is_alone || rows.num_rows() >= PARTITION_ROWS_MIN {
                true => self.write(partition, rows)?,
                false => few.push(rows),
            }
        }
        if !few.is_empty() {
            let together = Sorted::new(mem::concat(&few)?, &self.table.key)?.batch;
            for start in (0..together.num_rows()).step_by(BLOCK_ROWS_MAX) {
                let rows = (together.num_rows() - start).min(BLOCK_ROWS_MAX);
                self.write(None, together.slice(start, rows))?;
            }
        }
        // Nothing was written: no file, and nothing to be made durable.
        let written = if self.places.is_empty() { Written::default() } else { self.sink.finish()? };
        Ok((self.places, written))
    }
}

impl Rewritten {
    fn new(old: Vec<BlockSource>, places: Vec<u64>, written: Written) -> Rewritten {
        let mut first = 0;
        let starts = written.blocks.into_iter().map(|(block, rows)| {
            let start = first;
            first += rows;
            (start, block)
        });
        let new = starts.collect();
        Rewritten { segments: written.segments, old, places, new }
    }

    /// What came of no blocks.
    pub(crate) fn nothing() -> Rewritten {
        Rewritten::new(vec![], vec![], Written::default())
    }

    /// The deleted rows of a table after the new blocks have taken the place of the old ones, when they are `dead` now.
    pub(crate) fn carry_over(&self, dead: &DeadRows) -> DeadRows {
        let mut all = dead.clone();
        let mut late = HashSet::new();
        for (number, block) in self.old.iter().enumerate() {
            let Some(mask) = all.remove(block.id) else { continue };
            let known = |row: &usize| block.dead.as_ref().is_some_and(|dead: &Arc<DeadMask>| dead.contains(*row));
            late.extend(mask.iter().filter(|row| !known(row)).map(|row| (number, row)));
        }
        if late.is_empty() {
            return all;
        }
        for (row, place) in self.places.iter().enumerate() {
            let (number, old_row) = place_parts(*place);
            if late.contains(&(number, self.old[number].number(old_row)))
                && let Some((block, row)) = self.place_of(row)
            {
                all.insert(block, row);
            }
        }
        all
    }

    /// The block that row `row` in new order went to, and where in it.
    fn place_of(&self, row: usize) -> Option<(BlockId, usize)> {
        let at = self.new.partition_point(|(first, _)| *first <= row).checked_sub(1)?;
        let (first, block) = self.new[at];
        Some((block, row - first))
    }
}
