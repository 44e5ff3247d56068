//! Segments: immutable files of encoded column blocks.
//!
//! A bulk load or a flush encodes rows in blocks of up to 122,880 ([`encode_block`], pure CPU, many threads) and a
//! [`SegmentWriter`] puts them into one file, synced before anybody refers to it. After that nothing in it changes. A
//! [`Segment`] opens such a file without reading it; what a query needs is read on first use, through the page cache:
//! the footer (blocks and key fences), block footers (where pages are, zone maps), pages, and the summary (statistics).
//!
//! ```text
//! ┌────────┬───────────── block 0 ─────────────┬─ block 1 ─┬─ … ─┬─────────┬────────┬─────────┐
//! │ header │ pages of column 0, 1, … │ block    │           │     │ summary │ footer │ trailer │
//! │  64 B  │ 64-byte aligned         │ footer   │           │     │         │        │  64 B   │
//! └────────┴─────────────────────────┴──────────┴───────────┴─────┴─────────┴────────┴─────────┘
//! ```
//!
//! Integers are little-endian. Everything but header and trailer is a *record*: the payload at an offset that is a
//! multiple of 64, then its length (u32) and its CRC-32 (u32), then zeros up to the next multiple of 64. The CRC covers
//! payload, length, segment id and offset, so a record cannot pass for another one, and it is checked whenever a record
//! comes into memory. [`record`] is the framing, [`footer`] and [`summary`] the metadata; `docs/format/segment.md` has
//! the same map in full. The bytes of pages belong to the [codecs](crate::codec).
//!
//! A block may carry two hidden chunks of begin and end timestamps, per row, and the generation of its delete vector.
//! Writers of version 1 write begin timestamps only, and only for blocks whose rows came from several commits that a
//! reader may still have to tell apart.

mod block;
mod bounds;
mod bytes;
mod chunk;
mod file;
mod footer;
mod record;
mod sketch;
mod summary;
#[cfg(test)]
mod tests;
mod values;
mod writer;

pub(crate) use block::{EncodedBlock, encode_block};
pub(crate) use bounds::{Bounds, compare};
pub(crate) use chunk::{ChunkPlace, ChunkReader, FooterRef};
pub(crate) use file::{ColumnBlock, Segment};
pub(crate) use footer::{BlockFooter, TIMESTAMP_CHUNK};
pub(crate) use summary::{ColumnSummary, SegmentSummary};
pub(crate) use writer::{SegmentMeta, SegmentWriter, segment_file_name};

/// Rows of a zone, the unit of zone maps.
pub const ZONE_ROWS: usize = 8192;
/// Most rows of a column block: 15 zones.
pub const BLOCK_ROWS_MAX: usize = 122_880;
