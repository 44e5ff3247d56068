//! Calls in FROM: which graph is meant, what the arguments are called, and what has to be read for them.
//!
//! ```text
//! graph_bfs('social', 1, edge_filter => 'since > 2020')
//! lightning_graph_function(7, 'graph_bfs', start => 1, edges_0 => lightning_graph_rows(SELECT place FROM knows WHERE since > 2020))
//! ```
//!
//! 7 is the [`Graph::id`]; a condition on edges has become a query for the places of edges, one for each table of edges that is meant.

use super::signature::{Argument, Function};
use crate::schema::{Element, Graph, Known};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function as SqlFunction, FunctionArg, FunctionArgExpr, FunctionArgOperator,
    FunctionArguments, Ident, ObjectName, Query, TableAlias, TableFactor, TableFunctionArgs, UnaryOperator, Value,
};
use lightning_catalog::Column;
use lightning_sql::extension::{
    PLACE, Scope, argument, call, folded, identifier, parse_expression, parse_query, with_places,
};
use lightning_sql::sqlstate::{SYNTAX_ERROR, UNDEFINED_FUNCTION};
use lightning_sql::types;
use lightning_sql::{Error, Result, SqlState};
use std::sync::Arc;

/// The mark.
pub(crate) const FUNCTION: &str = "lightning_graph_function";
/// A query whose rows are an argument: in this form it is no scalar sub-query to anybody.
pub(crate) const ROWS: &str = "lightning_graph_rows";

const UNDEFINED_OBJECT: SqlState = SqlState("42704");

/// Turns a call into the mark.
pub(crate) fn rewrite(factor: &mut TableFactor, known: &Known, scope: &Scope<'_>) -> Result<()> {
    let TableFactor::Table { name, args: Some(TableFunctionArgs { args, .. }), alias, .. } = factor else {
        return Ok(());
    };
    let [part] = name.0.as_slice() else { return Ok(()) };
    let called = part.as_ident().map(folded).unwrap_or_default();
    let Some(function) = Function::called(&called) else { return Ok(()) };
    let undefined = |what: String| Error::new(UNDEFINED_FUNCTION, format!("function {called} {what}"));
    let plain = |arg| named(arg).ok_or_else(|| undefined("takes plain arguments".to_owned()));
    let mut given = args.iter().map(plain).collect::<Result<Vec<_>>>()?;
    let is_graph = |(name, _): &(Option<String>, Expr)| name.as_deref() == Some("graph");
    let place = given.iter().position(is_graph).or_else(|| given.first().filter(|(name, _)| name.is_none()).map(|_| 0));
    let graph = place.and_then(|place| text_of(&given.remove(place).1));
    let graph = graph.ok_or_else(|| undefined("takes the name of a property graph, as text, first".to_owned()))?;
    let graph = known.find(&graph_name(&graph)?, scope)?;
    let (names, needed) = function.arguments();
    let mut arguments: Vec<(Argument, Expr)> = Vec::new();
    for (place, (name, expr)) in given.into_iter().enumerate() {
        let found = match &name {
            Some(name) => names.iter().find(|known| known.name() == name),
            None => names.get(place),
        };
        let Some(found) = found else {
            let shown = name.map_or_else(|| "so many arguments".to_owned(), |name| format!("no argument \"{name}\""));
            let names: Vec<&str> = names.iter().map(|argument| argument.name()).collect();
            let hint = format!("After the graph come {}.", names.join(", "));
            return Err(undefined(format!("takes {shown}")).with_hint(hint));
        };
        if arguments.iter().any(|(known, _)| known == found) {
            return Err(Error::new(SYNTAX_ERROR, format!("argument \"{}\" is given twice", found.name())));
        }
        arguments.push((*found, expr));
    }
    if let Some(missing) = names[..needed].iter().find(|name| !arguments.iter().any(|(known, _)| known == *name)) {
        return Err(undefined(format!("needs the argument \"{}\"", missing.name())));
    }
    let marked = marked(function, &graph, arguments)?;
    let default = TableAlias { explicit: true, name: identifier(&called), columns: Vec::new(), at: None };
    let alias = Some(alias.clone().unwrap_or(default));
    let mark = ObjectName::from(vec![Ident::new(FUNCTION)]);
    let (old_name, old_args, old_alias) = match factor {
        TableFactor::Table { name, args: Some(args), alias, .. } => (name, &mut args.args, alias),
        _ => unreachable!("it was matched"),
    };
    (*old_name, *old_args, *old_alias) = (mark, marked, alias);
    Ok(())
}

/// The name and the value of an argument, named by `=>` or `:=`.
fn named(arg: &FunctionArg) -> Option<(Option<String>, Expr)> {
    let (name, expr) = argument(arg)?;
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::Assignment, right } if name.is_none() => match left.as_ref() {
            Expr::Identifier(name) => Some((Some(folded(name)), right.as_ref().clone())),
            _ => None,
        },
        expr => Some((name, expr.clone())),
    }
}

/// The graph of a call.
pub(crate) fn graph_of(factor: &TableFactor) -> Option<ObjectName> {
    let TableFactor::Table { name, args: Some(TableFunctionArgs { args, .. }), .. } = factor else { return None };
    let [part] = name.0.as_slice() else { return None };
    Function::called(&folded(part.as_ident()?))?;
    let given: Vec<(Option<String>, Expr)> = args.iter().filter_map(named).collect();
    let graph = given.iter().find(|(name, _)| name.as_deref() == Some("graph")).or_else(|| given.first())?;
    let graph = text_of(&graph.1)?;
    graph_name(&graph).ok().map(ObjectName::from)
}

/// A name in a text, folded unless it is in quotes; a text that is no name in SQL is taken as it is.
fn name_in(text: &str) -> String {
    match parse_expression(text) {
        Ok(Expr::Identifier(name)) => folded(&name),
        _ => text.to_owned(),
    }
}

/// A name in a text: `social`, `"Social"`, `public.social`.
fn graph_name(text: &str) -> Result<Vec<Ident>> {
    let unreadable = || Error::new(SYNTAX_ERROR, format!("\"{text}\" is not the name of a property graph"));
    let names = match parse_expression(text).map_err(|_| unreadable())? {
        Expr::Identifier(name) => vec![name],
        Expr::CompoundIdentifier(names) => names,
        _ => return Err(unreadable()),
    };
    Ok(names.iter().map(|name| identifier(&folded(name))).collect())
}

/// A query as [`ROWS`].
fn rows(query: &str) -> Result<Expr> {
    Ok(rows_call(Box::new(parse_query(query)?)))
}

fn rows_call(query: Box<Query>) -> Expr {
    match call(ROWS, vec![]) {
        Expr::Function(function) => {
            Expr::Function(SqlFunction { args: FunctionArguments::Subquery(query), ..function })
        }
        other => other,
    }
}

/// Makes [`ROWS`] of what is written as `ARRAY(SELECT …)` among the arguments of a mark: there is no other way to write it.
pub(crate) fn arrays_as_rows(factor: &mut TableFactor) {
    let TableFactor::Table { name, args: Some(TableFunctionArgs { args, .. }), .. } = factor else { return };
    if name.to_string() != FUNCTION {
        return;
    }
    for arg in args {
        let FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. } = arg else { continue };
        if let Expr::Function(function) = expr
            && let FunctionArguments::Subquery(query) = &function.args
        {
            *expr = rows_call(query.clone());
        }
    }
}

/// The query of [`ROWS`].
pub(crate) fn rows_of(expr: &Expr) -> Option<&Query> {
    match expr {
        Expr::Function(function) if function.name.to_string() == ROWS => match &function.args {
            FunctionArguments::Subquery(query) => Some(query),
            _ => None,
        },
        _ => None,
    }
}

/// The text of a literal.
pub(crate) fn text_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// The arguments of the mark.
fn marked(function: Function, graph: &Arc<Graph>, arguments: Vec<(Argument, Expr)>) -> Result<Vec<FunctionArg>> {
    let plain = |expr: Expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    let number = |number: u64| Expr::value(Value::Number(number.to_string(), false));
    let text = |text: &str| Expr::value(Value::SingleQuotedString(text.to_owned()));
    let mut marked = vec![plain(number(graph.id)), plain(text(function.name()))];
    let named = |name: String, expr: Expr| FunctionArg::Named {
        name: identifier(&name),
        arg: FunctionArgExpr::Expr(expr),
        operator: FunctionArgOperator::RightArrow,
    };
    let literal = |wanted: Argument| -> Result<Option<String>> {
        let Some((_, expr)) = arguments.iter().find(|(argument, _)| *argument == wanted) else { return Ok(None) };
        let not_text = || {
            let message = format!("argument \"{}\" of function {} must be a text", wanted.name(), function.name());
            Error::new(SYNTAX_ERROR, message)
        };
        Ok(Some(text_of(expr).ok_or_else(not_text)?))
    };
    let label = literal(Argument::Label)?.map(|label| name_in(&label));
    let tables: Vec<usize> =
        (0..graph.edges.len()).filter(|table| has_label(graph, *table, label.as_deref())).collect();
    if let Some(label) = label.filter(|_| tables.is_empty()) {
        let message = format!("label \"{label}\" of property graph \"{}\" does not exist for edges", graph.name);
        return Err(Error::new(UNDEFINED_OBJECT, message));
    }
    let filter = literal(Argument::EdgeFilter)?.map(|filter| parse_expression(&filter)).transpose()?;
    if let Some(filter) = &filter {
        for table in &tables {
            marked.push(named(format!("edges_{table}"), places_where(graph, *table, filter)?));
        }
        if tables.iter().all(|table| is_of_row(filter, &graph.edges[*table].element)) {
            // Edges of other tables are not in what is kept.
            let list = tables.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
            marked.push(named("condition".to_owned(), text(&format!("{list}: {filter}"))));
        }
    }
    if let Some(weight) = literal(Argument::Weight)?.map(|weight| name_in(&weight)) {
        for table in &tables {
            marked.push(named(format!("weights_{table}"), weights(graph, *table, &weight, filter.as_ref())?));
        }
    }
    let mut list = tables.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    list.insert(0, ' ');
    marked.push(named("tables".to_owned(), text(list.trim_start())));
    for (argument, expr) in arguments {
        if !matches!(argument, Argument::EdgeFilter | Argument::Weight | Argument::Label) {
            let expr = match expr {
                Expr::Subquery(query) => rows_call(query),
                expr => expr,
            };
            marked.push(named(argument.name().to_owned(), expr));
        }
    }
    Ok(marked)
}

fn has_label(graph: &Graph, table: usize, label: Option<&str>) -> bool {
    label.is_none_or(|label| graph.edges[table].element.labels.iter().any(|known| known.name == label))
}

/// `(SELECT place FROM edges WHERE condition)` as [`ROWS`]. The condition is of the table's columns.
fn places_where(graph: &Graph, table: usize, condition: &Expr) -> Result<Expr> {
    let element = &graph.edges[table].element;
    let alias = identifier(&element.name).to_string();
    let query = places_from(element, &alias, "", Some(condition))?;
    rows(&query)
}

/// Whether a condition depends on nothing but columns of a row: on no setting, time or other table. What is not known to is not.
fn is_of_row(condition: &Expr, element: &Element) -> bool {
    let is_of_row = |expr: &Expr| is_of_row(expr, element);
    match condition {
        Expr::Identifier(name) => {
            let column = element.table.column_index(&folded(name)).map(|column| &element.table.columns[column]);
            column.is_some_and(|column| {
                is_number(column) || [types::BOOL, types::TEXT].iter().any(|pg| pg.oid == column.type_oid.0)
            })
        }
        Expr::Value(value) => {
            matches!(value.value, Value::Number(..) | Value::SingleQuotedString(_) | Value::Boolean(_) | Value::Null)
        }
        Expr::BinaryOp { left, op, right } => {
            use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, Minus, Multiply, NotEq, Or, Plus};
            matches!(op, And | Eq | Gt | GtEq | Lt | LtEq | Minus | Multiply | NotEq | Or | Plus)
                && is_of_row(left)
                && is_of_row(right)
        }
        Expr::UnaryOp { op: UnaryOperator::Not | UnaryOperator::Minus, expr }
        | Expr::Nested(expr)
        | Expr::IsNull(expr)
        | Expr::IsNotNull(expr) => is_of_row(expr),
        Expr::Between { expr, low, high, .. } => [expr, low, high].into_iter().all(|expr| is_of_row(expr)),
        Expr::InList { expr, list, .. } => is_of_row(expr) && list.iter().all(is_of_row),
        _ => false,
    }
}

/// A query for the places of rows of a table, called `alias`, that satisfy a condition; other tables may be joined.
pub(crate) fn places_from(
    element: &Element,
    alias: &str,
    joins: &str,
    condition: Option<&dyn std::fmt::Display>,
) -> Result<String> {
    let (place, from) = (identifier(PLACE), with_places(element.table.oid));
    let condition = condition.map_or_else(String::new, |condition| format!(" WHERE {condition}"));
    Ok(format!("SELECT {alias}.{place} FROM {from} AS {alias}{joins}{condition}"))
}

/// The number of a column of numbers; or, of whatever else is a property or a column, `(SELECT place, weight FROM edges WHERE condition)` as [`ROWS`].
fn weights(graph: &Graph, table: usize, weight: &str, condition: Option<&Expr>) -> Result<Expr> {
    let element = &graph.edges[table].element;
    let property = element.property(weight, |_| true).map(|property| parse_expression(&property.expr)).transpose()?;
    let column = match &property {
        Some(Expr::Identifier(name)) => element.table.column_index(&folded(name)),
        Some(_) => None,
        None => element.table.column_index(weight),
    };
    if let Some(column) = column.filter(|column| is_number(&element.table.columns[*column])) {
        return Ok(Expr::value(Value::Number(column.to_string(), false)));
    }
    let column = column.map(|column| Expr::Identifier(identifier(&element.table.columns[column].name)));
    let Some(expr) = property.or(column) else {
        let message = format!("property \"{weight}\" for edge table \"{}\" does not exist", element.name);
        return Err(Error::new(SqlState("42703"), message));
    };
    let columns = format!("{}, CAST({expr} AS double precision)", identifier(PLACE));
    let (from, alias) = (with_places(element.table.oid), identifier(&element.name));
    let condition = condition.map_or_else(String::new, |condition| format!(" WHERE {condition}"));
    rows(&format!("SELECT {columns} FROM {from} AS {alias}{condition}"))
}

/// Whether a column is of numbers that Arrow makes double precision as a cast of SQL does.
fn is_number(column: &Column) -> bool {
    let numbers = [types::INT2, types::INT4, types::INT8, types::FLOAT4, types::FLOAT8];
    numbers.iter().any(|number| number.oid == column.type_oid.0)
}
