//! Values of fixed width as bytes in their order.
//!
//! ```text
//! interval, months               i32
//! interval, days and ms          length in ms i64 · days i32
//! interval, months, days and ns  length in ns i128 · months i32 · days i32
//! ```
//!
//! A month counts 30 days and a day 24 hours when intervals are compared, as in PostgreSQL. The field that is not written
//! is the rest of the length.

use arrow::datatypes::{IntervalDayTime, IntervalMonthDayNano};

const DAY_MS: i64 = 86_400_000;
const DAY_NS: i128 = 86_400_000_000_000;
const MONTH_DAYS: i128 = 30;

/// A value with an encoding of fixed width.
pub(super) trait KeyNumber: Copy {
    /// Bytes of the encoding.
    const WIDTH: usize;

    /// Writes the value into exactly [`Self::WIDTH`] bytes.
    fn write(self, out: &mut [u8]);

    /// The value of exactly [`Self::WIDTH`] bytes, or `None` if no value is written so.
    fn read(bytes: &[u8]) -> Option<Self>;
}

macro_rules! integers {
    ($($integer:ty, $flip:expr;)*) => {$(
        impl KeyNumber for $integer {
            const WIDTH: usize = size_of::<$integer>();

            #[inline]
            fn write(self, out: &mut [u8]) {
                out.copy_from_slice(&(self ^ $flip).to_be_bytes());
            }

            #[inline]
            fn read(bytes: &[u8]) -> Option<Self> {
                Some(<$integer>::from_be_bytes(bytes.try_into().ok()?) ^ $flip)
            }
        }
    )*};
}

integers! {
    i8, i8::MIN;
    i16, i16::MIN;
    i32, i32::MIN;
    i64, i64::MIN;
    i128, i128::MIN;
    u8, 0;
    u16, 0;
    u32, 0;
    u64, 0;
}

macro_rules! floats {
    ($($float:ty, $bits:ty;)*) => {$(
        impl KeyNumber for $float {
            const WIDTH: usize = size_of::<$float>();

            #[inline]
            fn write(self, out: &mut [u8]) {
                const SIGN: $bits = 1 << (<$bits>::BITS - 1);
                let bits = if self.is_nan() {
                    <$float>::NAN.to_bits() & !SIGN
                } else if self == 0.0 {
                    0
                } else {
                    self.to_bits()
                };
                let ordered = if bits & SIGN == 0 { bits ^ SIGN } else { !bits };
                out.copy_from_slice(&ordered.to_be_bytes());
            }

            #[inline]
            fn read(bytes: &[u8]) -> Option<Self> {
                const SIGN: $bits = 1 << (<$bits>::BITS - 1);
                let ordered = <$bits>::from_be_bytes(bytes.try_into().ok()?);
                let value = <$float>::from_bits(if ordered & SIGN == 0 { !ordered } else { ordered ^ SIGN });
                // Other NaNs and -0 are never written.
                let mut again = [0; size_of::<$float>()];
                value.write(&mut again);
                (bytes == again).then_some(value)
            }
        }
    )*};
}

floats! {
    f32, u32;
    f64, u64;
}

impl KeyNumber for IntervalDayTime {
    const WIDTH: usize = 12;

    fn write(self, out: &mut [u8]) {
        (i64::from(self.days) * DAY_MS + i64::from(self.milliseconds)).write(&mut out[..8]);
        self.days.write(&mut out[8..]);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (length, days) = (i64::read(bytes.get(..8)?)?, i32::read(bytes.get(8..)?)?);
        let milliseconds = length.checked_sub(i64::from(days) * DAY_MS)?.try_into().ok()?;
        Some(IntervalDayTime { days, milliseconds })
    }
}

impl KeyNumber for IntervalMonthDayNano {
    const WIDTH: usize = 24;

    fn write(self, out: &mut [u8]) {
        let days = i128::from(self.months) * MONTH_DAYS + i128::from(self.days);
        (days * DAY_NS + i128::from(self.nanoseconds)).write(&mut out[..16]);
        self.months.write(&mut out[16..20]);
        self.days.write(&mut out[20..]);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let length = i128::read(bytes.get(..16)?)?;
        let (months, days) = (i32::read(bytes.get(16..20)?)?, i32::read(bytes.get(20..)?)?);
        let whole = (i128::from(months) * MONTH_DAYS + i128::from(days)) * DAY_NS;
        let nanoseconds = length.checked_sub(whole)?.try_into().ok()?;
        Some(IntervalMonthDayNano { months, days, nanoseconds })
    }
}
