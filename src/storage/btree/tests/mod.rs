//! The tree against plain models, its shapes, its readers, its speed.

#[cfg(not(any(loom, shuttle)))]
mod against_model;
#[cfg(not(any(loom, shuttle)))]
mod figures;
#[cfg(any(loom, shuttle))]
mod interleavings;
#[cfg(not(any(loom, shuttle)))]
mod readers;
#[cfg(not(any(loom, shuttle)))]
mod shapes;

/// How much of something to do: more with `LIGHTNING_LONG=1`.
#[cfg(not(any(loom, shuttle)))]
fn count(short: usize, long: usize) -> usize {
    if std::env::var_os("LIGHTNING_LONG").is_some() { long } else { short }
}
