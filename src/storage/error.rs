//! What can go wrong in storage: facts in the variants, and [`Error::kind`] for what a caller can do about it.

use crate::ids::{Lsn, TableId};
use std::path::PathBuf;
use std::sync::Arc;

/// Result of a storage operation.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong: unknown table, wrong column types. Fix the input.
    Invalid,
    /// Another transaction was in the way. Run the transaction again.
    Conflict,
    /// No memory within the budget. Ask for less, or later.
    OutOfMemory,
    /// No space on the disk. The statement failed, the database goes on.
    DiskFull,
    /// Another process has the directory open.
    InUse,
    /// Bytes on disk are not what was written.
    Corrupt,
    /// The disk failed; the statement failed with it.
    Io,
    /// A sync failed: the outcome of the pending commits is unknown, the engine is read-only until reopened.
    OutcomeUnknown,
    /// The engine is read-only (after a failed sync, or because it was closed).
    ReadOnly,
    /// The caller asked for it to stop.
    Cancelled,
}

/// A storage error.
#[derive(Clone, Debug)]
pub enum Error {
    /// No such table in this snapshot.
    UnknownTable(TableId),
    /// A batch does not have the table's columns.
    SchemaMismatch {
        /// The table.
        table: TableId,
        /// What differs.
        detail: String,
    },
    /// A table was created, dropped or altered by a transaction that committed first.
    TableChanged(TableId),
    /// A row was changed or deleted by a transaction that committed first.
    Conflict {
        /// The table.
        table: TableId,
        /// The row's key, a text per column; empty for a table without a key.
        key: Vec<String>,
        /// Whether the row is gone.
        is_deleted: bool,
    },
    /// Something a serializable transaction has read in this table was changed by one that committed first.
    Serialization(TableId),
    /// A row or table is locked by another transaction, and was not to be waited for.
    Locked {
        /// The table.
        table: TableId,
        /// Whether it is a row of the table.
        is_row: bool,
    },
    /// A lock was waited for as long as allowed.
    LockTimeout(TableId),
    /// Waiting for a lock would have closed a circle.
    Deadlock(Vec<Waiting>),
    /// The memory budget is exhausted.
    OutOfMemory {
        /// Bytes asked for.
        asked_bytes: usize,
        /// Bytes of the whole budget.
        limit_bytes: usize,
        /// Largest consumers: name and bytes.
        consumers: Vec<(String, usize)>,
    },
    /// Another process has the database open.
    InUse(PathBuf),
    /// The directory holds a database of another format version, or none of ours.
    NotADatabase {
        /// The directory.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// Bytes on disk failed their checksum or their structure.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Byte offset in the file.
        offset: u64,
        /// What is wrong there.
        detail: String,
    },
    /// The operating system failed a file operation.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done.
        operation: &'static str,
        /// The system's error.
        source: Arc<std::io::Error>,
    },
    /// A sync failed after the commit record was written.
    OutcomeUnknown {
        /// First record whose durability is unknown.
        lsn: Lsn,
        /// The system's error.
        source: Arc<std::io::Error>,
    },
    /// The engine takes no more writes; the reason.
    ReadOnly(String),
    /// A column cannot be filtered or encoded this way.
    Unsupported(String),
    /// A key is longer than a key may be.
    KeyTooLarge {
        /// Bytes of the key.
        bytes: usize,
        /// Most bytes of a key.
        limit_bytes: usize,
    },
    /// Bytes are not an encoded key.
    MalformedKey {
        /// The column of the key, from 0.
        column: usize,
        /// What is wrong in it.
        detail: String,
    },
    /// Cancelled by the caller.
    Cancelled,
    /// An Arrow kernel failed.
    Arrow(String),
}

/// One transaction of a circle waiting for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Number of the transaction that waits.
    pub transaction: u64,
    /// Number of the one it waits for.
    pub blocked_by: u64,
    /// The table that the lock is on.
    pub table: TableId,
    /// Whether it is on a row of the table.
    pub is_row: bool,
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::UnknownTable(_) | Error::SchemaMismatch { .. } | Error::NotADatabase { .. } => ErrorKind::Invalid,
            Error::Unsupported(_) | Error::Arrow(_) | Error::KeyTooLarge { .. } => ErrorKind::Invalid,
            Error::TableChanged(_) | Error::Conflict { .. } | Error::Deadlock(_) => ErrorKind::Conflict,
            Error::Locked { .. } | Error::LockTimeout(_) | Error::Serialization(_) => ErrorKind::Conflict,
            Error::OutOfMemory { .. } => ErrorKind::OutOfMemory,
            Error::InUse(_) => ErrorKind::InUse,
            Error::Corrupt { .. } | Error::MalformedKey { .. } => ErrorKind::Corrupt,
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => ErrorKind::DiskFull,
            Error::Io { .. } => ErrorKind::Io,
            Error::OutcomeUnknown { .. } => ErrorKind::OutcomeUnknown,
            Error::ReadOnly(_) => ErrorKind::ReadOnly,
            Error::Cancelled => ErrorKind::Cancelled,
        }
    }

    /// An I/O error with its place.
    pub fn io(path: impl Into<PathBuf>, operation: &'static str, source: std::io::Error) -> Self {
        Error::Io { path: path.into(), operation, source: Arc::new(source) }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::UnknownTable(id) => write!(f, "table {id} does not exist"),
            Error::SchemaMismatch { table, detail } => write!(f, "rows do not fit table {table}: {detail}"),
            Error::TableChanged(id) => write!(f, "table {id} was changed by a concurrent transaction"),
            Error::Conflict { table, key, .. } if key.is_empty() => {
                write!(f, "a row of table {table} was changed by a concurrent transaction")
            }
            Error::Conflict { table, key, .. } => {
                write!(f, "row ({}) of table {table} was changed by a concurrent transaction", key.join(", "))
            }
            Error::Serialization(id) => {
                write!(f, "what was read of table {id} was changed by a concurrent transaction")
            }
            Error::Locked { table, .. } => write!(f, "table {table} has a lock of another transaction"),
            Error::LockTimeout(id) => write!(f, "a lock on table {id} was not available in time"),
            Error::Deadlock(_) => write!(f, "deadlock detected"),
            Error::OutOfMemory { asked_bytes, limit_bytes, consumers } => {
                write!(
                    f,
                    "out of memory: {asked_bytes} bytes asked for, the budget is {limit_bytes} bytes; largest consumers: "
                )?;
                for (i, (name, bytes)) in consumers.iter().enumerate() {
                    write!(f, "{}{name} {bytes} bytes", if i == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Error::InUse(path) => write!(f, "database directory {} is already open in another process", path.display()),
            Error::NotADatabase { path, detail } => {
                write!(f, "{} is not a Lightning database: {detail}", path.display())
            }
            Error::Corrupt { path, offset, detail } => {
                write!(f, "corrupt data in {} at byte {offset}: {detail}", path.display())
            }
            Error::Io { path, operation, source } => write!(f, "could not {operation} {}: {source}", path.display()),
            Error::OutcomeUnknown { lsn, source } => {
                write!(f, "sync of the log failed at record {lsn}, the outcome of the commit is unknown: {source}")
            }
            Error::ReadOnly(why) => write!(f, "the database is read-only: {why}"),
            Error::Unsupported(what) => write!(f, "{what}"),
            Error::KeyTooLarge { bytes, limit_bytes } => {
                write!(f, "index row size {bytes} exceeds maximum {limit_bytes}")
            }
            Error::MalformedKey { column, detail } => write!(f, "malformed key in column {column}: {detail}"),
            Error::Cancelled => write!(f, "cancelled"),
            Error::Arrow(e) => write!(f, "{e}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<arrow::error::ArrowError> for Error {
    fn from(e: arrow::error::ArrowError) -> Self {
        Error::Arrow(e.to_string())
    }
}
