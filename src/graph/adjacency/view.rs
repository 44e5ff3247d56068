//! A graph as one snapshot has it, to be searched.

use super::base::{Base, EdgeSet};
use super::overlay::{EdgeChanges, Overlay};
use super::weights::Weights;
use crate::pattern::Direction;
use crate::schema::Graph;
use arrow::array::{Array, ArrayRef, UInt32Array, UInt64Array};
use arrow::compute::{interleave, take};
use lightning_csr::{Bitmap, Csr, Part, View};
use lightning_sql::Result;
use lightning_storage::Snapshot;
use std::sync::Arc;

/// A graph as one snapshot has it.
#[derive(Clone, Debug)]
pub(crate) struct Adjacency {
    pub(crate) base: Arc<Base>,
    pub(crate) overlay: Arc<Overlay>,
    pub(crate) snapshot: Snapshot,
}

/// How vertices are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbering {
    /// Somehow.
    Any,
    /// Without numbers of vertices that went.
    Dense,
    /// Those of a table in the order of their keys.
    ByKey,
}

/// Edges of a table, gone along in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Which {
    /// The table, as an index into [`Graph::edges`].
    pub(crate) table: usize,
    /// The direction.
    pub(crate) direction: Direction,
}

/// Edges that a view leaves out of a table, by number: of the base, and of those that came since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Masks {
    pub(crate) base: Option<Bitmap>,
    pub(crate) new: Option<Bitmap>,
}

/// An edge: a row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EdgeRow {
    /// The table, as an index into [`Graph::edges`].
    pub(crate) table: usize,
    /// Whether it came since the base was read.
    pub(crate) is_new: bool,
    /// Its number there.
    pub(crate) number: u32,
}

impl Adjacency {
    /// The graph.
    pub(crate) fn graph(&self) -> &Arc<Graph> {
        &self.base.graph
    }

    /// How many numbers vertices have; some may be of none ([`Adjacency::is_live`]).
    pub(crate) fn vertex_count(&self) -> u32 {
        self.overlay.vertex_count
    }

    /// The table of a vertex, and its number there; those that came are numbered after those of the base.
    pub(crate) fn table_of(&self, vertex: u32) -> (usize, u32) {
        if vertex < self.base.vertex_count() {
            let table = self.base.first.partition_point(|first| *first <= vertex) - 1;
            return (table, vertex - self.base.first[table]);
        }
        let tables = self.overlay.vertices.iter().enumerate();
        let mut came = tables.filter(|(_, changes)| changes.new.as_ref().is_some_and(|_| changes.first <= vertex));
        let (table, changes) = came.next_back().expect("vertices beyond the base came since");
        (table, self.base.vertices[table].keys.len() + (vertex - changes.first))
    }

    /// Whether there is a vertex of this number.
    pub(crate) fn is_live(&self, vertex: u32) -> bool {
        let (table, number) = self.table_of(vertex);
        let live = self.overlay.vertices[table].live.as_ref();
        live.is_none_or(|live| number >= live.len() || live.get(number))
    }

    /// Whether vertices are numbered as wanted.
    pub(crate) fn is_numbered(&self, numbering: Numbering) -> bool {
        let tables = &self.overlay.vertices;
        match numbering {
            Numbering::Any => true,
            Numbering::Dense => tables.iter().all(|changes| changes.live.is_none()),
            Numbering::ByKey => tables.iter().all(|changes| changes.new.is_none()),
        }
    }

    /// All vertices.
    pub(crate) fn vertices(&self) -> Vec<u32> {
        let all = 0..self.vertex_count();
        match self.overlay.vertices.iter().all(|changes| changes.live.is_none()) {
            true => all.collect(),
            false => all.filter(|vertex| self.is_live(*vertex)).collect(),
        }
    }

    /// The vertices of a table with these keys, [`NONE`] where there is none.
    pub(crate) fn find(&self, table: usize, keys: &[ArrayRef]) -> Result<Vec<u32>> {
        self.overlay.find_vertices(&self.base, table, keys)
    }

    /// The edges of a table at `places` of the snapshot, as masks.
    pub(crate) fn edges_at(&self, table: usize, places: &UInt64Array) -> Result<Masks> {
        let (set, changes) = (&self.base.edges[table], &self.overlay.edges[table]);
        let id = self.graph().edges[table].element.table.storage_table();
        let there = self.snapshot.places_in(id, &self.base.snapshot, places)?;
        let mut base = Bitmap::new(set.runs.len());
        for number in there.iter().filter_map(|place| set.runs.number(place?)) {
            if changes.live.as_ref().is_none_or(|live| live.get(number)) {
                base.set(number);
            }
        }
        let new = changes.new.as_ref().map(|new| {
            let mut mask = Bitmap::new(new.runs.len());
            places.values().iter().filter_map(|place| new.runs.number(*place)).for_each(|number| mask.set(number));
            mask
        });
        Ok(Masks { base: Some(base), new })
    }

    /// Keys of some vertices of one table, given by their numbers there ([`Adjacency::table_of`]): a column for each of the key.
    pub(crate) fn keys(&self, table: usize, numbers: &[u32]) -> Result<Vec<ArrayRef>> {
        let base = &self.base.vertices[table].keys;
        let Some(new) = self.overlay.vertices[table].new.as_ref() else {
            if numbers.len() == base.len() as usize && numbers.iter().copied().eq(0..base.len()) {
                return Ok(base.columns.clone());
            }
            let numbers = UInt32Array::from(numbers.to_vec());
            return base.columns.iter().map(|column| Ok(take(column, &numbers, None)?)).collect();
        };
        let places: Vec<(usize, usize)> = numbers
            .iter()
            .map(|number| match number.checked_sub(base.len()) {
                Some(number) => (1, number as usize),
                None => (0, *number as usize),
            })
            .collect();
        let column = |column: usize| -> Result<ArrayRef> {
            let arrays: [&dyn Array; 2] = [base.columns[column].as_ref(), new.columns[column].as_ref()];
            Ok(interleave(&arrays, &places)?)
        };
        (0..base.columns.len()).map(column).collect()
    }

    /// The edges that are meant without those from a vertex to itself, by table: to be gone along backward, where these are met forward
    /// already. Nothing when there are none.
    pub(crate) fn without_loops(&self, masks: &[Masks]) -> Vec<Masks> {
        let without = |csr: &Csr, live: Option<&Bitmap>| {
            let mut left = live.cloned().unwrap_or_else(|| Bitmap::full(csr.edges()));
            for vertex in 0..csr.vertices() {
                let slots = csr.targets(vertex).iter().zip(csr.edge_numbers(vertex));
                slots.filter(|(target, _)| **target == vertex).for_each(|(_, edge)| left.clear(*edge));
            }
            left
        };
        let tables = self.base.edges.iter().zip(&self.overlay.edges).enumerate();
        let of_table = |(table, (set, changes)): (usize, (&EdgeSet, &EdgeChanges))| {
            let mask = masks.get(table);
            let live = mask.and_then(|mask| mask.base.as_ref()).or(changes.live.as_ref());
            let base = Some(without(&set.forward, live));
            let new = changes.new.as_ref();
            let new = new.map(|new| without(&new.forward, mask.and_then(|mask| mask.new.as_ref())));
            Masks { base, new }
        };
        tables.map(of_table).collect()
    }

    /// The edges along `which` from each vertex, and to it.
    pub(crate) fn views<'a>(
        &'a self,
        which: &[Which],
        masks: &'a [Masks],
        weights: &'a [Weights],
    ) -> (View<'a>, View<'a>) {
        self.views_back(which, masks, &[], weights)
    }

    /// The same, with other masks for edges that are gone along backward beside forward.
    pub(crate) fn views_back<'a>(
        &'a self,
        which: &[Which],
        masks: &'a [Masks],
        once: &'a [Masks],
        weights: &'a [Weights],
    ) -> (View<'a>, View<'a>) {
        let (mut forward, mut reverse) = (vec![], vec![]);
        for Which { table, direction } in which {
            let (set, changes) = (&self.base.edges[*table], &self.overlay.edges[*table]);
            let (mask, weights) = (masks.get(*table), weights.get(*table));
            let live = mask.and_then(|mask| mask.base.as_ref()).or(changes.live.as_ref());
            let of_base = |csr| Part {
                csr,
                set: 2 * *table as u32,
                live,
                weights: weights.map(|weights| weights.base.as_slice()),
            };
            let mut pairs = vec![(of_base(&set.forward), of_base(&set.reverse))];
            if let Some(new) = &changes.new {
                let live = mask.and_then(|mask| mask.new.as_ref());
                let weights = weights.map(|weights| weights.new.as_slice());
                let of_new = |csr| Part { csr, set: 2 * *table as u32 + 1, live, weights };
                pairs.push((of_new(&new.forward), of_new(&new.reverse)));
            }
            for (is_new, (out, back)) in [false, true].into_iter().zip(pairs) {
                if matches!(direction, Direction::Right | Direction::Any) {
                    forward.push(out);
                    reverse.push(back);
                }
                if matches!(direction, Direction::Left | Direction::Any) {
                    let once = once.get(*table).filter(|_| *direction == Direction::Any);
                    let live = once.and_then(|once| if is_new { once.new.as_ref() } else { once.base.as_ref() });
                    forward.push(Part { live: live.or(back.live), ..back });
                    reverse.push(Part { live: live.or(out.live), ..out });
                }
            }
        }
        let count = self.vertex_count();
        (View::new(count, forward), View::new(count, reverse))
    }

    /// The row of the edge of a step along a view's part.
    pub(crate) fn edge_row(view: &View<'_>, step: lightning_csr::Step) -> EdgeRow {
        let set = view.parts[step.part as usize].set;
        EdgeRow { table: set as usize / 2, is_new: set % 2 == 1, number: step.edge }
    }

    /// The place of an edge's row, in the snapshot of [`Adjacency::edge_snapshot`].
    pub(crate) fn edge_place(&self, edge: EdgeRow) -> u64 {
        match (edge.is_new, &self.overlay.edges[edge.table].new) {
            (true, Some(new)) => new.runs.place(edge.number),
            _ => self.base.edges[edge.table].runs.place(edge.number),
        }
    }

    /// The snapshot that has the rows of edges that came since the base was read, or that of the base.
    pub(crate) fn edge_snapshot(&self, is_new: bool) -> &Snapshot {
        if is_new { &self.snapshot } else { &self.base.snapshot }
    }
}
