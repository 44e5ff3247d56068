//! Tests of one value: what every condition with a constant comes down to, over ordered integers or over bytes.

use super::mask::Mask;
use std::sync::Arc;

/// Test of an ordered integer.
#[derive(Clone, Debug)]
pub(crate) enum IntegerTest {
    /// `low <= v <= high`, or its negation; empty when `low > high`.
    Range {
        /// Lower bound, inclusive.
        low: i128,
        /// Upper bound, inclusive.
        high: i128,
        /// Passes outside instead.
        negated: bool,
    },
    /// One of these, ascending.
    Set(Arc<Vec<i128>>),
    /// Bit `v - base` is set.
    Bitmap {
        /// Value of bit 0.
        base: i64,
        /// Bits.
        bits: Arc<Vec<u64>>,
    },
}

/// Test of a byte string.
#[derive(Clone, Debug)]
pub(crate) enum BytesTest {
    /// Between the bounds, or its negation.
    Range {
        /// Lower bound.
        low: Edge,
        /// Upper bound.
        high: Edge,
        /// Passes outside instead.
        negated: bool,
    },
    /// One of these, ascending.
    Set(Arc<Vec<Vec<u8>>>),
    /// Starts with `prefix`, or its negation.
    Prefix {
        /// The prefix.
        prefix: Vec<u8>,
        /// Passes otherwise instead.
        negated: bool,
    },
}

/// One end of a range of byte strings.
#[derive(Clone, Debug)]
pub(crate) enum Edge {
    /// No bound.
    Open,
    /// The bound itself passes.
    Inclusive(Vec<u8>),
    /// The bound itself does not pass.
    Exclusive(Vec<u8>),
}

impl IntegerTest {
    /// Whether `value` passes.
    pub(crate) fn passes(&self, value: i128) -> bool {
        match self {
            IntegerTest::Range { low, high, negated } => (*low <= value && value <= *high) != *negated,
            IntegerTest::Set(set) => set.binary_search(&value).is_ok(),
            IntegerTest::Bitmap { .. } => i64::try_from(value).is_ok_and(|value| self.passes_narrow(value)),
        }
    }

    /// Whether a 64-bit `value` passes.
    #[inline]
    pub(crate) fn passes_narrow(&self, value: i64) -> bool {
        match self {
            IntegerTest::Bitmap { base, bits } => bit(bits, value.wrapping_sub(*base) as u64) && value >= *base,
            _ => self.passes(value.into()),
        }
    }

    /// Whether a value in `min..=max` can pass.
    pub(crate) fn may_match(&self, min: i128, max: i128) -> bool {
        match self {
            IntegerTest::Range { low, high, negated: false } => low <= high && *low <= max && min <= *high,
            IntegerTest::Range { low, high, negated: true } => !(*low <= min && max <= *high),
            IntegerTest::Set(set) => set.get(set.partition_point(|v| *v < min)).is_some_and(|v| *v <= max),
            IntegerTest::Bitmap { base, bits } => {
                let base = i128::from(*base);
                let last = base + bits.len() as i128 * 64 - 1;
                let (from, to) = (min.max(base), max.min(last));
                from <= to && any_bit(bits, (from - base) as usize, (to - base) as usize)
            }
        }
    }
}

/// Most ranges a set is tested as; beyond, looking up each value is faster.
const RANGES_MAX: usize = 4;

impl IntegerTest {
    /// A set as a few ranges, when it is: comparisons are far faster than looking up each value.
    pub(crate) fn as_few_ranges(&self) -> Option<Vec<(i128, i128)>> {
        match self {
            IntegerTest::Range { .. } => None,
            IntegerTest::Set(set) => (set.len() <= RANGES_MAX).then(|| set.iter().map(|&v| (v, v)).collect()),
            IntegerTest::Bitmap { base, bits } => {
                /// Longer bitmaps are not looked through.
                const WORDS_MAX: usize = 256;
                if bits.len() > WORDS_MAX {
                    return None;
                }
                let mut ranges: Vec<(i128, i128)> = Vec::new();
                let set = Mask { words: bits.to_vec(), rows: bits.len() * 64 };
                set.runs(0, set.rows, |run| {
                    let base = i128::from(*base);
                    ranges.push((base + run.start as i128, base + run.end as i128 - 1));
                });
                (ranges.len() <= RANGES_MAX).then_some(ranges)
            }
        }
    }
}

/// Bit `index` of `bits`; clear past the end.
#[inline]
pub(crate) fn bit(bits: &[u64], index: u64) -> bool {
    bits.get((index / 64) as usize).is_some_and(|word| word >> (index % 64) & 1 == 1)
}

/// Whether any bit of `from..=to` is set.
fn any_bit(bits: &[u64], from: usize, to: usize) -> bool {
    let (first, last) = (from / 64, to / 64);
    (first..=last).any(|index| {
        let mut word = bits[index];
        if index == first {
            word &= u64::MAX << (from % 64);
        }
        if index == last {
            word &= u64::MAX >> (63 - to % 64);
        }
        word != 0
    })
}

/// A range test cut to 64-bit values.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NarrowRange {
    /// No 64-bit value passes.
    Nothing,
    /// `v - low <= span` in wrapping unsigned arithmetic, or its negation.
    Between {
        /// Lower bound.
        low: i64,
        /// Upper bound minus lower bound.
        span: u64,
        /// Passes outside instead.
        negated: bool,
    },
}

impl IntegerTest {
    /// The test over 64-bit values, when it is a range.
    pub(crate) fn narrow_range(&self) -> Option<NarrowRange> {
        let IntegerTest::Range { low, high, negated } = *self else { return None };
        let (min, max) = (i128::from(i64::MIN), i128::from(i64::MAX));
        let (from, to) = (low.max(min), high.min(max));
        Some(if from <= to {
            NarrowRange::Between { low: from as i64, span: (to - from) as u64, negated }
        } else if negated {
            NarrowRange::Between { low: i64::MIN, span: u64::MAX, negated: false }
        } else {
            NarrowRange::Nothing
        })
    }
}

impl Edge {
    /// Whether `value` is above this lower edge.
    pub(crate) fn allows_from(&self, value: &[u8]) -> bool {
        match self {
            Edge::Open => true,
            Edge::Inclusive(low) => value >= low.as_slice(),
            Edge::Exclusive(low) => value > low.as_slice(),
        }
    }

    /// Whether `value` is below this upper edge.
    pub(crate) fn allows_to(&self, value: &[u8]) -> bool {
        match self {
            Edge::Open => true,
            Edge::Inclusive(high) => value <= high.as_slice(),
            Edge::Exclusive(high) => value < high.as_slice(),
        }
    }
}

impl BytesTest {
    /// Whether `value` passes.
    pub(crate) fn passes(&self, value: &[u8]) -> bool {
        match self {
            BytesTest::Range { low, high, negated } => (low.allows_from(value) && high.allows_to(value)) != *negated,
            BytesTest::Set(set) => set.binary_search_by(|member| member.as_slice().cmp(value)).is_ok(),
            BytesTest::Prefix { prefix, negated } => value.starts_with(prefix) != *negated,
        }
    }

    /// Whether a value can pass when all are at least `min` and at most some string that starts with `max`.
    pub(crate) fn may_match(&self, min: &[u8], max: &[u8]) -> bool {
        let reaches = |low: &[u8]| low <= max || low.starts_with(max);
        match self {
            BytesTest::Range { low, high, negated: false } => {
                let low_reached = match low {
                    Edge::Open => true,
                    Edge::Inclusive(low) | Edge::Exclusive(low) => reaches(low),
                };
                low_reached && high.allows_to(min)
            }
            BytesTest::Range { negated: true, .. } => true,
            BytesTest::Set(set) => {
                let from = set.partition_point(|member| member.as_slice() < min);
                set.get(from).is_some_and(|member| reaches(member))
            }
            BytesTest::Prefix { prefix, negated: false } => {
                reaches(prefix) && (min <= prefix.as_slice() || min.starts_with(prefix))
            }
            BytesTest::Prefix { prefix, negated: true } => !(min.starts_with(prefix) && max.starts_with(prefix)),
        }
    }
}
