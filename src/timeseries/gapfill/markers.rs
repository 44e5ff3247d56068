//! Functions that mark what gap filling has to do. None of them is ever computed: calls that no [`super::rule`] took away
//! stand where they have no meaning.

use crate::error::external;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use lightning_sql::{Error, sqlstate};
use std::sync::Arc;

/// `time_bucket_gapfill(width, time, others, start, finish)`.
pub(crate) const BUCKET: &str = "time_bucket_gapfill";
/// The bucket of SAMPLE BY, written like [`BUCKET`].
pub(crate) const SAMPLE: &str = "lightning_sample_bucket";
/// `locf(value [, over nulls])`.
pub(crate) const LOCF: &str = "locf";
/// `interpolate(value)`.
pub(crate) const INTERPOLATE: &str = "interpolate";
/// `fill_with(value, constant)`: what SAMPLE BY … FILL(0) makes of a value.
pub(crate) const CONSTANT: &str = "lightning_fill";

/// All markers.
pub(crate) fn functions() -> Vec<ScalarUDF> {
    let marker = |name, arguments: std::ops::RangeInclusive<usize>, typed_by| {
        let arities = arguments.map(TypeSignature::Any).collect();
        let signature = Signature::one_of(arities, Volatility::Volatile);
        ScalarUDF::new_from_impl(Marker { name, typed_by, signature })
    };
    vec![
        marker(BUCKET, 2..=7, 1),
        marker(SAMPLE, 2..=7, 1),
        marker(LOCF, 1..=2, 0),
        marker(INTERPOLATE, 1..=1, 0),
        marker(CONSTANT, 2..=2, 0),
    ]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Marker {
    name: &'static str,
    /// The argument whose type the result has.
    typed_by: usize,
    signature: Signature,
}

impl ScalarUDFImpl for Marker {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        match given.get(self.typed_by) {
            Some(data_type) => Ok(data_type.clone()),
            None => plan_err!("{} takes more arguments", self.name),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let Some(typed_by) = args.arg_fields.get(self.typed_by) else {
            return plan_err!("{} takes more arguments", self.name);
        };
        let field = Field::new(self.name, typed_by.data_type().clone(), true);
        Ok(Arc::new(field.with_metadata(typed_by.metadata().clone())))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(external(misplaced(self.name)))
    }
}

/// 42803: a marker where there is nothing to fill.
pub(crate) fn misplaced(name: &str) -> Error {
    let message = match name {
        BUCKET => "time_bucket_gapfill must be in GROUP BY".to_owned(),
        SAMPLE => "SAMPLE BY is not allowed here".to_owned(),
        name => format!("{name} is only allowed in a query grouped by time_bucket_gapfill"),
    };
    Error::new(sqlstate::GROUPING_ERROR, message)
}
