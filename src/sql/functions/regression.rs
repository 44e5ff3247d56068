//! `covar_*`, `corr` and `regr_*` in the order of operations PostgreSQL uses, so that their last digits agree.
//!
//! Sums of squared differences are updated by the method of Youngs and Cramer ("Some Results Relevant to Choice of Sum and
//! Sum-of-Product Algorithms", 1971) and merged as Chan, Golub and LeVeque describe.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, not_impl_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// What a function answers from the sums.
type Answer = fn(&Sums) -> Option<f64>;

/// The functions, but for `regr_count`.
pub(super) const FUNCTIONS: &[(&str, Answer)] = &[
    ("covar_pop", |s| (s.n >= 1.0).then(|| s.sxy / s.n)),
    ("covar_samp", |s| (s.n >= 2.0).then(|| s.sxy / (s.n - 1.0))),
    ("corr", |s| (s.n >= 1.0 && s.sxx != 0.0 && s.syy != 0.0).then(|| s.sxy / (s.sxx * s.syy).sqrt())),
    ("regr_sxx", |s| (s.n >= 1.0).then_some(s.sxx)),
    ("regr_syy", |s| (s.n >= 1.0).then_some(s.syy)),
    ("regr_sxy", |s| (s.n >= 1.0).then_some(s.sxy)),
    ("regr_avgx", |s| (s.n >= 1.0).then(|| s.sx / s.n)),
    ("regr_avgy", |s| (s.n >= 1.0).then(|| s.sy / s.n)),
    ("regr_slope", |s| (s.n >= 1.0 && s.sxx != 0.0).then(|| s.sxy / s.sxx)),
    ("regr_intercept", |s| (s.n >= 1.0 && s.sxx != 0.0).then(|| (s.sy - s.sx * s.sxy / s.sxx) / s.n)),
    ("regr_r2", |s| {
        let flat = s.n >= 1.0 && s.sxx != 0.0 && s.syy == 0.0;
        (s.n >= 1.0 && s.sxx != 0.0).then(|| if flat { 1.0 } else { s.sxy * s.sxy / (s.sxx * s.syy) })
    }),
];

/// The aggregate function of a dependent and an independent variable.
#[derive(Debug)]
pub(super) struct Regression {
    name: &'static str,
    answer: Answer,
    signature: Signature,
}

impl Regression {
    pub(super) fn new((name, answer): (&'static str, Answer)) -> Self {
        Regression { name, answer, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl PartialEq for Regression {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Regression {}

impl std::hash::Hash for Regression {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for Regression {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let number = |given: &DataType| given.is_numeric() || given.is_null();
        match given {
            [y, x] if number(y) && number(x) => Ok(vec![DataType::Float64, DataType::Float64]),
            _ => plan_err!("function {} takes two numbers", self.name),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let part = |part| Arc::new(Field::new(format_state_name(args.name, part), DataType::Float64, true));
        Ok(["n", "sx", "sxx", "sy", "syy", "sxy"].map(part).to_vec())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return not_impl_err!("{}(DISTINCT) is not supported", self.name);
        }
        Ok(Box::new(Accumulated { sums: Sums::default(), answer: self.answer }))
    }
}

/// Count, sums, and sums of (products of) differences from the mean.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    n: f64,
    sx: f64,
    sxx: f64,
    sy: f64,
    syy: f64,
    sxy: f64,
}

impl Sums {
    fn add(&mut self, x: f64, y: f64) {
        let before = self.n;
        self.n += 1.0;
        self.sx += x;
        self.sy += y;
        if before > 0.0 {
            let (dx, dy) = (x * self.n - self.sx, y * self.n - self.sy);
            let scale = 1.0 / (self.n * before);
            self.sxx += dx * dx * scale;
            self.syy += dy * dy * scale;
            self.sxy += dx * dy * scale;
        }
    }

    fn merge(&mut self, other: Sums) {
        if other.n == 0.0 {
            return;
        }
        if self.n == 0.0 {
            *self = other;
            return;
        }
        let n = self.n + other.n;
        let dx = self.sx / self.n - other.sx / other.n;
        let dy = self.sy / self.n - other.sy / other.n;
        *self = Sums {
            n,
            sx: self.sx + other.sx,
            sxx: self.sxx + other.sxx + self.n * other.n * dx * dx / n,
            sy: self.sy + other.sy,
            syy: self.syy + other.syy + self.n * other.n * dy * dy / n,
            sxy: self.sxy + other.sxy + self.n * other.n * dx * dy / n,
        };
    }
}

#[derive(Debug)]
struct Accumulated {
    sums: Sums,
    answer: Answer,
}

impl Accumulator for Accumulated {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (y, x) = (values[0].as_primitive::<Float64Type>(), values[1].as_primitive::<Float64Type>());
        for (y, x) in y.iter().zip(x) {
            if let (Some(y), Some(x)) = (y, x) {
                self.sums.add(x, y);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let part = |place: usize, row: usize| states[place].as_primitive::<Float64Type>().value(row);
        for row in 0..states[0].len() {
            let [n, sx, sxx, sy, syy, sxy] = [0, 1, 2, 3, 4, 5].map(|place| part(place, row));
            self.sums.merge(Sums { n, sx, sxx, sy, syy, sxy });
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let Sums { n, sx, sxx, sy, syy, sxy } = self.sums;
        Ok([n, sx, sxx, sy, syy, sxy].map(|part| ScalarValue::Float64(Some(part))).to_vec())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64((self.answer)(&self.sums)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_sums_are_those_of_all_rows() {
        let (mut all, mut first, mut second) = (Sums::default(), Sums::default(), Sums::default());
        for (row, (x, y)) in [(1.0, 0.5), (2.0, 1.5), (2.0, 2.5), (4.0, 1.0)].into_iter().enumerate() {
            all.add(x, y);
            if row < 2 { first.add(x, y) } else { second.add(x, y) }
        }
        first.merge(second);
        assert!((all.sxy - first.sxy).abs() < 1e-12 && (all.sxx - first.sxx).abs() < 1e-12);
    }
}
