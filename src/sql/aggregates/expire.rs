//! What aggregates are told when rows of their source expire.

use crate::error::{Error, Result};
use crate::session::{Run, Session};
use crate::sqlstate::INTERNAL_ERROR;
use lightning_catalog::{Edit, Materialized, Oid};
use std::sync::Arc;

/// In the open transaction of a session, which is about to run `text` to delete the rows of `table` before `time`: aggregates keep what they have of
/// these rows, and do not compute buckets anew that begin before that time.
pub(crate) async fn expire(session: &Session, text: &str, table: Oid, time: i64) -> Result<()> {
    let shared = &session.shared;
    let statement = session.parse(text)?.pop().ok_or_else(|| Error::new(INTERNAL_ERROR, "no statement"))?;
    let active = shared.instance.active().begin(shared.info.process_id, &shared.info.user, text, None);
    let run = Run { session: Arc::clone(shared), parsed: statement.parsed()?, active, parameters: Vec::new() };
    let mut write = run.session.write()?;
    let (_, catalog) = write.refresh()?;
    let is_over = |kept: &Materialized| kept.source == table && kept.expired_before.is_none_or(|known| known < time);
    if catalog.materialized_views().any(|view| view.materialized.as_ref().is_some_and(is_over)) {
        let catalog = write.lock_ddl(&run).await?;
        let mut edit = Edit::new(&catalog);
        for view in catalog.materialized_views() {
            if let Some(kept) = view.materialized.clone().filter(is_over) {
                edit.set_materialized(view.oid, Materialized { expired_before: Some(time), ..kept })?;
            }
        }
        write.apply(edit)?;
    }
    write.txn()?.storage.expire();
    write.finish().await
}
