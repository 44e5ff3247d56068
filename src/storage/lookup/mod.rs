//! Rows by key and by place, without a scan.
//!
//! A place ([`crate::scan::place`]) is the number of a block of a layout and a row of it. To find the row of a key, the delta tree is asked
//! first, then each block in memory, then those blocks of segments whose first and last keys have it between them ([`Fences`]).
//! Of many keys those that a block certainly does not have are then passed over ([`KeyFilter`]).
//! In such a block, which is sorted, the zones' smallest values leave one zone or two to search: a few keys by binary search in the
//! encoded pages, many in the decoded zone.
//!
//! Keys are compared as bytes ([`crate::key`]). Where a table's keys have no such form, all rows are looked through.
//!
//! A range of keys is a run of rows in each block, which can be counted, read, or read from either end ([`KeyRows`]). So are the keys of a group,
//! of which the last may be all that is wanted ([`last`]).
//!
//! A key has at most one live row in a layout, so the first one found is the one.

mod filter;
mod cut;
mod fences;
mod locate;
mod last;
mod range;
mod rows;
mod stored;
mod value;

pub(crate) use cut::{columns_of, cut};
pub(crate) use fences::Fences;
pub(crate) use filter::KeyFilter;
pub(crate) use last::Tails;
pub(crate) use locate::locate;
pub(crate) use rows::rows_at;

pub use range::KeyRows;
