//! Bit-packing of vectors of 1,024 unsigned integers, and comparison while unpacking.
//!
//! The packed layout is that of the `fastlanes` crate (Afroozeh and Boncz, "The FastLanes Compression Layout", VLDB
//! 2023): with `T` bits a lane has `T` values, and the same value of all lanes is unpacked by the same shifts, so that
//! one instruction works on as many lanes as a register holds, without any shuffling.
//!
//! The crate's own kernels are one function a width, 124 of each kind, always compiled for the baseline instruction set.
//! Ours take the width as a number: within a row of lanes all shifts are equal, and shifting by a register costs what
//! shifting by a constant does. So a kernel is one short loop, compiled once for each instruction set and chosen at run
//! time, and still as fast as the first-level cache takes the results (measured with AVX2: 50, 21, 9 and 4.5 billion
//! values a second unpacked to 8, 16, 32 and 64 bits). The crate's kernels are the oracle in the tests.

mod lane;
mod level;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86_avx2;
#[cfg(target_arch = "x86_64")]
mod x86_avx512;

pub(crate) use lane::{Lane, VectorBits, packed_len, unpack_one};
pub(crate) use level::dispatch;
