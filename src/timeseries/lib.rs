//! Time series in SQL: QuestDB's and Timescale's words over ordinary tables, in the statement's own snapshot.
//!
//! [`TimeSeries`] is an [`Extension`] of `lightning_sql`. What it adds, from the ground up:
//!
//! - [`bucket`] knows buckets of time; [`time_bucket`] is the function over them, [`names`] its named arguments, and [`date_bin`]
//!   PostgreSQL's own.
//! - [`first_last`], with [`last_rows`] to read little for it, [`points`] and [`distribution`] are aggregates, [`lttb`] chooses points that show a curve.
//! - [`gapfill`] makes rows for buckets without any; [`joins`] joins by time and finds latest rows.
//!
//! The journey of SAMPLE BY, LATEST ON, ASOF JOIN and WINDOW JOIN: [`grammar`] turns the words into marks that sqlparser
//! reads, [`rewrite`] writes the marks out as queries, with [`time_column`] for which column is a table's time, and
//! [`relation`] plans what no query can say.
//!
//! Points come in over HTTP, as InfluxDB's clients send them: [`line_protocol`].

mod bucket;
mod distribution;
mod error;
mod order;
mod first_last;
mod last_rows;
mod points;
mod lttb;
mod time_bucket;
mod date_bin;
mod gapfill;
mod names;
mod grammar;
mod time_column;
mod rewrite;
mod joins;
mod relation;
mod line_protocol;

use datafusion::logical_expr::planner::RelationPlanner;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_planner::ExtensionPlanner;
use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use lightning_sql::extension::{Misplaced, Scope};
use lightning_sql::http::Route;
use lightning_sql::{Extension, Result};
use std::sync::Arc;

/// The extension.
#[derive(Debug, Default)]
pub struct TimeSeries;

impl Extension for TimeSeries {
    fn rewrite_tokens(&self, tokens: Vec<TokenWithSpan>) -> std::result::Result<Vec<TokenWithSpan>, Misplaced> {
        grammar::rewrite(tokens)
    }

    fn rewrite_query(&self, query: &mut Query, scope: &Scope<'_>) -> Result<()> {
        rewrite::rewrite(query, scope)?;
        names::rewrite(query)
    }

    fn scalar_functions(&self) -> Vec<ScalarUDF> {
        let mut functions = gapfill::markers::functions();
        functions.push(time_bucket::time_bucket());
        functions.push(date_bin::date_bin());
        functions
    }

    fn aggregate_functions(&self) -> Vec<AggregateUDF> {
        let functions = [first_last::functions(), points::functions(), distribution::functions()];
        functions.into_iter().flatten().collect()
    }

    fn window_functions(&self) -> Vec<WindowUDF> {
        vec![lttb::lttb()]
    }

    fn relation_planners(&self) -> Vec<Arc<dyn RelationPlanner>> {
        vec![Arc::new(relation::TimeRelations)]
    }

    fn analyzer_rules(&self) -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
        vec![Arc::new(gapfill::rule::FillGaps)]
    }

    fn physical_rules(&self) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
        vec![Arc::new(last_rows::LastRows), Arc::new(gapfill::limit::LimitGroups)]
    }

    fn extension_planners(&self) -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
        vec![
            Arc::new(gapfill::exec::GapFillPlanner),
            Arc::new(joins::asof::AsofPlanner),
            Arc::new(joins::window::WindowPlanner),
            Arc::new(joins::latest::LatestPlanner),
        ]
    }

    fn http_routes(&self) -> Vec<Route> {
        line_protocol::routes()
    }
}
