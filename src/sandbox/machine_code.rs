//! The one place where stored machine code becomes a module.
#![expect(unsafe_code, reason = "deserialising machine code is unsafe by nature")]

use crate::limits::Kind;
use crate::module::Code;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Makes a module of what [`Code::serialize`] gave, by an engine of the same settings. The caller has verified the
/// checksum it stored beside the bytes. Bytes of another version of the compiler are refused.
pub(crate) fn load(engine: &Engine, payload: &[u8], kind: Kind) -> Option<Code> {
    if kind.is_component {
        // SAFETY: the bytes are the unchanged output of `Component::serialize`: `DiskCache::load` gives out only what
        // has the SHA-256 that was stored with it, in a directory that only this database writes. That they are of
        // this version and these settings is checked by wasmtime.
        unsafe { Component::deserialize(engine, payload) }.ok().map(Code::Component)
    } else {
        // SAFETY: as above, of `Module::serialize`.
        unsafe { wasmtime::Module::deserialize(engine, payload) }.ok().map(Code::Core)
    }
}
