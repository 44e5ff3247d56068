//! Functions called once a batch.

use super::{batch_module, call, function, never, spec};
use crate::Abi;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Int64Array,
    IntervalMonthDayNanoArray, PrimitiveArray, StringArray, UInt32Array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float64Type, Int8Type, Int16Type, Int64Type, IntervalMonthDayNano, IntervalUnit, UInt8Type, UInt64Type,
};
use std::slice::from_ref;
use std::sync::Arc;

/// The first argument is the result.
pub(super) const ECHO: &str = "(memory.copy (local.get $out) (local.get $args) (i32.const 20)) (i32.const 0)";

/// Whole numbers: a * b + c.
const MULTIPLY_ADD: &str = r#"
  (local $a i32) (local $b i32) (local $c i32) (local $to i32) (local $end i32)
  (local.set $a (i32.load (local.get $args)))
  (local.set $b (i32.load offset=20 (local.get $args)))
  (local.set $c (i32.load offset=40 (local.get $args)))
  (local.set $to (call $alloc (i32.shl (local.get $rows) (i32.const 3)) (i32.const 8)))
  (i32.store (local.get $out) (local.get $to))
  (i32.store offset=4 (local.get $out) (i32.shl (local.get $rows) (i32.const 3)))
  (i32.store offset=16 (local.get $out) (local.get $rows))
  (local.set $end (i32.add (local.get $to) (i32.shl (local.get $rows) (i32.const 3))))
  (loop $next
    (if (i32.lt_u (local.get $to) (local.get $end)) (then
      (i64.store (local.get $to) (i64.add
        (i64.mul (i64.load (local.get $a)) (i64.load (local.get $b))) (i64.load (local.get $c))))
      (local.set $a (i32.add (local.get $a) (i32.const 8)))
      (local.set $b (i32.add (local.get $b) (i32.const 8)))
      (local.set $c (i32.add (local.get $c) (i32.const 8)))
      (local.set $to (i32.add (local.get $to) (i32.const 8)))
      (br $next))))
  (i32.const 0)"#;

fn texts(rows: usize, seed: u64) -> StringArray {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..rows)
        .map(|_| {
            let len = if random.u8(0..4) == 0 { random.usize(0..200) } else { random.usize(0..14) };
            (random.u8(0..6) != 0).then(|| (0..len).map(|_| random.char('\u{1}'..)).collect::<String>())
        })
        .collect()
}

fn columns(rows: usize) -> Vec<ArrayRef> {
    let mut random = fastrand::Rng::with_seed(rows as u64);
    let nulls: Vec<bool> = (0..rows).map(|_| random.u8(0..7) != 0).collect();
    macro_rules! column {
        ($array:ty, $value:expr) => {
            Arc::new(nulls.iter().map(|has| has.then(|| $value)).collect::<$array>()) as ArrayRef
        };
    }
    let ids: Vec<Option<[u8; 16]>> = nulls.iter().map(|has| has.then(|| random.u128(..).to_le_bytes())).collect();
    let intervals =
        column!(IntervalMonthDayNanoArray, IntervalMonthDayNano::new(random.i32(..), random.i32(..), random.i64(..)));
    let longs = column!(Int64Array, random.i64(..));
    let decimals = column!(Decimal128Array, random.i128(-(10i128.pow(20))..10i128.pow(20)));
    let text: ArrayRef = Arc::new(texts(rows, 5));
    let binary = column!(BinaryArray, (0..random.usize(0..40)).map(|_| random.u8(..)).collect::<Vec<u8>>());
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let mut columns = vec![
        column!(PrimitiveArray<Int8Type>, random.i8(..)),
        column!(PrimitiveArray<Int16Type>, random.i16(..)),
        column!(PrimitiveArray<UInt8Type>, random.u8(..)),
        column!(PrimitiveArray<UInt64Type>, random.u64(..)),
        column!(UInt32Array, random.u32(..)),
        column!(PrimitiveArray<Float64Type>, f64::from_bits(random.u64(..))),
        column!(BooleanArray, random.bool()),
        longs,
        decimals,
        intervals,
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids.into_iter(), 16).unwrap()),
        cast(&text, &DataType::LargeUtf8).unwrap(),
        cast(&text, &DataType::Utf8View).unwrap(),
        cast(&text, &dictionary).unwrap(),
        text,
        cast(&binary, &DataType::LargeBinary).unwrap(),
        cast(&binary, &DataType::BinaryView).unwrap(),
        binary,
    ];
    columns.push(Arc::new(Int64Array::from_iter_values(0..rows as i64)));
    columns
}

#[test]
fn columns_of_every_type_come_back_as_they_went() {
    let module = batch_module(ECHO);
    for rows in [0, 1, 7, 64, 8192] {
        for column in columns(rows) {
            let spec = spec(Abi::Batch, &[column.data_type().clone()], column.data_type().clone());
            let pool = function(&module, spec).pool(never());
            let result = pool.call(from_ref(&column), rows).unwrap();
            assert_eq!(&result, &column, "{} {rows}", column.data_type());
            result.to_data().validate_full().unwrap();
            if rows > 7 {
                for (from, len) in [(0, 9), (3, rows - 5), (8, 17), (rows - 1, 1)] {
                    let slice = column.slice(from, len);
                    assert_eq!(&pool.call(from_ref(&slice), len).unwrap(), &slice, "{}", column.data_type());
                }
            }
        }
    }
}

#[test]
fn text_may_change_its_encoding_on_the_way() {
    let module = batch_module(ECHO);
    let text: ArrayRef = Arc::new(texts(500, 9));
    for from in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
        for to in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
            let column = cast(&text, &from).unwrap();
            let result = call(&module, spec(Abi::Batch, &[DataType::Utf8], to.clone()), &[column], 500).unwrap();
            assert_eq!(&result, &cast(&text, &to).unwrap());
        }
    }
}

#[test]
fn decimals_are_aligned_wherever_the_guest_puts_them() {
    let column: ArrayRef = Arc::new(Decimal128Array::from_iter_values((0..100).map(|i| i * 10i128.pow(18))));
    let odd = r#"
      (local $to i32)
      (local.set $to (i32.add (call $alloc (i32.const 4000) (i32.const 8)) (i32.const 3)))
      (memory.copy (local.get $to) (i32.load (local.get $args)) (i32.load offset=4 (local.get $args)))
      (memory.copy (local.get $out) (local.get $args) (i32.const 20))
      (i32.store (local.get $out) (local.get $to))
      (i32.const 0)"#;
    let data_type = column.data_type().clone();
    let result =
        call(&batch_module(odd), spec(Abi::Batch, from_ref(&data_type), data_type.clone()), from_ref(&column), 100);
    assert_eq!(&result.unwrap(), &column);
}

#[test]
fn strict_functions_never_see_nulls() {
    let module = batch_module(MULTIPLY_ADD);
    let types = [DataType::Int64, DataType::Int64, DataType::Int64];
    let mut spec = spec(Abi::Batch, &types, DataType::Int64);
    spec.is_strict = true;
    let pool = function(&module, spec).pool(never());
    for rows in [1, 64, 8192] {
        for null_every in [1, 3, 1000, usize::MAX] {
            let mut random = fastrand::Rng::with_seed(rows as u64);
            let columns: Vec<ArrayRef> = (0..3)
                .map(|_| {
                    let values = (0..rows).map(|_| (random.usize(0..null_every) != 0).then(|| random.i64(..)));
                    Arc::new(values.collect::<Int64Array>()) as ArrayRef
                })
                .collect();
            let [a, b, c] = [0, 1, 2].map(|i| columns[i].as_primitive::<Int64Type>());
            let expected: Int64Array = (0..rows)
                .map(|i| {
                    let is_null = a.is_null(i) || b.is_null(i) || c.is_null(i);
                    (!is_null).then(|| a.value(i).wrapping_mul(b.value(i)).wrapping_add(c.value(i)))
                })
                .collect();
            let result = pool.call(&columns, rows).unwrap();
            assert_eq!(result.as_primitive::<Int64Type>(), &expected);
        }
    }
}

#[test]
fn a_batch_too_large_for_the_guest_is_divided() {
    let mut spec = spec(Abi::Batch, &[DataType::Utf8], DataType::Utf8);
    spec.limits.memory_bytes = 4 << 20;
    let text = "x".repeat(1000);
    let column: ArrayRef = Arc::new(StringArray::from_iter_values((0..20_000).map(|i| format!("{i} {text}"))));
    let result = call(&batch_module(ECHO), spec, from_ref(&column), 20_000).unwrap();
    assert_eq!(&result, &column);
}

#[test]
fn a_guest_without_reset_is_replaced_when_its_memory_is_full() {
    let text = super::batch_text(ECHO).replace("(export \"reset\")", "(export \"other\")");
    let module = super::module(&text);
    let mut spec = spec(Abi::Batch, &[DataType::Int64], DataType::Int64);
    spec.limits.memory_bytes = 1 << 20;
    let pool = function(&module, spec).pool(never());
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..8192));
    for _ in 0..100 {
        assert_eq!(&pool.call(from_ref(&column), 8192).unwrap(), &column);
    }
}

#[test]
fn errors_of_the_guest_have_its_text() {
    let text = r#"(i32.store (local.get $out) (i32.const 16)) (i32.store offset=4 (local.get $out) (i32.const 5))
        (i64.store (i32.const 16) (i64.const 0x6f6c6c6568)) (i32.const 3)"#;
    assert_eq!(super::batch_error(text, DataType::Int64).to_string(), "hello");
    let none = super::batch_error("(i32.const 7)", DataType::Int64);
    assert_eq!(none.to_string(), "function f failed with code 7");
    let long = r#"(memory.fill (i32.const 0) (i32.const 0xff) (i32.const 60000))
        (i32.store (local.get $out) (i32.const 0)) (i32.store offset=4 (local.get $out) (i32.const 60000))
        (i32.const 1)"#;
    let long = super::batch_error(long, DataType::Int64).to_string();
    assert_eq!(long.chars().count(), 1000);
}

#[test]
fn what_is_called_without_rows_is_not_called() {
    let module = batch_module("unreachable");
    let result = call(&module, spec(Abi::Batch, &[], DataType::Utf8View), &[], 0).unwrap();
    assert_eq!((result.len(), result.data_type()), (0, &DataType::Utf8View));
    let mut strict = spec(Abi::Batch, &[DataType::Int64], DataType::Utf8View);
    strict.is_strict = true;
    let nulls: ArrayRef = Arc::new(Int64Array::from(vec![None, None]));
    assert_eq!(call(&module, strict, &[nulls], 2).unwrap().null_count(), 2);
}

#[test]
fn an_interval_has_sixteen_bytes() {
    assert_eq!(
        crate::layout::Layout::of(&DataType::Interval(IntervalUnit::MonthDayNano)),
        Some(crate::layout::Layout::Fixed(16))
    );
}
