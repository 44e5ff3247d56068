//! All vertices and edges of a graph as one snapshot has them.

use super::filters::Filters;
use super::keys::Keys;
use super::load::{Piece, load, runs_of};
use super::runs::Runs;
use super::weights::Columns;
use super::{missing_vertices, not_unique};
use crate::definition::MissingVertices;
use crate::schema::{EdgeTable, Element, Graph};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array, new_empty_array};
use arrow::compute::{SortColumn, SortOptions, concat, filter, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Int64Type};
use lightning_csr::{Csr, NONE, Stop};
use lightning_sql::types::{PgType, arrow_field};
use lightning_sql::{Error, Result};
use lightning_storage::Snapshot;
use lightning_storage::budget::MemoryBudget;
use std::sync::Arc;

/// What the memory of graphs is called among the budget's consumers.
pub(super) const CONSUMER: &str = "graphs in memory";

/// A graph as a snapshot has it.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) graph: Arc<Graph>,
    pub(crate) snapshot: Snapshot,
    pub(crate) vertices: Vec<VertexSet>,
    pub(crate) edges: Vec<EdgeSet>,
    /// The vertices of all tables are numbered together, table by table: the number of each table's first one, and how many there are.
    pub(crate) first: Vec<u32>,
    pub(super) columns: Columns,
    pub(super) filters: Filters,
}

/// The vertices of a table, in the order of their keys.
#[derive(Debug)]
pub(crate) struct VertexSet {
    pub(crate) keys: Keys,
    pub(crate) runs: Runs,
    /// The number of each in the order of places; as they are, if that is the order of keys.
    numbers: Option<Vec<u32>>,
}

/// The edges of a table, in the order of their places.
#[derive(Debug)]
pub(crate) struct EdgeSet {
    pub(crate) runs: Runs,
    pub(crate) forward: Csr,
    pub(crate) reverse: Csr,
    pub(crate) dangling: Dangling,
}

/// Edges of which an end is no vertex.
#[derive(Debug, Default)]
pub(crate) struct Dangling {
    pub(crate) places: Vec<u64>,
    /// Keys of their ends, the source's columns before the destination's, in pieces.
    pub(crate) keys: Vec<Vec<ArrayRef>>,
}

/// The ends of some edges, as vertices of the whole graph.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) sources: Vec<u32>,
    pub(crate) targets: Vec<u32>,
}

impl Base {
    /// Reads all of a graph; what will be kept beside it is reserved from `budget`.
    pub(crate) fn load(
        graph: &Arc<Graph>,
        snapshot: &Snapshot,
        budget: &Arc<MemoryBudget>,
        threads: usize,
        stop: Stop<'_>,
    ) -> Result<Base> {
        let mut vertices = Vec::with_capacity(graph.vertices.len());
        let mut first = vec![0u32];
        for element in &graph.vertices {
            let set = VertexSet::load(element, snapshot, threads, stop)?;
            let next = first[vertices.len()].checked_add(set.keys.len()).filter(|next| *next < NONE);
            first.push(next.ok_or_else(too_many)?);
            vertices.push(set);
        }
        let mut base = Base {
            graph: graph.clone(),
            snapshot: snapshot.clone(),
            vertices,
            edges: vec![],
            first,
            columns: Columns::new(budget.register(CONSUMER)),
            filters: Filters::new(budget.register(CONSUMER)),
        };
        for table in &graph.edges {
            let edges = base.load_edges(table, threads, stop)?;
            base.edges.push(edges);
        }
        Ok(base)
    }

    /// How many vertices there are.
    pub(crate) fn vertex_count(&self) -> u32 {
        self.first[self.vertices.len()]
    }

    /// The vertices of a table with these keys.
    pub(crate) fn find(&self, table: usize, keys: &[ArrayRef]) -> Result<Vec<u32>> {
        let mut found = self.vertices[table].keys.find(keys)?;
        let first = self.first[table];
        if first > 0 {
            found.iter_mut().filter(|vertex| **vertex != NONE).for_each(|vertex| *vertex += first);
        }
        Ok(found)
    }

    fn load_edges(&self, table: &EdgeTable, threads: usize, stop: Stop<'_>) -> Result<EdgeSet> {
        let split = table.source.key.len();
        let projection: Vec<usize> = table.source.key.iter().chain(&table.destination.key).copied().collect();
        let id = table.element.table.storage_table();
        let pieces = load(&self.snapshot, id, &projection, threads, stop, |keys| {
            let sources =
                self.find(table.source.vertices, &in_key_order(&self.graph, table, End::Source, &keys[..split]))?;
            let ends = &keys[split..];
            let targets =
                self.find(table.destination.vertices, &in_key_order(&self.graph, table, End::Destination, ends))?;
            let is_whole: Vec<bool> = sources.iter().zip(&targets).map(|(s, t)| *s != NONE && *t != NONE).collect();
            let dangling = match is_whole.iter().all(|whole| *whole) {
                true => None,
                false => Some(keys_where(keys, is_whole.iter().map(|whole| !whole))?),
            };
            Ok((Ends { sources, targets }, dangling))
        })?;
        let (pieces, dangling) = without_dangling(pieces);
        if self.graph.missing == MissingVertices::Error && !dangling.places.is_empty() {
            return Err(missing_vertices(&self.graph, table, dangling.places.len(), &dangling.keys[0]));
        }
        let runs = runs_of(&pieces);
        let sources = pieces.iter().map(|piece| piece.value.sources.as_slice()).collect::<Vec<_>>().concat();
        let targets = pieces.iter().map(|piece| piece.value.targets.as_slice()).collect::<Vec<_>>().concat();
        drop(pieces);
        let count = self.vertex_count();
        let forward = Csr::build(count, &sources, &targets, threads, stop).map_err(super::external)?;
        let reverse = Csr::build(count, &targets, &sources, threads, stop).map_err(super::external)?;
        Ok(EdgeSet { runs, forward, reverse, dangling })
    }

    /// Bytes of memory, with what is kept beside.
    pub(crate) fn bytes_all(&self) -> usize {
        self.bytes() + self.columns.bytes() + self.filters.bytes()
    }

    /// Bytes of memory, without what is kept beside.
    pub(crate) fn bytes(&self) -> usize {
        let vertices: usize = self.vertices.iter().map(|set| set.keys.bytes() + set.runs.bytes()).sum();
        let edges = self.edges.iter().map(|set| set.forward.bytes() + set.reverse.bytes() + set.runs.bytes());
        vertices + edges.sum::<usize>()
    }
}

/// Which end of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Destination,
}

/// The columns of one end of an edge in the order of the vertex's key.
pub(crate) fn in_key_order(graph: &Graph, table: &EdgeTable, end: End, columns: &[ArrayRef]) -> Vec<ArrayRef> {
    let endpoint = match end {
        End::Source => &table.source,
        End::Destination => &table.destination,
    };
    let key = &graph.vertices[endpoint.vertices].key;
    let position =
        |column: &usize| endpoint.columns.iter().position(|c| c == column).expect("an end has the whole key");
    key.iter().map(|column| columns[position(column)].clone()).collect()
}

impl VertexSet {
    fn load(element: &Element, snapshot: &Snapshot, threads: usize, stop: Stop<'_>) -> Result<VertexSet> {
        let id = element.table.storage_table();
        let pieces = load(snapshot, id, &element.key, threads, stop, |keys| Ok(keys.to_vec()))?;
        let runs = runs_of(&pieces);
        let pieces: Vec<Vec<ArrayRef>> = pieces.into_iter().map(|piece| piece.value).collect();
        let (columns, order) = sorted(together(&pieces, &key_types(element))?)?;
        // Place `order[n]` has vertex `n`.
        let numbers = order.map(|order| {
            let mut numbers = vec![0; order.len()];
            (0..).zip(order.values()).for_each(|(number, place)| numbers[*place as usize] = number);
            numbers
        });
        let keys = Keys::new(columns)?;
        Ok(VertexSet { keys: keys.map_err(|(columns, row)| not_unique(element, &columns, row))?, runs, numbers })
    }

    /// The vertex whose row is at `place`.
    pub(crate) fn number(&self, place: u64) -> Option<u32> {
        let number = self.runs.number(place)?;
        Some(self.numbers.as_ref().map_or(number, |numbers| numbers[number as usize]))
    }
}

/// Columns of pieces, one after the other.
pub(super) fn together(pieces: &[Vec<ArrayRef>], types: &[DataType]) -> Result<Vec<ArrayRef>> {
    let column = |column: usize| -> Result<ArrayRef> {
        let arrays: Vec<&dyn Array> = pieces.iter().map(|piece| piece[column].as_ref()).collect();
        match arrays.is_empty() {
            true => Ok(new_empty_array(&types[column])),
            false => Ok(concat(&arrays)?),
        }
    };
    (0..types.len()).map(column).collect()
}

/// Columns in ascending order of rows, NULLs last, and where each row was, if they were in another.
fn sorted(columns: Vec<ArrayRef>) -> Result<(Vec<ArrayRef>, Option<UInt32Array>)> {
    let options = Some(SortOptions { descending: false, nulls_first: false });
    if let [column] = columns.as_slice()
        && let Some(numbers) = column.as_primitive_opt::<Int64Type>()
        && numbers.null_count() == 0
        && numbers.values().is_sorted()
    {
        return Ok((columns, None));
    }
    let sort: Vec<SortColumn> = columns.iter().map(|values| SortColumn { values: values.clone(), options }).collect();
    let order = lexsort_to_indices(&sort, None)?;
    if order.values().iter().copied().eq(0..order.len() as u32) {
        return Ok((columns, None));
    }
    let columns = columns.iter().map(|column| Ok(take(column, &order, None)?)).collect::<Result<Vec<_>>>()?;
    Ok((columns, Some(order)))
}

/// Arrow types of the key's columns.
pub(crate) fn key_types(element: &Element) -> Vec<DataType> {
    let column = |column: &usize| {
        let column = &element.table.columns[*column];
        let pg = PgType::by_oid(column.type_oid.0).map(|pg| pg.with_modifier(column.type_modifier));
        pg.and_then(|pg| arrow_field("key", pg, true)).map_or(DataType::Null, |field| field.data_type().clone())
    };
    element.key.iter().map(column).collect()
}

/// The rows of some columns for which `wanted` holds.
fn keys_where(keys: &[ArrayRef], wanted: impl Iterator<Item = bool>) -> Result<Vec<ArrayRef>> {
    let mask: BooleanArray = wanted.map(Some).collect();
    keys.iter().map(|column| Ok(filter(column, &mask)?)).collect()
}

/// Pieces of edges between vertices, and the other edges.
fn without_dangling(pieces: Vec<Piece<(Ends, Option<Vec<ArrayRef>>)>>) -> (Vec<Piece<Ends>>, Dangling) {
    let mut dangling = Dangling::default();
    let mut whole = Vec::with_capacity(pieces.len());
    for Piece { places, value: (ends, keys) } in pieces {
        let Some(keys) = keys else {
            whole.push(Piece { places, value: ends });
            continue;
        };
        dangling.keys.push(keys);
        let mut kept = Piece { places: vec![], value: Ends { sources: vec![], targets: vec![] } };
        for ((place, source), target) in places.into_iter().zip(ends.sources).zip(ends.targets) {
            if source == NONE || target == NONE {
                dangling.places.push(place);
                continue;
            }
            kept.places.push(place);
            kept.value.sources.push(source);
            kept.value.targets.push(target);
        }
        whole.push(kept);
    }
    (whole, dangling)
}

fn too_many() -> Error {
    Error::new(lightning_sql::SqlState("54000"), "a graph can have at most 4,294,967,294 vertices")
}
