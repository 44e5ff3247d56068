//! For the tests of the rules: tables in memory that have statistics, and queries run with and without a rule.

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, Statistics};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use std::collections::HashSet;
use std::sync::Arc;

/// A table in memory that knows its row and distinct counts.
#[derive(Debug)]
struct CountedTable {
    table: MemTable,
    statistics: Statistics,
}

#[async_trait]
impl TableProvider for CountedTable {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics.clone())
    }
    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.table.scan(session, projection, filters, limit).await
    }
}

/// Columns of integers, NULLs among them.
pub(super) type Columns<'a> = &'a [(&'a str, Vec<Option<i32>>)];

/// Tables by name.
pub(super) struct Fixture<'a> {
    /// Name and columns of each.
    pub(super) tables: Vec<(&'a str, Columns<'a>)>,
}

impl Fixture<'_> {
    /// A context over the tables with these rules added after filters are pushed down.
    pub(super) fn context(&self, rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>) -> SessionContext {
        let mut all = Optimizer::new().rules;
        let place = all.iter().position(|rule| rule.name() == super::AFTER).unwrap() + 1;
        all.splice(place..place, rules);
        let state = SessionStateBuilder::new().with_default_features().with_optimizer_rules(all).build();
        let context = SessionContext::new_with_state(state);
        for (name, columns) in &self.tables {
            context.register_table(*name, Arc::new(counted(columns))).unwrap();
        }
        context
    }

    /// Asserts that `sql` gives the same rows with and without `rule`; returns the logical plan with it.
    pub(super) async fn assert_same(&self, rule: Arc<dyn OptimizerRule + Send + Sync>, sql: &str) -> String {
        let with = self.context(vec![rule]);
        let without = self.context(Vec::new());
        assert_eq!(rows(&with, sql).await, rows(&without, sql).await, "{sql}");
        with.sql(sql).await.unwrap().into_optimized_plan().unwrap().display_indent().to_string()
    }
}

/// The rows of a query as lines, sorted.
pub(crate) async fn rows(context: &SessionContext, sql: &str) -> Vec<String> {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let mut rows: Vec<String> =
        pretty_format_batches(&batches).unwrap().to_string().lines().map(str::to_string).collect();
    rows.sort();
    rows
}

fn counted(columns: Columns) -> CountedTable {
    let fields: Vec<Field> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Int32, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays: Vec<ArrayRef> =
        columns.iter().map(|(_, values)| Arc::new(Int32Array::from(values.clone())) as ArrayRef).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let column_statistics = columns.iter().map(|(_, values)| ColumnStatistics {
        distinct_count: Precision::Inexact(values.iter().flatten().collect::<HashSet<_>>().len()),
        null_count: Precision::Exact(values.iter().filter(|value| value.is_none()).count()),
        ..ColumnStatistics::new_unknown()
    });
    let statistics = Statistics {
        num_rows: Precision::Exact(batch.num_rows()),
        total_byte_size: Precision::Absent,
        column_statistics: column_statistics.collect(),
    };
    CountedTable { table: MemTable::try_new(schema, vec![vec![batch]]).unwrap(), statistics }
}

/// `rows` values, cycling through 0 to `distinct - 1`, every `null_every`-th NULL.
pub(super) fn cycle(rows: i32, distinct: i32, null_every: i32) -> Vec<Option<i32>> {
    (0..rows).map(|row| (null_every == 0 || row % null_every != 0).then_some(row % distinct)).collect()
}
