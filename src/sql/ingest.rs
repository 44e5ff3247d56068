//! Rows that come in bulk, as columns and without SQL, for several tables at once.
//!
//! [`Session::ingest`] does what INSERT does with rows that are all there: locks the table, fills in defaults, checks NOT NULL and keys, and
//! commits; but nothing is parsed or planned for a table without a key. Rows of a table with a primary key replace what they give a value for in
//! the row of the same key, as `INSERT … ON CONFLICT … DO UPDATE` says it; of several rows with one key among the new ones, the last value of
//! each column counts.
//!
//! What must hold: all tables get their rows in one transaction or none does; and a table that has changed since its definition was read
//! gets nothing (40001), because the columns may mean something else now.

use crate::error::{Error, Result};
use crate::extension::quoted;
use crate::outcome::Outcome;
use crate::parser::Kind;
use crate::session::{Run, Session};
use crate::sqlstate::{INTERNAL_ERROR, INVALID_SCHEMA_NAME, SERIALIZATION_FAILURE};
use crate::statements::insert::Defaults;
use crate::statements::modify::conflict::{self, NewBatches};
use crate::triggers::{Events, Firings, TriggeredSink};
use crate::unique::UniqueKey;
use crate::write::{Shape, append};
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::sql::sqlparser::ast::{Insert, Statement as Sql};
use futures::future::BoxFuture;
use lightning_catalog::{Oid, Relation, Snapshot, Table};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Rows for one table.
#[derive(Clone, Debug)]
pub struct NewRows {
    /// The table, as [`Session::relations`] have it.
    pub table: Arc<Table>,
    /// Columns that are given, as indexes into those of the table, each with one value a row in the Arrow type of the column.
    pub columns: Vec<(usize, ArrayRef)>,
    /// How many rows.
    pub rows: usize,
}

/// The tables and views of one schema at one moment.
#[derive(Clone, Debug)]
pub struct Relations {
    catalog: Arc<Snapshot>,
    schema: Oid,
}

impl Relations {
    /// The table or view of this name.
    pub fn find(&self, name: &str) -> Option<&Relation> {
        self.catalog.relation(self.schema, name)
    }
}

impl Session {
    /// The tables and views of a schema, as they are now; 3F000 when there is no such schema.
    pub fn relations(&self, schema: &str) -> Result<Relations> {
        let (_, catalog) = self.shared.snapshots()?;
        let known = catalog.schema(self.shared.info.database_oid, schema).map(|schema| schema.oid);
        let schema = known.ok_or_else(|| {
            let message = format!("schema \"{schema}\" does not exist");
            Error::new(INVALID_SCHEMA_NAME, message)
        })?;
        Ok(Relations { catalog, schema })
    }

    /// Writes rows into tables as one transaction; when this returns they are durable. The session must have no transaction open. Rows
    /// written; 40001 when a table has changed since it was looked up, or is gone.
    pub fn ingest(&self, mut tables: Vec<NewRows>) -> BoxFuture<'_, Result<u64>> {
        Box::pin(async move {
            if self.shared.transactions.in_block() {
                return Err(Error::new(INTERNAL_ERROR, "rows cannot be ingested inside a transaction"));
            }
            // Everybody locks tables in one order, so that nobody waits in a circle.
            tables.sort_by_key(|rows| rows.table.oid);
            let is_one = tables.len() == 1;
            if !is_one {
                self.begin_implicit().await;
            }
            let mut written = 0;
            for rows in tables {
                match self.ingest_table(rows).await {
                    Ok(rows) => written += rows,
                    Err(e) => {
                        self.end_implicit(false).await?;
                        return Err(e);
                    }
                }
            }
            if !is_one {
                self.end_implicit(true).await?;
            }
            Ok(written)
        })
    }

    /// One table's part.
    async fn ingest_table(&self, rows: NewRows) -> Result<u64> {
        let (_, catalog) = self.shared.snapshots()?;
        let schema = catalog.schema_by_oid(rows.table.schema).ok_or_else(|| changed(&rows.table))?;
        let text = statement(&schema.name, &rows);
        let statement = self.parse(&text)?.pop().ok_or_else(|| Error::new(INTERNAL_ERROR, "no statement"))?;
        let parsed = statement.parsed()?;
        let info = &self.shared.info;
        let timeout = info.settings.statement_timeout();
        let active = self.shared.instance.active().begin(info.process_id, &info.user, &text, timeout);
        let run = Run { session: Arc::clone(&self.shared), parsed, active, parameters: Vec::new() };
        run.guarded(Box::pin(write(&run, rows))).await.inspect_err(|_| self.shared.transactions.fail())
    }
}

/// The INSERT that writing the rows is, as others see it run.
fn statement(schema: &str, rows: &NewRows) -> String {
    let table = &rows.table;
    let name = |column: usize| quoted(&table.columns[column].name);
    let names = |columns: &mut dyn Iterator<Item = usize>| columns.map(name).collect::<Vec<_>>().join(", ");
    let relation = quoted(&table.name);
    let insert = format!("INSERT INTO {}.{relation} DEFAULT VALUES", quoted(schema));
    let Some(key) = &table.primary_key else { return insert };
    let given = rows.columns.iter().map(|(column, _)| *column).filter(|column| !key.columns.contains(column));
    let set = |column| format!("{0} = coalesce(excluded.{0}, {relation}.{0})", name(column));
    let sets: Vec<String> = given.map(set).collect();
    let action = if sets.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", sets.join(", ")) };
    format!("{insert} ON CONFLICT ({}) DO {action}", names(&mut key.columns.iter().copied()))
}

async fn write(run: &Run, rows: NewRows) -> Result<u64> {
    let NewRows { table, columns, rows } = rows;
    let mut write = run.session.write()?;
    let Some((storage, catalog)) = write.lock_target(run, &table).await? else { return Err(changed(&table)) };
    let is_same = matches!(catalog.relation_by_oid(table.oid), Some(Relation::Table(now)) if **now == *table);
    if !is_same {
        return Err(changed(&table));
    }
    let context = run.session.set_context(storage, catalog);
    let defaults = Defaults::plan(run, &table, |column| columns.iter().any(|(given, _)| *given == column)).await?;
    let inserting = Events { inserts: true, updates: upsert(run).map(|_| given(&table, &columns)), deletes: false };
    let mut firings = Firings::of(run, &context, &table, &inserting)?;
    let mut shape = Shape::new(&table, run.session.zone());
    if let Some(firings) = &mut firings {
        firings.before_statement(&mut write).await?;
        shape = firings.insert.as_ref().map_or(shape, |fired| fired.shape());
    }
    let (columns, rows) = match &table.primary_key {
        Some(key) => merged(columns, &key.columns, rows)?,
        None => (columns, rows),
    };
    let mut filled: Vec<Option<ArrayRef>> = vec![None; table.columns.len()];
    for (column, values) in columns {
        filled[column] = Some(values);
    }
    let mut batch = defaults.complete(&shape, filled, rows)?;
    let Some(insert) = upsert(run) else {
        let keys = UniqueKey::all(&table, run.session.zone());
        if let Some(fired) = firings.and_then(|firings| firings.insert) {
            let mut sink = TriggeredSink::start(run, fired, &context, write, keys);
            sink.push(batch).await?;
            return sink.finish().await;
        }
        return append(write, &run.patience(&table), keys, batch).await;
    };
    if let Some(fired) = firings.as_mut().and_then(|firings| firings.insert.as_mut()).filter(|f| f.has_before_rows()) {
        batch = fired.before_inserts(&mut write, batch).await?;
    }
    let batches = NewBatches { batches: vec![batch], firings };
    match Box::pin(conflict::insert(run, insert, &table, context, batches, write, None)).await? {
        Outcome::Done { rows, .. } => Ok(rows),
        other => Err(Error::new(INTERNAL_ERROR, format!("writing rows gave {other:?}"))),
    }
}

/// The columns that rows have besides the key: what a row of the same key is changed in.
fn given(table: &Table, columns: &[(usize, ArrayRef)]) -> Vec<usize> {
    let key = table.primary_key.as_ref().map_or(&[][..], |key| &key.columns);
    columns.iter().map(|(column, _)| *column).filter(|column| !key.contains(column)).collect()
}

/// The statement, when it has ON CONFLICT.
fn upsert(run: &Run) -> Option<&Insert> {
    let Kind::Sql(statement) = &run.parsed.kind else { return None };
    match statement.as_ref() {
        Sql::Insert(insert) => insert.on.is_some().then_some(insert),
        _ => None,
    }
}

fn changed(table: &Table) -> Error {
    let message = format!("could not write to table \"{}\" because its definition has changed", table.name);
    Error::new(SERIALIZATION_FAILURE, message).with_hint("Try again.")
}

/// One row for each key: in every column the last value that is there. A key that is not given whole is its own.
fn merged(columns: Vec<(usize, ArrayRef)>, key: &[usize], rows: usize) -> Result<(Vec<(usize, ArrayRef)>, usize)> {
    let of_key = |column: &usize| columns.iter().find(|(given, _)| given == column).map(|(_, values)| values.clone());
    let Some(keys) = key.iter().map(of_key).collect::<Option<Vec<ArrayRef>>>() else { return Ok((columns, rows)) };
    let sort = keys.iter().map(|values| SortField::new(values.data_type().clone())).collect();
    let encoded = RowConverter::new(sort)?.convert_columns(&keys)?;
    let mut numbers: HashMap<OwnedRow, u32> = HashMap::with_capacity(rows);
    let mut of_row: Vec<u32> = Vec::with_capacity(rows);
    for row in 0..rows {
        let next = numbers.len() as u32;
        of_row.push(match numbers.entry(encoded.row(row).owned()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => *new.insert(next),
        });
    }
    if numbers.len() == rows {
        return Ok((columns, rows));
    }
    let last_given = |values: &ArrayRef| -> Result<ArrayRef> {
        let mut from = vec![0u32; numbers.len()];
        let mut is_given = vec![false; numbers.len()];
        for (row, &number) in of_row.iter().enumerate() {
            let (number, is_valid) = (number as usize, values.is_valid(row));
            if is_valid || !is_given[number] {
                from[number] = row as u32;
                is_given[number] |= is_valid;
            }
        }
        Ok(take(values, &UInt32Array::from(from), None)?)
    };
    let columns = columns.iter().map(|(column, values)| Ok((*column, last_given(values)?))).collect::<Result<_>>()?;
    Ok((columns, numbers.len()))
}
