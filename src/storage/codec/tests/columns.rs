//! Columns of every type, shape of values and pattern of NULLs.

use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use std::sync::Arc;

/// Which rows are NULL.
#[derive(Clone, Copy, Debug)]
pub(super) enum Nulls {
    None,
    All,
    Some,
    FirstHalf,
    Rare,
}

pub(super) const NULLS: [Nulls; 5] = [Nulls::None, Nulls::All, Nulls::Some, Nulls::FirstHalf, Nulls::Rare];

impl Nulls {
    fn buffer(self, rows: usize, random: &mut fastrand::Rng) -> Option<NullBuffer> {
        let valid: Vec<bool> = match self {
            Nulls::None => return None,
            Nulls::All => vec![false; rows],
            Nulls::Some => (0..rows).map(|_| random.bool()).collect(),
            Nulls::FirstHalf => (0..rows).map(|row| row >= rows / 2).collect(),
            Nulls::Rare => (0..rows).map(|_| random.u32(..500) != 0).collect(),
        };
        Some(NullBuffer::from(valid))
    }
}

/// Shape of integer values.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Constant,
    Small,
    Scaled,
    Sorted,
    Sequence,
    Runs,
    Wide,
    Extremes,
    Outliers,
    /// Times of one series after another, a little uneven.
    Series,
    /// Regular times with gaps, some of them late.
    Gaps,
    /// Steps that grow and shrink by little.
    Drift,
    /// Steps that differ by little, at times by more.
    Restless,
    /// Steps of all sizes, some of them alike.
    Bursts,
}

pub(super) const SHAPES: [Shape; 14] = [
    Shape::Constant,
    Shape::Small,
    Shape::Scaled,
    Shape::Sorted,
    Shape::Sequence,
    Shape::Runs,
    Shape::Wide,
    Shape::Extremes,
    Shape::Outliers,
    Shape::Series,
    Shape::Gaps,
    Shape::Drift,
    Shape::Restless,
    Shape::Bursts,
];

impl Shape {
    pub(super) fn values(self, rows: usize, random: &mut fastrand::Rng) -> Vec<i64> {
        let mut last = random.i64(-1000..1000);
        let mut step = 1000;
        let mut next = |row: usize| match self {
            Shape::Constant => 42,
            Shape::Small => random.i64(-5..100),
            Shape::Scaled => random.i64(1..=50) * 100,
            Shape::Sorted => {
                last += random.i64(0..7);
                last
            }
            Shape::Sequence => row as i64 * 4 + 17,
            Shape::Series => {
                last = if row.is_multiple_of(700) { random.i64(0..1000) } else { last + 1000 + random.i64(0..3) };
                last
            }
            Shape::Gaps => {
                last += if random.u32(..200) == 0 { random.i64(1..5000) * 1000 } else { 1000 };
                if random.u32(..100) == 0 { last - random.i64(0..3_000_000) } else { last }
            }
            Shape::Drift => {
                step += random.i64(-1..=2);
                last += step;
                last
            }
            Shape::Restless => {
                last += 1000 + if row % 180 < 150 { random.i64(0..8) } else { random.i64(0..500) };
                last
            }
            Shape::Bursts => {
                if random.u32(..40) == 0 {
                    let bits = random.u32(..60);
                    step = random.i64(..=1 << bits);
                }
                last = last.wrapping_add(step);
                last
            }
            Shape::Runs => {
                if random.u32(..50) == 0 {
                    last = random.i64(..1 << 40);
                }
                last
            }
            Shape::Wide => random.i64(..),
            Shape::Extremes => *random.choice(&[i64::MIN, i64::MAX, 0, -1, 1, i64::MIN + 1]).unwrap(),
            Shape::Outliers => {
                if random.u32(..900) == 0 {
                    random.i64(..)
                } else {
                    random.i64(0..16)
                }
            }
        };
        (0..rows).map(&mut next).collect()
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: impl Iterator<Item = T::Native>,
    data_type: &DataType,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.collect(), nulls).with_data_type(data_type.clone()))
}

/// Ordered-integer types under test.
pub(super) fn integer_types() -> Vec<DataType> {
    vec![
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Date32,
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Decimal128(15, 2),
        DataType::Decimal128(38, 10),
    ]
}

/// An array of an ordered-integer type.
pub(super) fn integers(
    data_type: &DataType,
    shape: Shape,
    nulls: Nulls,
    rows: usize,
    random: &mut fastrand::Rng,
) -> ArrayRef {
    let nulls = nulls.buffer(rows, random);
    let values = shape.values(rows, random).into_iter();
    match data_type {
        DataType::Int8 => primitive::<Int8Type>(values.map(|v| v as i8), data_type, nulls),
        DataType::Int16 => primitive::<Int16Type>(values.map(|v| v as i16), data_type, nulls),
        DataType::Int32 => primitive::<Int32Type>(values.map(|v| v as i32), data_type, nulls),
        DataType::Int64 => primitive::<Int64Type>(values, data_type, nulls),
        DataType::UInt8 => primitive::<UInt8Type>(values.map(|v| v as u8), data_type, nulls),
        DataType::UInt16 => primitive::<UInt16Type>(values.map(|v| v as u16), data_type, nulls),
        DataType::UInt32 => primitive::<UInt32Type>(values.map(|v| v as u32), data_type, nulls),
        DataType::UInt64 => primitive::<UInt64Type>(values.map(|v| v as u64), data_type, nulls),
        DataType::Date32 => primitive::<Date32Type>(values.map(|v| v as i32), data_type, nulls),
        DataType::Time64(_) => primitive::<Time64MicrosecondType>(values, data_type, nulls),
        DataType::Timestamp(_, _) => primitive::<TimestampMicrosecondType>(values, data_type, nulls),
        DataType::Decimal128(38, _) => {
            primitive::<Decimal128Type>(values.map(|v| i128::from(v) * 1_000_000_007), data_type, nulls)
        }
        _ => primitive::<Decimal128Type>(values.map(i128::from), data_type, nulls),
    }
}

/// Shape of strings.
#[derive(Clone, Copy, Debug)]
pub(super) enum Words {
    Same,
    Few,
    FewLong,
    Text,
    Random,
    Huge,
}

pub(super) const WORDS: [Words; 6] = [Words::Same, Words::Few, Words::FewLong, Words::Text, Words::Random, Words::Huge];

const VOCABULARY: [&str; 16] = [
    "carefully",
    "final",
    "deposits",
    "sleep",
    "furiously",
    "above the",
    "",
    "express",
    "quickly",
    "ünïcödé",
    "packages",
    "a",
    "ab",
    "abc",
    "among the slyly regular requests",
    "zebra",
];

impl Words {
    pub(super) fn value(self, random: &mut fastrand::Rng) -> String {
        match self {
            Words::Same => "constant".into(),
            Words::Few => VOCABULARY[random.usize(..VOCABULARY.len())].into(),
            Words::FewLong => format!("{} number {:03}", VOCABULARY[random.usize(..16)].repeat(3), random.u32(..100)),
            Words::Text => {
                let words: Vec<&str> = (0..random.usize(1..9)).map(|_| VOCABULARY[random.usize(..16)]).collect();
                format!("{} {}", words.join(" "), random.u32(..1_000_000))
            }
            Words::Random => (0..random.usize(0..20)).map(|_| random.char(..)).collect(),
            Words::Huge => {
                let len = if random.u32(..40) == 0 { random.usize(1..1 << 20) } else { random.usize(..2000) };
                let piece: String = (0..50).map(|_| random.alphanumeric()).collect();
                piece.repeat(len / 50 + 1)[..len].into()
            }
        }
    }
}

/// An array of strings or byte strings.
pub(super) fn strings(
    data_type: &DataType,
    words: Words,
    nulls: Nulls,
    rows: usize,
    random: &mut fastrand::Rng,
) -> ArrayRef {
    let nulls = nulls.buffer(rows, random);
    let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    let mut texts = Vec::with_capacity(rows);
    for row in 0..rows {
        texts.push(valid(row).then(|| words.value(random)));
    }
    match data_type {
        DataType::Utf8View => Arc::new(StringViewArray::from_iter(texts)),
        DataType::Utf8 => Arc::new(StringArray::from_iter(texts)),
        DataType::LargeUtf8 => Arc::new(LargeStringArray::from_iter(texts)),
        DataType::Binary => Arc::new(BinaryArray::from_iter(texts.into_iter().map(|t| t.map(binary)))),
        _ => Arc::new(BinaryViewArray::from_iter(texts.into_iter().map(|t| t.map(binary)))),
    }
}

/// Bytes that are not UTF-8.
fn binary(text: String) -> Vec<u8> {
    text.into_bytes().into_iter().map(|b| b ^ 0xa5).collect()
}

/// A float of any kind.
pub(super) fn float(random: &mut fastrand::Rng) -> f64 {
    match random.u32(..8) {
        0 => f64::NAN,
        1 => -f64::NAN,
        2 => 0.0,
        3 => -0.0,
        4 => *random.choice(&[f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, f64::MAX]).unwrap(),
        5 => f64::from_bits(random.u64(..)),
        _ => f64::from(random.i32(-100..100)) / 4.0,
    }
}

/// An array of floats of any kind.
pub(super) fn floats(data_type: &DataType, nulls: Nulls, rows: usize, random: &mut fastrand::Rng) -> ArrayRef {
    let values = (0..rows).map(|_| float(random)).collect();
    of_doubles(data_type, values, nulls, random)
}

/// An array of decimals with a few floats of any kind among them.
pub(super) fn decimals(data_type: &DataType, nulls: Nulls, rows: usize, random: &mut fastrand::Rng) -> ArrayRef {
    let scale = 10f64.powi(random.i32(0..7));
    let mut value = || match random.u32(..200) {
        0 => float(random),
        _ => f64::from(random.i32(-5_000_000..5_000_000)) / scale,
    };
    let values = (0..rows).map(|_| value()).collect();
    of_doubles(data_type, values, nulls, random)
}

/// An array of measurements that wander and sometimes stay, in single precision, with a few floats of any kind among them.
pub(super) fn measurements(data_type: &DataType, nulls: Nulls, rows: usize, random: &mut fastrand::Rng) -> ArrayRef {
    let mut level = 20.0f32;
    let mut value = || match random.u32(..300) {
        0 => float(random),
        1..=60 => f64::from(level),
        _ => {
            level += (random.f32() - 0.5) / 8.0;
            f64::from(level)
        }
    };
    let values = (0..rows).map(|_| value()).collect();
    of_doubles(data_type, values, nulls, random)
}

fn of_doubles(data_type: &DataType, values: Vec<f64>, nulls: Nulls, random: &mut fastrand::Rng) -> ArrayRef {
    let nulls = nulls.buffer(values.len(), random);
    match data_type {
        DataType::Float32 => primitive::<Float32Type>(values.into_iter().map(|v| v as f32), data_type, nulls),
        _ => primitive::<Float64Type>(values.into_iter(), data_type, nulls),
    }
}

/// An array of booleans.
pub(super) fn booleans(nulls: Nulls, rows: usize, random: &mut fastrand::Rng) -> ArrayRef {
    let nulls = nulls.buffer(rows, random);
    Arc::new(BooleanArray::new((0..rows).map(|_| random.bool()).collect::<Vec<_>>().into(), nulls))
}

/// An array of 16-byte values.
pub(super) fn uuids(nulls: Nulls, rows: usize, random: &mut fastrand::Rng) -> ArrayRef {
    let nulls = nulls.buffer(rows, random);
    let bytes: Vec<u8> = (0..rows * 16).map(|i| if i % 16 < 14 { 7 } else { random.u8(..) }).collect();
    Arc::new(FixedSizeBinaryArray::new(16, bytes.into(), nulls))
}

/// Arrays that only the fallback knows.
pub(super) fn others(nulls: Nulls, rows: usize, random: &mut fastrand::Rng) -> Vec<ArrayRef> {
    let validity = nulls.buffer(rows, random);
    let intervals = (0..rows).map(|_| IntervalMonthDayNano::new(random.i32(..), random.i32(..40), random.i64(..)));
    let intervals = primitive::<IntervalMonthDayNanoType>(
        intervals.collect::<Vec<_>>().into_iter(),
        &DataType::Interval(IntervalUnit::MonthDayNano),
        validity.clone(),
    );
    let mut list = ListBuilder::new(StringViewBuilder::new());
    let mut nested = ListBuilder::new(ListBuilder::new(Int64Builder::new()));
    for row in 0..rows {
        for _ in 0..random.usize(..4) {
            if random.u32(..5) == 0 {
                list.values().append_null()
            } else {
                list.values().append_value(Words::Text.value(random))
            }
            nested.values().values().append_value(random.i64(..));
            nested.values().append(random.bool());
        }
        let valid = validity.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        list.append(valid);
        nested.append(valid);
    }
    let list: ArrayRef = Arc::new(list.finish());
    let structs = StructArray::new(
        vec![Field::new("i", intervals.data_type().clone(), true), Field::new("l", list.data_type().clone(), true)]
            .into(),
        vec![Arc::clone(&intervals), Arc::clone(&list)],
        validity,
    );
    vec![intervals, list, Arc::new(nested.finish()), Arc::new(structs), Arc::new(NullArray::new(rows))]
}
