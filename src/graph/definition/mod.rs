//! What CREATE PROPERTY GRAPH and DROP PROPERTY GRAPH say, as typed syntax.
//!
//! ```text
//! CREATE [OR REPLACE] PROPERTY GRAPH [IF NOT EXISTS] name
//!     [{VERTEX | NODE} TABLES (table [AS name] [KEY (column, …)] [labels], …)]
//!     [{EDGE | RELATIONSHIP} TABLES (table [AS name] [KEY (column, …)]
//!         SOURCE      [KEY (column, …) REFERENCES] name [(column, …)]
//!         DESTINATION [KEY (column, …) REFERENCES] name [(column, …)] [labels], …)]
//!     [WITH (missing_vertices = 'ignore' | 'error')]
//! labels:     properties | {{LABEL name | DEFAULT LABEL} [properties]} …
//! properties: NO PROPERTIES | PROPERTIES [ARE] ALL COLUMNS [EXCEPT (column, …)] | PROPERTIES (expression [AS name], …)
//! DROP PROPERTY GRAPH [IF EXISTS] name, … [CASCADE | RESTRICT]
//! ```
//!
//! [`parse`] reads the tokens of a statement. A [`CreatePropertyGraph`] shows as a statement that reads back as the same. That
//! tables and columns exist, and that names of tables and labels are no others', is for whoever has the catalog to see.

mod syntax;
mod show;
mod parse;

pub use parse::parse;
pub use syntax::{
    CreatePropertyGraph, DropBehavior, DropPropertyGraph, EdgeTable, ElementTable, Endpoint, LabelDefinition,
    LabelName, MissingVertices, Properties, Property, Statement,
};

#[cfg(test)]
mod tests;
