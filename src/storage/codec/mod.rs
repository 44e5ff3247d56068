//! Column codecs: how a chunk of up to 122,880 values becomes pages of at most 64 KiB, and how pages are filtered,
//! selected and decoded in place.
//!
//! # Writing
//!
//! [`encode_chunk`] takes one column of one block. It looks at the values and chooses an encoding (`choose.rs` has the
//! rules in order), lays out pages (`layout.rs` has the bytes they all begin with), then opens and decodes what it made and
//! compares it with what it was given. So a fault in a compression library costs space, never data.
//!
//! # Reading
//!
//! [`Page::open`] checks the structure of a page once; what opens cannot make a kernel leave its bounds, whatever the
//! bytes. Reading then goes vector by vector (1,024 rows):
//!
//! 1. A condition is bound to the column type once per scan ([`BoundPredicate`]): every comparison is a test over ordered
//!    integers or over bytes. Strings in a dictionary are tested by code, because the dictionary is sorted.
//! 2. [`Page::filter`] clears the rows of a [`Mask`] that fail. A vector with no row alive is skipped, one that its smallest
//!    and largest value decide is not unpacked, the others are unpacked and compared (`kernels/`).
//! 3. [`Page::select`] appends the rows still alive to a [`ColumnBuilder`]: a few of a vector are read one by one, many by
//!    unpacking the vector. [`Page::decode`] and [`Page::value`] are the two ends of that.
//!
//! Integers that are kept as steps share their reading (`stretches.rs`), however the steps themselves are kept: packed
//! (`delta.rs`), or packed with patches or in streams, each vector as it is smallest (`tsz.rs`).
//!
//! Strings leave as views: into the dictionary's own pages, or into a buffer the decoder fills once per batch.
//!
//! # What must hold
//!
//! - NULL never passes a condition, except `IS NULL`. Slots of NULLs hold a neighbour's value and mean nothing.
//! - The same [`BoundPredicate`] judges zone maps, plain arrays and encoded pages.
//! - Bytes of a page depend on its values alone, never on the processor or on chance.
//!
//! `docs/format/codecs.md` has the byte maps of all encodings.

mod mask;
mod physical;
mod condition;
mod plain;
mod bound;
mod kernels;
mod builder;
mod layout;
mod block;
mod frame;
mod packing;
mod packed;
mod stretches;
mod delta;
mod patches;
mod tsz_stream;
mod tsz_form;
mod tsz;
mod run_length;
mod bits;
mod float;
mod alp;
mod gorilla;
mod arrow_buffers;
mod strings;
mod dictionary;
mod symbols;
mod shared;
mod fsst_strings;
mod page;
mod choose;

pub use bound::BoundPredicate;
pub use builder::ColumnBuilder;
pub(crate) use builder::Single;
pub(crate) use choose::distinct_strings;
pub use choose::encode_chunk;
pub use mask::Mask;
pub use page::Page;
pub(crate) use physical::{Integers, Native, Physical, integer_at, integers};
pub use shared::{Shared, open_shared};

/// Rows of a vector, the unit of bit-packing and of min/max inside a page.
pub const VECTOR_ROWS: usize = 1024;
/// Most bytes of an encoded page; only a single huge value may exceed it.
pub const PAGE_BYTES_MAX: usize = 64 * 1024;

/// Encoding tag of a chunk, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// One value (or NULL) for all rows.
    Constant = 1,
    /// Frame of reference, GCD, bit-packed.
    Packed = 2,
    /// Delta of ascending integers, then packed.
    Delta = 3,
    /// Run-length.
    RunLength = 4,
    /// Dictionary codes, packed.
    Dictionary = 5,
    /// FSST-compressed strings.
    Fsst = 6,
    /// LZ4-compressed strings.
    Lz4Strings = 7,
    /// Booleans as bits.
    Bits = 8,
    /// Floats, raw + LZ4.
    Float = 9,
    /// Arrow buffers + LZ4; every type.
    Arrow = 10,
    /// Floats as decimal integers, packed.
    Alp = 11,
    /// Delta of integers in any order, then packed.
    Steps = 12,
    /// Floats XORed with the one before.
    Gorilla = 13,
    /// Delta of integers, most of them alike: packed with patches, or tsz-compress streams of them or of their changes.
    Tsz = 14,
}

impl Encoding {
    /// The encoding with this tag.
    pub fn from_tag(tag: u8) -> Option<Encoding> {
        Some(match tag {
            1 => Encoding::Constant,
            2 => Encoding::Packed,
            3 => Encoding::Delta,
            4 => Encoding::RunLength,
            5 => Encoding::Dictionary,
            6 => Encoding::Fsst,
            7 => Encoding::Lz4Strings,
            8 => Encoding::Bits,
            9 => Encoding::Float,
            10 => Encoding::Arrow,
            11 => Encoding::Alp,
            12 => Encoding::Steps,
            13 => Encoding::Gorilla,
            14 => Encoding::Tsz,
            _ => return None,
        })
    }

    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Constant => "constant",
            Encoding::Packed => "packed",
            Encoding::Delta => "delta",
            Encoding::RunLength => "run-length",
            Encoding::Dictionary => "dictionary",
            Encoding::Fsst => "fsst",
            Encoding::Lz4Strings => "lz4",
            Encoding::Bits => "bits",
            Encoding::Float => "float",
            Encoding::Arrow => "arrow",
            Encoding::Alp => "alp",
            Encoding::Steps => "steps",
            Encoding::Gorilla => "gorilla",
            Encoding::Tsz => "tsz",
        }
    }
}

/// One encoded page.
#[derive(Clone, Debug)]
pub struct EncodedPage {
    /// Rows in it; a multiple of [`VECTOR_ROWS`] in all but the last page of a chunk, except where one vector of long
    /// strings does not fit a page: then any number from 1 on.
    pub rows: usize,
    /// Payload.
    pub bytes: Vec<u8>,
}

/// One encoded chunk.
#[derive(Clone, Debug)]
pub struct EncodedChunk {
    /// Encoding of every page.
    pub encoding: Encoding,
    /// Dictionary or symbol-table pages, in order; empty for most encodings.
    pub shared: Vec<Vec<u8>>,
    /// Data pages in row order.
    pub pages: Vec<EncodedPage>,
    /// NULLs.
    pub nulls: usize,
    /// Bytes as plain Arrow.
    pub raw_bytes: usize,
}

#[cfg(test)]
mod tests;
