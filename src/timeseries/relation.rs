//! Plans of tables in parentheses that carry a mark: ASOF joins, window joins, LATEST ON.

use crate::error::external;
use crate::grammar::{ASOF, LATEST_ON, WINDOW_JOIN};
use crate::joins;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, JoinConstraint, JoinOperator, TableFactor,
};
use lightning_sql::Error;
use lightning_sql::extension::plain_name;

/// The planner.
#[derive(Debug)]
pub(crate) struct TimeRelations;

impl RelationPlanner for TimeRelations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let Some((name, arguments)) = marked(&relation) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let TableFactor::NestedJoin { table_with_joins, alias } = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let mut table = *table_with_joins;
        let Some(join) = table.joins.pop() else {
            return Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(context.plan(table.relation)?, alias))));
        };
        let left = context.plan(table.relation)?;
        let JoinOperator::AsOf { constraint, .. } = join.join_operator else {
            return Err(external(Error::unsupported("this join")));
        };
        let plan = match name {
            LATEST_ON => {
                let exprs = arguments.into_iter().map(|expr| context.sql_to_expr(expr, left.schema()));
                joins::latest(left.clone(), exprs.collect::<Result<_>>()?)?
            }
            _ => {
                let right = context.plan(join.relation)?;
                let both = left.schema().join(right.schema())?;
                let mut sides = joins::Sides::new(left, right);
                match constraint {
                    JoinConstraint::On(expr) => sides.on(context.sql_to_expr(expr, &both)?)?,
                    JoinConstraint::Using(names) => {
                        let names = names.iter().map(|name| {
                            let ident = name.0.last().and_then(|part| part.as_ident()).cloned();
                            ident.map(|ident| context.normalize_ident(ident)).unwrap_or_default()
                        });
                        let times = name == ASOF && arguments.get(1).is_none_or(is_null);
                        sides.using(&names.collect::<Vec<_>>(), times)?;
                    }
                    JoinConstraint::Natural => return Err(external(Error::unsupported("NATURAL in a join by time"))),
                    JoinConstraint::None => {}
                }
                if name == ASOF {
                    asof(sides, arguments, &both, context)?
                } else {
                    window(sides, arguments, &both, context)?
                }
            }
        };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// The mark of a table in parentheses and its arguments.
fn marked(relation: &TableFactor) -> Option<(&'static str, Vec<SqlExpr>)> {
    let TableFactor::NestedJoin { table_with_joins, .. } = relation else { return None };
    let [join] = table_with_joins.joins.as_slice() else { return None };
    let JoinOperator::AsOf { match_condition: SqlExpr::Function(function), .. } = &join.join_operator else {
        return None;
    };
    let name = plain_name(function)?;
    let name = [ASOF, LATEST_ON, WINDOW_JOIN].into_iter().find(|mark| *mark == name)?;
    let FunctionArguments::List(list) = &function.args else { return None };
    let argument = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    Some((name, list.args.iter().map(argument).collect::<Option<_>>()?))
}

fn is_null(expr: &SqlExpr) -> bool {
    matches!(expr, SqlExpr::Value(value) if value.value == datafusion::sql::sqlparser::ast::Value::Null)
}

fn text(expr: &SqlExpr) -> String {
    match expr {
        SqlExpr::Value(value) => value.value.clone().into_string().unwrap_or_default(),
        _ => String::new(),
    }
}

type Plan = datafusion::logical_expr::LogicalPlan;

/// `lightning_asof(kind, condition, tolerance)`.
fn asof(
    mut sides: joins::Sides,
    arguments: Vec<SqlExpr>,
    both: &DFSchema,
    context: &mut dyn RelationPlannerContext,
) -> Result<Plan> {
    let mut arguments = arguments.into_iter();
    let outer = arguments.next().is_some_and(|kind| text(&kind) == "left");
    if let Some(condition) = arguments.next().filter(|condition| !is_null(condition)) {
        sides.on(context.sql_to_expr(condition, both)?)?;
    }
    let tolerance = arguments.next().map(|expr| context.sql_to_expr(expr, &DFSchema::empty())).transpose()?;
    sides.asof(tolerance, outer)
}

/// `lightning_window_join(direction, distance, direction, distance, left time, right time, aggregates…)`.
fn window(
    mut sides: joins::Sides,
    arguments: Vec<SqlExpr>,
    both: &DFSchema,
    context: &mut dyn RelationPlannerContext,
) -> Result<Plan> {
    let mut arguments = arguments.into_iter();
    let mut edges = Vec::with_capacity(2);
    for _ in 0..2 {
        let follows = arguments.next().is_some_and(|direction| text(&direction) == "following");
        let distance = arguments.next().filter(|distance| !is_null(distance));
        let distance = distance.map(|expr| context.sql_to_expr(expr, &DFSchema::empty())).transpose()?;
        edges.push((follows, distance));
    }
    if let (Some(left), Some(right)) = (arguments.next(), arguments.next()) {
        let left = context.sql_to_expr(left, both)?;
        let right = context.sql_to_expr(right, both)?;
        sides.on(left.gt_eq(right))?;
    }
    let aggregates = arguments.map(|expr| context.sql_to_expr(expr, both)).collect::<Result<_>>()?;
    sides.window(edges, aggregates)
}
