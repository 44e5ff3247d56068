//! Reading a chunk: its pages through the page cache, loaded when first touched.
//!
//! A [`ChunkReader`] lives as long as one morsel of a scan and pins the pages it has touched. Missing pages that stand
//! behind one another are read with one positioned read; each enters the cache after its checksum and its structure
//! were checked.

use super::bytes::Malformed;
use super::file::ColumnBlock;
use super::footer::{BlockFooter, ChunkFooter, PagePlace, TIMESTAMP_CHUNK};
use super::record::RecordPlace;
use crate::codec::{BoundPredicate, ColumnBuilder, Mask, Page, Shared, open_shared};
use crate::error::{Error, Result};
use crate::frames::{Contents, Frame, FrameKey, Pinned};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;
use std::ops::Range;
use std::sync::Arc;

/// Most bytes read at once when pages of a chunk are missing.
const READ_BYTES_MAX: u64 = 1 << 20;

/// A block's metadata, pinned in the page cache.
pub(crate) type FooterRef = Pinned<BlockFooter>;

/// Which chunk of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkPlace {
    /// A table column.
    Column(usize),
    /// The hidden begin timestamps.
    Begin,
    /// The hidden end timestamps.
    End,
}

/// One chunk being read.
#[derive(Debug)]
pub(crate) struct ChunkReader {
    block: Arc<ColumnBlock>,
    footer: FooterRef,
    place: ChunkPlace,
    shared: Option<Arc<Frame>>,
    pages: Vec<Option<Arc<Frame>>>,
    bytes_read: u64,
}

impl ChunkReader {
    /// A reader that has touched nothing yet.
    pub(super) fn new(block: Arc<ColumnBlock>, footer: FooterRef, place: ChunkPlace) -> Result<ChunkReader> {
        let chunk = match place {
            ChunkPlace::Column(column) => footer.columns.get(column),
            ChunkPlace::Begin => footer.begin.as_ref(),
            ChunkPlace::End => footer.end.as_ref(),
        };
        let pages = chunk.ok_or_else(|| Error::Unsupported(format!("the block has no chunk {place:?}")))?.pages.len();
        Ok(ChunkReader { block, footer, place, shared: None, pages: vec![None; pages], bytes_read: 0 })
    }

    /// Bytes this reader has read from the disk.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Clears in `mask` (bit `at + i` for row `rows.start + i` of the block) every row that fails. Fastest where
    /// `rows.start` is a multiple of 1,024 and `at` of 64.
    pub(crate) fn filter(
        &mut self,
        predicate: &BoundPredicate,
        rows: Range<usize>,
        mask: &mut Mask,
        at: usize,
    ) -> Result<()> {
        for index in self.load(rows.clone())? {
            let (start, within) = self.within(index, &rows);
            let at = at + (start + within.start - rows.start);
            self.page(index)?.filter(predicate, within, mask, at);
        }
        Ok(())
    }

    /// Appends `rows` of the block to `out`.
    pub(crate) fn decode(&mut self, rows: Range<usize>, out: &mut ColumnBuilder) -> Result<()> {
        for index in self.load(rows.clone())? {
            let (_, within) = self.within(index, &rows);
            let decoded = self.page(index)?.decode(within, out);
            decoded.map_err(|e| self.in_page(index, e))?;
        }
        Ok(())
    }

    /// Appends those of `rows` whose bit (`at + i`) is set in `mask`.
    pub(crate) fn select(&mut self, rows: Range<usize>, mask: &Mask, at: usize, out: &mut ColumnBuilder) -> Result<()> {
        for index in self.overlapping(&rows) {
            let (start, within) = self.within(index, &rows);
            let at = at + (start + within.start - rows.start);
            if !mask.any(at, within.len()) {
                continue;
            }
            self.load_pages(index..index + 1)?;
            let selected = self.page(index)?.select(within, mask, at, out);
            selected.map_err(|e| self.in_page(index, e))?;
        }
        Ok(())
    }

    /// Appends one row.
    pub(crate) fn value(&mut self, row: usize, out: &mut ColumnBuilder) -> Result<()> {
        for index in self.load(row..row + 1)? {
            let (_, within) = self.within(index, &(row..row + 1));
            self.page(index)?.value(within.start, out).map_err(|e| self.in_page(index, e))?;
        }
        Ok(())
    }

    /// Loads the pages that hold `rows`, missing neighbours with one read. Answers their indices.
    pub(crate) fn load(&mut self, rows: Range<usize>) -> Result<Range<usize>> {
        let pages = self.overlapping(&rows);
        self.load_pages(pages.clone())?;
        Ok(pages)
    }

    /// Reads every record past the cache, checks and opens it; answers the records read and every fault.
    pub(super) fn verify(&self) -> (usize, Vec<Error>) {
        let mut faults = Vec::new();
        let chunk = self.chunk();
        let shared = self.open_shared(chunk).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        if chunk.shared.is_empty() || shared.is_some() {
            for page in &chunk.pages {
                let opened =
                    self.read(&[page.record]).and_then(|bytes| self.open_pages(&[*page], bytes, shared.as_ref()));
                faults.extend(opened.err());
            }
        }
        (chunk.shared.len() + chunk.pages.len(), faults)
    }

    fn chunk(&self) -> &ChunkFooter {
        let chunk = match self.place {
            ChunkPlace::Column(column) => self.footer.columns.get(column),
            ChunkPlace::Begin => self.footer.begin.as_ref(),
            ChunkPlace::End => self.footer.end.as_ref(),
        };
        chunk.expect("checked when the reader was made")
    }

    fn data_type(&self) -> Result<DataType> {
        Ok(match self.place {
            ChunkPlace::Column(column) => self.block.segment.schema()?.field(column).data_type().clone(),
            ChunkPlace::Begin | ChunkPlace::End => TIMESTAMP_CHUNK,
        })
    }

    /// Pages that hold rows of `rows`.
    fn overlapping(&self, rows: &Range<usize>) -> Range<usize> {
        let pages = &self.chunk().pages;
        let first = pages.partition_point(|page| page.start + page.rows <= rows.start);
        let last = pages.partition_point(|page| page.start < rows.end);
        first..last.max(first)
    }

    /// First row of a page, and which of its rows belong to `rows`.
    fn within(&self, index: usize, rows: &Range<usize>) -> (usize, Range<usize>) {
        let page = &self.chunk().pages[index];
        let (first, last) = (rows.start.max(page.start), rows.end.min(page.start + page.rows));
        (page.start, first - page.start..last.max(first) - page.start)
    }

    fn page(&self, index: usize) -> Result<&Page> {
        match self.pages[index].as_ref().map(|frame| &frame.contents) {
            Some(Contents::Page(page, _)) => Ok(page),
            _ => Err(self.in_page(index, Error::Unsupported("not a page".into()))),
        }
    }

    /// An error met while decoding a page that passed its checks: the page is wrong, and this is where it is.
    fn in_page(&self, index: usize, error: Error) -> Error {
        let offset = self.chunk().pages[index].record.offset;
        match self.block.segment.opened() {
            Ok(opened) => opened.file.corrupt(offset, error.to_string()),
            Err(error) => error,
        }
    }

    fn load_pages(&mut self, wanted: Range<usize>) -> Result<()> {
        if self.pages[wanted.clone()].iter().all(Option::is_some) {
            return Ok(());
        }
        let segment = self.block.segment.clone();
        for index in wanted.clone() {
            if self.pages[index].is_none() {
                let offset = self.chunk().pages[index].record.offset;
                self.pages[index] = segment.frames().get(FrameKey { segment: segment.id(), offset });
            }
        }
        let mut index = wanted.start;
        while index < wanted.end {
            if self.pages[index].is_some() {
                index += 1;
                continue;
            }
            let run = self.missing_run(index..wanted.end);
            index = run.end;
            self.read_pages(run)?;
        }
        Ok(())
    }

    /// The missing pages from `range.start` on that one read may fetch.
    fn missing_run(&self, range: Range<usize>) -> Range<usize> {
        let pages = &self.chunk().pages;
        let start = pages[range.start].record.offset;
        let end = range.clone().find(|&index| {
            index > range.start && (self.pages[index].is_some() || pages[index].record.end() - start > READ_BYTES_MAX)
        });
        range.start..end.unwrap_or(range.end)
    }

    fn read_pages(&mut self, run: Range<usize>) -> Result<()> {
        if self.shared.is_none() && !self.chunk().shared.is_empty() {
            self.shared = self.load_shared()?;
        }
        let places = self.chunk().pages[run.clone()].to_vec();
        let records: Vec<RecordPlace> = places.iter().map(|page| page.record).collect();
        let buffers = self.read(&records)?;
        let sizes: Vec<usize> = buffers.iter().map(Buffer::len).collect();
        self.bytes_read += sizes.iter().map(|size| *size as u64).sum::<u64>();
        let shared = match self.shared.as_ref().map(|frame| &frame.contents) {
            Some(Contents::Shared(shared)) => Some(shared),
            _ => None,
        };
        let opened = self.open_pages(&places, buffers, shared)?;
        let segment = &self.block.segment;
        for (((index, page), place), bytes) in run.zip(opened).zip(places).zip(sizes) {
            let key = FrameKey { segment: segment.id(), offset: place.record.offset };
            let bytes = bytes + page.decoded_bytes() + size_of::<Frame>();
            let contents = Contents::Page(page, self.shared.clone());
            self.pages[index] = Some(segment.frames().insert(key, contents, bytes));
        }
        Ok(())
    }

    fn load_shared(&mut self) -> Result<Option<Arc<Frame>>> {
        let segment = self.block.segment.clone();
        let chunk = self.chunk();
        let key = FrameKey { segment: segment.id(), offset: chunk.shared[0].offset };
        if let Some(frame) = segment.frames().get(key) {
            return Ok(Some(frame));
        }
        let bytes: usize = chunk.shared.iter().map(|record| record.len as usize).sum();
        let shared = self.open_shared(chunk)?;
        self.bytes_read += bytes as u64;
        Ok(shared.map(|shared| segment.frames().insert(key, Contents::Shared(shared), 2 * bytes + size_of::<Frame>())))
    }

    fn open_shared(&self, chunk: &ChunkFooter) -> Result<Option<Arc<Shared>>> {
        let Some(first) = chunk.shared.first() else { return Ok(None) };
        let buffers = self.read(&chunk.shared)?;
        let opened = open_shared(&self.data_type()?, chunk.encoding, &buffers);
        opened.map(Some).map_err(|detail| self.malformed(first.offset, detail))
    }

    fn open_pages(
        &self,
        places: &[PagePlace],
        buffers: Vec<Buffer>,
        shared: Option<&Arc<Shared>>,
    ) -> Result<Vec<Page>> {
        let (data_type, encoding) = (self.data_type()?, self.chunk().encoding);
        let pages = places.iter().zip(buffers);
        let opened = pages.map(|(place, bytes)| {
            Page::open(&data_type, encoding, place.rows, bytes, shared)
                .map_err(|detail| self.malformed(place.record.offset, detail))
        });
        opened.collect()
    }

    fn read(&self, records: &[RecordPlace]) -> Result<Vec<Buffer>> {
        self.block.segment.opened()?.file.records(records)
    }

    fn malformed(&self, offset: u64, detail: Malformed) -> Error {
        match self.block.segment.opened() {
            Ok(opened) => opened.file.corrupt(offset, detail),
            Err(error) => error,
        }
    }
}
