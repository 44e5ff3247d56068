//! Functions of one row as plain Rust functions over [`Datum`]s: for what is called on thousands of rows, not on billions.
//!
//! A function has overloads, each a list of argument types and a result type. An overload fits when every argument either
//! has its type or can be read as it (an integer as a float, a text literal or NULL as anything); the first that fits
//! with the fewest conversions is taken. Unless marked lenient, functions are strict: NULL in, NULL out.

use crate::text::calendar::MICROS_PER_DAY;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::array::{
    BinaryViewBuilder, BooleanBuilder, Date32Builder, FixedSizeBinaryBuilder, Float32Builder, Float64Builder,
    Int16Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, StringViewBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder, TimestampNanosecondBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Datum {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Digits and scale.
    Decimal(i128, i8),
    Text(String),
    Bytes(Vec<u8>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01, local or UTC.
    Moment(i64),
    /// Nanoseconds since 1970-01-01, local or, of an instant, UTC.
    Nanos {
        nanos: i64,
        is_instant: bool,
    },
    Interval(IntervalMonthDayNano),
}

/// A type of arguments and results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int8,
    Float8,
    Numeric,
    Text,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    TimestampNs,
    TimestamptzNs,
    Interval,
    Uuid,
}

impl Type {
    fn arrow(self) -> DataType {
        match self {
            Type::Bool => DataType::Boolean,
            Type::Int8 => DataType::Int64,
            Type::Float8 => DataType::Float64,
            Type::Numeric => DataType::Decimal128(38, 10),
            Type::Text => DataType::Utf8View,
            Type::Date => DataType::Date32,
            Type::Time => DataType::Time64(TimeUnit::Microsecond),
            Type::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Type::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Type::TimestampNs => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Type::TimestamptzNs => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            Type::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Type::Uuid => DataType::FixedSizeBinary(16),
        }
    }

    /// How far `given` is from this type: 0 the same, more for conversions, `None` when there is none.
    fn distance(self, given: &DataType) -> Option<u32> {
        let text = matches!(given, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let decimal = matches!(given, DataType::Decimal128(..) | DataType::Decimal256(..));
        match (self, given) {
            (_, DataType::Null) => Some(1),
            (Type::Text, _) if text => Some(0),
            (_, _) if text => Some(5),
            (Type::Int8, _) if given.is_integer() => Some(0),
            (Type::Numeric, _) if decimal => Some(0),
            (Type::Numeric, _) if given.is_integer() => Some(1),
            (Type::Float8, _) if given.is_floating() => Some(0),
            (Type::Float8, _) if given.is_integer() || decimal => Some(2),
            (Type::Date, DataType::Date32) => Some(0),
            (Type::TimestampNs, DataType::Timestamp(TimeUnit::Nanosecond, None)) => Some(0),
            (Type::TimestamptzNs, DataType::Timestamp(TimeUnit::Nanosecond, Some(_))) => Some(0),
            // Digits are lost only where it is asked for.
            (_, DataType::Timestamp(TimeUnit::Nanosecond, _)) => None,
            (Type::Timestamp, DataType::Timestamp(_, None)) => Some(0),
            (Type::Timestamptz, DataType::Timestamp(_, Some(_))) => Some(0),
            (Type::Timestamp, DataType::Date32) => Some(1),
            (Type::Timestamptz, DataType::Date32 | DataType::Timestamp(_, None)) => Some(2),
            (Type::Time, DataType::Time64(_) | DataType::Time32(_)) => Some(0),
            (Type::Interval, DataType::Interval(_) | DataType::Duration(_)) => Some(0),
            _ => (self.arrow() == *given).then_some(0),
        }
    }

    /// The Arrow type an argument is brought to: decimals keep their own precision and scale.
    fn coerced(self, given: &DataType) -> DataType {
        match (self, given) {
            (Type::Numeric, DataType::Decimal128(..)) => given.clone(),
            (Type::Numeric, _) if given.is_integer() => DataType::Decimal128(20, 0),
            _ => self.arrow(),
        }
    }
}

/// What a function may ask of its statement.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// Zone of the session.
    pub(super) zone: String,
}

type Body = fn(&Context, &[Datum]) -> Result<Datum>;

/// One function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Definition {
    pub(super) name: &'static str,
    pub(super) overloads: &'static [(&'static [Type], Type)],
    pub(super) strict: bool,
    pub(super) volatility: Volatility,
    pub(super) body: Body,
}

impl Definition {
    /// A strict function that always gives the same for the same arguments.
    pub(super) const fn new(
        name: &'static str,
        overloads: &'static [(&'static [Type], Type)],
        body: Body,
    ) -> Definition {
        Definition { name, overloads, strict: true, volatility: Volatility::Immutable, body }
    }

    /// The same, but handed NULLs.
    pub(super) const fn lenient(self) -> Definition {
        Definition { strict: false, ..self }
    }

    /// The same, with results that hold within a statement only.
    pub(super) const fn stable(self) -> Definition {
        Definition { volatility: Volatility::Stable, ..self }
    }

    /// The same, with another result at each call.
    pub(super) const fn volatile(self) -> Definition {
        Definition { volatility: Volatility::Volatile, ..self }
    }

    /// As DataFusion wants it.
    pub(super) fn udf(self) -> ScalarUDF {
        ScalarUDF::new_from_impl(RowFunction { signature: Signature::user_defined(self.volatility), definition: self })
    }

    fn overload(&self, given: &[DataType]) -> Option<&'static (&'static [Type], Type)> {
        let distance = |types: &[Type]| {
            let distances = types.iter().zip(given).map(|(wanted, given)| wanted.distance(given));
            distances.sum::<Option<u32>>()
        };
        let fitting = self.overloads.iter().filter(|(types, _)| types.len() == given.len());
        fitting.filter_map(|overload| Some((distance(overload.0)?, overload))).min_by_key(|(d, _)| *d).map(|(_, o)| o)
    }
}

#[derive(Debug)]
struct RowFunction {
    definition: Definition,
    signature: Signature,
}

impl PartialEq for RowFunction {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name
    }
}

impl Eq for RowFunction {}

impl Hash for RowFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

impl ScalarUDFImpl for RowFunction {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let Some((types, _)) = self.definition.overload(given) else {
            let names: Vec<String> = given.iter().map(|given| crate::types::from_arrow(given).sql_name()).collect();
            return plan_err!("function {}({}) does not exist", self.definition.name, names.join(", "));
        };
        Ok(types.iter().zip(given).map(|(wanted, given)| wanted.coerced(given)).collect())
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        match self.definition.overload(given) {
            Some((_, result)) => Ok(result.arrow()),
            None => plan_err!("function {} does not take these arguments", self.definition.name),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_scalar = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let constant = all_scalar && self.definition.volatility != Volatility::Volatile;
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|argument| Column::of(argument, rows)).collect::<Result<Vec<_>>>()?;
        let zone = args.config_options.execution.time_zone.clone().unwrap_or_else(|| "UTC".to_owned());
        let context = Context { zone };
        let mut results = Vec::with_capacity(rows);
        let mut row_values = Vec::with_capacity(columns.len());
        for row in 0..rows {
            row_values.clear();
            row_values.extend(columns.iter().map(|column| column.get(row)));
            let null = self.definition.strict && row_values.iter().any(|value| matches!(value, Datum::Null));
            results.push(if null { Datum::Null } else { (self.definition.body)(&context, &row_values)? });
        }
        let array = build(args.return_field.data_type(), results)?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
        } else {
            ColumnarValue::Array(array)
        })
    }
}

/// An argument's values.
pub(super) struct Column(pub(super) ArrayRef);

impl Column {
    fn of(argument: &ColumnarValue, rows: usize) -> Result<Column> {
        let array = argument.to_array(rows)?;
        Ok(Column(match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 => cast(&array, &DataType::Utf8View)?,
            _ => array,
        }))
    }

    pub(super) fn get(&self, row: usize) -> Datum {
        let array = &self.0;
        if array.is_null(row) {
            return Datum::Null;
        }
        match array.data_type() {
            DataType::Boolean => Datum::Bool(array.as_boolean().value(row)),
            DataType::Int64 => Datum::Int(array.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Datum::Float(array.as_primitive::<Float64Type>().value(row)),
            DataType::Decimal128(_, scale) => Datum::Decimal(array.as_primitive::<Decimal128Type>().value(row), *scale),
            DataType::Utf8View => Datum::Text(array.as_string_view().value(row).to_owned()),
            DataType::BinaryView => Datum::Bytes(array.as_binary_view().value(row).to_vec()),
            DataType::Date32 => Datum::Date(array.as_primitive::<Date32Type>().value(row)),
            DataType::Time64(TimeUnit::Microsecond) => {
                Datum::Time(array.as_primitive::<Time64MicrosecondType>().value(row))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Datum::Moment(array.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => Datum::Nanos {
                nanos: array.as_primitive::<TimestampNanosecondType>().value(row),
                is_instant: zone.is_some(),
            },
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                Datum::Interval(array.as_primitive::<IntervalMonthDayNanoType>().value(row))
            }
            _ => Datum::Null,
        }
    }
}

macro_rules! collect {
    ($builder:expr, $values:ident, $pattern:pat => $value:expr) => {{
        let mut builder = $builder;
        for value in $values {
            match value {
                $pattern => builder.append_value($value),
                Datum::Null => builder.append_null(),
                other => return exec_err!("a function returned {other:?}, which is not of its result type"),
            }
        }
        Arc::new(builder.finish()) as ArrayRef
    }};
}

/// The results of a function as an array.
pub(super) fn build(data_type: &DataType, values: Vec<Datum>) -> Result<ArrayRef> {
    Ok(match data_type {
        DataType::Boolean => collect!(BooleanBuilder::new(), values, Datum::Bool(v) => v),
        DataType::Int16 => collect!(Int16Builder::new(), values, Datum::Int(v) => v as i16),
        DataType::Float32 => collect!(Float32Builder::new(), values, Datum::Float(v) => v as f32),
        DataType::Int32 => collect!(Int32Builder::new(), values, Datum::Int(v) => v as i32),
        DataType::Int64 => collect!(Int64Builder::new(), values, Datum::Int(v) => v),
        DataType::Float64 => collect!(Float64Builder::new(), values, Datum::Float(v) => v),
        DataType::Utf8View => collect!(StringViewBuilder::new(), values, Datum::Text(v) => v),
        DataType::BinaryView => collect!(BinaryViewBuilder::new(), values, Datum::Bytes(v) => v),
        DataType::Date32 => collect!(Date32Builder::new(), values, Datum::Date(v) => v),
        DataType::Time64(_) => collect!(Time64MicrosecondBuilder::new(), values, Datum::Time(v) => v),
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            let builder = TimestampNanosecondBuilder::new().with_timezone_opt(zone.clone());
            collect!(builder, values, Datum::Nanos { nanos, .. } => nanos)
        }
        DataType::Timestamp(_, zone) => {
            let builder = TimestampMicrosecondBuilder::new().with_timezone_opt(zone.clone());
            collect!(builder, values, Datum::Moment(v) => v)
        }
        DataType::Interval(_) => collect!(IntervalMonthDayNanoBuilder::new(), values, Datum::Interval(v) => v),
        DataType::Decimal128(precision, scale) => {
            let scaled = values
                .into_iter()
                .map(|value| match value {
                    Datum::Decimal(digits, from) => {
                        crate::text::number::rescale(digits, from, *scale).map(Some).ok_or_else(out_of_range)
                    }
                    _ => Ok(None),
                })
                .collect::<Result<Vec<Option<i128>>>>()?;
            let array = arrow::array::Decimal128Array::from(scaled);
            Arc::new(array.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::FixedSizeBinary(16) => {
            let mut builder = FixedSizeBinaryBuilder::with_capacity(values.len(), 16);
            for value in values {
                match value {
                    Datum::Bytes(bytes) => builder.append_value(bytes)?,
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }
        other => return exec_err!("no function returns {other}"),
    })
}

/// An error with SQLSTATE.
pub(super) fn error(state: &'static str, message: impl Into<String>) -> DataFusionError {
    DataFusionError::External(Box::new(crate::Error::new(crate::SqlState(state), message)))
}

/// 22003.
pub(super) fn out_of_range() -> DataFusionError {
    error("22003", "value out of range")
}

/// The text of an argument that is one.
pub(super) fn text(datum: &Datum) -> &str {
    match datum {
        Datum::Text(text) => text,
        _ => "",
    }
}

/// The integer of an argument that is one.
pub(super) fn int(datum: &Datum) -> i64 {
    match datum {
        Datum::Int(int) => *int,
        _ => 0,
    }
}

/// The float of an argument that is one.
pub(super) fn float(datum: &Datum) -> f64 {
    match datum {
        Datum::Float(float) => *float,
        _ => 0.0,
    }
}

/// The microseconds of an argument that is a point in time.
pub(super) fn moment(datum: &Datum) -> i64 {
    match datum {
        Datum::Moment(micros) | Datum::Time(micros) => *micros,
        Datum::Date(days) => i64::from(*days) * MICROS_PER_DAY,
        _ => 0,
    }
}

/// How many of the arguments of each row are NULL: `num_nulls` and `num_nonnulls`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct CountNulls {
    name: &'static str,
    signature: Signature,
}

impl CountNulls {
    pub(super) fn new(name: &'static str) -> CountNulls {
        CountNulls { name, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for CountNulls {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _given: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let nulls = self.name == "num_nulls";
        let mut counts = vec![0i64; args.number_rows];
        for argument in &args.args {
            let array = argument.to_array(args.number_rows)?;
            let array_nulls = array.logical_nulls();
            for (row, count) in counts.iter_mut().enumerate() {
                let is_null = array_nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                *count += i64::from(is_null == nulls);
            }
        }
        Ok(ColumnarValue::Array(Arc::new(Int64Array::from(counts))))
    }
}

/// `pg_typeof`: the name of an expression's type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TypeOf {
    signature: Signature,
}

impl TypeOf {
    pub(super) fn new() -> TypeOf {
        TypeOf { signature: Signature::any(1, Volatility::Stable) }
    }
}

impl ScalarUDFImpl for TypeOf {
    fn name(&self) -> &str {
        "pg_typeof"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _given: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = crate::types::pg_type(&args.arg_fields[0]).base_name();
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(Some(name))))
    }
}
