//! `ORDER BY bucket LIMIT n` above a gap fill: no more than the first `n` rows of each group are made.
//!
//! Groups have their rows in order of time, so whatever of a group is among the first rows of all is among its own first.
//! A gap fill without groups leaves in the order that is asked for: then nothing is sorted, and what limits the rows ends it.

use super::exec::GapFillExec;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use std::sync::Arc;

/// The rule.
#[derive(Debug)]
pub(crate) struct LimitGroups;

impl PhysicalOptimizerRule for LimitGroups {
    fn name(&self) -> &str {
        "limit_filled_groups"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let input = plan.downcast_ref::<SortExec>().map(limited_input).transpose()?.flatten();
            match input {
                Some(input) => replace_children_if_necessary(plan, vec![input]).map(Transformed::yes),
                None => Ok(Transformed::no(plan)),
            }
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The input of a sort that keeps the first rows by bucket, with as few rows; `None` when it is something else.
fn limited_input(sort: &SortExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let first = sort.expr().first();
    // Rows without a time are the last of their group.
    let ascends = !first.options.descending && !first.options.nulls_first;
    match (sort.fetch(), first.expr.downcast_ref::<Column>()) {
        (Some(rows), Some(column)) if ascends => limited(sort.input(), column.index(), rows),
        _ => Ok(None),
    }
}

/// `plan` with at most so many rows of each group, if its column with this index is the bucket of a gap fill.
fn limited(plan: &Arc<dyn ExecutionPlan>, column: usize, rows: usize) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(fill) = plan.downcast_ref::<GapFillExec>() {
        return Ok(fill.with_rows_of_group(column, rows)?.map(|fill| Arc::new(fill) as _));
    }
    let keeps_columns = plan.is::<CoalescePartitionsExec>() || plan.is::<RepartitionExec>();
    let below = match plan.downcast_ref::<ProjectionExec>() {
        Some(projection) => {
            projection.expr().get(column).and_then(|shown| shown.expr.downcast_ref::<Column>()).map(Column::index)
        }
        None => keeps_columns.then_some(column),
    };
    let children = plan.children();
    let (Some(below), [input]) = (below, children.as_slice()) else { return Ok(None) };
    match limited(input, below, rows)? {
        Some(input) => replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some),
        None => Ok(None),
    }
}
