//! `sum` of integers: of `smallint` and `integer` it is a `bigint`, of `bigint` a `numeric`.
//!
//! DataFusion sums 64-bit integers and decimals; narrower values are widened batch by batch on their way in. Widening them in the plan
//! instead, as a cast of the argument, would make `sum(integer)` and `sum(bigint)` the same call, and the cast of `bigint` would check each value for
//! whether it has too many digits, which takes longer than the sum.

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use std::sync::Arc;

/// What a `bigint` is as a decimal.
pub(super) const BIGINT_AS_DECIMAL: DataType = DataType::Decimal128(20, 0);

/// Whether sums of this type are `bigint`.
pub(super) fn is_narrow(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int16 | DataType::Int32)
}

/// Whether values of this type are widened.
pub(super) fn is_widened(data_type: &DataType) -> bool {
    is_narrow(data_type) || *data_type == DataType::Int64
}

fn widen(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let widen = |values: &ArrayRef| -> Result<ArrayRef> {
        let Some(long) = values.as_primitive_opt::<Int64Type>() else { return Ok(cast(values, &DataType::Int64)?) };
        let decimals = long.unary::<_, Decimal128Type>(i128::from);
        Ok(Arc::new(decimals.with_data_type(BIGINT_AS_DECIMAL)))
    };
    values.iter().map(widen).collect()
}

/// One sum of narrow integers in an accumulator of 64-bit ones.
#[derive(Debug)]
pub(super) struct NarrowSum(pub(super) Box<dyn Accumulator>);

impl Accumulator for NarrowSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(&widen(values)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.retract_batch(&widen(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.0.supports_retract_batch()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.size()
    }
}

/// Sums of narrow integers by group.
pub(super) struct NarrowGroupSums(pub(super) Box<dyn GroupsAccumulator>);

impl GroupsAccumulator for NarrowGroupSums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.0.update_batch(&widen(values)?, groups, filter, group_count)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], group_count: usize) -> Result<()> {
        self.0.merge_batch(states, groups, group_count)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        self.0.evaluate(emit)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.0.state(emit)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.0.convert_to_state(&widen(values)?, filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.size()
    }
}
