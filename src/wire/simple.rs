//! The simple query protocol: a script in one message, answered statement by statement.
//!
//! Several statements in one message are one transaction unless they say otherwise. The completion of the last one is
//! held back until that transaction has committed, so that what a client is told has happened.

use crate::backend::{put, put_complete};
use crate::connection::{Connection, Stop};
use crate::encode::{Format, RowEncoder, describe, put_row};
use futures::StreamExt;
use lightning_sql::{Outcome, RowStream, Statement};
use pgwire::messages::response::EmptyQueryResponse;

/// What is said once a statement is complete.
pub enum Completion {
    /// Nothing was asked.
    Empty,
    /// A command tag.
    Tag(String),
}

impl Connection {
    /// Answers a Query message.
    pub(crate) async fn simple_query(&mut self, sql: &str) -> Result<(), Stop> {
        self.portals.close_unnamed();
        let statements = self.session.parse(sql)?;
        if statements.is_empty() {
            put(&mut self.output.buffer, EmptyQueryResponse::new());
            return self.ready().await;
        }
        if statements.len() > 1 {
            self.session.begin_implicit().await;
        }
        let result = self.run_script(&statements).await;
        if statements.len() == 1 {
            let completion = result?;
            self.put_completion(&completion);
            return self.ready().await;
        }
        let ended = self.session.end_implicit(result.is_ok()).await;
        let completion = result?;
        ended?;
        self.put_completion(&completion);
        self.ready().await
    }

    /// Runs statements in order, up to the first that fails; returns the completion of the last.
    async fn run_script(&mut self, statements: &[Statement]) -> Result<Completion, Stop> {
        let mut last = Completion::Empty;
        for (i, statement) in statements.iter().enumerate() {
            let outcome = self.run_watched(async |session| session.run(statement).await).await?;
            last = self.send_outcome(outcome, None).await?;
            if i + 1 < statements.len() {
                self.put_completion(&last);
            }
        }
        Ok(last)
    }

    /// Sends what a statement gave; `formats` when rows have been described already (extended protocol).
    pub(crate) async fn send_outcome(
        &mut self,
        outcome: Outcome,
        formats: Option<&[Format]>,
    ) -> Result<Completion, Stop> {
        match outcome {
            Outcome::Empty => Ok(Completion::Empty),
            Outcome::Done { tag, .. } => {
                self.forget_deallocated(&tag);
                Ok(Completion::Tag(tag))
            }
            Outcome::Rows(rows) => self.send_rows(rows, formats).await.map(Completion::Tag),
            Outcome::CopyIn(copy) => self.copy_in(copy).await.map(Completion::Tag),
            Outcome::CopyOut(copy) => self.copy_out(copy).await.map(Completion::Tag),
        }
    }

    /// Streams a result, writing out whenever enough has gathered.
    async fn send_rows(&mut self, mut rows: RowStream, formats: Option<&[Format]>) -> Result<String, Stop> {
        let text = vec![Format::Text; rows.schema.fields().len()];
        let encoder = RowEncoder::new(&rows.schema, formats.unwrap_or(&text), self.zone());
        if formats.is_none() {
            self.put_notices();
            put(&mut self.output.buffer, describe(&rows.schema, &text));
        }
        let mut count = 0u64;
        while let Some(batch) = self.run_watched(async |_| rows.batches.next().await).await {
            let bound = encoder.bind(&batch?)?;
            for row in 0..bound.rows() {
                put_row(&bound, row, &mut self.output.buffer);
                self.output.flush_if_full().await?;
            }
            count += bound.rows() as u64;
        }
        Ok(row_tag(&rows.tag, count))
    }

    /// Says that a statement is complete.
    pub(crate) fn put_completion(&mut self, completion: &Completion) {
        self.put_notices();
        match completion {
            Completion::Empty => put(&mut self.output.buffer, EmptyQueryResponse::new()),
            Completion::Tag(tag) => put_complete(&mut self.output.buffer, tag),
        }
    }
}

/// The command tag of a statement that returned `count` rows.
pub fn row_tag(tag: &str, count: u64) -> String {
    if matches!(tag, "SELECT" | "FETCH" | "INSERT 0" | "UPDATE" | "DELETE" | "MERGE") {
        format!("{tag} {count}")
    } else {
        tag.to_owned()
    }
}
