//! The tree and its writer.

use super::summary::{Counted, Statistics};
use super::view::DeltaView;
use super::{DELTA_KEYS_MAX, Moment, RowKey, RowKeys, SMALL_ROWS_MAX};
use crate::btree::{Tree, Writer};
use crate::budget::Reservation;
use crate::epoch;
use crate::error::Result;
use crate::ids::Timestamp;
use crate::key::EncodedKeys;
use crate::mvcc::chain::{Chain, ChainVersion, Readers};
use crate::row::{RowBytes, RowFormat};
use crate::table::Table;
use arrow::array::RecordBatch;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// While the flush is behind, a delta takes no new rows beyond so many keys.
const DELTA_KEYS_LIMIT: usize = 2 * DELTA_KEYS_MAX;
/// Keys of deleted rows looked at again in one commit, besides twice its own.
const SWEEP: usize = 4;

pub(super) type Rows = Chain<RowBytes>;
type Version = ChainVersion<RowBytes>;

/// Rows on their way into a delta, made on the committer's thread.
#[derive(Clone, Debug)]
pub(crate) struct DeltaRows {
    batches: Vec<(EncodedKeys, Vec<RowBytes>)>,
    rows: usize,
}

impl DeltaRows {
    /// The rows of `batches`, which have all columns of `table`; `None` when they are too many, or have no form that a delta takes.
    pub(crate) fn new<'a>(table: &Table, batches: impl Iterator<Item = &'a RecordBatch>) -> Option<DeltaRows> {
        let (encoder, format) = (table.encoder.as_ref()?, table.row_format.as_ref()?);
        let (mut made, mut rows) = (vec![], 0);
        for batch in batches {
            rows += batch.num_rows();
            if rows > SMALL_ROWS_MAX {
                return None;
            }
            made.push((encoder.encode(&table.key_columns(batch)).ok()?, format.encode(batch)?));
        }
        (rows > 0).then_some(DeltaRows { batches: made, rows })
    }

    /// Rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows' bytes.
    pub(crate) fn row_bytes(&self) -> impl Iterator<Item = &RowBytes> {
        self.batches.iter().flat_map(|(_, rows)| rows)
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &RowBytes)> {
        self.batches.iter().flat_map(|(keys, rows)| keys.iter().zip(rows))
    }
}

/// A table's delta tree.
pub(crate) struct Delta {
    pub(super) table: Arc<Table>,
    pub(super) tree: Arc<Tree<Rows>>,
    /// Taken by the line alone; a lock, as layouts that have the delta are shared.
    writer: Mutex<DeltaWriter>,
    /// How many views there are at each timestamp.
    views: Mutex<BTreeMap<Timestamp, usize>>,
    statistics: Statistics,
    account: Arc<Reservation>,
    /// What was taken from the account.
    bytes: AtomicUsize,
}

struct DeltaWriter {
    writer: Writer<Rows>,
    /// Bytes of rows and their versions.
    row_bytes: usize,
    /// Keys whose newest version says "deleted", to be removed when everybody knows.
    deleted: VecDeque<RowKey>,
}

/// Bytes of a version that its tree does not count.
fn version_bytes(row: Option<&RowBytes>) -> usize {
    size_of::<Version>() + row.map_or(0, |row| row.len())
}

impl Delta {
    /// An empty delta of `table`, paid from `account`.
    pub(crate) fn new(table: &Arc<Table>, account: &Arc<Reservation>) -> Arc<Delta> {
        let writer = Writer::new();
        let tree = writer.tree().clone();
        let writer = Mutex::new(DeltaWriter { writer, row_bytes: 0, deleted: VecDeque::new() });
        let (views, bytes) = (Mutex::default(), AtomicUsize::new(0));
        let (table, account, statistics) = (table.clone(), account.clone(), Statistics::default());
        Arc::new(Delta { table, tree, writer, views, statistics, account, bytes })
    }

    /// Keys, deleted ones included.
    pub(crate) fn keys(&self) -> usize {
        self.tree.len()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What it is paid from.
    pub(crate) fn account(&self) -> &Arc<Reservation> {
        &self.account
    }

    /// Whether it takes more rows.
    pub(crate) fn has_room(&self) -> bool {
        self.keys() < DELTA_KEYS_LIMIT
    }

    /// What there is at `at`: so many rows.
    pub(crate) fn view(self: &Arc<Self>, at: Timestamp) -> DeltaView {
        *self.views.lock().entry(at).or_default() += 1;
        DeltaView::new(self.clone(), at)
    }

    /// Forgets a view.
    pub(super) fn unregister(&self, at: Timestamp) {
        let mut views = self.views.lock();
        if let Some(count) = views.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                views.remove(&at);
            }
        }
    }

    /// The form of its rows.
    pub(super) fn format(&self) -> &RowFormat {
        self.table.row_format.as_ref().expect("a table without a form of rows has no delta")
    }

    /// Statistics of all rows that a view sees now, and of others.
    pub(crate) fn counted(&self) -> Result<Counted> {
        self.statistics.counted(self)
    }

    /// Whether the newest row of `key` is there, and was so at `since`.
    pub(crate) fn is_unchanged(&self, key: &[u8], since: Timestamp) -> bool {
        let guard = epoch::pin();
        let newest = self.tree.get(key, &guard).and_then(|chain| chain.newest(&guard));
        newest.is_some_and(|newest| newest.value().is_some() && newest.timestamp() <= since)
    }

    /// Writes a commit: takes out the rows of `deleted`, which are all there, and adds `rows`. False, and no row added, when a
    /// key of `rows` has a row that stays.
    pub(crate) fn commit(&self, moment: Moment, rows: Option<&Arc<DeltaRows>>, deleted: &RowKeys) -> bool {
        let live: Vec<Timestamp> = self.views.lock().keys().copied().collect();
        let readers = Readers { live: &live, published: moment.published };
        let mut writer = self.writer.lock();
        let is_taken = rows.is_none_or(|rows| writer.insert(moment, readers, rows, deleted));
        for key in deleted {
            writer.delete(moment, readers, key);
        }
        writer.sweep(readers, SWEEP + 2 * deleted.len());
        rows.filter(|_| is_taken).into_iter().for_each(|rows| self.statistics.note(rows));
        self.pay(&writer);
        is_taken
    }

    /// Takes back all that was written from `from` on, which was never published.
    pub(crate) fn take_back(&self, from: Timestamp) {
        let mut keys: Vec<RowKey> = vec![];
        self.tree.range(Bound::Unbounded, Bound::Unbounded).for_each(|key, chain| {
            let guard = epoch::pin();
            if chain.newest(&guard).is_none_or(|newest| newest.timestamp() >= from) {
                keys.push(key.into());
            }
        });
        let mut writer = self.writer.lock();
        keys.iter().for_each(|key| writer.take_back(key, from));
        self.pay(&writer);
    }

    fn pay(&self, writer: &DeltaWriter) {
        let (before, now) = (self.bytes(), self.tree.memory_bytes() + writer.row_bytes);
        if now > before {
            self.account.grow(now - before);
        } else {
            self.account.shrink(before - now);
        }
        self.bytes.store(now, Ordering::Relaxed);
    }
}

impl Drop for Delta {
    fn drop(&mut self) {
        self.account.shrink(self.bytes());
    }
}

impl fmt::Debug for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delta").field("keys", &self.keys()).field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl DeltaWriter {
    /// Adds all `rows`, or none when one has a key whose row stays.
    fn insert(&mut self, moment: Moment, readers: Readers<'_>, rows: &DeltaRows, deleted: &RowKeys) -> bool {
        let Moment { at, .. } = moment;
        for (count, (key, row)) in rows.iter().enumerate() {
            let is_free = |newest: Option<&Version>| match newest {
                None => true,
                Some(newest) => newest.timestamp() < at && (newest.value().is_none() || deleted.contains(key)),
            };
            if !self.write(key, at, Some(row.clone()), readers, is_free) {
                rows.iter().take(count).for_each(|(key, _)| self.take_back(key, at));
                return false;
            }
        }
        true
    }

    /// Deletes the row of `key`, unless this commit has put another one in its place.
    fn delete(&mut self, moment: Moment, readers: Readers<'_>, key: &RowKey) {
        let Moment { at, .. } = moment;
        let is_there = |newest: Option<&Version>| newest.is_some_and(|n| n.timestamp() < at && n.value().is_some());
        if self.write(key, at, None, readers, is_there) {
            self.deleted.push_back(key.clone());
        }
    }

    fn write(
        &mut self,
        key: &[u8],
        at: Timestamp,
        row: Option<RowBytes>,
        readers: Readers<'_>,
        accept: impl FnOnce(Option<&Version>) -> bool,
    ) -> bool {
        let bytes = version_bytes(row.as_ref());
        let mut freed = 0;
        let mut removed = |version: &Version| freed += version_bytes(version.value());
        let is_written = self.writer.write(key, at, row, readers, accept, &mut removed);
        if is_written {
            self.row_bytes += bytes;
        }
        self.row_bytes -= freed;
        is_written
    }

    fn take_back(&mut self, key: &[u8], from: Timestamp) {
        let mut freed = 0;
        self.writer.take_back(key, from, &mut |version| freed += version_bytes(version.value()));
        self.row_bytes -= freed;
    }

    /// Removes keys of deleted rows that nobody can tell from keys that never were. Looks at up to `most`.
    fn sweep(&mut self, readers: Readers<'_>, most: usize) {
        for _ in 0..most.min(self.deleted.len()) {
            let Some(key) = self.deleted.pop_front() else { return };
            let mut freed = 0;
            let is_gone = self.writer.prune(&key, readers, &mut |version| freed += version_bytes(version.value()));
            self.row_bytes -= freed;
            let guard = epoch::pin();
            let newest = self.writer.get(&key).and_then(|chain| chain.newest(&guard));
            if !is_gone && newest.is_some_and(|newest| newest.value().is_none()) {
                self.deleted.push_back(key);
            }
        }
    }
}
