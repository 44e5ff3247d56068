//! Sizes of intermediate results, guessed from exact facts about tables.
//!
//! An [`Estimate`] is a row count and, per column, a number of distinct values and the range they lie in. Tables report
//! theirs through `TableProvider::statistics`; everything above follows from the textbook's rules (Selinger 1979): values
//! are spread evenly, columns are independent, and of two joined columns the one with fewer values finds all of them in
//! the other. A node that is not understood gives `None`, and then nobody reorders anything on its account.

use datafusion::common::stats::Precision;
use datafusion::common::{Column, ScalarValue, Statistics};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, Between, BinaryExpr, Expr, Join, JoinType, Like, LogicalPlan, Operator, TableScan,
};
use std::collections::HashMap;

/// Share of rows kept by a pattern match.
const PATTERN: f64 = 0.1;
/// By a comparison of two columns.
const COLUMN_COMPARISON: f64 = 0.4;
/// By anything else.
const UNKNOWN: f64 = 0.3;

/// Distinct values of a column, and the range of numbers and dates.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnEstimate {
    /// Distinct values, at least 1.
    pub(super) distinct: f64,
    range: Option<(f64, f64)>,
}

/// What a plan probably returns.
#[derive(Clone, Debug)]
pub(super) struct Estimate {
    /// Rows.
    pub(super) rows: f64,
    columns: HashMap<Column, ColumnEstimate>,
}

impl Estimate {
    /// The estimate for `plan`; `None` when something in it is not understood.
    pub(super) fn of(plan: &LogicalPlan) -> Option<Estimate> {
        match plan {
            LogicalPlan::TableScan(scan) => of_scan(scan),
            LogicalPlan::Filter(filter) => {
                let input = Estimate::of(&filter.input)?;
                Some(split_conjunction(&filter.predicate).into_iter().fold(input, Estimate::filtered_by))
            }
            LogicalPlan::Projection(projection) => {
                let input = Estimate::of(&projection.input)?;
                let columns = projection
                    .expr
                    .iter()
                    .zip(projection.schema.columns())
                    .filter_map(|(expr, column)| Some((column, input.of_expr(expr)?)));
                Some(Estimate { rows: input.rows, columns: columns.collect() })
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = Estimate::of(&alias.input)?;
                let renamed = alias.input.schema().columns().into_iter().zip(alias.schema.columns());
                let columns = renamed.filter_map(|(from, to)| Some((to, *input.columns.get(&from)?)));
                Some(Estimate { rows: input.rows, columns: columns.collect() })
            }
            LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate),
            LogicalPlan::Join(join) => of_join(join),
            LogicalPlan::Sort(sort) => Some(limited(Estimate::of(&sort.input)?, sort.fetch)),
            LogicalPlan::Limit(limit) => {
                let fetch = match limit.fetch.as_deref() {
                    Some(Expr::Literal(ScalarValue::Int64(Some(fetch)), _)) => usize::try_from(*fetch).ok(),
                    _ => None,
                };
                Some(limited(Estimate::of(&limit.input)?, fetch))
            }
            LogicalPlan::Distinct(distinct) => {
                let input = Estimate::of(distinct.input())?;
                let rows = product_of_distinct(&input, input.columns.keys()).min(input.rows);
                Some(input.scaled_to(rows))
            }
            LogicalPlan::EmptyRelation(empty) => {
                Some(Estimate { rows: f64::from(u8::from(empty.produce_one_row)), columns: HashMap::new() })
            }
            LogicalPlan::Values(values) => Some(Estimate { rows: values.values.len() as f64, columns: HashMap::new() }),
            LogicalPlan::Window(window) => Estimate::of(&window.input),
            LogicalPlan::Repartition(repartition) => Estimate::of(&repartition.input),
            _ => None,
        }
    }

    /// Distinct values of an expression, when it is a column or a cast of one.
    pub(super) fn distinct(&self, expr: &Expr) -> Option<f64> {
        Some(self.of_expr(expr)?.distinct)
    }

    fn of_expr(&self, expr: &Expr) -> Option<ColumnEstimate> {
        match expr {
            Expr::Column(column) => self.columns.get(column).copied(),
            Expr::Alias(alias) => self.of_expr(&alias.expr),
            Expr::Cast(cast) => self.of_expr(&cast.expr),
            _ => None,
        }
    }

    /// The rows that pass `condition`.
    pub(super) fn filtered_by(mut self, condition: &Expr) -> Estimate {
        let selectivity = self.selectivity(condition).clamp(0.0, 1.0);
        if let Some((Expr::Column(column), Some(distinct))) = pinned(condition)
            && let Some(known) = self.columns.get_mut(column)
        {
            known.distinct = known.distinct.min(distinct);
        }
        let rows = self.rows * selectivity;
        self.scaled_to(rows)
    }

    /// Fewer rows, and so perhaps fewer distinct values.
    fn scaled_to(mut self, rows: f64) -> Estimate {
        if rows < self.rows {
            for column in self.columns.values_mut() {
                let per_value = self.rows / column.distinct.max(1.0);
                let missed = (1.0 - rows / self.rows).max(0.0).powf(per_value);
                column.distinct = (column.distinct * (1.0 - missed)).clamp(1.0, rows.max(1.0));
            }
        }
        self.rows = rows;
        self
    }

    /// Share of rows that pass `condition`.
    pub(super) fn selectivity(&self, condition: &Expr) -> f64 {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => self.binary(left, *op, right),
            Expr::Between(Between { expr, negated, low, high }) => {
                let share = self.range_share(expr, Some(low), Some(high)).unwrap_or(UNKNOWN);
                if *negated { 1.0 - share } else { share }
            }
            Expr::InList(InList { expr, list, negated }) => {
                let share = self.distinct(expr).map_or(UNKNOWN, |distinct| list.len() as f64 / distinct).min(1.0);
                if *negated { 1.0 - share } else { share }
            }
            Expr::Like(Like { negated, .. }) => {
                if *negated {
                    1.0 - PATTERN
                } else {
                    PATTERN
                }
            }
            Expr::Not(inner) => 1.0 - self.selectivity(inner),
            Expr::IsNull(_) => PATTERN,
            Expr::IsNotNull(_) => 1.0,
            Expr::Literal(ScalarValue::Boolean(Some(true)), _) => 1.0,
            Expr::Literal(..) => 0.0,
            _ => UNKNOWN,
        }
    }

    fn binary(&self, left: &Expr, op: Operator, right: &Expr) -> f64 {
        match op {
            Operator::And => self.selectivity(left) * self.selectivity(right),
            Operator::Or => {
                let (a, b) = (self.selectivity(left), self.selectivity(right));
                (a + b - a * b).min(1.0)
            }
            Operator::Eq | Operator::NotEq => {
                let distinct = match (self.distinct(left), self.distinct(right)) {
                    (Some(a), Some(b)) => a.max(b),
                    (Some(a), None) | (None, Some(a)) => a,
                    (None, None) => return if op == Operator::Eq { PATTERN } else { 1.0 - PATTERN },
                };
                if op == Operator::Eq { 1.0 / distinct } else { 1.0 - 1.0 / distinct }
            }
            Operator::Lt | Operator::LtEq if is_constant(right) => {
                self.range_share(left, None, Some(right)).unwrap_or(UNKNOWN)
            }
            Operator::Gt | Operator::GtEq if is_constant(right) => {
                self.range_share(left, Some(right), None).unwrap_or(UNKNOWN)
            }
            Operator::Lt | Operator::LtEq if is_constant(left) => {
                self.range_share(right, Some(left), None).unwrap_or(UNKNOWN)
            }
            Operator::Gt | Operator::GtEq if is_constant(left) => {
                self.range_share(right, None, Some(left)).unwrap_or(UNKNOWN)
            }
            Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => COLUMN_COMPARISON,
            _ => UNKNOWN,
        }
    }

    fn range_share(&self, expr: &Expr, low: Option<&Expr>, high: Option<&Expr>) -> Option<f64> {
        let (min, max) = self.of_expr(expr)?.range?;
        let low = low.map_or(Some(min), constant_position)?.max(min);
        let high = high.map_or(Some(max), constant_position)?.min(max);
        if high < low {
            return Some(0.0);
        }
        Some(if max > min { (high - low) / (max - min) } else { 1.0 })
    }
}

/// The column and the number of values that a condition leaves it.
fn pinned(condition: &Expr) -> Option<(&Expr, Option<f64>)> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_constant(right) => Some((left, Some(1.0))),
        Expr::InList(InList { expr, list, negated: false }) => Some((expr, Some(list.len() as f64))),
        _ => None,
    }
}

fn is_constant(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(..))
}

fn constant_position(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Literal(value, _) => position(value),
        _ => None,
    }
}

/// A value's place on a line.
fn position(value: &ScalarValue) -> Option<f64> {
    Some(match value {
        ScalarValue::Int8(Some(v)) => f64::from(*v),
        ScalarValue::Int16(Some(v)) => f64::from(*v),
        ScalarValue::Int32(Some(v)) | ScalarValue::Date32(Some(v)) => f64::from(*v),
        ScalarValue::Int64(Some(v))
        | ScalarValue::TimestampMicrosecond(Some(v), _)
        | ScalarValue::TimestampNanosecond(Some(v), _) => *v as f64,
        ScalarValue::Float32(Some(v)) => f64::from(*v),
        ScalarValue::Float64(Some(v)) => *v,
        ScalarValue::Decimal128(Some(v), _, scale) => *v as f64 / 10f64.powi((*scale).into()),
        _ => return None,
    })
}

fn of_scan(scan: &TableScan) -> Option<Estimate> {
    let provider = source_as_provider(&scan.source).ok()?;
    let statistics = provider.statistics()?;
    let base = of_table(scan, &provider.schema(), &statistics)?;
    let filtered = scan.filters.iter().flat_map(split_conjunction).fold(base, Estimate::filtered_by);
    Some(limited(filtered, scan.fetch))
}

fn of_table(scan: &TableScan, schema: &arrow::datatypes::SchemaRef, statistics: &Statistics) -> Option<Estimate> {
    let rows = *statistics.num_rows.get_value()? as f64;
    let mut columns = HashMap::with_capacity(statistics.column_statistics.len());
    for (field, known) in schema.fields().iter().zip(&statistics.column_statistics) {
        let distinct = match known.distinct_count {
            Precision::Exact(distinct) | Precision::Inexact(distinct) => distinct as f64,
            Precision::Absent => rows,
        };
        let range = known.min_value.get_value().and_then(position).zip(known.max_value.get_value().and_then(position));
        let column = Column::new(Some(scan.table_name.clone()), field.name());
        columns.insert(column, ColumnEstimate { distinct: distinct.clamp(1.0, rows.max(1.0)), range });
    }
    Some(Estimate { rows, columns })
}

fn limited(estimate: Estimate, fetch: Option<usize>) -> Estimate {
    match fetch {
        Some(fetch) if (fetch as f64) < estimate.rows => estimate.scaled_to(fetch as f64),
        _ => estimate,
    }
}

fn product_of_distinct<'a>(estimate: &Estimate, columns: impl Iterator<Item = &'a Column>) -> f64 {
    columns.map(|column| estimate.columns.get(column).map_or(1.0, |known| known.distinct)).product()
}

fn of_aggregate(aggregate: &Aggregate) -> Option<Estimate> {
    let input = Estimate::of(&aggregate.input)?;
    if aggregate.group_expr.is_empty() {
        return Some(Estimate { rows: 1.0, columns: HashMap::new() });
    }
    // An expression over a column usually has far fewer values than the column: a year of a date.
    let distinct = |expr: &Expr| input.distinct(expr).unwrap_or_else(|| input.rows.sqrt().min(1000.0));
    let groups: f64 = aggregate.group_expr.iter().map(distinct).product();
    let rows = groups.min(input.rows).max(input.rows.min(1.0));
    let columns = aggregate.group_expr.iter().zip(aggregate.schema.columns()).map(|(expr, column)| {
        let range = input.of_expr(expr).and_then(|known| known.range);
        (column, ColumnEstimate { distinct: distinct(expr).clamp(1.0, rows.max(1.0)), range })
    });
    Some(Estimate { rows, columns: columns.collect() })
}

fn of_join(join: &Join) -> Option<Estimate> {
    let left = Estimate::of(&join.left)?;
    let right = Estimate::of(&join.right)?;
    let matches = join.on.iter().map(|(l, r)| match (left.distinct(l), right.distinct(r)) {
        (Some(a), Some(b)) => 1.0 / a.max(b),
        (Some(a), None) | (None, Some(a)) => 1.0 / a,
        (None, None) => 1.0 / left.rows.max(right.rows).max(1.0),
    });
    let mut inner = left.rows * right.rows * matches.product::<f64>();
    if join.filter.is_some() {
        inner *= UNKNOWN;
    }
    let found = semi_join_selectivity(&left, &right, &join.on, join.filter.as_ref());
    let left_rows = left.rows;
    let all = |rows: f64| {
        let mut columns = left.columns.clone();
        columns.extend(right.columns.iter().map(|(column, known)| (column.clone(), *known)));
        for known in columns.values_mut() {
            known.distinct = known.distinct.min(rows.max(1.0));
        }
        Estimate { rows, columns }
    };
    Some(match join.join_type {
        JoinType::Inner => all(inner),
        JoinType::Left => all(inner.max(left.rows)),
        JoinType::Right => all(inner.max(right.rows)),
        JoinType::Full => all(inner.max(left.rows).max(right.rows)),
        JoinType::LeftSemi => left.scaled_to(left_rows * found),
        JoinType::LeftAnti => left.scaled_to(left_rows * anti(found)),
        JoinType::LeftMark => left,
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => return None,
    })
}

/// Share of rows of an anti join, from that of the semi join. Correlated conditions make it rarely as small as it looks.
pub(super) fn anti(found: f64) -> f64 {
    (1.0 - found).max(0.1)
}

/// Share of the rows of `left` that have a partner in `right`.
pub(super) fn semi_join_selectivity(
    left: &Estimate,
    right: &Estimate,
    on: &[(Expr, Expr)],
    filter: Option<&Expr>,
) -> f64 {
    let share = on.iter().map(|(l, r)| match (left.distinct(l), right.distinct(r)) {
        (Some(a), Some(b)) => (b / a).min(1.0),
        (Some(a), None) => (right.rows / a).min(1.0),
        _ => (right.rows / left.rows.max(1.0)).min(1.0),
    });
    let share = share.fold(1.0, f64::min);
    if filter.is_some() { share * 0.9 } else { share }
}
