//! Modules that are almost modules, and guests that return almost columns.

use super::{batch_text, never, sandbox, spec};
use crate::{Abi, Function, Kind};
use arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use arrow::datatypes::DataType;
use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

/// Changes some bytes of `wasm`, with a liking for numbers at the edges.
fn mutate(wasm: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut wasm = wasm.to_vec();
    for _ in 0..random.usize(1..5) {
        let at = random.usize(8..wasm.len());
        match random.u8(0..6) {
            0 => wasm[at] = random.u8(..),
            1 => wasm[at] ^= 1 << random.u8(0..8),
            2 => wasm[at] = *random.choice(&[0, 1, 0x7f, 0x80, 0xff, 0x40, 0x0b]).unwrap(),
            3 => wasm.insert(at, random.u8(..)),
            4 if wasm.len() > 20 => {
                wasm.remove(at);
            }
            _ => wasm.truncate(at.max(9)),
        }
    }
    wasm
}

#[test]
fn mutated_modules_are_errors_or_run_within_their_limits() {
    let body = r#"(local $i i32) (loop $l (br_if $l (i32.lt_u
        (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $rows))))
        (memory.copy (local.get $out) (local.get $args) (i32.const 20)) (i32.const 0)"#;
    let wasm = crate::from_text(&batch_text(body)).unwrap();
    let sandbox = sandbox();
    let kind = Kind { is_component: false, is_metered: true };
    let integers: ArrayRef = Arc::new(Int64Array::from(vec![1, -1, 1 << 40, 0]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("bcd"), Some("")]));
    let (mut refused, mut failed, mut fine) = (0, 0, 0);
    for seed in 0..3000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mutated = mutate(&wasm, &mut random);
        let Ok(module) = sandbox.module(&mutated, &crate::hash(&mutated), kind) else {
            refused += 1;
            continue;
        };
        let column = if random.bool() { &integers } else { &texts };
        let mut spec = spec(Abi::Batch, &[column.data_type().clone()], column.data_type().clone());
        spec.limits.fuel = Some(100_000);
        spec.limits.timeout = Duration::from_secs(60);
        let Ok(function) = Function::new(&module, spec, Arc::default()) else {
            refused += 1;
            continue;
        };
        let pool = Arc::new(function).pool(never());
        for _ in 0..2 {
            match pool.call(from_ref(column), 4) {
                Ok(result) => {
                    result.to_data().validate_full().unwrap();
                    fine += 1;
                }
                Err(_) => failed += 1,
            }
        }
    }
    assert!(refused > 100 && failed > 20 && fine > 20, "{refused} {failed} {fine}");
}

#[test]
fn noise_is_no_module() {
    let sandbox = sandbox();
    for seed in 0..2000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        if seed % 3 == 0 {
            wasm = b"\0asm\x0d\0\x01\0".to_vec();
        }
        wasm.extend((0..random.usize(0..60)).map(|_| random.u8(0..20)));
        let kind = Kind { is_component: random.bool(), is_metered: random.bool() };
        let _ = sandbox.module(&wasm, &crate::hash(&wasm), kind);
        wasm.truncate(random.usize(0..8));
        assert!(sandbox.module(&wasm, &crate::hash(&wasm), kind).is_err());
    }
}

#[test]
fn descriptors_of_noise_are_errors_or_columns() {
    // The guest returns the descriptor it finds in its argument.
    let body = r#"(memory.copy (local.get $out) (i32.load (local.get $args)) (i32.const 20)) (i32.const 0)"#;
    let module = super::batch_module(body);
    let types = [
        DataType::Int64,
        DataType::Utf8,
        DataType::Utf8View,
        DataType::Boolean,
        DataType::LargeBinary,
        DataType::Decimal128(38, 0),
        DataType::FixedSizeBinary(3),
    ];
    let mut fine = 0;
    for returns in types {
        let f = super::function(&module, spec(Abi::Batch, &[DataType::Int64], returns.clone()));
        let pool = f.pool(never());
        for seed in 0..400 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut number = || match random.u8(0..6) {
                0 => 0,
                1 => random.i32(0..2000),
                2 => random.i32(65_000..66_000),
                3 => random.i32(..),
                4 => -random.i32(0..100),
                _ => random.i32(1000..1100),
            };
            let fields = [number(), number(), number(), number(), 3];
            let bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).chain([0; 4]).collect();
            let longs = bytes.chunks_exact(8).map(|eight| i64::from_le_bytes(eight.try_into().unwrap()));
            let column: ArrayRef = Arc::new(Int64Array::from_iter_values(longs));
            if let Ok(result) = pool.call(&[column], 3) {
                result.to_data().validate_full().unwrap();
                assert_eq!((result.len(), result.data_type()), (3, &returns));
                fine += 1;
            }
        }
    }
    assert!(fine > 50, "{fine}");
}
