//! Fuel, sizes and text forms.

use super::{call, load, sandbox, spec};
use crate::{Abi, Counters, Error, ErrorKind, Function, Kind, Limits};
use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::DataType;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const METERED: Kind = Kind { is_component: false, is_metered: true };

const COUNT: &str = r#"(module (func (export "f") (param $n i64) (result i64) (local $i i64)
    (loop $l
        (local.set $i (i64.add (local.get $i) (i64.const 1)))
        (br_if $l (i64.lt_s (local.get $i) (local.get $n))))
    (local.get $i)))"#;

#[test]
fn fuel_is_the_same_each_time() {
    let module = load(&sandbox(), COUNT, METERED).unwrap();
    let used = |n: i64| {
        let mut spec = spec(Abi::Scalar, &[DataType::Int64], DataType::Int64);
        spec.limits.fuel = Some(1_000_000);
        let counters = Arc::new(Counters::default());
        let f = Arc::new(Function::new(&module, spec, counters.clone()).unwrap());
        let column: ArrayRef = Arc::new(Int64Array::from(vec![n]));
        let result = f.pool(super::never()).call(&[column], 1);
        (counters.fuel.load(Ordering::Relaxed), result.map_err(|error| error.to_string()).err())
    };
    let (fuel, error) = used(1000);
    assert!(fuel > 1000 && error.is_none());
    assert_eq!(used(1000), (fuel, None));
    let (fuel, error) = used(1_000_000);
    assert_eq!(error.as_deref(), Some("function f used up its fuel of 1000000"));
    assert_eq!(used(1_000_000), (fuel, error));
}

#[test]
fn fuel_needs_a_metered_module() {
    let module = load(&sandbox(), COUNT, Kind::default()).unwrap();
    let mut spec = spec(Abi::Scalar, &[DataType::Int64], DataType::Int64);
    spec.limits.fuel = Some(1);
    assert_eq!(call(&module, spec, &[], 0).unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn a_module_of_a_hundred_megabytes_is_refused_unread() {
    let wasm = vec![0; 100 << 20];
    let error = sandbox().module(&wasm, "", Kind::default()).unwrap_err();
    assert_eq!(error.to_string(), "WebAssembly module has 104857600 bytes; at most 16777216 are allowed");
    assert!(matches!(crate::from_text(&" ".repeat(17 << 20)).unwrap_err(), Error::TooLarge { .. }));
}

#[test]
fn bytes_of_another_hash_are_refused() {
    let wasm = crate::from_text("(module)").unwrap();
    let error = sandbox().module(&wasm, &crate::hash(b"other"), Kind::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidModule);
    assert_eq!(crate::hash(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn an_error_in_a_text_form_has_its_place() {
    let error = crate::from_text("(module\n  (func (result i32)\n    (i33.const 1)))").unwrap_err();
    let text = error.to_string();
    assert!(text.contains("3:6"), "{text}");
}

#[test]
fn a_component_is_no_module_and_a_module_no_component() {
    let component = Kind { is_component: true, is_metered: false };
    assert!(load(&sandbox(), "(component)", component).is_ok());
    assert!(load(&sandbox(), "(component)", Kind::default()).is_err());
    assert!(load(&sandbox(), "(module)", component).is_err());
}

#[test]
fn abis_have_names() {
    for abi in [Abi::Scalar, Abi::Batch, Abi::Component] {
        assert_eq!(abi.to_string().parse::<Abi>().unwrap(), abi);
    }
    assert!("Scalar".parse::<Abi>().is_err());
    assert_eq!(Limits::default().memory_bytes, 67_108_864);
}
