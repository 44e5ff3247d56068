//! Smallest and largest values of zones and chunks.
//!
//! A bound of a string is cut to [`BOUND_BYTES_MAX`] bytes: a cut minimum is still at or below every value, a cut
//! maximum is a *prefix* of the true maximum, and readers compare it as such. Floats are ordered as PostgreSQL orders
//! them: NaN equals NaN and is above everything.

use super::ZONE_ROWS;
use super::values::{bytes_array, bytes_at, has_order, is_text};
use crate::error::{Error, Result};
use arrow::array::{
    Array, ArrayRef, ArrowNumericType, ArrowPrimitiveType, AsArray, BooleanArray, GenericByteViewArray, PrimitiveArray,
    make_comparator, new_null_array,
};
use arrow::compute::{SortOptions, concat, max as largest, max_boolean, min as smallest, min_boolean};
use arrow::datatypes::{ByteViewType, DataType, Float16Type, Float32Type, Float64Type};
use arrow::downcast_primitive_array;
use std::cmp::Ordering;
use std::sync::Arc;

/// Most bytes of a string kept as a bound.
pub(crate) const BOUND_BYTES_MAX: usize = 32;

/// Bounds of a run of rows: arrays of length 1, `None` when all rows are NULL or the type has no order.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Smallest value.
    pub(crate) min: Option<ArrayRef>,
    /// Largest value.
    pub(crate) max: Option<ArrayRef>,
    /// False when either is a cut string.
    pub(crate) exact: bool,
}

/// Bounds and NULLs of every zone of a chunk.
#[derive(Clone, Debug)]
pub(crate) struct ZoneMap {
    /// Smallest value per zone; NULL where unknown. Empty when the type has no order.
    pub(crate) mins: ArrayRef,
    /// Largest value per zone, likewise.
    pub(crate) maxs: ArrayRef,
    /// NULLs per zone.
    pub(crate) nulls: Vec<u32>,
}

impl Bounds {
    /// Bounds of all of `values`.
    pub(crate) fn of(values: &ArrayRef) -> Result<Bounds> {
        let (min, max) = extremes(values)?;
        let (Some(min), Some(max)) = (min, max) else { return Ok(Bounds { min: None, max: None, exact: true }) };
        let fixed = matches!(min.data_type(), DataType::FixedSizeBinary(_));
        let is_long = |bound: &ArrayRef| bytes_at(bound, 0).is_some_and(|bytes| bytes.len() > BOUND_BYTES_MAX);
        let cut = !fixed && (is_long(&min) || is_long(&max));
        Ok(Bounds { min: Some(shorten(min)?), max: Some(shorten(max)?), exact: !cut })
    }

    /// Bounds of rows that have one or the other.
    pub(crate) fn merge(self, other: Bounds) -> Bounds {
        Bounds {
            min: pick(self.min, other.min, Ordering::Less),
            max: pick(self.max, other.max, Ordering::Greater),
            exact: self.exact && other.exact,
        }
    }
}

impl ZoneMap {
    /// The zone map of a chunk and the bounds of the whole.
    pub(crate) fn of(values: &ArrayRef) -> Result<(ZoneMap, Bounds)> {
        let nulls = values.logical_nulls();
        let mut counts = Vec::new();
        let (mut mins, mut maxs) = (Vec::new(), Vec::new());
        let mut whole = Bounds { min: None, max: None, exact: true };
        for start in (0..values.len()).step_by(ZONE_ROWS) {
            let rows = ZONE_ROWS.min(values.len() - start);
            counts.push(nulls.as_ref().map_or(0, |n| n.slice(start, rows).null_count()) as u32);
            if has_order(values.data_type()) {
                let zone = Bounds::of(&values.slice(start, rows))?;
                mins.push(zone.min.clone().unwrap_or_else(|| new_null_array(values.data_type(), 1)));
                maxs.push(zone.max.clone().unwrap_or_else(|| new_null_array(values.data_type(), 1)));
                whole = whole.merge(zone);
            }
        }
        let (mins, maxs) = (join(&mins, values.data_type())?, join(&maxs, values.data_type())?);
        Ok((ZoneMap { mins, maxs, nulls: counts }, whole))
    }

    /// Whether the smallest values are values, smallest in the order of keys: no cut strings, no intervals.
    pub(crate) fn are_values(&self) -> bool {
        // A cut leaves whole characters, of at most four bytes.
        let may_be_cut = |zone| bytes_at(&self.mins, zone).is_some_and(|bytes| bytes.len() + 4 > BOUND_BYTES_MAX);
        !matches!(self.mins.data_type(), DataType::Interval(_)) && !(0..self.mins.len()).any(may_be_cut)
    }

    /// Smallest value, largest value and NULLs of a zone.
    pub(crate) fn zone(&self, zone: usize) -> (Option<ArrayRef>, Option<ArrayRef>, usize) {
        let at = |values: &ArrayRef| (zone < values.len() && values.is_valid(zone)).then(|| values.slice(zone, 1));
        (at(&self.mins), at(&self.maxs), self.nulls.get(zone).map_or(0, |nulls| *nulls as usize))
    }
}

fn join(bounds: &[ArrayRef], data_type: &DataType) -> Result<ArrayRef> {
    if bounds.is_empty() {
        return Ok(new_null_array(data_type, 0));
    }
    let bounds: Vec<&dyn Array> = bounds.iter().map(AsRef::as_ref).collect();
    Ok(concat(&bounds)?)
}

/// `candidate` when it lies on the `wanted` side of `current`.
fn pick(current: Option<ArrayRef>, candidate: Option<ArrayRef>, wanted: Ordering) -> Option<ArrayRef> {
    match (current, candidate) {
        (Some(a), Some(b)) => Some(if compare(&b, &a) == Some(wanted) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// Order of two single values of one type.
pub(crate) fn compare(a: &ArrayRef, b: &ArrayRef) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (float(a), float(b)) {
        return Some(compare_floats(a, b));
    }
    Some(make_comparator(a, b, SortOptions::default()).ok()?(0, 0))
}

fn float(value: &ArrayRef) -> Option<f64> {
    match value.data_type() {
        DataType::Float16 => Some(f64::from(value.as_primitive::<Float16Type>().value(0))),
        DataType::Float32 => Some(f64::from(value.as_primitive::<Float32Type>().value(0))),
        DataType::Float64 => Some(value.as_primitive::<Float64Type>().value(0)),
        _ => None,
    }
}

/// PostgreSQL's order of floats.
fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

type Extremes = (Option<ArrayRef>, Option<ArrayRef>);

fn extremes(values: &ArrayRef) -> Result<Extremes> {
    let array = values.as_ref();
    match array.data_type() {
        DataType::Float16 => return Ok(float_extremes(array.as_primitive::<Float16Type>(), f64::from)),
        DataType::Float32 => return Ok(float_extremes(array.as_primitive::<Float32Type>(), f64::from)),
        DataType::Float64 => return Ok(float_extremes(array.as_primitive::<Float64Type>(), |value| value)),
        _ => {}
    }
    downcast_primitive_array!(
        array => Ok(primitive_extremes(array)),
        DataType::Boolean => {
            let single = |value: Option<bool>| value.map(|v| Arc::new(BooleanArray::from(vec![v])) as ArrayRef);
            Ok((single(min_boolean(array.as_boolean())), single(max_boolean(array.as_boolean()))))
        }
        _ => Ok(bytes_extremes(values)),
    )
}

fn primitive_extremes<T: ArrowNumericType>(values: &PrimitiveArray<T>) -> Extremes {
    let single = |value: T::Native| {
        let array = PrimitiveArray::<T>::from_value(value, 1).with_data_type(values.data_type().clone());
        Arc::new(array) as ArrayRef
    };
    (smallest(values).map(single), largest(values).map(single))
}

fn float_extremes<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, number: impl Fn(T::Native) -> f64) -> Extremes {
    let mut best: Option<[(T::Native, f64); 2]> = None;
    for value in values.iter().flatten() {
        let candidate = (value, number(value));
        let [mut min, mut max] = best.unwrap_or([candidate; 2]);
        if compare_floats(candidate.1, min.1) == Ordering::Less {
            min = candidate;
        }
        if compare_floats(candidate.1, max.1) == Ordering::Greater {
            max = candidate;
        }
        best = Some([min, max]);
    }
    let single = |value| Some(Arc::new(PrimitiveArray::<T>::from_value(value, 1)) as ArrayRef);
    best.map_or((None, None), |[min, max]| (single(min.0), single(max.0)))
}

fn bytes_extremes(values: &ArrayRef) -> Extremes {
    let rows = match values.data_type() {
        DataType::Utf8View => view_extremes(values.as_string_view()),
        DataType::BinaryView => view_extremes(values.as_binary_view()),
        _ => any_extremes(values),
    };
    rows.map_or((None, None), |(min, max)| (Some(values.slice(min, 1)), Some(values.slice(max, 1))))
}

/// Rows of the smallest and the largest string. The four bytes that each view begins with decide nearly always, so
/// hardly any string is looked at.
fn view_extremes<T: ByteViewType>(values: &GenericByteViewArray<T>) -> Option<(usize, usize)> {
    let nulls = values.nulls();
    let views = values.views();
    let head = |row: usize| ((views[row] >> 32) as u32).swap_bytes();
    let bytes = |row: usize| -> &[u8] { values.value(row).as_ref() };
    let mut valid = (0..values.len()).filter(|&row| nulls.is_none_or(|n| n.is_valid(row)));
    let first = valid.next()?;
    let (mut min, mut max) = ((first, head(first)), (first, head(first)));
    let mut previous = views[first];
    for row in valid {
        if views[row] == previous {
            continue;
        }
        previous = views[row];
        let head = head(row);
        if head < min.1 || head == min.1 && bytes(row) < bytes(min.0) {
            min = (row, head);
        } else if head > max.1 || head == max.1 && bytes(row) > bytes(max.0) {
            max = (row, head);
        }
    }
    Some((min.0, max.0))
}

/// The same for any other array of strings; `None` for other types, too.
fn any_extremes(values: &ArrayRef) -> Option<(usize, usize)> {
    let nulls = values.nulls();
    let mut valid = (0..values.len()).filter(|&row| nulls.is_none_or(|n| n.is_valid(row)));
    let first = valid.next()?;
    let value = bytes_at(values, first)?;
    let (mut min, mut max) = ((first, value), (first, value));
    for row in valid {
        let value = bytes_at(values, row)?;
        if value < min.1 {
            min = (row, value);
        } else if value > max.1 {
            max = (row, value);
        }
    }
    Some((min.0, max.0))
}

/// A bound that keeps no more than [`BOUND_BYTES_MAX`] bytes of a string, in memory of its own.
fn shorten(bound: ArrayRef) -> Result<ArrayRef> {
    let Some(bytes) = bytes_at(&bound, 0) else { return Ok(bound) };
    let fixed = matches!(bound.data_type(), DataType::FixedSizeBinary(_));
    let mut len = if fixed { bytes.len() } else { bytes.len().min(BOUND_BYTES_MAX) };
    if is_text(bound.data_type()) && len < bytes.len() {
        while len > 0 && bytes[len] & 0xC0 == 0x80 {
            len -= 1;
        }
    }
    bytes_array(bound.data_type(), &[Some(&bytes[..len])]).map_err(Error::Arrow)
}
