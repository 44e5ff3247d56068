//! Rows by place.

use crate::codec::{ColumnBuilder, Mask};
use crate::delta::is_named;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::scan::{BlockRows, BlockSource, place_parts};
use crate::segment::ChunkPlace;
use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array};
use arrow::compute::take;
use std::sync::Arc;

/// No more rows of a block are read one by one.
const SINGLES_MAX: usize = 16;

/// Columns `projection` of the rows at `places`, in the order asked for. Deleted rows are still there.
pub(crate) fn rows_at(layout: &Layout, places: &UInt64Array, projection: &[usize]) -> Result<RecordBatch> {
    let ascends = places.values().windows(2).all(|pair| pair[0] < pair[1]);
    let mut wanted: Vec<u64> = places.values().to_vec();
    if !ascends {
        wanted.sort_unstable();
        wanted.dedup();
    }
    let schema = Arc::new(layout.table.schema.project(projection)?);
    let mut builders: Vec<ColumnBuilder> =
        schema.fields().iter().map(|field| ColumnBuilder::new(field.data_type(), wanted.len())).collect();
    for of_block in wanted.chunk_by(|a, b| a >> 32 == b >> 32) {
        let (number, last) = place_parts(of_block[of_block.len() - 1]);
        let has_rows = |block: &BlockSource| of_block.iter().all(|place| block.has_row(place_parts(*place).1));
        let block = layout.block(number)?.filter(has_rows);
        let block = block.ok_or_else(|| Error::Unsupported(format!("no row at place {number}:{last}")))?;
        // Names are behind all numbers.
        let (of_block, named) = of_block.split_at(of_block.partition_point(|place| !is_named(place_parts(*place).1)));
        let rows = |places: &[u64]| places.iter().map(|place| place_parts(*place).1).collect::<Vec<_>>();
        if !of_block.is_empty() {
            append_rows(&block, &rows(of_block), projection, &mut builders)?;
        }
        if let (Some(delta), false) = (block.as_delta(), named.is_empty()) {
            let rows = delta.named_rows(&rows(named), projection)?;
            let mut columns = rows.columns().iter().zip(&mut builders);
            columns.try_for_each(|(rows, builder)| builder.append_array(rows, None))?;
        }
    }
    let mut columns = builders.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<_>>>()?;
    if !ascends {
        let order = places.values().iter().map(|place| wanted.binary_search(place).map_or(0, |at| at as u32));
        let order = UInt32Array::from_iter_values(order);
        for column in &mut columns {
            *column = take(column, &order, None)?;
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// Appends rows of one block, ascending, to a builder per column.
fn append_rows(
    block: &BlockSource,
    rows: &[usize],
    projection: &[usize],
    builders: &mut [ColumnBuilder],
) -> Result<()> {
    let (first, last) = (rows[0], rows[rows.len() - 1]);
    let mut mask = None;
    if rows.len() > SINGLES_MAX {
        let of_rows = mask.insert(Mask::none(last + 1 - first));
        rows.iter().for_each(|row| of_rows.words[(row - first) / 64] |= 1 << ((row - first) % 64));
    }
    let batch = match &block.rows {
        BlockRows::Column(stored) => {
            let footer = stored.footer()?;
            for (column, builder) in projection.iter().zip(builders) {
                let mut chunk = stored.chunk(&footer, ChunkPlace::Column(*column))?;
                match &mask {
                    Some(mask) => chunk.select(first..last + 1, mask, 0, builder)?,
                    None => rows.iter().try_for_each(|row| chunk.value(*row, builder))?,
                }
            }
            return Ok(());
        }
        BlockRows::Mem(batch) => batch,
        BlockRows::Delta(block, _) => block.batch(),
    };
    for (column, builder) in projection.iter().zip(builders) {
        let values = batch.column(*column);
        match &mask {
            Some(mask) => builder.append_array(&values.slice(first, last + 1 - first), Some((mask, 0)))?,
            None => rows.iter().try_for_each(|row| builder.append_array(&values.slice(*row, 1), None))?,
        }
    }
    Ok(())
}
