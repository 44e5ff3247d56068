//! What a snapshot has otherwise than the base: rows that went, came or moved since.
//!
//! Nothing is built anew for a few changed rows. Edges that went are bits in a mask; edges that came are a small [`Csr`] beside the large one; new vertices are numbered
//! after those of the base. A vertex whose row was written again has the same key, and so keeps its number.

use super::base::{Base, End, in_key_order};
use super::keys::Keys;
use super::runs::Runs;
use super::{external, missing_vertices, not_unique};
use crate::definition::MissingVertices;
use crate::schema::EdgeTable;
use arrow::array::{Array, ArrayRef, UInt32Array, UInt64Array};
use arrow::compute::take;
use lightning_csr::{Bitmap, Csr, NONE, Stop};
use lightning_sql::Result;
use lightning_storage::{Moves, Snapshot};
use std::collections::HashSet;

/// Rows that may have changed before everything is read again: so many, and one in so many.
const CHANGED_MIN: u64 = 1 << 17;
const CHANGED_PART: u64 = 8;

/// A snapshot's difference from a base.
#[derive(Debug)]
pub(crate) struct Overlay {
    pub(crate) vertices: Vec<VertexChanges>,
    pub(crate) edges: Vec<EdgeChanges>,
    /// How many vertices there are with those that came.
    pub(crate) vertex_count: u32,
}

/// Vertices of a table that went or came.
#[derive(Debug, Default)]
pub(crate) struct VertexChanges {
    /// Those of the base that are there, by their numbers in the table; all when there is none.
    pub(crate) live: Option<Bitmap>,
    /// Keys of those that came.
    pub(crate) new: Option<Keys>,
    /// The number of the first of these in the whole graph.
    pub(crate) first: u32,
}

/// Edges of a table that went or came.
#[derive(Debug, Default)]
pub(crate) struct EdgeChanges {
    /// Those of the base that are there; all when there is none.
    pub(crate) live: Option<Bitmap>,
    /// Those that came, numbered in the order of their places in the snapshot.
    pub(crate) new: Option<NewEdges>,
}

/// Edges that came.
#[derive(Debug)]
pub(crate) struct NewEdges {
    pub(crate) forward: Csr,
    pub(crate) reverse: Csr,
    pub(crate) runs: Runs,
}

impl Overlay {
    /// What `snapshot` has otherwise than `base`. `None` when that is so much that the graph is better read again.
    pub(crate) fn find(base: &Base, snapshot: &Snapshot, threads: usize, stop: Stop<'_>) -> Result<Option<Overlay>> {
        let mut overlay = Overlay { vertices: vec![], edges: vec![], vertex_count: base.vertex_count() };
        let mut dead: Vec<u32> = vec![];
        for table in 0..base.vertices.len() {
            let Some(changes) = overlay.vertex_changes(base, table, snapshot, &mut dead)? else { return Ok(None) };
            overlay.vertices.push(changes);
        }
        for table in 0..base.edges.len() {
            let Some(changes) = overlay.edge_changes(base, table, snapshot, &dead, threads, stop)? else {
                return Ok(None);
            };
            overlay.edges.push(changes);
        }
        Ok(Some(overlay))
    }

    /// The vertices of a table with these keys.
    pub(crate) fn find_vertices(&self, base: &Base, table: usize, keys: &[ArrayRef]) -> Result<Vec<u32>> {
        let mut found = base.find(table, keys)?;
        let changes = &self.vertices[table];
        if let Some(live) = &changes.live {
            let is_dead = |vertex: &u32| *vertex != NONE && !live.get(*vertex - base.first[table]);
            found.iter_mut().filter(|vertex| is_dead(vertex)).for_each(|vertex| *vertex = NONE);
        }
        if let Some(new) = &changes.new {
            for (vertex, new) in found.iter_mut().zip(new.find(keys)?) {
                if new != NONE {
                    *vertex = changes.first + new;
                }
            }
        }
        Ok(found)
    }

    fn vertex_changes(
        &mut self,
        base: &Base,
        table: usize,
        snapshot: &Snapshot,
        dead: &mut Vec<u32>,
    ) -> Result<Option<VertexChanges>> {
        let (set, element) = (&base.vertices[table], &base.graph.vertices[table]);
        let id = element.table.storage_table();
        let Some(moves) = snapshot.moves(id, &base.snapshot, changed_max(set.runs.len()))? else { return Ok(None) };
        if moves == Moves::default() {
            return Ok(Some(VertexChanges::default()));
        }
        let mut live = Bitmap::full(set.keys.len());
        let mut gone: Vec<u32> = moves.gone.iter().filter_map(|place| set.number(*place)).collect();
        gone.iter().for_each(|vertex| live.clear(*vertex));
        let places = UInt64Array::from(moves.new.clone());
        let keys = snapshot.rows_at(id, &places, &element.key)?;
        let mut known = set.keys.find(keys.columns())?;
        let mut new_rows = vec![];
        for (row, vertex) in (0u32..).zip(&mut known) {
            if *vertex == NONE {
                new_rows.push(row);
            } else if live.get(*vertex) {
                return Err(not_unique(element, keys.columns(), row));
            } else {
                live.set(*vertex);
            }
        }
        let new =
            Keys::new(taken(keys.columns(), &new_rows)?)?.map_err(|(keys, row)| not_unique(element, &keys, row))?;
        let first = self.vertex_count;
        self.vertex_count += new.len();
        gone.retain(|vertex| !live.get(*vertex));
        dead.extend(gone.iter().map(|vertex| base.first[table] + vertex));
        let live = (!gone.is_empty()).then_some(live);
        Ok(Some(VertexChanges { live, new: (new.len() > 0).then_some(new), first }))
    }

    fn edge_changes(
        &self,
        base: &Base,
        number: usize,
        snapshot: &Snapshot,
        dead: &[u32],
        threads: usize,
        stop: Stop<'_>,
    ) -> Result<Option<EdgeChanges>> {
        let (set, table) = (&base.edges[number], &base.graph.edges[number]);
        let id = table.element.table.storage_table();
        let Some(moves) = snapshot.moves(id, &base.snapshot, changed_max(set.runs.len()))? else { return Ok(None) };
        let mut live = Bitmap::full(set.runs.len());
        moves.gone.iter().filter_map(|place| set.runs.number(*place)).for_each(|edge| live.clear(edge));
        let mut lost = 0;
        for vertex in dead {
            for csr in [&set.forward, &set.reverse] {
                for edge in csr.edge_numbers(*vertex) {
                    lost += usize::from(live.get(*edge));
                    live.clear(*edge);
                }
            }
        }
        if lost > 0 && base.graph.missing == MissingVertices::Error {
            return Err(missing_vertices(&base.graph, table, lost, &[]));
        }
        let is_changed = lost > 0 || !moves.gone.is_empty();
        let new = self.new_edges(base, number, snapshot, &moves, threads, stop)?;
        Ok(Some(EdgeChanges { live: is_changed.then_some(live), new }))
    }

    fn new_edges(
        &self,
        base: &Base,
        number: usize,
        snapshot: &Snapshot,
        moves: &Moves,
        threads: usize,
        stop: Stop<'_>,
    ) -> Result<Option<NewEdges>> {
        let (set, table) = (&base.edges[number], &base.graph.edges[number]);
        let id = table.element.table.storage_table();
        let projection: Vec<usize> = table.source.key.iter().chain(&table.destination.key).copied().collect();
        let rows = snapshot.rows_at(id, &UInt64Array::from(moves.new.clone()), &projection)?;
        let mut edges: Vec<(u64, u32, u32)> = vec![];
        let dangling = self.add_edges(base, table, rows.columns(), &moves.new, &mut edges)?;
        if dangling > 0 && base.graph.missing == MissingVertices::Error {
            return Err(missing_vertices(&base.graph, table, dangling, &[]));
        }
        // Edges without a vertex may have one now.
        if self.vertices.iter().any(|changes| changes.new.is_some()) {
            let gone: HashSet<u64> = moves.gone.iter().copied().collect();
            let mut start = 0;
            for keys in &set.dangling.keys {
                let rows = keys[0].len();
                let places = &set.dangling.places[start..start + rows];
                start += rows;
                let left: Vec<u32> = (0..rows as u32).filter(|row| !gone.contains(&places[*row as usize])).collect();
                let there: UInt64Array = left.iter().map(|row| Some(places[*row as usize])).collect();
                let there = base.snapshot.places_in(id, snapshot, &there)?;
                self.add_edges(base, table, &taken(keys, &left)?, there.values(), &mut edges)?;
            }
        }
        if edges.is_empty() {
            return Ok(None);
        }
        edges.sort_unstable();
        let mut runs = Runs::default();
        edges.iter().for_each(|(place, ..)| runs.push(*place));
        let sources: Vec<u32> = edges.iter().map(|edge| edge.1).collect();
        let targets: Vec<u32> = edges.iter().map(|edge| edge.2).collect();
        let count = self.vertex_count;
        Ok(Some(NewEdges {
            forward: Csr::build(count, &sources, &targets, threads, stop).map_err(external)?,
            reverse: Csr::build(count, &targets, &sources, threads, stop).map_err(external)?,
            runs,
        }))
    }

    /// Adds the edges with these keys of their ends at these places; how many of them have no vertex.
    fn add_edges(
        &self,
        base: &Base,
        table: &EdgeTable,
        keys: &[ArrayRef],
        places: &[u64],
        edges: &mut Vec<(u64, u32, u32)>,
    ) -> Result<usize> {
        let (sources, targets) = keys.split_at(table.source.key.len());
        let sources = in_key_order(&base.graph, table, End::Source, sources);
        let targets = in_key_order(&base.graph, table, End::Destination, targets);
        let sources = self.find_vertices(base, table.source.vertices, &sources)?;
        let targets = self.find_vertices(base, table.destination.vertices, &targets)?;
        let before = edges.len();
        let ends = sources.into_iter().zip(targets).zip(places);
        let whole = ends.filter(|((source, target), _)| *source != NONE && *target != NONE);
        edges.extend(whole.map(|((source, target), place)| (*place, source, target)));
        Ok(places.len() - (edges.len() - before))
    }
}

fn changed_max(rows: u32) -> u64 {
    CHANGED_MIN.max(u64::from(rows) / CHANGED_PART)
}

fn taken(columns: &[ArrayRef], rows: &[u32]) -> Result<Vec<ArrayRef>> {
    let rows = UInt32Array::from(rows.to_vec());
    columns.iter().map(|column| Ok(take(column, &rows, None)?)).collect()
}
