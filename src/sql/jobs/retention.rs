//! Rows that are older than their table keeps.
//!
//! Of a partitioned table whole partitions go, so that it costs no more than saying so: a row may stay until the last one of its partition
//! is too old. Of other tables rows go one by one.

use super::schedule::Job;
use crate::error::{Error, Result};
use crate::instance::{ConnectOptions, Instance};
use crate::outcome::Outcome;
use crate::sqlstate::DATETIME_FIELD_OVERFLOW;
use crate::text::interval::{interval, length_us};
use crate::types;
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use chrono::{DateTime, Months, TimeDelta, Utc};
use lightning_catalog::Table;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Who runs it.
const USER: &str = "lightning";
/// A table that is in use for longer is left to the next run.
const LOCK_TIMEOUT: &str = "2s";
/// It runs this often, and more often for what is kept for less than ten times as long.
const EVERY_MAX: Duration = Duration::from_secs(3600);
const EVERY_MIN: Duration = Duration::from_secs(1);

/// How often it runs for a table; `None` for a table that keeps its rows.
pub(super) fn pace(table: &Table) -> Option<Duration> {
    let kept = interval(table.time.as_ref()?.retention.as_ref()?).ok()?;
    let kept = Duration::from_micros(u64::try_from(length_us(&kept)?).ok()?);
    Some((kept / 10).clamp(EVERY_MIN, EVERY_MAX))
}

/// Deletes what is too old at `now`; how many rows.
pub(super) async fn run(instance: &Arc<Instance>, job: &Job, now: SystemTime) -> Result<u64> {
    let Some(bound) = bound(instance, &job.table, now)? else { return Ok(0) };
    let Some(column) = job.table.time.as_ref().and_then(|time| job.table.columns.get(time.column)) else {
        return Ok(0);
    };
    let literal = match column.type_oid.0 {
        oid if oid == types::DATE.oid => format!("date '{}'", bound.format("%Y-%m-%d")),
        oid if oid == types::TIMESTAMP.oid => format!("timestamp '{}'", bound.format("%Y-%m-%d %H:%M:%S%.6f")),
        _ => format!("timestamptz '{}'", bound.format("%Y-%m-%d %H:%M:%S%.6f+00")),
    };
    let (schema, table, column) = (quoted(&job.schema), quoted(&job.table.name), quoted(&column.name));
    let session = instance.connect(ConnectOptions {
        user: USER.to_owned(),
        database: job.database.clone(),
        settings: vec![
            ("application_name".to_owned(), "lightning jobs".to_owned()),
            ("lock_timeout".to_owned(), LOCK_TIMEOUT.to_owned()),
        ],
        local_files: false,
    })?;
    let mut deleted = 0;
    for statement in session.parse(&format!("DELETE FROM {schema}.{table} WHERE {column} < {literal}"))? {
        if let Outcome::Done { rows, .. } = session.run(&statement).await? {
            deleted += rows;
        }
    }
    Ok(deleted)
}

/// The time before which rows go; `None` when there is no such time.
fn bound(instance: &Instance, table: &Table, now: SystemTime) -> Result<Option<DateTime<Utc>>> {
    let Some(retention) = table.time.as_ref().and_then(|time| time.retention.as_ref()) else { return Ok(None) };
    let exact = before(now.into(), &interval(retention)?)
        .ok_or_else(|| Error::new(DATETIME_FIELD_OVERFLOW, "retention out of range"))?;
    let definition = instance.engine().snapshot().table(table.storage_table())?.definition;
    let Some(by) = definition.partition else { return Ok(Some(exact)) };
    let data_type = definition.schema.field(by.column).data_type();
    let unit = if *data_type == DataType::Date32 { 86_400_000_000 } else { 1 };
    let value = exact.timestamp_micros().div_euclid(unit);
    let start = by.start(by.partition_of(value, data_type), data_type);
    Ok(start.and_then(|start| DateTime::from_timestamp_micros(start.checked_mul(unit)?)))
}

/// An interval earlier.
fn before(time: DateTime<Utc>, interval: &IntervalMonthDayNano) -> Option<DateTime<Utc>> {
    let time = time.checked_sub_months(Months::new(u32::try_from(interval.months).ok()?))?;
    let time = time.checked_sub_signed(TimeDelta::try_days(i64::from(interval.days))?)?;
    time.checked_sub_signed(TimeDelta::nanoseconds(interval.nanoseconds))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_before_is_on_the_calendar() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let cases = [
            ("2024-03-31T12:00:00Z", "1 month", "2024-02-29T12:00:00Z"),
            ("2024-03-01T00:00:00Z", "90 days", "2023-12-02T00:00:00Z"),
            ("1970-01-01T00:00:00Z", "1 hour", "1969-12-31T23:00:00Z"),
        ];
        for (time, text, expected) in cases {
            assert_eq!(before(at(time), &interval(text).unwrap()), Some(at(expected)));
        }
    }
}
