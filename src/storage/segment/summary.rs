//! Statistics of a whole segment, compact, so that a table's statistics need no block footers.
//!
//! Bytes: columns u32; per column: NULLs u64 · raw bytes u64 · stored bytes u64 · flags u8 (bit 0: bounded, bit 1:
//! bounds exact, bit 2: sketched) · [minimum · maximum] · [sketch].

use super::bounds::Bounds;
use super::bytes::{ByteReader, ByteWriter, Malformed};
use super::sketch::Sketch;
use super::values::{has_order, read_values, write_values};
use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::{DataType, SchemaRef};

/// Statistics of a segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct SegmentSummary {
    /// One per table column.
    pub(crate) columns: Vec<ColumnSummary>,
}

/// Statistics of one column over some rows; they merge.
#[derive(Clone, Debug)]
pub(crate) struct ColumnSummary {
    /// NULLs.
    pub(crate) nulls: u64,
    /// Bytes as plain Arrow.
    pub(crate) raw_bytes: u64,
    /// Bytes in the file.
    pub(crate) stored_bytes: u64,
    /// Smallest and largest value.
    pub(crate) bounds: Bounds,
    /// Distinct values; `None` when unknown.
    pub(crate) distinct: Option<Sketch>,
}

impl ColumnSummary {
    /// Statistics of no rows.
    pub(crate) fn empty() -> ColumnSummary {
        let bounds = Bounds { min: None, max: None, exact: true };
        ColumnSummary { nulls: 0, raw_bytes: 0, stored_bytes: 0, bounds, distinct: Some(Sketch::default()) }
    }

    /// Statistics of rows in memory.
    pub(crate) fn of(values: &ArrayRef) -> crate::error::Result<ColumnSummary> {
        let ordered = has_order(values.data_type());
        let bounds = if ordered { Bounds::of(values)? } else { Bounds { min: None, max: None, exact: true } };
        Ok(ColumnSummary {
            nulls: values.logical_null_count() as u64,
            raw_bytes: values.get_buffer_memory_size() as u64,
            stored_bytes: 0,
            bounds,
            distinct: Sketch::of(values),
        })
    }

    /// Takes in the statistics of other rows.
    pub(crate) fn merge(&mut self, other: &ColumnSummary) {
        self.nulls += other.nulls;
        self.raw_bytes += other.raw_bytes;
        self.stored_bytes += other.stored_bytes;
        let none = Bounds { min: None, max: None, exact: true };
        self.bounds = std::mem::replace(&mut self.bounds, none).merge(other.bounds.clone());
        self.distinct = match (self.distinct.take(), &other.distinct) {
            (Some(mut mine), Some(theirs)) => {
                mine.merge(theirs);
                Some(mine)
            }
            _ => None,
        };
    }

    fn write(&self, out: &mut ByteWriter, data_type: &DataType) {
        out.u64(self.nulls);
        out.u64(self.raw_bytes);
        out.u64(self.stored_bytes);
        let bounded = has_order(data_type);
        out.u8(u8::from(bounded) | u8::from(self.bounds.exact) << 1 | u8::from(self.distinct.is_some()) << 2);
        if bounded {
            let none = new_null_array(data_type, 0);
            write_values(out, self.bounds.min.as_ref().unwrap_or(&none));
            write_values(out, self.bounds.max.as_ref().unwrap_or(&none));
        }
        if let Some(sketch) = &self.distinct {
            sketch.write(out);
        }
    }

    fn read(input: &mut ByteReader<'_>, data_type: &DataType) -> Result<ColumnSummary, Malformed> {
        let (nulls, raw_bytes, stored_bytes) = (input.u64()?, input.u64()?, input.u64()?);
        let flags = input.u8()?;
        let mut bounds = Bounds { min: None, max: None, exact: flags & 2 != 0 };
        if flags & 1 != 0 {
            let mut bound = || -> Result<Option<ArrayRef>, Malformed> {
                let values = read_values(input, data_type)?;
                Ok((values.len() == 1 && values.is_valid(0)).then_some(values))
            };
            (bounds.min, bounds.max) = (bound()?, bound()?);
        }
        let distinct = (flags & 4 != 0).then(|| Sketch::read(input)).transpose()?;
        Ok(ColumnSummary { nulls, raw_bytes, stored_bytes, bounds, distinct })
    }
}

impl SegmentSummary {
    /// Memory it takes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        self.columns.len() * (size_of::<ColumnSummary>() + 1024 + 512)
    }

    pub(super) fn write(&self, out: &mut ByteWriter, schema: &SchemaRef) {
        out.u32(self.columns.len() as u32);
        for (column, field) in self.columns.iter().zip(schema.fields()) {
            column.write(out, field.data_type());
        }
    }

    pub(super) fn read(bytes: &[u8], schema: &SchemaRef) -> Result<SegmentSummary, Malformed> {
        let input = &mut ByteReader::new(bytes);
        if input.u32()? as usize != schema.fields().len() {
            return Err("the summary has another number of columns than the schema".into());
        }
        let columns = schema.fields().iter().map(|field| ColumnSummary::read(input, field.data_type()));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        input.end()?;
        Ok(SegmentSummary { columns })
    }
}
