//! Time stamps of points: numbers since 1970 in the precision a request names, stored in microseconds.

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

    /// Microseconds since 1970, down to whole ones; `None` when no column holds it.
    pub(crate) fn micros(self, time: i64) -> Option<i64> {
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
}
