//! The manifest: which tables and segments exist, and how far the log has been turned into segments.
//!
//! The state ([`ManifestState`]) is never written over. A file `manifest-NNNNNN` begins with one frame of edits that
//! build the state as it was when the file was made, and grows by one frame per [`Manifest::append`]: all edits of a
//! frame take effect, or none. When a file has grown well beyond its state, a new one is begun. The file `CURRENT`
//! names the one that counts; it is replaced by writing `CURRENT.tmp`, syncing it, renaming it and syncing the
//! directory.
//!
//! Files are made of the log's frames (`wal/frame.rs` has the map of the bytes), with edits counted where the log has
//! LSNs, so the same rule tells a torn last frame, which is dropped, from damage, which is an error. To have something
//! that proves the last edit, a proof frame is written behind each, without waiting for it to be durable.
//!
//! ```text
//! CURRENT          "lightning manifest-000002 7f82ba71\n": the name and the CRC-32 of what precedes it, in hex
//! manifest-000002  [header][1: whole state][2: proof of 1][3: edits][4: proof of 3] ...
//! ```
//!
//! What must always hold:
//! - when [`Manifest::append`] returns, its edits are durable; when it fails, they are not in the manifest, unless
//!   the failure was a sync: then nothing is appended any more;
//! - nothing in here is above the log's durable LSN: the engine appends a checkpoint only after the log's sync;
//! - segments are on disk, and their directory synced, before an edit names them; files go after the edit that
//!   removes them.

mod current;
mod edit;
mod state;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use edit::{ManifestEdit, SegmentRecord};
pub(crate) use state::{ManifestState, TableState};
pub(crate) use store::{Manifest, inspect};
