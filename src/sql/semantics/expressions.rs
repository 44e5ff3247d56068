//! The pass over a plan before DataFusion coerces its types.

use super::common_type::{self, Alternative};
use super::operators::{comparable, interval_length, is_open, no_operator, resolve_in};
use super::quantified::is_quantified;
use super::{calls, cast, moments, set_operations, user_functions, widened};
use crate::error::Error;
use crate::sqlstate::DATATYPE_MISMATCH;
use crate::types;
use arrow::array::timezone::Tz;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Values,
    WindowFunctionDefinition,
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
        rewrite_plan(plan, Pass { zone: cast::zone(config) })
    }
}

fn rewrite_plan(plan: LogicalPlan, pass: Pass) -> Result<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(|node| rewrite_node(node, pass))?.data)
}

/// What the whole pass agrees on.
#[derive(Clone, Copy)]
struct Pass {
    zone: Tz,
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
    let transformed = rewritten.transformed;
    let plan = match rewritten.data {
        LogicalPlan::Values(Values { values, .. }) if transformed => LogicalPlanBuilder::values(values)?.build()?,
        LogicalPlan::Union(union) => set_operations::union(union, pass.zone)?,
        LogicalPlan::Join(mut join) if !set_operations::is_intersect_or_except(&join) => {
            widened::join(&mut join, pass.zone)?;
            LogicalPlan::Join(join).recompute_schema()?
        }
        LogicalPlan::Join(join) if set_operations::is_intersect_or_except(&join) => {
            set_operations::intersect_or_except(join, pass.zone)?
        }
        LogicalPlan::RecursiveQuery(query) => {
            set_operations::recursive(query, pass.zone, &|term| rewrite_plan(term, pass))?
        }
        // Inputs may have other types now, also where no expression changed.
        other => other.recompute_schema()?,
    };
    Ok(Transformed::yes(plan))
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
                let mut rewritten = rewrite_arguments(e, schema, pass)?;
                rewritten.tnr = TreeNodeRecursion::Jump;
                Ok(rewritten)
            }
            other => Ok(Transformed::no(other)),
        },
        |e| rewrite_one(e, schema, pass),
    )
}

/// Rewrites what is below an aggregate or window function, literals left out.
fn rewrite_arguments(expr: Expr, schema: &DFSchema, pass: Pass) -> Result<Transformed<Expr>> {
    expr.map_children(|child| match child {
        literal @ Expr::Literal(..) => Ok(Transformed::no(literal)),
        other => rewrite_expr(other, schema, pass),
    })
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
        Expr::Literal(ScalarValue::Int64(Some(value)), metadata) => match i32::try_from(value) {
            Ok(narrow) => Ok(Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(narrow)), metadata))),
            Err(_) => Ok(Transformed::no(Expr::Literal(ScalarValue::Int64(Some(value)), metadata))),
        },
        Expr::Cast(ref cast) => {
            let Ok((_, from)) = cast.expr.to_field(schema) else { return Ok(Transformed::no(expr)) };
            let open = matches!(cast.expr.as_ref(), Expr::Literal(value, None) if is_open(value));
            let from = if open || from.data_type() == &DataType::Null { types::UNKNOWN } else { types::pg_type(&from) };
            let to = types::pg_type(&cast.field);
            // A width that SQL cannot write is the planner's own.
            let widened = to == types::NUMERIC && Some(cast.field.data_type()) != to.arrow_type().as_ref();
            if widened && from.oid == to.oid {
                return Ok(Transformed::no(expr));
            }
            match cast::planned(&cast.expr, from, to, pass.zone) {
                Ok(Some(planned)) => Ok(Transformed::yes(planned)),
                Ok(None) => Ok(Transformed::no(expr)),
                Err(e) => external(e),
            }
        }
        Expr::ScalarFunction(function) if is_choice(&function) => rewrite_choice(function, schema, pass),
        Expr::ScalarFunction(mut function) if is_quantified(&function.func) => {
            let changed = resolve_array(&mut function, schema, pass.zone)?;
            Ok(Transformed::new(Expr::ScalarFunction(function), changed, TreeNodeRecursion::Continue))
        }
        Expr::ScalarFunction(function) => match moments::folded(&function)? {
            Some(folded) => Ok(Transformed::yes(folded)),
            None => match user_functions::bind(&function, schema, pass.zone, &|plan| rewrite_plan(plan, pass))? {
                Some(bound) => Ok(Transformed::yes(bound)),
                None => calls::bind(function, schema, pass.zone),
            },
        },
        Expr::AggregateFunction(ref call) => {
            calls::check_aggregate(call.func.name(), &call.params.args, schema)?;
            Ok(Transformed::no(expr))
        }
        Expr::WindowFunction(ref call) => {
            if let WindowFunctionDefinition::AggregateUDF(func) = &call.fun {
                calls::check_aggregate(func.name(), &call.params.args, schema)?;
            }
            Ok(Transformed::no(expr))
        }
        Expr::BinaryExpr(BinaryExpr { ref left, op, ref right }) if op.supports_propagation() => {
            let data_type = |expr: &Expr| expr.get_type(schema).unwrap_or(DataType::Null);
            let narrowed = moments::narrowed(left, op, right, &data_type(left)).or_else(|| {
                let swapped = op.swap()?;
                moments::narrowed(right, swapped, left, &data_type(right))
            });
            if let Some(narrowed) = narrowed {
                return Ok(Transformed::yes(narrowed));
            }
            Ok(match widened::compared(left, op, right, schema, pass.zone)? {
                Some(compared) => Transformed::yes(compared),
                None => Transformed::no(expr),
            })
        }
        Expr::InList(mut list) => {
            let mut changed = false;
            for item in &mut list.list {
                changed |= resolve_against(item, &list.expr, schema, pass)?;
            }
            changed |= widened::list(&mut list, schema, pass.zone)?;
            if is_interval(&list.expr, schema) {
                list.list = list.list.into_iter().map(interval_length).collect();
                list.expr = Box::new(interval_length(*list.expr));
                changed = true;
            }
            Ok(Transformed::new(Expr::InList(list), changed, TreeNodeRecursion::Continue))
        }
        Expr::Between(mut between) => {
            let mut changed = resolve_against(&mut between.low, &between.expr, schema, pass)?;
            changed |= resolve_against(&mut between.high, &between.expr, schema, pass)?;
            if let Some(narrowed) = narrowed_between(&between, schema) {
                return Ok(Transformed::yes(narrowed));
            }
            if let Some(compared) = compared_between(&between, schema, pass)? {
                return Ok(Transformed::yes(compared));
            }
            if is_interval(&between.expr, schema) {
                between.expr = Box::new(interval_length(*between.expr));
                between.low = Box::new(interval_length(*between.low));
                between.high = Box::new(interval_length(*between.high));
                changed = true;
            }
            Ok(Transformed::new(Expr::Between(between), changed, TreeNodeRecursion::Continue))
        }
        Expr::Case(case) => rewrite_case(case, schema, pass),
        Expr::InSubquery(ref subquery) if subquery.negated && !subquery.subquery.outer_ref_columns.is_empty() => {
            external(Error::unsupported("a correlated NOT IN subquery").with_hint("Write it with NOT EXISTS."))
        }
        Expr::InSubquery(mut subquery) => {
            let changed = widened::subquery(&mut subquery, schema, pass.zone)?;
            Ok(Transformed::new(Expr::InSubquery(subquery), changed, TreeNodeRecursion::Continue))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn unified(what: &str, exprs: &mut [&mut Expr], schema: &DFSchema, pass: Pass) -> Result<bool> {
    common_type::unify(what, exprs, schema, pass.zone).or_else(external)
}

/// Functions that return one of their arguments, which must agree on a type.
fn is_choice(function: &ScalarFunction) -> bool {
    matches!(function.func.name(), "coalesce" | "greatest" | "least" | "make_array" | "nullif")
}

/// COALESCE and its relatives: arguments of one type.
fn rewrite_choice(mut function: ScalarFunction, schema: &DFSchema, pass: Pass) -> Result<Transformed<Expr>> {
    if let Some(literal) = calls::extreme(&function.func, &function.args) {
        return Ok(Transformed::yes(literal));
    }
    let mut arguments: Vec<&mut Expr> = function.args.iter_mut().collect();
    let changed = match (function.func.name(), arguments.as_mut_slice()) {
        ("coalesce", arguments) => unified("COALESCE", arguments, schema, pass)?,
        ("greatest", arguments) => unified("GREATEST", arguments, schema, pass)?,
        ("least", arguments) => unified("LEAST", arguments, schema, pass)?,
        ("make_array", arguments) if arguments.len() > 1 => unified("ARRAY", arguments, schema, pass)?,
        ("nullif", [first, second]) => {
            resolve_against(second, first, schema, pass)? || resolve_against(first, second, schema, pass)?
        }
        _ => false,
    };
    Ok(Transformed::new(Expr::ScalarFunction(function), changed, TreeNodeRecursion::Continue))
}

/// CASE: results of one type (the ELSE has the first say), conditions that are boolean or comparable with the operand.
fn rewrite_case(mut case: Case, schema: &DFSchema, pass: Pass) -> Result<Transformed<Expr>> {
    let mut changed = false;
    for (when, _) in &mut case.when_then_expr {
        changed |= match &case.expr {
            Some(operand) => resolve_against(when, operand, schema, pass)?,
            None => resolve_condition(when, schema, pass)?,
        };
    }
    changed |= widened::case(&mut case, schema, pass.zone)?;
    let results = case.else_expr.iter_mut().map(Box::as_mut);
    let mut results: Vec<&mut Expr> =
        results.chain(case.when_then_expr.iter_mut().map(|(_, then)| then.as_mut())).collect();
    changed |= unified("CASE", &mut results, schema, pass)?;
    Ok(Transformed::new(Expr::Case(case), changed, TreeNodeRecursion::Continue))
}

/// A condition of CASE must be boolean.
fn resolve_condition(condition: &mut Expr, schema: &DFSchema, pass: Pass) -> Result<bool> {
    match common_type::alternative(condition, schema) {
        Some(Alternative::Open) => {
            let taken = std::mem::take(condition);
            let coerced = common_type::coerce(taken, Alternative::Open, types::BOOL, pass.zone).or_else(external)?;
            *condition = coerced;
            Ok(true)
        }
        Some(Alternative::Typed(pg)) if pg.oid != types::BOOL.oid => {
            let message = format!("argument of CASE/WHEN must be type boolean, not type {}", pg.base_name());
            external(Error::new(DATATYPE_MISMATCH, message))
        }
        _ => Ok(false),
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

/// BETWEEN of time stamps of different precision.
fn compared_between(between: &Between, schema: &DFSchema, pass: Pass) -> Result<Option<Expr>> {
    let bound = |op, bound: &Expr| widened::compared(&between.expr, op, bound, schema, pass.zone);
    let (low, high) = if between.negated { (Operator::Lt, Operator::Gt) } else { (Operator::GtEq, Operator::LtEq) };
    let (compared_low, compared_high) = (bound(low, &between.low)?, bound(high, &between.high)?);
    if compared_low.is_none() && compared_high.is_none() {
        return Ok(None);
    }
    let plain = |op, bound: &Expr| Expr::BinaryExpr(BinaryExpr::new(between.expr.clone(), op, Box::new(bound.clone())));
    let low = compared_low.unwrap_or_else(|| plain(low, &between.low));
    let high = compared_high.unwrap_or_else(|| plain(high, &between.high));
    Ok(Some(if between.negated { low.or(high) } else { low.and(high) }))
}

/// The text in `x = ANY('{…}')` as the array it stands for.
fn resolve_array(function: &mut ScalarFunction, schema: &DFSchema, zone: Tz) -> Result<bool> {
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
    *array = resolve_in(zone, array.clone(), wanted)?;
    Ok(true)
}

/// Gives `item` the type of `operand` when its own is open; refuses pairs that cannot be compared.
fn resolve_against(item: &mut Expr, operand: &Expr, schema: &DFSchema, pass: Pass) -> Result<bool> {
    let Ok((_, field)) = operand.to_field(schema) else { return Ok(false) };
    if matches!(operand, Expr::Literal(value, None) if is_open(value)) || field.data_type() == &DataType::Null {
        return Ok(false);
    }
    let wanted = types::pg_type(&field);
    if let Expr::Literal(value, None) = &*item
        && is_open(value)
    {
        let before = item.clone();
        *item = resolve_in(pass.zone, before.clone(), wanted)?;
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
