//! An open segment and its blocks.
//!
//! ```text
//! footer  length u32 · Arrow schema (a flatbuffer message) · key columns u32 · column u32 each
//!         · blocks u32 · per block: rows u32 · offset u64 and length u32 of its footer · first key · last key
//! ```
//!
//! A key is a count (u32) and that many values of length 1; 0 when the table has no key or its type has no order.

use super::bytes::{ByteReader, ByteWriter, Malformed};
use super::chunk::{ChunkPlace, ChunkReader, FooterRef};
use super::footer::BlockFooter;
use super::record::{EDGE_BYTES, RecordPlace, SegmentFile};
use super::summary::SegmentSummary;
use super::values::{read_values, write_values};
use super::{BLOCK_ROWS_MAX, ZONE_ROWS};
use crate::batch_bytes::{schema_from_bytes, schema_to_bytes};
use crate::dead::BlockId;
use crate::error::{Error, Result};
use crate::frames::{Contents, FrameKey, Frames, Kept, Pinned};
use crate::ids::{SegmentId, TableId};
use crate::key::{EncodedKeys, KeyEncoder};
use crate::lookup::{KeyFilter, Tails};
use arrow::array::{Array, ArrayRef};
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use lightning_vfs::{OpenMode, Vfs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A segment file. Opening it reads nothing; what is needed is read on first use and checked then.
#[derive(Debug)]
pub(crate) struct Segment {
    vfs: Arc<dyn Vfs>,
    frames: Arc<Frames>,
    path: PathBuf,
    id: SegmentId,
    opened: OnceLock<Opened>,
}

/// What is known once the trailer and the footer were read.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: SegmentFile,
    pub(super) schema: SchemaRef,
    /// Columns of the key.
    key: Vec<usize>,
    pub(super) table: TableId,
    pub(super) blocks: Vec<BlockEntry>,
    summary: RecordPlace,
}

/// A block as the segment's footer lists it.
#[derive(Clone, Debug)]
pub(super) struct BlockEntry {
    pub(super) rows: usize,
    pub(super) footer: RecordPlace,
    pub(super) first_key: Vec<ArrayRef>,
    pub(super) last_key: Vec<ArrayRef>,
    /// See [`ColumnBlock::zone_heads`].
    pub(super) zone_heads: OnceLock<Option<EncodedKeys>>,
}

/// What [`Segment::verify`] saw.
#[derive(Debug, Default)]
pub(crate) struct SegmentCheck {
    /// Records whose checksum was verified and whose structure was opened.
    pub(crate) pages: usize,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Every fault.
    pub(crate) faults: Vec<Error>,
}

impl Segment {
    /// The segment `id` in the file at `path`.
    pub(crate) fn open(vfs: Arc<dyn Vfs>, frames: Arc<Frames>, path: &Path, id: SegmentId) -> Arc<Segment> {
        Arc::new(Segment { vfs, frames, path: path.to_path_buf(), id, opened: OnceLock::new() })
    }

    /// Its id.
    pub(crate) fn id(&self) -> SegmentId {
        self.id
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its rows' columns.
    pub(crate) fn schema(&self) -> Result<&SchemaRef> {
        Ok(&self.opened()?.schema)
    }

    /// Its blocks, in file order.
    pub(crate) fn blocks(self: &Arc<Self>) -> Result<Vec<Arc<ColumnBlock>>> {
        let blocks = self.opened()?.blocks.iter().enumerate();
        Ok(blocks
            .map(|(index, entry)| Arc::new(ColumnBlock { segment: self.clone(), index, rows: entry.rows }))
            .collect())
    }

    /// Statistics of all its rows.
    pub(crate) fn summary(&self) -> Result<Pinned<SegmentSummary>> {
        let opened = self.opened()?;
        let key = FrameKey { segment: self.id, offset: opened.summary.offset };
        if let Some(frame) = self.frames.get(key) {
            return Pinned::new(frame);
        }
        let summary = opened.read_summary()?;
        let size = summary.memory_bytes();
        Pinned::new(self.frames.insert(key, Contents::Summary(summary), size))
    }

    /// Drops what the cache holds of it. For segments that are about to be removed.
    pub(crate) fn forget(&self) {
        self.frames.forget(self.id);
    }

    /// Reads every byte that matters, past the cache, and reports every fault.
    pub(crate) fn verify(self: &Arc<Self>) -> SegmentCheck {
        let mut check = SegmentCheck::default();
        match self.opened().and_then(|opened| Ok((opened, self.blocks()?))) {
            Ok((opened, blocks)) => {
                check.bytes = opened.file.len();
                check.pages += 2;
                check.faults.extend(opened.file.check_header(opened.table).err());
                check.faults.extend(opened.read_summary().err());
                for block in blocks {
                    let verified = block.verify(&mut check);
                    check.faults.extend(verified.err());
                }
            }
            Err(fault) => check.faults.push(fault),
        }
        check
    }

    pub(super) fn frames(&self) -> &Arc<Frames> {
        &self.frames
    }

    /// Reads trailer and footer, once.
    pub(super) fn opened(&self) -> Result<&Opened> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let file = self.vfs.open(&self.path, OpenMode::Read).map_err(|e| Error::io(&self.path, "open", e))?;
        let file = SegmentFile::new(&self.path, self.id, file)?;
        let trailer = file.trailer()?;
        let bytes = file.record(trailer.footer)?;
        let (schema, key, blocks) =
            read_footer(&bytes).map_err(|detail| file.corrupt(trailer.footer.offset, format!("footer: {detail}")))?;
        if blocks.len() != trailer.blocks as usize {
            return Err(file.corrupt(trailer.footer.offset, "footer and trailer disagree on the number of blocks"));
        }
        let (table, summary) = (trailer.table, trailer.summary);
        Ok(self.opened.get_or_init(|| Opened { file, schema, key, table, blocks, summary }))
    }
}

impl Opened {
    fn read_summary(&self) -> Result<SegmentSummary> {
        let bytes = self.file.record(self.summary)?;
        let summary = SegmentSummary::read(&bytes, &self.schema);
        summary.map_err(|detail| self.file.corrupt(self.summary.offset, format!("summary: {detail}")))
    }
}

/// One block of a segment: up to 122,880 rows in encoded columns.
#[derive(Debug)]
pub(crate) struct ColumnBlock {
    pub(super) segment: Arc<Segment>,
    index: usize,
    rows: usize,
}

impl ColumnBlock {
    /// What names it.
    pub(crate) fn id(&self) -> BlockId {
        BlockId::Stored(self.segment.id, self.index as u32)
    }

    /// The segment it is in.
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Keys of the first and the last row, one array of length 1 per key column; empty without a key.
    pub(crate) fn fences(&self) -> Result<(&[ArrayRef], &[ArrayRef])> {
        let entry = &self.segment.opened()?.blocks[self.index];
        Ok((&entry.first_key, &entry.last_key))
    }

    /// The smallest value of the first key column in each zone, as keys of `encoder` begin with it; computed on first use. `None` when
    /// the zone map does not have just these.
    pub(crate) fn zone_heads(&self, encoder: &KeyEncoder) -> Result<Option<&EncodedKeys>> {
        let opened = self.segment.opened()?;
        let known = &opened.blocks[self.index].zone_heads;
        if let Some(heads) = known.get() {
            return Ok(heads.as_ref());
        }
        let footer = self.footer()?;
        let heads = match opened.key.first().and_then(|column| footer.columns.get(*column)) {
            Some(column) if column.zones.are_values() && column.zones.mins.len() == self.rows.div_ceil(ZONE_ROWS) => {
                Some(encoder.encode_prefix(std::slice::from_ref(&column.zones.mins))?)
            }
            _ => None,
        };
        Ok(known.get_or_init(|| heads).as_ref())
    }

    /// Its metadata, read on first use.
    pub(crate) fn footer(&self) -> Result<FooterRef> {
        let opened = self.segment.opened()?;
        let place = opened.blocks[self.index].footer;
        let key = FrameKey { segment: self.segment.id, offset: place.offset };
        if let Some(frame) = self.segment.frames.get(key) {
            return FooterRef::new(frame);
        }
        let footer = self.read_footer(opened)?;
        let bytes = footer.memory_bytes();
        FooterRef::new(self.segment.frames.insert(key, Contents::Footer(Box::new(footer)), bytes))
    }

    /// Where its groups of keys end, found by `find` on first use.
    pub(crate) fn tails(&self, find: impl FnOnce() -> Result<Tails>) -> Result<Pinned<Tails>> {
        self.derived(1, || {
            let tails = find()?;
            let bytes = tails.memory_bytes();
            Ok((Contents::Tails(tails), bytes))
        })
    }

    /// Which keys it does not have, found by `find` on first use.
    pub(crate) fn key_filter(&self, find: impl FnOnce() -> Result<KeyFilter>) -> Result<Pinned<KeyFilter>> {
        self.derived(2, || {
            let filter = find()?;
            let bytes = filter.memory_bytes();
            Ok((Contents::Filter(filter), bytes))
        })
    }

    /// What follows from its rows, with its bytes; `number` names it, so many bytes into the block's footer, where no record begins.
    fn derived<T: Kept>(&self, number: u64, find: impl FnOnce() -> Result<(Contents, usize)>) -> Result<Pinned<T>> {
        let place = self.segment.opened()?.blocks[self.index].footer;
        let key = FrameKey { segment: self.segment.id, offset: place.offset + number };
        if let Some(frame) = self.segment.frames.get(key) {
            return Pinned::new(frame);
        }
        let (contents, bytes) = find()?;
        Pinned::new(self.segment.frames.insert(key, contents, bytes))
    }

    /// A reader of one chunk; `footer` is this block's.
    pub(crate) fn chunk(self: &Arc<Self>, footer: &FooterRef, place: ChunkPlace) -> Result<ChunkReader> {
        ChunkReader::new(self.clone(), footer.clone(), place)
    }

    fn read_footer(&self, opened: &Opened) -> Result<BlockFooter> {
        let place = opened.blocks[self.index].footer;
        let bytes = opened.file.record(place)?;
        let footer = BlockFooter::read(&bytes, &opened.schema)
            .map_err(|detail| opened.file.corrupt(place.offset, format!("block footer: {detail}")))?;
        if footer.rows != self.rows {
            return Err(opened.file.corrupt(place.offset, "block footer and segment footer disagree on the rows"));
        }
        Ok(footer)
    }

    fn verify(self: &Arc<Self>, check: &mut SegmentCheck) -> Result<()> {
        let opened = self.segment.opened()?;
        // Past the cache: what is on the disk now is what counts.
        self.read_footer(opened)?;
        check.pages += 1;
        let footer = self.footer()?;
        let columns = (0..footer.columns.len()).map(ChunkPlace::Column);
        let hidden = [footer.begin.as_ref().map(|_| ChunkPlace::Begin), footer.end.as_ref().map(|_| ChunkPlace::End)];
        for place in columns.chain(hidden.into_iter().flatten()) {
            let (pages, faults) = self.chunk(&footer, place)?.verify();
            check.pages += pages;
            check.faults.extend(faults);
        }
        Ok(())
    }
}

/// Appends the segment's footer.
pub(super) fn write_footer(
    out: &mut ByteWriter,
    schema: &SchemaRef,
    key: &[usize],
    blocks: &[BlockEntry],
) -> Result<()> {
    out.sized(&schema_to_bytes(schema)?);
    out.u32(key.len() as u32);
    key.iter().for_each(|column| out.u32(*column as u32));
    out.u32(blocks.len() as u32);
    for block in blocks {
        out.u32(block.rows as u32);
        out.u64(block.footer.offset);
        out.u32(block.footer.len);
        for fence in [&block.first_key, &block.last_key] {
            out.u32(fence.len() as u32);
            fence.iter().for_each(|value| write_values(out, value));
        }
    }
    Ok(())
}

type Footer = (SchemaRef, Vec<usize>, Vec<BlockEntry>);

fn read_footer(bytes: &[u8]) -> std::result::Result<Footer, Malformed> {
    let input = &mut ByteReader::new(bytes);
    // Flatbuffers are read in place and want alignment.
    let schema = schema_from_bytes(&Buffer::from_slice_ref(input.sized()?)).map_err(|e| e.to_string())?;
    let mut key = Vec::new();
    for _ in 0..input.count(4)? {
        let column = input.u32()? as usize;
        if column >= schema.fields().len() {
            return Err(format!("key column {column} of {}", schema.fields().len()));
        }
        key.push(column);
    }
    let mut blocks = Vec::new();
    for _ in 0..input.count(24)? {
        let rows = input.u32()? as usize;
        let footer = RecordPlace { offset: input.u64()?, len: input.u32()? };
        if rows == 0 || rows > BLOCK_ROWS_MAX || footer.offset < EDGE_BYTES as u64 || footer.offset > 1 << 60 {
            return Err(format!("block {} cannot be", blocks.len()));
        }
        let mut fence = || {
            let count = input.count(1)?;
            if count != 0 && count != key.len() {
                return Err(format!("a fence of {count} values for a key of {}", key.len()));
            }
            let columns = key.iter().take(count);
            columns.map(|column| read_values(input, schema.field(*column).data_type()).and_then(one)).collect()
        };
        let (first_key, last_key) = (fence()?, fence()?);
        blocks.push(BlockEntry { rows, footer, first_key, last_key, zone_heads: OnceLock::new() });
    }
    input.end()?;
    Ok((schema, key, blocks))
}

fn one(values: ArrayRef) -> std::result::Result<ArrayRef, Malformed> {
    if values.len() == 1 { Ok(values) } else { Err("a fence that is not one value".into()) }
}
