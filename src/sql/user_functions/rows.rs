//! Functions in other languages that give rows, as tables that are computed when they are read.

use super::code::Shown;
use crate::error::Error;
use crate::language::{Interrupt, Rows};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;

/// The rows of one call.
#[derive(Debug)]
pub(crate) struct CalledRows {
    pub(crate) schema: SchemaRef,
    pub(crate) function: Arc<dyn Rows>,
    /// One row.
    pub(crate) arguments: Vec<ArrayRef>,
    pub(crate) interrupt: Shown<Interrupt>,
}

impl PartitionStream for CalledRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, function) = (Arc::clone(&self.schema), Arc::clone(&self.function));
        let (arguments, interrupt) = (self.arguments.clone(), Arc::clone(&self.interrupt.0));
        let external = |e: Error| DataFusionError::External(Box::new(e));
        let batches = async move {
            let called = tokio::task::spawn_blocking(move || function.rows(&arguments, &interrupt));
            let called = called.await.map_err(|e| DataFusionError::ExecutionJoin(Box::new(e)))?;
            let batches = called.map_err(external)?;
            let named = move |batch: RecordBatch| -> Result<RecordBatch> {
                Ok(RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec())?)
            };
            Ok::<_, DataFusionError>(stream::iter(batches).map(named))
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream::once(batches).try_flatten()))
    }
}
