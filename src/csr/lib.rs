//! Directed multigraphs in memory, and algorithms over them.
//!
//! A [`Csr`] has the edges of one table in compressed sparse row form; a [`View`] makes one graph of several: tables of
//! edges, both directions of an undirected graph, edges committed since the large part was built, all without those
//! deleted. Algorithms take views and give back columns by vertex, or iterators of paths. Nothing here knows SQL,
//! tables or snapshots.
//!
//! What holds for all of them:
//! - vertices are numbered `0..n`, edges of a table `0..m`; [`NONE`] is neither;
//! - results depend on the graph alone, not on the number of threads or their luck (but for last digits of betweenness);
//! - long loops ask the caller's [`Stop`] every few thousand steps and give up with [`Error::Stopped`];
//! - recursion is on the heap: no graph is too deep for a thread's stack.

mod error;
mod bitmap;
mod parallel;
mod csr;
mod partition;
mod view;
mod sparse;
mod bfs;
mod khop;
mod wcc;
mod pagerank;
mod walks;
mod ascending;
mod paths;
mod shortest;
mod tree;
mod dijkstra;
mod bellman_ford;
mod ball;
mod lightest;
mod yen;
mod between;
mod scc;
mod triangles;
mod cdlp;
mod louvain;
mod betweenness;
mod topological;
mod mst;
mod visit;

#[cfg(test)]
mod tests;

pub use ascending::Ascending;
pub use bellman_ford::bellman_ford;
pub use between::{Between, between};
pub use betweenness::{Sample, betweenness};
pub use bfs::{Search, bfs, parents as bfs_parents, path as bfs_path};
pub use bitmap::Bitmap;
pub use cdlp::cdlp;
pub use csr::Csr;
pub use dijkstra::Dijkstra;
pub use error::{Error, Result, Stop};
pub use khop::{Near, Neighbourhood};
pub use lightest::{WeightedPath, lightest};
pub use louvain::{Communities, louvain};
pub use mst::{Branch, minimum_spanning_forest};
pub use pagerank::{PageRank, Ranks, pagerank};
pub use paths::Paths;
pub use scc::scc;
pub use shortest::{Keep, Shortest, shortest};
pub use topological::topological_order;
pub use tree::Tree;
pub use triangles::{Triangles, lcc, triangles};
pub use view::{NONE, Part, Step, View};
pub use visit::{Visit, VisitEdge, VisitEdges, VisitNeighbors};
pub use walks::{Lengths, Mode, Walks};
pub use wcc::wcc;
pub use yen::Yen;
