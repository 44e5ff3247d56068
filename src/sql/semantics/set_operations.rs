//! UNION, INTERSECT, EXCEPT, VALUES and recursive queries in PostgreSQL's types.
//!
//! DataFusion gives a set operation the types of its first side until it coerces types, and answers INTERSECT ALL and EXCEPT
//! ALL as if rows were not counted. Here, sides are brought to their common types one pair at a time, as PostgreSQL does
//! (so `'a' UNION 'b' UNION 1` fails: the first pair is `text`), and rows of the counting forms get a number among their
//! equals, by which they are joined as well:
//!
//! ```text
//! a: x x y      numbered: (x,1) (x,2) (y,1)
//! b: x z        numbered: (x,1) (z,1)            a EXCEPT ALL b = (x,2) (y,1), without the numbers
//! ```

use super::common_type::{Alternative, alternative, coerce, common_type, converted};
use crate::error::Error;
use crate::sqlstate::DATATYPE_MISMATCH;
use crate::types;
use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, DataFusionError, NullEquality, Result};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{Cast, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Distinct, Expr, ExprSchemable, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Projection, RecursiveQuery,
    SubqueryAlias, Union, Values, WindowFunctionDefinition,
};
use std::sync::Arc;

/// Number of a row among its equals. Users cannot write this name.
const NUMBER: &str = "\u{1}number";

fn external(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

/// A union whose inputs have equal types, but for numbers that DataFusion widens.
pub(super) fn union(union: Union, zone: Tz) -> Result<LogicalPlan> {
    let inputs = union.inputs.into_iter().map(Arc::unwrap_or_clone).collect();
    let inputs = aligned("UNION", inputs, zone)?.into_iter().map(Arc::new).collect();
    Ok(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?))
}

/// Brings the columns of several plans to their common types.
fn aligned(what: &str, mut inputs: Vec<LogicalPlan>, zone: Tz) -> Result<Vec<LogicalPlan>> {
    let width = inputs.iter().map(|p| p.schema().fields().len()).min().unwrap_or(0);
    let mut wanted = Vec::with_capacity(width);
    for index in 0..width {
        let found = inputs.iter().map(|input| output(input, index)).collect::<Option<Vec<_>>>();
        wanted.push(match found {
            Some(found) => {
                let common = common_type(what, &found).map_err(external)?;
                found.iter().any(|a| *a != Alternative::Typed(common)).then_some((common, found))
            }
            None => None,
        });
    }
    if wanted.iter().all(Option::is_none) {
        return Ok(inputs);
    }
    for (side, input) in inputs.iter_mut().enumerate() {
        let plan = std::mem::take(input);
        *input = outputs_mapped(plan, &|index, expr, _| match wanted.get(index) {
            Some(Some((common, found))) => coerce(expr, found[side], *common, zone).map_err(external),
            _ => Ok(expr),
        })?;
    }
    Ok(inputs)
}

/// What column `index` of a plan is; a literal is open only where a side of the set operation itself writes it.
fn output(plan: &LogicalPlan, index: usize) -> Option<Alternative> {
    match plan {
        LogicalPlan::Projection(projection) => {
            alternative(&projection.expr.get(index)?.clone().unalias(), projection.input.schema())
        }
        LogicalPlan::Distinct(Distinct::All(input)) => output(input, index),
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => output(input, index),
        LogicalPlan::Values(Values { values, .. }) if values.len() == 1 => {
            alternative(values.first()?.get(index)?, plan.schema())
        }
        other => {
            let field = other.schema().field(index);
            (field.data_type() != &DataType::Null).then(|| Alternative::Typed(types::pg_type(field)))
        }
    }
}

/// From the index of a column, its expression and the schema that is over, to another expression.
type Mapping<'a> = dyn Fn(usize, Expr, &DFSchema) -> Result<Expr> + 'a;

/// Changes what a plan puts out, keeping names; below what only removes rows or renames, so that literals stay literals.
fn outputs_mapped(plan: LogicalPlan, map: &Mapping<'_>) -> Result<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::Projection(Projection { expr, input, schema, .. }) => {
            let mut changed = Vec::with_capacity(expr.len());
            for (index, expr) in expr.into_iter().enumerate() {
                let (qualifier, field) = schema.qualified_field(index);
                let before = expr.clone().unalias();
                let after = map(index, before.clone(), input.schema())?;
                changed.push(if after == before {
                    expr
                } else {
                    after.alias_qualified(qualifier.cloned(), field.name())
                });
            }
            LogicalPlan::Projection(Projection::try_new(changed, input)?)
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            LogicalPlan::Distinct(Distinct::All(Arc::new(outputs_mapped(Arc::unwrap_or_clone(input), map)?)))
        }
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => {
            let input = outputs_mapped(Arc::unwrap_or_clone(input), map)?;
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias)?)
        }
        other => {
            let columns: Vec<(Expr, String)> = other
                .schema()
                .iter()
                .map(|(qualifier, field)| {
                    (Expr::Column(Column::new(qualifier.cloned(), field.name())), field.name().clone())
                })
                .collect();
            let mut changed = Vec::with_capacity(columns.len());
            for (index, (column, name)) in columns.into_iter().enumerate() {
                let after = map(index, column.clone(), other.schema())?;
                changed.push(if after == column { column } else { after.alias(name) });
            }
            LogicalPlan::Projection(Projection::try_new(changed, Arc::new(other))?)
        }
    })
}

/// INTERSECT and EXCEPT, which DataFusion plans as joins on all columns where NULL equals NULL.
pub(super) fn intersect_or_except(join: Join, zone: Tz) -> Result<LogicalPlan> {
    let what = if join.join_type == JoinType::LeftSemi { "INTERSECT" } else { "EXCEPT" };
    let counted = !matches!(join.left.as_ref(), LogicalPlan::Distinct(_));
    let sides = vec![Arc::unwrap_or_clone(join.left), Arc::unwrap_or_clone(join.right)];
    let mut sides = aligned(what, sides, zone)?.into_iter();
    let (Some(mut left), Some(mut right)) = (sides.next(), sides.next()) else {
        return Err(DataFusionError::Internal("a set operation has two sides".to_owned()));
    };
    let columns = left.schema().columns();
    let mut keys: (Vec<Column>, Vec<Column>) = (columns.clone(), right.schema().columns());
    if counted {
        left = numbered(left)?;
        right = numbered(right)?;
        keys.0.push(Column::from_name(NUMBER));
        keys.1.push(Column::from_name(NUMBER));
    }
    let joined = LogicalPlanBuilder::from(left).join_detailed(
        right,
        join.join_type,
        keys,
        None,
        NullEquality::NullEqualsNull,
    )?;
    if counted { joined.project(columns.into_iter().map(Expr::Column))?.build() } else { joined.build() }
}

/// Whether a join is an INTERSECT or EXCEPT that was not looked at yet.
pub(super) fn is_intersect_or_except(join: &Join) -> bool {
    let width = join.left.schema().fields().len();
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
        && join.on.len() == width
        && width > 0
        && !join.left.schema().has_column_with_unqualified_name(NUMBER)
}

/// Adds the number of each row among its equals.
fn numbered(plan: LogicalPlan) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let function = WindowFunction {
        fun: WindowFunctionDefinition::WindowUDF(row_number_udwf()),
        params: WindowFunctionParams {
            args: Vec::new(),
            partition_by: columns.clone(),
            order_by: Vec::new(),
            window_frame: datafusion::logical_expr::WindowFrame::new(None),
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    };
    let function = Expr::WindowFunction(Box::new(function));
    let name = function.schema_name().to_string();
    let number = Expr::Column(Column::from_name(name)).alias(NUMBER);
    LogicalPlanBuilder::from(plan).window(vec![function])?.project(columns.into_iter().chain([number]))?.build()
}

/// A recursive query whose recursive term reads and yields the types of the other term. `again` repeats the pass over the
/// recursive term once the types of the rows it reads are known.
pub(super) fn recursive(
    query: RecursiveQuery,
    zone: Tz,
    again: &dyn Fn(LogicalPlan) -> Result<LogicalPlan>,
) -> Result<LogicalPlan> {
    let schema = query.static_term.schema();
    let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
    let work_table = Arc::new(Schema::new(fields));
    let term = Arc::unwrap_or_clone(query.recursive_term);
    let replaced = term.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        let known = source_as_provider(&scan.source).ok().is_some_and(|provider| {
            let table = provider.downcast_ref::<CteWorkTable>();
            table.is_some_and(|table| table.name() == query.name && table.schema() != work_table)
        });
        if !known {
            return Ok(Transformed::no(node));
        }
        let table = CteWorkTable::new(&query.name, Arc::clone(&work_table));
        let source = provider_as_source(Arc::new(table));
        Ok(Transformed::yes(LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)?.build()?))
    })?;
    let term = if replaced.transformed { again(replaced.data)? } else { replaced.data };
    let term = outputs_mapped(term, &|index, expr, schema| {
        let wanted = query.static_term.schema().field(index);
        as_static(&query.name, index, expr, schema, wanted, zone)
    })?;
    RecursiveQuery::try_new(query.name.clone(), Arc::clone(&query.static_term), Arc::new(term), query.is_distinct)
        .map(LogicalPlan::RecursiveQuery)
}

/// An output of the recursive term as the type of the other term's column.
fn as_static(query: &str, index: usize, expr: Expr, schema: &DFSchema, wanted: &Field, zone: Tz) -> Result<Expr> {
    let to = types::pg_type(wanted);
    let Some(mut found) = alternative(&expr, schema) else { return Ok(expr) };
    let mut expr = expr;
    // The planner cast to the type the column had before integer literals were narrowed.
    if let Expr::Cast(cast) = &expr
        && found != Alternative::Typed(to)
        && let Some(Alternative::Typed(inner)) = alternative(&cast.expr, schema)
        && inner.oid == to.oid
    {
        found = Alternative::Typed(inner);
        expr = cast.expr.as_ref().clone();
    }
    let common = common_type("UNION", &[Alternative::Typed(to), found]).map_err(external)?;
    if common.oid != to.oid {
        let message = format!(
            "recursive query \"{query}\" column {} has type {} in non-recursive term but type {} overall",
            index + 1,
            to.base_name(),
            common.base_name()
        );
        let hint = "Cast the output of the non-recursive term to the correct type.";
        return Err(external(Error::new(DATATYPE_MISMATCH, message).with_hint(hint)));
    }
    let expr = match found {
        Alternative::Typed(from) if from != to => converted(expr, from, to, zone).map_err(external)?,
        _ => coerce(expr, found, to, zone).map_err(external)?,
    };
    if expr.get_type(schema)? == *wanted.data_type() {
        return Ok(expr);
    }
    let field = Arc::new(wanted.clone().with_nullable(true));
    Ok(Expr::Cast(Cast::new_from_field(Box::new(expr), field)))
}
