//! Lightning DB: a SQL-first analytical database in one binary, and this library.
//!
//! The library is the whole database without the server: [`Database::open`] a directory, [`Database::connect`] a
//! [`Session`], and run SQL.
//!
//! ```no_run
//! use futures::TryStreamExt;
//! use lightning::{Database, params};
//!
//! # async fn example() -> lightning::Result<()> {
//! let database = Database::open("./lightning-data")?;
//! let mut session = database.connect()?;
//! session.execute("CREATE TABLE reading (at timestamptz, celsius double precision)").await?;
//!
//! // A transaction that is dropped is rolled back.
//! let transaction = session.begin().await?;
//! let insert = transaction.prepare("INSERT INTO reading VALUES (now(), $1)").await?;
//! insert.execute(params![21.5]).await?;
//! transaction.commit().await?;
//!
//! // Rows are streamed as Arrow batches.
//! let mut rows = session.query("SELECT at, celsius FROM reading").await?;
//! while let Some(batch) = rows.try_next().await? {
//!     println!("{} rows of {} columns", batch.num_rows(), batch.num_columns());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | you want | use |
//! |---|---|
//! | a database on disk, or in memory | [`Database::open`], [`Database::memory`] |
//! | a memory limit, a number of threads | [`Database::builder`] |
//! | a command; rows; parameters | [`Session::execute`], [`Session::query`], [`Session::prepare`] with [`params!`] |
//! | a transaction | [`Session::begin`] |
//! | to load Arrow data fast | [`Database::appender`] |
//! | PostgreSQL's drivers on the same database | [`Server`] |
//! | points in line protocol, over HTTP | [`HttpServer`] |
//!
//! The layers below are crates of their own, bottom first: files (`lightning-vfs`), tables and transactions
//! (`lightning-storage`), names (`lightning-catalog`), SQL (`lightning-sql`), the wire protocol (`lightning-wire`).
//! This package composes them and holds the `lightning` command.

mod configuration;
mod database;
mod session;
mod appender;
mod server;
mod http_body;
mod http;

#[doc(hidden)]
pub mod text;
mod table;
mod output;
mod script;
mod report;
mod client;
mod sql_command;
mod progress;
mod shell_command;
mod line_editor;
mod demo;
mod shell;
mod serve;
mod verify;
#[doc(hidden)]
pub mod cli;

pub use appender::Appender;
pub use arrow;
pub use database::{Database, OpenOptions};
pub use http::HttpServer;
pub use lightning_sql::{CancelHandle, Error, ErrorFields, Result, Severity, SqlState};
pub use server::Server;
pub use session::{Rows, Session, Statement, Transaction, Value};
