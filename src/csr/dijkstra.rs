//! Shortest paths where no edge weighs less than nothing (Dijkstra 1959).
//!
//! The nearest vertex not settled is settled, and its edges may bring others nearer. The heap keeps outdated entries,
//! which are skipped when they come up: that is faster than moving them. Of paths of the same weight the one found
//! first stays, and vertices equally far are settled in the order of their numbers: the same graph gives the same
//! paths.
//!
//! Columns by vertex are kept from search to search, and only what a search touched is cleaned up: a search that ends
//! near its start costs little in a large graph.

use crate::error::{Result, Steps, Stop};
use crate::paths::{Links, Paths};
use crate::sparse::SparseMap;
use crate::tree::Tree;
use crate::view::{NONE, Step, View};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Searches, one after another.
#[derive(Clone, Debug)]
pub struct Dijkstra {
    tree: Tree,
    /// Distances as bits, which have the order of the numbers as these are not negative, and vertices.
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    /// The vertices whose distances are final, ascending.
    settled: Vec<u32>,
    /// The vertices that have any distance.
    touched: Vec<u32>,
}

impl Dijkstra {
    /// Searches in graphs of so many vertices.
    pub fn new(vertices: u32) -> Dijkstra {
        Dijkstra { tree: Tree::new(vertices), heap: BinaryHeap::new(), settled: Vec::new(), touched: Vec::new() }
    }

    /// Searches from `sources`, for all vertices not further than `distance_max`, or until `targets` are settled.
    /// Returns the tree of those that are; it lasts until the next search. Edges of which the search looks at none may
    /// weigh anything.
    pub fn search(
        &mut self,
        view: &View,
        sources: &[u32],
        targets: Option<&[u32]>,
        distance_max: f64,
        stop: Stop,
    ) -> Result<&Tree> {
        self.clear();
        let missing = SparseMap::of(targets.unwrap_or_default());
        let mut missing_count = if targets.is_some() { missing.len() } else { usize::MAX };
        let mut bound = if missing_count == 0 { -1.0 } else { distance_max };
        for &source in sources {
            self.reach(source, 0.0, Step::NONE);
        }
        let mut steps = Steps::new(stop);
        while let Some(Reverse((bits, vertex))) = self.heap.pop() {
            let distance = f64::from_bits(bits);
            if distance > bound {
                self.heap.push(Reverse((bits, vertex)));
                break;
            }
            if distance > self.tree.distances[vertex as usize] {
                continue;
            }
            self.settled.push(vertex);
            if missing_count != usize::MAX && missing.has(vertex) {
                missing_count -= 1;
                // Others as far as the last are settled, too: shortest paths may go through them.
                bound = if missing_count == 0 { distance } else { bound };
            }
            for step in view.steps(vertex) {
                steps.take(1)?;
                let next = distance + view.weight_not_negative(step)?;
                self.reach(step.vertex, next, Step { vertex, ..step });
            }
        }
        self.forget_unsettled();
        Ok(&self.tree)
    }

    /// The tree of the last search.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The vertices that the last search reached, nearest first.
    pub fn reached(&self) -> &[u32] {
        &self.settled
    }

    /// All shortest paths to `target` by the distances of the last search, whose edges `reverse` has turned round;
    /// `None` when it was not reached. Paths that meet a vertex twice, which takes edges that weigh nothing, are left
    /// out.
    pub fn paths<'a>(&self, reverse: &View, target: u32, stop: Stop<'a>) -> Result<Option<Paths<'a>>> {
        if self.tree.distances[target as usize] == f64::INFINITY {
            return Ok(None);
        }
        let mut steps = Steps::new(stop);
        let mut numbers = SparseMap::new();
        let mut links = Links::default();
        let mut states = vec![target];
        numbers.insert(u64::from(target), 0);
        links.add_state();
        let mut next = 0;
        while let Some(&vertex) = states.get(next) {
            let distance = self.tree.distances[vertex as usize];
            // Where the search began, paths begin.
            let is_start = self.tree.parents[vertex as usize].vertex == NONE;
            for step in reverse.steps(vertex).take_while(|_| !is_start) {
                steps.take(1)?;
                let weight = reverse.weight_not_negative(step)?;
                if self.tree.distances[step.vertex as usize] + weight != distance {
                    continue;
                }
                // A weight may be lost beside a large distance.
                links.may_have_cycles |= self.tree.distances[step.vertex as usize] == distance;
                let number = states.len() as u32;
                let from = numbers.insert(u64::from(step.vertex), number).unwrap_or(number);
                if from == number {
                    states.push(step.vertex);
                    links.add_state();
                }
                links.add(from, Step { vertex, ..step }, next as u32);
            }
            next += 1;
        }
        Ok(Some(Paths::new(Arc::new(links), 0, stop)))
    }

    fn reach(&mut self, vertex: u32, distance: f64, parent: Step) {
        let place = &mut self.tree.distances[vertex as usize];
        if distance < *place {
            if *place == f64::INFINITY {
                self.touched.push(vertex);
            }
            *place = distance;
            self.tree.parents[vertex as usize] = parent;
            self.heap.push(Reverse((distance.to_bits(), vertex)));
        }
    }

    fn clear(&mut self) {
        for vertex in self.touched.drain(..) {
            self.tree.distances[vertex as usize] = f64::INFINITY;
            self.tree.parents[vertex as usize] = Step::NONE;
        }
        self.settled.clear();
        self.heap.clear();
    }

    /// Distances that are not final are none: those of vertices that wait in the heap.
    fn forget_unsettled(&mut self) {
        for Reverse((bits, vertex)) in self.heap.drain() {
            if self.tree.distances[vertex as usize].to_bits() == bits {
                self.tree.distances[vertex as usize] = f64::INFINITY;
                self.tree.parents[vertex as usize] = Step::NONE;
            }
        }
    }
}
