//! When jobs run.

use super::{refresh, retention};
use crate::error::{Error, Result};
use crate::instance::Instance;
use crate::sqlstate::panicked;
use futures::FutureExt;
use lightning_catalog::{Oid, Relation, Snapshot};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;

/// A job that failed is tried again after this, then after twice as long, and so on.
const RETRY: Duration = Duration::from_secs(1);
/// The catalog could not be read: how long until it is tried again.
const CATALOG_RETRY: Duration = Duration::from_secs(60);

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Brings a continuous aggregate up to date.
    Refresh,
    /// Deletes rows that are older than their table keeps.
    Retention,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Refresh => "refresh",
            Kind::Retention => "retention",
        })
    }
}

/// A job as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) kind: Kind,
    /// Names of database and schema of what it works on.
    pub(super) database: String,
    pub(super) schema: String,
    pub(super) relation: Relation,
    /// What the relation says, as it was written: how long rows are kept, or how often it is refreshed.
    pub(super) said: String,
    pub(super) every: Duration,
}

/// A job and how it went.
#[derive(Clone, Debug)]
struct State {
    job: Job,
    next_run: SystemTime,
    last_run: Option<SystemTime>,
    last_duration: Duration,
    rows: u64,
    runs: u64,
    errors: u64,
    /// Failures since the last success.
    in_a_row: u32,
    last_error: Option<String>,
}

/// A job as `lightning.jobs` shows it.
#[derive(Clone, Debug)]
pub(crate) struct JobRow {
    pub(crate) id: u32,
    pub(crate) kind: String,
    pub(crate) target: String,
    pub(crate) every: Duration,
    pub(crate) last_run: Option<SystemTime>,
    pub(crate) last_duration: Duration,
    pub(crate) next_run: SystemTime,
    /// Rows changed by the last run that succeeded.
    pub(crate) rows: u64,
    pub(crate) runs: u64,
    pub(crate) errors: u64,
    pub(crate) last_error: Option<String>,
}

/// The jobs of an instance.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    states: Mutex<BTreeMap<(Kind, Oid), State>>,
    changed: Arc<Notify>,
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

impl Jobs {
    /// Starts the task that runs the jobs of `instance`. Must be called within a Tokio runtime.
    pub(crate) fn start(instance: &Arc<Instance>) {
        let (weak, changed) = (Arc::downgrade(instance), Arc::clone(&instance.jobs().changed));
        tokio::spawn(async move {
            loop {
                let pause = match weak.upgrade() {
                    None => return,
                    Some(instance) => instance.jobs().run_due(&instance, SystemTime::now()).await,
                };
                match pause {
                    None => changed.notified().await,
                    Some(pause) => {
                        // Either way it looks again.
                        let _ = tokio::time::timeout(pause, changed.notified()).await;
                    }
                }
            }
        });
    }

    /// Says that the catalog has changed.
    pub(crate) fn catalog_changed(&self) {
        self.changed.notify_one();
    }

    /// All jobs that follow from the catalog now.
    pub(crate) fn rows(&self, instance: &Instance) -> Vec<JobRow> {
        // A catalog that cannot be read is told by those who need it; what is known of jobs is not worse for that.
        let _ = self.follow(instance, SystemTime::now());
        let row = |state: &State| JobRow {
            id: state.job.relation.oid().0,
            kind: state.job.kind.to_string(),
            target: format!("{}.{}", state.job.schema, state.job.relation.name()),
            every: state.job.every,
            last_run: state.last_run,
            last_duration: state.last_duration,
            next_run: state.next_run,
            rows: state.rows,
            runs: state.runs,
            errors: state.errors,
            last_error: state.last_error.clone(),
        };
        self.states.lock().values().map(row).collect()
    }

    /// Runs what is due at `now`, and answers how long nothing will be; `None`: until the catalog changes.
    pub(crate) async fn run_due(&self, instance: &Arc<Instance>, now: SystemTime) -> Option<Duration> {
        if self.follow(instance, now).is_err() {
            return Some(CATALOG_RETRY);
        }
        let is_due = |state: &&State| state.next_run <= now;
        let due: Vec<Job> = self.states.lock().values().filter(is_due).map(|state| state.job.clone()).collect();
        for job in due {
            let started = Instant::now();
            let run = AssertUnwindSafe(run(instance, &job, now)).catch_unwind().await;
            let outcome = run.unwrap_or_else(|payload| Err(panicked(payload.as_ref())));
            self.note(&job, now, started.elapsed(), outcome);
        }
        let next = self.states.lock().values().map(|state| state.next_run).min()?;
        Some(next.duration_since(now).unwrap_or_default().max(RETRY))
    }

    /// Brings the jobs in line with the catalog.
    fn follow(&self, instance: &Instance, now: SystemTime) -> Result<()> {
        // Whoever comes later sees a later catalog.
        let mut states = self.states.lock();
        let wanted = jobs(&*instance.catalog().snapshot(&instance.engine().snapshot())?);
        states.retain(|key, _| wanted.contains_key(key));
        for (key, job) in wanted {
            match states.get_mut(&key) {
                Some(state) if state.job.said == job.said => state.job = job,
                Some(state) => (state.job, state.next_run) = (job, now),
                None => {
                    states.insert(key, State::new(job, now));
                }
            }
        }
        Ok(())
    }

    fn note(&self, job: &Job, now: SystemTime, took: Duration, outcome: Result<u64>) {
        let mut states = self.states.lock();
        // It may be gone by now, be another, or have run at a later time.
        let state = states.get_mut(&(job.kind, job.relation.oid())).filter(|state| state.job.said == job.said);
        let Some(state) = state.filter(|state| state.last_run.is_none_or(|last| last <= now)) else { return };
        (state.last_run, state.last_duration) = (Some(now), took);
        state.runs += 1;
        let pause = match outcome {
            Ok(rows) => {
                (state.rows, state.in_a_row, state.last_error) = (rows, 0, None);
                state.job.every
            }
            Err(error) => {
                state.errors += 1;
                state.in_a_row += 1;
                state.last_error = Some(shown(&error));
                RETRY.saturating_mul(1 << state.in_a_row.min(20)).min(state.job.every)
            }
        };
        state.next_run = now + pause;
    }
}

impl State {
    fn new(job: Job, now: SystemTime) -> State {
        State {
            job,
            next_run: now,
            last_run: None,
            last_duration: Duration::ZERO,
            rows: 0,
            runs: 0,
            errors: 0,
            in_a_row: 0,
            last_error: None,
        }
    }
}

fn shown(error: &Error) -> String {
    format!("{}: {}", error.state().0, error.message())
}

async fn run(instance: &Arc<Instance>, job: &Job, now: SystemTime) -> Result<u64> {
    match job.kind {
        Kind::Refresh => refresh::run(instance, job).await,
        Kind::Retention => retention::run(instance, job, now).await,
    }
}

/// The jobs that follow from a catalog.
fn jobs(catalog: &Snapshot) -> BTreeMap<(Kind, Oid), Job> {
    let mut jobs = BTreeMap::new();
    for database in catalog.databases() {
        for schema in catalog.schemas(database.oid) {
            for relation in catalog.relations(schema.oid) {
                let (kind, said, pace): (_, _, fn(&str) -> Option<Duration>) = match relation {
                    Relation::Table(table) => {
                        (Kind::Retention, table.time.as_ref().and_then(|time| time.retention.clone()), retention::pace)
                    }
                    Relation::View(view) => {
                        (Kind::Refresh, view.materialized.as_ref().and_then(|kept| kept.refresh.clone()), refresh::pace)
                    }
                    Relation::Graph(_) => continue,
                };
                let Some(said) = said else { continue };
                let Some(every) = pace(&said) else { continue };
                let (database, schema) = (database.name.clone(), schema.name.clone());
                let job = Job { kind, database, schema, relation: relation.clone(), said, every };
                jobs.insert((kind, relation.oid()), job);
            }
        }
    }
    jobs
}
