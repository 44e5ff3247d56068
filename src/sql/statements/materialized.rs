//! CREATE MATERIALIZED VIEW … WITH (continuous, refresh = …), and what ALTER MATERIALIZED VIEW can change of it.

use super::target::{Name, folded};
use super::time_options::unrecognized;
use super::{create, done};
use crate::aggregates::definition::{Definition, source_name};
use crate::aggregates::query::{Marked, materialized};
use crate::aggregates::refresh::compute;
use crate::aggregates::{immutable, mark};
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::parser::parameters::Change;
use crate::plan::named_query_plan;
use crate::prepared::bind;
use crate::provider::{arrow_schema, state_for};
use crate::semantics;
use crate::session::Run;
use crate::sqlstate::{DUPLICATE_TABLE, INVALID_PARAMETER_VALUE, SUCCESSFUL_COMPLETION, UNDEFINED_TABLE};
use crate::text::interval::{interval, length_us};
use datafusion::sql::sqlparser::ast::{CreateTableOptions, CreateView, Expr, SqlOption, Value};
use lightning_catalog::{Edit, Materialized, NewView, Relation, View};
use lightning_storage::{TableDefinition, TableMode};
use std::sync::Arc;

/// A refresh more often than this is none of the background's.
const REFRESH_US_MIN: i64 = 1_000_000;

/// What the options say.
struct Options {
    refresh: Option<String>,
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(INVALID_PARAMETER_VALUE, message)
}

fn options(create: &CreateView) -> Result<Options> {
    let CreateTableOptions::With(written) = &create.options else { return Err(not_continuous()) };
    let (mut continuous, mut refresh) = (None, None);
    for option in written {
        let SqlOption::KeyValue { key, value } = option else {
            return Err(invalid(format!("unrecognized parameter \"{option}\"")));
        };
        let text = match value {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => text.clone(),
                other => other.to_string(),
            },
            other => other.to_string(),
        };
        match folded(key).as_str() {
            "continuous" => continuous = Some(crate::text::number::boolean(&text)?),
            "refresh" => {
                check_refresh(&text)?;
                refresh = Some(text);
            }
            name => return Err(unrecognized(name)),
        }
    }
    if continuous == Some(true) { Ok(Options { refresh }) } else { Err(not_continuous()) }
}

fn check_refresh(text: &str) -> Result<()> {
    match length_us(&interval(text)?) {
        Some(every) if every >= REFRESH_US_MIN => Ok(()),
        _ => Err(invalid(format!("refresh must be a second or more: \"{text}\""))),
    }
}

/// What is known of the kept rows of a materialized view when some parameters have been changed.
pub(super) fn changed(view: &View, changes: &[Change]) -> Result<Materialized> {
    let mut kept = materialized(view)?.clone();
    for Change { parameter, value } in changes {
        match parameter.as_str() {
            "refresh" => {
                value.as_deref().map(check_refresh).transpose()?;
                kept.refresh = value.clone();
            }
            "continuous" => {
                return Err(Error::unsupported("changing parameter \"continuous\" of a materialized view"));
            }
            name => return Err(unrecognized(name)),
        }
    }
    Ok(kept)
}

fn not_continuous() -> Error {
    Error::unsupported("a materialized view that is not continuous")
        .with_hint("Create it WITH (continuous), over a table with a time, grouped by time_bucket.")
}

/// CREATE MATERIALIZED VIEW.
pub(super) async fn create(run: &Run, create: &CreateView) -> Result<Outcome> {
    let options = options(create)?;
    let name = Name::new(run, &create.name)?;
    create::check_identifier(&name.name)?;
    let mut write = run.session.write()?;
    let catalog = write.lock_ddl(run).await?;
    let context = run.session.set_context(write.txn()?.storage.snapshot(), catalog);
    let schema = name.creation_schema(&context)?.clone();
    if context.catalog.taken_by(schema.oid, &name.name).is_some() {
        let message = format!("relation \"{}\" already exists", name.name);
        if !create.if_not_exists {
            return Err(Error::new(DUPLICATE_TABLE, message));
        }
        run.session.notice("NOTICE", SUCCESSFUL_COMPLETION, format!("{message}, skipping"));
        write.finish().await?;
        return Ok(done("CREATE MATERIALIZED VIEW"));
    }
    let source = Name::new(run, &source_name(&create.query)?)?;
    let Some(source) = source.find(&context).cloned() else { return Err(source.unknown()) };
    let definition = Definition::new(create.query.as_ref().clone(), &source)?;
    let source_rows = source.rows().ok_or_else(|| Error::new(UNDEFINED_TABLE, "the source keeps no rows"))?;
    // Whoever writes to the source now commits first; who comes after marks what it touches.
    let patience = run.patience_for(source.name(), source_rows);
    write.lock(&patience, |txn| Ok(txn.lock_table(source_rows, TableMode::ShareRowExclusive))).await?;
    let (storage, catalog) = write.refresh()?;
    let context = run.session.set_context(storage, catalog);

    let mut state = state_for(&run.session.base, &run.session.info, &context);
    semantics::begin_statement(&mut state, &run.session.info);
    let plan = bind(named_query_plan(&state, &create.query).await?, run, None)?;
    immutable::check(&state, &create.query, &plan)?;
    let names = create.columns.iter().map(|column| folded(&column.name)).collect();
    let columns = create::columns_of(&state, &plan, names)?.columns;
    let depends_on = create::dependencies(run, &create.query, &context)?;
    let described: Vec<lightning_catalog::Column> = columns.iter().map(create::catalog_column).collect();
    let kept_schema = arrow_schema(&described);
    let bucket = definition.position;
    let txn = &mut write.txn()?.storage;
    let rows = txn.create_table(TableDefinition::new(kept_schema, vec![]))?;
    let marks = txn.create_table(TableDefinition::new(mark::schema(), vec![]))?;
    let everything = i64::MIN..=i64::MAX;
    if run.parsed.no_data {
        txn.append(marks, mark::batch(std::slice::from_ref(&everything))?)?;
    }
    let mut edit = Edit::new(&context.catalog);
    let view = edit.create_view(NewView {
        schema: schema.oid,
        name: name.name.clone(),
        definition: create.query.to_string(),
        written: run.parsed.defining_query(),
        search_path: context.search_path.clone(),
        columns,
        depends_on,
        materialized: Some(Materialized {
            rows_id: rows.0,
            marks_id: marks.0,
            source: source.oid(),
            bucket,
            refresh: options.refresh,
            expired_before: None,
        }),
    })?;
    let after = Arc::new(edit.current().clone());
    write.apply(edit)?;
    let mut count = 0;
    if !run.parsed.no_data {
        let context = run.session.set_context(write.txn()?.storage.snapshot(), after);
        let marked = Marked { ranges: vec![everything], places: Vec::new() };
        count = compute(run, &view, &context, &marked, &mut write).await?;
    }
    write.finish().await?;
    Ok(match run.parsed.no_data {
        true => done("CREATE MATERIALIZED VIEW"),
        false => Outcome::Done { tag: format!("SELECT {count}"), rows: count },
    })
}

/// Where storage keeps what a relation has.
pub(super) fn kept(relation: &Relation) -> Vec<lightning_storage::TableId> {
    match relation {
        Relation::View(view) => view.materialized.iter().flat_map(|kept| [kept.rows(), kept.marks()]).collect(),
        Relation::Table(table) => vec![table.storage_table()],
        Relation::Graph(_) => vec![],
    }
}
