//! What edges weigh: a column of numbers, kept beside the base from statement to statement; or what a query says.

use super::base::Base;
use super::kept::Kept;
use super::load::load;
use super::view::{Adjacency, Masks};
use arrow::array::{Array, AsArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use lightning_csr::{Bitmap, Stop};
use lightning_sql::{Error, Result, SqlState};
use std::sync::Arc;

/// Weights of the edges of a table, by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weights {
    pub(crate) base: Arc<Vec<f64>>,
    pub(crate) new: Vec<f64>,
    /// Whether an edge that is meant weighs less than nothing.
    pub(crate) has_negative: bool,
}

/// Columns of tables of edges, by their numbers.
pub(super) type Columns = Kept<(usize, usize), Column>;

/// Numbers of a column, in the order of the edges' numbers in the base.
#[derive(Debug)]
pub(super) struct Column {
    values: Arc<Vec<f64>>,
    nulls: Option<Bitmap>,
    has_negative: bool,
}

impl Column {
    fn load(base: &Base, table: usize, column: usize, threads: usize, stop: Stop<'_>) -> Result<Column> {
        let runs = &base.edges[table].runs;
        let id = base.graph.edges[table].element.table.storage_table();
        let number = |columns: &[_]| Ok(cast(&columns[0], &DataType::Float64)?);
        let pieces = load(&base.snapshot, id, &[column], threads, stop, number)?;
        let mut values = vec![0.0; runs.len() as usize];
        let mut nulls: Option<Bitmap> = None;
        for piece in &pieces {
            let column = piece.value.as_primitive::<Float64Type>();
            // Edges without a vertex have no number.
            let numbers = piece.places.iter().map(|place| runs.number(*place));
            for (number, value) in numbers.zip(column) {
                match (number, value) {
                    (Some(number), Some(value)) => values[number as usize] = value,
                    (Some(number), None) => nulls.get_or_insert_with(|| Bitmap::new(runs.len())).set(number),
                    (None, _) => {}
                }
            }
        }
        let has_negative = values.iter().any(|value| *value < 0.0);
        Ok(Column { values: Arc::new(values), nulls, has_negative })
    }

    fn bytes(&self) -> usize {
        8 * self.values.len() + self.nulls.as_ref().map_or(0, Bitmap::bytes)
    }
}

impl Base {
    /// A column of numbers of a table of edges: the one that is kept, or read now and kept if there is room.
    fn column(&self, table: usize, column: usize, threads: usize, stop: Stop<'_>) -> Result<Arc<Column>> {
        if let Some(known) = self.columns.get(&(table, column)) {
            return Ok(known);
        }
        let read = Arc::new(Column::load(self, table, column, threads, stop)?);
        self.columns.keep((table, column), &read, read.bytes());
        Ok(read)
    }
}

impl Adjacency {
    /// What edges of a table weigh by a column of numbers. Only those of `mask` need a weight.
    pub(crate) fn weights_of(
        &self,
        (table, column): (usize, usize),
        mask: Option<&Masks>,
        threads: usize,
        stop: Stop<'_>,
    ) -> Result<Weights> {
        let (set, changes) = (&self.base.edges[table], &self.overlay.edges[table]);
        let kept = self.base.column(table, column, threads, stop)?;
        let live = mask.and_then(|mask| mask.base.as_ref()).or(changes.live.as_ref());
        let meant = || (0..set.runs.len()).filter(|number| live.is_none_or(|live| live.get(*number)));
        let mut missing = kept.nulls.as_ref().map_or(0, |nulls| meant().filter(|number| nulls.get(*number)).count());
        let mut has_negative = kept.has_negative && meant().any(|number| kept.values[number as usize] < 0.0);
        let mut new = vec![];
        if let Some(edges) = &changes.new {
            let id = self.graph().edges[table].element.table.storage_table();
            let places: UInt64Array = (0..edges.runs.len()).map(|number| Some(edges.runs.place(number))).collect();
            let rows = self.snapshot.rows_at(id, &places, &[column])?;
            let values = cast(rows.column(0), &DataType::Float64)?;
            let live = mask.and_then(|mask| mask.new.as_ref());
            for (number, value) in (0..).zip(values.as_primitive::<Float64Type>()) {
                let is_meant = live.is_none_or(|live| live.get(number));
                missing += usize::from(is_meant && value.is_none());
                has_negative |= is_meant && value.is_some_and(|value| value < 0.0);
                new.push(value.unwrap_or_default());
            }
        }
        match missing {
            0 => Ok(Weights { base: kept.values.clone(), new, has_negative }),
            missing => Err(self.without_weight(table, missing)),
        }
    }

    /// What edges of a table weigh, given by their places.
    pub(crate) fn weights_at(&self, table: usize, places: &UInt64Array, values: &dyn Array) -> Result<Weights> {
        let values = values.as_primitive::<Float64Type>();
        let (set, changes) = (&self.base.edges[table], &self.overlay.edges[table]);
        let id = self.graph().edges[table].element.table.storage_table();
        let there = self.snapshot.places_in(id, &self.base.snapshot, places)?;
        let new = changes.new.as_ref().map_or(0, |new| new.runs.len());
        let (mut base, mut new) = (vec![0.0; set.runs.len() as usize], vec![0.0; new as usize]);
        let (mut missing, mut has_negative) = (0, false);
        for ((place, there), value) in places.values().iter().zip(there.iter()).zip(values) {
            let of_base = there.and_then(|place| set.runs.number(place)).map(|number| &mut base[number as usize]);
            let number = || changes.new.as_ref()?.runs.number(*place);
            let weight = match of_base {
                Some(weight) => Some(weight),
                None => number().map(|number| &mut new[number as usize]),
            };
            match (weight, value) {
                (Some(weight), Some(value)) => {
                    has_negative |= value < 0.0;
                    *weight = value;
                }
                (Some(_), None) => missing += 1,
                (None, _) => {}
            }
        }
        match missing {
            0 => Ok(Weights { base: Arc::new(base), new, has_negative }),
            missing => Err(self.without_weight(table, missing)),
        }
    }

    fn without_weight(&self, table: usize, count: usize) -> Error {
        let name = &self.graph().edges[table].element.name;
        let edges = if count == 1 { "edge" } else { "edges" };
        Error::new(SqlState("22004"), format!("{count} {edges} of \"{name}\" without a weight"))
            .with_hint("Leave such edges out with edge_filter => '... IS NOT NULL'.")
    }
}
