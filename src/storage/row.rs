//! One row in as many bytes as it needs: the form of rows in a table's delta tree.
//!
//! ```text
//! row   a bit per column, set for NULL, in whole bytes · a slot per column · bytes of strings, one behind the other
//! slot  fixed-width value: its bytes as Arrow has them · Boolean: one byte · string: where it ends, u32
//! ```
//!
//! A slot is at the same place in every row, so columns are made of many rows without any search. Records of small commits in the log have
//! rows in this form, too. Tables with columns of other types (lists, structs) have no such form, and
//! no delta tree.

use crate::error::Result;
use crate::key::ByteValues;
use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryBuilder, BinaryViewBuilder, BooleanArray, LargeBinaryBuilder,
    LargeStringBuilder, NullBufferBuilder, RecordBatch, RecordBatchOptions, StringBuilder, StringViewBuilder,
    make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer};
use arrow::datatypes::{DataType, SchemaRef};
use std::sync::Arc;

/// A row's bytes.
pub(crate) type RowBytes = Box<[u8]>;

/// How the rows of one table are written.
#[derive(Clone, Debug)]
pub(crate) struct RowFormat {
    columns: Vec<Column>,
    /// Bytes before the strings.
    fixed_bytes: usize,
}

/// One column of a row.
#[derive(Clone, Debug)]
struct Column {
    number: usize,
    data_type: DataType,
    form: Form,
    slot: usize,
    /// Slot of the string before this one, whose end is this one's beginning.
    slot_before: Option<usize>,
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Fixed(usize),
    Boolean,
    Bytes,
}

impl Form {
    fn of(data_type: &DataType) -> Option<Form> {
        match data_type {
            DataType::Boolean => Some(Form::Boolean),
            DataType::FixedSizeBinary(width @ 1..) => Some(Form::Fixed(*width as usize)),
            DataType::FixedSizeBinary(_) => None,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Form::Bytes),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Some(Form::Bytes),
            other => other.primitive_width().map(Form::Fixed),
        }
    }

    fn slot_bytes(self) -> usize {
        match self {
            Form::Fixed(width) => width,
            Form::Boolean => 1,
            Form::Bytes => size_of::<u32>(),
        }
    }
}

impl RowFormat {
    /// The form of rows with these columns; `None` when one is of a type that has none.
    pub(crate) fn new(schema: &SchemaRef) -> Option<RowFormat> {
        let mut columns = Vec::with_capacity(schema.fields().len());
        let mut slot = schema.fields().len().div_ceil(8);
        let mut slot_before = None;
        for (number, field) in schema.fields().iter().enumerate() {
            let (data_type, form) = (field.data_type().clone(), Form::of(field.data_type())?);
            columns.push(Column { number, data_type, form, slot, slot_before });
            if form == Form::Bytes {
                slot_before = Some(slot);
            }
            slot += form.slot_bytes();
        }
        Some(RowFormat { columns, fixed_bytes: slot })
    }

    /// The rows of `batch`, which has all columns. `None` when one is too long.
    pub(crate) fn encode(&self, batch: &RecordBatch) -> Option<Vec<RowBytes>> {
        let sources: Vec<Source<'_>> = batch.columns().iter().zip(&self.columns).map(Source::new).collect();
        let mut row = vec![];
        (0..batch.num_rows()).map(|number| self.encode_row(&sources, number, &mut row)).collect()
    }

    fn encode_row(&self, sources: &[Source<'_>], number: usize, row: &mut Vec<u8>) -> Option<RowBytes> {
        row.clear();
        row.resize(self.fixed_bytes, 0);
        for (column, source) in self.columns.iter().zip(sources) {
            let is_null = source.is_null(number);
            if is_null {
                row[column.number / 8] |= 1 << (column.number % 8);
            }
            match &source.values {
                Values::Bytes(values) => {
                    if !is_null {
                        row.extend_from_slice(values.value(number));
                    }
                    let end = u32::try_from(row.len() - self.fixed_bytes).ok()?;
                    row[column.slot..][..size_of::<u32>()].copy_from_slice(&end.to_le_bytes());
                }
                _ if is_null => {}
                Values::Fixed { bytes, width } => {
                    row[column.slot..][..*width].copy_from_slice(&bytes[number * width..][..*width]);
                }
                Values::Boolean(values) => row[column.slot] = u8::from(values.value(number)),
            }
        }
        Some(row.as_slice().into())
    }

    /// Whether `row` can be decoded.
    pub(crate) fn is_well_formed(&self, row: &[u8]) -> bool {
        if row.len() < self.fixed_bytes {
            return false;
        }
        let mut start = self.fixed_bytes;
        self.columns.iter().filter(|column| column.form == Form::Bytes).all(|column| {
            let end = column.end(row, self.fixed_bytes);
            let bytes = row.get(start..end);
            start = end;
            let is_text = matches!(column.data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            bytes.is_some_and(|bytes| !is_text || std::str::from_utf8(bytes).is_ok())
        })
    }

    /// A decoder of the columns `projection`.
    pub(crate) fn decoder(&self, projection: &[usize], rows: usize) -> RowDecoder {
        let columns = projection.iter().map(|&column| ColumnDecoder::new(&self.columns[column], rows)).collect();
        RowDecoder { columns, fixed_bytes: self.fixed_bytes, rows: 0 }
    }
}

/// A column that rows are made of.
struct Source<'a> {
    array: &'a ArrayRef,
    values: Values<'a>,
}

enum Values<'a> {
    Fixed { bytes: Buffer, width: usize },
    Boolean(&'a BooleanArray),
    Bytes(ByteValues<'a>),
}

impl<'a> Source<'a> {
    fn new((array, column): (&'a ArrayRef, &Column)) -> Source<'a> {
        let values = match column.form {
            Form::Fixed(width) => {
                let data = array.to_data();
                Values::Fixed { bytes: data.buffers()[0].slice(data.offset() * width), width }
            }
            Form::Boolean => Values::Boolean(array.as_boolean()),
            Form::Bytes => Values::Bytes(ByteValues::of(array)),
        };
        Source { array, values }
    }

    fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }
}

/// Makes columns of rows.
pub(crate) struct RowDecoder {
    columns: Vec<ColumnDecoder>,
    fixed_bytes: usize,
    rows: usize,
}

impl RowDecoder {
    /// Adds rows that [`RowFormat::encode`] made.
    pub(crate) fn append(&mut self, rows: &[&[u8]]) {
        self.rows += rows.len();
        self.columns.iter_mut().for_each(|column| column.append(rows, self.fixed_bytes));
    }

    /// All rows added, as a batch of `schema`.
    pub(crate) fn finish(self, schema: SchemaRef) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let columns = self.columns.into_iter().map(ColumnDecoder::finish).collect::<Result<_>>()?;
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}

struct ColumnDecoder {
    column: Column,
    nulls: NullBufferBuilder,
    values: Decoded,
}

enum Decoded {
    Fixed(MutableBuffer),
    Boolean(Vec<bool>),
    Utf8(StringBuilder),
    LargeUtf8(LargeStringBuilder),
    Utf8View(StringViewBuilder),
    Binary(BinaryBuilder),
    LargeBinary(LargeBinaryBuilder),
    BinaryView(BinaryViewBuilder),
}

impl ColumnDecoder {
    fn new(column: &Column, rows: usize) -> ColumnDecoder {
        let values = match (column.form, &column.data_type) {
            (Form::Fixed(width), _) => Decoded::Fixed(MutableBuffer::new(rows * width)),
            (Form::Boolean, _) => Decoded::Boolean(Vec::with_capacity(rows)),
            (_, DataType::Utf8) => Decoded::Utf8(StringBuilder::new()),
            (_, DataType::LargeUtf8) => Decoded::LargeUtf8(LargeStringBuilder::new()),
            (_, DataType::Utf8View) => Decoded::Utf8View(StringViewBuilder::with_capacity(rows)),
            (_, DataType::Binary) => Decoded::Binary(BinaryBuilder::new()),
            (_, DataType::LargeBinary) => Decoded::LargeBinary(LargeBinaryBuilder::new()),
            (Form::Bytes, _) => Decoded::BinaryView(BinaryViewBuilder::with_capacity(rows)),
        };
        ColumnDecoder { column: column.clone(), nulls: NullBufferBuilder::new(rows), values }
    }

    fn append(&mut self, rows: &[&[u8]], fixed_bytes: usize) {
        let column = &self.column;
        let (byte, bit, slot) = (column.number / 8, column.number % 8, column.slot);
        let is_null = |row: &[u8]| row[byte] >> bit & 1 == 1;
        macro_rules! strings {
            ($values:ident, $read:ident) => {
                for row in rows {
                    $values.append_option((!is_null(row)).then(|| column.$read(row, fixed_bytes)));
                }
            };
        }
        match &mut self.values {
            Decoded::Fixed(values) => {
                let width = column.form.slot_bytes();
                for row in rows {
                    values.extend_from_slice(&row[slot..slot + width]);
                    self.nulls.append(!is_null(row));
                }
            }
            Decoded::Boolean(values) => {
                for row in rows {
                    values.push(row[slot] == 1);
                    self.nulls.append(!is_null(row));
                }
            }
            Decoded::Utf8(values) => strings!(values, text),
            Decoded::LargeUtf8(values) => strings!(values, text),
            Decoded::Utf8View(values) => strings!(values, text),
            Decoded::Binary(values) => strings!(values, bytes),
            Decoded::LargeBinary(values) => strings!(values, bytes),
            Decoded::BinaryView(values) => strings!(values, bytes),
        }
    }

    fn finish(mut self) -> Result<ArrayRef> {
        let nulls = self.nulls.finish();
        Ok(match self.values {
            Decoded::Fixed(values) => {
                let width = self.column.form.slot_bytes();
                let data = ArrayData::builder(self.column.data_type).len(values.len() / width);
                make_array(data.add_buffer(values.into()).nulls(nulls).build()?)
            }
            Decoded::Boolean(values) => Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls)),
            Decoded::Utf8(mut values) => Arc::new(values.finish()),
            Decoded::LargeUtf8(mut values) => Arc::new(values.finish()),
            Decoded::Utf8View(mut values) => Arc::new(values.finish()),
            Decoded::Binary(mut values) => Arc::new(values.finish()),
            Decoded::LargeBinary(mut values) => Arc::new(values.finish()),
            Decoded::BinaryView(mut values) => Arc::new(values.finish()),
        })
    }
}

impl Column {
    /// The string of a row.
    #[inline]
    fn bytes<'a>(&self, row: &'a [u8], fixed_bytes: usize) -> &'a [u8] {
        let start = self.slot_before.map_or(fixed_bytes, |slot| end_in(row, slot, fixed_bytes));
        &row[start..self.end(row, fixed_bytes)]
    }

    /// Where the string of a row ends.
    fn end(&self, row: &[u8], fixed_bytes: usize) -> usize {
        end_in(row, self.slot, fixed_bytes)
    }

    #[inline]
    fn text<'a>(&self, row: &'a [u8], fixed_bytes: usize) -> &'a str {
        std::str::from_utf8(self.bytes(row, fixed_bytes)).expect("the bytes are those of a text")
    }
}

/// Where the string ends whose slot is at `slot`.
#[inline]
fn end_in(row: &[u8], slot: usize, fixed_bytes: usize) -> usize {
    let bytes = row[slot..].first_chunk().expect("a slot of a string has four bytes");
    fixed_bytes + u32::from_le_bytes(*bytes) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BinaryArray, BinaryViewArray, Decimal128Array, FixedSizeBinaryArray, Int8Array, Int64Array,
        IntervalMonthDayNanoArray, LargeBinaryArray, LargeStringArray, StringArray, StringViewArray,
    };
    use arrow::datatypes::{Field, Int32Type, IntervalMonthDayNano, Schema};

    fn example() -> RecordBatch {
        let text = [Some("a"), None, Some(""), Some("a text that does not fit into a view"), Some("ü")];
        let bytes: Vec<Option<&[u8]>> = text.iter().map(|text| text.map(str::as_bytes)).collect();
        let decimal = Decimal128Array::from(vec![Some(1), None, Some(-3), Some(4), Some(i128::MAX)]);
        let fixed = [Some([1; 3]), None, Some([2; 3]), None, Some([3; 3])];
        let interval = IntervalMonthDayNano::new(1, -2, 3);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("i8", Arc::new(Int8Array::from(vec![Some(-1), None, Some(3), Some(4), None]))),
            ("i64", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(3), Some(4), None]))),
            ("view", Arc::new(StringViewArray::from_iter(text))),
            ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None]))),
            ("utf8", Arc::new(StringArray::from_iter(text))),
            ("large", Arc::new(LargeStringArray::from_iter(text))),
            ("decimal", Arc::new(decimal.with_precision_and_scale(38, 2).unwrap())),
            ("binary", Arc::new(BinaryArray::from_iter(bytes.clone()))),
            ("large binary", Arc::new(LargeBinaryArray::from_iter(bytes.clone()))),
            ("fixed", Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed.into_iter(), 3).unwrap())),
            ("binary view", Arc::new(BinaryViewArray::from_iter(bytes))),
            ("interval", Arc::new(IntervalMonthDayNanoArray::from(vec![Some(interval), None, None, None, None]))),
        ];
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    #[test]
    fn rows_of_all_types_come_back_whole_sliced_and_projected() {
        let batch = example();
        let format = RowFormat::new(&batch.schema()).unwrap();
        let all: Vec<usize> = (0..batch.num_columns()).collect();
        for batch in [batch.clone(), batch.slice(1, 3), batch.slice(4, 1), batch.slice(2, 0)] {
            let rows = format.encode(&batch).unwrap();
            let rows: Vec<&[u8]> = rows.iter().map(AsRef::as_ref).collect();
            for projection in [&all[..], &[10, 2, 1], &[]] {
                let mut decoder = format.decoder(projection, 3);
                rows.chunks(2).for_each(|rows| decoder.append(rows));
                let schema = Arc::new(batch.schema().project(projection).unwrap());
                assert_eq!(decoder.finish(schema).unwrap(), batch.project(projection).unwrap());
            }
        }
    }

    #[test]
    fn columns_of_lists_have_no_form() {
        let list = arrow::array::ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)])]);
        let fields = vec![Field::new("l", list.data_type().clone(), true)];
        assert!(RowFormat::new(&Arc::new(Schema::new(fields))).is_none());
    }
}
