//! Sums, averages and variances of floats over frames that move, without ever taking a value off.
//!
//! A float that was added and is taken off again leaves a trace: after a NaN or an infinity everything is NaN, and 1e300 takes
//! with it whatever is much smaller. PostgreSQL computes each frame anew for that reason. Here the values of a frame are two
//! stacks: `new` with those that came last and their total, `old` with those that leave first, each with the total of itself
//! and all in `old` that leave after it. When `old` is empty, `new` is poured into it. So each value is added twice, and the
//! total of the frame is that of two totals.
//!
//! ```text
//! came 1 2 3, left 1, came 4     old: 3+2 | 3      new: 4, total 4      frame: (2+3) + 4
//! ```

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::function::AccumulatorArgs;

/// What is computed of the values of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Sum,
    Average,
    Variance { sample: bool, root: bool },
}

/// An aggregate over a frame that moves; `None` when its values are not floats, or each counts once.
pub(super) fn moving(args: &AccumulatorArgs, answer: Answer) -> Option<Box<dyn Accumulator>> {
    let is_float = matches!(args.expr_fields.first().map(|field| field.data_type()), Some(DataType::Float64));
    let moving = || Box::new(Moving { answer, old: Vec::new(), new: Vec::new(), total: Total::default() }) as Box<_>;
    (is_float && !args.is_distinct).then(moving)
}

/// Count, sum, and sum of squared differences from the mean.
#[derive(Clone, Copy, Debug)]
struct Total {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Default for Total {
    /// Of no values. The sum of negative zeros is one.
    fn default() -> Self {
        Total { count: 0.0, sum: -0.0, squares: 0.0 }
    }
}

impl Total {
    fn of(value: f64) -> Total {
        Total { count: 1.0, sum: value, squares: if value.is_finite() { 0.0 } else { f64::NAN } }
    }

    /// Both together, as Chan, Golub and LeVeque unite variances.
    fn and(self, other: Total) -> Total {
        let (count, sum) = (self.count + other.count, self.sum + other.sum);
        let squares = match (self.count, other.count) {
            (0.0, _) => other.squares,
            (_, 0.0) => self.squares,
            (left, right) => {
                let apart = self.sum / left - other.sum / right;
                self.squares + other.squares + left * right * apart * apart / count
            }
        };
        Total { count, sum, squares }
    }
}

impl Answer {
    fn of(self, total: Total) -> Option<f64> {
        match self {
            _ if total.count == 0.0 => None,
            Answer::Sum => Some(total.sum),
            Answer::Average => Some(total.sum / total.count),
            Answer::Variance { sample: true, .. } if total.count == 1.0 => None,
            Answer::Variance { sample, root } => {
                let variance = total.squares / (total.count - if sample { 1.0 } else { 0.0 });
                Some(if root { variance.sqrt() } else { variance })
            }
        }
    }
}

/// The values of a frame.
#[derive(Debug)]
struct Moving {
    answer: Answer,
    old: Vec<Total>,
    new: Vec<f64>,
    /// Of `new`.
    total: Total,
}

impl Moving {
    fn come(&mut self, value: f64) {
        self.new.push(value);
        self.total = self.total.and(Total::of(value));
    }

    fn leave(&mut self) {
        if self.old.is_empty() {
            let mut total = Total::default();
            for value in self.new.drain(..).rev() {
                total = Total::of(value).and(total);
                self.old.push(total);
            }
            self.total = Total::default();
        }
        self.old.pop();
    }
}

impl Accumulator for Moving {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values[0].as_primitive::<Float64Type>().iter().flatten().for_each(|value| self.come(value));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        (0..values[0].len() - values[0].null_count()).for_each(|_| self.leave());
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let old = self.old.last().copied().unwrap_or_default();
        Ok(ScalarValue::Float64(self.answer.of(old.and(self.total))))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Err(DataFusionError::Internal("a moving frame is not merged".to_owned()))
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        Err(DataFusionError::Internal("a moving frame is not merged".to_owned()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.old.capacity() * size_of::<Total>() + self.new.capacity() * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Float64Array;
    use std::sync::Arc;

    fn values(values: &[Option<f64>]) -> [ArrayRef; 1] {
        [Arc::new(Float64Array::from(values.to_vec()))]
    }

    fn answer(moving: &mut Moving) -> Option<f64> {
        match moving.evaluate().unwrap() {
            ScalarValue::Float64(value) => value,
            other => panic!("{other}"),
        }
    }

    fn empty(answer: Answer) -> Moving {
        Moving { answer, old: Vec::new(), new: Vec::new(), total: Total::default() }
    }

    #[test]
    fn what_left_leaves_no_trace() {
        for gone in [f64::NAN, f64::INFINITY, 1e300] {
            let mut sum = empty(Answer::Sum);
            sum.update_batch(&values(&[Some(gone), None, Some(0.5)])).unwrap();
            sum.retract_batch(&values(&[Some(gone)])).unwrap();
            assert_eq!(answer(&mut sum), Some(0.5));
            sum.retract_batch(&values(&[None, Some(0.5)])).unwrap();
            assert_eq!(answer(&mut sum), None);
        }
    }

    #[test]
    fn every_frame_has_what_its_values_have() {
        let mut random = fastrand::Rng::with_seed(5);
        let all: Vec<f64> = (0..2000).map(|_| random.f64() * 100.0).collect();
        let answers = [Answer::Sum, Answer::Average, Answer::Variance { sample: true, root: false }];
        let mut moving = answers.map(empty);
        let (mut first, mut end) = (0, 0);
        while end < all.len() {
            let (came, left) = (random.usize(0..5).min(all.len() - end), random.usize(0..5));
            let left = left.min(end + came - first);
            for moving in &mut moving {
                all[end..end + came].iter().for_each(|value| moving.come(*value));
                (0..left).for_each(|_| moving.leave());
            }
            (first, end) = (first + left, end + came);
            let frame = &all[first..end];
            if frame.len() < 2 {
                continue;
            }
            let (count, sum) = (frame.len() as f64, frame.iter().sum::<f64>());
            let squares = frame.iter().map(|value| (value - sum / count).powi(2)).sum::<f64>();
            let expected = [sum, sum / count, squares / (count - 1.0)];
            for (moving, expected) in moving.iter_mut().zip(expected) {
                let found = answer(moving).unwrap();
                assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{found} {expected}");
            }
        }
    }
}
