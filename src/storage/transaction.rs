//! Transactions: a base snapshot, buffered writes, and the way to the line.
//!
//! Rows wait in memory until commit. A transaction that has buffered many puts them into segments instead, which are
//! files that nothing refers to until the commit record does: rolled back, it lets go of them and they are removed.

use crate::bulk::{BUFFER_BYTES_MAX, Bulk, BulkLoad};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{TableId, Timestamp};
use crate::mem::{MemBlock, MemList, Merging, batch_bytes};
use crate::scan::{place_parts, rows_at};
use crate::segment::BLOCK_ROWS_MAX;
use crate::snapshot::Snapshot;
use crate::table::{Table, TableDefinition};
use crate::version::Version;
use crate::writes::{TableWrites, WriteSet};
use arrow::array::{RecordBatch, UInt64Array};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers transactions, so that an appender knows its own.
static NEXT_TRANSACTION: AtomicU64 = AtomicU64::new(1);

impl Engine {
    /// Starts a transaction on the newest snapshot.
    pub fn begin(self: &Arc<Self>) -> Transaction {
        Transaction::new(self.clone(), self.published())
    }
}

/// Reads one snapshot, buffers its writes, commits or vanishes. Dropping it rolls back.
#[derive(Debug)]
pub struct Transaction {
    engine: Arc<Engine>,
    number: u64,
    base: Arc<Version>,
    writes: WriteSet,
    /// The base with the writes on top, until either changes.
    overlay: Mutex<Option<Arc<Version>>>,
}

impl Transaction {
    /// Starts on `base`.
    fn new(engine: Arc<Engine>, base: Arc<Version>) -> Transaction {
        let number = NEXT_TRANSACTION.fetch_add(1, Ordering::Relaxed);
        Transaction { engine, number, base, writes: WriteSet::default(), overlay: Mutex::new(None) }
    }

    /// The snapshot with this transaction's own writes so far on top.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.overlay())
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
        self.writes.apply(&mut version, Merging::Not).expect("only merging can fail");
        overlay.insert(Arc::new(version)).clone()
    }

    /// Moves to the newest published snapshot (READ COMMITTED: before each statement). Own writes stay; `Conflict`, and the
    /// old snapshot, when a row that was deleted here has been changed by a transaction that committed since.
    pub fn refresh(&mut self) -> Result<()> {
        let newest = self.engine.published();
        self.writes.relocate(&newest)?;
        self.base = newest;
        *self.overlay.get_mut() = None;
        Ok(())
    }

    /// Remembers the writes so far.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint { writes: self.writes.clone() }
    }

    /// Forgets the writes since `savepoint`. `Conflict` as for [`Transaction::refresh`].
    pub fn rollback_to(&mut self, savepoint: &Savepoint) -> Result<()> {
        let mut writes = savepoint.writes.clone();
        writes.relocate(&self.base)?;
        self.writes = writes;
        *self.overlay.get_mut() = None;
        Ok(())
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

    /// Drops a table.
    pub fn drop_table(&mut self, table: TableId) -> Result<()> {
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
        let writes = self.writes_to(table)?;
        let created = writes.created;
        *writes = TableWrites { created, truncated: !created, ..TableWrites::new(writes.table.clone()) };
        Ok(())
    }

    /// Adds rows. Small amounts stay in memory until commit; from 122,880 rows on they go straight to segments.
    pub fn append(&mut self, table: TableId, batch: RecordBatch) -> Result<()> {
        let batch = self.table(table)?.fit(&batch)?;
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
        let (layout, timestamp) = (snapshot.version().layout(table)?, snapshot.timestamp());
        if timestamp != self.base.timestamp {
            return Err(Error::Unsupported("a place belongs to the snapshot that was scanned".into()));
        }
        let source = layout.source(timestamp)?;
        let key = self.table(table)?.key.clone();
        let account = self.engine.context().mem_account.clone();
        let mut places: Vec<u64> = places.values().to_vec();
        places.sort_unstable();
        places.dedup();
        let (mut dead, mut of_others, mut count) = (self.writes_to(table)?.dead.clone(), vec![], 0);
        for of_block in places.chunk_by(|a, b| place_parts(*a).0 == place_parts(*b).0) {
            let (number, last) = place_parts(of_block[of_block.len() - 1]);
            let block = source.blocks.get(number).filter(|block| last < block.row_count());
            let block = block.ok_or_else(|| Error::Unsupported(format!("no row at place {number}:{last}")))?;
            let is_own = self.writes_to(table)?.is_own(block.id);
            for &place in of_block {
                let row = place_parts(place).1;
                if dead.insert(block.id, row) {
                    count += 1;
                    if !is_own {
                        of_others.push(place);
                    }
                }
            }
        }
        if !of_others.is_empty() {
            let keys = rows_at(&source, &UInt64Array::from(of_others), &key)?;
            let keys = MemBlock::new(&keys, &account)?;
            self.writes_to(table)?.deleted.add(keys);
        }
        self.writes_to(table)?.dead = dead;
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
        Ok(Appender { load: self.bulk_load(table)?, transaction: self.number })
    }

    /// A table that exists for this transaction.
    fn table(&self, table: TableId) -> Result<Arc<Table>> {
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
        Ok(self.writes.tables.entry(table).or_insert_with(|| TableWrites::new(known)))
    }

    /// Commits: durable, published, then returns. A transaction that wrote nothing writes nothing.
    pub fn commit(mut self) -> Result<Timestamp> {
        self.writes.settle()?;
        if self.writes.is_empty() {
            return Ok(self.base.timestamp);
        }
        let Transaction { engine, base, writes, overlay, .. } = self;
        drop((base, overlay));
        let outcome = engine.line().commit(writes);
        engine.relieve_memory();
        outcome
    }

    /// Forgets everything, removing files written.
    pub fn rollback(self) {
        // Segments written lose their last reference here, and with it their files.
        drop(self);
    }
}

/// What a transaction had written at some moment.
#[derive(Clone, Debug)]
pub struct Savepoint {
    writes: WriteSet,
}

/// Takes batches in arrival order and makes blocks of them in parallel. `push` blocks when encoders are behind.
#[derive(Debug)]
pub struct Appender {
    load: BulkLoad,
    /// Which transaction made it.
    transaction: u64,
}

impl Appender {
    /// Adds rows.
    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let batch = self.load.table.fit(&batch)?;
        self.load.push(batch)
    }

    /// Hands everything to `txn`, which must be the one that made it. Dropped instead, nothing is kept. Rows added.
    pub fn finish(self, txn: &mut Transaction) -> Result<u64> {
        if self.transaction != txn.number {
            return Err(Error::Unsupported("an appender belongs to the transaction that made it".into()));
        }
        let (table, rows) = (self.load.table.clone(), self.load.rows);
        if !Arc::ptr_eq(&table, &txn.table(table.id)?) {
            return Err(Error::TableChanged(table.id));
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
