//! Integers of which most are as far from the one before as their neighbours are: times of measurements, with gaps, with rows
//! that come late, with a clock that drifts.
//!
//! Delta and steps give every step of a vector the bits of the widest, so that one gap of hours in 1,024 rows costs 4 KiB. Here each
//! vector has the smallest of three forms:
//!
//! - *packed*: most steps are packed, the others are patches (see [`super::patches`]).
//! - *steps*: a stream (see [`super::tsz_stream`]) of how far each step is from one that all have.
//! - *changes*: a stream of how far each step is from the step before: the delta of the delta, as in "Gorilla" (VLDB 2015).
//!
//! Streams begin anew with each stretch of 256 rows and are read from their beginning only, so they must save a quarter of what
//! packing takes.
//!
//! ```text
//! page header   12: unit u64: what patches and the integers of streams are multiplied by
//! forms         u8, one a vector: 0 packed without patches; 1 to 8 packed, with patches of so many bytes each;
//!               16 steps; 17 changes; and 32 when its values ascend, so that a bound is searched for
//! starts        u32, one a vector and one more: where its extras begin
//! bases         i64, one a stretch of 256 rows: its first value minus its first step, as packed
//! mins, maxs    i64, one a vector each
//! extras        bytes: patches (rows in the vector u16, ascending; what the packed step lacks, of that many bytes); or streams,
//!               one a stretch (before them u16, one a stretch but the first: where its stream begins, counted from their end)
//! steps         a packed section
//! ```
//!
//! In all forms `value[i] = base + step[first] + … + step[i]`, where `first` is the first row of the stretch. A row's packed step is
//! corrected by its patch, or by its integer in the stream, times the unit; in `changes` by all integers of its stretch so far.
//! At the first row of a stretch the step means nothing, for the base has what it lacks: there is neither patch nor integer.

use super::layout::{PageReader, PageWriter, validity_bytes};
use super::packed::Packed;
use super::packing::Plan;
use super::patches::Patches;
use super::stretches::{SINGLE_READS_MAX, STRETCH_ROWS, Stretched, add_up};
use super::tsz_form::{Form, START_BYTES, Vector};
use super::tsz_stream;
use super::{EncodedPage, Encoding, VECTOR_ROWS};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use std::ops::Range;

/// Where the header has the unit's halves.
const UNIT_AT: [usize; 2] = [12, 16];
/// Bytes of a vector in the tables.
const VECTOR_BYTES: usize = 1 + 4 + (VECTOR_ROWS / STRETCH_ROWS + 2) * 8;
/// Those and the ones of its packed section.
const TABLES_BYTES: usize = VECTOR_BYTES + 21;
/// What the tables need besides: alignment of six pieces, the last start.
const PAGE_OVERHEAD: usize = 7 * 64;
/// Of a vector's form: its values ascend.
const ASCENDS: u8 = 32;
/// As [`SINGLE_READS_MAX`], where each read takes half a stretch's stream on average.
const STREAM_READS_MAX: usize = 2;
/// Rows of a sample that an estimate is made of, how many samples there are, and after how many it may be given up.
const SAMPLE_ROWS: usize = 128;
const SAMPLES: usize = 8;
const SAMPLES_MIN: usize = 3;

/// A column as steps.
pub(crate) struct Encoded<'a> {
    values: &'a [i64],
    unit: u64,
    vectors: Vec<Vector>,
    /// What is packed.
    steps: Vec<i64>,
    plan: Plan<i64>,
}

/// Whether `values` may well take at most so many bytes: some stretches are looked at.
pub(crate) fn may_fit(values: &[i64], bytes_max: usize) -> bool {
    let vectors = values.len().div_ceil(VECTOR_ROWS);
    let Some(bytes_max) = bytes_max.checked_sub(vectors * TABLES_BYTES) else { return false };
    let every = (values.len() / SAMPLES).max(SAMPLE_ROWS);
    let (mut rows, mut bytes) = (0, 0);
    for (number, sample) in values.chunks(every).enumerate() {
        let sample = &sample[..sample.len().min(SAMPLE_ROWS)];
        let mut steps = steps(sample);
        let unit = unit(&steps);
        bytes += Vector::new(&mut steps, unit, sample.len().div_ceil(8)).bytes;
        rows += sample.len();
        // What cannot fit by far is given up early.
        let hopeless = number + 1 >= SAMPLES_MIN && bytes / 2 * values.len() > rows * bytes_max;
        if hopeless {
            return false;
        }
    }
    bytes * values.len() <= rows * bytes_max
}

/// The steps of a vector; the first repeats the second.
fn steps(vector: &[i64]) -> Vec<i64> {
    let mut steps = Vec::with_capacity(vector.len());
    steps.push(0);
    steps.extend(vector.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
    steps[0] = steps.get(1).copied().unwrap_or(0);
    steps
}

/// What all distances between the steps of each vector are multiples of.
fn unit(steps: &[i64]) -> u64 {
    Plan::new(steps).map_or(1, |plan| plan.divisor())
}

impl<'a> Encoded<'a> {
    /// `values` as steps; `None` when some vector's steps span more than 64 bits.
    pub(crate) fn new(values: &'a [i64]) -> Option<Encoded<'a>> {
        let mut steps: Vec<i64> = values.chunks(VECTOR_ROWS).flat_map(steps).collect();
        let unit = unit(&steps);
        let in_form = |steps| Vector::new(steps, unit, VECTOR_ROWS / 8);
        let vectors = steps.chunks_mut(VECTOR_ROWS).map(in_form).collect();
        let plan = Plan::new(&steps)?;
        Some(Encoded { values, unit, vectors, steps, plan })
    }

    /// Bytes of all pages, about.
    pub(crate) fn bytes(&self) -> usize {
        let extras: usize = self.vectors.iter().map(|vector| vector.extras.len()).sum();
        self.plan.packed_bytes() + self.vectors.len() * VECTOR_BYTES + extras
    }

    /// The pages.
    pub(crate) fn pages(&self, nulls: Option<&NullBuffer>) -> Vec<EncodedPage> {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let validity = if nulls.is_some() { validity_bytes(VECTOR_ROWS) } else { 0 };
        let bytes_besides = |vector: usize| VECTOR_BYTES + validity + self.vectors[vector].extras.len();
        let mut pages = Vec::new();
        let mut start = 0;
        while start < self.vectors.len() {
            let end = start + self.plan.vectors_that_fit(start, PAGE_OVERHEAD, bytes_besides);
            let rows = start * VECTOR_ROWS..(end * VECTOR_ROWS).min(self.values.len());
            let nulls = nulls.map(|nulls| nulls.slice(rows.start, rows.len()));
            let mut page = PageWriter::new(Encoding::Tsz, rows.len(), nulls.as_ref());
            self.write(start..end, rows.clone(), &mut page);
            pages.push(EncodedPage { rows: rows.len(), bytes: page.finish() });
            start = end;
        }
        pages
    }

    fn write(&self, vectors: Range<usize>, rows: Range<usize>, page: &mut PageWriter) {
        let (values, steps) = (&self.values[rows.clone()], &self.steps[rows]);
        page.field(UNIT_AT[0], self.unit as u32);
        page.field(UNIT_AT[1], (self.unit >> 32) as u32);
        let of_page = &self.vectors[vectors.clone()];
        let form =
            |(vector, values): (&Vector, &[i64])| vector.form.byte() | if values.is_sorted() { ASCENDS } else { 0 };
        page.piece().extend(of_page.iter().zip(values.chunks(VECTOR_ROWS)).map(form));
        let starts = page.piece();
        let mut at = 0u32;
        starts.extend(at.to_le_bytes());
        for vector in of_page {
            at += vector.extras.len() as u32;
            starts.extend(at.to_le_bytes());
        }
        let bases = page.piece();
        for (value, step) in values.iter().zip(steps).step_by(STRETCH_ROWS) {
            bases.extend(value.wrapping_sub(*step).to_le_bytes());
        }
        let mins = page.piece();
        values.chunks(VECTOR_ROWS).filter_map(|v| v.iter().min()).for_each(|min| mins.extend(min.to_le_bytes()));
        let maxs = page.piece();
        values.chunks(VECTOR_ROWS).filter_map(|v| v.iter().max()).for_each(|max| maxs.extend(max.to_le_bytes()));
        let extras = page.piece();
        of_page.iter().for_each(|vector| extras.extend_from_slice(&vector.extras));
        self.plan.write_section(&self.steps, vectors, page);
    }
}

/// An opened page.
#[derive(Debug)]
pub(crate) struct TszPage {
    rows: usize,
    unit: i64,
    forms: Vec<Form>,
    ascends: Vec<bool>,
    starts: ScalarBuffer<u32>,
    bases: ScalarBuffer<i64>,
    mins: ScalarBuffer<i64>,
    maxs: ScalarBuffer<i64>,
    extras: Buffer,
    steps: Packed<i64>,
}

impl TszPage {
    /// Checks and opens a page. Any unit, bases, lacks, streams and steps are sound; they merely add up to other values.
    pub(crate) fn open(reader: &mut PageReader, rows: usize) -> Result<TszPage, String> {
        let vectors = rows.div_ceil(VECTOR_ROWS);
        let unit = u64::from(reader.field(UNIT_AT[0])) | u64::from(reader.field(UNIT_AT[1])) << 32;
        let forms = reader.take_numbers::<u8>(vectors)?;
        let ascends = forms.iter().map(|byte| byte & ASCENDS != 0).collect();
        let forms: Option<Vec<Form>> = forms.iter().map(|byte| Form::from_byte(byte & !ASCENDS)).collect();
        let forms = forms.ok_or("a vector of steps has an unknown form")?;
        let starts = reader.take_numbers::<u32>(vectors + 1)?;
        if starts[0] != 0 || starts.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err("patches and streams are out of order".into());
        }
        let bases = reader.take_numbers::<i64>(rows.div_ceil(STRETCH_ROWS))?;
        let mins = reader.take_numbers::<i64>(vectors)?;
        let maxs = reader.take_numbers::<i64>(vectors)?;
        if mins.iter().zip(&maxs).any(|(min, max)| min > max) {
            return Err("a vector's bounds are out of order".into());
        }
        let extras = reader.take(starts[vectors] as usize)?;
        let steps = Packed::open(reader, rows)?;
        let page = TszPage { rows, unit: unit as i64, forms, ascends, starts, bases, mins, maxs, extras, steps };
        match (0..vectors).find(|&vector| !page.is_sound(vector)) {
            Some(vector) => Err(format!("vector {vector} has patches that are not among its rows")),
            None => Ok(page),
        }
    }

    fn is_sound(&self, vector: usize) -> bool {
        let rows = (self.rows - vector * VECTOR_ROWS).min(VECTOR_ROWS);
        match self.forms[vector] {
            Form::Packed(0) => self.extras(vector).is_empty(),
            Form::Packed(bytes) => {
                Patches::new(self.extras(vector), bytes).is_some_and(|patches| patches.are_sound(rows))
            }
            Form::Steps | Form::Changes => {
                let stretches = rows.div_ceil(STRETCH_ROWS);
                (0..stretches).all(|stretch| self.stream(vector, stretch).is_some())
            }
        }
    }

    fn extras(&self, vector: usize) -> &[u8] {
        &self.extras[self.starts[vector] as usize..self.starts[vector + 1] as usize]
    }

    /// Rows in `rows` of a packed vector that have a patch, and what their steps lack.
    fn patches(&self, vector: usize, bytes: usize, rows: Range<usize>) -> impl Iterator<Item = (usize, i64)> {
        let patches = (bytes > 0).then(|| Patches::new(self.extras(vector), bytes)).flatten();
        patches
            .into_iter()
            .flat_map(move |patches| patches.among(rows.clone()))
            .map(|(row, lack)| (row, lack.wrapping_mul(self.unit)))
    }

    /// The stream of a stretch of a vector that has streams.
    fn stream(&self, vector: usize, stretch: usize) -> Option<&[u8]> {
        let rows = (self.rows - vector * VECTOR_ROWS).min(VECTOR_ROWS);
        let starts_bytes = (rows.div_ceil(STRETCH_ROWS) - 1) * START_BYTES;
        let (starts, streams) = self.extras(vector).split_at_checked(starts_bytes)?;
        let starts = starts.as_chunks::<START_BYTES>().0;
        let start = |stretch: usize| starts.get(stretch).map(|start| usize::from(u16::from_le_bytes(*start)));
        let from = stretch.checked_sub(1).map_or(Some(0), start)?;
        streams.get(from..start(stretch).unwrap_or(streams.len()))
    }

    /// Calls `each` with the first `count` values of a stretch of a vector that has streams.
    fn each_of_stream(&self, vector: usize, stretch: usize, count: usize, mut each: impl FnMut(i64)) {
        let row = vector * VECTOR_ROWS + stretch * STRETCH_ROWS;
        let mut integers = tsz_stream::EMPTY;
        let stream = self.stream(vector, stretch).expect("streams were checked when the page was opened");
        tsz_stream::decode(stream, count - 1, &mut integers);
        let packed = self.steps.get(row);
        let mut value = self.bases[row / STRETCH_ROWS].wrapping_add(packed);
        each(value);
        // In `changes` each step is counted from the one before.
        let carries = self.forms[vector] == Form::Changes;
        let mut from = packed;
        for integer in &integers[..count - 1] {
            let step = from.wrapping_add(integer.wrapping_mul(self.unit));
            value = value.wrapping_add(step);
            each(value);
            if carries {
                from = step;
            }
        }
    }
}

impl Stretched for TszPage {
    fn bounds(&self, vector: usize) -> (i64, i64) {
        (self.mins[vector], self.maxs[vector])
    }

    fn values(&self, rows: Range<usize>, values: &mut Vec<i64>) {
        values.clear();
        let vector = rows.start / VECTOR_ROWS;
        let first = vector * VECTOR_ROWS;
        match self.forms[vector] {
            Form::Packed(bytes) => {
                self.steps.decode(rows.clone(), |step| step, values);
                for (row, lack) in self.patches(vector, bytes, rows.start - first..rows.end - first) {
                    let step = &mut values[first + row - rows.start];
                    *step = step.wrapping_add(lack);
                }
                add_up(values, &self.bases[rows.start / STRETCH_ROWS..]);
            }
            Form::Steps | Form::Changes => {
                for row in rows.clone().step_by(STRETCH_ROWS) {
                    let count = (rows.end - row).min(STRETCH_ROWS);
                    self.each_of_stream(vector, (row - first) / STRETCH_ROWS, count, |value| values.push(value));
                }
            }
        }
    }

    fn get(&self, row: usize) -> i64 {
        assert!(row < self.rows);
        let (vector, index) = (row / VECTOR_ROWS, row % VECTOR_ROWS);
        match self.forms[vector] {
            Form::Packed(bytes) => {
                let rows = index / STRETCH_ROWS * STRETCH_ROWS..index + 1;
                let lacks = self.patches(vector, bytes, rows.clone());
                let lacks = lacks.fold(0, |sum: i64, (_, lack)| sum.wrapping_add(lack));
                self.bases[row / STRETCH_ROWS].wrapping_add(self.steps.sum(vector, rows)).wrapping_add(lacks)
            }
            Form::Steps | Form::Changes => {
                let mut last = 0;
                let count = index % STRETCH_ROWS + 1;
                self.each_of_stream(vector, index / STRETCH_ROWS, count, |value| last = value);
                last
            }
        }
    }

    fn ascends(&self, vector: usize) -> bool {
        self.ascends[vector]
    }

    /// The first value of the stretch.
    fn floor(&self, row: usize) -> i64 {
        self.bases[row / STRETCH_ROWS].wrapping_add(self.steps.get(row))
    }

    fn single_reads_max(&self, vector: usize) -> usize {
        match self.forms[vector] {
            Form::Packed(_) => SINGLE_READS_MAX,
            Form::Steps | Form::Changes => STREAM_READS_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forms of two vectors with steps of `step`.
    fn forms(mut step: impl FnMut(usize) -> i64) -> Vec<Form> {
        let mut time = 0i64;
        let mut next = |row: usize| {
            time = time.wrapping_add(step(row));
            time
        };
        let values: Vec<i64> = (0..2 * VECTOR_ROWS).map(&mut next).collect();
        let encoded = Encoded::new(&values).unwrap();
        encoded.vectors.iter().map(|vector| vector.form).collect()
    }

    #[test]
    fn each_vector_has_the_smallest_form() {
        let mut random = fastrand::Rng::with_seed(1);
        assert_eq!(forms(|_| 1000), [Form::Packed(0); 2], "regular");
        assert_eq!(forms(|_| 1000 + random.i64(0..64)), [Form::Packed(0); 2], "even jitter");
        assert_eq!(forms(|_| random.i64(..)), [Form::Packed(0); 2], "noise");
        let gap = |row: usize| if row % 100 == 7 { 1 << 40 } else { 1001 + (row % 2) as i64 };
        assert_eq!(forms(gap), [Form::Packed(6); 2], "gaps");
        let restless = |row: usize| 1000 + random.i64(0..if row % 180 < 150 { 8 } else { 500 });
        assert_eq!(forms(restless), [Form::Steps; 2], "little, at times more");
        let mut step = 0;
        let drifting = |_| {
            step += random.i64(-2..=3);
            step
        };
        assert_eq!(forms(drifting), [Form::Changes; 2], "drift");
    }

    #[test]
    fn a_common_divisor_is_left_out() {
        let gap = |row: usize| if row % 100 == 7 { 5_000_000 } else { 1_000_000 };
        assert_eq!(forms(gap), [Form::Packed(1); 2]);
    }
}
