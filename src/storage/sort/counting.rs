//! Stable sorting of rows by ranks: counting passes over eleven bits each, the lowest first (radix sort).
//!
//! Keys of several columns are sorted by the last column first. A column whose ranks ascend already takes no pass, and
//! digits that all rows share take none, so rows of many series in the order of their times take one.

use super::ranks::Ranks;

const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;
/// Fewer rows are compared: clearing the counters would cost more.
const ROWS_MIN: usize = 256;

/// The order of rows by all columns, the first of which decides first. Rows with the same ranks stay in their order.
pub(super) fn order(columns: &[Ranks], rows: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    for column in columns.iter().rev() {
        sort(&mut order, column);
    }
    order
}

/// Whether no two rows in a sorted order have the same ranks.
pub(super) fn is_distinct(columns: &[Ranks], order: &[u32]) -> bool {
    let differ = |pair: &[u32], column: &Ranks| column.ranks[pair[0] as usize] != column.ranks[pair[1] as usize];
    // The last column differs most often.
    order.windows(2).all(|pair| columns.iter().rev().any(|column| differ(pair, column)))
}

/// Sorts `order` by the ranks of one column, stably.
fn sort(order: &mut Vec<u32>, column: &Ranks) {
    let rank = |row: u32| column.ranks[row as usize];
    if order.is_sorted_by_key(|&row| rank(row)) {
        return;
    }
    if order.len() < ROWS_MIN {
        return order.sort_by_key(|&row| rank(row));
    }
    let bits = u64::BITS - column.max.leading_zeros();
    if bits <= DIGIT_BITS {
        // One pass: no need to carry the ranks along.
        let mut places = Places::new(order.iter().map(|&row| rank(row) as usize));
        let mut sorted = vec![0; order.len()];
        for &row in order.iter() {
            sorted[places.next(rank(row) as usize)] = row;
        }
        *order = sorted;
        return;
    }
    let mut pairs: Vec<(u64, u32)> = order.iter().map(|&row| (rank(row), row)).collect();
    let mut sorted = vec![(0, 0); pairs.len()];
    for shift in (0..bits).step_by(DIGIT_BITS as usize) {
        let digit = |rank: u64| (rank >> shift) as usize % DIGITS;
        let mut places = Places::new(pairs.iter().map(|pair| digit(pair.0)));
        if places.is_one_digit {
            continue;
        }
        for &pair in &pairs {
            sorted[places.next(digit(pair.0))] = pair;
        }
        std::mem::swap(&mut pairs, &mut sorted);
    }
    order.clear();
    order.extend(pairs.into_iter().map(|(_, row)| row));
}

/// Where the next row with each digit goes.
struct Places {
    next: Box<[u32; DIGITS]>,
    is_one_digit: bool,
}

impl Places {
    fn new(digits: impl Iterator<Item = usize>) -> Places {
        let mut next = Box::new([0u32; DIGITS]);
        let mut rows = 0;
        for digit in digits {
            next[digit] += 1;
            rows += 1;
        }
        let is_one_digit = next.contains(&rows);
        let mut start = 0;
        for place in next.iter_mut() {
            start += std::mem::replace(place, start);
        }
        Places { next, is_one_digit }
    }

    fn next(&mut self, digit: usize) -> usize {
        let place = &mut self.next[digit];
        *place += 1;
        *place as usize - 1
    }
}
