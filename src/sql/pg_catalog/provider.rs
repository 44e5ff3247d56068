//! System relations as tables of a query: rows are computed when the query is planned, from that statement's snapshot.

use super::relation::{self, Rows, SystemRelation};
use super::rows;
use super::view::CatalogView;
use crate::context::SessionInfo;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

/// The system relation `schema.name`, as `session` sees it.
pub fn table(session: &Arc<SessionInfo>, schema: &str, name: &str) -> Option<Arc<dyn TableProvider>> {
    let relation = relation::find(schema, name)?;
    Some(Arc::new(SystemTable { relation, session: Arc::clone(session) }))
}

/// Names of the relations of a system schema.
pub fn table_names(schema: &str) -> Vec<String> {
    relation::all().iter().filter(|r| r.schema == schema).map(|r| r.name.to_owned()).collect()
}

#[derive(Debug)]
struct SystemTable {
    relation: &'static SystemRelation,
    session: Arc<SessionInfo>,
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.relation.arrow)
    }

    fn table_type(&self) -> TableType {
        if self.relation.is_view { TableType::View } else { TableType::Base }
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut rows = Rows::new(self.relation);
        if let Some(view) = CatalogView::new(&self.session) {
            rows::fill(&view, self.relation, &mut rows)?;
        }
        let batch = rows.finish()?;
        let plan = MemorySourceConfig::try_new_exec(&[vec![batch]], self.schema(), projection.cloned())?;
        Ok(plan)
    }
}
