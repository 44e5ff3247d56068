//! Guests that mean harm, or are broken: each is an error, and the next call goes on.

use super::{ALLOCATOR, batch_error, batch_module, call, function, load, module, never, sandbox, sandbox_of, spec};
use crate::{Abi, Error, ErrorKind, Function, Kind};
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use lightning_storage::budget::MemoryBudget;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Fills the descriptor of the result with five numbers, as WebAssembly expressions.
fn out(fields: [&str; 5]) -> String {
    let stores =
        fields.iter().enumerate().map(|(i, field)| format!("(i32.store offset={} (local.get $out) {field})", i * 4));
    stores.collect::<String>() + "(i32.const 0)"
}

const ZERO: &str = "(i32.const 0)";
const THREE: &str = "(i32.const 3)";

#[test]
fn pointers_and_lengths_out_of_range_are_errors() {
    let far = ["(i32.const -1)", "(i32.const 65536)", "(i32.const 0x7fffffff)", "(i32.const -8)", "(i32.const 65520)"];
    for at in far {
        for bytes in ["(i32.const 24)", "(i32.const -1)", "(i32.const 65536)"] {
            let error = batch_error(&out([at, bytes, ZERO, ZERO, THREE]), DataType::Int64);
            assert!(matches!(error, Error::BadOutput { .. }), "{error}");
        }
    }
    for at in &far[..4] {
        let error = batch_error(&out([ZERO, "(i32.const 24)", at, ZERO, THREE]), DataType::Utf8);
        assert!(matches!(error, Error::BadOutput { .. }), "{error}");
        let error = batch_error(&out([ZERO, "(i32.const 24)", ZERO, at, THREE]), DataType::Int64);
        assert!(matches!(error, Error::BadOutput { .. }), "{error}");
    }
    let error = batch_error(&out([ZERO, "(i32.const 23)", ZERO, ZERO, THREE]), DataType::Int64);
    assert_eq!(error.to_string(), "function f: the result's data has 23 bytes where 24 are needed");
}

#[test]
fn wrong_counts_of_rows_are_errors() {
    for rows in [ZERO, "(i32.const 2)", "(i32.const 4)", "(i32.const -1)"] {
        let error = batch_error(&out([ZERO, "(i32.const 24)", ZERO, ZERO, rows]), DataType::Int64);
        assert!(matches!(error, Error::BadOutput { .. }), "{error}");
    }
}

#[test]
fn offsets_that_fall_or_leave_the_data_are_errors() {
    for (offsets, detail) in [
        ([0, 5, 3, 8], "the result's offsets do not rise"),
        ([-1, 0, 1, 2], "the result's offsets do not rise"),
        ([0, 1, 2, 9], "the result's offsets end at 9, beyond its 8 bytes of data"),
        ([0, 1, 2, i32::MAX], "the result's offsets end at 2147483647, beyond its 8 bytes of data"),
    ] {
        let stores: String = offsets
            .iter()
            .enumerate()
            .map(|(i, offset)| format!("(i32.store (i32.const {}) (i32.const {offset}))", 16 + i * 4))
            .collect();
        let body = stores + &out([ZERO, "(i32.const 8)", "(i32.const 16)", ZERO, THREE]);
        let error = batch_error(&body, DataType::Utf8View);
        assert_eq!(error.to_string(), format!("function f: {detail}"));
    }
}

#[test]
fn text_that_is_not_utf8_is_an_error() {
    // One invalid byte; then a valid character that an offset divides.
    for (bytes, offsets) in [(0x61_62_ff_63, [0, 1, 2, 4]), (0x61_a4_c3_61, [0, 2, 3, 4])] {
        let stores: String = offsets
            .iter()
            .enumerate()
            .map(|(i, offset)| format!("(i32.store (i32.const {}) (i32.const {offset}))", 16 + i * 4))
            .collect();
        let body = format!("(i32.store (i32.const 0) (i32.const {bytes}))")
            + &stores
            + &out([ZERO, "(i32.const 4)", "(i32.const 16)", ZERO, THREE]);
        for data_type in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
            let error = batch_error(&body, data_type);
            assert_eq!(error.to_string(), "function f: the result is not valid UTF-8");
        }
    }
}

#[test]
fn buffers_may_overlap() {
    // Data, offsets and validity are all the first argument's data, and the descriptor lies in the data of itself.
    let body = out(["(local.get $out)", "(i32.const 24)", ZERO, "(local.get $out)", THREE]);
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let spec = spec(Abi::Batch, &[DataType::Int64], DataType::Int64);
    call(&batch_module(&body), spec, &[column], 3).unwrap();
}

#[test]
fn decimals_of_too_many_digits_are_errors() {
    let body = out([ZERO, "(i32.const 48)", ZERO, ZERO, THREE]);
    let body = format!("(memory.fill (i32.const 0) (i32.const 0x70) (i32.const 48)) {body}");
    let error = batch_error(&body, DataType::Decimal128(10, 2));
    assert_eq!(error.to_string(), "function f: a numeric value has too many digits");
}

#[test]
fn alloc_that_lies_is_an_error() {
    for answer in ["(i32.const -8)", "(i32.const 65528)", "(i32.const 9)"] {
        let text = format!(
            "(module (memory (export \"memory\") 1) (func (export \"alloc\") (param i32 i32) (result i32) {answer}) \
             (func (export \"f\") (param i32 i32 i32) (result i32) unreachable))"
        );
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let error = call(&module(&text), spec(Abi::Batch, &[DataType::Int64], DataType::Int64), &[column], 3);
        assert!(matches!(error.unwrap_err(), Error::BadOutput { .. }));
    }
}

#[test]
fn an_endless_loop_ends_with_its_time() {
    let loops = r#"(module (func (export "f") (result i32) (loop $l (br $l)) (i32.const 1)))"#;
    let mut spec = spec(Abi::Scalar, &[], DataType::Int32);
    spec.limits.timeout = Duration::from_millis(30);
    let error = call(&module(loops), spec.clone(), &[], 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "function f ran longer than its time-out of 30ms");

    let starts = r#"(module (func $s (loop $l (br $l))) (start $s) (func (export "f") (result i32) (i32.const 1)))"#;
    let error = call(&module(starts), spec.clone(), &[], 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);

    // Each call is short, but there are many rows.
    let slow = r#"(module (func (export "f") (result i32) (local $i i32)
        (loop $l (br_if $l (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10000000))))
        (i32.const 1)))"#;
    let error = call(&module(slow), spec, &[], 100_000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn an_endless_loop_ends_when_it_is_cancelled() {
    let module = module(r#"(module (func (export "f") (result i32) (loop $l (br $l)) (i32.const 1)))"#);
    let asked = Arc::new(AtomicU32::new(0));
    let times = asked.clone();
    let f = function(&module, spec(Abi::Scalar, &[], DataType::Int32));
    let pool = f.pool(Arc::new(move || times.fetch_add(1, Ordering::Relaxed) > 3));
    assert_eq!(pool.call(&[], 1).unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(asked.load(Ordering::Relaxed) > 3);
}

#[test]
fn a_memory_bomb_is_refused_and_gives_everything_back() {
    let text = r#"(module (memory (export "memory") 1)
        (func (export "f") (result i64) (local $n i64)
            (loop $l
                (if (i32.ne (memory.grow (i32.const 16)) (i32.const -1))
                    (then (local.set $n (i64.add (local.get $n) (i64.const 16))) (br $l))))
            (local.get $n)))"#;
    let budget = MemoryBudget::new(1 << 30);
    let module = load(&sandbox_of(&budget), text, Kind::default()).unwrap();
    let f = function(&module, spec(Abi::Scalar, &[], DataType::Int64));
    let pool = f.pool(never());
    let pages = pool.call(&[], 1).unwrap();
    assert_eq!(pages.as_primitive::<Int64Type>().value(0), 1024 - 16);
    assert_eq!(budget.used_bytes(), (1024 - 15) << 16);
    drop(pool);
    assert_eq!(budget.used_bytes(), 0);

    let small = MemoryBudget::new(1 << 20);
    let module = load(&sandbox_of(&small), text, Kind::default()).unwrap();
    let pages = call(&module, spec(Abi::Scalar, &[], DataType::Int64), &[], 1).unwrap();
    assert_eq!(pages.as_primitive::<Int64Type>().value(0), 0);
    assert_eq!(small.used_bytes(), 0);
}

#[test]
fn memory_and_tables_that_are_too_large_at_the_start_are_errors() {
    let f = r#"(func (export "f") (result i64) (i64.const 1))"#;
    let error = |text: &str| call(&module(text), spec(Abi::Scalar, &[], DataType::Int64), &[], 1).unwrap_err();
    let memory = error(&format!("(module (memory 1025) {f})"));
    assert!(matches!(memory, Error::Memory { limit_bytes: 0x400_0000, .. }), "{memory}");
    let table = error(&format!("(module (table 100001 funcref) {f})"));
    assert_eq!(table.kind(), ErrorKind::Limit);
    let budget = MemoryBudget::new(1 << 16);
    let module = load(&sandbox_of(&budget), &format!("(module (memory 2) {f})"), Kind::default()).unwrap();
    let error = call(&module, spec(Abi::Scalar, &[], DataType::Int64), &[], 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn deep_recursion_traps_on_a_thread_with_little_stack() {
    let text = r#"(module (func $f (export "f") (param i64) (result i64)
        (i64.add (i64.const 1) (call $f (i64.add (local.get 0) (i64.const 1))))))"#;
    let module = module(text);
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(move || {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        call(&module, spec(Abi::Scalar, &[DataType::Int64], DataType::Int64), &[column], 1).unwrap_err()
    });
    let Error::Trap { message, backtrace, .. } = thread.unwrap().join().unwrap() else { panic!() };
    assert_eq!(message, "call stack exhausted");
    assert_eq!(backtrace.len(), 20);
}

#[test]
fn a_trap_has_facts_and_the_next_call_goes_on() {
    let text = r#"(module $guest
        (func $_ZN5guest6divide17h0123456789abcdefE (param i64 i64) (result i64)
            (i64.div_s (local.get 0) (local.get 1)))
        (func (export "f") (param i64 i64) (result i64)
            (call $_ZN5guest6divide17h0123456789abcdefE (local.get 0) (local.get 1))))"#;
    let counters = Arc::new(crate::Counters::default());
    let spec = spec(Abi::Scalar, &[DataType::Int64, DataType::Int64], DataType::Int64);
    let pool = Arc::new(Function::new(&module(text), spec, counters.clone()).unwrap()).pool(never());
    let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let error = pool.call(&[column(vec![6, 1, 2]), column(vec![3, 0, 1])], 3).unwrap_err();
    assert_eq!(error.to_string(), "function f trapped: integer divide by zero");
    let Error::Trap { export, backtrace, .. } = error else { panic!() };
    assert_eq!(export, "f");
    assert!(backtrace[0].contains("guest::divide"), "{backtrace:?}");
    assert_eq!(backtrace.len(), 2);
    let result = pool.call(&[column(vec![6]), column(vec![3])], 1).unwrap();
    assert_eq!(result.as_primitive::<Int64Type>().value(0), 2);
    assert_eq!(counters.traps.load(Ordering::Relaxed), 1);
}

#[test]
fn a_function_is_given_no_imports() {
    for (import, shown) in [
        (r#"(import "env" "foo" (func))"#, "env.foo"),
        (
            r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#,
            "wasi_snapshot_preview1.fd_write",
        ),
        (r#"(import "lightning" "event" (func (result i32)))"#, "lightning.event"),
        (r#"(import "env" "memory" (memory 1))"#, "env.memory"),
    ] {
        let module = module(&format!(r#"(module {import} (func (export "f") (result i32) (i32.const 1)))"#));
        let error = Function::new(&module, spec(Abi::Scalar, &[], DataType::Int32), Arc::default()).unwrap_err();
        assert_eq!(error.to_string(), format!("module imports {shown}, which a function is not given"));
    }
}

#[test]
fn a_module_without_what_the_abi_needs_is_refused() {
    let empty = module("(module)");
    let error = Function::new(&empty, spec(Abi::Scalar, &[], DataType::Int32), Arc::default()).unwrap_err();
    assert!(matches!(error, Error::MissingExport { .. }));
    let error = Function::new(&empty, spec(Abi::Component, &[], DataType::Int32), Arc::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidModule);
    let text = format!("(module {ALLOCATOR} (func (export \"f\") (param i32) (result i32) (i32.const 0)))");
    let error = Function::new(&module(&text), spec(Abi::Batch, &[], DataType::Int32), Arc::default()).unwrap_err();
    assert!(matches!(error, Error::WrongType { .. }));
}

#[test]
fn features_that_depend_on_the_machine_are_refused() {
    for text in [
        r#"(module (memory 1 2 shared))"#,
        r#"(module (memory i64 1))"#,
        r#"(module (memory 1) (memory 1))"#,
        r#"(module (func (param v128 v128 v128) (result v128)
            (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2))))"#,
        r#"(module (func $f return_call $f))"#,
        r#"(module (type (struct)))"#,
        r#"(module (tag))"#,
    ] {
        let error = load(&sandbox(), text, Kind::default()).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{text}: {error}");
    }
    for text in [
        r#"(module (func (export "f") (param v128) (result i32) (i32x4.extract_lane 0 (local.get 0))))"#,
        r#"(module (func (result i32 i64) (i32.const 1) (i64.const 2)))"#,
        r#"(module (func (param f64) (result i32) (i32.trunc_sat_f64_s (local.get 0))))"#,
        r#"(module (func (param i32) (result i32) (i32.extend8_s (local.get 0))))"#,
        r#"(module (table 1 funcref) (memory 1) (data "x") (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 1))))"#,
    ] {
        load(&sandbox(), text, Kind::default()).unwrap();
    }
}

#[test]
fn a_guest_that_answers_differently_each_time_is_itself_alone() {
    let text = r#"(module (global $n (mut i64) (i64.const 7))
        (func (export "f") (result i64)
            (global.set $n (i64.mul (global.get $n) (i64.const 6364136223846793005))) (global.get $n)))"#;
    let module = module(text);
    let answers = |_| call(&module, spec(Abi::Scalar, &[], DataType::Int64), &[], 100).unwrap();
    let [first, second] = [0, 1].map(answers);
    assert_eq!(&first, &second, "each query begins with a fresh instance");
}
