//! Time stamps in nanoseconds: which there are, and how they go with those in microseconds.
//!
//! A `timestamp_ns` counts nanoseconds since 1970 in 64 bits. The two ends of the integers are no times, since clients take them for
//! infinity; so times go from 1677-09-21 00:12:43.145224193 to 2262-04-11 23:47:16.854775806. Calendars and zones are computed in
//! microseconds, which reach farther: a time is whole microseconds, rounded down, and a rest of less than one.

use super::datetime;
use crate::error::Error;
use crate::sqlstate::DATETIME_FIELD_OVERFLOW;
use arrow::array::timezone::Tz;

/// Nanoseconds of a microsecond.
pub const PER_MICRO: i64 = 1000;
/// Nanoseconds of a day.
pub const PER_DAY: i64 = 86_400_000_000_000;

/// 22008: no time stamp in nanoseconds.
pub fn out_of_range() -> Error {
    Error::new(DATETIME_FIELD_OVERFLOW, "timestamp_ns out of range")
        .with_detail("It must be between 1677-09-21 00:12:43.145224193 and 2262-04-11 23:47:16.854775806.")
}

/// Whether a number is a time.
pub fn is_time(nanos: i64) -> bool {
    nanos != i64::MIN && nanos != i64::MAX
}

/// A number of nanoseconds as a time, if it is one.
pub fn checked(nanos: i128) -> Option<i64> {
    i64::try_from(nanos).ok().filter(|nanos| is_time(*nanos))
}

/// A time in microseconds, if nanoseconds reach as far.
pub fn of_micros(micros: i64) -> Option<i64> {
    micros.checked_mul(PER_MICRO)
}

/// A time in microseconds for comparisons: one beyond all times is less, or greater, than all of them.
pub fn comparable(micros: i64) -> i64 {
    micros.saturating_mul(PER_MICRO)
}

/// Whole microseconds, and the nanoseconds over.
pub fn split(nanos: i64) -> (i64, i64) {
    (nanos.div_euclid(PER_MICRO), nanos.rem_euclid(PER_MICRO))
}

/// The reverse of [`split`].
pub fn join(micros: i64, rest: i64) -> Option<i64> {
    checked(i128::from(micros) * i128::from(PER_MICRO) + i128::from(rest))
}

/// UTC to local time in `zone`.
pub fn to_local(nanos: i64, zone: Tz) -> Option<i64> {
    let (micros, rest) = split(nanos);
    join(datetime::to_local(micros, zone), rest)
}

/// Local time in `zone` to UTC, as [`datetime::to_utc`] does it.
pub fn to_utc(nanos: i64, zone: Tz) -> Option<i64> {
    let (micros, rest) = split(nanos);
    join(datetime::to_utc(micros, zone)?, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_are_rounded_down() {
        assert_eq!((split(-1), split(1_999), split(-1_000)), ((-1, 999), (1, 999), (-1, 0)));
        for nanos in [i64::MIN + 1, -1_000_001, -1, 0, 1, i64::MAX - 1] {
            let (micros, rest) = split(nanos);
            assert_eq!(join(micros, rest), Some(nanos));
        }
    }

    #[test]
    fn ends_of_the_integers_are_no_times() {
        let ends = [split(i64::MIN), split(i64::MAX)].map(|(micros, rest)| join(micros, rest));
        assert_eq!(ends, [None, None]);
        let (below, above) = (split(i64::MIN).0, split(i64::MAX).0 + 1);
        assert_eq!((of_micros(below), of_micros(above)), (None, None));
        assert_eq!((comparable(below), comparable(above)), (i64::MIN, i64::MAX));
    }

    #[test]
    fn zones_move_whole_seconds() {
        let berlin = datetime::zone("Europe/Berlin").unwrap();
        assert_eq!(to_local(1, berlin), Some(3_600_000_000_001));
        assert_eq!(to_utc(3_600_000_000_001, berlin), Some(1));
        assert_eq!(to_local(i64::MAX - 1, berlin), None);
    }
}
