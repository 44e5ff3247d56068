//! Shortest paths where edges may weigh less than nothing (Bellman 1958, Ford 1956; Moore's rounds).
//!
//! In each round the vertices that came nearer in the last one bring others nearer. Without a cycle of negative weight
//! there are at most as many rounds as vertices; with one there is no end. It shows before: the parents of vertices
//! make a cycle as soon as, and only if, such a cycle was gone round (Cherkassky and Goldberg 1999). They are looked
//! through whenever there was work enough to pay for it.

use crate::error::{Error, Result, Steps, Stop};
use crate::tree::Tree;
use crate::view::{NONE, Step, View};

/// The shortest paths from `sources` to all vertices.
pub fn bellman_ford(view: &View, sources: &[u32], stop: Stop) -> Result<Tree> {
    let mut tree = Tree::new(view.vertices);
    let mut steps = Steps::new(stop);
    let mut active: Vec<u32> = sources.to_vec();
    active.sort_unstable();
    active.dedup();
    active.iter().for_each(|&source| tree.distances[source as usize] = 0.0);
    let mut next: Vec<u32> = Vec::new();
    // In which round a vertex was last put into `next`.
    let mut rounds = vec![0u32; view.vertices as usize];
    let mut round = 0;
    let mut nearer = 0;
    while !active.is_empty() {
        round += 1;
        for &vertex in &active {
            let distance = tree.distances[vertex as usize];
            for step in view.steps(vertex) {
                steps.take(1)?;
                let weight = view.weight(step);
                if weight.is_nan() {
                    return Err(Error::NotANumber { part: step.part, edge: step.edge });
                }
                let target = step.vertex as usize;
                if distance + weight < tree.distances[target] {
                    tree.distances[target] = distance + weight;
                    tree.parents[target] = Step { vertex, ..step };
                    nearer += 1;
                    if rounds[target] != round {
                        rounds[target] = round;
                        next.push(step.vertex);
                    }
                }
            }
        }
        if nearer >= view.vertices {
            nearer = 0;
            if let Some(vertex) = cycle(&tree.parents) {
                return Err(Error::NegativeCycle { vertex });
            }
        }
        active.clear();
        std::mem::swap(&mut active, &mut next);
    }
    Ok(tree)
}

/// A vertex on a cycle of parents.
fn cycle(parents: &[Step]) -> Option<u32> {
    // From which vertex each was come by, on the way back.
    let mut seen = vec![NONE; parents.len()];
    for start in 0..parents.len() as u32 {
        let mut vertex = start;
        while vertex != NONE && seen[vertex as usize] == NONE {
            seen[vertex as usize] = start;
            vertex = parents[vertex as usize].vertex;
        }
        if vertex != NONE && seen[vertex as usize] == start {
            return Some(vertex);
        }
    }
    None
}
