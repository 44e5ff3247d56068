//! What a trigger's guest is called on, and what it does to it: the other side of the imports in [`crate::imports`].

use crate::changes::Changes;
use crate::error::{Error, Result};
use crate::event::{Event, Level, Rows, Timing, TriggerCall, TriggerOutcome};
use crate::range;
use crate::value::{self, Value};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use std::borrow::Cow;
use std::collections::HashMap;

/// Most statements that one call may queue.
const STATEMENTS_MAX: usize = 10_000;

/// Most bytes they may have together.
const STATEMENT_BYTES_MAX: usize = 16 << 20;

/// What an import answers: an error says what is wrong with the question.
type Answer<T> = std::result::Result<T, String>;

/// One call of a trigger.
pub(crate) struct Host {
    call: TriggerCall,
    level: Level,
    columns: Vec<(String, DataType)>,
    numbers: HashMap<String, i32>,
    old: Option<Vec<ArrayRef>>,
    new: Option<Vec<ArrayRef>>,
    row: usize,
    changes: Vec<Changes>,
    statements: Vec<String>,
    statement_bytes: usize,
}

impl Host {
    pub(crate) fn new(call: &TriggerCall, level: Level, rows: Rows<'_>) -> Host {
        let numbers = rows.columns.iter().zip(0..).map(|((name, _), number)| (name.clone(), number)).collect();
        Host {
            call: call.clone(),
            level,
            columns: rows.columns.to_vec(),
            numbers,
            old: rows.old.map(<[ArrayRef]>::to_vec),
            new: rows.new.map(<[ArrayRef]>::to_vec),
            row: 0,
            changes: rows.columns.iter().map(|_| Changes::default()).collect(),
            statements: Vec::new(),
            statement_bytes: 0,
        }
    }

    /// The row the guest is called for now.
    pub(crate) fn set_row(&mut self, row: usize) {
        self.row = row;
    }

    pub(crate) fn event(&self) -> i32 {
        self.call.event.code()
    }

    pub(crate) fn timing(&self) -> i32 {
        self.call.timing.code()
    }

    pub(crate) fn columns(&self) -> i32 {
        self.columns.len() as i32
    }

    pub(crate) fn column(&self, name: &str) -> i32 {
        self.numbers.get(name).copied().unwrap_or(-1)
    }

    pub(crate) fn argument(&self, i: i32) -> Option<&str> {
        usize::try_from(i).ok().and_then(|i| self.call.arguments.get(i)).map(String::as_str)
    }

    pub(crate) fn is_null(&self, which: i32, col: i32) -> Answer<bool> {
        let (array, row) = self.cell(which, col)?;
        Ok(array.is_null(row))
    }

    pub(crate) fn get_i64(&self, which: i32, col: i32) -> Answer<i64> {
        let (array, row) = self.cell(which, col)?;
        value::read_i64(&array, row).map_err(|what| self.about(col, &what))
    }

    pub(crate) fn get_f64(&self, which: i32, col: i32) -> Answer<f64> {
        let (array, row) = self.cell(which, col)?;
        value::read_f64(&array, row).map_err(|what| self.about(col, &what))
    }

    /// Gives the value as text to `then`; none for NULL.
    pub(crate) fn with_text<T>(&self, which: i32, col: i32, then: impl FnOnce(&[u8]) -> T) -> Answer<Option<T>> {
        let (array, row) = self.cell(which, col)?;
        if array.is_null(row) {
            return Ok(None);
        }
        match value::read_bytes(&array, row) {
            Some(bytes) => Ok(Some(then(bytes))),
            None => Ok(Some(then(self.text(&array, row)?.as_bytes()))),
        }
    }

    pub(crate) fn set_null(&mut self, col: i32) -> Answer<()> {
        self.set(col, |_| Ok(Value::Null))
    }

    pub(crate) fn set_i64(&mut self, col: i32, value: i64) -> Answer<()> {
        self.set(col, |data_type| value::integer(data_type, value))
    }

    pub(crate) fn set_f64(&mut self, col: i32, value: f64) -> Answer<()> {
        self.set(col, |data_type| value::float(data_type, value))
    }

    pub(crate) fn set_text(&mut self, col: i32, bytes: &[u8]) -> Answer<()> {
        self.set(col, |data_type| value::bytes(data_type, bytes))
    }

    pub(crate) fn execute(&mut self, statement: &str) -> Answer<()> {
        if range::has_zero_byte(statement) {
            return Err("text with a zero byte".to_string());
        }
        self.statement_bytes += statement.len();
        if self.statements.len() >= STATEMENTS_MAX {
            return Err(format!("more than {STATEMENTS_MAX} statements"));
        }
        if self.statement_bytes > STATEMENT_BYTES_MAX {
            return Err(format!("statements of more than {STATEMENT_BYTES_MAX} bytes"));
        }
        self.statements.push(statement.to_string());
        Ok(())
    }

    /// Columns for the batch ABI: those a guest cannot have are given as text.
    pub(crate) fn batch_columns(&self, arrays: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        arrays.iter().map(|array| self.batch_column(array)).collect()
    }

    fn batch_column(&self, array: &ArrayRef) -> Result<ArrayRef> {
        if crate::layout::Layout::of(array.data_type()).is_some() {
            return Ok(array.clone());
        }
        let texts = (0..array.len()).map(|row| match array.is_null(row) {
            true => Ok(None),
            false => self.text(array, row).map(Some),
        });
        let texts = texts.collect::<Answer<arrow::array::StringArray>>().map_err(Error::internal)?;
        Ok(std::sync::Arc::new(texts))
    }

    /// What the guest wants.
    pub(crate) fn finish(self, skipped: Vec<usize>) -> Result<TriggerOutcome> {
        let is_changed = self.changes.iter().any(|changes| !changes.is_empty());
        let new = match self.new {
            Some(new) if is_changed => {
                let columns = new.iter().zip(&self.changes).zip(&self.columns);
                let columns = columns.map(|((array, changes), (_, data_type))| changes.apply(array, data_type));
                Some(columns.collect::<Result<Vec<ArrayRef>>>()?)
            }
            _ => None,
        };
        Ok(TriggerOutcome { skipped, new, statements: self.statements })
    }

    /// The column and row of a value; a changed one is a column by itself.
    fn cell(&self, which: i32, col: i32) -> Answer<(Cow<'_, ArrayRef>, usize)> {
        self.check_row()?;
        let rows = match which {
            0 => self.old.as_ref().ok_or("there is no old row")?,
            1 => self.new.as_ref().ok_or("there is no new row")?,
            _ => return Err(format!("{which} is neither 0 for the old row nor 1 for the new one")),
        };
        let number = self.number(col)?;
        if which == 1
            && let Some(value) = self.changes[number].get(self.row)
        {
            let changed = value::column(&self.columns[number].1, std::slice::from_ref(value));
            let changed = changed.map_err(|what| self.about(col, &what))?;
            return Ok((Cow::Owned(changed), 0));
        }
        let array = rows.get(number).ok_or_else(|| format!("column {col} has no values"))?;
        Ok((Cow::Borrowed(array), self.row))
    }

    fn set(&mut self, col: i32, value: impl FnOnce(&DataType) -> Answer<Value>) -> Answer<()> {
        self.check_row()?;
        if self.call.timing != Timing::Before || self.new.is_none() || self.call.event == Event::Delete {
            return Err("only a trigger before insert or update can change a row".to_string());
        }
        let number = self.number(col)?;
        let value = value(&self.columns[number].1).map_err(|what| self.about(col, &what))?;
        self.changes[number].set(self.row, value);
        Ok(())
    }

    fn check_row(&self) -> Answer<()> {
        match self.level {
            Level::Row => Ok(()),
            Level::Statement => Err("only a trigger for each row has a row".to_string()),
        }
    }

    fn number(&self, col: i32) -> Answer<usize> {
        usize::try_from(col)
            .ok()
            .filter(|number| *number < self.columns.len())
            .ok_or_else(|| format!("there is no column {col}"))
    }

    /// What a column does not do.
    fn about(&self, col: i32, what: &str) -> String {
        let column = usize::try_from(col).ok().and_then(|number| self.columns.get(number));
        let name = column.map_or("", |(name, _)| name.as_str());
        format!("column \"{name}\" {what}")
    }

    fn text(&self, array: &ArrayRef, row: usize) -> Answer<String> {
        match &self.call.to_text {
            Some(to_text) => Ok(to_text(array, row)),
            None => array_value_to_string(array, row).map_err(|error| error.to_string()),
        }
    }
}
