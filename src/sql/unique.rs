//! Primary keys: no two rows of a table have the same.
//!
//! What a statement adds is checked at its end. [`NewKeys`] sees the rows as they come. While they arrive in ranges of the key
//! that do not overlap, each in strictly ascending order, they are different without more work, which is how bulk loads mostly
//! come; only the first and last key of each batch is kept. Otherwise the keys of up to [`HELD_ROWS_MAX`] rows are compared by
//! hashing, and those of larger statements by reading the key columns of the whole table as it is afterwards. Rows that were
//! there before are found by storage's point lookup.

use crate::error::{Error, Result};
use crate::provider::arrow_schema;
use crate::sqlstate::UNIQUE_VIOLATION;
use crate::text::TextColumn;
use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::kernels::cmp::{eq, gt};
use arrow::compute::{and, concat, or};
use arrow::row::{OwnedRow, RowConverter, SortField};
use lightning_catalog::Table;
use lightning_storage::{KeyMode, Locking, ScanSpec, Snapshot, TableId, Transaction};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Rows whose keys are kept until the statement's end.
const HELD_ROWS_MAX: usize = 1 << 18;
/// Keys compared at a time when the whole table is read.
const PASS_KEYS_MAX: u64 = 1 << 21;

/// A table's primary key.
#[derive(Clone, Debug)]
pub struct UniqueKey {
    table: TableId,
    relation: String,
    constraint: String,
    columns: Vec<usize>,
    names: Vec<String>,
    sort: Vec<SortField>,
    zone: Tz,
}

impl UniqueKey {
    /// The key of a table, if it has one. Messages show time stamps in `zone`.
    pub fn of(table: &Table, zone: Tz) -> Option<UniqueKey> {
        let key = table.primary_key.as_ref()?;
        let schema = arrow_schema(&table.columns);
        Some(UniqueKey {
            table: table.storage_table(),
            relation: table.name.clone(),
            constraint: key.name.clone(),
            columns: key.columns.clone(),
            names: key.columns.iter().map(|c| table.columns[*c].name.clone()).collect(),
            sort: key.columns.iter().map(|c| SortField::new(schema.field(*c).data_type().clone())).collect(),
            zone,
        })
    }

    /// The columns, in key order.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The constraint's name.
    pub fn constraint(&self) -> &str {
        &self.constraint
    }

    /// Key columns of a batch of whole rows.
    pub fn keys(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.columns.iter().map(|c| Arc::clone(batch.column(*c))).collect()
    }

    /// Turns keys into rows that compare as keys do.
    pub(crate) fn converter(&self) -> Result<RowConverter> {
        Ok(RowConverter::new(self.sort.clone())?)
    }

    /// `duplicate key value violates unique constraint`.
    pub(crate) fn violation(&self, keys: &[ArrayRef], row: usize) -> Error {
        let shown: Vec<String> = keys
            .iter()
            .map(|values| match TextColumn::new(values, self.zone) {
                Ok(text) => text.value(row).unwrap_or_else(|| "null".to_owned()),
                Err(_) => "?".to_owned(),
            })
            .collect();
        let message = format!("duplicate key value violates unique constraint \"{}\"", self.constraint);
        let mut error = Error::new(UNIQUE_VIOLATION, message)
            .with_detail(format!("Key ({})=({}) already exists.", self.names.join(", "), shown.join(", ")))
            .with_table(&self.relation);
        error.0.constraint = Some(self.constraint.clone());
        error
    }

    /// Checks the new versions of the rows at `places`.
    pub(crate) async fn check(&self, snapshot: &Snapshot, rows: &[RecordBatch], places: &[u64]) -> Result<()> {
        let (key, snapshot, rows, places) = (self.clone(), snapshot.clone(), rows.to_vec(), places.to_vec());
        crate::transaction::blocking(move || {
            let mut keys = NewKeys::new(key).keeping_all();
            rows.iter().try_for_each(|batch| keys.add(batch))?;
            keys.finish(&snapshot, &places, || Ok(snapshot.clone()))
        })
        .await?
    }
}

/// The keys of rows a statement adds.
#[derive(Debug)]
pub struct NewKeys {
    key: UniqueKey,
    converter: Option<RowConverter>,
    /// First and last keys of batches, while those prove that all keys differ.
    ranges: Option<BTreeMap<OwnedRow, OwnedRow>>,
    /// All keys, while they are few.
    held: Option<Vec<Vec<ArrayRef>>>,
    held_max: usize,
    rows: usize,
}

impl NewKeys {
    /// No rows yet.
    pub fn new(key: UniqueKey) -> NewKeys {
        NewKeys {
            key,
            converter: None,
            ranges: Some(BTreeMap::new()),
            held: Some(Vec::new()),
            held_max: HELD_ROWS_MAX,
            rows: 0,
        }
    }

    /// Keeps every key, so that [`NewKeys::finish`] need not read the table afterwards.
    pub(crate) fn keeping_all(mut self) -> NewKeys {
        self.held_max = usize::MAX;
        self
    }

    /// More rows.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows();
        let keys = self.key.keys(batch);
        if self.ranges.is_some() && !self.extends_ranges(&keys)? {
            self.ranges = None;
        }
        match &mut self.held {
            Some(held) if self.rows <= self.held_max => held.push(keys),
            _ => self.held = None,
        }
        Ok(())
    }

    /// Whether the keys ascend and lie between those known.
    fn extends_ranges(&mut self, keys: &[ArrayRef]) -> Result<bool> {
        if !strictly_ascending(keys)? {
            return Ok(false);
        }
        if self.converter.is_none() {
            self.converter = Some(self.key.converter()?);
        }
        let (Some(converter), Some(ranges)) = (&self.converter, &mut self.ranges) else { return Ok(false) };
        let last = keys.first().map_or(0, |k| k.len()) - 1;
        let ends: Vec<ArrayRef> = keys.iter().map(|k| k.slice(0, 1)).collect();
        let first_row = converter.convert_columns(&ends)?.row(0).owned();
        let ends: Vec<ArrayRef> = keys.iter().map(|k| k.slice(last, 1)).collect();
        let last_row = converter.convert_columns(&ends)?.row(0).owned();
        let overlaps = ranges.range(..=&last_row).next_back().is_some_and(|(_, end)| *end >= first_row);
        if !overlaps {
            ranges.insert(first_row, last_row);
        }
        Ok(!overlaps)
    }

    /// The locks under which the keys can be checked: theirs, or the table's when they are many.
    pub fn lock(&self, transaction: &Transaction) -> lightning_storage::Result<Locking> {
        let table = self.key.table;
        match &self.held {
            Some(held) if self.rows <= Transaction::LOCKED_KEYS_MAX && self.rows > 0 => {
                let column = |column: usize| {
                    let pieces: Vec<&dyn Array> = held.iter().map(|keys| keys[column].as_ref()).collect();
                    concat(&pieces)
                };
                let keys = (0..self.key.columns.len()).map(column).collect::<std::result::Result<Vec<_>, _>>()?;
                transaction.lock_keys(table, &keys, KeyMode::Update)
            }
            _ => Ok(transaction.lock_table_alone(table)),
        }
    }

    /// Fails when two rows have one key. `before` is the table without the statement's rows, of which those at `deleted` places go
    /// with the statement; `after` is the table with them.
    pub fn finish(
        self,
        before: &Snapshot,
        deleted: &[u64],
        after: impl FnOnce() -> lightning_storage::Result<Snapshot>,
    ) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let empty = before.table(self.key.table)?.rows == 0;
        if self.ranges.is_some() && empty {
            return Ok(());
        }
        let Some(held) = &self.held else { return whole_table(&self.key, &after()?) };
        if self.ranges.is_none() {
            self.different(held)?;
        }
        if !empty {
            self.new_to_table(before, held, deleted)?;
        }
        Ok(())
    }

    fn different(&self, held: &[Vec<ArrayRef>]) -> Result<()> {
        let converter = self.key.converter()?;
        let mut seen: HashSet<OwnedRow> = HashSet::with_capacity(self.rows);
        for keys in held {
            for (number, row) in converter.convert_columns(keys)?.iter().enumerate() {
                if !seen.insert(row.owned()) {
                    return Err(self.key.violation(keys, number));
                }
            }
        }
        Ok(())
    }

    fn new_to_table(&self, before: &Snapshot, held: &[Vec<ArrayRef>], deleted: &[u64]) -> Result<()> {
        let deleted: HashSet<u64> = deleted.iter().copied().collect();
        for keys in held {
            let found = before.locate(self.key.table, keys)?;
            let taken = found.iter().position(|place| place.is_some_and(|place| !deleted.contains(&place)));
            if let Some(row) = taken {
                return Err(self.key.violation(keys, row));
            }
        }
        Ok(())
    }
}

/// Whether each key is greater than the one before it.
fn strictly_ascending(keys: &[ArrayRef]) -> Result<bool> {
    let rows = keys.first().map_or(0, |k| k.len());
    if rows < 2 {
        return Ok(true);
    }
    let mut greater: Option<BooleanArray> = None;
    for column in keys.iter().rev() {
        let (next, previous) = (column.slice(1, rows - 1), column.slice(0, rows - 1));
        let above = gt(&next, &previous)?;
        greater = Some(match greater {
            None => above,
            Some(rest) => or(&above, &and(&eq(&next, &previous)?, &rest)?)?,
        });
    }
    Ok(greater.is_none_or(|greater| greater.true_count() == rows - 1))
}

/// Reads all keys of a table, in as many passes as memory asks for, each over those whose hash falls to it.
fn whole_table(key: &UniqueKey, snapshot: &Snapshot) -> Result<()> {
    let passes = snapshot.statistics(key.table)?.rows.div_ceil(PASS_KEYS_MAX).max(1);
    let converter = key.converter()?;
    for pass in 0..passes {
        let mut seen: HashSet<Box<[u8]>> = HashSet::new();
        let spec = ScanSpec { projection: key.columns.clone(), ..ScanSpec::default() };
        for batch in snapshot.scan(key.table, spec)?.reader() {
            let batch = batch?;
            for (number, row) in converter.convert_columns(batch.columns())?.iter().enumerate() {
                let bytes = row.as_ref();
                if passes > 1 && fnv(bytes) % passes != pass {
                    continue;
                }
                if !seen.insert(bytes.into()) {
                    return Err(key.violation(batch.columns(), number));
                }
            }
        }
    }
    Ok(())
}

/// FNV-1a, to divide keys among passes.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;

    #[test]
    fn ascending_keys_are_told_from_others() {
        let column = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        assert!(strictly_ascending(&[column(&[1, 2, 3])]).unwrap());
        assert!(!strictly_ascending(&[column(&[1, 2, 2])]).unwrap());
        assert!(strictly_ascending(&[column(&[1, 1, 2]), column(&[1, 2, 1])]).unwrap());
        assert!(!strictly_ascending(&[column(&[1, 1, 2]), column(&[2, 1, 1])]).unwrap());
        assert!(strictly_ascending(&[column(&[7])]).unwrap());
    }
}
