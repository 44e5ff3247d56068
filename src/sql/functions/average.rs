//! `avg` with PostgreSQL's result types: `numeric` for integers and `numeric`, `double precision` for floats.
//!
//! Decimals are averaged exactly: the sum in 128 bits, checked, divided once at the end and rounded half away from zero to
//! at least 16 decimals, which is what PostgreSQL shows for ordinary magnitudes.

use super::decimal_sum::{GroupSums, PRECISION_MAX, counts_array, nulls_of, overflow, row_states, sums_array};
use super::moving::{Answer, moving};
use super::sum::summed_type;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array};
use arrow::compute::sum_checked;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::average::Avg as DataFusionAvg;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};
use std::collections::HashSet;
use std::sync::Arc;

/// Decimals an average has at least.
const SCALE_MIN: i8 = 16;

/// The aggregate function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Average {
    inner: DataFusionAvg,
    signature: Signature,
}

impl Average {
    pub(super) fn new() -> Self {
        Average { inner: DataFusionAvg::new(), signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// Scale of values given and of the result.
#[derive(Clone, Copy, Debug)]
struct Scales {
    values: i8,
    result: i8,
}

impl Scales {
    fn of(args: &AccumulatorArgs) -> Option<Scales> {
        let DataType::Decimal128(_, values) = args.expr_fields.first()?.data_type() else { return None };
        let DataType::Decimal128(_, result) = args.return_type() else { return None };
        Some(Scales { values: *values, result: *result })
    }

    /// `sum / count` at the result's scale.
    fn divide(self, sum: i128, count: i64) -> Result<i128> {
        let count = i128::from(count);
        let unit = 10i128.pow(u32::from((self.result - self.values).unsigned_abs()));
        let (whole, rest) = (sum / count, sum % count);
        let fraction = rest.checked_mul(unit).ok_or_else(overflow)?;
        let (quotient, remainder) = (fraction / count, fraction % count);
        let rounding = if 2 * remainder.abs() >= count { sum.signum() } else { 0 };
        whole.checked_mul(unit).and_then(|whole| whole.checked_add(quotient + rounding)).ok_or_else(overflow)
    }
}

impl AggregateUDFImpl for Average {
    fn name(&self) -> &str {
        "avg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [given] = given else { return plan_err!("function avg takes one argument") };
        Ok(vec![match summed_type(given)? {
            DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Decimal128(20, 0),
            DataType::Interval(_) => return plan_err!("function avg(interval) is not supported"),
            other => other,
        }])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [other] if !other.is_numeric() => Ok(other.clone()),
            [DataType::Decimal128(_, scale)] => Ok(DataType::Decimal128(PRECISION_MAX, (*scale).max(SCALE_MIN))),
            _ => self.inner.return_type(arguments),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let DataType::Decimal128(_, scale) = args.input_fields[0].data_type() else {
            return self.inner.state_fields(args);
        };
        let sum_type = DataType::Decimal128(PRECISION_MAX, *scale);
        if args.is_distinct {
            let values = Field::new_list_field(sum_type, true);
            return Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, "avg distinct"), values, false))]);
        }
        Ok(vec![
            Arc::new(Field::new(format_state_name(args.name, "sum"), sum_type, true)),
            Arc::new(Field::new(format_state_name(args.name, "count"), DataType::Int64, true)),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match Scales::of(&args) {
            Some(scales) if args.is_distinct => Ok(Box::new(DistinctAverage { values: HashSet::new(), scales })),
            Some(scales) => Ok(Box::new(DecimalAverage { sum: 0, count: 0, scales })),
            None => self.inner.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match Scales::of(&args) {
            Some(_) => self.accumulator(args),
            None => match moving(&args, Answer::Average) {
                Some(moving) => Ok(moving),
                None => self.inner.create_sliding_accumulator(args),
            },
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match Scales::of(&args) {
            Some(_) => !args.is_distinct,
            None => self.inner.groups_accumulator_supported(args),
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match Scales::of(&args) {
            Some(scales) => Ok(Box::new(GroupAverages { sums: GroupSums::default(), scales })),
            None => self.inner.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// One average; also slides over window frames.
#[derive(Debug)]
struct DecimalAverage {
    sum: i128,
    count: i64,
    scales: Scales,
}

impl DecimalAverage {
    fn change(&mut self, values: &ArrayRef, change: fn(i128, i128) -> Option<i128>) -> Result<i64> {
        let values = values.as_primitive::<Decimal128Type>();
        if let Some(sum) = sum_checked(values).map_err(|_| overflow())? {
            self.sum = change(self.sum, sum).ok_or_else(overflow)?;
        }
        Ok((values.len() - values.null_count()) as i64)
    }
}

impl Accumulator for DecimalAverage {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count += self.change(&values[0], i128::checked_add)?;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count -= self.change(&values[0], i128::checked_sub)?;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.change(&states[0], i128::checked_add)?;
        let counts = states[1].as_primitive::<Int64Type>();
        self.count += arrow::compute::sum(counts).unwrap_or(0);
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = (self.count > 0).then_some(self.sum);
        Ok(vec![ScalarValue::Decimal128(sum, PRECISION_MAX, self.scales.values), ScalarValue::Int64(Some(self.count))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let average = if self.count > 0 { Some(self.scales.divide(self.sum, self.count)?) } else { None };
        Ok(ScalarValue::Decimal128(average, PRECISION_MAX, self.scales.result))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The average of the different values.
#[derive(Debug)]
struct DistinctAverage {
    values: HashSet<i128>,
    scales: Scales,
}

impl Accumulator for DistinctAverage {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.extend(values[0].as_primitive::<Decimal128Type>().iter().flatten());
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for values in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[values])?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let item = DataType::Decimal128(PRECISION_MAX, self.scales.values);
        let values: Vec<ScalarValue> = self
            .values
            .iter()
            .map(|value| ScalarValue::Decimal128(Some(*value), PRECISION_MAX, self.scales.values))
            .collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &item))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut sum = 0i128;
        for value in &self.values {
            sum = sum.checked_add(*value).ok_or_else(overflow)?;
        }
        let count = self.values.len() as i64;
        let average = if count > 0 { Some(self.scales.divide(sum, count)?) } else { None };
        Ok(ScalarValue::Decimal128(average, PRECISION_MAX, self.scales.result))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * (size_of::<i128>() + 1)
    }
}

/// Averages by group.
#[derive(Debug)]
struct GroupAverages {
    sums: GroupSums,
    scales: Scales,
}

impl GroupsAccumulator for GroupAverages {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.sums.add(&values[0], groups, filter, group_count)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], group_count: usize) -> Result<()> {
        self.sums.merge(&values[0], Some(&values[1]), groups, group_count)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (mut sums, counts) = self.sums.take(emit);
        for (sum, count) in sums.iter_mut().zip(&counts).filter(|(_, count)| **count > 0) {
            *sum = self.scales.divide(*sum, *count)?;
        }
        let averages = Decimal128Array::new(sums.into(), nulls_of(&counts));
        Ok(Arc::new(averages.with_precision_and_scale(PRECISION_MAX, self.scales.result)?))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = self.sums.take(emit);
        let sums = sums_array(sums, &counts, PRECISION_MAX, self.scales.values)?;
        Ok(vec![Arc::new(sums), Arc::new(counts_array(counts))])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = row_states(&values[0], filter);
        let sums = sums.with_precision_and_scale(PRECISION_MAX, self.scales.values)?;
        Ok(vec![Arc::new(sums), Arc::new(counts)])
    }

    fn size(&self) -> usize {
        self.sums.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::sum::precision_and_scale;

    #[test]
    fn averages_round_half_away_from_zero() {
        let scales = Scales { values: 0, result: 2 };
        assert_eq!(scales.divide(1, 3).expect("fits"), 33);
        assert_eq!(scales.divide(2, 3).expect("fits"), 67);
        assert_eq!(scales.divide(-2, 3).expect("fits"), -67);
        assert_eq!(scales.divide(1, 8).expect("fits"), 13);
        assert_eq!(scales.divide(-1, 8).expect("fits"), -13);
        assert_eq!(scales.divide(i128::MAX, i64::MAX).expect("fits"), (i128::MAX / i128::from(i64::MAX)) * 100);
    }

    #[test]
    fn the_result_has_at_least_sixteen_decimals() {
        let average = Average::new();
        let result = average.return_type(&[DataType::Decimal128(15, 2)]).expect("a type");
        assert_eq!(precision_and_scale(&result), (38, 16));
        assert_eq!(average.coerce_types(&[DataType::Int32]).expect("coerces"), [DataType::Decimal128(20, 0)]);
    }
}
