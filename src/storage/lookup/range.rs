//! Rows by a range of keys, in key order if wanted.
//!
//! Each block that overlaps the range has a run of rows in it, found by binary search: what is in the range is counted without reading it. The
//! first rows in key order are among the first of each run, so few rows of each are read, and none of a run that begins behind enough
//! others.

use super::cut::{cut, keys_of};
use super::locate::is_alive;
use crate::error::Result;
use crate::key::KeyRange;
use crate::layout::Layout;
use crate::predicate::Predicate;
use crate::scan::{BlockRows, BlockSource, place};
use crate::segment::{ColumnBlock, ZONE_ROWS};
use crate::snapshot::Snapshot;
use arrow::array::UInt64Array;
use std::ops::Range;
use std::sync::Arc;

/// Keys of a delta tree looked at to count them.
const COUNTED_KEYS: usize = 1024;
/// Rows decoded at a time at least.
const STEP_ROWS: usize = 64;

/// The rows of one table whose keys lie in a range.
#[derive(Debug)]
pub struct KeyRows {
    layout: Arc<Layout>,
    range: KeyRange,
    runs: Vec<Run>,
}

/// Rows of one block, one after the other in key order.
#[derive(Debug)]
struct Run {
    /// Number of the block.
    block: usize,
    /// Rows of a block of a segment, places in the sorted order of one in memory; nothing for a delta tree.
    rows: Range<usize>,
    /// Upper bound for how many there are.
    rows_max: usize,
}

/// A key and the place of its row.
type Keyed = (Box<[u8]>, u64);

impl Snapshot {
    /// The rows that conditions on the first key columns leave: a range of keys that has all rows of `table` which satisfy `predicates`, and
    /// others, too. `None` when the keys of the table have no order, or rows are stored in none.
    pub fn key_rows(&self, table: crate::ids::TableId, predicates: &[Predicate]) -> Result<Option<KeyRows>> {
        let layout = self.version().layout(table)?;
        let Some(encoder) = layout.table.encoder.as_ref().filter(|_| !layout.table.has_row_numbers()) else {
            return Ok(None);
        };
        let range = layout.table.key_range(predicates)?;
        let mut runs = vec![];
        let (stored, blocks) = layout.block_counts()?;
        if stored > 0 && !range.is_empty() {
            let blocks = layout.stored_blocks()?;
            let Some(fences) = blocks.fences(encoder)? else { return Ok(None) };
            for block in fences.overlapping(&range) {
                let column_block = &blocks.blocks[block];
                let (first, last) = fences.of_block(block);
                let start =
                    if first >= range.start.as_slice() { 0 } else { cut(&layout.table, column_block, &range.start)? };
                let end = match &range.end {
                    Some(end) if end.as_slice() <= last => cut(&layout.table, column_block, end)?,
                    _ => column_block.rows(),
                };
                runs.push(Run { block, rows: start..end, rows_max: end.saturating_sub(start) });
            }
        }
        for block in stored..blocks {
            let Some(rows) = layout.mem_block(block)?.filter(|_| !range.is_empty()) else { continue };
            let run = match rows.as_delta() {
                Some(delta) => {
                    let counted = delta.keys_in(&range, COUNTED_KEYS, false, None).len();
                    let rows_max = if counted < COUNTED_KEYS { counted } else { delta.rows() };
                    Run { block, rows: 0..0, rows_max }
                }
                None => {
                    let rows = rows.keys(&layout.table.key, encoder)?.range(&range);
                    Run { block, rows_max: rows.len(), rows }
                }
            };
            runs.push(run);
        }
        runs.retain(|run| run.rows_max > 0);
        Ok(Some(KeyRows { layout: layout.clone(), range, runs }))
    }
}

impl KeyRows {
    /// An upper bound for the number of rows.
    pub fn rows_max(&self) -> u64 {
        self.runs.iter().map(|run| run.rows_max as u64).sum()
    }

    /// Whether the conditions leave all keys of the table.
    pub fn is_whole_table(&self) -> bool {
        self.range == KeyRange::all()
    }

    /// Whether both are of one range of keys.
    pub fn has_same_range(&self, other: &KeyRows) -> bool {
        self.range == other.range
    }

    /// The places of all rows, by block.
    pub fn places(&self) -> Result<UInt64Array> {
        let mut places = vec![];
        for run in &self.runs {
            let Some(block) = self.layout.block(run.block)? else { continue };
            match &block.rows {
                BlockRows::Column(_) => {
                    let rows = run.rows.clone().filter(|&row| is_alive(&block, row));
                    places.extend(rows.map(|row| place(run.block, row)));
                }
                _ => places.extend(self.in_memory(run, &block, usize::MAX, false)?.into_iter().map(|(_, place)| place)),
            }
        }
        Ok(UInt64Array::from(places))
    }

    /// The places of the first `limit` rows in key order, or of the last ones, last first.
    pub fn first(&self, limit: usize, descending: bool) -> Result<UInt64Array> {
        let mut best: Vec<Keyed> = vec![];
        let order = |a: &Keyed, b: &Keyed| if descending { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) };
        let (stored, _) = self.layout.block_counts()?;
        let encoder = self.layout.table.encoder.as_ref();
        let fences = match encoder {
            Some(encoder) if stored > 0 => self.layout.stored_blocks()?.fences(encoder)?,
            _ => None,
        };
        // Runs in memory, then those of segments by where they begin.
        let mut runs: Vec<(&Run, Option<&[u8]>)> = vec![];
        for run in &self.runs {
            let fence = fences.as_ref().filter(|_| run.block < stored).map(|fences| fences.of_block(run.block));
            runs.push((run, fence.map(|(first, last)| if descending { last } else { first })));
        }
        runs.sort_by(|(_, a), (_, b)| match (a, b) {
            (Some(a), Some(b)) if descending => b.cmp(a),
            (a, b) => a.cmp(b),
        });
        for (run, fence) in runs {
            if let (Some(fence), Some((worst, _))) = (fence, best.get(limit.wrapping_sub(1))) {
                let is_behind = if descending { fence < worst.as_ref() } else { fence > worst.as_ref() };
                if is_behind {
                    continue;
                }
            }
            let Some(block) = self.layout.block(run.block)? else { continue };
            best.extend(match &block.rows {
                BlockRows::Column(column_block) => self.in_segment(run, &block, column_block, limit, descending)?,
                _ => self.in_memory(run, &block, limit, descending)?,
            });
            best.sort_by(order);
            best.truncate(limit);
        }
        Ok(best.into_iter().map(|(_, place)| place).collect::<Vec<_>>().into())
    }

    /// The first or last rows of a run in memory.
    fn in_memory(&self, run: &Run, block: &BlockSource, limit: usize, descending: bool) -> Result<Vec<Keyed>> {
        let Some(rows) = self.layout.mem_block(run.block)? else { return Ok(vec![]) };
        if let (Some(delta), BlockRows::Delta(_, hidden)) = (rows.as_delta(), &block.rows) {
            // Rows deleted beside the tree are few: those of transactions since it was sealed.
            let dead = block.dead.as_ref().map_or(0, |dead| dead.count());
            let keys = delta.keys_in(&self.range, limit.saturating_add(dead), descending, hidden.as_deref());
            let row = |key: Box<[u8]>| delta.row(&key).map(|row| (key, row));
            let alive = keys
                .into_iter()
                .filter_map(row)
                .filter(|(_, row)| block.dead.as_ref().is_none_or(|dead| !dead.contains(delta.number(*row))));
            return Ok(alive.take(limit).map(|(key, row)| (key, place(run.block, row))).collect());
        }
        let Some(encoder) = &self.layout.table.encoder else { return Ok(vec![]) };
        let keys = rows.keys(&self.layout.table.key, encoder)?;
        let keyed = |at: usize| {
            let (key, row) = keys.at(at);
            is_alive(block, row).then(|| (Box::from(key), place(run.block, row)))
        };
        Ok(match descending {
            false => run.rows.clone().filter_map(keyed).take(limit).collect(),
            true => run.rows.clone().rev().filter_map(keyed).take(limit).collect(),
        })
    }

    /// The first or last rows of a run in a segment.
    fn in_segment(
        &self,
        run: &Run,
        block: &BlockSource,
        column_block: &Arc<ColumnBlock>,
        limit: usize,
        descending: bool,
    ) -> Result<Vec<Keyed>> {
        let (mut found, mut left) = (vec![], run.rows.clone());
        while !left.is_empty() && found.len() < limit {
            let step = (limit - found.len()).clamp(STEP_ROWS, ZONE_ROWS).min(left.len());
            let rows = if descending { left.end - step..left.end } else { left.start..left.start + step };
            left = if descending { left.start..rows.start } else { rows.end..left.end };
            let keys = keys_of(&self.layout.table, column_block, rows.clone())?;
            let keyed = |row: usize| {
                let key = || (Box::from(keys.get(row - rows.start)), place(run.block, row));
                is_alive(block, row).then(key)
            };
            let most = limit - found.len();
            match descending {
                false => found.extend(rows.clone().filter_map(keyed).take(most)),
                true => found.extend(rows.clone().rev().filter_map(keyed).take(most)),
            }
        }
        Ok(found)
    }
}
