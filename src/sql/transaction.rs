//! Transactions of a session: autocommitted statements, transaction blocks, and what a failure does to them.
//!
//! A statement that writes takes the session's transaction in a [`WriteTxn`]. Outside a block it is the statement's own and
//! committed at its end. Inside a block it is taken out for the time of the statement and put back when the statement
//! succeeded; when it does not come back, the block has failed and answers 25P02 until ROLLBACK. Readers never touch it but
//! for a snapshot.
//!
//! A statement whose triggers run statements of their own lends its transaction back to the block for that time
//! ([`WriteTxn::lend`]); outside a block it opens one, which ends with it. While triggers look at rows that are about to change, the
//! transaction keeps its snapshot ([`Lending::Keeping`]): the places of these rows are of it.
//!
//! A block with savepoints keeps the transaction of a statement that failed, wherever it was when that happened ([`Loan`]), so
//! that ROLLBACK TO can go on with it.

use crate::aggregates;
use crate::error::{Error, Result};
use crate::instance::Instance;
use crate::isolation::Level;
use crate::locking::Patience;
use crate::session::{Run, TransactionStatus};
use crate::settings::SavedSettings;
use crate::sqlstate::{INTERNAL_ERROR, INVALID_SAVEPOINT};
use lightning_catalog::{CATALOG_TABLE, Edit, Relation, Snapshot as CatalogSnapshot, Table};
use lightning_storage::{IfLocked, Locking, Savepoint, TableMode, Transaction};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// A storage transaction with the DDL done in it.
#[derive(Debug)]
pub(crate) struct Txn {
    pub(crate) storage: Transaction,
    level: Level,
    /// Whether no statement has read its snapshot yet.
    is_fresh: bool,
    /// Statements that lent it and need its snapshot again.
    keeping: usize,
    /// Whether a statement would have looked again on a newer snapshot, and could not.
    is_stale: bool,
    /// The catalog after this transaction's DDL.
    overlay: Option<Arc<CatalogSnapshot>>,
}

impl Txn {
    fn begin(instance: &Instance, level: Level) -> Result<Txn> {
        let storage = match level {
            Level::Serializable => instance.engine().begin_serializable()?,
            Level::ReadCommitted | Level::RepeatableRead => instance.engine().begin(),
        };
        Ok(Txn { storage, level, is_fresh: true, keeping: 0, is_stale: false, overlay: None })
    }

    /// Moves to the snapshot that a statement of this level reads; the catalog that belongs to it.
    pub(crate) fn refresh(
        &mut self,
        instance: &Instance,
    ) -> Result<(lightning_storage::Snapshot, Arc<CatalogSnapshot>)> {
        if (self.is_fresh || !self.level.keeps_snapshot()) && self.keeping == 0 {
            self.storage.refresh()?;
            self.is_fresh = false;
        }
        let snapshot = self.storage.snapshot();
        let catalog = match &self.overlay {
            Some(overlay) => Arc::clone(overlay),
            None => instance.catalog().snapshot(&snapshot)?,
        };
        Ok((snapshot, catalog))
    }

    async fn commit(self, instance: &Instance) -> Result<()> {
        let Txn { mut storage, overlay, .. } = self;
        if !storage.is_dirty() {
            return Ok(());
        }
        match &overlay {
            Some(overlay) => aggregates::mark(&mut storage, overlay)?,
            None => aggregates::mark(&mut storage, &*instance.catalog().snapshot(&instance.engine().snapshot())?)?,
        }
        if storage.is_small() {
            submit(storage).await?;
        } else {
            blocking(move || storage.commit()).await??;
        }
        if let Some(overlay) = overlay {
            instance.catalog().published(&overlay);
            instance.jobs().catalog_changed();
        }
        Ok(())
    }
}

/// What kind of block is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockKind {
    Implicit,
    Explicit,
}

#[derive(Debug)]
enum Work {
    /// Nothing written yet.
    None,
    /// Between statements.
    Here(Box<Txn>),
    /// A statement has it.
    Taken,
}

#[derive(Debug)]
struct Block {
    /// Tells blocks of the session apart.
    number: u64,
    kind: BlockKind,
    failed: bool,
    /// Whether a statement of it has read or written anything.
    is_used: bool,
    work: Work,
    /// Statements that have lent their transaction to statements inside them.
    lent: usize,
    /// Oldest first.
    savepoints: Vec<NamedSavepoint>,
}

/// What ROLLBACK TO goes back to.
#[derive(Debug)]
struct NamedSavepoint {
    name: String,
    storage: Savepoint,
    overlay: Option<Arc<CatalogSnapshot>>,
    settings: SavedSettings,
}

impl Block {
    /// A statement failed: what it has locked is free at once.
    fn fail(&mut self) {
        self.failed = true;
        if self.lent > 0 {
            // The statement that lent the transaction may go on with it.
            return;
        }
        match (&self.work, self.savepoints.last()) {
            (Work::Here(txn), Some(savepoint)) => txn.storage.unlock_since(&savepoint.storage),
            (Work::Here(_), None) => self.work = Work::None,
            (Work::None | Work::Taken, _) => {}
        }
    }

    fn find(&self, name: &str) -> Result<usize> {
        self.savepoints
            .iter()
            .rposition(|s| s.name == name)
            .ok_or_else(|| Error::new(INVALID_SAVEPOINT, format!("savepoint \"{name}\" does not exist")))
    }
}

/// The transaction state of one session.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    block: Mutex<Option<Block>>,
    /// Blocks opened so far.
    opened: AtomicU64,
    /// A statement's transaction came back.
    returned: Notify,
}

impl Transactions {
    /// As ReadyForQuery reports it.
    pub(crate) fn status(&self) -> TransactionStatus {
        match self.block.lock().as_ref() {
            Some(block) if block.failed && block.kind == BlockKind::Explicit => TransactionStatus::Failed,
            Some(block) if block.kind == BlockKind::Explicit => TransactionStatus::InTransaction,
            _ => TransactionStatus::Idle,
        }
    }

    /// Whether a block is open that refuses statements.
    pub(crate) fn has_failed(&self) -> bool {
        self.block.lock().as_ref().is_some_and(|b| b.failed)
    }

    /// Whether any block is open.
    pub(crate) fn in_block(&self) -> bool {
        self.block.lock().is_some()
    }

    /// BEGIN. False when a block was open already. An implicit block becomes explicit.
    pub(crate) fn begin_explicit(&self) -> bool {
        let mut block = self.block.lock();
        match block.as_mut() {
            Some(open) if open.kind == BlockKind::Explicit => false,
            Some(open) => {
                open.kind = BlockKind::Explicit;
                true
            }
            None => {
                *block = Some(self.open(BlockKind::Explicit));
                true
            }
        }
    }

    fn open(&self, kind: BlockKind) -> Block {
        let number = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        Block { number, kind, failed: false, is_used: false, work: Work::None, lent: 0, savepoints: Vec::new() }
    }

    /// Opens an implicit block unless one is open; whether it did.
    pub(crate) fn begin_implicit(&self) -> bool {
        let mut block = self.block.lock();
        if block.is_some() {
            return false;
        }
        *block = Some(self.open(BlockKind::Implicit));
        true
    }

    /// Whether the open block is an implicit one.
    pub(crate) fn is_implicit(&self) -> bool {
        self.block.lock().as_ref().is_some_and(|b| b.kind == BlockKind::Implicit)
    }

    /// A statement of the block failed.
    pub(crate) fn fail(&self) {
        if let Some(block) = self.block.lock().as_mut() {
            block.fail();
        }
    }

    /// SAVEPOINT. The block must be open.
    pub(crate) fn savepoint(
        &self,
        instance: &Instance,
        level: Level,
        name: &str,
        settings: SavedSettings,
    ) -> Result<()> {
        let mut block = self.block.lock();
        let Some(block) = block.as_mut() else { return Err(Error::new(INTERNAL_ERROR, "no transaction is open")) };
        if let Work::None = block.work {
            block.work = Work::Here(Box::new(Txn::begin(instance, level)?));
        }
        let Work::Here(txn) = &block.work else {
            return Err(Error::new(INTERNAL_ERROR, "a statement of the transaction is still running"));
        };
        let (storage, overlay) = (txn.storage.savepoint(), txn.overlay.clone());
        block.savepoints.push(NamedSavepoint { name: name.to_owned(), storage, overlay, settings });
        Ok(())
    }

    /// RELEASE: forgets the newest savepoint of this name and those after it.
    pub(crate) fn release(&self, name: &str) -> Result<()> {
        let mut block = self.block.lock();
        let Some(block) = block.as_mut() else { return Err(Error::new(INTERNAL_ERROR, "no transaction is open")) };
        let place = block.find(name)?;
        block.savepoints.truncate(place);
        Ok(())
    }

    /// ROLLBACK TO: undoes everything since the newest savepoint of this name, which stays. The settings it goes back to.
    pub(crate) async fn rollback_to(&self, name: &str) -> Result<SavedSettings> {
        loop {
            let returned = self.returned.notified();
            {
                let mut block = self.block.lock();
                let Some(block) = block.as_mut() else {
                    return Err(Error::new(INTERNAL_ERROR, "no transaction is open"));
                };
                let place = block.find(name)?;
                // A cancelled statement may still be writing; its transaction comes back soon.
                if let Work::Here(txn) = &mut block.work {
                    block.savepoints.truncate(place + 1);
                    let savepoint = &block.savepoints[place];
                    txn.storage.rollback_to(&savepoint.storage)?;
                    txn.overlay = savepoint.overlay.clone();
                    block.failed = false;
                    return Ok(savepoint.settings.clone());
                }
                if let Work::None = block.work {
                    return Err(Error::new(INTERNAL_ERROR, "the transaction was lost"));
                }
            }
            returned.await;
        }
    }

    /// Ends the block by committing; false when it had failed and was rolled back instead.
    pub(crate) async fn commit(&self, instance: &Instance) -> Result<bool> {
        let Some(block) = self.block.lock().take() else { return Ok(true) };
        if block.failed {
            return Ok(false);
        }
        match block.work {
            Work::None => Ok(true),
            Work::Here(txn) => txn.commit(instance).await.map(|()| true),
            Work::Taken => Err(Error::new(INTERNAL_ERROR, "a statement of the transaction is still running")),
        }
    }

    /// Ends the block, forgetting it.
    pub(crate) async fn rollback(&self) {
        let block = self.block.lock().take();
        if let Some(Block { work: Work::Here(txn), .. }) = block {
            // Removing the files of bulk rows touches the disk.
            let _ = blocking(move || txn.storage.rollback()).await;
        }
    }

    /// The snapshots a statement reads.
    pub(crate) fn snapshots(
        &self,
        instance: &Instance,
        level: Level,
    ) -> Result<(lightning_storage::Snapshot, Arc<CatalogSnapshot>)> {
        if let Some(block) = self.block.lock().as_mut() {
            block.is_used = true;
            if level.keeps_snapshot() && matches!(block.work, Work::None) {
                block.work = Work::Here(Box::new(Txn::begin(instance, level)?));
            }
            if let Work::Here(txn) = &mut block.work {
                return txn.refresh(instance);
            }
        }
        let snapshot = instance.engine().snapshot();
        let catalog = instance.catalog().snapshot(&snapshot)?;
        Ok((snapshot, catalog))
    }

    /// Whether the open block has a savepoint.
    pub(crate) fn has_savepoint(&self) -> bool {
        self.block.lock().as_ref().is_some_and(|block| !block.savepoints.is_empty())
    }

    /// Whether the open transaction has written anything.
    pub(crate) fn has_written(&self) -> bool {
        matches!(self.block.lock().as_ref(), Some(Block { work: Work::Here(txn), .. }) if txn.storage.is_dirty())
    }

    /// Whether a statement of the open block has read or written anything.
    pub(crate) fn is_used(&self) -> bool {
        self.block.lock().as_ref().is_some_and(|block| block.is_used)
    }

    /// Takes the transaction to write in.
    pub(crate) fn write(self: &Arc<Self>, instance: &Arc<Instance>, level: Level) -> Result<WriteTxn> {
        let mut block = self.block.lock();
        let txn = match block.as_mut() {
            None => Box::new(Txn::begin(instance, level)?),
            Some(block) => match std::mem::replace(&mut block.work, Work::Taken) {
                Work::Here(txn) => txn,
                Work::None => Box::new(Txn::begin(instance, level)?),
                Work::Taken => {
                    return Err(Error::new(INTERNAL_ERROR, "a statement of the transaction is still running"));
                }
            },
        };
        let block = block.as_mut().map(|block| {
            block.is_used = true;
            block.number
        });
        let loan = Loan { owner: Arc::clone(self), block, txn: Some(txn) };
        Ok(WriteTxn {
            owner: Arc::clone(self),
            instance: Arc::clone(instance),
            loan: Some(loan),
            block,
            opened: false,
            lent: None,
        })
    }
}

/// A block's transaction in the hands of a statement. Dropped unfinished, wherever that is, it fails the block, which keeps the
/// transaction only when a savepoint can still need it.
#[derive(Debug)]
struct Loan {
    owner: Arc<Transactions>,
    /// Number of the block it belongs to; `None` when the transaction is the statement's own.
    block: Option<u64>,
    txn: Option<Box<Txn>>,
}

impl Loan {
    fn txn(&mut self) -> Result<&mut Txn> {
        self.txn.as_deref_mut().ok_or_else(in_use)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let (Some(txn), Some(number)) = (self.txn.take(), self.block) else { return };
        if let Some(block) = self.owner.block.lock().as_mut()
            && block.number == number
            && matches!(block.work, Work::Taken)
        {
            block.work = Work::Here(txn);
            block.fail();
        }
        self.owner.returned.notify_waiters();
    }
}

fn in_use() -> Error {
    Error::new(INTERNAL_ERROR, "the transaction is in use")
}

/// The transaction while one statement writes in it. Dropping it unfinished fails the block.
#[derive(Debug)]
pub(crate) struct WriteTxn {
    owner: Arc<Transactions>,
    instance: Arc<Instance>,
    loan: Option<Loan>,
    block: Option<u64>,
    /// Whether the block is there for this statement alone.
    opened: bool,
    /// While the transaction is lent: how many statements needed its snapshot before.
    lent: Option<usize>,
}

/// What a transaction that is lent may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lending {
    /// Move to newer snapshots, as its level has it.
    Moving,
    /// Keep its snapshot. Where READ COMMITTED would look again, the statements fail with 40001 ([`WriteTxn::reclaim_failed`]).
    Keeping,
}

impl WriteTxn {
    /// The transaction.
    pub(crate) fn txn(&mut self) -> Result<&mut Txn> {
        self.loan.as_mut().ok_or_else(in_use)?.txn()
    }

    /// The isolation level, to decide by whether a statement that somebody was faster than looks again.
    pub(crate) fn level(&mut self) -> Result<Level> {
        let txn = self.txn()?;
        if txn.keeping > 0 && !txn.level.keeps_snapshot() {
            txn.is_stale = true;
            return Ok(Level::RepeatableRead);
        }
        Ok(txn.level)
    }

    /// Gives the transaction to the block, where statements inside this one find it; opens a block when there is none.
    pub(crate) fn lend(&mut self, lending: Lending) -> Result<()> {
        let mut txn = self.loan.as_mut().and_then(|loan| loan.txn.take()).ok_or_else(in_use)?;
        let keeping = txn.keeping;
        self.loan = None;
        if lending == Lending::Keeping {
            txn.is_stale &= txn.keeping > 0;
            txn.keeping += 1;
        }
        let mut block = self.owner.block.lock();
        let open = match (self.block, block.as_mut()) {
            (Some(number), Some(open)) if !open.failed && open.number == number => open,
            (None, None) => {
                let new = block.insert(self.owner.open(BlockKind::Implicit));
                new.is_used = true;
                (self.block, self.opened) = (Some(new.number), true);
                new
            }
            _ => return Err(ended()),
        };
        open.work = Work::Here(txn);
        open.lent += 1;
        self.lent = Some(keeping);
        Ok(())
    }

    /// Takes the transaction back when all went well.
    pub(crate) fn reclaim(&mut self) -> Result<()> {
        let owner = Arc::clone(&self.owner);
        let mut block = owner.block.lock();
        match block.as_mut().filter(|open| !open.failed && Some(open.number) == self.block) {
            Some(open) => {
                if self.take_from(open) {
                    Ok(())
                } else {
                    Err(in_use())
                }
            }
            None => Err(ended()),
        }
    }

    /// Takes the transaction back, with all that was written, after a statement inside this one failed. True: only because the
    /// snapshot was kept; this statement can forget what was written and look again.
    pub(crate) async fn reclaim_failed(&mut self) -> Result<bool> {
        let owner = Arc::clone(&self.owner);
        loop {
            let returned = owner.returned.notified();
            {
                let mut block = owner.block.lock();
                let open = block.as_mut().filter(|open| Some(open.number) == self.block).ok_or_else(ended)?;
                // Another thread may have it still.
                if self.take_from(open) {
                    open.failed = false;
                    break;
                }
            }
            returned.await;
        }
        let txn = self.txn()?;
        Ok(txn.keeping == 0 && std::mem::take(&mut txn.is_stale) && !txn.level.keeps_snapshot())
    }

    /// Takes the transaction out of the block, if it is there.
    fn take_from(&mut self, open: &mut Block) -> bool {
        if !matches!(open.work, Work::Here(_)) {
            return false;
        }
        if let Work::Here(mut txn) = std::mem::replace(&mut open.work, Work::Taken) {
            txn.keeping = self.lent.take().unwrap_or(txn.keeping);
            self.loan = Some(Loan { owner: Arc::clone(&self.owner), block: self.block, txn: Some(txn) });
        }
        open.lent = open.lent.saturating_sub(1);
        true
    }

    /// Waits for the locks that `plan` asks for, which must not read the disk.
    pub(crate) async fn lock(
        &mut self,
        patience: &Patience,
        plan: impl FnOnce(&Transaction) -> lightning_storage::Result<Locking>,
    ) -> Result<()> {
        let mut locking = plan(&self.txn()?.storage)?;
        patience.wait(&mut locking).await
    }

    /// Locks the table a statement inserts into, as its writers do, and moves to the snapshot the statement reads. `None`: the table is not
    /// there any more.
    pub(crate) async fn lock_target(
        &mut self,
        run: &Run,
        table: &Table,
    ) -> Result<Option<(lightning_storage::Snapshot, Arc<CatalogSnapshot>)>> {
        let id = table.storage_table();
        self.lock(&run.patience(table), |txn| Ok(txn.lock_table(id, TableMode::RowExclusive))).await?;
        let (storage, catalog) = self.refresh()?;
        let is_there =
            matches!(catalog.relation_by_oid(table.oid), Some(Relation::Table(now)) if now.storage_table() == id);
        Ok((is_there || self.level()?.keeps_snapshot()).then_some((storage, catalog)))
    }

    /// Moves to the snapshot that a statement reads; the catalog that belongs to it.
    pub(crate) fn refresh(&mut self) -> Result<(lightning_storage::Snapshot, Arc<CatalogSnapshot>)> {
        let instance = Arc::clone(&self.instance);
        self.txn()?.refresh(&instance)
    }

    /// Runs `work` with the storage transaction on a thread that may block.
    pub(crate) async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Transaction) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut loan = self.loan.take().ok_or_else(in_use)?;
        let (loan, result) = blocking(move || {
            let result = loan.txn().and_then(|txn| work(&mut txn.storage));
            (loan, result)
        })
        .await?;
        self.loan = Some(loan);
        result
    }

    /// Hands the transaction to another holder; this one keeps the duty to finish or fail the block.
    pub(crate) fn split(&mut self) -> HeldTxn {
        HeldTxn { loan: self.loan.take() }
    }

    /// Takes the transaction back.
    pub(crate) fn rejoin(&mut self, held: HeldTxn) {
        self.loan = held.loan;
    }

    /// Waits for the lock on the catalog, of which there is one, then yields the newest catalog to change.
    pub(crate) async fn lock_ddl(&mut self, run: &Run) -> Result<Arc<CatalogSnapshot>> {
        self.lock_catalog(run, IfLocked::Wait).await
    }

    /// Takes the lock on the catalog, then yields the newest catalog to change; 55P03 when somebody has it.
    pub(crate) async fn try_lock_ddl(&mut self, run: &Run) -> Result<Arc<CatalogSnapshot>> {
        self.lock_catalog(run, IfLocked::Fail).await
    }

    async fn lock_catalog(&mut self, run: &Run, if_locked: IfLocked) -> Result<Arc<CatalogSnapshot>> {
        let (patience, mode) = (run.patience_for_catalog(), TableMode::ShareRowExclusive);
        self.lock(&patience, |txn| Ok(txn.lock_table(CATALOG_TABLE, mode).if_table_locked(if_locked))).await?;
        self.refresh().map(|(_, catalog)| catalog)
    }

    /// Writes a catalog change. The lock on the catalog must be held.
    pub(crate) fn apply(&mut self, edit: Edit) -> Result<()> {
        let txn = self.txn()?;
        txn.overlay = Some(edit.apply(&mut txn.storage)?);
        Ok(())
    }

    /// The statement succeeded: commits outside a block, else puts the transaction back.
    pub(crate) async fn finish(mut self) -> Result<()> {
        let txn = self.loan.as_mut().and_then(|loan| loan.txn.take()).ok_or_else(in_use)?;
        if std::mem::take(&mut self.opened) {
            drop(self.owner.block.lock().take());
            return txn.commit(&self.instance).await;
        }
        let Some(number) = self.block else { return txn.commit(&self.instance).await };
        match self.owner.block.lock().as_mut() {
            Some(block) if !block.failed && block.number == number => {
                block.work = Work::Here(txn);
                Ok(())
            }
            _ => Err(ended()),
        }
    }
}

impl Drop for WriteTxn {
    fn drop(&mut self) {
        let lent = self.lent.take().is_some();
        if !lent && !self.opened {
            return;
        }
        let mut block = self.owner.block.lock();
        let Some(open) = block.as_mut().filter(|open| Some(open.number) == self.block) else { return };
        if self.opened {
            *block = None;
        } else {
            open.lent = open.lent.saturating_sub(1);
            open.fail();
        }
    }
}

fn ended() -> Error {
    Error::new(INTERNAL_ERROR, "the transaction ended before its statement")
}

/// A transaction on loan from its [`WriteTxn`].
#[derive(Debug)]
pub(crate) struct HeldTxn {
    loan: Option<Loan>,
}

impl HeldTxn {
    /// The transaction.
    pub(crate) fn txn(&mut self) -> Result<&mut Txn> {
        self.loan.as_mut().ok_or_else(in_use)?.txn()
    }
}

/// Commits little, without a thread to wait on it.
async fn submit(storage: Transaction) -> Result<()> {
    let told = Arc::new(Notify::new());
    let tell = Arc::clone(&told);
    let mut submission = storage.submit(move || tell.notify_one())?;
    if submission.is_sent() {
        told.notified().await;
    }
    match submission.result() {
        Some(result) => result?,
        None => blocking(move || submission.wait()).await??,
    };
    Ok(())
}

/// Runs `work` where blocking is allowed. A panic in it becomes an error.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| match e.try_into_panic() {
        Ok(payload) => crate::sqlstate::panicked(payload.as_ref()),
        Err(_) => Error::new(crate::sqlstate::QUERY_CANCELED, "the server is shutting down"),
    })
}
