//! The triggers of a statement that may insert, update and delete rows of one table.

use super::fired::Fired;
use crate::context::StatementContext;
use crate::error::Result;
use crate::session::Run;
use crate::transaction::WriteTxn;
use lightning_catalog::{Table, TriggerEvent, TriggerTiming};
use lightning_storage::Savepoint;
use std::sync::Arc;

/// What a statement does to a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    pub(crate) inserts: bool,
    /// The columns that it sets.
    pub(crate) updates: Option<Vec<usize>>,
    pub(crate) deletes: bool,
}

/// Triggers by event.
#[derive(Debug)]
pub(crate) struct Firings {
    pub(crate) insert: Option<Fired>,
    pub(crate) update: Option<Fired>,
    pub(crate) delete: Option<Fired>,
}

impl Firings {
    /// The triggers of a table for some events; `None` when there are none.
    pub(crate) fn of(
        run: &Run,
        context: &StatementContext,
        table: &Arc<Table>,
        events: &Events,
    ) -> Result<Option<Firings>> {
        if table.triggers.is_empty() {
            return Ok(None);
        }
        let set = events.updates.as_deref().unwrap_or_default();
        let fired = |does: bool, event| match does {
            true => Fired::of(run, context, table, event, set),
            false => Ok(None),
        };
        let insert = fired(events.inserts, TriggerEvent::Insert)?;
        let update = fired(events.updates.is_some(), TriggerEvent::Update)?;
        let delete = fired(events.deletes, TriggerEvent::Delete)?;
        let is_any = insert.is_some() || update.is_some() || delete.is_some();
        Ok(is_any.then_some(Firings { insert, update, delete }))
    }

    /// Fires BEFORE STATEMENT.
    pub(crate) async fn before_statement(&mut self, write: &mut WriteTxn) -> Result<()> {
        for fired in [&mut self.insert, &mut self.update, &mut self.delete].into_iter().flatten() {
            fired.statement(TriggerTiming::Before, write).await?;
        }
        Ok(())
    }

    /// Fires AFTER ROW and AFTER STATEMENT.
    pub(crate) async fn after(&mut self, write: &mut WriteTxn) -> Result<()> {
        let mut all: Vec<&mut Fired> =
            [&mut self.delete, &mut self.update, &mut self.insert].into_iter().flatten().collect();
        for fired in &mut all {
            fired.after_rows(write).await?;
        }
        for fired in &mut all {
            fired.statement(TriggerTiming::After, write).await?;
        }
        Ok(())
    }

    /// Whether any rows pass triggers before.
    pub(crate) fn passes(&self) -> bool {
        self.has_before_changes() || self.insert.as_ref().is_some_and(Fired::has_before_rows)
    }

    /// Whether rows that are changed or deleted pass triggers before.
    pub(crate) fn has_before_changes(&self) -> bool {
        [&self.update, &self.delete].into_iter().flatten().any(Fired::has_before_rows)
    }

    /// Whether rows that are deleted are asked for.
    pub(crate) fn needs_deleted(&self) -> bool {
        self.delete.as_ref().is_some_and(Fired::needs_old)
    }

    /// What to go back to when the statement has to look again.
    pub(crate) fn savepoint(&self, write: &mut WriteTxn) -> Result<Option<Savepoint>> {
        if self.passes() { Ok(Some(write.txn()?.storage.savepoint())) } else { Ok(None) }
    }
}

/// Forgets what was written since, to look again.
pub(crate) fn forget_since(write: &mut WriteTxn, savepoint: Option<&Savepoint>) -> Result<()> {
    savepoint.map_or(Ok(()), |savepoint| Ok(write.txn()?.storage.forget_since(savepoint)?))
}
