//! PostgreSQL's system schemas, so that `psql`, drivers and ORMs find their way around.
//!
//! - [`relation`] knows the columns of every relation of `pg_catalog` and `information_schema` as PostgreSQL 15 has them;
//!   [`rows`] and [`information_schema`] compute the rows from a statement's catalog snapshot ([`view`]); [`provider`] makes
//!   tables of them. Nothing is stored: OIDs are the catalog's own, which are.
//! - [`function`] has the texts that describe functions of users; [`functions`] are the functions over them: `format_type`, `pg_get_indexdef`, `pg_table_is_visible`, …
//! - [`rewrite()`] turns PostgreSQL's ways of writing queries over them into what the planner understands. It runs over
//!   every statement.

mod relation;
mod view;
mod trigger;
mod function;
mod functions;
mod index;
mod information_schema;
mod rows;
mod provider;
mod rewrite;

pub use functions::{functions, size_pretty};
pub use provider::{table, table_names};
pub use rewrite::{ARRAY_OR_EMPTY, SINGLE_VALUE, rewrite, show_objects};
pub use view::quote_identifier;
