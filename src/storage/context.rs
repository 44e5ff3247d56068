//! What every part of an open engine shares: the file system, the directory, the budget, the page cache, the ids.

use crate::budget::{MemoryBudget, Reservation};
use crate::error::{Error, Result};
use crate::frames::Frames;
use crate::ids::{SegmentId, TableId};
use crate::locks::{LockOptions, Locks};
use crate::reads::Serializables;
use crate::recent::RecentWrites;
use crossbeam_channel::Sender;
use lightning_vfs::Vfs;
use parking_lot::{Condvar, Mutex};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Places within the database directory.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) root: PathBuf,
    pub(crate) lock: PathBuf,
    pub(crate) wal: PathBuf,
    pub(crate) segments: PathBuf,
    pub(crate) deletes: PathBuf,
}

impl Places {
    /// The places within `dir`.
    pub(crate) fn new(dir: &Path) -> Places {
        Places {
            root: dir.to_path_buf(),
            lock: dir.join("LOCK"),
            wal: dir.join("wal"),
            segments: dir.join("segments"),
            deletes: dir.join("deletes"),
        }
    }

    /// Creates what is missing, and makes the names durable.
    pub(crate) fn create(&self, vfs: &dyn Vfs) -> Result<()> {
        for dir in [&self.root, &self.wal, &self.segments, &self.deletes] {
            vfs.create_dir_all(dir).map_err(|e| Error::io(dir, "create", e))?;
        }
        vfs.sync_dir(&self.root).map_err(|e| Error::io(&self.root, "sync", e))
    }
}

/// Shared by all parts of one open engine.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) places: Places,
    pub(crate) threads: usize,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) frames: Arc<Frames>,
    /// Memory of installed mem blocks, and of those that transactions buffer.
    pub(crate) mem_account: Arc<Reservation>,
    /// Key and table locks of open transactions.
    pub(crate) locks: Arc<Locks>,
    /// Which keys were written lately.
    pub(crate) recent: RecentWrites,
    /// Transactions whose reads will be checked.
    pub(crate) serializables: Arc<Serializables>,
    next_table: AtomicU64,
    next_segment: AtomicU64,
    /// Where the files of segments nobody needs any more are sent. Not bounded: a reader that drops the last reference
    /// must not wait, and there are no more messages than files.
    unneeded: Sender<PathBuf>,
    /// Whether somebody has the overdraft.
    overdrawn: Mutex<bool>,
    overdraft_returned: Condvar,
    /// Why the engine takes no more writes.
    failure: Mutex<Option<String>>,
}

/// Leave to go beyond the memory budget for one block of rows. There is one; dropping gives it back.
#[derive(Debug)]
pub(crate) struct Overdraft {
    context: Arc<Context>,
}

impl Drop for Overdraft {
    fn drop(&mut self) {
        *self.context.overdrawn.lock() = false;
        self.context.overdraft_returned.notify_one();
    }
}

impl Context {
    /// The context of an engine that knows no tables yet.
    pub(crate) fn new(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        memory_limit_bytes: usize,
        threads: usize,
        unneeded: Sender<PathBuf>,
    ) -> Arc<Context> {
        let budget = MemoryBudget::new(memory_limit_bytes);
        Arc::new(Context {
            vfs,
            places: Places::new(dir),
            threads: threads.max(1),
            frames: Frames::new(&budget),
            mem_account: Arc::new(budget.register("mem blocks")),
            budget,
            locks: Arc::new(Locks::new(LockOptions::default())),
            recent: RecentWrites::default(),
            serializables: Arc::default(),
            next_table: AtomicU64::new(TableId::FIRST_USER.0),
            next_segment: AtomicU64::new(1),
            unneeded,
            overdrawn: Mutex::new(false),
            overdraft_returned: Condvar::new(),
            failure: Mutex::new(None),
        })
    }

    /// Rows in memory beyond this many bytes are flushed.
    pub(crate) fn mem_bytes_max(&self) -> usize {
        (self.budget.limit_bytes() / 8).min(64 << 20)
    }

    /// Log records beyond this many bytes are flushed, to keep recovery short and within memory.
    pub(crate) fn log_bytes_max(&self) -> u64 {
        (self.budget.limit_bytes() as u64 / 2).min(128 << 20)
    }

    /// A table id nobody has had.
    pub(crate) fn new_table_id(&self) -> TableId {
        TableId(self.next_table.fetch_add(1, Ordering::Relaxed))
    }

    /// A segment id nobody has had.
    pub(crate) fn new_segment_id(&self) -> SegmentId {
        SegmentId(self.next_segment.fetch_add(1, Ordering::Relaxed))
    }

    /// Ids that were not given out yet.
    pub(crate) fn next_ids(&self) -> (TableId, SegmentId) {
        (TableId(self.next_table.load(Ordering::Relaxed)), SegmentId(self.next_segment.load(Ordering::Relaxed)))
    }

    /// Never gives out ids below these.
    pub(crate) fn reserve_ids(&self, table: TableId, segment: SegmentId) {
        self.next_table.fetch_max(table.0, Ordering::Relaxed);
        self.next_segment.fetch_max(segment.0, Ordering::Relaxed);
    }

    /// Has the file of a segment removed in the background.
    pub(crate) fn remove_later(&self, path: PathBuf) {
        // A closed engine has nobody left to remove it: the next recovery does.
        let _ = self.unneeded.send(path);
    }

    /// Waits for the overdraft. Whoever has it needs nothing else to finish.
    pub(crate) fn overdraft(self: &Arc<Self>) -> Overdraft {
        let mut overdrawn = self.overdrawn.lock();
        while *overdrawn {
            self.overdraft_returned.wait(&mut overdrawn);
        }
        *overdrawn = true;
        Overdraft { context: self.clone() }
    }

    /// Makes the names in the segment directory durable.
    pub(crate) fn sync_segments(&self) -> Result<()> {
        let dir = &self.places.segments;
        self.vfs.sync_dir(dir).map_err(|e| Error::io(dir, "sync", e))
    }

    /// Refuses writes from now on. The first reason stays.
    pub(crate) fn fail(&self, why: String) {
        self.failure.lock().get_or_insert(why);
    }

    /// `ReadOnly` once the engine failed.
    pub(crate) fn check_writable(&self) -> Result<()> {
        match &*self.failure.lock() {
            None => Ok(()),
            Some(why) => Err(Error::ReadOnly(why.clone())),
        }
    }
}
