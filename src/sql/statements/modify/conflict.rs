//! INSERT with ON CONFLICT or RETURNING: all rows are known before any is written.
//!
//! ON CONFLICT looks the new rows' keys up in the snapshot. Rows whose key is free are inserted. The others are dropped (DO
//! NOTHING), or change the row that is there (DO UPDATE): its new columns are a query over two sets of rows in memory, the
//! table's rows under the table's name and the new ones as `excluded`.

use super::assignments::{self, Assigned};
use super::change::{Change, ChangedKeys, Intent};
use super::query::{item, refuse_aggregates, select, values};
use super::rows::read;
use super::rowset::{RowSet, joined, tables};
use super::table::Target;
use super::{Scope, returning};
use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::locking::FoundRows;
use crate::outcome::Outcome;
use crate::parser::calls::identifier;
use crate::plan::named_query_plan;
use crate::prepared::{bind, column_parameter, infer};
use crate::provider::{StatementTables, arrow_schema, state_with};
use crate::semantics;
use crate::session::{Prepared, Run};
use crate::sqlstate::{
    CARDINALITY_VIOLATION, INTERNAL_ERROR, INVALID_COLUMN_REFERENCE, SYNTAX_ERROR, UNDEFINED_COLUMN, UNDEFINED_OBJECT,
};
use crate::statements::insert::sources;
use crate::statements::target::folded;
use crate::transaction::{WriteTxn, blocking};
use crate::triggers::{ChangedRows, Fired, Firings, Passed, forget_since};
use crate::types::PgType;
use crate::unique::UniqueKey;
use crate::write::Shape;
use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, interleave, take_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::row::{OwnedRow, Rows};
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{
    ConflictTarget, DoUpdate, Expr, Insert, OnConflictAction, OnInsert, Query, TableObject, Value,
};
use lightning_catalog::Table;
use lightning_storage::{IfLocked, KeyMode, Snapshot};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Rows to insert, and the triggers they fire. Those have passed BEFORE ROW triggers of INSERT.
#[derive(Debug)]
pub(crate) struct NewBatches {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) firings: Option<Firings>,
}

impl From<Vec<RecordBatch>> for NewBatches {
    fn from(batches: Vec<RecordBatch>) -> NewBatches {
        NewBatches { batches, firings: None }
    }
}

/// The same for one attempt.
struct NewRows<'a> {
    batches: &'a [RecordBatch],
    firings: Option<&'a mut Firings>,
}

/// What ON CONFLICT DO UPDATE says.
pub(crate) fn updates(insert: &Insert) -> Option<&DoUpdate> {
    match &insert.on {
        Some(OnInsert::OnConflict(conflict)) => match &conflict.action {
            OnConflictAction::DoUpdate(update) => Some(update),
            OnConflictAction::DoNothing => None,
        },
        _ => None,
    }
}

/// The columns it sets.
pub(crate) fn columns_set(table: &Table, update: &DoUpdate) -> Vec<usize> {
    assignments::columns(table, &update.assignments)
}

/// What is done about a key that is taken.
enum Action<'a> {
    Nothing,
    Update(&'a DoUpdate),
}

/// The clause, with the keys it is about. `None`: a taken key is an error.
fn action<'a>(insert: &'a Insert, table: &Table, zone: Tz) -> Result<Option<(Action<'a>, Vec<UniqueKey>)>> {
    let conflict = match &insert.on {
        None => return Ok(None),
        Some(OnInsert::OnConflict(conflict)) => conflict,
        Some(_) => return Err(Error::new(SYNTAX_ERROR, "syntax error at or near \"DUPLICATE\"")),
    };
    let all = UniqueKey::all(table, zone);
    let arbiters: Vec<UniqueKey> = match &conflict.conflict_target {
        None => all,
        Some(ConflictTarget::OnConstraint(name)) => {
            let name = name.0.last().and_then(|p| p.as_ident()).map(folded).unwrap_or_default();
            let is_constraint = match table.index(&name) {
                Some(index) => index.constraint.is_some(),
                None => table.primary_key.as_ref().is_some_and(|key| key.name == name),
            };
            if !is_constraint {
                let message = format!("constraint \"{name}\" for table \"{}\" does not exist", table.name);
                return Err(Error::new(UNDEFINED_OBJECT, message));
            }
            all.into_iter().filter(|key| key.constraint() == name).collect()
        }
        Some(ConflictTarget::Columns(names)) => {
            let mut columns = HashSet::new();
            for name in names {
                let name = folded(name);
                let index = table.column_index(&name).ok_or_else(|| {
                    Error::new(UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")).with_column(&name)
                })?;
                columns.insert(index);
            }
            let is_meant = |key: &UniqueKey| key.columns().iter().copied().collect::<HashSet<_>>() == columns;
            let found: Vec<UniqueKey> = all.into_iter().filter(is_meant).collect();
            if found.is_empty() {
                let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
                return Err(Error::new(INVALID_COLUMN_REFERENCE, message));
            }
            found
        }
    };
    match &conflict.action {
        OnConflictAction::DoNothing => Ok(Some((Action::Nothing, arbiters))),
        OnConflictAction::DoUpdate(_) if conflict.conflict_target.is_none() => {
            let message = "ON CONFLICT DO UPDATE requires inference specification or constraint name";
            Err(Error::new(SYNTAX_ERROR, message).with_hint("For example, ON CONFLICT (column_name)."))
        }
        OnConflictAction::DoUpdate(update) => Ok(Some((Action::Update(update), arbiters))),
    }
}

fn target(scope: &Scope<'_>, insert: &Insert) -> Result<Target> {
    let TableObject::TableName(name) = &insert.table else {
        return Err(Error::unsupported("INSERT into anything but a table"));
    };
    Target::named(scope, name, insert.table_alias.as_ref().map(|alias| &alias.alias), "insert into")
}

/// The new rows as RETURNING sees them.
fn inserted(target: &Target, batches: Vec<RecordBatch>) -> Result<RowSet> {
    rowset("changed", target, &target.alias, batches)
}

fn rowset(
    name: &str,
    target: &Target,
    alias: &datafusion::sql::sqlparser::ast::Ident,
    batches: Vec<RecordBatch>,
) -> Result<RowSet> {
    let fields = arrow_schema(&target.table.columns).fields().to_vec();
    RowSet::new(name, alias, fields, batches.iter().map(|batch| batch.columns().to_vec()).collect())
}

/// The columns RETURNING gives, and the types of parameters in ON CONFLICT and RETURNING.
pub(crate) async fn describe(
    run: &Run,
    insert: &Insert,
    table: &Arc<Table>,
    context: Arc<StatementContext>,
    types: &mut [Option<PgType>],
) -> Result<Option<SchemaRef>> {
    let scope = Scope { run, context, with: None, tables: StatementTables::new() };
    let target = target(&scope, insert)?;
    if let Some((Action::Update(update), _)) = action(insert, table, run.session.zone())? {
        let update = Update::plan(&scope, &target, update, Vec::new(), Vec::new())?;
        for (output, assigned) in update.assigned.iter().enumerate() {
            if let Expr::Value(value) = &assigned.value
                && let Value::Placeholder(name) = &value.value
                && let Some(index) = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()?.checked_sub(1))
                && let Some(slot @ None) = types.get_mut(index)
            {
                debug_assert!(output < update.assigned.len());
                *slot = Some(column_parameter(&table.columns[assigned.column]));
            }
        }
        infer(named_query_plan(&update.state, &update.query).await?, types)?;
    }
    match returning::items(&insert.returning) {
        None => Ok(None),
        Some(items) => {
            let sets = [inserted(&target, Vec::new())?];
            returning::describe(&scope, &items, &sets, types).await.map(Some)
        }
    }
}

/// Inserts rows that are all there.
pub(crate) async fn insert(
    run: &Run,
    insert: &Insert,
    table: &Arc<Table>,
    context: Arc<StatementContext>,
    new: NewBatches,
    mut write: WriteTxn,
    prepared: Option<&Prepared>,
) -> Result<Outcome> {
    let NewBatches { batches, mut firings } = new;
    let action = action(insert, table, run.session.zone())?;
    let with = insert.source.as_ref().and_then(|query| query.with.clone());
    let mut scope = Scope { run, context, with, tables: StatementTables::new() };
    loop {
        let (snapshot, catalog) = write.refresh()?;
        scope.context = run.session.set_context(snapshot, catalog);
        let savepoint = firings.as_ref().map(|firings| firings.savepoint(&mut write)).transpose()?.flatten();
        let batches = NewRows { batches: &batches, firings: firings.as_mut() };
        if let Some(outcome) = try_insert(&scope, insert, table, &action, batches, &mut write, prepared).await? {
            if let Some(firings) = &mut firings {
                firings.after(&mut write).await?;
            }
            write.finish().await?;
            return Ok(outcome);
        }
        forget_since(&mut write, savepoint.as_ref())?;
        run.active.check()?;
    }
}

/// Inserts them as of the scope's snapshot; `None` when a key was written meanwhile, which is locked now.
async fn try_insert(
    scope: &Scope<'_>,
    insert: &Insert,
    table: &Arc<Table>,
    action: &Option<(Action<'_>, Vec<UniqueKey>)>,
    new: NewRows<'_>,
    write: &mut WriteTxn,
    prepared: Option<&Prepared>,
) -> Result<Option<Outcome>> {
    let run = scope.run;
    let NewRows { batches, mut firings } = new;
    let mut parts = Parts::default();
    let snapshot = scope.context.storage.clone();
    let target = target(scope, insert)?;
    let (rows, places) = match action {
        None => (batches.to_vec(), Vec::new()),
        Some((action, arbiters)) => {
            let new = concat_batches(&arrow_schema(&table.columns), batches)?;
            let firings = firings.as_deref_mut();
            match resolve(scope, &target, arbiters.clone(), action, &snapshot, new, write, prepared, firings).await? {
                Some(Resolved { rows, places, parts: resolved }) => {
                    parts = resolved;
                    (rows, places)
                }
                None => return Ok(None),
            }
        }
    };
    let keys = ChangedKeys::of(table, run.session.zone(), |_| true);
    let intent = if action.is_none() { Intent::Insert } else { Intent::Upsert };
    let change = Change { table: Arc::clone(table), snapshot, places, rows, keys, intent, set: None };
    if !change.lock(run, write).await? {
        return Ok(None);
    }
    let changed = change.rows.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
    let returned = match returning::items(&insert.returning) {
        None => None,
        Some(mut items) => {
            returning::exprs_mut(&mut items).for_each(|expr| target.unqualify(expr));
            let sets = [inserted(&target, change.rows.clone())?];
            Some(returning::compute(scope, &items, &sets, "INSERT 0", prepared).await?)
        }
    };
    if let Some(firings) = firings {
        if let Some(fired) = &mut firings.insert {
            match &parts.inserted {
                Some(inserted) => fired.wrote_new(inserted)?,
                None => change.rows.iter().try_for_each(|batch| fired.wrote_new(batch))?,
            }
        }
        if let (Some(fired), Some((old, new))) = (&mut firings.update, parts.updated) {
            fired.wrote(ChangedRows::updated(old, new))?;
        }
    }
    change.write(write).await?;
    Ok(Some(returning::outcome(returned, "INSERT 0", changed)))
}

/// What becomes of each new row.
struct Fates {
    /// Rows to insert.
    free: Vec<u32>,
    /// Rows whose key is taken, and where.
    taken: Vec<(u32, u64)>,
    /// A row whose key an earlier new row has.
    repeated: bool,
}

fn fates(arbiters: &[UniqueKey], snapshot: &Snapshot, new: &RecordBatch) -> Result<Fates> {
    let mut fates = Fates { free: Vec::new(), taken: Vec::new(), repeated: false };
    let columns = arbiters.iter().map(|key| Arbiter::new(key, snapshot, new)).collect::<Result<Vec<_>>>()?;
    let mut seen: Vec<HashSet<OwnedRow>> = vec![HashSet::new(); arbiters.len()];
    for row in 0..new.num_rows() {
        let mut keys = columns.iter().map(|arbiter| arbiter.of_row(row));
        if let Some(place) = keys.clone().find_map(|key| key.and_then(|key| key.1)) {
            fates.taken.push((row as u32, place));
        } else if keys.clone().zip(&seen).any(|(key, seen)| key.is_some_and(|(key, _)| seen.contains(&key))) {
            fates.repeated = true;
        } else {
            for (key, seen) in keys.by_ref().zip(&mut seen) {
                seen.extend(key.map(|(key, _)| key));
            }
            fates.free.push(row as u32);
        }
    }
    Ok(fates)
}

/// New rows' keys in one arbiter.
struct Arbiter {
    keys: Rows,
    /// For each row the number of its key; `None` when a NULL is in it.
    numbers: Vec<Option<usize>>,
    /// Where the rows are that have the keys.
    places: Vec<Option<u64>>,
}

impl Arbiter {
    fn new(key: &UniqueKey, snapshot: &Snapshot, new: &RecordBatch) -> Result<Arbiter> {
        let columns = key.keys(new);
        let mut next = 0..;
        let is_whole = |row: usize| columns.iter().all(|column| column.is_valid(row));
        let numbers = (0..new.num_rows()).map(|row| is_whole(row).then(|| next.next()).flatten()).collect();
        let columns = UniqueKey::without_nulls(columns.clone())?;
        let keys = key.converter()?.convert_columns(&columns)?;
        Ok(Arbiter { keys, numbers, places: key.places(snapshot, &columns)? })
    }

    /// The key of a row, and where the row is that has it already.
    fn of_row(&self, row: usize) -> Option<(OwnedRow, Option<u64>)> {
        let number = self.numbers[row]?;
        Some((self.keys.row(number).owned(), self.places[number]))
    }
}

/// The rows to write and the places of those they replace. `None`: a row in the way was changed meanwhile, and is locked now.
#[expect(clippy::too_many_arguments, reason = "one call")]
async fn resolve(
    scope: &Scope<'_>,
    target: &Target,
    arbiters: Vec<UniqueKey>,
    action: &Action<'_>,
    snapshot: &Snapshot,
    new: RecordBatch,
    write: &mut WriteTxn,
    prepared: Option<&Prepared>,
    firings: Option<&mut Firings>,
) -> Result<Option<Resolved>> {
    let table = Arc::clone(&target.table);
    let (rows, at) = (new.clone(), snapshot.clone());
    let fates = blocking(move || fates(&arbiters, &at, &rows)).await??;
    let update = match action {
        Action::Nothing => {
            let taken = fates.taken.iter().map(|(_, place)| *place).collect();
            if !stay(scope.run, &table, snapshot, taken, write).await? {
                return Ok(None);
            }
            let rows = vec![take_record_batch(&new, &UInt32Array::from(fates.free))?];
            return Ok(Some(Resolved { rows, places: Vec::new(), parts: Parts::default() }));
        }
        Action::Update(update) => update,
    };
    if fates.repeated {
        return Err(twice());
    }
    let places: Vec<u64> = fates.taken.iter().map(|(_, place)| *place).collect();
    let at = snapshot.clone();
    let (of, wanted) = (table.storage_table(), UInt64Array::from(places));
    let projection: Vec<usize> = (0..table.columns.len()).collect();
    let old = blocking(move || at.rows_at(of, &wanted, &projection)).await??;
    let shape = Shape::new(&table, scope.run.session.zone());
    let set_fired = firings.as_ref().and_then(|firings| firings.update.as_ref());
    let set_shape = set_fired.map_or_else(|| shape.clone(), Fired::shape);
    let old = shape.old_batch(old.columns().to_vec(), old.num_rows())?;
    let excluded = take_record_batch(&new, &fates.taken.iter().map(|(row, _)| *row).collect::<UInt32Array>())?;
    let update = Update::plan(scope, target, update, vec![old.clone()], vec![excluded])?;
    let (mut kept, mut updated) = update.run(scope, &set_shape, &old, prepared).await?;
    let mut parts = Parts::default();
    if let Some(firings) = firings {
        if let Some(fired) = firings.update.as_mut().filter(|fired| fired.has_before_rows()) {
            let at = kept.iter().map(|number| fates.taken[*number].1).collect();
            match passed(scope, &table, snapshot, (at, &old), (kept, updated), write, fired).await? {
                Some(passed) => (kept, updated) = passed,
                None => return Ok(None),
            }
        }
        let numbers: UInt32Array = kept.iter().map(|number| Some(*number as u32)).collect();
        parts.updated = Some((take_record_batch(&old, &numbers)?, updated.clone()));
        parts.inserted = Some(take_record_batch(&new, &UInt32Array::from(fates.free.clone()))?);
    }
    let kept: HashMap<usize, usize> = kept.into_iter().enumerate().map(|(at, number)| (number, at)).collect();
    // In the order of the new rows: inserted ones are (0, row), updated ones (1, row).
    let mut order: Vec<(u32, (usize, usize))> = fates.free.iter().map(|row| (*row, (0, *row as usize))).collect();
    let mut changed: HashSet<u64> = HashSet::new();
    let mut places = Vec::new();
    for (number, (row, place)) in fates.taken.iter().enumerate() {
        if changed.contains(place) {
            return Err(twice());
        }
        if let Some(at) = kept.get(&number) {
            changed.insert(*place);
            places.push(*place);
            order.push((*row, (1, *at)));
        }
    }
    order.sort_unstable();
    let order: Vec<(usize, usize)> = order.into_iter().map(|(_, place)| place).collect();
    let columns: Vec<ArrayRef> = new
        .columns()
        .iter()
        .zip(updated.columns())
        .map(|(new, updated)| Ok(interleave(&[new.as_ref(), updated.as_ref()], &order)?))
        .collect::<Result<_>>()?;
    let rows = vec![shape.batch(columns, order.len())?];
    Ok(Some(Resolved { rows, places, parts }))
}

/// Rows to write, and the places of those they replace.
struct Resolved {
    rows: Vec<RecordBatch>,
    places: Vec<u64>,
    parts: Parts,
}

/// What triggers of UPDATE make two of.
#[derive(Default)]
struct Parts {
    inserted: Option<RecordBatch>,
    /// As they were, and as they will be.
    updated: Option<(RecordBatch, RecordBatch)>,
}

/// Locks rows to be updated and has them pass the BEFORE triggers. `None`: look again.
async fn passed(
    scope: &Scope<'_>,
    table: &Arc<Table>,
    snapshot: &Snapshot,
    (places, old): (Vec<u64>, &RecordBatch),
    (kept, updated): (Vec<usize>, RecordBatch),
    write: &mut WriteTxn,
    fired: &mut Fired,
) -> Result<Option<(Vec<usize>, RecordBatch)>> {
    if kept.is_empty() {
        return Ok(Some((kept, updated)));
    }
    let rows = FoundRows {
        snapshot: snapshot.clone(),
        table: table.storage_table(),
        places: UInt64Array::from(places),
        mode: KeyMode::Update,
        if_locked: IfLocked::Wait,
        most: usize::MAX,
    };
    if write.hold(&scope.run.patience(table), rows).await?.is_none() {
        return Ok(None);
    }
    let numbers: UInt32Array = kept.iter().map(|number| Some(*number as u32)).collect();
    let rows = ChangedRows::updated(take_record_batch(old, &numbers)?, updated);
    let Some(Passed { new: Some(new), kept: left }) = fired.before_changes(write, rows).await? else {
        return Ok(None);
    };
    let kept = match left {
        None => kept,
        Some(left) => left.values().iter().map(|row| kept[*row as usize]).collect(),
    };
    Ok(Some((kept, new)))
}

/// Waits for those who are changing rows that are in the way; false when one of these is not what it was.
async fn stay(
    run: &Run,
    table: &Arc<Table>,
    snapshot: &Snapshot,
    taken: Vec<u64>,
    write: &mut WriteTxn,
) -> Result<bool> {
    if taken.is_empty() {
        return Ok(true);
    }
    let rows = FoundRows {
        snapshot: snapshot.clone(),
        table: table.storage_table(),
        places: UInt64Array::from(taken),
        mode: KeyMode::Share,
        if_locked: IfLocked::Wait,
        most: usize::MAX,
    };
    Ok(write.hold(&run.patience(table), rows).await?.is_some())
}

fn twice() -> Error {
    Error::new(CARDINALITY_VIOLATION, "ON CONFLICT DO UPDATE command cannot affect row a second time").with_hint(
        "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.",
    )
}

/// DO UPDATE as a query: the numbers of the rows it changes and the columns it sets.
struct Update {
    state: SessionState,
    query: Query,
    assigned: Vec<Assigned>,
}

impl Update {
    fn plan(
        scope: &Scope<'_>,
        target: &Target,
        update: &DoUpdate,
        old: Vec<RecordBatch>,
        excluded: Vec<RecordBatch>,
    ) -> Result<Update> {
        let session = &scope.run.session;
        let sets = [
            rowset("old", target, &target.alias, old)?,
            rowset("excluded", target, &identifier("excluded"), excluded)?,
        ];
        let mut state = state_with(&session.base, &session.info, &scope.context, tables(&sets));
        semantics::begin_statement(&mut state, &session.info);
        let mut assigned = assignments::read(scope.run, &target.table, &update.assignments)?;
        assigned.iter_mut().for_each(|a| target.unqualify(&mut a.value));
        let mut selection = update.selection.clone();
        if let Some(condition) = &mut selection {
            target.unqualify(condition);
        }
        refuse_aggregates(&state, values(&assigned), "UPDATE")?;
        let mut items = vec![item(sets[0].number(), 0)];
        for a in &assigned {
            items.push(item(a.value.clone(), items.len()));
        }
        let query = select(scope.with.as_ref(), items, joined(&sets), selection)?;
        Ok(Update { state, query, assigned })
    }

    /// Numbers of the rows to change, and the rows as they will be.
    async fn run(
        &self,
        scope: &Scope<'_>,
        shape: &Shape,
        old: &RecordBatch,
        prepared: Option<&Prepared>,
    ) -> Result<(Vec<usize>, RecordBatch)> {
        let plan = named_query_plan(&self.state, &self.query).await?;
        let plan = bind(plan, scope.run, prepared)?;
        let sources = sources(&self.state, &plan)?;
        for (a, source) in self.assigned.iter().zip(&sources[1..]) {
            shape.check(a.column, source)?;
        }
        let held = read(scope.run, &self.state, &plan, |batch| Ok(Some(batch))).await?;
        let schema = held.batches.first().map_or(held.schema, |batch| batch.schema());
        let set = concat_batches(&schema, &held.batches)?;
        let numbers = set
            .column(0)
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| Error::new(INTERNAL_ERROR, "rows must be numbered by integers"))?;
        let numbers: Vec<usize> = numbers.values().iter().map(|number| *number as usize).collect();
        let kept = take_record_batch(old, &numbers.iter().map(|n| *n as u32).collect::<UInt32Array>())?;
        let mut columns = kept.columns().to_vec();
        for (output, a) in self.assigned.iter().enumerate() {
            columns[a.column] = shape.assign(a.column, &sources[output + 1], set.column(output + 1))?;
        }
        let rows = shape.batch(columns, numbers.len())?;
        Ok((numbers, rows))
    }
}
