//! Minimum spanning forest: the edges of least weight that hold together what hangs together (Kruskal 1956).
//!
//! Edges by weight, each taken unless its ends hang together already. Directions are ignored. Of edges of the same
//! weight the one of the earlier part and the smaller number comes first.

use crate::error::{Error, Result, Steps, Stop, check};
use crate::view::{Step, View};

/// An edge of the forest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Branch {
    /// Where it comes from.
    pub source: u32,
    /// The edge, and where it goes to.
    pub step: Step,
    /// What it weighs.
    pub weight: f64,
}

/// The edges of the forest, lightest first.
pub fn minimum_spanning_forest(view: &View, stop: Stop) -> Result<Vec<Branch>> {
    let mut steps = Steps::new(stop);
    let mut edges = Vec::new();
    for source in 0..view.vertices {
        for step in view.steps(source) {
            steps.take(1)?;
            let weight = view.weight(step);
            if weight.is_nan() {
                return Err(Error::NotANumber { part: step.part, edge: step.edge });
            }
            // There is one zero.
            edges.push(Branch { source, step, weight: weight + 0.0 });
        }
    }
    let key = |edge: &Branch| (edge.step.part, edge.step.edge);
    edges.sort_unstable_by(|a, b| a.weight.total_cmp(&b.weight).then_with(|| key(a).cmp(&key(b))));
    check(stop)?;
    let mut trees = Trees { parents: (0..view.vertices).collect() };
    let mut forest = Vec::new();
    for edge in edges {
        steps.take(1)?;
        if trees.join(edge.source, edge.step.vertex) {
            forest.push(edge);
        }
    }
    Ok(forest)
}

/// Which vertices hang together: union-find with paths halved (Tarjan and van Leeuwen 1984).
struct Trees {
    parents: Vec<u32>,
}

impl Trees {
    /// Makes one tree of those of `a` and `b`, unless they are one.
    fn join(&mut self, a: u32, b: u32) -> bool {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b) as usize] = a.min(b);
        a != b
    }

    fn root(&mut self, mut vertex: u32) -> u32 {
        while self.parents[vertex as usize] != vertex {
            let above = self.parents[self.parents[vertex as usize] as usize];
            self.parents[vertex as usize] = above;
            vertex = above;
        }
        vertex
    }
}
