//! Waiting for locks: as long as the session's settings allow, and not beyond the end of the statement.

use crate::active::Active;
use crate::error::{Error, Result};
use crate::session::Run;
use crate::sqlstate::{DEADLOCK_DETECTED, LOCK_NOT_AVAILABLE};
use crate::transaction::WriteTxn;
use arrow::array::UInt64Array;
use lightning_catalog::{CATALOG_TABLE, Table};
use lightning_storage::{
    Error as StorageError, IfLocked, KeyMode, Locking, Snapshot, TableId, Transaction, Waiting, Waker,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How long a statement waits for each lock, and for whose locks.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    active: Arc<Active>,
    timeout: Option<Duration>,
    /// The table the statement writes to, and its name.
    table: TableId,
    name: String,
}

/// Rows that a statement found, to be locked.
#[derive(Debug)]
pub(crate) struct FoundRows {
    pub(crate) snapshot: Snapshot,
    pub(crate) table: TableId,
    pub(crate) places: UInt64Array,
    pub(crate) mode: KeyMode,
    pub(crate) if_locked: IfLocked,
    /// With SKIP LOCKED: how many are wanted.
    pub(crate) most: usize,
}

/// Rows that are held, and as they were found.
#[derive(Debug)]
pub(crate) struct HeldRows {
    /// How many of the rows were asked for.
    pub(crate) tried: usize,
    /// Numbers of those that somebody else has.
    pub(crate) skipped: Vec<u32>,
}

impl WriteTxn {
    /// Waits for locks on rows. `None`: somebody who was waited for has changed one, and the statement has to look again; where its level
    /// keeps the snapshot that is 40001.
    pub(crate) async fn hold(&mut self, patience: &Patience, rows: FoundRows) -> Result<Option<HeldRows>> {
        let FoundRows { snapshot, table, mut places, mode, if_locked, most } = rows;
        let (at, of) = (snapshot.clone(), places.clone());
        let plan = move |txn: &mut Transaction| {
            let locking = txn.lock_rows(&at, table, &of, mode, if_locked)?;
            Ok(if if_locked == IfLocked::Skip { locking.at_most(most) } else { locking })
        };
        let mut locking = self.blocking(plan).await?;
        patience.wait(&mut locking).await?;
        let tried = locking.untried().map_or(places.len(), |row| row as usize);
        places = places.slice(0, tried);
        let held = HeldRows { tried, skipped: locking.skipped() };
        let look = move |txn: &mut Transaction| {
            let changed = txn.changed(&snapshot, table, &places)?;
            let first = changed.into_iter().find(|row| held.skipped.binary_search(row).is_err());
            let conflict = first.map(|row| txn.conflict(&snapshot, table, places.value(row as usize))).transpose()?;
            Ok((held, conflict))
        };
        match self.blocking(look).await? {
            (held, None) => Ok(Some(held)),
            (_, Some(conflict)) if self.level()?.keeps_snapshot() => Err(conflict.into()),
            (_, Some(_)) => Ok(None),
        }
    }
}

impl Run {
    /// How this statement waits for locks of what storage keeps of a relation.
    pub(crate) fn patience_for(&self, name: &str, table: TableId) -> Patience {
        Patience {
            active: Arc::clone(&self.active),
            timeout: self.session.info.settings.lock_timeout(),
            table,
            name: name.to_owned(),
        }
    }

    /// How this statement waits for locks of a table.
    pub(crate) fn patience(&self, table: &Table) -> Patience {
        Patience::new(&self.active, self.session.info.settings.lock_timeout(), table)
    }

    /// How it waits for another that changes definitions.
    pub(crate) fn patience_for_catalog(&self) -> Patience {
        let timeout = self.session.info.settings.lock_timeout();
        Patience { active: Arc::clone(&self.active), timeout, table: CATALOG_TABLE, name: "pg_class".to_owned() }
    }
}

impl Patience {
    /// How a statement that `active` is waits for locks of a table, each at most for `timeout`.
    pub(crate) fn new(active: &Arc<Active>, timeout: Option<Duration>, table: &Table) -> Patience {
        let (active, name) = (Arc::clone(active), table.name.clone());
        Patience { active, timeout, table: table.storage_table(), name }
    }

    /// The table the statement writes to.
    pub(crate) fn table(&self) -> TableId {
        self.table
    }

    /// Waits until all locks are held.
    pub(crate) async fn wait(&self, locking: &mut Locking) -> Result<()> {
        let told = Arc::new(Notify::new());
        let mut wake = || {
            let told = Arc::clone(&told);
            Box::new(move || told.notify_one()) as Waker
        };
        loop {
            if locking.advance(&mut wake).map_err(|e| self.error(e))? {
                return Ok(());
            }
            let timed_out = async {
                match self.timeout {
                    Some(timeout) => tokio::time::sleep(timeout).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.active.token().cancelled() => return Err(self.active.error()),
                () = told.notified() => {}
                () = timed_out => locking.time_out().map_err(|e| self.error(e))?,
            }
        }
    }

    /// A failure to get a lock, in PostgreSQL's words.
    fn error(&self, error: StorageError) -> Error {
        match error {
            StorageError::Locked { is_row, .. } => {
                let row = if is_row { "row in " } else { "" };
                let message = format!("could not obtain lock on {row}relation \"{}\"", self.name);
                Error::new(LOCK_NOT_AVAILABLE, message)
            }
            StorageError::LockTimeout(_) => Error::new(LOCK_NOT_AVAILABLE, "canceling statement due to lock timeout"),
            StorageError::Deadlock(circle) => {
                let lines: Vec<String> = circle.iter().map(|waiting| self.line(waiting)).collect();
                Error::new(DEADLOCK_DETECTED, "deadlock detected")
                    .with_detail(lines.join("\n"))
                    .with_hint("Run the transaction again.")
            }
            other => other.into(),
        }
    }

    fn line(&self, waiting: &Waiting) -> String {
        let Waiting { transaction, blocked_by, table, is_row } = waiting;
        let what = if *is_row { "a row of table" } else { "table" };
        let name = if *table == self.table { format!("\"{}\"", self.name) } else { table.to_string() };
        format!("Transaction {transaction} waits for {what} {name}; blocked by transaction {blocked_by}.")
    }
}
