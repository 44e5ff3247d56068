//! From a query's syntax tree to a plan that runs.

use crate::error::{Error, Result};
use crate::parser::names::name_columns;
use crate::parser::values;
use crate::sqlstate::FEATURE_NOT_SUPPORTED;
use crate::{clauses, extension, functions, pg_catalog, using};
use arrow::datatypes::SchemaRef;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    self, JoinConstraint, JoinOperator, Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor,
};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Plans a query whose columns have their names already.
pub(crate) async fn query_plan(state: &SessionState, mut query: Query) -> Result<LogicalPlan> {
    check_query(&query)?;
    clauses::check(&query, state)?;
    clauses::rewrite(&mut query);
    pg_catalog::rewrite(&mut query, &|name| state.aggregate_functions().contains_key(name))?;
    let unknown = clauses::unknown_functions(&query, state);
    let statement = DfStatement::Statement(Box::new(Statement::Query(Box::new(query))));
    if unknown.is_empty() {
        return Ok(Box::pin(state.statement_to_plan(statement)).await?);
    }
    // Only with their arguments planned can the error name the types.
    let mut state = state.clone();
    for name in &unknown {
        state.register_udf(Arc::new(functions::undefined(name)))?;
    }
    Ok(Box::pin(state.statement_to_plan(statement)).await?)
}

/// Names the columns of a query, then plans it.
pub(crate) async fn named_query_plan(state: &SessionState, query: &Query) -> Result<LogicalPlan> {
    query_plan(state, written_out(state, query).await?).await
}

/// Plans a query whose rows a client sees.
pub(crate) async fn shown_query_plan(state: &SessionState, query: &Query) -> Result<LogicalPlan> {
    let mut query = written_out(state, query).await?;
    pg_catalog::show_objects(&mut query);
    query_plan(state, query).await
}

/// A query in words DataFusion takes as PostgreSQL does, with its columns named.
pub(crate) async fn written_out(state: &SessionState, query: &Query) -> Result<Query> {
    let mut query = query.clone();
    extension::rewrite_query(state, &mut query)?;
    Box::pin(using::rewrite(state, &mut query)).await?;
    clauses::read_floats(&mut query);
    name_columns(&mut query);
    Ok(query)
}

/// Plans physically, with the optimizer.
pub(crate) async fn physical_plan(state: &SessionState, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(state.create_physical_plan(plan).await?)
}

/// Plans physically; with the result's columns in the types analysis settled on (a UNION of integers and decimals has
/// integers before it).
pub(crate) async fn executable(
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<(SchemaRef, Arc<dyn ExecutionPlan>)> {
    let optimized = state.optimize(plan)?;
    let schema = Arc::clone(optimized.schema().inner());
    let physical = state.query_planner().create_physical_plan(&optimized, state).await?;
    Ok((schema, physical))
}

/// Starts a physical plan.
pub(crate) fn start(state: &SessionState, plan: Arc<dyn ExecutionPlan>) -> Result<SendableRecordBatchStream> {
    Ok(execute_stream(plan, state.task_ctx())?)
}

/// Refuses what DataFusion would silently ignore.
fn check_query(query: &Query) -> Result<()> {
    match query.visit(&mut Refusals) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Refusals;

impl Visitor for Refusals {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        if let Some(lock) = query.locks.first() {
            return ControlFlow::Break(Error::unsupported(format!("{lock}")));
        }
        if let SetExpr::Select(select) = query.body.as_ref()
            && select.into.is_some()
        {
            return ControlFlow::Break(Error::new(FEATURE_NOT_SUPPORTED, "SELECT ... INTO is not allowed here"));
        }
        if let Err(e) = values::check(&query.body) {
            return ControlFlow::Break(e);
        }
        match query.body.as_ref() {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                ControlFlow::Break(Error::unsupported("a data-modifying statement in WITH"))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        let merged = |operator: &JoinOperator| {
            let (JoinOperator::FullOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)) = operator
            else {
                return false;
            };
            matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural)
        };
        if select.from.iter().flat_map(|f| &f.joins).any(|join| merged(&join.join_operator)) {
            // DataFusion takes the merged column from the left side alone, and `using` could not write it out.
            let e = Error::unsupported("this form of RIGHT or FULL JOIN with USING or NATURAL");
            return ControlFlow::Break(e.with_hint("Join with ON and merge the columns with COALESCE."));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        match factor {
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
                ControlFlow::Break(Error::unsupported("TABLESAMPLE"))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// A query that computes one expression.
pub(crate) fn select_of(expr: ast::Expr) -> Result<Query> {
    let mut query = crate::parser::parse_query("SELECT NULL")?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = vec![ast::SelectItem::UnnamedExpr(expr)];
    }
    Ok(query)
}
