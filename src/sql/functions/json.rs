//! `json_build_object` and `json_build_array`: JSON text made of SQL values.

use crate::types;
use arrow::array::{Array, ArrayRef, StringViewBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// The functions of this module.
pub(super) fn functions() -> Vec<ScalarUDF> {
    let build = |name, kind, pg| {
        let signature = Signature::one_of(
            vec![
                datafusion::logical_expr::TypeSignature::VariadicAny,
                datafusion::logical_expr::TypeSignature::Nullary,
            ],
            Volatility::Immutable,
        );
        ScalarUDF::new_from_impl(Build { name, kind, pg, signature })
    };
    vec![
        build("json_build_object", Kind::Object, types::JSON),
        build("jsonb_build_object", Kind::Object, types::JSONB),
        build("json_build_array", Kind::Array, types::JSON),
        build("jsonb_build_array", Kind::Array, types::JSONB),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Object,
    Array,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Build {
    name: &'static str,
    kind: Kind,
    pg: types::PgType,
    signature: Signature,
}

impl ScalarUDFImpl for Build {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        if self.kind == Kind::Object && given.len() % 2 == 1 {
            return plan_err!("argument list must have even number of elements");
        }
        Ok(DataType::Utf8View)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let given: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let data_type = self.return_type(&given)?;
        let field = types::arrow_field(self.name, self.pg, false);
        Ok(Arc::new(field.unwrap_or_else(|| Field::new(self.name, data_type, false))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays =
            args.args.iter().map(|argument| argument.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let options = FormatOptions::default();
        let values = arrays
            .iter()
            .zip(&args.arg_fields)
            .map(|(array, field)| Values::new(array, field, &options))
            .collect::<Result<Vec<_>>>()?;
        let mut builder = StringViewBuilder::new();
        for row in 0..args.number_rows {
            builder.append_value(self.row(&values, row));
        }
        Ok(ColumnarValue::Array(Arc::new(builder.finish())))
    }
}

impl Build {
    fn row(&self, values: &[Values], row: usize) -> String {
        match self.kind {
            Kind::Array => format!("[{}]", values.iter().map(|value| value.json(row)).collect::<Vec<_>>().join(", ")),
            Kind::Object => {
                let pairs = values.chunks(2).map(|pair| match pair {
                    [key, value] => format!("{} : {}", quoted(&key.text(row)), value.json(row)),
                    _ => String::new(),
                });
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// One argument.
struct Values<'a> {
    array: &'a ArrayRef,
    formatter: ArrayFormatter<'a>,
    /// Written as it is: numbers, truth values, JSON.
    bare: bool,
}

impl<'a> Values<'a> {
    fn new(array: &'a ArrayRef, field: &Field, options: &FormatOptions<'a>) -> Result<Values<'a>> {
        let data_type = array.data_type();
        let is_json = matches!(types::pg_type(field).oid, 114 | 3802);
        let bare = data_type.is_numeric() || *data_type == DataType::Boolean || is_json;
        Ok(Values { array, formatter: ArrayFormatter::try_new(array.as_ref(), options)?, bare })
    }

    fn text(&self, row: usize) -> String {
        self.formatter.value(row).to_string()
    }

    fn json(&self, row: usize) -> String {
        if self.array.is_null(row) {
            "null".to_owned()
        } else if self.bare {
            self.text(row)
        } else {
            quoted(&self.text(row))
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}
