//! PostgreSQL's wire protocol over Lightning's sessions.
//!
//! The journey of a query: [`Server`] accepts a socket and [`startup`] turns it into a session; [`connection`] reads
//! messages ([`input`] frames them within limits, [`frontend`] decodes them); [`simple`] and [`extended`] run statements
//! through `lightning_sql::Session`; [`encode`] writes batches as rows into [`output`], which the socket empties; [`copy`]
//! passes COPY data in both directions; [`backend`] has everything else the client is told. [`parameter`] reads the
//! values of `$n`.
//!
//! Message types are pgwire's. The loop and the decoding are ours: pgwire's handlers gather whole results before the first
//! row leaves, and its decoders panic on bodies that end early.
//!
//! What must hold: no client can make the server hold more than the client sent, one batch of its result and 64 KiB of
//! output; nothing a client sends makes it panic; a connection that ends, in whatever way, ends its session and
//! statement; this crate never sees a plan.

mod backend;
pub mod encode;
mod frontend;
mod parameter;
mod input;
mod output;
mod startup;
mod simple;
mod extended;
mod copy;
mod connection;
mod server;

pub use server::{Server, ServerOptions, check_listen_address};
