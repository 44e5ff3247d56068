//! The last step of a result: the columns a client sees.
//!
//! Whatever Arrow types a plan computed in, results leave in the one Arrow type of their PostgreSQL type, under the name
//! PostgreSQL would give them and with the PostgreSQL type in the metadata. So the wire protocol, the shell and embedding
//! programs know a short list of types.

use crate::active::Active;
use crate::error::{Error, Result};
use crate::outcome::RowStream;
use crate::parser::names;
use crate::sqlstate::panicked;
use crate::transaction::Transactions;
use crate::types::{self, PgType};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::Stream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// The schema a client sees for columns computed as `schema`.
pub(crate) fn client_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(|f| client_field(f)).collect::<Vec<_>>()))
}

fn client_field(field: &Field) -> Field {
    let name = names::display(field.name());
    let pg = types::pg_type(field);
    let wanted = client_type(field.data_type(), pg);
    let metadata = types::metadata(pg).unwrap_or_default();
    Field::new(name, wanted, field.is_nullable()).with_metadata(metadata)
}

fn client_type(computed: &DataType, pg: PgType) -> DataType {
    match computed {
        // The scale is the value's, whatever the modifier says.
        DataType::Decimal128(..) | DataType::Decimal256(..) => computed.clone(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(Arc::new(client_field(item)))
        }
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => computed.clone(),
        DataType::FixedSizeBinary(n) if *n != 16 => DataType::BinaryView,
        _ => pg.arrow_type().unwrap_or(DataType::Utf8View),
    }
}

/// Brings a batch to the client's schema.
pub(crate) fn client_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                Ok(cast_with_options(column, field.data_type(), &options)?)
            }
        })
        .collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(nullable(schema), columns, &options)?)
}

/// Computed columns may hold NULL where the plan promised none; the promise is not worth a failed query.
fn nullable(schema: &SchemaRef) -> SchemaRef {
    if schema.fields().iter().all(|f| f.is_nullable()) {
        return Arc::clone(schema);
    }
    let fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    Arc::new(Schema::new(fields))
}

/// The rows of `input` for the client. `logical` has the types and names, `tag` begins the command tag.
pub(crate) fn rows(
    logical: &Schema,
    input: SendableRecordBatchStream,
    tag: &str,
    active: &Arc<Active>,
    transactions: &Arc<Transactions>,
) -> RowStream {
    let schema = nullable(&client_schema(logical));
    let cancelled = Box::pin(active.token().clone().cancelled_owned());
    let stream = Guarded {
        input: Some(input),
        schema: Arc::clone(&schema),
        cancelled,
        active: Arc::clone(active),
        transactions: Arc::clone(transactions),
    };
    RowStream { schema, batches: Box::pin(stream), tag: tag.to_owned() }
}

/// Ends when the statement is cancelled; turns panics into errors; fails the transaction block on an error.
struct Guarded {
    input: Option<SendableRecordBatchStream>,
    schema: SchemaRef,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    active: Arc<Active>,
    transactions: Arc<Transactions>,
}

impl Guarded {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        let Some(input) = self.input.as_mut() else { return Poll::Ready(None) };
        if self.cancelled.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(self.active.error())));
        }
        match catch_unwind(AssertUnwindSafe(|| input.as_mut().poll_next(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(None)) => Poll::Ready(None),
            Ok(Poll::Ready(Some(Ok(batch)))) => Poll::Ready(Some(client_batch(&batch, &self.schema))),
            Ok(Poll::Ready(Some(Err(e)))) => Poll::Ready(Some(Err(Error::from(e)))),
            Err(payload) => Poll::Ready(Some(Err(panicked(payload.as_ref())))),
        }
    }
}

impl Stream for Guarded {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let result = self.poll(cx);
        match &result {
            Poll::Ready(None) => self.input = None,
            Poll::Ready(Some(Err(_))) => {
                self.input = None;
                self.transactions.fail();
            }
            _ => {}
        }
        result
    }
}
