//! Integers that are packed as distances from a base, and the native integers they decode to.

use arrow::datatypes::ArrowNativeType;

/// Integers that can be the base of a frame of reference.
pub(crate) trait Frame: ArrowNativeType + Ord {
    /// Tag in the section header.
    const TAG: u8;
    /// `high - low`, if it fits.
    fn span(low: Self, high: Self) -> Option<u64>;
    /// `self - base`, known to fit.
    fn above(self, base: Self) -> u64;
    /// `self + distance`, wrapping around.
    fn plus(self, distance: u64) -> Self;
    /// `self * count`, wrapping around.
    fn times(self, count: u64) -> Self;
    /// Widened.
    fn wide(self) -> i128;
    /// Little-endian bytes.
    fn write(self, out: &mut Vec<u8>);
}

impl Frame for i64 {
    const TAG: u8 = 0;
    #[inline(always)]
    fn span(low: Self, high: Self) -> Option<u64> {
        Some(high.wrapping_sub(low) as u64)
    }
    #[inline(always)]
    fn above(self, base: Self) -> u64 {
        self.wrapping_sub(base) as u64
    }
    #[inline(always)]
    fn plus(self, distance: u64) -> Self {
        self.wrapping_add(distance as i64)
    }
    fn times(self, count: u64) -> Self {
        self.wrapping_mul(count as i64)
    }
    #[inline(always)]
    fn wide(self) -> i128 {
        self.into()
    }
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
}

impl Frame for i128 {
    const TAG: u8 = 1;
    fn span(low: Self, high: Self) -> Option<u64> {
        high.checked_sub(low).and_then(|span| u64::try_from(span).ok())
    }
    #[inline(always)]
    fn above(self, base: Self) -> u64 {
        self.wrapping_sub(base) as u64
    }
    #[inline(always)]
    fn plus(self, distance: u64) -> Self {
        self.wrapping_add(distance.into())
    }
    fn times(self, count: u64) -> Self {
        self.wrapping_mul(count.into())
    }
    #[inline(always)]
    fn wide(self) -> i128 {
        self
    }
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
}

/// Native integers values decode to.
pub(crate) trait Target<F>: Copy {
    /// The low bits of `value`.
    fn from_frame(value: F) -> Self;
}

macro_rules! target {
    ($frame:ty => $($target:ty),+) => {
        $(impl Target<$frame> for $target {
            #[inline(always)]
            fn from_frame(value: $frame) -> Self {
                value as $target
            }
        })+
    };
}

target!(i64 => i8, i16, i32, i64, i128);
target!(i128 => i128);
