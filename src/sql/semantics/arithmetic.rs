//! Arithmetic that fails where DataFusion's wraps: integer overflow is 22003, division by zero 22012, and a float result
//! that is infinite though its operands were not is 22003.
//!
//! After type coercion both operands have one type. Integer `+ - * /`, negation and all float operators become functions over Arrow's
//! checked kernels; they print as the operators they stand for. Integer `%` and decimals are checked by DataFusion already.
//!
//! Casts that the coercion has made between time stamps of different precision are checked, too ([`widened::implicit`]).

use super::{cast, widened};
use crate::error::Error;
use crate::sqlstate::{DIVISION_BY_ZERO, NUMERIC_VALUE_OUT_OF_RANGE};
use crate::types;
use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, PrimitiveArray};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

/// Replaces unchecked operators.
#[derive(Debug)]
pub(super) struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn name(&self) -> &str {
        "checked_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let zone = cast::zone(config);
        Ok(plan.transform_up_with_subqueries(|node| rewrite_node(node, zone))?.data)
    }
}

fn rewrite_node(plan: LogicalPlan, zone: Tz) -> Result<Transformed<LogicalPlan>> {
    if matches!(plan, LogicalPlan::Limit(_) | LogicalPlan::TableScan(_)) {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|e| rewrite_expr(e, &schema, zone))?;
        Ok(if rewritten.transformed { rewritten.update_data(|e| name.restore(e)) } else { rewritten })
    })
}

fn rewrite_expr(expr: Expr, schema: &DFSchema, zone: Tz) -> Result<Transformed<Expr>> {
    if let Expr::Cast(cast) = &expr {
        return Ok(match widened::implicit(cast, schema, zone)? {
            Some(checked) => Transformed::yes(checked),
            None => Transformed::no(expr),
        });
    }
    // Operands are moved, never cloned: they may be deep.
    Ok(match replacement(&expr, schema) {
        None => Transformed::no(expr),
        Some(op) => Transformed::yes(match expr {
            Expr::BinaryExpr(BinaryExpr { left, right, .. }) => checked(op, *left, *right),
            // An integer is negated by taking it from zero, which notices that the smallest has no counterpart.
            Expr::Negative(operand) => {
                let zero = ScalarValue::new_zero(&operand.get_type(schema)?)?;
                checked(op, Expr::Literal(zero, None), *operand)
            }
            other => other,
        }),
    })
}

/// The checked operator that computes an expression, when DataFusion's does not check.
fn replacement(expr: &Expr, schema: &DFSchema) -> Option<CheckedOperator> {
    let is_integer = |t: &DataType| matches!(t, DataType::Int16 | DataType::Int32 | DataType::Int64);
    if let Expr::Negative(operand) = expr {
        return operand.get_type(schema).is_ok_and(|t| is_integer(&t)).then_some(CheckedOperator::Minus);
    }
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    let op = CheckedOperator::of(*op)?;
    let (Ok(left_type), Ok(right_type)) = (left.get_type(schema), right.get_type(schema)) else { return None };
    let float = matches!(left_type, DataType::Float32 | DataType::Float64);
    let wanted = float || (is_integer(&left_type) && op != CheckedOperator::Modulo);
    (left_type == right_type && wanted).then_some(op)
}

fn checked(op: CheckedOperator, left: Expr, right: Expr) -> Expr {
    let function = CheckedFunction { op, signature: Signature::any(2, Volatility::Immutable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![left, right]))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum CheckedOperator {
    Plus,
    Minus,
    Multiply,
    Divide,
    Modulo,
}

impl CheckedOperator {
    fn of(op: Operator) -> Option<CheckedOperator> {
        Some(match op {
            Operator::Plus => CheckedOperator::Plus,
            Operator::Minus => CheckedOperator::Minus,
            Operator::Multiply => CheckedOperator::Multiply,
            Operator::Divide => CheckedOperator::Divide,
            Operator::Modulo => CheckedOperator::Modulo,
            _ => return None,
        })
    }

    fn symbol(self) -> &'static str {
        match self {
            CheckedOperator::Plus => "+",
            CheckedOperator::Minus => "-",
            CheckedOperator::Multiply => "*",
            CheckedOperator::Divide => "/",
            CheckedOperator::Modulo => "%",
        }
    }

    fn apply(self, left: &dyn Datum, right: &dyn Datum) -> std::result::Result<ArrayRef, ArrowError> {
        match self {
            CheckedOperator::Plus => numeric::add(left, right),
            CheckedOperator::Minus => numeric::sub(left, right),
            CheckedOperator::Multiply => numeric::mul(left, right),
            CheckedOperator::Divide => numeric::div(left, right),
            CheckedOperator::Modulo => numeric::rem(left, right),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedFunction {
    op: CheckedOperator,
    signature: Signature,
}

impl CheckedFunction {
    fn compute(&self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef> {
        let (array, _) = left.get();
        let data_type = array.data_type().clone();
        let result = self.op.apply(left, right).map_err(|e| match e {
            ArrowError::ArithmeticOverflow(_) => {
                let name = types::from_arrow(&data_type).base_name();
                fail(Error::new(NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range")))
            }
            other => DataFusionError::from(other),
        })?;
        match data_type {
            DataType::Float32 => self.check_floats::<Float32Type>(left, right, &result, |v| v.into())?,
            DataType::Float64 => self.check_floats::<Float64Type>(left, right, &result, |v| v)?,
            _ => {}
        }
        Ok(result)
    }

    /// Looks again only when something is not finite.
    fn check_floats<T: ArrowPrimitiveType>(
        &self,
        left: &dyn Datum,
        right: &dyn Datum,
        result: &ArrayRef,
        widen: impl Fn(T::Native) -> f64,
    ) -> Result<()> {
        let values: &PrimitiveArray<T> = result.as_primitive();
        if values.values().iter().all(|v| widen(*v).is_finite()) {
            return Ok(());
        }
        let (left, left_scalar) = left.get();
        let (right, right_scalar) = right.get();
        let (left, right): (&PrimitiveArray<T>, &PrimitiveArray<T>) = (left.as_primitive(), right.as_primitive());
        for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
            let a = widen(left.value(if left_scalar { 0 } else { row }));
            let b = widen(right.value(if right_scalar { 0 } else { row }));
            let value = widen(values.value(row));
            let divides = matches!(self.op, CheckedOperator::Divide | CheckedOperator::Modulo);
            if divides && b == 0.0 && !a.is_nan() {
                return Err(fail(Error::new(DIVISION_BY_ZERO, "division by zero")));
            }
            if value.is_infinite() && a.is_finite() && b.is_finite() {
                return Err(fail(Error::new(NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow")));
            }
        }
        Ok(())
    }
}

fn fail(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

impl ScalarUDFImpl for CheckedFunction {
    fn name(&self) -> &str {
        self.op.symbol()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        arg_types.first().cloned().ok_or_else(|| DataFusionError::Internal("an operator has two operands".to_owned()))
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [left, right] => Ok(format!("{left} {} {right}", self.op.symbol())),
            _ => Err(DataFusionError::Internal("an operator has two operands".to_owned())),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return Err(DataFusionError::Internal("an operator has two operands".to_owned()));
        };
        Ok(match (left, right) {
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => {
                ColumnarValue::Array(self.compute(left, right)?)
            }
            (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => {
                ColumnarValue::Array(self.compute(left, &right.to_scalar()?)?)
            }
            (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => {
                ColumnarValue::Array(self.compute(&left.to_scalar()?, right)?)
            }
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                let result = self.compute(&left.to_array()?, &right.to_array()?)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int32Array};

    fn compute(op: CheckedOperator, left: ArrayRef, right: ArrayRef) -> Result<ArrayRef> {
        CheckedFunction { op, signature: Signature::any(2, Volatility::Immutable) }.compute(&left, &right)
    }

    fn state(result: Result<ArrayRef>) -> String {
        Error::from(result.unwrap_err()).state().0.to_owned()
    }

    #[test]
    fn overflow_and_zero_are_errors() {
        let max: ArrayRef = Arc::new(Int32Array::from(vec![i32::MAX]));
        let one: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        assert_eq!(state(compute(CheckedOperator::Plus, max, one)), "22003");
        let huge: ArrayRef = Arc::new(Float64Array::from(vec![1e300]));
        let zero: ArrayRef = Arc::new(Float64Array::from(vec![0.0]));
        assert_eq!(state(compute(CheckedOperator::Multiply, Arc::clone(&huge), Arc::clone(&huge))), "22003");
        assert_eq!(state(compute(CheckedOperator::Divide, huge, zero)), "22012");
    }

    #[test]
    fn infinity_stays_infinity() {
        let infinity: ArrayRef = Arc::new(Float64Array::from(vec![f64::INFINITY]));
        let one: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        assert!(compute(CheckedOperator::Plus, infinity, one).is_ok());
    }
}
