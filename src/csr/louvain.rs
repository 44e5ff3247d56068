//! Communities by modularity: the Louvain method (Blondel, Guillaume, Lambiotte, Lefebvre 2008).
//!
//! Modularity says by how much the weight within communities exceeds what chance would give: `sum over communities of
//! (within / 2m - resolution * (total / 2m)^2)`, where `2m` is the weight of all ends of edges. Two steps in turns:
//!
//! 1. *Move*: one vertex after another goes to the community of a neighbour that gains the most, until nothing gains
//!    any more.
//! 2. *Merge*: each community becomes one vertex, with the weight within as a loop.
//!
//! Directions are ignored. Vertices are visited in the order of their numbers, and of communities that gain the same
//! the smallest is taken: the same graph gives the same communities.

use crate::error::{Result, Steps, Stop};
use crate::view::View;

/// A move must gain so much of the vertex's weight, lest rounding moves vertices to and fro.
const GAIN_MIN: f64 = 1e-10;
/// Rounds of moves end when one gains less modularity than this.
const ROUND_GAIN_MIN: f64 = 1e-7;

/// Communities of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Communities {
    /// The community of each vertex, named by the smallest vertex in it.
    pub names: Vec<u32>,
    /// The modularity.
    pub modularity: f64,
}

/// Finds communities. With a `resolution` above 1 they are smaller, below larger. Edges must not weigh less than
/// nothing.
pub fn louvain(forward: &View, reverse: &View, resolution: f64, stop: Stop) -> Result<Communities> {
    let mut steps = Steps::new(stop);
    let mut level = Level::new(forward, reverse, &mut steps)?;
    let mut communities: Vec<u32> = (0..forward.vertices).collect();
    loop {
        let moved = level.moves(resolution, &mut steps)?;
        let count = moved.iter().max().map_or(0, |&last| last as usize + 1);
        communities.iter_mut().for_each(|community| *community = moved[*community as usize]);
        let is_done = count == level.loops.len();
        level = level.merge(&moved, count, &mut steps)?;
        if is_done {
            break;
        }
    }
    // The first vertex of each is the smallest.
    let mut names = vec![u32::MAX; level.loops.len()];
    for (vertex, &community) in communities.iter().enumerate() {
        let name = &mut names[community as usize];
        *name = (*name).min(vertex as u32);
    }
    let names = communities.into_iter().map(|community| names[community as usize]).collect();
    Ok(Communities { names, modularity: level.modularity(resolution) })
}

/// An undirected graph with weights: every edge is there from both ends, loops apart.
struct Level {
    offsets: Vec<usize>,
    targets: Vec<u32>,
    weights: Vec<f64>,
    /// The weight of loops of each vertex.
    loops: Vec<f64>,
    /// The weight of the ends of edges at each vertex, loops twice.
    totals: Vec<f64>,
    /// Of all vertices.
    total: f64,
}

impl Level {
    fn new(forward: &View, reverse: &View, steps: &mut Steps) -> Result<Level> {
        let vertices = forward.vertices as usize;
        let mut sums = Sums::new(vertices);
        let mut level = Level::empty();
        for vertex in 0..forward.vertices {
            for (view, is_forward) in [(forward, true), (reverse, false)] {
                for step in view.steps(vertex) {
                    steps.take(1)?;
                    // A loop is in both views.
                    if is_forward || step.vertex != vertex {
                        sums.add(step.vertex, view.weight_not_negative(step)?);
                    }
                }
            }
            level.push(vertex, &mut sums, 0.0);
        }
        level.finish();
        Ok(level)
    }

    fn empty() -> Level {
        Level { offsets: vec![0], targets: vec![], weights: vec![], loops: vec![], totals: vec![], total: 0.0 }
    }

    /// Adds a vertex with the edges that `sums` has and a loop of weight `more`.
    fn push(&mut self, vertex: u32, sums: &mut Sums, more: f64) {
        let mut within = more;
        let mut total = 0.0;
        for (target, weight) in sums.drain() {
            if target == vertex {
                within += weight;
                continue;
            }
            self.targets.push(target);
            self.weights.push(weight);
            total += weight;
        }
        self.offsets.push(self.targets.len());
        self.loops.push(within);
        self.totals.push(total + 2.0 * within);
    }

    fn finish(&mut self) {
        self.total = self.totals.iter().sum();
    }

    fn edges(&self, vertex: usize) -> impl Iterator<Item = (u32, f64)> {
        let slots = self.offsets[vertex]..self.offsets[vertex + 1];
        self.targets[slots.clone()].iter().copied().zip(self.weights[slots].iter().copied())
    }

    /// Moves vertices while it gains. The communities are numbered in the order of their first vertices.
    fn moves(&self, resolution: f64, steps: &mut Steps) -> Result<Vec<u32>> {
        let vertices = self.loops.len();
        let mut communities: Vec<u32> = (0..vertices as u32).collect();
        let mut totals = self.totals.clone();
        let mut sums = Sums::new(vertices);
        loop {
            let mut gained = 0.0;
            for vertex in 0..vertices {
                let own = communities[vertex];
                let weight = self.totals[vertex];
                sums.add(own, 0.0);
                for (target, weight) in self.edges(vertex) {
                    steps.take(1)?;
                    sums.add(communities[target as usize], weight);
                }
                totals[own as usize] -= weight;
                let share = if self.total > 0.0 { resolution * weight / self.total } else { 0.0 };
                let gain = |to: f64, community: u32| to - share * totals[community as usize];
                let stay = gain(sums.get(own), own);
                let mut best = (stay + GAIN_MIN * weight, own);
                for (community, to) in sums.drain() {
                    let gain = gain(to, community);
                    if gain > best.0 || gain == best.0 && community < best.1 && best.1 != own {
                        best = (gain, community);
                    }
                }
                if best.1 != own {
                    gained += best.0 - stay;
                }
                communities[vertex] = best.1;
                totals[best.1 as usize] += weight;
            }
            // Each move gains twice that, of the weight of all ends.
            if 2.0 * gained <= ROUND_GAIN_MIN * self.total {
                break;
            }
        }
        let mut numbers = vec![u32::MAX; vertices];
        let mut count = 0;
        for community in &mut communities {
            let number = &mut numbers[*community as usize];
            if *number == u32::MAX {
                *number = count;
                count += 1;
            }
            *community = *number;
        }
        Ok(communities)
    }

    /// The graph of the communities.
    fn merge(&self, communities: &[u32], count: usize, steps: &mut Steps) -> Result<Level> {
        // Vertices by community: counted, then put in place.
        let mut ends = vec![0usize; count + 1];
        communities.iter().for_each(|&community| ends[community as usize + 1] += 1);
        (0..count).for_each(|community| ends[community + 1] += ends[community]);
        let starts = ends.clone();
        let mut members = vec![0u32; communities.len()];
        for (vertex, &community) in communities.iter().enumerate() {
            members[ends[community as usize]] = vertex as u32;
            ends[community as usize] += 1;
        }
        let mut sums = Sums::new(count);
        let mut level = Level::empty();
        for community in 0..count {
            let mut within = 0.0;
            for &member in &members[starts[community]..starts[community + 1]] {
                within += self.loops[member as usize];
                for (target, weight) in self.edges(member as usize) {
                    steps.take(1)?;
                    let to = communities[target as usize];
                    // An edge within is met from both ends.
                    let weight = if to as usize == community { weight / 2.0 } else { weight };
                    sums.add(to, weight);
                }
            }
            level.push(community as u32, &mut sums, within);
        }
        level.finish();
        Ok(level)
    }

    /// The modularity when each vertex is a community.
    fn modularity(&self, resolution: f64) -> f64 {
        if self.total == 0.0 {
            return 0.0;
        }
        let share = |(within, total): (&f64, &f64)| {
            2.0 * within / self.total - resolution * (total / self.total) * (total / self.total)
        };
        self.loops.iter().zip(&self.totals).map(share).sum()
    }
}

/// Sums by number, of which only those touched are looked at.
struct Sums {
    sums: Vec<f64>,
    is_touched: Vec<bool>,
    touched: Vec<u32>,
}

impl Sums {
    fn new(len: usize) -> Sums {
        Sums { sums: vec![0.0; len], is_touched: vec![false; len], touched: Vec::new() }
    }

    #[inline]
    fn add(&mut self, number: u32, weight: f64) {
        if !std::mem::replace(&mut self.is_touched[number as usize], true) {
            self.touched.push(number);
        }
        self.sums[number as usize] += weight;
    }

    fn get(&self, number: u32) -> f64 {
        self.sums[number as usize]
    }

    /// The sums in the order in which they were touched first; clears them.
    fn drain(&mut self) -> impl Iterator<Item = (u32, f64)> {
        self.touched.drain(..).map(|number| {
            self.is_touched[number as usize] = false;
            (number, std::mem::take(&mut self.sums[number as usize]))
        })
    }
}
