//! Where rows are.
//!
//! A place is the number of a block in the scan order of one snapshot and a row of it, in one integer. It says nothing about any
//! other snapshot. A row of a delta tree that was found by key is named by its key, in a list beside the block, so that the block need not
//! be decoded.

/// The place of a row of a block.
pub(crate) fn place(block: usize, row: usize) -> u64 {
    (block as u64) << 32 | row as u64
}

/// Block and row of a place.
pub(crate) fn place_parts(place: u64) -> (usize, usize) {
    ((place >> 32) as usize, (place & u64::from(u32::MAX)) as usize)
}
