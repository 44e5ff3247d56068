//! A table in a query.

use super::index::TableIndex;
use super::source::{Division, LightningScan, TableView, external};
use super::statistics::table_statistics;
use crate::provider::arrow_schema;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue, Statistics};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::SplitPoint;
use datafusion::physical_plan::ExecutionPlan;
use lightning_catalog::{Index, Table};
use lightning_storage::{Scan, ScanSpec, Snapshot, TableId};
use std::sync::{Arc, OnceLock};

/// Fewer rows than this are not worth a second partition.
const ROWS_PER_PARTITION_MIN: u64 = 16_384;

/// The column that says where a row is. Users cannot write this name.
pub const PLACE: &str = "\u{1}place";

/// A table as a snapshot sees it. Cheap to make: statistics are read when the planner asks for them first.
#[derive(Debug)]
pub struct LightningTable {
    snapshot: Snapshot,
    table: TableId,
    name: String,
    schema: SchemaRef,
    /// Whether the last column is [`PLACE`].
    places: bool,
    indexes: Vec<TableIndex>,
    view: OnceLock<Arc<TableView>>,
}

impl LightningTable {
    /// The table with this id in `snapshot`. `schema` has the catalog's column names and metadata, in storage's order and
    /// types; `name` is for plans and messages.
    pub fn new(snapshot: Snapshot, table: TableId, name: impl Into<String>, schema: SchemaRef) -> Self {
        Self { snapshot, table, name: name.into(), schema, places: false, indexes: Vec::new(), view: OnceLock::new() }
    }

    /// A table of the catalog.
    pub(crate) fn of(snapshot: Snapshot, table: &Table) -> Self {
        let index = |index: &Index| TableIndex { name: index.name.clone(), storage: index.storage_table() };
        let new = Self::new(snapshot, table.storage_table(), &table.name, arrow_schema(&table.columns));
        Self { indexes: table.indexes.iter().map(index).collect(), ..new }
    }

    /// The same with one more column, [`PLACE`]: where each row is, for the snapshot.
    pub(crate) fn with_places(mut self) -> Self {
        let place = Field::new(PLACE, DataType::UInt64, false);
        let fields = self.schema.fields().iter().map(|f| f.as_ref().clone()).chain([place]);
        self.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        self.places = true;
        self
    }

    /// The snapshot it belongs to.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The id in storage.
    pub fn table_id(&self) -> TableId {
        self.table
    }

    fn view(&self) -> Result<&Arc<TableView>> {
        if let Some(view) = self.view.get() {
            return Ok(view);
        }
        let statistics = self.snapshot.statistics(self.table).map_err(external)?;
        let order = match statistics.clustered {
            true => self.snapshot.table(self.table).map_err(external)?.definition.key,
            false => Vec::new(),
        };
        let known = table_statistics(&statistics, &self.schema);
        let view = TableView {
            snapshot: self.snapshot.clone(),
            table: self.table,
            name: self.name.clone(),
            schema: Arc::clone(&self.schema),
            order,
            place: self.places.then(|| self.schema.fields().len() - 1),
            indexes: self.indexes.clone(),
            statistics: if self.snapshot.notes_reads() { known.to_inexact() } else { known },
        };
        Ok(self.view.get_or_init(|| Arc::new(view)))
    }

    /// Key ranges where the table is in key order, else one queue for all readers.
    fn divide(&self, view: &TableView, partitions: usize) -> Result<Division> {
        let rows = view.statistics.num_rows.get_value().copied().unwrap_or(0) as u64;
        let partitions = partitions.min((rows / ROWS_PER_PARTITION_MIN).max(1) as usize);
        if partitions < 2 || view.order.is_empty() {
            return Ok(Division::Shared(partitions));
        }
        let spec = ScanSpec { projection: vec![view.order[0]], ..ScanSpec::default() };
        let scan = self.snapshot.scan(self.table, spec).map_err(external)?;
        let Some((scans, starts)) = scan.split_by_key(partitions).map_err(external)? else {
            return Ok(Division::Shared(partitions));
        };
        let starts: Vec<ScalarValue> =
            starts.iter().map(|start| ScalarValue::try_from_array(start, 0)).collect::<Result<_>>()?;
        Ok(ranges(scans, starts).unwrap_or(Division::Shared(partitions)))
    }
}

/// The division into `scans`, when their starts are usable as split points.
fn ranges(scans: Vec<Scan>, starts: Vec<ScalarValue>) -> Option<Division> {
    let usable = scans.len() == starts.len() + 1 && scans.len() > 1 && !starts.iter().any(ScalarValue::is_null);
    let split_points = starts.into_iter().map(|start| SplitPoint::new(vec![start])).collect();
    usable.then(|| Division::Ranges(Arc::new(scans), Arc::new(split_points)))
}

#[async_trait]
impl TableProvider for LightningTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        self.view().ok().map(|view| view.statistics.clone())
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = |filter: &&Expr| match is_pushable(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let view = self.view()?;
        let projection = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let division = self.divide(view, session.config().target_partitions())?;
        let batch_rows = session.config().batch_size();
        let mut scan = LightningScan::try_new(Arc::clone(view), projection, division, limit, batch_rows)?;
        let df_schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        for filter in filters {
            scan.add_condition(&session.create_physical_expr(unqualified(filter.clone())?, &df_schema)?);
        }
        let by_index = if self.indexes.is_empty() { None } else { scan.by_index(&self.indexes)? };
        Ok(DataSourceExec::from_data_source(by_index.unwrap_or(scan)))
    }
}

/// Sub-queries are planned above the scan, and volatile functions must see every row once.
fn is_pushable(filter: &Expr) -> bool {
    let mut pushable = !filter.is_volatile();
    let walked = filter.apply(|node| {
        if matches!(
            node,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        ) {
            pushable = false;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    pushable && walked.is_ok()
}

/// Column references without the table's alias in this query.
fn unqualified(expr: Expr) -> Result<Expr> {
    datafusion::logical_expr::expr_rewriter::unnormalize_cols([expr])
        .into_iter()
        .next()
        .map_or_else(|| datafusion::common::internal_err!("a filter vanished"), Ok)
}
