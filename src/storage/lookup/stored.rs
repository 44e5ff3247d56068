//! Keys in a block of a segment.

use super::value::KeyValue;
use crate::codec::{ColumnBuilder, Integers, Native, Physical, integer_at, integers};
use crate::error::Result;
use crate::key::{EncodedKeys, KeyEncoder};
use crate::segment::{ChunkPlace, ChunkReader, ColumnBlock, ZONE_ROWS};
use crate::table::Table;
use arrow::array::{Array, ArrayRef};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

/// With no more wanted keys in a zone, they are searched for one by one.
pub(super) const SEARCHES_MAX: usize = 24;

/// Wanted keys: their columns, and their bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) columns: &'a [ArrayRef],
    pub(super) bytes: &'a EncodedKeys,
}

/// One sorted block in which keys are looked for.
pub(super) struct StoredSearch<'a> {
    block: &'a Arc<ColumnBlock>,
    encoder: &'a KeyEncoder,
    chunks: Vec<ChunkReader>,
    values: Vec<ColumnBuilder>,
    /// Smallest and largest value of key columns of integers, by number within the key.
    bounds: Vec<(usize, Native, RangeInclusive<i128>)>,
}

impl<'a> StoredSearch<'a> {
    /// A search in `block` of `table`, whose keys `encoder` makes.
    pub(super) fn new(block: &'a Arc<ColumnBlock>, table: &Table, encoder: &'a KeyEncoder) -> Result<StoredSearch<'a>> {
        let footer = block.footer()?;
        let chunk = |&column: &usize| block.chunk(&footer, ChunkPlace::Column(column));
        let chunks = table.key.iter().map(chunk).collect::<Result<Vec<_>>>()?;
        let value = |&column: &usize| ColumnBuilder::new(table.schema.field(column).data_type(), 1);
        let bound = |(number, &column): (usize, &usize)| {
            let Physical::Integer(native) = Physical::of(table.schema.field(column).data_type()) else { return None };
            let bounds = &footer.columns[column].bounds;
            let (min, max) = bounds.min.as_ref().zip(bounds.max.as_ref())?;
            Some((number, native, integer_at(min, native, 0)..=integer_at(max, native, 0)))
        };
        // The first column is what the block was chosen by. NULLs are within no bounds.
        let has_nulls = |&column: &usize| footer.columns[column].nulls > 0;
        let bounds = match table.key.iter().any(has_nulls) {
            false => table.key.iter().enumerate().skip(1).filter_map(bound).collect(),
            true => Vec::new(),
        };
        Ok(StoredSearch { block, encoder, chunks, values: table.key.iter().map(value).collect(), bounds })
    }

    /// Those of `keys` of which every column is within the bounds of the block: new times of many series are in none of the old blocks, though each of these has
    /// every series.
    pub(super) fn within_bounds<'k>(&self, wanted: Wanted<'_>, keys: &'k [u32]) -> Cow<'k, [u32]> {
        let mut left = Cow::Borrowed(keys);
        for (number, native, bounds) in &self.bounds {
            let data = wanted.columns[*number].to_data();
            let Integers::Narrow(values) = integers(&data, *native) else { continue };
            let is_within = |key: u32| bounds.contains(&i128::from(values[key as usize]));
            if !left.iter().all(|&key| is_within(key)) {
                left = left.iter().copied().filter(|&key| is_within(key)).collect();
            }
        }
        left
    }

    /// Calls `found` with the number of each key of `keys` that is there, and its row. `keys` are numbers of wanted keys, in key order.
    pub(super) fn find(&mut self, wanted: Wanted<'_>, keys: &[u32], mut found: impl FnMut(u32, usize)) -> Result<()> {
        let mut rest = keys;
        while let Some(&key) = rest.first() {
            let rows = self.rows_around(wanted.bytes.get(key as usize))?;
            // Zones from which more keys are wanted.
            let same = rest.len() > SEARCHES_MAX && {
                let later = rest[SEARCHES_MAX];
                self.rows_around(wanted.bytes.get(later as usize))?.end == rows.end
            };
            if same {
                rest = &rest[self.find_decoded(wanted, rest, rows, &mut found)?..];
                continue;
            }
            let values = wanted.columns.iter().map(|column| KeyValue::new(column, key as usize));
            if let Some(row) = self.search(rows, &values.collect::<Result<Vec<_>>>()?)? {
                found(key, row);
            }
            rest = &rest[1..];
        }
        Ok(())
    }

    /// The rows of the zones that can have `key`.
    fn rows_around(&self, key: &[u8]) -> Result<Range<usize>> {
        let Some(heads) = self.block.zone_heads(self.encoder)? else { return Ok(0..self.block.rows()) };
        let head = &key[..self.encoder.prefix_bytes(key, 1)?];
        let zones = 0..heads.len();
        let from = partition_point(zones.clone(), |zone| heads.get(zone) < head).saturating_sub(1);
        let to = partition_point(zones, |zone| heads.get(zone) <= head);
        Ok(from * ZONE_ROWS..(to * ZONE_ROWS).min(self.block.rows()).max(from * ZONE_ROWS))
    }

    /// The row of a key among sorted `rows`.
    fn search(&mut self, rows: Range<usize>, wanted: &[KeyValue]) -> Result<Option<usize>> {
        let (mut low, mut high) = (rows.start, rows.end);
        while low < high {
            let middle = low.midpoint(high);
            match self.compare(middle, wanted)? {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(Some(middle)),
            }
        }
        Ok(None)
    }

    fn compare(&mut self, row: usize, wanted: &[KeyValue]) -> Result<Ordering> {
        for ((chunk, value), wanted) in self.chunks.iter_mut().zip(&mut self.values).zip(wanted) {
            chunk.value(row, value)?;
            let order = wanted.order_of(value)?;
            if order != Ordering::Equal {
                return Ok(order);
            }
        }
        Ok(Ordering::Equal)
    }

    /// Decodes `rows` and looks for the first of `keys` there; how many of these cannot be further on.
    fn find_decoded(
        &mut self,
        wanted: Wanted<'_>,
        keys: &[u32],
        rows: Range<usize>,
        found: &mut impl FnMut(u32, usize),
    ) -> Result<usize> {
        let mut columns = Vec::with_capacity(self.chunks.len());
        for (chunk, column) in self.chunks.iter_mut().zip(wanted.columns) {
            let mut decoded = ColumnBuilder::new(column.data_type(), rows.len());
            chunk.decode(rows.clone(), &mut decoded)?;
            columns.push(decoded.finish()?);
        }
        let encoded = self.encoder.encode_prefix(&columns)?;
        let (mut at, mut done) = (0, 0);
        for &key in keys {
            let bytes = wanted.bytes.get(key as usize);
            at = partition_point(at..encoded.len(), |row| encoded.get(row) < bytes);
            if at == encoded.len() {
                break;
            }
            if encoded.get(at) == bytes {
                found(key, rows.start + at);
            }
            done += 1;
        }
        // The first key's zones are these, so it is done in any case.
        Ok(done.max(1))
    }
}

/// The first of `numbers` for which `is_before` does not hold.
pub(super) fn partition_point(numbers: Range<usize>, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (numbers.start, numbers.end);
    while low < high {
        let middle = low.midpoint(high);
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
