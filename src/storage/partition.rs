//! Rows kept apart by ranges of one column: partitions.
//!
//! A table may be partitioned by a column of integers or times. Rows of different partitions then go to different segments, wherever segments are
//! written: by bulk loads, flushes and merges. So old rows leave as whole files, and what asks for a range of the column meets few of them.
//!
//! That rows are apart is for speed only, and nothing relies on it. Few rows of a partition are not worth a segment: they go with the few
//! rows of others into one segment of many partitions. Of every segment it is known which values of the column it has, and that decides.

use crate::error::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{cast, max, min, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Fewer rows of a partition get no segment of their own.
pub(crate) const PARTITION_ROWS_MIN: usize = 8192;

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;
/// Nanoseconds of a day.
const DAY_NS: i64 = DAY_US * 1000;

/// How the rows of a table are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionBy {
    /// The column, of integers, dates or time stamps.
    pub column: usize,
    /// What one partition has.
    pub width: PartitionWidth,
}

/// Which values of a column are in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionWidth {
    /// So many consecutive values, counted from zero; at least 1.
    Values(i64),
    /// So many months of the calendar in UTC, counted from January 1970; at least 1. For dates and time stamps in micro- or nanoseconds.
    Months(u32),
}

/// The partition of some rows; `None` for rows of several, or without a value.
pub(crate) type Partition = Option<i64>;

impl PartitionBy {
    /// Whether a column of this type can part rows so.
    pub(crate) fn fits(&self, data_type: &DataType) -> bool {
        match self.width {
            PartitionWidth::Values(width) => width > 0 && (is_number(data_type) || is_moment(data_type)),
            PartitionWidth::Months(months) => months > 0 && is_moment(data_type),
        }
    }

    /// The partition of a value of a column of this type: micro- or nanoseconds, days or numbers.
    pub fn partition_of(&self, value: i64, data_type: &DataType) -> i64 {
        match self.width {
            PartitionWidth::Values(width) => value.div_euclid(width),
            PartitionWidth::Months(months) => {
                let day = value.div_euclid(day_length(data_type));
                month_of(day).div_euclid(i64::from(months))
            }
        }
    }

    /// The first value of a partition of a column of this type; `None` when it is out of reach.
    pub fn start(&self, partition: i64, data_type: &DataType) -> Option<i64> {
        match self.width {
            PartitionWidth::Values(width) => partition.checked_mul(width),
            PartitionWidth::Months(months) => {
                let day = first_day(partition.checked_mul(i64::from(months))?)?;
                day.checked_mul(day_length(data_type))
            }
        }
    }

    /// The partition of all values from `first` to `last`, if they are in one.
    pub(crate) fn of_range(&self, range: &RangeInclusive<i64>, data_type: &DataType) -> Partition {
        let first = self.partition_of(*range.start(), data_type);
        (self.partition_of(*range.end(), data_type) == first).then_some(first)
    }

    /// `batch` by partition, rows in their order. One batch, the same, if it has only one.
    pub(crate) fn split(&self, batch: RecordBatch) -> Result<Vec<(Partition, RecordBatch)>> {
        let values = numbers(batch.column(self.column))?;
        let data_type = batch.column(self.column).data_type().clone();
        match range_of(&values) {
            None => return Ok(vec![(None, batch)]),
            Some(range) if values.null_count() == 0 => {
                if let Some(partition) = self.of_range(&range, &data_type) {
                    return Ok(vec![(Some(partition), batch)]);
                }
            }
            Some(_) => {}
        }
        let of_row = |row: usize| values.is_valid(row).then(|| self.partition_of(values.value(row), &data_type));
        // Rows mostly come in order of time: few runs, which are cut without a copy.
        let mut runs: Vec<(Partition, usize, usize)> = vec![];
        for row in 0..batch.num_rows() {
            let partition = of_row(row);
            match runs.last_mut() {
                Some((last, _, end)) if *last == partition => *end = row + 1,
                _ => runs.push((partition, row, row + 1)),
            }
        }
        let mut rows: BTreeMap<Partition, Vec<(usize, usize)>> = BTreeMap::new();
        runs.into_iter().for_each(|(partition, start, end)| rows.entry(partition).or_default().push((start, end)));
        let pick = |runs: Vec<(usize, usize)>| -> Result<RecordBatch> {
            if let [(start, end)] = runs[..] {
                return Ok(batch.slice(start, end - start));
            }
            let rows = runs.into_iter().flat_map(|(start, end)| start as u32..end as u32);
            Ok(take_record_batch(&batch, &UInt32Array::from_iter_values(rows))?)
        };
        rows.into_iter().map(|(partition, runs)| Ok((partition, pick(runs)?))).collect()
    }
}

fn is_number(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int16 | DataType::Int32 | DataType::Int64)
}

fn is_date(data_type: &DataType) -> bool {
    *data_type == DataType::Date32
}

fn is_moment(data_type: &DataType) -> bool {
    is_date(data_type) || matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, _))
}

/// How many values of a type of dates or time stamps are in a day.
fn day_length(data_type: &DataType) -> i64 {
    match data_type {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => DAY_NS,
        DataType::Timestamp(..) => DAY_US,
        _ => 1,
    }
}

/// The values of a column that can part rows.
pub(crate) fn numbers(column: &ArrayRef) -> Result<Int64Array> {
    let numbers = cast(column, &DataType::Int64)?;
    let numbers = numbers.as_primitive_opt::<Int64Type>();
    numbers.cloned().ok_or_else(|| Error::Unsupported("a partition of what is no number".into()))
}

fn range_of(values: &Int64Array) -> Option<RangeInclusive<i64>> {
    Some(min(values)?..=max(values)?)
}

/// The range of values between two bounds, arrays of length 1.
pub(crate) fn range_between(min: &ArrayRef, max: &ArrayRef) -> Result<Option<RangeInclusive<i64>>> {
    let (low, high) = (numbers(min)?, numbers(max)?);
    let is_known = low.len() == 1 && high.len() == 1 && low.is_valid(0) && high.is_valid(0);
    Ok(is_known.then(|| low.value(0)..=high.value(0)))
}

/// Months from January 1970 to the day `day` after 1970-01-01, by the calendar that goes on forever both ways (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms").
fn month_of(day: i64) -> i64 {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // Years of this calendar begin in March.
    let month = (5 * of_year + 2) / 153;
    (era * 400 + year) * 12 + month + 2 - 1970 * 12
}

/// The first day of a month, both counted from January 1970.
fn first_day(month: i64) -> Option<i64> {
    // Years of this calendar begin in March.
    let month = month.checked_add(1970 * 12 - 2)?;
    let (year, of_year) = (month.div_euclid(12), month.rem_euclid(12));
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day = of_era * 365 + of_era / 4 - of_era / 100 + (153 * of_year + 2) / 5;
    era.checked_mul(146_097)?.checked_add(day - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::TimestampMicrosecondArray;
    use std::sync::Arc;

    #[test]
    fn months_are_those_of_the_calendar() {
        // Days since 1970-01-01 of the first of some months, and of the day before.
        for (day, month) in [
            (0, 0),
            (31, 1),
            (59, 2),
            (365, 12),
            (11_016, 361),
            (11_017, 362),
            (-1, -1),
            (-31, -1),
            (-32, -2),
            (-719_528, -23_640),
        ] {
            assert_eq!(month_of(day), month, "day {day}");
        }
        for month in -30_000..30_000 {
            let day = first_day(month).unwrap();
            assert_eq!((month_of(day - 1), month_of(day)), (month - 1, month));
        }
        let by = PartitionBy { column: 0, width: PartitionWidth::Months(3) };
        let starts = [-1, 0, 1].map(|partition| by.start(partition, &DataType::Date32));
        assert_eq!(starts, [Some(-92), Some(0), Some(90)]);
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
        assert_eq!([-1, 0, 1].map(|partition| by.start(partition, &nanos)), [-92, 0, 90].map(|day| Some(day * DAY_NS)));
        assert_eq!([-1, 0, 90 * DAY_NS].map(|value| by.partition_of(value, &nanos)), [-1, 0, 1]);
        // 2000-02-29 is in February, 1900 had none.
        assert_eq!((month_of(11_016), month_of(-25_509), month_of(-25_508)), (361, -839, -838));
    }

    #[test]
    fn rows_are_split_as_one_by_one() {
        let by = PartitionBy { column: 0, width: PartitionWidth::Values(10) };
        let mut random = fastrand::Rng::with_seed(3);
        for spread in [5, 30, 1000] {
            let values: Vec<Option<i64>> =
                (0..500).map(|_| (random.u8(..20) > 0).then(|| random.i64(-spread..spread))).collect();
            let batch = RecordBatch::try_from_iter([
                ("t", Arc::new(Int64Array::from(values.clone())) as ArrayRef),
                ("n", Arc::new(Int64Array::from_iter_values(0..500)) as ArrayRef),
            ])
            .unwrap();
            let mut seen = 0;
            for (partition, rows) in by.split(batch).unwrap() {
                let numbers = rows.column(1).as_primitive::<Int64Type>().values();
                assert!(numbers.is_sorted());
                for (value, number) in rows.column(0).as_primitive::<Int64Type>().iter().zip(numbers) {
                    assert_eq!(value, values[*number as usize]);
                    assert_eq!(value.map(|value| value.div_euclid(10)), partition);
                    seen += 1;
                }
            }
            assert_eq!(seen, 500);
        }
    }

    #[test]
    fn a_batch_of_one_partition_is_not_copied() {
        let times = TimestampMicrosecondArray::from(vec![DAY_US - 1, 5, 0]);
        let batch = RecordBatch::try_from_iter([("t", Arc::new(times) as ArrayRef)]).unwrap();
        for width in [PartitionWidth::Values(DAY_US), PartitionWidth::Months(1)] {
            let by = PartitionBy { column: 0, width };
            assert!(by.fits(batch.column(0).data_type()));
            let split = by.split(batch.clone()).unwrap();
            assert!(split.len() == 1 && split[0].0 == Some(0));
            assert!(Arc::ptr_eq(split[0].1.column(0), batch.column(0)));
        }
    }
}
