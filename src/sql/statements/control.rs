//! BEGIN, COMMIT, ROLLBACK, savepoints, CHECKPOINT.

use super::done;
use super::target::folded;
use crate::error::{Error, Result};
use crate::isolation::Level;
use crate::outcome::Outcome;
use crate::session::Run;
use crate::sqlstate::{ACTIVE_SQL_TRANSACTION, NO_ACTIVE_SQL_TRANSACTION, READ_ONLY_SQL_TRANSACTION, SYNTAX_ERROR};
use crate::transaction::blocking;
use datafusion::sql::sqlparser::ast::{Ident, TransactionAccessMode, TransactionIsolationLevel, TransactionMode};

/// What BEGIN and SET TRANSACTION can say; the last one written counts.
#[derive(Clone, Copy, Debug, Default)]
struct Modes {
    access: Option<TransactionAccessMode>,
    /// As the setting has it.
    isolation: Option<&'static str>,
}

fn read_modes(modes: &[TransactionMode]) -> Result<Modes> {
    let mut read = Modes::default();
    for mode in modes {
        match mode {
            TransactionMode::AccessMode(mode) => read.access = Some(*mode),
            TransactionMode::IsolationLevel(level) => {
                read.isolation = Some(match level {
                    TransactionIsolationLevel::ReadUncommitted => "read uncommitted",
                    TransactionIsolationLevel::ReadCommitted => "read committed",
                    TransactionIsolationLevel::RepeatableRead => "repeatable read",
                    TransactionIsolationLevel::Serializable => "serializable",
                    TransactionIsolationLevel::Snapshot => {
                        return Err(Error::new(SYNTAX_ERROR, "syntax error at or near \"SNAPSHOT\""));
                    }
                });
            }
        }
    }
    Ok(read)
}

/// The isolation level, kept as a setting that ends with the transaction.
pub(super) const ISOLATION: &str = "transaction_isolation";
/// The same for transactions that do not say.
const DEFAULT_ISOLATION: &str = "default_transaction_isolation";

/// Refuses another level once a statement has run in the transaction.
pub(super) fn check_unused(run: &Run, isolation: &str) -> Result<()> {
    let is_same = run.session.info.settings.get(ISOLATION).is_some_and(|level| level == isolation);
    match is_same {
        true => Ok(()),
        false => check_first(
            run,
            "SET TRANSACTION ISOLATION LEVEL must be called before any query",
            "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction",
        ),
    }
}

/// Refuses what must be said before any query and outside savepoints.
fn check_first(run: &Run, is_late: &str, is_inside: &str) -> Result<()> {
    let transactions = &run.session.transactions;
    match (transactions.is_used(), transactions.has_savepoint()) {
        (true, _) => Err(Error::new(ACTIVE_SQL_TRANSACTION, is_late)),
        (false, true) => Err(Error::new(ACTIVE_SQL_TRANSACTION, is_inside)),
        (false, false) => Ok(()),
    }
}

/// DEFERRABLE changes nothing: no serializable transaction here is refused for reading.
fn set_deferrable(run: &Run) -> Result<()> {
    let Some(is_deferrable) = run.parsed.deferrable else { return Ok(()) };
    check_first(
        run,
        "SET TRANSACTION [NOT] DEFERRABLE must be called before any query",
        "SET TRANSACTION [NOT] DEFERRABLE cannot be called within a subtransaction",
    )?;
    run.session.info.settings.set("transaction_deferrable", if is_deferrable { "on" } else { "off" }, true)
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
    let Modes { access, isolation } = read_modes(modes)?;
    let settings = &run.session.info.settings;
    if session {
        access.map_or(Ok(()), |access| settings.set(DEFAULT_READ_ONLY, on_off(access), false))?;
        return isolation.map_or(Ok(()), |level| settings.set(DEFAULT_ISOLATION, level, false));
    }
    if !run.session.transactions.in_block() {
        run.session.warn(NO_ACTIVE_SQL_TRANSACTION, "SET TRANSACTION can only be used in transaction blocks");
        return Ok(());
    }
    set_deferrable(run)?;
    if let Some(level) = isolation {
        check_unused(run, level)?;
        settings.set(ISOLATION, level, true)?;
    }
    if matches!(access, Some(TransactionAccessMode::ReadWrite))
        && is_on(run, READ_ONLY)
        && run.session.transactions.is_used()
    {
        let message = "transaction read-write mode must be set before any query";
        return Err(Error::new(ACTIVE_SQL_TRANSACTION, message));
    }
    access.map_or(Ok(()), |access| settings.set(READ_ONLY, on_off(access), true))
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

fn begin_settings(run: &Run, modes: Modes) -> Result<()> {
    let settings = &run.session.info.settings;
    settings.begin_transaction();
    let default = settings.get(DEFAULT_ISOLATION).unwrap_or_default();
    settings.set(ISOLATION, modes.isolation.unwrap_or(&default), true)?;
    let default = is_on(run, DEFAULT_READ_ONLY).then_some(TransactionAccessMode::ReadOnly);
    match modes.access.or(default) {
        Some(access) => settings.set(READ_ONLY, on_off(access), true),
        None => Ok(()),
    }
}

/// BEGIN, START TRANSACTION.
pub(super) fn begin(run: &Run, modes: &[TransactionMode], is_begin: bool) -> Result<Outcome> {
    let modes = read_modes(modes)?;
    let session = &run.session;
    let in_block = session.transactions.in_block();
    if !session.transactions.begin_explicit() {
        session.warn(ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress");
    } else if !in_block {
        begin_settings(run, modes)?;
    } else {
        if let Some(level) = modes.isolation {
            check_unused(run, level)?;
            session.info.settings.set(ISOLATION, level, true)?;
        }
        if let Some(access) = modes.access {
            session.info.settings.set(READ_ONLY, on_off(access), true)?;
        }
    }
    if !session.transactions.is_used() {
        set_deferrable(run)?;
    }
    Ok(done(if is_begin { "BEGIN" } else { "START TRANSACTION" }))
}

/// The transaction's modes; a chained one has the same.
fn modes_of(run: &Run) -> Modes {
    let access = if is_on(run, READ_ONLY) { TransactionAccessMode::ReadOnly } else { TransactionAccessMode::ReadWrite };
    let isolation = match run.session.level() {
        Level::ReadCommitted => "read committed",
        Level::RepeatableRead => "repeatable read",
        Level::Serializable => "serializable",
    };
    Modes { access: Some(access), isolation: Some(isolation) }
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
    let modes = modes_of(run);
    let result = session.transactions.commit(&session.instance).await;
    session.info.settings.end_transaction(matches!(result, Ok(true)));
    let committed = result?;
    if chain {
        session.transactions.begin_explicit();
        begin_settings(run, modes)?;
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
    let modes = modes_of(run);
    session.transactions.rollback().await;
    session.info.settings.end_transaction(false);
    if chain {
        session.transactions.begin_explicit();
        begin_settings(run, modes)?;
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
    session.transactions.savepoint(&session.instance, session.level(), &folded(name), session.info.settings.save())?;
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
