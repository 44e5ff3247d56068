//! Where rows of different blocks may have the same key, by the bounds of the blocks alone.
//!
//! Two rows have the same key only if every key column of one is within the bounds of the other's block. Loads of many series in order of time
//! make blocks that all have every series, but hardly share a moment: to know that no key is there twice, it is enough to read the rows of these
//! moments. Each [`Overlap`] is such a part of two blocks.
//!
//! Rows that were committed have been compared when they were, so one of the two is always new. Bounds become ranks, so that only numbers are compared.

use crate::error::Result;
use crate::layout::Layout;
use crate::predicate::{CompareOp, Predicate};
use crate::segment::{Bounds, compare};
use arrow::array::ArrayRef;
use std::cmp::Ordering;

/// Pairs of blocks looked at for each block there is; with more, nothing is known.
const PAIRS_PER_BLOCK_MAX: usize = 16;

/// Conditions that rows of two blocks satisfy if they can have the same key.
pub type Overlap = Vec<Predicate>;

/// The smallest and largest value of a column of a block, as ranks among all such values, and the values.
#[derive(Clone, Debug)]
struct Interval {
    ranks: (usize, usize),
    /// `None`: it is not known.
    bounds: (Option<ArrayRef>, Option<ArrayRef>),
}

/// What is known of the keys of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// They were compared with all others when they were committed.
    Committed,
    /// They differ from each other.
    Distinct,
    /// Nothing.
    Unknown,
}

/// Of `layout`, where rows may have the same values in the columns `key`: rows of different blocks, or of one block of which it is not known
/// that they differ. `None` when that may be nearly anywhere.
pub(crate) fn overlaps(layout: &Layout, key: &[usize]) -> Result<Option<Vec<Overlap>>> {
    let mut blocks: Vec<Vec<Bounds>> = Vec::new();
    let mut states = Vec::new();
    for stored in &layout.stored.segments {
        let state = match stored.origin() {
            Some(_) => State::Committed,
            None if stored.has_equal_keys() => State::Unknown,
            None => State::Distinct,
        };
        for block in stored.segment.blocks()? {
            let footer = block.footer()?;
            blocks.push(key.iter().map(|&column| footer.columns[column].bounds.clone()).collect());
            states.push(state);
        }
    }
    for block in layout.mem_blocks() {
        let summary = block.summary()?;
        blocks.push(key.iter().map(|&column| summary[column].bounds.clone()).collect());
        states.push(State::Unknown);
    }
    let columns: Vec<Vec<Interval>> =
        (0..key.len()).map(|column| intervals(blocks.iter().map(|block| &block[column]))).collect();
    let Some(pairs) = pairs(&states, &columns) else { return Ok(None) };
    let overlap = |(a, b): (usize, usize)| -> Overlap {
        let columns = key.iter().zip(&columns);
        columns.flat_map(|(&column, intervals)| common(column, &intervals[a], &intervals[b])).collect()
    };
    Ok(Some(pairs.into_iter().map(overlap).collect()))
}

/// The bounds of one column of all blocks.
fn intervals<'a>(blocks: impl Iterator<Item = &'a Bounds>) -> Vec<Interval> {
    // A bound that was cut says nothing about what is above it.
    let known = |bounds: &Bounds| match bounds.exact {
        true => (bounds.min.clone(), bounds.max.clone()),
        false => (bounds.min.clone(), None),
    };
    let bounds: Vec<_> = blocks.map(known).collect();
    let mut values: Vec<&ArrayRef> = bounds.iter().flat_map(|(min, max)| min.iter().chain(max)).collect();
    values.sort_by(|a, b| compare(a, b).unwrap_or(Ordering::Equal));
    let rank = |value: &ArrayRef| values.partition_point(|other| compare(other, value) == Some(Ordering::Less)) + 1;
    let ranks: Vec<_> =
        bounds.iter().map(|(min, max)| (min.as_ref().map_or(0, rank), max.as_ref().map_or(usize::MAX, rank))).collect();
    ranks.into_iter().zip(bounds).map(|(ranks, bounds)| Interval { ranks, bounds }).collect()
}

fn meet(a: &Interval, b: &Interval) -> bool {
    a.ranks.0 <= b.ranks.1 && b.ranks.0 <= a.ranks.1
}

/// Pairs of blocks, one of them new, whose intervals meet in every column; blocks of which nothing is known with themselves, too. `None` when they are more than
/// [`PAIRS_PER_BLOCK_MAX`] a block.
fn pairs(states: &[State], columns: &[Vec<Interval>]) -> Option<Vec<(usize, usize)>> {
    let pairs_max = states.len() * PAIRS_PER_BLOCK_MAX;
    let mut found = Vec::new();
    for (new, state) in states.iter().enumerate().filter(|(_, state)| **state != State::Committed) {
        // Pairs of two new blocks are met once, with the later one.
        let others = (0..states.len()).filter(|&other| match other.cmp(&new) {
            Ordering::Less => true,
            Ordering::Equal => *state == State::Unknown,
            Ordering::Greater => states[other] == State::Committed,
        });
        found
            .extend(others.filter(|&other| columns.iter().all(|c| meet(&c[new], &c[other]))).map(|other| (other, new)));
        if found.len() > pairs_max {
            return None;
        }
    }
    Some(found)
}

/// What values of a column that lie in both intervals satisfy.
fn common(column: usize, a: &Interval, b: &Interval) -> Vec<Predicate> {
    let low = if a.ranks.0 >= b.ranks.0 { &a.bounds.0 } else { &b.bounds.0 };
    let high = if a.ranks.1 <= b.ranks.1 { &a.bounds.1 } else { &b.bounds.1 };
    match (low.clone(), high.clone()) {
        (Some(low), Some(high)) => vec![Predicate::Between { column, low, high }],
        (Some(value), None) => vec![Predicate::Compare { column, op: CompareOp::GtEq, value }],
        (None, Some(value)) => vec![Predicate::Compare { column, op: CompareOp::LtEq, value }],
        (None, None) => vec![],
    }
}
