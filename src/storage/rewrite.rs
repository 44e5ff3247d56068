//! Rows on their way from some blocks to new segments, and the marks of those deleted meanwhile.
//!
//! Rows are read as they are at one moment, sorted and written. While that goes on, commits may delete some of them where they
//! are still listed. The old place of each new row is remembered, so that such marks find their rows in the new blocks.

use crate::dead::{BlockId, DeadMask, DeadRows};
use crate::error::Result;
use crate::scan::{BlockSource, Scan, ScanSource, ScanSpec, place_parts};
use crate::segment::BLOCK_ROWS_MAX;
use crate::sort::sort_by_key;
use crate::stored::StoredSegment;
use crate::table::Table;
use crate::{Timestamp, mem};
use arrow::array::{AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::UInt64Type;
use std::collections::HashSet;
use std::sync::Arc;

/// The blocks to rewrite, as they are now.
#[derive(Debug)]
pub(crate) struct Rewrite {
    blocks: Vec<BlockSource>,
}

/// The live rows of the blocks in key order, and where each one comes from.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) batch: RecordBatch,
    origin: Origins,
}

/// Where each row in new order was: a place in the blocks.
#[derive(Debug)]
struct Origins {
    blocks: Vec<BlockSource>,
    places: UInt64Array,
}

/// Segments with the rows of older blocks.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub(crate) segments: Vec<Arc<StoredSegment>>,
    origin: Option<Origins>,
}

impl Rewrite {
    /// A rewrite of `blocks`.
    pub(crate) fn new(blocks: Vec<BlockSource>) -> Rewrite {
        Rewrite { blocks }
    }

    /// Reads the rows alive; `None` when there are none.
    pub(crate) fn read(self, table: &Table) -> Result<Option<Rows>> {
        let schema = table.schema.clone();
        let projection = (0..schema.fields().len()).collect();
        let source =
            ScanSource { schema, blocks: self.blocks.clone(), snapshot: Timestamp(u64::MAX), clustered_by: None };
        let spec = ScanSpec { projection, places: true, ..ScanSpec::default() };
        let batches: Vec<RecordBatch> = Scan::plan(Arc::new(source), spec)?.reader().collect::<Result<_>>()?;
        if batches.is_empty() {
            return Ok(None);
        }
        let mut batch = sort_by_key(mem::concat(&batches)?, &table.key)?;
        let places = batch.remove_column(batch.num_columns() - 1).as_primitive::<UInt64Type>().clone();
        let batch = RecordBatch::try_new(table.schema.clone(), batch.columns().to_vec())?;
        Ok(Some(Rows { batch, origin: Origins { blocks: self.blocks, places } }))
    }
}

impl Rows {
    /// What came of the rows, cut into full blocks in order and written to `segments`.
    pub(crate) fn written(self, segments: Vec<Arc<StoredSegment>>) -> Rewritten {
        Rewritten { segments, origin: Some(self.origin) }
    }
}

impl Rewritten {
    /// What came of blocks without a live row.
    pub(crate) fn nothing(rewrite_of: Vec<BlockSource>) -> Rewritten {
        let origin = Origins { blocks: rewrite_of, places: UInt64Array::from(Vec::<u64>::new()) };
        Rewritten { segments: vec![], origin: Some(origin) }
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
        for (row, place) in origin.places.values().iter().enumerate() {
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
