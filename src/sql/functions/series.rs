//! `generate_series` in FROM over time stamps: DataFusion's, given the literals it wants.
//!
//! Steps of time stamps with time zone are counted on the calendar of the session's zone; dates become such time stamps, as
//! in PostgreSQL.

use crate::text::{datetime, interval};
use arrow::array::timezone::Tz;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::functions_table::generate_series::GenerateSeriesFunc;
use datafusion::logical_expr::Expr;
use std::sync::Arc;

/// The table function.
pub(crate) fn generate_series() -> Arc<dyn TableFunctionImpl> {
    Arc::new(GenerateSeries { inner: GenerateSeriesFunc {} })
}

#[derive(Debug)]
struct GenerateSeries {
    inner: GenerateSeriesFunc,
}

/// What the series runs over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Timestamp,
    Timestamptz,
}

fn external(e: crate::Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

/// A literal without the casts a planner left around it.
fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Cast(cast) => literal(&cast.expr),
        _ => None,
    }
}

fn over(args: &[Expr]) -> Option<Over> {
    let kinds = args.iter().filter_map(|arg| match literal(arg)?.data_type() {
        arrow::datatypes::DataType::Timestamp(_, None) => Some(Over::Timestamp),
        arrow::datatypes::DataType::Timestamp(_, Some(_)) | arrow::datatypes::DataType::Date32 => {
            Some(Over::Timestamptz)
        }
        _ => None,
    });
    kinds.reduce(|a, b| if a == Over::Timestamptz { a } else { b })
}

/// A bound in nanoseconds, local or UTC as the series needs it.
fn bound(expr: &Expr, over: Over, zone: Tz, zone_name: &Arc<str>) -> Result<Expr> {
    const NANOS: i64 = 1000;
    let Some(value) = literal(expr) else { return Ok(expr.clone()) };
    let to_utc = |local: i64| {
        let out_of_range = || crate::Error::new(crate::sqlstate::DATETIME_FIELD_OVERFLOW, "timestamp out of range");
        if over == Over::Timestamp { Ok(local) } else { datetime::to_utc(local, zone).ok_or_else(out_of_range) }
    };
    let micros = match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => match over {
            Over::Timestamp => Some(datetime::timestamp(text).map_err(external)?),
            Over::Timestamptz => Some(datetime::timestamptz(text, zone).map_err(external)?),
        },
        ScalarValue::Date32(Some(days)) => {
            Some(to_utc(i64::from(*days) * crate::text::calendar::MICROS_PER_DAY).map_err(external)?)
        }
        ScalarValue::TimestampSecond(Some(v), has_zone) => Some(local_or_utc(v * 1_000_000, has_zone, &to_utc)?),
        ScalarValue::TimestampMillisecond(Some(v), has_zone) => Some(local_or_utc(v * 1000, has_zone, &to_utc)?),
        ScalarValue::TimestampMicrosecond(Some(v), has_zone) => Some(local_or_utc(*v, has_zone, &to_utc)?),
        ScalarValue::TimestampNanosecond(Some(v), has_zone) => Some(local_or_utc(v / NANOS, has_zone, &to_utc)?),
        value if value.is_null() => None,
        _ => return Ok(expr.clone()),
    };
    let nanos = micros.map(|micros| {
        micros.checked_mul(NANOS).ok_or_else(|| {
            external(crate::Error::new(
                crate::sqlstate::DATETIME_FIELD_OVERFLOW,
                "a series of time stamps must lie between the years 1678 and 2262",
            ))
        })
    });
    let zone = (over == Over::Timestamptz).then(|| Arc::clone(zone_name));
    Ok(Expr::Literal(ScalarValue::TimestampNanosecond(nanos.transpose()?, zone), None))
}

fn local_or_utc(micros: i64, has_zone: &Option<Arc<str>>, to_utc: &dyn Fn(i64) -> crate::Result<i64>) -> Result<i64> {
    if has_zone.is_some() { Ok(micros) } else { to_utc(micros).map_err(external) }
}

fn step(expr: &Expr) -> Result<Expr> {
    Ok(match literal(expr) {
        Some(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text))) => {
            let value = interval::interval(text).map_err(external)?;
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(value)), None)
        }
        Some(value) => Expr::Literal(value.clone(), None),
        None => expr.clone(),
    })
}

impl TableFunctionImpl for GenerateSeries {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let (Some(over), [start, end, step_size]) = (over(args.exprs()), args.exprs()) else {
            return self.inner.call_with_args(args);
        };
        let zone_name = args.session().config_options().execution.time_zone.clone();
        let zone_name: Arc<str> = zone_name.unwrap_or_else(|| "UTC".to_owned()).into();
        let zone = datetime::zone(&zone_name).unwrap_or_else(|_| datetime::utc());
        let exprs = [bound(start, over, zone, &zone_name)?, bound(end, over, zone, &zone_name)?, step(step_size)?];
        self.inner.call_with_args(TableFunctionArgs::new(&exprs, args.session()))
    }
}
