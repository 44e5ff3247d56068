//! Which column of a table in FROM is its time.
//!
//! Of a table, the one it was created WITH, else the only time stamp of the primary key, else the only time stamp there is. A sub-query or a WITH query has
//! the time of the table it reads, under the name it gives it.

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins,
};
use lightning_catalog::{Column, Relation, Table};
use lightning_sql::extension::{Scope, folded, identifier};
use lightning_sql::types::{self, PgType};
use lightning_sql::{Error, Result, SqlState};
use std::sync::Arc;

/// invalid_column_reference
const INVALID_COLUMN_REFERENCE: SqlState = SqlState("42P10");
const UNDEFINED_TABLE: SqlState = SqlState("42P01");

/// The time of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimeColumn {
    /// What columns of the table are qualified with.
    pub(crate) table: Option<Ident>,
    /// Its name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) pg: PgType,
}

impl TimeColumn {
    /// The column as an expression.
    pub(crate) fn expr(&self) -> Expr {
        match &self.table {
            Some(table) => Expr::CompoundIdentifier(vec![table.clone(), identifier(&self.name)]),
            None => Expr::Identifier(identifier(&self.name)),
        }
    }

    /// Whether an expression is this column.
    pub(crate) fn is(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Identifier(name) => folded(name) == self.name,
            Expr::CompoundIdentifier(parts) => match (parts.as_slice(), &self.table) {
                ([table, name], Some(own)) => folded(name) == self.name && folded(table) == folded(own),
                _ => false,
            },
            Expr::Nested(inner) => self.is(inner),
            _ => false,
        }
    }
}

/// The WITH queries that can be seen, innermost last.
pub(crate) type Withs = Vec<(String, Query)>;

/// The time of a table in FROM; 42P10 when it has none that is clear.
pub(crate) fn of(factor: &TableFactor, scope: &Scope<'_>, withs: &Withs) -> Result<TimeColumn> {
    if let Some(name) = missing(factor, scope, withs) {
        return Err(Error::new(UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")));
    }
    let found = find(factor, scope, withs, 0).ok_or_else(|| {
        let shown = match factor {
            TableFactor::Table { name, .. } => format!("table {name}"),
            _ => "the sub-query".to_owned(),
        };
        Error::new(INVALID_COLUMN_REFERENCE, format!("{shown} has no column that is clearly its time"))
            .with_hint("A table has one if it was created WITH (time_column = …), has a single time stamp, or a single one in its primary key.")
    })?;
    Ok(TimeColumn { table: alias(factor), ..found })
}

/// The name of a table that is not there. System tables are no relations here.
fn missing<'a>(factor: &'a TableFactor, scope: &Scope<'_>, withs: &Withs) -> Option<&'a ObjectName> {
    let TableFactor::Table { name, args: None, .. } = factor else { return None };
    let is_known = with_query(name, withs).is_some() || scope.relation(name).is_some();
    let is_system = name.0.iter().filter_map(|part| part.as_ident()).map(folded).any(|part| {
        part.starts_with("pg_") || (name.0.len() > 1 && matches!(part.as_str(), "information_schema" | "lightning"))
    });
    (!is_known && !is_system).then_some(name)
}

/// What columns of a table in FROM are qualified with.
pub(crate) fn alias(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        TableFactor::NestedJoin { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { alias: None, name, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}

/// Queries in queries that are looked into.
const DEPTH_MAX: usize = 16;

fn find(factor: &TableFactor, scope: &Scope<'_>, withs: &Withs, depth: usize) -> Option<TimeColumn> {
    if depth > DEPTH_MAX {
        return None;
    }
    match factor {
        TableFactor::Table { name, args: None, .. } => {
            if let Some((place, (_, query))) = with_query(name, withs) {
                return of_query(query, scope, &withs[..place].to_vec(), depth + 1);
            }
            of_relation(scope.relation(name)?)
        }
        TableFactor::Derived { subquery, .. } => of_query(subquery, scope, withs, depth + 1),
        TableFactor::NestedJoin { table_with_joins, .. } => find(&table_with_joins.relation, scope, withs, depth + 1),
        _ => None,
    }
}

fn with_query<'a>(name: &ObjectName, withs: &'a Withs) -> Option<(usize, &'a (String, Query))> {
    let [part] = name.0.as_slice() else { return None };
    let name = folded(part.as_ident()?);
    withs.iter().enumerate().rev().find(|(_, (known, _))| *known == name)
}

fn of_relation(relation: &Relation) -> Option<TimeColumn> {
    let is_time = |column: &Column| time_stamp(column).is_some();
    let only = |columns: &[&Column]| match columns {
        [column] => Some((column.name.clone(), time_stamp(column)?)),
        _ => None,
    };
    let all: Vec<&Column> = relation.columns().iter().filter(|column| !column.dropped && is_time(column)).collect();
    let of_key = match relation {
        Relation::Table(table) if table.time.is_some() => {
            let column = table.time.as_ref().and_then(|time| table.columns.get(time.column));
            column.and_then(|column| Some((column.name.clone(), PgType::by_oid(column.type_oid.0)?)))
        }
        Relation::Table(table) => {
            let key = table.primary_key.iter().flat_map(|key| &key.columns);
            let columns: Vec<&Column> = key.map(|index| &table.columns[*index]).filter(|c| is_time(c)).collect();
            only(&columns)
        }
        Relation::View(_) | Relation::Graph(_) => None,
    };
    let (name, pg) = of_key.or_else(|| only(&all))?;
    Some(TimeColumn { table: None, name, pg })
}

/// The type of a column of time stamps.
fn time_stamp(column: &Column) -> Option<PgType> {
    let stamps = [types::TIMESTAMP, types::TIMESTAMPTZ, types::TIMESTAMP_NS, types::TIMESTAMPTZ_NS];
    stamps.into_iter().find(|pg| pg.oid == column.type_oid.0)
}

/// The time of a table that points are written to, if it is a time stamp: its name and type. A column named `time` is meant when the table
/// was told nothing.
pub(crate) fn written(table: &Arc<Table>) -> Option<(String, PgType)> {
    let known = |column: &Column| Some((column.name.clone(), time_stamp(column)?));
    if let Some(time) = &table.time {
        return table.columns.get(time.column).and_then(known);
    }
    let named = table.columns.iter().find(|column| !column.dropped && column.name == "time").and_then(known);
    let only = || of_relation(&Relation::Table(Arc::clone(table))).map(|time| (time.name, time.pg));
    named.or_else(only)
}

fn of_query(query: &Query, scope: &Scope<'_>, withs: &Withs, depth: usize) -> Option<TimeColumn> {
    let mut withs = withs.clone();
    open(query, &mut withs);
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let Select { projection, from, .. } = select.as_ref();
    let TableWithJoins { relation, .. } = from.first()?;
    let mut inner = find(relation, scope, &withs, depth)?;
    inner.table = alias(relation);
    let pg = inner.pg;
    let found = |name: String| Some(TimeColumn { table: None, name, pg });
    for item in projection {
        match item {
            SelectItem::ExprWithAlias { expr, alias } if inner.is(expr) => return found(folded(alias)),
            SelectItem::UnnamedExpr(expr) if inner.is(expr) => return found(inner.name),
            SelectItem::Wildcard(_) => return found(inner.name),
            SelectItem::QualifiedWildcard(..) => return found(inner.name),
            _ => {}
        }
    }
    None
}

/// Adds the WITH queries of a query.
pub(crate) fn open(query: &Query, withs: &mut Withs) {
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        withs.push((folded(&cte.alias.name), cte.query.as_ref().clone()));
    }
}
