//! A scan in a physical plan.

use super::condition::{merge, nothing, translate};
use super::dynamic::{DynamicContext, DynamicExpression, KeyRange};
use super::index::{KeyAccess, KeyedRows, TableIndex};
use super::row_filter::{ErrorSlot, ExpressionFilter, rebatch};
use super::statistics::{condition_selectivity, domains, filtered, predicate_selectivity};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, ScalarValue, Statistics, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::source::{DataSource, OpenArgs};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::{Column, DynamicFilterTracking, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr, RangePartitioning, SplitPoint,
    split_conjunction,
};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::DisplayFormatType;
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::projection::ProjectionExprs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use lightning_storage::{CompareOp, Predicate, RowFilter, Scan, ScanMetrics, ScanReader, ScanSpec, Snapshot, TableId};
use parking_lot::Mutex;
use std::any::Any;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

/// The number that one value of a column is.
fn number(value: &ArrayRef) -> Option<i64> {
    let numbers = cast(value, &DataType::Int64).ok()?;
    numbers.as_primitive_opt::<Int64Type>().filter(|numbers| numbers.is_valid(0)).map(|numbers| numbers.value(0))
}

/// Zones read without a batch before other tasks of the thread get their turn.
const STEPS_MAX: usize = 64;

/// A table as one snapshot sees it, shared by everything that refers to it in a plan.
#[derive(Debug)]
pub(super) struct TableView {
    pub(super) snapshot: Snapshot,
    pub(super) table: TableId,
    pub(super) name: String,
    pub(super) schema: SchemaRef,
    /// Columns the rows are in order of; empty when the blocks overlap.
    pub(super) order: Vec<usize>,
    /// Which column of the schema says where rows are; storage gives it last.
    pub(super) place: Option<usize>,
    pub(super) statistics: Statistics,
    /// Its secondary indexes.
    pub(super) indexes: Vec<TableIndex>,
}

impl TableView {
    /// How many columns it has, places left aside.
    pub(super) fn columns(&self) -> usize {
        self.schema.fields().len() - usize::from(self.place.is_some())
    }
}

/// How the rows are divided among partitions.
#[derive(Clone, Debug)]
pub(super) enum Division {
    /// So many readers take morsels from one queue.
    Shared(usize),
    /// One reader for each range of the first key column.
    Ranges(Arc<Vec<Scan>>, Arc<Vec<SplitPoint>>),
    /// One reader that looks rows up.
    ByKey(Arc<KeyAccess>),
}

/// A condition that holds for every row returned.
#[derive(Clone, Debug)]
struct Condition {
    /// As planned, over the table's columns.
    expression: Arc<dyn PhysicalExpr>,
    /// As evaluated on encoded data; `None` when it is evaluated on rows.
    predicate: Option<Predicate>,
}

/// The data source of a table: which columns and rows to read, and how they are divided.
#[derive(Clone, Debug)]
pub struct LightningScan {
    view: Arc<TableView>,
    /// Table columns returned.
    projection: Vec<usize>,
    output: SchemaRef,
    conditions: Vec<Condition>,
    /// Conditions that become known while running, over the table's columns.
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    division: Division,
    fetch: Option<usize>,
    batch_rows: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl LightningScan {
    pub(super) fn try_new(
        view: Arc<TableView>,
        projection: Vec<usize>,
        division: Division,
        fetch: Option<usize>,
        batch_rows: usize,
    ) -> Result<Self> {
        let output = Arc::new(view.schema.project(&projection)?);
        Ok(Self {
            view,
            projection,
            output,
            conditions: Vec::new(),
            dynamic: Vec::new(),
            division,
            fetch,
            batch_rows,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// Adds the conjuncts of `condition`, over the table's columns.
    pub(super) fn add_condition(&mut self, condition: &Arc<dyn PhysicalExpr>) {
        for conjunct in split_conjunction(condition) {
            let predicate = match conjunct.downcast_ref::<Literal>() {
                Some(literal) if literal.value() == &ScalarValue::Boolean(Some(true)) => continue,
                Some(_) => nothing(&self.view.schema),
                None => translate(conjunct, &self.view.schema),
            };
            self.conditions.push(Condition { expression: Arc::clone(conjunct), predicate });
        }
    }

    /// `expression` over the output as one over the table's columns.
    fn to_table_columns(&self, expression: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        Arc::clone(expression)
            .transform_down(|node| {
                let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
                let Some(&place) = self.projection.get(column.index()) else {
                    return internal_err!("column {} is not among those of the scan of {}", column, self.view.name);
                };
                let new: Arc<dyn PhysicalExpr> = Arc::new(Column::new(self.view.schema.field(place).name(), place));
                Ok(Transformed::new(new, true, TreeNodeRecursion::Jump))
            })
            .data()
    }

    pub(super) fn view(&self) -> &Arc<TableView> {
        &self.view
    }

    /// Conditions on encoded data.
    pub(super) fn predicates(&self) -> Vec<Predicate> {
        merge(self.conditions.iter().filter_map(|c| c.predicate.clone()).collect())
    }

    /// All conditions, over the table's columns.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.conditions.iter().map(|condition| &condition.expression)
    }

    /// Whether no condition becomes known while running.
    pub(super) fn has_static_conditions(&self) -> bool {
        self.dynamic.is_empty()
    }

    /// Table columns that are returned or in a condition.
    pub(super) fn columns_read(&self) -> Vec<usize> {
        let in_conditions = self.expressions().flat_map(|e| collect_columns(e).into_iter().map(|c| c.index()));
        let mut columns: Vec<usize> = self.projection.iter().copied().chain(in_conditions).collect();
        columns.retain(|column| Some(*column) != self.view.place);
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Table columns returned.
    pub(super) fn output_columns(&self) -> &[usize] {
        &self.projection
    }

    pub(super) fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output)
    }

    /// The table column that an output column is.
    pub(super) fn table_column(&self, output: usize) -> Option<usize> {
        self.projection.get(output).copied().filter(|column| Some(*column) != self.view.place)
    }

    /// The table it reads.
    pub(crate) fn table(&self) -> TableId {
        self.view.table
    }

    /// The numbers of `column`, those of its days or microseconds for a time, that satisfy the conditions; `None` if these say more or less than
    /// a range.
    pub(crate) fn only_range(&self, column: usize) -> Option<RangeInclusive<i64>> {
        let is_plain = self.dynamic.is_empty() && self.fetch.is_none();
        if !is_plain || self.conditions.iter().any(|condition| condition.predicate.is_none()) {
            return None;
        }
        let (mut first, mut last) = (i64::MIN, i64::MAX);
        for predicate in self.predicates() {
            if predicate.column() != column {
                return None;
            }
            let (low, high) = match &predicate {
                Predicate::Compare { op: CompareOp::Eq, value, .. } => (number(value)?, number(value)?),
                Predicate::Compare { op: CompareOp::GtEq, value, .. } => (number(value)?, i64::MAX),
                Predicate::Compare { op: CompareOp::Gt, value, .. } => (number(value)?.checked_add(1)?, i64::MAX),
                Predicate::Compare { op: CompareOp::LtEq, value, .. } => (i64::MIN, number(value)?),
                Predicate::Compare { op: CompareOp::Lt, value, .. } => (i64::MIN, number(value)?.checked_sub(1)?),
                Predicate::Between { low, high, .. } => (number(low)?, number(high)?),
                _ => return None,
            };
            (first, last) = (first.max(low), last.min(high));
        }
        Some(first..=last)
    }

    pub(super) fn fetch_limit(&self) -> Option<usize> {
        self.fetch
    }

    /// How rows are looked up, if they are.
    pub(super) fn access(&self) -> Option<&KeyAccess> {
        if let Division::ByKey(access) = &self.division { Some(access) } else { None }
    }

    /// The same scan divided otherwise.
    pub(super) fn divided(&self, division: Division) -> LightningScan {
        self.changed(|new| new.division = division)
    }

    /// Estimate of the rows that satisfy all conditions.
    pub(super) fn rows_estimated(&self) -> f64 {
        self.view.statistics.num_rows.get_value().map_or(0.0, |rows| *rows as f64) * self.selectivity()
    }

    /// Rows in the zones that the conditions leave.
    pub(super) fn rows_to_scan(&self) -> Result<u64> {
        let spec = ScanSpec { predicates: self.predicates(), ..ScanSpec::default() };
        Ok(self.view.snapshot.scan(self.view.table, spec).map_err(external)?.rows_upper_bound())
    }

    fn selectivity(&self) -> f64 {
        let base = &self.view.statistics;
        let predicates = merge(self.conditions.iter().filter_map(|c| c.predicate.clone()).collect());
        let encoded: f64 = predicates.iter().map(|predicate| predicate_selectivity(predicate, base)).product();
        let rows = self.conditions.iter().filter(|c| c.predicate.is_none());
        encoded * rows.map(|c| condition_selectivity(&c.expression, &self.view.schema)).product::<f64>()
    }

    fn spec(&self, range: Option<KeyRange>, error: &ErrorSlot) -> Result<ScanSpec> {
        let mut row_filters: Vec<Arc<dyn RowFilter>> = Vec::new();
        for condition in self.conditions.iter().filter(|condition| condition.predicate.is_none()) {
            let filter = ExpressionFilter::try_new(&condition.expression, &self.view.schema, Arc::clone(error))?;
            row_filters.push(Arc::new(filter));
        }
        let context = DynamicContext {
            schema: Arc::clone(&self.view.schema),
            domains: Arc::new(domains(&self.view.statistics)),
            rows: self.view.statistics.num_rows.get_value().copied().unwrap_or(0) as u64,
            range,
        };
        Ok(ScanSpec {
            projection: self.projection.iter().copied().filter(|column| Some(*column) != self.view.place).collect(),
            places: self.place_output().is_some(),
            predicates: merge(self.conditions.iter().filter_map(|c| c.predicate.clone()).collect()),
            row_filters,
            dynamic: self
                .dynamic
                .iter()
                .map(|expression| Arc::new(DynamicExpression::new(expression, context.clone())) as _)
                .collect(),
            batch_rows: self.batch_rows,
        })
    }

    /// Where the places go in the output, when they are wanted.
    pub(super) fn place_output(&self) -> Option<usize> {
        self.projection.iter().position(|column| Some(*column) == self.view.place)
    }

    fn start(&self) -> Result<Running> {
        let error = ErrorSlot::default();
        let scans = match &self.division {
            Division::ByKey(_) => {
                self.view.snapshot.note_read(self.view.table, &self.predicates()).map_err(external)?;
                Vec::new()
            }
            Division::Shared(_) => {
                let spec = self.spec(None, &error)?;
                self.view.snapshot.note_read(self.view.table, &spec.predicates).map_err(external)?;
                vec![self.view.snapshot.scan(self.view.table, spec).map_err(external)?]
            }
            Division::Ranges(scans, split_points) => {
                let mut running = Vec::with_capacity(scans.len());
                for (partition, scan) in scans.iter().enumerate() {
                    // One condition for all: each reads its part of what satisfies it.
                    let range = KeyRange { partition, split_points: Arc::clone(split_points) };
                    let spec = self.spec(Some(range), &error)?;
                    if partition == 0 {
                        self.view.snapshot.note_read(self.view.table, &spec.predicates).map_err(external)?;
                    }
                    running.push(scan.fresh().with_spec(spec).map_err(external)?);
                }
                running
            }
        };
        Ok(Running { published: Published::new(&self.metrics, &scans), scans, error })
    }

    fn partitions(&self) -> usize {
        match &self.division {
            Division::Shared(partitions) => *partitions,
            Division::Ranges(scans, _) => scans.len(),
            Division::ByKey(_) => 1,
        }
    }

    /// Sort expressions of the key columns that are returned, up to the first that is not.
    fn ordering(&self) -> Option<LexOrdering> {
        if self.access().is_some() {
            return None;
        }
        let sorted = self.view.order.iter().map_while(|key| {
            let place = self.projection.iter().position(|column| column == key)?;
            let column = Column::new(self.output.field(place).name(), place);
            Some(PhysicalSortExpr::new(Arc::new(column), SortOptions { descending: false, nulls_first: false }))
        });
        LexOrdering::new(sorted.collect::<Vec<_>>())
    }

    fn changed(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut new = self.clone();
        new.metrics = ExecutionPlanMetricsSet::new();
        change(&mut new);
        new
    }

    fn stream(&self, partition: usize, running: Arc<Running>) -> Result<SendableRecordBatchStream> {
        if let Division::ByKey(access) = &self.division {
            let mut rows = KeyedRows::new(self, access, &self.metrics)?;
            let batches = futures::stream::poll_fn(move |context| match rows.step().transpose() {
                None => Poll::Ready(None),
                Some(Ok(Some(batch))) => Poll::Ready(Some(Ok(batch))),
                Some(Err(error)) => Poll::Ready(Some(Err(error))),
                Some(Ok(None)) => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            });
            return Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.output), batches)));
        }
        let place = if running.scans.len() == 1 { 0 } else { partition };
        let Some(scan) = running.scans.get(place) else {
            return internal_err!("the scan of {} has no partition {partition}", self.view.name);
        };
        let mut rows = Rows {
            reader: scan.reader(),
            running: Arc::clone(&running),
            output: Arc::clone(&self.output),
            left: self.fetch,
            place: self.place_output(),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let batches = futures::stream::poll_fn(move |context| rows.poll(context));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.output), batches)))
    }
}

/// One execution of the scan, shared by its partitions.
struct Running {
    scans: Vec<Scan>,
    error: ErrorSlot,
    published: Published,
}

/// Storage's counters as plan metrics. Partitions publish what was added since the last of them did.
struct Published {
    counters: Vec<(Count, AtomicU64)>,
    lock: Mutex<()>,
    sources: Vec<Arc<ScanMetrics>>,
}

impl Published {
    const NAMES: [&'static str; 7] = [
        "zones_total",
        "zones_pruned",
        "zones_pruned_dynamic",
        "rows_filtered",
        "values_decoded",
        "rows_returned",
        "bytes_read",
    ];

    fn new(metrics: &ExecutionPlanMetricsSet, scans: &[Scan]) -> Self {
        let counter = |name: &&'static str| (MetricBuilder::new(metrics).global_counter(*name), AtomicU64::new(0));
        Self {
            counters: Self::NAMES.iter().map(counter).collect(),
            lock: Mutex::new(()),
            sources: scans.iter().map(Scan::metrics).collect(),
        }
    }

    fn values(metrics: &ScanMetrics) -> [u64; 7] {
        [
            &metrics.zones,
            &metrics.zones_pruned,
            &metrics.zones_pruned_dynamic,
            &metrics.rows_filtered,
            &metrics.rows_decoded,
            &metrics.rows_returned,
            &metrics.bytes_read,
        ]
        .map(|counter| counter.load(Ordering::Relaxed))
    }

    fn publish(&self) {
        let _one_at_a_time = self.lock.lock();
        let values: Vec<[u64; 7]> = self.sources.iter().map(|metrics| Self::values(metrics)).collect();
        for (index, (counter, last)) in self.counters.iter().enumerate() {
            let sum = values.iter().map(|values| values[index]).sum::<u64>();
            let before = last.swap(sum, Ordering::Relaxed);
            counter.add(sum.saturating_sub(before) as usize);
        }
    }
}

/// Batches of one partition.
struct Rows {
    reader: ScanReader,
    running: Arc<Running>,
    output: SchemaRef,
    left: Option<usize>,
    /// Where the last column of storage's batches goes.
    place: Option<usize>,
    metrics: BaselineMetrics,
}

impl Rows {
    /// Reads until there is a batch, at most [`STEPS_MAX`] steps: a scan that finds nothing for long must not keep a
    /// thread from noticing that the query was cancelled.
    fn poll(&mut self, context: &mut Context) -> Poll<Option<Result<RecordBatch>>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        let elapsed = self.metrics.elapsed_compute().clone();
        let _timer = elapsed.timer();
        for _ in 0..STEPS_MAX {
            match self.reader.step() {
                None => return Poll::Ready(None),
                Some(Ok(None)) => {}
                Some(Ok(Some(batch))) => return Poll::Ready(Some(self.finish(batch))),
                Some(Err(error)) => {
                    let error = self.running.error.lock().take().unwrap_or_else(|| external(error));
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// The batch under the plan's schema, cut at the limit.
    fn finish(&mut self, mut batch: RecordBatch) -> Result<RecordBatch> {
        if let Some(left) = &mut self.left {
            if batch.num_rows() > *left {
                batch = batch.slice(0, *left);
            }
            *left -= batch.num_rows();
        }
        let rows = batch.num_rows();
        self.metrics.record_output(rows);
        let mut columns = batch.columns().to_vec();
        if let (Some(place), Some(places)) = (self.place, self.place.and_then(|_| columns.pop())) {
            columns.insert(place, places);
        }
        rebatch(&self.output, columns, rows)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.running.published.publish();
    }
}

pub(super) fn external(error: lightning_storage::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl DataSource for LightningScan {
    fn open(&self, partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if self.partitions() != 1 {
            return internal_err!("partitions of the scan of {} must be opened together", self.view.name);
        }
        self.stream(partition, Arc::new(self.start()?))
    }

    fn create_sibling_state(&self, _config: &ConfigOptions) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::new(self.start().map(Arc::new).map_err(Arc::new)))
    }

    fn open_with_args(&self, args: OpenArgs) -> Result<SendableRecordBatchStream> {
        let Some(state) = &args.sibling_state else { return self.open(args.partition, args.context) };
        match state.downcast_ref::<std::result::Result<Arc<Running>, Arc<DataFusionError>>>() {
            Some(Ok(running)) => self.stream(args.partition, Arc::clone(running)),
            Some(Err(error)) => Err(DataFusionError::Shared(Arc::clone(error))),
            None => internal_err!("foreign state given to the scan of {}", self.view.name),
        }
    }

    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let list = |f: &mut fmt::Formatter, title: &str, items: Vec<String>, between: &str| {
            if items.is_empty() { Ok(()) } else { write!(f, ", {title}=[{}]", items.join(between)) }
        };
        let columns: Vec<&str> = self.output.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "table={}, columns=[{}]", self.view.name, columns.join(", "))?;
        let expressions = |encoded: bool| {
            let chosen = self.conditions.iter().filter(|c| c.predicate.is_some() == encoded);
            chosen.map(|c| c.expression.to_string()).collect::<Vec<_>>()
        };
        list(f, "encoded_filters", expressions(true), " AND ")?;
        list(f, "row_filters", expressions(false), " AND ")?;
        list(f, "dynamic_filters", self.dynamic.iter().map(ToString::to_string).collect(), " AND ")?;
        if let Some(fetch) = self.fetch {
            write!(f, ", fetch={fetch}")?;
        }
        match &self.division {
            Division::Shared(partitions) => write!(f, ", partitions={partitions}"),
            Division::Ranges(scans, _) => write!(f, ", key_ranges={}", scans.len()),
            Division::ByKey(access) => write!(f, ", {}", access.shown()),
        }
    }

    fn output_partitioning(&self) -> Partitioning {
        if let Division::Ranges(scans, split_points) = &self.division
            && let Some(ordering) = self.ordering()
            && let Some(ordering) = LexOrdering::new(vec![ordering.first().clone()])
            && let Ok(range) = RangePartitioning::try_new(ordering, split_points.as_ref().clone())
        {
            debug_assert_eq!(range.partition_count(), scans.len());
            return Partitioning::Range(range);
        }
        Partitioning::UnknownPartitioning(self.partitions())
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        // Readers of one queue take blocks in turn: each sees its blocks in order all the same.
        match self.ordering() {
            Some(ordering) => EquivalenceProperties::new_with_orderings(Arc::clone(&self.output), [ordering]),
            None => EquivalenceProperties::new(Arc::clone(&self.output)),
        }
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = self.view.statistics.clone();
        if !self.conditions.is_empty() {
            statistics = filtered(&statistics, self.selectivity());
        }
        if !self.dynamic.is_empty() {
            statistics = statistics.to_inexact();
        }
        if let (Division::ByKey(access), Some(rows)) = (&self.division, statistics.num_rows.get_value()) {
            let share = (access.rows_max() as f64 / (*rows).max(1) as f64).min(1.0);
            statistics = filtered(&statistics, share);
        }
        let share = 1.0 / self.partitions().max(1) as f64;
        if partition.is_some() && self.partitions() > 1 {
            statistics = filtered(&statistics, share);
        }
        let statistics = statistics.project(Some(&self.projection));
        let bytes = statistics.column_statistics.iter().map(|c| c.byte_size.get_value().copied().unwrap_or(0)).sum();
        let statistics = statistics.with_total_byte_size(datafusion::common::stats::Precision::Inexact(bytes));
        Ok(Arc::new(match self.fetch {
            Some(_) => statistics.with_fetch(self.fetch, 0, 1)?,
            None => statistics,
        }))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        Some(Arc::new(self.changed(|new| new.fetch = limit)))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.metrics.clone()
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn DataSource>>> {
        let mut columns = Vec::new();
        for expression in projection.iter() {
            let Some(column) = expression.expr.downcast_ref::<Column>() else { return Ok(None) };
            let Some(&place) = self.projection.get(column.index()) else { return Ok(None) };
            if column.name() != expression.alias || columns.contains(&place) {
                return Ok(None);
            }
            columns.push(place);
        }
        let output = Arc::new(self.view.schema.project(&columns)?);
        Ok(Some(Arc::new(self.changed(|new| (new.projection, new.output) = (columns, output)))))
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn DataSource>>> {
        let mut new = self.changed(|_| {});
        let mut answers = Vec::with_capacity(filters.len());
        let mut any = false;
        for filter in &filters {
            // A limit counts rows that pass the conditions given before it, so later ones stay above.
            if is_volatile(filter) || self.fetch.is_some() {
                answers.push(PushedDown::No);
            } else if DynamicFilterTracking::classify(filter).contains_dynamic_filter() {
                new.dynamic.push(self.to_table_columns(filter)?);
                answers.push(PushedDown::No);
                any = true;
            } else {
                new.add_condition(&self.to_table_columns(filter)?);
                answers.push(PushedDown::Yes);
                any = true;
            }
        }
        let propagation = FilterPushdownPropagation::with_parent_pushdown_result(answers);
        Ok(if any { propagation.with_updated_node(Arc::new(new)) } else { propagation })
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expression in self.conditions.iter().map(|c| &c.expression).chain(&self.dynamic) {
            if f(expression)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }
}
