//! A statement's error as the files write it.

use std::fmt;

/// SQLSTATE and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// SQLSTATE; empty when the connection failed instead.
    pub state: String,
    /// Primary message.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.state, self.message)
    }
}

impl std::error::Error for Failure {}

impl From<lightning::Error> for Failure {
    fn from(e: lightning::Error) -> Self {
        Failure { state: e.0.state.0.to_string(), message: e.0.message.clone() }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(e: tokio_postgres::Error) -> Self {
        match e.as_db_error() {
            Some(error) => Failure { state: error.code().code().to_string(), message: error.message().to_string() },
            None => Failure { state: String::new(), message: e.to_string() },
        }
    }
}
