//! What a trigger is called for, on what, and what comes of it.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use std::fmt;
use std::sync::Arc;

/// What happened, or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Rows are inserted.
    Insert,
    /// Rows are updated.
    Update,
    /// Rows are deleted.
    Delete,
    /// The table is emptied.
    Truncate,
}

impl Event {
    /// The number guests know it by.
    pub(crate) fn code(self) -> i32 {
        match self {
            Event::Insert => 1,
            Event::Update => 2,
            Event::Delete => 3,
            Event::Truncate => 4,
        }
    }
}

/// Whether rows are written yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timing {
    /// Not yet: they can be changed.
    Before,
    /// They are.
    After,
}

impl Timing {
    /// The number guests know it by.
    pub(crate) fn code(self) -> i32 {
        match self {
            Timing::Before => 1,
            Timing::After => 2,
        }
    }
}

/// How often a trigger's function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Once a row.
    Row,
    /// Once a statement, with all rows.
    Statement,
}

/// Shows the value in a row of a column as text.
pub type ToText = Arc<dyn Fn(&ArrayRef, usize) -> String + Send + Sync>;

/// What a trigger is called for.
#[derive(Clone)]
pub struct TriggerCall {
    /// What happened.
    pub event: Event,
    /// Whether rows are written yet.
    pub timing: Timing,
    /// The arguments the trigger was created with.
    pub arguments: Arc<[String]>,
    /// Shows values that are no text as text; without it, Arrow's own form is used.
    pub to_text: Option<ToText>,
}

impl fmt::Debug for TriggerCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriggerCall")
            .field("event", &self.event)
            .field("timing", &self.timing)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

/// The rows a trigger is called on.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Names and types of the table's columns.
    pub columns: &'a [(String, DataType)],
    /// The rows as they were, one column each.
    pub old: Option<&'a [ArrayRef]>,
    /// The rows as they will be or are.
    pub new: Option<&'a [ArrayRef]>,
    /// How many there are.
    pub rows: usize,
}

/// What a trigger wants.
#[derive(Debug, Default)]
pub struct TriggerOutcome {
    /// Rows to leave out, in ascending order.
    pub skipped: Vec<usize>,
    /// The new rows, when any value was changed: all columns, in their types, skipped rows included.
    pub new: Option<Vec<ArrayRef>>,
    /// SQL statements to run in the same transaction, in order.
    pub statements: Vec<String>,
}
