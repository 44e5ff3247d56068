//! The wire protocol on an open database, for the `serve` command and for programs that embed both.

use crate::database::{Database, THREAD_STACK_BYTES};
use lightning_sql::{Error, Result, SqlState};
use lightning_wire::ServerOptions;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::thread;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// Threads that serve connections.
const CONNECTION_THREADS: usize = 2;

/// A running server. Dropping it stops it in the background; [`Server::stop`] waits for the end.
///
/// ```no_run
/// # fn main() -> lightning::Result<()> {
/// let database = lightning::Database::memory()?;
/// let server = lightning::Server::start(&database, "127.0.0.1:0")?;
/// println!("psql -h 127.0.0.1 -p {} -U lightning", server.local_addr().port());
/// server.stop()
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    local_addr: SocketAddr,
    /// `None` once it is being stopped.
    running: Option<Running>,
    _database: Database,
}

/// A server's threads.
#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
    threads: ConnectionThreads,
}

/// Threads that serve connections, apart from those that compute: whoever asks for little need not wait for the others. A
/// connection stays on its thread, so no thread is woken to take work from another.
#[derive(Debug)]
struct ConnectionThreads {
    runtimes: Vec<Handle>,
    /// Dropping it ends them.
    running: watch::Sender<()>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl ConnectionThreads {
    fn start() -> io::Result<ConnectionThreads> {
        let (running, ended) = watch::channel(());
        let mut started = ConnectionThreads { runtimes: vec![], running, threads: vec![] };
        for _ in 0..CONNECTION_THREADS {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            started.runtimes.push(runtime.handle().clone());
            let mut ended = ended.clone();
            let serve = move || {
                // An error says that the sender is gone.
                let _ = runtime.block_on(ended.changed());
            };
            let thread = thread::Builder::new().name("lightning-serve".to_owned()).stack_size(THREAD_STACK_BYTES);
            started.threads.push(thread.spawn(serve)?);
        }
        Ok(started)
    }

    /// Ends the threads and what they have left to do.
    fn join(self) {
        drop(self.running);
        for thread in self.threads {
            // What panicked there has been answered as an error of its connection.
            let _ = thread.join();
        }
    }
}

impl Running {
    fn stop(self) -> io::Result<()> {
        // The receiver is gone only when serving ended already.
        let _ = self.stop.send(());
        let ended = futures::executor::block_on(self.serving);
        self.threads.join();
        ended.unwrap_or_else(|e| Err(io::Error::other(e)))
    }
}

impl Server {
    /// Serves `database` on an address such as `127.0.0.1:5433` (port 0: any free one). Only loopback addresses are
    /// allowed while no password can be set.
    pub fn start(database: &Database, address: &str) -> Result<Server> {
        let address = resolve(address)?;
        let failed = |e: io::Error| Error::new(SqlState("58030"), failure(address, &e));
        let threads = ConnectionThreads::start().map_err(failed)?;
        let options = ServerOptions {
            connection_runtimes: threads.runtimes.clone(),
            executor: Some(database.runtime().clone()),
            ..ServerOptions::default()
        };
        let runtime = &threads.runtimes[0];
        let server = {
            let _entered = runtime.enter();
            lightning_wire::Server::bind(database.instance().clone(), address, options).map_err(failed)?
        };
        let local_addr = server.local_addr().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let serving = runtime.spawn(server.serve(async {
            // A dropped sender asks for the same.
            let _ = stopped.await;
        }));
        let running = Some(Running { stop, serving, threads });
        Ok(Server { local_addr, running, _database: database.clone() })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops accepting, cancels running statements, tells the clients, and returns when all connections are closed.
    pub fn stop(mut self) -> Result<()> {
        let stopped = self.running.take().map_or(Ok(()), Running::stop);
        stopped.map_err(|e| Error::new(SqlState("58030"), e.to_string()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // Perhaps on a thread that must not wait.
            std::thread::spawn(move || running.stop());
        }
    }
}

/// The first address a `HOST:PORT` stands for.
pub(crate) fn resolve(address: &str) -> Result<SocketAddr> {
    let bad = |why: &str| Error::new(SqlState("22023"), format!("cannot listen on \"{address}\": {why}"));
    let mut addresses = address.to_socket_addrs().map_err(|e| bad(&e.to_string()))?;
    addresses.next().ok_or_else(|| bad("the name has no address"))
}

/// Why an address cannot be listened on.
pub(crate) fn failure(address: SocketAddr, e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::AddrInUse => format!("{address} is already in use by another process"),
        io::ErrorKind::PermissionDenied => e.to_string(),
        _ => format!("could not listen on {address}: {e}"),
    }
}
