//! The bodies of functions in SQL, as queries over their parameters.
//!
//! The parameters are a table of one row named like the function, so that a column of the body's own tables goes before a
//! parameter of the same name, as in PostgreSQL. `f(a bigint) … AS 'SELECT a + 1'` reads `SELECT a + 1 FROM parameters AS f`; a body
//! that reads tables becomes a sub-query of that.

use super::family::argument_types;
use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::extension::Extensions;
use crate::parser::calls::identifier;
use crate::parser::{self, Kind};
use crate::provider::STATEMENT_SCHEMA;
use crate::sqlstate::UNDEFINED_PARAMETER;
use crate::types::{PgType, column_field};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    self, Expr, GroupByExpr, Ident, ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    Statement, TableAlias, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use lightning_catalog::Function;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// The table of parameters.
pub(crate) const PARAMETERS: &str = "\u{1}parameters";

/// The name of the parameter at a place.
pub(crate) fn parameter_name(function: &Function, place: usize) -> String {
    let named = function.arguments.get(place).and_then(|argument| argument.name.clone());
    named.unwrap_or_else(|| format!("${}", place + 1))
}

/// The columns of the table of parameters.
pub(crate) fn parameters(function: &Function) -> SchemaRef {
    let types: Vec<PgType> = argument_types(function);
    let field = |(place, pg): (usize, &PgType)| column_field(&parameter_name(function, place), *pg, true);
    Arc::new(Schema::new(types.iter().enumerate().map(field).collect::<Vec<_>>()))
}

/// The one query that a body is.
pub(crate) fn query(function: &Function, extensions: &Extensions) -> Result<Query> {
    let mut statements = parser::parse_extended(&function.source, extensions)?;
    let last = statements.pop();
    if !statements.is_empty() {
        return Err(Error::unsupported("a function in SQL of several statements"));
    }
    match last.map(|parsed| parsed.kind) {
        Some(Kind::Sql(statement)) => match *statement {
            Statement::Query(query) => Ok(*query),
            _ => Err(Error::unsupported("a function in SQL that is no query")),
        },
        Some(_) => Err(Error::unsupported("a function in SQL that is no query")),
        None => Err(Error::unsupported("a function in SQL without a query")),
    }
}

/// A function's body as one expression over its parameters.
pub(crate) fn expression(function: &Function, extensions: &Extensions) -> Result<Query> {
    let mut body = query(function, extensions)?;
    number(&mut body, function)?;
    set_apart(&mut body, function);
    let expr = match alone(&body) {
        Some(expr) => expr,
        None => Expr::Subquery(Box::new(body)),
    };
    let table = [identifier(STATEMENT_SCHEMA), identifier(PARAMETERS)];
    let from = format!("SELECT NULL FROM {}.{} AS {}", table[0], table[1], identifier(&function.name));
    let mut whole = parser::parse_query(&from)?;
    if let SetExpr::Select(select) = whole.body.as_mut() {
        select.projection = vec![SelectItem::UnnamedExpr(expr)];
    }
    Ok(whole)
}

/// A function's body as a query, with its arguments written into it. `context` finds the tables of the body, whose columns go before
/// parameters of the same name.
pub(crate) fn rows(
    function: &Function,
    given: &[Expr],
    context: &StatementContext,
    extensions: &Extensions,
) -> Result<Query> {
    let mut body = query(function, extensions)?;
    number(&mut body, function)?;
    let mut written = Vec::with_capacity(given.len());
    for (place, (expr, pg)) in given.iter().zip(argument_types(function)).enumerate() {
        written.push((parameter_name(function, place), cast(expr, pg)?));
    }
    let mut columns = Columns { context, names: HashSet::new() };
    let _ = Visit::visit(&body, &mut columns);
    let _ = VisitMut::visit(
        &mut body,
        &mut Arguments { function: &function.name, written: &written, columns: &columns.names },
    );
    Ok(body)
}

/// `CAST(expr AS type)`.
pub(crate) fn cast(expr: &Expr, pg: PgType) -> Result<Expr> {
    let mut cast = parser::parse_expression(&format!("CAST(NULL AS {})", pg.sql_name()))?;
    if let Expr::Cast { expr: inner, .. } = &mut cast {
        **inner = expr.clone();
    }
    Ok(cast)
}

/// The expression of a query that is nothing else.
fn alone(query: &Query) -> Option<Expr> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let Query { with: None, order_by: None, limit_clause: None, fetch: None, .. } = query else { return None };
    let Select { distinct: None, top: None, into: None, selection: None, having: None, .. } = select.as_ref() else {
        return None;
    };
    let plain = matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    if !plain || !select.from.is_empty() || !query.locks.is_empty() {
        return None;
    }
    match select.projection.as_slice() {
        [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] => Some(expr.clone()),
        _ => None,
    }
}

/// Gives the tables of a body names that no table of a query can have which calls the function: what the arguments name would be
/// taken for them.
fn set_apart(query: &mut Query, function: &Function) {
    let mut tables = Tables { prefix: format!("\u{1}{} ", function.name), names: HashSet::new() };
    let _ = VisitMut::visit(query, &mut tables);
    let _ = VisitMut::visit(query, &mut Qualifiers(&tables));
}

struct Tables {
    prefix: String,
    names: HashSet<String>,
}

impl Tables {
    fn apart(&mut self, name: &str) -> Ident {
        self.names.insert(name.to_owned());
        identifier(&format!("{}{name}", self.prefix))
    }
}

impl VisitorMut for Tables {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let (name, alias) = match factor {
            TableFactor::Table { name, args: None, alias, .. } => (Some(&*name), alias),
            TableFactor::Derived { alias, .. } => (None, alias),
            _ => return ControlFlow::Continue(()),
        };
        match alias {
            Some(alias) => alias.name = self.apart(&parser::names::folded(&alias.name)),
            None => {
                let known = name.and_then(|name| name.0.last()).and_then(|part| part.as_ident());
                if let Some(known) = known.map(parser::names::folded) {
                    let name = self.apart(&known);
                    *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
                }
            }
        }
        ControlFlow::Continue(())
    }
}

struct Qualifiers<'a>(&'a Tables);

impl Qualifiers<'_> {
    fn apart(&self, parts: &mut Vec<Ident>, columns: usize) {
        let Some(table) = parts.len().checked_sub(columns + 1) else { return };
        let name = parser::names::folded(&parts[table]);
        if self.0.names.contains(&name) {
            let name = identifier(&format!("{}{name}", self.0.prefix));
            parts.splice(..=table, [name]);
        }
    }
}

impl VisitorMut for Qualifiers<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr {
            self.apart(parts, 1);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item {
                let mut parts: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
                self.apart(&mut parts, 0);
                *name = ObjectName::from(parts);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Writes `$1` as the parameter it is.
fn number(query: &mut Query, function: &Function) -> Result<()> {
    struct Numbers<'a>(&'a Function);
    impl VisitorMut for Numbers<'_> {
        type Break = Error;
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
            if let Expr::Value(value) = expr
                && let Value::Placeholder(name) = &value.value
            {
                let place = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok()).unwrap_or(0);
                if place == 0 || place > self.0.arguments.len() {
                    let message = format!("there is no parameter {name}");
                    return ControlFlow::Break(Error::new(UNDEFINED_PARAMETER, message));
                }
                let name = parameter_name(self.0, place - 1);
                *expr = Expr::CompoundIdentifier(vec![identifier(&self.0.name), identifier(&name)]);
            }
            ControlFlow::Continue(())
        }
    }
    match VisitMut::visit(query, &mut Numbers(function)) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Puts arguments where a body names its parameters.
struct Arguments<'a> {
    function: &'a str,
    written: &'a [(String, Expr)],
    /// Names that mean columns.
    columns: &'a HashSet<String>,
}

/// The names of columns that the tables of a body have, sub-queries included.
struct Columns<'a> {
    context: &'a StatementContext,
    names: HashSet<String>,
}

impl Visitor for Columns<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let (TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }) = factor
        else {
            return ControlFlow::Continue(());
        };
        let renamed = alias.iter().flat_map(|alias| &alias.columns);
        self.names.extend(renamed.map(|column| parser::names::folded(&column.name)));
        if let TableFactor::Table { name, args: None, .. } = factor {
            let parts: Vec<String> =
                name.0.iter().filter_map(|part| part.as_ident()).map(parser::names::folded).collect();
            let relation = match parts.as_slice() {
                [name] => self.context.relation(None, name),
                [schema, name] => self.context.relation(Some(schema), name),
                _ => None,
            };
            self.names
                .extend(relation.iter().flat_map(|relation| relation.columns()).map(|column| column.name.clone()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let renamed = query.with.iter().flat_map(|with| &with.cte_tables).flat_map(|table| &table.alias.columns);
        self.names.extend(renamed.map(|column| parser::names::folded(&column.name)));
        ControlFlow::Continue(())
    }
}

impl Arguments<'_> {
    fn find(&self, name: &Ident) -> Option<&Expr> {
        let name = parser::names::folded(name);
        self.written.iter().find(|(known, _)| *known == name).map(|(_, expr)| expr)
    }
}

impl VisitorMut for Arguments<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let found = match &*expr {
            Expr::Identifier(name) if self.columns.contains(&parser::names::folded(name)) => None,
            Expr::Identifier(name) => self.find(name),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, name] if parser::names::folded(table) == self.function => self.find(name),
                _ => None,
            },
            _ => None,
        };
        if let Some(found) = found {
            *expr = found.clone();
        }
        ControlFlow::Continue(())
    }
}

/// A table of the statement's own, by name.
pub(crate) fn statement_table(name: &str) -> ObjectName {
    ObjectName::from(vec![identifier(STATEMENT_SCHEMA), identifier(name)])
}

/// The arguments of a call that are expressions by place.
pub(crate) fn by_place(args: &[ast::FunctionArg]) -> Option<Vec<Expr>> {
    args.iter()
        .map(|arg| match arg {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect()
}
