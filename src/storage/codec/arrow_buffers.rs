//! The fallback that works for every type: Arrow's own buffers, one after the other, in a [block](super::block).
//!
//! An array is a node; its children follow it, depth first. Nodes and their buffers start at multiples of 64:
//!
//! ```text
//! 0  rows u64   8  NULLs u64   16  buffers u32   20  children u32   24  validity bytes u64   32  length of each buffer u64
//! then: validity bits, each buffer, each child node
//! ```
//!
//! Views inside nested types are turned into offsets first, so that a page holds only the bytes its rows use.

use super::Encoding;
use super::block::{read_block, write_block};
use super::layout::{PageReader, PageWriter, align, read_u32, read_u64};
use super::physical::compacted;
use crate::error::Result;
use arrow::array::{Array, ArrayData, ArrayDataBuilder, ArrayRef, BufferSpec, layout, make_array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use std::sync::Arc;

/// Raw bytes a page aims at, so that its encoded form fits even when nothing compresses.
const PAGE_RAW_BYTES: usize = 60 * 1024;

/// Most rows of a node: anything above is damage.
const NODE_ROWS_MAX: u64 = 1 << 31;

/// Encodes `values` as pages of raw buffers.
pub(crate) fn encode(values: &ArrayRef) -> Result<Vec<super::EncodedPage>> {
    let stored = cast_if_needed(values, &stored_type(values.data_type()))?;
    let mut pages = Vec::new();
    let mut start = 0;
    let mut rows = rows_per_page(&stored);
    while start < stored.len() {
        let len = rows.min(stored.len() - start);
        let bytes = page(Encoding::Arrow, len, &compacted(&stored, start, len)?);
        if bytes.len() > super::PAGE_BYTES_MAX && len > 1 {
            rows = len / 2;
            continue;
        }
        pages.push(super::EncodedPage { rows: len, bytes });
        start += len;
    }
    Ok(pages)
}

/// A page whose node is `data`; for `Constant` the node has one row that stands for all `rows`.
pub(crate) fn page(encoding: Encoding, rows: usize, data: &ArrayData) -> Vec<u8> {
    let mut raw = Vec::new();
    write_node(data, &mut raw);
    let mut page = PageWriter::new(encoding, rows, None);
    write_block(&mut page, &raw);
    page.finish()
}

/// Reads what [`page`] wrote; `rows` are those of the node.
pub(crate) fn open(
    reader: &mut PageReader,
    data_type: &DataType,
    rows: usize,
) -> std::result::Result<ArrayRef, String> {
    let stored_type = stored_type(data_type);
    let mut nodes = PageReader::new(read_block(reader)?);
    let data = read_node(&mut nodes, &stored_type)?;
    if data.len() != rows {
        return Err(format!("Arrow node has {} rows, {rows} expected", data.len()));
    }
    cast_if_needed(&make_array(data), data_type).map_err(|error| error.to_string())
}

/// The array a constant page keeps: row `row` alone, in stored form.
pub(crate) fn single(values: &ArrayRef, row: usize) -> Result<ArrayData> {
    let one = values.slice(row, 1);
    compacted(&cast_if_needed(&one, &stored_type(values.data_type()))?, 0, 1)
}

fn cast_if_needed(values: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if values.data_type() == data_type { Ok(Arc::clone(values)) } else { Ok(cast(values, data_type)?) }
}

fn rows_per_page(values: &ArrayRef) -> usize {
    let row_bytes = values.to_data().get_slice_memory_size().unwrap_or(0) / values.len().max(1) + 1;
    let rows = PAGE_RAW_BYTES / row_bytes;
    if rows >= super::VECTOR_ROWS { rows - rows % super::VECTOR_ROWS } else { rows.max(1) }
}

/// The type stored for `data_type`: views become offsets, everywhere in it.
fn stored_type(data_type: &DataType) -> DataType {
    let field =
        |field: &FieldRef| -> FieldRef { Arc::new(Field::clone(field).with_data_type(stored_type(field.data_type()))) };
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(child) => DataType::List(field(child)),
        DataType::LargeList(child) => DataType::LargeList(field(child)),
        DataType::FixedSizeList(child, size) => DataType::FixedSizeList(field(child), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        other => other.clone(),
    }
}

/// Types of a node's children, in order.
fn children(data_type: &DataType) -> Vec<&DataType> {
    match data_type {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::FixedSizeList(child, _)
        | DataType::ListView(child)
        | DataType::LargeListView(child)
        | DataType::Map(child, _) => vec![child.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        DataType::Union(fields, _) => fields.iter().map(|(_, field)| field.data_type()).collect(),
        DataType::Dictionary(_, values) => vec![values],
        DataType::RunEndEncoded(ends, values) => vec![ends.data_type(), values.data_type()],
        _ => Vec::new(),
    }
}

fn write_node(data: &ArrayData, out: &mut Vec<u8>) {
    align(out);
    let validity = data.nulls().filter(|nulls| nulls.null_count() > 0).map(|nulls| nulls.inner().sliced());
    let validity_bytes = if validity.is_some() { data.len().div_ceil(8) } else { 0 };
    out.extend_from_slice(&(data.len() as u64).to_le_bytes());
    out.extend_from_slice(&(if validity.is_some() { data.null_count() } else { 0 } as u64).to_le_bytes());
    out.extend_from_slice(&(data.buffers().len() as u32).to_le_bytes());
    out.extend_from_slice(&(data.child_data().len() as u32).to_le_bytes());
    out.extend_from_slice(&(validity_bytes as u64).to_le_bytes());
    for buffer in data.buffers() {
        out.extend_from_slice(&(buffer.len() as u64).to_le_bytes());
    }
    if let Some(validity) = validity {
        align(out);
        out.extend_from_slice(&validity.as_slice()[..validity_bytes]);
    }
    for buffer in data.buffers() {
        align(out);
        out.extend_from_slice(buffer.as_slice());
    }
    for child in data.child_data() {
        write_node(child, out);
    }
}

fn read_node(reader: &mut PageReader, data_type: &DataType) -> std::result::Result<ArrayData, String> {
    const FIXED: usize = 32;
    let child_types = children(data_type);
    let (fixed, buffer_count) = reader.peek_node(FIXED)?;
    let (rows, null_count, validity_bytes) = (read_u64(&fixed, 0), read_u64(&fixed, 8), read_u64(&fixed, 24));
    if rows > NODE_ROWS_MAX || read_u32(&fixed, 20) as usize != child_types.len() {
        return Err(format!("Arrow node of type {data_type} has {rows} rows and {} children", read_u32(&fixed, 20)));
    }
    let head = reader.take(FIXED + buffer_count * 8)?;
    let rows = rows as usize;
    let mut builder = ArrayDataBuilder::new(data_type.clone()).len(rows);
    if validity_bytes > 0 {
        if validity_bytes != rows.div_ceil(8) as u64 {
            return Err(format!("Arrow node of {rows} rows has {validity_bytes} bytes of validity"));
        }
        let nulls = NullBuffer::new(BooleanBuffer::new(reader.take(rows.div_ceil(8))?, 0, rows));
        if nulls.null_count() as u64 != null_count {
            return Err(format!("Arrow node has {} NULLs, {null_count} expected", nulls.null_count()));
        }
        builder = builder.nulls(Some(nulls));
    }
    let layout = layout(data_type);
    for buffer in 0..buffer_count {
        let bytes = read_u64(&head, FIXED + buffer * 8) as usize;
        if let Some(BufferSpec::FixedWidth { byte_width, .. }) = layout.buffers.get(buffer)
            && !bytes.is_multiple_of(*byte_width)
        {
            return Err(format!("Arrow node of type {data_type} has a buffer of {bytes} bytes"));
        }
        builder = builder.add_buffer(reader.take(bytes)?);
    }
    for child_type in child_types {
        builder = builder.add_child_data(read_node(reader, child_type)?);
    }
    // Sound pages are aligned, and nothing is copied; in damaged ones a buffer may lie anywhere.
    let builder = builder.align_buffers(true);
    builder.build().map_err(|error| format!("Arrow node of type {data_type} is damaged: {error}"))
}

impl PageReader {
    /// The fixed part of the node that comes next, and its number of buffers, without passing it.
    fn peek_node(&mut self, fixed: usize) -> std::result::Result<(arrow::buffer::Buffer, usize), String> {
        const BUFFERS_MAX: u32 = 1 << 16;
        let place = self.place();
        let head = self.take(fixed)?;
        self.rewind(place);
        let buffers = read_u32(&head, 16);
        if buffers > BUFFERS_MAX {
            return Err(format!("Arrow node has {buffers} buffers"));
        }
        Ok((head, buffers as usize))
    }
}
