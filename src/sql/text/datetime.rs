//! Dates, times and time stamps from text, in PostgreSQL's usual spellings.
//!
//! Values are Arrow's: days since 1970, microseconds since midnight, micro- or nanoseconds since 1970. ISO forms take a short path that makes no
//! allocation, since COPY reads millions of them.

use super::calendar::{FIRST_DAY, MICROS_PER_DAY};
use super::nanos;
use crate::error::{Error, Result};
use crate::sqlstate::{DATETIME_FIELD_OVERFLOW, INVALID_PARAMETER_VALUE, invalid_input};
use arrow::array::timezone::Tz;
use chrono::{Datelike, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc};

const MICROS_PER_SECOND: i64 = 1_000_000;

/// What a time stamp counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Micros,
    Nanos,
}

impl Unit {
    /// Digits of a second.
    fn digits(self) -> usize {
        match self {
            Unit::Micros => 6,
            Unit::Nanos => 9,
        }
    }

    fn per_second(self) -> i64 {
        match self {
            Unit::Micros => MICROS_PER_SECOND,
            Unit::Nanos => MICROS_PER_SECOND * nanos::PER_MICRO,
        }
    }

    fn per_day(self) -> i64 {
        86_400 * self.per_second()
    }

    /// Now, in UTC.
    fn now(self) -> i64 {
        let now = Utc::now();
        match self {
            Unit::Micros => now.timestamp_micros(),
            Unit::Nanos => now.timestamp_nanos_opt().unwrap_or(i64::MAX - 1),
        }
    }
}

fn out_of_range(text: &str) -> Error {
    Error::new(DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{text}\""))
}

/// A time stamp that is not before the first.
fn not_before_first(micros: i64, text: &str) -> Result<i64> {
    if micros < FIRST_DAY * MICROS_PER_DAY {
        return Err(Error::new(DATETIME_FIELD_OVERFLOW, format!("timestamp out of range: \"{text}\"")));
    }
    Ok(micros)
}

/// Days since 1970-01-01 of a calendar date.
fn days(year: i32, month: u32, day: u32) -> Option<i32> {
    let date = NaiveDate::from_ymd_opt(year, month, day)?;
    Some(date.num_days_from_ce() - 719_163)
}

/// A `date`: days since 1970.
pub fn date(text: &str) -> Result<i32> {
    if let Some((year, month, day)) = iso_date(text.as_bytes()) {
        return days_ad(year, month, day).ok_or_else(|| out_of_range(text));
    }
    let parts = split(text, "date")?;
    if let Some(time) = parts.time {
        clock(time, Unit::Micros).ok_or_else(|| invalid_input("date", text))?;
    }
    let day = any_date(&parts, text, "date")?;
    if i64::from(day) < FIRST_DAY {
        return Err(Error::new(DATETIME_FIELD_OVERFLOW, format!("date out of range: \"{text}\"")));
    }
    Ok(day)
}

/// Days since 1970-01-01 of a date of our era, which has no year 0.
fn days_ad(year: i32, month: u32, day: u32) -> Option<i32> {
    if year == 0 { None } else { days(year, month, day) }
}

/// `YYYY-MM-DD` and nothing else.
fn iso_date(b: &[u8]) -> Option<(i32, u32, u32)> {
    if b.len() != 10 || b[4] != b'-' || b[7] != b'-' {
        return None;
    }
    let mut bad = false;
    let mut digit = |i: usize| {
        let d = b[i].wrapping_sub(b'0');
        bad |= d > 9;
        u32::from(d)
    };
    let year = digit(0) * 1000 + digit(1) * 100 + digit(2) * 10 + digit(3);
    let month = digit(5) * 10 + digit(6);
    let day = digit(8) * 10 + digit(9);
    (!bad).then_some((year as i32, month, day))
}

/// A `time`: microseconds since midnight.
pub fn time(text: &str) -> Result<i64> {
    let trimmed = text.trim();
    if let Some(micros) = clock(trimmed, Unit::Micros) {
        return if micros <= MICROS_PER_DAY { Ok(micros) } else { Err(out_of_range(text)) };
    }
    if looks_like_clock(trimmed) {
        return Err(out_of_range(text));
    }
    split(text, "time")?.time.and_then(|time| clock(time, Unit::Micros)).ok_or_else(|| invalid_input("time", text))
}

/// A `timestamp`: microseconds since 1970. A zone in the text is ignored, as in PostgreSQL.
pub fn timestamp(text: &str) -> Result<i64> {
    not_before_first(local(text, Unit::Micros, "timestamp")?.0, text)
}

/// A `timestamp_ns`: nanoseconds since 1970.
pub fn timestamp_ns(text: &str) -> Result<i64> {
    local(text, Unit::Nanos, "timestamp_ns").map(|(nanos, _)| nanos)
}

/// A `timestamptz`: microseconds since 1970 in UTC. Text without a zone is in `zone`.
pub fn timestamptz(text: &str, zone: Tz) -> Result<i64> {
    const NAME: &str = "timestamp with time zone";
    if text.trim().eq_ignore_ascii_case("now") {
        return Ok(Unit::Micros.now());
    }
    let (micros, offset) = local(text, Unit::Micros, NAME)?;
    let utc = match offset {
        Some(Zone::Offset(seconds)) => micros.checked_sub(i64::from(seconds) * MICROS_PER_SECOND),
        Some(Zone::Named(zone)) => to_utc(micros, zone),
        None => to_utc(micros, zone),
    };
    not_before_first(utc.ok_or_else(|| out_of_range(text))?, text)
}

/// A `timestamptz_ns`: nanoseconds since 1970 in UTC. Text without a zone is in `zone`.
pub fn timestamptz_ns(text: &str, zone: Tz) -> Result<i64> {
    if text.trim().eq_ignore_ascii_case("now") {
        return Ok(Unit::Nanos.now());
    }
    let (local, offset) = any_local(text, Unit::Nanos, "timestamptz_ns")?;
    // The local time may be out of range where the instant is not.
    let (whole, rest) = (local.div_euclid(nanos::PER_MICRO.into()), local.rem_euclid(nanos::PER_MICRO.into()));
    let micros = i64::try_from(whole).map_err(|_| out_of_range(text))?;
    let utc = match offset {
        Some(Zone::Offset(seconds)) => micros.checked_sub(i64::from(seconds) * MICROS_PER_SECOND),
        Some(Zone::Named(zone)) => to_utc(micros, zone),
        None => to_utc(micros, zone),
    };
    utc.and_then(|micros| nanos::join(micros, rest as i64)).ok_or_else(|| out_of_range(text))
}

/// UTC.
pub fn utc() -> Tz {
    // "+00:00" is an offset every version of the parser reads.
    "+00:00".parse().expect("an offset is a time zone")
}

/// A time zone by name or offset.
pub fn zone(name: &str) -> Result<Tz> {
    let wanted = if name.eq_ignore_ascii_case("z") { "UTC" } else { name };
    wanted
        .parse::<Tz>()
        .map_err(|_| Error::new(INVALID_PARAMETER_VALUE, format!("time zone \"{name}\" not recognized")))
}

/// UTC to local time in `zone`.
pub fn to_local(micros: i64, zone: Tz) -> i64 {
    let offset = chrono::DateTime::from_timestamp_micros(micros)
        .map_or(0, |utc| zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc());
    micros.saturating_add(i64::from(offset) * MICROS_PER_SECOND)
}

/// Local time in `zone` to UTC. As in PostgreSQL, a time that a clock change skips is read with the offset before the
/// change, and one that happens twice with the offset after it.
pub fn to_utc(micros: i64, zone: Tz) -> Option<i64> {
    let naive = chrono::DateTime::from_timestamp_micros(micros)?.naive_utc();
    let resolved = match zone.from_local_datetime(&naive) {
        chrono::LocalResult::Single(t) => t.timestamp_micros(),
        chrono::LocalResult::Ambiguous(one, other) => one.timestamp_micros().max(other.timestamp_micros()),
        chrono::LocalResult::None => {
            let before: NaiveDateTime = naive - chrono::Duration::hours(3);
            let offset = zone.offset_from_local_datetime(&before).earliest()?.fix().local_minus_utc();
            micros - i64::from(offset) * MICROS_PER_SECOND
        }
    };
    Some(resolved)
}

enum Zone {
    Offset(i32),
    Named(Tz),
}

fn local(text: &str, unit: Unit, name: &str) -> Result<(i64, Option<Zone>)> {
    let (local, zone) = any_local(text, unit, name)?;
    let local = i64::try_from(local).ok().filter(|local| unit == Unit::Micros || nanos::is_time(*local));
    Ok((local.ok_or_else(|| out_of_range(text))?, zone))
}

/// The local time a text names, in units since 1970 of as many digits as it takes.
fn any_local(text: &str, unit: Unit, name: &str) -> Result<(i128, Option<Zone>)> {
    let after_midnight = |day: i32, time: i64| i128::from(day) * i128::from(unit.per_day()) + i128::from(time);
    let bytes = text.as_bytes();
    if bytes.len() >= 19
        && bytes.is_char_boundary_10()
        && matches!(bytes[10], b' ' | b'T')
        && let Some((y, m, d)) = iso_date(&bytes[..10])
        && let Some(time) = clock(&text[11..], unit)
    {
        let day = days_ad(y, m, d).ok_or_else(|| out_of_range(text))?;
        if time > unit.per_day() {
            return Err(out_of_range(text));
        }
        return Ok((after_midnight(day, time), None));
    }
    match text.trim().to_ascii_lowercase().as_str() {
        "epoch" => return Ok((0, Some(Zone::Offset(0)))),
        "now" => return Ok((unit.now().into(), Some(Zone::Offset(0)))),
        _ => {}
    }
    let parts = split(text, name)?;
    let day = any_date(&parts, text, name)?;
    let time = match parts.time {
        None => 0,
        Some(time) => clock(time, unit)
            .ok_or_else(|| if looks_like_clock(time) { out_of_range(text) } else { invalid_input(name, text) })?,
    };
    if time > unit.per_day() {
        return Err(out_of_range(text));
    }
    let zone = match parts.zone {
        None => None,
        Some(zone_text) => Some(read_zone(zone_text).ok_or_else(|| invalid_input(name, text))?),
    };
    Ok((after_midnight(day, time), zone))
}

trait CharBoundary {
    fn is_char_boundary_10(&self) -> bool;
}

impl CharBoundary for [u8] {
    /// Slicing the text at bytes 10 and 11 is sound when both start a character.
    fn is_char_boundary_10(&self) -> bool {
        self.get(10).is_some_and(|b| b.is_ascii()) && self.get(11).is_some_and(|b| b.is_ascii())
    }
}

/// What a text of a point in time is made of.
struct Parts<'a> {
    date: &'a str,
    time: Option<&'a str>,
    zone: Option<&'a str>,
    /// Whether it ends with `BC`.
    before_christ: bool,
}

/// Takes a text apart.
fn split<'a>(text: &'a str, name: &str) -> Result<Parts<'a>> {
    let (trimmed, before_christ) = without_era(text.trim());
    if trimmed.is_empty() {
        return Err(invalid_input(name, text));
    }
    if let Some((date, zone)) = date_and_zone(trimmed) {
        return Ok(Parts { date, time: None, zone: Some(zone), before_christ });
    }
    // The clock is the first word with a colon; a `T` may join it to the date.
    let Some(colon) = trimmed.find(':') else {
        return Ok(Parts { date: trimmed, time: None, zone: None, before_christ });
    };
    let start = trimmed[..colon].rfind([' ', 'T', 't']).ok_or_else(|| invalid_input(name, text))?;
    let date = trimmed[..start].trim_end();
    let rest = &trimmed[start + 1..];
    let end = rest
        .char_indices()
        .find(|(_, c)| !(c.is_ascii_digit() || matches!(c, ':' | '.')))
        .map_or(rest.len(), |(i, _)| i);
    let (time, zone) = rest.split_at(end);
    let zone = zone.trim();
    for suffix in ["AM", "PM"] {
        if zone.eq_ignore_ascii_case(suffix) {
            return Ok(Parts { date, time: Some(rest), zone: None, before_christ });
        }
    }
    Ok(Parts { date, time: Some(time), zone: (!zone.is_empty()).then_some(zone), before_christ })
}

/// Takes `BC` or `AD` off the end; whether it was `BC`.
fn without_era(text: &str) -> (&str, bool) {
    let Some((rest, era)) = text.len().checked_sub(2).and_then(|at| text.split_at_checked(at)) else {
        return (text, false);
    };
    let is_bc = era.eq_ignore_ascii_case("BC");
    let is_word = rest.ends_with(|c: char| !c.is_alphabetic());
    if is_word && (is_bc || era.eq_ignore_ascii_case("AD")) { (rest.trim_end(), is_bc) } else { (text, false) }
}

/// A date and a zone without a time between them: `2024-05-07Z`, `2024-05-07 +02:00`. An offset to the west needs the space before it.
fn date_and_zone(text: &str) -> Option<(&str, &str)> {
    let is_name = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_');
    let start = match text.find('+').or_else(|| text.find(" -").map(|space| space + 1)) {
        Some(sign) => sign,
        None => text.trim_end_matches(is_name).len(),
    };
    let (date, zone) = (text[..start].trim_end(), &text[start..]);
    let is_date = date.ends_with(|c: char| c.is_ascii_digit() || c.is_ascii_alphabetic()) && !date.contains(':');
    (is_date && read_zone(zone).is_some()).then_some((date, zone))
}

fn looks_like_clock(text: &str) -> bool {
    text.contains(':') && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.'))
}

/// `HH:MM[:SS[.ffffff]][ AM|PM]` in units; `None` when malformed or a field is out of range.
fn clock(text: &str, unit: Unit) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() == 8 && bytes[2] == b':' && bytes[5] == b':' {
        let two = |i: usize| -> Option<i64> {
            let (a, b) = (bytes[i].wrapping_sub(b'0'), bytes[i + 1].wrapping_sub(b'0'));
            (a <= 9 && b <= 9).then_some(i64::from(a) * 10 + i64::from(b))
        };
        return combine(two(0)?, two(3)?, two(6)?, 0, unit);
    }
    let mut rest = text.trim();
    let mut half = None;
    if rest.len() > 2
        && let Some((head, suffix)) = rest.split_at_checked(rest.len() - 2)
        && (suffix.eq_ignore_ascii_case("am") || suffix.eq_ignore_ascii_case("pm"))
    {
        half = Some(suffix.eq_ignore_ascii_case("pm"));
        rest = head.trim_end();
    }
    let mut parts = rest.split(':');
    let mut hour: i64 = number(parts.next()?)?;
    let minute: i64 = number(parts.next()?)?;
    let (second, part) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (number(seconds)?, 0),
            Some((whole, digits)) => (number(whole)?, fraction(digits, unit)?),
        },
    };
    if parts.next().is_some() {
        return None;
    }
    if let Some(afternoon) = half {
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    combine(hour, minute, second, part, unit)
}

/// `part` are the units of less than a second.
fn combine(hour: i64, minute: i64, second: i64, part: i64, unit: Unit) -> Option<i64> {
    let total = ((hour * 60 + minute) * 60 + second) * unit.per_second() + part;
    (hour <= 24 && minute < 60 && second <= 60 && total <= unit.per_day()).then_some(total)
}

fn number(text: &str) -> Option<i64> {
    let valid = !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit());
    if valid { text.parse().ok() } else { None }
}

/// Digits after the point in units, rounded.
fn fraction(text: &str, unit: Unit) -> Option<i64> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut units = 0i64;
    for i in 0..unit.digits() {
        units = units * 10 + text.as_bytes().get(i).map_or(0, |b| i64::from(b - b'0'));
    }
    Some(units + i64::from(text.as_bytes().get(unit.digits()).is_some_and(|b| *b >= b'5')))
}

fn read_zone(text: &str) -> Option<Zone> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ if text.eq_ignore_ascii_case("z") => return Some(Zone::Offset(0)),
        _ => return zone(text).ok().map(Zone::Named),
    };
    let mut parts = digits.split(':');
    let first = parts.next()?;
    let (hours, minutes) = match (first.len(), parts.next()) {
        (1 | 2, None) => (number(first)?, 0),
        (1 | 2, Some(minutes)) => (number(first)?, number(minutes)?),
        (4, None) => (number(&first[..2])?, number(&first[2..])?),
        _ => return None,
    };
    (hours <= 15 && minutes < 60).then(|| Zone::Offset(sign * (hours * 3600 + minutes * 60) as i32))
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

fn month_by_name(word: &str) -> Option<u32> {
    let word = word.to_ascii_lowercase();
    if word.len() < 3 {
        return None;
    }
    MONTHS.iter().position(|m| m.starts_with(&word)).map(|i| i as u32 + 1)
}

/// A date in any of the usual orders: `1999-01-08`, `January 8, 1999`, `8-Jan-1999`, `1/8/1999`, `19990108`.
fn any_date(parts: &Parts<'_>, whole: &str, name: &str) -> Result<i32> {
    let bad = || invalid_input(name, whole);
    let lower = parts.date.to_ascii_lowercase();
    let today = || Utc::now().date_naive().num_days_from_ce() - 719_163;
    match lower.as_str() {
        "epoch" => return Ok(0),
        "today" | "now" => return Ok(today()),
        "tomorrow" => return Ok(today() + 1),
        "yesterday" => return Ok(today() - 1),
        "infinity" | "-infinity" | "+infinity" => {
            return Err(Error::unsupported(format!("the date/time value \"{}\"", parts.date)));
        }
        _ => {}
    }
    let (lower, before_christ) = match lower.strip_suffix(" bc") {
        Some(_) if parts.before_christ => return Err(bad()),
        Some(rest) => (rest.trim_end().to_owned(), true),
        None => (lower, parts.before_christ),
    };
    if lower.len() == 8 && lower.bytes().all(|b| b.is_ascii_digit()) {
        let (year, month, day) = (&lower[..4], &lower[4..6], &lower[6..]);
        return calendar(year, number(month), day, before_christ)
            .unwrap_or_else(|| Err(bad()))
            .map_err(|e| relabel(e, whole));
    }
    let words: Vec<&str> = lower.split([' ', '-', '/', ',', '.']).filter(|w| !w.is_empty()).collect();
    let [a, b, c] = words[..] else { return Err(bad()) };
    let result = if let Some(month) = month_by_name(a) {
        calendar(c, Some(i64::from(month)), b, before_christ)
    } else if let Some(month) = month_by_name(b) {
        let (year, day) = if a.len() > 2 { (a, c) } else { (c, a) };
        calendar(year, Some(i64::from(month)), day, before_christ)
    } else if a.len() > 2 {
        calendar(a, number(b), c, before_christ)
    } else {
        calendar(c, number(a), b, before_christ)
    };
    result.unwrap_or_else(|| Err(bad())).map_err(|e| relabel(e, whole))
}

fn relabel(e: Error, whole: &str) -> Error {
    if e.state() == DATETIME_FIELD_OVERFLOW { out_of_range(whole) } else { e }
}

/// `None`: not numbers. `Err`: numbers, but no such day.
fn calendar(year: &str, month: Option<i64>, day: &str, before_christ: bool) -> Option<Result<i32>> {
    let mut value = number(year)?;
    if year.len() <= 2 && !before_christ {
        value += if value < 70 { 2000 } else { 1900 };
    }
    let (month, day) = (month?, number(day)?);
    let exists = u32::try_from(month).ok().zip(u32::try_from(day).ok()).filter(|_| value != 0);
    let value = if before_christ { 1 - value } else { value };
    let exists = exists.and_then(|(m, d)| days(value as i32, m, d));
    Some(exists.ok_or_else(|| out_of_range(year)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_many_spellings() {
        let day = date("1999-01-08").unwrap();
        for text in ["January 8, 1999", "1/8/1999", "19990108", "8-Jan-1999", "1999-Jan-08", " 1999-1-8 ", "08-Jan-99"]
        {
            assert_eq!(date(text).unwrap(), day, "{text}");
        }
        assert_eq!(date("1970-01-02").unwrap(), 1);
        assert_eq!(date("2021-02-29").unwrap_err().state().0, "22008");
        assert_eq!(date("abc").unwrap_err().state().0, "22007");
        assert_eq!(date("").unwrap_err().state().0, "22007");
        assert!(date("0044-03-15 BC").unwrap() < -700_000);
    }

    #[test]
    fn eras_and_zones_stand_behind_dates_and_times() {
        let utc = zone("UTC").unwrap();
        let ides = timestamp("0044-03-15 12:30:00 BC").unwrap();
        assert_eq!(ides.rem_euclid(MICROS_PER_DAY), 45_000_000_000);
        assert_eq!(ides.div_euclid(MICROS_PER_DAY), i64::from(date("0044-03-15 BC").unwrap()));
        assert_eq!(timestamptz("0044-03-15 13:30:00+01 BC", utc).unwrap(), ides);
        assert_eq!(timestamptz("2024-05-07Z", utc).unwrap(), timestamp("2024-05-07").unwrap());
        assert_eq!(timestamptz("2024-05-07 -01:30", utc).unwrap(), timestamp("2024-05-07 01:30").unwrap());
        for bad in ["2024-05-07-02", "2024-05-07Q", "2024-05-07+", "BC", "0044-03-15 BC BC", "Z", "é BC", "+02"] {
            assert_eq!(timestamptz(bad, utc).unwrap_err().state().0, "22007", "{bad}");
        }
        assert_eq!(date("0000-01-01").unwrap_err().state().0, "22008");
    }

    #[test]
    fn times_and_their_bounds() {
        assert_eq!(time("04:05:06.789").unwrap(), 14_706_789_000);
        assert_eq!(time("04:05 PM").unwrap(), 57_900_000_000);
        assert_eq!(time("24:00:00").unwrap(), MICROS_PER_DAY);
        assert!(time("25:00:00").is_err());
        assert!(time("12:60:00").is_err());
    }

    #[test]
    fn zones_shift_time_stamps() {
        let utc = zone("UTC").unwrap();
        assert_eq!(timestamptz("1970-01-01 01:00:00+01", utc).unwrap(), 0);
        assert_eq!(timestamptz("1970-01-01T00:00:00Z", utc).unwrap(), 0);
        assert_eq!(timestamptz("1970-01-01 01:00:00", zone("Europe/Berlin").unwrap()).unwrap(), 0);
        assert_eq!(timestamptz("1970-01-01 01:00:00 Europe/Berlin", utc).unwrap(), 0);
        assert_eq!(timestamp("1970-01-01 01:00:00+05:30").unwrap(), 3_600_000_000);
        assert_eq!(timestamp("2020-01-01").unwrap(), 1_577_836_800_000_000);
        assert_eq!(timestamp("nonsense").unwrap_err().state().0, "22007");
        assert_eq!(timestamp("é020-01-01 00:00:00").unwrap_err().state().0, "22007");
    }

    #[test]
    fn nanoseconds_have_nine_digits() {
        assert_eq!(timestamp_ns("1970-01-01 00:00:01.123456789").unwrap(), 1_123_456_789);
        assert_eq!(timestamp_ns("1969-12-31 23:59:59.9999999994").unwrap(), -1);
        assert_eq!(timestamp_ns("1969-12-31 23:59:59.9999999995").unwrap(), 0);
        let berlin = zone("Europe/Berlin").unwrap();
        assert_eq!(timestamptz_ns("1970-01-01 01:00:00.000000001", berlin).unwrap(), 1);
        assert_eq!(timestamptz_ns("1970-01-01T00:00:00.000000001Z", berlin).unwrap(), 1);
    }

    #[test]
    fn nanoseconds_end_where_their_integers_do() {
        let state = |text: &str| timestamp_ns(text).map_err(|e| e.state().0);
        assert_eq!(state("1677-09-21 00:12:43.145224193"), Ok(i64::MIN + 1));
        assert_eq!(state("1677-09-21 00:12:43.145224192"), Err("22008"));
        assert_eq!(state("2262-04-11 23:47:16.854775806"), Ok(i64::MAX - 1));
        assert_eq!(state("2262-04-11 23:47:16.854775807"), Err("22008"));
        assert_eq!(state("0001-01-01"), Err("22008"));
        // Only the instant must be in range.
        let instant = timestamptz_ns("2262-04-12 01:47:16.854775806+02", utc());
        assert_eq!(instant.unwrap(), i64::MAX - 1);
    }
}
