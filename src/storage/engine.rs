//! The engine: one directory, opened by one process, shared by `Arc`.
//!
//! The journey of a commit: [`Transaction::commit`](crate::Transaction::commit) encodes its record → the line (`line.rs`) groups, validates, logs,
//! syncs, publishes → [`Engine::snapshot`] sees it. The journey of a row: delta tree or mem block → sealed → segment (`flush.rs`), or,
//! in bulk, straight into a segment (`bulk.rs`). Opening is `recovery.rs`.
//!
//! Threads: the line, the encoders, and one in the background that flushes when it is due and removes files nobody needs. All
//! of them end when the last `Arc` goes; a clean end flushes if the log is long enough to slow the next start down.

use crate::budget::MemoryBudget;
use crate::context::{Context, Places};
use crate::encoders::Encoders;
use crate::error::{Error, Result};
use crate::flush::Flusher;
use crate::frames::FrameCounters;
use crate::ids::TableId;
use crate::line::{Line, WalStatus};
use crate::locks::LockInfo;
use crate::recovery::{Recovered, recover};
use crate::snapshot::Snapshot;
use crate::verify::{VerifyReport, verify};
use crate::version::Version;
use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use lightning_vfs::{Lock, Vfs};
use parking_lot::Mutex;
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

/// More bytes of records than this are flushed when the engine closes, so that the next start need not replay them.
const CLOSE_LOG_BYTES: u64 = 8 << 20;
/// Committers help to flush once rows in memory take so many times the bytes at which the background begins.
const HELP_FROM: usize = 2;

/// How an engine runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of the one memory budget.
    pub memory_limit_bytes: usize,
    /// Threads that encode and flush.
    pub threads: usize,
}

/// A storage engine over one directory. Shared by `Arc`.
#[derive(Debug)]
pub struct Engine {
    context: Arc<Context>,
    // In the order they are to be dropped: who uses others goes first, the lock last.
    flusher: Option<Arc<Mutex<Flusher>>>,
    background: Option<Background>,
    encoders: Arc<Encoders>,
    line: Arc<Line>,
    recovery_notice: Option<String>,
    _lock: Box<dyn Lock>,
}

#[derive(Debug)]
struct Background {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Engine {
    /// Opens or creates the database in `dir`, running recovery. `InUse` when another process has it open.
    pub fn open(vfs: Arc<dyn Vfs>, dir: &Path, options: Options) -> Result<Arc<Engine>> {
        refuse_foreign(&*vfs, dir)?;
        let (unneeded, removals) = unbounded();
        let context = Context::new(vfs, dir, options.memory_limit_bytes, options.threads, unneeded);
        context.places.create(&*context.vfs)?;
        let lock = lock(&*context.vfs, &context.places)?;
        let Recovered { manifest, line, report } = recover(&context)?;
        let threads = |e| Error::io(dir, "start threads for", e);
        let (wake, woken) = bounded(1);
        let line = Arc::new(Line::start(context.clone(), line, wake.clone()).map_err(threads)?);
        let encoders = Arc::new(Encoders::start(context.threads).map_err(threads)?);
        let flusher = Flusher::new(context.clone(), line.clone(), encoders.clone(), manifest);
        let flusher = Arc::new(Mutex::new(flusher));
        let background = Background::start(context.clone(), flusher.clone(), woken, removals).map_err(threads)?;
        // What was replayed may be due already.
        let _ = wake.try_send(());
        let recovery_notice = report.discarded.map(|tail| {
            let (path, offset) = (tail.path.display(), tail.offset);
            format!("{path}: an unfinished write at byte {offset}, never acknowledged, was cut off: {}", tail.detail)
        });
        let background = Some(background);
        let flusher = Some(flusher);
        Ok(Arc::new(Engine { context, flusher, background, encoders, line, recovery_notice, _lock: lock }))
    }

    /// The newest published state.
    pub fn snapshot(self: &Arc<Self>) -> Snapshot {
        Snapshot::new(self.published())
    }

    /// Returns when all earlier commits are in segments and the log is truncated.
    pub fn checkpoint(&self) -> Result<()> {
        let flusher = self.flusher.as_ref().ok_or_else(|| Error::ReadOnly("the database is closed".into()))?;
        flusher.lock().checkpoint()
    }

    /// Returns when rows of `table` that were deleted before are gone, whatever their share, and all others are in blocks that do not
    /// overlap. Snapshots keep what they see. Readers and writers go on meanwhile.
    pub fn vacuum(&self, table: TableId) -> Result<()> {
        let flusher = self.flusher.as_ref().ok_or_else(|| Error::ReadOnly("the database is closed".into()))?;
        flusher.lock().vacuum(table)
    }

    /// The budget everything draws on.
    pub fn budget(&self) -> &Arc<MemoryBudget> {
        &self.context.budget
    }

    /// The log's state.
    pub fn wal_status(&self) -> WalStatus {
        self.line.status()
    }

    /// Every lock that is held or waited for.
    pub fn locks(&self) -> Vec<LockInfo> {
        self.context.locks.list()
    }

    /// What the page cache did so far, and holds now.
    pub fn page_cache(&self) -> FrameCounters {
        self.context.frames.counters()
    }

    /// What recovery cut off the log when this engine was opened: remains of a write that was never acknowledged.
    pub fn recovery_notice(&self) -> Option<&str> {
        self.recovery_notice.as_deref()
    }

    /// Checks every CRC and structural invariant of a closed database.
    pub fn verify(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<VerifyReport> {
        let (unneeded, _removals) = unbounded();
        let context = Context::new(vfs, dir, VERIFY_BYTES, 1, unneeded);
        let current = dir.join("CURRENT");
        let is_there = context.vfs.exists(&current).map_err(|e| Error::io(&current, "open", e))?;
        let _lock = if is_there { Some(lock(&*context.vfs, &context.places)?) } else { None };
        verify(&context)
    }

    pub(crate) fn published(&self) -> Arc<Version> {
        self.line.published()
    }

    /// Flushes, or waits for the flush under way, when commits fill memory faster than the background empties it. Called by
    /// committers that hold no version any more: what they hold cannot be let go.
    pub(crate) fn relieve_memory(&self) {
        if let Some(flusher) = self.flusher.as_ref().filter(|_| self.is_short_of_memory()) {
            // The commit is durable whatever becomes of this; who needs memory that is not there is told.
            let _ = flusher.lock().flush_due();
        }
    }

    /// Whether [`Engine::relieve_memory`] would do something.
    pub(crate) fn is_short_of_memory(&self) -> bool {
        self.context.mem_account.bytes() > HELP_FROM * self.context.mem_bytes_max()
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    pub(crate) fn encoders(&self) -> &Arc<Encoders> {
        &self.encoders
    }
}

/// Memory that a verification may take for pages.
const VERIFY_BYTES: usize = 256 << 20;

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(Background { stop, thread }) = self.background.take() {
            drop(stop);
            // A background thread that panicked said so on standard error.
            let _ = thread.join();
        }
        if self.line.run(|line| line.backlog.log_bytes).is_ok_and(|bytes| bytes > CLOSE_LOG_BYTES) {
            // A failure loses nothing: the log has it all.
            let _ = self.checkpoint();
        }
        self.flusher = None;
    }
}

impl Background {
    fn start(
        context: Arc<Context>,
        flusher: Arc<Mutex<Flusher>>,
        woken: Receiver<()>,
        removals: Receiver<PathBuf>,
    ) -> std::io::Result<Background> {
        let (stop, stopped) = bounded::<()>(0);
        let thread = std::thread::Builder::new().name("lightning-flush".into()).spawn(move || {
            loop {
                select! {
                    // What failed is tried again: the rows are in memory and in the log.
                    recv(woken) -> _ => drop(flusher.lock().flush_due()),
                    recv(removals) -> path => path.into_iter().for_each(|path| remove(&context, &path)),
                    recv(stopped) -> _ => break,
                }
            }
            removals.try_iter().for_each(|path| remove(&context, &path));
        })?;
        Ok(Background { stop, thread })
    }
}

/// Removes a file nobody needs. If that fails it is an orphan, which the next recovery removes.
fn remove(context: &Context, path: &Path) {
    let _ = context.vfs.remove(path);
}

fn lock(vfs: &dyn Vfs, places: &Places) -> Result<Box<dyn Lock>> {
    vfs.lock(&places.lock).map_err(|e| match e.kind() {
        IoErrorKind::WouldBlock => Error::InUse(places.root.clone()),
        _ => Error::io(&places.lock, "lock", e),
    })
}

/// A directory with files of others is not made a database by accident.
fn refuse_foreign(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let failed = |e| Error::io(dir, "list", e);
    if !vfs.exists(dir).map_err(failed)? || vfs.exists(&dir.join("CURRENT")).map_err(failed)? {
        return Ok(());
    }
    let ours = |name: &str| name == "LOCK" || name.starts_with("CURRENT") || name.starts_with("manifest-");
    let foreign = |path: &PathBuf| !path.file_name().and_then(|name| name.to_str()).is_some_and(ours);
    match vfs.list(dir).map_err(failed)?.into_iter().find(foreign) {
        None => Ok(()),
        Some(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Err(Error::NotADatabase {
                path: dir.to_path_buf(),
                detail: format!("it has other files in it, \"{name}\" for one"),
            })
        }
    }
}
