//! The delta tree of a table: rows of small commits by key, in memory, each with its versions.
//!
//! ```text
//! Layout at 41 ─► DeltaView at 41 ─┐
//! Layout at 42 ─► DeltaView at 42 ─┴─► Delta ─► tree: key ─► 42: row ─► 17: row
//! ```
//!
//! Mem blocks are immutable, so a commit of one row would cost a block, and merging blocks copies every row again and again. A
//! [`Delta`] is changed in place: consecutive layouts share it, and each reads it as of its own timestamp through a
//! [`DeltaView`]. The line is its only writer, and readers take no lock (`btree/`, `mvcc/`).
//!
//! For a scan the view is made into one batch, at most once and only when somebody scans: [`DeltaBlock`]. Points are looked up in
//! the tree, without that. A row that was found by key has a *named* place: the number of its key in a list beside the view.
//!
//! What must always hold:
//! - a view is registered with its delta as long as it lives, and no version that a registered view sees is pruned;
//! - what the line has written but not published can be taken back, because no view sees it;
//! - a sealed delta is never written to again: its block may then be treated as any block in memory.

use crate::btree::{Progress, Tree, Writer};
use crate::budget::Reservation;
use crate::epoch;
use crate::error::Result;
use crate::ids::Timestamp;
use crate::key::EncodedKeys;
use crate::mvcc::chain::{Chain, ChainVersion, Readers};
use crate::row::{RowBytes, RowFormat};
use crate::table::Table;
use arrow::array::RecordBatch;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// A delta with more keys is sealed and flushed, so that a scan never has more than about so many rows to decode.
pub(crate) const DELTA_KEYS_MAX: usize = 1 << 16;
/// While the flush is behind, a delta takes no new rows beyond so many keys.
const DELTA_KEYS_LIMIT: usize = 2 * DELTA_KEYS_MAX;
/// Commits with more rows of a table make a mem block.
pub(crate) const SMALL_ROWS_MAX: usize = 1024;
/// Rows read under one guard.
const STRETCH: usize = 1024;
/// Bit of a row number within a block: the row is named by its key.
const NAMED: usize = 1 << 31;
/// Keys of deleted rows looked at again in one commit, besides twice its own.
const SWEEP: usize = 4;

/// A key as the tree has it.
pub(crate) type RowKey = Box<[u8]>;
/// A set of keys.
pub(crate) type RowKeys = BTreeSet<RowKey>;

type Rows = Chain<RowBytes>;
type Version = ChainVersion<RowBytes>;

/// When something is written, and what can be seen then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The commit's timestamp.
    pub(crate) at: Timestamp,
    /// That of the newest published version.
    pub(crate) published: Timestamp,
}

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

    fn iter(&self) -> impl Iterator<Item = (&[u8], &RowBytes)> {
        self.batches.iter().flat_map(|(keys, rows)| keys.iter().zip(rows))
    }
}

/// A table's delta tree.
pub(crate) struct Delta {
    table: Arc<Table>,
    tree: Arc<Tree<Rows>>,
    /// Taken by the line alone; a lock, as layouts that have the delta are shared.
    writer: Mutex<DeltaWriter>,
    /// How many views there are at each timestamp.
    views: Mutex<BTreeMap<Timestamp, usize>>,
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
        Arc::new(Delta { table: table.clone(), tree, writer, views, account: account.clone(), bytes })
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
        DeltaView { delta: self.clone(), at }
    }

    /// Whether the newest row of `key` is there, and was so at `since`.
    pub(crate) fn is_unchanged(&self, key: &[u8], since: Timestamp) -> bool {
        let guard = epoch::pin();
        let newest = self.tree.get(key, &guard).and_then(|chain| chain.newest(&guard));
        newest.is_some_and(|newest| newest.value().is_some() && newest.timestamp() <= since)
    }

    /// Writes a commit: takes out the rows of `deleted`, which are all there, and adds `rows`. False, and no row added, when a
    /// key of `rows` has a row that stays.
    pub(crate) fn commit(&self, moment: Moment, rows: Option<&DeltaRows>, deleted: &RowKeys) -> bool {
        let live: Vec<Timestamp> = self.views.lock().keys().copied().collect();
        let readers = Readers { live: &live, published: moment.published };
        let mut writer = self.writer.lock();
        let is_taken = rows.is_none_or(|rows| writer.insert(moment, readers, rows, deleted));
        for key in deleted {
            writer.delete(moment, readers, key);
        }
        writer.sweep(readers, SWEEP + 2 * deleted.len());
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

/// A delta as it is at one timestamp. Keeps the versions it sees.
#[derive(Debug)]
pub(crate) struct DeltaView {
    delta: Arc<Delta>,
    at: Timestamp,
}

impl DeltaView {
    /// Calls `visit` with the key and the bytes of every row, in key order, a stretch of rows under each guard.
    fn for_each_row(&self, mut visit: impl FnMut(&[u8], &[u8])) {
        let mut range = self.delta.tree.range(Bound::Unbounded, Bound::Unbounded);
        loop {
            let guard = epoch::pin();
            let progress = range.next_stretch(STRETCH, |key, chain| {
                if let Some(row) = chain.at(self.at, &guard).and_then(|version| version.value()) {
                    visit(key, row);
                }
            });
            if progress == Progress::Done {
                return;
            }
        }
    }

    /// Whether there is a row of `key`.
    fn contains(&self, key: &[u8]) -> bool {
        let guard = epoch::pin();
        let chain = self.delta.tree.get(key, &guard);
        chain.and_then(|chain| chain.at(self.at, &guard)).is_some_and(|version| version.value().is_some())
    }

    /// Columns `projection` of the rows of `keys` that are there, and how many those are.
    fn rows_of<'k>(&self, keys: impl Iterator<Item = &'k [u8]>, projection: &[usize]) -> Result<(RecordBatch, usize)> {
        let format = self.format();
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

    fn format(&self) -> &RowFormat {
        self.delta.table.row_format.as_ref().expect("a table without a form of rows has no delta")
    }
}

impl Drop for DeltaView {
    fn drop(&mut self) {
        let mut views = self.delta.views.lock();
        if let Some(count) = views.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                views.remove(&self.at);
            }
        }
    }
}

/// The rows of a view as a block: decoded when somebody scans it.
#[derive(Debug)]
pub(crate) struct DeltaBlock {
    view: DeltaView,
    rows: usize,
    decoded: OnceLock<DecodedRows>,
    names: Mutex<Names>,
}

/// All rows in key order.
#[derive(Debug)]
struct DecodedRows {
    batch: RecordBatch,
    keys: KeyList,
    _paid: Reservation,
}

/// Keys in one buffer.
#[derive(Debug, Default)]
struct KeyList {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Keys that places name.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<Arc<[u8]>, usize>,
    keys: Vec<Arc<[u8]>>,
}

impl KeyList {
    fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
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

impl DeltaBlock {
    /// A block of the rows of `view`, of which there are so many.
    pub(crate) fn new(view: DeltaView, rows: usize) -> DeltaBlock {
        DeltaBlock { view, rows, decoded: OnceLock::new(), names: Mutex::default() }
    }

    /// The delta it is of.
    pub(crate) fn delta(&self) -> &Arc<Delta> {
        &self.view.delta
    }

    /// The table it is of.
    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.view.delta.table
    }

    /// Rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// All rows, in key order.
    pub(crate) fn batch(&self) -> &RecordBatch {
        &self.decoded().batch
    }

    fn decoded(&self) -> &DecodedRows {
        self.decoded.get_or_init(|| {
            let schema = self.table().schema.clone();
            let projection: Vec<usize> = (0..schema.fields().len()).collect();
            let mut decoder = self.view.format().decoder(&projection, self.rows);
            let mut keys = KeyList::default();
            // Rows are copied under the guard and decoded behind it, some at a time, while they are in the cache.
            let (mut bytes, mut ends) = (vec![], vec![]);
            let mut decode = |bytes: &mut Vec<u8>, ends: &mut Vec<usize>| {
                let starts = std::iter::once(0).chain(ends.iter().copied());
                let rows: Vec<&[u8]> = starts.zip(ends.iter()).map(|(start, end)| &bytes[start..*end]).collect();
                decoder.append(&rows);
                drop(rows);
                bytes.clear();
                ends.clear();
            };
            self.view.for_each_row(|key, row| {
                keys.push(key);
                bytes.extend_from_slice(row);
                ends.push(bytes.len());
                if ends.len() == STRETCH {
                    decode(&mut bytes, &mut ends);
                }
            });
            decode(&mut bytes, &mut ends);
            let batch = decoder.finish(schema).expect("rows have the columns of their table");
            assert_eq!(batch.num_rows(), self.rows, "a view sees the rows that were counted when it was made");
            let paid = self.delta().account.budget().register("decoded rows");
            paid.grow(
                batch.get_array_memory_size() + keys.bytes.capacity() + keys.ends.capacity() * size_of::<usize>(),
            );
            DecodedRows { batch, keys, _paid: paid }
        })
    }

    /// The row that names the row of `key`, if there is one.
    pub(crate) fn name(&self, key: &[u8]) -> Option<usize> {
        if !self.view.contains(key) {
            return None;
        }
        let mut names = self.names.lock();
        if let Some(known) = names.numbers.get(key) {
            return Some(NAMED | known);
        }
        let (number, key) = (names.keys.len(), Arc::<[u8]>::from(key));
        names.keys.push(key.clone());
        names.numbers.insert(key, number);
        Some(NAMED | number)
    }

    /// Whether `row` is one of the block, by number or by name.
    pub(crate) fn has_row(&self, row: usize) -> bool {
        if is_named(row) { row & !NAMED < self.names.lock().keys.len() } else { row < self.rows }
    }

    /// The key of a row, by number or by name.
    pub(crate) fn key(&self, row: usize) -> RowKey {
        if is_named(row) { (*self.names.lock().keys[row & !NAMED]).into() } else { self.decoded().keys.get(row).into() }
    }

    /// The number of a row that may be named.
    pub(crate) fn number(&self, row: usize) -> usize {
        if !is_named(row) {
            return row;
        }
        let key = self.names.lock().keys[row & !NAMED].clone();
        self.decoded().keys.find(&key).expect("only rows that are there are named")
    }

    /// The numbers of the rows of `keys`.
    pub(crate) fn numbers(&self, keys: &RowKeys) -> impl Iterator<Item = usize> {
        keys.iter().filter_map(|key| self.decoded().keys.find(key))
    }

    /// Columns `projection` of named rows.
    pub(crate) fn named_rows(&self, rows: &[usize], projection: &[usize]) -> Result<RecordBatch> {
        let keys: Vec<Arc<[u8]>> = {
            let names = self.names.lock();
            rows.iter().map(|row| names.keys[row & !NAMED].clone()).collect()
        };
        Ok(self.view.rows_of(keys.iter().map(AsRef::as_ref), projection)?.0)
    }

    /// Columns `projection` of the rows of `keys` that are there, and how many those are.
    pub(crate) fn rows_of<'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]>,
        projection: &[usize],
    ) -> Result<(RecordBatch, usize)> {
        self.view.rows_of(keys, projection)
    }
}

/// Whether a row of a place is named by its key.
pub(crate) fn is_named(row: usize) -> bool {
    row & NAMED != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::MemoryBudget;
    use crate::ids::TableId;
    use crate::table::TableDefinition;
    use arrow::array::{ArrayRef, AsArray, StringArray, UInt64Array};
    use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
    use std::collections::BTreeMap;

    type Contents = BTreeMap<String, u64>;

    fn batch(rows: &Contents) -> RecordBatch {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("key", Arc::new(StringArray::from_iter_values(rows.keys()))),
            ("value", Arc::new(UInt64Array::from_iter_values(rows.values().copied()))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn table() -> Arc<Table> {
        let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::UInt64, false)];
        Table::new(TableId(2000), TableDefinition { schema: Arc::new(Schema::new(fields)), key: vec![0] }).unwrap()
    }

    fn check(block: &DeltaBlock, expected: &Contents, is_scanned: bool) {
        for key in (0..60).map(|key| format!("key {key}")) {
            let name = block.name(key.as_bytes());
            assert_eq!(name.is_some(), expected.contains_key(&key));
            let Some(name) = name else { continue };
            assert!(block.has_row(name) && *block.key(name) == *key.as_bytes());
            let row = block.named_rows(&[name], &[1]).unwrap();
            assert_eq!(row.column(0).as_primitive::<UInt64Type>().value(0), expected[&key]);
            if is_scanned {
                assert_eq!(*block.key(block.number(name)), *key.as_bytes());
            }
        }
        if is_scanned {
            assert_eq!(*block.batch(), batch(expected));
        }
    }

    #[test]
    fn views_keep_what_they_see_and_what_was_not_published_is_taken_back() {
        for seed in 0..30 {
            let mut random = fastrand::Rng::with_seed(seed);
            let budget = MemoryBudget::new(64 << 20);
            let account = Arc::new(budget.register("test"));
            let delta = Delta::new(&table(), &account);
            let mut now = Contents::new();
            let mut views: Vec<(DeltaBlock, Contents)> = vec![];
            let (mut published, mut at) = (Timestamp(1), Timestamp(1));
            let mut committed = now.clone();
            for _ in 0..200 {
                at = Timestamp(at.0 + 1);
                let (mut rows, mut deleted) = (Contents::new(), RowKeys::new());
                for _ in 0..random.usize(0..5) {
                    let key = format!("key {}", random.u32(0..60));
                    if now.contains_key(&key) {
                        deleted.insert(key.as_bytes().into());
                        if random.bool() {
                            rows.insert(key, random.u64(..));
                        }
                    } else {
                        rows.insert(key, random.u64(..));
                    }
                }
                let made = DeltaRows::new(&delta.table, std::iter::once(&batch(&rows)));
                assert!(delta.commit(Moment { at, published }, made.as_ref(), &deleted));
                now.retain(|key, _| !deleted.contains(key.as_bytes()));
                now.extend(rows);
                match random.u8(0..10) {
                    0..6 => {
                        (published, committed) = (at, now.clone());
                        views.push((DeltaBlock::new(delta.view(at), now.len()), now.clone()));
                        if views.len() > 1 && random.bool() {
                            // The newest version is always published.
                            views.remove(random.usize(0..views.len() - 1));
                        }
                    }
                    6 | 7 => {
                        delta.take_back(Timestamp(published.0 + 1));
                        (at, now) = (published, committed.clone());
                    }
                    _ => {}
                }
                if let Some((view, expected)) = views.last() {
                    check(view, expected, false);
                }
            }
            views.iter().for_each(|(view, expected)| check(view, expected, true));
            assert_eq!(account.bytes(), delta.bytes());
            drop((views, delta));
            assert_eq!(budget.used_bytes(), 0);
        }
    }

    #[test]
    fn a_row_that_stays_refuses_all_rows_of_the_commit() {
        let account = Arc::new(MemoryBudget::new(64 << 20).register("test"));
        let delta = Delta::new(&table(), &account);
        let rows = |keys: &[&str]| {
            let rows = keys.iter().map(|key| (key.to_string(), 1)).collect();
            DeltaRows::new(&delta.table, std::iter::once(&batch(&rows)))
        };
        let moment = |at| Moment { at: Timestamp(at), published: Timestamp(at - 1) };
        assert!(delta.commit(moment(2), rows(&["b", "d"]).as_ref(), &RowKeys::new()));
        let deleted: RowKeys = [RowKey::from(*b"d")].into();
        assert!(!delta.commit(moment(3), rows(&["a", "b", "c"]).as_ref(), &deleted));
        let block = DeltaBlock::new(delta.view(Timestamp(3)), 1);
        assert_eq!(*block.batch(), batch(&[("b".to_string(), 1)].into()));
    }
}
