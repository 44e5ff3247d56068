//! The proleptic Gregorian calendar in whole numbers, for columns of dates and time stamps.
//!
//! Days count from 1970-01-01, microseconds from its midnight. The conversions are Howard Hinnant's (“chrono-compatible
//! low-level date algorithms”): eras of 400 years, years that begin in March.

/// Microseconds of a day.
pub const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The first day there is, 4714-11-24 BC, where Julian days begin.
pub const FIRST_DAY: i64 = -2_440_588;

/// Year (0 is 1 BC), month and day of the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year; 0 is 1 BC.
    pub year: i64,
    /// Month, from 1.
    pub month: i64,
    /// Day of the month, from 1.
    pub day: i64,
}

const DAYS_PER_ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_SHIFT: i64 = 719_468;

impl Civil {
    /// The date of a day.
    pub fn of_days(days: i64) -> Civil {
        let shifted = days + EPOCH_SHIFT;
        let era = shifted.div_euclid(DAYS_PER_ERA);
        let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Civil { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
    }

    /// Its day.
    pub fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted_month = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let day_of_year = (153 * shifted_month + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * DAYS_PER_ERA + day_of_era - EPOCH_SHIFT
    }

    /// The same day of the month so many months later, or the last of that month when it has no such day.
    pub fn plus_months(self, months: i64) -> Civil {
        let count = self.year * 12 + (self.month - 1) + months;
        let (year, month) = (count.div_euclid(12), count.rem_euclid(12) + 1);
        Civil { year, month, day: self.day.min(days_in_month(year, month)) }
    }

    /// Days since January 1st, from 1.
    pub fn day_of_year(self) -> i64 {
        self.days() - Civil { year: self.year, month: 1, day: 1 }.days() + 1
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Monday is 1, Sunday 7.
pub fn iso_weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// Year and number of the ISO 8601 week a day is in.
pub fn iso_week(days: i64) -> (i64, i64) {
    // A week belongs to the year its Thursday is in.
    let thursday = days - iso_weekday(days) + 4;
    let year = Civil::of_days(thursday).year;
    let first = Civil { year, month: 1, day: 1 }.days();
    (year, (thursday - first) / 7 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Datelike;

    #[test]
    fn agrees_with_chrono() {
        for days in (-1_000_000..1_000_000).step_by(137) {
            let date = chrono::NaiveDate::from_num_days_from_ce_opt(days + 719_163).unwrap();
            let civil = Civil::of_days(i64::from(days));
            let expected = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
            assert_eq!((civil.year, civil.month, civil.day), expected);
            assert_eq!(civil.days(), i64::from(days));
            assert_eq!(civil.day_of_year(), i64::from(date.ordinal()));
            assert_eq!(iso_weekday(i64::from(days)), i64::from(date.weekday().number_from_monday()));
            let week = date.iso_week();
            assert_eq!(iso_week(i64::from(days)), (i64::from(week.year()), i64::from(week.week())));
        }
    }

    #[test]
    fn julian_days_begin_with_the_first_day() {
        assert_eq!(Civil::of_days(FIRST_DAY), Civil { year: -4713, month: 11, day: 24 });
    }

    #[test]
    fn months_end_where_they_end() {
        let date = Civil { year: 2024, month: 1, day: 31 };
        assert_eq!(date.plus_months(1), Civil { year: 2024, month: 2, day: 29 });
        assert_eq!(date.plus_months(-11), Civil { year: 2023, month: 2, day: 28 });
        assert_eq!(date.plus_months(-13), Civil { year: 2022, month: 12, day: 31 });
    }
}
