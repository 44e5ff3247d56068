//! Finds marked aggregations in a plan and puts a [`GapFill`] over them.
//!
//! ```text
//! Projection [b, locf(avg(v))]                       Projection [b, fill_0]
//!   Filter [count(*) > 1]                              GapFill [Bucket, Null, Null, Previous]
//!     Aggregate [time_bucket_gapfill(…) | avg, count]    Projection [b, avg, count, avg AS fill_0]
//!                                                          Filter [count(*) > 1]
//!                                                            Aggregate [time_bucket(…) | avg, count]
//! ```
//!
//! Window functions and sorts above see the filled rows. The rule runs before types are coerced, so that the casts it adds
//! get PostgreSQL's meaning like those the user wrote.

use super::markers::{BUCKET, CONSTANT, INTERPOLATE, LOCF, SAMPLE, misplaced};
use super::{Fill, GapFill, Parts, has_marker, replace_markers};
use crate::error::{error, external};
use crate::time_bucket::{Kind, is_text, time_bucket};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, ExprSchemable, Extension, Filter, LogicalPlan, LogicalPlanBuilder, Operator,
    Projection, Window, cast,
};
use datafusion::optimizer::AnalyzerRule;
use lightning_sql::sqlstate::INVALID_PARAMETER_VALUE;
use std::sync::Arc;

/// The rule.
#[derive(Debug)]
pub(crate) struct FillGaps;

impl AnalyzerRule for FillGaps {
    fn name(&self) -> &str {
        "fill_gaps"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_down_with_subqueries(rewrite)?.data)
    }
}

fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Projection(projection) = plan else { return Ok(Transformed::no(plan)) };
    let Some(mut filling) = Filling::find(&projection.input)? else {
        return Ok(Transformed::no(LogicalPlan::Projection(projection)));
    };
    let exprs = projection.expr.iter().map(|expr| filling.without_markers(expr)).collect::<Result<Vec<_>>>()?;
    let input = filling.apply(&projection.input)?;
    let filled = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?);
    Ok(Transformed::new(filled, true, TreeNodeRecursion::Continue))
}

/// What is to be filled of one aggregation, as its parents are read.
struct Filling {
    aggregate: LogicalPlan,
    /// The expression among the groups that is the bucket.
    bucket: usize,
    call: ScalarFunction,
    /// Expressions to be filled, and how.
    filled: Vec<(Expr, Fill)>,
    constants: Vec<Expr>,
}

impl Filling {
    /// The marked aggregation below a projection; `None` when there is none.
    fn find(plan: &LogicalPlan) -> Result<Option<Filling>> {
        match plan {
            LogicalPlan::Filter(Filter { input, .. }) | LogicalPlan::Window(Window { input, .. }) => Self::find(input),
            LogicalPlan::Aggregate(aggregate) => Self::of(aggregate),
            _ => Ok(None),
        }
    }

    fn of(aggregate: &Aggregate) -> Result<Option<Filling>> {
        let mut found = None;
        for (index, expr) in aggregate.group_expr.iter().enumerate() {
            if let Some(call) = marked_call(expr)
                && found.replace((index, call.clone())).is_some()
            {
                let message = "only one time_bucket_gapfill is allowed in GROUP BY";
                return Err(error(lightning_sql::sqlstate::GROUPING_ERROR, message));
            }
            if matches!(expr, Expr::GroupingSet(_)) && has_marker(expr, &[BUCKET, SAMPLE]) {
                return Err(external(lightning_sql::Error::unsupported("gap filling with grouping sets")));
            }
        }
        Ok(found.map(|(bucket, call)| Filling {
            aggregate: LogicalPlan::Aggregate(aggregate.clone()),
            bucket,
            call,
            filled: Vec::new(),
            constants: Vec::new(),
        }))
    }

    /// An expression above the aggregation with columns where `locf`, `interpolate` and their like stand.
    fn without_markers(&mut self, expr: &Expr) -> Result<Expr> {
        if !has_marker(expr, &[LOCF, INTERPOLATE, CONSTANT]) {
            return Ok(expr.clone());
        }
        let name = expr.schema_name().to_string();
        let replaced = replace_markers(expr.clone(), &mut |part| {
            let Expr::ScalarFunction(call) = &part else { return Ok(Transformed::no(part)) };
            let fill = match (call.func.name(), call.args.as_slice()) {
                (LOCF, [_]) => Fill::Previous { over_nulls: false },
                (LOCF, [_, Expr::Literal(ScalarValue::Boolean(Some(over_nulls)), _)]) => {
                    Fill::Previous { over_nulls: *over_nulls }
                }
                (LOCF, _) => {
                    let message = "treat_null_as_missing of locf must be a boolean constant";
                    return Err(error(INVALID_PARAMETER_VALUE, message));
                }
                (INTERPOLATE, _) => Fill::Linear,
                (CONSTANT, [value, constant]) => {
                    let to = value.get_type(self.aggregate.schema())?;
                    self.constants.push(cast(constant.clone(), to));
                    Fill::Constant(self.constants.len() - 1)
                }
                _ => return Ok(Transformed::no(part)),
            };
            let Some(value) = call.args.first() else { return Ok(Transformed::no(part)) };
            let column = Expr::Column(Column::new_unqualified(filled_name(self.filled.len())));
            self.filled.push((value.clone(), fill));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        })?;
        Ok(match replaced {
            Expr::Alias(_) => replaced,
            other => other.alias(name),
        })
    }

    /// The plan below the projection, filled.
    fn apply(mut self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let mut windows = Vec::new();
        let mut below = plan;
        while let LogicalPlan::Window(window) = below {
            let exprs: Result<Vec<Expr>> = window.window_expr.iter().map(|expr| self.without_markers(expr)).collect();
            windows.push(exprs?);
            below = &window.input;
        }
        let mut filled = self.fill(below)?;
        for exprs in windows.into_iter().rev() {
            filled = LogicalPlan::Window(Window::try_new(exprs, Arc::new(filled))?);
        }
        Ok(filled)
    }

    /// The aggregation and the filters over it, as a filled plan.
    fn fill(self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let LogicalPlan::Aggregate(aggregate) = &self.aggregate else { return Err(external(misplaced(BUCKET))) };
        let time = self.call.args.get(1).cloned().ok_or_else(|| external(misplaced(BUCKET)))?;
        let data_type = time.get_type(aggregate.input.schema())?;
        let Some(kind) = Kind::of(&data_type) else {
            let message = "the second argument of time_bucket_gapfill must be a time stamp, a date or an integer";
            return Err(error(lightning_sql::sqlstate::DATATYPE_MISMATCH, message));
        };
        let bounds = Bounds::of(&self.call, kind, &data_type, &aggregate.input, &time)?;

        // The same aggregation over plain buckets, under the names there were.
        let mut group_expr = aggregate.group_expr.clone();
        let name = aggregate.schema.qualified_field(self.bucket);
        let plain = time_bucket().call([bounds.bucket[..1].to_vec(), vec![time], bounds.bucket[1..].to_vec()].concat());
        group_expr[self.bucket] = plain.alias(name.1.name());
        let plain = Aggregate::try_new(Arc::clone(&aggregate.input), group_expr, aggregate.aggr_expr.clone())?;
        let mut input = above(plan, LogicalPlan::Aggregate(plain))?;

        let mut fills: Vec<Fill> = (0..input.schema().fields().len())
            .map(|index| match index {
                index if index == self.bucket => Fill::Bucket,
                index if index < aggregate.group_expr.len() => Fill::Group,
                _ => Fill::Null,
            })
            .collect();
        if !self.filled.is_empty() {
            let mut exprs: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
            for (index, (value, fill)) in self.filled.into_iter().enumerate() {
                exprs.push(value.alias(filled_name(index)));
                fills.push(fill);
            }
            input = LogicalPlanBuilder::from(input).project(exprs)?.build()?;
        }
        let node = GapFill::new(
            input,
            Parts {
                fills,
                bucket: bounds.bucket,
                starts: bounds.starts,
                ends: bounds.ends,
                lasts: bounds.lasts,
                constants: self.constants,
                data_bounds: self.call.func.name() == SAMPLE,
            },
        )?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }
}

/// The filters of `plan` over another aggregation.
fn above(plan: &LogicalPlan, aggregate: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Filter(filter) => {
            let input = above(&filter.input, aggregate)?;
            Ok(LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), Arc::new(input))?))
        }
        _ => Ok(aggregate),
    }
}

fn filled_name(index: usize) -> String {
    format!("\u{1}fill_{index}")
}

/// The marker an expression is, under an alias or not.
fn marked_call(expr: &Expr) -> Option<&ScalarFunction> {
    match expr {
        Expr::ScalarFunction(call) if matches!(call.func.name(), BUCKET | SAMPLE) => Some(call),
        Expr::Alias(alias) => marked_call(&alias.expr),
        _ => None,
    }
}

/// From where to where rows are made.
#[derive(Default)]
struct Bounds {
    /// Width, and what comes after the time in `time_bucket`.
    bucket: Vec<Expr>,
    starts: Vec<Expr>,
    ends: Vec<Expr>,
    lasts: Vec<Expr>,
}

impl Bounds {
    /// The arguments of the marker are `width, time, zone, origin, offset, start, finish`, or the first two and some
    /// of what `time_bucket` takes; start and finish are the two last times.
    fn of(call: &ScalarFunction, kind: Kind, data_type: &DataType, input: &LogicalPlan, time: &Expr) -> Result<Bounds> {
        let mut bounds = Bounds::default();
        let [width, _, others @ ..] = call.args.as_slice() else { return Err(external(misplaced(BUCKET))) };
        bounds.bucket.push(width.clone());
        let is_null = |expr: &Expr| matches!(expr, Expr::Literal(value, _) if value.is_null());
        match others {
            [zone, origin, offset, start, finish] => {
                bounds.bucket.extend([zone, origin, offset].into_iter().filter(|other| !is_null(other)).cloned());
                bounds.starts.extend((!is_null(start)).then(|| start.clone()));
                bounds.ends.extend((!is_null(finish)).then(|| finish.clone()));
            }
            others => {
                let mut others = others.to_vec();
                let zone_first = match others.first() {
                    Some(first) => {
                        kind.is_instant() && (others.len() % 2 == 1) && is_text(&first.get_type(input.schema())?)
                    }
                    None => false,
                };
                if zone_first {
                    bounds.bucket.push(others.remove(0));
                }
                match others.as_slice() {
                    [] => {}
                    [start, finish] => {
                        bounds.starts.extend((!is_null(start)).then(|| start.clone()));
                        bounds.ends.extend((!is_null(finish)).then(|| finish.clone()));
                    }
                    _ => {
                        let message = "time_bucket_gapfill takes a width, a time, a time zone, a start and a finish";
                        return Err(error(lightning_sql::sqlstate::UNDEFINED_FUNCTION, message));
                    }
                }
            }
        }
        let incomplete = bounds.starts.is_empty() || bounds.ends.is_empty();
        if incomplete && call.func.name() == BUCKET {
            bounds.read_conditions(input, time)?;
        }
        for list in [&mut bounds.starts, &mut bounds.ends, &mut bounds.lasts] {
            for bound in list.iter_mut() {
                let given = bound.get_type(input.schema()).unwrap_or(DataType::Null);
                *bound = cast(bound.clone(), bound_type(&given, data_type));
            }
        }
        let unbounded = bounds.starts.is_empty() || (bounds.ends.is_empty() && bounds.lasts.is_empty());
        if unbounded && call.func.name() == BUCKET {
            let missing = if bounds.starts.is_empty() { "start" } else { "finish" };
            let message = format!("missing time_bucket_gapfill argument: could not infer {missing} from WHERE clause");
            let e = lightning_sql::Error::new(INVALID_PARAMETER_VALUE, message)
                .with_hint("Specify start and finish as arguments or in the WHERE clause.");
            return Err(external(e));
        }
        Ok(bounds)
    }

    /// Bounds of the time in filters below the aggregation.
    fn read_conditions(&mut self, plan: &LogicalPlan, time: &Expr) -> Result<()> {
        let (given_start, given_end) = (!self.starts.is_empty(), !self.ends.is_empty());
        let mut plan = plan;
        let mut time = time.clone();
        loop {
            match plan {
                LogicalPlan::Filter(filter) => {
                    for condition in split_conjunction(&filter.predicate) {
                        self.read_condition(condition, &time, given_start, given_end);
                    }
                    plan = &filter.input;
                }
                LogicalPlan::SubqueryAlias(alias) => {
                    let Expr::Column(column) = &time else { return Ok(()) };
                    let Some(index) = alias.schema.maybe_index_of_column(column) else { return Ok(()) };
                    time = Expr::Column(alias.input.schema().columns().swap_remove(index));
                    plan = &alias.input;
                }
                LogicalPlan::Projection(projection) => {
                    let Expr::Column(column) = &time else { return Ok(()) };
                    let Some(index) = projection.schema.maybe_index_of_column(column) else { return Ok(()) };
                    time = projection.expr[index].clone().unalias();
                    plan = &projection.input;
                }
                _ => return Ok(()),
            }
        }
    }

    fn read_condition(&mut self, condition: &Expr, time: &Expr, given_start: bool, given_end: bool) {
        let constant = |expr: &Expr| expr.column_refs().is_empty() && !has_subquery(expr);
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (bound, op) = if left.as_ref() == time && constant(right) {
                    (right, Some(*op))
                } else if right.as_ref() == time && constant(left) {
                    (left, op.swap())
                } else {
                    return;
                };
                let bound = bound.as_ref().clone();
                match op {
                    Some(Operator::Gt | Operator::GtEq) if !given_start => self.starts.push(bound),
                    Some(Operator::Lt) if !given_end => self.ends.push(bound),
                    Some(Operator::LtEq) if !given_end => self.lasts.push(bound),
                    Some(Operator::Eq) => {
                        if !given_start {
                            self.starts.push(bound.clone());
                        }
                        if !given_end {
                            self.lasts.push(bound);
                        }
                    }
                    _ => {}
                }
            }
            Expr::Between(between) if !between.negated && between.expr.as_ref() == time => {
                if !given_start && constant(&between.low) {
                    self.starts.push(between.low.as_ref().clone());
                }
                if !given_end && constant(&between.high) {
                    self.lasts.push(between.high.as_ref().clone());
                }
            }
            _ => {}
        }
    }
}

/// The type that a bound of a time is brought to: that of the time, but nanoseconds stay what they are, since whether they are rounded
/// up or down depends on which bound it is.
fn bound_type(given: &DataType, time: &DataType) -> DataType {
    match (given, time) {
        (DataType::Timestamp(unit @ TimeUnit::Nanosecond, _), DataType::Timestamp(_, zone)) => {
            DataType::Timestamp(*unit, zone.clone())
        }
        _ => time.clone(),
    }
}

fn has_subquery(expr: &Expr) -> bool {
    let is_subquery = |part: &Expr| {
        matches!(part, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::OuterReferenceColumn(..))
    };
    expr.exists(|part| Ok(is_subquery(part))).unwrap_or(true)
}
