//! Rows from numbers of vertices.

use super::record;
use super::signature::{arrow_type, vertex_type};
use crate::adjacency::Adjacency;
use crate::schema::Graph;
use arrow::array::{Array, ArrayRef, StringViewArray};
use arrow::compute::{cast, interleave};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lightning_sql::Result;
use std::sync::Arc;

/// The columns that name some vertices: their keys, and before these their tables when there are several.
pub(super) fn vertex_columns(adjacency: &Adjacency, vertices: &[u32]) -> Result<Vec<ArrayRef>> {
    let graph = adjacency.graph();
    let wanted = arrow_type(vertex_type(graph));
    if let [_] = graph.vertices.as_slice() {
        let numbers: Vec<u32> = vertices.iter().map(|vertex| adjacency.table_of(*vertex).1).collect();
        return Ok(vec![one_column(&adjacency.keys(0, &numbers)?, &wanted)?]);
    }
    let mut numbers: Vec<Vec<u32>> = vec![vec![]; graph.vertices.len()];
    let mut places: Vec<(usize, usize)> = Vec::with_capacity(vertices.len());
    for vertex in vertices {
        let (table, number) = adjacency.table_of(*vertex);
        places.push((table, numbers[table].len()));
        numbers[table].push(number);
    }
    let keys = numbers.iter().enumerate();
    let keys = keys.map(|(table, numbers)| one_column(&adjacency.keys(table, numbers)?, &wanted));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let arrays: Vec<&dyn Array> = keys.iter().map(|keys| keys.as_ref()).collect();
    let names = places.iter().map(|(table, _)| graph.vertices[*table].name.as_str());
    Ok(vec![Arc::new(StringViewArray::from_iter_values(names)), interleave(&arrays, &places)?])
}

/// The same columns for vertices of one table that have these keys.
pub(super) fn key_columns(graph: &Graph, table: usize, keys: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let key = one_column(keys, &arrow_type(vertex_type(graph)))?;
    if graph.vertices.len() == 1 {
        return Ok(vec![key]);
    }
    let name = graph.vertices[table].name.as_str();
    let names = StringViewArray::from_iter_values(std::iter::repeat_n(name, key.len()));
    Ok(vec![Arc::new(names), key])
}

/// Keys as one column of the type wanted; several columns as the text of a row.
pub(super) fn one_column(keys: &[ArrayRef], wanted: &DataType) -> Result<ArrayRef> {
    if let [key] = keys {
        return Ok(if key.data_type() == wanted { key.clone() } else { cast(key, wanted)? });
    }
    let options = FormatOptions::new();
    let shown = keys.iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
    let shown = shown.collect::<std::result::Result<Vec<_>, _>>()?;
    let row = |row: usize| {
        let values: Vec<String> = shown.iter().map(|column| column.value(row).to_string()).collect();
        record::write(values.iter().map(String::as_str))
    };
    Ok(Arc::new(StringViewArray::from_iter_values((0..keys[0].len()).map(row))))
}
