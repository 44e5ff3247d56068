//! A view of a delta tree as a block: decoded for scans, by key for points.

use super::summary::Counted;
use super::tree::Delta;
use super::view::{DeltaView, KeyList};
use super::{RowKey, RowKeys};
use crate::budget::Reservation;
use crate::error::Result;
use crate::key::KeyRange;
use crate::predicate::Predicate;
use crate::table::Table;
use arrow::array::RecordBatch;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};

/// A scan of less than one row in so many decodes these alone.
const PART: usize = 8;
/// Bit of a row number within a block: the row is named by its key.
const NAMED: usize = 1 << 31;

/// The rows of a view as a block: decoded when somebody scans it.
#[derive(Debug)]
pub(crate) struct DeltaBlock {
    view: DeltaView,
    rows: usize,
    decoded: OnceLock<DecodedRows>,
    names: Mutex<Names>,
}

/// What places call the rows of a batch.
pub(crate) type RowNames = Arc<Vec<u32>>;

/// All rows in key order.
#[derive(Debug)]
struct DecodedRows {
    batch: RecordBatch,
    keys: KeyList,
    /// What places call the rows, if some had names before.
    named: Option<RowNames>,
    _paid: Reservation,
}

/// Keys that places name. A row that got its first place before the block was decoded is called by its name ever after, any other by its
/// number: so it has one place, however it is found.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<Arc<[u8]>, usize>,
    keys: Vec<Arc<[u8]>>,
    /// Rows without a name by now are called by their number.
    is_complete: bool,
}

impl Names {
    /// The name of the row of `key`, which is there; `None` when it is called by its number.
    fn name(&mut self, key: &[u8]) -> Option<u32> {
        if let Some(known) = self.numbers.get(key) {
            return Some((NAMED | known) as u32);
        }
        if self.is_complete {
            return None;
        }
        let (number, key) = (self.keys.len(), Arc::<[u8]>::from(key));
        self.keys.push(key.clone());
        self.numbers.insert(key, number);
        Some((NAMED | number) as u32)
    }

    /// No more names: what places call the rows that have `keys`, if that is not their numbers.
    fn complete(&mut self, keys: &KeyList) -> Option<RowNames> {
        self.is_complete = true;
        if self.keys.is_empty() {
            return None;
        }
        let of_row = |row: usize| self.numbers.get(keys.get(row)).map_or(row, |number| NAMED | number) as u32;
        Some(Arc::new((0..keys.ends.len()).map(of_row).collect()))
    }
}

impl DeltaBlock {
    /// A block of the rows of `view`, of which there are so many.
    pub(crate) fn new(view: DeltaView, rows: usize) -> DeltaBlock {
        DeltaBlock { view, rows, decoded: OnceLock::new(), names: Mutex::default() }
    }

    /// The delta it is of.
    pub(crate) fn delta(&self) -> &Arc<Delta> {
        &self.view.delta
    }

    /// The table it is of.
    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.view.delta.table
    }

    /// Rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// All rows, in key order.
    pub(crate) fn batch(&self) -> &RecordBatch {
        &self.decoded().batch
    }

    /// Statistics of the rows and of others; `None` when the rows are decoded, and statistics of them alone are to be had.
    pub(crate) fn counted(&self) -> Result<Option<Counted>> {
        if self.decoded.get().is_some() { Ok(None) } else { self.delta().counted().map(Some) }
    }

    /// Only the rows that can satisfy `predicates`, without those of `hidden`, and what places call them. `None` when all rows
    /// had better be decoded for everybody.
    pub(crate) fn part(&self, predicates: &[Predicate], hidden: Option<&RowKeys>) -> Option<(RecordBatch, RowNames)> {
        let range = self.table().key_range(predicates).ok()?;
        if self.decoded.get().is_some() || range == KeyRange::all() {
            return None;
        }
        let is_wanted = |key: &[u8]| hidden.is_none_or(|hidden| !hidden.contains(key));
        let (batch, keys) = self.view.decode(&range, self.rows / PART, is_wanted)?;
        let mut names = self.names.lock();
        let named: Option<Vec<u32>> = (0..keys.ends.len()).map(|row| names.name(keys.get(row))).collect();
        Some((batch, Arc::new(named?)))
    }

    /// What places call the rows of [`DeltaBlock::batch`]; `None` when that is their numbers.
    pub(crate) fn row_names(&self) -> Option<&RowNames> {
        self.decoded().named.as_ref()
    }

    fn decoded(&self) -> &DecodedRows {
        self.decoded.get_or_init(|| {
            let all = self.view.decode(&KeyRange::all(), usize::MAX, |_| true);
            let (batch, keys) = all.expect("there is no bound");
            assert_eq!(batch.num_rows(), self.rows, "a view sees the rows that were counted when it was made");
            let paid = self.delta().account().budget().register("decoded rows");
            paid.grow(
                batch.get_array_memory_size() + keys.bytes.capacity() + keys.ends.capacity() * size_of::<usize>(),
            );
            let named = self.names.lock().complete(&keys);
            DecodedRows { batch, keys, named, _paid: paid }
        })
    }

    /// What places call the row of `key`, if there is one.
    pub(crate) fn row(&self, key: &[u8]) -> Option<usize> {
        if !self.view.contains(key) {
            return None;
        }
        let name = self.names.lock().name(key);
        name.map(|name| name as usize).or_else(|| self.decoded().keys.find(key))
    }

    /// The first keys in `range` of rows that are there, or the last ones, last first, without those of `hidden`: at most `most`.
    pub(crate) fn keys_in(
        &self,
        range: &KeyRange,
        most: usize,
        descending: bool,
        hidden: Option<&RowKeys>,
    ) -> Vec<RowKey> {
        self.view.keys_in(range, most, descending, |key| hidden.is_none_or(|hidden| !hidden.contains(key)))
    }

    /// Whether `row` is one of the block, by number or by name.
    pub(crate) fn has_row(&self, row: usize) -> bool {
        if is_named(row) { row & !NAMED < self.names.lock().keys.len() } else { row < self.rows }
    }

    /// The key of a row, by number or by name.
    pub(crate) fn key(&self, row: usize) -> RowKey {
        if is_named(row) { (*self.names.lock().keys[row & !NAMED]).into() } else { self.decoded().keys.get(row).into() }
    }

    /// The number of a row that may be named.
    pub(crate) fn number(&self, row: usize) -> usize {
        if !is_named(row) {
            return row;
        }
        let key = self.names.lock().keys[row & !NAMED].clone();
        self.decoded().keys.find(&key).expect("only rows that are there are named")
    }

    /// The numbers of the rows of `keys`.
    pub(crate) fn numbers(&self, keys: &RowKeys) -> impl Iterator<Item = usize> {
        keys.iter().filter_map(|key| self.decoded().keys.find(key))
    }

    /// Columns `projection` of named rows.
    pub(crate) fn named_rows(&self, rows: &[usize], projection: &[usize]) -> Result<RecordBatch> {
        let keys: Vec<Arc<[u8]>> = {
            let names = self.names.lock();
            rows.iter().map(|row| names.keys[row & !NAMED].clone()).collect()
        };
        Ok(self.view.rows_of(keys.iter().map(AsRef::as_ref), projection)?.0)
    }

    /// Columns `projection` of the rows of `keys` that are there, and how many those are.
    pub(crate) fn rows_of<'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]>,
        projection: &[usize],
    ) -> Result<(RecordBatch, usize)> {
        self.view.rows_of(keys, projection)
    }
}

/// Whether a row of a place is named by its key.
pub(crate) fn is_named(row: usize) -> bool {
    row & NAMED != 0
}
