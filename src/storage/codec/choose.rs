//! Encodes one column of one block: looks at the values, chooses an encoding, encodes, re-reads and compares.

use super::alp;
use super::arrow_buffers;
use super::bits;
use super::builder::ColumnBuilder;
use super::delta;
use super::dictionary;
use super::float;
use super::frame::Frame;
use super::fsst_strings;
use super::gorilla;
use super::layout::{PageWriter, aligned, validity_bytes};
use super::packing::Plan;
use super::page::Page;
use super::physical::{Integers, Native, Physical, Text, integers};
use super::run_length;
use super::shared::open_shared;
use super::strings;
use super::tsz;
use super::{EncodedChunk, EncodedPage, Encoding, VECTOR_ROWS};
use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;

/// Encodes one column of one block: samples, chooses, encodes, re-reads and compares.
pub fn encode_chunk(values: &ArrayRef) -> Result<EncodedChunk> {
    let chunk = encode_unchecked(values)?;
    match reread(values, &chunk) {
        Ok(()) => Ok(chunk),
        // A library that fails to give back what it took loses the chunk's compression, never its data.
        Err(_) if chunk.encoding != Encoding::Arrow => {
            let fallback = plain_chunk(values)?;
            reread(values, &fallback)?;
            Ok(fallback)
        }
        Err(error) => Err(error),
    }
}

fn plain_chunk(values: &ArrayRef) -> Result<EncodedChunk> {
    Ok(chunk(values, Encoding::Arrow, arrow_buffers::encode(values)?))
}

fn chunk(values: &ArrayRef, encoding: Encoding, pages: Vec<EncodedPage>) -> EncodedChunk {
    EncodedChunk { encoding, shared: Vec::new(), pages, nulls: values.null_count(), raw_bytes: raw_bytes(values) }
}

/// Bytes of `values` as plain Arrow.
fn raw_bytes(values: &ArrayRef) -> usize {
    values.to_data().get_slice_memory_size().unwrap_or(0)
}

fn encode_unchecked(values: &ArrayRef) -> Result<EncodedChunk> {
    if is_constant(values) {
        return constant_chunk(values);
    }
    match Physical::of(values.data_type()) {
        Physical::Integer(native) => encode_integers(values, native),
        Physical::Float32 => Ok(encode_floats(values, 4)),
        Physical::Float64 => Ok(encode_floats(values, 8)),
        Physical::Boolean => Ok(chunk(values, Encoding::Bits, bits::encode(values))),
        Physical::Bytes(text) => encode_strings(values, text),
        Physical::FixedBytes | Physical::Other => plain_chunk(values),
    }
}

/// What a second choice must save against the first, which reads fastest.
const SAVING_FACTOR: usize = 2;
/// Less is not worth a chunk that reads slower.
const SAVED_BYTES_MIN: usize = 1024;

fn encode_floats(values: &ArrayRef, width: usize) -> EncodedChunk {
    let bytes = |pages: &[EncodedPage]| pages.iter().map(|page| page.bytes.len()).sum::<usize>();
    let bytes_wanted = values.len() * width / SAVING_FACTOR;
    let decimals = alp::pages(values);
    let (encoding, pages, bytes_max) = match decimals {
        Some(pages) if bytes(&pages) <= bytes_wanted => {
            let bytes_max = bytes(&pages) / SAVING_FACTOR;
            (Encoding::Alp, pages, bytes_max)
        }
        decimals => {
            let floats = float::encode(values, width);
            let (encoding, pages) = match decimals {
                Some(decimals) if bytes(&decimals) <= bytes(&floats) => (Encoding::Alp, decimals),
                _ => (Encoding::Float, floats),
            };
            let bytes_max = bytes(&pages) / 8 * 7;
            (encoding, pages, bytes_max)
        }
    };
    // Streams of bits are read from their beginning: they must be worth it.
    if gorilla::estimated_bytes(values).is_some_and(|estimated| estimated <= bytes_max)
        && let Some(streams) = gorilla::pages(values)
        && bytes(&streams) <= bytes_max
    {
        return chunk(values, Encoding::Gorilla, streams);
    }
    chunk(values, encoding, pages)
}

fn encode_integers(values: &ArrayRef, native: Native) -> Result<EncodedChunk> {
    let data = values.to_data();
    let nulls = data.nulls();
    match integers(&data, native) {
        Integers::Narrow(integers) => {
            let Some(plan) = Plan::new(&integers) else { return plain_chunk(values) };
            let bytes_wanted = plan.packed_bytes() / SAVING_FACTOR;
            let runs_wanted = bytes_wanted / 6;
            if run_length::runs(&integers) < runs_wanted {
                return Ok(chunk(values, Encoding::RunLength, run_length::pages(&integers, nulls)));
            }
            let steps = delta::Encoded::new(&integers).filter(|steps| steps.bytes() < bytes_wanted);
            // Patches and streams read slower than steps do: they must be worth it.
            let bytes_max = match &steps {
                Some(steps) => (steps.bytes() / SAVING_FACTOR).min(steps.bytes().saturating_sub(SAVED_BYTES_MIN)),
                None => bytes_wanted,
            };
            if tsz::may_fit(&integers, bytes_max)
                && let Some(patched) = tsz::Encoded::new(&integers)
                && patched.bytes() <= bytes_max
            {
                return Ok(chunk(values, Encoding::Tsz, patched.pages(nulls)));
            }
            if let Some(steps) = steps {
                return Ok(chunk(values, steps.encoding(), steps.pages(nulls)));
            }
            Ok(chunk(values, Encoding::Packed, packed_pages(&plan, Encoding::Packed, &integers, nulls)))
        }
        Integers::Wide(integers) => match Plan::new(&integers) {
            Some(plan) => Ok(chunk(values, Encoding::Packed, packed_pages(&plan, Encoding::Packed, &integers, nulls))),
            None => plain_chunk(values),
        },
    }
}

/// The different strings of a column and which of them each row has, if they are few. A NULL row has that of a row before.
pub(crate) fn distinct_strings(values: &ArrayRef, text: Text) -> Option<dictionary::Encoded> {
    dictionary::Encoded::new(&byte_views(values, text).ok()?)
}

/// Mean length beyond which strings are documents, which LZ4 does justice to.
const DOCUMENT_BYTES: usize = 4096;

fn encode_strings(values: &ArrayRef, text: Text) -> Result<EncodedChunk> {
    let views = byte_views(values, text)?;
    let nulls = values.nulls();
    let lengths = views.views().iter().enumerate().map(|(row, &view)| (row, view as u32 as usize));
    let raw: usize = lengths.filter(|(row, _)| views.is_valid(*row)).map(|(_, len)| len).sum();
    let chunk = |encoding, shared, pages| EncodedChunk {
        encoding,
        shared,
        pages,
        nulls: values.null_count(),
        raw_bytes: raw + values.len() * 4,
    };
    if let Some(dictionary) = dictionary::Encoded::new(&views)
        && dictionary.estimated_bytes() < raw / 3 + values.len() / 2
    {
        let plan = Plan::new(&dictionary.codes).expect("64-bit codes always have a plan");
        let pages = packed_pages(&plan, Encoding::Dictionary, &dictionary.codes, nulls);
        return Ok(chunk(Encoding::Dictionary, dictionary.pages(), pages));
    }
    if raw / values.len() <= DOCUMENT_BYTES
        && let Some(compressor) = trained_if_worth_it(&fsst_strings::sample(&views))
    {
        let (symbols, pages) = fsst_strings::Encoded::new(&views, &compressor, raw).into_pages(nulls);
        return Ok(chunk(Encoding::Fsst, symbols, pages));
    }
    Ok(chunk(Encoding::Lz4Strings, Vec::new(), strings::encode(&views)))
}

/// A trained symbol table, if it does about as well as LZ4 on the sample; it is the one that reads single rows.
fn trained_if_worth_it(sample: &Vec<&[u8]>) -> Option<fsst::Compressor> {
    /// Below this a table is not worth its page.
    const SAMPLE_BYTES_MIN: usize = 1024;
    let raw: usize = sample.iter().map(|value| value.len()).sum();
    if raw < SAMPLE_BYTES_MIN {
        return None;
    }
    let compressor = fsst::Compressor::train(sample);
    let codes: usize = compressor.compress_bulk(sample).iter().map(Vec::len).sum();
    let lz4 = lz4_flex::block::compress(&sample.concat()).len();
    (codes < raw && codes * 3 < lz4 * 4).then_some(compressor)
}

/// Any array of byte strings as binary views, sharing its buffers.
fn byte_views(values: &ArrayRef, text: Text) -> Result<BinaryViewArray> {
    Ok(match text {
        Text::Utf8 => cast(values, &DataType::Utf8View)?.as_string_view().clone().to_binary_view(),
        Text::Binary => cast(values, &DataType::BinaryView)?.as_binary_view().clone(),
    })
}

/// Whether all rows are NULL or all are the same value.
fn is_constant(values: &ArrayRef) -> bool {
    let rows = values.len();
    if rows == 0 || values.null_count() == rows {
        return true;
    }
    // The last row first: sorted columns that vary are refused at once.
    let same = |row: usize| values.slice(row, 1).to_data() == values.slice(0, 1).to_data();
    if values.null_count() > 0 || !same(rows - 1) || !same(rows / 2) {
        return false;
    }
    rows == 1 || values.slice(0, rows - 1).to_data() == values.slice(1, rows - 1).to_data()
}

fn constant_chunk(values: &ArrayRef) -> Result<EncodedChunk> {
    let mut pages = Vec::new();
    if !values.is_empty() {
        let bytes = arrow_buffers::page(Encoding::Constant, values.len(), &arrow_buffers::single(values, 0)?);
        pages.push(EncodedPage { rows: values.len(), bytes });
    }
    Ok(chunk(values, Encoding::Constant, pages))
}

fn packed_pages<F: Frame>(
    plan: &Plan<F>,
    encoding: Encoding,
    values: &[F],
    nulls: Option<&NullBuffer>,
) -> Vec<EncodedPage> {
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    let validity = if nulls.is_some() { validity_bytes(VECTOR_ROWS) } else { 0 };
    let mut pages = Vec::new();
    let mut start = 0;
    while start < plan.vectors() {
        let end = start + plan.vectors_per_page(start, 0, validity);
        let rows = start * VECTOR_ROWS..(end * VECTOR_ROWS).min(values.len());
        let nulls = nulls.map(|nulls| nulls.slice(rows.start, rows.len()));
        let mut page = PageWriter::new(encoding, rows.len(), nulls.as_ref());
        plan.write_section(values, start..end, &mut page);
        pages.push(EncodedPage { rows: rows.len(), bytes: page.finish() });
        start = end;
    }
    pages
}

/// Decodes everything again and compares.
fn reread(values: &ArrayRef, chunk: &EncodedChunk) -> Result<()> {
    let data_type = values.data_type();
    let broken = |what: String| {
        Error::Unsupported(format!("{} encoding of a {data_type} column: {what}", chunk.encoding.name()))
    };
    let shared_pages: Vec<_> = chunk.shared.iter().map(|page| aligned(page)).collect();
    let shared = open_shared(data_type, chunk.encoding, &shared_pages).map_err(broken)?;
    let mut start = 0;
    for page in &chunk.pages {
        let opened =
            Page::open(data_type, chunk.encoding, page.rows, aligned(&page.bytes), Some(&shared)).map_err(broken)?;
        let mut builder = ColumnBuilder::new(data_type, page.rows);
        opened.decode(0..page.rows, &mut builder)?;
        if builder.finish()?.to_data() != values.slice(start, page.rows).to_data() {
            return Err(broken(format!("rows from {start} on are not read back as written")));
        }
        start += page.rows;
    }
    if start == values.len() { Ok(()) } else { Err(broken(format!("{start} of {} rows are read back", values.len()))) }
}
