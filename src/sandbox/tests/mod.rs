//! Guests in text form, beside the same functions in Rust; guests that misbehave; modules that are none.

mod scalar;
mod batch;
mod evil;
mod limits;
mod cache;
mod fuzz;
mod trigger;
mod component;
mod values;

use crate::{Abi, Counters, Error, Function, FunctionSpec, Interrupt, Kind, Limits, Module, Sandbox, SandboxOptions};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use lightning_storage::budget::MemoryBudget;
use std::sync::Arc;
use std::time::Duration;

/// A memory, and an allocator that `reset` takes back to its start. It answers 0 when there is no memory left.
const ALLOCATOR: &str = r#"
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 1024))
  (func (export "reset") (global.set $top (i32.const 1024)))
  (func $alloc (export "alloc") (param $bytes i32) (param $align i32) (result i32)
    (local $at i32) (local $need i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
    (global.set $top (i32.add (local.get $at) (local.get $bytes)))
    (local.set $need (i32.sub
      (i32.shr_u (i32.add (global.get $top) (i32.const 65535)) (i32.const 16)) (memory.size)))
    (if (i32.gt_s (local.get $need) (i32.const 0))
      (then (if (i32.eq (memory.grow (local.get $need)) (i32.const -1)) (then (return (i32.const 0))))))
    (local.get $at))
"#;

fn sandbox() -> Arc<Sandbox> {
    sandbox_of(&MemoryBudget::new(1 << 30))
}

fn sandbox_of(budget: &Arc<MemoryBudget>) -> Arc<Sandbox> {
    Sandbox::new(SandboxOptions { cache: None, budget: budget.clone() }).unwrap()
}

fn load(sandbox: &Arc<Sandbox>, text: &str, kind: Kind) -> Result<Arc<Module>, Error> {
    let wasm = crate::from_text(text)?;
    sandbox.module(&wasm, &crate::hash(&wasm), kind)
}

fn module(text: &str) -> Arc<Module> {
    load(&sandbox(), text, Kind::default()).unwrap()
}

/// A module of the batch ABI with the function `f`, which is what `body` says of `$args`, `$rows` and `$out`.
fn batch_module(body: &str) -> Arc<Module> {
    module(&batch_text(body))
}

fn batch_text(body: &str) -> String {
    format!(
        "(module {ALLOCATOR} (func $f (export \"f\") (param $args i32) (param $rows i32) (param $out i32) (result i32) \
         {body}))"
    )
}

fn spec(abi: Abi, arguments: &[DataType], returns: DataType) -> FunctionSpec {
    FunctionSpec {
        name: "f".to_string(),
        export: "f".to_string(),
        abi,
        arguments: arguments.to_vec(),
        returns,
        is_strict: false,
        limits: Limits { timeout: Duration::from_secs(600), ..Limits::default() },
    }
}

fn function(module: &Arc<Module>, spec: FunctionSpec) -> Arc<Function> {
    Arc::new(Function::new(module, spec, Arc::default()).unwrap())
}

fn never() -> Interrupt {
    Arc::new(|| false)
}

/// One call in an instance of its own.
fn call(module: &Arc<Module>, spec: FunctionSpec, args: &[ArrayRef], rows: usize) -> Result<ArrayRef, Error> {
    Function::new(module, spec, Arc::new(Counters::default())).map(Arc::new)?.pool(never()).call(args, rows)
}

/// The error of one call of a function of the batch ABI from a column of bigint to one.
fn batch_error(body: &str, returns: DataType) -> Error {
    let column: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1, 2, 3]));
    let spec = spec(Abi::Batch, &[DataType::Int64], returns);
    call(&batch_module(body), spec, &[column], 3).unwrap_err()
}
