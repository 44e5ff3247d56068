//! Parts of JSON values: `-> ->> #> #>>`, `?`, and the functions they stand for.
//!
//! A part of a `json` value is a piece of its text, so nothing is parsed into a tree and white space stays as it was; what
//! was checked when the value came in is not checked again ([`crate::text::json`]).

use crate::text::json;
use crate::types::{self, PgType};
use arrow::array::{Array, ArrayRef, AsArray, BooleanBuilder, Int32Builder, StringViewArray, StringViewBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::borrow::Cow;
use std::sync::Arc;

/// An operator between a JSON value and a key, an index or a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operator {
    /// `->`
    Get,
    /// `->>`
    GetText,
    /// `#>`
    GetPath,
    /// `#>>`
    GetPathText,
    /// `?`
    HasKey,
}

/// The operator over `left`, which is of type `pg`.
pub(crate) fn access(operator: Operator, left: Expr, right: Expr) -> Expr {
    let function = match operator {
        Operator::Get => part("->", Locator::Member, Shown::Json),
        Operator::GetText => part("->>", Locator::Member, Shown::Text),
        Operator::GetPath => part("#>", Locator::PathArray, Shown::Json),
        Operator::GetPathText => part("#>>", Locator::PathArray, Shown::Text),
        Operator::HasKey => part("?", Locator::Member, Shown::Exists),
    };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), vec![left, right]))
}

/// The functions of this module.
pub(super) fn functions() -> Vec<ScalarUDF> {
    let mut functions = Vec::new();
    for name in ["json_extract_path", "jsonb_extract_path"] {
        functions.push(part(name, Locator::PathArguments, Shown::Json));
    }
    for name in ["json_extract_path_text", "jsonb_extract_path_text"] {
        functions.push(part(name, Locator::PathArguments, Shown::Text));
    }
    for name in ["json_typeof", "jsonb_typeof"] {
        functions.push(part(name, Locator::Whole, Shown::Kind));
    }
    for name in ["json_array_length", "jsonb_array_length"] {
        functions.push(part(name, Locator::Whole, Shown::Length));
    }
    functions
}

fn part(name: &'static str, locator: Locator, shown: Shown) -> ScalarUDF {
    ScalarUDF::new_from_impl(Part { name, locator, shown, signature: Signature::user_defined(Volatility::Immutable) })
}

/// Where the part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Locator {
    /// The value itself.
    Whole,
    /// A key of an object or an index of an array.
    Member,
    /// A `text[]` of keys and indexes.
    PathArray,
    /// Keys and indexes, each an argument.
    PathArguments,
}

/// What of the part is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Shown {
    Json,
    Text,
    Exists,
    Kind,
    Length,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Part {
    name: &'static str,
    locator: Locator,
    shown: Shown,
    signature: Signature,
}

/// The arguments that say where.
enum Steps {
    None,
    Keys(Vec<StringViewArray>),
    Index(arrow::array::Int64Array),
    Path(arrow::array::ListArray, StringViewArray),
    Null,
}

impl Part {
    fn steps(&self, args: &[ArrayRef]) -> Result<Steps> {
        let text = |array: &ArrayRef| -> Result<StringViewArray> {
            Ok(cast(array, &DataType::Utf8View)?.as_string_view().clone())
        };
        Ok(match (self.locator, args) {
            (Locator::Whole, _) => Steps::None,
            (Locator::Member, [key]) if key.data_type().is_integer() && self.shown != Shown::Exists => {
                Steps::Index(cast(key, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            (Locator::PathArray, [path]) => match path.as_list_opt::<i32>() {
                Some(list) => Steps::Path(list.clone(), text(list.values())?),
                None => Steps::Null,
            },
            (_, keys) => Steps::Keys(keys.iter().map(text).collect::<Result<_>>()?),
        })
    }

    fn locate<'a>(&self, json: &'a str, steps: &Steps, row: usize) -> Option<&'a str> {
        match steps {
            Steps::None => Some(json),
            Steps::Null => None,
            Steps::Index(index) => index.is_valid(row).then(|| json::element(json, index.value(row)))?,
            Steps::Keys(keys) if self.locator == Locator::Member => {
                let key = keys.first().filter(|keys| keys.is_valid(row))?.value(row);
                let found = json::member(json, key);
                // `?` also finds a string among the elements of an array.
                if self.shown == Shown::Exists { found.or_else(|| json::holding(json, key)) } else { found }
            }
            Steps::Keys(keys) => {
                keys.iter().try_fold(json, |json, key| json::step(json, key.is_valid(row).then(|| key.value(row))?))
            }
            Steps::Path(path, keys) => {
                if path.is_null(row) {
                    return None;
                }
                let mut range = path.value_offsets()[row] as usize..path.value_offsets()[row + 1] as usize;
                range.try_fold(json, |json, at| json::step(json, keys.is_valid(at).then(|| keys.value(at))?))
            }
        }
    }

    fn pg_type(&self, given: PgType) -> PgType {
        match self.shown {
            Shown::Json if given.oid == types::JSONB.oid => types::JSONB,
            Shown::Json => types::JSON,
            Shown::Text | Shown::Kind => types::TEXT,
            Shown::Exists => types::BOOL,
            Shown::Length => types::INT4,
        }
    }
}

impl ScalarUDFImpl for Part {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.pg_type(types::JSON).arrow_type().unwrap_or(DataType::Utf8View))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let given = args.arg_fields.first().map_or(types::JSON, |field| types::pg_type(field));
        let field: Field = types::column_field(self.name, self.pg_type(given), true).as_ref().clone();
        Ok(Arc::new(field))
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let wrong = || {
            let names: Vec<String> = given.iter().map(|t| types::from_arrow(t).base_name()).collect();
            plan_err!("function {}({}) does not exist", self.name, names.join(", "))
        };
        let is_text = |t: &DataType| t.is_string() || t.is_null();
        let Some((json, steps)) = given.split_first() else { return wrong() };
        let fits = match (self.locator, steps) {
            (Locator::Whole, steps) => steps.is_empty(),
            (Locator::Member, [key]) => is_text(key) || key.is_integer(),
            (Locator::PathArray, [path]) => is_text(path) || matches!(path, DataType::List(_)),
            (Locator::PathArguments, steps) => !steps.is_empty() && steps.iter().all(is_text),
            _ => false,
        };
        if !fits || !is_text(json) {
            return wrong();
        }
        let mut wanted = vec![DataType::Utf8View];
        wanted.extend(steps.iter().cloned());
        Ok(wanted)
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [left, right] if matches!(self.locator, Locator::Member | Locator::PathArray) => {
                Ok(format!("{left} {} {right}", self.name))
            }
            _ => {
                let shown: Vec<String> = args.iter().map(ToString::to_string).collect();
                Ok(format!("{}({})", self.name, shown.join(",")))
            }
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let Some((values, steps)) = arrays.split_first() else { return plan_err!("{} takes a value", self.name) };
        let values = cast(values, &DataType::Utf8View)?;
        let values = values.as_string_view();
        let steps = self.steps(steps)?;
        let parts = (0..rows).map(|row| {
            let json = values.is_valid(row).then(|| values.value(row));
            (json, json.and_then(|json| self.locate(json, &steps, row)))
        });
        let result: ArrayRef = match self.shown {
            Shown::Json => Arc::new(parts.map(|(_, part)| part).collect::<StringViewArray>()),
            Shown::Text => {
                let mut builder = StringViewBuilder::with_capacity(rows);
                for (_, part) in parts {
                    match part.map(json::as_text).transpose().map_err(external)?.flatten() {
                        Some(Cow::Borrowed(text)) => builder.append_value(text),
                        Some(Cow::Owned(text)) => builder.append_value(text),
                        None => builder.append_null(),
                    }
                }
                Arc::new(builder.finish())
            }
            Shown::Exists => {
                let mut builder = BooleanBuilder::with_capacity(rows);
                parts.for_each(|(json, part)| builder.append_option(json.map(|_| part.is_some())));
                Arc::new(builder.finish())
            }
            Shown::Kind => Arc::new(parts.map(|(_, part)| part.map(json::kind)).collect::<StringViewArray>()),
            Shown::Length => {
                let mut builder = Int32Builder::with_capacity(rows);
                for (_, part) in parts {
                    builder.append_option(part.map(json::array_length).transpose().map_err(external)?);
                }
                Arc::new(builder.finish())
            }
        };
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(result)
        })
    }
}

fn external(e: crate::Error) -> datafusion::common::DataFusionError {
    datafusion::common::DataFusionError::External(Box::new(e))
}
