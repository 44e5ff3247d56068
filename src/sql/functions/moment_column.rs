//! A column of dates, times, time stamps or intervals, seen as local time.

use crate::text::{datetime, nanos};
use crate::types::{self, PgType};
use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use datafusion::common::{DataFusionError, Result};
use datafusion::config::ConfigOptions;
use std::sync::Arc;

/// The types there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Date,
    Time,
    Timestamp,
    Timestamptz,
    TimestampNs,
    TimestamptzNs,
    Interval,
}

impl Kind {
    /// The kind of an Arrow type.
    pub(super) fn of(data_type: &DataType) -> Option<Kind> {
        Some(match data_type {
            DataType::Date32 => Kind::Date,
            DataType::Time32(_) | DataType::Time64(_) => Kind::Time,
            DataType::Timestamp(TimeUnit::Nanosecond, None) => Kind::TimestampNs,
            DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => Kind::TimestamptzNs,
            DataType::Timestamp(_, None) | DataType::Date64 => Kind::Timestamp,
            DataType::Timestamp(_, Some(_)) => Kind::Timestamptz,
            DataType::Interval(_) | DataType::Duration(_) => Kind::Interval,
            _ => return None,
        })
    }

    /// The Arrow type values are read in.
    pub(super) fn arrow(self) -> DataType {
        match self {
            Kind::Date => DataType::Date32,
            Kind::Time => DataType::Time64(TimeUnit::Microsecond),
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Kind::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::TimestampNs => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Kind::TimestamptzNs => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            Kind::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        }
    }

    /// Whether its values are nanoseconds.
    pub(super) fn is_nanos(self) -> bool {
        matches!(self, Kind::TimestampNs | Kind::TimestamptzNs)
    }

    /// Whether its values are local times of no zone.
    pub(super) fn is_local(self) -> bool {
        matches!(self, Kind::Timestamp | Kind::TimestampNs)
    }

    /// Whether its values are instants.
    pub(super) fn is_instant(self) -> bool {
        matches!(self, Kind::Timestamptz | Kind::TimestamptzNs)
    }

    /// The kind of the same precision with, or without, zone.
    pub(super) fn zoned(self, is_instant: bool) -> Kind {
        match (self.is_nanos(), is_instant) {
            (true, true) => Kind::TimestamptzNs,
            (true, false) => Kind::TimestampNs,
            (false, true) => Kind::Timestamptz,
            (false, false) => Kind::Timestamp,
        }
    }

    /// A column of time stamps of this kind from microseconds and nanoseconds over. 22008 for what is beyond nanoseconds.
    pub(super) fn stamps(self, values: Vec<Option<(i64, i64)>>) -> Result<ArrayRef> {
        let zone = self.is_instant().then_some("UTC");
        if !self.is_nanos() {
            let micros = values.into_iter().map(|value| value.map(|(micros, _)| micros));
            return Ok(Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone_opt(zone)));
        }
        let joined = |(micros, rest)| {
            nanos::join(micros, rest).ok_or_else(|| DataFusionError::External(Box::new(nanos::out_of_range())))
        };
        let nanos = values.into_iter().map(|value| value.map(joined).transpose());
        Ok(Arc::new(nanos.collect::<Result<TimestampNanosecondArray>>()?.with_timezone_opt(zone)))
    }

    /// The type in messages.
    pub(super) fn pg_type(self) -> PgType {
        match self {
            Kind::Date => types::DATE,
            Kind::Time => types::TIME,
            Kind::Timestamp => types::TIMESTAMP,
            Kind::Timestamptz => types::TIMESTAMPTZ,
            Kind::TimestampNs => types::TIMESTAMP_NS,
            Kind::TimestamptzNs => types::TIMESTAMPTZ_NS,
            Kind::Interval => types::INTERVAL,
        }
    }
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment {
    /// Microseconds since midnight or 1970-01-01, in the session's zone and in UTC, and nanoseconds over.
    At { local: i64, utc: i64, rest: i64 },
    /// A length of time.
    Interval(IntervalMonthDayNano),
}

/// The column.
#[derive(Debug)]
pub(super) struct MomentColumn {
    /// What its values are.
    pub(super) kind: Kind,
    /// The session's zone.
    pub(super) zone: Tz,
    array: ArrayRef,
}

impl MomentColumn {
    /// `None` for a column of other values (of NULLs without type).
    pub(super) fn new(array: &ArrayRef, options: &ConfigOptions) -> Result<Option<MomentColumn>> {
        let Some(kind) = Kind::of(array.data_type()) else { return Ok(None) };
        let name = options.execution.time_zone.as_deref().unwrap_or("UTC");
        let zone = datetime::zone(name).unwrap_or_else(|_| datetime::utc());
        Ok(Some(MomentColumn { kind, zone, array: cast(array, &kind.arrow())? }))
    }

    /// One row alone.
    pub(super) fn slice(&self, row: usize) -> MomentColumn {
        MomentColumn { kind: self.kind, zone: self.zone, array: self.array.slice(row, 1) }
    }

    /// The values of all rows; `None` for NULL.
    pub(super) fn map<'a, T: 'a>(
        &'a self,
        f: impl Fn(Moment) -> T + 'a,
    ) -> Box<dyn ExactSizeIterator<Item = Option<T>> + 'a> {
        let same = |micros: i64| Moment::At { local: micros, utc: micros, rest: 0 };
        match self.kind {
            Kind::Date => Box::new(
                self.array
                    .as_primitive::<Date32Type>()
                    .iter()
                    .map(move |v| v.map(|days| f(same(i64::from(days) * crate::text::calendar::MICROS_PER_DAY)))),
            ),
            Kind::Time => {
                Box::new(self.array.as_primitive::<Time64MicrosecondType>().iter().map(move |v| v.map(|v| f(same(v)))))
            }
            Kind::Timestamp => Box::new(
                self.array.as_primitive::<TimestampMicrosecondType>().iter().map(move |v| v.map(|v| f(same(v)))),
            ),
            Kind::Timestamptz => {
                let zone = self.zone;
                let at = move |utc| Moment::At { local: datetime::to_local(utc, zone), utc, rest: 0 };
                Box::new(self.array.as_primitive::<TimestampMicrosecondType>().iter().map(move |v| v.map(|v| f(at(v)))))
            }
            Kind::TimestampNs | Kind::TimestamptzNs => {
                let zone = self.kind.is_instant().then_some(self.zone);
                let at = move |value| {
                    let (utc, rest) = nanos::split(value);
                    Moment::At { local: zone.map_or(utc, |zone| datetime::to_local(utc, zone)), utc, rest }
                };
                Box::new(self.array.as_primitive::<TimestampNanosecondType>().iter().map(move |v| v.map(|v| f(at(v)))))
            }
            Kind::Interval => Box::new(
                self.array
                    .as_primitive::<IntervalMonthDayNanoType>()
                    .iter()
                    .map(move |v| v.map(|v| f(Moment::Interval(v)))),
            ),
        }
    }
}
