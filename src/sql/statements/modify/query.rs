//! The query that finds the rows a statement changes.

use super::Scope;
use super::assignments::Assigned;
use super::rowset::RowSet;
use super::table::Target;
use crate::clauses;
use crate::error::{Error, Result};
use crate::parser::calls::identifier;
use crate::parser::names::{display, marked, star};
use crate::parser::parse_query;
use crate::plan::named_query_plan;
use crate::prepared::{column_parameter, infer};
use crate::provider::{arrow_schema, state_with};
use crate::semantics;
use crate::sqlstate::DUPLICATE_ALIAS;
use crate::statements::target::folded;
use crate::types::PgType;
use arrow::datatypes::{Field, FieldRef};
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, SelectItem, SetExpr, TableFactor, TableWithJoins, Value, With,
};
use std::sync::Arc;

/// A table, sub-query or function beside the target, in FROM or USING.
#[derive(Clone, Debug)]
pub(super) struct Factor {
    pub(super) alias: Ident,
    pub(super) columns: Vec<String>,
}

/// What is read to know what to change.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) target: Target,
    pub(super) state: SessionState,
    pub(super) query: Query,
    /// Output columns that go into columns of the table: where they are, and which.
    pub(super) assigned: Vec<(usize, usize)>,
    /// What RETURNING can refer to besides the target, and where its first column is in the output.
    pub(super) factors: Vec<Factor>,
    pub(super) factors_at: usize,
    /// RETURNING's list.
    pub(super) returning: Option<Vec<SelectItem>>,
    /// Whether `*` means the target's columns last (MERGE).
    pub(super) target_last: bool,
}

impl Source {
    /// Settles parameter types; the fields of the output.
    pub(super) async fn infer(&self, types: &mut [Option<PgType>]) -> Result<Vec<FieldRef>> {
        let plan = named_query_plan(&self.state, &self.query).await?;
        for (output, column) in &self.assigned {
            if let Some(parameter) = bare_parameter(&self.query, *output)
                && let Some(slot @ None) = types.get_mut(parameter)
            {
                *slot = Some(column_parameter(&self.target.table.columns[*column]));
            }
        }
        let plan = infer(plan, types)?;
        let analyzed = self.state.analyzer().execute_and_check(plan, self.state.config_options(), |_, _| {})?;
        Ok(analyzed.schema().fields().iter().cloned().collect())
    }

    /// The rows RETURNING reads, without any; `fields` are those of the output.
    pub(super) fn empty_sets(&self, fields: &[FieldRef]) -> Result<Vec<RowSet>> {
        let mut at = self.factors_at;
        let mut sets = Vec::with_capacity(self.factors.len() + 1);
        for (number, factor) in self.factors.iter().enumerate() {
            let fields = named(&fields[at..at + factor.columns.len()], &factor.columns);
            at += factor.columns.len();
            sets.push(RowSet::new(&format!("factor{number}"), &factor.alias, fields, Vec::new())?);
        }
        let target = arrow_schema(&self.target.table.columns);
        let target = RowSet::new("changed", &self.target.alias, target.fields().to_vec(), Vec::new())?;
        sets.insert(if self.target_last { sets.len() } else { 0 }, target);
        Ok(sets)
    }
}

/// Fields under other names.
pub(super) fn named(fields: &[FieldRef], names: &[String]) -> Vec<FieldRef> {
    let rename =
        |(field, name): (&FieldRef, &String)| Arc::new(Field::clone(field).with_name(name).with_nullable(true));
    fields.iter().zip(names).map(rename).collect()
}

/// The parameter an item of the select list is, if it is nothing else.
fn bare_parameter(query: &Query, item: usize) -> Option<usize> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let SelectItem::ExprWithAlias { expr: Expr::Value(value), .. } = select.projection.get(item)? else { return None };
    match &value.value {
        Value::Placeholder(name) => name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1),
        _ => None,
    }
}

/// A state in which the target has places.
pub(super) fn state(scope: &Scope<'_>, target: &Target) -> SessionState {
    let session = &scope.run.session;
    let mut tables = target.tables(scope);
    tables.extend(scope.tables.clone());
    let mut state = state_with(&session.base, &session.info, &scope.context, tables);
    semantics::begin_statement(&mut state, &session.info);
    state
}

/// `WITH … SELECT items FROM from WHERE selection`.
pub(super) fn select(
    with: Option<&With>,
    items: Vec<SelectItem>,
    from: Vec<TableWithJoins>,
    selection: Option<Expr>,
) -> Result<Query> {
    let mut query = parse_query("SELECT NULL")?;
    query.with = with.cloned();
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = items;
        select.from = from;
        select.selection = selection;
    }
    Ok(query)
}

/// An item under a name nobody can write.
pub(super) fn item(expr: Expr, index: usize) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: identifier(&marked("", index)) }
}

/// A FROM item alone.
pub(crate) fn alone(relation: TableFactor) -> TableWithJoins {
    TableWithJoins { relation, joins: Vec::new() }
}

/// Refuses aggregates and window functions in a clause.
pub(super) fn refuse_aggregates<'a>(
    state: &SessionState,
    exprs: impl IntoIterator<Item = &'a Expr>,
    clause: &str,
) -> Result<()> {
    exprs.into_iter().try_for_each(|expr| clauses::refuse(state, expr, clause))
}

/// Expressions of a SET list.
pub(super) fn values(assigned: &[Assigned]) -> impl Iterator<Item = &Expr> {
    assigned.iter().map(|a| &a.value)
}

/// What stands in FROM or USING, with its columns when they are wanted.
pub(super) async fn factors(
    scope: &Scope<'_>,
    state: &SessionState,
    target: &Target,
    from: &[TableWithJoins],
    columns_wanted: bool,
) -> Result<Vec<Factor>> {
    let mut all = Vec::new();
    let mut flat = Vec::new();
    from.iter().for_each(|item| flatten(item, &mut flat));
    for factor in flat {
        let Some(alias) = alias(factor) else {
            match columns_wanted {
                true => return Err(Error::unsupported("RETURNING with a FROM item without a name")),
                false => continue,
            }
        };
        if alias.value == target.alias.value {
            let message = format!("table name \"{}\" specified more than once", alias.value);
            return Err(Error::new(DUPLICATE_ALIAS, message));
        }
        let columns = match columns_wanted {
            true => {
                let query = select(scope.with.as_ref(), star(), vec![alone(factor.clone())], None)?;
                let plan = named_query_plan(state, &query).await?;
                plan.schema().fields().iter().map(|f| display(f.name()).to_owned()).collect()
            }
            false => Vec::new(),
        };
        all.push(Factor { alias, columns });
    }
    Ok(if columns_wanted { all } else { Vec::new() })
}

fn flatten<'a>(item: &'a TableWithJoins, all: &mut Vec<&'a TableFactor>) {
    for factor in std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation)) {
        match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => flatten(table_with_joins, all),
            other => all.push(other),
        }
    }
}

fn alias(factor: &TableFactor) -> Option<Ident> {
    let name = match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. }
        | TableFactor::NestedJoin { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. } => &alias.name,
        TableFactor::Table { alias: None, name, .. } => name.0.last()?.as_ident()?,
        _ => return None,
    };
    Some(identifier(&folded(name)))
}
