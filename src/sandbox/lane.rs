//! SQL types as WebAssembly's four kinds of numbers.

use crate::range;
use arrow::array::{Array, ArrayData, ArrayRef, AsArray, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{DataType, TimeUnit};
use wasmtime::{ValRaw, ValType};

/// How values of a column are passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// i16 as i32.
    Small,
    /// 0 or 1 as i32.
    Boolean,
    /// i32.
    I32,
    /// i64.
    I64,
    /// f32.
    F32,
    /// f64.
    F64,
}

impl Lane {
    /// How values of `data_type` are passed, if they can be.
    pub(crate) fn of(data_type: &DataType) -> Option<Lane> {
        match data_type {
            DataType::Int16 => Some(Lane::Small),
            DataType::Boolean => Some(Lane::Boolean),
            DataType::Int32 | DataType::Date32 => Some(Lane::I32),
            DataType::Int64
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Time64(TimeUnit::Microsecond) => Some(Lane::I64),
            DataType::Float32 => Some(Lane::F32),
            DataType::Float64 => Some(Lane::F64),
            _ => None,
        }
    }

    /// The number's type.
    pub(crate) fn val_type(self) -> ValType {
        match self {
            Lane::Small | Lane::Boolean | Lane::I32 => ValType::I32,
            Lane::I64 => ValType::I64,
            Lane::F32 => ValType::F32,
            Lane::F64 => ValType::F64,
        }
    }

    /// Puts the values from row `from` on into every `stride`-th slot.
    pub(crate) fn load(self, array: &Source, from: usize, slots: &mut [ValRaw], stride: usize) {
        let slots = slots.iter_mut().step_by(stride);
        match self {
            Lane::Small => fill(slots, &array.data.buffer::<i16>(0)[from..], |v| ValRaw::i32(i32::from(v))),
            Lane::I32 => fill(slots, &array.data.buffer::<i32>(0)[from..], ValRaw::i32),
            Lane::I64 => fill(slots, &array.data.buffer::<i64>(0)[from..], ValRaw::i64),
            Lane::F32 => fill(slots, &array.data.buffer::<u32>(0)[from..], ValRaw::f32),
            Lane::F64 => fill(slots, &array.data.buffer::<u64>(0)[from..], ValRaw::f64),
            Lane::Boolean => {
                let bits = array.array.as_boolean().values();
                for (row, slot) in slots.enumerate() {
                    *slot = ValRaw::i32(i32::from(bits.value(from + row)));
                }
            }
        }
    }
}

fn fill<'a, T: Copy>(slots: impl Iterator<Item = &'a mut ValRaw>, values: &[T], raw: impl Fn(T) -> ValRaw) {
    for (slot, value) in slots.zip(values) {
        *slot = raw(*value);
    }
}

/// A column to load from.
pub(crate) struct Source {
    array: ArrayRef,
    data: ArrayData,
}

impl Source {
    pub(crate) fn new(array: &ArrayRef) -> Source {
        Source { array: array.clone(), data: array.to_data() }
    }
}

/// Results, row by row.
pub(crate) enum Results {
    Small(Vec<i16>),
    Boolean(Vec<bool>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<u32>),
    F64(Vec<u64>),
}

impl Results {
    pub(crate) fn new(lane: Lane, rows: usize) -> Results {
        match lane {
            Lane::Small => Results::Small(Vec::with_capacity(rows)),
            Lane::Boolean => Results::Boolean(Vec::with_capacity(rows)),
            Lane::I32 => Results::I32(Vec::with_capacity(rows)),
            Lane::I64 => Results::I64(Vec::with_capacity(rows)),
            Lane::F32 => Results::F32(Vec::with_capacity(rows)),
            Lane::F64 => Results::F64(Vec::with_capacity(rows)),
        }
    }

    /// Takes results out of every `stride`-th slot. Rows that were not called (`is_called` says which were) get zeros.
    /// An error says which result is out of range.
    pub(crate) fn take(
        &mut self,
        slots: &[ValRaw],
        stride: usize,
        is_called: impl Fn(usize) -> bool,
    ) -> Result<(), String> {
        let rows = slots.iter().step_by(stride).enumerate();
        match self {
            Results::Small(values) => {
                for (row, slot) in rows {
                    let value = if is_called(row) { slot.get_i32() } else { 0 };
                    values.push(i16::try_from(value).map_err(|_| format!("smallint out of range: {value}"))?);
                }
            }
            Results::Boolean(values) => {
                for (row, slot) in rows {
                    match if is_called(row) { slot.get_i32() } else { 0 } {
                        0 => values.push(false),
                        1 => values.push(true),
                        value => return Err(format!("it returned {value} for a boolean, which is 0 or 1")),
                    }
                }
            }
            Results::I32(values) => {
                values.extend(rows.map(|(row, slot)| if is_called(row) { slot.get_i32() } else { 0 }));
            }
            Results::I64(values) => {
                values.extend(rows.map(|(row, slot)| if is_called(row) { slot.get_i64() } else { 0 }));
            }
            Results::F32(values) => {
                values.extend(rows.map(|(row, slot)| if is_called(row) { slot.get_f32() } else { 0 }));
            }
            Results::F64(values) => {
                values.extend(rows.map(|(row, slot)| if is_called(row) { slot.get_f64() } else { 0 }));
            }
        }
        Ok(())
    }

    /// The column. An error says that a value does not fit its type.
    pub(crate) fn finish(self, returns: &DataType, nulls: Option<NullBuffer>) -> Result<ArrayRef, String> {
        let (rows, buffer) = match self {
            Results::Small(values) => (values.len(), Buffer::from_vec(values)),
            Results::Boolean(values) => (values.len(), BooleanBuffer::from(values).into_inner()),
            Results::I32(values) => (values.len(), Buffer::from_vec(values)),
            Results::I64(values) => (values.len(), Buffer::from_vec(values)),
            Results::F32(values) => (values.len(), Buffer::from_vec(values)),
            Results::F64(values) => (values.len(), Buffer::from_vec(values)),
        };
        let data = ArrayData::builder(returns.clone()).len(rows).add_buffer(buffer).nulls(nulls).build();
        let array = make_array(data.map_err(|error| error.to_string())?);
        range::check(&array)?;
        Ok(array)
    }
}
