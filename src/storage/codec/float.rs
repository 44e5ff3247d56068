//! Floats: their bits in a [block](super::block), LZ4-compressed when that saves something, else readable in place.
//! NaN payloads and the sign of zero are kept.

use super::block::{read_block, write_block};
use super::layout::{Header, PageReader, PageWriter};
use super::{EncodedPage, Encoding, VECTOR_ROWS};
use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::datatypes::DataType;

/// Raw bytes of a page: the most whole vectors of 8-byte values that fit uncompressed beside header and validity.
const PAGE_RAW_BYTES: usize = 7 * VECTOR_ROWS * 8;

/// Encodes an array of floats of `width` bytes.
pub(crate) fn encode(values: &ArrayRef, width: usize) -> Vec<EncodedPage> {
    let data = values.to_data();
    let bytes = data.buffers()[0].slice_with_length(data.offset() * width, data.len() * width);
    let rows_max = PAGE_RAW_BYTES / width;
    let starts = (0..values.len()).step_by(rows_max);
    starts
        .map(|start| {
            let rows = rows_max.min(values.len() - start);
            let nulls = values.nulls().map(|nulls| nulls.slice(start, rows));
            let mut page = PageWriter::new(Encoding::Float, rows, nulls.as_ref());
            write_block(&mut page, &bytes[start * width..(start + rows) * width]);
            EncodedPage { rows, bytes: page.finish() }
        })
        .collect()
}

/// Opens a page of floats.
pub(crate) fn open(
    reader: &mut PageReader,
    header: Header,
    rows: usize,
    data_type: &DataType,
) -> Result<ArrayRef, String> {
    let values = read_block(reader)?;
    let data = ArrayData::builder(data_type.clone()).len(rows).add_buffer(values).nulls(header.nulls);
    Ok(make_array(data.build().map_err(|error| error.to_string())?))
}
