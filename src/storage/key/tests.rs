//! Keys against a comparison of values written down plainly, and against Arrow's row format.

use super::*;
use crate::error::{Error, ErrorKind};
use arrow::array::types::*;
use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use arrow::row::{RowConverter, SortField};
use std::cmp::Ordering;
use std::hint::black_box;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

/// Many rounds only where time is plenty.
fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("LIGHTNING_LONG").is_some() { long } else { short }
}

fn column(data_type: DataType, nullable: bool) -> KeyColumn {
    KeyColumn { data_type, nullable }
}

fn all_types() -> Vec<DataType> {
    use DataType::*;
    vec![
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float32,
        Float64,
        Decimal128(38, 10),
        Decimal128(5, -2),
        Date32,
        Date64,
        Time32(TimeUnit::Second),
        Time32(TimeUnit::Millisecond),
        Time64(TimeUnit::Microsecond),
        Time64(TimeUnit::Nanosecond),
        Timestamp(TimeUnit::Second, None),
        Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        Timestamp(TimeUnit::Microsecond, Some("+02:00".into())),
        Timestamp(TimeUnit::Nanosecond, None),
        Interval(IntervalUnit::YearMonth),
        Interval(IntervalUnit::DayTime),
        Interval(IntervalUnit::MonthDayNano),
        Utf8,
        LargeUtf8,
        Utf8View,
        Binary,
        LargeBinary,
        BinaryView,
        FixedSizeBinary(3),
    ]
}

/// A value with the order that keys must have, spelled out.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Null,
    Integer(i128),
    Float(f64),
    Bytes(Vec<u8>),
    Interval(i32, i32, i64),
}

impl Value {
    fn order(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => Ordering::Greater,
            (_, Value::Null) => Ordering::Less,
            (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (Value::Float(a), Value::Float(b)) => match (a.is_nan(), b.is_nan()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => a.partial_cmp(b).unwrap(),
            },
            (Value::Interval(..), Value::Interval(..)) => self.length().cmp(&other.length()),
            _ => panic!("values of two types are compared"),
        }
    }

    /// Length in nanoseconds, then the fields.
    fn length(&self) -> (i128, i32, i32) {
        let Value::Interval(months, days, nanos) = *self else { panic!("only intervals have a length") };
        let days_in_all = i128::from(months) * 30 + i128::from(days);
        (days_in_all * 86_400 * 1_000_000_000 + i128::from(nanos), months, days)
    }
}

/// The value at `row`.
fn value(array: &ArrayRef, row: usize) -> Value {
    use DataType::*;
    fn integer<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &ArrayRef, row: usize) -> Value {
        Value::Integer(array.as_primitive::<T>().value(row).into())
    }
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        Boolean => Value::Integer(array.as_boolean().value(row).into()),
        Int8 => integer::<Int8Type>(array, row),
        Int16 => integer::<Int16Type>(array, row),
        Int32 => integer::<Int32Type>(array, row),
        Int64 => integer::<Int64Type>(array, row),
        UInt8 => integer::<UInt8Type>(array, row),
        UInt16 => integer::<UInt16Type>(array, row),
        UInt32 => integer::<UInt32Type>(array, row),
        UInt64 => integer::<UInt64Type>(array, row),
        Float32 => Value::Float(array.as_primitive::<Float32Type>().value(row).into()),
        Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        Decimal128(_, _) => integer::<Decimal128Type>(array, row),
        Date32 => integer::<Date32Type>(array, row),
        Date64 => integer::<Date64Type>(array, row),
        Time32(TimeUnit::Second) => integer::<Time32SecondType>(array, row),
        Time32(_) => integer::<Time32MillisecondType>(array, row),
        Time64(TimeUnit::Microsecond) => integer::<Time64MicrosecondType>(array, row),
        Time64(_) => integer::<Time64NanosecondType>(array, row),
        Timestamp(TimeUnit::Second, _) => integer::<TimestampSecondType>(array, row),
        Timestamp(TimeUnit::Millisecond, _) => integer::<TimestampMillisecondType>(array, row),
        Timestamp(TimeUnit::Microsecond, _) => integer::<TimestampMicrosecondType>(array, row),
        Timestamp(TimeUnit::Nanosecond, _) => integer::<TimestampNanosecondType>(array, row),
        Interval(IntervalUnit::YearMonth) => {
            Value::Interval(array.as_primitive::<IntervalYearMonthType>().value(row), 0, 0)
        }
        Interval(IntervalUnit::DayTime) => {
            let value = array.as_primitive::<IntervalDayTimeType>().value(row);
            Value::Interval(0, value.days, i64::from(value.milliseconds) * 1_000_000)
        }
        Interval(IntervalUnit::MonthDayNano) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            Value::Interval(value.months, value.days, value.nanoseconds)
        }
        Utf8 => Value::Bytes(array.as_string::<i32>().value(row).into()),
        LargeUtf8 => Value::Bytes(array.as_string::<i64>().value(row).into()),
        Utf8View => Value::Bytes(array.as_string_view().value(row).into()),
        Binary => Value::Bytes(array.as_binary::<i32>().value(row).into()),
        LargeBinary => Value::Bytes(array.as_binary::<i64>().value(row).into()),
        BinaryView => Value::Bytes(array.as_binary_view().value(row).into()),
        FixedSizeBinary(_) => Value::Bytes(array.as_fixed_size_binary().value(row).into()),
        other => panic!("no values of {other}"),
    }
}

fn tuple_order(columns: &[ArrayRef], a: usize, b: usize) -> Ordering {
    let orders = columns.iter().map(|column| value(column, a).order(&value(column, b)));
    orders.fold(Ordering::Equal, Ordering::then)
}

/// Bits that are often at the ends of their range, near zero, or one another's neighbours.
fn bits(random: &mut fastrand::Rng) -> i128 {
    match random.u8(..5) {
        0 => i128::from(random.i8(-3..=3)),
        1 => random.i128(..),
        2 => [i128::MIN, i128::MAX, i64::MIN.into(), i64::MAX.into(), i32::MIN.into()][random.usize(..5)],
        3 => i128::from(random.i64(..)),
        _ => 1i128 << random.u32(..127),
    }
}

fn float(random: &mut fastrand::Rng) -> f64 {
    let special =
        [0.0, -0.0, 1.0, -1.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 5e-324];
    if random.bool() { special[random.usize(..special.len())] } else { f64::from_bits(random.u64(..)) }
}

/// Short strings over few letters, so that prefixes, the escaped bytes and equal strings are frequent.
fn bytes(random: &mut fastrand::Rng) -> Vec<u8> {
    let letters = [0, 0, 1, 1, 2, b'a', b'b', 127];
    let len = if random.u8(..20) == 0 { random.usize(..100) } else { random.usize(..5) };
    (0..len).map(|_| letters[random.usize(..letters.len())]).collect()
}

fn text(random: &mut fastrand::Rng) -> String {
    let mut text = String::from_utf8(bytes(random)).unwrap();
    if random.u8(..8) == 0 {
        text.push(random.char(..));
    }
    text
}

fn array(data_type: &DataType, nullable: bool, rows: usize, random: &mut fastrand::Rng) -> ArrayRef {
    use DataType::*;
    macro_rules! numbers {
        ($type:ty) => {{
            let values = (0..rows).map(|_| bits(random) as <$type as ArrowPrimitiveType>::Native).collect::<Vec<_>>();
            Arc::new(PrimitiveArray::<$type>::from_iter_values(values).with_data_type(data_type.clone())) as ArrayRef
        }};
    }
    let array: ArrayRef = match data_type {
        Boolean => Arc::new((0..rows).map(|_| Some(random.bool())).collect::<BooleanArray>()),
        Int8 => numbers!(Int8Type),
        Int16 => numbers!(Int16Type),
        Int32 => numbers!(Int32Type),
        Int64 => numbers!(Int64Type),
        UInt8 => numbers!(UInt8Type),
        UInt16 => numbers!(UInt16Type),
        UInt32 => numbers!(UInt32Type),
        UInt64 => numbers!(UInt64Type),
        Float32 => Arc::new(Float32Array::from_iter_values((0..rows).map(|_| float(random) as f32))),
        Float64 => Arc::new(Float64Array::from_iter_values((0..rows).map(|_| float(random)))),
        Decimal128(_, _) => numbers!(Decimal128Type),
        Date32 => numbers!(Date32Type),
        Date64 => numbers!(Date64Type),
        Time32(TimeUnit::Second) => numbers!(Time32SecondType),
        Time32(_) => numbers!(Time32MillisecondType),
        Time64(TimeUnit::Microsecond) => numbers!(Time64MicrosecondType),
        Time64(_) => numbers!(Time64NanosecondType),
        Timestamp(TimeUnit::Second, _) => numbers!(TimestampSecondType),
        Timestamp(TimeUnit::Millisecond, _) => numbers!(TimestampMillisecondType),
        Timestamp(TimeUnit::Microsecond, _) => numbers!(TimestampMicrosecondType),
        Timestamp(TimeUnit::Nanosecond, _) => numbers!(TimestampNanosecondType),
        Interval(IntervalUnit::YearMonth) => numbers!(IntervalYearMonthType),
        Interval(IntervalUnit::DayTime) => {
            let values = (0..rows).map(|_| IntervalDayTime::new(bits(random) as i32, bits(random) as i32));
            Arc::new(IntervalDayTimeArray::from_iter_values(values))
        }
        Interval(IntervalUnit::MonthDayNano) => {
            let values = (0..rows).map(|_| match random.u8(..3) {
                0 => IntervalMonthDayNano::new(0, 30, 0),
                1 => IntervalMonthDayNano::new(1, 0, random.i64(-1..=1)),
                _ => IntervalMonthDayNano::new(bits(random) as i32, bits(random) as i32, bits(random) as i64),
            });
            Arc::new(IntervalMonthDayNanoArray::from_iter_values(values))
        }
        Utf8 => Arc::new(StringArray::from_iter_values((0..rows).map(|_| text(random)))),
        LargeUtf8 => Arc::new(LargeStringArray::from_iter_values((0..rows).map(|_| text(random)))),
        Utf8View => Arc::new(StringViewArray::from_iter_values((0..rows).map(|_| text(random)))),
        Binary => Arc::new(BinaryArray::from_iter_values((0..rows).map(|_| bytes(random)))),
        LargeBinary => Arc::new(LargeBinaryArray::from_iter_values((0..rows).map(|_| bytes(random)))),
        BinaryView => Arc::new(BinaryViewArray::from_iter_values((0..rows).map(|_| bytes(random)))),
        FixedSizeBinary(width) => {
            let mut values = FixedSizeBinaryBuilder::new(*width);
            for _ in 0..rows {
                values.append_value((0..*width).map(|_| random.u8(..3) * 127).collect::<Vec<_>>()).unwrap();
            }
            Arc::new(values.finish())
        }
        other => panic!("no arrays of {other}"),
    };
    if !nullable || rows == 0 {
        return array;
    }
    let nulls = NullBuffer::from_iter((0..rows).map(|_| random.u8(..4) > 0));
    make_array(array.to_data().into_builder().nulls(Some(nulls)).build().unwrap())
}

/// What decoding gives for `value`: -0 becomes +0, NaNs become one.
fn assert_same(decoded: &ArrayRef, original: &ArrayRef) {
    assert_eq!(decoded.data_type(), original.data_type());
    assert_eq!(decoded.len(), original.len());
    for row in 0..original.len() {
        let (a, b) = (value(decoded, row), value(original, row));
        assert_eq!(a.order(&b), Ordering::Equal, "row {row}: {a:?} instead of {b:?}");
    }
}

fn check(types: &[KeyColumn], rows: usize, random: &mut fastrand::Rng) {
    let encoder = KeyEncoder::new(types).unwrap();
    let columns: Vec<ArrayRef> =
        types.iter().map(|column| array(&column.data_type, column.nullable, rows, random)).collect();
    let keys = encoder.encode(&columns).unwrap();
    assert_eq!((keys.len(), keys.is_empty()), (rows, rows == 0));
    assert_eq!(keys.iter().map(<[u8]>::len).sum::<usize>(), keys.total_bytes());

    for a in 0..rows {
        for b in 0..rows {
            assert_eq!(
                keys.get(a).cmp(keys.get(b)),
                tuple_order(&columns, a, b),
                "{types:?}: {:?} and {:?}",
                columns.iter().map(|column| value(column, a)).collect::<Vec<_>>(),
                columns.iter().map(|column| value(column, b)).collect::<Vec<_>>(),
            );
        }
    }

    let decoded = encoder.decode(keys.iter()).unwrap();
    decoded.iter().zip(&columns).for_each(|(decoded, original)| assert_same(decoded, original));
    assert_eq!(encoder.encode(&decoded).unwrap(), keys);

    for count in 1..=types.len() {
        let prefixes = encoder.encode_prefix(&columns[..count]).unwrap();
        for row in 0..rows {
            assert!(keys.get(row).starts_with(prefixes.get(row)));
            assert_eq!(encoder.prefix_bytes(keys.get(row), count).unwrap(), prefixes.get(row).len());
        }
    }
    if rows > 0 {
        check_ranges(&encoder, &columns, &keys, random);
    }
}

/// Random bounds on the first columns hold the rows that a comparison of values says.
fn check_ranges(encoder: &KeyEncoder, columns: &[ArrayRef], keys: &EncodedKeys, random: &mut fastrand::Rng) {
    let rows = keys.len();
    for _ in 0..4 {
        let bound = |random: &mut fastrand::Rng| -> (Bound<Vec<ArrayRef>>, usize) {
            let row = random.usize(..rows);
            let count = random.usize(1..=columns.len());
            let tuple = columns[..count].iter().map(|column| column.slice(row, 1)).collect();
            ([Bound::Included(tuple), Bound::Unbounded].into_iter().nth(random.usize(..5) / 4).unwrap(), row)
        };
        let exclude = |bound: Bound<Vec<ArrayRef>>, random: &mut fastrand::Rng| match bound {
            Bound::Included(tuple) if random.bool() => Bound::Excluded(tuple),
            bound => bound,
        };
        let ((lower, low_row), (upper, high_row)) = (bound(random), bound(random));
        let (lower, upper) = (exclude(lower, random), exclude(upper, random));
        let slice = |bound: &Bound<Vec<ArrayRef>>| bound.clone().map(|columns| columns.leak() as &[ArrayRef]);
        let range = encoder.range(slice(&lower), slice(&upper)).unwrap();
        for row in 0..rows {
            let above = match &lower {
                Bound::Unbounded => true,
                Bound::Included(tuple) => tuple_order(&columns[..tuple.len()], row, low_row).is_ge(),
                Bound::Excluded(tuple) => tuple_order(&columns[..tuple.len()], row, low_row).is_gt(),
            };
            let below = match &upper {
                Bound::Unbounded => true,
                Bound::Included(tuple) => tuple_order(&columns[..tuple.len()], row, high_row).is_le(),
                Bound::Excluded(tuple) => tuple_order(&columns[..tuple.len()], row, high_row).is_lt(),
            };
            assert_eq!(range.contains(keys.get(row)), above && below, "{lower:?} to {upper:?}, row {row}");
            assert!(!(above && below && range.is_empty()));
        }
    }
}

#[test]
fn every_type_alone_keeps_order_and_values() {
    let mut random = fastrand::Rng::with_seed(1);
    for data_type in all_types() {
        for nullable in [false, true] {
            for rows in [0, 1, rounds(40, 300)] {
                check(&[column(data_type.clone(), nullable)], rows, &mut random);
            }
        }
    }
}

#[test]
fn tuples_keep_order_and_values() {
    let mut random = fastrand::Rng::with_seed(2);
    let types = all_types();
    for _ in 0..rounds(150, 5_000) {
        let count = random.usize(2..=4);
        let columns: Vec<KeyColumn> =
            (0..count).map(|_| column(types[random.usize(..types.len())].clone(), random.bool())).collect();
        check(&columns, 25, &mut random);
    }
}

#[test]
fn order_is_that_of_arrow_rows() {
    let mut random = fastrand::Rng::with_seed(3);
    // Arrow orders floats by sign and bits and intervals by field, so these are left out.
    let is_ordered_alike =
        |data_type: &DataType| !matches!(data_type, DataType::Float32 | DataType::Float64 | DataType::Interval(_));
    let types: Vec<DataType> = all_types().into_iter().filter(is_ordered_alike).collect();
    for _ in 0..rounds(100, 3_000) {
        let columns: Vec<KeyColumn> =
            (0..3).map(|_| column(types[random.usize(..types.len())].clone(), random.bool())).collect();
        let arrays: Vec<ArrayRef> =
            columns.iter().map(|column| array(&column.data_type, column.nullable, 30, &mut random)).collect();
        let options = arrow::compute::SortOptions { descending: false, nulls_first: false };
        let fields = columns.iter().map(|column| SortField::new_with_options(column.data_type.clone(), options));
        let rows = RowConverter::new(fields.collect()).unwrap().convert_columns(&arrays).unwrap();
        let keys = KeyEncoder::new(&columns).unwrap().encode(&arrays).unwrap();
        for (a, b) in (0..30).flat_map(|a| (0..30).map(move |b| (a, b))) {
            assert_eq!(keys.get(a).cmp(keys.get(b)), rows.row(a).cmp(&rows.row(b)), "{columns:?}");
        }
    }
}

#[test]
fn bytes_are_the_documented_ones() {
    let encode = |types: &[KeyColumn], columns: &[ArrayRef]| {
        KeyEncoder::new(types).unwrap().encode(columns).unwrap().get(0).to_vec()
    };
    let int: ArrayRef = Arc::new(Int64Array::from(vec![-2]));
    assert_eq!(
        encode(&[column(DataType::Int64, false)], std::slice::from_ref(&int)),
        [0x7f, 255, 255, 255, 255, 255, 255, 254]
    );
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a\0\u{1}\u{2}"]));
    let small: ArrayRef = Arc::new(Int8Array::from(vec![None]));
    let types = [column(DataType::Utf8, false), column(DataType::Int8, true), column(DataType::Utf8, true)];
    assert_eq!(
        encode(&types, &[text.clone(), small, text]),
        [b'a', 1, 1, 1, 2, 2, 0, /* NULL */ 1, /* present */ 0, b'a', 0, 1, 2],
    );
    let floats = [column(DataType::Float32, false), column(DataType::Float32, false)];
    let half: ArrayRef = Arc::new(Float32Array::from(vec![0.5]));
    let minus: ArrayRef = Arc::new(Float32Array::from(vec![-0.5]));
    assert_eq!(encode(&floats, &[half, minus]), [0xbf, 0, 0, 0, 0x40, 0xff, 0xff, 0xff]);
    let month: ArrayRef = Arc::new(IntervalDayTimeArray::from_iter_values([IntervalDayTime::new(1, 1)]));
    let day_time = column(DataType::Interval(IntervalUnit::DayTime), false);
    assert_eq!(encode(&[day_time], &[month]), [0x80, 0, 0, 0, 5, 0x26, 0x5c, 1, 0x80, 0, 0, 1]);
}

#[test]
fn keys_have_a_longest_length_and_bounds_have_none() {
    let encoder = KeyEncoder::new(&[column(DataType::Utf8, false)]).unwrap();
    let of_len = |len: usize| -> Vec<ArrayRef> { vec![Arc::new(StringArray::from(vec!["x".repeat(len)]))] };
    assert_eq!(encoder.encode(&of_len(KEY_BYTES_MAX)).unwrap().get(0).len(), KEY_BYTES_MAX);
    let error = encoder.encode(&of_len(KEY_BYTES_MAX + 1)).unwrap_err();
    assert!(matches!(error, Error::KeyTooLarge { bytes: 2701, limit_bytes: 2700 }));
    assert_eq!(error.to_string(), "index row size 2701 exceeds maximum 2700");
    let range = encoder.range(Bound::Included(&of_len(5_000)), Bound::Unbounded).unwrap();
    assert!(range.contains(b"y") && !range.contains(b"x"));
    assert!(KeyRange::all().contains(b""));

    let wide = KeyEncoder::new(&[column(DataType::FixedSizeBinary(2701), false)]).unwrap();
    let mut values = FixedSizeBinaryBuilder::new(2701);
    values.append_value([0; 2701]).unwrap();
    assert!(matches!(wide.encode(&[Arc::new(values.finish())]), Err(Error::KeyTooLarge { .. })));
}

#[test]
fn what_cannot_be_a_key_is_refused() {
    let unsupported = |result: Result<KeyEncoder, Error>| matches!(result, Err(Error::Unsupported(_)));
    assert!(unsupported(KeyEncoder::new(&[])));
    assert!(unsupported(KeyEncoder::new(&vec![column(DataType::Int8, false); 33])));
    for data_type in [
        DataType::Float16,
        DataType::Null,
        DataType::Decimal256(40, 2),
        DataType::Duration(TimeUnit::Second),
        DataType::FixedSizeBinary(0),
        DataType::new_list(DataType::Int8, true),
        DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)),
    ] {
        assert!(unsupported(KeyEncoder::new(&[column(data_type, false)])));
    }
    let encoder = KeyEncoder::new(&[column(DataType::Int64, false), column(DataType::Int64, false)]).unwrap();
    assert_eq!(encoder.columns().len(), 2);
    let int: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let two: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let null: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    let other: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    for columns in [vec![], vec![&int], vec![&int, &two], vec![&int, &null], vec![&int, &other], vec![&int, &int, &int]]
    {
        let columns: Vec<ArrayRef> = columns.into_iter().cloned().collect();
        assert!(matches!(encoder.encode(&columns), Err(Error::Unsupported(_))));
    }
    assert!(encoder.range(Bound::Included(&[two]), Bound::Unbounded).is_err());
}

#[test]
fn nothing_is_above_the_highest_prefix() {
    let encoder = KeyEncoder::new(&[column(DataType::UInt8, false), column(DataType::UInt8, false)]).unwrap();
    let highest: ArrayRef = Arc::new(UInt8Array::from(vec![255]));
    assert!(encoder.range(Bound::Excluded(std::slice::from_ref(&highest)), Bound::Unbounded).unwrap().is_empty());
    let range = encoder
        .range(Bound::Included(std::slice::from_ref(&highest)), Bound::Included(std::slice::from_ref(&highest)))
        .unwrap();
    assert!(range.contains(&[255, 255]) && !range.contains(&[254, 255]));
}

/// Whatever the bytes: an error, or values whose encoding they are.
#[test]
fn decoding_takes_only_what_encoding_makes() {
    let mut random = fastrand::Rng::with_seed(4);
    let types = all_types();
    let mut refused = 0;
    for _ in 0..rounds(20_000, 1_000_000) {
        let columns: Vec<KeyColumn> = (0..random.usize(1..=3))
            .map(|_| column(types[random.usize(..types.len())].clone(), random.bool()))
            .collect();
        let encoder = KeyEncoder::new(&columns).unwrap();
        let arrays: Vec<ArrayRef> =
            columns.iter().map(|column| array(&column.data_type, column.nullable, 1, &mut random)).collect();
        let mut key = encoder.encode(&arrays).unwrap().get(0).to_vec();
        match random.u8(..3) {
            0 => key.truncate(random.usize(..=key.len())),
            1 => key.push(random.u8(..3)),
            _ if !key.is_empty() => {
                let at = random.usize(..key.len());
                key[at] = [0, 1, 2, 255, random.u8(..)][random.usize(..5)];
            }
            _ => {}
        }
        let _ = encoder.prefix_bytes(&key, random.usize(..=columns.len()));
        match encoder.decode([key.as_slice()]) {
            Ok(decoded) => assert_eq!(encoder.encode(&decoded).unwrap().get(0), key),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 1_000);
}

/// Prints what a key costs; run it with optimisation, `LIGHTNING_LONG=1` and `--nocapture`.
#[test]
fn cost_of_a_key() {
    let rows = 122_880;
    let repeats = rounds(1, 50);
    let mut random = fastrand::Rng::with_seed(5);
    let bigint: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|_| random.i64(..))));
    let integer: ArrayRef = Arc::new(Int32Array::from_iter_values((0..rows).map(|_| random.i32(..))));
    let words: Vec<String> =
        (0..rows).map(|_| (0..random.usize(4..30)).map(|_| random.alphabetic()).collect()).collect();
    let text: ArrayRef = Arc::new(StringViewArray::from_iter_values(words));
    let types = |arrays: &[ArrayRef]| -> Vec<KeyColumn> {
        arrays.iter().map(|array| column(array.data_type().clone(), false)).collect()
    };
    for (name, arrays) in [
        ("bigint", vec![bigint.clone()]),
        ("bigint, integer", vec![bigint.clone(), integer]),
        ("text", vec![text.clone()]),
        ("text, bigint", vec![text, bigint]),
    ] {
        let encoder = KeyEncoder::new(&types(&arrays)).unwrap();
        let keys = encoder.encode(&arrays).unwrap();
        let cost = |work: &dyn Fn()| {
            let start = Instant::now();
            (0..repeats).for_each(|_| work());
            start.elapsed().as_nanos() as f64 / (repeats * rows as usize) as f64
        };
        let encode = cost(&|| drop(black_box(encoder.encode(&arrays).unwrap())));
        let decode = cost(&|| drop(black_box(encoder.decode(keys.iter()).unwrap())));
        let fields = arrays.iter().map(|array| SortField::new(array.data_type().clone())).collect();
        let converter = RowConverter::new(fields).unwrap();
        let arrow = cost(&|| drop(black_box(converter.convert_columns(&arrays).unwrap())));
        println!("({name}): encode {encode:.1} ns, decode {decode:.1} ns, Arrow rows {arrow:.1} ns a key");
    }
}
