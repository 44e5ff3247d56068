//! The bytes of a module, from what CREATE FUNCTION says.

use crate::error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lightning_sql::language::NewFunction;
use lightning_sql::sqlstate::{
    INSUFFICIENT_PRIVILEGE, INVALID_FUNCTION_DEFINITION, PROGRAM_LIMIT_EXCEEDED, UNDEFINED_FILE,
};
use lightning_sql::{Error, Result};
use std::io::Read;

/// Bytes of one module. It is a value of one row of the catalog.
pub(crate) const MODULE_BYTES_MAX: usize = 16 << 20;

/// What binary modules and components begin with.
const MAGIC: &[u8] = b"\0asm";

/// The module that the first text behind AS says.
pub(crate) fn bytes(new: &NewFunction) -> Result<Vec<u8>> {
    let text = new.texts.first().map_or("", |text| text.trim());
    if let Some(path) = text.strip_prefix("file:") {
        return of_file(path, new.local_files);
    }
    if let Some(hash) = text.strip_prefix("sha256:") {
        let known = new.known.as_ref().map(|module| module.bytes.clone());
        return known.ok_or_else(|| {
            Error::new(INVALID_FUNCTION_DEFINITION, format!("no function is in a module with the hash {hash}"))
        });
    }
    if text.starts_with('(') || text.starts_with(";;") {
        return of_text(text);
    }
    if text.is_empty() {
        return Err(Error::new(INVALID_FUNCTION_DEFINITION, "no module specified")
            .with_hint("Behind AS stands a module in base64, its text '(module ...)', or 'file:' and a path."));
    }
    let written: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(written).map_err(|e| {
        let message = "the module is neither base64, nor text that begins with \"(module\"";
        Error::new(INVALID_FUNCTION_DEFINITION, message).with_detail(format!("{e}."))
    })?;
    checked(bytes)
}

fn of_text(text: &str) -> Result<Vec<u8>> {
    checked(lightning_sandbox::from_text(text).map_err(error::plain)?)
}

fn of_file(path: &str, local_files: bool) -> Result<Vec<u8>> {
    if !local_files {
        return Err(Error::new(INSUFFICIENT_PRIVILEGE, "permission denied to read a module from a file of the server")
            .with_hint("Give the module itself, in base64."));
    }
    let cannot = |e: std::io::Error| Error::new(UNDEFINED_FILE, format!("could not read module \"{path}\": {e}"));
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(MODULE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if !bytes.starts_with(MAGIC) => of_text(text),
        _ => checked(bytes),
    }
}

fn checked(bytes: Vec<u8>) -> Result<Vec<u8>> {
    if bytes.len() > MODULE_BYTES_MAX {
        let message = format!("a module can have at most {} bytes", MODULE_BYTES_MAX);
        return Err(Error::new(PROGRAM_LIMIT_EXCEEDED, message));
    }
    if !bytes.starts_with(MAGIC) {
        return Err(Error::new(INVALID_FUNCTION_DEFINITION, "this is no WebAssembly module")
            .with_detail("A module begins with the bytes 00 61 73 6d."));
    }
    Ok(bytes)
}

/// Whether the bytes are those of a component rather than of a plain module.
pub(crate) fn is_component(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(&[0x0d, 0, 1, 0])
}
