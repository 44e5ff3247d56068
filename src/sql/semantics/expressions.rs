//! The pass over a plan before DataFusion coerces its types.

use super::cast;
use super::moments;
use super::operators::{comparable, interval_length, is_open, no_operator, resolve};
use super::quantified::is_quantified;
use crate::error::Error;
use crate::sqlstate::DATATYPE_MISMATCH;
use crate::types;
use arrow::array::timezone::Tz;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Values,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// Narrows integer literals, resolves literals of open type, replaces casts, refuses what would answer wrongly.
#[derive(Debug)]
pub(super) struct PostgresExpressions;

impl AnalyzerRule for PostgresExpressions {
    fn name(&self) -> &str {
        "postgres_expressions"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        // The two halves of a recursive query were given equal types already; narrowing literals in one would part them.
        let recursive = plan.exists(|node| Ok(matches!(node, LogicalPlan::RecursiveQuery(_))))?;
        let pass = Pass { zone: cast::zone(config), narrow_literals: !recursive };
        Ok(plan.transform_up_with_subqueries(|node| rewrite_node(node, pass))?.data)
    }
}

/// What the whole pass agrees on.
#[derive(Clone, Copy)]
struct Pass {
    zone: Tz,
    narrow_literals: bool,
}

fn rewrite_node(plan: LogicalPlan, pass: Pass) -> Result<Transformed<LogicalPlan>> {
    // Their numbers are counts of rows, or already computed.
    if matches!(plan, LogicalPlan::Limit(_) | LogicalPlan::TableScan(_)) {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    if let LogicalPlan::Filter(filter) = &plan {
        check_condition(&filter.predicate, &schema)?;
    }
    let names = NamePreserver::new(&plan);
    let sorts = matches!(plan, LogicalPlan::Sort(_));
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = rewrite_expr(expr, &schema, pass)?;
        if sorts && is_interval(&rewritten.data, &schema) {
            return Ok(Transformed::yes(interval_length(rewritten.data)));
        }
        Ok(rewritten.update_data(|e| name.restore(e)))
    })?;
    if !rewritten.transformed {
        return Ok(rewritten);
    }
    match rewritten.data {
        LogicalPlan::Values(Values { values, .. }) => {
            Ok(Transformed::yes(LogicalPlanBuilder::values(values)?.build()?))
        }
        other => Ok(Transformed::yes(other.recompute_schema()?)),
    }
}

fn check_condition(predicate: &Expr, schema: &DFSchema) -> Result<()> {
    let Ok((_, field)) = predicate.to_field(schema) else { return Ok(()) };
    if matches!(field.data_type(), DataType::Boolean | DataType::Null) {
        return Ok(());
    }
    let name = types::pg_type(&field).base_name();
    external(Error::new(DATATYPE_MISMATCH, format!("argument of WHERE must be type boolean, not type {name}")))
}

fn external<T>(e: Error) -> Result<T> {
    Err(DataFusionError::External(Box::new(e)))
}

/// Rewrites an expression from its leaves up. Arguments of aggregates and window functions may have to be literals of
/// a certain type, so those that are literals stay as they are.
fn rewrite_expr(expr: Expr, schema: &DFSchema, pass: Pass) -> Result<Transformed<Expr>> {
    expr.transform_down_up(
        |e| match e {
            Expr::AggregateFunction(_) | Expr::WindowFunction(_) if has_literal_argument(&e) => {
                Ok(Transformed::new(e, false, TreeNodeRecursion::Jump))
            }
            other => Ok(Transformed::no(other)),
        },
        |e| rewrite_one(e, schema, pass),
    )
}

fn has_literal_argument(expr: &Expr) -> bool {
    let args = match expr {
        Expr::AggregateFunction(f) => {
            if matches!(f.func.name(), "sum" | "avg" | "min" | "max" | "count") {
                return false;
            }
            &f.params.args
        }
        Expr::WindowFunction(f) => &f.params.args,
        _ => return false,
    };
    args.iter().any(|a| matches!(a, Expr::Literal(..)))
}

fn rewrite_one(expr: Expr, schema: &DFSchema, pass: Pass) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(value)), metadata) if pass.narrow_literals => {
            match i32::try_from(value) {
                Ok(narrow) => Ok(Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(narrow)), metadata))),
                Err(_) => Ok(Transformed::no(Expr::Literal(ScalarValue::Int64(Some(value)), metadata))),
            }
        }
        Expr::Cast(ref cast) => {
            let Ok((_, from)) = cast.expr.to_field(schema) else { return Ok(Transformed::no(expr)) };
            let open = matches!(cast.expr.as_ref(), Expr::Literal(value, None) if is_open(value));
            let from = if open || from.data_type() == &DataType::Null { types::UNKNOWN } else { types::pg_type(&from) };
            let to = types::pg_type(&cast.field);
            match cast::planned(&cast.expr, from, to, pass.zone) {
                Ok(Some(planned)) => Ok(Transformed::yes(planned)),
                Ok(None) => Ok(Transformed::no(expr)),
                Err(e) => external(e),
            }
        }
        Expr::ScalarFunction(mut function) => {
            if let Some(folded) = moments::folded(&function)? {
                return Ok(Transformed::yes(folded));
            }
            let changed = resolve_array(&mut function, schema, pass.zone)?;
            Ok(Transformed::new(Expr::ScalarFunction(function), changed, TreeNodeRecursion::Continue))
        }
        Expr::BinaryExpr(BinaryExpr { ref left, op, ref right }) if op.supports_propagation() => {
            let data_type = |expr: &Expr| expr.get_type(schema).unwrap_or(DataType::Null);
            let narrowed = moments::narrowed(left, op, right, &data_type(left)).or_else(|| {
                let swapped = op.swap()?;
                moments::narrowed(right, swapped, left, &data_type(right))
            });
            Ok(match narrowed {
                Some(narrowed) => Transformed::yes(narrowed),
                None => Transformed::no(expr),
            })
        }
        Expr::InList(mut list) => {
            let mut changed = false;
            for item in &mut list.list {
                changed |= resolve_against(item, &list.expr, schema)?;
            }
            if is_interval(&list.expr, schema) {
                list.list = list.list.into_iter().map(interval_length).collect();
                list.expr = Box::new(interval_length(*list.expr));
                changed = true;
            }
            Ok(Transformed::new(Expr::InList(list), changed, TreeNodeRecursion::Continue))
        }
        Expr::Between(mut between) => {
            let mut changed = resolve_against(&mut between.low, &between.expr, schema)?;
            changed |= resolve_against(&mut between.high, &between.expr, schema)?;
            if let Some(narrowed) = narrowed_between(&between, schema) {
                return Ok(Transformed::yes(narrowed));
            }
            if is_interval(&between.expr, schema) {
                between.expr = Box::new(interval_length(*between.expr));
                between.low = Box::new(interval_length(*between.low));
                between.high = Box::new(interval_length(*between.high));
                changed = true;
            }
            Ok(Transformed::new(Expr::Between(between), changed, TreeNodeRecursion::Continue))
        }
        Expr::InSubquery(ref subquery) if subquery.negated && !subquery.subquery.outer_ref_columns.is_empty() => {
            external(Error::unsupported("a correlated NOT IN subquery").with_hint("Write it with NOT EXISTS."))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn is_interval(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Interval(_)))
}

/// A date between two `timestamp` literals.
fn narrowed_between(between: &Between, schema: &DFSchema) -> Option<Expr> {
    let data_type = between.expr.get_type(schema).ok()?;
    if data_type != DataType::Date32 {
        return None;
    }
    let bound = |op: Operator, literal: &Expr| {
        moments::narrowed(&between.expr, op, literal, &data_type).or_else(|| {
            let date = matches!(literal, Expr::Literal(ScalarValue::Date32(Some(_)), _));
            let bound = BinaryExpr::new(between.expr.clone(), op, Box::new(literal.clone()));
            date.then_some(Expr::BinaryExpr(bound))
        })
    };
    let (low, high) = if between.negated { (Operator::Lt, Operator::Gt) } else { (Operator::GtEq, Operator::LtEq) };
    let (low, high) = (bound(low, &between.low)?, bound(high, &between.high)?);
    Some(if between.negated { low.or(high) } else { low.and(high) })
}

/// The text in `x = ANY('{…}')` as the array it stands for.
fn resolve_array(function: &mut ScalarFunction, schema: &DFSchema, zone: Tz) -> Result<bool> {
    if !is_quantified(&function.func) {
        return Ok(false);
    }
    let [value, array] = function.args.as_mut_slice() else { return Ok(false) };
    if let Ok((_, field)) = array.to_field(schema)
        && let Some(list) = types::pg_type(&field).vector_as_array()
    {
        if let Some(planned) = cast::planned(array, types::pg_type(&field), list, zone).or_else(external)? {
            *array = planned;
        }
        return Ok(true);
    }
    if !matches!(&*array, Expr::Literal(literal, None) if is_open(literal)) {
        return Ok(false);
    }
    let open = matches!(&*value, Expr::Literal(literal, None) if is_open(literal));
    let element = match value.to_field(schema) {
        Ok((_, field)) if !open && field.data_type() != &DataType::Null => types::pg_type(&field),
        _ => types::TEXT,
    };
    // A `numeric(6,2)` is found among numerics of any scale.
    let Some(wanted) = element.with_modifier(-1).array_of() else { return Ok(false) };
    *array = resolve(array.clone(), wanted, &BinaryOperator::Eq)?;
    Ok(true)
}

/// Gives `item` the type of `operand` when its own is open; refuses pairs that cannot be compared.
fn resolve_against(item: &mut Expr, operand: &Expr, schema: &DFSchema) -> Result<bool> {
    let Ok((_, field)) = operand.to_field(schema) else { return Ok(false) };
    if matches!(operand, Expr::Literal(value, None) if is_open(value)) || field.data_type() == &DataType::Null {
        return Ok(false);
    }
    let wanted = types::pg_type(&field);
    if let Expr::Literal(value, None) = &*item
        && is_open(value)
    {
        let before = item.clone();
        *item = resolve(before.clone(), wanted, &BinaryOperator::Eq)?;
        return Ok(*item != before);
    }
    if let Ok((_, found)) = item.to_field(schema)
        && found.data_type() != &DataType::Null
    {
        let found = types::pg_type(&found);
        if !comparable(wanted, found) {
            return external(no_operator(&BinaryOperator::Eq, wanted, found));
        }
    }
    Ok(false)
}
