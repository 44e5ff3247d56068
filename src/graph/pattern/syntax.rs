//! The types of patterns.

use datafusion::sql::sqlparser::ast::{Expr, Ident};

/// `GRAPH_TABLE (graph MATCH patterns [WHERE condition] COLUMNS (columns))`.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphTable {
    /// The parts of the graph's name.
    pub graph: Vec<Ident>,
    /// Patterns that all match at once; at least one.
    pub patterns: Vec<PathPattern>,
    /// What must hold of all of them together.
    pub condition: Option<Expr>,
    /// The columns of the result; at least one.
    pub columns: Vec<Column>,
}

/// A column of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name: what AS says, or else the property's.
    pub name: Ident,
    /// Its value, over properties of variables.
    pub expr: Expr,
}

/// `[variable =] [selector] [mode] elements`.
#[derive(Clone, Debug, PartialEq)]
pub struct PathPattern {
    /// The name of the path.
    pub variable: Option<Ident>,
    /// Which of the paths that match there will be.
    pub selector: Selector,
    /// What no path may do twice.
    pub mode: Mode,
    /// Vertices at even places, edges and groups between them.
    pub elements: Vec<Element>,
}

/// Which of the paths with the same first and the same last vertex there will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// All.
    All,
    /// Any, up to so many: `ANY k`.
    Any(u32),
    /// So many of the shortest: `SHORTEST k`, and `ANY SHORTEST` for one.
    Shortest(u32),
    /// All of the so many shortest lengths: `SHORTEST k GROUPS`, and `ALL SHORTEST` for one.
    ShortestGroups(u32),
}

/// What a path may not do twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything may be repeated.
    Walk,
    /// No edge is repeated.
    Trail,
    /// No vertex is repeated.
    Acyclic,
    /// No vertex is repeated, but the last may be the first.
    Simple,
}

/// A part of a path pattern.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    /// `(…)`
    Vertex(Vertex),
    /// `-[…]->` and the like.
    Edge(Edge),
    /// A path pattern in parentheses.
    Group(Group),
}

/// A vertex pattern.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vertex {
    /// Its name.
    pub variable: Option<Ident>,
    /// The labels it must have.
    pub label: Option<Label>,
    /// What must hold of it.
    pub condition: Option<Expr>,
}

/// An edge pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// Its name.
    pub variable: Option<Ident>,
    /// The labels it must have.
    pub label: Option<Label>,
    /// What must hold of it, of each of them under a quantifier.
    pub condition: Option<Expr>,
    /// Where it leads, read from left to right.
    pub direction: Direction,
    /// How often it stands there, with vertices of any kind between; once when there is none.
    pub quantifier: Option<Quantifier>,
}

/// Where an edge leads, read from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the vertex on the left to that on the right.
    Right,
    /// From the vertex on the right to that on the left.
    Left,
    /// Either.
    Any,
}

/// `([mode] elements [WHERE condition])[quantifier]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What the part of the path that matches may not do twice.
    pub mode: Mode,
    /// Vertices at even places, edges and groups between them; an edge or a group when there is a quantifier.
    pub elements: Vec<Element>,
    /// What must hold of it, of each repetition by itself under a quantifier.
    pub condition: Option<Expr>,
    /// How often it stands there; once, with variables that are no groups, when there is none.
    pub quantifier: Option<Quantifier>,
}

/// How often something stands in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantifier {
    /// At least so often.
    pub min: u32,
    /// At most so often, and at least once; as often as there are paths when there is none.
    pub max: Option<u32>,
}

/// A label expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Label {
    /// This label.
    Named(Ident),
    /// Any label at all: `%`.
    Any,
    /// Not what this says.
    Not(Box<Label>),
    /// All of these; at least two.
    And(Vec<Label>),
    /// One of these; at least two.
    Or(Vec<Label>),
}
