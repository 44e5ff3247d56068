//! Components.

use super::{load, never, sandbox, spec};
use crate::{Abi, ComponentAggregate, ComponentTable, Error, ErrorKind, Function, FunctionSpec, Kind, Module};
use arrow::array::{Array, ArrayRef, Int64Array, ListArray, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use std::slice::from_ref;
use std::sync::Arc;

const COMPONENT: Kind = Kind { is_component: true, is_metered: false };

/// An allocator as `canon lower` wants it.
const REALLOC: &str = r#"
  (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
  (global.set $top (i32.add (local.get $at) (local.get 3)))
  (block $enough (loop $grow
    (br_if $enough (i32.le_u (global.get $top) (i32.shl (memory.size) (i32.const 16))))
    (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
    (br $grow)))
  (local.get $at)"#;

/// A core module with a memory, that allocator and `functions`.
fn core(functions: &str) -> String {
    core_of(1, REALLOC, functions)
}

/// A core module with a memory of so many pages, an allocator and `functions`.
fn core_of(pages: usize, realloc: &str, functions: &str) -> String {
    format!(
        r#"(core module $m
          (memory (export "memory") {pages})
          (global $top (mut i32) (i32.const 1024))
          (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc})
          (data (i32.const 100) "it failed")
          {functions})
        (core instance $i (instantiate $m))"#
    )
}

/// A component that exports `f` as the core function `f`, of `list<u8>` to a pointer to its result.
pub(super) fn component(body: &str) -> Arc<Module> {
    component_of(1, REALLOC, body)
}

fn component_of(pages: usize, realloc: &str, body: &str) -> Arc<Module> {
    let function = format!("(func (export \"f\") (param i32 i32) (result i32) {body})");
    let text = format!(
        r#"(component {}
          (func (export "f") (param "arguments" (list u8)) (result (result (list u8) (error string)))
            (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#,
        core_of(pages, realloc, &function)
    );
    load(&sandbox(), &text, COMPONENT).unwrap()
}

/// Answers `ok` with the bytes at two locals.
pub(super) const ECHO: &str = r#"(i32.store8 (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (local.get 0))
    (i32.store (i32.const 24) (local.get 1)) (i32.const 16)"#;

fn call(module: &Arc<Module>, args: &[ArrayRef], returns: DataType, rows: usize) -> Result<ArrayRef, Error> {
    let types: Vec<DataType> = args.iter().map(|arg| arg.data_type().clone()).collect();
    super::call(module, spec(Abi::Component, &types, returns), args, rows)
}

#[test]
fn columns_of_any_type_come_back_as_they_went() {
    let module = component(ECHO);
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), None]), None, Some(vec![])]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
        Arc::new(StringArray::from(vec![Some("a"), None, Some("long enough to be no inline view")])),
        Arc::new(list),
    ];
    for column in columns {
        assert_eq!(&call(&module, from_ref(&column), column.data_type().clone(), 3).unwrap(), &column);
        let slice = column.slice(1, 2);
        assert_eq!(&call(&module, from_ref(&slice), column.data_type().clone(), 2).unwrap(), &slice);
    }
    let empty: ArrayRef = Arc::new(Int64Array::from(vec![0; 0]));
    assert!(call(&module, &[empty], DataType::Int64, 0).unwrap().is_empty());
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let views = call(&module, from_ref(&text), DataType::Utf8View, 1).unwrap();
    assert_eq!(views.data_type(), &DataType::Utf8View);
    let wrong = call(&module, &[text], DataType::Int64, 1).unwrap_err();
    assert_eq!(wrong.to_string(), "function f: the result has another type than it was declared with");
    assert_eq!(wrong.kind(), ErrorKind::Guest);
    let Error::WrongResult { column: None, expected, found, .. } = wrong else { panic!("{wrong:?}") };
    assert_eq!((expected, found), (DataType::Int64, DataType::Utf8));
}

#[test]
fn errors_traps_and_noise_are_errors() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let error = |body: &str| call(&component(body), from_ref(&column), DataType::Int64, 2).unwrap_err();
    let failed = r#"(i32.store8 (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 100))
        (i32.store (i32.const 24) (i32.const 9)) (i32.const 16)"#;
    assert_eq!(error(failed).to_string(), "it failed");
    assert!(matches!(error("unreachable"), Error::Trap { .. }));
    let short = ECHO.replace("(local.get 1)", "(i32.sub (local.get 1) (i32.const 100))");
    assert!(matches!(error(&short), Error::BadOutput { .. }));
    let noise = ECHO.replace("(local.get 0)", "(i32.const 0)");
    assert!(matches!(error(&noise), Error::BadOutput { .. }));
    let none = ECHO.replace("(local.get 1)", "(i32.const 0)");
    assert!(matches!(error(&none), Error::BadOutput { .. }));
}

/// Answers with `discriminant`, and the bytes at `at`.
fn answer(discriminant: u8, at: i32, len: i32) -> String {
    format!(
        "(i32.store8 (i32.const 16) (i32.const {discriminant})) (i32.store (i32.const 20) (i32.const {at})) \
         (i32.store (i32.const 24) (i32.const {len})) (i32.const 16)"
    )
}

#[test]
fn a_broken_canonical_abi_is_the_fault_of_the_guest() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let error = |realloc: &str, body: &str| {
        let error = call(&component_of(1, realloc, body), from_ref(&column), DataType::Int64, 2).unwrap_err();
        assert!(matches!(error, Error::BadOutput { .. }), "{body}: {error:?}");
        assert_eq!(error.kind(), ErrorKind::Guest);
        error.to_string()
    };
    let not_utf8 = format!("(i32.store8 (i32.const 101) (i32.const 0xff)) {}", answer(1, 100, 4));
    for (body, detail) in [
        ("(i32.const -4)".to_string(), "pointer out of bounds of memory"),
        ("(i32.const 65532)".to_string(), "pointer out of bounds of memory"),
        ("(i32.const 17)".to_string(), "return pointer not aligned"),
        (answer(2, 0, 0), "invalid expected discriminant"),
        (answer(0, 65_530, 7), "list pointer/length out of bounds of memory"),
        (answer(0, -1, -1), "list pointer/length out of bounds of memory"),
        (answer(1, 0, -1), "string pointer/length out of bounds of memory"),
        (not_utf8, "invalid utf-8 sequence of 1 bytes from index 1"),
    ] {
        assert_eq!(error(REALLOC, &body), format!("function f: it breaks the canonical ABI: {detail}"));
    }
    for realloc in ["(i32.const -8)", "(i32.const 65530)"] {
        let detail = "function f: it breaks the canonical ABI: realloc return: beyond end of memory";
        assert_eq!(error(realloc, ECHO), detail);
    }
}

#[test]
fn an_allocator_that_ignores_a_refusal_has_reached_its_limit() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![0; 200_000]));
    let careless = "(drop (memory.grow (i32.const 100))) (i32.const 1024)";
    let mut small = spec(Abi::Component, &[DataType::Int64], DataType::Int64);
    small.limits.memory_bytes = 1 << 20;
    let error = super::call(&component_of(1, careless, ECHO), small, &[column], 200_000).unwrap_err();
    assert!(matches!(error, Error::Memory { .. }), "{error}");
}

#[test]
fn an_answer_may_be_as_large_as_the_memory() {
    // Wasmtime itself would stop at 128 MiB.
    let mut large = spec(Abi::Component, &[], DataType::Int64);
    large.limits.memory_bytes = 256 << 20;
    let module = component_of(2100, REALLOC, &answer(0, 4096, 130 << 20));
    let error = super::call(&module, large, &[], 1).unwrap_err();
    assert!(error.to_string().starts_with("function f: the result is no Arrow stream"), "{error}");
}

#[test]
fn streams_with_flipped_bits_are_errors_or_columns() {
    // The guest flips a bit where the first value says.
    let column: ArrayRef = Arc::new(StringArray::from(vec![Some("one"), None, Some("three")]));
    let bytes = crate::ipc::encode(&[column], 3).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(column) = crate::ipc::decode_column(flipped, &DataType::Utf8, 3) {
            column.to_data().validate_full().unwrap();
        }
    }
    for seed in 0..3000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bad = bytes.clone();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(0..bad.len());
            bad[at] = *random.choice(&[0, 1, 0x7f, 0x80, 0xff, random.clone().u8(..)]).unwrap();
        }
        if let Ok(column) = crate::ipc::decode_column(bad, &DataType::Utf8, 3) {
            column.to_data().validate_full().unwrap();
        }
    }
}

#[test]
fn a_component_is_given_no_imports_and_needs_the_right_exports() {
    let text = r#"(component (import "wasi:cli/environment@0.2.0" (instance (export "get" (func)))))"#;
    let module = load(&sandbox(), text, COMPONENT).unwrap();
    let new = |module: &Arc<Module>| {
        Function::new(module, spec(Abi::Component, &[], DataType::Int64), Arc::default()).unwrap_err()
    };
    assert!(matches!(new(&module), Error::MissingExport { .. }));
    let text = format!(
        r#"(component (import "wasi:cli/environment@0.2.0" (instance (export "get" (func)))) {}
          (func (export "f") (param "arguments" (list u8)) (result (result (list u8) (error string)))
            (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#,
        core("(func (export \"f\") (param i32 i32) (result i32) unreachable)")
    );
    let error = new(&load(&sandbox(), &text, COMPONENT).unwrap());
    assert_eq!(error.to_string(), "module imports wasi:cli.environment@0.2.0, which a function is not given");
    let text = format!(
        r#"(component {} (func (export "f") (param "a" u32) (result u32) (canon lift (core func $i "f"))))"#,
        core("(func (export \"f\") (param i32) (result i32) (local.get 0))")
    );
    assert!(matches!(new(&load(&sandbox(), &text, COMPONENT).unwrap()), Error::WrongType { .. }));
}

/// An aggregate whose state is all it was given, one after another, and whose result is the state.
fn aggregate() -> Arc<Module> {
    let join = r#"
      (func $ok (param $at i32) (param $len i32) (result i32)
        (i32.store8 (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (local.get $at))
        (i32.store (i32.const 24) (local.get $len)) (i32.const 16))
      (func (export "second") (param i32 i32 i32 i32) (result i32)
        (if (result i32) (local.get 3) (then (call $ok (local.get 2) (local.get 3)))
          (else (call $ok (local.get 0) (local.get 1)))))
      (func (export "same") (param i32 i32) (result i32) (call $ok (local.get 0) (local.get 1)))"#;
    let text = format!(
        r#"(component {}
          (type $answer (result (list u8) (error string)))
          (func $accumulate (param "state" (list u8)) (param "arguments" (list u8)) (result $answer)
            (canon lift (core func $i "second") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
          (func $merge (param "a" (list u8)) (param "b" (list u8)) (result $answer)
            (canon lift (core func $i "second") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
          (func $finish (param "state" (list u8)) (result $answer)
            (canon lift (core func $i "same") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
          (instance $agg
            (export "accumulate" (func $accumulate)) (export "merge" (func $merge)) (export "finish" (func $finish)))
          (export "last" (instance $agg)))"#,
        core(join)
    );
    load(&sandbox(), &text, COMPONENT).unwrap()
}

#[test]
fn an_aggregate_carries_its_state_in_bytes() {
    let spec = FunctionSpec { export: "last".to_string(), ..spec(Abi::Component, &[DataType::Int64], DataType::Int64) };
    let last = ComponentAggregate::new(&aggregate(), spec.clone(), Arc::default()).unwrap();
    let column = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let interrupt = never();
    let mut state = Vec::new();
    for value in 0..100 {
        state = last.accumulate(&state, &[column(value)], 1, &interrupt).unwrap();
    }
    assert_eq!(&last.finish(&state, &interrupt).unwrap(), &column(99));
    let other = last.accumulate(&[], &[column(7)], 1, &interrupt).unwrap();
    let merged = last.merge(&state, &other, &interrupt).unwrap();
    assert_eq!(&last.finish(&merged, &interrupt).unwrap(), &column(7));
    assert_eq!(last.merge(&state, &[], &interrupt).unwrap(), state);
    assert!(last.finish(&[], &interrupt).is_err());
    let missing = FunctionSpec { export: "first".to_string(), ..spec };
    assert!(ComponentAggregate::new(&aggregate(), missing, Arc::default()).is_err());
}

#[test]
fn a_table_function_gives_batches() {
    let module = component(ECHO);
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let spec = spec(Abi::Component, &[DataType::Int64], DataType::Int64);
    let table = ComponentTable::new(&module, spec.clone(), schema.clone(), Arc::default()).unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![5]));
    let batches = table.rows(from_ref(&column), &never()).unwrap();
    assert_eq!(batches.len(), 1);
    assert_eq!((batches[0].schema(), batches[0].column(0)), (schema, &column));
    let other = Arc::new(Schema::new(vec![Field::new("n", DataType::Utf8, true)]));
    let table = ComponentTable::new(&module, spec, other, Arc::default()).unwrap();
    let error = table.rows(&[column], &never()).unwrap_err();
    assert_eq!(error.to_string(), "function f: column \"n\" has another type than it was declared with");
    let Error::WrongResult { column: Some(column), expected, found, .. } = error else { panic!("{error:?}") };
    assert_eq!((column.as_str(), expected, found), ("n", DataType::Utf8, DataType::Int64));
}

#[test]
fn a_component_stays_within_its_limits() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![0; 200_000]));
    let mut small = spec(Abi::Component, &[DataType::Int64], DataType::Int64);
    small.limits.memory_bytes = 1 << 20;
    let error = super::call(&component(ECHO), small, &[column], 200_000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let mut slow = spec(Abi::Component, &[], DataType::Int64);
    slow.limits.timeout = std::time::Duration::from_millis(20);
    let error = super::call(&component("(loop $l (br $l)) unreachable"), slow, &[], 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}
