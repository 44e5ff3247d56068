//! Errors in PostgreSQL's manner: SQLSTATE, message, detail, hint and position apart.
//!
//! An [`Error`] is what a user sees. Which SQLSTATE a failure below gets is decided in `sqlstate.rs` alone.

use datafusion::sql::sqlparser::tokenizer::Location;
use std::fmt;

/// Result of anything SQL.
pub type Result<T> = std::result::Result<T, Error>;

/// Five characters of SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlState(pub &'static str);

/// How bad it is for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The connection must close.
    Fatal,
}

/// An error a user sees.
#[derive(Clone, Debug)]
pub struct Error(pub Box<ErrorFields>);

/// The fields of an [`Error`], as the wire protocol names them.
#[derive(Clone, Debug)]
pub struct ErrorFields {
    /// Severity.
    pub severity: Severity,
    /// SQLSTATE.
    pub state: SqlState,
    /// Primary message: lower case, no full stop.
    pub message: String,
    /// Detail sentence.
    pub detail: Option<String>,
    /// Hint sentence.
    pub hint: Option<String>,
    /// 1-based character position in the statement text given to `parse` or `prepare`.
    pub position: Option<usize>,
    /// Line and column of the position, where only syntax is at hand; whoever has the text turns it into one.
    pub location: Option<Location>,
    /// Context ("COPY t, line 3, column b").
    pub context: Option<String>,
    /// Column concerned.
    pub column: Option<String>,
    /// Table concerned.
    pub table: Option<String>,
    /// Constraint concerned.
    pub constraint: Option<String>,
}

impl Error {
    /// An error with state and message.
    pub fn new(state: SqlState, message: impl Into<String>) -> Self {
        Error(Box::new(ErrorFields {
            severity: Severity::Error,
            state,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            location: None,
            context: None,
            column: None,
            table: None,
            constraint: None,
        }))
    }

    /// `0A000`: what PostgreSQL has and Lightning does not.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Error::new(crate::sqlstate::FEATURE_NOT_SUPPORTED, format!("{what} is not supported"))
    }

    /// The SQLSTATE.
    pub fn state(&self) -> SqlState {
        self.0.state
    }

    /// The primary message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Ends the connection.
    pub fn fatal(mut self) -> Self {
        self.0.severity = Severity::Fatal;
        self
    }

    /// Adds a detail sentence.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds a hint sentence.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Sets the position unless there is one already.
    pub fn with_position(mut self, position: Option<usize>) -> Self {
        self.0.position = self.0.position.or(position);
        self
    }

    /// Says where in the statement's text, for want of the text.
    pub fn with_location(mut self, location: Location) -> Self {
        self.0.location = (location.line > 0).then_some(location);
        self
    }

    /// Adds a context line.
    pub fn with_context(mut self, context: impl Into<String>) -> Self {
        self.0.context = Some(context.into());
        self
    }

    /// Names the column concerned.
    pub fn with_column(mut self, column: impl Into<String>) -> Self {
        self.0.column = Some(column.into());
        self
    }

    /// Names the table concerned.
    pub fn with_table(mut self, table: impl Into<String>) -> Self {
        self.0.table = Some(table.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.0.message, self.0.state.0)
    }
}

impl std::error::Error for Error {}
