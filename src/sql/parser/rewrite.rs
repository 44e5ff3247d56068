//! Changes to the syntax tree that keep its meaning: balancing long chains of AND and OR.

use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr, VisitMut, VisitorMut};
use std::ops::ControlFlow;

/// Chains shorter than this stay as written.
const CHAIN_MIN: usize = 64;

/// Rewrites a statement in place.
pub(super) fn rewrite(statement: &mut ast::Statement) {
    let _ = statement.visit(&mut Balance);
}

struct Balance;

impl VisitorMut for Balance {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } = expr {
            let op = op.clone();
            if chain_length(expr, &op) >= CHAIN_MIN {
                let taken = std::mem::replace(expr, Expr::value(ast::Value::Null));
                *expr = balanced(take_chain(taken, &op), &op);
            }
        }
        ControlFlow::Continue(())
    }
}

fn chain_length(mut expr: &Expr, wanted: &BinaryOperator) -> usize {
    let mut length = 1;
    while let Expr::BinaryOp { left, op, .. } = expr
        && op == wanted
    {
        length += 1;
        expr = left;
    }
    length
}

/// The terms of a left-deep chain, in order.
fn take_chain(mut expr: Expr, wanted: &BinaryOperator) -> Vec<Expr> {
    let mut terms = Vec::new();
    loop {
        match expr {
            Expr::BinaryOp { left, op, right } if op == *wanted => {
                terms.push(*right);
                expr = *left;
            }
            other => {
                terms.push(other);
                break;
            }
        }
    }
    terms.reverse();
    terms
}

fn balanced(mut terms: Vec<Expr>, op: &BinaryOperator) -> Expr {
    while terms.len() > 1 {
        let mut next = Vec::with_capacity(terms.len().div_ceil(2));
        let mut pairs = terms.into_iter();
        while let Some(left) = pairs.next() {
            next.push(match pairs.next() {
                Some(right) => Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) },
                None => left,
            });
        }
        terms = next;
    }
    terms.pop().unwrap_or_else(|| Expr::value(ast::Value::Null))
}
