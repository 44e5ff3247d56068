//! Sessions end to end, on a storage engine in memory.

mod basics;
mod concurrent;
mod copying;
mod copying_binary;
mod extensions;
mod failures;
mod harness;
mod indexes;
mod jobs;
mod modify;
mod parameters;
mod point;
mod transactions;
mod triggers;
