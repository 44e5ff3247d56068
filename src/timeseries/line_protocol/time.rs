//! Time stamps of points: numbers since 1970 in the precision a request names, stored in the precision of their column.

use lightning_sql::text::nanos;

/// Earliest and latest time that a time stamp column holds, in microseconds since 1970.
const MICROS_MIN: i64 = -210_866_803_200_000_000;
const MICROS_MAX: i64 = 8_210_266_876_799_999_999;

/// What one step of a request's time stamps is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// Nanoseconds, as long as nothing else is said.
    Nanoseconds,
    /// A whole number of microseconds.
    Micros(i64),
}

impl Precision {
    /// The value of the parameter `precision`, as all versions of InfluxDB spell it.
    pub(crate) fn named(name: &str) -> Option<Precision> {
        Some(match name {
            "" | "n" | "ns" => Precision::Nanoseconds,
            "u" | "us" | "µ" | "µs" => Precision::Micros(1),
            "ms" => Precision::Micros(1_000),
            "s" => Precision::Micros(1_000_000),
            "m" => Precision::Micros(60_000_000),
            "h" => Precision::Micros(3_600_000_000),
            _ => return None,
        })
    }

    /// A time in the unit of a column, down to whole microseconds or in nanoseconds; `None` when no such column holds it.
    pub(crate) fn time(self, time: i64, is_nanos: bool) -> Option<i64> {
        if !is_nanos {
            return self.micros(time);
        }
        match self {
            Precision::Nanoseconds => Some(time).filter(|time| nanos::is_time(*time)),
            Precision::Micros(step) => nanos::of_micros(time.checked_mul(step)?),
        }
    }

    /// Microseconds since 1970, down to whole ones; `None` when no column holds it.
    fn micros(self, time: i64) -> Option<i64> {
        let micros = match self {
            Precision::Nanoseconds => time.div_euclid(1_000),
            Precision::Micros(step) => time.checked_mul(step)?,
        };
        (MICROS_MIN..=MICROS_MAX).contains(&micros).then_some(micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_are_steps_of_a_time_stamp() {
        for (name, time, micros) in [
            ("ns", 1_999, Some(1)),
            ("n", -1, Some(-1)),
            ("", -1_000, Some(-1)),
            ("us", 7, Some(7)),
            ("ms", -3, Some(-3_000)),
            ("s", 1_700_000_000, Some(1_700_000_000_000_000)),
            ("m", 2, Some(120_000_000)),
            ("h", 1, Some(3_600_000_000)),
            ("s", i64::MAX, None),
            ("us", i64::MAX, None),
            ("us", i64::MIN, None),
        ] {
            assert_eq!(Precision::named(name).unwrap().micros(time), micros, "{time} {name}");
        }
        assert_eq!(Precision::named("d"), None);
    }

    #[test]
    fn nanoseconds_are_kept_where_the_column_has_them() {
        for (name, time, nanos) in [
            ("ns", -1_999, Some(-1_999)),
            ("us", 7, Some(7_000)),
            ("s", 1_700_000_000, Some(1_700_000_000_000_000_000)),
            ("s", 10_000_000_000, None),
            ("ns", i64::MAX, None),
            ("ns", i64::MIN, None),
        ] {
            assert_eq!(Precision::named(name).unwrap().time(time, true), nanos, "{time} {name}");
        }
    }
}
