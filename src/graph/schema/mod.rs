//! A graph as the catalog sees it now: its definition with every name looked up.
//!
//! [`resolve::resolve`] turns what CREATE PROPERTY GRAPH said into a [`Graph`], and fails where the tables do not have what it says; [`Graph::explicit`] is
//! the same as a definition that leaves nothing open, which is what the catalog keeps. [`known::Known`] finds graphs by name, and remembers them for as long as the
//! catalog stays as it is.

mod resolve;
mod known;

use crate::definition::MissingVertices;
use lightning_catalog::{Oid, Table};
use std::sync::Arc;

pub(crate) use known::Known;
pub(crate) use resolve::{explicit, resolve};

/// A property graph.
#[derive(Debug)]
pub(crate) struct Graph {
    /// What marks in rewritten queries call it: another one whenever the graph or a table of it has changed.
    pub(crate) id: u64,
    /// Its object.
    pub(crate) oid: Oid,
    /// Its name.
    pub(crate) name: String,
    /// Tables of vertices.
    pub(crate) vertices: Vec<Element>,
    /// Tables of edges.
    pub(crate) edges: Vec<EdgeTable>,
    /// What becomes of edges whose vertices do not exist.
    pub(crate) missing: MissingVertices,
}

/// A table of a graph.
#[derive(Debug)]
pub(crate) struct Element {
    /// What the graph calls it.
    pub(crate) name: String,
    /// The schema of the table.
    pub(crate) schema: String,
    /// The table.
    pub(crate) table: Arc<Table>,
    /// Columns that tell its rows apart, as indexes into the table's.
    pub(crate) key: Vec<usize>,
    /// Labels.
    pub(crate) labels: Vec<Label>,
}

/// A label of a table.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    /// Its name.
    pub(crate) name: String,
    /// Its properties.
    pub(crate) properties: Vec<Property>,
}

/// A property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    /// Its name.
    pub(crate) name: String,
    /// SQL over the table's columns.
    pub(crate) expr: String,
}

/// A table whose rows are edges.
#[derive(Debug)]
pub(crate) struct EdgeTable {
    /// The table.
    pub(crate) element: Element,
    /// Where its edges begin.
    pub(crate) source: Endpoint,
    /// Where its edges end.
    pub(crate) destination: Endpoint,
}

/// Where edges begin or end.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The table of vertices, as an index into [`Graph::vertices`].
    pub(crate) vertices: usize,
    /// Columns of the edge.
    pub(crate) key: Vec<usize>,
    /// Columns of the vertex that equal them.
    pub(crate) columns: Vec<usize>,
}

impl Element {
    /// The property of this name under labels that `is_meant`.
    pub(crate) fn property(&self, name: &str, is_meant: impl Fn(&str) -> bool) -> Option<&Property> {
        let labels = self.labels.iter().filter(|label| is_meant(&label.name));
        labels.flat_map(|label| &label.properties).find(|property| property.name == name)
    }

    /// The names of its key's columns.
    pub(crate) fn key_names(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|column| self.table.columns[*column].name.as_str())
    }
}
