//! `time_bucket(width, time, …)`: the bucket a time stamp, a date or an integer is in.
//!
//! After width and time come, in any order and told apart by their types, an origin (a time stamp or date), an offset (an
//! interval) and a time zone (text). They may be named, too: `origin =>`, `"offset" =>`, `timezone =>` ([`crate::names`]
//! casts what is named so). Integers have a width, and an offset, of integers.

use crate::bucket::{Bucketing, NanoBucketing, Width, not_positive, out_of_range, whole_micros};
use crate::error::external;
use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int64Array, TimestampMicrosecondArray, TimestampNanosecondArray,
    new_empty_array, new_null_array,
};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Date32Type, Int64Type, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use lightning_sql::sqlstate::{DATATYPE_MISMATCH, INVALID_PARAMETER_VALUE, NUMERIC_VALUE_OUT_OF_RANGE};
use lightning_sql::text::calendar::MICROS_PER_DAY;
use lightning_sql::text::{datetime, interval, nanos};
use lightning_sql::types;
use std::ops::Range;
use std::sync::Arc;

/// The function's name.
pub(crate) const NAME: &str = "time_bucket";

/// The function.
pub(crate) fn time_bucket() -> ScalarUDF {
    ScalarUDF::new_from_impl(TimeBucket { signature: Signature::user_defined(Volatility::Stable) })
}

/// What is put in buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `date`.
    Date,
    /// `timestamp`.
    Timestamp,
    /// `timestamptz`.
    Timestamptz,
    /// `timestamp_ns`.
    TimestampNs,
    /// `timestamptz_ns`.
    TimestamptzNs,
    /// Integers of any unit.
    Integer,
}

impl Kind {
    /// The kind of an Arrow type.
    pub(crate) fn of(data_type: &DataType) -> Option<Kind> {
        Some(match data_type {
            DataType::Date32 => Kind::Date,
            DataType::Timestamp(TimeUnit::Nanosecond, None) => Kind::TimestampNs,
            DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => Kind::TimestamptzNs,
            DataType::Timestamp(_, None) => Kind::Timestamp,
            DataType::Timestamp(_, Some(_)) => Kind::Timestamptz,
            DataType::Int16 | DataType::Int32 | DataType::Int64 => Kind::Integer,
            _ => return None,
        })
    }

    /// Whether its values are instants.
    pub(crate) fn is_instant(self) -> bool {
        matches!(self, Kind::Timestamptz | Kind::TimestamptzNs)
    }

    /// Whether its values are nanoseconds.
    pub(crate) fn is_nanos(self) -> bool {
        matches!(self, Kind::TimestampNs | Kind::TimestamptzNs)
    }

    /// The Arrow type values are computed in.
    pub(crate) fn arrow(self) -> DataType {
        match self {
            Kind::Date => DataType::Date32,
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Kind::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::TimestampNs => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Kind::TimestamptzNs => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            Kind::Integer => DataType::Int64,
        }
    }

    /// The numbers of a column of this kind: micro- or nanoseconds, or integers.
    pub(crate) fn numbers(self, column: &ArrayRef) -> Result<Int64Array> {
        let column = cast(column, &self.arrow())?;
        if let Some(days) = column.as_primitive_opt::<Date32Type>() {
            let micros = |day| micros_of_day(day).ok_or_else(|| ArrowError::ExternalError(Box::new(out_of_range())));
            return Ok(days.try_unary(micros)?);
        }
        Ok(cast(&column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    }

    /// A column of this kind.
    pub(crate) fn column(self, numbers: Vec<Option<i64>>) -> ArrayRef {
        let zone = self.is_instant().then_some("UTC");
        match self {
            Kind::Date => {
                let days = numbers.into_iter().map(|at| at.map(|at| at.div_euclid(MICROS_PER_DAY) as i32));
                Arc::new(days.collect::<Date32Array>())
            }
            Kind::Integer => Arc::new(Int64Array::from(numbers)),
            Kind::Timestamp | Kind::Timestamptz => {
                Arc::new(TimestampMicrosecondArray::from(numbers).with_timezone_opt(zone))
            }
            Kind::TimestampNs | Kind::TimestamptzNs => {
                Arc::new(TimestampNanosecondArray::from(numbers).with_timezone_opt(zone))
            }
        }
    }
}

/// Where a day begins in microseconds, which do not reach as far as dates do.
fn micros_of_day(day: i32) -> Option<i64> {
    i64::from(day).checked_mul(MICROS_PER_DAY)
}

/// Whether values of a type are texts.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null)
}

/// What a bucket is, from the arguments besides the time; all constants of the call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    width: Option<IntervalMonthDayNano>,
    /// Of integers.
    length: Option<i64>,
    origin: Option<Origin>,
    offset: Option<IntervalMonthDayNano>,
    /// Of integers.
    shift: i64,
    zone: Option<Tz>,
}

/// A time buckets begin at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) micros: i64,
    /// Nanoseconds over.
    pub(crate) rest: i64,
    pub(crate) is_instant: bool,
}

impl Origin {
    /// The time a value is; `None` for other values, and NULL. 22008 for a date beyond all time stamps.
    pub(crate) fn of(value: &ScalarValue) -> lightning_sql::Result<Option<Origin>> {
        let origin = |(micros, rest), is_instant| Some(Origin { micros, rest, is_instant });
        Ok(match value {
            ScalarValue::TimestampMicrosecond(Some(at), zone) => origin((*at, 0), zone.is_some()),
            ScalarValue::TimestampNanosecond(Some(at), zone) => origin(nanos::split(*at), zone.is_some()),
            ScalarValue::Date32(Some(day)) => origin((micros_of_day(*day).ok_or_else(out_of_range)?, 0), false),
            _ => None,
        })
    }

    /// The local time a text names, whatever zone it has.
    pub(crate) fn read_local(text: &str) -> lightning_sql::Result<Origin> {
        let (micros, rest) = match datetime::timestamp_ns(text) {
            Ok(at) => nanos::split(at),
            Err(_) => (datetime::timestamp(text)?, 0),
        };
        Ok(Origin { micros, rest, is_instant: false })
    }

    /// The instant a text names, with as many digits as it has.
    pub(crate) fn read(text: &str, zone: Tz) -> lightning_sql::Result<Origin> {
        let (micros, rest) = match datetime::timestamptz_ns(text, zone) {
            Ok(at) => nanos::split(at),
            Err(_) => (datetime::timestamptz(text, zone)?, 0),
        };
        Ok(Origin { micros, rest, is_instant: true })
    }
}

/// Buckets of either kind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Buckets {
    /// Of time in microseconds.
    Time(Bucketing),
    /// Of time in nanoseconds.
    Nanos(NanoBucketing),
    /// Of integers: width and offset.
    Integer {
        /// Width, positive.
        length: i64,
        /// Where a bucket begins.
        shift: i64,
    },
}

impl Buckets {
    /// Buckets of times of a kind that begin at `origin`, or where they do by default. 22023 when that is not a time of the kind.
    pub(crate) fn of_time(
        kind: Kind,
        width: Width,
        origin: Option<Origin>,
        offset: Option<IntervalMonthDayNano>,
        zone: Option<Tz>,
    ) -> lightning_sql::Result<Buckets> {
        let zone = zone.filter(|_| kind.is_instant());
        let phase = origin.map_or(0, |origin| origin.rest);
        let origin = origin.map(|origin| match zone {
            Some(zone) if origin.is_instant => datetime::to_local(origin.micros, zone),
            _ => origin.micros,
        });
        let micros = Bucketing::new(width, origin, offset, zone)?;
        match (kind.is_nanos(), phase) {
            (true, phase) => Ok(Buckets::Nanos(NanoBucketing { micros, phase })),
            (false, 0) => Ok(Buckets::Time(micros)),
            (false, _) => {
                let message = "the origin of buckets of microseconds cannot have nanoseconds";
                Err(lightning_sql::Error::new(INVALID_PARAMETER_VALUE, message))
            }
        }
    }

    /// Where the bucket begins that a value, micro- or nanoseconds or an integer, is in; `None` beyond the range.
    pub(crate) fn start(&self, value: i64) -> Option<i64> {
        match self {
            Buckets::Time(bucketing) => bucketing.start(value),
            Buckets::Nanos(bucketing) => bucketing.start(value),
            Buckets::Integer { length, shift } => {
                // Remainders, since the distance between the two may be more than an integer holds.
                let since = value.rem_euclid(*length) - shift.rem_euclid(*length);
                value.checked_sub(since.rem_euclid(*length))
            }
        }
    }

    /// Values around one, with it, that are in its bucket, as far as is known.
    fn neighbours(&self, value: i64) -> Option<Range<i64>> {
        match self {
            Buckets::Time(bucketing) => bucketing.neighbours(value),
            Buckets::Nanos(bucketing) => bucketing.neighbours(value),
            Buckets::Integer { .. } => {
                let start = self.start(value)?;
                Some(start..self.next(start)?)
            }
        }
    }

    /// What is said of a value whose bucket begins beyond the range.
    pub(crate) fn out_of_range(&self) -> lightning_sql::Error {
        match self {
            Buckets::Time(_) | Buckets::Nanos(_) => out_of_range(),
            Buckets::Integer { .. } => lightning_sql::Error::new(NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range"),
        }
    }

    /// Where the bucket after the one that begins at `start` begins.
    pub(crate) fn next(&self, start: i64) -> Option<i64> {
        match self {
            Buckets::Time(bucketing) => bucketing.next(start),
            Buckets::Nanos(bucketing) => bucketing.next(start),
            Buckets::Integer { length, .. } => start.checked_add(*length),
        }
    }
}

impl Given {
    /// Reads the width and what comes after the time. `None`: one of them is NULL.
    pub(crate) fn read(width: &ScalarValue, others: &[ScalarValue], zone: Tz) -> lightning_sql::Result<Option<Given>> {
        let mut given = Given::default();
        match width {
            ScalarValue::IntervalMonthDayNano(Some(width)) => given.width = Some(*width),
            ScalarValue::Int64(Some(length)) => given.length = Some(*length),
            ScalarValue::Int32(Some(length)) => given.length = Some(i64::from(*length)),
            ScalarValue::Int16(Some(length)) => given.length = Some(i64::from(*length)),
            other => match other.try_as_str() {
                Some(Some(text)) => given.width = Some(interval::interval(text)?),
                _ => return Ok(None),
            },
        }
        for other in others {
            given.take(other, zone)?;
        }
        Ok(Some(given))
    }

    fn take(&mut self, value: &ScalarValue, zone: Tz) -> lightning_sql::Result<()> {
        match value {
            ScalarValue::IntervalMonthDayNano(Some(offset)) => {
                whole_micros(*offset, "offset")?;
                self.offset = Some(*offset);
            }
            ScalarValue::Int64(Some(shift)) => self.shift = *shift,
            ScalarValue::Int32(Some(shift)) => self.shift = i64::from(*shift),
            other => {
                if let Some(Some(text)) = other.try_as_str() {
                    self.take_text(text, zone)?;
                } else if let Some(origin) = Origin::of(other)? {
                    self.origin = Some(origin);
                }
            }
        }
        Ok(())
    }

    /// A literal of open type: a zone unless it reads as an interval or a time.
    fn take_text(&mut self, text: &str, zone: Tz) -> lightning_sql::Result<()> {
        match datetime::zone(text) {
            Ok(found) => self.zone = Some(found),
            Err(unknown) => {
                if let Ok(offset) = interval::interval(text) {
                    self.offset = Some(offset);
                } else if let Ok(origin) = Origin::read(text, zone) {
                    self.origin = Some(origin);
                } else {
                    return Err(unknown);
                }
            }
        }
        Ok(())
    }

    /// The buckets of times of a kind. Instants without a zone of their own are cut in UTC.
    pub(crate) fn buckets(&self, kind: Kind) -> lightning_sql::Result<Buckets> {
        if kind == Kind::Integer {
            let Some(length) = self.length else {
                let message = "buckets of integers have a width that is an integer";
                return Err(lightning_sql::Error::new(DATATYPE_MISMATCH, message));
            };
            return match length {
                ..=0 => Err(not_positive()),
                _ => Ok(Buckets::Integer { length, shift: self.shift }),
            };
        }
        let Some(width) = self.width else {
            let message = "buckets of time have a width that is an interval";
            return Err(lightning_sql::Error::new(DATATYPE_MISMATCH, message));
        };
        Buckets::of_time(kind, Width::of(width)?, self.origin, self.offset, self.zone)
    }
}

/// The session's time zone.
pub(crate) fn session_zone(options: &ConfigOptions) -> Tz {
    let name = options.execution.time_zone.as_deref().unwrap_or("UTC");
    datetime::zone(name).unwrap_or_else(|_| datetime::utc())
}

/// The starts of the buckets of a column's values.
///
/// Neighbours are mostly in one bucket, so the last one is tried first.
fn starts(buckets: &Buckets, values: &Int64Array) -> Result<Vec<Option<i64>>> {
    let mut last: Option<(Range<i64>, i64)> = None;
    let mut starts = Vec::with_capacity(values.len());
    for value in values {
        let Some(value) = value else {
            starts.push(None);
            continue;
        };
        if let Some((neighbours, start)) = &last
            && neighbours.contains(&value)
        {
            starts.push(Some(*start));
            continue;
        }
        let start = buckets.start(value).ok_or_else(|| external(buckets.out_of_range()))?;
        last = buckets.neighbours(value).map(|neighbours| (neighbours, start));
        starts.push(Some(start));
    }
    Ok(starts)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeBucket {
    signature: Signature,
}

/// A column of times, cut.
fn cut(buckets: &Buckets, times: &ArrayRef, kind: Kind) -> Result<ArrayRef> {
    Ok(kind.column(starts(buckets, &kind.numbers(times)?)?))
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok(given.get(1).and_then(Kind::of).unwrap_or(Kind::Timestamptz).arrow())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let undefined = || {
            let names: Vec<String> = given.iter().map(|t| types::from_arrow(t).base_name()).collect();
            let message = format!("function {NAME}({}) does not exist", names.join(", "));
            let hint = "It takes a width, a time, and perhaps an origin, an offset and a time zone.";
            let state = lightning_sql::sqlstate::UNDEFINED_FUNCTION;
            Err(external(lightning_sql::Error::new(state, message).with_hint(hint)))
        };
        let [width, time, others @ ..] = given else { return undefined() };
        let kind = match Kind::of(time) {
            Some(kind) => kind,
            // Columns of text are views; a literal of open type is not.
            None if matches!(time, DataType::Utf8 | DataType::Null) => Kind::Timestamptz,
            None => return undefined(),
        };
        let interval = DataType::Interval(IntervalUnit::MonthDayNano);
        let mut wanted = vec![
            match width {
                DataType::Interval(_) => interval.clone(),
                width if is_text(width) => DataType::Utf8View,
                width if width.is_integer() && kind == Kind::Integer => DataType::Int64,
                _ => return undefined(),
            },
            kind.arrow(),
        ];
        for other in others {
            wanted.push(match other {
                DataType::Interval(_) => interval.clone(),
                DataType::Timestamp(..) | DataType::Date32 => Kind::of(other).map_or(DataType::Null, Kind::arrow),
                other if is_text(other) => DataType::Utf8View,
                other if other.is_integer() && kind == Kind::Integer => DataType::Int64,
                _ => return undefined(),
            });
        }
        Ok(wanted)
    }

    fn output_ordering(&self, input: &[ExprProperties]) -> Result<SortProperties> {
        // Without a zone buckets ascend with their times; with one, a clock that is put back repeats an hour's.
        match input {
            [width, time] if width.sort_properties == SortProperties::Singleton => Ok(time.sort_properties),
            _ => Ok(SortProperties::Unordered),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let [width, times, others @ ..] = args.args.as_slice() else {
            return exec_err!("{NAME} takes a width and a time");
        };
        let Some(kind) = Kind::of(&times.data_type()) else {
            return exec_err!("{NAME} takes a time");
        };
        let zone = session_zone(&args.config_options);
        let times = cast(&times.to_array(rows)?, &kind.arrow())?;
        let of_row = |row: usize| -> Result<Option<Buckets>> {
            let width = scalar_at(width, row)?;
            let others = others.iter().map(|other| scalar_at(other, row)).collect::<Result<Vec<_>>>()?;
            let given = Given::read(&width, &others, zone).map_err(external)?;
            given.map(|given| given.buckets(kind)).transpose().map_err(external)
        };
        cut_each(&args.args, &times, kind, of_row)
    }
}

/// The times of a call, which are its second argument, cut into the buckets that the other arguments mean: the same in all rows if these are constants.
/// NULL where they mean none.
pub(crate) fn cut_each(
    arguments: &[ColumnarValue],
    times: &ArrayRef,
    kind: Kind,
    buckets: impl Fn(usize) -> Result<Option<Buckets>>,
) -> Result<ColumnarValue> {
    let is_constant = |argument: &ColumnarValue| matches!(argument, ColumnarValue::Scalar(_));
    let part = |row: usize, times: &ArrayRef| match buckets(row)? {
        Some(buckets) => cut(&buckets, times, kind),
        None => Ok(new_null_array(&kind.arrow(), times.len())),
    };
    let result = if arguments.iter().enumerate().all(|(number, argument)| number == 1 || is_constant(argument)) {
        part(0, times)?
    } else if times.is_empty() {
        new_empty_array(&kind.arrow())
    } else {
        let parts = (0..times.len()).map(|row| part(row, &times.slice(row, 1))).collect::<Result<Vec<_>>>()?;
        concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>())?
    };
    Ok(match arguments.iter().all(is_constant) {
        true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
        false => ColumnarValue::Array(result),
    })
}

/// The value of an argument in a row.
pub(crate) fn scalar_at(value: &ColumnarValue, row: usize) -> Result<ScalarValue> {
    match value {
        ColumnarValue::Scalar(value) => Ok(value.clone()),
        ColumnarValue::Array(array) => ScalarValue::try_from_array(array, row),
    }
}
