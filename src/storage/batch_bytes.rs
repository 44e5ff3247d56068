//! Arrow schemas and batches as bytes, for log records and table definitions: Arrow's IPC messages without the framing.
//!
//! Batch: metadata length `u32`, body length `u64`, IPC message, body (buffers aligned to 8); its reader must know the
//! schema. Schema: the IPC schema message. Checksums are the business of whoever stores the bytes.

use crate::error::{Error, Result};
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow::ipc::{MetadataVersion, root_as_message};
use std::collections::HashMap;
use std::sync::Arc;

fn options() -> Result<IpcWriteOptions> {
    Ok(IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?)
}

/// The bytes of a schema.
pub(crate) fn schema_to_bytes(schema: &Schema) -> Result<Vec<u8>> {
    let mut tracker = DictionaryTracker::new(false);
    let encoder = IpcDataGenerator::default();
    Ok(encoder.schema_to_bytes_with_dictionary_tracker(schema, &mut tracker, &options()?).ipc_message)
}

/// The schema in `bytes`, which passed a checksum.
pub(crate) fn schema_from_bytes(bytes: &[u8]) -> Result<SchemaRef> {
    let message = root_as_message(bytes).map_err(|e| Error::Arrow(format!("malformed schema: {e}")))?;
    let schema = message.header_as_schema().filter(|schema| schema.fields().is_some());
    let schema = schema.ok_or_else(|| Error::Arrow("malformed schema: not a schema message".into()))?;
    Ok(Arc::new(arrow::ipc::convert::fb_to_schema(schema)))
}

/// Appends the bytes of `batch` to `out`.
pub(crate) fn batch_to_bytes(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    let mut tracker = DictionaryTracker::new(false);
    let mut context = IpcWriteContext::default();
    let (dictionaries, encoded) = IpcDataGenerator::default().encode(batch, &mut tracker, &options()?, &mut context)?;
    if !dictionaries.is_empty() {
        return Err(Error::Unsupported("columns of dictionary type cannot be stored".into()));
    }
    out.extend_from_slice(&(encoded.ipc_message.len() as u32).to_le_bytes());
    out.extend_from_slice(&(encoded.arrow_data.len() as u64).to_le_bytes());
    out.extend_from_slice(&encoded.ipc_message);
    out.extend_from_slice(&encoded.arrow_data);
    Ok(())
}

/// The batch in `bytes`, all of which it takes.
pub(crate) fn batch_from_bytes(bytes: &[u8], schema: &SchemaRef) -> Result<RecordBatch> {
    let malformed = |what: &str| Error::Arrow(format!("malformed rows: {what}"));
    let (head, rest) = bytes.split_at_checked(12).ok_or_else(|| malformed("too short"))?;
    let metadata_bytes = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let body_bytes = head[4..].iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b)) as usize;
    if metadata_bytes.checked_add(body_bytes) != Some(rest.len()) {
        return Err(malformed("lengths disagree"));
    }
    let (metadata, body) = rest.split_at(metadata_bytes);
    let message = root_as_message(metadata).map_err(|e| malformed(&e.to_string()))?;
    let header = message.header_as_record_batch().ok_or_else(|| malformed("not a batch message"))?;
    let body = Buffer::from(body);
    let none = HashMap::new();
    Ok(arrow::ipc::reader::read_record_batch(&body, header, schema.clone(), &none, None, &message.version())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Decimal128Array, Int32Array, ListArray, StringViewArray};
    use arrow::datatypes::Int32Type;

    fn example() -> RecordBatch {
        let lists =
            ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None, Some(vec![])]);
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("i", Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])), true),
            ("s", Arc::new(StringViewArray::from(vec!["a", "a string too long to be inline", "ü"])), true),
            ("d", Arc::new(Decimal128Array::from(vec![1, 2, 3]).with_precision_and_scale(15, 2).unwrap()), true),
            ("l", Arc::new(lists), true),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    #[test]
    fn batch_survives_round_trip_whole_and_sliced() {
        let batch = example();
        for batch in [batch.slice(0, 3), batch.slice(1, 2), batch.slice(0, 0)] {
            let mut bytes = vec![];
            batch_to_bytes(&batch, &mut bytes).unwrap();
            assert_eq!(batch_from_bytes(&bytes, &batch.schema()).unwrap(), batch);
        }
    }

    #[test]
    fn truncated_bytes_are_errors() {
        let batch = example();
        let mut bytes = vec![];
        batch_to_bytes(&batch, &mut bytes).unwrap();
        for len in 0..bytes.len() {
            assert!(batch_from_bytes(&bytes[..len], &batch.schema()).is_err());
        }
    }
}
