//! BEGIN, COMMIT, ROLLBACK, savepoints, CHECKPOINT.

use super::done;
use super::target::folded;
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::session::Run;
use crate::sqlstate::{ACTIVE_SQL_TRANSACTION, NO_ACTIVE_SQL_TRANSACTION, READ_ONLY_SQL_TRANSACTION};
use crate::transaction::blocking;
use datafusion::sql::sqlparser::ast::{Ident, TransactionAccessMode, TransactionIsolationLevel, TransactionMode};

/// Refuses modes that would have to mean something; whether READ ONLY or READ WRITE was written, the last one counting.
fn check_modes(modes: &[TransactionMode]) -> Result<Option<TransactionAccessMode>> {
    let mut access = None;
    for mode in modes {
        match mode {
            TransactionMode::AccessMode(mode) => access = Some(*mode),
            TransactionMode::IsolationLevel(
                TransactionIsolationLevel::ReadCommitted | TransactionIsolationLevel::ReadUncommitted,
            ) => {}
            TransactionMode::IsolationLevel(level) => {
                return Err(Error::unsupported(format!("transaction isolation level {level}")));
            }
        }
    }
    Ok(access)
}

/// Whether the transaction may write, kept as a setting that ends with it.
const READ_ONLY: &str = "transaction_read_only";
/// The same for transactions that do not say.
const DEFAULT_READ_ONLY: &str = "default_transaction_read_only";

fn on_off(access: TransactionAccessMode) -> &'static str {
    match access {
        TransactionAccessMode::ReadOnly => "on",
        TransactionAccessMode::ReadWrite => "off",
    }
}

fn is_on(run: &Run, setting: &str) -> bool {
    run.session.info.settings.get(setting).is_some_and(|value| value == "on")
}

/// SET TRANSACTION, SET SESSION CHARACTERISTICS.
pub(super) fn set_transaction(run: &Run, modes: &[TransactionMode], session: bool) -> Result<()> {
    let Some(access) = check_modes(modes)? else { return Ok(()) };
    let settings = &run.session.info.settings;
    if session {
        return settings.set(DEFAULT_READ_ONLY, on_off(access), false);
    }
    if !run.session.transactions.in_block() {
        run.session.warn(NO_ACTIVE_SQL_TRANSACTION, "SET TRANSACTION can only be used in transaction blocks");
        return Ok(());
    }
    settings.set(READ_ONLY, on_off(access), true)
}

/// Refuses statements that write in a transaction that may not: 25006.
pub(super) fn check_read_only(run: &Run) -> Result<()> {
    let transactions = &run.session.transactions;
    let explicit = transactions.in_block() && !transactions.is_implicit();
    let read_only =
        if explicit { is_on(run, READ_ONLY) } else { is_on(run, READ_ONLY) || is_on(run, DEFAULT_READ_ONLY) };
    match super::writes(&run.parsed.kind) {
        Some(what) if read_only => {
            Err(Error::new(READ_ONLY_SQL_TRANSACTION, format!("cannot execute {what} in a read-only transaction")))
        }
        _ => Ok(()),
    }
}

fn begin_settings(run: &Run, access: Option<TransactionAccessMode>) -> Result<()> {
    let settings = &run.session.info.settings;
    settings.begin_transaction();
    let default = is_on(run, DEFAULT_READ_ONLY).then_some(TransactionAccessMode::ReadOnly);
    match access.or(default) {
        Some(access) => settings.set(READ_ONLY, on_off(access), true),
        None => Ok(()),
    }
}

/// BEGIN, START TRANSACTION.
pub(super) fn begin(run: &Run, modes: &[TransactionMode]) -> Result<Outcome> {
    let access = check_modes(modes)?;
    let session = &run.session;
    let in_block = session.transactions.in_block();
    if !session.transactions.begin_explicit() {
        session.warn(ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress");
    } else if !in_block {
        begin_settings(run, access)?;
    } else if let Some(access) = access {
        session.info.settings.set(READ_ONLY, on_off(access), true)?;
    }
    Ok(done("BEGIN"))
}

/// How the transaction accesses data; a chained one does the same.
fn access_of(run: &Run) -> TransactionAccessMode {
    if is_on(run, READ_ONLY) { TransactionAccessMode::ReadOnly } else { TransactionAccessMode::ReadWrite }
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
    let access = access_of(run);
    let result = session.transactions.commit(&session.instance).await;
    session.info.settings.end_transaction(matches!(result, Ok(true)));
    let committed = result?;
    if chain {
        session.transactions.begin_explicit();
        begin_settings(run, Some(access))?;
    }
    Ok(done(if committed { "COMMIT" } else { "ROLLBACK" }))
}

/// ROLLBACK, ABORT.
pub(super) async fn rollback(run: &Run, chain: bool, savepoint: Option<&Ident>) -> Result<Outcome> {
    if let Some(name) = savepoint {
        return rollback_to(run, name).await;
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
    let access = access_of(run);
    session.transactions.rollback().await;
    session.info.settings.end_transaction(false);
    if chain {
        session.transactions.begin_explicit();
        begin_settings(run, Some(access))?;
    }
    Ok(done("ROLLBACK"))
}

/// Savepoints belong to blocks that somebody began.
fn check_block(run: &Run, what: &str) -> Result<()> {
    let transactions = &run.session.transactions;
    if transactions.in_block() && !transactions.is_implicit() {
        return Ok(());
    }
    Err(Error::new(NO_ACTIVE_SQL_TRANSACTION, format!("{what} can only be used in transaction blocks")))
}

/// SAVEPOINT.
pub(super) fn savepoint(run: &Run, name: &Ident) -> Result<Outcome> {
    check_block(run, "SAVEPOINT")?;
    let session = &run.session;
    session.transactions.savepoint(&session.instance, &folded(name), session.info.settings.save())?;
    Ok(done("SAVEPOINT"))
}

/// RELEASE SAVEPOINT.
pub(super) fn release(run: &Run, name: &Ident) -> Result<Outcome> {
    check_block(run, "RELEASE SAVEPOINT")?;
    run.session.transactions.release(&folded(name))?;
    Ok(done("RELEASE"))
}

/// ROLLBACK TO SAVEPOINT: also takes a failed block back to work.
async fn rollback_to(run: &Run, name: &Ident) -> Result<Outcome> {
    check_block(run, "ROLLBACK TO SAVEPOINT")?;
    let saved = run.session.transactions.rollback_to(&folded(name)).await?;
    run.session.info.settings.restore(&saved);
    Ok(done("ROLLBACK"))
}

/// CHECKPOINT: returns when everything committed before is in segments.
pub(super) async fn checkpoint(run: &Run) -> Result<Outcome> {
    let engine = std::sync::Arc::clone(run.session.instance.engine());
    blocking(move || engine.checkpoint()).await??;
    Ok(done("CHECKPOINT"))
}
