//! Dates and times as text in the style `ISO`, over the whole range of the stored integers.

use super::text::{put_clock, put_clock_ns, put_padded, put_uint};
use crate::text::nanos;
use bytes::{BufMut, BytesMut};
use chrono::{DateTime, Offset, TimeZone as _};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A session's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// No offset at any time.
    Utc,
    /// A fixed offset east of Greenwich, in seconds.
    Fixed(i32),
    /// A zone with a history.
    Named(chrono_tz::Tz),
}

impl Zone {
    /// A zone as the setting `TimeZone` spells it; UTC when it is none we know (the setting was checked when it was set).
    pub fn parse(name: &str) -> Zone {
        let name = name.trim();
        if name.eq_ignore_ascii_case("utc") || name.eq_ignore_ascii_case("gmt") || name.eq_ignore_ascii_case("etc/utc")
        {
            return Zone::Utc;
        }
        if let Some(seconds) = parse_offset(name) {
            return if seconds == 0 { Zone::Utc } else { Zone::Fixed(seconds) };
        }
        let named = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name));
        named.map_or(Zone::Utc, |zone| Zone::Named(*zone))
    }

    /// Offset east of Greenwich at a time, in seconds.
    pub fn offset_seconds(self, utc_micros: i64) -> i32 {
        match self {
            Zone::Utc => 0,
            Zone::Fixed(seconds) => seconds,
            Zone::Named(zone) => match DateTime::from_timestamp_micros(utc_micros) {
                Some(time) => zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc(),
                None => 0,
            },
        }
    }
}

/// `+02`, `-05:30`, or PostgreSQL's own `<+02>-02`.
fn parse_offset(name: &str) -> Option<i32> {
    let name = match name.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?.0,
        None => name,
    };
    let (sign, digits) = match name.as_bytes().first()? {
        b'+' => (1, &name[1..]),
        b'-' => (-1, &name[1..]),
        b'0'..=b'9' => (1, name),
        _ => return None,
    };
    let mut parts = digits.split(':');
    let hours: i32 = parts.next()?.parse().ok()?;
    let minutes: i32 = parts.next().map_or(Some(0), |p| p.parse().ok())?;
    (hours <= 15 && (0..60).contains(&minutes) && parts.next().is_none())
        .then_some(sign * (hours * 3600 + minutes * 60))
}

/// Year (astronomical: 0 is 1 BC), month and day of a day counted from 1970-01-01 (Howard Hinnant's algorithm).
fn civil(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_index + 2) / 5 + 1) as u64;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 } as u64;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Writes the date and reports whether the era is BC, whose mark comes last.
fn put_civil(out: &mut BytesMut, days: i64) -> bool {
    let (year, month, day) = civil(days);
    let (year, before_christ) = if year > 0 { (year, false) } else { (1 - year, true) };
    put_padded(out, year.unsigned_abs(), 4);
    out.put_u8(b'-');
    put_padded(out, month, 2);
    out.put_u8(b'-');
    put_padded(out, day, 2);
    before_christ
}

fn put_infinity(out: &mut BytesMut, negative: bool) {
    out.put_slice(if negative { b"-infinity" } else { b"infinity" });
}

/// A date counted in days from 1970-01-01.
pub fn put_date(out: &mut BytesMut, days: i32) {
    if days == i32::MAX || days == i32::MIN {
        return put_infinity(out, days < 0);
    }
    if put_civil(out, i64::from(days)) {
        out.put_slice(b" BC");
    }
}

/// A time of day.
pub fn put_time(out: &mut BytesMut, micros: i64) {
    put_clock(out, micros.unsigned_abs());
}

/// A timestamp without time zone.
pub fn put_timestamp(out: &mut BytesMut, micros: i64) {
    if micros == i64::MAX || micros == i64::MIN {
        return put_infinity(out, micros < 0);
    }
    if put_local(out, micros) {
        out.put_slice(b" BC");
    }
}

/// A timestamp with time zone, shown in `zone` with its offset.
pub fn put_timestamptz(out: &mut BytesMut, utc_micros: i64, zone: Zone) {
    if utc_micros == i64::MAX || utc_micros == i64::MIN {
        return put_infinity(out, utc_micros < 0);
    }
    let offset = zone.offset_seconds(utc_micros);
    let before_christ = put_local(out, utc_micros.saturating_add(i64::from(offset) * 1_000_000));
    put_offset(out, offset);
    if before_christ {
        out.put_slice(b" BC");
    }
}

/// A timestamp without time zone in nanoseconds.
pub fn put_timestamp_ns(out: &mut BytesMut, nanos: i64) {
    let (micros, rest) = nanos::split(nanos);
    put_local_ns(out, micros, rest);
}

/// A timestamp with time zone in nanoseconds, shown in `zone` with its offset.
pub fn put_timestamptz_ns(out: &mut BytesMut, utc_nanos: i64, zone: Zone) {
    let (micros, rest) = nanos::split(utc_nanos);
    let offset = zone.offset_seconds(micros);
    put_local_ns(out, micros + i64::from(offset) * 1_000_000, rest);
    put_offset(out, offset);
}

/// The years of nanoseconds are all after Christ.
fn put_local_ns(out: &mut BytesMut, micros: i64, rest: i64) {
    put_civil(out, micros.div_euclid(MICROS_PER_DAY));
    out.put_u8(b' ');
    put_clock_ns(out, micros.rem_euclid(MICROS_PER_DAY).unsigned_abs(), rest.unsigned_abs());
}

fn put_local(out: &mut BytesMut, micros: i64) -> bool {
    let before_christ = put_civil(out, micros.div_euclid(MICROS_PER_DAY));
    out.put_u8(b' ');
    put_clock(out, micros.rem_euclid(MICROS_PER_DAY).unsigned_abs());
    before_christ
}

fn put_offset(out: &mut BytesMut, seconds: i32) {
    out.put_u8(if seconds < 0 { b'-' } else { b'+' });
    let seconds = u64::from(seconds.unsigned_abs());
    put_padded(out, seconds / 3600, 2);
    if !seconds.is_multiple_of(3600) {
        out.put_u8(b':');
        put_padded(out, seconds / 60 % 60, 2);
    }
    if !seconds.is_multiple_of(60) {
        out.put_u8(b':');
        put_uint_two(out, seconds % 60);
    }
}

fn put_uint_two(out: &mut BytesMut, value: u64) {
    if value < 10 {
        out.put_u8(b'0');
    }
    put_uint(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(put: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        put(&mut out);
        String::from_utf8(out.to_vec()).expect("text")
    }

    #[test]
    fn dates_reach_beyond_the_common_era() {
        assert_eq!(text(|o| put_date(o, 0)), "1970-01-01");
        assert_eq!(text(|o| put_date(o, 19_782)), "2024-02-29");
        assert_eq!(text(|o| put_date(o, -719_162)), "0001-01-01");
        assert_eq!(text(|o| put_date(o, -719_163)), "0001-12-31 BC");
        assert_eq!(text(|o| put_date(o, i32::MAX)), "infinity");
    }

    #[test]
    fn timestamps_show_only_the_fraction_they_have() {
        assert_eq!(text(|o| put_timestamp(o, 0)), "1970-01-01 00:00:00");
        assert_eq!(text(|o| put_timestamp(o, -1)), "1969-12-31 23:59:59.999999");
        assert_eq!(text(|o| put_timestamp(o, 1_500_000)), "1970-01-01 00:00:01.5");
    }

    #[test]
    fn nanoseconds_show_nine_digits_at_most() {
        assert_eq!(text(|o| put_timestamp_ns(o, -1)), "1969-12-31 23:59:59.999999999");
        assert_eq!(text(|o| put_timestamp_ns(o, 1_500_000_000)), "1970-01-01 00:00:01.5");
        assert_eq!(text(|o| put_timestamp_ns(o, i64::MIN + 1)), "1677-09-21 00:12:43.145224193");
        let kolkata = Zone::parse("Asia/Kolkata");
        assert_eq!(text(|o| put_timestamptz_ns(o, i64::MAX - 1, kolkata)), "2262-04-12 05:17:16.854775806+05:30");
    }

    #[test]
    fn zones_shift_and_label() {
        assert_eq!(text(|o| put_timestamptz(o, 0, Zone::parse("UTC"))), "1970-01-01 00:00:00+00");
        assert_eq!(text(|o| put_timestamptz(o, 0, Zone::parse("asia/kolkata"))), "1970-01-01 05:30:00+05:30");
        assert_eq!(text(|o| put_timestamptz(o, 0, Zone::parse("-05"))), "1969-12-31 19:00:00-05");
        let summer = 1_720_000_000_000_000;
        assert_eq!(text(|o| put_timestamptz(o, summer, Zone::parse("Europe/Berlin"))), "2024-07-03 11:46:40+02");
    }
}
