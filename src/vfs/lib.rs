//! Files, as the database sees them.
//!
//! Everything above this crate reads and writes through [`Vfs`] and [`File`]: the real file system
//! ([`RealVfs`]), a file system in memory ([`MemoryVfs`]) and a fault-injecting one ([`FaultyVfs`])
//! that loses, tears and flips exactly the bytes a crash or a bad disk would.
//!
//! What must always hold:
//! - a byte is durable only after `File::sync` returned, a name only after `Vfs::sync_dir` did; a directory made
//!   by `Vfs::create_dir_all` is durable when the call returns;
//! - a failed `File::sync` is final: what was written since the last good one may never reach the disk, and
//!   syncing again does not help (the kernel marks the pages clean, ATC'20);
//! - positioned reads and writes never move a shared cursor, so a `File` may be shared by threads;
//! - a full disk is `ErrorKind::StorageFull` everywhere.

mod real;
mod memory;
mod faulty;

#[cfg(test)]
mod tests;

pub use faulty::{Fault, FaultyVfs, OperationKind};
pub use memory::MemoryVfs;
pub use real::RealVfs;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How [`Vfs::open`] opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Reading only; the file must exist.
    Read,
    /// Reading and writing; the file must exist.
    ReadWrite,
    /// Reading and writing; the file must not exist yet.
    CreateNew,
    /// Reading and writing; created when missing, kept when present.
    OpenOrCreate,
}

/// An exclusive lock on a path, released on drop (and by the system when the process dies).
pub trait Lock: Send + Sync + Debug {}

/// A mapped, read-only region of a file.
pub trait Mapping: Send + Sync + Debug {
    /// The mapped bytes.
    fn bytes(&self) -> &[u8];
}

/// An open file with positioned reads and writes.
pub trait File: Send + Sync + Debug {
    /// Reads up to `buf.len()` bytes at `offset`; 0 means end of file. May return fewer.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `buf` at `offset`, extending the file as needed.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// True when the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts or extends (with zeros) to `len` bytes.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Returns once all bytes written so far, and the length, are durable.
    fn sync(&self) -> io::Result<()>;
    /// Maps `len` bytes at `offset` for reading.
    fn map(&self, offset: u64, len: usize) -> io::Result<Box<dyn Mapping>>;

    /// Fills `buf` from `offset`; `UnexpectedEof` when the file ends before that.
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// A file system.
pub trait Vfs: Send + Sync + Debug {
    /// Opens `path`.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Renames `from` to `to`, replacing `to`. Durable after `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Durable after `sync_dir`.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Paths of the files directly in `dir`, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Creates `dir` and its missing parents, durably.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Whether `path` exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Bytes that can still be written under `dir`.
    fn free_space(&self, dir: &Path) -> io::Result<u64>;
    /// Takes the exclusive lock file at `path`; `WouldBlock` when another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
}
