//! Weakly connected components: which vertices hang together when directions are ignored.
//!
//! Afforest (Sutton, Ben-Nun, Barak: *Optimizing Parallel Graph Connectivity Computation via Subgraph Sampling*, IPDPS
//! 2018). Every vertex points at one of its component with a number at most its own; [`link`](Components::link) hangs
//! the larger of two roots under the smaller, so that at last each points at the smallest of its component.
//!
//! 1. Link along the first edges of each vertex only. In most graphs that nearly makes the largest component.
//! 2. Guess the largest from a sample.
//! 3. Link along the other edges of those who are not in it, both ways: an edge into the largest is met from its other
//!    end. Edges within it, mostly nearly all, are never looked at.

use crate::csr::Csr;
use crate::error::{Result, Steps, Stop};
use crate::parallel;
use crate::view::{Adjacency, GRAIN, View};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Edges of each vertex, out and in, that are linked first.
const FIRST: usize = 2;
/// Vertices asked which component is the largest.
const SAMPLE: usize = 1024;

/// The component of each vertex, named by the smallest vertex in it.
pub fn wcc(forward: &View, reverse: &View, threads: usize, stop: Stop) -> Result<Vec<u32>> {
    match (forward.plain(), reverse.plain()) {
        (Some(forward), Some(reverse)) => run::<Csr>(forward, reverse, threads, stop),
        _ => run::<View>(forward, reverse, threads, stop),
    }
}

fn run<A: Adjacency>(forward: &A, reverse: &A, threads: usize, stop: Stop) -> Result<Vec<u32>> {
    let vertices = forward.vertices();
    let components = Components { parents: (0..vertices).map(AtomicU32::new).collect(), threads, stop };
    for round in 0..FIRST {
        components.each(|vertex, _| {
            let neighbours =
                forward.neighbours(vertex).nth(round).into_iter().chain(reverse.neighbours(vertex).nth(round));
            neighbours.for_each(|neighbour| components.link(vertex, neighbour));
            Ok(())
        })?;
        components.compress()?;
    }
    let largest = components.largest();
    components.each(|vertex, steps| {
        if Some(components.parent(vertex)) == largest {
            return Ok(());
        }
        steps.take(forward.degree_max(vertex).saturating_add(reverse.degree_max(vertex)))?;
        forward.neighbours(vertex).skip(FIRST).for_each(|neighbour| components.link(vertex, neighbour));
        reverse.neighbours(vertex).skip(FIRST).for_each(|neighbour| components.link(vertex, neighbour));
        Ok(())
    })?;
    components.compress()?;
    Ok(components.parents.into_iter().map(AtomicU32::into_inner).collect())
}

/// A forest whose roots are the smallest of their trees.
struct Components<'a> {
    parents: Vec<AtomicU32>,
    threads: usize,
    stop: Stop<'a>,
}

impl Components<'_> {
    #[inline]
    fn parent(&self, vertex: u32) -> u32 {
        self.parents[vertex as usize].load(Relaxed)
    }

    /// Makes one tree of the trees of `a` and `b`.
    #[inline]
    fn link(&self, a: u32, b: u32) {
        let (mut a, mut b) = (self.parent(a), self.parent(b));
        while a != b {
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            let parent = self.parent(high);
            let is_root = parent == high;
            if parent == low
                || is_root && self.parents[high as usize].compare_exchange(high, low, Relaxed, Relaxed).is_ok()
            {
                return;
            }
            // Somebody else was here; or `high` is no root: go up.
            (a, b) = (self.parent(self.parent(high)), self.parent(low));
        }
    }

    /// Lets every vertex point at its root.
    fn compress(&self) -> Result<()> {
        self.each(|vertex, _| {
            let mut root = self.parent(vertex);
            while self.parent(root) != root {
                root = self.parent(root);
            }
            self.parents[vertex as usize].store(root, Relaxed);
            Ok(())
        })
    }

    /// The component that most of a sample are in.
    fn largest(&self) -> Option<u32> {
        let stride = (self.parents.len() / SAMPLE).max(1);
        let mut counts = BTreeMap::new();
        for component in self.parents.iter().step_by(stride) {
            *counts.entry(component.load(Relaxed)).or_insert(0u32) += 1;
        }
        counts.into_iter().max_by_key(|&(_, count)| count).map(|(component, _)| component)
    }

    fn each(&self, work: impl Fn(u32, &mut Steps) -> Result<()> + Sync) -> Result<()> {
        let steps = || Steps::new(self.stop);
        parallel::ranges(self.threads, self.parents.len(), GRAIN, steps, |steps, range| {
            for vertex in range {
                steps.take(1)?;
                work(vertex as u32, steps)?;
            }
            Ok(())
        })
        .map(|_| ())
    }
}
