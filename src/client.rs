//! Runs statements for a person or a script: one after the other, results printed, COPY fed from the input.
//!
//! The shell and `lightning sql` share this. Statements run on the calling thread with the database's runtime behind
//! it, so nothing here is asynchronous to the caller.

use crate::database::Database;
use crate::output::{self, Failure, Format};
use crate::table::Bounds;
use bytes::Bytes;
use futures::TryStreamExt;
use lightning_sql::{CancelHandle, CopyIn, CopyOut, Outcome, Result};
use std::io::{BufRead, Read, Write};
use std::sync::Arc;

/// Bytes of COPY data handed over at a time.
const COPY_CHUNK_BYTES: usize = 64 << 10;

/// A session and how its results are printed.
#[derive(Debug)]
pub struct Client {
    database: Database,
    session: Arc<lightning_sql::Session>,
    /// How rows are printed.
    pub format: Format,
    /// What a box may take of the screen.
    pub bounds: Bounds,
}

/// What a statement did, for the line under its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Printed rows: `3 rows`.
    Rows(String),
    /// Printed nothing: the command tag.
    Command(String),
}

impl Client {
    /// A client with a session of its own.
    pub fn new(database: &Database, format: Format, bounds: Bounds) -> Result<Self> {
        let session = Arc::new(database.sql_session("lightning")?);
        Ok(Client { database: database.clone(), session, format, bounds })
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Whether a transaction block is open: its state for the prompt.
    pub fn transaction_status(&self) -> lightning_sql::TransactionStatus {
        self.session.transaction_status()
    }

    /// Stops the running statement from another thread.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.session.cancel_handle()
    }

    /// Runs the statements of `text`, writing rows to `out` and taking the data of COPY FROM STDIN from `input`;
    /// what each did. Stops at the first failure.
    pub fn run(
        &self,
        text: &str,
        input: &mut dyn BufRead,
        out: &mut dyn Write,
    ) -> std::result::Result<Vec<Done>, Failure> {
        self.database.runtime().block_on(async {
            let mut done = Vec::new();
            for statement in self.session.parse(text)? {
                let outcome = self.session.run(&statement).await;
                self.print_notices();
                done.extend(self.finish(outcome?, input, out).await?);
            }
            Ok(done)
        })
    }

    /// The rows of a query as text; for the shell's own questions.
    pub fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.database.runtime().block_on(async {
            let mut all = Vec::new();
            for statement in self.session.parse(sql)? {
                let Outcome::Rows(rows) = self.session.run(&statement).await? else { continue };
                let encoder = crate::text::TextEncoder::new(&rows.schema, "UTC");
                let mut batches = rows.batches;
                while let Some(batch) = batches.try_next().await? {
                    let mut text = encoder.bind(&batch)?;
                    all.extend((0..text.rows()).map(|row| text.row(row)));
                }
            }
            Ok(all)
        })
    }

    async fn finish(
        &self,
        outcome: Outcome,
        input: &mut dyn BufRead,
        out: &mut dyn Write,
    ) -> std::result::Result<Option<Done>, Failure> {
        match outcome {
            Outcome::Empty => Ok(None),
            Outcome::Done { tag, .. } => Ok(Some(Done::Command(tag))),
            Outcome::Rows(rows) => {
                let zone = self.session.setting("TimeZone").unwrap_or_default();
                let (_, summary) = output::print(rows, self.format, self.bounds, &zone, out).await?;
                self.print_notices();
                Ok(Some(Done::Rows(summary)))
            }
            Outcome::CopyIn(copy) => Ok(Some(Done::Command(format!("COPY {}", copy_in(copy, input).await?)))),
            Outcome::CopyOut(copy) => Ok(Some(Done::Command(format!("COPY {}", copy_out(copy, out).await?)))),
        }
    }

    fn print_notices(&self) {
        for notice in self.session.take_notices() {
            eprintln!("{}:  {}", notice.severity, notice.message);
        }
    }
}

/// Feeds COPY until the end of the input or, unless it is binary, a line with `\.` alone; rows copied.
async fn copy_in(mut copy: CopyIn, input: &mut dyn BufRead) -> std::result::Result<u64, Failure> {
    let mut chunk = Vec::with_capacity(COPY_CHUNK_BYTES);
    loop {
        let start = chunk.len();
        // Lines have an end to look for; binary data may have no line end at all.
        let bytes_max = if copy.binary { COPY_CHUNK_BYTES as u64 } else { u64::MAX };
        let read = match (&mut *input).take(bytes_max).read_until(b'\n', &mut chunk) {
            Ok(read) => read,
            Err(e) => return Err(copy.abort(&format!("could not read the data: {e}")).await.into()),
        };
        let ended = read == 0 || !copy.binary && matches!(&chunk[start..], b"\\.\n" | b"\\.\r\n" | b"\\.");
        if ended {
            chunk.truncate(start);
        }
        if chunk.len() >= COPY_CHUNK_BYTES || ended && !chunk.is_empty() {
            copy.push(Bytes::from(std::mem::take(&mut chunk))).await?;
        }
        if ended {
            return Ok(copy.finish().await?);
        }
    }
}

/// Writes what COPY gives; rows copied.
async fn copy_out(mut copy: CopyOut, out: &mut dyn Write) -> std::result::Result<u64, Failure> {
    while let Some(data) = copy.data.try_next().await? {
        out.write_all(data.bytes())?;
    }
    Ok(copy.rows.load(std::sync::atomic::Ordering::Relaxed))
}
