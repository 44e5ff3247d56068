//! Running a point statement.

use super::binding::{Binding, BoundAction, Change, Values, integer_array, integer_of};
use super::skeleton::Literal;
use super::template::{Action, Template};
use crate::error::{Error, Result};
use crate::locking::Patience;
use crate::outcome::{Outcome, RowStream};
use crate::prepared::{Names, PreparedStatement};
use crate::present::client_batch;
use crate::provider::column_type;
use crate::session::Shared;
use crate::sqlstate::NUMERIC_VALUE_OUT_OF_RANGE;
use crate::transaction::WriteTxn;
use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use datafusion::common::ScalarValue;
use futures::StreamExt;
use lightning_catalog::Column;
use lightning_storage::{CompareOp, KeyMode, Predicate, Snapshot};
use std::sync::Arc;

/// A point statement with its literals.
#[derive(Clone, Debug)]
pub(crate) struct PointCall {
    pub(super) template: Arc<Template>,
    pub(super) literals: Vec<Literal>,
}

/// Runs a point statement, prepared or not; `None` when it has to go the long way, and nothing has happened.
pub(crate) async fn run(
    session: &Arc<Shared>,
    text: &str,
    call: &PointCall,
    prepared: Option<&PreparedStatement>,
    parameters: &[ScalarValue],
) -> Result<Option<Outcome>> {
    let values = Values { literals: &call.literals, parameters };
    match call.template.action {
        Action::Select(_) => select(session, &call.template, prepared, values),
        Action::Update(_) | Action::Delete => change(session, text, &call.template, values).await,
    }
}

fn select(
    session: &Arc<Shared>,
    template: &Template,
    prepared: Option<&PreparedStatement>,
    values: Values<'_>,
) -> Result<Option<Outcome>> {
    let (snapshot, catalog) = session.snapshots()?;
    let Some(binding) = template.bind(session, &catalog) else { return Ok(None) };
    // The client may have been told of other columns than these.
    if prepared.is_some_and(|prepared| !prepared.is_described_by(&Names::new(session, &catalog))) {
        return Ok(None);
    }
    let BoundAction::Select { projection, schema } = &binding.action else { return Ok(None) };
    let Some(key) = binding.key(values) else { return Ok(None) };
    let table = binding.table.storage_table();
    note_read(&snapshot, &binding, &key)?;
    let (row, _) = snapshot.find(table, &key, projection)?;
    let batches = if row.num_rows() > 0 { vec![client_batch(&row, schema)] } else { Vec::new() };
    let batches = futures::stream::iter(batches).boxed();
    Ok(Some(Outcome::Rows(RowStream { schema: Arc::clone(schema), batches, tag: "SELECT".to_owned() })))
}

/// In a serializable transaction: others that write this key matter to it.
fn note_read(snapshot: &Snapshot, binding: &Binding, key: &[ArrayRef]) -> Result<()> {
    if !snapshot.notes_reads() {
        return Ok(());
    }
    let columns = binding.key_columns().iter().zip(key);
    let equal = columns.map(|(&column, value)| Predicate::Compare { column, op: CompareOp::Eq, value: value.clone() });
    Ok(snapshot.note_read(binding.table.storage_table(), &equal.collect::<Vec<_>>())?)
}

async fn change(session: &Arc<Shared>, text: &str, template: &Template, values: Values<'_>) -> Result<Option<Outcome>> {
    if session.is_read_only() {
        return Ok(None);
    }
    let (info, settings) = (&session.info, &session.info.settings);
    let timeout = settings.statement_timeout();
    let active = session.instance.active().begin(info.process_id, &info.user, text, timeout);
    let mut write = session.write()?;
    loop {
        let (snapshot, catalog) = write.refresh()?;
        let bound = template.bind(session, &catalog).and_then(|binding| Some((binding.key(values)?, binding)));
        let Some((key, binding)) = bound else {
            write.finish().await?;
            return Ok(None);
        };
        // Whose keys of unique indexes change is for the long way.
        let is_unique = binding.table.indexes.iter().any(|index| index.is_unique);
        let takes_key = match binding.action {
            BoundAction::Update { sets_key, .. } => sets_key,
            BoundAction::Delete => is_unique,
            BoundAction::Select { .. } => false,
        };
        if takes_key {
            write.finish().await?;
            return Ok(None);
        }
        let patience = Patience::new(&active, settings.lock_timeout(), &binding.table);
        let work = attempt(&binding, &key, values, &snapshot, &patience, &mut write);
        let outcome = tokio::select! {
            biased;
            () = active.token().cancelled() => return Err(active.error()),
            outcome = work => outcome?,
        };
        match outcome {
            Attempt::Changed(rows) => {
                write.finish().await?;
                let verb = if matches!(binding.action, BoundAction::Delete) { "DELETE" } else { "UPDATE" };
                return Ok(Some(Outcome::Done { tag: format!("{verb} {rows}"), rows }));
            }
            Attempt::LongWay => {
                write.finish().await?;
                return Ok(None);
            }
            // Somebody was faster; the row is locked now.
            Attempt::Again => {}
        }
    }
}

enum Attempt {
    /// So many rows were changed.
    Changed(u64),
    Again,
    LongWay,
}

async fn attempt(
    binding: &Binding,
    key: &[ArrayRef],
    values: Values<'_>,
    snapshot: &Snapshot,
    patience: &Patience,
    write: &mut WriteTxn,
) -> Result<Attempt> {
    let table = binding.table.storage_table();
    note_read(snapshot, binding, key)?;
    let Some(place) = snapshot.locate(table, key)?.into_iter().next().flatten() else {
        return Ok(Attempt::Changed(0));
    };
    let mode = match binding.action {
        BoundAction::Delete => KeyMode::Update,
        _ => KeyMode::NoKeyUpdate,
    };
    write.lock(patience, |txn| txn.lock_keys(table, key, mode)).await?;
    let places = UInt64Array::from(vec![place]);
    let keeps_snapshot = write.level()?.keeps_snapshot();
    let txn = &mut write.txn()?.storage;
    if !txn.changed(snapshot, table, &places)?.is_empty() {
        return if keeps_snapshot { Err(txn.conflict(snapshot, table, place)?.into()) } else { Ok(Attempt::Again) };
    }
    let new = match &binding.action {
        BoundAction::Update { sets, .. } => {
            let all: Vec<usize> = (0..binding.columns.fields().len()).collect();
            let old = snapshot.rows_at(table, &places, &all)?;
            match new_row(binding, sets, &old, values)? {
                Some(row) => Some(row),
                None => return Ok(Attempt::LongWay),
            }
        }
        _ => None,
    };
    match (new, &binding.action) {
        (Some(row), BoundAction::Update { sets, .. }) => {
            let set: Vec<usize> = sets.iter().map(|(column, _)| *column).collect();
            txn.replace(snapshot, table, &places, row, &set)?;
        }
        _ => drop(txn.delete(snapshot, table, &places)?),
    }
    Ok(Attempt::Changed(1))
}

/// The row as it will be; `None` when a value takes a conversion.
fn new_row(
    binding: &Binding,
    sets: &[(usize, Change)],
    old: &RecordBatch,
    values: Values<'_>,
) -> Result<Option<RecordBatch>> {
    let mut columns = old.columns().to_vec();
    for (number, change) in sets {
        let column = &binding.table.columns[*number];
        let pg = column_type(column);
        let new = match change {
            Change::Set(operand) => values.value(*operand, pg),
            Change::Add { column: from, operand, is_minus } => match values.integer(*operand) {
                None => None,
                Some(operand) => sum(old.column(*from), operand, *is_minus, column)?,
            },
        };
        match new {
            Some(new) => columns[*number] = new,
            None => return Ok(None),
        }
    }
    Ok(Some(RecordBatch::try_new(Arc::clone(&binding.columns), columns)?))
}

/// A column plus or minus a number, in the column's type; `None` for NULL.
fn sum(old: &ArrayRef, operand: i64, is_minus: bool, column: &Column) -> Result<Option<ArrayRef>> {
    let pg = column_type(column);
    let Some(old_value) = integer_of(old) else { return Ok(None) };
    let sum = if is_minus { old_value.checked_sub(operand) } else { old_value.checked_add(operand) };
    let sum = sum.and_then(|sum| integer_array(sum, pg));
    sum.map(Some).ok_or_else(|| Error::new(NUMERIC_VALUE_OUT_OF_RANGE, format!("{} out of range", pg.base_name())))
}
