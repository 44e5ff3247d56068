//! Key and table locks: which writer goes first where two want the same row, and who may change a table.
//!
//! Readers take none of these. A writer locks a table ([`TableMode::RowExclusive`]), then the keys it writes, and keeps all until
//! its transaction ends. What is locked at commit cannot be in the way of anybody else's commit, so those who waited see the
//! winner's version instead of failing against it.
//!
//! # A lock, step by step
//!
//! 1. [`Locks::lock`] looks up the thing in one of the shards of the table of locks. If nobody is in the way
//!    (`resource.rs` has the rule) the owner becomes a holder and the lock is noted in the owner's list. That is all as
//!    long as nobody waits: two mutexes, of a shard and of a part of the owners.
//! 2. Otherwise the request enters the thing's queue. Everything about waiting happens under one mutex, `waits`: entering and leaving
//!    a queue, granting from it, looking for circles.
//! 3. The one who enters looks whether its waiting closes a circle (`deadlock.rs`). If so it gets [`LockError::Deadlock`] and has not
//!    waited; all others go on waiting.
//! 4. A release that finds a queue grants from its front and tells the waiters: sleeping threads wake, [`Ticket`]s call their waker.
//!
//! # Why looking once is enough
//!
//! A circle consists of waiting owners only, so the one that began to wait last closed it, and looked then. No later event adds an
//! edge between two owners that both wait already: whoever is granted something does not wait any more, and whoever is let in
//! before others in a queue is the one who begins to wait. While it looks, `waits` is locked, so who waits for what stands still; a waiting
//! owner releases nothing; and grants to owners that do not wait cannot close a circle. So what is found is real.
//! It is looked at once instead of after a while: only those who wait pay for it, and nobody waits in vain.
//!
//! # Escalation
//!
//! Beyond [`LockOptions::keys_per_table_max`] keys of one table, an owner takes the table in [`TableMode::Exclusive`] instead, which covers all
//! keys because whoever locks a key has locked the table before. It is taken only if nobody is in the way at that moment, so escalation
//! never waits and never fails; else it is tried again when the keys have doubled. What bounds the memory in any case is
//! [`LockOptions::bytes_max`].
//!
//! # What must hold
//!
//! - Two owners never hold conflicting modes of one thing.
//! - A waiter is blocked by a holder or by somebody before it in the queue; otherwise it has been granted.
//! - Mutexes are taken in the order waits, shard, owners; at most one of each kind; wakers are called without any.
//! - An owner calls from one thread at a time. [`Locks::cancel`] may come from anywhere; [`Locks::release_all`], too, while the
//!   owner waits.

mod mode;
mod error;
mod wait;
mod resource;
mod owner;
mod options;
mod table;
mod deadlock;

#[cfg(test)]
mod tests;

pub(crate) use error::LockError;
#[cfg(test)]
pub(crate) use error::WaitEdge;
pub use mode::{KeyMode, LockMode, TableMode};
pub use options::LockInfo;
pub(crate) use options::{Acquired, LockOptions};
#[cfg(test)]
pub(crate) use options::{LockStatistics, Probe, Wait};
pub(crate) use owner::Mark;
pub use resource::LockOwner;
pub(crate) use resource::LockRequest;
pub(crate) use table::{Enqueued, Locks, Ticket};
pub use wait::Waker;
