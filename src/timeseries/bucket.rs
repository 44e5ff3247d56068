//! Buckets of time: which one an instant is in, and where the next begins.
//!
//! A [`Bucketing`] has a width, an origin and, for instants, a time zone. Widths of months are counted on the calendar from
//! the origin's day; other widths are microseconds, a day being 24 hours of local time. Buckets of local time are computed
//! on the local clock: with a zone, an instant becomes local, is cut, and becomes an instant again. When clocks go back,
//! the hour that happens twice is one for buckets longer than an hour; widths that divide an hour keep the offset the
//! instant has, so that its two hours stay apart, as `date_trunc` does.
//!
//! What must hold: `start(t) <= t < next(start(t))` for every instant, but for those whose local time happens twice: they
//! belong to the bucket their local time names, which begins when PostgreSQL says that time is, at its second pass. A bucket
//! that begins at a local time that is skipped begins when PostgreSQL says that is as well, perhaps after its first instant.
//!
//! Everything is computed in microseconds, which reach farther than nanoseconds; [`NanoBucketing`] puts nanoseconds into such buckets.

use arrow::array::timezone::Tz;
use arrow::datatypes::IntervalMonthDayNano;
use lightning_sql::sqlstate::{DATETIME_FIELD_OVERFLOW, INVALID_PARAMETER_VALUE};
use lightning_sql::text::calendar::{Civil, FIRST_DAY, MICROS_PER_DAY};
use lightning_sql::text::{datetime, nanos};
use lightning_sql::{Error, Result};
use std::ops::Range;

const MICROS_PER_HOUR: i64 = 3_600_000_000;
/// The first time stamp.
const FIRST: i64 = FIRST_DAY * MICROS_PER_DAY;
/// Clocks that are changed stay so for longer than this: four days at least, in Freetown in 1939.
const STEADY: i64 = 6 * MICROS_PER_HOUR;

/// 2000-01-01, from which buckets of months count.
const MONTH_ORIGIN: i64 = 946_684_800_000_000;
/// 2000-01-03, a Monday, from which other buckets count.
const ORIGIN: i64 = MONTH_ORIGIN + 2 * MICROS_PER_DAY;

/// How long a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Width {
    /// Microseconds.
    Fixed(i64),
    /// Calendar months.
    Months(i64),
}

impl Width {
    /// The width an interval means. 22023 when it is not positive, 0A000 when it mixes months with shorter units.
    pub(crate) fn of(interval: IntervalMonthDayNano) -> Result<Width> {
        let (months, days, nanos) = (interval.months, interval.days, interval.nanoseconds);
        if months != 0 && (days != 0 || nanos != 0) {
            let message = "a bucket of months cannot have days or a time of day";
            return Err(
                Error::unsupported(message).with_hint("Use a width of months alone, or of shorter units alone.")
            );
        }
        whole_micros(interval, "width")?;
        let width = if months != 0 {
            Width::Months(i64::from(months))
        } else {
            Width::Fixed(i64::from(days).saturating_mul(MICROS_PER_DAY).saturating_add(nanos / 1000))
        };
        match width {
            Width::Fixed(length) | Width::Months(length) if length <= 0 => Err(not_positive()),
            width => Ok(width),
        }
    }
}

/// 22023 for an interval between times in nanoseconds that is no whole number of microseconds.
pub(crate) fn whole_micros(interval: IntervalMonthDayNano, what: &str) -> Result<()> {
    if interval.nanoseconds % nanos::PER_MICRO == 0 {
        return Ok(());
    }
    let message = format!("the {what} of a bucket must be a whole number of microseconds");
    Err(Error::new(INVALID_PARAMETER_VALUE, message))
}

/// 22023: a bucket that has no length.
pub(crate) fn not_positive() -> Error {
    Error::new(INVALID_PARAMETER_VALUE, "the width of a bucket must be greater than zero")
}

/// 22008.
pub(crate) fn out_of_range() -> Error {
    Error::new(DATETIME_FIELD_OVERFLOW, "timestamp out of range")
}

/// Which bucket an instant is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucketing {
    width: Width,
    /// Local microseconds a bucket begins at.
    origin: i64,
    zone: Option<Tz>,
    /// Buckets keep the offset of their instants.
    keeps_offset: bool,
}

impl Bucketing {
    /// Buckets of a width. `origin` is local in `zone`; `offset` moves all buckets.
    pub(crate) fn new(
        width: Width,
        origin: Option<i64>,
        offset: Option<IntervalMonthDayNano>,
        zone: Option<Tz>,
    ) -> Result<Bucketing> {
        let default = if matches!(width, Width::Months(_)) { MONTH_ORIGIN } else { ORIGIN };
        let mut origin = origin.unwrap_or(default);
        if let Some(offset) = offset {
            origin = shifted(origin, offset).ok_or_else(out_of_range)?;
        }
        let whole_hours = origin % MICROS_PER_HOUR == 0;
        let divides_hours = matches!(width, Width::Fixed(length) if MICROS_PER_HOUR % length == 0);
        Ok(Bucketing { width, origin, zone, keeps_offset: divides_hours && whole_hours })
    }

    /// Where the bucket of an instant begins; `None` beyond the range of time stamps.
    pub(crate) fn start(&self, instant: i64) -> Option<i64> {
        let start = match self.zone {
            None => self.local_start(instant)?,
            Some(zone) => {
                let local = datetime::to_local(instant, zone);
                let start = self.local_start(local)?;
                if self.keeps_offset { start.checked_sub(local - instant)? } else { datetime::to_utc(start, zone)? }
            }
        };
        (start >= FIRST).then_some(start)
    }

    /// Instants around one, with it, that are in its bucket; `None` near clock changes and the ends of the range.
    ///
    /// Near a change [`Bucketing::start`] and [`Bucketing::next`] do not say it: of hours after a change by half an hour,
    /// and of local times that happen twice, some lie before the start of their bucket, within another.
    pub(crate) fn neighbours(&self, instant: i64) -> Option<Range<i64>> {
        let Some(zone) = self.zone else {
            let start = self.local_start(instant)?;
            return Some(start..self.local_next(start)?);
        };
        let first = instant.div_euclid(STEADY).checked_mul(STEADY)?;
        let end = first.checked_add(STEADY)?;
        let offset = |at: i64| datetime::to_local(at, zone) - at;
        let passed = offset(instant);
        if offset(first) != passed || offset(end - 1) != passed {
            return None;
        }
        let start = self.local_start(instant.checked_add(passed)?)?;
        let next = self.local_next(start)?;
        Some(first.max(start.checked_sub(passed)?)..end.min(next.checked_sub(passed)?))
    }

    /// Where the bucket after the one that begins at `start` begins.
    pub(crate) fn next(&self, start: i64) -> Option<i64> {
        match (self.zone, self.width) {
            (None, _) => self.local_next(start),
            (Some(_), Width::Fixed(length)) if self.keeps_offset => {
                let next = start.checked_add(length)?;
                // Where clocks move by half an hour, the hours after it begin elsewhere.
                Some(self.start(next).filter(|begin| *begin > start).unwrap_or(next))
            }
            (Some(zone), _) => self.next_local(start, zone),
        }
    }

    /// Where the next bucket of local time begins.
    ///
    /// A local time that is skipped becomes an instant that is as long after the change as the time is after what was
    /// skipped first. So of the buckets that begin at such times the last one, which has instants, may begin after others
    /// that follow it, and those before it have none.
    fn next_local(&self, start: i64, zone: Tz) -> Option<i64> {
        let exists = |local| datetime::to_utc(local, zone).is_some_and(|at| datetime::to_local(at, zone) == local);
        let offset = |at: i64| datetime::to_local(at, zone) - at;
        let skipped = (offset(start) - offset(start.checked_sub(MICROS_PER_DAY)?)).max(0);
        let back = if offset(start - skipped) == offset(start) { 0 } else { skipped };
        let mut local = self.local_start(datetime::to_local(start, zone) - back)?;
        let mut of_skipped: Option<i64> = None;
        loop {
            let (begin, next) = (datetime::to_utc(local, zone)?, self.local_next(local)?);
            if begin > start {
                if exists(local) {
                    return Some(of_skipped.map_or(begin, |earlier| earlier.min(begin)));
                }
                if exists(next - 1) {
                    of_skipped = Some(begin);
                }
            }
            local = next;
        }
    }

    fn local_start(&self, local: i64) -> Option<i64> {
        match self.width {
            Width::Fixed(length) => {
                // The distance from the origin may be more than an integer holds.
                let since = local.rem_euclid(length) - self.origin.rem_euclid(length);
                local.checked_sub(since.rem_euclid(length))
            }
            Width::Months(length) => {
                let (from, at) = (month_of(self.origin), month_of(local));
                let mut count = (at - from).div_euclid(length);
                // The origin's day of the month may come later than that of the instant.
                if self.months_after_origin(count.checked_mul(length)?)? > local {
                    count -= 1;
                }
                self.months_after_origin(count.checked_mul(length)?)
            }
        }
    }

    fn local_next(&self, start: i64) -> Option<i64> {
        match self.width {
            Width::Fixed(length) => start.checked_add(length),
            Width::Months(length) => {
                let count = (month_of(start) - month_of(self.origin)).div_euclid(length);
                self.months_after_origin((count + 1).checked_mul(length)?)
            }
        }
    }

    fn months_after_origin(&self, months: i64) -> Option<i64> {
        let day = Civil::of_days(self.origin.div_euclid(MICROS_PER_DAY)).plus_months(months).days();
        day.checked_mul(MICROS_PER_DAY)?.checked_add(self.origin.rem_euclid(MICROS_PER_DAY))
    }
}

/// Buckets of nanoseconds. They begin some nanoseconds, less than a microsecond, after those of a [`Bucketing`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct NanoBucketing {
    pub(crate) micros: Bucketing,
    /// From 0 to 999.
    pub(crate) phase: i64,
}

impl NanoBucketing {
    /// Where the bucket of an instant begins; `None` beyond the range of time stamps.
    pub(crate) fn start(&self, instant: i64) -> Option<i64> {
        let (micros, rest) = nanos::split(instant);
        let micros = if rest < self.phase { micros - 1 } else { micros };
        nanos::join(self.micros.start(micros)?, self.phase)
    }

    /// As [`Bucketing::neighbours`].
    pub(crate) fn neighbours(&self, instant: i64) -> Option<Range<i64>> {
        let (micros, rest) = nanos::split(instant);
        let Range { start, end } = self.micros.neighbours(if rest < self.phase { micros - 1 } else { micros })?;
        Some(nanos::join(start, self.phase)?..nanos::join(end, self.phase)?)
    }

    /// Where the bucket after the one that begins at `start` begins.
    pub(crate) fn next(&self, start: i64) -> Option<i64> {
        nanos::join(self.micros.next(nanos::split(start).0)?, self.phase)
    }
}

/// Months since the year 0.
fn month_of(local: i64) -> i64 {
    let civil = Civil::of_days(local.div_euclid(MICROS_PER_DAY));
    civil.year * 12 + civil.month - 1
}

/// A local time so much later.
pub(crate) fn shifted(local: i64, by: IntervalMonthDayNano) -> Option<i64> {
    let moved = Civil::of_days(local.div_euclid(MICROS_PER_DAY)).plus_months(i64::from(by.months)).days();
    let days = moved.checked_add(i64::from(by.days))?;
    days.checked_mul(MICROS_PER_DAY)?.checked_add(local.rem_euclid(MICROS_PER_DAY))?.checked_add(by.nanoseconds / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        datetime::timestamptz(text, datetime::utc()).unwrap()
    }

    fn width(text: &str) -> Width {
        Width::of(lightning_sql::text::interval::interval(text).unwrap()).unwrap()
    }

    fn bucketing(length: &str, zone: Option<&str>) -> Bucketing {
        let zone = zone.map(|name| datetime::zone(name).unwrap());
        Bucketing::new(width(length), None, None, zone).unwrap()
    }

    #[test]
    fn fixed_widths_count_from_a_monday() {
        let of = |length: &str, instant: &str| bucketing(length, None).start(at(instant)).unwrap();
        assert_eq!(of("1 hour", "2024-05-06 07:08:09"), at("2024-05-06 07:00"));
        assert_eq!(of("1 week", "2024-05-09"), at("2024-05-06"));
        assert_eq!(of("5 minutes", "1969-12-31 23:59:59"), at("1969-12-31 23:55"));
        assert_eq!(of("1 day", "1600-02-29 13:00"), at("1600-02-29"));
    }

    #[test]
    fn months_keep_to_the_calendar() {
        let of = |length: &str, instant: &str| bucketing(length, None).start(at(instant)).unwrap();
        assert_eq!(of("1 month", "2024-02-29 23:59"), at("2024-02-01"));
        assert_eq!(of("3 months", "1999-12-31"), at("1999-10-01"));
        assert_eq!(of("1 year", "2023-07-01"), at("2023-01-01"));
        let end = Bucketing::new(width("1 month"), Some(at("2024-01-31")), None, None).unwrap();
        assert_eq!(end.start(at("2024-02-29 12:00")), Some(at("2024-02-29")));
        assert_eq!(end.start(at("2024-02-28 12:00")), Some(at("2024-01-31")));
        assert_eq!(end.next(at("2024-02-29")), Some(at("2024-03-31")));
    }

    #[test]
    fn days_of_a_zone_have_23_to_25_hours() {
        let days = bucketing("1 day", Some("Europe/Berlin"));
        let start = days.start(at("2024-03-31 12:00")).unwrap();
        assert_eq!(start, at("2024-03-30 23:00"));
        assert_eq!(days.next(start).unwrap() - start, 23 * MICROS_PER_HOUR);
        let start = days.start(at("2024-10-27 12:00")).unwrap();
        assert_eq!(days.next(start).unwrap() - start, 25 * MICROS_PER_HOUR);
    }

    #[test]
    fn a_doubled_hour_is_two_for_short_buckets() {
        let hours = bucketing("1 hour", Some("Europe/Berlin"));
        assert_eq!(hours.start(at("2024-10-27 00:30")), Some(at("2024-10-27 00:00")));
        assert_eq!(hours.start(at("2024-10-27 01:30")), Some(at("2024-10-27 01:00")));
        let quarters = bucketing("6 hours", Some("Europe/Berlin"));
        assert_eq!(quarters.start(at("2024-10-27 01:30")), Some(at("2024-10-26 22:00")));
    }

    #[test]
    fn hours_go_on_after_clocks_moved_by_half_of_one() {
        let hours = bucketing("1 hour", Some("Australia/Lord_Howe"));
        for (from, to) in [("2024-04-06 00:00", "2024-04-07 00:00"), ("2024-10-05 00:00", "2024-10-06 00:00")] {
            let expected: std::collections::BTreeSet<i64> =
                (at(from)..at(to)).step_by(60_000_000).map(|instant| hours.start(instant).unwrap()).collect();
            let first = hours.start(at(from)).unwrap();
            let all = std::iter::successors(Some(first), |start| hours.next(*start));
            let found: std::collections::BTreeSet<i64> = all.take_while(|start| *start < at(to)).collect();
            assert_eq!(found, expected, "{from}");
        }
    }

    #[test]
    fn buckets_follow_each_other_where_clocks_change() {
        let cases = [
            ("Australia/Lord_Howe", ["2024-04-06 00:00", "2024-10-05 00:00"]),
            ("Europe/Berlin", ["2024-03-30 12:00", "2024-10-26 12:00"]),
            ("America/Havana", ["2024-03-09 12:00", "2024-11-02 12:00"]),
            ("Asia/Pyongyang", ["2015-08-14 00:00", "2018-05-04 00:00"]),
        ];
        let widths =
            ["7 minutes", "20 minutes", "25 minutes", "45 minutes", "1 hour", "90 minutes", "5 hours", "1 day"];
        for (zone, days) in cases {
            for (length, origin) in
                widths.iter().flat_map(|length| [(*length, "2000-01-03"), (*length, "2000-01-03 00:10")])
            {
                let tz = datetime::zone(zone).unwrap();
                let buckets = Bucketing::new(width(length), Some(at(origin)), None, Some(tz)).unwrap();
                for (from, to) in days.map(|day| (at(day), at(day) + 3 * MICROS_PER_DAY / 2)) {
                    let first = buckets.start(from).unwrap();
                    let starts = (from..to).step_by(60_000_000).map(|instant| buckets.start(instant).unwrap());
                    let last = buckets.start(to).unwrap();
                    let expected: std::collections::BTreeSet<i64> = starts.filter(|start| *start < last).collect();
                    let all = std::iter::successors(Some(first), |start| buckets.next(*start));
                    let found: Vec<i64> = all.take_while(|start| *start < last).collect();
                    assert_eq!(found, expected.into_iter().collect::<Vec<i64>>(), "{zone} {length} {origin} {from}");
                }
            }
        }
    }

    #[test]
    fn neighbours_are_in_one_bucket_also_where_clocks_change() {
        let mut random = fastrand::Rng::with_seed(13);
        let zones = [
            "Australia/Lord_Howe",
            "Asia/Pyongyang",
            "Europe/Berlin",
            "America/St_Johns",
            "Africa/Casablanca",
            "Pacific/Apia",
        ];
        for zone in zones {
            let tz = datetime::zone(zone).unwrap();
            let offset = |at: i64| datetime::to_local(at, tz) - at;
            let days = (at("2010-01-01")..at("2020-01-01")).step_by(MICROS_PER_DAY as usize);
            let changes: Vec<i64> = days.filter(|day| offset(*day) != offset(*day + MICROS_PER_DAY)).collect();
            assert!(changes.len() > 1, "{zone}");
            for length in ["20 minutes", "1 hour", "90 minutes", "2 hours", "7 hours", "1 day", "1 week", "1 month"] {
                let buckets = bucketing(length, Some(zone));
                let mut known = 0;
                for _ in 0..200 {
                    let change = changes[random.usize(0..changes.len())];
                    let instant = change + random.i64(-MICROS_PER_DAY..2 * MICROS_PER_DAY);
                    let Some(neighbours) = buckets.neighbours(instant) else { continue };
                    assert!(neighbours.contains(&instant), "{zone} {length} {instant}");
                    known += 1;
                    let ends = [neighbours.start, neighbours.end - 1, random.i64(neighbours.clone())];
                    for other in ends {
                        assert_eq!(buckets.start(other), buckets.start(instant), "{zone} {length} {instant} {other}");
                    }
                }
                assert!(known > 50, "{zone} {length}");
            }
        }
    }

    #[test]
    fn no_bucket_begins_before_the_first_time_stamp() {
        let first = Civil { year: -4713, month: 11, day: 24 }.days() * MICROS_PER_DAY;
        let years = bucketing("1 year", None);
        assert_eq!(bucketing("1 day", None).start(first), Some(first));
        assert_eq!(years.start(first + MICROS_PER_DAY), None);
        assert_eq!(years.start(first + 40 * MICROS_PER_DAY), Some(first + 38 * MICROS_PER_DAY));
    }

    #[test]
    fn every_instant_is_in_its_bucket() {
        let mut random = fastrand::Rng::with_seed(4);
        for length in ["7 minutes", "1 hour", "5 hours", "1 day", "10 days", "1 week", "1 month", "5 months", "1 year"]
        {
            for zone in [None, Some("Europe/Berlin"), Some("Australia/Lord_Howe"), Some("America/St_Johns")] {
                let buckets = bucketing(length, zone);
                for _ in 0..300 {
                    let instant = random.i64(at("1960-01-01")..at("2040-01-01"));
                    let start = buckets.start(instant).unwrap();
                    let next = buckets.next(start).unwrap();
                    assert!(start < next, "{length} {zone:?} {instant}");
                    let doubled = if zone.is_some() && !buckets.keeps_offset { MICROS_PER_HOUR } else { 0 };
                    assert!(start - doubled <= instant, "{length} {zone:?} {instant}");
                    assert!(instant < next + doubled, "{length} {zone:?} {instant}");
                    assert_eq!(buckets.start(start), Some(start), "{length} {zone:?} {instant}");
                }
            }
        }
    }

    #[test]
    fn nanoseconds_are_in_the_buckets_of_their_microseconds() {
        let mut random = fastrand::Rng::with_seed(9);
        for length in ["1 microsecond", "7 minutes", "1 day", "5 months"] {
            for zone in [None, Some("Europe/Berlin")] {
                let buckets = bucketing(length, zone);
                for _ in 0..300 {
                    let (instant, phase) = (random.i64(i64::MIN / 2..i64::MAX / 2), random.i64(0..1000));
                    let plain = NanoBucketing { micros: buckets, phase: 0 }.start(instant).unwrap();
                    assert_eq!(Some(plain), buckets.start(instant.div_euclid(1000)).map(|at| at * 1000));
                    let moved = NanoBucketing { micros: buckets, phase };
                    let start = moved.start(instant).unwrap();
                    let before = NanoBucketing { micros: buckets, phase: 0 }.start(instant - phase).unwrap();
                    assert_eq!(start, before + phase, "{length} {zone:?} {instant}");
                    assert_eq!(moved.start(start), Some(start));
                    assert!(start < moved.next(start).unwrap());
                }
            }
        }
    }

    #[test]
    fn the_first_and_last_buckets_of_nanoseconds_are_cut_off() {
        let hours = NanoBucketing { micros: bucketing("1 hour", None), phase: 0 };
        let micros = |text: &str| at(text) * 1000;
        assert_eq!(hours.start(i64::MIN + 1), None);
        assert_eq!(hours.start(micros("1677-09-21 01:30")), Some(micros("1677-09-21 01:00")));
        let last = hours.start(i64::MAX - 1).unwrap();
        assert_eq!(last, micros("2262-04-11 23:00"));
        assert_eq!(hours.next(last), None);
    }

    #[test]
    fn widths_without_length_are_refused() {
        let state =
            |text: &str| Width::of(lightning_sql::text::interval::interval(text).unwrap()).unwrap_err().state().0;
        assert_eq!(state("0 seconds"), "22023");
        assert_eq!(state("-1 hour"), "22023");
        assert_eq!(state("-1 month"), "22023");
        assert_eq!(state("1 month 1 day"), "0A000");
        assert!(bucketing("1 day", None).start(i64::MIN + 1).is_none());
        let odd = IntervalMonthDayNano::new(0, 0, 1_500);
        assert_eq!(Width::of(odd).unwrap_err().state().0, "22023");
    }
}
