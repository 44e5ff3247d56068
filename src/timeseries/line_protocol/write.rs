//! Writing a request: read, make room, store, answer.
//!
//! 1. The body is read against the catalog as it is ([`Points::read`]): every value becomes one of its column's type, or a problem of its line.
//! 2. Tables and columns that are missing are created, and their definitions read again.
//! 3. All rows go into one transaction ([`Session::ingest`]); when it is durable the request is answered.
//!
//! Whoever meets another request that creates or changes the same tables begins again from 1.

use super::answer::Version;
use super::request::{Points, Problems, Reading};
use super::schema::{self, SCHEMA, create_missing, is_race};
use super::time::Precision;
use bytes::Bytes;
use lightning_catalog::Relation;
use lightning_sql::http::{Client, Request, Response};
use lightning_sql::{Error, NewRows, Result, Session, SqlState};
use std::time::{SystemTime, UNIX_EPOCH};

/// Attempts to write while others change the same tables.
const ATTEMPTS_MAX: usize = 32;
/// Larger bodies are read on a thread that may be busy for a while.
const SHORT_BYTES_MAX: usize = 1 << 16;
/// The database of a request that names none.
const DEFAULT_DATABASE: &str = "lightning";

/// What becomes of a request with lines that are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnError {
    /// The others are written.
    Keep,
    /// Nothing is.
    Refuse,
}

/// Answers a write request.
pub(crate) async fn write(version: Version, request: Request, client: &mut Client) -> Response {
    let received = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
    let precision = request.parameter("precision").unwrap_or_default();
    let Some(precision) = Precision::named(precision) else {
        return version.invalid(&format!("invalid precision \"{precision}\"; it is one of ns, us, ms, s, m, h"));
    };
    let on_error = match request.parameter("on_error") {
        None | Some("keep") => OnError::Keep,
        Some("refuse") => OnError::Refuse,
        Some(other) => return version.invalid(&format!("invalid on_error \"{other}\"; it is one of keep, refuse")),
    };
    let session = match client.session(version.database(&request).unwrap_or(DEFAULT_DATABASE)) {
        Ok(session) => session,
        Err(e) => return version.failed(&e),
    };
    match store(session, request.body, Reading { precision, received }, on_error).await {
        Ok(Written { problems, .. }) if problems.count() == 0 => version.written(),
        Ok(Written { rows, refused, problems }) => version.partly_written(rows, refused, &problems),
        Err(e) => version.failed(&e),
    }
}

/// What was written, and what was not.
struct Written {
    rows: u64,
    /// Points that nothing is wrong with, in a request that was refused whole.
    refused: usize,
    problems: Problems,
}

async fn store(session: &Session, body: Bytes, reading: Reading, on_error: OnError) -> Result<Written> {
    let mut last = None;
    for _ in 0..ATTEMPTS_MAX {
        match try_store(session, &body, reading, on_error).await {
            Err(e) if is_race(e.state()) => last = Some(e),
            outcome => return outcome,
        }
    }
    Err(last.unwrap_or_else(raced))
}

async fn try_store(session: &Session, body: &Bytes, reading: Reading, on_error: OnError) -> Result<Written> {
    let points = read(session, body.clone(), reading).await?;
    if points.rows() == 0 || on_error == OnError::Refuse && points.problems.count() > 0 {
        return Ok(Written { rows: 0, refused: points.rows(), problems: points.problems });
    }
    let created = create_missing(session, &points).await?;
    let relations = if created { Some(session.relations(SCHEMA)?) } else { None };
    let mut tables: Vec<NewRows> = Vec::with_capacity(points.tables.len());
    for rows in points.tables {
        let table = match (&rows.table, &relations) {
            (Some(table), None) => Some(table.clone()),
            (_, relations) => match relations.as_ref().and_then(|relations| relations.find(&rows.name)) {
                Some(Relation::Table(table)) => Some(table.clone()),
                _ => None,
            },
        };
        let table = table.ok_or_else(raced)?;
        // Somebody made a table or column of this name that is another.
        tables.push(rows.into_rows(&table)?.ok_or_else(raced)?);
    }
    let rows = session.ingest(tables).await?;
    Ok(Written { rows, refused: 0, problems: points.problems })
}

/// Reads the body, elsewhere when it is long.
async fn read(session: &Session, body: Bytes, reading: Reading) -> Result<Points> {
    let relations = session.relations(schema::SCHEMA)?;
    if body.len() <= SHORT_BYTES_MAX {
        return Ok(Points::read(&body, relations, reading));
    }
    let read = tokio::task::spawn_blocking(move || Points::read(&body, relations, reading));
    read.await.map_err(|_| Error::new(SqlState("57P01"), "the server is shutting down"))
}

fn raced() -> Error {
    Error::new(SqlState("40001"), "the tables of the request are being changed by others").with_hint("Try again.")
}
