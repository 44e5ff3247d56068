//! Primary keys and unique indexes: no two rows of a table have the same. A unique index leaves rows alone that have a NULL.
//!
//! What a statement adds is checked at its end, under locks on the keys: who adds a key holds the lock on it until its transaction ends, and so
//! does who takes one out. [`NewKeys`] sees the rows as they come. While they arrive in ranges of the key
//! that do not overlap, each in strictly ascending order, they are different without more work, which is how bulk loads mostly
//! come; only the first and last key of each batch is kept, and where the table has no key between them there is nothing to look up. Otherwise the keys of up to [`HELD_ROWS_MAX`] rows are compared by
//! hashing, and those of larger statements by reading the key columns of the table as it is afterwards: of all rows, or of those whose keys others may have by the bounds
//! of their blocks. Rows that were
//! there before are found by storage's point lookup, in the table or in the index; many in an index by reading all of it.

use crate::error::{Error, Result};
use crate::provider::arrow_schema;
use crate::sqlstate::{INTERNAL_ERROR, UNIQUE_VIOLATION};
use crate::text::TextColumn;
use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::kernels::cmp::{eq, gt};
use arrow::compute::{and, concat, filter, or};
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use lightning_catalog::Table;
use lightning_storage::{KeyMode, Locking, Predicate, Scan, ScanSpec, Snapshot, TableId, Transaction};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Rows whose keys are kept until the statement's end.
const HELD_ROWS_MAX: usize = 1 << 18;
/// Keys compared at a time when the whole table is read.
const PASS_KEYS_MAX: u64 = 1 << 21;

/// How often a row may be read to compare the keys of parts of the table; beyond that the table is read once.
const READS_PER_ROW_MAX: u64 = 8;

/// Rows of an index that are read in the time that one key takes to be looked up.
const ROWS_PER_LOOKUP: u64 = 500;

/// Columns that no two rows of a table share: its primary key, or those of a unique index.
#[derive(Clone, Debug)]
pub struct UniqueKey {
    table: TableId,
    /// The index that leads to its rows; `None` for the primary key, by which the table is found itself.
    index: Option<TableId>,
    relation: String,
    constraint: String,
    columns: Vec<usize>,
    names: Vec<String>,
    sort: Vec<SortField>,
    zone: Tz,
}

impl UniqueKey {
    /// The primary key of a table, if it has one. Messages show time stamps in `zone`.
    pub fn primary(table: &Table, zone: Tz) -> Option<UniqueKey> {
        let key = table.primary_key.as_ref()?;
        Some(UniqueKey::new(table, None, &key.name, key.columns.clone(), zone))
    }

    /// The keys of a table's unique indexes.
    pub fn of_indexes(table: &Table, zone: Tz) -> Vec<UniqueKey> {
        let unique = table.indexes.iter().filter(|index| index.is_unique);
        unique
            .map(|index| {
                let storage = Some(index.storage_table());
                UniqueKey::new(table, storage, &index.name, index.column_indexes(), zone)
            })
            .collect()
    }

    /// All keys of a table, that of the primary key first.
    pub fn all(table: &Table, zone: Tz) -> Vec<UniqueKey> {
        UniqueKey::primary(table, zone).into_iter().chain(UniqueKey::of_indexes(table, zone)).collect()
    }

    /// The key that columns of a table are to be, before there is an index.
    pub(crate) fn of_columns(table: &Table, name: &str, columns: Vec<usize>, zone: Tz) -> UniqueKey {
        UniqueKey::new(table, None, name, columns, zone)
    }

    fn new(table: &Table, index: Option<TableId>, constraint: &str, columns: Vec<usize>, zone: Tz) -> UniqueKey {
        let schema = arrow_schema(&table.columns);
        UniqueKey {
            table: table.storage_table(),
            index,
            relation: table.name.clone(),
            constraint: constraint.to_owned(),
            names: columns.iter().map(|c| table.columns[*c].name.clone()).collect(),
            sort: columns.iter().map(|c| SortField::new(schema.field(*c).data_type().clone())).collect(),
            columns,
            zone,
        }
    }

    /// The columns, in key order.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The constraint's name.
    pub fn constraint(&self) -> &str {
        &self.constraint
    }

    /// What the keys are locked in.
    pub(crate) fn locked_table(&self) -> TableId {
        self.index.unwrap_or(self.table)
    }

    /// Key columns of a batch of whole rows.
    pub fn keys(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.columns.iter().map(|c| Arc::clone(batch.column(*c))).collect()
    }

    /// Keys that can be taken: those without NULL.
    pub(crate) fn without_nulls(keys: Vec<ArrayRef>) -> Result<Vec<ArrayRef>> {
        if keys.iter().all(|column| column.null_count() == 0) {
            return Ok(keys);
        }
        let rows = keys.first().map_or(0, |column| column.len());
        let is_whole: BooleanArray =
            (0..rows).map(|row| Some(keys.iter().all(|column| column.is_valid(row)))).collect();
        Ok(keys.iter().map(|column| filter(column, &is_whole)).collect::<std::result::Result<_, _>>()?)
    }

    /// The keys that are only in one of two lists.
    pub(crate) fn differing(&self, one: &[ArrayRef], other: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let converter = self.converter()?;
        let (left, right) = (converter.convert_columns(one)?, converter.convert_columns(other)?);
        let only = |rows: &Rows, others: &Rows| -> BooleanArray {
            let known: HashSet<&[u8]> = others.iter().map(|row| row.data()).collect();
            rows.iter().map(|row| Some(!known.contains(row.data()))).collect()
        };
        let (in_one, in_other) = (only(&left, &right), only(&right, &left));
        let column = |(one, other): (&ArrayRef, &ArrayRef)| -> Result<ArrayRef> {
            Ok(concat(&[filter(one, &in_one)?.as_ref(), filter(other, &in_other)?.as_ref()])?)
        };
        one.iter().zip(other).map(column).collect()
    }

    /// The places in `snapshot` of the rows that have `keys`, none of which has a NULL.
    pub(crate) fn places(&self, snapshot: &Snapshot, keys: &[ArrayRef]) -> Result<Vec<Option<u64>>> {
        let Some(index) = self.index else { return Ok(snapshot.locate(self.table, keys)?) };
        let (entries, numbers) = snapshot.entries_with(index, keys)?;
        let places = snapshot.places_of(index, &entries)?;
        let mut found = vec![None; keys.first().map_or(0, |column| column.len())];
        let converter = self.converter()?;
        let (wanted, entries) =
            (converter.convert_columns(keys)?, converter.convert_columns(&entries.columns()[..keys.len()])?);
        for ((entry, number), place) in entries.iter().zip(numbers).zip(places.values()) {
            if entry == wanted.row(number as usize) {
                found[number as usize] = Some(*place);
            }
        }
        Ok(found)
    }

    /// Fails when two rows of the table have one key, as it does that an index is made for.
    pub(crate) fn check_table(&self, snapshot: &Snapshot) -> Result<()> {
        whole_table(self, snapshot).map_err(|mut error| {
            if error.state() == UNIQUE_VIOLATION {
                error.0.message = format!("could not create unique index \"{}\"", self.constraint);
                error.0.detail = error.0.detail.map(|detail| detail.replace("already exists.", "is duplicated."));
            }
            error
        })
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

    /// Checks in `now` the new versions `rows` of the rows at `gone`.
    pub(crate) fn check(self, now: &Snapshot, rows: &[RecordBatch], gone: Gone<'_>) -> Result<()> {
        let mut keys = NewKeys::new(self).keeping_all();
        rows.iter().try_for_each(|batch| keys.add(batch))?;
        keys.finish(now, gone, || Ok(now.clone()))
    }
}

/// Rows that a statement takes out: places in a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Gone<'a> {
    /// The snapshot.
    pub snapshot: &'a Snapshot,
    /// The places.
    pub places: &'a [u64],
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
        let keys = UniqueKey::without_nulls(self.key.keys(batch))?;
        let rows = keys.first().map_or(0, |column| column.len());
        if rows == 0 {
            return Ok(());
        }
        self.rows += rows;
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

    /// The locks under which the keys can be checked: theirs, or the table's when they are many. `None` when there are no keys.
    pub fn lock(&self, transaction: &Transaction) -> lightning_storage::Result<Option<Locking>> {
        let table = self.key.locked_table();
        match &self.held {
            _ if self.rows == 0 => Ok(None),
            Some(held) if self.rows <= Transaction::LOCKED_KEYS_MAX => {
                let column = |column: usize| {
                    let pieces: Vec<&dyn Array> = held.iter().map(|keys| keys[column].as_ref()).collect();
                    concat(&pieces)
                };
                let keys = (0..self.key.columns.len()).map(column).collect::<std::result::Result<Vec<_>, _>>()?;
                transaction.lock_keys(table, &keys, KeyMode::Update).map(Some)
            }
            _ => Ok(Some(transaction.lock_table_alone(table))),
        }
    }

    /// Fails when two rows have one key. `before` is the table without the statement's rows, of which those that are `gone` go
    /// with the statement; `after` is the table with them. For a primary key `gone` is of `before` itself.
    pub fn finish(
        self,
        before: &Snapshot,
        gone: Gone<'_>,
        after: impl FnOnce() -> lightning_storage::Result<Snapshot>,
    ) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let empty = before.table(self.key.table)?.rows == 0;
        if self.ranges.is_some() && empty {
            return Ok(());
        }
        if self.lie_beside(before)? {
            return Ok(());
        }
        let Some(held) = &self.held else { return self.different_in(&after()?) };
        if self.ranges.is_none() {
            self.different(held)?;
        }
        match self.key.index {
            _ if empty => Ok(()),
            None => self.new_to_table(before, held, gone.places),
            Some(index) => self.new_to_index(index, before, held, gone),
        }
    }

    /// Whether the keys are known to differ and no row of `before` is among their ranges, as when a load goes on behind the last key.
    fn lie_beside(&self, before: &Snapshot) -> Result<bool> {
        let (Some(converter), Some(ranges)) = (&self.converter, &self.ranges) else { return Ok(false) };
        let (table, column) = match self.key.index {
            Some(index) => (index, 0),
            None => (self.key.table, self.key.columns[0]),
        };
        for (first, last) in ranges {
            let first_of = |row: &OwnedRow| -> Result<ArrayRef> {
                let columns = converter.convert_rows([row.row()])?;
                columns.into_iter().next().ok_or_else(|| Error::new(INTERNAL_ERROR, "a key without columns"))
            };
            let between = Predicate::Between { column, low: first_of(first)?, high: first_of(last)? };
            if before.key_rows(table, &[between])?.is_none_or(|rows| rows.rows_max() > 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether keys of the table as it is afterwards differ: by reading the rows that storage does not know to differ, or all.
    fn different_in(&self, after: &Snapshot) -> Result<()> {
        let rows = after.table(self.key.table)?.rows;
        let overlaps = match self.key.index {
            None => after.key_overlaps(self.key.table, &self.key.columns)?,
            Some(_) => None,
        };
        let Some(overlaps) = overlaps else { return whole_table(&self.key, after) };
        let mut scans = Vec::with_capacity(overlaps.len());
        let mut rows_read = 0;
        for predicates in overlaps {
            let spec = ScanSpec { projection: self.key.columns.clone(), predicates, ..ScanSpec::default() };
            let scan = after.scan(self.key.table, spec)?;
            rows_read += scan.rows_upper_bound();
            if rows_read > rows * READS_PER_ROW_MAX {
                return whole_table(&self.key, after);
            }
            scans.push(scan);
        }
        for scan in &scans {
            if !all_differ(&self.key, scan)? {
                return whole_table(&self.key, after);
            }
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

    fn new_to_index(&self, index: TableId, before: &Snapshot, held: &[Vec<ArrayRef>], gone: Gone<'_>) -> Result<()> {
        let gone = GoneEntries::new(index, gone)?;
        let converter = self.key.converter()?;
        if self.rows as u64 * ROWS_PER_LOOKUP > before.table(index)?.rows {
            return self.new_to_whole_index(index, before, held, &gone);
        }
        for keys in held {
            let (entries, numbers) = before.entries_with(index, keys)?;
            let stays = gone.staying(&entries)?;
            let (wanted, found) =
                (converter.convert_columns(keys)?, converter.convert_columns(&entries.columns()[..keys.len()])?);
            for ((entry, number), stays) in found.iter().zip(numbers).zip(stays) {
                if stays && entry == wanted.row(number as usize) {
                    return Err(self.key.violation(keys, number as usize));
                }
            }
        }
        Ok(())
    }

    /// The same by reading all of the index.
    fn new_to_whole_index(
        &self,
        index: TableId,
        before: &Snapshot,
        held: &[Vec<ArrayRef>],
        gone: &GoneEntries,
    ) -> Result<()> {
        let converter = self.key.converter()?;
        let mut wanted: HashMap<OwnedRow, (usize, usize)> = HashMap::with_capacity(self.rows);
        for (batch, keys) in held.iter().enumerate() {
            let rows = converter.convert_columns(keys)?;
            wanted.extend(rows.iter().enumerate().map(|(row, key)| (key.owned(), (batch, row))));
        }
        let columns = before.table(index)?.definition.schema.fields().len();
        let spec = ScanSpec { projection: (0..columns).collect(), ..ScanSpec::default() };
        for entries in before.scan(index, spec)?.reader() {
            let entries = entries?;
            let stays = gone.staying(&entries)?;
            let keys = converter.convert_columns(&entries.columns()[..self.key.columns.len()])?;
            for (key, stays) in keys.iter().zip(stays) {
                if let (true, Some((batch, row))) = (stays, wanted.get(&key.owned())) {
                    return Err(self.key.violation(&held[*batch], *row));
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

/// Entries of an index that go with a statement.
#[derive(Debug)]
struct GoneEntries {
    converter: RowConverter,
    entries: HashSet<OwnedRow>,
}

impl GoneEntries {
    fn new(index: TableId, gone: Gone<'_>) -> Result<GoneEntries> {
        let entries = gone.snapshot.index_entries(index, &UInt64Array::from(gone.places.to_vec()))?;
        let types = entries.columns().iter().map(|column| SortField::new(column.data_type().clone()));
        let converter = RowConverter::new(types.collect())?;
        let entries = converter.convert_columns(entries.columns())?.iter().map(|row| row.owned()).collect();
        Ok(GoneEntries { converter, entries })
    }

    /// Which of `entries` stay.
    fn staying(&self, entries: &RecordBatch) -> Result<Vec<bool>> {
        if self.entries.is_empty() {
            return Ok(vec![true; entries.num_rows()]);
        }
        let rows = self.converter.convert_columns(entries.columns())?;
        Ok(rows.iter().map(|row| !self.entries.contains(&row.owned())).collect())
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
            let keys = UniqueKey::without_nulls(batch?.columns().to_vec())?;
            for (number, row) in converter.convert_columns(&keys)?.iter().enumerate() {
                let bytes = row.as_ref();
                if passes > 1 && fnv(bytes) % passes != pass {
                    continue;
                }
                if !seen.insert(bytes.into()) {
                    return Err(key.violation(&keys, number));
                }
            }
        }
    }
    Ok(())
}

/// Fails when two rows of a scan of the key columns have one key; `false` when there are too many to be compared at once.
fn all_differ(key: &UniqueKey, scan: &Scan) -> Result<bool> {
    let converter = key.converter()?;
    let mut seen: HashSet<OwnedRow> = HashSet::new();
    for batch in scan.reader() {
        let keys = UniqueKey::without_nulls(batch?.columns().to_vec())?;
        for (number, row) in converter.convert_columns(&keys)?.iter().enumerate() {
            if !seen.insert(row.owned()) {
                return Err(key.violation(&keys, number));
            }
        }
        if seen.len() as u64 > PASS_KEYS_MAX {
            return Ok(false);
        }
    }
    Ok(true)
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
