//! The line: one thread through which every change of the database goes, in order.
//!
//! Committers encode their records, put them into a bounded queue and wait. The line takes what is there as one group and
//! 1. validates each commit against everything before it, also within the group;
//! 2. writes the records of the group with one append and makes them durable with one sync;
//! 3. publishes the version they lead to, by swapping one pointer;
//! 4. wakes the committers.
//!
//! The versions of step 1 are made on the side, so a group that cannot be written leaves nothing behind; what it has written to delta
//! trees, which versions share, is taken back. A commit's
//! timestamp is the LSN of its record. Flushes change layouts through the same queue, as tasks between two groups, so nothing
//! else ever changes a version; `seal.rs` has those tasks.

use crate::backlog::{Backlog, Removed};
use crate::context::Context;
use crate::delta::Moment;
use crate::error::{Error, Result};
use crate::ids::{Lsn, TableId, Timestamp};
use crate::layout::Purpose;
use crate::locks::{LockOwner, Waker};
use crate::reads::{History, Reads, Registration};
use crate::recent::Footprint;
use crate::record;
use crate::stored::{Origin, StoredSegment};
use crate::version::{Tables, Version};
use crate::wal::{PAYLOAD_BYTES_MAX, RecordRef, Wal};
use crate::writes::{Claim, TableWrites, WriteSet};
use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError, bounded};
use parking_lot::Mutex;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Most requests that wait.
const QUEUE_MAX: usize = 1024;
/// Most commits of one group.
const GROUP_MAX: usize = 512;
/// A group takes no more commits once its records have this many bytes.
const GROUP_BYTES: usize = 32 << 20;
/// A commit that came back doubtful this often has its rows found again by the line itself.
const BOUNCES_MAX: usize = 4;
/// After this long without commits the last group is proved durable.
const IDLE: Duration = Duration::from_millis(250);

/// State of the log.
#[derive(Clone, Debug, Default)]
pub struct WalStatus {
    /// Newest record.
    pub last_lsn: Lsn,
    /// Newest record known to be on disk.
    pub durable_lsn: Lsn,
    /// Every record at or below is in segments.
    pub checkpoint_lsn: Lsn,
    /// Newest published commit.
    pub published: Timestamp,
    /// Log files.
    pub files: usize,
    /// Bytes of the log files.
    pub bytes: u64,
    /// Sync calls so far.
    pub syncs: u64,
    /// Commits so far; above `syncs` when groups formed.
    pub commits: u64,
}

/// Whatever a commit holds on to.
pub(crate) type Held = Box<dyn Send>;

struct Commit {
    writes: WriteSet,
    owner: LockOwner,
    reads: Option<Reads>,
    footprint: Footprint,
    tables: Vec<TableId>,
    payload: Vec<u8>,
    /// How often it came back as doubtful.
    bounces: usize,
    reply: Sender<Outcome>,
    /// Locks, and what else is to be let go once it is published.
    held: Option<Held>,
    told: Told,
}

impl Commit {
    /// Tells the committer what became of it. One that is gone has nobody left to tell.
    fn answer(mut self, result: Result<Timestamp>) {
        // Those who waited see what was published.
        drop(self.held.take());
        let _ = self.reply.send(Outcome::Done(result));
    }

    fn send_back(mut self) {
        let (reply, told) = (self.reply.clone(), std::mem::take(&mut self.told));
        let _ = reply.send(Outcome::Doubtful(Box::new(self)));
        drop(told);
    }
}

/// Calls a waker when there is an answer, or when there will be none.
#[derive(Default)]
struct Told(Option<Waker>);

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(wake) = self.0.take() {
            wake();
        }
    }
}

/// A commit on its way.
pub(crate) struct Submitted {
    answer: Receiver<Outcome>,
    /// Not in the queue: it was full, or the commit came back.
    unsent: Option<Box<Commit>>,
}

impl Submitted {
    /// Whether the line has it.
    pub(crate) fn is_sent(&self) -> bool {
        self.unsent.is_none()
    }

    /// What became of it; `None` when there is more to do, which may block: [`Line::wait`].
    pub(crate) fn result(&mut self) -> Option<Result<Timestamp>> {
        if !self.is_sent() {
            return None;
        }
        match self.answer.try_recv() {
            Ok(Outcome::Done(result)) => Some(result),
            Ok(Outcome::Doubtful(mut commit)) => {
                commit.bounces += 1;
                self.unsent = Some(commit);
                None
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(closed())),
        }
    }
}

/// What became of a commit.
enum Outcome {
    Done(Result<Timestamp>),
    /// Rows it deletes are no longer where it has them: the committer finds them again, off the line, and comes back.
    Doubtful(Box<Commit>),
}

enum Request {
    Commit(Box<Commit>),
    /// Work between two groups.
    Task(Box<dyn FnOnce(&mut LineState) + Send>),
}

/// The way to the line.
#[derive(Debug)]
pub(crate) struct Line {
    queue: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    context: Arc<Context>,
    status: Arc<Mutex<WalStatus>>,
    published: Arc<ArcSwap<Version>>,
}

/// What the line begins with.
#[derive(Debug)]
pub(crate) struct LineStart {
    pub(crate) wal: Wal,
    pub(crate) version: Version,
    /// What was replayed, as the manifest does not reflect it.
    pub(crate) backlog: Backlog,
}

/// What the line's thread owns.
pub(crate) struct LineState {
    pub(crate) wal: Wal,
    pub(crate) version: Arc<Version>,
    pub(crate) backlog: Backlog,
    context: Arc<Context>,
    history: History,
    published: Arc<ArcSwap<Version>>,
    status: Arc<Mutex<WalStatus>>,
    /// Told after a group when a flush may be due.
    wake_flush: Sender<()>,
}

impl Line {
    /// Starts the thread on what was recovered; `wake_flush` is told when a flush may be due.
    pub(crate) fn start(context: Arc<Context>, start: LineStart, wake_flush: Sender<()>) -> std::io::Result<Line> {
        let LineStart { wal, version, backlog } = start;
        let version = Arc::new(version);
        let published = Arc::new(ArcSwap::new(version.clone()));
        let status = Arc::new(Mutex::new(WalStatus::default()));
        let mut state = LineState {
            context: context.clone(),
            history: History::default(),
            wal,
            version,
            published: published.clone(),
            status: status.clone(),
            backlog,
            wake_flush,
        };
        state.report(0);
        let (queue, requests) = bounded(QUEUE_MAX);
        let thread = std::thread::Builder::new().name("lightning-line".into()).spawn(move || state.run(&requests))?;
        Ok(Line { queue: Some(queue), thread: Some(thread), context, status, published })
    }

    /// Hands over `writes` of `owner`, who is serializable if `reads` are given. `held` is let go once it is published; `told` is called when
    /// [`Submitted::result`] is worth asking.
    pub(crate) fn submit(
        &self,
        mut writes: WriteSet,
        owner: LockOwner,
        reads: Option<Reads>,
        held: Option<Held>,
        told: Option<Waker>,
    ) -> Result<Submitted> {
        writes.prepare();
        let payload = record::encode(&writes)?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            let (has, max) = (payload.len(), PAYLOAD_BYTES_MAX);
            return Err(Error::Unsupported(format!(
                "a transaction of {has} bytes in memory; at most {max} are possible"
            )));
        }
        let footprint = self.context.recent.footprint(&writes)?;
        let tables = writes.tables.keys().copied().collect();
        let (reply, answer) = bounded(1);
        let (bounces, told) = (0, Told(told));
        let commit = Commit { writes, owner, reads, footprint, tables, payload, bounces, reply, held, told };
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        match queue.try_send(Request::Commit(Box::new(commit))) {
            Ok(()) => Ok(Submitted { answer, unsent: None }),
            Err(TrySendError::Full(Request::Commit(unsent))) => Ok(Submitted { answer, unsent: Some(unsent) }),
            Err(_) => Err(closed()),
        }
    }

    /// Waits until a commit is durable and published, finding its rows again when they have moved.
    pub(crate) fn wait(&self, submitted: Submitted) -> Result<Timestamp> {
        let Submitted { answer, mut unsent } = submitted;
        loop {
            if let Some(mut commit) = unsent.take() {
                if commit.bounces > 0 {
                    let owner = commit.owner;
                    commit.writes.relocate(&self.published(), claim(&self.context, owner))?;
                }
                self.send(Request::Commit(commit))?;
            }
            match answer.recv().map_err(|_| closed())? {
                Outcome::Done(result) => return result,
                Outcome::Doubtful(mut back) => {
                    back.bounces += 1;
                    unsent = Some(back);
                }
            }
        }
    }

    /// Runs `task` on the line and waits for its result.
    pub(crate) fn run<T: Send + 'static>(&self, task: impl FnOnce(&mut LineState) -> T + Send + 'static) -> Result<T> {
        let (reply, answer) = bounded(1);
        self.send(Request::Task(Box::new(move |state| {
            // Nobody waits any more only if the caller panicked.
            let _ = reply.send(task(state));
        })))?;
        answer.recv().map_err(|_| closed())
    }

    /// The newest published version.
    pub(crate) fn published(&self) -> Arc<Version> {
        self.published.load_full()
    }

    /// The log's state.
    pub(crate) fn status(&self) -> WalStatus {
        self.status.lock().clone()
    }

    fn send(&self, request: Request) -> Result<()> {
        self.queue.as_ref().ok_or_else(closed)?.send(request).map_err(|_| closed())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A line that panicked said so on standard error; its committers were told.
            let _ = thread.join();
        }
    }
}

fn closed() -> Error {
    Error::ReadOnly("the database is closed".into())
}

impl LineState {
    fn run(&mut self, requests: &Receiver<Request>) {
        loop {
            match requests.recv_timeout(IDLE) {
                Ok(request) => self.serve(request, requests),
                Err(RecvTimeoutError::Timeout) => {
                    self.prove();
                    match requests.recv() {
                        Ok(request) => self.serve(request, requests),
                        Err(_) => return,
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.prove();
                    return;
                }
            }
        }
    }

    /// Serves `first`; if it is a commit, together with those behind it.
    fn serve(&mut self, first: Request, requests: &Receiver<Request>) {
        let mut next = Some(first);
        while let Some(request) = next.take() {
            match request {
                Request::Task(task) => task(self),
                Request::Commit(commit) => {
                    let mut group = vec![*commit];
                    next = gather(&mut group, requests);
                    self.commit(group);
                }
            }
        }
    }

    /// Proves the last group durable, so that later damage to it is told from a torn write.
    fn prove(&mut self) {
        if let Err(error) = self.wal.write_proof() {
            self.note_failure(&error);
        }
        self.report(0);
    }

    fn commit(&mut self, group: Vec<Commit>) {
        if let Err(error) = self.context.check_writable() {
            group.into_iter().for_each(|commit| commit.answer(Err(error.clone())));
            return;
        }
        let mut version = (*self.version).clone();
        let first = self.wal.next_lsn().0;
        let mut accepted: Vec<Commit> = Vec::with_capacity(group.len());
        let (mut removed, mut doubtful) = (vec![], vec![]);
        for mut commit in group {
            let lsn = first + accepted.len() as u64;
            let ended = removed_segments(Lsn(lsn), &commit.writes, &version.tables);
            let moment = Moment { at: Timestamp(lsn), published: self.version.timestamp };
            match self.admit(&mut commit, &mut version, moment) {
                Ok(false) => doubtful.push(commit),
                Ok(true) => {
                    version.timestamp = Timestamp(lsn);
                    // Before it is published: who sees it there and not in a snapshot looks again.
                    self.context.recent.note(&commit.footprint, version.timestamp);
                    self.history.note(&commit.writes, version.timestamp, &self.context.serializables);
                    removed.extend(ended);
                    accepted.push(commit);
                }
                Err(error) => commit.answer(Err(error)),
            }
        }
        if !accepted.is_empty() {
            match self.write(&accepted) {
                Ok(()) => {
                    removed.into_iter().for_each(|removed| self.backlog.keep(removed));
                    self.publish(version, first, accepted);
                }
                Err(error) => {
                    self.note_failure(&error);
                    accepted.iter().for_each(|commit| commit.writes.take_back(&self.version, Timestamp(first)));
                    accepted.into_iter().for_each(|commit| commit.answer(Err(error.clone())));
                }
            }
        }
        // Now that what was before them is published, they can look again.
        doubtful.into_iter().for_each(Commit::send_back);
    }

    /// Validates a commit and applies it to `version`; false when it must look again where its rows are.
    fn admit(&self, commit: &mut Commit, version: &mut Version, moment: Moment) -> Result<bool> {
        commit.writes.validate(version)?;
        commit.reads.as_ref().map_or(Ok(()), |reads| self.history.check(reads))?;
        if commit.bounces >= BOUNCES_MAX {
            commit.writes.relocate(version, claim(&self.context, commit.owner))?;
        } else if !commit.writes.fits(version) {
            return Ok(false);
        }
        commit.writes.apply(version, Purpose::Commit(moment, &self.context.mem_account))?;
        Ok(true)
    }

    /// Makes the records of `group` durable. Their segments are kept from here on, unless no record can be in the log.
    fn write(&mut self, group: &[Commit]) -> Result<()> {
        let segments = || group.iter().flat_map(|commit| commit.writes.segments());
        segments().for_each(|segment| segment.keep());
        let records: Vec<RecordRef<'_>> =
            group.iter().map(|commit| RecordRef { tables: &commit.tables, payload: &commit.payload }).collect();
        if let Err(error) = self.wal.append_group(&records) {
            if !matches!(error, Error::OutcomeUnknown { .. }) {
                segments().for_each(|segment| segment.release());
            }
            return Err(error);
        }
        self.wal.sync().map(|_| ())
    }

    fn publish(&mut self, version: Version, first: u64, group: Vec<Commit>) {
        for (lsn, commit) in (first..).map(Lsn).zip(&group) {
            self.backlog.log_bytes += commit.payload.len() as u64;
            self.note(lsn, &commit.writes);
        }
        self.set_version(version);
        self.report(group.len() as u64);
        let written = group.iter().flat_map(|commit| &commit.tables);
        let mut layouts = written.filter_map(|table| self.version.tables.get(table));
        let has_large_delta = layouts.any(|layout| layout.has_large_delta());
        for (timestamp, commit) in (first..).map(Timestamp).zip(group) {
            commit.answer(Ok(timestamp));
        }
        if has_large_delta || self.wants_flush() {
            // A full channel means the flush is awake already.
            let _ = self.wake_flush.try_send(());
        }
    }

    /// Whether the flush should look, from what is cheap to know.
    fn wants_flush(&self) -> bool {
        let mem_bytes = self.context.mem_account.bytes();
        self.backlog.has_removed()
            || mem_bytes > self.context.mem_bytes_max()
            || self.backlog.log_bytes > self.context.log_bytes_max()
    }

    /// Notes which tables the manifest no longer reflects, and where segments come from.
    fn note(&mut self, lsn: Lsn, writes: &WriteSet) {
        for (id, writes) in &writes.tables {
            self.backlog.changed(*id, lsn);
            if writes.created {
                writes.table.originate(Timestamp(lsn.0));
            }
        }
        let origin = Origin { begin: Timestamp(lsn.0), lsn };
        writes.segments().for_each(|segment| segment.originate(origin));
    }

    /// A version whose later commits are all kept for checking against it.
    pub(crate) fn begin_serializable(&self) -> (Arc<Version>, Registration) {
        (self.version.clone(), self.context.serializables.register(self.version.timestamp))
    }

    /// Publishes `version`.
    pub(crate) fn set_version(&mut self, version: Version) {
        self.version = Arc::new(version);
        self.published.store(self.version.clone());
    }

    fn note_failure(&mut self, error: &Error) {
        if matches!(error, Error::OutcomeUnknown { .. } | Error::ReadOnly(_)) {
            self.context.fail(error.to_string());
        }
    }

    /// Brings the status up to date, with so many more commits.
    pub(crate) fn report(&mut self, commits: u64) {
        let log = self.wal.status();
        let checkpoint_lsn = self.backlog.checkpoint(log.durable_lsn);
        let mut status = self.status.lock();
        *status = WalStatus {
            last_lsn: log.last_lsn,
            durable_lsn: log.durable_lsn,
            checkpoint_lsn,
            published: self.version.timestamp,
            files: log.files,
            bytes: log.bytes,
            syncs: log.syncs,
            commits: status.commits + commits,
        };
    }
}

/// Segments that `writes`, the record at `lsn`, take out of `before`.
pub(crate) fn removed_segments(lsn: Lsn, writes: &WriteSet, before: &Tables) -> Vec<Removed> {
    let removed = |(&table, writes): (&TableId, &TableWrites)| {
        let is_removed = |segment: &&Arc<StoredSegment>| {
            writes.dropped || writes.truncated || writes.cuts.iter().any(|range| segment.is_within(range))
        };
        let segments = before.get(&table)?.stored.segments.iter().filter(is_removed).cloned().collect();
        Some(Removed { table, lsn, segments })
    };
    writes.tables.iter().filter_map(removed).collect()
}

/// Adds the commits that wait to `group`; the request that ended it, if one did.
fn gather(group: &mut Vec<Commit>, requests: &Receiver<Request>) -> Option<Request> {
    let mut bytes: usize = group.iter().map(|commit| commit.payload.len()).sum();
    while group.len() < GROUP_MAX && bytes < GROUP_BYTES {
        match requests.try_recv() {
            Ok(Request::Commit(commit)) => {
                bytes += commit.payload.len();
                group.push(*commit);
            }
            Ok(task) => return Some(task),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
        }
    }
    None
}

fn claim(context: &Context, owner: LockOwner) -> Claim<'_> {
    Claim { recent: &context.recent, locks: &context.locks, owner }
}
