//! Functions: a module's export with a declaration, and the instances of one query.
//!
//! A query's partitions share a [`Pool`]. Each call takes an idle instance or makes one, and gives it back when nothing
//! went wrong; so there are as many instances as calls at the same time, and none outlives its query.

use crate::abi::Abi;
use crate::batch::{Batch, BatchInstance, Failure};
use crate::component::{ComponentInstance, Linked, Place};
use crate::counters::Counters;
use crate::error::{Error, Result};
use crate::guard::State;
use crate::input::Input;
use crate::layout::is_compatible;
use crate::limits::{Interrupt, Limits};
use crate::module::Module;
use crate::run::{Frame, Stop};
use crate::scalar::{Scalar, ScalarInstance};
use crate::{component, ipc, nulls, signature};
use arrow::array::{Array, ArrayRef, new_empty_array, new_null_array};
use arrow::datatypes::DataType;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use wasmtime::{InstancePre, Linker};

/// A function's declaration.
#[derive(Clone, Debug)]
pub struct FunctionSpec {
    /// The function's name, for errors.
    pub name: String,
    /// The export to call.
    pub export: String,
    /// How it is called.
    pub abi: Abi,
    /// Types of the arguments.
    pub arguments: Vec<DataType>,
    /// Type of the result.
    pub returns: DataType,
    /// Rows with a NULL argument yield NULL without a call (the scalar ABI always does so).
    pub is_strict: bool,
    /// What the guest is allowed.
    pub limits: Limits,
}

/// A function that can be called.
pub struct Function {
    frame: Frame,
    arguments: Vec<DataType>,
    returns: DataType,
    is_strict: bool,
    guest: Guest,
}

/// How instances are made and called.
enum Guest {
    Scalar(Scalar, InstancePre<State<()>>),
    Batch(Batch, InstancePre<State<()>>),
    Component(Linked),
}

/// An instance.
enum Instance {
    Scalar(ScalarInstance),
    Batch(Box<BatchInstance>),
    Component(ComponentInstance),
}

impl Function {
    /// The function that `spec` declares; fails when the module's exports, their types or its imports do not fit.
    pub fn new(module: &Arc<Module>, spec: FunctionSpec, counters: Arc<Counters>) -> Result<Function> {
        let FunctionSpec { name, export, abi, arguments, returns, is_strict, limits } = spec;
        let frame = Frame::new(module, &name, &export, limits, counters)?;
        let guest = match abi {
            Abi::Scalar => {
                let scalar = Scalar::new(&frame, &arguments, &returns)?;
                Guest::Scalar(scalar, linked(&frame)?)
            }
            Abi::Batch => {
                let batch = Batch::new(&frame, &arguments, &returns)?;
                Guest::Batch(batch, linked(&frame)?)
            }
            Abi::Component => {
                component::check(&frame, Place { interface: None, name: &export }, 1)?;
                Guest::Component(Linked::new(&frame)?)
            }
        };
        Ok(Function { frame, arguments, returns, is_strict, guest })
    }

    /// Instances for one query; `interrupt` says when it was cancelled.
    pub fn pool(self: &Arc<Self>, interrupt: Interrupt) -> Pool {
        Pool { function: self.clone(), interrupt, idle: Mutex::default() }
    }

    /// What calls have cost so far.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.frame.counters
    }

    fn check_arguments(&self, args: &[ArrayRef], rows: usize) -> Result<()> {
        if args.len() != self.arguments.len() {
            return Err(Error::internal(format!("{} arguments instead of {}", args.len(), self.arguments.len())));
        }
        for (arg, declared) in args.iter().zip(&self.arguments) {
            if !is_compatible(arg.data_type(), declared) {
                return Err(Error::internal(format!("an argument is {} instead of {declared}", arg.data_type())));
            }
            if arg.len() != rows {
                return Err(Error::internal(format!("an argument has {} rows instead of {rows}", arg.len())));
            }
        }
        Ok(())
    }

    fn instance(&self, stop: Stop<'_>) -> Result<Instance> {
        match &self.guest {
            Guest::Scalar(scalar, pre) => scalar.instance(&self.frame, pre, stop).map(Instance::Scalar),
            Guest::Batch(batch, pre) => batch.instance(&self.frame, pre, stop).map(Box::new).map(Instance::Batch),
            Guest::Component(linked) => linked.instance(&self.frame, stop).map(Instance::Component),
        }
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.frame.function)
            .field("export", &self.frame.export)
            .finish_non_exhaustive()
    }
}

/// A module that imports nothing, ready to be instantiated.
fn linked(frame: &Frame) -> Result<InstancePre<State<()>>> {
    let module = frame.module.core()?;
    signature::check_imports(module, &[])?;
    Linker::new(&frame.module.engine).instantiate_pre(module).map_err(|error| Error::invalid(format!("{error:#}")))
}

/// The instances of one query.
pub struct Pool {
    function: Arc<Function>,
    interrupt: Interrupt,
    idle: Mutex<Vec<Instance>>,
}

impl Pool {
    /// The function's results for `rows` rows of arguments; has exactly the declared type. May be called by several
    /// threads at once. An instance in which anything went wrong is not used again.
    pub fn call(&self, args: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let function = &*self.function;
        function.check_arguments(args, rows)?;
        if rows == 0 {
            return Ok(new_empty_array(&function.returns));
        }
        function.frame.counters.count_call(rows);
        let stop = function.frame.stop(&self.interrupt);
        let nulls = if function.is_strict { nulls::of_all(args) } else { None };
        let Some(nulls) = nulls else { return self.call_rows(args, rows, stop) };
        let with_values = nulls.len() - nulls.null_count();
        if with_values == 0 {
            return Ok(new_null_array(&function.returns, rows));
        }
        let results = self.call_rows(&nulls::without(args, &nulls)?, with_values, stop)?;
        nulls::spread(&results, &nulls)
    }

    fn call_rows(&self, args: &[ArrayRef], rows: usize, stop: Stop<'_>) -> Result<ArrayRef> {
        let mut instance = self.take(stop)?;
        let frame = &self.function.frame;
        let result = match (&self.function.guest, &mut instance) {
            (Guest::Scalar(scalar, _), Instance::Scalar(instance)) => scalar.call(frame, instance, stop, args, rows)?,
            (Guest::Batch(batch, _), Instance::Batch(_)) => {
                return self.call_batch(batch, instance, stop, args, rows);
            }
            (Guest::Component(_), Instance::Component(instance)) => {
                let bytes = ipc::encode(args, rows).map_err(Error::internal)?;
                let place = Place { interface: None, name: &frame.export };
                let bytes = instance.call(frame, stop, place, (bytes,))?;
                ipc::decode_column(bytes, &self.function.returns, rows).map_err(|fault| fault.of(frame))?
            }
            _ => return Err(Error::internal("an instance of another function")),
        };
        self.idle.lock().push(instance);
        Ok(result)
    }

    /// Divides what is too large for the guest, and gives it a second chance in a fresh instance when its memory was
    /// full of earlier calls.
    fn call_batch(
        &self,
        batch: &Batch,
        instance: Instance,
        stop: Stop<'_>,
        args: &[ArrayRef],
        rows: usize,
    ) -> Result<ArrayRef> {
        let frame = &self.function.frame;
        let input = Input::new(args)?;
        if rows > 1 && Batch::is_too_large(frame, input.bytes()) {
            self.idle.lock().push(instance);
            let half = rows / 2;
            let slice = |from, len| args.iter().map(|arg| arg.slice(from, len)).collect::<Vec<ArrayRef>>();
            let first = self.call_rows(&slice(0, half), half, stop)?;
            let second = self.call_rows(&slice(half, rows - half), rows - half, stop)?;
            return arrow::compute::concat(&[&first, &second]).map_err(Error::internal);
        }
        let mut current = instance;
        loop {
            let Instance::Batch(instance) = &mut current else {
                return Err(Error::internal("an instance of another function"));
            };
            match batch.call(frame, instance, stop, &input, rows) {
                Ok(result) => {
                    self.idle.lock().push(current);
                    return Ok(result);
                }
                Err(Failure::Final(error)) => return Err(error),
                // A fresh instance was not used before, so this happens once.
                Err(Failure::Exhausted) => {
                    drop(current);
                    current = self.function.instance(stop)?;
                }
            }
        }
    }

    fn take(&self, stop: Stop<'_>) -> Result<Instance> {
        let idle = self.idle.lock().pop();
        match idle {
            Some(instance) => Ok(instance),
            None => self.function.instance(stop),
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("function", &self.function).finish_non_exhaustive()
    }
}
