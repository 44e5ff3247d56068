//! Joins by time and LATEST ON, as tables in parentheses.
//!
//! ```text
//! a JOIN b ON … ASOF JOIN c MATCH_CONDITION (lightning_asof(…)) ON … JOIN d ON …
//! ((a JOIN b ON …) ASOF JOIN c MATCH_CONDITION (lightning_asof(…)) ON …) JOIN d ON …
//!
//! SELECT … FROM t WHERE a AND lightning_latest_on(ts, s)
//! SELECT … FROM ((SELECT * FROM t WHERE a) AS t ASOF JOIN lightning_latest_on MATCH_CONDITION (lightning_latest_on(ts, s)))
//! ```
//!
//! Of a window join the aggregates move from the SELECT into the mark, and what stays are the columns they make.

use crate::grammar::{ASOF, LATEST_ON, WINDOW_JOIN};
use crate::time_column::{self, Withs};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Join, JoinConstraint,
    JoinOperator, ObjectName, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins, VisitMut,
    VisitorMut,
};
use lightning_sql::extension::{Scope, identifier, parse_query, plain_name};
use lightning_sql::sqlstate::SYNTAX_ERROR;
use lightning_sql::{Error, Result};
use std::ops::ControlFlow;

/// The columns a window join's aggregates become.
pub(crate) fn aggregate_name(index: usize) -> String {
    format!("\u{1}window_{index}")
}

/// Changes the FROM clause of a SELECT.
pub(super) fn rewrite(select: &mut Select, scope: &Scope<'_>, withs: &Withs) -> Result<()> {
    latest_on(select)?;
    let mut from = std::mem::take(&mut select.from);
    for item in &mut from {
        for mut join in std::mem::take(&mut item.joins) {
            let Some(kind) = marked(&join) else {
                item.joins.push(join);
                continue;
            };
            let mut left = TableWithJoins { relation: item.relation.clone(), joins: std::mem::take(&mut item.joins) };
            if kind == WINDOW_JOIN {
                window_join(select, &left, &mut join, scope, withs)?;
            }
            if !left.joins.is_empty() {
                left = TableWithJoins { relation: nested(left), joins: Vec::new() };
            }
            left.joins.push(join);
            item.relation = nested(left);
        }
    }
    select.from = from;
    Ok(())
}

fn nested(table_with_joins: TableWithJoins) -> TableFactor {
    TableFactor::NestedJoin { table_with_joins: Box::new(table_with_joins), alias: None }
}

/// Which mark a join has.
fn marked(join: &Join) -> Option<&'static str> {
    let JoinOperator::AsOf { match_condition, .. } = &join.join_operator else { return None };
    let Expr::Function(function) = match_condition else { return None };
    let name = plain_name(function)?;
    [ASOF, WINDOW_JOIN].into_iter().find(|mark| *mark == name)
}

/// Takes the mark out of the condition and puts it over the table.
fn latest_on(select: &mut Select) -> Result<()> {
    let is_mark = |expr: &Expr| matches!(expr, Expr::Function(f) if plain_name(f).as_deref() == Some(LATEST_ON));
    let (mark, condition) = match select.selection.take() {
        Some(expr) if is_mark(&expr) => (expr, None),
        Some(Expr::BinaryOp { left, op: BinaryOperator::And, right }) if is_mark(&right) => (*right, Some(*left)),
        other => {
            select.selection = other;
            return Ok(());
        }
    };
    let [TableWithJoins { relation, joins }] = select.from.as_mut_slice() else {
        return Err(one_table());
    };
    if !joins.is_empty() {
        return Err(one_table());
    }
    let alias =
        time_column::alias(relation).map(|name| TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    let input = match condition {
        None => relation.clone(),
        Some(condition) => {
            let mut query = parse_query("SELECT * FROM t")?;
            let SetExpr::Select(inner) = query.body.as_mut() else { return Err(one_table()) };
            inner.from = vec![TableWithJoins { relation: relation.clone(), joins: Vec::new() }];
            inner.selection = Some(condition);
            TableFactor::Derived { lateral: false, subquery: Box::new(query), alias, sample: None }
        }
    };
    let dummy = TableFactor::Table {
        name: ObjectName::from(vec![Ident::new(LATEST_ON)]),
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    };
    let join = Join {
        relation: dummy,
        global: false,
        join_operator: JoinOperator::AsOf { match_condition: mark, constraint: JoinConstraint::None },
    };
    *relation = nested(TableWithJoins { relation: input, joins: vec![join] });
    Ok(())
}

fn one_table() -> Error {
    Error::unsupported("LATEST ON over several tables").with_hint("Put the join in a sub-query.")
}

/// Moves the aggregates of the SELECT into the mark, after the times of both sides.
fn window_join(
    select: &mut Select,
    left: &TableWithJoins,
    join: &mut Join,
    scope: &Scope<'_>,
    withs: &Withs,
) -> Result<()> {
    let JoinOperator::AsOf { match_condition: Expr::Function(mark), .. } = &mut join.join_operator else {
        return Ok(());
    };
    let FunctionArguments::List(list) = &mut mark.args else { return Ok(()) };
    let mut arguments = vec![
        time_column::of(&left.relation, scope, withs)?.expr(),
        time_column::of(&join.relation, scope, withs)?.expr(),
    ];
    let mut moved = Aggregates { scope, found: Vec::new(), nested: 0 };
    for item in &mut select.projection {
        let name = match item {
            SelectItem::UnnamedExpr(Expr::Function(function)) => plain_name(function),
            _ => None,
        };
        let _ = item.visit(&mut moved);
        if let (SelectItem::UnnamedExpr(expr @ Expr::Identifier(_)), Some(name)) = (&*item, name) {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: identifier(&name) };
        }
    }
    if moved.found.is_empty() {
        let message = "a window join needs an aggregate of the joined rows in SELECT";
        return Err(Error::new(SYNTAX_ERROR, message));
    }
    arguments.extend(moved.found.into_iter().map(Expr::Function));
    list.args.extend(arguments.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))));
    Ok(())
}

struct Aggregates<'a> {
    scope: &'a Scope<'a>,
    found: Vec<Function>,
    nested: usize,
}

impl VisitorMut for Aggregates<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.nested += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.nested -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let aggregate = function.over.is_none()
            && plain_name(function).is_some_and(|name| self.scope.is_aggregate(&name))
            && self.nested == 0;
        if aggregate {
            let known = self.found.iter().position(|known| known == function);
            let index = known.unwrap_or(self.found.len());
            if known.is_none() {
                self.found.push(function.clone());
            }
            *expr = Expr::Identifier(identifier(&aggregate_name(index)));
        }
        ControlFlow::Continue(())
    }
}
