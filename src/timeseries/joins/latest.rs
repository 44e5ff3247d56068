//! LATEST ON: of each key the row with the latest time.
//!
//! Each partition keeps the best row of every key it has met; batches that hold them are copied together when most of
//! their rows have been surpassed. A second operator does the same over the rows of all partitions. Rows without a time
//! are never the latest; of rows at the same time, the one met first counts.

use super::timeline::Side;
use crate::error::error;
use crate::order::is_comparable;
use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::RowConverter;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchemaRef, DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::StreamExt;
use lightning_sql::scan::last_of_each;
use lightning_sql::sqlstate::DATATYPE_MISMATCH;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Rows that are kept although surpassed, before batches are copied together.
const SPARE_ROWS: usize = 1 << 16;

/// The logical node: some rows of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Latest {
    input: LogicalPlan,
    time: Expr,
    keys: Vec<Expr>,
}

impl Latest {
    pub(super) fn new(input: LogicalPlan, time: Expr, keys: Vec<Expr>) -> Latest {
        Latest { input, time, keys }
    }
}

impl UserDefinedLogicalNodeCore for Latest {
    fn name(&self) -> &str {
        "Latest"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        [&self.time].into_iter().chain(&self.keys).cloned().collect()
    }

    /// Conditions on keys leave out whole keys: they may come first.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let keys: HashSet<&str> =
            self.keys.iter().filter_map(|key| key.try_as_col()).map(|c| c.name.as_str()).collect();
        let names = self.input.schema().fields().iter().map(|field| field.name());
        names.filter(|name| !keys.contains(name.as_str())).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        write!(f, "Latest: on={}, keys=[{}]", self.time, keys.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut exprs = exprs.into_iter();
        match (inputs.pop(), exprs.next()) {
            (Some(input), Some(time)) => Ok(Latest::new(input, time, exprs.collect())),
            _ => Err(DataFusionError::Internal("the latest rows have an input and a time".to_owned())),
        }
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output.to_vec()])
    }
}

impl Hash for Latest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.input, &self.time, &self.keys).hash(state);
    }
}

impl PartialOrd for Latest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

/// Plans [`Latest`] nodes.
#[derive(Debug)]
pub(crate) struct LatestPlanner;

#[async_trait]
impl ExtensionPlanner for LatestPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [input]) = (node.as_any().downcast_ref::<Latest>(), inputs) else { return Ok(None) };
        let of = |expr: &Expr| planner.create_physical_expr(expr, node.input.schema(), session, context);
        let side = Side { keys: node.keys.iter().map(of).collect::<Result<_>>()?, time: of(&node.time)? };
        let data_type = side.time.data_type(&input.schema())?;
        if !is_comparable(&data_type) {
            let name = lightning_sql::types::from_arrow(&data_type).base_name();
            return Err(error(DATATYPE_MISMATCH, format!("LATEST ON needs a time, not a value of type {name}")));
        }
        let mut plan: Arc<dyn ExecutionPlan> = match side.columns() {
            Some((keys, time)) => last_of_each(input, &keys, time)?.unwrap_or_else(|| Arc::clone(input)),
            None => Arc::clone(input),
        };
        if plan.output_partitioning().partition_count() > 1 {
            plan = Arc::new(LatestExec::new(plan, side.clone(), false));
        }
        Ok(Some(Arc::new(LatestExec::new(plan, side, true))))
    }
}

/// The physical operator.
#[derive(Debug)]
struct LatestExec {
    input: Arc<dyn ExecutionPlan>,
    side: Side,
    /// Over all rows, not those of a partition.
    is_final: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl LatestExec {
    fn new(input: Arc<dyn ExecutionPlan>, side: Side, is_final: bool) -> LatestExec {
        let partitions = if is_final { 1 } else { input.output_partitioning().partition_count() };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        LatestExec { input, side, is_final, properties: Arc::new(properties), metrics }
    }
}

impl DisplayAs for LatestExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let keys: Vec<String> = self.side.keys.iter().map(ToString::to_string).collect();
        let mode = if self.is_final { "Final" } else { "Partial" };
        write!(f, "LatestExec: mode={mode}, on={}, keys=[{}]", self.side.time, keys.join(", "))
    }
}

impl ExecutionPlan for LatestExec {
    fn name(&self) -> &str {
        "LatestExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![if self.is_final { Distribution::SinglePartition } else { Distribution::UnspecifiedDistribution }]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("one input".to_owned()))?;
        Ok(Arc::new(LatestExec::new(input, self.side.clone(), self.is_final)))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expr in self.side.keys.iter().chain([&self.side.time]) {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut input = self.input.execute(partition, Arc::clone(&context))?;
        let schema = input.schema();
        let mut best = Best {
            schema: Arc::clone(&schema),
            converter: self.side.converter(&schema)?,
            side: self.side.clone(),
            keys: HashMap::new(),
            slots: Vec::new(),
            batches: Vec::new(),
            rows: 0,
            memory: MemoryConsumer::new("Latest").register(context.memory_pool()),
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let stream = futures::stream::once(async move {
            while let Some(batch) = input.next().await {
                let batch = batch?;
                let _timer = metrics.elapsed_compute().timer();
                best.take(batch)?;
            }
            let rows = best.finish()?;
            metrics.record_output(rows.num_rows());
            Ok(rows)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The best row of a key.
#[derive(Clone, Copy, Debug)]
struct Slot {
    time: i64,
    batch: usize,
    row: usize,
}

/// The best rows so far.
struct Best {
    schema: SchemaRef,
    side: Side,
    converter: RowConverter,
    keys: HashMap<Box<[u8]>, usize>,
    slots: Vec<Slot>,
    batches: Vec<RecordBatch>,
    /// Of all batches.
    rows: usize,
    memory: MemoryReservation,
}

impl Best {
    fn take(&mut self, batch: RecordBatch) -> Result<()> {
        let sided = self.side.of(&batch, &self.converter)?;
        let number = self.batches.len();
        let mut is_used = false;
        let mut last: Option<(&[u8], usize)> = None;
        for row in 0..batch.num_rows() {
            // NULL is a key like others, but no time.
            if !sided.has_time(row) {
                continue;
            }
            let (key, time) = (sided.any_key(row), sided.times.value(row));
            let slot = match last {
                Some((known, slot)) if known == key => slot,
                _ => match self.keys.get(key) {
                    Some(slot) => *slot,
                    None => {
                        self.keys.insert(key.into(), self.slots.len());
                        self.slots.push(Slot { time, batch: number, row });
                        is_used = true;
                        self.slots.len() - 1
                    }
                },
            };
            last = Some((key, slot));
            let slot = &mut self.slots[slot];
            if time > slot.time {
                *slot = Slot { time, batch: number, row };
                is_used = true;
            }
        }
        if is_used {
            self.rows += batch.num_rows();
            self.batches.push(batch);
            if self.rows > SPARE_ROWS + 2 * self.slots.len() {
                self.compact()?;
            }
        }
        Ok(())
    }

    /// Copies the best rows together.
    fn compact(&mut self) -> Result<()> {
        let places: Vec<(usize, usize)> = self.slots.iter().map(|slot| (slot.batch, slot.row)).collect();
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let rows = match batches.is_empty() {
            true => RecordBatch::new_empty(Arc::clone(&self.schema)),
            false => interleave_record_batch(&batches, &places)?,
        };
        let of_keys: usize = self.keys.keys().map(|key| key.len() + 48).sum();
        self.memory.try_resize(rows.get_array_memory_size() + of_keys)?;
        self.slots.iter_mut().enumerate().for_each(|(row, slot)| (slot.batch, slot.row) = (0, row));
        self.rows = rows.num_rows();
        self.batches = vec![rows];
        Ok(())
    }

    fn finish(mut self) -> Result<RecordBatch> {
        self.compact()?;
        Ok(self.batches.swap_remove(0))
    }
}
