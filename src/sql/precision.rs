//! Time stamps in microseconds as such in nanoseconds, and back.
//!
//! Nanoseconds reach from 1677 to 2262, microseconds much farther. A value that is beyond is an error of a cast; for a comparison it is
//! the integer before, or behind, all times ([`Beyond`]). Microseconds are nanoseconds rounded down, before 1970 as after, so that a time
//! stays in the bucket, the hour and the day it is in.

use crate::error::Result;
use crate::text::calendar::MICROS_PER_DAY;
use crate::text::{datetime, nanos};
use crate::types::{self, PgType};
use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{Date32Type, TimestampMicrosecondType, TimestampNanosecondType};
use std::sync::Arc;

/// What becomes of a time that nanoseconds do not reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Beyond {
    /// 22008.
    Fails,
    /// The least or the greatest integer, which are no times: it compares as the time does.
    Compares,
}

/// Whether values of a type are instants.
pub(crate) fn is_instant(pg: PgType) -> bool {
    pg.oid == types::TIMESTAMPTZ.oid || pg.oid == types::TIMESTAMPTZ_NS.oid
}

/// Whether values of a type are dates or time stamps.
pub(crate) fn is_moment(pg: PgType) -> bool {
    pg.oid == types::DATE.oid || pg.oid == types::TIMESTAMP.oid || pg.oid == types::TIMESTAMPTZ.oid || pg.is_nanos()
}

/// The type in nanoseconds that holds, or compares with, values of both types.
pub(crate) fn in_nanos(left: PgType, right: PgType) -> PgType {
    if is_instant(left) || is_instant(right) { types::TIMESTAMPTZ_NS } else { types::TIMESTAMP_NS }
}

/// The type in microseconds that is closest to a type in nanoseconds.
pub(crate) fn in_micros(pg: PgType) -> PgType {
    if is_instant(pg) { types::TIMESTAMPTZ } else { types::TIMESTAMP }
}

/// Dates or time stamps of any kind as `to`, which is in nanoseconds.
pub(crate) fn to_nanos(array: &ArrayRef, from: PgType, to: PgType, zone: Tz, beyond: Beyond) -> Result<ArrayRef> {
    let moved = |micros: i64| match (is_instant(from), is_instant(to)) {
        (false, true) => datetime::to_utc(micros, zone),
        (true, false) => Some(datetime::to_local(micros, zone)),
        _ => Some(micros),
    };
    let convert = |micros: i64, rest: i64| -> Result<i64> {
        match (moved(micros).and_then(|micros| nanos::join(micros, rest)), beyond) {
            (Some(nanos), _) => Ok(nanos),
            (None, Beyond::Fails) => Err(nanos::out_of_range()),
            (None, Beyond::Compares) => Ok(if micros < 0 { i64::MIN } else { i64::MAX }),
        }
    };
    let array = match from.arrow_type() {
        Some(wanted) if *array.data_type() != wanted => cast(array, &wanted)?,
        _ => Arc::clone(array),
    };
    let values: TimestampNanosecondArray = if from.oid == types::DATE.oid {
        array.as_primitive::<Date32Type>().try_unary(|day| convert(i64::from(day) * MICROS_PER_DAY, 0))?
    } else if from.is_nanos() {
        array.as_primitive::<TimestampNanosecondType>().try_unary(|value| {
            let (micros, rest) = nanos::split(value);
            convert(micros, rest)
        })?
    } else {
        array.as_primitive::<TimestampMicrosecondType>().try_unary(|micros| convert(micros, 0))?
    };
    Ok(Arc::new(values.with_timezone_opt(is_instant(to).then_some("UTC"))))
}

/// Time stamps in nanoseconds as such in microseconds, rounded down.
pub(crate) fn to_micros(array: &ArrayRef, from: PgType) -> ArrayRef {
    let values = array.as_primitive::<TimestampNanosecondType>();
    let micros: TimestampMicrosecondArray = values.unary(|value| nanos::split(value).0);
    Arc::new(micros.with_timezone_opt(is_instant(from).then_some("UTC")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{ColumnBuilder, InputOptions};

    fn array(pg: PgType, text: &str) -> ArrayRef {
        ColumnBuilder::one(pg, Some(text), InputOptions { zone: datetime::utc() }).unwrap()
    }

    fn widened(from: PgType, text: &str, to: PgType, beyond: Beyond) -> Result<i64> {
        let berlin = datetime::zone("Europe/Berlin").unwrap();
        let array = to_nanos(&array(from, text), from, to, berlin, beyond)?;
        Ok(array.as_primitive::<TimestampNanosecondType>().value(0))
    }

    #[test]
    fn dates_and_local_times_become_instants_of_the_zone() {
        use types::{DATE, TIMESTAMP_NS, TIMESTAMPTZ_NS};
        assert_eq!(widened(DATE, "1970-01-02", TIMESTAMP_NS, Beyond::Fails).unwrap(), nanos::PER_DAY);
        let hour = 3_600_000_000_000;
        assert_eq!(widened(DATE, "1970-01-02", TIMESTAMPTZ_NS, Beyond::Fails).unwrap(), nanos::PER_DAY - hour);
        let local = widened(TIMESTAMP_NS, "1970-01-01 01:00:00.000000001", TIMESTAMPTZ_NS, Beyond::Fails);
        assert_eq!(local.unwrap(), 1);
    }

    #[test]
    fn times_beyond_fail_or_compare() {
        use types::{DATE, TIMESTAMP, TIMESTAMP_NS, TIMESTAMPTZ_NS};
        assert_eq!(widened(TIMESTAMP, "0001-01-01", TIMESTAMP_NS, Beyond::Fails).unwrap_err().state().0, "22008");
        assert_eq!(widened(TIMESTAMP, "0001-01-01", TIMESTAMP_NS, Beyond::Compares).unwrap(), i64::MIN);
        assert_eq!(widened(DATE, "9999-01-01", TIMESTAMPTZ_NS, Beyond::Compares).unwrap(), i64::MAX);
    }

    #[test]
    fn microseconds_are_rounded_down() {
        for (text, micros) in [("1970-01-01 00:00:00.000001999", 1), ("1969-12-31 23:59:59.999999999", -1)] {
            let array = to_micros(&array(types::TIMESTAMP_NS, text), types::TIMESTAMP_NS);
            assert_eq!(array.as_primitive::<TimestampMicrosecondType>().value(0), micros);
        }
    }
}
