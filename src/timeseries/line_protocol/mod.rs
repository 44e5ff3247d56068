//! InfluxDB's line protocol over HTTP: points become rows of tables that appear as they are needed.
//!
//! A measurement is a table of schema `public`, its tags are `text` columns, its fields columns of the first value's type, and the time stamp is
//! the table's time. The journey of a request to `/write`: [`route`] takes it; [`parser`] reads line after line, [`tables`] puts the values into [`columns`],
//! and [`request`] collects what is wrong; [`schema`] makes tables and columns; [`write`] stores all rows in one transaction; [`answer`] says so in
//! the words that InfluxDB's clients know, with [`time`] for what a number means.
//!
//! What must hold: a request that was answered with 204 is durable, and one that was refused has left no rows.

mod time;
mod parser;
mod columns;
mod tables;
mod request;
mod schema;
mod answer;
mod write;
mod route;
#[cfg(test)]
mod tests;

pub(crate) use route::routes;
