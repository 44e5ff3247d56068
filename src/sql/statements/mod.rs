//! What each kind of statement does.
//!
//! One file per family: queries and EXPLAIN ([`query`]), INSERT ([`insert`]), UPDATE, DELETE and MERGE ([`modify`]), CREATE, ALTER and DROP ([`create`], [`alter`], [`parameters`], [`drop`], [`index`], [`function`]), of objects of extensions too ([`object`]),
//! queries that lock rows ([`locked`]), settings ([`setting`]), triggers ([`trigger`]), transaction control ([`control`]), VACUUM ([`vacuum`]), PREPARE and EXECUTE ([`prepare`]). COPY has its own modules
//! beside this one. What PostgreSQL has and Lightning does not answers 0A000 here, by name, before anything is planned.

mod control;
mod time_options;
mod materialized;
mod object;
mod create;
mod alter;
mod parameters;
mod drop;
mod function;
pub(crate) mod locked;
mod index;
pub(crate) mod insert;
pub(crate) mod modify;
mod prepare;
pub(crate) mod query;
mod setting;
mod trigger;
pub(crate) mod target;
mod vacuum;

use crate::aggregates::refresh;
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::parser::Kind;
use crate::prepared::{revalidate, with_series};
use crate::session::{Prepared, Run};
use datafusion::sql::sqlparser::ast::{SetExpr, Statement as Sql};

/// Runs a statement.
pub(crate) async fn execute(run: &Run, prepared: Option<&Prepared>) -> Result<Outcome> {
    control::check_read_only(run)?;
    let mut with_values = None;
    if let Some(prepared) = prepared {
        revalidate(run, prepared).await?;
        with_values = with_series(run, prepared)?;
    }
    let run = with_values.as_ref().unwrap_or(run);
    match &run.parsed.kind {
        Kind::Copy(copy) if copy.from => Box::pin(crate::copy_from::run(run, copy)).await,
        Kind::Copy(copy) => Box::pin(crate::copy_to::run(run, copy)).await,
        Kind::Checkpoint => Box::pin(control::checkpoint(run)).await,
        Kind::Vacuum(tables) => Box::pin(vacuum::run(run, tables)).await,
        Kind::Refresh(view) => Box::pin(refresh::run(run, view)).await,
        Kind::AlterParameters(alter) => Box::pin(parameters::run(run, alter)).await,
        Kind::CreateFunction(create) => Box::pin(function::create(run, create)).await,
        Kind::DropFunction(drop) => Box::pin(function::drop(run, drop)).await,
        Kind::Object(statement) => Box::pin(object::run(run, statement)).await,
        Kind::Trigger(statement) => Box::pin(trigger::run(run, statement)).await,
        Kind::Show(name) => setting::show(run, name),
        Kind::ShowAll => setting::show_all(run),
        Kind::Sql(statement) => Box::pin(sql(run, statement, prepared)).await,
    }
}

async fn sql(run: &Run, statement: &Sql, prepared: Option<&Prepared>) -> Result<Outcome> {
    match statement {
        Sql::Query(query) => match query.body.as_ref() {
            SetExpr::Select(select) if select.into.is_some() => Box::pin(create::select_into(run, query)).await,
            body if modify::is_modifying(body) => Box::pin(modify::run(run, statement, prepared)).await,
            _ if locked::locks(query.as_ref()) => Box::pin(locked::select(run, query, prepared)).await,
            _ => Box::pin(query::select(run, query, prepared)).await,
        },
        Sql::Insert(insert) => Box::pin(insert::run(run, insert, prepared)).await,
        Sql::Update(_) | Sql::Delete(_) | Sql::Merge(_) => Box::pin(modify::run(run, statement, prepared)).await,
        Sql::CreateTable(create) => Box::pin(create::table(run, create)).await,
        Sql::AlterTable(alter) => Box::pin(alter::table(run, alter)).await,
        Sql::CreateView(create) => Box::pin(create::view(run, create)).await,
        Sql::CreateSchema { .. } => Box::pin(create::schema(run, statement)).await,
        Sql::CreateIndex(create) => Box::pin(index::create(run, create)).await,
        Sql::Drop { .. } => Box::pin(drop::run(run, statement)).await,
        Sql::Truncate(truncate) => Box::pin(drop::truncate(run, truncate)).await,
        Sql::Explain { .. } => Box::pin(query::explain(run, statement)).await,
        Sql::StartTransaction { modes, begin, .. } => control::begin(run, modes, *begin),
        Sql::Commit { chain, .. } => Box::pin(control::commit(run, *chain)).await,
        Sql::Rollback { chain, savepoint } => Box::pin(control::rollback(run, *chain, savepoint.as_ref())).await,
        Sql::Savepoint { name } => control::savepoint(run, name),
        Sql::ReleaseSavepoint { name } => control::release(run, name),
        Sql::Lock(lock) => Box::pin(locked::lock_tables(run, lock)).await,
        Sql::Set(set) => setting::set(run, set),
        Sql::Reset(reset) => setting::reset(run, reset),
        Sql::Discard { object_type } => setting::discard(run, object_type),
        Sql::Prepare { .. } => Box::pin(prepare::prepare(run, statement)).await,
        Sql::Execute { .. } => Box::pin(prepare::execute(run, statement)).await,
        Sql::Deallocate { name, .. } => prepare::deallocate(run, name),
        Sql::Analyze(_) => Ok(Outcome::Done { tag: "ANALYZE".to_owned(), rows: 0 }),
        other => Err(unsupported(other)),
    }
}

/// What a statement that writes is called; `None` for the others.
fn writes(kind: &Kind) -> Option<String> {
    let statement = match kind {
        Kind::Copy(copy) => return copy.from.then(|| "COPY FROM".to_owned()),
        Kind::Sql(statement) => statement.as_ref(),
        Kind::Refresh(_) => return Some("REFRESH MATERIALIZED VIEW".to_owned()),
        Kind::AlterParameters(alter) => return Some(parameters::tag(alter).to_owned()),
        Kind::CreateFunction(create) => return Some(function::tag("CREATE", create.is_aggregate)),
        Kind::DropFunction(drop) => return Some(function::tag("DROP", drop.is_aggregate)),
        Kind::Object(statement) => return Some(object::tag(statement)),
        Kind::Trigger(statement) => return Some(statement.tag().to_owned()),
        Kind::Checkpoint | Kind::Vacuum(_) | Kind::Show(_) | Kind::ShowAll => return None,
    };
    Some(match statement {
        Sql::Query(query) => match query.body.as_ref() {
            SetExpr::Select(select) if select.into.is_some() => "SELECT INTO".to_owned(),
            SetExpr::Insert(_) => "INSERT".to_owned(),
            SetExpr::Update(_) => "UPDATE".to_owned(),
            SetExpr::Delete(_) => "DELETE".to_owned(),
            SetExpr::Merge(_) => "MERGE".to_owned(),
            _ if locked::locks(query.as_ref()) => "SELECT FOR UPDATE".to_owned(),
            _ => return None,
        },
        Sql::Insert(_) => "INSERT".to_owned(),
        Sql::Update(_) => "UPDATE".to_owned(),
        Sql::Delete(_) => "DELETE".to_owned(),
        Sql::Merge(_) => "MERGE".to_owned(),
        Sql::CreateTable(create) if create.query.is_some() => "CREATE TABLE AS".to_owned(),
        Sql::CreateTable(_) => "CREATE TABLE".to_owned(),
        Sql::CreateView(create) if create.materialized => "CREATE MATERIALIZED VIEW".to_owned(),
        Sql::AlterTable(_) => "ALTER TABLE".to_owned(),
        Sql::CreateView(_) => "CREATE VIEW".to_owned(),
        Sql::CreateSchema { .. } => "CREATE SCHEMA".to_owned(),
        Sql::CreateIndex(_) => "CREATE INDEX".to_owned(),
        Sql::Drop { object_type, .. } => format!("DROP {object_type}"),
        Sql::Truncate(_) => "TRUNCATE TABLE".to_owned(),
        _ => return None,
    })
}

/// Names the statement from its first words.
fn unsupported(statement: &Sql) -> Error {
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    let first = words.first().copied().unwrap_or("this statement").to_uppercase();
    let two = matches!(first.as_str(), "CREATE" | "ALTER" | "DROP" | "RELEASE" | "LOCK" | "COMMENT");
    let name = match words.get(1) {
        Some(second) if two && second.chars().all(|c| c.is_ascii_alphabetic()) => {
            format!("{first} {}", second.to_uppercase())
        }
        _ => first,
    };
    Error::unsupported(name)
}

/// Whether the statement may run in a failed block because it ends it or goes back to before it failed.
pub(crate) fn ends_block(kind: &Kind) -> bool {
    matches!(kind, Kind::Sql(s) if matches!(s.as_ref(), Sql::Commit { .. } | Sql::Rollback { .. }))
}

/// BEGIN, COMMIT, ROLLBACK and their relatives.
pub(crate) fn is_transaction_control(kind: &Kind) -> bool {
    let begins = |s: &Sql| matches!(s, Sql::StartTransaction { .. });
    ends_block(kind) || matches!(kind, Kind::Sql(s) if begins(s))
}

/// A command without rows.
pub(crate) fn done(tag: impl Into<String>) -> Outcome {
    Outcome::Done { tag: tag.into(), rows: 0 }
}
