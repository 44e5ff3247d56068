//! Where statements are planned and computed, when that is not where they come in.
//!
//! Threads that serve connections also answer statements that take no planning. A query that computes for long between two
//! awaits would keep them from doing so. With an [`Executor`], whatever is planned runs on threads of its own, and its rows come
//! back through a short queue.

use crate::error::{Error, Result};
use crate::parser::Kind;
use crate::sqlstate::{cancelled, panicked};
use arrow::array::RecordBatch;
use datafusion::sql::sqlparser::ast::{SetExpr, Statement};
use futures::StreamExt;
use futures::stream::BoxStream;
use std::future::Future;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

/// Batches on their way back.
const QUEUE_BATCHES: usize = 2;
/// Longer VALUES lists are worth another thread.
const VALUES_MAX: usize = 1_000;

/// Threads for statements.
#[derive(Clone, Debug)]
pub(crate) struct Executor(Handle);

impl Executor {
    pub(crate) fn new(handle: Handle) -> Executor {
        Executor(handle)
    }

    /// Runs `work` there. It ends with whoever waits for it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        AbortOnDropHandle::new(self.0.spawn(work)).await.unwrap_or_else(|error| Err(failure(error)))
    }

    /// The same batches, computed there.
    pub(crate) fn rows(
        &self,
        mut batches: BoxStream<'static, Result<RecordBatch>>,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let (sender, receiver) = mpsc::channel(QUEUE_BATCHES);
        let task = self.0.spawn(async move {
            while let Some(batch) = batches.next().await {
                if sender.send(batch).await.is_err() {
                    return;
                }
            }
        });
        let task = Some(AbortOnDropHandle::new(task));
        futures::stream::unfold((receiver, task), |(mut receiver, task)| async move {
            if let Some(batch) = receiver.recv().await {
                return Some((batch, (receiver, task)));
            }
            // The end, unless it is a panic's.
            let error = task?.await.err()?;
            Some((Err(failure(error)), (receiver, None)))
        })
        .boxed()
    }
}

fn failure(error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(payload) => panicked(payload.as_ref()),
        Err(_) => cancelled(false),
    }
}

/// Whether a statement is planned, or does what takes as long.
pub(crate) fn is_planned(kind: &Kind) -> bool {
    let Kind::Sql(statement) = kind else { return false };
    match statement.as_ref() {
        Statement::Insert(insert) => {
            let is_short = |body: &SetExpr| matches!(body, SetExpr::Values(values) if values.rows.len() <= VALUES_MAX);
            insert.on.is_some()
                || insert.returning.is_some()
                || insert.source.as_ref().is_some_and(|query| !is_short(&query.body))
        }
        Statement::CreateTable(create) => create.query.is_some(),
        Statement::Query(_)
        | Statement::Update(_)
        | Statement::Delete(_)
        | Statement::Merge(_)
        | Statement::AlterTable(_)
        | Statement::CreateView(_)
        | Statement::CreateIndex(_)
        | Statement::Explain { .. }
        | Statement::Execute { .. } => true,
        _ => false,
    }
}
