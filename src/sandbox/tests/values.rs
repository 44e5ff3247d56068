//! Values that SQL does not have, from guests of every ABI: each is the guest's error, unless the row is NULL.

use super::{batch_module, call, component, module, spec, trigger};
use crate::range::{FIRST_DAY, LAST_DAY};
use crate::{Abi, Error, ErrorKind};
use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, DictionaryArray, ListArray, PrimitiveArray, StringArray,
    StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date64Type, Decimal128Type, Field, Int32Type, Time32MillisecondType,
    Time32SecondType, Time64NanosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use std::slice::from_ref;
use std::sync::Arc;

const DAY: i64 = 86_400_000_000;
const FIRST_DAYS: i32 = FIRST_DAY as i32;
const LAST_DAYS: i32 = LAST_DAY as i32;
const FIRST_MICROS: i64 = FIRST_DAY * DAY;
const LAST_MICROS: i64 = (LAST_DAY + 1) * DAY - 1;

/// What a guest answers that gives back its argument, once by each ABI that can pass it.
fn echoed(column: &ArrayRef) -> Vec<(Abi, Result<ArrayRef, Error>)> {
    let scalars = r#"(module (func (export "f") (param i32) (result i32) (local.get 0)))"#;
    let wide = scalars.replace("i32", "i64");
    let data_type = column.data_type();
    let mut modules = vec![(Abi::Component, component::component(component::ECHO))];
    if crate::layout::Layout::of(data_type).is_some() {
        modules.push((Abi::Batch, batch_module(super::batch::ECHO)));
    }
    if let Some(lane) = crate::lane::Lane::of(data_type) {
        let is_narrow = matches!(lane.val_type(), wasmtime::ValType::I32);
        modules.push((Abi::Scalar, module(if is_narrow { scalars } else { &wide })));
    }
    let answer = |abi, module| call(module, spec(abi, from_ref(data_type), data_type.clone()), from_ref(column), 3);
    modules.iter().map(|(abi, module)| (*abi, answer(*abi, module))).collect()
}

fn assert_fine(column: &ArrayRef) {
    for (abi, answer) in echoed(column) {
        assert_eq!(&answer.unwrap(), column, "{abi} {}", column.data_type());
    }
}

fn assert_bad(column: &ArrayRef, detail: &str) {
    for (abi, answer) in echoed(column) {
        let error = answer.expect_err(&format!("{abi} {column:?}"));
        assert!(matches!(error, Error::BadOutput { .. }), "{abi} {error:?}");
        assert_eq!(error.to_string(), format!("function f: {detail}"), "{abi} {}", column.data_type());
    }
}

/// A column whose second row is `value`, and whether that row is NULL.
fn around<T: ArrowPrimitiveType>(good: T::Native, value: T::Native, data_type: &DataType, is_null: bool) -> ArrayRef {
    let nulls = is_null.then(|| NullBuffer::from(vec![true, false, true]));
    let values = ScalarBuffer::from(vec![good, value, good]);
    Arc::new(PrimitiveArray::<T>::new(values, nulls).with_data_type(data_type.clone()))
}

fn check<T: ArrowPrimitiveType>(data_type: &DataType, good: &[T::Native], bad: &[(T::Native, &str)]) {
    for value in good {
        assert_fine(&around::<T>(good[0], *value, data_type, false));
    }
    for (value, detail) in bad {
        assert_bad(&around::<T>(good[0], *value, data_type, false), detail);
        assert_fine(&around::<T>(good[0], *value, data_type, true));
    }
}

#[test]
fn dates_are_those_of_the_calendar() {
    let detail = |days: i32| format!("{days} days from 1970-01-01 are out of range for a date");
    for bad in [FIRST_DAYS - 1, LAST_DAYS + 1, i32::MIN, i32::MAX] {
        check::<arrow::datatypes::Date32Type>(&DataType::Date32, &[FIRST_DAYS, 0, LAST_DAYS], &[(bad, &detail(bad))]);
    }
    let (first, last) = (FIRST_DAY * 86_400_000, (LAST_DAY + 1) * 86_400_000 - 1);
    for bad in [first - 1, last + 1] {
        let detail = format!("{bad} milliseconds from 1970-01-01 are out of range for a date");
        check::<Date64Type>(&DataType::Date64, &[0], &[(bad, &detail)]);
    }
}

#[test]
fn the_calendar_ends_where_that_of_the_engine_does() {
    use arrow::temporal_conversions::date32_to_datetime;
    assert_eq!(date32_to_datetime(LAST_DAYS).unwrap().to_string(), "+262142-12-31 00:00:00");
    assert!(date32_to_datetime(LAST_DAYS + 1).is_none());
    assert_eq!(date32_to_datetime(FIRST_DAYS).unwrap().to_string(), "-4713-11-24 00:00:00");
}

#[test]
fn time_stamps_are_those_of_the_calendar() {
    use arrow::datatypes::TimestampMicrosecondType as Micros;
    let detail = |at: i64, unit: &str| format!("{at} {unit} from 1970-01-01 are out of range for a timestamp");
    for zone in [None, Some("UTC".into())] {
        let data_type = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, zone);
        for bad in [FIRST_MICROS - 1, LAST_MICROS + 1, i64::MIN, i64::MAX] {
            let good = [FIRST_MICROS, 0, LAST_MICROS];
            check::<Micros>(&data_type, &good, &[(bad, &detail(bad, "microseconds"))]);
        }
    }
    for bad in [FIRST_MICROS / 1000 - 1, LAST_MICROS / 1000 + 1] {
        let good = [FIRST_MICROS / 1000, LAST_MICROS / 1000];
        check::<TimestampMillisecondType>(
            &TimestampMillisecondType::DATA_TYPE,
            &good,
            &[(bad, &detail(bad, "milliseconds"))],
        );
    }
    for bad in [FIRST_MICROS / 1_000_000 - 1, LAST_MICROS / 1_000_000 + 1] {
        let good = [FIRST_MICROS / 1_000_000, LAST_MICROS / 1_000_000];
        check::<TimestampSecondType>(&TimestampSecondType::DATA_TYPE, &good, &[(bad, &detail(bad, "seconds"))]);
    }
    for bad in [i64::MIN, i64::MAX] {
        let good = [i64::MIN + 1, 0, i64::MAX - 1];
        check::<TimestampNanosecondType>(
            &TimestampNanosecondType::DATA_TYPE,
            &good,
            &[(bad, &detail(bad, "nanoseconds"))],
        );
    }
}

#[test]
fn times_of_day_end_at_midnight() {
    use arrow::datatypes::Time64MicrosecondType as Micros;
    for bad in [-1, DAY + 1, i64::MIN, i64::MAX] {
        let detail = format!("{bad} is no time of day");
        check::<Micros>(&Micros::DATA_TYPE, &[0, 1, DAY], &[(bad, &detail)]);
    }
    let nanos = DAY * 1000;
    check::<Time64NanosecondType>(
        &Time64NanosecondType::DATA_TYPE,
        &[0, nanos],
        &[(nanos + 1, "86400000000001 is no time of day")],
    );
    check::<Time32MillisecondType>(
        &Time32MillisecondType::DATA_TYPE,
        &[0, 86_400_000],
        &[(-1, "-1 is no time of day")],
    );
    check::<Time32SecondType>(&Time32SecondType::DATA_TYPE, &[0, 86_400], &[(86_401, "86401 is no time of day")]);
}

#[test]
fn numbers_have_the_digits_of_their_type() {
    for (precision, scale) in [(38, 0), (38, 10), (10, 2), (1, 0)] {
        let end = 10i128.pow(u32::from(precision));
        for bad in [end, -end, i128::MIN, i128::MAX] {
            let detail = "a numeric value has too many digits";
            let data_type = DataType::Decimal128(precision, scale);
            check::<Decimal128Type>(&data_type, &[end - 1, 0, 1 - end], &[(bad, detail)]);
        }
    }
}

/// Three texts, the second of which is `text`, and whether that row is NULL.
fn texts(text: &str, is_null: bool) -> StringArray {
    let offsets = OffsetBuffer::from_lengths([3, text.len(), 2]);
    let nulls = is_null.then(|| NullBuffer::from(vec![true, false, true]));
    StringArray::new(offsets, format!("one{text}zw").into_bytes().into(), nulls)
}

#[test]
fn text_has_no_zero_byte() {
    let long = format!("{}\0{}", "x".repeat(100), "y".repeat(100));
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    for data_type in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, dictionary] {
        let column = |text: &str, is_null| cast(&texts(text, is_null), &data_type).unwrap();
        for text in ["\0", "a\0", "\0a", "é\0é", &long] {
            assert_bad(&column(text, false), "text has a zero byte");
        }
        assert_fine(&column("", false));
        assert_fine(&column("long enough to be no inline view, zwölf", false));
    }
    for data_type in [DataType::Binary, DataType::LargeBinary, DataType::BinaryView] {
        assert_fine(&cast(&cast(&texts("\0", false), &DataType::Binary).unwrap(), &data_type).unwrap());
    }
    assert_fine(&(Arc::new(texts("\0", true)) as ArrayRef));
    // A dictionary may have what no row has.
    let values: ArrayRef = Arc::new(StringArray::from(vec!["a", "\0"]));
    let keys = |third| PrimitiveArray::<Int32Type>::from(vec![Some(0), None, Some(third)]);
    assert_fine(&(Arc::new(DictionaryArray::new(keys(0), values.clone())) as ArrayRef));
    assert_bad(&(Arc::new(DictionaryArray::new(keys(1), values)) as ArrayRef), "text has a zero byte");
}

#[test]
fn views_of_a_component_may_share_bytes_that_no_row_has() {
    let bytes: Arc<[u8]> = Arc::from(format!("{}\0", "x".repeat(40)).as_bytes());
    let mut views = arrow::array::StringViewBuilder::new();
    let block = views.append_block(arrow::buffer::Buffer::from(bytes.to_vec()));
    for len in [20, 30, 40] {
        views.try_append_view(block, 0, len).unwrap();
    }
    assert_fine(&(Arc::new(views.finish()) as ArrayRef));
}

#[test]
fn what_lists_and_records_have_is_looked_at_too() {
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![1, LAST_DAYS + 1, 3]));
    let detail = format!("{} days from 1970-01-01 are out of range for a date", LAST_DAYS + 1);
    let item = Arc::new(Field::new_list_field(DataType::Date32, true));
    let list = |nulls: Option<Vec<bool>>| -> ArrayRef {
        let offsets = OffsetBuffer::from_lengths([1, 1, 1]);
        Arc::new(ListArray::new(item.clone(), offsets, dates.clone(), nulls.map(NullBuffer::from)))
    };
    assert_bad(&list(None), &detail);
    assert_bad(&list(Some(vec![false, true, true])), &detail);
    assert_fine(&list(Some(vec![true, false, true])));
    let record = |nulls: Option<Vec<bool>>| -> ArrayRef {
        let fields = vec![Field::new("t", DataType::Utf8, true), Field::new("d", DataType::Date32, true)];
        let columns = vec![Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef, dates.clone()];
        Arc::new(StructArray::new(fields.into(), columns, nulls.map(NullBuffer::from)))
    };
    assert_bad(&record(None), &detail);
    assert_bad(&record(Some(vec![false, true, true])), &detail);
    assert_fine(&record(Some(vec![true, false, true])));
    let large = cast(&list(None), &DataType::LargeList(item.clone())).unwrap();
    assert_bad(&large, &detail);
    let fixed = cast(&list(None), &DataType::FixedSizeList(item, 1)).unwrap();
    assert_bad(&fixed, &detail);
}

/// Calls a trigger on one row of day, stamp, clock and name.
fn set(body: &str) -> Result<Vec<ArrayRef>, Error> {
    let columns: [(&str, ArrayRef); 4] = [
        ("day", Arc::new(Date32Array::from(vec![0]))),
        ("stamp", Arc::new(TimestampMicrosecondArray::from(vec![0]))),
        ("clock", Arc::new(Time64MicrosecondArray::from(vec![0]))),
        ("name", Arc::new(StringArray::from(vec!["a"]))),
    ];
    let data =
        r#"(data (i32.const 200) "b\00c") (data (i32.const 208) "294277-01-01") (data (i32.const 224) "2024-05-07")"#;
    trigger::insert_into(&columns, data, body).map(|outcome| outcome.new.unwrap_or_default())
}

#[test]
fn triggers_set_only_values_there_are() {
    let i64s = |column: usize, value: i64| format!("(call $set_i64 (i32.const {column}) (i64.const {value}))");
    let text = |column: usize, at: usize, len: usize| {
        format!("(call $set_text (i32.const {column}) (i32.const {at}) (i32.const {len}))")
    };
    for (body, detail) in [
        (i64s(0, LAST_DAY + 1), "set_i64: column \"day\" cannot hold 95026237".to_string()),
        (i64s(0, FIRST_DAY - 1), "set_i64: column \"day\" cannot hold -2440589".to_string()),
        (i64s(1, LAST_MICROS + 1), format!("set_i64: column \"stamp\" cannot hold {}", LAST_MICROS + 1)),
        (i64s(1, FIRST_MICROS - 1), format!("set_i64: column \"stamp\" cannot hold {}", FIRST_MICROS - 1)),
        (i64s(1, i64::MAX), format!("set_i64: column \"stamp\" cannot hold {}", i64::MAX)),
        (i64s(2, DAY + 1), "set_i64: column \"clock\" cannot hold 86400000001".to_string()),
        (text(3, 200, 3), "set_text: column \"name\" does not take text with a zero byte".to_string()),
        (text(0, 208, 12), "set_text: column \"day\" does not take this text".to_string()),
        (text(1, 208, 12), "set_text: column \"stamp\" does not take this text".to_string()),
        ("(call $execute (i32.const 200) (i32.const 3))".to_string(), "execute: text with a zero byte".to_string()),
    ] {
        let error = set(&format!("{body} (i32.const 0)")).unwrap_err();
        assert!(matches!(error, Error::BadOutput { .. }), "{error}");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Guest, format!("function f: {detail}")));
    }
    let body = i64s(0, LAST_DAY) + &i64s(1, FIRST_MICROS) + &i64s(2, DAY) + &text(3, 200, 1) + "(i32.const 0)";
    let new = set(&body).unwrap();
    assert_eq!(new[0].as_ref(), &Date32Array::from(vec![LAST_DAYS]) as &dyn Array);
    assert_eq!(new[1].as_ref(), &TimestampMicrosecondArray::from(vec![FIRST_MICROS]) as &dyn Array);
    assert_eq!(new[2].as_ref(), &Time64MicrosecondArray::from(vec![DAY]) as &dyn Array);
    assert_eq!(new[3].as_string::<i32>().value(0), "b");
    let new = set(&(text(0, 224, 10) + "(i32.const 0)")).unwrap();
    assert_eq!(new[0].as_ref(), &Date32Array::from(vec![19_850]) as &dyn Array);
}

#[test]
fn a_large_number_of_values_is_looked_at_to_its_end() {
    let mut values = vec![0; 8192];
    values[8191] = i128::MAX;
    let column: ArrayRef = Arc::new(Decimal128Array::from(values));
    let spec = spec(Abi::Batch, from_ref(column.data_type()), column.data_type().clone());
    let error = call(&batch_module(super::batch::ECHO), spec, from_ref(&column), 8192).unwrap_err();
    assert!(matches!(error, Error::BadOutput { .. }));
}
