//! The part of the seam through which languages come in that functions are written in, other than SQL.
//!
//! A [`Language`] is asked when a function is created ([`Language::define`]) and when a statement calls it: [`Language::callable`]
//! for functions of one row, [`Language::aggregate`] and [`Language::rows`] for those of many, [`Language::trigger`] for triggers.
//! What it gives then sees columns and nothing else: what a trigger wants to write comes back as statements ([`Effects`]), which
//! `sql` runs in the transaction of the statement that fired it.
//!
//! What must hold: code in another language never sees a transaction, a snapshot or a clock.

use crate::error::{Error, Result};
use arrow::array::{ArrayRef, RecordBatch};
use lightning_catalog::{Function, Module, NewModule, TriggerEvent, TriggerLevel, TriggerTiming};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Asked now and then while code runs: whether the statement was cancelled.
pub type Interrupt = Arc<dyn Fn() -> bool + Send + Sync>;

/// A language that functions are written in.
pub trait Language: fmt::Debug + Send + Sync {
    /// Its name, in lower case.
    fn name(&self) -> &'static str;

    /// Checks a function to be, and says what the catalog keeps of it. May read files and take its time.
    fn define(&self, new: &NewFunction) -> Result<Defined>;

    /// Code was dropped: what is kept of code that is not known any more, by its hash, can go.
    fn retain(&self, _is_known: &dyn Fn(&str) -> bool) {}

    /// What a function has used since the database was opened; `None` where that is not counted.
    fn usage(&self, _function: &Function) -> Option<Usage> {
        None
    }

    /// A function of one row, for one statement.
    fn callable(&self, function: &Function, code: Option<&Arc<Module>>) -> Result<Arc<dyn Callable>>;

    /// An aggregate, for one statement.
    fn aggregate(&self, function: &Function, _code: Option<&Arc<Module>>) -> Result<Arc<dyn Aggregate>> {
        Err(Error::unsupported(format!("aggregate function {} in language {}", function.name, self.name())))
    }

    /// A function that gives rows, for one statement.
    fn rows(&self, function: &Function, _code: Option<&Arc<Module>>) -> Result<Arc<dyn Rows>> {
        Err(Error::unsupported(format!("function {} with rows in language {}", function.name, self.name())))
    }

    /// A function that triggers call.
    fn trigger(
        &self,
        function: &Function,
        code: Option<&Arc<Module>>,
        level: TriggerLevel,
    ) -> Result<Arc<dyn TriggerBody>>;
}

/// What the code of a function has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel, of functions for which it is counted.
    pub fuel: Option<u64>,
    /// Calls that ended in a trap, a time-out or without fuel.
    pub traps: u64,
    /// The most memory that one instance had, in bytes.
    pub memory_peak_bytes: u64,
}

/// What CREATE FUNCTION says of a function in another language.
#[derive(Clone, Debug)]
pub struct NewFunction {
    /// The function as the catalog would have it, with neither source, module nor options.
    pub function: Function,
    /// The texts that follow AS.
    pub texts: Vec<String>,
    /// The code in the catalog that the first of them names by its hash, as `sha256:…`.
    pub known: Option<Arc<Module>>,
    /// What WITH says, names in lower case.
    pub options: BTreeMap<String, String>,
    /// Whether files of the server may be read.
    pub local_files: bool,
}

/// What the catalog keeps of a function.
#[derive(Clone, Debug, Default)]
pub struct Defined {
    /// As [`Function::source`].
    pub source: String,
    /// The code it is in.
    pub module: Option<NewModule>,
    /// As [`Function::options`].
    pub options: BTreeMap<String, String>,
}

/// A function of one row that can be called.
pub trait Callable: fmt::Debug + Send + Sync {
    /// Values for `rows` rows, in the Arrow type of the type the function gives. Any thread may call it.
    fn call(&self, arguments: &[ArrayRef], rows: usize, interrupt: &Interrupt) -> Result<ArrayRef>;
}

/// An aggregate that can be called. A state is bytes; no bytes are that of no rows.
pub trait Aggregate: fmt::Debug + Send + Sync {
    /// The state after some more rows.
    fn accumulate(&self, state: &[u8], arguments: &[ArrayRef], interrupt: &Interrupt) -> Result<Vec<u8>>;
    /// The state of the rows of both.
    fn merge(&self, a: &[u8], b: &[u8], interrupt: &Interrupt) -> Result<Vec<u8>>;
    /// The value of a state: one row.
    fn finish(&self, state: &[u8], interrupt: &Interrupt) -> Result<ArrayRef>;
}

/// A function that gives rows and can be called.
pub trait Rows: fmt::Debug + Send + Sync {
    /// The rows for one row of arguments.
    fn rows(&self, arguments: &[ArrayRef], interrupt: &Interrupt) -> Result<Vec<RecordBatch>>;
}

/// A function that triggers call.
pub trait TriggerBody: fmt::Debug + Send + Sync {
    /// Looks at rows, and says what comes of them. Any thread may call it.
    fn fire(&self, firing: &Firing<'_>, interrupt: &Interrupt) -> Result<Effects>;
}

/// What a trigger's function sees: rows of one batch for those of each row, all rows or none for those of a statement.
#[derive(Clone, Debug)]
pub struct Firing<'a> {
    /// What happens.
    pub event: TriggerEvent,
    /// Whether it has happened.
    pub timing: TriggerTiming,
    /// Whether it is called for each row.
    pub level: TriggerLevel,
    /// What the trigger was made with.
    pub arguments: &'a Arc<[String]>,
    /// The rows as they were, in the table's columns.
    pub old: Option<&'a RecordBatch>,
    /// The rows as they will be or are, in the table's columns.
    pub new: Option<&'a RecordBatch>,
}

/// What comes of a call of a trigger's function.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// The new rows, when the function changed them: all of them, in the table's columns.
    pub new: Option<RecordBatch>,
    /// Rows to leave out, ascending.
    pub skipped: Vec<usize>,
    /// Statements to run in the same transaction, in order.
    pub statements: Vec<String>,
}
