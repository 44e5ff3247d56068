//! Pages of FSST-compressed strings: any row can be decoded alone.
//!
//! ```text
//! page header          field 12: bytes of all codes   field 16: bytes of all strings, decoded
//! vector starts        u32, one a vector and one more: where its codes begin
//! lengths              a packed section: bytes of codes of each row, 0 for NULL
//! raw lengths          a packed section: bytes of each row's string, 0 for NULL
//! codes                the rows' codes, one after the other
//! ```
//!
//! Neighbouring rows are decoded in one go, and the raw lengths say where each string ends.

use super::builder::Views;
use super::condition::BytesTest;
use super::layout::{PageReader, PageWriter, validity_bytes};
use super::mask::Mask;
use super::packed::{Packed, vectors};
use super::packing::Plan;
use super::physical::Text;
use super::shared::Shared;
use super::symbols::{self, Symbols};
use super::{EncodedPage, Encoding, PAGE_BYTES_MAX, VECTOR_ROWS};
use crate::error::{Error, Result};
use arrow::array::{Array, BinaryViewArray, make_view};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use std::ops::Range;
use std::sync::Arc;

/// Header field: bytes of all codes.
const CODE_BYTES_AT: usize = 12;
/// Header field: bytes of all strings.
const RAW_BYTES_AT: usize = 16;

/// A column compressed as a whole, not yet cut into pages.
pub(crate) struct Encoded {
    symbols: Vec<u8>,
    codes: Vec<u8>,
    lengths: Vec<i64>,
    raw_lengths: Vec<i64>,
}

/// Strings per sample piece and pieces of a training sample.
const SAMPLE_RUN: usize = 16;
/// Bytes of a training sample; the trainer itself looks at about 16 KiB of it.
const SAMPLE_BYTES: usize = 64 * 1024;

/// A spread sample of the values, about [`SAMPLE_BYTES`] of them.
pub(crate) fn sample(values: &BinaryViewArray) -> Vec<&[u8]> {
    let rows = values.len();
    let mut sample = Vec::new();
    let mut bytes = 0;
    let runs = rows.div_ceil(SAMPLE_RUN);
    // Visit the runs in an order that spreads over the column: an odd stride prime to their number.
    let stride = (1..).map(|i| runs * 7 / 16 + i).find(|stride| gcd(*stride, runs) == 1).unwrap_or(1);
    for i in 0..runs {
        let start = i * stride % runs * SAMPLE_RUN;
        for row in (start..(start + SAMPLE_RUN).min(rows)).filter(|&row| values.is_valid(row)) {
            let value = values.value(row);
            let value = &value[..value.len().min(SAMPLE_BYTES / 8)];
            bytes += value.len();
            sample.push(value);
        }
        if bytes > SAMPLE_BYTES {
            break;
        }
    }
    sample
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Encoded {
    /// Compresses `values`, `raw_bytes` in all, with a trained table.
    pub(crate) fn new(values: &BinaryViewArray, compressor: &fsst::Compressor, raw_bytes: usize) -> Encoded {
        let mut encoded = Encoded {
            symbols: symbols::page(compressor),
            codes: Vec::with_capacity(raw_bytes / 2),
            lengths: Vec::with_capacity(values.len()),
            raw_lengths: Vec::with_capacity(values.len()),
        };
        let mut scratch = Vec::new();
        for row in 0..values.len() {
            let value: &[u8] = if values.is_null(row) { &[] } else { values.value(row) };
            let before = encoded.codes.len();
            symbols::compress(compressor, value, &mut scratch, &mut encoded.codes);
            encoded.lengths.push((encoded.codes.len() - before) as i64);
            encoded.raw_lengths.push(value.len() as i64);
        }
        encoded
    }

    /// The symbol table's page and the data pages.
    pub(crate) fn into_pages(self, nulls: Option<&NullBuffer>) -> (Vec<Vec<u8>>, Vec<EncodedPage>) {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let mut pages = Vec::new();
        let (mut row, mut code) = (0, 0);
        while row < self.lengths.len() {
            let rows = self.rows_of_page(row, nulls.is_some());
            let code_end = code + self.lengths[row..row + rows].iter().sum::<i64>() as usize;
            let nulls = nulls.map(|nulls| nulls.slice(row, rows));
            pages.push(EncodedPage { rows, bytes: self.page(row..row + rows, code..code_end, nulls.as_ref()) });
            (row, code) = (row + rows, code_end);
        }
        (vec![self.symbols], pages)
    }

    /// Rows that fit a page from `row` on: whole vectors if at least one does, else as many rows as do.
    fn rows_of_page(&self, row: usize, nullable: bool) -> usize {
        const PIECES: usize = 20 * super::layout::PIECE_ALIGNMENT;
        let (rest, raw) = (&self.lengths[row..], &self.raw_lengths[row..]);
        let vector_overhead = 50 + if nullable { validity_bytes(VECTOR_ROWS) } else { 0 };
        let mut bytes = PIECES;
        let mut rows = 0;
        for (vector, raw) in rest.chunks(VECTOR_ROWS).zip(raw.chunks(VECTOR_ROWS)) {
            let lengths = packed_lengths(vector) + packed_lengths(raw);
            let vector_bytes = vector.iter().sum::<i64>() as usize + lengths + vector_overhead;
            if bytes + vector_bytes > PAGE_BYTES_MAX {
                break;
            }
            bytes += vector_bytes;
            rows += vector.len();
        }
        if rows > 0 {
            return rows;
        }
        let first = &rest[..rest.len().min(VECTOR_ROWS)];
        let lengths = packed_lengths(first) + packed_lengths(&raw[..first.len()]);
        let mut bytes = PIECES + vector_overhead + lengths;
        let fit = first.iter().take_while(|length| {
            bytes += **length as usize;
            bytes <= PAGE_BYTES_MAX
        });
        fit.count().max(1)
    }

    fn page(&self, rows: Range<usize>, codes: Range<usize>, nulls: Option<&NullBuffer>) -> Vec<u8> {
        let lengths = &self.lengths[rows.clone()];
        let mut page = PageWriter::new(Encoding::Fsst, rows.len(), nulls);
        page.field(CODE_BYTES_AT, codes.len() as u32);
        let raw_lengths = &self.raw_lengths[rows.clone()];
        page.field(RAW_BYTES_AT, raw_lengths.iter().sum::<i64>() as u32);
        let starts = page.piece();
        let mut start = 0u32;
        starts.extend_from_slice(&start.to_le_bytes());
        for vector in lengths.chunks(VECTOR_ROWS) {
            start += vector.iter().sum::<i64>() as u32;
            starts.extend_from_slice(&start.to_le_bytes());
        }
        for lengths in [lengths, raw_lengths] {
            let plan = Plan::new(lengths).expect("64-bit values always have a plan");
            plan.write_section(lengths, 0..plan.vectors(), &mut page);
        }
        page.piece().extend_from_slice(&self.codes[codes]);
        page.finish()
    }
}

/// Bytes the lengths of a vector take when packed.
fn packed_lengths(lengths: &[i64]) -> usize {
    let (min, max) = lengths.iter().fold((i64::MAX, 0), |(min, max), &v| (min.min(v), max.max(v)));
    (64 - ((max - min.min(max)) as u64).leading_zeros()) as usize * VECTOR_ROWS / 8
}

/// An opened page.
#[derive(Debug)]
pub(crate) struct FsstPage {
    shared: Arc<Shared>,
    starts: ScalarBuffer<u32>,
    lengths: Packed<i64>,
    raw_lengths: Packed<i64>,
    codes: Buffer,
    rows: usize,
    raw_bytes: usize,
    /// What is decoded must be checked to be UTF-8.
    check_utf8: bool,
}

impl FsstPage {
    /// Checks and opens a page.
    pub(crate) fn open(
        reader: &mut PageReader,
        rows: usize,
        text: Text,
        shared: Arc<Shared>,
    ) -> std::result::Result<FsstPage, String> {
        let symbols = shared.symbols().ok_or("compressed strings without a symbol table")?;
        let code_bytes = reader.field(CODE_BYTES_AT) as usize;
        let raw_bytes = reader.field(RAW_BYTES_AT) as usize;
        let starts = reader.take_numbers::<u32>(rows.div_ceil(VECTOR_ROWS) + 1)?;
        let lengths = Packed::open(reader, rows)?;
        let raw_lengths = Packed::open(reader, rows)?;
        let codes = reader.take(code_bytes)?;
        let check_utf8 = text == Text::Utf8 && !symbols.decodes_to_ascii(&codes);
        let page = FsstPage { starts, lengths, raw_lengths, codes, rows, raw_bytes, check_utf8, shared };
        page.check_lengths()?;
        Ok(page)
    }

    /// Every row's codes must lie inside those of its vector, the vectors' inside the page, and no code can stand for more
    /// than eight bytes.
    fn check_lengths(&self) -> std::result::Result<(), String> {
        let mut lengths = Lengths::default();
        let (mut codes, mut raw) = (0usize, 0usize);
        for vector in 0..self.starts.len() - 1 {
            if self.starts[vector] as usize != codes {
                return Err(format!("codes of vector {vector} begin at a wrong place"));
            }
            self.lengths_of(vector, &mut lengths);
            for (&length, &raw_length) in lengths.codes.iter().zip(&lengths.raw) {
                if length as usize > self.codes.len() || raw_length as usize > length as usize * 8 {
                    return Err(format!("a string of vector {vector} has an impossible length"));
                }
                codes += length as usize;
                raw += raw_length as usize;
            }
        }
        if self.starts[self.starts.len() - 1] as usize != codes || codes != self.codes.len() || raw != self.raw_bytes {
            return Err("compressed strings have a wrong total length".into());
        }
        Ok(())
    }

    fn lengths_of(&self, vector: usize, lengths: &mut Lengths) {
        let rows = vector * VECTOR_ROWS..((vector + 1) * VECTOR_ROWS).min(self.rows);
        lengths.codes.clear();
        lengths.raw.clear();
        let narrow = |length| u32::try_from(length).unwrap_or(u32::MAX);
        self.lengths.decode(rows.clone(), narrow, &mut lengths.codes);
        self.raw_lengths.decode(rows, narrow, &mut lengths.raw);
    }

    fn symbols(&self) -> &Symbols {
        self.shared.symbols().expect("checked when the page was opened")
    }

    /// Calls `each` with runs of neighbouring rows of `range` that are alive, in order.
    fn for_each_run(
        &self,
        range: Range<usize>,
        mask: Option<(&Mask, usize)>,
        mut each: impl FnMut(Run<'_>) -> Result<()>,
    ) -> Result<()> {
        let start = range.start;
        let mut lengths = Lengths::default();
        for (vector, rows) in vectors(range) {
            let offset = vector * VECTOR_ROWS + rows.start - start;
            if mask.is_some_and(|(mask, at)| !mask.any(at + offset, rows.len())) {
                continue;
            }
            self.lengths_of(vector, &mut lengths);
            let mut code = self.starts[vector] as usize;
            let mut done = 0;
            let mut result = Ok(());
            let mut emit = |run: Range<usize>| {
                let in_vector = rows.start + run.start..rows.start + run.end;
                code += total(&lengths.codes[done..in_vector.start]);
                let end = code + total(&lengths.codes[in_vector.clone()]);
                if result.is_ok() {
                    result = each(Run {
                        first: offset + run.start,
                        codes: &self.codes[code..end],
                        raw_lengths: &lengths.raw[in_vector.clone()],
                    });
                }
                (code, done) = (end, in_vector.end);
            };
            match mask {
                None => emit(0..rows.len()),
                Some((mask, at)) => mask.runs(at + offset, rows.len(), &mut emit),
            }
            result?;
        }
        Ok(())
    }

    /// Appends one row: only its vector's lengths are looked at, and only its own codes.
    pub(crate) fn value(&self, row: usize, out: &mut Views) -> Result<()> {
        let (vector, index) = (row / VECTOR_ROWS, row % VECTOR_ROWS);
        let before = self.lengths.sum(vector, 0..index) as usize;
        let start = self.starts[vector] as usize + before;
        let codes = &self.codes[start..start + self.lengths.get(row) as usize];
        let raw_bytes = self.raw_lengths.get(row) as usize;
        let (number, buffer, views) = out.writable(raw_bytes);
        let start = buffer.len();
        if !self.symbols().decode(codes, raw_bytes, buffer) {
            return Err(damaged("does not have the length it should"));
        }
        let value = &buffer[start..];
        if self.check_utf8 && std::str::from_utf8(value).is_err() {
            return Err(damaged("is not UTF-8"));
        }
        views.push(make_view(value, number, start as u32));
        Ok(())
    }

    /// Appends rows `range`, or those alive in `mask`.
    pub(crate) fn read(&self, range: Range<usize>, mask: Option<(&Mask, usize)>, out: &mut Views) -> Result<()> {
        let before = out.views().len();
        let symbols = self.symbols();
        let wanted = mask.map_or(range.len(), |(mask, at)| mask.count_range(at, range.len()));
        out.writable(self.raw_bytes / self.rows * wanted);
        let read = self.for_each_run(range, mask, |run| {
            let raw_bytes = total(run.raw_lengths);
            let (number, buffer, views) = out.writable(raw_bytes);
            let mut start = buffer.len();
            if !symbols.decode(run.codes, raw_bytes, buffer) {
                return Err(damaged("does not have the length it should"));
            }
            for &length in run.raw_lengths {
                let value = &buffer[start..start + length as usize];
                if self.check_utf8 && std::str::from_utf8(value).is_err() {
                    return Err(damaged("is not UTF-8"));
                }
                views.push(make_view(value, number, start as u32));
                start += length as usize;
            }
            Ok(())
        });
        if read.is_err() {
            out.views().truncate(before);
        }
        read
    }

    /// Kills in `mask` the rows of `range` that fail.
    pub(crate) fn filter(&self, test: &BytesTest, range: Range<usize>, mask: &mut Mask, at: usize) {
        let mut passed = vec![0u64; range.len().div_ceil(64)];
        let symbols = self.symbols();
        let mut text = Vec::new();
        let rows = range.len();
        // Rows that cannot be decoded do not pass; reading them reports the damage.
        let _ = self.for_each_run(range, Some((&*mask, at)), |run| {
            text.clear();
            if !symbols.decode(run.codes, total(run.raw_lengths), &mut text) {
                return Err(damaged("does not have the length it should"));
            }
            let mut start = 0;
            for (i, &length) in run.raw_lengths.iter().enumerate() {
                let value = &text[start..start + length as usize];
                let row = run.first + i;
                passed[row / 64] |= u64::from(test.passes(value)) << (row % 64);
                start += length as usize;
            }
            Ok(())
        });
        mask.and(at, &passed, rows);
    }
}

/// Lengths of a vector's rows.
#[derive(Default)]
struct Lengths {
    codes: Vec<u32>,
    raw: Vec<u32>,
}

/// Neighbouring rows of one vector.
struct Run<'a> {
    /// The first row, counted from the start of the range that was asked for.
    first: usize,
    codes: &'a [u8],
    raw_lengths: &'a [u32],
}

fn total(lengths: &[u32]) -> usize {
    lengths.iter().map(|&length| length as usize).sum()
}

fn damaged(what: &str) -> Error {
    Error::Unsupported(format!("a compressed string {what}"))
}
