//! What a condition implies about one column.
//!
//! The filters that joins and TopK publish are trees of AND, OR, CASE and membership tests. From such a tree this module
//! derives an interval that holds every value of a column for which the condition can be true: conjunctions intersect,
//! disjunctions and CASE branches take the hull, and what is not understood bounds nothing. Intervals prune zones
//! without a look at a single row.

use super::literal::{column_of, exact_array, literal_of};
use arrow::datatypes::Schema;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, InListExpr};
use std::cmp::Ordering;
use std::sync::Arc;

/// Values of a column for which a condition can be true.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bounds {
    /// None: the condition is never true.
    Empty,
    /// All from the lower to the upper bound, inclusive. NULL is among them when neither is set.
    Range(Option<ScalarValue>, Option<ScalarValue>),
}

impl Bounds {
    const ALL: Bounds = Bounds::Range(None, None);

    /// What `condition` implies about table column `column`.
    pub(super) fn of(condition: &Arc<dyn PhysicalExpr>, column: usize, schema: &Schema) -> Bounds {
        if let Some(value) = literal_of(condition) {
            return if value == &ScalarValue::Boolean(Some(true)) { Bounds::ALL } else { Bounds::Empty };
        }
        if let Some(binary) = condition.downcast_ref::<BinaryExpr>() {
            return of_binary(binary, column, schema);
        }
        if let Some(list) = condition.downcast_ref::<InListExpr>() {
            return of_list(list, column, schema).unwrap_or(Bounds::ALL);
        }
        if let Some(case) = condition.downcast_ref::<CaseExpr>() {
            return of_case(case, column, schema);
        }
        Bounds::ALL
    }

    /// Both hold.
    pub(super) fn intersect(self, other: Bounds) -> Bounds {
        let (Bounds::Range(a_low, a_high), Bounds::Range(b_low, b_high)) = (self, other) else { return Bounds::Empty };
        let low = tighter(a_low, b_low, Ordering::Greater);
        let high = tighter(a_high, b_high, Ordering::Less);
        match (&low, &high) {
            (Some(low), Some(high)) if low.partial_cmp(high) == Some(Ordering::Greater) => Bounds::Empty,
            _ => Bounds::Range(low, high),
        }
    }

    /// Either holds.
    fn hull(self, other: Bounds) -> Bounds {
        match (self, other) {
            (Bounds::Empty, other) | (other, Bounds::Empty) => other,
            (Bounds::Range(a_low, a_high), Bounds::Range(b_low, b_high)) => {
                let low =
                    a_low.zip(b_low).map(|(a, b)| if a.partial_cmp(&b) == Some(Ordering::Greater) { b } else { a });
                let high =
                    a_high.zip(b_high).map(|(a, b)| if a.partial_cmp(&b) == Some(Ordering::Less) { b } else { a });
                Bounds::Range(low, high)
            }
        }
    }
}

/// The bound that says more; `wanted` is how the better one compares to the other.
fn tighter(a: Option<ScalarValue>, b: Option<ScalarValue>, wanted: Ordering) -> Option<ScalarValue> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.partial_cmp(&a) == Some(wanted) { b } else { a }),
        (a, b) => a.or(b),
    }
}

fn of_binary(binary: &BinaryExpr, column: usize, schema: &Schema) -> Bounds {
    let both = || (Bounds::of(binary.left(), column, schema), Bounds::of(binary.right(), column, schema));
    match binary.op() {
        Operator::And => {
            let (a, b) = both();
            a.intersect(b)
        }
        Operator::Or => {
            let (a, b) = both();
            a.hull(b)
        }
        op => of_comparison(binary, *op, column, schema).unwrap_or(Bounds::ALL),
    }
}

fn of_comparison(binary: &BinaryExpr, op: Operator, column: usize, schema: &Schema) -> Option<Bounds> {
    let (value, op) = if column_of(binary.left(), schema) == Some(column) {
        (literal_of(binary.right())?, op)
    } else if column_of(binary.right(), schema) == Some(column) {
        (literal_of(binary.left())?, op.swap()?)
    } else {
        return None;
    };
    if value.is_null() {
        return Some(Bounds::Empty);
    }
    let value = ScalarValue::try_from_array(&exact_array(value, schema.field(column).data_type())?, 0).ok()?;
    Some(match op {
        Operator::Eq => Bounds::Range(Some(value.clone()), Some(value)),
        Operator::Lt | Operator::LtEq => Bounds::Range(None, Some(value)),
        Operator::Gt | Operator::GtEq => Bounds::Range(Some(value), None),
        _ => return None,
    })
}

fn of_list(list: &InListExpr, column: usize, schema: &Schema) -> Option<Bounds> {
    if list.negated() || column_of(list.expr(), schema) != Some(column) {
        return None;
    }
    let data_type = schema.field(column).data_type();
    let mut bounds = Bounds::Empty;
    for item in list.list() {
        let value = literal_of(item)?;
        if !value.is_null() {
            let value = ScalarValue::try_from_array(&exact_array(value, data_type)?, 0).ok()?;
            bounds = bounds.hull(Bounds::Range(Some(value.clone()), Some(value)));
        }
    }
    Some(bounds)
}

fn of_case(case: &CaseExpr, column: usize, schema: &Schema) -> Bounds {
    let otherwise = case.else_expr().map_or(Bounds::Empty, |other| Bounds::of(other, column, schema));
    case.when_then_expr().iter().fold(otherwise, |bounds, (_, then)| bounds.hull(Bounds::of(then, column, schema)))
}

/// Number of elements of an array-like bound pair as integers: the widest distance a bitmap would span.
pub(super) fn as_integers(low: &ScalarValue, high: &ScalarValue) -> Option<(i64, i64)> {
    let integer = |value: &ScalarValue| -> Option<i64> {
        Some(match value {
            ScalarValue::Int16(Some(v)) => i64::from(*v),
            ScalarValue::Int32(Some(v)) | ScalarValue::Date32(Some(v)) => i64::from(*v),
            ScalarValue::Int64(Some(v)) | ScalarValue::TimestampMicrosecond(Some(v), _) => *v,
            _ => return None,
        })
    };
    Some((integer(low)?, integer(high)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field};
    use datafusion::common::DFSchema;
    use datafusion::execution::context::SessionContext;

    fn bounds(sql: &str) -> Bounds {
        let schema = Schema::new(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Int32, true)]);
        let df_schema = DFSchema::try_from(schema.clone()).unwrap();
        let context = SessionContext::new();
        let expr = context.parse_sql_expr(sql, &df_schema).unwrap();
        let expr = context.create_physical_expr(expr, &df_schema).unwrap();
        Bounds::of(&expr, 0, &schema)
    }

    fn range(low: Option<i32>, high: Option<i32>) -> Bounds {
        Bounds::Range(low.map(ScalarValue::from), high.map(ScalarValue::from))
    }

    #[test]
    fn conjunctions_intersect() {
        assert_eq!(bounds("a >= 3 AND a <= 9 AND b = 1"), range(Some(3), Some(9)));
        assert_eq!(bounds("a >= 9 AND a <= 3"), Bounds::Empty);
    }

    #[test]
    fn disjunctions_take_the_hull() {
        assert_eq!(bounds("a = 3 OR (a = 9 AND b > 2)"), range(Some(3), Some(9)));
        assert_eq!(bounds("a = 3 OR b = 9"), Bounds::ALL);
        assert_eq!(bounds("a < 3 OR a = 5"), range(None, Some(5)));
    }

    #[test]
    fn cases_take_the_hull_of_their_branches() {
        assert_eq!(bounds("CASE b WHEN 0 THEN a IN (4, 5) WHEN 1 THEN a = 7 ELSE false END"), range(Some(4), Some(7)));
        assert_eq!(bounds("CASE b WHEN 0 THEN a = 4 ELSE true END"), Bounds::ALL);
    }
}
