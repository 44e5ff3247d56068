//! `date_trunc`: time stamps down to a unit, those with time zone on the calendar of the session's zone or a named one.

use super::extract::{Unit, no_unit};
use super::moment_column::{Kind, Moment, MomentColumn};
use crate::text::calendar::{Civil, MICROS_PER_DAY, iso_week, iso_weekday};
use crate::text::datetime;
use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// The function.
pub(super) fn date_trunc() -> ScalarUDF {
    ScalarUDF::new_from_impl(DateTrunc { signature: Signature::user_defined(Volatility::Stable) })
}

/// Local microseconds down to the unit; `None` when time stamps have no such unit.
fn truncated(unit: Unit, local: i64) -> Option<i64> {
    let down_to = |length: i64| Some(local - local.rem_euclid(length));
    let day = local.div_euclid(MICROS_PER_DAY);
    let year_start = |year: i64| Civil { year, month: 1, day: 1 }.days();
    let day = match unit {
        Unit::Microseconds => return Some(local),
        Unit::Milliseconds => return down_to(1000),
        Unit::Second => return down_to(1_000_000),
        Unit::Minute => return down_to(60_000_000),
        Unit::Hour => return down_to(3_600_000_000),
        Unit::Day => day,
        Unit::Week => day - iso_weekday(day) + 1,
        Unit::Month => Civil { day: 1, ..Civil::of_days(day) }.days(),
        Unit::Quarter => {
            let civil = Civil::of_days(day);
            Civil { day: 1, month: (civil.month - 1) / 3 * 3 + 1, ..civil }.days()
        }
        Unit::Year => year_start(Civil::of_days(day).year),
        Unit::IsoYear => {
            let fourth = Civil { year: iso_week(day).0, month: 1, day: 4 }.days();
            fourth - iso_weekday(fourth) + 1
        }
        Unit::Decade => year_start(Civil::of_days(day).year.div_euclid(10) * 10),
        // Centuries begin with their year 1.
        Unit::Century => year_start((Civil::of_days(day).year - 1).div_euclid(100) * 100 + 1),
        Unit::Millennium => year_start((Civil::of_days(day).year - 1).div_euclid(1000) * 1000 + 1),
        _ => return None,
    };
    day.checked_mul(MICROS_PER_DAY)
}

/// An instant down to the unit of its zone. Below a day the offset stays that of the instant.
fn truncated_in(unit: Unit, utc: i64, zone: Tz) -> Option<i64> {
    let local = datetime::to_local(utc, zone);
    let down = truncated(unit, local)?;
    match unit {
        Unit::Microseconds | Unit::Milliseconds | Unit::Second | Unit::Minute | Unit::Hour => {
            Some(down - (local - utc))
        }
        _ => datetime::to_utc(down, zone),
    }
}

fn truncated_interval(unit: Unit, value: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    let (months, days, nanos) = (value.months, value.days, value.nanoseconds);
    let months_to = |length: i32| Some(IntervalMonthDayNano::new(months / length * length, 0, 0));
    let time_to = |length: i64| Some(IntervalMonthDayNano::new(months, days, nanos / length * length));
    match unit {
        Unit::Millennium => months_to(12_000),
        Unit::Century => months_to(1200),
        Unit::Decade => months_to(120),
        Unit::Year => months_to(12),
        Unit::Quarter => months_to(3),
        Unit::Month => months_to(1),
        Unit::Day => Some(IntervalMonthDayNano::new(months, days, 0)),
        Unit::Hour => time_to(3_600_000_000_000),
        Unit::Minute => time_to(60_000_000_000),
        Unit::Second => time_to(1_000_000_000),
        Unit::Milliseconds => time_to(1_000_000),
        Unit::Microseconds => Some(value),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateTrunc {
    signature: Signature,
}

impl DateTrunc {
    fn values(&self, name: &str, column: &MomentColumn, zone: Tz) -> Result<ArrayRef> {
        let kind = column.kind;
        let unit = Unit::named(name).ok_or_else(|| no_unit(name, kind))?;
        let missing = || no_unit(name, kind);
        if kind == Kind::Interval {
            let values = column.map(|moment| match moment {
                Moment::Interval(value) => truncated_interval(unit, value),
                Moment::At { .. } => None,
            });
            let values = values.map(|v| v.map(|v| v.ok_or_else(missing)).transpose());
            return Ok(Arc::new(values.collect::<Result<IntervalMonthDayNanoArray>>()?));
        }
        let values = column.map(|moment| match moment {
            Moment::At { utc, rest, .. } if unit == Unit::Nanoseconds && kind.is_nanos() => Some((utc, rest)),
            Moment::At { utc, .. } if kind.is_local() => Some((truncated(unit, utc)?, 0)),
            // A date is midnight of the zone.
            Moment::At { local, .. } if kind == Kind::Date => {
                Some((datetime::to_utc(truncated(unit, local)?, zone)?, 0))
            }
            Moment::At { utc, .. } => Some((truncated_in(unit, utc, zone)?, 0)),
            Moment::Interval(_) => None,
        });
        let values = values.map(|v| v.map(|v| v.ok_or_else(missing)).transpose());
        kind.zoned(!kind.is_local()).stamps(values.collect::<Result<Vec<_>>>()?)
    }
}

fn scalar_text(value: &ColumnarValue, row: usize) -> Result<Option<String>> {
    let (array, row) = match value {
        ColumnarValue::Array(array) => (Arc::clone(array), row),
        ColumnarValue::Scalar(value) => (value.to_array()?, 0),
    };
    let array = arrow::compute::cast(&array, &DataType::Utf8View)?;
    let texts = array.as_string_view();
    Ok(texts.is_valid(row).then(|| texts.value(row).to_owned()))
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &str {
        "date_trunc"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok(match given.get(1).and_then(Kind::of) {
            Some(Kind::Interval | Kind::Time) => Kind::Interval.arrow(),
            Some(kind) => kind.zoned(!kind.is_local()).arrow(),
            None => Kind::Timestamptz.arrow(),
        })
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let kind = given.get(1).and_then(Kind::of);
        let text = |t: Option<&DataType>| {
            matches!(t, Some(DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null))
        };
        match (given, kind) {
            ([_, _], Some(kind)) if text(given.first()) => Ok(vec![DataType::Utf8View, kind.arrow()]),
            ([_, value], None) if text(given.first()) && text(Some(value)) => {
                Ok(vec![DataType::Utf8View, Kind::Timestamptz.arrow()])
            }
            ([_, _, _], Some(kind))
                if text(given.first())
                    && text(given.get(2))
                    && (kind.is_local() || kind.is_instant() || kind == Kind::Date) =>
            {
                Ok(vec![DataType::Utf8View, kind.zoned(true).arrow(), DataType::Utf8View])
            }
            _ => {
                let names: Vec<String> = given.iter().map(|t| crate::types::from_arrow(t).base_name()).collect();
                plan_err!("function date_trunc({}) does not exist", names.join(", "))
            }
        }
    }

    fn output_ordering(&self, input: &[ExprProperties]) -> Result<SortProperties> {
        // Clocks that are put back make local time, and what is cut from it, go back too.
        let fixed = input.get(1).and_then(|p| Kind::of(&p.range.data_type())).is_some_and(Kind::is_local);
        match input {
            [unit, moment] if fixed && unit.sort_properties == SortProperties::Singleton => Ok(moment.sort_properties),
            _ => Ok(SortProperties::Unordered),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let [unit, moment, zone @ ..] = args.args.as_slice() else {
            return exec_err!("date_trunc takes a unit and a time stamp");
        };
        let null = || Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_field.data_type())?));
        let moments = moment.to_array(rows)?;
        let Some(column) = MomentColumn::new(&moments, &args.config_options)? else { return null() };
        let zone_of = |row: usize| -> Result<Option<Tz>> {
            let Some(zone) = zone.first() else { return Ok(Some(column.zone)) };
            let Some(name) = scalar_text(zone, row)? else { return Ok(None) };
            datetime::zone(&name).map(Some).map_err(|e| DataFusionError::External(Box::new(e)))
        };
        let fixed = |argument: Option<&ColumnarValue>| !matches!(argument, Some(ColumnarValue::Array(_)));
        let result = if fixed(Some(unit)) && fixed(zone.first()) {
            match (scalar_text(unit, 0)?, zone_of(0)?) {
                (Some(unit), Some(zone)) => self.values(&unit, &column, zone)?,
                _ => return null(),
            }
        } else {
            let values = (0..rows).map(|row| match (scalar_text(unit, row)?, zone_of(row)?) {
                (Some(unit), Some(zone)) => self.values(&unit, &column.slice(row), zone),
                _ => Ok(arrow::array::new_null_array(args.return_field.data_type(), 1)),
            });
            let values = values.collect::<Result<Vec<_>>>()?;
            let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
            arrow::compute::concat(&values)?
        };
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

    fn at(text: &str) -> i64 {
        datetime::timestamp(text).unwrap()
    }

    #[test]
    fn units_begin_where_postgresql_says() {
        let moment = at("2024-05-06 07:08:09.123456");
        for (unit, expected) in [
            (Unit::Milliseconds, "2024-05-06 07:08:09.123"),
            (Unit::Hour, "2024-05-06 07:00"),
            (Unit::Week, "2024-05-06"),
            (Unit::Month, "2024-05-01"),
            (Unit::Quarter, "2024-04-01"),
            (Unit::Year, "2024-01-01"),
            (Unit::Decade, "2020-01-01"),
            (Unit::Century, "2001-01-01"),
            (Unit::Millennium, "2001-01-01"),
        ] {
            assert_eq!(truncated(unit, moment), Some(at(expected)), "{unit:?}");
        }
        assert_eq!(truncated(Unit::Hour, at("1969-12-31 23:59:59")), Some(at("1969-12-31 23:00")));
        assert_eq!(truncated(Unit::Timezone, moment), None);
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let zone = datetime::zone("Europe/Berlin").unwrap();
        assert_eq!(truncated_in(Unit::Day, at("2024-07-01 23:30"), zone), Some(at("2024-07-01 22:00")));
        assert_eq!(truncated_in(Unit::Hour, at("2024-07-01 23:30"), zone), Some(at("2024-07-01 23:00")));
    }
}
