//! Frame of reference and bit-packing: the encoding of ordered integers.
//!
//! Values are cut into vectors of 1,024. A vector stores its smallest value and, bit-packed, how far each value is
//! above it, after dividing by the greatest common divisor of all such distances in the page. Smallest and largest
//! value of a vector decide many comparisons without unpacking; otherwise the constant is moved into the packed domain
//! and compared while unpacking.
//!
//! A *section* is laid out like this, every piece 64-byte aligned (also used inside other encodings):
//!
//! ```text
//! section header, 64 bytes:   0  divisor u64 (>= 1)   8  vectors u32   12  log2 of lane bytes u8 (0..=3)
//!                            13  frame u8: 0 = i64, 1 = i128           14  zero
//! smallest values             i64 or i128, one a vector
//! largest values              i64 or i128, one a vector
//! widths in bits              u8, one a vector
//! offsets in bytes            u32, one a vector and one more; offset[i+1] - offset[i] = 128 * width[i]
//! packed vectors              128 * width bytes each, fastlanes order; the last one is padded with zeros
//! ```

use super::VECTOR_ROWS;
use super::condition::{IntegerTest, bit};
use super::frame::Frame;
use super::kernels::{Lane, VectorBits, dispatch, unpack_one};
use super::layout::{HEADER_BYTES, PageReader, read_u32, read_u64};
use super::mask::{Mask, low_bits};
use arrow::buffer::ScalarBuffer;
use std::ops::Range;

/// An opened section.
#[derive(Debug)]
pub(crate) struct Packed<F: Frame> {
    rows: usize,
    divisor: u64,
    mins: ScalarBuffer<F>,
    maxs: ScalarBuffer<F>,
    widths: ScalarBuffer<u8>,
    offsets: ScalarBuffer<u32>,
    lanes: Lanes,
}

/// Whether the section at the reader's place has 128-bit frames.
pub(crate) fn is_wide(reader: &mut PageReader) -> Result<bool, String> {
    let place = reader.place();
    let header = reader.take(HEADER_BYTES)?;
    reader.rewind(place);
    Ok(header[13] == i128::TAG)
}

/// Packed words by lane type.
#[derive(Debug)]
enum Lanes {
    U8(ScalarBuffer<u8>),
    U16(ScalarBuffer<u16>),
    U32(ScalarBuffer<u32>),
    U64(ScalarBuffer<u64>),
}

/// Runs an expression with the words in their lane type.
macro_rules! with_lanes {
    ($lanes:expr, $words:ident => $body:expr) => {
        match $lanes {
            Lanes::U8($words) => $body,
            Lanes::U16($words) => $body,
            Lanes::U32($words) => $body,
            Lanes::U64($words) => $body,
        }
    };
}

/// Below this many wanted rows of a vector, single reads beat unpacking all of it.
const SINGLE_READS_MAX: usize = 16;

impl<F: Frame> Packed<F> {
    /// Checks and opens the section at the reader's place, for `rows` rows.
    pub(crate) fn open(reader: &mut PageReader, rows: usize) -> Result<Packed<F>, String> {
        let header = reader.take(HEADER_BYTES)?;
        let (divisor, vectors) = (read_u64(&header, 0), read_u32(&header, 8) as usize);
        let (log2_bytes, frame) = (header[12], header[13]);
        if divisor == 0 || log2_bytes > 3 || frame != F::TAG || vectors != rows.div_ceil(VECTOR_ROWS) {
            return Err(format!("packed section of {vectors} vectors for {rows} rows has a wrong header"));
        }
        let mins = reader.take_numbers::<F>(vectors)?;
        let maxs = reader.take_numbers::<F>(vectors)?;
        let widths = reader.take_numbers::<u8>(vectors)?;
        let offsets = reader.take_numbers::<u32>(vectors + 1)?;
        let mut expected = 0u64;
        for vector in 0..vectors {
            if widths[vector] > 8 << log2_bytes || u64::from(offsets[vector]) != expected || mins[vector] > maxs[vector]
            {
                return Err(format!("packed vector {vector} has wrong bounds, width or offset"));
            }
            expected += u64::from(widths[vector]) * 128;
        }
        if u64::from(offsets[vectors]) != expected {
            return Err("packed vectors have a wrong total length".into());
        }
        let packed = reader.take(expected as usize)?;
        let lanes = match log2_bytes {
            0 => Lanes::U8(ScalarBuffer::new(packed, 0, expected as usize)),
            1 => Lanes::U16(ScalarBuffer::new(packed, 0, expected as usize / 2)),
            2 => Lanes::U32(ScalarBuffer::new(packed, 0, expected as usize / 4)),
            _ => Lanes::U64(ScalarBuffer::new(packed, 0, expected as usize / 8)),
        };
        Ok(Packed { rows, divisor, mins, maxs, widths, offsets, lanes })
    }

    /// Smallest and largest value, as the tables say; damaged distances may lead beyond them.
    pub(crate) fn bounds(&self) -> (i128, i128) {
        let low = self.mins.iter().copied().min().map_or(0, Frame::wide);
        let high = self.maxs.iter().copied().max().map_or(0, Frame::wide);
        (low, high)
    }

    fn words<'a, L: Lane>(&self, words: &'a [L], vector: usize) -> &'a [L] {
        &words[self.offsets[vector] as usize / size_of::<L>()..self.offsets[vector + 1] as usize / size_of::<L>()]
    }

    /// One value.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> F {
        assert!(row < self.rows);
        let (vector, index) = (row / VECTOR_ROWS, row % VECTOR_ROWS);
        let width = usize::from(self.widths[vector]);
        let distance = with_lanes!(&self.lanes, words => unpack_one(width, self.words(words, vector), index).widen());
        self.mins[vector].plus(distance.wrapping_mul(self.divisor))
    }

    /// Sum, wrapping around, of values `rows` of a vector; only their groups are unpacked.
    pub(crate) fn sum(&self, vector: usize, rows: Range<usize>) -> F {
        with_lanes!(&self.lanes, words => self.sum_lanes(words, vector, rows))
    }

    fn sum_lanes<L: Lane>(&self, words: &[L], vector: usize, rows: Range<usize>) -> F {
        let (width, packed) = (self.widths[vector].into(), self.words(words, vector));
        let count = rows.len() as u64;
        let distances = L::sum_vector(width, packed, rows);
        self.mins[vector].times(count).plus(distances.wrapping_mul(self.divisor))
    }

    /// Appends `map` of each of the rows `range`.
    pub(crate) fn decode<T>(&self, range: Range<usize>, map: impl Fn(F) -> T + Copy, out: &mut Vec<T>) {
        out.reserve(range.len());
        with_lanes!(&self.lanes, words => self.decode_lanes(words, range, map, out));
    }

    fn decode_lanes<L: Lane, T>(
        &self,
        words: &[L],
        range: Range<usize>,
        map: impl Fn(F) -> T + Copy,
        out: &mut Vec<T>,
    ) {
        let mut distances = [L::ZERO; VECTOR_ROWS];
        for (vector, rows) in vectors(range) {
            L::unpack_vector(self.widths[vector].into(), self.words(words, vector), &mut distances);
            append_values(&distances[rows], self.mins[vector], self.divisor, map, out);
        }
    }

    /// Appends `map` of the rows of `range` alive in `mask` (bit `at + i` for row `range.start + i`).
    pub(crate) fn select<T>(
        &self,
        range: Range<usize>,
        mask: &Mask,
        at: usize,
        map: impl Fn(F) -> T + Copy,
        out: &mut Vec<T>,
    ) {
        with_lanes!(&self.lanes, words => self.select_lanes(words, range, mask, at, map, out));
    }

    fn select_lanes<L: Lane, T>(
        &self,
        words: &[L],
        range: Range<usize>,
        mask: &Mask,
        at: usize,
        map: impl Fn(F) -> T + Copy,
        out: &mut Vec<T>,
    ) {
        let start = range.start;
        let mut distances = [L::ZERO; VECTOR_ROWS];
        let mut indices = [0u16; VECTOR_ROWS];
        for (vector, rows) in vectors(range) {
            let mask_at = at + vector * VECTOR_ROWS + rows.start - start;
            let count = mask.count_range(mask_at, rows.len());
            if count == 0 {
                continue;
            }
            let width = usize::from(self.widths[vector]);
            let (packed, min) = (self.words(words, vector), self.mins[vector]);
            if mask.is_dense(mask_at, rows.len()) {
                L::unpack_vector(width, packed, &mut distances);
                let distances = &distances[rows.clone()];
                mask.runs(mask_at, rows.len(), |run| append_values(&distances[run], min, self.divisor, map, out));
                continue;
            }
            mask.indices(mask_at, rows.len(), &mut indices);
            let value = |d: L| map(min.plus(d.widen().wrapping_mul(self.divisor)));
            let wanted = indices[..count].iter().map(|&i| rows.start + usize::from(i));
            if count <= SINGLE_READS_MAX {
                out.extend(wanted.map(|index| value(unpack_one(width, packed, index))));
            } else {
                L::unpack_vector(width, packed, &mut distances);
                out.extend(wanted.map(|index| value(distances[index % VECTOR_ROWS])));
            }
        }
    }

    /// Kills in `mask` (bit `at + i` for row `range.start + i`) the rows of `range` that fail.
    pub(crate) fn filter(&self, test: &IntegerTest, range: Range<usize>, mask: &mut Mask, at: usize) {
        let ranges = test.as_few_ranges();
        with_lanes!(&self.lanes, words => self.filter_lanes(words, test, ranges.as_deref(), range, mask, at));
    }

    fn filter_lanes<L: Lane>(
        &self,
        words: &[L],
        test: &IntegerTest,
        ranges: Option<&[(i128, i128)]>,
        range: Range<usize>,
        mask: &mut Mask,
        at: usize,
    ) {
        let start = range.start;
        for (vector, rows) in vectors(range) {
            let mask_at = at + vector * VECTOR_ROWS + rows.start - start;
            if !mask.any(mask_at, rows.len()) {
                continue;
            }
            let (min, max) = (self.mins[vector].wide(), self.maxs[vector].wide());
            let mut bits = match (decide(test, min, max), ranges) {
                (Decision::All, _) => continue,
                (Decision::Nothing, _) => {
                    mask.clear(mask_at, rows.len());
                    continue;
                }
                (Decision::Between { low, high, negated }, _) => self.between::<L>(words, vector, low, high, negated),
                (Decision::Each, Some(ranges)) => self.in_ranges::<L>(words, vector, ranges),
                (Decision::Each, None) => {
                    self.filter_each(words, test, vector, rows, mask, mask_at);
                    continue;
                }
            };
            shift_down(&mut bits, rows.start);
            mask.and(mask_at, &bits, rows.len());
        }
    }

    /// Which rows of a vector are in one of a few ranges.
    fn in_ranges<L: Lane>(&self, words: &[L], vector: usize, ranges: &[(i128, i128)]) -> VectorBits {
        let (min, max) = (self.mins[vector].wide(), self.maxs[vector].wide());
        let mut bits = VectorBits::default();
        for &(low, high) in ranges {
            if low <= max && min <= high {
                let one = self.between::<L>(words, vector, low, high, false);
                bits.iter_mut().zip(one).for_each(|(bits, one)| *bits |= one);
            }
        }
        bits
    }

    /// Which rows of a vector are in `low..=high`, or are not when negated; the bounds overlap the vector's.
    fn between<L: Lane>(&self, words: &[L], vector: usize, low: i128, high: i128, negated: bool) -> VectorBits {
        let min = self.mins[vector].wide();
        // Wrapping: in a damaged page the bounds may be anything.
        let from = low.max(min).wrapping_sub(min) as u64;
        let from = from.div_ceil(self.divisor);
        let to = high.min(self.maxs[vector].wide()).wrapping_sub(min) as u64 / self.divisor;
        let mut bits = VectorBits::default();
        if from <= to {
            let packed = self.words(words, vector);
            L::between_vector(self.widths[vector].into(), packed, L::narrow(from), L::narrow(to - from), &mut bits);
        }
        if negated {
            bits.iter_mut().for_each(|word| *word = !*word);
        }
        bits
    }

    /// Tests value by value the rows alive.
    fn filter_each<L: Lane>(
        &self,
        words: &[L],
        test: &IntegerTest,
        vector: usize,
        rows: Range<usize>,
        mask: &mut Mask,
        mask_at: usize,
    ) {
        let mut distances = [L::ZERO; VECTOR_ROWS];
        L::unpack_vector(self.widths[vector].into(), self.words(words, vector), &mut distances);
        let min = self.mins[vector];
        let distances = &distances[rows];
        if let IntegerTest::Bitmap { base, bits } = test
            && let Ok(offset) = i64::try_from(min.wide().wrapping_sub(i128::from(*base)))
        {
            let divisor = self.divisor;
            return dispatch(|| {
                filter_alive(distances, mask, mask_at, |distance: L| {
                    bit(bits, (offset as u64).wrapping_add(distance.widen().wrapping_mul(divisor)))
                });
            });
        }
        filter_alive(distances, mask, mask_at, |distance: L| {
            test.passes(min.plus(distance.widen().wrapping_mul(self.divisor)).wide())
        });
    }
}

/// Kills in `mask`, from bit `at` on, the rows alive whose distance fails.
#[inline(always)]
fn filter_alive<L: Lane>(distances: &[L], mask: &mut Mask, at: usize, passes: impl Fn(L) -> bool) {
    /// From this many rows alive of 64 on, testing all of them is faster than finding the ones to test.
    const DENSE: u32 = 24;
    for (i, part) in distances.chunks(64).enumerate() {
        let mut alive = mask.window(at + i * 64) & low_bits(part.len());
        let mut passed = 0;
        if alive.count_ones() >= DENSE {
            for (bit, &distance) in part.iter().enumerate() {
                passed |= u64::from(passes(distance)) << bit;
            }
        } else {
            while alive != 0 {
                let bit = alive.trailing_zeros();
                passed |= u64::from(passes(part[bit as usize])) << bit;
                alive &= alive - 1;
            }
        }
        mask.and_word(at + i * 64, passed, part.len());
    }
}

/// Appends `map(min + distance * divisor)` of each distance, with the widest instructions there are.
#[inline]
fn append_values<F: Frame, L: Lane, T>(
    distances: &[L],
    min: F,
    divisor: u64,
    map: impl Fn(F) -> T + Copy,
    out: &mut Vec<T>,
) {
    dispatch(|| {
        if divisor == 1 {
            out.extend(distances.iter().map(|d| map(min.plus(d.widen()))));
        } else {
            out.extend(distances.iter().map(|d| map(min.plus(d.widen().wrapping_mul(divisor)))));
        }
    });
}

/// What a vector's bounds say of a test.
enum Decision {
    All,
    Nothing,
    Between { low: i128, high: i128, negated: bool },
    Each,
}

fn decide(test: &IntegerTest, min: i128, max: i128) -> Decision {
    match *test {
        IntegerTest::Range { low, high, negated } => {
            let outside = low > high || low > max || high < min;
            let inside = !outside && low <= min && max <= high;
            match (inside, outside) {
                (false, false) => Decision::Between { low, high, negated },
                _ if inside != negated => Decision::All,
                _ => Decision::Nothing,
            }
        }
        _ if !test.may_match(min, max) => Decision::Nothing,
        _ if min == max => Decision::All,
        _ => Decision::Each,
    }
}

/// Moves bit `by` to bit 0.
fn shift_down(bits: &mut VectorBits, by: usize) {
    if by == 0 {
        return;
    }
    let (words, shift) = (by / 64, by % 64);
    for i in 0..bits.len() {
        let low = bits.get(i + words).copied().unwrap_or(0);
        let high = bits.get(i + words + 1).copied().unwrap_or(0);
        bits[i] = if shift == 0 { low } else { low >> shift | high << (64 - shift) };
    }
}

/// The vectors that `range` touches, each with its rows inside the vector.
pub(crate) fn vectors(range: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
    let Range { start, end } = range;
    (start / VECTOR_ROWS..end.div_ceil(VECTOR_ROWS)).map(move |vector| {
        let first = vector * VECTOR_ROWS;
        (vector, start.max(first) - first..end.min(first + VECTOR_ROWS) - first)
    })
}
