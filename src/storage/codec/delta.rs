//! Delta encoding of integers: each value's step from the one before is packed.
//!
//! Chosen only where it saves much against plain packing (sorted keys, the times of one series after another): reading one
//! value has to add up steps. So that they are few, every 256 rows, a *stretch*, have a base of their own. The first step
//! of a vector repeats the second, so that a regular sequence packs to nothing.
//!
//! A chunk that ascends is [`Encoding::Delta`], and where a bound lies in it is searched for. One that mostly ascends (the
//! times of a series, then those of the next) is [`Encoding::Steps`]: its pages know the bounds of each vector, and a step
//! back is packed as the step before it, with what is missing in a table of *jumps*.
//!
//! ```text
//! page header   12: jumps u32                                            (steps)
//! bases         i64, one a stretch: its first value minus its first step, as packed
//! lasts         i64, one a vector: its last value                        (delta)
//! mins, maxs    i64, one a vector each                                   (steps)
//! rows          u32, one a jump, ascending                               (steps)
//! corrections   i64, one a jump: added to the packed step                (steps)
//! steps         a packed section
//! ```

use super::layout::{PageReader, PageWriter, validity_bytes};
use super::packed::Packed;
use super::packing::Plan;
use super::stretches::{STRETCH_ROWS, Stretched, add_up};
use super::{EncodedPage, Encoding, VECTOR_ROWS};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use std::ops::Range;

/// Where the header has the number of jumps.
const JUMPS_AT: usize = 12;
/// Bytes of a jump.
const JUMP_BYTES: usize = 12;
/// More than one jump among so many rows is no mostly ascending column.
const ROWS_PER_JUMP_MIN: usize = 64;

/// Bytes of a vector in the tables of bases and bounds, at most.
const VECTOR_BYTES: usize = (VECTOR_ROWS / STRETCH_ROWS + 2) * 8;

/// A column as steps.
pub(crate) struct Encoded<'a> {
    values: &'a [i64],
    steps: Vec<i64>,
    plan: Plan<i64>,
    /// Rows with a step back that is not the first of a stretch, and what their packed step lacks.
    jumps: Vec<(u32, i64)>,
    ascends: bool,
}

impl<'a> Encoded<'a> {
    /// Steps of `values`; `None` when they do not mostly ascend, or when some vector's steps span more than 64 bits.
    pub(crate) fn new(values: &'a [i64]) -> Option<Encoded<'a>> {
        let falls = values.windows(2).filter(|pair| pair[0] > pair[1]).count();
        if falls * ROWS_PER_JUMP_MIN > values.len() {
            return None;
        }
        let mut steps = Vec::with_capacity(values.len());
        let mut jumps = Vec::new();
        for vector in values.chunks(VECTOR_ROWS) {
            let first = steps.len();
            steps.push(0);
            let mut last = 0;
            for (index, pair) in vector.windows(2).enumerate() {
                let step = pair[1].wrapping_sub(pair[0]);
                if pair[1] >= pair[0] {
                    last = step;
                } else if (index + 1) % STRETCH_ROWS != 0 {
                    jumps.push(((first + index + 1) as u32, step.wrapping_sub(last)));
                }
                steps.push(last);
            }
            steps[first] = steps.get(first + 1).copied().unwrap_or(0);
        }
        let plan = Plan::new(&steps)?;
        Some(Encoded { values, steps, plan, jumps, ascends: falls == 0 })
    }

    /// [`Encoding::Delta`] or [`Encoding::Steps`].
    pub(crate) fn encoding(&self) -> Encoding {
        if self.ascends { Encoding::Delta } else { Encoding::Steps }
    }

    /// Bytes of all pages, about.
    pub(crate) fn bytes(&self) -> usize {
        self.plan.packed_bytes() + self.plan.vectors() * VECTOR_BYTES + self.jumps.len() * JUMP_BYTES
    }

    fn jumps_in(&self, rows: &Range<usize>) -> &[(u32, i64)] {
        let before = |end: usize| self.jumps.partition_point(|(row, _)| (*row as usize) < end);
        &self.jumps[before(rows.start)..before(rows.end)]
    }

    /// The pages.
    pub(crate) fn pages(&self, nulls: Option<&NullBuffer>) -> Vec<EncodedPage> {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let validity = if nulls.is_some() { validity_bytes(VECTOR_ROWS) } else { 0 };
        let rows_of =
            |vectors: Range<usize>| vectors.start * VECTOR_ROWS..(vectors.end * VECTOR_ROWS).min(self.values.len());
        let in_vector = (0..self.plan.vectors()).map(|vector| self.jumps_in(&rows_of(vector..vector + 1)).len());
        let jumps_max = in_vector.max().unwrap_or(0) * JUMP_BYTES;
        let mut pages = Vec::new();
        let mut start = 0;
        while start < self.plan.vectors() {
            let end = start + self.plan.vectors_per_page(start, 256, validity + VECTOR_BYTES + jumps_max);
            let rows = rows_of(start..end);
            let nulls = nulls.map(|nulls| nulls.slice(rows.start, rows.len()));
            let mut page = PageWriter::new(self.encoding(), rows.len(), nulls.as_ref());
            let bases = page.piece();
            for (vector, steps) in
                self.values[rows.clone()].chunks(VECTOR_ROWS).zip(self.steps[rows.clone()].chunks(VECTOR_ROWS))
            {
                for (value, step) in vector.iter().zip(steps).step_by(STRETCH_ROWS) {
                    bases.extend_from_slice(&value.wrapping_sub(*step).to_le_bytes());
                }
            }
            let mut table = |of: fn(&[i64]) -> Option<&i64>| {
                let piece = page.piece();
                for bound in self.values[rows.clone()].chunks(VECTOR_ROWS).filter_map(of) {
                    piece.extend_from_slice(&bound.to_le_bytes());
                }
            };
            if self.ascends {
                table(|vector| vector.last());
            } else {
                table(|vector| vector.iter().min());
                table(|vector| vector.iter().max());
                let jumps = self.jumps_in(&rows);
                page.field(JUMPS_AT, jumps.len() as u32);
                let numbers = page.piece();
                jumps.iter().for_each(|(row, _)| numbers.extend((row - rows.start as u32).to_le_bytes()));
                let corrections = page.piece();
                jumps.iter().for_each(|(_, correction)| corrections.extend(correction.to_le_bytes()));
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
    bounds: Bounds,
    /// Rows of jumps and what their steps lack; none in what ascends.
    jumps: ScalarBuffer<u32>,
    corrections: ScalarBuffer<i64>,
    steps: Packed<i64>,
}

/// What is known of each vector.
#[derive(Debug)]
enum Bounds {
    /// The values ascend; the last ones.
    Ascending(ScalarBuffer<i64>),
    /// The smallest and the largest ones.
    Each { mins: ScalarBuffer<i64>, maxs: ScalarBuffer<i64> },
}

impl DeltaPage {
    /// Checks and opens a page of values that ascend. Any bases and steps are sound; they merely add up to other values.
    pub(crate) fn open_ascending(reader: &mut PageReader, rows: usize) -> Result<DeltaPage, String> {
        let bases = reader.take_numbers::<i64>(rows.div_ceil(STRETCH_ROWS))?;
        let bounds = Bounds::Ascending(reader.take_numbers::<i64>(rows.div_ceil(VECTOR_ROWS))?);
        let (jumps, corrections) = (ScalarBuffer::from(vec![]), ScalarBuffer::from(vec![]));
        Ok(DeltaPage { rows, bases, bounds, jumps, corrections, steps: Packed::open(reader, rows)? })
    }

    /// Checks and opens a page of any values.
    pub(crate) fn open_any(reader: &mut PageReader, rows: usize) -> Result<DeltaPage, String> {
        let bases = reader.take_numbers::<i64>(rows.div_ceil(STRETCH_ROWS))?;
        let mins = reader.take_numbers::<i64>(rows.div_ceil(VECTOR_ROWS))?;
        let maxs = reader.take_numbers::<i64>(rows.div_ceil(VECTOR_ROWS))?;
        if mins.iter().zip(&maxs).any(|(min, max)| min > max) {
            return Err("a vector's bounds are out of order".into());
        }
        let count = reader.field(JUMPS_AT) as usize;
        let jumps = reader.take_numbers::<u32>(count)?;
        let ascend = jumps.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascend || jumps.last().is_some_and(|row| *row as usize >= rows) {
            return Err(format!("{count} jumps are not among {rows} rows"));
        }
        let corrections = reader.take_numbers::<i64>(count)?;
        let bounds = Bounds::Each { mins, maxs };
        Ok(DeltaPage { rows, bases, bounds, jumps, corrections, steps: Packed::open(reader, rows)? })
    }

    /// Rows in `rows` with a jump, and what their steps lack.
    fn jumps_in(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, i64)> {
        let before = |end: usize| self.jumps.partition_point(|row| (*row as usize) < end);
        let found = if self.jumps.is_empty() { 0..0 } else { before(rows.start)..before(rows.end) };
        found.map(|jump| (self.jumps[jump] as usize, self.corrections[jump]))
    }
}

impl Stretched for DeltaPage {
    fn bounds(&self, vector: usize) -> (i64, i64) {
        match &self.bounds {
            Bounds::Ascending(lasts) => (self.get(vector * VECTOR_ROWS), lasts[vector]),
            Bounds::Each { mins, maxs } => (mins[vector], maxs[vector]),
        }
    }

    fn values(&self, rows: Range<usize>, values: &mut Vec<i64>) {
        values.clear();
        self.steps.decode(rows.clone(), |step| step, values);
        for (row, correction) in self.jumps_in(rows.clone()) {
            let step = &mut values[row - rows.start];
            *step = step.wrapping_add(correction);
        }
        add_up(values, &self.bases[rows.start / STRETCH_ROWS..]);
    }

    fn get(&self, row: usize) -> i64 {
        assert!(row < self.rows);
        let (vector, index) = (row / VECTOR_ROWS, row % VECTOR_ROWS);
        let steps = index / STRETCH_ROWS * STRETCH_ROWS..index + 1;
        let first = vector * VECTOR_ROWS;
        let corrections = self
            .jumps_in(first + steps.start..first + steps.end)
            .fold(0, |sum: i64, (_, correction)| sum.wrapping_add(correction));
        self.bases[row / STRETCH_ROWS].wrapping_add(self.steps.sum(vector, steps)).wrapping_add(corrections)
    }

    fn ascends(&self, _vector: usize) -> bool {
        matches!(self.bounds, Bounds::Ascending(_))
    }

    /// A base is the last value of the stretch before it.
    fn floor(&self, row: usize) -> i64 {
        self.bases[row / STRETCH_ROWS]
    }
}
