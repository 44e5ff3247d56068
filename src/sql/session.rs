//! One client's conversation with the database.
//!
//! The journey of a statement: [`Session::parse`] cuts and parses the text; [`Session::run`] registers it as running (so that
//! it can be cancelled and timed out), refuses it when the transaction block has failed, and hands it to
//! `statements::execute`, which plans and runs it. Results stream: the running statement is registered until the stream ends
//! or is dropped. Whatever fails, also a panic, becomes an [`Error`] and fails the open block.

use crate::active::Active;
use crate::context::{SessionInfo, StatementContext};
use crate::error::{Error, Result};
use crate::executor::{Executor, is_planned};
use crate::extension::Extensions;
use crate::instance::Instance;
use crate::isolation::Level;
use crate::outcome::{Notice, Outcome, RowStream};
use crate::parser::{self, Parsed};
use crate::point::{self, PointCall};
use crate::prepared::PreparedStatement;
use crate::sqlstate::{self, IN_FAILED_SQL_TRANSACTION, SYNTAX_ERROR, panicked};
use crate::statements;
use crate::transaction::{Transactions, WriteTxn};
use crate::types::PgType;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::execution::session_state::SessionState;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

/// State of a session's transaction, as ReadyForQuery reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `I`
    Idle,
    /// `T`
    InTransaction,
    /// `E`: everything but ROLLBACK answers 25P02.
    Failed,
}

/// One parsed statement.
#[derive(Clone, Debug)]
pub struct Statement {
    text: Arc<str>,
    /// `None` when the text was recognised without parsing it.
    parsed: Option<Arc<Parsed>>,
    /// The statement as one about a single row, if it is.
    point: Option<PointCall>,
}

impl Statement {
    /// The statement's own text.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn parsed(&self) -> Result<Arc<Parsed>> {
        match &self.parsed {
            Some(parsed) => Ok(Arc::clone(parsed)),
            // A point statement has no words of extensions.
            None => parse(&self.text, &Extensions::default())?
                .pop()
                .map(Arc::new)
                .ok_or_else(|| Error::new(SYNTAX_ERROR, "no statement")),
        }
    }

    /// Whether it begins or ends a transaction block.
    pub fn is_transaction_control(&self) -> bool {
        self.parsed.as_ref().is_some_and(|parsed| statements::is_transaction_control(&parsed.kind))
    }
}

/// A prepared statement.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(crate) inner: Arc<PreparedStatement>,
}

impl Prepared {
    /// Parameter types in order of `$n`.
    pub fn parameters(&self) -> &[PgType] {
        &self.inner.parameters
    }
    /// Result columns; `None` when it returns no rows.
    pub fn schema(&self) -> Option<SchemaRef> {
        self.inner.schema.clone()
    }
    /// The statement's own text; empty for an empty statement.
    pub fn text(&self) -> &str {
        self.inner.parsed.as_ref().map_or("", |p| p.text.as_str())
    }
}

/// Cancels whatever statement runs in its session.
#[derive(Clone, Debug)]
pub struct CancelHandle {
    instance: Arc<Instance>,
    process_id: i32,
}

impl CancelHandle {
    /// Stops the running statement with 57014; no effect when idle.
    pub fn cancel(&self) {
        self.instance.active().cancel(self.process_id);
    }
}

/// A session. One statement at a time; cheap to share by `Arc`.
#[derive(Debug)]
pub struct Session {
    pub(crate) shared: Arc<Shared>,
}

/// What statements and streams of a session share.
pub(crate) struct Shared {
    pub(crate) instance: Arc<Instance>,
    pub(crate) info: Arc<SessionInfo>,
    secret: i32,
    /// DataFusion's state without names.
    pub(crate) base: Arc<SessionState>,
    pub(crate) local_files: bool,
    pub(crate) transactions: Arc<Transactions>,
    notices: Mutex<Vec<Notice>>,
    /// Where statements are planned and computed; where they come in, when it is not set.
    executor: OnceLock<Executor>,
    /// Statements of SQL-level PREPARE, by name.
    pub(crate) prepared: Mutex<HashMap<String, Prepared>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.instance.disconnected(self.info.process_id);
    }
}

impl Shared {
    /// Queues a message for the client.
    pub(crate) fn notice(&self, severity: &'static str, state: crate::SqlState, message: impl Into<String>) {
        let least = self.info.settings.get("client_min_messages").unwrap_or_default();
        let is_wanted = match severity {
            "NOTICE" => !matches!(least.as_str(), "warning" | "error"),
            _ => least != "error",
        };
        if is_wanted {
            self.notices.lock().push(Notice { severity, state, message: message.into() });
        }
    }

    /// `WARNING`.
    pub(crate) fn warn(&self, state: crate::SqlState, message: impl Into<String>) {
        self.notice("WARNING", state, message);
    }

    /// The isolation level of the open transaction, or of the one a statement will be.
    pub(crate) fn level(&self) -> Level {
        let is_explicit = self.transactions.in_block() && !self.transactions.is_implicit();
        let name = if is_explicit { "transaction_isolation" } else { "default_transaction_isolation" };
        Level::of(&self.info.settings.get(name).unwrap_or_default())
    }

    /// The transaction for a statement to write in.
    pub(crate) fn write(&self) -> Result<WriteTxn> {
        self.transactions.write(&self.instance, self.level())
    }

    /// The snapshots a statement reads.
    pub(crate) fn snapshots(&self) -> Result<(lightning_storage::Snapshot, Arc<lightning_catalog::Snapshot>)> {
        self.transactions.snapshots(&self.instance, self.level())
    }

    /// Whether the open transaction, or the one a statement will be, may not write.
    pub(crate) fn is_read_only(&self) -> bool {
        let is_on = |name: &str| self.info.settings.get(name).is_some_and(|value| value == "on");
        is_on("transaction_read_only") || is_on("default_transaction_read_only")
    }

    /// Runs a statement about one row; `None` when it must go the long way.
    async fn run_point(
        self: &Arc<Self>,
        text: &str,
        point: &PointCall,
        prepared: Option<&PreparedStatement>,
        parameters: &[ScalarValue],
    ) -> Result<Option<Outcome>> {
        if self.transactions.has_failed() {
            return Ok(None);
        }
        let work = AssertUnwindSafe(Box::pin(point::run(self, text, point, prepared, parameters))).catch_unwind();
        let result = work.await.unwrap_or_else(|payload| Err(panicked(payload.as_ref())));
        if let Ok(Some(_)) = &result {
            self.instance.templates().count_answered();
        }
        result.inspect_err(|_| self.transactions.fail())
    }

    /// The view a statement gets: the newest snapshot, with the open transaction's own changes.
    pub(crate) fn context(&self) -> Result<Arc<StatementContext>> {
        let (storage, catalog) = self.snapshots()?;
        Ok(self.set_context(storage, catalog))
    }

    /// The schemas that unqualified names are looked up in, of those that exist.
    pub(crate) fn search_path(&self, catalog: &lightning_catalog::Snapshot) -> Vec<String> {
        let database = self.info.database_oid;
        let of_function = self.info.firing.search_path();
        let mut search_path = of_function.unwrap_or_else(|| self.info.settings.search_path(&self.info.user));
        // `"$user"` never means a system schema, even when the user's name is that of one.
        let written = self.info.settings.get("search_path").unwrap_or_default();
        let of_user = |name: &str| name == self.info.user && written.contains("$user");
        search_path
            .retain(|name| catalog.schema(database, name).is_some_and(|schema| !(schema.is_system() && of_user(name))));
        if !search_path.iter().any(|name| name == "pg_catalog") {
            search_path.insert(0, "pg_catalog".to_owned());
        }
        search_path
    }

    /// Where statements inside others run.
    pub(crate) fn executor(&self) -> Executor {
        let here = || Executor::new(tokio::runtime::Handle::current());
        self.executor.get().cloned().unwrap_or_else(here)
    }

    /// Makes a statement context of two snapshots and shows it to system functions.
    pub(crate) fn set_context(
        &self,
        storage: lightning_storage::Snapshot,
        catalog: Arc<lightning_catalog::Snapshot>,
    ) -> Arc<StatementContext> {
        let database = self.info.database_oid;
        let search_path = self.search_path(&catalog);
        let context = Arc::new(StatementContext { storage, catalog, database, search_path });
        *self.info.statement.write() = Some(Arc::clone(&context));
        context
    }

    /// Zone of time stamps without one.
    pub(crate) fn zone(&self) -> arrow::array::timezone::Tz {
        let name = self.info.settings.get("timezone").unwrap_or_default();
        crate::text::datetime::zone(&name).unwrap_or_else(|_| crate::text::datetime::utc())
    }

    /// Runs `parsed` with `parameters` as one statement.
    async fn execute(
        self: &Arc<Self>,
        parsed: &Arc<Parsed>,
        prepared: Option<&Prepared>,
        parameters: Vec<ScalarValue>,
    ) -> Result<Outcome> {
        let kind = &parsed.kind;
        if self.transactions.has_failed() && !statements::ends_block(kind) {
            return Err(Error::new(
                IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        let settings = &self.info.settings;
        let active = self.instance.active().begin(
            self.info.process_id,
            &self.info.user,
            &parsed.text,
            settings.statement_timeout(),
        );
        *self.info.running.write() = active.token().clone();
        let run = Run { session: Arc::clone(self), parsed: Arc::clone(parsed), active, parameters };
        let result = match self.executor.get().filter(|_| is_planned(kind)) {
            None => run.execute(prepared).await,
            Some(executor) => {
                let prepared = prepared.cloned();
                let result = executor.run(async move { run.execute(prepared.as_ref()).await }).await;
                result.map(|outcome| match outcome {
                    Outcome::Rows(rows) => Outcome::Rows(RowStream { batches: executor.rows(rows.batches), ..rows }),
                    other => other,
                })
            }
        };
        if result.is_err() {
            self.transactions.fail();
        }
        result
    }
}

/// One statement on its way.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) session: Arc<Shared>,
    pub(crate) parsed: Arc<Parsed>,
    pub(crate) active: Arc<Active>,
    pub(crate) parameters: Vec<ScalarValue>,
}

impl Run {
    /// The same statement running another text: a part of its own, or what EXECUTE names.
    pub(crate) fn with(&self, parsed: Arc<Parsed>) -> Run {
        Run {
            session: Arc::clone(&self.session),
            parsed,
            active: Arc::clone(&self.active),
            parameters: self.parameters.clone(),
        }
    }

    /// Runs the statement.
    async fn execute(&self, prepared: Option<&Prepared>) -> Result<Outcome> {
        self.guarded(Box::pin(statements::execute(self, prepared))).await.map_err(|e| self.locate(e))
    }

    /// Runs `work` until it ends, is cancelled or panics.
    pub(crate) async fn guarded<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let work = AssertUnwindSafe(work).catch_unwind();
        tokio::select! {
            biased;
            () = self.active.token().cancelled() => Err(self.active.error()),
            result = work => result.unwrap_or_else(|payload| Err(panicked(payload.as_ref()))),
        }
    }

    /// Adds the position of the name an error is about.
    fn locate(&self, error: Error) -> Error {
        // What has a context is about another text.
        if error.0.position.is_some() || error.0.context.is_some() {
            return error;
        }
        if let Some(location) = error.0.location {
            return error.with_position(self.parsed.position(location));
        }
        let name = match error.state() {
            sqlstate::UNDEFINED_COLUMN | sqlstate::AMBIGUOUS_COLUMN => error.0.column.clone(),
            sqlstate::UNDEFINED_TABLE | sqlstate::GROUPING_ERROR => last_quoted(error.message()),
            sqlstate::UNDEFINED_FUNCTION => error
                .message()
                .strip_prefix("function ")
                .map(|rest| rest.split(['(', ' ']).next().unwrap_or(rest).to_owned()),
            _ => None,
        };
        let position = name.and_then(|name| {
            let name = name.rsplit('.').next().unwrap_or(&name).to_owned();
            self.parsed.position_of(&name)
        });
        error.with_position(position)
    }
}

/// Parses a script. No text makes it panic.
fn parse(sql: &str, extensions: &Extensions) -> Result<Vec<Parsed>> {
    let parse = std::panic::AssertUnwindSafe(|| parser::parse_extended(sql, extensions));
    std::panic::catch_unwind(parse).unwrap_or_else(|payload| Err(panicked(payload.as_ref())))
}

fn last_quoted(message: &str) -> Option<String> {
    let mut parts = message.split('"');
    parts.next()?;
    parts.next().map(str::to_owned)
}

/// Futures that callers await are boxed, so that what they do is compiled here and not with every caller.
impl Session {
    pub(crate) fn new(
        instance: Arc<Instance>,
        info: Arc<SessionInfo>,
        secret: i32,
        base: Arc<SessionState>,
        local_files: bool,
    ) -> Session {
        let shared = Shared {
            instance,
            info,
            secret,
            base,
            local_files,
            transactions: Arc::default(),
            notices: Mutex::default(),
            executor: OnceLock::new(),
            prepared: Mutex::default(),
        };
        Session { shared: Arc::new(shared) }
    }

    /// Has statements that take planning run on other threads than those that ask; to be said before the first.
    pub fn execute_on(&self, handle: tokio::runtime::Handle) {
        // Whoever says it twice means the same.
        let _ = self.shared.executor.set(Executor::new(handle));
    }

    /// Process id and secret for the cancel protocol.
    pub fn backend_key(&self) -> (i32, i32) {
        (self.shared.info.process_id, self.shared.secret)
    }

    /// What the session is.
    pub fn info(&self) -> &Arc<SessionInfo> {
        &self.shared.info
    }

    /// The database it belongs to.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.shared.instance
    }

    /// Splits and parses a script. 42601 with position; 54001 when nested too deep.
    pub fn parse(&self, sql: &str) -> Result<Vec<Statement>> {
        let templates = self.shared.instance.templates();
        if let Some(point) = templates.find(sql) {
            return Ok(vec![Statement { text: sql.into(), parsed: None, point: Some(point) }]);
        }
        let parsed = parse(sql, self.shared.instance.extensions()).inspect_err(|_| self.shared.transactions.fail())?;
        let mut statements: Vec<Statement> = parsed
            .into_iter()
            .map(|parsed| Statement { text: parsed.text.as_str().into(), parsed: Some(Arc::new(parsed)), point: None })
            .collect();
        if let [Statement { parsed: Some(parsed), point, .. }] = statements.as_mut_slice() {
            *point = templates.learn(parsed);
        }
        Ok(statements)
    }

    /// Runs one statement of [`Session::parse`].
    pub fn run<'a>(&'a self, statement: &'a Statement) -> BoxFuture<'a, Result<Outcome>> {
        Box::pin(async move {
            if let Some(point) = &statement.point
                && let Some(outcome) = self.shared.run_point(&statement.text, point, None, &[]).await?
            {
                return Ok(outcome);
            }
            let parsed = statement.parsed().inspect_err(|_| self.shared.transactions.fail())?;
            self.shared.execute(&parsed, None, Vec::new()).await
        })
    }

    /// Starts the implicit transaction block of a multi-statement simple query.
    pub async fn begin_implicit(&self) {
        if self.shared.transactions.begin_implicit() {
            self.shared.info.settings.begin_transaction();
        }
    }

    /// Ends it: commits when `commit`, else rolls back; no effect inside an explicit block.
    pub fn end_implicit(&self, commit: bool) -> BoxFuture<'_, Result<()>> {
        let shared = &self.shared;
        Box::pin(async move {
            if !shared.transactions.is_implicit() {
                return Ok(());
            }
            if !commit {
                shared.info.settings.end_transaction(false);
                shared.transactions.rollback().await;
                return Ok(());
            }
            let result = shared.transactions.commit(&shared.instance).await;
            shared.info.settings.end_transaction(matches!(result, Ok(true)));
            result.map(|_| ())
        })
    }

    /// Parses and plans one statement with `$n` parameters; OID 0 (`None`) parameters are inferred.
    pub fn prepare<'a>(&'a self, sql: &'a str, parameters: &'a [Option<PgType>]) -> BoxFuture<'a, Result<Prepared>> {
        Box::pin(async move {
            let mut statements = self.parse(sql)?;
            if statements.len() > 1 {
                self.shared.transactions.fail();
                return Err(Error::new(SYNTAX_ERROR, "cannot insert multiple commands into a prepared statement"));
            }
            let parsed = statements.pop().map(|statement| statement.parsed()).transpose()?;
            self.prepare_parsed(parsed, parameters).await.inspect_err(|_| self.shared.transactions.fail())
        })
    }

    async fn prepare_parsed(&self, parsed: Option<Arc<Parsed>>, parameters: &[Option<PgType>]) -> Result<Prepared> {
        let Some(parsed) = parsed else { return Ok(Prepared { inner: Arc::new(PreparedStatement::empty()) }) };
        self.shared.prepare(parsed, parameters).await
    }

    /// Runs a prepared statement.
    pub fn run_prepared<'a>(
        &'a self,
        prepared: &'a Prepared,
        parameters: Vec<ScalarValue>,
    ) -> BoxFuture<'a, Result<Outcome>> {
        Box::pin(async move {
            let Some(parsed) = &prepared.inner.parsed else { return Ok(Outcome::Empty) };
            if let Some(point) = &prepared.inner.point
                && let Some(outcome) =
                    self.shared.run_point(&parsed.text, point, Some(&prepared.inner), &parameters).await?
            {
                return Ok(outcome);
            }
            self.shared.execute(parsed, Some(prepared), parameters).await
        })
    }

    /// For another thread to stop the running statement.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle { instance: Arc::clone(&self.shared.instance), process_id: self.shared.info.process_id }
    }

    /// Fails the open transaction block, if there is one: the client was told of an error that no statement of the
    /// session caused (a malformed message inside the block).
    pub fn fail_transaction(&self) {
        self.shared.transactions.fail();
    }

    /// Where the session stands.
    pub fn transaction_status(&self) -> TransactionStatus {
        self.shared.transactions.status()
    }

    /// Notices since the last call.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.shared.notices.lock())
    }

    /// Reported settings that changed since the last call (`TimeZone`, `DateStyle`, …); all of them the first time.
    pub fn take_parameter_changes(&self) -> Vec<(String, String)> {
        self.shared.info.settings.take_changes()
    }

    /// The current value of a setting.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.shared.info.settings.get(name)
    }
}

impl Shared {
    /// Prepares a parsed statement, registered as running while it is planned.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        parsed: Arc<Parsed>,
        parameters: &[Option<PgType>],
    ) -> Result<Prepared> {
        if self.transactions.has_failed() && !statements::ends_block(&parsed.kind) {
            return Err(Error::new(
                IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        let timeout = self.info.settings.statement_timeout();
        let active = self.instance.active().begin(self.info.process_id, &self.info.user, &parsed.text, timeout);
        *self.info.running.write() = active.token().clone();
        let run = Run { session: Arc::clone(self), parsed: Arc::clone(&parsed), active, parameters: Vec::new() };
        let types = parameters.to_vec();
        let work = async move {
            let inner =
                run.guarded(Box::pin(crate::prepared::prepare(&run, &types))).await.map_err(|e| run.locate(e))?;
            Ok(Prepared { inner: Arc::new(inner) })
        };
        match self.executor.get().filter(|_| is_planned(&parsed.kind)) {
            None => work.await,
            Some(executor) => executor.run(work).await,
        }
    }
}
