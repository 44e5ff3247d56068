//! Aggregates and table functions of components.
//!
//! An aggregate's state is bytes that only the guest understands; the empty list is the state before any row. So the
//! host can keep a state for each group, send it elsewhere and merge it, and the guest has nothing to remember.
//!
//! Instances are kept for further calls: the caller makes one [`ComponentAggregate`] or [`ComponentTable`] a query, so
//! that none outlives it.

use crate::component::{self, ComponentInstance, Linked, Place};
use crate::counters::Counters;
use crate::error::{Error, Result};
use crate::function::FunctionSpec;
use crate::ipc;
use crate::limits::Interrupt;
use crate::module::Module;
use crate::run::{Frame, Stop};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use wasmtime::component::{ComponentNamedList, Lower};

/// An aggregate: an exported instance with the functions `accumulate`, `merge` and `finish`.
pub struct ComponentAggregate {
    guests: Guests,
    returns: DataType,
}

/// A function that returns a table.
pub struct ComponentTable {
    guests: Guests,
    schema: SchemaRef,
}

/// Instances of one query.
struct Guests {
    frame: Frame,
    linked: Linked,
    idle: Mutex<Vec<ComponentInstance>>,
}

impl ComponentAggregate {
    /// The aggregate that `spec` declares; its export is the instance's name.
    pub fn new(module: &Arc<Module>, spec: FunctionSpec, counters: Arc<Counters>) -> Result<ComponentAggregate> {
        let returns = spec.returns.clone();
        let frame = Frame::new(module, &spec.name, &spec.export, spec.limits, counters)?;
        for (name, params) in [("accumulate", 2), ("merge", 2), ("finish", 1)] {
            component::check(&frame, Place { interface: Some(&spec.export), name }, params)?;
        }
        Ok(ComponentAggregate { guests: Guests::new(frame)?, returns })
    }

    /// The state after `rows` further rows.
    pub fn accumulate(&self, state: &[u8], args: &[ArrayRef], rows: usize, interrupt: &Interrupt) -> Result<Vec<u8>> {
        self.guests.frame.counters.count_call(rows);
        let arguments = ipc::encode(args, rows).map_err(Error::internal)?;
        self.call("accumulate", (state.to_vec(), arguments), interrupt)
    }

    /// The state of all rows of two states.
    pub fn merge(&self, a: &[u8], b: &[u8], interrupt: &Interrupt) -> Result<Vec<u8>> {
        self.call("merge", (a.to_vec(), b.to_vec()), interrupt)
    }

    /// The result: a column of one row.
    pub fn finish(&self, state: &[u8], interrupt: &Interrupt) -> Result<ArrayRef> {
        let bytes = self.call("finish", (state.to_vec(),), interrupt)?;
        let frame = &self.guests.frame;
        ipc::decode_column(bytes, &self.returns, 1).map_err(|fault| fault.of(frame))
    }

    fn call<P>(&self, name: &str, params: P, interrupt: &Interrupt) -> Result<Vec<u8>>
    where
        P: ComponentNamedList + Lower + 'static,
    {
        self.guests.call(Place { interface: Some(&self.guests.frame.export), name }, params, interrupt)
    }
}

impl ComponentTable {
    /// The table function that `spec` declares, whose rows have `schema` (the `returns` of `spec` says nothing).
    pub fn new(
        module: &Arc<Module>,
        spec: FunctionSpec,
        schema: SchemaRef,
        counters: Arc<Counters>,
    ) -> Result<ComponentTable> {
        let frame = Frame::new(module, &spec.name, &spec.export, spec.limits, counters)?;
        component::check(&frame, Place { interface: None, name: &spec.export }, 1)?;
        Ok(ComponentTable { guests: Guests::new(frame)?, schema })
    }

    /// The table for arguments of one row each.
    pub fn rows(&self, args: &[ArrayRef], interrupt: &Interrupt) -> Result<Vec<RecordBatch>> {
        let frame = &self.guests.frame;
        frame.counters.count_call(1);
        let arguments = ipc::encode(args, 1).map_err(Error::internal)?;
        let bytes = self.guests.call(Place { interface: None, name: &frame.export }, (arguments,), interrupt)?;
        ipc::decode_batches(bytes, &self.schema).map_err(|fault| fault.of(frame))
    }
}

impl Guests {
    fn new(frame: Frame) -> Result<Guests> {
        let linked = Linked::new(&frame)?;
        Ok(Guests { frame, linked, idle: Mutex::default() })
    }

    /// Calls an idle instance or a new one; after an error it is thrown away.
    fn call<P>(&self, place: Place<'_>, params: P, interrupt: &Interrupt) -> Result<Vec<u8>>
    where
        P: ComponentNamedList + Lower + 'static,
    {
        let stop = self.frame.stop(interrupt);
        let mut instance = self.take(stop)?;
        let bytes = instance.call(&self.frame, stop, place, params)?;
        self.idle.lock().push(instance);
        Ok(bytes)
    }

    fn take(&self, stop: Stop<'_>) -> Result<ComponentInstance> {
        let idle = self.idle.lock().pop();
        match idle {
            Some(instance) => Ok(instance),
            None => self.linked.instance(&self.frame, stop),
        }
    }
}

impl fmt::Debug for ComponentAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentAggregate").field("name", &self.guests.frame.function).finish_non_exhaustive()
    }
}

impl fmt::Debug for ComponentTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentTable").field("name", &self.guests.frame.function).finish_non_exhaustive()
    }
}
