//! Names for DataFusion: databases, schemas and tables of one statement's view.
//!
//! DataFusion resolves an unqualified name to one default schema; PostgreSQL searches a path. So the default schema is a
//! schema of our own, [`PATH_SCHEMA`], that looks along the statement's search path.

use crate::aggregates::query::{Marked, Queries, ROWS, rows_table};
use crate::context::{SessionInfo, StatementContext};
use crate::error::{Error, Result};
use crate::extension::Installed;
use crate::sqlstate::{FEATURE_NOT_SUPPORTED, WRONG_OBJECT_TYPE};
use crate::{pg_catalog, scan::LightningTable, system, types};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::datasource::ViewTable;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::Query;
use lightning_catalog::{Column, Function, Graph, Oid, Relation, Schema as CatalogSchema, Table, View};
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

/// The schema unqualified names are looked up in. Users cannot write this name.
pub(crate) const PATH_SCHEMA: &str = "\u{1}search_path";

/// The schema of tables that exist for one statement. Users cannot write this name.
pub(crate) const STATEMENT_SCHEMA: &str = "\u{1}statement";

/// The schema of tables by OID, each with one more column: where its rows are. Users cannot write this name.
pub(crate) const PLACES_SCHEMA: &str = "\u{1}places";

/// Tables that exist for one statement, by name.
pub(crate) type StatementTables = HashMap<String, Arc<dyn TableProvider>>;

/// The PostgreSQL type of a catalog column.
pub(crate) fn column_type(column: &Column) -> types::PgType {
    types::PgType::by_oid(column.type_oid.0).unwrap_or(types::TEXT).with_modifier(column.type_modifier)
}

/// The Arrow schema of a table or view: names, types, metadata.
pub(crate) fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let fields: Vec<_> = columns.iter().map(|c| types::column_field(&c.name, column_type(c), !c.not_null)).collect();
    Arc::new(Schema::new(fields))
}

/// A session state that resolves names as `context` sees them.
pub(crate) fn state_for(
    base: &Arc<SessionState>,
    info: &Arc<SessionInfo>,
    context: &Arc<StatementContext>,
) -> SessionState {
    state_with(base, info, context, StatementTables::new())
}

/// The same with tables of the statement's own.
pub(crate) fn state_with(
    base: &Arc<SessionState>,
    info: &Arc<SessionInfo>,
    context: &Arc<StatementContext>,
    tables: StatementTables,
) -> SessionState {
    let mut tables = tables;
    tables.extend(info.firing.tables());
    let mut state = base.as_ref().clone();
    if let Some(instance) = info.instance() {
        let extensions = Arc::clone(instance.extensions());
        state.config_mut().set_extension(Arc::new(Installed {
            extensions,
            context: Arc::clone(context),
            budget: Arc::clone(instance.engine().budget()),
            session: Arc::clone(info),
            within: Vec::new(),
        }));
    }
    state.register_catalog_list(Arc::new(Names {
        base: Arc::clone(base),
        info: Arc::clone(info),
        context: Arc::clone(context),
        tables: Arc::new(tables),
    }));
    state
}

/// The names a state resolves, when it is one made here.
pub(crate) fn names(state: &SessionState) -> Option<Names> {
    (state.catalog_list().as_ref() as &dyn Any).downcast_ref::<Names>().cloned()
}

impl Names {
    /// A state for the body of a function, whose names mean what they meant when it was made.
    pub(crate) fn state_within(
        &self,
        outer: &SessionState,
        function: &Function,
        tables: StatementTables,
    ) -> Result<SessionState> {
        let context = StatementContext { search_path: function.search_path.clone(), ..self.context.as_ref().clone() };
        let mut state = state_with(&self.base, &self.info, &Arc::new(context), tables);
        state.config_mut().options_mut().execution.time_zone = outer.config_options().execution.time_zone.clone();
        let mut within =
            outer.config().get_extension::<Installed>().map_or_else(Vec::new, |installed| installed.within.clone());
        if within.contains(&function.oid) {
            let message = format!("function {} calls itself", function.name);
            return Err(Error::new(FEATURE_NOT_SUPPORTED, message)
                .with_detail("The body of a function in SQL is put in the place of its calls.")
                .with_hint("Use WITH RECURSIVE."));
        }
        within.push(function.oid);
        if let Some(installed) = state.config().get_extension::<Installed>() {
            let installed = Installed {
                extensions: Arc::clone(&installed.extensions),
                context: Arc::clone(&installed.context),
                budget: Arc::clone(&installed.budget),
                session: Arc::clone(&installed.session),
                within,
            };
            state.config_mut().set_extension(Arc::new(installed));
        }
        Ok(state)
    }

    /// The same names with more tables of the statement's own.
    pub(crate) fn with_tables(&self, tables: StatementTables) -> Names {
        let mut all = self.tables.as_ref().clone();
        all.extend(tables);
        Names { tables: Arc::new(all), ..self.clone() }
    }
}

/// What a statement's names mean.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    base: Arc<SessionState>,
    info: Arc<SessionInfo>,
    context: Arc<StatementContext>,
    tables: Arc<StatementTables>,
}

impl CatalogProviderList for Names {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![self.info.database.clone()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == self.info.database).then(|| Arc::new(self.clone()) as Arc<dyn CatalogProvider>)
    }
}

impl CatalogProvider for Names {
    fn schema_names(&self) -> Vec<String> {
        self.context.catalog.schemas(self.context.database).map(|s| s.name.clone()).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name == STATEMENT_SCHEMA {
            return Some(Arc::new(OfStatement(Arc::clone(&self.tables))));
        }
        if name == PLACES_SCHEMA {
            return Some(Arc::new(WithPlaces(Arc::clone(&self.context))));
        }
        let schemas = if name == PATH_SCHEMA {
            let find = |name: &String| self.context.catalog.schema(self.context.database, name).cloned();
            self.context.search_path.iter().filter_map(find).collect()
        } else {
            vec![Arc::clone(self.context.catalog.schema(self.context.database, name)?)]
        };
        Some(Arc::new(Schemas { names: self.clone(), schemas }))
    }
}

/// The tables of the statement.
#[derive(Debug)]
struct OfStatement(Arc<StatementTables>);

#[async_trait]
impl SchemaProvider for OfStatement {
    fn table_names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> datafusion::common::Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.0.get(name).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

/// Tables by OID, with places.
#[derive(Debug)]
struct WithPlaces(Arc<StatementContext>);

impl WithPlaces {
    fn find(&self, name: &str) -> Option<&Table> {
        match self.0.catalog.relation_by_oid(Oid(name.parse().ok()?))? {
            Relation::Table(table) => Some(table),
            _ => None,
        }
    }
}

#[async_trait]
impl SchemaProvider for WithPlaces {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> datafusion::common::Result<Option<Arc<dyn TableProvider>>> {
        let table = self.find(name).map(|table| LightningTable::of(self.0.storage.clone(), table).with_places());
        Ok(table.map(|table| Arc::new(table) as Arc<dyn TableProvider>))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}

/// A graph has no rows of its own.
fn of_graph(graph: &Graph) -> Error {
    Error::new(WRONG_OBJECT_TYPE, format!("\"{}\" is a property graph", graph.name))
        .with_hint("Read it with GRAPH_TABLE (graph MATCH pattern COLUMNS (...)).")
}

/// One schema, or the search path.
#[derive(Debug)]
struct Schemas {
    names: Names,
    schemas: Vec<Arc<CatalogSchema>>,
}

impl Schemas {
    async fn find(&self, schema: &CatalogSchema, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Names { info, context, .. } = &self.names;
        if schema.is_system() {
            return Ok(match schema.name.as_str() {
                "lightning" => system::table(info, context, name),
                other => pg_catalog::table(info, other, name),
            });
        }
        match context.catalog.relation(schema.oid, name) {
            None => Ok(None),
            Some(Relation::Table(table)) => Ok(Some(Arc::new(LightningTable::of(context.storage.clone(), table)))),
            Some(Relation::View(view)) if view.materialized.is_some() => self.materialized(view).await.map(Some),
            Some(Relation::View(view)) => self.view(view).await.map(Some),
            Some(Relation::Graph(graph)) => Err(of_graph(graph)),
        }
    }

    /// Plans a view's definition under the search path it was written in.
    async fn view(&self, view: &View) -> Result<Arc<dyn TableProvider>> {
        let Names { base, info, context, .. } = &self.names;
        let context = StatementContext { search_path: view.search_path.clone(), ..context.as_ref().clone() };
        let state = state_for(base, info, &Arc::new(context));
        let query = crate::parser::parse_query(&view.definition)?;
        Self::planned(view, &state, &query).await
    }

    /// Plans what a continuous aggregate has now: the rows it keeps, and those of buckets that have changed since.
    async fn materialized(&self, view: &View) -> Result<Arc<dyn TableProvider>> {
        let Names { base, info, context, .. } = &self.names;
        let context = Arc::new(StatementContext { search_path: view.search_path.clone(), ..context.as_ref().clone() });
        let marked = Marked::of(view, &context)?;
        let rows: Arc<dyn TableProvider> = Arc::new(rows_table(view, &context)?);
        let state = state_with(base, info, &context, [(ROWS.to_owned(), rows)].into());
        let query = Queries::new(view, &context, &marked)?.all()?;
        Self::planned(view, &state, &query).await
    }

    async fn planned(view: &View, state: &SessionState, query: &Query) -> Result<Arc<dyn TableProvider>> {
        let plan = crate::plan::named_query_plan(state, query).await?;
        let columns: Vec<Expr> = plan
            .schema()
            .columns()
            .into_iter()
            .zip(&view.columns)
            .map(|(column, named)| Expr::Column(column).alias(&named.name))
            .collect();
        let plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
        Ok(Arc::new(ViewTable::new(plan, Some(view.definition.clone()))))
    }
}

#[async_trait]
impl SchemaProvider for Schemas {
    fn table_names(&self) -> Vec<String> {
        let context = &self.names.context;
        let of = |schema: &Arc<CatalogSchema>| -> Vec<String> {
            match (schema.is_system(), schema.name.as_str()) {
                (true, "lightning") => system::table_names(&self.names.info),
                (true, other) => pg_catalog::table_names(other),
                _ => context.catalog.relations(schema.oid).map(|r| r.name().to_owned()).collect(),
            }
        };
        self.schemas.iter().flat_map(of).collect()
    }

    async fn table(&self, name: &str) -> datafusion::common::Result<Option<Arc<dyn TableProvider>>> {
        for schema in &self.schemas {
            let found = self.find(schema, name).await.map_err(|e| DataFusionError::External(Box::new(e)))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|n| n == name)
    }
}
