//! Columns of a key as numbers in the same order, so that rows can be sorted by counting instead of comparing.
//!
//! Integers and times are counted from the smallest; strings of which there are few different ones by their place among these. NULL has
//! a number above all others.

use crate::codec::{Integers, Physical, distinct_strings, integers};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;

/// The rank of every row.
#[derive(Debug)]
pub(super) struct Ranks {
    pub(super) ranks: Vec<u64>,
    /// The largest.
    pub(super) max: u64,
}

impl Ranks {
    /// The ranks of a column; `None` when it has a type, or so many different strings, that comparing does better.
    pub(super) fn of(column: &ArrayRef) -> Option<Ranks> {
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
        match Physical::of(column.data_type()) {
            Physical::Integer(native) => {
                let data = column.to_data();
                let Integers::Narrow(values) = integers(&data, native) else { return None };
                Ranks::of_integers(&values, nulls)
            }
            Physical::Boolean => {
                let values = column.as_boolean().values().iter().map(u64::from).collect();
                Ranks::with_nulls(values, 1, nulls)
            }
            Physical::Bytes(text) => {
                let codes = distinct_strings(column, text)?;
                let max = codes.entries.len().saturating_sub(1) as u64;
                Ranks::with_nulls(codes.codes.into_iter().map(|code| code as u64).collect(), max, nulls)
            }
            Physical::Float32 | Physical::Float64 | Physical::FixedBytes | Physical::Other => None,
        }
    }

    fn of_integers(values: &[i64], nulls: Option<&NullBuffer>) -> Option<Ranks> {
        let (min, max) = values.iter().fold((i64::MAX, i64::MIN), |(min, max), &v| (min.min(v), max.max(v)));
        let ranks = values.iter().map(|&value| value.wrapping_sub(min) as u64).collect();
        Ranks::with_nulls(ranks, max.wrapping_sub(min) as u64, nulls)
    }

    /// Ranks up to `max` of rows of which some are NULL.
    fn with_nulls(mut ranks: Vec<u64>, max: u64, nulls: Option<&NullBuffer>) -> Option<Ranks> {
        let Some(nulls) = nulls else { return Some(Ranks { ranks, max }) };
        let above = max.checked_add(1)?;
        for (rank, is_valid) in ranks.iter_mut().zip(nulls) {
            if !is_valid {
                *rank = above;
            }
        }
        Some(Ranks { ranks, max: above })
    }
}
