//! Statements that run now: how they are cancelled, timed out and shown.

use crate::error::Result;
use crate::sqlstate::cancelled;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// A running statement as `lightning.queries` shows it.
#[derive(Clone, Debug)]
pub(crate) struct QueryRow {
    pub(crate) id: u64,
    pub(crate) process_id: i32,
    pub(crate) user: String,
    pub(crate) started: SystemTime,
    pub(crate) text: String,
}

#[derive(Debug)]
struct Entry {
    row: QueryRow,
    token: CancellationToken,
}

/// Every running statement of an instance, by id.
#[derive(Debug, Default)]
pub(crate) struct ActiveStatements {
    next: AtomicU64,
    entries: Mutex<BTreeMap<u64, Entry>>,
}

impl ActiveStatements {
    /// Registers a statement; it runs until the guard is dropped.
    pub(crate) fn begin(
        self: &Arc<Self>,
        process_id: i32,
        user: &str,
        text: &str,
        timeout: Option<Duration>,
    ) -> Arc<Active> {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let token = CancellationToken::new();
        let row = QueryRow { id, process_id, user: user.to_owned(), started: SystemTime::now(), text: text.to_owned() };
        self.entries.lock().insert(id, Entry { row, token: token.clone() });
        let timed_out = Arc::new(AtomicBool::new(false));
        let timer = timeout.map(|timeout| {
            let (token, timed_out) = (token.clone(), Arc::clone(&timed_out));
            tokio::spawn(async move {
                tokio::time::sleep(timeout).await;
                timed_out.store(true, Ordering::Relaxed);
                token.cancel();
            })
        });
        Arc::new(Active { id, token, timed_out, timer, all: Arc::clone(self) })
    }

    /// Cancels what runs in the session with this process id.
    pub(crate) fn cancel(&self, process_id: i32) {
        for entry in self.entries.lock().values().filter(|e| e.row.process_id == process_id) {
            entry.token.cancel();
        }
    }

    /// All of them, oldest first.
    pub(crate) fn rows(&self) -> Vec<QueryRow> {
        self.entries.lock().values().map(|e| e.row.clone()).collect()
    }
}

/// One running statement.
#[derive(Debug)]
pub(crate) struct Active {
    id: u64,
    token: CancellationToken,
    timed_out: Arc<AtomicBool>,
    timer: Option<tokio::task::JoinHandle<()>>,
    all: Arc<ActiveStatements>,
}

impl Active {
    /// Fails once the statement was cancelled.
    pub(crate) fn check(&self) -> Result<()> {
        if self.token.is_cancelled() { Err(self.error()) } else { Ok(()) }
    }

    /// Completes when the statement is cancelled.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Why it was cancelled.
    pub(crate) fn error(&self) -> crate::Error {
        cancelled(self.timed_out.load(Ordering::Relaxed))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if let Some(timer) = &self.timer {
            timer.abort();
        }
        self.all.entries.lock().remove(&self.id);
    }
}
