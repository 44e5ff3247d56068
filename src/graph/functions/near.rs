//! Neighbourhoods of a few vertices of a graph that is not in memory.

use super::arguments::Arguments;
use super::rows::key_columns;
use super::signature::{Argument, Function};
use crate::adjacency::near::{DEPTH_MAX, search};
use crate::pattern::Direction;
use crate::schema::Graph;
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use lightning_csr::Stop;
use lightning_sql::Result;
use lightning_storage::Snapshot;
use std::sync::Arc;

/// Vertices that such a search begins at.
const STARTS_MAX: usize = 64;

/// The result of a call that needs no graph in memory; `None` when it does.
pub(super) fn rows(
    graph: &Arc<Graph>,
    snapshot: &Snapshot,
    arguments: &Arguments,
    schema: &SchemaRef,
    stop: Stop<'_>,
) -> Result<Option<Vec<RecordBatch>>> {
    let depth_max = match arguments.function {
        Function::Bfs => arguments.count_32(Argument::MaxDepth)?,
        Function::Khop => arguments.count_32(Argument::K)?,
        _ => None,
    };
    let Some(depth_max) = depth_max.filter(|depth| *depth <= DEPTH_MAX && arguments.is_plain()) else {
        return Ok(None);
    };
    let starts = arguments.keys(graph, Argument::Start)?;
    if starts.iter().any(|(_, keys)| keys[0].len() > STARTS_MAX) {
        return Ok(None);
    }
    let which = arguments.which(arguments.direction(Direction::Right)?);
    let Some(found) = search(graph, snapshot, &which, starts, depth_max, stop)? else { return Ok(None) };
    let mut batches = vec![];
    for found in found.into_iter().filter(|found| !found.keys[0].is_empty()) {
        let rows = found.keys[0].len();
        let mut columns = key_columns(graph, found.table, &found.keys)?;
        columns.push(Arc::new(Int64Array::from(vec![i64::from(found.depth); rows])) as ArrayRef);
        batches.push(RecordBatch::try_new(schema.clone(), columns)?);
    }
    Ok(Some(batches))
}
