//! Arrow IPC streams to and from components.
//!
//! What a guest gives is read by the decoder that takes bytes as they come: it allocates nothing on the word of a length
//! field, it validates what it builds, and should it panic, that is the guest's error and not ours. Values are then
//! checked like those of the other ABIs.

use crate::error::Error;
use crate::layout::is_compatible;
use crate::range;
use crate::run::Frame;
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Most batches of one stream.
const BATCHES_MAX: usize = 100_000;

/// What is wrong with a stream.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It makes no sense.
    Detail(String),
    /// A column has another type.
    Type { column: Option<String>, expected: DataType, found: DataType },
}

impl Fault {
    /// The fault of the guest of `frame`.
    pub(crate) fn of(self, frame: &Frame) -> Error {
        match self {
            Fault::Detail(detail) => frame.bad_output(detail),
            Fault::Type { column, expected, found } => {
                Error::WrongResult { function: frame.function.to_string(), column, expected, found }
            }
        }
    }
}

impl From<String> for Fault {
    fn from(detail: String) -> Fault {
        Fault::Detail(detail)
    }
}

/// Columns `a0`, `a1`, … as a stream of one batch.
pub(crate) fn encode(args: &[ArrayRef], rows: usize) -> Result<Vec<u8>, ArrowError> {
    let field = |(i, arg): (usize, &ArrayRef)| Field::new(format!("a{i}"), arg.data_type().clone(), true);
    let schema = Arc::new(Schema::new(args.iter().enumerate().map(field).collect::<Vec<Field>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(schema.clone(), args.to_vec(), &options)?;
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &schema)?;
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    Ok(bytes)
}

/// The one column of `rows` rows and type `returns` that the stream has.
pub(crate) fn decode_column(bytes: Vec<u8>, returns: &DataType, rows: usize) -> Result<ArrayRef, Fault> {
    let batches = decode(bytes)?;
    let [batch] = batches.as_slice() else {
        return Err(format!("the result has {} batches instead of one", batches.len()).into());
    };
    if batch.num_rows() != rows {
        return Err(format!("it returned {} rows for {rows}", batch.num_rows()).into());
    }
    let [column] = batch.columns() else {
        return Err(format!("the result has {} columns instead of one", batch.num_columns()).into());
    };
    fitting(column, returns, None)
}

/// The batches of a stream, in the types of `schema`.
pub(crate) fn decode_batches(bytes: Vec<u8>, schema: &SchemaRef) -> Result<Vec<RecordBatch>, Fault> {
    decode(bytes)?.iter().map(|batch| fitting_batch(batch, schema)).collect()
}

fn fitting_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Fault> {
    if batch.num_columns() != schema.fields().len() {
        let columns = (batch.num_columns(), schema.fields().len());
        return Err(format!("it returned {} columns instead of {}", columns.0, columns.1).into());
    }
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| fitting(column, field.data_type(), Some(field.name())))
        .collect::<Result<Vec<ArrayRef>, Fault>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|error| error.to_string().into())
}

/// A guest's column in the type it was declared with.
fn fitting(column: &ArrayRef, declared: &DataType, name: Option<&String>) -> Result<ArrayRef, Fault> {
    let found = column.data_type();
    if !is_compatible(found, declared) {
        return Err(Fault::Type { column: name.cloned(), expected: declared.clone(), found: found.clone() });
    }
    range::check(column)?;
    if found == declared {
        return Ok(column.clone());
    }
    arrow::compute::cast(column, declared).map_err(|error| error.to_string().into())
}

fn decode(bytes: Vec<u8>) -> Result<Vec<RecordBatch>, String> {
    let read = catch_unwind(AssertUnwindSafe(|| read(bytes)));
    match read {
        Ok(batches) => batches.map_err(|error| format!("the result is no Arrow stream: {error}")),
        Err(_) => Err("the result is no Arrow stream".to_string()),
    }
}

fn read(bytes: Vec<u8>) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut decoder = StreamDecoder::new();
    let mut buffer = Buffer::from_vec(bytes);
    let mut batches = Vec::new();
    while !buffer.is_empty() {
        if let Some(batch) = decoder.decode(&mut buffer)? {
            batches.push(batch);
        }
        if batches.len() > BATCHES_MAX {
            return Err(ArrowError::IpcError(format!("more than {BATCHES_MAX} batches")));
        }
    }
    if batches.is_empty() && decoder.schema().is_none() {
        return Err(ArrowError::IpcError("it has no schema".to_string()));
    }
    decoder.finish()?;
    Ok(batches)
}
