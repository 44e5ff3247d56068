//! New rows on their way into a table whose INSERT fires triggers.
//!
//! Rows stream to the table as they do without triggers, unless a BEFORE ROW trigger runs statements: these need the transaction,
//! which is with the rows then, so that the rows wait in memory until all are there.

use super::fired::Fired;
use super::rows::ChangedRows;
use crate::context::StatementContext;
use crate::error::Result;
use crate::locking::Patience;
use crate::session::Run;
use crate::transaction::WriteTxn;
use crate::unique::UniqueKey;
use crate::write::Sink;
use arrow::array::RecordBatch;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use lightning_catalog::TriggerTiming;
use std::sync::Arc;

/// Takes the rows of one statement.
#[derive(Debug)]
pub(crate) struct TriggeredSink {
    fired: Fired,
    context: Arc<StatementContext>,
    way: Way,
}

/// Where rows are.
#[derive(Debug)]
enum Way {
    Streaming(Sink),
    Waiting(Box<Waiting>),
}

#[derive(Debug)]
struct Waiting {
    write: WriteTxn,
    patience: Patience,
    keys: Vec<UniqueKey>,
    rows: Vec<RecordBatch>,
    memory: MemoryReservation,
}

impl TriggeredSink {
    /// Starts writing, after BEFORE STATEMENT triggers.
    pub(crate) fn start(
        run: &Run,
        fired: Fired,
        context: &Arc<StatementContext>,
        write: WriteTxn,
        keys: Vec<UniqueKey>,
    ) -> TriggeredSink {
        let patience = run.patience(fired.table());
        let way = match fired.can_wait() {
            true => Way::Streaming(Sink::start(write, patience, keys)),
            false => {
                let pool = &run.session.base.runtime_env().memory_pool;
                let memory = MemoryConsumer::new("changed rows").register(pool);
                Way::Waiting(Box::new(Waiting { write, patience, keys, rows: Vec::new(), memory }))
            }
        };
        TriggeredSink { fired, context: Arc::clone(context), way }
    }

    /// More rows, in [`Fired::shape`].
    pub(crate) async fn push(&mut self, batch: RecordBatch) -> Result<()> {
        match &mut self.way {
            Way::Waiting(waiting) => {
                waiting.memory.try_grow(batch.get_array_memory_size())?;
                waiting.rows.push(batch);
                Ok(())
            }
            Way::Streaming(sink) => {
                let batch = match self.fired.has_before_rows() {
                    false => batch,
                    true => {
                        let passed = self.fired.before_rows_apart(&self.context, ChangedRows::inserted(batch));
                        match passed.await?.new {
                            Some(batch) if batch.num_rows() > 0 => batch,
                            _ => return Ok(()),
                        }
                    }
                };
                self.fired.wrote_new(&batch)?;
                sink.push(batch).await
            }
        }
    }

    /// No more rows: they are written, and the triggers that come after fire. The rows written.
    pub(crate) async fn finish(self) -> Result<u64> {
        let TriggeredSink { mut fired, way, .. } = self;
        let sink = match way {
            Way::Streaming(sink) => sink,
            Way::Waiting(waiting) => {
                let Waiting { mut write, patience, keys, rows, memory: _memory } = *waiting;
                let mut passed = Vec::with_capacity(rows.len());
                for batch in rows {
                    let batch = fired.before_inserts(&mut write, batch).await?;
                    fired.wrote_new(&batch)?;
                    passed.push(batch);
                }
                let mut sink = Sink::start(write, patience, keys);
                for batch in passed.into_iter().filter(|batch| batch.num_rows() > 0) {
                    sink.push(batch).await?;
                }
                sink
            }
        };
        let mut closed = sink.close().await?;
        fired.run_waiting(&mut closed.write).await?;
        let (mut write, rows) = closed.put().await?;
        fired.after_rows(&mut write).await?;
        fired.statement(TriggerTiming::After, &mut write).await?;
        write.finish().await?;
        Ok(rows)
    }
}
