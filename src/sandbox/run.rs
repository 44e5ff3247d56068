//! One call into a guest, with everything around it: deadline, fuel, stack, counters, and errors with facts.

use crate::abi::Abi;
use crate::counters::Counters;
use crate::error::{Error, Result};
use crate::guard::State;
use crate::limits::{Interrupt, Limits};
use crate::module::Module;
use arrow::datatypes::DataType;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use wasmtime::{Store, Trap, WasmBacktrace};

/// Bytes of stack that must be left, and that are made when they are not: a guest may use half a megabyte, and the
/// host function it calls at its deepest point needs some too.
const STACK_LEFT_BYTES: usize = 1 << 20;
const STACK_NEW_BYTES: usize = 4 << 20;

/// Longest text that a guest's error has, in characters.
pub(crate) const MESSAGE_CHARS_MAX: usize = 1000;

/// Longest text of a backtrace's frame, in characters.
const FRAME_CHARS_MAX: usize = 300;

/// What every call of one function has in common.
pub(crate) struct Frame {
    pub function: Arc<str>,
    pub export: String,
    pub limits: Limits,
    pub module: Arc<Module>,
    pub counters: Arc<Counters>,
}

/// When and by what a call is stopped.
#[derive(Clone, Copy)]
pub(crate) struct Stop<'a> {
    pub deadline: Instant,
    pub interrupt: &'a Interrupt,
}

impl Frame {
    /// The frame of a function; refuses limits that the module cannot keep.
    pub(crate) fn new(
        module: &Arc<Module>,
        function: &str,
        export: &str,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Result<Frame> {
        if limits.fuel.is_some() && !module.kind.is_metered {
            return Err(Error::internal("fuel is limited, but the module does not count it"));
        }
        Ok(Frame { function: function.into(), export: export.to_string(), limits, module: module.clone(), counters })
    }

    /// When a call that begins now has to end.
    pub(crate) fn stop<'a>(&self, interrupt: &'a Interrupt) -> Stop<'a> {
        let now = Instant::now();
        let far = std::time::Duration::from_secs(1 << 30);
        Stop { deadline: now.checked_add(self.limits.timeout).unwrap_or(now + far), interrupt }
    }

    /// Runs `body`, which calls into the guest of `store`, under all limits.
    pub(crate) fn run<H: 'static, T>(
        &self,
        store: &mut Store<State<H>>,
        stop: Stop<'_>,
        body: impl FnOnce(&mut Store<State<H>>) -> wasmtime::Result<T>,
    ) -> Result<T> {
        let started = Instant::now();
        store.data_mut().guard.start(stop.deadline, stop.interrupt)?;
        let fuel = self.limits.fuel.unwrap_or(u64::MAX);
        if self.module.kind.is_metered {
            store.set_fuel(fuel).map_err(Error::internal)?;
        }
        let result = {
            let _active = self.module.ticker.enter();
            store.set_epoch_deadline(1);
            stacker::maybe_grow(STACK_LEFT_BYTES, STACK_NEW_BYTES, || body(store))
        };
        if self.module.kind.is_metered {
            Counters::add(&self.counters.fuel, fuel - store.get_fuel().unwrap_or(0).min(fuel));
        }
        Counters::add(&self.counters.nanos, started.elapsed().as_nanos() as u64);
        let held = store.data().guard.held_bytes() as u64;
        self.counters.memory_peak.fetch_max(held, Ordering::Relaxed);
        result.map_err(|error| self.explain(error))
    }

    /// Instantiates by `body`, start function included.
    pub(crate) fn instantiate<H: 'static, T>(
        &self,
        store: &mut Store<State<H>>,
        stop: Stop<'_>,
        body: impl FnOnce(&mut Store<State<H>>) -> wasmtime::Result<T>,
    ) -> Result<T> {
        let result = self.run(store, stop, body);
        let refusal = store.data().guard.refusal();
        match (result, refusal) {
            (Err(Error::Internal { .. }), Some(refusal)) => Err(refusal),
            (Err(Error::Internal { detail }), None) => Err(Error::Invalid { detail }),
            (result, _) => result,
        }
    }

    /// What a guest returned makes no sense.
    pub(crate) fn bad_output(&self, detail: impl Into<String>) -> Error {
        Error::BadOutput { function: self.function.to_string(), detail: detail.into() }
    }

    /// A type that `abi` does not pass, of an argument (from 1) or the result.
    pub(crate) fn unsupported(&self, abi: Abi, argument: Option<usize>, data_type: &DataType) -> Error {
        Error::Unsupported { function: self.function.to_string(), abi, argument, data_type: data_type.clone() }
    }

    /// What a guest reports.
    pub(crate) fn guest_error(&self, text: &[u8]) -> Error {
        Error::Guest { function: self.function.to_string(), message: shown(text) }
    }

    /// Our own errors travel through wasmtime as they are; traps get their facts here.
    fn explain(&self, error: wasmtime::Error) -> Error {
        let backtrace = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
        let trap = error.downcast_ref::<Trap>().copied();
        let function = self.function.to_string();
        let explained = match (error.downcast::<Error>(), trap) {
            (Ok(error), _) => error,
            (Err(_), Some(Trap::OutOfFuel)) => {
                Error::OutOfFuel { function, fuel: self.limits.fuel.unwrap_or(u64::MAX) }
            }
            (Err(_), Some(Trap::Interrupt)) => Error::TimedOut { function, timeout: self.limits.timeout },
            (Err(_), Some(trap)) => {
                let text = trap.to_string();
                let message = text.strip_prefix("wasm trap: ").unwrap_or(&text).to_string();
                Error::Trap { function, export: self.export.clone(), message, backtrace }
            }
            (Err(error), None) => Error::internal(format!("{error:#}")),
        };
        if matches!(explained, Error::Trap { .. } | Error::TimedOut { .. } | Error::OutOfFuel { .. }) {
            Counters::add(&self.counters.traps, 1);
        }
        explained
    }
}

/// A guest's text, made fit to be shown.
pub(crate) fn shown(text: &[u8]) -> String {
    let text = &text[..text.len().min(4 * MESSAGE_CHARS_MAX)];
    String::from_utf8_lossy(text).replace('\0', "\u{fffd}").chars().take(MESSAGE_CHARS_MAX).collect()
}

/// A guest's frames as text, innermost first: wasmtime's own text, which has names demangled.
fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    let mut frames: Vec<String> = Vec::new();
    for line in backtrace.to_string().lines().skip(1) {
        let line = line.trim_start();
        let line = line.split_once(": ").filter(|(number, _)| number.parse::<u32>().is_ok()).map_or(line, |(_, it)| it);
        match frames.last_mut() {
            Some(frame) if line.starts_with("at ") => frame.push_str(&format!(" {line}")),
            _ => frames.push(line.trim_start().to_string()),
        }
    }
    frames.iter().map(|frame| frame.chars().take(FRAME_CHARS_MAX).collect()).collect()
}
