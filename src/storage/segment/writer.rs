//! Writing a segment: blocks in, a synced file out, or no file at all.

use super::block::{EncodedBlock, EncodedColumn};
use super::bytes::ByteWriter;
use super::file::{BlockEntry, write_footer};
use super::footer::{BlockFooter, ChunkFooter, PagePlace};
use super::record::{RecordPlace, Trailer, header, write_record};
use super::summary::{ColumnSummary, SegmentSummary};
use crate::error::{Error, Result};
use crate::ids::{SegmentId, TableId};
use arrow::datatypes::SchemaRef;
use lightning_vfs::{File, OpenMode, Vfs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Name of a segment's file.
pub(crate) fn segment_file_name(id: SegmentId) -> String {
    format!("{:012}.seg", id.0)
}

/// A finished segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentMeta {
    /// Its id.
    pub(crate) id: SegmentId,
    /// The table its rows belong to.
    pub(crate) table: TableId,
    /// The file.
    pub(crate) path: PathBuf,
    /// Rows.
    pub(crate) rows: u64,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Rows of each block.
    pub(crate) blocks: Vec<u32>,
}

/// Writes one segment file. Dropped before [`SegmentWriter::finish`] succeeded, it removes the file.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    vfs: Arc<dyn Vfs>,
    file: Arc<dyn File>,
    path: PathBuf,
    id: SegmentId,
    table: TableId,
    schema: SchemaRef,
    key: Vec<usize>,
    offset: u64,
    blocks: Vec<BlockEntry>,
    summary: SegmentSummary,
    finished: bool,
}

impl SegmentWriter {
    /// Creates the file of segment `id` in `dir`, for rows of `schema` ordered by the `key` columns within each block.
    pub(crate) fn create(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        id: SegmentId,
        table: TableId,
        schema: SchemaRef,
        key: &[usize],
    ) -> Result<SegmentWriter> {
        let path = dir.join(segment_file_name(id));
        let file = vfs.open(&path, OpenMode::CreateNew).map_err(|e| Error::io(&path, "create", e))?;
        let columns = schema.fields().iter().map(|_| ColumnSummary::empty()).collect();
        let mut writer = SegmentWriter {
            vfs,
            file,
            path,
            id,
            table,
            schema,
            key: key.to_vec(),
            offset: 0,
            blocks: Vec::new(),
            summary: SegmentSummary { columns },
            finished: false,
        };
        writer.write(&header(id, table))?;
        Ok(writer)
    }

    /// Bytes written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.offset
    }

    /// Which segment it is.
    pub(crate) fn id(&self) -> SegmentId {
        self.id
    }

    /// Writes a block behind those before.
    pub(crate) fn append(&mut self, block: EncodedBlock) -> Result<()> {
        if block.columns.len() != self.schema.fields().len() {
            let detail = format!("{} columns where there are {}", block.columns.len(), self.schema.fields().len());
            return Err(Error::SchemaMismatch { table: self.table, detail });
        }
        let mut out = Vec::with_capacity(block.bytes() + 64 * 1024);
        let mut columns = Vec::with_capacity(block.columns.len());
        for (column, summary) in block.columns.iter().zip(&mut self.summary.columns) {
            let chunk = write_chunk(&mut out, column, self.id, self.offset);
            let mut own = column.summary();
            own.stored_bytes = chunk.stored_bytes();
            summary.merge(&own);
            columns.push(chunk);
        }
        let begin = block.begin.as_ref().map(|column| write_chunk(&mut out, column, self.id, self.offset));
        let footer = BlockFooter { rows: block.rows, delete_generation: 0, columns, begin, end: None };
        let mut bytes = ByteWriter::default();
        footer.write(&mut bytes);
        let at = self.offset + out.len() as u64;
        let place = write_record(&mut out, &bytes.bytes, self.id, at);
        self.write(&out)?;
        let (first_key, last_key) = (block.first_key, block.last_key);
        self.blocks.push(BlockEntry {
            rows: block.rows,
            footer: place,
            first_key,
            last_key,
            zone_heads: OnceLock::new(),
        });
        Ok(())
    }

    /// Writes the metadata and syncs the file. The name is durable once the caller has synced the directory.
    pub(crate) fn finish(mut self) -> Result<SegmentMeta> {
        let mut out = Vec::new();
        let mut bytes = ByteWriter::default();
        self.summary.write(&mut bytes, &self.schema);
        let summary = write_record(&mut out, &bytes.bytes, self.id, self.offset);
        let mut bytes = ByteWriter::default();
        write_footer(&mut bytes, &self.schema, &self.key, &self.blocks)?;
        let at = self.offset + out.len() as u64;
        let footer = write_record(&mut out, &bytes.bytes, self.id, at);
        let blocks = self.blocks.len() as u32;
        out.extend_from_slice(&Trailer { segment: self.id, table: self.table, blocks, footer, summary }.to_bytes());
        self.write(&out)?;
        self.file.sync().map_err(|e| Error::io(&self.path, "sync", e))?;
        self.finished = true;
        Ok(SegmentMeta {
            id: self.id,
            table: self.table,
            path: self.path.clone(),
            rows: self.blocks.iter().map(|block| block.rows as u64).sum(),
            bytes: self.offset,
            blocks: self.blocks.iter().map(|block| block.rows as u32).collect(),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.offset).map_err(|e| Error::io(&self.path, "write", e))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing refers to the file; if it cannot be removed now, it is an orphan that recovery removes.
            let _ = self.vfs.remove(&self.path);
        }
    }
}

/// Appends the records of a chunk to `out`, whose first byte will stand at `base`.
fn write_chunk(out: &mut Vec<u8>, column: &EncodedColumn, segment: SegmentId, base: u64) -> ChunkFooter {
    let chunk = &column.chunk;
    let mut record = |bytes: &[u8]| -> RecordPlace {
        let offset = base + out.len() as u64;
        write_record(out, bytes, segment, offset)
    };
    let shared = chunk.shared.iter().map(|bytes| record(bytes)).collect();
    let mut pages = Vec::with_capacity(chunk.pages.len());
    let mut start = 0;
    for page in &chunk.pages {
        pages.push(PagePlace { record: record(&page.bytes), start, rows: page.rows });
        start += page.rows;
    }
    ChunkFooter {
        encoding: chunk.encoding,
        shared,
        pages,
        nulls: chunk.nulls as u64,
        raw_bytes: chunk.raw_bytes as u64,
        bounds: column.bounds.clone(),
        zones: column.zones.clone(),
    }
}
