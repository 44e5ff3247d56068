//! What a continuous aggregate must not ask for: results that change without the rows.
//!
//! Rows are computed once, in whichever session refreshes, and read in all others. So functions of the moment are refused, and everything that
//! depends on the session's time zone: texts and dates as time stamps, the fields of a time stamp, days added to it. PostgreSQL calls such
//! expressions *stable*; where it does so of a function for some types only, the types of the arguments decide here.

use crate::error::{Error, Result};
use crate::sqlstate::INVALID_OBJECT_DEFINITION;
use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Volatility};
use datafusion::sql::sqlparser::ast::{self, Query, Visit, Visitor};
use std::ops::ControlFlow;

/// Functions that say which zone they mean, or mean UTC.
const ZONED: [&str; 3] = ["time_bucket", "date_bin", "timezone"];
/// Functions of the moment, whatever they return.
const OF_THE_MOMENT: [&str; 5] = ["now", "current_date", "current_time", "localtime", "localtimestamp"];

/// Refuses a query, and its plan before analysis, with results that change without the rows.
pub(crate) fn check(state: &SessionState, query: &Query, plan: &LogicalPlan) -> Result<()> {
    if let ControlFlow::Break(text) = query.visit(&mut WithoutOffset) {
        return Err(depends(&format!("'{text}'")));
    }
    let analyzed = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {})?;
    let mut found = None;
    analyzed.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found = found.take().or(changing(expr, &schema));
                Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })
        })
    })?;
    found.map_or(Ok(()), Err)
}

fn depends(what: &str) -> Error {
    let message = format!("a continuous aggregate must not depend on the session's time zone, as {what} does");
    Error::new(INVALID_OBJECT_DEFINITION, message)
        .with_hint("Write an offset, or say which zone is meant: AT TIME ZONE, or time_bucket with timezone => …")
}

/// Why an expression may change.
fn changing(expr: &Expr, schema: &DFSchema) -> Option<Error> {
    let has_zone = |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Timestamp(_, Some(_))));
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            let (name, volatility) = (func.name(), func.signature().volatility);
            if volatility == Volatility::Volatile || OF_THE_MOMENT.contains(&name) {
                let message = format!("functions in a continuous aggregate must be immutable: {name}");
                return Some(Error::new(INVALID_OBJECT_DEFINITION, message));
            }
            let is_zoned = volatility == Volatility::Immutable || ZONED.contains(&name);
            let is_literal = args.iter().all(|arg| matches!(arg, Expr::Literal(..)));
            // Literals were looked at as they are written.
            let concerned = !is_zoned && !is_literal && (has_zone(expr) || args.iter().any(has_zone));
            concerned.then(|| depends(name))
        }
        Expr::Cast(cast) => {
            let is_literal = matches!(cast.expr.as_ref(), Expr::Literal(..));
            let concerned = !is_literal && has_zone(expr) != has_zone(&cast.expr);
            concerned.then(|| depends("a cast"))
        }
        _ => None,
    }
}

/// Looks for texts that are time stamps and do not say of which zone.
struct WithoutOffset;

impl Visitor for WithoutOffset {
    type Break = String;

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<String> {
        let text = match expr {
            ast::Expr::Value(value) => value.value.clone().into_string(),
            ast::Expr::TypedString(typed) => typed.value.value.clone().into_string(),
            _ => None,
        };
        match text.filter(|text| is_moment(text) && !has_offset(text)) {
            Some(text) => ControlFlow::Break(text),
            None => ControlFlow::Continue(()),
        }
    }
}

/// Whether a text begins as a date does.
fn is_moment(text: &str) -> bool {
    let digits = |range: std::ops::Range<usize>| {
        text.get(range).is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    digits(0..4) && text.get(4..5) == Some("-") && digits(5..7) && text.get(7..8) == Some("-") && digits(8..10)
}

/// Whether a text that begins as a date does ends with an offset, or `Z`.
fn has_offset(text: &str) -> bool {
    let time = text.get(10..).unwrap_or_default().trim();
    let ends_with_zone = time.ends_with(['Z', 'z']) || time.to_uppercase().ends_with("UTC");
    ends_with_zone || time.rfind(['+', '-']).is_some_and(|sign| time[..sign].contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_depend_on_the_zone_are_known() {
        for (text, depends) in [
            ("2024-05-07", true),
            ("2024-05-07 08:00", true),
            ("2024-05-07 08:00:00.5", true),
            ("2024-05-07 08:00+00", false),
            ("2024-05-07T08:00:00Z", false),
            ("2024-05-07 08:00 UTC", false),
            ("2024-05-07 08:00-03:30", false),
            ("1 day", false),
            ("series-1", false),
        ] {
            assert_eq!(is_moment(text) && !has_offset(text), depends, "{text}");
        }
    }
}
