//! Batches being made: selected rows go into column builders until a batch is full.

use super::plan::Plan;
use crate::codec::ColumnBuilder;
use crate::error::Result;
use crate::segment::BLOCK_ROWS_MAX;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use std::collections::VecDeque;

/// Collects rows and hands out batches.
#[derive(Debug)]
pub(super) struct Output {
    schema: SchemaRef,
    /// Rows of a full batch. Those of a block when rows are only counted: that takes no memory and saves calls.
    batch_rows: usize,
    builders: Vec<ColumnBuilder>,
    rows: usize,
    ready: VecDeque<RecordBatch>,
}

impl Output {
    /// An output for the batches of `plan`.
    pub(super) fn new(plan: &Plan) -> Output {
        Output {
            schema: plan.schema.clone(),
            batch_rows: if plan.schema.fields().is_empty() { BLOCK_ROWS_MAX } else { plan.spec.batch_rows() },
            builders: Vec::new(),
            rows: 0,
            ready: VecDeque::new(),
        }
    }

    /// A batch that is ready.
    pub(super) fn pop(&mut self) -> Option<RecordBatch> {
        self.ready.pop_front()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.ready.clear();
        self.builders.clear();
        self.rows = 0;
    }

    /// Whether nothing is waiting in the builders.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Rows of a full batch.
    pub(super) fn batch_rows(&self) -> usize {
        self.batch_rows
    }

    /// Adds `rows` rows: `append` is called for every output column with its number. Row counts only when there are
    /// none.
    pub(super) fn append(
        &mut self,
        rows: usize,
        mut append: impl FnMut(usize, &mut ColumnBuilder) -> Result<()>,
    ) -> Result<()> {
        if self.rows > 0 && self.rows + rows > self.batch_rows + self.batch_rows / 2 {
            self.flush()?;
        }
        if self.builders.is_empty() {
            let capacity = self.batch_rows.max(rows);
            let fields = self.schema.fields().iter();
            self.builders = fields.map(|field| ColumnBuilder::new(field.data_type(), capacity)).collect();
        }
        for (column, builder) in self.builders.iter_mut().enumerate() {
            append(column, builder)?;
        }
        self.rows += rows;
        if self.rows >= self.batch_rows {
            self.flush()?;
        }
        Ok(())
    }

    /// Adds a batch as it is, after the rows before it.
    pub(super) fn pass(&mut self, columns: Vec<ArrayRef>, rows: usize) -> Result<()> {
        self.flush()?;
        self.push(columns, rows)
    }

    /// Makes a batch of what there is.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let columns =
            std::mem::take(&mut self.builders).iter_mut().map(ColumnBuilder::finish).collect::<Result<_>>()?;
        self.push(columns, rows)
    }

    /// Queues a batch, in slices of about the wanted size.
    fn push(&mut self, columns: Vec<ArrayRef>, rows: usize) -> Result<()> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        if rows <= self.batch_rows + self.batch_rows / 2 {
            self.ready.push_back(batch);
            return Ok(());
        }
        for start in (0..rows).step_by(self.batch_rows) {
            self.ready.push_back(batch.slice(start, self.batch_rows.min(rows - start)));
        }
        Ok(())
    }
}
