//! `extract(field FROM moment)`, a numeric with the scale PostgreSQL gives each field, and `date_part`, a double.

use super::moment_column::{Kind, MomentColumn};
use crate::error::Error;
use crate::sqlstate::{FEATURE_NOT_SUPPORTED, INVALID_PARAMETER_VALUE};
use crate::text::calendar::{Civil, MICROS_PER_DAY, iso_week, iso_weekday};
use crate::text::nanos;
use crate::types;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, Field, FieldRef, IntervalMonthDayNano};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
/// Julian day of 1970-01-01.
const JULIAN_EPOCH: i64 = 2_440_588;
/// Scale of `extract(julian FROM timestamp)`.
const JULIAN_SCALE: i8 = 20;

/// What `EXTRACT` is planned as.
pub(crate) fn extract() -> ScalarUDF {
    ScalarUDF::new_from_impl(Extract { name: "extract", float: false, signature: signature() })
}

/// The function `date_part`.
pub(super) fn date_part() -> ScalarUDF {
    ScalarUDF::new_from_impl(Extract { name: "date_part", float: true, signature: signature() })
}

fn signature() -> Signature {
    Signature::user_defined(Volatility::Stable)
}

/// A unit of time by any of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millennium,
    Century,
    Decade,
    Year,
    IsoYear,
    Quarter,
    Month,
    Week,
    Day,
    Dow,
    IsoDow,
    Doy,
    Hour,
    Minute,
    Second,
    Milliseconds,
    Microseconds,
    /// Of time stamps in nanoseconds.
    Nanoseconds,
    Epoch,
    Julian,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
}

impl Unit {
    /// The unit named, in any case.
    pub(super) fn named(name: &str) -> Option<Unit> {
        Some(match name.to_ascii_lowercase().as_str() {
            "millennium" | "millennia" | "mil" | "mils" => Unit::Millennium,
            "century" | "centuries" | "cent" | "c" => Unit::Century,
            "decade" | "decades" | "dec" | "decs" => Unit::Decade,
            "year" | "years" | "yr" | "yrs" | "y" => Unit::Year,
            "isoyear" => Unit::IsoYear,
            "quarter" | "qtr" => Unit::Quarter,
            "month" | "months" | "mon" | "mons" => Unit::Month,
            "week" | "weeks" | "w" => Unit::Week,
            "day" | "days" | "d" => Unit::Day,
            "dow" => Unit::Dow,
            "isodow" => Unit::IsoDow,
            "doy" => Unit::Doy,
            "hour" | "hours" | "hr" | "hrs" | "h" => Unit::Hour,
            "minute" | "minutes" | "min" | "mins" | "m" => Unit::Minute,
            "second" | "seconds" | "sec" | "secs" | "s" => Unit::Second,
            "milliseconds" | "millisecond" | "msec" | "msecs" | "msecond" | "mseconds" | "ms" => Unit::Milliseconds,
            "microseconds" | "microsecond" | "usec" | "usecs" | "usecond" | "useconds" | "us" => Unit::Microseconds,
            "nanoseconds" | "nanosecond" | "nsec" | "nsecs" | "ns" => Unit::Nanoseconds,
            "epoch" => Unit::Epoch,
            "julian" => Unit::Julian,
            "timezone" => Unit::Timezone,
            "timezone_hour" => Unit::TimezoneHour,
            "timezone_minute" => Unit::TimezoneMinute,
            _ => return None,
        })
    }

    /// Digits and scale of the numeric.
    fn numeric(self, kind: Kind) -> (u8, i8) {
        match self {
            Unit::Second | Unit::Epoch if kind.is_nanos() => (20, 9),
            Unit::Milliseconds if kind.is_nanos() => (20, 6),
            Unit::Microseconds if kind.is_nanos() => (20, 3),
            Unit::Nanoseconds => (20, 0),
            Unit::Second => (20, 6),
            Unit::Milliseconds => (20, 3),
            Unit::Epoch if kind == Kind::Date => (20, 0),
            Unit::Epoch => (20, 6),
            Unit::Microseconds => (20, 0),
            Unit::Julian if kind != Kind::Date => (38, JULIAN_SCALE),
            _ => (10, 0),
        }
    }
}

/// A unit that does not exist or that values of a type do not have.
pub(super) fn no_unit(name: &str, kind: Kind) -> DataFusionError {
    let name = name.to_ascii_lowercase();
    let type_name = kind.pg_type().sql_name();
    DataFusionError::External(Box::new(match Unit::named(&name) {
        Some(unit) if unit != Unit::Nanoseconds => {
            Error::new(FEATURE_NOT_SUPPORTED, format!("unit \"{name}\" not supported for type {type_name}"))
        }
        _ => Error::new(INVALID_PARAMETER_VALUE, format!("unit \"{name}\" not recognized for type {type_name}")),
    }))
}

/// The unit of a point in time: its number at the unit's scale. `None` when such values have no such unit.
fn of_moment(unit: Unit, kind: Kind, local: i64, utc: i64, rest: i64) -> Option<i128> {
    let day = local.div_euclid(MICROS_PER_DAY);
    let time = local.rem_euclid(MICROS_PER_DAY);
    if kind == Kind::Time {
        return of_time(unit, local);
    }
    if kind.is_nanos() {
        let in_nanos = |micros: i64| i128::from(micros) * i128::from(nanos::PER_MICRO) + i128::from(rest);
        match unit {
            Unit::Second | Unit::Milliseconds | Unit::Microseconds | Unit::Nanoseconds => {
                return Some(in_nanos(time % MICROS_PER_MINUTE));
            }
            Unit::Epoch => return Some(in_nanos(utc)),
            Unit::Julian => {
                let scale = 10i128.pow(JULIAN_SCALE.unsigned_abs().into());
                let fraction = in_nanos(time) * scale / i128::from(nanos::PER_DAY);
                return Some(i128::from(day + JULIAN_EPOCH) * scale + fraction);
            }
            _ => {}
        }
    }
    let year = || Civil::of_days(day).year;
    // There is no year 0: what comes before 1 is -1.
    let counted = |year: i64| if year > 0 { year } else { year - 1 };
    let centuries = |years: i64| {
        let year = year();
        if year > 0 { (year + years - 1) / years } else { -((years - year) / years) }
    };
    let value = match unit {
        Unit::Millennium => centuries(1000),
        Unit::Century => centuries(100),
        Unit::Decade => year().div_euclid(10),
        Unit::Year => counted(year()),
        Unit::IsoYear => counted(iso_week(day).0),
        Unit::Quarter => (Civil::of_days(day).month - 1) / 3 + 1,
        Unit::Month => Civil::of_days(day).month,
        Unit::Week => iso_week(day).1,
        Unit::Day => Civil::of_days(day).day,
        Unit::Dow => iso_weekday(day) % 7,
        Unit::IsoDow => iso_weekday(day),
        Unit::Doy => Civil::of_days(day).day_of_year(),
        Unit::Julian if kind == Kind::Date => day + JULIAN_EPOCH,
        Unit::Julian => {
            let scale = 10i128.pow(JULIAN_SCALE.unsigned_abs().into());
            let fraction = i128::from(time) * scale / i128::from(MICROS_PER_DAY);
            return Some(i128::from(day + JULIAN_EPOCH) * scale + fraction);
        }
        Unit::Epoch if kind == Kind::Date => day * (MICROS_PER_DAY / MICROS_PER_SECOND),
        Unit::Epoch => utc,
        _ if kind == Kind::Date => return None,
        Unit::Timezone | Unit::TimezoneHour | Unit::TimezoneMinute if kind.is_instant() => {
            let seconds = (local - utc) / MICROS_PER_SECOND;
            match unit {
                Unit::Timezone => seconds,
                Unit::TimezoneHour => seconds / 3600,
                _ => seconds % 3600 / 60,
            }
        }
        _ => return of_time(unit, time),
    };
    Some(i128::from(value))
}

/// The unit of a time of day or the time in an interval, which may be longer than a day.
fn of_time(unit: Unit, micros: i64) -> Option<i128> {
    Some(i128::from(match unit {
        Unit::Hour => micros / MICROS_PER_HOUR,
        Unit::Minute => micros % MICROS_PER_HOUR / MICROS_PER_MINUTE,
        // At their scales these are one number.
        Unit::Second | Unit::Milliseconds | Unit::Microseconds => micros % MICROS_PER_MINUTE,
        Unit::Epoch => micros,
        _ => return None,
    }))
}

fn of_interval(unit: Unit, value: IntervalMonthDayNano) -> Option<i128> {
    let (months, days) = (i64::from(value.months), i64::from(value.days));
    let micros = value.nanoseconds / 1000;
    Some(i128::from(match unit {
        Unit::Millennium => months / 12_000,
        Unit::Century => months / 1200,
        Unit::Decade => months / 120,
        Unit::Year => months / 12,
        Unit::Quarter => months % 12 / 3 + 1,
        Unit::Month => months % 12,
        Unit::Day => days,
        Unit::Epoch => {
            // A year has 365.25 days, a month 30.
            let quarter_days = (months / 12) * 1461 + (months % 12 * 30 + days) * 4;
            return Some(i128::from(quarter_days) * i128::from(MICROS_PER_DAY / 4) + i128::from(micros));
        }
        _ => return of_time(unit, micros),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extract {
    name: &'static str,
    float: bool,
    signature: Signature,
}

impl Extract {
    fn result_type(&self, unit: Option<Unit>, kind: Kind) -> DataType {
        match unit {
            Some(unit) if !self.float => {
                let (precision, scale) = unit.numeric(kind);
                DataType::Decimal128(precision, scale)
            }
            _ => DataType::Float64,
        }
    }

    fn values(&self, name: &str, column: &MomentColumn) -> Result<ArrayRef> {
        let kind = column.kind;
        let unit = Unit::named(name).ok_or_else(|| no_unit(name, kind))?;
        let digits = column.map(|moment| match moment {
            super::moment_column::Moment::Interval(value) => of_interval(unit, value),
            super::moment_column::Moment::At { local, utc, rest } => of_moment(unit, kind, local, utc, rest),
        });
        let digits = digits
            .map(|value| value.map(|value| value.ok_or_else(|| no_unit(name, kind))).transpose())
            .collect::<Result<Vec<Option<i128>>>>()?;
        let (precision, scale) = unit.numeric(kind);
        if self.float {
            let divisor = 10f64.powi(scale.into());
            let values = digits.into_iter().map(|value| value.map(|value| value as f64 / divisor));
            return Ok(Arc::new(values.collect::<Float64Array>()));
        }
        Ok(Arc::new(Decimal128Array::from(digits).with_precision_and_scale(precision, scale)?))
    }
}

fn literal_text(value: Option<&ScalarValue>) -> Option<&str> {
    match value {
        Some(ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text)) => text.as_deref(),
        _ => None,
    }
}

impl ScalarUDFImpl for Extract {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        plan_err!("the type of {} depends on its field", self.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let [_, value] = args.arg_fields else { return plan_err!("{} takes two arguments", self.name) };
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        let kind = Kind::of(value.data_type());
        let name = args.scalar_arguments.first().and_then(|value| literal_text(*value));
        let unit = match (name, kind) {
            (Some(name), Some(kind)) => Some(Unit::named(name).ok_or_else(|| no_unit(name, kind))?),
            _ => None,
        };
        let data_type = kind.map_or(DataType::Float64, |kind| self.result_type(unit, kind));
        Ok(Arc::new(Field::new(self.name, data_type, nullable)))
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [name, value] = given else { return plan_err!("function {} does not exist", self.name) };
        let text = matches!(name, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null);
        if !text || (Kind::of(value).is_none() && !value.is_null()) {
            let qualified = if self.float { "date_part" } else { "pg_catalog.extract" };
            let shown = types::from_arrow(value).base_name();
            let message = format!("function {qualified}(unknown, {shown}) does not exist");
            let hint =
                "No function matches the given name and argument types. You might need to add explicit type casts.";
            let error = Error::new(crate::sqlstate::UNDEFINED_FUNCTION, message).with_hint(hint);
            return Err(DataFusionError::External(Box::new(error)));
        }
        // The name stays as it is: the result's type is read from the literal.
        Ok(vec![name.clone(), Kind::of(value).map_or(DataType::Null, Kind::arrow)])
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [Expr::Literal(name, _), value] if !self.float => Ok(format!("extract({name} FROM {value})")),
            _ => {
                let shown: Vec<String> = args.iter().map(ToString::to_string).collect();
                Ok(format!("{}({})", self.name, shown.join(",")))
            }
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [name, value] = args.args.as_slice() else { return plan_err!("{} takes two arguments", self.name) };
        let constant = matches!((name, value), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let Some(column) = MomentColumn::new(&value.to_array(rows)?, &args.config_options)? else {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_field.data_type())?));
        };
        let result = match name {
            ColumnarValue::Scalar(name) => match literal_text(Some(name)) {
                Some(name) => self.values(name, &column)?,
                None => return Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_field.data_type())?)),
            },
            ColumnarValue::Array(names) => self.by_row(&arrow::compute::cast(names, &DataType::Utf8View)?, &column)?,
        };
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(result)
        })
    }
}

impl Extract {
    /// A field of its own for each row: only doubles have one type for all of them.
    fn by_row(&self, names: &ArrayRef, column: &MomentColumn) -> Result<ArrayRef> {
        if !self.float {
            return plan_err!("EXTRACT takes the name of a field");
        }
        let names = names.as_string_view();
        let rows = (0..names.len()).map(|row| {
            if names.is_null(row) {
                return Ok(None);
            }
            let value = self.values(names.value(row), &column.slice(row))?;
            let value = value.as_primitive::<arrow::datatypes::Float64Type>();
            Ok(value.is_valid(0).then(|| value.value(0)))
        });
        Ok(Arc::new(rows.collect::<Result<Float64Array>>()?))
    }
}

/// The length an interval is compared by, in nanoseconds: a month has 30 days, a day 24 hours.
#[derive(Debug, PartialEq, Eq, Hash)]
struct IntervalLength {
    signature: Signature,
}

/// Makes intervals comparable: `1 day` is `24 hours`.
pub(crate) fn interval_length() -> ScalarUDF {
    ScalarUDF::new_from_impl(IntervalLength { signature: Signature::any(1, Volatility::Immutable) })
}

impl ScalarUDFImpl for IntervalLength {
    fn name(&self) -> &str {
        "interval_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Decimal128(38, 0))
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(ToString::to_string).collect())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else { return plan_err!("a length is of one interval") };
        let constant = matches!(value, ColumnarValue::Scalar(_));
        let array = value.to_array(if constant { 1 } else { args.number_rows })?;
        let array = arrow::compute::cast(&array, &Kind::Interval.arrow())?;
        let intervals: &IntervalMonthDayNanoArray = array.as_primitive();
        let lengths = intervals.iter().map(|value| {
            let value = value?;
            let days = i128::from(value.months) * 30 + i128::from(value.days);
            Some(days * i128::from(nanos::PER_DAY) + i128::from(value.nanoseconds))
        });
        let lengths: ArrayRef = Arc::new(lengths.collect::<Decimal128Array>().with_precision_and_scale(38, 0)?);
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&lengths, 0)?)
        } else {
            ColumnarValue::Array(lengths)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{datetime, interval};

    fn at(unit: Unit, text: &str) -> i128 {
        let micros = datetime::timestamp(text).unwrap();
        of_moment(unit, Kind::Timestamp, micros, micros, 0).unwrap()
    }

    #[test]
    fn units_as_postgresql_counts_them() {
        for (unit, text, expected) in [
            (Unit::Year, "2024-05-06", 2024),
            (Unit::Year, "0044-03-15 BC", -44),
            (Unit::Century, "2000-01-01", 20),
            (Unit::Century, "0044-03-15 BC", -1),
            (Unit::Millennium, "2001-01-01", 3),
            (Unit::Decade, "1999-01-01", 199),
            (Unit::IsoYear, "2021-01-01", 2020),
            (Unit::Week, "2021-01-01", 53),
            (Unit::Dow, "2024-05-05", 0),
            (Unit::IsoDow, "2024-05-05", 7),
            (Unit::Doy, "2024-05-06", 127),
            (Unit::Quarter, "2024-05-06", 2),
            (Unit::Second, "2024-05-06 07:08:09.5", 9_500_000),
            (Unit::Epoch, "1970-01-02", 86_400_000_000),
            (Unit::Julian, "2024-05-06 12:00", 246_043_750_000_000_000_000_000_000),
        ] {
            assert_eq!(at(unit, text), expected, "{unit:?} {text}");
        }
    }

    #[test]
    fn fractions_of_nanoseconds_have_nine_digits() {
        let (micros, rest) = nanos::split(datetime::timestamp_ns("1969-12-31 23:59:58.999999999").unwrap());
        let of = |unit| of_moment(unit, Kind::TimestampNs, micros, micros, rest);
        assert_eq!(of(Unit::Epoch), Some(-1_000_000_001));
        assert_eq!(of(Unit::Second), Some(58_999_999_999));
        assert_eq!(of(Unit::Nanoseconds), of(Unit::Milliseconds));
        assert_eq!(of(Unit::Year), Some(1969));
        assert_eq!(of_moment(Unit::Nanoseconds, Kind::Timestamp, 0, 0, 0), None);
    }

    #[test]
    fn units_of_intervals() {
        let of = |unit, text: &str| of_interval(unit, interval::interval(text).unwrap());
        assert_eq!(of(Unit::Epoch, "1 year 1 month -3 days"), Some(33_890_400_000_000));
        assert_eq!(of(Unit::Quarter, "5 months"), Some(2));
        assert_eq!(of(Unit::Hour, "3 days 30:00"), Some(30));
        assert_eq!(of(Unit::Second, "-1.5 seconds"), Some(-1_500_000));
        assert_eq!(of(Unit::Week, "1 day"), None);
    }
}
