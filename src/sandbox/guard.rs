//! What a store carries with it: the limits of its guest, and the question whether it may go on.
//!
//! Memory and tables are drawn from two accounts at once: the function's own limit and the process's budget. A guest
//! that is refused sees `memory.grow` return -1, as on a machine without memory; what it held goes back to the budget
//! when its store is dropped, for the reservation is dropped with it.

use crate::error::{Error, Result};
use crate::limits::{Interrupt, Limits};
use crate::module::Module;
use lightning_storage::budget::Reservation;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::{Memory, ResourceLimiter, Store, UpdateDeadline};

/// Most elements of a table.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Bytes of a table's element.
const ELEMENT_BYTES: usize = size_of::<usize>();

/// Most tables of a guest; a component has several modules.
const TABLES_MAX: usize = 8;

/// Most core modules in a component.
const COMPONENT_INSTANCES_MAX: usize = 32;

/// A store's data: the guard, and what a host function needs.
pub(crate) struct State<H> {
    pub guard: Guard,
    /// The guest's memory, once it is instantiated.
    pub memory: Option<Memory>,
    pub host: H,
}

/// Keeps a guest within its limits.
pub(crate) struct Guard {
    function: Arc<str>,
    limits: Limits,
    is_component: bool,
    reservation: Reservation,
    kept_bytes: usize,
    granted_last: usize,
    refused: Option<Refused>,
    deadline: Instant,
    interrupt: Option<Interrupt>,
}

/// Why memory was refused.
#[derive(Clone, Copy)]
enum Refused {
    Limit,
    Budget,
}

impl Guard {
    fn new(module: &Module, function: &Arc<str>, limits: &Limits) -> Guard {
        Guard {
            function: function.clone(),
            limits: limits.clone(),
            is_component: module.kind.is_component,
            reservation: module.budget.register("wasm"),
            kept_bytes: 0,
            granted_last: 0,
            refused: None,
            deadline: Instant::now(),
            interrupt: None,
        }
    }

    /// From now on the guest has until `deadline`.
    pub(crate) fn start(&mut self, deadline: Instant, interrupt: &Interrupt) -> Result<()> {
        self.deadline = deadline;
        self.interrupt = Some(interrupt.clone());
        self.refused = None;
        self.check()
    }

    /// Whether the guest may go on.
    fn check(&self) -> Result<()> {
        if self.interrupt.as_ref().is_some_and(|interrupt| interrupt()) {
            return Err(Error::Cancelled);
        }
        if Instant::now() >= self.deadline {
            return Err(Error::TimedOut { function: self.function.to_string(), timeout: self.timeout() });
        }
        Ok(())
    }

    fn timeout(&self) -> Duration {
        self.limits.timeout
    }

    /// Whether memory was refused since the call began, as an error.
    pub(crate) fn refusal(&self) -> Option<Error> {
        self.refused.map(|refused| match refused {
            Refused::Limit => self.memory_error(),
            Refused::Budget => Error::Budget { function: self.function.to_string() },
        })
    }

    /// The error of a guest that has no memory left.
    pub(crate) fn memory_error(&self) -> Error {
        Error::Memory { function: self.function.to_string(), limit_bytes: self.limits.memory_bytes }
    }

    /// Counts bytes that a host function keeps for the guest: they are drawn from the budget alone.
    pub(crate) fn keep(&mut self, bytes: usize) -> Result<()> {
        if !self.take(bytes) {
            return Err(Error::Budget { function: self.function.to_string() });
        }
        self.kept_bytes += bytes;
        Ok(())
    }

    /// Bytes of the guest's memory and tables.
    pub(crate) fn held_bytes(&self) -> usize {
        self.reservation.bytes() - self.kept_bytes
    }

    fn take(&mut self, bytes: usize) -> bool {
        let is_granted = self.reservation.try_grow(bytes).is_ok();
        self.granted_last = if is_granted { bytes } else { 0 };
        if !is_granted {
            self.refused = Some(Refused::Budget);
        }
        is_granted
    }

    /// Takes the difference of two sizes, within the guest's own limit.
    fn grow(&mut self, by: usize) -> bool {
        self.granted_last = 0;
        if self.held_bytes().saturating_add(by) > self.limits.memory_bytes {
            self.refused = Some(Refused::Limit);
            return false;
        }
        self.take(by)
    }

    fn give_back_last(&mut self) {
        self.reservation.shrink(std::mem::take(&mut self.granted_last));
    }
}

impl ResourceLimiter for Guard {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.granted_last = 0;
        let is_possible = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(is_possible && self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.give_back_last();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.granted_last = 0;
        if desired > TABLE_ELEMENTS_MAX {
            self.refused = Some(Refused::Limit);
            return Ok(false);
        }
        let is_possible = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(is_possible && self.grow(desired.saturating_sub(current) * ELEMENT_BYTES))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.give_back_last();
        Ok(())
    }

    fn instances(&self) -> usize {
        if self.is_component { COMPONENT_INSTANCES_MAX } else { 1 }
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        if self.is_component { COMPONENT_INSTANCES_MAX } else { 1 }
    }
}

/// A store for one instance of `module`.
pub(crate) fn store<H: Send + 'static>(
    module: &Module,
    function: &Arc<str>,
    limits: &Limits,
    host: H,
) -> Store<State<H>> {
    let guard = Guard::new(module, function, limits);
    let mut store = Store::new(&module.engine, State { guard, memory: None, host });
    store.limiter(|state| &mut state.guard);
    store.epoch_deadline_callback(|context| {
        context.data().guard.check().map_err(wasmtime::Error::new)?;
        Ok(UpdateDeadline::Continue(1))
    });
    store
}
