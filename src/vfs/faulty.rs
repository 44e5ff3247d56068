//! A disk that fails on purpose, for tests.
//!
//! It keeps, beside what a running process sees, what the platters hold: bytes become durable when `File::sync`
//! returns, names when `Vfs::sync_dir` does. [`FaultyVfs::crash`] pulls the plug and yields the file system found
//! afterwards: of everything not synced, the seed decides what survived, sector by sector of 512 bytes and name by
//! name, in any order. On demand an operation fails, a disk fills up, a bit flips, reads come back short.
//!
//! A crash test counts the operations of one run ([`FaultyVfs::operations`]), then repeats the run once per operation
//! with [`FaultyVfs::halt_at`], and looks at what [`FaultyVfs::crash`] leaves each time.
//!
//! What must always hold: the same seed and the same operations give the same bytes. A sync that fails drops what it
//! should have written (a later sync does not bring it back), while readers go on seeing it, as under Linux.

use crate::memory::{CopiedMapping, HeldLock, is_root, normal};
use crate::{File, Lock, Mapping, OpenMode, Vfs};
use fastrand::Rng;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The unit a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What an operation does, to say which one shall fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// Opening an existing file.
    Open,
    /// Making a file.
    Create,
    /// Reading or mapping bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Changing a length.
    SetLen,
    /// Making a file's bytes durable.
    Sync,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Making a directory's names durable.
    SyncDir,
    /// Making a directory.
    CreateDir,
    /// Listing a directory.
    List,
}

impl OperationKind {
    /// Whether it changes the disk; only these are counted.
    fn changes_disk(self) -> bool {
        !matches!(self, OperationKind::Open | OperationKind::Read | OperationKind::List)
    }
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device reports an error. A write leaves part of its bytes, a sync loses what it should have written.
    Io,
    /// The disk is full. A write leaves part of its bytes.
    NoSpace,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Fault::Io => io::Error::other("injected input/output error"),
            Fault::NoSpace => ErrorKind::StorageFull.into(),
        }
    }
}

/// A fault-injecting file system in memory; clones share it.
#[derive(Clone, Debug)]
pub struct FaultyVfs {
    disk: Arc<Mutex<Disk>>,
    locked: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl FaultyVfs {
    /// An empty disk whose chances follow from `seed`.
    pub fn new(seed: u64) -> Self {
        let disk = Disk {
            rng: Rng::with_seed(seed),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            directories: BTreeSet::new(),
            operations: 0,
            halt_at: None,
            halted: false,
            failures: Vec::new(),
            capacity_bytes: None,
            short_reads: false,
        };
        FaultyVfs { disk: Arc::new(Mutex::new(disk)), locked: Arc::default() }
    }

    /// The disk behind the trait.
    pub fn shared(&self) -> Arc<dyn Vfs> {
        Arc::new(self.clone())
    }

    /// Operations so far that change the disk: create, write, set length, sync, rename, remove, sync directory.
    pub fn operations(&self) -> u64 {
        self.disk.lock().operations
    }

    /// The power goes during the changing operation number `operation` (the first is 1): it may have reached the
    /// cache, it never succeeds, and everything after it fails. Look at what is left with [`FaultyVfs::crash`].
    pub fn halt_at(&self, operation: u64) {
        self.disk.lock().halt_at = Some(operation);
    }

    /// Whether [`FaultyVfs::halt_at`]'s operation was reached.
    pub fn halted(&self) -> bool {
        self.disk.lock().halted
    }

    /// Pulls the plug: the file system as found afterwards, chances drawn from this disk's seed. This disk stays as
    /// it was, so several outcomes of one moment can be looked at.
    pub fn crash(&self) -> FaultyVfs {
        let seed = self.disk.lock().rng.u64(..);
        self.crash_with(seed)
    }

    /// [`FaultyVfs::crash`] with chances of its own.
    pub fn crash_with(&self, seed: u64) -> FaultyVfs {
        let survivor = FaultyVfs::new(seed);
        {
            let disk = self.disk.lock();
            let mut after = survivor.disk.lock();
            let mut rng = Rng::with_seed(seed);
            after.directories = disk.directories.clone();
            after.durable_names = disk.names_after_crash(&mut rng);
            let survival = Survival::pick(&mut rng);
            after.inodes = disk.inodes.iter().map(|inode| inode.after_crash(survival, &mut rng)).collect();
            after.names = after.durable_names.clone();
            after.capacity_bytes = disk.capacity_bytes;
        }
        survivor
    }

    /// Lets the `nth` operation of `kind` from now on (1: the next) fail with `fault`, once.
    pub fn fail(&self, kind: OperationKind, nth: u64, fault: Fault) {
        self.disk.lock().failures.push(Failure { kind, remaining: nth.max(1), fault });
    }

    /// Forgets failures that have not happened yet.
    pub fn heal(&self) {
        self.disk.lock().failures.clear();
    }

    /// Bytes all files together may have; `None` for no limit.
    pub fn set_capacity(&self, capacity_bytes: Option<u64>) {
        self.disk.lock().capacity_bytes = capacity_bytes;
    }

    /// Bytes all files have now.
    pub fn used_bytes(&self) -> u64 {
        self.disk.lock().used_bytes()
    }

    /// Whether reads return fewer bytes than asked for, at random (at least one).
    pub fn set_short_reads(&self, short: bool) {
        self.disk.lock().short_reads = short;
    }

    /// Flips bit `bit` (0 to 7) of the byte at `offset`, on the disk and for readers. Panics when there is no such byte.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u32) {
        let mut disk = self.disk.lock();
        let id = *disk.names.get(&normal(path)).expect("the file exists");
        let inode = &mut disk.inodes[id];
        let at = offset as usize;
        inode.live[at] ^= 1 << (bit % 8);
        if let Some(byte) = inode.durable.get_mut(at) {
            *byte ^= 1 << (bit % 8);
        }
    }

    /// Flips a random bit of a file that has bytes; where it was.
    pub fn flip_random_bit(&self, path: &Path) -> u64 {
        let (offset, bit) = {
            let mut disk = self.disk.lock();
            let id = *disk.names.get(&normal(path)).expect("the file exists");
            let len = disk.inodes[id].live.len() as u64;
            (disk.rng.u64(..len), disk.rng.u32(..8))
        };
        self.flip_bit(path, offset, bit);
        offset
    }

    /// All named files, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        self.disk.lock().names.keys().cloned().collect()
    }

    /// A copy of a file's bytes as readers see them; empty when there is none.
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        let disk = self.disk.lock();
        disk.names.get(&normal(path)).map(|id| disk.inodes[*id].live.clone()).unwrap_or_default()
    }
}

#[derive(Debug)]
struct Failure {
    kind: OperationKind,
    remaining: u64,
    fault: Fault,
}

/// What an operation meets: nothing, a fault to produce, the end of power, or none left.
enum Fate {
    Works,
    Fails(Fault),
    /// The power goes while it is under way.
    PowerLost,
    /// The power is gone.
    Dead,
}

fn power_lost() -> io::Error {
    io::Error::other("power lost")
}

#[derive(Debug)]
struct Disk {
    rng: Rng,
    /// Files by number; a file without a name stays, somebody may have it open.
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since their directory was synced, in order.
    pending_names: Vec<NameChange>,
    directories: BTreeSet<PathBuf>,
    operations: u64,
    halt_at: Option<u64>,
    halted: bool,
    failures: Vec<Failure>,
    capacity_bytes: Option<u64>,
    short_reads: bool,
}

#[derive(Clone, Debug)]
enum NameChange {
    Create { path: PathBuf, inode: usize },
    Rename { from: PathBuf, to: PathBuf, inode: usize },
    Remove { path: PathBuf },
}

impl NameChange {
    fn is_in(&self, dir: &Path) -> bool {
        let path = match self {
            NameChange::Create { path, .. } | NameChange::Remove { path } => path,
            NameChange::Rename { to, .. } => to,
        };
        path.parent() == Some(dir)
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            NameChange::Create { path, inode } => {
                names.insert(path.clone(), *inode);
            }
            NameChange::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
            NameChange::Remove { path } => {
                names.remove(path);
            }
        }
    }
}

impl Disk {
    fn fate(&mut self, kind: OperationKind) -> Fate {
        if self.halted {
            return Fate::Dead;
        }
        if kind.changes_disk() {
            self.operations += 1;
            if self.halt_at.is_some_and(|at| self.operations >= at) {
                self.halted = true;
                return Fate::PowerLost;
            }
        }
        for failure in self.failures.iter_mut().filter(|f| f.kind == kind) {
            failure.remaining = failure.remaining.saturating_sub(1);
        }
        match self.failures.iter().position(|f| f.kind == kind && f.remaining == 0) {
            Some(index) => Fate::Fails(self.failures.remove(index).fault),
            None => Fate::Works,
        }
    }

    /// For operations that happen entirely or not at all.
    fn whole(&mut self, kind: OperationKind) -> io::Result<()> {
        match self.fate(kind) {
            Fate::Works => Ok(()),
            Fate::Fails(fault) => Err(fault.error()),
            Fate::PowerLost | Fate::Dead => Err(power_lost()),
        }
    }

    fn has_directory(&self, dir: &Path) -> bool {
        is_root(dir) || self.directories.contains(dir)
    }

    fn parent_exists(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if self.has_directory(parent) => Ok(()),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    fn names_after_crash(&self, rng: &mut Rng) -> BTreeMap<PathBuf, usize> {
        let survival = Survival::pick(rng);
        let prefix = rng.usize(..=self.pending_names.len());
        let mut names = self.durable_names.clone();
        for (index, change) in self.pending_names.iter().enumerate() {
            let kept = match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                Survival::Prefix => index < prefix,
                Survival::AnyPart => rng.bool(),
            };
            if kept {
                change.apply(&mut names);
            }
        }
        names
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|id| self.inodes[*id].live.len() as u64).sum()
    }

    /// Of `len` bytes at `offset`, how many fit on the disk.
    fn room(&self, id: usize, offset: usize, len: usize) -> usize {
        let Some(capacity_bytes) = self.capacity_bytes else { return len };
        let left = capacity_bytes.saturating_sub(self.used_bytes()) as usize;
        let allowed_end = self.inodes[id].live.len() + left;
        allowed_end.saturating_sub(offset).min(len)
    }

    fn write(&mut self, id: usize, buf: &[u8], offset: usize) -> io::Result<()> {
        let (kept, outcome) = match self.fate(OperationKind::Write) {
            Fate::Works if self.room(id, offset, buf.len()) < buf.len() => {
                (self.room(id, offset, buf.len()), Err(Fault::NoSpace.error()))
            }
            Fate::Works => (buf.len(), Ok(())),
            Fate::Fails(fault) => (self.rng.usize(..=buf.len()), Err(fault.error())),
            Fate::PowerLost => (self.rng.usize(..=buf.len()), Err(power_lost())),
            Fate::Dead => (0, Err(power_lost())),
        };
        if kept > 0 {
            self.inodes[id].change(Change::Write { offset, bytes: buf[..kept].to_vec() });
        }
        outcome
    }

    fn set_len(&mut self, id: usize, len: usize) -> io::Result<()> {
        match self.fate(OperationKind::SetLen) {
            Fate::Works => {
                let grown = len.saturating_sub(self.inodes[id].live.len()) as u64;
                if grown > 0 && self.capacity_bytes.is_some_and(|c| self.used_bytes() + grown > c) {
                    return Err(Fault::NoSpace.error());
                }
                self.inodes[id].change(Change::SetLen(len));
                Ok(())
            }
            Fate::Fails(fault) => Err(fault.error()),
            Fate::PowerLost => {
                self.inodes[id].change(Change::SetLen(len));
                Err(power_lost())
            }
            Fate::Dead => Err(power_lost()),
        }
    }

    fn sync(&mut self, id: usize) -> io::Result<()> {
        match self.fate(OperationKind::Sync) {
            Fate::Works => {
                self.inodes[id].sync();
                Ok(())
            }
            Fate::Fails(fault) => {
                let Disk { rng, inodes, .. } = self;
                inodes[id].fail_sync(rng);
                Err(fault.error())
            }
            Fate::PowerLost | Fate::Dead => Err(power_lost()),
        }
    }
}

/// How much of what was not synced survives a crash.
#[derive(Clone, Copy, Debug)]
enum Survival {
    Nothing,
    Everything,
    Prefix,
    AnyPart,
}

impl Survival {
    fn pick(rng: &mut Rng) -> Self {
        match rng.u8(..8) {
            0 => Survival::Nothing,
            1 => Survival::Everything,
            2 | 3 => Survival::Prefix,
            _ => Survival::AnyPart,
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

/// A file: what readers see, what the platters hold, and the changes in between.
#[derive(Clone, Debug, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

impl Inode {
    fn change(&mut self, change: Change) {
        apply(&change, &mut self.live);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            apply(&change, &mut self.durable);
        }
    }

    fn fail_sync(&mut self, rng: &mut Rng) {
        for change in self.pending.drain(..) {
            apply_part(&change, &mut self.durable, rng);
        }
    }

    fn after_crash(&self, survival: Survival, rng: &mut Rng) -> Inode {
        let mut bytes = self.durable.clone();
        let prefix = rng.usize(..=self.pending.len());
        for (index, change) in self.pending.iter().enumerate() {
            match survival {
                Survival::Nothing => {}
                Survival::Everything => apply(change, &mut bytes),
                Survival::Prefix if index < prefix => apply(change, &mut bytes),
                Survival::Prefix if index == prefix => apply_part(change, &mut bytes, rng),
                Survival::Prefix => {}
                Survival::AnyPart => apply_part(change, &mut bytes, rng),
            }
        }
        Inode { live: bytes.clone(), durable: bytes, pending: Vec::new() }
    }
}

fn apply(change: &Change, to: &mut Vec<u8>) {
    match change {
        Change::Write { offset, bytes } => put(to, *offset, bytes),
        Change::SetLen(len) => to.resize(*len, 0),
    }
}

fn put(to: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[offset..end].copy_from_slice(bytes);
}

/// Applies some sectors of a change. Sectors of a grown file that did not arrive read as zeros or, now and then, as
/// whatever the disk held there before.
fn apply_part(change: &Change, to: &mut Vec<u8>, rng: &mut Rng) {
    let (offset, bytes) = match change {
        Change::SetLen(_) if rng.bool() => return,
        Change::SetLen(len) => return to.resize(*len, 0),
        Change::Write { offset, bytes } => (*offset, bytes),
    };
    let old_len = to.len();
    let mut start = 0;
    while start < bytes.len() {
        let sector_end = ((offset + start) / SECTOR_BYTES + 1) * SECTOR_BYTES - offset;
        let end = sector_end.min(bytes.len());
        if rng.bool() {
            put(to, offset + start, &bytes[start..end]);
        } else if offset + start >= old_len && rng.u8(..8) == 0 {
            let stale: Vec<u8> = (start..end).map(|_| rng.u8(..)).collect();
            put(to, offset + start, &stale);
        }
        start = end;
    }
    if rng.bool() && to.len() < offset + bytes.len() {
        to.resize(offset + bytes.len(), 0);
    }
}

impl Vfs for FaultyVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let path = normal(path);
        let mut disk = self.disk.lock();
        let inode = disk.names.get(&path).copied();
        let creates = matches!(mode, OpenMode::CreateNew | OpenMode::OpenOrCreate) && inode.is_none();
        disk.whole(if creates { OperationKind::Create } else { OperationKind::Open })?;
        let id = match (inode, mode) {
            (Some(_), OpenMode::CreateNew) => return Err(ErrorKind::AlreadyExists.into()),
            (Some(id), _) => id,
            (None, OpenMode::Read | OpenMode::ReadWrite) => return Err(ErrorKind::NotFound.into()),
            (None, OpenMode::CreateNew | OpenMode::OpenOrCreate) => {
                disk.parent_exists(&path)?;
                if disk.has_directory(&path) {
                    return Err(ErrorKind::IsADirectory.into());
                }
                disk.inodes.push(Inode::default());
                let inode = disk.inodes.len() - 1;
                disk.change_name(NameChange::Create { path, inode });
                inode
            }
        };
        Ok(Arc::new(FaultyFile { disk: self.disk.clone(), id }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (normal(from), normal(to));
        let mut disk = self.disk.lock();
        let inode = *disk.names.get(&from).ok_or(ErrorKind::NotFound)?;
        disk.parent_exists(&to)?;
        if disk.has_directory(&to) {
            return Err(ErrorKind::IsADirectory.into());
        }
        disk.change(OperationKind::Rename, NameChange::Rename { from, to, inode })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = normal(path);
        let mut disk = self.disk.lock();
        if !disk.names.contains_key(&path) {
            return Err(ErrorKind::NotFound.into());
        }
        disk.change(OperationKind::Remove, NameChange::Remove { path })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = normal(dir);
        let mut disk = self.disk.lock();
        if !disk.has_directory(&dir) {
            return Err(ErrorKind::NotFound.into());
        }
        disk.whole(OperationKind::SyncDir)?;
        let Disk { pending_names, durable_names, .. } = &mut *disk;
        pending_names.retain(|change| {
            let synced = change.is_in(&dir);
            if synced {
                change.apply(durable_names);
            }
            !synced
        });
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let wanted = normal(dir);
        let mut disk = self.disk.lock();
        disk.whole(OperationKind::List)?;
        if !disk.has_directory(&wanted) {
            return Err(ErrorKind::NotFound.into());
        }
        let inside = disk.names.keys().filter(|path| path.parent() == Some(wanted.as_path()));
        Ok(inside.filter_map(|path| path.file_name()).map(|name| dir.join(name)).collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let dir = normal(dir);
        let mut disk = self.disk.lock();
        disk.whole(OperationKind::CreateDir)?;
        if dir.ancestors().any(|d| disk.names.contains_key(d)) {
            return Err(ErrorKind::NotADirectory.into());
        }
        disk.directories.extend(dir.ancestors().filter(|d| !is_root(d)).map(Path::to_path_buf));
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let path = normal(path);
        let disk = self.disk.lock();
        if disk.halted {
            return Err(power_lost());
        }
        Ok(disk.names.contains_key(&path) || disk.has_directory(&path))
    }

    fn free_space(&self, _dir: &Path) -> io::Result<u64> {
        let disk = self.disk.lock();
        Ok(disk.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(disk.used_bytes())))
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

impl Disk {
    /// A change of names: it happens, fails without a trace, or happens while the power goes.
    fn change(&mut self, kind: OperationKind, change: NameChange) -> io::Result<()> {
        match self.fate(kind) {
            Fate::Works => {
                self.change_name(change);
                Ok(())
            }
            Fate::Fails(fault) => Err(fault.error()),
            Fate::PowerLost => {
                self.change_name(change);
                Err(power_lost())
            }
            Fate::Dead => Err(power_lost()),
        }
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: Arc<Mutex<Disk>>,
    id: usize,
}

impl File for FaultyFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk.lock();
        disk.whole(OperationKind::Read)?;
        let live = &disk.inodes[self.id].live;
        let start = usize::try_from(offset).map_or(live.len(), |at| at.min(live.len()));
        let mut part = (live.len() - start).min(buf.len());
        buf[..part].copy_from_slice(&live[start..start + part]);
        if disk.short_reads && part > 1 {
            part = disk.rng.usize(1..=part);
        }
        Ok(part)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(|_| ErrorKind::FileTooLarge)?;
        self.disk.lock().write(self.id, buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        let disk = self.disk.lock();
        if disk.halted {
            return Err(power_lost());
        }
        Ok(disk.inodes[self.id].live.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| ErrorKind::FileTooLarge)?;
        self.disk.lock().set_len(self.id, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.lock().sync(self.id)
    }

    fn map(&self, offset: u64, len: usize) -> io::Result<Box<dyn Mapping>> {
        if offset.checked_add(len as u64).ok_or(ErrorKind::InvalidInput)? > self.len()? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; len];
        self.read_exact_at(&mut bytes, offset)?;
        Ok(Box::new(CopiedMapping { bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_with_file(seed: u64) -> (FaultyVfs, Arc<dyn File>) {
        let vfs = FaultyVfs::new(seed);
        let file = vfs.open(Path::new("a"), OpenMode::CreateNew).unwrap();
        (vfs, file)
    }

    #[test]
    fn synced_bytes_under_a_synced_name_survive_every_crash() {
        for seed in 0..200 {
            let (vfs, file) = disk_with_file(seed);
            file.write_all_at(&[7; 3000], 0).unwrap();
            file.sync().unwrap();
            vfs.sync_dir(Path::new("")).unwrap();
            file.write_all_at(&[8; 3000], 3000).unwrap();
            let after = vfs.crash().bytes(Path::new("a"));
            assert!(after.len() >= 3000 && after[..3000].iter().all(|b| *b == 7), "seed {seed}");
        }
    }

    #[test]
    fn some_crash_loses_an_unsynced_name_and_some_keeps_it() {
        let outcomes: BTreeSet<bool> = (0..50)
            .map(|seed| {
                let (vfs, file) = disk_with_file(seed);
                file.write_all_at(b"x", 0).unwrap();
                file.sync().unwrap();
                vfs.crash().exists(Path::new("a")).unwrap()
            })
            .collect();
        assert_eq!(outcomes.len(), 2);
    }

    #[test]
    fn overwriting_tears_at_sectors() {
        let mut torn = 0;
        for seed in 0..100 {
            let (vfs, file) = disk_with_file(seed);
            file.write_all_at(&[1; 4096], 0).unwrap();
            file.sync().unwrap();
            vfs.sync_dir(Path::new("")).unwrap();
            file.write_all_at(&[2; 4096], 0).unwrap();
            let after = vfs.crash().bytes(Path::new("a"));
            for sector in after.chunks(SECTOR_BYTES) {
                assert!(sector.iter().all(|b| *b == sector[0]), "a sector is written whole or not at all");
            }
            torn += usize::from(after.contains(&1) && after.contains(&2));
        }
        assert!(torn > 10);
    }

    #[test]
    fn failed_sync_is_not_repaired_by_the_next() {
        let mut lost = 0;
        for seed in 0..50 {
            let (vfs, file) = disk_with_file(seed);
            vfs.sync_dir(Path::new("")).unwrap();
            file.write_all_at(&[1; 4096], 0).unwrap();
            vfs.fail(OperationKind::Sync, 1, Fault::Io);
            file.sync().unwrap_err();
            file.sync().unwrap();
            assert_eq!(vfs.bytes(Path::new("a")), [1; 4096], "readers still see it");
            lost += usize::from(vfs.crash().bytes(Path::new("a")) != [1; 4096]);
        }
        assert!(lost > 40);
    }

    #[test]
    fn rename_replaces_whole_files() {
        for seed in 0..100 {
            let (vfs, file) = disk_with_file(seed);
            file.write_all_at(b"old", 0).unwrap();
            file.sync().unwrap();
            vfs.sync_dir(Path::new("")).unwrap();
            let new = vfs.open(Path::new("b"), OpenMode::CreateNew).unwrap();
            new.write_all_at(b"new", 0).unwrap();
            new.sync().unwrap();
            vfs.rename(Path::new("b"), Path::new("a")).unwrap();
            let after = vfs.crash().bytes(Path::new("a"));
            assert!(after == b"old" || after == b"new", "seed {seed}");
            vfs.sync_dir(Path::new("")).unwrap();
            assert_eq!(vfs.crash().bytes(Path::new("a")), b"new");
        }
    }

    #[test]
    fn power_goes_at_the_counted_operation() {
        let (vfs, file) = disk_with_file(1);
        vfs.halt_at(3);
        file.write_all_at(b"x", 0).unwrap();
        file.sync().unwrap_err();
        assert!(vfs.halted());
        file.write_all_at(b"y", 0).unwrap_err();
        vfs.remove(Path::new("a")).unwrap_err();
        vfs.open(Path::new("a"), OpenMode::Read).unwrap_err();
        assert_eq!(vfs.bytes(Path::new("a")), b"x", "nothing happens without power");
    }

    #[test]
    fn full_disk_takes_what_fits() {
        let (vfs, file) = disk_with_file(1);
        vfs.set_capacity(Some(10));
        assert_eq!(vfs.free_space(Path::new("")).unwrap(), 10);
        assert_eq!(file.write_all_at(&[1; 16], 0).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(file.len().unwrap(), 10);
        file.write_all_at(&[2; 10], 0).unwrap();
        vfs.remove(Path::new("a")).unwrap();
        assert_eq!(vfs.free_space(Path::new("")).unwrap(), 10);
    }

    #[test]
    fn failures_hit_the_nth_operation_of_their_kind_once() {
        let (vfs, file) = disk_with_file(1);
        vfs.fail(OperationKind::Write, 2, Fault::NoSpace);
        vfs.fail(OperationKind::Read, 1, Fault::Io);
        file.write_all_at(b"x", 0).unwrap();
        assert_eq!(file.write_all_at(b"y", 0).unwrap_err().kind(), ErrorKind::StorageFull);
        file.write_all_at(b"z", 0).unwrap();
        file.read_at(&mut [0], 0).unwrap_err();
        file.read_at(&mut [0], 0).unwrap();
    }

    #[test]
    fn short_reads_return_some_and_flips_change_one_bit() {
        let (vfs, file) = disk_with_file(1);
        file.write_all_at(&[0; 1000], 0).unwrap();
        vfs.set_short_reads(true);
        let mut buf = [9; 1000];
        assert!((0..20).any(|_| file.read_at(&mut buf, 0).unwrap() < 1000));
        file.read_exact_at(&mut buf, 0).unwrap();
        assert_eq!(buf, [0; 1000]);
        let at = vfs.flip_random_bit(Path::new("a")) as usize;
        file.read_exact_at(&mut buf, 0).unwrap();
        assert_eq!(buf[at].count_ones(), 1);
        assert_eq!(buf.iter().map(|b| b.count_ones()).sum::<u32>(), 1);
    }
}
