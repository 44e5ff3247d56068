//! What a serializable transaction has read, and which commits since would have changed that.
//!
//! A transaction that wrote something commits only if everything it read would be the same at its place in commit order. Reads are
//! kept as ranges of keys with the conditions of the scan; a commit is kept as the keys it deleted and the rows it inserted. They meet
//! when a deleted key lies in the range, or an inserted row does and satisfies the conditions (precision locking: Neumann, Mühlbauer, Kemper, "Fast
//! Serializable Multi-Version Concurrency Control for Main-Memory Database Systems", 2015). Of a deleted row only the key is
//! known, so it counts whatever the conditions are. A read that cannot be summarised counts as one of the whole table, and so does a bulk load as a write of it:
//! a transaction may be refused for nothing, and is never accepted wrongly.
//!
//! Transactions that only read need no check: their snapshot is the state after some commit, and all commits before it were checked.
//!
//! Commits are kept while serializable transactions are open that began before them, within a bound; beyond it the oldest go, and
//! with them the transactions that would have had to be checked against them.

use crate::error::{Error, Result};
use crate::ids::{TableId, Timestamp};
use crate::key::{EncodedKeys, KeyRange};
use crate::mem::{MemBlock, MemList};
use crate::predicate::Predicate;
use crate::scan::{BlockSource, Scan, ScanSource, ScanSpec};
use crate::table::Table;
use crate::writes::WriteSet;
use arrow::array::ArrayRef;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Ranges of one table; more reads count as one of the whole table.
const RANGES_MAX: usize = 1024;
/// Bytes of rows of commits that are kept for checking.
const HISTORY_BYTES_MAX: usize = 64 << 20;
/// Commits that are kept for checking.
const HISTORY_COMMITS_MAX: usize = 1 << 16;

/// What one transaction has read so far.
#[derive(Debug, Default)]
pub(crate) struct ReadLog {
    tables: Mutex<BTreeMap<TableId, Vec<Read>>>,
}

/// One scan.
#[derive(Debug)]
struct Read {
    keys: KeyRange,
    predicates: Vec<Predicate>,
}

impl Read {
    fn of_all() -> Read {
        Read { keys: KeyRange::all(), predicates: vec![] }
    }

    fn is_of_all(&self) -> bool {
        self.predicates.is_empty() && self.keys == KeyRange::all()
    }
}

impl ReadLog {
    /// Notes a scan of the rows that satisfy all of `predicates`.
    pub(crate) fn note(&self, table: &Table, predicates: &[Predicate]) -> Result<()> {
        let keys = table.key_range(predicates)?;
        let mut tables = self.tables.lock();
        let reads = tables.entry(table.id).or_default();
        if reads.first().is_some_and(Read::is_of_all) {
            return Ok(());
        }
        let read = Read { keys, predicates: predicates.to_vec() };
        if reads.len() >= RANGES_MAX || read.is_of_all() {
            *reads = vec![Read::of_all()];
        } else {
            reads.push(read);
        }
        Ok(())
    }

    /// The first table of which `commit` changed something that was read.
    fn meets(&self, commit: &Committed) -> Result<Option<TableId>> {
        let tables = self.tables.lock();
        for (id, written) in &commit.tables {
            for read in tables.get(id).into_iter().flatten() {
                if written.meets(read)? {
                    return Ok(Some(*id));
                }
            }
        }
        Ok(None)
    }
}

/// The reads of a transaction that wants to commit, and since when others may have been in the way.
#[derive(Debug)]
pub(crate) struct Reads {
    pub(crate) log: Arc<ReadLog>,
    pub(crate) since: Timestamp,
}

/// A commit as readers are checked against it.
#[derive(Debug)]
struct Committed {
    at: Timestamp,
    bytes: usize,
    tables: BTreeMap<TableId, Written>,
}

#[derive(Debug)]
struct Written {
    table: Arc<Table>,
    /// Whether any row may have changed.
    is_all: bool,
    deleted: Vec<EncodedKeys>,
    inserted: Vec<(Arc<MemBlock>, Option<EncodedKeys>)>,
}

impl Written {
    fn meets(&self, read: &Read) -> Result<bool> {
        if self.is_all || read.is_of_all() {
            return Ok(true);
        }
        let within = |keys: &EncodedKeys| (0..keys.len()).any(|row| read.keys.contains(keys.get(row)));
        if self.deleted.iter().any(within) {
            return Ok(true);
        }
        for (block, keys) in &self.inserted {
            if keys.as_ref().is_none_or(within) && self.satisfies(block, &read.predicates)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a row of `block` satisfies all of `predicates`.
    fn satisfies(&self, block: &Arc<MemBlock>, predicates: &[Predicate]) -> Result<bool> {
        let source = ScanSource {
            schema: self.table.schema.clone(),
            blocks: vec![BlockSource::mem(block)],
            snapshot: Timestamp::default(),
            clustered_by: None,
        };
        let spec = ScanSpec { predicates: predicates.to_vec(), ..ScanSpec::default() };
        for batch in Scan::plan(Arc::new(source), spec)?.reader() {
            if batch?.num_rows() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The serializable transactions that are open, by the timestamps of their snapshots.
#[derive(Debug, Default)]
pub(crate) struct Serializables {
    open: Mutex<BTreeMap<Timestamp, usize>>,
}

/// Keeps commits since a snapshot, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Registration {
    of: Arc<Serializables>,
    since: Timestamp,
}

impl Serializables {
    /// Has commits after `since` kept. On the line, so that none is on its way.
    pub(crate) fn register(self: &Arc<Self>, since: Timestamp) -> Registration {
        *self.open.lock().entry(since).or_default() += 1;
        Registration { of: self.clone(), since }
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.open.lock().keys().next().copied()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut open = self.of.open.lock();
        if let Some(count) = open.get_mut(&self.since) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.since);
            }
        }
    }
}

/// Recent commits, as long as somebody has to be checked against them. The line's.
#[derive(Debug, Default)]
pub(crate) struct History {
    commits: VecDeque<Committed>,
    bytes: usize,
    /// The newest commit that was forgotten though it might be needed.
    floor: Timestamp,
}

impl History {
    /// Refuses a transaction when something it read was changed since its snapshot.
    pub(crate) fn check(&self, reads: &Reads) -> Result<()> {
        let tables = reads.log.tables.lock().keys().next().copied();
        let Some(first) = tables else { return Ok(()) };
        if reads.since < self.floor {
            return Err(Error::Serialization(first));
        }
        for commit in self.commits.iter().rev().take_while(|commit| commit.at > reads.since) {
            if let Some(table) = reads.log.meets(commit)? {
                return Err(Error::Serialization(table));
            }
        }
        Ok(())
    }

    /// Keeps a commit if a transaction is open that may have to be checked against it.
    pub(crate) fn note(&mut self, writes: &WriteSet, at: Timestamp, open: &Serializables) {
        let Some(oldest) = open.oldest() else {
            self.commits.clear();
            self.bytes = 0;
            return;
        };
        while self.commits.front().is_some_and(|commit| commit.at <= oldest) {
            self.forget();
        }
        let Ok(committed) = Committed::of(writes, at) else {
            self.floor = at;
            return;
        };
        self.bytes += committed.bytes;
        self.commits.push_back(committed);
        while self.commits.len() > 1 && (self.bytes > HISTORY_BYTES_MAX || self.commits.len() > HISTORY_COMMITS_MAX) {
            self.floor = self.forget().unwrap_or(self.floor);
        }
    }

    fn forget(&mut self) -> Option<Timestamp> {
        let forgotten = self.commits.pop_front()?;
        self.bytes -= forgotten.bytes;
        Some(forgotten.at)
    }
}

impl Committed {
    fn of(writes: &WriteSet, at: Timestamp) -> Result<Committed> {
        let mut committed = Committed { at, bytes: 0, tables: BTreeMap::new() };
        for (id, writes) in &writes.tables {
            let table = writes.table.clone();
            let is_all = writes.truncated || writes.dropped || !writes.cuts.is_empty() || !writes.segments.is_empty();
            let mut written = Written { table, is_all, deleted: vec![], inserted: vec![] };
            if !is_all {
                written.list(&writes.deleted, &writes.rows)?;
                committed.bytes += writes.deleted.bytes + writes.rows.bytes;
            }
            committed.tables.insert(*id, written);
        }
        Ok(committed)
    }
}

impl Written {
    fn list(&mut self, deleted: &MemList, rows: &MemList) -> Result<()> {
        let table = &self.table;
        let encode = |columns: &[ArrayRef]| table.encoder.as_ref().map(|e| e.encode_prefix(columns)).transpose();
        for keys in &deleted.blocks {
            match encode(keys.batch().columns())? {
                Some(keys) => self.deleted.push(keys),
                None => self.is_all = true,
            }
        }
        for block in &rows.blocks {
            let keys = if table.has_row_numbers() { None } else { encode(&table.key_columns(block.batch()))? };
            self.inserted.push((block.clone(), keys));
        }
        Ok(())
    }
}
