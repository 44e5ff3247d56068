//! `lightning_lttb(time, value, points) OVER (…)`: whether a row is one of the points that show its curve best.
//!
//! Largest-Triangle-Three-Buckets (Sveinn Steinarsson, “Downsampling Time Series for Visual Representation”, 2013): the
//! first and last point stay; of each bucket between them the point stays that makes the largest triangle with the
//! point chosen before it and the mean of the next bucket. Rows without time or value are never chosen.

use crate::error::external;
use crate::order::{comparable, is_comparable};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl};
use lightning_sql::{Error, sqlstate, types};
use std::sync::Arc;

/// The function's name.
pub(crate) const NAME: &str = "lightning_lttb";
/// The ends of a curve.
pub(crate) const POINTS_MIN: i64 = 2;

/// The function.
pub(crate) fn lttb() -> WindowUDF {
    WindowUDF::new_from_impl(Lttb { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Lttb {
    signature: Signature,
}

impl WindowUDFImpl for Lttb {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [time, value, points] if is_comparable(time) && value.is_numeric() && points.is_integer() => {
                Ok(vec![time.clone(), DataType::Float64, DataType::Int64])
            }
            _ => {
                let names: Vec<String> = given.iter().map(|t| types::from_arrow(t).base_name()).collect();
                let message = format!("function {NAME}({}) does not exist", names.join(", "));
                Err(external(Error::new(sqlstate::UNDEFINED_FUNCTION, message)))
            }
        }
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), DataType::Boolean, false)))
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator))
    }
}

#[derive(Debug)]
struct Evaluator;

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let points = match ScalarValue::try_from_array(&cast(&values[2], &DataType::Int64)?, 0)? {
            ScalarValue::Int64(Some(points)) => usize::try_from(points.max(POINTS_MIN)).unwrap_or(usize::MAX),
            _ => rows,
        };
        let times = comparable(&values[0])?;
        let curve = cast(&values[1], &DataType::Float64)?;
        let curve = curve.as_primitive::<Float64Type>();
        let known: Vec<usize> = (0..rows).filter(|row| times.is_valid(*row) && curve.is_valid(*row)).collect();
        let x: Vec<f64> = known.iter().map(|row| times.value(*row) as f64).collect();
        let y: Vec<f64> = known.iter().map(|row| curve.value(*row)).collect();
        let mut chosen = vec![false; rows];
        for place in choose(&x, &y, points) {
            chosen[known[place]] = true;
        }
        Ok(Arc::new(BooleanArray::from(chosen)))
    }
}

/// The places of the points that stay, ascending.
fn choose(x: &[f64], y: &[f64], points: usize) -> Vec<usize> {
    let count = x.len();
    if points >= count {
        return (0..count).collect();
    }
    let buckets = points - 2;
    let mut chosen = Vec::with_capacity(points);
    chosen.push(0);
    let width = (count - 2) as f64 / buckets.max(1) as f64;
    let start = |bucket: usize| ((bucket as f64 * width) as usize + 1).min(count - 1);
    let mut last = 0;
    for bucket in 0..buckets {
        let (from, to) = (start(bucket), start(bucket + 1));
        let next = to..if bucket + 1 == buckets { count } else { start(bucket + 2).max(to + 1) };
        let mean = |values: &[f64]| values[next.clone()].iter().sum::<f64>() / next.len() as f64;
        let (mean_x, mean_y) = (mean(x), mean(y));
        let area = |place: usize| {
            ((x[last] - mean_x) * (y[place] - y[last]) - (x[last] - x[place]) * (mean_y - y[last])).abs()
        };
        let mut best = from;
        for place in from + 1..to {
            if area(place) > area(best) {
                best = place;
            }
        }
        chosen.push(best);
        last = best;
    }
    chosen.push(count - 1);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_peaks_stay() {
        let x: Vec<f64> = (0..1000).map(f64::from).collect();
        let mut y = vec![0.0; 1000];
        y[500] = 100.0;
        let chosen = choose(&x, &y, 10);
        assert_eq!(chosen.len(), 10);
        assert!(chosen.is_sorted() && chosen.contains(&0) && chosen.contains(&500) && chosen.contains(&999));
        assert_eq!(choose(&x, &y, 2), [0, 999]);
        assert_eq!(choose(&x[..3], &y[..3], 5), [0, 1, 2]);
        assert_eq!(choose(&[], &[], 5), [0usize; 0]);
    }

    #[test]
    fn as_many_points_as_asked_for() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let count = random.usize(3..400);
            let points = random.usize(2..count + 5);
            let x: Vec<f64> = (0..count).map(|at| at as f64).collect();
            let y: Vec<f64> = (0..count).map(|_| random.f64()).collect();
            let chosen = choose(&x, &y, points);
            assert_eq!(chosen.len(), points.min(count), "{points} of {count}");
            assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]), "{points} of {count}");
        }
    }
}
