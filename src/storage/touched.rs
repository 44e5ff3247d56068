//! Which times a transaction has touched: those of the rows it adds and of the rows it deletes.
//!
//! Who keeps results by time (sums of an hour, say) needs to know which to compute anew, without being told every row. So a table may
//! say which of its columns is its time, and each transaction gathers the values of that column that it writes or takes away, as a few
//! ranges: values that are close are one range, and when there are many ranges the closest become one. What is told is never less
//! than what was touched, and may be a little more.

use crate::error::Result;
use crate::partition::numbers;
use arrow::array::{Array, ArrayRef};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, TimeUnit};
use std::ops::RangeInclusive;

/// Ranges that are kept apart.
const RANGES_MAX: usize = 64;

/// Touched values of a column: ranges that ascend and do not meet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Touched {
    ranges: Vec<RangeInclusive<i64>>,
}

/// Values that are not farther apart are one range: ten minutes, a day, or 1,024.
fn grain(data_type: &DataType) -> i64 {
    match data_type {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => 600_000_000_000,
        DataType::Timestamp(..) => 600_000_000,
        DataType::Date32 => 1,
        _ => 1024,
    }
}

impl Touched {
    /// The ranges.
    pub(crate) fn ranges(&self) -> &[RangeInclusive<i64>] {
        &self.ranges
    }

    /// Everything.
    pub(crate) fn all() -> Touched {
        Touched { ranges: vec![i64::MIN..=i64::MAX] }
    }

    /// Adds the values of a column.
    pub(crate) fn add_values(&mut self, column: &ArrayRef) -> Result<()> {
        let (grain, numbers) = (grain(column.data_type()), numbers(column)?);
        let (Some(first), Some(last)) = (min(&numbers), max(&numbers)) else { return Ok(()) };
        if last.saturating_sub(first) <= grain {
            self.add(first..=last, grain);
            return Ok(());
        }
        // Values mostly come in order, so that few of these are left.
        let valid = (0..numbers.len()).filter(|row| numbers.is_valid(*row));
        let mut pieces: Vec<i64> = valid.map(|row| numbers.value(row).div_euclid(grain)).collect();
        pieces.dedup();
        pieces.sort_unstable();
        pieces.dedup();
        for run in pieces.chunk_by(|a, b| a + 1 == *b) {
            let start = run[0].saturating_mul(grain).max(first);
            let end = run[run.len() - 1].saturating_mul(grain).saturating_add(grain - 1).min(last);
            self.add(start..=end, grain);
        }
        Ok(())
    }

    /// Adds what another has.
    pub(crate) fn merge(&mut self, other: &Touched, data_type: &DataType) {
        other.ranges.iter().for_each(|range| self.add(range.clone(), grain(data_type)));
    }

    /// Adds a range of a column of this type.
    pub(crate) fn add_range(&mut self, range: RangeInclusive<i64>, data_type: &DataType) {
        self.add(range, grain(data_type));
    }

    fn add(&mut self, range: RangeInclusive<i64>, grain: i64) {
        let (mut first, mut last) = range.into_inner();
        let begin = self.ranges.partition_point(|known| known.end().saturating_add(grain) < first);
        let end = self.ranges.partition_point(|known| known.start().saturating_sub(grain) <= last);
        for known in &self.ranges[begin..end.max(begin)] {
            (first, last) = (first.min(*known.start()), last.max(*known.end()));
        }
        self.ranges.splice(begin..end.max(begin), [first..=last]);
        if self.ranges.len() > RANGES_MAX {
            let gap = |at: &usize| self.ranges[at + 1].start().saturating_sub(*self.ranges[*at].end());
            let closest = (0..self.ranges.len() - 1).min_by_key(gap).unwrap_or_default();
            let joined = *self.ranges[closest].start()..=*self.ranges[closest + 1].end();
            self.ranges.splice(closest..closest + 2, [joined]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use std::sync::Arc;

    #[test]
    fn ranges_hold_every_value_ascend_and_are_few() {
        let mut random = fastrand::Rng::with_seed(5);
        for spread in [2_000, 100_000, i64::MAX] {
            let (mut touched, mut values) = (Touched::default(), vec![]);
            for _ in 0..50 {
                let start = random.i64(-spread..spread);
                let new: Vec<i64> =
                    (0..random.i64(1..200)).map(|n| start.saturating_add(n * random.i64(0..900))).collect();
                touched.add_values(&(Arc::new(Int64Array::from(new.clone())) as ArrayRef)).unwrap();
                values.extend(new);
                assert!(touched.ranges().windows(2).all(|pair| pair[0].end() < pair[1].start()));
                assert!(touched.ranges().len() <= RANGES_MAX);
                assert!(values.iter().all(|value| touched.ranges().iter().any(|range| range.contains(value))));
            }
        }
        let mut all = Touched::all();
        all.add_range(3..=4, &DataType::Int64);
        assert_eq!(all.ranges(), [i64::MIN..=i64::MAX]);
    }

    #[test]
    fn far_values_stay_apart() {
        let mut touched = Touched::default();
        touched
            .add_values(&(Arc::new(Int64Array::from(vec![Some(5), None, Some(1_000_000), Some(7)])) as ArrayRef))
            .unwrap();
        assert_eq!(touched.ranges(), [5..=1023, 999_424..=1_000_000]);
    }
}
