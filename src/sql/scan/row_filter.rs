//! A DataFusion expression as a storage row filter.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use lightning_storage::{Error as StorageError, RowFilter};
use parking_lot::Mutex;
use std::sync::Arc;

/// Evaluates an expression on the decoded columns it mentions.
///
/// Storage knows nothing of DataFusion's errors, so a failed evaluation leaves its error in [`ErrorSlot`] for the stream
/// that reads the scan, and tells storage only that it must stop.
#[derive(Debug)]
pub(super) struct ExpressionFilter {
    expression: Arc<dyn PhysicalExpr>,
    columns: Vec<usize>,
    schema: SchemaRef,
    error: ErrorSlot,
}

/// Where an evaluation error waits for the stream.
pub(super) type ErrorSlot = Arc<Mutex<Option<DataFusionError>>>;

impl ExpressionFilter {
    /// A filter for `expression`, whose columns are those of `table_schema`.
    pub(super) fn try_new(
        expression: &Arc<dyn PhysicalExpr>,
        table_schema: &SchemaRef,
        error: ErrorSlot,
    ) -> datafusion::common::Result<Self> {
        let (expression, columns, schema) = compact(expression, table_schema)?;
        Ok(Self { expression, columns, schema, error })
    }
}

/// `expression` over only the columns it mentions: the expression, those table columns ascending, their schema.
pub(super) fn compact(
    expression: &Arc<dyn PhysicalExpr>,
    table_schema: &SchemaRef,
) -> datafusion::common::Result<(Arc<dyn PhysicalExpr>, Vec<usize>, SchemaRef)> {
    let mut columns: Vec<usize> = collect_columns(expression).iter().map(Column::index).collect();
    columns.sort_unstable();
    columns.dedup();
    let schema = Arc::new(table_schema.project(&columns)?);
    let expression = Arc::clone(expression)
        .transform_down(|node| {
            let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
            let Ok(place) = columns.binary_search(&column.index()) else { return Ok(Transformed::no(node)) };
            let new: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), place));
            Ok(Transformed::new(new, true, datafusion::common::tree_node::TreeNodeRecursion::Jump))
        })
        .data()?;
    Ok((expression, columns, schema))
}

/// `columns` under `schema`, whatever nullability storage declared.
pub(super) fn rebatch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> datafusion::common::Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// The value of a condition per row of `batch`.
pub(super) fn evaluate_condition(
    expression: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
) -> datafusion::common::Result<BooleanArray> {
    let values = expression.evaluate(batch)?.into_array(batch.num_rows())?;
    match values.as_boolean_opt() {
        Some(values) => Ok(values.clone()),
        None if values.null_count() == values.len() => Ok(BooleanArray::new_null(values.len())),
        None => datafusion::common::internal_err!("a condition of type {} reached a scan", values.data_type()),
    }
}

impl RowFilter for ExpressionFilter {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn evaluate(&self, batch: &RecordBatch) -> lightning_storage::Result<BooleanArray> {
        rebatch(&self.schema, batch.columns().to_vec(), batch.num_rows())
            .and_then(|batch| evaluate_condition(&self.expression, &batch))
            .map_err(|error| {
                self.error.lock().get_or_insert(error);
                StorageError::Cancelled
            })
    }
}
