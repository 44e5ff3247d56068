//! Modules by their hash: in memory, on disk, or compiled now.

use crate::binary::hash;
use crate::cache::DiskCache;
use crate::engine::engine;
use crate::error::{Error, Result};
use crate::limits::Kind;
use crate::machine_code;
use crate::module::{Code, Host, Module};
use crate::ticker::Ticker;
use lightning_storage::budget::MemoryBudget;
use lightning_vfs::Vfs;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use wasmtime::Engine;

/// Modules kept in memory.
const MODULES_MAX: usize = 64;

/// What a sandbox works with.
#[derive(Debug)]
pub struct SandboxOptions {
    /// Where compiled modules are kept, if anywhere.
    pub cache: Option<(Arc<dyn Vfs>, PathBuf)>,
    /// What guests' memories are accounted to.
    pub budget: Arc<MemoryBudget>,
}

/// Makes modules of bytes.
pub struct Sandbox {
    budget: Arc<MemoryBudget>,
    disk: Option<DiskCache>,
    ticker: Arc<Ticker>,
    /// Without and with fuel; made when first needed.
    engines: [Mutex<Option<Engine>>; 2],
    modules: Mutex<Recent>,
}

impl Sandbox {
    /// A sandbox. Cheap: no compiler and no thread before the first module.
    pub fn new(options: SandboxOptions) -> Result<Arc<Sandbox>> {
        Ok(Arc::new(Sandbox {
            budget: options.budget,
            disk: options.cache.map(|(vfs, dir)| DiskCache::new(vfs, dir)),
            ticker: Ticker::new(),
            engines: [Mutex::new(None), Mutex::new(None)],
            modules: Mutex::default(),
        }))
    }

    /// The module `wasm`, whose [`hash`](crate::hash) is `hash`: from memory, from the disk or compiled.
    pub fn module(self: &Arc<Self>, wasm: &[u8], hash: &str, kind: Kind) -> Result<Arc<Module>> {
        if let Some(module) = self.modules.lock().get(hash, kind) {
            return Ok(module);
        }
        crate::binary::check_size(wasm.len())?;
        if self::hash(wasm) != hash {
            return Err(Error::invalid("its bytes are not those of its hash"));
        }
        let engine = self.engine(kind.is_metered)?;
        let code = self.code(&engine, wasm, hash, kind)?;
        let host = Host { engine, ticker: self.ticker.clone(), budget: self.budget.clone() };
        let module = Arc::new(Module::new(host, hash, kind, code));
        self.modules.lock().put(module.clone());
        Ok(module)
    }

    /// Forgets the modules that are not wanted, by their hashes: in memory and on disk.
    pub fn retain(&self, is_wanted: &dyn Fn(&str) -> bool) {
        self.modules.lock().retain(is_wanted);
        if let Some(disk) = &self.disk {
            disk.retain(is_wanted);
        }
    }

    /// Reads and writes of the cache on disk that failed so far.
    pub fn cache_failures(&self) -> u64 {
        self.disk.as_ref().map_or(0, DiskCache::failures)
    }

    fn engine(&self, is_metered: bool) -> Result<Engine> {
        let mut slot = self.engines[usize::from(is_metered)].lock();
        if let Some(engine) = &*slot {
            return Ok(engine.clone());
        }
        let engine = engine(is_metered)?;
        self.ticker.watch(&engine)?;
        Ok(slot.insert(engine).clone())
    }

    fn code(&self, engine: &Engine, wasm: &[u8], hash: &str, kind: Kind) -> Result<Code> {
        let Some(disk) = &self.disk else { return Code::compile(engine, wasm, kind) };
        let name = file_name(engine, hash, kind);
        if let Some(payload) = disk.load(&name) {
            match machine_code::load(engine, &payload, kind) {
                Some(code) => return Ok(code),
                None => disk.discard(&name),
            }
        }
        let code = Code::compile(engine, wasm, kind)?;
        if let Some(payload) = code.serialize() {
            disk.store(&name, &payload);
        }
        Ok(code)
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("disk", &self.disk).finish_non_exhaustive()
    }
}

/// A name that tells compilers and settings apart. The hasher may differ between two builds of this program: then
/// modules are compiled again.
fn file_name(engine: &Engine, hash: &str, kind: Kind) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let form = if kind.is_component { "c" } else { "m" };
    let metered = if kind.is_metered { "f" } else { "" };
    format!("{hash}-{:016x}{form}{metered}.cwasm", hasher.finish())
}

/// The modules used last.
#[derive(Default)]
struct Recent {
    modules: HashMap<Kind, HashMap<String, (Arc<Module>, u64)>>,
    now: u64,
}

impl Recent {
    fn get(&mut self, hash: &str, kind: Kind) -> Option<Arc<Module>> {
        self.now += 1;
        let (module, used) = self.modules.get_mut(&kind)?.get_mut(hash)?;
        *used = self.now;
        Some(module.clone())
    }

    fn retain(&mut self, is_wanted: &dyn Fn(&str) -> bool) {
        self.modules.values_mut().for_each(|of_kind| of_kind.retain(|hash, _| is_wanted(hash)));
    }

    fn put(&mut self, module: Arc<Module>) {
        self.now += 1;
        let of_kind = self.modules.entry(module.kind()).or_default();
        of_kind.insert(module.hash().to_string(), (module, self.now));
        if of_kind.len() > MODULES_MAX {
            let oldest = of_kind.iter().min_by_key(|(_, (_, used))| *used).map(|(hash, _)| hash.clone());
            oldest.map(|hash| of_kind.remove(&hash));
        }
    }
}
