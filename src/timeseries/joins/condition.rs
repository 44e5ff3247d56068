//! The condition of a join by time, taken apart: equalities of keys, and one comparison of times.

use crate::error::external;
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use lightning_sql::sqlstate::{AMBIGUOUS_COLUMN, SYNTAX_ERROR, UNDEFINED_COLUMN};
use lightning_sql::{Error, Result as SqlResult};

/// A comparison of a value of the left with one of the right.
#[derive(Clone, Debug)]
pub(super) struct Compared {
    pub(super) left: Expr,
    pub(super) op: Operator,
    pub(super) right: Expr,
}

impl Compared {
    /// Reads a comparison, whichever side comes first; `None` when it is something else.
    pub(super) fn read(expr: &Expr, left: &DFSchema, right: &DFSchema) -> Option<Compared> {
        let expr = match expr {
            // Rules of the optimizer keep the name of what they change.
            Expr::Alias(alias) => alias.expr.as_ref(),
            other => other,
        };
        let Expr::BinaryExpr(BinaryExpr { left: first, op, right: second }) = expr else { return None };
        let of = |expr: &Expr, schema: &DFSchema| {
            let columns = expr.column_refs();
            !columns.is_empty() && columns.iter().all(|column| schema.has_column(column))
        };
        if of(first, left) && of(second, right) {
            return Some(Compared { left: first.as_ref().clone(), op: *op, right: second.as_ref().clone() });
        }
        if of(first, right) && of(second, left) {
            return Some(Compared { left: second.as_ref().clone(), op: op.swap()?, right: first.as_ref().clone() });
        }
        None
    }
}

/// What a condition says.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    /// Equalities of keys.
    pub(super) on: Vec<Expr>,
    /// The comparison of times.
    pub(super) matching: Option<Expr>,
    /// Columns of the right that are those of the left (USING).
    pub(super) merged: Vec<Column>,
}

impl Condition {
    /// Takes ON apart. 0A000 for what is neither an equality nor the one comparison.
    pub(super) fn on(&mut self, expr: Expr, left: &LogicalPlan, right: &LogicalPlan) -> Result<()> {
        for part in split_conjunction_owned(expr) {
            match Compared::read(&part, left.schema(), right.schema()).map(|compared| compared.op) {
                Some(Operator::Eq) => self.on.push(part),
                Some(Operator::Gt | Operator::GtEq | Operator::Lt | Operator::LtEq) if self.matching.is_none() => {
                    self.matching = Some(part);
                }
                _ => {
                    let e = Error::unsupported(format!("the condition {part} in a join by time"));
                    let hint = "ON compares keys with = and, in an ASOF join, the times once with <, <=, > or >=.";
                    return Err(external(e.with_hint(hint)));
                }
            }
        }
        Ok(())
    }

    /// Adds the columns of USING; with `times`, the last one is the time.
    pub(super) fn using(
        &mut self,
        names: &[String],
        left: &LogicalPlan,
        right: &LogicalPlan,
        times: bool,
    ) -> Result<()> {
        for (place, name) in names.iter().enumerate() {
            let one = only(left.schema(), name, "left").map_err(external)?;
            let other = only(right.schema(), name, "right").map_err(external)?;
            self.merged.push(other.clone());
            let (one, other) = (Expr::Column(one), Expr::Column(other));
            if times && place + 1 == names.len() {
                self.matching = Some(one.gt_eq(other));
            } else {
                self.on.push(one.eq(other));
            }
        }
        Ok(())
    }
}

fn only(schema: &DFSchema, name: &str, side: &str) -> SqlResult<Column> {
    match schema.columns_with_unqualified_name(name).as_slice() {
        [column] => Ok(column.clone()),
        [] => {
            let message = format!("column \"{name}\" specified in USING clause does not exist in {side} table");
            Err(Error::new(UNDEFINED_COLUMN, message))
        }
        _ => {
            let message = format!("common column name \"{name}\" appears more than once in {side} table");
            Err(Error::new(AMBIGUOUS_COLUMN, message))
        }
    }
}

/// 42601: an ASOF join that does not say how times compare.
pub(super) fn no_match() -> Error {
    Error::new(SYNTAX_ERROR, "an ASOF join needs a comparison of times with <, <=, > or >=")
        .with_hint("Write it as MATCH_CONDITION (a.t >= b.t), in ON, or as the last column of USING.")
}
