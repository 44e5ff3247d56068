//! SAMPLE BY as a GROUP BY of buckets and keys.
//!
//! ```text
//! SELECT ts, s, avg(v) FROM m SAMPLE BY 1h FILL(PREV)
//! SELECT bucket AS ts, s, locf(avg(v)) FROM m GROUP BY bucket, s ORDER BY 1
//! ```
//!
//! Whatever in the SELECT list is not an aggregate is a key. Rows come in order of time unless the query says otherwise.

use crate::gapfill::markers::{CONSTANT, INTERPOLATE, LOCF, SAMPLE};
use crate::grammar::{FILLS, SAMPLE_BY};
use crate::names::named_type;
use crate::time_bucket;
use crate::time_column::{self, TimeColumn, Withs};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArguments, GroupByExpr, Ident, OrderBy, OrderByExpr,
    OrderByKind, OrderByOptions, Query, Select, SelectItem, SetExpr, TimezoneInfo, Value, VisitMut, VisitorMut,
};
use lightning_sql::extension::{Scope, argument, call, folded, identifier, plain_name};
use lightning_sql::sqlstate::{GROUPING_ERROR, INVALID_PARAMETER_VALUE, SYNTAX_ERROR};
use lightning_sql::text::interval::interval;
use lightning_sql::{Error, Result, types};
use std::ops::ControlFlow;

/// Writes out SAMPLE BY where a query has it.
pub(super) fn rewrite(query: &mut Query, scope: &Scope<'_>, withs: &Withs) -> Result<()> {
    let mut selects = Vec::new();
    super::selects_of(&mut query.body, &mut selects);
    let mut sampled = None;
    for select in selects {
        if let Some(sample) = Sample::of(select)? {
            sampled = sample.write_out(select, scope, withs)?;
        }
    }
    if let (Some(time), SetExpr::Select(_), None) = (sampled, query.body.as_ref(), &query.order_by) {
        let options = OrderByOptions { asc: None, nulls_first: None };
        let first = OrderByExpr { expr: Expr::Identifier(time), options, with_fill: None };
        query.order_by = Some(OrderBy { kind: OrderByKind::Expressions(vec![first]), interpolate: None });
    }
    Ok(())
}

/// What an aggregate gets in buckets without rows.
#[derive(Clone, Debug, PartialEq)]
enum Fill {
    Null,
    Previous,
    Linear,
    Constant(Box<Expr>),
}

impl Fill {
    fn wrap(&self, expr: &mut Expr) {
        let value = std::mem::replace(expr, Expr::value(Value::Null));
        *expr = match self {
            Fill::Null => value,
            Fill::Previous => call(LOCF, vec![value]),
            Fill::Linear => call(INTERPOLATE, vec![value]),
            Fill::Constant(constant) => call(CONSTANT, vec![value, constant.as_ref().clone()]),
        };
    }
}

/// The clause.
#[derive(Debug, Default)]
struct Sample {
    width: String,
    lower: Option<Expr>,
    upper: Option<Expr>,
    /// Empty: buckets without rows do not appear.
    fills: Vec<Fill>,
    from_first: bool,
    zone: Option<Expr>,
    shift: Option<Expr>,
}

impl Sample {
    fn of(select: &Select) -> Result<Option<Sample>> {
        let GroupByExpr::Expressions(groups, _) = &select.group_by else { return Ok(None) };
        let marked = |group: &Expr| match group {
            Expr::Function(function) if plain_name(function).as_deref() == Some(SAMPLE_BY) => Some(function.clone()),
            _ => None,
        };
        match groups.as_slice() {
            [group] => marked(group).map(|function| Sample::read(&function)).transpose(),
            _ => Ok(None),
        }
    }

    fn read(function: &Function) -> Result<Sample> {
        let mut sample = Sample::default();
        let FunctionArguments::List(list) = &function.args else { return Err(malformed()) };
        for (name, expr) in list.args.iter().filter_map(argument) {
            let expr = expr.clone();
            match name.as_deref() {
                None => sample.width = text(&expr).ok_or_else(malformed)?.to_owned(),
                Some("lower") => sample.lower = Some(expr),
                Some("upper") => sample.upper = Some(expr),
                Some("fill") => sample.fills = fills(&expr)?,
                Some("align") => sample.from_first = text(&expr) == Some("first observation"),
                Some("zone") => sample.zone = Some(expr),
                Some("shift") => sample.shift = Some(expr),
                Some(_) => return Err(malformed()),
            }
        }
        Ok(sample)
    }

    /// Changes the SELECT; the name of the column with the time.
    fn write_out(&self, select: &mut Select, scope: &Scope<'_>, withs: &Withs) -> Result<Option<Ident>> {
        let Some(from) = select.from.first() else {
            return Err(Error::new(SYNTAX_ERROR, "SAMPLE BY needs a table in FROM"));
        };
        let mut time = time_column::of(&from.relation, scope, withs)?;
        if from.joins.is_empty() && select.from.len() == 1 {
            // What the list has without a table name must stay the name of the column.
            time.table = time.table.take().filter(|_| false);
        }
        let alias = time_column::alias(&from.relation);
        let is_time = |expr: &Expr| time.is(expr) || TimeColumn { table: alias.clone(), ..time.clone() }.is(expr);
        let bucket = self.bucket(select, &time);
        self.limit(select, &time);

        let mut groups = vec![bucket.clone()];
        let mut shown = None;
        let mut aggregates = 0;
        for item in &mut select.projection {
            let expr = match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
                _ => {
                    let message = "SELECT * is not allowed with SAMPLE BY";
                    let hint = "Name the columns to group by and the aggregates.";
                    return Err(Error::new(GROUPING_ERROR, message).with_hint(hint));
                }
            };
            if is_time(expr) {
                let name = match &item {
                    SelectItem::ExprWithAlias { alias, .. } => alias.clone(),
                    _ => identifier(&time.name),
                };
                shown.get_or_insert(name.clone());
                *item = SelectItem::ExprWithAlias { expr: bucket.clone(), alias: name };
                continue;
            }
            let name = match &*expr {
                Expr::Function(function) => plain_name(function),
                _ => None,
            };
            let mut visitor =
                Item { scope, is_time: &is_time, bucket: &bucket, aggregates: 0, columns: 0, times: 0, depth: 0 };
            let _ = expr.visit(&mut visitor);
            if visitor.aggregates > 0 {
                if let Some(fill) = self.fill(aggregates) {
                    fill.wrap(expr);
                }
                aggregates += 1;
            } else if visitor.columns > 0 && visitor.times == 0 {
                groups.push(expr.clone());
            }
            if let (SelectItem::UnnamedExpr(expr), Some(name)) = (&*item, name) {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: identifier(&name) };
            }
        }
        if self.fills.len() > 1 && self.fills.len() != aggregates {
            let message = format!("FILL has {} values for {aggregates} aggregates", self.fills.len());
            return Err(Error::new(INVALID_PARAMETER_VALUE, message));
        }
        select.group_by = GroupByExpr::Expressions(groups, Vec::new());
        Ok(shown)
    }

    /// The fill of the item with aggregates that has this index.
    fn fill(&self, index: usize) -> Option<&Fill> {
        match self.fills.as_slice() {
            [only] => Some(only),
            fills => fills.get(index),
        }
    }

    fn bucket(&self, select: &Select, time: &TimeColumn) -> Expr {
        let null = || Expr::value(Value::Null);
        let of_time = |expr: &Expr| match expr {
            Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)) => typed(expr.clone(), time),
            other => other.clone(),
        };
        let calendar = interval(&self.width).is_ok_and(|width| {
            width.months == 0 && !(width.days != 0 && width.days % 7 == 0 && width.nanoseconds == 0)
        });
        let origin = if self.from_first {
            Some(first_observation(select, time))
        } else if let Some(lower) = &self.lower {
            Some(of_time(lower))
        } else if calendar {
            let epoch = Expr::value(Value::SingleQuotedString("1970-01-01".to_owned()));
            let data_type = DataType::Timestamp(None, TimezoneInfo::None);
            Some(cast(epoch, data_type))
        } else {
            None
        };
        let shift = self.shift.clone().map(|shift| cast(shift, DataType::Interval { fields: None, precision: None }));
        let width = Expr::value(Value::SingleQuotedString(self.width.clone()));
        if self.fills.is_empty() {
            let others = [self.zone.clone(), origin, shift].into_iter().flatten();
            return call(time_bucket::NAME, [width, time.expr()].into_iter().chain(others).collect());
        }
        let bounds = [self.lower.as_ref().map(of_time), self.upper.as_ref().map(of_time)];
        let others =
            [self.zone.clone(), origin, shift].into_iter().chain(bounds).map(|other| other.unwrap_or_else(null));
        call(SAMPLE, [width, time.expr()].into_iter().chain(others).collect())
    }

    /// FROM and TO leave rows out.
    fn limit(&self, select: &mut Select, time: &TimeColumn) {
        for (bound, op) in [(&self.lower, BinaryOperator::GtEq), (&self.upper, BinaryOperator::Lt)] {
            let Some(bound) = bound else { continue };
            let condition = binary(time.expr(), op, Expr::Nested(Box::new(bound.clone())));
            select.selection = Some(match select.selection.take() {
                Some(before) => binary(Expr::Nested(Box::new(before)), BinaryOperator::And, condition),
                None => condition,
            });
        }
    }
}

/// `(SELECT min(time) FROM … WHERE …)` of the same rows.
fn first_observation(select: &Select, time: &TimeColumn) -> Expr {
    let mut inner = select.clone();
    inner.projection = vec![SelectItem::UnnamedExpr(call("min", vec![time.expr()]))];
    inner.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
    inner.having = None;
    inner.distinct = None;
    let query = Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(inner))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    };
    Expr::Subquery(Box::new(query))
}

/// One item of the SELECT list: outside its aggregates the time becomes the bucket.
struct Item<'a> {
    scope: &'a Scope<'a>,
    is_time: &'a dyn Fn(&Expr) -> bool,
    bucket: &'a Expr,
    aggregates: usize,
    columns: usize,
    times: usize,
    /// Aggregates that are open.
    depth: usize,
}

impl Item<'_> {
    fn is_aggregate(&self, expr: &Expr) -> bool {
        let Expr::Function(function) = expr else { return false };
        function.over.is_none() && plain_name(function).is_some_and(|name| self.scope.is_aggregate(&name))
    }
}

impl VisitorMut for Item<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.is_aggregate(expr) {
            self.depth += 1;
            self.aggregates += usize::from(self.depth == 1);
        } else if self.depth == 0 && matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
            self.columns += 1;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.is_aggregate(expr) {
            self.depth -= 1;
        } else if self.depth == 0 && (self.is_time)(expr) {
            self.times += 1;
            *expr = self.bucket.clone();
        }
        ControlFlow::Continue(())
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// A literal as a time of the column's type.
fn typed(expr: Expr, time: &TimeColumn) -> Expr {
    cast(
        expr,
        match time.pg {
            pg if pg.is_nanos() => named_type(pg),
            pg if pg.oid == types::TIMESTAMPTZ.oid => DataType::Timestamp(None, TimezoneInfo::WithTimeZone),
            _ => DataType::Timestamp(None, TimezoneInfo::None),
        },
    )
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn malformed() -> Error {
    Error::new(SYNTAX_ERROR, "malformed SAMPLE BY")
}

/// The values in FILL.
fn fills(expr: &Expr) -> Result<Vec<Fill>> {
    let Expr::Function(function) = expr else { return Err(malformed()) };
    let (Some(FILLS), FunctionArguments::List(list)) = (plain_name(function).as_deref(), &function.args) else {
        return Err(malformed());
    };
    let mut fills = Vec::new();
    for (_, expr) in list.args.iter().filter_map(argument) {
        fills.push(match expr {
            Expr::Value(value) if value.value == Value::Null => Fill::Null,
            Expr::Identifier(word) if folded(word) == "prev" => Fill::Previous,
            Expr::Identifier(word) if folded(word) == "linear" => Fill::Linear,
            Expr::Identifier(word) if folded(word) == "none" && list.args.len() == 1 => return Ok(Vec::new()),
            Expr::Identifier(word) => {
                let message = format!("unknown fill \"{word}\"");
                let hint = "FILL takes NONE, NULL, PREV, LINEAR or a constant.";
                return Err(Error::new(INVALID_PARAMETER_VALUE, message).with_hint(hint));
            }
            constant => Fill::Constant(Box::new(constant.clone())),
        });
    }
    if fills.is_empty() {
        return Err(Error::new(SYNTAX_ERROR, "FILL needs a value"));
    }
    Ok(fills)
}
