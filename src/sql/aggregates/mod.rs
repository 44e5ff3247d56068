//! Continuous aggregates: materialized views of buckets of time that are always right.
//!
//! `CREATE MATERIALIZED VIEW hourly WITH (continuous) AS SELECT time_bucket('1 hour', ts), avg(v) FROM m GROUP BY 1` keeps its rows in a table of
//! storage, beside one of *marks*: ranges of times of the source that have changed since the rows were computed.
//!
//! 1. Every transaction that writes to the source adds the times it has touched, of rows added and deleted, to the marks when it
//!    commits ([`mark`]). Marks are only ever added, so writers never meet; that a range is marked already is no reason not to
//!    mark it, for a refresh may be about to take that mark away.
//! 2. Whoever reads the aggregate reads its rows but for the marked buckets, and these from the source, in the same snapshot ([`query`]).
//! 3. REFRESH computes the marked buckets anew, puts them in the place of the old ones, and takes away the marks it has seen, all in one
//!    transaction ([`refresh`]).
//!
//! Which buckets a range of times is in says the view's own bucket function, of which only is required that it never falls ([`definition`]).
//! Everything in the query must be the same in every session ([`immutable`]).
//! The source may itself be such an aggregate. What is marked there is marked here, too; and since this one may have kept what it computed from
//! there, a refresh hands the marks it takes away to those above.
//!
//! Rows that expire by retention ([`expire`]) are not marked, so the aggregate keeps what it has of them; buckets that begin before the time up to which
//! rows have expired are not computed anew.

pub(crate) mod definition;
pub(crate) mod immutable;
pub(crate) mod mark;
pub(crate) mod query;
pub(crate) mod refresh;
pub(crate) mod expire;

pub use mark::mark;
