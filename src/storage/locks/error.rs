//! Why a lock was not got.

use super::mode::LockMode;
use super::resource::LockOwner;
use crate::ids::TableId;
use std::fmt;

/// Why a lock was not got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LockError {
    /// Somebody else has it, and the request was not to wait (55P03).
    NotAvailable,
    /// It was waited for as long as allowed (55P03).
    Timeout,
    /// Waiting would have closed a circle: each edge's owner waits for the next one's, the last for the first (40P01).
    Deadlock(Vec<WaitEdge>),
    /// The wait was called off (57014).
    Cancelled,
    /// All locks together would take more memory than they may (53200).
    OutOfMemory {
        /// The bound.
        limit_bytes: usize,
    },
    /// A key was asked for without a lock on its table.
    TableNotLocked(TableId),
    /// The owner waits for another lock already.
    AlreadyWaiting,
}

/// One owner waiting for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitEdge {
    /// Who waits.
    pub owner: LockOwner,
    /// Who keeps it waiting, as a holder or before it in the queue.
    pub blocked_by: LockOwner,
    /// The table of what is waited for.
    pub table: TableId,
    /// The key, if it is one.
    pub key: Option<Box<[u8]>>,
    /// The mode waited for.
    pub mode: LockMode,
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::NotAvailable => write!(f, "could not obtain lock"),
            LockError::Timeout => write!(f, "canceling statement due to lock timeout"),
            LockError::Deadlock(_) => write!(f, "deadlock detected"),
            LockError::Cancelled => write!(f, "cancelled"),
            LockError::OutOfMemory { limit_bytes } => write!(f, "locks take more than {limit_bytes} bytes"),
            LockError::TableNotLocked(table) => write!(f, "a key of table {table} is locked before the table"),
            LockError::AlreadyWaiting => write!(f, "the transaction waits for another lock"),
        }
    }
}
