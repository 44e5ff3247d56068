//! Floats that are decimals, as integers: `50.17` is 5017 with two digits.
//!
//! ```text
//! page header   12: digits u32 (0..=22)   16: exceptions u32
//! rows          u32, one an exception, ascending
//! bits          u64, one an exception: the value's bits (32 of them for f32)
//! integers      a packed section; an exception's row has the integer before it
//! ```
//!
//! The idea is ALP's (Afroozeh, Kuffó and Boncz, "ALP: Adaptive Lossless floating-Point Compression", SIGMOD 2024). It multiplies by
//! two powers of ten, of which negative ones are inexact, and searches for a pair that gives few exceptions. Here the integer is
//! *divided* by a power of ten that is a double exactly (up to 10^22): division rounds correctly, and so does
//! whoever reads a decimal, so a decimal of up to 15 digits is never an exception. Powers of ten in all values together are the section's
//! divisor. What does not come back bit by bit (NaN, infinities, -0, measurements with all their bits) is an exception.
//!
//! Division by a positive constant is monotonic, so comparisons of floats become comparisons of integers and
//! run in the packed section; exceptions are tested one by one.

use super::condition::IntegerTest;
use super::kernels::dispatch;
use super::layout::{PageReader, PageWriter, validity_bytes};
use super::mask::Mask;
use super::packed::Packed;
use super::packing::Plan;
use super::plain::{filter_rows, float_key};
use super::{EncodedPage, Encoding, VECTOR_ROWS};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{Float32Type, Float64Type};
use std::ops::Range;

/// Where the header has the digits and the number of exceptions.
const DIGITS_AT: usize = 12;
const EXCEPTIONS_AT: usize = 16;
/// Powers of ten beyond are not exact.
const DIGITS_MAX: usize = 22;
/// Bytes of an exception.
const EXCEPTION_BYTES: usize = 12;
/// Values looked at to choose the digits.
const SAMPLE: usize = 1024;
/// Added to a double below 2^51 it leaves the nearest integer in the low bits (Warren, "Hacker's Delight", 17-4).
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// Integers are smaller than this either way, so that [`ROUNDER`] serves both directions.
const INTEGER_MAX: f64 = 2_251_799_813_685_248.0;

const POWERS: [f64; DIGITS_MAX + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Native floats.
pub(crate) trait Float: Copy {
    /// The nearest one.
    fn from_double(value: f64) -> Self;
    /// Widened.
    fn double(self) -> f64;
    /// Its bits, and zeros above.
    fn bits(self) -> u64;
    /// The one with these bits.
    fn from_bits(bits: u64) -> Self;
}

impl Float for f64 {
    #[inline(always)]
    fn from_double(value: f64) -> f64 {
        value
    }
    #[inline(always)]
    fn double(self) -> f64 {
        self
    }
    #[inline(always)]
    fn bits(self) -> u64 {
        self.to_bits()
    }
    fn from_bits(bits: u64) -> f64 {
        f64::from_bits(bits)
    }
}

impl Float for f32 {
    #[inline(always)]
    fn from_double(value: f64) -> f32 {
        value as f32
    }
    #[inline(always)]
    fn double(self) -> f64 {
        self.into()
    }
    #[inline(always)]
    fn bits(self) -> u64 {
        self.to_bits().into()
    }
    fn from_bits(bits: u64) -> f32 {
        f32::from_bits(bits as u32)
    }
}

/// The float that `integer` stands for.
#[inline(always)]
fn decoded(integer: i64, power: f64) -> f64 {
    // Vector units add faster than they convert. A damaged page may have larger integers; they merely are other values.
    (f64::from_bits((integer as u64).wrapping_add(ROUNDER.to_bits())) - ROUNDER) / power
}

/// The integer that stands for `value`, if there is one.
#[inline(always)]
fn encoded<F: Float>(value: F, power: f64) -> Option<i64> {
    let scaled = value.double() * power;
    let integer = (scaled + ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits()) as i64;
    let is_same = scaled.abs() < INTEGER_MAX && F::from_double(decoded(integer, power)).bits() == value.bits();
    is_same.then_some(integer)
}

/// Digits with which most of a sample of `values` are integers, the fewest such.
fn digits<F: Float>(values: &[F]) -> usize {
    let sample: Vec<F> = values.iter().copied().step_by((values.len() / SAMPLE).max(1)).collect();
    let exact = |digits: usize| sample.iter().filter(|value| encoded(**value, POWERS[digits]).is_some()).count();
    let mut best = (0, 0);
    for digits in 0..=DIGITS_MAX {
        let count = exact(digits);
        if count > best.0 {
            best = (count, digits);
        }
        if count == sample.len() {
            break;
        }
    }
    best.1
}

/// A column as integers.
struct Encoded<F> {
    digits: usize,
    integers: Vec<i64>,
    /// Rows that are not integers.
    exceptions: Vec<(u32, F)>,
    plan: Plan<i64>,
}

/// The pages of floats of either width; `None` when too many are no decimals.
pub(crate) fn pages(values: &ArrayRef) -> Option<Vec<EncodedPage>> {
    let nulls = values.nulls();
    if let Some(floats) = values.as_primitive_opt::<Float32Type>() {
        return Some(Encoded::new(floats.values(), nulls)?.pages(nulls));
    }
    let floats = values.as_primitive_opt::<Float64Type>()?;
    Some(Encoded::new(floats.values(), nulls)?.pages(nulls))
}

impl<F: Float> Encoded<F> {
    fn new(values: &[F], nulls: Option<&NullBuffer>) -> Option<Encoded<F>> {
        let valid: Vec<F>;
        let all = match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => values,
            Some(nulls) => {
                valid = nulls.valid_indices().map(|row| values[row]).collect();
                &valid
            }
        };
        let digits = digits(all);
        let power = POWERS[digits];
        let (mut integers, mut exceptions) = (Vec::with_capacity(values.len()), vec![]);
        let mut last = all.iter().find_map(|value| encoded(*value, power))?;
        // Beyond, exceptions alone take half of the bytes.
        let exceptions_max = size_of_val(values) / 2 / EXCEPTION_BYTES;
        for (row, &value) in values.iter().enumerate() {
            if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                match encoded(value, power) {
                    Some(integer) => last = integer,
                    None if exceptions.len() < exceptions_max => exceptions.push((row as u32, value)),
                    None => return None,
                }
            }
            integers.push(last);
        }
        let plan = Plan::new(&integers)?;
        Some(Encoded { digits, integers, exceptions, plan })
    }

    fn exceptions_in(&self, rows: &Range<usize>) -> &[(u32, F)] {
        let from = self.exceptions.partition_point(|(row, _)| (*row as usize) < rows.start);
        let to = self.exceptions.partition_point(|(row, _)| (*row as usize) < rows.end);
        &self.exceptions[from..to]
    }

    fn pages(&self, nulls: Option<&NullBuffer>) -> Vec<EncodedPage> {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let validity = if nulls.is_some() { validity_bytes(VECTOR_ROWS) } else { 0 };
        let rows_of =
            |vectors: Range<usize>| vectors.start * VECTOR_ROWS..(vectors.end * VECTOR_ROWS).min(self.integers.len());
        let vectors = 0..self.plan.vectors();
        let in_vector = vectors.clone().map(|vector| self.exceptions_in(&rows_of(vector..vector + 1)).len());
        let exceptions_max = in_vector.max().unwrap_or(0) * EXCEPTION_BYTES;
        let mut pages = Vec::new();
        let mut start = 0;
        while start < vectors.end {
            let end = start + self.plan.vectors_per_page(start, 128, validity + exceptions_max);
            let rows = rows_of(start..end);
            let nulls = nulls.map(|nulls| nulls.slice(rows.start, rows.len()));
            let exceptions = self.exceptions_in(&rows);
            let mut page = PageWriter::new(Encoding::Alp, rows.len(), nulls.as_ref());
            page.field(DIGITS_AT, self.digits as u32);
            page.field(EXCEPTIONS_AT, exceptions.len() as u32);
            let numbers = page.piece();
            exceptions.iter().for_each(|(row, _)| numbers.extend((row - rows.start as u32).to_le_bytes()));
            let bits = page.piece();
            exceptions.iter().for_each(|(_, value)| bits.extend(value.bits().to_le_bytes()));
            self.plan.write_section(&self.integers, start..end, &mut page);
            pages.push(EncodedPage { rows: rows.len(), bytes: page.finish() });
            start = end;
        }
        pages
    }
}

/// An opened page.
#[derive(Debug)]
pub(crate) struct AlpPage {
    power: f64,
    rows: ScalarBuffer<u32>,
    bits: ScalarBuffer<u64>,
    integers: Packed<i64>,
}

impl AlpPage {
    /// Checks and opens a page.
    pub(crate) fn open(reader: &mut PageReader, rows: usize) -> Result<AlpPage, String> {
        let (digits, exceptions) = (reader.field(DIGITS_AT) as usize, reader.field(EXCEPTIONS_AT) as usize);
        let power = *POWERS.get(digits).ok_or_else(|| format!("floats with {digits} digits"))?;
        let numbers = reader.take_numbers::<u32>(exceptions)?;
        let ascend = numbers.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascend || numbers.last().is_some_and(|row| *row as usize >= rows) {
            return Err(format!("{exceptions} exceptions are not among {rows} rows"));
        }
        let bits = reader.take_numbers::<u64>(exceptions)?;
        Ok(AlpPage { power, rows: numbers, bits, integers: Packed::open(reader, rows)? })
    }

    /// Numbers of the exceptions in `rows`.
    fn exceptions(&self, rows: &Range<usize>) -> Range<usize> {
        if self.rows.is_empty() {
            return 0..0;
        }
        let before = |end: usize| self.rows.partition_point(|row| (*row as usize) < end);
        before(rows.start)..before(rows.end)
    }

    /// One value.
    pub(crate) fn get<F: Float>(&self, row: usize) -> F {
        match self.rows.binary_search(&(row as u32)) {
            Ok(exception) => F::from_bits(self.bits[exception]),
            Err(_) => F::from_double(decoded(self.integers.get(row), self.power)),
        }
    }

    /// Appends `map` of rows `range`, or of those alive in `mask`.
    pub(crate) fn read<F: Float, T>(
        &self,
        range: Range<usize>,
        mask: Option<(&Mask, usize)>,
        map: impl Fn(F) -> T + Copy,
        out: &mut Vec<T>,
    ) {
        let (first, power) = (out.len(), self.power);
        let value = move |integer: i64| map(F::from_double(decoded(integer, power)));
        match mask {
            None => self.integers.decode(range.clone(), value, out),
            Some((mask, at)) => self.integers.select(range.clone(), mask, at, value, out),
        }
        for exception in self.exceptions(&range) {
            let offset = self.rows[exception] as usize - range.start;
            let place = match mask {
                None => Some(offset),
                Some((mask, at)) => mask.get(at + offset).then(|| mask.count_range(at, offset)),
            };
            if let Some(place) = place {
                out[first + place] = map(F::from_bits(self.bits[exception]));
            }
        }
    }

    /// Kills in `mask` the rows of `range` that fail; `test` is of float keys.
    pub(crate) fn filter<F: Float>(&self, test: &IntegerTest, range: Range<usize>, mask: &mut Mask, at: usize) {
        let passes = |value: F| test.passes_narrow(float_key(value.double()));
        let exceptions = self.exceptions(&range).map(|exception| {
            let bit = at + self.rows[exception] as usize - range.start;
            (bit, mask.get(bit) && passes(F::from_bits(self.bits[exception])))
        });
        let exceptions: Vec<(usize, bool)> = exceptions.collect();
        match *test {
            IntegerTest::Range { low, high, negated } => {
                let test = self.integers_between::<F>(low, high, negated);
                self.integers.filter(&test, range, mask, at);
            }
            _ => {
                let mut values = Vec::with_capacity(range.len());
                dispatch(|| self.read(range, None, |value: F| value, &mut values));
                filter_rows(values.len(), mask, at, |row| passes(values[row]));
            }
        }
        for (bit, passes) in exceptions {
            let word = &mut mask.words[bit / 64];
            *word = *word & !(1 << (bit % 64)) | u64::from(passes) << (bit % 64);
        }
    }

    /// The test of integers whose floats have keys in `low..=high`.
    fn integers_between<F: Float>(&self, low: i128, high: i128, negated: bool) -> IntegerTest {
        let limit = INTEGER_MAX as i64;
        let (min, max) = self.integers.bounds();
        let clamped = |bound: i128| bound.clamp(i128::from(-limit), i128::from(limit)) as i64;
        let (min, max) = (clamped(min), clamped(max));
        let key = |integer: i64| i128::from(float_key(F::from_double(decoded(integer, self.power)).double()));
        // The first integer whose key is not below: keys ascend.
        let first = |is_below: &dyn Fn(i128) -> bool| {
            let (mut from, mut to) = (min, max + 1);
            while from < to {
                let middle = from + (to - from) / 2;
                if is_below(key(middle)) { from = middle + 1 } else { to = middle }
            }
            from
        };
        let from = first(&|key| key < low);
        let to = first(&|key| key <= high);
        IntegerTest::Range { low: from.into(), high: i128::from(to) - 1, negated }
    }
}
