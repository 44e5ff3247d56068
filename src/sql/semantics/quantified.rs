//! `x op ANY(array)` and `x op ALL(array)`, in three-valued logic.
//!
//! Over a constant array, `= ANY` becomes IN and `<> ALL` NOT IN, which scans and joins know.

use super::operators::{comparable, no_operator};
use crate::types::{self, PgType};
use arrow::array::{Array, AsArray, BooleanArray, ListArray, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use std::cmp::Ordering;
use std::sync::Arc;

/// The functions, one for each operator and quantifier.
pub(super) fn functions() -> Vec<ScalarUDF> {
    let quantified = |name, any, op: fn(Ordering) -> bool, symbol| {
        let signature = Signature::user_defined(Volatility::Immutable);
        ScalarUDF::new_from_impl(Quantified { name, any, holds: Holds(op), symbol, signature })
    };
    vec![
        quantified("lightning_any_eq", true, Ordering::is_eq, "="),
        quantified("lightning_any_ne", true, Ordering::is_ne, "<>"),
        quantified("lightning_any_lt", true, Ordering::is_lt, "<"),
        quantified("lightning_any_le", true, Ordering::is_le, "<="),
        quantified("lightning_any_gt", true, Ordering::is_gt, ">"),
        quantified("lightning_any_ge", true, Ordering::is_ge, ">="),
        quantified("lightning_all_eq", false, Ordering::is_eq, "="),
        quantified("lightning_all_ne", false, Ordering::is_ne, "<>"),
        quantified("lightning_all_lt", false, Ordering::is_lt, "<"),
        quantified("lightning_all_le", false, Ordering::is_le, "<="),
        quantified("lightning_all_gt", false, Ordering::is_gt, ">"),
        quantified("lightning_all_ge", false, Ordering::is_ge, ">="),
    ]
}

/// Whether a function is one of these.
pub(crate) fn is_quantified(function: &ScalarUDF) -> bool {
    function.inner().is::<Quantified>()
}

/// What an operator says of an ordering.
#[derive(Clone, Copy, Debug)]
struct Holds(fn(Ordering) -> bool);

#[derive(Debug)]
struct Quantified {
    name: &'static str,
    any: bool,
    holds: Holds,
    symbol: &'static str,
    signature: Signature,
}

impl PartialEq for Quantified {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Quantified {}

impl std::hash::Hash for Quantified {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// Numbers and the like compare as columns do; a text is compared with nothing but text.
fn common_type(left: &DataType, element: &DataType) -> Result<DataType> {
    if left == element || element.is_null() {
        return Ok(left.clone());
    }
    if left.is_null() {
        return Ok(element.clone());
    }
    let (left_pg, element_pg): (PgType, PgType) = (types::from_arrow(left), types::from_arrow(element));
    let common = if comparable(left_pg, element_pg) { comparison_coercion(left, element) } else { None };
    common.ok_or_else(|| DataFusionError::External(Box::new(no_operator(&BinaryOperator::Eq, left_pg, element_pg))))
}

fn not_an_array() -> DataFusionError {
    let message = "op ANY/ALL (array) requires array on right side";
    DataFusionError::External(Box::new(crate::Error::new(crate::sqlstate::WRONG_OBJECT_TYPE, message)))
}

impl Quantified {
    fn row(&self, left: usize, list: &ListArray, row: usize, left_null: bool, compare: &Compare) -> Option<bool> {
        if list.is_null(row) {
            return None;
        }
        let (start, end) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
        let mut unknown = false;
        for at in start..end {
            if left_null || list.values().is_null(at) {
                unknown = true;
            } else if (self.holds.0)(compare(left, at)) == self.any {
                return Some(self.any);
            }
        }
        if unknown { None } else { Some(!self.any) }
    }
}

type Compare = dyn Fn(usize, usize) -> Ordering + Send + Sync;

impl ScalarUDFImpl for Quantified {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = given else { return plan_err!("{} takes a value and an array", self.symbol) };
        match right {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                let common = common_type(left, item.data_type())?;
                Ok(vec![common.clone(), DataType::List(types::list_item(common))])
            }
            // Text that is read as an array, or a parameter, whose type is decided later.
            DataType::Null | DataType::Utf8 | DataType::Utf8View => Ok(given.to_vec()),
            _ => Err(not_an_array()),
        }
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [left, right] => Ok(format!("{left} {} {}({right})", self.symbol, if self.any { "ANY" } else { "ALL" })),
            _ => plan_err!("{} takes a value and an array", self.symbol),
        }
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let listed = matches!((self.any, self.symbol), (true, "=") | (false, "<>"));
        let elements = match args.as_slice() {
            [_, Expr::Literal(ScalarValue::List(list), _)] if listed && list.is_valid(0) => Some(list.value(0)),
            _ => None,
        };
        let (Some(elements), [left, _]) = (elements, args.as_slice()) else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        if elements.is_empty() || matches!(elements.data_type(), DataType::List(_)) {
            return Ok(ExprSimplifyResult::Original(args));
        }
        let literals = (0..elements.len())
            .map(|row| Ok(Expr::Literal(ScalarValue::try_from_array(&elements, row)?, None)))
            .collect::<Result<Vec<_>>>()?;
        Ok(ExprSimplifyResult::Simplified(left.clone().in_list(literals, !self.any)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return plan_err!("{} takes a value and an array", self.symbol);
        };
        let constant = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let one_left = matches!(left, ColumnarValue::Scalar(_));
        let left = left.to_array(if one_left { 1 } else { rows })?;
        let one_right = matches!(right, ColumnarValue::Scalar(_));
        let right = right.to_array(if one_right { 1 } else { rows })?;
        let results: BooleanArray = match right.as_list_opt::<i32>() {
            None if right.data_type().is_null() => BooleanArray::new_null(rows),
            None => return Err(not_an_array()),
            Some(list) => {
                let ascending = SortOptions { descending: false, nulls_first: false };
                let compare: Box<Compare> = if left.data_type() == list.values().data_type() {
                    make_comparator(&left, list.values(), ascending)?
                } else {
                    // Only NULL is left without a type.
                    Box::new(|_, _| Ordering::Equal)
                };
                let untyped = left.data_type() != list.values().data_type();
                let values = (0..rows).map(|row| {
                    let (l, r) = (if one_left { 0 } else { row }, if one_right { 0 } else { row });
                    self.row(l, list, r, untyped || left.is_null(l), &compare)
                });
                values.collect()
            }
        };
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&results, 0)?)
        } else {
            ColumnarValue::Array(Arc::new(results))
        })
    }
}
