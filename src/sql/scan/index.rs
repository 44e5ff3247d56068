//! Ways to rows by key: through a secondary index, or by the table's own key in its order.
//!
//! Conditions on the first columns of an index leave a range of its entries, which storage counts without reading it. When looking those rows
//! up costs less than scanning what zone maps leave of the table, a scan reads through the index. When an index has every
//! column that is wanted, the table is not read at all.
//!
//! A sort with a limit needs only the first rows in its order. If an index is in that order, they are read from its end
//! ([`LightningScan::first_by_key`]); the sort stays above and sees few rows. Whoever needs the last row of each group of the table's keys, and may
//! be given others, is given just these ([`LightningScan::last_of_each`]).
//!
//! What must hold: as any scan, this one returns exactly the rows that satisfy all conditions, or, in the order of an index, the
//! first of them. So the range may have more, and every condition is evaluated on what was read.

use super::row_filter::{ErrorSlot, ExpressionFilter, rebatch};
use super::source::{Division, LightningScan, TableView, external};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::{SortOptions, filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder};
use lightning_storage::{CompareOp, KeyRows, Predicate, RowFilter, TableId};
use std::sync::Arc;

/// Rows of a table that are scanned in the time that one takes to be looked up.
const ROWS_PER_LOOKUP: u64 = 1_000;
/// The same for an entry of an index.
const ROWS_PER_ENTRY: u64 = 20;
/// Looking up has begun by the time that a scan has read so many rows.
const ROWS_TO_START: u64 = 4_096;
/// No more values of an IN list are looked for one by one.
const VALUES_MAX: usize = 64;
/// Entries read at a time, first and at most.
const ENTRIES_MIN: usize = 64;
const ENTRIES_MAX: usize = 4_096;
/// A sort with a larger limit reads the table.
const FIRST_ROWS_MAX: usize = 10_000;

/// An index that a table has.
#[derive(Clone, Debug)]
pub(crate) struct TableIndex {
    pub(crate) name: String,
    pub(crate) storage: TableId,
}

/// Something with the rows of a table in an order: an index, or the table itself.
#[derive(Clone, Debug)]
pub(super) struct Ordered {
    /// For messages; `None` for the table itself.
    name: Option<String>,
    storage: TableId,
    /// The table's column that each of its columns is.
    columns: Vec<usize>,
    /// How many of these are its key.
    key: usize,
}

impl Ordered {
    /// An index of the table of `view`.
    fn index(view: &TableView, index: &TableIndex) -> Result<Option<Ordered>> {
        let definition = view.snapshot.table(index.storage).map_err(external)?.definition;
        let Some(of) = definition.index else { return Ok(None) };
        let key = of.columns.len();
        Ok(Some(Ordered { name: Some(index.name.clone()), storage: index.storage, columns: of.columns, key }))
    }

    /// The table of `view` itself.
    fn table(view: &TableView) -> Result<Ordered> {
        let key = view.snapshot.table(view.table).map_err(external)?.definition.key;
        let others = (0..view.columns()).filter(|column| !key.contains(column));
        let columns = key.iter().copied().chain(others).collect();
        Ok(Ordered { name: None, storage: view.table, columns, key: key.len() })
    }

    /// Where the table's `column` is among the key's.
    fn position(&self, column: usize) -> Option<usize> {
        self.columns[..self.key].iter().position(|known| *known == column)
    }

    /// The conditions of `predicates` on the key, over its own columns.
    fn own(&self, predicates: &[Predicate]) -> Vec<Predicate> {
        let own = |predicate: &Predicate| {
            let position = self.position(predicate.column())?;
            // The table's own columns are numbered as they are.
            Some(predicate.clone().with_column(if self.name.is_some() { position } else { predicate.column() }))
        };
        predicates.iter().filter_map(own).collect()
    }
}

/// Rows read by key.
#[derive(Debug)]
pub(super) struct KeyAccess {
    ordered: Ordered,
    ranges: Vec<KeyRows>,
    /// So many rows are wanted, from the end in this direction.
    first: Option<(usize, bool)>,
    /// Instead of all that: the last row of each group, by place.
    last: Option<UInt64Array>,
}

impl KeyAccess {
    /// An upper bound for the rows in the ranges.
    pub(super) fn rows_max(&self) -> u64 {
        let in_ranges: u64 = self.ranges.iter().map(KeyRows::rows_max).sum();
        in_ranges + self.last.as_ref().map_or(0, |places| places.len() as u64)
    }

    /// As EXPLAIN shows it.
    pub(super) fn shown(&self) -> String {
        if let Some(places) = &self.last {
            return format!("key, last_of_each={}", places.len());
        }
        let name = self.ordered.name.as_ref().map_or_else(|| "key".to_owned(), |name| format!("index={name}"));
        let rows = format!("{name}, rows_in_range<={}", self.rows_max());
        match self.first {
            None => rows,
            Some((limit, descending)) => format!("{rows}, {}={limit}", if descending { "last" } else { "first" }),
        }
    }
}

impl LightningScan {
    /// This scan by the best of `indexes`, if one is better than reading what zone maps leave of the table.
    pub(super) fn by_index(&self, indexes: &[TableIndex]) -> Result<Option<LightningScan>> {
        let predicates = self.predicates();
        let mut best: Option<(u64, KeyAccess)> = None;
        for index in indexes {
            let Some(ordered) = Ordered::index(self.view(), index)? else { continue };
            let Some(ranges) = self.ranges(&ordered, &predicates)? else { continue };
            let access = KeyAccess { ordered, ranges, first: None, last: None };
            let cost = self.cost(&access, access.rows_max());
            if best.as_ref().is_none_or(|(lowest, _)| cost < *lowest) {
                best = Some((cost, access));
            }
        }
        match best {
            Some((cost, access)) if cost < self.rows_to_scan()? => Ok(Some(self.with_access(access))),
            _ => Ok(None),
        }
    }

    /// Entries of `ordered` that the conditions leave; `None` when they leave all.
    fn ranges(&self, ordered: &Ordered, predicates: &[Predicate]) -> Result<Option<Vec<KeyRows>>> {
        let own = ordered.own(predicates);
        let several = own.iter().position(|p| matches!(p, Predicate::In { values, .. } if values.len() <= VALUES_MAX));
        let mut sets = vec![own.clone()];
        if let Some(at) = several
            && let Predicate::In { column, values } = &own[at]
        {
            let equal = |row: usize| {
                let mut set = own.clone();
                set[at] = Predicate::Compare { column: *column, op: CompareOp::Eq, value: values.slice(row, 1) };
                set
            };
            sets = (0..values.len()).map(equal).collect();
        }
        let mut ranges: Vec<KeyRows> = vec![];
        for set in sets {
            let rows = self.view().snapshot.key_rows(ordered.storage, &set).map_err(external)?;
            let Some(rows) = rows.filter(|rows| !rows.is_whole_table()) else { return Ok(None) };
            // A value twice, or those of a column behind one that leaves the range open.
            if ranges.iter().any(|known: &KeyRows| known.has_same_range(&rows)) {
                continue;
            }
            ranges.push(rows);
        }
        Ok(Some(ranges))
    }

    /// What looking up so many rows costs, in rows scanned.
    fn cost(&self, access: &KeyAccess, rows: u64) -> u64 {
        let is_covered = self.place_output().is_none()
            && self.columns_read().iter().all(|column| access.ordered.position(*column).is_some());
        ROWS_TO_START.saturating_add(rows.saturating_mul(if is_covered { ROWS_PER_ENTRY } else { ROWS_PER_LOOKUP }))
    }

    /// This scan as one that returns the first rows by `sort`, at least `limit` of them if there are as many, when something is in that
    /// order and reading them costs less than reading the table. `sort` has columns of the output.
    pub(crate) fn first_by_key(&self, sort: &[(usize, SortOptions)], limit: usize) -> Result<Option<LightningScan>> {
        if limit > FIRST_ROWS_MAX || self.fetch_limit().is_some() || sort.is_empty() {
            return Ok(None);
        }
        let cost_now = match self.access() {
            None => self.rows_to_scan()?,
            Some(access) if access.first.is_none() => self.cost(access, access.rows_max()),
            Some(_) => return Ok(None),
        };
        let predicates = self.predicates();
        let mut all = vec![Ordered::table(self.view())?];
        for index in &self.view().indexes {
            all.extend(Ordered::index(self.view(), index)?);
        }
        let mut best: Option<(u64, KeyAccess)> = None;
        for ordered in all {
            let Some(descending) = self.direction(&ordered, sort, &predicates) else { continue };
            let own = ordered.own(&predicates);
            let Some(rows) = self.view().snapshot.key_rows(ordered.storage, &own).map_err(external)? else { continue };
            let in_range = rows.rows_max();
            let access = KeyAccess { ordered, ranges: vec![rows], first: Some((limit, descending)), last: None };
            let cost = self.cost(&access, self.rows_until(limit, in_range));
            if best.as_ref().is_none_or(|(lowest, _)| cost < *lowest) {
                best = Some((cost, access));
            }
        }
        match best {
            Some((cost, access)) if cost < cost_now => Ok(Some(self.with_access(access))),
            _ => Ok(None),
        }
    }

    /// This scan as one that returns at least, of each group of `groups`, the row that is last by `time`; both are columns of the output. `None` when
    /// the table's key is not these columns, conditions are on others, or it does not pay.
    pub(crate) fn last_of_each(&self, groups: &[usize], time: usize) -> Result<Option<LightningScan>> {
        let ordered = Ordered::table(self.view())?;
        let Some((last, first)) = ordered.columns[..ordered.key].split_last() else { return Ok(None) };
        let is_first = |column: &usize| first.contains(column);
        let Some(groups) = groups.iter().map(|column| self.table_column(*column)).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let is_key = groups.iter().all(is_first) && first.iter().all(|column| groups.contains(column));
        if !is_key || self.table_column(time) != Some(*last) || self.view().schema.field(*last).is_nullable() {
            return Ok(None);
        }
        let mut conditions = self.expressions().flat_map(collect_columns);
        if self.fetch_limit().is_some() || !self.has_static_conditions() || !conditions.all(|c| is_first(&c.index())) {
            return Ok(None);
        }
        let places = self.view().snapshot.last_of_each(self.view().table).map_err(external)?;
        let Some(places) = places else { return Ok(None) };
        let access = KeyAccess { ordered, ranges: vec![], first: None, last: Some(places) };
        let is_better = self.cost(&access, access.rows_max()) < self.rows_to_scan()?;
        Ok(is_better.then(|| self.with_access(access)))
    }

    /// How many rows in key order are read until `limit` of them satisfy all conditions.
    fn rows_until(&self, limit: usize, in_range: u64) -> u64 {
        let passing = self.rows_estimated().max(1.0);
        ((limit as f64 * in_range as f64 / passing).ceil() as u64).clamp(limit as u64, in_range.max(limit as u64))
    }

    /// Whether `ordered` is in the order of `sort`, and then whether it is to be read from its end.
    fn direction(&self, ordered: &Ordered, sort: &[(usize, SortOptions)], predicates: &[Predicate]) -> Option<bool> {
        let is_one_value = |column: usize| {
            predicates.iter().any(|p| p.column() == column && matches!(p, Predicate::Compare { op: CompareOp::Eq, .. }))
        };
        let schema = &self.view().schema;
        let mut keys = ordered.columns[..ordered.key].iter().copied();
        let mut direction = None;
        for (output, options) in sort {
            let column = self.table_column(*output)?;
            if is_one_value(column) {
                continue;
            }
            if keys.by_ref().find(|key| *key == column || !is_one_value(*key)) != Some(column) {
                return None;
            }
            let field = schema.field(column);
            let has_nulls = field.is_nullable();
            let is_ordered = !matches!(field.data_type(), DataType::Interval(_))
                && (!has_nulls || options.nulls_first == options.descending)
                && *direction.get_or_insert(options.descending) == options.descending;
            if !is_ordered {
                return None;
            }
        }
        direction
    }

    fn with_access(&self, access: KeyAccess) -> LightningScan {
        self.divided(Division::ByKey(Arc::new(access)))
    }
}

/// Batches of a scan by key.
pub(super) struct KeyedRows {
    scan: LightningScan,
    access: Arc<KeyAccess>,
    /// Filters over columns that entries have, and over others.
    on_entries: Vec<ExpressionFilter>,
    on_rows: Vec<ExpressionFilter>,
    /// Columns of the table that are read from it; `None` when entries have all.
    read: Option<Vec<usize>>,
    error: ErrorSlot,
    /// Places of entries, and how many of them have been read.
    places: Vec<u64>,
    at: usize,
    /// Entries asked for, when only the first are wanted.
    asked: usize,
    next_range: usize,
    left: usize,
    step: usize,
    metrics: BaselineMetrics,
    entries_read: Count,
    rows_looked_up: Count,
}

impl KeyedRows {
    pub(super) fn new(
        scan: &LightningScan,
        access: &Arc<KeyAccess>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<KeyedRows> {
        let error = ErrorSlot::default();
        let (mut on_entries, mut on_rows) = (vec![], vec![]);
        let is_own = |filter: &ExpressionFilter| {
            filter.columns().iter().all(|column| access.ordered.position(*column).is_some())
        };
        for expression in scan.expressions() {
            let filter = ExpressionFilter::try_new(expression, &scan.view().schema, Arc::clone(&error))?;
            if is_own(&filter) { on_entries.push(filter) } else { on_rows.push(filter) }
        }
        let wanted = scan.columns_read();
        let is_covered = wanted.iter().all(|column| access.ordered.position(*column).is_some());
        let limit = access.first.map_or(usize::MAX, |(limit, _)| limit);
        let left = scan.fetch_limit().unwrap_or(usize::MAX).min(limit);
        Ok(KeyedRows {
            access: Arc::clone(access),
            on_entries,
            on_rows,
            read: (!is_covered || scan.place_output().is_some()).then_some(wanted),
            error,
            places: vec![],
            at: 0,
            asked: 0,
            next_range: 0,
            left,
            step: left.clamp(ENTRIES_MIN, ENTRIES_MAX),
            metrics: BaselineMetrics::new(metrics, 0),
            entries_read: MetricBuilder::new(metrics).counter("entries_read", 0),
            rows_looked_up: MetricBuilder::new(metrics).counter("rows_looked_up", 0),
            scan: scan.clone(),
        })
    }

    /// The next batch, or nothing though there may be more, or the end.
    pub(super) fn step(&mut self) -> Result<Option<Option<RecordBatch>>> {
        let elapsed = self.metrics.elapsed_compute().clone();
        let _timer = elapsed.timer();
        if self.left == 0 || !self.has_places()? {
            return Ok(None);
        }
        let chunk = UInt64Array::from(self.places[self.at..(self.at + self.step).min(self.places.len())].to_vec());
        self.at += chunk.len();
        self.step = (self.step * 4).min(ENTRIES_MAX);
        self.entries_read.add(chunk.len());
        let batch = self.rows(&chunk)?;
        let rows = batch.num_rows().min(self.left);
        self.left -= rows;
        self.metrics.record_output(rows);
        Ok(Some((rows > 0).then(|| batch.slice(0, rows))))
    }

    /// Whether there are places not yet read; finds more of them.
    fn has_places(&mut self) -> Result<bool> {
        while self.at >= self.places.len() {
            match (self.access.first, self.access.ranges.get(self.next_range)) {
                (None, None) if self.next_range == 0 => {
                    let last = self.access.last.as_ref();
                    self.places = last.map_or_else(Vec::new, |places| places.values().to_vec());
                    self.next_range = 1;
                }
                (None, Some(range)) => {
                    self.places = range.places().map_err(external)?.values().to_vec();
                    (self.at, self.next_range) = (0, self.next_range + 1);
                }
                (Some((limit, descending)), Some(range)) if self.places.len() == self.asked => {
                    self.asked = if self.asked == 0 { limit.max(ENTRIES_MIN) } else { self.asked * 4 };
                    self.places = range.first(self.asked, descending).map_err(external)?.values().to_vec();
                    if self.at >= self.places.len() {
                        return Ok(false);
                    }
                }
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The rows that entries at `chunk` lead to and that satisfy all conditions.
    fn rows(&self, chunk: &UInt64Array) -> Result<RecordBatch> {
        let (view, ordered) = (self.scan.view(), &self.access.ordered);
        let mut places = chunk.clone();
        if ordered.name.is_some() {
            let columns: Vec<usize> = (0..ordered.columns.len()).collect();
            let entries = view.snapshot.rows_at(ordered.storage, chunk, &columns).map_err(external)?;
            let entries = self.filtered(entries, &ordered.columns, &self.on_entries)?;
            if self.read.is_none() {
                return self.output(&entries, &ordered.columns);
            }
            places = view.snapshot.places_of(ordered.storage, &entries).map_err(external)?;
        }
        let read = self.read.clone().unwrap_or_else(|| self.scan.columns_read());
        self.rows_looked_up.add(places.len());
        let rows = view.snapshot.rows_at(view.table, &places, &read).map_err(external)?;
        // The place goes along as the last column.
        let fields: Vec<_> = rows.schema().fields().iter().cloned().chain([place_field()]).collect();
        let columns: Vec<ArrayRef> = rows.columns().iter().cloned().chain([Arc::new(places) as ArrayRef]).collect();
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        let with_place: Vec<usize> = read.iter().copied().chain(view.place).collect();
        let mut rows = rows;
        if ordered.name.is_none() {
            rows = self.filtered(rows, &with_place, &self.on_entries)?;
        }
        let rows = self.filtered(rows, &with_place, &self.on_rows)?;
        self.output(&rows, &with_place)
    }

    /// The rows of `batch` that pass `filters`; `columns` says which column of the table each of its columns is.
    fn filtered(&self, batch: RecordBatch, columns: &[usize], filters: &[ExpressionFilter]) -> Result<RecordBatch> {
        let mut batch = batch;
        for filter in filters {
            let place = |column: &usize| columns.iter().position(|known| known == column);
            let wanted: Vec<usize> = filter.columns().iter().filter_map(place).collect();
            let passes = filter.evaluate(&project(&batch, &wanted)?).map_err(|error| {
                let stored = self.error.lock().take();
                stored.unwrap_or_else(|| external(error))
            })?;
            let passes: BooleanArray = if passes.null_count() > 0 { prep_null_mask_filter(&passes) } else { passes };
            batch = filter_record_batch(&batch, &passes)?;
        }
        Ok(batch)
    }

    /// The columns that the plan above wants.
    fn output(&self, batch: &RecordBatch, columns: &[usize]) -> Result<RecordBatch> {
        let schema: SchemaRef = self.scan.output_schema();
        let column = |&wanted: &usize| {
            let at = columns.iter().position(|known| *known == wanted);
            at.map(|at| Arc::clone(batch.column(at)))
        };
        let columns: Option<Vec<ArrayRef>> = self.scan.output_columns().iter().map(column).collect();
        match columns {
            Some(columns) => rebatch(&schema, columns, batch.num_rows()),
            None => datafusion::common::internal_err!("a column of {} was not read", self.scan.view().name),
        }
    }
}

fn project(batch: &RecordBatch, columns: &[usize]) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let schema = Arc::new(batch.schema().project(columns)?);
    let columns = columns.iter().map(|column| Arc::clone(batch.column(*column))).collect();
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

fn place_field() -> Arc<arrow::datatypes::Field> {
    Arc::new(arrow::datatypes::Field::new(super::PLACE, DataType::UInt64, false))
}
