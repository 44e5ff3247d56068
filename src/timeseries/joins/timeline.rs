//! The right side of a join by time, in memory: the rows of each key in order of time.

use crate::order::comparable;
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of the index for each row, for the budget: time, row and their copies while sorting.
const INDEX_BYTES: usize = 40;

/// Rows by key and time.
#[derive(Debug)]
pub(super) struct Timeline {
    /// The rows in the order of keys and times; those without key or time are left out.
    pub(super) rows: RecordBatch,
    /// Their times.
    pub(super) times: Vec<i64>,
    keys: HashMap<Box<[u8]>, u32>,
    /// Where the rows of each key begin, and the end.
    starts: Vec<u32>,
    _memory: MemoryReservation,
}

/// The rows of one key: a range of [`Timeline::times`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What a side is joined by.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) keys: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) time: Arc<dyn PhysicalExpr>,
}

/// The keys and times of some rows.
#[derive(Debug)]
pub(super) struct Sided {
    keys: Rows,
    valid: Vec<ArrayRef>,
    pub(super) times: arrow::array::Int64Array,
}

impl Side {
    /// A converter of its keys.
    pub(super) fn converter(&self, schema: &SchemaRef) -> Result<RowConverter> {
        let fields = self.keys.iter().map(|key| Ok(SortField::new(key.data_type(schema)?)));
        Ok(RowConverter::new(fields.collect::<Result<_>>()?)?)
    }

    /// Keys and time, if they are columns of the input.
    pub(super) fn columns(&self) -> Option<(Vec<usize>, usize)> {
        let column = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().map(Column::index);
        Some((self.keys.iter().map(column).collect::<Option<_>>()?, column(&self.time)?))
    }

    /// Computes keys and times.
    pub(super) fn of(&self, rows: &RecordBatch, converter: &RowConverter) -> Result<Sided> {
        let compute = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(rows)?.into_array(rows.num_rows());
        let keys: Vec<ArrayRef> = self.keys.iter().map(compute).collect::<Result<_>>()?;
        let mut converted = converter.empty_rows(0, 0);
        if !keys.is_empty() {
            converted = converter.convert_columns(&keys)?;
        }
        let valid = keys.into_iter().filter(|key| key.null_count() > 0).collect();
        Ok(Sided { keys: converted, valid, times: comparable(&compute(&self.time)?)? })
    }
}

impl Sided {
    /// The key of a row; empty when there are no keys. `None`: a part of it or the time is NULL.
    pub(super) fn key(&self, row: usize) -> Option<&[u8]> {
        if self.times.is_null(row) || self.valid.iter().any(|key| key.is_null(row)) {
            return None;
        }
        Some(self.any_key(row))
    }

    /// The key of a row, in which NULLs are values.
    pub(super) fn any_key(&self, row: usize) -> &[u8] {
        if self.keys.num_rows() == 0 { &[] } else { self.keys.row(row).data() }
    }

    pub(super) fn has_time(&self, row: usize) -> bool {
        self.times.is_valid(row)
    }
}

impl Timeline {
    /// Reads a side.
    pub(super) async fn read(
        mut input: SendableRecordBatchStream,
        side: &Side,
        memory: MemoryReservation,
    ) -> Result<Timeline> {
        let schema = input.schema();
        let mut batches = Vec::new();
        while let Some(batch) = input.next().await {
            let batch = batch?;
            memory.try_grow(batch.get_array_memory_size() + batch.num_rows() * INDEX_BYTES)?;
            batches.push(batch);
        }
        let rows = concat_batches(&schema, &batches)?;
        drop(batches);
        if u32::try_from(rows.num_rows()).is_err() {
            return Err(DataFusionError::ResourcesExhausted("a join by time holds at most 4 billion rows".to_owned()));
        }
        let converter = side.converter(&schema)?;
        let sided = side.of(&rows, &converter)?;
        let mut keys: HashMap<Box<[u8]>, u32> = HashMap::new();
        let mut entries: Vec<(u32, i64, u32)> = Vec::with_capacity(rows.num_rows());
        let mut last: Option<(&[u8], u32)> = None;
        for row in 0..rows.num_rows() {
            let Some(key) = sided.key(row) else { continue };
            let group = match last {
                Some((known, group)) if known == key => group,
                _ => match keys.get(key) {
                    Some(group) => *group,
                    None => {
                        let group = keys.len() as u32;
                        keys.insert(key.into(), group);
                        group
                    }
                },
            };
            last = Some((key, group));
            entries.push((group, sided.times.value(row), row as u32));
        }
        if !entries.is_sorted() {
            entries.sort_unstable();
        }
        let mut starts = vec![0u32; keys.len() + 1];
        for (group, ..) in &entries {
            starts[*group as usize + 1] += 1;
        }
        for group in 1..starts.len() {
            starts[group] += starts[group - 1];
        }
        let order: arrow::array::UInt32Array = entries.iter().map(|(.., row)| *row).collect::<Vec<_>>().into();
        let in_order =
            order.len() == rows.num_rows() && order.values().iter().enumerate().all(|(at, row)| at as u32 == *row);
        let rows = if in_order { rows } else { arrow::compute::take_record_batch(&rows, &order)? };
        let times = entries.into_iter().map(|(_, time, _)| time).collect();
        Ok(Timeline { rows, times, keys, starts, _memory: memory })
    }

    /// The rows of a key.
    pub(super) fn span(&self, key: &[u8]) -> Option<Span> {
        let group = *self.keys.get(key)? as usize;
        Some(Span { start: self.starts[group] as usize, end: self.starts[group + 1] as usize })
    }

    /// The first row of a span for which `before` of its time is false, looked for from `hint` on.
    ///
    /// Times of the left mostly ascend, so the place is near the last one: steps double until it is passed.
    pub(super) fn seek(&self, span: Span, hint: usize, before: impl Fn(i64) -> bool) -> usize {
        let (mut low, mut high) = (span.start, span.end);
        if (span.start..span.end).contains(&hint) {
            if before(self.times[hint]) {
                low = hint + 1;
                let mut step = 1;
                while low + step < span.end && before(self.times[low + step - 1]) {
                    low += step;
                    step *= 2;
                }
                high = (low + step).min(span.end);
            } else {
                high = hint;
            }
        }
        low + self.times[low..high].partition_point(|time| before(*time))
    }
}
