//! Rows that are older than their table keeps.
//!
//! Of a partitioned table whole partitions go, so that it costs no more than saying so: a row may stay until the last one of its partition
//! is too old. Of other tables rows go one by one.

use super::schedule::Job;
use super::session::{open, run as run_in};
use crate::aggregates::expire;
use crate::error::{Error, Result};
use crate::extension::quoted;
use crate::instance::Instance;
use crate::sqlstate::DATETIME_FIELD_OVERFLOW;
use crate::text::calendar::MICROS_PER_DAY;
use crate::text::interval::{interval, length_us};
use crate::text::nanos;
use crate::types::{self, PgType};
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNano, TimeUnit};
use chrono::{DateTime, Months, TimeDelta, Utc};
use lightning_catalog::{Relation, Table, View};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// It runs this often, and more often for what is kept for less than ten times as long.
const EVERY_MAX: Duration = Duration::from_secs(3600);
const EVERY_MIN: Duration = Duration::from_secs(1);

/// How often it runs for a table that says `retention`.
pub(super) fn pace(retention: &str) -> Option<Duration> {
    let kept = interval(retention).ok()?;
    let kept = Duration::from_micros(u64::try_from(length_us(&kept)?).ok()?);
    Some((kept / 10).clamp(EVERY_MIN, EVERY_MAX))
}

/// Deletes what is too old at `now`; how many rows.
pub(super) async fn run(instance: &Arc<Instance>, job: &Job, now: SystemTime) -> Result<u64> {
    // It may be told something else by now than when the job became due.
    let catalog = instance.catalog().snapshot(&instance.engine().snapshot())?;
    let Some(Relation::Table(table)) = catalog.relation_by_oid(job.relation.oid()) else { return Ok(0) };
    let Some(bound) = bound(instance, table, now)? else { return Ok(0) };
    let Some(column) = table.time.as_ref().and_then(|time| table.columns.get(time.column)) else { return Ok(0) };
    let literal = match column.type_oid.0 {
        oid if oid == types::DATE.oid => format!("date '{}'", bound.format("%Y-%m-%d")),
        oid if oid == types::TIMESTAMP.oid || oid == types::TIMESTAMP_NS.oid => {
            format!("timestamp '{}'", bound.format("%Y-%m-%d %H:%M:%S%.6f"))
        }
        _ => format!("timestamptz '{}'", bound.format("%Y-%m-%d %H:%M:%S%.6f+00")),
    };
    let value = match column.type_oid.0 {
        oid if oid == types::DATE.oid => bound.timestamp().div_euclid(86_400),
        // A time before all nanoseconds has no rows before it.
        oid if is_nanos(oid) => nanos::comparable(bound.timestamp_micros()),
        _ => bound.timestamp_micros(),
    };
    let session = open(instance, &job.database)?;
    let name = format!("{}.{}", quoted(&job.schema), quoted(&table.name));
    if !has_rows_before(instance, table, value)? {
        return Ok(0);
    }
    // One transaction: aggregates take what they do not have yet, and are told up to where rows have gone when these are gone.
    run_in(&session, "BEGIN").await?;
    for view in aggregates_of(instance, table)? {
        run_in(&session, &format!("REFRESH MATERIALIZED VIEW {view}")).await?;
    }
    let delete = format!("DELETE FROM {name} WHERE {} < {literal}", quoted(&column.name));
    expire::begin(&session).await?;
    let deleted = run_in(&session, &delete).await?;
    if deleted == 0 {
        // There is nothing to tell either.
        run_in(&session, "ROLLBACK").await?;
        return Ok(0);
    }
    expire::finish(&session, &delete, table, value).await?;
    run_in(&session, "COMMIT").await?;
    Ok(deleted)
}

/// Whether a table may have rows with a time before `value`.
fn has_rows_before(instance: &Instance, table: &Table, value: i64) -> Result<bool> {
    let Some(time) = table.time.as_ref() else { return Ok(false) };
    let statistics = instance.engine().snapshot().statistics(table.storage_table())?;
    let first = statistics.columns.get(time.column).and_then(|column| column.min.clone());
    let first = first.and_then(|first| cast(&first, &DataType::Int64).ok());
    let first = first.as_ref().and_then(|first| first.as_primitive_opt::<Int64Type>());
    Ok(statistics.rows > 0 && first.is_none_or(|first| first.is_empty() || first.value(0) < value))
}

/// The names of the continuous aggregates over a table.
fn aggregates_of(instance: &Instance, table: &Table) -> Result<Vec<String>> {
    let catalog = instance.catalog().snapshot(&instance.engine().snapshot())?;
    let is_over = |view: &&Arc<View>| view.materialized.as_ref().is_some_and(|kept| kept.source == table.oid);
    let name = |view: &Arc<View>| {
        let schema = catalog.schema_by_oid(view.schema)?;
        Some(format!("{}.{}", quoted(&schema.name), quoted(&view.name)))
    };
    Ok(catalog.materialized_views().filter(is_over).filter_map(name).collect())
}

/// The time before which rows go; `None` when there is no such time.
fn bound(instance: &Instance, table: &Table, now: SystemTime) -> Result<Option<DateTime<Utc>>> {
    let Some(retention) = table.time.as_ref().and_then(|time| time.retention.as_ref()) else { return Ok(None) };
    let exact = before(now.into(), &interval(retention)?)
        .ok_or_else(|| Error::new(DATETIME_FIELD_OVERFLOW, "retention out of range"))?;
    let definition = instance.engine().snapshot().table(table.storage_table())?.definition;
    let Some(by) = definition.partition else { return Ok(Some(exact)) };
    let data_type = definition.schema.field(by.column).data_type();
    let exact = exact.timestamp_micros();
    let value = match data_type {
        DataType::Date32 => exact.div_euclid(MICROS_PER_DAY),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => nanos::comparable(exact),
        _ => exact,
    };
    let start = by.start(by.partition_of(value, data_type), data_type);
    let micros = start.and_then(|start| match data_type {
        DataType::Date32 => start.checked_mul(MICROS_PER_DAY),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Some(nanos::split(start).0),
        _ => Some(start),
    });
    Ok(micros.and_then(DateTime::from_timestamp_micros))
}

fn is_nanos(oid: u32) -> bool {
    PgType::by_oid(oid).is_some_and(PgType::is_nanos)
}

/// An interval earlier.
fn before(time: DateTime<Utc>, interval: &IntervalMonthDayNano) -> Option<DateTime<Utc>> {
    let time = time.checked_sub_months(Months::new(u32::try_from(interval.months).ok()?))?;
    let time = time.checked_sub_signed(TimeDelta::try_days(i64::from(interval.days))?)?;
    time.checked_sub_signed(TimeDelta::nanoseconds(interval.nanoseconds))
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
