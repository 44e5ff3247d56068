//! Communities by label propagation, as LDBC Graphalytics defines it (after Raghavan, Albert, Kumara 2007, but
//! synchronous and without chance).
//!
//! Every vertex starts with its own number as label. In every iteration each takes the label that most of its
//! neighbours had before, of several the smallest. Neighbours count once for each edge, in either direction: one joined
//! both ways counts twice.
//!
//! Labels are counted in a column by label, of which only what was touched is cleared.

use crate::error::{Result, Steps, Stop};
use crate::parallel;
use crate::view::{Adjacency, View};

/// Vertices that a thread takes at once.
const CHUNK: usize = 1 << 14;

/// The label of each vertex after so many iterations, or fewer if nothing changes any more. For an undirected graph the
/// edges of both views count, which comes to the same.
pub fn cdlp(forward: &View, reverse: &View, iterations: u32, threads: usize, stop: Stop) -> Result<Vec<u32>> {
    match (forward.plain(), reverse.plain()) {
        (Some(forward), Some(reverse)) => run(forward, reverse, iterations, threads, stop),
        _ => run(forward, reverse, iterations, threads, stop),
    }
}

fn run<A: Adjacency>(forward: &A, reverse: &A, iterations: u32, threads: usize, stop: Stop) -> Result<Vec<u32>> {
    let vertices = forward.vertices();
    let mut labels: Vec<u32> = (0..vertices).collect();
    let mut next = labels.clone();
    for _ in 0..iterations {
        let chunks = next.chunks_mut(CHUNK).enumerate().collect();
        let state = || (vec![0u32; vertices as usize], Steps::new(stop));
        parallel::items(threads, chunks, state, |(counts, steps), (chunk, next)| {
            for (vertex, next) in (chunk * CHUNK..).zip(next) {
                let vertex = vertex as u32;
                steps.take(forward.degree_max(vertex).saturating_add(reverse.degree_max(vertex)).saturating_add(1))?;
                let near = || forward.neighbours(vertex).chain(reverse.neighbours(vertex)).map(|v| labels[v as usize]);
                let mut best = (0, labels[vertex as usize]);
                near().for_each(|label| {
                    let count = &mut counts[label as usize];
                    *count += 1;
                    if *count > best.0 || *count == best.0 && label < best.1 {
                        best = (*count, label);
                    }
                });
                near().for_each(|label| counts[label as usize] = 0);
                *next = best.1;
            }
            Ok(())
        })?;
        if next == labels {
            break;
        }
        std::mem::swap(&mut labels, &mut next);
    }
    Ok(labels)
}
