//! `lightning_plain(x)`: `x` without the PostgreSQL type its field carries beside the Arrow type.

use crate::parser::values::PLAIN;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Plain {
    signature: Signature,
}

impl Plain {
    pub(super) fn new() -> Plain {
        Plain { signature: Signature::any(1, Volatility::Immutable) }
    }
}

fn no_argument() -> DataFusionError {
    DataFusionError::Internal(format!("{PLAIN} has one argument"))
}

impl ScalarUDFImpl for Plain {
    fn name(&self) -> &str {
        PLAIN
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        arguments.first().cloned().ok_or_else(no_argument)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let field = args.arg_fields.first().ok_or_else(no_argument)?;
        Ok(Arc::new(Field::new(PLAIN, field.data_type().clone(), field.is_nullable())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        args.args.into_iter().next().ok_or_else(no_argument)
    }
}
