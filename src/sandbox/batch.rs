//! The batch ABI: one call a batch, on columns in the guest's memory ([`crate::layout`] has their form).
//!
//! A call is: `reset()` if the guest has it; `alloc` for one region, into which all columns are written; the export
//! itself; then its result is checked and copied out. The guest never frees: either it has `reset`, or its memory fills
//! up until `alloc` fails, and then a fresh instance takes its place.

use crate::abi::Abi;
use crate::error::{Error, Result};
use crate::guard::{State, store};
use crate::input::{Input, Written};
use crate::layout::Layout;
use crate::output;
use crate::run::{Frame, Stop};
use crate::signature;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use wasmtime::{Instance, InstancePre, Memory, Store, TypedFunc, ValType};

/// Most bytes of arguments of one call: guests count in signed 32 bits.
const BYTES_MAX: usize = i32::MAX as usize;

/// Least bytes of arguments for which a batch is divided.
const BYTES_MIN: usize = 1 << 20;

/// A function of the batch ABI.
pub(crate) struct Batch {
    returns: DataType,
}

/// An instance of it.
pub(crate) struct BatchInstance {
    store: Store<State<()>>,
    memory: Memory,
    region: Region,
    call: TypedFunc<(u32, u32, u32), i32>,
    is_used: bool,
}

/// The guest's functions that make room for columns.
pub(crate) struct Region {
    alloc: TypedFunc<(u32, u32), u32>,
    reset: Option<TypedFunc<(), ()>>,
}

/// Why a call came to nothing.
pub(crate) enum Failure {
    /// The instance's memory is used up by earlier calls: a fresh one may do.
    Exhausted,
    /// For good.
    Final(Error),
}

impl Batch {
    /// Checks that the module exports what the ABI asks for.
    pub(crate) fn new(frame: &Frame, arguments: &[DataType], returns: &DataType) -> Result<Batch> {
        let module = frame.module.core()?;
        for (number, data_type) in (1..).zip(arguments) {
            check_type(frame, data_type, Some(number))?;
        }
        check_type(frame, returns, None)?;
        Region::check(module, &frame.function)?;
        let i32 = || ValType::I32;
        signature::check(module, &frame.function, &frame.export, &[i32(), i32(), i32()], &[i32()])?;
        Ok(Batch { returns: returns.clone() })
    }

    /// A new instance, started.
    pub(crate) fn instance(
        &self,
        frame: &Frame,
        pre: &InstancePre<State<()>>,
        stop: Stop<'_>,
    ) -> Result<BatchInstance> {
        let mut store = store(&frame.module, &frame.function, &frame.limits, ());
        let instance = frame.instantiate(&mut store, stop, |store| pre.instantiate(store))?;
        let (memory, region) = Region::new(&mut store, &instance)?;
        let call = instance.get_typed_func(&mut store, &frame.export).map_err(Error::internal)?;
        Ok(BatchInstance { store, memory, region, call, is_used: false })
    }

    /// Whether a batch so large is better divided.
    pub(crate) fn is_too_large(frame: &Frame, input_bytes: usize) -> bool {
        input_bytes > (frame.limits.memory_bytes / 4).clamp(BYTES_MIN, BYTES_MAX)
    }

    /// Calls `instance` for all rows.
    pub(crate) fn call(
        &self,
        frame: &Frame,
        instance: &mut BatchInstance,
        stop: Stop<'_>,
        input: &Input,
        rows: usize,
    ) -> Result<ArrayRef, Failure> {
        let BatchInstance { store, memory, region, call, is_used } = instance;
        let was_used = std::mem::replace(is_used, true);
        let mut is_allocated = false;
        let result = frame.run(store, stop, |store| {
            if was_used {
                region.reset(store)?;
            }
            let written = region.write(store, frame, memory, input)?;
            is_allocated = true;
            let code = call.call(&mut *store, (written.descriptors, rows as u32, written.out))?;
            self.result(frame, memory.data(&*store), code, written.out, rows).map_err(wasmtime::Error::new)
        });
        result.map_err(|error| {
            let is_memory = matches!(error, Error::Trap { .. } | Error::Memory { .. } | Error::Guest { .. });
            let refusal = store.data().guard.refusal();
            if was_used && is_memory && (!is_allocated || refusal.is_some()) {
                return Failure::Exhausted;
            }
            Failure::Final(match (error, refusal) {
                (Error::Trap { .. } | Error::Memory { .. }, Some(refusal)) => refusal,
                (error, _) => error,
            })
        })
    }

    fn result(&self, frame: &Frame, memory: &[u8], code: i32, out: u32, rows: usize) -> Result<ArrayRef> {
        let descriptor = output::descriptor(memory, out).map_err(|detail| frame.bad_output(detail))?;
        if code != 0 {
            return Err(guest_error(frame, memory, code, descriptor));
        }
        output::read(memory, descriptor, &self.returns, rows).map_err(|detail| frame.bad_output(detail))
    }
}

fn check_type(frame: &Frame, data_type: &DataType, argument: Option<usize>) -> Result<()> {
    Layout::of(data_type).map(|_| ()).ok_or_else(|| frame.unsupported(Abi::Batch, argument, data_type))
}

/// The error of a guest that returned `code`.
pub(crate) fn guest_error(frame: &Frame, memory: &[u8], code: i32, descriptor: crate::layout::Descriptor) -> Error {
    match output::message(memory, descriptor) {
        Ok([]) => frame.guest_error(format!("function {} failed with code {code}", frame.function).as_bytes()),
        Ok(text) => frame.guest_error(text),
        Err(detail) => frame.bad_output(detail),
    }
}

impl Region {
    /// Checks that the module exports what is needed.
    pub(crate) fn check(module: &wasmtime::Module, function: &str) -> Result<()> {
        signature::check_memory(module, function)?;
        signature::check(module, function, "alloc", &[ValType::I32, ValType::I32], &[ValType::I32])?;
        if signature::has_export(module, "reset") {
            signature::check(module, function, "reset", &[], &[])?;
        }
        Ok(())
    }

    /// The functions of an instance, and its memory.
    pub(crate) fn new<H: 'static>(store: &mut Store<State<H>>, instance: &Instance) -> Result<(Memory, Region)> {
        let memory = instance
            .get_memory(&mut *store, "memory")
            .ok_or_else(|| Error::internal("a memory is gone that was there before"))?;
        let alloc = instance.get_typed_func(&mut *store, "alloc").map_err(Error::internal)?;
        let reset = instance.get_typed_func(&mut *store, "reset").ok();
        Ok((memory, Region { alloc, reset }))
    }

    /// Frees what earlier calls allocated, if the guest can.
    pub(crate) fn reset<H: 'static>(&self, store: &mut Store<State<H>>) -> wasmtime::Result<()> {
        self.reset.as_ref().map_or(Ok(()), |reset| reset.call(store, ()))
    }

    /// Writes columns into the guest's memory.
    pub(crate) fn write<H: 'static>(
        &self,
        store: &mut Store<State<H>>,
        frame: &Frame,
        memory: &Memory,
        input: &Input,
    ) -> wasmtime::Result<Written> {
        let bytes = u32::try_from(input.bytes()).ok().filter(|bytes| *bytes as usize <= BYTES_MAX);
        let Some(bytes) = bytes else { return Err(wasmtime::Error::new(store.data().guard.memory_error())) };
        let at = self.alloc.call(&mut *store, (bytes, 8))?;
        if at == 0 {
            return Err(wasmtime::Error::new(store.data().guard.memory_error()));
        }
        let written = input.write(memory.data_mut(&mut *store), at as usize);
        written.map_err(|detail| wasmtime::Error::new(frame.bad_output(detail)))
    }
}
