//! Errors of this crate on their way through DataFusion.

use datafusion::common::DataFusionError;
use lightning_sql::Error;

/// An SQL error as one of DataFusion's, which `sql` takes out again.
pub(crate) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
