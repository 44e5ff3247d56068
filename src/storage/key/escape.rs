//! Byte strings that end themselves: the bytes `00` and `01` are written as two, a lone `00` is the end.
//!
//! One byte of end instead of PostgreSQL-like pairs is possible because no byte of an escaped string is `00`. Text as a rule has neither
//! of the two bytes, so it is copied whole. Groups of eight bytes with a count each, the other common scheme,
//! are quicker to write and a third larger: `docs/storage.md` has the figures.

/// Ends an escaped string.
const END: u8 = 0;
/// Begins an escape: what follows is the byte plus one.
const ESCAPE: u8 = 1;

/// Whether a byte is written as two.
fn is_escaped(byte: u8) -> bool {
    byte <= ESCAPE
}

/// How many bytes of `value` are written as two.
#[inline]
pub(super) fn escapes(value: &[u8]) -> usize {
    value.iter().filter(|byte| is_escaped(**byte)).count()
}

/// Writes `value` and its end to the front of `out`, and says how many bytes these are.
#[inline]
pub(super) fn write(value: &[u8], out: &mut [u8]) -> usize {
    let mut at = 0;
    for &byte in value {
        if is_escaped(byte) {
            out[at..at + 2].copy_from_slice(&[ESCAPE, byte + 1]);
            at += 2;
        } else {
            out[at] = byte;
            at += 1;
        }
    }
    out[at] = END;
    at + 1
}

/// Writes a `value` without bytes to escape, and its end.
#[inline]
pub(super) fn write_plain(value: &[u8], out: &mut [u8]) -> usize {
    out[..value.len()].copy_from_slice(value);
    out[value.len()] = END;
    value.len() + 1
}

/// Takes one value off the front of `key`. It lies in `key` itself, or in `scratch` if something was escaped.
pub(super) fn read<'s, 'a: 's>(key: &mut &'a [u8], scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
    let mut end = key.iter().position(|&byte| is_escaped(byte))?;
    if key[end] == END {
        let value = &key[..end];
        *key = &key[end + 1..];
        return Some(value);
    }
    scratch.clear();
    let mut start = 0;
    while key[end] == ESCAPE {
        let byte = key.get(end + 1)?.checked_sub(1).filter(|&byte| is_escaped(byte))?;
        scratch.extend_from_slice(&key[start..end]);
        scratch.push(byte);
        start = end + 2;
        end = start + key[start..].iter().position(|&byte| is_escaped(byte))?;
    }
    scratch.extend_from_slice(&key[start..end]);
    *key = &key[end + 1..];
    Some(scratch)
}

/// Takes one value off the front of `key` without looking at it.
pub(super) fn skip(key: &mut &[u8]) -> Option<()> {
    let end = key.iter().position(|&byte| byte == END)?;
    *key = &key[end + 1..];
    Some(())
}
