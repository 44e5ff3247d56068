//! Keys as bytes: columns of a key become byte strings whose order under `memcmp` is the order of the tuples.
//!
//! A B+Tree, a block index and a lock table then need to know one type of key, and compare two keys of any number of
//! columns with one instruction sequence. [`KeyEncoder`] is made once per table or index from its key columns and works on
//! whole Arrow arrays:
//!
//! ```text
//! arrays ── encode ─► EncodedKeys (one buffer, keys.get(row) -> &[u8]) ── decode ─► arrays
//!    └───── range ──► KeyRange (start and end as bytes, for a scan over the first columns)
//! ```
//!
//! The order is PostgreSQL's ascending order: NULLs last, -0 = +0, NaN above infinity and equal to itself, strings by their
//! bytes (the C collation), intervals by length. Decoding gives back what was encoded, except that -0 becomes +0 and every
//! NaN becomes the same one. Intervals of equal length but other fields (`1 day`, `24 hours`) stay apart, the one
//! with fewer months, then fewer days, first.
//!
//! # How one column is written
//!
//! | column | bytes |
//! |---|---|
//! | nullable | `00` and the value, or `01` alone for NULL; NOT NULL columns have no such byte |
//! | Boolean | `00` or `01` |
//! | signed integers, decimals, dates, times, timestamps | big-endian, sign bit flipped |
//! | unsigned integers | big-endian |
//! | floats | big-endian; negative ones with all bits flipped, others with the sign bit flipped |
//! | intervals | length, then the fields that the length leaves open |
//! | FixedSizeBinary | as it is |
//! | strings and binary, last column of the key | as they are |
//! | strings and binary before other columns | `00` becomes `01 01`, `01` becomes `01 02`, then `00` ends the value |
//!
//! # Why the order is right
//!
//! Every column but the last is *self-delimiting*: of two different values of a column neither's bytes begin with the
//! other's. So bytes of two tuples differ first within the first column in which the tuples differ, and there they
//! compare as the values do. Escaping keeps the order because it maps bytes in order (`00`→`01 01`, `01`→`01 02`, `02`→`02`, …)
//! and the terminator is below all of them, so a prefix comes before what it begins. The last column needs no end: the key's own
//! length is its end. The price is that nothing may be appended to a key, and that the successor of a whole key is found otherwise
//! than that of its first columns (`range.rs`).
//!
//! # What must hold
//!
//! - One tuple has one encoding, and decoding refuses bytes that encoding never makes.
//! - The bytes of a tuple's first columns are the same whatever follows, if more than these follow in both keys.
//! - No bytes make decoding panic.
//!
//! `docs/format/key.md` has the byte map.

mod number;
mod escape;
mod column;
mod encoded;
mod range;
mod decode;
mod encoder;

#[cfg(test)]
mod tests;

pub(crate) use column::{ByteValues, KeyColumn};
pub(crate) use encoded::EncodedKeys;
pub(crate) use encoder::KeyEncoder;
pub(crate) use range::KeyRange;

/// Most bytes of a key: PostgreSQL's limit for a B-tree entry on its 8 KiB pages, rounded down.
pub(crate) const KEY_BYTES_MAX: usize = 2700;

/// Most columns of a key, as in PostgreSQL.
pub(crate) const KEY_COLUMNS_MAX: usize = 32;

/// Stands before the value of a nullable column.
const PRESENT: u8 = 0;
/// Stands for a NULL: above [`PRESENT`], so that NULLs come last.
const NULL: u8 = 1;
