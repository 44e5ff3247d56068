//! The seam through which crates above extend SQL: grammar, functions, planner rules and operators, without touching `sql`.
//!
//! What an [`Extension`] gives is asked for in the order in which a statement needs it:
//!
//! 1. [`Extension::statement`]: statements that create and drop objects of the extension's own, wholly in its grammar.
//! 2. [`Extension::rewrite_tokens`]: grammar that sqlparser does not have becomes grammar that it has, mostly a call of a
//!    function with a name of the extension's own that marks the place. Replaced tokens keep their spans, so that errors
//!    point into the text the client sent.
//! 3. [`Extension::rewrite_query`]: marks in the syntax tree become queries, with the names of the catalog at hand
//!    ([`Scope`]). Views keep their text as it is after step 2, before step 3.
//! 4. [`Extension::relation_planners`], [`Extension::analyzer_rules`]: what no query can say becomes logical plan nodes;
//!    [`Extension::extension_planners`] makes them run, [`Extension::physical_rules`] makes what runs better.
//!
//! What must hold: a statement without an extension's words is left as it is.

use crate::context::{SessionInfo, StatementContext};
use crate::error::{Error, Result};
use crate::http::Route;
use crate::language::Language;
use crate::provider::PLACES_SCHEMA;
use crate::sqlstate::UNDEFINED_OBJECT;
use crate::types::PgType;
use arrow::array::ArrayRef;
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
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast::{ObjectName, Query};
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use lightning_catalog::{ObjectKind, Oid, Relation};
use lightning_storage::budget::MemoryBudget;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

pub use crate::parser::calls::{argument, call, identifier, plain_name};
pub use crate::parser::names::{folded, quoted};
pub use crate::parser::words::{At, Words};
pub use crate::parser::{parse_expression, parse_expression_of, parse_query, tokens};
pub use crate::pg_catalog::quote_identifier;
pub use crate::scan::PLACE;

/// Something that extends SQL.
pub trait Extension: fmt::Debug + Send + Sync {
    /// Reads a statement that is this extension's as a whole; `None` when it is not. The tokens are as in [`Extension::rewrite_tokens`].
    fn statement(&self, _tokens: &[TokenWithSpan]) -> Option<std::result::Result<ObjectStatement, Misplaced>> {
        None
    }

    /// Turns the words of one statement that are this extension's into words sqlparser reads. The tokens have no semicolon,
    /// and those of a nested query are among them. An error should have the position of a token ([`syntax_error`]).
    fn rewrite_tokens(&self, tokens: Vec<TokenWithSpan>) -> std::result::Result<Vec<TokenWithSpan>, Misplaced> {
        Ok(tokens)
    }

    /// Turns marks in a query, and in the queries in it, into what they stand for.
    fn rewrite_query(&self, _query: &mut Query, _scope: &Scope<'_>) -> Result<()> {
        Ok(())
    }

    /// Relations that a query names in words of this extension's: views of it need them. The query is as after [`Extension::rewrite_tokens`].
    fn relations(&self, _query: &Query) -> Vec<ObjectName> {
        Vec::new()
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

    /// Languages that functions are written in.
    fn languages(&self) -> Vec<Arc<dyn Language>> {
        Vec::new()
    }

    /// Tables in the schema `lightning`.
    fn system_tables(&self) -> Vec<Arc<dyn SystemRows>> {
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
    pub message: Option<Box<str>>,
    /// What to write instead, as a sentence.
    pub hint: Option<Box<str>>,
}

impl Misplaced {
    /// Says what is wrong.
    pub fn with_message(mut self, message: impl Into<Box<str>>) -> Misplaced {
        self.message = Some(message.into());
        self
    }

    /// Says what to write instead.
    pub fn with_hint(mut self, hint: impl Into<Box<str>>) -> Misplaced {
        self.hint = Some(hint.into());
        self
    }
}

/// A syntax error at a token, or at the end of the statement.
pub fn syntax_error(token: Option<&TokenWithSpan>) -> Misplaced {
    Misplaced { token: token.cloned(), message: None, hint: None }
}

/// The name of a table that has one more column, [`PLACE`]: where each row is, for the statement's snapshot.
pub fn with_places(table: Oid) -> ObjectName {
    ObjectName::from(vec![identifier(PLACES_SCHEMA), identifier(&table.to_string())])
}

/// The view of the statement that runs in a session's configuration, and the budget it draws on.
pub fn running(config: &SessionConfig) -> Option<Running> {
    let installed = config.get_extension::<Installed>()?;
    Some(Running { context: Arc::clone(&installed.context), budget: Arc::clone(&installed.budget) })
}

/// What an operator sees of the statement it is of.
#[derive(Clone, Debug)]
pub struct Running {
    /// Names and rows.
    pub context: Arc<StatementContext>,
    /// Where memory comes from.
    pub budget: Arc<MemoryBudget>,
}

/// A table in the schema `lightning`, computed when it is read.
pub trait SystemRows: fmt::Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Names and types of its columns.
    fn columns(&self) -> Vec<(&'static str, PgType)>;

    /// Its columns, for a statement.
    fn rows(&self, context: &StatementContext) -> Result<Vec<ArrayRef>>;
}

/// A statement about an object whose definition is an extension's, and whose name is the catalog's.
#[derive(Clone, Debug)]
pub enum ObjectStatement {
    /// CREATE.
    Create(CreateObject),
    /// DROP.
    Drop(DropObject),
}

/// `CREATE [OR REPLACE] kind [IF NOT EXISTS] name …`
#[derive(Clone, Debug)]
pub struct CreateObject {
    /// What it is to be.
    pub kind: ObjectKind,
    /// Its name.
    pub name: ObjectName,
    /// Whether it may take the place of one that is there.
    pub or_replace: bool,
    /// Whether it is no error that one is there.
    pub if_not_exists: bool,
    /// The rest of the statement.
    pub body: Arc<dyn ObjectBody>,
}

/// `DROP kind [IF EXISTS] names [CASCADE]`
#[derive(Clone, Debug)]
pub struct DropObject {
    /// What they should be.
    pub kind: ObjectKind,
    /// Their names.
    pub names: Vec<ObjectName>,
    /// Whether it is no error that one is missing.
    pub if_exists: bool,
    /// Whether what depends on them goes, too.
    pub cascade: bool,
}

/// What an object is made of.
pub trait ObjectBody: fmt::Debug + Send + Sync {
    /// Looks up what it names, and says what the catalog keeps.
    fn resolve(&self, scope: &Scope<'_>) -> Result<ObjectDefinition>;
}

/// What the catalog keeps of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectDefinition {
    /// Text that the extension reads again.
    pub text: String,
    /// The tables and views it needs: they cannot be dropped without it.
    pub depends_on: Vec<Oid>,
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
    pub(crate) fn new(context: &'a StatementContext, state: &'a SessionState) -> Scope<'a> {
        Scope { context, aggregates: state.aggregate_functions() }
    }

    /// The statement's view of names and rows.
    pub fn context(&self) -> &'a StatementContext {
        self.context
    }

    /// Whether there is an aggregate function of this name.
    pub fn is_aggregate(&self, name: &str) -> bool {
        self.aggregates.contains_key(name)
    }

    /// The table, view or graph of this name, along the search path when the name has no schema.
    pub fn relation(&self, name: &ObjectName) -> Option<&'a Relation> {
        let parts: Vec<String> = name.0.iter().map(|part| part.as_ident().map(folded)).collect::<Option<_>>()?;
        match parts.as_slice() {
            [name] => self.context.relation(None, name),
            [schema, name] => self.context.relation(Some(schema), name),
            [database, schema, name] => {
                let known = self.context.catalog.database(database)?;
                if known.oid == self.context.database { self.context.relation(Some(schema), name) } else { None }
            }
            _ => None,
        }
    }
}

/// What a session's state carries for extensions, and for planning what a name stands for by itself.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) extensions: Extensions,
    pub(crate) context: Arc<StatementContext>,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) session: Arc<SessionInfo>,
    /// The functions in SQL whose bodies are being planned, outermost first.
    pub(crate) within: Vec<Oid>,
}

/// The language of this name.
pub(crate) fn language(extensions: &Extensions, name: &str) -> Result<Arc<dyn Language>> {
    let found = extensions.iter().flat_map(|extension| extension.languages()).find(|language| language.name() == name);
    found.ok_or_else(|| {
        Error::new(UNDEFINED_OBJECT, format!("language \"{name}\" does not exist"))
            .with_hint("Functions are written in the languages sql and wasm.")
    })
}

/// Rewrites a query by all extensions.
pub(crate) fn rewrite_query(state: &SessionState, query: &mut Query) -> Result<()> {
    let Some(installed) = state.config().get_extension::<Installed>() else { return Ok(()) };
    let scope = Scope::new(&installed.context, state);
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
