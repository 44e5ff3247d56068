//! BEGIN, COMMIT, ROLLBACK, CHECKPOINT.

use super::done;
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::session::Run;
use crate::sqlstate::{ACTIVE_SQL_TRANSACTION, NO_ACTIVE_SQL_TRANSACTION};
use crate::transaction::blocking;
use datafusion::sql::sqlparser::ast::{Ident, TransactionAccessMode, TransactionIsolationLevel, TransactionMode};

/// Refuses modes that would have to mean something.
pub(super) fn check_modes(modes: &[TransactionMode]) -> Result<()> {
    for mode in modes {
        match mode {
            TransactionMode::AccessMode(TransactionAccessMode::ReadWrite) => {}
            TransactionMode::AccessMode(TransactionAccessMode::ReadOnly) => {
                return Err(Error::unsupported("a READ ONLY transaction"));
            }
            TransactionMode::IsolationLevel(
                TransactionIsolationLevel::ReadCommitted | TransactionIsolationLevel::ReadUncommitted,
            ) => {}
            TransactionMode::IsolationLevel(level) => {
                return Err(Error::unsupported(format!("transaction isolation level {level}")));
            }
        }
    }
    Ok(())
}

/// BEGIN, START TRANSACTION.
pub(super) fn begin(run: &Run, modes: &[TransactionMode]) -> Result<Outcome> {
    check_modes(modes)?;
    let session = &run.session;
    let in_block = session.transactions.in_block();
    if !session.transactions.begin_explicit() {
        session.warn(ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress");
    } else if !in_block {
        session.info.settings.begin_transaction();
    }
    Ok(done("BEGIN"))
}

/// COMMIT, END. A failed block is rolled back, as the tag says.
pub(super) async fn commit(run: &Run, chain: bool) -> Result<Outcome> {
    let session = &run.session;
    if !session.transactions.in_block() || session.transactions.is_implicit() {
        if chain {
            return Err(Error::new(
                NO_ACTIVE_SQL_TRANSACTION,
                "COMMIT AND CHAIN can only be used in transaction blocks",
            ));
        }
        session.warn(NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress");
    }
    let result = session.transactions.commit(&session.instance).await;
    session.info.settings.end_transaction(matches!(result, Ok(true)));
    let committed = result?;
    if chain {
        session.transactions.begin_explicit();
        session.info.settings.begin_transaction();
    }
    Ok(done(if committed { "COMMIT" } else { "ROLLBACK" }))
}

/// ROLLBACK, ABORT.
pub(super) async fn rollback(run: &Run, chain: bool, savepoint: Option<&Ident>) -> Result<Outcome> {
    if savepoint.is_some() {
        return Err(Error::unsupported("ROLLBACK TO SAVEPOINT"));
    }
    let session = &run.session;
    if !session.transactions.in_block() || session.transactions.is_implicit() {
        if chain {
            return Err(Error::new(
                NO_ACTIVE_SQL_TRANSACTION,
                "ROLLBACK AND CHAIN can only be used in transaction blocks",
            ));
        }
        session.warn(NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress");
    }
    session.transactions.rollback().await;
    session.info.settings.end_transaction(false);
    if chain {
        session.transactions.begin_explicit();
        session.info.settings.begin_transaction();
    }
    Ok(done("ROLLBACK"))
}

/// CHECKPOINT: returns when everything committed before is in segments.
pub(super) async fn checkpoint(run: &Run) -> Result<Outcome> {
    let engine = std::sync::Arc::clone(run.session.instance.engine());
    blocking(move || engine.checkpoint()).await??;
    Ok(done("CHECKPOINT"))
}
