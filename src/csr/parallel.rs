//! Work shared by threads: ranges that each thread claims when it is done with its last one.
//!
//! Threads live for one call. That costs some tens of microseconds, so little work is done by the caller alone.

use crate::error::{Error, Result};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Calls `work` with a state of each thread's own (made by `state`) and ranges of at most `grain` that together are
/// `0..len`; returns the states, in no particular order. The first error ends all threads.
pub(crate) fn ranges<S: Send>(
    threads: usize,
    len: usize,
    grain: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, Range<usize>) -> Result<()> + Sync,
) -> Result<Vec<S>> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let run = || -> Result<S> {
        let mut own = state();
        while !failed.load(Ordering::Relaxed) {
            let start = next.fetch_add(grain, Ordering::Relaxed);
            if start >= len {
                break;
            }
            if let Err(error) = work(&mut own, start..(start + grain).min(len)) {
                failed.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(own)
    };
    let threads = threads.clamp(1, len.div_ceil(grain).max(1));
    all(threads, |_| run())
}

/// Calls `work` with a state of each thread's own (made by `state`) and every item, each once.
pub(crate) fn items<S, T: Send>(
    threads: usize,
    items: Vec<T>,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T) -> Result<()> + Sync,
) -> Result<()> {
    let threads = threads.clamp(1, items.len().max(1));
    let queue = Mutex::new(items.into_iter());
    let next = || queue.lock().expect("no thread panics while it takes an item").next();
    let run = || -> Result<()> {
        let mut own = state();
        while let Some(item) = next() {
            if let Err(error) = work(&mut own, item) {
                // The others find nothing more to do.
                while next().is_some() {}
                return Err(error);
            }
        }
        Ok(())
    };
    all(threads, |_| run()).map(|_| ())
}

/// Calls `work` on `threads` threads, of which the caller's is one, with the number of each.
pub(crate) fn all<S: Send>(threads: usize, work: impl Fn(usize) -> Result<S> + Sync) -> Result<Vec<S>> {
    if threads <= 1 {
        return Ok(vec![work(0)?]);
    }
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        let mut results = vec![work(0)];
        // A panic of a thread goes on in the caller.
        results.extend(
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
        );
        // A thread that failed says why; one that was merely stopped by it is not asked.
        let stopped = results.iter().position(|result| result.as_ref().is_err_and(|error| *error != Error::Stopped));
        match stopped {
            Some(first) => results.swap_remove(first).map(|only| vec![only]),
            None => results.into_iter().collect(),
        }
    })
}
