//! The operator: groups in order of their keys and times, gaps filled as they pass.
//!
//! With bounds known beforehand, one group's rows are in memory at a time. Without (SAMPLE BY of all data), the bounds are
//! those of the whole input, which is held until they are known, under the memory budget.

use super::fill::{Filler, Group, Range};
use super::{Fill, GapFill};
use crate::error::external;
use crate::time_bucket::{Given, Kind, session_zone};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::kernels::partition::partition;
use arrow::compute::{SortOptions, concat_batches};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexRequirement, OrderingRequirements, PhysicalExpr, PhysicalSortExpr,
    PhysicalSortRequirement,
};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
    SendableRecordBatchStream,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{Stream, StreamExt};
use lightning_sql::text::nanos;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Plans [`GapFill`] nodes.
#[derive(Debug)]
pub(crate) struct GapFillPlanner;

#[async_trait]
impl ExtensionPlanner for GapFillPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [input]) = (node.as_any().downcast_ref::<GapFill>(), inputs) else { return Ok(None) };
        let empty = DFSchema::empty();
        let physical = |exprs: &[Expr]| -> Result<Vec<Arc<dyn PhysicalExpr>>> {
            exprs.iter().map(|expr| planner.create_physical_expr(expr, &empty, session, context)).collect()
        };
        let parts = Parts {
            fills: node.fills.clone(),
            bucket: physical(&node.bucket)?,
            starts: physical(&node.starts)?,
            ends: physical(&node.ends)?,
            lasts: physical(&node.lasts)?,
            constants: physical(&node.constants)?,
            data_bounds: node.data_bounds,
        };
        let schema = Arc::clone(UserDefinedLogicalNode::schema(node).inner());
        Ok(Some(Arc::new(GapFillExec::new(Arc::clone(input), schema, Arc::new(parts))?)))
    }
}

/// What a node says, with expressions that can be computed.
#[derive(Debug)]
struct Parts {
    fills: Vec<Fill>,
    bucket: Vec<Arc<dyn PhysicalExpr>>,
    starts: Vec<Arc<dyn PhysicalExpr>>,
    ends: Vec<Arc<dyn PhysicalExpr>>,
    lasts: Vec<Arc<dyn PhysicalExpr>>,
    constants: Vec<Arc<dyn PhysicalExpr>>,
    data_bounds: bool,
}

impl Parts {
    fn lists(&self) -> [&Vec<Arc<dyn PhysicalExpr>>; 5] {
        [&self.bucket, &self.starts, &self.ends, &self.lasts, &self.constants]
    }

    fn groups(&self) -> Vec<usize> {
        let is_group = |(_, fill): &(usize, &Fill)| matches!(fill, Fill::Group);
        self.fills.iter().enumerate().filter(is_group).map(|(index, _)| index).collect()
    }

    fn time(&self) -> Result<usize> {
        let time = self.fills.iter().position(|fill| matches!(fill, Fill::Bucket));
        time.ok_or_else(|| DataFusionError::Internal("a gap fill has a column of buckets".to_owned()))
    }

    /// Whether the bounds are those of the data.
    fn reads_bounds(&self) -> bool {
        self.data_bounds && (self.starts.is_empty() || (self.ends.is_empty() && self.lasts.is_empty()))
    }
}

/// The physical operator.
#[derive(Debug)]
pub(super) struct GapFillExec {
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    parts: Arc<Parts>,
    time: usize,
    /// Rows put out of each group at most.
    rows_of_group: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl GapFillExec {
    fn new(input: Arc<dyn ExecutionPlan>, schema: SchemaRef, parts: Arc<Parts>) -> Result<GapFillExec> {
        let time = parts.time()?;
        let partitions = input.output_partitioning().partition_count();
        // Rows leave as they come, the missing ones in their places.
        let sorted = order(&schema, &parts, time).map(|(column, options)| PhysicalSortExpr::new(column, options));
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(Arc::clone(&schema), [sorted]),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(GapFillExec { input, schema, parts, time, rows_of_group: None, properties: Arc::new(properties), metrics })
    }

    /// The same with at most the first `rows` of each group; `None` if `column` is not that of the buckets.
    pub(super) fn with_rows_of_group(&self, column: usize, rows: usize) -> Result<Option<GapFillExec>> {
        if column != self.time {
            return Ok(None);
        }
        let rows = self.rows_of_group.map_or(rows, |known| known.min(rows));
        let same = GapFillExec::new(Arc::clone(&self.input), Arc::clone(&self.schema), Arc::clone(&self.parts))?;
        Ok(Some(GapFillExec { rows_of_group: Some(rows), ..same }))
    }
}

/// By groups, and by time in each.
fn order(schema: &Schema, parts: &Parts, time: usize) -> impl Iterator<Item = (Arc<dyn PhysicalExpr>, SortOptions)> {
    let options = SortOptions { descending: false, nulls_first: false };
    let columns = parts.groups().into_iter().chain([time]);
    columns.map(move |index| (column(schema, index), options))
}

fn column(schema: &Schema, index: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(schema.field(index).name(), index))
}

impl DisplayAs for GapFillExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let shown =
            |exprs: &[Arc<dyn PhysicalExpr>]| exprs.iter().map(|expr| expr.to_string()).collect::<Vec<_>>().join(", ");
        write!(f, "GapFillExec: bucket=[{}], fills={:?}", shown(&self.parts.bucket), self.parts.fills)?;
        self.rows_of_group.map_or(Ok(()), |rows| write!(f, ", rows_of_group={rows}"))
    }
}

impl ExecutionPlan for GapFillExec {
    fn name(&self) -> &str {
        "GapFillExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        let groups = self.parts.groups();
        if groups.is_empty() || self.parts.reads_bounds() {
            return vec![Distribution::SinglePartition];
        }
        vec![Distribution::KeyPartitioned(groups.into_iter().map(|index| column(&self.schema, index)).collect())]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let sorted = order(&self.schema, &self.parts, self.time)
            .map(|(column, options)| PhysicalSortRequirement::new(column, Some(options)));
        vec![LexRequirement::new(sorted).map(OrderingRequirements::new)]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("a gap fill has one input".to_owned()))?;
        let same = GapFillExec::new(input, Arc::clone(&self.schema), Arc::clone(&self.parts))?;
        Ok(Arc::new(GapFillExec { rows_of_group: self.rows_of_group, ..same }))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expr in self.parts.lists().into_iter().flatten() {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let kind = Kind::of(self.schema.field(self.time).data_type())
            .ok_or_else(|| DataFusionError::Internal("buckets are of times".to_owned()))?;
        let zone = session_zone(context.session_config().options());
        let bucket = constants(&self.parts.bucket)?;
        let (width, others) =
            bucket.split_first().ok_or_else(|| DataFusionError::Internal("a bucket has a width".to_owned()))?;
        let Some(given) = Given::read(width, others, zone).map_err(external)? else {
            return Err(external(crate::bucket::not_positive()));
        };
        let filler = Filler {
            schema: Arc::clone(&self.schema),
            fills: self.parts.fills.clone(),
            kind,
            buckets: given.buckets(kind).map_err(external)?,
            constants: constants(&self.parts.constants)?,
            time: self.time,
            rows_of_group: self.rows_of_group.unwrap_or(usize::MAX),
        };
        let range = Bounds::new(&self.parts, &filler)?;
        let groups = self.parts.groups();
        let fields = groups.iter().map(|index| SortField::new(self.schema.field(*index).data_type().clone())).collect();
        let reservation = MemoryConsumer::new("GapFill").register(context.memory_pool());
        let state = State {
            input: self.input.execute(partition, context)?,
            filler,
            keys: RowConverter::new(fields)?,
            emits_empty: groups.is_empty(),
            groups,
            bounds: range,
            waiting: VecDeque::new(),
            rows: Vec::new(),
            key: None,
            open: None,
            ended: false,
            reservation,
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let stream = state.into_stream().map(move |batch| {
            if let Ok(batch) = &batch {
                metrics.record_output(batch.num_rows());
            }
            batch
        });
        // A batch of the input can become millions: whoever reads them must be able to give up.
        Ok(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The values of expressions without columns.
fn constants(exprs: &[Arc<dyn PhysicalExpr>]) -> Result<Vec<ScalarValue>> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
    let value = |expr: &Arc<dyn PhysicalExpr>| ScalarValue::try_from_array(&expr.evaluate(&row)?.into_array(1)?, 0);
    exprs.iter().map(value).collect()
}

/// The bounds as far as they are known beforehand.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    first: Option<i64>,
    end: Option<i128>,
}

impl Bounds {
    fn new(parts: &Parts, filler: &Filler) -> Result<Bounds> {
        let times = |exprs: &[Arc<dyn PhysicalExpr>], rounding| -> Result<Vec<i64>> {
            let mut times = Vec::with_capacity(exprs.len());
            for value in constants(exprs)? {
                times.extend(bound(&value, filler, rounding)?);
            }
            Ok(times)
        };
        let first = times(&parts.starts, Rounding::Down)?.into_iter().max();
        // Buckets that begin at the last time are in.
        let lasts = times(&parts.lasts, Rounding::Down)?.into_iter().map(|last| i128::from(last) + 1);
        let end = times(&parts.ends, Rounding::Up)?.into_iter().map(i128::from).chain(lasts).min();
        let first = match first {
            Some(at) => Some(filler.buckets.start(at).ok_or_else(|| external(filler.buckets.out_of_range()))?),
            None => None,
        };
        Ok(Bounds { first, end })
    }

    /// The range to fill, with bounds of the data where there are no others.
    fn range(self, data: Option<Range>) -> Option<Range> {
        let first = self.first.or(data.map(|range| range.first))?;
        let end = self.end.or(data.map(|range| range.end))?;
        Some(Range { first, end })
    }
}

/// How nanoseconds bound buckets of microseconds: what begins before 1.5 µs begins before 2, but at 1 or before.
#[derive(Clone, Copy, Debug)]
enum Rounding {
    Down,
    Up,
}

/// A bound in the unit of the buckets; `None` for NULL.
fn bound(value: &ScalarValue, filler: &Filler, rounding: Rounding) -> Result<Option<i64>> {
    match value {
        ScalarValue::TimestampNanosecond(nanos, _) if !filler.kind.is_nanos() => {
            let split = nanos.map(nanos::split);
            Ok(split.map(|(micros, rest)| micros + i64::from(rest > 0 && matches!(rounding, Rounding::Up))))
        }
        value => Ok(filler.times(&value.to_array()?)?.into_iter().flatten().next()),
    }
}

/// A partition in progress.
struct State {
    input: SendableRecordBatchStream,
    filler: Filler,
    keys: RowConverter,
    groups: Vec<usize>,
    /// A query without groups has one, also without rows.
    emits_empty: bool,
    bounds: Bounds,
    /// Parts of the input, each of one group, not looked at yet.
    waiting: VecDeque<RecordBatch>,
    /// Parts of the group that is being read.
    rows: Vec<RecordBatch>,
    key: Option<OwnedRow>,
    /// The group that is being put out.
    open: Option<Group>,
    ended: bool,
    reservation: MemoryReservation,
}

impl State {
    fn into_stream(self) -> impl Stream<Item = Result<RecordBatch>> {
        futures::stream::unfold(Some(self), |state| async {
            let mut state = state?;
            match state.next().await {
                Ok(Some(batch)) => Some((Ok(batch), Some(state))),
                Ok(None) => None,
                Err(e) => Some((Err(e), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let whole = self.bounds.first.is_none() || self.bounds.end.is_none();
        let data = if whole { self.read_all().await? } else { None };
        if let Some(data) = data {
            self.bounds = Bounds { first: Some(data.first), end: Some(data.end) };
        }
        loop {
            if let Some(open) = &mut self.open {
                if let Some(batch) = self.filler.next(open)? {
                    return Ok(Some(batch));
                }
                self.open = None;
            }
            if let Some(part) = self.waiting.pop_front() {
                self.take(part)?;
                continue;
            }
            if self.ended {
                return Ok(None);
            }
            match self.input.next().await {
                Some(batch) => self.cut(&batch?)?,
                None => {
                    self.ended = true;
                    self.finish()?;
                }
            }
        }
    }

    /// Reads all of the input to learn its bounds; `None` when it has no times.
    async fn read_all(&mut self) -> Result<Option<Range>> {
        let mut bounds: Option<(i64, i64)> = None;
        while let Some(batch) = self.input.next().await {
            let batch = batch?;
            self.reservation.try_grow(batch.get_array_memory_size())?;
            for at in self.filler.times(batch.column(self.filler.time))?.into_iter().flatten() {
                bounds = Some(bounds.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
            }
            self.cut(&batch)?;
        }
        let data = bounds.map(|(first, last)| Range { first, end: i128::from(last) + 1 });
        // Without rows there is nothing between first and last.
        self.emits_empty &= data.is_some();
        Ok(Some(self.bounds.range(data).unwrap_or(Range { first: 0, end: 0 })))
    }

    /// Cuts a batch into parts of one group each.
    fn cut(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.groups.is_empty() {
            self.waiting.push_back(batch.clone());
            return Ok(());
        }
        let columns: Vec<ArrayRef> = self.groups.iter().map(|index| Arc::clone(batch.column(*index))).collect();
        for range in partition(&columns)?.ranges() {
            self.waiting.push_back(batch.slice(range.start, range.len()));
        }
        Ok(())
    }

    /// The next part: of the group being read, or the first of another.
    fn take(&mut self, part: RecordBatch) -> Result<()> {
        let first: Vec<ArrayRef> = self.groups.iter().map(|index| part.column(*index).slice(0, 1)).collect();
        let key = match first.is_empty() {
            true => None,
            false => Some(self.keys.convert_columns(&first)?.row(0).owned()),
        };
        if !self.rows.is_empty() && self.key != key {
            self.finish()?;
        }
        self.key = key;
        self.rows.push(part);
        Ok(())
    }

    /// Puts out the group that was read.
    fn finish(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() && !self.emits_empty {
            return Ok(());
        }
        self.emits_empty = false;
        let rows = match <[RecordBatch; 1]>::try_from(rows) {
            Ok([only]) => only,
            Err(rows) => concat_batches(&self.input.schema(), &rows)?,
        };
        self.open = Some(self.filler.group(rows, self.bounds.range(None))?);
        Ok(())
    }
}
