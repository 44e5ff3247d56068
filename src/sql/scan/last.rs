//! Plans that need no more than the last row of each group.

use super::LightningScan;
use datafusion::common::Result;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::projection::ProjectionExec;
use std::sync::Arc;

/// `plan` as one that returns at least, of each group of rows alike in the columns `groups`, the row that is last by column `time`, and few others. `None`
/// when it is not a scan of a table whose key is just these columns, the time last, or when reading all rows costs less.
pub fn last_of_each(
    plan: &Arc<dyn ExecutionPlan>,
    groups: &[usize],
    time: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        let Some(scan) = source.data_source().downcast_ref::<LightningScan>() else { return Ok(None) };
        let last = scan.last_of_each(groups, time)?;
        return Ok(last.map(|scan| DataSourceExec::from_data_source(scan) as Arc<dyn ExecutionPlan>));
    }
    let last = if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let below = |column: usize| {
            let expression = &projection.expr().get(column)?.expr;
            expression.downcast_ref::<Column>().map(Column::index)
        };
        match (groups.iter().map(|column| below(*column)).collect::<Option<Vec<_>>>(), below(time)) {
            (Some(groups), Some(time)) => last_of_each(projection.input(), &groups, time)?,
            _ => None,
        }
    } else if let Some(cooperative) = plan.downcast_ref::<CooperativeExec>() {
        last_of_each(cooperative.input(), groups, time)?
    } else {
        None
    };
    last.map(|input| replace_children_if_necessary(Arc::clone(plan), vec![input])).transpose()
}
