//! Small searches without a graph in memory: neighbours are looked up in indexes, or by the primary key of the edges.
//!
//! To ask once for the friends of one person is no reason to read all friendships. When the graph is not in memory, searches of few steps go along edges whose
//! tables can be asked for the edges of a vertex: they have an index that begins with the columns of the end in question, or a primary key that does. A
//! search that meets too many edges gives up, and the graph is read after all.

use super::Which;
use super::base::{End, in_key_order};
use crate::pattern::Direction;
use crate::schema::{EdgeTable, Graph};
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{concat, take};
use arrow::row::{RowConverter, SortField};
use lightning_catalog::Table;
use lightning_csr::Stop;
use lightning_sql::Result;
use lightning_storage::{Snapshot, TableId};
use std::collections::HashSet;
use std::sync::Arc;

/// Steps of a small search.
pub(crate) const DEPTH_MAX: u32 = 3;
/// Vertices whose edges are looked up.
const LOOKED_UP_MAX: usize = 2000;

/// Vertices of one table that were found, at one depth.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) table: usize,
    /// Columns of their keys.
    pub(crate) keys: Vec<ArrayRef>,
    pub(crate) depth: u32,
}

/// How the edges of a table are found by one of their ends.
#[derive(Debug)]
struct Access {
    /// The index, or the table itself.
    storage: TableId,
    is_index: bool,
    /// Where its entries have the columns of the other end, if they have.
    covered: Option<Vec<usize>>,
}

/// An edge table that is gone along from one end to the other.
struct Way<'a> {
    edges: &'a EdgeTable,
    from: End,
    access: Access,
}

/// The vertices within `depth_max` edges of `starts` (keys by table). `None` when the tables cannot be asked, or too much is met.
pub(crate) fn search(
    graph: &Arc<Graph>,
    snapshot: &Snapshot,
    which: &[Which],
    starts: Vec<(usize, Vec<ArrayRef>)>,
    depth_max: u32,
    stop: Stop<'_>,
) -> Result<Option<Vec<Found>>> {
    let Some(ways) = ways(graph, which) else { return Ok(None) };
    let has_keys = graph.vertices.iter().all(|element| {
        let key = element.table.primary_key.as_ref().map(|key| &key.columns);
        key.is_some_and(|key| *key == element.key)
    });
    if depth_max > DEPTH_MAX || !has_keys {
        return Ok(None);
    }
    for element in graph.vertices.iter().chain(which.iter().map(|which| &graph.edges[which.table].element)) {
        snapshot.note_read(element.table.storage_table(), &[])?;
    }
    let mut seen: Vec<Seen> = graph.vertices.iter().map(|_| Seen::default()).collect();
    let mut found: Vec<Found> = vec![];
    let mut looked_up = 0;
    let mut frontier = existing(graph, snapshot, starts, &mut seen)?;
    let mut depth = 0;
    loop {
        let level: Vec<(usize, Vec<ArrayRef>)> = frontier;
        found.extend(level.iter().map(|(table, keys)| Found { table: *table, keys: keys.clone(), depth }));
        if depth == depth_max || level.iter().all(|(_, keys)| keys[0].is_empty()) {
            return Ok(Some(found));
        }
        depth += 1;
        let mut next = vec![];
        for Way { edges, from, access } in &ways {
            let (near, far) = match from {
                End::Source => (&edges.source, &edges.destination),
                End::Destination => (&edges.destination, &edges.source),
            };
            for (_, keys) in level.iter().filter(|(table, keys)| *table == near.vertices && !keys[0].is_empty()) {
                looked_up += keys[0].len();
                if looked_up > LOOKED_UP_MAX {
                    return Ok(None);
                }
                if stop() {
                    return Err(super::stopped());
                }
                let far_end = if *from == End::Source { End::Destination } else { End::Source };
                let columns = access.others(graph, snapshot, edges, *from, keys)?;
                next.push((far.vertices, in_key_order(graph, edges, far_end, &columns)));
            }
        }
        frontier = existing(graph, snapshot, next, &mut seen)?;
    }
}

/// How all edges that are meant are found from either end that is needed; `None` when some cannot be.
fn ways<'a>(graph: &'a Graph, which: &[Which]) -> Option<Vec<Way<'a>>> {
    let mut ways = vec![];
    for Which { table, direction } in which {
        let edges = &graph.edges[*table];
        if matches!(direction, Direction::Right | Direction::Any) {
            ways.push(Way { edges, from: End::Source, access: Access::of(edges, End::Source)? });
        }
        if matches!(direction, Direction::Left | Direction::Any) {
            ways.push(Way { edges, from: End::Destination, access: Access::of(edges, End::Destination)? });
        }
    }
    Some(ways)
}

impl Access {
    fn of(edges: &EdgeTable, from: End) -> Option<Access> {
        let (near, far) = match from {
            End::Source => (&edges.source, &edges.destination),
            End::Destination => (&edges.destination, &edges.source),
        };
        let table: &Table = &edges.element.table;
        let primary = table.primary_key.as_ref().map(|key| key.columns.clone());
        if primary.as_ref().is_some_and(|key| key.starts_with(&near.key)) {
            return Some(Access { storage: table.storage_table(), is_index: false, covered: Some(far.key.clone()) });
        }
        let index = table.indexes.iter().find(|index| index.column_indexes().starts_with(&near.key))?;
        // An entry has the columns of the index, then those of the key that are not among them.
        let mut columns = index.column_indexes();
        let rest: Vec<usize> = primary.iter().flatten().copied().filter(|column| !columns.contains(column)).collect();
        columns.extend(rest);
        let position = |column: &usize| columns.iter().position(|known| known == column);
        let covered = far.key.iter().map(position).collect();
        Some(Access { storage: index.storage_table(), is_index: true, covered })
    }

    /// The columns of the other end of the edges whose one end has these keys.
    fn others(
        &self,
        graph: &Graph,
        snapshot: &Snapshot,
        edges: &EdgeTable,
        from: End,
        keys: &[ArrayRef],
    ) -> Result<Vec<ArrayRef>> {
        let (near, far) = match from {
            End::Source => (&edges.source, &edges.destination),
            End::Destination => (&edges.destination, &edges.source),
        };
        // From the order of the vertex's key into that of the edge's columns.
        let key = &graph.vertices[near.vertices].key;
        let values = near.columns.iter().map(|column| {
            let position = key.iter().position(|known| known == column).expect("an end has the whole key");
            keys[position].clone()
        });
        let values: Vec<ArrayRef> = values.collect();
        let (entries, numbers) = snapshot.entries_with(self.storage, &values)?;
        let wanted = UInt32Array::from(numbers);
        let wanted = values.iter().map(|column| Ok(take(column, &wanted, None)?)).collect::<Result<Vec<_>>>()?;
        let places: Vec<usize> = if self.is_index { (0..values.len()).collect() } else { near.key.clone() };
        let there: Vec<ArrayRef> = places.iter().map(|column| entries.column(*column).clone()).collect();
        let converter = converter(&there)?;
        let (wanted, there) = (converter.convert_columns(&wanted)?, converter.convert_columns(&there)?);
        let same: UInt32Array =
            (0..).zip(wanted.iter().zip(there.iter())).filter(|(_, (a, b))| a == b).map(|(row, _)| row).collect();
        let columns: Vec<ArrayRef> = match &self.covered {
            Some(columns) => columns.iter().map(|column| entries.column(*column).clone()).collect(),
            None => {
                let places = snapshot.places_of(self.storage, &entries)?;
                snapshot.rows_at(edges.element.table.storage_table(), &places, &far.key)?.columns().to_vec()
            }
        };
        columns.iter().map(|column| Ok(take(column, &same, None)?)).collect()
    }
}

/// Keys of vertices of a table that were met.
#[derive(Debug, Default)]
struct Seen {
    converter: Option<RowConverter>,
    keys: HashSet<Box<[u8]>>,
}

/// The vertices with these keys that exist and were not met before, each once; one entry a table.
fn existing(
    graph: &Graph,
    snapshot: &Snapshot,
    keys: Vec<(usize, Vec<ArrayRef>)>,
    seen: &mut [Seen],
) -> Result<Vec<(usize, Vec<ArrayRef>)>> {
    let mut existing = vec![];
    for (table, element) in graph.vertices.iter().enumerate() {
        let of_table: Vec<&Vec<ArrayRef>> = keys.iter().filter(|(of, _)| *of == table).map(|(_, keys)| keys).collect();
        let Some(first) = of_table.first() else { continue };
        let column = |column: usize| -> Result<ArrayRef> {
            let arrays: Vec<&dyn Array> = of_table.iter().map(|keys| keys[column].as_ref()).collect();
            Ok(concat(&arrays)?)
        };
        let columns = (0..first.len()).map(column).collect::<Result<Vec<_>>>()?;
        let Seen { converter: known, keys } = &mut seen[table];
        if known.is_none() {
            *known = Some(converter(&columns)?);
        }
        let rows = known.as_ref().expect("it was made just now").convert_columns(&columns)?;
        let is_whole = |row: usize| columns.iter().all(|column| column.is_valid(row));
        let new =
            (0u32..).zip(rows.iter()).filter(|(row, key)| is_whole(*row as usize) && keys.insert(key.data().into()));
        let new: UInt32Array = new.map(|(row, _)| row).collect();
        let columns = columns.iter().map(|column| Ok(take(column, &new, None)?)).collect::<Result<Vec<_>>>()?;
        let (rows, _) = snapshot.find(element.table.storage_table(), &columns, &element.key)?;
        existing.push((table, rows.columns().to_vec()));
    }
    Ok(existing)
}

fn converter(columns: &[ArrayRef]) -> Result<RowConverter> {
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    Ok(RowConverter::new(fields)?)
}
