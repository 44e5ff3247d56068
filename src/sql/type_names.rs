//! Type names as SQL writes them, turned into PostgreSQL types, and DataFusion's hook for them.

use crate::error::{Error, Result};
use crate::sqlstate::{INVALID_PARAMETER_VALUE, UNDEFINED_OBJECT};
use crate::types::{self, PgType, checked_numeric, column_field};
use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, ObjectName, TimezoneInfo,
};

/// Longest `varchar(n)` and `char(n)`.
const CHARACTER_LENGTH_MAX: u64 = 10_485_760;

/// The PostgreSQL type `data_type` names. 42704 when there is none, 0A000 for types Lightning lacks.
pub(crate) fn sql_type(data_type: &DataType) -> Result<PgType> {
    Ok(match data_type {
        DataType::Bool | DataType::Boolean => types::BOOL,
        DataType::SmallInt(None) | DataType::Int2(None) | DataType::Int16 => types::INT2,
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) | DataType::Int32 => types::INT4,
        DataType::BigInt(None) | DataType::Int8(None) => types::INT8,
        DataType::Real | DataType::Float4 => types::FLOAT4,
        DataType::Double(ExactNumberInfo::None) | DataType::DoublePrecision | DataType::Float8 | DataType::Float64 => {
            types::FLOAT8
        }
        DataType::Float(info) => float(info)?,
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => numeric(info)?,
        DataType::Text => types::TEXT,
        DataType::Varchar(length)
        | DataType::CharacterVarying(length)
        | DataType::CharVarying(length)
        | DataType::Nvarchar(length) => character(types::VARCHAR, length.as_ref(), None)?,
        DataType::Char(length) | DataType::Character(length) => character(types::BPCHAR, length.as_ref(), Some(1))?,
        DataType::Bytea => types::BYTEA,
        DataType::Date => types::DATE,
        DataType::Time(precision, zone) => {
            if matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) {
                return Err(Error::unsupported("type time with time zone"));
            }
            fractional(types::TIME, *precision)?
        }
        DataType::Timestamp(precision, zone) => match zone {
            TimezoneInfo::Tz | TimezoneInfo::WithTimeZone => fractional(types::TIMESTAMPTZ, *precision)?,
            TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => fractional(types::TIMESTAMP, *precision)?,
        },
        DataType::TimestampNtz(precision) => fractional(types::TIMESTAMP, *precision)?,
        DataType::Interval { .. } => types::INTERVAL,
        DataType::Uuid => types::UUID,
        DataType::JSON => types::JSON,
        DataType::JSONB => types::JSONB,
        DataType::Regclass => types::REGCLASS,
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(inner, _)
            | ArrayElemTypeDef::AngleBracket(inner)
            | ArrayElemTypeDef::Parenthesis(inner),
        ) => {
            let element = sql_type(inner)?;
            if element.element().is_some() {
                return Ok(element);
            }
            element.array_of().ok_or_else(|| Error::unsupported(format!("an array of {}", element.sql_name())))?
        }
        DataType::Custom(name, modifiers) => custom(name, modifiers)?,
        other => return Err(unknown(&other.to_string())),
    })
}

fn custom(name: &ObjectName, modifiers: &[String]) -> Result<PgType> {
    let parts: Vec<String> = name
        .0
        .iter()
        .filter_map(|p| p.as_ident())
        .map(|i| if i.quote_style.is_some() { i.value.clone() } else { i.value.to_lowercase() })
        .collect();
    let word = match parts.as_slice() {
        [word] => word.as_str(),
        [schema, word] if schema == "pg_catalog" => word.as_str(),
        _ => return Err(unknown(&name.to_string())),
    };
    if matches!(word, "serial" | "bigserial" | "smallserial" | "serial2" | "serial4" | "serial8") {
        return Err(Error::unsupported(format!("type {word}"))
            .with_hint("Sequences do not exist yet; give the column a value in INSERT."));
    }
    if matches!(
        word,
        "money" | "xml" | "inet" | "cidr" | "macaddr" | "point" | "tsvector" | "tsquery" | "timetz" | "bit" | "varbit"
    ) {
        return Err(Error::unsupported(format!("type {word}")));
    }
    let pg = types::TYPES
        .iter()
        .find(|t| t.name == word)
        .and_then(|t| PgType::by_oid(t.oid))
        .or_else(|| {
            word.strip_prefix('_')
                .and_then(|w| types::TYPES.iter().find(|t| t.name == w))
                .and_then(|t| PgType::by_oid(t.array_oid))
        })
        .ok_or_else(|| unknown(word))?;
    match (pg.oid, modifiers) {
        (_, []) => Ok(pg),
        (1042 | 1043, [length]) => length_of(pg, length.parse().map_err(|_| unknown(word))?),
        (1700, [precision]) => checked_numeric(precision.parse().map_err(|_| unknown(word))?, 0),
        _ => {
            Err(Error::new(crate::sqlstate::SYNTAX_ERROR, format!("type modifier is not allowed for type \"{word}\"")))
        }
    }
}

fn unknown(name: &str) -> Error {
    Error::new(UNDEFINED_OBJECT, format!("type \"{}\" does not exist", name.to_lowercase()))
}

fn float(info: &ExactNumberInfo) -> Result<PgType> {
    match info {
        ExactNumberInfo::None => Ok(types::FLOAT8),
        ExactNumberInfo::Precision(1..=24) => Ok(types::FLOAT4),
        ExactNumberInfo::Precision(25..=53) => Ok(types::FLOAT8),
        _ => Err(Error::new(INVALID_PARAMETER_VALUE, "precision for type float must be between 1 and 53 bits")),
    }
}

fn numeric(info: &ExactNumberInfo) -> Result<PgType> {
    let clamp = |p: u64| i64::try_from(p).unwrap_or(i64::MAX);
    match info {
        ExactNumberInfo::None => Ok(types::NUMERIC),
        ExactNumberInfo::Precision(precision) => checked_numeric(clamp(*precision), 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => checked_numeric(clamp(*precision), *scale),
    }
}

fn character(pg: PgType, length: Option<&CharacterLength>, default: Option<u64>) -> Result<PgType> {
    let length = match length {
        None => default,
        Some(CharacterLength::IntegerLength { length, .. }) => Some(*length),
        Some(CharacterLength::Max) => None,
    };
    length.map_or(Ok(pg), |length| length_of(pg, length))
}

fn length_of(pg: PgType, length: u64) -> Result<PgType> {
    let name = if pg.oid == types::BPCHAR.oid { "char" } else { "varchar" };
    if length == 0 {
        return Err(Error::new(INVALID_PARAMETER_VALUE, format!("length for type {name} must be at least 1")));
    }
    if length > CHARACTER_LENGTH_MAX {
        let message = format!("length for type {name} cannot exceed {CHARACTER_LENGTH_MAX}");
        return Err(Error::new(INVALID_PARAMETER_VALUE, message));
    }
    Ok(pg.with_modifier(length as i32 + 4))
}

/// `timestamp(n)`: the digits of its seconds, 6 at most.
fn fractional(pg: PgType, precision: Option<u64>) -> Result<PgType> {
    Ok(precision.map_or(pg, |digits| pg.with_modifier(digits.min(6) as i32)))
}

/// Tells DataFusion's planner what type names mean.
#[derive(Debug)]
pub(crate) struct PgTypePlanner;

impl TypePlanner for PgTypePlanner {
    fn plan_type_field(&self, data_type: &DataType) -> datafusion::common::Result<Option<FieldRef>> {
        if matches!(data_type, DataType::Struct(..) | DataType::Map(..)) {
            return Ok(None);
        }
        let pg = sql_type(data_type).map_err(|e| DataFusionError::External(Box::new(e)))?;
        if pg.arrow_type().is_none() {
            return Err(DataFusionError::External(Box::new(unknown(&pg.sql_name()))));
        }
        Ok(Some(column_field("", pg, true)))
    }
}
