//! What a statement changes in storage: places of old rows go, new rows come.

use crate::error::Result;
use crate::transaction::WriteTxn;
use crate::write::append_batches;
use arrow::array::{RecordBatch, UInt64Array};
use lightning_storage::{Snapshot, TableId};

/// The changes of one statement to one table.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) table: TableId,
    /// The snapshot the places are of.
    pub(crate) snapshot: Snapshot,
    pub(crate) places: Vec<u64>,
    pub(crate) rows: Vec<RecordBatch>,
}

/// Writes the changes and ends the statement.
pub(crate) async fn write(mut write: WriteTxn, change: Change) -> Result<()> {
    write
        .blocking(move |txn| {
            if !change.places.is_empty() {
                txn.delete(&change.snapshot, change.table, &UInt64Array::from(change.places))?;
            }
            append_batches(txn, change.table, change.rows)
        })
        .await?;
    write.finish().await
}
