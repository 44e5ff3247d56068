//! Window joins: each left row with aggregates of the right rows of the same key in a range of time around it.
//!
//! The range of a row at `t` goes from `t + from` to `t + to`, both included. While the left times of a key ascend, the
//! range only moves on: rows that come in are added to the accumulators, rows that fall out are taken off. Sums of floats
//! would drift so, and are computed anew for each row, as are aggregates that cannot take rows off.

use super::asof::{Right, apply, distance, left_properties, sides, two};
use super::condition::Condition;
use super::constant;
use super::timeline::{Side, Span, Timeline};
use crate::error::{error, external};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::row::RowConverter;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, Result, ScalarValue};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Accumulator, Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::physical_expr::{Distribution, PhysicalExpr};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{StreamExt, TryStreamExt};
use lightning_sql::Error;
use lightning_sql::sqlstate::SYNTAX_ERROR;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

/// One end of the range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Edge {
    /// After the left row's time, not before it.
    pub(super) follows: bool,
    /// How far; `None`: without end.
    pub(super) distance: Option<Expr>,
}

/// The logical node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WindowJoin {
    left: LogicalPlan,
    right: LogicalPlan,
    schema: DFSchemaRef,
    on: Vec<Expr>,
    /// `left time >= right time`, for the types of both.
    times: Expr,
    edges: [Edge; 2],
    /// Aggregates of the right, under the names of their columns.
    aggregates: Vec<(Expr, String)>,
}

impl WindowJoin {
    pub(super) fn new(
        left: LogicalPlan,
        right: LogicalPlan,
        condition: Condition,
        edges: [Edge; 2],
        aggregates: Vec<(Expr, String)>,
    ) -> Result<WindowJoin> {
        let Condition { on, matching, .. } = condition;
        let Some(times) = matching else {
            return Err(external(Error::new(SYNTAX_ERROR, "a window join needs the times of both sides")));
        };
        let mut fields: Vec<_> =
            left.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
        for (aggregate, name) in &aggregates {
            let (_, field) = aggregate.to_field(right.schema())?;
            fields.push((None, Arc::new(field.as_ref().clone().with_name(name).with_nullable(true))));
        }
        let schema = Arc::new(DFSchema::new_with_metadata(fields, left.schema().metadata().clone())?);
        Ok(WindowJoin { left, right, schema, on, times, edges, aggregates })
    }
}

impl UserDefinedLogicalNodeCore for WindowJoin {
    fn name(&self) -> &str {
        "WindowJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let distances = self.edges.iter().filter_map(|edge| edge.distance.as_ref());
        let aggregates = self.aggregates.iter().map(|(aggregate, _)| aggregate);
        self.on.iter().chain([&self.times]).chain(distances).chain(aggregates).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let shown = |exprs: Vec<String>| exprs.join(", ");
        let on = shown(self.on.iter().map(ToString::to_string).collect());
        let aggregates = shown(self.aggregates.iter().map(|(aggregate, _)| aggregate.to_string()).collect());
        write!(f, "WindowJoin: on=[{on}], times={}, aggregates=[{aggregates}]", self.times)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let [left, right] = two(inputs)?;
        let mut exprs = exprs.into_iter();
        let on: Vec<Expr> = exprs.by_ref().take(self.on.len()).collect();
        let matching = exprs.next();
        let edges = self.edges.clone().map(|edge| match edge.distance {
            Some(_) => Edge { distance: exprs.next(), ..edge },
            None => edge,
        });
        let aggregates = exprs.zip(self.aggregates.iter().map(|(_, name)| name.clone())).collect();
        WindowJoin::new(left, right, Condition { on, matching, merged: Vec::new() }, edges, aggregates)
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        let of_left = self.left.schema().fields().len();
        Some(vec![output.iter().copied().filter(|index| *index < of_left).collect(), Vec::new()])
    }
}

impl Hash for WindowJoin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.left, &self.right, &self.on, &self.times, &self.edges, &self.aggregates).hash(state);
    }
}

impl PartialOrd for WindowJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.left.partial_cmp(&other.left) {
            Some(Ordering::Equal) => self.right.partial_cmp(&other.right),
            order => order,
        }
    }
}

/// Plans [`WindowJoin`] nodes.
#[derive(Debug)]
pub(crate) struct WindowPlanner;

#[async_trait]
impl ExtensionPlanner for WindowPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [left, right]) = (node.as_any().downcast_ref::<WindowJoin>(), inputs) else {
            return Ok(None);
        };
        let (of_left, _, of_right) = sides(planner, &node.left, &node.right, &node.on, &node.times, session, context)?;
        let times = of_left.time.data_type(node.left.schema().as_arrow())?;
        let empty = DFSchema::empty();
        let mut edges = [None; 2];
        for (edge, relative) in node.edges.iter().zip(&mut edges) {
            if let Some(expr) = &edge.distance {
                let value = constant(&planner.create_physical_expr(expr, &empty, session, context)?)?;
                let length = distance(&value, &times)?;
                *relative = Some(if edge.follows { length } else { -length });
            }
        }
        let aggregates = node.aggregates.iter().map(|(aggregate, _)| {
            let schema = node.right.schema();
            let physical = right.schema();
            let lowered =
                LoweredAggregateBuilder::new(aggregate, schema, &physical, session.execution_props(), context)
                    .build()?;
            if lowered.filter.is_some() || !lowered.order_bys.is_empty() {
                let what = "an aggregate with FILTER or ORDER BY over a window join";
                return Err(external(Error::unsupported(what)));
            }
            Ok(lowered.aggregate)
        });
        let aggregates = aggregates.collect::<Result<_>>()?;
        let parts = Parts { left: of_left, right: of_right, edges, aggregates };
        let schema = Arc::clone(UserDefinedLogicalNode::schema(node).inner());
        Ok(Some(Arc::new(WindowJoinExec::new(Arc::clone(left), Arc::clone(right), schema, Arc::new(parts)))))
    }
}

/// What an operator does, shared with its copies.
#[derive(Debug)]
struct Parts {
    left: Side,
    right: Side,
    /// The ends of the range, relative to the left time; `None`: without end.
    edges: [Option<i64>; 2],
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
}

/// The arguments of each aggregate, in the order of the timeline.
type Arguments = Vec<Vec<ArrayRef>>;

/// The physical operator.
#[derive(Debug)]
struct WindowJoinExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    parts: Arc<Parts>,
    reading: Right,
    arguments: Arc<OnceLock<Arguments>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl WindowJoinExec {
    fn new(left: Arc<dyn ExecutionPlan>, right: Arc<dyn ExecutionPlan>, schema: SchemaRef, parts: Arc<Parts>) -> Self {
        let properties = left_properties(&left, &schema);
        let (reading, arguments, metrics) = Default::default();
        WindowJoinExec { left, right, schema, parts, reading, arguments, properties, metrics }
    }
}

impl DisplayAs for WindowJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let Parts { left, right, edges, aggregates } = self.parts.as_ref();
        let on: Vec<String> = left.keys.iter().zip(&right.keys).map(|(l, r)| format!("{l} = {r}")).collect();
        let names: Vec<&str> = aggregates.iter().map(|aggregate| aggregate.name()).collect();
        write!(f, "WindowJoinExec: on=[{}], range={edges:?}, aggregates=[{}]", on.join(", "), names.join(", "))
    }
}

impl ExecutionPlan for WindowJoinExec {
    fn name(&self) -> &str {
        "WindowJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::UnspecifiedDistribution, Distribution::SinglePartition]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true, false]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [left, right] = two(children)?;
        Ok(Arc::new(WindowJoinExec::new(left, right, Arc::clone(&self.schema), Arc::clone(&self.parts))))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply([&self.parts.left, &self.parts.right], f)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let reading = self.reading.read(&self.right, &self.parts.right, &context)?;
        let input = self.left.execute(partition, context)?;
        let (parts, schema, arguments) =
            (Arc::clone(&self.parts), Arc::clone(&self.schema), Arc::clone(&self.arguments));
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let converter = parts.left.converter(&input.schema())?;
        let stream = async move {
            let timeline = reading.await.map_err(DataFusionError::Shared)?;
            if arguments.get().is_none() {
                // Two partitions may both compute them; one wins.
                let _ = arguments.set(self::arguments(&parts, &timeline)?);
            }
            let mut windows = Windows { parts, timeline, arguments, converter, open: None, schema };
            Ok::<_, DataFusionError>(input.map(move |batch| {
                let batch = batch?;
                let _timer = metrics.elapsed_compute().timer();
                let joined = windows.join(&batch)?;
                metrics.record_output(joined.num_rows());
                Ok(joined)
            }))
        };
        let stream = futures::stream::once(stream).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

fn arguments(parts: &Parts, timeline: &Timeline) -> Result<Arguments> {
    let rows = &timeline.rows;
    let compute = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(rows)?.into_array(rows.num_rows());
    parts.aggregates.iter().map(|aggregate| aggregate.expressions().iter().map(compute).collect()).collect()
}

/// One aggregate of the current key.
#[derive(Debug)]
struct Running {
    accumulator: Box<dyn Accumulator>,
    /// Rows can be taken off without loss.
    slides: bool,
}

/// The range that the accumulators have.
#[derive(Debug)]
struct Open {
    key: Box<[u8]>,
    span: Option<Span>,
    low: usize,
    high: usize,
    running: Vec<Running>,
}

/// A partition of the left in progress.
struct Windows {
    parts: Arc<Parts>,
    timeline: Arc<Timeline>,
    arguments: Arc<OnceLock<Arguments>>,
    converter: RowConverter,
    open: Option<Open>,
    schema: SchemaRef,
}

impl Windows {
    fn join(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let sided = self.parts.left.of(batch, &self.converter)?;
        let mut values: Vec<Vec<ScalarValue>> = vec![Vec::with_capacity(batch.num_rows()); self.parts.aggregates.len()];
        for row in 0..batch.num_rows() {
            // A row without key or time has an empty range.
            let (key, time) = match sided.key(row) {
                Some(key) => (Some(key), sided.times.value(row)),
                None => (None, 0),
            };
            let results = self.aggregate(key, time)?;
            values.iter_mut().zip(results).for_each(|(column, value)| column.push(value));
        }
        let mut columns = batch.columns().to_vec();
        for (values, field) in values.into_iter().zip(self.schema.fields().iter().skip(batch.num_columns())) {
            columns.push(match values.is_empty() {
                true => arrow::array::new_empty_array(field.data_type()),
                false => ScalarValue::iter_to_array(values)?,
            });
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    fn start(&self, key: &[u8], span: Option<Span>) -> Result<Open> {
        let running = self.parts.aggregates.iter().map(|aggregate| {
            let floats = aggregate.field().data_type().is_floating();
            let accumulator =
                if floats { aggregate.create_accumulator() } else { aggregate.create_sliding_accumulator() }?;
            let slides = !floats && accumulator.supports_retract_batch();
            Ok(Running { accumulator, slides })
        });
        let start = span.map_or(0, |span| span.start);
        Ok(Open { key: key.into(), span, low: start, high: start, running: running.collect::<Result<_>>()? })
    }

    /// The aggregates of the range around a time of a key; without a key, of no rows.
    fn aggregate(&mut self, key: Option<&[u8]>, time: i64) -> Result<Vec<ScalarValue>> {
        let Some(key) = key else {
            let mut empty = self.start(&[], None)?;
            return empty.running.iter_mut().map(|running| running.accumulator.evaluate()).collect();
        };
        if self.open.as_ref().is_none_or(|open| open.key.as_ref() != key) {
            let span = self.timeline.span(key);
            self.open = Some(self.start(key, span)?);
        }
        let Some(open) = &mut self.open else { return Err(DataFusionError::Internal("a range is open".to_owned())) };
        let Some(span) = open.span else {
            return open.running.iter_mut().map(|running| running.accumulator.evaluate()).collect();
        };
        let [from, to] = self.parts.edges;
        let low = match from.map(|from| time.saturating_add(from)) {
            Some(first) => self.timeline.seek(span, open.low, |at| at < first),
            None => span.start,
        };
        let high = match to.map(|to| time.saturating_add(to)) {
            Some(last) => self.timeline.seek(span, open.high, |at| at <= last),
            None => span.end,
        };
        let high = high.max(low);
        let arguments =
            self.arguments.get().ok_or_else(|| DataFusionError::Internal("arguments are known".to_owned()))?;
        let moves_on = low >= open.low && high >= open.high && low <= open.high;
        let mut results = Vec::with_capacity(open.running.len());
        for ((running, columns), aggregate) in open.running.iter_mut().zip(arguments).zip(&self.parts.aggregates) {
            let slice = |from: usize, to: usize| -> Vec<ArrayRef> {
                columns.iter().map(|column| column.slice(from, to - from)).collect()
            };
            if running.slides && moves_on {
                if high > open.high {
                    running.accumulator.update_batch(&slice(open.high, high))?;
                }
                if low > open.low {
                    running.accumulator.retract_batch(&slice(open.low, low))?;
                }
            } else {
                let fresh = if running.slides {
                    aggregate.create_sliding_accumulator()
                } else {
                    aggregate.create_accumulator()
                };
                running.accumulator = fresh?;
                if high > low {
                    running.accumulator.update_batch(&slice(low, high))?;
                }
            }
            results.push(running.accumulator.evaluate()?);
        }
        (open.low, open.high) = (low, high);
        Ok(results)
    }
}

/// 42601: a range that ends before it begins.
pub(super) fn check(edges: &[Edge; 2]) -> Result<()> {
    let unbounded = |edge: &Edge, follows: bool| edge.distance.is_none() && edge.follows == follows;
    if unbounded(&edges[0], true) || unbounded(&edges[1], false) || (edges[0].follows && !edges[1].follows) {
        return Err(error(SYNTAX_ERROR, "the range of a window join ends before it begins"));
    }
    Ok(())
}
