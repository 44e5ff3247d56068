//! Collects decoded values of one column, whatever pages they come from, into one Arrow array.
//!
//! Fixed-width values go to one vector. Strings become views: inline when short, else pointing into buffers that are
//! shared with dictionary pages (no copy) or filled by decoders. Everything else is kept as pieces and concatenated.

#![expect(
    unsafe_code,
    reason = "view arrays are built without checking each value again; every source was checked before"
)]

use super::VECTOR_ROWS;
use super::mask::Mask;
use super::physical::{Native, Physical, Text};
use crate::error::{Error, Result};
use arrow::array::{
    Array, ArrayData, ArrayRef, BinaryViewArray, BooleanArray, BooleanBufferBuilder, GenericByteViewArray,
    NullBufferBuilder, StringViewArray, make_array,
};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{ArrowNativeType, ByteViewType, DataType, ToByteSlice};
use std::ops::Range;
use std::sync::Arc;

/// Collects decoded values of one column, whatever pages they come from.
#[derive(Debug)]
pub struct ColumnBuilder {
    data_type: DataType,
    rows_expected: usize,
    values: Values,
    validity: NullBufferBuilder,
    rows: usize,
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Single<'a> {
    /// NULL.
    Null,
    /// Whatever is an integer underneath, in the order of its type.
    Integer(i128),
    /// A string.
    Bytes(&'a [u8]),
    /// Anything else.
    Other,
}

/// Values by physical form.
#[derive(Debug)]
pub(crate) enum Values {
    /// One byte each.
    W1(Vec<i8>),
    /// Two bytes each.
    W2(Vec<i16>),
    /// Four bytes each, `f32` bits included.
    W4(Vec<i32>),
    /// Eight bytes each, `f64` bits included.
    W8(Vec<i64>),
    /// Sixteen bytes each.
    W16(Vec<i128>),
    /// Booleans.
    Bits(BooleanBufferBuilder),
    /// Strings.
    Views(Views),
    /// Anything else.
    Pieces(Vec<ArrayRef>),
}

impl Values {
    fn new(data_type: &DataType, rows: usize) -> Values {
        match Physical::of(data_type) {
            Physical::Integer(Native::I8 | Native::U8) => Values::W1(Vec::with_capacity(rows)),
            Physical::Integer(Native::I16 | Native::U16) => Values::W2(Vec::with_capacity(rows)),
            Physical::Integer(Native::I32 | Native::U32) | Physical::Float32 => Values::W4(Vec::with_capacity(rows)),
            Physical::Integer(Native::I64 | Native::U64) | Physical::Float64 => Values::W8(Vec::with_capacity(rows)),
            Physical::Integer(Native::I128) => Values::W16(Vec::with_capacity(rows)),
            Physical::Boolean => Values::Bits(BooleanBufferBuilder::new(rows)),
            Physical::Bytes(_) => Values::Views(Views::new(rows)),
            Physical::FixedBytes | Physical::Other => Values::Pieces(Vec::new()),
        }
    }
}

impl ColumnBuilder {
    /// Room for `rows`.
    pub fn new(data_type: &DataType, rows: usize) -> ColumnBuilder {
        ColumnBuilder {
            data_type: data_type.clone(),
            rows_expected: rows,
            values: Values::new(data_type, rows),
            validity: NullBufferBuilder::new(rows),
            rows: 0,
        }
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True when no rows were added.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Appends the rows of a plain array set in `mask` from bit `at` on; all when `mask` is `None`.
    pub fn append_array(&mut self, values: &ArrayRef, mask: Option<(&Mask, usize)>) -> Result<()> {
        if values.data_type() != &self.data_type {
            return Err(Error::Unsupported(format!(
                "a {} array cannot be appended to a {} column",
                values.data_type(),
                self.data_type
            )));
        }
        self.append_range(values, 0..values.len(), mask)
    }

    /// Appends rows `range` of a plain array, or those alive in `mask` (bit `at + i` for row `range.start + i`). The array
    /// has the column's type, except that any byte strings do for any.
    pub(crate) fn append_range(
        &mut self,
        values: &ArrayRef,
        range: Range<usize>,
        mask: Option<(&Mask, usize)>,
    ) -> Result<()> {
        let rows = Rows { range: range.clone(), mask };
        match &mut self.values {
            Values::W1(out) => append_fixed(out, values, rows),
            Values::W2(out) => append_fixed(out, values, rows),
            Values::W4(out) => append_fixed(out, values, rows),
            Values::W8(out) => append_fixed(out, values, rows),
            Values::W16(out) => append_fixed(out, values, rows),
            Values::Bits(out) => append_bits(out, values, rows),
            Values::Views(out) => out.append(values, rows)?,
            Values::Pieces(out) => out.push(picked(values, rows)?),
        }
        self.append_validity(values.nulls(), range, mask);
        Ok(())
    }

    /// Appends the only row of `one` `rows` times.
    pub(crate) fn append_repeated(&mut self, one: &ArrayRef, rows: usize) -> Result<()> {
        if one.is_null(0) {
            return self.append_nulls(rows);
        }
        match &mut self.values {
            Values::W1(out) => repeat_fixed(out, one, rows),
            Values::W2(out) => repeat_fixed(out, one, rows),
            Values::W4(out) => repeat_fixed(out, one, rows),
            Values::W8(out) => repeat_fixed(out, one, rows),
            Values::W16(out) => repeat_fixed(out, one, rows),
            Values::Bits(out) => out.append_n(rows, arrow::array::AsArray::as_boolean(one).value(0)),
            Values::Views(out) => {
                if rows > 0 {
                    out.append(one, Rows { range: 0..1, mask: None })?;
                    let view = out.views[out.views.len() - 1];
                    out.views.resize(out.views.len() + rows - 1, view);
                }
            }
            Values::Pieces(out) => out.push(take(one, &arrow::array::UInt32Array::from(vec![0; rows]), None)?),
        }
        self.append_valid(rows);
        Ok(())
    }

    /// Appends `rows` NULLs.
    fn append_nulls(&mut self, rows: usize) -> Result<()> {
        match &mut self.values {
            Values::W1(out) => out.resize(out.len() + rows, 0),
            Values::W2(out) => out.resize(out.len() + rows, 0),
            Values::W4(out) => out.resize(out.len() + rows, 0),
            Values::W8(out) => out.resize(out.len() + rows, 0),
            Values::W16(out) => out.resize(out.len() + rows, 0),
            Values::Bits(out) => out.append_n(rows, false),
            Values::Views(out) => out.views.resize(out.views.len() + rows, 0),
            Values::Pieces(out) => out.push(super::physical::all_null(&self.data_type, rows)),
        }
        self.validity.append_n_nulls(rows);
        self.rows += rows;
        Ok(())
    }

    /// The only value, where it can be had without making an array. The builder must have one row.
    pub(crate) fn single(&self) -> Single<'_> {
        debug_assert_eq!(self.rows, 1, "asked for the only one of so many values");
        if !self.validity.is_valid(0) {
            return Single::Null;
        }
        let is_unsigned = self.data_type.is_unsigned_integer();
        match &self.values {
            Values::W1(values) if is_unsigned => Single::Integer((values[0] as u8).into()),
            Values::W2(values) if is_unsigned => Single::Integer((values[0] as u16).into()),
            Values::W4(values) if is_unsigned => Single::Integer((values[0] as u32).into()),
            Values::W8(values) if is_unsigned => Single::Integer((values[0] as u64).into()),
            Values::W4(_) | Values::W8(_) if self.data_type.is_floating() => Single::Other,
            Values::W1(values) => Single::Integer(values[0].into()),
            Values::W2(values) => Single::Integer(values[0].into()),
            Values::W4(values) => Single::Integer(values[0].into()),
            Values::W8(values) => Single::Integer(values[0].into()),
            Values::W16(values) => Single::Integer(values[0]),
            Values::Views(views) => Single::Bytes(views.bytes(0)),
            Values::Bits(_) | Values::Pieces(_) => Single::Other,
        }
    }

    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        match &mut self.values {
            Values::W1(values) => values.clear(),
            Values::W2(values) => values.clear(),
            Values::W4(values) => values.clear(),
            Values::W8(values) => values.clear(),
            Values::W16(values) => values.clear(),
            Values::Bits(values) => values.truncate(0),
            Values::Views(views) => views.clear(),
            Values::Pieces(pieces) => pieces.clear(),
        }
        self.validity = NullBufferBuilder::new(self.rows_expected);
        self.rows = 0;
    }

    /// The column. The builder is empty afterwards.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        let values = std::mem::replace(&mut self.values, Values::new(&self.data_type, 0));
        let nulls = self.validity.finish();
        let rows = std::mem::take(&mut self.rows);
        self.validity = NullBufferBuilder::new(self.rows_expected);
        match values {
            Values::W1(values) => self.fixed_array(Buffer::from_vec(values), rows, nulls),
            Values::W2(values) => self.fixed_array(Buffer::from_vec(values), rows, nulls),
            Values::W4(values) => self.fixed_array(Buffer::from_vec(values), rows, nulls),
            Values::W8(values) => self.fixed_array(Buffer::from_vec(values), rows, nulls),
            Values::W16(values) => self.fixed_array(Buffer::from_vec(values), rows, nulls),
            Values::Bits(mut values) => Ok(Arc::new(BooleanArray::new(values.finish(), nulls))),
            Values::Views(views) => views.finish(&self.data_type, nulls),
            Values::Pieces(pieces) => match pieces.as_slice() {
                [] => Ok(arrow::array::new_empty_array(&self.data_type)),
                [one] => Ok(Arc::clone(one)),
                many => Ok(concat(&many.iter().map(AsRef::as_ref).collect::<Vec<_>>())?),
            },
        }
    }

    fn fixed_array(&self, values: Buffer, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let data = ArrayData::builder(self.data_type.clone()).len(rows).add_buffer(values).nulls(nulls).build()?;
        Ok(make_array(data))
    }

    /// Type of the column.
    pub(crate) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Where decoders put values; they then call [`Self::append_validity`] for the same rows.
    pub(crate) fn values(&mut self) -> &mut Values {
        &mut self.values
    }

    /// Records validity of the rows of `range`, or of those alive in `mask`, and counts them.
    pub(crate) fn append_validity(
        &mut self,
        nulls: Option<&NullBuffer>,
        range: Range<usize>,
        mask: Option<(&Mask, usize)>,
    ) {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        match (nulls, mask) {
            (None, None) => self.append_valid(range.len()),
            (None, Some((mask, at))) => self.append_valid(mask.count_range(at, range.len())),
            (Some(nulls), None) => {
                self.validity.append_buffer(&nulls.slice(range.start, range.len()));
                self.rows += range.len();
            }
            (Some(nulls), Some((mask, at))) => {
                mask.runs(at, range.len(), |run| {
                    self.rows += run.len();
                    if run.len() == 1 {
                        self.validity.append(nulls.is_valid(range.start + run.start));
                    } else {
                        self.validity.append_buffer(&nulls.slice(range.start + run.start, run.len()));
                    }
                });
            }
        }
    }

    /// Records `rows` rows that are not NULL.
    pub(crate) fn append_valid(&mut self, rows: usize) {
        self.validity.append_n_non_nulls(rows);
        self.rows += rows;
    }
}

/// Which rows of an array to append: those of a range, or of them only those alive in a mask.
struct Rows<'a> {
    range: Range<usize>,
    mask: Option<(&'a Mask, usize)>,
}

impl Rows<'_> {
    /// Calls `each` with runs of rows to append.
    fn runs(&self, mut each: impl FnMut(Range<usize>)) {
        let start = self.range.start;
        match self.mask {
            None => each(self.range.clone()),
            Some((mask, at)) => mask.runs(at, self.range.len(), |run| each(start + run.start..start + run.end)),
        }
    }
}

/// Values of a fixed-width array.
fn fixed_values<T: ArrowNativeType>(values: &ArrayRef) -> ScalarBuffer<T> {
    let bytes = arrow::array::downcast_primitive_array!(
        values => values.values().inner().clone(),
        _ => Buffer::from(Vec::<T>::new()),
    );
    let len = bytes.len() / size_of::<T>();
    ScalarBuffer::new(bytes, 0, len)
}

fn append_fixed<T: ArrowNativeType>(out: &mut Vec<T>, values: &ArrayRef, rows: Rows<'_>) {
    let source = fixed_values::<T>(values);
    let Some((mask, at)) = rows.mask else {
        return out.extend_from_slice(&source[rows.range]);
    };
    let mut indices = [0u16; VECTOR_ROWS];
    for (vector, source) in source[rows.range].chunks(VECTOR_ROWS).enumerate() {
        let at = at + vector * VECTOR_ROWS;
        if mask.is_dense(at, source.len()) {
            mask.runs(at, source.len(), |run| out.extend_from_slice(&source[run]));
            continue;
        }
        let count = mask.indices(at, source.len(), &mut indices);
        out.extend(indices[..count].iter().map(|&i| source[usize::from(i)]));
    }
}

fn repeat_fixed<T: ArrowNativeType>(out: &mut Vec<T>, one: &ArrayRef, rows: usize) {
    out.resize(out.len() + rows, fixed_values::<T>(one)[0]);
}

fn append_bits(out: &mut BooleanBufferBuilder, values: &ArrayRef, rows: Rows<'_>) {
    let values = arrow::array::AsArray::as_boolean(values).values();
    rows.runs(|run| {
        if run.len() == 1 {
            out.append(values.value(run.start));
        } else {
            out.append_buffer(&values.slice(run.start, run.len()));
        }
    });
}

fn picked(values: &ArrayRef, rows: Rows<'_>) -> Result<ArrayRef> {
    if rows.mask.is_none() {
        return Ok(values.slice(rows.range.start, rows.range.len()));
    }
    let mut indices: Vec<u32> = Vec::new();
    rows.runs(|run| indices.extend(run.start as u32..run.end as u32));
    Ok(take(values, &arrow::array::UInt32Array::from(indices), None)?)
}

/// Strings under construction.
#[derive(Debug)]
pub(crate) struct Views {
    views: Vec<u128>,
    buffers: Vec<Buffer>,
    /// The buffer decoders write to and its place among `buffers`.
    open: Option<(usize, Vec<u8>)>,
}

/// A full decoding buffer is closed beyond this size, so that offsets stay far below 2^31.
const OPEN_BUFFER_BYTES_MAX: usize = 1 << 24;

impl Views {
    fn new(rows: usize) -> Views {
        Views { views: Vec::with_capacity(rows), buffers: Vec::new(), open: None }
    }

    /// The views.
    pub(crate) fn views(&mut self) -> &mut Vec<u128> {
        &mut self.views
    }

    /// The bytes of a value.
    fn bytes(&self, row: usize) -> &[u8] {
        let view = &self.views[row];
        let length = *view as u32 as usize;
        if length <= 12 {
            return &view.to_byte_slice()[4..4 + length];
        }
        let (buffer, offset) = ((*view >> 64) as u32 as usize, (*view >> 96) as usize);
        match &self.open {
            Some((open, bytes)) if *open == buffer => &bytes[offset..offset + length],
            _ => &self.buffers[buffer][offset..offset + length],
        }
    }

    fn clear(&mut self) {
        self.views.clear();
        self.buffers.clear();
        self.open = None;
    }

    /// Number under which views may point into `buffer`.
    pub(crate) fn share(&mut self, buffer: &Buffer) -> u32 {
        let recent = self.buffers.len().saturating_sub(16);
        let same = |known: &Buffer| known.as_ptr() == buffer.as_ptr() && known.len() == buffer.len();
        if !buffer.is_empty()
            && let Some(found) = self.buffers[recent..].iter().position(same)
        {
            return (recent + found) as u32;
        }
        self.buffers.push(buffer.clone());
        (self.buffers.len() - 1) as u32
    }

    /// A buffer with room for `bytes` more, its number, and the views to point into it.
    pub(crate) fn writable(&mut self, bytes: usize) -> (u32, &mut Vec<u8>, &mut Vec<u128>) {
        if self.open.as_ref().is_some_and(|(_, open)| open.len() + bytes > OPEN_BUFFER_BYTES_MAX) {
            self.close();
        }
        let (index, buffer) = self.open.get_or_insert_with(|| {
            self.buffers.push(Buffer::from(Vec::<u8>::new()));
            (self.buffers.len() - 1, Vec::new())
        });
        buffer.reserve(bytes);
        (*index as u32, buffer, &mut self.views)
    }

    fn close(&mut self) {
        if let Some((index, bytes)) = self.open.take() {
            self.buffers[index] = Buffer::from_vec(bytes);
        }
    }

    fn append(&mut self, values: &ArrayRef, rows: Rows<'_>) -> Result<()> {
        match values.data_type() {
            DataType::Utf8View => self.append_views(arrow::array::AsArray::as_string_view(values), rows),
            DataType::BinaryView => self.append_views(arrow::array::AsArray::as_binary_view(values), rows),
            DataType::Utf8 | DataType::LargeUtf8 => return self.append(&cast(values, &DataType::Utf8View)?, rows),
            _ => return self.append(&cast(values, &DataType::BinaryView)?, rows),
        }
        Ok(())
    }

    fn append_views<T: ByteViewType>(&mut self, values: &GenericByteViewArray<T>, rows: Rows<'_>) {
        let mut shared: Vec<Option<u32>> = vec![None; values.data_buffers().len()];
        let source = values.views();
        rows.runs(|run| {
            if shared.is_empty() {
                self.views.extend_from_slice(&source[run]);
                return;
            }
            for row in run {
                let view = source[row];
                let remapped = if view as u32 <= 12 || values.is_null(row) {
                    if values.is_null(row) { 0 } else { view }
                } else {
                    let old = (view >> 64) as u32 as usize;
                    let new = *shared[old].get_or_insert_with(|| self.share(&values.data_buffers()[old]));
                    view & !(0xffff_ffff_u128 << 64) | u128::from(new) << 64
                };
                self.views.push(remapped);
            }
        });
    }

    fn finish(mut self, data_type: &DataType, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        self.close();
        let views = ScalarBuffer::from(self.views);
        match Physical::of(data_type) {
            Physical::Bytes(Text::Utf8) => {
                // SAFETY: every view came from a valid array, from an opened dictionary (whose strings were checked), or was
                // made by a decoder over bytes it had just checked to be UTF-8.
                let array = unsafe { StringViewArray::new_unchecked(views, self.buffers, nulls) };
                converted(Arc::new(array), data_type)
            }
            _ => {
                // SAFETY: as above; binary values need no further property.
                let array = unsafe { BinaryViewArray::new_unchecked(views, self.buffers, nulls) };
                converted(Arc::new(array), data_type)
            }
        }
    }
}

fn converted(array: ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type { Ok(array) } else { Ok(cast(&array, data_type)?) }
}
