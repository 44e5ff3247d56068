//! What calls of a function have cost so far.

use std::sync::atomic::{AtomicU64, Ordering};

/// Sums over all calls of one function, by all threads.
#[derive(Debug, Default)]
pub struct Counters {
    /// Batches.
    pub calls: AtomicU64,
    /// Rows.
    pub rows: AtomicU64,
    /// Nanoseconds inside the guest, its start and the copying of its arguments and results.
    pub nanos: AtomicU64,
    /// Fuel, where it is counted.
    pub fuel: AtomicU64,
    /// Calls that ended in a trap, a time-out or without fuel.
    pub traps: AtomicU64,
    /// The most bytes one instance's memory had.
    pub memory_peak: AtomicU64,
}

impl Counters {
    /// Adds to one of the sums.
    pub(crate) fn add(sum: &AtomicU64, by: u64) {
        sum.fetch_add(by, Ordering::Relaxed);
    }

    /// One more batch of `rows`.
    pub(crate) fn count_call(&self, rows: usize) {
        Counters::add(&self.calls, 1);
        Counters::add(&self.rows, rows as u64);
    }
}
