//! A compiled module, and how it is made of bytes that nobody vouches for.

use crate::binary::check_size;
use crate::error::{Error, Result};
use crate::limits::Kind;
use crate::ticker::Ticker;
use lightning_storage::budget::MemoryBudget;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::Component;

/// A compiled module or component. It holds all it needs to run: it may outlive its sandbox.
pub struct Module {
    pub(crate) code: Code,
    pub(crate) kind: Kind,
    pub(crate) engine: Engine,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) budget: Arc<MemoryBudget>,
    hash: String,
}

/// What was compiled.
pub(crate) enum Code {
    Core(wasmtime::Module),
    Component(Component),
}

/// What modules of one engine share.
pub(crate) struct Host {
    pub engine: Engine,
    pub ticker: Arc<Ticker>,
    pub budget: Arc<MemoryBudget>,
}

impl Module {
    pub(crate) fn new(host: Host, hash: &str, kind: Kind, code: Code) -> Module {
        let Host { engine, ticker, budget } = host;
        Module { code, kind, engine, ticker, budget, hash: hash.to_string() }
    }

    /// The SHA-256 of the module it was compiled from, in hexadecimal digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// How it was compiled.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Names of exported functions, in the module's order (of a component: of functions and instances).
    pub fn exports(&self) -> Vec<String> {
        match &self.code {
            Code::Core(module) => module
                .exports()
                .filter(|export| matches!(export.ty(), wasmtime::ExternType::Func(_)))
                .map(|export| export.name().to_string())
                .collect(),
            Code::Component(component) => {
                component.component_type().exports(&self.engine).map(|(name, _)| name.to_string()).collect()
            }
        }
    }

    /// The core module; an error says that a component cannot be called in this way.
    pub(crate) fn core(&self) -> Result<&wasmtime::Module> {
        match &self.code {
            Code::Core(module) => Ok(module),
            Code::Component(_) => Err(Error::invalid("a component is called by the abi component")),
        }
    }

    /// The component; an error says that a core module cannot be called in this way.
    pub(crate) fn component(&self) -> Result<&Component> {
        match &self.code {
            Code::Component(component) => Ok(component),
            Code::Core(_) => Err(Error::invalid("the abi component needs a component, not a core module")),
        }
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("hash", &self.hash).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Code {
    /// Compiles `wasm`. A compiler's panic is an error too: its input comes from users.
    pub(crate) fn compile(engine: &Engine, wasm: &[u8], kind: Kind) -> Result<Code> {
        check_size(wasm.len())?;
        check_form(wasm, kind)?;
        let compile = || match kind.is_component {
            false => wasmtime::Module::from_binary(engine, wasm).map(Code::Core),
            true => Component::from_binary(engine, wasm).map(Code::Component),
        };
        let compiled = catch_unwind(AssertUnwindSafe(|| stacker::maybe_grow(1 << 20, 4 << 20, compile)));
        match compiled {
            Ok(compiled) => compiled.map_err(|error| Error::invalid(detail(&error))),
            Err(_) => Err(Error::invalid("the compiler gave up on it")),
        }
    }

    /// The compiled form's bytes, for [`crate::machine_code::load`].
    pub(crate) fn serialize(&self) -> Option<Vec<u8>> {
        match self {
            Code::Core(module) => module.serialize().ok(),
            Code::Component(component) => component.serialize().ok(),
        }
    }
}

/// Whether the header is that of the kind that was asked for.
fn check_form(wasm: &[u8], kind: Kind) -> Result<()> {
    let is_component = match wasm.get(..8) {
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => false,
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => true,
        _ => return Err(Error::invalid("it does not start with the magic bytes \\0asm and a version")),
    };
    match (kind.is_component, is_component) {
        (true, false) => Err(Error::invalid("a core module where a component is expected")),
        (false, true) => Err(Error::invalid("a component where a core module is expected")),
        _ => Ok(()),
    }
}

/// The chain of causes in one line.
fn detail(error: &wasmtime::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}
