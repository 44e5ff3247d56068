//! One client's connection: messages in, statements run, answers out, until either side ends it.
//!
//! The loop owns three things that never run at the same time: the input, the output and the session. While a statement
//! runs the input is only watched, so that a client that disappears takes its statement with it. Answers gather in
//! the output buffer; it is written out about every 64 KiB, before every wait for the client and at Sync, and a client
//! that does not read stops its own statement there and nobody else's.
//!
//! An error of a statement is answered and the loop goes on (extended protocol: messages are skipped up to Sync). An
//! error of the connection ends it; the session is dropped with it, which rolls back what was open.

use crate::backend::{put_error, put_notice, put_parameter, put_ready};
use crate::encode::Zone;
use crate::extended::Portals;
use crate::frontend::{self, PROTOCOL_VIOLATION, fatal};
use crate::input::{Input, ReadError};
use crate::output::Output;
use lightning_sql::{Error, Session, Severity, SqlState};
use pgwire::messages::PgWireFrontendMessage as Message;
use std::future::Future;
use std::io;
use tokio_util::sync::CancellationToken;

/// What stops the work on a message.
#[derive(Debug)]
pub enum Stop {
    /// The statement failed; the client is told and the connection goes on.
    Statement(Error),
    /// The client is gone.
    Closed,
    /// The connection cannot go on; the client is told why.
    Fatal(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error.0.severity {
            Severity::Error => Stop::Statement(error),
            Severity::Fatal => Stop::Fatal(error),
        }
    }
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Stop::Closed
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => Stop::Closed,
            ReadError::Violation(error) => Stop::Fatal(error),
        }
    }
}

/// A connection whose session stands.
#[derive(Debug)]
pub struct Connection {
    pub(crate) input: Input,
    pub(crate) output: Output,
    pub(crate) session: Session,
    pub(crate) portals: Portals,
    shutdown: CancellationToken,
    /// After an error in the extended protocol: everything up to Sync is skipped.
    skipping: bool,
    /// Whether the messages since the last Sync run in a transaction of their own.
    pub(crate) implicit_transaction: bool,
}

impl Connection {
    /// Takes over after the welcome.
    pub fn new(input: Input, output: Output, session: Session, shutdown: CancellationToken) -> Self {
        let portals = Portals::default();
        Connection { input, output, session, portals, shutdown, skipping: false, implicit_transaction: false }
    }

    /// Serves the client until it leaves or the server stops.
    pub async fn serve(mut self) {
        match self.serve_messages().await {
            Ok(()) | Err(Stop::Closed) => {}
            Err(Stop::Statement(error) | Stop::Fatal(error)) => {
                let mut error = error;
                error.0.severity = Severity::Fatal;
                put_error(&mut self.output.buffer, &error);
            }
        }
        self.output.close().await;
    }

    async fn serve_messages(&mut self) -> Result<(), Stop> {
        self.output.flush().await?;
        loop {
            let Some(message) = self.next_message().await? else { continue };
            if matches!(message, Message::Terminate(_)) {
                return Ok(());
            }
            let extended = message.is_extended_query();
            match self.handle(message).await {
                Ok(()) => {}
                Err(Stop::Statement(error)) => self.answer_error(&error, extended).await?,
                Err(stop) => return Err(stop),
            }
        }
    }

    /// The next message; `None` when it was malformed and has been answered.
    async fn next_message(&mut self) -> Result<Option<Message>, Stop> {
        self.output.rest();
        let (kind, body) = tokio::select! {
            message = self.input.message() => message?,
            () = self.shutdown.cancelled() => {
                return Err(Stop::Fatal(fatal(SqlState("57P01"), "terminating connection due to administrator command")));
            }
        };
        match frontend::decode(kind, body) {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.0.severity == Severity::Fatal => Err(Stop::Fatal(error)),
            Err(error) => {
                let extended = !matches!(kind, b'Q' | b'F');
                self.answer_error(&error, extended).await?;
                Ok(None)
            }
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), Stop> {
        if self.skipping && !matches!(message, Message::Sync(_)) {
            return Ok(());
        }
        match message {
            Message::Query(query) => self.simple_query(&query.query).await,
            Message::Parse(parse) => self.parse(parse).await,
            Message::Bind(bind) => self.bind(bind),
            Message::Describe(describe) => self.describe(describe),
            Message::Execute(execute) => self.execute(execute).await,
            Message::Close(close) => self.close(close),
            Message::Flush(_) => Ok(self.output.flush().await?),
            Message::Sync(_) => self.sync().await,
            // Left over from a COPY that failed: the client had not heard yet.
            Message::CopyData(_) | Message::CopyDone(_) | Message::CopyFail(_) => Ok(()),
            _ => Err(Stop::Fatal(fatal(PROTOCOL_VIOLATION, "unexpected message"))),
        }
    }

    async fn answer_error(&mut self, error: &Error, extended: bool) -> Result<(), Stop> {
        self.session.fail_transaction();
        self.put_notices();
        put_error(&mut self.output.buffer, error);
        if extended {
            self.skipping = true;
            // At once: a client may wait for it without having sent Sync.
            return Ok(self.output.flush().await?);
        }
        self.ready().await
    }

    /// Ends a cycle of the extended protocol.
    async fn sync(&mut self) -> Result<(), Stop> {
        let failed = std::mem::take(&mut self.skipping);
        if std::mem::take(&mut self.implicit_transaction)
            && let Err(error) = self.session.end_implicit(!failed).await
        {
            put_error(&mut self.output.buffer, &error);
        }
        if self.session.transaction_status() != lightning_sql::TransactionStatus::InTransaction {
            self.portals.close_all();
        }
        self.ready().await
    }

    /// Tells the client that it is its turn, and sends everything.
    pub(crate) async fn ready(&mut self) -> Result<(), Stop> {
        self.put_notices();
        put_ready(&mut self.output.buffer, self.session.transaction_status());
        Ok(self.output.flush().await?)
    }

    /// Notices and changed settings since the last time.
    pub(crate) fn put_notices(&mut self) {
        for notice in self.session.take_notices() {
            put_notice(&mut self.output.buffer, &notice);
        }
        for (name, value) in self.session.take_parameter_changes() {
            put_parameter(&mut self.output.buffer, &name, &value);
        }
    }

    /// The session's time zone now.
    pub(crate) fn zone(&self) -> Zone {
        self.session.setting("TimeZone").map_or(Zone::Utc, |name| Zone::parse(&name))
    }
}

/// Waits for `work` of the session; cancels its statement when the client disappears or the server stops.
pub async fn watched<T>(
    input: &mut Input,
    shutdown: &CancellationToken,
    session: &Session,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    tokio::select! {
        biased;
        // The watchers come first: work that spends its task's whole budget each time it is polled would leave the
        // socket none to be read with, and a client that has gone would never be noticed.
        () = input.closed() => {}
        () = shutdown.cancelled() => {}
        value = &mut work => return value,
    }
    session.cancel_handle().cancel();
    work.await
}

impl Connection {
    /// [`watched`] over this connection's parts, for work that borrows only the session.
    pub(crate) async fn run_watched<T>(&mut self, work: impl AsyncFnOnce(&Session) -> T) -> T {
        watched(&mut self.input, &self.shutdown, &self.session, work(&self.session)).await
    }

    /// Whether the server is stopping, as a token that can be waited for.
    pub(crate) fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }
}
