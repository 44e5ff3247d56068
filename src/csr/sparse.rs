//! A map from states of a search to numbers, for searches that see little of a large graph.
//!
//! Open addressing with linear probing, at most half full. A search gives each state it finds the next number, so that
//! what is known of the states lies in plain columns.

/// No state has this key.
const EMPTY: u64 = u64::MAX;
const CAPACITY_MIN: usize = 64;
/// A larger table is given back when it is cleared, lest one large search make all later ones slow.
const CAPACITY_KEPT: usize = 1 << 14;

/// Numbers by state.
#[derive(Clone, Debug)]
pub(crate) struct SparseMap {
    slots: Vec<(u64, u32)>,
    len: usize,
}

impl SparseMap {
    pub(crate) fn new() -> SparseMap {
        SparseMap { slots: vec![(EMPTY, 0); CAPACITY_MIN], len: 0 }
    }

    /// A set of vertices.
    pub(crate) fn of(vertices: &[u32]) -> SparseMap {
        let mut map = SparseMap::new();
        for &vertex in vertices {
            map.insert(u64::from(vertex), 0);
        }
        map
    }

    /// Whether `vertex` is in a set of vertices.
    #[inline]
    pub(crate) fn has(&self, vertex: u32) -> bool {
        self.get(u64::from(vertex)).is_some()
    }

    /// How many states have a number.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        if self.slots.len() > CAPACITY_KEPT {
            *self = SparseMap::new();
        } else if self.len > 0 {
            self.slots.fill((EMPTY, 0));
            self.len = 0;
        }
    }

    /// The number of `key`, if it has one.
    #[inline]
    pub(crate) fn get(&self, key: u64) -> Option<u32> {
        let (found, number) = self.slots[self.slot(key)];
        (found == key).then_some(number)
    }

    /// The number `key` has already; otherwise gives it `number` and returns `None`.
    #[inline]
    pub(crate) fn insert(&mut self, key: u64, number: u32) -> Option<u32> {
        debug_assert_ne!(key, EMPTY);
        let slot = self.slot(key);
        if self.slots[slot].0 == key {
            return Some(self.slots[slot].1);
        }
        self.slots[slot] = (key, number);
        self.len += 1;
        if self.len * 2 > self.slots.len() {
            self.grow();
        }
        None
    }

    /// Where `key` is, or belongs.
    #[inline]
    fn slot(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        // Multiplicative hashing (Knuth): the upper bits depend on all of the key.
        let mut slot = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & mask;
        while self.slots[slot].0 != key && self.slots[slot].0 != EMPTY {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        let larger = vec![(EMPTY, 0); self.slots.len() * 4];
        for entry in std::mem::replace(&mut self.slots, larger) {
            if entry.0 != EMPTY {
                let slot = self.slot(entry.0);
                self.slots[slot] = entry;
            }
        }
    }
}
