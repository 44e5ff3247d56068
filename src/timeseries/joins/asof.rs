//! ASOF joins: each left row with the right row of the same key that is closest in time.
//!
//! `>=` and `>` take the last right row at or before the left one's time, `<=` and `<` the first at or after. Of right rows
//! at the same time, the last one read counts. With a tolerance, a row farther away counts as none. An inner join leaves
//! out left rows without a match, a left join gives them NULLs.

use super::condition::{Compared, Condition, no_match};
use super::timeline::{Side, Span, Timeline};
use super::{constant, joined_schema};
use crate::error::{error, external};
use crate::order::is_comparable;
use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use arrow::row::RowConverter;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, DFSchemaRef, DataFusionError, Result, ScalarValue};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, SendableRecordBatchStream,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, TryStreamExt};
use lightning_sql::sqlstate::{DATATYPE_MISMATCH, INVALID_PARAMETER_VALUE};
use lightning_sql::text::interval::interval;
use lightning_sql::text::nanos;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// The logical node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AsofJoin {
    left: LogicalPlan,
    right: LogicalPlan,
    schema: DFSchemaRef,
    on: Vec<Expr>,
    matching: Expr,
    tolerance: Option<Expr>,
    /// Left rows without a match stay.
    outer: bool,
    /// Columns of the right that do not appear: USING has them from the left.
    merged: Vec<Column>,
}

impl AsofJoin {
    pub(super) fn new(
        left: LogicalPlan,
        right: LogicalPlan,
        condition: Condition,
        tolerance: Option<Expr>,
        outer: bool,
    ) -> Result<AsofJoin> {
        let Condition { on, matching, merged } = condition;
        let matching = matching.ok_or_else(|| external(no_match()))?;
        let keeps = |index: usize| !merged.contains(&right.schema().columns()[index]);
        let schema = joined_schema(&left, &right, keeps, outer)?;
        Ok(AsofJoin { left, right, schema, on, matching, tolerance, outer, merged })
    }
}

impl UserDefinedLogicalNodeCore for AsofJoin {
    fn name(&self) -> &str {
        "AsofJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.on.iter().chain([&self.matching]).chain(&self.tolerance).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let on: Vec<String> = self.on.iter().map(ToString::to_string).collect();
        let kind = if self.outer { "Left" } else { "Inner" };
        write!(f, "AsofJoin: {kind}, on=[{}], match={}", on.join(", "), self.matching)
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let [left, right] = two(inputs)?;
        let tolerance = if self.tolerance.is_some() { exprs.pop() } else { None };
        let matching = exprs.pop();
        let condition = Condition { on: exprs, matching, merged: self.merged.clone() };
        AsofJoin::new(left, right, condition, tolerance, self.outer)
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        let of_left = self.left.schema().fields().len();
        let columns = self.right.schema().columns();
        let kept: Vec<usize> = (0..columns.len()).filter(|index| !self.merged.contains(&columns[*index])).collect();
        let left = output.iter().copied().filter(|index| *index < of_left).collect();
        let right = output.iter().filter(|index| **index >= of_left).map(|index| kept[*index - of_left]).collect();
        Some(vec![left, right])
    }
}

/// Exactly two inputs.
pub(super) fn two<T>(inputs: Vec<T>) -> Result<[T; 2]> {
    inputs.try_into().map_err(|_| DataFusionError::Internal("a join has two inputs".to_owned()))
}

impl Hash for AsofJoin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.left, &self.right, &self.on, &self.matching, &self.tolerance, self.outer).hash(state);
    }
}

impl PartialOrd for AsofJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.left.partial_cmp(&other.left) {
            Some(Ordering::Equal) => self.right.partial_cmp(&other.right),
            order => order,
        }
    }
}

/// Plans [`AsofJoin`] nodes.
#[derive(Debug)]
pub(crate) struct AsofPlanner;

#[async_trait]
impl ExtensionPlanner for AsofPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [left, right]) = (node.as_any().downcast_ref::<AsofJoin>(), inputs) else { return Ok(None) };
        let sides = sides(planner, &node.left, &node.right, &node.on, &node.matching, session, context)?;
        let (of_left, op, of_right) = sides;
        let empty = datafusion::common::DFSchema::empty();
        let tolerance = match &node.tolerance {
            None => None,
            Some(tolerance) => {
                let value = constant(&planner.create_physical_expr(tolerance, &empty, session, context)?)?;
                Some(distance(&value, &of_left.time.data_type(node.left.schema().as_arrow())?)?)
            }
        };
        let columns = node.right.schema().columns();
        let kept = (0..columns.len()).filter(|index| !node.merged.contains(&columns[*index])).collect();
        let parts = Parts { left: of_left, right: of_right, op, tolerance, outer: node.outer, kept };
        let schema = Arc::clone(UserDefinedLogicalNode::schema(node).inner());
        Ok(Some(Arc::new(AsofJoinExec::new(Arc::clone(left), Arc::clone(right), schema, Arc::new(parts)))))
    }
}

/// The keys and times of both sides, and how the times compare.
pub(super) fn sides(
    planner: &dyn PhysicalPlanner,
    left: &LogicalPlan,
    right: &LogicalPlan,
    on: &[Expr],
    matching: &Expr,
    session: &dyn Session,
    context: &PhysicalPlanningContext,
) -> Result<(Side, Operator, Side)> {
    let read = |expr: &Expr| {
        Compared::read(expr, left.schema(), right.schema()).ok_or_else(|| {
            external(lightning_sql::Error::unsupported(format!("the condition {expr} in a join by time")))
        })
    };
    let of = |expr: &Expr, plan: &LogicalPlan| planner.create_physical_expr(expr, plan.schema(), session, context);
    let (mut left_keys, mut right_keys) = (Vec::new(), Vec::new());
    for expr in on {
        let compared = read(expr)?;
        left_keys.push(of(&compared.left, left)?);
        right_keys.push(of(&compared.right, right)?);
    }
    let compared = read(matching)?;
    let (left_time, right_time) = (of(&compared.left, left)?, of(&compared.right, right)?);
    let types = [left_time.data_type(left.schema().as_arrow())?, right_time.data_type(right.schema().as_arrow())?];
    if types.iter().any(|t| !is_comparable(t)) || same_kind(&types[0]) != same_kind(&types[1]) {
        let names = types.map(|t| lightning_sql::types::from_arrow(&t).base_name());
        let message = format!("cannot join by times of types {} and {}", names[0], names[1]);
        return Err(error(DATATYPE_MISMATCH, message));
    }
    let side = |keys, time| Side { keys, time };
    Ok((side(left_keys, left_time), compared.op, side(right_keys, right_time)))
}

/// Types whose comparable integers count the same.
fn same_kind(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => 4,
        DataType::Timestamp(..) => 0,
        DataType::Date32 => 1,
        t if t.is_floating() => 2,
        _ => 3,
    }
}

/// A tolerance in the unit of the times: for intervals micro- or nanoseconds.
pub(super) fn distance(value: &ScalarValue, times: &DataType) -> Result<i64> {
    let length = match value {
        ScalarValue::IntervalMonthDayNano(Some(value)) => Some(*value),
        ScalarValue::Int64(Some(units)) => return positive(*units),
        ScalarValue::Int32(Some(units)) => return positive(i64::from(*units)),
        other => match other.try_as_str() {
            Some(Some(text)) => Some(interval(text).map_err(external)?),
            _ => None,
        },
    };
    let Some(length) = length else {
        return Err(error(INVALID_PARAMETER_VALUE, "a distance in time must be an interval"));
    };
    if length.months != 0 {
        return Err(error(INVALID_PARAMETER_VALUE, "a distance in time cannot have months"));
    }
    let nanos = i128::from(length.days) * i128::from(nanos::PER_DAY) + i128::from(length.nanoseconds);
    let units = match times {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => nanos,
        // What is not as far apart as a microsecond is not apart.
        _ => nanos.div_euclid(nanos::PER_MICRO.into()),
    };
    positive(i64::try_from(units).unwrap_or(if units < 0 { i64::MIN } else { i64::MAX }))
}

fn positive(distance: i64) -> Result<i64> {
    match distance {
        0.. => Ok(distance),
        _ => Err(error(INVALID_PARAMETER_VALUE, "a distance in time must not be negative")),
    }
}

/// What an operator does, shared with its copies.
#[derive(Debug)]
struct Parts {
    left: Side,
    right: Side,
    op: Operator,
    tolerance: Option<i64>,
    outer: bool,
    /// Columns of the right that appear.
    kept: Vec<usize>,
}

/// A right side that is read once for all partitions of the left.
pub(super) type Reading = Shared<BoxFuture<'static, std::result::Result<Arc<Timeline>, Arc<DataFusionError>>>>;

/// The right side of an operator, read by whoever asks first.
#[derive(Default)]
pub(super) struct Right(Mutex<Option<Reading>>);

impl fmt::Debug for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Right")
    }
}

impl Right {
    pub(super) fn read(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        side: &Side,
        context: &Arc<TaskContext>,
    ) -> Result<Reading> {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = reading.as_ref() {
            return Ok(reading.clone());
        }
        let input = plan.execute(0, Arc::clone(context))?;
        let memory = MemoryConsumer::new("join by time").register(context.memory_pool());
        let side = side.clone();
        let read = async move { Timeline::read(input, &side, memory).await.map(Arc::new).map_err(Arc::new) };
        Ok(reading.insert(read.boxed().shared()).clone())
    }
}

/// The physical operator.
#[derive(Debug)]
struct AsofJoinExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    parts: Arc<Parts>,
    reading: Right,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl AsofJoinExec {
    fn new(left: Arc<dyn ExecutionPlan>, right: Arc<dyn ExecutionPlan>, schema: SchemaRef, parts: Arc<Parts>) -> Self {
        let properties = left_properties(&left, &schema);
        let metrics = ExecutionPlanMetricsSet::new();
        AsofJoinExec { left, right, schema, parts, reading: Right::default(), properties, metrics }
    }
}

/// Rows come as the left side has them.
pub(super) fn left_properties(left: &Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Arc<PlanProperties> {
    let mut equivalences = EquivalenceProperties::new(Arc::clone(schema));
    if let Some(ordering) = left.output_ordering() {
        equivalences.add_ordering(ordering.iter().cloned());
    }
    let partitioning = left.output_partitioning().clone();
    Arc::new(PlanProperties::new(equivalences, partitioning, EmissionType::Incremental, Boundedness::Bounded))
}

impl DisplayAs for AsofJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let Parts { left, right, op, outer, .. } = self.parts.as_ref();
        let on: Vec<String> = left.keys.iter().zip(&right.keys).map(|(l, r)| format!("{l} = {r}")).collect();
        let kind = if *outer { "Left" } else { "Inner" };
        write!(f, "AsofJoinExec: {kind}, on=[{}], match={} {op} {}", on.join(", "), left.time, right.time)
    }
}

impl ExecutionPlan for AsofJoinExec {
    fn name(&self) -> &str {
        "AsofJoinExec"
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
        Ok(Arc::new(AsofJoinExec::new(left, right, Arc::clone(&self.schema), Arc::clone(&self.parts))))
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
        let parts = Arc::clone(&self.parts);
        let schema = Arc::clone(&self.schema);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let converter = parts.left.converter(&input.schema())?;
        let stream = async move {
            let timeline = reading.await.map_err(DataFusionError::Shared)?;
            let mut matching = Matching { parts, timeline, converter, last: None, hint: 0, schema };
            Ok::<_, DataFusionError>(input.map(move |batch| {
                let batch = batch?;
                let _timer = metrics.elapsed_compute().timer();
                let joined = matching.join(&batch)?;
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

/// Shows the expressions of both sides.
pub(super) fn apply(
    sides: [&Side; 2],
    f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
) -> Result<TreeNodeRecursion> {
    for expr in sides.into_iter().flat_map(|side| side.keys.iter().chain([&side.time])) {
        if f(expr)? == TreeNodeRecursion::Stop {
            return Ok(TreeNodeRecursion::Stop);
        }
    }
    Ok(TreeNodeRecursion::Continue)
}

/// A partition of the left in progress.
struct Matching {
    parts: Arc<Parts>,
    timeline: Arc<Timeline>,
    converter: RowConverter,
    /// The key of the row before, and its rows on the right.
    last: Option<(Box<[u8]>, Option<Span>)>,
    hint: usize,
    schema: SchemaRef,
}

impl Matching {
    fn join(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let sided = self.parts.left.of(batch, &self.converter)?;
        let mut matches: Vec<Option<u32>> = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let found = match sided.key(row) {
                None => None,
                Some(key) => self.span(key).and_then(|span| self.find(span, sided.times.value(row))),
            };
            matches.push(found);
        }
        let mut left = batch.clone();
        if !self.parts.outer {
            let rows = matches.iter().enumerate().filter(|(_, found)| found.is_some());
            let rows: Vec<u32> = rows.map(|(row, _)| row as u32).collect();
            if rows.len() < batch.num_rows() {
                left = take_record_batch(batch, &UInt32Array::from(rows))?;
                matches.retain(Option::is_some);
            }
        }
        let matches = UInt32Array::from(matches);
        let mut columns: Vec<ArrayRef> = left.columns().to_vec();
        for index in &self.parts.kept {
            columns.push(take(self.timeline.rows.column(*index), &matches, None)?);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(left.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    fn span(&mut self, key: &[u8]) -> Option<Span> {
        if let Some((known, span)) = &self.last
            && known.as_ref() == key
        {
            return *span;
        }
        let span = self.timeline.span(key);
        self.hint = span.map_or(0, |span| span.start);
        self.last = Some((key.into(), span));
        span
    }

    /// The right row that matches a time.
    fn find(&mut self, span: Span, time: i64) -> Option<u32> {
        let timeline = &self.timeline;
        let (place, found) = match self.parts.op {
            Operator::GtEq => {
                let after = timeline.seek(span, self.hint, |at| at <= time);
                (after, after.checked_sub(1).filter(|row| *row >= span.start))
            }
            Operator::Gt => {
                let after = timeline.seek(span, self.hint, |at| at < time);
                (after, after.checked_sub(1).filter(|row| *row >= span.start))
            }
            Operator::LtEq => {
                let first = timeline.seek(span, self.hint, |at| at < time);
                (first, Some(first).filter(|row| *row < span.end))
            }
            _ => {
                let first = timeline.seek(span, self.hint, |at| at <= time);
                (first, Some(first).filter(|row| *row < span.end))
            }
        };
        self.hint = place.min(span.end - 1);
        let found = found?;
        let distance = time.abs_diff(timeline.times[found]);
        let near = self.parts.tolerance.is_none_or(|tolerance| distance <= tolerance.unsigned_abs());
        near.then_some(found as u32)
    }
}
