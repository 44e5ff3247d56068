//! A guest's result into an Arrow column.
//!
//! Nothing a guest says is believed: every pointer and length is checked against its memory before it is followed,
//! offsets must rise within the data, text must be UTF-8 without zero bytes, values must be values of SQL. What is right is copied once;
//! after that the guest can do what it likes with its memory.

use crate::layout::{DESCRIPTOR_BYTES, Descriptor, Layout};
use crate::range;
use arrow::array::{
    ArrayData, ArrayRef, BinaryArray, BinaryViewArray, GenericStringArray, LargeBinaryArray, OffsetSizeTrait,
    StringViewArray, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use std::sync::Arc;

/// What is wrong with a result.
type Detail = String;

/// The descriptor at `at`.
pub(crate) fn descriptor(memory: &[u8], at: u32) -> Result<Descriptor, Detail> {
    let bytes = region(memory, at, DESCRIPTOR_BYTES, "the result's descriptor")?;
    let bytes = bytes.first_chunk().ok_or("the result's descriptor is cut off")?;
    Ok(Descriptor::decode(bytes))
}

/// The bytes of an error's text.
pub(crate) fn message(memory: &[u8], descriptor: Descriptor) -> Result<&[u8], Detail> {
    region(memory, descriptor.data, descriptor.data_bytes as usize, "the error's text")
}

/// The column of `rows` rows and type `returns` that `descriptor` describes.
pub(crate) fn read(memory: &[u8], descriptor: Descriptor, returns: &DataType, rows: usize) -> Result<ArrayRef, Detail> {
    if descriptor.rows as usize != rows {
        return Err(format!("it returned {} rows for {rows}", descriptor.rows));
    }
    let layout = Layout::of(returns).ok_or("a result of this type is not possible")?;
    let data = region(memory, descriptor.data, descriptor.data_bytes as usize, "the result's data")?;
    let nulls = validity(memory, descriptor, rows)?;
    match layout {
        Layout::Fixed(width) => build(returns, rows, exact(data, rows * width)?, nulls),
        Layout::Bits => build(returns, rows, exact(data, rows.div_ceil(8))?, nulls),
        Layout::Text | Layout::Bytes => {
            let (offsets, values) = values(memory, descriptor, data, rows)?;
            bytes_array(returns, offsets, values, nulls)
        }
    }
}

/// `len` bytes at `at`.
fn region<'a>(memory: &'a [u8], at: u32, len: usize, what: &str) -> Result<&'a [u8], Detail> {
    let at = at as usize;
    at.checked_add(len)
        .and_then(|end| memory.get(at..end))
        .ok_or_else(|| format!("{what} ({len} bytes at {at}) is beyond the end of its memory"))
}

/// The first `len` bytes of the result's data, copied.
fn exact(data: &[u8], len: usize) -> Result<Buffer, Detail> {
    match data.get(..len) {
        Some(bytes) => Ok(copied(bytes)),
        None => Err(format!("the result's data has {} bytes where {len} are needed", data.len())),
    }
}

/// A copy, aligned for any type.
fn copied(bytes: &[u8]) -> Buffer {
    let mut buffer = MutableBuffer::with_capacity(bytes.len());
    buffer.extend_from_slice(bytes);
    buffer.into()
}

fn validity(memory: &[u8], descriptor: Descriptor, rows: usize) -> Result<Option<NullBuffer>, Detail> {
    if descriptor.validity == 0 {
        return Ok(None);
    }
    let bits = region(memory, descriptor.validity, rows.div_ceil(8), "the result's validity")?;
    let nulls = NullBuffer::new(BooleanBuffer::new(copied(bits), 0, rows));
    Ok(Some(nulls).filter(|nulls| nulls.null_count() > 0))
}

fn build(returns: &DataType, rows: usize, data: Buffer, nulls: Option<NullBuffer>) -> Result<ArrayRef, Detail> {
    let data = ArrayData::builder(returns.clone()).len(rows).add_buffer(data).nulls(nulls).build();
    let array = data.map(make_array).map_err(|error| error.to_string())?;
    range::check(&array)?;
    Ok(array)
}

/// Offsets from 0 on, and the bytes they point to.
fn values(
    memory: &[u8],
    descriptor: Descriptor,
    data: &[u8],
    rows: usize,
) -> Result<(OffsetBuffer<i32>, Buffer), Detail> {
    let bytes = region(memory, descriptor.offsets, (rows + 1) * 4, "the result's offsets")?;
    let mut offsets: Vec<i32> = Vec::with_capacity(rows + 1);
    offsets.extend(bytes.chunks_exact(4).map(|four| i32::from_le_bytes([four[0], four[1], four[2], four[3]])));
    let (first, last) = match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => (*first, *last),
        _ => return Err("the result has no offsets".to_string()),
    };
    let is_rising = first >= 0 && offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    if !is_rising {
        return Err("the result's offsets do not rise".to_string());
    }
    let Some(values) = data.get(first as usize..last as usize) else {
        return Err(format!("the result's offsets end at {last}, beyond its {} bytes of data", data.len()));
    };
    if first > 0 {
        offsets.iter_mut().for_each(|offset| *offset -= first);
    }
    Ok((OffsetBuffer::new(ScalarBuffer::from(offsets)), copied(values)))
}

/// A text or binary column in the encoding of `returns`.
fn bytes_array(
    returns: &DataType,
    offsets: OffsetBuffer<i32>,
    values: Buffer,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, Detail> {
    let binary = |offsets, values, nulls| BinaryArray::try_new(offsets, values, nulls).map_err(|e| e.to_string());
    let array: ArrayRef = match returns {
        DataType::Utf8 => Arc::new(text(offsets, values, nulls)?),
        DataType::Utf8View => Arc::new(StringViewArray::from(&text(offsets, values, nulls)?)),
        DataType::LargeUtf8 => Arc::new(text(wide(&offsets), values, nulls)?),
        DataType::Binary => Arc::new(binary(offsets, values, nulls)?),
        DataType::BinaryView => Arc::new(BinaryViewArray::from(&binary(offsets, values, nulls)?)),
        DataType::LargeBinary => {
            Arc::new(LargeBinaryArray::try_new(wide(&offsets), values, nulls).map_err(|e| e.to_string())?)
        }
        DataType::Dictionary(_, of) => {
            let array = bytes_array(of, offsets, values, nulls)?;
            arrow::compute::cast(&array, returns).map_err(|error| error.to_string())?
        }
        _ => return Err("a result of this type is not possible".to_string()),
    };
    Ok(array)
}

/// A text column; it is looked at while its bytes lie in one piece.
fn text<O: OffsetSizeTrait>(
    offsets: OffsetBuffer<O>,
    values: Buffer,
    nulls: Option<NullBuffer>,
) -> Result<GenericStringArray<O>, Detail> {
    let texts = GenericStringArray::try_new(offsets, values, nulls);
    let texts = texts.map_err(|_| "the result is not valid UTF-8".to_string())?;
    range::check_text(&texts)?;
    Ok(texts)
}

fn wide(offsets: &OffsetBuffer<i32>) -> OffsetBuffer<i64> {
    OffsetBuffer::new(offsets.iter().map(|offset| i64::from(*offset)).collect())
}
