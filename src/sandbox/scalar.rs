//! The scalar ABI: one call a row, on numbers.
//!
//! A chunk of rows is laid out as the calls want it, one slot an argument, column by column; then the export is called
//! once a row, and writes its result over its first argument; then the results are gathered. So the loop over the calls
//! knows nothing of types, and what it touches stays in the processor's nearest cache.
#![expect(unsafe_code, reason = "calls without checking types each time, which were checked once")]

use crate::abi::Abi;
use crate::error::{Error, Result};
use crate::guard::{State, store};
use crate::lane::{Lane, Results, Source};
use crate::nulls;
use crate::run::{Frame, Stop};
use crate::signature;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use wasmtime::{Func, InstancePre, Store, ValRaw, ValType};

/// Rows of a chunk.
const CHUNK_ROWS: usize = 256;

/// A function of the scalar ABI.
pub(crate) struct Scalar {
    arguments: Vec<Lane>,
    result: Lane,
    returns: DataType,
}

/// An instance of it.
pub(crate) struct ScalarInstance {
    store: Store<State<()>>,
    func: Func,
}

impl Scalar {
    /// Checks that the export has the type of the declaration.
    pub(crate) fn new(frame: &Frame, arguments: &[DataType], returns: &DataType) -> Result<Scalar> {
        let lane = |data_type: &DataType, argument| {
            Lane::of(data_type).ok_or_else(|| frame.unsupported(Abi::Scalar, argument, data_type))
        };
        let result = lane(returns, None)?;
        let arguments = (1..).zip(arguments).map(|(number, data_type)| lane(data_type, Some(number)));
        let arguments = arguments.collect::<Result<Vec<Lane>>>()?;
        let types: Vec<ValType> = arguments.iter().map(|lane| lane.val_type()).collect();
        signature::check(frame.module.core()?, &frame.function, &frame.export, &types, &[result.val_type()])?;
        Ok(Scalar { arguments, result, returns: returns.clone() })
    }

    /// A new instance, started.
    pub(crate) fn instance(
        &self,
        frame: &Frame,
        pre: &InstancePre<State<()>>,
        stop: Stop<'_>,
    ) -> Result<ScalarInstance> {
        let mut store = store(&frame.module, &frame.function, &frame.limits, ());
        let instance = frame.instantiate(&mut store, stop, |store| pre.instantiate(store))?;
        let func = instance
            .get_func(&mut store, &frame.export)
            .ok_or_else(|| Error::internal("an export is gone that was there before"))?;
        Ok(ScalarInstance { store, func })
    }

    /// Calls `instance` for every row without a NULL.
    pub(crate) fn call(
        &self,
        frame: &Frame,
        instance: &mut ScalarInstance,
        stop: Stop<'_>,
        args: &[ArrayRef],
        rows: usize,
    ) -> Result<ArrayRef> {
        if args.len() != self.arguments.len() {
            return Err(Error::internal(format!("{} arguments instead of {}", args.len(), self.arguments.len())));
        }
        let nulls = nulls::of_all(args);
        let sources: Vec<Source> = args.iter().map(Source::new).collect();
        let stride = args.len().max(1);
        let mut slots = vec![ValRaw::i64(0); CHUNK_ROWS.min(rows) * stride];
        let mut results = Results::new(self.result, rows);
        let func = instance.func;
        frame.run(&mut instance.store, stop, |store| {
            let mut from = 0;
            while from < rows {
                let slots = &mut slots[..CHUNK_ROWS.min(rows - from) * stride];
                for (i, (lane, source)) in self.arguments.iter().zip(&sources).enumerate() {
                    lane.load(source, from, &mut slots[i..], stride);
                }
                let is_called = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(from + row));
                for (row, slots) in slots.chunks_exact_mut(stride).enumerate() {
                    if is_called(row) {
                        // SAFETY: the slots have a value of the type of each parameter and room for the one result:
                        // `Scalar::new` compared the export's type with the lanes, which all are numbers, and the
                        // arguments' types were compared with the declaration by `Function::check_arguments`.
                        unsafe { func.call_unchecked(&mut *store, slots)? };
                    }
                }
                let taken = match nulls {
                    Some(_) => results.take(slots, stride, is_called),
                    None => results.take(slots, stride, |_| true),
                };
                taken.map_err(|detail| wasmtime::Error::new(frame.bad_output(detail)))?;
                from += CHUNK_ROWS;
            }
            Ok(())
        })?;
        results.finish(&self.returns, nulls).map_err(|detail| frame.bad_output(detail))
    }
}
