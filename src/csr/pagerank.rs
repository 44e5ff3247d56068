//! PageRank: how often somebody who follows random edges, and now and then starts anew anywhere, is at each vertex.
//!
//! Power iteration (Brin and Page 1998) as LDBC Graphalytics defines it: `rank(v) = (1 - d)/n + d * (sum of
//! rank(u)/outdegree(u) over edges u -> v + D/n)`, where `D` is the rank of all vertices that no edge leaves. Parallel
//! edges count each.
//!
//! Vertices *pull*: each sums what those that point at it have to give, which lies in one column of doubles, so nothing
//! is written twice and no atomics are needed. Sums go in the order of the edges, and sums over all vertices in the
//! order of chunks of a fixed size: results are the same whatever the number of threads.

use crate::csr::Csr;
use crate::error::{Result, Steps, Stop};
use crate::parallel;
use crate::view::{Adjacency, GRAIN, View};

/// How to compute ranks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageRank {
    /// How likely an edge is followed.
    pub damping: f64,
    /// Iterations end when ranks change by less than this in all. 0: there are always `iterations_max`.
    pub tolerance: f64,
    /// Iterations end in any case.
    pub iterations_max: u32,
}

impl Default for PageRank {
    fn default() -> PageRank {
        PageRank { damping: 0.85, tolerance: 1e-6, iterations_max: 100 }
    }
}

/// Ranks, and how they came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranks {
    /// The rank of each vertex; together 1.
    pub ranks: Vec<f64>,
    /// The number of iterations done.
    pub iterations: u32,
    /// By how much the last one changed ranks in all.
    pub change: f64,
}

/// The rank of each vertex.
pub fn pagerank(forward: &View, reverse: &View, options: PageRank, threads: usize, stop: Stop) -> Result<Ranks> {
    let degrees = forward.degrees(threads);
    match reverse.plain() {
        Some(reverse) => run::<Csr>(reverse, &degrees, options, threads, stop),
        None => run::<View>(reverse, &degrees, options, threads, stop),
    }
}

/// Sums over a chunk of vertices.
#[derive(Clone, Copy, Default)]
struct Sums {
    change: f64,
    /// The rank of vertices that no edge leaves.
    dangling: f64,
}

fn run<A: Adjacency>(reverse: &A, degrees: &[u32], options: PageRank, threads: usize, stop: Stop) -> Result<Ranks> {
    let n = degrees.len();
    let PageRank { damping, tolerance, iterations_max } = options;
    let mut ranks = vec![1.0 / n as f64; n];
    let gift = |rank: f64, degree: u32| if degree == 0 { 0.0 } else { rank / f64::from(degree) };
    let mut gifts: Vec<f64> = ranks.iter().zip(degrees).map(|(&rank, &degree)| gift(rank, degree)).collect();
    let mut gifts_next = vec![0.0; n];
    let mut dangling = degrees.iter().filter(|&&degree| degree == 0).count() as f64 / n as f64;
    let (mut iterations, mut change) = (0, 0.0);
    while iterations < iterations_max && n > 0 {
        let base = (1.0 - damping) / n as f64 + damping * dangling / n as f64;
        let mut sums = vec![Sums::default(); n.div_ceil(GRAIN)];
        let chunks = ranks.chunks_mut(GRAIN).zip(gifts_next.chunks_mut(GRAIN)).zip(&mut sums).enumerate();
        let state = || Steps::new(stop);
        parallel::items(threads, chunks.collect(), state, |steps, (chunk, ((ranks, gifts_next), sums))| {
            let mut own = Sums::default();
            for (vertex, (rank, gift_next)) in (chunk * GRAIN..).zip(ranks.iter_mut().zip(gifts_next)) {
                steps.take(1 + reverse.degree_max(vertex as u32))?;
                let sum: f64 = reverse.neighbours(vertex as u32).map(|neighbour| gifts[neighbour as usize]).sum();
                let next = base + damping * sum;
                own.change += (next - *rank).abs();
                *rank = next;
                let degree = degrees[vertex];
                own.dangling += if degree == 0 { next } else { 0.0 };
                *gift_next = gift(next, degree);
            }
            *sums = own;
            Ok(())
        })?;
        std::mem::swap(&mut gifts, &mut gifts_next);
        dangling = sums.iter().map(|sums| sums.dangling).sum();
        change = sums.iter().map(|sums| sums.change).sum();
        iterations += 1;
        if change < tolerance {
            break;
        }
    }
    Ok(Ranks { ranks, iterations, change })
}
