//! `sum` with PostgreSQL's result types: `bigint` for the smaller integers, `numeric` for `bigint` and `numeric`.
//!
//! DataFusion's accumulators do the work wherever they cannot overflow: integers up to 32 bits in 64, decimals of at most
//! 28 digits in 128 bits (ten more digits than any table has rows). Wider decimals are summed with a check per addition.

use super::decimal_sum::{GroupSums, PRECISION_MAX, nulls_of, overflow, row_states, sums_array};
use super::moving::{Answer, moving};
use super::narrow_sum::{BIGINT_AS_DECIMAL, NarrowGroupSums, NarrowSum, is_narrow, is_widened};
use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::sum_checked;
use arrow::datatypes::{DataType, Decimal128Type, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::sum::Sum as DataFusionSum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};
use std::sync::Arc;

/// Decimals up to this precision cannot overflow 128 bits within 10¹⁰ rows.
const SAFE_PRECISION: u8 = 28;

/// The aggregate function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Sum {
    inner: DataFusionSum,
    signature: Signature,
}

impl Sum {
    pub(super) fn new() -> Self {
        Sum { inner: DataFusionSum::new(), signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// The type values are brought to before they are summed or averaged.
pub(super) fn summed_type(given: &DataType) -> Result<DataType> {
    Ok(match given {
        // Whatever is answered here is left alone when it is asked again: plans are analysed more than once.
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::Int16 | DataType::Int32 => given.clone(),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Null => DataType::Float64,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Interval(_) | DataType::Duration(_) => {
            given.clone()
        }
        DataType::Dictionary(_, value) => summed_type(value)?,
        DataType::RunEndEncoded(_, value) => summed_type(value.data_type())?,
        // Refused with PostgreSQL's words when the plan is analyzed.
        other => other.clone(),
    })
}

fn widens(args: &AccumulatorArgs) -> bool {
    args.expr_fields.first().is_some_and(|field| is_widened(field.data_type()))
}

/// Whether a sum of this type could overflow.
fn is_wide(result: &DataType) -> bool {
    matches!(result, DataType::Decimal128(PRECISION_MAX, _))
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [given] = given else { return plan_err!("function sum takes one argument") };
        Ok(vec![if is_widened(given) { given.clone() } else { summed_type(given)? }])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [DataType::Decimal128(precision, scale)] if *precision > SAFE_PRECISION => {
                Ok(DataType::Decimal128(PRECISION_MAX, *scale))
            }
            [narrow] if is_narrow(narrow) => Ok(DataType::Int64),
            [DataType::Int64] => self.inner.return_type(&[BIGINT_AS_DECIMAL]),
            [other] if !other.is_numeric() && !matches!(other, DataType::Duration(_)) => Ok(other.clone()),
            _ => self.inner.return_type(arguments),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !args.is_distinct && is_wide(args.return_type()) {
            return Ok(Box::new(WideSum::new(args.return_type())));
        }
        if widens(&args) {
            return Ok(Box::new(NarrowSum(self.inner.accumulator(args)?)));
        }
        self.inner.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !args.is_distinct && is_wide(args.return_type()) {
            return Ok(Box::new(WideSum::new(args.return_type())));
        }
        if widens(&args) {
            return Ok(Box::new(NarrowSum(self.inner.create_sliding_accumulator(args)?)));
        }
        if let Some(moving) = moving(&args, Answer::Sum) {
            return Ok(moving);
        }
        self.inner.create_sliding_accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if is_wide(args.return_type()) {
            return Ok(Box::new(WideGroupSums { sums: GroupSums::default(), result: args.return_type().clone() }));
        }
        if widens(&args) {
            return Ok(Box::new(NarrowGroupSums(self.inner.create_groups_accumulator(args)?)));
        }
        self.inner.create_groups_accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// Precision and scale of a decimal type.
pub(super) fn precision_and_scale(data_type: &DataType) -> (u8, i8) {
    match data_type {
        DataType::Decimal128(precision, scale) => (*precision, *scale),
        _ => (PRECISION_MAX, 0),
    }
}

/// One checked sum; also slides over window frames.
#[derive(Debug)]
struct WideSum {
    sum: i128,
    count: usize,
    result: DataType,
}

impl WideSum {
    fn new(result: &DataType) -> Self {
        WideSum { sum: 0, count: 0, result: result.clone() }
    }

    fn value(&self) -> ScalarValue {
        let (precision, scale) = precision_and_scale(&self.result);
        ScalarValue::Decimal128((self.count > 0).then_some(self.sum), precision, scale)
    }
}

impl Accumulator for WideSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<Decimal128Type>();
        if let Some(sum) = sum_checked(values).map_err(|_| overflow())? {
            self.sum = self.sum.checked_add(sum).ok_or_else(overflow)?;
        }
        self.count += arrow::array::Array::len(values) - arrow::array::Array::null_count(values);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values[0].as_primitive::<Decimal128Type>();
        if let Some(sum) = sum_checked(values).map_err(|_| overflow())? {
            self.sum = self.sum.checked_sub(sum).ok_or_else(overflow)?;
        }
        self.count -= arrow::array::Array::len(values) - arrow::array::Array::null_count(values);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value())
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// Checked sums by group.
#[derive(Debug)]
struct WideGroupSums {
    sums: GroupSums,
    result: DataType,
}

impl GroupsAccumulator for WideGroupSums {
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
        self.sums.merge(&values[0], None, groups, group_count)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (precision, scale) = precision_and_scale(&self.result);
        let (sums, counts) = self.sums.take(emit);
        debug_assert!(nulls_of(&counts).is_none_or(|nulls| nulls.len() == sums.len()));
        Ok(Arc::new(sums_array(sums, &counts, precision, scale)?))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let (sums, _) = row_states(&values[0], filter);
        let (precision, scale) = precision_and_scale(&self.result);
        Ok(vec![Arc::new(sums.with_precision_and_scale(precision, scale)?)])
    }

    fn size(&self) -> usize {
        self.sums.size()
    }
}
