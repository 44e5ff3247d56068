//! The neighbourhood of a few vertices: who is at most `k` edges away.
//!
//! A breadth-first search that costs what it finds, not what the graph holds: the vertices it has seen are in a hash
//! table that grows with them. The table is kept from search to search.

use crate::error::{Result, Steps, Stop};
use crate::sparse::SparseMap;
use crate::view::View;

/// Memory for searches, one after another.
#[derive(Clone, Debug)]
pub struct Neighbourhood {
    seen: SparseMap,
    found: Vec<Near>,
}

/// A vertex, and how many edges away it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Near {
    /// The vertex.
    pub vertex: u32,
    /// The smallest number of edges to it.
    pub depth: u32,
}

impl Default for Neighbourhood {
    fn default() -> Neighbourhood {
        Neighbourhood::new()
    }
}

impl Neighbourhood {
    /// Nothing searched yet.
    pub fn new() -> Neighbourhood {
        Neighbourhood { seen: SparseMap::new(), found: Vec::new() }
    }

    /// The vertices within `depth_max` edges of any of `sources`, these among them with depth 0, in the order of their
    /// depths.
    pub fn search(&mut self, view: &View, sources: &[u32], depth_max: u32, stop: Stop) -> Result<&[Near]> {
        self.seen.clear();
        self.found.clear();
        let mut steps = Steps::new(stop);
        for &vertex in sources {
            self.find(vertex, 0);
        }
        let mut next = 0;
        while let Some(&Near { vertex, depth }) = self.found.get(next)
            && depth < depth_max
        {
            for step in view.steps(vertex) {
                steps.take(1)?;
                self.find(step.vertex, depth + 1);
            }
            next += 1;
        }
        Ok(&self.found)
    }

    #[inline]
    fn find(&mut self, vertex: u32, depth: u32) {
        if self.seen.insert(u64::from(vertex), depth).is_none() {
            self.found.push(Near { vertex, depth });
        }
    }
}
