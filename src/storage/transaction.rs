//! Transactions: a base snapshot, buffered writes, and the way to the line.
//!
//! Rows wait in memory until commit. A transaction that has buffered many puts them into segments instead, which are
//! files that nothing refers to until the commit record does: rolled back, it lets go of them and they are removed.

use crate::bulk::{BUFFER_BYTES_MAX, Bulk, BulkLoad};
use crate::context::Context;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{TableId, Timestamp};
use crate::key::EncodedKeys;
use crate::layout::Purpose;
use crate::line::Submitted;
use crate::locking::{IfLocked, Locking};
use crate::locks::{KeyMode, LockOwner, Mark, TableMode};
use crate::lookup::rows_at;
use crate::mem::{MemBlock, MemList, batch_bytes};
use crate::reads::{ReadLog, Reads, Registration};
use crate::scan::{BlockSource, place_parts};
use crate::segment::BLOCK_ROWS_MAX;
use crate::snapshot::Snapshot;
use crate::stored::StoredSegment;
use crate::table::{Table, TableDefinition};
use crate::touched::Touched;
use crate::version::Version;
use crate::writes::{Claim, TableWrites, WriteSet};
use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::util::display::array_value_to_string;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// More rows, or more bytes of them, are not submitted: encoding them takes a thread that may be busy for a while.
const SUBMITTED_ROWS_MAX: u64 = 64;
const SUBMITTED_BYTES_MAX: usize = 1 << 18;

/// Numbers transactions, so that an appender knows its own.
static NEXT_TRANSACTION: AtomicU64 = AtomicU64::new(1);

impl Engine {
    /// Starts a transaction on the newest snapshot.
    pub fn begin(self: &Arc<Self>) -> Transaction {
        Transaction::new(self.clone(), self.published())
    }

    /// Starts a transaction whose reads are checked when it commits: it commits only as if it had run alone at that moment.
    pub fn begin_serializable(self: &Arc<Self>) -> Result<Transaction> {
        let (base, registration) = self.line().run(|line| line.begin_serializable())?;
        let mut txn = Transaction::new(self.clone(), base);
        txn.reads = Some(Serializable { log: Arc::default(), _registration: registration });
        Ok(txn)
    }
}

/// Reads one snapshot, buffers its writes, commits or vanishes. Dropping it rolls back.
#[derive(Debug)]
pub struct Transaction {
    engine: Arc<Engine>,
    owner: Owner,
    base: Arc<Version>,
    writes: WriteSet,
    /// The base with the writes on top, until either changes.
    overlay: Mutex<Option<Arc<Version>>>,
    reads: Option<Serializable>,
    /// What it deletes was merely too old.
    is_expiring: bool,
}

/// What makes a transaction serializable.
#[derive(Debug)]
struct Serializable {
    log: Arc<ReadLog>,
    _registration: Registration,
}

/// The transaction as the owner of locks, which go when it does.
#[derive(Debug)]
struct Owner {
    context: Arc<Context>,
    number: u64,
}

impl Owner {
    fn id(&self) -> LockOwner {
        LockOwner(self.number)
    }

    fn claim(&self) -> Claim<'_> {
        Claim { recent: &self.context.recent, locks: &self.context.locks, owner: self.id() }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.context.locks.release_all(self.id());
    }
}

impl Transaction {
    /// Starts on `base`.
    fn new(engine: Arc<Engine>, base: Arc<Version>) -> Transaction {
        let number = NEXT_TRANSACTION.fetch_add(1, Ordering::Relaxed);
        let owner = Owner { context: engine.context().clone(), number };
        Transaction {
            engine,
            owner,
            base,
            writes: WriteSet::default(),
            overlay: Mutex::new(None),
            reads: None,
            is_expiring: false,
        }
    }

    /// The snapshot with this transaction's own writes so far on top.
    pub fn snapshot(&self) -> Snapshot {
        let snapshot = Snapshot::new(self.overlay()).touching(self.touched()).private(!self.writes.is_empty());
        match &self.reads {
            Some(reads) => snapshot.noting(reads.log.clone()),
            None => snapshot,
        }
    }

    fn overlay(&self) -> Arc<Version> {
        if self.writes.is_empty() {
            return self.base.clone();
        }
        let mut overlay = self.overlay.lock();
        if let Some(known) = &*overlay {
            return known.clone();
        }
        let mut version = (*self.base).clone();
        self.writes.apply(&mut version, Purpose::Overlay).expect("only merging can fail");
        overlay.insert(Arc::new(version)).clone()
    }

    /// Moves to the newest published snapshot (READ COMMITTED: before each statement). Own writes stay; `Conflict`, and the
    /// old snapshot, when a row that was deleted here has been changed by a transaction that committed since.
    pub fn refresh(&mut self) -> Result<()> {
        let newest = self.engine.published();
        self.writes.relocate(&newest, self.owner.claim())?;
        self.base = newest;
        *self.overlay.get_mut() = None;
        Ok(())
    }

    /// The newest published snapshot with own writes on top, whatever the base is: what a new key must not be in. `Conflict` as for
    /// [`Transaction::refresh`].
    pub fn newest(&self) -> Result<Snapshot> {
        let newest = self.engine.published();
        if newest.timestamp == self.base.timestamp {
            return Ok(self.snapshot());
        }
        let mut writes = self.writes.clone();
        writes.relocate(&newest, self.owner.claim())?;
        let mut version = (*newest).clone();
        writes.apply(&mut version, Purpose::Overlay)?;
        Ok(Snapshot::new(Arc::new(version)))
    }

    /// The times that this transaction has touched so far, of tables that have one: of rows added, and of rows deleted.
    pub fn touched(&self) -> BTreeMap<TableId, Vec<RangeInclusive<i64>>> {
        let tables = self.writes.tables.iter().filter(|(_, writes)| !writes.dropped);
        let touched = tables.map(|(id, writes)| (*id, writes.touched.ranges().to_vec()));
        touched.filter(|(_, ranges)| !ranges.is_empty()).collect()
    }

    /// Says that what is deleted from now on was merely too old: its times are not touched.
    pub fn expire(&mut self) {
        self.is_expiring = true;
    }

    /// Its number, which tells transactions of one run of the engine apart.
    pub fn number(&self) -> u64 {
        self.owner.number
    }

    /// A lock on a table.
    pub fn lock_table(&self, table: TableId, mode: TableMode) -> Locking {
        Locking::of_table(self.engine.context().locks.clone(), self.owner.id(), table, mode)
    }

    /// A lock on a table that keeps all other writers out. The weaker lock of a transaction that has not written to the table is let go
    /// before, so that two that load into one table do not wait for each other in a circle.
    pub fn lock_table_alone(&self, table: TableId) -> Locking {
        if !self.writes.tables.contains_key(&table) {
            let locks = &self.engine.context().locks;
            locks.release_table(self.owner.id(), table, TableMode::RowExclusive);
        }
        self.lock_table(table, TableMode::Exclusive)
    }

    /// Locks on the rows at `places` of `snapshot` that others can see; who is going to write locks the table as a writer before. With more than
    /// [`Transaction::LOCKED_KEYS_MAX`] of them, or in a table whose keys have no order, the table is locked against all other writers instead.
    pub fn lock_rows(
        &self,
        snapshot: &Snapshot,
        table: TableId,
        places: &UInt64Array,
        mode: KeyMode,
        if_locked: IfLocked,
    ) -> Result<Locking> {
        let layout = snapshot.version().layout(table)?;
        if places.len() > Self::LOCKED_KEYS_MAX || layout.table.encoder.is_none() {
            return Ok(self.lock_table_alone(table));
        }
        let keys = rows_at(layout, places, &layout.table.key)?;
        let writes = self.writes.tables.get(&table);
        let mut wanted = Vec::with_capacity(places.len());
        for (row, &place) in (0u32..).zip(places.values()) {
            let Some(writes) = writes else {
                wanted.push(row);
                continue;
            };
            if !layout.block(place_parts(place).0)?.is_some_and(|block| writes.is_own(block.id)) {
                wanted.push(row);
            }
        }
        let keys = encode(&layout.table, keys.columns())?;
        Ok(self.lock_table(table, TableMode::RowShare).with_keys(keys, wanted, mode, if_locked))
    }

    /// Locks on keys that rows have, or will have, for a writer, or on what such keys begin with. [`Transaction::lock_rows`] says when the table is locked instead.
    pub fn lock_keys(&self, table: TableId, keys: &[ArrayRef], mode: KeyMode) -> Result<Locking> {
        let known = self.table(table)?;
        let rows = keys.first().map_or(0, |column| column.len());
        if rows > Self::LOCKED_KEYS_MAX || known.encoder.is_none() {
            return Ok(self.lock_table_alone(table));
        }
        let keys = match &known.encoder {
            Some(encoder) if keys.len() < encoder.columns().len() => encoder.encode_prefix(keys)?,
            _ => encode(&known, keys)?,
        };
        let wanted = (0..rows as u32).collect();
        Ok(self.lock_table(table, TableMode::RowExclusive).with_keys(keys, wanted, mode, IfLocked::Wait))
    }

    /// More keys are not locked one by one.
    pub const LOCKED_KEYS_MAX: usize = 1 << 16;

    /// Of the rows at `places` of `snapshot`, which must be locked, those that another transaction has changed or deleted since the
    /// snapshot was taken: their numbers.
    pub fn changed(&self, snapshot: &Snapshot, table: TableId, places: &UInt64Array) -> Result<Vec<u32>> {
        let newest = self.engine.published();
        let layout = snapshot.version().layout(table)?;
        if newest.timestamp == snapshot.timestamp() {
            return Ok(vec![]);
        }
        let now = newest.tables.get(&table);
        if now.is_none() && self.base.tables.contains_key(&table) {
            return Ok((0..places.len() as u32).collect());
        }
        let source = layout.source(snapshot.timestamp())?;
        let writes = self.writes.tables.get(&table);
        let (mut known, mut doubtful) = (None, vec![]);
        for (row, &place) in (0u32..).zip(places.values()) {
            let (number, place_row) = place_parts(place);
            let Some(block) = source.blocks.get(number) else { continue };
            let is_fine = match known {
                Some((block, is_fine)) if block == number => is_fine,
                _ => {
                    let is_own = writes.is_some_and(|writes| writes.is_own(block.id));
                    let is_there = now.is_some_and(|now| now.has_block(block.id));
                    let state = (is_own, is_there);
                    known = Some((number, state));
                    state
                }
            };
            let dead = now.and_then(|now| now.dead.of(block.id));
            let is_alive = || dead.is_none_or(|dead| !dead.contains(block.number(place_row)));
            match is_fine {
                (true, _) => {}
                (_, true) if is_alive() => {}
                _ => doubtful.push(row),
            }
        }
        if doubtful.is_empty() || layout.table.encoder.is_none() {
            return Ok(doubtful);
        }
        let places = doubtful.iter().map(|row| places.value(*row as usize));
        let keys = rows_at(layout, &UInt64Array::from_iter_values(places), &layout.table.key)?;
        let keys = encode(&layout.table, keys.columns())?;
        let recent = &self.engine.context().recent;
        let is_changed = |at: usize| {
            let (key, since) = (keys.get(at), snapshot.timestamp());
            let in_delta = now.and_then(|now| now.delta()).is_some_and(|delta| delta.is_unchanged(key, since));
            !in_delta && recent.newest(table, key) > since
        };
        Ok(doubtful.into_iter().enumerate().filter(|(at, _)| is_changed(*at)).map(|(_, row)| row).collect())
    }

    /// Whether one of `keys`, which must be locked, was written by another transaction since the snapshot was taken.
    pub fn was_written(&self, snapshot: &Snapshot, table: TableId, keys: &[ArrayRef]) -> Result<bool> {
        if !self.engine.published().tables.contains_key(&table) && self.base.tables.contains_key(&table) {
            return Ok(true);
        }
        let known = self.table(table)?;
        let Some(encoder) = &known.encoder else { return Ok(false) };
        let keys = encoder.encode_prefix(keys)?;
        let recent = &self.engine.context().recent;
        Ok((0..keys.len()).any(|row| recent.newest(table, keys.get(row)) > snapshot.timestamp()))
    }

    /// What a change of the row at `place` of `snapshot` by another transaction is to one that may not look again.
    pub fn conflict(&self, snapshot: &Snapshot, table: TableId, place: u64) -> Result<Error> {
        let layout = snapshot.version().layout(table)?;
        if layout.table.has_row_numbers() {
            return Ok(Error::Conflict { table, key: vec![], is_deleted: false });
        }
        let keys = rows_at(layout, &UInt64Array::from(vec![place]), &layout.table.key)?;
        let shown = keys.columns().iter().map(|values| array_value_to_string(values, 0).unwrap_or_default());
        let now = Snapshot::new(self.engine.published()).locate(table, keys.columns());
        let is_deleted = now.is_ok_and(|places| places.iter().all(Option::is_none));
        Ok(Error::Conflict { table, key: shown.collect(), is_deleted })
    }

    /// Remembers the writes so far.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint { writes: self.writes.clone(), locks: self.engine.context().locks.mark(self.owner.id()) }
    }

    /// Forgets the writes since `savepoint`, and lets go of the locks. `Conflict` as for [`Transaction::refresh`].
    pub fn rollback_to(&mut self, savepoint: &Savepoint) -> Result<()> {
        let mut writes = savepoint.writes.clone();
        writes.relocate(&self.base, self.owner.claim())?;
        self.writes = writes;
        self.unlock_since(savepoint);
        *self.overlay.get_mut() = None;
        Ok(())
    }

    /// Forgets the writes since `savepoint`, and keeps the locks: what was to be written will be written again.
    pub fn forget_since(&mut self, savepoint: &Savepoint) -> Result<()> {
        let mut writes = savepoint.writes.clone();
        writes.relocate(&self.base, self.owner.claim())?;
        self.writes = writes;
        *self.overlay.get_mut() = None;
        Ok(())
    }

    /// Lets go of the locks taken since `savepoint`: what they protect will be rolled back.
    pub fn unlock_since(&self, savepoint: &Savepoint) {
        self.engine.context().locks.release_since(self.owner.id(), savepoint.locks);
    }

    /// True once anything was written.
    pub fn is_dirty(&self) -> bool {
        !self.writes.is_empty()
    }

    /// Creates a table; its id is final even before commit.
    pub fn create_table(&mut self, definition: TableDefinition) -> Result<TableId> {
        let id = self.engine.context().new_table_id();
        self.create(Table::new(id, definition)?);
        Ok(id)
    }

    /// Creates a table under a reserved id (below [`TableId::FIRST_USER`]).
    pub fn create_reserved_table(&mut self, table: TableId, definition: TableDefinition) -> Result<()> {
        if table >= TableId::FIRST_USER || self.table(table).is_ok() {
            return Err(Error::TableChanged(table));
        }
        self.create(Table::new(table, definition)?);
        Ok(())
    }

    fn create(&mut self, table: Arc<Table>) {
        let mut writes = TableWrites::new(table.clone());
        writes.created = true;
        self.writes.tables.insert(table.id, writes);
        *self.overlay.get_mut() = None;
    }

    /// Drops a table, and its indexes.
    pub fn drop_table(&mut self, table: TableId) -> Result<()> {
        for index in self.indexes_of(table, None)? {
            self.drop_table(index.id)?;
        }
        let writes = self.writes_to(table)?;
        if writes.created {
            self.writes.tables.remove(&table);
        } else {
            *writes = TableWrites { dropped: true, ..TableWrites::new(writes.table.clone()) };
        }
        Ok(())
    }

    /// Removes all rows of the table: those this snapshot sees, own ones, and what commits before this transaction does.
    pub fn truncate(&mut self, table: TableId) -> Result<()> {
        for index in self.indexes_of(table, None)? {
            self.truncate(index.id)?;
        }
        let writes = self.writes_to(table)?;
        let (created, indexes) = (writes.created, std::mem::take(&mut writes.indexes));
        *writes = TableWrites { created, truncated: !created, indexes, ..TableWrites::new(writes.table.clone()) };
        if writes.table.definition.time.is_some() {
            writes.touched = Touched::all();
        }
        Ok(())
    }

    /// The indexes of a table for this transaction, of those that have one of the columns `changed` or, when it is `None`, all.
    fn indexes_of(&self, table: TableId, changed: Option<&[usize]>) -> Result<Vec<Arc<Table>>> {
        let own = self.writes.tables.iter().filter(|(_, writes)| {
            writes.created && writes.table.definition.index.as_ref().is_some_and(|of| of.table == table)
        });
        let ids = self.base.indexes_of(table).iter().chain(own.map(|(id, _)| id));
        let is_dropped = |id: &TableId| self.writes.tables.get(id).is_some_and(|writes| writes.dropped);
        let known = ids.filter(|id| !is_dropped(id)).map(|id| self.table(*id)).collect::<Result<Vec<_>>>()?;
        let is_meant = |index: &Arc<Table>| match (changed, &index.definition.index) {
            (Some(changed), Some(of)) => changed.iter().any(|column| of.columns.contains(column)),
            _ => true,
        };
        Ok(known.into_iter().filter(is_meant).collect())
    }

    /// Takes out whole segments of a partitioned table: those that others can see and whose rows all have values in `range` of the column that parts
    /// them. How many rows were deleted so; other rows in the range are still there. Nothing is done for a table with indexes, nor when the
    /// snapshot is not the newest one of the table. Nobody else may write to the table: it must be locked before.
    pub fn cut(&mut self, table: TableId, range: RangeInclusive<i64>) -> Result<u64> {
        let (base, newest) =
            (self.base.tables.get(&table).cloned(), self.engine.published().tables.get(&table).cloned());
        let (Some(base), Some(newest)) = (base, newest) else { return Ok(0) };
        if !Arc::ptr_eq(&base, &newest) || base.table.definition.partition.is_none() {
            return Ok(0);
        }
        if !self.indexes_of(table, None)?.is_empty() || self.writes.tables.get(&table).is_some_and(|w| w.truncated) {
            return Ok(0);
        }
        // The line looks at what is known of them.
        base.stored.segments.iter().try_for_each(|segment| segment.range(&base.table).map(drop))?;
        let seen = self.overlay();
        let Some(layout) = seen.tables.get(&table) else { return Ok(0) };
        let of_others = |segment: &&Arc<StoredSegment>| base.stored.segments.iter().any(|s| Arc::ptr_eq(s, segment));
        let gone = layout.stored.segments.iter().filter(of_others).filter(|segment| segment.is_within(&range));
        let alive =
            |segment: &Arc<StoredSegment>| segment.reference.rows - layout.dead.of_segment(segment.reference.id);
        let alive: Vec<u64> = gone.map(alive).collect();
        if !alive.is_empty() {
            let is_expiring = self.is_expiring;
            let writes = self.writes_to(table)?;
            if let Some(time) = writes.table.definition.time.filter(|_| !is_expiring) {
                writes.touched.add_range(range.clone(), base.table.schema.field(time).data_type());
            }
            writes.cuts.push(range);
        }
        Ok(alive.into_iter().sum())
    }

    /// Adds rows. Small amounts stay in memory until commit; from 122,880 rows on they go straight to segments.
    pub fn append(&mut self, table: TableId, batch: RecordBatch) -> Result<()> {
        let indexes = self.indexes_of(table, None)?;
        self.append_with(table, batch, &indexes)
    }

    fn append_with(&mut self, table: TableId, batch: RecordBatch, indexes: &[Arc<Table>]) -> Result<()> {
        let known = self.table(table)?;
        let batch = known.fit(&batch)?;
        if let Some(time) = known.definition.time {
            self.writes_to(table)?.touched.add_values(batch.column(time))?;
        }
        let entries = indexes.iter().map(|index| index.entries(&batch)).collect::<Result<Vec<_>>>()?;
        for (index, entries) in indexes.iter().zip(entries) {
            self.append_fitted(index.id, entries)?;
        }
        self.append_fitted(table, batch)
    }

    fn append_fitted(&mut self, table: TableId, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() >= BLOCK_ROWS_MAX || batch_bytes(&batch) > BUFFER_BYTES_MAX {
            return self.load(table, [batch]);
        }
        let block = self.buffer(&batch)?;
        let writes = self.writes_to(table)?;
        writes.rows.push(block, &mut writes.dead)?;
        if writes.rows.rows < BLOCK_ROWS_MAX as u64 && writes.rows.bytes <= BUFFER_BYTES_MAX {
            return Ok(());
        }
        // What stays in memory if this fails is still there.
        let before = writes.clone();
        let live = before.rows.blocks.iter().map(|block| block.live_rows(&before.dead)).collect::<Result<Vec<_>>>()?;
        writes.rows = MemList::default();
        before.rows.blocks.iter().for_each(|block| drop(writes.dead.remove(block.id)));
        let loaded = self.load(table, live);
        if loaded.is_err() {
            *self.writes_to(table)? = before;
        }
        loaded
    }

    /// Deletes rows by their places in `snapshot`, which must be one of this transaction's own since the last refresh. Rows
    /// named twice and rows that this transaction has deleted already are passed over; how many were deleted now.
    pub fn delete(&mut self, snapshot: &Snapshot, table: TableId, places: &UInt64Array) -> Result<u64> {
        let indexes = self.indexes_of(table, None)?;
        self.delete_with(snapshot, table, places, &indexes)
    }

    /// Deletes rows as [`Transaction::delete`] and adds `rows` for them, which differ in the columns `changed` only.
    pub fn replace(
        &mut self,
        snapshot: &Snapshot,
        table: TableId,
        places: &UInt64Array,
        rows: RecordBatch,
        changed: &[usize],
    ) -> Result<()> {
        // A row gets a new number.
        let is_numbered = self.table(table)?.has_row_numbers();
        let indexes = self.indexes_of(table, Some(changed).filter(|_| !is_numbered))?;
        self.delete_with(snapshot, table, places, &indexes)?;
        self.append_with(table, rows, &indexes)
    }

    fn delete_with(
        &mut self,
        snapshot: &Snapshot,
        table: TableId,
        places: &UInt64Array,
        indexes: &[Arc<Table>],
    ) -> Result<u64> {
        if snapshot.timestamp() == self.base.timestamp {
            for index in indexes {
                let entries = snapshot.entries_of(index, places)?;
                self.delete_with(snapshot, index.id, &entries, &[])?;
            }
        }
        let (layout, timestamp) = (snapshot.version().layout(table)?.clone(), snapshot.timestamp());
        if timestamp != self.base.timestamp {
            return Err(Error::Unsupported("a place belongs to the snapshot that was scanned".into()));
        }
        let key = self.table(table)?.key.clone();
        let account = self.engine.context().mem_account.clone();
        let mut places: Vec<u64> = places.values().to_vec();
        places.sort_unstable();
        places.dedup();
        let (mut of_others, mut count) = (vec![], 0);
        let TableWrites { mut dead, mut in_delta, .. } = self.writes_to(table)?.clone();
        // A view that the base has in another form by now, sealed, is a block as others are.
        let delta_id = self.base.tables.get(&table).and_then(|layout| layout.delta_id());
        for of_block in places.chunk_by(|a, b| place_parts(*a).0 == place_parts(*b).0) {
            let (number, last) = place_parts(of_block[of_block.len() - 1]);
            let has_rows = |block: &BlockSource| of_block.iter().all(|place| block.has_row(place_parts(*place).1));
            let block = layout.block(number)?.filter(has_rows);
            let block = block.ok_or_else(|| Error::Unsupported(format!("no row at place {number}:{last}")))?;
            let is_own = self.writes_to(table)?.is_own(block.id);
            let delta = block.as_delta().filter(|_| delta_id == Some(block.id));
            for &place in of_block {
                let row = place_parts(place).1;
                let is_new = match delta {
                    Some(delta) => in_delta.insert(block.id, &delta.key(row)),
                    None => dead.insert(block.id, block.number(row)),
                };
                if is_new {
                    count += 1;
                    if !is_own {
                        of_others.push(place);
                    }
                }
            }
        }
        if !of_others.is_empty() {
            self.writes_to(table)?.read_at = timestamp;
            let time = layout.table.definition.time.filter(|_| !self.is_expiring);
            let columns: Vec<usize> = key.iter().copied().chain(time).collect();
            let mut keys = rows_at(&layout, &UInt64Array::from(of_others), &columns)?;
            if time.is_some() {
                let times = keys.remove_column(key.len());
                self.writes_to(table)?.touched.add_values(&times)?;
            }
            let keys = MemBlock::new(&keys, &account)?;
            self.writes_to(table)?.deleted.add(keys);
        }
        let writes = self.writes_to(table)?;
        (writes.dead, writes.in_delta) = (dead, in_delta);
        Ok(count)
    }

    /// Memory for a batch; when there is none, what others have committed is flushed first.
    fn buffer(&self, batch: &RecordBatch) -> Result<Arc<MemBlock>> {
        let account = &self.engine.context().mem_account;
        match MemBlock::new(batch, account) {
            Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                self.engine.checkpoint()?;
                MemBlock::new(batch, account)
            }
            outcome => outcome,
        }
    }

    /// Puts rows into segments.
    fn load(&mut self, table: TableId, batches: impl IntoIterator<Item = RecordBatch>) -> Result<()> {
        let mut load = self.bulk_load(table)?;
        batches.into_iter().try_for_each(|batch| load.push(batch))?;
        let bulk = load.finish_in_segments()?;
        self.add(table, bulk)
    }

    fn bulk_load(&self, table: TableId) -> Result<BulkLoad> {
        Ok(BulkLoad::new(self.engine.context(), self.engine.encoders(), &self.table(table)?))
    }

    fn add(&mut self, table: TableId, bulk: Bulk) -> Result<()> {
        let writes = self.writes_to(table)?;
        match bulk {
            Bulk::Mem(blocks) => writes.rows.extend(&MemList::unmerged(blocks), &mut writes.dead),
            Bulk::Segments(segments) => {
                writes.segments.extend(segments);
                Ok(())
            }
        }
    }

    /// A bulk appender that encodes on the engine's threads while the caller goes on.
    pub fn appender(&mut self, table: TableId) -> Result<Appender> {
        let indexes = self.indexes_of(table, None)?;
        let indexes = indexes.iter().map(|index| self.bulk_load(index.id)).collect::<Result<_>>()?;
        let (load, touched) = (self.bulk_load(table)?, Touched::default());
        Ok(Appender { load, indexes, touched, transaction: self.owner.number })
    }

    /// A table that exists for this transaction.
    pub(crate) fn table(&self, table: TableId) -> Result<Arc<Table>> {
        match self.writes.tables.get(&table) {
            Some(writes) if writes.dropped => Err(Error::UnknownTable(table)),
            Some(writes) if writes.created => Ok(writes.table.clone()),
            _ => Ok(self.base.layout(table)?.table.clone()),
        }
    }

    /// The writes to a table that exists for this transaction; the overlay is stale afterwards.
    fn writes_to(&mut self, table: TableId) -> Result<&mut TableWrites> {
        let known = self.table(table)?;
        *self.overlay.get_mut() = None;
        let indexes = self.base.indexes_of(table);
        let new = || TableWrites { indexes: indexes.to_vec(), ..TableWrites::new(known) };
        Ok(self.writes.tables.entry(table).or_insert_with(new))
    }

    /// Commits: durable, published, then returns. A transaction that wrote nothing writes nothing.
    pub fn commit(mut self) -> Result<Timestamp> {
        self.writes.settle()?;
        if self.writes.is_empty() {
            return Ok(self.base.timestamp);
        }
        let Transaction { engine, base, writes, overlay, owner, reads, .. } = self;
        let checked = reads.as_ref().map(|reads| Reads { log: reads.log.clone(), since: base.timestamp });
        drop((base, overlay));
        let submitted = engine.line().submit(writes, owner.id(), checked, None, None)?;
        let outcome = engine.line().wait(submitted);
        // Those who waited see what was published.
        drop(owner);
        engine.relieve_memory();
        outcome
    }

    /// Whether so little was written that [`Transaction::submit`] is the way to commit it.
    pub fn is_small(&self) -> bool {
        let lists = || self.writes.tables.values().flat_map(|writes| [&writes.rows, &writes.deleted]);
        lists().map(|list| list.rows).sum::<u64>() <= SUBMITTED_ROWS_MAX
            && lists().map(|list| list.bytes).sum::<usize>() <= SUBMITTED_BYTES_MAX
            && self.writes.segments().next().is_none()
    }

    /// Commits without waiting for it: when the outcome is there, or more is to be done, `told` is called. Only for a transaction that has
    /// written something.
    pub fn submit(mut self, told: impl FnOnce() + Send + 'static) -> Result<Submission> {
        self.writes.settle()?;
        let Transaction { engine, base, writes, owner, reads, .. } = self;
        if writes.is_empty() {
            return Ok(Submission { engine, state: Err(Ok(base.timestamp)) });
        }
        let checked = reads.as_ref().map(|reads| Reads { log: reads.log.clone(), since: base.timestamp });
        let id = owner.id();
        let held = Box::new((owner, reads));
        let submitted = engine.line().submit(writes, id, checked, Some(held), Some(Box::new(told)))?;
        Ok(Submission { engine, state: Ok(submitted) })
    }

    /// Forgets everything, removing files written.
    pub fn rollback(self) {
        // Segments written lose their last reference here, and with it their files.
        drop(self);
    }
}

/// A commit that nobody waits for yet. Dropped before its end, it may or may not come to pass.
pub struct Submission {
    engine: Arc<Engine>,
    /// On its way, or what became of it.
    state: std::result::Result<Submitted, Result<Timestamp>>,
}

impl Submission {
    /// Whether `told` will be called.
    pub fn is_sent(&self) -> bool {
        self.state.as_ref().is_ok_and(Submitted::is_sent)
    }

    /// What became of it, if that is known and nothing is left to do.
    pub fn result(&mut self) -> Option<Result<Timestamp>> {
        if let Ok(submitted) = &mut self.state
            && let Some(result) = submitted.result()
        {
            self.state = Err(result);
        }
        match &self.state {
            Err(result) if !self.engine.is_short_of_memory() => Some(result.clone()),
            _ => None,
        }
    }

    /// Waits for it, on a thread that may block.
    pub fn wait(self) -> Result<Timestamp> {
        let outcome = match self.state {
            Ok(submitted) => self.engine.line().wait(submitted),
            Err(result) => result,
        };
        self.engine.relieve_memory();
        outcome
    }
}

impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Submission(sent: {})", self.is_sent())
    }
}

/// What a transaction had written at some moment.
#[derive(Clone, Debug)]
pub struct Savepoint {
    writes: WriteSet,
    locks: Mark,
}

fn encode(table: &Table, keys: &[ArrayRef]) -> Result<EncodedKeys> {
    let encoder = table.encoder.as_ref().ok_or_else(|| Error::Unsupported("keys without an order".into()))?;
    encoder.encode(keys)
}

/// Takes batches in arrival order and makes blocks of them in parallel. `push` blocks when encoders are behind.
#[derive(Debug)]
pub struct Appender {
    load: BulkLoad,
    indexes: Vec<BulkLoad>,
    touched: Touched,
    /// Which transaction made it.
    transaction: u64,
}

impl Appender {
    /// Adds rows.
    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let batch = self.load.table.fit(&batch)?;
        if let Some(time) = self.load.table.definition.time {
            self.touched.add_values(batch.column(time))?;
        }
        let entries = self.indexes.iter().map(|load| load.table.entries(&batch)).collect::<Result<Vec<_>>>()?;
        for (load, entries) in self.indexes.iter_mut().zip(entries) {
            load.push(entries)?;
        }
        self.load.push(batch)
    }

    /// Hands everything to `txn`, which must be the one that made it. Dropped instead, nothing is kept. Rows added.
    pub fn finish(self, txn: &mut Transaction) -> Result<u64> {
        if self.transaction != txn.owner.number {
            return Err(Error::Unsupported("an appender belongs to the transaction that made it".into()));
        }
        let (table, rows) = (self.load.table.clone(), self.load.rows);
        if !Arc::ptr_eq(&table, &txn.table(table.id)?) {
            return Err(Error::TableChanged(table.id));
        }
        if let Some(time) = table.definition.time {
            let data_type = table.schema.field(time).data_type();
            txn.writes_to(table.id)?.touched.merge(&self.touched, data_type);
        }
        for load in self.indexes {
            let index = load.table.id;
            txn.add(index, load.finish()?)?;
        }
        let bulk = self.load.finish()?;
        txn.add(table.id, bulk)?;
        Ok(rows)
    }

    /// Path-free description for errors.
    pub fn table(&self) -> TableId {
        self.load.table.id
    }
}
