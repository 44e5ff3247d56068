//! What a table is: its definition, fixed from creation to drop, and the check that rows fit it.
//!
//! Every table has a key that tells its rows apart: the one it was defined with, or a row number, a hidden last column that counts
//! the rows ever added. Log records name rows by it, and tables are in its order.
//!
//! Storage compares data types only. Field metadata is kept but never read, and a column declared without NULLs is
//! checked here because encoders rely on it.

use crate::batch_bytes::{schema_from_bytes, schema_to_bytes};
use crate::error::{Error, Result};
use crate::ids::{TableId, Timestamp};
use crate::index::IndexOf;
use crate::key::{KeyColumn, KeyEncoder, KeyRange};
use crate::partition::{Partition, PartitionBy, PartitionWidth};
use crate::predicate::{CompareOp, Predicate};
use crate::row::RowFormat;
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

/// Name of the hidden column, for who looks at files.
const ROW_NUMBER: &str = "row number";

/// What a new table is.
#[derive(Clone, Debug)]
pub struct TableDefinition {
    /// Columns. Metadata is kept.
    pub schema: SchemaRef,
    /// Columns that rows are clustered by, ascending, NULLs last, and that tell them apart: no two rows may have the same
    /// key. Empty means arrival order.
    pub key: Vec<usize>,
    /// What it is an index of, if it is one.
    pub index: Option<IndexOf>,
    /// How its rows are kept apart, if they are.
    pub partition: Option<PartitionBy>,
    /// Which column is its time, when transactions are to say which times they touch; of a type that can part rows.
    pub time: Option<usize>,
}

/// A table as a snapshot sees it.
#[derive(Clone, Debug)]
pub struct TableInfo {
    /// Its definition.
    pub definition: TableDefinition,
    /// Rows visible.
    pub rows: u64,
    /// Bytes on disk of its segments.
    pub bytes: u64,
    /// Column blocks.
    pub blocks: usize,
    /// Rows in memory, not yet in segments.
    pub mem_rows: u64,
}

/// Bit of the number of key columns: it is an index.
const INDEX: u32 = 1 << 31;
/// Bit of the number of key columns: it is partitioned.
const PARTITIONED: u32 = 1 << 30;
/// Bit of the number of key columns: it has a time.
const TIMED: u32 = 1 << 29;

impl TableDefinition {
    /// A table that is no index and not partitioned.
    pub fn new(schema: SchemaRef, key: Vec<usize>) -> TableDefinition {
        TableDefinition { schema, key, index: None, partition: None, time: None }
    }

    /// Bytes for log and manifest: number of key columns `u32`, the columns `u32` each, the schema as Arrow IPC has it. For an index
    /// the top bit of the number is set, and before the schema come the id `u64` of its table, the number of columns `u32`, the columns `u32` each. For a
    /// partitioned table the bit below is set, and before the schema come the column `u32`, 0 for values or 1 for months `u32`, and how many `u64`. For one with
    /// a time it is the next bit, and the column `u32`.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let index = if self.index.is_some() { INDEX } else { 0 };
        let partitioned = if self.partition.is_some() { PARTITIONED } else { 0 };
        let timed = if self.time.is_some() { TIMED } else { 0 };
        let mut bytes = (self.key.len() as u32 | index | partitioned | timed).to_le_bytes().to_vec();
        self.key.iter().for_each(|&column| bytes.extend((column as u32).to_le_bytes()));
        if let Some(of) = &self.index {
            bytes.extend(of.table.0.to_le_bytes());
            bytes.extend((of.columns.len() as u32).to_le_bytes());
            of.columns.iter().for_each(|&column| bytes.extend((column as u32).to_le_bytes()));
        }
        if let Some(by) = &self.partition {
            let (kind, width) = match by.width {
                PartitionWidth::Values(width) => (0u32, width as u64),
                PartitionWidth::Months(months) => (1, u64::from(months)),
            };
            bytes.extend((by.column as u32).to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(width.to_le_bytes());
        }
        self.time.iter().for_each(|&column| bytes.extend((column as u32).to_le_bytes()));
        bytes.extend(schema_to_bytes(&self.schema)?);
        Ok(bytes)
    }

    /// The definition in `bytes`, which passed a checksum.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<TableDefinition> {
        let malformed = || Error::Arrow("malformed table definition".into());
        let mut rest = bytes;
        let mut next = || -> Result<u32> {
            let (number, after) = rest.split_first_chunk().ok_or_else(malformed)?;
            rest = after;
            Ok(u32::from_le_bytes(*number))
        };
        let columns = next()?;
        let mut numbers = |count: u32| (0..count).map(|_| Ok(next()? as usize)).collect::<Result<Vec<_>>>();
        let key = numbers(columns & !(INDEX | PARTITIONED | TIMED))?;
        let index = match columns & INDEX {
            0 => None,
            _ => {
                let parts = numbers(3)?;
                let table = TableId(parts[0] as u64 | (parts[1] as u64) << 32);
                Some(IndexOf { table, columns: numbers(parts[2] as u32)? })
            }
        };
        let partition = match columns & PARTITIONED {
            0 => None,
            _ => {
                let parts = numbers(4)?;
                let width = parts[2] as u64 | (parts[3] as u64) << 32;
                let width = match parts[1] {
                    0 => PartitionWidth::Values(width as i64),
                    _ => PartitionWidth::Months(width as u32),
                };
                Some(PartitionBy { column: parts[0], width })
            }
        };
        let time = if columns & TIMED == 0 { None } else { numbers(1)?.pop() };
        let definition = TableDefinition { schema: schema_from_bytes(rest)?, key, index, partition, time };
        if definition.key.iter().any(|&column| column >= definition.schema.fields().len())
            || !definition.can_be_parted()
        {
            return Err(malformed());
        }
        Ok(definition)
    }

    /// Whether there is a column that can part rows as wanted, if that is wanted.
    fn can_be_parted(&self) -> bool {
        let fits =
            |by: &PartitionBy| self.schema.fields().get(by.column).is_some_and(|field| by.fits(field.data_type()));
        let time = self.time.map(|column| PartitionBy { column, width: PartitionWidth::Values(1) });
        self.partition.iter().chain(&time).all(fits)
    }
}

/// The identity of a table: shared by every layout it ever has.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) id: TableId,
    pub(crate) definition: TableDefinition,
    /// Columns as stored: those of the definition, and the row number when it has no key.
    pub(crate) schema: SchemaRef,
    /// Columns that tell rows apart and order them.
    pub(crate) key: Vec<usize>,
    /// Makes bytes of keys; `None` when a key column's type has no order, and rows cannot be locked one by one.
    pub(crate) encoder: Option<KeyEncoder>,
    /// The form of single rows; `None` when a column has none or keys have no order: the table then has no delta tree.
    pub(crate) row_format: Option<RowFormat>,
    /// The next row number.
    next_row: AtomicI64,
    /// Carried by every record that touches the table and compared at the line.
    pub(crate) schema_version: u32,
    /// Known once committed.
    created_at: OnceLock<Timestamp>,
}

impl Table {
    /// A new table; refuses a key over columns that are not there.
    pub(crate) fn new(id: TableId, definition: TableDefinition) -> Result<Arc<Table>> {
        let columns = definition.schema.fields().len();
        if let Some(bad) = definition.key.iter().find(|&&k| k >= columns) {
            let detail = format!("key column {bad} of a table with {columns} columns");
            return Err(Error::SchemaMismatch { table: id, detail });
        }
        if !definition.can_be_parted() {
            return Err(Error::SchemaMismatch { table: id, detail: "a partition by what is no time".into() });
        }
        if let Some(field) =
            definition.schema.fields().iter().find(|f| matches!(f.data_type(), DataType::Dictionary(..)))
        {
            return Err(Error::Unsupported(format!("column \"{}\" of dictionary type cannot be stored", field.name())));
        }
        Ok(Arc::new(Table::with(id, definition, 1, OnceLock::new())))
    }

    /// A table the manifest knows.
    pub(crate) fn known(id: TableId, definition: TableDefinition, schema_version: u32, at: Timestamp) -> Arc<Table> {
        Arc::new(Table::with(id, definition, schema_version, OnceLock::from(at)))
    }

    fn with(id: TableId, definition: TableDefinition, schema_version: u32, created_at: OnceLock<Timestamp>) -> Table {
        let (mut schema, mut key) = (definition.schema.clone(), definition.key.clone());
        if key.is_empty() {
            key.push(schema.fields().len());
            let number = Arc::new(Field::new(ROW_NUMBER, DataType::Int64, false));
            let fields: Vec<_> = schema.fields().iter().cloned().chain([number]).collect();
            schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        }
        let column = |field: &Field| KeyColumn { data_type: field.data_type().clone(), nullable: field.is_nullable() };
        let columns: Vec<KeyColumn> = key.iter().map(|&c| column(schema.field(c))).collect();
        let encoder = KeyEncoder::new(&columns).ok();
        let row_format = encoder.as_ref().and_then(|_| RowFormat::new(&schema));
        let next_row = AtomicI64::new(1);
        Table { id, definition, schema, key, encoder, row_format, next_row, schema_version, created_at }
    }

    /// Whether rows are told apart by a number that the table's definition does not know.
    pub(crate) fn has_row_numbers(&self) -> bool {
        self.definition.key.is_empty()
    }

    /// Rows by partition; the same rows when the table has none.
    pub(crate) fn split(&self, rows: RecordBatch) -> Result<Vec<(Partition, RecordBatch)>> {
        self.definition.partition.as_ref().map_or_else(|| Ok(vec![(None, rows.clone())]), |by| by.split(rows.clone()))
    }

    /// The row number to go on with.
    pub(crate) fn next_row(&self) -> i64 {
        self.next_row.load(Ordering::Relaxed)
    }

    /// Never gives out row numbers below this one.
    pub(crate) fn reserve_rows(&self, next: i64) {
        self.next_row.fetch_max(next, Ordering::Relaxed);
    }

    /// The key's columns of a batch of whole rows.
    pub(crate) fn key_columns(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.key.iter().map(|&column| batch.column(column).clone()).collect()
    }

    /// The keys that rows satisfying all of `predicates` can have.
    pub(crate) fn key_range(&self, predicates: &[Predicate]) -> Result<KeyRange> {
        let Some(encoder) = self.encoder.as_ref().filter(|_| !self.has_row_numbers()) else {
            return Ok(KeyRange::all());
        };
        let mut prefix: Vec<ArrayRef> = vec![];
        for &column in &self.key {
            // Equal intervals can be different keys.
            if matches!(self.schema.field(column).data_type(), DataType::Interval(_)) {
                break;
            }
            let (mut low, mut high, mut exact) = (Bound::Unbounded, Bound::Unbounded, None);
            for predicate in predicates.iter().filter(|predicate| predicate.column() == column) {
                match predicate {
                    Predicate::Compare { op: CompareOp::Eq, value, .. } => exact = Some(value.clone()),
                    Predicate::Compare { op: CompareOp::Gt, value, .. } => low = Bound::Excluded(value.clone()),
                    Predicate::Compare { op: CompareOp::GtEq, value, .. } => low = Bound::Included(value.clone()),
                    Predicate::Compare { op: CompareOp::Lt, value, .. } => high = Bound::Excluded(value.clone()),
                    Predicate::Compare { op: CompareOp::LtEq, value, .. } => high = Bound::Included(value.clone()),
                    Predicate::Between { low: from, high: to, .. } => {
                        (low, high) = (Bound::Included(from.clone()), Bound::Included(to.clone()));
                    }
                    Predicate::In { values, .. } if values.len() == 1 => exact = Some(values.clone()),
                    Predicate::IsNull { .. } if self.schema.field(column).is_nullable() => {
                        exact = Some(new_null_array(self.schema.field(column).data_type(), 1));
                    }
                    _ => {}
                }
            }
            if let Some(value) = exact {
                prefix.push(value);
                continue;
            }
            let with = |bound: Bound<ArrayRef>| match bound {
                Bound::Unbounded if prefix.is_empty() => Bound::Unbounded,
                Bound::Unbounded => Bound::Included(prefix.clone()),
                Bound::Included(value) => Bound::Included([&prefix[..], &[value]].concat()),
                Bound::Excluded(value) => Bound::Excluded([&prefix[..], &[value]].concat()),
            };
            let (low, high) = (with(low), with(high));
            return encoder.range(low.as_ref().map(Vec::as_slice), high.as_ref().map(Vec::as_slice));
        }
        match prefix.is_empty() {
            true => Ok(KeyRange::all()),
            false => encoder.range(Bound::Included(&prefix), Bound::Included(&prefix)),
        }
    }

    /// Schema of a batch of keys.
    pub(crate) fn key_schema(&self) -> Result<SchemaRef> {
        Ok(Arc::new(self.schema.project(&self.key)?))
    }

    /// Notes which commit created it.
    pub(crate) fn originate(&self, at: Timestamp) {
        // Set twice only to the same: a commit has one timestamp.
        let _ = self.created_at.set(at);
    }

    /// The commit that created it; `None` before that.
    pub(crate) fn created_at(&self) -> Option<Timestamp> {
        self.created_at.get().copied()
    }

    /// `batch` as it is stored, if its columns have the right types and NULLs only where allowed.
    pub(crate) fn fit(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let schema = &self.definition.schema;
        if batch.num_columns() != schema.fields().len() {
            let detail = format!("{} columns instead of {}", batch.num_columns(), schema.fields().len());
            return Err(Error::SchemaMismatch { table: self.id, detail });
        }
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            if field.data_type() != column.data_type() {
                let detail = format!(
                    "column \"{}\" is of type {} but the rows have {}",
                    field.name(),
                    field.data_type(),
                    column.data_type()
                );
                return Err(Error::SchemaMismatch { table: self.id, detail });
            }
            if !field.is_nullable() && column.logical_null_count() > 0 {
                let detail = format!("NULL in column \"{}\", which does not allow it", field.name());
                return Err(Error::SchemaMismatch { table: self.id, detail });
            }
        }
        let mut columns = batch.columns().to_vec();
        if self.has_row_numbers() {
            let rows = batch.num_rows() as i64;
            let first = self.next_row.fetch_add(rows, Ordering::Relaxed);
            columns.push(Arc::new(Int64Array::from_iter_values(first..first + rows)));
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_round_trips_with_metadata_and_cut_bytes_are_errors() {
        let metadata = [("lightning.pg_type".to_string(), "1043:14".to_string())];
        let field = Field::new("c", DataType::Utf8View, false).with_metadata(metadata.into());
        let fields = vec![field, Field::new("d", DataType::Decimal128(15, 2), true)];
        let definition = TableDefinition::new(Arc::new(Schema::new(fields)), vec![1, 0]);
        let bytes = definition.to_bytes().unwrap();
        let back = TableDefinition::from_bytes(&bytes).unwrap();
        assert_eq!((&back.schema, &back.key), (&definition.schema, &definition.key));
        // The last bytes are padding.
        for len in 0..bytes.len() - 8 {
            assert!(TableDefinition::from_bytes(&bytes[..len]).is_err(), "length {len}");
        }
        let index = IndexOf { table: TableId(1 << 40 | 7), columns: vec![3, 0] };
        let definition = TableDefinition { index: Some(index.clone()), ..definition };
        let back = TableDefinition::from_bytes(&definition.to_bytes().unwrap()).unwrap();
        assert_eq!((back.key, back.index), (vec![1, 0], Some(index)));
    }
}
