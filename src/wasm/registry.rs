//! What each function has done since the database was opened.

use lightning_catalog::Oid;
use lightning_sandbox::Counters;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Functions that are counted at most; what comes after is counted by itself and not shown.
const FUNCTIONS_MAX: usize = 100_000;

/// Counters by function.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<HashMap<Oid, Arc<Counters>>>);

impl Registry {
    /// The counters of a function.
    pub(crate) fn of(&self, function: Oid) -> Arc<Counters> {
        let mut known = self.0.lock();
        if known.len() >= FUNCTIONS_MAX && !known.contains_key(&function) {
            return Arc::default();
        }
        Arc::clone(known.entry(function).or_default())
    }

    /// The counters of a function that was called.
    pub(crate) fn known(&self, function: Oid) -> Option<Arc<Counters>> {
        self.0.lock().get(&function).cloned()
    }
}
