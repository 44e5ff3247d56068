//! Where rows are: places, rows by place, places by key.
//!
//! A place is the number of a block in the scan order of one snapshot and a row of it, in one integer. It says nothing about any
//! other snapshot. A row of a delta tree that was found by key is named by its key, in a list beside the block, so that the block need not
//! be decoded.

use super::morsel::MorselColumns;
use super::source::{BlockRows, BlockSource, ScanSource};
use crate::codec::{ColumnBuilder, Mask};
use crate::delta::{RowKeys, is_named};
use crate::error::{Error, Result};
use crate::mem::MemBlock;
use crate::segment::{ChunkPlace, ColumnBlock, FooterRef, ZONE_ROWS};
use crate::stored::compare_keys;
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array};
use arrow::compute::take;
use arrow::row::{RowConverter, SortField};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// With no more wanted keys in a zone, they are searched for one by one.
const SEARCHES_MAX: usize = 24;

/// The place of a row of a block.
pub(crate) fn place(block: usize, row: usize) -> u64 {
    (block as u64) << 32 | row as u64
}

/// Block and row of a place.
pub(crate) fn place_parts(place: u64) -> (usize, usize) {
    ((place >> 32) as usize, (place & u64::from(u32::MAX)) as usize)
}

/// Columns `projection` of the rows at `places`, in the order asked for. Deleted rows are still there.
pub(crate) fn rows_at(source: &ScanSource, places: &UInt64Array, projection: &[usize]) -> Result<RecordBatch> {
    let mut wanted: Vec<u64> = places.values().to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let schema = Arc::new(source.schema.project(projection)?);
    let mut builders: Vec<ColumnBuilder> =
        schema.fields().iter().map(|field| ColumnBuilder::new(field.data_type(), wanted.len())).collect();
    for of_block in wanted.chunk_by(|a, b| a >> 32 == b >> 32) {
        let (number, last) = place_parts(of_block[of_block.len() - 1]);
        let has_rows = |block: &&BlockSource| of_block.iter().all(|place| block.has_row(place_parts(*place).1));
        let block = source.blocks.get(number).filter(has_rows);
        let block = block.ok_or_else(|| Error::Unsupported(format!("no row at place {number}:{last}")))?;
        // Names are behind all numbers.
        let (of_block, named) = of_block.split_at(of_block.partition_point(|place| !is_named(place_parts(*place).1)));
        if !of_block.is_empty() {
            append_rows(block, of_block, projection, &mut builders)?;
        }
        if let (Some(delta), false) = (block.as_delta(), named.is_empty()) {
            let rows: Vec<usize> = named.iter().map(|place| place_parts(*place).1).collect();
            let rows = delta.named_rows(&rows, projection)?;
            rows.columns()
                .iter()
                .zip(&mut builders)
                .try_for_each(|(rows, builder)| builder.append_array(rows, None))?;
        }
    }
    let order = places.values().iter().map(|place| wanted.binary_search(place).map_or(0, |at| at as u32));
    let order = UInt32Array::from_iter_values(order);
    let columns =
        builders.iter_mut().map(|builder| Ok(take(&builder.finish()?, &order, None)?)).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// Appends the rows at `places` of one block, ascending, to a builder per column.
fn append_rows(
    block: &BlockSource,
    places: &[u64],
    projection: &[usize],
    builders: &mut [ColumnBuilder],
) -> Result<()> {
    let mut columns = MorselColumns::open(block)?;
    let (first, last) = (place_parts(places[0]).1, place_parts(places[places.len() - 1]).1);
    let rows = first..last + 1;
    let mut mask = Mask::none(rows.len());
    for &place in places {
        let row = place_parts(place).1 - first;
        mask.words[row / 64] |= 1 << (row % 64);
    }
    for (column, builder) in projection.iter().zip(builders) {
        columns.append(*column, rows.clone(), Some((&mask, 0)), builder)?;
    }
    Ok(())
}

/// The place of the row with each key, of those that are not deleted. `columns` are the key's columns in the source.
///
/// Blocks of segments are sorted by key: those whose fences, and zones whose bounds, rule out every wanted key are passed
/// over, and in a zone few keys are found by binary search. Delta trees are searched for each key. Other rows are looked up in a table of the
/// wanted keys.
pub(crate) fn locate(source: &ScanSource, columns: &[usize], keys: &[ArrayRef]) -> Result<Vec<Option<u64>>> {
    let count = keys.first().map_or(0, |column| column.len());
    let mut found = vec![None; count];
    if count == 0 {
        return Ok(found);
    }
    let search = Search::new(source, columns, keys)?;
    // Newest rows first: they are in memory, and the likeliest to be asked for.
    for (number, block) in source.blocks.iter().enumerate().rev() {
        match &block.rows {
            BlockRows::Mem(batch) => {
                let keys: Vec<ArrayRef> = columns.iter().map(|&column| batch.column(column).clone()).collect();
                search.probe(number, block, 0, &keys, &mut found)?;
            }
            BlockRows::Column(column_block) => search.stored(number, block, column_block, &mut found)?,
            BlockRows::Delta(rows, hidden) => search.delta(number, block, rows, hidden.as_deref(), &mut found)?,
        }
        // A key is in the table once.
        if search.all_found(&found) {
            break;
        }
    }
    for key in 0..count {
        found[key] = found[search.first[key] as usize];
    }
    Ok(found)
}

/// Keys being looked for.
struct Search<'a> {
    keys: &'a [ArrayRef],
    columns: &'a [usize],
    /// Numbers of the keys in key order.
    order: Vec<u32>,
    converter: RowConverter,
    /// Numbers of the keys by their bytes: the first of equal ones.
    by_bytes: HashMap<Box<[u8]>, u32>,
    /// For each key the number of the first that equals it.
    first: Vec<u32>,
}

impl<'a> Search<'a> {
    fn new(source: &ScanSource, columns: &'a [usize], keys: &'a [ArrayRef]) -> Result<Search<'a>> {
        for (&column, key) in columns.iter().zip(keys) {
            let field = source.schema.field(column);
            if field.data_type() != key.data_type() {
                let (name, wanted, is) = (field.name(), field.data_type(), key.data_type());
                return Err(Error::Unsupported(format!("key column \"{name}\" is {wanted}, not {is}")));
            }
        }
        let types = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
        let converter = RowConverter::new(types)?;
        let rows = converter.convert_columns(keys)?;
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_by(|&a, &b| rows.row(a as usize).cmp(&rows.row(b as usize)));
        let mut by_bytes: HashMap<Box<[u8]>, u32> = HashMap::with_capacity(order.len());
        let first = rows.iter().zip(0..).map(|(row, number)| *by_bytes.entry(Box::from(row.data())).or_insert(number));
        let first = first.collect();
        Ok(Search { keys, columns, order, converter, by_bytes, first })
    }

    /// Whether nothing is left to look for.
    fn all_found(&self, found: &[Option<u64>]) -> bool {
        self.first.iter().all(|&key| found[key as usize].is_some())
    }

    /// Looks in a delta tree.
    fn delta(
        &self,
        number: usize,
        block: &BlockSource,
        rows: &MemBlock,
        hidden: Option<&RowKeys>,
        found: &mut [Option<u64>],
    ) -> Result<()> {
        let Some(delta) = rows.as_delta() else { return Ok(()) };
        let Some(encoder) = &delta.table().encoder else { return Ok(()) };
        let encode = |columns: &[ArrayRef]| encoder.encode_prefix(columns).ok();
        // If some key has a NULL that the table cannot have, one by one.
        let all = encode(self.keys);
        for (key, found) in found.iter_mut().enumerate() {
            if self.first[key] as usize != key || found.is_some() {
                continue;
            }
            let one = if all.is_some() { None } else { encode(&row_of(self.keys, key)) };
            let bytes = match (&all, &one) {
                (Some(all), _) => all.get(key),
                (None, Some(one)) => one.get(0),
                (None, None) => continue,
            };
            if hidden.is_some_and(|hidden| hidden.contains(bytes)) {
                continue;
            }
            let Some(row) = delta.row(bytes) else { continue };
            if block.dead.as_ref().is_none_or(|dead| !dead.contains(delta.number(row))) {
                *found = Some(place(number, row));
            }
        }
        Ok(())
    }

    /// Wanted keys from `first` to `last`, as a range of `order`.
    fn within(&self, first: &[ArrayRef], last: &[ArrayRef]) -> Range<usize> {
        let columns = &self.keys[..first.len().min(self.keys.len())];
        let from = self.order.partition_point(|&key| compare_at(columns, key as usize, first, 0) == Ordering::Less);
        let to = self.order.partition_point(|&key| compare_at(columns, key as usize, last, 0) != Ordering::Greater);
        from..to.max(from)
    }

    /// Looks in a block of a segment.
    fn stored(
        &self,
        number: usize,
        block: &BlockSource,
        column_block: &Arc<ColumnBlock>,
        found: &mut [Option<u64>],
    ) -> Result<()> {
        let (first, last) = column_block.fences()?;
        let wanted = if first.is_empty() { 0..self.order.len() } else { self.within(first, last) };
        if wanted.is_empty() {
            return Ok(());
        }
        let footer = column_block.footer()?;
        let zones = &footer.columns[self.columns[0]].zones;
        let mut columns = MorselColumns::open(block)?;
        for start in (0..column_block.rows()).step_by(ZONE_ROWS) {
            let rows = start..column_block.rows().min(start + ZONE_ROWS);
            let (min, max, _) = zones.zone(start / ZONE_ROWS);
            let wanted = match (min, max) {
                (Some(min), Some(max)) => self.within(&[min], &[max]),
                _ => wanted.clone(),
            };
            if wanted.is_empty() {
                continue;
            }
            if wanted.len() <= SEARCHES_MAX && !first.is_empty() {
                for at in wanted {
                    let key = self.order[at];
                    if let Some(row) = self.search(column_block, &footer, rows.clone(), key as usize)?
                        && is_alive(block, row)
                    {
                        found[key as usize] = Some(place(number, row));
                    }
                }
                continue;
            }
            let mut decoded = Vec::with_capacity(self.columns.len());
            for (&column, key) in self.columns.iter().zip(self.keys) {
                let mut builder = ColumnBuilder::new(key.data_type(), rows.len());
                columns.append(column, rows.clone(), None, &mut builder)?;
                decoded.push(builder.finish()?);
            }
            self.probe(number, block, start, &decoded, found)?;
        }
        Ok(())
    }

    /// Finds a key among sorted rows of a block by binary search.
    fn search(
        &self,
        block: &Arc<ColumnBlock>,
        footer: &FooterRef,
        rows: Range<usize>,
        key: usize,
    ) -> Result<Option<usize>> {
        let chunks = self.columns.iter().map(|&column| block.chunk(footer, ChunkPlace::Column(column)));
        let mut chunks = chunks.collect::<Result<Vec<_>>>()?;
        let mut compare = |row: usize| -> Result<Ordering> {
            for (chunk, wanted) in chunks.iter_mut().zip(self.keys) {
                let mut value = ColumnBuilder::new(wanted.data_type(), 1);
                chunk.value(row, &mut value)?;
                let order = compare_at(&[value.finish()?], 0, std::slice::from_ref(wanted), key);
                if order != Ordering::Equal {
                    return Ok(order);
                }
            }
            Ok(Ordering::Equal)
        };
        let (mut low, mut high) = (rows.start, rows.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match compare(middle)? {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(Some(middle)),
            }
        }
        Ok(None)
    }

    /// Looks up the keys of rows of a block, from row `first` on.
    fn probe(
        &self,
        number: usize,
        block: &BlockSource,
        first: usize,
        keys: &[ArrayRef],
        found: &mut [Option<u64>],
    ) -> Result<()> {
        let rows = self.converter.convert_columns(keys)?;
        for (row, bytes) in (first..).zip(rows.iter()) {
            if let Some(&key) = self.by_bytes.get(bytes.data())
                && is_alive(block, row)
            {
                found[key as usize] = Some(place(number, row));
            }
        }
        Ok(())
    }
}

fn is_alive(block: &BlockSource, row: usize) -> bool {
    block.dead.as_ref().is_none_or(|dead| !dead.contains(row))
}

/// Order of row `i` of the columns `a` and row `j` of the columns `b`, NULLs last.
fn compare_at(a: &[ArrayRef], i: usize, b: &[ArrayRef], j: usize) -> Ordering {
    compare_keys(&row_of(a, i), &row_of(b, j))
}

/// One row of some columns.
fn row_of(columns: &[ArrayRef], row: usize) -> Vec<ArrayRef> {
    columns.iter().map(|column| column.slice(row, 1)).collect()
}
