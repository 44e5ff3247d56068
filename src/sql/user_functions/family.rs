//! All functions of one name that a call may mean.

use super::code::Code;
use crate::error::Error;
use crate::functions::call::{Overloaded, resolve, type_of};
use crate::sqlstate::WRONG_OBJECT_TYPE;
use crate::types::{self, PgType};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use lightning_catalog::{Function, Returns};
use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A function that a call may mean.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) function: Arc<Function>,
    pub(crate) arguments: Vec<PgType>,
    pub(crate) returns: PgType,
    pub(crate) body: Body,
}

/// What computes a function.
#[derive(Clone)]
pub(crate) enum Body {
    /// A plan of one projected expression over the parameters as a table.
    Sql(Arc<LogicalPlan>),
    /// Something in another language.
    Code(Code),
    /// Nothing yet: no call has so many arguments.
    Unplanned,
}

/// By its signature: plans that are shown have their functions in them.
impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&signature(&self.function))
    }
}

impl Overloaded for Candidate {
    fn wanted(&self, place: usize) -> PgType {
        self.arguments.get(place).copied().unwrap_or(types::TEXT)
    }

    fn takes(&self, count: usize) -> bool {
        self.arguments.len() == count
    }
}

/// The types of a function's arguments.
pub(crate) fn argument_types(function: &Function) -> Vec<PgType> {
    function.argument_types().map(|oid| PgType::by_oid(oid.0).unwrap_or(types::TEXT)).collect()
}

/// The type of a function's value; `None` when it is no function of one value.
pub(crate) fn value_type(function: &Function) -> Option<PgType> {
    match function.returns {
        Returns::Value(oid) => Some(PgType::by_oid(oid.0).unwrap_or(types::TEXT)),
        Returns::Table(_) | Returns::SetOf(_) | Returns::Trigger => None,
    }
}

/// `f(integer, text)`, as messages name a function.
pub(crate) fn signature(function: &Function) -> String {
    let names: Vec<String> = argument_types(function).into_iter().map(PgType::base_name).collect();
    format!("{}({})", crate::pg_catalog::quote_identifier(&function.name), names.join(", "))
}

/// The functions of a name.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) candidates: Vec<Candidate>,
}

impl Family {
    /// The function PostgreSQL would choose.
    pub(crate) fn choose(&self, given: &[PgType]) -> crate::Result<&Candidate> {
        resolve(&self.name, &self.candidates, given)
    }

    /// The same where integer literals, and what is computed from them, still are `bigint`.
    pub(crate) fn choose_early(&self, given: &[PgType]) -> crate::Result<&Candidate> {
        let narrow = |pg: &PgType| if pg.oid == types::INT8.oid { types::INT4 } else { *pg };
        let narrowed: Vec<PgType> = given.iter().map(narrow).collect();
        self.choose(given).or_else(|e| self.choose(&narrowed).map_err(|_| e))
    }

    /// The first function of so many arguments.
    fn of_count(&self, count: usize) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.takes(count))
    }
}

/// A call that is not resolved yet.
#[derive(Debug)]
pub(crate) struct UserCall {
    mark: String,
    pub(crate) family: Arc<Family>,
    signature: Signature,
}

impl UserCall {
    pub(crate) fn new(mark: &str, family: Arc<Family>) -> UserCall {
        let anything = vec![TypeSignature::VariadicAny, TypeSignature::Nullary];
        // Nothing is computed before it is resolved.
        let signature = Signature::one_of(anything, Volatility::Volatile);
        UserCall { mark: mark.to_owned(), family, signature }
    }
}

/// The call, when a function is one that is not resolved yet.
pub(crate) fn unresolved(function: &ScalarUDF) -> Option<&UserCall> {
    (function.inner().as_ref() as &dyn Any).downcast_ref()
}

impl PartialEq for UserCall {
    fn eq(&self, other: &Self) -> bool {
        self.mark == other.mark && Arc::ptr_eq(&self.family, &other.family)
    }
}

impl Eq for UserCall {}

impl Hash for UserCall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.mark.hash(state);
    }
}

fn external(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

impl ScalarUDFImpl for UserCall {
    fn name(&self) -> &str {
        &self.mark
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(DataFusionError::Internal("the type of a call depends on its arguments".to_owned()))
    }

    /// Not final: integer literals still are `bigint`, and what is computed from them, too.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let literals = args.scalar_arguments.iter().copied().chain(std::iter::repeat(None));
        let given: Vec<PgType> = args.arg_fields.iter().zip(literals).map(|(f, v)| type_of(f, v)).collect();
        let candidate = self.family.choose_early(&given);
        let candidate = candidate.or_else(|e| self.family.of_count(given.len()).ok_or(e)).map_err(external)?;
        Ok(types::column_field(&self.family.name, candidate.returns, true))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(external(Error::unsupported(format!("a call of function {} here", self.family.name))))
    }
}

/// `f(x) is …`: why a function cannot stand where one of one value is called.
pub(crate) fn misused(function: &Function) -> Error {
    match function.returns {
        Returns::Trigger => Error::unsupported("calling a trigger function other than by a trigger")
            .with_hint("CREATE TRIGGER makes changes of a table call it."),
        Returns::Table(_) | Returns::SetOf(_) => {
            Error::new(WRONG_OBJECT_TYPE, format!("function {} gives rows", signature(function)))
                .with_hint("Call it in FROM.")
        }
        Returns::Value(_) => Error::new(WRONG_OBJECT_TYPE, format!("function {} gives one value", signature(function)))
            .with_hint("Call it in the select list."),
    }
}
