//! Trigger functions.

use super::{load, module, never, sandbox, sandbox_of};
use crate::{
    Counters, Error, ErrorKind, Event, Kind, Level, Limits, Rows, Timing, TriggerCall, TriggerFunction, TriggerOutcome,
};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int16Array, Int64Array, ListArray,
    StringArray,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use lightning_storage::budget::MemoryBudget;
use std::sync::Arc;

const IMPORTS: &str = r#"
  (import "lightning" "event" (func $event (result i32)))
  (import "lightning" "timing" (func $timing (result i32)))
  (import "lightning" "columns" (func $columns (result i32)))
  (import "lightning" "column" (func $column (param i32 i32) (result i32)))
  (import "lightning" "argument" (func $argument (param i32 i32 i32) (result i32)))
  (import "lightning" "raise" (func $raise (param i32 i32)))
  (import "lightning" "execute" (func $execute (param i32 i32)))
  (import "lightning" "is_null" (func $is_null (param i32 i32) (result i32)))
  (import "lightning" "get_i64" (func $get_i64 (param i32 i32) (result i64)))
  (import "lightning" "get_f64" (func $get_f64 (param i32 i32) (result f64)))
  (import "lightning" "get_text" (func $get_text (param i32 i32 i32 i32) (result i32)))
  (import "lightning" "set_null" (func $set_null (param i32)))
  (import "lightning" "set_i64" (func $set_i64 (param i32 i64)))
  (import "lightning" "set_f64" (func $set_f64 (param i32 f64)))
  (import "lightning" "set_text" (func $set_text (param i32 i32 i32)))
"#;

/// Columns id bigint, small smallint, price double precision, name text, on boolean, total numeric(10, 2).
fn table() -> (Vec<(String, DataType)>, Vec<ArrayRef>) {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4)])),
        Arc::new(Int16Array::from(vec![10, 20, 30, 40])),
        Arc::new(Float64Array::from(vec![0.5, 1.5, 2.5, 3.5])),
        Arc::new(StringArray::from(vec![Some("one"), None, Some("three"), Some("")])),
        Arc::new(BooleanArray::from(vec![true, false, true, false])),
        Arc::new(Decimal128Array::from(vec![100, 200, 300, 400]).with_precision_and_scale(10, 2).unwrap()),
    ];
    let names = ["id", "small", "price", "name", "on", "total"];
    (names.iter().zip(&columns).map(|(name, column)| (name.to_string(), column.data_type().clone())).collect(), columns)
}

fn trigger(event: Event, timing: Timing) -> TriggerCall {
    TriggerCall { event, timing, arguments: Arc::new(["first".to_string(), "zwölf".to_string()]), to_text: None }
}

fn row_text(body: &str) -> String {
    format!("(module {IMPORTS} (memory (export \"memory\") 1) {DATA} (func (export \"f\") (result i32) {body}))")
}

const DATA: &str = r#"(data (i32.const 16) "name") (data (i32.const 32) "insert into log values (1)")
  (data (i32.const 64) "no such thing") (data (i32.const 96) "\ff\fe") (data (i32.const 100) "12.5")"#;

fn row_call(body: &str, event: Event, timing: Timing) -> Result<TriggerOutcome, Error> {
    let module = module(&row_text(body));
    let f = TriggerFunction::new(&module, "f", "f", Limits::default(), Arc::default(), Level::Row)?;
    let (columns, arrays) = table();
    let old = (event != Event::Insert).then_some(arrays.as_slice());
    let new = (event != Event::Delete).then_some(arrays.as_slice());
    f.call(&trigger(event, timing), Rows { columns: &columns, old, new, rows: 4 }, &never())
}

fn insert(body: &str) -> Result<TriggerOutcome, Error> {
    row_call(body, Event::Insert, Timing::Before)
}

/// Calls `body` before a row of `columns` is inserted.
pub(super) fn insert_into(columns: &[(&str, ArrayRef)], data: &str, body: &str) -> Result<TriggerOutcome, Error> {
    let module = module(&row_text(&format!("{body}) {data} (func")));
    let f = TriggerFunction::new(&module, "f", "f", Limits::default(), Arc::default(), Level::Row)?;
    let types: Vec<_> = columns.iter().map(|(name, array)| (name.to_string(), array.data_type().clone())).collect();
    let arrays: Vec<ArrayRef> = columns.iter().map(|(_, array)| array.clone()).collect();
    let rows = Rows { columns: &types, old: None, new: Some(&arrays), rows: 1 };
    f.call(&trigger(Event::Insert, Timing::Before), rows, &never())
}

#[test]
fn rows_are_kept_skipped_or_refused() {
    let outcome = insert("(i32.const 0)").unwrap();
    assert!(outcome.skipped.is_empty() && outcome.new.is_none() && outcome.statements.is_empty());
    let outcome = insert("(i64.eqz (i64.rem_s (call $get_i64 (i32.const 1) (i32.const 1)) (i64.const 20)))").unwrap();
    assert_eq!(outcome.skipped, [1, 3]);
    let error = insert("(i32.const 9)").unwrap_err();
    assert_eq!(error.to_string(), "trigger function f failed with code 9");
    let error = insert("(call $raise (i32.const 64) (i32.const 13)) (i32.const 0)").unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Guest, "no such thing"));
}

#[test]
fn a_trigger_knows_what_happens() {
    let sum = "(return (i32.add (i32.mul (call $event) (i32.const 100)) (i32.add
        (i32.mul (call $timing) (i32.const 10)) (call $columns))))";
    for (event, timing, code) in [
        (Event::Insert, Timing::Before, 116),
        (Event::Update, Timing::After, 226),
        (Event::Delete, Timing::Before, 316),
    ] {
        let error = row_call(sum, event, timing).unwrap_err();
        assert_eq!(error.to_string(), format!("trigger function f failed with code {code}"));
    }
    let column = insert("(i32.add (i32.const 100) (call $column (i32.const 16) (i32.const 4)))").unwrap_err();
    assert_eq!(column.to_string(), "trigger function f failed with code 103");
    let unknown = insert("(call $column (i32.const 64) (i32.const 4))").unwrap_err();
    assert_eq!(unknown.to_string(), "trigger function f failed with code -1");
}

#[test]
fn arguments_are_copied_up_to_the_capacity() {
    let body = r#"
      (if (i32.ne (call $argument (i32.const 1) (i32.const 200) (i32.const 3)) (i32.const 6)) (then unreachable))
      (if (i32.ne (i32.load8_u (i32.const 203)) (i32.const 0)) (then unreachable))
      (if (i32.ne (call $argument (i32.const 2) (i32.const 200) (i32.const 3)) (i32.const -1)) (then unreachable))
      (call $raise (i32.const 200) (i32.const 2)) (i32.const 0)"#;
    assert_eq!(insert(body).unwrap_err().to_string(), "zw");
}

#[test]
fn values_are_changed_in_their_types() {
    let body = r#"
      (local $len i32)
      (call $set_i64 (i32.const 0) (i64.add (call $get_i64 (i32.const 1) (i32.const 0)) (i64.const 100)))
      (call $set_i64 (i32.const 0) (i64.add (call $get_i64 (i32.const 1) (i32.const 0)) (i64.const 1000)))
      (if (i64.eq (call $get_i64 (i32.const 1) (i32.const 1)) (i64.const 20)) (then
        (call $set_f64 (i32.const 2) (f64.mul (call $get_f64 (i32.const 1) (i32.const 2)) (f64.const 2)))
        (call $set_i64 (i32.const 5) (i64.const 7))
        (call $set_i64 (i32.const 4) (i64.const 1))))
      (if (i64.eq (call $get_i64 (i32.const 1) (i32.const 1)) (i64.const 30)) (then
        (call $set_text (i32.const 5) (i32.const 100) (i32.const 4))
        (call $set_null (i32.const 1))))
      (if (call $is_null (i32.const 1) (i32.const 3)) (then
        (call $set_text (i32.const 3) (i32.const 16) (i32.const 4))))
      (i32.const 0)"#;
    let outcome = insert(body).unwrap();
    let new = outcome.new.unwrap();
    let (columns, arrays) = table();
    for (array, (_, data_type)) in new.iter().zip(&columns) {
        assert_eq!((array.len(), array.data_type()), (4, data_type));
    }
    assert_eq!(new[0].as_primitive::<Int64Type>().values().to_vec(), [1101, 1102, 1100, 1104]);
    assert_eq!(new[1].null_count(), 1);
    assert!(new[1].is_null(2));
    assert_eq!(new[2].as_primitive::<Float64Type>().values().to_vec(), [0.5, 3.0, 2.5, 3.5]);
    assert_eq!(new[3].as_string::<i32>(), &StringArray::from(vec!["one", "name", "three", ""]));
    assert_eq!(new[4].as_boolean(), &BooleanArray::from(vec![true, true, true, false]));
    let totals = Decimal128Array::from(vec![100, 700, 1250, 400]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(new[5].as_primitive::<arrow::datatypes::Decimal128Type>(), &totals);
    assert_eq!(arrays[0].null_count(), 1, "what was given is as it was");
}

#[test]
fn values_that_do_not_fit_are_errors_that_name_the_import() {
    for (body, text) in [
        ("(call $set_i64 (i32.const 1) (i64.const 40000))", "set_i64: column \"small\" cannot hold 40000"),
        ("(call $set_i64 (i32.const 4) (i64.const 2))", "set_i64: column \"on\" cannot hold 2"),
        ("(call $set_i64 (i32.const 5) (i64.const 100000000))", "set_i64: column \"total\" cannot hold 100000000"),
        ("(call $set_i64 (i32.const 3) (i64.const 1))", "set_i64: column \"name\" takes no integer"),
        ("(call $set_f64 (i32.const 0) (f64.const 1))", "set_f64: column \"id\" takes no floating-point number"),
        (
            "(call $set_text (i32.const 3) (i32.const 96) (i32.const 2))",
            "set_text: column \"name\" does not take invalid UTF-8",
        ),
        (
            "(call $set_text (i32.const 0) (i32.const 16) (i32.const 4))",
            "set_text: column \"id\" does not take this text",
        ),
        ("(call $set_null (i32.const 6))", "set_null: there is no column 6"),
        ("(call $set_null (i32.const -1))", "set_null: there is no column -1"),
        ("(drop (call $get_i64 (i32.const 0) (i32.const 0)))", "get_i64: there is no old row"),
        (
            "(drop (call $get_i64 (i32.const 2) (i32.const 0)))",
            "get_i64: 2 is neither 0 for the old row nor 1 for the new one",
        ),
        ("(drop (call $get_i64 (i32.const 1) (i32.const 3)))", "get_i64: column \"name\" has no integers"),
        ("(drop (call $get_f64 (i32.const 1) (i32.const 3)))", "get_f64: column \"name\" has no numbers"),
        (
            "(drop (call $get_text (i32.const 1) (i32.const 3) (i32.const 65535) (i32.const 9)))",
            "get_text: 3 bytes at 65535 are beyond the end of its memory",
        ),
        (
            "(call $execute (i32.const -1) (i32.const 2))",
            "execute: 2 bytes at 4294967295 are beyond the end of its memory",
        ),
        ("(call $raise (i32.const 65530) (i32.const 7))", "raise: 7 bytes at 65530 are beyond the end of its memory"),
        ("(drop (call $column (i32.const 96) (i32.const 2)))", "column: invalid UTF-8"),
    ] {
        let error = insert(&format!("{body} (i32.const 0)")).unwrap_err();
        assert_eq!(error.to_string(), format!("function f: {text}"));
    }
    let late = row_call("(call $set_null (i32.const 0)) (i32.const 0)", Event::Update, Timing::After).unwrap_err();
    assert_eq!(late.to_string(), "function f: set_null: only a trigger before insert or update can change a row");
}

#[test]
fn any_value_can_be_read_as_text() {
    let body = r#"
      (if (i32.ne (call $get_text (i32.const 1) (i32.const 3) (i32.const 200) (i32.const 99)) (i32.const 3))
        (then (return (i32.const 1))))
      (call $execute (i32.const 200) (i32.const 3))
      (call $execute (i32.const 200)
        (call $get_text (i32.const 1) (i32.const 5) (i32.const 200) (i32.const 99)))
      (call $execute (i32.const 200)
        (call $get_text (i32.const 0) (i32.const 2) (i32.const 200) (i32.const 99)))
      (i32.const 0)"#;
    let outcome = row_call(body, Event::Update, Timing::Before).unwrap();
    assert_eq!(outcome.statements, ["one", "1.00", "0.5"]);
    assert_eq!(outcome.skipped, [1, 2, 3]);
    let module = module(&row_text(body));
    let f = TriggerFunction::new(&module, "f", "f", Limits::default(), Arc::default(), Level::Row).unwrap();
    let (columns, arrays) = table();
    let mut call = trigger(Event::Update, Timing::Before);
    call.to_text = Some(Arc::new(|array, row| format!("{}@{row}", array.data_type())));
    let rows = Rows { columns: &columns, old: Some(&arrays), new: Some(&arrays), rows: 4 };
    let outcome = f.call(&call, rows, &never()).unwrap();
    assert_eq!(outcome.statements, ["one", "Decimal128(10, 2)@0", "Float64@0"]);
}

#[test]
fn statements_are_queued_and_bounded() {
    let outcome = insert("(call $execute (i32.const 32) (i32.const 26)) (i32.const 0)").unwrap();
    assert_eq!(outcome.statements, vec!["insert into log values (1)"; 4]);
    let many = "(loop $l (call $execute (i32.const 32) (i32.const 26)) (br $l)) (i32.const 0)";
    assert_eq!(insert(many).unwrap_err().to_string(), "function f: execute: more than 10000 statements");
    let large = "(memory.fill (i32.const 1000) (i32.const 32) (i32.const 60000)) (loop $l (call $execute (i32.const 1000) (i32.const 60000)) (br $l)) (i32.const 0)";
    let error = insert(large).unwrap_err();
    assert_eq!(error.to_string(), "function f: execute: statements of more than 16777216 bytes");
}

#[test]
fn what_is_kept_for_a_guest_is_drawn_from_the_budget() {
    let budget = MemoryBudget::new(128 << 10);
    let text = row_text("(loop $l (call $execute (i32.const 32) (i32.const 26)) (br $l)) (i32.const 0)");
    let module = load(&sandbox_of(&budget), &text, Kind::default()).unwrap();
    let f = TriggerFunction::new(&module, "f", "f", Limits::default(), Arc::default(), Level::Row).unwrap();
    let (columns, arrays) = table();
    let rows = Rows { columns: &columns, old: None, new: Some(&arrays), rows: 4 };
    let error = f.call(&trigger(Event::Insert, Timing::Before), rows, &never()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn other_imports_and_the_start_function_are_refused() {
    let text = r#"(module (import "lightning" "clock" (func)) (func (export "f") (result i32) (i32.const 0)))"#;
    let error =
        TriggerFunction::new(&module(text), "f", "f", Limits::default(), Arc::default(), Level::Row).unwrap_err();
    assert!(matches!(error, Error::Import { .. }));
    let text =
        r#"(module (import "lightning" "event" (func (result i64))) (func (export "f") (result i32) (i32.const 0)))"#;
    assert!(TriggerFunction::new(&module(text), "f", "f", Limits::default(), Arc::default(), Level::Row).is_err());
    let text = r#"(module (import "lightning" "event" (func $e (result i32))) (func $s (drop (call $e))) (start $s)
        (func (export "f") (result i32) (i32.const 0)))"#;
    let f = TriggerFunction::new(&module(text), "f", "f", Limits::default(), Arc::default(), Level::Row).unwrap();
    let (columns, arrays) = table();
    let rows = Rows { columns: &columns, old: None, new: Some(&arrays), rows: 4 };
    let error = f.call(&trigger(Event::Insert, Timing::Before), rows, &never()).unwrap_err();
    assert_eq!(error.to_string(), "function f: event: not while the module starts");
}

/// Sums the first column of the new rows and raises it as text when it is not 10.
const STATEMENT: &str = r#"
  (func (export "f") (param $event i32) (param $old i32) (param $new i32) (param $rows i32) (param $out i32) (result i32)
    (local $i i32) (local $sum i64)
    (if (local.get $old) (then (return (i32.const 5))))
    (if (i32.ne (local.get $event) (call $event)) (then (return (i32.const 6))))
    (loop $l
      (if (i32.lt_u (local.get $i) (local.get $rows)) (then
        (local.set $sum (i64.add (local.get $sum) (i64.load
          (i32.add (i32.load (local.get $new)) (i32.shl (local.get $i) (i32.const 3))))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $l))))
    (if (i64.eq (local.get $sum) (i64.const 10)) (then
      (call $execute (i32.const 32) (i32.const 26)) (return (i32.const 0))))
    (i32.store (local.get $out) (i32.const 64))
    (i32.store offset=4 (local.get $out) (i32.const 13))
    (i32.const 1))"#;

fn statement(text: &str) -> TriggerFunction {
    let text = format!("(module {IMPORTS} {} {DATA} {text})", super::ALLOCATOR);
    TriggerFunction::new(&module(&text), "f", "f", Limits::default(), Arc::default(), Level::Statement).unwrap()
}

#[test]
fn a_statement_trigger_sees_all_rows_at_once() {
    let f = statement(STATEMENT);
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
    let lists: ArrayRef =
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1)]), None, None, None]));
    let columns = [("id".to_string(), DataType::Int64), ("list".to_string(), lists.data_type().clone())];
    let arrays = [column.clone(), lists.clone()];
    let rows = Rows { columns: &columns, old: None, new: Some(&arrays), rows: 4 };
    let outcome = f.call(&trigger(Event::Insert, Timing::After), rows, &never()).unwrap();
    assert_eq!(outcome.statements, ["insert into log values (1)"]);
    let arrays = [arrays[0].slice(0, 3), lists.slice(0, 3)];
    let rows = Rows { columns: &columns, old: None, new: Some(&arrays), rows: 3 };
    let error = f.call(&trigger(Event::Insert, Timing::After), rows, &never()).unwrap_err();
    assert_eq!(error.to_string(), "no such thing");
    let rows = Rows { columns: &columns, old: Some(&arrays), new: Some(&arrays), rows: 3 };
    let error = f.call(&trigger(Event::Update, Timing::After), rows, &never()).unwrap_err();
    assert_eq!(error.to_string(), "function f failed with code 5");
}

#[test]
fn a_statement_trigger_has_no_row() {
    let f = statement(
        r#"(func (export "f") (param i32 i32 i32 i32 i32) (result i32)
            (drop (call $get_i64 (i32.const 1) (i32.const 0))) (i32.const 0))"#,
    );
    let rows = Rows { columns: &[], old: None, new: None, rows: 0 };
    let error = f.call(&trigger(Event::Truncate, Timing::After), rows, &never()).unwrap_err();
    assert_eq!(error.to_string(), "function f: get_i64: only a trigger for each row has a row");
}

#[test]
fn every_call_has_an_instance_of_its_own_and_fuel_is_counted() {
    let text = format!(
        "(module {IMPORTS} (global $n (mut i32) (i32.const 0)) (func (export \"f\") (result i32)
            (global.set $n (i32.add (global.get $n) (i32.const 1))) (i32.eq (global.get $n) (i32.const 5))))"
    );
    let module = load(&sandbox(), &text, Kind { is_component: false, is_metered: true }).unwrap();
    let counters = Arc::new(Counters::default());
    let limits = Limits { fuel: Some(1000), ..Limits::default() };
    let f = TriggerFunction::new(&module, "f", "f", limits, counters.clone(), Level::Row).unwrap();
    let (columns, arrays) = table();
    let rows = Rows { columns: &columns, old: None, new: Some(&arrays), rows: 4 };
    let fuel = |_| {
        let outcome = f.call(&trigger(Event::Insert, Timing::Before), rows, &never()).unwrap();
        assert!(outcome.skipped.is_empty());
        counters.fuel.swap(0, std::sync::atomic::Ordering::Relaxed)
    };
    let [first, second] = [0, 1].map(fuel);
    assert!(first > 0 && first == second);
}
