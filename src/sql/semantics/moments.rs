//! Arithmetic of points in time: `date ± interval` and `timestamp[tz][_ns] ± interval`, and their differences.
//!
//! Months and days are counted on the calendar of the session's zone, in that order, with the day cut to the month's length;
//! the rest is a length of time. A `date` becomes a `timestamp`. Differences are in days and time, and keep nanoseconds, which intervals
//! do not show.

use super::cast;
use crate::error::Error;
use crate::precision::is_instant;
use crate::sqlstate::DATETIME_FIELD_OVERFLOW;
use crate::text::calendar::{Civil, MICROS_PER_DAY};
use crate::text::{datetime, nanos};
use crate::types::{self, PgType, column_field};
use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{
    DataType, Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::planner::RawBinaryExpr;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use std::sync::Arc;

/// The expression for an operator over these types, when it is one of these.
pub(super) fn planned(raw: &RawBinaryExpr, left: PgType, right: PgType) -> Option<Expr> {
    let interval = |pg: PgType| pg.oid == types::INTERVAL.oid;
    let sign = match raw.op {
        BinaryOperator::Plus => Sign::Plus,
        BinaryOperator::Minus => Sign::Minus,
        _ => return None,
    };
    match (Base::of(left), Base::of(right)) {
        (Some(base), None) if interval(right) => Some(shift(base, sign, &raw.left, &raw.right)),
        (None, Some(base)) if interval(left) && sign == Sign::Plus => Some(shift(base, sign, &raw.right, &raw.left)),
        (Some(left), Some(right)) if sign == Sign::Minus => {
            let instants = left.is_instant() || right.is_instant();
            let args = vec![left.compared(&raw.left, instants), right.compared(&raw.right, instants)];
            let function = Difference { signature: Signature::any(2, Volatility::Immutable) };
            Some(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), args)))
        }
        _ => None,
    }
}

fn shift(base: Base, sign: Sign, moment: &Expr, interval: &Expr) -> Expr {
    let volatility = if base.is_instant() { Volatility::Stable } else { Volatility::Immutable };
    let function = Shift { base, sign, signature: Signature::any(2, volatility) };
    let args = vec![moment.clone(), interval.clone()];
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), args))
}

/// `date '…' ± interval '…'` of literals as the literal it is, so that comparisons with it can be narrowed.
pub(super) fn folded(function: &ScalarFunction) -> Result<Option<Expr>> {
    let Some(shift) = function.func.inner().downcast_ref::<Shift>() else { return Ok(None) };
    let [Expr::Literal(moment, _), Expr::Literal(ScalarValue::IntervalMonthDayNano(interval), _)] =
        function.args.as_slice()
    else {
        return Ok(None);
    };
    let value = match (shift.base, moment) {
        (Base::Date, ScalarValue::Date32(days)) => days.map(|days| i64::from(days) * MICROS_PER_DAY),
        (Base::Timestamp, ScalarValue::TimestampMicrosecond(micros, None)) => *micros,
        (Base::TimestampNs, ScalarValue::TimestampNanosecond(nanos, None)) => *nanos,
        _ => return Ok(None),
    };
    let shifted = match (value, interval) {
        (Some(value), Some(interval)) => Some(shift.apply(value, *interval, datetime::utc())?),
        _ => None,
    };
    let shifted = match shift.base {
        Base::TimestampNs => ScalarValue::TimestampNanosecond(shifted, None),
        _ => ScalarValue::TimestampMicrosecond(shifted, None),
    };
    Ok(Some(Expr::Literal(shifted, None)))
}

/// `date op timestamp` with a literal `timestamp` as a comparison of dates: stored dates stay as they are, and zone maps and
/// indexes can answer. `None` when it is not that.
pub(super) fn narrowed(left: &Expr, op: Operator, right: &Expr, left_type: &DataType) -> Option<Expr> {
    let (value, per_day) = match right {
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(micros), None), _) => (*micros, MICROS_PER_DAY),
        Expr::Literal(ScalarValue::TimestampNanosecond(Some(nanos), None), _) => (*nanos, nanos::PER_DAY),
        _ => return None,
    };
    if *left_type != DataType::Date32 {
        return None;
    }
    let day = i32::try_from(value.div_euclid(per_day)).ok()?;
    let midnight = value.rem_euclid(per_day) == 0;
    let op = match op {
        Operator::Eq | Operator::NotEq if midnight => op,
        Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq if midnight => op,
        // The day of a later hour is itself before that hour.
        Operator::Lt | Operator::LtEq => Operator::LtEq,
        Operator::Gt | Operator::GtEq => Operator::Gt,
        _ => return None,
    };
    let day = Expr::Literal(ScalarValue::Date32(Some(day)), None);
    Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left.clone()), op, Box::new(day))))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Base {
    Date,
    Timestamp,
    Timestamptz,
    TimestampNs,
    TimestamptzNs,
}

impl Base {
    fn of(pg: PgType) -> Option<Base> {
        match pg.oid {
            oid if oid == types::DATE.oid => Some(Base::Date),
            oid if oid == types::TIMESTAMP.oid => Some(Base::Timestamp),
            oid if oid == types::TIMESTAMPTZ.oid => Some(Base::Timestamptz),
            oid if oid == types::TIMESTAMP_NS.oid => Some(Base::TimestampNs),
            oid if oid == types::TIMESTAMPTZ_NS.oid => Some(Base::TimestamptzNs),
            _ => None,
        }
    }

    fn is_instant(self) -> bool {
        is_instant(self.pg_type())
    }

    fn is_nanos(self) -> bool {
        self.pg_type().is_nanos()
    }

    fn pg_type(self) -> PgType {
        match self {
            Base::Date => types::DATE,
            Base::Timestamp => types::TIMESTAMP,
            Base::Timestamptz => types::TIMESTAMPTZ,
            Base::TimestampNs => types::TIMESTAMP_NS,
            Base::TimestamptzNs => types::TIMESTAMPTZ_NS,
        }
    }

    /// An operand of a difference: local time becomes an instant beside one, a date a time stamp.
    fn compared(self, expr: &Expr, instants: bool) -> Expr {
        let wanted = match (instants, self.is_nanos()) {
            (true, true) => types::TIMESTAMPTZ_NS,
            (true, false) => types::TIMESTAMPTZ,
            (false, true) => types::TIMESTAMP_NS,
            (false, false) => types::TIMESTAMP,
        };
        if wanted == self.pg_type() {
            return expr.clone();
        }
        Expr::Cast(Cast::new_from_field(Box::new(expr.clone()), column_field("", wanted, true)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sign {
    Plus,
    Minus,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Shift {
    base: Base,
    sign: Sign,
    signature: Signature,
}

fn out_of_range() -> DataFusionError {
    DataFusionError::External(Box::new(Error::new(DATETIME_FIELD_OVERFLOW, "timestamp out of range")))
}

/// Calendar months and days later.
fn plus_calendar(micros: i64, months: i64, days: i64) -> Option<i64> {
    let (mut day, time) = (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY));
    if months != 0 {
        day = Civil::of_days(day).plus_months(months).days();
    }
    day.checked_add(days)?.checked_mul(MICROS_PER_DAY)?.checked_add(time)
}

impl Shift {
    /// A value of the base, micro- or nanoseconds, so much later or earlier.
    fn apply(&self, value: i64, interval: IntervalMonthDayNano, zone: Tz) -> Result<i64> {
        let sign = if self.sign == Sign::Plus { 1 } else { -1 };
        let (months, days) = (i64::from(interval.months) * sign, i64::from(interval.days) * sign);
        if self.base.is_nanos() {
            let (micros, rest) = nanos::split(value);
            let moved = self.on_calendar(micros, months, days, zone).map(|micros| {
                let whole = i128::from(micros) * i128::from(nanos::PER_MICRO) + i128::from(rest);
                whole + i128::from(interval.nanoseconds) * i128::from(sign)
            });
            let moved = moved.and_then(nanos::checked);
            return moved.ok_or_else(|| DataFusionError::External(Box::new(nanos::out_of_range())));
        }
        let time = interval.nanoseconds / 1000 * sign;
        let moved = self.on_calendar(value, months, days, zone);
        moved.and_then(|micros| micros.checked_add(time)).ok_or_else(out_of_range)
    }

    /// Microseconds so many months and days later.
    fn on_calendar(&self, micros: i64, months: i64, days: i64, zone: Tz) -> Option<i64> {
        match (months, days) {
            (0, 0) => Some(micros),
            _ if self.base.is_instant() => {
                datetime::to_utc(plus_calendar(datetime::to_local(micros, zone), months, days)?, zone)
            }
            _ => plus_calendar(micros, months, days),
        }
    }

    fn result_type(&self) -> DataType {
        let unit = if self.base.is_nanos() { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
        DataType::Timestamp(unit, self.base.is_instant().then(|| "UTC".into()))
    }
}

/// An argument's array, and whether its one value stands for all rows.
fn values(argument: &ColumnarValue) -> Result<(ArrayRef, bool)> {
    Ok(match argument {
        ColumnarValue::Array(array) => (Arc::clone(array), false),
        ColumnarValue::Scalar(value) => (value.to_array()?, true),
    })
}

impl ScalarUDFImpl for Shift {
    fn name(&self) -> &str {
        if self.sign == Sign::Plus { "+" } else { "-" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result_type())
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        display(args, self.name())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zone = cast::zone(&args.config_options);
        let [moments, intervals] = args.args.as_slice() else { return Err(two_operands()) };
        let ((moments, one_moment), (intervals, one_interval)) = (values(moments)?, values(intervals)?);
        let constant = one_moment && one_interval;
        let rows = if constant { 1 } else { args.number_rows };
        let intervals = arrow_cast(&intervals, &DataType::Interval(IntervalUnit::MonthDayNano))?;
        let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
        let values: Int64Array = match self.base {
            Base::Date => {
                let days = arrow_cast(&moments, &DataType::Int32)?;
                days.as_primitive::<Int32Type>().unary(|days| i64::from(days) * MICROS_PER_DAY)
            }
            _ => {
                let moments = arrow_cast(&moments, &self.result_type())?;
                arrow_cast(&moments, &DataType::Int64)?.as_primitive::<Int64Type>().clone()
            }
        };
        let shifted = (0..rows).map(|row| {
            let (moment, interval) = (if one_moment { 0 } else { row }, if one_interval { 0 } else { row });
            if values.is_null(moment) || intervals.is_null(interval) {
                return Ok(None);
            }
            self.apply(values.value(moment), intervals.value(interval), zone).map(Some)
        });
        let zone_name = self.base.is_instant().then_some("UTC");
        let shifted: ArrayRef = if self.base.is_nanos() {
            Arc::new(shifted.collect::<Result<TimestampNanosecondArray>>()?.with_timezone_opt(zone_name))
        } else {
            Arc::new(shifted.collect::<Result<TimestampMicrosecondArray>>()?.with_timezone_opt(zone_name))
        };
        result(shifted, constant)
    }
}

/// `timestamp - timestamp`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Difference {
    signature: Signature,
}

impl ScalarUDFImpl for Difference {
    fn name(&self) -> &str {
        "-"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Interval(IntervalUnit::MonthDayNano))
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        display(args, self.name())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else { return Err(two_operands()) };
        let ((left, one_left), (right, one_right)) = (values(left)?, values(right)?);
        let constant = one_left && one_right;
        let rows = if constant { 1 } else { args.number_rows };
        let (left, right) = (Stamps::of(&left)?, Stamps::of(&right)?);
        let differences = (0..rows).map(|row| {
            let (a, b) = (if one_left { 0 } else { row }, if one_right { 0 } else { row });
            let (Some(left), Some(right)) = (left.nanos(a), right.nanos(b)) else { return Ok(None) };
            let (nanos, per_day) = (left - right, i128::from(nanos::PER_DAY));
            let days = i32::try_from(nanos / per_day).map_err(|_| interval_out_of_range())?;
            Ok(Some(IntervalMonthDayNano::new(0, days, (nanos % per_day) as i64)))
        });
        result(Arc::new(differences.collect::<Result<IntervalMonthDayNanoArray>>()?), constant)
    }
}

/// A column of time stamps of either precision.
struct Stamps {
    values: Int64Array,
    /// Nanoseconds of one step.
    step: i128,
}

impl Stamps {
    fn of(array: &ArrayRef) -> Result<Stamps> {
        let (array, step) = match array.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => (Arc::clone(array), 1),
            DataType::Timestamp(_, zone) => {
                (arrow_cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?, 1000)
            }
            _ => (arrow_cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?, 1000),
        };
        let values = arrow_cast(&array, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
        Ok(Stamps { values, step })
    }

    fn nanos(&self, row: usize) -> Option<i128> {
        self.values.is_valid(row).then(|| i128::from(self.values.value(row)) * self.step)
    }
}

fn interval_out_of_range() -> DataFusionError {
    DataFusionError::External(Box::new(Error::new(DATETIME_FIELD_OVERFLOW, "interval out of range")))
}

fn two_operands() -> DataFusionError {
    DataFusionError::Internal("an operator has two operands".to_owned())
}

fn display(args: &[Expr], op: &str) -> Result<String> {
    match args {
        [left, right] => Ok(format!("{left} {op} {right}")),
        _ => Err(two_operands()),
    }
}

fn result(array: ArrayRef, constant: bool) -> Result<ColumnarValue> {
    Ok(if constant {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
    } else {
        ColumnarValue::Array(array)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(base: Base, sign: Sign, text: &str, interval: &str, zone: &str) -> i64 {
        let micros = datetime::timestamptz(text, datetime::zone("UTC").unwrap()).unwrap();
        let interval = crate::text::interval::interval(interval).unwrap();
        Shift { base, sign, signature: Signature::any(2, Volatility::Immutable) }
            .apply(micros, interval, datetime::zone(zone).unwrap())
            .unwrap()
    }

    fn at(text: &str) -> i64 {
        datetime::timestamptz(text, datetime::zone("UTC").unwrap()).unwrap()
    }

    #[test]
    fn months_are_cut_to_their_length() {
        let moved = |sign, text, interval| apply(Base::Timestamp, sign, text, interval, "UTC");
        assert_eq!(moved(Sign::Plus, "2024-01-31 00:00", "1 month"), at("2024-02-29 00:00"));
        assert_eq!(moved(Sign::Minus, "2024-03-31 00:00", "1 month"), at("2024-02-29 00:00"));
        assert_eq!(moved(Sign::Plus, "2024-03-31 00:00", "1 mon -1 days"), at("2024-04-29 00:00"));
    }

    #[test]
    fn days_of_instants_are_the_zones() {
        // Berlin's clocks went forward in the night of March 31st, 2024.
        let moved = |interval| apply(Base::Timestamptz, Sign::Plus, "2024-03-30 11:00+00", interval, "Europe/Berlin");
        assert_eq!(moved("1 day"), at("2024-03-31 10:00"));
        assert_eq!(moved("24 hours"), at("2024-03-31 11:00"));
    }

    #[test]
    fn nanoseconds_are_kept() {
        let nanos = |text: &str| datetime::timestamp_ns(text).unwrap();
        let moved = |base, text: &str, interval: IntervalMonthDayNano| {
            Shift { base, sign: Sign::Plus, signature: Signature::any(2, Volatility::Immutable) }.apply(
                nanos(text),
                interval,
                datetime::zone("Europe/Berlin").unwrap(),
            )
        };
        let month = IntervalMonthDayNano::new(1, 0, 1);
        let shifted = moved(Base::TimestampNs, "1969-12-31 23:59:59.999999999", month).unwrap();
        assert_eq!(shifted, nanos("1970-02-01 00:00:00"));
        let day = IntervalMonthDayNano::new(0, 1, 0);
        let shifted = moved(Base::TimestamptzNs, "2024-03-30 11:00:00.000000001", day).unwrap();
        assert_eq!(shifted, nanos("2024-03-31 10:00:00.000000001"));
        let beyond = moved(Base::TimestampNs, "2262-04-11 00:00", day).unwrap_err();
        assert_eq!(Error::from(beyond).state().0, "22008");
    }

    #[test]
    fn comparisons_with_dates_stay_dates() {
        let column = datafusion::prelude::col("d");
        let literal = |micros| Expr::Literal(ScalarValue::TimestampMicrosecond(Some(micros), None), None);
        let shown = |op, micros| {
            narrowed(&column, op, &literal(micros), &DataType::Date32).map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(shown(Operator::Lt, MICROS_PER_DAY), "d < Date32(\"1970-01-02\")");
        assert_eq!(shown(Operator::Lt, MICROS_PER_DAY + 1), "d <= Date32(\"1970-01-02\")");
        assert_eq!(shown(Operator::GtEq, MICROS_PER_DAY + 1), "d > Date32(\"1970-01-02\")");
        assert_eq!(shown(Operator::Eq, MICROS_PER_DAY + 1), "");
    }
}
