//! Loading Arrow batches without SQL.
//!
//! An [`Appender`] is one transaction on one table: what is pushed becomes visible, all at once, when
//! [`Appender::finish`] returns, and nothing of it is kept when the appender is dropped before. Batches go from the
//! caller's thread to the engine's encoders, so pushing costs little more than the cast to the column types, and
//! `push` waits when the encoders are behind.
//!
//! The table's rules hold as in INSERT: NOT NULL columns refuse NULLs (23502), a primary key that exists already is refused
//! at the end (23505), `varchar(n)` refuses longer strings (22001). Values are cast to the column types only where nothing can be lost without an error.

use crate::database::Database;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit, TimestampNanosecondType};
use lightning_catalog::{Relation, Snapshot, Table};
use lightning_sql::text::nanos;
use lightning_sql::types::pg_type;
use lightning_sql::unique::{Gone, NewKeys, UniqueKey};
use lightning_sql::{Error, Result, SqlState};
use lightning_storage::{TableMode, Transaction};
use std::sync::Arc;

/// The schema of a table named without one.
const DEFAULT_SCHEMA: &str = "public";
/// The database the embedded API works in.
const DEFAULT_DATABASE: &str = "lightning";

/// Adds Arrow batches to one table in one transaction. See [`Database::appender`].
///
/// ```no_run
/// # fn example(batch: arrow::array::RecordBatch) -> lightning::Result<()> {
/// let database = lightning::Database::open("./data")?;
/// let mut appender = database.appender("public.reading")?;
/// appender.push(batch)?;
/// let rows = appender.finish()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Appender {
    table: Arc<Table>,
    schema: SchemaRef,
    appender: lightning_storage::Appender,
    transaction: Transaction,
    keys: Vec<NewKeys>,
    /// Keeps the engine open.
    database: Database,
}

impl Database {
    /// Adds Arrow batches to a table, given as `table` or `schema.table`. See [`Appender`].
    pub fn appender(&self, table: &str) -> Result<Appender> {
        let instance = self.instance();
        let mut transaction = instance.engine().begin();
        let storage = transaction.snapshot();
        let catalog = instance.catalog().snapshot(&storage)?;
        let table = find_table(&catalog, table)?;
        let schema = Arc::clone(&storage.table(table.storage_table())?.definition.schema);
        let appender = transaction.appender(table.storage_table())?;
        let zone = lightning_sql::text::datetime::zone("UTC")?;
        let keys = UniqueKey::all(&table, zone).into_iter().map(NewKeys::new).collect();
        Ok(Appender { table, schema, appender, transaction, keys, database: self.clone() })
    }
}

impl Appender {
    /// The columns a batch must have, in this order; types may differ where a cast loses nothing.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Adds rows. Columns go by position. After an error the appender holds what it held before.
    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_columns() != self.schema.fields().len() {
            let message = format!(
                "table \"{}\" has {} columns, the batch has {}",
                self.table.name,
                self.schema.fields().len(),
                batch.num_columns()
            );
            return Err(Error::new(SqlState("42601"), message));
        }
        let columns = batch.columns().iter().zip(self.schema.fields()).map(|(column, field)| self.fit(column, field));
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|e| Error::new(SqlState("42804"), e.to_string()))?;
        self.appender.push(batch.clone())?;
        self.keys.iter_mut().try_for_each(|keys| keys.add(&batch))
    }

    /// Commits; returns when the rows are durable and visible. The number of rows added.
    pub fn finish(mut self) -> Result<u64> {
        let id = self.table.storage_table();
        self.transaction.lock_table(id, TableMode::RowExclusive).wait()?;
        for keys in &self.keys {
            if let Some(mut locking) = keys.lock(&self.transaction)? {
                locking.wait()?;
            }
        }
        let before = self.transaction.newest()?;
        let rows = self.appender.finish(&mut self.transaction)?;
        let none = Gone { snapshot: &before, places: &[] };
        self.keys.into_iter().try_for_each(|keys| keys.finish(&before, none, || self.transaction.newest()))?;
        let instance = self.database.instance();
        let catalog = instance.catalog().snapshot(&instance.engine().snapshot())?;
        lightning_sql::aggregates::mark(&mut self.transaction, &catalog)?;
        self.transaction.commit()?;
        Ok(rows)
    }

    /// A column as the table wants it.
    fn fit(&self, column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
        let position = self.table.column_index(field.name());
        let not_null = !field.is_nullable() || position.is_some_and(|i| self.table.columns[i].not_null);
        if not_null && column.logical_null_count() > 0 {
            let message = format!(
                "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                field.name(),
                self.table.name
            );
            return Err(Error::new(SqlState("23502"), message));
        }
        let column = match column.data_type() == field.data_type() {
            true => Arc::clone(column),
            false => cast(column, field)?,
        };
        check_length(&column, field)?;
        check_times(&column, field)?;
        Ok(column)
    }
}

/// `varchar(n)` and `char(n)` hold n characters.
fn check_length(column: &ArrayRef, field: &Field) -> Result<()> {
    let pg = pg_type(field);
    let (Some(characters_max), Some(strings)) = (pg.character_length(), column.as_string_view_opt()) else {
        return Ok(());
    };
    // A string has no more characters than bytes, so most need no counting.
    let too_long = |text: &str| text.len() > characters_max && text.chars().count() > characters_max;
    match strings.iter().flatten().any(too_long) {
        true => Err(Error::new(SqlState("22001"), format!("value too long for type {}", pg.sql_name()))),
        false => Ok(()),
    }
}

/// The ends of the integers are no times in nanoseconds.
fn check_times(column: &ArrayRef, field: &Field) -> Result<()> {
    if let Some(lists) = column.as_list_opt::<i32>() {
        let (first, end) = (lists.value_offsets()[0] as usize, lists.value_offsets()[lists.len()] as usize);
        return check_times(&lists.values().slice(first, end - first), field);
    }
    match column.as_primitive_opt::<TimestampNanosecondType>() {
        Some(times) if !times.iter().flatten().all(nanos::is_time) => Err(beyond(field)),
        _ => Ok(()),
    }
}

fn beyond(field: &Field) -> Error {
    let message = format!("column \"{}\": {}", field.name(), nanos::out_of_range().message());
    Error::new(nanos::out_of_range().state(), message)
}

/// Finds `table` or `schema.table`.
fn find_table(catalog: &Snapshot, name: &str) -> Result<Arc<Table>> {
    let (schema_name, table_name) = name.split_once('.').unwrap_or((DEFAULT_SCHEMA, name));
    let undefined = || Error::new(SqlState("42P01"), format!("relation \"{name}\" does not exist"));
    let database = catalog.database(DEFAULT_DATABASE).ok_or_else(undefined)?;
    let schema = catalog.schema(database.oid, schema_name).ok_or_else(undefined)?;
    match catalog.relation(schema.oid, table_name).ok_or_else(undefined)? {
        Relation::Table(table) => Ok(Arc::clone(table)),
        other => {
            let message = format!("\"{name}\" is a {}, not a table", other.kind());
            Err(Error::new(SqlState("42809"), message))
        }
    }
}

fn cast(column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    if !is_lossless(column.data_type(), field.data_type()) {
        let message = format!(
            "column \"{}\" is of type {} but the batch has {}",
            field.name(),
            field.data_type(),
            column.data_type()
        );
        return Err(Error::new(SqlState("42804"), message));
    }
    let options = CastOptions { safe: false, ..Default::default() };
    if matches!(field.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _)) {
        return cast_with_options(column, field.data_type(), &options).map_err(|_| beyond(field));
    }
    cast_with_options(column, field.data_type(), &options)
        .map_err(|e| Error::new(SqlState("22003"), format!("column \"{}\": {e}", field.name())))
}

/// Whether Arrow's checked cast keeps every value or fails: never rounds, truncates or shifts one.
fn is_lossless(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (Dictionary(_, value), to) => is_lossless(value, to),
        (from, to) if from == to || from.is_null() => true,
        (from, to) if from.is_integer() => to.is_integer() || is_exact_for_integers(from, to),
        (Float16, Float32 | Float64) | (Float32, Float64) => true,
        (Decimal32(_, from) | Decimal64(_, from) | Decimal128(_, from) | Decimal256(_, from), Decimal128(_, to)) => {
            from <= to
        }
        (Utf8 | LargeUtf8 | Utf8View, Utf8View) => true,
        (Binary | LargeBinary | BinaryView | FixedSizeBinary(_), BinaryView) => true,
        (Time32(_), Time64(TimeUnit::Microsecond)) => true,
        (Date32, Timestamp(TimeUnit::Microsecond, None)) => true,
        (Timestamp(unit, from), Timestamp(TimeUnit::Microsecond, to)) => {
            *unit != TimeUnit::Nanosecond && from.is_some() == to.is_some()
        }
        (Timestamp(_, from), Timestamp(TimeUnit::Nanosecond, to)) => from.is_some() == to.is_some(),
        (List(from) | LargeList(from) | FixedSizeList(from, _), List(to)) => {
            is_lossless(from.data_type(), to.data_type())
        }
        _ => false,
    }
}

/// Whether a type other than an integer holds every value of an integer type exactly (or the cast fails).
fn is_exact_for_integers(integer: &DataType, to: &DataType) -> bool {
    let bits = integer.primitive_width().unwrap_or(8) * 8;
    match to {
        DataType::Decimal128(_, _) => true,
        DataType::Float64 => bits <= 32,
        DataType::Float32 => bits <= 16,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_that_could_lose_something_are_refused() {
        use DataType::*;
        assert!(is_lossless(&Int64, &Int32), "narrowing is checked value by value");
        assert!(is_lossless(&Int64, &Decimal128(15, 2)));
        assert!(is_lossless(&Dictionary(Box::new(Int32), Box::new(Utf8)), &Utf8View));
        assert!(!is_lossless(&Int64, &Float64));
        assert!(!is_lossless(&Float64, &Int64));
        assert!(!is_lossless(&Decimal128(15, 4), &Decimal128(15, 2)));
        assert!(!is_lossless(&Timestamp(TimeUnit::Nanosecond, None), &Timestamp(TimeUnit::Microsecond, None)));
        assert!(is_lossless(&Timestamp(TimeUnit::Microsecond, None), &Timestamp(TimeUnit::Nanosecond, None)));
        assert!(!is_lossless(&Utf8, &Int32));
    }
}
