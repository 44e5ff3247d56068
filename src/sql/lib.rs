//! SQL sessions over DataFusion and Lightning's storage.
//!
//! An [`Instance`] is one open database; a [`Session`] one client's conversation with it. The journey of a statement:
//!
//! 1. [`Session::parse`]: `parser` cuts the script into statements, bounds their depth and parses them.
//! 2. [`Session::run`]: the statement is registered in `active` (so that it can be cancelled and timed out) and handed to
//!    its family in `statements`.
//! 3. It gets a [`StatementContext`]: the newest storage snapshot, or the open transaction's, and the catalog that belongs
//!    to it. `provider` makes DataFusion's names of it.
//! 4. Crates above have their say through the seam [`extension`]; `plan` plans queries; `semantics` gives expressions PostgreSQL's meaning; [`optimizer`] and [`scan`] make them fast.
//! 5. Rows leave through `present` in the types clients know; rows that arrive go through `convert` and `write` into a
//!    storage transaction that `transaction` commits or keeps.
//!
//! Rows that come in bulk and without SQL take `ingest`; what is answered over HTTP is in [`http`].
//!
//! What must hold: a statement sees one snapshot of rows and names; whatever fails yields an [`Error`] with a SQLSTATE and
//! leaves nothing behind; results are never held whole; no text makes the process die.

mod error;
mod arrow_names;
pub mod sqlstate;
pub mod types;
mod type_names;
pub mod encode;
pub mod text;
mod precision;
mod convert;
mod parser;
mod settings;
mod active;
mod firing;
mod context;
pub mod http;
pub mod language;
pub mod extension;
pub mod optimizer;
pub mod scan;
pub mod functions;
pub mod pg_catalog;
mod semantics;
pub mod system;
mod using;
mod provider;
mod clauses;
mod user_functions;
mod plan;
mod runtime;
mod isolation;
mod transaction;
mod locking;
pub mod unique;
mod write;
mod present;
mod defaults;
mod series;
mod prepared;
pub mod aggregates;
mod copy_format;
mod copy_binary;
mod copy_target;
mod copy_from;
mod copy_to;
mod outcome;
mod executor;
mod jobs;
mod instance;
mod statements;
mod triggers;
mod point;
mod session;
mod ingest;

pub use context::{SessionInfo, StatementContext};
pub use datafusion::common::ScalarValue;
pub use error::{Error, ErrorFields, Result, Severity, SqlState};
pub use extension::Extension;
pub use ingest::{NewRows, Relations};
pub use instance::{ConnectOptions, Instance, InstanceOptions};
pub use outcome::{CopyIn, CopyOut, CopyRows, Notice, Outcome, RowStream};
pub use session::{CancelHandle, Prepared, Session, Statement, TransactionStatus};
pub use settings::{SettingRow, Settings};
