//! Functions and triggers in WebAssembly: the language `wasm` of CREATE FUNCTION.
//!
//! [`Wasm`] is an [`Extension`] of `lightning_sql` that adds one [`Language`]. The guests themselves, what they are given and how
//! they are kept from doing harm, are the crate `sandbox`; this one is between it and SQL:
//!
//! - [`code`] gets a module's bytes from what CREATE FUNCTION says: base64, a file, WebAssembly text, or a hash the catalog knows.
//! - [`options`] reads WITH: the ABI and the limits.
//! - [`language`] checks functions when they are made and makes them ready when they are called.
//! - [`registry`] counts what each function does, and [`system`] shows it as `lightning.functions`.

mod error;
mod code;
mod options;
mod registry;
mod language;
mod system;

use language::WasmLanguage;
use lightning_sandbox::{Sandbox, SandboxOptions};
use lightning_sql::extension::SystemRows;
use lightning_sql::language::Language;
use lightning_sql::{Extension, Result};
use lightning_storage::budget::MemoryBudget;
use lightning_vfs::Vfs;
use registry::Registry;
use std::path::PathBuf;
use std::sync::Arc;

/// The extension.
#[derive(Clone, Debug)]
pub struct Wasm {
    sandbox: Arc<Sandbox>,
    registry: Arc<Registry>,
}

impl Wasm {
    /// Guests whose memory comes from `budget`, and whose compiled code is kept in a directory of `cache`.
    pub fn new(budget: Arc<MemoryBudget>, cache: Option<(Arc<dyn Vfs>, PathBuf)>) -> Result<Wasm> {
        let sandbox = Sandbox::new(SandboxOptions { cache, budget }).map_err(error::plain)?;
        Ok(Wasm { sandbox, registry: Arc::default() })
    }
}

impl Extension for Wasm {
    fn languages(&self) -> Vec<Arc<dyn Language>> {
        vec![Arc::new(WasmLanguage::new(&self.sandbox, &self.registry))]
    }

    fn system_tables(&self) -> Vec<Arc<dyn SystemRows>> {
        vec![Arc::new(system::Functions(Arc::clone(&self.registry)))]
    }
}
