//! Marks: what a transaction has touched, said to the continuous aggregates over it.

use crate::error::{Error, Result};
use crate::sqlstate::SERIALIZATION_FAILURE;
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use lightning_catalog::Snapshot;
use lightning_storage::Transaction;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The columns of marks: first and last time.
pub(crate) fn schema() -> SchemaRef {
    let column = |name| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![column("first"), column("last")]))
}

/// Marks as rows.
pub(crate) fn batch(ranges: &[RangeInclusive<i64>]) -> Result<RecordBatch> {
    let first: ArrayRef = Arc::new(Int64Array::from_iter_values(ranges.iter().map(|range| *range.start())));
    let last: ArrayRef = Arc::new(Int64Array::from_iter_values(ranges.iter().map(|range| *range.end())));
    Ok(RecordBatch::try_new(schema(), vec![first, last])?)
}

/// Adds the times that `transaction` has touched to the marks of all aggregates over its tables. To be called before it commits, with the
/// newest catalog, or that of its own DDL.
pub fn mark(transaction: &mut Transaction, catalog: &Snapshot) -> Result<()> {
    if catalog.materialized_views().next().is_none() {
        return Ok(());
    }
    let touched = transaction.touched();
    for view in catalog.materialized_views() {
        let Some(kept) = &view.materialized else { continue };
        let source = catalog.relation_by_oid(kept.source).and_then(|source| source.rows());
        if let Some(ranges) = source.and_then(|rows| touched.get(&rows)) {
            if transaction.snapshot().table(kept.marks()).is_err() {
                let message = format!("could not serialize access because view \"{}\" was created since", view.name);
                return Err(Error::new(SERIALIZATION_FAILURE, message).with_hint("Run the transaction again."));
            }
            transaction.append(kept.marks(), batch(ranges)?)?;
        }
    }
    Ok(())
}
