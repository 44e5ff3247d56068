//! Schema `lightning`: what the engine knows of itself, as tables.
//!
//! `tables`, `partitions`, `blocks`, `wal`, `settings`, `queries`, `jobs`, `triggers`, and those of extensions ([`SystemRows`]). Rows are computed when a query is planned, from that
//! statement's snapshot.

use crate::context::{SessionInfo, StatementContext};
use crate::error::Result;
use crate::extension::{SystemRows, language};
use crate::jobs::JobRow;
use crate::text::TextColumn;
use crate::triggers::{event_name, level_name, timing_name};
use crate::types::{self, PgType, column_field};
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, RecordBatch,
    StringViewArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalMonthDayNano, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use lightning_catalog::{Relation, Table};
use lightning_storage::SegmentRange;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest minimum or maximum shown.
const SHOWN_CHARACTERS_MAX: usize = 64;

const NAMES: [&str; 8] = ["tables", "partitions", "blocks", "wal", "settings", "queries", "jobs", "triggers"];

/// Whether it is a table of this crate's.
pub(crate) fn is_own(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Names of the tables.
pub(crate) fn table_names(info: &SessionInfo) -> Vec<String> {
    let own = NAMES.iter().map(|n| (*n).to_owned());
    own.chain(of_extensions(info).iter().map(|table| table.name().to_owned())).collect()
}

/// A system table as a statement sees it.
pub(crate) fn table(
    info: &Arc<SessionInfo>,
    context: &Arc<StatementContext>,
    name: &str,
) -> Option<Arc<dyn TableProvider>> {
    let (kind, schema) = match NAMES.into_iter().find(|n| *n == name) {
        Some(own) => (Kind::Own(own), schema(own)),
        None => {
            let found = of_extensions(info).into_iter().find(|table| table.name() == name)?;
            let columns = found.columns();
            (Kind::Extension(found), schema_of(&columns))
        }
    };
    Some(Arc::new(SystemTable { kind, schema, info: Arc::clone(info), context: Arc::clone(context) }))
}

/// Tables of extensions.
fn of_extensions(info: &SessionInfo) -> Vec<Arc<dyn SystemRows>> {
    let Some(instance) = info.instance() else { return Vec::new() };
    instance.extensions().iter().flat_map(|extension| extension.system_tables()).collect()
}

/// The columns of a system table, for the catalogs that list them.
pub fn schema(name: &str) -> SchemaRef {
    const T: PgType = types::TEXT;
    const L: PgType = types::INT8;
    let columns: &[(&str, PgType)] = match name {
        "tables" => &[("schema", T), ("name", T), ("rows", L), ("bytes", L), ("blocks", L), ("mem_rows", L)],
        "partitions" => &[
            ("table_name", T),
            ("partition", T),
            ("segments", L),
            ("rows", L),
            ("dead_rows", L),
            ("bytes", L),
            ("min", T),
            ("max", T),
        ],
        "blocks" => &[
            ("table_name", T),
            ("block", L),
            ("column_name", T),
            ("rows", L),
            ("encoding", T),
            ("bytes", L),
            ("raw_bytes", L),
            ("ratio", types::FLOAT8),
            ("min", T),
            ("max", T),
        ],
        "wal" => &[
            ("last_lsn", L),
            ("durable_lsn", L),
            ("checkpoint_lsn", L),
            ("published", L),
            ("files", L),
            ("bytes", L),
            ("syncs", L),
            ("commits", L),
        ],
        "settings" => &[("name", T), ("value", T), ("description", T)],
        "jobs" => &[
            ("id", L),
            ("kind", T),
            ("target", T),
            ("schedule", types::INTERVAL),
            ("last_run", types::TIMESTAMPTZ),
            ("last_duration_ms", L),
            ("next_run", types::TIMESTAMPTZ),
            ("rows", L),
            ("runs", L),
            ("errors", L),
            ("last_error", T),
        ],
        "triggers" => &[
            ("schema", T),
            ("table_name", T),
            ("name", T),
            ("function", T),
            ("timing", T),
            ("events", T),
            ("level", T),
            ("enabled", types::BOOL),
            ("calls", L),
            ("rows", L),
            ("total_ms", types::FLOAT8),
            ("fuel", L),
            ("traps", L),
            ("memory_peak_bytes", L),
        ],
        _ => &[("id", L), ("process_id", types::INT4), ("user_name", T), ("started", types::TIMESTAMPTZ), ("query", T)],
    };
    schema_of(columns)
}

fn schema_of(columns: &[(&str, PgType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, pg)| column_field(name, *pg, true)).collect::<Vec<_>>()))
}

/// Whose table it is.
#[derive(Debug)]
enum Kind {
    Own(&'static str),
    Extension(Arc<dyn SystemRows>),
}

#[derive(Debug)]
struct SystemTable {
    kind: Kind,
    schema: SchemaRef,
    info: Arc<SessionInfo>,
    context: Arc<StatementContext>,
}

impl SystemTable {
    fn rows(&self) -> Result<RecordBatch> {
        let name = match &self.kind {
            Kind::Own(name) => *name,
            Kind::Extension(table) => {
                return Ok(RecordBatch::try_new(Arc::clone(&self.schema), table.rows(&self.context)?)?);
            }
        };
        let columns = match name {
            "tables" => self.tables()?,
            "partitions" => self.partitions()?,
            "blocks" => self.blocks()?,
            "wal" => self.wal(),
            "settings" => self.settings(),
            "jobs" => self.jobs(),
            "triggers" => self.triggers(),
            _ => self.queries(),
        };
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// The tables of this database, with the name of their schema.
    fn each_table(&self) -> impl Iterator<Item = (String, &Arc<Table>)> {
        let catalog = &self.context.catalog;
        catalog.schemas(self.context.database).flat_map(move |schema| {
            catalog.relations(schema.oid).filter_map(move |relation| match relation {
                Relation::Table(table) => Some((schema.name.clone(), table)),
                Relation::View(_) | Relation::Graph(_) => None,
            })
        })
    }

    fn tables(&self) -> Result<Vec<ArrayRef>> {
        let mut names: (Vec<String>, Vec<String>) = Default::default();
        let mut numbers: [Vec<i64>; 4] = Default::default();
        for (schema, table) in self.each_table() {
            let info = self.context.storage.table(table.storage_table())?;
            names.0.push(schema);
            names.1.push(table.name.clone());
            for (column, value) in numbers.iter_mut().zip([info.rows, info.bytes, info.blocks as u64, info.mem_rows]) {
                column.push(value as i64);
            }
        }
        let mut columns = vec![text(names.0), text(names.1)];
        columns.extend(numbers.into_iter().map(long));
        Ok(columns)
    }

    /// A row for each partition of each table that has them, and one for segments of several; what is in memory is not among them.
    fn partitions(&self) -> Result<Vec<ArrayRef>> {
        let zone = crate::text::datetime::utc();
        let (mut names, mut texts): (Vec<String>, [Vec<Option<String>>; 3]) = Default::default();
        let mut numbers: [Vec<i64>; 4] = Default::default();
        for (schema, table) in self.each_table() {
            let id = table.storage_table();
            let definition = self.context.storage.table(id)?.definition;
            let Some(by) = definition.partition else { continue };
            let data_type = definition.schema.field(by.column).data_type();
            let mut parts: BTreeMap<Option<i64>, Vec<SegmentRange>> = BTreeMap::new();
            for segment in self.context.storage.segment_ranges(id)? {
                parts.entry(segment.partition).or_default().push(segment);
            }
            for (partition, segments) in parts {
                let sum = |value: fn(&SegmentRange) -> u64| segments.iter().map(value).sum::<u64>() as i64;
                let ranges = || segments.iter().filter_map(|segment| segment.range.as_ref());
                let shown = |number: Option<i64>| shown_as(number, data_type, zone);
                names.push(shown_name(&schema, table));
                texts[0].push(shown(partition.and_then(|partition| by.start(partition, data_type))));
                texts[1].push(shown(ranges().map(|range| *range.start()).min()));
                texts[2].push(shown(ranges().map(|range| *range.end()).max()));
                let values = [segments.len() as i64, sum(|s| s.rows), sum(|s| s.dead_rows), sum(|s| s.bytes)];
                numbers.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
            }
        }
        let [partitions, min, max] =
            texts.map(|texts| Arc::new(texts.into_iter().collect::<StringViewArray>()) as ArrayRef);
        let mut columns = vec![text(names), partitions];
        columns.extend(numbers.into_iter().map(long));
        columns.extend([min, max]);
        Ok(columns)
    }

    fn blocks(&self) -> Result<Vec<ArrayRef>> {
        let zone = crate::text::datetime::utc();
        let mut texts: [Vec<String>; 3] = Default::default();
        let mut numbers: [Vec<i64>; 4] = Default::default();
        let mut bounds: [Vec<Option<String>>; 2] = Default::default();
        for (schema, table) in self.each_table() {
            let name = shown_name(&schema, table);
            for block in self.context.storage.blocks(table.storage_table())? {
                let Some(column) = table.columns.get(block.column) else { continue };
                texts[0].push(name.clone());
                texts[1].push(column.name.clone());
                texts[2].push(block.encoding);
                let values = [block.block as u64, block.rows, block.bytes, block.raw_bytes];
                for (column, value) in numbers.iter_mut().zip(values) {
                    column.push(value as i64);
                }
                bounds[0].push(shown(block.min.as_ref(), zone));
                bounds[1].push(shown(block.max.as_ref(), zone));
            }
        }
        let [table_names, column_names, encodings] = texts;
        let [blocks, rows, bytes, raw_bytes] = numbers;
        let ratio = |(raw, stored): (&i64, &i64)| (*stored > 0).then(|| *raw as f64 / *stored as f64);
        let ratios: Float64Array = raw_bytes.iter().zip(&bytes).map(ratio).collect();
        let [min, max] = bounds;
        Ok(vec![
            text(table_names),
            long(blocks),
            text(column_names),
            long(rows),
            text(encodings),
            long(bytes),
            long(raw_bytes),
            Arc::new(ratios),
            Arc::new(min.into_iter().collect::<StringViewArray>()),
            Arc::new(max.into_iter().collect::<StringViewArray>()),
        ])
    }

    fn wal(&self) -> Vec<ArrayRef> {
        let Some(instance) = self.info.instance() else { return (0..8).map(|_| long(Vec::new())).collect() };
        let status = instance.engine().wal_status();
        [
            status.last_lsn.0,
            status.durable_lsn.0,
            status.checkpoint_lsn.0,
            status.published.0,
            status.files as u64,
            status.bytes,
            status.syncs,
            status.commits,
        ]
        .into_iter()
        .map(|value| long(vec![value as i64]))
        .collect()
    }

    fn settings(&self) -> Vec<ArrayRef> {
        let rows = self.info.settings.all();
        vec![
            text(rows.iter().map(|r| r.name.clone()).collect()),
            text(rows.iter().map(|r| r.value.clone()).collect()),
            text(rows.iter().map(|r| r.description.to_owned()).collect()),
        ]
    }

    fn jobs(&self) -> Vec<ArrayRef> {
        let rows = self.info.instance().map(|instance| instance.jobs().rows(&instance)).unwrap_or_default();
        let stamps = |time: fn(&JobRow) -> Option<SystemTime>| -> ArrayRef {
            let stamps: TimestampMicrosecondArray = rows.iter().map(|row| time(row).map(micros)).collect();
            Arc::new(stamps.with_timezone("UTC"))
        };
        let longs = |number: fn(&JobRow) -> u64| long(rows.iter().map(|row| number(row) as i64).collect());
        let every = |row: &JobRow| IntervalMonthDayNano::new(0, 0, row.every.as_nanos() as i64);
        let errors = rows.iter().map(|row| row.last_error.as_deref());
        vec![
            longs(|row| u64::from(row.id)),
            text(rows.iter().map(|row| row.kind.clone()).collect()),
            text(rows.iter().map(|row| row.target.clone()).collect()),
            Arc::new(IntervalMonthDayNanoArray::from_iter_values(rows.iter().map(every))),
            stamps(|row| row.last_run),
            longs(|row| row.last_duration.as_millis() as u64),
            stamps(|row| Some(row.next_run)),
            longs(|row| row.rows),
            longs(|row| row.runs),
            longs(|row| row.errors),
            Arc::new(errors.collect::<StringViewArray>()),
        ]
    }

    /// Triggers with what they have done since the instance was opened.
    fn triggers(&self) -> Vec<ArrayRef> {
        let instance = self.info.instance();
        let mut texts: [Vec<String>; 7] = Default::default();
        let mut enabled = Vec::new();
        let mut numbers: [Vec<i64>; 2] = Default::default();
        let mut times: Vec<f64> = Vec::new();
        let mut used: [Vec<Option<i64>>; 3] = Default::default();
        for (schema, table) in self.each_table() {
            for trigger in &table.triggers {
                let function = self.context.catalog.function_by_oid(trigger.function);
                let events: Vec<&str> = trigger.events.iter().map(|event| event_name(*event)).collect();
                let row = [
                    schema.clone(),
                    table.name.clone(),
                    trigger.name.clone(),
                    function.map_or_else(String::new, |function| function.name.clone()),
                    timing_name(trigger.timing).to_owned(),
                    events.join(" OR "),
                    level_name(trigger.level).to_owned(),
                ];
                texts.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
                enabled.push(!trigger.is_disabled);
                let counts = instance.as_ref().map(|instance| instance.triggers().of(trigger.oid)).unwrap_or_default();
                numbers.iter_mut().zip([counts.calls, counts.rows]).for_each(|(column, n)| column.push(n as i64));
                times.push(counts.time.as_secs_f64() * 1e3);
                let usage = function.zip(instance.as_ref()).and_then(|(function, instance)| {
                    language(instance.extensions(), &function.language).ok()?.usage(function)
                });
                let fuel = usage.and_then(|usage| usage.fuel);
                let row = [fuel, usage.map(|usage| usage.traps), usage.map(|usage| usage.memory_peak_bytes)];
                used.iter_mut().zip(row).for_each(|(column, n)| column.push(n.map(|n| n as i64)));
            }
        }
        let mut columns: Vec<ArrayRef> = texts.into_iter().map(text).collect();
        columns.push(Arc::new(BooleanArray::from(enabled)));
        columns.extend(numbers.into_iter().map(long));
        columns.push(Arc::new(Float64Array::from(times)));
        columns.extend(used.into_iter().map(|column| Arc::new(Int64Array::from(column)) as ArrayRef));
        columns
    }

    fn queries(&self) -> Vec<ArrayRef> {
        let rows = self.info.instance().map(|i| i.active().rows()).unwrap_or_default();
        let started: TimestampMicrosecondArray = rows.iter().map(|r| Some(micros(r.started))).collect();
        vec![
            long(rows.iter().map(|r| r.id as i64).collect()),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.process_id))),
            text(rows.iter().map(|r| r.user.clone()).collect()),
            Arc::new(started.with_timezone("UTC")),
            text(rows.into_iter().map(|r| r.text).collect()),
        ]
    }
}

fn shown_name(schema: &str, table: &Table) -> String {
    if schema == "public" { table.name.clone() } else { format!("{schema}.{}", table.name) }
}

/// A number as a value of the type.
fn shown_as(number: Option<i64>, data_type: &DataType, zone: arrow::array::timezone::Tz) -> Option<String> {
    let number: ArrayRef = Arc::new(Int64Array::from(vec![number?]));
    let value = cast(&number, data_type).ok()?;
    shown(Some(&value), zone)
}

fn micros(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64)
}

fn text(values: Vec<String>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

fn long(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

fn shown(value: Option<&ArrayRef>, zone: arrow::array::timezone::Tz) -> Option<String> {
    let text = TextColumn::new(value?, zone).ok()?.value(0)?;
    Some(match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    })
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let batch = self.rows().map_err(|e| DataFusionError::External(Box::new(e)))?;
        let plan = MemorySourceConfig::try_new_exec(&[vec![batch]], self.schema(), projection.cloned())?;
        Ok(plan)
    }
}
