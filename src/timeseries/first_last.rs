//! `first(value, time)` and `last(value, time)`: the value of the earliest or the latest row of a group.
//!
//! Rows without a time do not count; a NULL value does, if it is the first or last. `arg_min` and `arg_max` are DuckDB's
//! names for the same over rows whose value is not NULL. Of rows at the same time, the one met first counts.
//!
//! Times are compared as 64-bit integers. Values of fixed width are kept as they are, others as scalars.

use crate::error::error;
use crate::order::{comparable, is_comparable};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Int64Array, PrimitiveArray, downcast_primitive,
    new_null_array,
};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use lightning_sql::{sqlstate, types};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// The aggregate of the last value.
pub(crate) const LAST: &str = "last";

/// The functions.
pub(crate) fn functions() -> Vec<AggregateUDF> {
    let function = |name, aliases: &[&'static str], end, skips_nulls| {
        let signature = Signature::user_defined(Volatility::Immutable);
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        AggregateUDF::new_from_impl(FirstLast { name, aliases, end, skips_nulls, signature })
    };
    vec![
        function("first", &[], End::First, false),
        function(LAST, &[], End::Last, false),
        function("arg_min", &["min_by", "argmin"], End::First, true),
        function("arg_max", &["max_by", "argmax"], End::Last, true),
    ]
}

/// Which end of time is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    First,
    Last,
}

impl End {
    fn prefers(self, new: i64, known: i64) -> bool {
        match self {
            End::First => new < known,
            End::Last => new > known,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FirstLast {
    name: &'static str,
    aliases: Vec<String>,
    end: End,
    skips_nulls: bool,
    signature: Signature,
}

impl FirstLast {
    fn groups(&self, args: &AccumulatorArgs) -> Groups {
        let data_type = args.return_field.data_type().clone();
        Groups { end: self.end, skips_nulls: self.skips_nulls, times: Vec::new(), values: values_of(&data_type) }
    }
}

impl AggregateUDFImpl for FirstLast {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        given.first().cloned().ok_or_else(|| DataFusionError::Internal("first has arguments".to_owned()))
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let Some(value) = fields.first() else {
            return Err(DataFusionError::Internal("first has arguments".to_owned()));
        };
        let field = Field::new(self.name, value.data_type().clone(), true).with_metadata(value.metadata().clone());
        Ok(Arc::new(field))
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [value, time] if is_comparable(time) => Ok(vec![value.clone(), time.clone()]),
            _ => {
                let names: Vec<String> = given.iter().map(|t| types::from_arrow(t).base_name()).collect();
                let message = format!("function {}({}) does not exist", self.name, names.join(", "));
                Err(error(sqlstate::UNDEFINED_FUNCTION, message))
            }
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let value = Field::new(format!("{}[value]", args.name), args.return_field.data_type().clone(), true);
        let time = Field::new(format!("{}[time]", args.name), DataType::Int64, true);
        Ok(vec![Arc::new(value), Arc::new(time)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One(self.groups(&args))))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let null = ScalarValue::try_from(args.return_field.data_type())?;
        let (end, skips_nulls) = (self.end, self.skips_nulls);
        Ok(Box::new(Sliding { end, skips_nulls, null, best: VecDeque::new(), added: 0, removed: 0 }))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups(&args)))
    }
}

/// The values of groups.
trait Values: fmt::Debug + Send + Sync {
    fn resize(&mut self, groups: usize);
    fn set(&mut self, group: usize, values: &ArrayRef, row: usize) -> Result<()>;
    /// Takes the first `count` groups out.
    fn take(&mut self, count: usize) -> Result<ArrayRef>;
    fn size(&self) -> usize;
}

fn values_of(data_type: &DataType) -> Box<dyn Values> {
    macro_rules! primitive {
        ($t:ty) => {
            Box::new(Primitives::<$t> { data_type: data_type.clone(), values: Vec::new() }) as Box<dyn Values>
        };
    }
    downcast_primitive! {
        data_type => (primitive),
        _ => Box::new(Scalars { data_type: data_type.clone(), values: Vec::new() }),
    }
}

struct Primitives<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Vec<Option<T::Native>>,
}

impl<T: ArrowPrimitiveType> fmt::Debug for Primitives<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values of {}", self.values.len(), self.data_type)
    }
}

impl<T: ArrowPrimitiveType> Values for Primitives<T> {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, None);
    }

    fn set(&mut self, group: usize, values: &ArrayRef, row: usize) -> Result<()> {
        let values = values.as_primitive::<T>();
        self.values[group] = values.is_valid(row).then(|| values.value(row));
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<ArrayRef> {
        let taken = self.values.drain(..count);
        Ok(Arc::new(taken.collect::<PrimitiveArray<T>>().with_data_type(self.data_type.clone())))
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<Option<T::Native>>()
    }
}

#[derive(Debug)]
struct Scalars {
    data_type: DataType,
    values: Vec<Option<ScalarValue>>,
}

impl Values for Scalars {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, None);
    }

    fn set(&mut self, group: usize, values: &ArrayRef, row: usize) -> Result<()> {
        let mut value = ScalarValue::try_from_array(values, row)?;
        value.compact();
        self.values[group] = Some(value);
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<ArrayRef> {
        if count == 0 {
            return Ok(new_null_array(&self.data_type, 0));
        }
        let null = ScalarValue::try_from(&self.data_type)?;
        ScalarValue::iter_to_array(self.values.drain(..count).map(|value| value.unwrap_or_else(|| null.clone())))
    }

    fn size(&self) -> usize {
        let of_values: usize = self.values.iter().flatten().map(ScalarValue::size).sum();
        of_values + self.values.capacity() * size_of::<Option<ScalarValue>>()
    }
}

/// The state of all groups.
#[derive(Debug)]
struct Groups {
    end: End,
    skips_nulls: bool,
    times: Vec<Option<i64>>,
    values: Box<dyn Values>,
}

impl Groups {
    /// Looks at rows: `values` and `times` of the groups `groups`. First the best row of each group is found, so that
    /// values are touched once for each.
    fn update(
        &mut self,
        values: &ArrayRef,
        times: &Int64Array,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.times.resize(total, None);
        self.values.resize(total);
        let mut best: Vec<(usize, usize)> = Vec::new();
        let nulls = if self.skips_nulls { values.logical_nulls() } else { None };
        let plain = times.null_count() == 0 && nulls.is_none() && filter.is_none();
        for (row, group) in groups.iter().enumerate() {
            let counts = || {
                times.is_valid(row)
                    && nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
                    && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
            };
            if !plain && !counts() {
                continue;
            }
            let time = times.value(row);
            if self.times[*group].is_some_and(|known| !self.end.prefers(time, known)) {
                continue;
            }
            self.times[*group] = Some(time);
            match best.last_mut() {
                Some((last, best_row)) if last == group => *best_row = row,
                _ => best.push((*group, row)),
            }
        }
        best.into_iter().try_for_each(|(group, row)| self.values.set(group, values, row))
    }

    fn taken(&mut self, emit: EmitTo) -> Result<(ArrayRef, Int64Array)> {
        let count = match emit {
            EmitTo::All => self.times.len(),
            EmitTo::First(count) => count,
        };
        Ok((self.values.take(count)?, self.times.drain(..count).collect()))
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.update(&columns[0], &comparable(&columns[1])?, groups, filter, total)
    }

    fn merge_batch(&mut self, columns: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.update(&columns[0], columns[1].as_primitive::<Int64Type>(), groups, None, total)
    }

    fn convert_to_state(&self, columns: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let times = comparable(&columns[1])?;
        let is_in = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        let times: Int64Array = times.iter().enumerate().map(|(row, time)| time.filter(|_| is_in(row))).collect();
        Ok(vec![Arc::clone(&columns[0]), Arc::new(times)])
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(self.taken(emit)?.0)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let (values, times) = self.taken(emit)?;
        Ok(vec![values, Arc::new(times)])
    }

    fn size(&self) -> usize {
        self.values.size() + self.times.capacity() * size_of::<Option<i64>>()
    }
}

/// One group.
#[derive(Debug)]
struct One(Groups);

impl One {
    fn only(rows: usize) -> Vec<usize> {
        vec![0; rows]
    }

    /// The value and the time, which stay.
    fn peek(&mut self) -> Result<(ScalarValue, Option<i64>)> {
        self.0.times.resize(1, None);
        self.0.values.resize(1);
        let (values, times) = self.0.taken(EmitTo::All)?;
        self.0.times.push(times.iter().next().flatten());
        self.0.values.resize(1);
        self.0.values.set(0, &values, 0)?;
        Ok((ScalarValue::try_from_array(&values, 0)?, self.0.times[0]))
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(columns, &Self::only(columns[0].len()), None, 1)
    }

    fn merge_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(columns, &Self::only(columns[0].len()), 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.peek()?.0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (value, time) = self.peek()?;
        Ok(vec![value, ScalarValue::Int64(time)])
    }

    fn size(&self) -> usize {
        GroupsAccumulator::size(&self.0)
    }
}

/// The rows of a window that may yet be the best: each is better than all that came after it.
#[derive(Debug)]
struct Sliding {
    end: End,
    skips_nulls: bool,
    null: ScalarValue,
    /// Number of the row, time and value.
    best: VecDeque<(usize, i64, ScalarValue)>,
    added: usize,
    removed: usize,
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let times = comparable(&columns[1])?;
        for (row, time) in times.iter().enumerate() {
            self.added += 1;
            let Some(time) = time else { continue };
            let value = ScalarValue::try_from_array(&columns[0], row)?;
            if self.skips_nulls && value.is_null() {
                continue;
            }
            while self.best.back().is_some_and(|(_, known, _)| self.end.prefers(time, *known)) {
                self.best.pop_back();
            }
            self.best.push_back((self.added, time, value));
        }
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.removed += columns[0].len();
        while self.best.front().is_some_and(|(row, ..)| *row <= self.removed) {
            self.best.pop_front();
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.best.front().map_or_else(|| self.null.clone(), |(.., value)| value.clone()))
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        Err(DataFusionError::Internal("windows are not merged".to_owned()))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Err(DataFusionError::Internal("windows are not merged".to_owned()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.best.iter().map(|(.., value)| value.size() + 16).sum::<usize>()
    }
}
