//! The values of one column while points come in, in the type that the column has or will have.
//!
//! A new column gets its type from the first value it sees. A value of another type fits when the column holds it exactly: an integer that is a
//! double precision number, a tag that reads as the column's type. [`ColumnRows::fit`] decides, [`ColumnRows::push`] then
//! cannot fail, so a line is taken whole or not at all. Points that leave a column out are NULLs, made up for when the next value comes.

use super::parser::{Text, Value, boolean, shown};
use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder,
    StringViewBuilder,
};
use lightning_catalog::{Column, Oid};
use lightning_sql::text::{ColumnBuilder, InputOptions};
use lightning_sql::types::{BOOL, FLOAT4, FLOAT8, INT2, INT4, INT8, PgType, TEXT, VARCHAR};
use lightning_sql::{Result, text};
use std::sync::Arc;

/// Where a value stands in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A tag: text, whatever it reads as.
    Tag,
    /// A field.
    Field,
}

/// The values of one column.
#[derive(Debug)]
pub(crate) struct ColumnRows {
    pub(crate) name: String,
    pub(crate) pg: PgType,
    /// Whether every point must give it a value.
    pub(crate) is_required: bool,
    /// Whether the table has it already.
    pub(crate) is_known: bool,
    /// The point that gave it a value last, counted over the whole request.
    pub(crate) given_by: usize,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Float64(Float64Builder),
    Float32(Float32Builder),
    Int64(Int64Builder),
    Int32(Int32Builder),
    Int16(Int16Builder),
    Boolean(BooleanBuilder),
    Text(StringViewBuilder),
    /// Any other type, by its text form, and how many values.
    Other(Box<ColumnBuilder>, usize),
}

/// A value in the form its column stores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fitted<'a> {
    Float(f64),
    Integer(i64),
    Boolean(bool),
    Text(Text<'a>),
    /// For its text form.
    Plain(Value<'a>),
}

impl ColumnRows {
    /// A column that a table has.
    pub(crate) fn known(column: &Column) -> Result<ColumnRows> {
        let pg = PgType::by_oid(column.type_oid.0).unwrap_or(TEXT).with_modifier(column.type_modifier);
        let is_required = column.not_null && column.default.is_none();
        Ok(ColumnRows { is_required, is_known: true, ..ColumnRows::new(&column.name, pg)? })
    }

    /// A column that there will be, for values like this one.
    pub(crate) fn first_seen(name: &str, value: &Value<'_>) -> Result<ColumnRows> {
        let pg = match value {
            Value::Float(_) => FLOAT8,
            Value::Integer(_) | Value::Unsigned(_) => INT8,
            Value::Boolean(_) => BOOL,
            Value::Text(_) => TEXT,
        };
        ColumnRows::new(name, pg)
    }

    fn new(name: &str, pg: PgType) -> Result<ColumnRows> {
        let is = |other: PgType| pg.oid == other.oid;
        let values = if is(FLOAT8) {
            Values::Float64(Float64Builder::new())
        } else if is(FLOAT4) {
            Values::Float32(Float32Builder::new())
        } else if is(INT8) {
            Values::Int64(Int64Builder::new())
        } else if is(INT4) {
            Values::Int32(Int32Builder::new())
        } else if is(INT2) {
            Values::Int16(Int16Builder::new())
        } else if is(BOOL) {
            Values::Boolean(BooleanBuilder::new())
        } else if is(TEXT) || is(VARCHAR) && pg.character_length().is_none() {
            Values::Text(StringViewBuilder::new())
        } else {
            Values::Other(Box::new(ColumnBuilder::new(pg, 0, options())?), 0)
        };
        Ok(ColumnRows { name: name.to_owned(), pg, is_required: false, is_known: false, given_by: 0, values })
    }

    /// The type's OID.
    pub(crate) fn type_oid(&self) -> Oid {
        Oid(self.pg.oid)
    }

    /// The value as the column holds it, or why it does not.
    pub(crate) fn fit<'a>(&self, role: Role, value: Value<'a>) -> std::result::Result<Fitted<'a>, String> {
        if let (Values::Text(_), Value::Text(text)) = (&self.values, value) {
            return Ok(Fitted::Text(text));
        }
        let value = match (role, value) {
            (Role::Tag, Value::Text(text)) => self.typed(text).ok_or_else(|| self.mismatch(role, &value))?,
            (_, value) => value,
        };
        let integer = match value {
            Value::Integer(number) => Some(number),
            Value::Unsigned(number) => Some(i64::try_from(number).map_err(|_| {
                format!("{number} is out of range for column \"{}\" of type {}", self.name, self.pg.sql_name())
            })?),
            _ => None,
        };
        let out_of_range = |number: String| {
            format!("{number} is out of range for column \"{}\" of type {}", self.name, self.pg.sql_name())
        };
        match (&self.values, value, integer) {
            (Values::Float64(_), Value::Float(number), _) => Ok(Fitted::Float(number)),
            (Values::Float32(_), Value::Float(number), _) if (number as f32).is_finite() => Ok(Fitted::Float(number)),
            (Values::Float32(_), Value::Float(number), _) => Err(out_of_range(number.to_string())),
            (Values::Float64(_), _, Some(number)) if i128::from(number) == number as f64 as i128 => {
                Ok(Fitted::Float(number as f64))
            }
            (Values::Float32(_), _, Some(number)) if i128::from(number) == number as f32 as i128 => {
                Ok(Fitted::Float(number as f64))
            }
            (Values::Float64(_) | Values::Float32(_), _, Some(number)) => Err(format!(
                "{number}i cannot be stored exactly in column \"{}\" of type {}",
                self.name,
                self.pg.sql_name()
            )),
            (Values::Int64(_), _, Some(number)) => Ok(Fitted::Integer(number)),
            (Values::Int32(_), _, Some(number)) => match i32::try_from(number) {
                Ok(_) => Ok(Fitted::Integer(number)),
                Err(_) => Err(out_of_range(number.to_string())),
            },
            (Values::Int16(_), _, Some(number)) => match i16::try_from(number) {
                Ok(_) => Ok(Fitted::Integer(number)),
                Err(_) => Err(out_of_range(number.to_string())),
            },
            (Values::Boolean(_), Value::Boolean(value), _) => Ok(Fitted::Boolean(value)),
            (Values::Other(..), value, _) if self.takes(&value) => {
                let mut buffer = String::new();
                ColumnBuilder::one(self.pg, Some(plain(&value, &mut buffer)), options())
                    .map_err(|e| format!("column \"{}\": {}", self.name, e.message()))?;
                Ok(Fitted::Plain(value))
            }
            _ => Err(self.mismatch(role, &value)),
        }
    }

    /// Whether the type's text form can stand for a value of this kind at all.
    fn takes(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Text(_) => true,
            Value::Boolean(_) => false,
            Value::Float(_) | Value::Integer(_) | Value::Unsigned(_) => {
                self.pg.oid == lightning_sql::types::NUMERIC.oid
            }
        }
    }

    /// A tag as the column's type reads it.
    fn typed<'a>(&self, tag: Text<'a>) -> Option<Value<'a>> {
        let mut buffer = String::new();
        let word = tag.read(&mut buffer);
        match &self.values {
            Values::Float64(_) | Values::Float32(_) => {
                word.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float)
            }
            Values::Int64(_) | Values::Int32(_) | Values::Int16(_) => word.parse().ok().map(Value::Integer),
            Values::Boolean(_) => boolean(word).map(Value::Boolean),
            Values::Text(_) | Values::Other(..) => Some(Value::Text(tag)),
        }
    }

    fn mismatch(&self, role: Role, value: &Value<'_>) -> String {
        let mut buffer = String::new();
        let (kind, value) = match (role, value) {
            (Role::Tag, _) => ("tag", shown(plain(value, &mut buffer))),
            (_, Value::Text(_)) => ("string", shown(plain(value, &mut buffer))),
            (_, Value::Float(number)) => ("float", number.to_string()),
            (_, Value::Integer(number)) => ("integer", format!("{number}i")),
            (_, Value::Unsigned(number)) => ("unsigned integer", format!("{number}u")),
            (_, Value::Boolean(value)) => ("boolean", value.to_string()),
        };
        format!("column \"{}\" is of type {} but the {kind} {value} is not", self.name, self.pg.sql_name())
    }

    /// Adds a value that fits as the one of row `row`; rows before it that have none are NULL.
    pub(crate) fn push(&mut self, row: usize, value: Fitted<'_>, buffer: &mut String) -> Result<()> {
        self.fill(row);
        match (&mut self.values, value) {
            (Values::Float64(values), Fitted::Float(number)) => values.append_value(number),
            (Values::Float32(values), Fitted::Float(number)) => values.append_value(number as f32),
            (Values::Int64(values), Fitted::Integer(number)) => values.append_value(number),
            (Values::Int32(values), Fitted::Integer(number)) => values.append_value(number as i32),
            (Values::Int16(values), Fitted::Integer(number)) => values.append_value(number as i16),
            (Values::Boolean(values), Fitted::Boolean(value)) => values.append_value(value),
            (Values::Text(values), Fitted::Text(text)) => values.append_value(text.read(buffer)),
            (Values::Other(values, count), Fitted::Plain(value)) => {
                values.append(plain(&value, buffer))?;
                *count += 1;
            }
            (_, value) => unreachable!("{value:?} was fitted to another column"),
        }
        Ok(())
    }

    /// NULLs up to row `row`.
    fn fill(&mut self, row: usize) {
        let missing = row - self.len();
        if missing == 0 {
            return;
        }
        match &mut self.values {
            Values::Float64(values) => values.append_nulls(missing),
            Values::Float32(values) => values.append_nulls(missing),
            Values::Int64(values) => values.append_nulls(missing),
            Values::Int32(values) => values.append_nulls(missing),
            Values::Int16(values) => values.append_nulls(missing),
            Values::Boolean(values) => values.append_nulls(missing),
            Values::Text(values) => (0..missing).for_each(|_| values.append_null()),
            Values::Other(values, count) => {
                (0..missing).for_each(|_| values.append_null());
                *count += missing;
            }
        }
    }

    fn len(&self) -> usize {
        match &self.values {
            Values::Float64(values) => values.len(),
            Values::Float32(values) => values.len(),
            Values::Int64(values) => values.len(),
            Values::Int32(values) => values.len(),
            Values::Int16(values) => values.len(),
            Values::Boolean(values) => values.len(),
            Values::Text(values) => values.len(),
            Values::Other(_, count) => *count,
        }
    }

    /// Whether no row has a value.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of `rows` rows.
    pub(crate) fn finish(&mut self, rows: usize) -> Result<ArrayRef> {
        self.fill(rows);
        Ok(match &mut self.values {
            Values::Float64(values) => Arc::new(values.finish()),
            Values::Float32(values) => Arc::new(values.finish()),
            Values::Int64(values) => Arc::new(values.finish()),
            Values::Int32(values) => Arc::new(values.finish()),
            Values::Int16(values) => Arc::new(values.finish()),
            Values::Boolean(values) => Arc::new(values.finish()),
            Values::Text(values) => Arc::new(values.finish()),
            Values::Other(values, _) => values.finish()?,
        })
    }
}

fn options() -> InputOptions {
    InputOptions { zone: text::datetime::utc() }
}

/// A value's text form.
fn plain<'b, 'a: 'b>(value: &Value<'a>, buffer: &'b mut String) -> &'b str {
    let number = match value {
        Value::Text(text) => return text.read(buffer),
        Value::Float(number) => number.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Unsigned(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
    };
    *buffer = number;
    buffer
}
