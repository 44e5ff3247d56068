//! `lightning serve`: the server, from the line that says where it listens to an orderly end.
//!
//! SIGINT and SIGTERM stop accepting, end the sessions and close the database; a second signal ends the process at
//! once, which loses nothing that was acknowledged.

use crate::database::Database;
use crate::server::{Server, resolve};
use lightning_sql::{Error, Result, SqlState};
use lightning_wire::check_listen_address;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

/// Opens the database and serves it until a signal comes. A wrong address is refused before anything is created.
pub fn run(open: impl FnOnce() -> Result<Database>, listen: &str) -> Result<ExitCode> {
    let address = resolve(listen)?;
    check_listen_address(address).map_err(|why| Error::new(SqlState("22023"), why))?;
    let database = open()?;
    let server = Server::start(&database, &address.to_string())?;
    // Before anybody knows that we run: a signal that comes at once is an orderly end, too.
    let mut signals = database.runtime().block_on(async { Signals::listen() })?;
    announce(server.local_addr());
    database.runtime().block_on(signals.next());
    eprintln!("shutting down");
    database.runtime().spawn(async move {
        signals.next().await;
        std::process::exit(1);
    });
    server.stop()?;
    drop(database);
    Ok(ExitCode::SUCCESS)
}

fn announce(address: SocketAddr) {
    let (ip, port) = (address.ip(), address.port());
    println!("listening on {address}; connect with psql -h {ip} -p {port} -U lightning");
    // Whoever started us may be waiting for the line through a pipe; if nobody reads it, the server is no worse.
    let _ = std::io::stdout().flush();
}

/// SIGINT and SIGTERM, from the moment this exists.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Must be called on the runtime.
    fn listen() -> Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |e: std::io::Error| Error::new(SqlState("58030"), format!("could not wait for signals: {e}"));
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    /// Returns at the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ctrl-C, which is all there is.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Result<Signals> {
        Ok(Signals)
    }

    async fn next(&mut self) {
        // Without a way to hear of it the process runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
