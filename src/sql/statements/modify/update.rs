//! UPDATE.

use super::assignments::{self, Assigned};
use super::change::{Change, ChangedKeys, Intent};
use super::query::{self, Source, alone, item, named, refuse_aggregates, select, values};
use super::rows::read;
use super::rowset::RowSet;
use super::table::Target;
use super::{Scope, returning};
use crate::error::{Error, Result};
use crate::locking::FoundRows;
use crate::outcome::Outcome;
use crate::plan::named_query_plan;
use crate::prepared::bind;
use crate::provider::arrow_schema;
use crate::session::Prepared;
use crate::sqlstate::{INTERNAL_ERROR, SYNTAX_ERROR};
use crate::statements::insert::sources;
use crate::transaction::{WriteTxn, blocking};
use crate::triggers::{ChangedRows, Fired, Firings, forget_since};
use crate::unique::UniqueKey;
use crate::write::{Shape, SourceColumn};
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::UInt64Type;
use datafusion::sql::sqlparser::ast::{Expr, Update, UpdateTableFromKind};
use lightning_catalog::Table;
use lightning_storage::{IfLocked, KeyMode};
use std::collections::HashSet;
use std::sync::Arc;

/// The table's columns stand behind the place, in their order: the new value, or the old one.
const COLUMNS_AT: usize = 1;

fn refuse(update: &Update) -> Result<()> {
    let word = if !update.table.joins.is_empty() {
        "JOIN"
    } else if update.limit.is_some() {
        "LIMIT"
    } else if !update.order_by.is_empty() {
        "ORDER"
    } else if update.or.is_some() {
        "OR"
    } else if update.output.is_some() {
        "OUTPUT"
    } else if matches!(update.from, Some(UpdateTableFromKind::BeforeSet(_))) {
        "FROM"
    } else {
        return Ok(());
    };
    Err(Error::new(SYNTAX_ERROR, format!("syntax error at or near \"{word}\"")))
}

/// The query for the rows to change: place, the columns as they will be, what FROM has.
pub(super) async fn source(scope: &Scope<'_>, update: &Update) -> Result<Source> {
    planned(scope, update).await.map(|(source, _)| source)
}

async fn planned(scope: &Scope<'_>, update: &Update) -> Result<(Source, Vec<Assigned>)> {
    refuse(update)?;
    let target = Target::of(scope, &update.table.relation, "update")?;
    let mut update = update.clone();
    target.unqualify(&mut update);
    let assigned = assignments::read(scope.run, &target.table, &update.assignments)?;
    let state = query::state(scope, &target);
    refuse_aggregates(&state, values(&assigned), "UPDATE")?;
    let returning = returning::items(&update.returning);
    let from = match update.from.take() {
        Some(UpdateTableFromKind::AfterSet(from)) => from,
        _ => Vec::new(),
    };
    let factors = query::factors(scope, &state, &target, &from, returning.is_some()).await?;
    let mut items = vec![item(target.place(), 0)];
    for column in 0..target.table.columns.len() {
        let new = assigned.iter().find(|a| a.column == column).map(|a| a.value.clone());
        items.push(item(new.unwrap_or_else(|| target.column(column)), items.len()));
    }
    let factors_at = items.len();
    push_factors(&factors, &mut items);
    let mut tables = vec![alone(target.factor())];
    tables.extend(from);
    let query = select(scope.with.as_ref(), items, tables, update.selection.take())?;
    let outputs = assigned.iter().map(|a| (COLUMNS_AT + a.column, a.column)).collect();
    let source = Source { target, state, query, assigned: outputs, factors, factors_at, returning, target_last: false };
    Ok((source, assigned))
}

/// Adds the columns of what stands beside the target.
pub(super) fn push_factors(factors: &[query::Factor], items: &mut Vec<datafusion::sql::sqlparser::ast::SelectItem>) {
    for factor in factors {
        for name in &factor.columns {
            let column = vec![factor.alias.clone(), crate::parser::calls::identifier(name)];
            items.push(item(Expr::CompoundIdentifier(column), items.len()));
        }
    }
}

/// Runs UPDATE.
pub(super) async fn run(
    scope: &Scope<'_>,
    update: &Update,
    write: &mut WriteTxn,
    prepared: Option<&Prepared>,
    firings: Option<&mut Firings>,
) -> Result<Option<Outcome>> {
    let run = scope.run;
    let mut fired = firings.and_then(|firings| firings.update.as_mut());
    let (source, assigned) = planned(scope, update).await?;
    let table = &source.target.table;
    let plan = bind(named_query_plan(&source.state, &source.query).await?, run, prepared)?;
    let columns = sources(&source.state, &plan)?;
    let shape = fired.as_ref().map_or_else(|| Shape::new(table, run.session.zone()), |fired| fired.shape());
    for a in &assigned {
        shape.check(a.column, &columns[COLUMNS_AT + a.column])?;
    }
    // A row that FROM finds several times is changed once, by the first.
    let joins = matches!(&update.from, Some(UpdateTableFromKind::AfterSet(from)) if !from.is_empty());
    let mut seen = HashSet::new();
    let mut places = Vec::new();
    let mut held = read(run, &source.state, &plan, |batch| {
        let batch = if joins { first_seen(&batch, &mut seen)? } else { batch };
        places.extend_from_slice(place_column(&batch)?.values());
        Ok((batch.num_rows() > 0).then_some(batch))
    })
    .await?;
    let mut rows = Vec::with_capacity(held.batches.len());
    for batch in &held.batches {
        rows.push(new_rows(&shape, &assigned, &columns, batch)?);
    }
    let passes = fired.as_ref().is_some_and(|fired| fired.has_before_rows());
    let mut savepoint = None;
    if let Some(fired) = fired.as_deref_mut().filter(|_| passes) {
        savepoint = Some(write.txn()?.storage.savepoint());
        let found = Found { places: &mut places, read: &mut held.batches, new: Some(&mut rows) };
        if !pass(scope, table, found, write, fired).await? {
            forget_since(write, savepoint.as_ref())?;
            return Ok(None);
        }
    }
    let is_set = |column: usize| passes || assigned.iter().any(|a| a.column == column);
    let keys = ChangedKeys::of(table, run.session.zone(), is_set);
    let keys = match keys.primary() {
        Some(key) if same_keys(key, scope, table, &places, &rows).await? => keys.without_primary(),
        _ => keys,
    };
    let changed = places.len() as u64;
    let snapshot = scope.context.storage.clone();
    let set = Some((0..table.columns.len()).filter(|column| is_set(*column)).collect());
    let change = Change { table: Arc::clone(table), snapshot, places, rows, keys, intent: Intent::Modify, set };
    if !change.lock(run, write).await? {
        forget_since(write, savepoint.as_ref())?;
        return Ok(None);
    }
    if let Some(fired) = fired.filter(|fired| fired.asks_for_rows()) {
        let old = old_rows(scope, table, &change.places).await?;
        let mut at = 0;
        for new in &change.rows {
            fired.wrote(ChangedRows::updated(old.slice(at, new.num_rows()), new.clone()))?;
            at += new.num_rows();
        }
    }
    let returned = match &source.returning {
        None => None,
        Some(items) => {
            let sets = sets(&source, &held.schema, &held.batches, &change.rows)?;
            Some(returning::compute(scope, items, &sets, "UPDATE", prepared).await?)
        }
    };
    change.write(write).await?;
    Ok(Some(returning::outcome(returned, "UPDATE", changed)))
}

/// Rows that a statement found to change or delete.
pub(super) struct Found<'a> {
    pub(super) places: &'a mut Vec<u64>,
    /// What was read for them, batch by batch, if that is kept.
    pub(super) read: &'a mut Vec<RecordBatch>,
    /// As they will be, in the same batches; `None` when they are deleted.
    pub(super) new: Option<&'a mut Vec<RecordBatch>>,
}

/// Locks rows and has them pass the BEFORE triggers; those that were left out are found no more. False: look again.
pub(super) async fn pass(
    scope: &Scope<'_>,
    table: &Arc<Table>,
    found: Found<'_>,
    write: &mut WriteTxn,
    fired: &mut Fired,
) -> Result<bool> {
    let Found { places, read, mut new } = found;
    if places.is_empty() {
        return Ok(true);
    }
    if !lock(scope, table, places, write).await? {
        return Ok(false);
    }
    let old = old_rows(scope, table, places).await?;
    let lengths: Vec<usize> = match &new {
        Some(new) => new.iter().map(RecordBatch::num_rows).collect(),
        None if read.is_empty() => vec![places.len()],
        None => read.iter().map(RecordBatch::num_rows).collect(),
    };
    let (mut kept_places, mut at) = (Vec::with_capacity(places.len()), 0);
    for (number, length) in lengths.into_iter().enumerate() {
        let of_batch = old.slice(at, length);
        let rows = match &new {
            Some(new) => ChangedRows::updated(of_batch, new[number].clone()),
            None => ChangedRows::deleted(of_batch),
        };
        let Some(passed) = fired.before_changes(write, rows).await? else { return Ok(false) };
        match &passed.kept {
            None => kept_places.extend_from_slice(&places[at..at + length]),
            Some(kept) => {
                kept_places.extend(kept.values().iter().map(|row| places[at + *row as usize]));
                if let Some(batch) = read.get_mut(number) {
                    *batch = take_record_batch(batch, kept)?;
                }
            }
        }
        if let (Some(new), Some(passed)) = (&mut new, passed.new) {
            new[number] = passed;
        }
        at += length;
    }
    *places = kept_places;
    Ok(true)
}

/// Locks rows that triggers are about to see. False: somebody was faster.
pub(super) async fn lock(scope: &Scope<'_>, table: &Table, places: &[u64], write: &mut WriteTxn) -> Result<bool> {
    let rows = FoundRows {
        snapshot: scope.context.storage.clone(),
        table: table.storage_table(),
        places: UInt64Array::from(places.to_vec()),
        mode: KeyMode::Update,
        if_locked: IfLocked::Wait,
        most: usize::MAX,
    };
    Ok(write.hold(&scope.run.patience(table), rows).await?.is_some())
}

/// Rows as they are in the table.
pub(super) async fn old_rows(scope: &Scope<'_>, table: &Table, places: &[u64]) -> Result<RecordBatch> {
    let (snapshot, id) = (scope.context.storage.clone(), table.storage_table());
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    let places = UInt64Array::from(places.to_vec());
    Ok(blocking(move || snapshot.rows_at(id, &places, &columns)).await??)
}

/// Whether every row keeps its key.
async fn same_keys(
    key: &UniqueKey,
    scope: &Scope<'_>,
    table: &Table,
    places: &[u64],
    rows: &[RecordBatch],
) -> Result<bool> {
    let (snapshot, id, columns) = (scope.context.storage.clone(), table.storage_table(), key.columns().to_vec());
    let places = arrow::array::UInt64Array::from(places.to_vec());
    let old = blocking(move || snapshot.rows_at(id, &places, &columns)).await??;
    let mut at = 0;
    for batch in rows {
        let same = |(new, old): (&ArrayRef, &ArrayRef)| new.as_ref() == old.slice(at, batch.num_rows()).as_ref();
        if !key.keys(batch).iter().zip(old.columns()).all(same) {
            return Ok(false);
        }
        at += batch.num_rows();
    }
    Ok(true)
}

/// The places of a batch.
pub(super) fn place_column(batch: &RecordBatch) -> Result<&arrow::array::UInt64Array> {
    batch
        .column(0)
        .as_primitive_opt::<UInt64Type>()
        .ok_or_else(|| Error::new(INTERNAL_ERROR, "places must be unsigned integers"))
}

/// The rows whose place was not seen before.
pub(super) fn first_seen(batch: &RecordBatch, seen: &mut HashSet<u64>) -> Result<RecordBatch> {
    let mask: BooleanArray = place_column(batch)?.values().iter().map(|place| Some(seen.insert(*place))).collect();
    Ok(filter_record_batch(batch, &mask)?)
}

fn new_rows(
    shape: &Shape,
    assigned: &[Assigned],
    sources: &[SourceColumn],
    batch: &RecordBatch,
) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(shape.columns());
    for column in 0..shape.columns() {
        let values = batch.column(COLUMNS_AT + column);
        columns.push(match assigned.iter().any(|a| a.column == column) {
            true => shape.assign(column, &sources[COLUMNS_AT + column], values)?,
            false => shape.unchanged(column, values)?,
        });
    }
    shape.batch(columns, batch.num_rows())
}

/// The rows RETURNING reads: the target's as `rows` has them, and what FROM had beside them.
pub(super) fn sets(
    source: &Source,
    schema: &arrow::datatypes::SchemaRef,
    read: &[RecordBatch],
    rows: &[RecordBatch],
) -> Result<Vec<RowSet>> {
    let mut sets = Vec::with_capacity(source.factors.len() + 1);
    let mut at = source.factors_at;
    for (number, factor) in source.factors.iter().enumerate() {
        let range = at..at + factor.columns.len();
        at = range.end;
        let fields = named(&schema.fields()[range.clone()], &factor.columns);
        let batches = read.iter().map(|batch| batch.columns()[range.clone()].to_vec()).collect();
        sets.push(RowSet::new(&format!("factor{number}"), &factor.alias, fields, batches)?);
    }
    let target = arrow_schema(&source.target.table.columns);
    let batches = rows.iter().map(|batch| batch.columns().to_vec()).collect();
    let target = RowSet::new("changed", &source.target.alias, target.fields().to_vec(), batches)?;
    sets.insert(if source.target_last { sets.len() } else { 0 }, target);
    Ok(sets)
}
