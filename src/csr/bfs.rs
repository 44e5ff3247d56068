//! Breadth-first search: how many edges away each vertex is.
//!
//! Level by level, each level by all threads, in whichever direction looks at fewer edges (Beamer, Asanović, Patterson:
//! *Direction-Optimizing Breadth-First Search*, SC 2012):
//!
//! - *down*: the frontier is a list; its vertices' edges are followed, and who is reached first by a thread is that
//!   thread's to add to the next list;
//! - *up*: the frontier is a bitmap; every vertex not reached looks for one of it among those who point at it, and
//!   stops at the first. When a level holds most of the graph, nearly all edges are never looked at.
//!
//! Depths do not depend on the order of threads. Parents would, so none are kept: [`parents`] and [`path`] find
//! afterwards, for a vertex of depth `d`, the first in-edge from one of depth `d - 1`.

use crate::csr::Csr;
use crate::error::{Result, Steps, Stop, check};
use crate::parallel;
use crate::view::{Adjacency, GRAIN, NONE, Step, View};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Up, when the frontier has more than one in so many of the edges not seen yet.
const UP: u64 = 14;
/// Down again, when the frontier has fewer than one in so many vertices.
const DOWN: usize = 24;
/// Fewer edges are not worth waking threads for.
const EDGES_PARALLEL_MIN: u64 = 1 << 15;
/// Vertices of a list that a thread claims at once.
const LIST_GRAIN: usize = 256;

/// What to search for.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// Where it begins: they have depth 0.
    pub sources: &'a [u32],
    /// The search ends with the level in which this vertex is found.
    pub target: Option<u32>,
    /// Vertices further away are not reached.
    pub depth_max: u32,
}

impl<'a> Search<'a> {
    /// All that can be reached from `sources`.
    pub fn from(sources: &'a [u32]) -> Search<'a> {
        Search { sources, target: None, depth_max: NONE }
    }
}

/// The depth of every vertex; [`NONE`] when it is not reached.
pub fn bfs(forward: &View, reverse: &View, search: Search, threads: usize, stop: Stop) -> Result<Vec<u32>> {
    match (forward.plain(), reverse.plain()) {
        (Some(forward), Some(reverse)) => Bfs::<Csr>::run(forward, reverse, search, threads, stop),
        _ => Bfs::<View>::run(forward, reverse, search, threads, stop),
    }
}

/// How each vertex was reached, given the depths: the first of its in-edges from a vertex one level up. A step's vertex
/// is the one it comes from. Vertices without depth and those of depth 0 have [`Step::NONE`].
pub fn parents(reverse: &View, depths: &[u32], threads: usize, stop: Stop) -> Result<Vec<Step>> {
    let mut parents = vec![Step::NONE; depths.len()];
    let tasks = parents.chunks_mut(GRAIN).enumerate().collect();
    parallel::items(
        threads,
        tasks,
        || Steps::new(stop),
        |steps, (chunk, parents)| {
            for (vertex, parent) in (chunk * GRAIN..).zip(parents) {
                *parent = up(reverse, depths, vertex as u32, steps)?.unwrap_or(Step::NONE);
            }
            Ok(())
        },
    )?;
    Ok(parents)
}

/// A shortest path to `target`, given the depths; `None` when it is not reached. Parts are those of the forward view.
pub fn path(reverse: &View, depths: &[u32], target: u32, stop: Stop) -> Result<Option<Vec<Step>>> {
    let mut steps = Steps::new(stop);
    let mut path = Vec::new();
    let mut vertex = target;
    if depths[target as usize] == NONE {
        return Ok(None);
    }
    while let Some(parent) = up(reverse, depths, vertex, &mut steps)? {
        path.push(Step { vertex, ..parent });
        vertex = parent.vertex;
    }
    path.reverse();
    Ok(Some(path))
}

fn up(reverse: &View, depths: &[u32], vertex: u32, steps: &mut Steps) -> Result<Option<Step>> {
    let depth = depths[vertex as usize];
    if depth == NONE || depth == 0 {
        return Ok(None);
    }
    for step in reverse.steps(vertex) {
        steps.take(1)?;
        if depths[step.vertex as usize] == depth - 1 {
            return Ok(Some(step));
        }
    }
    Ok(None)
}

/// A search under way.
struct Bfs<'a, A> {
    forward: &'a A,
    reverse: &'a A,
    depths: Vec<AtomicU32>,
    threads: usize,
    stop: Stop<'a>,
}

/// The vertices of a level, and their edges.
struct Frontier {
    list: Vec<u32>,
    edges: u64,
}

impl<A: Adjacency> Bfs<'_, A> {
    fn run(forward: &A, reverse: &A, search: Search, threads: usize, stop: Stop) -> Result<Vec<u32>> {
        let vertices = forward.vertices() as usize;
        let depths = (0..vertices).map(|_| AtomicU32::new(NONE)).collect();
        let bfs = Bfs { forward, reverse, depths, threads, stop };
        bfs.levels(search)?;
        Ok(bfs.depths.into_iter().map(AtomicU32::into_inner).collect())
    }

    fn levels(&self, search: Search) -> Result<()> {
        let mut frontier = Frontier { list: Vec::new(), edges: 0 };
        for &source in search.sources {
            if self.depths[source as usize].swap(0, Relaxed) == NONE {
                frontier.list.push(source);
                frontier.edges += u64::from(self.forward.degree_max(source));
            }
        }
        let mut left: u64 = (0..self.forward.vertices()).map(|vertex| u64::from(self.forward.degree_max(vertex))).sum();
        let is_found = || search.target.is_some_and(|target| self.depths[target as usize].load(Relaxed) != NONE);
        let mut depth = 0;
        while depth < search.depth_max && !frontier.list.is_empty() && !is_found() {
            left = left.saturating_sub(frontier.edges);
            depth += 1;
            if frontier.edges <= left / UP {
                frontier = self.down(&frontier, depth)?;
                continue;
            }
            let mut bits = self.bits(&frontier.list);
            loop {
                let (next, found, edges) = self.up(&bits, depth)?;
                bits = next;
                frontier.edges = edges;
                left = left.saturating_sub(edges);
                let is_small = found == 0 || found < self.depths.len() / DOWN;
                if is_small || depth >= search.depth_max || is_found() {
                    break;
                }
                depth += 1;
            }
            // Taken off already; the top of the loop will do so again.
            left += frontier.edges;
            frontier.list = list(&bits);
        }
        Ok(())
    }

    /// The next level, by following the edges of this one.
    fn down(&self, frontier: &Frontier, depth: u32) -> Result<Frontier> {
        let threads = if frontier.edges < EDGES_PARALLEL_MIN { 1 } else { self.threads };
        let state = || (Frontier { list: Vec::new(), edges: 0 }, Steps::new(self.stop));
        let pieces = parallel::ranges(threads, frontier.list.len(), LIST_GRAIN, state, |(next, steps), range| {
            for &vertex in &frontier.list[range] {
                steps.take(1 + self.forward.degree_max(vertex))?;
                for neighbour in self.forward.neighbours(vertex) {
                    let place = &self.depths[neighbour as usize];
                    // Looking first is cheaper than trying to write where nothing is to be written.
                    if place.load(Relaxed) == NONE && place.compare_exchange(NONE, depth, Relaxed, Relaxed).is_ok() {
                        next.list.push(neighbour);
                        next.edges += u64::from(self.forward.degree_max(neighbour));
                    }
                }
            }
            Ok(())
        })?;
        let mut pieces = pieces.into_iter().map(|(piece, _)| piece);
        let mut next = pieces.next().expect("there is at least one thread");
        for piece in pieces {
            next.list.extend(piece.list);
            next.edges += piece.edges;
        }
        Ok(next)
    }

    /// The next level as bits, how many vertices it has and how many edges, by looking for this one.
    fn up(&self, frontier: &[AtomicU64], depth: u32) -> Result<(Vec<AtomicU64>, usize, u64)> {
        let next: Vec<AtomicU64> = frontier.iter().map(|_| AtomicU64::new(0)).collect();
        let is_in = |vertex: u32| frontier[vertex as usize / 64].load(Relaxed) >> (vertex % 64) & 1 == 1;
        let state = || (0, 0);
        let sums = parallel::ranges(self.threads, self.depths.len(), GRAIN, state, |(found, edges), range| {
            check(self.stop)?;
            for first in range.clone().step_by(64) {
                let mut bits = 0u64;
                for vertex in first..(first + 64).min(range.end) {
                    if self.depths[vertex].load(Relaxed) == NONE && self.reverse.neighbours(vertex as u32).any(is_in) {
                        self.depths[vertex].store(depth, Relaxed);
                        bits |= 1 << (vertex % 64);
                        *edges += u64::from(self.forward.degree_max(vertex as u32));
                    }
                }
                *found += bits.count_ones() as usize;
                next[first / 64].store(bits, Relaxed);
            }
            Ok(())
        })?;
        let (found, edges) = sums.into_iter().fold((0, 0u64), |sum, own: (usize, u64)| (sum.0 + own.0, sum.1 + own.1));
        Ok((next, found, edges))
    }

    fn bits(&self, list: &[u32]) -> Vec<AtomicU64> {
        let mut bits = vec![0u64; self.depths.len().div_ceil(64)];
        for &vertex in list {
            bits[vertex as usize / 64] |= 1 << (vertex % 64);
        }
        bits.into_iter().map(AtomicU64::new).collect()
    }
}

fn list(bits: &[AtomicU64]) -> Vec<u32> {
    let mut list = Vec::new();
    for (word, bits) in bits.iter().enumerate() {
        let mut bits = bits.load(Relaxed);
        while bits != 0 {
            list.push(word as u32 * 64 + bits.trailing_zeros());
            bits &= bits - 1;
        }
    }
    list
}
