//! Secondary indexes: tables that a transaction keeps in step with the table they are of.
//!
//! An index is a table of its own, with its own blocks, delta tree and log entries. Its rows are *entries*: the indexed columns, then
//! those of the indexed table's key that are not among them. All of an entry is its key, so entries are in the order of the indexed
//! columns, and an entry leads to one row. Who appends to or deletes from the indexed table does the same to the index in the same
//! transaction; so an index is always as old as its table, in every snapshot, after every crash.
//!
//! What must hold: in every snapshot each row has one entry in each index of its table, and there are no others. A transaction that began
//! to write before an index was there is refused ([`Error::TableChanged`]).

use crate::error::{Error, Result};
use crate::ids::TableId;
use crate::key::KEY_COLUMNS_MAX;
use crate::lookup::locate;
use crate::predicate::{CompareOp, Predicate};
use crate::scan::ScanSpec;
use crate::snapshot::Snapshot;
use crate::sort::Sorted;
use crate::table::{Table, TableDefinition};
use crate::transaction::Transaction;
use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;
use std::sync::Arc;

/// Entries sorted at a time while an index is built, in bytes: what is larger becomes several runs.
const SORTED_BYTES_MAX: usize = 256 << 20;

/// What an index is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexOf {
    /// The indexed table.
    pub table: TableId,
    /// The columns of the table, as it is stored, that entries have: the indexed ones and the rest of the key.
    pub columns: Vec<usize>,
}

impl IndexOf {
    /// The definition of an index of `table` over `columns`.
    pub(crate) fn define(table: &Table, columns: &[usize]) -> Result<TableDefinition> {
        if table.definition.index.is_some() {
            return Err(Error::Unsupported("an index of an index".into()));
        }
        let mut all: Vec<usize> = vec![];
        for &column in columns.iter().chain(&table.key) {
            if column >= table.schema.fields().len() {
                let detail = format!("index column {column} of a table with {}", table.schema.fields().len());
                return Err(Error::SchemaMismatch { table: table.id, detail });
            }
            if !all.contains(&column) {
                all.push(column);
            }
        }
        if all.len() > KEY_COLUMNS_MAX {
            return Err(Error::Unsupported(format!("an index of more than {KEY_COLUMNS_MAX} columns, key included")));
        }
        let schema = Arc::new(Schema::new(table.schema.project(&all)?.fields().clone()));
        let key = (0..all.len()).collect();
        Ok(TableDefinition {
            schema,
            key,
            index: Some(IndexOf { table: table.id, columns: all }),
            partition: None,
            time: None,
        })
    }
}

impl Table {
    /// The entries that this index has of whole rows of its table; `KeyTooLarge` when one is too long.
    pub(crate) fn entries(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let of = self.definition.index.as_ref().ok_or(Error::TableChanged(self.id))?;
        let entries = rows.project(&of.columns)?;
        self.check_entries(&entries)?;
        Ok(entries)
    }

    fn check_entries(&self, entries: &RecordBatch) -> Result<()> {
        self.encoder.as_ref().map_or(Ok(()), |encoder| encoder.check_lengths(entries.columns()))
    }
}

impl Transaction {
    /// Creates an index of a table over some of its columns and fills it with what this transaction sees. The table must be locked against
    /// writers until the transaction ends. `Unsupported` for columns whose type has no order.
    pub fn create_index(&mut self, table: TableId, columns: &[usize]) -> Result<TableId> {
        let definition = IndexOf::define(&*self.table(table)?, columns)?;
        let of = definition.index.clone().expect("defined above");
        let (snapshot, index) = (self.snapshot(), self.create_table(definition)?);
        let table_of_index = self.table(index)?;
        if table_of_index.encoder.is_none() {
            return Err(Error::Unsupported("an index over a column whose type has no order".into()));
        }
        let scan = snapshot.scan(table, ScanSpec { projection: of.columns.clone(), ..ScanSpec::default() })?;
        let (mut held, mut bytes) = (vec![], 0);
        let mut appender = self.appender(index)?;
        let mut flush = |held: &mut Vec<RecordBatch>| -> Result<()> {
            let Some(first) = held.first() else { return Ok(()) };
            let all = concat_batches(&first.schema(), held.iter())?;
            held.clear();
            let key: Vec<usize> = (0..all.num_columns()).collect();
            appender.push(Sorted::new(all, &key)?.batch)
        };
        for batch in scan.reader() {
            let batch = batch?;
            table_of_index.check_entries(&batch)?;
            bytes += batch.get_array_memory_size();
            held.push(batch);
            if bytes >= SORTED_BYTES_MAX {
                flush(&mut held)?;
                bytes = 0;
            }
        }
        flush(&mut held)?;
        appender.finish(self)?;
        Ok(index)
    }
}

impl Snapshot {
    /// The places in the indexed table of the rows that `entries` of an index lead to; `entries` has all columns of the index.
    pub fn places_of(&self, index: TableId, entries: &RecordBatch) -> Result<UInt64Array> {
        let index = &self.version().layout(index)?.table;
        let of = index.definition.index.as_ref();
        let of = of.ok_or_else(|| Error::Unsupported(format!("table {} is not an index", index.id)))?;
        let layout = self.version().layout(of.table)?;
        let position = |column: &usize| of.columns.iter().position(|known| known == column);
        let keys: Option<Vec<ArrayRef>> =
            layout.table.key.iter().map(|column| Some(entries.column(position(column)?).clone())).collect();
        let keys = keys.ok_or(Error::TableChanged(of.table))?;
        let places: Option<Vec<u64>> = locate(layout, &keys)?.into_iter().collect();
        places.map(UInt64Array::from).ok_or_else(|| dangling(of.table))
    }

    /// Entries that begin with `values`, one array for each of the first columns of `index`, and for each entry the number of its values,
    /// ascending. Entries with other values may be among them.
    pub fn entries_with(&self, index: TableId, values: &[ArrayRef]) -> Result<(RecordBatch, Vec<u32>)> {
        let table = &self.version().layout(index)?.table;
        let (mut places, mut numbers) = (vec![], vec![]);
        for row in 0..values.first().map_or(0, |column| column.len()) {
            let equal = values.iter().zip(&table.key).map(|(values, &column)| match values.is_null(row) {
                true => Predicate::IsNull { column },
                false => Predicate::Compare { column, op: CompareOp::Eq, value: values.slice(row, 1) },
            });
            let rows = self.key_rows(index, &equal.collect::<Vec<_>>())?;
            let rows = rows.ok_or_else(|| Error::Unsupported(format!("table {index} is not an index")))?;
            let found = rows.places()?;
            numbers.resize(numbers.len() + found.len(), row as u32);
            places.extend_from_slice(found.values());
        }
        let columns: Vec<usize> = (0..table.schema.fields().len()).collect();
        Ok((self.rows_at(index, &UInt64Array::from(places), &columns)?, numbers))
    }

    /// The entries in `index` of rows at `places` of its table.
    pub fn index_entries(&self, index: TableId, places: &UInt64Array) -> Result<RecordBatch> {
        let index = &self.version().layout(index)?.table;
        let of = index.definition.index.as_ref().ok_or(Error::TableChanged(index.id))?;
        self.rows_at(of.table, places, &of.columns)
    }

    /// The entries of `index` at which rows at `places` of its table are found.
    pub(crate) fn entries_of(&self, index: &Table, places: &UInt64Array) -> Result<UInt64Array> {
        let of = index.definition.index.as_ref().ok_or(Error::TableChanged(index.id))?;
        let rows = self.index_entries(index.id, places)?;
        let entries: Option<Vec<u64>> = locate(self.version().layout(index.id)?, rows.columns())?.into_iter().collect();
        entries.map(UInt64Array::from).ok_or_else(|| dangling(of.table))
    }
}

fn dangling(table: TableId) -> Error {
    Error::Corrupt {
        path: Default::default(),
        offset: 0,
        detail: format!("an index of table {table} does not agree with it"),
    }
}
