//! What a row trigger changed, until its batch is done.
//!
//! Rows come in order, so each column's changes are in order too, and only the last one can be of the current row.

use crate::error::{Error, Result};
use crate::value::{self, Value};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;

/// Changes of one column.
#[derive(Default)]
pub(crate) struct Changes {
    rows: Vec<usize>,
    values: Vec<Value>,
}

impl Changes {
    /// Sets the value of `row`, which is no earlier row than that of the last change.
    pub(crate) fn set(&mut self, row: usize, value: Value) {
        if self.rows.last() == Some(&row) {
            self.values.pop();
        } else {
            self.rows.push(row);
        }
        self.values.push(value);
    }

    /// The value of `row`, when it was changed and no later one.
    pub(crate) fn get(&self, row: usize) -> Option<&Value> {
        if self.rows.last() == Some(&row) { self.values.last() } else { None }
    }

    /// Whether nothing was changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The column with its changes.
    pub(crate) fn apply(&self, column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
        if self.is_empty() {
            return Ok(column.clone());
        }
        let changed = value::column(data_type, &self.values).map_err(Error::internal)?;
        if self.rows.len() == column.len() {
            return Ok(changed);
        }
        let mut places: Vec<(usize, usize)> = (0..column.len()).map(|row| (0, row)).collect();
        for (place, row) in self.rows.iter().enumerate() {
            places[*row] = (1, place);
        }
        let (column, changed): (&dyn Array, &dyn Array) = (column, &changed);
        arrow::compute::interleave(&[column, changed], &places).map_err(Error::internal)
    }
}
