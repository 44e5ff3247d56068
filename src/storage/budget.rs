//! The one memory budget of the process: frames, mem blocks, encoders and query operators draw on it.
//!
//! Whoever holds memory that can grow with the data registers as a named consumer and reserves bytes before it
//! allocates them. What can be dropped at any time (page frames nobody is reading) is registered as an *evictor*: it is
//! asked to give memory back before anybody is refused.
//!
//! What must always hold:
//! - the bytes in use are the sum over all live reservations; a dropped [`Reservation`] gives everything back;
//! - [`Reservation::try_grow`] never takes the total over the limit, [`Reservation::grow`] may;
//! - no lock is held while memory is only counted: growing and shrinking within the limit are two atomic additions.

use crate::error::{Error, Result};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many consumers an out-of-memory error names.
const CONSUMERS_NAMED: usize = 5;

/// Gives memory back: is told how many bytes are wanted and answers how many were freed.
type Evictor = Box<dyn Fn(usize) -> usize + Send + Sync>;

/// The budget. Reservations are accounted to named consumers.
pub struct MemoryBudget {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    next_consumer: AtomicU64,
    consumers: Mutex<HashMap<u64, Arc<Consumer>>>,
    evictors: RwLock<Vec<Evictor>>,
}

/// One entry of the account.
struct Consumer {
    name: String,
    bytes: AtomicUsize,
}

impl MemoryBudget {
    /// A budget of `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(MemoryBudget {
            limit_bytes,
            used_bytes: AtomicUsize::new(0),
            next_consumer: AtomicU64::new(0),
            consumers: Mutex::new(HashMap::new()),
            evictors: RwLock::new(Vec::new()),
        })
    }

    /// Bytes of the whole budget.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Bytes reserved now.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// A consumer with nothing reserved.
    pub fn register(self: &Arc<Self>, name: &str) -> Reservation {
        let id = self.next_consumer.fetch_add(1, Ordering::Relaxed);
        let consumer = Arc::new(Consumer { name: name.to_string(), bytes: AtomicUsize::new(0) });
        self.consumers.lock().insert(id, consumer.clone());
        Reservation { budget: self.clone(), id, consumer }
    }

    /// Consumers with the most bytes, largest first; those of one name are summed.
    pub fn largest_consumers(&self, count: usize) -> Vec<(String, usize)> {
        let mut by_name: HashMap<String, usize> = HashMap::new();
        for consumer in self.consumers.lock().values() {
            let bytes = consumer.bytes.load(Ordering::Relaxed);
            if bytes > 0 {
                *by_name.entry(consumer.name.clone()).or_default() += bytes;
            }
        }
        let mut largest: Vec<(String, usize)> = by_name.into_iter().collect();
        largest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        largest.truncate(count);
        largest
    }

    /// Registers something that can give memory back. It must not reserve memory while it is asked.
    pub fn register_evictor(&self, evictor: impl Fn(usize) -> usize + Send + Sync + 'static) {
        self.evictors.write().push(Box::new(evictor));
    }

    /// Takes `bytes` if they fit; else answers how many are missing.
    fn take(&self, bytes: usize) -> std::result::Result<(), usize> {
        let mut used = self.used_bytes.load(Ordering::Relaxed);
        loop {
            let wanted = used.saturating_add(bytes);
            if wanted > self.limit_bytes {
                return Err(wanted - self.limit_bytes);
            }
            match self.used_bytes.compare_exchange_weak(used, wanted, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => used = now,
            }
        }
    }

    /// Asks the evictors for `missing` bytes and a little more, so that a run of small requests does not pay one by
    /// one.
    fn evict(&self, missing: usize) -> usize {
        let wanted = missing.max(self.limit_bytes / 64);
        let mut freed = 0;
        for evictor in self.evictors.read().iter() {
            if freed < wanted {
                freed += evictor(wanted - freed);
            }
        }
        freed
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("limit_bytes", &self.limit_bytes)
            .field("used_bytes", &self.used_bytes())
            .finish_non_exhaustive()
    }
}

/// What one consumer holds; given back on drop.
pub struct Reservation {
    budget: Arc<MemoryBudget>,
    id: u64,
    consumer: Arc<Consumer>,
}

impl Reservation {
    /// Reserves `bytes` more; evicts unpinned page frames first; `OutOfMemory` names the largest consumers.
    pub fn try_grow(&self, bytes: usize) -> Result<()> {
        while let Err(missing) = self.budget.take(bytes) {
            if bytes > self.budget.limit_bytes || self.budget.evict(missing) == 0 {
                return Err(self.out_of_memory(bytes));
            }
        }
        self.consumer.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Reserves `bytes` more even beyond the limit (for what cannot fail).
    pub fn grow(&self, bytes: usize) {
        if self.try_grow(bytes).is_err() {
            self.budget.used_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.consumer.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Gives `bytes` back; at most what is held.
    pub fn shrink(&self, bytes: usize) {
        let mut given = 0;
        let _ = self.consumer.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            given = bytes.min(held);
            Some(held - given)
        });
        self.budget.used_bytes.fetch_sub(given, Ordering::Relaxed);
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.consumer.bytes.load(Ordering::Relaxed)
    }

    /// The budget it draws on.
    pub fn budget(&self) -> &Arc<MemoryBudget> {
        &self.budget
    }

    fn out_of_memory(&self, asked_bytes: usize) -> Error {
        Error::OutOfMemory {
            asked_bytes,
            limit_bytes: self.budget.limit_bytes,
            consumers: self.budget.largest_consumers(CONSUMERS_NAMED),
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("name", &self.consumer.name).field("bytes", &self.bytes()).finish()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink(self.bytes());
        self.budget.consumers.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_dropped_reservation_gives_everything_back() {
        let budget = MemoryBudget::new(100);
        let sort = budget.register("sort");
        sort.try_grow(60).unwrap();
        assert_eq!(budget.used_bytes(), 60);
        drop(sort);
        assert_eq!(budget.used_bytes(), 0);
        assert!(budget.largest_consumers(3).is_empty());
    }

    #[test]
    fn out_of_memory_names_the_largest_consumers() {
        let budget = MemoryBudget::new(100);
        let (join, sort) = (budget.register("join"), budget.register("sort"));
        join.try_grow(70).unwrap();
        sort.try_grow(20).unwrap();
        let error = sort.try_grow(11).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        let Error::OutOfMemory { asked_bytes, limit_bytes, consumers } = error else { panic!("{error}") };
        assert_eq!((asked_bytes, limit_bytes), (11, 100));
        assert_eq!(consumers, vec![("join".to_string(), 70), ("sort".to_string(), 20)]);
        sort.try_grow(10).unwrap();
    }

    #[test]
    fn growing_beyond_the_limit_is_counted() {
        let budget = MemoryBudget::new(100);
        let log = budget.register("log");
        log.grow(150);
        assert_eq!((budget.used_bytes(), log.bytes()), (150, 150));
        log.shrink(1000);
        assert_eq!((budget.used_bytes(), log.bytes()), (0, 0));
    }

    #[test]
    fn evictors_are_asked_before_anybody_is_refused() {
        let budget = MemoryBudget::new(1000);
        let cache = Arc::new(budget.register("frames"));
        cache.try_grow(900).unwrap();
        let frames = Arc::downgrade(&cache);
        budget.register_evictor(move |bytes| {
            let Some(frames) = frames.upgrade() else { return 0 };
            let freed = bytes.min(frames.bytes());
            frames.shrink(freed);
            freed
        });
        let join = budget.register("join");
        join.try_grow(500).unwrap();
        assert!(budget.used_bytes() <= 1000);
        assert!(cache.bytes() <= 500);
        assert!(join.try_grow(501).is_err());
    }

    #[test]
    fn the_total_stays_within_the_limit_under_contention() {
        let budget = MemoryBudget::new(10_000);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let budget = &budget;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let mine = budget.register("worker");
                    for _ in 0..20_000 {
                        if random.bool() {
                            let _ = mine.try_grow(random.usize(0..4000));
                        } else {
                            mine.shrink(random.usize(0..4000));
                        }
                        assert!(budget.used_bytes() <= 10_000);
                    }
                });
            }
        });
        assert_eq!(budget.used_bytes(), 0);
    }
}
