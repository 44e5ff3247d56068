//! A module's bytes: their name, their text form, their size.

use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Most bytes a module may have.
pub(crate) const MODULE_BYTES_MAX: usize = 16 << 20;

/// The name of a module: the SHA-256 of its bytes in lower-case hexadecimal digits.
pub fn hash(wasm: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in sha256(wasm) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The binary form of a module or component in text form (WAT). An error shows the line and column.
pub fn from_text(text: &str) -> Result<Vec<u8>> {
    check_size(text.len())?;
    stacker::maybe_grow(1 << 20, 4 << 20, || wat::parse_str(text)).map_err(|error| Error::invalid(error.to_string()))
}

/// Refuses what is too large to be compiled.
pub(crate) fn check_size(bytes: usize) -> Result<()> {
    if bytes > MODULE_BYTES_MAX {
        return Err(Error::TooLarge { bytes, limit_bytes: MODULE_BYTES_MAX });
    }
    Ok(())
}
