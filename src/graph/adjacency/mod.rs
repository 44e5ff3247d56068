//! Graphs in memory: who is next to whom.
//!
//! ```text
//! tables at snapshot 40 ── read once ─► Base: keys ─► numbers, edges in both directions
//! tables at snapshot 43 ── moves ─────► Overlay: rows that went and came since    } Adjacency ─► views for algorithms
//! ```
//!
//! A [`Base`] has every vertex of a graph under a dense number and every edge as a pair of these, forward and back ([`lightning_csr::Csr`]). It is read from the encoded
//! blocks by several threads and kept from statement to statement ([`Cache`]). What later snapshots have otherwise is an [`Overlay`], found through the places of
//! rows; so a reader sees just what its snapshot has, uncommitted rows of its own included. When too much has changed, the base is read again.
//!
//! - [`Runs`] leads from places to numbers and back, [`Keys`] from keys to numbers.
//! - [`load`] reads columns in the order of places.
//! - [`weights`] is what edges weigh, [`filters`] which satisfy a condition; [`kept`] holds them.
//! - [`near`] searches a few steps without any of this, where there are indexes.

mod runs;
mod keys;
mod load;
mod base;
mod overlay;
mod kept;
mod view;
mod weights;
mod filters;
mod cache;
pub(crate) mod near;

pub(crate) use base::key_types;
pub(crate) use cache::{Cache, CacheInfo};
pub(crate) use view::{Adjacency, EdgeRow, Masks, Numbering, Which};
pub(crate) use weights::Weights;

use crate::schema::{EdgeTable, Element, Graph};
use arrow::array::ArrayRef;
use arrow::util::display::array_value_to_string;
use lightning_sql::{Error, SqlState};

/// An algorithm's error.
pub(crate) fn external(error: lightning_csr::Error) -> Error {
    use lightning_csr::Error as Csr;
    let state = match error {
        Csr::Stopped => return stopped(),
        Csr::TooManyEdges => "54000",
        Csr::NegativeCycle { .. } | Csr::Cyclic { .. } => "22023",
        Csr::NegativeWeight { .. } | Csr::ZeroWeight { .. } | Csr::NotANumber { .. } => "22023",
        Csr::UnknownVertex { .. } => "XX000",
    };
    Error::new(SqlState(state), error.to_string())
}

/// The statement was cancelled.
pub(crate) fn stopped() -> Error {
    Error::new(SqlState("57014"), "canceling statement due to user request")
}

fn not_unique(element: &Element, keys: &[ArrayRef], row: u32) -> Error {
    let message = format!("key of vertex table \"{}\" is not unique", element.name);
    Error::new(SqlState("23505"), message).with_detail(format!("Key {} is there twice.", shown(element, keys, row)))
}

/// `(a, b)=(1, 2)`
fn shown(element: &Element, keys: &[ArrayRef], row: u32) -> String {
    let names: Vec<&str> = element.key_names().collect();
    let values = keys.iter().map(|column| array_value_to_string(column, row as usize).unwrap_or_default());
    format!("({})=({})", names.join(", "), values.collect::<Vec<_>>().join(", "))
}

/// Edges have no vertex; the keys of the ends of the first of them, if they are at hand.
fn missing_vertices(graph: &Graph, table: &EdgeTable, count: usize, keys: &[ArrayRef]) -> Error {
    let edges = if count == 1 { "edge" } else { "edges" };
    let name = &table.element.name;
    let message =
        format!("{count} {edges} of \"{name}\" in property graph \"{}\" have a vertex that does not exist", graph.name);
    let error = Error::new(SqlState("23503"), message)
        .with_hint("Create the graph WITH (missing_vertices = 'ignore') to leave such edges out.");
    if keys.is_empty() {
        return error;
    }
    let values = keys.iter().map(|column| array_value_to_string(column, 0).unwrap_or_default());
    error.with_detail(format!("The first is of ({}).", values.collect::<Vec<_>>().join(", ")))
}
