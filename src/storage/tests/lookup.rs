//! Rows found by key, against a map of what was written: keys of all kinds, in blocks that overlap, with rows deleted and written again.

use crate::support::*;
use arrow::array::Array;
use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array,
    IntervalMonthDayNanoArray, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{Field, Int64Type, IntervalMonthDayNano, Schema};
use arrow::row::{RowConverter, SortField};
use fastrand::Rng;
use lightning_storage::{Engine, Predicate, TableDefinition, TableId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The key's columns of the key that a number stands for; different numbers are different keys.
type Columns = fn(&[u64]) -> Vec<ArrayRef>;

fn text(number: u64) -> String {
    // Ends differ, beyond what zone maps keep; the character in the middle has four bytes.
    format!("{}{}{:06}", "a".repeat(27 + (number % 3) as usize), ["", "🦀", "zz"][(number % 3) as usize], number)
}

fn shapes() -> Vec<(&'static str, Columns)> {
    vec![
        ("integer", |n| vec![Arc::new(Int64Array::from_iter_values(n.iter().map(|n| *n as i64 - 20_000)))]),
        ("date and unsigned", |n| {
            let days = n.iter().map(|n| (n % 3) as i32);
            vec![
                Arc::new(Date32Array::from_iter_values(days)),
                Arc::new(UInt32Array::from_iter_values(n.iter().map(|n| u32::MAX - *n as u32))),
            ]
        }),
        ("text", |n| vec![Arc::new(StringArray::from_iter_values(n.iter().map(|n| text(*n))))]),
        ("text and integer", |n| {
            vec![
                Arc::new(StringArray::from_iter_values(n.iter().map(|n| text(n % 2)))),
                Arc::new(Int32Array::from_iter_values(n.iter().map(|n| *n as i32))),
            ]
        }),
        ("short text and NULLs", |n| {
            let words = n.iter().map(|n| (n % 5 > 0).then(|| format!("{}", n % 5)));
            vec![
                Arc::new(StringArray::from_iter(words)),
                Arc::new(Int64Array::from_iter_values(n.iter().map(|n| *n as i64))),
            ]
        }),
        ("zeros and integer", |n| {
            let value = |n: &u64| [0.0, -0.0, 1.5, -f64::NAN, f64::NAN][(n % 5) as usize];
            vec![
                Arc::new(Float64Array::from_iter_values(n.iter().map(value))),
                Arc::new(Int64Array::from_iter_values(n.iter().map(|n| *n as i64))),
            ]
        }),
        ("interval", |n| {
            // As many days as the number, some of them as months: never two of one length.
            let value = |n: &u64| IntervalMonthDayNano::new((n % 7) as i32, *n as i32 - 30 * (n % 7) as i32, 0);
            vec![Arc::new(IntervalMonthDayNanoArray::from_iter_values(n.iter().map(value)))]
        }),
        ("uuid", |n| {
            let bytes = n.iter().map(|n| (u128::from(n.reverse_bits()) << 3).to_be_bytes());
            vec![Arc::new(FixedSizeBinaryArray::try_from_iter(bytes).unwrap())]
        }),
        ("boolean and integer", |n| {
            vec![
                Arc::new(BooleanArray::from_iter(n.iter().map(|n| Some(n % 2 == 0)))),
                Arc::new(Int32Array::from_iter_values(n.iter().map(|n| *n as i32))),
            ]
        }),
        ("float", |n| {
            let value = |n: &u64| if *n == 0 { f64::NAN } else { *n as f64 / 8.0 - 1000.0 };
            vec![Arc::new(Float64Array::from_iter_values(n.iter().map(value)))]
        }),
    ]
}

fn batch(columns: Columns, rows: &[(u64, i64)]) -> RecordBatch {
    let numbers: Vec<u64> = rows.iter().map(|row| row.0).collect();
    let keys = columns(&numbers);
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
    let field = |(number, array): (usize, &ArrayRef)| {
        Field::new(
            format!("k{number}"),
            array.data_type().clone(),
            matches!(array.data_type(), arrow::datatypes::DataType::Utf8),
        )
    };
    let fields: Vec<Field> = keys.iter().enumerate().map(field).collect();
    let fields = fields.into_iter().chain([Field::new("value", values.data_type().clone(), false)]);
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, keys.into_iter().chain([values]).collect()).unwrap()
}

struct Case {
    engine: Arc<Engine>,
    table: TableId,
    columns: Columns,
    rows: BTreeMap<u64, i64>,
}

impl Case {
    /// Writes the rows of `numbers`, replacing those that are there.
    fn write(&mut self, numbers: impl Iterator<Item = u64>, value: i64) {
        let rows: BTreeMap<u64, i64> = numbers.map(|number| (number, value + number as i64)).collect();
        // Not in the order of their keys.
        let list: Vec<(u64, i64)> = rows.iter().rev().map(|(number, value)| (*number, *value)).collect();
        let mut txn = self.engine.begin();
        let snapshot = txn.snapshot();
        let old = snapshot.locate(self.table, &self.keys(&list)).unwrap();
        txn.delete(&snapshot, self.table, &UInt64Array::from_iter_values(old.into_iter().flatten())).unwrap();
        txn.append(self.table, batch(self.columns, &list)).unwrap();
        txn.commit().unwrap();
        self.rows.extend(rows);
    }

    fn delete(&mut self, numbers: impl Iterator<Item = u64>) {
        let numbers: Vec<(u64, i64)> = numbers.map(|number| (number, 0)).collect();
        let mut txn = self.engine.begin();
        let snapshot = txn.snapshot();
        let places = snapshot.locate(self.table, &self.keys(&numbers)).unwrap();
        txn.delete(&snapshot, self.table, &UInt64Array::from_iter_values(places.into_iter().flatten())).unwrap();
        txn.commit().unwrap();
        self.rows.retain(|number, _| numbers.binary_search(&(*number, 0)).is_err());
    }

    fn keys(&self, rows: &[(u64, i64)]) -> Vec<ArrayRef> {
        (self.columns)(&rows.iter().map(|row| row.0).collect::<Vec<_>>())
    }

    /// Looks for `count` keys at once.
    fn check(&self, random: &mut Rng, count: usize, end: u64) {
        let wanted: Vec<(u64, i64)> = (0..count).map(|_| (random.u64(..end), 0)).collect();
        let (snapshot, keys) = (self.engine.snapshot(), self.keys(&wanted));
        let places = snapshot.locate(self.table, &keys).unwrap();
        let expected: Vec<Option<i64>> = wanted.iter().map(|(number, _)| self.rows.get(number).copied()).collect();
        let found: Vec<bool> = places.iter().map(Option::is_some).collect();
        assert_eq!(found, expected.iter().map(Option::is_some).collect::<Vec<_>>(), "{wanted:?}");
        let there = UInt64Array::from_iter_values(places.into_iter().flatten());
        let values = snapshot.rows_at(self.table, &there, &[keys.len()]).unwrap();
        let values = values.column(0).as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(values, expected.iter().flatten().copied().collect::<Vec<_>>());
        let (rows, numbers) = snapshot.find(self.table, &keys, &[keys.len()]).unwrap();
        assert_eq!(rows.column(0).as_primitive::<Int64Type>().values().to_vec(), values);
        let numbers = UInt32Array::from(numbers);
        let again = take(&keys[0], &numbers, None).unwrap();
        assert_eq!(again.len(), values.len());
    }

    /// Looks for the rows between two values of the first key column, and for the first and last of them.
    fn check_ranges(&self, random: &mut Rng, count: usize) {
        let all: Vec<(u64, i64)> = self.rows.iter().map(|(number, value)| (*number, *value)).collect();
        let keys = self.keys(&all);
        let last = SortOptions { descending: false, nulls_first: false };
        let field = |key: &ArrayRef| SortField::new_with_options(key.data_type().clone(), last);
        let of_keys = RowConverter::new(keys.iter().map(field).collect()).unwrap();
        let of_first = RowConverter::new(vec![field(&keys[0])]).unwrap();
        let (whole, heads) = (of_keys.convert_columns(&keys).unwrap(), of_first.convert_columns(&keys[..1]).unwrap());
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|&a, &b| whole.row(a).cmp(&whole.row(b)));
        let snapshot = self.engine.snapshot();
        let values = |places: UInt64Array| {
            let rows = snapshot.rows_at(self.table, &places, &[keys.len()]).unwrap();
            rows.column(0).as_primitive::<Int64Type>().values().to_vec()
        };
        for round in 0..count {
            let (mut low, mut high) = (random.usize(..all.len()), random.usize(..all.len()));
            if heads.row(low) > heads.row(high) {
                (low, high) = (high, low);
            }
            let bounds = match (round % 4, keys[0].is_null(low), keys[0].is_null(high)) {
                (0, ..) => vec![],
                (_, true, _) => vec![Predicate::IsNull { column: 0 }],
                (_, _, true) => continue,
                _ => vec![Predicate::Between { column: 0, low: keys[0].slice(low, 1), high: keys[0].slice(high, 1) }],
            };
            let is_meant = |row: &&usize| {
                bounds.is_empty() || heads.row(low) <= heads.row(**row) && heads.row(**row) <= heads.row(high)
            };
            let mut expected: Vec<i64> = order.iter().filter(is_meant).map(|&row| all[row].1).collect();
            let rows = snapshot.key_rows(self.table, &bounds).unwrap().unwrap();
            assert!(rows.rows_max() >= expected.len() as u64);
            for limit in [1, 10, 1_000] {
                let first: Vec<i64> = expected.iter().take(limit).copied().collect();
                assert_eq!(values(rows.first(limit, false).unwrap()), first);
                let last: Vec<i64> = expected.iter().rev().take(limit).copied().collect();
                assert_eq!(values(rows.first(limit, true).unwrap()), last);
            }
            let mut found = values(rows.places().unwrap());
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn keys_are_found_wherever_their_rows_are() {
    for (name, columns) in shapes() {
        let engine = open(&memory());
        let sample = batch(columns, &[(1, 1)]);
        let key = (0..sample.num_columns() - 1).collect();
        let mut txn = engine.begin();
        let table = txn.create_table(TableDefinition::new(sample.schema(), key)).unwrap();
        txn.commit().unwrap();
        let mut case = Case { engine, table, columns, rows: BTreeMap::new() };
        let mut random = Rng::with_seed(name.len() as u64);
        // Two runs that overlap, of several zones each; rows replaced; a commit in memory; small ones.
        case.write((0..40_000).map(|n| n * 2), 1_000_000);
        case.engine.checkpoint().unwrap();
        case.write((0..20_000).map(|n| n * 3), 2_000_000);
        case.engine.checkpoint().unwrap();
        case.delete((0..3_000).map(|n| n * 7));
        let check = |case: &Case, random: &mut Rng| {
            for count in [1, 1, 1, 1, 1, 1, 2, 25, 300, 9_000] {
                case.check(random, count, 90_000);
            }
            // Equal keys that Arrow tells apart are ordered otherwise there.
            if !["zeros and integer", "interval"].contains(&name) {
                case.check_ranges(random, 12);
            }
        };
        check(&case, &mut random);
        case.write((0..5_000).map(|n| n * 11 + 1), 3_000_000);
        for n in 0..20 {
            case.write((0..30).map(|i| (n * 977 + i * 31) % 85_000), 4_000_000 + n as i64);
        }
        case.delete((0..2_000).map(|n| n * 13));
        check(&case, &mut random);
        case.engine.checkpoint().unwrap();
        check(&case, &mut random);
    }
}

#[test]
fn a_key_that_the_table_cannot_have_is_not_there() {
    let engine = open(&memory());
    let table = create(&engine, 0..10_000);
    engine.checkpoint().unwrap();
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(-1), Some(9_999), Some(5)]));
    let found = engine.snapshot().locate(table, &[keys]).unwrap();
    let is_there: Vec<bool> = found.iter().map(Option::is_some).collect();
    assert_eq!(is_there, [true, false, false, true, true]);
    assert_eq!(found[0], found[4]);
}

/// Groups (a, b) of keys (a, b, n), in memory and in blocks that overlap, with the greatest rows deleted now and then.
#[test]
fn the_last_row_of_each_group_is_that_of_a_map() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", arrow::datatypes::DataType::Utf8View, false),
        Field::new("b", arrow::datatypes::DataType::Int32, false),
        Field::new("n", arrow::datatypes::DataType::Int64, false),
    ]));
    for seed in 0..rounds(3, 40) {
        let (vfs, mut rng) = (memory(), Rng::with_seed(seed));
        let mut engine = open(&vfs);
        let mut txn = engine.begin();
        let table = txn.create_table(TableDefinition::new(schema.clone(), vec![0, 1, 2])).unwrap();
        txn.commit().unwrap();
        let mut model: BTreeMap<(String, i32), std::collections::BTreeSet<i64>> = BTreeMap::new();
        for step in 0..20 {
            let mut txn = engine.begin();
            let rows = if rng.u8(..4) == 0 { rng.usize(1..60_000) } else { rng.usize(1..300) };
            let mut new = vec![];
            for _ in 0..rows {
                let group = (text(rng.u64(..3)), rng.i32(-2..9));
                let n = rng.i64(..100_000);
                if model.entry(group.clone()).or_default().insert(n) {
                    new.push((group.0, group.1, n));
                }
            }
            let columns: Vec<ArrayRef> = vec![
                Arc::new(arrow::array::StringViewArray::from_iter_values(new.iter().map(|row| &row.0))),
                Arc::new(Int32Array::from_iter_values(new.iter().map(|row| row.1))),
                Arc::new(Int64Array::from_iter_values(new.iter().map(|row| row.2))),
            ];
            txn.append(table, RecordBatch::try_new(schema.clone(), columns).unwrap()).unwrap();
            let snapshot = txn.snapshot();
            let last = snapshot.last_of_each(table).unwrap().unwrap();
            if rng.bool() {
                // Some groups lose their last row, some more of them.
                let gone = last.values().iter().copied().filter(|_| rng.u8(..3) == 0).collect::<Vec<_>>();
                let rows = snapshot.rows_at(table, &UInt64Array::from(gone.clone()), &[0, 1, 2]).unwrap();
                txn.delete(&snapshot, table, &UInt64Array::from(gone)).unwrap();
                for row in 0..rows.num_rows() {
                    let group = (
                        rows.column(0).as_string_view().value(row).to_owned(),
                        rows.column(1).as_primitive::<arrow::datatypes::Int32Type>().value(row),
                    );
                    let numbers = model.get_mut(&group).unwrap();
                    assert_eq!(numbers.pop_last(), Some(rows.column(2).as_primitive::<Int64Type>().value(row)));
                    if numbers.is_empty() {
                        model.remove(&group);
                    }
                }
            }
            txn.commit().unwrap();
            match rng.u8(..5) {
                0 | 1 => engine.checkpoint().unwrap(),
                2 => engine = reopen(engine, &vfs),
                _ => {}
            }
            let snapshot = engine.snapshot();
            let last = snapshot.last_of_each(table).unwrap().unwrap();
            let rows = snapshot.rows_at(table, &last, &[0, 1, 2]).unwrap();
            let found: BTreeMap<(String, i32), i64> = (0..rows.num_rows())
                .map(|row| {
                    let group = (
                        rows.column(0).as_string_view().value(row).to_owned(),
                        rows.column(1).as_primitive::<arrow::datatypes::Int32Type>().value(row),
                    );
                    (group, rows.column(2).as_primitive::<Int64Type>().value(row))
                })
                .collect();
            assert_eq!(found.len(), rows.num_rows(), "seed {seed}, step {step}");
            let expected = model.iter().map(|(group, numbers)| (group.clone(), *numbers.last().unwrap())).collect();
            assert_eq!(found, expected, "seed {seed}, step {step}");
        }
    }
}

#[test]
fn too_many_groups_or_a_key_of_one_column_have_no_last_rows() {
    let engine = open(&memory());
    let table = create(&engine, 0..1000);
    assert!(engine.snapshot().last_of_each(table).unwrap().is_none());
    let mut txn = engine.begin();
    let pairs = txn.create_table(TableDefinition::new(schema(), vec![0, 1])).unwrap();
    txn.append(pairs, rows(0..130_000)).unwrap();
    txn.commit().unwrap();
    assert!(engine.snapshot().last_of_each(pairs).unwrap().is_none());
}
