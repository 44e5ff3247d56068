//! Makes the tables and fills them through the appender, in parallel streams.

use crate::Failure;
use crate::data::{TABLES, Table};
use futures::executor::block_on;
use lightning::Database;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What loading took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// From CREATE TABLE to the last acknowledged commit: generating, encoding, writing, syncing.
    pub(crate) time: Duration,
    /// Rows of all tables.
    pub(crate) rows: u64,
}

/// Creates and fills all tables.
pub(crate) fn load(database: &Database, scale: f64, streams: usize) -> Result<Load, Failure> {
    let start = Instant::now();
    let session = database.connect()?;
    for table in TABLES {
        block_on(session.execute(&table.definition(scale)))?;
    }
    let parts = TABLES.iter().flat_map(|&table| {
        let parts = table.parts(scale, streams);
        (1..=parts).map(move |part| (table, part, parts))
    });
    let queue = Mutex::new(parts.collect::<VecDeque<_>>());
    let next = || queue.lock().ok()?.pop_front();
    let rows = std::thread::scope(|scope| {
        let stream = || -> Result<u64, Failure> {
            let mut rows = 0;
            while let Some((table, part, parts)) = next() {
                rows += load_part(database, table, scale, part, parts)?;
            }
            Ok(rows)
        };
        let streams: Vec<_> = (0..streams.max(1)).map(|_| scope.spawn(stream)).collect();
        let mut total = 0;
        for stream in streams {
            total += stream.join().map_err(|_| "a loading stream panicked")??;
        }
        Ok::<u64, Failure>(total)
    })?;
    Ok(Load { time: start.elapsed(), rows })
}

fn load_part(database: &Database, table: Table, scale: f64, part: i32, parts: i32) -> Result<u64, Failure> {
    let mut appender = database.appender(table.name())?;
    for batch in table.generate(scale, part, parts) {
        appender.push(batch?)?;
    }
    Ok(appender.finish()?)
}

/// Whether the tables are there already.
pub(crate) fn is_loaded(database: &Database) -> Result<bool, Failure> {
    let session = database.connect()?;
    let found = block_on(session.query("SELECT count(*) FROM lineitem"));
    match found {
        Ok(rows) => Ok(crate::measure::collect(rows)?.first().is_some_and(|row| row[0] != "0")),
        Err(_) => Ok(false),
    }
}
