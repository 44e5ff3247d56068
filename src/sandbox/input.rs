//! Columns into a guest's memory.
//!
//! First all columns are measured, so that the guest is asked for one region for everything; then they are written, each
//! buffer by one copy where Arrow has it in one piece:
//!
//! ```text
//! region   descriptor of column 0 | … | descriptor of the result | (to a multiple of 8) buffers of column 0 | …
//! ```

use crate::error::{Error, Result};
use crate::layout::{DESCRIPTOR_BYTES, Descriptor, Layout};
use arrow::array::{Array, ArrayRef, AsArray, GenericByteArray, GenericByteViewArray, OffsetSizeTrait};
use arrow::buffer::Buffer;
use arrow::datatypes::{ArrowNativeType, ByteArrayType, ByteViewType, DataType};

/// Columns, measured.
pub(crate) struct Input {
    columns: Vec<Column>,
    bytes: usize,
}

/// One column in its final encoding, and how much it needs.
struct Column {
    array: ArrayRef,
    layout: Layout,
    data_bytes: usize,
    validity: Option<Buffer>,
}

/// Where the columns were written.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    /// The first descriptor.
    pub descriptors: u32,
    /// The descriptor of the result, all zeros.
    pub out: u32,
}

impl Input {
    /// Measures `arrays`; those a guest cannot have are an error of ours, for declarations are checked earlier.
    pub(crate) fn new(arrays: &[ArrayRef]) -> Result<Input> {
        let columns = arrays.iter().map(Column::new).collect::<Result<Vec<Column>>>()?;
        let head = padded((columns.len() + 1) * DESCRIPTOR_BYTES);
        let bytes = head + columns.iter().map(Column::bytes).sum::<usize>();
        Ok(Input { columns, bytes })
    }

    /// Bytes of the region.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes everything to the region that begins at `at`, which must lie in `memory`; an error says that it does not.
    pub(crate) fn write(&self, memory: &mut [u8], at: usize) -> Result<Written, String> {
        if !at.is_multiple_of(8) {
            return Err(format!("alloc returned {at}, which is not aligned to 8 bytes"));
        }
        let end = at.checked_add(self.bytes).filter(|end| *end <= memory.len());
        let Some(end) = end else {
            return Err(format!("alloc returned {at} for {} bytes, beyond the end of its memory", self.bytes));
        };
        let (head, mut rest) = memory[at..end].split_at_mut(padded((self.columns.len() + 1) * DESCRIPTOR_BYTES));
        let mut position = at + head.len();
        let mut descriptors = head.chunks_exact_mut(DESCRIPTOR_BYTES);
        for (column, descriptor) in self.columns.iter().zip(&mut descriptors) {
            let (own, others) = rest.split_at_mut(column.bytes());
            descriptor.copy_from_slice(&column.write(own, position).encode());
            position += own.len();
            rest = others;
        }
        if let Some(out) = descriptors.next() {
            out.fill(0);
        }
        Ok(Written { descriptors: at as u32, out: (at + self.columns.len() * DESCRIPTOR_BYTES) as u32 })
    }
}

impl Column {
    fn new(array: &ArrayRef) -> Result<Column> {
        let array = decoded(array)?;
        let layout = Layout::of(array.data_type())
            .ok_or_else(|| Error::internal(format!("a guest cannot have a column of type {}", array.data_type())))?;
        let data_bytes = match layout {
            Layout::Fixed(width) => array.len() * width,
            Layout::Bits => array.len().div_ceil(8),
            Layout::Text | Layout::Bytes => value_bytes(&array),
        };
        let validity = array.nulls().filter(|nulls| nulls.null_count() > 0).map(|nulls| nulls.inner().sliced());
        Ok(Column { array, layout, data_bytes, validity })
    }

    /// Bytes of all its buffers, each padded.
    fn bytes(&self) -> usize {
        padded(self.data_bytes) + padded(self.offset_bytes()) + padded(self.validity_bytes())
    }

    fn offset_bytes(&self) -> usize {
        match self.layout {
            Layout::Fixed(_) | Layout::Bits => 0,
            Layout::Text | Layout::Bytes => (self.array.len() + 1) * 4,
        }
    }

    fn validity_bytes(&self) -> usize {
        if self.validity.is_some() { self.array.len().div_ceil(8) } else { 0 }
    }

    /// Writes the buffers to `region`, whose address is `at`.
    fn write(&self, region: &mut [u8], at: usize) -> Descriptor {
        let (data, rest) = region.split_at_mut(padded(self.data_bytes));
        let (offsets, validity) = rest.split_at_mut(padded(self.offset_bytes()));
        let (offsets_at, validity_at) = (at + data.len(), at + data.len() + offsets.len());
        match self.layout {
            Layout::Fixed(width) => copy(data, self.fixed_values(width).as_slice()),
            Layout::Bits => copy_bits(data, &self.array.as_boolean().values().sliced(), self.array.len()),
            Layout::Text | Layout::Bytes => write_values(&self.array, data, offsets),
        }
        if let Some(bits) = &self.validity {
            copy_bits(validity, bits, self.array.len());
        }
        Descriptor {
            data: at as u32,
            data_bytes: self.data_bytes as u32,
            offsets: if offsets.is_empty() { 0 } else { offsets_at as u32 },
            validity: if self.validity.is_some() { validity_at as u32 } else { 0 },
            rows: self.array.len() as u32,
        }
    }

    fn fixed_values(&self, width: usize) -> Buffer {
        let data = self.array.to_data();
        let buffer = &data.buffers()[0];
        buffer.slice_with_length(data.offset() * width, data.len() * width)
    }
}

/// The next multiple of 8.
fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(8)
}

fn copy(to: &mut [u8], from: &[u8]) {
    to[..from.len()].copy_from_slice(from);
}

/// Copies the bits of `rows` rows; those after the last row of a byte are zero.
fn copy_bits(to: &mut [u8], bits: &Buffer, rows: usize) {
    let bytes = rows.div_ceil(8);
    to[..bytes].copy_from_slice(&bits.as_slice()[..bytes]);
    if !rows.is_multiple_of(8) {
        to[bytes - 1] &= (1 << (rows % 8)) - 1;
    }
}

/// A dictionary's values in their places; anything else as it is.
fn decoded(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Dictionary(_, values) => arrow::compute::cast(array, values).map_err(Error::internal),
        _ => Ok(array.clone()),
    }
}

/// Bytes of all values of a text or binary column.
fn value_bytes(array: &ArrayRef) -> usize {
    fn in_offsets<O: OffsetSizeTrait>(offsets: &[O]) -> usize {
        match (offsets.first(), offsets.last()) {
            (Some(first), Some(last)) => last.as_usize() - first.as_usize(),
            _ => 0,
        }
    }
    fn in_views(views: &[u128]) -> usize {
        views.iter().map(|view| *view as u32 as usize).sum()
    }
    match array.data_type() {
        DataType::Utf8 => in_offsets(array.as_string::<i32>().value_offsets()),
        DataType::LargeUtf8 => in_offsets(array.as_string::<i64>().value_offsets()),
        DataType::Binary => in_offsets(array.as_binary::<i32>().value_offsets()),
        DataType::LargeBinary => in_offsets(array.as_binary::<i64>().value_offsets()),
        DataType::Utf8View => in_views(array.as_string_view().views()),
        _ => in_views(array.as_binary_view().views()),
    }
}

/// Writes the values of a text or binary column one after another, and where each begins.
fn write_values(array: &ArrayRef, data: &mut [u8], offsets: &mut [u8]) {
    match array.data_type() {
        DataType::Utf8 => write_contiguous(array.as_string::<i32>(), data, offsets),
        DataType::LargeUtf8 => write_contiguous(array.as_string::<i64>(), data, offsets),
        DataType::Binary => write_contiguous(array.as_binary::<i32>(), data, offsets),
        DataType::LargeBinary => write_contiguous(array.as_binary::<i64>(), data, offsets),
        DataType::Utf8View => write_views(array.as_string_view(), data, offsets),
        _ => write_views(array.as_binary_view(), data, offsets),
    }
}

fn write_contiguous<T: ByteArrayType>(array: &GenericByteArray<T>, data: &mut [u8], offsets: &mut [u8]) {
    let from = array.value_offsets();
    let Some(first) = from.first().map(|first| first.as_usize()) else { return };
    let last = from.last().map_or(first, |last| last.as_usize());
    copy(data, &array.value_data()[first..last]);
    for (to, offset) in offsets.chunks_exact_mut(4).zip(from) {
        to.copy_from_slice(&((offset.as_usize() - first) as u32).to_le_bytes());
    }
}

fn write_views<T: ByteViewType + ?Sized>(array: &GenericByteViewArray<T>, data: &mut [u8], offsets: &mut [u8]) {
    let mut position = 0;
    let mut to = offsets.chunks_exact_mut(4);
    for (row, view) in array.views().iter().enumerate() {
        if let Some(to) = to.next() {
            to.copy_from_slice(&(position as u32).to_le_bytes());
        }
        let len = *view as u32 as usize;
        let value: &[u8] = array.value(row).as_ref();
        data[position..position + len].copy_from_slice(value);
        position += len;
    }
    if let Some(to) = to.next() {
        to.copy_from_slice(&(position as u32).to_le_bytes());
    }
}
