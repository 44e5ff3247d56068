//! CREATE TABLE … WITH (time_column = …, partition_by = …, retention = …), and what ALTER TABLE can change of it.

use super::target::folded;
use crate::error::{Error, Result};
use crate::parser::parameters::Change;
use crate::sqlstate::{DATATYPE_MISMATCH, INVALID_PARAMETER_VALUE, UNDEFINED_COLUMN};
use crate::text::calendar::MICROS_PER_DAY;
use crate::text::interval::{interval, length_us};
use crate::text::nanos;
use crate::types;
use datafusion::sql::sqlparser::ast::{CreateTableOptions, Expr, SqlOption, UnaryOperator, Value};
use lightning_catalog::{NewColumn, Oid, Table, TimeOptions};
use lightning_storage::{PartitionBy, PartitionWidth};

/// What the options of a table say.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) time: Option<TimeOptions>,
    pub(super) partition: Option<PartitionBy>,
}

/// An option with its value as text.
type Setting = (String, String);

/// Reads the options of a table with these columns. Storage parameters that PostgreSQL's tools write and that mean nothing here are accepted;
/// others are not.
pub(super) fn read(options: &CreateTableOptions, columns: &[NewColumn]) -> Result<Options> {
    let mut time = None;
    let (mut partition_by, mut retention) = (None, None);
    for (name, value) in settings(options)? {
        let place = match name.as_str() {
            "time_column" => &mut time,
            "partition_by" => &mut partition_by,
            "retention" => &mut retention,
            name if means_nothing(name) => continue,
            name => return Err(unrecognized(name)),
        };
        if place.replace(value).is_some() {
            return Err(invalid(format!("parameter \"{name}\" specified more than once")));
        }
    }
    let Some(time) = time else {
        return match partition_by.map(|_| "partition_by").or(retention.map(|_| "retention")) {
            None => Ok(Options::default()),
            Some(name) => Err(needs_time_column(name)),
        };
    };
    let column = columns.iter().position(|column| column.name == time).ok_or_else(|| {
        Error::new(UNDEFINED_COLUMN, format!("column \"{time}\" named in parameter \"time_column\" does not exist"))
    })?;
    let kind = Kind::of(&columns[column].name, columns[column].type_oid)?;
    let width = partition_by.as_deref().map(|text| kind.width(text)).transpose()?;
    if let Some(text) = &retention {
        check_retention(kind, text, width)?;
    }
    let partition = width.map(|width| PartitionBy { column, width });
    Ok(Options { time: Some(TimeOptions { column, partition_by, retention }), partition })
}

/// What a table knows of its time when some parameters have been changed.
pub(super) fn changed(table: &Table, changes: &[Change]) -> Result<Option<TimeOptions>> {
    let mut retention = table.time.as_ref().and_then(|time| time.retention.clone());
    for Change { parameter, value } in changes {
        match parameter.as_str() {
            "retention" => retention = value.clone(),
            "time_column" | "partition_by" => {
                return Err(Error::unsupported(format!("changing parameter \"{parameter}\" of a table"))
                    .with_hint("Create another table WITH what you want, and copy the rows: INSERT INTO … SELECT."));
            }
            name if means_nothing(name) => {}
            name => return Err(unrecognized(name)),
        }
    }
    let Some(time) = table.time.clone() else {
        return if retention.is_none() { Ok(None) } else { Err(needs_time_column("retention")) };
    };
    if let Some(text) = &retention {
        let column = &table.columns[time.column];
        let kind = Kind::of(&column.name, column.type_oid)?;
        check_retention(kind, text, time.partition_by.as_deref().map(|text| kind.width(text)).transpose()?)?;
    }
    Ok(Some(TimeOptions { retention, ..time }))
}

/// Storage parameters that PostgreSQL's tools write.
fn means_nothing(parameter: &str) -> bool {
    parameter == "fillfactor" || parameter.starts_with("autovacuum_")
}

/// Refuses a parameter that is none.
pub(super) fn unrecognized(parameter: &str) -> Error {
    invalid(format!("unrecognized parameter \"{parameter}\""))
}

fn needs_time_column(parameter: &str) -> Error {
    invalid(format!("parameter \"{parameter}\" needs \"time_column\""))
        .with_hint("Say which column is the time when you create the table: WITH (time_column = 'ts', …).")
}

/// Refuses a retention that is none, or shorter than a partition.
fn check_retention(kind: Kind, text: &str, width: Option<PartitionWidth>) -> Result<()> {
    if kind == Kind::Integer {
        return Err(Error::unsupported("retention by a column of integers"));
    }
    let kept = interval(text)?;
    let kept_us = length_us(&kept).filter(|us| *us > 0);
    let kept_us = kept_us.ok_or_else(|| invalid(format!("retention must be positive: \"{text}\"")))?;
    let partition_us = match width {
        Some(PartitionWidth::Values(width)) if kind == Kind::Date => width.saturating_mul(MICROS_PER_DAY),
        Some(PartitionWidth::Values(width)) if kind == Kind::NanoStamp => width / nanos::PER_MICRO,
        Some(PartitionWidth::Values(width)) => width,
        Some(PartitionWidth::Months(months)) if i64::from(kept.months) >= i64::from(months) => 0,
        // As long as months can be.
        Some(PartitionWidth::Months(months)) => i64::from(months) * 31 * MICROS_PER_DAY,
        None => 0,
    };
    if kept_us < partition_us {
        return Err(invalid("retention must not be shorter than a partition"));
    }
    Ok(())
}

/// What a time column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Stamp,
    /// A time stamp in nanoseconds.
    NanoStamp,
    Date,
    Integer,
}

impl Kind {
    fn of(column: &str, type_oid: Oid) -> Result<Kind> {
        match type_oid.0 {
            oid if oid == types::TIMESTAMP.oid || oid == types::TIMESTAMPTZ.oid => Ok(Kind::Stamp),
            oid if oid == types::TIMESTAMP_NS.oid || oid == types::TIMESTAMPTZ_NS.oid => Ok(Kind::NanoStamp),
            oid if oid == types::DATE.oid => Ok(Kind::Date),
            oid if [types::INT2.oid, types::INT4.oid, types::INT8.oid].contains(&oid) => Ok(Kind::Integer),
            _ => Err(Error::new(DATATYPE_MISMATCH, format!("column \"{column}\" is not a time"))
                .with_hint("A time is a timestamp, a date or an integer.")),
        }
    }

    /// What one partition has.
    fn width(self, text: &str) -> Result<PartitionWidth> {
        let not_positive = || invalid(format!("partition_by must be positive: \"{text}\""));
        if self == Kind::Integer {
            let width = text.trim().parse::<i64>();
            let width = width.map_err(|_| invalid(format!("partition_by of integers is an integer: \"{text}\"")))?;
            return if width > 0 { Ok(PartitionWidth::Values(width)) } else { Err(not_positive()) };
        }
        let width = interval(text)?;
        let rest = width.days != 0 || width.nanoseconds != 0;
        if width.months != 0 {
            let months = u32::try_from(width.months).map_err(|_| not_positive())?;
            return match rest {
                false => Ok(PartitionWidth::Months(months)),
                true => Err(Error::unsupported("a partition of months and shorter units")),
            };
        }
        let us = length_us(&width).filter(|us| *us > 0).ok_or_else(not_positive)?;
        match self {
            Kind::Date if us % MICROS_PER_DAY != 0 => Err(invalid("partition_by of dates is whole days")),
            Kind::Date => Ok(PartitionWidth::Values(us / MICROS_PER_DAY)),
            Kind::NanoStamp => nanos::of_micros(us).map(PartitionWidth::Values).ok_or_else(nanos::out_of_range),
            _ => Ok(PartitionWidth::Values(us)),
        }
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(INVALID_PARAMETER_VALUE, message)
}

fn settings(options: &CreateTableOptions) -> Result<Vec<Setting>> {
    let options = match options {
        CreateTableOptions::None => return Ok(Vec::new()),
        CreateTableOptions::With(options)
        | CreateTableOptions::Options(options)
        | CreateTableOptions::Plain(options)
        | CreateTableOptions::TableProperties(options) => options,
    };
    let setting = |option: &SqlOption| match option {
        SqlOption::KeyValue { key, value } => Ok((folded(key), text_of(value))),
        other => Err(invalid(format!("unrecognized parameter \"{other}\""))),
    };
    options.iter().map(setting).collect()
}

/// What was written for a value, without quotes.
fn text_of(value: &Expr) -> String {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        Expr::Identifier(name) => folded(name),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => format!("-{}", text_of(expr)),
        other => other.to_string(),
    }
}
