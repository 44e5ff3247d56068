//! Encoded filters, zone maps and plain-array filters against an evaluation row by row.

use super::columns::*;
use super::opened;
use crate::codec::{BoundPredicate, Mask};
use crate::predicate::{CompareOp, Predicate};
use arrow::array::*;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use std::cmp::Ordering;
use std::sync::Arc;

const OPS: [CompareOp; 6] =
    [CompareOp::Eq, CompareOp::NotEq, CompareOp::Lt, CompareOp::LtEq, CompareOp::Gt, CompareOp::GtEq];

/// Order of two rows as PostgreSQL has it.
fn order(left: &ArrayRef, i: usize, right: &ArrayRef, j: usize) -> Ordering {
    let floats = |a: f64, b: f64| match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => a.partial_cmp(&b).unwrap(),
    };
    match left.data_type() {
        DataType::Float64 => {
            floats(left.as_primitive::<Float64Type>().value(i), right.as_primitive::<Float64Type>().value(j))
        }
        DataType::Float32 => floats(
            left.as_primitive::<Float32Type>().value(i).into(),
            right.as_primitive::<Float32Type>().value(j).into(),
        ),
        _ => make_comparator(left, right, Default::default()).unwrap()(i, j),
    }
}

/// The plain evaluation.
fn passes(predicate: &Predicate, values: &ArrayRef, row: usize) -> bool {
    if let Predicate::IsNull { .. } = predicate {
        return values.is_null(row);
    }
    if values.is_null(row) {
        return false;
    }
    match predicate {
        Predicate::IsNull { .. } | Predicate::IsNotNull { .. } => true,
        Predicate::Compare { op, value, .. } => {
            let order = order(values, row, value, 0);
            match op {
                CompareOp::Eq => order.is_eq(),
                CompareOp::NotEq => order.is_ne(),
                CompareOp::Lt => order.is_lt(),
                CompareOp::LtEq => order.is_le(),
                CompareOp::Gt => order.is_gt(),
                CompareOp::GtEq => order.is_ge(),
            }
        }
        Predicate::Between { low, high, .. } => {
            order(values, row, low, 0).is_ge() && order(values, row, high, 0).is_le()
        }
        Predicate::In { values: set, .. } => (0..set.len()).any(|i| order(values, row, set, i).is_eq()),
        Predicate::InBitmap { base, bits, .. } => {
            let value = arrow::compute::cast(&values.slice(row, 1), &DataType::Int64).unwrap();
            let value = value.as_primitive::<arrow::datatypes::Int64Type>().value(0);
            let bit = i128::from(value) - i128::from(*base);
            (0..bits.len() as i128 * 64).contains(&bit) && bits[bit as usize / 64] >> (bit % 64) & 1 == 1
        }
        Predicate::Prefix { prefix, negated, .. } => {
            crate::codec::plain::bytes_at(values, row).starts_with(prefix) != *negated
        }
    }
}

/// Predicates with constants drawn from the column itself and from others like it.
fn predicates(values: &ArrayRef, strangers: &ArrayRef, random: &mut fastrand::Rng) -> Vec<Predicate> {
    let column = 0;
    let valid: Vec<(bool, usize)> = (0..values.len())
        .filter(|&row| values.is_valid(row))
        .map(|row| (true, row))
        .chain((0..strangers.len()).map(|row| (false, row)))
        .collect();
    let mut pick = || {
        let (own, row) = valid[random.usize(..valid.len())];
        if own { values.slice(row, 1) } else { strangers.slice(row, 1) }
    };
    let mut predicates = vec![Predicate::IsNull { column }, Predicate::IsNotNull { column }];
    for op in OPS {
        predicates.push(Predicate::Compare { column, op, value: pick() });
    }
    for _ in 0..3 {
        predicates.push(Predicate::Between { column, low: pick(), high: pick() });
        let members: Vec<ArrayRef> = (0..4).map(|_| pick()).collect();
        let members: Vec<&dyn Array> = members.iter().map(AsRef::as_ref).collect();
        predicates.push(Predicate::In { column, values: arrow::compute::concat(&members).unwrap() });
    }
    predicates
}

fn check(values: &ArrayRef, predicates: &[Predicate], random: &mut fastrand::Rng) {
    let (chunk, pages) = opened(values);
    for predicate in predicates {
        let bound = BoundPredicate::bind(predicate, values.data_type()).unwrap();
        let what = || format!("{predicate:?} on {} as {:?}", values.data_type(), chunk.encoding);
        let expected: Vec<bool> = (0..values.len()).map(|row| passes(predicate, values, row)).collect();
        let mut plain = Mask::all(values.len());
        bound.filter_array(values, &mut plain, 0).unwrap();
        assert_eq!((0..values.len()).map(|row| plain.get(row)).collect::<Vec<_>>(), expected, "plain {}", what());
        let mut start = 0;
        for page in &pages {
            let from = random.usize(..page.rows());
            for (range, at) in [(0..page.rows(), 0), (from..random.usize(from..=page.rows()), random.usize(..130))] {
                let mut mask = Mask::all(at + range.len() + 7);
                let dead = at + random.usize(..=range.len());
                mask.words[dead / 64] &= !(1 << (dead % 64));
                page.filter(&bound, range.clone(), &mut mask, at);
                for row in range.clone() {
                    let bit = at + row - range.start;
                    let wanted = expected[start + row] && bit != dead;
                    assert_eq!(mask.get(bit), wanted, "row {} of {range:?}: {}", row, what());
                }
                let outside = (0..at).chain(at + range.len()..mask.rows);
                assert!(outside.into_iter().all(|bit| mask.get(bit) || bit == dead), "{}", what());
            }
            start += page.rows();
        }
    }
}

#[test]
fn integer_filters_agree() {
    let mut random = fastrand::Rng::with_seed(11);
    for data_type in integer_types() {
        for shape in SHAPES {
            for nulls in [Nulls::None, Nulls::Some, Nulls::All] {
                let rows = [1, 700, 1025, 4500][random.usize(..4)];
                let values = integers(&data_type, shape, nulls, rows, &mut random);
                let strangers = integers(&data_type, shape, Nulls::None, 10, &mut random);
                let predicates = predicates(&values, &strangers, &mut random);
                check(&values, &predicates, &mut random);
            }
        }
    }
}

#[test]
fn bitmap_filters_agree() {
    let mut random = fastrand::Rng::with_seed(12);
    for data_type in [DataType::Int64, DataType::Int32, DataType::Int16] {
        for shape in [Shape::Small, Shape::Sorted, Shape::Scaled, Shape::Runs, Shape::Extremes, Shape::Sequence] {
            let values = integers(&data_type, shape, Nulls::Rare, 4000, &mut random);
            let predicates: Vec<Predicate> = (0..6)
                .map(|_| Predicate::InBitmap {
                    column: 0,
                    base: random.i64(-3000..3000),
                    bits: Arc::new((0..random.usize(1..60)).map(|_| random.u64(..)).collect()),
                })
                .collect();
            check(&values, &predicates, &mut random);
        }
    }
}

#[test]
fn float_boolean_and_fixed_byte_filters_agree() {
    let mut random = fastrand::Rng::with_seed(13);
    for nulls in [Nulls::None, Nulls::Some, Nulls::All] {
        for data_type in [DataType::Float32, DataType::Float64] {
            for values in [floats, decimals, decimals, measurements] {
                let values = values(&data_type, nulls, 3000, &mut random);
                let strangers = floats(&data_type, Nulls::None, 10, &mut random);
                let predicates = predicates(&values, &strangers, &mut random);
                check(&values, &predicates, &mut random);
            }
        }
        let values = booleans(nulls, 3000, &mut random);
        let strangers = booleans(Nulls::None, 10, &mut random);
        let list = predicates(&values, &strangers, &mut random);
        check(&values, &list, &mut random);
        let values = uuids(nulls, 3000, &mut random);
        let strangers = uuids(Nulls::None, 10, &mut random);
        let list = predicates(&values, &strangers, &mut random);
        check(&values, &list, &mut random);
    }
}

#[test]
fn string_filters_agree() {
    let mut random = fastrand::Rng::with_seed(14);
    for data_type in [DataType::Utf8View, DataType::BinaryView, DataType::Utf8] {
        for words in [Words::Same, Words::Few, Words::FewLong, Words::Text, Words::Random] {
            for nulls in [Nulls::None, Nulls::Some, Nulls::All] {
                let values = strings(&data_type, words, nulls, 2500, &mut random);
                let strangers = strings(&data_type, words, Nulls::None, 10, &mut random);
                let mut list = predicates(&values, &strangers, &mut random);
                for negated in [false, true] {
                    let whole = words.value(&mut random).into_bytes();
                    let prefix = whole[..random.usize(..=whole.len())].to_vec();
                    list.push(Predicate::Prefix { column: 0, prefix, negated });
                }
                check(&values, &list, &mut random);
            }
        }
    }
}

#[test]
fn zone_maps_never_lose_a_passing_row() {
    let mut random = fastrand::Rng::with_seed(15);
    let mut columns = Vec::new();
    for shape in SHAPES {
        columns.push(integers(&DataType::Int64, shape, Nulls::Rare, 300, &mut random));
        columns.push(integers(&DataType::Decimal128(38, 10), shape, Nulls::Rare, 300, &mut random));
    }
    columns.push(floats(&DataType::Float64, Nulls::Rare, 300, &mut random));
    columns.push(decimals(&DataType::Float64, Nulls::Rare, 300, &mut random));
    columns.push(booleans(Nulls::Rare, 300, &mut random));
    columns.push(strings(&DataType::Utf8View, Words::Text, Nulls::Rare, 300, &mut random));
    columns.push(strings(&DataType::Utf8View, Words::Few, Nulls::Rare, 300, &mut random));
    for column in columns {
        for from in (0..300).step_by(20) {
            let zone = column.slice(from, 20);
            let valid: Vec<usize> = (0..20).filter(|&row| zone.is_valid(row)).collect();
            let extreme = |wanted: Ordering| {
                valid.iter().copied().reduce(|a, b| if order(&zone, b, &zone, a) == wanted { b } else { a })
            };
            let min = extreme(Ordering::Less).map(|row| zone.slice(row, 1));
            let max = extreme(Ordering::Greater).map(|row| zone.slice(row, 1)).map(|max| truncated(&max, &mut random));
            for predicate in predicates(&column, &column.slice(0, 0), &mut random) {
                let bound = BoundPredicate::bind(&predicate, column.data_type()).unwrap();
                if (0..20).any(|row| passes(&predicate, &zone, row)) {
                    assert!(bound.may_match(min.as_ref(), max.as_ref(), zone.null_count(), 20), "{predicate:?}");
                }
            }
        }
    }
}

/// A string bound cut to a prefix.
fn truncated(bound: &ArrayRef, random: &mut fastrand::Rng) -> ArrayRef {
    match bound.data_type() {
        DataType::Utf8View => {
            let text = bound.as_string_view().value(0);
            let mut end = random.usize(..=text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            Arc::new(StringViewArray::from_iter_values([&text[..end]]))
        }
        _ => Arc::clone(bound),
    }
}

#[test]
fn a_condition_of_another_type_is_refused() {
    let column = 0;
    let text: ArrayRef = Arc::new(StringViewArray::from_iter_values(["1"]));
    let compare = Predicate::Compare { column, op: CompareOp::Eq, value: text };
    assert!(BoundPredicate::bind(&compare, &DataType::Int64).is_err());
    let prefix = Predicate::Prefix { column, prefix: b"x".to_vec(), negated: false };
    assert!(BoundPredicate::bind(&prefix, &DataType::Int64).is_err());
    let bitmap = Predicate::InBitmap { column, base: 0, bits: Arc::new(vec![1]) };
    assert!(BoundPredicate::bind(&bitmap, &DataType::Utf8View).is_err());
}
