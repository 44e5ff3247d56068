//! What a statement gives back.

use crate::copy_from::CopyReader;
use crate::error::{Error, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

/// A message that is not an error (`NOTICE`, `WARNING`).
#[derive(Clone, Debug)]
pub struct Notice {
    /// `NOTICE`, `WARNING`, `INFO`.
    pub severity: &'static str,
    /// SQLSTATE.
    pub state: crate::error::SqlState,
    /// Text.
    pub message: String,
}

/// Result of running one statement.
pub enum Outcome {
    /// An empty statement.
    Empty,
    /// Rows (SELECT, VALUES, EXPLAIN, SHOW).
    Rows(RowStream),
    /// A command that returns no rows; the PostgreSQL command tag, as `INSERT 0 3`, and rows affected.
    Done {
        /// Command tag.
        tag: String,
        /// Rows affected.
        rows: u64,
    },
    /// COPY … FROM STDIN: push data, then finish.
    CopyIn(CopyIn),
    /// COPY … TO STDOUT.
    CopyOut(CopyOut),
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::Empty => f.write_str("Empty"),
            Outcome::Rows(rows) => write!(f, "Rows({})", rows.schema),
            Outcome::Done { tag, .. } => write!(f, "Done({tag})"),
            Outcome::CopyIn(_) => f.write_str("CopyIn"),
            Outcome::CopyOut(_) => f.write_str("CopyOut"),
        }
    }
}

/// Rows as they are computed. The statement ends (locks, implicit transaction) when the stream does or is dropped.
pub struct RowStream {
    /// Columns, with PostgreSQL types in the metadata.
    pub schema: SchemaRef,
    /// Batches.
    pub batches: BoxStream<'static, Result<RecordBatch>>,
    /// Prefix of the command tag: `SELECT`, `SHOW`, `EXPLAIN`; SELECT gets the row count appended.
    pub tag: String,
}

/// A running COPY FROM STDIN.
pub struct CopyIn {
    /// Columns expected.
    pub columns: usize,
    /// Whether the client must send binary.
    pub binary: bool,
    pub(crate) reader: Box<CopyReader>,
}

impl CopyIn {
    /// More bytes, cut anywhere.
    pub fn push(&mut self, data: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.reader.push(data))
    }
    /// End of data: rows copied. Nothing is kept on error.
    pub fn finish(self) -> BoxFuture<'static, Result<u64>> {
        Box::pin(self.reader.finish())
    }
    /// The client gave up.
    pub fn abort(self, reason: &str) -> BoxFuture<'_, Error> {
        Box::pin(self.reader.abort(reason))
    }
}

/// A running COPY TO STDOUT.
pub struct CopyOut {
    /// Columns.
    pub columns: usize,
    /// Binary format.
    pub binary: bool,
    /// Data; the row count is known at the end.
    pub data: BoxStream<'static, Result<CopyRows>>,
    /// Rows written so far; final once `data` ended.
    pub rows: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

/// Rows of COPY TO as text or in binary, one after the other.
pub struct CopyRows {
    pub(crate) bytes: Bytes,
    /// Where each row ends.
    pub(crate) ends: Vec<usize>,
}

impl CopyRows {
    /// All of them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The rows, each with its line end if it has one: the protocol wants one message for each.
    pub fn rows(&self) -> impl Iterator<Item = Bytes> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.bytes.slice(start..*end))
    }
}
