//! Arguments as values.

use super::plan::{Edges, Role};
use super::record;
use super::signature::{Argument, Function};
use crate::adjacency::{Adjacency, Masks, Weights, Which, key_types};
use crate::pattern::Direction;
use crate::schema::Element;
use crate::schema::Graph;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringViewArray, UInt64Array};
use arrow::compute::{cast, concat_batches, filter};
use arrow::datatypes::{DataType, UInt64Type};
use arrow::util::display::array_value_to_string;
use datafusion::common::ScalarValue;
use lightning_csr::{NONE, Stop};
use lightning_sql::sqlstate::INVALID_PARAMETER_VALUE;
use lightning_sql::text::datetime::utc;
use lightning_sql::text::{ColumnBuilder, InputOptions};
use lightning_sql::types::{self, PgType};
use lightning_sql::{Error, Result, SqlState};
use std::sync::Arc;

/// What a call was given.
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) function: Function,
    pub(super) edges: Edges,
    /// The edges that satisfy the condition on edges, if they are known before.
    pub(super) masks: Option<Arc<Vec<Masks>>>,
    pub(super) values: Vec<(Argument, ScalarValue)>,
    pub(super) inputs: Vec<(Role, Vec<RecordBatch>)>,
}

impl Arguments {
    fn value(&self, argument: Argument) -> Option<&ScalarValue> {
        let found = self.values.iter().find(|(known, _)| *known == argument);
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    fn input(&self, role: Role) -> Result<Option<RecordBatch>> {
        let Some((_, batches)) = self.inputs.iter().find(|(known, _)| *known == role) else { return Ok(None) };
        let Some(first) = batches.first() else { return Ok(None) };
        Ok(Some(concat_batches(&first.schema(), batches)?))
    }

    fn invalid(&self, argument: Argument, what: &str) -> Error {
        let message = format!("argument \"{}\" of function {} {what}", argument.name(), self.function.name());
        Error::new(INVALID_PARAMETER_VALUE, message)
    }

    /// Whether there is one.
    pub(super) fn has(&self, argument: Argument) -> bool {
        self.values.iter().any(|(known, _)| *known == argument)
            || self.inputs.iter().any(|(role, _)| *role == Role::Vertices(argument))
    }

    /// A number that is not negative.
    pub(super) fn count(&self, argument: Argument) -> Result<Option<u64>> {
        let Some(value) = self.value(argument) else { return Ok(None) };
        let number = match value.cast_to(&DataType::Int64) {
            Ok(whole @ ScalarValue::Int64(Some(number)))
                if whole.cast_to(&value.data_type()).is_ok_and(|v| v == *value) =>
            {
                number
            }
            _ => return Err(self.invalid(argument, "must be a whole number")),
        };
        u64::try_from(number).map(Some).map_err(|_| self.invalid(argument, "must not be negative"))
    }

    /// A number of at least one.
    pub(super) fn positive(&self, argument: Argument) -> Result<Option<u64>> {
        match self.count(argument)? {
            Some(0) => Err(self.invalid(argument, "must be positive")),
            count => Ok(count),
        }
    }

    /// The same in 32 bits, where more means no more than that.
    pub(super) fn count_32(&self, argument: Argument) -> Result<Option<u32>> {
        Ok(self.count(argument)?.map(|count| u32::try_from(count).unwrap_or(u32::MAX)))
    }

    /// A real number in a range.
    pub(super) fn real(&self, argument: Argument, range: std::ops::RangeInclusive<f64>) -> Result<Option<f64>> {
        let Some(value) = self.value(argument) else { return Ok(None) };
        match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(number))) if range.contains(&number) => Ok(Some(number)),
            Ok(ScalarValue::Float64(_)) => {
                let (from, to) = (range.start(), range.end());
                let bounds = if to.is_finite() { format!("from {from} to {to}") } else { format!("{from} or more") };
                Err(self.invalid(argument, &format!("must be {bounds}")))
            }
            _ => Err(self.invalid(argument, "must be a number")),
        }
    }

    /// A text.
    pub(super) fn text(&self, argument: Argument) -> Result<Option<String>> {
        let Some(value) = self.value(argument) else { return Ok(None) };
        match value.cast_to(&DataType::Utf8) {
            Ok(ScalarValue::Utf8(text)) => Ok(text),
            _ => Err(self.invalid(argument, "must be a text")),
        }
    }

    /// Which way edges are gone along.
    pub(super) fn direction(&self, default: Direction) -> Result<Direction> {
        let Some(text) = self.text(Argument::Direction)? else { return Ok(default) };
        match text.to_ascii_lowercase().as_str() {
            "out" => Ok(Direction::Right),
            "in" => Ok(Direction::Left),
            "any" | "both" => Ok(Direction::Any),
            _ => Err(self.invalid(Argument::Direction, "must be 'out', 'in' or 'any'")),
        }
    }

    /// The edges that are meant, in a direction.
    pub(super) fn which(&self, direction: Direction) -> Vec<Which> {
        self.edges.tables.iter().map(|table| Which { table: *table, direction }).collect()
    }

    /// The vertices of an argument. Keys that no vertex has are passed over.
    pub(super) fn vertices(&self, adjacency: &Adjacency, argument: Argument) -> Result<Vec<u32>> {
        let mut found = vec![];
        for (table, keys) in self.keys(adjacency.graph(), argument)? {
            found.extend(adjacency.find(table, &keys)?.into_iter().filter(|vertex| *vertex != NONE));
        }
        Ok(found)
    }

    /// The keys of an argument, for each table of vertices that can have them.
    pub(super) fn keys(&self, graph: &Graph, argument: Argument) -> Result<Vec<(usize, Vec<ArrayRef>)>> {
        let columns = match self.input(Role::Vertices(argument))? {
            Some(batch) => batch.columns().to_vec(),
            None => match self.value(argument) {
                Some(ScalarValue::List(list)) => vec![list.value(0)],
                Some(ScalarValue::LargeList(list)) => vec![list.value(0)],
                Some(value) => vec![value.to_array()?],
                None => return Ok(vec![]),
            },
        };
        let mut found = vec![];
        for (table, element) in graph.vertices.iter().enumerate() {
            let types: Vec<(PgType, DataType)> = key_columns(element).zip(key_types(element)).collect();
            let columns = match columns.as_slice() {
                // The name of the table comes first.
                [tables, keys @ ..] if graph.vertices.len() > 1 && keys.len() == types.len() && is_text(tables) => {
                    let is_it = |row| Ok(array_value_to_string(tables, row)? == element.name);
                    let of_table: BooleanArray =
                        (0..tables.len()).map(|row| is_it(row).map(Some)).collect::<Result<_>>()?;
                    keys.iter().map(|column| Ok(filter(column, &of_table)?)).collect::<Result<Vec<_>>>()?
                }
                [column] if types.len() > 1 && is_text(column) => from_records(column, types.len())?,
                columns => columns.to_vec(),
            };
            if types.len() != columns.len() {
                continue;
            }
            let is_one_of_several = graph.vertices.len() > 1;
            let cast = |(column, wanted)| key_of(column, wanted, is_one_of_several);
            found.push((table, columns.iter().zip(&types).map(cast).collect::<Result<Vec<_>>>()?));
        }
        if !columns.is_empty() && found.is_empty() {
            let hint =
                "A key of several columns is given as the text of a row, or by a sub-query with as many columns.";
            let given = if columns.len() == 1 { "one column".to_owned() } else { format!("{} columns", columns.len()) };
            let what = format!("has {given}, and no key of the graph has as many");
            return Err(self.invalid(argument, &what).with_hint(hint));
        }
        Ok(found)
    }

    /// Whether all edges of the tables that are meant are, whatever they weigh.
    pub(super) fn is_plain(&self) -> bool {
        self.edges.weights.is_empty()
            && self.edges.condition.is_none()
            && !self.inputs.iter().any(|(role, _)| matches!(role, Role::Edges(_) | Role::Weights(_)))
    }

    /// The edges that satisfy the condition on edges, by table; nothing when there is no condition.
    pub(super) fn masks(&self, adjacency: &Adjacency) -> Result<Arc<Vec<Masks>>> {
        if let Some(masks) = &self.masks {
            return Ok(masks.clone());
        }
        let is_filtered = self.inputs.iter().any(|(role, _)| matches!(role, Role::Edges(_)));
        let mut masks = vec![];
        for table in 0..if is_filtered { adjacency.graph().edges.len() } else { 0 } {
            masks.push(match self.inputs.iter().any(|(role, _)| *role == Role::Edges(table)) {
                true => adjacency.edges_at(table, &places_of(self.input(Role::Edges(table))?))?,
                false => Masks::default(),
            });
        }
        let masks = Arc::new(masks);
        if let Some(condition) = &self.edges.condition {
            adjacency.keep_masks(condition, &masks);
        }
        Ok(masks)
    }

    /// What the edges of `masks` weigh, by table; nothing when no column was named.
    pub(super) fn weights(
        &self,
        adjacency: &Adjacency,
        masks: &[Masks],
        threads: usize,
        stop: Stop<'_>,
    ) -> Result<Vec<Weights>> {
        let mut weights = vec![Weights::default(); adjacency.graph().edges.len()];
        let mut is_weighted = false;
        for (role, _) in &self.inputs {
            let Role::Weights(table) = *role else { continue };
            is_weighted = true;
            if let Some(batch) = self.input(*role)? {
                let values = batch.column(1).clone();
                weights[table] = adjacency.weights_at(table, &places_of(Some(batch)), &values)?;
            }
        }
        for column in &self.edges.weights {
            is_weighted = true;
            weights[column.0] = adjacency.weights_of(*column, masks.get(column.0), threads, stop)?;
        }
        Ok(if is_weighted { weights } else { vec![] })
    }
}

/// Types of the columns of a key.
fn key_columns(element: &Element) -> impl Iterator<Item = PgType> {
    element.key.iter().map(|column| {
        let column = &element.table.columns[*column];
        PgType::by_oid(column.type_oid.0).unwrap_or(types::TEXT).with_modifier(column.type_modifier)
    })
}

fn is_text(column: &ArrayRef) -> bool {
    matches!(column.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Texts of rows as so many columns of text.
fn from_records(column: &ArrayRef, width: usize) -> Result<Vec<ArrayRef>> {
    let mut columns: Vec<Vec<Option<String>>> = vec![vec![]; width];
    for row in 0..column.len() {
        let text = array_value_to_string(column, row)?;
        let values = match record::read(&text, width) {
            Some(values) => values.into_iter().map(Some).collect(),
            None if column.is_null(row) => vec![None; width],
            None => {
                let message = format!("malformed record literal: \"{text}\"");
                return Err(Error::new(SqlState("22P02"), message));
            }
        };
        columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
    }
    let array = |values: Vec<Option<String>>| Arc::new(StringViewArray::from_iter(values)) as ArrayRef;
    Ok(columns.into_iter().map(array).collect())
}

/// A column of an argument as one of a key, of type `wanted`. What cannot be one is an error, or NULL where the keys of other tables may be meant.
fn key_of(column: &ArrayRef, (pg, wanted): &(PgType, DataType), is_one_of_several: bool) -> Result<ArrayRef> {
    if column.data_type() == wanted {
        return Ok(column.clone());
    }
    let options = InputOptions { zone: utc() };
    let mut values = ColumnBuilder::new(*pg, column.len(), options)?;
    for row in 0..column.len() {
        if column.is_null(row) {
            values.append_null();
            continue;
        }
        // As it would be written: a number with a fraction is no integer.
        if let Err(error) = values.append(&array_value_to_string(column, row)?) {
            if !is_one_of_several {
                return Err(error);
            }
            values.append_null();
        }
    }
    let values = values.finish()?;
    Ok(if values.data_type() == wanted { values } else { cast(&values, wanted)? })
}

fn places_of(batch: Option<RecordBatch>) -> UInt64Array {
    batch.map_or_else(
        || UInt64Array::from(Vec::<u64>::new()),
        |batch| batch.column(0).as_primitive::<UInt64Type>().clone(),
    )
}
