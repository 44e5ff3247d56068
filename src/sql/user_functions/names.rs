//! The calls of a query that mean functions of users.

use super::sql_body::{by_place, statement_table};
use crate::clauses;
use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::parser::calls::{function, identifier};
use crate::parser::names::folded;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArguments, ObjectName, Query, SelectItem, SetExpr, TableAlias, TableFactor, VisitMut, VisitorMut,
};
use lightning_catalog::{Function, Returns};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What marks begin with. Users cannot write this.
const MARK: &str = "\u{1}";

/// Functions that calls of one name may mean.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    /// As it was written.
    pub(crate) name: String,
    pub(crate) functions: Vec<Arc<Function>>,
    /// How many arguments calls have.
    pub(crate) counts: Vec<usize>,
}

/// A function called in FROM.
#[derive(Clone, Debug)]
pub(crate) struct CalledTable {
    /// The name of the statement's table that stands there now.
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) functions: Vec<Arc<Function>>,
    pub(crate) arguments: Vec<Expr>,
}

/// All that a query calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// By mark.
    pub(crate) values: BTreeMap<String, Called>,
    pub(crate) tables: Vec<CalledTable>,
}

impl Calls {
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.tables.is_empty()
    }
}

/// Finds the calls of a query, and puts marks in their place.
pub(crate) fn mark(query: &mut Query, state: &SessionState, context: &StatementContext) -> Result<Calls> {
    // Most databases have no functions.
    if context.catalog.all_functions().next().is_none() {
        return Ok(Calls::default());
    }
    let mut marker = Marker { state, context, calls: Calls::default() };
    match query.visit(&mut marker) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(marker.calls),
    }
}

struct Marker<'a> {
    state: &'a SessionState,
    context: &'a StatementContext,
    calls: Calls,
}

impl Marker<'_> {
    /// The functions a name means, and the name without its schema.
    fn functions(&self, name: &ObjectName) -> Option<(String, Vec<Arc<Function>>)> {
        let parts: Vec<String> = name.0.iter().map(|part| part.as_ident().map(folded)).collect::<Option<_>>()?;
        let (schema, name) = match parts.as_slice() {
            [name] if clauses::is_function(self.state, name) => return None,
            [name] => (None, name),
            [schema, name] => (Some(schema.as_str()), name),
            _ => return None,
        };
        let functions = self.context.functions(schema, name);
        if functions.is_empty() { None } else { Some((name.clone(), functions)) }
    }
}

/// The call that a table is.
fn called(factor: &TableFactor) -> Option<Expr> {
    let (name, args) = match factor {
        TableFactor::Table { name, args: Some(args), .. } => (name, &args.args),
        TableFactor::Function { name, args, .. } => (name, args),
        _ => return None,
    };
    let mut call = function("f", by_place(args)?, Vec::new());
    call.name = name.clone();
    Some(Expr::Function(call))
}

impl VisitorMut for Marker<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        if let Some((name, functions)) = self.functions(&call.name) {
            let mark = format!("{MARK}{}", call.name);
            let count = match &call.args {
                FunctionArguments::List(list) => list.args.len(),
                FunctionArguments::None | FunctionArguments::Subquery(_) => 0,
            };
            call.name = ObjectName::from(vec![identifier(&mark)]);
            let called = self.calls.values.entry(mark).or_insert(Called { name, functions, counts: Vec::new() });
            if !called.counts.contains(&count) {
                called.counts.push(count);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        let (name, given, alias) = match &*factor {
            TableFactor::Table { name, args: Some(args), alias, .. } => (name, &args.args, alias),
            TableFactor::Function { name, args, alias, .. } => (name, args, alias),
            _ => return ControlFlow::Continue(()),
        };
        let (Some((name, functions)), Some(arguments)) = (self.functions(name), by_place(given)) else {
            return ControlFlow::Continue(());
        };
        let alias = alias.clone().or_else(|| alias_of(&name));
        if matches!(
            factor,
            TableFactor::Table { with_ordinality: true, .. } | TableFactor::Function { with_ordinality: true, .. }
        ) {
            return ControlFlow::Break(Error::unsupported("WITH ORDINALITY of a user's function"));
        }
        // One value is a table of one row.
        if functions.iter().all(|function| matches!(function.returns, Returns::Value(_))) {
            if let Some(derived) = one_row(&name, called(factor), alias) {
                *factor = derived;
            }
            return ControlFlow::Continue(());
        }
        let table = format!("{MARK}{}", self.calls.tables.len());
        self.calls.tables.push(CalledTable { table: table.clone(), name, functions, arguments });
        if let Some(plain) = plain_table(&table, alias) {
            *factor = plain;
        }
        ControlFlow::Continue(())
    }
}

/// `(SELECT call AS name) AS alias`.
fn one_row(name: &str, call: Option<Expr>, written: Option<TableAlias>) -> Option<TableFactor> {
    let mut factor = aliased(&format!("SELECT 1 FROM (SELECT NULL AS {0}) AS {0}", identifier(name)))?;
    let TableFactor::Derived { subquery, alias, .. } = &mut factor else { return None };
    let SetExpr::Select(select) = subquery.body.as_mut() else { return None };
    let [SelectItem::ExprWithAlias { expr, .. }] = select.projection.as_mut_slice() else { return None };
    *expr = call?;
    *alias = written;
    Some(factor)
}

fn alias_of(name: &str) -> Option<TableAlias> {
    aliased(&format!("SELECT 1 FROM t AS {}", identifier(name))).and_then(|factor| match factor {
        TableFactor::Table { alias, .. } => alias,
        _ => None,
    })
}

fn plain_table(name: &str, alias: Option<TableAlias>) -> Option<TableFactor> {
    let mut factor = aliased("SELECT 1 FROM t")?;
    if let TableFactor::Table { name: known, alias: written, .. } = &mut factor {
        *known = statement_table(name);
        *written = alias;
    }
    Some(factor)
}

/// The table of a query of one.
fn aliased(sql: &str) -> Option<TableFactor> {
    let query = crate::parser::parse_query(sql).ok()?;
    match *query.body {
        SetExpr::Select(select) => select.from.into_iter().next().map(|t| t.relation),
        _ => None,
    }
}
