//! Rows on their way into a table: checked against its columns, handed to storage on a thread that may block.
//!
//! A [`Sink`] owns the statement's transaction while rows arrive. Few rows are buffered and appended at the end; from
//! [`APPENDER_ROWS`] on they go through storage's appender, which encodes while more arrive. The queue between is bounded, so
//! a slow disk slows the producer down.

use crate::convert::{self, Context};
use crate::error::{Error, Result};
use crate::locking::Patience;
use crate::provider::{arrow_schema, column_type};
use crate::sqlstate::{DATATYPE_MISMATCH, INTERNAL_ERROR, NOT_NULL_VIOLATION};
use crate::text::TextColumn;
use crate::transaction::{HeldTxn, WriteTxn};
use crate::types::{self, PgType};
use crate::unique::{Gone, NewKeys, UniqueKey};
use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Field, Schema, SchemaRef};
use lightning_catalog::Table;
use lightning_storage::{Appender, TableId, TableMode, Transaction};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Rows from which the appender takes over.
pub(crate) const APPENDER_ROWS: usize = 16_384;
/// So few rows, of so few bytes, are not worth another thread.
const FEW_ROWS: usize = 16;
const FEW_BYTES: usize = 1 << 16;
/// Batches waiting for storage.
const QUEUE_BATCHES: usize = 8;
/// Longest value shown in an error's detail.
const SHOWN_CHARACTERS_MAX: usize = 64;

/// What a source gives for one column of the table.
#[derive(Clone, Debug)]
pub(crate) struct SourceColumn {
    /// Its type; `unknown` when it is made of literals.
    pub(crate) pg: PgType,
}

/// Turns a source's columns into the table's.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    table: Arc<Table>,
    schema: SchemaRef,
    zone: Tz,
    /// Whether NULLs are refused where a column does.
    is_checked: bool,
}

impl Shape {
    pub(crate) fn new(table: &Arc<Table>, zone: Tz) -> Shape {
        Shape { table: Arc::clone(table), schema: arrow_schema(&table.columns), zone, is_checked: true }
    }

    /// The same for rows that triggers will look at before they are checked: any value may be NULL.
    pub(crate) fn unchecked(self) -> Shape {
        let loose = self.schema.fields().iter().map(|field| Field::clone(field).with_nullable(true));
        Shape { schema: Arc::new(Schema::new(loose.collect::<Vec<_>>())), is_checked: false, ..self }
    }

    /// Rows that were not checked, checked.
    pub(crate) fn checked(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        self.batch(batch.columns().to_vec(), batch.num_rows())
    }

    /// How many columns the table has.
    pub(crate) fn columns(&self) -> usize {
        self.table.columns.len()
    }

    /// A column that stays as a query read it.
    pub(crate) fn unchanged(&self, column: usize, values: &ArrayRef) -> Result<ArrayRef> {
        let wanted = self.schema.field(column).data_type();
        if values.data_type() == wanted { Ok(Arc::clone(values)) } else { Ok(cast(values, wanted)?) }
    }

    /// The batch of rows that were in the table already.
    pub(crate) fn old_batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Refuses a source column that cannot be assigned.
    pub(crate) fn check(&self, column: usize, source: &SourceColumn) -> Result<()> {
        let target = &self.table.columns[column];
        let wanted = column_type(target);
        if convert::exists(source.pg, wanted, Context::Assignment) {
            return Ok(());
        }
        Err(Error::new(
            DATATYPE_MISMATCH,
            format!(
                "column \"{}\" is of type {} but expression is of type {}",
                target.name,
                wanted.base_name(),
                source.pg.base_name()
            ),
        )
        .with_hint("You will need to rewrite or cast the expression."))
    }

    /// One column, cast for assignment.
    pub(crate) fn assign(&self, column: usize, source: &SourceColumn, values: &ArrayRef) -> Result<ArrayRef> {
        let wanted = column_type(&self.table.columns[column]);
        convert::convert(values, source.pg, wanted, Context::Assignment, self.zone)
            .map_err(|e| e.with_column(&self.table.columns[column].name))
    }

    /// NULLs for a column that was left out and has no default.
    pub(crate) fn nulls(&self, column: usize, rows: usize) -> ArrayRef {
        new_null_array(self.schema.field(column).data_type(), rows)
    }

    /// The batch of all columns, after NOT NULL was checked.
    pub(crate) fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        for (column, values) in self.table.columns.iter().zip(&columns) {
            if self.is_checked
                && column.not_null
                && let Some(row) = first_null(values)
            {
                return Err(self.null_violation(&column.name, &columns, row));
            }
        }
        self.old_batch(columns, rows)
    }

    fn null_violation(&self, column: &str, columns: &[ArrayRef], row: usize) -> Error {
        let shown: Vec<String> = columns
            .iter()
            .map(|values| match TextColumn::new(values, self.zone) {
                Ok(text) => text.value(row).map_or_else(|| "null".to_owned(), |v| shortened(&v)),
                Err(_) => "?".to_owned(),
            })
            .collect();
        Error::new(
            NOT_NULL_VIOLATION,
            format!(
                "null value in column \"{column}\" of relation \"{}\" violates not-null constraint",
                self.table.name
            ),
        )
        .with_detail(format!("Failing row contains ({}).", shown.join(", ")))
        .with_column(column)
        .with_table(&self.table.name)
    }
}

fn first_null(values: &ArrayRef) -> Option<usize> {
    if values.null_count() == 0 {
        return None;
    }
    (0..values.len()).find(|row| values.is_null(*row))
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.to_owned(),
    }
}

/// The type of a column computed by a plan.
pub(crate) fn source_of(field: &arrow::datatypes::Field, literal: bool) -> SourceColumn {
    let pg = types::pg_type(field);
    let open = literal && pg.is_string() || field.data_type() == &arrow::datatypes::DataType::Null;
    SourceColumn { pg: if open { types::UNKNOWN } else { pg } }
}

/// Takes the rows of one statement.
#[derive(Debug)]
pub(crate) struct Sink {
    write: WriteTxn,
    patience: Patience,
    batches: Option<mpsc::Sender<RecordBatch>>,
    complete: Option<oneshot::Sender<()>>,
    worker: Option<tokio::task::JoinHandle<(HeldTxn, Result<Arrived>)>>,
}

/// Rows that have arrived and are not in the transaction yet.
#[derive(Debug)]
struct Arrived {
    table: TableId,
    rows: usize,
    buffered: Vec<RecordBatch>,
    appender: Option<Appender>,
    keys: Vec<NewKeys>,
}

impl Sink {
    /// Starts writing to the table of `patience`, which has these keys.
    pub(crate) fn start(mut write: WriteTxn, patience: Patience, keys: Vec<UniqueKey>) -> Sink {
        let (batches, queue) = mpsc::channel(QUEUE_BATCHES);
        let (complete, completed) = oneshot::channel();
        let mut inner = write.split();
        let arrived = Arrived {
            table: patience.table(),
            rows: 0,
            buffered: Vec::new(),
            appender: None,
            keys: keys.into_iter().map(NewKeys::new).collect(),
        };
        let worker = tokio::task::spawn_blocking(move || {
            let result = inner.txn().and_then(|txn| arrived.drain(&mut txn.storage, queue, completed));
            (inner, result)
        });
        Sink { write, patience, batches: Some(batches), complete: Some(complete), worker: Some(worker) }
    }

    /// More rows. Fails as soon as storage did.
    pub(crate) async fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let sent = match &self.batches {
            Some(batches) => batches.send(batch).await.is_ok(),
            None => false,
        };
        if sent { Ok(()) } else { Err(self.failure().await) }
    }

    /// No more rows: everything goes into the transaction. The rows written.
    pub(crate) async fn finish(self) -> Result<u64> {
        let (write, rows) = self.close().await?.put().await?;
        write.finish().await?;
        Ok(rows)
    }

    /// No more rows; none is in the transaction yet.
    pub(crate) async fn close(mut self) -> Result<Closed> {
        if let Some(complete) = self.complete.take() {
            // When the worker is gone, its result says why.
            let _ = complete.send(());
        }
        self.batches = None;
        let (inner, arrived) = self.join().await?;
        let arrived = arrived?;
        self.write.rejoin(inner);
        Ok(Closed { write: self.write, patience: self.patience, arrived })
    }

    async fn join(&mut self) -> Result<(HeldTxn, Result<Arrived>)> {
        let Some(worker) = self.worker.take() else {
            return Err(Error::new(INTERNAL_ERROR, "the statement has ended already"));
        };
        worker.await.map_err(|e| match e.try_into_panic() {
            Ok(payload) => crate::sqlstate::panicked(payload.as_ref()),
            Err(_) => crate::sqlstate::cancelled(false),
        })
    }

    async fn failure(&mut self) -> Error {
        self.batches = None;
        match self.join().await {
            Ok((_, Err(e))) | Err(e) => e,
            Ok((_, Ok(_))) => Error::new(INTERNAL_ERROR, "writing ended early"),
        }
    }
}

/// All rows of a statement, on their way into the transaction.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) write: WriteTxn,
    patience: Patience,
    arrived: Arrived,
}

impl Closed {
    /// Puts them there. The transaction, and how many they are.
    pub(crate) async fn put(mut self) -> Result<(WriteTxn, u64)> {
        let arrived = self.arrived;
        let rows = arrived.rows as u64;
        arrived.lock(&mut self.write, &self.patience).await?;
        self.write.blocking(move |txn| arrived.put(txn)).await?;
        Ok((self.write, rows))
    }
}

impl Arrived {
    /// Runs on a blocking thread until the queue closes. Rows count only if the statement completed.
    fn drain(
        mut self,
        txn: &mut Transaction,
        mut queue: mpsc::Receiver<RecordBatch>,
        mut completed: oneshot::Receiver<()>,
    ) -> Result<Arrived> {
        while let Some(batch) = queue.blocking_recv() {
            self.rows += batch.num_rows();
            self.keys.iter_mut().try_for_each(|keys| keys.add(&batch))?;
            match &mut self.appender {
                None if self.rows < APPENDER_ROWS => self.buffered.push(batch),
                None => {
                    let started = self.appender.insert(txn.appender(self.table)?);
                    for earlier in self.buffered.drain(..) {
                        started.push(earlier)?;
                    }
                    started.push(batch)?;
                }
                Some(appender) => appender.push(batch)?,
            }
        }
        match completed.try_recv() {
            Ok(()) => Ok(self),
            Err(_) => Err(crate::sqlstate::cancelled(false)),
        }
    }

    /// Waits for the locks to have before the rows are put.
    async fn lock(&self, write: &mut WriteTxn, patience: &Patience) -> Result<()> {
        write.lock(patience, |txn| Ok(txn.lock_table(self.table, TableMode::RowExclusive))).await?;
        for keys in &self.keys {
            if let Some(mut locking) = keys.lock(&write.txn()?.storage)? {
                patience.wait(&mut locking).await?;
            }
        }
        Ok(())
    }

    /// Puts the rows into the transaction. Their keys are compared with all that has been committed, whatever the transaction sees.
    fn put(self, txn: &mut Transaction) -> Result<()> {
        let before = if self.keys.is_empty() { None } else { Some(txn.newest()?) };
        match self.appender {
            Some(appender) => {
                appender.finish(txn)?;
            }
            None => append_all(txn, self.table, &self.buffered)?,
        }
        let Some(before) = before else { return Ok(()) };
        let none = Gone { snapshot: &before, places: &[] };
        self.keys.into_iter().try_for_each(|keys| keys.finish(&before, none, || txn.newest()))
    }
}

/// Adds rows: few at once, many through the appender.
pub(crate) fn append_batches(txn: &mut Transaction, table: TableId, batches: Vec<RecordBatch>) -> Result<()> {
    if batches.iter().map(RecordBatch::num_rows).sum::<usize>() < APPENDER_ROWS {
        return append_all(txn, table, &batches);
    }
    let mut appender = txn.appender(table)?;
    for batch in batches {
        appender.push(batch)?;
    }
    appender.finish(txn)?;
    Ok(())
}

fn append_all(txn: &mut Transaction, table: TableId, batches: &[RecordBatch]) -> Result<()> {
    let Some(first) = batches.first() else { return Ok(()) };
    let batch = if batches.len() == 1 { first.clone() } else { concat_batches(&first.schema(), batches)? };
    if batch.num_rows() > 0 {
        txn.append(table, batch)?;
    }
    Ok(())
}

/// Appends one batch and finishes the statement.
pub(crate) async fn append(
    mut write: WriteTxn,
    patience: &Patience,
    keys: Vec<UniqueKey>,
    batch: RecordBatch,
) -> Result<u64> {
    let rows = batch.num_rows();
    if rows > 0 {
        let mut keys: Vec<NewKeys> = keys.into_iter().map(NewKeys::new).collect();
        keys.iter_mut().try_for_each(|keys| keys.add(&batch))?;
        let are_few = rows <= FEW_ROWS && batch.get_array_memory_size() <= FEW_BYTES;
        let arrived = Arrived { table: patience.table(), rows, buffered: vec![batch], appender: None, keys };
        arrived.lock(&mut write, patience).await?;
        if are_few {
            arrived.put(&mut write.txn()?.storage)?;
        } else {
            write.blocking(move |txn| arrived.put(txn)).await?;
        }
    }
    write.finish().await?;
    Ok(rows as u64)
}
