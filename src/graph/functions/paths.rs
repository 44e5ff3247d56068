//! Ways of several edges between vertices: what a quantified edge of a pattern stands for.
//!
//! The ways that begin at given vertices of one table and end at vertices of one table, each with the keys of its ends, its length and, when somebody asks for them, its vertices
//! and edges. Which ways: all of a mode, one by one (`Walks`, in memory by their length); or for each pair of ends some or the shortest (`shortest`).

use super::arguments::Arguments;
use super::rows::{one_column, vertex_columns};
use super::run::Run;
use super::signature::{Argument, edge_type};
use crate::adjacency::{Adjacency, EdgeRow, Masks, external};
use crate::pattern::Direction;
use arrow::array::{Array, ArrayRef, Int64Array, ListArray, RecordBatch, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, interleave};
use arrow::datatypes::{DataType, Field};
use lightning_csr::{Keep, Lengths, Mode, NONE, Near, Step, View, Walks, shortest};
use lightning_sql::{Error, Result};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Ways of a batch.
const BATCH_ROWS: usize = 4096;

/// Which of the ways between two vertices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selector {
    All,
    /// So many, whichever.
    Any(u64),
    /// So many of the shortest.
    Shortest(u64),
    /// All of the so many least lengths.
    Groups(u64),
}

impl Run<'_> {
    /// Searches the ways.
    pub(super) fn paths(&mut self, masks: &[Masks]) -> Result<()> {
        let arguments = self.arguments;
        let adjacency = self.adjacency;
        let direction = arguments.direction(Direction::Right)?;
        let from_table = arguments.count(Argument::FromTable)?.unwrap_or(0) as usize;
        let to_table = arguments.count(Argument::ToTable)?.unwrap_or(0) as usize;
        let lengths = Lengths {
            min: arguments.count_32(Argument::Min)?.unwrap_or(1),
            max: arguments.count_32(Argument::Max)?.unwrap_or(NONE),
        };
        let mode = mode(arguments)?;
        let selector = selector(arguments)?;
        let is_in = |table: usize| move |vertex: &u32| adjacency.table_of(*vertex).0 == table;
        let starts: Vec<u32> = match arguments.has(Argument::Start) {
            true => arguments.vertices(adjacency, Argument::Start)?,
            false => adjacency.vertices(),
        };
        let mut seen = HashSet::new();
        let starts: Vec<u32> = starts.into_iter().filter(is_in(from_table)).filter(|v| seen.insert(*v)).collect();
        let targets: Option<Vec<u32>> = match arguments.has(Argument::Target) {
            true => {
                Some(arguments.vertices(adjacency, Argument::Target)?.into_iter().filter(is_in(to_table)).collect())
            }
            false => None,
        };
        let wanted: Option<HashSet<u32>> = targets.as_ref().map(|targets| targets.iter().copied().collect());
        let is_end = |vertex: u32| match &wanted {
            Some(wanted) => wanted.contains(&vertex),
            None => adjacency.table_of(vertex).0 == to_table,
        };
        let once = if direction == Direction::Any { adjacency.without_loops(masks) } else { vec![] };
        let which = arguments.which(direction);
        let (forward, reverse) = adjacency.views_back(&which, masks, &once, &[]);
        let stop = self.stop;
        let reach = match &targets {
            Some(targets) if selector == Selector::All || mode != Mode::Walk => {
                let search = lightning_csr::Search::from(targets);
                Some(lightning_csr::bfs(&reverse, &forward, search, self.threads, stop).map_err(external)?)
            }
            _ => None,
        };
        let has_elements = arguments.has(Argument::Elements);
        let schema = self.schema.clone();
        let mut out = Sender {
            adjacency,
            arguments,
            view: &forward,
            tables: (from_table, to_table),
            has_elements,
            ways: vec![],
            schema,
            emit: self.emit,
        };
        for start in starts {
            let is_simple = mode == Mode::Walk || (lengths.min <= 1 && direction != Direction::Any);
            let keep = match selector {
                Selector::Any(1) | Selector::Shortest(1) if is_simple => Some(Keep::Any),
                Selector::Groups(1) if is_simple => Some(Keep::All),
                _ => None,
            };
            let goes_on = match keep {
                Some(keep) => {
                    let found = shortest(&forward, start, lengths, keep, targets.as_deref(), stop).map_err(external)?;
                    // An acyclic path comes back to no vertex, nor to its first.
                    let is_other = |near: Near| mode != Mode::Acyclic || near.vertex != start || near.depth == 0;
                    let is_end = |near: Near| is_other(near) && is_end(near.vertex);
                    shortest_of(&found, start, keep, &is_end, stop, &mut out)?
                }
                None => {
                    if mode == Mode::Walk && lengths.max == NONE {
                        return Err(Error::unsupported("several of the shortest of unboundedly many walks")
                            .with_hint("Use a mode such as TRAIL or ACYCLIC, or a quantifier with an upper bound."));
                    }
                    let mut walks = Walks::new(&forward, mode, lengths, stop);
                    if let Some(reach) = &reach {
                        walks = walks.toward(reach);
                    }
                    walks.start(start);
                    walked(&mut walks, start, selector, &is_end, &mut out)?
                }
            };
            if !goes_on {
                return Ok(());
            }
        }
        out.flush().map(drop)
    }
}

fn mode(arguments: &Arguments) -> Result<Mode> {
    Ok(match arguments.text(Argument::Mode)?.as_deref() {
        Some("trail") => Mode::Trail,
        Some("acyclic") => Mode::Acyclic,
        Some("simple") => Mode::Simple,
        _ => Mode::Walk,
    })
}

fn selector(arguments: &Arguments) -> Result<Selector> {
    let count = arguments.count(Argument::K)?.unwrap_or(1);
    Ok(match arguments.text(Argument::Selector)?.as_deref() {
        Some("any") => Selector::Any(count),
        Some("shortest") => Selector::Shortest(count),
        Some("shortest_groups") => Selector::Groups(count),
        _ => Selector::All,
    })
}

/// Sends the shortest ways found; false when nobody wants more.
fn shortest_of(
    found: &lightning_csr::Shortest,
    start: u32,
    keep: Keep,
    is_end: &dyn Fn(Near) -> bool,
    stop: lightning_csr::Stop<'_>,
    out: &mut Sender<'_, '_>,
) -> Result<bool> {
    for near in found.reached().filter(|near| is_end(*near)) {
        if keep == Keep::Any {
            let path = if out.has_elements { found.path(near.vertex).unwrap_or_default() } else { vec![] };
            if !out.send(start, near.vertex, near.depth, &path)? {
                return Ok(false);
            }
            continue;
        }
        for path in found.paths(near.vertex, stop).into_iter().flatten() {
            let path = path.map_err(external)?;
            if !out.send(start, near.vertex, path.len() as u32, &path)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Sends ways as they are walked, or those of them that are selected; false when nobody wants more.
fn walked(
    walks: &mut Walks<'_>,
    start: u32,
    selector: Selector,
    is_end: &dyn Fn(u32) -> bool,
    out: &mut Sender<'_, '_>,
) -> Result<bool> {
    // By the vertex where they end.
    let mut kept: HashMap<u32, Vec<Vec<Step>>> = HashMap::new();
    while let Some(path) = walks.next().map_err(external)? {
        let end = path.last().map_or(start, |step| step.vertex);
        if !is_end(end) {
            continue;
        }
        let known = match selector {
            Selector::All => {
                if !out.send(start, end, path.len() as u32, path)? {
                    return Ok(false);
                }
                continue;
            }
            _ => kept.entry(end).or_default(),
        };
        match selector {
            Selector::Any(count) if known.len() as u64 >= count => {}
            Selector::Shortest(count) => {
                let place = known.partition_point(|other| other.len() <= path.len());
                if (place as u64) < count {
                    known.insert(place, path.to_vec());
                    known.truncate(count as usize);
                }
            }
            Selector::Groups(count) => {
                known.push(path.to_vec());
                let mut lengths: Vec<usize> = known.iter().map(Vec::len).collect();
                lengths.sort_unstable();
                lengths.dedup();
                if let Some(most) = (count as usize).checked_sub(1).and_then(|last| lengths.get(last)) {
                    known.retain(|path| path.len() <= *most);
                }
            }
            _ => known.push(path.to_vec()),
        }
    }
    let mut ends: Vec<(u32, Vec<Vec<Step>>)> = kept.into_iter().collect();
    ends.sort_unstable_by_key(|(end, _)| *end);
    for (end, mut paths) in ends {
        paths.sort_by_key(Vec::len);
        for path in paths {
            if !out.send(start, end, path.len() as u32, &path)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// A way that was found.
struct Way {
    start: u32,
    end: u32,
    length: u32,
    /// Its steps, when they are wanted.
    steps: Vec<Step>,
}

/// Makes rows of ways.
struct Sender<'a, 'e> {
    adjacency: &'a Adjacency,
    arguments: &'a Arguments,
    view: &'a View<'a>,
    /// The tables of the ends.
    tables: (usize, usize),
    has_elements: bool,
    ways: Vec<Way>,
    schema: arrow::datatypes::SchemaRef,
    emit: &'e mut dyn FnMut(RecordBatch) -> bool,
}

impl Sender<'_, '_> {
    fn send(&mut self, start: u32, end: u32, length: u32, steps: &[Step]) -> Result<bool> {
        let steps = if self.has_elements { steps.to_vec() } else { vec![] };
        self.ways.push(Way { start, end, length, steps });
        if self.ways.len() >= BATCH_ROWS { self.flush() } else { Ok(true) }
    }

    fn flush(&mut self) -> Result<bool> {
        if self.ways.is_empty() {
            return Ok(true);
        }
        let ways = std::mem::take(&mut self.ways);
        let numbers = |of: &dyn Fn(&Way) -> u32| -> Vec<u32> {
            ways.iter().map(|way| self.adjacency.table_of(of(way)).1).collect()
        };
        let mut columns = self.adjacency.keys(self.tables.0, &numbers(&|way| way.start))?;
        columns.extend(self.adjacency.keys(self.tables.1, &numbers(&|way| way.end))?);
        columns.push(Arc::new(Int64Array::from_iter_values(ways.iter().map(|way| i64::from(way.length)))));
        if self.has_elements {
            columns.push(self.vertices(&ways)?);
            columns.push(self.edges(&ways)?);
        }
        Ok((self.emit)(RecordBatch::try_new(self.schema.clone(), columns)?))
    }

    /// The vertices of each way.
    fn vertices(&self, ways: &[Way]) -> Result<ArrayRef> {
        let lengths = ways.iter().map(|way| way.steps.len() + 1);
        let all =
            ways.iter().flat_map(|way| std::iter::once(way.start).chain(way.steps.iter().map(|step| step.vertex)));
        let columns = vertex_columns(self.adjacency, &all.collect::<Vec<_>>())?;
        let keys = match columns.as_slice() {
            [.., keys] => keys.clone(),
            [] => return Err(Error::unsupported("vertices without a key")),
        };
        self.list("vertices", OffsetBuffer::from_lengths(lengths), keys)
    }

    /// The keys of the edges of each way.
    fn edges(&self, ways: &[Way]) -> Result<ArrayRef> {
        let lengths = ways.iter().map(|way| way.steps.len());
        let rows = ways.iter().flat_map(|way| &way.steps).map(|step| Adjacency::edge_row(self.view, *step));
        let keys = edge_keys(self.adjacency, &self.arguments.edges.tables, &rows.collect::<Vec<_>>())?;
        self.list("edges", OffsetBuffer::from_lengths(lengths), keys)
    }

    fn list(&self, name: &str, offsets: OffsetBuffer<i32>, values: ArrayRef) -> Result<ArrayRef> {
        let field = match self.schema.field_with_name(name)?.data_type() {
            DataType::List(field) => field.clone(),
            other => Arc::new(Field::new("item", other.clone(), true)),
        };
        let values = if values.data_type() == field.data_type() { values } else { cast(&values, field.data_type())? };
        Ok(Arc::new(ListArray::try_new(field, offsets, values, None)?))
    }
}

/// The keys of some edges as one column; text when a key has several columns or tables have keys of different types.
pub(super) fn edge_keys(adjacency: &Adjacency, tables: &[usize], rows: &[EdgeRow]) -> Result<ArrayRef> {
    let wanted = super::signature::arrow_type(edge_type(adjacency.graph(), tables));
    // Rows of one table that came at one time are read together.
    let mut groups: Vec<((usize, bool), Vec<u64>)> = vec![];
    let mut places = Vec::with_capacity(rows.len());
    for row in rows {
        let kind = (row.table, row.is_new);
        let group = groups.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
            groups.push((kind, vec![]));
            groups.len() - 1
        });
        places.push((group, groups[group].1.len()));
        groups[group].1.push(adjacency.edge_place(*row));
    }
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(groups.len());
    for ((table, is_new), places) in groups {
        let element = &adjacency.graph().edges[table].element;
        let snapshot = adjacency.edge_snapshot(is_new);
        let id = element.table.storage_table();
        let keys = snapshot.rows_at(id, &UInt64Array::from(places), &element.key)?;
        arrays.push(one_column(keys.columns(), &wanted)?);
    }
    if arrays.is_empty() {
        return Ok(arrow::array::new_empty_array(&wanted));
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(|array| array.as_ref()).collect();
    Ok(interleave(&arrays, &places)?)
}
