//! Places of keys.

use super::cut::{columns_of, keys_of};
use super::filter::{self, KeyFilter};
use super::stored::{SEARCHES_MAX, StoredSearch, Wanted};
use crate::error::{Error, Result};
use crate::key::KeyEncoder;
use crate::layout::Layout;
use crate::scan::{BlockRows, BlockSource, place};
use crate::segment::{ColumnBlock, ZONE_ROWS};
use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::filter;
use arrow::row::{RowConverter, SortField};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// The place of the row with each key, of those that are not deleted; `keys` are the key's columns.
pub(crate) fn locate(layout: &Layout, keys: &[ArrayRef]) -> Result<Vec<Option<u64>>> {
    for (&column, key) in layout.table.key.iter().zip(keys) {
        let field = layout.table.schema.field(column);
        if field.data_type() != key.data_type() {
            let (name, wanted, is) = (field.name(), field.data_type(), key.data_type());
            return Err(Error::Unsupported(format!("key column \"{name}\" is {wanted}, not {is}")));
        }
    }
    let Some(encoder) = &layout.table.encoder else { return look_through(layout, keys) };
    let columns = encoder.columns().iter().zip(keys);
    if columns.clone().all(|(column, key)| column.nullable || key.null_count() == 0) {
        let bytes = encoder.encode_prefix(keys)?;
        return Search::new(layout, encoder, Wanted { columns: keys, bytes: &bytes }).run();
    }
    // No row has a NULL where the table can have none.
    let rows = keys.first().map_or(0, |key| key.len());
    let can_be = |row: usize| columns.clone().all(|(column, key)| column.nullable || key.is_valid(row));
    let can_be: BooleanArray = (0..rows).map(|row| Some(can_be(row))).collect();
    let some = keys.iter().map(|key| Ok(filter(key, &can_be)?)).collect::<Result<Vec<_>>>()?;
    let mut places = locate(layout, &some)?.into_iter();
    Ok(can_be.values().iter().map(|can_be| if can_be { places.next().flatten() } else { None }).collect())
}

struct Search<'a> {
    layout: &'a Layout,
    encoder: &'a KeyEncoder,
    wanted: Wanted<'a>,
    /// Numbers of the keys in key order.
    order: Vec<u32>,
    /// Those not found yet, without repetitions.
    left: Vec<u32>,
    found: Vec<Option<u64>>,
}

impl<'a> Search<'a> {
    fn new(layout: &'a Layout, encoder: &'a KeyEncoder, wanted: Wanted<'a>) -> Search<'a> {
        let bytes = wanted.bytes;
        let mut order: Vec<u32> = (0..bytes.len() as u32).collect();
        order.sort_by(|&a, &b| bytes.get(a as usize).cmp(bytes.get(b as usize)));
        let mut left = order.clone();
        left.dedup_by(|a, b| bytes.get(*a as usize) == bytes.get(*b as usize));
        Search { layout, encoder, wanted, found: vec![None; bytes.len()], order, left }
    }

    fn run(mut self) -> Result<Vec<Option<u64>>> {
        // Newest rows first: they are in memory, and the likeliest to be asked for.
        let (stored, blocks) = self.layout.block_counts()?;
        for number in (stored..blocks).rev() {
            if self.left.is_empty() {
                break;
            }
            if let Some(block) = self.layout.block(number)? {
                self.in_memory(number, &block)?;
                self.settle();
            }
        }
        if !self.left.is_empty() && stored > 0 {
            self.in_segments(stored)?;
        }
        for pair in self.order.windows(2) {
            let (before, now) = (pair[0] as usize, pair[1] as usize);
            if self.wanted.bytes.get(before) == self.wanted.bytes.get(now) {
                self.found[now] = self.found[before];
            }
        }
        Ok(self.found)
    }

    /// Forgets keys that were found.
    fn settle(&mut self) {
        self.left.retain(|&key| self.found[key as usize].is_none());
    }

    fn in_memory(&mut self, number: usize, block: &BlockSource) -> Result<()> {
        match &block.rows {
            BlockRows::Delta(rows, hidden) => {
                let Some(delta) = rows.as_delta() else { return Ok(()) };
                for &key in &self.left {
                    let bytes = self.wanted.bytes.get(key as usize);
                    let is_hidden = hidden.as_ref().is_some_and(|hidden| hidden.contains(bytes));
                    let Some(row) = delta.row(bytes).filter(|_| !is_hidden) else { continue };
                    if block.dead.as_ref().is_none_or(|dead| !dead.contains(delta.number(row))) {
                        self.found[key as usize] = Some(place(number, row));
                    }
                }
            }
            BlockRows::Mem(_) => {
                let Some(rows) = self.layout.mem_block(number)? else { return Ok(()) };
                let keys = rows.keys(&self.layout.table.key, self.encoder)?;
                for &key in &self.left {
                    let rows = keys.rows_of(self.wanted.bytes.get(key as usize));
                    if let Some(row) = rows.into_iter().find(|&row| is_alive(block, row)) {
                        self.found[key as usize] = Some(place(number, row));
                    }
                }
            }
            BlockRows::Column(_) => {}
        }
        Ok(())
    }

    fn in_segments(&mut self, stored: usize) -> Result<()> {
        let blocks = self.layout.stored_blocks()?;
        let Some(fences) = blocks.fences(self.encoder)? else {
            return (0..stored).try_for_each(|number| self.in_unsorted(number));
        };
        let mut candidates: Vec<(u32, u32)> = vec![];
        for (rank, &key) in (0u32..).zip(&self.left) {
            let around = fences.around(self.wanted.bytes.get(key as usize));
            candidates.extend(around.map(|block| (block as u32, rank)));
        }
        candidates.sort_unstable();
        // A key is in one block at most. With several that may have it, it is worth knowing which have not.
        let hashes: Vec<u64> = match candidates.len() > self.left.len() {
            true => self.wanted.bytes.iter().map(filter::hash).collect(),
            false => Vec::new(),
        };
        for of_block in candidates.chunk_by(|a, b| a.0 == b.0) {
            let number = of_block[0].0 as usize;
            let keys = of_block.iter().map(|(_, rank)| self.left[*rank as usize]);
            let keys: Vec<u32> = keys.filter(|&key| self.found[key as usize].is_none()).collect();
            let Some(block) = self.layout.block(number)?.filter(|_| !keys.is_empty()) else { continue };
            let BlockRows::Column(column_block) = &block.rows else { continue };
            let mut search = StoredSearch::new(column_block, &self.layout.table, self.encoder)?;
            let mut keys = search.within_bounds(self.wanted, &keys);
            if !hashes.is_empty() && keys.len() > SEARCHES_MAX {
                let filter = column_block.key_filter(|| self.filter_of(column_block))?;
                keys = Cow::Owned(keys.iter().copied().filter(|&key| filter.may_have(hashes[key as usize])).collect());
            }
            search.find(self.wanted, &keys, |key, row| {
                if is_alive(&block, row) {
                    self.found[key as usize] = Some(place(number, row));
                }
            })?;
        }
        Ok(())
    }

    fn filter_of(&self, block: &Arc<ColumnBlock>) -> Result<KeyFilter> {
        let mut filter = KeyFilter::with_capacity(block.rows());
        for start in (0..block.rows()).step_by(ZONE_ROWS) {
            filter.extend(&keys_of(&self.layout.table, block, start..(start + ZONE_ROWS).min(block.rows()))?);
        }
        Ok(filter)
    }

    /// Compares the keys of all rows of a block of a segment that knows no order.
    fn in_unsorted(&mut self, number: usize) -> Result<()> {
        let Some(block) = self.layout.block(number)?.filter(|_| !self.left.is_empty()) else { return Ok(()) };
        let keys = self.encoder.encode_prefix(&key_columns(self.layout, &block)?)?;
        let bytes = self.wanted.bytes;
        let by_bytes: HashMap<&[u8], u32> = self.left.iter().map(|&key| (bytes.get(key as usize), key)).collect();
        for (row, key) in keys.iter().enumerate() {
            if let Some(&wanted) = by_bytes.get(key)
                && is_alive(&block, row)
            {
                self.found[wanted as usize] = Some(place(number, row));
            }
        }
        self.settle();
        Ok(())
    }
}

/// Looks through all rows.
fn look_through(layout: &Layout, keys: &[ArrayRef]) -> Result<Vec<Option<u64>>> {
    let types = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
    let converter = RowConverter::new(types)?;
    let wanted = converter.convert_columns(keys)?;
    let mut by_bytes: HashMap<&[u8], Vec<usize>> = HashMap::with_capacity(wanted.num_rows());
    for (number, row) in wanted.iter().enumerate() {
        by_bytes.entry(row.data()).or_default().push(number);
    }
    let mut found = vec![None; wanted.num_rows()];
    let (_, blocks) = layout.block_counts()?;
    for number in 0..blocks {
        let Some(block) = layout.block(number)? else { continue };
        let rows = converter.convert_columns(&key_columns(layout, &block)?)?;
        for (row, bytes) in rows.iter().enumerate() {
            if let Some(wanted) = by_bytes.get(bytes.data())
                && is_alive(&block, row)
            {
                wanted.iter().for_each(|&key| found[key] = Some(place(number, row)));
            }
        }
    }
    Ok(found)
}

/// The key's columns of all rows of a block.
fn key_columns(layout: &Layout, block: &BlockSource) -> Result<Vec<ArrayRef>> {
    let of_batch = |batch: &arrow::array::RecordBatch| {
        layout.table.key.iter().map(|&column| batch.column(column).clone()).collect::<Vec<_>>()
    };
    match &block.rows {
        BlockRows::Mem(batch) => Ok(of_batch(batch)),
        BlockRows::Delta(block, _) => Ok(of_batch(block.batch())),
        BlockRows::Column(stored) => columns_of(&layout.table, stored, &layout.table.key, 0..stored.rows()),
    }
}

/// Whether a row of a block, by number or by name, is not deleted.
pub(super) fn is_alive(block: &BlockSource, row: usize) -> bool {
    block.dead.as_ref().is_none_or(|dead| !dead.contains(row))
}
