//! Unsigned integers a vector may be packed from, and the functions on packed vectors, which pick the instruction set.

#![expect(unsafe_code, reason = "functions compiled for an instruction set are called after asking for it")]

use super::super::VECTOR_ROWS;
use super::level::Level;
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::{x86_avx2, x86_avx512};
use arrow::datatypes::ArrowNativeType;
use fastlanes::FL_ORDER;
use num_traits::WrappingSub;
use std::ops::Range;

/// Neighbouring values of a vector that can be unpacked without the rest: every eighth row of the lanes is theirs.
pub(super) const GROUP_ROWS: usize = 128;

/// Bits of a vector, as words in row order.
pub(crate) type VectorBits = [u64; VECTOR_ROWS / 64];

/// An unsigned integer type that vectors are packed from. All functions panic unless the packed words are
/// [`packed_len`] many.
pub(crate) trait Lane: ArrowNativeType + WrappingSub {
    /// Zero.
    const ZERO: Self;
    /// The low bits of `value`.
    fn narrow(value: u64) -> Self;
    /// Zero-extended.
    fn widen(self) -> u64;
    /// Packs to `width` bits each; higher bits of the values must be clear.
    fn pack_vector(width: usize, values: &[Self; VECTOR_ROWS], packed: &mut [Self]);
    /// Unpacks from `width` bits each, with instructions any processor has.
    fn unpack_portably(width: usize, packed: &[Self], values: &mut [Self; VECTOR_ROWS]);
    /// Unpacks only group `group` (of eight), with the instructions of the function it is inlined into.
    fn unpack_group(width: usize, packed: &[Self], group: usize, values: &mut [Self; GROUP_ROWS]);
    /// Unpacks from `width` bits each, with instructions of `level`.
    fn unpack_at(level: Level, width: usize, packed: &[Self], values: &mut [Self; VECTOR_ROWS]);
    /// Bit `i` is set where `value[i] - low <= span` in wrapping arithmetic, with instructions of `level`.
    fn between_at(level: Level, width: usize, packed: &[Self], low: Self, span: Self, bits: &mut VectorBits);

    /// Sum of values `rows`, with instructions of `level`.
    fn sum_at(level: Level, width: usize, packed: &[Self], rows: Range<usize>) -> u64;

    /// Unpacks from `width` bits each.
    #[inline]
    fn unpack_vector(width: usize, packed: &[Self], values: &mut [Self; VECTOR_ROWS]) {
        Self::unpack_at(Level::current(), width, packed, values);
    }
    /// Bit `i` is set where `value[i] - low <= span` in wrapping arithmetic.
    #[inline]
    fn between_vector(width: usize, packed: &[Self], low: Self, span: Self, bits: &mut VectorBits) {
        Self::between_at(Level::current(), width, packed, low, span, bits);
    }
    /// Sum of values `rows`; only their groups are unpacked.
    #[inline]
    fn sum_vector(width: usize, packed: &[Self], rows: Range<usize>) -> u64 {
        Self::sum_at(Level::current(), width, packed, rows)
    }
}

/// Words of type `L` that a vector of `width` bits takes.
pub(crate) const fn packed_len<L>(width: usize) -> usize {
    VECTOR_ROWS / 8 * width / size_of::<L>()
}

/// Index in the vector of the first lane's value number `row`; those of the other lanes follow it.
#[inline(always)]
pub(super) const fn row_start(row: usize) -> usize {
    FL_ORDER[row / 8] * 16 + row % 8 * 128
}

/// One value of a packed vector, in a handful of instructions for any width.
#[inline]
pub(crate) fn unpack_one<L: Lane>(width: usize, packed: &[L], index: usize) -> L {
    if width == 0 {
        return L::ZERO;
    }
    let bits = size_of::<L>() * 8;
    let lanes = VECTOR_ROWS / bits;
    let lane = index % lanes;
    // The inverse of `row_start`: the order is its own inverse.
    let row = FL_ORDER[(index % 128 - lane) / 16] * 8 + index / 128;
    let (word, shift) = (row * width / bits, row * width % bits);
    let low = packed[word * lanes + lane].widen() >> shift;
    let high = if shift + width > bits { packed[(word + 1) * lanes + lane].widen() << (bits - shift) } else { 0 };
    L::narrow((low | high) & u64::MAX >> (64 - width))
}

macro_rules! lane {
    ($lane:ident) => {
        impl Lane for $lane {
            const ZERO: Self = 0;
            #[inline(always)]
            fn narrow(value: u64) -> Self {
                value as $lane
            }
            #[inline(always)]
            fn widen(self) -> u64 {
                self as u64
            }
            fn pack_vector(width: usize, values: &[Self; VECTOR_ROWS], packed: &mut [Self]) {
                portable::$lane::pack(width, values, packed);
            }
            fn unpack_portably(width: usize, packed: &[Self], values: &mut [Self; VECTOR_ROWS]) {
                portable::$lane::unpack(width, packed, values);
            }
            #[inline(always)]
            fn unpack_group(width: usize, packed: &[Self], group: usize, values: &mut [Self; GROUP_ROWS]) {
                portable::$lane::unpack_group(width, packed, group, values);
            }
            #[inline]
            fn unpack_at(level: Level, width: usize, packed: &[Self], values: &mut [Self; VECTOR_ROWS]) {
                match level {
                    Level::Portable => Self::unpack_portably(width, packed, values),
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: a level is only given out when the processor has its instructions.
                    Level::Avx2 => unsafe { x86_avx2::unpack::$lane(width, packed, values) },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Level::Avx512 => unsafe { x86_avx512::unpack::$lane(width, packed, values) },
                }
            }
            #[inline]
            fn between_at(level: Level, width: usize, packed: &[Self], low: Self, span: Self, bits: &mut VectorBits) {
                match level {
                    Level::Portable => portable::between(width, packed, low, span, bits),
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Level::Avx2 => unsafe { x86_avx2::between::$lane(width, packed, low, span, bits) },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Level::Avx512 => unsafe { x86_avx512::between::$lane(width, packed, low, span, bits) },
                }
            }
            #[inline]
            fn sum_at(level: Level, width: usize, packed: &[Self], rows: Range<usize>) -> u64 {
                match level {
                    Level::Portable => portable::sum(width, packed, rows),
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Level::Avx2 => unsafe { x86_avx2::sum::$lane(width, packed, rows) },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Level::Avx512 => unsafe { x86_avx512::sum::$lane(width, packed, rows) },
                }
            }
        }
    };
}

lane!(u8);
lane!(u16);
lane!(u32);
lane!(u64);

#[cfg(test)]
mod tests {
    use super::*;
    use fastlanes::BitPacking;

    fn kernels_agree<L: Lane + BitPacking>(random: &mut fastrand::Rng) {
        for width in 0..=size_of::<L>() * 8 {
            let cut = |value: u64| L::narrow(if width == 0 { 0 } else { value & u64::MAX >> (64 - width) });
            let values: [L; VECTOR_ROWS] = std::array::from_fn(|_| cut(random.u64(..)));
            let mut packed = vec![L::narrow(u64::MAX); packed_len::<L>(width)];
            L::pack_vector(width, &values, &mut packed);
            let mut by_crate = vec![L::ZERO; packed_len::<L>(width)];
            // SAFETY: the width is one of the lane type's and both lengths are right.
            unsafe { L::unchecked_pack(width, &values, &mut by_crate) };
            assert!(packed == by_crate, "width {width} is packed as fastlanes does");
            for (index, value) in values.iter().enumerate() {
                assert!(unpack_one(width, &packed, index) == *value, "single read {index} of width {width}");
            }
            for (group, expected) in values.as_chunks::<GROUP_ROWS>().0.iter().enumerate() {
                let mut unpacked = [L::ZERO; GROUP_ROWS];
                L::unpack_group(width, &packed, group, &mut unpacked);
                assert!(unpacked == *expected, "group {group} of width {width}");
            }
            for (low, span) in [(cut(random.u64(..)), cut(random.u64(..))), (L::narrow(u64::MAX), L::narrow(5))] {
                let mut expected = VectorBits::default();
                for (index, value) in values.iter().enumerate() {
                    expected[index / 64] |= u64::from(value.wrapping_sub(&low) <= span) << (index % 64);
                }
                for level in Level::available() {
                    let mut unpacked = [L::ZERO; VECTOR_ROWS];
                    L::unpack_at(level, width, &packed, &mut unpacked);
                    assert!(unpacked == values, "{level:?} unpacks width {width}");
                    let mut bits = [u64::MAX; VECTOR_ROWS / 64];
                    L::between_at(level, width, &packed, low, span, &mut bits);
                    assert_eq!(bits, expected, "{level:?} compares width {width}");
                    let (from, to) = (random.usize(..=VECTOR_ROWS), random.usize(..=VECTOR_ROWS));
                    let rows = from.min(to)..from.max(to);
                    let sum = values[rows.clone()].iter().fold(0u64, |sum, value| sum.wrapping_add(value.widen()));
                    assert_eq!(L::sum_at(level, width, &packed, rows), sum, "{level:?} adds up width {width}");
                }
            }
        }
    }

    #[test]
    fn every_level_and_width_agrees_with_fastlanes_and_a_plain_loop() {
        let mut random = fastrand::Rng::with_seed(1);
        kernels_agree::<u8>(&mut random);
        kernels_agree::<u16>(&mut random);
        kernels_agree::<u32>(&mut random);
        kernels_agree::<u64>(&mut random);
    }
}
