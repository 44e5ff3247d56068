//! What goes into the table of locks besides requests, and what comes out besides locks.

use super::mode::LockMode;
use super::resource::LockOwner;
use crate::ids::TableId;
use std::time::{Duration, Instant};

/// Bounds of the table of locks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockOptions {
    /// Keys of one table that an owner locks before it tries to lock the whole table instead.
    pub keys_per_table_max: usize,
    /// Most bytes of all locks together.
    pub bytes_max: usize,
}

impl Default for LockOptions {
    fn default() -> Self {
        LockOptions { keys_per_table_max: 100_000, bytes_max: 256 << 20 }
    }
}

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "for writers that block their thread, and those without a transaction")
)]
/// What to do if somebody is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "NOWAIT is SQL's word")]
pub(crate) enum Wait {
    /// Wait without end.
    Forever,
    /// Fail at once.
    NoWait,
    /// Wait this long.
    Until(Duration),
}

/// How a lock was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquired {
    /// The owner had it, or one that includes it.
    Already,
    /// At once.
    AtOnce,
    /// After waiting: what it protects may have changed meanwhile.
    AfterWaiting,
}

/// What a look at a key finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Nobody else holds a lock in the way.
    Free,
    /// Somebody does.
    Locked,
}

/// Counters since the start, and what is there now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LockStatistics {
    /// Locks held now; each mode of a thing counts.
    pub held: usize,
    /// Requests waiting now.
    pub waiting: usize,
    /// Bytes that the locks held now are counted with.
    pub bytes: usize,
    /// Requests that had to wait, so far.
    pub waits: u64,
    /// Requests refused because they would have closed a circle, so far.
    pub deadlocks: u64,
    /// Tables taken instead of their keys, so far.
    pub escalations: u64,
}

/// One held or awaited lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockInfo {
    /// Whose.
    pub owner: LockOwner,
    /// The table.
    pub table: TableId,
    /// The key, or `None` for the table itself.
    pub key: Option<Box<[u8]>>,
    /// How.
    pub mode: LockMode,
    /// Whether it is held.
    pub granted: bool,
    /// Since when it is waited for.
    pub waiting_since: Option<Instant>,
}
