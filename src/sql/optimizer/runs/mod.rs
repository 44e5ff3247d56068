//! Aggregating rows that come in runs: neighbours with the same group.
//!
//! Rows of a table with a key stand in its order within each block. `GROUP BY series, time_bucket('1 hour', ts)` over a table with the key
//! (series, ts) meets thousands of neighbours that belong together, and `GROUP BY customer` over (customer, order) likewise. Instead of looking
//! each row up in a hash table, [`RunAggregateExec`] compares it with the row before: a run becomes one row of partial results, and DataFusion's
//! final aggregation puts together the few runs of a group that several blocks have.
//!
//! The rule changes plans only where runs are long by what is known of the table: the groups are the first columns of the key, the last of which
//! may be in an expression. Were they short after all, the answer would be the same, but slower.
//!
//! - [`boundaries`] finds where runs begin.
//! - [`exec`] is the operator.

mod boundaries;
mod exec;
#[cfg(test)]
mod tests;

use crate::scan::run_length;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use exec::RunAggregateExec;
use std::sync::Arc;

/// Rows a run must be expected to have, for each row of partial results that is then put together.
const RUN_ROWS_MIN: u64 = 32;

/// The rule; it comes after those that choose how tables are read.
#[derive(Debug)]
pub(super) struct AggregateRuns;

impl PhysicalOptimizerRule for AggregateRuns {
    fn name(&self) -> &str {
        "aggregate_runs"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let new = plan.downcast_ref::<AggregateExec>().map(by_runs).transpose()?.flatten();
            Ok(new.map_or_else(|| Transformed::no(plan), Transformed::yes))
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The aggregation as one by runs, where that pays.
fn by_runs(aggregation: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let group = aggregation.group_expr();
    let is_plain = group.is_single() && !group.is_empty() && aggregation.limit_options().is_none();
    if !is_plain || !aggregation.aggr_expr().iter().all(|aggregate| is_mergeable(aggregate)) {
        return Ok(None);
    }
    let last = match aggregation.mode() {
        AggregateMode::Partial => None,
        AggregateMode::Single => Some(AggregateMode::Final),
        AggregateMode::SinglePartitioned => Some(AggregateMode::FinalPartitioned),
        AggregateMode::Final | AggregateMode::FinalPartitioned | AggregateMode::PartialReduce => return Ok(None),
    };
    let groups: Vec<_> = group.expr().iter().map(|(expr, _)| Arc::clone(expr)).collect();
    if run_length(aggregation.input(), &groups)?.is_none_or(|rows| rows < RUN_ROWS_MIN) {
        return Ok(None);
    }
    let aggregates = aggregation.aggr_expr().to_vec();
    let partial = AggregateExec::try_new(
        AggregateMode::Partial,
        group.clone(),
        aggregates.clone(),
        aggregation.filter_expr().to_vec(),
        Arc::clone(aggregation.input()),
        aggregation.input_schema(),
    )?;
    let runs: Arc<dyn ExecutionPlan> = Arc::new(RunAggregateExec::new(&partial));
    let Some(mode) = last else { return Ok(Some(runs)) };
    let filters = vec![None; aggregates.len()];
    let schema = aggregation.input_schema();
    let whole = AggregateExec::try_new(mode, group.as_final(), aggregates, filters, runs, schema)?;
    Ok(Some(Arc::new(whole)))
}

/// Whether partial results of the aggregate can be had for many runs at once and put together in any order.
fn is_mergeable(aggregate: &AggregateFunctionExpr) -> bool {
    aggregate.groups_accumulator_supported() && aggregate.order_bys().is_empty() && !aggregate.is_distinct()
}
