//! Rows a statement reads to their end before it writes, within the memory budget.

use crate::error::Result;
use crate::plan::{executable, start};
use crate::session::Run;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use futures::StreamExt;

/// Rows in memory, and the memory.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) memory: MemoryReservation,
}

/// What rows of the statement that wait to be written are accounted to.
pub(crate) fn memory(state: &SessionState) -> MemoryReservation {
    MemoryConsumer::new("changed rows").register(&state.runtime_env().memory_pool)
}

/// Runs a plan to its end; each batch passes through `change` before it is kept.
pub(crate) async fn read(
    run: &Run,
    state: &SessionState,
    plan: &LogicalPlan,
    mut change: impl FnMut(RecordBatch) -> Result<Option<RecordBatch>>,
) -> Result<Held> {
    let (schema, physical) = executable(state, plan).await?;
    let memory = memory(state);
    let mut batches = Vec::new();
    let mut stream = start(state, physical)?;
    while let Some(batch) = stream.next().await {
        run.active.check()?;
        if let Some(batch) = change(batch?)? {
            memory.try_grow(batch.get_array_memory_size())?;
            batches.push(batch);
        }
    }
    Ok(Held { schema, batches, memory })
}
