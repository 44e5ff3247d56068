//! Metadata of a block: where every column's pages are, and what zones hold.
//!
//! ```text
//! block footer  rows u32 · delete-vector generation u64 (0: none) · slots u8 (bit 0: begin, bit 1: end timestamps)
//!               · columns u32 · chunk × columns · chunk × slots
//! chunk         encoding u8 · offset of its first record u64 · shared pages u32 · length u32 each
//!               · pages u32 · (length u32, rows u32) each · NULLs u64 · raw bytes u64
//!               · flags u8 (bit 0: bounded, bit 1: bounds exact)
//!               · [zone minima · zone maxima · chunk minimum · chunk maximum]
//!               · zones u32 · NULLs u32 each
//! ```
//!
//! The records of a chunk stand behind one another, shared pages first, so lengths give all offsets. Values are written
//! as [`values`](super::values) says; the bounds are there when the column's type has an order.

use super::bounds::{Bounds, ZoneMap};
use super::bytes::{ByteReader, ByteWriter, Malformed};
use super::record::RecordPlace;
use super::values::{has_order, read_values, write_values};
use super::{BLOCK_ROWS_MAX, ZONE_ROWS};
use crate::codec::Encoding;
use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::{DataType, SchemaRef};

/// Type of the hidden timestamp chunks.
pub(crate) const TIMESTAMP_CHUNK: DataType = DataType::UInt64;

/// Metadata of a block.
#[derive(Clone, Debug)]
pub(crate) struct BlockFooter {
    /// Rows.
    pub(crate) rows: usize,
    /// Generation of the delete vector that belongs to this block; 0 when it has none.
    pub(crate) delete_generation: u64,
    /// One per table column.
    pub(crate) columns: Vec<ChunkFooter>,
    /// Begin timestamp of each row, when rows differ.
    pub(crate) begin: Option<ChunkFooter>,
    /// End timestamp of each row.
    pub(crate) end: Option<ChunkFooter>,
}

/// Metadata of a chunk: one column of one block.
#[derive(Clone, Debug)]
pub(crate) struct ChunkFooter {
    pub(crate) encoding: Encoding,
    /// Dictionary or symbol-table pages.
    pub(crate) shared: Vec<RecordPlace>,
    pub(crate) pages: Vec<PagePlace>,
    pub(crate) nulls: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) bounds: Bounds,
    pub(crate) zones: ZoneMap,
}

/// Where a page is and which rows of the block it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PagePlace {
    pub(super) record: RecordPlace,
    /// First row within the block.
    pub(crate) start: usize,
    /// Rows.
    pub(crate) rows: usize,
}

impl BlockFooter {
    /// Memory it takes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks().map(ChunkFooter::memory_bytes).sum::<usize>() + size_of::<BlockFooter>()
    }

    /// All chunks, hidden ones last.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &ChunkFooter> {
        self.columns.iter().chain(&self.begin).chain(&self.end)
    }

    pub(super) fn write(&self, out: &mut ByteWriter) {
        out.u32(self.rows as u32);
        out.u64(self.delete_generation);
        out.u8(u8::from(self.begin.is_some()) | u8::from(self.end.is_some()) << 1);
        out.u32(self.columns.len() as u32);
        self.chunks().for_each(|chunk| chunk.write(out));
    }

    pub(super) fn read(bytes: &[u8], schema: &SchemaRef) -> Result<BlockFooter, Malformed> {
        let input = &mut ByteReader::new(bytes);
        let rows = input.u32()? as usize;
        if rows == 0 || rows > BLOCK_ROWS_MAX {
            return Err(format!("a block of {rows} rows"));
        }
        let delete_generation = input.u64()?;
        let slots = input.u8()?;
        let count = input.u32()? as usize;
        if count != schema.fields().len() || slots > 3 {
            return Err(format!("{count} columns where the schema has {}", schema.fields().len()));
        }
        let columns = schema.fields().iter().map(|field| ChunkFooter::read(input, field.data_type(), rows));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let mut hidden =
            |bit: u8| (slots & bit != 0).then(|| ChunkFooter::read(input, &TIMESTAMP_CHUNK, rows)).transpose();
        let (begin, end) = (hidden(1)?, hidden(2)?);
        input.end()?;
        Ok(BlockFooter { rows, delete_generation, columns, begin, end })
    }
}

impl ChunkFooter {
    /// Bytes of its records in the file, framing included.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let pages = self.pages.iter().map(|page| page.record);
        self.shared.iter().copied().chain(pages).map(|record| record.end() - record.offset).sum()
    }

    fn memory_bytes(&self) -> usize {
        let pages = self.pages.len() * size_of::<PagePlace>() + self.shared.len() * size_of::<RecordPlace>();
        let bounds =
            [Some(&self.zones.mins), Some(&self.zones.maxs), self.bounds.min.as_ref(), self.bounds.max.as_ref()];
        let bounds: usize = bounds.into_iter().flatten().map(|b| b.get_array_memory_size()).sum();
        pages + bounds + self.zones.nulls.len() * 4 + size_of::<ChunkFooter>()
    }

    fn write(&self, out: &mut ByteWriter) {
        out.u8(self.encoding as u8);
        let first = self.shared.first().copied().or(self.pages.first().map(|page| page.record));
        out.u64(first.map_or(0, |record| record.offset));
        out.u32(self.shared.len() as u32);
        self.shared.iter().for_each(|record| out.u32(record.len));
        out.u32(self.pages.len() as u32);
        for page in &self.pages {
            out.u32(page.record.len);
            out.u32(page.rows as u32);
        }
        out.u64(self.nulls);
        out.u64(self.raw_bytes);
        let bounded = has_order(self.zones.mins.data_type());
        out.u8(u8::from(bounded) | u8::from(self.bounds.exact) << 1);
        if bounded {
            write_values(out, &self.zones.mins);
            write_values(out, &self.zones.maxs);
            let none = new_null_array(self.zones.mins.data_type(), 0);
            write_values(out, self.bounds.min.as_ref().unwrap_or(&none));
            write_values(out, self.bounds.max.as_ref().unwrap_or(&none));
        }
        out.u32(self.zones.nulls.len() as u32);
        self.zones.nulls.iter().for_each(|nulls| out.u32(*nulls));
    }

    fn read(input: &mut ByteReader<'_>, data_type: &DataType, rows: usize) -> Result<ChunkFooter, Malformed> {
        let encoding = input.u8()?;
        let encoding = Encoding::from_tag(encoding).ok_or_else(|| format!("unknown encoding {encoding}"))?;
        let (shared, pages) = read_places(input, rows)?;
        let (nulls, raw_bytes) = (input.u64()?, input.u64()?);
        let flags = input.u8()?;
        if (flags & 1 != 0) != has_order(data_type) {
            return Err("bounds do not fit the column's type".into());
        }
        let no_bounds = || new_null_array(data_type, 0);
        let (mut mins, mut maxs, mut min, mut max) = (no_bounds(), no_bounds(), None, None);
        let zones = rows.div_ceil(ZONE_ROWS);
        if flags & 1 != 0 {
            (mins, maxs) = (read_values(input, data_type)?, read_values(input, data_type)?);
            (min, max) = (single(read_values(input, data_type)?)?, single(read_values(input, data_type)?)?);
            if mins.len() != zones || maxs.len() != zones {
                return Err(format!("{} zone bounds where the block has {zones} zones", mins.len()));
            }
        }
        let counts = (0..input.count(4)?).map(|_| input.u32()).collect::<Result<Vec<_>, _>>()?;
        if counts.len() != zones || counts.iter().map(|count| u64::from(*count)).sum::<u64>() != nulls {
            return Err("NULL counts of the zones do not add up".into());
        }
        let bounds = Bounds { min, max, exact: flags & 2 != 0 };
        Ok(ChunkFooter {
            encoding,
            shared,
            pages,
            nulls,
            raw_bytes,
            bounds,
            zones: ZoneMap { mins, maxs, nulls: counts },
        })
    }
}

/// A value or none.
fn single(values: ArrayRef) -> Result<Option<ArrayRef>, Malformed> {
    match values.len() {
        0 => Ok(None),
        1 if values.is_valid(0) => Ok(Some(values)),
        _ => Err("a bound that is not one value".into()),
    }
}

type Places = (Vec<RecordPlace>, Vec<PagePlace>);

/// Reads the page directory and works out offsets and first rows.
fn read_places(input: &mut ByteReader<'_>, rows: usize) -> Result<Places, Malformed> {
    let mut offset = input.u64()?;
    if offset > 1 << 60 {
        return Err("a chunk far outside of any file".into());
    }
    let mut place = |len: u32| {
        let record = RecordPlace { offset, len };
        offset = record.end();
        record
    };
    let mut shared = Vec::new();
    for _ in 0..input.count(4)? {
        shared.push(place(input.u32()?));
    }
    let (mut pages, mut start) = (Vec::new(), 0);
    for _ in 0..input.count(8)? {
        let (record, rows) = (place(input.u32()?), input.u32()? as usize);
        pages.push(PagePlace { record, start, rows });
        start += rows;
        if rows == 0 {
            return Err("a page without rows".into());
        }
    }
    if start != rows {
        return Err(format!("pages hold {start} rows of {rows}"));
    }
    Ok((shared, pages))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use arrow::datatypes::{Field, Schema};
    use std::sync::Arc;

    fn footer() -> (BlockFooter, SchemaRef) {
        let values: ArrayRef = Arc::new(Int64Array::from_iter((0..20_000).map(|v| (v % 7 != 0).then_some(v))));
        let (zones, bounds) = ZoneMap::of(&values).unwrap();
        let record = RecordPlace { offset: 64, len: 1000 };
        let next = RecordPlace { offset: record.end(), len: 77 };
        let pages = vec![
            PagePlace { record, start: 0, rows: 16_384 },
            PagePlace { record: next, start: 16_384, rows: 20_000 - 16_384 },
        ];
        let nulls = values.null_count() as u64;
        let chunk =
            ChunkFooter { encoding: Encoding::Packed, shared: vec![], pages, nulls, raw_bytes: 1, bounds, zones };
        let footer = BlockFooter { rows: 20_000, delete_generation: 0, columns: vec![chunk], begin: None, end: None };
        (footer, Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)])))
    }

    #[test]
    fn footers_survive() {
        let (footer, schema) = footer();
        let mut out = ByteWriter::default();
        footer.write(&mut out);
        let read = BlockFooter::read(&out.bytes, &schema).unwrap();
        assert_eq!(format!("{read:?}"), format!("{footer:?}"));
        for cut in 0..out.bytes.len() {
            assert!(BlockFooter::read(&out.bytes[..cut], &schema).is_err());
        }
    }

    #[test]
    fn flipped_footers_are_refused_or_harmless_but_never_panic() {
        let (footer, schema) = footer();
        let mut out = ByteWriter::default();
        footer.write(&mut out);
        for bit in 0..out.bytes.len() * 8 {
            let mut flipped = out.bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = BlockFooter::read(&flipped, &schema);
        }
    }
}
