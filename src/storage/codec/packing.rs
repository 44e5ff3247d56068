//! Packing: cuts integers into vectors, finds bounds, widths and the common divisor, and writes sections. The byte map
//! of a section is in [`super::packed`].

use super::frame::Frame;
use super::kernels::{Lane, packed_len};
use super::layout::{HEADER_BYTES, PIECE_ALIGNMENT, PageWriter};
use super::{PAGE_BYTES_MAX, VECTOR_ROWS};
use arrow::datatypes::ToByteSlice;
use std::ops::Range;

/// How a chunk's vectors will be packed.
pub(crate) struct Plan<F> {
    /// Greatest common divisor of all distances.
    divisor: u64,
    vectors: Vec<PlannedVector<F>>,
}

#[derive(Clone, Copy)]
struct PlannedVector<F> {
    min: F,
    max: F,
    width: u8,
}

impl<F: Frame> Plan<F> {
    /// Plans `values`; `None` when some vector spans more than 64 bits.
    pub(crate) fn new(values: &[F]) -> Option<Plan<F>> {
        let mut vectors = Vec::with_capacity(values.len().div_ceil(VECTOR_ROWS));
        for vector in values.chunks(VECTOR_ROWS) {
            let (min, max) = vector.iter().fold((vector[0], vector[0]), |(min, max), &v| (min.min(v), max.max(v)));
            F::span(min, max)?;
            vectors.push(PlannedVector { min, max, width: 0 });
        }
        let divisor = common_divisor(values, &vectors);
        for vector in &mut vectors {
            vector.width = (64 - (vector.max.above(vector.min) / divisor).leading_zeros()) as u8;
        }
        Some(Plan { divisor, vectors })
    }

    /// Bytes of all packed vectors.
    pub(crate) fn packed_bytes(&self) -> usize {
        self.vectors.iter().map(|v| self.vector_bytes(v)).sum()
    }

    fn vector_bytes(&self, vector: &PlannedVector<F>) -> usize {
        usize::from(vector.width) * (VECTOR_ROWS / 8) + 2 * size_of::<F>() + 5
    }

    /// Vectors, from `start` on, that fit a page with `overhead` bytes besides the section and `vector_overhead` bytes more for
    /// each vector; at least one.
    pub(crate) fn vectors_per_page(&self, start: usize, overhead: usize, vector_overhead: usize) -> usize {
        self.vectors_that_fit(start, overhead, |_| vector_overhead)
    }

    /// As [`Plan::vectors_per_page`], where vectors differ in what they have besides.
    pub(crate) fn vectors_that_fit(
        &self,
        start: usize,
        overhead: usize,
        vector_overhead: impl Fn(usize) -> usize,
    ) -> usize {
        let mut bytes = HEADER_BYTES + overhead + 6 * PIECE_ALIGNMENT;
        let fit = self.vectors.iter().enumerate().skip(start).take_while(|(number, vector)| {
            bytes += self.vector_bytes(vector) + vector_overhead(*number);
            bytes <= PAGE_BYTES_MAX
        });
        fit.count().max(1)
    }

    /// The greatest common divisor of all distances.
    pub(crate) fn divisor(&self) -> u64 {
        self.divisor
    }

    /// Number of vectors.
    pub(crate) fn vectors(&self) -> usize {
        self.vectors.len()
    }

    /// Appends a section of the vectors `range` to `page`; `values` are all values of the plan.
    pub(crate) fn write_section(&self, values: &[F], range: Range<usize>, page: &mut PageWriter) {
        let vectors = &self.vectors[range.clone()];
        let values = &values[range.start * VECTOR_ROWS..(range.end * VECTOR_ROWS).min(values.len())];
        let width = vectors.iter().map(|v| v.width).max().unwrap_or(0);
        let log2_bytes = lane_log2_bytes(width);
        let header = page.piece();
        let start = header.len();
        header.extend_from_slice(&self.divisor.to_le_bytes());
        header.extend_from_slice(&(vectors.len() as u32).to_le_bytes());
        header.extend_from_slice(&[log2_bytes, F::TAG]);
        header.resize(start + HEADER_BYTES, 0);
        let mins = page.piece();
        vectors.iter().for_each(|v| v.min.write(mins));
        let maxs = page.piece();
        vectors.iter().for_each(|v| v.max.write(maxs));
        page.piece().extend(vectors.iter().map(|v| v.width));
        let offsets = page.piece();
        let mut offset = 0u32;
        for vector in vectors {
            offsets.extend_from_slice(&offset.to_le_bytes());
            offset += u32::from(vector.width) * 128;
        }
        offsets.extend_from_slice(&offset.to_le_bytes());
        let packed = page.piece();
        packed.reserve(offset as usize);
        match log2_bytes {
            0 => self.pack::<u8>(vectors, values, packed),
            1 => self.pack::<u16>(vectors, values, packed),
            2 => self.pack::<u32>(vectors, values, packed),
            _ => self.pack::<u64>(vectors, values, packed),
        }
    }

    fn pack<L: Lane>(&self, vectors: &[PlannedVector<F>], values: &[F], out: &mut Vec<u8>) {
        let division = ExactDivision::new(self.divisor);
        let mut distances = [L::ZERO; VECTOR_ROWS];
        let mut words = [L::ZERO; VECTOR_ROWS];
        for (vector, values) in vectors.iter().zip(values.chunks(VECTOR_ROWS)) {
            for (distance, value) in distances.iter_mut().zip(values) {
                *distance = L::narrow(division.divide(value.above(vector.min)));
            }
            distances[values.len()..].fill(L::ZERO);
            let width = usize::from(vector.width);
            let words = &mut words[..packed_len::<L>(width)];
            L::pack_vector(width, &distances, words);
            out.extend_from_slice(words.to_byte_slice());
        }
    }
}

/// Log2 of the bytes of the narrowest lane that holds `width` bits.
fn lane_log2_bytes(width: u8) -> u8 {
    match width {
        0..=8 => 0,
        9..=16 => 1,
        17..=32 => 2,
        _ => 3,
    }
}

/// Greatest common divisor of all distances from the vectors' smallest values; 1 when all are 0.
fn common_divisor<F: Frame>(values: &[F], vectors: &[PlannedVector<F>]) -> u64 {
    let mut divisor = 0;
    let mut division = ExactDivision::new(1);
    for (vector, values) in vectors.iter().zip(values.chunks(VECTOR_ROWS)) {
        let divides_all = |division: &ExactDivision| {
            values.iter().fold(true, |all, value| all & division.divides(value.above(vector.min)))
        };
        if divisor > 0 && divides_all(&division) {
            continue;
        }
        for value in values {
            let distance = value.above(vector.min);
            if divisor == 0 || !division.divides(distance) {
                divisor = greatest_common_divisor(distance, divisor);
                if divisor == 1 {
                    return 1;
                }
                division = ExactDivision::new(divisor.max(1));
            }
        }
    }
    divisor.max(1)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Division of multiples of a constant: shift out its powers of two, then multiply by the inverse of the odd rest
/// modulo 2^64 (Granlund and Montgomery 1994, "Division by invariant integers using multiplication", section 9).
pub(crate) struct ExactDivision {
    shift: u32,
    inverse: u64,
    quotient_max: u64,
}

impl ExactDivision {
    /// By `divisor`, which is not 0.
    pub(crate) fn new(divisor: u64) -> ExactDivision {
        let shift = divisor.trailing_zeros();
        let odd = divisor >> shift;
        // Newton's iteration doubles the correct low bits; an odd number is its own inverse modulo 8.
        let mut inverse = odd;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        }
        ExactDivision { shift, inverse, quotient_max: u64::MAX / divisor }
    }

    /// Whether a number is a multiple: then alone the product is a quotient, and the powers of two are shifted out in full.
    #[inline(always)]
    fn divides(&self, number: u64) -> bool {
        number.wrapping_mul(self.inverse).rotate_right(self.shift) <= self.quotient_max
    }

    /// The quotient of a multiple.
    #[inline(always)]
    pub(crate) fn divide(&self, multiple: u64) -> u64 {
        (multiple >> self.shift).wrapping_mul(self.inverse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_are_told_from_others() {
        let mut random = fastrand::Rng::with_seed(5);
        for divisor in (1..300).chain([1_000_000, 1 << 40, (1 << 63) - 25, u64::MAX]) {
            let division = ExactDivision::new(divisor);
            for number in (0..500).chain((0..200).map(|_| random.u64(..))) {
                assert_eq!(division.divides(number), number % divisor == 0, "{number} by {divisor}");
                let multiple = number / divisor * divisor;
                assert!(division.divides(multiple));
                assert_eq!(division.divide(multiple), number / divisor);
            }
        }
    }
}
