//! What can be locked, and one locked thing with its holders and its queue.
//!
//! A request is granted when its mode conflicts neither with a mode that another owner holds nor with a waiting request before
//! it in the queue. So nobody overtakes a waiter it conflicts with. One exception, as in PostgreSQL: an owner that already holds a lock
//! for which others wait stands before the first of these, because they cannot go on before it ends anyway.

use super::mode::{KeyMode, LockMode, ModeSet, TableMode};
use super::wait::Signal;
use crate::ids::TableId;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// A transaction, by its number. It owns locks and waits for at most one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockOwner(pub u64);

impl fmt::Display for LockOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockRequest<'a> {
    /// A key of a table or of a unique index. The owner must hold a lock on the table already, [`TableMode::RowShare`] or more.
    Key {
        /// The table or index.
        table: TableId,
        /// The encoded key.
        key: &'a [u8],
        /// How.
        mode: KeyMode,
    },
    /// A whole table.
    Table {
        /// The table.
        table: TableId,
        /// How.
        mode: TableMode,
    },
}

impl<'a> LockRequest<'a> {
    pub(super) fn table(&self) -> TableId {
        let (LockRequest::Key { table, .. } | LockRequest::Table { table, .. }) = self;
        *table
    }

    pub(super) fn key(&self) -> Option<&'a [u8]> {
        match self {
            LockRequest::Key { key, .. } => Some(key),
            LockRequest::Table { .. } => None,
        }
    }

    pub(super) fn mode(&self) -> LockMode {
        match self {
            LockRequest::Key { mode, .. } => LockMode::Key(*mode),
            LockRequest::Table { mode, .. } => LockMode::Table(*mode),
        }
    }
}

/// The name of a locked thing, shared by all who remember it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Resource {
    pub table: TableId,
    /// `None` for the table itself.
    pub key: Option<Arc<[u8]>>,
}

/// One thing that is locked or waited for.
pub(super) struct Entry {
    pub resource: Resource,
    pub holders: Vec<Holder>,
    pub queue: Vec<Waiter>,
}

/// An owner and the modes it holds.
#[derive(Clone, Copy)]
pub(super) struct Holder {
    pub owner: LockOwner,
    pub modes: ModeSet,
}

/// A request in the queue.
pub(super) struct Waiter {
    pub owner: LockOwner,
    pub mode: LockMode,
    pub since: Instant,
    pub signal: Arc<Signal>,
}

/// What becomes of a request at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Held,
    Free,
    /// It has to wait, at this place of the queue.
    Blocked(usize),
}

impl Entry {
    pub(super) fn new(resource: Resource) -> Entry {
        Entry { resource, holders: Vec::with_capacity(1), queue: Vec::new() }
    }

    pub(super) fn is_unused(&self) -> bool {
        self.holders.is_empty() && self.queue.is_empty()
    }

    /// The modes that `owner` holds.
    pub(super) fn modes_of(&self, owner: LockOwner) -> ModeSet {
        self.holders.iter().find(|holder| holder.owner == owner).map(|holder| holder.modes).unwrap_or_default()
    }

    pub(super) fn judge(&self, owner: LockOwner, mode: LockMode) -> Verdict {
        let own = self.modes_of(owner);
        if mode.is_covered_by(own) {
            return Verdict::Held;
        }
        let place = match own.is_empty() {
            true => self.queue.len(),
            false => {
                let waits_for_me = |waiter: &Waiter| waiter.mode.conflicts().meets(own);
                self.queue.iter().position(waits_for_me).unwrap_or(self.queue.len())
            }
        };
        match self.blockers(owner, mode, place).next() {
            None => Verdict::Free,
            Some(_) => Verdict::Blocked(place),
        }
    }

    /// Who keeps a request at `place` of the queue from being granted.
    pub(super) fn blockers(&self, owner: LockOwner, mode: LockMode, place: usize) -> impl Iterator<Item = LockOwner> {
        let conflicts = mode.conflicts();
        let holders = self.holders.iter().filter(move |h| h.owner != owner && h.modes.meets(conflicts));
        let waiters = self.queue[..place].iter().filter(move |w| conflicts.meets(w.mode.as_set()));
        holders.map(|holder| holder.owner).chain(waiters.map(|waiter| waiter.owner))
    }

    /// The queue's place of `owner`.
    pub(super) fn place_of(&self, owner: LockOwner) -> Option<usize> {
        self.queue.iter().position(|waiter| waiter.owner == owner)
    }

    /// Adds a mode to what `owner` holds.
    pub(super) fn hold(&mut self, owner: LockOwner, mode: LockMode) {
        debug_assert!(
            self.holders.iter().all(|holder| holder.owner == owner || !holder.modes.meets(mode.conflicts())),
            "conflicting locks are never held at once"
        );
        match self.holders.iter_mut().find(|holder| holder.owner == owner) {
            Some(holder) => holder.modes.add(mode.as_set()),
            None => self.holders.push(Holder { owner, modes: mode.as_set() }),
        }
    }

    /// Takes a mode from what `owner` holds.
    pub(super) fn unhold(&mut self, owner: LockOwner, mode: LockMode) {
        if let Some(at) = self.holders.iter().position(|holder| holder.owner == owner) {
            self.holders[at].modes.remove(mode.as_set());
            if self.holders[at].modes.is_empty() {
                self.holders.swap_remove(at);
            }
        }
    }

    /// Takes the waiters out of the queue that need not wait any more, first come first, and makes them holders.
    pub(super) fn grant_waiters(&mut self) -> Vec<Waiter> {
        let mut granted = Vec::new();
        let mut before = ModeSet::default();
        let mut at = 0;
        while let Some(waiter) = self.queue.get(at) {
            let conflicts = waiter.mode.conflicts();
            let is_free = |holder: &Holder| holder.owner == waiter.owner || !holder.modes.meets(conflicts);
            if !conflicts.meets(before) && self.holders.iter().all(is_free) {
                let waiter = self.queue.remove(at);
                self.hold(waiter.owner, waiter.mode);
                granted.push(waiter);
                continue;
            }
            before.add(waiter.mode.as_set());
            if waiter.mode.of_same_kind().all(|mode| mode.conflicts().meets(before)) {
                // Nobody behind can get past those in front.
                break;
            }
            at += 1;
        }
        granted
    }
}
