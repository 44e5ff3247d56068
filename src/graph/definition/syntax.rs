//! The types of definitions. All names are folded.

use serde::{Deserialize, Serialize};

/// A statement about property graphs.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// CREATE PROPERTY GRAPH.
    Create(CreatePropertyGraph),
    /// DROP PROPERTY GRAPH.
    Drop(DropPropertyGraph),
}

/// `CREATE PROPERTY GRAPH`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreatePropertyGraph {
    /// The parts of its name.
    pub name: Vec<String>,
    /// Whether it may take the place of another.
    pub or_replace: bool,
    /// Whether nothing is done when there is one.
    pub if_not_exists: bool,
    /// Tables whose rows are vertices.
    pub vertices: Vec<ElementTable>,
    /// Tables whose rows are edges.
    pub edges: Vec<EdgeTable>,
    /// What becomes of edges whose vertices do not exist, if it says.
    pub missing_vertices: Option<MissingVertices>,
}

/// What becomes of edges whose vertices do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MissingVertices {
    /// They are no edges of the graph.
    Ignore,
    /// A query of the graph fails.
    Error,
}

/// A table in a graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ElementTable {
    /// The parts of the table's name.
    pub table: Vec<String>,
    /// What it is called in the graph, when not by its own name.
    pub alias: Option<String>,
    /// The columns that tell its rows apart; the primary key when there are none.
    pub key: Vec<String>,
    /// Its labels; at least one.
    pub labels: Vec<LabelDefinition>,
}

impl ElementTable {
    /// What it is called in the graph.
    pub fn name(&self) -> &str {
        self.alias.as_deref().or_else(|| self.table.last().map(String::as_str)).unwrap_or_default()
    }
}

/// A table whose rows are edges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeTable {
    /// The table.
    pub element: ElementTable,
    /// Where its edges begin.
    pub source: Endpoint,
    /// Where its edges end.
    pub destination: Endpoint,
}

/// Where the edges of a table begin or end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Columns of the edge; those of the foreign key when there are none.
    pub key: Vec<String>,
    /// What the table of vertices is called in the graph.
    pub vertices: String,
    /// Columns of the vertex that equal the key; those of its own key when there are none.
    pub columns: Vec<String>,
}

/// A label and its properties.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelDefinition {
    /// Its name.
    pub name: LabelName,
    /// Its properties.
    pub properties: Properties,
}

/// The name of a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LabelName {
    /// What the table is called in the graph.
    Default,
    /// Another.
    Named(String),
}

/// The properties of a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Properties {
    /// None.
    None,
    /// One for each column of the table, by its name.
    AllColumns {
        /// But not for these.
        except: Vec<String>,
    },
    /// These; at least one.
    Listed(Vec<Property>),
}

/// A property.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Property {
    /// Its name.
    pub name: String,
    /// Its value as SQL over the table's columns.
    pub expr: String,
}

/// `DROP PROPERTY GRAPH`.
#[derive(Clone, Debug, PartialEq)]
pub struct DropPropertyGraph {
    /// The graphs, each with the parts of its name.
    pub names: Vec<Vec<String>>,
    /// Whether one that does not exist is passed over.
    pub if_exists: bool,
    /// What becomes of what needs them.
    pub behavior: DropBehavior,
}

/// What becomes of what needs a dropped graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropBehavior {
    /// It keeps the graph from being dropped.
    Restrict,
    /// It is dropped too.
    Cascade,
}
