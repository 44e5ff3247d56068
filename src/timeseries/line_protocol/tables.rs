//! The points of a request, measurement by measurement, as rows of tables that are there or will be.
//!
//! Lines of one measurement mostly name the same columns in the same order, so each table remembers where the columns of the line before
//! are ([`TableRows::place`]); only another order costs a look at all names.

use super::columns::{ColumnRows, Fitted, Role};
use super::parser::{Point, Text, Value, shown};
use super::time::Precision;
use crate::time_column;
use arrow::array::{ArrayRef, Int64Array};
use arrow::compute::cast;
use lightning_catalog::{Relation, Table};
use lightning_sql::text::nanos;
use lightning_sql::types::{self, PgType};
use lightning_sql::{NewRows, Relations, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// The time of tables that points make.
pub(crate) const TIME_COLUMN: &str = "time";
/// Bytes of a table's or column's name.
const NAME_BYTES_MAX: usize = 63;
/// Columns of a table.
const COLUMNS_MAX: usize = 1600;

/// What is wrong with a line, when its place says nothing.
type Refusal = String;

/// Points of many measurements.
#[derive(Debug)]
pub(crate) struct Tables {
    relations: Relations,
    precision: Precision,
    /// Time of points that have none, in nanoseconds since 1970.
    received: i64,
    tables: Vec<TableRows>,
    by_name: HashMap<String, usize>,
    last: Option<usize>,
    /// Points seen so far.
    points: usize,
    buffer: String,
    place_buffer: Vec<usize>,
}

impl Tables {
    /// No points yet.
    pub(crate) fn new(relations: Relations, precision: Precision, received: i64) -> Tables {
        Tables {
            relations,
            precision,
            received,
            tables: Vec::new(),
            by_name: HashMap::new(),
            last: None,
            points: 0,
            buffer: String::new(),
            place_buffer: Vec::new(),
        }
    }

    /// Adds a point, whole, or says why not.
    pub(crate) fn add(&mut self, point: &Point<'_>) -> std::result::Result<(), Refusal> {
        self.points += 1;
        let name = point.measurement.read(&mut self.buffer);
        let number = match self.last.filter(|last| self.tables[*last].name == name) {
            Some(last) => last,
            None => match self.by_name.get(name) {
                Some(number) => *number,
                None => {
                    let table = TableRows::open(name, self.relations.find(name))?;
                    self.by_name.insert(table.name.clone(), self.tables.len());
                    self.tables.push(table);
                    self.tables.len() - 1
                }
            },
        };
        self.last = Some(number);
        let is_nanos = self.tables[number].time_type.is_nanos();
        let time = match point.time {
            None if is_nanos => self.received,
            None => nanos::split(self.received).0,
            Some(time) => {
                let known = self.precision.time(time, is_nanos);
                known.ok_or_else(|| format!("time stamp {time} is out of range"))?
            }
        };
        self.tables[number].add(point, time, self.points, &mut self.place_buffer, &mut self.buffer)
    }

    /// Tables that got rows.
    pub(crate) fn into_tables(self) -> Vec<TableRows> {
        self.tables.into_iter().filter(|table| table.rows > 0).collect()
    }
}

/// Points of one measurement.
#[derive(Debug)]
pub(crate) struct TableRows {
    /// The measurement, which is the table's name.
    pub(crate) name: String,
    /// The table, when there is one.
    pub(crate) table: Option<Arc<Table>>,
    /// Its time.
    time_name: String,
    time_type: PgType,
    columns: Vec<ColumnRows>,
    by_name: HashMap<String, usize>,
    /// Names in the order of the last line, and where the columns are.
    sequence: Vec<(String, usize)>,
    times: Vec<i64>,
    pub(crate) rows: usize,
}

impl TableRows {
    fn open(name: &str, relation: Option<&Relation>) -> std::result::Result<TableRows, Refusal> {
        check_name("measurement", name)?;
        let mut opened = TableRows {
            name: name.to_owned(),
            table: None,
            time_name: TIME_COLUMN.to_owned(),
            time_type: types::TIMESTAMPTZ,
            columns: Vec::new(),
            by_name: HashMap::new(),
            sequence: Vec::new(),
            times: Vec::new(),
            rows: 0,
        };
        let table = match relation {
            None => return Ok(opened),
            Some(Relation::Table(table)) => table,
            Some(other) => return Err(format!("{} is a {}, not a table", shown(name), other.kind())),
        };
        let time = time_column::written(table)
            .ok_or_else(|| format!("table {} has no column that is clearly its time", shown(name)))?;
        (opened.time_name, opened.time_type) = time;
        for column in table.columns.iter().filter(|column| !column.dropped && column.name != opened.time_name) {
            let rows = ColumnRows::known(column).map_err(|e| e.message().to_owned())?;
            opened.by_name.insert(rows.name.clone(), opened.columns.len());
            opened.columns.push(rows);
        }
        opened.table = Some(Arc::clone(table));
        Ok(opened)
    }

    fn add(
        &mut self,
        point: &Point<'_>,
        time: i64,
        number: usize,
        places: &mut Vec<usize>,
        buffer: &mut String,
    ) -> std::result::Result<(), Refusal> {
        let columns = self.columns.len();
        places.clear();
        let placed = self.place_all(point, number, places, buffer);
        if let Err(refusal) = placed {
            self.forget_from(columns);
            return Err(refusal);
        }
        let row = self.rows;
        let mut places = places.iter();
        let mut push = |columns: &mut [ColumnRows], role, value| {
            let Some(&place) = places.next() else { return Err("a value has no column".to_owned()) };
            let fitted: Fitted<'_> = columns[place].fit(role, value)?;
            columns[place].push(row, fitted, buffer).map_err(|e| e.message().to_owned())
        };
        point.tags.iter().try_for_each(|(_, value)| push(&mut self.columns, Role::Tag, Value::Text(*value)))?;
        point.fields.iter().try_for_each(|(_, value)| push(&mut self.columns, Role::Field, *value))?;
        self.times.push(time);
        self.rows += 1;
        Ok(())
    }

    /// Finds or makes the columns of a point, and looks whether they take its values.
    fn place_all(
        &mut self,
        point: &Point<'_>,
        number: usize,
        places: &mut Vec<usize>,
        buffer: &mut String,
    ) -> std::result::Result<(), Refusal> {
        let tags = point.tags.iter().map(|(name, value)| (name, Value::Text(*value), Role::Tag));
        let fields = point.fields.iter().map(|(name, value)| (name, *value, Role::Field));
        for (name, value, role) in tags.chain(fields) {
            let place = self.place(places.len(), name, &value, buffer)?;
            let column = &mut self.columns[place];
            if column.given_by == number {
                return Err(format!("{} is there twice", shown(&column.name)));
            }
            column.given_by = number;
            column.fit(role, value)?;
            places.push(place);
        }
        match self.columns.iter().find(|column| column.is_required && column.given_by != number) {
            Some(column) => {
                Err(format!("column {} must not be NULL, but the point does not have it", shown(&column.name)))
            }
            None => Ok(()),
        }
    }

    /// Where the column is that a line names as its `at`-th.
    fn place(
        &mut self,
        at: usize,
        name: &Text<'_>,
        value: &Value<'_>,
        buffer: &mut String,
    ) -> std::result::Result<usize, Refusal> {
        let name = name.read(buffer);
        if let Some((known, place)) = self.sequence.get(at)
            && known == name
        {
            return Ok(*place);
        }
        let place = match self.by_name.get(name) {
            Some(place) => *place,
            None => self.create(name, value)?,
        };
        if at < self.sequence.len() {
            self.sequence[at] = (name.to_owned(), place);
        } else {
            self.sequence.push((name.to_owned(), place));
        }
        Ok(place)
    }

    fn create(&mut self, name: &str, value: &Value<'_>) -> std::result::Result<usize, Refusal> {
        if name == self.time_name {
            return Err(format!("{} is the column of the time stamp", shown(name)));
        }
        check_name("name", name)?;
        // One is the time.
        if self.columns.len() + 1 >= COLUMNS_MAX {
            return Err(format!("table {} would have more than {COLUMNS_MAX} columns", shown(&self.name)));
        }
        let column = ColumnRows::first_seen(name, value).map_err(|e| e.message().to_owned())?;
        self.by_name.insert(name.to_owned(), self.columns.len());
        self.columns.push(column);
        Ok(self.columns.len() - 1)
    }

    /// Forgets columns that only a line named that was refused.
    fn forget_from(&mut self, columns: usize) {
        for column in self.columns.drain(columns..) {
            self.by_name.remove(&column.name);
        }
        self.sequence.retain(|(_, place)| *place < columns);
    }

    /// Columns that the table does not have.
    pub(crate) fn new_columns(&self) -> impl Iterator<Item = &ColumnRows> {
        self.columns.iter().filter(|column| !column.is_known)
    }

    /// The rows as those of `table`; `None` when that is not the table they were made for.
    pub(crate) fn into_rows(mut self, table: &Arc<Table>) -> Result<Option<NewRows>> {
        let Some((name, time_type)) = time_column::written(table) else { return Ok(None) };
        let Some(time) = table.column_index(&name) else { return Ok(None) };
        if name != self.time_name || time_type != self.time_type {
            return Ok(None);
        }
        let times: ArrayRef = Arc::new(Int64Array::from(std::mem::take(&mut self.times)));
        let times = match time_type.arrow_type() {
            Some(data_type) => cast(&times, &data_type)?,
            None => return Ok(None),
        };
        let mut columns = vec![(time, times)];
        for mut column in std::mem::take(&mut self.columns) {
            if column.is_known && column.is_empty() {
                continue;
            }
            let index = table.column_index(&column.name).filter(|index| {
                let now = &table.columns[*index];
                now.type_oid == column.type_oid() && now.type_modifier == column.pg.modifier
            });
            let Some(index) = index else { return Ok(None) };
            columns.push((index, column.finish(self.rows)?));
        }
        Ok(Some(NewRows { table: Arc::clone(table), columns, rows: self.rows }))
    }
}

fn check_name(what: &str, name: &str) -> std::result::Result<(), Refusal> {
    match name.len() <= NAME_BYTES_MAX {
        true => Ok(()),
        false => Err(format!("{what} {} is longer than {NAME_BYTES_MAX} bytes", shown(name))),
    }
}
