//! Leaves: a sorted base that never changes, and a small delta that only grows.
//!
//! ```text
//! line 0      level, count, prefix_len, delta_len, seven hints
//! lines 1-2   heads of the delta, in order of arrival      ┐ 16 places
//!             heads of the base, sorted                    ┐ 64 places
//!             entries of the base                          ┘
//!             entries of the delta                         ┘
//! ```
//!
//! The writer appends to the delta: it stores head and entry into the next place, then `delta_len` with release. A reader
//! loads `delta_len` with acquire and looks at no place behind it. Places are atomics, so a look too far would find null, and not be
//! undefined. A full delta, a removal or a key without the leaf's prefix makes a new leaf.

#![expect(unsafe_code, reason = "entries of a leaf that is held by reference are alive")]

use super::entry::EntryPtr;
use super::node::{Header, TwoNodes};
use super::search::{self, GROUPS, Hints, NO_HEAD, compare_prefix, head, rank};
use super::{DELTA_KEYS, LEAF_GROUP, LEAF_KEYS, Value};
use crate::epoch::{AtomicPtr, AtomicU8, AtomicU64, Ordering};

/// A sorted base and what was added since.
#[repr(C, align(64))]
pub(super) struct Leaf<V> {
    header: Header,
    count: u8,
    delta_len: AtomicU8,
    prefix_len: u32,
    hints: Hints,
    delta_heads: [AtomicU64; DELTA_KEYS],
    heads: [[u64; LEAF_GROUP]; GROUPS],
    entries: [Option<EntryPtr<V>>; LEAF_KEYS],
    delta: [AtomicPtr<u8>; DELTA_KEYS],
}

/// An entry with its head in some leaf.
pub(super) struct Item<V> {
    pub(super) head: u64,
    pub(super) entry: EntryPtr<V>,
}

impl<V> Clone for Item<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Item<V> {}

/// The most entries that one leaf can give, with one more to come.
pub(super) const ITEMS_MAX: usize = LEAF_KEYS + DELTA_KEYS + 1;

/// All entries of a leaf at one moment, in order of their keys.
pub(super) struct Items<V> {
    prefix_len: u32,
    items: Vec<Item<V>>,
}

impl<V: Value> Leaf<V> {
    /// A leaf of `items`, sorted, whose heads are those after `prefix_len` bytes that all keys share.
    pub(super) fn new(prefix_len: u32, items: &[Item<V>]) -> Box<Self> {
        assert!(items.len() <= LEAF_KEYS, "a leaf's base has its bound");
        let mut heads = [[NO_HEAD; LEAF_GROUP]; GROUPS];
        let mut entries = [None; LEAF_KEYS];
        for (at, item) in items.iter().enumerate() {
            heads.as_flattened_mut()[at] = item.head;
            entries[at] = Some(item.entry);
        }
        Box::new(Leaf {
            header: Header::new(0),
            count: items.len() as u8,
            delta_len: AtomicU8::new(0),
            prefix_len,
            hints: search::hints(&heads),
            delta_heads: std::array::from_fn(|_| AtomicU64::new(NO_HEAD)),
            heads,
            entries,
            delta: std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut())),
        })
    }

    /// Entries in the base and the delta.
    pub(super) fn len(&self) -> usize {
        usize::from(self.count) + self.delta_len()
    }

    #[inline]
    fn delta_len(&self) -> usize {
        usize::from(self.delta_len.load(Ordering::Acquire)).min(DELTA_KEYS)
    }

    #[inline]
    pub(super) fn prefix_len(&self) -> usize {
        self.prefix_len as usize
    }

    /// Key and value of an entry of this leaf.
    #[inline]
    pub(super) fn read(&self, entry: EntryPtr<V>) -> (&[u8], &V) {
        // SAFETY: whoever has the leaf by reference has it under a guard or is the writer; the leaf's entries are
        // retired after the leaf, so they live as long as the reference does.
        unsafe { entry.get() }
    }

    /// The entry of `key`.
    ///
    /// Keys without the common prefix need no care: their head may be found, but no key is equal.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<EntryPtr<V>> {
        let head = head(key, self.prefix_len());
        let at = rank(&self.hints, &self.heads, head);
        if at < usize::from(self.count) && self.heads.as_flattened()[at] == head {
            let entry = self.entries[at]?;
            if self.read(entry).0 == key {
                return Some(entry);
            }
            if let Some(entry) = self.find_among_equal_heads(at, head, key) {
                return Some(entry);
            }
        }
        self.find_in_delta(head, key)
    }

    /// The entry that `find` will most likely compare, for prefetching.
    #[inline]
    pub(super) fn candidate(&self, key: &[u8]) -> Option<EntryPtr<V>> {
        let at = rank(&self.hints, &self.heads, head(key, self.prefix_len()));
        *self.entries.get(at)?
    }

    #[cold]
    fn find_among_equal_heads(&self, first: usize, head: u64, key: &[u8]) -> Option<EntryPtr<V>> {
        let equal = self.heads.as_flattened()[first..usize::from(self.count)].partition_point(|other| *other == head);
        let entries = &self.entries[first..first + equal];
        let at = entries.binary_search_by(|entry| entry.map(|entry| self.read(entry).0).cmp(&Some(key))).ok()?;
        entries[at]
    }

    #[inline]
    fn find_in_delta(&self, head: u64, key: &[u8]) -> Option<EntryPtr<V>> {
        let len = self.delta_len();
        for (other, entry) in self.delta_heads[..len].iter().zip(&self.delta) {
            if other.load(Ordering::Relaxed) == head {
                let entry = EntryPtr::from_raw(entry.load(Ordering::Relaxed))?;
                if self.read(entry).0 == key {
                    return Some(entry);
                }
            }
        }
        None
    }

    /// Adds `entry` to the delta; false when it is full or the key lacks the leaf's prefix. The writer only.
    pub(super) fn try_append(&self, entry: EntryPtr<V>) -> bool {
        let len = self.delta_len();
        let (key, _) = self.read(entry);
        if len == DELTA_KEYS || !self.has_prefix(key) {
            return false;
        }
        self.delta_heads[len].store(head(key, self.prefix_len()), Ordering::Relaxed);
        self.delta[len].store(entry.into_raw(), Ordering::Relaxed);
        // Publishes the entry and both words above to whoever acquires the new length.
        self.delta_len.store(len as u8 + 1, Ordering::Release);
        true
    }

    fn has_prefix(&self, key: &[u8]) -> bool {
        let len = self.prefix_len();
        // A leaf with a prefix has a key that has it.
        len == 0 || self.entries[0].is_some_and(|first| key.get(..len) == Some(&self.read(first).0[..len]))
    }

    /// Base and delta, united.
    pub(super) fn sorted(&self) -> Items<V> {
        let mut items = Items { prefix_len: 0, items: Vec::with_capacity(ITEMS_MAX) };
        self.sort_into(&mut items);
        items
    }

    /// Base and delta, united in `into`, whose memory is used again.
    pub(super) fn sort_into(&self, into: &mut Items<V>) {
        into.prefix_len = self.prefix_len;
        into.items.clear();
        let count = usize::from(self.count);
        let base = self.heads.as_flattened()[..count].iter().zip(&self.entries);
        into.items.extend(base.filter_map(|(head, entry)| entry.map(|entry| Item { head: *head, entry })));
        let len = self.delta_len();
        for (head, entry) in self.delta_heads[..len].iter().zip(&self.delta) {
            if let Some(entry) = EntryPtr::from_raw(entry.load(Ordering::Relaxed)) {
                into.insert(Item { head: head.load(Ordering::Relaxed), entry });
            }
        }
    }
}

impl<V: Value> Items<V> {
    pub(super) fn new() -> Self {
        Items { prefix_len: 0, items: Vec::with_capacity(ITEMS_MAX) }
    }

    pub(super) fn items(&self) -> &[Item<V>] {
        &self.items
    }

    /// The key at `at`.
    #[inline]
    pub(super) fn key(&self, at: usize) -> &[u8] {
        // SAFETY: items are taken from leaves under a guard that outlives them, or by the writer.
        unsafe { self.items[at].entry.key() }
    }

    /// Puts an item with its head into its place.
    fn insert(&mut self, item: Item<V>) {
        // SAFETY: as in `key`.
        let before = |other: &Item<V>| {
            other.head < item.head || other.head == item.head && unsafe { other.entry.key() < item.entry.key() }
        };
        let at = self.items.partition_point(before);
        self.items.insert(at, item);
    }

    /// Puts an entry into its place. Shortens the common prefix if the key does not have it.
    pub(super) fn insert_entry(&mut self, entry: EntryPtr<V>) {
        // SAFETY: as in `key`; the new entry belongs to the writer.
        let key = unsafe { entry.key() };
        if let Some(first) = self.items.first() {
            // SAFETY: as in `key`.
            let shared = search::common_prefix(key, unsafe { first.entry.key() });
            if shared < self.prefix_len as usize {
                self.set_prefix(shared);
            }
        } else {
            self.prefix_len = 0;
        }
        self.insert(Item { head: head(key, self.prefix_len as usize), entry });
    }

    /// Adds an entry whose key is above all others. There is no common prefix then.
    pub(super) fn push(&mut self, entry: EntryPtr<V>) {
        debug_assert_eq!(self.prefix_len, 0, "items that grow at the end have no prefix yet");
        // SAFETY: as in `key`; the new entry belongs to the writer.
        self.items.push(Item { head: head(unsafe { entry.key() }, 0), entry });
    }

    /// Takes the first `count` items away.
    pub(super) fn remove_first(&mut self, count: usize) {
        self.items.drain(..count);
    }

    /// Takes `key` out, if it is there.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<EntryPtr<V>> {
        let at = self.lower_bound(key);
        if at == self.items.len() || self.key(at) != key {
            return None;
        }
        let removed = self.items.remove(at).entry;
        if self.items.is_empty() {
            self.prefix_len = 0;
        }
        Some(removed)
    }

    /// How many keys are below `key`.
    pub(super) fn lower_bound(&self, key: &[u8]) -> usize {
        let Some(first) = self.items.first() else { return 0 };
        // SAFETY: as in `key`.
        let prefix = unsafe { &first.entry.key()[..self.prefix_len as usize] };
        match compare_prefix(key, prefix) {
            std::cmp::Ordering::Less => return 0,
            std::cmp::Ordering::Greater => return self.items.len(),
            std::cmp::Ordering::Equal => {}
        }
        let head = head(key, prefix.len());
        // SAFETY: as in `key`.
        self.items
            .partition_point(|other| other.head < head || other.head == head && unsafe { other.entry.key() } < key)
    }

    /// How many keys are not above `key`.
    pub(super) fn upper_bound(&self, key: &[u8]) -> usize {
        let at = self.lower_bound(key);
        at + usize::from(at < self.items.len() && self.key(at) == key)
    }

    /// Adds the items of the leaf to the right.
    pub(super) fn append(&mut self, right: &Items<V>) {
        self.items.extend_from_slice(&right.items);
        let shared = match self.items.len() {
            0 | 1 => 0,
            len => search::common_prefix(self.key(0), self.key(len - 1)),
        };
        self.set_prefix(shared);
    }

    fn set_prefix(&mut self, len: usize) {
        self.prefix_len = len as u32;
        for item in &mut self.items {
            // SAFETY: as in `key`.
            item.head = head(unsafe { item.entry.key() }, len);
        }
    }

    /// One leaf of all items, with the prefix they have.
    pub(super) fn into_leaf(self) -> Box<Leaf<V>> {
        Leaf::new(self.prefix_len, &self.items)
    }

    /// A leaf of the items from `start` to `end`, with the longest prefix.
    pub(super) fn leaf_of(&self, start: usize, end: usize) -> Box<Leaf<V>> {
        let mut part = Items { prefix_len: self.prefix_len, items: self.items[start..end].to_vec() };
        let shared = match end - start {
            0 | 1 => 0,
            _ => search::common_prefix(self.key(start), self.key(end - 1)),
        };
        if shared != self.prefix_len as usize {
            part.set_prefix(shared);
        }
        part.into_leaf()
    }

    /// Two leaves of all items, `left` of them in the first, and what separates them.
    pub(super) fn into_two(self, left: usize) -> TwoNodes<Leaf<V>> {
        let separator = search::separator(self.key(left - 1), self.key(left));
        (self.leaf_of(0, left), separator, self.leaf_of(left, self.items.len()))
    }
}
