//! Continuous aggregates, brought up to date.

use super::schedule::Job;
use super::session::{open, run as run_in};
use crate::error::Result;
use crate::extension::quoted;
use crate::instance::Instance;
use crate::text::interval::{interval, length_us};
use std::sync::Arc;
use std::time::Duration;

/// How often it runs for a view that says `refresh`.
pub(super) fn pace(refresh: &str) -> Option<Duration> {
    let every = interval(refresh).ok()?;
    Some(Duration::from_micros(u64::try_from(length_us(&every)?).ok()?))
}

/// Brings a view up to date; how many rows were computed.
pub(super) async fn run(instance: &Arc<Instance>, job: &Job) -> Result<u64> {
    let session = open(instance, &job.database)?;
    let name = format!("{}.{}", quoted(&job.schema), quoted(job.relation.name()));
    run_in(&session, &format!("REFRESH MATERIALIZED VIEW {name}")).await
}
