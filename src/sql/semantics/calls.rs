//! Calls put in place: [`crate::functions::call`] bound to their arguments when a plan is analyzed, and aggregates that do
//! not exist for the type they are given refused.

use super::operators::resolve_in;
use crate::error::Error;
use crate::functions::call::{self, Body, Call};
use crate::types::{self, PgType};
use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF};
use std::sync::Arc;

fn external(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

/// What a call stands for.
pub(super) fn bind(function: ScalarFunction, schema: &DFSchema, zone: Tz) -> Result<Transformed<Expr>> {
    let ScalarFunction { func, mut args } = function;
    let unchanged = |func, args| Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })));
    if call::is_bound(&func) {
        return unchanged(func, args);
    }
    let given = || args.iter().map(|arg| argument_type(arg, schema)).collect::<Result<Vec<PgType>>>();
    let (family, inner) = match call::unresolved(&func) {
        Some(Call { family: None, name, .. }) => return Err(external(call::undefined(name, &given()?))),
        Some(Call { family: Some(family), inner, .. }) => (*family, inner.clone()),
        // The planner makes some calls by itself: SUBSTRING, TRIM, POSITION.
        None => match crate::functions::family(func.name()) {
            Some(family) => (family, Some(Arc::clone(&func))),
            None => return unchanged(func, args),
        },
    };
    let given = given()?;
    let overload = call::resolve(family.name, family.overloads, &given).map_err(external)?;
    for (place, (arg, given)) in args.iter_mut().zip(&given).enumerate() {
        if given.oid == types::UNKNOWN.oid {
            let open = std::mem::replace(arg, Expr::Literal(ScalarValue::Null, None));
            *arg = resolve_in(zone, open, overload.argument(place))?;
        }
    }
    let fields =
        args.iter().map(|arg| arg.to_field(schema).map(|(_, field)| field)).collect::<Result<Vec<FieldRef>>>()?;
    let constants: Vec<Option<&ScalarValue>> = args.iter().map(literal).collect();
    let bound = family.bind(&given, &fields, &constants).map_err(external)?.1;
    let Some(bound) = bound else {
        debug_assert!(matches!(overload.body, Body::DataFusion));
        let inner = inner.ok_or_else(|| external(call::undefined(family.name, &given)))?;
        return Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func: inner, args })));
    };
    if let Some(constants) = constants.into_iter().collect::<Option<Vec<_>>>()
        && let Some(value) = bound.constant(&constants, zone)
    {
        return Ok(Transformed::yes(value));
    }
    let func = Arc::new(ScalarUDF::new_from_impl(bound));
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })))
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    if let Expr::Literal(value, _) = expr { Some(value) } else { None }
}

/// The PostgreSQL type of an argument; `unknown` for literals of open type.
pub(super) fn argument_type(expr: &Expr, schema: &DFSchema) -> Result<PgType> {
    let (_, field) = expr.to_field(schema)?;
    Ok(call::type_of(&field, literal(expr)))
}

/// GREATEST or LEAST of constants: the number chosen keeps its own scale.
pub(super) fn extreme(func: &ScalarUDF, args: &[Expr]) -> Option<Expr> {
    let greatest = match func.name() {
        "greatest" => true,
        "least" => false,
        _ => return None,
    };
    let number = |expr: &Expr| {
        Some(match literal(expr)? {
            ScalarValue::Decimal128(digits, _, scale) => digits.map(|digits| (digits, *scale)),
            ScalarValue::Int32(value) => value.map(|value| (i128::from(value), 0)),
            ScalarValue::Int64(value) => value.map(|value| (i128::from(value), 0)),
            ScalarValue::Null => None,
            _ => return None,
        })
    };
    let decimal = |expr: &Expr| matches!(literal(expr), Some(ScalarValue::Decimal128(..)));
    if !args.iter().any(decimal) {
        return None;
    }
    let numbers: Vec<(i128, i8)> = args.iter().map(number).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    let scale = numbers.iter().map(|(_, scale)| *scale).max()?;
    let aligned = numbers
        .iter()
        .map(|(digits, from)| Some((crate::text::number::rescale(*digits, *from, scale)?, (*digits, *from))))
        .collect::<Option<Vec<_>>>()?;
    let by_value = |(value, _): &(i128, (i128, i8))| *value;
    let chosen = if greatest {
        aligned.iter().rev().max_by_key(|pair| by_value(pair))
    } else {
        aligned.iter().min_by_key(|pair| by_value(pair))
    };
    let (digits, scale) = chosen?.1;
    Some(Expr::Literal(ScalarValue::Decimal128(Some(digits), 38, scale), None))
}

/// Refuses an aggregate of one argument that does not exist for its type (42883).
pub(super) fn check_aggregate(name: &str, args: &[Expr], schema: &DFSchema) -> Result<()> {
    let [arg] = args else { return Ok(()) };
    if !matches!(
        name,
        "sum" | "avg" | "min" | "max" | "bool_and" | "bool_or" | "stddev" | "stddev_pop" | "var_samp" | "var_pop"
    ) {
        return Ok(());
    }
    let (_, field) = arg.to_field(schema)?;
    if field.data_type() == &DataType::Null {
        return Ok(());
    }
    let given = types::pg_type(&field);
    let number = matches!(given.oid, 20 | 21 | 23 | 700 | 701 | 1700 | 1186);
    let exists = match name {
        "sum" | "avg" => number,
        "bool_and" | "bool_or" => given.oid == types::BOOL.oid,
        "min" | "max" => !matches!(given.oid, 16 | 17 | 114 | 2950 | 3802),
        _ => number && given.oid != types::INTERVAL.oid,
    };
    // Literals of open type are left to DataFusion.
    if !exists && !matches!(arg, Expr::Literal(ScalarValue::Utf8(_), _)) {
        return Err(external(call::undefined(name, &[given])));
    }
    Ok(())
}
