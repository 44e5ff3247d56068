//! Which rows two snapshots have at the same place, and which only one of them has there.
//!
//! Whoever keeps something about rows by their places (an adjacency index, say) can follow a table from snapshot to snapshot with this, as long as few
//! blocks are other ones. A row that the background moved is gone from one place and new at another; unlike [`Snapshot::changes`] nothing is read to
//! find out that it is the same.

use crate::changes::{BlockIdentity, Blocks, all_blocks, newly_dead, only};
use crate::error::Result;
use crate::ids::TableId;
use crate::layout::Layout;
use crate::scan::{BlockSource, Scan, ScanSource, ScanSpec, place, place_parts};
use crate::snapshot::Snapshot;
use arrow::array::{AsArray, UInt64Array};
use arrow::datatypes::UInt64Type;
use std::collections::HashMap;
use std::sync::Arc;

/// Places of rows that one of two snapshots does not have in the same block; both ascend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Places of the older snapshot.
    pub gone: Vec<u64>,
    /// Places of the newer one.
    pub new: Vec<u64>,
}

impl Snapshot {
    /// The rows of `table` that are not in the same place as in the snapshot `since`. `None` when more than `rows_max` rows may have moved, or when
    /// there was no such table; `UnknownTable` if there is none now.
    pub fn moves(&self, table: TableId, since: &Snapshot, rows_max: u64) -> Result<Option<Moves>> {
        let new = self.version().layout(table)?;
        let Ok(old) = since.version().layout(table) else { return Ok(None) };
        if Arc::ptr_eq(old, new) {
            return Ok(Some(Moves::default()));
        }
        let (old_blocks, new_blocks) = (all_blocks(old)?, all_blocks(new)?);
        let (old_only, new_only) = (only(&old_blocks, &new_blocks), only(&new_blocks, &old_blocks));
        let rows = |blocks: &Blocks| blocks.iter().map(|(_, block)| block.row_count() as u64).sum::<u64>();
        if rows(&old_only).max(rows(&new_only)) > rows_max {
            return Ok(None);
        }
        let gone = [newly_dead(&old_blocks, &new_blocks), alive(old, old_only)?].concat();
        let added = [newly_dead(&new_blocks, &old_blocks), alive(new, new_only)?].concat();
        if gone.len().max(added.len()) as u64 > rows_max {
            return Ok(None);
        }
        let mut moves = Moves { gone, new: added };
        moves.gone.sort_unstable();
        moves.new.sort_unstable();
        Ok(Some(moves))
    }

    /// Whether both snapshots have the very same rows of a table, each in the same place.
    pub fn has_same_rows(&self, table: TableId, other: &Snapshot) -> bool {
        let layouts = (self.version().layout(table), other.version().layout(table));
        matches!(layouts, (Ok(mine), Ok(theirs)) if Arc::ptr_eq(mine, theirs))
    }

    /// The places that rows at `places` of this snapshot have in `other`; NULL where that has not the same block. Whether the row is alive there is not
    /// looked at.
    pub fn places_in(&self, table: TableId, other: &Snapshot, places: &UInt64Array) -> Result<UInt64Array> {
        let (mine, theirs) = (self.version().layout(table)?, other.version().layout(table)?);
        if Arc::ptr_eq(mine, theirs) {
            return Ok(places.clone());
        }
        let numbers = all_blocks(theirs)?;
        let numbers: HashMap<BlockIdentity, usize> =
            numbers.iter().map(|(number, block)| (BlockIdentity::of(block), *number)).collect();
        let mine = all_blocks(mine)?;
        let translated = mine.iter().filter_map(|(n, block)| Some((*n, *numbers.get(&BlockIdentity::of(block))?)));
        let translated: HashMap<usize, usize> = translated.collect();
        let place_of = |at: &u64| {
            let (block, row) = place_parts(*at);
            translated.get(&block).map(|block| place(*block, row))
        };
        Ok(places.values().iter().map(place_of).collect())
    }
}

/// Places of the rows alive in some blocks of a layout.
fn alive(layout: &Layout, blocks: Blocks) -> Result<Vec<u64>> {
    let (numbers, blocks): (Vec<usize>, Vec<BlockSource>) = blocks.into_iter().unzip();
    let (schema, snapshot) = (layout.table.schema.clone(), crate::ids::Timestamp(u64::MAX));
    let source = ScanSource { schema, blocks, snapshot, clustered_by: None };
    let spec = ScanSpec { places: true, ..ScanSpec::default() };
    let mut places = vec![];
    for batch in Scan::plan(Arc::new(source), spec)?.reader() {
        let batch = batch?;
        let found = batch.column(batch.num_columns() - 1).as_primitive::<UInt64Type>().values();
        places.extend(found.iter().map(|at| {
            let (block, row) = place_parts(*at);
            place(numbers[block], row)
        }));
    }
    Ok(places)
}
