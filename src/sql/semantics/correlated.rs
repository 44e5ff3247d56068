//! Correlated scalar sub-queries that DataFusion cannot make joins of.
//!
//! DataFusion turns a correlated aggregate into a join when every condition on the outer row is an equation with a column
//! (`WHERE u.x = t.a`): it groups the inner rows by that column. For any other condition (`u.x <= t.a`), and outside WHERE
//! and the select list, this rule does what works for all of them: number the outer rows, join each with the inner rows its
//! condition admits, and aggregate the pairs by outer row.
//!
//! ```text
//! SELECT a, (SELECT count(*) FROM u WHERE x <= a) FROM t
//!
//! Projection  a, value
//!   Aggregate by number, a;  value = count(*) FILTER (WHERE matched)
//!     LEFT JOIN ON x <= a
//!       t with the number of each row
//!       u with TRUE as matched
//! ```
//!
//! An outer row without inner rows is joined with NULLs, and the filter makes that an empty group: `count` is 0 and the
//! others are NULL, as they are over no rows. A sub-query without FROM is just its expression.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::config::ConfigOptions;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, EmptyRelation, Expr, Filter, JoinType, LogicalPlan, LogicalPlanBuilder, Operator,
    Projection, Subquery, SubqueryAlias, WindowFunctionDefinition, lit,
};
use datafusion::optimizer::AnalyzerRule;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Makes joins of what is left.
#[derive(Debug)]
pub(super) struct CorrelatedSubqueries;

impl AnalyzerRule for CorrelatedSubqueries {
    fn name(&self) -> &str {
        "correlated_subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let counter = AtomicUsize::new(0);
        Ok(plan.transform_up_with_subqueries(|node| rewrite_node(node, &counter))?.data)
    }
}

fn rewrite_node(plan: LogicalPlan, counter: &AtomicUsize) -> Result<Transformed<LogicalPlan>> {
    let native = match &plan {
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) => true,
        LogicalPlan::Sort(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) => false,
        _ => return Ok(Transformed::no(plan)),
    };
    let mut wanted: Vec<Subquery> = Vec::new();
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            if let Expr::ScalarSubquery(subquery) = expr
                && !subquery.outer_ref_columns.is_empty()
                && !(native && joins_by_equality(subquery))
                && !wanted.contains(subquery)
            {
                wanted.push(subquery.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if wanted.is_empty() {
        return Ok(Transformed::no(plan));
    }
    let inputs = plan.inputs();
    let [input] = inputs.as_slice() else { return Ok(Transformed::no(plan)) };
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let mut input = (*input).clone();
    let mut values: Vec<(Subquery, Expr)> = Vec::new();
    for subquery in wanted {
        if let Some((joined, value)) = valued(&input, &subquery, counter)? {
            input = joined;
            values.push((subquery, value));
        }
    }
    if values.is_empty() {
        return Ok(Transformed::no(plan));
    }
    let names = NamePreserver::new(&plan);
    let keeps_columns = matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::Sort(_));
    let replaced = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let replaced = expr.transform_up(|expr| {
            let Expr::ScalarSubquery(subquery) = &expr else { return Ok(Transformed::no(expr)) };
            match values.iter().find(|(known, _)| known == subquery) {
                Some((_, value)) => Ok(Transformed::yes(value.clone())),
                None => Ok(Transformed::no(expr)),
            }
        })?;
        Ok(if replaced.transformed { replaced.update_data(|e| name.restore(e)) } else { replaced })
    })?;
    let expressions = replaced.data.expressions();
    let plan = replaced.data.with_new_exprs(expressions, vec![input])?.recompute_schema()?;
    if !keeps_columns {
        return Ok(Transformed::yes(plan));
    }
    Ok(Transformed::yes(LogicalPlanBuilder::from(plan).project(columns)?.build()?))
}

/// `input` with the value of the sub-query for each row, and the expression that has it.
fn valued(input: &LogicalPlan, subquery: &Subquery, counter: &AtomicUsize) -> Result<Option<(LogicalPlan, Expr)>> {
    let known = |expr: &Expr| match expr {
        Expr::OuterReferenceColumn(_, column) => input.schema().has_column(column),
        _ => true,
    };
    if subquery.outer_ref_columns.iter().all(known) {
        return match inlined(subquery) {
            Some(value) => Ok(Some((input.clone(), value))),
            None => joined(input, subquery, counter.fetch_add(1, Ordering::Relaxed)),
        };
    }
    // ORDER BY may depend on what the select list leaves out.
    let LogicalPlan::Projection(projection) = input else { return Ok(None) };
    let Some((below, value)) = valued(&projection.input, subquery, counter)? else { return Ok(None) };
    let name = format!("\u{1}below{}", counter.fetch_add(1, Ordering::Relaxed));
    let expressions = projection.expr.iter().cloned().chain([value.alias(name.clone())]);
    let plan = LogicalPlanBuilder::from(below).project(expressions)?.build()?;
    Ok(Some((plan, Expr::Column(Column::from_name(name)))))
}

/// Whether DataFusion decorrelates the sub-query itself.
fn joins_by_equality(subquery: &Subquery) -> bool {
    let mut possible = true;
    let _ = subquery.subquery.apply(|node| {
        possible &= match node {
            LogicalPlan::Filter(filter) => {
                split_conjunction(&filter.predicate).into_iter().filter(|c| c.contains_outer()).all(is_column_equation)
            }
            other => !other.contains_outer_reference(),
        };
        Ok(if possible { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    possible && !reads_nothing(&subquery.subquery)
}

/// `inner column = something of the outer row`.
fn is_column_equation(expr: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return false };
    let column = |expr: &Expr| match expr {
        Expr::Cast(cast) => matches!(cast.expr.as_ref(), Expr::Column(_)),
        other => matches!(other, Expr::Column(_)),
    };
    (column(left) && !right.any_column_refs()) || (column(right) && !left.any_column_refs())
}

fn reads_nothing(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => reads_nothing(&projection.input),
        LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row, .. }) => *produce_one_row,
        _ => false,
    }
}

/// Outer references as the columns they are once the outer row is at hand.
fn with_outer_columns(expr: Expr) -> Result<Expr> {
    let replaced = expr.transform_up(|expr| match expr {
        Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(replaced.data)
}

/// The expression of a sub-query that reads no table.
fn inlined(subquery: &Subquery) -> Option<Expr> {
    let LogicalPlan::Projection(projection) = subquery.subquery.as_ref() else { return None };
    if !matches!(projection.input.as_ref(), LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, .. })) {
        return None;
    }
    let [expr] = projection.expr.as_slice() else { return None };
    with_outer_columns(expr.clone().unalias()).ok()
}

/// The parts of an aggregate over rows chosen by the outer row.
struct Parts<'a> {
    /// What is made of the aggregates.
    output: Expr,
    aggregate: &'a Aggregate,
    condition: Vec<Expr>,
    rows: LogicalPlan,
}

fn parts(plan: &LogicalPlan) -> Option<Parts<'_>> {
    let (output, aggregate) = match plan {
        LogicalPlan::Projection(Projection { expr, input, .. }) => match (expr.as_slice(), input.as_ref()) {
            ([expr], LogicalPlan::Aggregate(aggregate)) => (Some(expr.clone().unalias()), aggregate),
            _ => return None,
        },
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => return parts(input),
        LogicalPlan::Aggregate(aggregate) => (None, aggregate),
        _ => return None,
    };
    if !aggregate.group_expr.is_empty() {
        return None;
    }
    let output = match output {
        Some(output) => output,
        None => Expr::Column(aggregate.schema.columns().into_iter().next()?),
    };
    let mut condition = Vec::new();
    let mut rows = aggregate.input.as_ref();
    while let LogicalPlan::Filter(Filter { predicate, input, .. }) = rows {
        condition.extend(split_conjunction(predicate).into_iter().cloned());
        rows = input;
    }
    let (outer, inner): (Vec<Expr>, Vec<Expr>) = condition.into_iter().partition(Expr::contains_outer);
    let mut builder = LogicalPlanBuilder::from(rows.clone());
    if let Some(inner) = conjunction(inner) {
        builder = builder.filter(inner).ok()?;
    }
    let rows = builder.build().ok()?;
    let correlated_below = rows.exists(|node| Ok(node.contains_outer_reference())).unwrap_or(true);
    (!correlated_below).then_some(Parts { output, aggregate, condition: outer, rows })
}

/// `input` with the value of the sub-query for each row, and the column that has it.
fn joined(input: &LogicalPlan, subquery: &Subquery, number: usize) -> Result<Option<(LogicalPlan, Expr)>> {
    let Some(Parts { output, aggregate, condition, rows }) = parts(&subquery.subquery) else { return Ok(None) };
    let unique = |what: &str, index: usize| format!("\u{1}{what}{number}_{index}");
    let (row, matched, value) = (unique("row", 0), unique("matched", 0), unique("value", 0));

    // Inner columns get names of their own: outer ones may be called the same.
    let mut inner_columns: HashMap<Column, Column> = HashMap::new();
    let mut inner = Vec::new();
    for (index, column) in rows.schema().columns().into_iter().enumerate() {
        let name = unique("inner", index);
        inner.push(Expr::Column(column.clone()).alias(name.clone()));
        inner_columns.insert(column, Column::from_name(name));
    }
    inner.push(lit(true).alias(matched.clone()));
    let renamed = |expr: Expr| -> Result<Expr> {
        let replaced = expr.transform_up(|expr| match &expr {
            Expr::Column(column) => match inner_columns.get(column) {
                Some(known) => Ok(Transformed::yes(Expr::Column(known.clone()))),
                None => Ok(Transformed::no(expr)),
            },
            _ => Ok(Transformed::no(expr)),
        })?;
        with_outer_columns(replaced.data)
    };
    let inner = LogicalPlanBuilder::from(rows).project(inner)?.build()?;

    let outer_columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let numbering = Expr::WindowFunction(Box::new(WindowFunction::new(
        WindowFunctionDefinition::WindowUDF(row_number_udwf()),
        Vec::new(),
    )));
    let numbering_name = numbering.schema_name().to_string();
    let outer = LogicalPlanBuilder::from(input.clone()).window(vec![numbering])?;
    let outer = outer.project(
        outer_columns.iter().cloned().chain([Expr::Column(Column::from_name(numbering_name)).alias(row.clone())]),
    )?;

    let condition = condition.into_iter().map(&renamed).collect::<Result<Vec<_>>>()?;
    let condition = if condition.is_empty() { vec![lit(true)] } else { condition };
    let pairs = outer.join_on(inner, JoinType::Left, condition)?;

    let has_match = Expr::Column(Column::from_name(matched)).is_not_null();
    let mut results: HashMap<Column, Column> = HashMap::new();
    let mut aggregates = Vec::new();
    for (index, expr) in aggregate.aggr_expr.iter().enumerate() {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr.clone().unalias() else {
            return Ok(None);
        };
        let mut function = AggregateFunction { func, params };
        let filter = function.params.filter.take().map(|f| *f);
        function.params.filter = Some(Box::new(match filter {
            Some(filter) => filter.and(has_match.clone()),
            None => has_match.clone(),
        }));
        let name = unique("aggregate", index);
        aggregates.push(renamed(Expr::AggregateFunction(function))?.alias(name.clone()));
        let (qualifier, field) = aggregate.schema.qualified_field(index);
        results.insert(Column::new(qualifier.cloned(), field.name()), Column::from_name(name));
    }
    let mut groups = outer_columns.clone();
    groups.push(Expr::Column(Column::from_name(row)));
    let grouped = pairs.aggregate(groups, aggregates)?;

    let output = output.transform_up(|expr| match &expr {
        Expr::Column(column) => match results.get(column) {
            Some(known) => Ok(Transformed::yes(Expr::Column(known.clone()))),
            None => Ok(Transformed::no(expr)),
        },
        _ => Ok(Transformed::no(expr)),
    })?;
    let output = with_outer_columns(output.data)?.alias(value.clone());
    let plan = grouped.project(outer_columns.into_iter().chain([output]))?.build()?;
    Ok(Some((plan, Expr::Column(Column::from_name(value)))))
}
