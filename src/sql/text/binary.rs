//! Reads PostgreSQL's binary forms of values into columns; what the `_recv` functions of PostgreSQL do, messages included.
//!
//! COPY in format binary and binary parameters come through here. Every length is checked before it is believed, and a value
//! must use all of its bytes. Modifiers (`varchar(n)`, `numeric(p,s)`, `timestamp(p)`) hold as they do for text.

use super::calendar::MICROS_PER_DAY;
use super::input::{ColumnBuilder, Values};
use super::{nanos, number};
use crate::encode::{EPOCH_DAYS, EPOCH_MICROS, EPOCH_NANOS};
use crate::error::{Error, Result};
use crate::sqlstate::{
    CHARACTER_NOT_IN_REPERTOIRE, DATATYPE_MISMATCH, DATETIME_FIELD_OVERFLOW, FEATURE_NOT_SUPPORTED,
    INVALID_BINARY_REPRESENTATION, PROGRAM_LIMIT_EXCEEDED, PROTOCOL_VIOLATION, UNDEFINED_FUNCTION,
};
use crate::types::PgType;
use arrow::datatypes::IntervalMonthDayNano;
use chrono::{DateTime, Datelike, NaiveDate, Utc};

/// Deepest nesting of arrays PostgreSQL knows.
const DIMENSIONS_MAX: i32 = 6;
/// Elements of an array PostgreSQL allows.
const ELEMENTS_MAX: i64 = 134_217_727;
/// Groups of four digits that an `i128` surely holds.
const FAST_GROUPS_MAX: i32 = 9;
/// Days from 2000-01-01 to PostgreSQL's first date, 4714-11-24 BC.
const FIRST_DATE: i32 = -2_451_545;
/// Microseconds from 2000-01-01 to the first time stamp, on that day.
const FIRST_TIMESTAMP: i64 = -211_813_488_000_000_000;

impl ColumnBuilder {
    /// Adds the value `bytes` are the binary form of.
    pub fn append_binary(&mut self, bytes: &[u8]) -> Result<()> {
        let pg = self.pg;
        let mut value = Cursor { bytes };
        match &mut self.values {
            Values::Bool(b) => b.append_value(value.fixed::<1>()? != [0]),
            Values::Int16(b) => b.append_value(value.i16()?),
            Values::Int32(b) => b.append_value(value.i32()?),
            Values::Int64(b) => b.append_value(value.i64()?),
            Values::Oid(b) => b.append_value(u32::from_be_bytes(value.fixed()?)),
            Values::Float32(b) => b.append_value(f32::from_be_bytes(value.fixed()?)),
            Values::Float64(b) => b.append_value(f64::from_be_bytes(value.fixed()?)),
            Values::Decimal(b, precision, scale) => b.append_value(value.numeric()?.scaled(*precision, *scale)?),
            // The text form of these is not their binary form, and this side has no other.
            Values::Text(_) if matches!(pg.oid, 22 | 30 | 194) => return Err(no_input(pg)),
            Values::Text(_) | Values::Limited(..) | Values::Padded(..) | Values::Json(_) => {
                return self.append(utf8(bytes)?);
            }
            Values::Jsonb(_) => match value.fixed::<1>()? {
                [1] => return self.append(utf8(value.bytes)?),
                [version] => return Err(malformed(format!("unsupported jsonb version number {version}"))),
            },
            Values::Bytes(b) => b.append_value(value.rest()),
            Values::Date(b) => b.append_value(date(value.i32()?)?),
            Values::Time(b) => b.append_value(pg.rounded(time(value.i64()?)?)),
            Values::Timestamp(b) | Values::Timestamptz(b) => b.append_value(pg.rounded(timestamp(value.i64()?)?)),
            Values::TimestampNs(b) | Values::TimestamptzNs(b) => b.append_value(timestamp_ns(value.i64()?)?),
            Values::Interval(b) => b.append_value(value.interval()?),
            Values::Uuid(b) => b.append_value(value.fixed::<16>()?)?,
            Values::List(child, offsets, nulls) => {
                let length = value.array(child)?;
                let last = offsets.last().copied().unwrap_or(0);
                offsets.push(last + length);
                nulls.append_non_null();
            }
        }
        if value.bytes.is_empty() { Ok(()) } else { Err(malformed("incorrect binary data format")) }
    }
}

/// The text of a `numeric` given in binary, with all decimals it has.
pub fn binary_numeric_text(bytes: &[u8]) -> Result<String> {
    let mut value = Cursor { bytes };
    let text = value.numeric()?.text();
    if value.bytes.is_empty() { Ok(text) } else { Err(malformed("incorrect binary data format")) }
}

/// `bytes` as text, or 22021 with the first that is not.
pub fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|e| {
        let bad = bytes[e.valid_up_to()..].iter().take(e.error_len().unwrap_or(1));
        let bad: Vec<String> = bad.map(|b| format!("0x{b:02x}")).collect();
        let message = format!("invalid byte sequence for encoding \"UTF8\": {}", bad.join(" "));
        Error::new(CHARACTER_NOT_IN_REPERTOIRE, message)
    })
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(INVALID_BINARY_REPRESENTATION, message)
}

fn no_input(pg: PgType) -> Error {
    Error::new(UNDEFINED_FUNCTION, format!("no binary input function available for type {}", pg.sql_name()))
}

fn out_of_range(type_name: &str) -> Error {
    Error::new(DATETIME_FIELD_OVERFLOW, format!("{type_name} out of range"))
}

/// Days since 1970. The last date is the last of the calendar that computes with dates, as for text.
fn date(days: i32) -> Result<i32> {
    let last = NaiveDate::MAX.num_days_from_ce() - NaiveDate::default().num_days_from_ce();
    match days {
        i32::MAX => Err(infinite("infinity")),
        i32::MIN => Err(infinite("-infinity")),
        days if days < FIRST_DATE => Err(out_of_range("date")),
        days => days.checked_add(EPOCH_DAYS).filter(|days| *days <= last).ok_or_else(|| out_of_range("date")),
    }
}

fn time(micros: i64) -> Result<i64> {
    // The latest time of day is 24:00.
    if (0..=MICROS_PER_DAY).contains(&micros) { Ok(micros) } else { Err(out_of_range("time")) }
}

/// Microseconds since 1970, within the calendar.
fn timestamp(micros: i64) -> Result<i64> {
    let last = DateTime::<Utc>::MAX_UTC.timestamp_micros();
    match micros {
        i64::MAX => Err(infinite("infinity")),
        i64::MIN => Err(infinite("-infinity")),
        micros if micros < FIRST_TIMESTAMP => Err(out_of_range("timestamp")),
        micros => micros.checked_add(EPOCH_MICROS).filter(|m| *m <= last).ok_or_else(|| out_of_range("timestamp")),
    }
}

/// Nanoseconds since 1970.
fn timestamp_ns(nanos: i64) -> Result<i64> {
    match nanos {
        i64::MAX => Err(infinite("infinity")),
        i64::MIN => Err(infinite("-infinity")),
        nanos => nanos.checked_add(EPOCH_NANOS).filter(|n| nanos::is_time(*n)).ok_or_else(nanos::out_of_range),
    }
}

fn infinite(text: &str) -> Error {
    Error::unsupported(format!("the date/time value \"{text}\""))
}

/// A cursor over one binary value.
struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((fixed, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(Error::new(PROTOCOL_VIOLATION, "insufficient data left in message"));
        };
        self.bytes = rest;
        Ok(*fixed)
    }

    fn i16(&mut self) -> Result<i16> {
        self.fixed().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32> {
        self.fixed().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64> {
        self.fixed().map(i64::from_be_bytes)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    fn interval(&mut self) -> Result<IntervalMonthDayNano> {
        let (micros, days, months) = (self.i64()?, self.i32()?, self.i32()?);
        let nanos = micros.checked_mul(1000).ok_or_else(|| out_of_range("interval"))?;
        Ok(IntervalMonthDayNano::new(months, days, nanos))
    }

    fn numeric(&mut self) -> Result<Numeric<'a>> {
        let groups = self.i16()? as u16;
        let weight = i32::from(self.i16()?);
        let sign = self.i16()? as u16;
        let decimals = self.i16()? as u16;
        let negative = match sign {
            0 => false,
            0x4000 => true,
            0xC000 | 0xD000 | 0xF000 => {
                let name = match sign {
                    0xC000 => "NaN",
                    0xD000 => "Infinity",
                    _ => "-Infinity",
                };
                return Err(Error::new(FEATURE_NOT_SUPPORTED, format!("numeric cannot hold \"{name}\"")));
            }
            _ => return Err(malformed("invalid sign in external \"numeric\" value")),
        };
        if decimals > 0x3fff {
            return Err(malformed("invalid scale in external \"numeric\" value"));
        }
        let Some((digits, rest)) = self.bytes.split_at_checked(usize::from(groups) * 2) else {
            return Err(Error::new(PROTOCOL_VIOLATION, "insufficient data left in message"));
        };
        self.bytes = rest;
        let numeric = Numeric { negative, weight, decimals: i32::from(decimals), groups: digits };
        if numeric.groups().any(|group| !(0..10_000).contains(&group)) {
            return Err(malformed("invalid digit in external \"numeric\" value"));
        }
        Ok(numeric)
    }

    /// Reads the elements of an array into `child`; how many there are.
    fn array(&mut self, child: &mut ColumnBuilder) -> Result<i32> {
        let dimensions = self.i32()?;
        if dimensions < 0 {
            return Err(malformed(format!("invalid number of dimensions: {dimensions}")));
        }
        if dimensions > DIMENSIONS_MAX {
            return Err(Error::new(
                PROGRAM_LIMIT_EXCEEDED,
                format!("number of array dimensions ({dimensions}) exceeds the maximum allowed ({DIMENSIONS_MAX})"),
            ));
        }
        if !matches!(self.i32()?, 0 | 1) {
            return Err(malformed("invalid array flags"));
        }
        let element = u32::from_be_bytes(self.fixed()?);
        if element != child.pg.oid {
            let found = PgType::by_oid(element).map_or("???".to_owned(), PgType::sql_name);
            let wanted = child.pg.base_name();
            return Err(Error::new(
                DATATYPE_MISMATCH,
                format!(
                    "binary data has array element type {element} ({found}) instead of expected {} ({wanted})",
                    child.pg.oid
                ),
            ));
        }
        let mut length = i64::from(dimensions > 0);
        for _ in 0..dimensions {
            let extent = self.i32()?;
            let _lower_bound = self.i32()?;
            length = length.saturating_mul(i64::from(extent));
            if extent < 0 || length > ELEMENTS_MAX {
                let message = format!("array size exceeds the maximum allowed ({ELEMENTS_MAX})");
                return Err(Error::new(PROGRAM_LIMIT_EXCEEDED, message));
            }
        }
        if dimensions > 1 && length > 0 {
            return Err(Error::unsupported("a multidimensional array"));
        }
        for number in 1..=length {
            self.element(number, child)?;
        }
        Ok(length as i32)
    }

    fn element(&mut self, number: i64, child: &mut ColumnBuilder) -> Result<()> {
        let size = self.i32()?;
        if size == -1 {
            child.append_null();
            return Ok(());
        }
        let parts = usize::try_from(size).ok().and_then(|size| self.bytes.split_at_checked(size));
        let Some((element, rest)) = parts else { return Err(malformed("insufficient data left in message")) };
        self.bytes = rest;
        child.append_binary(element).map_err(|mut e| {
            if e.0.state == INVALID_BINARY_REPRESENTATION && e.0.message == "incorrect binary data format" {
                e.0.message = format!("improper binary format in array element {number}");
            }
            e
        })
    }
}

/// A `numeric` in binary: `groups` of four digits, the first worth 10,000 to the power of `weight`, of which `decimals`
/// digits behind the point count.
struct Numeric<'a> {
    negative: bool,
    weight: i32,
    decimals: i32,
    groups: &'a [u8],
}

impl Numeric<'_> {
    fn groups(&self) -> impl ExactSizeIterator<Item = i16> {
        self.groups.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]]))
    }

    /// The value as an integer with `scale` decimals, rounded half away from zero.
    fn scaled(&self, precision: u8, scale: i8) -> Result<i128> {
        match self.small(precision, scale) {
            Some(value) => Ok(value),
            None => number::decimal(&self.text(), precision, scale),
        }
    }

    /// [`Numeric::scaled`] for a value of few digits; `None` when it is not one, or does not fit.
    fn small(&self, precision: u8, scale: i8) -> Option<i128> {
        let count = self.groups().len() as i32;
        if count > FAST_GROUPS_MAX {
            return None;
        }
        let mut value = self.groups().fold(0i128, |value, group| value * 10_000 + i128::from(group));
        let mut places = 4 * (count - 1 - self.weight);
        if places > self.decimals {
            value /= 10i128.checked_pow((places - self.decimals).unsigned_abs())?;
            places = self.decimals;
        }
        let value = match i8::try_from(places) {
            Ok(places) => number::rescale(value, places, scale)?,
            Err(_) => return None,
        };
        number::fits(value, precision).then_some(if self.negative { -value } else { value })
    }

    /// As `numeric_out` writes it.
    fn text(&self) -> String {
        let group = |at: i32| usize::try_from(at).ok().and_then(|at| self.groups().nth(at)).unwrap_or(0);
        let mut text = String::from(if self.negative { "-" } else { "" });
        if self.weight < 0 {
            text.push('0');
        }
        for at in 0..=self.weight {
            text.push_str(&if at == 0 { group(at).to_string() } else { format!("{:04}", group(at)) });
        }
        if self.decimals > 0 {
            text.push('.');
            let end = text.len() + self.decimals as usize;
            let mut at = self.weight + 1;
            while text.len() < end {
                text.push_str(&format!("{:04}", group(at)));
                at += 1;
            }
            text.truncate(end);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{InputOptions, datetime};
    use crate::types::{DATE, INT4, JSONB, NUMERIC, TEXT, TIMESTAMP, VARCHAR};
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Decimal128Type, Int32Type, TimestampMicrosecondType};
    use bytes::BytesMut;

    fn builder(pg: PgType) -> ColumnBuilder {
        ColumnBuilder::new(pg, 8, InputOptions { zone: datetime::utc() }).unwrap()
    }

    fn refused(pg: PgType, bytes: &[u8]) -> (&'static str, String) {
        let e = builder(pg).append_binary(bytes).unwrap_err();
        (e.state().0, e.message().to_owned())
    }

    fn numeric(words: &[i16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numerics_read_back_at_any_scale() {
        for (value, scale) in [(0i128, 0i8), (12345, 2), (-5, 2), (123_456_789, 0), (1, 9), (10_000, 0), (15, 1)] {
            let mut out = BytesMut::new();
            crate::encode::put_decimal(&mut out, value, scale);
            let mut builder = builder(PgType::numeric(38, scale));
            builder.append_binary(&out).unwrap();
            assert_eq!(builder.finish().unwrap().as_primitive::<Decimal128Type>().value(0), value);
            let text = binary_numeric_text(&out).unwrap();
            assert_eq!(number::decimal(&text, 38, scale).unwrap(), value, "{text}");
            assert_eq!(text.split_once('.').map_or(0, |(_, d)| d.len()), scale as usize, "{text}");
        }
    }

    #[test]
    fn numerics_of_few_digits_agree_with_their_text() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..5_000 {
            let count = random.i16(0..12);
            let mut words = vec![count, random.i16(-5..10), if random.bool() { 0x4000 } else { 0 }, random.i16(0..30)];
            words.extend((0..count).map(|_| if random.u8(..4) == 0 { 0 } else { random.i16(0..10_000) }));
            let bytes = numeric(&words);
            let text = binary_numeric_text(&bytes).unwrap();
            for (precision, scale) in [(38, 10), (10, 2), (5, 0), (38, 38)] {
                let wanted = number::decimal(&text, precision, scale);
                let numeric = Cursor { bytes: &bytes }.numeric().unwrap();
                match (numeric.scaled(precision, scale), wanted) {
                    (Ok(found), Ok(wanted)) => assert_eq!(found, wanted, "{words:?} {text}"),
                    (Err(found), Err(wanted)) => assert_eq!(found.message(), wanted.message()),
                    (found, wanted) => panic!("{words:?} {text}: {found:?} is not {wanted:?}"),
                }
            }
        }
    }

    #[test]
    fn malformed_numerics_are_refused() {
        let money = PgType::numeric(10, 2);
        assert_eq!(refused(money, &numeric(&[1, 0, 0, 0, 10_000])).1, "invalid digit in external \"numeric\" value");
        assert_eq!(refused(money, &numeric(&[0, 0, 1, 0])).1, "invalid sign in external \"numeric\" value");
        assert_eq!(refused(money, &numeric(&[0, 0, 0, 0x4000])).1, "invalid scale in external \"numeric\" value");
        assert_eq!(refused(money, &numeric(&[2, 0, 0, 0, 1])), ("08P01", "insufficient data left in message".into()));
        assert_eq!(refused(money, &numeric(&[1, 0, 0, 0, 1, 1])), ("22P03", "incorrect binary data format".into()));
        assert_eq!(refused(money, &numeric(&[0, 0, 0xC000u16 as i16, 0])).0, "0A000");
        assert_eq!(refused(NUMERIC, &numeric(&[1, 32_767, 0, 0, 1])).0, "22003");
    }

    #[test]
    fn modifiers_hold_for_binary_values() {
        assert_eq!(refused(VARCHAR.with_modifier(4 + 3), b"abcd").0, "22001");
        assert_eq!(refused(PgType::numeric(3, 0), &numeric(&[1, 0, 0, 0, 1000])).0, "22003");
        let mut seconds = builder(TIMESTAMP.with_modifier(0));
        seconds.append_binary(&1_500_000i64.to_be_bytes()).unwrap();
        let array = seconds.finish().unwrap();
        let values = array.as_primitive::<TimestampMicrosecondType>().values();
        assert_eq!(values.as_ref(), [EPOCH_MICROS + 2_000_000]);
    }

    #[test]
    fn values_use_all_of_their_bytes_and_no_more() {
        assert_eq!(refused(INT4, &[0; 3]).0, "08P01");
        assert_eq!(refused(INT4, &[0; 5]).0, "22P03");
        assert_eq!(refused(DATE, &(i32::MAX - 1).to_be_bytes()), ("22008", "date out of range".into()));
        assert_eq!(refused(DATE, &(FIRST_DATE - 1).to_be_bytes()).0, "22008");
        assert_eq!(refused(TIMESTAMP, &(i64::MAX - 1).to_be_bytes()).0, "22008");
        assert_eq!(refused(TIMESTAMP, &i64::MIN.to_be_bytes()).0, "0A000");
        assert_eq!(refused(TEXT, b"a\xffb").1, "invalid byte sequence for encoding \"UTF8\": 0xff");
        assert_eq!(refused(TEXT, b"a\0b").1, "invalid byte sequence for encoding \"UTF8\": 0x00");
        assert_eq!(refused(JSONB, b"\x02{}").1, "unsupported jsonb version number 2");
    }

    #[test]
    fn arrays_are_checked_before_they_are_read() {
        let numbers = INT4.array_of().unwrap();
        let words = |words: &[i32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_be_bytes()).collect() };
        let mut builder = builder(numbers);
        builder.append_binary(&words(&[1, 1, 23, 2, 1, 4, 7, -1])).unwrap();
        builder.append_binary(&words(&[0, 0, 23])).unwrap();
        builder.append_null();
        let array = builder.finish().unwrap();
        let list = array.as_list::<i32>();
        assert_eq!(list.values().as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(7), None]);
        assert_eq!(list.offsets().as_ref(), [0, 2, 2, 2]);
        assert!(list.is_null(2));
        for (bad, state) in [
            (&[7, 0, 23][..], "54000"),
            (&[-1, 0, 23], "22P03"),
            (&[0, 2, 23], "22P03"),
            (&[1, 0, 25, 0, 1], "42804"),
            (&[1, 0, 23, 1 << 30, 1], "54000"),
            (&[1, 0, 23, -5, 1], "54000"),
            (&[1, 0, 23, 100_000_000, 1], "08P01"),
            (&[1, 0, 23, 1, 1, 99], "22P03"),
            (&[1, 0, 23, 1, 1, 4, 7, 7], "22P03"),
            (&[2, 0, 23, 1, 1, 1, 1, 4, 7], "0A000"),
        ] {
            assert_eq!(refused(numbers, &words(bad)).0, state, "{bad:?}");
        }
        assert_eq!(refused(numbers, &words(&[1, 0, 23, 1, 1, 8, 7, 7])).1, "improper binary format in array element 1");
    }
}
