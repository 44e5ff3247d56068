//! What the triggers of an instance have done since it was opened.

use lightning_catalog::Oid;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// What one trigger has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TriggerCounts {
    /// Calls of its function.
    pub(crate) calls: u64,
    /// Rows the function was given.
    pub(crate) rows: u64,
    /// Time spent in it, with all that it led to.
    pub(crate) time: Duration,
}

/// Counts by trigger.
#[derive(Debug, Default)]
pub(crate) struct TriggerCounters(Mutex<HashMap<Oid, TriggerCounts>>);

impl TriggerCounters {
    /// One call is over.
    pub(crate) fn count(&self, trigger: Oid, rows: u64, time: Duration) {
        let mut all = self.0.lock();
        let counts = all.entry(trigger).or_default();
        counts.calls += 1;
        counts.rows += rows;
        counts.time += time;
    }

    /// What a trigger has done.
    pub(crate) fn of(&self, trigger: Oid) -> TriggerCounts {
        self.0.lock().get(&trigger).copied().unwrap_or_default()
    }
}
