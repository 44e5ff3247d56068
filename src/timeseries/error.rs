//! Errors of this crate on their way through DataFusion.

use datafusion::common::DataFusionError;
use lightning_sql::{Error, SqlState};

/// An SQL error as one of DataFusion's, which `sql` takes out again.
pub(crate) fn external(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

/// An SQL error as one of DataFusion's.
pub(crate) fn error(state: SqlState, message: impl Into<String>) -> DataFusionError {
    external(Error::new(state, message))
}
