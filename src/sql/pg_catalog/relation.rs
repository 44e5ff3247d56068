//! System relations: what columns they have, and how their rows become batches.
//!
//! The columns come from `relations.txt`, which lists every relation of PostgreSQL 15's two system schemas, so each of
//! them exists here with the right columns and types. Which rows a relation has is decided by its name
//! ([`super::rows`]); those that describe features Lightning does not have are empty.

use crate::types::{PgType, arrow_field};
use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder,
    Int64Builder, ListBuilder, RecordBatch, RecordBatchOptions, StringViewBuilder, TimestampMicrosecondBuilder,
    UInt32Builder, new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// A column of a system relation.
#[derive(Debug)]
pub struct SystemColumn {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub pg: PgType,
    /// Whether it is never NULL.
    pub not_null: bool,
}

/// A relation of `pg_catalog` or `information_schema`.
#[derive(Debug)]
pub struct SystemRelation {
    /// Name of its schema.
    pub schema: &'static str,
    /// Name.
    pub name: &'static str,
    /// `pg_class.oid`, PostgreSQL's own.
    pub oid: u32,
    /// Whether PostgreSQL has it as a view.
    pub is_view: bool,
    /// Columns.
    pub columns: Vec<SystemColumn>,
    /// The same as an Arrow schema.
    pub arrow: SchemaRef,
}

/// Every system relation, by schema and name.
pub fn all() -> &'static [SystemRelation] {
    static RELATIONS: OnceLock<Vec<SystemRelation>> = OnceLock::new();
    RELATIONS.get_or_init(|| {
        let lines = include_str!("relations.txt").lines();
        lines.filter(|line| !line.starts_with('#')).filter_map(parse_relation).collect()
    })
}

/// The relation with this name.
pub fn find(schema: &str, name: &str) -> Option<&'static SystemRelation> {
    static BY_NAME: OnceLock<HashMap<(&'static str, &'static str), usize>> = OnceLock::new();
    let by_name = BY_NAME.get_or_init(|| all().iter().enumerate().map(|(i, r)| ((r.schema, r.name), i)).collect());
    by_name.get(&(schema, name)).and_then(|i| all().get(*i))
}

fn parse_relation(line: &'static str) -> Option<SystemRelation> {
    let mut words = line.split(' ');
    let (schema, name) = (words.next()?, words.next()?);
    let oid = words.next()?.parse().ok()?;
    let is_view = words.next()? == "v";
    let columns: Vec<SystemColumn> = words.filter_map(parse_column).collect();
    let fields: Vec<Field> = columns.iter().map(field).collect();
    Some(SystemRelation { schema, name, oid, is_view, columns, arrow: Arc::new(Schema::new(fields)) })
}

fn parse_column(text: &'static str) -> Option<SystemColumn> {
    let (name, oid) = text.rsplit_once(':')?;
    let (oid, not_null) = match oid.strip_suffix('!') {
        Some(oid) => (oid, true),
        None => (oid, false),
    };
    Some(SystemColumn { name, pg: PgType::by_oid(oid.parse().ok()?)?, not_null })
}

fn field(column: &SystemColumn) -> Field {
    arrow_field(column.name, column.pg, true).unwrap_or_else(|| Field::new(column.name, DataType::Utf8View, true))
}

/// One value of a system relation.
#[derive(Clone, Debug)]
pub enum Value {
    /// NULL.
    Null,
    /// `boolean`.
    Bool(bool),
    /// Any integer or OID.
    Int(i64),
    /// `real` and `double precision`.
    Float(f64),
    /// Any string.
    Text(String),
    /// `bytea`.
    Bytes(Vec<u8>),
    /// Microseconds since 1970 of a `timestamptz`.
    Time(i64),
    /// An array of strings.
    Texts(Vec<String>),
    /// An array of integers or OIDs.
    Ints(Vec<i64>),
}

macro_rules! value_from {
    ($($from:ty => |$v:ident| $to:expr),* $(,)?) => {
        $(impl From<$from> for Value { fn from($v: $from) -> Self { $to } })*
    };
}

value_from! {
    bool => |v| Value::Bool(v),
    i16 => |v| Value::Int(i64::from(v)),
    i32 => |v| Value::Int(i64::from(v)),
    u32 => |v| Value::Int(i64::from(v)),
    i64 => |v| Value::Int(v),
    f64 => |v| Value::Float(v),
    char => |v| Value::Text(v.to_string()),
    &str => |v| Value::Text(v.to_owned()),
    &String => |v| Value::Text(v.clone()),
    String => |v| Value::Text(v),
    Vec<String> => |v| Value::Texts(v),
    Vec<i64> => |v| Value::Ints(v),
    lightning_catalog::Oid => |v| Value::Int(i64::from(v.0)),
}

/// As `information_schema` says it.
pub fn yes_or_no(yes: bool) -> Value {
    if yes { "YES" } else { "NO" }.into()
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// Rows of a system relation under construction. Columns that are not given are NULL, or their type's zero.
#[derive(Debug)]
pub struct Rows {
    relation: &'static SystemRelation,
    positions: HashMap<&'static str, usize>,
    rows: Vec<Vec<Value>>,
}

impl Rows {
    /// No rows yet.
    pub fn new(relation: &'static SystemRelation) -> Self {
        let positions = relation.columns.iter().enumerate().map(|(i, column)| (column.name, i)).collect();
        Rows { relation, positions, rows: Vec::new() }
    }

    /// Adds a row, given by column names; names the relation does not have are ignored.
    pub fn push<const N: usize>(&mut self, values: [(&str, Value); N]) {
        let mut row: Vec<Value> = self.relation.columns.iter().map(default_value).collect();
        for (name, value) in values {
            debug_assert!(self.positions.contains_key(name), "{} has no column {name}", self.relation.name);
            if let Some(position) = self.positions.get(name) {
                row[*position] = value;
            }
        }
        self.rows.push(row);
    }

    /// The rows as one batch.
    pub fn finish(self) -> Result<RecordBatch> {
        let fields = self.relation.arrow.fields();
        let columns = fields
            .iter()
            .enumerate()
            .map(|(i, field)| array(field.data_type(), self.rows.iter().map(|row| &row[i])))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.relation.arrow), columns, &options)?)
    }
}

fn default_value(column: &SystemColumn) -> Value {
    if !column.not_null {
        return Value::Null;
    }
    match column.pg.oid {
        16 => Value::Bool(false),
        18 | 19 | 22 | 25 | 30 | 194 => Value::Text(String::new()),
        17 => Value::Bytes(Vec::new()),
        700 | 701 => Value::Float(0.0),
        1005 | 1028 => Value::Ints(Vec::new()),
        1002 | 1003 | 1009 => Value::Texts(Vec::new()),
        _ => Value::Int(0),
    }
}

macro_rules! build {
    ($builder:expr, $values:ident, $($pattern:pat => $value:expr),*) => {{
        let mut builder = $builder;
        for value in $values {
            match value {
                $($pattern => builder.append_value($value),)*
                Value::Null => builder.append_null(),
                other => return Err(mismatch(other)),
            }
        }
        Arc::new(builder.finish()) as ArrayRef
    }};
}

macro_rules! build_list {
    ($builder:expr, $item:ident, $values:ident, $pattern:pat => $elements:expr) => {{
        let mut builder = ListBuilder::new($builder).with_field(Arc::clone($item));
        for value in $values {
            match value {
                $pattern => builder.append_value($elements),
                Value::Null => builder.append_null(),
                other => return Err(mismatch(other)),
            }
        }
        Arc::new(builder.finish()) as ArrayRef
    }};
}

/// Values as an array of a type.
pub fn array<'a>(data_type: &DataType, values: impl Iterator<Item = &'a Value> + Clone) -> Result<ArrayRef> {
    Ok(match data_type {
        DataType::Boolean => build!(BooleanBuilder::new(), values, Value::Bool(v) => *v),
        DataType::Int16 => build!(Int16Builder::new(), values, Value::Int(v) => *v as i16),
        DataType::Int32 => build!(Int32Builder::new(), values, Value::Int(v) => *v as i32),
        DataType::Int64 => build!(Int64Builder::new(), values, Value::Int(v) => *v),
        DataType::UInt32 => build!(UInt32Builder::new(), values, Value::Int(v) => *v as u32),
        DataType::Float32 => build!(Float32Builder::new(), values, Value::Float(v) => *v as f32),
        DataType::Float64 => build!(Float64Builder::new(), values, Value::Float(v) => *v),
        DataType::Utf8View => build!(StringViewBuilder::new(), values, Value::Text(v) => v),
        DataType::BinaryView => build!(BinaryViewBuilder::new(), values, Value::Bytes(v) => v),
        DataType::Timestamp(_, zone) => {
            let builder = TimestampMicrosecondBuilder::new().with_timezone_opt(zone.clone());
            build!(builder, values, Value::Time(v) => *v)
        }
        DataType::List(item) => match item.data_type() {
            DataType::Utf8View => {
                build_list!(StringViewBuilder::new(), item, values, Value::Texts(texts) => texts.iter().map(Some))
            }
            DataType::Int64 => {
                build_list!(Int64Builder::new(), item, values, Value::Ints(ints) => ints.iter().map(|v| Some(*v)))
            }
            DataType::UInt32 => {
                build_list!(UInt32Builder::new(), item, values, Value::Ints(ints) => ints.iter().map(|v| Some(*v as u32)))
            }
            DataType::Int16 => {
                build_list!(Int16Builder::new(), item, values, Value::Ints(ints) => ints.iter().map(|v| Some(*v as i16)))
            }
            _ => new_null_array(data_type, values.count()),
        },
        other => new_null_array(other, values.count()),
    })
}

fn mismatch(value: &Value) -> DataFusionError {
    DataFusionError::Internal(format!("system relation: {value:?} does not fit its column"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_describes_a_relation() {
        let lines = include_str!("relations.txt").lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(all().len(), lines);
        let class = find("pg_catalog", "pg_class").expect("pg_class");
        assert_eq!(class.oid, 1259);
        assert_eq!(class.columns[1].name, "relname");
        assert!(class.columns[1].not_null);
    }

    #[test]
    fn defaults_fit_their_columns() {
        for relation in all() {
            let mut rows = Rows::new(relation);
            rows.push([]);
            let batch = rows.finish().unwrap_or_else(|e| panic!("{}: {e}", relation.name));
            assert_eq!(batch.num_rows(), 1);
        }
    }
}
