//! The table of locks, shared by all transactions.

use super::error::LockError;
use super::mode::{LockMode, TableMode};
use super::options::{Acquired, LockInfo, LockOptions, LockStatistics, Probe, Wait};
use super::owner::{Held, KeysOfTable, Mark, Owned};
use super::resource::{Entry, LockOwner, LockRequest, Resource, Verdict, Waiter};
use super::wait::{Signal, Waker};
use crate::ids::TableId;
use hashbrown::hash_table::Entry as Slot;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use parking_lot::Mutex;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Shards of the table, parts of the owners, counters of tables: a power of two.
const SHARDS: usize = 64;
/// What a held lock is counted with, besides its key: its entry, its holder, its note.
const LOCK_BYTES: usize = 192;
/// A shard with this much room for entries gives room back when it is nearly empty.
const SHARD_ROOM_MIN: usize = 256;

/// Everything of one part of the hash values.
pub(super) type Shard = HashTable<Entry>;
/// Who waits for what. Its mutex is held for whatever has to do with waiting.
pub(super) type Waits = HashMap<LockOwner, Waiting>;

/// What an owner waits for.
pub(super) struct Waiting {
    pub resource: Resource,
    pub mode: LockMode,
    signal: Arc<Signal>,
}

/// On a cache line of its own, so that neighbours do not slow each other down.
#[repr(align(64))]
#[derive(Default)]
struct Padded<T>(T);

/// What may be in the way of somebody who only writes a key of a table; tables share them.
#[derive(Default)]
struct InTheWay {
    keys: AtomicUsize,
    tables: AtomicUsize,
}

/// The locks of a database.
pub(crate) struct Locks {
    options: LockOptions,
    hasher: DefaultHashBuilder,
    shards: [Padded<Mutex<Shard>>; SHARDS],
    owners: [Padded<Mutex<HashMap<LockOwner, Owned>>>; SHARDS],
    waits: Mutex<Waits>,
    in_the_way: [Padded<InTheWay>; SHARDS],
    held: AtomicUsize,
    bytes: AtomicUsize,
    waited: AtomicU64,
    deadlocks: AtomicU64,
    escalations: AtomicU64,
}

/// What became of a request that must not block its thread.
pub(crate) enum Enqueued {
    /// The lock is held.
    Granted(Acquired),
    /// The waker will be called.
    Waiting(Ticket),
}

/// A place in a queue. Dropping it gives the place up; a lock that was granted before stays with its owner.
pub(crate) struct Ticket {
    locks: Arc<Locks>,
    owner: LockOwner,
    signal: Arc<Signal>,
}

impl Ticket {
    /// What became of the request, once the waker was called; `None` before.
    pub(crate) fn outcome(&self) -> Option<Result<Acquired, LockError>> {
        self.signal.outcome().map(|outcome| outcome.map(|()| Acquired::AfterWaiting))
    }

    /// Stops waiting for a reason, such as [`LockError::Timeout`]. The lock may have been granted just before.
    pub(crate) fn give_up(self, reason: LockError) -> Result<Acquired, LockError> {
        self.locks.give_up(self.owner, &self.signal, reason)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.signal.outcome().is_none() {
            let _ = self.locks.give_up(self.owner, &self.signal, LockError::Cancelled);
        }
    }
}

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locks").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}

impl Locks {
    /// No locks yet.
    pub(crate) fn new(options: LockOptions) -> Locks {
        Locks {
            options,
            hasher: DefaultHashBuilder::default(),
            shards: std::array::from_fn(|_| Padded::default()),
            owners: std::array::from_fn(|_| Padded::default()),
            waits: Mutex::default(),
            in_the_way: std::array::from_fn(|_| Padded::default()),
            held: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            waited: AtomicU64::new(0),
            deadlocks: AtomicU64::new(0),
            escalations: AtomicU64::new(0),
        }
    }

    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for writers that block their thread, and those without a transaction")
    )]
    /// Gets a lock, blocking this thread as long as `wait` allows. `is_cancelled` is asked once the request is in the queue: whoever
    /// cancels makes it true first and then calls [`Locks::cancel`], so no cancellation is missed.
    pub(crate) fn lock(
        &self,
        owner: LockOwner,
        request: LockRequest<'_>,
        wait: Wait,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Acquired, LockError> {
        let deadline = match wait {
            Wait::NoWait => return self.try_lock(owner, request),
            Wait::Forever => None,
            Wait::Until(time) => Instant::now().checked_add(time),
        };
        if let Some(acquired) = self.lock_if_free(owner, request)? {
            return Ok(acquired);
        }
        match self.enqueue(owner, request, None)? {
            Queued::Granted(acquired) => Ok(acquired),
            Queued::Waiting(signal) if is_cancelled() => self.give_up(owner, &signal, LockError::Cancelled),
            Queued::Waiting(signal) => match signal.sleep(deadline) {
                Some(outcome) => outcome.map(|()| Acquired::AfterWaiting),
                None => self.give_up(owner, &signal, LockError::Timeout),
            },
        }
    }

    /// Gets a lock or fails with [`LockError::NotAvailable`], for `NOWAIT` and `SKIP LOCKED`.
    pub(crate) fn try_lock(&self, owner: LockOwner, request: LockRequest<'_>) -> Result<Acquired, LockError> {
        self.lock_if_free(owner, request)?.ok_or(LockError::NotAvailable)
    }

    /// Gets a lock or a place in the queue, without blocking. `waker` is called when the wait is over, however it ends, perhaps before
    /// this returns.
    pub(crate) fn lock_or_enqueue(
        self: &Arc<Self>,
        owner: LockOwner,
        request: LockRequest<'_>,
        waker: Waker,
    ) -> Result<Enqueued, LockError> {
        if let Some(acquired) = self.lock_if_free(owner, request)? {
            return Ok(Enqueued::Granted(acquired));
        }
        Ok(match self.enqueue(owner, request, Some(waker))? {
            Queued::Granted(acquired) => Enqueued::Granted(acquired),
            Queued::Waiting(signal) => Enqueued::Waiting(Ticket { locks: self.clone(), owner, signal }),
        })
    }

    /// Ends the wait of `owner` with [`LockError::Cancelled`]. Says whether it waited.
    pub(crate) fn cancel(&self, owner: LockOwner) -> bool {
        let mut waits = self.waits.lock();
        let Some(signal) = waits.get(&owner).map(|waiting| waiting.signal.clone()) else { return false };
        let granted = self.leave(&mut waits, owner);
        drop(waits);
        tell(granted);
        signal.end(Err(LockError::Cancelled));
        true
    }

    /// Releases everything that `owner` has and waits for: its transaction has ended.
    pub(crate) fn release_all(&self, owner: LockOwner) {
        self.cancel(owner);
        let owned = self.owners(owner).lock().remove(&owner);
        if let Some(mut owned) = owned {
            self.release(owner, owned.take_since(Mark::START));
        }
    }

    /// This moment, for [`Locks::release_since`].
    pub(crate) fn mark(&self, owner: LockOwner) -> Mark {
        self.owners(owner).lock().get(&owner).map_or(Mark::START, Owned::mark)
    }

    /// Releases what `owner` got since `mark`: `ROLLBACK TO SAVEPOINT`. An escalated lock counts as old as the oldest key it covers.
    pub(crate) fn release_since(&self, owner: LockOwner, mark: Mark) {
        let taken = match self.owners(owner).lock().get_mut(&owner) {
            Some(owned) => owned.take_since(mark),
            None => Vec::new(),
        };
        self.release(owner, taken);
    }

    /// Releases one mode of a table, unless the owner has locked keys of the table: it has done nothing yet that needs it.
    pub(crate) fn release_table(&self, owner: LockOwner, table: TableId, mode: TableMode) {
        let taken = self.owners(owner).lock().get_mut(&owner).and_then(|owned| owned.take_table(table, mode));
        self.release(owner, taken.into_iter().collect());
    }

    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for writers that block their thread, and those without a transaction")
    )]
    /// Whether another owner holds a lock in the way of writing a key. Two loads of counters as long as nobody locks keys of the table, or
    /// the table itself against writers. It is sequentially consistent with granting: of a writer that publishes and then
    /// probes, and an owner that locks and then looks for what was published, at least one sees the other.
    pub(crate) fn probe(&self, owner: LockOwner, request: LockRequest<'_>) -> Probe {
        let in_the_way = self.in_the_way(request.table());
        let is_blocked = |request: LockRequest<'_>| {
            let hash = self.hash(request.table(), request.key());
            let conflicts = request.mode().conflicts();
            let shard = self.shard(hash).lock();
            let entry = shard.find(hash, is_named(request.table(), request.key()));
            entry.is_some_and(|entry| entry.holders.iter().any(|h| h.owner != owner && h.modes.meets(conflicts)))
        };
        let table = LockRequest::Table { table: request.table(), mode: TableMode::RowExclusive };
        let blocked = in_the_way.tables.load(Ordering::SeqCst) > 0 && is_blocked(table)
            || in_the_way.keys.load(Ordering::SeqCst) > 0 && is_blocked(request);
        if blocked { Probe::Locked } else { Probe::Free }
    }

    /// Counters.
    pub(crate) fn statistics(&self) -> LockStatistics {
        LockStatistics {
            held: self.held.load(Ordering::Relaxed),
            waiting: self.waits.lock().len(),
            bytes: self.bytes.load(Ordering::Relaxed),
            waits: self.waited.load(Ordering::Relaxed),
            deadlocks: self.deadlocks.load(Ordering::Relaxed),
            escalations: self.escalations.load(Ordering::Relaxed),
        }
    }

    /// Every lock held or waited for, shard by shard: each shard as it is at one moment, the whole not.
    pub(crate) fn list(&self) -> Vec<LockInfo> {
        let mut infos = Vec::new();
        for shard in &self.shards {
            for entry in shard.0.lock().iter() {
                let info = |owner, mode, waiting_since: Option<Instant>| LockInfo {
                    owner,
                    table: entry.resource.table,
                    key: entry.resource.key.as_deref().map(Box::from),
                    mode,
                    granted: waiting_since.is_none(),
                    waiting_since,
                };
                let kind = match entry.resource.key {
                    Some(_) => LockMode::Key(super::KeyMode::Update),
                    None => LockMode::Table(TableMode::Exclusive),
                };
                for holder in &entry.holders {
                    let modes = kind.of_same_kind().filter(|mode| holder.modes.meets(mode.as_set()));
                    infos.extend(modes.map(|mode| info(holder.owner, mode, None)));
                }
                infos.extend(entry.queue.iter().map(|waiter| info(waiter.owner, waiter.mode, Some(waiter.since))));
            }
        }
        infos
    }

    /// Grants a request that nobody is in the way of.
    fn lock_if_free(&self, owner: LockOwner, request: LockRequest<'_>) -> Result<Option<Acquired>, LockError> {
        let hash = self.hash(request.table(), request.key());
        let granted = self.grant(&mut self.shard(hash).lock(), hash, owner, request)?;
        match granted {
            Verdict::Held => Ok(Some(Acquired::Already)),
            Verdict::Free => {
                self.escalate_if_due(owner, request)?;
                Ok(Some(Acquired::AtOnce))
            }
            Verdict::Blocked(_) => Ok(None),
        }
    }

    /// Judges a request, and makes the owner a holder if nobody is in the way.
    fn grant(
        &self,
        shard: &mut Shard,
        hash: u64,
        owner: LockOwner,
        request: LockRequest<'_>,
    ) -> Result<Verdict, LockError> {
        let (table, mode) = (request.table(), request.mode());
        let mut owners = self.owners(owner).lock();
        if let Some(key) = request.key() {
            match owners.get(&owner).map_or(KeysOfTable::Forbidden, |owned| owned.keys_of(table)) {
                KeysOfTable::Forbidden => return Err(LockError::TableNotLocked(table)),
                KeysOfTable::Covered => return Ok(Verdict::Held),
                KeysOfTable::Allowed => {}
            }
            if self.bytes.load(Ordering::Relaxed) + LOCK_BYTES + key.len() > self.options.bytes_max {
                return Err(LockError::OutOfMemory { limit_bytes: self.options.bytes_max });
            }
        }
        let named = is_named(table, request.key());
        let resource = match shard.entry(hash, named, |entry| self.hash_of(&entry.resource)) {
            Slot::Occupied(mut slot) => {
                let entry = slot.get_mut();
                match entry.judge(owner, mode) {
                    Verdict::Free => entry.hold(owner, mode),
                    other => return Ok(other),
                }
                entry.resource.clone()
            }
            Slot::Vacant(slot) => {
                let resource = Resource { table, key: request.key().map(Arc::from) };
                let mut entry = Entry::new(resource.clone());
                entry.hold(owner, mode);
                slot.insert(entry);
                resource
            }
        };
        self.count(&resource, mode);
        owners.entry(owner).or_default().note(resource, mode);
        Ok(Verdict::Free)
    }

    /// Puts a request into the queue, unless it can be granted by now or would close a circle.
    fn enqueue(&self, owner: LockOwner, request: LockRequest<'_>, waker: Option<Waker>) -> Result<Queued, LockError> {
        let hash = self.hash(request.table(), request.key());
        let mode = request.mode();
        let mut waits = self.waits.lock();
        if waits.contains_key(&owner) {
            return Err(LockError::AlreadyWaiting);
        }
        let mut shard = self.shard(hash).lock();
        let place = match self.grant(&mut shard, hash, owner, request)? {
            Verdict::Held => return Ok(Queued::Granted(Acquired::Already)),
            Verdict::Free => return Ok(Queued::Granted(Acquired::AtOnce)),
            Verdict::Blocked(place) => place,
        };
        let entry = shard.find_mut(hash, is_named(request.table(), request.key()));
        let entry = entry.expect("what blocks a request is in the entry");
        let signal = Arc::new(Signal::new(waker));
        entry.queue.insert(place, Waiter { owner, mode, since: Instant::now(), signal: signal.clone() });
        let resource = entry.resource.clone();
        drop(shard);
        waits.insert(owner, Waiting { resource, mode, signal: signal.clone() });
        if let Some(cycle) = self.find_cycle(&waits, owner) {
            let granted = self.leave(&mut waits, owner);
            drop(waits);
            tell(granted);
            self.deadlocks.fetch_add(1, Ordering::Relaxed);
            return Err(LockError::Deadlock(cycle));
        }
        self.waited.fetch_add(1, Ordering::Relaxed);
        Ok(Queued::Waiting(signal))
    }

    /// Takes the request of `owner` out of its queue. Answers those who can go on without it.
    #[must_use]
    fn leave(&self, waits: &mut Waits, owner: LockOwner) -> Vec<Waiter> {
        let Some(waiting) = waits.remove(&owner) else { return Vec::new() };
        self.change(waits, &waiting.resource, |entry| entry.queue.retain(|waiter| waiter.owner != owner))
    }

    /// Changes an entry and grants what can be granted then.
    #[must_use]
    fn change(&self, waits: &mut Waits, resource: &Resource, change: impl FnOnce(&mut Entry)) -> Vec<Waiter> {
        let hash = self.hash_of(resource);
        let mut shard = self.shard(hash).lock();
        let Some(entry) = shard.find_mut(hash, |entry| entry.resource == *resource) else { return Vec::new() };
        change(entry);
        let granted = entry.grant_waiters();
        for waiter in &granted {
            waits.remove(&waiter.owner);
            self.count(resource, waiter.mode);
            self.owners(waiter.owner).lock().entry(waiter.owner).or_default().note(resource.clone(), waiter.mode);
        }
        if entry.is_unused() {
            self.remove(&mut shard, hash, resource);
        }
        granted
    }

    /// Ends a wait that is not over.
    fn give_up(&self, owner: LockOwner, signal: &Arc<Signal>, reason: LockError) -> Result<Acquired, LockError> {
        let mut waits = self.waits.lock();
        if waits.get(&owner).is_some_and(|waiting| Arc::ptr_eq(&waiting.signal, signal)) {
            let granted = self.leave(&mut waits, owner);
            drop(waits);
            tell(granted);
            signal.end(Err(reason));
        } else {
            drop(waits);
        }
        // If it was over already, whoever ended it tells at any moment.
        let outcome = signal.sleep(None).expect("a wait without deadline has an outcome");
        outcome.map(|()| Acquired::AfterWaiting)
    }

    /// Releases locks that were taken from their owner's list, the latest first.
    fn release(&self, owner: LockOwner, held: Vec<Held>) {
        for Held { resource, mode, .. } in held.into_iter().rev() {
            self.release_one(owner, &resource, mode);
            self.uncount(&resource, mode);
        }
    }

    fn release_one(&self, owner: LockOwner, resource: &Resource, mode: LockMode) {
        let hash = self.hash_of(resource);
        let mut shard = self.shard(hash).lock();
        let Some(entry) = shard.find_mut(hash, |entry| entry.resource == *resource) else { return };
        if entry.queue.is_empty() {
            entry.unhold(owner, mode);
            if entry.is_unused() {
                self.remove(&mut shard, hash, resource);
            }
            return;
        }
        // Somebody waits: once more, in the order of the mutexes.
        drop(shard);
        let mut waits = self.waits.lock();
        let granted = self.change(&mut waits, resource, |entry| entry.unhold(owner, mode));
        drop(waits);
        tell(granted);
    }

    /// Removes an unused entry, and room that a crowd has left behind.
    fn remove(&self, shard: &mut Shard, hash: u64, resource: &Resource) {
        if let Ok(slot) = shard.find_entry(hash, |entry| entry.resource == *resource) {
            slot.remove();
        }
        if shard.capacity() > SHARD_ROOM_MIN && shard.len() < shard.capacity() / 8 {
            shard.shrink_to(shard.len() * 2, |entry| self.hash_of(&entry.resource));
        }
    }

    /// Takes the table instead of its keys if they have become many and nobody is in the way.
    fn escalate_if_due(&self, owner: LockOwner, request: LockRequest<'_>) -> Result<(), LockError> {
        let LockRequest::Key { table, .. } = request else { return Ok(()) };
        let mut owners = self.owners(owner).lock();
        let due = owners.get_mut(&owner).is_some_and(|o| o.should_escalate(table, self.options.keys_per_table_max));
        drop(owners);
        if !due {
            return Ok(());
        }
        let hash = self.hash(table, None);
        let whole = LockRequest::Table { table, mode: TableMode::Exclusive };
        let granted = self.grant(&mut self.shard(hash).lock(), hash, owner, whole)?;
        if granted == Verdict::Free {
            let keys = self.owners(owner).lock().get_mut(&owner).map(|owned| owned.escalate(table));
            self.release(owner, keys.unwrap_or_default());
            self.escalations.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn count(&self, resource: &Resource, mode: LockMode) {
        self.held.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes_of(resource), Ordering::Relaxed);
        if let Some(counter) = self.counter(resource.table, mode) {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn uncount(&self, resource: &Resource, mode: LockMode) {
        self.held.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes_of(resource), Ordering::Relaxed);
        if let Some(counter) = self.counter(resource.table, mode) {
            counter.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// What counts the locks of this mode, if they can be in a writer's way.
    fn counter(&self, table: TableId, mode: LockMode) -> Option<&AtomicUsize> {
        let in_the_way = self.in_the_way(table);
        match mode {
            LockMode::Key(_) => Some(&in_the_way.keys),
            LockMode::Table(_) if mode.conflicts_with(LockMode::Table(TableMode::RowExclusive)) => {
                Some(&in_the_way.tables)
            }
            LockMode::Table(_) => None,
        }
    }

    fn in_the_way(&self, table: TableId) -> &InTheWay {
        &self.in_the_way[table.0 as usize % SHARDS].0
    }

    fn owners(&self, owner: LockOwner) -> &Mutex<HashMap<LockOwner, Owned>> {
        &self.owners[owner.0 as usize % SHARDS].0
    }

    pub(super) fn shard(&self, hash: u64) -> &Mutex<Shard> {
        // The low and the highest bits place the entry within its shard.
        &self.shards[(hash >> 32) as usize % SHARDS].0
    }

    fn hash(&self, table: TableId, key: Option<&[u8]>) -> u64 {
        self.hasher.hash_one((table, key))
    }

    pub(super) fn hash_of(&self, resource: &Resource) -> u64 {
        self.hash(resource.table, resource.key.as_deref())
    }
}

/// A request after a look at the queue.
enum Queued {
    Granted(Acquired),
    Waiting(Arc<Signal>),
}

fn is_named<'a>(table: TableId, key: Option<&'a [u8]>) -> impl Fn(&Entry) -> bool + 'a {
    move |entry| entry.resource.table == table && entry.resource.key.as_deref() == key
}

fn bytes_of(resource: &Resource) -> usize {
    LOCK_BYTES + resource.key.as_ref().map_or(0, |key| key.len())
}

/// Tells waiters that they have their lock.
fn tell(granted: Vec<Waiter>) {
    for waiter in granted {
        waiter.signal.end(Ok(()));
    }
}
