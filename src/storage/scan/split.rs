//! Cutting a clustered scan into ranges of its first key column.
//!
//! A boundary is first guessed at a zone so that parts hold about equal numbers of rows that are left after pruning.
//! The key value of that zone's first row begins the part; rows before it that have the same value belong to it, too,
//! so the boundary moves back to the first of them, found by binary search over the first rows of zones and then within
//! one zone.

use super::plan::{Plan, Position, RowRange, Scan};
use super::source::{BlockRows, ScanSource};
use crate::codec::ColumnBuilder;
use crate::error::Result;
use crate::segment::{ChunkPlace, ZONE_ROWS, compare};
use arrow::array::{Array, ArrayRef};
use std::cmp::Ordering;

/// The parts of a scan, and the first key value of each but the first.
type Parts = (Vec<Scan>, Vec<ArrayRef>);

/// See [`Scan::split_by_key`].
pub(super) fn split_by_key(plan: &Plan, parts: usize) -> Result<Option<Parts>> {
    let Some(key) = plan.source.clustered_by else { return Ok(None) };
    let in_memory = |block: &super::source::BlockSource| !matches!(block.rows, BlockRows::Column(_));
    if parts < 2 || plan.source.blocks.iter().any(in_memory) {
        return Ok(None);
    }
    let keys = Keys { source: &plan.source, key };
    let mut starts: Vec<(Position, ArrayRef)> = Vec::new();
    for guess in guesses(plan, parts) {
        let Some(value) = keys.value(guess)? else { continue };
        let first = keys.first_at_or_after(&value, plan.rows.start, guess)?;
        let previous = starts.last().map_or(plan.rows.start, |(position, _)| *position);
        if first > previous {
            starts.push((first, value));
        }
    }
    if starts.is_empty() {
        return Ok(None);
    }
    let (positions, values): (Vec<Position>, Vec<ArrayRef>) = starts.into_iter().unzip();
    let scans = ranges(&plan.rows, &positions)
        .map(|range| Scan::plan_range(plan.source.clone(), plan.spec.clone(), range))
        .collect::<Result<Vec<_>>>()?;
    Ok(Some((scans, values)))
}

/// The ranges between `rows.start`, the boundaries and `rows.end`.
fn ranges<'a>(rows: &'a RowRange, boundaries: &'a [Position]) -> impl Iterator<Item = RowRange> + 'a {
    let starts = std::iter::once(rows.start).chain(boundaries.iter().copied());
    starts.zip(boundaries.iter().copied().chain(std::iter::once(rows.end))).map(|(start, end)| start..end)
}

/// Beginnings of zones that cut the rows left into about equal parts.
fn guesses(plan: &Plan, parts: usize) -> Vec<Position> {
    let total = plan.row_count();
    let mut guesses = Vec::with_capacity(parts - 1);
    let mut before = 0;
    for morsel in &plan.morsels {
        for (_, rows) in morsel.zones() {
            let due = total * (guesses.len() + 1) / parts;
            if guesses.len() + 1 < parts && before > 0 && before + rows.len() / 2 >= due {
                guesses.push(Position { block: morsel.block, row: rows.start });
            }
            before += rows.len();
        }
    }
    guesses
}

/// The first key column of a clustered source.
struct Keys<'a> {
    source: &'a ScanSource,
    key: usize,
}

impl Keys<'_> {
    /// The key at a position; `None` when it is NULL.
    fn value(&self, at: Position) -> Result<Option<ArrayRef>> {
        let BlockRows::Column(block) = &self.source.blocks[at.block].rows else { return Ok(None) };
        let footer = block.footer()?;
        let mut out = ColumnBuilder::new(self.source.schema.field(self.key).data_type(), 1);
        block.chunk(&footer, ChunkPlace::Column(self.key))?.value(at.row, &mut out)?;
        let value = out.finish()?;
        Ok(value.is_valid(0).then_some(value))
    }

    /// Whether the key at a position is below `value`. NULLs come last.
    fn is_below(&self, at: Position, value: &ArrayRef) -> Result<bool> {
        Ok(self.value(at)?.is_some_and(|key| compare(&key, value) == Some(Ordering::Less)))
    }

    /// The first position from `start` on whose key is not below `value`; `end` is one.
    fn first_at_or_after(&self, value: &ArrayRef, start: Position, end: Position) -> Result<Position> {
        let zones = self.zone_starts(start, end);
        let (mut low, mut high) = (0, zones.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.is_below(zones[middle], value)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(zone) = low.checked_sub(1).map(|index| zones[index]) else { return Ok(start) };
        let rows = self.source.blocks[zone.block].row_count();
        let (mut low, mut high) = (zone.row + 1, rows.min((zone.row / ZONE_ROWS + 1) * ZONE_ROWS));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.is_below(Position { block: zone.block, row: middle }, value)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let found = if low < rows { Position { row: low, ..zone } } else { Position { block: zone.block + 1, row: 0 } };
        Ok(found.min(end))
    }

    /// First rows of the zones from `start` to before `end`.
    fn zone_starts(&self, start: Position, end: Position) -> Vec<Position> {
        let blocks = start.block..(end.block + 1).min(self.source.blocks.len());
        let zones = blocks.flat_map(|block| {
            let rows = self.source.blocks[block].row_count();
            (0..rows).step_by(ZONE_ROWS).map(move |row| Position { block, row })
        });
        let aligned = Position { row: start.row - start.row % ZONE_ROWS, ..start };
        zones.filter(|zone| *zone >= aligned && *zone < end).map(|zone| zone.max(start)).collect()
    }
}
