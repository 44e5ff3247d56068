//! How long runs of rows with the same values are, by the key of the table they come from.

use super::source::LightningScan;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use lightning_storage::BLOCK_ROWS_MAX;
use std::sync::Arc;

/// About how many neighbours among the rows of `plan` have the same values of `groups`, when these are the first columns of the key of the table that it
/// reads. The last of them may be in an expression, about whose values nothing is known: then it is the neighbours that share the others.
pub(crate) fn run_length(plan: &Arc<dyn ExecutionPlan>, groups: &[Arc<dyn PhysicalExpr>]) -> Result<Option<u64>> {
    let (mut plan, mut groups) = (Arc::clone(plan), groups.to_vec());
    loop {
        if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
            return Ok(source.data_source().downcast_ref::<LightningScan>().and_then(|scan| scan.run_length(&groups)));
        }
        let input = if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            groups = groups.iter().map(|group| below(group, projection)).collect::<Result<_>>()?;
            projection.input()
        } else if let Some(cooperative) = plan.downcast_ref::<CooperativeExec>() {
            cooperative.input()
        } else if let Some(filter) = plan.downcast_ref::<FilterExec>().filter(|filter| filter.projection().is_none()) {
            filter.input()
        } else {
            return Ok(None);
        };
        plan = Arc::clone(input);
    }
}

/// An expression over the output of a projection as one over its input.
fn below(expression: &Arc<dyn PhysicalExpr>, projection: &ProjectionExec) -> Result<Arc<dyn PhysicalExpr>> {
    Arc::clone(expression)
        .transform_down(|node| {
            let column = node.downcast_ref::<Column>().and_then(|column| projection.expr().get(column.index()));
            Ok(match column {
                Some(projected) => Transformed::new(Arc::clone(&projected.expr), true, TreeNodeRecursion::Jump),
                None => Transformed::no(node),
            })
        })
        .data()
}

impl LightningScan {
    /// See [`run_length`]; the groups are over the columns returned.
    fn run_length(&self, groups: &[Arc<dyn PhysicalExpr>]) -> Option<u64> {
        let view = self.view();
        if self.access().is_some() || groups.iter().any(is_volatile) {
            return None;
        }
        let key = view.snapshot.table(view.table).ok()?.definition.key;
        let key = key.get(..groups.len())?;
        let mut plain = Vec::new();
        let mut computed = Vec::new();
        for group in groups {
            let columns = collect_columns(group);
            let (Some(column), 1) = (columns.iter().next(), columns.len()) else { return None };
            let into = if group.is::<Column>() { &mut plain } else { &mut computed };
            into.push(self.table_column(column.index())?);
        }
        let (first, last) = key.split_at(plain.len());
        let is_prefix = first.iter().all(|column| plain.contains(column)) && last == computed && computed.len() < 2;
        let rows = (*view.statistics.num_rows.get_value()? as u64).min(BLOCK_ROWS_MAX as u64);
        let distinct = |column: &usize| -> Option<u64> {
            Some(*view.statistics.column_statistics[*column].distinct_count.get_value()? as u64)
        };
        let distinct =
            plain.iter().map(distinct).try_fold(1u64, |product, d| Some(product.saturating_mul(d?.max(1))))?;
        is_prefix.then(|| rows / distinct)
    }
}
