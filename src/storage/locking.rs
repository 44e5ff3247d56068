//! Locks for a statement: the table, then the keys it is about to write, one after the other.
//!
//! ```text
//! Transaction::lock_rows ─► Locking ── advance ─► all held ─► Transaction::first_changed ─► write, or look again
//!                              ▲          │ somebody has one
//!                              └── waker ◄┘
//! ```
//!
//! Nothing here blocks a thread: [`Locking::advance`] goes as far as it can and says whether it got to the end; if not, the waker it was
//! given is called when it is worth calling again. Keys are taken in their order, so that two statements over the same rows do not meet
//! crosswise. What was got stays with the transaction to its end, or to ROLLBACK TO a savepoint before.

use crate::error::{Error, Result, Waiting};
use crate::ids::TableId;
use crate::key::EncodedKeys;
use crate::locks::{Acquired, Enqueued, KeyMode, LockError, LockOwner, LockRequest, Locks, TableMode, Ticket, Waker};
use std::fmt;
use std::sync::Arc;

/// What to do about a key that another transaction has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfLocked {
    /// Wait for it.
    Wait,
    /// Fail with [`Error::Locked`]: `NOWAIT`.
    Fail,
    /// Go on without it: `SKIP LOCKED`.
    Skip,
}

/// Locks a transaction is getting. Dropped before the end, it waits no longer; what it got stays with the transaction.
pub struct Locking {
    locks: Arc<Locks>,
    owner: LockOwner,
    table: TableId,
    table_mode: TableMode,
    table_if_locked: IfLocked,
    has_table: bool,
    keys: Option<EncodedKeys>,
    mode: KeyMode,
    if_locked: IfLocked,
    /// Rows of `keys` in the order they are locked in.
    order: Vec<u32>,
    next: usize,
    /// How many rows are wanted.
    most: usize,
    skipped: Vec<u32>,
    waiting: Option<Ticket>,
}

impl Locking {
    /// For the table alone.
    pub(crate) fn of_table(locks: Arc<Locks>, owner: LockOwner, table: TableId, table_mode: TableMode) -> Locking {
        Locking {
            locks,
            owner,
            table,
            table_mode,
            table_if_locked: IfLocked::Wait,
            has_table: false,
            keys: None,
            mode: KeyMode::KeyShare,
            if_locked: IfLocked::Wait,
            order: vec![],
            next: 0,
            most: usize::MAX,
            skipped: vec![],
            waiting: None,
        }
    }

    /// And for those of `keys` that `wanted` names.
    pub(crate) fn with_keys(self, keys: EncodedKeys, wanted: Vec<u32>, mode: KeyMode, if_locked: IfLocked) -> Locking {
        let mut order = wanted;
        order.sort_unstable_by(|&a, &b| keys.get(a as usize).cmp(keys.get(b as usize)));
        Locking { keys: Some(keys), order, mode, if_locked, table_if_locked: if_locked, ..self }
    }

    /// What to do when the table itself is locked. For locks on rows it is what they say: many rows may be locked as a table.
    pub fn if_table_locked(self, table_if_locked: IfLocked) -> Locking {
        Locking { table_if_locked, ..self }
    }

    /// Passes over rows that are locked, in the order of the rows, until `most` of them are held. [`Locking::untried`] says how far it got.
    /// Nothing is waited for, so the order is free.
    pub fn at_most(self, most: usize) -> Locking {
        let mut order = self.order;
        order.sort_unstable();
        Locking { order, most, if_locked: IfLocked::Skip, ..self }
    }

    /// The table the locks are on.
    pub fn table(&self) -> TableId {
        self.table
    }

    /// Rows that were passed over because another transaction has them, ascending.
    pub fn skipped(&self) -> Vec<u32> {
        let mut skipped = self.skipped.clone();
        skipped.sort_unstable();
        skipped
    }

    /// Number of the first row that was not asked for, since enough were held before it.
    pub fn untried(&self) -> Option<u32> {
        self.order.get(self.next).copied()
    }

    /// Takes what is free; true when nothing is left to take. Otherwise one of the wakers made by `wake` is called when somebody
    /// has let go, or has been told to give up.
    pub fn advance(&mut self, wake: &mut dyn FnMut() -> Waker) -> Result<bool> {
        loop {
            if let Some(ticket) = self.waiting.take() {
                match ticket.outcome() {
                    None => {
                        self.waiting = Some(ticket);
                        return Ok(false);
                    }
                    Some(outcome) => self.got(outcome)?,
                }
                continue;
            }
            let Some(request) = self.request() else { return Ok(true) };
            let if_locked = if self.has_table { self.if_locked } else { self.table_if_locked };
            match (self.locks.try_lock(self.owner, request), if_locked) {
                (Err(LockError::NotAvailable), IfLocked::Skip) if !self.has_table => {
                    self.skipped = std::mem::take(&mut self.order);
                    return Ok(true);
                }
                (Err(LockError::NotAvailable), IfLocked::Skip) => {
                    self.skipped.push(self.order[self.next]);
                    self.next += 1;
                }
                (Err(LockError::NotAvailable), IfLocked::Wait) => {
                    match self.locks.lock_or_enqueue(self.owner, request, wake()) {
                        Ok(Enqueued::Waiting(ticket)) => self.waiting = Some(ticket),
                        Ok(Enqueued::Granted(acquired)) => self.got(Ok(acquired))?,
                        Err(error) => self.got(Err(error))?,
                    }
                }
                (outcome, _) => self.got(outcome)?,
            }
        }
    }

    /// Takes all locks, blocking this thread.
    pub fn wait(&mut self) -> Result<()> {
        let thread = std::thread::current();
        let mut wake = || {
            let thread = thread.clone();
            Box::new(move || thread.unpark()) as Waker
        };
        while !self.advance(&mut wake)? {
            std::thread::park();
        }
        Ok(())
    }

    /// Waits no longer: it took too long.
    pub fn time_out(&mut self) -> Result<()> {
        let Some(ticket) = self.waiting.take() else { return Ok(()) };
        // It may have come at the last moment.
        let outcome = ticket.give_up(LockError::Timeout);
        self.got(outcome)
    }

    /// What is to be locked next.
    fn request(&self) -> Option<LockRequest<'_>> {
        if !self.has_table {
            return Some(LockRequest::Table { table: self.table, mode: self.table_mode });
        }
        let (keys, &row) = (self.keys.as_ref()?, self.order.get(self.next)?);
        if self.most < usize::MAX && row as usize - self.skipped.len() >= self.most {
            return None;
        }
        Some(LockRequest::Key { table: self.table, key: keys.get(row as usize), mode: self.mode })
    }

    fn got(&mut self, outcome: std::result::Result<Acquired, LockError>) -> Result<()> {
        outcome.map_err(|error| lock_error(error, self.table, self.keys.is_some()))?;
        match self.has_table {
            false => self.has_table = true,
            true => self.next += 1,
        }
        Ok(())
    }
}

impl fmt::Debug for Locking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.order.len();
        write!(f, "Locking({} of {keys} keys of table {}, {:?})", self.next, self.table, self.mode)
    }
}

/// What a failure to lock something of `table` is to who asked.
fn lock_error(error: LockError, table: TableId, is_row: bool) -> Error {
    match error {
        LockError::NotAvailable => Error::Locked { table, is_row },
        LockError::Timeout => Error::LockTimeout(table),
        LockError::Cancelled => Error::Cancelled,
        LockError::Deadlock(edges) => {
            let waiting = edges.into_iter().map(|edge| Waiting {
                transaction: edge.owner.0,
                blocked_by: edge.blocked_by.0,
                table: edge.table,
                is_row: edge.key.is_some(),
            });
            Error::Deadlock(waiting.collect())
        }
        LockError::OutOfMemory { limit_bytes } => {
            Error::OutOfMemory { asked_bytes: 0, limit_bytes, consumers: vec![("locks".into(), limit_bytes)] }
        }
        LockError::TableNotLocked(_) | LockError::AlreadyWaiting => Error::Unsupported(error.to_string()),
    }
}
