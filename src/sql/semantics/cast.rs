//! CAST as PostgreSQL computes it: a function over [`crate::convert`].

use crate::convert::{self, Context};
use crate::error::{Error, Result};
use crate::precision::{is_instant, is_moment};
use crate::text::{ColumnBuilder, InputOptions, datetime, dimensions, nested_array};
use crate::types::{self, PgType, column_field};
use arrow::array::Array;
use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// What a cast of `expr` from `from` to `to` becomes; `None`: DataFusion's own does the same.
pub(super) fn planned(expr: &Expr, from: PgType, to: PgType, zone: Tz) -> Result<Option<Expr>> {
    if let Expr::Literal(value, _) = expr
        && let Some(literal) = literal(value, to, zone)?
    {
        return Ok(Some(literal));
    }
    if !convert::exists(from, to, Context::Explicit) {
        return Err(convert::cannot_cast(from, to));
    }
    if is_plain(from, to) {
        return Ok(None);
    }
    // Instants, and local times, become each other in every zone alike.
    let is_zoneless = is_moment(from) && is_moment(to) && is_instant(from) == is_instant(to);
    let volatility = if is_zoneless { Volatility::Immutable } else { Volatility::Stable };
    let function = ScalarUDF::new_from_impl(PgCast { from, to, signature: Signature::any(1, volatility) });
    Ok(Some(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), vec![expr.clone()]))))
}

/// A string literal (or NULL) as a literal of another type.
pub(super) fn literal(value: &ScalarValue, to: PgType, zone: Tz) -> Result<Option<Expr>> {
    let text = match value {
        ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => text.as_deref(),
        ScalarValue::Null => None,
        _ => return Ok(None),
    };
    // Explicit casts cut to the length, so the text is read without limit first.
    if let (Some(element), Some(text)) = (to.element(), text)
        && dimensions(text) > 1
    {
        let array = nested_array(element, text, InputOptions { zone })?;
        let metadata = types::metadata(to).map(FieldMetadata::from);
        return Ok(Some(Expr::Literal(ScalarValue::try_from_array(&array, 0)?, metadata)));
    }
    let read_as = if to.is_string() { types::TEXT } else { to };
    let mut array = ColumnBuilder::one(read_as, text, InputOptions { zone })?;
    if to.is_string() {
        array = convert::convert(&array, types::TEXT, to, Context::Explicit, zone)?;
    }
    let metadata = types::metadata(to).map(FieldMetadata::from);
    Ok(Some(Expr::Literal(ScalarValue::try_from_array(&array, 0)?, metadata)))
}

/// Casts that Arrow computes alike and that DataFusion can see through when it prunes.
fn is_plain(from: PgType, to: PgType) -> bool {
    let rank = |pg: PgType| match pg.oid {
        21 => Some(1),
        23 => Some(2),
        20 => Some(3),
        700 => Some(5),
        701 => Some(6),
        _ => None,
    };
    match (rank(from), rank(to)) {
        (Some(from), Some(to)) => return from <= to,
        _ if to.fraction_unit().is_some() && from != to => return false,
        _ if to.character_length().is_some() || to.oid == types::BPCHAR.oid => return false,
        _ => {}
    }
    if to.oid == types::NUMERIC.oid {
        // Widening integers to a bare numeric cannot fail.
        return to.modifier < 0 && matches!(from.oid, 20 | 21 | 23);
    }
    (from.is_string() && to.is_string())
        || (from.oid == types::DATE.oid && to.oid == types::TIMESTAMP.oid)
        || (from.oid == to.oid && from.element().is_none() && from.oid != types::JSON.oid)
}

/// The session's zone as the planner knows it.
pub(super) fn zone(options: &ConfigOptions) -> Tz {
    let name = options.execution.time_zone.as_deref().unwrap_or("UTC");
    datetime::zone(name).unwrap_or_else(|_| datetime::utc())
}

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PgCast {
    from: PgType,
    to: PgType,
    signature: Signature,
}

impl ScalarUDFImpl for PgCast {
    fn name(&self) -> &str {
        "cast"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(self.to.arrow_type().unwrap_or(DataType::Utf8View))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> datafusion::common::Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        let field: Field = column_field("cast", self.to, nullable).as_ref().clone();
        Ok(Arc::new(field))
    }

    fn display_name(&self, args: &[Expr]) -> datafusion::common::Result<String> {
        let shown: Vec<String> = args.iter().map(ToString::to_string).collect();
        Ok(format!("CAST({} AS {})", shown.join(", "), self.to.sql_name()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let zone = zone(&args.config_options);
        let [value] = args.args.as_slice() else {
            return Err(DataFusionError::Internal("a cast has one argument".to_owned()));
        };
        let cast = |array| {
            convert::convert(array, self.from, self.to, Context::Explicit, zone)
                .map_err(|e: Error| DataFusionError::External(Box::new(e)))
        };
        match value {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(cast(array)?)),
            ColumnarValue::Scalar(value) => {
                let array = cast(&value.to_array()?)?;
                debug_assert_eq!(array.len(), 1);
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
        }
    }
}
