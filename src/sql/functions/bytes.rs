//! Lengths, which `bytea` has as text does.

use arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// `length`, `octet_length`, `bit_length`.
pub(super) fn functions() -> Vec<ScalarUDF> {
    let length = |name, unit| {
        let signature = Signature::user_defined(Volatility::Immutable);
        ScalarUDF::new_from_impl(Length { name, unit, signature })
    };
    vec![
        length("length", Unit::Characters),
        length("char_length", Unit::Characters),
        length("character_length", Unit::Characters),
        length("octet_length", Unit::Bytes),
        length("bit_length", Unit::Bits),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Characters,
    Bytes,
    Bits,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Length {
    name: &'static str,
    unit: Unit,
    signature: Signature,
}

/// Characters of a text: ASCII needs no look at each.
fn characters(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

impl Length {
    fn of_text(&self, text: &str) -> usize {
        match self.unit {
            Unit::Characters => characters(text),
            Unit::Bytes => text.len(),
            Unit::Bits => text.len() * 8,
        }
    }

    fn of_bytes(&self, bytes: &[u8]) -> usize {
        if self.unit == Unit::Bits { bytes.len() * 8 } else { bytes.len() }
    }

    fn lengths(&self, array: &ArrayRef) -> Result<Int32Array> {
        let text = |text: &str| i32::try_from(self.of_text(text)).unwrap_or(i32::MAX);
        let bytes = |bytes: &[u8]| i32::try_from(self.of_bytes(bytes)).unwrap_or(i32::MAX);
        Ok(match array.data_type() {
            DataType::Utf8View => array.as_string_view().iter().map(|v| v.map(text)).collect(),
            DataType::Utf8 => array.as_string::<i32>().iter().map(|v| v.map(text)).collect(),
            DataType::LargeUtf8 => array.as_string::<i64>().iter().map(|v| v.map(text)).collect(),
            DataType::BinaryView => array.as_binary_view().iter().map(|v| v.map(bytes)).collect(),
            DataType::Null => Int32Array::new_null(array.len()),
            _ => cast(array, &DataType::BinaryView)?.as_binary_view().iter().map(|v| v.map(bytes)).collect(),
        })
    }
}

impl ScalarUDFImpl for Length {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let binary = self.name.starts_with("char");
        match given {
            [DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null] => Ok(given.to_vec()),
            [DataType::Dictionary(_, value)] if value.is_string() => Ok(vec![DataType::Utf8View]),
            [DataType::Binary | DataType::LargeBinary | DataType::BinaryView] if !binary => {
                Ok(vec![DataType::BinaryView])
            }
            _ => {
                let names: Vec<String> = given.iter().map(|t| crate::types::from_arrow(t).base_name()).collect();
                plan_err!("function {}({}) does not exist", self.name, names.join(", "))
            }
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(array)] => Ok(ColumnarValue::Array(Arc::new(self.lengths(array)?))),
            [ColumnarValue::Scalar(value)] => {
                let lengths = self.lengths(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&lengths, 0)?))
            }
            _ => plan_err!("{} takes one argument", self.name),
        }
    }
}
