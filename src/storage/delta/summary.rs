//! Statistics of the columns of a delta tree, without decoding it for every statement that is planned.
//!
//! The line leaves the rows it has written in a journal; who asks for statistics counts them in. So a row is counted once,
//! by somebody who waits for it. Rows that were replaced, deleted or taken back stay counted: with any of them, minima and maxima are bounds, and no
//! more. When nobody asks, the journal overflows; then all rows in the tree are counted anew.

use super::STRETCH;
use super::tree::{Delta, DeltaRows};
use super::view::RowBuffer;
use crate::btree::Progress;
use crate::epoch;
use crate::error::Result;
use crate::segment::ColumnSummary;
use parking_lot::Mutex;
use std::ops::Bound;
use std::sync::Arc;

/// Bytes of rows that wait to be counted.
const JOURNAL_BYTES_MAX: usize = 256 << 10;
/// Bytes of a row beside its own.
const ROW_BYTES: usize = 32;

/// What was counted, and what is to be.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    /// Held for as long as somebody counts.
    counted: Mutex<Counted>,
    /// Held for a moment, as the line needs it.
    journal: Mutex<Journal>,
}

/// Statistics of rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    /// One per column; none without rows.
    pub(crate) columns: Vec<ColumnSummary>,
    pub(crate) rows: u64,
}

#[derive(Debug, Default)]
struct Journal {
    rows: Vec<Arc<DeltaRows>>,
    bytes: usize,
    /// Whether rows are missing.
    is_incomplete: bool,
}

impl Statistics {
    /// Leaves rows to be counted.
    pub(super) fn note(&self, rows: &Arc<DeltaRows>) {
        let mut journal = self.journal.lock();
        if journal.is_incomplete {
            return;
        }
        journal.bytes += rows.row_bytes().map(|row| row.len() + ROW_BYTES).sum::<usize>();
        if journal.bytes > JOURNAL_BYTES_MAX {
            *journal = Journal { is_incomplete: true, ..Journal::default() };
        } else {
            journal.rows.push(rows.clone());
        }
    }

    /// Statistics of all rows that were written before now and that somebody sees.
    pub(super) fn counted(&self, delta: &Delta) -> Result<Counted> {
        let mut counted = self.counted.lock();
        // What comes from here on is in the next journal, if it is not counted now.
        let journal = std::mem::take(&mut *self.journal.lock());
        let outcome = match journal.is_incomplete {
            true => Counted::default().with_all(delta).map(|all| *counted = all),
            false => counted.add(delta, journal.rows.iter().flat_map(|rows| rows.row_bytes())),
        };
        if outcome.is_err() {
            self.journal.lock().is_incomplete = true;
        }
        outcome.map(|()| counted.clone())
    }
}

impl Counted {
    /// Every version of every row.
    fn with_all(mut self, delta: &Delta) -> Result<Counted> {
        let mut range = delta.tree.range(Bound::Unbounded, Bound::Unbounded);
        loop {
            let mut rows = RowBuffer::default();
            let guard = epoch::pin();
            let progress = range.next_stretch(STRETCH, |_, chain| {
                chain.for_each(&guard, |version| version.value().into_iter().for_each(|row| rows.push(row)));
            });
            drop(guard);
            self.add_buffered(delta, rows)?;
            if progress == Progress::Done {
                return Ok(self);
            }
        }
    }

    fn add<'a>(&mut self, delta: &Delta, rows: impl Iterator<Item = &'a Box<[u8]>>) -> Result<()> {
        let mut buffer = RowBuffer::default();
        rows.for_each(|row| buffer.push(row));
        self.add_buffered(delta, buffer)
    }

    fn add_buffered(&mut self, delta: &Delta, mut rows: RowBuffer) -> Result<()> {
        let schema = delta.table.schema.clone();
        let projection: Vec<usize> = (0..schema.fields().len()).collect();
        let mut decoder = delta.format().decoder(&projection, 0);
        rows.decode(&mut decoder);
        let batch = decoder.finish(schema)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let columns = batch.columns().iter().map(ColumnSummary::of).collect::<Result<Vec<_>>>()?;
        if self.columns.is_empty() {
            self.columns = columns;
        } else {
            self.columns.iter_mut().zip(&columns).for_each(|(total, column)| total.merge(column));
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }
}
