//! The first rows of a sort from the end of an index.
//!
//! `ORDER BY a LIMIT 10` is planned as a sort that keeps ten rows of all that a scan gives it. Where the table or one of its indexes is in the
//! order of the sort, the scan is told to give the first rows in that order only; the sort, which stays, brings them in order.

use crate::scan::LightningScan;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use std::sync::Arc;

/// The rule; it comes after those that push conditions and limits into scans.
#[derive(Debug)]
pub(super) struct FirstRows;

impl PhysicalOptimizerRule for FirstRows {
    fn name(&self) -> &str {
        "first_rows"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(sort) = plan.downcast_ref::<SortExec>() else { return Ok(Transformed::no(plan)) };
            let Some(limit) = sort.fetch() else { return Ok(Transformed::no(plan)) };
            let Some(columns) = columns(sort.expr().iter()) else { return Ok(Transformed::no(plan)) };
            match first_rows(sort.input(), &columns, limit)? {
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

/// A column of a plan and how it is sorted.
type Sorted = (usize, arrow::compute::SortOptions);

/// The columns of a sort, if it sorts by nothing else.
fn columns<'a>(sort: impl Iterator<Item = &'a PhysicalSortExpr>) -> Option<Vec<Sorted>> {
    sort.map(|sorted| Some((sorted.expr.downcast_ref::<Column>()?.index(), sorted.options))).collect()
}

/// `plan` with a scan that gives the first rows only.
fn first_rows(plan: &Arc<dyn ExecutionPlan>, sort: &[Sorted], limit: usize) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        let Some(scan) = source.data_source().downcast_ref::<LightningScan>() else { return Ok(None) };
        let first = scan.first_by_key(sort, limit)?;
        return Ok(first.map(|scan| DataSourceExec::from_data_source(scan) as Arc<dyn ExecutionPlan>));
    }
    let (input, sort) = if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let below = |(column, options): &Sorted| {
            let expression = &projection.expr().get(*column)?.expr;
            Some((expression.downcast_ref::<Column>()?.index(), *options))
        };
        let Some(below) = sort.iter().map(below).collect::<Option<Vec<_>>>() else { return Ok(None) };
        (projection.input(), below)
    } else if let Some(cooperative) = plan.downcast_ref::<CooperativeExec>() {
        (cooperative.input(), sort.to_vec())
    } else {
        return Ok(None);
    };
    match first_rows(input, &sort, limit)? {
        Some(input) => replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some),
        None => Ok(None),
    }
}
