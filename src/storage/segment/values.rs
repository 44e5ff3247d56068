//! Arrow values inside footers: zone bounds and key fences of every type that has an order.
//!
//! Bytes: a count (u32), one presence byte per value (1: a value follows, 0: none), then the values that are present:
//! fixed-width values as their little-endian bytes, booleans as one byte, strings and binaries with a u32 length
//! before.

use super::bytes::{ByteReader, ByteWriter, Malformed};
use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray,
    LargeBinaryArray, LargeStringArray, StringArray, StringViewArray, make_array,
};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::DataType;
use std::sync::Arc;

/// Whether values of this type can be bounds and fences: they have a total order that SQL agrees with.
pub(crate) fn has_order(data_type: &DataType) -> bool {
    use DataType::*;
    match data_type {
        Interval(_) | Duration(_) => false,
        Boolean | Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => true,
        other => other.is_primitive(),
    }
}

/// The bytes of value `row` of a string-like array; `None` for other types.
pub(crate) fn bytes_at(values: &dyn Array, row: usize) -> Option<&[u8]> {
    Some(match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().value(row).as_bytes(),
        DataType::LargeUtf8 => values.as_string::<i64>().value(row).as_bytes(),
        DataType::Utf8View => values.as_string_view().value(row).as_bytes(),
        DataType::Binary => values.as_binary::<i32>().value(row),
        DataType::LargeBinary => values.as_binary::<i64>().value(row),
        DataType::BinaryView => values.as_binary_view().value(row),
        DataType::FixedSizeBinary(_) => values.as_fixed_size_binary().value(row),
        _ => return None,
    })
}

/// Whether the type holds text, whose values must be cut at character boundaries.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Builds a string-like array of `data_type` from bytes.
pub(crate) fn bytes_array(data_type: &DataType, values: &[Option<&[u8]>]) -> Result<ArrayRef, Malformed> {
    fn text<'a>(values: &[Option<&'a [u8]>]) -> Result<Vec<Option<&'a str>>, Malformed> {
        let text = |value: &'a [u8]| std::str::from_utf8(value).map_err(|e| format!("text is not UTF-8: {e}"));
        values.iter().map(|value| value.map(text).transpose()).collect()
    }
    let values_of = || values.iter().copied();
    Ok(match data_type {
        DataType::Utf8 => Arc::new(StringArray::from_iter(text(values)?)),
        DataType::LargeUtf8 => Arc::new(LargeStringArray::from_iter(text(values)?)),
        DataType::Utf8View => Arc::new(StringViewArray::from_iter(text(values)?)),
        DataType::Binary => Arc::new(BinaryArray::from_iter(values_of())),
        DataType::LargeBinary => Arc::new(LargeBinaryArray::from_iter(values_of())),
        DataType::BinaryView => Arc::new(BinaryViewArray::from_iter(values_of())),
        DataType::FixedSizeBinary(width) => Arc::new(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(values_of(), *width).map_err(|e| e.to_string())?,
        ),
        other => return Err(format!("{other} is not a string type")),
    })
}

/// Writes `values`, whose type [has an order](has_order).
pub(crate) fn write_values(out: &mut ByteWriter, values: &dyn Array) {
    out.u32(values.len() as u32);
    for row in 0..values.len() {
        out.u8(u8::from(values.is_valid(row)));
    }
    let valid = (0..values.len()).filter(|&row| values.is_valid(row));
    if let Some(booleans) = values.as_boolean_opt() {
        valid.for_each(|row| out.u8(u8::from(booleans.value(row))));
    } else if let Some(width) = values.data_type().primitive_width() {
        let data = values.to_data();
        let bytes = &data.buffers()[0].as_slice()[data.offset() * width..];
        valid.for_each(|row| out.raw(&bytes[row * width..(row + 1) * width]));
    } else {
        valid.for_each(|row| out.sized(bytes_at(values, row).expect("every other ordered type has bytes")));
    }
}

/// Reads what [`write_values`] wrote.
pub(crate) fn read_values(input: &mut ByteReader<'_>, data_type: &DataType) -> Result<ArrayRef, Malformed> {
    let count = input.count(1)?;
    let present: Vec<bool> = input.raw(count)?.iter().map(|byte| *byte == 1).collect();
    if *data_type == DataType::Boolean {
        let mut values = Vec::with_capacity(count);
        for present in &present {
            values.push(if *present { Some(input.u8()? == 1) } else { None });
        }
        Ok(Arc::new(BooleanArray::from(values)))
    } else if let Some(width) = data_type.primitive_width() {
        let mut bytes = vec![0; count * width];
        for (row, _) in present.iter().enumerate().filter(|(_, present)| **present) {
            bytes[row * width..(row + 1) * width].copy_from_slice(input.raw(width)?);
        }
        fixed_width(data_type, bytes, &present)
    } else {
        let mut values = Vec::with_capacity(count);
        for present in &present {
            values.push(if *present { Some(input.sized()?) } else { None });
        }
        bytes_array(data_type, &values)
    }
}

fn fixed_width(data_type: &DataType, bytes: Vec<u8>, present: &[bool]) -> Result<ArrayRef, Malformed> {
    let nulls = NullBuffer::from(present);
    let nulls = (nulls.null_count() > 0).then_some(nulls);
    let data = ArrayData::builder(data_type.clone())
        .len(present.len())
        .nulls(nulls)
        .add_buffer(Buffer::from_slice_ref(bytes.as_slice()))
        .align_buffers(true)
        .build();
    Ok(make_array(data.map_err(|e| e.to_string())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Decimal128Array, Float64Array, Int64Array, TimestampMicrosecondArray};

    fn round_trip(values: ArrayRef) {
        let mut out = ByteWriter::default();
        write_values(&mut out, &values);
        let mut input = ByteReader::new(&out.bytes);
        let read = read_values(&mut input, values.data_type()).unwrap();
        input.end().unwrap();
        assert_eq!(&read, &values);
        for cut in 0..out.bytes.len() {
            assert!(read_values(&mut ByteReader::new(&out.bytes[..cut]), values.data_type()).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn values_of_every_ordered_kind_survive() {
        round_trip(Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MIN)])));
        round_trip(Arc::new(Float64Array::from(vec![Some(1.5), None, Some(f64::INFINITY)])));
        round_trip(Arc::new(Date32Array::from(vec![10, 11]).slice(1, 1)));
        round_trip(Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])));
        round_trip(Arc::new(StringViewArray::from(vec![Some("short"), None, Some("much longer than twelve bytes")])));
        round_trip(Arc::new(BinaryViewArray::from_iter([Some(&[0xFFu8, 0][..]), None])));
        round_trip(Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None]).with_timezone("UTC")));
        let decimals = Decimal128Array::from(vec![Some(123), None, Some(-5)]).with_precision_and_scale(15, 2);
        round_trip(Arc::new(decimals.unwrap()));
        let uuids = FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some([7u8; 16]), None].into_iter(), 16);
        round_trip(Arc::new(uuids.unwrap()));
    }
}
