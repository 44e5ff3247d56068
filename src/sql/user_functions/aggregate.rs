//! Aggregates in other languages.
//!
//! The state of a group is bytes that the language alone understands, so that it can be merged, spilled and sent as `bytea`.

use super::code::{Code, Shown, Spent};
use super::family::{Body, Candidate, Family};
use crate::error::Error;
use crate::language::{Aggregate, Interrupt};
use crate::types::{self, PgType};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use parking_lot::Mutex;
use std::any::Any;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

fn external(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

/// The aggregates of a name.
#[derive(Debug)]
pub(crate) struct UserAggregate {
    mark: String,
    family: Arc<Family>,
    signature: Signature,
    /// Those that were called, by place in the family.
    ready: Mutex<HashMap<usize, Arc<dyn Aggregate>>>,
    spent: Arc<Spent>,
}

/// The aggregates of a name, when a function is one of a user's.
pub(crate) fn user_aggregate(function: &AggregateUDF) -> Option<&UserAggregate> {
    (function.inner().as_ref() as &dyn Any).downcast_ref()
}

impl UserAggregate {
    pub(crate) fn new(mark: &str, family: Family) -> UserAggregate {
        let signature = Signature::user_defined(Volatility::Immutable);
        UserAggregate {
            mark: mark.to_owned(),
            family: Arc::new(family),
            signature,
            ready: Mutex::default(),
            spent: Arc::default(),
        }
    }

    /// What calls of it took, when there were any.
    pub(crate) fn spent(&self) -> Option<String> {
        self.family.candidates.first().and_then(|candidate| self.spent.shown(&candidate.function))
    }

    fn choose(&self, given: &[DataType]) -> Result<&Candidate> {
        let open = |data_type: &DataType| match data_type {
            DataType::Null => types::UNKNOWN,
            other => types::from_arrow(other),
        };
        let given: Vec<PgType> = given.iter().map(open).collect();
        self.family.choose_early(&given).map_err(external)
    }

    fn ready(&self, candidate: &Candidate, code: &Code) -> Result<Arc<dyn Aggregate>> {
        let place = self.family.candidates.iter().position(|known| known.function.oid == candidate.function.oid);
        let mut ready = self.ready.lock();
        if let Some(known) = place.and_then(|place| ready.get(&place)) {
            return Ok(Arc::clone(known));
        }
        let made = code.language.aggregate(&candidate.function, code.module.as_ref()).map_err(external)?;
        if let Some(place) = place {
            ready.insert(place, Arc::clone(&made));
        }
        Ok(made)
    }
}

impl PartialEq for UserAggregate {
    fn eq(&self, other: &Self) -> bool {
        self.mark == other.mark && Arc::ptr_eq(&self.family, &other.family)
    }
}

impl Eq for UserAggregate {}

impl Hash for UserAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.mark.hash(state);
    }
}

impl AggregateUDFImpl for UserAggregate {
    fn name(&self) -> &str {
        &self.mark
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let candidate = self.choose(given)?;
        Ok(candidate.arguments.iter().map(|pg| pg.arrow_type().unwrap_or(DataType::Utf8View)).collect())
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok(self.choose(given)?.returns.arrow_type().unwrap_or(DataType::Utf8View))
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let given: Vec<DataType> = fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(types::column_field(&self.family.name, self.choose(&given)?.returns, true))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[state]", args.name), DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let given: Vec<DataType> = args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        let candidate = self.choose(&given)?;
        let Body::Code(code) = &candidate.body else {
            return Err(DataFusionError::Internal("an aggregate without code".to_owned()));
        };
        if args.is_distinct {
            let what = format!("DISTINCT in a call of aggregate {}", candidate.function.name);
            return Err(external(
                Error::unsupported(what).with_hint("Aggregate the rows of a sub-query with SELECT DISTINCT."),
            ));
        }
        Ok(Box::new(State {
            arguments: given.len(),
            spent: Arc::clone(&self.spent),
            aggregate: self.ready(candidate, code)?,
            interrupt: Shown(code.info.interrupt()),
            is_strict: candidate.function.is_strict,
            bytes: Vec::new(),
        }))
    }
}

/// The state of one group.
#[derive(Debug)]
struct State {
    /// Columns behind these are what the rows are ordered by.
    arguments: usize,
    spent: Arc<Spent>,
    aggregate: Arc<dyn Aggregate>,
    interrupt: Shown<Interrupt>,
    is_strict: bool,
    bytes: Vec<u8>,
}

/// The rows without NULLs.
fn without_nulls(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    if values.iter().all(|values| values.null_count() == 0) {
        return Ok(values.to_vec());
    }
    let rows = values.first().map_or(0, |values| values.len());
    let kept: BooleanArray = (0..rows).map(|row| Some(values.iter().all(|values| values.is_valid(row)))).collect();
    Ok(values.iter().map(|values| filter(values, &kept)).collect::<std::result::Result<_, _>>()?)
}

impl Accumulator for State {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values.get(..self.arguments).unwrap_or(values);
        let values = if self.is_strict { without_nulls(values)? } else { values.to_vec() };
        let rows = values.first().map_or(0, |values| values.len());
        if rows == 0 && !values.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let state = self.aggregate.accumulate(&self.bytes, &values, &self.interrupt.0);
        self.spent.count(rows, started);
        self.bytes = state.map_err(external)?;
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.aggregate.finish(&self.bytes, &self.interrupt.0).map_err(external)?;
        ScalarValue::try_from_array(&value, 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(std::mem::take(&mut self.bytes)))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(states) = states.first().and_then(|states| states.as_binary_opt::<i32>()) else {
            return Err(DataFusionError::Internal("states must be bytes".to_owned()));
        };
        for other in states.iter().flatten().filter(|other| !other.is_empty()) {
            self.bytes = match self.bytes.is_empty() {
                true => other.to_vec(),
                false => self.aggregate.merge(&self.bytes, other, &self.interrupt.0).map_err(external)?,
            };
        }
        Ok(())
    }
}
