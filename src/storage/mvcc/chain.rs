//! Version chains: what the delta tree has for a key.
//!
//! ```text
//! Chain ──► 42: deleted ──► 17: "b" ──► 9: "a" ──► nothing
//!           newest                      oldest
//! ```
//!
//! A reader at timestamp `t` takes the first version whose timestamp is not above `t`: at 20 it is "b", at 50 the row is
//! deleted, at 8 the chain knows nothing of it. The writer puts new versions in front and takes out those that no snapshot
//! sees, wherever they are: with snapshots at 10 and 42, version 17 goes and 9 stays.
//!
//! What must always hold:
//! - timestamps strictly descend along the chain, in every state that a reader can meet;
//! - a version is complete before the pointer to it is stored with release, and changes by its `next` alone;
//! - a version that was taken out keeps its `next`, for readers that stand on it, and goes to the epoch. From there on they
//!   meet only older versions, and none that their snapshot sees was ever taken out, so they still find theirs.
//!
//! The writer of the tree is the writer of its chains: [`Writer::write`], [`Writer::prune`] and [`Writer::take_back`].

#![expect(unsafe_code, reason = "versions live as long as a guard can find them, which the compiler cannot see")]

use crate::btree::{Value, Writer};
use crate::epoch::{self, AtomicPtr, Canary, Guard, Ordering};
use crate::ids::Timestamp;

/// The versions of one key, newest first.
pub(crate) struct Chain<T: Value> {
    newest: AtomicPtr<ChainVersion<T>>,
}

/// A value, or its absence, from a timestamp on.
pub(crate) struct ChainVersion<T> {
    canary: Canary,
    timestamp: Timestamp,
    /// None: deleted.
    value: Option<T>,
    next: AtomicPtr<ChainVersion<T>>,
}

impl<T> ChainVersion<T> {
    /// The commit that wrote it.
    pub(crate) fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// What was written; none if the row was deleted.
    pub(crate) fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }
}

impl<T: Value> Chain<T> {
    /// A chain of no version.
    pub(crate) fn new() -> Self {
        Chain { newest: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// The newest version.
    #[inline]
    pub(crate) fn newest<'g>(&'g self, guard: &'g Guard) -> Option<&'g ChainVersion<T>> {
        Self::follow(&self.newest, guard)
    }

    /// The version that a snapshot at `timestamp` sees; none if the chain knows nothing so old.
    #[inline]
    pub(crate) fn at<'g>(&'g self, timestamp: Timestamp, guard: &'g Guard) -> Option<&'g ChainVersion<T>> {
        let mut version = self.newest(guard)?;
        while version.timestamp > timestamp {
            version = Self::follow(&version.next, guard)?;
        }
        Some(version)
    }

    /// Visits all versions, newest first.
    pub(crate) fn for_each(&self, guard: &Guard, mut visit: impl FnMut(&ChainVersion<T>)) {
        let mut next = self.newest(guard);
        while let Some(version) = next {
            visit(version);
            next = Self::follow(&version.next, guard);
        }
    }

    #[inline]
    fn follow<'g>(link: &'g AtomicPtr<ChainVersion<T>>, _guard: &'g Guard) -> Option<&'g ChainVersion<T>> {
        // SAFETY: a link is null or points to a complete version, published by release. The version was linked after the
        // guard's birth or still is, also if the link is that of a version taken out since: then it was linked when that one was
        // taken out. So it is retired, if ever, under this guard's eyes, which keeps it. Only atomics in it change.
        let version = unsafe { link.load(Ordering::Acquire).as_ref() }?;
        version.canary.check();
        Some(version)
    }

    /// Puts a version in front of all others.
    ///
    /// # Safety
    /// One thread at a time calls `push`, `prune` and `take_back` of this chain.
    unsafe fn push(&self, timestamp: Timestamp, value: Option<T>) {
        let next = self.newest.load(Ordering::Relaxed);
        // SAFETY: the newest version is linked, and this thread is the only one that could take it out.
        let before = unsafe { next.as_ref() }.map(|version| version.timestamp);
        assert!(before.is_none_or(|before| before < timestamp), "versions are written in the order of commits");
        let next = AtomicPtr::new(next);
        let version = Box::new(ChainVersion { canary: Canary::new(), timestamp, value, next });
        self.newest.store(Box::into_raw(version), Ordering::Release);
    }

    /// Takes out the versions that no snapshot of `live` (sorted) sees and none will that begins at `published` or later. Whether all that is
    /// left says "deleted" to everybody, and can go, too.
    ///
    /// # Safety
    /// One thread at a time calls `push`, `prune` and `take_back` of this chain.
    unsafe fn prune(
        &self,
        live: &[Timestamp],
        published: Timestamp,
        guard: &Guard,
        removed: &mut impl FnMut(&ChainVersion<T>),
    ) -> bool {
        debug_assert!(live.is_sorted(), "live snapshots come sorted");
        let Some(newest) = self.newest(guard) else { return true };
        let mut kept = newest;
        // A version ends where the next newer one begins, whether that one is kept or not.
        let mut end = newest.timestamp;
        while let Some(version) = Self::follow(&kept.next, guard) {
            let oldest_reader = live.partition_point(|snapshot| *snapshot < version.timestamp);
            let is_seen = end > published || live.get(oldest_reader).is_some_and(|snapshot| *snapshot < end);
            end = version.timestamp;
            if is_seen {
                kept = version;
                continue;
            }
            removed(version);
            let version = kept.next.load(Ordering::Relaxed);
            kept.next.store(Self::next_of(version, guard), Ordering::Release);
            // SAFETY: `version` was just unlinked, and only here can that happen: it is retired once. `T` may be
            // dropped in any thread (`Value`).
            unsafe { guard.retire(move || Self::free(version)) }
        }
        std::ptr::eq(kept, newest)
            && newest.value.is_none()
            && newest.timestamp <= published
            && live.first().is_none_or(|oldest| newest.timestamp <= *oldest)
    }

    /// Takes out the versions from `from` on, which no snapshot sees.
    ///
    /// # Safety
    /// One thread at a time calls `push`, `prune` and `take_back` of this chain.
    unsafe fn take_back(&self, from: Timestamp, guard: &Guard, removed: &mut impl FnMut(&ChainVersion<T>)) {
        while let Some(newest) = self.newest(guard).filter(|newest| newest.timestamp >= from) {
            let version = self.newest.load(Ordering::Relaxed);
            removed(newest);
            self.newest.store(Self::next_of(version, guard), Ordering::Release);
            // SAFETY: as in `prune`: just unlinked, and retired once.
            unsafe { guard.retire(move || Self::free(version)) }
        }
    }

    fn next_of(version: *mut ChainVersion<T>, _guard: &Guard) -> *mut ChainVersion<T> {
        // SAFETY: called with a version that is linked, which only the caller, the one writer, could change.
        unsafe { (*version).next.load(Ordering::Acquire) }
    }

    /// Frees one version.
    ///
    /// # Safety
    /// Nobody can reach it any more, and it is freed once.
    unsafe fn free(version: *mut ChainVersion<T>) {
        #[cfg(all(test, any(loom, shuttle)))]
        // SAFETY: the version is there: a model never frees, it only marks.
        return unsafe { &*version }.canary.kill();
        #[cfg(not(all(test, any(loom, shuttle))))]
        // SAFETY: versions are made by `Box::into_raw` in `push`.
        drop(unsafe { Box::from_raw(version) });
    }
}

impl<T: Value> Drop for Chain<T> {
    fn drop(&mut self) {
        let mut version = self.newest.load(Ordering::Acquire);
        while !version.is_null() {
            // SAFETY: the chain is owned here, so nobody else can reach its versions; each is linked once, and read
            // before it is freed. Those that were taken out before are not among them.
            unsafe {
                let next = (*version).next.load(Ordering::Acquire);
                Self::free(version);
                version = next;
            }
        }
    }
}

/// What a writer knows of readers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readers<'a> {
    /// Timestamps of the snapshots that there are, sorted.
    pub(crate) live: &'a [Timestamp],
    /// The newest timestamp that a snapshot can have that is taken from now on.
    pub(crate) published: Timestamp,
}

impl<T: Value> Writer<Chain<T>> {
    /// Writes `value` (none: deletes) at `timestamp`, which is above those of all versions of `key`, if `accept` agrees to
    /// the newest version there is; false otherwise. `removed` is told of versions that nobody sees any more, which go.
    pub(crate) fn write(
        &mut self,
        key: &[u8],
        timestamp: Timestamp,
        value: Option<T>,
        readers: Readers<'_>,
        accept: impl FnOnce(Option<&ChainVersion<T>>) -> bool,
        removed: &mut impl FnMut(&ChainVersion<T>),
    ) -> bool {
        let guard = epoch::pin();
        let chain = self.get_or_insert_with(key, Chain::new);
        let newest = chain.newest(&guard);
        if !accept(newest) {
            if newest.is_none() {
                self.remove(key);
            }
            return false;
        }
        // SAFETY: chains in a tree are changed by the tree's writer alone, which is borrowed mutably. That `readers` has all of them
        // is the caller's business; a reader that is not in it could miss its version, but still meets no freed one,
        // which the guards see to.
        unsafe {
            chain.push(timestamp, value);
            chain.prune(readers.live, readers.published, &guard, removed);
        }
        true
    }

    /// Takes out the versions of `key` that none of `readers` sees; the key itself goes when nobody can tell it from a
    /// deleted one. Whether it went.
    pub(crate) fn prune(
        &mut self,
        key: &[u8],
        readers: Readers<'_>,
        removed: &mut impl FnMut(&ChainVersion<T>),
    ) -> bool {
        let guard = epoch::pin();
        let Some(chain) = self.get(key) else { return false };
        // SAFETY: as in `write`.
        let is_dead = unsafe { chain.prune(readers.live, readers.published, &guard, removed) };
        if is_dead {
            chain.newest(&guard).into_iter().for_each(removed);
        }
        is_dead && self.remove(key)
    }

    /// Takes out the versions of `key` from `from` on, which no snapshot sees or ever saw, and the key if no other is left.
    pub(crate) fn take_back(&mut self, key: &[u8], from: Timestamp, removed: &mut impl FnMut(&ChainVersion<T>)) {
        let guard = epoch::pin();
        let Some(chain) = self.get(key) else { return };
        // SAFETY: as in `write`. Nobody reads at such a timestamp, so nobody misses them.
        unsafe { chain.take_back(from, &guard, removed) }
        if chain.newest(&guard).is_none() {
            self.remove(key);
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
#[cfg(all(test, any(loom, shuttle)))]
mod model_tests;
