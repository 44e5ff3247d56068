//! Reading integers that are kept as steps from one to the next: a value is the base of its *stretch* and the steps since,
//! however the steps themselves are kept.

use super::VECTOR_ROWS;
use super::condition::IntegerTest;
use super::mask::Mask;
use super::packed::vectors;
use super::plain::filter_rows;
use std::ops::Range;

/// Rows that share a base.
pub(crate) const STRETCH_ROWS: usize = 256;

/// Up to this many wanted rows of a vector, single reads beat adding up all its steps.
pub(crate) const SINGLE_READS_MAX: usize = 8;

/// A page of integers as steps.
pub(crate) trait Stretched {
    /// Smallest and largest value of a vector, as far as the page tells.
    fn bounds(&self, vector: usize) -> (i64, i64);

    /// Replaces `values` by those of rows of one vector; the first row begins a stretch.
    fn values(&self, rows: Range<usize>, values: &mut Vec<i64>);

    /// One value.
    fn get(&self, row: usize) -> i64;

    /// Up to so many rows of a vector are read one by one.
    fn single_reads_max(&self, _vector: usize) -> usize {
        SINGLE_READS_MAX
    }

    /// Whether the values of a vector are known to ascend.
    fn ascends(&self, vector: usize) -> bool;

    /// Where the values ascend: what those of the stretch that begins with `row` are at least, and those before it at most.
    fn floor(&self, row: usize) -> i64;

    /// Rows of a vector that ascends, up to `end` of it, that are below `bound` (or equal to it, with `or_equal`). Only the
    /// stretch in which the bound lies is decoded. `values` is scratch.
    fn rows_below(&self, vector: usize, end: usize, bound: i128, or_equal: bool, values: &mut Vec<i64>) -> usize {
        let below = |value: i64| i128::from(value) < bound || or_equal && i128::from(value) == bound;
        let first = vector * VECTOR_ROWS;
        let later = (STRETCH_ROWS..end).step_by(STRETCH_ROWS);
        let stretch = later.take_while(|start| below(self.floor(first + start))).last().unwrap_or(0);
        self.values(first + stretch..first + end.min(stretch + STRETCH_ROWS), values);
        stretch + values.partition_point(|&value| below(value))
    }

    /// Appends `map` of rows `range`, or of those alive in `mask` (bit `at + i` for row `range.start + i`).
    fn read<T>(&self, range: Range<usize>, mask: Option<(&Mask, usize)>, map: impl Fn(i64) -> T, out: &mut Vec<T>) {
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
            if count <= self.single_reads_max(vector) {
                out.extend(wanted.map(|row| map(self.get(first + row))));
            } else {
                let (from, to) = (stretch(rows.start + usize::from(indices[0])), indices[count - 1]);
                self.values(first + from..first + rows.start + usize::from(to) + 1, &mut values);
                out.extend(wanted.map(|row| map(values[row - from])));
            }
        }
    }

    /// Kills in `mask` (bit `at + i` for row `range.start + i`) the rows of `range` that fail.
    fn filter(&self, test: &IntegerTest, range: Range<usize>, mask: &mut Mask, at: usize) {
        let start = range.start;
        let mut values = Vec::with_capacity(VECTOR_ROWS);
        for (vector, rows) in vectors(range) {
            let mask_at = at + vector * VECTOR_ROWS + rows.start - start;
            if !mask.any(mask_at, rows.len()) {
                continue;
            }
            let (min, max) = self.bounds(vector);
            if !test.may_match(min.into(), max.into()) {
                mask.clear(mask_at, rows.len());
                continue;
            }
            if let IntegerTest::Range { low, high, negated } = *test {
                if low <= min.into() && i128::from(max) <= high {
                    if negated {
                        mask.clear(mask_at, rows.len());
                    }
                    continue;
                }
                if self.ascends(vector) {
                    let in_rows = |row: usize| row.clamp(rows.start, rows.end) - rows.start;
                    let from = in_rows(self.rows_below(vector, rows.end, low, false, &mut values));
                    let to = in_rows(self.rows_below(vector, rows.end, high, true, &mut values)).max(from);
                    if negated {
                        mask.clear(mask_at + from, to - from);
                    } else {
                        mask.clear(mask_at, from);
                        mask.clear(mask_at + to, rows.len() - to);
                    }
                    continue;
                }
            }
            self.values(vector * VECTOR_ROWS..vector * VECTOR_ROWS + rows.end, &mut values);
            let values = &values[rows];
            filter_rows(values.len(), mask, mask_at, |row| test.passes_narrow(values[row]));
        }
    }
}

/// Turns steps, from the beginning of a stretch on, into values.
pub(crate) fn add_up(steps: &mut [i64], bases: &[i64]) {
    for (stretch, base) in steps.chunks_mut(STRETCH_ROWS).zip(bases) {
        let mut last = *base;
        for value in stretch {
            last = last.wrapping_add(*value);
            *value = last;
        }
    }
}
