//! Sub-queries in forms DataFusion plans.
//!
//! DataFusion knows EXISTS, IN and comparisons with ANY and ALL as conditions of WHERE and HAVING only, and IN only of one
//! column. So where their value is wanted (select lists, ORDER BY) they become counts:
//!
//! ```text
//! x IN (q)      CASE WHEN (SELECT count(*) FROM (q) m (v) WHERE m.v = x) > 0 THEN TRUE
//!                    WHEN x IS NULL AND (SELECT count(*) FROM (q) m) > 0
//!                      OR (SELECT count(*) FROM (q) m (v) WHERE m.v IS NULL) > 0 THEN NULL
//!                    ELSE FALSE END
//! ```
//!
//! and `(a, b) IN (q)` as a condition becomes an EXISTS.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, CaseWhen, Expr, Ident, Query, SelectItem, SetExpr, TableAlias, TableAliasColumnDef,
    TableFactor, UnaryOperator, Value, VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

/// The name of a sub-query's rows, and what the names of its columns begin with.
const MEMBERS: &str = "\u{1}members";

/// Makes values of the sub-queries of an expression whose value is wanted.
pub(super) fn as_values(expr: &mut Expr) {
    let _ = expr.visit(&mut Values { depth: 0 });
}

struct Values {
    /// Queries entered.
    depth: usize,
}

impl VisitorMut for Values {
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
            && let Some(value) = value(expr)
        {
            *expr = value;
        }
        ControlFlow::Continue(())
    }
}

fn value(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Exists { subquery, negated } => {
            let count = match counting(subquery) {
                Some(count) => count,
                None => count_of(subquery, 0, None)?,
            };
            Some(compared(count, if *negated { BinaryOperator::Eq } else { BinaryOperator::Gt }))
        }
        Expr::InSubquery { expr, subquery, negated } => {
            let value = match expr.as_ref() {
                Expr::Tuple(values) => {
                    let equal = row_equal(values);
                    let width = values.len();
                    any(subquery, width, equal)?
                }
                single => contained(single, subquery)?,
            };
            Some(if *negated { not(value) } else { value })
        }
        Expr::AnyOp { left, compare_op, right, .. } => match (compare_op, subquery_of(right)?) {
            (BinaryOperator::Eq, query) => contained(left, query),
            (op, query) => any(query, 1, binary(left.as_ref().clone(), op.clone(), member(0))),
        },
        // All are, when none is not.
        Expr::AllOp { left, compare_op, right } => {
            let query = subquery_of(right)?;
            let holds = binary(left.as_ref().clone(), compare_op.clone(), member(0));
            Some(not(any(query, 1, not(holds))?))
        }
        _ => None,
    }
}

fn subquery_of(expr: &Expr) -> Option<&Query> {
    match expr {
        Expr::Subquery(query) => Some(query),
        Expr::Nested(inner) => subquery_of(inner),
        _ => None,
    }
}

/// `x IN (query)` in three-valued logic; what can be is a join by equality.
fn contained(x: &Expr, query: &Query) -> Option<Expr> {
    let is_null = |expr: Expr| Expr::IsNull(Box::new(expr));
    let found =
        compared(count_of(query, 1, Some(binary(member(0), BinaryOperator::Eq, x.clone())))?, BinaryOperator::Gt);
    let any = compared(count_of(query, 1, None)?, BinaryOperator::Gt);
    let null = compared(count_of(query, 1, Some(is_null(member(0))))?, BinaryOperator::Gt);
    let unknown =
        binary(nested(binary(is_null(nested(x.clone())), BinaryOperator::And, any)), BinaryOperator::Or, null);
    Some(three_valued(found, unknown))
}

/// Whether `condition` holds for any row of the query, in three-valued logic.
fn any(query: &Query, width: usize, condition: Expr) -> Option<Expr> {
    let condition = nested(condition);
    let found = compared(count_of(query, width, Some(condition.clone()))?, BinaryOperator::Gt);
    let unknown = compared(count_of(query, width, Some(Expr::IsNull(Box::new(condition))))?, BinaryOperator::Gt);
    Some(three_valued(found, unknown))
}

fn three_valued(found: Expr, unknown: Expr) -> Expr {
    let constant = |value: Value| Expr::value(value);
    nested(Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![
            CaseWhen { condition: found, result: constant(Value::Boolean(true)) },
            CaseWhen { condition: unknown, result: constant(Value::Null) },
        ],
        else_result: Some(Box::new(constant(Value::Boolean(false)))),
    })
}

/// `(a, b) IN (query)` where it is a condition: EXISTS.
pub(super) fn row_condition(expr: &mut Expr) {
    let Expr::InSubquery { expr: row, subquery, negated } = expr else { return };
    let Expr::Tuple(values) = row.as_ref() else { return };
    let equal = row_equal(values);
    // A row that may be equal, for all that is known, keeps NOT IN from being true.
    let condition = if *negated { Expr::IsNotFalse(Box::new(nested(equal))) } else { equal };
    let Some(query) = members(subquery, values.len(), Some(condition), "SELECT 1") else { return };
    *expr = Expr::Exists { subquery: query, negated: *negated };
}

fn row_equal(values: &[Expr]) -> Expr {
    let equal = values.iter().enumerate().map(|(i, x)| nested(binary(member(i), BinaryOperator::Eq, x.clone())));
    equal.reduce(|a, b| binary(a, BinaryOperator::And, b)).unwrap_or_else(|| Expr::value(Value::Boolean(true)))
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(nested(expr)) }
}

/// A count beside zero.
fn compared(count: Box<Query>, op: BinaryOperator) -> Expr {
    nested(binary(Expr::Subquery(count), op, Expr::value(Value::Number("0".to_owned(), false))))
}

fn column(index: usize) -> Ident {
    Ident::with_quote('"', format!("{MEMBERS}{index}"))
}

fn member(index: usize) -> Expr {
    Expr::CompoundIdentifier(vec![Ident::with_quote('"', MEMBERS), column(index)])
}

fn count_of(query: &Query, width: usize, condition: Option<Expr>) -> Option<Box<Query>> {
    members(query, width, condition, "SELECT count(*) AS \"count\"")
}

/// `select FROM (query) members (…) WHERE condition`.
fn members(query: &Query, width: usize, condition: Option<Expr>, select: &str) -> Option<Box<Query>> {
    let mut outer = crate::parser::parse_query(&format!("{select} FROM (SELECT 1) AS members")).ok()?;
    let SetExpr::Select(select) = outer.body.as_mut() else { return None };
    select.selection = condition;
    let TableFactor::Derived { subquery, alias, .. } = &mut select.from.first_mut()?.relation else { return None };
    **subquery = query.clone();
    let columns = (0..width).map(|index| TableAliasColumnDef { name: column(index), data_type: None }).collect();
    *alias = Some(TableAlias { explicit: true, name: Ident::with_quote('"', MEMBERS), columns, at: None });
    Some(Box::new(outer))
}

/// The query that counts the rows of `query`, if it is a plain SELECT.
fn counting(query: &Query) -> Option<Box<Query>> {
    let plain = query.limit_clause.is_none() && query.fetch.is_none();
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let ungrouped = matches!(&select.group_by, ast::GroupByExpr::Expressions(e, m) if e.is_empty() && m.is_empty());
    if !plain || !ungrouped || select.having.is_some() {
        return None;
    }
    // An aggregate has a row even of none.
    let aggregates = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => has_call(expr),
        _ => false,
    });
    if aggregates {
        return None;
    }
    let count = crate::parser::parse_expression("count(*)").ok()?;
    let mut query = query.clone();
    query.order_by = None;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.distinct = None;
        select.projection = vec![SelectItem::ExprWithAlias { expr: count, alias: Ident::with_quote('"', "count") }];
    }
    Some(Box::new(query))
}

fn has_call(expr: &Expr) -> bool {
    let found = ast::visit_expressions(expr, |part| match part {
        Expr::Function(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sql: &str) -> String {
        let mut expr = crate::parser::parse_expression(sql).unwrap();
        as_values(&mut expr);
        expr.to_string().replace('\u{1}', "")
    }

    #[test]
    fn exists_becomes_a_count() {
        assert_eq!(shown("exists (select 1 from t)"), "((SELECT count(*) AS \"count\" FROM t) > 0)");
        assert_eq!(shown("not exists (select 1 from t)"), "((SELECT count(*) AS \"count\" FROM t) = 0)");
        assert!(shown("exists (select max(a) from t)").contains("FROM (SELECT max(a) FROM t)"));
    }

    #[test]
    fn rows_in_a_query_become_exists() {
        let mut expr = crate::parser::parse_expression("(a, b) in (select x, y from t)").unwrap();
        row_condition(&mut expr);
        assert!(expr.to_string().starts_with("EXISTS (SELECT 1 FROM (SELECT x, y FROM t)"));
    }
}
