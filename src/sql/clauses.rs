//! What is settled on a query's syntax tree, where its clauses are still told apart.
//!
//! Aggregates and window functions are refused where PostgreSQL refuses them, operators before their operand become calls,
//! and a number cast to a float is read as a float instead of passing through `numeric`.

use crate::error::{Error, Result};
use crate::parser::calls::call;
use crate::sqlstate::{GROUPING_ERROR, WINDOWING_ERROR, WRONG_OBJECT_TYPE};
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Query, Select,
    UnaryOperator, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Digits a number may have when it is written out.
const DIGITS_MAX: usize = 2000;

/// Refuses calls of aggregates and window functions in the wrong places.
pub(crate) fn check(query: &Query, state: &SessionState) -> Result<()> {
    match query.visit(&mut Clauses { state }) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Refuses aggregates and window functions in an expression of a clause that has one row at a time.
pub(crate) fn refuse(state: &SessionState, expr: &Expr, clause: &str) -> Result<()> {
    match (Clauses { state }).refuse(expr, clause) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Makes calls of operators before their operand. Columns have their names by now.
pub(crate) fn rewrite(query: &mut Query) {
    let _ = query.visit(&mut Rewriter);
}

/// Makes texts of numbers that are cast to a float. Must come before numbers with an exponent become plain decimals.
pub(crate) fn read_floats(query: &mut Query) {
    let _ = query.visit(&mut Floats);
}

/// Names of functions, in lower case, that are called and do not exist.
pub(crate) fn unknown_functions(query: &Query, state: &SessionState) -> BTreeSet<String> {
    let mut names = Names { state, unknown: BTreeSet::new() };
    let _ = query.visit(&mut names);
    names.unknown
}

/// Whether there is a function of this name, other than those of users.
pub(crate) fn is_function(state: &SessionState, name: &str) -> bool {
    state.scalar_functions().contains_key(name)
        || state.aggregate_functions().contains_key(name)
        || state.window_functions().contains_key(name)
        || state.higher_order_functions().contains_key(name)
        || matches!(name, "unnest" | "unnest_outer" | "map" | "make_map" | "grouping")
}

/// The name of a function called without a schema.
fn plain_name(function: &Function) -> Option<String> {
    let [part] = function.name.0.as_slice() else { return None };
    let ident = part.as_ident()?;
    Some(if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() })
}

struct Names<'a> {
    state: &'a SessionState,
    unknown: BTreeSet<String>,
}

impl Visitor for Names<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && let Some(name) = plain_name(function)
            && !is_function(self.state, &name)
        {
            self.unknown.insert(name);
        }
        ControlFlow::Continue(())
    }
}

/// What a call does with more than one row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Aggregate,
    Window,
}

fn kind(function: &Function, state: &SessionState) -> Option<Kind> {
    if function.over.is_some() {
        return Some(Kind::Window);
    }
    state.aggregate_functions().contains_key(&plain_name(function)?).then_some(Kind::Aggregate)
}

struct Clauses<'a> {
    state: &'a SessionState,
}

impl Clauses<'_> {
    /// The first aggregate or window function in an expression, sub-queries left out.
    fn first(&self, expr: &Expr) -> Option<Kind> {
        let mut search = Search { state: self.state, queries: 0 };
        match expr.visit(&mut search) {
            ControlFlow::Break(kind) => Some(kind),
            ControlFlow::Continue(()) => None,
        }
    }

    fn refuse(&self, expr: &Expr, clause: &str) -> ControlFlow<Error> {
        match self.first(expr) {
            None => ControlFlow::Continue(()),
            Some(Kind::Aggregate) => {
                let message = format!("aggregate functions are not allowed in {clause}");
                ControlFlow::Break(Error::new(GROUPING_ERROR, message))
            }
            Some(Kind::Window) => {
                let message = format!("window functions are not allowed in {clause}");
                ControlFlow::Break(Error::new(WINDOWING_ERROR, message))
            }
        }
    }
}

impl Visitor for Clauses<'_> {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        if let Some(condition) = &select.selection {
            self.refuse(condition, "WHERE")?;
        }
        if let Some(condition) = &select.having
            && self.first(condition) == Some(Kind::Window)
        {
            let message = "window functions are not allowed in HAVING";
            return ControlFlow::Break(Error::new(WINDOWING_ERROR, message));
        }
        if let GroupByExpr::Expressions(expressions, _) = &select.group_by {
            for expr in expressions {
                self.refuse(expr, "GROUP BY")?;
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        match kind(function, self.state) {
            Some(Kind::Aggregate) => {}
            Some(Kind::Window) => return ControlFlow::Continue(()),
            None => {
                let name = plain_name(function).unwrap_or_default();
                let scalar = self.state.scalar_functions().contains_key(&name);
                if !scalar && self.state.window_functions().contains_key(&name) {
                    let message = format!("window function {name} requires an OVER clause");
                    return ControlFlow::Break(Error::new(WRONG_OBJECT_TYPE, message));
                }
                return ControlFlow::Continue(());
            }
        }
        for argument in arguments(function) {
            match self.first(argument) {
                Some(Kind::Aggregate) => {
                    let message = "aggregate function calls cannot be nested";
                    return ControlFlow::Break(Error::new(GROUPING_ERROR, message));
                }
                Some(Kind::Window) => {
                    let message = "aggregate function calls cannot contain window function calls";
                    return ControlFlow::Break(Error::new(GROUPING_ERROR, message));
                }
                None => {}
            }
        }
        ControlFlow::Continue(())
    }
}

fn arguments(function: &Function) -> impl Iterator<Item = &Expr> {
    let list = match &function.args {
        FunctionArguments::List(list) => list.args.as_slice(),
        _ => &[],
    };
    list.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
        | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
        | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. } => Some(expr),
        _ => None,
    })
}

struct Search<'a> {
    state: &'a SessionState,
    queries: usize,
}

impl Visitor for Search<'_> {
    type Break = Kind;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Kind> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Kind> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Kind> {
        if self.queries == 0
            && let Expr::Function(function) = expr
            && let Some(kind) = kind(function, self.state)
        {
            return ControlFlow::Break(kind);
        }
        ControlFlow::Continue(())
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::UnaryOp { op, expr: operand } = expr {
            let name = match op {
                UnaryOperator::BitwiseNot => "bitwise_not",
                UnaryOperator::PGAbs => "abs",
                UnaryOperator::PGSquareRoot => "sqrt",
                UnaryOperator::PGCubeRoot => "cbrt",
                _ => return ControlFlow::Continue(()),
            };
            let operand = std::mem::replace(operand.as_mut(), Expr::value(Value::Null));
            *expr = call(name, vec![operand]);
        }
        ControlFlow::Continue(())
    }
}

struct Floats;

impl VisitorMut for Floats {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr: inner, data_type, .. } = expr
            && is_float(data_type)
            && let Expr::Value(value) = inner.as_mut()
            && let Value::Number(number, _) = &value.value
            && let Some(written) = written_out(number)
        {
            value.value = Value::SingleQuotedString(written);
        }
        ControlFlow::Continue(())
    }
}

fn is_float(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Real
            | DataType::Float4
            | DataType::Float8
            | DataType::Float64
            | DataType::DoublePrecision
            | DataType::Double(_)
            | DataType::Float(_)
    )
}

/// A number without exponent, as `numeric` shows it; `None` when that would be too long.
fn written_out(number: &str) -> Option<String> {
    let number: String = number.chars().filter(|c| *c != '_').collect();
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else { return Some(number) };
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let places = usize::try_from(exponent.unsigned_abs()).ok().filter(|places| *places <= DIGITS_MAX)?;
    let (whole, fraction) = if exponent >= 0 {
        let moved = fraction.len().min(places);
        let zeros = "0".repeat(places - moved);
        (format!("{whole}{}{zeros}", &fraction[..moved]), fraction[moved..].to_owned())
    } else {
        let kept = whole.len().saturating_sub(places);
        let zeros = "0".repeat(places.saturating_sub(whole.len()));
        (whole[..kept].to_owned(), format!("{zeros}{}{fraction}", &whole[kept..]))
    };
    let whole = if whole.is_empty() { "0" } else { &whole };
    Some(if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_out() {
        let written = |number: &str| written_out(number).unwrap();
        assert_eq!(written("1e3"), "1000");
        assert_eq!(written("1.25e1"), "12.5");
        assert_eq!(written("1.5e-3"), "0.0015");
        assert_eq!(written("12e-1"), "1.2");
        assert_eq!(written("7"), "7");
        assert!(written_out("1e99999999").is_none());
    }
}
