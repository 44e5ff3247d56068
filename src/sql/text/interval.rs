//! Intervals from text: `1 year 2 mons -3 days 04:05:06.7`, `3 hours ago`, `P1Y2M3DT4H5M6S`.

use super::calendar::MICROS_PER_DAY;
use crate::error::{Error, Result};
use crate::sqlstate::{DATETIME_FIELD_OVERFLOW, invalid_input};
use arrow::datatypes::IntervalMonthDayNano;

const NANOS_PER_SECOND: f64 = 1e9;

/// Months, days and nanoseconds, with fractions moved down.
#[derive(Default)]
struct Sum {
    months: f64,
    days: f64,
    seconds: f64,
    nanos: i128,
}

/// The units of `INTERVAL '…' YEAR TO MONTH`, the longest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Years.
    Year,
    /// Months.
    Month,
    /// Days.
    Day,
    /// Hours.
    Hour,
    /// Minutes.
    Minute,
    /// Seconds.
    Second,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Year => "year",
            Unit::Month => "month",
            Unit::Day => "day",
            Unit::Hour => "hour",
            Unit::Minute => "minute",
            Unit::Second => "second",
        }
    }
}

/// The fields a literal is limited to: what a number without unit counts, and the unit below which nothing is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// The first unit named.
    pub first: Unit,
    /// The last unit named; the same as the first when there is one.
    pub last: Unit,
}

/// An `interval`.
pub fn interval(text: &str) -> Result<IntervalMonthDayNano> {
    read(text, None)
}

/// How long an interval is in microseconds, a month being 30 days and a day 24 hours; `None` when that is out of range.
pub fn length_us(interval: &IntervalMonthDayNano) -> Option<i64> {
    let days = i64::from(interval.months) * 30 + i64::from(interval.days);
    days.checked_mul(MICROS_PER_DAY)?.checked_add(interval.nanoseconds / 1000)
}

/// `INTERVAL 'text' first TO last(precision)`.
pub fn interval_of(text: &str, fields: Option<Fields>, precision: Option<u32>) -> Result<IntervalMonthDayNano> {
    const NANOS_PER_MINUTE: i64 = 60_000_000_000;
    let value = read(text, fields)?;
    let (months, days, nanos) = (value.months, value.days, value.nanoseconds);
    let down_to = |unit: i64| nanos / unit * unit;
    Ok(match fields.map(|f| f.last) {
        Some(Unit::Year) => IntervalMonthDayNano::new(months / 12 * 12, 0, 0),
        Some(Unit::Month) => IntervalMonthDayNano::new(months, 0, 0),
        Some(Unit::Day) => IntervalMonthDayNano::new(months, days, 0),
        Some(Unit::Hour) => IntervalMonthDayNano::new(months, days, down_to(NANOS_PER_MINUTE * 60)),
        Some(Unit::Minute) => IntervalMonthDayNano::new(months, days, down_to(NANOS_PER_MINUTE)),
        Some(Unit::Second) | None => match precision {
            Some(digits @ 0..=5) => {
                let unit = 10i64.pow(9 - digits);
                let half = unit / 2 * nanos.signum();
                let rounded = nanos.checked_add(half).ok_or_else(|| out_of_range(text))? / unit * unit;
                IntervalMonthDayNano::new(months, days, rounded)
            }
            _ => value,
        },
    })
}

fn read(text: &str, fields: Option<Fields>) -> Result<IntervalMonthDayNano> {
    let trimmed = text.trim();
    let bad = || invalid_input("interval", text);
    let sum = if trimmed.starts_with(['P', 'p']) { iso(trimmed) } else { words(trimmed, fields) };
    sum.ok_or_else(bad)?.finish().ok_or_else(|| out_of_range(text))
}

fn out_of_range(text: &str) -> Error {
    Error::new(DATETIME_FIELD_OVERFLOW, format!("interval field value out of range: \"{text}\""))
}

impl Sum {
    fn add(&mut self, count: f64, unit: &str) -> Option<()> {
        match unit {
            "y" | "yr" | "yrs" | "year" | "years" => self.months += (count * 12.0).round(),
            "decade" | "decades" => self.months += (count * 120.0).round(),
            "c" | "cent" | "century" | "centuries" => self.months += (count * 1200.0).round(),
            "mil" | "mils" | "millennium" | "millennia" => self.months += (count * 12000.0).round(),
            "mon" | "mons" | "month" | "months" => {
                self.months += count.trunc();
                self.days += (count.fract() * 30.0 * 1e6).round() / 1e6;
            }
            "w" | "week" | "weeks" => self.days += count * 7.0,
            "d" | "day" | "days" => self.days += count,
            "h" | "hr" | "hrs" | "hour" | "hours" => self.seconds += count * 3600.0,
            "m" | "min" | "mins" | "minute" | "minutes" => self.seconds += count * 60.0,
            "s" | "sec" | "secs" | "second" | "seconds" => self.add_seconds(count),
            "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => self.nanos += (count * 1e6).round() as i128,
            "us" | "usec" | "usecs" | "microsecond" | "microseconds" => self.nanos += (count * 1e3).round() as i128,
            _ => return None,
        }
        Some(())
    }

    /// Microseconds are what PostgreSQL keeps.
    fn add_seconds(&mut self, count: f64) {
        self.nanos += (count * 1e6).round() as i128 * 1000;
    }

    fn negate(&mut self) {
        self.months = -self.months;
        self.days = -self.days;
        self.seconds = -self.seconds;
        self.nanos = -self.nanos;
    }

    fn finish(self) -> Option<IntervalMonthDayNano> {
        let fits = |v: f64| (v.abs() <= f64::from(i32::MAX)).then_some(v.trunc() as i32);
        let seconds = self.seconds + self.days.fract() * 86_400.0;
        let nanos = self.nanos + ((seconds * 1e6).round() * (NANOS_PER_SECOND / 1e6)) as i128;
        Some(IntervalMonthDayNano::new(fits(self.months)?, fits(self.days)?, i64::try_from(nanos).ok()?))
    }
}

fn words(text: &str, fields: Option<Fields>) -> Option<Sum> {
    let bare = fields.map_or(Unit::Second, |fields| fields.last);
    let minutes_first = fields.is_some_and(|f| f.first == Unit::Minute && f.last == Unit::Second);
    let mut sum = Sum::default();
    let lower = text.to_ascii_lowercase();
    let mut words = lower.split_whitespace().peekable();
    words.peek()?;
    let mut any = false;
    while let Some(word) = words.next() {
        if word == "ago" {
            if !any || words.next().is_some() {
                return None;
            }
            sum.negate();
            return Some(sum);
        }
        if word == "@" {
            continue;
        }
        any = true;
        if word.contains(':') {
            clock(word, minutes_first, &mut sum)?;
            continue;
        }
        let end = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
        let (number, unit) = word.split_at(end);
        if unit.is_empty() && number[1..].contains('-') {
            year_month(number, &mut sum)?;
            continue;
        }
        let count: f64 = number.parse().ok().filter(|n: &f64| n.is_finite())?;
        match (unit, words.peek()) {
            ("", Some(next)) if next.starts_with(|c: char| c.is_ascii_alphabetic()) && *next != "ago" => {
                let unit = words.next()?;
                sum.add(count, unit)?;
            }
            // A number by itself counts days before a clock or an hour, and seconds otherwise.
            ("", Some(next)) if next.contains(':') => sum.add(count, "day")?,
            ("", Some(next)) if bare == Unit::Hour && *next != "ago" => sum.add(count, "day")?,
            ("", None | Some(&"ago")) => sum.add(count, bare.name())?,
            ("", Some(_)) => return None,
            (unit, _) => sum.add(count, unit)?,
        }
    }
    any.then_some(sum)
}

/// `1-2`: years and months.
fn year_month(text: &str, sum: &mut Sum) -> Option<()> {
    let (sign, rest) = signed(text);
    let (years, months) = rest.split_once('-')?;
    let months: f64 = months.parse().ok()?;
    sum.months += sign * (years.parse::<f64>().ok()? * 12.0 + months);
    Some(())
}

/// `h:m:s`, `h:m`, or `m:s` when the seconds have a fraction or `minutes_first` says so.
fn clock(text: &str, minutes_first: bool, sum: &mut Sum) -> Option<()> {
    let (sign, rest) = signed(text);
    let parts = rest.split(':').map(plain).collect::<Option<Vec<f64>>>()?;
    let (hours, minutes, seconds) = match parts[..] {
        [minutes, seconds] if minutes_first || seconds.fract() != 0.0 => (0.0, minutes, seconds),
        [hours, minutes] => (hours, minutes, 0.0),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return None,
    };
    if minutes >= 60.0 || seconds > 60.0 {
        return None;
    }
    sum.seconds += sign * (hours * 3600.0 + minutes * 60.0);
    sum.add_seconds(sign * seconds);
    Some(())
}

fn signed(text: &str) -> (f64, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    }
}

fn plain(text: &str) -> Option<f64> {
    let valid = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if valid { text.parse().ok() } else { None }
}

/// ISO 8601 with designators.
fn iso(text: &str) -> Option<Sum> {
    let mut sum = Sum::default();
    let mut in_time = false;
    let mut number = String::new();
    let mut any = false;
    for c in text[1..].chars() {
        match c.to_ascii_uppercase() {
            'T' if !in_time && number.is_empty() => in_time = true,
            c @ ('0'..='9' | '.' | '-' | '+') => number.push(c),
            c => {
                let count: f64 = std::mem::take(&mut number).parse().ok()?;
                let unit = match (c, in_time) {
                    ('Y', false) => "year",
                    ('M', false) => "month",
                    ('W', false) => "week",
                    ('D', false) => "day",
                    ('H', true) => "hour",
                    ('M', true) => "minute",
                    ('S', true) => "second",
                    _ => return None,
                };
                sum.add(count, unit)?;
                any = true;
            }
        }
    }
    (any && number.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_say_what_numbers_count_and_what_is_kept() {
        use Unit::{Day, Hour, Minute, Month, Second, Year};
        let minute = 60_000_000_000;
        let cases = [
            ("1", Day, Day, (0, 1, 0)),
            ("2", Month, Month, (2, 0, 0)),
            ("1-2", Year, Month, (14, 0, 0)),
            ("14", Year, Month, (14, 0, 0)),
            ("10:20", Minute, Second, (0, 0, 10 * minute + 20_000_000_000)),
            ("10:20", Hour, Minute, (0, 0, 620 * minute)),
            ("1 10", Day, Hour, (0, 1, 600 * minute)),
            ("1 10:20:30", Day, Minute, (0, 1, 620 * minute)),
            ("1.5", Day, Day, (0, 1, 0)),
            ("1 day 10:20", Hour, Hour, (0, 1, 600 * minute)),
        ];
        for (text, first, last, (months, days, nanos)) in cases {
            let read = interval_of(text, Some(Fields { first, last }), None).unwrap();
            assert_eq!(read, IntervalMonthDayNano::new(months, days, nanos), "{text} {first:?} {last:?}");
        }
        let rounded = interval_of("1.75", Some(Fields { first: Second, last: Second }), Some(1)).unwrap();
        assert_eq!(rounded, IntervalMonthDayNano::new(0, 0, 1_800_000_000));
    }

    #[test]
    fn intervals_in_many_spellings() {
        let cases = [
            ("1 year 2 mons 3 days 04:05:06.789", (14, 3, 14_706_789_000_000)),
            ("P1Y2M3DT4H5M6S", (14, 3, 14_706_000_000_000)),
            ("1 day ago", (0, -1, 0)),
            ("90 minutes", (0, 0, 5_400_000_000_000)),
            ("1.5 days", (0, 1, 43_200_000_000_000)),
            ("3 12:00", (0, 3, 43_200_000_000_000)),
            ("-1 mons +1 day", (-1, 1, 0)),
            ("1-2", (14, 0, 0)),
            ("2h", (0, 0, 7_200_000_000_000)),
            ("30", (0, 0, 30_000_000_000)),
            ("-00:00:00.000001", (0, 0, -1_000)),
        ];
        for (text, (months, days, nanos)) in cases {
            assert_eq!(interval(text).unwrap(), IntervalMonthDayNano::new(months, days, nanos), "{text}");
        }
        for bad in ["", "x", "1 fortnight", "P", "1:2:3:4", "-"] {
            assert_eq!(interval(bad).unwrap_err().state().0, "22007", "{bad}");
        }
    }
}
