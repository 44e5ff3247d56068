//! The listening side: accepts connections within limits and gives each a task of its own.

use crate::connection::Connection;
use crate::frontend::fatal;
use crate::input::{Input, ReadError};
use crate::output::Output;
use crate::startup::{self, Opening};
use lightning_sql::{Instance, SqlState};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections waiting to be accepted.
const BACKLOG: u32 = 1024;
/// Connections beyond the maximum that are kept just long enough to be told so, or to cancel something.
const SURPLUS_CONNECTIONS_MAX: usize = 64;
/// Pause after the system could not give us another socket.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// How a server treats its clients.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Sessions at a time; a further client gets 53300.
    pub connections_max: usize,
    /// Longest message accepted from a client, in bytes.
    pub message_bytes_max: usize,
    /// Time a client has to complete its startup.
    pub startup_timeout: Duration,
    /// Time statements get to stop when the server shuts down.
    pub shutdown_timeout: Duration,
    /// Whether COPY may read and write files of the server.
    pub local_files: bool,
    /// Where connections are served, in turn; where the server is polled when there are none.
    pub connection_runtimes: Vec<Handle>,
    /// Where statements that take planning run, so that connections are served meanwhile; with the connections when it is not set.
    pub executor: Option<Handle>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            connections_max: 100,
            message_bytes_max: 256 << 20,
            startup_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(10),
            local_files: true,
            connection_runtimes: Vec::new(),
            executor: None,
        }
    }
}

/// Refuses addresses that other machines can reach: no password can be set, and whoever connects may do everything.
pub fn check_listen_address(address: SocketAddr) -> Result<(), String> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(format!(
        "refusing to listen on {address}: no password can be set yet, so only loopback addresses such as 127.0.0.1 and ::1 \
         are allowed"
    ))
}

/// A server bound to its address.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    instance: Arc<Instance>,
    options: ServerOptions,
    sessions: Arc<Semaphore>,
    surplus: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Server {
    /// Binds `address` (port 0: any free one). Must be called within a Tokio runtime.
    pub fn bind(instance: Arc<Instance>, address: SocketAddr, options: ServerOptions) -> io::Result<Server> {
        check_listen_address(address).map_err(|why| io::Error::new(io::ErrorKind::PermissionDenied, why))?;
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let sessions = Arc::new(Semaphore::new(options.connections_max));
        let surplus = Arc::new(Semaphore::new(SURPLUS_CONNECTIONS_MAX));
        let shutdown = CancellationToken::new();
        Ok(Server { listener, shared: Arc::new(Shared { instance, options, sessions, surplus, shutdown }) })
    }

    /// The address bound, with the port the system chose.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` resolves; then running statements are cancelled, clients told, and connections closed.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        let mut runtimes = self.shared.options.connection_runtimes.clone().into_iter().cycle();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let runtime = runtimes.next().unwrap_or_else(Handle::current);
                        self.shared.clone().start(stream, &mut tasks, &runtime);
                    }
                    // Out of descriptors, or a client that hung up at once: the others go on.
                    Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
                },
            }
        }
        drop(self.listener);
        self.shared.shutdown.cancel();
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        // Connections that do not end in time are dropped with the task set.
        let _ = tokio::time::timeout(self.shared.options.shutdown_timeout, all_ended).await;
        Ok(())
    }
}

impl Shared {
    fn start(self: Arc<Self>, stream: TcpStream, tasks: &mut JoinSet<()>, runtime: &Handle) {
        // A stream belongs to the runtime that made it.
        let Ok(stream) = stream.into_std() else { return };
        if let Ok(permit) = self.sessions.clone().try_acquire_owned() {
            tasks.spawn_on(self.handle(stream, Some(permit)), runtime);
        } else if let Ok(surplus) = self.surplus.clone().try_acquire_owned() {
            let refuse = async move {
                self.handle(stream, None).await;
                drop(surplus);
            };
            tasks.spawn_on(refuse, runtime);
        }
    }

    /// One connection from its first byte to its last.
    async fn handle(self: Arc<Self>, stream: std::net::TcpStream, permit: Option<OwnedSemaphorePermit>) {
        let Ok(stream) = TcpStream::from_std(stream) else { return };
        // Answers are written in whole buffers, so waiting to fill packets only delays them.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let (reader, writer) = stream.into_split();
        let mut input = Input::new(reader, self.options.message_bytes_max);
        let mut output = Output::new(writer);
        let negotiation = startup::negotiate(&mut input, &mut output, &self.instance, self.options.local_files);
        let opening = tokio::select! {
            opening = tokio::time::timeout(self.options.startup_timeout, negotiation) => opening,
            () = self.shutdown.cancelled() => return,
        };
        let options = match opening {
            Ok(Ok(Opening::Session(options))) => options,
            Ok(Ok(Opening::Finished) | Err(ReadError::Closed)) | Err(_) => return,
            Ok(Err(ReadError::Violation(error))) => return startup::refuse(&mut output, error).await,
        };
        let Some(_permit) = permit else {
            return startup::refuse(&mut output, fatal(SqlState("53300"), "sorry, too many clients already")).await;
        };
        let user = options.user.clone();
        match self.instance.connect(options) {
            Ok(session) => {
                self.options.executor.iter().for_each(|handle| session.execute_on(handle.clone()));
                startup::welcome(&mut output, &session, &user);
                Connection::new(input, output, session, self.shutdown.clone()).serve().await;
            }
            Err(error) => startup::refuse(&mut output, error).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_allowed() {
        for (address, allowed) in
            [("127.0.0.1:5433", true), ("[::1]:0", true), ("0.0.0.0:5433", false), ("[::]:1", false)]
        {
            assert_eq!(check_listen_address(address.parse().expect("address")).is_ok(), allowed, "{address}");
        }
    }
}
