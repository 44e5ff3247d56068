//! A delta tree at one timestamp.

use super::tree::Delta;
use super::{RowKey, STRETCH};
use crate::btree::Progress;
use crate::epoch;
use crate::error::Result;
use crate::ids::Timestamp;
use crate::key::KeyRange;
use crate::row::RowDecoder;
use arrow::array::RecordBatch;
use std::ops::Bound;
use std::sync::Arc;

/// A delta as it is at one timestamp. Keeps the versions it sees.
#[derive(Debug)]
pub(crate) struct DeltaView {
    pub(super) delta: Arc<Delta>,
    at: Timestamp,
}

impl DeltaView {
    /// A view that was just registered.
    pub(super) fn new(delta: Arc<Delta>, at: Timestamp) -> DeltaView {
        DeltaView { delta, at }
    }

    /// Columns and keys of the rows with keys in `range` that `wanted` wants, in key order; `None` when they are more than `most`.
    pub(super) fn decode(
        &self,
        range: &KeyRange,
        most: usize,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Option<(RecordBatch, KeyList)> {
        let schema = self.delta.table.schema.clone();
        let projection: Vec<usize> = (0..schema.fields().len()).collect();
        let mut decoder = self.delta.format().decoder(&projection, 0);
        let mut keys = KeyList::default();
        let mut rows = RowBuffer::default();
        let upper = range.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut range = self.delta.tree.range(Bound::Included(&range.start), upper);
        loop {
            let guard = epoch::pin();
            let progress = range.next_stretch(STRETCH, |key, chain| {
                let version = chain.at(self.at, &guard);
                if let Some(row) = version.and_then(|version| version.value()).filter(|_| wanted(key)) {
                    keys.push(key);
                    rows.push(row);
                }
            });
            drop(guard);
            rows.decode(&mut decoder);
            if keys.ends.len() > most {
                return None;
            }
            if progress == Progress::Done {
                let batch = decoder.finish(schema).expect("rows have the columns of their table");
                return Some((batch, keys));
            }
        }
    }

    /// The first keys in `range` of rows that are there and wanted, or the last ones, last first: at most `most`.
    pub(super) fn keys_in(
        &self,
        range: &KeyRange,
        most: usize,
        descending: bool,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Vec<RowKey> {
        let mut found: Vec<RowKey> = vec![];
        let mut last: Option<RowKey> = None;
        loop {
            let guard = epoch::pin();
            let mut cursor = self.delta.tree.cursor(&guard);
            match (&last, &range.end) {
                (Some(last), _) if descending => cursor.seek_before(last),
                (Some(last), _) => cursor.seek_behind(last),
                (None, Some(end)) if descending => cursor.seek_before(end),
                (None, None) if descending => cursor.seek_last(),
                (None, _) => cursor.seek_before(&range.start),
            }
            let mut seen: Option<&[u8]> = None;
            for _ in 0..STRETCH {
                let next = if descending { cursor.prev() } else { cursor.next() };
                let Some((key, chain)) = next.filter(|(key, _)| range.contains(key) && found.len() < most) else {
                    return found;
                };
                seen = Some(key);
                let is_there = chain.at(self.at, &guard).is_some_and(|version| version.value().is_some());
                if is_there && wanted(key) {
                    found.push(key.into());
                }
            }
            last = seen.map(RowKey::from);
        }
    }

    /// Whether there is a row of `key`.
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        let guard = epoch::pin();
        let chain = self.delta.tree.get(key, &guard);
        chain.and_then(|chain| chain.at(self.at, &guard)).is_some_and(|version| version.value().is_some())
    }

    /// Columns `projection` of the rows of `keys` that are there, and how many those are.
    pub(super) fn rows_of<'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]>,
        projection: &[usize],
    ) -> Result<(RecordBatch, usize)> {
        let format = self.delta.format();
        let mut decoder = format.decoder(projection, keys.size_hint().0);
        let (mut found, mut keys) = (0, keys.peekable());
        while keys.peek().is_some() {
            let guard = epoch::pin();
            let mut rows: Vec<&[u8]> = vec![];
            for key in keys.by_ref().take(STRETCH) {
                let version = self.delta.tree.get(key, &guard).and_then(|chain| chain.at(self.at, &guard));
                if let Some(row) = version.and_then(|version| version.value()) {
                    rows.push(row);
                }
            }
            found += rows.len();
            decoder.append(&rows);
        }
        let schema = Arc::new(self.delta.table.schema.project(projection)?);
        Ok((decoder.finish(schema)?, found))
    }
}

impl Drop for DeltaView {
    fn drop(&mut self) {
        self.delta.unregister(self.at);
    }
}

/// Rows on their way from the tree to columns: copied under a guard, decoded behind it, while they are in the cache.
#[derive(Debug, Default)]
pub(super) struct RowBuffer {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl RowBuffer {
    pub(super) fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }

    /// Decodes all rows and forgets them.
    pub(super) fn decode(&mut self, decoder: &mut RowDecoder) {
        let starts = std::iter::once(&0).chain(&self.ends);
        let rows: Vec<&[u8]> = starts.zip(&self.ends).map(|(start, end)| &self.bytes[*start..*end]).collect();
        decoder.append(&rows);
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Keys in one buffer.
#[derive(Debug, Default)]
pub(super) struct KeyList {
    pub(super) bytes: Vec<u8>,
    pub(super) ends: Vec<usize>,
}

impl KeyList {
    pub(super) fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low < self.ends.len() && self.get(low) == key).then_some(low)
    }
}
