//! The seam through which crates above extend SQL: grammar, functions, planner rules and operators, without touching `sql`.
//!
//! What an [`Extension`] gives is asked for in the order in which a statement needs it:
//!
//! 1. [`Extension::rewrite_tokens`]: grammar that sqlparser does not have becomes grammar that it has, mostly a call of a
//!    function with a name of the extension's own that marks the place. Replaced tokens keep their spans, so that errors
//!    point into the text the client sent.
//! 2. [`Extension::rewrite_query`]: marks in the syntax tree become queries, with the names of the catalog at hand
//!    ([`Scope`]). Views keep their text as it is after step 1, before step 2.
//! 3. [`Extension::relation_planners`], [`Extension::analyzer_rules`]: what no query can say becomes logical plan nodes;
//!    [`Extension::extension_planners`] makes them run, [`Extension::physical_rules`] makes what runs better.
//!
//! What must hold: a statement without an extension's words is left as it is.

use crate::context::StatementContext;
use crate::error::Result;
use crate::http::Route;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result as DataFusionResult;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::planner::RelationPlanner;
use datafusion::logical_expr::{AggregateUDF, LogicalPlan, ScalarUDF, WindowUDF};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::sql::sqlparser::ast::{ObjectName, Query};
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use lightning_catalog::Relation;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

pub use crate::parser::calls::{call, identifier};
pub use crate::parser::names::{folded, quoted};
pub use crate::parser::parse_query;

/// Something that extends SQL.
pub trait Extension: fmt::Debug + Send + Sync {
    /// Turns the words of one statement that are this extension's into words sqlparser reads. The tokens have no semicolon,
    /// and those of a nested query are among them. An error should have the position of a token ([`syntax_error`]).
    fn rewrite_tokens(&self, tokens: Vec<TokenWithSpan>) -> std::result::Result<Vec<TokenWithSpan>, Misplaced> {
        Ok(tokens)
    }

    /// Turns marks in a query, and in the queries in it, into what they stand for.
    fn rewrite_query(&self, _query: &mut Query, _scope: &Scope<'_>) -> Result<()> {
        Ok(())
    }

    /// Functions of one row.
    fn scalar_functions(&self) -> Vec<ScalarUDF> {
        Vec::new()
    }

    /// Aggregates.
    fn aggregate_functions(&self) -> Vec<AggregateUDF> {
        Vec::new()
    }

    /// Window functions.
    fn window_functions(&self) -> Vec<WindowUDF> {
        Vec::new()
    }

    /// Planners of marked tables in FROM.
    fn relation_planners(&self) -> Vec<Arc<dyn RelationPlanner>> {
        Vec::new()
    }

    /// Rules over a plan whose types are not coerced yet.
    fn analyzer_rules(&self) -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
        Vec::new()
    }

    /// Rules over a physical plan into whose scans conditions and limits have been pushed.
    fn physical_rules(&self) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
        Vec::new()
    }

    /// Planners of the extension's logical nodes.
    fn extension_planners(&self) -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
        Vec::new()
    }

    /// What it answers over HTTP, when the server listens for that.
    fn http_routes(&self) -> Vec<Route> {
        Vec::new()
    }
}

/// A token where none of its kind may stand; `None` when the statement ends too early.
#[derive(Clone, Debug)]
pub struct Misplaced {
    /// The token.
    pub token: Option<TokenWithSpan>,
    /// What is wrong, when "syntax error" is not all there is to say.
    pub message: Option<String>,
}

/// A syntax error at a token, or at the end of the statement.
pub fn syntax_error(token: Option<&TokenWithSpan>) -> Misplaced {
    Misplaced { token: token.cloned(), message: None }
}

/// All extensions of an instance.
pub type Extensions = Arc<[Arc<dyn Extension>]>;

/// What a statement sees, to those who rewrite it.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    context: &'a StatementContext,
    aggregates: &'a HashMap<String, Arc<AggregateUDF>>,
}

impl<'a> Scope<'a> {
    /// Whether there is an aggregate function of this name.
    pub fn is_aggregate(&self, name: &str) -> bool {
        self.aggregates.contains_key(name)
    }

    /// The table or view of this name, along the search path when the name has no schema.
    pub fn relation(&self, name: &ObjectName) -> Option<&'a Relation> {
        let parts: Vec<String> = name.0.iter().map(|part| part.as_ident().map(folded)).collect::<Option<_>>()?;
        match parts.as_slice() {
            [name] => self.context.relation(None, name),
            [schema, name] | [_, schema, name] => self.context.relation(Some(schema), name),
            _ => None,
        }
    }
}

/// What a session's state carries for extensions.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) extensions: Extensions,
    pub(crate) context: Arc<StatementContext>,
}

/// Rewrites a query by all extensions.
pub(crate) fn rewrite_query(state: &SessionState, query: &mut Query) -> Result<()> {
    let Some(installed) = state.config().get_extension::<Installed>() else { return Ok(()) };
    let scope = Scope { context: &installed.context, aggregates: state.aggregate_functions() };
    installed.extensions.iter().try_for_each(|extension| extension.rewrite_query(query, &scope))
}

/// DataFusion's planner with the extensions' nodes.
pub(crate) struct ExtendedPlanner(DefaultPhysicalPlanner);

impl ExtendedPlanner {
    pub(crate) fn new(extensions: &Extensions) -> ExtendedPlanner {
        let planners = extensions.iter().flat_map(|extension| extension.extension_planners()).collect();
        ExtendedPlanner(DefaultPhysicalPlanner::with_extension_planners(planners))
    }
}

impl fmt::Debug for ExtendedPlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExtendedPlanner")
    }
}

#[async_trait]
impl QueryPlanner for ExtendedPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        self.0.create_physical_plan(plan, session).await
    }
}
