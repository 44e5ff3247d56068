//! What a statement changes in storage: places of old rows go, new rows come.
//!
//! Before anything is written, [`Change::lock`] locks the rows and the keys of new ones. If a transaction that was waited for has changed
//! one of them, READ COMMITTED looks again: the statement runs once more on a newer snapshot, with the locks it has. Higher levels answer
//! 40001, for their snapshot stays.

use crate::error::{Error, Result};
use crate::locking::FoundRows;
use crate::session::Run;
use crate::sqlstate::SERIALIZATION_FAILURE;
use crate::transaction::WriteTxn;
use crate::unique::{NewKeys, UniqueKey};
use crate::write::append_batches;
use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::concat;
use lightning_catalog::Table;
use lightning_storage::{IfLocked, KeyMode, Snapshot, TableId, TableMode};
use std::sync::Arc;

/// The changes of one statement to one table.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) table: Arc<Table>,
    /// The snapshot the places are of.
    pub(crate) snapshot: Snapshot,
    pub(crate) places: Vec<u64>,
    pub(crate) rows: Vec<RecordBatch>,
    /// The primary key, when new rows may have one that no row at the places has.
    pub(crate) key: Option<UniqueKey>,
    /// Whether rows are only added: then a key taken since the snapshot is as good as one that was there before.
    pub(crate) is_insert: bool,
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
        self.check_keys().await.map(|()| true)
    }

    /// Keys of the new rows, when they may be new.
    fn new_keys(&self) -> Result<Option<Vec<ArrayRef>>> {
        let Some(key) = self.key.as_ref().filter(|_| !self.rows.is_empty()) else { return Ok(None) };
        let column = |column: &usize| -> Result<ArrayRef> {
            let pieces: Vec<&dyn arrow::array::Array> =
                self.rows.iter().map(|rows| rows.column(*column).as_ref()).collect();
            Ok(concat(&pieces)?)
        };
        key.columns().iter().map(column).collect::<Result<Vec<_>>>().map(Some)
    }

    /// A key was written since the snapshot: rows that are only added meet the one that is there now.
    async fn taken_since(&self, write: &mut WriteTxn) -> Result<bool> {
        if let Some(key) = self.key.clone().filter(|_| self.is_insert) {
            let rows = self.rows.clone();
            return write
                .blocking(move |txn| {
                    let newest = txn.newest()?;
                    let mut keys = NewKeys::new(key).keeping_all();
                    rows.iter().try_for_each(|batch| keys.add(batch))?;
                    keys.finish(&newest, &[], || Ok(newest.clone()))
                })
                .await
                .map(|()| true);
        }
        Err(Error::new(SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
            .with_detail(format!(
                "A key of table \"{}\" was written by a transaction that committed first.",
                self.table.name
            ))
            .with_hint("Run the transaction again."))
    }

    /// No key of the new rows is there already.
    async fn check_keys(&self) -> Result<()> {
        match &self.key {
            Some(key) => key.check(&self.snapshot, &self.rows, &self.places).await,
            None => Ok(()),
        }
    }

    /// Writes the changes.
    pub(crate) async fn write(self, write: &mut WriteTxn) -> Result<()> {
        write
            .blocking(move |txn| {
                let table = self.table();
                if !self.places.is_empty() {
                    txn.delete(&self.snapshot, table, &UInt64Array::from(self.places))?;
                }
                append_batches(txn, table, self.rows)
            })
            .await
    }
}
