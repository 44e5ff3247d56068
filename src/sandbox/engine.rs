//! The compiler's settings: what guests can and cannot do at all.
//!
//! A guest is a function of its arguments. So everything in WebAssembly that depends on the machine or on luck is off:
//! threads, relaxed SIMD, and NaNs whose bits the hardware chooses (they are made canonical). What no compiler needs
//! by default is off as well, since every feature is surface to attack: 64-bit and several memories, garbage-collected
//! types, exceptions, tail calls. On is what clang, rustc and AssemblyScript emit: SIMD, bulk memory, several results,
//! sign extension, saturating conversions, reference types.

use crate::error::{Error, Result};
use std::num::NonZeroUsize;
use wasmtime::{Config, Engine, WasmBacktraceDetails, WasmFeatures};

/// Bytes of stack a guest may use; deeper recursion traps.
const STACK_BYTES: usize = 512 << 10;

/// Frames a backtrace shows.
const FRAMES_MAX: NonZeroUsize = NonZeroUsize::new(20).expect("20 is not zero");

/// Everything that wasmtime would allow and we do not.
const FORBIDDEN: [WasmFeatures; 17] = [
    WasmFeatures::THREADS,
    WasmFeatures::SHARED_EVERYTHING_THREADS,
    WasmFeatures::RELAXED_SIMD,
    WasmFeatures::MEMORY64,
    WasmFeatures::MULTI_MEMORY,
    WasmFeatures::GC,
    WasmFeatures::GC_TYPES,
    WasmFeatures::FUNCTION_REFERENCES,
    WasmFeatures::EXCEPTIONS,
    WasmFeatures::LEGACY_EXCEPTIONS,
    WasmFeatures::TAIL_CALL,
    WasmFeatures::CUSTOM_PAGE_SIZES,
    WasmFeatures::WIDE_ARITHMETIC,
    WasmFeatures::STACK_SWITCHING,
    WasmFeatures::CM_ASYNC,
    WasmFeatures::CM_ERROR_CONTEXT,
    WasmFeatures::CM_THREADING,
];

/// An engine; a metered one counts fuel.
pub(crate) fn engine(is_metered: bool) -> Result<Engine> {
    let mut config = Config::new();
    for feature in FORBIDDEN {
        config.wasm_features(feature, false);
    }
    config
        .cranelift_nan_canonicalization(true)
        .epoch_interruption(true)
        .consume_fuel(is_metered)
        .max_wasm_stack(STACK_BYTES)
        .memory_init_cow(true)
        .native_unwind_info(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .wasm_backtrace_max_frames(Some(FRAMES_MAX));
    Engine::new(&config).map_err(|error| Error::internal(format!("{error:#}")))
}
