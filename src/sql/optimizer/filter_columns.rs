//! Filters that reach the columns they are about.
//!
//! DataFusion hands a filter from an operator to its input by the names of its columns. The result of a join can have a name twice: a filter on the second of
//! these columns, such as the keys another join has in its hash table, then reaches the first, and rows are lost. So while filters are pushed down, whatever has
//! a name twice stands behind a [`Gate`], which holds back the filters on such columns.

use datafusion::arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::filter_pushdown::{ChildFilterDescription, FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// DataFusion's physical rules, those that push filters down among gates.
pub(super) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let gated = |rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>| {
        let phases = [FilterPushdown::new(), FilterPushdown::new_post_optimization()];
        match phases.into_iter().find(|phase| phase.name() == rule.name()) {
            Some(phase) => Arc::new(GatedFilterPushdown(phase)),
            None => rule,
        }
    };
    PhysicalOptimizer::new().rules.into_iter().map(gated).collect()
}

/// The rule.
#[derive(Debug)]
struct GatedFilterPushdown(FilterPushdown);

impl PhysicalOptimizerRule for GatedFilterPushdown {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let gated = plan.transform_up(|plan| {
            let schema = plan.schema();
            Ok(match unique_columns(&schema).len() == schema.fields().len() {
                true => Transformed::no(plan),
                false => Transformed::yes(Arc::new(Gate(plan)) as Arc<dyn ExecutionPlan>),
            })
        });
        self.0.optimize(gated.data()?, config)?.transform_up(|plan| Ok(opened(plan))).data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn opened(plan: Arc<dyn ExecutionPlan>) -> Transformed<Arc<dyn ExecutionPlan>> {
    match plan.downcast_ref::<Gate>() {
        Some(Gate(input)) => Transformed::yes(input.clone()),
        None => Transformed::no(plan),
    }
}

/// The columns whose names no other column has.
fn unique_columns(schema: &Schema) -> HashSet<usize> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    schema.fields().iter().for_each(|field| *counts.entry(field.name()).or_default() += 1);
    let fields = schema.fields().iter().enumerate();
    fields.filter(|(_, field)| counts[field.name().as_str()] == 1).map(|(column, _)| column).collect()
}

/// Stands before an input while filters are pushed down.
#[derive(Debug)]
struct Gate(Arc<dyn ExecutionPlan>);

impl DisplayAs for Gate {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl ExecutionPlan for Gate {
    fn name(&self) -> &str {
        "Gate"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.0]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match <[_; 1]>::try_from(children) {
            Ok([input]) => Ok(Arc::new(Gate(input))),
            Err(_) => Err(DataFusionError::Internal("a gate has one input".to_owned())),
        }
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.0.execute(partition, context)
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let columns = unique_columns(&self.0.schema());
        let passed = ChildFilterDescription::from_child_with_allowed_indices(&filters, columns, &self.0)?;
        Ok(FilterDescription::new().with_child(passed))
    }
}
