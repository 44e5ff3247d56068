//! The rows of one morsel, in whatever form they are: filter, select and decode by column.

use super::metrics::LocalMetrics;
use super::plan::{Morsel, Plan};
use super::source::{BlockRows, BlockSource};
use crate::codec::{BoundPredicate, ColumnBuilder, Mask};
use crate::error::{Error, Result};
use crate::ids::Timestamp;
use crate::predicate::{CompareOp, Predicate};
use crate::segment::{ChunkPlace, ChunkReader, ColumnBlock, FooterRef, TIMESTAMP_CHUNK};
use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use std::ops::Range;
use std::sync::Arc;

/// Columns of the block a morsel is part of.
#[derive(Debug)]
pub(super) enum MorselColumns {
    /// Encoded; chunk readers are made when a column is first touched.
    Encoded { block: Arc<ColumnBlock>, footer: FooterRef, chunks: Vec<Option<ChunkReader>> },
    /// Arrow.
    Plain(RecordBatch),
}

impl MorselColumns {
    /// The columns of `source`.
    pub(super) fn open(source: &BlockSource) -> Result<MorselColumns> {
        Ok(match &source.rows {
            BlockRows::Mem(batch) => MorselColumns::Plain(batch.clone()),
            BlockRows::Delta(block, _) => MorselColumns::Plain(block.batch().clone()),
            BlockRows::Column(block) => {
                let footer = block.footer()?;
                let chunks = footer.columns.iter().map(|_| None).collect();
                MorselColumns::Encoded { block: block.clone(), footer, chunks }
            }
        })
    }

    /// Clears in `mask`, whose bit `at` is row `rows.start` of the block, the rows that fail.
    pub(super) fn filter(
        &mut self,
        column: usize,
        predicate: &BoundPredicate,
        rows: Range<usize>,
        mask: &mut Mask,
        at: usize,
    ) -> Result<()> {
        match self {
            MorselColumns::Plain(batch) => {
                predicate.filter_array(&batch.column(column).slice(rows.start, rows.len()), mask, at)
            }
            MorselColumns::Encoded { block, footer, chunks } => {
                chunk(block, footer, chunks, column)?.filter(predicate, rows, mask, at)
            }
        }
    }

    /// Appends to `out` those of `rows` that are set in `mask` from bit `at` on; all of them when it is `None`.
    pub(super) fn append(
        &mut self,
        column: usize,
        rows: Range<usize>,
        mask: Option<(&Mask, usize)>,
        out: &mut ColumnBuilder,
    ) -> Result<()> {
        match self {
            MorselColumns::Plain(batch) => out.append_array(&batch.column(column).slice(rows.start, rows.len()), mask),
            MorselColumns::Encoded { block, footer, chunks } => {
                let chunk = chunk(block, footer, chunks, column)?;
                match mask {
                    Some((mask, at)) => chunk.select(rows, mask, at, out),
                    None => chunk.decode(rows, out),
                }
            }
        }
    }

    /// A slice of a column that needs no decoding.
    pub(super) fn plain_slice(&self, column: usize, rows: Range<usize>) -> Option<ArrayRef> {
        match self {
            MorselColumns::Plain(batch) => Some(batch.column(column).slice(rows.start, rows.len())),
            MorselColumns::Encoded { .. } => None,
        }
    }

    /// The block's metadata.
    pub(super) fn footer(&self) -> Option<&FooterRef> {
        match self {
            MorselColumns::Plain(_) => None,
            MorselColumns::Encoded { footer, .. } => Some(footer),
        }
    }

    /// Adds what was read from disk.
    pub(super) fn count_reads(&self, metrics: &mut LocalMetrics) {
        if let MorselColumns::Encoded { chunks, .. } = self {
            metrics.bytes_read += chunks.iter().flatten().map(ChunkReader::bytes_read).sum::<u64>();
        }
    }
}

fn chunk<'a>(
    block: &Arc<ColumnBlock>,
    footer: &FooterRef,
    chunks: &'a mut [Option<ChunkReader>],
    column: usize,
) -> Result<&'a mut ChunkReader> {
    let slot = chunks.get_mut(column);
    let slot = slot.ok_or_else(|| Error::Unsupported(format!("the block has no column {column}")))?;
    if slot.is_none() {
        *slot = Some(block.chunk(footer, ChunkPlace::Column(column))?);
    }
    Ok(slot.as_mut().expect("filled above"))
}

/// The rows of the morsel that its zones, its range and the snapshot leave.
pub(super) fn visible_rows(plan: &Plan, morsel: &Morsel, columns: &MorselColumns) -> Result<Mask> {
    let start = morsel.rows.start;
    let mut mask = Mask::all(morsel.rows.len());
    mask.clear(0, morsel.first_row - start);
    let mut expected = start;
    for (_, rows) in morsel.zones() {
        mask.clear(expected - start, rows.start - expected);
        expected = rows.end;
    }
    mask.clear(expected - start, morsel.rows.end - expected);
    if let Some(dead) = &plan.source.blocks[morsel.block].dead {
        dead.clear_in(&mut mask, start);
    }
    if let MorselColumns::Encoded { block, footer, .. } = columns {
        hide_by_timestamp(block, footer, plan.source.snapshot, morsel, &mut mask)?;
    }
    Ok(mask)
}

/// Hides rows that began after the snapshot or ended at or before it.
fn hide_by_timestamp(
    block: &Arc<ColumnBlock>,
    footer: &FooterRef,
    snapshot: Timestamp,
    morsel: &Morsel,
    mask: &mut Mask,
) -> Result<()> {
    let hidden = [
        (footer.begin.is_some(), ChunkPlace::Begin, CompareOp::LtEq),
        (footer.end.is_some(), ChunkPlace::End, CompareOp::Gt),
    ];
    for (_, place, op) in hidden.into_iter().filter(|(present, ..)| *present) {
        let value: ArrayRef = Arc::new(UInt64Array::from(vec![snapshot.0]));
        let seen = BoundPredicate::bind(&Predicate::Compare { column: 0, op, value }, &TIMESTAMP_CHUNK)?;
        block.chunk(footer, place)?.filter(&seen, morsel.rows.clone(), mask, 0)?;
    }
    Ok(())
}
