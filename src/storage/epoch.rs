//! Atomic words and epoch pins, behind one door.
//!
//! Structures that are read without locks take their atomics from here, so that loom and shuttle can put theirs in when
//! a model is tested (`--cfg loom`, `--cfg shuttle`). Memory that readers may still look at is given to
//! [`Guard::retire`], which frees it when every guard that was alive at that moment is gone: `crossbeam-epoch`, or in a
//! model a list that frees as early as the rule allows and, in place of freeing, breaks a [`Canary`] that every access
//! checks.

#![expect(unsafe_code, reason = "freeing what other threads may have been reading is the caller's promise")]

#[cfg(not(all(test, any(loom, shuttle))))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64};

#[cfg(all(test, loom))]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64};

#[cfg(all(test, shuttle, not(loom)))]
pub(crate) use shuttle::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64};

#[cfg(not(all(test, any(loom, shuttle))))]
pub(crate) use real::{Canary, Guard, pin};

#[cfg(all(test, any(loom, shuttle)))]
pub(crate) use model::{Canary, Guard, pin};

pub(crate) use std::sync::atomic::Ordering;

#[cfg(not(all(test, any(loom, shuttle))))]
mod real {
    /// While it lives, nothing that could be reached after its birth is freed. Cheap, and not to be held for long:
    /// it keeps back the memory of everybody.
    pub(crate) struct Guard(crossbeam_epoch::Guard);

    /// A guard of this thread.
    #[inline]
    pub(crate) fn pin() -> Guard {
        Guard(crossbeam_epoch::pin())
    }

    impl Guard {
        /// Runs `free` when no guard that lives now is left.
        ///
        /// # Safety
        /// No guard born from now on can lead to what `free` frees; that is retired once; `free` may run in any thread.
        #[inline]
        pub(crate) unsafe fn retire(&self, free: impl FnOnce()) {
            // SAFETY: the caller's promise is that of `defer_unchecked`.
            unsafe { self.0.defer_unchecked(free) }
        }

        /// Hands this thread's garbage over, so that it does not wait here for more of it.
        #[cfg(test)]
        pub(crate) fn flush(&self) {
            self.0.flush();
        }
    }

    /// Nothing, outside models.
    pub(crate) struct Canary;

    impl Canary {
        #[inline]
        pub(crate) fn new() -> Self {
            Canary
        }

        #[inline]
        pub(crate) fn check(&self) {}
    }
}

/// Guards and garbage as a model wants them: all threads of a model are one thread of the system, so plain cells do.
#[cfg(all(test, any(loom, shuttle)))]
mod model {
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicBool, Ordering};

    type Free = Box<dyn FnOnce()>;

    #[derive(Default)]
    struct Registry {
        next: u64,
        alive: Vec<u64>,
        garbage: Vec<(Vec<u64>, Free)>,
    }

    thread_local! {
        static REGISTRY: RefCell<Registry> = RefCell::default();
    }

    pub(crate) struct Guard(u64);

    pub(crate) fn pin() -> Guard {
        let id = REGISTRY.with_borrow_mut(|registry| {
            registry.next += 1;
            registry.alive.push(registry.next);
            registry.next
        });
        fence();
        Guard(id)
    }

    /// As `crossbeam-epoch` has one in a pin and in a retirement: a pin either is seen by a retirement, which then waits for
    /// it, or sees all that was unlinked before.
    fn fence() {
        #[cfg(loom)]
        loom::sync::atomic::fence(Ordering::SeqCst);
    }

    impl Guard {
        /// As in the real one, but marks what it would free: see `Canary`.
        pub(crate) unsafe fn retire(&self, free: impl FnOnce() + 'static) {
            fence();
            REGISTRY.with_borrow_mut(|registry| {
                let alive = registry.alive.clone();
                registry.garbage.push((alive, Box::new(free)));
            });
        }
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            let due = REGISTRY.with_borrow_mut(|registry| {
                registry.alive.retain(|id| *id != self.0);
                for (holders, _) in &mut registry.garbage {
                    holders.retain(|id| *id != self.0);
                }
                let (due, kept) = std::mem::take(&mut registry.garbage).into_iter().partition(|(h, _)| h.is_empty());
                registry.garbage = kept;
                due
            });
            let due: Vec<(Vec<u64>, Free)> = due;
            for (_, free) in due {
                free();
            }
        }
    }

    /// Broken when its owner would have been freed.
    pub(crate) struct Canary(AtomicBool);

    impl Canary {
        pub(crate) fn new() -> Self {
            Canary(AtomicBool::new(false))
        }

        pub(crate) fn check(&self) {
            assert!(!self.0.load(Ordering::Relaxed), "memory was used after it was freed");
        }

        pub(crate) fn kill(&self) {
            assert!(!self.0.swap(true, Ordering::Relaxed), "memory was freed twice");
        }
    }
}
