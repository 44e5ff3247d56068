//! One group's rows with the missing ones between them.
//!
//! A [`Group`] holds the rows that are there, sorted by time, and puts out batches of at most [`ROWS_MAX`] rows, so that
//! a year of empty seconds takes no memory. For each row put out it knows the row of the group it is ([`Slot::Row`]) or
//! the one before the gap.

use super::Fill;
use crate::error::external;
use crate::time_bucket::{Buckets, Kind};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, RecordBatch, UInt32Array, new_null_array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, SchemaRef, i256};
use datafusion::common::{Result, ScalarValue};

/// Rows of a batch put out.
pub(super) const ROWS_MAX: usize = 8192;

/// What all groups share.
#[derive(Debug)]
pub(super) struct Filler {
    pub(super) schema: SchemaRef,
    pub(super) fills: Vec<Fill>,
    pub(super) kind: Kind,
    pub(super) buckets: Buckets,
    pub(super) constants: Vec<ScalarValue>,
    /// The column of buckets.
    pub(super) time: usize,
    /// Rows put out of each group at most.
    pub(super) rows_of_group: usize,
}

/// The buckets to fill: from the first to the end, which is excluded and may be one beyond the last number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) first: i64,
    pub(super) end: i128,
}

/// Where a row put out comes from.
#[derive(Clone, Copy, Debug)]
enum Slot {
    /// A row of the group.
    Row(u32),
    /// A bucket without a row, at a time, after so many rows.
    Gap { at: i64, after: u32 },
}

/// The rows of one group, as far as they are put out.
#[derive(Debug)]
pub(super) struct Group {
    rows: RecordBatch,
    times: Vec<Option<i64>>,
    /// The next row.
    row: usize,
    /// The next bucket; `None` when there are no more.
    bucket: Option<i64>,
    end: i128,
    /// Rows that may still be put out.
    left: usize,
}

impl Filler {
    /// The numbers of a column of buckets: micro- or nanoseconds, or integers.
    pub(super) fn times(&self, column: &ArrayRef) -> Result<Vec<Option<i64>>> {
        Ok(self.kind.numbers(column)?.iter().collect())
    }

    fn time_column(&self, values: Vec<Option<i64>>) -> Result<ArrayRef> {
        let data_type = self.schema.field(self.time).data_type();
        let array = self.kind.column(values);
        if array.data_type() == data_type { Ok(array) } else { Ok(cast(&array, data_type)?) }
    }

    /// Starts a group. `rows` are sorted by time; at least one, or none of a query without groups.
    pub(super) fn group(&self, rows: RecordBatch, range: Option<Range>) -> Result<Group> {
        let times = self.times(rows.column(self.time))?;
        let (bucket, end) = match range {
            Some(Range { first, end }) if i128::from(first) < end => (Some(first), end),
            _ => (None, i128::MIN),
        };
        Ok(Group { rows, times, row: 0, bucket, end, left: self.rows_of_group })
    }

    /// The next rows of a group; `None` at its end.
    pub(super) fn next(&self, group: &mut Group) -> Result<Option<RecordBatch>> {
        let mut slots = Vec::new();
        while slots.len() < ROWS_MAX.min(group.left) {
            let Some(slot) = self.slot(group)? else { break };
            slots.push(slot);
        }
        group.left -= slots.len();
        if slots.is_empty() {
            return Ok(None);
        }
        let columns = (0..self.fills.len()).map(|column| self.column(column, group, &slots)).collect::<Result<_>>()?;
        Ok(Some(RecordBatch::try_new(std::sync::Arc::clone(&self.schema), columns)?))
    }

    fn slot(&self, group: &mut Group) -> Result<Option<Slot>> {
        let row = group.times.get(group.row).copied();
        let bucket = group.bucket.filter(|at| i128::from(*at) < group.end);
        let gap = match (row, bucket) {
            (None, None) => return Ok(None),
            // Rows without a time come last.
            (Some(None), Some(at)) | (None, Some(at)) => Some(at),
            (Some(_), None) => None,
            (Some(Some(row)), Some(at)) => {
                if row == at {
                    group.bucket = self.buckets.next(at);
                }
                (at < row).then_some(at)
            }
        };
        Ok(Some(match gap {
            Some(at) => {
                // No bucket begins beyond the range of times.
                group.bucket = self.buckets.next(at);
                Slot::Gap { at, after: group.row as u32 }
            }
            None => {
                group.row += 1;
                Slot::Row(group.row as u32 - 1)
            }
        }))
    }

    fn column(&self, index: usize, group: &Group, slots: &[Slot]) -> Result<ArrayRef> {
        let column = group.rows.column(index);
        let of_rows = || -> UInt32Array {
            slots.iter().map(|slot| if let Slot::Row(row) = slot { Some(*row) } else { None }).collect()
        };
        match self.fills[index] {
            Fill::Bucket => {
                let at = |slot: &Slot| match slot {
                    Slot::Row(row) => group.times[*row as usize],
                    Slot::Gap { at, .. } => Some(*at),
                };
                self.time_column(slots.iter().map(at).collect())
            }
            Fill::Group => Ok(take(column, &UInt32Array::from(vec![0; slots.len()]), None)?),
            Fill::Null => Ok(take(column, &of_rows(), None)?),
            Fill::Previous { over_nulls } => {
                let known = last_known(column, over_nulls);
                let source = |slot: &Slot| match slot {
                    Slot::Row(row) if over_nulls => known[*row as usize],
                    Slot::Row(row) => Some(*row),
                    Slot::Gap { after, .. } => after.checked_sub(1).and_then(|row| known[row as usize]),
                };
                Ok(take(column, &slots.iter().map(source).collect::<UInt32Array>(), None)?)
            }
            Fill::Linear => self.line(column, group, slots),
            Fill::Constant(constant) => {
                let rows: BooleanArray = slots.iter().map(|slot| Some(matches!(slot, Slot::Row(_)))).collect();
                let values = take(column, &of_rows(), None)?;
                let constant = self.constants[constant].to_array_of_size(slots.len())?;
                Ok(zip(&rows, &values, &cast(&constant, values.data_type())?)?)
            }
        }
    }

    /// A column with points of lines in the gaps. Integers and decimals are rounded to the nearest, halves away from zero.
    fn line(&self, column: &ArrayRef, group: &Group, slots: &[Slot]) -> Result<ArrayRef> {
        let known: Vec<u32> = (0..column.len() as u32)
            .filter(|row| column.is_valid(*row as usize) && group.times[*row as usize].is_some())
            .collect();
        // The known rows before and after a gap, and how far it is between their times.
        let between = |slot: &Slot| match slot {
            Slot::Row(_) => None,
            Slot::Gap { at, after } => {
                let next = known.partition_point(|row| row < after);
                let (before, after) = (*known.get(next.checked_sub(1)?)?, *known.get(next)?);
                let (from, to) = (group.times[before as usize]?, group.times[after as usize]?);
                let way = |to: i64| i128::from(to) - i128::from(from);
                Some((before as usize, after as usize, way(*at), way(to)))
            }
        };
        let own = |slot: &Slot| match slot {
            Slot::Row(row) if column.is_valid(*row as usize) => Some(*row as usize),
            _ => None,
        };
        let data_type = column.data_type();
        match data_type {
            DataType::Float64 | DataType::Float32 => {
                let values = cast(column, &DataType::Float64)?;
                let values = values.as_primitive::<Float64Type>();
                let filled = slots.iter().map(|slot| {
                    own(slot).map(|row| values.value(row)).or_else(|| {
                        let (before, after, passed, whole) = between(slot)?;
                        let (from, to) = (values.value(before), values.value(after));
                        Some(from + (to - from) * (passed as f64 / whole as f64))
                    })
                });
                Ok(cast(&filled.collect::<Float64Array>(), data_type)?)
            }
            DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal128(..) => {
                let wide = match data_type {
                    DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
                    _ => DataType::Decimal128(38, 0),
                };
                let values = cast(column, &wide)?;
                let values = values.as_primitive::<Decimal128Type>();
                let filled = slots.iter().map(|slot| {
                    own(slot).map(|row| values.value(row)).or_else(|| {
                        let (before, after, passed, whole) = between(slot)?;
                        on_line(values.value(before), values.value(after), passed, whole)
                    })
                });
                let filled: Decimal128Array = filled.collect::<Decimal128Array>().with_data_type(wide);
                Ok(cast(&filled, data_type)?)
            }
            DataType::Null => Ok(new_null_array(data_type, slots.len())),
            other => {
                let name = lightning_sql::types::from_arrow(other).base_name();
                Err(external(lightning_sql::Error::new(
                    lightning_sql::sqlstate::DATATYPE_MISMATCH,
                    format!("cannot interpolate values of type {name}"),
                )))
            }
        }
    }
}

/// The value so far between two others.
fn on_line(from: i128, to: i128, passed: i128, whole: i128) -> Option<i128> {
    let half = whole / 2;
    if let Some(way) = to.checked_sub(from).and_then(|way| way.checked_mul(passed))
        && let Some(rounded) = way.checked_add(if way < 0 { -half } else { half })
    {
        return from.checked_add(rounded / whole);
    }
    let [from, to, passed, whole, half] = [from, to, passed, whole, half].map(i256::from_i128);
    let way = to.checked_sub(from)?.checked_mul(passed)?;
    let rounded = if way.is_negative() { way.checked_sub(half)? } else { way.checked_add(half)? };
    from.checked_add(rounded.checked_div(whole)?)?.to_i128()
}

/// Of each row the last one, up to it, that has a value; of `over_nulls`. Otherwise the row itself.
fn last_known(column: &ArrayRef, over_nulls: bool) -> Vec<Option<u32>> {
    let mut last = None;
    (0..column.len())
        .map(|row| {
            if !over_nulls || column.is_valid(row) {
                last = Some(row as u32);
            }
            last
        })
        .collect()
}
