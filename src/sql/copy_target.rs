//! What COPY FROM fills: the columns of a table, batch by batch.
//!
//! A reader of some format appends values to [`Filling::builders`], calls [`Filling::end_row`] after each row, and says with
//! [`Filling::place`] where an error is.

use crate::error::{Error, Result};
use crate::provider::column_type;
use crate::session::Run;
use crate::statements::insert::Defaults;
use crate::text::{ColumnBuilder, InputOptions};
use crate::write::Shape;
use arrow::array::{ArrayRef, RecordBatch};
use lightning_catalog::Table;
use std::sync::Arc;

/// Rows of a batch.
pub(crate) const BATCH_ROWS: usize = 8_192;
/// Bytes of one record.
pub(crate) const RECORD_BYTES_MAX: usize = 1 << 30;

/// The table and what fills its columns.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) table: Arc<Table>,
    pub(crate) columns: Vec<usize>,
    pub(crate) shape: Shape,
    defaults: Defaults,
    options: InputOptions,
}

impl Target {
    pub(crate) async fn new(run: &Run, table: &Arc<Table>, columns: Vec<usize>) -> Result<Target> {
        let zone = run.session.zone();
        let defaults = Defaults::plan(run, table, |c| columns.contains(&c)).await?;
        let shape = Shape::new(table, zone);
        Ok(Target { table: Arc::clone(table), columns, shape, defaults, options: InputOptions { zone } })
    }

    fn builders(&self) -> Result<Vec<ColumnBuilder>> {
        let new =
            |column: &usize| ColumnBuilder::new(column_type(&self.table.columns[*column]), BATCH_ROWS, self.options);
        self.columns.iter().map(new).collect()
    }

    /// The name of the column that the value at `index` of a record is for.
    pub(crate) fn column(&self, index: usize) -> &str {
        &self.table.columns[self.columns[index]].name
    }

    /// Rows of the whole table, defaults in the columns that are not copied.
    pub(crate) fn complete(&self, arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let mut filled: Vec<Option<ArrayRef>> = vec![None; self.table.columns.len()];
        for (column, array) in self.columns.iter().zip(arrays) {
            filled[*column] = Some(array);
        }
        self.defaults.complete(&self.shape, filled, rows)
    }
}

/// A batch being filled.
#[derive(Debug)]
pub(crate) struct Filling {
    pub(crate) target: Target,
    /// One for each column copied.
    pub(crate) builders: Vec<ColumnBuilder>,
    rows: usize,
    /// Lines consumed; in binary, rows begun.
    pub(crate) line: u64,
}

impl Filling {
    pub(crate) fn new(target: Target) -> Result<Filling> {
        Ok(Filling { builders: target.builders()?, target, rows: 0, line: 0 })
    }

    /// A row is complete; a batch that became full goes to `out`.
    pub(crate) fn end_row(&mut self, out: &mut Vec<RecordBatch>) -> Result<()> {
        self.rows += 1;
        if self.rows == BATCH_ROWS { self.end_batch(out) } else { Ok(()) }
    }

    /// Whatever rows there are go to `out`.
    pub(crate) fn end_batch(&mut self, out: &mut Vec<RecordBatch>) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let arrays = self.builders.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<_>>>()?;
        let batch = self.target.complete(arrays, rows);
        out.push(batch.map_err(|e| if e.0.context.is_none() { e.with_context(self.place()) } else { e })?);
        Ok(())
    }

    /// Where the reader is.
    pub(crate) fn place(&self) -> String {
        format!("COPY {}, line {}", self.target.table.name, self.line)
    }

    /// An error about the value at `index` of the record.
    pub(crate) fn located(&self, e: Error, index: usize, shown: Option<&str>) -> Error {
        let column = self.target.column(index);
        let value = shown.map_or(String::new(), |shown| format!(": \"{shown}\""));
        e.with_context(format!("{}, column {column}{value}", self.place())).with_column(column)
    }
}
