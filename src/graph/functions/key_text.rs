//! `lightning_graph_key(a, b, …)`: a key of several columns as the text that functions give for it, for paths that are joins.

use super::rows::one_column;
use crate::error::external;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// Its name.
pub(crate) const KEY_TEXT: &str = "lightning_graph_key";

/// The function.
pub(crate) fn key_text() -> ScalarUDF {
    ScalarUDF::new_from_impl(KeyText { signature: Signature::variadic_any(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct KeyText {
    signature: Signature,
}

impl ScalarUDFImpl for KeyText {
    fn name(&self) -> &str {
        KEY_TEXT
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = args.args.iter().map(|column| column.to_array(args.number_rows));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        Ok(ColumnarValue::Array(one_column(&columns, &DataType::Utf8View).map_err(external)?))
    }
}
