//! What an algorithm found wrong, in the words of the tables.

use super::paths::edge_keys;
use super::rows::vertex_columns;
use crate::adjacency::{Adjacency, external};
use arrow::array::ArrayRef;
use arrow::util::display::array_value_to_string;
use lightning_csr::{NONE, Step, View};
use lightning_sql::sqlstate::INVALID_PARAMETER_VALUE;
use lightning_sql::{Error, Result};

/// An algorithm's error over `view`, with the keys of the vertex or the edge it is about.
pub(super) fn named(adjacency: &Adjacency, view: &View<'_>, error: lightning_csr::Error) -> Error {
    use lightning_csr::Error as Csr;
    let message = match error {
        Csr::NegativeCycle { vertex } => {
            vertex_key(adjacency, vertex).map(|key| format!("vertex {key} is on a cycle of negative weight"))
        }
        Csr::Cyclic { vertex } => vertex_key(adjacency, vertex)
            .map(|key| format!("vertex {key} is on a cycle: there is no topological order")),
        Csr::NegativeWeight { part, edge } => of_edge(adjacency, view, part, edge, "is negative"),
        Csr::ZeroWeight { part, edge } => of_edge(adjacency, view, part, edge, "is zero"),
        Csr::NotANumber { part, edge } => of_edge(adjacency, view, part, edge, "is not a number"),
        other => return external(other),
    };
    message.map_or_else(|error| error, |message| Error::new(INVALID_PARAMETER_VALUE, message))
}

fn vertex_key(adjacency: &Adjacency, vertex: u32) -> Result<String> {
    shown(vertex_columns(adjacency, &[vertex])?.last())
}

fn of_edge(adjacency: &Adjacency, view: &View<'_>, part: u32, edge: u32, what: &str) -> Result<String> {
    let row = Adjacency::edge_row(view, Step { part, edge, vertex: NONE });
    let key = shown(Some(&edge_keys(adjacency, &[row.table], &[row])?))?;
    let name = &adjacency.graph().edges[row.table].element.name;
    Ok(format!("the weight of edge {key} of \"{name}\" {what}"))
}

fn shown(column: Option<&ArrayRef>) -> Result<String> {
    Ok(column.map(|key| array_value_to_string(key, 0)).transpose()?.unwrap_or_default())
}
