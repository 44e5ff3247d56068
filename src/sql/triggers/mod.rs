//! Triggers: what changes of tables call.
//!
//! The journey of an INSERT, UPDATE, DELETE or MERGE on a table with triggers:
//!
//! 1. The statement asks for the triggers that fire for what it does ([`Fired::of`], [`Firings`]). A table without any takes none of these
//!    steps.
//! 2. [`Fired::statement`] fires BEFORE STATEMENT, before an UPDATE or DELETE looks for its rows.
//! 3. Rows on their way pass the BEFORE ROW triggers, batch by batch and one trigger after the other, by name ([`Fired::before_rows_apart`],
//!    [`Fired::before_inserts`], [`Fired::before_changes`]): WHEN chooses among them, the function changes them or leaves some out.
//!    Only then NOT NULL and keys are checked. Rows that an UPDATE or DELETE found are locked before.
//! 4. The rows are written. Where AFTER triggers ask for rows, these are kept by reference ([`Fired::wrote`]).
//! 5. AFTER ROW, then AFTER STATEMENT triggers fire, in the transaction that has the rows.
//!
//! Functions are in SQL (`sql`) or in another language ([`crate::language`]). The statements that come of them run inside the statement
//! that fired the trigger (`nested`): it lends its transaction to the session's block for that time ([`WriteTxn::lend`]). What
//! fails fails the statement, and nothing of it stays.
//!
//! READ COMMITTED lets an UPDATE look again when somebody was faster. BEFORE ROW triggers fire when the rows are locked, so that this seldom
//! happens behind them; when it does, what their functions wrote is forgotten and they fire again. While they run, the transaction keeps
//! the snapshot that the rows were found in, and a statement of theirs that would look again makes the outer statement do so.
//!
//! Where this is not PostgreSQL: a trigger sees batches, so that with several triggers one is through with a batch before the next begins;
//! and an UPDATE, DELETE or MERGE sees what its BEFORE STATEMENT triggers wrote.
//!
//! [`WriteTxn::lend`]: crate::transaction::WriteTxn::lend

mod counters;
mod rows;
mod nested;
mod sql;
mod body;
mod fired;
mod firings;
mod sink;

pub(crate) use counters::TriggerCounters;
pub(crate) use fired::{Fired, Passed, event_name, level_name, timing_name};
pub(crate) use firings::{Events, Firings, forget_since};
pub(crate) use rows::ChangedRows;
pub(crate) use sink::TriggeredSink;

use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::session::Run;
use crate::sqlstate::DATATYPE_MISMATCH;
use crate::types;
use datafusion::sql::sqlparser::ast::Expr;
use lightning_catalog::{Table, TriggerLevel};
use rows::{Evaluation, loose_schema, row_sets};
use std::sync::Arc;

/// What errors call the place of a condition.
const WHEN: &str = "trigger WHEN conditions";

/// Plans a WHEN condition of a trigger to be.
pub(crate) async fn check_condition(
    run: &Run,
    context: &Arc<StatementContext>,
    table: &Arc<Table>,
    level: TriggerLevel,
    condition: &Expr,
) -> Result<()> {
    let schema = loose_schema(table);
    let none = arrow::array::RecordBatch::new_empty(Arc::clone(&schema));
    let rows = ChangedRows::updated(none.clone(), none);
    let sets = match level {
        TriggerLevel::Row => Some(row_sets(&schema, &rows, 0)?),
        TriggerLevel::Statement => None,
    };
    let evaluation = Evaluation { run, context, clause: WHEN };
    let sources = evaluation.sources(sets.as_ref(), vec![condition.clone()]).await?;
    match sources.first() {
        Some(source) if source.pg.oid != types::BOOL.oid && source.pg != types::UNKNOWN => {
            let message = format!("argument of WHEN must be type boolean, not type {}", source.pg.base_name());
            Err(Error::new(DATATYPE_MISMATCH, message))
        }
        _ => Ok(()),
    }
}
