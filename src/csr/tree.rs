//! A tree of shortest paths: how far each vertex is, and the step that leads to it.

use crate::view::{NONE, Step};

/// Shortest paths from some vertices to all others, by weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    pub(crate) distances: Vec<f64>,
    /// The last step to each vertex. Its vertex is the one it comes from.
    pub(crate) parents: Vec<Step>,
}

impl Tree {
    pub(crate) fn new(vertices: u32) -> Tree {
        Tree { distances: vec![f64::INFINITY; vertices as usize], parents: vec![Step::NONE; vertices as usize] }
    }

    /// The distance of each vertex; infinite when it is not reached.
    pub fn distances(&self) -> &[f64] {
        &self.distances
    }

    /// The last step of the path to `vertex`, whose vertex is the one it comes from; [`Step::NONE`] at the start and
    /// when it is not reached.
    pub fn parent(&self, vertex: u32) -> Step {
        self.parents[vertex as usize]
    }

    /// The steps of the path to `vertex`; `None` when it is not reached.
    pub fn path(&self, vertex: u32) -> Option<Vec<Step>> {
        if self.distances[vertex as usize] == f64::INFINITY {
            return None;
        }
        let mut path = Vec::new();
        let mut at = vertex;
        loop {
            let parent = self.parents[at as usize];
            if parent.vertex == NONE {
                break;
            }
            path.push(Step { vertex: at, ..parent });
            at = parent.vertex;
        }
        path.reverse();
        Some(path)
    }
}
