//! The operator: rows in, a row of partial results for each run out, as DataFusion's final aggregation takes them.

use super::boundaries::mark;
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Constraints, Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures::{StreamExt, stream};
use std::fmt;
use std::sync::Arc;

/// Partial results are handed on when they are of so many rows, so that what aggregates keep of each is bounded.
const ROWS_MAX: usize = 1 << 17;
/// The same in runs.
const RUNS_MAX: usize = 4096;

/// One aggregate of a plan.
#[derive(Clone, Debug)]
struct Aggregate {
    function: Arc<AggregateFunctionExpr>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

/// The physical operator.
#[derive(Debug)]
pub(super) struct RunAggregateExec {
    input: Arc<dyn ExecutionPlan>,
    groups: Arc<[(Arc<dyn PhysicalExpr>, String)]>,
    aggregates: Arc<[Aggregate]>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RunAggregateExec {
    /// Does what `partial` does, of which a group may then have several rows.
    pub(super) fn new(partial: &AggregateExec) -> RunAggregateExec {
        let filters = partial.filter_expr().iter().cloned();
        let aggregates = partial.aggr_expr().iter().cloned().zip(filters);
        let known = partial.properties();
        let equivalences = known.equivalence_properties().clone().with_constraints(Constraints::default());
        let properties = PlanProperties::new(
            equivalences,
            known.output_partitioning().clone(),
            EmissionType::Incremental,
            known.boundedness,
        );
        RunAggregateExec {
            input: Arc::clone(partial.input()),
            groups: partial.group_expr().expr().into(),
            aggregates: aggregates.map(|(function, filter)| Aggregate { function, filter }).collect(),
            schema: partial.schema(),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for RunAggregateExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self.groups.iter().map(|(expr, name)| format!("{expr} as {name}")).collect();
        let aggregates: Vec<&str> = self.aggregates.iter().map(|aggregate| aggregate.function.name()).collect();
        write!(f, "RunAggregateExec: gby=[{}], aggr=[{}]", groups.join(", "), aggregates.join(", "))
    }
}

impl ExecutionPlan for RunAggregateExec {
    fn name(&self) -> &str {
        "RunAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[_; 1]>::try_from(children) else { return internal_err!("an aggregation has one input") };
        Ok(Arc::new(RunAggregateExec {
            input,
            groups: Arc::clone(&self.groups),
            aggregates: Arc::clone(&self.aggregates),
            schema: Arc::clone(&self.schema),
            properties: Arc::clone(&self.properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let groups = self.groups.iter().map(|(expr, _)| Arc::clone(expr));
        let aggregates =
            self.aggregates.iter().flat_map(|a| a.function.expressions().into_iter().chain(a.filter.clone()));
        for expression in groups.chain(aggregates) {
            if f(&expression)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let runs = Runs::new(&self.groups, &self.aggregates, &self.schema)?;
        let batches = stream::try_unfold((input, runs, metrics), |(mut input, mut runs, metrics)| async move {
            while !runs.is_ended {
                match input.next().await.transpose()? {
                    Some(batch) => {
                        let _timer = metrics.elapsed_compute().timer();
                        runs.add(&batch)?;
                    }
                    None => runs.is_ended = true,
                }
                if runs.is_full() || runs.is_ended && runs.count > 0 {
                    let batch = runs.emit()?;
                    metrics.record_output(batch.num_rows());
                    return Ok(Some((batch, (input, runs, metrics))));
                }
            }
            metrics.done();
            Ok(None)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// An aggregate at work.
struct Working {
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    accumulator: Box<dyn GroupsAccumulator>,
}

/// Runs that were not handed on yet.
struct Runs {
    schema: SchemaRef,
    groups: Arc<[(Arc<dyn PhysicalExpr>, String)]>,
    aggregates: Vec<Working>,
    /// By group column, the values of the runs, a piece for each batch.
    heads: Vec<Vec<ArrayRef>>,
    count: usize,
    rows: usize,
    is_ended: bool,
    /// Of each row of a batch, the number of its run.
    numbers: Vec<usize>,
}

impl Runs {
    fn new(
        groups: &Arc<[(Arc<dyn PhysicalExpr>, String)]>,
        aggregates: &[Aggregate],
        schema: &SchemaRef,
    ) -> Result<Runs> {
        let working = |aggregate: &Aggregate| -> Result<Working> {
            let accumulator = aggregate.function.create_groups_accumulator()?;
            Ok(Working { arguments: aggregate.function.expressions(), filter: aggregate.filter.clone(), accumulator })
        };
        Ok(Runs {
            schema: Arc::clone(schema),
            groups: Arc::clone(groups),
            aggregates: aggregates.iter().map(working).collect::<Result<_>>()?,
            heads: vec![Vec::new(); groups.len()],
            count: 0,
            rows: 0,
            is_ended: false,
            numbers: Vec::new(),
        })
    }

    fn is_full(&self) -> bool {
        self.count >= RUNS_MAX || self.rows >= ROWS_MAX
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let column = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
        let groups = self.groups.iter().map(|(expr, _)| column(expr)).collect::<Result<Vec<ArrayRef>>>()?;
        let begins = mark(&groups, rows);
        let firsts = self.number(&begins);
        for (heads, values) in self.heads.iter_mut().zip(&groups) {
            heads.push(take(values, &firsts, None)?);
        }
        self.rows += rows;
        for aggregate in &mut self.aggregates {
            let arguments = aggregate.arguments.iter().map(column).collect::<Result<Vec<_>>>()?;
            let filter = aggregate.filter.as_ref().map(column).transpose()?;
            let filter: Option<&BooleanArray> = filter.as_ref().map(|filter| filter.as_boolean());
            aggregate.accumulator.update_batch(&arguments, &self.numbers, filter, self.count)?;
        }
        Ok(())
    }

    /// Numbers the runs of a batch; the first row of each.
    fn number(&mut self, begins: &[bool]) -> UInt32Array {
        self.numbers.clear();
        self.numbers.reserve(begins.len());
        let mut firsts = Vec::new();
        for (row, _) in begins.iter().enumerate().filter(|(_, begins)| **begins) {
            self.numbers.resize(row, (self.count + firsts.len()).wrapping_sub(1));
            firsts.push(row as u32);
        }
        self.count += firsts.len();
        self.numbers.resize(begins.len(), self.count - 1);
        firsts.into()
    }

    /// The partial results of all runs; none are left.
    fn emit(&mut self) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for heads in &mut self.heads {
            let pieces: Vec<_> = heads.iter().map(AsRef::as_ref).collect();
            columns.push(concat(&pieces)?);
            heads.clear();
        }
        for aggregate in &mut self.aggregates {
            columns.extend(aggregate.accumulator.state(EmitTo::All)?);
        }
        (self.count, self.rows) = (0, 0);
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}
