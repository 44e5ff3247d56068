//! What a continuous aggregate asks for, taken apart.

use crate::error::{Error, Result};
use crate::parser;
use crate::statements::target::folded;
use crate::text::calendar::MICROS_PER_DAY;
use crate::text::interval::{interval, length_us};
use crate::text::nanos;
use crate::types;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, Query, Select, SelectItem,
    SetExpr, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use lightning_catalog::{Column, Relation};
use std::ops::ControlFlow;

/// Functions of a time that never fall when it rises.
const BUCKETS: [&str; 2] = ["time_bucket", "date_bin"];
/// Changes of clocks make days of a zone, and hours, longer by no more than this, in microseconds.
const SLACK_US: i64 = 2 * 3_600_000_000;
/// Months are longer than 30 days by no more.
const MONTH_SLACK_US: i64 = 2 * MICROS_PER_DAY;

/// The query of an aggregate.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) query: Query,
    /// The expression of the bucket, over the time.
    bucket: Expr,
    /// The time as the bucket names it.
    time: Expr,
    kind: TimeKind,
    /// Where the bucket is in the list.
    pub(crate) position: usize,
}

/// What the time of the source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeKind {
    Stamp,
    LocalStamp,
    NanoStamp,
    LocalNanoStamp,
    Date,
    Integer,
}

impl TimeKind {
    fn of(column: &Column) -> Option<TimeKind> {
        match column.type_oid.0 {
            oid if oid == types::TIMESTAMPTZ.oid => Some(TimeKind::Stamp),
            oid if oid == types::TIMESTAMP.oid => Some(TimeKind::LocalStamp),
            oid if oid == types::TIMESTAMPTZ_NS.oid => Some(TimeKind::NanoStamp),
            oid if oid == types::TIMESTAMP_NS.oid => Some(TimeKind::LocalNanoStamp),
            oid if oid == types::DATE.oid => Some(TimeKind::Date),
            oid if [types::INT2.oid, types::INT4.oid, types::INT8.oid].contains(&oid) => Some(TimeKind::Integer),
            _ => None,
        }
    }

    fn is_nanos(self) -> bool {
        matches!(self, TimeKind::NanoStamp | TimeKind::LocalNanoStamp)
    }

    /// A time as it is written in a query; `None` when it cannot be.
    fn literal(self, value: i64) -> Option<String> {
        if self.is_nanos() {
            // Close to the ends a bucket may begin or end beyond all times.
            let written = (i64::MIN / 8 * 7..=i64::MAX / 8 * 7).contains(&value);
            let time = chrono::DateTime::from_timestamp_nanos(value);
            return written.then(|| match self {
                TimeKind::LocalNanoStamp => format!("'{}'::timestamp_ns", time.format("%Y-%m-%d %H:%M:%S%.9f")),
                _ => format!("'{}'::timestamptz_ns", time.format("%Y-%m-%d %H:%M:%S%.9f+00")),
            });
        }
        let micros = if self == TimeKind::Date { value.checked_mul(MICROS_PER_DAY)? } else { value };
        if self == TimeKind::Integer {
            // Farther out a bucket may begin or end beyond all integers.
            return (i64::MIN / 2..=i64::MAX / 2).contains(&value).then(|| value.to_string());
        }
        let time = chrono::DateTime::from_timestamp_micros(micros).filter(|time| {
            // Other years have more digits than all spellings take.
            (1..=9999).contains(&chrono::Datelike::year(time))
        })?;
        Some(match self {
            TimeKind::Date => format!("date '{}'", time.format("%Y-%m-%d")),
            TimeKind::LocalStamp => format!("timestamp '{}'", time.format("%Y-%m-%d %H:%M:%S%.6f")),
            _ => format!("timestamptz '{}'", time.format("%Y-%m-%d %H:%M:%S%.6f+00")),
        })
    }
}

/// The column of a relation that is its time.
pub(crate) fn time_of(relation: &Relation) -> Option<usize> {
    match relation {
        Relation::Table(table) => table.time.as_ref().map(|time| time.column),
        Relation::View(view) => view.materialized.as_ref().map(|materialized| materialized.bucket),
        Relation::Graph(_) => None,
    }
}

fn unsupported(what: &str) -> Error {
    Error::unsupported(format!("a continuous aggregate {what}"))
}

/// The table that the query of an aggregate reads.
pub(crate) fn source_name(query: &Query) -> Result<datafusion::sql::sqlparser::ast::ObjectName> {
    match from(select(query)?)? {
        TableFactor::Table { name, args: None, .. } => Ok(name.clone()),
        _ => Err(unsupported("of anything but a table")),
    }
}

fn select(query: &Query) -> Result<&Select> {
    let is_plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty();
    match query.body.as_ref() {
        SetExpr::Select(select) if is_plain => Ok(select),
        _ => Err(unsupported("with WITH, ORDER BY, LIMIT or several SELECTs")),
    }
}

fn from(select: &Select) -> Result<&TableFactor> {
    match select.from.as_slice() {
        [table] if table.joins.is_empty() => Ok(&table.relation),
        _ => Err(unsupported("of several tables")),
    }
}

impl Definition {
    /// Takes a query over `source` apart; 0A000 when it is none that can be kept by bucket.
    pub(crate) fn new(query: Query, source: &Relation) -> Result<Definition> {
        let select = select(&query)?;
        if select.distinct.is_some() || select.qualify.is_some() || !select.named_window.is_empty() {
            return Err(unsupported("with DISTINCT or windows"));
        }
        if !matches!(&select.group_by, GroupByExpr::Expressions(keys, modifiers) if !keys.is_empty() && modifiers.is_empty())
        {
            return Err(unsupported("without GROUP BY, or with grouping sets"));
        }
        let parts = Parts::of(&query);
        if parts.queries > 1 || parts.windows || parts.has_sets {
            return Err(unsupported("with sub-queries, windows or grouping sets"));
        }
        let time = time_of(source).ok_or_else(|| {
            unsupported("of a table that does not say which column is its time")
                .with_hint("Create the table WITH (time_column = …).")
        })?;
        let column = &source.columns()[time];
        if matches!(source, Relation::Table(_)) && !column.not_null {
            return Err(unsupported("of a time that may be NULL").with_hint("Declare the column NOT NULL."));
        }
        let kind = TimeKind::of(column).ok_or_else(|| unsupported("of such a time"))?;
        let found = select.projection.iter().enumerate().find_map(|(position, item)| {
            let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { return None };
            Some((position, expr.clone(), time_in(expr, &column.name)?))
        });
        let Some((position, bucket, time)) = found else {
            return Err(unsupported("without a bucket of the time in its list")
                .with_hint(format!("Select and group by time_bucket(width, {}), or date_bin.", column.name)));
        };
        if select
            .projection
            .iter()
            .any(|item| !matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }))
        {
            return Err(unsupported("with * in its list"));
        }
        Ok(Definition { bucket, time, kind, position, query: query.clone() })
    }

    /// That a bucket, an expression, is one of those that times from `first` to `last` are in; true for all times.
    pub(crate) fn bucket_in(&self, bucket: &str, first: i64, last: i64) -> Result<String> {
        let mut bounds = Vec::new();
        if let Some(first) = self.bucket_of(first)? {
            bounds.push(format!("({bucket}) >= {first}"));
        }
        if let Some(last) = self.bucket_of(last)? {
            bounds.push(format!("({bucket}) <= {last}"));
        }
        Ok(if bounds.is_empty() { "true".to_owned() } else { format!("({})", bounds.join(" AND ")) })
    }

    /// That a row of the source is in one of those buckets.
    pub(crate) fn row_in(&self, first: i64, last: i64) -> Result<String> {
        let mut condition = self.bucket_in(&self.bucket.to_string(), first, last)?;
        // What follows is implied, and keeps the scan from reading what lies outside.
        if let Some(first) = self.bucket_of(first)? {
            condition = format!("{condition} AND {} >= {first}", self.time);
        }
        if let Some(end) = self.end_of(last).and_then(|end| self.kind.literal(end)) {
            condition = format!("{condition} AND {} < {end}", self.time);
        }
        Ok(format!("({condition})"))
    }

    /// That a bucket begins at `time` or later.
    pub(crate) fn begins_from(&self, bucket: &str, time: i64) -> String {
        self.kind.literal(time).map_or_else(|| "true".to_owned(), |time| format!("({bucket}) >= {time}"))
    }

    /// The expression of the bucket.
    pub(crate) fn bucket(&self) -> String {
        self.bucket.to_string()
    }

    /// The bucket of a time, as an expression; `None` for a time beyond all that are written.
    fn bucket_of(&self, time: i64) -> Result<Option<String>> {
        let Some(literal) = self.kind.literal(time) else { return Ok(None) };
        let mut bucket = self.bucket.clone();
        let _ =
            VisitMut::visit(&mut bucket, &mut Replace { time: &self.time, with: parser::parse_expression(&literal)? });
        Ok(Some(bucket.to_string()))
    }

    /// A time behind the bucket of `time`, when the width of buckets is written out.
    fn end_of(&self, time: i64) -> Option<i64> {
        time.checked_add(self.length()?)
    }

    /// A time at which the bucket of `time` has not begun, or when it begins.
    pub(crate) fn before(&self, time: i64) -> i64 {
        self.length().map_or(i64::MIN, |length| time.saturating_sub(length))
    }

    /// How long a bucket is at most, when its width is written out: micro- or nanoseconds, days or numbers.
    fn length(&self) -> Option<i64> {
        let Expr::Function(function) = &self.bucket else { return None };
        let FunctionArguments::List(list) = &function.args else { return None };
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(width)) = list.args.first()? else { return None };
        let text = match width {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => text.clone(),
                Value::Number(text, _) if self.kind == TimeKind::Integer => {
                    return text.parse::<i64>().ok();
                }
                _ => return None,
            },
            Expr::Interval(value) => match value.value.as_ref() {
                Expr::Value(value) if value.value.clone().into_string().is_some() => {
                    value.value.clone().into_string()?
                }
                _ => return None,
            },
            _ => return None,
        };
        let width = interval(&text).ok()?;
        let months = i64::from(width.months).checked_mul(MONTH_SLACK_US)?;
        let length = length_us(&width)?.checked_add(months)?.checked_add(SLACK_US)?;
        match self.kind {
            TimeKind::Date => Some(length / MICROS_PER_DAY + 1),
            kind if kind.is_nanos() => nanos::of_micros(length),
            _ => Some(length),
        }
    }
}

/// What a query is made of.
#[derive(Debug, Default)]
struct Parts {
    queries: usize,
    windows: bool,
    has_sets: bool,
}

impl Parts {
    fn of(query: &Query) -> Parts {
        let mut parts = Parts::default();
        let _ = query.visit(&mut parts);
        parts
    }
}

impl Visitor for Parts {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.windows |= matches!(expr, Expr::Function(Function { over: Some(_), .. }));
        self.has_sets |= matches!(expr, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_));
        ControlFlow::Continue(())
    }
}

/// The time in a bucket of it: `None` when the expression is not such a bucket.
fn time_in(expr: &Expr, time: &str) -> Option<Expr> {
    let Expr::Function(function) = expr else { return None };
    let [name] = function.name.0.as_slice() else { return None };
    let name = folded(name.as_ident()?);
    if !BUCKETS.contains(&name.as_str()) {
        return None;
    }
    let mut columns = Columns::default();
    let _ = expr.visit(&mut columns);
    let [column] = columns.0.as_slice() else { return None };
    let last: &Ident = match column {
        Expr::Identifier(name) => name,
        Expr::CompoundIdentifier(parts) => parts.last()?,
        _ => return None,
    };
    let FunctionArguments::List(list) = &function.args else { return None };
    let is_argument = list.args.iter().any(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => expr == column,
        _ => false,
    });
    (folded(last) == time && is_argument).then(|| column.clone())
}

/// The columns in an expression.
#[derive(Default)]
struct Columns(Vec<Expr>);

impl Visitor for Columns {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
            self.0.push(expr.clone());
        }
        ControlFlow::Continue(())
    }
}

/// Puts a literal in the place of the time.
struct Replace<'a> {
    time: &'a Expr,
    with: Expr,
}

impl VisitorMut for Replace<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if expr == self.time {
            *expr = self.with.clone();
        }
        ControlFlow::Continue(())
    }
}
