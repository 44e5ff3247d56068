//! CREATE FUNCTION and AGGREGATE, DROP FUNCTION and AGGREGATE.

use super::done;
use super::drop::{depends, notice_cascades};
use super::target::{Name, folded};
use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::extension::language;
use crate::language::NewFunction;
use crate::outcome::Outcome;
use crate::parser::function::{Body, CreateFunction, DropFunction, WrittenArgument, WrittenReturns};
use crate::plan::{SQL, named_query_plan, return_mismatch};
use crate::provider::state_for;
use crate::semantics;
use crate::session::Run;
use crate::sqlstate::{
    AMBIGUOUS_FUNCTION, DUPLICATE_FUNCTION, INSUFFICIENT_PRIVILEGE, INVALID_FUNCTION_DEFINITION, INVALID_SCHEMA_NAME,
    SUCCESSFUL_COMPLETION, SYNTAX_ERROR, UNDEFINED_FUNCTION, WRONG_OBJECT_TYPE,
};
use crate::transaction::blocking;
use crate::type_names::sql_type;
use crate::types;
use crate::user_functions::family::{argument_types, signature};
use datafusion::sql::sqlparser::ast::{DataType, Expr, FunctionArguments, ObjectName, Visit, Visitor};
use lightning_catalog::{Argument, Edit, Function, ObjectKind, Oid, Relation, Returns, Volatility};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Arguments of one function, as in PostgreSQL.
const ARGUMENTS_MAX: usize = 100;

/// `CREATE FUNCTION`, …
pub(super) fn tag(verb: &str, is_aggregate: bool) -> String {
    format!("{verb} {}", if is_aggregate { "AGGREGATE" } else { "FUNCTION" })
}

/// CREATE FUNCTION and CREATE AGGREGATE.
pub(super) async fn create(run: &Run, create: &CreateFunction) -> Result<Outcome> {
    let name = Name::new(run, &create.name)?;
    super::create::check_identifier(&name.name)?;
    let mut write = run.session.write()?;
    let catalog = write.lock_ddl(run).await?;
    let context = run.session.set_context(write.txn()?.storage.snapshot(), catalog);
    let schema = name.creation_schema(&context)?.oid;
    let function = described(create, schema, &name.name, &context)?;
    check_place(create, &function, &context)?;
    let (source, module, options) = if function.language == SQL {
        let source = sql_source(create)?;
        (source, None, BTreeMap::new())
    } else {
        let language = language(run.session.instance.extensions(), &function.language)?;
        let Body::Texts(texts) = &create.body else {
            return Err(Error::new(INVALID_FUNCTION_DEFINITION, "no function body specified"));
        };
        let mut options = BTreeMap::new();
        for change in &create.options {
            options.insert(change.parameter.clone(), change.value.clone().unwrap_or_default());
        }
        let local_files = run.session.local_files;
        let hash = texts.first().and_then(|text| text.strip_prefix("sha256:"));
        let known = hash.and_then(|hash| context.catalog.module(hash)).cloned();
        let new = NewFunction { function: function.clone(), texts: texts.clone(), known, options, local_files };
        let defined = blocking(move || language.define(&new)).await??;
        (defined.source, defined.module, defined.options)
    };
    let function = Function { source, options, module: module.as_ref().map(|module| module.hash.clone()), ..function };
    if function.language == SQL {
        match function.returns {
            Returns::Trigger => {
                let extensions = run.session.instance.extensions();
                crate::parser::trigger_body::parse(&function.source, extensions)?;
            }
            _ => check_sql(run, &function, &context).await?,
        }
    }
    if name.schema.is_none() && crate::clauses::is_function(&run.session.base, &name.name) {
        let schema = context.catalog.schema_by_oid(schema).map_or("", |schema| schema.name.as_str());
        let message = format!("function \"{0}\" is built in; call this one as {schema}.{0}", name.name);
        run.session.notice("NOTICE", SUCCESSFUL_COMPLETION, message);
    }
    let mut edit = Edit::new(&context.catalog);
    let shown = signature(&function);
    edit.put_function(function, module, create.or_replace).map_err(|e| match e {
        lightning_catalog::Error::Exists { kind: ObjectKind::Function, name } => {
            let message = format!("function \"{name}\" already exists with same argument types");
            Error::new(DUPLICATE_FUNCTION, message).with_hint(format!("Use CREATE OR REPLACE to replace {shown}."))
        }
        other => other.into(),
    })?;
    write.apply(edit)?;
    write.finish().await?;
    Ok(done(tag("CREATE", create.is_aggregate)))
}

/// The function as the statement describes it, without what it is made of.
fn described(create: &CreateFunction, schema: Oid, name: &str, context: &StatementContext) -> Result<Function> {
    let arguments = arguments(&create.arguments, false)?;
    if arguments.len() > ARGUMENTS_MAX {
        let message = format!("functions cannot have more than {ARGUMENTS_MAX} arguments");
        return Err(Error::new(crate::sqlstate::PROGRAM_LIMIT_EXCEEDED, message));
    }
    for (place, argument) in arguments.iter().enumerate() {
        if let Some(name) = &argument.name
            && arguments[..place].iter().any(|known| known.name.as_ref() == Some(name))
        {
            let message = format!("parameter name \"{name}\" used more than once");
            return Err(Error::new(INVALID_FUNCTION_DEFINITION, message));
        }
    }
    let language = match (&create.language, &create.body) {
        (Some(language), _) => language.clone(),
        (None, Body::Return(_)) => SQL.to_owned(),
        (None, _) => return Err(Error::new(INVALID_FUNCTION_DEFINITION, "no language specified")),
    };
    let returns = match &create.returns {
        None => {
            return Err(Error::new(INVALID_FUNCTION_DEFINITION, "function result type must be specified"));
        }
        Some(WrittenReturns::Trigger) if !arguments.is_empty() => {
            return Err(Error::new(INVALID_FUNCTION_DEFINITION, "trigger functions cannot have declared arguments")
                .with_hint("What CREATE TRIGGER names is at hand when it is called."));
        }
        Some(WrittenReturns::Trigger) => Returns::Trigger,
        Some(WrittenReturns::Value(data_type)) => Returns::Value(type_oid(data_type)?),
        Some(WrittenReturns::SetOf(data_type)) => Returns::SetOf(type_oid(data_type)?),
        Some(WrittenReturns::Table(columns)) => Returns::Table(self::arguments(columns, true)?),
    };
    if create.is_aggregate && (!matches!(returns, Returns::Value(_)) || language == SQL) {
        return Err(Error::unsupported(match language == SQL {
            true => "CREATE AGGREGATE in language sql",
            false => "CREATE AGGREGATE that gives other than one value",
        }));
    }
    Ok(Function {
        oid: Oid(0),
        schema,
        name: name.to_owned(),
        arguments,
        returns,
        is_aggregate: create.is_aggregate,
        language,
        volatility: create.volatility.unwrap_or(Volatility::Volatile),
        is_strict: create.is_strict,
        source: String::new(),
        module: None,
        options: BTreeMap::new(),
        search_path: context.search_path.clone(),
    })
}

fn arguments(written: &[WrittenArgument], are_columns: bool) -> Result<Vec<Argument>> {
    written
        .iter()
        .map(|argument| {
            if are_columns && argument.name.is_none() {
                return Err(Error::new(SYNTAX_ERROR, "columns of RETURNS TABLE need names"));
            }
            Ok(Argument { name: argument.name.clone(), type_oid: type_oid(&argument.data_type)? })
        })
        .collect()
}

/// The type without its modifier, which PostgreSQL ignores in signatures, too.
fn type_oid(data_type: &DataType) -> Result<Oid> {
    // PostgreSQL has no quotes around the name here.
    let pg = sql_type(data_type).map_err(|mut e| {
        e.0.message = e.0.message.replace('"', "");
        e
    })?;
    if pg.arrow_type().is_none() {
        return Err(Error::unsupported(format!("type {} in a function", pg.sql_name())));
    }
    Ok(Oid(pg.oid))
}

/// Refuses what cannot stand beside, or in the place of, the functions of the name.
fn check_place(create: &CreateFunction, function: &Function, context: &StatementContext) -> Result<()> {
    let named = context.catalog.functions_named(function.schema, &function.name);
    if let Some(other) = named.iter().find(|other| other.is_aggregate != function.is_aggregate) {
        let kind = if other.is_aggregate { "an aggregate function" } else { "a function" };
        return Err(Error::new(WRONG_OBJECT_TYPE, format!("\"{}\" is {kind}", function.name))
            .with_detail("A name is that of functions or that of aggregates, not of both."));
    }
    let same = named.iter().find(|other| other.argument_types().eq(function.argument_types()));
    let Some(old) = same.filter(|_| create.or_replace) else { return Ok(()) };
    if old.returns != function.returns {
        let message = "cannot change return type of existing function";
        return Err(Error::new(INVALID_FUNCTION_DEFINITION, message)
            .with_hint(format!("Use DROP FUNCTION {} first.", signature(old))));
    }
    Ok(())
}

fn sql_source(create: &CreateFunction) -> Result<String> {
    if let Some(option) = create.options.first() {
        let message = format!("unrecognized function attribute \"{}\"", option.parameter);
        return Err(Error::new(SYNTAX_ERROR, message));
    }
    match &create.body {
        Body::None => Err(Error::new(INVALID_FUNCTION_DEFINITION, "no function body specified")),
        Body::Return(expr) => Ok(format!("SELECT {expr}")),
        Body::Texts(texts) => match texts.as_slice() {
            [text] => Ok(text.clone()),
            _ => Err(Error::new(INVALID_FUNCTION_DEFINITION, "only one AS item needed for language \"sql\"")),
        },
    }
}

/// Plans a call with parameters that are NULL, which says what is wrong with the body.
async fn check_sql(run: &Run, function: &Function, context: &Arc<StatementContext>) -> Result<()> {
    let mut edit = Edit::new(&context.catalog);
    let known = edit.put_function(function.clone(), None, true)?;
    let inside = StatementContext { catalog: Arc::new(edit.current().clone()), ..context.as_ref().clone() };
    let inside = Arc::new(inside);
    let mut state = state_for(&run.session.base, &run.session.info, &inside);
    semantics::begin_statement(&mut state, &run.session.info);
    let schema = context.catalog.schema_by_oid(function.schema).map_or("", |schema| schema.name.as_str());
    let quoted = |name: &str| crate::parser::names::quoted(name);
    let nulls: Vec<String> =
        argument_types(&known).into_iter().map(|pg| format!("CAST(NULL AS {})", pg.sql_name())).collect();
    let call = format!("{}.{}({})", quoted(schema), quoted(&known.name), nulls.join(", "));
    let text = match function.returns {
        Returns::Value(_) => format!("SELECT {call}"),
        _ => format!("SELECT * FROM {call}"),
    };
    let query = crate::parser::parse_query(&text)?;
    let plan = named_query_plan(&state, &query).await?;
    let analyzed = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    if let Returns::SetOf(_) = function.returns
        && analyzed.schema().fields().len() != 1
    {
        return Err(return_mismatch(function, "Final statement must return exactly one column."));
    }
    Ok(())
}

/// DROP FUNCTION and DROP AGGREGATE.
pub(super) async fn drop(run: &Run, statement: &DropFunction) -> Result<Outcome> {
    let mut write = run.session.write()?;
    let catalog = write.lock_ddl(run).await?;
    let mut edit = Edit::new(&catalog);
    let mut cascaded = Vec::new();
    for (name, arguments) in &statement.functions {
        let snapshot = run.session.instance.engine().snapshot();
        let context = run.session.set_context(snapshot, Arc::new(edit.current().clone()));
        if let Some(function) = named(run, statement, &context, name, arguments.as_deref())? {
            drop_one(run, &mut edit, &function, statement.cascade, &mut cascaded)?;
        }
    }
    notice_cascades(run, &cascaded);
    let after = Arc::new(edit.current().clone());
    write.apply(edit)?;
    write.finish().await?;
    // Should the transaction be undone, what is kept of code is made again.
    let extensions = Arc::clone(run.session.instance.extensions());
    blocking(move || {
        let languages = extensions.iter().flat_map(|extension| extension.languages());
        languages.for_each(|language| language.retain(&|hash| after.module(hash).is_some()));
    })
    .await?;
    Ok(done(tag("DROP", statement.is_aggregate)))
}

/// The function that DROP names.
fn named(
    run: &Run,
    statement: &DropFunction,
    context: &StatementContext,
    name: &ObjectName,
    arguments: Option<&[DataType]>,
) -> Result<Option<Arc<Function>>> {
    let name = Name::new(run, name)?;
    let kind = if statement.is_aggregate { "aggregate" } else { "function" };
    let wanted: Option<Vec<Oid>> = arguments.map(|types| types.iter().map(type_oid).collect()).transpose()?;
    if let Some(schema) = &name.schema
        && context.catalog.schema(context.database, schema).is_none()
        && !statement.if_exists
    {
        return Err(Error::new(INVALID_SCHEMA_NAME, format!("schema \"{schema}\" does not exist")));
    }
    let mut found = context.functions(name.schema.as_deref(), &name.name);
    if let Some(wanted) = &wanted {
        found.retain(|function| function.argument_types().eq(wanted.iter().copied()));
    }
    let shown = match &wanted {
        None => format!("{}()", name.display()),
        Some(wanted) => {
            let names: Vec<String> =
                wanted.iter().filter_map(|oid| types::PgType::by_oid(oid.0)).map(|pg| pg.base_name()).collect();
            format!("{}({})", name.display(), names.join(", "))
        }
    };
    match found.as_slice() {
        [function] if function.is_aggregate != statement.is_aggregate => {
            let (is, hint) = if function.is_aggregate {
                ("an aggregate function", "Use DROP AGGREGATE to drop aggregate functions.")
            } else {
                ("not an aggregate", "Use DROP FUNCTION to drop functions.")
            };
            Err(Error::new(WRONG_OBJECT_TYPE, format!("{} is {is}", signature(function))).with_hint(hint))
        }
        [function] => Ok(Some(Arc::clone(function))),
        [] if statement.if_exists => {
            let message = format!("{kind} {shown} does not exist, skipping");
            run.session.notice("NOTICE", SUCCESSFUL_COMPLETION, message);
            Ok(None)
        }
        [] if crate::clauses::is_function(&run.session.base, &name.name) && name.schema.is_none() => {
            let message = format!("cannot drop function {shown} because it is required by the database system");
            Err(Error::new(INSUFFICIENT_PRIVILEGE, message))
        }
        [] if wanted.is_none() => {
            let message = format!(
                "could not find a{} {kind} named \"{}\"",
                if kind == "aggregate" { "n" } else { "" },
                name.display()
            );
            Err(Error::new(UNDEFINED_FUNCTION, message).with_position(name.position))
        }
        [] => {
            let message = format!("{kind} {shown} does not exist");
            Err(Error::new(UNDEFINED_FUNCTION, message).with_position(name.position))
        }
        _ => Err(Error::new(AMBIGUOUS_FUNCTION, format!("{kind} name \"{}\" is not unique", name.display()))
            .with_hint(format!("Specify the argument list to select the {kind} unambiguously."))),
    }
}

/// Drops a function, and with CASCADE the triggers and views that call it.
pub(super) fn drop_one(
    run: &Run,
    edit: &mut Edit,
    function: &Arc<Function>,
    cascade: bool,
    cascaded: &mut Vec<String>,
) -> Result<()> {
    // Where PostgreSQL lists dependencies it writes signatures without spaces.
    let what = format!("function {}", signature(function).replace(", ", ","));
    let triggers = edit.current().triggers_calling(function.oid);
    let views: Vec<Relation> = edit.dependents_of(function.oid);
    let mut lines: Vec<String> = Vec::new();
    for (table, trigger) in &triggers {
        lines.push(format!("trigger {trigger} on table {} depends on {what}", table.name));
    }
    lines.extend(defaults(run, edit, function).into_iter().map(|what_calls| format!("{what_calls} depends on {what}")));
    let has_defaults = !lines.is_empty() && lines.len() > triggers.len();
    lines.extend(views.iter().map(|view| format!("{} {} depends on {what}", view.kind(), view.name())));
    if !lines.is_empty() && (!cascade || has_defaults) {
        return Err(depends(&what, &lines));
    }
    for (table, name) in triggers {
        cascaded.push(format!("trigger {name} on table {}", table.name));
        edit.change_triggers(table.oid, |triggers| triggers.retain(|known| known.name != name))?;
    }
    for view in views {
        if let Relation::View(known) = &view
            && known.materialized.is_some()
        {
            return Err(depends(&what, &lines).with_hint("Drop the materialized view first."));
        }
        cascaded.push(format!("{} {}", view.kind(), view.name()));
        edit.drop_relation(view.oid())?;
    }
    edit.drop_function(function.oid)?;
    Ok(())
}

/// `default value for column c of table t`, for those that call a function of this name and so many arguments.
fn defaults(run: &Run, edit: &Edit, function: &Function) -> Vec<String> {
    let catalog = edit.current();
    let database = run.session.info.database_oid;
    let schemas = run.session.search_path(catalog).into_iter();
    let mut schemas = schemas.filter_map(|name| catalog.schema(database, &name));
    let of_name = |schema: Oid| {
        let named = catalog.functions_named(schema, &function.name).iter();
        named.filter(|known| known.arguments.len() == function.arguments.len()).count() > 0
    };
    let is_found = schemas.find(|schema| of_name(schema.oid)).is_some_and(|schema| schema.oid == function.schema);
    let schema = catalog.schema_by_oid(function.schema).map_or("", |schema| schema.name.as_str());
    let calls = Calls { function, schema, is_found };
    let mut found = Vec::new();
    for relation in catalog.all_relations(database) {
        let Relation::Table(table) = relation else { continue };
        for column in &table.columns {
            let expr = column.default.as_deref().and_then(|text| crate::parser::parse_expression(text).ok());
            if expr.is_some_and(|expr| expr.visit(&mut &calls).is_break()) {
                found.push(format!("default value for column {} of table {}", column.name, table.name));
            }
        }
    }
    found
}

/// Stops at the first call of a function.
struct Calls<'a> {
    function: &'a Function,
    schema: &'a str,
    /// Whether the name alone finds it.
    is_found: bool,
}

impl Visitor for &Calls<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        let parts: Vec<String> = call.name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
        let is_named = match parts.as_slice() {
            [name] => self.is_found && *name == self.function.name,
            [schema, name] => *schema == self.schema && *name == self.function.name,
            _ => false,
        };
        let count = match &call.args {
            FunctionArguments::List(list) => list.args.len(),
            FunctionArguments::None | FunctionArguments::Subquery(_) => 0,
        };
        let is_meant = is_named && count == self.function.arguments.len();
        if is_meant { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
