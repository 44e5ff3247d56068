//! A whole file system in memory, for databases without a directory.
//!
//! A file is a list of chunks of 1 MiB behind one read-mostly lock: appending never moves earlier chunks, and a hole
//! costs nothing, since bytes a chunk lacks read as zeros. Names map to files as on Unix: a removed or replaced file
//! lives on while somebody has it open.

use crate::{File, Lock, Mapping, OpenMode, Vfs};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a full chunk.
const CHUNK_BYTES: usize = 1 << 20;

/// Files that live as long as the value; clones share them.
#[derive(Clone, Debug)]
pub struct MemoryVfs {
    names: Arc<RwLock<Names>>,
    locked: Arc<Mutex<BTreeSet<PathBuf>>>,
    capacity_bytes: u64,
}

#[derive(Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, Arc<MemoryFile>>,
    directories: BTreeSet<PathBuf>,
}

impl Default for MemoryVfs {
    fn default() -> Self {
        MemoryVfs::new()
    }
}

impl MemoryVfs {
    /// An empty file system; `free_space` is unlimited.
    pub fn new() -> Self {
        MemoryVfs { names: Arc::default(), locked: Arc::default(), capacity_bytes: u64::MAX }
    }

    /// An empty file system behind the trait.
    pub fn shared() -> Arc<dyn Vfs> {
        Arc::new(MemoryVfs::new())
    }

    /// Bytes held by all named files, holes not counted.
    pub fn bytes(&self) -> u64 {
        self.names.read().files.values().map(|f| f.content.read().allocated_bytes()).sum()
    }
}

impl Names {
    fn has_directory(&self, dir: &Path) -> bool {
        is_root(dir) || self.directories.contains(dir)
    }

    fn parent_exists(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if self.has_directory(parent) => Ok(()),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }
}

/// `.` and doubled slashes fall away, so that one file has one name.
pub(crate) fn normal(path: &Path) -> PathBuf {
    path.components().filter(|c| *c != std::path::Component::CurDir).collect()
}

/// Directories that always exist: the file system's root and the current directory.
pub(crate) fn is_root(dir: &Path) -> bool {
    dir.parent().is_none()
}

impl Vfs for MemoryVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let path = normal(path);
        if let OpenMode::Read | OpenMode::ReadWrite = mode {
            return match self.names.read().files.get(&path) {
                Some(file) => Ok(file.clone()),
                None => Err(ErrorKind::NotFound.into()),
            };
        }
        let mut names = self.names.write();
        names.parent_exists(&path)?;
        if names.has_directory(&path) {
            return Err(ErrorKind::IsADirectory.into());
        }
        match names.files.get(&path) {
            Some(_) if mode == OpenMode::CreateNew => Err(ErrorKind::AlreadyExists.into()),
            Some(file) => Ok(file.clone()),
            None => {
                let file = Arc::new(MemoryFile::default());
                names.files.insert(path, file.clone());
                Ok(file)
            }
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (normal(from), normal(to));
        let mut names = self.names.write();
        if !names.files.contains_key(&from) {
            return Err(ErrorKind::NotFound.into());
        }
        names.parent_exists(&to)?;
        if names.has_directory(&to) {
            return Err(ErrorKind::IsADirectory.into());
        }
        if let Some(file) = names.files.remove(&from) {
            names.files.insert(to, file);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match self.names.write().files.remove(&normal(path)) {
            Some(_) => Ok(()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.names.read().has_directory(&normal(dir)) { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let wanted = normal(dir);
        let names = self.names.read();
        if !names.has_directory(&wanted) {
            return Err(ErrorKind::NotFound.into());
        }
        let inside = names.files.keys().filter(|path| path.parent() == Some(wanted.as_path()));
        Ok(inside.filter_map(|path| path.file_name()).map(|name| dir.join(name)).collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let dir = normal(dir);
        let mut names = self.names.write();
        if dir.ancestors().any(|d| names.files.contains_key(d)) {
            return Err(ErrorKind::NotADirectory.into());
        }
        names.directories.extend(dir.ancestors().filter(|d| !is_root(d)).map(Path::to_path_buf));
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let path = normal(path);
        let names = self.names.read();
        Ok(names.files.contains_key(&path) || names.has_directory(&path))
    }

    fn free_space(&self, _dir: &Path) -> io::Result<u64> {
        Ok(self.capacity_bytes)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let path = normal(path);
        self.open(&path, OpenMode::OpenOrCreate)?;
        if !self.locked.lock().insert(path.clone()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(HeldLock::new(self.locked.clone(), path)))
    }
}

/// A path in a set of locked ones, taken out on drop.
#[derive(Debug)]
pub(crate) struct HeldLock {
    locked: Arc<Mutex<BTreeSet<PathBuf>>>,
    path: PathBuf,
}

impl HeldLock {
    pub(crate) fn new(locked: Arc<Mutex<BTreeSet<PathBuf>>>, path: PathBuf) -> Self {
        HeldLock { locked, path }
    }
}

impl Lock for HeldLock {}

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.locked.lock().remove(&self.path);
    }
}

#[derive(Debug, Default)]
struct MemoryFile {
    content: RwLock<Chunks>,
}

impl File for MemoryFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.content.read().read(buf, offset))
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= i64::MAX as u64);
        if end.is_none() {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.content.write().write(buf, offset);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.read().len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > i64::MAX as u64 {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.content.write().set_len(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, offset: u64, len: usize) -> io::Result<Box<dyn Mapping>> {
        let end = offset.checked_add(len as u64).ok_or(ErrorKind::InvalidInput)?;
        if end > self.len()? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; len];
        self.read_exact_at(&mut bytes, offset)?;
        Ok(Box::new(CopiedMapping { bytes }))
    }
}

/// A mapping of a file that has no contiguous bytes to lend: a copy.
#[derive(Debug)]
pub(crate) struct CopiedMapping {
    pub(crate) bytes: Vec<u8>,
}

impl Mapping for CopiedMapping {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A file's bytes. A chunk may be shorter than its place: the rest, up to `len`, reads as zeros.
/// Bytes at or beyond `len` are never kept.
#[derive(Debug, Default)]
struct Chunks {
    chunks: Vec<Vec<u8>>,
    len: u64,
}

impl Chunks {
    fn allocated_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.capacity() as u64).sum()
    }

    fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let available = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut done = 0;
        while done < available {
            let (index, start) = place(offset + done as u64);
            let part = (CHUNK_BYTES - start).min(available - done);
            let chunk = self.chunks.get(index).map_or(&[][..], |chunk| chunk.get(start..).unwrap_or(&[]));
            let held = chunk.len().min(part);
            buf[done..done + held].copy_from_slice(&chunk[..held]);
            buf[done + held..done + part].fill(0);
            done += part;
        }
        available
    }

    fn write(&mut self, mut buf: &[u8], mut offset: u64) {
        self.len = self.len.max(offset + buf.len() as u64);
        while !buf.is_empty() {
            let (index, start) = place(offset);
            if self.chunks.len() <= index {
                self.chunks.resize_with(index + 1, Vec::new);
            }
            let (part, rest) = buf.split_at(buf.len().min(CHUNK_BYTES - start));
            write_into(&mut self.chunks[index], part, start);
            offset += part.len() as u64;
            buf = rest;
        }
    }

    fn set_len(&mut self, len: u64) {
        let (index, start) = place(len);
        self.chunks.truncate(index + usize::from(start > 0));
        if let Some(chunk) = self.chunks.get_mut(index) {
            chunk.truncate(start);
        }
        self.len = len;
    }
}

/// Chunk and offset in it of a byte.
fn place(offset: u64) -> (usize, usize) {
    ((offset / CHUNK_BYTES as u64) as usize, (offset % CHUNK_BYTES as u64) as usize)
}

fn write_into(chunk: &mut Vec<u8>, part: &[u8], start: usize) {
    let end = start + part.len();
    if end > chunk.capacity() {
        // Doubling, but never past a full chunk.
        let wanted = end.max((2 * chunk.capacity()).min(CHUNK_BYTES));
        chunk.reserve_exact(wanted - chunk.len());
    }
    if chunk.len() == start {
        chunk.extend_from_slice(part);
        return;
    }
    if chunk.len() < end {
        chunk.resize(end, 0);
    }
    chunk[start..end].copy_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (MemoryVfs, Arc<dyn File>) {
        let vfs = MemoryVfs::new();
        let file = vfs.open(Path::new("a"), OpenMode::CreateNew).unwrap();
        (vfs, file)
    }

    #[test]
    fn holes_read_as_zeros_and_cost_nothing() {
        let (vfs, file) = file();
        file.write_all_at(b"end", 10 << 30).unwrap();
        assert_eq!(file.len().unwrap(), (10 << 30) + 3);
        assert!(vfs.bytes() < 4096);
        let mut buf = [7; 16];
        file.read_exact_at(&mut buf, (10 << 30) - 13).unwrap();
        assert_eq!(&buf, b"\0\0\0\0\0\0\0\0\0\0\0\0\0end");
    }

    #[test]
    fn cut_bytes_do_not_come_back() {
        let (_, file) = file();
        file.write_all_at(&[1; 3000], CHUNK_BYTES as u64 - 1000).unwrap();
        file.set_len(CHUNK_BYTES as u64 - 500).unwrap();
        file.set_len(CHUNK_BYTES as u64 + 2000).unwrap();
        let mut buf = vec![9; 3000];
        file.read_exact_at(&mut buf, CHUNK_BYTES as u64 - 1000).unwrap();
        assert!(buf[..500].iter().all(|b| *b == 1) && buf[500..].iter().all(|b| *b == 0));
    }

    #[test]
    fn removed_file_lives_while_it_is_open() {
        let (vfs, file) = file();
        file.write_all_at(b"x", 0).unwrap();
        vfs.remove(Path::new("a")).unwrap();
        assert!(!vfs.exists(Path::new("a")).unwrap());
        assert_eq!(file.len().unwrap(), 1);
        assert_eq!(vfs.open(Path::new("a"), OpenMode::Read).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn lock_is_exclusive_until_dropped() {
        let (vfs, _) = file();
        let held = vfs.lock(Path::new("LOCK")).unwrap();
        assert_eq!(vfs.clone().lock(Path::new("./LOCK")).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(held);
        vfs.lock(Path::new("LOCK")).unwrap();
    }
}
