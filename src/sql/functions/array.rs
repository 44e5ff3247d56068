//! Functions over arrays that DataFusion lacks or spells differently.

use crate::pg_catalog::ARRAY_OR_EMPTY;
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StringViewArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// The functions of this module.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        ScalarUDF::new_from_impl(ArrayOrEmpty { signature: Signature::any(1, Volatility::Immutable) }),
        ScalarUDF::new_from_impl(Bound::new("array_upper")),
        ScalarUDF::new_from_impl(Bound::new("array_lower")),
        ScalarUDF::new_from_impl(Bound::new("array_length")),
        ScalarUDF::new_from_impl(Dimensions { signature: Signature::any(1, Volatility::Immutable) }),
        // DataFusion's remove and replace the first of them only.
        again(datafusion::functions_nested::remove::array_remove_all_udf(), "array_remove"),
        again(datafusion::functions_nested::replace::array_replace_all_udf(), "array_replace"),
    ]
}

fn again(function: Arc<ScalarUDF>, name: &'static str) -> ScalarUDF {
    function.as_ref().clone().with_aliases([name])
}

/// `array_dims`: `[1:2][1:3]`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Dimensions {
    signature: Signature,
}

impl ScalarUDFImpl for Dimensions {
    fn name(&self) -> &str {
        "array_dims"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let Some(list) = array.as_list_opt::<i32>() else {
            return Ok(ColumnarValue::Array(Arc::new(StringViewArray::new_null(array.len()))));
        };
        let texts = (0..list.len()).map(|row| {
            let mut current = list.is_valid(row).then(|| list.value(row)).filter(|array| !array.is_empty())?;
            let mut text = String::new();
            loop {
                text.push_str(&format!("[1:{}]", current.len()));
                let inner = current.as_list_opt::<i32>().filter(|inner| inner.is_valid(0)).map(|inner| inner.value(0));
                match inner {
                    Some(inner) => current = inner,
                    None => return Some(text),
                }
            }
        });
        Ok(ColumnarValue::Array(Arc::new(texts.collect::<StringViewArray>())))
    }
}

/// Makes NULL an empty array: what `ARRAY(SELECT …)` is without rows.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayOrEmpty {
    signature: Signature,
}

impl ScalarUDFImpl for ArrayOrEmpty {
    fn name(&self) -> &str {
        ARRAY_OR_EMPTY
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [list @ DataType::List(_)] => Ok(list.clone()),
            _ => plan_err!("{ARRAY_OR_EMPTY} takes an array"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = args.arg_fields[0].as_ref().clone();
        self.return_type(&[field.data_type().clone()])?;
        Ok(Arc::new(field.with_name(ARRAY_OR_EMPTY).with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let list = array.as_list::<i32>();
        if list.null_count() == 0 {
            return Ok(ColumnarValue::Array(array));
        }
        let DataType::List(item) = list.data_type() else { return exec_err!("{ARRAY_OR_EMPTY} takes an array") };
        // A NULL may cover elements; taking only the valid lists leaves none of them behind.
        let lengths = (0..list.len()).map(|row| if list.is_null(row) { 0 } else { list.value_length(row) as usize });
        let offsets = OffsetBuffer::from_lengths(lengths);
        let kept: Vec<ArrayRef> = list.iter().flatten().collect();
        let kept: Vec<&dyn Array> = kept.iter().map(AsRef::as_ref).collect();
        let values = if kept.is_empty() { list.values().slice(0, 0) } else { arrow::compute::concat(&kept)? };
        Ok(ColumnarValue::Array(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, None)?)))
    }
}

/// `array_lower(array, dimension)`, `array_upper` and `array_length`: arrays here begin at 1.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bound {
    name: &'static str,
    signature: Signature,
}

impl Bound {
    fn new(name: &'static str) -> Self {
        Bound { name, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Bound {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [list @ (DataType::List(_) | DataType::Null), _] => Ok(vec![list.clone(), DataType::Int64]),
            _ => plan_err!("{} takes an array and a dimension", self.name),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let dimensions = args.args[1].to_array(args.number_rows)?;
        let dimensions = dimensions.as_primitive::<arrow::datatypes::Int64Type>();
        let upper = self.name != "array_lower";
        let Some(list) = array.as_list_opt::<i32>() else {
            return Ok(ColumnarValue::Array(Arc::new(Int32Array::new_null(array.len()))));
        };
        let bounds = (0..list.len()).map(|row| {
            let wanted = dimensions.is_valid(row).then(|| dimensions.value(row))?;
            let mut current: ArrayRef = if list.is_valid(row) { list.value(row) } else { return None };
            for _ in 1..wanted {
                let inner = current.as_list_opt::<i32>().filter(|inner| !inner.is_empty() && inner.is_valid(0))?;
                let first = inner.value(0);
                current = first;
            }
            (wanted >= 1 && !current.is_empty()).then(|| if upper { current.len() as i32 } else { 1 })
        });
        Ok(ColumnarValue::Array(Arc::new(bounds.collect::<Int32Array>())))
    }
}
