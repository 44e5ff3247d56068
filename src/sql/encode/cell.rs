//! One column of one batch, ready to write any of its rows.
//!
//! How a column is written is decided once per result from its PostgreSQL type and format ([`Shape`]); binding a batch
//! downcasts each column once; what is left per value is one indirect call.

use super::datetime::{self, Zone};
use super::nested::{ListCell, RecordCell};
use super::oid;
use super::{Format, binary, text};
use crate::error::{Error, Result, SqlState};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    PrimitiveArray, StringViewArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type,
    Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampNanosecondType, UInt32Type,
};
use arrow::util::display::FormatOptions;
use bytes::{BufMut, BytesMut};

/// Writes values of one column.
pub trait Cell: Send + Sync {
    /// Appends the value of a row that is not NULL, without its length.
    fn put(&self, row: usize, out: &mut BytesMut);
}

/// How a type is written: the Arrow form to bring values into, and the PostgreSQL form they take.
#[derive(Clone, Debug)]
pub struct Shape {
    /// OID announced to the client.
    pub oid: u32,
    /// Text or binary.
    pub format: Format,
    /// Time zone of the session.
    pub zone: Zone,
    /// Width that `char(n)` pads to.
    pub pad: Option<usize>,
    /// Arrow type values are brought to first; nested types are taken as they are.
    arrow: Option<DataType>,
    /// Elements of a list, fields of a record.
    children: Vec<Shape>,
}

impl Shape {
    /// The shape of `field` in a result.
    pub fn new(field: &Field, format: Format, zone: Zone) -> Shape {
        let pg = crate::types::pg_type(field);
        let pad = (pg.oid == oid::BPCHAR && pg.modifier > 4).then(|| (pg.modifier - 4) as usize);
        let children = match field.data_type() {
            DataType::List(child) | DataType::LargeList(child) | DataType::FixedSizeList(child, _) => {
                let mut child = Shape::new(child, format, zone);
                if let Some(element) = oid::element_of(pg.oid) {
                    child.set_oid(element);
                }
                vec![child]
            }
            DataType::Struct(fields) => fields.iter().map(|field| Shape::new(field, format, zone)).collect(),
            _ => Vec::new(),
        };
        let mut shape = Shape { oid: pg.oid, format, zone, pad, arrow: None, children };
        if shape.children.is_empty() {
            shape.arrow = Some(arrow_form(pg.oid, field.data_type()));
        }
        shape
    }

    fn set_oid(&mut self, oid: u32) {
        if self.children.is_empty() && self.oid != oid {
            self.oid = oid;
            self.arrow = Some(arrow_form(oid, self.arrow.as_ref().unwrap_or(&DataType::Utf8View)));
        }
    }

    /// Elements of a list, fields of a record.
    pub fn children(&self) -> &[Shape] {
        &self.children
    }

    /// Makes the values of `array` writable.
    pub fn bind(&self, array: &ArrayRef) -> Result<Box<dyn Cell>> {
        match array.data_type() {
            DataType::List(_) => return ListCell::bind(self, array.as_list::<i32>().clone()),
            DataType::LargeList(_) | DataType::FixedSizeList(_, _) | DataType::ListView(_)
                if !self.children.is_empty() =>
            {
                let child = match array.data_type() {
                    DataType::LargeList(child) | DataType::FixedSizeList(child, _) | DataType::ListView(child) => child,
                    _ => return Err(unencodable(array.data_type())),
                };
                let list = cast(array, &DataType::List(child.clone()))?;
                return ListCell::bind(self, list.as_list::<i32>().clone());
            }
            DataType::Struct(_) => return RecordCell::bind(self, array.as_struct()),
            _ => {}
        }
        let array = match &self.arrow {
            Some(form) if form != array.data_type() && !same_form(form, array.data_type()) => cast(array, form)?,
            _ => array.clone(),
        };
        self.bind_scalar(array)
    }

    fn bind_scalar(&self, array: ArrayRef) -> Result<Box<dyn Cell>> {
        let binary = self.format == Format::Binary;
        let zone = self.zone;
        Ok(match array.data_type() {
            DataType::Null => Box::new(Nothing),
            DataType::Boolean => Box::new(BoolCell { array: array.as_boolean().clone(), binary }),
            DataType::Int16 if binary => of::<Int16Type>(&array, |v, o| o.put_i16(v)),
            DataType::Int16 => of::<Int16Type>(&array, |v, o| text::put_int(o, i64::from(v))),
            DataType::Int32 if binary => of::<Int32Type>(&array, |v, o| o.put_i32(v)),
            DataType::Int32 => of::<Int32Type>(&array, |v, o| text::put_int(o, i64::from(v))),
            DataType::Int64 if binary => of::<Int64Type>(&array, |v, o| o.put_i64(v)),
            DataType::Int64 => of::<Int64Type>(&array, |v, o| text::put_int(o, v)),
            DataType::UInt32 if binary => of::<UInt32Type>(&array, |v, o| o.put_u32(v)),
            DataType::UInt32 => of::<UInt32Type>(&array, |v, o| text::put_uint(o, u64::from(v))),
            DataType::Float32 if binary => of::<Float32Type>(&array, |v, o| o.put_f32(v)),
            DataType::Float32 => of::<Float32Type>(&array, |v, o| text::put_f32(o, v)),
            DataType::Float64 if binary => of::<Float64Type>(&array, |v, o| o.put_f64(v)),
            DataType::Float64 => of::<Float64Type>(&array, |v, o| text::put_f64(o, v)),
            DataType::Decimal128(_, scale) => {
                let array = array.as_primitive::<Decimal128Type>().clone();
                Box::new(DecimalCell { array, scale: *scale, binary })
            }
            DataType::Decimal256(_, scale) => {
                let array = array.as_primitive::<Decimal256Type>().clone();
                Box::new(WideDecimalCell { array, scale: *scale, binary })
            }
            DataType::Date32 if binary => of::<Date32Type>(&array, |v, o| binary::put_date(o, v)),
            DataType::Date32 => of::<Date32Type>(&array, |v, o| datetime::put_date(o, v)),
            DataType::Time64(TimeUnit::Microsecond) if binary => {
                of::<Time64MicrosecondType>(&array, |v, o| o.put_i64(v))
            }
            DataType::Time64(TimeUnit::Microsecond) => {
                of::<Time64MicrosecondType>(&array, |v, o| datetime::put_time(o, v))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) if binary => {
                of::<TimestampMicrosecondType>(&array, |v, o| binary::put_timestamp(o, v))
            }
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                of::<TimestampMicrosecondType>(&array, |v, o| datetime::put_timestamp(o, v))
            }
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                of::<TimestampMicrosecondType>(&array, move |v, o| datetime::put_timestamptz(o, v, zone))
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) if binary => {
                let values = array.as_primitive::<TimestampNanosecondType>();
                if !values.iter().flatten().all(binary::has_timestamp_ns) {
                    return Err(no_binary_form());
                }
                of::<TimestampNanosecondType>(&array, |v, o| binary::put_timestamp_ns(o, v))
            }
            DataType::Timestamp(TimeUnit::Nanosecond, None) => {
                of::<TimestampNanosecondType>(&array, |v, o| datetime::put_timestamp_ns(o, v))
            }
            DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => {
                of::<TimestampNanosecondType>(&array, move |v, o| datetime::put_timestamptz_ns(o, v, zone))
            }
            DataType::Interval(IntervalUnit::MonthDayNano) if binary => {
                of::<IntervalMonthDayNanoType>(&array, |v, o| binary::put_interval(o, v))
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                of::<IntervalMonthDayNanoType>(&array, |v, o| text::put_interval(o, v))
            }
            DataType::Utf8View => {
                let array = array.as_string_view().clone();
                let version = binary && self.oid == oid::JSONB;
                match self.pad {
                    Some(width) => Box::new(PaddedCell { array, width }),
                    None => Box::new(TextCell { array, version }),
                }
            }
            DataType::BinaryView => Box::new(ByteaCell { array: array.as_binary_view().clone(), binary }),
            DataType::FixedSizeBinary(16) => Box::new(UuidCell { array: array.as_fixed_size_binary().clone(), binary }),
            other => return Err(unencodable(other)),
        })
    }
}

/// Same values, another time zone label: the label does not change how an instant is written.
fn same_form(form: &DataType, actual: &DataType) -> bool {
    match (form, actual) {
        (DataType::Timestamp(form, Some(_)), DataType::Timestamp(actual, Some(_))) => {
            form == actual && matches!(form, TimeUnit::Microsecond | TimeUnit::Nanosecond)
        }
        _ => false,
    }
}

/// The Arrow type whose values a PostgreSQL type is written from.
fn arrow_form(oid: u32, actual: &DataType) -> DataType {
    match oid {
        oid::BOOL => DataType::Boolean,
        oid::INT2 => DataType::Int16,
        oid::INT4 => DataType::Int32,
        oid::INT8 => DataType::Int64,
        oid::OID | oid::XID | oid::CID => DataType::UInt32,
        oid::FLOAT4 => DataType::Float32,
        oid::FLOAT8 => DataType::Float64,
        oid::NUMERIC => match actual {
            DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => actual.clone(),
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
            DataType::UInt64 => DataType::Decimal128(20, 0),
            _ => DataType::Decimal128(38, 10),
        },
        oid::BYTEA => DataType::BinaryView,
        oid::DATE => DataType::Date32,
        oid::TIME => DataType::Time64(TimeUnit::Microsecond),
        oid::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        oid::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        oid::TIMESTAMP_NS => DataType::Timestamp(TimeUnit::Nanosecond, None),
        oid::TIMESTAMPTZ_NS => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        oid::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        oid::UUID => DataType::FixedSizeBinary(16),
        oid::REGCLASS | oid::REGTYPE | oid::REGPROC | oid::REGNAMESPACE | oid::REGROLE if actual.is_integer() => {
            DataType::UInt32
        }
        _ => match actual {
            DataType::Null => DataType::Null,
            _ => DataType::Utf8View,
        },
    }
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    cast_with_options(array, to, &options).map_err(|e| Error::new(SqlState("22023"), e.to_string()))
}

fn no_binary_form() -> Error {
    Error::new(SqlState("22008"), "timestamp_ns before 1707-09-22 00:12:43.145224193 has no binary form")
        .with_hint("Ask for the result as text.")
}

fn unencodable(data_type: &DataType) -> Error {
    let name = crate::arrow_names::in_sql(&data_type.to_string());
    Error::new(SqlState("0A000"), format!("values of type {name} cannot be sent to the client"))
}

fn of<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    put: impl Fn(T::Native, &mut BytesMut) + Send + Sync + 'static,
) -> Box<dyn Cell> {
    Box::new(PrimitiveCell { array: array.as_primitive::<T>().clone(), put })
}

struct Nothing;

impl Cell for Nothing {
    fn put(&self, _row: usize, _out: &mut BytesMut) {}
}

struct PrimitiveCell<T: ArrowPrimitiveType, F> {
    array: PrimitiveArray<T>,
    put: F,
}

impl<T: ArrowPrimitiveType, F: Fn(T::Native, &mut BytesMut) + Send + Sync> Cell for PrimitiveCell<T, F> {
    fn put(&self, row: usize, out: &mut BytesMut) {
        (self.put)(self.array.value(row), out);
    }
}

struct BoolCell {
    array: BooleanArray,
    binary: bool,
}

impl Cell for BoolCell {
    fn put(&self, row: usize, out: &mut BytesMut) {
        let value = self.array.value(row);
        if self.binary { out.put_u8(u8::from(value)) } else { text::put_bool(out, value) }
    }
}

struct DecimalCell {
    array: Decimal128Array,
    scale: i8,
    binary: bool,
}

impl Cell for DecimalCell {
    fn put(&self, row: usize, out: &mut BytesMut) {
        let value = self.array.value(row);
        if self.binary {
            binary::put_decimal(out, value, self.scale)
        } else {
            text::put_decimal(out, value, self.scale)
        }
    }
}

struct WideDecimalCell {
    array: Decimal256Array,
    scale: i8,
    binary: bool,
}

impl Cell for WideDecimalCell {
    fn put(&self, row: usize, out: &mut BytesMut) {
        let value = self.array.value(row).to_string();
        let (negative, digits) = match value.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, value.as_str()),
        };
        let mut digits = digits.to_owned();
        digits.extend(std::iter::repeat_n('0', usize::from(self.scale.min(0).unsigned_abs())));
        let decimals = usize::from(self.scale.max(0).unsigned_abs());
        if self.binary {
            binary::put_decimal_digits(out, negative, digits.as_bytes(), decimals);
            return;
        }
        if negative {
            out.put_u8(b'-');
        }
        if decimals == 0 { out.put_slice(digits.as_bytes()) } else { text::put_point(out, &digits, decimals) }
    }
}

struct TextCell {
    array: StringViewArray,
    /// `jsonb` in binary opens with a version byte.
    version: bool,
}

impl Cell for TextCell {
    fn put(&self, row: usize, out: &mut BytesMut) {
        if self.version {
            out.put_u8(1);
        }
        out.put_slice(self.array.value(row).as_bytes());
    }
}

struct PaddedCell {
    array: StringViewArray,
    width: usize,
}

impl Cell for PaddedCell {
    fn put(&self, row: usize, out: &mut BytesMut) {
        let value = self.array.value(row);
        out.put_slice(value.as_bytes());
        let chars = if value.is_ascii() { value.len() } else { value.chars().count() };
        out.put_bytes(b' ', self.width.saturating_sub(chars));
    }
}

struct ByteaCell {
    array: BinaryViewArray,
    binary: bool,
}

impl Cell for ByteaCell {
    fn put(&self, row: usize, out: &mut BytesMut) {
        let value = self.array.value(row);
        if self.binary { out.put_slice(value) } else { text::put_bytea(out, value) }
    }
}

struct UuidCell {
    array: FixedSizeBinaryArray,
    binary: bool,
}

impl Cell for UuidCell {
    fn put(&self, row: usize, out: &mut BytesMut) {
        let value = self.array.value(row);
        if self.binary { out.put_slice(value) } else { text::put_uuid(out, value) }
    }
}
