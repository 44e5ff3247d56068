//! Views as graphs of `petgraph`, whose many algorithms serve where speed is no matter, and as oracles in tests.
//!
//! Beware of those that cost more than they look: its `page_rank` takes time by the square of the number of vertices
//! for each edge.

use crate::bitmap::Bitmap;
use crate::view::{Cursor, Step, View};
use petgraph::visit::{
    Data, EdgeRef, GraphBase, GraphProp, GraphRef, IntoEdgeReferences, IntoEdges, IntoEdgesDirected, IntoNeighbors,
    IntoNeighborsDirected, IntoNodeIdentifiers, NodeCompactIndexable, NodeCount, NodeIndexable, VisitMap, Visitable,
};
use petgraph::{Directed, Direction};
use std::ops::Range;

/// A graph for `petgraph`. Its nodes are vertices; its edges are named by part and number.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The edges by source.
    pub forward: &'a View<'a>,
    /// The edges by target.
    pub reverse: &'a View<'a>,
}

/// An edge for `petgraph`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VisitEdge {
    source: u32,
    target: u32,
    id: (u32, u32),
    weight: f64,
}

impl EdgeRef for VisitEdge {
    type NodeId = u32;
    type EdgeId = (u32, u32);
    type Weight = f64;

    fn source(&self) -> u32 {
        self.source
    }

    fn target(&self) -> u32 {
        self.target
    }

    fn weight(&self) -> &f64 {
        &self.weight
    }

    fn id(&self) -> (u32, u32) {
        self.id
    }
}

/// The edges at some vertices, one after another.
#[derive(Clone, Debug)]
pub struct VisitEdges<'a> {
    view: &'a View<'a>,
    direction: Direction,
    vertices: Range<u32>,
    cursor: Cursor,
}

impl<'a> VisitEdges<'a> {
    fn new(graph: Visit<'a>, direction: Direction, vertices: Range<u32>) -> VisitEdges<'a> {
        let view = match direction {
            Direction::Outgoing => graph.forward,
            Direction::Incoming => graph.reverse,
        };
        VisitEdges { view, direction, vertices, cursor: Cursor::START }
    }

    fn step(&mut self) -> Option<Step> {
        while !self.vertices.is_empty() {
            if let Some(step) = self.view.advance(self.vertices.start, &mut self.cursor) {
                return Some(step);
            }
            self.vertices.start += 1;
            self.cursor = Cursor::START;
        }
        None
    }
}

impl Iterator for VisitEdges<'_> {
    type Item = VisitEdge;

    fn next(&mut self) -> Option<VisitEdge> {
        let step = self.step()?;
        let (source, target) = match self.direction {
            Direction::Outgoing => (self.vertices.start, step.vertex),
            Direction::Incoming => (step.vertex, self.vertices.start),
        };
        Some(VisitEdge { source, target, id: (step.part, step.edge), weight: self.view.weight(step) })
    }
}

/// The vertices at the other ends of edges.
#[derive(Clone, Debug)]
pub struct VisitNeighbors<'a>(VisitEdges<'a>);

impl Iterator for VisitNeighbors<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0.step().map(|step| step.vertex)
    }
}

impl GraphBase for Visit<'_> {
    type EdgeId = (u32, u32);
    type NodeId = u32;
}

impl GraphRef for Visit<'_> {}

impl Data for Visit<'_> {
    type NodeWeight = ();
    type EdgeWeight = f64;
}

impl GraphProp for Visit<'_> {
    type EdgeType = Directed;
}

impl NodeCount for Visit<'_> {
    fn node_count(&self) -> usize {
        self.forward.vertices as usize
    }
}

impl NodeIndexable for Visit<'_> {
    fn node_bound(&self) -> usize {
        self.forward.vertices as usize
    }

    fn to_index(&self, vertex: u32) -> usize {
        vertex as usize
    }

    fn from_index(&self, index: usize) -> u32 {
        index as u32
    }
}

impl NodeCompactIndexable for Visit<'_> {}

impl IntoNodeIdentifiers for Visit<'_> {
    type NodeIdentifiers = Range<u32>;

    fn node_identifiers(self) -> Range<u32> {
        0..self.forward.vertices
    }
}

impl<'a> IntoNeighbors for Visit<'a> {
    type Neighbors = VisitNeighbors<'a>;

    fn neighbors(self, vertex: u32) -> VisitNeighbors<'a> {
        self.neighbors_directed(vertex, Direction::Outgoing)
    }
}

impl<'a> IntoNeighborsDirected for Visit<'a> {
    type NeighborsDirected = VisitNeighbors<'a>;

    fn neighbors_directed(self, vertex: u32, direction: Direction) -> VisitNeighbors<'a> {
        VisitNeighbors(VisitEdges::new(self, direction, vertex..vertex + 1))
    }
}

impl<'a> IntoEdgeReferences for Visit<'a> {
    type EdgeRef = VisitEdge;
    type EdgeReferences = VisitEdges<'a>;

    fn edge_references(self) -> VisitEdges<'a> {
        VisitEdges::new(self, Direction::Outgoing, 0..self.forward.vertices)
    }
}

impl<'a> IntoEdges for Visit<'a> {
    type Edges = VisitEdges<'a>;

    fn edges(self, vertex: u32) -> VisitEdges<'a> {
        self.edges_directed(vertex, Direction::Outgoing)
    }
}

impl<'a> IntoEdgesDirected for Visit<'a> {
    type EdgesDirected = VisitEdges<'a>;

    fn edges_directed(self, vertex: u32, direction: Direction) -> VisitEdges<'a> {
        VisitEdges::new(self, direction, vertex..vertex + 1)
    }
}

impl Visitable for Visit<'_> {
    type Map = Bitmap;

    fn visit_map(&self) -> Bitmap {
        Bitmap::new(self.forward.vertices)
    }

    fn reset_map(&self, map: &mut Bitmap) {
        *map = self.visit_map();
    }
}

impl VisitMap<u32> for Bitmap {
    fn visit(&mut self, vertex: u32) -> bool {
        let is_new = !self.get(vertex);
        self.set(vertex);
        is_new
    }

    fn is_visited(&self, vertex: &u32) -> bool {
        self.get(*vertex)
    }

    fn unvisit(&mut self, vertex: u32) -> bool {
        let was_there = self.get(vertex);
        self.clear(vertex);
        was_there
    }
}
