//! The SET list of UPDATE, ON CONFLICT and MERGE: which columns get which expressions.

use crate::error::{Error, Result};
use crate::parser;
use crate::session::Run;
use crate::sqlstate::{SYNTAX_ERROR, UNDEFINED_COLUMN};
use crate::statements::target::folded;
use datafusion::sql::sqlparser::ast::{
    Assignment, AssignmentTarget, Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    ObjectName, Query, SelectItem, SetExpr, Value,
};
use lightning_catalog::Table;

/// A column and the expression it is set to.
#[derive(Clone, Debug)]
pub(super) struct Assigned {
    pub(super) column: usize,
    pub(super) value: Expr,
}

/// Reads a SET list. DEFAULT has become the default's expression.
pub(super) fn read(run: &Run, table: &Table, list: &[Assignment]) -> Result<Vec<Assigned>> {
    let mut all: Vec<Assigned> = Vec::with_capacity(list.len());
    for assignment in list {
        match &assignment.target {
            AssignmentTarget::ColumnName(name) => {
                let column = column(run, table, name)?;
                add(&mut all, table, column, assignment.value.clone())?;
            }
            AssignmentTarget::Tuple(names) => {
                let values = row_values(&assignment.value, names.len())?;
                if values.len() != names.len() {
                    let message = "number of columns does not match number of values";
                    return Err(Error::new(SYNTAX_ERROR, message));
                }
                for (name, value) in names.iter().zip(values) {
                    let column = column(run, table, name)?;
                    add(&mut all, table, column, value)?;
                }
            }
        }
    }
    Ok(all)
}

/// The columns that a SET list names, of those there are.
pub(super) fn columns(table: &Table, list: &[Assignment]) -> Vec<usize> {
    let names = list.iter().flat_map(|assignment| match &assignment.target {
        AssignmentTarget::ColumnName(name) => std::slice::from_ref(name),
        AssignmentTarget::Tuple(names) => names.as_slice(),
    });
    let first = names.filter_map(|name| name.0.first()?.as_ident());
    first.filter_map(|ident| table.column_index(&folded(ident))).collect()
}

fn column(run: &Run, table: &Table, name: &ObjectName) -> Result<usize> {
    let parts: Vec<_> = name.0.iter().filter_map(|p| p.as_ident()).collect();
    // What stands before a dot is a column, too: its fields cannot be set.
    let Some(first) = parts.first() else { return Err(Error::new(SYNTAX_ERROR, "a column was expected")) };
    let written = folded(first);
    match table.column_index(&written) {
        Some(column) if parts.len() == 1 => Ok(column),
        Some(_) => Err(Error::unsupported(format!("assignment to a field of column \"{written}\""))),
        None => {
            let message = format!("column \"{written}\" of relation \"{}\" does not exist", table.name);
            let error = Error::new(UNDEFINED_COLUMN, message).with_position(run.parsed.position(first.span.start));
            Err(match parts.len() {
                1 => error,
                _ => error.with_hint("SET target columns cannot be qualified with the relation name."),
            })
        }
    }
}

fn add(all: &mut Vec<Assigned>, table: &Table, column: usize, value: Expr) -> Result<()> {
    let definition = &table.columns[column];
    if all.iter().any(|a| a.column == column) {
        let message = format!("multiple assignments to same column \"{}\"", definition.name);
        return Err(Error::new(SYNTAX_ERROR, message));
    }
    let value = if is_default(&value) { default(definition)? } else { value };
    all.push(Assigned { column, value });
    Ok(())
}

/// Whether an expression is the word DEFAULT.
pub(super) fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(i) if i.quote_style.is_none() && i.value.eq_ignore_ascii_case("default"))
}

/// The expression of a column's default.
pub(super) fn default(column: &lightning_catalog::Column) -> Result<Expr> {
    match &column.default {
        Some(text) => parser::parse_expression(text),
        None => Ok(Expr::value(Value::Null)),
    }
}

/// The expressions of `(1, 2)`, `ROW (1, 2)` or a sub-query.
fn row_values(value: &Expr, columns: usize) -> Result<Vec<Expr>> {
    match value {
        Expr::Tuple(values) => Ok(values.clone()),
        Expr::Nested(inner) if columns == 1 => Ok(vec![inner.as_ref().clone()]),
        Expr::Function(function) if is_row(function) => match &function.args {
            FunctionArguments::List(list) => list
                .args
                .iter()
                .map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
                    _ => Err(not_a_row()),
                })
                .collect(),
            _ => Err(not_a_row()),
        },
        Expr::Subquery(query) => each_column(query),
        _ => Err(not_a_row()),
    }
}

fn is_row(function: &Function) -> bool {
    function.name.to_string().eq_ignore_ascii_case("row")
}

fn not_a_row() -> Error {
    Error::new(SYNTAX_ERROR, "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression")
}

/// A sub-query of several columns as one sub-query each.
fn each_column(query: &Query) -> Result<Vec<Expr>> {
    let unsupported = || Error::unsupported("this form of sub-SELECT in a multiple-column SET");
    let SetExpr::Select(select) = query.body.as_ref() else { return Err(unsupported()) };
    if matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_))) {
        return Err(unsupported());
    }
    let mut columns = Vec::with_capacity(select.projection.len());
    for item in &select.projection {
        if !matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }) {
            return Err(unsupported());
        }
        let mut one = query.clone();
        if let SetExpr::Select(select) = one.body.as_mut() {
            select.projection = vec![item.clone()];
        }
        columns.push(Expr::Subquery(Box::new(one)));
    }
    Ok(columns)
}
