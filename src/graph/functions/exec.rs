//! The operator that runs a call.
//!
//! The inputs are read first; then the graph is got, in memory or read now, and the algorithm runs on a thread that may block, with threads of its own. Batches go through a
//! short queue, so that a slow reader holds the algorithm back. Dropping the stream stops it.

use super::arguments::Arguments;
use super::near;
use super::plan::{Edges, Role};
use super::run::Run;
use super::signature::{Argument, Function};
use crate::adjacency::{Cache, Numbering};
use crate::schema::Graph;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt};
use lightning_sql::extension::{Running, running};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Batches that wait for a slow reader.
const QUEUE_BATCHES: usize = 2;

/// The operator.
#[derive(Debug)]
pub(crate) struct GraphFunctionExec {
    function: Function,
    graph: Arc<Graph>,
    edges: Edges,
    arguments: Vec<(Argument, Arc<dyn PhysicalExpr>)>,
    roles: Vec<Role>,
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    schema: SchemaRef,
    cache: Arc<OnceLock<Arc<Cache>>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl GraphFunctionExec {
    pub(crate) fn new(
        function: Function,
        graph: Arc<Graph>,
        edges: Edges,
        arguments: Vec<(Argument, Arc<dyn PhysicalExpr>)>,
        inputs: Vec<(Role, Arc<dyn ExecutionPlan>)>,
        schema: SchemaRef,
        cache: Arc<OnceLock<Arc<Cache>>>,
    ) -> GraphFunctionExec {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        let (roles, inputs) = inputs.into_iter().unzip();
        let metrics = ExecutionPlanMetricsSet::new();
        GraphFunctionExec { function, graph, edges, arguments, roles, inputs, schema, cache, properties, metrics }
    }
}

impl DisplayAs for GraphFunctionExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "GraphFunctionExec: {} of {}", self.function.name(), self.graph.name)?;
        self.arguments.iter().try_for_each(|(argument, expr)| write!(f, ", {}={expr}", argument.name()))
    }
}

impl ExecutionPlan for GraphFunctionExec {
    fn name(&self) -> &str {
        "GraphFunctionExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition; self.inputs.len()]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let inputs = self.roles.iter().copied().zip(children).collect();
        let (graph, edges, arguments) = (self.graph.clone(), self.edges.clone(), self.arguments.clone());
        let (schema, cache) = (self.schema.clone(), self.cache.clone());
        Ok(Arc::new(GraphFunctionExec::new(self.function, graph, edges, arguments, inputs, schema, cache)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for (_, expr) in &self.arguments {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(statement) = running(context.session_config()) else {
            return Err(DataFusionError::Internal("a graph function outside a statement".to_owned()));
        };
        let values = self.arguments.iter().map(|(argument, expr)| Ok((*argument, value_of(expr)?)));
        let values = values.collect::<Result<Vec<_>>>()?;
        let inputs = self.inputs.iter().map(|input| input.execute(0, context.clone())).collect::<Result<Vec<_>>>()?;
        let (function, edges, roles) = (self.function, self.edges.clone(), self.roles.clone());
        let threads = context.session_config().target_partitions();
        let (graph, schema) = (self.graph.clone(), self.schema.clone());
        let cache = self.cache.get_or_init(|| Cache::new(&statement.budget)).clone();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let stream = async move {
            let kept = match &edges.condition {
                Some(condition) => cache.get_kept(&graph, &statement.context.storage, condition),
                None => Ok(None),
            };
            let (adjacency, masks) = kept.map_err(crate::error::external)?.unzip();
            let mut read = Vec::with_capacity(inputs.len());
            for (role, input) in roles.into_iter().zip(inputs) {
                if masks.is_some() && matches!(role, Role::Edges(_)) {
                    continue;
                }
                read.push((role, input.try_collect::<Vec<_>>().await?));
            }
            let arguments = Arguments { function, edges, values, masks, inputs: read };
            let (to_reader, from_algorithm) = tokio::sync::mpsc::channel(QUEUE_BATCHES);
            let guard = StopOnDrop::default();
            let stop = guard.0.clone();
            let work = tokio::task::spawn_blocking(move || {
                let _timer = metrics.elapsed_compute().timer();
                let stop = || stop.load(Ordering::Relaxed);
                let mut emit = |batch: RecordBatch| {
                    metrics.record_output(batch.num_rows());
                    to_reader.blocking_send(batch).is_ok()
                };
                let Running { context, budget } = statement;
                if !cache.has(&graph)
                    && let Some(batches) = near::rows(&graph, &context.storage, &arguments, &schema, &stop)?
                {
                    batches.into_iter().all(emit);
                    return Ok(());
                }
                let numbering = match function {
                    // Labels are compared, as keys are.
                    Function::Cdlp => Numbering::ByKey,
                    // All numbers have a part of the rank.
                    Function::PageRank => Numbering::Dense,
                    _ => Numbering::Any,
                };
                let adjacency = match adjacency {
                    Some(adjacency) => adjacency,
                    None => cache.get(&graph, &context.storage, &budget, threads, numbering, &stop)?,
                };
                let (adjacency, arguments, schema) = (&adjacency, &arguments, &schema);
                Run { adjacency, arguments, schema, threads, stop: &stop, emit: &mut emit }.run()
            });
            let batches = futures::stream::unfold((from_algorithm, guard), |(mut batches, guard)| async move {
                batches.recv().await.map(|batch| (Ok(batch), (batches, guard)))
            });
            // The algorithm's error comes last.
            let outcome = futures::stream::once(work).filter_map(|outcome| async move {
                match outcome {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(Err(crate::error::external(error))),
                    Err(error) => Some(Err(DataFusionError::ExecutionJoin(Box::new(error)))),
                }
            });
            Ok::<_, DataFusionError>(batches.chain(outcome))
        };
        let stream = futures::stream::once(stream).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// Tells an algorithm to stop when nobody waits for it any more.
#[derive(Debug, Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The value of an expression without columns.
fn value_of(expr: &Arc<dyn PhysicalExpr>) -> Result<ScalarValue> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::<ArrayRef>::new(), &options)?;
    match expr.evaluate(&row)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0),
    }
}
