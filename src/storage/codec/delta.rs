//! Delta encoding of ascending integers: each value's step from the one before is packed.
//!
//! Chosen only where it saves much against plain packing (sorted keys): reading one value has to add up steps. So that
//! they are few, every 256 rows, a *stretch*, have a base of their own. The first step of a vector repeats the second,
//! so that a regular sequence packs to nothing.
//!
//! ```text
//! page header
//! bases     i64, one a stretch: the value before it; for the first of a vector, its first value minus its first step
//! lasts     i64, one a vector: its last value
//! steps     a packed section
//! ```

use super::condition::IntegerTest;
use super::layout::{PageReader, PageWriter, validity_bytes};
use super::mask::Mask;
use super::packed::{Packed, vectors};
use super::packing::Plan;
use super::{EncodedPage, Encoding, VECTOR_ROWS};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use std::ops::Range;

/// Below this many wanted rows of a vector, single reads beat decoding them all.
const SINGLE_READS_MAX: usize = 8;

/// Rows that share a base.
const STRETCH_ROWS: usize = 256;

/// Bytes of a vector in the tables of bases and lasts.
const VECTOR_BYTES: usize = (VECTOR_ROWS / STRETCH_ROWS + 1) * 8;

/// A column as steps.
pub(crate) struct Encoded<'a> {
    values: &'a [i64],
    steps: Vec<i64>,
    plan: Plan<i64>,
}

impl<'a> Encoded<'a> {
    /// Steps of `values`, if they ascend.
    pub(crate) fn new(values: &'a [i64]) -> Option<Encoded<'a>> {
        if !values.is_sorted() {
            return None;
        }
        let mut steps = Vec::with_capacity(values.len());
        for vector in values.chunks(VECTOR_ROWS) {
            let first = steps.len();
            steps.push(0);
            steps.extend(vector.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
            steps[first] = steps.get(first + 1).copied().unwrap_or(0);
        }
        let plan = Plan::new(&steps)?;
        Some(Encoded { values, steps, plan })
    }

    /// Bytes of all pages, about.
    pub(crate) fn bytes(&self) -> usize {
        self.plan.packed_bytes() + self.plan.vectors() * VECTOR_BYTES
    }

    /// The pages.
    pub(crate) fn pages(&self, nulls: Option<&NullBuffer>) -> Vec<EncodedPage> {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let validity = if nulls.is_some() { validity_bytes(VECTOR_ROWS) } else { 0 };
        let mut pages = Vec::new();
        let mut start = 0;
        while start < self.plan.vectors() {
            let end = start + self.plan.vectors_per_page(start, 128, validity + VECTOR_BYTES);
            let rows = start * VECTOR_ROWS..(end * VECTOR_ROWS).min(self.values.len());
            let nulls = nulls.map(|nulls| nulls.slice(rows.start, rows.len()));
            let mut page = PageWriter::new(Encoding::Delta, rows.len(), nulls.as_ref());
            let bases = page.piece();
            for (vector, steps) in
                self.values[rows.clone()].chunks(VECTOR_ROWS).zip(self.steps[rows.clone()].chunks(VECTOR_ROWS))
            {
                for (value, step) in vector.iter().zip(steps).step_by(STRETCH_ROWS) {
                    bases.extend_from_slice(&value.wrapping_sub(*step).to_le_bytes());
                }
            }
            let lasts = page.piece();
            for vector in self.values[rows.clone()].chunks(VECTOR_ROWS) {
                lasts.extend_from_slice(&vector[vector.len() - 1].to_le_bytes());
            }
            self.plan.write_section(&self.steps, start..end, &mut page);
            pages.push(EncodedPage { rows: rows.len(), bytes: page.finish() });
            start = end;
        }
        pages
    }
}

/// An opened page.
#[derive(Debug)]
pub(crate) struct DeltaPage {
    rows: usize,
    bases: ScalarBuffer<i64>,
    lasts: ScalarBuffer<i64>,
    steps: Packed<i64>,
}

impl DeltaPage {
    /// Checks and opens a page. Any bases and steps are sound; they merely add up to other values.
    pub(crate) fn open(reader: &mut PageReader, rows: usize) -> Result<DeltaPage, String> {
        let bases = reader.take_numbers::<i64>(rows.div_ceil(STRETCH_ROWS))?;
        let lasts = reader.take_numbers::<i64>(rows.div_ceil(VECTOR_ROWS))?;
        Ok(DeltaPage { rows, bases, lasts, steps: Packed::open(reader, rows)? })
    }

    /// Values of rows of one vector; the first row begins a stretch.
    fn values(&self, rows: Range<usize>, values: &mut Vec<i64>) {
        values.clear();
        let mut last = self.bases[rows.start / STRETCH_ROWS];
        self.steps.decode(rows, |step| step, values);
        for value in values.iter_mut() {
            last = last.wrapping_add(*value);
            *value = last;
        }
    }

    /// One value.
    pub(crate) fn get(&self, row: usize) -> i64 {
        assert!(row < self.rows);
        let (vector, index) = (row / VECTOR_ROWS, row % VECTOR_ROWS);
        let steps = index / STRETCH_ROWS * STRETCH_ROWS..index + 1;
        self.bases[row / STRETCH_ROWS].wrapping_add(self.steps.sum(vector, steps))
    }

    /// Rows of a vector, up to `end` of it, that are below `bound` (or equal to it, with `or_equal`). Only the stretch in
    /// which the bound lies is decoded.
    fn rows_below(&self, vector: usize, end: usize, bound: i128, or_equal: bool, values: &mut Vec<i64>) -> usize {
        let below = |value: i64| i128::from(value) < bound || or_equal && i128::from(value) == bound;
        let first = vector * VECTOR_ROWS;
        let bases = &self.bases[first / STRETCH_ROWS..(first + end).div_ceil(STRETCH_ROWS)];
        // A base is the last value of the stretch before it.
        let stretch = bases[1..].partition_point(|&last| below(last)) * STRETCH_ROWS;
        self.values(first + stretch..first + end.min(stretch + STRETCH_ROWS), values);
        stretch + values.partition_point(|&value| below(value))
    }

    /// Appends `map` of rows `range`, or of those alive in `mask`.
    pub(crate) fn read<T>(
        &self,
        range: Range<usize>,
        mask: Option<(&Mask, usize)>,
        map: impl Fn(i64) -> T,
        out: &mut Vec<T>,
    ) {
        if range.len() == 1 && mask.is_none() {
            out.push(map(self.get(range.start)));
            return;
        }
        let start = range.start;
        let mut values = Vec::with_capacity(VECTOR_ROWS);
        let mut indices = [0u16; VECTOR_ROWS];
        for (vector, rows) in vectors(range) {
            let first = vector * VECTOR_ROWS;
            // Steps are added up from the beginning of the stretch of the first wanted row.
            let stretch = |row: usize| row / STRETCH_ROWS * STRETCH_ROWS;
            let Some((mask, at)) = mask else {
                let from = stretch(rows.start);
                self.values(first + from..first + rows.end, &mut values);
                out.extend(values[rows.start - from..].iter().map(|&value| map(value)));
                continue;
            };
            let mask_at = at + first + rows.start - start;
            if mask.is_dense(mask_at, rows.len()) {
                let from = stretch(rows.start);
                self.values(first + from..first + rows.end, &mut values);
                let values = &values[rows.start - from..];
                mask.runs(mask_at, rows.len(), |run| out.extend(values[run].iter().map(|&value| map(value))));
                continue;
            }
            let count = mask.indices(mask_at, rows.len(), &mut indices);
            let wanted = indices[..count].iter().map(|&index| rows.start + usize::from(index));
            if count <= SINGLE_READS_MAX {
                out.extend(wanted.map(|row| map(self.get(first + row))));
            } else {
                let (from, to) = (stretch(rows.start + usize::from(indices[0])), indices[count - 1]);
                self.values(first + from..first + rows.start + usize::from(to) + 1, &mut values);
                out.extend(wanted.map(|row| map(values[row - from])));
            }
        }
    }

    /// Kills in `mask` the rows of `range` that fail.
    pub(crate) fn filter(&self, test: &IntegerTest, range: Range<usize>, mask: &mut Mask, at: usize) {
        let start = range.start;
        let mut values = Vec::with_capacity(VECTOR_ROWS);
        for (vector, rows) in vectors(range) {
            let mask_at = at + vector * VECTOR_ROWS + rows.start - start;
            if !mask.any(mask_at, rows.len()) {
                continue;
            }
            let first = self.get(vector * VECTOR_ROWS);
            if !test.may_match(first.into(), self.lasts[vector].into()) {
                mask.clear(mask_at, rows.len());
                continue;
            }
            if let IntegerTest::Range { low, high, negated } = *test {
                let in_rows = |row: usize| row.clamp(rows.start, rows.end) - rows.start;
                let from = in_rows(self.rows_below(vector, rows.end, low, false, &mut values));
                let to = in_rows(self.rows_below(vector, rows.end, high, true, &mut values)).max(from);
                if negated {
                    mask.clear(mask_at + from, to - from);
                } else {
                    mask.clear(mask_at, from);
                    mask.clear(mask_at + to, rows.len() - to);
                }
            } else {
                self.values(vector * VECTOR_ROWS..vector * VECTOR_ROWS + rows.end, &mut values);
                let values = &values[rows];
                super::plain::filter_rows(values.len(), mask, mask_at, |row| test.passes_narrow(values[row]));
            }
        }
    }
}
