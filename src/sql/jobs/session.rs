//! The sessions that jobs run in.

use crate::error::Result;
use crate::instance::{ConnectOptions, Instance};
use crate::outcome::Outcome;
use crate::session::Session;
use std::sync::Arc;

/// Who runs jobs.
const USER: &str = "lightning";
/// What is in use for longer is left to the next run.
const LOCK_TIMEOUT: &str = "2s";

/// A session on a database.
pub(super) fn open(instance: &Arc<Instance>, database: &str) -> Result<Session> {
    instance.connect(ConnectOptions {
        user: USER.to_owned(),
        database: database.to_owned(),
        settings: vec![
            ("application_name".to_owned(), "lightning jobs".to_owned()),
            ("lock_timeout".to_owned(), LOCK_TIMEOUT.to_owned()),
        ],
        local_files: false,
    })
}

/// Runs statements; how many rows the last one changed.
pub(super) async fn run(session: &Session, sql: &str) -> Result<u64> {
    let mut changed = 0;
    for statement in session.parse(sql)? {
        changed = match session.run(&statement).await? {
            Outcome::Done { rows, .. } => rows,
            _ => 0,
        };
    }
    Ok(changed)
}
