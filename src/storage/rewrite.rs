//! Rows on their way from some blocks to new segments, and the marks of those deleted meanwhile.
//!
//! Rows are read as they are at one moment, sorted and written. While that goes on, commits may delete some of them where they
//! are still listed. The old place of each new row is remembered, so that such marks find their rows in the new blocks.
//!
//! Sorted blocks are cut along keys into pieces, so that runs of any size are merged in little memory.

use crate::budget::Reservation;
use crate::dead::{BlockId, DeadMask, DeadRows};
use crate::error::Result;
use crate::lookup::{columns_of, cut};
use crate::scan::{BlockRows, BlockSource, Scan, ScanSource, ScanSpec, place, place_parts};
use crate::segment::BLOCK_ROWS_MAX;
use crate::sort::sort_by_key;
use crate::stored::StoredSegment;
use crate::table::Table;
use crate::{Timestamp, mem};
use arrow::array::{AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// The blocks to rewrite, as they are now.
#[derive(Debug)]
pub(crate) struct Rewrite {
    blocks: Vec<BlockSource>,
}

/// Where each row in new order was: a place in the blocks.
#[derive(Debug)]
pub(crate) struct Origins {
    blocks: Vec<BlockSource>,
    places: Vec<u64>,
}

/// Segments with the rows of older blocks.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub(crate) segments: Vec<Arc<StoredSegment>>,
    origin: Option<Origins>,
}

/// Rows of blocks that are read together: those of one range of keys, as a range of rows in each block.
type Piece = Vec<Range<usize>>;

impl Rewrite {
    /// A rewrite of `blocks`.
    pub(crate) fn new(blocks: Vec<BlockSource>) -> Rewrite {
        Rewrite { blocks }
    }

    /// Gives the rows alive to `write` in key order, as batches that are full blocks but for the last one. Where blocks are sorted, about
    /// `piece_rows` rows are held at a time, paid from `account`.
    pub(crate) fn run(
        self,
        table: &Table,
        piece_rows: usize,
        account: &Reservation,
        mut write: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<Origins> {
        let (mut places, mut rest) = (vec![], None::<RecordBatch>);
        let pieces = self.pieces(table, piece_rows)?;
        let last = pieces.as_ref().map_or(0, |pieces| pieces.len().saturating_sub(1));
        for number in 0..=last {
            let batch = match &pieces {
                Some(pieces) => self.read_piece(table, &pieces[number])?,
                None => self.read_all(table)?,
            };
            let Some(mut batch) = batch else { continue };
            let bytes = mem::batch_bytes(&batch);
            account.grow(bytes);
            batch = sort_by_key(batch, &table.key)?;
            let of_batch = batch.remove_column(batch.num_columns() - 1);
            places.extend_from_slice(of_batch.as_primitive::<UInt64Type>().values());
            batch = RecordBatch::try_new(table.schema.clone(), batch.columns().to_vec())?;
            if let Some(before) = rest.take() {
                batch = mem::concat(&[before, batch])?;
            }
            let full = batch.num_rows() / BLOCK_ROWS_MAX;
            (0..full).try_for_each(|block| write(batch.slice(block * BLOCK_ROWS_MAX, BLOCK_ROWS_MAX)))?;
            let left = batch.num_rows() - full * BLOCK_ROWS_MAX;
            // A copy, that the rest does not keep all of the batch.
            rest = (left > 0).then(|| mem::concat(&[batch.slice(full * BLOCK_ROWS_MAX, left)])).transpose()?;
            account.shrink(bytes);
        }
        rest.map_or(Ok(()), write)?;
        Ok(Origins { blocks: self.blocks, places })
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

impl Origins {
    /// Whether there is no row alive.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// What came of the rows, cut into full blocks in order and written to `segments`.
    pub(crate) fn written(self, segments: Vec<Arc<StoredSegment>>) -> Rewritten {
        Rewritten { segments, origin: Some(self) }
    }
}

impl Rewritten {
    /// What came of blocks without a live row.
    pub(crate) fn nothing(rewrite_of: Vec<BlockSource>) -> Rewritten {
        Origins { blocks: rewrite_of, places: vec![] }.written(vec![])
    }

    /// The deleted rows of a table after the new blocks have taken the place of the old ones, when they are `dead` now.
    pub(crate) fn carry_over(&self, dead: &DeadRows) -> DeadRows {
        let mut all = dead.clone();
        let Some(origin) = &self.origin else { return all };
        let mut late = HashSet::new();
        for (number, block) in origin.blocks.iter().enumerate() {
            let Some(mask) = all.remove(block.id) else { continue };
            let known = |row: &usize| block.dead.as_ref().is_some_and(|dead: &Arc<DeadMask>| dead.contains(*row));
            late.extend(mask.iter().filter(|row| !known(row)).map(|row| (number, row)));
        }
        if late.is_empty() {
            return all;
        }
        for (row, place) in origin.places.iter().enumerate() {
            let (number, old_row) = place_parts(*place);
            if late.contains(&(number, origin.blocks[number].number(old_row)))
                && let Some((block, row)) = self.place_of(row)
            {
                all.insert(block, row);
            }
        }
        all
    }

    /// The block and row that row `row` in key order went to: all blocks but the last are full.
    fn place_of(&self, mut row: usize) -> Option<(BlockId, usize)> {
        for stored in &self.segments {
            let rows = stored.reference.rows as usize;
            if row < rows {
                let block = BlockId::Stored(stored.reference.id, (row / BLOCK_ROWS_MAX) as u32);
                return Some((block, row % BLOCK_ROWS_MAX));
            }
            row -= rows;
        }
        None
    }
}
