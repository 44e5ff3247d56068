//! Joins by time, and the latest row of each key: logical nodes and the operators that run them.
//!
//! - [`asof`]: each left row with the right row of the same key that is closest in time, before or after.
//! - [`window`]: each left row with aggregates of the right rows of the same key in a range of time around it.
//! - [`latest`]: of each key the row with the latest time.
//!
//! Both joins read the right side into a [`timeline::Timeline`], which finds the rows of a key by time; the left side
//! streams through, keeps its order and is read by as many partitions as it has.

pub(crate) mod asof;
mod condition;
pub(crate) mod latest;
mod timeline;
pub(crate) mod window;

use crate::rewrite::aggregate_name;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use condition::Condition;
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use std::sync::Arc;

/// Two tables that are to be joined by time, while their condition is read.
#[derive(Debug)]
pub(crate) struct Sides {
    left: LogicalPlan,
    right: LogicalPlan,
    condition: Condition,
}

impl Sides {
    pub(crate) fn new(left: LogicalPlan, right: LogicalPlan) -> Sides {
        Sides { left, right, condition: Condition::default() }
    }

    /// Adds the condition of ON or of MATCH_CONDITION.
    pub(crate) fn on(&mut self, expr: Expr) -> Result<()> {
        self.condition.on(expr, &self.left, &self.right)
    }

    /// Adds the columns of USING; with `times`, the last one is the time.
    pub(crate) fn using(&mut self, names: &[String], times: bool) -> Result<()> {
        self.condition.using(names, &self.left, &self.right, times)
    }

    /// The plan of an ASOF join; `outer` keeps left rows without a match.
    pub(crate) fn asof(self, tolerance: Option<Expr>, outer: bool) -> Result<LogicalPlan> {
        let Sides { left, right, condition } = self;
        let node = asof::AsofJoin::new(left, right, condition, tolerance, outer)?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// The plan of a window join: the two edges of the range, whether they follow and how far they are, and aggregates.
    pub(crate) fn window(self, edges: Vec<(bool, Option<Expr>)>, aggregates: Vec<Expr>) -> Result<LogicalPlan> {
        let Sides { left, right, condition } = self;
        let edges: Vec<window::Edge> =
            edges.into_iter().map(|(follows, distance)| window::Edge { follows, distance }).collect();
        let edges = edges.try_into().map_err(|_| DataFusionError::Internal("a range has two edges".to_owned()))?;
        window::check(&edges)?;
        let named = aggregates.into_iter().enumerate().map(|(index, expr)| (expr, aggregate_name(index)));
        let node = window::WindowJoin::new(left, right, condition, edges, named.collect())?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }
}

/// The plan of LATEST ON: the time, then the keys.
pub(crate) fn latest(input: LogicalPlan, mut exprs: Vec<Expr>) -> Result<LogicalPlan> {
    if exprs.len() < 2 {
        return Err(DataFusionError::Internal("LATEST ON has a time and keys".to_owned()));
    }
    let time = exprs.remove(0);
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(latest::Latest::new(input, time, exprs)) }))
}

/// The columns of the left side, then some of the right that may be NULL.
fn joined_schema(
    left: &LogicalPlan,
    right: &LogicalPlan,
    keeps: impl Fn(usize) -> bool,
    nullable: bool,
) -> Result<DFSchemaRef> {
    let of_left = left.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)));
    let of_right =
        right.schema().iter().enumerate().filter(|(index, _)| keeps(*index)).map(|(_, (qualifier, field))| {
            let nullable = nullable || field.is_nullable();
            (qualifier.cloned(), Arc::new(field.as_ref().clone().with_nullable(nullable)))
        });
    let fields = of_left.chain(of_right).collect();
    Ok(Arc::new(DFSchema::new_with_metadata(fields, left.schema().metadata().clone())?))
}

/// The value of an expression without columns.
fn constant(expr: &Arc<dyn PhysicalExpr>) -> Result<ScalarValue> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
    ScalarValue::try_from_array(&expr.evaluate(&row)?.into_array(1)?, 0)
}
