//! Table functions over graphs: `graph_bfs('social', 1)`.
//!
//! [`signature`] has what each function takes and gives. [`call`] reads a call in FROM and turns it into a mark that carries the graph, with sub-queries for
//! what must be read beside it; [`plan`] makes a [`plan::GraphFunction`] of the mark, and [`exec`] runs it: [`run`] calls the algorithm, [`rows`] makes rows of what it found.

pub(crate) mod signature;
pub(crate) mod call;
pub(crate) mod plan;
mod record;
mod arguments;
mod rows;
pub(crate) mod key_text;
mod run;
mod paths;
mod errors;
mod near;
pub(crate) mod exec;

pub(crate) use signature::Function;
