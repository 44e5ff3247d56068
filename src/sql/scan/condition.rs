//! Conditions of a query as storage predicates.
//!
//! [`translate`] takes one conjunct of a WHERE clause, over the columns of the table, and answers with the predicate
//! that holds for exactly the same rows, or `None` when storage has no such predicate. [`merge`] then joins bounds on
//! one column: `d >= a AND d < b` over dates is one pass with BETWEEN instead of two.

use super::literal::{column_of, exact_array, is_filterable, literal_of};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, NotExpr,
};
use lightning_storage::{CompareOp, Predicate};
use std::sync::Arc;

/// The predicate that is true for the same rows as `condition`, a conjunct over the columns of `schema`.
pub(super) fn translate(condition: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Predicate> {
    if let Some(binary) = condition.downcast_ref::<BinaryExpr>() {
        return match binary.op() {
            Operator::Or => disjunction(condition, schema),
            _ => comparison(binary, schema),
        };
    }
    if let Some(list) = condition.downcast_ref::<InListExpr>() {
        return in_list(list, schema);
    }
    if let Some(null) = condition.downcast_ref::<IsNullExpr>() {
        return Some(Predicate::IsNull { column: bare_column(null.arg(), schema)? });
    }
    if let Some(null) = condition.downcast_ref::<IsNotNullExpr>() {
        return Some(Predicate::IsNotNull { column: bare_column(null.arg(), schema)? });
    }
    if let Some(like) = condition.downcast_ref::<LikeExpr>() {
        return prefix(like, schema);
    }
    if let Some(not) = condition.downcast_ref::<NotExpr>() {
        return boolean(not.arg(), false, schema);
    }
    boolean(condition, true, schema)
}

/// A predicate no row passes; `None` for a table without columns.
pub(super) fn nothing(schema: &Schema) -> Option<Predicate> {
    let column = schema.fields().iter().position(|field| is_filterable(field.data_type()))?;
    Some(Predicate::In { column, values: new_empty_array(schema.field(column).data_type()) })
}

fn bare_column(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<usize> {
    let column = column_of(expr, schema)?;
    is_filterable(schema.field(column).data_type()).then_some(column)
}

fn boolean(expr: &Arc<dyn PhysicalExpr>, value: bool, schema: &Schema) -> Option<Predicate> {
    let column = expr.downcast_ref::<Column>()?.index();
    (schema.fields().get(column)?.data_type() == &DataType::Boolean).then(|| Predicate::Compare {
        column,
        op: CompareOp::Eq,
        value: Arc::new(BooleanArray::from(vec![value])),
    })
}

fn comparison(binary: &BinaryExpr, schema: &Schema) -> Option<Predicate> {
    let op = compare_op(*binary.op())?;
    let (column, value, op) = match (column_of(binary.left(), schema), literal_of(binary.right())) {
        (Some(column), Some(value)) => (column, value, op),
        _ => (column_of(binary.right(), schema)?, literal_of(binary.left())?, mirrored(op)),
    };
    let data_type = schema.field(column).data_type();
    if !is_filterable(data_type) {
        return None;
    }
    if value.is_null() {
        return Some(Predicate::In { column, values: new_empty_array(data_type) });
    }
    Some(Predicate::Compare { column, op, value: exact_array(value, data_type)? })
}

fn compare_op(op: Operator) -> Option<CompareOp> {
    Some(match op {
        Operator::Eq => CompareOp::Eq,
        Operator::NotEq => CompareOp::NotEq,
        Operator::Lt => CompareOp::Lt,
        Operator::LtEq => CompareOp::LtEq,
        Operator::Gt => CompareOp::Gt,
        Operator::GtEq => CompareOp::GtEq,
        _ => return None,
    })
}

fn mirrored(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::LtEq => CompareOp::GtEq,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::GtEq => CompareOp::LtEq,
        same => same,
    }
}

/// `a = 1 OR a = 2 OR a IN (3, 4)` is `a IN (1, 2, 3, 4)`.
fn disjunction(condition: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Predicate> {
    let mut branches = Vec::new();
    collect_disjuncts(condition, &mut branches);
    let mut column = None;
    let mut values: Vec<ArrayRef> = Vec::new();
    for branch in branches {
        let (branch_column, branch_values) = match translate(branch, schema)? {
            Predicate::Compare { column, op: CompareOp::Eq, value } => (column, value),
            Predicate::In { column, values } => (column, values),
            _ => return None,
        };
        if *column.get_or_insert(branch_column) != branch_column {
            return None;
        }
        values.push(branch_values);
    }
    let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    Some(Predicate::In { column: column?, values: concat(&values).ok()? })
}

fn collect_disjuncts<'a>(condition: &'a Arc<dyn PhysicalExpr>, out: &mut Vec<&'a Arc<dyn PhysicalExpr>>) {
    match condition.downcast_ref::<BinaryExpr>() {
        Some(binary) if binary.op() == &Operator::Or => {
            collect_disjuncts(binary.left(), out);
            collect_disjuncts(binary.right(), out);
        }
        _ => out.push(condition),
    }
}

/// `column IN (constants)`. A NULL among them never makes the condition true, so it is dropped. Lists with a constant that
/// has no counterpart in the column's type are left to the row filter.
fn in_list(list: &InListExpr, schema: &Schema) -> Option<Predicate> {
    let column = bare_column(list.expr(), schema)?;
    if list.negated() {
        return None;
    }
    let data_type = schema.field(column).data_type();
    let mut values: Vec<ArrayRef> = Vec::with_capacity(list.list().len());
    for item in list.list() {
        let value = literal_of(item)?;
        if !value.is_null() {
            values.push(exact_array(value, data_type)?);
        }
    }
    if values.is_empty() {
        return Some(Predicate::In { column, values: new_empty_array(data_type) });
    }
    let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    Some(Predicate::In { column, values: concat(&values).ok()? })
}

/// `column LIKE 'prefix%'` without other wildcards or escapes.
fn prefix(like: &LikeExpr, schema: &Schema) -> Option<Predicate> {
    let column = bare_column(like.expr(), schema)?;
    if like.case_insensitive() || schema.field(column).data_type() != &DataType::Utf8View {
        return None;
    }
    let pattern = match literal_of(like.pattern())? {
        ScalarValue::Utf8(Some(pattern))
        | ScalarValue::Utf8View(Some(pattern))
        | ScalarValue::LargeUtf8(Some(pattern)) => pattern,
        _ => return None,
    };
    let prefix = pattern.strip_suffix('%')?;
    if prefix.contains(['%', '_', '\\']) {
        return None;
    }
    Some(Predicate::Prefix { column, prefix: prefix.as_bytes().to_vec(), negated: like.negated() })
}

/// Joins a lower and an upper bound on one column to a BETWEEN; strict bounds of whole numbers are made inclusive first.
pub(super) fn merge(predicates: Vec<Predicate>) -> Vec<Predicate> {
    let mut merged: Vec<Predicate> = Vec::with_capacity(predicates.len());
    for predicate in predicates.into_iter().map(inclusive) {
        let place = merged.iter().position(|earlier| join_bounds(earlier, &predicate).is_some());
        match place.and_then(|place| join_bounds(&merged[place], &predicate).map(|joined| (place, joined))) {
            Some((place, joined)) => merged[place] = joined,
            None => merged.push(predicate),
        }
    }
    merged
}

/// `x > 4` is `x >= 5` over whole numbers, unless 5 does not exist.
fn inclusive(predicate: Predicate) -> Predicate {
    let Predicate::Compare { column, op, value } = &predicate else { return predicate };
    let (step, op) = match op {
        CompareOp::Gt => (1, CompareOp::GtEq),
        CompareOp::Lt => (-1, CompareOp::LtEq),
        _ => return predicate,
    };
    match neighbour(value, step) {
        Some(value) => Predicate::Compare { column: *column, op, value },
        None => predicate,
    }
}

/// The whole number next to the one in `value`; `None` at the end of the type's range or for other types.
fn neighbour(value: &ArrayRef, step: i8) -> Option<ArrayRef> {
    use arrow::array::PrimitiveArray;
    macro_rules! step_by {
        ($type:ty) => {{
            let next = value.as_primitive::<$type>().value(0).checked_add(step.into())?;
            Some(Arc::new(PrimitiveArray::<$type>::from(vec![next])) as ArrayRef)
        }};
    }
    match value.data_type() {
        DataType::Int16 => step_by!(Int16Type),
        DataType::Int32 => step_by!(Int32Type),
        DataType::Int64 => step_by!(Int64Type),
        DataType::Date32 => step_by!(Date32Type),
        DataType::Decimal128(p, s) => {
            let next = value.as_primitive::<Decimal128Type>().value(0).checked_add(step.into())?;
            let next = arrow::array::Decimal128Array::from(vec![next]).with_precision_and_scale(*p, *s).ok()?;
            (next.validate_decimal_precision(*p).is_ok()).then(|| Arc::new(next) as ArrayRef)
        }
        _ => None,
    }
}

/// One BETWEEN for a lower and an upper bound of the same column.
fn join_bounds(a: &Predicate, b: &Predicate) -> Option<Predicate> {
    let (
        Predicate::Compare { column, op: a_op, value: a },
        Predicate::Compare { column: b_column, op: b_op, value: b },
    ) = (a, b)
    else {
        return None;
    };
    let (low, high) = match (a_op, b_op) {
        (CompareOp::GtEq, CompareOp::LtEq) => (a, b),
        (CompareOp::LtEq, CompareOp::GtEq) => (b, a),
        _ => return None,
    };
    (column == b_column && a.data_type() == b.data_type()).then(|| Predicate::Between {
        column: *column,
        low: Arc::clone(low),
        high: Arc::clone(high),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int32Array;
    use arrow::datatypes::Field;
    use datafusion::common::DFSchema;
    use datafusion::execution::context::SessionContext;
    use datafusion::logical_expr::simplify::SimplifyContext;
    use datafusion::optimizer::simplify_expressions::ExprSimplifier;

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", DataType::Decimal128(15, 2), true),
            Field::new("c", DataType::Utf8View, true),
            Field::new("d", DataType::Boolean, true),
            Field::new("e", DataType::Date32, true),
        ])
    }

    fn predicate(sql: &str) -> Option<Predicate> {
        let context = SessionContext::new();
        let df_schema = DFSchema::try_from(schema()).unwrap();
        let expr = context.parse_sql_expr(sql, &df_schema).unwrap();
        // As the optimizer does before a scan sees a condition: constants in the types they are compared in.
        let simplify = SimplifyContext::builder().with_schema(Arc::new(df_schema.clone())).build();
        let simplifier = ExprSimplifier::new(simplify);
        let expr = simplifier.simplify(simplifier.coerce(expr, &df_schema).unwrap()).unwrap();
        let expr = context.create_physical_expr(expr, &df_schema).unwrap();
        translate(&expr, &schema())
    }

    #[test]
    fn comparisons_become_predicates() {
        assert!(matches!(predicate("a < 5"), Some(Predicate::Compare { column: 0, op: CompareOp::Lt, .. })));
        assert!(matches!(predicate("5 < a"), Some(Predicate::Compare { column: 0, op: CompareOp::Gt, .. })));
        assert!(matches!(predicate("c = 'x'"), Some(Predicate::Compare { column: 2, op: CompareOp::Eq, .. })));
        assert!(matches!(predicate("b >= 24"), Some(Predicate::Compare { column: 1, op: CompareOp::GtEq, .. })));
        assert!(matches!(predicate("d"), Some(Predicate::Compare { column: 3, .. })));
        assert!(matches!(predicate("NOT d"), Some(Predicate::Compare { column: 3, .. })));
        assert!(matches!(predicate("a IS NULL"), Some(Predicate::IsNull { column: 0 })));
        assert!(matches!(predicate("c IS NOT NULL"), Some(Predicate::IsNotNull { column: 2 })));
    }

    #[test]
    fn lists_and_equalities_become_membership() {
        let Some(Predicate::In { column: 0, values }) = predicate("a = 1 OR a = 2 OR a = 7") else { panic!() };
        assert_eq!(values.as_ref(), &Int32Array::from(vec![1, 2, 7]) as &dyn Array);
        assert!(matches!(predicate("a IN (1, 2, 3, 4)"), Some(Predicate::In { column: 0, .. })));
        assert!(predicate("a = 1 OR c = 'x'").is_none());
        assert!(predicate("a NOT IN (1, 2, 3, 4)").is_none());
    }

    #[test]
    fn prefixes_are_recognised() {
        assert!(matches!(predicate("c LIKE 'PROMO%'"), Some(Predicate::Prefix { column: 2, negated: false, .. })));
        assert!(matches!(predicate("c NOT LIKE 'PROMO%'"), Some(Predicate::Prefix { negated: true, .. })));
        assert!(matches!(predicate("c LIKE 'x'"), Some(Predicate::Compare { column: 2, op: CompareOp::Eq, .. })));
        for other in ["c LIKE '%x'", "c LIKE 'a_b%'", "c ILIKE 'x%'", "c LIKE 'a\\%%'"] {
            assert!(predicate(other).is_none(), "{other}");
        }
    }

    #[test]
    fn other_conditions_are_left() {
        assert!(predicate("a < b").is_none());
        assert!(predicate("a + 1 < 5").is_none());
    }

    #[test]
    fn two_bounds_become_between() {
        let merged = merge(vec![predicate("a >= 3").unwrap(), predicate("a < 9").unwrap(), predicate("d").unwrap()]);
        assert_eq!(merged.len(), 2);
        let Predicate::Between { column: 0, low, high } = &merged[0] else { panic!() };
        assert_eq!(low.as_primitive::<Int32Type>().value(0), 3);
        assert_eq!(high.as_primitive::<Int32Type>().value(0), 8);
    }
}
