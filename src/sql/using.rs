//! `JOIN … USING` and `NATURAL JOIN`, with columns merged as PostgreSQL merges them.
//!
//! A column of USING appears once, first, and its value is the side's that has one: the left of an inner or left join, the
//! right of a right join, either of a full join. DataFusion always takes the left. So these joins are written out before
//! anything is planned:
//!
//! ```text
//! SELECT *, k FROM l FULL JOIN r USING (k)
//! SELECT COALESCE(l.k, r.k) AS k, l.v, r.w, COALESCE(l.k, r.k) AS k FROM l FULL JOIN r ON l.k = r.k
//! ```
//!
//! Which columns a table has is learned by planning `SELECT * FROM table`; queries are taken innermost first, so that what
//! is planned has no such joins left. A FROM clause whose columns cannot be learned that way stays as it is.

use crate::error::{Error, Result};
use crate::parser::calls::call;
use crate::parser::names::{display, folded, marked, name_columns, star};
use crate::parser::parse_query;
use crate::pg_catalog;
use crate::sqlstate::{AMBIGUOUS_COLUMN, UNDEFINED_COLUMN};
use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, OrderByKind, Query, Select, SelectItem,
    SetExpr, Statement, TableFactor, TableWithJoins, Value, VisitMut, VisitorMut, With,
};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Writes out the joins of a query and of all queries in it.
pub(crate) async fn rewrite(state: &SessionState, query: &mut Query) -> Result<()> {
    let mut skipped = 0;
    while let Some(found) = find(query, skipped) {
        let mut tables = Vec::with_capacity(found.from.len());
        for item in &found.from {
            let factors = std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation));
            let mut columns = Vec::new();
            for factor in factors {
                columns.push(table(state, &found.with, factor).await);
            }
            tables.push(columns.into_iter().collect::<Option<Vec<Table>>>());
        }
        let Some(tables) = tables.into_iter().collect::<Option<Vec<_>>>() else {
            skipped += 1;
            continue;
        };
        let mut change = Change { tables: Some(tables), nth: skipped, result: Ok(()) };
        let _ = query.visit(&mut change);
        change.result?;
    }
    Ok(())
}

/// A table of a FROM clause.
#[derive(Clone, Debug)]
struct Table {
    alias: Ident,
    columns: Vec<String>,
}

/// A FROM clause to look at, and the WITH clauses over it.
struct Found {
    from: Vec<TableWithJoins>,
    with: Option<With>,
}

/// The `nth` SELECT that has such joins, in the order in which queries end.
fn find(query: &mut Query, nth: usize) -> Option<Found> {
    let mut search = Search { nth, withs: Vec::new(), found: None };
    let _ = query.visit(&mut search);
    search.found
}

struct Search {
    nth: usize,
    withs: Vec<Option<With>>,
    found: Option<Found>,
}

impl VisitorMut for Search {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.withs.push(query.with.clone());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let mut selects = Vec::new();
        selects_of(&mut query.body, &mut selects);
        for select in selects.into_iter().filter(|select| has_merging_joins(select)) {
            if self.nth == 0 {
                self.found = Some(Found { from: select.from.clone(), with: combined(&self.withs) });
                return ControlFlow::Break(());
            }
            self.nth -= 1;
        }
        self.withs.pop();
        ControlFlow::Continue(())
    }
}

/// One WITH clause of all that are open; of equal names the innermost counts.
fn combined(withs: &[Option<With>]) -> Option<With> {
    let mut all: Option<With> = None;
    for with in withs.iter().flatten() {
        let Some(all) = all.as_mut() else {
            all = Some(with.clone());
            continue;
        };
        all.recursive |= with.recursive;
        all.cte_tables.retain(|known| with.cte_tables.iter().all(|new| new.alias.name != known.alias.name));
        all.cte_tables.extend(with.cte_tables.iter().cloned());
    }
    all
}

fn selects_of<'a>(body: &'a mut SetExpr, into: &mut Vec<&'a mut Select>) {
    match body {
        SetExpr::Select(select) => into.push(select),
        SetExpr::SetOperation { left, right, .. } => {
            selects_of(left, into);
            selects_of(right, into);
        }
        _ => {}
    }
}

fn has_merging_joins(select: &Select) -> bool {
    let merging = |operator| constraint(operator).is_some_and(|(_, c)| is_merging(c));
    select.from.iter().flat_map(|item| &item.joins).any(|join| merging(&join.join_operator))
}

fn is_merging(constraint: &JoinConstraint) -> bool {
    matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural)
}

/// Which side merged columns come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Either,
}

fn constraint(operator: &JoinOperator) -> Option<(Side, &JoinConstraint)> {
    Some(match operator {
        JoinOperator::Join(c) | JoinOperator::Inner(c) | JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => {
            (Side::Left, c)
        }
        JoinOperator::Right(c) | JoinOperator::RightOuter(c) => (Side::Right, c),
        JoinOperator::FullOuter(c) => (Side::Either, c),
        _ => return None,
    })
}

fn constraint_mut(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(c)
        | JoinOperator::Inner(c)
        | JoinOperator::Left(c)
        | JoinOperator::LeftOuter(c)
        | JoinOperator::Right(c)
        | JoinOperator::RightOuter(c)
        | JoinOperator::FullOuter(c) => Some(c),
        _ => None,
    }
}

/// The columns of a table in FROM; `None` when they cannot be learned.
async fn table(state: &SessionState, with: &Option<With>, factor: &TableFactor) -> Option<Table> {
    let alias = match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), lateral: false, .. } => alias.name.clone(),
        TableFactor::Table { alias: None, name, args: None, .. } => name.0.last()?.as_ident()?.clone(),
        _ => return None,
    };
    let mut query = parse_query("SELECT NULL").ok()?;
    query.with = with.clone();
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    select.projection = star();
    select.from = vec![TableWithJoins { relation: factor.clone(), joins: Vec::new() }];
    name_columns(&mut query);
    pg_catalog::rewrite(&mut query, &|name| state.aggregate_functions().contains_key(name)).ok()?;
    let statement = DfStatement::Statement(Box::new(Statement::Query(Box::new(query))));
    let plan = Box::pin(state.statement_to_plan(statement)).await.ok()?;
    let columns = plan.schema().fields().iter().map(|field| display(field.name()).to_owned()).collect();
    Some(Table { alias, columns })
}

struct Change {
    tables: Option<Vec<Vec<Table>>>,
    nth: usize,
    result: Result<()>,
}

impl VisitorMut for Change {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let Query { body, order_by, .. } = query;
        let alone = matches!(body.as_ref(), SetExpr::Select(_));
        let mut selects = Vec::new();
        selects_of(body, &mut selects);
        for select in selects.into_iter().filter(|select| has_merging_joins(select)) {
            if self.nth > 0 {
                self.nth -= 1;
                continue;
            }
            let Some(tables) = self.tables.take() else { return ControlFlow::Break(()) };
            let mut order = Vec::new();
            if alone && let Some(OrderByKind::Expressions(items)) = order_by.as_mut().map(|o| &mut o.kind) {
                order.extend(items.iter_mut().map(|item| &mut item.expr));
            }
            self.result = write_out(select, order, &tables);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// What a FROM item puts out, in order: names and expressions.
type Columns = Vec<(String, Expr)>;

fn write_out(select: &mut Select, order: Vec<&mut Expr>, tables: &[Vec<Table>]) -> Result<()> {
    let mut all: Columns = Vec::new();
    let mut merged: HashMap<String, Expr> = HashMap::new();
    for (item, tables) in select.from.iter_mut().zip(tables) {
        all.extend(write_out_joins(item, tables, &mut merged)?);
    }
    let mut projection = Vec::with_capacity(select.projection.len());
    let wildcards = select.projection.iter().any(|item| matches!(item, SelectItem::QualifiedWildcard(..)));
    for (index, item) in std::mem::take(&mut select.projection).into_iter().enumerate() {
        match item {
            SelectItem::Wildcard(options)
                if options.opt_exclude.is_none() && options.opt_except.is_none() && options.opt_replace.is_none() =>
            {
                projection.extend(all.iter().map(|(name, expr)| SelectItem::ExprWithAlias {
                    expr: expr.clone(),
                    alias: Ident::with_quote('"', name),
                }));
            }
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) if merged.contains_key(&folded(&ident)) => {
                let name = folded(&ident);
                let expr = merged.get(&name).cloned().unwrap_or(Expr::Identifier(ident));
                // `l.*` may have a column of that name.
                let name = if wildcards { marked(&name, index) } else { name };
                projection.push(SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) });
            }
            other => projection.push(other),
        }
    }
    select.projection = projection;
    let outputs: Vec<String> = select
        .projection
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
            _ => None,
        })
        .collect();
    let mut replace = Replace { merged: &merged, depth: 0 };
    let _ = select.visit(&mut replace);
    for expr in order {
        // ORDER BY takes an output column of that name first.
        let names_output = matches!(&*expr, Expr::Identifier(ident) if outputs.contains(&folded(ident)));
        if !names_output {
            let _ = expr.visit(&mut replace);
        }
    }
    Ok(())
}

fn write_out_joins(item: &mut TableWithJoins, tables: &[Table], merged: &mut HashMap<String, Expr>) -> Result<Columns> {
    let mut tables = tables.iter().map(columns_of);
    let mut left = tables.next().unwrap_or_default();
    for (join, right) in item.joins.iter_mut().zip(tables) {
        let merging = constraint(&join.join_operator).filter(|(_, c)| is_merging(c));
        let Some((side, written)) = merging else {
            left.extend(right);
            continue;
        };
        let names: Vec<String> = match written {
            JoinConstraint::Using(names) => names.iter().map(last_name).collect(),
            _ => left.iter().map(|(name, _)| name.clone()).filter(|name| position(&right, name).is_some()).collect(),
        };
        let mut condition: Option<Expr> = None;
        let mut first: Columns = Vec::with_capacity(names.len());
        for name in &names {
            let of_left = one(&left, name, "left")?;
            let of_right = one(&right, name, "right")?;
            let equal = binary(of_left.clone(), BinaryOperator::Eq, of_right.clone());
            condition = Some(match condition {
                Some(before) => binary(before, BinaryOperator::And, equal),
                None => equal,
            });
            let value = match side {
                Side::Left => of_left,
                Side::Right => of_right,
                Side::Either => coalesce(of_left, of_right),
            };
            merged.insert(name.clone(), value.clone());
            first.push((name.clone(), value));
        }
        let others = left.into_iter().chain(right).filter(|(name, _)| !names.contains(name));
        left = first.into_iter().chain(others).collect();
        if let Some(constraint) = constraint_mut(&mut join.join_operator) {
            *constraint = JoinConstraint::On(condition.unwrap_or_else(|| Expr::value(Value::Boolean(true))));
        }
    }
    Ok(left)
}

fn columns_of(table: &Table) -> Columns {
    let column = |name: &String| {
        let expr = Expr::CompoundIdentifier(vec![table.alias.clone(), Ident::with_quote('"', name)]);
        (name.clone(), expr)
    };
    table.columns.iter().map(column).collect()
}

fn position(columns: &Columns, name: &str) -> Option<usize> {
    columns.iter().position(|(known, _)| known == name)
}

/// The one column of that name on a side of a join.
fn one(columns: &Columns, name: &str, side: &str) -> Result<Expr> {
    let mut found = columns.iter().filter(|(known, _)| known == name);
    match (found.next(), found.next()) {
        (Some((_, expr)), None) => Ok(expr.clone()),
        (None, _) => {
            let message = format!("column \"{name}\" specified in USING clause does not exist in {side} table");
            Err(Error::new(UNDEFINED_COLUMN, message).with_column(name))
        }
        (Some(_), Some(_)) => {
            let message = format!("common column name \"{name}\" appears more than once in {side} table");
            Err(Error::new(AMBIGUOUS_COLUMN, message).with_column(name))
        }
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn coalesce(left: Expr, right: Expr) -> Expr {
    call("coalesce", vec![left, right])
}

fn last_name(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default()
}

/// Puts merged columns where their bare names stand, but in sub-queries.
struct Replace<'a> {
    merged: &'a HashMap<String, Expr>,
    depth: usize,
}

impl VisitorMut for Replace<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Identifier(ident) = expr
            && let Some(value) = self.merged.get(&folded(ident))
        {
            *expr = value.clone();
        }
        ControlFlow::Continue(())
    }
}
