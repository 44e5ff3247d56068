//! UPDATE, DELETE and MERGE, and what INSERT shares with them: RETURNING and ON CONFLICT.
//!
//! DataFusion's hooks for changing tables lose conditions that became joins, so they are not used. Instead:
//!
//! 1. The rows to change are an ordinary query, made of the statement's syntax tree, over the target with one more column,
//!    the row's *place* ([`table`], [`query`]): `UPDATE t SET a = a + u.b FROM u WHERE t.id = u.id` reads
//!    `SELECT t.place, t.a + u.b, t.id, … FROM t, u WHERE t.id = u.id`. Sub-queries, joins and WITH need nothing more.
//! 2. The query runs on the statement's snapshot to its end, within the memory budget ([`rows`]). A row found several times
//!    is changed once.
//! 3. New rows are assigned to the columns and checked (NOT NULL, the primary key), and RETURNING is computed from them, again
//!    by a query ([`returning`]) over rows in memory ([`rowset`]).
//! 4. Only then storage deletes the old places and appends the new rows ([`change`]), and the transaction goes on or commits.
//!
//! What must hold: a statement never sees its own writes; whatever fails changes nothing.

pub(crate) mod table;
mod assignments;
pub(super) mod query;
pub(crate) mod rows;
pub(crate) mod rowset;
pub(crate) mod returning;
pub(crate) mod change;
mod update;
mod whole_segments;
mod delete;
mod merge;
pub(crate) mod conflict;

use super::target::Name;
use super::{insert, locked};
use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::provider::StatementTables;
use crate::session::{Prepared, Run};
use crate::transaction::WriteTxn;
use crate::triggers::{Events, Firings};
use crate::types::PgType;
use arrow::datatypes::SchemaRef;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{FromTable, Query, SetExpr, Statement as Sql, TableFactor, With};
use lightning_catalog::Relation;
use query::Source;
use std::borrow::Cow;
use std::sync::Arc;

/// Whether the body of a query changes rows (after WITH).
pub(crate) fn is_modifying(body: &SetExpr) -> bool {
    matches!(body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_))
}

/// What a statement is planned with.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) run: &'a Run,
    pub(crate) context: Arc<StatementContext>,
    /// The statement's WITH clause.
    pub(crate) with: Option<With>,
    /// What stands for sub-queries that were run before.
    pub(crate) tables: StatementTables,
}

/// The statement itself and the WITH before it.
fn taken_apart(statement: &Sql) -> (Option<&With>, &Sql) {
    if let Sql::Query(query) = statement
        && let SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) | SetExpr::Merge(inner) =
            query.body.as_ref()
    {
        return (query.with.as_ref(), inner);
    }
    (None, statement)
}

/// Runs UPDATE, DELETE or MERGE, or any statement that changes rows after WITH.
pub(super) async fn run(run: &Run, statement: &Sql, prepared: Option<&Prepared>) -> Result<Outcome> {
    let (with, statement) = taken_apart(statement);
    if let Sql::Insert(insert) = statement {
        return Box::pin(insert::run(run, &insert::with_clause(insert, with), prepared)).await;
    }
    let locks = locked::locks(statement) || with.is_some_and(locked::locks);
    let mut write = run.session.write()?;
    let (mut firings, mut is_first) = (None, true);
    loop {
        let (storage, catalog) = write.refresh()?;
        let context = run.session.set_context(storage, catalog);
        if std::mem::take(&mut is_first) {
            firings = self::firings(run, &context, statement)?;
            if let Some(firings) = &mut firings {
                firings.before_statement(&mut write).await?;
                continue;
            }
        }
        let mut scope = Scope { run, context, with: with.cloned(), tables: StatementTables::new() };
        let mut statement = Cow::Borrowed(statement);
        if locks {
            let (mut with, changed) = (with.cloned(), statement.to_mut());
            let before = locked::run_subqueries(&scope, with.as_mut(), changed, true, &mut write, prepared).await?;
            let Some(tables) = before else { continue };
            scope.tables = tables;
            scope.with = with;
        }
        if let Some(outcome) = execute(&scope, &statement, &mut write, prepared, firings.as_mut()).await? {
            if let Some(firings) = &mut firings {
                firings.after(&mut write).await?;
            }
            write.finish().await?;
            return Ok(outcome);
        }
        run.active.check()?;
    }
}

/// The triggers a statement fires. Refuses a table whose rows are being changed by the statement that a trigger of it runs in.
fn firings(run: &Run, context: &StatementContext, statement: &Sql) -> Result<Option<Firings>> {
    let factor = match statement {
        Sql::Update(update) => &update.table.relation,
        Sql::Delete(delete) => match &delete.from {
            FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from) => match from.as_slice() {
                [table] => &table.relation,
                _ => return Ok(None),
            },
        },
        Sql::Merge(merge) => &merge.table,
        _ => return Ok(None),
    };
    // What is not a table is refused when the statement is planned.
    let TableFactor::Table { name, .. } = factor else { return Ok(None) };
    let Ok(name) = Name::new(run, name) else { return Ok(None) };
    let Some(Relation::Table(table)) = name.find(context) else { return Ok(None) };
    run.session.info.firing.check_change(table.oid, &table.name, false)?;
    if table.triggers.is_empty() {
        return Ok(None);
    }
    let events = match statement {
        Sql::Update(update) => {
            Events { updates: Some(assignments::columns(table, &update.assignments)), ..Events::default() }
        }
        Sql::Delete(_) => Events { deletes: true, ..Events::default() },
        Sql::Merge(merge) => merge::events(table, merge),
        _ => return Ok(None),
    };
    Firings::of(run, context, table, &events)
}

/// `None`: rows to change were changed by others meanwhile, which are locked now.
async fn execute(
    scope: &Scope<'_>,
    statement: &Sql,
    write: &mut WriteTxn,
    prepared: Option<&Prepared>,
    firings: Option<&mut Firings>,
) -> Result<Option<Outcome>> {
    match statement {
        Sql::Update(update) => Box::pin(update::run(scope, update, write, prepared, firings)).await,
        Sql::Delete(delete) => Box::pin(delete::run(scope, delete, write, prepared, firings)).await,
        Sql::Merge(merge) => Box::pin(merge::run(scope, merge, write, prepared, firings)).await,
        _ => Err(Error::unsupported("this form of a data-modifying statement")),
    }
}

async fn source(scope: &Scope<'_>, statement: &Sql) -> Result<Source> {
    match statement {
        Sql::Update(update) => update::source(scope, update).await,
        Sql::Delete(delete) => delete::source(scope, delete).await,
        Sql::Merge(merge) => Ok(merge::source(scope, merge).await?.source),
        _ => Err(Error::unsupported("this form of a data-modifying statement")),
    }
}

/// The columns RETURNING gives, and the types of parameters.
pub(crate) async fn describe(run: &Run, statement: &Sql, types: &mut [Option<PgType>]) -> Result<Option<SchemaRef>> {
    let (with, statement) = taken_apart(statement);
    if let Sql::Insert(insert) = statement {
        return insert::describe(run, &insert::with_clause(insert, with), types).await;
    }
    if !matches!(statement, Sql::Update(_) | Sql::Delete(_) | Sql::Merge(_)) {
        return Ok(None);
    }
    let scope = Scope { run, context: run.session.context()?, with: with.cloned(), tables: StatementTables::new() };
    let source = source(&scope, &locked::without_locks(statement)).await?;
    let fields = source.infer(types).await?;
    match &source.returning {
        None => Ok(None),
        Some(items) => {
            let sets = source.empty_sets(&fields)?;
            returning::describe(&scope, items, &sets, types).await.map(Some)
        }
    }
}

/// The query that finds the rows a statement changes, and the line EXPLAIN puts above its plan.
pub(super) async fn explained(run: &Run, statement: &Sql) -> Result<(SessionState, Query, String)> {
    let (with, statement) = taken_apart(statement);
    let scope = Scope { run, context: run.session.context()?, with: with.cloned(), tables: StatementTables::new() };
    let verb = match statement {
        Sql::Update(_) => "Update",
        Sql::Delete(_) => "Delete",
        Sql::Merge(_) => "Merge",
        _ => {
            return Err(Error::unsupported(
                "EXPLAIN of a statement other than a query, INSERT, UPDATE, DELETE or MERGE",
            ));
        }
    };
    let source = source(&scope, statement).await?;
    let line = format!("{verb} on {}", source.target.shown());
    Ok((source.state, source.query, line))
}
