//! Calls of users' functions put in place: an expression for those in SQL, a function ready to run for the others.

use super::operators::resolve_in;
use super::{calls, cast};
use crate::convert::{self, Context};
use crate::error::Error;
use crate::plan::return_mismatch;
use crate::types::{self, PgType};
use crate::user_functions::code::Coded;
use crate::user_functions::family::{Body, Candidate, unresolved};
use crate::user_functions::sql_body::parameter_name;
use arrow::array::timezone::Tz;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::{Exists, InSubquery, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, ScalarUDF, Subquery, when};
use std::sync::Arc;

fn external(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

/// What a call stands for; `None` when it is of no user's function.
pub(super) fn bind(
    function: &ScalarFunction,
    schema: &DFSchema,
    zone: Tz,
    analyze: &dyn Fn(LogicalPlan) -> Result<LogicalPlan>,
) -> Result<Option<Expr>> {
    let Some(call) = unresolved(&function.func) else { return Ok(None) };
    let given: Vec<PgType> =
        function.args.iter().map(|arg| calls::argument_type(arg, schema)).collect::<Result<_>>()?;
    let candidate = call.family.choose(&given).map_err(external)?;
    let mut args = Vec::with_capacity(given.len());
    for ((arg, given), wanted) in function.args.iter().zip(&given).zip(&candidate.arguments) {
        args.push(converted(arg, *given, *wanted, zone)?);
    }
    match &candidate.body {
        Body::Code(code) => {
            let coded =
                Coded::new(function.func.name(), &candidate.function, code, &candidate.arguments, candidate.returns);
            let func = Arc::new(ScalarUDF::new_from_impl(coded.map_err(external)?));
            Ok(Some(Expr::ScalarFunction(ScalarFunction { func, args })))
        }
        Body::Sql(plan) => {
            let plan = analyze(plan.as_ref().clone())?;
            inlined(candidate, &plan, args, schema, zone).map(Some)
        }
        Body::Unplanned => Err(DataFusionError::Internal("a body was not planned".to_owned())),
    }
}

/// An argument as the type it is declared with.
fn converted(arg: &Expr, given: PgType, wanted: PgType, zone: Tz) -> Result<Expr> {
    if given.oid == types::UNKNOWN.oid {
        return resolve_in(zone, arg.clone(), wanted);
    }
    // Lengths and scales are no part of a function's signature, but rows have one scale.
    if given.oid == wanted.oid && wanted.oid != types::NUMERIC.oid {
        return Ok(arg.clone());
    }
    Ok(cast::planned(arg, given, wanted, zone).map_err(external)?.unwrap_or_else(|| {
        let field = types::column_field("", wanted, true);
        Expr::Cast(datafusion::logical_expr::expr::Cast { expr: Box::new(arg.clone()), field })
    }))
}

/// The body's expression with the arguments in the place of the parameters.
fn inlined(candidate: &Candidate, plan: &LogicalPlan, args: Vec<Expr>, schema: &DFSchema, zone: Tz) -> Result<Expr> {
    let LogicalPlan::Projection(projection) = plan else {
        return Err(external(Error::unsupported(format!("the body of function {}", candidate.function.name))));
    };
    let Some(expr) = projection.expr.first().map(|expr| expr.clone().unalias()) else {
        return Err(external(return_mismatch(&candidate.function, "Final statement returns no column.")));
    };
    let field = Arc::clone(&plan.schema().fields()[0]);
    let literal = match &expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    };
    let found = crate::functions::call::type_of(&field, literal);
    if !convert::exists(found, candidate.returns, Context::Assignment) {
        let detail = format!("Actual return type is {}.", found.base_name());
        return Err(external(return_mismatch(&candidate.function, detail)));
    }
    let names = (0..args.len()).map(|place| parameter_name(&candidate.function, place)).collect();
    let mut arguments = Arguments { function: &candidate.function.name, names, args, schema, uses: Vec::new() };
    arguments.uses = vec![0; arguments.args.len()];
    let expr = arguments.substitute(expr)?;
    for (arg, uses) in arguments.args.iter().zip(&arguments.uses) {
        if arg.is_volatile() && *uses > 1 {
            return Err(external(Error::unsupported(format!(
                "function {} with a volatile argument that its body uses several times",
                candidate.function.name
            ))));
        }
    }
    let expr = converted(&expr, found, candidate.returns, zone)?;
    if !candidate.function.is_strict {
        return Ok(expr);
    }
    match arguments.args.into_iter().map(Expr::is_null).reduce(Expr::or) {
        None => Ok(expr),
        Some(condition) => when(condition, Expr::Literal(ScalarValue::Null, None)).otherwise(expr),
    }
}

/// Parameters and what stands for them.
struct Arguments<'a> {
    function: &'a str,
    names: Vec<String>,
    args: Vec<Expr>,
    /// What the columns of the arguments are of.
    schema: &'a DFSchema,
    uses: Vec<usize>,
}

impl Arguments<'_> {
    /// The parameter a column of the body is.
    fn place(&self, column: &datafusion::common::Column) -> Option<usize> {
        let table = column.relation.as_ref()?;
        if table.table() != self.function {
            return None;
        }
        self.names.iter().position(|name| *name == column.name)
    }

    fn substitute(&mut self, expr: Expr) -> Result<Expr> {
        let transformed = expr.transform_down(|expr| match expr {
            Expr::Column(ref column) => match self.place(column) {
                Some(place) => {
                    self.uses[place] += 1;
                    Ok(Transformed::new(self.args[place].clone(), true, TreeNodeRecursion::Jump))
                }
                None => Ok(Transformed::no(expr)),
            },
            Expr::ScalarSubquery(subquery) => Ok(Transformed::yes(Expr::ScalarSubquery(self.subquery(subquery)?))),
            Expr::Exists(Exists { subquery, negated }) => {
                Ok(Transformed::yes(Expr::Exists(Exists { subquery: self.subquery(subquery)?, negated })))
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let subquery = self.subquery(subquery)?;
                Ok(Transformed::yes(Expr::InSubquery(InSubquery { expr, subquery, negated })))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(transformed.data)
    }

    /// In a sub-query, what comes from outside is marked as such.
    fn subquery(&mut self, subquery: Subquery) -> Result<Subquery> {
        let plan = Arc::unwrap_or_clone(subquery.subquery);
        let plan = plan.transform_up_with_subqueries(|node| {
            node.map_expressions(|expr| {
                expr.transform_down(|expr| match &expr {
                    Expr::OuterReferenceColumn(_, column) => match self.place(column) {
                        Some(place) => {
                            self.uses[place] += 1;
                            let outer = self.outer(self.args[place].clone())?;
                            Ok(Transformed::new(outer, true, TreeNodeRecursion::Jump))
                        }
                        None => Ok(Transformed::no(expr)),
                    },
                    _ => Ok(Transformed::no(expr)),
                })
            })
        })?;
        let plan = plan.data;
        let outer_ref_columns = plan.all_out_ref_exprs();
        Ok(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: subquery.spans })
    }

    /// An argument as a sub-query sees it.
    fn outer(&self, arg: Expr) -> Result<Expr> {
        let transformed = arg.transform_down(|expr| match &expr {
            Expr::Column(column) => {
                let (_, field) = expr.to_field(self.schema)?;
                let outer = Expr::OuterReferenceColumn(field, column.clone());
                Ok(Transformed::new(outer, true, TreeNodeRecursion::Jump))
            }
            Expr::OuterReferenceColumn(..) | Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) => {
                Err(external(Error::unsupported(format!(
                    "an argument of function {} that is a sub-query or comes from one",
                    self.function
                ))))
            }
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(transformed.data)
    }
}
