//! Operators between arrays: `= <> < <= > >=`, `@>`, `<@`, `&&`.
//!
//! Arrays compare element by element, then by length; NULL elements are equal to each other and greater than all else. The
//! operators of sets find no NULL equal to anything.

use crate::types;
use arrow::array::{Array, AsArray, BooleanArray, ListArray, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use std::cmp::Ordering;
use std::sync::Arc;

/// The expression for an operator between two arrays; `None` when there is no such operator.
pub(super) fn planned(op: &BinaryOperator, left: Expr, right: Expr) -> Option<Expr> {
    let op = ArrayOperator::of(op)?;
    let function = ArrayFunction { op, signature: Signature::user_defined(Volatility::Immutable) };
    let function = Arc::new(ScalarUDF::new_from_impl(function));
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![left, right])))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ArrayOperator {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
    Contains,
    ContainedBy,
    Overlaps,
}

impl ArrayOperator {
    fn of(op: &BinaryOperator) -> Option<ArrayOperator> {
        Some(match op {
            BinaryOperator::Eq => ArrayOperator::Eq,
            BinaryOperator::NotEq => ArrayOperator::NotEq,
            BinaryOperator::Lt => ArrayOperator::Lt,
            BinaryOperator::LtEq => ArrayOperator::LtEq,
            BinaryOperator::Gt => ArrayOperator::Gt,
            BinaryOperator::GtEq => ArrayOperator::GtEq,
            BinaryOperator::AtArrow => ArrayOperator::Contains,
            BinaryOperator::ArrowAt => ArrayOperator::ContainedBy,
            BinaryOperator::PGOverlap => ArrayOperator::Overlaps,
            _ => return None,
        })
    }

    fn symbol(self) -> &'static str {
        match self {
            ArrayOperator::Eq => "=",
            ArrayOperator::NotEq => "<>",
            ArrayOperator::Lt => "<",
            ArrayOperator::LtEq => "<=",
            ArrayOperator::Gt => ">",
            ArrayOperator::GtEq => ">=",
            ArrayOperator::Contains => "@>",
            ArrayOperator::ContainedBy => "<@",
            ArrayOperator::Overlaps => "&&",
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayFunction {
    op: ArrayOperator,
    signature: Signature,
}

type Compare = dyn Fn(usize, usize) -> Ordering + Send + Sync;

fn range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize
}

/// Whether every element of `list`'s row `row` is among the other's.
fn all_in(
    list: &ListArray,
    row: usize,
    other: &ListArray,
    other_row: usize,
    equal: &dyn Fn(usize, usize) -> bool,
) -> bool {
    range(list, row).all(|at| {
        list.values().is_valid(at)
            && range(other, other_row).any(|there| other.values().is_valid(there) && equal(at, there))
    })
}

impl ArrayFunction {
    fn row(&self, left: &ListArray, l: usize, right: &ListArray, r: usize, compare: &Compare) -> bool {
        let ordering = || compare(l, r);
        match self.op {
            ArrayOperator::Eq => ordering().is_eq(),
            ArrayOperator::NotEq => ordering().is_ne(),
            ArrayOperator::Lt => ordering().is_lt(),
            ArrayOperator::LtEq => ordering().is_le(),
            ArrayOperator::Gt => ordering().is_gt(),
            ArrayOperator::GtEq => ordering().is_ge(),
            ArrayOperator::Contains => all_in(right, r, left, l, &|there, here| compare(here, there).is_eq()),
            ArrayOperator::ContainedBy => all_in(left, l, right, r, &|here, there| compare(here, there).is_eq()),
            ArrayOperator::Overlaps => range(left, l).any(|here| {
                left.values().is_valid(here)
                    && range(right, r).any(|there| right.values().is_valid(there) && compare(here, there).is_eq())
            }),
        }
    }
}

/// The array type both sides can be brought to. Depths may differ: such arrays are unequal, and empty ones have no depth.
fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    let item = |data_type: &DataType| match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Some(item.data_type().clone())
        }
        _ => None,
    };
    let (left, right) = (item(left)?, item(right)?);
    let element = match (item(&left), item(&right)) {
        (Some(_), Some(_)) => common_type(&left, &right)?,
        _ if left == right || right.is_null() => left,
        _ if left.is_null() => right,
        _ => comparison_coercion(&left, &right)?,
    };
    Some(DataType::List(types::list_item(element)))
}

impl ScalarUDFImpl for ArrayFunction {
    fn name(&self) -> &str {
        self.op.symbol()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = given else { return plan_err!("{} takes two arrays", self.name()) };
        if left.is_null() || right.is_null() {
            return Ok(given.to_vec());
        }
        match common_type(left, right) {
            Some(common) => Ok(vec![common.clone(), common]),
            None => Err(DataFusionError::External(Box::new(crate::convert::undefined_operator(
                self.name(),
                types::from_arrow(left),
                types::from_arrow(right),
            )))),
        }
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [left, right] => Ok(format!("{left} {} {right}", self.name())),
            _ => plan_err!("{} takes two arrays", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else { return plan_err!("{} takes two arrays", self.name()) };
        let (one_left, one_right) =
            (matches!(left, ColumnarValue::Scalar(_)), matches!(right, ColumnarValue::Scalar(_)));
        let constant = one_left && one_right;
        let rows = if constant { 1 } else { args.number_rows };
        let left = left.to_array(if one_left { 1 } else { rows })?;
        let right = right.to_array(if one_right { 1 } else { rows })?;
        let results: BooleanArray = match (left.as_list_opt::<i32>(), right.as_list_opt::<i32>()) {
            (Some(left), Some(right)) => {
                let ascending = SortOptions { descending: false, nulls_first: false };
                let sets =
                    matches!(self.op, ArrayOperator::Contains | ArrayOperator::ContainedBy | ArrayOperator::Overlaps);
                let compare: Box<Compare> = if sets {
                    make_comparator(left.values(), right.values(), ascending)?
                } else {
                    make_comparator(left, right, ascending)?
                };
                let values = (0..rows).map(|row| {
                    let (l, r) = (if one_left { 0 } else { row }, if one_right { 0 } else { row });
                    (left.is_valid(l) && right.is_valid(r)).then(|| self.row(left, l, right, r, &compare))
                });
                values.collect()
            }
            _ => BooleanArray::new_null(rows),
        };
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&results, 0)?)
        } else {
            ColumnarValue::Array(Arc::new(results))
        })
    }
}
