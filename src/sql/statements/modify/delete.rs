//! DELETE.

use super::change::{Change, ChangedKeys, Intent};
use super::query::{self, Source, alone, item, select};
use super::rows::read;
use super::table::Target;
use super::update::{self, first_seen, place_column, push_factors, sets};
use super::whole_segments::{self, Cut};
use super::{Scope, returning};
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::plan::named_query_plan;
use crate::prepared::bind;
use crate::session::Prepared;
use crate::sqlstate::SYNTAX_ERROR;
use crate::transaction::WriteTxn;
use crate::triggers::{ChangedRows, Fired, Firings, forget_since};
use crate::write::Shape;
use arrow::array::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Delete, FromTable};
use std::collections::HashSet;
use std::sync::Arc;

/// The table's columns stand behind the place, when RETURNING wants them.
const COLUMNS_AT: usize = 1;

fn syntax(word: &str) -> Error {
    Error::new(SYNTAX_ERROR, format!("syntax error at or near \"{word}\""))
}

/// The query for the rows to delete: place, and for RETURNING the columns and what USING has.
pub(super) async fn source(scope: &Scope<'_>, delete: &Delete) -> Result<Source> {
    if delete.limit.is_some() || !delete.order_by.is_empty() {
        return Err(syntax(if delete.order_by.is_empty() { "LIMIT" } else { "ORDER" }));
    }
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [table] = from.as_slice() else { return Err(syntax(",")) };
    if !table.joins.is_empty() || !delete.tables.is_empty() || delete.output.is_some() {
        return Err(syntax("JOIN"));
    }
    let target = Target::of(scope, &table.relation, "delete from")?;
    let mut delete = delete.clone();
    target.unqualify(&mut delete);
    let state = query::state(scope, &target);
    let returning = returning::items(&delete.returning);
    let using = delete.using.take().unwrap_or_default();
    let factors = query::factors(scope, &state, &target, &using, returning.is_some()).await?;
    let mut items = vec![item(target.place(), 0)];
    if returning.is_some() {
        for column in 0..target.table.columns.len() {
            items.push(item(target.column(column), items.len()));
        }
    }
    let factors_at = items.len();
    push_factors(&factors, &mut items);
    let mut tables = vec![alone(target.factor())];
    tables.extend(using);
    let query = select(scope.with.as_ref(), items, tables, delete.selection.take())?;
    Ok(Source { target, state, query, assigned: Vec::new(), factors, factors_at, returning, target_last: false })
}

/// Runs DELETE.
pub(super) async fn run(
    scope: &Scope<'_>,
    delete: &Delete,
    write: &mut WriteTxn,
    prepared: Option<&Prepared>,
    firings: Option<&mut Firings>,
) -> Result<Option<Outcome>> {
    let source = source(scope, delete).await?;
    let plan = bind(named_query_plan(&source.state, &source.query).await?, scope.run, prepared)?;
    let found = Found { source: &source, plan: &plan, gone: 0 };
    if let Some(firings) = firings.filter(|firings| firings.needs_deleted()) {
        return row_by_row(scope, delete, found, write, prepared, firings.delete.as_mut()).await;
    }
    let Some(Cut { rows, context }) = whole_segments::cut(scope, &source, &plan, write).await? else {
        return row_by_row(scope, delete, found, write, prepared, None).await;
    };
    let rest = Scope { run: scope.run, context, with: scope.with.clone(), tables: scope.tables.clone() };
    let source = self::source(&rest, delete).await?;
    let plan = bind(named_query_plan(&source.state, &source.query).await?, scope.run, prepared)?;
    let found = Found { source: &source, plan: &plan, gone: rows };
    row_by_row(&rest, delete, found, write, prepared, None).await
}

/// The plan that finds rows to delete, when so many are gone already.
struct Found<'a> {
    source: &'a Source,
    plan: &'a LogicalPlan,
    gone: u64,
}

/// Deletes the rows that are found.
async fn row_by_row(
    scope: &Scope<'_>,
    delete: &Delete,
    found: Found<'_>,
    write: &mut WriteTxn,
    prepared: Option<&Prepared>,
    mut fired: Option<&mut Fired>,
) -> Result<Option<Outcome>> {
    let Found { source, plan, gone } = found;
    let (run, table) = (scope.run, &source.target.table);
    let joins = delete.using.as_ref().is_some_and(|using| !using.is_empty());
    let mut seen = HashSet::new();
    let mut places = Vec::new();
    let mut held = read(run, &source.state, plan, |batch| {
        let batch = if joins { first_seen(&batch, &mut seen)? } else { batch };
        places.extend_from_slice(place_column(&batch)?.values());
        Ok((source.returning.is_some() && batch.num_rows() > 0).then_some(batch))
    })
    .await?;
    let mut savepoint = None;
    if let Some(fired) = fired.as_deref_mut().filter(|fired| fired.has_before_rows()) {
        savepoint = Some(write.txn()?.storage.savepoint());
        let found = update::Found { places: &mut places, read: &mut held.batches, new: None };
        if !update::pass(scope, table, found, write, fired).await? {
            forget_since(write, savepoint.as_ref())?;
            return Ok(None);
        }
    }
    let deleted = gone + places.len() as u64;
    let snapshot = scope.context.storage.clone();
    let keys = ChangedKeys::of(table, run.session.zone(), |_| true).without_primary();
    let (rows, intent, set) = (Vec::new(), Intent::Modify, None);
    let change = Change { table: Arc::clone(table), snapshot, places, rows, keys, intent, set };
    if !change.lock(run, write).await? {
        forget_since(write, savepoint.as_ref())?;
        return Ok(None);
    }
    if let Some(fired) = fired.filter(|fired| fired.asks_for_rows()) {
        fired.wrote(ChangedRows::deleted(update::old_rows(scope, table, &change.places).await?))?;
    }
    let returned = match &source.returning {
        None => None,
        Some(items) => {
            let shape = Shape::new(table, run.session.zone());
            let old = |batch: &RecordBatch| {
                let columns = (0..shape.columns()).map(|c| shape.unchanged(c, batch.column(COLUMNS_AT + c)));
                shape.old_batch(columns.collect::<Result<_>>()?, batch.num_rows())
            };
            let rows = held.batches.iter().map(old).collect::<Result<Vec<_>>>()?;
            let sets = sets(source, &held.schema, &held.batches, &rows)?;
            Some(returning::compute(scope, items, &sets, "DELETE", prepared).await?)
        }
    };
    change.write(write).await?;
    Ok(Some(returning::outcome(returned, "DELETE", deleted)))
}
