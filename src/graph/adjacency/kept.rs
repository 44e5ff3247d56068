//! What is kept beside a base from statement to statement, while there is room.

use lightning_storage::budget::Reservation;
use parking_lot::Mutex;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Most values of a kind: statements may have ever new constants. When there are as many, all of them go.
const KEPT_MAX: usize = 32;

/// Values of a kind by what they are of, with their bytes.
#[derive(Debug)]
pub(super) struct Kept<K, V> {
    values: Mutex<HashMap<K, (Arc<V>, usize)>>,
    memory: Reservation,
}

impl<K: Eq + Hash, V> Kept<K, V> {
    /// None yet; what is kept is reserved from `memory`.
    pub(super) fn new(memory: Reservation) -> Kept<K, V> {
        Kept { values: Mutex::default(), memory }
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// What is kept of `key`.
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.values.lock().get(key).map(|(value, _)| value.clone())
    }

    /// Keeps a value of so many bytes, if there is room.
    pub(super) fn keep(&self, key: K, value: &Arc<V>, bytes: usize) {
        // Nothing is locked while memory is asked for: the graph itself may have to go for it.
        if self.memory.try_grow(bytes).is_err() {
            return;
        }
        let mut values = self.values.lock();
        let gone: usize = match values.len() < KEPT_MAX {
            true => 0,
            false => values.drain().map(|(_, (_, bytes))| bytes).sum(),
        };
        // Another statement may have kept the same meanwhile.
        let same = values.insert(key, (value.clone(), bytes)).map_or(0, |(_, bytes)| bytes);
        self.memory.shrink(gone + same);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lightning_storage::budget::MemoryBudget;

    #[test]
    fn values_are_kept_within_the_budget_and_not_without_end() {
        let budget = MemoryBudget::new(10 * KEPT_MAX);
        let kept: Kept<String, usize> = Kept::new(budget.register("kept"));
        (0..KEPT_MAX).for_each(|number| kept.keep(number.to_string(), &Arc::new(number), 5));
        kept.keep("0".to_owned(), &Arc::new(7), 5);
        assert_eq!((kept.get("0"), kept.get("1")), (Some(Arc::new(7)), None));
        assert_eq!((kept.bytes(), budget.used_bytes()), (5, 5));
        kept.keep("0".to_owned(), &Arc::new(8), 6);
        assert_eq!((kept.get("0"), kept.bytes()), (Some(Arc::new(8)), 6));
        kept.keep("1".to_owned(), &Arc::new(9), 10 * KEPT_MAX);
        assert_eq!((kept.get("1"), kept.bytes()), (None, 6));
        drop(kept);
        assert_eq!(budget.used_bytes(), 0);
    }
}
