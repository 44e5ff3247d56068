//! DELETE of whole segments, unread.
//!
//! In a partitioned table rows of one time lie together in files. A DELETE that asks for a range of the time and nothing else takes those files out
//! that have no other rows; the rest of the range goes row by row, as ever. That takes the table for itself: a writer that it would have to see,
//! or that would have to see it, waits.

use super::Scope;
use super::query::Source;
use crate::context::StatementContext;
use crate::error::Result;
use crate::plan::executable;
use crate::scan::LightningScan;
use crate::transaction::WriteTxn;
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Rows that are gone, and what the rest of the statement sees.
pub(super) struct Cut {
    pub(super) rows: u64,
    pub(super) context: Arc<StatementContext>,
}

/// Takes out the segments that have nothing but rows to delete; `None` when that is not to be done, and nothing was.
pub(super) async fn cut(
    scope: &Scope<'_>,
    source: &Source,
    plan: &LogicalPlan,
    write: &mut WriteTxn,
) -> Result<Option<Cut>> {
    let table = &source.target.table;
    let id = table.storage_table();
    let Some(by) = scope.context.storage.table(id)?.definition.partition else { return Ok(None) };
    if source.returning.is_some() || !table.indexes.is_empty() {
        return Ok(None);
    }
    let (_, physical) = executable(&source.state, plan).await?;
    let range = scan_of(&physical).filter(|scan| scan.table() == id).and_then(|scan| scan.only_range(by.column));
    let Some(range) = range.filter(|range| has_whole_segments(scope, source, range)) else { return Ok(None) };
    write.lock(&scope.run.patience(table), |txn| Ok(txn.lock_table_alone(id))).await?;
    let (storage, catalog) = write.refresh()?;
    if storage.table(id).is_err() {
        return Ok(None);
    }
    let rows = write.blocking(move |txn| Ok(txn.cut(id, range)?)).await?;
    let storage = write.txn()?.storage.snapshot();
    Ok(Some(Cut { rows, context: scope.run.session.set_context(storage, catalog) }))
}

/// Whether there are any to take out.
fn has_whole_segments(scope: &Scope<'_>, source: &Source, range: &RangeInclusive<i64>) -> bool {
    let segments = scope.context.storage.segment_ranges(source.target.table.storage_table());
    let is_within = |known: &RangeInclusive<i64>| range.contains(known.start()) && range.contains(known.end());
    segments.is_ok_and(|segments| segments.iter().any(|segment| segment.range.as_ref().is_some_and(is_within)))
}

/// The scan that a plan is, if it does nothing else with the rows.
fn scan_of(plan: &Arc<dyn ExecutionPlan>) -> Option<&LightningScan> {
    let mut plan = plan;
    loop {
        if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
            return source.data_source().downcast_ref::<LightningScan>();
        }
        // What drops rows has a name of its own, and is not among these.
        if !matches!(plan.name(), "ProjectionExec" | "CooperativeExec" | "CoalescePartitionsExec") {
            return None;
        }
        plan = plan.children().into_iter().next()?;
    }
}
