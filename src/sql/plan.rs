//! From a query's syntax tree to a plan that runs.

use crate::error::{Error, Result};
use crate::extension::Installed;
use crate::functions::call;
use crate::parser::names::name_columns;
use crate::parser::values;
use crate::provider::{Names, StatementTables};
use crate::sqlstate::{AMBIGUOUS_FUNCTION, FEATURE_NOT_SUPPORTED, INVALID_FUNCTION_DEFINITION};
use crate::types::PgType;
use crate::user_functions::aggregate::UserAggregate;
use crate::user_functions::code::{Code, Shown};
use crate::user_functions::family::{Body, Candidate, Family, UserCall, argument_types, misused, value_type};
use crate::user_functions::names::{self, Called, CalledTable};
use crate::user_functions::rows::CalledRows;
use crate::user_functions::sql_body;
use crate::{clauses, extension, functions, pg_catalog, provider, types, using};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::DFSchema;
use datafusion::datasource::ViewTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{AggregateUDF, Expr, LogicalPlan, LogicalPlanBuilder, ScalarUDF};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    self, JoinConstraint, JoinOperator, Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor,
};
use lightning_catalog::{Function, Oid, Returns};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The language of this project.
pub(crate) const SQL: &str = "sql";

/// Plans a query whose columns have their names already.
pub(crate) async fn query_plan(state: &SessionState, mut query: Query) -> Result<LogicalPlan> {
    check_query(&query)?;
    let with_functions = with_user_functions(state, &mut query).await?;
    let state = with_functions.as_ref().unwrap_or(state);
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

/// Marks the calls of users' functions; a state that knows the marks, when there are any.
async fn with_user_functions(state: &SessionState, query: &mut Query) -> Result<Option<SessionState>> {
    let Some(installed) = state.config().get_extension::<Installed>() else { return Ok(None) };
    let calls = names::mark(query, state, &installed.context)?;
    if calls.is_empty() {
        return Ok(None);
    }
    let Some(known) = provider::names(state) else { return Ok(None) };
    let mut tables = StatementTables::new();
    for call in calls.tables {
        let table = Box::pin(called_table(state, &known, &installed, &call)).await?;
        tables.insert(call.table, table);
    }
    let mut extended = state.clone();
    if !tables.is_empty() {
        extended.register_catalog_list(Arc::new(known.with_tables(tables)));
    }
    for (mark, called) in calls.values {
        let family = Box::pin(family(state, &known, &installed, called)).await?;
        if family.candidates.iter().any(|candidate| candidate.function.is_aggregate) {
            extended.register_udaf(Arc::new(AggregateUDF::new_from_impl(UserAggregate::new(&mark, family))))?;
        } else {
            extended.register_udf(Arc::new(ScalarUDF::new_from_impl(UserCall::new(&mark, Arc::new(family)))))?;
        }
    }
    Ok(Some(extended))
}

/// The functions that calls of a name may mean, with the bodies of those in SQL planned.
async fn family(state: &SessionState, known: &Names, installed: &Installed, called: Called) -> Result<Family> {
    let values: Vec<_> = called.functions.iter().filter(|function| value_type(function).is_some()).collect();
    if values.is_empty()
        && let Some(function) = called.functions.first()
    {
        return Err(misused(function));
    }
    let mut candidates = Vec::with_capacity(values.len());
    for function in values {
        let arguments = argument_types(function);
        let body = if !called.counts.contains(&arguments.len()) {
            Body::Unplanned
        } else if function.language == SQL {
            Body::Sql(Arc::new(planned_body(state, known, installed, function).await?))
        } else {
            let language = extension::language(&installed.extensions, &function.language)?;
            let module = function.module.as_deref().and_then(|hash| installed.context.catalog.module(hash)).cloned();
            Body::Code(Code { language, module, info: Arc::clone(&installed.session) })
        };
        let returns = value_type(function).unwrap_or(types::TEXT);
        candidates.push(Candidate { function: Arc::clone(function), arguments, returns, body });
    }
    Ok(Family { name: called.name, candidates })
}

/// The body of a function in SQL over its parameters as a table.
async fn planned_body(
    state: &SessionState,
    known: &Names,
    installed: &Installed,
    function: &Function,
) -> Result<LogicalPlan> {
    let parameters: Arc<dyn TableProvider> = Arc::new(EmptyTable::new(sql_body::parameters(function)));
    let inner = known.state_within(state, function, [(sql_body::PARAMETERS.to_owned(), parameters)].into())?;
    let query = sql_body::expression(function, &installed.extensions)?;
    named_query_plan(&inner, &query).await.map_err(|e| within(e, function))
}

/// Says which function an error is of.
fn within(mut e: Error, function: &Function) -> Error {
    // Positions are those of another text.
    (e.0.position, e.0.location) = (None, None);
    let context = format!("SQL function \"{}\"", function.name);
    let context = e.0.context.take().map_or_else(|| context.clone(), |inner| format!("{inner}\n{context}"));
    e.with_context(context)
}

/// The rows of a function called in FROM.
async fn called_table(
    state: &SessionState,
    known: &Names,
    installed: &Installed,
    call: &CalledTable,
) -> Result<Arc<dyn TableProvider>> {
    let count = call.arguments.len();
    let of_count: Vec<_> = call.functions.iter().filter(|function| function.arguments.len() == count).collect();
    let function = match of_count.as_slice() {
        [function] => *function,
        [] => return Err(call::undefined(&call.name, &vec![types::UNKNOWN; count])),
        _ => {
            let message = format!("function name \"{}\" is not unique", call.name);
            return Err(Error::new(AMBIGUOUS_FUNCTION, message)
                .with_detail("Functions in FROM are told apart by how many arguments they have."));
        }
    };
    let columns: Vec<(String, PgType)> = match &function.returns {
        Returns::Table(columns) => {
            let pg = |oid: Oid| PgType::by_oid(oid.0).unwrap_or(types::TEXT);
            columns.iter().map(|c| (c.name.clone().unwrap_or_default(), pg(c.type_oid))).collect()
        }
        Returns::SetOf(oid) | Returns::Value(oid) => {
            vec![(function.name.clone(), PgType::by_oid(oid.0).unwrap_or(types::TEXT))]
        }
        Returns::Trigger => return Err(misused(function)),
    };
    if let Returns::Value(_) = function.returns
        && function.language != SQL
    {
        return Err(misused(function).with_hint("Call it in the select list."));
    }
    if function.language != SQL {
        let fields: Vec<_> = columns.iter().map(|(name, pg)| types::column_field(name, *pg, true)).collect();
        let language = extension::language(&installed.extensions, &function.language)?;
        let module = function.module.as_deref().and_then(|hash| installed.context.catalog.module(hash));
        let rows = CalledRows {
            schema: Arc::new(Schema::new(fields)),
            function: language.rows(function, module)?,
            arguments: constants(state, function, &call.arguments).await?,
            interrupt: Shown(installed.session.interrupt()),
        };
        return Ok(Arc::new(StreamingTable::try_new(Arc::clone(&rows.schema), vec![Arc::new(rows)])?));
    }
    let inner = known.state_within(state, function, StatementTables::new())?;
    let inner_context = inner.config().get_extension::<Installed>().map(|installed| Arc::clone(&installed.context));
    let inner_context = inner_context.unwrap_or_else(|| Arc::clone(&installed.context));
    let query = sql_body::rows(function, &call.arguments, &inner_context, &installed.extensions)?;
    let plan = named_query_plan(&inner, &query).await.map_err(|e| within(e, function))?;
    if plan.schema().fields().len() != columns.len() {
        return Err(return_mismatch(function, "Final statement returns another number of columns."));
    }
    let exprs: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(&columns)
        .map(|(column, (name, pg))| {
            let field = types::column_field("", *pg, true);
            Expr::Cast(Cast { expr: Box::new(Expr::Column(column)), field }).alias(name)
        })
        .collect();
    let plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// Arguments that depend on no row, as columns of one row in the types they are declared with.
async fn constants(state: &SessionState, function: &Function, arguments: &[ast::Expr]) -> Result<Vec<ArrayRef>> {
    let mut arrays = Vec::with_capacity(arguments.len());
    for (argument, pg) in arguments.iter().zip(argument_types(function)) {
        let query = select_of(sql_body::cast(argument, pg)?)?;
        let plan = state.optimize(&named_query_plan(state, &query).await?)?;
        let LogicalPlan::Projection(projection) = &plan else { return Err(not_constant(function)) };
        let expr = projection.expr[0].clone().unalias();
        if !expr.column_refs().is_empty() || expr.any_column_refs() {
            return Err(not_constant(function));
        }
        let expr = state.create_physical_expr(expr, &DFSchema::empty())?;
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
        arrays.push(expr.evaluate(&batch)?.into_array(1)?);
    }
    Ok(arrays)
}

fn not_constant(function: &Function) -> Error {
    Error::unsupported(format!("an argument of function {} in FROM that is not constant", function.name))
}

/// `42P13`
pub(crate) fn return_mismatch(function: &Function, detail: impl Into<String>) -> Error {
    let message = match &function.returns {
        Returns::Value(oid) => {
            let name = PgType::by_oid(oid.0).unwrap_or(types::TEXT).base_name();
            format!("return type mismatch in function declared to return {name}")
        }
        _ => "return type mismatch in function declared to return rows".to_owned(),
    };
    Error::new(INVALID_FUNCTION_DEFINITION, message).with_detail(detail)
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
