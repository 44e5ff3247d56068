//! Kernels for AVX-512 (F, BW, DQ, VL): a row of lanes is 128 bytes, two registers, and comparisons yield bits at once.

use super::super::VECTOR_ROWS;

/// Unpacking: the portable loops compiled again, one function a lane type.
pub(super) mod unpack {
    use super::VECTOR_ROWS;

    macro_rules! unpack {
        ($($lane:ident),+) => {$(
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2")]
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
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2")]
            pub(in super::super) fn $lane(width: usize, packed: &[$lane], rows: Range<usize>) -> u64 {
                super::super::portable::sum(width, packed, rows)
            }
        )+};
    }

    sum!(u8, u16, u32, u64);
}

/// Comparison, one function a lane type: bit `i` is set where `value[i] - low <= span`.
pub(super) mod between {
    #![expect(unsafe_code, reason = "loads of whole registers; AVX-512 has no safe ones")]

    use super::super::lane::VectorBits;
    use super::VECTOR_ROWS;
    use std::arch::x86_64::*;

    /// The 64 bytes from `values[at]` on.
    #[target_feature(enable = "avx512f")]
    fn load<T>(values: &[T; VECTOR_ROWS], at: usize) -> __m512i {
        let piece = &values[at..at + 64 / size_of::<T>()];
        // SAFETY: the slice has exactly 64 bytes, and the load needs no alignment.
        unsafe { _mm512_loadu_si512(piece.as_ptr().cast()) }
    }

    /// Unpacks to the stack, then compares one register after the other: with comparisons this cheap the detour through
    /// the first-level cache is the shorter code, not the slower one.
    macro_rules! between {
        ($lane:ident, $signed:ty, $set:ident, $sub:ident, $compare:ident) => {
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2")]
            pub(in super::super) fn $lane(
                width: usize,
                packed: &[$lane],
                low: $lane,
                span: $lane,
                bits: &mut VectorBits,
            ) {
                const LANES: usize = 64 / size_of::<$lane>();
                let mut values = [0; VECTOR_ROWS];
                super::unpack::$lane(width, packed, &mut values);
                let (low, span) = ($set(low as $signed), $set(span as $signed));
                for (i, word) in bits.iter_mut().enumerate() {
                    *word = 0;
                    for start in (0..64).step_by(LANES) {
                        let distance = $sub(load(&values, i * 64 + start), low);
                        *word |= u64::from($compare(distance, span)) << start;
                    }
                }
            }
        };
    }

    between!(u8, i8, _mm512_set1_epi8, _mm512_sub_epi8, _mm512_cmple_epu8_mask);
    between!(u16, i16, _mm512_set1_epi16, _mm512_sub_epi16, _mm512_cmple_epu16_mask);
    between!(u32, i32, _mm512_set1_epi32, _mm512_sub_epi32, _mm512_cmple_epu32_mask);
    between!(u64, i64, _mm512_set1_epi64, _mm512_sub_epi64, _mm512_cmple_epu64_mask);
}
