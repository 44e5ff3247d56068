//! What aggregates are told when rows of their source expire.

use crate::error::{Error, Result};
use crate::session::{Run, Session};
use crate::sqlstate::{INTERNAL_ERROR, SERIALIZATION_FAILURE};
use lightning_catalog::{Edit, Materialized, Relation, Table};
use lightning_storage::{IfLocked, TableMode};
use std::sync::Arc;

/// In the open transaction of a session: what is deleted from now on was merely too old, and aggregates keep what they have of it.
pub(crate) async fn begin(session: &Session) -> Result<()> {
    let mut write = session.shared.write()?;
    write.txn()?.storage.expire();
    write.finish().await
}

/// In that transaction, when `delete` has deleted the rows of `table` before `time`: aggregates do not compute buckets anew that begin before
/// that time. 40001 when the table is not told any more to keep its rows as long as `table` says.
///
/// The lock on the catalog comes last, so that others do not wait for it while rows are deleted. Who has it may be waiting for this
/// transaction, as DDL of the table does: so nobody is waited for here (55P03).
pub(crate) async fn finish(session: &Session, delete: &str, table: &Table, time: i64) -> Result<()> {
    let shared = &session.shared;
    let statement = session.parse(delete)?.pop().ok_or_else(|| Error::new(INTERNAL_ERROR, "no statement"))?;
    let active = shared.instance.active().begin(shared.info.process_id, &shared.info.user, delete, None);
    let run = Run { session: Arc::clone(shared), parsed: statement.parsed()?, active, parameters: Vec::new() };
    let mut write = run.session.write()?;
    // From here on nobody says anything else of the table before this transaction ends.
    let (id, mode) = (table.storage_table(), TableMode::ShareUpdateExclusive);
    write.lock(&run.patience(table), |txn| Ok(txn.lock_table(id, mode).if_table_locked(IfLocked::Fail))).await?;
    let (_, catalog) = write.refresh()?;
    let is_same = |now: &Table| now.time == table.time && now.storage_table() == id;
    if !matches!(catalog.relation_by_oid(table.oid), Some(Relation::Table(now)) if is_same(now)) {
        let message = format!("could not delete rows of table \"{}\" because its definition has changed", table.name);
        return Err(Error::new(SERIALIZATION_FAILURE, message));
    }
    let is_over =
        |kept: &Materialized| kept.source == table.oid && kept.expired_before.is_none_or(|known| known < time);
    if catalog.materialized_views().any(|view| view.materialized.as_ref().is_some_and(is_over)) {
        let catalog = write.try_lock_ddl(&run).await?;
        let mut edit = Edit::new(&catalog);
        for view in catalog.materialized_views() {
            if let Some(kept) = view.materialized.clone().filter(is_over) {
                edit.set_materialized(view.oid, Materialized { expired_before: Some(time), ..kept })?;
            }
        }
        write.apply(edit)?;
    }
    write.finish().await
}
