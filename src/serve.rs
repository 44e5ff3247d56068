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
    announce(server.local_addr());
    database.runtime().block_on(signal())?;
    eprintln!("shutting down");
    database.runtime().spawn(async {
        if signal().await.is_ok() {
            std::process::exit(1);
        }
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

/// Returns at the next SIGINT or SIGTERM.
async fn signal() -> Result<()> {
    let failed = |e: std::io::Error| Error::new(SqlState("58030"), format!("could not wait for signals: {e}"));
    #[cfg(unix)]
    {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(failed)?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(failed),
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    {
        tokio::signal::ctrl_c().await.map_err(failed)
    }
}
