//! Functions called once a row.

use super::{call, function, module, never, spec};
use crate::{Abi, Counters, Error, ErrorKind, Function};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Int16Array, Int64Array, PrimitiveArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use std::slice::from_ref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn random<T: ArrowPrimitiveType>(rows: usize, mut value: impl FnMut() -> T::Native) -> ArrayRef {
    let mut random = fastrand::Rng::with_seed(rows as u64);
    let values = (0..rows).map(|_| (random.u8(0..5) != 0).then(&mut value));
    Arc::new(values.collect::<PrimitiveArray<T>>())
}

#[test]
fn values_of_every_type_come_back_as_they_went() {
    let text = r#"(module
        (func (export "i32") (param i32) (result i32) (local.get 0))
        (func (export "i64") (param i64) (result i64) (local.get 0))
        (func (export "f32") (param f32) (result f32) (local.get 0))
        (func (export "f64") (param f64) (result f64) (local.get 0)))"#;
    let module = module(text);
    let mut rng = fastrand::Rng::with_seed(7);
    for rows in [0, 1, 255, 256, 257, 8192] {
        let timestamps = random::<TimestampMicrosecondType>(rows, || rng.i64(-200_000_000_000_000_000..1 << 62));
        let zoned = timestamps.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("UTC");
        let mut bits = fastrand::Rng::with_seed(8);
        let booleans: BooleanArray = (0..rows).map(|_| (bits.u8(0..3) != 0).then(|| bits.bool())).collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("i32", random::<Int16Type>(rows, || rng.i16(..))),
            ("i32", random::<Int32Type>(rows, || rng.i32(..))),
            ("i32", random::<Date32Type>(rows, || rng.i32(-2_440_588..=95_026_236))),
            ("i32", Arc::new(booleans)),
            ("i64", random::<Int64Type>(rows, || rng.i64(..))),
            ("i64", timestamps),
            ("i64", Arc::new(zoned)),
            ("i64", random::<Time64MicrosecondType>(rows, || rng.i64(0..=86_400_000_000))),
            ("f32", random::<Float32Type>(rows, || f32::from_bits(rng.u32(..)))),
            ("f64", random::<Float64Type>(rows, || f64::from_bits(rng.u64(..)))),
        ];
        for (export, column) in columns {
            let mut spec = spec(Abi::Scalar, &[column.data_type().clone()], column.data_type().clone());
            spec.export = export.to_string();
            let result = call(&module, spec.clone(), from_ref(&column), rows).unwrap();
            assert_eq!(&result, &column, "{export} {rows}");
            if rows > 100 {
                let slice = column.slice(3, rows - 50);
                assert_eq!(&call(&module, spec, from_ref(&slice), rows - 50).unwrap(), &slice);
            }
        }
    }
}

#[test]
fn arithmetic_wraps_and_nulls_stay_null() {
    let module = module(
        r#"(module (func (export "f") (param i64 i64 i64) (result i64)
            (i64.add (i64.mul (local.get 0) (local.get 1)) (local.get 2))))"#,
    );
    let mut rng = fastrand::Rng::with_seed(1);
    let columns: Vec<ArrayRef> = (0..3).map(|_| random::<Int64Type>(5000, || rng.i64(..))).collect();
    let spec = spec(Abi::Scalar, &[DataType::Int64, DataType::Int64, DataType::Int64], DataType::Int64);
    let result = call(&module, spec, &columns, 5000).unwrap();
    let [a, b, c] = [0, 1, 2].map(|i| columns[i].as_primitive::<Int64Type>());
    let expected: Int64Array = (0..5000)
        .map(|i| {
            let is_null = a.is_null(i) || b.is_null(i) || c.is_null(i);
            (!is_null).then(|| a.value(i).wrapping_mul(b.value(i)).wrapping_add(c.value(i)))
        })
        .collect();
    assert_eq!(result.as_primitive::<Int64Type>(), &expected);
}

#[test]
fn functions_may_have_no_or_many_or_mixed_arguments() {
    let text = r#"(module
        (func (export "none") (result i32) (i32.const 42))
        (func (export "mixed") (param i32 f64 i64 f32 i32) (result f64)
            (f64.add (f64.add (f64.convert_i32_s (local.get 0)) (local.get 1))
                (f64.add (f64.convert_i64_s (local.get 2))
                    (f64.add (f64.promote_f32 (local.get 3)) (f64.convert_i32_s (local.get 4)))))))"#;
    let module = module(text);
    let mut none = spec(Abi::Scalar, &[], DataType::Int32);
    none.export = "none".to_string();
    let result = call(&module, none, &[], 600).unwrap();
    assert_eq!(result.as_primitive::<Int32Type>().values().to_vec(), vec![42; 600]);

    let types = [DataType::Int16, DataType::Float64, DataType::Int64, DataType::Float32, DataType::Boolean];
    let mut mixed = spec(Abi::Scalar, &types, DataType::Float64);
    mixed.export = "mixed".to_string();
    let args: Vec<ArrayRef> = vec![
        Arc::new(Int16Array::from(vec![1, -2])),
        Arc::new(arrow::array::Float64Array::from(vec![0.5, 0.25])),
        Arc::new(Int64Array::from(vec![10, 20])),
        Arc::new(arrow::array::Float32Array::from(vec![0.125, 3.0])),
        Arc::new(BooleanArray::from(vec![true, false])),
    ];
    let result = call(&module, mixed, &args, 2).unwrap();
    assert_eq!(result.as_primitive::<Float64Type>().values().to_vec(), vec![11.625 + 1.0 - 0.0, 21.25]);
}

#[test]
fn nans_that_are_computed_are_canonical() {
    let module =
        module(r#"(module (func (export "f") (param f64 f64) (result f64) (f64.div (local.get 0) (local.get 1))))"#);
    let odd = f64::from_bits(0xfff4_dead_beef_0001);
    let a: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![0.0, odd, -0.0, 1.0]));
    let b: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![0.0, 1.0, 0.0, odd]));
    let spec = spec(Abi::Scalar, &[DataType::Float64, DataType::Float64], DataType::Float64);
    let result = call(&module, spec, &[a, b], 4).unwrap();
    for value in result.as_primitive::<Float64Type>().values() {
        assert_eq!(value.to_bits(), 0x7ff8_0000_0000_0000);
    }
}

#[test]
fn results_out_of_range_are_errors() {
    let module = module(r#"(module (func (export "f") (param i32) (result i32) (local.get 0)))"#);
    let column: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![1, 40_000]));
    let small = call(&module, spec(Abi::Scalar, &[DataType::Int32], DataType::Int16), from_ref(&column), 2);
    assert_eq!(small.unwrap_err().to_string(), "function f: smallint out of range: 40000");
    let boolean = call(&module, spec(Abi::Scalar, &[DataType::Int32], DataType::Boolean), &[column], 2);
    assert_eq!(boolean.unwrap_err().kind(), ErrorKind::Guest);
    let time = DataType::Time64(TimeUnit::Microsecond);
    let module = super::module(r#"(module (func (export "f") (result i64) (i64.const 86400000001)))"#);
    assert!(call(&module, spec(Abi::Scalar, &[], time), &[], 1).is_err());
}

#[test]
fn declarations_that_do_not_fit_are_refused() {
    let module =
        module(r#"(module (memory (export "m") 1) (func (export "f") (param i32 i64) (result f32) (f32.const 1)))"#);
    let new = |spec| Function::new(&module, spec, Arc::default()).unwrap_err();
    let error = new(spec(Abi::Scalar, &[DataType::Int32], DataType::Float32));
    assert_eq!(error.to_string(), "function f: export \"f\" must be (i32) -> f32, not (i32, i64) -> f32");
    let error = new(spec(Abi::Scalar, &[DataType::Int32, DataType::Utf8], DataType::Float32));
    assert_eq!(error.to_string(), "function f: argument 2 has a type that the abi scalar cannot pass");
    assert_eq!(error.kind(), ErrorKind::InvalidModule);
    assert!(matches!(error, Error::Unsupported { abi: Abi::Scalar, argument: Some(2), data_type: DataType::Utf8, .. }));
    let error = new(spec(Abi::Batch, &[DataType::Int32], DataType::Null));
    assert_eq!(error.to_string(), "function f: the result has a type that the abi batch cannot pass");
    assert!(matches!(error, Error::Unsupported { abi: Abi::Batch, argument: None, data_type: DataType::Null, .. }));
    let mut other = spec(Abi::Scalar, &[], DataType::Int32);
    other.export = "g".to_string();
    assert_eq!(new(other.clone()).to_string(), "the module of function f exports no \"g\"");
    other.export = "m".to_string();
    assert!(matches!(new(other.clone()), Error::WrongType { .. }));
    other.abi = Abi::Batch;
    assert!(matches!(new(other), Error::MissingExport { .. }));
}

#[test]
fn a_query_reuses_instances_and_counts_what_they_cost() {
    let module = module(
        r#"(module (global $n (mut i64) (i64.const 0)) (memory (export "memory") 3)
            (func (export "f") (result i64)
                (global.set $n (i64.add (global.get $n) (i64.const 1))) (global.get $n)))"#,
    );
    let counters = Arc::new(Counters::default());
    let f = Function::new(&module, spec(Abi::Scalar, &[], DataType::Int64), counters.clone()).unwrap();
    let f = Arc::new(f);
    let pool = f.pool(never());
    pool.call(&[], 10).unwrap();
    let second = pool.call(&[], 1).unwrap();
    assert_eq!(second.as_primitive::<Int64Type>().value(0), 11);
    assert_eq!(f.pool(never()).call(&[], 1).unwrap().as_primitive::<Int64Type>().value(0), 1);
    assert_eq!(counters.calls.load(Ordering::Relaxed), 3);
    assert_eq!(counters.rows.load(Ordering::Relaxed), 12);
    assert_eq!(counters.memory_peak.load(Ordering::Relaxed), 3 << 16);
    assert!(counters.nanos.load(Ordering::Relaxed) > 0);
}

#[test]
fn threads_share_a_pool() {
    let module =
        module(r#"(module (func (export "f") (param i64) (result i64) (i64.mul (local.get 0) (local.get 0))))"#);
    let pool = function(&module, spec(Abi::Scalar, &[DataType::Int64], DataType::Int64)).pool(never());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                for batch in 0..50 {
                    let column: ArrayRef = Arc::new(Int64Array::from_iter_values((0..300).map(|i| i + thread * batch)));
                    let result = pool.call(from_ref(&column), 300).unwrap();
                    let column = column.as_primitive::<Int64Type>();
                    let squares = Int64Array::from_iter_values(column.values().iter().map(|v| v * v));
                    assert_eq!(result.as_primitive::<Int64Type>(), &squares);
                }
            });
        }
    });
}
