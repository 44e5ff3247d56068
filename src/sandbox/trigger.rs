//! Triggers: functions that see rows as they change, and may change, skip or refuse them.
//!
//! For each row the export is `f() -> i32`: 0 keeps the row, 1 leaves it out, anything else is an error. For each
//! statement it is `f(event: i32, old: i32, new: i32, rows: i32, out: i32) -> i32` in the batch ABI: `old` and `new`
//! point to one descriptor a column, or are 0; anything but 0 is an error whose text is the data of `out`.
//!
//! Every call has an instance of its own: what a trigger does depends on the rows alone, never on what an earlier
//! statement, perhaps one that was rolled back, left in its memory.

use crate::batch::{Region, guest_error};
use crate::counters::Counters;
use crate::error::{Error, Result};
use crate::event::{Event, Level, Rows, TriggerCall, TriggerOutcome};
use crate::guard::{State, store};
use crate::host::Host;
use crate::input::Input;
use crate::layout::DESCRIPTOR_BYTES;
use crate::limits::{Interrupt, Limits};
use crate::module::Module;
use crate::run::{Frame, Stop};
use crate::{imports, output, signature};
use arrow::array::{Array, ArrayRef};
use std::fmt;
use std::sync::Arc;
use wasmtime::{Instance, InstancePre, Store, ValType};

/// A store for triggers.
type TriggerStore = Store<State<Option<Host>>>;

/// A function that triggers call.
pub struct TriggerFunction {
    frame: Frame,
    level: Level,
    pre: InstancePre<State<Option<Host>>>,
}

impl TriggerFunction {
    /// The trigger function that `export` of `module` is; fails when the exports, their types or the imports do not fit.
    pub fn new(
        module: &Arc<Module>,
        name: &str,
        export: &str,
        limits: Limits,
        counters: Arc<Counters>,
        level: Level,
    ) -> Result<TriggerFunction> {
        let frame = Frame::new(module, name, export, limits, counters)?;
        let core = module.core()?;
        match level {
            Level::Row => signature::check(core, name, export, &[], &[ValType::I32])?,
            Level::Statement => {
                Region::check(core, name)?;
                signature::check(core, name, export, &[const { ValType::I32 }; 5], &[ValType::I32])?;
            }
        }
        signature::check_imports(core, &imports::NAMES)?;
        let linker = imports::linker(&module.engine, &frame.function).map_err(Error::internal)?;
        let pre = linker.instantiate_pre(core).map_err(|error| Error::invalid(format!("{error:#}")))?;
        Ok(TriggerFunction { frame, level, pre })
    }

    /// Calls the function on `rows`. Its time-out covers the whole call.
    pub fn call(&self, call: &TriggerCall, rows: Rows<'_>, interrupt: &Interrupt) -> Result<TriggerOutcome> {
        check_rows(rows)?;
        self.frame.counters.count_call(rows.rows);
        let stop = self.frame.stop(interrupt);
        let mut store = store(&self.frame.module, &self.frame.function, &self.frame.limits, None);
        let instance = self.frame.instantiate(&mut store, stop, |store| self.pre.instantiate(store))?;
        store.data_mut().memory = instance.get_memory(&mut store, "memory");
        store.data_mut().host = Some(Host::new(call, self.level, rows));
        let skipped = match self.level {
            Level::Row => self.call_rows(&mut store, &instance, stop, rows.rows)?,
            Level::Statement => {
                self.call_statement(&mut store, &instance, stop, call.event, rows)?;
                Vec::new()
            }
        };
        let host = store.data_mut().host.take().ok_or_else(|| Error::internal("a trigger's host is gone"))?;
        host.finish(skipped)
    }

    fn call_rows(
        &self,
        store: &mut TriggerStore,
        instance: &Instance,
        stop: Stop<'_>,
        rows: usize,
    ) -> Result<Vec<usize>> {
        let func = instance.get_typed_func::<(), i32>(&mut *store, &self.frame.export).map_err(Error::internal)?;
        let mut skipped = Vec::new();
        self.frame.run(store, stop, |store| {
            for row in 0..rows {
                if let Some(host) = &mut store.data_mut().host {
                    host.set_row(row);
                }
                match func.call(&mut *store, ())? {
                    0 => {}
                    1 => skipped.push(row),
                    code => {
                        let text = format!("trigger function {} failed with code {code}", self.frame.function);
                        return Err(wasmtime::Error::new(self.frame.guest_error(text.as_bytes())));
                    }
                }
            }
            Ok(())
        })?;
        Ok(skipped)
    }

    fn call_statement(
        &self,
        store: &mut TriggerStore,
        instance: &Instance,
        stop: Stop<'_>,
        event: Event,
        rows: Rows<'_>,
    ) -> Result<()> {
        let (memory, region) = Region::new(store, instance)?;
        let func = instance
            .get_typed_func::<(i32, u32, u32, u32, u32), i32>(&mut *store, &self.frame.export)
            .map_err(Error::internal)?;
        let (old, new) = (rows.old.unwrap_or_default(), rows.new.unwrap_or_default());
        let columns: Vec<ArrayRef> = old.iter().chain(new).cloned().collect();
        let host = store.data().host.as_ref().ok_or_else(|| Error::internal("a trigger's host is gone"))?;
        let input = Input::new(&host.batch_columns(&columns)?)?;
        let result = self.frame.run(store, stop, |store| {
            let written = region.write(store, &self.frame, &memory, &input)?;
            let new_at = written.descriptors + (old.len() * DESCRIPTOR_BYTES) as u32;
            let old_at = rows.old.map_or(0, |_| written.descriptors);
            let new_at = rows.new.map_or(0, |_| new_at);
            let code = func.call(&mut *store, (event.code(), old_at, new_at, rows.rows as u32, written.out))?;
            if code == 0 {
                return Ok(());
            }
            let memory = memory.data(&*store);
            let error = match output::descriptor(memory, written.out) {
                Ok(descriptor) => guest_error(&self.frame, memory, code, descriptor),
                Err(detail) => self.frame.bad_output(detail),
            };
            Err(wasmtime::Error::new(error))
        });
        result.map_err(|error| match (error, store.data().guard.refusal()) {
            (Error::Trap { .. } | Error::Memory { .. }, Some(refusal)) => refusal,
            (error, _) => error,
        })
    }
}

impl fmt::Debug for TriggerFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriggerFunction")
            .field("name", &self.frame.function)
            .field("export", &self.frame.export)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// Rows of another shape than their columns are an error of ours.
fn check_rows(rows: Rows<'_>) -> Result<()> {
    for arrays in [rows.old, rows.new].into_iter().flatten() {
        let is_right = arrays.len() == rows.columns.len()
            && arrays
                .iter()
                .zip(rows.columns)
                .all(|(array, (_, data_type))| array.len() == rows.rows && array.data_type() == data_type);
        if !is_right {
            return Err(Error::internal("a trigger's rows are not those of its columns"));
        }
    }
    Ok(())
}
