//! `variance`, `stddev` and their kind with PostgreSQL's result types: `numeric` for integers and `numeric`.
//!
//! Exact until the last division: the count, the sum and the sum of squares are kept as integers of 256 bits. Floats are
//! left to DataFusion, but for frames that move.

use super::decimal_sum::{PRECISION_MAX, overflow};
use super::double_double::DoubleDouble;
use super::moving::{Answer, moving};
use super::sum::summed_type;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Field, FieldRef, Int64Type, i256};
use datafusion::common::{Result, ScalarValue, not_impl_err, plan_err};
use datafusion::functions_aggregate::stddev::{stddev_pop_udaf, stddev_udaf};
use datafusion::functions_aggregate::variance::{var_pop_udaf, var_samp_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};
use std::sync::Arc;

/// Decimals a result has at least.
const SCALE_MIN: i8 = 16;

/// The aggregate function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Deviation {
    name: &'static str,
    aliases: Vec<String>,
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

impl Deviation {
    pub(super) fn new(name: &'static str, aliases: &[&str]) -> Self {
        let inner = match name {
            "var_pop" => var_pop_udaf(),
            "stddev_pop" => stddev_pop_udaf(),
            "stddev" => stddev_udaf(),
            _ => var_samp_udaf(),
        };
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        Deviation { name, aliases, inner, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn exact(&self, args: &AccumulatorArgs) -> Option<Moments> {
        let DataType::Decimal128(_, scale) = args.expr_fields.first()?.data_type() else { return None };
        let (sample, root) = self.kind();
        Some(Moments { count: 0, sum: i256::ZERO, squares: i256::ZERO, scale: *scale, sample, root })
    }

    fn of_floats(&self) -> Answer {
        let (sample, root) = self.kind();
        Answer::Variance { sample, root }
    }

    /// Whether it divides by one less than the count, and is the root of that.
    fn kind(&self) -> (bool, bool) {
        (!self.name.ends_with("_pop"), self.name.starts_with("stddev"))
    }
}

fn result_scale(scale: i8) -> i8 {
    scale.max(SCALE_MIN)
}

impl AggregateUDFImpl for Deviation {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [given] = given else { return plan_err!("function {} takes one argument", self.name) };
        Ok(vec![match summed_type(given)? {
            DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Decimal128(20, 0),
            decimal @ DataType::Decimal128(..) => decimal,
            _ => DataType::Float64,
        }])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(match arguments {
            [DataType::Decimal128(_, scale)] => DataType::Decimal128(PRECISION_MAX, result_scale(*scale)),
            _ => DataType::Float64,
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !matches!(args.input_fields[0].data_type(), DataType::Decimal128(..)) {
            return self.inner.state_fields(args);
        }
        let wide = |part| Arc::new(Field::new(format_state_name(args.name, part), WIDE, true));
        let count = Field::new(format_state_name(args.name, "count"), DataType::Int64, true);
        Ok(vec![Arc::new(count), wide("sum"), wide("squares")])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.exact(&args) {
            Some(_) if args.is_distinct => not_impl_err!("{}(DISTINCT) of numeric is not supported", self.name),
            Some(moments) => Ok(Box::new(moments)),
            None => self.inner.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.exact(&args) {
            Some(_) => self.accumulator(args),
            None => match moving(&args, self.of_floats()) {
                Some(moving) => Ok(moving),
                None => self.inner.create_sliding_accumulator(args),
            },
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.exact(&args).is_none() && self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }
}

/// How sums travel between accumulators: digits only, their scale is known.
const WIDE: DataType = DataType::Decimal256(76, 0);

#[derive(Debug)]
struct Moments {
    count: i64,
    sum: i256,
    squares: i256,
    /// Scale of the values.
    scale: i8,
    /// Divides by one less than the count.
    sample: bool,
    root: bool,
}

impl Moments {
    fn change(&mut self, values: &ArrayRef, change: fn(i256, i256) -> Option<i256>, count: i64) -> Result<()> {
        for value in values.as_primitive::<Decimal128Type>().iter().flatten() {
            let value = i256::from_i128(value);
            let square = value.checked_mul(value).ok_or_else(overflow)?;
            self.sum = change(self.sum, value).ok_or_else(overflow)?;
            self.squares = change(self.squares, square).ok_or_else(overflow)?;
            self.count += count;
        }
        Ok(())
    }

    /// The variance with `scale` decimals; `None` when that needs more than 256 bits or 38 digits.
    fn variance(&self, scale: i8) -> Option<i128> {
        let count = i256::from_i128(self.count.into());
        let numerator = count.checked_mul(self.squares)?.checked_sub(self.sum.checked_mul(self.sum)?)?;
        let divisor = count.checked_mul(i256::from_i128(i128::from(self.count) - i128::from(self.sample)))?;
        let shift = i32::from(scale) - 2 * i32::from(self.scale);
        let unit = i256::from_i128(10).checked_pow(shift.unsigned_abs())?;
        let (numerator, divisor) =
            if shift >= 0 { (numerator.checked_mul(unit)?, divisor) } else { (numerator, divisor.checked_mul(unit)?) };
        // Rounds half up; a variance is not negative.
        let half = divisor.checked_div(i256::from_i128(2))?;
        let digits = numerator.checked_add(half)?.checked_div(divisor)?.to_i128()?;
        crate::text::number::fits(digits, PRECISION_MAX).then_some(digits)
    }

    fn value(&self) -> Result<Option<i128>> {
        if self.count < 1 + i64::from(self.sample) {
            return Ok(None);
        }
        let scale = result_scale(self.scale);
        if !self.root {
            return self.variance(scale).map(Some).ok_or_else(overflow);
        }
        // As many decimals under the root as there is room for.
        let inner = (scale..=scale.saturating_mul(2).min(38)).rev();
        let root = inner.into_iter().find_map(|inner| {
            let variance = self.variance(inner)?;
            DoubleDouble::from_decimal(variance, inner).sqrt().to_decimal(scale)
        });
        root.map(Some).ok_or_else(overflow)
    }
}

impl Accumulator for Moments {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.change(&values[0], i256::checked_add, 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.change(&values[0], i256::checked_sub, -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let counts = states[0].as_primitive::<Int64Type>();
        let sums = states[1].as_primitive::<Decimal256Type>();
        let squares = states[2].as_primitive::<Decimal256Type>();
        for row in (0..counts.len()).filter(|row| counts.is_valid(*row)) {
            self.count += counts.value(row);
            self.sum = self.sum.checked_add(sums.value(row)).ok_or_else(overflow)?;
            self.squares = self.squares.checked_add(squares.value(row)).ok_or_else(overflow)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let wide = |value| ScalarValue::Decimal256(Some(value), 76, 0);
        Ok(vec![ScalarValue::Int64(Some(self.count)), wide(self.sum), wide(self.squares)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Decimal128(self.value()?, PRECISION_MAX, result_scale(self.scale)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Decimal128Array;

    #[test]
    fn variances_are_exact() {
        let values: ArrayRef = Arc::new(Decimal128Array::from(vec![Some(1), Some(2), None, Some(4)]));
        let mut moments =
            Moments { count: 0, sum: i256::ZERO, squares: i256::ZERO, scale: 0, sample: true, root: false };
        moments.update_batch(&[values]).unwrap();
        assert_eq!(moments.value().unwrap(), Some(23_333_333_333_333_333));
        moments.root = true;
        assert_eq!(moments.value().unwrap(), Some(15_275_252_316_519_467));
    }
}
