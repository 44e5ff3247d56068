//! The newest row of each series, without a look at the others.
//!
//! `SELECT series, last(value, ts) FROM m GROUP BY series` needs one row of each series when the table's key is (series, ts): where storage knows
//! those rows, the scan below the aggregation is told to read them alone. LATEST ON asks the same way when it is planned.

use crate::first_last::LAST;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use lightning_sql::scan::last_of_each;
use std::sync::Arc;

/// The rule.
#[derive(Debug)]
pub(crate) struct LastRows;

impl PhysicalOptimizerRule for LastRows {
    fn name(&self) -> &str {
        "last_rows"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let input = plan.downcast_ref::<AggregateExec>().map(with_last_rows).transpose()?.flatten();
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

/// The input of an aggregation that looks at nothing but the last rows, if it can be had as these.
fn with_last_rows(aggregation: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let group = aggregation.group_expr();
    let groups: Option<Vec<usize>> = group.expr().iter().map(|(expr, _)| column(expr)).collect();
    let (Some(groups), true) = (groups, group.is_single()) else { return Ok(None) };
    let has_filter = aggregation.filter_expr().iter().any(Option::is_some);
    let times: Option<Vec<usize>> = aggregation.aggr_expr().iter().map(|aggregate| time_of(aggregate)).collect();
    match times.as_deref() {
        Some([time, others @ ..]) if !has_filter && others.iter().all(|other| other == time) => {
            last_of_each(aggregation.input(), &groups, *time)
        }
        _ => Ok(None),
    }
}

/// The time of which an aggregate takes the last row and no other.
fn time_of(aggregate: &AggregateFunctionExpr) -> Option<usize> {
    match (aggregate.fun().name(), aggregate.expressions().as_slice()) {
        (LAST, [_, time]) => column(time),
        ("max", [time]) => column(time),
        _ => None,
    }
}

fn column(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}
