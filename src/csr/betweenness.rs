//! Betweenness: on how large a share of the shortest paths between others each vertex lies.
//!
//! Brandes (*A Faster Algorithm for Betweenness Centrality*, 2001): one search from each source counts the shortest
//! paths to every vertex; then, furthest vertex first, each vertex passes on to those before it their share of what
//! depends on it. Steps of shortest paths are recognised by the distances of their ends, so no lists of predecessors
//! are kept.
//!
//! Parallel edges make different paths. Sums are over ordered pairs: in an undirected graph each pair counts twice.
//! Every thread sums over the sources it has, so the last digits may depend on the number of threads, and on nothing
//! else.

use crate::dijkstra::Dijkstra;
use crate::error::{Error, Result, Steps, Stop};
use crate::parallel;
use crate::view::{Adjacency, NONE, Step, View};

/// Sources chosen at random, instead of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How many.
    pub sources: u32,
    /// The same seed chooses the same.
    pub seed: u64,
}

/// The betweenness of each vertex, by weight if any part of the view has weights, which must be above 0. A sample's
/// sums are scaled up to all sources.
pub fn betweenness(view: &View, sample: Option<Sample>, threads: usize, stop: Stop) -> Result<Vec<f64>> {
    let all = view.vertices as usize;
    let sources = match sample {
        Some(sample) => choose(view.vertices, sample),
        None => (0..view.vertices).collect(),
    };
    let threads = threads.clamp(1, sources.len().max(1));
    let is_weighted = view.parts.iter().any(|part| part.weights.is_some());
    let sums = parallel::all(threads, |thread| {
        let own = sources.iter().copied().skip(thread).step_by(threads);
        match (is_weighted, view.plain()) {
            (true, _) => by_weight(view, own, stop),
            (false, Some(csr)) => by_steps(csr, own, stop),
            (false, None) => by_steps(view, own, stop),
        }
    })?;
    let scale = if sources.is_empty() { 0.0 } else { all as f64 / sources.len() as f64 };
    let mut total = vec![0.0; all];
    sums.iter().for_each(|sums| total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum * scale));
    Ok(total)
}

/// Different vertices: the first of a shuffle (Fisher and Yates), by SplitMix64.
fn choose(vertices: u32, sample: Sample) -> Vec<u32> {
    let mut state = sample.seed;
    let mut random = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let mut chosen: Vec<u32> = (0..vertices).collect();
    let count = sample.sources.min(vertices) as usize;
    for place in 0..count {
        let left = (chosen.len() - place) as u64;
        chosen.swap(place, place + (random() % left) as usize);
    }
    chosen.truncate(count);
    chosen.sort_unstable();
    chosen
}

fn by_steps(graph: &impl Adjacency, sources: impl Iterator<Item = u32>, stop: Stop) -> Result<Vec<f64>> {
    let vertices = graph.vertices() as usize;
    let mut sums = vec![0.0; vertices];
    let mut depths = vec![NONE; vertices];
    let mut paths = vec![0.0; vertices];
    let mut shares = vec![0.0; vertices];
    let mut order: Vec<u32> = Vec::new();
    let mut steps = Steps::new(stop);
    for source in sources {
        depths[source as usize] = 0;
        paths[source as usize] = 1.0;
        order.push(source);
        let mut next = 0;
        while let Some(&vertex) = order.get(next) {
            let depth = depths[vertex as usize] + 1;
            steps.take(1 + graph.degree_max(vertex))?;
            for neighbour in graph.neighbours(vertex) {
                if depths[neighbour as usize] == NONE {
                    depths[neighbour as usize] = depth;
                    order.push(neighbour);
                }
                if depths[neighbour as usize] == depth {
                    paths[neighbour as usize] += paths[vertex as usize];
                }
            }
            next += 1;
        }
        for &vertex in order.iter().rev() {
            steps.take(1 + graph.degree_max(vertex))?;
            let depth = depths[vertex as usize] + 1;
            let after = graph.neighbours(vertex).filter(|&neighbour| depths[neighbour as usize] == depth);
            let share: f64 = after.map(|neighbour| shares[neighbour as usize]).sum();
            let dependent = share * paths[vertex as usize];
            if vertex != source {
                sums[vertex as usize] += dependent;
            }
            // Of each path that goes on from here.
            shares[vertex as usize] = (1.0 + dependent) / paths[vertex as usize];
        }
        for vertex in order.drain(..) {
            depths[vertex as usize] = NONE;
            paths[vertex as usize] = 0.0;
            shares[vertex as usize] = 0.0;
        }
    }
    Ok(sums)
}

fn by_weight(view: &View, sources: impl Iterator<Item = u32>, stop: Stop) -> Result<Vec<f64>> {
    let vertices = view.vertices as usize;
    let mut sums = vec![0.0; vertices];
    let mut paths = vec![0.0; vertices];
    let mut shares = vec![0.0; vertices];
    let mut dijkstra = Dijkstra::new(view.vertices);
    let mut steps = Steps::new(stop);
    for source in sources {
        dijkstra.search(view, &[source], None, f64::INFINITY, stop)?;
        let distances = dijkstra.tree().distances();
        let is_on_path = |vertex: u32, step: Step| -> Result<bool> {
            let weight = view.weight(step);
            if weight <= 0.0 {
                return Err(Error::ZeroWeight { part: step.part, edge: step.edge });
            }
            Ok(distances[vertex as usize] + weight == distances[step.vertex as usize])
        };
        paths[source as usize] = 1.0;
        for &vertex in dijkstra.reached() {
            for step in view.steps(vertex) {
                steps.take(1)?;
                if is_on_path(vertex, step)? {
                    paths[step.vertex as usize] += paths[vertex as usize];
                }
            }
        }
        for &vertex in dijkstra.reached().iter().rev() {
            let mut share = 0.0;
            for step in view.steps(vertex) {
                steps.take(1)?;
                if is_on_path(vertex, step)? {
                    share += shares[step.vertex as usize];
                }
            }
            let dependent = share * paths[vertex as usize];
            if vertex != source {
                sums[vertex as usize] += dependent;
            }
            shares[vertex as usize] = (1.0 + dependent) / paths[vertex as usize];
        }
        for &vertex in dijkstra.reached() {
            paths[vertex as usize] = 0.0;
            shares[vertex as usize] = 0.0;
        }
    }
    Ok(sums)
}
