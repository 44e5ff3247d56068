//! Compiled modules on disk.

use super::{never, spec};
use crate::{Abi, Function, Kind, Sandbox, SandboxOptions};
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int32Type};
use lightning_storage::budget::MemoryBudget;
use lightning_vfs::{Fault, FaultyVfs, MemoryVfs, OpenMode, OperationKind, Vfs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const TEXT: &str = r#"(module (func (export "f") (result i32) (i32.const 42)))"#;

fn sandbox(vfs: &MemoryVfs) -> Arc<Sandbox> {
    let cache: (Arc<dyn Vfs>, PathBuf) = (Arc::new(vfs.clone()), PathBuf::from("/db/wasm"));
    Sandbox::new(SandboxOptions { cache: Some(cache), budget: MemoryBudget::new(1 << 30) }).unwrap()
}

/// Loads the module in a fresh sandbox and calls it.
fn answer(vfs: &MemoryVfs, kind: Kind) -> i32 {
    let wasm = crate::from_text(TEXT).unwrap();
    let module = sandbox(vfs).module(&wasm, &crate::hash(&wasm), kind).unwrap();
    let f = Function::new(&module, spec(Abi::Scalar, &[], DataType::Int32), Arc::default()).unwrap();
    Arc::new(f).pool(never()).call(&[], 1).unwrap().as_primitive::<Int32Type>().value(0)
}

fn files(vfs: &MemoryVfs) -> Vec<PathBuf> {
    vfs.list(Path::new("/db/wasm")).unwrap()
}

fn read(vfs: &MemoryVfs, path: &Path) -> Vec<u8> {
    let file = vfs.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_module_is_compiled_once() {
    let vfs = MemoryVfs::new();
    assert_eq!(answer(&vfs, Kind::default()), 42);
    let [file] = files(&vfs).try_into().unwrap();
    let wasm = crate::from_text(TEXT).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap().to_string();
    assert!(name.starts_with(&format!("{}-", crate::hash(&wasm))) && name.ends_with("m.cwasm"), "{name}");
    assert_eq!(name.len(), 64 + 1 + 16 + "m.cwasm".len());
    let bytes = read(&vfs, &file);
    assert_eq!(&bytes[..12], b"LTNGWASM\x01\0\0\0");
    assert_eq!(answer(&vfs, Kind::default()), 42);
    assert_eq!(read(&vfs, &file), bytes);
    assert_eq!(answer(&vfs, Kind { is_component: false, is_metered: true }), 42);
    assert_eq!(files(&vfs).len(), 2, "a metered module is other code");
}

#[test]
fn damaged_files_are_made_anew() {
    let vfs = MemoryVfs::new();
    answer(&vfs, Kind::default());
    let [path] = files(&vfs).try_into().unwrap();
    let good = read(&vfs, &path);
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..40 {
        let mut bad = good.clone();
        match round % 4 {
            0 => bad.truncate(random.usize(0..bad.len())),
            1 => bad[random.usize(0..44)] ^= 1 << random.u8(0..8),
            2 => bad.push(0),
            _ => {
                let at = random.usize(0..bad.len());
                bad[at] ^= 1 << random.u8(0..8);
            }
        }
        let file = vfs.open(&path, OpenMode::ReadWrite).unwrap();
        file.set_len(0).unwrap();
        file.write_all_at(&bad, 0).unwrap();
        assert_eq!(answer(&vfs, Kind::default()), 42);
        assert_eq!(read(&vfs, &path).len(), good.len());
        assert_eq!(files(&vfs).len(), 1);
    }
}

#[test]
fn a_sound_file_of_another_compiler_is_made_anew() {
    let vfs = MemoryVfs::new();
    answer(&vfs, Kind::default());
    let [path] = files(&vfs).try_into().unwrap();
    let payload = b"not machine code";
    let mut bytes = read(&vfs, &path)[..12].to_vec();
    bytes.extend(crate::binary::sha256(payload));
    bytes.extend(payload);
    let file = vfs.open(&path, OpenMode::ReadWrite).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    assert_eq!(answer(&vfs, Kind::default()), 42);
    assert!(read(&vfs, &path).len() > 1000);
}

#[test]
fn what_a_crash_left_half_written_is_removed() {
    let vfs = MemoryVfs::new();
    vfs.create_dir_all(Path::new("/db/wasm")).unwrap();
    vfs.open(Path::new("/db/wasm/0123m.cwasm.1-0.tmp"), OpenMode::CreateNew).unwrap();
    assert_eq!(answer(&vfs, Kind::default()), 42);
    assert_eq!(files(&vfs).len(), 1);
}

#[test]
fn a_disk_that_fails_is_no_error() {
    let wasm = crate::from_text(TEXT).unwrap();
    for (kind, fault) in
        [(OperationKind::Write, Fault::NoSpace), (OperationKind::Sync, Fault::Io), (OperationKind::Rename, Fault::Io)]
    {
        let vfs = FaultyVfs::new(1);
        vfs.fail(kind, 1, fault);
        let cache: (Arc<dyn Vfs>, PathBuf) = (vfs.shared(), PathBuf::from("/db/wasm"));
        let options = SandboxOptions { cache: Some(cache), budget: MemoryBudget::new(1 << 30) };
        let sandbox = Sandbox::new(options).unwrap();
        sandbox.module(&wasm, &crate::hash(&wasm), Kind::default()).unwrap();
        assert_eq!(sandbox.cache_failures(), 1, "{kind:?}");
    }
}

#[test]
fn modules_are_shared_in_memory_and_the_oldest_forgotten() {
    let sandbox = super::sandbox();
    let module =
        |i: i32| super::load(&sandbox, &format!("(module (func (export \"f{i}\")))"), Kind::default()).unwrap();
    let first = module(0);
    assert!(Arc::ptr_eq(&first, &module(0)));
    for i in 1..80 {
        module(i);
        assert!(Arc::ptr_eq(&first, &module(0)), "used all the time");
    }
    let second = module(1);
    assert!(Arc::ptr_eq(&second, &module(1)));
    assert_eq!(second.exports(), ["f1"]);
}
