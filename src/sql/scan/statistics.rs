//! What the optimizer may know of a table, and what it may guess about a scan with conditions.
//!
//! Without conditions everything is exact, because a snapshot knows exactly which rows it sees: COUNT(*) and, where bounds
//! are exact, MIN and MAX are answered without a scan. Once rows are deleted only their number still is. With conditions everything is an estimate: values are taken to be
//! spread evenly between the bounds, columns to be independent, strings to match patterns rarely.

use super::bounds::as_integers;
use super::literal::column_of;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, LikeExpr, NotExpr};
use lightning_storage::{CompareOp, Predicate, TableStatistics};
use std::sync::Arc;

/// Share of rows a pattern, or a condition nothing is known about, is taken to keep.
const PATTERN_SELECTIVITY: f64 = 0.1;
/// Share of rows a comparison of two columns keeps.
const COLUMN_COMPARISON_SELECTIVITY: f64 = 0.4;
/// Share of rows a condition nothing is known about keeps.
const UNKNOWN_SELECTIVITY: f64 = 0.3;

/// Statistics of the whole table, one column each.
pub(crate) fn table_statistics(statistics: &TableStatistics, schema: &SchemaRef) -> Statistics {
    let mut column_statistics: Vec<ColumnStatistics> =
        statistics.columns.iter().map(|column| column_statistics(column, statistics.dead_rows == 0)).collect();
    let bytes = statistics.columns.iter().map(|column| column.raw_bytes as usize).sum();
    // Nothing is known of places, which come after the table's columns.
    column_statistics.resize_with(schema.fields().len(), ColumnStatistics::new_unknown);
    Statistics {
        num_rows: Precision::Exact(statistics.rows as usize),
        total_byte_size: Precision::Inexact(bytes),
        column_statistics,
    }
}

fn column_statistics(column: &lightning_storage::ColumnStatistics, all_alive: bool) -> ColumnStatistics {
    let bound = |array: &Option<ArrayRef>| match array.as_ref().and_then(|a| ScalarValue::try_from_array(a, 0).ok()) {
        Some(value) if column.min_max_exact => Precision::Exact(value),
        Some(value) => Precision::Inexact(value),
        None => Precision::Absent,
    };
    ColumnStatistics {
        null_count: if all_alive {
            Precision::Exact(column.nulls as usize)
        } else {
            Precision::Inexact(column.nulls as usize)
        },
        min_value: bound(&column.min),
        max_value: bound(&column.max),
        sum_value: Precision::Absent,
        distinct_count: column.distinct.map_or(Precision::Absent, |distinct| Precision::Inexact(distinct as usize)),
        byte_size: Precision::Inexact(column.raw_bytes as usize),
    }
}

/// Smallest and largest value per column, where known.
pub(super) fn domains(statistics: &Statistics) -> Vec<Option<(ScalarValue, ScalarValue)>> {
    let bounds = |column: &ColumnStatistics| {
        Some((column.min_value.get_value()?.clone(), column.max_value.get_value()?.clone()))
    };
    statistics.column_statistics.iter().map(bounds).collect()
}

/// Statistics of a scan that keeps `selectivity` of the rows: `base` scaled, nothing exact.
pub(super) fn filtered(base: &Statistics, selectivity: f64) -> Statistics {
    let rows = base.num_rows.get_value().copied().unwrap_or(0);
    let kept = ((rows as f64 * selectivity).ceil() as usize).clamp(usize::from(rows > 0), rows);
    let share = if rows == 0 { 0.0 } else { kept as f64 / rows as f64 };
    let scale = |value: &Precision<usize>| value.to_inexact().with_estimated_selectivity(share);
    let column_statistics = base.column_statistics.iter().map(|column| {
        let mut column = column.clone().to_inexact();
        column.null_count = scale(&column.null_count);
        column.byte_size = scale(&column.byte_size);
        column.distinct_count = match column.distinct_count {
            Precision::Absent => Precision::Absent,
            Precision::Exact(distinct) | Precision::Inexact(distinct) => {
                Precision::Inexact(distinct_in_sample(distinct, rows, kept))
            }
        };
        column
    });
    Statistics {
        num_rows: Precision::Inexact(kept),
        total_byte_size: scale(&base.total_byte_size),
        column_statistics: column_statistics.collect(),
    }
}

/// Expected number of distinct values among `sample` of `rows` rows that have `distinct` values.
pub(crate) fn distinct_in_sample(distinct: usize, rows: usize, sample: usize) -> usize {
    if rows == 0 || distinct == 0 {
        return distinct.min(sample);
    }
    let per_value = rows as f64 / distinct as f64;
    let missed = (1.0 - sample as f64 / rows as f64).max(0.0).powf(per_value);
    ((distinct as f64 * (1.0 - missed)).ceil() as usize).clamp(1, sample.max(1))
}

/// Share of rows that pass an encoded predicate.
pub(super) fn predicate_selectivity(predicate: &Predicate, base: &Statistics) -> f64 {
    let Some(column) = base.column_statistics.get(predicate.column()) else { return UNKNOWN_SELECTIVITY };
    let rows = base.num_rows.get_value().copied().unwrap_or(0).max(1) as f64;
    let nulls = column.null_count.get_value().copied().unwrap_or(0) as f64 / rows;
    let distinct = column.distinct_count.get_value().copied().filter(|n| *n > 0).unwrap_or(200) as f64;
    let present = 1.0 - nulls;
    let share = match predicate {
        Predicate::Compare { op: CompareOp::Eq, .. } => present / distinct,
        Predicate::Compare { op: CompareOp::NotEq, .. } => present * (1.0 - 1.0 / distinct),
        Predicate::Compare { op: CompareOp::Lt | CompareOp::LtEq, value, .. } => {
            present * fraction(column, None, Some(value)).unwrap_or(UNKNOWN_SELECTIVITY)
        }
        Predicate::Compare { op: CompareOp::Gt | CompareOp::GtEq, value, .. } => {
            present * fraction(column, Some(value), None).unwrap_or(UNKNOWN_SELECTIVITY)
        }
        Predicate::Between { low, high, .. } => {
            present * fraction(column, Some(low), Some(high)).unwrap_or(UNKNOWN_SELECTIVITY / 2.0).max(1.0 / distinct)
        }
        Predicate::In { values, .. } => present * (values.len() as f64 / distinct),
        Predicate::InBitmap { .. } => UNKNOWN_SELECTIVITY,
        Predicate::IsNull { .. } => nulls,
        Predicate::IsNotNull { .. } => present,
        Predicate::Prefix { negated, .. } => {
            if *negated {
                present * (1.0 - PATTERN_SELECTIVITY)
            } else {
                present * PATTERN_SELECTIVITY
            }
        }
    };
    share.clamp(0.0, 1.0)
}

/// Share of rows that pass a condition only evaluated row by row.
pub(super) fn condition_selectivity(condition: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> f64 {
    if let Some(like) = condition.downcast_ref::<LikeExpr>() {
        return if like.negated() { 1.0 - PATTERN_SELECTIVITY } else { PATTERN_SELECTIVITY };
    }
    if let Some(not) = condition.downcast_ref::<NotExpr>() {
        return 1.0 - condition_selectivity(not.arg(), schema);
    }
    let Some(binary) = condition.downcast_ref::<BinaryExpr>() else { return UNKNOWN_SELECTIVITY };
    let (left, right) = (binary.left(), binary.right());
    match binary.op() {
        Operator::And => condition_selectivity(left, schema) * condition_selectivity(right, schema),
        Operator::Or => (condition_selectivity(left, schema) + condition_selectivity(right, schema)).min(1.0),
        Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq | Operator::Eq | Operator::NotEq
            if column_of(left, schema).is_some() && column_of(right, schema).is_some() =>
        {
            COLUMN_COMPARISON_SELECTIVITY
        }
        _ => UNKNOWN_SELECTIVITY,
    }
}

/// Share of the column's value range between two bounds.
fn fraction(column: &ColumnStatistics, low: Option<&ArrayRef>, high: Option<&ArrayRef>) -> Option<f64> {
    let min = position(column.min_value.get_value()?)?;
    let max = position(column.max_value.get_value()?)?;
    let at = |array: &ArrayRef| position(&ScalarValue::try_from_array(array, 0).ok()?);
    let low = low.map_or(Some(min), at)?.max(min);
    let high = high.map_or(Some(max), at)?.min(max);
    if high < low {
        return Some(0.0);
    }
    if max <= min {
        return Some(1.0);
    }
    Some(((high - low) / (max - min)).clamp(0.0, 1.0))
}

/// A value's place on a line.
fn position(value: &ScalarValue) -> Option<f64> {
    if let Some((value, _)) = as_integers(value, value) {
        return Some(value as f64);
    }
    let array = value.to_array().ok()?;
    if array.null_count() > 0 {
        return None;
    }
    match array.data_type() {
        DataType::Float32 => Some(f64::from(array.as_primitive::<Float32Type>().value(0))),
        DataType::Float64 => Some(array.as_primitive::<Float64Type>().value(0)),
        DataType::Decimal128(_, scale) => {
            Some(array.as_primitive::<Decimal128Type>().value(0) as f64 / 10f64.powi((*scale).into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int32Array;

    fn base() -> Statistics {
        let column = ColumnStatistics {
            null_count: Precision::Exact(0),
            min_value: Precision::Exact(ScalarValue::from(0i32)),
            max_value: Precision::Exact(ScalarValue::from(100i32)),
            distinct_count: Precision::Inexact(50),
            ..ColumnStatistics::new_unknown()
        };
        Statistics {
            num_rows: Precision::Exact(1000),
            total_byte_size: Precision::Absent,
            column_statistics: vec![column],
        }
    }

    #[test]
    fn ranges_are_taken_to_be_even() {
        let array = |v: i32| Arc::new(Int32Array::from(vec![v])) as ArrayRef;
        let between = Predicate::Between { column: 0, low: array(10), high: array(35) };
        assert!((predicate_selectivity(&between, &base()) - 0.25).abs() < 1e-9);
        let equal = Predicate::Compare { column: 0, op: CompareOp::Eq, value: array(3) };
        assert!((predicate_selectivity(&equal, &base()) - 0.02).abs() < 1e-9);
    }

    #[test]
    fn filtered_statistics_are_never_exact() {
        let statistics = filtered(&base(), 0.1);
        assert_eq!(statistics.num_rows, Precision::Inexact(100));
        assert!(matches!(statistics.column_statistics[0].min_value, Precision::Inexact(_)));
        assert!(matches!(statistics.column_statistics[0].distinct_count, Precision::Inexact(d) if d <= 50));
    }

    #[test]
    fn samples_of_unique_columns_stay_unique() {
        assert_eq!(distinct_in_sample(1000, 1000, 100), 100);
        assert_eq!(distinct_in_sample(2, 1000, 500), 2);
    }
}
