//! Dates and times: `age`, `justify_*`, `make_*`, the clock, and conversions through [`super::pattern`].

use super::pattern;
use super::row::{Context, Datum, Definition, Type, error, float, int, moment, out_of_range, text};
use crate::text::calendar::MICROS_PER_DAY;
use crate::text::nanos;
use arrow::datatypes::IntervalMonthDayNano;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use datafusion::common::{DataFusionError, Result};

use Type::{Bool, Date, Float8, Int8, Numeric, Text, Time, Timestamp, TimestampNs, Timestamptz, TimestamptzNs};

const NANOS_PER_DAY: i64 = MICROS_PER_DAY * 1000;
const DAYS_PER_MONTH: i64 = 30;

/// The functions of this module.
pub(super) const FUNCTIONS: &[Definition] = &[
    Definition::new("clock_timestamp", &[(&[], Timestamptz)], |_, _| Ok(Datum::Moment(Utc::now().timestamp_micros())))
        .volatile(),
    Definition::new("timeofday", &[(&[], Text)], |_, _| {
        Ok(Datum::Text(Utc::now().format("%a %b %d %H:%M:%S%.6f %Y UTC").to_string()))
    })
    .volatile(),
    Definition::new(
        "age",
        &[
            (&[Timestamp, Timestamp], Type::Interval),
            (&[Timestamptz, Timestamptz], Type::Interval),
            (&[Timestamp], Type::Interval),
            (&[Timestamptz], Type::Interval),
        ],
        |context, args| match args {
            [end, start] => age(moment(end), moment(start)),
            // From midnight today.
            _ => {
                let local = crate::text::datetime::to_local(Utc::now().timestamp_micros(), zone(context)?);
                age(local - local.rem_euclid(MICROS_PER_DAY), moment(&args[0]))
            }
        },
    )
    .stable(),
    Definition::new(
        "isfinite",
        &[(&[Timestamp], Bool), (&[Timestamptz], Bool), (&[Date], Bool), (&[Type::Interval], Bool)],
        |_, args| {
            Ok(Datum::Bool(match &args[0] {
                Datum::Moment(micros) => !matches!(*micros, i64::MAX | i64::MIN),
                Datum::Date(days) => !matches!(*days, i32::MAX | i32::MIN),
                _ => true,
            }))
        },
    ),
    Definition::new("lightning_date_in", &[(&[Text], Date)], |_, args| {
        crate::text::datetime::date(text(&args[0])).map(Datum::Date).map_err(external)
    }),
    Definition::new("lightning_timestamp_in", &[(&[Text], Timestamp)], |_, args| {
        crate::text::datetime::timestamp(text(&args[0])).map(Datum::Moment).map_err(external)
    }),
    Definition::new("lightning_timestamp_ns_in", &[(&[Text], TimestampNs)], |_, args| {
        crate::text::datetime::timestamp_ns(text(&args[0]))
            .map(|nanos| Datum::Nanos { nanos, is_instant: false })
            .map_err(external)
    }),
    Definition::new("lightning_timestamptz_in", &[(&[Text], Timestamptz)], |context, args| {
        crate::text::datetime::timestamptz(text(&args[0]), zone(context)?).map(Datum::Moment).map_err(external)
    })
    .stable(),
    Definition::new("lightning_timestamptz_ns_in", &[(&[Text], TimestamptzNs)], |context, args| {
        crate::text::datetime::timestamptz_ns(text(&args[0]), zone(context)?)
            .map(|nanos| Datum::Nanos { nanos, is_instant: true })
            .map_err(external)
    })
    .stable(),
    Definition::new("epoch_ns", &[(&[TimestampNs], Int8), (&[TimestamptzNs], Int8)], |_, args| {
        Ok(match &args[0] {
            Datum::Nanos { nanos, .. } => Datum::Int(*nanos),
            _ => Datum::Null,
        })
    }),
    Definition::new("make_timestamp_ns", &[(&[Int8], TimestampNs)], |_, args| {
        let nanos = int(&args[0]);
        match nanos::is_time(nanos) {
            true => Ok(Datum::Nanos { nanos, is_instant: false }),
            false => Err(external(nanos::out_of_range())),
        }
    }),
    Definition::new("justify_days", &[(&[Type::Interval], Type::Interval)], |_, args| {
        Ok(justify(&args[0], true, false))
    }),
    Definition::new("justify_hours", &[(&[Type::Interval], Type::Interval)], |_, args| {
        Ok(justify(&args[0], false, true))
    }),
    Definition::new("justify_interval", &[(&[Type::Interval], Type::Interval)], |_, args| {
        Ok(justify(&args[0], true, true))
    }),
    Definition::new("make_timestamp", &[(&[Int8, Int8, Int8, Int8, Int8, Float8], Timestamp)], |_, args| {
        let date = date_of(int(&args[0]), int(&args[1]), int(&args[2]))?;
        let clock = clock_of(int(&args[3]), int(&args[4]), float(&args[5]))?;
        Ok(Datum::Moment(date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros() + clock))
    }),
    Definition::new("make_time", &[(&[Int8, Int8, Float8], Time)], |_, args| {
        Ok(Datum::Time(clock_of(int(&args[0]), int(&args[1]), float(&args[2]))?))
    }),
    Definition::new("make_interval", MAKE_INTERVAL, make_interval),
    Definition::new("to_char", TO_CHAR, to_char).stable(),
    Definition::new("to_date", &[(&[Text, Text], Date)], |_, args| {
        let parsed = pattern::parse_moment(text(&args[0]), text(&args[1]))?;
        let days = parsed.local_micros.div_euclid(MICROS_PER_DAY);
        i32::try_from(days).map(Datum::Date).map_err(|_| out_of_range())
    }),
    Definition::new("to_timestamp", &[(&[Float8], Timestamptz), (&[Text, Text], Timestamptz)], to_timestamp).stable(),
];

fn external(e: crate::Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

const MAKE_INTERVAL: &[(&[Type], Type)] = &[
    (&[], Type::Interval),
    (&[Int8], Type::Interval),
    (&[Int8, Int8], Type::Interval),
    (&[Int8, Int8, Int8], Type::Interval),
    (&[Int8, Int8, Int8, Int8], Type::Interval),
    (&[Int8, Int8, Int8, Int8, Int8], Type::Interval),
    (&[Int8, Int8, Int8, Int8, Int8, Int8], Type::Interval),
    (&[Int8, Int8, Int8, Int8, Int8, Int8, Float8], Type::Interval),
];

const TO_CHAR: &[(&[Type], Type)] = &[
    (&[Timestamp, Text], Text),
    (&[Timestamptz, Text], Text),
    (&[Date, Text], Text),
    (&[Time, Text], Text),
    (&[Type::Interval, Text], Text),
    (&[Int8, Text], Text),
    (&[Numeric, Text], Text),
    (&[Float8, Text], Text),
    (&[TimestampNs, Text], Text),
    (&[TimestamptzNs, Text], Text),
];

fn date_of(year: i64, month: i64, day: i64) -> Result<NaiveDate> {
    let date =
        || NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, u32::try_from(month).ok()?, u32::try_from(day).ok()?);
    date().ok_or_else(|| error("22008", format!("date field value out of range: {year}-{month:02}-{day:02}")))
}

fn clock_of(hour: i64, minute: i64, second: f64) -> Result<i64> {
    if !(0..=23).contains(&hour) || !(0..=59).contains(&minute) || !(0.0..=60.0).contains(&second) {
        return Err(error("22008", format!("time field value out of range: {hour}:{minute:02}:{second:02}")));
    }
    Ok((hour * 3600 + minute * 60) * 1_000_000 + (second * 1e6).round() as i64)
}

fn naive(micros: i64) -> Result<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros)
        .map(|time| time.naive_utc())
        .ok_or_else(|| error("22008", "timestamp out of range"))
}

/// The difference in years, months, days and time, as a calendar counts it: borrowing from the month before `end`.
fn age(end: i64, start: i64) -> Result<Datum> {
    let (late, early, sign) = if end >= start { (end, start, 1) } else { (start, end, -1) };
    let (late, early) = (naive(late)?, naive(early)?);
    let mut months = (late.year() - early.year()) * 12 + late.month() as i32 - early.month() as i32;
    let mut days = late.day() as i32 - early.day() as i32;
    let mut time = late.time().signed_duration_since(early.time());
    if time < TimeDelta::zero() {
        time += TimeDelta::days(1);
        days -= 1;
    }
    if days < 0 {
        months -= 1;
        // PostgreSQL borrows the length of the month the earlier date is in.
        days += days_in_month(early.year(), early.month());
    }
    let nanos = time.num_nanoseconds().ok_or_else(out_of_range)?;
    Ok(Datum::Interval(IntervalMonthDayNano::new(sign * months, sign * days, i64::from(sign) * nanos)))
}

fn days_in_month(year: i32, month: u32) -> i32 {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let first = NaiveDate::from_ymd_opt(year, month, 1);
    let next = NaiveDate::from_ymd_opt(next_year, next_month, 1);
    match (first, next) {
        (Some(first), Some(next)) => (next - first).num_days() as i32,
        _ => 31,
    }
}

fn justify(interval: &Datum, days_to_months: bool, hours_to_days: bool) -> Datum {
    let Datum::Interval(value) = interval else { return Datum::Null };
    let (mut months, mut days, mut nanos) = (i64::from(value.months), i64::from(value.days), value.nanoseconds);
    if hours_to_days {
        days += nanos / NANOS_PER_DAY;
        nanos %= NANOS_PER_DAY;
    }
    if days_to_months {
        months += days / DAYS_PER_MONTH;
        days %= DAYS_PER_MONTH;
    }
    // Parts of different sign are carried into one another until all agree with the largest.
    if days_to_months && months > 0 && (days < 0 || days == 0 && nanos < 0) {
        days += DAYS_PER_MONTH;
        months -= 1;
    } else if days_to_months && months < 0 && (days > 0 || days == 0 && nanos > 0) {
        days -= DAYS_PER_MONTH;
        months += 1;
    }
    if hours_to_days && days > 0 && nanos < 0 {
        nanos += NANOS_PER_DAY;
        days -= 1;
    } else if hours_to_days && days < 0 && nanos > 0 {
        nanos -= NANOS_PER_DAY;
        days += 1;
    }
    Datum::Interval(IntervalMonthDayNano::new(months as i32, days as i32, nanos))
}

/// `make_interval(years, months, weeks, days, hours, mins, secs)`.
fn make_interval(_: &Context, args: &[Datum]) -> Result<Datum> {
    let part = |i: usize| args.get(i).map_or(0, int);
    let seconds = args.get(6).map_or(0.0, float);
    let months = part(0).checked_mul(12).and_then(|months| months.checked_add(part(1)));
    let days = part(2).checked_mul(7).and_then(|days| days.checked_add(part(3)));
    let whole = part(4).checked_mul(60).and_then(|minutes| minutes.checked_add(part(5)));
    let nanos = whole.and_then(|minutes| minutes.checked_mul(60_000_000_000));
    let nanos = nanos.and_then(|nanos| nanos.checked_add((seconds * 1e6).round() as i64 * 1000));
    let interval = || {
        let months = i32::try_from(months?).ok()?;
        let days = i32::try_from(days?).ok()?;
        Some(Datum::Interval(IntervalMonthDayNano::new(months, days, nanos?)))
    };
    interval().ok_or_else(|| error("22008", "interval out of range"))
}

fn zone(context: &Context) -> Result<arrow::array::timezone::Tz> {
    crate::text::datetime::zone(&context.zone).map_err(external)
}

fn to_timestamp(context: &Context, args: &[Datum]) -> Result<Datum> {
    if let [Datum::Float(seconds)] = args {
        let micros = (seconds * 1e6).round();
        return if micros.abs() < 9.2e18 {
            Ok(Datum::Moment(micros as i64))
        } else {
            Err(error("22008", "timestamp out of range"))
        };
    }
    let parsed = pattern::parse_moment(text(&args[0]), text(&args[1]))?;
    if let Some(offset_seconds) = parsed.offset_seconds {
        return Ok(Datum::Moment(parsed.local_micros - offset_seconds * 1_000_000));
    }
    let utc = crate::text::datetime::to_utc(parsed.local_micros, zone(context)?);
    utc.map(Datum::Moment).ok_or_else(|| error("22008", "timestamp out of range"))
}

fn to_char(context: &Context, args: &[Datum]) -> Result<Datum> {
    let form = text(&args[1]);
    Ok(Datum::Text(match &args[0] {
        Datum::Int(value) => pattern::number(i128::from(*value), 0, form)?,
        Datum::Decimal(digits, scale) => pattern::number(*digits, *scale, form)?,
        Datum::Float(value) => {
            let decimals = pattern::decimals(form).min(15);
            let digits = value * 10f64.powi(decimals);
            if !digits.is_finite() || digits.abs() > 1e37 {
                return Err(out_of_range());
            }
            pattern::number(digits.round() as i128, decimals as i8, form)?
        }
        Datum::Interval(value) => pattern::interval(*value, form),
        Datum::Moment(micros) => pattern::moment(*micros, 0, &context.zone, form)?,
        Datum::Nanos { nanos, is_instant } => {
            let (micros, rest) = nanos::split(*nanos);
            let local = if *is_instant { crate::text::datetime::to_local(micros, zone(context)?) } else { micros };
            pattern::moment(local, rest, &context.zone, form)?
        }
        other => pattern::moment(moment(other), 0, &context.zone, form)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        text.parse::<NaiveDateTime>().expect("a time").and_utc().timestamp_micros()
    }

    #[test]
    fn ages_borrow_as_calendars_do() {
        // As PostgreSQL 15 answers.
        for (end, start, months, days) in [
            ("2001-04-10T00:00:00", "1957-06-13T00:00:00", 43 * 12 + 9, 27),
            ("2024-03-01T00:00:00", "2024-01-31T00:00:00", 1, 1),
            ("2024-01-31T00:00:00", "2024-03-01T00:00:00", -1, -1),
        ] {
            let Ok(Datum::Interval(age)) = age(micros(end), micros(start)) else { panic!("no interval") };
            assert_eq!((age.months, age.days, age.nanoseconds), (months, days, 0), "{end} {start}");
        }
    }

    #[test]
    fn intervals_are_justified() {
        let interval = |m, d, n| Datum::Interval(IntervalMonthDayNano::new(m, d, n));
        let Datum::Interval(justified) = justify(&interval(1, 0, -3_600_000_000_000), true, true) else {
            panic!("no interval")
        };
        assert_eq!((justified.months, justified.days, justified.nanoseconds), (0, 29, 23 * 3_600_000_000_000));
    }
}
