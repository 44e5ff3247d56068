//! Casts between PostgreSQL types, on whole columns.
//!
//! Arrow's cast kernels truncate where PostgreSQL rounds, wrap or yield NULL where it fails, and know no `varchar(n)`. This
//! module decides which casts exist in which [`Context`] and computes them as PostgreSQL does; Arrow's kernels do the work
//! where they agree.

use crate::error::{Error, Result};
use crate::precision::{self, Beyond};
use crate::sqlstate::{CANNOT_COERCE, NUMERIC_VALUE_OUT_OF_RANGE, UNDEFINED_FUNCTION};
use crate::text::{ColumnBuilder, InputOptions, TextColumn, datetime, number};
use crate::types::{self, PgType};
use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, ListArray, StringViewArray,
    StringViewBuilder, Time64MicrosecondArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use std::sync::Arc;

/// How a cast came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Context {
    /// INSERT and COPY: what PostgreSQL calls an assignment cast.
    Assignment,
    /// CAST, `::`, or a literal whose type was open.
    Explicit,
}

/// Families within which casts are alike.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Bool,
    Integer,
    Float,
    Numeric,
    Text,
    Json,
    Bytes,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    /// `timestamp_ns`, `timestamptz_ns`.
    Nanos,
    Interval,
    Uuid,
    Oid,
    Array,
    /// `int2vector`, `oidvector`: numbers with spaces between them.
    Vector,
    Other,
}

fn family(pg: PgType) -> Family {
    match pg.oid {
        16 => Family::Bool,
        20 | 21 | 23 => Family::Integer,
        700 | 701 => Family::Float,
        1700 => Family::Numeric,
        18 | 19 | 25 | 705 | 1042 | 1043 => Family::Text,
        114 | 3802 => Family::Json,
        17 => Family::Bytes,
        1082 => Family::Date,
        1083 => Family::Time,
        1114 => Family::Timestamp,
        1184 => Family::Timestamptz,
        _ if pg.is_nanos() => Family::Nanos,
        1186 => Family::Interval,
        2950 => Family::Uuid,
        24 | 26 | 28 | 2205 | 2206 | 4089 => Family::Oid,
        22 | 30 => Family::Vector,
        _ if pg.element().is_some() => Family::Array,
        _ => Family::Other,
    }
}

/// Whether `from` can become `to`. `from` may be `unknown`: a literal or parameter whose type is open.
pub(crate) fn exists(from: PgType, to: PgType, context: Context) -> bool {
    use Family::*;
    if from.oid == to.oid || from.oid == types::UNKNOWN.oid {
        return true;
    }
    let explicit = context == Context::Explicit;
    match (family(from), family(to)) {
        (_, Text) => true,
        (Text, _) => explicit,
        (Integer | Float | Numeric, Integer | Float | Numeric) => true,
        (Integer, Oid) | (Oid, Integer | Oid) => true,
        (Bool, Integer) | (Integer, Bool) => explicit && (from.oid == 23 || to.oid == 23),
        (Date, Timestamp | Timestamptz) => true,
        (Timestamp, Date | Time | Timestamptz) | (Timestamptz, Date | Time | Timestamp) => true,
        (Date | Timestamp | Timestamptz | Nanos, Nanos) => true,
        // Digits are lost only where it is asked for.
        (Nanos, Date | Time | Timestamp | Timestamptz) => explicit,
        (Time, Interval) | (Interval, Time) => true,
        (Json, Json) => true,
        (Vector, Array) => from.vector_as_array().is_some_and(|array| exists(array, to, context)),
        (Array, Array) => match (from.element(), to.element()) {
            (Some(from), Some(to)) => exists(from, to, context),
            _ => false,
        },
        _ => false,
    }
}

/// Casts a column.
pub(crate) fn convert(array: &ArrayRef, from: PgType, to: PgType, context: Context, zone: Tz) -> Result<ArrayRef> {
    let converted = any_precision(array, from, to, context, zone)?;
    if from == to || to.fraction_unit().is_none() {
        return Ok(converted);
    }
    Ok(match converted.data_type() {
        DataType::Time64(TimeUnit::Microsecond) => {
            let values = converted.as_primitive::<Time64MicrosecondType>();
            let rounded: Time64MicrosecondArray = values.unary(|v| to.rounded(v));
            Arc::new(rounded)
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let values = converted.as_primitive::<TimestampMicrosecondType>();
            let rounded: TimestampMicrosecondArray = values.unary(|v| to.rounded(v));
            Arc::new(rounded.with_timezone_opt(zone.clone()))
        }
        _ => converted,
    })
}

fn any_precision(array: &ArrayRef, from: PgType, to: PgType, context: Context, zone: Tz) -> Result<ArrayRef> {
    let Some(wanted) = to.arrow_type() else { return Err(Error::unsupported(format!("a cast to {}", to.sql_name()))) };
    if array.data_type() == &DataType::Null {
        return Ok(new_null_array(&wanted, array.len()));
    }
    use Family::*;
    match (family(from), family(to)) {
        _ if from.oid == to.oid && array.data_type() == &wanted && to.character_length().is_none() => {
            Ok(Arc::clone(array))
        }
        (Text, Text) => limit(array, to, context),
        (_, Text) => limit(&text_of(array, zone)?, to, context),
        (Text, _) => parse(array, to, zone),
        (Json, Json) => parse(array, to, zone),
        (Float, Integer) => checked(&round_float(array)?, &wanted, to),
        (Numeric, Integer) => checked(&rescaled(array, 38, 0)?, &wanted, to),
        (Numeric, Numeric) => numeric(array, to),
        (Float, Numeric) => float_to_numeric(array, to),
        (Integer, Numeric) => checked(array, &wanted, to),
        (Integer | Numeric | Float, Float) => checked_float(array, &wanted, to),
        (Integer, Integer) | (Integer, Oid) | (Oid, Integer | Oid) => checked(array, &wanted, to),
        (Bool, Integer) => Ok(cast(array, &wanted)?),
        (Integer, Bool) => Ok(cast(array, &wanted)?),
        (Date, Timestamptz) => {
            let local = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            to_utc(&local, zone)
        }
        (Timestamp, Timestamptz) => to_utc(&micros(array)?, zone),
        (Timestamptz, Timestamp) => to_local(array, zone),
        (Timestamptz, Date | Time) => Ok(cast(&to_local(array, zone)?, &wanted)?),
        (Date | Timestamp | Timestamptz | Nanos, Nanos) => precision::to_nanos(array, from, to, zone, Beyond::Fails),
        (Nanos, Date | Time | Timestamp | Timestamptz) => {
            let micros = precision::to_micros(array, from);
            any_precision(&micros, precision::in_micros(from), to, context, zone)
        }
        (Array, Array) => list(array, from, to, context, zone),
        (Vector, Array) => {
            let texts = string_view(array)?;
            let braced = texts.iter().map(|v| v.map(|v| format!("{{{}}}", v.trim().replace(' ', ","))));
            let braced: ArrayRef = Arc::new(braced.collect::<StringViewArray>());
            parse(&braced, to, zone)
        }
        _ => Ok(strict_cast(array, &wanted)?),
    }
}

/// The error when a cast does not exist.
pub(crate) fn cannot_cast(from: PgType, to: PgType) -> Error {
    Error::new(CANNOT_COERCE, format!("cannot cast type {} to {}", from.base_name(), to.base_name()))
}

/// `operator does not exist: integer = text`.
pub(crate) fn undefined_operator(op: &str, left: PgType, right: PgType) -> Error {
    let message = format!("operator does not exist: {} {op} {}", left.base_name(), right.base_name());
    Error::new(UNDEFINED_FUNCTION, message)
        .with_hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
}

fn strict_cast(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(array, wanted, &options)?)
}

/// Arrow's cast, which makes NULL of what does not fit; then that is an error.
fn checked(array: &ArrayRef, wanted: &DataType, to: PgType) -> Result<ArrayRef> {
    let result = cast(array, wanted)?;
    if result.null_count() == array.logical_null_count() {
        return Ok(result);
    }
    if to.oid == types::NUMERIC.oid {
        let (precision, scale) = to.precision_and_scale();
        return Err(number::decimal_overflow(precision, scale));
    }
    Err(Error::new(NUMERIC_VALUE_OUT_OF_RANGE, format!("{} out of range", to.base_name())))
}

fn checked_float(array: &ArrayRef, wanted: &DataType, to: PgType) -> Result<ArrayRef> {
    let result = cast(array, wanted)?;
    if let (Some(wide), Some(narrow)) =
        (array.as_primitive_opt::<Float64Type>(), result.as_primitive_opt::<Float32Type>())
    {
        let lost = wide.iter().zip(narrow.iter()).any(|(wide, narrow)| match (wide, narrow) {
            (Some(wide), Some(narrow)) => wide.is_finite() && narrow.is_infinite(),
            _ => false,
        });
        if lost {
            return Err(Error::new(NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"));
        }
    }
    if result.null_count() != array.null_count() {
        return Err(Error::new(NUMERIC_VALUE_OUT_OF_RANGE, format!("{} out of range", to.base_name())));
    }
    Ok(result)
}

/// Halves go to the even neighbour, as `rint` does.
fn round_float(array: &ArrayRef) -> Result<ArrayRef> {
    let wide = cast(array, &DataType::Float64)?;
    let rounded: Float64Array = wide.as_primitive::<Float64Type>().unary(f64::round_ties_even);
    // Arrow's cast saturates nothing, but it takes NaN for NULL, which `checked` reports.
    Ok(Arc::new(rounded))
}

fn float_to_numeric(array: &ArrayRef, to: PgType) -> Result<ArrayRef> {
    let (precision, scale) = to.precision_and_scale();
    let text = text_of(array, datetime::utc())?;
    let mut values = Vec::with_capacity(array.len());
    for value in text.as_string_view().iter() {
        values.push(value.map(|v| number::decimal(v, precision, scale)).transpose()?);
    }
    Ok(Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale)?))
}

fn numeric(array: &ArrayRef, to: PgType) -> Result<ArrayRef> {
    let (precision, scale) = to.precision_and_scale();
    rescaled(array, precision, scale)
}

/// Rounds half away from zero and checks the precision.
fn rescaled(array: &ArrayRef, precision: u8, scale: i8) -> Result<ArrayRef> {
    let Some(values) = array.as_primitive_opt::<Decimal128Type>() else {
        let wanted = DataType::Decimal128(precision, scale);
        let result = cast(array, &wanted)?;
        if result.null_count() != array.null_count() {
            return Err(number::decimal_overflow(precision, scale));
        }
        return Ok(result);
    };
    let (from_precision, from_scale) = (values.precision(), values.scale());
    let fits_always = from_scale == scale && from_precision <= precision;
    let result: Decimal128Array = if fits_always {
        values.clone()
    } else {
        values.try_unary(|value| {
            number::rescale(value, from_scale, scale)
                .filter(|v| number::fits(*v, precision))
                .ok_or_else(|| number::decimal_overflow(precision, scale))
        })?
    };
    Ok(Arc::new(result.with_precision_and_scale(precision, scale)?))
}

fn string_view(array: &ArrayRef) -> Result<StringViewArray> {
    Ok(match array.data_type() {
        DataType::Utf8View => array.as_string_view().clone(),
        _ => cast(array, &DataType::Utf8View)?.as_string_view().clone(),
    })
}

/// Applies `varchar(n)` and `char(n)`.
fn limit(array: &ArrayRef, to: PgType, context: Context) -> Result<ArrayRef> {
    let values = string_view(array)?;
    let padded = to.oid == types::BPCHAR.oid;
    let limit = to.character_length();
    if limit.is_none() && !padded {
        return Ok(Arc::new(values));
    }
    let limit = limit.unwrap_or(usize::MAX);
    let type_name = if padded { "character" } else { "character varying" };
    let fits = |v: &str| v.len() <= limit && !(padded && v.ends_with(' '));
    if values.iter().flatten().all(fits) {
        return Ok(Arc::new(values));
    }
    let mut builder = StringViewBuilder::with_capacity(values.len());
    for value in values.iter() {
        let Some(value) = value else {
            builder.append_null();
            continue;
        };
        let cut = match context {
            Context::Assignment => crate::text::limited(value, limit, type_name)?,
            Context::Explicit => value.char_indices().nth(limit).map_or(value, |(end, _)| &value[..end]),
        };
        builder.append_value(if padded { cut.trim_end_matches(' ') } else { cut });
    }
    Ok(Arc::new(builder.finish()))
}

fn text_of(array: &ArrayRef, zone: Tz) -> Result<ArrayRef> {
    if let Some(bools) = array.as_any().downcast_ref::<BooleanArray>() {
        let words = bools.iter().map(|b| b.map(|b| if b { "true" } else { "false" }));
        return Ok(Arc::new(words.collect::<StringViewArray>()));
    }
    Ok(Arc::new(TextColumn::new(array, zone)?.to_text()))
}

fn parse(array: &ArrayRef, to: PgType, zone: Tz) -> Result<ArrayRef> {
    let values = string_view(array)?;
    let mut builder = ColumnBuilder::new(to, values.len(), InputOptions { zone })?;
    for value in values.iter() {
        match value {
            Some(value) => builder.append(value)?,
            None => builder.append_null(),
        }
    }
    builder.finish()
}

fn micros(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?)
}

fn to_utc(array: &ArrayRef, zone: Tz) -> Result<ArrayRef> {
    let values = array.as_primitive::<TimestampMicrosecondType>();
    let shifted: TimestampMicrosecondArray = values.try_unary(|v| {
        datetime::to_utc(v, zone)
            .ok_or_else(|| Error::new(crate::sqlstate::DATETIME_FIELD_OVERFLOW, "timestamp out of range"))
    })?;
    Ok(Arc::new(shifted.with_timezone("UTC")))
}

fn to_local(array: &ArrayRef, zone: Tz) -> Result<ArrayRef> {
    let utc = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))?;
    let values = utc.as_primitive::<TimestampMicrosecondType>();
    let shifted: TimestampMicrosecondArray = values.unary(|v| datetime::to_local(v, zone));
    Ok(Arc::new(shifted.with_timezone_opt(None::<Arc<str>>)))
}

fn list(array: &ArrayRef, from: PgType, to: PgType, context: Context, zone: Tz) -> Result<ArrayRef> {
    let (Some(from), Some(to)) = (from.element(), to.element()) else { return Err(cannot_cast(from, to)) };
    let plain = match array.data_type() {
        DataType::List(_) => Arc::clone(array),
        DataType::LargeList(inner) | DataType::FixedSizeList(inner, _) => {
            cast(array, &DataType::List(Arc::clone(inner)))?
        }
        _ => return Err(cannot_cast(from, to)),
    };
    let list = plain.as_list::<i32>();
    if matches!(list.values().data_type(), DataType::List(_) | DataType::LargeList(_)) {
        return Err(Error::unsupported("a multidimensional array"));
    }
    let values = convert(list.values(), from, to, context, zone)?;
    let item = types::list_item(values.data_type().clone());
    Ok(Arc::new(ListArray::try_new(item, list.offsets().clone(), values, list.nulls().cloned())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int32Array;
    use arrow::datatypes::{Int16Type, Int32Type};

    fn to(array: ArrayRef, from: PgType, to: PgType, context: Context) -> Result<ArrayRef> {
        convert(&array, from, to, context, datetime::utc())
    }

    #[test]
    fn numbers_round_as_postgresql_rounds() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 1.5, -2.5, 2.6]));
        let ints = to(floats, types::FLOAT8, types::INT2, Context::Explicit).unwrap();
        assert_eq!(ints.as_primitive::<Int16Type>().values(), &[0, 2, -2, 3]);
        let decimals: ArrayRef =
            Arc::new(Decimal128Array::from(vec![25, -25, 24]).with_precision_and_scale(10, 1).unwrap());
        let ints = to(decimals, types::NUMERIC, types::INT4, Context::Assignment).unwrap();
        assert_eq!(ints.as_primitive::<Int32Type>().values(), &[3, -3, 2]);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let ints: ArrayRef = Arc::new(Int32Array::from(vec![40_000]));
        let e = to(ints, types::INT4, types::INT2, Context::Assignment).unwrap_err();
        assert_eq!((e.state().0, e.message()), ("22003", "smallint out of range"));
        let ints: ArrayRef = Arc::new(Int32Array::from(vec![1000]));
        let e = to(ints, types::INT4, PgType::numeric(4, 2), Context::Assignment).unwrap_err();
        assert_eq!((e.state().0, e.message()), ("22003", "numeric field overflow"));
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN]));
        assert_eq!(to(floats, types::FLOAT8, types::INT4, Context::Explicit).unwrap_err().state().0, "22003");
    }

    #[test]
    fn lengths_cut_or_fail_by_context() {
        let text: ArrayRef = Arc::new(StringViewArray::from(vec!["abcdef"]));
        let varchar = types::VARCHAR.with_modifier(4 + 3);
        let cut = to(Arc::clone(&text), types::TEXT, varchar, Context::Explicit).unwrap();
        assert_eq!(cut.as_string_view().value(0), "abc");
        assert_eq!(to(text, types::TEXT, varchar, Context::Assignment).unwrap_err().state().0, "22001");
    }

    #[test]
    fn text_becomes_other_types_only_when_asked() {
        assert!(!exists(types::TEXT, types::INT4, Context::Assignment));
        assert!(exists(types::TEXT, types::INT4, Context::Explicit));
        assert!(exists(types::UNKNOWN, types::INT4, Context::Assignment));
        assert!(!exists(types::BOOL, types::NUMERIC, Context::Explicit));
        assert!(!exists(types::TIMESTAMP_NS, types::TIMESTAMP, Context::Assignment));
        assert!(exists(types::TIMESTAMP_NS, types::DATE, Context::Explicit));
        assert!(exists(types::TIMESTAMP, types::TIMESTAMPTZ_NS, Context::Assignment));
        assert!(exists(types::DATE, types::TIMESTAMPTZ, Context::Assignment));
    }
}
