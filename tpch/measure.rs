//! Runs queries on a database and takes their times.

use crate::answers::{self, Answer};
use crate::{Failure, queries};
use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use futures::executor::block_on;
use lightning::{Database, Rows, Session};
use std::time::{Duration, Instant};

/// Outcome of one query.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Its number.
    pub(crate) query: u8,
    /// Best time of all runs, planning and fetching included.
    pub(crate) time: Duration,
    /// Rows returned.
    pub(crate) rows: usize,
    /// Whether the answer was right; `None` when there is nothing to check against.
    pub(crate) right: Option<bool>,
}

/// Rows of a query as text.
pub(crate) fn collect(rows: Rows) -> Result<Answer, Failure> {
    to_text(&block_on(rows.try_collect::<Vec<_>>())?)
}

/// Runs one query: its time, and its rows.
pub(crate) fn run_once(session: &Session, text: &str) -> Result<(Duration, Vec<RecordBatch>), Failure> {
    let start = Instant::now();
    let batches = block_on(async { session.query(text).await?.try_collect::<Vec<_>>().await })?;
    Ok((start.elapsed(), batches))
}

/// Runs the queries, each `runs` times, and checks the first answer of each.
pub(crate) fn run_queries(
    database: &Database,
    numbers: &[u8],
    scale: f64,
    runs: u32,
) -> Result<Vec<Measured>, Failure> {
    let session = database.connect()?;
    let mut measured = Vec::with_capacity(numbers.len());
    for &query in numbers {
        let text = queries::text(query, scale);
        let mut best: Option<Duration> = None;
        let mut outcome = (0, None);
        for run in 0..runs {
            let (time, batches) = match run_once(&session, &text) {
                Ok(done) => done,
                Err(failure) => {
                    eprintln!("query {query}: {failure}");
                    outcome = (0, Some(false));
                    best = Some(Duration::ZERO);
                    break;
                }
            };
            best = Some(best.map_or(time, |best| best.min(time)));
            if run == 0 {
                outcome = verdict(query, scale, &to_text(&batches)?);
            }
        }
        let (rows, right) = outcome;
        measured.push(Measured { query, time: best.unwrap_or_default(), rows, right });
    }
    Ok(measured)
}

/// Rows, and whether they are right; a wrong answer is described on standard error.
pub(crate) fn verdict(query: u8, scale: f64, actual: &Answer) -> (usize, Option<bool>) {
    let right = answers::expected(query, scale).map(|expected| {
        match answers::check(&expected, actual, answers::tolerance(scale)) {
            Ok(()) => true,
            Err(difference) => {
                eprintln!("query {query} is wrong: {difference}");
                false
            }
        }
    });
    (actual.len(), right)
}

/// Values as text.
pub(crate) fn to_text(batches: &[RecordBatch]) -> Result<Answer, Failure> {
    let options = FormatOptions::default().with_null("");
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_string()).collect());
        }
    }
    Ok(rows)
}
