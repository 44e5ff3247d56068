//! `lightning serve`: the server, from the line that says where it listens to an orderly end.
//!
//! SIGINT and SIGTERM stop accepting, end the sessions and close the database; a second signal ends the process at
//! once, which loses nothing that was acknowledged.

use crate::database::Database;
use crate::http::HttpServer;
use crate::server::{Server, resolve};
use lightning_sql::{Error, Result, SqlState};
use lightning_wire::check_listen_address;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

/// Opens the database and serves it until a signal comes. A wrong address is refused before anything is created.
pub fn run(open: impl FnOnce() -> Result<Database>, listen: &str, http: Option<&str>) -> Result<ExitCode> {
    let address = checked(listen)?;
    let http_address = http.map(checked).transpose()?;
    let database = open()?;
    let server = Server::start(&database, &address.to_string())?;
    let http = http_address.map(|address| HttpServer::start(&database, &address.to_string())).transpose()?;
    // Before anybody knows that we run: a signal that comes at once is an orderly end, too.
    let mut signals = database.runtime().block_on(async { Signals::listen() })?;
    announce(server.local_addr(), http.as_ref().map(HttpServer::local_addr));
    database.runtime().block_on(signals.next());
    eprintln!("shutting down");
    database.runtime().spawn(async move {
        signals.next().await;
        std::process::exit(1);
    });
    // Both stop before one of them is a reason to stop early.
    let stopped = http.map_or(Ok(()), HttpServer::stop);
    server.stop().and(stopped)?;
    drop(database);
    Ok(ExitCode::SUCCESS)
}

/// The address, if only this machine can reach it.
fn checked(address: &str) -> Result<SocketAddr> {
    let address = resolve(address)?;
    check_listen_address(address).map_err(|why| Error::new(SqlState("22023"), why))?;
    Ok(address)
}

fn announce(address: SocketAddr, http: Option<SocketAddr>) {
    let (ip, port) = (address.ip(), address.port());
    let wire = format!("listening on {address}; connect with psql -h {ip} -p {port} -U lightning\n");
    let http = http.map(|address| format!("listening for HTTP on {address}\n")).unwrap_or_default();
    // At once: who waits for the first line may read no more.
    print!("{wire}{http}");
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
