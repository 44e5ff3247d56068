//! What GRAPH_TABLE says, as typed syntax.
//!
//! [`read`] takes the arguments of the call that [`crate::grammar`] wrote and gives a [`GraphTable`]. What holds of one that it
//! gave:
//!
//! - Elements of a path alternate: a vertex first and last, and between two vertices an edge or a group. Vertices that were not
//!   written (`-[k]->`, `(a)->->(b)`) are there without name, label and condition. The first and the last vertex of a group
//!   are the vertices beside it: `(a) ((x)->(y)){2} (b)` begins with x where a is, and ends with y where b is.
//! - A quantifier's lower bound is not above the upper one, and the upper one is not zero. Without an upper bound it stands
//!   under a selector or a restrictive mode, so that there are finitely many paths.
//! - A name is that of a path, of vertices or of edges. What is declared under a quantifier is declared nowhere else: it stands
//!   for a group of elements ([`Degree::Group`]).
//! - Columns have names that differ.
//!
//! Identifiers are folded and in quotes; they and the expressions have the positions of the text. Labels and properties are
//! not looked up here.

mod syntax;
mod show;
mod check;
mod read;

pub use check::{Degree, Kind, Variable, variables};
pub use read::read;
pub use syntax::{
    Column, Direction, Edge, Element, GraphTable, Group, Label, Mode, PathPattern, Quantifier, Selector, Vertex,
};

#[cfg(test)]
mod tests;
