//! Kernels for any processor, as loops the compiler vectorizes; also what the instruction-set modules inline and
//! compile again for themselves.

use super::super::VECTOR_ROWS;
use super::lane::{GROUP_ROWS, Lane, VectorBits, packed_len, row_start};
use std::ops::Range;

/// Packing and unpacking by lane type: modules named after it.
macro_rules! lane_kernels {
    ($($lane:ident),+) => {$(
        pub(super) mod $lane {
            use super::{GROUP_ROWS, VECTOR_ROWS, packed_len, row_start};

            const BITS: usize = $lane::BITS as usize;
            const LANES: usize = VECTOR_ROWS / BITS;
            const LENGTH: &str = "as many words as the width says";

            /// Unpacks from `width` bits each.
            #[inline(always)]
            pub(in super::super) fn unpack(width: usize, packed: &[$lane], values: &mut [$lane; VECTOR_ROWS]) {
                assert!(width <= BITS && packed.len() == packed_len::<$lane>(width), "{LENGTH}");
                if width == 0 {
                    values.fill(0);
                    return;
                }
                for row in 0..BITS {
                    unpack_row(width, packed, row, &mut values[row_start(row)..]);
                }
            }

            /// Unpacks only the values of a group.
            #[inline(always)]
            pub(in super::super) fn unpack_group(
                width: usize,
                packed: &[$lane],
                group: usize,
                values: &mut [$lane; GROUP_ROWS],
            ) {
                assert!(width <= BITS && packed.len() == packed_len::<$lane>(width), "{LENGTH}");
                if width == 0 {
                    values.fill(0);
                    return;
                }
                for row in (group..BITS).step_by(VECTOR_ROWS / GROUP_ROWS) {
                    unpack_row(width, packed, row, &mut values[row_start(row) % GROUP_ROWS..]);
                }
            }

            /// Unpacks the same value of all lanes; `width` is not 0.
            #[inline(always)]
            fn unpack_row(width: usize, packed: &[$lane], row: usize, values: &mut [$lane]) {
                let mask = $lane::MAX >> (BITS - width);
                let (word, shift) = (row * width / BITS, row * width % BITS);
                let out: &mut [$lane; LANES] = values.first_chunk_mut().expect(LENGTH);
                let low: &[$lane; LANES] = packed[word * LANES..].first_chunk().expect(LENGTH);
                if shift + width <= BITS {
                    for lane in 0..LANES {
                        out[lane] = low[lane] >> shift & mask;
                    }
                } else {
                    let high: &[$lane; LANES] = packed[(word + 1) * LANES..].first_chunk().expect(LENGTH);
                    for lane in 0..LANES {
                        out[lane] = (low[lane] >> shift | high[lane] << (BITS - shift)) & mask;
                    }
                }
            }

            /// Packs to `width` bits each; higher bits of the values must be clear.
            #[inline(always)]
            pub(in super::super) fn pack(width: usize, values: &[$lane; VECTOR_ROWS], packed: &mut [$lane]) {
                assert!(width <= BITS && packed.len() == packed_len::<$lane>(width), "{LENGTH}");
                packed.fill(0);
                if width == 0 {
                    return;
                }
                for row in 0..BITS {
                    let (word, shift) = (row * width / BITS, row * width % BITS);
                    let values: &[$lane; LANES] = values[row_start(row)..].first_chunk().expect(LENGTH);
                    let low: &mut [$lane; LANES] = packed[word * LANES..].first_chunk_mut().expect(LENGTH);
                    for lane in 0..LANES {
                        low[lane] |= values[lane] << shift;
                    }
                    if shift + width > BITS {
                        let high: &mut [$lane; LANES] =
                            packed[(word + 1) * LANES..].first_chunk_mut().expect(LENGTH);
                        for lane in 0..LANES {
                            high[lane] = values[lane] >> (BITS - shift);
                        }
                    }
                }
            }
        }
    )+};
}

lane_kernels!(u8, u16, u32, u64);

/// Sum of values `rows`; unpacks their groups only.
#[inline(always)]
pub(super) fn sum<L: Lane>(width: usize, packed: &[L], rows: Range<usize>) -> u64 {
    let mut sum = 0u64;
    let mut group = [L::ZERO; GROUP_ROWS];
    for number in rows.start / GROUP_ROWS..rows.end.div_ceil(GROUP_ROWS) {
        L::unpack_group(width, packed, number, &mut group);
        let first = number * GROUP_ROWS;
        let wanted = &group[rows.start.saturating_sub(first)..(rows.end - first).min(GROUP_ROWS)];
        sum = if size_of::<L>() <= 2 {
            // A group of such values cannot exceed 32 bits, and twice as many fit a register.
            sum + u64::from(wanted.iter().fold(0u32, |sum, value| sum.wrapping_add(value.widen() as u32)))
        } else {
            wanted.iter().fold(sum, |sum, value| sum.wrapping_add(value.widen()))
        };
    }
    sum
}

/// Bit `i` is set where `value[i] - low <= span`.
pub(super) fn between<L: Lane>(width: usize, packed: &[L], low: L, span: L, bits: &mut VectorBits) {
    /// Multiplying eight bytes of 0 or 1 by this gathers them in the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let mut values = [L::ZERO; VECTOR_ROWS];
    L::unpack_portably(width, packed, &mut values);
    let mut within = [0u8; VECTOR_ROWS];
    for (within, value) in within.iter_mut().zip(&values) {
        *within = u8::from(value.wrapping_sub(&low) <= span);
    }
    for (word, part) in bits.iter_mut().zip(within.as_chunks::<64>().0) {
        *word = 0;
        for (i, eight) in part.as_chunks::<8>().0.iter().enumerate() {
            *word |= u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56 << (i * 8);
        }
    }
}
