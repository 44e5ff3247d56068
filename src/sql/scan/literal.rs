//! Constants in a column's own type, and the casts that may be looked through to get there.
//!
//! The planner compares values of different types by casting the column: `l_quantity < 24` becomes
//! `CAST(l_quantity AS Decimal128(22, 2)) < 24.00`. Storage compares encoded values, so the cast moves to the constant.
//! That is right only when the cast of the column keeps order and never maps two values to one, and when the constant
//! has an exact counterpart in the column's type.

use arrow::array::ArrayRef;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use std::sync::Arc;

/// The column that `expr` is, casts that keep order and distinctness removed.
pub(super) fn column_of(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<usize> {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return (column.index() < schema.fields().len()).then(|| column.index());
    }
    let cast = expr.downcast_ref::<CastExpr>()?;
    let from = cast.expr().data_type(schema).ok()?;
    if is_lossless(&from, cast.cast_type()) { column_of(cast.expr(), schema) } else { None }
}

/// The constant that `expr` is.
pub(super) fn literal_of(expr: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    expr.downcast_ref::<Literal>().map(Literal::value)
}

/// `value` as a one-element array of type `to`, when nothing is lost. `None` for NULL.
pub(super) fn exact_array(value: &ScalarValue, to: &DataType) -> Option<ArrayRef> {
    if value.is_null() {
        return None;
    }
    let array = value.to_array().ok()?;
    let from = array.data_type().clone();
    if &from == to {
        return Some(array);
    }
    if !is_comparable(&from, to) {
        return None;
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let cast = cast_with_options(&array, to, &options).ok()?;
    let back = cast_with_options(&cast, &from, &options).ok()?;
    (cast.null_count() == 0 && back.as_ref() == array.as_ref()).then_some(cast)
}

/// Whether storage evaluates predicates on columns of this type.
pub(super) fn is_filterable(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(
        data_type,
        Boolean
            | Int16
            | Int32
            | Int64
            | Float32
            | Float64
            | Decimal128(_, _)
            | Date32
            | Time64(_)
            | Timestamp(_, _)
            | Utf8View
            | BinaryView
    )
}

/// Whether values of this type are 64-bit integers underneath, so that sets of them can be bitmaps.
pub(super) fn is_integer_like(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(data_type, Int16 | Int32 | Int64 | Date32 | Timestamp(TimeUnit::Microsecond, _))
}

/// Casts that keep order and never merge two values.
fn is_lossless(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    if from == to {
        return true;
    }
    match (from, to) {
        (Int16, Int32 | Int64 | Float32 | Float64) | (Int32, Int64 | Float64) | (Float32, Float64) => true,
        (Int16, Decimal128(p, s)) => i32::from(*p) - i32::from(*s) >= 5,
        (Int32, Decimal128(p, s)) => i32::from(*p) - i32::from(*s) >= 10,
        (Int64, Decimal128(p, s)) => i32::from(*p) - i32::from(*s) >= 19,
        (Decimal128(p, s), Decimal128(to_p, to_s)) => {
            to_s >= s && i32::from(*to_p) - i32::from(*to_s) >= i32::from(*p) - i32::from(*s)
        }
        (Utf8View, Utf8 | LargeUtf8) | (BinaryView, Binary | LargeBinary) => true,
        _ => false,
    }
}

/// Pairs of types whose values compare as numbers, or as strings, or as bytes, without regard to session settings.
fn is_comparable(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    let number = |t: &DataType| t.is_integer() || t.is_floating() || matches!(t, Decimal128(_, _));
    let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    let bytes = |t: &DataType| matches!(t, Binary | LargeBinary | BinaryView);
    (number(from) && number(to)) || (text(from) && text(to)) || (bytes(from) && bytes(to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Decimal128Type, Int32Type};

    #[test]
    fn exact_constants_convert() {
        let array = exact_array(&ScalarValue::Decimal128(Some(2400), 22, 2), &DataType::Decimal128(15, 2)).unwrap();
        assert_eq!(array.as_primitive::<Decimal128Type>().value(0), 2400);
        let array = exact_array(&ScalarValue::Int64(Some(7)), &DataType::Int32).unwrap();
        assert_eq!(array.as_primitive::<Int32Type>().value(0), 7);
        let array = exact_array(&ScalarValue::from("x"), &DataType::Utf8View).unwrap();
        assert_eq!(array.len(), 1);
    }

    #[test]
    fn inexact_constants_do_not() {
        assert!(exact_array(&ScalarValue::Decimal128(Some(55), 4, 3), &DataType::Decimal128(15, 2)).is_none());
        assert!(exact_array(&ScalarValue::Int64(Some(1 << 40)), &DataType::Int32).is_none());
        assert!(exact_array(&ScalarValue::Float64(Some(1.5)), &DataType::Int32).is_none());
        assert!(exact_array(&ScalarValue::Int32(None), &DataType::Int32).is_none());
    }

    #[test]
    fn only_lossless_casts_are_looked_through() {
        assert!(is_lossless(&DataType::Int32, &DataType::Int64));
        assert!(is_lossless(&DataType::Decimal128(15, 2), &DataType::Decimal128(22, 4)));
        assert!(!is_lossless(&DataType::Decimal128(15, 2), &DataType::Decimal128(15, 4)));
        assert!(!is_lossless(&DataType::Int64, &DataType::Float64));
        assert!(!is_lossless(&DataType::Int64, &DataType::Int32));
    }
}
