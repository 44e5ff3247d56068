//! `generate_series` in FROM over time stamps: DataFusion's, given the literals it wants.
//!
//! It counts nanoseconds; a series of time stamps in microseconds is brought back to these ([`InMicros`]).
//! Steps of time stamps with time zone are counted on the calendar of the session's zone; dates become such time stamps, as
//! in PostgreSQL.

use crate::sqlstate::{INVALID_PARAMETER_VALUE, UNDEFINED_FUNCTION, invalid_input};
use crate::text::calendar::MICROS_PER_DAY;
use crate::text::{datetime, interval, nanos};
use crate::types;
use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::functions_table::generate_series::GenerateSeriesFunc;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::expressions::{CastExpr, Column};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Over {
    is_instant: bool,
    is_nanos: bool,
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
        DataType::Timestamp(unit, zone) => {
            Some(Over { is_instant: zone.is_some(), is_nanos: unit == TimeUnit::Nanosecond })
        }
        DataType::Date32 => Some(Over { is_instant: true, is_nanos: false }),
        _ => None,
    });
    let wider =
        |a: Over, b: Over| Over { is_instant: a.is_instant || b.is_instant, is_nanos: a.is_nanos || b.is_nanos };
    kinds.reduce(wider)
}

/// A bound in nanoseconds, local or UTC as the series needs it.
fn bound(expr: &Expr, over: Over, zone: Tz, zone_name: &Arc<str>) -> Result<Expr> {
    let Some(value) = literal(expr) else { return Ok(expr.clone()) };
    let micros = |micros: i64| (micros, 0);
    // Microseconds, nanoseconds over, and whether they are of an instant already.
    let ((at, rest), is_instant) = match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            let read = match (over.is_nanos, over.is_instant) {
                (true, true) => datetime::timestamptz_ns(text, zone).map(nanos::split),
                (true, false) => datetime::timestamp_ns(text).map(nanos::split),
                (false, true) => datetime::timestamptz(text, zone).map(micros),
                (false, false) => datetime::timestamp(text).map(micros),
            };
            (read.map_err(external)?, true)
        }
        ScalarValue::Date32(Some(days)) => (micros(i64::from(*days) * MICROS_PER_DAY), false),
        ScalarValue::TimestampSecond(Some(v), zone) => (micros(v.saturating_mul(1_000_000)), zone.is_some()),
        ScalarValue::TimestampMillisecond(Some(v), zone) => (micros(v.saturating_mul(1000)), zone.is_some()),
        ScalarValue::TimestampMicrosecond(Some(v), zone) => (micros(*v), zone.is_some()),
        ScalarValue::TimestampNanosecond(Some(v), zone) => (nanos::split(*v), zone.is_some()),
        value if value.is_null() => return Ok(stamp(None, over, zone_name)),
        _ => return Ok(expr.clone()),
    };
    let at = if over.is_instant && !is_instant { datetime::to_utc(at, zone) } else { Some(at) };
    let nanos = at.and_then(|at| nanos::join(at, rest)).ok_or_else(|| {
        external(crate::Error::new(
            crate::sqlstate::DATETIME_FIELD_OVERFLOW,
            "a series of time stamps must lie between the years 1678 and 2262",
        ))
    })?;
    Ok(stamp(Some(nanos), over, zone_name))
}

fn stamp(nanos: Option<i64>, over: Over, zone_name: &Arc<str>) -> Expr {
    let zone = over.is_instant.then(|| Arc::clone(zone_name));
    Expr::Literal(ScalarValue::TimestampNanosecond(nanos, zone), None)
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

/// Arguments of a series of integers as DataFusion wants them.
fn integers(args: &[Expr]) -> Result<Vec<Expr>> {
    let integer = |arg: &Expr| {
        let value = match literal(arg).ok_or_else(|| not_constant(arg))? {
            ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
                let value = text.trim().parse::<i64>();
                ScalarValue::Int64(Some(value.map_err(|_| external(invalid_input("integer", text)))?))
            }
            value if value.is_null() => ScalarValue::Null,
            value if value.data_type().is_integer() => value.cast_to(&DataType::Int64)?,
            _ => return Err(undefined(args)),
        };
        Ok(Expr::Literal(value, None))
    };
    let integers = args.iter().map(integer).collect::<Result<Vec<_>>>()?;
    match integers.as_slice() {
        [_, _, Expr::Literal(ScalarValue::Int64(Some(0)), _)] => Err(no_step()),
        _ => Ok(integers),
    }
}

/// Refuses what is no series of time stamps.
fn check_moments(args: &[Expr]) -> Result<()> {
    let [start, end, step] = args else { return Err(undefined(args)) };
    let is_open =
        |value: &ScalarValue| value.is_null() || matches!(value, ScalarValue::Utf8(_) | ScalarValue::Utf8View(_));
    let value = |arg| literal(arg).ok_or_else(|| not_constant(arg));
    let is_moment = |value: &ScalarValue| matches!(value.data_type(), DataType::Timestamp(..) | DataType::Date32);
    let is_interval = |value: &ScalarValue| matches!(value.data_type(), DataType::Interval(_));
    for bound in [value(start)?, value(end)?] {
        if !(is_open(bound) || is_moment(bound)) {
            return Err(undefined(args));
        }
    }
    let step = value(step)?;
    if is_open(step) || is_interval(step) { Ok(()) } else { Err(undefined(args)) }
}

/// What is said of an argument that is no constant. A text that could not be read is one, and says what is wrong with it.
fn not_constant(arg: &Expr) -> DataFusionError {
    if let Expr::ScalarFunction(call) = arg
        && let [Expr::Literal(text, _)] = call.args.as_slice()
        && let Some(text) = text.try_as_str().flatten()
    {
        let utc = datetime::utc();
        let unreadable = match call.func.name() {
            "lightning_date_in" => datetime::date(text).err(),
            "lightning_timestamp_in" => datetime::timestamp(text).err(),
            "lightning_timestamp_ns_in" => datetime::timestamp_ns(text).err(),
            "lightning_timestamptz_in" => datetime::timestamptz(text, utc).err(),
            "lightning_timestamptz_ns_in" => datetime::timestamptz_ns(text, utc).err(),
            _ => None,
        };
        if let Some(e) = unreadable {
            return external(e);
        }
    }
    external(crate::Error::unsupported("generate_series in FROM with arguments that are not constants"))
}

fn no_step() -> DataFusionError {
    external(crate::Error::new(INVALID_PARAMETER_VALUE, "step size cannot equal zero"))
}

fn undefined(args: &[Expr]) -> DataFusionError {
    let name = |arg: &Expr| match literal(arg) {
        None | Some(ScalarValue::Utf8(_) | ScalarValue::Utf8View(_) | ScalarValue::Null) => types::UNKNOWN.base_name(),
        Some(ScalarValue::Int64(Some(value))) if i32::try_from(*value).is_ok() => types::INT4.base_name(),
        Some(value) => types::from_arrow(&value.data_type()).base_name(),
    };
    let names: Vec<String> = args.iter().map(name).collect();
    let message = format!("function generate_series({}) does not exist", names.join(", "));
    let hint = "It takes two integers and perhaps a step, or two time stamps and an interval.";
    external(crate::Error::new(UNDEFINED_FUNCTION, message).with_hint(hint))
}

impl TableFunctionImpl for GenerateSeries {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let Some(over) = over(args.exprs()) else {
            let exprs = integers(args.exprs())?;
            return self.inner.call_with_args(TableFunctionArgs::new(&exprs, args.session()));
        };
        check_moments(args.exprs())?;
        let [start, end, step_size] = args.exprs() else { return Err(undefined(args.exprs())) };
        let zone_name = args.session().config_options().execution.time_zone.clone();
        let zone_name: Arc<str> = zone_name.unwrap_or_else(|| "UTC".to_owned()).into();
        let zone = datetime::zone(&zone_name).unwrap_or_else(|_| datetime::utc());
        let exprs = [bound(start, over, zone, &zone_name)?, bound(end, over, zone, &zone_name)?, step(step_size)?];
        if let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(step)), _) = &exprs[2]
            && (step.months, step.days, step.nanoseconds) == (0, 0, 0)
        {
            return Err(no_step());
        }
        let series = self.inner.call_with_args(TableFunctionArgs::new(&exprs, args.session()))?;
        Ok(if over.is_nanos { series } else { Arc::new(InMicros::new(series)) })
    }
}

/// A series of nanoseconds, all of them whole microseconds, as such.
#[derive(Debug)]
struct InMicros {
    inner: Arc<dyn TableProvider>,
    schema: SchemaRef,
}

impl InMicros {
    fn new(inner: Arc<dyn TableProvider>) -> InMicros {
        let in_micros = |field: &Arc<Field>| match field.data_type() {
            DataType::Timestamp(_, zone) => {
                let data_type = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                Arc::new(field.as_ref().clone().with_data_type(data_type))
            }
            _ => Arc::clone(field),
        };
        let schema = Schema::new(inner.schema().fields().iter().map(in_micros).collect::<Vec<_>>());
        InMicros { inner, schema: Arc::new(schema) }
    }
}

#[async_trait]
impl TableProvider for InMicros {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        self.inner.table_type()
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = self.inner.scan(session, projection, &[], limit).await?;
        let wanted = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => self.schema(),
        };
        let columns = wanted.fields().iter().enumerate().map(|(index, field)| {
            let column = Arc::new(Column::new(field.name(), index));
            let expr = Arc::new(CastExpr::new(column, field.data_type().clone(), None));
            ProjectionExpr { expr, alias: field.name().clone() }
        });
        Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), input)?))
    }
}
