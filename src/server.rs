//! The wire protocol on an open database, for the `serve` command and for programs that embed both.

use crate::database::Database;
use lightning_sql::{Error, Result, SqlState};
use lightning_wire::ServerOptions;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

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
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
    database: Database,
}

impl Server {
    /// Serves `database` on an address such as `127.0.0.1:5433` (port 0: any free one). Only loopback addresses are
    /// allowed while no password can be set.
    pub fn start(database: &Database, address: &str) -> Result<Server> {
        let address = resolve(address)?;
        let failed = |e: io::Error| Error::new(SqlState("58030"), failure(address, &e));
        let server = {
            let _entered = database.runtime().enter();
            lightning_wire::Server::bind(database.instance().clone(), address, ServerOptions::default())
                .map_err(failed)?
        };
        let local_addr = server.local_addr().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let serving = database.runtime().spawn(server.serve(async {
            // A dropped sender asks for the same.
            let _ = stopped.await;
        }));
        Ok(Server { local_addr, stop, serving, database: database.clone() })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops accepting, cancels running statements, tells the clients, and returns when all connections are closed.
    pub fn stop(self) -> Result<()> {
        // The receiver is gone only when serving ended already.
        let _ = self.stop.send(());
        let ended = self.database.runtime().block_on(self.serving);
        ended.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(|e| Error::new(SqlState("58030"), e.to_string()))
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
