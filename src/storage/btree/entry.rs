//! A key with its value, in one allocation that stays where it is while nodes around it are replaced.
//!
//! ```text
//!  EntryHeader<V>            key_len bytes
//! ┌──────────────┬─────────┬──────────────┐
//! │ value        │ key_len │ key          │
//! └──────────────┴─────────┴──────────────┘
//! ```
//!
//! Nodes hold [`EntryPtr`]s; copying a node copies pointers, so all copies share the value, and what a writer does to an
//! atomic value is seen by readers of older copies, too.

#![expect(unsafe_code, reason = "the key lies behind a header of fixed size")]

use super::Value;
use crate::epoch::{Canary, Guard};
use std::alloc::{Layout, alloc, handle_alloc_error};
use std::ptr::NonNull;

#[repr(C)]
struct EntryHeader<V> {
    value: V,
    canary: Canary,
    key_len: u32,
}

/// A pointer to an entry. It lives from [`EntryPtr::new`] until it is retired or freed.
pub(super) struct EntryPtr<V>(NonNull<EntryHeader<V>>);

impl<V> Clone for EntryPtr<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for EntryPtr<V> {}

impl<V: Value> EntryPtr<V> {
    /// A new entry, owned by whoever puts it into the tree.
    pub(super) fn new(key: &[u8], value: V) -> Self {
        let key_len = u32::try_from(key.len()).expect("the writer has checked the length of the key");
        let layout = Self::layout(key.len());
        // SAFETY: the layout is not of size zero: it has the length of the key in it. The block is large and aligned
        // enough for the header, and has `key.len()` bytes behind it; nobody else knows it yet.
        unsafe {
            let block = alloc(layout);
            let Some(header) = NonNull::new(block.cast::<EntryHeader<V>>()) else { handle_alloc_error(layout) };
            header.write(EntryHeader { value, canary: Canary::new(), key_len });
            header.add(1).cast::<u8>().copy_from_nonoverlapping(NonNull::from(key).cast(), key.len());
            EntryPtr(header)
        }
    }

    fn layout(key_len: usize) -> Layout {
        let header = Layout::new::<EntryHeader<V>>();
        let key = Layout::array::<u8>(key_len).expect("keys are at most 64 KiB");
        header.extend(key).expect("keys are at most 64 KiB").0
    }

    /// The key and the value.
    ///
    /// Nodes hand out pointers only under a guard or to the one writer, which is what makes this right.
    ///
    /// # Safety
    /// The entry is not freed during `'a`: it was reached under a guard that outlives `'a`, or it is linked and the one
    /// writer does not remove it before, or the caller owns it.
    #[inline]
    pub(super) unsafe fn get<'a>(self) -> (&'a [u8], &'a V) {
        // SAFETY: the entry lives during 'a, and nothing in it but the value's own atomics is ever written again. The
        // key was written behind the header, within the same allocation, whose provenance the pointer has.
        unsafe {
            let header = self.0.as_ref();
            header.canary.check();
            let key = std::slice::from_raw_parts(self.0.add(1).as_ptr().cast::<u8>(), header.key_len as usize);
            (key, &header.value)
        }
    }

    /// The key alone.
    ///
    /// # Safety
    /// As for [`EntryPtr::get`].
    #[inline]
    pub(super) unsafe fn key<'a>(self) -> &'a [u8] {
        // SAFETY: the caller's promise.
        unsafe { self.get().0 }
    }

    /// Bytes of the allocation.
    ///
    /// # Safety
    /// As for [`EntryPtr::get`].
    pub(super) unsafe fn bytes(self) -> usize {
        // SAFETY: the caller's promise.
        Self::bytes_of(unsafe { self.key() }.len())
    }

    /// Bytes of the allocation of an entry with a key of `key_len`.
    pub(super) fn bytes_of(key_len: usize) -> usize {
        Self::layout(key_len).size()
    }

    /// For prefetching.
    #[inline]
    pub(super) fn address(self) -> *const u8 {
        self.0.as_ptr().cast()
    }

    /// For a slot that is written once.
    #[inline]
    pub(super) fn into_raw(self) -> *mut u8 {
        self.0.as_ptr().cast()
    }

    /// The entry that went in by [`EntryPtr::into_raw`]; none for null.
    #[inline]
    pub(super) fn from_raw(raw: *mut u8) -> Option<Self> {
        NonNull::new(raw.cast()).map(EntryPtr)
    }

    /// Frees the entry now.
    ///
    /// # Safety
    /// Nobody can reach it any more, and it is freed once.
    pub(super) unsafe fn free(self) {
        #[cfg(all(test, any(loom, shuttle)))]
        // SAFETY: the entry is there: a model never frees, it only marks.
        return unsafe { self.0.as_ref() }.canary.kill();
        #[cfg(not(all(test, any(loom, shuttle))))]
        // SAFETY: the entry was made by `new` with this layout, is initialised, and nobody else has it.
        unsafe {
            let layout = Self::layout(self.key().len());
            std::ptr::drop_in_place(self.0.as_ptr());
            std::alloc::dealloc(self.0.as_ptr().cast(), layout);
        }
    }

    /// Frees the entry when no reader can be looking at it.
    ///
    /// # Safety
    /// It was unlinked from the tree before, and is retired once.
    pub(super) unsafe fn retire(self, guard: &Guard) {
        // SAFETY: no guard born from now on finds the entry; values may be dropped in any thread (`Value`).
        unsafe { guard.retire(move || self.free()) }
    }
}
