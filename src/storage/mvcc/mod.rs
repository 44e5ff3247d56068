//! Many versions of a row, each for the snapshots that see it.

pub(crate) mod chain;
