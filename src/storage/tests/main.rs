//! Tests of the engine through its public face: one binary, one module a subject.
//!
//! `LIGHTNING_LONG=1` makes the loops over seeds and crash points longer.

mod bulk;
mod concurrency;
mod corruption;
mod crash;
mod deletes;
mod delta;
mod flush;
mod full_disk;
mod index;
mod locks;
mod lookup;
mod model;
mod overlaps;
mod partition;
mod replay;
mod support;
mod torture;
mod transactions;
mod vacuum;
