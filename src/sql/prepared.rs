//! Prepared statements: parameter types, result columns, and the plan kept between executions.
//!
//! A plan refers to tables through the storage snapshot it was made on. So the logical plan is kept together with that
//! snapshot's timestamp and whatever else it depends on ([`PlanKey`]); an execution that finds all of it unchanged skips
//! parsing names and planning, and any other plans anew and keeps the result.
//!
//! Clients were told the result's columns once, and read rows by them: an execution that finds another catalog than the one
//! that told them looks again, and answers 0A000 when they are others now ([`revalidate`]).

use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::functions::call::type_of;
use crate::parser::names::folded;
use crate::parser::{Kind, Parsed};
use crate::plan::shown_query_plan;
use crate::point::PointCall;
use crate::present::client_schema;
use crate::provider::{column_type, state_for};
use crate::semantics::quantified::is_quantified;
use crate::session::{Prepared, Run, Shared};
use crate::sqlstate::{FEATURE_NOT_SUPPORTED, INDETERMINATE_DATATYPE, PROTOCOL_VIOLATION, UNDEFINED_PARAMETER};
use crate::statements::{insert, locked, modify};
use crate::types::{self, PgType};
use crate::user_functions::family::{argument_types, unresolved};
use crate::{semantics, series, statements};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ParamValues, ScalarValue};
use datafusion::logical_expr::expr::{Case, Cast, Placeholder, ScalarFunction};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, ObjectName, SetExpr, Statement as Sql, Value, Visit, Visitor};
use lightning_catalog::Snapshot as CatalogSnapshot;
use lightning_storage::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};

/// Parameters one statement may have.
const PARAMETERS_MAX: usize = 65_535;

/// A statement that was parsed and whose parameters and columns are known.
#[derive(Debug)]
pub(crate) struct PreparedStatement {
    /// `None` for an empty statement.
    pub(crate) parsed: Option<Arc<Parsed>>,
    pub(crate) parameters: Vec<PgType>,
    pub(crate) schema: Option<SchemaRef>,
    /// Names with which `schema` was last found right.
    names: Mutex<Option<Names>>,
    kept: Mutex<Option<(PlanKey, LogicalPlan)>>,
    /// Whether planning takes the values of parameters.
    has_series: bool,
    /// The statement as one about a single row, if it is.
    pub(crate) point: Option<PointCall>,
}

/// What decides which objects the names in a session's statements are.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    catalog: Weak<CatalogSnapshot>,
    search_path: Option<String>,
}

/// Everything a kept plan depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlanKey {
    timestamp: Timestamp,
    catalog_version: u64,
    search_path: Vec<String>,
    zone: Option<String>,
}

impl PlanKey {
    /// The key for this view; `None` when the open transaction has written, since its own rows have no timestamp.
    pub(crate) fn new(run: &Run, context: &StatementContext) -> Option<PlanKey> {
        if run.session.transactions.has_written() {
            return None;
        }
        Some(PlanKey {
            timestamp: context.storage.timestamp(),
            catalog_version: context.catalog.version(),
            search_path: context.search_path.clone(),
            zone: run.session.info.settings.get("timezone"),
        })
    }
}

impl PreparedStatement {
    /// The empty statement.
    pub(crate) fn empty() -> PreparedStatement {
        PreparedStatement {
            parsed: None,
            parameters: Vec::new(),
            schema: None,
            names: Mutex::default(),
            kept: Mutex::default(),
            has_series: false,
            point: None,
        }
    }

    /// Whether the result's columns are known to be right where names mean this.
    pub(crate) fn is_described_by(&self, names: &Names) -> bool {
        self.names.lock().as_ref().is_some_and(|known| known == names)
    }

    /// The kept plan, if it was made for this view of the database.
    pub(crate) fn kept_plan(&self, key: Option<&PlanKey>) -> Option<LogicalPlan> {
        let kept = self.kept.lock();
        let (kept_key, plan) = kept.as_ref()?;
        (Some(kept_key) == key).then(|| plan.clone())
    }

    /// Keeps a plan, unless it has values of parameters in it.
    pub(crate) fn keep_plan(&self, key: Option<PlanKey>, plan: &LogicalPlan) {
        if let Some(key) = key.filter(|_| !self.has_series) {
            *self.kept.lock() = Some((key, plan.clone()));
        }
    }
}

/// Finds the parameters' types and the result's columns.
pub(crate) async fn prepare(run: &Run, declared: &[Option<PgType>]) -> Result<PreparedStatement> {
    let parsed = &run.parsed;
    let count = parameter_count(parsed)?.max(declared.len());
    if count > PARAMETERS_MAX {
        return Err(Error::new(
            PROTOCOL_VIOLATION,
            format!("a statement can have at most {PARAMETERS_MAX} parameters"),
        ));
    }
    let mut types: Vec<Option<PgType>> = (0..count).map(|i| declared.get(i).copied().flatten()).collect();
    for pg in types.iter_mut() {
        // `unknown` asks for inference, as no type does.
        *pg = pg.filter(|t| t.oid != types::UNKNOWN.oid);
    }
    let names = Names::now(run)?;
    let schema = Box::pin(describe(run, &mut types)).await?;
    let parameters = types
        .into_iter()
        .enumerate()
        .map(|(i, t)| {
            t.ok_or_else(|| {
                Error::new(INDETERMINATE_DATATYPE, format!("could not determine data type of parameter ${}", i + 1))
            })
        })
        .collect::<Result<_>>()?;
    let point = run.session.instance.templates().learn(parsed);
    Ok(PreparedStatement {
        parsed: Some(Arc::clone(parsed)),
        parameters,
        schema,
        names: Mutex::new(Some(names)),
        kept: Mutex::default(),
        has_series: matches!(&parsed.kind, Kind::Sql(statement) if series::has_parameters(statement, &declared_arguments(run)?)),
        point,
    })
}

impl Names {
    pub(crate) fn new(session: &Shared, catalog: &Arc<CatalogSnapshot>) -> Names {
        Names { catalog: Arc::downgrade(catalog), search_path: session.info.settings.get("search_path") }
    }

    /// Names as the next statement finds them.
    fn now(run: &Run) -> Result<Names> {
        Ok(Names::new(&run.session, &run.session.snapshots()?.1))
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Names) -> bool {
        Weak::ptr_eq(&self.catalog, &other.catalog) && self.search_path == other.search_path
    }
}

/// Looks whether a statement still has the columns it was prepared with. 0A000 when it has not; whatever planning it says
/// when a table is gone.
pub(crate) async fn revalidate(run: &Run, prepared: &Prepared) -> Result<()> {
    let statement = &prepared.inner;
    // Without columns there is nothing a client has been told.
    let Some(told) = &statement.schema else { return Ok(()) };
    let names = Names::now(run)?;
    if statement.is_described_by(&names) {
        return Ok(());
    }
    let mut types: Vec<Option<PgType>> = statement.parameters.iter().copied().map(Some).collect();
    let found = Box::pin(describe(run, &mut types)).await?;
    if !found.is_some_and(|found| has_same_columns(told, &found)) {
        return Err(Error::new(FEATURE_NOT_SUPPORTED, "cached plan must not change result type"));
    }
    *statement.names.lock() = Some(names);
    Ok(())
}

/// The statement to run: with the values of parameters that planning takes.
pub(crate) fn with_series(run: &Run, prepared: &Prepared) -> Result<Option<Run>> {
    let Kind::Sql(statement) = &run.parsed.kind else { return Ok(None) };
    if !prepared.inner.has_series {
        return Ok(None);
    }
    let mut statement = statement.clone();
    series::with_values(
        &mut statement,
        prepared.parameters(),
        &run.parameters,
        run.session.zone(),
        &declared_arguments(run)?,
    )?;
    Ok(Some(run.with(Arc::new(Parsed::part_of(&run.parsed, Kind::Sql(statement))))))
}

/// The types that users' functions in FROM have their arguments declared with.
fn declared_arguments(run: &Run) -> Result<impl Fn(&ObjectName, usize) -> Option<Vec<PgType>> + use<>> {
    let context = run.session.context()?;
    Ok(move |name: &ObjectName, count: usize| {
        let parts: Vec<String> = name.0.iter().map(|part| part.as_ident().map(folded)).collect::<Option<_>>()?;
        let functions = match parts.as_slice() {
            [name] => context.functions(None, name),
            [schema, name] => context.functions(Some(schema), name),
            _ => return None,
        };
        functions.iter().find(|function| function.arguments.len() == count).map(|function| argument_types(function))
    })
}

/// Whether rows of both look the same to a client.
fn has_same_columns(told: &Schema, found: &Schema) -> bool {
    told.fields().len() == found.fields().len()
        && told.fields().iter().zip(found.fields()).all(|(told, found)| {
            told.name() == found.name()
                && told.data_type() == found.data_type()
                && types::pg_type(told) == types::pg_type(found)
        })
}

/// Result columns; fills in parameter types as they become known.
async fn describe(run: &Run, types: &mut [Option<PgType>]) -> Result<Option<SchemaRef>> {
    let text = |names: &[&str]| {
        let fields: Vec<Field> = names.iter().map(|n| Field::new(*n, DataType::Utf8View, true)).collect();
        Some(Arc::new(Schema::new(fields)))
    };
    match &run.parsed.kind {
        Kind::Show(name) => Ok(text(&[&crate::settings::Settings::display_name(name)])),
        Kind::ShowAll => Ok(text(&["name", "setting", "description"])),
        Kind::Copy(_)
        | Kind::Trigger(_)
        | Kind::Checkpoint
        | Kind::Vacuum(_)
        | Kind::Refresh(_)
        | Kind::AlterParameters(_)
        | Kind::CreateFunction(_)
        | Kind::DropFunction(_)
        | Kind::Object(_) => Ok(None),
        Kind::Sql(statement) if series::has_parameters(statement, &declared_arguments(run)?) => {
            let mut statement = statement.clone();
            series::described(&mut statement, types, &declared_arguments(run)?)?;
            let parsed = Parsed::part_of(&run.parsed, Kind::Sql(statement));
            Box::pin(describe(&run.with(Arc::new(parsed)), types)).await
        }
        Kind::Sql(statement) => match statement.as_ref() {
            Sql::Query(query) if is_query(&query.body) => {
                let context = run.session.context()?;
                let mut state = state_for(&run.session.base, &run.session.info, &context);
                semantics::begin_statement(&mut state, &run.session.info);
                let query = locked::without_locks(query.as_ref());
                let plan = Box::pin(shown_query_plan(&state, &query)).await?;
                let plan = infer(plan, types)?;
                let analyzed = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
                Ok(Some(client_schema(analyzed.schema().as_arrow())))
            }
            Sql::Explain { .. } => Ok(text(&["QUERY PLAN"])),
            Sql::Insert(insert) => insert::describe(run, insert, types).await,
            Sql::Query(_) | Sql::Update(_) | Sql::Delete(_) | Sql::Merge(_) => {
                modify::describe(run, statement, types).await
            }
            Sql::Execute { name: Some(name), .. } => {
                let name = name.0.last().and_then(|p| p.as_ident()).map(statements::target::folded).unwrap_or_default();
                Ok(run.session.prepared.lock().get(&name).and_then(|p| p.inner.schema.clone()))
            }
            _ => Ok(None),
        },
    }
}

fn is_query(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        body => !modify::is_modifying(body),
    }
}

/// Gives placeholders their declared types, and takes the types the planner found for the others.
pub(crate) fn infer(plan: LogicalPlan, types: &mut [Option<PgType>]) -> Result<LogicalPlan> {
    let declared = declare(take_cast_types(plan)?, types)?;
    for (name, field) in declared.get_parameter_fields()? {
        let Some(slot) = index_of(&name).and_then(|i| types.get_mut(i)) else { continue };
        if slot.is_none()
            && let Some(field) = field
        {
            *slot = Some(parameter_type(&field));
        }
    }
    // A parameter whose context says nothing is text, as in PostgreSQL.
    for name in declared.get_parameter_names()? {
        if let Some(slot @ None) = index_of(&name).and_then(|i| types.get_mut(i)) {
            *slot = Some(types::TEXT);
        }
    }
    declare(declared, types)
}

/// A parameter that is cast has the type it is cast to; one of LIMIT or OFFSET is a `bigint`.
fn take_cast_types(plan: LogicalPlan) -> Result<LogicalPlan> {
    let count = Arc::new(Field::new("", DataType::Int64, true));
    let transformed = plan.transform_up_with_subqueries(|node| {
        let is_limit = matches!(node, LogicalPlan::Limit(_));
        let schema = merge_schema(&node.inputs());
        node.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                Expr::Case(case) => Ok(typed_case(case, &schema)),
                Expr::ScalarFunction(mut function)
                    if matches!(function.func.name(), "coalesce" | "greatest" | "least" | "nullif") =>
                {
                    let changed = typed_alike(&mut function.args.iter_mut().collect::<Vec<_>>(), &schema);
                    Ok(Transformed::new(Expr::ScalarFunction(function), changed, TreeNodeRecursion::Continue))
                }
                Expr::ScalarFunction(function) if unresolved(&function.func).is_some() => {
                    Ok(typed_by_function(function, &schema))
                }
                Expr::Placeholder(Placeholder { id, field: None }) if is_limit => {
                    let typed = Placeholder { id, field: Some(Arc::clone(&count)) };
                    Ok(Transformed::yes(Expr::Placeholder(typed)))
                }
                Expr::Cast(Cast { expr, field }) => match *expr {
                    Expr::Placeholder(Placeholder { id, field: None }) => {
                        let typed = Placeholder { id, field: Some(Arc::clone(&field)) };
                        Ok(Transformed::yes(Expr::Cast(Cast { expr: Box::new(Expr::Placeholder(typed)), field })))
                    }
                    other => Ok(Transformed::no(Expr::Cast(Cast { expr: Box::new(other), field }))),
                },
                Expr::ScalarFunction(function) if is_quantified(&function.func) => {
                    Ok(take_quantified_types(function, &schema))
                }
                other => Ok(Transformed::no(other)),
            })
        })
    })?;
    Ok(transformed.data)
}

/// A parameter that is an argument of a user's function has the type of the function chosen without it.
fn typed_by_function(mut function: ScalarFunction, schema: &DFSchema) -> Transformed<Expr> {
    let is_open = |arg: &Expr| matches!(arg, Expr::Placeholder(Placeholder { field: None, .. }));
    let given = |arg: &Expr| match arg {
        Expr::Literal(value, _) => arg.to_field(schema).map(|(_, field)| type_of(&field, Some(value))).ok(),
        _ if is_open(arg) => Some(types::UNKNOWN),
        _ => arg.to_field(schema).map(|(_, field)| type_of(&field, None)).ok(),
    };
    let given: Option<Vec<PgType>> = function.args.iter().map(given).collect();
    let chosen = given.and_then(|given| {
        let call = unresolved(&function.func)?;
        Some(call.family.choose(&given).ok()?.arguments.clone())
    });
    let mut changed = false;
    for (arg, wanted) in function.args.iter_mut().zip(chosen.unwrap_or_default()) {
        if let Expr::Placeholder(placeholder) = arg
            && placeholder.field.is_none()
        {
            placeholder.field = Some(types::column_field("", wanted, true));
            changed = true;
        }
    }
    Transformed::new(Expr::ScalarFunction(function), changed, TreeNodeRecursion::Continue)
}

/// Conditions of CASE are boolean, or of the type of what they are compared with; its results have one type.
fn typed_case(mut case: Case, schema: &DFSchema) -> Transformed<Expr> {
    let mut changed = false;
    if let Some(operand) = &mut case.expr {
        let whens = case.when_then_expr.iter_mut().map(|(when, _)| when.as_mut());
        changed |= typed_alike(&mut std::iter::once(operand.as_mut()).chain(whens).collect::<Vec<_>>(), schema);
    } else {
        let boolean = Arc::new(Field::new("", DataType::Boolean, true));
        for (when, _) in &mut case.when_then_expr {
            changed |= take_type(when, &boolean);
        }
    }
    let results = case.when_then_expr.iter_mut().map(|(_, then)| then.as_mut());
    let mut results: Vec<&mut Expr> = results.chain(case.else_expr.iter_mut().map(|e| e.as_mut())).collect();
    changed |= typed_alike(&mut results, schema);
    Transformed::new(Expr::Case(case), changed, TreeNodeRecursion::Continue)
}

/// Parameters among alternatives have the type of the first that says its own; a string literal does not.
fn typed_alike(exprs: &mut [&mut Expr], schema: &DFSchema) -> bool {
    let said = exprs.iter().find_map(|expr| match &**expr {
        Expr::Placeholder(Placeholder { field: None, .. })
        | Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Null, None) => None,
        Expr::Literal(ScalarValue::Int64(Some(value)), _) if i32::try_from(*value).is_ok() => {
            Some(Arc::new(Field::new("", DataType::Int32, true)))
        }
        other => other.to_field(schema).ok().map(|(_, field)| field).filter(|f| f.data_type() != &DataType::Null),
    });
    let Some(field) = said else { return false };
    let taken = exprs.iter_mut().filter_map(|expr| take_type(expr, &field).then_some(()));
    taken.count() > 0
}

fn take_type(expr: &mut Expr, field: &Arc<Field>) -> bool {
    let Expr::Placeholder(Placeholder { field: slot @ None, .. }) = expr else { return false };
    *slot = Some(Arc::clone(field));
    true
}

/// In `x = ANY($1)` the parameter is an array of what `x` is, in `$1 = ANY(a)` an element of `a`.
fn take_quantified_types(mut function: ScalarFunction, schema: &DFSchema) -> Transformed<Expr> {
    let known = |expr: &Expr| {
        let (_, field) = expr.to_field(schema).ok()?;
        (field.data_type() != &DataType::Null).then(|| parameter_type(&field))
    };
    let mut changed = false;
    if let [value, array] = function.args.as_mut_slice() {
        let (element, list) = (known(value), known(array));
        let wanted = [(value, list.and_then(PgType::element)), (array, element.and_then(PgType::array_of))];
        for (expr, wanted) in wanted {
            if let (Expr::Placeholder(Placeholder { field: field @ None, .. }), Some(wanted)) = (expr, wanted) {
                *field = types::arrow_field("", wanted, true).map(Arc::new);
                changed = true;
            }
        }
    }
    let expr = Expr::ScalarFunction(function);
    if changed { Transformed::yes(expr) } else { Transformed::no(expr) }
}

/// Literals next to a parameter are narrower than what may be sent.
fn parameter_type(field: &Field) -> PgType {
    let pg = types::pg_type(field);
    if pg.oid == types::NUMERIC.oid { types::NUMERIC } else { pg.with_modifier(-1) }
}

fn index_of(placeholder: &str) -> Option<usize> {
    placeholder.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
}

fn declare(plan: LogicalPlan, types: &[Option<PgType>]) -> Result<LogicalPlan> {
    if types.is_empty() {
        return Ok(plan);
    }
    let transformed = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                Expr::Placeholder(Placeholder { id, field }) => {
                    let known = index_of(&id).and_then(|i| types.get(i).copied().flatten());
                    match known.and_then(|pg| types::arrow_field("", pg, true)) {
                        Some(known) => {
                            Ok(Transformed::yes(Expr::Placeholder(Placeholder { id, field: Some(Arc::new(known)) })))
                        }
                        None => Ok(Transformed::no(Expr::Placeholder(Placeholder { id, field }))),
                    }
                }
                other => Ok(Transformed::no(other)),
            })
        })
    })?;
    Ok(transformed.data)
}

/// Puts parameter values into a plan.
pub(crate) fn bind(plan: LogicalPlan, run: &Run, prepared: Option<&Prepared>) -> Result<LogicalPlan> {
    if run.parameters.is_empty() {
        if let Some(name) = plan.get_parameter_names()?.into_iter().next() {
            return Err(Error::new(UNDEFINED_PARAMETER, format!("there is no parameter {name}")));
        }
        return Ok(plan);
    }
    let wanted: &[PgType] = prepared.map_or(&[], |p| p.parameters());
    let typed: Vec<Option<PgType>> = wanted.iter().copied().map(Some).collect();
    let plan = declare(plan, &typed)?;
    let values: Vec<ScalarAndMetadata> = run
        .parameters
        .iter()
        .enumerate()
        .map(|(i, value)| Ok(ScalarAndMetadata::from(parameter_value(value, wanted.get(i).copied())?)))
        .collect::<Result<_>>()?;
    Ok(plan.replace_params_with_values(&ParamValues::List(values))?)
}

/// The value as the type the statement was prepared with.
fn parameter_value(value: &ScalarValue, wanted: Option<PgType>) -> Result<ScalarValue> {
    match wanted.and_then(PgType::arrow_type) {
        Some(wanted) if value.is_null() => Ok(ScalarValue::try_from(&wanted)?),
        // Digits beyond the default scale must not be lost.
        Some(DataType::Decimal128(..)) if matches!(value, ScalarValue::Decimal128(..)) => Ok(value.clone()),
        Some(wanted) if value.data_type() != wanted => Ok(value.cast_to(&wanted)?),
        _ => Ok(value.clone()),
    }
}

/// The highest `$n` of a statement.
fn parameter_count(parsed: &Parsed) -> Result<usize> {
    struct Highest(BTreeMap<usize, ()>);
    impl Visitor for Highest {
        type Break = Error;
        fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<Error> {
            if let SqlExpr::Value(value) = expr
                && let Value::Placeholder(name) = &value.value
            {
                match index_of(name) {
                    Some(index) => self.0.insert(index, ()),
                    None => {
                        let message = format!("there is no parameter {name}");
                        return ControlFlow::Break(Error::new(UNDEFINED_PARAMETER, message));
                    }
                };
            }
            ControlFlow::Continue(())
        }
    }
    let Kind::Sql(statement) = &parsed.kind else { return Ok(0) };
    let mut highest = Highest(BTreeMap::new());
    match statement.visit(&mut highest) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(highest.0.last_key_value().map_or(0, |(i, ())| i + 1)),
    }
}

/// The type of a table's column, for parameters that go into it.
pub(crate) fn column_parameter(column: &lightning_catalog::Column) -> PgType {
    let pg = column_type(column);
    if pg.oid == types::NUMERIC.oid { pg } else { pg.with_modifier(-1) }
}
