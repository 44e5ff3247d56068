//! Run-length encoding of integers that repeat: each run's value, packed, and where it ends.
//!
//! ```text
//! page header   field 12: runs u32
//! ends          u32, one a run: one past its last row; ascending, the last is the number of rows
//! values        a packed section, one row a run
//! ```

use super::condition::IntegerTest;
use super::layout::{PageReader, PageWriter, validity_bytes};
use super::mask::Mask;
use super::packed::Packed;
use super::packing::Plan;
use super::{EncodedPage, Encoding, VECTOR_ROWS};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use std::ops::Range;

/// Header field: runs.
const RUNS_AT: usize = 12;
/// Most runs of a page: 12 bytes each at worst, and vectors of them are packed whole.
const PAGE_RUNS_MAX: usize = 4 * VECTOR_ROWS;
/// Most rows of a page with NULLs, whose bitmap takes its share.
const PAGE_NULLABLE_ROWS_MAX: usize = 96 * VECTOR_ROWS;

/// Runs of equal values.
pub(crate) fn runs(values: &[i64]) -> usize {
    1 + values.windows(2).map(|pair| usize::from(pair[0] != pair[1])).sum::<usize>()
}

/// Encodes `values` as runs.
pub(crate) fn pages(values: &[i64], nulls: Option<&NullBuffer>) -> Vec<EncodedPage> {
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    let mut pages = Vec::new();
    let mut start = 0;
    while start < values.len() {
        let rows = rows_of_page(&values[start..], nulls.is_some());
        let nulls = nulls.map(|nulls| nulls.slice(start, rows));
        pages.push(EncodedPage { rows, bytes: page(&values[start..start + rows], nulls.as_ref()) });
        start += rows;
    }
    pages
}

/// Whole vectors until the runs of a page are used up.
fn rows_of_page(values: &[i64], nullable: bool) -> usize {
    let mut found = 0;
    let mut rows = 0;
    for vector in values.chunks(VECTOR_ROWS) {
        found += runs(vector);
        if rows > 0 && (found > PAGE_RUNS_MAX || nullable && rows >= PAGE_NULLABLE_ROWS_MAX) {
            break;
        }
        rows += vector.len();
    }
    debug_assert!(validity_bytes(rows.min(PAGE_NULLABLE_ROWS_MAX)) <= 12 * VECTOR_ROWS);
    rows
}

fn page(values: &[i64], nulls: Option<&NullBuffer>) -> Vec<u8> {
    let (mut ends, mut run_values) = (Vec::new(), Vec::new());
    for run in values.chunk_by(|a, b| a == b) {
        ends.push(ends.last().copied().unwrap_or(0) + run.len() as u32);
        run_values.push(run[0]);
    }
    let mut page = PageWriter::new(Encoding::RunLength, values.len(), nulls);
    page.field(RUNS_AT, ends.len() as u32);
    let piece = page.piece();
    ends.iter().for_each(|end| piece.extend_from_slice(&end.to_le_bytes()));
    let plan = Plan::new(&run_values).expect("64-bit values always have a plan");
    plan.write_section(&run_values, 0..plan.vectors(), &mut page);
    page.finish()
}

/// An opened page.
#[derive(Debug)]
pub(crate) struct RunLengthPage {
    ends: ScalarBuffer<u32>,
    values: Packed<i64>,
}

impl RunLengthPage {
    /// Checks and opens a page.
    pub(crate) fn open(reader: &mut PageReader, rows: usize) -> Result<RunLengthPage, String> {
        let runs = reader.field(RUNS_AT) as usize;
        let ends = reader.take_numbers::<u32>(runs)?;
        let ascending = ends.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || ends.first() == Some(&0) || ends.last().copied() != u32::try_from(rows).ok() {
            return Err(format!("{runs} runs do not cover {rows} rows"));
        }
        Ok(RunLengthPage { ends, values: Packed::open(reader, runs)? })
    }

    /// The run that `row` is in.
    fn run_of(&self, row: usize) -> usize {
        self.ends.partition_point(|&end| end as usize <= row)
    }

    /// One value.
    pub(crate) fn get(&self, row: usize) -> i64 {
        self.values.get(self.run_of(row))
    }

    /// Calls `each` with the rows of `range` run by run.
    fn for_each(&self, range: Range<usize>, mut each: impl FnMut(i64, Range<usize>)) {
        let mut start = range.start;
        let mut run = self.run_of(start);
        while start < range.end {
            let end = (self.ends[run] as usize).min(range.end);
            each(self.values.get(run), start..end);
            start = end;
            run += 1;
        }
    }

    /// Appends `map` of rows `range`, or of those alive in `mask`.
    pub(crate) fn read<T: Clone>(
        &self,
        range: Range<usize>,
        mask: Option<(&Mask, usize)>,
        map: impl Fn(i64) -> T,
        out: &mut Vec<T>,
    ) {
        let start = range.start;
        self.for_each(range, |value, rows| {
            let count = mask.map_or(rows.len(), |(mask, at)| mask.count_range(at + rows.start - start, rows.len()));
            out.extend(std::iter::repeat_n(map(value), count));
        });
    }

    /// Kills in `mask` the rows of `range` that fail.
    pub(crate) fn filter(&self, test: &IntegerTest, range: Range<usize>, mask: &mut Mask, at: usize) {
        let start = range.start;
        self.for_each(range, |value, rows| {
            if !test.passes_narrow(value) {
                mask.clear(at + rows.start - start, rows.len());
            }
        });
    }
}
