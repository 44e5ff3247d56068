//! What algorithms see: the edges of several [`Csr`]s as one graph, some of them left out.
//!
//! A [`View`] has one [`Part`] for each table of edges, for each direction in which they may be gone, and for edges
//! committed since the large parts were built. The edges that leave a vertex are those of the first part, then those of
//! the second, and so on.
//!
//! Two views of the same graph, *forward* and *reverse*, are given where an algorithm needs to know who points at a
//! vertex: part `i` of the one has the edges of part `i` of the other, turned round. For an undirected graph they are
//! [out, in] and [in, out]. An edge from a vertex to itself is then met twice; where that is not wanted, a part's
//! `live` leaves it out of one of them.
//!
//! Hot loops are generic over [`Adjacency`], which a single part without a mask is by itself.

use crate::bitmap::Bitmap;
use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::parallel;

/// No vertex has this number.
pub const NONE: u32 = u32::MAX;

/// Vertices between two claims of a thread.
pub(crate) const GRAIN: usize = 4096;

/// Edges of one table in one direction.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The edges. They may know fewer vertices than the view: the others have none.
    pub csr: &'a Csr,
    /// Which table they are of. Parts of the same table share the numbers of edges: a trail goes an edge once,
    /// whichever way.
    pub set: u32,
    /// The edges that are there, by number; all of them by default.
    pub live: Option<&'a Bitmap>,
    /// What each edge weighs, by number; 1 by default.
    pub weights: Option<&'a [f64]>,
}

impl<'a> Part<'a> {
    /// All edges of `csr`, of table 0, without weights.
    pub fn new(csr: &'a Csr) -> Part<'a> {
        Part { csr, set: 0, live: None, weights: None }
    }

    #[inline]
    fn is_live(&self, edge: u32) -> bool {
        self.live.is_none_or(|live| live.get(edge))
    }

    /// Where edges that leave `vertex` go, and their numbers.
    #[inline]
    fn slots(&self, vertex: u32) -> (&'a [u32], &'a [u32]) {
        if vertex >= self.csr.vertices() {
            return (&[], &[]);
        }
        (self.csr.targets(vertex), self.csr.edge_numbers(vertex))
    }
}

/// One step along an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// The part of the view that has the edge.
    pub part: u32,
    /// The edge's number.
    pub edge: u32,
    /// The vertex at the other end.
    pub vertex: u32,
}

impl Step {
    /// No step.
    pub const NONE: Step = Step { part: NONE, edge: NONE, vertex: NONE };
}

/// How far the steps from a vertex have been taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    part: u32,
    slot: u32,
}

impl Cursor {
    pub(crate) const START: Cursor = Cursor { part: 0, slot: 0 };
    pub(crate) const END: Cursor = Cursor { part: NONE, slot: 0 };
}

/// A graph: vertices `0..vertices` and the edges of all parts.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// How many vertices there are; no part may have an edge to another.
    pub vertices: u32,
    /// The edges.
    pub parts: Vec<Part<'a>>,
}

impl<'a> View<'a> {
    /// The graph of these parts.
    pub fn new(vertices: u32, parts: Vec<Part<'a>>) -> View<'a> {
        View { vertices, parts }
    }

    /// The steps that can be taken from `vertex`.
    #[inline]
    pub fn steps(&self, vertex: u32) -> impl Iterator<Item = Step> + Clone + use<'_, 'a> {
        self.parts.iter().enumerate().flat_map(move |(part, edges)| {
            let (targets, numbers) = edges.slots(vertex);
            let step = move |(&target, &edge)| Step { part: part as u32, edge, vertex: target };
            targets.iter().zip(numbers).map(step).filter(|step| edges.is_live(step.edge))
        })
    }

    /// The next of [`View::steps`].
    #[inline]
    pub(crate) fn advance(&self, vertex: u32, cursor: &mut Cursor) -> Option<Step> {
        while let Some(edges) = self.parts.get(cursor.part as usize) {
            let (targets, numbers) = edges.slots(vertex);
            while let Some(&edge) = numbers.get(cursor.slot as usize) {
                let step = Step { part: cursor.part, edge, vertex: targets[cursor.slot as usize] };
                cursor.slot += 1;
                if edges.is_live(edge) {
                    return Some(step);
                }
            }
            *cursor = Cursor { part: cursor.part + 1, slot: 0 };
        }
        None
    }

    /// What a step's edge weighs.
    #[inline]
    pub fn weight(&self, step: Step) -> f64 {
        self.parts[step.part as usize].weights.map_or(1.0, |weights| weights[step.edge as usize])
    }

    /// The table and the number of a step's edge in one number: the same whichever way it is gone.
    #[inline]
    pub(crate) fn edge_id(&self, step: Step) -> u64 {
        u64::from(self.parts[step.part as usize].set) << 32 | u64::from(step.edge)
    }

    /// What a step's edge weighs: at least nothing.
    #[inline]
    pub(crate) fn weight_not_negative(&self, step: Step) -> Result<f64> {
        let weight = self.weight(step);
        if weight >= 0.0 {
            // Nothing, whatever its sign.
            return Ok(weight + 0.0);
        }
        let Step { part, edge, .. } = step;
        Err(if weight.is_nan() { Error::NotANumber { part, edge } } else { Error::NegativeWeight { part, edge } })
    }

    /// The number of edges, those not alive included.
    pub fn edges_max(&self) -> u64 {
        self.parts.iter().map(|part| u64::from(part.csr.edges())).sum()
    }

    /// The only part, if it needs no second look: all its edges are alive and it knows all vertices.
    pub(crate) fn plain(&self) -> Option<&'a Csr> {
        match &self.parts[..] {
            [part] if part.live.is_none() && part.csr.vertices() == self.vertices => Some(part.csr),
            _ => None,
        }
    }

    /// The number of edges that leave each vertex.
    pub fn degrees(&self, threads: usize) -> Vec<u32> {
        let pieces = parallel::ranges(threads, self.vertices as usize, GRAIN, Vec::new, |own: &mut Vec<_>, range| {
            let degree = |vertex: usize| match self.plain() {
                Some(csr) => csr.degree(vertex as u32),
                None => self.neighbours(vertex as u32).count() as u32,
            };
            own.push((range.start, range.map(degree).collect::<Vec<u32>>()));
            Ok(())
        });
        let mut pieces: Vec<_> = pieces.expect("nothing here fails").into_iter().flatten().collect();
        pieces.sort_unstable_by_key(|&(start, _)| start);
        pieces.into_iter().flat_map(|(_, degrees)| degrees).collect()
    }
}

/// Who can be reached by one edge.
pub(crate) trait Adjacency: Sync {
    fn vertices(&self) -> u32;

    /// The vertices that edges from `vertex` lead to, once for each edge.
    fn neighbours(&self, vertex: u32) -> impl Iterator<Item = u32>;

    /// At least as many as [`Adjacency::neighbours`] are, at the cost of a look.
    fn degree_max(&self, vertex: u32) -> u32;
}

impl Adjacency for Csr {
    #[inline]
    fn vertices(&self) -> u32 {
        self.vertices()
    }

    #[inline]
    fn neighbours(&self, vertex: u32) -> impl Iterator<Item = u32> {
        self.targets(vertex).iter().copied()
    }

    #[inline]
    fn degree_max(&self, vertex: u32) -> u32 {
        self.degree(vertex)
    }
}

impl Adjacency for View<'_> {
    #[inline]
    fn vertices(&self) -> u32 {
        self.vertices
    }

    #[inline]
    fn neighbours(&self, vertex: u32) -> impl Iterator<Item = u32> {
        self.steps(vertex).map(|step| step.vertex)
    }

    #[inline]
    fn degree_max(&self, vertex: u32) -> u32 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.slots(vertex).0.len() as u32))
    }
}
