//! Shortest paths by number of edges, of at least a given length: SQL/PGQ's `ANY SHORTEST` and `ALL SHORTEST` with a
//! quantifier `{min,max}`.
//!
//! With `min` above 1 the shortest path that counts may have to go round: three steps from a vertex to its neighbour.
//! So the search is not over vertices, but over (vertex, steps taken, counted up to `min`): breadth first from (source,
//! 0), every step leads from `(v, c)` to `(w, min(c + 1, min))`, and the first time that `(w, min)` is met is by a
//! shortest walk of at least `min` steps. Every such walk is exactly one path through the states. States live in a hash
//! table: the search costs what it meets.
//!
//! Paths are walks. With `min` at most 1 and different ends, shortest walks meet no vertex twice.

use crate::error::{Result, Steps, Stop};
use crate::khop::Near;
use crate::paths::{Links, Paths};
use crate::sparse::SparseMap;
use crate::view::{Step, View};
use crate::walks::Lengths;
use std::sync::Arc;

/// How many of the shortest paths to a vertex are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keep {
    /// One: the first in the order of edges.
    Any,
    /// All.
    All,
}

/// The shortest paths from one vertex.
#[derive(Clone, Debug)]
pub struct Shortest {
    vertices: u32,
    min: u32,
    numbers: SparseMap,
    /// The states in the order they were met: their vertices and lengths.
    states: Vec<Near>,
    links: Arc<Links>,
}

/// Searches shortest paths from `source` with so many steps: to all vertices, or until those in `targets` are reached.
pub fn shortest(
    view: &View,
    source: u32,
    lengths: Lengths,
    keep: Keep,
    targets: Option<&[u32]>,
    stop: Stop,
) -> Result<Shortest> {
    let Lengths { min, max } = lengths;
    let mut search =
        Search { vertices: view.vertices, min, numbers: SparseMap::new(), states: vec![], links: Links::default() };
    let missing = targets.map(SparseMap::of);
    let mut missing_count = missing.as_ref().map_or(usize::MAX, SparseMap::len);
    let mut steps = Steps::new(stop);
    search.meet(source, 0);
    let mut next = 0;
    // The length at which all targets were there: others as long may be wanted.
    let mut last = u32::MAX;
    while let Some(&Near { vertex, depth }) = search.states.get(next) {
        if depth >= min && missing.as_ref().is_some_and(|missing| missing.has(vertex)) {
            // Its state is met once.
            missing_count -= 1;
            last = if missing_count == 0 { depth } else { last };
        }
        if depth >= max || depth >= last || missing_count == 0 {
            break;
        }
        for step in view.steps(vertex) {
            steps.take(1)?;
            let (number, is_new) = search.meet(step.vertex, depth + 1);
            if is_new || keep == Keep::All && search.states[number as usize].depth == depth + 1 {
                search.links.add(next as u32, step, number);
            }
        }
        next += 1;
    }
    let Search { vertices, min, numbers, states, links } = search;
    Ok(Shortest { vertices, min, numbers, states, links: Arc::new(links) })
}

/// A search under way.
struct Search {
    vertices: u32,
    min: u32,
    numbers: SparseMap,
    states: Vec<Near>,
    links: Links,
}

impl Search {
    /// The number of the state of a walk of `depth` steps to `vertex`, and whether it is new.
    fn meet(&mut self, vertex: u32, depth: u32) -> (u32, bool) {
        let number = self.states.len() as u32;
        if let Some(number) = self.numbers.insert(key(self.vertices, self.min, vertex, depth), number) {
            return (number, false);
        }
        self.states.push(Near { vertex, depth });
        self.links.add_state();
        (number, true)
    }
}

fn key(vertices: u32, min: u32, vertex: u32, depth: u32) -> u64 {
    u64::from(depth.min(min)) * u64::from(vertices) + u64::from(vertex)
}

impl Shortest {
    /// The vertices with a path, and the lengths of the shortest, ascending.
    pub fn reached(&self) -> impl Iterator<Item = Near> {
        self.states.iter().copied().filter(|state| state.depth >= self.min)
    }

    /// The length of the shortest paths to `vertex`.
    pub fn length(&self, vertex: u32) -> Option<u32> {
        self.state(vertex).map(|state| self.states[state as usize].depth)
    }

    /// A shortest path to `vertex`.
    pub fn path(&self, vertex: u32) -> Option<Vec<Step>> {
        self.state(vertex).map(|state| self.links.first(state))
    }

    /// The shortest paths to `vertex` that were kept.
    pub fn paths<'a>(&self, vertex: u32, stop: Stop<'a>) -> Option<Paths<'a>> {
        self.state(vertex).map(|state| Paths::new(self.links.clone(), state, stop))
    }

    fn state(&self, vertex: u32) -> Option<u32> {
        self.numbers.get(key(self.vertices, self.min, vertex, self.min))
    }
}
