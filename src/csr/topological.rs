//! Topological order: every edge leads from an earlier vertex to a later one (Kahn 1962).
//!
//! Vertices at which no edge ends come first, in the order of their numbers; then those at which no edge ends any more
//! when these are gone, and so on. Vertices that are never free are on a cycle, or behind one.

use crate::error::{Error, Result, Steps, Stop};
use crate::view::{Adjacency, NONE, View};

/// All vertices in order; [`Error::Cyclic`] names a vertex on a cycle if there is one.
pub fn topological_order(view: &View, stop: Stop) -> Result<Vec<u32>> {
    let mut steps = Steps::new(stop);
    let mut left = vec![0u32; view.vertices as usize];
    for vertex in 0..view.vertices {
        steps.take(1 + view.degree_max(vertex))?;
        view.neighbours(vertex).for_each(|neighbour| left[neighbour as usize] += 1);
    }
    let mut order: Vec<u32> = (0..view.vertices).filter(|&vertex| left[vertex as usize] == 0).collect();
    let mut next = 0;
    while let Some(&vertex) = order.get(next) {
        steps.take(1 + view.degree_max(vertex))?;
        for neighbour in view.neighbours(vertex) {
            left[neighbour as usize] -= 1;
            if left[neighbour as usize] == 0 {
                order.push(neighbour);
            }
        }
        next += 1;
    }
    if order.len() == left.len() {
        return Ok(order);
    }
    Err(Error::Cyclic { vertex: on_cycle(view, &left, &mut steps)? })
}

/// A vertex on a cycle. Every vertex with edges left has one from another such vertex: going back along these must come
/// round.
fn on_cycle(view: &View, left: &[u32], steps: &mut Steps) -> Result<u32> {
    let mut before = vec![NONE; left.len()];
    for vertex in (0..view.vertices).filter(|&vertex| left[vertex as usize] > 0) {
        steps.take(1 + view.degree_max(vertex))?;
        let neighbours = view.neighbours(vertex).filter(|&neighbour| left[neighbour as usize] > 0);
        neighbours.for_each(|neighbour| before[neighbour as usize] = vertex);
    }
    let mut vertex = (0..view.vertices).find(|&vertex| left[vertex as usize] > 0).expect("some vertex is not in order");
    for _ in 0..left.len() {
        vertex = before[vertex as usize];
    }
    Ok(vertex)
}
