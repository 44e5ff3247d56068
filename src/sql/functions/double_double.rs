//! Numbers of about 31 decimal digits, each the unevaluated sum of two doubles, for the irrational functions of `numeric`.
//!
//! The sums and products are Dekker's and Knuth's error-free ones (see Hida, Li and Bailey, "Library for Double-Double and
//! Quad-Double Arithmetic", 2001); `exp` reduces its argument and sums Taylor's series, `ln` is Newton's step on `exp`.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// The sum of two doubles, the second at most half a unit in the last place of the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct DoubleDouble(f64, f64);

const LN_2: DoubleDouble = DoubleDouble(std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);
/// Halvings of the argument of `exp` before the series.
const HALVINGS: i32 = 9;

fn two_sum(a: f64, b: f64) -> DoubleDouble {
    let sum = a + b;
    let part = sum - a;
    DoubleDouble(sum, (a - (sum - part)) + (b - part))
}

impl From<f64> for DoubleDouble {
    fn from(value: f64) -> Self {
        DoubleDouble(value, 0.0)
    }
}

impl DoubleDouble {
    /// `digits` × 10^-`scale`; `scale` is 0 to 38.
    pub(super) fn from_decimal(digits: i128, scale: i8) -> DoubleDouble {
        let unit = 10i128.pow(u32::from(scale.clamp(0, 38).unsigned_abs()));
        if unit == 1 { Self::from_integer(digits) } else { Self::from_integer(digits) / Self::from_integer(unit) }
    }

    fn from_integer(value: i128) -> DoubleDouble {
        let high = value as f64;
        // `high` may be 2^127, one more than there is.
        let low = value.wrapping_sub(high as i128) as f64;
        two_sum(high, low)
    }

    /// The nearest decimal of a scale from 0 to 38; `None` when it has more than 38 digits.
    pub(super) fn to_decimal(self, scale: i8) -> Option<i128> {
        let scaled = self * Self::from_integer(10i128.pow(u32::from(scale.clamp(0, 38).unsigned_abs())));
        if scaled.0.is_nan() || scaled.0.abs() >= 1e38 {
            return None;
        }
        let whole = scaled.0.round();
        Some(whole as i128 + ((scaled.0 - whole) + scaled.1).round() as i128)
    }

    pub(super) fn to_f64(self) -> f64 {
        self.0
    }

    pub(super) fn sqrt(self) -> DoubleDouble {
        if self.0 <= 0.0 {
            return Self::from(0.0);
        }
        let root = Self::from(self.0.sqrt());
        root + (self - root * root) / (root + root)
    }

    pub(super) fn exp(self) -> DoubleDouble {
        let twos = (self.0 / LN_2.0).round();
        if !(-1000.0..=1000.0).contains(&twos) {
            return Self::from(self.0.exp());
        }
        let reduced = (self - LN_2 * Self::from(twos)) * Self::from(0.5f64.powi(HALVINGS));
        // exp(x) - 1, so that squaring loses nothing to the leading 1.
        let mut sum = reduced;
        let mut term = reduced;
        for n in 2..=12 {
            term = term * reduced / Self::from(f64::from(n));
            sum = sum + term;
        }
        for _ in 0..HALVINGS {
            sum = sum * sum + sum + sum;
        }
        (sum + Self::from(1.0)) * Self::from(2f64.powi(twos as i32))
    }

    /// The natural logarithm of a positive number.
    pub(super) fn ln(self) -> DoubleDouble {
        let mut result = Self::from(self.0.ln());
        for _ in 0..2 {
            result = result + self * (-result).exp() - Self::from(1.0);
        }
        result
    }

    pub(super) fn powi(self, exponent: u64) -> DoubleDouble {
        let (mut result, mut square, mut rest) = (Self::from(1.0), self, exponent);
        while rest > 0 {
            if rest & 1 == 1 {
                result = result * square;
            }
            rest >>= 1;
            if rest > 0 {
                square = square * square;
            }
        }
        result
    }
}

impl Add for DoubleDouble {
    type Output = DoubleDouble;

    fn add(self, other: DoubleDouble) -> DoubleDouble {
        let high = two_sum(self.0, other.0);
        let low = two_sum(self.1, other.1);
        let sum = two_sum(high.0, high.1 + low.0);
        two_sum(sum.0, sum.1 + low.1)
    }
}

impl Neg for DoubleDouble {
    type Output = DoubleDouble;

    fn neg(self) -> DoubleDouble {
        DoubleDouble(-self.0, -self.1)
    }
}

impl Sub for DoubleDouble {
    type Output = DoubleDouble;

    fn sub(self, other: DoubleDouble) -> DoubleDouble {
        self + -other
    }
}

impl Mul for DoubleDouble {
    type Output = DoubleDouble;

    fn mul(self, other: DoubleDouble) -> DoubleDouble {
        let high = self.0 * other.0;
        let error = self.0.mul_add(other.0, -high);
        two_sum(high, error + (self.0 * other.1 + self.1 * other.0))
    }
}

impl Div for DoubleDouble {
    type Output = DoubleDouble;

    fn div(self, other: DoubleDouble) -> DoubleDouble {
        let first = self.0 / other.0;
        let rest = self - other * Self::from(first);
        let second = rest.0 / other.0;
        let rest = rest - other * Self::from(second);
        two_sum(first, second) + Self::from(rest.0 / other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: DoubleDouble, scale: i8) -> i128 {
        value.to_decimal(scale).expect("a decimal")
    }

    #[test]
    fn constants_have_25_digits() {
        assert_eq!(shown(DoubleDouble::from(1.0).exp(), 25), 27_182_818_284_590_452_353_602_875);
        assert_eq!(shown(DoubleDouble::from(10.0).ln(), 25), 23_025_850_929_940_456_840_179_915);
        assert_eq!(shown(DoubleDouble::from(2.0).sqrt(), 25), 14_142_135_623_730_950_488_016_887);
        assert_eq!(shown(DoubleDouble::from_decimal(1, 1) * DoubleDouble::from(3.0), 25), 3 * 10i128.pow(24));
    }

    #[test]
    fn decimals_come_back() {
        for digits in [0, 1, -1, 12_345_678_901_234_567_890_123_456_789, -(10i128.pow(30))] {
            assert_eq!(DoubleDouble::from_decimal(digits, 10).to_decimal(10), Some(digits));
        }
        assert_eq!(DoubleDouble::from(1e30).to_decimal(10), None);
    }
}
