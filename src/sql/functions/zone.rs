//! `timezone(zone, moment)`, which `moment AT TIME ZONE zone` is: an instant as local time there, or the reverse.

use super::moment_column::{Kind, Moment, MomentColumn};
use crate::error::Error;
use crate::sqlstate::DATETIME_FIELD_OVERFLOW;
use crate::text::datetime;
use arrow::array::timezone::Tz;
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// The function.
pub(super) fn timezone() -> ScalarUDF {
    ScalarUDF::new_from_impl(Timezone { signature: Signature::user_defined(Volatility::Stable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Timezone {
    signature: Signature,
}

/// A zone is often one literal for a whole column.
#[derive(Default)]
struct LastZone(Option<(String, Tz)>);

impl LastZone {
    fn get(&mut self, name: &str) -> Result<Tz> {
        if let Some((last, zone)) = &self.0
            && last == name
        {
            return Ok(*zone);
        }
        let zone = datetime::zone(name).map_err(|e| DataFusionError::External(Box::new(e)))?;
        self.0 = Some((name.to_owned(), zone));
        Ok(zone)
    }
}

impl ScalarUDFImpl for Timezone {
    fn name(&self) -> &str {
        "timezone"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        let kind = given.get(1).and_then(Kind::of).unwrap_or(Kind::Timestamptz);
        Ok(kind.zoned(kind.is_local()).arrow())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [zone, moment] = given else { return plan_err!("function timezone takes a zone and a time stamp") };
        let is_text =
            |t: &DataType| matches!(t, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null);
        match Kind::of(moment) {
            Some(kind) if is_text(zone) && (kind.is_local() || kind.is_instant() || kind == Kind::Date) => {
                Ok(vec![DataType::Utf8View, kind.arrow()])
            }
            None if is_text(zone) && is_text(moment) => Ok(vec![DataType::Utf8View, Kind::Timestamptz.arrow()]),
            _ => {
                let names: Vec<String> = given.iter().map(|t| crate::types::from_arrow(t).base_name()).collect();
                plan_err!("function timezone({}) does not exist", names.join(", "))
            }
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [zones, moments] = args.args.as_slice() else { return exec_err!("timezone takes two arguments") };
        let constant = matches!((zones, moments), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let zones = cast(&zones.to_array(rows)?, &DataType::Utf8View)?;
        let zones = zones.as_string_view();
        let Some(column) = MomentColumn::new(&moments.to_array(rows)?, &args.config_options)? else {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_field.data_type())?));
        };
        let out_of_range =
            || DataFusionError::External(Box::new(Error::new(DATETIME_FIELD_OVERFLOW, "timestamp out of range")));
        let mut last = LastZone::default();
        let mut results = Vec::with_capacity(rows);
        for (row, moment) in column.map(|moment| moment).enumerate() {
            let Some(Moment::At { utc, rest, .. }) = moment.filter(|_| zones.is_valid(row)) else {
                results.push(None);
                continue;
            };
            let zone = last.get(zones.value(row))?;
            let micros = match column.kind {
                kind if kind.is_local() => datetime::to_utc(utc, zone).ok_or_else(out_of_range)?,
                Kind::Date => datetime::to_local(datetime::to_utc(utc, column.zone).ok_or_else(out_of_range)?, zone),
                _ => datetime::to_local(utc, zone),
            };
            results.push(Some((micros, rest)));
        }
        let result = column.kind.zoned(column.kind.is_local()).stamps(results)?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(result)
        })
    }
}
