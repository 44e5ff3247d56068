//! The real file system.
//!
//! Positioned reads and writes go straight to the system; `sync` is `fdatasync`, which includes the length when it
//! changed. The lock is `flock` on a file that holds the owner's process id: the system releases it however the
//! process ends, and every descriptor is opened close-on-exec, so no child inherits it.
#![expect(unsafe_code, reason = "mapping a file and statvfs have no safe interface in the standard library")]

use crate::{File, Lock, Mapping, OpenMode, Vfs};
use std::ffi::CString;
use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file system of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealVfs;

impl RealVfs {
    /// The real file system behind the trait.
    pub fn shared() -> Arc<dyn Vfs> {
        Arc::new(RealVfs)
    }
}

impl Vfs for RealVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::ReadWrite => options.write(true),
            OpenMode::CreateNew => options.write(true).create_new(true),
            OpenMode::OpenOrCreate => options.write(true).create(true).truncate(false),
        };
        let file = options.open(path)?;
        // Opening a directory for reading succeeds on Unix; nothing above wants one.
        if file.metadata()?.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        Ok(Arc::new(RealFile { file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(nonempty(dir))?.sync_all()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(nonempty(dir))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                paths.push(dir.join(entry.file_name()));
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = dir.ancestors().take_while(|d| !nonempty(d).is_dir()).collect();
        fs::create_dir_all(nonempty(dir))?;
        for created in missing.iter().rev() {
            if let Some(parent) = created.parent() {
                self.sync_dir(parent)?;
            }
        }
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let path = CString::new(nonempty(dir).as_os_str().as_bytes()).map_err(|_| ErrorKind::InvalidInput)?;
        let mut stat = MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: `path` is a NUL-terminated string and `stat` has room for what statvfs writes.
        if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: statvfs returned 0, so it filled all of `stat`.
        let stat = unsafe { stat.assume_init() };
        // The fields' widths differ between systems.
        let bytes = stat.f_bavail as u128 * stat.f_frsize as u128;
        Ok(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(e)) => return Err(e),
        }
        let holder = format!("{}\n", std::process::id());
        file.set_len(0)?;
        file.write_all_at(holder.as_bytes(), 0)?;
        Ok(Box::new(RealLock { _file: file }))
    }
}

/// The empty path means the current directory, as it does when joined.
fn nonempty(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

/// Closing the descriptor releases the lock.
#[derive(Debug)]
struct RealLock {
    _file: fs::File,
}

impl Lock for RealLock {}

#[derive(Debug)]
struct RealFile {
    file: fs::File,
}

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn map(&self, offset: u64, len: usize) -> io::Result<Box<dyn Mapping>> {
        let end = offset.checked_add(len as u64).ok_or(ErrorKind::InvalidInput)?;
        if end > self.len()? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if len == 0 {
            return Ok(Box::new(RealMapping { map: None }));
        }
        // SAFETY: the trait hands out mappings only of files that nobody changes or cuts while they are mapped:
        // those of the RAM-backed tier, which the storage layer fills before it maps them.
        let map = unsafe { memmap2::MmapOptions::new().offset(offset).len(len).map(&self.file) }?;
        Ok(Box::new(RealMapping { map: Some(map) }))
    }
}

/// `None` is the empty mapping, which the system refuses to make.
#[derive(Debug)]
struct RealMapping {
    map: Option<memmap2::Mmap>,
}

impl Mapping for RealMapping {
    fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_excludes_a_second_holder_and_ends_with_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let held = RealVfs.lock(&path).unwrap();
        assert_eq!(RealVfs.lock(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(held);
        RealVfs.lock(&path).unwrap();
    }

    #[test]
    fn free_space_is_known_and_missing_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(RealVfs.free_space(dir.path()).unwrap() > 0);
        assert!(RealVfs.free_space(&dir.path().join("none")).is_err());
    }

    #[test]
    fn create_new_refuses_an_existing_file_and_directories_do_not_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        RealVfs.open(&path, OpenMode::CreateNew).unwrap();
        assert_eq!(RealVfs.open(&path, OpenMode::CreateNew).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert!(RealVfs.open(dir.path(), OpenMode::Read).is_err());
    }

    #[test]
    fn mapping_shows_the_bytes_and_never_reaches_past_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealVfs.open(&dir.path().join("a"), OpenMode::CreateNew).unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        assert_eq!(file.map(0, 10).unwrap().bytes(), b"0123456789");
        assert_eq!(file.map(3, 4).unwrap().bytes(), b"3456");
        assert_eq!(file.map(3, 0).unwrap().bytes(), b"");
        assert_eq!(file.map(5, 6).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn nested_directories_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        RealVfs.create_dir_all(&deep).unwrap();
        RealVfs.create_dir_all(&deep).unwrap();
        RealVfs.sync_dir(&deep).unwrap();
        assert!(RealVfs.list(&deep).unwrap().is_empty());
        assert!(RealVfs.list(dir.path()).unwrap().is_empty(), "directories are not files");
    }
}
