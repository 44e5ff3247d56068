//! Aggregates over the points of a group in order of time: `delta`, `increase` and `rate` of counters and gauges, and
//! `time_weighted_average`.
//!
//! - `delta(value, time)`: the last value less the first.
//! - `increase(value, time)`: how much a counter rose. A value below the one before means that it was reset to zero.
//! - `rate(value, time)`: the increase per second between the first and the last point. Nothing is extrapolated to the
//!   ends of a bucket.
//! - `time_weighted_average(value, time [, 'linear' | 'locf'])`: the mean of the line through the points, or of the steps
//!   between them.
//!
//! Rows without value or time do not count. A group keeps its points until it is evaluated, since they may come in any
//! order.

use crate::error::error;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;
use lightning_sql::{sqlstate, types};
use std::sync::Arc;

const MICROS_PER_SECOND: f64 = 1e6;
const NANOS_PER_SECOND: f64 = 1e9;

/// A value at a time in micro- or nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: i64,
    value: f64,
}

/// What is computed of points in order of time; `None` is NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Measure {
    Delta,
    Increase,
    Rate,
    Average,
}

/// How values go on between points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Line,
    Steps,
}

/// The functions.
pub(crate) fn functions() -> Vec<AggregateUDF> {
    let function = |name, measure| {
        let signature = Signature::user_defined(Volatility::Immutable);
        AggregateUDF::new_from_impl(OfPoints { name, measure, signature })
    };
    vec![
        function("delta", Measure::Delta),
        function("increase", Measure::Increase),
        function("rate", Measure::Rate),
        function("time_weighted_average", Measure::Average),
    ]
}

fn increase(points: &[Point]) -> f64 {
    let rise = |pair: &[Point]| {
        let (before, after) = (pair[0].value, pair[1].value);
        if after < before { after } else { after - before }
    };
    points.windows(2).map(rise).sum()
}

/// How long after one point another is.
fn distance(from: Point, to: Point) -> f64 {
    (i128::from(to.at) - i128::from(from.at)) as f64
}

fn average(points: &[Point], between: Between) -> f64 {
    let area = |pair: &[Point]| {
        let length = distance(pair[0], pair[1]);
        match between {
            Between::Line => length * (pair[0].value + pair[1].value) / 2.0,
            Between::Steps => length * pair[0].value,
        }
    };
    points.windows(2).map(area).sum()
}

impl Measure {
    fn of(self, points: &[Point], between: Between, per_second: f64) -> Option<f64> {
        let (first, last) = (points.first()?, points.last()?);
        let length = distance(*first, *last);
        match self {
            Measure::Average if length == 0.0 => Some(last.value),
            Measure::Average => Some(average(points, between) / length),
            _ if points.len() < 2 => None,
            Measure::Delta => Some(last.value - first.value),
            Measure::Increase => Some(increase(points)),
            Measure::Rate if length == 0.0 => None,
            Measure::Rate => Some(increase(points) / (length / per_second)),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfPoints {
    name: &'static str,
    measure: Measure,
    signature: Signature,
}

impl OfPoints {
    fn undefined<T>(&self, given: &[DataType]) -> Result<T> {
        let names: Vec<String> = given.iter().map(|t| types::from_arrow(t).base_name()).collect();
        let message = format!("function {}({}) does not exist", self.name, names.join(", "));
        Err(error(sqlstate::UNDEFINED_FUNCTION, message))
    }
}

impl AggregateUDFImpl for OfPoints {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [value, time, method @ ..] = given else { return self.undefined(given) };
        let time = match time {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => time.clone(),
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
            DataType::Date32 | DataType::Null => DataType::Timestamp(TimeUnit::Microsecond, None),
            _ => return self.undefined(given),
        };
        if !value.is_numeric() && !value.is_null() {
            return self.undefined(given);
        }
        let mut wanted = vec![DataType::Float64, time];
        match method {
            [] => {}
            [method] if self.measure == Measure::Average && crate::time_bucket::is_text(method) => {
                wanted.push(DataType::Utf8);
            }
            _ => return self.undefined(given),
        }
        Ok(wanted)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |name: &str, data_type| {
            let item = Arc::new(Field::new_list_field(data_type, true));
            Arc::new(Field::new(format!("{}[{name}]", args.name), DataType::List(item), true))
        };
        Ok(vec![list("times", DataType::Int64), list("values", DataType::Float64)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let between = match args.exprs.get(2) {
            None => Between::Line,
            Some(method) => {
                let literal =
                    method.downcast_ref::<Literal>().and_then(|literal| literal.value().try_as_str().flatten());
                match literal.map(str::to_ascii_lowercase).as_deref() {
                    Some("linear") => Between::Line,
                    Some("locf") => Between::Steps,
                    _ => {
                        let message = "the method of time_weighted_average must be 'linear' or 'locf'";
                        return Err(error(sqlstate::INVALID_PARAMETER_VALUE, message));
                    }
                }
            }
        };
        let per_second = match args.expr_fields.get(1).map(|time| time.data_type()) {
            Some(DataType::Timestamp(TimeUnit::Nanosecond, _)) => NANOS_PER_SECOND,
            _ => MICROS_PER_SECOND,
        };
        Ok(Box::new(Points { measure: self.measure, between, per_second, times: Vec::new(), values: Vec::new() }))
    }
}

/// The points of a group, in the order they came.
#[derive(Debug)]
struct Points {
    measure: Measure,
    between: Between,
    per_second: f64,
    times: Vec<i64>,
    values: Vec<f64>,
}

impl Accumulator for Points {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let values = columns[0].as_primitive::<Float64Type>();
        let times = cast(&columns[1], &DataType::Int64)?;
        let times = times.as_primitive::<Int64Type>();
        for (value, time) in values.iter().zip(times) {
            if let (Some(value), Some(time)) = (value, time) {
                self.times.push(time);
                self.values.push(value);
            }
        }
        Ok(())
    }

    /// Takes off the rows that came first, as a window does.
    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let points = (0..columns[0].len()).filter(|row| columns[0].is_valid(*row) && columns[1].is_valid(*row)).count();
        self.times.drain(..points);
        self.values.drain(..points);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let (times, values) = (columns[0].as_list::<i32>(), columns[1].as_list::<i32>());
        for row in (0..times.len()).filter(|row| times.is_valid(*row)) {
            self.times.extend(times.value(row).as_primitive::<Int64Type>().values());
            self.values.extend(values.value(row).as_primitive::<Float64Type>().values());
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let points = self.times.iter().zip(&self.values).map(|(at, value)| Point { at: *at, value: *value });
        let mut points: Vec<Point> = points.collect();
        points.sort_by_key(|point| point.at);
        Ok(ScalarValue::Float64(self.measure.of(&points, self.between, self.per_second)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |values: ArrayRef| -> Result<ScalarValue> {
            let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths([values.len()]);
            Ok(ScalarValue::List(Arc::new(ListArray::try_new(item, offsets, values, None)?)))
        };
        Ok(vec![
            list(Arc::new(Int64Array::from(std::mem::take(&mut self.times))))?,
            list(Arc::new(Float64Array::from(std::mem::take(&mut self.values))))?,
        ])
    }

    fn size(&self) -> usize {
        size_of_val(self) + (self.times.capacity() + self.values.capacity()) * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[(i64, f64)]) -> Vec<Point> {
        values.iter().map(|(seconds, value)| Point { at: seconds * 1_000_000, value: *value }).collect()
    }

    #[test]
    fn resets_of_counters_count_from_zero() {
        let counter = points(&[(0, 10.0), (10, 30.0), (20, 5.0), (30, 6.0)]);
        assert_eq!(Measure::Increase.of(&counter, Between::Line, MICROS_PER_SECOND), Some(26.0));
        assert_eq!(Measure::Rate.of(&counter, Between::Line, MICROS_PER_SECOND), Some(26.0 / 30.0));
        assert_eq!(Measure::Delta.of(&counter, Between::Line, MICROS_PER_SECOND), Some(-4.0));
        assert_eq!(Measure::Rate.of(&counter[..1], Between::Line, MICROS_PER_SECOND), None);
    }

    #[test]
    fn the_whole_range_of_nanoseconds_has_a_length() {
        let far = [Point { at: i64::MIN + 1, value: 0.0 }, Point { at: i64::MAX - 1, value: 1e9 }];
        let rate = Measure::Rate.of(&far, Between::Line, NANOS_PER_SECOND).unwrap();
        assert!((rate - 1e9 / (2f64.powi(64) / 1e9)).abs() < 1e-9);
        assert_eq!(Measure::Average.of(&far, Between::Line, NANOS_PER_SECOND), Some(5e8));
    }

    #[test]
    fn averages_weigh_time() {
        let steps = points(&[(0, 1.0), (9, 1.0), (10, 101.0)]);
        assert_eq!(Measure::Average.of(&steps, Between::Steps, MICROS_PER_SECOND), Some(1.0));
        assert_eq!(Measure::Average.of(&steps, Between::Line, MICROS_PER_SECOND), Some(6.0));
        assert_eq!(Measure::Average.of(&steps[..1], Between::Line, MICROS_PER_SECOND), Some(1.0));
        assert_eq!(Measure::Average.of(&[], Between::Line, MICROS_PER_SECOND), None);
    }
}
