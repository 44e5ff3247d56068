//! Column defaults, and other expressions that depend on no row.

use crate::convert::{self, Context};
use crate::error::{Error, Result};
use crate::plan::{named_query_plan, select_of};
use crate::provider::{column_type, state_for};
use crate::session::Run;
use crate::sqlstate::{DATATYPE_MISMATCH, FEATURE_NOT_SUPPORTED};
use crate::types::{self, PgType};
use crate::write::{SourceColumn, source_of};
use crate::{parser, semantics};
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan, utils::conjunction};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast::Query;
use lightning_catalog::Column;
use std::sync::Arc;

/// An expression evaluated once per row without looking at the row.
#[derive(Debug)]
pub(crate) struct RowlessExpr {
    expr: Arc<dyn PhysicalExpr>,
    pub(crate) source: SourceColumn,
}

impl RowlessExpr {
    /// Plans a column's DEFAULT.
    pub(crate) async fn default_of(run: &Run, column: &Column) -> Result<Option<RowlessExpr>> {
        let Some(text) = &column.default else { return Ok(None) };
        Ok(Some(Self::plan(run, select_of(parser::parse_expression(text)?)?).await?))
    }

    /// Plans `SELECT expression`.
    pub(crate) async fn plan(run: &Run, query: Query) -> Result<RowlessExpr> {
        let context = run.session.context()?;
        let mut state = state_for(&run.session.base, &run.session.info, &context);
        semantics::begin_statement(&mut state, &run.session.info);
        let plan = named_query_plan(&state, &query).await?;
        let plan = crate::prepared::bind(plan, run, None)?;
        let optimized = state.optimize(&plan)?;
        let (expr, literal) = single_expression(&plan, &optimized)?;
        let source = source_of(optimized.schema().field(0), literal);
        let schema = datafusion::common::DFSchema::empty();
        let expr = physical(&state, expr, &schema)?;
        Ok(RowlessExpr { expr, source })
    }

    /// Its values for `rows` rows.
    pub(crate) fn evaluate(&self, rows: usize) -> Result<ArrayRef> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
        match self.expr.evaluate(&batch)? {
            ColumnarValue::Array(array) => Ok(array),
            ColumnarValue::Scalar(value) => Ok(value.to_array_of_size(rows)?),
        }
    }
}

fn physical(state: &SessionState, expr: Expr, schema: &datafusion::common::DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    Ok(state.create_physical_expr(expr, schema)?)
}

/// The one expression of `SELECT expression`, optimized, and whether it was written as a literal.
fn single_expression(planned: &LogicalPlan, optimized: &LogicalPlan) -> Result<(Expr, bool)> {
    let literal = is_literal(planned, 0);
    let LogicalPlan::Projection(projection) = optimized else {
        return Err(Error::new(FEATURE_NOT_SUPPORTED, "cannot use a subquery here"));
    };
    let [expr] = projection.expr.as_slice() else {
        return Err(Error::new(FEATURE_NOT_SUPPORTED, "an expression must return only one column"));
    };
    if !expr.column_refs().is_empty() || conjunction([expr.clone()]).is_some_and(|e| has_subquery(&e)) {
        return Err(Error::new(FEATURE_NOT_SUPPORTED, "cannot use a subquery here"));
    }
    Ok((expr.clone().unalias(), literal))
}

fn has_subquery(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_)))).unwrap_or(true)
}

/// Whether column `index` of a plan is written as a string literal or NULL, whose type is open.
pub(crate) fn is_literal(plan: &LogicalPlan, index: usize) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => match projection.expr.get(index).map(|e| e.clone().unalias()) {
            Some(Expr::Literal(value, _)) => {
                matches!(value, ScalarValue::Utf8(_) | ScalarValue::Utf8View(_) | ScalarValue::Null)
            }
            Some(Expr::Placeholder(_)) => true,
            _ => false,
        },
        LogicalPlan::Sort(sort) => is_literal(&sort.input, index),
        LogicalPlan::Limit(limit) => is_literal(&limit.input, index),
        LogicalPlan::Values(values) => values.values.iter().all(|row| {
            matches!(
                row.get(index),
                Some(Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Utf8View(_) | ScalarValue::Null, _))
            )
        }),
        _ => false,
    }
}

/// Checks a DEFAULT when its column is made.
pub(crate) async fn check_default(run: &Run, column: &Column) -> Result<()> {
    let default = RowlessExpr::default_of(run, column).await.map_err(|e| {
        if e.state() == crate::sqlstate::UNDEFINED_COLUMN {
            Error::new(FEATURE_NOT_SUPPORTED, "cannot use column reference in DEFAULT expression")
        } else {
            e
        }
    })?;
    let Some(default) = default else { return Ok(()) };
    let wanted = column_type(column);
    if !convert::exists(default.source.pg, wanted, Context::Assignment) {
        return Err(Error::new(
            DATATYPE_MISMATCH,
            format!(
                "column \"{}\" is of type {} but default expression is of type {}",
                column.name,
                wanted.base_name(),
                default.source.pg.base_name()
            ),
        )
        .with_hint("You will need to rewrite or cast the expression."));
    }
    if default.source.pg == crate::types::UNKNOWN {
        convert::convert(&default.evaluate(1)?, default.source.pg, wanted, Context::Assignment, run.session.zone())?;
    }
    Ok(())
}

/// The value of an expression without rows, as `pg`.
pub(crate) async fn constant(run: &Run, query: Query, pg: PgType) -> Result<ScalarValue> {
    let expr = RowlessExpr::plan(run, query).await?;
    if !convert::exists(expr.source.pg, pg, Context::Assignment) {
        return Err(convert::cannot_cast(expr.source.pg, pg));
    }
    let values = expr.evaluate(1)?;
    // A numeric without scale keeps the digits it was written with.
    if pg == types::NUMERIC && matches!(values.data_type(), DataType::Decimal128(..)) {
        return Ok(ScalarValue::try_from_array(&values, 0)?);
    }
    let values = convert::convert(&values, expr.source.pg, pg, Context::Assignment, run.session.zone())?;
    debug_assert_eq!(values.len(), 1);
    Ok(ScalarValue::try_from_array(&values, 0)?)
}
