//! Property graphs in SQL: SQL/PGQ (ISO/IEC 9075-16:2023) over ordinary tables, and algorithms as table functions.
//!
//! [`PropertyGraphs`] is an [`Extension`] of `lightning_sql`. What it adds, from the ground up:
//!
//! - [`definition`] is what CREATE PROPERTY GRAPH and DROP PROPERTY GRAPH say, [`schema`] what that means in the catalog as it is.
//! - [`pattern`] is what GRAPH_TABLE says: patterns of paths, read from a call that [`grammar`] wrote in its place.
//! - [`adjacency`] has graphs in memory, as each snapshot sees them.
//! - [`functions`] are table functions such as `graph_bfs`, which run over it.
//!
//! The journey of `FROM GRAPH_TABLE (g MATCH … COLUMNS (…))`: [`grammar::rewrite`] turns its tokens into a call of a table
//! function that sqlparser reads, expressions and their positions untouched, and [`pattern::read`] turns the call's arguments
//! into a [`pattern::GraphTable`], having checked all that can be checked without a catalog.
//!
//! The journey of `FROM graph_bfs('social', 1)`: [`rewrite`] finds the graph and turns the call into a mark, [`functions::plan`] makes a
//! node of the mark, and [`functions::exec`] runs it.

pub mod definition;
pub mod grammar;
pub mod pattern;
mod error;
mod schema;
mod adjacency;
mod functions;
mod statement;
mod rewrite;
mod system;

use adjacency::Cache;
use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::planner::RelationPlanner;
use datafusion::physical_planner::ExtensionPlanner;
use datafusion::sql::sqlparser::ast::{ObjectName, Query};
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use functions::plan::{GraphFunctionPlanner, GraphFunctions};
use lightning_sql::extension::{Misplaced, ObjectStatement, Scope, SystemRows};
use lightning_sql::{Extension, Result};
use schema::Known;
use std::sync::{Arc, OnceLock};

/// The extension.
#[derive(Debug, Default)]
pub struct PropertyGraphs {
    known: Arc<Known>,
    /// Made with the first graph that is read, when the budget is at hand.
    cache: Arc<OnceLock<Arc<Cache>>>,
}

impl Extension for PropertyGraphs {
    fn statement(&self, tokens: &[TokenWithSpan]) -> Option<std::result::Result<ObjectStatement, Misplaced>> {
        statement::parse(tokens)
    }

    fn rewrite_tokens(&self, tokens: Vec<TokenWithSpan>) -> std::result::Result<Vec<TokenWithSpan>, Misplaced> {
        grammar::rewrite(tokens)
    }

    fn rewrite_query(&self, query: &mut Query, scope: &Scope<'_>) -> Result<()> {
        rewrite::rewrite(query, &self.known, scope)
    }

    fn relations(&self, query: &Query) -> Vec<ObjectName> {
        rewrite::graphs(query)
    }

    fn scalar_functions(&self) -> Vec<ScalarUDF> {
        vec![functions::key_text::key_text()]
    }

    fn relation_planners(&self) -> Vec<Arc<dyn RelationPlanner>> {
        vec![Arc::new(GraphFunctions { known: self.known.clone() })]
    }

    fn system_tables(&self) -> Vec<Arc<dyn SystemRows>> {
        vec![Arc::new(system::Graphs(self.cache.clone()))]
    }

    fn extension_planners(&self) -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
        vec![Arc::new(GraphFunctionPlanner { cache: self.cache.clone() })]
    }
}
