//! Kernels for AVX2: a row of lanes is 128 bytes, four registers.

use super::super::VECTOR_ROWS;

/// Unpacking: the portable loops compiled again, one function a lane type.
pub(super) mod unpack {
    use super::VECTOR_ROWS;

    macro_rules! unpack {
        ($($lane:ident),+) => {$(
            #[target_feature(enable = "avx2,bmi1,bmi2")]
            pub(in super::super) fn $lane(width: usize, packed: &[$lane], values: &mut [$lane; VECTOR_ROWS]) {
                super::super::portable::$lane::unpack(width, packed, values);
            }
        )+};
    }

    unpack!(u8, u16, u32, u64);
}

/// Sums: the portable loop compiled again, one function a lane type.
pub(super) mod sum {
    use std::ops::Range;

    macro_rules! sum {
        ($($lane:ident),+) => {$(
            #[target_feature(enable = "avx2,bmi1,bmi2")]
            pub(in super::super) fn $lane(width: usize, packed: &[$lane], rows: Range<usize>) -> u64 {
                super::super::portable::sum(width, packed, rows)
            }
        )+};
    }

    sum!(u8, u16, u32, u64);
}

/// Comparison while unpacking, one function a lane type: bit `i` is set where `value[i] - low <= span`.
pub(super) mod between {
    #![expect(unsafe_code, reason = "loads of whole registers; AVX2 has no safe ones")]

    use super::super::lane::{VectorBits, packed_len, row_start};
    use super::VECTOR_ROWS;
    use std::arch::x86_64::*;

    /// Four registers of a row.
    type Row = [__m256i; 4];

    #[target_feature(enable = "avx2")]
    fn load<T>(words: &[T], register: usize) -> __m256i {
        let lanes = 32 / size_of::<T>();
        let piece = &words[register * lanes..(register + 1) * lanes];
        // SAFETY: the slice has exactly 32 bytes, and the load needs no alignment.
        unsafe { _mm256_loadu_si256(piece.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    fn count(shift: usize) -> __m128i {
        _mm_cvtsi64_si128(shift as i64)
    }

    /// Operations of a lane type that the loop below is made of.
    macro_rules! lane_operations {
        ($lane:ident, $set:ident, $signed:ty, $right:expr, $left:expr, $within:expr, $store:expr) => {
            #[target_feature(enable = "avx2")]
            pub(in super::super) fn $lane(
                width: usize,
                packed: &[$lane],
                low: $lane,
                span: $lane,
                bits: &mut VectorBits,
            ) {
                const BITS: usize = $lane::BITS as usize;
                const LANES: usize = VECTOR_ROWS / BITS;
                assert!(width <= BITS && packed.len() == packed_len::<$lane>(width), "as many words as the width says");
                if width == 0 {
                    bits.fill(if $lane::MIN.wrapping_sub(low) <= span { u64::MAX } else { 0 });
                    return;
                }
                bits.fill(0);
                let mask = $set(($lane::MAX >> (BITS - width)) as $signed);
                let (low, span) = ($set(low as $signed), $set(span as $signed));
                for row in 0..BITS {
                    let (word, shift) = (row * width / BITS, row * width % BITS);
                    let words = &packed[word * LANES..(word + 1) * LANES];
                    let mut within: Row = [_mm256_setzero_si256(); 4];
                    if shift + width <= BITS {
                        for (register, within) in within.iter_mut().enumerate() {
                            let value = _mm256_and_si256($right(load(words, register), shift), mask);
                            *within = $within(value, low, span);
                        }
                    } else {
                        let next = &packed[(word + 1) * LANES..(word + 2) * LANES];
                        for (register, within) in within.iter_mut().enumerate() {
                            let low_part = $right(load(words, register), shift);
                            let high_part = $left(load(next, register), BITS - shift);
                            let value = _mm256_and_si256(_mm256_or_si256(low_part, high_part), mask);
                            *within = $within(value, low, span);
                        }
                    }
                    $store(bits, row_start(row), within);
                }
            }
        };
    }

    /// There is no shift of bytes: words are shifted, and what came from the neighbour is cleared.
    #[target_feature(enable = "avx2")]
    fn right_u8(words: __m256i, shift: usize) -> __m256i {
        _mm256_and_si256(_mm256_srl_epi16(words, count(shift)), _mm256_set1_epi8((u8::MAX >> shift) as i8))
    }

    #[target_feature(enable = "avx2")]
    fn left_u8(words: __m256i, shift: usize) -> __m256i {
        _mm256_and_si256(_mm256_sll_epi16(words, count(shift)), _mm256_set1_epi8((u8::MAX << shift) as i8))
    }

    #[target_feature(enable = "avx2")]
    fn within_u8(value: __m256i, low: __m256i, span: __m256i) -> __m256i {
        let distance = _mm256_sub_epi8(value, low);
        _mm256_cmpeq_epi8(_mm256_min_epu8(distance, span), distance)
    }

    /// A row is 128 bits.
    #[target_feature(enable = "avx2")]
    fn store_u8(bits: &mut VectorBits, start: usize, within: Row) {
        let [a, b, c, d] = within.map(|register| u64::from(_mm256_movemask_epi8(register) as u32));
        bits[start / 64] = a | b << 32;
        bits[start / 64 + 1] = c | d << 32;
    }

    #[target_feature(enable = "avx2")]
    fn right_u16(words: __m256i, shift: usize) -> __m256i {
        _mm256_srl_epi16(words, count(shift))
    }

    #[target_feature(enable = "avx2")]
    fn left_u16(words: __m256i, shift: usize) -> __m256i {
        _mm256_sll_epi16(words, count(shift))
    }

    #[target_feature(enable = "avx2")]
    fn within_u16(value: __m256i, low: __m256i, span: __m256i) -> __m256i {
        let distance = _mm256_sub_epi16(value, low);
        _mm256_cmpeq_epi16(_mm256_min_epu16(distance, span), distance)
    }

    /// A row is 64 bits. Packing works inside 128-bit halves; the permutation restores the order.
    #[target_feature(enable = "avx2")]
    fn store_u16(bits: &mut VectorBits, start: usize, within: Row) {
        let low = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(within[0], within[1]));
        let high = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(within[2], within[3]));
        let [low, high] = [low, high].map(|register| u64::from(_mm256_movemask_epi8(register) as u32));
        bits[start / 64] = low | high << 32;
    }

    #[target_feature(enable = "avx2")]
    fn right_u32(words: __m256i, shift: usize) -> __m256i {
        _mm256_srl_epi32(words, count(shift))
    }

    #[target_feature(enable = "avx2")]
    fn left_u32(words: __m256i, shift: usize) -> __m256i {
        _mm256_sll_epi32(words, count(shift))
    }

    #[target_feature(enable = "avx2")]
    fn within_u32(value: __m256i, low: __m256i, span: __m256i) -> __m256i {
        let distance = _mm256_sub_epi32(value, low);
        _mm256_cmpeq_epi32(_mm256_min_epu32(distance, span), distance)
    }

    /// A row is 32 bits.
    #[target_feature(enable = "avx2")]
    fn store_u32(bits: &mut VectorBits, start: usize, within: Row) {
        let words =
            _mm256_packs_epi16(_mm256_packs_epi32(within[0], within[1]), _mm256_packs_epi32(within[2], within[3]));
        let ordered = _mm256_permutevar8x32_epi32(words, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        bits[start / 64] |= u64::from(_mm256_movemask_epi8(ordered) as u32) << (start % 64);
    }

    #[target_feature(enable = "avx2")]
    fn right_u64(words: __m256i, shift: usize) -> __m256i {
        _mm256_srl_epi64(words, count(shift))
    }

    #[target_feature(enable = "avx2")]
    fn left_u64(words: __m256i, shift: usize) -> __m256i {
        _mm256_sll_epi64(words, count(shift))
    }

    /// There is only a signed comparison of 64 bits: both sides are shifted by 2^63.
    #[target_feature(enable = "avx2")]
    fn within_u64(value: __m256i, low: __m256i, span: __m256i) -> __m256i {
        let top = _mm256_set1_epi64x(i64::MIN);
        let distance = _mm256_xor_si256(_mm256_sub_epi64(value, low), top);
        let beyond = _mm256_cmpgt_epi64(distance, _mm256_xor_si256(span, top));
        _mm256_andnot_si256(beyond, _mm256_set1_epi64x(-1))
    }

    /// A row is 16 bits.
    #[target_feature(enable = "avx2")]
    fn store_u64(bits: &mut VectorBits, start: usize, within: Row) {
        let four = within.map(|register| _mm256_movemask_pd(_mm256_castsi256_pd(register)) as u64);
        let row = four[0] | four[1] << 4 | four[2] << 8 | four[3] << 12;
        bits[start / 64] |= row << (start % 64);
    }

    lane_operations!(u8, _mm256_set1_epi8, i8, right_u8, left_u8, within_u8, store_u8);
    lane_operations!(u16, _mm256_set1_epi16, i16, right_u16, left_u16, within_u16, store_u16);
    lane_operations!(u32, _mm256_set1_epi32, i32, right_u32, left_u32, within_u32, store_u32);
    lane_operations!(u64, _mm256_set1_epi64x, i64, right_u64, left_u64, within_u64, store_u64);
}
