//! `percentile_disc`, `percentile_cont` and `mode`: aggregates of the values in the order of WITHIN GROUP, where NaN is after all numbers.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{SortOptions, concat, sort};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, ColumnarValue, Signature, Volatility};
use std::sync::Arc;

/// The aggregate function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct OrderedSet {
    kind: Kind,
    signature: Signature,
}

/// What the result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// One of the values, at a fraction of all.
    Discrete,
    /// On the line between the two values around a fraction of all.
    Continuous,
    /// The value there is most of.
    Mode,
}

impl OrderedSet {
    pub(super) fn percentile_disc() -> Self {
        Self::new(Kind::Discrete)
    }

    pub(super) fn percentile_cont() -> Self {
        Self::new(Kind::Continuous)
    }

    pub(super) fn mode() -> Self {
        Self::new(Kind::Mode)
    }

    fn new(kind: Kind) -> Self {
        OrderedSet { kind, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for OrderedSet {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Discrete => "percentile_disc",
            Kind::Continuous => "percentile_cont",
            Kind::Mode => "mode",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    /// The values come first, the fraction after them.
    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [values, fraction] if self.kind == Kind::Continuous => match values.is_numeric() || values.is_null() {
                true if !fraction.is_nested() => Ok(vec![DataType::Float64, DataType::Float64]),
                _ => plan_err!("percentile_cont is of numbers and takes one fraction"),
            },
            [values, _] if self.kind == Kind::Discrete => Ok(vec![values.clone(), DataType::Float64]),
            [values] if self.kind == Kind::Mode => Ok(vec![values.clone()]),
            _ => plan_err!("WITHIN GROUP is required for ordered-set aggregate {}", self.name()),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.first() {
            Some(values) => Ok(values.clone()),
            None => plan_err!("WITHIN GROUP is required for ordered-set aggregate {}", self.name()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let values = Field::new_list_field(args.input_fields[0].data_type().clone(), true);
        Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, self.name()), values, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let descending = args.order_bys.first().is_some_and(|order| order.options.descending);
        let fraction = match args.exprs.get(1) {
            None => None,
            Some(expr) => Some(constant(expr)?),
        };
        let data_type = args.expr_fields[0].data_type().clone();
        Ok(Box::new(Values { parts: Vec::new(), data_type, descending, kind: self.kind, fraction }))
    }
}

/// A fraction known before there are rows.
fn constant(expr: &Arc<dyn datafusion::physical_plan::PhysicalExpr>) -> Result<Option<f64>> {
    let empty = arrow::array::RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()));
    let fail = |state, message: String| DataFusionError::External(Box::new(crate::Error::new(state, message)));
    let Ok(ColumnarValue::Scalar(value)) = expr.evaluate(&empty) else {
        let message = "a percentile that is not a constant is not supported".to_owned();
        return Err(fail(crate::sqlstate::FEATURE_NOT_SUPPORTED, message));
    };
    let ScalarValue::Float64(fraction) = value.cast_to(&DataType::Float64)? else { return Ok(None) };
    match fraction {
        Some(value) if !(0.0..=1.0).contains(&value) => {
            let message = format!("percentile value {value} is not between 0 and 1");
            Err(fail(crate::sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, message))
        }
        other => Ok(other),
    }
}

/// The values seen.
#[derive(Debug)]
struct Values {
    parts: Vec<ArrayRef>,
    data_type: DataType,
    descending: bool,
    kind: Kind,
    /// `None` for the mode; within, a fraction that may be NULL.
    fraction: Option<Option<f64>>,
}

impl Values {
    fn sorted(&self) -> Result<Option<ArrayRef>> {
        let parts: Vec<&dyn Array> = self.parts.iter().map(AsRef::as_ref).collect();
        if parts.is_empty() {
            return Ok(None);
        }
        let options = SortOptions { descending: self.descending, nulls_first: false };
        let sorted = sort(&concat(&parts)?, Some(options))?;
        let count = sorted.len() - sorted.null_count();
        Ok((count > 0).then(|| sorted.slice(0, count)))
    }
}

/// The first of the values that occur most often.
fn most_frequent(sorted: &ArrayRef) -> Result<usize> {
    let (mut best, mut best_length) = (0, 0);
    for run in arrow::compute::partition(&[Arc::clone(sorted)])?.ranges() {
        if run.len() > best_length {
            (best, best_length) = (run.start, run.len());
        }
    }
    Ok(best)
}

/// The value at a fraction of the way from the first to the last.
fn on_the_way(sorted: &ArrayRef, fraction: f64) -> ScalarValue {
    let values = sorted.as_primitive::<Float64Type>();
    let place = fraction * (values.len() - 1) as f64;
    let (before, after) = (values.value(place.floor() as usize), values.value(place.ceil() as usize));
    let whole = place.floor() == place.ceil();
    ScalarValue::Float64(Some(if whole { before } else { before + (after - before) * place.fract() }))
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.parts.push(Arc::clone(&values[0]));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.parts.extend(states[0].as_list::<i32>().iter().flatten());
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let parts: Vec<&dyn Array> = self.parts.iter().map(AsRef::as_ref).collect();
        let values = if parts.is_empty() { arrow::array::new_empty_array(&self.data_type) } else { concat(&parts)? };
        let field = Arc::new(Field::new_list_field(self.data_type.clone(), true));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([values.len()]);
        let list = arrow::array::ListArray::try_new(field, offsets, values, None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Some(sorted) = self.sorted()? else { return ScalarValue::try_from(&self.data_type) };
        let place = match self.fraction {
            None => most_frequent(&sorted)?,
            Some(None) => return ScalarValue::try_from(&self.data_type),
            Some(Some(fraction)) if self.kind == Kind::Continuous => return Ok(on_the_way(&sorted, fraction)),
            // The first value whose place among all is at least the fraction.
            Some(Some(fraction)) => ((fraction * sorted.len() as f64).ceil() as usize).max(1) - 1,
        };
        ScalarValue::try_from_array(&sorted, place.min(sorted.len() - 1))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.parts.iter().map(|part| part.get_array_memory_size()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int32Array};

    fn evaluated(fraction: Option<Option<f64>>, values: Vec<Option<i32>>) -> ScalarValue {
        let kind = if fraction.is_some() { Kind::Discrete } else { Kind::Mode };
        let mut accumulator =
            Values { parts: Vec::new(), data_type: DataType::Int32, descending: false, kind, fraction };
        accumulator.update_batch(&[Arc::new(Int32Array::from(values))]).unwrap();
        accumulator.evaluate().unwrap()
    }

    #[test]
    fn results_are_among_the_values() {
        let values = vec![Some(3), None, Some(1), Some(3), Some(2)];
        assert_eq!(evaluated(Some(Some(0.5)), values.clone()), ScalarValue::Int32(Some(2)));
        assert_eq!(evaluated(Some(Some(0.0)), values.clone()), ScalarValue::Int32(Some(1)));
        assert_eq!(evaluated(Some(Some(1.0)), values.clone()), ScalarValue::Int32(Some(3)));
        assert_eq!(evaluated(None, values), ScalarValue::Int32(Some(3)));
        assert_eq!(evaluated(None, vec![None]), ScalarValue::Int32(None));
    }

    #[test]
    fn nan_is_after_all_numbers() {
        let values: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, 4.0, f64::NAN, 1.0, 2.0]));
        let at = |fraction, descending| {
            let (data_type, kind) = (DataType::Float64, Kind::Continuous);
            let fraction = Some(Some(fraction));
            let mut accumulator = Values { parts: Vec::new(), data_type, descending, kind, fraction };
            accumulator.update_batch(&[Arc::clone(&values)]).unwrap();
            match accumulator.evaluate().unwrap() {
                ScalarValue::Float64(Some(value)) => value,
                other => panic!("{other}"),
            }
        };
        assert_eq!((at(0.0, false), at(0.125, false), at(0.5, false)), (1.0, 1.5, 4.0));
        assert!(at(0.6, false).is_nan() && at(0.0, true).is_nan());
        assert_eq!(at(1.0, true), 1.0);
    }
}
