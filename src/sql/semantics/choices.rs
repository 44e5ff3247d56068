//! COALESCE, GREATEST and LEAST over arguments whose common type is not settled yet.
//!
//! DataFusion asks a function for its type while it plans, when string literals are still strings, and refuses
//! `coalesce(date, '2024-01-01')` there. These wrappers answer with the type of the first argument that is not such a
//! literal; [`super::expressions`] then brings the arguments to their common type, or refuses them in PostgreSQL's words.

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use std::sync::Arc;

/// The names of the functions.
pub(super) const NAMES: [&str; 3] = ["coalesce", "greatest", "least"];

/// A function that returns one of its arguments.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Choice {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl Choice {
    pub(super) fn new(inner: Arc<ScalarUDF>) -> Choice {
        let signature = Signature::user_defined(inner.signature().volatility);
        Choice { inner, signature }
    }
}

fn is_string(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

impl ScalarUDFImpl for Choice {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match self.inner.coerce_types(given) {
            Err(e) if given.is_empty() => Err(e),
            Err(_) => Ok(given.to_vec()),
            types => types,
        }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.inner.return_type(given)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let same = args.arg_fields.windows(2).all(|pair| pair[0].data_type() == pair[1].data_type());
        if same {
            return self.inner.return_field_from_args(args);
        }
        let open = |index: usize| args.scalar_arguments.get(index).copied().flatten().is_some();
        let decides = |(index, field): &(usize, &FieldRef)| {
            field.data_type() != &DataType::Null && !(is_string(field.data_type()) && open(*index))
        };
        let first = args.arg_fields.iter().enumerate().find(decides).map(|(_, field)| field.data_type().clone());
        Ok(Arc::new(Field::new(self.name(), first.unwrap_or(DataType::Utf8View), true)))
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
