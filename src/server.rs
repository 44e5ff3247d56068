//! The wire protocol on an open database, for the `serve` command and for programs that embed both.

use crate::database::{Database, THREAD_STACK_BYTES};
use lightning_sql::{Error, Result, SqlState};
use lightning_wire::ServerOptions;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
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

/// Threads that serve connections, apart from those that compute: whoever asks for little need not wait for the others.
#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
    runtime: Runtime,
}

impl Running {
    fn stop(self) -> io::Result<()> {
        // The receiver is gone only when serving ended already.
        let _ = self.stop.send(());
        let ended = self.runtime.block_on(self.serving);
        ended.unwrap_or_else(|e| Err(io::Error::other(e)))
    }
}

impl Server {
    /// Serves `database` on an address such as `127.0.0.1:5433` (port 0: any free one). Only loopback addresses are
    /// allowed while no password can be set.
    pub fn start(database: &Database, address: &str) -> Result<Server> {
        let address = resolve(address)?;
        let failed = |e: io::Error| Error::new(SqlState("58030"), failure(address, &e));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONNECTION_THREADS)
            .thread_name("lightning-serve")
            .thread_stack_size(THREAD_STACK_BYTES)
            .enable_all()
            .build()
            .map_err(failed)?;
        let options = ServerOptions { executor: Some(database.runtime().clone()), ..ServerOptions::default() };
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
        let running = Some(Running { stop, serving, runtime });
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

fn failure(address: SocketAddr, e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::AddrInUse => format!("{address} is already in use by another process"),
        io::ErrorKind::PermissionDenied => e.to_string(),
        _ => format!("could not listen on {address}: {e}"),
    }
}
