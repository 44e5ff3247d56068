//! The three file systems behave alike: random operation sequences, compared step by step.

use crate::{FaultyVfs, File, MemoryVfs, OpenMode, RealVfs, Vfs};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file system under test: names are relative to `root`, handles stay open across renames and removals.
struct Subject {
    vfs: Arc<dyn Vfs>,
    root: PathBuf,
    handles: BTreeMap<usize, Arc<dyn File>>,
}

/// What a step showed; equal for all subjects.
#[derive(Debug, PartialEq)]
enum Seen {
    Nothing,
    Failed(std::io::ErrorKind),
    Bytes(Vec<u8>),
    Len(u64),
    Names(Vec<PathBuf>),
    Exists(bool),
}

fn seen<T>(result: std::io::Result<T>, show: impl FnOnce(T) -> Seen) -> Seen {
    result.map_or_else(|e| Seen::Failed(e.kind()), show)
}

impl Subject {
    fn new(vfs: Arc<dyn Vfs>, root: &Path) -> Self {
        vfs.create_dir_all(&root.join("d")).unwrap();
        Subject { vfs, root: root.to_path_buf(), handles: BTreeMap::new() }
    }

    fn step(&mut self, rng: &mut Rng) -> Seen {
        let names = ["a", "b", "c", "d/a", "none/a"];
        let mut name = || self.root.join(names[rng.usize(..names.len())]);
        let (path, other) = (name(), name());
        let slot = rng.usize(..3);
        let (offset, len) = (rng.u64(..5000), rng.usize(..3000));
        match rng.u8(..16) {
            0..3 => {
                let modes = [OpenMode::Read, OpenMode::ReadWrite, OpenMode::CreateNew, OpenMode::OpenOrCreate];
                let mode = modes[rng.usize(..4)];
                seen(self.vfs.open(&path, mode), |file| {
                    if mode != OpenMode::Read {
                        self.handles.insert(slot, file);
                    }
                    Seen::Nothing
                })
            }
            3 => seen(self.vfs.rename(&path, &other), |()| Seen::Nothing),
            4 => seen(self.vfs.remove(&path), |()| Seen::Nothing),
            5 => seen(self.vfs.list(&self.root), |paths| {
                Seen::Names(paths.iter().map(|p| p.strip_prefix(&self.root).unwrap().to_path_buf()).collect())
            }),
            6 => seen(self.vfs.exists(&path), Seen::Exists),
            7 => seen(self.vfs.sync_dir(&self.root.join("d")), |()| Seen::Nothing),
            kind => match self.handles.get(&slot) {
                Some(file) => file_step(&**file, kind, rng, offset, len),
                None => Seen::Nothing,
            },
        }
    }
}

fn file_step(file: &dyn File, kind: u8, rng: &mut Rng, offset: u64, len: usize) -> Seen {
    match kind {
        8 | 9 => {
            let bytes: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
            seen(file.write_all_at(&bytes, offset), |()| Seen::Nothing)
        }
        10 | 11 => {
            let mut buf = vec![0; len];
            seen(file.read_at(&mut buf, offset), |n| Seen::Bytes(buf[..n].to_vec()))
        }
        12 => seen(file.set_len(offset), |()| Seen::Nothing),
        13 => seen(file.sync(), |()| Seen::Nothing),
        14 => seen(file.map(offset, len), |map| Seen::Bytes(map.bytes().to_vec())),
        _ => seen(file.len(), Seen::Len),
    }
}

#[test]
fn all_file_systems_agree() {
    let rounds = if std::env::var_os("LIGHTNING_LONG").is_some() { 400 } else { 20 };
    for seed in 0..rounds {
        let dir = tempfile::tempdir().unwrap();
        let mut subjects = [
            Subject::new(RealVfs::shared(), dir.path()),
            Subject::new(MemoryVfs::shared(), Path::new("root")),
            Subject::new(FaultyVfs::new(seed).shared(), Path::new("/root")),
        ];
        let mut rng = Rng::with_seed(seed);
        for step in 0..400 {
            let chance = rng.u64(..);
            let outcomes: Vec<Seen> =
                subjects.iter_mut().map(|subject| subject.step(&mut Rng::with_seed(chance))).collect();
            assert_eq!(outcomes[0], outcomes[1], "memory differs, seed {seed}, step {step}");
            assert_eq!(outcomes[0], outcomes[2], "faulty differs, seed {seed}, step {step}");
        }
    }
}
