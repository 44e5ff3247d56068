//! Arithmetic of points in time: `date ± interval` and `timestamp[tz] ± interval`, and their differences.
//!
//! Months and days are counted on the calendar of the session's zone, in that order, with the day cut to the month's length;
//! the rest is a length of time. A `date` becomes a `timestamp`. Differences are in days and time.

use super::cast;
use crate::error::Error;
use crate::sqlstate::DATETIME_FIELD_OVERFLOW;
use crate::text::calendar::{Civil, MICROS_PER_DAY};
use crate::text::datetime;
use crate::types::{self, PgType, column_field};
use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, IntervalMonthDayNanoArray, TimestampMicrosecondArray};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{
    DataType, Date32Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    TimestampMicrosecondType,
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
            let wide = if left == Base::Timestamptz || right == Base::Timestamptz {
                types::TIMESTAMPTZ
            } else {
                types::TIMESTAMP
            };
            let widened = |expr: &Expr, base: Base| {
                if Some(base) == Base::of(wide) {
                    return expr.clone();
                }
                Expr::Cast(Cast::new_from_field(Box::new(expr.clone()), column_field("", wide, true)))
            };
            let args = vec![widened(&raw.left, left), widened(&raw.right, right)];
            let function = Difference { signature: Signature::any(2, Volatility::Immutable) };
            Some(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), args)))
        }
        _ => None,
    }
}

fn shift(base: Base, sign: Sign, moment: &Expr, interval: &Expr) -> Expr {
    let volatility = if base == Base::Timestamptz { Volatility::Stable } else { Volatility::Immutable };
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
    let micros = match (shift.base, moment) {
        (Base::Date, ScalarValue::Date32(days)) => days.map(|days| i64::from(days) * MICROS_PER_DAY),
        (Base::Timestamp, ScalarValue::TimestampMicrosecond(micros, None)) => *micros,
        _ => return Ok(None),
    };
    let shifted = match (micros, interval) {
        (Some(micros), Some(interval)) => Some(shift.apply(micros, *interval, datetime::utc())?),
        _ => None,
    };
    Ok(Some(Expr::Literal(ScalarValue::TimestampMicrosecond(shifted, None), None)))
}

/// `date op timestamp` with a literal `timestamp` as a comparison of dates: stored dates stay as they are, and zone maps and
/// indexes can answer. `None` when it is not that.
pub(super) fn narrowed(left: &Expr, op: Operator, right: &Expr, left_type: &DataType) -> Option<Expr> {
    let Expr::Literal(ScalarValue::TimestampMicrosecond(Some(micros), None), _) = right else { return None };
    if *left_type != DataType::Date32 {
        return None;
    }
    let day = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()?;
    let midnight = micros.rem_euclid(MICROS_PER_DAY) == 0;
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
}

impl Base {
    fn of(pg: PgType) -> Option<Base> {
        match pg.oid {
            1082 => Some(Base::Date),
            1114 => Some(Base::Timestamp),
            1184 => Some(Base::Timestamptz),
            _ => None,
        }
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
    fn apply(&self, micros: i64, interval: IntervalMonthDayNano, zone: Tz) -> Result<i64> {
        let sign = if self.sign == Sign::Plus { 1 } else { -1 };
        let (months, days) = (i64::from(interval.months) * sign, i64::from(interval.days) * sign);
        let time = interval.nanoseconds / 1000 * sign;
        let on_calendar = || match (months, days, self.base) {
            (0, 0, _) => Some(micros),
            (_, _, Base::Timestamptz) => {
                datetime::to_utc(plus_calendar(datetime::to_local(micros, zone), months, days)?, zone)
            }
            _ => plus_calendar(micros, months, days),
        };
        on_calendar().and_then(|micros| micros.checked_add(time)).ok_or_else(out_of_range)
    }

    fn result_type(&self) -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, (self.base == Base::Timestamptz).then(|| "UTC".into()))
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
        let micros: TimestampMicrosecondArray = match self.base {
            Base::Date => moments.as_primitive::<Date32Type>().unary(|days| i64::from(days) * MICROS_PER_DAY),
            Base::Timestamp | Base::Timestamptz => arrow_cast(&moments, &self.result_type())?
                .as_primitive::<TimestampMicrosecondType>()
                .clone()
                .with_timezone_opt(None::<Arc<str>>),
        };
        let shifted = (0..rows).map(|row| {
            let (moment, interval) = (if one_moment { 0 } else { row }, if one_interval { 0 } else { row });
            if micros.is_null(moment) || intervals.is_null(interval) {
                return Ok(None);
            }
            self.apply(micros.value(moment), intervals.value(interval), zone).map(Some)
        });
        let zone_name = (self.base == Base::Timestamptz).then_some("UTC");
        let shifted = shifted.collect::<Result<TimestampMicrosecondArray>>()?.with_timezone_opt(zone_name);
        result(Arc::new(shifted), constant)
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
        let micros = |array: &ArrayRef| -> Result<TimestampMicrosecondArray> {
            let wanted = match array.data_type() {
                DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
                _ => DataType::Timestamp(TimeUnit::Microsecond, None),
            };
            Ok(arrow_cast(array, &wanted)?.as_primitive::<TimestampMicrosecondType>().clone())
        };
        let (left, right) = (micros(&left)?, micros(&right)?);
        let differences = (0..rows).map(|row| {
            let (a, b) = (if one_left { 0 } else { row }, if one_right { 0 } else { row });
            if left.is_null(a) || right.is_null(b) {
                return Ok(None);
            }
            let micros = left.value(a).checked_sub(right.value(b)).ok_or_else(interval_out_of_range)?;
            let days = i32::try_from(micros / MICROS_PER_DAY).map_err(|_| interval_out_of_range())?;
            Ok(Some(IntervalMonthDayNano::new(0, days, micros % MICROS_PER_DAY * 1000)))
        });
        result(Arc::new(differences.collect::<Result<IntervalMonthDayNanoArray>>()?), constant)
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
