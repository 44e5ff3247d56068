//! Compiled modules on disk, so that a restart does not compile again.
//!
//! One file a module, `<sha256 of the module>-<what it was compiled for>[m|c][f].cwasm` (of a module or a component, with fuel counted or
//! not), all integers little-endian:
//!
//! ```text
//! offset  bytes  what
//!      0      8  "LTNGWASM"
//!      8      4  version of this layout, 1
//!     12     32  SHA-256 of the payload
//!     44      *  payload: wasmtime's serialised module or component
//! ```
//!
//! Running a compiled module is running machine code, so a payload is only ever given out when its checksum is right.
//! What is wrong, from another version or torn by a crash is deleted and made anew: the cache holds nothing that cannot
//! be had again, and so failing to write it is only counted.

use crate::binary::sha256;
use lightning_vfs::{OpenMode, Vfs};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

const MAGIC: &[u8; 8] = b"LTNGWASM";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 44;

/// Longest file that is read: code is some times larger than the module it is made of.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Hexadecimal digits of what a module was compiled for, in the name of its file.
const COMPILER_DIGITS: usize = 16;

/// A directory of compiled modules.
pub(crate) struct DiskCache {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    sweep: Once,
    next_temporary: AtomicU64,
    failures: AtomicU64,
}

impl DiskCache {
    pub(crate) fn new(vfs: Arc<dyn Vfs>, dir: PathBuf) -> DiskCache {
        DiskCache { vfs, dir, sweep: Once::new(), next_temporary: AtomicU64::new(0), failures: AtomicU64::new(0) }
    }

    /// The payload stored under `name`; what is not intact is deleted.
    pub(crate) fn load(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.dir.join(name);
        let bytes = match self.read(&path) {
            Ok(bytes) => bytes?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => {
                self.count_failure();
                return None;
            }
        };
        let payload = decode(bytes);
        if payload.is_none() {
            self.discard(name);
        }
        payload
    }

    /// Stores `payload` under `name`; on failure it is not stored.
    pub(crate) fn store(&self, name: &str, payload: &[u8]) {
        if self.write(name, payload).is_err() {
            self.count_failure();
        }
    }

    /// Deletes what is stored under `name`.
    pub(crate) fn discard(&self, name: &str) {
        if self.vfs.remove(&self.dir.join(name)).is_err() {
            self.count_failure();
        }
    }

    /// Reads and writes that failed so far.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        if !self.vfs.exists(path)? {
            return Ok(None);
        }
        let file = self.vfs.open(path, OpenMode::Read)?;
        let len = file.len()?;
        if len > FILE_BYTES_MAX {
            return Ok(Some(Vec::new()));
        }
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(Some(bytes))
    }

    /// Removes what a crash left half-written; nobody else writes here.
    fn remove_temporary_files(&self) {
        for path in self.vfs.list(&self.dir).unwrap_or_default() {
            if path.extension().is_some_and(|extension| extension == "tmp") && self.vfs.remove(&path).is_err() {
                self.count_failure();
            }
        }
    }

    /// Deletes what is stored for modules that are not wanted, by their hashes.
    pub(crate) fn retain(&self, is_wanted: &dyn Fn(&str) -> bool) {
        self.delete(|name| name.split_once('-').is_some_and(|(hash, _)| !is_wanted(hash)));
    }

    /// Deletes what an older compiler made of the module that is stored under `name` now.
    fn remove_older(&self, name: &str) {
        let parts = |name: &str| {
            let (hash, rest) = name.split_once('-')?;
            Some((hash.to_owned(), rest.get(COMPILER_DIGITS..)?.to_owned()))
        };
        let stored = parts(name);
        self.delete(|other| other != name && parts(other) == stored);
    }

    fn delete(&self, is_meant: impl Fn(&str) -> bool) {
        let is_exact = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "cwasm");
        for path in self.vfs.list(&self.dir).unwrap_or_default().into_iter().filter(is_exact) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if is_meant(name) && self.vfs.remove(&path).is_err() {
                self.count_failure();
            }
        }
    }

    /// Under a temporary name first: a crash leaves the old file, the new one, or none.
    fn write(&self, name: &str, payload: &[u8]) -> io::Result<()> {
        self.vfs.create_dir_all(&self.dir)?;
        self.sweep.call_once(|| self.remove_temporary_files());
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!("{name}.{}-{number}.tmp", std::process::id()));
        let written = (|| {
            let file = self.vfs.open(&temporary, OpenMode::OpenOrCreate)?;
            file.set_len(0)?;
            file.write_all_at(&encode(payload), 0)?;
            file.sync()?;
            self.vfs.rename(&temporary, &self.dir.join(name))
        })();
        if written.is_err() {
            let _ = self.vfs.remove(&temporary);
        }
        written?;
        self.remove_older(name);
        self.vfs.sync_dir(&self.dir)
    }
}

impl fmt::Debug for DiskCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskCache").field("dir", &self.dir).field("failures", &self.failures()).finish_non_exhaustive()
    }
}

fn encode(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&sha256(payload));
    bytes.extend_from_slice(payload);
    bytes
}

fn decode(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let header = bytes.get(..HEADER_BYTES)?;
    let is_intact = header.starts_with(MAGIC)
        && header[8..12] == VERSION.to_le_bytes()
        && header[12..HEADER_BYTES] == sha256(&bytes[HEADER_BYTES..]);
    if !is_intact {
        return None;
    }
    bytes.drain(..HEADER_BYTES);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_file_stay_as_they_are() {
        let bytes = encode(b"code");
        assert_eq!(&bytes[..12], b"LTNGWASM\x01\0\0\0");
        assert_eq!(crate::binary::hash(b"code").len(), 64);
        assert_eq!(bytes[12..44], sha256(b"code"));
        assert_eq!(&bytes[44..], b"code");
        assert_eq!(decode(bytes).unwrap(), b"code");
    }

    #[test]
    fn files_go_with_their_modules_and_compilers() {
        let vfs: Arc<dyn Vfs> = Arc::new(lightning_vfs::MemoryVfs::new());
        let cache = DiskCache::new(Arc::clone(&vfs), PathBuf::from("/cache"));
        let (old, new) = ("aa-0000000000000001.cwasm", "aa-0000000000000002.cwasm");
        let (metered, other) = ("aa-0000000000000001m.cwasm", "bb-0000000000000001.cwasm");
        for name in [old, metered, other, new] {
            cache.store(name, b"code");
        }
        assert!(cache.load(old).is_none());
        assert!([metered, other, new].iter().all(|name| cache.load(name).is_some()));
        cache.retain(&|hash| hash == "bb");
        assert!([metered, new].iter().all(|name| cache.load(name).is_none()));
        assert!(cache.load(other).is_some());
        assert_eq!(cache.failures(), 0);
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed() {
        let bytes = encode(b"some code");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(flipped).is_none(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(decode(bytes[..len].to_vec()).is_none(), "{len} bytes");
        }
    }
}
