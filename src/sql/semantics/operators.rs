//! Binary operators: literals of open type take the type of the other side, and operators that do not exist are refused.

use super::{arrays, cast, moments};
use crate::error::Error;
use crate::functions::call;
use crate::precision::{is_instant, is_moment};
use crate::sqlstate::{AMBIGUOUS_FUNCTION, DATATYPE_MISMATCH};
use crate::text::datetime;
use crate::types::{self, PgType};
use crate::{convert, functions};
use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int32Array, IntervalMonthDayNanoArray};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use std::sync::Arc;

/// Plans operators as PostgreSQL resolves them.
#[derive(Debug)]
pub(super) struct PostgresOperators;

impl ExprPlanner for PostgresOperators {
    fn plan_binary_op(&self, mut raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if matches!(raw.op, BinaryOperator::And | BinaryOperator::Or) {
            check_boolean(&raw, schema)?;
            return Ok(PlannerResult::Original(raw));
        }
        if let Some(name) = operator_function(&raw.op) {
            return call_of(name, raw, schema);
        }
        if let Some(operator) = json_operator(&raw.op) {
            return json_access(operator, raw, schema);
        }
        let between_arrays = is_comparison(&raw.op)
            || matches!(raw.op, BinaryOperator::AtArrow | BinaryOperator::ArrowAt | BinaryOperator::PGOverlap);
        let known = between_arrays || is_arithmetic(&raw.op) || raw.op == BinaryOperator::StringConcat;
        if !known {
            return Ok(PlannerResult::Original(raw));
        }
        let (Some(mut left), Some(mut right)) = (operand(&raw.left, schema), operand(&raw.right, schema)) else {
            return Ok(PlannerResult::Original(raw));
        };
        let is_json = |operand: &Operand| operand.pg.oid == types::JSONB.oid;
        if (is_json(&left) && (is_json(&right) || right.open)) || (is_json(&right) && left.open) {
            match raw.op {
                BinaryOperator::AtArrow => {
                    return Ok(PlannerResult::Planned(functions::jsonb_contains(raw.left, raw.right)));
                }
                BinaryOperator::ArrowAt => {
                    return Ok(PlannerResult::Planned(functions::jsonb_contains(raw.right, raw.left)));
                }
                _ => {}
            }
        }
        if raw.op == BinaryOperator::StringConcat {
            // A text beside an array is read as an array.
            match (left.open && !is_null(&raw.left), right.open && !is_null(&raw.right)) {
                (true, false) if right.pg.element().is_some() => raw.left = resolve(raw.left, right.pg, &raw.op)?,
                (false, true) if left.pg.element().is_some() => raw.right = resolve(raw.right, left.pg, &raw.op)?,
                _ => {}
            }
            check_concatenation(&raw, schema)?;
            return Ok(PlannerResult::Original(raw));
        }
        match (left.open, right.open) {
            (true, false) => {
                raw.left = resolve(raw.left, right.pg, &raw.op)?;
                left = operand(&raw.left, schema).unwrap_or(left);
            }
            (false, true) => {
                raw.right = resolve(raw.right, left.pg, &raw.op)?;
                right = operand(&raw.right, schema).unwrap_or(right);
            }
            (true, true) if is_arithmetic(&raw.op) => {
                let error =
                    Error::new(AMBIGUOUS_FUNCTION, format!("operator is not unique: unknown {} unknown", raw.op))
                        .with_hint(
                            "Could not choose a best candidate operator. You might need to add explicit type casts.",
                        );
                return Err(DataFusionError::External(Box::new(error)));
            }
            (true, true) | (false, false) => {}
        }
        if left.open || right.open {
            return Ok(PlannerResult::Original(raw));
        }
        if let Some(planned) = date_arithmetic(&raw, left.pg, right.pg) {
            return Ok(PlannerResult::Planned(planned));
        }
        if between_arrays && left.pg.element().is_some() && right.pg.element().is_some() {
            let RawBinaryExpr { left: a, right: b, .. } = raw;
            return match arrays::planned(&raw.op, a, b) {
                Some(planned) => Ok(PlannerResult::Planned(planned)),
                None => Err(DataFusionError::External(Box::new(no_operator(&raw.op, left.pg, right.pg)))),
            };
        }
        if !operator_exists(&raw.op, left.pg, right.pg) {
            return Err(DataFusionError::External(Box::new(no_operator(&raw.op, left.pg, right.pg))));
        }
        if is_comparison(&raw.op) && left.pg.oid == types::INTERVAL.oid && right.pg.oid == types::INTERVAL.oid {
            raw.left = interval_length(raw.left);
            raw.right = interval_length(raw.right);
        }
        Ok(PlannerResult::Original(raw))
    }

    fn plan_extract(&self, mut args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        // A field in quotes arrives with them.
        if let Some(Expr::Literal(ScalarValue::Utf8(Some(name)), _)) = args.first_mut() {
            *name = name.trim_matches('\'').to_owned();
        }
        let function = Arc::new(functions::extract::extract());
        Ok(PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(function, args))))
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

/// What an interval is compared by.
pub(super) fn interval_length(expr: Expr) -> Expr {
    let function = Arc::new(functions::extract::interval_length());
    Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![expr]))
}

fn json_operator(op: &BinaryOperator) -> Option<functions::JsonOperator> {
    Some(match op {
        BinaryOperator::Arrow => functions::JsonOperator::Get,
        BinaryOperator::LongArrow => functions::JsonOperator::GetText,
        BinaryOperator::HashArrow => functions::JsonOperator::GetPath,
        BinaryOperator::HashLongArrow => functions::JsonOperator::GetPathText,
        BinaryOperator::Question => functions::JsonOperator::HasKey,
        _ => return None,
    })
}

/// `json -> key` and its relatives.
fn json_access(
    operator: functions::JsonOperator,
    mut raw: RawBinaryExpr,
    schema: &DFSchema,
) -> Result<PlannerResult<RawBinaryExpr>> {
    use functions::JsonOperator;
    if let (Some(left), Some(right)) = (operand(&raw.left, schema), operand(&raw.right, schema))
        && !left.open
        && !matches!(left.pg.oid, 114 | 3802)
    {
        return Err(DataFusionError::External(Box::new(no_operator(&raw.op, left.pg, right.pg))));
    }
    if matches!(operator, JsonOperator::GetPath | JsonOperator::GetPathText)
        && let Some(path) = types::TEXT.array_of()
        && operand(&raw.right, schema).is_some_and(|right| right.open)
    {
        raw.right = resolve(raw.right, path, &raw.op)?;
    }
    Ok(PlannerResult::Planned(functions::json_access(operator, raw.left, raw.right)))
}

/// `||` joins a string with anything, arrays with arrays and elements, and values of a few other types with their like.
fn check_concatenation(raw: &RawBinaryExpr, schema: &DFSchema) -> Result<()> {
    let (Some(left), Some(right)) = (operand(&raw.left, schema), operand(&raw.right, schema)) else { return Ok(()) };
    let joins =
        |pg: PgType| pg.is_string() || pg.element().is_some() || matches!(pg.oid, 17 | 18 | 22 | 30 | 194 | 3802);
    if left.open || right.open || joins(left.pg) || joins(right.pg) {
        return Ok(());
    }
    Err(DataFusionError::External(Box::new(no_operator(&raw.op, left.pg, right.pg))))
}

/// The function of numbers an operator stands for.
fn operator_function(op: &BinaryOperator) -> Option<&'static str> {
    Some(match op {
        BinaryOperator::BitwiseAnd => "bitwise_and",
        BinaryOperator::BitwiseOr => "bitwise_or",
        BinaryOperator::PGBitwiseXor => "bitwise_xor",
        BinaryOperator::PGBitwiseShiftLeft => "shift_left",
        BinaryOperator::PGBitwiseShiftRight => "shift_right",
        BinaryOperator::PGExp => "power",
        _ => return None,
    })
}

/// An operator on numbers as a call; on anything else it is left to others.
fn call_of(name: &'static str, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
    let pg = |expr: &Expr| operand(expr, schema).map_or(types::UNKNOWN, |operand| operand.pg);
    let given = [pg(&raw.left), pg(&raw.right)];
    let numbers = given.iter().all(|pg| is_number(*pg) || pg.oid == types::UNKNOWN.oid);
    let Some(family) = functions::family(name).filter(|_| numbers) else { return Ok(PlannerResult::Original(raw)) };
    if call::resolve(name, family.overloads, &given).is_err() {
        return Err(DataFusionError::External(Box::new(no_operator(&raw.op, given[0], given[1]))));
    }
    let function = Arc::new(ScalarUDF::new_from_impl(call::Call::new(name, Some(family), None)));
    let call = ScalarFunction::new_udf(function, vec![raw.left, raw.right]);
    Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
}

struct Operand {
    pg: PgType,
    /// A string literal or NULL: its type is open.
    open: bool,
}

/// `None` when the type is not known yet (a parameter).
fn operand(expr: &Expr, schema: &DFSchema) -> Option<Operand> {
    if let Expr::Literal(value, None) = expr
        && is_open(value)
    {
        return Some(Operand { pg: types::UNKNOWN, open: true });
    }
    if let Expr::Literal(ScalarValue::Int64(Some(value)), _) = expr
        && i32::try_from(*value).is_ok()
    {
        // It is narrowed when the plan is analyzed.
        return Some(Operand { pg: types::INT4, open: false });
    }
    let (_, field) = expr.to_field(schema).ok()?;
    if field.data_type() == &DataType::Null {
        return None;
    }
    Some(Operand { pg: types::pg_type(&field), open: false })
}

/// Whether a literal has no type of its own.
pub(super) fn is_open(value: &ScalarValue) -> bool {
    matches!(value, ScalarValue::Utf8(_) | ScalarValue::Utf8View(_) | ScalarValue::Null)
}

/// A literal of open type as the type the other operand asks for.
pub(super) fn resolve(expr: Expr, other: PgType, op: &BinaryOperator) -> Result<Expr> {
    let Expr::Literal(value, _) = &expr else { return Ok(expr) };
    let wanted = match (op, other.oid) {
        (BinaryOperator::Plus, 1083 | 1186) => types::INTERVAL,
        (BinaryOperator::Plus, _) if is_moment(other) => types::INTERVAL,
        (BinaryOperator::Multiply | BinaryOperator::Divide, 1186) => types::FLOAT8,
        (_, oid) if oid == types::NUMERIC.oid => numeric_of(value),
        _ => other.with_modifier(-1),
    };
    if wanted.oid == types::BPCHAR.oid {
        return Ok(blank_trimmed(expr));
    }
    if wanted.is_string() || wanted.arrow_type().is_none() {
        return Ok(expr);
    }
    // The session's zone is not known here; only instants need it, and they are cast when the plan is analyzed.
    if is_instant(wanted) {
        return Ok(Expr::Cast(datafusion::logical_expr::expr::Cast::new_from_field(
            Box::new(expr.clone()),
            types::column_field("", wanted, true),
        )));
    }
    let literal = cast::literal(value, wanted, datetime::utc()).map_err(|e| DataFusionError::External(Box::new(e)))?;
    Ok(literal.unwrap_or(expr))
}

/// [`resolve`] where the session's zone is known and nothing looks for casts any more.
pub(super) fn resolve_in(zone: Tz, expr: Expr, other: PgType) -> Result<Expr> {
    let resolved = resolve(expr, other, &BinaryOperator::Eq)?;
    let Expr::Cast(cast) = &resolved else { return Ok(resolved) };
    let planned = cast::planned(&cast.expr, types::UNKNOWN, types::pg_type(&cast.field), zone);
    Ok(planned.map_err(|e| DataFusionError::External(Box::new(e)))?.unwrap_or(resolved))
}

/// Spaces at the end of a `character` do not count.
fn blank_trimmed(expr: Expr) -> Expr {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), metadata) => {
            Expr::Literal(ScalarValue::Utf8(Some(text.trim_end_matches(' ').to_owned())), metadata)
        }
        Expr::Literal(ScalarValue::Utf8View(Some(text)), metadata) => {
            Expr::Literal(ScalarValue::Utf8View(Some(text.trim_end_matches(' ').to_owned())), metadata)
        }
        other => other,
    }
}

/// A numeric type with as many decimals as the text has.
pub(super) fn numeric_of(value: &ScalarValue) -> PgType {
    let text = match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => text.trim(),
        _ => return types::NUMERIC,
    };
    if text.contains(['e', 'E']) {
        return types::NUMERIC;
    }
    let decimals = text.split_once('.').map_or(0, |(_, d)| d.len());
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    match (u8::try_from(digits.max(decimals).max(1)), i8::try_from(decimals)) {
        (Ok(precision), Ok(scale)) if precision <= 38 => PgType::numeric(precision, scale),
        _ => types::NUMERIC,
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

fn is_arithmetic(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo
    )
}

fn is_number(pg: PgType) -> bool {
    matches!(pg.oid, 20 | 21 | 23 | 700 | 701 | 1700)
}

fn is_object(pg: PgType) -> bool {
    matches!(pg.oid, 24 | 26 | 28 | 2205 | 2206 | 4089)
}

/// Whether values of two types can be compared.
pub(super) fn comparable(left: PgType, right: PgType) -> bool {
    let integer = |pg: PgType| matches!(pg.oid, 20 | 21 | 23);
    let span = |pg: PgType| matches!(pg.oid, 1083 | 1186);
    if left.oid == right.oid {
        return left.oid != types::JSON.oid;
    }
    (is_number(left) && is_number(right))
        || (left.is_string() && right.is_string())
        || (is_moment(left) && is_moment(right))
        || (span(left) && span(right))
        || (is_object(left) && (is_object(right) || integer(right)))
        || (integer(left) && is_object(right))
        || match (left.element(), right.element()) {
            (Some(left), Some(right)) => comparable(left, right),
            _ => false,
        }
        // System columns of types that exist for display only.
        || matches!(left.oid, 18 | 194)
        || matches!(right.oid, 18 | 194)
}

fn operator_exists(op: &BinaryOperator, left: PgType, right: PgType) -> bool {
    if is_comparison(op) {
        return comparable(left, right);
    }
    if is_number(left) && is_number(right) {
        return *op != BinaryOperator::Modulo || !matches!((left.oid, right.oid), (700 | 701, _) | (_, 700 | 701));
    }
    if is_object(left) || is_object(right) {
        return true;
    }
    let moment = |pg: PgType| is_moment(pg) || pg.oid == types::TIME.oid;
    let interval = |pg: PgType| pg.oid == types::INTERVAL.oid;
    match op {
        BinaryOperator::Plus => {
            (moment(left) && interval(right))
                || (interval(left) && (moment(right) || interval(right)))
                || (left.oid == types::DATE.oid && right.oid == types::TIME.oid)
        }
        BinaryOperator::Minus => {
            (moment(left) && (moment(right) || interval(right))) || (interval(left) && interval(right))
        }
        BinaryOperator::Multiply => (interval(left) && is_number(right)) || (is_number(left) && interval(right)),
        BinaryOperator::Divide => interval(left) && is_number(right),
        BinaryOperator::Modulo => false,
        _ => true,
    }
}

/// `operator does not exist: integer = text`.
pub(super) fn no_operator(op: &BinaryOperator, left: PgType, right: PgType) -> Error {
    convert::undefined_operator(&op.to_string(), left, right)
}

fn check_boolean(raw: &RawBinaryExpr, schema: &DFSchema) -> Result<()> {
    for side in [&raw.left, &raw.right] {
        if let Some(operand) = operand(side, schema)
            && !operand.open
            && operand.pg.oid != types::BOOL.oid
        {
            let message = format!("argument of {} must be type boolean, not type {}", raw.op, operand.pg.base_name());
            return Err(DataFusionError::External(Box::new(Error::new(DATATYPE_MISMATCH, message))));
        }
    }
    Ok(())
}

/// `date ± integer` and `date - date` count days.
fn date_arithmetic(raw: &RawBinaryExpr, left: PgType, right: PgType) -> Option<Expr> {
    let integer = |pg: PgType| matches!(pg.oid, 20 | 21 | 23);
    let date = |pg: PgType| pg.oid == types::DATE.oid;
    let (kind, args) = match raw.op {
        BinaryOperator::Plus if date(left) && integer(right) => (Days::Add, [&raw.left, &raw.right]),
        BinaryOperator::Plus if integer(left) && date(right) => (Days::Add, [&raw.right, &raw.left]),
        BinaryOperator::Minus if date(left) && integer(right) => (Days::Subtract, [&raw.left, &raw.right]),
        BinaryOperator::Minus if date(left) && date(right) => (Days::Between, [&raw.left, &raw.right]),
        _ => return interval_arithmetic(raw, left, right).or_else(|| moments::planned(raw, left, right)),
    };
    let function = DateArithmetic { kind, signature: Signature::any(2, Volatility::Immutable) };
    let function = Arc::new(ScalarUDF::new_from_impl(function));
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(function, args.into_iter().cloned().collect())))
}

/// `interval * number`, `number * interval`, `interval / number`.
fn interval_arithmetic(raw: &RawBinaryExpr, left: PgType, right: PgType) -> Option<Expr> {
    let interval = |pg: PgType| pg.oid == types::INTERVAL.oid;
    let (divide, args) = match raw.op {
        BinaryOperator::Multiply if interval(left) && is_number(right) => (false, [&raw.left, &raw.right]),
        BinaryOperator::Multiply if is_number(left) && interval(right) => (false, [&raw.right, &raw.left]),
        BinaryOperator::Divide if interval(left) && is_number(right) => (true, [&raw.left, &raw.right]),
        _ => return None,
    };
    let function = IntervalScale { divide, signature: Signature::any(2, Volatility::Immutable) };
    let function = Arc::new(ScalarUDF::new_from_impl(function));
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(function, args.into_iter().cloned().collect())))
}

/// An interval times (or divided by) a number; fractions of months become days of a month of 30, fractions of days time.
#[derive(Debug, PartialEq, Eq, Hash)]
struct IntervalScale {
    divide: bool,
    signature: Signature,
}

impl IntervalScale {
    fn scale(&self, value: IntervalMonthDayNano, factor: f64) -> Result<IntervalMonthDayNano> {
        let fail = |state, message: &str| DataFusionError::External(Box::new(Error::new(state, message)));
        let factor = match self.divide {
            true if factor == 0.0 => return Err(fail(crate::sqlstate::DIVISION_BY_ZERO, "division by zero")),
            true => 1.0 / factor,
            false => factor,
        };
        let months = f64::from(value.months) * factor;
        let days = f64::from(value.days) * factor;
        let days_of_months = (months.fract() * 30.0 * 1e6).round() / 1e6;
        let seconds = ((days.fract() + days_of_months.fract()) * 86_400.0 * 1e6).round() / 1e6;
        let micros = (value.nanoseconds as f64 / 1e3 * factor + seconds * 1e6).round();
        let whole_days = days.trunc() + days_of_months.trunc();
        let fits = |v: f64| v.abs() <= f64::from(i32::MAX);
        if !fits(months) || !fits(whole_days) || micros.abs() > i64::MAX as f64 / 1e3 {
            return Err(fail(crate::sqlstate::DATETIME_FIELD_OVERFLOW, "interval out of range"));
        }
        Ok(IntervalMonthDayNano::new(months.trunc() as i32, whole_days as i32, micros as i64 * 1000))
    }
}

impl ScalarUDFImpl for IntervalScale {
    fn name(&self) -> &str {
        if self.divide { "interval_div" } else { "interval_mul" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Interval(IntervalUnit::MonthDayNano))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let [intervals, factors] = args.args.as_slice() else {
            return Err(DataFusionError::Internal("interval arithmetic has two arguments".to_owned()));
        };
        let intervals = intervals.to_array(rows)?;
        let factors = arrow_cast(&factors.to_array(rows)?, &DataType::Float64)?;
        let pairs = intervals
            .as_primitive::<IntervalMonthDayNanoType>()
            .iter()
            .zip(factors.as_primitive::<Float64Type>().iter());
        let scaled = pairs.map(|(value, factor)| match (value, factor) {
            (Some(value), Some(factor)) => self.scale(value, factor).map(Some),
            _ => Ok(None),
        });
        let result: ArrayRef = Arc::new(scaled.collect::<Result<IntervalMonthDayNanoArray>>()?);
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(result)
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Days {
    Add,
    Subtract,
    Between,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateArithmetic {
    kind: Days,
    signature: Signature,
}

impl DateArithmetic {
    fn compute(&self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        let out_of_range = || {
            let error = Error::new(crate::sqlstate::DATETIME_FIELD_OVERFLOW, "date out of range");
            DataFusionError::External(Box::new(error))
        };
        let dates = left.as_primitive::<Date32Type>();
        if self.kind == Days::Between {
            let others = right.as_primitive::<Date32Type>();
            let days = dates.iter().zip(others.iter()).map(|(a, b)| Some(i64::from(a?) - i64::from(b?)));
            let days: Vec<Option<i32>> =
                days.map(|d| d.map(i32::try_from).transpose().map_err(|_| out_of_range())).collect::<Result<_>>()?;
            return Ok(Arc::new(Int32Array::from(days)));
        }
        let counts = arrow_cast(right, &DataType::Int64)?;
        let sign = if self.kind == Days::Add { 1 } else { -1 };
        let moved = dates.iter().zip(counts.as_primitive::<Int64Type>().iter()).map(|(date, days)| {
            let (Some(date), Some(days)) = (date, days) else { return Ok(None) };
            let moved = days.checked_mul(sign).and_then(|d| d.checked_add(i64::from(date)));
            moved.and_then(|m| i32::try_from(m).ok()).map(Some).ok_or_else(out_of_range)
        });
        Ok(Arc::new(moved.collect::<Result<Date32Array>>()?))
    }
}

impl ScalarUDFImpl for DateArithmetic {
    fn name(&self) -> &str {
        match self.kind {
            Days::Add => "date_plus_days",
            Days::Subtract => "date_minus_days",
            Days::Between => "days_between",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(if self.kind == Days::Between { DataType::Int32 } else { DataType::Date32 })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let [left, right] = args.args.as_slice() else {
            return Err(DataFusionError::Internal("date arithmetic has two arguments".to_owned()));
        };
        let result = self.compute(&left.to_array(rows)?, &right.to_array(rows)?)?;
        debug_assert_eq!(result.len(), rows);
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(result)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_between_dates() {
        let function = DateArithmetic { kind: Days::Between, signature: Signature::any(2, Volatility::Immutable) };
        let left: ArrayRef = Arc::new(Date32Array::from(vec![Some(10), None]));
        let right: ArrayRef = Arc::new(Date32Array::from(vec![3, 3]));
        let days = function.compute(&left, &right).unwrap();
        assert_eq!(days.as_primitive::<arrow::datatypes::Int32Type>().iter().collect::<Vec<_>>(), [Some(7), None]);
    }

    #[test]
    fn intervals_scale_with_their_fractions() {
        let by = |divide, value, factor| {
            IntervalScale { divide, signature: Signature::any(2, Volatility::Immutable) }.scale(value, factor).unwrap()
        };
        let month = IntervalMonthDayNano::new(1, 0, 0);
        assert_eq!(by(false, month, 1.5), IntervalMonthDayNano::new(1, 15, 0));
        let day = IntervalMonthDayNano::new(0, 1, 0);
        assert_eq!(by(true, day, 2.0), IntervalMonthDayNano::new(0, 0, 43_200_000_000_000));
        assert_eq!(by(false, day, -2.0), IntervalMonthDayNano::new(0, -2, 0));
    }

    #[test]
    fn operators_exist_as_in_postgresql() {
        assert!(!operator_exists(&BinaryOperator::Eq, types::INT4, types::TEXT));
        assert!(operator_exists(&BinaryOperator::Eq, types::VARCHAR, types::TEXT));
        assert!(operator_exists(&BinaryOperator::Lt, types::DATE, types::TIMESTAMPTZ));
        assert!(!operator_exists(&BinaryOperator::Plus, types::BOOL, types::INT4));
        assert!(!operator_exists(&BinaryOperator::Eq, types::JSON, types::JSON));
    }
}
