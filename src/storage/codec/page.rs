//! An opened page: filter, select, single value and full decode, by encoding.

use super::alp::{AlpPage, Float};
use super::arrow_buffers;
use super::bits;
use super::bound::{BoundPredicate, Test};
use super::builder::{ColumnBuilder, Values};
use super::delta::DeltaPage;
use super::dictionary::Dictionary;
use super::float;
use super::frame::{Frame, Target};
use super::fsst_strings::FsstPage;
use super::gorilla::GorillaPage;
use super::layout::PageReader;
use super::mask::Mask;
use super::packed::Packed;
use super::physical::{Native, Physical, UNSIGNED_SHIFT};
use super::run_length::RunLengthPage;
use super::shared::Shared;
use super::stretches::Stretched;
use super::strings;
use super::tsz::TszPage;
use super::{Encoding, PAGE_BYTES_MAX};
use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::DataType;
use std::ops::Range;
use std::sync::Arc;

/// An opened page; cheap to clone (the buffer is shared).
#[derive(Clone, Debug)]
pub struct Page {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    data_type: DataType,
    rows: usize,
    nulls: Option<NullBuffer>,
    body: Body,
    decoded_bytes: usize,
}

/// Content by encoding.
#[derive(Debug)]
enum Body {
    /// One row that stands for all.
    Constant(ArrayRef),
    /// Ordered integers of 64 bits; the number is what decoding adds (for unsigned 64-bit values).
    Narrow(Packed<i64>, u64),
    /// Ordered integers of 128 bits.
    Wide(Packed<i128>),
    /// Integers by steps; the number as for `Narrow`.
    Delta(DeltaPage, u64),
    /// Integers by steps, each vector in its form; the number as for `Narrow`.
    Tsz(TszPage, u64),
    /// Runs of integers; the number as for `Narrow`.
    RunLength(RunLengthPage, u64),
    /// Floats as integers, of 32 and of 64 bits.
    Alp32(AlpPage),
    Alp64(AlpPage),
    /// Floats as streams of bits, of 32 and of 64 bits.
    Gorilla32(GorillaPage),
    Gorilla64(GorillaPage),
    /// Codes of a dictionary.
    Dictionary(Packed<i64>, Arc<Shared>),
    /// Compressed strings.
    Fsst(FsstPage),
    /// Already an array, in place or decompressed.
    Array(ArrayRef),
}

/// Runs an expression with the vector of whatever fixed width `$out` collects.
macro_rules! with_fixed {
    ($values:expr, $out:ident => $body:expr) => {
        match $values {
            Values::W1($out) => $body,
            Values::W2($out) => $body,
            Values::W4($out) => $body,
            Values::W8($out) => $body,
            Values::W16($out) => $body,
            Values::Bits(_) | Values::Views(_) | Values::Pieces(_) => {}
        }
    };
}

impl Page {
    /// Validates the structure; the only door to the unchecked kernels. `bytes` is 64-byte aligned. The error says what is wrong.
    pub fn open(
        data_type: &DataType,
        encoding: Encoding,
        rows: usize,
        bytes: Buffer,
        shared: Option<&Arc<Shared>>,
    ) -> std::result::Result<Page, String> {
        if rows == 0 {
            return Err("page without rows".into());
        }
        let in_place = bytes.as_ptr() as usize..bytes.as_ptr() as usize + bytes.len();
        let mut reader = PageReader::new(bytes);
        let header = reader.header(encoding, rows)?;
        let nulls = header.nulls.clone();
        let body = match (encoding, Physical::of(data_type)) {
            (Encoding::Constant, _) => Body::Constant(arrow_buffers::open(&mut reader, data_type, 1)?),
            (Encoding::Arrow, _) => Body::Array(arrow_buffers::open(&mut reader, data_type, rows)?),
            (Encoding::Packed, Physical::Integer(native)) => open_packed(&mut reader, native, rows)?,
            (Encoding::Delta, Physical::Integer(native)) => {
                Body::Delta(DeltaPage::open_ascending(&mut reader, rows)?, decoding_shift(native))
            }
            (Encoding::Steps, Physical::Integer(native)) => {
                Body::Delta(DeltaPage::open_any(&mut reader, rows)?, decoding_shift(native))
            }
            (Encoding::Tsz, Physical::Integer(native)) => {
                Body::Tsz(TszPage::open(&mut reader, rows)?, decoding_shift(native))
            }
            (Encoding::RunLength, Physical::Integer(native)) => {
                Body::RunLength(RunLengthPage::open(&mut reader, rows)?, decoding_shift(native))
            }
            (Encoding::Dictionary, Physical::Bytes(_)) => open_codes(&mut reader, rows, shared)?,
            (Encoding::Fsst, Physical::Bytes(text)) => {
                let shared = shared.ok_or("compressed strings without a symbol table")?;
                Body::Fsst(FsstPage::open(&mut reader, rows, text, Arc::clone(shared))?)
            }
            (Encoding::Bits, Physical::Boolean) => Body::Array(bits::open(&mut reader, header, rows)?),
            (Encoding::Float, Physical::Float32 | Physical::Float64) => {
                Body::Array(float::open(&mut reader, header, rows, data_type)?)
            }
            (Encoding::Alp, Physical::Float32) => Body::Alp32(AlpPage::open(&mut reader, rows)?),
            (Encoding::Alp, Physical::Float64) => Body::Alp64(AlpPage::open(&mut reader, rows)?),
            (Encoding::Gorilla, Physical::Float32) => Body::Gorilla32(GorillaPage::open(&mut reader, rows)?),
            (Encoding::Gorilla, Physical::Float64) => Body::Gorilla64(GorillaPage::open(&mut reader, rows)?),
            (Encoding::Lz4Strings, Physical::Bytes(text)) => {
                Body::Array(strings::open(&mut reader, header, rows, text)?)
            }
            _ => return Err(format!("encoding {} does not fit type {data_type}", encoding.name())),
        };
        let decoded_bytes = match &body {
            Body::Array(array) | Body::Constant(array) => bytes_outside(array, &in_place),
            _ => 0,
        };
        Ok(Page { inner: Arc::new(Inner { data_type: data_type.clone(), rows, nulls, body, decoded_bytes }) })
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.inner.rows
    }

    /// Bytes of memory the page holds besides its buffer: what had to be decompressed to be readable.
    pub fn decoded_bytes(&self) -> usize {
        self.inner.decoded_bytes
    }

    /// Clears in `mask` (bit `at + i` for row `range.start + i`) every row that fails. Fastest where `range.start` is a
    /// multiple of [`super::VECTOR_ROWS`] and `at` one of 64.
    pub fn filter(&self, predicate: &BoundPredicate, range: Range<usize>, mask: &mut Mask, at: usize) {
        let rows = range.len();
        match (&self.inner.body, predicate.test()) {
            (Body::Constant(one), _) => {
                let mut single = Mask::all(1);
                if predicate.filter_array(one, &mut single, 0).is_err() || single.count() == 0 {
                    mask.clear(at, rows);
                }
            }
            (Body::Array(array), _) => {
                if predicate.filter_array(&array.slice(range.start, rows), mask, at).is_err() {
                    mask.clear(at, rows);
                }
            }
            (body, test) => {
                predicate.filter_nulls(self.inner.nulls.as_ref(), range.start, mask, at, rows);
                match (body, test) {
                    (Body::Narrow(packed, _), Test::Integer(test)) => packed.filter(test, range, mask, at),
                    (Body::Wide(packed), Test::Integer(test)) => packed.filter(test, range, mask, at),
                    (Body::Delta(page, _), Test::Integer(test)) => page.filter(test, range, mask, at),
                    (Body::Tsz(page, _), Test::Integer(test)) => page.filter(test, range, mask, at),
                    (Body::RunLength(page, _), Test::Integer(test)) => page.filter(test, range, mask, at),
                    (Body::Alp32(page), Test::Integer(test)) => page.filter::<f32>(test, range, mask, at),
                    (Body::Alp64(page), Test::Integer(test)) => page.filter::<f64>(test, range, mask, at),
                    (Body::Gorilla32(page), Test::Integer(test)) => page.filter::<f32>(test, range, mask, at),
                    (Body::Gorilla64(page), Test::Integer(test)) => page.filter::<f64>(test, range, mask, at),
                    (Body::Dictionary(codes, shared), Test::Bytes(test)) => {
                        codes.filter(&dictionary(shared).code_test(test), range, mask, at);
                    }
                    (Body::Fsst(page), Test::Bytes(test)) => page.filter(test, range, mask, at),
                    (_, Test::IsNull | Test::IsNotNull) => {}
                    _ => mask.clear(at, rows),
                }
            }
        }
    }

    /// Appends rows `range` to `out`.
    pub fn decode(&self, range: Range<usize>, out: &mut ColumnBuilder) -> Result<()> {
        self.read(range, None, out)
    }

    /// Appends the rows of `range` whose bit (`at + i`) is set in `mask`.
    pub fn select(&self, range: Range<usize>, mask: &Mask, at: usize, out: &mut ColumnBuilder) -> Result<()> {
        self.read(range, Some((mask, at)), out)
    }

    /// Appends one row.
    pub fn value(&self, row: usize, out: &mut ColumnBuilder) -> Result<()> {
        self.read(row..row + 1, None, out)
    }

    fn read(&self, range: Range<usize>, mask: Option<(&Mask, usize)>, out: &mut ColumnBuilder) -> Result<()> {
        let inner = &*self.inner;
        if out.data_type() != &inner.data_type {
            return Err(Error::Unsupported(format!(
                "a {} page cannot fill a {} column",
                inner.data_type,
                out.data_type()
            )));
        }
        match &inner.body {
            Body::Array(array) => return out.append_range(array, range, mask),
            Body::Constant(one) => {
                let rows = mask.map_or(range.len(), |(mask, at)| mask.count_range(at, range.len()));
                return out.append_repeated(one, rows);
            }
            Body::Narrow(packed, shift) => {
                with_fixed!(out.values(), out => read_target(packed, range.clone(), mask, *shift, out));
            }
            Body::Wide(packed) => {
                if let Values::W16(out) = out.values() {
                    read_target(packed, range.clone(), mask, 0, out);
                }
            }
            Body::Delta(page, shift) => read_steps(page, range.clone(), mask, *shift, out.values()),
            Body::Tsz(page, shift) => read_steps(page, range.clone(), mask, *shift, out.values()),
            Body::RunLength(page, shift) => read_runs(page, range.clone(), mask, *shift, out.values()),
            Body::Alp32(page) => {
                if let Values::W4(out) = out.values() {
                    read_floats(page, range.clone(), mask, |value: f32| value.to_bits() as i32, out);
                }
            }
            Body::Alp64(page) => {
                if let Values::W8(out) = out.values() {
                    read_floats(page, range.clone(), mask, |value: f64| value.to_bits() as i64, out);
                }
            }
            Body::Gorilla32(page) => {
                if let Values::W4(out) = out.values() {
                    read_streams(page, range.clone(), mask, |value: f32| value.to_bits() as i32, out);
                }
            }
            Body::Gorilla64(page) => {
                if let Values::W8(out) = out.values() {
                    read_streams(page, range.clone(), mask, |value: f64| value.to_bits() as i64, out);
                }
            }
            Body::Dictionary(codes, shared) => {
                if let Values::Views(out) = out.values() {
                    dictionary(shared).read(codes, range.clone(), mask, out);
                }
            }
            Body::Fsst(page) => {
                if let Values::Views(out) = out.values() {
                    match mask {
                        None if range.len() == 1 => page.value(range.start, out)?,
                        _ => page.read(range.clone(), mask, out)?,
                    }
                }
            }
        }
        out.append_validity(inner.nulls.as_ref(), range, mask);
        Ok(())
    }
}

fn open_packed(reader: &mut PageReader, native: Native, rows: usize) -> std::result::Result<Body, String> {
    if native == Native::I128 && super::packed::is_wide(reader)? {
        return Ok(Body::Wide(Packed::open(reader, rows)?));
    }
    Ok(Body::Narrow(Packed::open(reader, rows)?, decoding_shift(native)))
}

fn open_codes(reader: &mut PageReader, rows: usize, shared: Option<&Arc<Shared>>) -> std::result::Result<Body, String> {
    let shared = shared.ok_or("dictionary codes without a dictionary")?;
    let entries = shared.dictionary().ok_or("dictionary codes without a dictionary")?.len() as i128;
    let codes = Packed::<i64>::open(reader, rows)?;
    let (low, high) = codes.bounds();
    if low < 0 || high >= entries {
        return Err(format!("dictionary codes {low} to {high} for {entries} entries"));
    }
    Ok(Body::Dictionary(codes, Arc::clone(shared)))
}

fn dictionary(shared: &Shared) -> &Dictionary {
    shared.dictionary().expect("checked when the page was opened")
}

/// What decoding adds, with wrap-around, to the mapped values of a native type.
fn decoding_shift(native: Native) -> u64 {
    if native == Native::U64 { UNSIGNED_SHIFT as u64 } else { 0 }
}

fn read_target<F: Frame, T: Target<F>>(
    packed: &Packed<F>,
    range: Range<usize>,
    mask: Option<(&Mask, usize)>,
    shift: u64,
    out: &mut Vec<T>,
) {
    let map = move |value: F| T::from_frame(value.plus(shift));
    match mask {
        None if range.len() == 1 => out.push(map(packed.get(range.start))),
        None => packed.decode(range, map, out),
        Some((mask, at)) => packed.select(range, mask, at, map, out),
    }
}

fn read_steps(page: &impl Stretched, range: Range<usize>, mask: Option<(&Mask, usize)>, shift: u64, out: &mut Values) {
    if range.len() == 1 && mask.is_none() {
        let value = page.get(range.start).plus(shift);
        return with_fixed!(out, out => out.push(Target::from_frame(value)));
    }
    with_fixed!(out, out => page.read(range, mask, |value| Target::from_frame(value.plus(shift)), out));
}

fn read_runs(page: &RunLengthPage, range: Range<usize>, mask: Option<(&Mask, usize)>, shift: u64, out: &mut Values) {
    if range.len() == 1 && mask.is_none() {
        let value = page.get(range.start).plus(shift);
        return with_fixed!(out, out => out.push(Target::from_frame(value)));
    }
    with_fixed!(out, out => page.read(range, mask, |value| Target::from_frame(value.plus(shift)), out));
}

fn read_floats<F: Float, T>(
    page: &AlpPage,
    range: Range<usize>,
    mask: Option<(&Mask, usize)>,
    map: impl Fn(F) -> T + Copy,
    out: &mut Vec<T>,
) {
    match mask {
        None if range.len() == 1 => out.push(map(page.get(range.start))),
        _ => page.read(range, mask, map, out),
    }
}

fn read_streams<F: Float, T>(
    page: &GorillaPage,
    range: Range<usize>,
    mask: Option<(&Mask, usize)>,
    map: impl Fn(F) -> T,
    out: &mut Vec<T>,
) {
    match mask {
        None if range.len() == 1 => out.push(map(page.get(range.start))),
        _ => page.read(range, mask, map, out),
    }
}

/// Bytes of `array`'s buffers that are not inside the page itself.
fn bytes_outside(array: &ArrayRef, page: &Range<usize>) -> usize {
    let data = array.to_data();
    let mut nodes = vec![&data];
    let mut bytes = 0;
    while let Some(node) = nodes.pop() {
        let buffers = node.buffers().iter().filter(|buffer| !page.contains(&(buffer.as_ptr() as usize)));
        bytes += buffers.map(|buffer| buffer.len()).sum::<usize>();
        nodes.extend(node.child_data());
    }
    bytes.min(PAGE_BYTES_MAX * 256)
}
