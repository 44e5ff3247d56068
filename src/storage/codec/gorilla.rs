//! Floats whose bits are much like those of the value before (Pelkonen et al., "Gorilla: A Fast, Scalable, In-Memory Time
//! Series Database", VLDB 2015): each is XORed with the one before, and only the bits between the zeros at both ends are
//! written.
//!
//! ```text
//! page header
//! starts    u32, one a vector and one more: where its stream begins
//! mins, maxs   i64, one a vector each: the keys of its smallest and largest value
//! streams   bits, the first in the lowest place: the first value whole; then of each value
//!             0                        it is the one before
//!             1 0 bits                 the XOR's bits between the zeros of the last such window
//!             1 1 lead len bits        a new window: leading zeros in 5 bits (at most 31), length less one in 6, bits
//! ```
//!
//! A stream is read from its beginning, so this is chosen only where it is smaller than all else: reading one value costs up
//! to a vector. Padding at a stream's end reads as repeated values.

use super::alp::Float;
use super::condition::IntegerTest;
use super::layout::{PageReader, PageWriter, validity_bytes};
use super::mask::Mask;
use super::packed::vectors;
use super::plain::{filter_rows, float_key};
use super::{EncodedPage, Encoding, PAGE_BYTES_MAX, VECTOR_ROWS};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{Float32Type, Float64Type};
use std::ops::Range;

/// Most leading zeros a window tells.
const LEADING_MAX: u32 = 31;
/// Bytes of a vector in the tables, with what their alignment may cost.
const TABLE_BYTES: usize = 4 + 16;
/// What the page needs besides: header, alignment of four pieces, the last start.
const PAGE_OVERHEAD: usize = 64 * 6;

/// Appends bits, the first in the lowest place.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that are no whole byte yet.
    open: u128,
    open_bits: u32,
}

impl BitWriter {
    fn write(&mut self, bits: u64, count: u32) {
        self.open |= u128::from(bits) << self.open_bits;
        self.open_bits += count;
        while self.open_bits >= 8 {
            self.bytes.push(self.open as u8);
            self.open >>= 8;
            self.open_bits -= 8;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.open_bits > 0 {
            self.bytes.push(self.open as u8);
        }
        self.bytes
    }
}

/// Reads bits; beyond the end there are zeros.
struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    /// The next 64 bits, without passing them.
    #[inline(always)]
    fn peek(&self) -> u64 {
        let (byte, bit) = (self.at / 8, self.at % 8);
        let low = match self.bytes.get(byte..byte + 8) {
            Some(eight) => u64::from_le_bytes(eight.try_into().expect("eight bytes")),
            None => {
                let mut eight = [0; 8];
                let rest = self.bytes.get(byte..).unwrap_or_default();
                eight[..rest.len()].copy_from_slice(rest);
                u64::from_le_bytes(eight)
            }
        };
        if bit == 0 {
            return low;
        }
        let next = u64::from(self.bytes.get(byte + 8).copied().unwrap_or(0));
        low >> bit | next << (64 - bit)
    }

    /// At most 64.
    #[inline(always)]
    fn take(&mut self, count: u32) -> u64 {
        let bits = self.peek();
        self.at += count as usize;
        if count == 64 { bits } else { bits & ((1 << count) - 1) }
    }
}

/// The bits between the zeros of an XOR.
#[derive(Clone, Copy)]
struct Window {
    leading: u32,
    length: u32,
}

/// The stream of a vector's values.
fn stream<F: Float>(values: &[F]) -> Vec<u8> {
    let mut writer = BitWriter::default();
    let mut last = 0;
    let mut window: Option<Window> = None;
    for (index, value) in values.iter().enumerate() {
        let bits = value.bits();
        let xor = bits ^ last;
        last = bits;
        if index == 0 {
            writer.write(bits, 64);
            continue;
        }
        if xor == 0 {
            writer.write(0, 1);
            continue;
        }
        let leading = xor.leading_zeros().min(LEADING_MAX);
        let length = 64 - leading - xor.trailing_zeros();
        // A window that is much too wide costs more than a new one.
        let fits = |known: Window| {
            known.leading <= leading && known.leading + known.length >= leading + length && known.length < length + 11
        };
        let known = match window.filter(|known| fits(*known)) {
            Some(known) => {
                writer.write(0b01, 2);
                known
            }
            None => {
                writer.write(0b11, 2);
                writer.write(leading.into(), 5);
                writer.write((length - 1).into(), 6);
                Window { leading, length }
            }
        };
        writer.write(xor >> (64 - known.leading - known.length), known.length);
        window = Some(known);
    }
    writer.finish()
}

/// The pages of floats of either width.
pub(crate) fn pages(values: &ArrayRef) -> Option<Vec<EncodedPage>> {
    let nulls = values.nulls();
    if let Some(floats) = values.as_primitive_opt::<Float32Type>() {
        return Some(encode(floats.values(), nulls));
    }
    Some(encode(values.as_primitive_opt::<Float64Type>()?.values(), nulls))
}

/// Bytes of all streams, about: those of every eighth vector are made.
pub(crate) fn estimated_bytes(values: &ArrayRef) -> Option<usize> {
    const STEP: usize = 8;
    fn of<F: Float>(values: &[F]) -> usize {
        let sampled = values.chunks(VECTOR_ROWS).step_by(STEP);
        let rows: usize = sampled.clone().map(<[F]>::len).sum();
        let bytes: usize = sampled.map(|vector| stream(vector).len()).sum();
        bytes * values.len() / rows.max(1)
    }
    if let Some(floats) = values.as_primitive_opt::<Float32Type>() {
        return Some(of(floats.values()));
    }
    Some(of(values.as_primitive_opt::<Float64Type>()?.values()))
}

fn encode<F: Float>(values: &[F], nulls: Option<&NullBuffer>) -> Vec<EncodedPage> {
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    let filled = filled(values, nulls);
    let validity = if nulls.is_some() { validity_bytes(VECTOR_ROWS) } else { 0 };
    let streams: Vec<Vec<u8>> = filled.chunks(VECTOR_ROWS).map(stream).collect();
    let mut pages = Vec::new();
    let mut start = 0;
    while start < streams.len() {
        let mut bytes = PAGE_OVERHEAD;
        let fit = streams[start..].iter().take_while(|stream| {
            bytes += stream.len() + TABLE_BYTES + validity;
            bytes <= PAGE_BYTES_MAX
        });
        let end = start + fit.count().max(1);
        let rows = start * VECTOR_ROWS..(end * VECTOR_ROWS).min(values.len());
        let of_page = nulls.map(|nulls| nulls.slice(rows.start, rows.len()));
        let mut page = PageWriter::new(Encoding::Gorilla, rows.len(), of_page.as_ref());
        let starts = page.piece();
        let mut at = 0u32;
        starts.extend(at.to_le_bytes());
        for stream in &streams[start..end] {
            at += stream.len() as u32;
            starts.extend(at.to_le_bytes());
        }
        let keys = |vector: &[F]| vector.iter().map(|value| float_key(value.double())).collect::<Vec<i64>>();
        let bounds: Vec<Vec<i64>> = filled[rows.clone()].chunks(VECTOR_ROWS).map(keys).collect();
        let mins = page.piece();
        bounds.iter().filter_map(|keys| keys.iter().min()).for_each(|min| mins.extend(min.to_le_bytes()));
        let maxs = page.piece();
        bounds.iter().filter_map(|keys| keys.iter().max()).for_each(|max| maxs.extend(max.to_le_bytes()));
        let bits = page.piece();
        streams[start..end].iter().for_each(|stream| bits.extend_from_slice(stream));
        pages.push(EncodedPage { rows: rows.len(), bytes: page.finish() });
        start = end;
    }
    pages
}

/// Values with that of a neighbour in the slots of NULLs.
fn filled<F: Float>(values: &[F], nulls: Option<&NullBuffer>) -> Vec<F> {
    let Some(nulls) = nulls else { return values.to_vec() };
    let mut last = nulls.valid_indices().next().map(|row| values[row]);
    let value = |(row, value): (usize, &F)| {
        if nulls.is_valid(row) {
            last = Some(*value);
        }
        last.unwrap_or(*value)
    };
    values.iter().enumerate().map(value).collect()
}

/// An opened page.
#[derive(Debug)]
pub(crate) struct GorillaPage {
    rows: usize,
    starts: ScalarBuffer<u32>,
    mins: ScalarBuffer<i64>,
    maxs: ScalarBuffer<i64>,
    streams: Buffer,
}

impl GorillaPage {
    /// Checks and opens a page. Any stream is sound; it merely yields other values.
    pub(crate) fn open(reader: &mut PageReader, rows: usize) -> Result<GorillaPage, String> {
        let vectors = rows.div_ceil(VECTOR_ROWS);
        let starts = reader.take_numbers::<u32>(vectors + 1)?;
        if starts[0] != 0 || starts.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err("streams are out of order".into());
        }
        let mins = reader.take_numbers::<i64>(vectors)?;
        let maxs = reader.take_numbers::<i64>(vectors)?;
        let streams = reader.take(starts[vectors] as usize)?;
        Ok(GorillaPage { rows, starts, mins, maxs, streams })
    }

    /// The first `count` values of a vector.
    fn values<F: Float>(&self, vector: usize, count: usize, values: &mut Vec<F>) {
        values.clear();
        let bytes = &self.streams[self.starts[vector] as usize..self.starts[vector + 1] as usize];
        let mut reader = BitReader { bytes, at: 0 };
        let mut bits = reader.take(64);
        let mut window = Window { leading: 0, length: 0 };
        values.push(F::from_bits(bits));
        for _ in 1..count {
            let code = reader.peek();
            if code & 1 == 0 {
                reader.at += 1;
            } else {
                reader.at += 2;
                if code & 2 != 0 {
                    window.leading = reader.take(5) as u32;
                    // In a damaged page the window may be too long.
                    window.length = (reader.take(6) as u32 + 1).min(64 - window.leading);
                }
                let meant = reader.take(window.length);
                // A damaged page may use a window before it has one.
                bits ^= meant.checked_shl(64 - window.leading - window.length).unwrap_or(0);
            }
            values.push(F::from_bits(bits));
        }
    }

    /// One value.
    pub(crate) fn get<F: Float>(&self, row: usize) -> F {
        assert!(row < self.rows);
        let (vector, index) = (row / VECTOR_ROWS, row % VECTOR_ROWS);
        let mut values = Vec::with_capacity(index + 1);
        self.values(vector, index + 1, &mut values);
        values[index]
    }

    /// Appends `map` of rows `range`, or of those alive in `mask`.
    pub(crate) fn read<F: Float, T>(
        &self,
        range: Range<usize>,
        mask: Option<(&Mask, usize)>,
        map: impl Fn(F) -> T,
        out: &mut Vec<T>,
    ) {
        let start = range.start;
        let mut values = Vec::with_capacity(VECTOR_ROWS);
        for (vector, rows) in vectors(range) {
            let Some((mask, at)) = mask else {
                self.values(vector, rows.end, &mut values);
                out.extend(values[rows].iter().map(|value| map(*value)));
                continue;
            };
            let mask_at = at + vector * VECTOR_ROWS + rows.start - start;
            if !mask.any(mask_at, rows.len()) {
                continue;
            }
            self.values(vector, rows.end, &mut values);
            let values = &values[rows.start..];
            mask.runs(mask_at, rows.len(), |run| out.extend(values[run].iter().map(|value| map(*value))));
        }
    }

    /// Kills in `mask` the rows of `range` that fail; `test` is of float keys.
    pub(crate) fn filter<F: Float>(&self, test: &IntegerTest, range: Range<usize>, mask: &mut Mask, at: usize) {
        let start = range.start;
        let mut values: Vec<F> = Vec::with_capacity(VECTOR_ROWS);
        for (vector, rows) in vectors(range) {
            let mask_at = at + vector * VECTOR_ROWS + rows.start - start;
            if !mask.any(mask_at, rows.len()) {
                continue;
            }
            if !test.may_match(self.mins[vector].into(), self.maxs[vector].into()) {
                mask.clear(mask_at, rows.len());
                continue;
            }
            self.values(vector, rows.end, &mut values);
            let values = &values[rows];
            filter_rows(values.len(), mask, mask_at, |row| test.passes_narrow(float_key(values[row].double())));
        }
    }
}
