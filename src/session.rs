//! Sessions, prepared statements, transactions and streamed rows of the embedded API.
//!
//! Every statement runs as a task on the database's own runtime; what the caller awaits is a channel. So any executor
//! will do on the caller's side, a slow reader holds the query back (the channel takes [`BATCHES_AHEAD`] batches), and
//! dropping a [`Rows`] stops its query.
//!
//! A session runs one statement at a time. A statement that meets an unfinished [`Rows`] of the same session answers
//! an error instead of waiting for ever; one that meets a *dropped* `Rows` or [`Transaction`] waits the moment it
//! takes to wind that up, and an abandoned transaction is rolled back before anything else runs.

use crate::database::Database;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use futures::{Stream, StreamExt, TryStreamExt};
use lightning_sql::types::{PgType, arrow_field};
use lightning_sql::{CancelHandle, Error, Outcome, Prepared, Result, RowStream, SqlState};
use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::task::JoinHandle;

/// A parameter's value; numbers, strings, booleans and `Option`s of them convert by `Value::from`.
pub type Value = ScalarValue;

/// Batches computed ahead of a slow reader.
const BATCHES_AHEAD: usize = 2;

/// The parameters of a prepared statement, each anything [`Value`] has a `From` for: `params![1, "Oslo", None::<f64>]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::Value::from($value)),*] as &[$crate::Value]
    };
}

/// One conversation with the database: its own settings, its own transaction, one statement at a time.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    /// Keeps the database open; never part of `Shared`, which tasks own.
    database: Database,
}

/// What the statements of a session share with its tasks.
struct Shared {
    session: lightning_sql::Session,
    /// Held while a statement runs.
    running: Arc<tokio::sync::Mutex<()>>,
    /// Alive while the caller holds rows that have not ended.
    rows: Mutex<Weak<()>>,
    /// A [`Transaction`] was dropped and its ROLLBACK has not run yet.
    abandoned: AtomicBool,
}

impl Database {
    /// A new session. Sessions are independent: each has its own transaction and settings.
    pub fn connect(&self) -> Result<Session> {
        let shared = Shared {
            session: self.sql_session("lightning embedded")?,
            running: Arc::default(),
            rows: Mutex::default(),
            abandoned: AtomicBool::new(false),
        };
        Ok(Session { shared: Arc::new(shared), database: self.clone() })
    }
}

impl Session {
    /// Runs one or more statements separated by `;` and returns the rows the last one affected (or returned). Several
    /// statements stand or fall together unless they say BEGIN and COMMIT themselves.
    pub async fn execute(&self, sql: &str) -> Result<u64> {
        let sql = sql.to_string();
        self.run(move |shared| async move { execute_script(&shared.session, &sql).await }).await
    }

    /// Runs one statement and streams its rows.
    pub async fn query(&self, sql: &str) -> Result<Rows> {
        let sql = sql.to_string();
        self.stream(move |shared| async move {
            let [statement] = <[_; 1]>::try_from(shared.session.parse(&sql)?).map_err(|statements| {
                Error::new(SqlState("42601"), format!("query takes one statement, not {}", statements.len()))
            })?;
            shared.session.run(&statement).await
        })
        .await
    }

    /// Parses and plans one statement with parameters `$1`, `$2`, …
    pub async fn prepare(&self, sql: &str) -> Result<Statement<'_>> {
        let sql = sql.to_string();
        let prepared = self.run(move |shared| async move { shared.session.prepare(&sql, &[]).await }).await?;
        let arrow_type = |pg: &PgType| Some(arrow_field("parameter", *pg, true)?.data_type().clone());
        let types = prepared.parameters().iter().map(arrow_type).collect();
        Ok(Statement { session: self, prepared, types })
    }

    /// Starts a transaction block. The session is the transaction's until it ends.
    pub async fn begin(&mut self) -> Result<Transaction<'_>> {
        self.execute("BEGIN").await?;
        Ok(Transaction { session: self, ended: false })
    }

    /// Stops the running statement from another thread; it answers SQLSTATE 57014.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.shared.session.cancel_handle()
    }

    /// The current value of a setting such as `TimeZone`.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.shared.session.setting(name)
    }

    /// The database this session belongs to.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Runs `work` as a task once the statement before it is wound up.
    async fn run<T, F, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
        W: FnOnce(Arc<Shared>) -> F + Send + 'static,
    {
        self.shared.refuse_while_rows_are_read()?;
        let shared = Arc::clone(&self.shared);
        let task = self.database.runtime().spawn(async move {
            let _running = shared.start().await?;
            work(Arc::clone(&shared)).await
        });
        join(AbortOnDrop(task)).await
    }

    /// Runs `work` as a task that stays alive to feed a [`Rows`].
    async fn stream<F, W>(&self, work: W) -> Result<Rows>
    where
        F: Future<Output = Result<Outcome>> + Send + 'static,
        W: FnOnce(Arc<Shared>) -> F + Send + 'static,
    {
        self.shared.refuse_while_rows_are_read()?;
        let token = Arc::new(());
        *self.shared.rows.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&token);
        let shared = Arc::clone(&self.shared);
        let (to_caller, mut from_task) = mpsc::channel(BATCHES_AHEAD);
        let task = AbortOnDrop(self.database.runtime().spawn(async move {
            let running = shared.start().await?;
            let outcome = work(Arc::clone(&shared)).await?;
            let affected = match &outcome {
                Outcome::Done { rows, .. } => *rows,
                _ => 0,
            };
            feed(rows_of(outcome).await?, affected, running, to_caller).await
        }));
        match from_task.recv().await {
            Some(Message::Begin { schema, affected }) => {
                let database = self.database.clone();
                Ok(Rows { schema, affected, from_task, task: Some(task), token: Some(token), _database: database })
            }
            Some(Message::Batch(_)) => unreachable!("the schema is sent first"),
            None => match join(task).await {
                Err(e) => Err(e),
                Ok(()) => Err(internal("a query ended before it described its rows")),
            },
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Shared {
    fn refuse_while_rows_are_read(&self) -> Result<()> {
        match self.rows.lock().unwrap_or_else(PoisonError::into_inner).strong_count() {
            0 => Ok(()),
            _ => Err(Error::new(SqlState("55006"), "rows of an earlier query of this session are still being read")),
        }
    }

    /// Waits until nothing runs, and rolls an abandoned transaction back.
    async fn start(&self) -> Result<OwnedMutexGuard<()>> {
        let running = Arc::clone(&self.running).lock_owned().await;
        if self.abandoned.swap(false, Ordering::AcqRel) {
            execute_script(&self.session, "ROLLBACK").await?;
        }
        Ok(running)
    }
}

/// What a query's task tells its [`Rows`].
enum Message {
    /// Comes first: the columns, and the rows that a command without columns affected.
    Begin {
        schema: SchemaRef,
        affected: u64,
    },
    Batch(RecordBatch),
}

/// Sends a query's rows until they end or the reader is gone.
async fn feed(
    mut rows: RowStream,
    affected: u64,
    running: OwnedMutexGuard<()>,
    to_caller: mpsc::Sender<Message>,
) -> Result<()> {
    let begin = Message::Begin { schema: Arc::clone(&rows.schema), affected };
    let reader_is_there = to_caller.send(begin).await.is_ok();
    while reader_is_there && let Some(batch) = rows.batches.next().await {
        if to_caller.send(Message::Batch(batch?)).await.is_err() {
            break;
        }
    }
    // The statement ends with its stream, and only then may the next one start.
    drop(rows);
    drop(running);
    Ok(())
}

/// The rows of an outcome; commands without rows give none.
async fn rows_of(outcome: Outcome) -> Result<RowStream> {
    match outcome {
        Outcome::Rows(rows) => Ok(rows),
        Outcome::Empty => Ok(no_rows(String::new())),
        Outcome::Done { tag, .. } => Ok(no_rows(tag)),
        Outcome::CopyIn(copy) => Err(copy.abort("COPY FROM STDIN has no input here").await),
        Outcome::CopyOut(_) => Err(Error::new(SqlState("0A000"), "COPY TO STDOUT is for the wire protocol")),
    }
}

fn no_rows(tag: String) -> RowStream {
    RowStream { schema: Arc::new(arrow::datatypes::Schema::empty()), batches: futures::stream::empty().boxed(), tag }
}

/// Runs every statement of a script; the rows affected by the last.
async fn execute_script(session: &lightning_sql::Session, sql: &str) -> Result<u64> {
    let statements = session.parse(sql)?;
    if let [statement] = statements.as_slice() {
        return rows_affected(session.run(statement).await?).await;
    }
    session.begin_implicit().await;
    let mut affected = 0;
    for statement in &statements {
        let result = match session.run(statement).await {
            Ok(outcome) => rows_affected(outcome).await,
            Err(e) => Err(e),
        };
        match result {
            Ok(rows) => affected = rows,
            Err(e) => {
                session.end_implicit(false).await?;
                return Err(e);
            }
        }
    }
    session.end_implicit(true).await?;
    Ok(affected)
}

/// Runs an outcome to its end and counts.
async fn rows_affected(outcome: Outcome) -> Result<u64> {
    match outcome {
        Outcome::Done { rows, .. } => Ok(rows),
        other => {
            let mut rows = rows_of(other).await?;
            let mut count = 0;
            while let Some(batch) = rows.batches.try_next().await? {
                count += batch.num_rows() as u64;
            }
            Ok(count)
        }
    }
}

/// A prepared statement of a [`Session`].
#[derive(Debug)]
pub struct Statement<'s> {
    session: &'s Session,
    prepared: Prepared,
    /// Arrow types of the parameters, where there is one.
    types: Vec<Option<DataType>>,
}

impl Statement<'_> {
    /// Runs it; rows affected (or returned). Values are cast to the parameters' types where nothing is lost.
    pub async fn execute(&self, parameters: &[Value]) -> Result<u64> {
        let (prepared, values) = (self.prepared.clone(), self.bind(parameters)?);
        let work = move |shared: Arc<Shared>| async move {
            rows_affected(shared.session.run_prepared(&prepared, values).await?).await
        };
        self.session.run(work).await
    }

    /// Runs it and streams its rows.
    pub async fn query(&self, parameters: &[Value]) -> Result<Rows> {
        let (prepared, values) = (self.prepared.clone(), self.bind(parameters)?);
        self.session.stream(move |shared| async move { shared.session.run_prepared(&prepared, values).await }).await
    }

    /// Columns of its result; `None` for a command that returns no rows.
    pub fn schema(&self) -> Option<SchemaRef> {
        self.prepared.schema()
    }

    /// Number of parameters.
    pub fn parameters_len(&self) -> usize {
        self.prepared.parameters().len()
    }

    fn bind(&self, values: &[Value]) -> Result<Vec<ScalarValue>> {
        if self.types.len() != values.len() {
            let message = format!("the statement takes {} parameters, {} were given", self.types.len(), values.len());
            return Err(Error::new(SqlState("08P01"), message));
        }
        let types = self.prepared.parameters().iter().copied().zip(self.types.iter().map(Option::as_ref));
        values.iter().zip(types).enumerate().map(|(i, (value, types))| cast(i + 1, value, types)).collect()
    }
}

/// A parameter's value as the Arrow type of its PostgreSQL type, if that has one.
fn cast(number: usize, value: &Value, (pg, wanted): (PgType, Option<&DataType>)) -> Result<ScalarValue> {
    let Some(wanted) = wanted.filter(|wanted| **wanted != value.data_type()) else { return Ok(value.clone()) };
    if value.is_null() {
        return ScalarValue::try_from(wanted).map_err(|e| internal(&e.to_string()));
    }
    let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
    value.cast_to_with_options(wanted, &options).map_err(|e| {
        let message = format!("parameter ${number} does not fit its type {}", pg.sql_name());
        Error::new(SqlState("22P02"), message).with_detail(Error::from(e).message())
    })
}

/// A transaction block of a [`Session`]; everything the session can do happens inside it. Dropping it rolls back.
#[derive(Debug)]
pub struct Transaction<'s> {
    session: &'s Session,
    ended: bool,
}

impl Transaction<'_> {
    /// Makes everything durable and visible. When the transaction has failed before, it is rolled back and this
    /// answers SQLSTATE 25P02.
    pub async fn commit(mut self) -> Result<()> {
        let failed = self.session.shared.session.transaction_status() == lightning_sql::TransactionStatus::Failed;
        self.session.execute("COMMIT").await?;
        self.ended = true;
        match failed {
            true => Err(Error::new(SqlState("25P02"), "the transaction had failed and was rolled back")),
            false => Ok(()),
        }
    }

    /// Forgets everything.
    pub async fn rollback(mut self) -> Result<()> {
        self.session.execute("ROLLBACK").await?;
        self.ended = true;
        Ok(())
    }
}

impl Deref for Transaction<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let shared = Arc::clone(&self.session.shared);
        shared.abandoned.store(true, Ordering::Release);
        // Locks should not wait for the session's next statement. If this fails, that statement reports it.
        self.session.database.runtime().spawn(async move { drop(shared.start().await) });
    }
}

/// Rows of a query, streamed as Arrow batches. Dropping it stops the query.
pub struct Rows {
    schema: SchemaRef,
    affected: u64,
    from_task: mpsc::Receiver<Message>,
    /// `None` once the rows have ended.
    task: Option<AbortOnDrop<()>>,
    token: Option<Arc<()>>,
    _database: Database,
}

impl Rows {
    /// The columns; none for a command that returns no rows.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Rows that a command without columns affected (INSERT, COPY FROM, EXECUTE of one of them); 0 for a query.
    pub fn rows_affected(&self) -> u64 {
        self.affected
    }

    /// All batches at once.
    pub async fn collect(self) -> Result<Vec<RecordBatch>> {
        self.try_collect().await
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match std::task::ready!(self.from_task.poll_recv(context)) {
            Some(Message::Batch(batch)) => return Poll::Ready(Some(Ok(batch))),
            Some(Message::Begin { .. }) => unreachable!("the schema is sent once, and taken before there are rows"),
            None => {}
        }
        // The channel closed: the task says whether that is the end or an error.
        let Some(task) = self.task.as_mut() else { return Poll::Ready(None) };
        let ended = std::task::ready!(Pin::new(&mut task.0).poll(context));
        self.task = None;
        self.token = None;
        match ended.unwrap_or_else(|e| Err(task_failed(e))) {
            Ok(()) => Poll::Ready(None),
            Err(e) => Poll::Ready(Some(Err(e))),
        }
    }
}

/// A task that stops when nobody waits for it any more.
struct AbortOnDrop<T>(JoinHandle<Result<T>>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn join<T>(mut task: AbortOnDrop<T>) -> Result<T> {
    (&mut task.0).await.unwrap_or_else(|e| Err(task_failed(e)))
}

/// A task ends without a result only when it panicked or the database is closing.
fn task_failed(e: tokio::task::JoinError) -> Error {
    match e.is_cancelled() {
        true => Error::new(SqlState("57P01"), "the database is closing"),
        false => internal("a query thread failed; this is a bug in Lightning"),
    }
}

fn internal(message: &str) -> Error {
    Error::new(SqlState("XX000"), message)
}
