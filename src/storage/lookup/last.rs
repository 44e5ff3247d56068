//! The last row of each group: of keys that are alike but for their last column.
//!
//! "The newest value of each series" is the end of each run of keys (series, time) in every block, and the greatest of these ends. In a sorted
//! block the runs are found from the last one back, each by one binary search for where its first columns begin; the ends of a block never
//! change and are kept in the page cache ([`Tails`]). So the question costs as much as there are groups in blocks, not rows.

use super::cut::{cut, keys_of};
use super::locate::is_alive;
use crate::delta::DeltaBlock;
use crate::error::Result;
use crate::ids::TableId;
use crate::key::{KeyEncoder, KeyRange};
use crate::layout::Layout;
use crate::scan::{BlockRows, BlockSource, place};
use crate::segment::ColumnBlock;
use crate::snapshot::Snapshot;
use arrow::array::UInt64Array;
use std::collections::HashMap;
use std::sync::Arc;

/// With more groups in a block its rows are better read.
const GROUPS_MAX: usize = 2048;
/// Groups of all blocks that are looked at.
const LOOKED_AT_MAX: usize = 1 << 18;

/// The last key of each group in a sorted block, and its row; both ascend.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    rows: Vec<u32>,
    /// Whether there are too many groups, and none is listed.
    is_refused: bool,
}

impl Tails {
    /// Finds the ends of the groups in a block.
    pub(crate) fn find(layout: &Layout, encoder: &KeyEncoder, block: &Arc<ColumnBlock>) -> Result<Tails> {
        let columns = encoder.columns().len() - 1;
        let mut found: Vec<(Vec<u8>, u32)> = vec![];
        let mut end = block.rows();
        while end > 0 {
            if found.len() == GROUPS_MAX {
                return Ok(Tails { is_refused: true, ..Tails::default() });
            }
            let key = keys_of(&layout.table, block, end - 1..end)?.get(0).to_vec();
            let group = encoder.prefix_bytes(&key, columns)?;
            let start = cut(&layout.table, block, &key[..group])?;
            found.push((key, end as u32 - 1));
            // A cut before the end is what order promises; without it this would not end.
            end = start.min(end - 1);
        }
        let mut tails = Tails::default();
        for (key, row) in found.into_iter().rev() {
            tails.bytes.extend(key);
            tails.ends.push(tails.bytes.len() as u32);
            tails.rows.push(row);
        }
        Ok(tails)
    }

    /// Bytes of memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + 4 * (self.ends.capacity() + self.rows.capacity()) + size_of::<Tails>()
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn key(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.bytes[start..self.ends[at] as usize]
    }

    /// The rows of a group.
    fn group(&self, at: usize) -> std::ops::Range<usize> {
        let start = at.checked_sub(1).map_or(0, |before| self.rows[before] as usize + 1);
        start..self.rows[at] as usize + 1
    }
}

impl Snapshot {
    /// The places of the rows with the greatest key of each group of keys that are alike but for the last column. `None` when the table's key
    /// has one column or no order, or when there are so many groups that a scan does better.
    pub fn last_of_each(&self, table: TableId) -> Result<Option<UInt64Array>> {
        let layout = self.version().layout(table)?;
        let is_keyed = !layout.table.has_row_numbers() && layout.table.key.len() > 1;
        let Some(encoder) = layout.table.encoder.as_ref().filter(|_| is_keyed) else { return Ok(None) };
        Last { layout, encoder, best: HashMap::new(), looked_at: 0 }.run()
    }
}

/// What the greatest key of a group has beyond the group's own bytes, and its place.
type Greatest = (Box<[u8]>, u64);

/// The greatest keys so far.
struct Last<'a> {
    layout: &'a Layout,
    encoder: &'a KeyEncoder,
    /// By the bytes of a group.
    best: HashMap<Box<[u8]>, Greatest>,
    looked_at: usize,
}

impl Last<'_> {
    fn run(mut self) -> Result<Option<UInt64Array>> {
        let (stored, blocks) = self.layout.block_counts()?;
        if stored > 0 && self.layout.stored_blocks()?.fences(self.encoder)?.is_none() {
            return Ok(None);
        }
        for number in (0..blocks).rev() {
            let Some(block) = self.layout.block(number)? else { continue };
            let is_done = match &block.rows {
                BlockRows::Column(column_block) => self.in_segment(number, &block, column_block)?,
                BlockRows::Delta(rows, _) => match rows.as_delta() {
                    Some(delta) => self.in_delta(number, &block, delta)?,
                    None => false,
                },
                BlockRows::Mem(_) => self.in_memory(number, &block)?,
            };
            if !is_done {
                return Ok(None);
            }
        }
        let mut places: Vec<u64> = self.best.into_values().map(|(_, place)| place).collect();
        places.sort_unstable();
        Ok(Some(places.into()))
    }

    /// Notes a group; false when there have been too many.
    fn look(&mut self) -> bool {
        self.looked_at += 1;
        self.looked_at <= LOOKED_AT_MAX
    }

    fn group_of<'k>(&self, key: &'k [u8]) -> Result<(&'k [u8], &'k [u8])> {
        Ok(key.split_at(self.encoder.prefix_bytes(key, self.encoder.columns().len() - 1)?))
    }

    /// Whether a key is greater than the greatest of its group so far.
    fn is_greater(&self, key: &[u8]) -> Result<bool> {
        let (group, rest) = self.group_of(key)?;
        Ok(self.best.get(group).is_none_or(|(best, _)| rest > best.as_ref()))
    }

    fn take(&mut self, key: &[u8], place: u64) -> Result<()> {
        let (group, rest) = self.group_of(key)?;
        match self.best.get_mut(group) {
            Some((best, at)) if rest > best.as_ref() => (*best, *at) = (rest.into(), place),
            Some(_) => {}
            None => drop(self.best.insert(group.into(), (rest.into(), place))),
        }
        Ok(())
    }

    fn in_segment(&mut self, number: usize, block: &BlockSource, column_block: &Arc<ColumnBlock>) -> Result<bool> {
        let tails = column_block.tails(|| Tails::find(self.layout, self.encoder, column_block))?;
        if tails.is_refused {
            return Ok(false);
        }
        for at in 0..tails.len() {
            if !self.look() {
                return Ok(false);
            }
            // A row before the end of its group has a lesser key.
            if !self.is_greater(tails.key(at))? {
                continue;
            }
            let rows = tails.group(at);
            let Some(row) = rows.clone().rev().find(|row| is_alive(block, *row)) else { continue };
            match row + 1 == rows.end {
                true => self.take(tails.key(at), place(number, row))?,
                false => {
                    let key = keys_of(&self.layout.table, column_block, row..row + 1)?;
                    self.take(key.get(0), place(number, row))?;
                }
            }
        }
        Ok(true)
    }

    fn in_memory(&mut self, number: usize, block: &BlockSource) -> Result<bool> {
        let Some(rows) = self.layout.mem_block(number)? else { return Ok(true) };
        let keys = rows.keys(&self.layout.table.key, self.encoder)?;
        let mut end = keys.range(&KeyRange::all()).end;
        while end > 0 {
            if !self.look() {
                return Ok(false);
            }
            let (group, _) = self.group_of(keys.at(end - 1).0)?;
            let start = keys.range(&KeyRange { start: group.to_vec(), end: None }).start.min(end - 1);
            let alive = (start..end).rev().map(|at| keys.at(at)).find(|(_, row)| is_alive(block, *row));
            if let Some((key, row)) = alive {
                self.take(key, place(number, row))?;
            }
            end = start;
        }
        Ok(true)
    }

    fn in_delta(&mut self, number: usize, block: &BlockSource, delta: &DeltaBlock) -> Result<bool> {
        let hidden = match &block.rows {
            BlockRows::Delta(_, hidden) => hidden.as_deref(),
            _ => None,
        };
        let mut range = KeyRange::all();
        while let Some(key) = delta.keys_in(&range, 1, true, hidden).pop() {
            if !self.look() {
                return Ok(false);
            }
            let row = delta.row(&key);
            let alive = row.filter(|row| block.dead.as_ref().is_none_or(|dead| !dead.contains(delta.number(*row))));
            range.end = Some(match alive {
                Some(row) => {
                    self.take(&key, place(number, row))?;
                    self.group_of(&key)?.0.to_vec()
                }
                None => key.to_vec(),
            });
        }
        Ok(true)
    }
}
