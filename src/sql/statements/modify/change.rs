//! What a statement changes in storage: places of old rows go, new rows come.
//!
//! Before anything is written, [`Change::lock`] locks the rows and the keys of new ones. If a transaction that was waited for has changed
//! one of them, READ COMMITTED looks again: the statement runs once more on a newer snapshot, with the locks it has. Higher levels answer
//! 40001, for their snapshot stays.
//!
//! Keys of unique indexes are locked by who adds them and by who takes them out, so that what is taken is known for certain then.

use crate::error::{Error, Result};
use crate::locking::{FoundRows, Patience};
use crate::session::Run;
use crate::sqlstate::SERIALIZATION_FAILURE;
use crate::transaction::{WriteTxn, blocking};
use crate::unique::{Gone, UniqueKey};
use crate::write::{APPENDER_ROWS, append_batches};
use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::{concat, concat_batches};
use lightning_catalog::Table;
use lightning_storage::{IfLocked, KeyMode, Snapshot, TableId, TableMode, Transaction};
use std::sync::Arc;

/// What rows are changed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// They are only added: a key taken since the snapshot is as good as one that was there before.
    Insert,
    /// They are added, or changed where the key is taken.
    Upsert,
    /// They are changed or deleted.
    Modify,
}

/// Keys that the rows of a change may have and no row had before.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChangedKeys {
    primary: Option<UniqueKey>,
    /// Those of unique indexes.
    indexes: Vec<UniqueKey>,
}

impl ChangedKeys {
    /// Those of a table of which rows are added, deleted, or changed in some of the columns `set`.
    pub(crate) fn of(table: &Table, zone: Tz, set: impl Fn(usize) -> bool) -> ChangedKeys {
        let is_set = |key: &UniqueKey| key.columns().iter().any(|column| set(*column));
        ChangedKeys {
            primary: UniqueKey::primary(table, zone).filter(is_set),
            indexes: UniqueKey::of_indexes(table, zone).into_iter().filter(is_set).collect(),
        }
    }

    /// The same with all unique indexes.
    pub(crate) fn with_all_indexes(self, table: &Table, zone: Tz) -> ChangedKeys {
        ChangedKeys { indexes: UniqueKey::of_indexes(table, zone), ..self }
    }

    /// The primary key.
    pub(crate) fn primary(&self) -> Option<&UniqueKey> {
        self.primary.as_ref()
    }

    /// The same when all rows keep their primary key.
    pub(crate) fn without_primary(self) -> ChangedKeys {
        ChangedKeys { primary: None, ..self }
    }
}

/// The changes of one statement to one table.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) table: Arc<Table>,
    /// The snapshot the places are of.
    pub(crate) snapshot: Snapshot,
    pub(crate) places: Vec<u64>,
    pub(crate) rows: Vec<RecordBatch>,
    pub(crate) keys: ChangedKeys,
    pub(crate) intent: Intent,
    /// The columns in which the rows differ from those at the places, one from one; `None` when they are other rows.
    pub(crate) set: Option<Vec<usize>>,
}

impl Change {
    fn table(&self) -> TableId {
        self.table.storage_table()
    }

    /// Locks what is to be changed, and checks that new keys are. False: somebody was faster, look again.
    pub(crate) async fn lock(&self, run: &Run, write: &mut WriteTxn) -> Result<bool> {
        let patience = run.patience(&self.table);
        let (table, snapshot) = (self.table(), self.snapshot.clone());
        let places = UInt64Array::from(self.places.clone());
        let new_keys = self.new_keys()?;
        if places.is_empty() && self.rows.is_empty() {
            return Ok(true);
        }
        let mode = if new_keys.is_some() || self.rows.is_empty() { KeyMode::Update } else { KeyMode::NoKeyUpdate };
        write.lock(&patience, |txn| Ok(txn.lock_table(table, TableMode::RowExclusive))).await?;
        if !places.is_empty() {
            let snapshot = snapshot.clone();
            let rows = FoundRows { snapshot, table, places, mode, if_locked: IfLocked::Wait, most: usize::MAX };
            if write.hold(&patience, rows).await?.is_none() {
                return Ok(false);
            }
        }
        if let Some(keys) = new_keys {
            write.lock(&patience, |txn| txn.lock_keys(table, &keys, KeyMode::Update)).await?;
            if write.blocking(move |txn| Ok(txn.was_written(&snapshot, table, &keys)?)).await? {
                return if write.level()?.keeps_snapshot() { self.taken_since(write).await } else { Ok(false) };
            }
        }
        self.check_primary().await?;
        for key in &self.keys.indexes {
            if !self.lock_in_index(key, &patience, write).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Keys of the new rows, when they may be new.
    fn new_keys(&self) -> Result<Option<Vec<ArrayRef>>> {
        let Some(key) = self.keys.primary.as_ref().filter(|_| !self.rows.is_empty()) else { return Ok(None) };
        let column = |column: &usize| -> Result<ArrayRef> {
            let pieces: Vec<&dyn Array> = self.rows.iter().map(|rows| rows.column(*column).as_ref()).collect();
            Ok(concat(&pieces)?)
        };
        key.columns().iter().map(column).collect::<Result<Vec<_>>>().map(Some)
    }

    /// A key was written since the snapshot: rows that are only added meet the one that is there now.
    async fn taken_since(&self, write: &mut WriteTxn) -> Result<bool> {
        match self.keys.primary.clone().filter(|_| self.intent == Intent::Insert) {
            Some(key) => {
                let rows = self.rows.clone();
                let check = move |txn: &mut Transaction| {
                    let newest = txn.newest()?;
                    key.check(&newest, &rows, Gone { snapshot: &newest, places: &[] })
                };
                write.blocking(check).await.map(|()| true)
            }
            None => Err(self.not_serializable()),
        }
    }

    fn not_serializable(&self) -> Error {
        let name = &self.table.name;
        Error::new(SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
            .with_detail(format!("A key of table \"{name}\" was written by a transaction that committed first."))
            .with_hint("Run the transaction again.")
    }

    /// No primary key of the new rows is there already.
    async fn check_primary(&self) -> Result<()> {
        let Some(key) = self.keys.primary.clone() else { return Ok(()) };
        let (snapshot, rows, places) = (self.snapshot.clone(), self.rows.clone(), self.places.clone());
        blocking(move || key.check(&snapshot, &rows, Gone { snapshot: &snapshot, places: &places })).await?
    }

    /// Locks the keys that come into a unique index and those that go, and checks the new ones. False: look again.
    async fn lock_in_index(&self, key: &UniqueKey, patience: &Patience, write: &mut WriteTxn) -> Result<bool> {
        let old = self.snapshot.rows_at(self.table(), &UInt64Array::from(self.places.clone()), key.columns())?;
        let old = UniqueKey::without_nulls(old.columns().to_vec())?;
        let column = |(number, column): (usize, &usize)| -> Result<ArrayRef> {
            let pieces: Vec<&dyn Array> = self.rows.iter().map(|rows| rows.column(*column).as_ref()).collect();
            if pieces.is_empty() { Ok(old[number].slice(0, 0)) } else { Ok(concat(&pieces)?) }
        };
        let new = key.columns().iter().enumerate().map(column).collect::<Result<Vec<_>>>()?;
        let new = UniqueKey::without_nulls(new)?;
        // Rows that keep their key have it locked themselves.
        let moving = key.differing(&old, &new)?;
        if moving.first().is_some_and(|column| !column.is_empty()) {
            write.lock(patience, |txn| txn.lock_keys(key.locked_table(), &moving, KeyMode::Update)).await?;
        } else if old == new {
            return Ok(true);
        }
        if self.rows.is_empty() {
            return Ok(true);
        }
        let (key, snapshot, rows) = (key.clone(), self.snapshot.clone(), self.rows.clone());
        let (places, intent) = (self.places.clone(), self.intent);
        let is_free = write.blocking(move |txn| {
            let gone = Gone { snapshot: &snapshot, places: &places };
            match key.clone().check(&txn.newest()?, &rows, gone) {
                // Where rows may be changed instead, one that came meanwhile is looked for again.
                Err(_) if intent == Intent::Upsert && key.check(&snapshot, &rows, gone).is_ok() => Ok(false),
                outcome => outcome.map(|()| true),
            }
        });
        match is_free.await? {
            false if write.level()?.keeps_snapshot() => Err(self.not_serializable()),
            is_free => Ok(is_free),
        }
    }

    /// Writes the changes.
    pub(crate) async fn write(self, write: &mut WriteTxn) -> Result<()> {
        write
            .blocking(move |txn| {
                let table = self.table();
                let rows = self.rows.iter().map(RecordBatch::num_rows).sum::<usize>();
                if let (Some(set), Some(first)) = (&self.set, self.rows.first().filter(|_| rows < APPENDER_ROWS)) {
                    let all = concat_batches(&first.schema(), &self.rows)?;
                    txn.replace(&self.snapshot, table, &UInt64Array::from(self.places), all, set)?;
                    return Ok(());
                }
                if !self.places.is_empty() {
                    txn.delete(&self.snapshot, table, &UInt64Array::from(self.places))?;
                }
                append_batches(txn, table, self.rows)
            })
            .await
    }
}
