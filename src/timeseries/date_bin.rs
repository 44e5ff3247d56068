//! `date_bin(stride, source [, origin])`: PostgreSQL's buckets of a fixed length, counted from an origin, which is 1970 unless it is given.

use crate::bucket::Width;
use crate::error::{error, external};
use crate::time_bucket::{Buckets, Kind, Origin, cut_each, is_text, scalar_at, session_zone};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use lightning_sql::sqlstate::{DATETIME_FIELD_OVERFLOW, FEATURE_NOT_SUPPORTED, UNDEFINED_FUNCTION};
use lightning_sql::text::interval;
use lightning_sql::{Error, types};

/// The function's name.
const NAME: &str = "date_bin";
/// Where buckets begin unless it is said.
const EPOCH: Origin = Origin { micros: 0, rest: 0, is_instant: false };

/// The function.
pub(crate) fn date_bin() -> ScalarUDF {
    ScalarUDF::new_from_impl(DateBin { signature: Signature::user_defined(Volatility::Stable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateBin {
    signature: Signature,
}

/// The length of buckets.
fn width(stride: IntervalMonthDayNano) -> Result<Width> {
    if stride.months != 0 {
        let message = "timestamps cannot be binned into intervals containing months or years";
        return Err(external(
            Error::new(FEATURE_NOT_SUPPORTED, message).with_hint("time_bucket has buckets of months."),
        ));
    }
    Width::of(stride).map_err(|_| error(DATETIME_FIELD_OVERFLOW, "stride must be greater than zero"))
}

impl ScalarUDFImpl for DateBin {
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
            let hint = "It takes an interval, a time stamp and perhaps another where buckets begin.";
            Err(external(Error::new(UNDEFINED_FUNCTION, message).with_hint(hint)))
        };
        let [stride, source, origin @ ..] = given else { return undefined() };
        let kind = match (source, Kind::of(source)) {
            (_, Some(Kind::Integer)) => return undefined(),
            (_, Some(Kind::Date)) => Kind::Timestamptz,
            (_, Some(kind)) => kind,
            // Columns of text are views; a literal of open type is not.
            (DataType::Utf8 | DataType::Null, None) => Kind::Timestamptz,
            _ => return undefined(),
        };
        let mut wanted = vec![
            match stride {
                DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
                stride if is_text(stride) => DataType::Utf8View,
                _ => return undefined(),
            },
            kind.arrow(),
        ];
        match origin {
            [] => {}
            [origin] if is_text(origin) => wanted.push(DataType::Utf8View),
            [origin] => match Kind::of(origin) {
                Some(of_origin) if of_origin != Kind::Integer => wanted.push(of_origin.arrow()),
                _ => return undefined(),
            },
            _ => return undefined(),
        }
        Ok(wanted)
    }

    fn output_ordering(&self, input: &[ExprProperties]) -> Result<SortProperties> {
        let Some((source, steady)) = input.get(1).zip(input.first()) else { return Ok(SortProperties::Unordered) };
        let constant = |value: &ExprProperties| value.sort_properties == SortProperties::Singleton;
        Ok(match constant(steady) && input.get(2).is_none_or(constant) {
            true => source.sort_properties,
            false => SortProperties::Unordered,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let [stride, times, origin @ ..] = args.args.as_slice() else {
            return exec_err!("{NAME} takes a stride and a time");
        };
        let Some(kind) = Kind::of(&times.data_type()) else { return exec_err!("{NAME} takes a time") };
        let zone = session_zone(&args.config_options);
        let times = times.to_array(rows)?;
        let buckets = |row: usize| -> Result<Option<Buckets>> {
            let stride = match scalar_at(stride, row)? {
                ScalarValue::IntervalMonthDayNano(Some(stride)) => stride,
                other => match other.try_as_str().flatten() {
                    Some(text) => interval::interval(text).map_err(external)?,
                    None => return Ok(None),
                },
            };
            let origin = match origin.first().map(|origin| scalar_at(origin, row)).transpose()? {
                None => Some(EPOCH),
                Some(value) => match value.try_as_str().flatten() {
                    Some(text) if !kind.is_instant() => Some(Origin::read_local(text).map_err(external)?),
                    Some(text) => Some(Origin::read(text, zone).map_err(external)?),
                    None => Origin::of(&value).map_err(external)?,
                },
            };
            let Some(origin) = origin else { return Ok(None) };
            Buckets::of_time(kind, width(stride)?, Some(origin), None, None).map(Some).map_err(external)
        };
        cut_each(&args.args, &times, kind, buckets)
    }
}
