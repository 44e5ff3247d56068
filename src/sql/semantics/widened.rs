//! Comparisons of time stamps in nanoseconds with dates and time stamps in microseconds.
//!
//! Both sides are compared in nanoseconds; what is beyond them compares as a number before, or behind, all of them
//! ([`Beyond::Compares`]), so that every comparison is exact. A column in microseconds that is compared with a constant stays as it is,
//! and the constant is brought to microseconds instead: zone maps and indexes can answer.

use super::cast;
use crate::precision::{Beyond, in_nanos, is_instant, is_moment, to_nanos};
use crate::sqlstate::CANNOT_COERCE;
use crate::text::nanos;
use crate::types::{self, PgType};
use arrow::array::timezone::Tz;
use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::{Cast, InList, InSubquery, ScalarFunction};
use datafusion::logical_expr::{
    BinaryExpr, Case, ColumnarValue, Expr, ExprSchemable, Join, LogicalPlanBuilder, Operator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// The type two expressions are compared in, when they are time stamps of different precision.
fn common(left: &Expr, right: &Expr, schema: &DFSchema) -> Option<[PgType; 3]> {
    let (left, right) = (moment(left, schema)?, moment(right, schema)?);
    (left.is_nanos() != right.is_nanos()).then(|| [left, right, in_nanos(left, right)])
}

fn moment(expr: &Expr, schema: &DFSchema) -> Option<PgType> {
    let (_, field) = expr.to_field(schema).ok()?;
    Some(types::pg_type(&field)).filter(|pg| is_moment(*pg) && !field.data_type().is_null())
}

/// `left op right` in one precision; `None` when it is already.
pub(super) fn compared(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema, zone: Tz) -> Result<Option<Expr>> {
    let Some([left_type, right_type, wanted]) = common(left, right, schema) else {
        return Ok(local_and_instant(left, op, right, schema, zone));
    };
    let (wide_left, wide_right) =
        (widened(left.clone(), left_type, wanted, zone)?, widened(right.clone(), right_type, wanted, zone)?);
    let narrowed = narrowed(left, left_type, op, &wide_right).or_else(|| {
        let swapped = op.swap()?;
        narrowed(right, right_type, swapped, &wide_left)
    });
    Ok(Some(narrowed.unwrap_or_else(|| binary(wide_left, op, wide_right))))
}

/// A `timestamp_ns` beside a `timestamptz_ns` is local time of the session's zone.
fn local_and_instant(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema, zone: Tz) -> Option<Expr> {
    let (left_type, right_type) = (moment(left, schema)?, moment(right, schema)?);
    if !left_type.is_nanos() || is_instant(left_type) == is_instant(right_type) {
        return None;
    }
    let wide = |expr: &Expr, from| widened(expr.clone(), from, types::TIMESTAMPTZ_NS, zone).ok();
    Some(binary(wide(left, left_type)?, op, wide(right, right_type)?))
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// `expr` for comparisons in `to`.
fn widened(expr: Expr, from: PgType, to: PgType, zone: Tz) -> Result<Expr> {
    if from.oid == to.oid {
        return Ok(expr);
    }
    if let Expr::Literal(value, _) = &expr {
        let array = to_nanos(&value.to_array()?, from, to, zone, Beyond::Compares).map_err(external)?;
        return Ok(Expr::Literal(ScalarValue::try_from_array(&array, 0)?, None));
    }
    let volatility = if is_instant(from) == is_instant(to) { Volatility::Immutable } else { Volatility::Stable };
    let function = Widened { from, to, signature: Signature::any(1, volatility) };
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![expr])))
}

/// A value in microseconds compared with a constant in nanoseconds, in microseconds.
fn narrowed(value: &Expr, from: PgType, op: Operator, constant: &Expr) -> Option<Expr> {
    let Expr::Literal(ScalarValue::TimestampNanosecond(Some(constant), zone), _) = constant else { return None };
    let in_micros = from.oid == types::TIMESTAMP.oid || from.oid == types::TIMESTAMPTZ.oid;
    if !in_micros || is_instant(from) != zone.is_some() || matches!(value, Expr::Literal(..)) {
        return None;
    }
    let (micros, rest) = nanos::split(*constant);
    let op = match op {
        _ if rest == 0 => op,
        // The microsecond itself is before the constant.
        Operator::Lt | Operator::LtEq => Operator::LtEq,
        Operator::Gt | Operator::GtEq => Operator::Gt,
        _ => return None,
    };
    let constant = ScalarValue::TimestampMicrosecond(Some(micros), zone.clone());
    Some(binary(value.clone(), op, Expr::Literal(constant, None)))
}

/// `expr IN (…)` in one precision; whether anything changed.
pub(super) fn list(list: &mut InList, schema: &DFSchema, zone: Tz) -> Result<bool> {
    let InList { expr, list, .. } = list;
    unified(std::iter::once(expr.as_mut()).chain(list), schema, zone)
}

/// The operand of CASE and what it is compared with.
pub(super) fn case(case: &mut Case, schema: &DFSchema, zone: Tz) -> Result<bool> {
    let Some(operand) = &mut case.expr else { return Ok(false) };
    let whens = case.when_then_expr.iter_mut().map(|(when, _)| when.as_mut());
    unified(std::iter::once(operand.as_mut()).chain(whens), schema, zone)
}

/// Brings expressions that are compared with each other to nanoseconds if one of them is in nanoseconds and another is not.
fn unified<'a>(exprs: impl Iterator<Item = &'a mut Expr>, schema: &DFSchema, zone: Tz) -> Result<bool> {
    let exprs: Vec<&mut Expr> = exprs.collect();
    let moments: Vec<Option<PgType>> = exprs.iter().map(|expr| moment(expr, schema)).collect();
    let known = moments.iter().flatten();
    let Some(wanted) = known.clone().copied().filter(|pg| pg.is_nanos()).reduce(in_nanos) else { return Ok(false) };
    let wanted = known.copied().fold(wanted, in_nanos);
    let mut changed = false;
    for (expr, from) in exprs.into_iter().zip(moments) {
        if let Some(from) = from.filter(|from| from.oid != wanted.oid) {
            *expr = widened(std::mem::take(expr), from, wanted, zone)?;
            changed = true;
        }
    }
    Ok(changed)
}

/// `expr IN (SELECT …)` in one precision.
pub(super) fn subquery(subquery: &mut InSubquery, schema: &DFSchema, zone: Tz) -> Result<bool> {
    let plan = &subquery.subquery.subquery;
    let [(qualifier, field)] = plan.schema().iter().collect::<Vec<_>>()[..] else { return Ok(false) };
    let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
    let (Some(left), Some(right)) = (moment(&subquery.expr, schema), moment(&column, plan.schema())) else {
        return Ok(false);
    };
    if left.oid == right.oid || !(left.is_nanos() || right.is_nanos()) {
        return Ok(false);
    }
    let wanted = in_nanos(left, right);
    let name = field.name().clone();
    if right.oid != wanted.oid {
        let wide = widened(column, right, wanted, zone)?.alias(name);
        let plan = LogicalPlanBuilder::from(plan.as_ref().clone()).project([wide])?.build()?;
        subquery.subquery.subquery = Arc::new(plan);
    }
    *subquery.expr = widened(std::mem::take(subquery.expr.as_mut()), left, wanted, zone)?;
    Ok(true)
}

/// The columns of USING in one precision.
pub(super) fn join(join: &mut Join, zone: Tz) -> Result<()> {
    for (left, right) in &mut join.on {
        let (of_left, of_right) = (moment(left, join.left.schema()), moment(right, join.right.schema()));
        let (Some(of_left), Some(of_right)) = (of_left, of_right) else { continue };
        if of_left.oid != of_right.oid && (of_left.is_nanos() || of_right.is_nanos()) {
            let wanted = in_nanos(of_left, of_right);
            *left = widened(std::mem::take(left), of_left, wanted, zone)?;
            *right = widened(std::mem::take(right), of_right, wanted, zone)?;
        }
    }
    Ok(())
}

/// A cast that nobody wrote, made while types are coerced: to nanoseconds it fails beyond their range, and from them it is refused, for
/// it would lose digits. `None` for casts of anything else.
pub(super) fn implicit(made: &Cast, schema: &DFSchema, zone: Tz) -> Result<Option<Expr>> {
    let to = made.field.data_type();
    if !has_stamps(to) {
        return Ok(None);
    }
    let from = made.expr.get_type(schema)?;
    let (from_pg, to_pg) = (types::from_arrow(&from), types::from_arrow(to));
    let element = |pg: PgType| pg.element().unwrap_or(pg);
    if !is_moment(element(from_pg)) || element(from_pg).is_nanos() == element(to_pg).is_nanos() {
        return Ok(None);
    }
    if element(from_pg).is_nanos() {
        let (from, to) = (from_pg.base_name(), to_pg.base_name());
        let message = format!("{from} does not become {to} by itself, which would lose digits");
        let error = crate::Error::new(CANNOT_COERCE, message);
        return Err(external(error.with_hint(format!("Cast it to {to}, or all else to {from}."))));
    }
    cast::planned(&made.expr, from_pg, to_pg, zone).map_err(external)
}

/// Whether a type is one of dates and time stamps, or of arrays of them.
fn has_stamps(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(..) | DataType::Date32 => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            has_stamps(item.data_type())
        }
        _ => false,
    }
}

fn external(e: crate::Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

/// A date or time stamp as a number of nanoseconds that compares as it does.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Widened {
    from: PgType,
    to: PgType,
    signature: Signature,
}

impl ScalarUDFImpl for Widened {
    fn name(&self) -> &str {
        "in_nanoseconds"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.to.arrow_type().unwrap_or(DataType::Null))
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(ToString::to_string).collect())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zone = cast::zone(&args.config_options);
        let [value] = args.args.as_slice() else {
            return Err(DataFusionError::Internal("one value is widened".to_owned()));
        };
        let widen = |array| to_nanos(array, self.from, self.to, zone, Beyond::Compares).map_err(external);
        Ok(match value {
            ColumnarValue::Array(array) => ColumnarValue::Array(widen(array)?),
            ColumnarValue::Scalar(value) => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&widen(&value.to_array()?)?, 0)?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::datetime;
    use arrow::datatypes::{Field, Schema, TimeUnit};
    use datafusion::prelude::col;

    fn schema() -> DFSchema {
        let stamp = |name, unit| Field::new(name, DataType::Timestamp(unit, None), true);
        let fields = vec![stamp("us", TimeUnit::Microsecond), stamp("ns", TimeUnit::Nanosecond)];
        DFSchema::try_from(Schema::new(fields)).unwrap()
    }

    fn shown(left: Expr, op: Operator, right: Expr) -> String {
        let compared = compared(&left, op, &right, &schema(), datetime::utc()).unwrap();
        compared.map_or_else(|| "unchanged".to_owned(), |expr| expr.to_string())
    }

    fn micros(value: i64) -> Expr {
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(value), None), None)
    }

    fn nanos(value: i64) -> Expr {
        Expr::Literal(ScalarValue::TimestampNanosecond(Some(value), None), None)
    }

    #[test]
    fn columns_in_microseconds_stay_as_they_are() {
        assert_eq!(shown(col("us"), Operator::Lt, nanos(5_000)), "us < TimestampMicrosecond(5, None)");
        assert_eq!(shown(col("us"), Operator::Lt, nanos(5_001)), "us <= TimestampMicrosecond(5, None)");
        assert_eq!(shown(col("us"), Operator::GtEq, nanos(-1)), "us > TimestampMicrosecond(-1, None)");
        assert_eq!(shown(nanos(5_001), Operator::Lt, col("us")), "us > TimestampMicrosecond(5, None)");
        assert_eq!(shown(col("us"), Operator::Eq, nanos(5_000)), "us = TimestampMicrosecond(5, None)");
        assert_eq!(
            shown(col("us"), Operator::Eq, nanos(5_001)),
            "in_nanoseconds(us) = TimestampNanosecond(5001, None)"
        );
    }

    #[test]
    fn constants_take_the_precision_of_a_column_in_nanoseconds() {
        assert_eq!(shown(col("ns"), Operator::Lt, micros(5)), "ns < TimestampNanosecond(5000, None)");
        let beyond = shown(col("ns"), Operator::Lt, micros(i64::MAX / 10));
        assert_eq!(beyond, format!("ns < TimestampNanosecond({}, None)", i64::MAX));
        assert_eq!(shown(col("ns"), Operator::Lt, nanos(5)), "unchanged");
        assert_eq!(shown(col("us"), Operator::Lt, micros(5)), "unchanged");
    }
}
