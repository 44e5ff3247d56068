//! The log: what makes a commit durable before anything else of it is.
//!
//! One thread, the line, owns a [`Wal`]. A commit's journey:
//! 1. the line collects the records of the transactions waiting and calls [`Wal::append_group`]: each record becomes a
//!    frame with the next LSN, the frames one group, the group one write to the current file;
//! 2. [`Wal::sync`] makes the group durable with one sync; only now may the commits be published;
//! 3. when nothing is going on, [`Wal::write_proof`] adds a frame that proves the last group was synced;
//! 4. when all records up to some LSN are in segments, and the manifest says so, [`Wal::truncate_before`] deletes the
//!    files that hold nothing else.
//!
//! Files are `NNNNNNNN.wal`, 64 MiB each; the map of their bytes is in `frame.rs`. A group never spans two files: one
//! that does not fit begins the next file, and a group larger than a file gets one of its own. Before a next file is
//! made the current one is synced, so the header of a file proves that all before it was durable.
//!
//! # Torn or damaged
//!
//! After a crash the last group may be there in part. After a fault of the disk, any byte may be wrong. Both show as a
//! frame that does not verify, and they must not be confused: cutting off a torn group is right, cutting off
//! acknowledged commits is the worst a database can do. A frame at LSN `L` that fails is *damaged* if anything proves
//! that it had been synced: a later frame whose durable LSN is at least `L`, a later file (its header says where it
//! begins), or the manifest (its durable LSN, and how far tables were flushed). Then [`Wal::recover`] fails with
//! `Corrupt`, naming file and offset, and changes nothing. Otherwise it is a *torn tail*: cut off and reported in
//! [`RecoveryReport::discarded`].
//!
//! ```text
//! 00000001.wal  [header first=1][1 2 3][4 5]            followed by 00000002: everything in here was durable
//! 00000002.wal  [header first=6][6 7][8 durable=7][9 x  frame 10 torn: 8 proves 6 and 7, nothing proves 9 or 10
//! 00000003.wal  [header first=10] ...                    made by recovery, with a salt of its own
//! ```
//!
//! What must always hold:
//! - LSNs are consecutive, from 1; a proof frame takes one, too;
//! - recovery syncs what it found before it returns: what it showed cannot be lost by the next crash;
//! - recovery never appends behind a tail it did not see end in zeros: it goes on in a new file with a new salt, so
//!   that remains of the tail can never continue the chain;
//! - after a failed sync nothing is written any more: the outcome of what was written is unknown.

mod frame;
mod file;
mod directory;
mod log;
mod inspect;
#[cfg(test)]
mod tests;

pub(crate) use directory::Record;
pub(crate) use file::{AppendFailure, FrameFile, FrameWriter, FramesEnd, Opened, Tail, corrupt, read_frames};
pub(crate) use frame::{FileHeader, FileKind, Frame, FrameKind, PAYLOAD_BYTES_MAX};
pub(crate) use inspect::inspect;
pub(crate) use log::{RecordRef, RecoveryReport, Wal, fresh_salt};
