//! The clock that stops guests.
//!
//! Compiled guests compare a counter of their engine (its epoch) with their deadline at every loop and every function's
//! entry. A thread moves the counter on every few milliseconds, and each time the guest leaves its loop to ask whether
//! it may go on. The thread only runs while somebody is called: it parks after a while of idleness, so that an idle
//! server does not wake up, and ends when the last [`Ticker`] is dropped.
//!
//! No call goes without a tick: one that enters first counts itself active and then looks whether the thread is parked;
//! the thread first says that it parks and then looks whether somebody is active. One of both sees the other.

use crate::error::Result;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use wasmtime::Engine;

/// Time between two ticks: how late a time-out can be noticed.
const TICK: Duration = Duration::from_millis(5);

/// Ticks without a call before the thread parks.
const IDLE_TICKS: u32 = 20;

/// Moves epochs while calls are active.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

/// What the thread sees.
struct Shared {
    active: AtomicUsize,
    is_parked: AtomicBool,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    engines: Vec<Engine>,
    is_closing: bool,
}

impl Ticker {
    /// A ticker without engines, and without a thread.
    pub(crate) fn new() -> Arc<Ticker> {
        Arc::new(Ticker {
            shared: Arc::new(Shared {
                active: AtomicUsize::new(0),
                is_parked: AtomicBool::new(false),
                state: Mutex::default(),
                wake: Condvar::new(),
            }),
            thread: Mutex::new(None),
        })
    }

    /// Moves the epoch of `engine` too, from now on.
    pub(crate) fn watch(&self, engine: &Engine) -> Result<()> {
        self.shared.state.lock().engines.push(engine.clone());
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let shared = self.shared.clone();
            *thread = Some(thread::Builder::new().name("wasm-ticker".to_string()).spawn(move || shared.run())?);
        }
        Ok(())
    }

    /// Ticks until the answer is dropped.
    pub(crate) fn enter(&self) -> Active<'_> {
        self.shared.active.fetch_add(1, Ordering::SeqCst);
        if self.shared.is_parked.load(Ordering::SeqCst) {
            let _state = self.shared.state.lock();
            self.shared.wake.notify_all();
        }
        Active(self)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.state.lock().is_closing = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.get_mut().take() {
            let _ = thread.join();
        }
    }
}

/// A call that wants ticks.
pub(crate) struct Active<'a>(&'a Ticker);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.shared.active.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn run(&self) {
        let mut state = self.state.lock();
        let mut idle = 0;
        while !state.is_closing {
            if self.active.load(Ordering::SeqCst) > 0 {
                idle = 0;
            } else {
                idle += 1;
            }
            if idle > IDLE_TICKS {
                self.is_parked.store(true, Ordering::SeqCst);
                while self.active.load(Ordering::SeqCst) == 0 && !state.is_closing {
                    self.wake.wait(&mut state);
                }
                self.is_parked.store(false, Ordering::SeqCst);
                idle = 0;
            } else {
                let _ = self.wake.wait_for(&mut state, TICK);
            }
            for engine in &state.engines {
                engine.increment_epoch();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_ticker_wakes_for_a_call_and_ends_when_dropped() {
        let engine = crate::engine::engine(false).unwrap();
        let ticker = Ticker::new();
        ticker.watch(&engine).unwrap();
        let wasm = crate::from_text(r#"(module (func (export "f") (loop $l (br $l))))"#).unwrap();
        let module = wasmtime::Module::from_binary(&engine, &wasm).unwrap();
        let mut store = wasmtime::Store::new(&engine, ());
        let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
        let f = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        for _ in 0..2 {
            while !ticker.shared.is_parked.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            let _active = ticker.enter();
            store.set_epoch_deadline(1);
            let error = f.call(&mut store, ()).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&wasmtime::Trap::Interrupt));
        }
        let shared = Arc::downgrade(&ticker.shared);
        drop(ticker);
        assert!(shared.upgrade().is_none(), "the thread is gone too");
    }
}
