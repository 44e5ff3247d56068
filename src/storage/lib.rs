//! Lightning's storage engine: transactions over tables of Arrow columns. No SQL, no names, no async runtime.
//!
//! ```text
//! Engine::begin ─► Transaction ── commit ─► line ── sync ─► wal/          small commits: rows in the record, delta trees
//!                      │ Appender             │ publish
//!                      ▼                      ▼                           bulk: encoded to segments/ first, the record
//!                  segments/ ◄── flush ─── Version ─► Layout ─► blocks    names the files
//!                      │           │          ▲
//!                    frames     manifest      └── Engine::snapshot ─► Snapshot::scan ─► ScanReader ─► RecordBatch
//! ```
//!
//! - A [`Snapshot`] pins an immutable version of the whole database: readers take no lock and see no half commit.
//! - A [`Transaction`] buffers its writes and sees them on top of its snapshot. Dropping it rolls back.
//! - One thread, the *line*, validates, logs, publishes and acknowledges commits, in groups that share a sync.
//! - Rows in memory are flushed to segment files in the background; then the manifest moves on and the log is cut.
//! - Opening a directory replays the log above what the manifest reflects.
//!
//! What must always hold: an acknowledged commit survives any crash; a snapshot never changes under its reader; every queue
//! and buffer has a bound; bytes from the disk are checked before they are believed. `docs/storage.md` has the argument.

// Names of things, what can go wrong, the memory budget.
mod error;
mod ids;
pub mod budget;

// What is read without locks while it changes.
mod epoch;
#[cfg_attr(not(test), expect(dead_code, reason = "ordered scans and bulk building are for the key-value API"))]
mod btree;
mod mvcc;

// Encoded columns, and scans over them.
mod predicate;
mod batch_bytes;
pub mod codec;
mod frames;
mod segment;
mod scan;

// Keys as bytes, and tables in step with tables.
#[cfg_attr(not(test), expect(dead_code, reason = "secondary indexes come on top of it"))]
mod key;
mod index;

// Who writes first, and what was written last.
mod lookup;
mod locks;
mod recent;

// Tables, the log and the manifest.
mod row;
mod partition;
mod touched;
mod table;
mod wal;
mod manifest;

// What a layout is made of.
mod context;
mod dead;
mod deletes;
mod delta;
mod mem;
mod sort;
mod stored;
mod statistics;

// The database at one moment, and changes of it.
mod rewrite;
mod runs;
mod layout;
mod version;
mod writes;
mod record;
mod reads;
mod overlaps;
mod snapshot;
mod changes;
mod moves;

// What makes changes.
mod encoders;
mod bulk;
mod backlog;
mod line;
mod seal;
mod flush;
mod recovery;
mod verify;

// The face.
mod engine;
mod locking;
mod transaction;

pub use changes::Changes;
pub use engine::{Engine, Options};
pub use error::{Error, ErrorKind, Result, Waiting};
pub use frames::{FrameCounters, Frames};
pub use ids::{Lsn, SegmentId, TableId, Timestamp};
pub use index::IndexOf;
pub use line::WalStatus;
pub use locking::{IfLocked, Locking};
pub use locks::{KeyMode, LockInfo, LockMode, LockOwner, TableMode, Waker};
pub use lookup::KeyRows;
pub use moves::Moves;
pub use overlaps::Overlap;
pub use partition::{PartitionBy, PartitionWidth};
pub use predicate::{CompareOp, DynamicConditions, DynamicFilter, Predicate, RowFilter};
pub use scan::{Scan, ScanMetrics, ScanReader, ScanSpec};
pub use segment::BLOCK_ROWS_MAX;
pub use snapshot::{BlockInfo, SegmentRange, Snapshot};
pub use statistics::{ColumnStatistics, TableStatistics};
pub use table::{TableDefinition, TableInfo};
pub use transaction::{Appender, Savepoint, Submission, Transaction};
pub use verify::VerifyReport;
