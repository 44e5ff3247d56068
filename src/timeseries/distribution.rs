//! Aggregates of how values are distributed: `histogram(value, min, max, buckets)` and `approx_percentile(value, p)`.
//!
//! A histogram has a count for each of the buckets between min and max, one before them for what is less than min, and
//! one after them for max and more (and NaN, which PostgreSQL sorts last). Approximate percentiles are DataFusion's
//! t-digest.

use crate::error::error;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int32Type, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::functions_aggregate::approx_percentile_cont::approx_percentile_cont_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;
use lightning_sql::sqlstate::{
    INVALID_PARAMETER_VALUE, NUMERIC_VALUE_OUT_OF_RANGE, PROGRAM_LIMIT_EXCEEDED, UNDEFINED_FUNCTION,
};
use lightning_sql::types;
use std::collections::VecDeque;
use std::sync::Arc;

/// Buckets a histogram may have.
const BUCKETS_MAX: i32 = 100_000;

/// The functions.
pub(crate) fn functions() -> Vec<AggregateUDF> {
    let signature = || Signature::user_defined(Volatility::Immutable);
    let percentile = ApproxPercentile { inner: approx_percentile_cont_udaf(), signature: signature() };
    vec![AggregateUDF::new_from_impl(Histogram { signature: signature() }), AggregateUDF::new_from_impl(percentile)]
}

/// The types wanted, when as many numbers are given.
fn numbers(name: &str, given: &[DataType], wanted: &[DataType]) -> Result<Vec<DataType>> {
    let fits = |(given, wanted): (&DataType, &DataType)| {
        // Columns of text are views; a literal of open type is not.
        matches!(given, DataType::Null | DataType::Utf8)
            || if wanted.is_integer() { given.is_integer() } else { given.is_numeric() }
    };
    if given.len() == wanted.len() && given.iter().zip(wanted).all(fits) {
        return Ok(wanted.to_vec());
    }
    let names: Vec<String> = given.iter().map(|t| types::from_arrow(t).base_name()).collect();
    Err(error(UNDEFINED_FUNCTION, format!("function {name}({}) does not exist", names.join(", "))))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Histogram {
    signature: Signature,
}

impl AggregateUDFImpl for Histogram {
    fn name(&self) -> &str {
        "histogram"
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let number = DataType::Float64;
        numbers(self.name(), given, &[number.clone(), number.clone(), number, DataType::Int32])
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true))))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(args.name, self.return_type(&[])?, true))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Counts { counts: Vec::new() }))
    }
}

/// Counts so far; empty before the first row.
#[derive(Debug)]
struct Counts {
    counts: Vec<i64>,
}

impl Counts {
    fn check(&mut self, low: f64, high: f64, buckets: i32) -> Result<()> {
        // Also when one of them is NaN.
        if low.partial_cmp(&high) != Some(std::cmp::Ordering::Less) || !(high - low).is_finite() {
            return Err(error(INVALID_PARAMETER_VALUE, "the minimum of a histogram must be less than its maximum"));
        }
        if buckets <= 0 {
            return Err(error(INVALID_PARAMETER_VALUE, "a histogram must have at least one bucket"));
        }
        if buckets > BUCKETS_MAX {
            let message = format!("a histogram can have at most {BUCKETS_MAX} buckets");
            return Err(error(PROGRAM_LIMIT_EXCEEDED, message));
        }
        let length = buckets as usize + 2;
        if self.counts.is_empty() {
            self.counts.resize(length, 0);
        }
        if self.counts.len() != length {
            return Err(error(INVALID_PARAMETER_VALUE, "the number of a histogram's buckets must not change"));
        }
        Ok(())
    }
}

impl Counts {
    /// Counts rows, or takes off what was counted.
    fn count(&mut self, columns: &[ArrayRef], step: i64) -> Result<()> {
        let [values, lows, highs] = [0, 1, 2].map(|index| columns[index].as_primitive::<Float64Type>());
        let buckets = columns[3].as_primitive::<Int32Type>();
        for row in 0..values.len() {
            if columns.iter().any(|column| column.is_null(row)) {
                continue;
            }
            let (value, low, high) = (values.value(row), lows.value(row), highs.value(row));
            self.check(low, high, buckets.value(row))?;
            let inner = self.counts.len() - 2;
            let place = if value < low {
                0
            } else if value < high {
                (((value - low) / (high - low) * inner as f64) as usize).min(inner - 1) + 1
            } else {
                inner + 1
            };
            self.counts[place] += step;
        }
        Ok(())
    }
}

impl Accumulator for Counts {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.count(columns, 1)
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.count(columns, -1)?;
        if self.counts.iter().all(|count| *count == 0) {
            self.counts.clear();
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let states = columns[0].as_list::<i32>();
        for row in (0..states.len()).filter(|row| states.is_valid(*row)) {
            let state = states.value(row);
            let counts = state.as_primitive::<Int64Type>().values();
            if self.counts.is_empty() {
                self.counts.resize(counts.len(), 0);
            }
            if counts.len() != self.counts.len() {
                return Err(error(INVALID_PARAMETER_VALUE, "the number of a histogram's buckets must not change"));
            }
            self.counts.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.state()?.swap_remove(0))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        if self.counts.is_empty() {
            let item = Field::new_list_field(DataType::Int64, true);
            return Ok(vec![ScalarValue::new_null_list(item.data_type().clone(), true, 1)]);
        }
        let counts: ArrayRef = Arc::new(Int64Array::from(self.counts.clone()));
        let scalars =
            (0..counts.len()).map(|row| ScalarValue::try_from_array(&counts, row)).collect::<Result<Vec<_>>>()?;
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&scalars, &DataType::Int64))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.capacity() * 8
    }
}

/// DataFusion's approximate percentile with its arguments in the order other databases have, and a result of the type
/// PostgreSQL's percentiles have.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ApproxPercentile {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

impl AggregateUDFImpl for ApproxPercentile {
    fn name(&self) -> &str {
        "approx_percentile"
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        numbers(self.name(), given, &[DataType::Float64, DataType::Float64])
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        fraction(&args)?;
        self.inner.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match fraction(&args)? {
            Some(fraction) => Ok(Box::new(Frame { fraction, values: VecDeque::new() })),
            None => self.inner.create_sliding_accumulator(args),
        }
    }
}

/// The fraction of `approx_percentile`, if it is written out; 22003 when there is none such.
fn fraction(args: &AccumulatorArgs) -> Result<Option<f64>> {
    let literal = args.exprs.get(1).and_then(|fraction| fraction.downcast_ref::<Literal>());
    let Some(ScalarValue::Float64(fraction)) = literal.map(Literal::value) else { return Ok(None) };
    match fraction {
        Some(fraction) if (0.0..=1.0).contains(fraction) => Ok(Some(*fraction)),
        other => {
            let shown = other.map_or_else(|| "NULL".to_owned(), |fraction| fraction.to_string());
            let message = format!("percentile value {shown} is not between 0 and 1");
            Err(error(NUMERIC_VALUE_OUT_OF_RANGE, message))
        }
    }
}

/// The values of a frame that moves, of which the percentile is exact: a digest cannot take values off.
#[derive(Debug)]
struct Frame {
    fraction: f64,
    values: VecDeque<f64>,
}

impl Accumulator for Frame {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.values.extend(columns[0].as_primitive::<Float64Type>().iter().flatten());
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.values.drain(..columns[0].len() - columns[0].null_count());
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut values: Vec<f64> = self.values.iter().copied().collect();
        if values.is_empty() {
            return Ok(ScalarValue::Float64(None));
        }
        let place = self.fraction * (values.len() - 1) as f64;
        let (_, before, rest) = values.select_nth_unstable_by(place.floor() as usize, f64::total_cmp);
        let after = rest.iter().copied().min_by(f64::total_cmp).unwrap_or(*before);
        let between = if place.fract() == 0.0 { *before } else { *before + (after - *before) * place.fract() };
        Ok(ScalarValue::Float64(Some(between)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Err(DataFusionError::Internal("a moving frame is not merged".to_owned()))
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        Err(DataFusionError::Internal("a moving frame is not merged".to_owned()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }
}
